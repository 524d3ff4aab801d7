//! Which settings there are: names, kinds, defaults, and what a client is told about them.
//!
//! What is not here is not a setting. The list is PostgreSQL 15's own, taken from its `pg_settings`, so that whatever a client
//! asks for has an answer: what this server does differently, or does at all, stands in [`OWN`]; the others change nothing
//! here and show PostgreSQL's default. How a value of each kind is written is `value`'s to know.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{AS_OF, BREAK_GLASS, SERVER_VERSION, SERVER_VERSION_NUM};

/// A line for each setting: name, type, context, unit, least and greatest value, words, value, `hidden` from ordinary users,
/// category, description, further description. Sorted by name in lower case.
const POSTGRES: &str = include_str!("postgres15.tsv");

/// How a value is checked and brought into its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// Text of which a client sees ASCII only.
    Ascii,
    Bool,
    /// One of these words, with commas between them.
    Word(&'static str),
    /// A number in the setting's unit.
    Number {
        real: bool,
    },
    Encoding,
    DateStyle,
    TimeZone,
    SearchPath,
    /// Who one already is, or none.
    Role,
    /// Set by [`super::Settings::begin_break_glass`] alone, which only a session calls that has checked who asks.
    BreakGlass,
    /// A point in time, or nothing.
    Moment,
}

/// One known setting.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) kind: Kind,
    /// The value as it is kept.
    pub(super) default: &'static str,
    /// The client is told when it changes (ParameterStatus).
    pub(super) reported: bool,
    /// Stands in SHOW ALL and `pg_settings`.
    pub(super) listed: bool,
    /// Only those who see the server's files see it.
    pub(super) hidden: bool,
    pub(super) facts: Facts,
}

/// What `pg_settings` says of a setting that does not depend on the session (PostgreSQL 15, 54.24 "pg_settings").
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub name: &'static str,
    /// `bool`, `enum`, `integer`, `real` or `string`.
    pub vartype: &'static str,
    /// When it can be changed: `internal`, `postmaster`, `sighup`, `superuser-backend`, `backend`, `superuser`, `user`.
    pub context: &'static str,
    /// Empty where it has none.
    pub unit: &'static str,
    /// Empty where there is none.
    pub min_val: &'static str,
    pub max_val: &'static str,
    /// Allowed words, with commas between them.
    pub enumvals: &'static str,
    pub category: &'static str,
    pub short_desc: &'static str,
    pub extra_desc: &'static str,
}

/// (name, kind, default, reported): what differs here from what the list says.
const OWN: &[(&str, Option<Kind>, Option<&str>, bool)] = &[
    ("application_name", Some(Kind::Ascii), None, true),
    ("client_encoding", Some(Kind::Encoding), None, true),
    ("DateStyle", Some(Kind::DateStyle), None, true),
    ("default_transaction_read_only", None, Some("on"), true),
    ("in_hot_standby", None, None, true),
    ("integer_datetimes", None, None, true),
    ("IntervalStyle", None, None, true),
    ("lc_ctype", None, Some("C.UTF-8"), false),
    ("row_security", Some(Kind::Word("on")), None, false),
    ("search_path", Some(Kind::SearchPath), Some("\"$user\", public, data_catalog"), false),
    ("server_encoding", None, Some("UTF8"), true),
    ("server_version", None, Some(SERVER_VERSION), true),
    ("server_version_num", None, Some(SERVER_VERSION_NUM), false),
    ("standard_conforming_strings", Some(Kind::Word("on")), None, true),
    ("TimeZone", Some(Kind::TimeZone), None, true),
    ("transaction_read_only", None, Some("on"), false),
];

/// (name, kind, context, default, reported, listed, description): what the list does not have.
type Further = (&'static str, Kind, &'static str, &'static str, bool, bool, &'static str);
const FURTHER: &[Further] = &[
    ("is_superuser", Kind::Bool, "internal", "off", true, false, "Shows whether the current user is a superuser."),
    ("session_authorization", Kind::Text, "internal", "", true, false, "Sets the session user name."),
    ("role", Kind::Role, "user", "none", false, false, "Sets the current role."),
    (AS_OF, Kind::Moment, "user", "", false, true, "Sets the moment as of which data products are read; empty is now."),
    (
        BREAK_GLASS,
        Kind::BreakGlass,
        "user",
        "",
        false,
        true,
        "Reads everything in an emergency, for the reason given; every use is recorded.",
    ),
];

/// Every setting there is, by its name in lower case.
static DEFINITIONS: LazyLock<BTreeMap<String, Definition>> = LazyLock::new(|| {
    let listed = POSTGRES.lines().filter_map(line);
    let further = FURTHER.iter().map(|(name, kind, context, default, reported, listed, short_desc)| {
        let facts = Facts {
            name,
            vartype: if *kind == Kind::Bool { "bool" } else { "string" },
            context,
            unit: "",
            min_val: "",
            max_val: "",
            enumvals: "",
            category: "Customized Options",
            short_desc,
            extra_desc: "",
        };
        Definition { kind: *kind, default, reported: *reported, listed: *listed, hidden: false, facts }
    });
    listed.chain(further).map(|definition| (definition.facts.name.to_ascii_lowercase(), definition)).collect()
});

fn line(line: &'static str) -> Option<Definition> {
    let columns: Vec<&'static str> = line.split('\t').collect();
    let [name, vartype, context, unit, min_val, max_val, enumvals, value, hidden, category, short_desc, extra_desc] =
        columns[..]
    else {
        return None;
    };
    let own = OWN.iter().find(|own| own.0 == name);
    let kind = match vartype {
        "bool" => Kind::Bool,
        "enum" => Kind::Word(enumvals),
        "integer" => Kind::Number { real: false },
        "real" => Kind::Number { real: true },
        _ => Kind::Text,
    };
    Some(Definition {
        kind: own.and_then(|own| own.1).unwrap_or(kind),
        default: own.and_then(|own| own.2).unwrap_or(value),
        reported: own.is_some_and(|own| own.3),
        listed: true,
        hidden: !hidden.is_empty(),
        facts: Facts { name, vartype, context, unit, min_val, max_val, enumvals, category, short_desc, extra_desc },
    })
}

/// The setting of this name, in any case.
pub(super) fn definition(name: &str) -> Option<&'static Definition> {
    if let Some(found) = DEFINITIONS.get(name) {
        return Some(found);
    }
    DEFINITIONS.get(&name.to_ascii_lowercase())
}

/// All of them, by name in lower case.
pub(super) fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.values()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_what_is_own_is_in_it() {
        assert!(POSTGRES.lines().all(|text| line(text).is_some()));
        assert_eq!(DEFINITIONS.len(), POSTGRES.lines().count() + FURTHER.len(), "no name twice");
        for own in OWN {
            assert_eq!(definition(own.0).map(|found| found.facts.name), Some(own.0));
        }
        let reported: Vec<_> = definitions().filter(|found| found.reported).map(|found| found.facts.name).collect();
        // PostgreSQL 15, 55.2.7 "Asynchronous Operations"
        let expected = [
            "application_name",
            "client_encoding",
            "DateStyle",
            "default_transaction_read_only",
            "in_hot_standby",
            "integer_datetimes",
            "IntervalStyle",
            "is_superuser",
            "server_encoding",
            "server_version",
            "session_authorization",
            "standard_conforming_strings",
            "TimeZone",
        ];
        assert_eq!(reported, expected);
    }
}
