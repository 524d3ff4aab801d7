//! Run-time settings of one session: names, defaults, validation, and what a client is told about them.
//!
//! Follows PostgreSQL 15, chapter 20 "Server Configuration": names are case-insensitive, unknown names without a dot
//! are `42704`, bad values `22023`, read-only ones `55P02`. A setting never says who the principal is.

pub mod moment;
pub mod time_zone;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::{Error, Result, SqlState};
use time_zone::TimeZone;

/// PostgreSQL version whose behaviour is promised, as `server_version` reports it.
pub const SERVER_VERSION: &str = concat!("15.0 (pgmesh ", env!("CARGO_PKG_VERSION"), ")");
const SERVER_VERSION_NUM: &str = "150000";
/// A session may invent this many settings with a dot in their name (`app.user`).
const CUSTOM_SETTINGS_MAX: usize = 64;
/// Longest value of any setting, in bytes.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// The setting that lifts policies for those with the role for it.
pub const BREAK_GLASS: &str = "mesh.break_glass";
/// How short and how long its reason may be, in characters.
const REASON_CHARS_MIN: usize = 10;
const REASON_CHARS_MAX: usize = 1_000;

/// How a value is checked and brought into its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
    /// Set by [`Settings::begin_break_glass`] alone, which only a session calls that has checked who asks.
    BreakGlass,
    /// A point in time, or nothing.
    Moment,
    /// Cannot be changed.
    Internal,
}

/// As of when data products are read.
const AS_OF: &str = "mesh.as_of";

/// One known setting: (name, kind, default, reported to the client, description).
struct Definition(&'static str, Kind, &'static str, bool, &'static str);

const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];
const LEVELS: &[&str] = &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

/// Every setting there is, sorted by lower-case name. What is not here is not a setting.
const DEFINITIONS: &[Definition] = &[
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

fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|d| d.0.eq_ignore_ascii_case(name))
}

/// The settings of one session: only what differs from the defaults is stored.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Canonical name (lower case) to canonical value.
    /// Shared between copies until one of them changes, since every transaction keeps a copy.
    changed: Arc<BTreeMap<String, String>>,
    /// What RESET goes back to: values from the server's configuration and the startup message.
    initial: Arc<BTreeMap<String, String>>,
    /// What SET LOCAL changed, with the value before: undone when the transaction ends.
    before_local: BTreeMap<String, Option<String>>,
    time_zone: TimeZone,
    search_path: Arc<[String]>,
    /// What `statement_timeout` cannot be raised beyond, in milliseconds.
    statement_timeout_max: Option<i64>,
    /// Grows with every change, so that others can tell cheaply that there was one.
    revision: u64,
}

impl Settings {
    /// Settings of a new session of this principal. `defaults` come from the server's configuration.
    pub fn new(user: &str, defaults: &[(&str, String)]) -> Result<Self> {
        let mut settings = Self {
            changed: Arc::default(),
            initial: Arc::default(),
            before_local: BTreeMap::new(),
            time_zone: TimeZone::UTC,
            search_path: Arc::from(["$user".to_owned(), "public".to_owned()]),
            statement_timeout_max: None,
            revision: 0,
        };
        Arc::make_mut(&mut settings.initial).insert("session_authorization".to_owned(), user.to_owned());
        for (name, value) in defaults {
            settings.set_initial(name, value)?;
        }
        Ok(settings)
    }

    /// Sets a value and makes it what RESET goes back to (startup message, configuration).
    pub fn set_initial(&mut self, name: &str, value: &str) -> Result<()> {
        self.set(name, value)?;
        let key = name.to_ascii_lowercase();
        if let Some(value) = Arc::make_mut(&mut self.changed).remove(&key) {
            Arc::make_mut(&mut self.initial).insert(key, value);
        }
        Ok(())
    }

    /// From now on `statement_timeout` is at most this, whatever a session sets; zero for no ceiling. A longer time, or
    /// none, is no error, since clients set 0 without being asked to: SHOW tells what holds.
    pub fn limit_statement_timeout(&mut self, max: Duration) -> Result<()> {
        self.statement_timeout_max = i64::try_from(max.as_millis()).ok().filter(|max| *max > 0);
        let current = self.raw("statement_timeout").unwrap_or("0").to_owned();
        self.set_initial("statement_timeout", &current)
    }

