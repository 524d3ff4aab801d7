//! Values of every type as JSON: what `to_json` makes of them (`json.c`, `datum_to_json`).
//!
//! Numbers and booleans are what they are, moments are in ISO 8601, `json` is embedded as it is, and everything else is a
//! string of the text that its type's output function gives.

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};

use super::super::casts;
use super::super::function::Env;
use super::super::kind::{Column, Datum, Kind};
use super::function::{check_size, form, is_unsupported};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::show::json::{string, text_of};
use crate::pgtype::show::temporal::{self, Style};
use crate::pgtype::show::{self, number};
use crate::pgtype::{PG_TYPE_KEY, RECORD, read};

/// The values of one column, ready to be written row by row.
pub struct Writer {
    shape: Shape,
    nulls: Option<NullBuffer>,
}

enum Shape {
    /// All NULL.
    Nothing,
    Bool(Column),
    Number(Column),
    /// Dates and timestamps.
    Moment(Column, Kind),
    Quoted(Column, Kind),
    /// JSON that is there already.
    Json(Column),
    Array {
        offsets: Vec<usize>,
        items: Box<Writer>,
    },
    /// Each key as it is written, and its values.
    Record(Vec<(BytesMut, Writer)>),
    /// As a record, but `jsonb`: a struct of a table.
    Struct(Vec<(BytesMut, Writer)>),
    Map {
        offsets: Vec<usize>,
        keys: Box<Writer>,
        values: Box<Writer>,
    },
}

impl Writer {
    /// # Errors
    /// `0A000` for a type without a form in JSON.
    pub fn new(field: &Field, array: &ArrayRef) -> Result<Self> {
        let nulls = array.logical_nulls();
        let shape = match array.data_type() {
            DataType::Null => Shape::Nothing,
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let list = cast(array, &DataType::List(std::sync::Arc::clone(item))).map_err(Error::internal)?;
                let list_field = field.clone().with_data_type(list.data_type().clone());
                return Self::new(&list_field, &list);
            }
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                // the field knows more of the items than the array does
                let item = match field.data_type() {
                    DataType::List(declared) => declared,
                    _ => item,
                };
                let items = Box::new(Self::new(item, list.values())?);
                Shape::Array { offsets: offsets(list.value_offsets()), items }
            }
            _ if is_unsupported(&field.clone().with_data_type(array.data_type().clone())) => {
                return Err(unsupported(array.data_type()));
            }
            DataType::Struct(_) => {
                let fields = match field.data_type() {
                    DataType::Struct(declared) => declared,
                    other => return Err(unsupported(other)),
                };
                let members = fields.iter().zip(array.as_struct().columns());
                let members = members.map(|(field, values)| Ok((key_of(field.name()), Self::new(field, values)?)));
                let members = members.collect::<Result<Vec<_>>>()?;
                if field.metadata().get(PG_TYPE_KEY).is_some_and(|name| name == RECORD) {
                    Shape::Record(members)
                } else {
                    Shape::Struct(members)
                }
            }
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(unsupported(array.data_type()));
                };
                let [key, value] = &fields[..] else { return Err(unsupported(array.data_type())) };
                let keys = Box::new(Self::new(key, map.keys())?);
                let values = Box::new(Self::new(value, map.values())?);
                Shape::Map { offsets: offsets(map.value_offsets()), keys, values }
            }
            _ => plain(field, array)?,
        };
        Ok(Self { shape, nulls })
    }

    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.shape, Shape::Nothing) || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Whether `json_agg` begins a line of its own with such a value.
    pub fn is_array_or_record(&self) -> bool {
        matches!(self.shape, Shape::Array { .. } | Shape::Record(_))
    }

    /// Writes a value, `null` if it is NULL.
    ///
    /// # Errors
    /// `54000` for what is too large, and what a type's output function gives.
    pub fn write(&self, row: usize, env: &Env, out: &mut BytesMut) -> Result<()> {
        self.write_between(row, b",", env, out)
    }

    /// The same, with this between the members of the outermost array or record.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_between(&self, row: usize, separator: &[u8], env: &Env, out: &mut BytesMut) -> Result<()> {
        if self.is_null(row) {
            out.put_slice(b"null");
            return Ok(());
        }
        match &self.shape {
            Shape::Nothing | Shape::Bool(_) => self.plain(row, env, out)?,
            Shape::Number(column) => match column.get(row) {
                // what is no number in JSON is a string
                Datum::Float(value) if !value.is_finite() => self.quoted(row, env, out)?,
                _ => self.plain(row, env, out)?,
            },
            Shape::Moment(..) | Shape::Quoted(..) => self.quoted(row, env, out)?,
            Shape::Json(column) => {
                if let Datum::Text(text) = column.get(row) {
                    out.put_slice(text.as_bytes());
                }
            }
            Shape::Array { offsets, items } => {
                let start = out.len();
                out.put_u8(b'[');
                for item in offsets[row]..offsets[row + 1] {
                    if item > offsets[row] {
                        out.put_slice(separator);
                    }
                    items.write(item, env, out)?;
                    check_size(out.len() - start)?;
                }
                out.put_u8(b']');
            }
            Shape::Record(members) => record(members, row, separator, env, out)?,
            Shape::Struct(members) => {
                let mut text = BytesMut::new();
                record(members, row, b",", env, &mut text)?;
                show::json::write(&read::json::parse(text_of(&text)?)?, out)?;
            }
            Shape::Map { offsets, keys, values } => {
                let mut text = BytesMut::new();
                text.put_u8(b'{');
                for entry in offsets[row]..offsets[row + 1] {
                    if entry > offsets[row] {
                        text.put_u8(b',');
                    }
                    keys.key(entry, env, &mut text)?;
                    text.put_u8(b':');
                    values.write(entry, env, &mut text)?;
                    check_size(text.len())?;
                }
                text.put_u8(b'}');
                show::json::write(&read::json::parse(text_of(&text)?)?, out)?;
            }
        }
        check_size(out.len())
    }

    /// Writes a value as the key of an object.
    ///
    /// # Errors
    /// `22023` for a value that is no scalar.
    pub fn key(&self, row: usize, env: &Env, out: &mut BytesMut) -> Result<()> {
        match self.shape {
            Shape::Nothing | Shape::Bool(_) | Shape::Number(_) | Shape::Moment(..) | Shape::Quoted(..) => {
                self.quoted(row, env, out)
            }
            Shape::Json(_) | Shape::Array { .. } | Shape::Record(_) | Shape::Struct(_) | Shape::Map { .. } => {
                let message = "key value must be scalar, not array, composite, or json";
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
            }
        }
    }

    fn quoted(&self, row: usize, env: &Env, out: &mut BytesMut) -> Result<()> {
        let mut text = BytesMut::new();
        self.plain(row, env, &mut text)?;
        string(&text, out);
        Ok(())
    }

    /// The text of a scalar.
    fn plain(&self, row: usize, env: &Env, out: &mut BytesMut) -> Result<()> {
        match &self.shape {
            Shape::Bool(column) => {
                out.put_slice(if column.get(row) == Datum::Bool(true) { b"true" } else { b"false" });
            }
            Shape::Number(column) => match column.get(row) {
                Datum::Int(value) => number::signed(value, out),
                Datum::Float(value) if column.kind() == Some(Kind::Float4) => number::float(value as f32, 1, out),
                Datum::Float(value) => number::double(value, 1, out),
                Datum::Numeric(value) => out.put_slice(value.to_string().as_bytes()),
                _ => {}
            },
            Shape::Moment(column, kind) => match column.get(row) {
                Datum::Date(days) => temporal::date_text(days.into(), out)?,
                Datum::Timestamp(at) => {
                    let zone = (*kind == Kind::TimestampTz).then_some(&env.zone);
                    temporal::timestamp_text(at, zone, Style::Xsd, out)?;
                }
                _ => {}
            },
            Shape::Quoted(column, kind) => out.put_slice(casts::text_of(&column.get(row), *kind, env)?.as_bytes()),
            _ => {}
        }
        Ok(())
    }
}

