//! Arrow batches as PostgreSQL's DataRow messages.
//!
//! It owns the framing of rows and fields. Each column is resolved to a typed view once per batch (`column`); the forms
//! of values live below: `number`, `numeric`, `temporal`, `lists`, `json`, `record`, `variant`. It refuses to know sessions and
//! sockets.

mod column;
pub mod copy;
mod date_style;
mod declared;
mod interval_style;
mod json;
mod lists;
mod record;
mod variant;

use std::ops::Range;

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};

use self::column::Column;
use crate::error::{Error, Result, SqlState};
use crate::pgtype;
use crate::pgtype::show::{number, numeric, temporal};
use crate::settings::date_style::{DateStyle, IntervalStyle};
use crate::settings::time_zone::TimeZone;

/// The largest DataRow, in bytes (PostgreSQL's `MaxAllocSize`).
pub const ROW_BYTES_MAX: usize = 0x3fff_ffff;
/// Room reserved for a field before its size is known, in bytes.
const FIELD_BYTES_EXPECTED: usize = 16;
/// At most this much is reserved ahead, in bytes.
const RESERVE_BYTES_MAX: usize = 1 << 20;
/// The message type of a DataRow.
const DATA_ROW: u8 = b'D';
/// A field's length that means NULL.
const NULL_LENGTH: i32 = -1;

/// The settings that change how a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// `TimeZone`.
    pub time_zone: TimeZone,
    /// `DateStyle`.
    pub date_style: DateStyle,
    /// `IntervalStyle`.
    pub interval_style: IntervalStyle,
    /// `bytea_output = escape`.
    pub bytea_escape: bool,
    /// `extra_float_digits`, -15 to 3.
    pub extra_float_digits: i8,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            time_zone: TimeZone::UTC,
            date_style: DateStyle::default(),
            interval_style: IntervalStyle::default(),
            bytea_escape: false,
            extra_float_digits: 1,
        }
    }
}

/// The form in which a value travels (PostgreSQL protocol, "Formats and Format Codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

/// Writes the rows of one result.
pub struct RowEncoder {
    columns: Vec<(FieldRef, Format)>,
    options: EncodeOptions,
}

impl RowEncoder {
    /// An encoder for the batches of a schema, with the result formats of a Bind message: none (all text), one for all,
    /// or one per column.
    ///
    /// Errors: `08P01` for another number of formats, `54000` for lists nested deeper than PostgreSQL's six dimensions,
    /// `0A000` for types without a PostgreSQL form (unions, shredded variants).
    pub fn try_new(schema: &Schema, formats: &[Format], options: EncodeOptions) -> Result<Self> {
        let count = schema.fields().len();
        let format = |position: usize| match formats {
            [] => Some(Format::Text),
            [all] => Some(*all),
            each => each.get(position).copied().filter(|_| each.len() == count),
        };
        let mut columns = Vec::with_capacity(count);
        for (position, field) in schema.fields().iter().enumerate() {
            check_type(field, true)?;
            let format = format(position).ok_or_else(|| wrong_formats(formats.len(), count))?;
            columns.push((field.clone(), format));
        }
        if columns.is_empty() && formats.len() > 1 {
            return Err(wrong_formats(formats.len(), count));
        }
        if columns.len() > usize::from(u16::MAX >> 1) {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row has too many columns for one message"));
        }
        Ok(Self { columns, options })
    }