    /// Sets a value until [`Self::end_local`] (SET LOCAL).
    pub fn set_local(&mut self, name: &str, value: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        let before = self.before_local.get(&key).cloned().unwrap_or_else(|| self.changed.get(&key).cloned());
        self.set(name, value)?;
        self.before_local.insert(key, before);
        Ok(())
    }

    /// Undoes what SET LOCAL changed.
    pub fn end_local(&mut self) {
        if self.before_local.is_empty() {
            return;
        }
        for (key, before) in std::mem::take(&mut self.before_local) {
            match before {
                Some(value) => Arc::make_mut(&mut self.changed).insert(key, value),
                None => Arc::make_mut(&mut self.changed).remove(&key),
            };
        }
        self.refresh_parsed();
    }

    /// Sets a value after checking it.
    ///
    /// # Errors
    /// `42704` for an unknown name, `22023` for a bad value, `55P02` for one that cannot be changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(invalid(name, &value.chars().take(40).collect::<String>()));
        }
        let key = name.to_ascii_lowercase();
        let Some(definition) = definition(name) else {
            return self.set_custom(key, name, value);
        };
        let canonical = self.canonical(definition, value)?;
        match definition.1 {
            Kind::TimeZone => {
                self.time_zone = TimeZone::parse(value).ok_or_else(|| invalid(definition.0, value))?;
            }
            Kind::SearchPath => self.search_path = split_path(&canonical).into(),
            _ => {}
        }
        // a plain SET after SET LOCAL outlives the transaction
        self.before_local.remove(&key);
        self.revision += 1;
        Arc::make_mut(&mut self.changed).insert(key, canonical);
        Ok(())
    }

    /// Turns break-glass on, until the transaction's end if `local`. Whoever calls it has checked that the principal may,
    /// and has recorded it.
    pub fn begin_break_glass(&mut self, reason: &str, local: bool) {
        let key = BREAK_GLASS.to_owned();
        if local {
            let before = self.before_local.get(&key).cloned().unwrap_or_else(|| self.changed.get(&key).cloned());
            self.before_local.insert(key.clone(), before);
        } else {
            self.before_local.remove(&key);
        }
        self.revision += 1;
        Arc::make_mut(&mut self.changed).insert(key, reason.to_owned());
    }

    /// The reason why break-glass is on; `None` while it is off.
    pub fn break_glass(&self) -> Option<&str> {
        self.changed.get(BREAK_GLASS).map(String::as_str)
    }

    fn set_custom(&mut self, key: String, name: &str, value: &str) -> Result<()> {
        let valid = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        };
        // PostgreSQL 15, 20.16 "Customized Options": two parts or more, each an identifier
        if !name.contains('.') || !name.split('.').all(valid) || name.len() > 128 || is_engines(name) {
            return Err(unknown(name));
        }
        let custom = self.changed.keys().filter(|k| k.contains('.')).count();
        if custom >= CUSTOM_SETTINGS_MAX && !self.changed.contains_key(&key) {
            return Err(Error::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may have {CUSTOM_SETTINGS_MAX} customized options"),
            ));
        }
        // a plain SET after SET LOCAL outlives the transaction
        self.before_local.remove(&key);
        self.revision += 1;
        Arc::make_mut(&mut self.changed).insert(key, value.to_owned());
        Ok(())
    }

    fn canonical(&self, definition: &Definition, value: &str) -> Result<String> {
        let name = definition.0;
        let bad = || invalid(name, value);
        Ok(match definition.1 {
            Kind::Text | Kind::SearchPath => value.to_owned(),
            Kind::Bool => match parse_bool(value) {
                Some(true) => "on".to_owned(),
                Some(false) => {
                    if name == "transaction_read_only" || name == "default_transaction_read_only" {
                        return Err(Error::new(
                            SqlState::FEATURE_NOT_SUPPORTED,
                            "cannot set transaction read-write mode",
                        )
                        .hint("Data products are read-only here; their domains write them."));
                    }
                    "off".to_owned()
                }
                None => {
                    return Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("parameter \"{name}\" requires a Boolean value"),
                    ));
                }
            },
            Kind::Word(words) => {
                let word = value.trim().to_ascii_lowercase();
                let word = match word.as_str() {
                    // booleans among the words may be spelled in any way
                    "true" | "yes" | "1" if words.contains(&"on") => "on",
                    other => other,
                };
                (*words
                    .iter()
                    .find(|w| **w == word)
                    .ok_or_else(|| bad().hint(format!("Available values: {}.", words.join(", "))))?)
                .to_owned()
            }
            Kind::Int(low, high) => {
                let number: i64 = value.trim().parse().map_err(|_| bad())?;
                if !(low..=high).contains(&number) {
                    return Err(Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("{number} is outside the valid range for parameter \"{name}\" ({low} .. {high})"),
                    ));
                }
                number.to_string()
            }
            Kind::Timeout => {
                let milliseconds = parse_timeout_ms(value).ok_or_else(bad)?;
                match self.statement_timeout_max {
                    Some(max) if name == "statement_timeout" && !(1..=max).contains(&milliseconds) => max.to_string(),
                    _ => milliseconds.to_string(),
                }
            }
            Kind::Encoding => {
                let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                match plain.to_ascii_lowercase().as_str() {
                    "utf8" | "unicode" => "UTF8".to_owned(),
                    _ => {
                        return Err(bad().hint("The only encoding is UTF8."));
                    }
                }
            }
            Kind::DateStyle => canonical_date_style(self.get("datestyle").as_deref().unwrap_or("ISO, MDY"), value)
                .ok_or_else(|| bad().hint("The only output style is ISO."))?,
            Kind::TimeZone => TimeZone::parse(value).ok_or_else(bad)?.name(),
            Kind::BreakGlass => {
                return Err(Error::new(
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    format!("permission denied to set parameter \"{name}\""),
                )
                .hint("It takes the role break_glass and a statement of its own: SET mesh.break_glass = 'reason'."));
            }
            Kind::Moment if value.trim().is_empty() => String::new(),
            Kind::Moment => {
                let moment = moment::parse(value, &self.time_zone).ok_or_else(|| {
                    bad().hint("Write a date or a timestamp, such as 2026-05-01 or 2026-05-01 12:00:00+00.")
                })?;
                moment::show(moment)
            }
            Kind::Internal => {
                return Err(Error::new(
                    SqlState::CANT_CHANGE_RUNTIME_PARAM,
                    format!("parameter \"{name}\" cannot be changed"),
                ));
            }
        })
    }

    /// Back to the initial value (RESET).
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        match definition(name) {
            None if is_engines(name) || (!self.changed.contains_key(&key) && !name.contains('.')) => {
                return Err(unknown(name));
            }
            Some(Definition(name, Kind::Internal, ..)) => {
                return Err(Error::new(
                    SqlState::CANT_CHANGE_RUNTIME_PARAM,
                    format!("parameter \"{name}\" cannot be changed"),
                ));
            }
            _ => {}
        }
        // like a plain SET, it outlives the transaction
        self.before_local.remove(&key);
        Arc::make_mut(&mut self.changed).remove(&key);
        self.refresh_parsed();
        Ok(())
    }

    /// Back to the initial value until [`Self::end_local`] (SET LOCAL … TO DEFAULT).
    pub fn reset_local(&mut self, name: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        let before = self.before_local.get(&key).cloned().unwrap_or_else(|| self.changed.get(&key).cloned());
        self.reset(name)?;
        self.before_local.insert(key, before);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.before_local.clear();
        Arc::make_mut(&mut self.changed).clear();
        self.refresh_parsed();
    }

    fn refresh_parsed(&mut self) {
        self.revision += 1;
        let zone = self.get("timezone").and_then(|name| TimeZone::parse(&name));
        self.time_zone = zone.unwrap_or(TimeZone::UTC);
        self.search_path = split_path(&self.get("search_path").unwrap_or_default()).into();
    }

    /// The current value as SHOW prints it; `None` when there is no such setting.
    pub fn get(&self, name: &str) -> Option<String> {
        let key = name.to_ascii_lowercase();
        let stored = self.changed.get(&key).or_else(|| self.initial.get(&key));
        match (stored, definition(name)) {
            (Some(value), Some(Definition(_, Kind::Timeout, ..))) => Some(show_timeout(value)),
            (Some(value), _) => Some(value.clone()),
            (None, Some(definition)) => Some(definition.2.to_owned()),
            (None, None) => None,
        }
    }

    /// The current value, or `42704`.
    pub fn show(&self, name: &str) -> Result<String> {
        self.get(name).ok_or_else(|| unknown(name))
    }

    /// The name as PostgreSQL spells it, for the column that SHOW returns.
    pub fn spelled(name: &str) -> String {
        definition(name).map_or_else(|| name.to_ascii_lowercase(), |d| d.0.to_owned())
    }

    /// (name, value, description) of every setting, for SHOW ALL.
    pub fn all(&self) -> Vec<(String, String, &'static str)> {
        DEFINITIONS.iter().map(|d| (d.0.to_owned(), self.get(d.0).unwrap_or_default(), d.4)).collect()
    }

    /// Settings that the client is told about when they change (ParameterStatus).
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        DEFINITIONS.iter().filter(|d| d.3).map(|d| (d.0, self.get(d.0).unwrap_or_default()))
    }

    /// Differs from every earlier one after a change. A restored copy of older settings has an older one.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Bytes that keeping this copy takes beside `other`; nothing where neither changed since one was copied.
    pub fn bytes_beside(&self, other: &Self) -> usize {
        let local = self.before_local.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
        let changed = self.changed.iter().map(|(name, value)| name.len() + value.len());
        local.sum::<usize>() + if Arc::ptr_eq(&self.changed, &other.changed) { 0 } else { changed.sum() }
    }

    pub fn time_zone(&self) -> &TimeZone {
        &self.time_zone
    }

    /// Schemas to look in, in order; `$user` is left as it stands.
    pub fn search_path(&self) -> &[String] {
        &self.search_path
    }

    /// Limit on a statement's time; `None` for no limit.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    /// Limit on the time between statements of a transaction; `None` for no limit.
    pub fn idle_in_transaction_session_timeout(&self) -> Option<Duration> {
        self.duration("idle_in_transaction_session_timeout")
    }

    /// As of when data products are read; `None` is now.
    pub fn as_of(&self) -> Option<DateTime<Utc>> {
        moment::parse(self.raw(AS_OF)?, &TimeZone::UTC)
    }

    pub fn bytea_escape(&self) -> bool {
        self.raw("bytea_output") == Some("escape")
    }

    pub fn extra_float_digits(&self) -> i8 {
        self.raw("extra_float_digits").and_then(|v| v.parse().ok()).unwrap_or(1)
    }

    fn raw(&self, key: &str) -> Option<&str> {
        self.changed.get(key).or_else(|| self.initial.get(key)).map(String::as_str)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        let milliseconds: u64 = self.raw(key)?.parse().ok()?;
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }
}

