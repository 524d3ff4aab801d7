//! Structs and maps as `jsonb` prints them, and every Arrow value inside them as `to_jsonb` would.
//!
//! It owns duplicate keys (the last one wins) and spacing (`jsonb.c`, `json.c`). It refuses to know variants' bytes.

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::{MapArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};

use super::column::{self, Column, Data};
use super::temporal::{self, Style};
use super::{EncodeOptions, number};
use crate::error::Result;
use crate::pgtype::show::json::{order, string};

/// A struct array with its fields in `jsonb`'s order.
pub(super) struct Struct<'a> {
    /// Each key as it is written, `"key": `, and its values.
    members: Vec<(Vec<u8>, Column<'a>)>,
}

/// A map array.
pub(super) struct Map<'a> {
    offsets: &'a [i32],
    keys: Box<Column<'a>>,
    values: Box<Column<'a>>,
}

impl<'a> Struct<'a> {
    pub(super) fn new(fields: &Fields, array: &'a StructArray) -> Result<Self> {
        let mut members: Vec<_> = fields.iter().zip(array.columns()).collect();
        members.sort_by(|(a, _), (b, _)| order(a.name().as_bytes(), b.name().as_bytes()));
        // of equal neighbours the later one stays
        let mut unique: Vec<(&Field, _)> = Vec::with_capacity(members.len());
        for (field, values) in members {
            unique.pop_if(|(previous, _)| previous.name() == field.name());
            unique.push((field, values));
        }
        let member = |(field, values): (&Field, &'a _)| {
            let mut key = BytesMut::new();
            string(field.name().as_bytes(), &mut key);
            key.extend_from_slice(b": ");
            Ok((key.to_vec(), Column::new(field, values)?))
        };
        Ok(Self { members: unique.into_iter().map(member).collect::<Result<_>>()? })
    }

    fn write(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        out.put_u8(b'{');
        for (position, (key, values)) in self.members.iter().enumerate() {
            if position > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(key);
            nullable(values, row, options, out)?;
            super::check_size(out.len() - start)?;
        }
        out.put_u8(b'}');
        Ok(())
    }
}

impl<'a> Map<'a> {
    pub(super) fn new(entries: &Field, array: &'a MapArray) -> Result<Self> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(column::unsupported(entries.data_type()));
        };
        let [key, value] = &fields[..] else { return Err(column::unsupported(entries.data_type())) };
        let keys = Box::new(Column::new(key, array.keys())?);
        let values = Box::new(Column::new(value, array.values())?);
        Ok(Self { offsets: array.value_offsets(), keys, values })
    }

    fn write(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        // keys are sorted by their own bytes, so they are written apart first
        let mut written = BytesMut::new();
        let mut entries = Vec::new();
        for entry in self.offsets[row] as usize..self.offsets[row + 1] as usize {
            let start = written.len();
            if !self.keys.is_null(entry) {
                key(&self.keys, entry, options, &mut written)?;
            }
            entries.push((start..written.len(), entry));
        }
        object(&written, entries, out, |entry, out| nullable(&self.values, entry, options, out))
    }
}

/// Writes an object from keys that lie in `keys`, each with what `write` needs to write its value.
pub(super) fn object<T: Copy>(
    keys: &[u8],
    mut entries: Vec<(std::ops::Range<usize>, T)>,
    out: &mut BytesMut,
    mut write: impl FnMut(T, &mut BytesMut) -> Result<()>,
) -> Result<()> {
    entries.sort_by(|(a, _), (b, _)| order(&keys[a.clone()], &keys[b.clone()]));
    let start = out.len();
    out.put_u8(b'{');
    let mut first = true;
    for (position, (key, value)) in entries.iter().enumerate() {
        let name = &keys[key.clone()];
        if entries.get(position + 1).is_some_and(|(next, _)| keys[next.clone()] == *name) {
            continue;
        }
        if !first {
            out.extend_from_slice(b", ");
        }
        first = false;
        string(name, out);
        out.extend_from_slice(b": ");
        write(*value, out)?;
        super::check_size(out.len() - start)?;
    }
    out.put_u8(b'}');
    Ok(())
}

