//! What functions know of the catalog: what its relations show to the principal, by OID and by name.
//!
//! It owns how names are read and looked for (PostgreSQL 15, section 5.9.3 "The Schema Search Path"; `namespace.c`). What
//! the principal may not discover is not there: an OID of it is an OID of nothing, and its name is nobody's.

use std::ops::Deref;

use super::super::context::Context;
use super::super::system::oids::VisibleOids;
use super::super::system::{self, information_schema, pg_catalog};
use super::call::{Arg, Returns, Row, Spec, Value};
use super::quote;
use crate::error::{Error, Result, SqlState};

/// The longest name, in bytes (`NAMEDATALEN` less its end).
const NAME_BYTES_MAX: usize = 63;

/// Functions that read names.
pub const FUNCTIONS: &[Spec] =
    &[Spec::new("parse_ident", &[&[Arg::Text], &[Arg::Text, Arg::Bool]], Returns::Texts, parse_ident)];

/// What one statement's functions know.
pub struct Known {
    pub context: Context,
    pub oids: VisibleOids,
    /// Where names without a schema are looked for, in order.
    path: Vec<String>,
}

impl Deref for Known {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Known {
    pub fn new(context: &Context) -> Self {
        Self { context: context.clone(), oids: context.oids(), path: context.search_path() }
    }

    /// The schemas in which names are looked for; those that do not exist for the principal hold nothing.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// The OID of the relation that a text names, as a `regclass` literal does.
    ///
    /// # Errors
    /// `42P01`, `3F000`, `42602`, `42601`, `0A000`, as `RangeVarGetRelid`.
    pub fn relation(&self, text: &str) -> Result<u32> {
        let names = qualified(text)?;
        let missing =
            || Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{}\" does not exist", names.join(".")));
        let (schema, name) = self.schema_and_name(&names, "relation")?;
        let found = match schema {
            Some(schema) => {
                self.namespace(schema)?;
                self.oids.relation(schema, name)
            }
            None => self.path.iter().find_map(|schema| self.oids.relation(schema, name)),
        };
        found.ok_or_else(missing)
    }

    /// The schema of a name, if it says one. The database of a name may be this one.
    ///
    /// # Errors
    /// `0A000` for another database, `42601` for more parts than names have.
    pub fn schema_and_name<'a>(&self, names: &'a [String], what: &str) -> Result<(Option<&'a str>, &'a str)> {
        match names {
            [name] => Ok((None, name)),
            [schema, name] => Ok((Some(schema), name)),
            [database, schema, name] if **database == *self.facts.database => Ok((Some(schema), name)),
            [_, _, _] => Err(Error::unsupported(format!(
                "cross-database references are not implemented: \"{}\"",
                names.join(".")
            ))),
            _ if what == "relation" => Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("improper relation name (too many dotted names): {}", names.join(".")),
            )),
            _ => Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("improper qualified name (too many dotted names): {}", names.join(".")),
            )),
        }
    }

    /// The OID of a schema.
    ///
    /// # Errors
    /// `3F000` where there is none for the principal.
    pub fn namespace(&self, name: &str) -> Result<u32> {
        let missing = || Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"));
        self.oids.namespace(name).ok_or_else(missing)
    }

    /// The OID of a role.
    ///
    /// # Errors
    /// `42704` where there is none for the principal.
    pub fn role(&self, name: &str) -> Result<u32> {
        let missing = || Error::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"));
        self.oids.role(name).ok_or_else(missing)
    }

    /// A name as it must be written to be found: with its schema where the path does not lead to it.
    pub fn written(&self, schema: &str, name: &str, is_found: impl Fn(&str) -> bool) -> String {
        let first = self.path.iter().find(|schema| is_found(schema));
        if first.is_some_and(|first| self.is_same_schema(first, schema)) {
            quote::ident(name)
        } else {
            format!("{}.{}", quote::ident(schema), quote::ident(name))
        }
    }

    /// Whether two names are of one schema: that of the session's views has two.
    pub fn is_same_schema(&self, one: &str, other: &str) -> bool {
        one == other || self.oids.namespace(one).is_some_and(|oid| self.oids.namespace(other) == Some(oid))
    }
}

