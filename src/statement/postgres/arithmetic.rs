//! The arithmetic operators on numbers: checked, with PostgreSQL's errors (`int.c`, `int8.c`, `float.c`, `numeric.c`).
//!
//! It owns `+ - * / %`, negation, powers and bits. Columns of one width go through Arrow's kernels; what those cannot say
//! is done row by row.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Datum as ArrowDatum};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::numeric::{add, div, mul, neg, rem, sub};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::fail;
use super::function::{Function, Overload, function, on};
use super::kind::{Datum, Kind};
use crate::error::{Error, Result};
use Kind::{Float4, Float8, Int2, Int4, Int8, Numeric as Num};

type Kernel = fn(&dyn ArrowDatum, &dyn ArrowDatum) -> std::result::Result<ArrayRef, ArrowError>;

/// Both arguments as `width` through a kernel.
fn integers(args: &[ColumnarValue], width: &DataType, kernel: Kernel) -> Result<ColumnarValue> {
    let what = match width {
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        _ => "bigint",
    };
    through(args, width, kernel).map_err(|error| match error {
        ArrowError::DivideByZero => fail::division_by_zero(),
        ArrowError::ArithmeticOverflow(_) => fail::out_of_range(what),
        other => Error::internal(other),
    })
}

/// A remainder that overflows is zero, which a row says.
fn remainders(args: &[ColumnarValue], width: &DataType) -> Option<Result<ColumnarValue>> {
    match through(args, width, rem) {
        Ok(done) => Some(Ok(done)),
        Err(ArrowError::DivideByZero) => Some(Err(fail::division_by_zero())),
        Err(_) => None,
    }
}

/// Floats through a kernel, if no result calls for a second look.
fn floats(
    args: &[ColumnarValue],
    width: &DataType,
    kernel: Kernel,
    zero_is_fine: bool,
) -> Option<Result<ColumnarValue>> {
    let fine = |value: f64| value.is_finite() && (zero_is_fine || value != 0.0);
    let done = through(args, width, kernel).ok()?;
    let sound = match &done {
        ColumnarValue::Array(array) if *width == DataType::Float32 => {
            array.as_primitive::<Float32Type>().values().iter().all(|value| fine(f64::from(*value)))
        }
        ColumnarValue::Array(array) => array.as_primitive::<Float64Type>().values().iter().all(|value| fine(*value)),
        ColumnarValue::Scalar(ScalarValue::Float64(Some(value))) => fine(*value),
        ColumnarValue::Scalar(ScalarValue::Float32(Some(value))) => fine(f64::from(*value)),
        ColumnarValue::Scalar(_) => true,
    };
    sound.then_some(Ok(done))
}

fn through(args: &[ColumnarValue], width: &DataType, kernel: Kernel) -> std::result::Result<ColumnarValue, ArrowError> {
    let sized = |value: &ColumnarValue| -> std::result::Result<ColumnarValue, ArrowError> {
        if value.data_type() == *width {
            return Ok(value.clone());
        }
        Ok(match value {
            ColumnarValue::Array(array) => ColumnarValue::Array(cast(array, width)?),
            ColumnarValue::Scalar(scalar) => {
                let cast = scalar.cast_to(width).map_err(|error| ArrowError::ComputeError(error.to_string()))?;
                ColumnarValue::Scalar(cast)
            }
        })
    };
    let scalar = |value: &ScalarValue| value.to_scalar().map_err(|error| ArrowError::ComputeError(error.to_string()));
    let (left, right) = (sized(&args[0])?, sized(&args[1])?);
    Ok(match (&left, &right) {
        (ColumnarValue::Array(left), ColumnarValue::Array(right)) => ColumnarValue::Array(kernel(left, right)?),
        (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
            ColumnarValue::Array(kernel(left, &scalar(right)?)?)
        }
        (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
            ColumnarValue::Array(kernel(&scalar(left)?, right)?)
        }
        (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
            let one = kernel(&scalar(left)?, &scalar(right)?)?;
            let one =
                ScalarValue::try_from_array(&one, 0).map_err(|error| ArrowError::ComputeError(error.to_string()))?;
            ColumnarValue::Scalar(one)
        }
    })
}

