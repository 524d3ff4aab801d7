//! COPY TO STDOUT: what its options mean, which of them go together, and over which columns they are.
//!
//! PostgreSQL 15, SQL command COPY; errors, and the order in which they are found, as in `copy.c`, `ProcessCopyOptions`.

use datafusion::arrow::datatypes::Schema;
use datafusion::sql::parser::Statement as DfStatement;

use crate::error::{Error, Result, SqlState};
use crate::settings::parse_bool;
use crate::statement::context::Context;
use crate::statement::parse::copy::{Argument, CopyOption};
use crate::statement::views;

/// COPY of a query or a table to the client.
#[derive(Clone, Debug)]
pub struct CopyOut {
    pub query: Box<DfStatement>,
    /// The parts of the table's name, where a table is copied.
    pub table: Option<Vec<String>>,
    /// The columns that were named with the table.
    pub columns: Vec<String>,
    pub options: Vec<CopyOption>,
}

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Binary,
    Text {
        delimiter: u8,
        null: String,
        header: bool,
    },
    Csv {
        delimiter: u8,
        null: String,
        header: bool,
        quote: u8,
        escape: u8,
        /// Columns whose values stand in quotes whatever they are, one flag for each.
        force_quote: Vec<bool>,
    },
}

/// Encodings whose bytes are those of UTF-8, or that convert nothing.
const ENCODINGS: &[&str] = &["utf8", "unicode", "sqlascii"];

/// The options as they were given.
#[derive(Default)]
struct Options {
    format: Option<Format>,
    freeze: Option<bool>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<bool>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<Force>,
    force_not_null: Option<Vec<String>>,
    force_null: Option<Vec<String>>,
    encoding: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Csv,
    Binary,
}

enum Force {
    All,
    Columns(Vec<String>),
}

/// A format that is whole but for the columns that FORCE_QUOTE names.
pub struct Unresolved {
    format: CopyFormat,
    force_quote: Option<Force>,
}

impl CopyOut {
    /// Checks everything that can be checked before the columns are known.
    ///
    /// # Errors
    /// `42601`, `22023` and `0A000` for options that mean nothing, or not together; `42809` for a view instead of a table;
    /// `42701` for a column that is named twice.
    pub fn check(&self, context: &Context) -> Result<Unresolved> {
        if let Some(table) = &self.table {
            check_not_a_view(table, context)?;
        }
        check_named_once(&self.columns)?;
        let mut options = Options::default();
        for option in &self.options {
            options.take(option)?;
        }
        options.format()
    }

    /// The format of a result with these columns.
    ///
    /// # Errors
    /// `42703` and `42P10` when FORCE_QUOTE names columns that are not copied.
    pub fn resolve(&self, unresolved: Unresolved, schema: &Schema) -> Result<CopyFormat> {
        let Unresolved { mut format, force_quote } = unresolved;
        let CopyFormat::Csv { force_quote: flags, .. } = &mut format else { return Ok(format) };
        let names = schema.fields().iter().map(|field| field.name().as_str());
        *flags = match force_quote {
            None => vec![false; schema.fields().len()],
            Some(Force::All) => vec![true; schema.fields().len()],
            Some(Force::Columns(forced)) => {
                check_named_once(&forced)?;
                let known: Vec<&str> = names.clone().collect();
                if let Some(missing) = forced.iter().find(|name| !known.contains(&name.as_str())) {
                    return Err(self.missing_column(missing));
                }
                names.map(|name| forced.iter().any(|forced| forced == name)).collect()
            }
        };
        Ok(format)
    }

    /// What PostgreSQL says of a column that the table does not have, where a plain query would say less.
    pub fn explain(&self, error: Error) -> Error {
        if error.sqlstate() != SqlState::UNDEFINED_COLUMN {
            return error;
        }
        let missing = self.columns.iter().find(|name| error.message().contains(name.as_str()));
        missing.map_or(error, |missing| self.missing_column(missing))
    }

    fn missing_column(&self, name: &str) -> Error {
        let relation = self.table.as_ref().and_then(|table| table.last());
        let of_relation = relation.map(|relation| format!(" of relation \"{relation}\"")).unwrap_or_default();
        Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\"{of_relation} does not exist"))
    }
}

/// A view is copied by a query over it (`copyto.c`, `BeginCopyTo`).
fn check_not_a_view(table: &[String], context: &Context) -> Result<()> {
    let view = match table {
        [name] => {
            let first = context.search_path().into_iter().find(|schema| {
                if schema == views::SCHEMA {
                    context.views.get(name).is_some()
                } else {
                    context.visible.lookup(schema, name).is_some()
                }
            });
            first.is_some_and(|schema| schema == views::SCHEMA).then_some(name)
        }
        [.., schema, name] if schema == views::SCHEMA => context.views.get(name).map(|_| name),
        _ => None,
    };
    let Some(view) = view else { return Ok(()) };
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot copy from view \"{view}\""))
        .hint("Try the COPY (SELECT ...) TO variant."))
}

fn check_named_once(columns: &[String]) -> Result<()> {
    let twice = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name));
    twice.map_or(Ok(()), |(_, name)| {
        Err(Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")))
    })
}