/// The reason for break-glass, without blanks around it.
///
/// # Errors
/// `22023` when it is too short to say anything, or too long.
pub fn break_glass_reason(text: &str) -> Result<&str> {
    let reason = text.trim();
    if (REASON_CHARS_MIN..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        return Ok(reason);
    }
    let message = format!("the reason for break-glass takes {REASON_CHARS_MIN} to {REASON_CHARS_MAX} characters");
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        .hint("Say what happened and what you need the data for; RESET mesh.break_glass turns it off."))
}

/// No setting of the engine is a client's to see or to change (DESIGN.md, section 5.7), and none of the mesh's own is a
/// client's to invent: a misspelt `mesh.as_of` must not pass.
fn is_engines(name: &str) -> bool {
    let prefix = name.split_once('.').map(|(prefix, _)| prefix);
    prefix.is_some_and(|prefix| ["datafusion", "mesh"].iter().any(|own| prefix.eq_ignore_ascii_case(own)))
}

fn unknown(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn invalid(name: &str, value: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{name}\": \"{value}\""))
}

/// PostgreSQL 15, 20.1.1 "Parameter Names and Values": any unambiguous prefix of true, false, yes, no; on, off, 1, 0.
pub fn parse_bool(value: &str) -> Option<bool> {
    let word = value.trim().to_ascii_lowercase();
    match word.as_str() {
        "" | "o" => None,
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        w if "true".starts_with(w) || "yes".starts_with(w) => Some(true),
        w if "false".starts_with(w) || "no".starts_with(w) => Some(false),
        _ => None,
    }
}

