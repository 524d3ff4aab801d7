//! The kinds of values that PostgreSQL's functions know, one value of a kind, and the way between Arrow's arrays and values.
//!
//! It owns which Arrow types are read as which kind and what a kind is written as. It refuses to know functions.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal256Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListBuilder, NullArray,
    StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::fail;
use super::interval::Interval;
use super::numeric::Numeric;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::numeric as any_numeric;

const NANOS_PER_MICRO: i64 = 1000;

/// What a function takes or gives: PostgreSQL's types, as far as they behave differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Every decimal. Written as [`any_numeric::data_type`], which keeps each value's own scale.
    Numeric,
    Text,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    /// `text[]`.
    Texts,
    /// `double precision[]`.
    Floats,
    /// Anything, as its type's output function writes it; of parameters only.
    Shown,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Numeric(Numeric),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970, of a clock or of UTC.
    Timestamp(i64),
    Interval(Interval),
    List(Vec<Datum<'a>>),
}

impl Datum<'_> {
    pub fn text(text: impl Into<String>) -> Datum<'static> {
        Datum::Text(Cow::Owned(text.into()))
    }

    pub fn owned_bytes(bytes: Vec<u8>) -> Datum<'static> {
        Datum::Bytes(Cow::Owned(bytes))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// The value with what it points to.
    pub fn into_owned(self) -> Datum<'static> {
        match self {
            Datum::Null => Datum::Null,
            Datum::Bool(value) => Datum::Bool(value),
            Datum::Int(value) => Datum::Int(value),
            Datum::Float(value) => Datum::Float(value),
            Datum::Numeric(value) => Datum::Numeric(value),
            Datum::Text(text) => Datum::Text(Cow::Owned(text.into_owned())),
            Datum::Bytes(bytes) => Datum::Bytes(Cow::Owned(bytes.into_owned())),
            Datum::Date(value) => Datum::Date(value),
            Datum::Time(value) => Datum::Time(value),
            Datum::Timestamp(value) => Datum::Timestamp(value),
            Datum::Interval(value) => Datum::Interval(value),
            Datum::List(items) => Datum::List(items.into_iter().map(Datum::into_owned).collect()),
        }
    }

    /// The value without a copy of what it points to.
    pub fn borrowed(&self) -> Datum<'_> {
        match self {
            Datum::Text(text) => Datum::Text(Cow::Borrowed(text)),
            Datum::Bytes(bytes) => Datum::Bytes(Cow::Borrowed(bytes)),
            Datum::List(items) => Datum::List(items.iter().map(Datum::borrowed).collect()),
            plain => plain.clone().into_owned(),
        }
    }
}

/// The value of an argument whose kind the overload has settled.
///
/// INVARIANT: a function is called with values of its overload's kinds, which `function::Udf` sees to.
macro_rules! settled {
    ($name:ident, $pattern:pat => $value:expr, $gives:ty) => {
        pub fn $name(&self) -> $gives {
            match self {
                $pattern => $value,
                other => unreachable!("{} asked of {other:?}", stringify!($name)),
            }
        }
    };
}

impl Datum<'_> {
    settled!(int, Datum::Int(value) => *value, i64);
    settled!(float, Datum::Float(value) => *value, f64);
    settled!(numeric, Datum::Numeric(value) => value, &Numeric);
    settled!(str, Datum::Text(value) => value, &str);
    settled!(bytes, Datum::Bytes(value) => value, &[u8]);
    settled!(date, Datum::Date(value) => *value, i32);
    settled!(time, Datum::Time(value) => *value, i64);
    settled!(timestamp, Datum::Timestamp(value) => *value, i64);
    settled!(interval, Datum::Interval(value) => *value, Interval);
}