    /// Appends one DataRow message per row of `rows`.
    ///
    /// Errors: `22003` and `22008` for values outside PostgreSQL's ranges, `2202E` for ragged lists of lists, `54000` for
    /// a row over 1 GB, `XX001` for a broken variant. `out` then ends with the last whole row.
    pub fn encode(&self, batch: &RecordBatch, rows: Range<usize>, out: &mut BytesMut) -> Result<()> {
        if rows.start > rows.end || rows.end > batch.num_rows() {
            return Err(Error::internal(format!("rows {rows:?} of a batch of {}", batch.num_rows())));
        }
        let batch = batch.slice(rows.start, rows.len());
        let columns = self.columns(&batch)?;
        let expected = batch.num_rows() * (7 + columns.len() * FIELD_BYTES_EXPECTED);
        out.reserve(expected.min(RESERVE_BYTES_MAX));
        for row in 0..batch.num_rows() {
            let start = out.len();
            if let Err(error) = self.row(&columns, row, DATA_ROW, &[], out) {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The batch's columns, resolved for reading single values, as COPY does.
    ///
    /// Errors: `XX000` when the batch is not of the encoder's schema.
    pub fn values<'a>(&'a self, batch: &'a RecordBatch) -> Result<Values<'a>> {
        Ok(Values { columns: self.columns(batch)?, encoder: self })
    }

    fn columns<'a>(&self, batch: &'a RecordBatch) -> Result<Vec<Column<'a>>> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::internal(format!(
                "a batch of {} columns for a result of {}",
                batch.num_columns(),
                self.columns.len()
            )));
        }
        let pairs = self.columns.iter().zip(batch.columns());
        pairs
            .map(|((field, _), array)| {
                let (promised, found) = (field.data_type(), array.data_type());
                // what an array's elements are called besides is the field's to say
                if !promised.equals_datatype(found) && pgtype::parameter_oid(promised) != pgtype::parameter_oid(found) {
                    return Err(Error::internal(format!("column {} is {found}, not {promised}", field.name())));
                }
                Column::new(field, array)
            })
            .collect()
    }

    /// Appends one row as a message of this type, after these bytes: a DataRow and a binary COPY's tuple are alike.
    #[inline]
    fn row(&self, columns: &[Column<'_>], row: usize, kind: u8, before: &[u8], out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(&[kind, 0, 0, 0, 0]);
        out.extend_from_slice(before);
        out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
        for (column, (_, format)) in columns.iter().zip(&self.columns) {
            if column.is_null(row) {
                out.put_i32(NULL_LENGTH);
                continue;
            }
            let field = out.len();
            out.put_i32(0);
            match format {
                Format::Text => column.text(row, &self.options, out)?,
                Format::Binary => column.binary(row, &self.options, out)?,
            }
            patch_length(field, out)?;
            check_size(out.len() - start)?;
        }
        // a message's length counts itself but not its type
        let length = (out.len() - start - 1) as u32;
        out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// The values of one batch, one by one, without rows around them.
pub struct Values<'a> {
    columns: Vec<Column<'a>>,
    encoder: &'a RowEncoder,
}

impl Values<'_> {
    /// Appends one value in its column's format, without a length; `false` if it is NULL.
    ///
    /// Errors: as [`RowEncoder::encode`]; what was appended before the error stays. `XX000` for a column that is not there.
    pub fn write(&self, column: usize, row: usize, out: &mut BytesMut) -> Result<bool> {
        let (Some(values), Some((_, format))) = (self.columns.get(column), self.encoder.columns.get(column)) else {
            return Err(Error::internal(format!("column {column} of {}", self.columns.len())));
        };
        if values.is_null(row) {
            return Ok(false);
        }
        match format {
            Format::Text => values.text(row, &self.encoder.options, out)?,
            Format::Binary => values.binary(row, &self.encoder.options, out)?,
        }
        Ok(true)
    }
}

