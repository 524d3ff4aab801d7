//! Which settings there are: names, kinds, defaults, and what a client is told about them.
//!
//! What is not here is not a setting. How a value of each kind is written is `value`'s to know.

use super::{AS_OF, BREAK_GLASS, SERVER_VERSION, SERVER_VERSION_NUM};

/// How a value is checked and brought into its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An integer between the bounds.
    Int(i64, i64),
    /// Milliseconds, or a number with a unit.
    Timeout,
    Encoding,
    DateStyle,
    TimeZone,
    SearchPath,
    /// Set by [`super::Settings::begin_break_glass`] alone, which only a session calls that has checked who asks.
    BreakGlass,
    /// A point in time, or nothing.
    Moment,
    /// Cannot be changed.
    Internal,
}

/// One known setting: (name, kind, default, reported to the client, description).
pub(super) struct Definition(
    pub(super) &'static str,
    pub(super) Kind,
    pub(super) &'static str,
    pub(super) bool,
    pub(super) &'static str,
);

const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];
const LEVELS: &[&str] = &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

/// Every setting there is, sorted by lower-case name. What is not here is not a setting.
pub(super) const DEFINITIONS: &[Definition] = &[
    Definition(
        "application_name",
        Kind::Text,
        "",
        true,
        "Sets the application name to be reported in statistics and logs.",
    ),
    Definition("bytea_output", Kind::Word(&["hex", "escape"]), "hex", false, "Sets the output format for bytea."),
    Definition("client_encoding", Kind::Encoding, "UTF8", true, "Sets the client's character set encoding."),
    Definition(
        "client_min_messages",
        Kind::Word(LEVELS),
        "notice",
        false,
        "Sets the message levels that are sent to the client.",
    ),
    Definition("DateStyle", Kind::DateStyle, "ISO, MDY", true, "Sets the display format for date and time values."),
    Definition(
        "default_transaction_deferrable",
        Kind::Bool,
        "off",
        false,
        "Sets the default deferrable status of new transactions.",
    ),
    Definition(
        "default_transaction_isolation",
        Kind::Word(ISOLATION),
        "read committed",
        false,
        "Sets the transaction isolation level of each new transaction.",
    ),
    Definition(
        "default_transaction_read_only",
        Kind::Bool,
        "on",
        true,
        "Sets the default read-only status of new transactions.",
    ),
    Definition(
        "extra_float_digits",
        Kind::Int(-15, 3),
        "1",
        false,
        "Sets the number of digits displayed for floating-point values.",
    ),
    Definition(
        "idle_in_transaction_session_timeout",
        Kind::Timeout,
        "0",
        false,
        "Sets the maximum allowed idle time between queries, when in a transaction.",
    ),
    Definition("in_hot_standby", Kind::Internal, "off", true, "Shows whether hot standby is currently active."),
    Definition("integer_datetimes", Kind::Internal, "on", true, "Shows whether datetimes are integer based."),
    Definition(
        "IntervalStyle",
        Kind::Word(&["postgres"]),
        "postgres",
        true,
        "Sets the display format for interval values.",
    ),
    Definition("is_superuser", Kind::Internal, "off", true, "Shows whether the current user is a superuser."),
    Definition("lc_collate", Kind::Internal, "C", false, "Shows the collation order locale."),
    Definition(
        "lc_ctype",
        Kind::Internal,
        "C.UTF-8",
        false,
        "Shows the character classification and case conversion locale.",
    ),
    Definition("lc_messages", Kind::Text, "C", false, "Sets the language in which messages are displayed."),
    Definition("lc_monetary", Kind::Text, "C", false, "Sets the locale for formatting monetary amounts."),
    Definition("lc_numeric", Kind::Text, "C", false, "Sets the locale for formatting numbers."),
    Definition("lc_time", Kind::Text, "C", false, "Sets the locale for formatting date and time values."),
    Definition("lock_timeout", Kind::Timeout, "0", false, "Sets the maximum allowed duration of any wait for a lock."),
    Definition("max_identifier_length", Kind::Internal, "63", false, "Shows the maximum identifier length."),
    Definition(AS_OF, Kind::Moment, "", false, "Sets the moment as of which data products are read; empty is now."),
    Definition(
        BREAK_GLASS,
        Kind::BreakGlass,
        "",
        false,
        "Reads everything in an emergency, for the reason given; every use is recorded.",
    ),
    Definition("row_security", Kind::Word(&["on"]), "on", false, "Enable row security."),
    Definition(
        "search_path",
        Kind::SearchPath,
        "\"$user\", public",
        false,
        "Sets the schema search order for names that are not schema-qualified.",
    ),
    Definition("server_encoding", Kind::Internal, "UTF8", true, "Shows the server (database) character set encoding."),
    Definition("server_version", Kind::Internal, SERVER_VERSION, true, "Shows the server version."),
    Definition(
        "server_version_num",
        Kind::Internal,
        SERVER_VERSION_NUM,
        false,
        "Shows the server version as an integer.",
    ),
    Definition("session_authorization", Kind::Internal, "", true, "Shows the session user name."),
    Definition(
        "standard_conforming_strings",
        Kind::Word(&["on"]),
        "on",
        true,
        "Causes '...' strings to treat backslashes literally.",
    ),
    Definition("statement_timeout", Kind::Timeout, "0", false, "Sets the maximum allowed duration of any statement."),
    Definition(
        "TimeZone",
        Kind::TimeZone,
        "UTC",
        true,
        "Sets the time zone for displaying and interpreting time stamps.",
    ),
    Definition(
        "transaction_deferrable",
        Kind::Bool,
        "off",
        false,
        "Whether to defer a read-only serializable transaction until it can be executed.",
    ),
    Definition(
        "transaction_isolation",
        Kind::Word(ISOLATION),
        "read committed",
        false,
        "Sets the current transaction's isolation level.",
    ),
    Definition("transaction_read_only", Kind::Bool, "on", false, "Sets the current transaction's read-only status."),
];

pub(super) fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|d| d.0.eq_ignore_ascii_case(name))
}