/// An overload on integers of one width, whose rows go through `$checked`.
macro_rules! integer {
    ($kind:expr, $width:ident, $native:ty, $kernel:expr, $checked:ident, $what:literal) => {
        on(&[$kind, $kind], $kind, |a, _| {
            let (left, right) = (a[0].int() as $native, a[1].int() as $native);
            left.$checked(right).map(|value| Datum::Int(i64::from(value))).ok_or_else(|| fail::out_of_range($what))
        })
        .vectorised(|args| Some(integers(args, &DataType::$width, $kernel)))
    };
}

macro_rules! quotient {
    ($kind:expr, $width:ident, $native:ty, $what:literal) => {
        on(&[$kind, $kind], $kind, |a, _| {
            let (left, right) = (a[0].int() as $native, a[1].int() as $native);
            if right == 0 {
                return Err(fail::division_by_zero());
            }
            left.checked_div(right).map(|value| Datum::Int(i64::from(value))).ok_or_else(|| fail::out_of_range($what))
        })
        .vectorised(|args| Some(integers(args, &DataType::$width, div)))
    };
}

macro_rules! remainder {
    ($kind:expr, $width:ident) => {
        on(&[$kind, $kind], $kind, |a, _| match a[1].int() {
            0 => Err(fail::division_by_zero()),
            -1 => Ok(Datum::Int(0)),
            right => Ok(Datum::Int(a[0].int() % right)),
        })
        .vectorised(|args| remainders(args, &DataType::$width))
    };
}

macro_rules! float {
    ($kind:expr, $width:ident, $kernel:expr, $zero_is_fine:literal, $row:expr) => {
        on(&[$kind, $kind], $kind, $row).vectorised(|args| floats(args, &DataType::$width, $kernel, $zero_is_fine))
    };
}

macro_rules! bits {
    ($kind:expr, $symbol:tt) => {
        on(&[$kind, $kind], $kind, |a, _| Ok(Datum::Int(a[0].int() $symbol a[1].int())))
    };
}

fn float_sum<'a>(a: &[Datum<'a>], _: &super::function::Env) -> Result<Datum<'a>> {
    let (left, right) = (a[0].float(), a[1].float());
    fail::float8(left + right, left.is_infinite() || right.is_infinite(), true).map(Datum::Float)
}

fn float_difference<'a>(a: &[Datum<'a>], _: &super::function::Env) -> Result<Datum<'a>> {
    let (left, right) = (a[0].float(), a[1].float());
    fail::float8(left - right, left.is_infinite() || right.is_infinite(), true).map(Datum::Float)
}

fn float_product<'a>(a: &[Datum<'a>], _: &super::function::Env) -> Result<Datum<'a>> {
    let (left, right) = (a[0].float(), a[1].float());
    fail::float8(left * right, left.is_infinite() || right.is_infinite(), left == 0.0 || right == 0.0).map(Datum::Float)
}

fn float_quotient<'a>(a: &[Datum<'a>], _: &super::function::Env) -> Result<Datum<'a>> {
    let (left, right) = (a[0].float(), a[1].float());
    if right == 0.0 && !left.is_nan() {
        return Err(fail::division_by_zero());
    }
    fail::float8(left / right, left.is_infinite(), left == 0.0 || right.is_infinite()).map(Datum::Float)
}

/// A remainder has the larger scale of both, and no more digits than either.
fn remainder_type(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let ((_, left), (_, right)) = (decimal(fields.first()?)?, decimal(fields.get(1)?)?);
    Some(DataType::Decimal128(38, left.max(right).max(0)))
}

/// A negative or absolute value has its argument's type.
pub fn same_type(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let (precision, scale) = decimal(fields.first()?)?;
    Some(DataType::Decimal128(precision, scale))
}