impl Kind {
    /// The kind as which an Arrow type is read; `None` for what these functions do not know.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 => Self::Int8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Numeric,
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Bytea
            }
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Dictionary(_, values) => return Self::of(values),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                match Self::of(item.data_type())? {
                    Self::Text => Self::Texts,
                    Self::Float8 => Self::Floats,
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    /// The Arrow type that a function gives for this kind.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric => any_numeric::data_type(),
            Self::Text | Self::Shown => DataType::Utf8,
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Texts => list_of(DataType::Utf8),
            Self::Floats => list_of(DataType::Float64),
        }
    }

    /// PostgreSQL's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int2 => "smallint",
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
            Self::Float4 => "real",
            Self::Float8 => "double precision",
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Shown => "\"any\"",
            Self::Bytea => "bytea",
            Self::Date => "date",
            Self::Time => "time without time zone",
            Self::Timestamp => "timestamp without time zone",
            Self::TimestampTz => "timestamp with time zone",
            Self::Interval => "interval",
            Self::Texts => "text[]",
            Self::Floats => "double precision[]",
        }
    }

    /// How far `self` is from a parameter of the kind `wanted`: 0 is exact, `None` is no way without an explicit cast.
    /// Text stands for literals too, whose type is what the function takes (PostgreSQL, section 10.3).
    pub fn distance(self, wanted: Self) -> Option<u32> {
        use Kind::{Bytea, Date, Float4, Float8, Int2, Int4, Int8, Numeric, Text, Timestamp, TimestampTz};
        if self == wanted {
            return Some(0);
        }
        Some(match (self, wanted) {
            (_, Self::Shown) | (Int2, Int4) | (Int4, Int8) => 1,
            (Int2, Int8) => 2,
            // float8 and timestamptz are the preferred types of their categories
            (Int2 | Int4 | Int8 | Numeric | Float4, Float8) | (Date | Timestamp, TimestampTz) => 3,
            (Int2 | Int4 | Int8, Numeric) | (Date, Timestamp) => 4,
            (Int2 | Int4 | Int8 | Numeric, Float4) => 5,
            // a literal that is wider than it needs to be; a value that does not fit is refused
            (Int8, Int4) => 10,
            (Int4 | Int8, Int2) => 12,
            (Text, Bytea) => 40,
            (Text, _) => 20,
            _ => return None,
        })
    }
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// One argument of a batch, ready to be read row by row as its kind.
pub struct Column {
    array: ArrayRef,
    kind: Option<Kind>,
    scale: i16,
    /// Whether each numeric shows a scale of its own.
    is_any: bool,
    /// Of the items, for lists.
    items: Option<Box<Column>>,
}

