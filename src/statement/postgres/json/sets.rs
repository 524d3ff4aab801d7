//! What the set-returning functions of JSON return (PostgreSQL 15, table 9.47): a value taken apart, row by row.
//!
//! It owns the rows; how a plan takes them apart is `statement::sets`'.

use bytes::BytesMut;
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::config::ConfigOptions;

use super::super::function::Env;
use super::super::kind::{Column, Datum};
use super::function::{Answer, Form, Give, form};
use super::path;
use super::write::Writer;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::RECORD;
use crate::pgtype::read::json::{Item, Text, Value, parse};
use crate::pgtype::show::json::{jsonb, text_of};
use crate::statement::functions::call::named_type;

/// The functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Apart {
    form: Form,
    what: What,
    /// Whether values are told as text.
    as_text: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    Elements,
    Members,
    Keys,
}

macro_rules! functions {
    ($($name:literal => $form:ident $what:ident $as_text:literal,)+) => {
        [$(($name, Apart { form: Form::$form, what: What::$what, as_text: $as_text })),+]
    };
}

const NAMES: [(&str, Apart); 10] = functions! {
    "json_array_elements" => Json Elements false,
    "jsonb_array_elements" => Jsonb Elements false,
    "json_array_elements_text" => Json Elements true,
    "jsonb_array_elements_text" => Jsonb Elements true,
    "json_each" => Json Members false,
    "jsonb_each" => Jsonb Members false,
    "json_each_text" => Json Members true,
    "jsonb_each_text" => Jsonb Members true,
    "json_object_keys" => Json Keys true,
    "jsonb_object_keys" => Jsonb Keys true,
};

/// The rows of one call: keys, where there are, and values.
pub struct Rows {
    pub keys: Vec<String>,
    pub values: Vec<Option<String>>,
}

impl Apart {
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, apart)| *apart)
    }

    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, apart)| *apart == self).map_or("", |(name, _)| name)
    }

    /// The columns of its records; none where its rows are single values.
    pub fn columns(self) -> &'static [&'static str] {
        if self.what == What::Members { &["key", "value"] } else { &[] }
    }

    /// The name of its one column in FROM, where it is not the function's own.
    pub fn column(self) -> Option<&'static str> {
        (self.what == What::Elements).then_some("value")
    }

    /// What each of its rows is; `None` where it does not take such a value. A text is a literal without a type.
    pub fn item(self, argument: &Field) -> Option<Field> {
        match form(argument) {
            Some(own) if own == self.form => {}
            None if argument.data_type().is_string() || argument.data_type().is_null() => {}
            _ => return None,
        }
        let gives = if self.as_text { Give::Text } else { Give::Of(self.form) };
        let value = gives.field(Field::LIST_FIELD_DEFAULT_NAME);
        Some(match self.what {
            What::Members => {
                let fields = Fields::from(vec![Give::Text.field("key"), value.with_name("value")]);
                Field::new_list_field(DataType::Struct(fields), true).with_metadata(named_type(RECORD))
            }
            What::Elements | What::Keys => value,
        })
    }

    /// The values of an argument.
    ///
    /// # Errors
    /// When there is no form in JSON for them.
    pub fn values(self, field: &Field, array: &ArrayRef, options: &ConfigOptions) -> Result<Values> {
        let source = match array.data_type() {
            DataType::Struct(_) | DataType::Map(..) => Source::Written(Writer::new(field, array)?, Env::of(options)),
            _ => Source::Texts(Column::new(array)?),
        };
        Ok(Values { apart: self, source, is_read: form(field).is_some(), length: array.len() })
    }

    fn refused(message: String) -> Error {
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
    }

    /// The rows of one value. `is_read` says that it is in the form of its type already.
    ///
    /// # Errors
    /// `22023` for a value of another kind than the function takes apart, `22P02` for a text that is no JSON.
    fn rows(self, text: &str, is_read: bool) -> Result<Rows> {
        let normal;
        let text = if is_read || self.form == Form::Json {
            text
        } else {
            normal = jsonb(text)?;
            &normal
        };
        let item = parse(text)?;
        let mut rows = Rows { keys: Vec::new(), values: Vec::new() };
        match (self.what, &item.value) {
            (What::Elements, Value::Array(items)) => {
                for item in items {
                    rows.values.push(self.value(item)?);
                }
            }
            (What::Members, Value::Object(members)) => {
                for (key, item) in members {
                    rows.keys.push(key.decode()?.into_owned());
                    rows.values.push(self.value(item)?);
                }
            }
            (What::Keys, Value::Object(members)) => {
                let key = |(key, _): &(Text<'_>, Item<'_>)| Ok(Some(key.decode()?.into_owned()));
                rows.values = members.iter().map(key).collect::<Result<_>>()?;
            }
            (what, value) => return Err(Self::refused(self.complaint(what, value))),
        }
        Ok(rows)
    }

    fn value(self, item: &Item<'_>) -> Result<Option<String>> {
        if !self.as_text {
            return Ok(Some(item.raw.to_owned()));
        }
        let mut out = BytesMut::new();
        match path::text(Some(item), &mut out)? {
            Answer::Written => text_of(&out).map(|text| Some(text.to_owned())),
            _ => Ok(None),
        }
    }

    /// What PostgreSQL says of a value that is not taken apart.
    fn complaint(self, what: What, value: &Value<'_>) -> String {
        let name = self.name();
        match (what, self.form, value) {
            (What::Elements, Form::Json, Value::Object(_)) => format!("cannot call {name} on a non-array"),
            (What::Elements, Form::Jsonb, Value::Object(_)) => "cannot extract elements from an object".to_owned(),
            (What::Elements, Form::Jsonb, _) => "cannot extract elements from a scalar".to_owned(),
            (What::Members, Form::Json, Value::Array(_)) => "cannot deconstruct an array as an object".to_owned(),
            (What::Members, Form::Json, _) => "cannot deconstruct a scalar".to_owned(),
            (What::Members, Form::Jsonb, _) => format!("cannot call {name} on a non-object"),
            (What::Keys, _, Value::Array(_)) => format!("cannot call {name} on an array"),
            (What::Elements, Form::Json, _) | (What::Keys, ..) => format!("cannot call {name} on a scalar"),
        }
    }
}