/// Precision and scale of a decimal of 128 bits, or of an integer as one.
pub fn decimal(field: &FieldRef) -> Option<(u8, i8)> {
    Some(match field.data_type() {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

pub static PLUS: Function = function(
    "+",
    &[
        integer!(Int4, Int32, i32, add, checked_add, "integer"),
        integer!(Int8, Int64, i64, add, checked_add, "bigint"),
        integer!(Int2, Int16, i16, add, checked_add, "smallint"),
        float!(Float8, Float64, add, true, float_sum),
        float!(Float4, Float32, add, true, float_sum),
        on(&[Num, Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().add(a[1].numeric())))),
        super::dates::DATE_PLUS_INT,
        super::dates::INT_PLUS_DATE,
        super::dates::DATE_PLUS_TIME,
        super::dates::DATE_PLUS_INTERVAL,
        super::dates::INTERVAL_PLUS_DATE,
        super::dates::TIMESTAMP_PLUS_INTERVAL,
        super::dates::INTERVAL_PLUS_TIMESTAMP,
        super::dates::TIMESTAMPTZ_PLUS_INTERVAL,
        super::dates::INTERVAL_PLUS_TIMESTAMPTZ,
        super::dates::TIME_PLUS_INTERVAL,
        super::dates::INTERVAL_PLUS_INTERVAL,
    ],
);

pub static MINUS: Function = function(
    "-",
    &[
        integer!(Int4, Int32, i32, sub, checked_sub, "integer"),
        integer!(Int8, Int64, i64, sub, checked_sub, "bigint"),
        integer!(Int2, Int16, i16, sub, checked_sub, "smallint"),
        float!(Float8, Float64, sub, true, float_difference),
        float!(Float4, Float32, sub, true, float_difference),
        on(&[Num, Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().subtract(a[1].numeric())))),
        super::dates::DATE_MINUS_INT,
        super::dates::DATE_MINUS_DATE,
        super::dates::DATE_MINUS_INTERVAL,
        super::dates::TIMESTAMP_MINUS_INTERVAL,
        super::dates::TIMESTAMPTZ_MINUS_INTERVAL,
        super::dates::TIMESTAMP_MINUS_TIMESTAMP,
        super::dates::TIMESTAMPTZ_MINUS_TIMESTAMPTZ,
        super::dates::TIME_MINUS_TIME,
        super::dates::TIME_MINUS_INTERVAL,
        super::dates::INTERVAL_MINUS_INTERVAL,
    ],
);

pub static NEGATION: Function = function(
    "-",
    &[
        on(&[Int4], Int4, |a, _| Ok(Datum::Int(-a[0].int()))).vectorised(negated),
        on(&[Int8], Int8, |a, _| match a[0].int().checked_neg() {
            Some(value) => Ok(Datum::Int(value)),
            None => Err(fail::out_of_range("bigint")),
        })
        .vectorised(negated),
        on(&[Int2], Int2, |a, _| Ok(Datum::Int(-a[0].int()))).vectorised(negated),
        on(&[Float8], Float8, |a, _| Ok(Datum::Float(-a[0].float()))),
        on(&[Float4], Float4, |a, _| Ok(Datum::Float(-a[0].float()))),
        on(&[Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().negated()))).typed(same_type),
        on(&[Kind::Interval], Kind::Interval, |a, _| a[0].interval().negated().map(Datum::Interval)),
    ],
);

/// Whole columns through the kernel; what it refuses, a row refuses in better words.
fn negated(args: &[ColumnarValue]) -> Option<Result<ColumnarValue>> {
    let [ColumnarValue::Array(array)] = args else { return None };
    if !array.data_type().is_signed_integer() {
        return None;
    }
    neg(array.as_ref()).ok().map(|array| Ok(ColumnarValue::Array(array)))
}