impl Options {
    /// Takes one option in.
    fn take(&mut self, option: &CopyOption) -> Result<()> {
        let at = |error: Error| error.position(option.position);
        match option.name.as_str() {
            "format" => {
                let format = match text(option)?.as_str() {
                    "text" => Format::Text,
                    "csv" => Format::Csv,
                    "binary" => Format::Binary,
                    other => return Err(at(invalid(format!("COPY format \"{other}\" not recognized")))),
                };
                once(&mut self.format, format)
            }
            "freeze" => once(&mut self.freeze, boolean(option)?),
            "delimiter" => once(&mut self.delimiter, text(option)?),
            "null" => once(&mut self.null, text(option)?),
            "header" => once(&mut self.header, header(option)?),
            "quote" => once(&mut self.quote, text(option)?),
            "escape" => once(&mut self.escape, text(option)?),
            "force_quote" => match &option.argument {
                Argument::Star => once(&mut self.force_quote, Force::All),
                _ => once(&mut self.force_quote, Force::Columns(columns(option)?)),
            },
            "force_not_null" => once(&mut self.force_not_null, columns(option)?),
            "force_null" => once(&mut self.force_null, columns(option)?),
            "encoding" => {
                let name = text(option)?;
                let plain: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
                if !ENCODINGS.contains(&plain.as_str()) {
                    let message = "argument to option \"encoding\" must be a valid encoding name";
                    return Err(at(invalid(message)).hint("Rows are written in UTF8."));
                }
                once(&mut self.encoding, name)
            }
            other => {
                return Err(at(Error::new(SqlState::SYNTAX_ERROR, format!("option \"{other}\" not recognized"))));
            }
        }
        .map_err(at)
    }

    /// What the options come to together.
    fn format(self) -> Result<Unresolved> {
        let format = self.format.unwrap_or(Format::Text);
        let csv = format == Format::Csv;
        if format == Format::Binary {
            for (given, name) in [(self.delimiter.is_some(), "DELIMITER"), (self.null.is_some(), "NULL")] {
                if given {
                    return Err(syntax(format!("cannot specify {name} in BINARY mode")));
                }
            }
        }
        let delimiter = self.delimiter.unwrap_or_else(|| if csv { "," } else { "\t" }.to_owned());
        let null = self.null.unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned());
        let delimiter = one_byte(&delimiter, "delimiter")?;
        if matches!(delimiter, b'\r' | b'\n') {
            return Err(invalid("COPY delimiter cannot be newline or carriage return"));
        }
        if null.contains(['\r', '\n']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        if !csv && (delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit() || matches!(delimiter, b'\\' | b'.')) {
            return Err(invalid(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
        }
        let header = self.header.unwrap_or(false);
        if format == Format::Binary && header {
            return Err(Error::unsupported("cannot specify HEADER in BINARY mode"));
        }
        let only_csv = |given: bool, what: &str| {
            if given && !csv {
                Err(Error::unsupported(format!("COPY {what} available only in CSV mode")))
            } else {
                Ok(())
            }
        };
        only_csv(self.quote.is_some(), "quote")?;
        let quote = self.quote.map_or(Ok(b'"'), |quote| one_byte(&quote, "quote"))?;
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        only_csv(self.escape.is_some(), "escape")?;
        let escape = self.escape.map_or(Ok(quote), |escape| one_byte(&escape, "escape"))?;
        only_csv(self.force_quote.is_some(), "force quote")?;
        for (given, what) in
            [(self.force_not_null.is_some(), "force not null"), (self.force_null.is_some(), "force null")]
        {
            only_csv(given, what)?;
            if given {
                return Err(Error::unsupported(format!("COPY {what} only available using COPY FROM")));
            }
        }
        if format != Format::Binary && null.as_bytes().contains(&delimiter) {
            return Err(Error::unsupported("COPY delimiter must not appear in the NULL specification"));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(Error::unsupported("CSV quote character must not appear in the NULL specification"));
        }
        let whole = match format {
            Format::Binary => CopyFormat::Binary,
            Format::Text => CopyFormat::Text { delimiter, null, header },
            Format::Csv => CopyFormat::Csv { delimiter, null, header, quote, escape, force_quote: Vec::new() },
        };
        Ok(Unresolved { format: whole, force_quote: self.force_quote })
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(syntax("conflicting or redundant options")),
    }
}

/// `defGetString`.
fn text(option: &CopyOption) -> Result<String> {
    match &option.argument {
        Argument::None => Err(syntax(format!("{} requires a parameter", option.name))),
        Argument::Text(text) | Argument::Number(text) => Ok(text.clone()),
        Argument::Star => Ok("*".to_owned()),
        Argument::List(list) => Ok(list.join(", ")),
    }
}

/// `defGetBoolean`.
fn boolean(option: &CopyOption) -> Result<bool> {
    let found = match &option.argument {
        Argument::None => Some(true),
        Argument::Number(number) => match number.as_str() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        },
        Argument::Text(text) if ["true", "false", "on", "off"].contains(&text.to_lowercase().as_str()) => {
            parse_bool(text)
        }
        _ => None,
    };
    found.ok_or_else(|| syntax(format!("{} requires a Boolean value", option.name)))
}

/// `defGetCopyHeaderChoice`.
fn header(option: &CopyOption) -> Result<bool> {
    match &option.argument {
        Argument::Text(text) if text.eq_ignore_ascii_case("match") => {
            Err(Error::unsupported("cannot use \"match\" with HEADER in COPY TO"))
        }
        _ => boolean(option).map_err(|_| syntax(format!("{} requires a Boolean value or \"match\"", option.name))),
    }
}

fn columns(option: &CopyOption) -> Result<Vec<String>> {
    if let Argument::List(list) = &option.argument {
        return Ok(list.clone());
    }
    let message = format!("argument to option \"{}\" must be a list of column names", option.name);
    Err(invalid(message).position(option.position))
}

fn one_byte(text: &str, what: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::unsupported(format!("COPY {what} must be a single one-byte character"))),
    }
}

fn syntax(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message)
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}