/// The JSON form of a value that is not NULL.
pub(super) fn value(column: &Column<'_>, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
    match &column.data {
        Data::Null => out.extend_from_slice(b"null"),
        Data::Bool(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
        Data::Int8(_)
        | Data::Int16(_)
        | Data::Int32(_)
        | Data::Int64(_)
        | Data::UInt8(_)
        | Data::UInt16(_)
        | Data::UInt32(_)
        | Data::Decimal32(..)
        | Data::Decimal64(..)
        | Data::Decimal128(..)
        | Data::Decimal256(..)
        | Data::Numeric(_) => column.text(row, options, out)?,
        // JSON numbers have no width
        Data::UInt64(values) => number::unsigned(values[row], out),
        Data::Float16(values) => number::float_json(values[row].to_f32(), options.extra_float_digits, out),
        Data::Float32(values) => number::float_json(values[row], options.extra_float_digits, out),
        Data::Float64(values) => number::double_json(values[row], options.extra_float_digits, out),
        Data::Utf8(values) => string(values.value(row).as_bytes(), out),
        Data::LargeUtf8(values) => string(values.value(row).as_bytes(), out),
        Data::Utf8View(values) => string(values.value(row).as_bytes(), out),
        Data::Timestamp(..)
        | Data::TimestampTz(..)
        | Data::Date32(_)
        | Data::Date64(_)
        | Data::Time32(..)
        | Data::Time64(..)
        | Data::YearMonth(_)
        | Data::DayTime(_)
        | Data::MonthDayNano(_)
        | Data::Duration(..) => {
            out.put_u8(b'"');
            key(column, row, options, out)?;
            out.put_u8(b'"');
        }
        Data::Binary(values) => bytea(values.value(row), options, out),
        Data::LargeBinary(values) => bytea(values.value(row), options, out),
        Data::BinaryView(values) => bytea(values.value(row), options, out),
        Data::FixedBinary(values) => bytea(values.value(row), options, out),
        Data::Lists(lists) | Data::Vector(lists) => {
            let start = out.len();
            out.put_u8(b'[');
            for (position, item) in lists.range(row).enumerate() {
                if position > 0 {
                    out.extend_from_slice(b", ");
                }
                nullable(&lists.items, item, options, out)?;
                super::check_size(out.len() - start)?;
            }
            out.put_u8(b']');
        }
        Data::Struct(members) => members.write(row, options, out)?,
        Data::Record(record) => {
            let start = out.len();
            out.put_u8(b'{');
            for (position, member) in record.members().iter().enumerate() {
                if position > 0 {
                    out.extend_from_slice(b", ");
                }
                string(member.name.as_bytes(), out);
                out.extend_from_slice(b": ");
                nullable(&member.values, row, options, out)?;
                super::check_size(out.len() - start)?;
            }
            out.put_u8(b'}');
        }
        Data::Map(entries) => entries.write(row, options, out)?,
        Data::Variant(variants) => variants.write(row, options, out)?,
        Data::Oid(inner) | Data::Char(inner) | Data::Declared(_, inner) | Data::Object(_, inner) => {
            value(inner, row, options, out)?;
        }
        Data::Indirect(..) => {
            let (column, row) = column.resolve(row);
            value(column, row, options, out)?;
        }
    }
    Ok(())
}

/// `to_jsonb` of a bytea: its text form as a string.
fn bytea(bytes: &[u8], options: &EncodeOptions, out: &mut BytesMut) {
    let mut text = BytesMut::new();
    column::bytea(bytes, options, &mut text);
    string(&text, out);
}

fn nullable(column: &Column<'_>, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    value(column, row, options, out)
}

/// A value as an object's key: moments in ISO 8601, everything else as its text.
fn key(column: &Column<'_>, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
    match &column.data {
        Data::Timestamp(values, unit) => {
            temporal::timestamp_text(column::micros(values[row], *unit, "timestamp")?, None, Style::Xsd, out)
        }
        Data::TimestampTz(values, unit) => {
            let zone = Some(&options.time_zone);
            temporal::timestamp_text(column::micros(values[row], *unit, "timestamp")?, zone, Style::Xsd, out)
        }
        Data::Bool(values) => {
            out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
            Ok(())
        }
        Data::Indirect(..) => {
            let (column, row) = column.resolve(row);
            key(column, row, options, out)
        }
        _ => column.text(row, options, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_sort_by_length_and_the_last_duplicate_wins() {
        let mut out = BytesMut::new();
        let entries = vec![(0..2, 1), (2..3, 2), (3..4, 3), (2..3, 4)];
        object(b"bbca", entries, &mut out, |number, out| {
            number::signed(number, out);
            Ok(())
        })
        .unwrap();
        assert_eq!(out, r#"{"a": 3, "c": 4, "bb": 1}"#);
    }
}