/// The schemas of a path that exist for the principal, each once; those that PostgreSQL searches unasked apart.
pub fn existing_path(context: &Context) -> Vec<String> {
    let unasked = !context.settings.lock().search_path().iter().any(|schema| schema == pg_catalog::SCHEMA);
    let mut path: Vec<String> = Vec::new();
    for schema in context.search_path() {
        let exists = context.visible.schemas().contains(&schema)
            || [system::SCHEMA, information_schema::SCHEMA].contains(&schema.as_str())
            || schema == pg_catalog::SCHEMA && !unasked;
        if exists && !path.contains(&schema) {
            path.push(schema);
        }
    }
    path
}

/// A name with dots between its parts: those without quotes fold to lower case (`stringToQualifiedNameList`).
///
/// # Errors
/// `42602` for a text that is no name.
pub fn qualified(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::new(SqlState::INVALID_NAME, "invalid name syntax");
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            (name, rest) = in_quotes(quoted).ok_or_else(invalid)?;
        } else {
            let end = rest.find(|c: char| c == '.' || c.is_ascii_whitespace()).unwrap_or(rest.len());
            name = rest[..end].to_lowercase();
            rest = &rest[end..];
            if name.is_empty() {
                return Err(invalid());
            }
        }
        names.push(cut(name));
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => return Ok(names),
            None => return Err(invalid()),
        }
    }
}

/// `parse_ident(text, strict)` (PostgreSQL 15, table 9.10): the parts of a name. Unless it is strict, what follows a name
/// does not matter.
fn parse_ident(_: &Known, row: &Row<'_>) -> Result<Value> {
    let (Some(text), strict) = (row.text(0), row.flag(1).unwrap_or(true)) else { return Ok(Value::Null) };
    let invalid = |detail: Option<&str>| {
        let error =
            Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("string is not a valid identifier: \"{text}\""));
        match detail {
            Some(detail) => error.detail(detail.to_owned()),
            None => error,
        }
    };
    // an identifier ends where no letter, digit, _ or $ follows, which only this function cares for
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = in_quotes(quoted).ok_or_else(|| invalid(Some("String has unclosed double quotes.")))?;
            if name.is_empty() {
                return Err(invalid(Some("Quoted identifier must not be empty.")));
            }
            parts.push(Some(name));
            rest = after;
        } else {
            let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit() || c == '$') {
                let before = if rest.starts_with('.') { Some("No valid identifier before \".\".") } else { None };
                let after = (!parts.is_empty()).then_some("No valid identifier after \".\".");
                return Err(invalid(before.or(after)));
            }
            parts.push(Some(rest[..end].to_lowercase()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || !strict => return Ok(Value::Texts(parts)),
            None => return Err(invalid(None)),
        }
    }
}

/// The name before the closing quote, and what follows it.
fn in_quotes(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, rest)),
        }
    }
}

/// Names are cut where they are too long (`truncate_identifier`).
fn cut(mut name: String) -> String {
    if name.len() > NAME_BYTES_MAX {
        let end = (0..=NAME_BYTES_MAX).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        name.truncate(end);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_postgresql_reads_them() {
        for (text, names) in [
            ("Orders", vec!["orders"]),
            (" sales . \"Big \"\"O\"\".x\" ", vec!["sales", "Big \"O\".x"]),
            ("a.b.c.d", vec!["a", "b", "c", "d"]),
        ] {
            assert_eq!(qualified(text).unwrap(), names, "{text}");
        }
        for text in ["", " ", "a b", "a.", ".a", "\"a", "\"a\"b", "a..b"] {
            assert_eq!(qualified(text).unwrap_err().sqlstate(), SqlState::INVALID_NAME, "{text}");
        }
        assert_eq!(qualified(&"x".repeat(80)).unwrap()[0].len(), 63);
    }
}