impl Column {
    /// Resolves dictionaries and units, so that each kind has few layouts.
    pub fn new(array: &ArrayRef) -> Result<Self> {
        let to = |data_type: DataType| cast(array, &data_type).map_err(Error::internal);
        let array = match array.data_type() {
            DataType::Dictionary(_, values) => to(values.as_ref().clone())?,
            DataType::Date64 => to(DataType::Date32)?,
            DataType::Float16 => to(DataType::Float32)?,
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                to(DataType::Decimal128(*precision, *scale))?
            }
            DataType::Time32(_) | DataType::Time64(_) => to(DataType::Time64(TimeUnit::Microsecond))?,
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                // towards the past, not towards zero
                let zone = zone.clone();
                let nanos = to(DataType::Int64)?;
                let micros =
                    nanos.as_primitive::<Int64Type>().unary::<_, TimestampMicrosecondType>(|n| n.div_euclid(1000));
                Arc::new(micros.with_timezone_opt(zone)) as ArrayRef
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => Arc::clone(array),
            DataType::Timestamp(_, zone) => to(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?,
            DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime) => {
                to(DataType::Interval(IntervalUnit::MonthDayNano))?
            }
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => to(DataType::Binary)?,
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => to(DataType::List(Arc::clone(item)))?,
            _ => Arc::clone(array),
        };
        let kind = Kind::of(array.data_type());
        let scale = match array.data_type() {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => i16::from(*scale),
            _ => 0,
        };
        let items = match array.data_type() {
            DataType::List(_) => Some(Box::new(Self::new(array.as_list::<i32>().values())?)),
            _ => None,
        };
        let is_any = any_numeric::is_any(array.data_type());
        Ok(Self { array, kind, scale, is_any, items })
    }

    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row) || self.array.data_type() == &DataType::Null
    }

    /// The value of a row. Of the items of a list too, in the order of the array.
    pub fn get(&self, row: usize) -> Datum<'_> {
        if self.is_null(row) {
            return Datum::Null;
        }
        let array = &self.array;
        match array.data_type() {
            DataType::Boolean => Datum::Bool(array.as_boolean().value(row)),
            DataType::Int8 => Datum::Int(array.as_primitive::<Int8Type>().value(row).into()),
            DataType::Int16 => Datum::Int(array.as_primitive::<Int16Type>().value(row).into()),
            DataType::Int32 => Datum::Int(array.as_primitive::<Int32Type>().value(row).into()),
            DataType::Int64 => Datum::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::UInt8 => Datum::Int(array.as_primitive::<UInt8Type>().value(row).into()),
            DataType::UInt16 => Datum::Int(array.as_primitive::<UInt16Type>().value(row).into()),
            DataType::UInt32 => Datum::Int(array.as_primitive::<UInt32Type>().value(row).into()),
            DataType::UInt64 => Datum::Numeric(Numeric::new(array.as_primitive::<UInt64Type>().value(row).into(), 0)),
            DataType::Float32 => Datum::Float(array.as_primitive::<Float32Type>().value(row).into()),
            DataType::Float64 => Datum::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(..) => {
                Datum::Numeric(Numeric::scaled(array.as_primitive::<Decimal128Type>().value(row).into(), self.scale))
            }
            DataType::Decimal256(..) => Datum::Numeric(Numeric::of_256(
                array.as_primitive::<Decimal256Type>().value(row),
                self.scale,
                self.is_any,
            )),
            DataType::Utf8 => Datum::Text(Cow::Borrowed(array.as_string::<i32>().value(row))),
            DataType::LargeUtf8 => Datum::Text(Cow::Borrowed(array.as_string::<i64>().value(row))),
            DataType::Utf8View => Datum::Text(Cow::Borrowed(array.as_string_view().value(row))),
            DataType::Binary => Datum::Bytes(Cow::Borrowed(array.as_binary::<i32>().value(row))),
            DataType::Date32 => Datum::Date(array.as_primitive::<Date32Type>().value(row)),
            DataType::Time64(_) => Datum::Time(array.as_primitive::<Time64MicrosecondType>().value(row)),
            DataType::Timestamp(..) => Datum::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)),
            DataType::Interval(_) => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                let (months, days, micros) = (value.months, value.days, value.nanoseconds / NANOS_PER_MICRO);
                Datum::Interval(Interval { months, days, micros })
            }
            DataType::List(_) => {
                let offsets = array.as_list::<i32>().value_offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                let items = self.items.as_deref();
                Datum::List(range.map(|item| items.map_or(Datum::Null, |items| items.get(item))).collect())
            }
            _ => Datum::Null,
        }
    }
}