fn plain(field: &Field, array: &ArrayRef) -> Result<Shape> {
    let column = Column::new(array)?;
    let kind = column.kind().ok_or_else(|| unsupported(array.data_type()))?;
    let declared = field.metadata().get(PG_TYPE_KEY).map(String::as_str);
    Ok(match kind {
        Kind::Bool => Shape::Bool(column),
        // an OID is no number to JSON
        Kind::Int8 if declared.is_some() => Shape::Quoted(column, kind),
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric | Kind::Float4 | Kind::Float8 => Shape::Number(column),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => Shape::Moment(column, kind),
        Kind::Text if form(field).is_some() => Shape::Json(column),
        _ => Shape::Quoted(column, kind),
    })
}

fn record(members: &[(BytesMut, Writer)], row: usize, separator: &[u8], env: &Env, out: &mut BytesMut) -> Result<()> {
    let start = out.len();
    out.put_u8(b'{');
    for (position, (key, values)) in members.iter().enumerate() {
        if position > 0 {
            out.put_slice(separator);
        }
        out.put_slice(key);
        out.put_u8(b':');
        values.write(row, env, out)?;
        check_size(out.len() - start)?;
    }
    out.put_u8(b'}');
    Ok(())
}

fn key_of(name: &str) -> BytesMut {
    let mut key = BytesMut::new();
    string(name.as_bytes(), &mut key);
    key
}

fn offsets(offsets: &[i32]) -> Vec<usize> {
    offsets.iter().map(|offset| *offset as usize).collect()
}

fn unsupported(data_type: &DataType) -> Error {
    Error::unsupported(format!("values of type {data_type} cannot be json"))
}