pub static TIMES: Function = function(
    "*",
    &[
        integer!(Int4, Int32, i32, mul, checked_mul, "integer"),
        integer!(Int8, Int64, i64, mul, checked_mul, "bigint"),
        integer!(Int2, Int16, i16, mul, checked_mul, "smallint"),
        float!(Float8, Float64, mul, false, float_product),
        float!(Float4, Float32, mul, false, float_product),
        on(&[Num, Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().multiply(a[1].numeric())))),
        super::dates::INTERVAL_TIMES_NUMBER,
        super::dates::NUMBER_TIMES_INTERVAL,
    ],
);

pub static DIVIDED: Function = function(
    "/",
    &[
        quotient!(Int4, Int32, i32, "integer"),
        quotient!(Int8, Int64, i64, "bigint"),
        quotient!(Int2, Int16, i16, "smallint"),
        float!(Float8, Float64, div, false, float_quotient),
        float!(Float4, Float32, div, false, float_quotient),
        on(&[Num, Num], Num, |a, _| a[0].numeric().divide(a[1].numeric()).map(Datum::Numeric)),
        super::dates::INTERVAL_DIVIDED,
    ],
);

pub static MODULO: Function = function("%", REMAINDERS);

/// `%` and `mod`.
pub const REMAINDERS: &[Overload] = &[
    remainder!(Int4, Int32),
    remainder!(Int8, Int64),
    remainder!(Int2, Int16),
    on(&[Num, Num], Num, |a, _| a[0].numeric().remainder(a[1].numeric()).map(Datum::Numeric)).typed(remainder_type),
];

pub static POWER_OPERATOR: Function = function(
    "^",
    &[
        on(&[Float8, Float8], Float8, |a, _| super::math::float_power(a[0].float(), a[1].float()).map(Datum::Float)),
        on(&[Num, Num], Num, |a, _| a[0].numeric().power(a[1].numeric()).map(Datum::Numeric)),
    ],
);

pub static BIT_AND: Function = function("&", &[bits!(Int4, &), bits!(Int8, &), bits!(Int2, &)]);
pub static BIT_OR: Function = function("|", &[bits!(Int4, |), bits!(Int8, |), bits!(Int2, |)]);
pub static BIT_XOR: Function = function("#", &[bits!(Int4, ^), bits!(Int8, ^), bits!(Int2, ^)]);
/// The operator `~`.
pub const COMPLEMENTS: &[Overload] = &[
    on(&[Int4], Int4, |a, _| Ok(Datum::Int(!a[0].int()))),
    on(&[Int8], Int8, |a, _| Ok(Datum::Int(!a[0].int()))),
    on(&[Int2], Int2, |a, _| Ok(Datum::Int(!a[0].int()))),
];

// a shift counts modulo the width, as on the processors that PostgreSQL runs on
pub static SHIFT_LEFT: Function = function(
    "<<",
    &[
        on(&[Int4, Int4], Int4, |a, _| Ok(Datum::Int((a[0].int() as i32).wrapping_shl(a[1].int() as u32).into()))),
        on(&[Int8, Int4], Int8, |a, _| Ok(Datum::Int(a[0].int().wrapping_shl(a[1].int() as u32)))),
        on(&[Int2, Int4], Int2, |a, _| {
            Ok(Datum::Int(((a[0].int() as i32).wrapping_shl(a[1].int() as u32) as i16).into()))
        }),
    ],
);
pub static SHIFT_RIGHT: Function = function(
    ">>",
    &[
        on(&[Int4, Int4], Int4, |a, _| Ok(Datum::Int((a[0].int() as i32).wrapping_shr(a[1].int() as u32).into()))),
        on(&[Int8, Int4], Int8, |a, _| Ok(Datum::Int(a[0].int().wrapping_shr(a[1].int() as u32)))),
        on(&[Int2, Int4], Int2, |a, _| Ok(Datum::Int((a[0].int() as i32).wrapping_shr(a[1].int() as u32).into()))),
    ],
);