/// Collects values of one kind into an array of `data_type`, which is the kind's own, or a decimal of a fixed scale.
pub fn array_of<'a>(
    kind: Kind,
    data_type: &DataType,
    values: impl ExactSizeIterator<Item = Result<Datum<'a>>>,
) -> Result<ArrayRef> {
    macro_rules! build {
        ($builder:expr, $pattern:pat => $value:expr) => {{
            let mut builder = $builder;
            for value in values {
                match value? {
                    Datum::Null => builder.append_null(),
                    $pattern => builder.append_value($value),
                    other => return Err(unexpected(kind, &other)),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    let count = values.len();
    Ok(match kind {
        Kind::Bool => build!(BooleanBuilder::with_capacity(count), Datum::Bool(value) => value),
        Kind::Int2 => build!(Int16Builder::with_capacity(count),
            Datum::Int(value) => i16::try_from(value).map_err(|_| fail::out_of_range("smallint"))?),
        Kind::Int4 => build!(Int32Builder::with_capacity(count),
            Datum::Int(value) => i32::try_from(value).map_err(|_| fail::out_of_range("integer"))?),
        Kind::Int8 => build!(Int64Builder::with_capacity(count), Datum::Int(value) => value),
        Kind::Float4 => build!(Float32Builder::with_capacity(count), Datum::Float(value) => fail::float4(value)?),
        Kind::Float8 => build!(Float64Builder::with_capacity(count), Datum::Float(value) => value),
        Kind::Numeric => numerics(data_type, values)?,
        Kind::Text | Kind::Shown => build!(StringBuilder::with_capacity(count, count * 8), Datum::Text(value) => value),
        Kind::Bytea => build!(BinaryBuilder::with_capacity(count, count * 8), Datum::Bytes(value) => value),
        Kind::Date => build!(Date32Builder::with_capacity(count), Datum::Date(value) => value),
        Kind::Time => build!(Time64MicrosecondBuilder::with_capacity(count), Datum::Time(value) => value),
        Kind::Timestamp | Kind::TimestampTz => build!(
            TimestampMicrosecondBuilder::with_capacity(count).with_data_type(data_type.clone()),
            Datum::Timestamp(value) => value),
        Kind::Interval => build!(IntervalMonthDayNanoBuilder::with_capacity(count),
            Datum::Interval(value) => arrow_interval(value)?),
        Kind::Texts => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for value in values {
                let Datum::List(items) = value? else {
                    builder.append_null();
                    continue;
                };
                for item in items {
                    match item {
                        Datum::Text(text) => builder.values().append_value(text),
                        _ => builder.values().append_null(),
                    }
                }
                builder.append(true);
            }
            Arc::new(builder.finish())
        }
        Kind::Floats => {
            let mut builder = ListBuilder::new(Float64Builder::new());
            for value in values {
                let Datum::List(items) = value? else {
                    builder.append_null();
                    continue;
                };
                for item in items {
                    match item {
                        Datum::Float(number) => builder.values().append_value(number),
                        _ => builder.values().append_null(),
                    }
                }
                builder.append(true);
            }
            Arc::new(builder.finish())
        }
    })
}

fn numerics<'a>(data_type: &DataType, values: impl ExactSizeIterator<Item = Result<Datum<'a>>>) -> Result<ArrayRef> {
    let (precision, scale) = match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => (*precision, *scale),
        other => return Err(Error::internal(format_args!("numerics are no {other}"))),
    };
    let mut builder = Decimal256Builder::with_capacity(values.len());
    for value in values {
        match value? {
            Datum::Null => builder.append_null(),
            Datum::Numeric(value) if any_numeric::is_any(data_type) => builder.append_value(value.to_any()?),
            Datum::Numeric(value) => builder.append_value(value.to_256(scale.into())?),
            other => return Err(unexpected(Kind::Numeric, &other)),
        }
    }
    let wide = builder.finish().with_precision_and_scale(any_numeric::PRECISION, scale).map_err(Error::internal)?;
    if let DataType::Decimal128(..) = data_type {
        let mut narrow = datafusion::arrow::array::Decimal128Builder::with_capacity(wide.len());
        for value in &wide {
            match value.map(|value| value.to_i128().ok_or_else(fail::numeric_overflow)).transpose()? {
                Some(value) => narrow.append_value(value),
                None => narrow.append_null(),
            }
        }
        let narrow = narrow.finish().with_precision_and_scale(precision, scale).map_err(Error::internal)?;
        return Ok(Arc::new(narrow));
    }
    Ok(Arc::new(wide))
}

/// Arrow counts the time part in nanoseconds, which reach 292 years.
pub fn arrow_interval(value: Interval) -> Result<IntervalMonthDayNano> {
    let nanoseconds = value
        .micros
        .checked_mul(NANOS_PER_MICRO)
        .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"))?;
    Ok(IntervalMonthDayNano { months: value.months, days: value.days, nanoseconds })
}

#[cold]
fn unexpected(kind: Kind, value: &Datum<'_>) -> Error {
    Error::internal(format_args!("a function of {} gave {value:?}", kind.name()))
}

/// An array of NULLs without a type, as arguments that are NULL literals come.
pub fn nulls(count: usize) -> ArrayRef {
    Arc::new(NullArray::new(count))
}
