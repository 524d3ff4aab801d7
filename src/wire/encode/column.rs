//! A typed view of one Arrow array, made once per batch, and its values in text and binary.
//!
//! It owns which PostgreSQL form each Arrow type takes. It refuses to know rows and messages.

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, StringArray, StringViewArray,
};
use datafusion::arrow::buffer::{NullBuffer, RunEndBuffer};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTime, IntervalDayTimeType,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type, i256,
};

use super::json::{self, Map, Struct};
use super::lists::{Extents, Lists};
use super::record::Record;
use super::temporal::{self, Interval, Style};
use super::variant::Variants;
use super::{EncodeOptions, date_style, declared, interval_style, number, numeric};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::{self, oid};
use crate::settings::date_style::Output;
use crate::settings::time_zone::TimeZone;

/// `jsonb_send` puts this version before the text.
const JSONB_VERSION: u8 = 1;
const MILLIS_PER_DAY: i64 = 86_400_000;
type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// One array as PostgreSQL sees it: its NULLs and its typed values.
pub(super) struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    pub(super) data: Data<'a>,
}

/// Typed values. One `match` per value picks the writer; nothing is boxed or virtual on the way of a scalar.
pub(super) enum Data<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float16(&'a [Half]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal32(&'a [i32], i8),
    Decimal64(&'a [i64], i8),
    Decimal128(&'a [i128], i8),
    Decimal256(&'a [i256], i8),
    /// Each value with a scale of its own.
    Numeric(&'a [i256]),
    Date32(&'a [i32]),
    Date64(&'a [i64]),
    Time32(&'a [i32], TimeUnit),
    Time64(&'a [i64], TimeUnit),
    Timestamp(&'a [i64], TimeUnit),
    TimestampTz(&'a [i64], TimeUnit),
    YearMonth(&'a [i32]),
    DayTime(&'a [IntervalDayTime]),
    MonthDayNano(&'a [IntervalMonthDayNano]),
    Duration(&'a [i64], TimeUnit),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Lists(Lists<'a>),
    Struct(Struct<'a>),
    Record(Record<'a>),
    Map(Map<'a>),
    Variant(Variants<'a>),
    /// An integer whose field declares a type of 32 bits without a sign, a string whose field declares one that is no
    /// text: only the binary form differs.
    Oid(Box<Column<'a>>),
    /// An object of a type such as `regclass`: its OID, which is its binary form, and its name, which is its text.
    Object(Box<Column<'a>>, Box<Column<'a>>),
    Char(Box<Column<'a>>),
    Declared(u32, Box<Column<'a>>),
    /// `int2vector` or `oidvector`.
    Vector(Lists<'a>),
    /// A dictionary or a run-end encoded array: where the value of a row lies.
    Indirect(Places<'a>, Box<Column<'a>>),
}

/// Where the value of a row lies among the distinct values.
pub(super) enum Places<'a> {
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Runs16(&'a RunEndBuffer<i16>),
    Runs32(&'a RunEndBuffer<i32>),
    Runs64(&'a RunEndBuffer<i64>),
}

impl Places<'_> {
    #[inline]
    fn of(&self, row: usize) -> usize {
        match self {
            Self::Int8(keys) => keys[row] as usize,
            Self::Int16(keys) => keys[row] as usize,
            Self::Int32(keys) => keys[row] as usize,
            Self::Int64(keys) => keys[row] as usize,
            Self::UInt8(keys) => usize::from(keys[row]),
            Self::UInt16(keys) => usize::from(keys[row]),
            Self::UInt32(keys) => keys[row] as usize,
            Self::UInt64(keys) => keys[row] as usize,
            Self::Runs16(ends) => ends.get_physical_index(row),
            Self::Runs32(ends) => ends.get_physical_index(row),
            Self::Runs64(ends) => ends.get_physical_index(row),
        }
    }
}

impl<'a> Column<'a> {
    /// The view of an array under its field, whose metadata tell variants and declared types.
    ///
    /// Errors: `0A000` for a type that PostgreSQL has no form for.
    pub(super) fn new(field: &Field, array: &'a ArrayRef) -> Result<Self> {
        if let Some(data) = object(field, array)? {
            return Ok(Self { nulls: array.nulls(), data });
        }
        if let (DataType::Struct(fields), Some(values)) = (field.data_type(), array.as_struct_opt())
            && pgtype::pg_type(field).oid == oid::RECORD
        {
            return Ok(Self { nulls: array.nulls(), data: Data::Record(Record::new(fields, values)?) });
        }
        let data = match (field.data_type(), array.data_type()) {
            _ if pgtype::is_variant(field) => variant(array)?,
            // the field knows better what the elements are
            (DataType::List(item), DataType::List(_)) => {
                let lists = array.as_list::<i32>();
                Data::Lists(Lists::new(item, Extents::Offsets32(lists.value_offsets()), lists.values())?)
            }
            _ => data(array)?,
        };
        let inner = |data| Box::new(Self { nulls: None, data });
        let data = match (pgtype::pg_type(field).oid, data) {
            (type_oid, data) if pgtype::is_oid_like(type_oid) => Data::Oid(inner(data)),
            (oid::CHAR, data) => Data::Char(inner(data)),
            (oid::INT2VECTOR | oid::OIDVECTOR, Data::Lists(lists)) => Data::Vector(lists.of_vector(field)),
            (type_oid, data) if field.data_type().is_string() && !declared::is_text(type_oid) => {
                Data::Declared(type_oid, inner(data))
            }
            (_, data) => data,
        };
        Ok(Self { nulls: array.nulls(), data })
    }

    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return true;
        }
        match &self.data {
            Data::Null => true,
            Data::Indirect(places, values) => values.is_null(places.of(row)),
            _ => false,
        }
    }

    /// The column and row that hold the value, dictionaries and runs followed. The value must not be NULL.
    pub(super) fn resolve(&self, row: usize) -> (&Self, usize) {
        let (mut column, mut row) = (self, row);
        while let Data::Indirect(places, values) = &column.data {
            row = places.of(row);
            column = values;
        }
        (column, row)
    }

    /// The text form of a value that is not NULL.
    #[inline]
    pub(super) fn text(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        match &self.data {
            Data::Null => (),
            Data::Bool(values) => out.put_u8(if values.value(row) { b't' } else { b'f' }),
            Data::Int8(values) => number::signed(i64::from(values[row]), out),
            Data::Int16(values) => number::signed(i64::from(values[row]), out),
            Data::Int32(values) => number::signed(i64::from(values[row]), out),
            Data::Int64(values) => number::signed(values[row], out),
            Data::UInt8(values) => number::unsigned(u64::from(values[row]), out),
            Data::UInt16(values) => number::unsigned(u64::from(values[row]), out),
            Data::UInt32(values) => number::unsigned(u64::from(values[row]), out),
            Data::UInt64(values) => number::signed(bigint(values[row])?, out),
            Data::Float16(values) => number::float(values[row].to_f32(), options.extra_float_digits, out),
            Data::Float32(values) => number::float(values[row], options.extra_float_digits, out),
            Data::Float64(values) => number::double(values[row], options.extra_float_digits, out),
            Data::Decimal32(values, scale) => numeric::text(i128::from(values[row]), *scale, out),
            Data::Decimal64(values, scale) => numeric::text(i128::from(values[row]), *scale, out),
            Data::Decimal128(values, scale) => numeric::text(values[row], *scale, out),
            Data::Decimal256(values, scale) => numeric::text_256(values[row], *scale, out),
            Data::Numeric(values) => {
                let (value, scale) = pgtype::numeric::unpack(values[row]);
                numeric::text_256(value, scale as i8, out);
            }
            Data::Date32(values) => date_text(i64::from(values[row]), options, out)?,
            Data::Date64(values) => date_text(values[row].div_euclid(MILLIS_PER_DAY), options, out)?,
            Data::Time32(values, unit) => temporal::time_text(micros(i64::from(values[row]), *unit, "time")?, out)?,
            Data::Time64(values, unit) => temporal::time_text(micros(values[row], *unit, "time")?, out)?,
            Data::Timestamp(values, unit) => {
                timestamp_text(micros(values[row], *unit, "timestamp")?, None, options, out)?;
            }
            Data::TimestampTz(values, unit) => {
                let zone = Some(&options.time_zone);
                timestamp_text(micros(values[row], *unit, "timestamp")?, zone, options, out)?;
            }
            Data::YearMonth(_) | Data::DayTime(_) | Data::MonthDayNano(_) | Data::Duration(..) => {
                interval_style::interval(self.interval(row)?, options.interval_style, out);
            }
            Data::Utf8(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Data::LargeUtf8(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Data::Utf8View(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Data::Binary(values) => bytea(values.value(row), options, out),
            Data::LargeBinary(values) => bytea(values.value(row), options, out),
            Data::BinaryView(values) => bytea(values.value(row), options, out),
            Data::FixedBinary(values) => bytea(values.value(row), options, out),
            Data::Lists(lists) => lists.text(row, options, out)?,
            Data::Struct(_) | Data::Map(_) | Data::Variant(_) => json::value(self, row, options, out)?,
            Data::Oid(inner) | Data::Char(inner) | Data::Declared(_, inner) => inner.text(row, options, out)?,
            Data::Object(_, names) => names.text(row, options, out)?,
            Data::Record(record) => record.text(row, options, out)?,
            Data::Vector(lists) => lists.vector_text(row, options, out)?,
            Data::Indirect(..) => {
                let (column, row) = self.resolve(row);
                column.text(row, options, out)?;
            }
        }
        Ok(())
    }

    /// The binary form of a value that is not NULL, as PostgreSQL's `…send` functions write it.
    #[inline]
    pub(super) fn binary(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        match &self.data {
            Data::Null => (),
            Data::Bool(values) => out.put_u8(u8::from(values.value(row))),
            Data::Int8(values) => out.put_i16(i16::from(values[row])),
            Data::Int16(values) => out.put_i16(values[row]),
            Data::Int32(values) => out.put_i32(values[row]),
            Data::Int64(values) => out.put_i64(values[row]),
            Data::UInt8(values) => out.put_i16(i16::from(values[row])),
            Data::UInt16(values) => out.put_i32(i32::from(values[row])),
            Data::UInt32(values) => out.put_i64(i64::from(values[row])),
            Data::UInt64(values) => out.put_i64(bigint(values[row])?),
            Data::Float16(values) => out.put_f32(values[row].to_f32()),
            Data::Float32(values) => out.put_f32(values[row]),
            Data::Float64(values) => out.put_f64(values[row]),
            Data::Decimal32(values, scale) => numeric::binary(i128::from(values[row]), *scale, out),
            Data::Decimal64(values, scale) => numeric::binary(i128::from(values[row]), *scale, out),
            Data::Decimal128(values, scale) => numeric::binary(values[row], *scale, out),
            Data::Decimal256(values, scale) => numeric::binary_256(values[row], *scale, out),
            Data::Numeric(values) => {
                let (value, scale) = pgtype::numeric::unpack(values[row]);
                numeric::binary_256(value, scale as i8, out);
            }
            Data::Date32(values) => temporal::date_binary(i64::from(values[row]), out)?,
            Data::Date64(values) => temporal::date_binary(values[row].div_euclid(MILLIS_PER_DAY), out)?,
            Data::Time32(values, unit) => temporal::time_binary(micros(i64::from(values[row]), *unit, "time")?, out)?,
            Data::Time64(values, unit) => temporal::time_binary(micros(values[row], *unit, "time")?, out)?,
            Data::Timestamp(values, unit) | Data::TimestampTz(values, unit) => {
                temporal::timestamp_binary(micros(values[row], *unit, "timestamp")?, out)?;
            }
            Data::YearMonth(_) | Data::DayTime(_) | Data::MonthDayNano(_) | Data::Duration(..) => {
                self.interval(row)?.binary(out);
            }
            Data::Utf8(_) | Data::LargeUtf8(_) | Data::Utf8View(_) => self.text(row, options, out)?,
            Data::Binary(values) => out.extend_from_slice(values.value(row)),
            Data::LargeBinary(values) => out.extend_from_slice(values.value(row)),
            Data::BinaryView(values) => out.extend_from_slice(values.value(row)),
            Data::FixedBinary(values) => out.extend_from_slice(values.value(row)),
            Data::Lists(lists) => lists.binary(row, options, out)?,
            Data::Struct(_) | Data::Map(_) | Data::Variant(_) => {
                out.put_u8(JSONB_VERSION);
                json::value(self, row, options, out)?;
            }
            Data::Oid(inner) | Data::Object(inner, _) => out.put_u32(inner.oid(row)?),
            Data::Record(record) => record.binary(row, options, out)?,
            Data::Declared(type_oid, inner) => {
                let mut text = BytesMut::new();
                inner.text(row, options, &mut text)?;
                declared::binary(*type_oid, &text, out)?;
            }
            Data::Vector(lists) => lists.vector_binary(row, options, out)?,
            Data::Char(inner) => {
                let start = out.len();
                inner.text(row, options, out)?;
                // exactly one byte, zero for the empty text (`charsend`)
                out.resize(start + 1, 0);
            }
            Data::Indirect(..) => {
                let (column, row) = self.resolve(row);
                column.binary(row, options, out)?;
            }
        }
        Ok(())
    }

    /// An interval of any Arrow unit.
    pub(super) fn interval(&self, row: usize) -> Result<Interval> {
        Ok(match &self.data {
            Data::YearMonth(values) => Interval { months: values[row], ..Interval::default() },
            Data::DayTime(values) => {
                let IntervalDayTime { days, milliseconds } = values[row];
                Interval { months: 0, days, micros: i64::from(milliseconds) * 1000 }
            }
            Data::MonthDayNano(values) => {
                let IntervalMonthDayNano { months, days, nanoseconds } = values[row];
                Interval { months, days, micros: nanoseconds / 1000 }
            }
            Data::Duration(values, TimeUnit::Nanosecond) => {
                Interval { micros: values[row] / 1000, ..Interval::default() }
            }
            Data::Duration(values, unit) => {
                Interval { micros: micros(values[row], *unit, "interval")?, ..Interval::default() }
            }
            _ => return Err(Error::internal("interval asked of another type")),
        })
    }

    /// Whether the text form can hold a byte that an array must quote.
    pub(super) fn is_plain(&self) -> bool {
        match &self.data {
            Data::Bool(_)
            | Data::Int8(_)
            | Data::Int16(_)
            | Data::Int32(_)
            | Data::Int64(_)
            | Data::UInt8(_)
            | Data::UInt16(_)
            | Data::UInt32(_)
            | Data::UInt64(_)
            | Data::Float16(_)
            | Data::Float32(_)
            | Data::Float64(_)
            | Data::Decimal32(..)
            | Data::Decimal64(..)
            | Data::Decimal128(..)
            | Data::Decimal256(..)
            | Data::Numeric(_)
            | Data::Oid(_)
            | Data::Time32(..)
            | Data::Time64(..) => true,
            Data::Indirect(_, values) => values.is_plain(),
            _ => false,
        }
    }

    pub(super) fn oid(&self, row: usize) -> Result<u32> {
        let (column, row) = self.resolve(row);
        let number = match &column.data {
            Data::Int8(values) => u32::try_from(values[row]),
            Data::Int16(values) => u32::try_from(values[row]),
            Data::Int32(values) => u32::try_from(values[row]),
            Data::Int64(values) => u32::try_from(values[row]),
            Data::UInt8(values) => Ok(u32::from(values[row])),
            Data::UInt16(values) => Ok(u32::from(values[row])),
            Data::UInt32(values) => Ok(values[row]),
            Data::UInt64(values) => u32::try_from(values[row]),
            _ => return Err(Error::internal("oid asked of another type")),
        };
        number.map_err(|_| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "OID out of range"))
    }
}

#[inline]
fn date_text(days: i64, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
    match options.date_style.output {
        Output::Iso => temporal::date_text(days, out),
        _ => date_style::date(days, options.date_style, out),
    }
}

#[inline]
fn timestamp_text(micros: i64, zone: Option<&TimeZone>, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
    match options.date_style.output {
        Output::Iso => temporal::timestamp_text(micros, zone, Style::Iso, out),
        _ => date_style::timestamp(micros, zone, options.date_style, out),
    }
}

/// `byteaout` under `bytea_output`.
pub(super) fn bytea(bytes: &[u8], options: &EncodeOptions, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if options.bytea_escape {
        for byte in bytes {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b' '..=b'~' => out.put_u8(*byte),
                _ => {
                    let octal = [b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)];
                    out.extend_from_slice(&octal);
                }
            }
        }
        return;
    }
    let start = out.len() + 2;
    out.extend_from_slice(b"\\x");
    out.resize(start + bytes.len() * 2, 0);
    for (pair, byte) in out[start..].chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

#[inline]
fn bigint(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"))
}

#[inline]
pub(super) fn micros(value: i64, unit: TimeUnit, what: &'static str) -> Result<i64> {
    temporal::micros(value, unit).ok_or_else(|| temporal::out_of_range(what))
}

/// Why a type has no PostgreSQL form.
pub(super) fn unsupported(data_type: &DataType) -> Error {
    Error::unsupported(format!("values of type {data_type} cannot be sent to a client"))
        .hint("Select the parts of the value that are needed.")
}

/// An OID and a name under a field of objects.
fn object<'a>(field: &Field, array: &'a ArrayRef) -> Result<Option<Data<'a>>> {
    let Some(object) = array.as_struct_opt().filter(|_| pgtype::is_reg(pgtype::pg_type(field).oid)) else {
        return Ok(None);
    };
    let ([oid, name], [oids, names]) = (&object.fields()[..], object.columns()) else { return Ok(None) };
    Ok(Some(Data::Object(Box::new(Column::new(oid, oids)?), Box::new(Column::new(name, names)?))))
}

fn variant(array: &ArrayRef) -> Result<Data<'_>> {
    let parts = array.as_struct_opt().ok_or_else(|| unsupported(array.data_type()))?;
    if parts.column_by_name("typed_value").is_some() {
        return Err(Error::unsupported("shredded variants cannot be sent to a client"));
    }
    let part = |name: &str| -> Result<Column<'_>> {
        let array = parts.column_by_name(name).ok_or_else(|| unsupported(array.data_type()))?;
        if !array.data_type().is_binary() {
            return Err(unsupported(array.data_type()));
        }
        Ok(Column { nulls: array.nulls(), data: data(array)? })
    };
    Ok(Data::Variant(Variants { metadata: Box::new(part("metadata")?), value: Box::new(part("value")?) }))
}

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

fn data(array: &ArrayRef) -> Result<Data<'_>> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Ok(match array.data_type() {
        DataType::Null => Data::Null,
        DataType::Boolean => Data::Bool(array.as_boolean()),
        DataType::Int8 => Data::Int8(primitive::<Int8Type>(array)),
        DataType::Int16 => Data::Int16(primitive::<Int16Type>(array)),
        DataType::Int32 => Data::Int32(primitive::<Int32Type>(array)),
        DataType::Int64 => Data::Int64(primitive::<Int64Type>(array)),
        DataType::UInt8 => Data::UInt8(primitive::<UInt8Type>(array)),
        DataType::UInt16 => Data::UInt16(primitive::<UInt16Type>(array)),
        DataType::UInt32 => Data::UInt32(primitive::<UInt32Type>(array)),
        DataType::UInt64 => Data::UInt64(primitive::<UInt64Type>(array)),
        DataType::Float16 => Data::Float16(primitive::<Float16Type>(array)),
        DataType::Float32 => Data::Float32(primitive::<Float32Type>(array)),
        DataType::Float64 => Data::Float64(primitive::<Float64Type>(array)),
        DataType::Decimal32(_, scale) => Data::Decimal32(primitive::<Decimal32Type>(array), *scale),
        DataType::Decimal64(_, scale) => Data::Decimal64(primitive::<Decimal64Type>(array), *scale),
        DataType::Decimal128(_, scale) => Data::Decimal128(primitive::<Decimal128Type>(array), *scale),
        any if pgtype::numeric::is_any(any) => Data::Numeric(primitive::<Decimal256Type>(array)),
        DataType::Decimal256(_, scale) => Data::Decimal256(primitive::<Decimal256Type>(array), *scale),
        DataType::Date32 => Data::Date32(primitive::<Date32Type>(array)),
        DataType::Date64 => Data::Date64(primitive::<Date64Type>(array)),
        DataType::Time32(Second) => Data::Time32(primitive::<Time32SecondType>(array), Second),
        DataType::Time32(unit) => Data::Time32(primitive::<Time32MillisecondType>(array), *unit),
        DataType::Time64(Nanosecond) => Data::Time64(primitive::<Time64NanosecondType>(array), Nanosecond),
        DataType::Time64(unit) => Data::Time64(primitive::<Time64MicrosecondType>(array), *unit),
        DataType::Timestamp(unit, zone) => {
            let values = match unit {
                Second => primitive::<TimestampSecondType>(array),
                Millisecond => primitive::<TimestampMillisecondType>(array),
                Microsecond => primitive::<TimestampMicrosecondType>(array),
                Nanosecond => primitive::<TimestampNanosecondType>(array),
            };
            if zone.is_some() { Data::TimestampTz(values, *unit) } else { Data::Timestamp(values, *unit) }
        }
        DataType::Interval(IntervalUnit::YearMonth) => Data::YearMonth(primitive::<IntervalYearMonthType>(array)),
        DataType::Interval(IntervalUnit::DayTime) => Data::DayTime(primitive::<IntervalDayTimeType>(array)),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            Data::MonthDayNano(primitive::<IntervalMonthDayNanoType>(array))
        }
        DataType::Duration(unit) => Data::Duration(
            match unit {
                Second => primitive::<DurationSecondType>(array),
                Millisecond => primitive::<DurationMillisecondType>(array),
                Microsecond => primitive::<DurationMicrosecondType>(array),
                Nanosecond => primitive::<DurationNanosecondType>(array),
            },
            *unit,
        ),
        DataType::Utf8 => Data::Utf8(array.as_string()),
        DataType::LargeUtf8 => Data::LargeUtf8(array.as_string()),
        DataType::Utf8View => Data::Utf8View(array.as_string_view()),
        DataType::Binary => Data::Binary(array.as_binary()),
        DataType::LargeBinary => Data::LargeBinary(array.as_binary()),
        DataType::BinaryView => Data::BinaryView(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => Data::FixedBinary(array.as_fixed_size_binary()),
        DataType::List(item) => {
            let lists = array.as_list::<i32>();
            Data::Lists(Lists::new(item, Extents::Offsets32(lists.value_offsets()), lists.values())?)
        }
        DataType::LargeList(item) => {
            let lists = array.as_list::<i64>();
            Data::Lists(Lists::new(item, Extents::Offsets64(lists.value_offsets()), lists.values())?)
        }
        DataType::FixedSizeList(item, len) => {
            let lists = array.as_fixed_size_list();
            Data::Lists(Lists::new(item, Extents::Fixed(*len as usize), lists.values())?)
        }
        DataType::ListView(item) => {
            let lists = array.as_list_view::<i32>();
            let extents = Extents::Views32(lists.value_offsets(), lists.value_sizes());
            Data::Lists(Lists::new(item, extents, lists.values())?)
        }
        DataType::LargeListView(item) => {
            let lists = array.as_list_view::<i64>();
            let extents = Extents::Views64(lists.value_offsets(), lists.value_sizes());
            Data::Lists(Lists::new(item, extents, lists.values())?)
        }
        DataType::Struct(fields) => Data::Struct(Struct::new(fields, array.as_struct())?),
        DataType::Map(entries, _) => Data::Map(Map::new(entries, array.as_map())?),
        DataType::Dictionary(keys, _) => dictionary(keys, array)?,
        DataType::RunEndEncoded(ends, values) => runs(ends, values, array)?,
        other @ DataType::Union(..) => return Err(unsupported(other)),
    })
}

fn dictionary<'a>(keys: &DataType, array: &'a ArrayRef) -> Result<Data<'a>> {
    macro_rules! places {
        ($key:ty, $places:ident) => {{
            let dictionary = array.as_dictionary::<$key>();
            (Places::$places(dictionary.keys().values()), dictionary.values())
        }};
    }
    let (places, values) = match keys {
        DataType::Int8 => places!(Int8Type, Int8),
        DataType::Int16 => places!(Int16Type, Int16),
        DataType::Int32 => places!(Int32Type, Int32),
        DataType::Int64 => places!(Int64Type, Int64),
        DataType::UInt8 => places!(UInt8Type, UInt8),
        DataType::UInt16 => places!(UInt16Type, UInt16),
        DataType::UInt32 => places!(UInt32Type, UInt32),
        DataType::UInt64 => places!(UInt64Type, UInt64),
        _ => return Err(unsupported(array.data_type())),
    };
    let column = Column { nulls: values.nulls(), data: data(values)? };
    Ok(Data::Indirect(places, Box::new(column)))
}

fn runs<'a>(ends: &Field, values: &Field, array: &'a ArrayRef) -> Result<Data<'a>> {
    let (places, run_values) = match ends.data_type() {
        DataType::Int16 => {
            let runs = array.as_run::<Int16Type>();
            (Places::Runs16(runs.run_ends()), runs.values())
        }
        DataType::Int32 => {
            let runs = array.as_run::<Int32Type>();
            (Places::Runs32(runs.run_ends()), runs.values())
        }
        DataType::Int64 => {
            let runs = array.as_run::<Int64Type>();
            (Places::Runs64(runs.run_ends()), runs.values())
        }
        _ => return Err(unsupported(array.data_type())),
    };
    Ok(Data::Indirect(places, Box::new(Column::new(values, run_values)?)))
}