/// Milliseconds from `5000`, `5s`, `1min`, `100 ms`, `2h`, `1d`, `10us`.
fn parse_timeout_ms(value: &str) -> Option<i64> {
    let value = value.trim();
    let end = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    let number: f64 = value[..end].parse().ok()?;
    let factor = match value[end..].trim() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let milliseconds = (number * factor).round();
    (milliseconds <= f64::from(i32::MAX)).then_some(milliseconds as i64)
}

/// SHOW prints a time in the largest unit that divides it.
fn show_timeout(value: &str) -> String {
    match value.parse::<i64>() {
        Ok(0) | Err(_) => value.to_owned(),
        Ok(ms) if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        Ok(ms) if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        Ok(ms) if ms % 60_000 == 0 => format!("{}min", ms / 60_000),
        Ok(ms) if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        Ok(ms) => format!("{ms}ms"),
    }
}

fn canonical_date_style(current: &str, value: &str) -> Option<String> {
    let mut order = current.rsplit(", ").next().unwrap_or("MDY").to_owned();
    for word in value.split(',') {
        match word.trim().to_ascii_uppercase().as_str() {
            "ISO" | "DEFAULT" => {}
            "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => "MDY".clone_into(&mut order),
            "DMY" | "EURO" | "EUROPEAN" => "DMY".clone_into(&mut order),
            "YMD" => "YMD".clone_into(&mut order),
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
}

/// Splits a search path at its commas; names may be quoted.
fn split_path(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => part.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("ann", &[]).unwrap()
    }

    #[test]
    fn names_are_case_insensitive_and_sorted() {
        let mut s = settings();
        s.set("TIMEZONE", "Europe/Berlin").unwrap();
        assert_eq!(s.show("timezone").unwrap(), "Europe/Berlin");
        assert_eq!(Settings::spelled("datestyle"), "DateStyle");
        assert!(DEFINITIONS.windows(2).all(|w| w[0].0.to_lowercase() < w[1].0.to_lowercase()));
    }

    #[test]
    fn unknown_bad_and_read_only_are_refused_with_postgres_codes() {
        let mut s = settings();
        assert_eq!(s.set("my.own", "1").err(), None, "a dotted name is a custom option");
        for name in ["datafusion.execution.batch_size", "DataFusion.x", "datafusion.no_such"] {
            assert_eq!(s.set(name, "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
            assert_eq!(s.set_local(name, "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
            assert_eq!(s.set_initial(name, "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
            assert_eq!(s.reset(name).unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
            assert_eq!(s.show(name).unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT, "{name}");
        }
        assert_eq!(s.set("no_such", "1").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
        assert_eq!(s.set("TimeZone", "Mars/Base").unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(s.set("server_version", "9").unwrap_err().sqlstate(), SqlState::CANT_CHANGE_RUNTIME_PARAM);
        assert_eq!(s.set("session_authorization", "bob").unwrap_err().sqlstate(), SqlState::CANT_CHANGE_RUNTIME_PARAM);
        assert_eq!(s.set("row_security", "off").unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(s.set("transaction_read_only", "off").unwrap_err().sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(s.show("no_such").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
        assert_eq!(s.show("session_authorization").unwrap(), "ann");
    }

    #[test]
    fn timeouts_take_units_and_show_the_largest() {
        let mut s = settings();
        s.set("statement_timeout", "1min").unwrap();
        assert_eq!(s.statement_timeout(), Some(Duration::from_mins(1)));
        assert_eq!(s.show("statement_timeout").unwrap(), "1min");
        s.set("statement_timeout", "1500").unwrap();
        assert_eq!(s.show("statement_timeout").unwrap(), "1500ms");
        s.set("statement_timeout", "0").unwrap();
        assert_eq!(s.statement_timeout(), None);
        assert!(s.set("statement_timeout", "soon").is_err());
        assert!(s.set("statement_timeout", "-1").is_err());
    }

    #[test]
    fn a_statement_timeout_has_a_ceiling() {
        let max = Duration::from_mins(1);
        let mut s = settings();
        s.limit_statement_timeout(max).unwrap();
        assert_eq!(s.statement_timeout(), Some(max));
        for raised in ["0", "2min", "1d"] {
            s.set_initial("statement_timeout", raised).unwrap();
            assert_eq!(s.show("statement_timeout").unwrap(), "1min", "{raised} in the startup message");
            s.set("statement_timeout", raised).unwrap();
            s.set_local("statement_timeout", raised).unwrap();
            assert_eq!(s.show("statement_timeout").unwrap(), "1min", "{raised}");
        }
        s.set("statement_timeout", "5s").unwrap();
        assert_eq!(s.statement_timeout(), Some(Duration::from_secs(5)), "shorter is the session's own business");
        s.reset("statement_timeout").unwrap();
        assert_eq!(s.statement_timeout(), Some(max));
        s.set("idle_in_transaction_session_timeout", "2h").unwrap();
        assert_eq!(s.idle_in_transaction_session_timeout(), Some(Duration::from_hours(2)));
        let mut short = Settings::new("ann", &[("statement_timeout", "5000".to_owned())]).unwrap();
        short.limit_statement_timeout(max).unwrap();
        assert_eq!(short.show("statement_timeout").unwrap(), "5s");
        short.limit_statement_timeout(Duration::ZERO).unwrap();
        short.set("statement_timeout", "0").unwrap();
        assert_eq!(short.statement_timeout(), None);
    }

    #[test]
    fn break_glass_is_set_by_no_ordinary_way() {
        let mut s = settings();
        let reason = "the nightly load deleted orders";
        let code = |result: Result<()>| result.unwrap_err().sqlstate();
        for name in [BREAK_GLASS, "MESH.Break_Glass"] {
            assert_eq!(code(s.set(name, reason)), SqlState::INSUFFICIENT_PRIVILEGE);
            assert_eq!(code(s.set_local(name, reason)), SqlState::INSUFFICIENT_PRIVILEGE);
            assert_eq!(code(s.set_initial(name, reason)), SqlState::INSUFFICIENT_PRIVILEGE);
        }
        assert_eq!((s.break_glass(), s.show(BREAK_GLASS).unwrap().as_str()), (None, ""));
        s.begin_break_glass(reason, false);
        assert_eq!((s.break_glass(), s.show(BREAK_GLASS).unwrap().as_str()), (Some(reason), reason));
        s.reset(BREAK_GLASS).unwrap();
        assert_eq!(s.break_glass(), None);
        s.begin_break_glass(reason, true);
        assert_eq!(s.break_glass(), Some(reason));
        s.end_local();
        assert_eq!(s.break_glass(), None);
        s.begin_break_glass(reason, false);
        s.reset_all();
        assert_eq!(s.break_glass(), None);
    }

    #[test]
    fn a_reason_says_something() {
        assert_eq!(break_glass_reason("  ten chars!  ").unwrap(), "ten chars!");
        for text in ["", "why", "         x         ", &"x".repeat(REASON_CHARS_MAX + 1)] {
            assert_eq!(break_glass_reason(text).unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
        }
    }

    #[test]
    fn the_moment_is_read_in_the_session_s_zone_and_kept_as_one() {
        let mut s = settings();
        assert_eq!((s.as_of(), s.show("mesh.as_of").unwrap().as_str()), (None, ""));
        s.set("TimeZone", "Asia/Tokyo").unwrap();
        s.set("Mesh.AS_OF", "2026-05-01 12:00").unwrap();
        s.set("TimeZone", "UTC").unwrap();
        assert_eq!(s.show("mesh.as_of").unwrap(), "2026-05-01 03:00:00+00");
        assert_eq!(s.as_of().unwrap().timestamp(), 1_777_604_400);
        let refused = s.set("mesh.as_of", "soon").unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::INVALID_PARAMETER_VALUE);
        assert!(refused.report().hint.is_some() && s.as_of().is_some());
        s.set_local("mesh.as_of", "").unwrap();
        assert_eq!(s.as_of(), None);
        s.end_local();
        assert!(s.as_of().is_some());
        s.reset("mesh.as_of").unwrap();
        assert_eq!(s.as_of(), None);
        assert_eq!(s.set("mesh.asof", "2026-05-01").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
    }

    #[test]
    fn reset_goes_back_to_what_the_startup_message_said() {
        let mut s = settings();
        s.set_initial("application_name", "psql").unwrap();
        s.set("application_name", "other").unwrap();
        s.set("TimeZone", "Asia/Tokyo").unwrap();
        s.reset_all();
        assert_eq!(s.show("application_name").unwrap(), "psql");
        assert_eq!(s.time_zone().name(), "UTC");
        assert_eq!(s.reset("no_such").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
    }

    #[test]
    fn set_local_ends_with_the_transaction() {
        let mut s = settings();
        s.set("application_name", "a").unwrap();
        s.set_local("application_name", "b").unwrap();
        s.set_local("TimeZone", "Asia/Tokyo").unwrap();
        s.set_local("application_name", "c").unwrap();
        s.end_local();
        assert_eq!(s.show("application_name").unwrap(), "a");
        assert_eq!(s.time_zone().name(), "UTC");
    }

    #[test]
    fn a_plain_set_or_reset_after_set_local_outlives_the_transaction() {
        let mut s = settings();
        for name in ["application_name", "my.own"] {
            s.set(name, "before").unwrap();
            s.set_local(name, "local").unwrap();
            s.set(name, "kept").unwrap();
            s.end_local();
            assert_eq!(s.show(name).unwrap(), "kept", "{name}");
        }
        s.set_local("application_name", "local").unwrap();
        s.reset("application_name").unwrap();
        s.end_local();
        assert_eq!(s.show("application_name").unwrap(), "");
        s.set("application_name", "a").unwrap();
        s.set_local("application_name", "local").unwrap();
        s.reset_all();
        s.end_local();
        assert_eq!(s.show("application_name").unwrap(), "");
    }

    #[test]
    fn set_local_to_default_ends_with_the_transaction() {
        let mut s = settings();
        s.set("TimeZone", "Asia/Tokyo").unwrap();
        s.reset_local("TimeZone").unwrap();
        assert_eq!(s.time_zone().name(), "UTC");
        s.end_local();
        assert_eq!(s.time_zone().name(), "Asia/Tokyo");
        assert!(s.reset_local("no_such").is_err());
    }

    #[test]
    fn a_copy_costs_nothing_until_something_changes() {
        let mut s = settings();
        s.set("application_name", "abc").unwrap();
        let copy = s.clone();
        assert_eq!(copy.bytes_beside(&s), 0);
        s.set("my.own", "12345").unwrap();
        assert_eq!(s.bytes_beside(&copy), "application_nameabcmy.own12345".len());
        assert_eq!(copy.show("my.own").unwrap_err().sqlstate(), SqlState::UNDEFINED_OBJECT);
        let copy = s.clone();
        s.set_local("my.own", "6").unwrap();
        assert!(s.bytes_beside(&copy) > 0);
    }

    #[test]
    fn search_path_is_split_with_quotes() {
        let mut s = settings();
        s.set("search_path", "Sales, \"Odd \"\"Name\"").unwrap();
        assert_eq!(s.search_path(), ["sales", "Odd \"Name"]);
    }

    #[test]
    fn date_style_keeps_iso() {
        let mut s = settings();
        s.set("datestyle", "dmy").unwrap();
        assert_eq!(s.show("DateStyle").unwrap(), "ISO, DMY");
        assert!(s.set("datestyle", "German").is_err());
    }

    #[test]
    fn custom_options_are_bounded() {
        let mut s = settings();
        for i in 0..CUSTOM_SETTINGS_MAX {
            s.set(&format!("app.k{i}"), "v").unwrap();
        }
        assert_eq!(s.set("app.more", "v").unwrap_err().sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        assert!(s.set("1.bad", "v").is_err());
    }
}