/// Writes the length of what follows a four-byte place into it.
#[inline]
fn patch_length(place: usize, out: &mut BytesMut) -> Result<()> {
    let length = out.len() - place - 4;
    check_size(length)?;
    out[place..place + 4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

#[inline]
fn check_size(bytes: usize) -> Result<()> {
    if bytes <= ROW_BYTES_MAX { Ok(()) } else { Err(too_large()) }
}

#[cold]
fn too_large() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row is larger than 1 GB")
        .hint("Select fewer columns, or part of the large value.")
}

fn wrong_formats(formats: usize, columns: usize) -> Error {
    let message = format!("bind message has {formats} result formats but query has {columns} columns");
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// Refuses what has no form; inside a JSON value lists have no dimensions to count.
fn check_type(field: &Field, dimensions_count: bool) -> Result<()> {
    if pgtype::is_variant(field) {
        let DataType::Struct(parts) = field.data_type() else { return Err(column::unsupported(field.data_type())) };
        return match parts.find("typed_value") {
            Some(_) => Err(Error::unsupported("shredded variants cannot be sent to a client")),
            None => Ok(()),
        };
    }
    match field.data_type() {
        other @ DataType::Union(..) => Err(column::unsupported(other)),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field, false)),
        DataType::Map(entries, _) => check_type(entries, false),
        DataType::Dictionary(_, values) => check_type(&Field::new("", values.as_ref().clone(), true), dimensions_count),
        DataType::RunEndEncoded(_, values) => check_type(values, dimensions_count),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            let (element, depth) = lists::innermost(item);
            if dimensions_count && depth > lists::DIMENSIONS_MAX {
                let maximum = lists::DIMENSIONS_MAX;
                let message = format!("number of array dimensions ({depth}) exceeds the maximum allowed ({maximum})");
                return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
            }
            check_type(element, dimensions_count)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, BinaryArray, Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
    };
    use datafusion::arrow::datatypes::{UnionFields, UnionMode};

    use super::*;

    fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    fn one(array: ArrayRef) -> RecordBatch {
        batch(vec![(Field::new("x", array.data_type().clone(), true), array)])
    }

    fn rows(batch: &RecordBatch, formats: &[Format]) -> Result<BytesMut> {
        let encoder = RowEncoder::try_new(&batch.schema(), formats, EncodeOptions::default())?;
        let mut out = BytesMut::new();
        encoder.encode(batch, 0..batch.num_rows(), &mut out)?;
        Ok(out)
    }

    fn refusal(schema: &Schema, formats: &[Format]) -> &'static str {
        let encoder = RowEncoder::try_new(schema, formats, EncodeOptions::default());
        encoder.err().map_or("", |error| error.sqlstate().code())
    }

    #[test]
    fn a_row_is_one_message_with_lengths_and_nulls() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(-7), None]));
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("")]));
        let batch = batch(vec![
            (Field::new("a", DataType::Int64, true), numbers),
            (Field::new("b", DataType::Utf8, true), words),
        ]);
        let expected = b"D\0\0\0\x12\0\x02\0\0\0\x02-7\0\0\0\x02abD\0\0\0\x0e\0\x02\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(rows(&batch, &[]).unwrap(), &expected[..]);
        let binary = rows(&batch, &[Format::Binary, Format::Text]).unwrap();
        assert_eq!(&binary[7..19], b"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xf9");
    }

    #[test]
    fn formats_are_none_one_or_one_per_column() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Schema::new(vec![field("a"), field("b"), field("c")]);
        for formats in [0, 1, 3] {
            assert_eq!(refusal(&schema, &vec![Format::Text; formats]), "");
        }
        for formats in [2, 4] {
            assert_eq!(refusal(&schema, &vec![Format::Text; formats]), "08P01");
        }
        assert_eq!(refusal(&Schema::empty(), &[Format::Text, Format::Text]), "08P01");
    }

    #[test]
    fn an_error_leaves_whole_rows_only() {
        let batch = one(Arc::new(UInt64Array::from(vec![1, u64::MAX])));
        let encoder = RowEncoder::try_new(&batch.schema(), &[], EncodeOptions::default()).unwrap();
        let mut out = BytesMut::new();
        let error = encoder.encode(&batch, 0..2, &mut out).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(out, &b"D\0\0\0\x0b\0\x01\0\0\0\x011"[..]);
        assert_eq!(encoder.encode(&batch, 1..3, &mut out).unwrap_err().sqlstate(), SqlState::INTERNAL_ERROR);
    }

    #[test]
    fn moments_beyond_postgresqls_range_are_refused() {
        let error = rows(&one(Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN]))), &[]).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::DATETIME_FIELD_OVERFLOW);
    }

    #[test]
    fn types_without_a_form_are_refused_at_once() {
        let union = DataType::Union(UnionFields::empty(), UnionMode::Sparse);
        let nested = DataType::Struct(vec![Field::new("u", union.clone(), true)].into());
        for data_type in [union, nested] {
            assert_eq!(refusal(&Schema::new(vec![Field::new("x", data_type, true)]), &[]), "0A000");
        }
        let deep = (0..7).fold(DataType::Int64, |item, _| DataType::List(Arc::new(Field::new_list_field(item, true))));
        assert_eq!(refusal(&Schema::new(vec![Field::new("x", deep.clone(), true)]), &[]), "54000");
        // inside JSON a list has no dimensions
        let json = DataType::Struct(vec![Field::new("l", deep, true)].into());
        assert_eq!(refusal(&Schema::new(vec![Field::new("x", json, true)]), &[]), "");
    }

    #[test]
    fn a_variant_is_jsonb_and_a_shredded_one_is_refused() {
        let variant = |names: &[&str]| {
            let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&[1_u8, 0, 0][..]]));
            let members = names.iter().map(|name| (Arc::new(Field::new(*name, DataType::Binary, true)), bytes.clone()));
            let array: ArrayRef = Arc::new(StructArray::from(members.collect::<Vec<_>>()));
            let metadata = [(pgtype::EXTENSION_NAME_KEY.to_owned(), pgtype::VARIANT_EXTENSION.to_owned())].into();
            batch(vec![(Field::new("x", array.data_type().clone(), true).with_metadata(metadata), array)])
        };
        // as a value, the bytes 1 0 0 are a short string without letters
        let plain = variant(&["metadata", "value"]);
        assert_eq!(pgtype::pg_type(plain.schema().field(0)).oid, pgtype::oid::JSONB);
        assert_eq!(&rows(&plain, &[Format::Binary]).unwrap()[7..], b"\0\0\0\x03\x01\"\"");
        let shredded = variant(&["metadata", "value", "typed_value"]);
        assert_eq!(refusal(&shredded.schema(), &[]), "0A000");
        let incomplete = variant(&["metadata"]);
        assert_eq!(rows(&incomplete, &[]).unwrap_err().sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn declared_types_change_the_binary_form() {
        let declared = |array: ArrayRef, name: &str| {
            let metadata = [(pgtype::PG_TYPE_KEY.to_owned(), name.to_owned())].into();
            batch(vec![(Field::new("x", array.data_type().clone(), true).with_metadata(metadata), array)])
        };
        let sent = |batch: &RecordBatch| rows(batch, &[Format::Binary]).map(|out| out[7..].to_vec());
        assert_eq!(sent(&declared(Arc::new(Int64Array::from(vec![26])), "oid")), Ok(vec![0, 0, 0, 4, 0, 0, 0, 26]));
        let negative = sent(&declared(Arc::new(Int64Array::from(vec![-1])), "oid"));
        assert_eq!(negative.unwrap_err().sqlstate(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(sent(&declared(Arc::new(StringArray::from(vec!["r"])), "char")), Ok(vec![0, 0, 0, 1, b'r']));
        assert_eq!(sent(&declared(Arc::new(StringArray::from(vec![""])), "char")), Ok(vec![0, 0, 0, 1, 0]));
    }

    #[test]
    fn values_come_one_by_one_too() {
        let lists = ListArray::from_iter_primitive::<datafusion::arrow::datatypes::Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
        ]);
        let batch = one(Arc::new(lists));
        let encoder = RowEncoder::try_new(&batch.schema(), &[], EncodeOptions::default()).unwrap();
        let values = encoder.values(&batch).unwrap();
        let mut out = BytesMut::new();
        assert_eq!(values.write(0, 0, &mut out), Ok(true));
        assert_eq!(values.write(0, 1, &mut out), Ok(false));
        assert_eq!(out, "{1,NULL}");
        assert!(values.write(1, 0, &mut out).is_err());
    }
}