/// The values of one argument of a batch.
pub struct Values {
    apart: Apart,
    source: Source,
    is_read: bool,
    length: usize,
}

enum Source {
    Texts(Column),
    /// Structs and maps of a table.
    Written(Writer, Env),
}

impl Values {
    /// How many values there are.
    pub fn count(&self) -> usize {
        self.length
    }

    /// The rows of one value, none for NULL.
    ///
    /// # Errors
    /// As [`Apart::rows`].
    pub fn rows(&self, row: usize) -> Result<Option<Rows>> {
        match &self.source {
            Source::Texts(column) => match column.get(row) {
                Datum::Text(text) => self.apart.rows(&text, self.is_read).map(Some),
                _ => Ok(None),
            },
            Source::Written(writer, _) if writer.is_null(row) => Ok(None),
            Source::Written(writer, env) => {
                let mut text = BytesMut::new();
                writer.write(row, env, &mut text)?;
                self.apart.rows(text_of(&text)?, true).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, text: &str) -> String {
        match Apart::named(name).unwrap().rows(text, false) {
            Ok(rows) => format!("{:?} {:?}", rows.keys, rows.values.iter().map(Option::as_deref).collect::<Vec<_>>()),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn values_are_taken_apart() {
        for (name, text, expected) in [
            (
                "json_array_elements",
                "[1, {\"a\" : 2}, null]",
                "[] [Some(\"1\"), Some(\"{\\\"a\\\" : 2}\"), Some(\"null\")]",
            ),
            (
                "jsonb_array_elements_text",
                "[\"x\", {\"a\" : 2}, null]",
                "[] [Some(\"x\"), Some(\"{\\\"a\\\": 2}\"), None]",
            ),
            ("json_each", "{\"a\":1,\"a\":2}", "[\"a\", \"a\"] [Some(\"1\"), Some(\"2\")]"),
            ("jsonb_each_text", "{\"b\":\"x\",\"a\":null}", "[\"a\", \"b\"] [None, Some(\"x\")]"),
            ("json_object_keys", "{\"b\":1,\"a\":2}", "[] [Some(\"b\"), Some(\"a\")]"),
            ("json_array_elements", "{}", "cannot call json_array_elements on a non-array"),
            ("jsonb_array_elements", "1", "cannot extract elements from a scalar"),
            ("json_each", "[]", "cannot deconstruct an array as an object"),
            ("jsonb_object_keys", "1", "cannot call jsonb_object_keys on a scalar"),
        ] {
            assert_eq!(rows(name, text), expected, "{name} {text}");
        }
    }
}
