//! Mathematical functions (PostgreSQL 15, section 9.3), on integers, floats and numerics each in its own way.
//!
//! It owns their results, their scales and the errors outside their domains.

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use num_bigint::BigInt;
use num_traits::ToPrimitive;

use super::arithmetic::{REMAINDERS, decimal, same_type};
use super::fail;
use super::function::{Function, Overload, function, on};
use super::kind::{Datum, Kind};
use super::numeric::Numeric;
use crate::error::{Error, Result, SqlState};
use Kind::{Float4, Float8, Int2, Int4, Int8, Numeric as Num, Text};

/// The largest factorial that there is room for.
const FACTORIAL_MAX: i64 = 32;
/// No numeric has more digits.
const DIGITS_MAX: i16 = 38;

/// A function of one float that is defined everywhere and cannot overflow.
macro_rules! plain {
    ($name:literal, $call:expr) => {
        function($name, &[on(&[Float8], Float8, |a, _| Ok(Datum::Float($call(a[0].float()))))])
    };
}

/// A function of one float that is refused outside its domain.
macro_rules! within {
    ($name:literal, $call:expr, $domain:expr) => {
        function(
            $name,
            &[on(&[Float8], Float8, |a, _| {
                let value = a[0].float();
                let inside: fn(f64) -> bool = $domain;
                if value.is_nan() || inside(value) {
                    return Ok(Datum::Float($call(value)));
                }
                Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range"))
            })],
        )
    };
}

pub static FUNCTIONS: &[Function] = &[
    function(
        "abs",
        &[
            on(&[Int4], Int4, |a, _| Ok(Datum::Int(a[0].int().abs()))),
            on(&[Int8], Int8, |a, _| match a[0].int().checked_abs() {
                Some(value) => Ok(Datum::Int(value)),
                None => Err(fail::out_of_range("bigint")),
            }),
            on(&[Int2], Int2, |a, _| Ok(Datum::Int(a[0].int().abs()))),
            on(&[Float8], Float8, |a, _| Ok(Datum::Float(a[0].float().abs()))),
            on(&[Float4], Float4, |a, _| Ok(Datum::Float(a[0].float().abs()))),
            on(&[Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().abs()))).typed(same_type),
        ],
    ),
    function("ceil", CEIL),
    function("ceiling", CEIL),
    function(
        "floor",
        &[
            on(&[Float8], Float8, |a, _| Ok(Datum::Float(a[0].float().floor()))),
            on(&[Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().floor()))).typed(rounded_type),
        ],
    ),
    function(
        "round",
        &[
            on(&[Float8], Float8, |a, _| Ok(Datum::Float(a[0].float().round_ties_even()))),
            on(&[Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().round(0)))).typed(rounded_type),
            on(&[Num, Int4], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().round(a[1].int())))).typed(rounded_type),
        ],
    ),
    function(
        "trunc",
        &[
            on(&[Float8], Float8, |a, _| Ok(Datum::Float(a[0].float().trunc()))),
            on(&[Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().trunc(0)))).typed(rounded_type),
            on(&[Num, Int4], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().trunc(a[1].int())))).typed(rounded_type),
        ],
    ),
    function(
        "sign",
        &[
            on(&[Float8], Float8, |a, _| {
                let value = a[0].float();
                Ok(Datum::Float(if value > 0.0 {
                    1.0
                } else if value < 0.0 {
                    -1.0
                } else {
                    0.0
                }))
            }),
            on(&[Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().sign()))).typed(rounded_type),
        ],
    ),
    function("sqrt", SQRT),
    function(
        "exp",
        &[
            on(&[Float8], Float8, |a, _| {
                let value = a[0].float();
                fail::float8(value.exp(), value.is_infinite(), value == f64::NEG_INFINITY).map(Datum::Float)
            }),
            on(&[Num], Num, |a, _| a[0].numeric().exponential().map(Datum::Numeric)),
        ],
    ),
    function(
        "ln",
        &[
            on(&[Float8], Float8, |a, _| logarithm(a[0].float(), f64::ln)),
            on(&[Num], Num, |a, _| a[0].numeric().logarithm().map(Datum::Numeric)),
        ],
    ),
    function(
        "log",
        &[
            on(&[Float8], Float8, |a, _| logarithm(a[0].float(), f64::log10)),
            on(&[Num], Num, |a, _| logarithm_to_ten(a[0].numeric())),
            on(&[Num, Num], Num, |a, _| a[1].numeric().logarithm_of_base(a[0].numeric()).map(Datum::Numeric)),
        ],
    ),
    function(
        "log10",
        &[
            on(&[Float8], Float8, |a, _| logarithm(a[0].float(), f64::log10)),
            on(&[Num], Num, |a, _| logarithm_to_ten(a[0].numeric())),
        ],
    ),
    function("power", POWER),
    function("pow", POWER),
    function("mod", REMAINDERS),
    function("div", &[on(&[Num, Num], Num, |a, _| a[0].numeric().whole_quotient(a[1].numeric()).map(Datum::Numeric))]),
    function(
        "gcd",
        &[
            on(&[Int4, Int4], Int4, |a, _| Ok(Datum::Int(gcd(a[0].int(), a[1].int()) as i64))),
            on(&[Int8, Int8], Int8, |a, _| {
                let gcd = gcd(a[0].int(), a[1].int());
                i64::try_from(gcd).map(Datum::Int).map_err(|_| fail::out_of_range("bigint"))
            }),
            on(&[Num, Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().gcd(a[1].numeric())))),
        ],
    ),
    function(
        "lcm",
        &[
            on(&[Int4, Int4], Int4, |a, _| lcm(a[0].int(), a[1].int(), i32::MAX.into(), "integer")),
            on(&[Int8, Int8], Int8, |a, _| lcm(a[0].int(), a[1].int(), i64::MAX.into(), "bigint")),
            on(&[Num, Num], Num, |a, _| {
                let (left, right) = (a[0].numeric(), a[1].numeric());
                if left.is_zero() || right.is_zero() {
                    return Ok(Datum::Numeric(
                        left.multiply(&Numeric::zero()).rescaled(left.scale().max(right.scale())),
                    ));
                }
                let quotient = left.whole_quotient(&left.gcd(right))?;
                Ok(Datum::Numeric(quotient.multiply(right).abs().rescaled(left.scale().max(right.scale()))))
            }),
        ],
    ),
    function("factorial", &[on(&[Int8], Num, |a, _| factorial(a[0].int()))]),
    function("scale", &[on(&[Num], Int4, |a, _| Ok(Datum::Int(a[0].numeric().scale().into())))]),
    function("min_scale", &[on(&[Num], Int4, |a, _| Ok(Datum::Int(trimmed(a[0].numeric()).scale().into())))]),
    function("trim_scale", &[on(&[Num], Num, |a, _| Ok(Datum::Numeric(trimmed(a[0].numeric()))))]),
    function(
        "width_bucket",
        &[
            on(&[Float8, Float8, Float8, Int4], Int4, |a, _| {
                float_bucket(a[0].float(), a[1].float(), a[2].float(), a[3].int())
            }),
            on(&[Num, Num, Num, Int4], Int4, |a, _| bucket(a[0].numeric(), a[1].numeric(), a[2].numeric(), a[3].int())),
        ],
    ),
    function(
        "to_hex",
        &[
            on(&[Int4], Text, |a, _| Ok(Datum::text(format!("{:x}", a[0].int() as i32)))),
            on(&[Int8], Text, |a, _| Ok(Datum::text(format!("{:x}", a[0].int())))),
        ],
    ),
    function("cbrt", CUBE_ROOT),
    plain!("degrees", f64::to_degrees),
    plain!("radians", f64::to_radians),
    plain!("atan", f64::atan),
    plain!("sinh", f64::sinh),
    plain!("cosh", f64::cosh),
    plain!("tanh", f64::tanh),
    plain!("asinh", f64::asinh),
    within!("sin", f64::sin, f64::is_finite),
    within!("cos", f64::cos, f64::is_finite),
    within!("tan", f64::tan, f64::is_finite),
    within!("cot", |value: f64| 1.0 / value.tan(), f64::is_finite),
    within!("asin", f64::asin, |value| (-1.0..=1.0).contains(&value)),
    within!("acos", f64::acos, |value| (-1.0..=1.0).contains(&value)),
    within!("acosh", f64::acosh, |value| value >= 1.0),
    within!("atanh", f64::atanh, |value| (-1.0..=1.0).contains(&value)),
    function("atan2", &[on(&[Float8, Float8], Float8, |a, _| Ok(Datum::Float(a[0].float().atan2(a[1].float()))))]),
];

/// The operator `|/`.
pub const ROOT: &[Overload] = &[on(&[Float8], Float8, |a, _| float_root(a[0].float()))];
/// The operator `||/`.
pub const CUBE_ROOT: &[Overload] = &[on(&[Float8], Float8, |a, _| Ok(Datum::Float(a[0].float().cbrt())))];
const CEIL: &[Overload] = &[
    on(&[Float8], Float8, |a, _| Ok(Datum::Float(a[0].float().ceil()))),
    on(&[Num], Num, |a, _| Ok(Datum::Numeric(a[0].numeric().ceil()))).typed(rounded_type),
];
const SQRT: &[Overload] = &[
    on(&[Float8], Float8, |a, _| float_root(a[0].float())),
    on(&[Num], Num, |a, _| a[0].numeric().square_root().map(Datum::Numeric)),
];
const POWER: &[Overload] = &[
    on(&[Float8, Float8], Float8, |a, _| float_power(a[0].float(), a[1].float()).map(Datum::Float)),
    on(&[Num, Num], Num, |a, _| a[0].numeric().power(a[1].numeric()).map(Datum::Numeric)),
];

/// A decimal that is rounded to a constant number of places has that scale.
fn rounded_type(fields: &[FieldRef], values: &[Option<&ScalarValue>]) -> Option<DataType> {
    let (precision, scale) = decimal(fields.first()?)?;
    let places = match values.get(1) {
        None => 0,
        Some(Some(ScalarValue::Int32(Some(places)))) => i64::from(*places),
        Some(Some(ScalarValue::Int64(Some(places)))) => *places,
        Some(Some(ScalarValue::Int16(Some(places)))) => i64::from(*places),
        Some(_) => return None,
    };
    let places = places.clamp(0, i64::from(DIGITS_MAX)) as i16;
    let digits = i16::from(precision) - i16::from(scale) + 1 + places;
    (digits <= DIGITS_MAX).then(|| DataType::Decimal128(digits.max(places).max(1) as u8, places as i8))
}

fn float_root(value: f64) -> Result<Datum<'static>> {
    if value < 0.0 {
        return Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER, "cannot take square root of a negative number"));
    }
    Ok(Datum::Float(value.sqrt()))
}

/// `dpow`.
pub fn float_power(base: f64, exponent: f64) -> Result<f64> {
    let refuse = |message: &'static str| Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_POWER, message));
    if base == 0.0 && exponent < 0.0 {
        return refuse("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        return refuse("a negative number raised to a non-integer power yields a complex result");
    }
    let special = base.is_infinite() || exponent.is_infinite();
    fail::float8(base.powf(exponent), special, special || base == 0.0)
}

fn logarithm(value: f64, of: fn(f64) -> f64) -> Result<Datum<'static>> {
    let refuse = |message: &'static str| Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message));
    if value == 0.0 {
        return refuse("cannot take logarithm of zero");
    }
    if value < 0.0 {
        return refuse("cannot take logarithm of a negative number");
    }
    Ok(Datum::Float(of(value)))
}

fn logarithm_to_ten(value: &Numeric) -> Result<Datum<'static>> {
    value.logarithm_of_base(&Numeric::new(10.into(), 0)).map(Datum::Numeric)
}

fn gcd(left: i64, right: i64) -> u64 {
    let (mut left, mut right) = (left.unsigned_abs(), right.unsigned_abs());
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

fn lcm(left: i64, right: i64, max: i128, what: &str) -> Result<Datum<'static>> {
    let gcd = gcd(left, right);
    if gcd == 0 {
        return Ok(Datum::Int(0));
    }
    let lcm = (i128::from(left) / i128::from(gcd) * i128::from(right)).abs();
    if lcm > max { Err(fail::out_of_range(what)) } else { Ok(Datum::Int(lcm as i64)) }
}

fn factorial(n: i64) -> Result<Datum<'static>> {
    if n < 0 {
        let message = "factorial of a negative number is undefined";
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    if n > FACTORIAL_MAX {
        return Err(fail::numeric_overflow());
    }
    Ok(Datum::Numeric(Numeric::new((1..=n).map(BigInt::from).product(), 0)))
}

fn trimmed(value: &Numeric) -> Numeric {
    let mut value = value.clone();
    while value.scale() > 0 && (value.value() % 10_i32).to_u8() == Some(0) {
        value = Numeric::new(value.value() / 10_i32, value.scale() - 1);
    }
    value
}

fn bucket_error(message: &'static str) -> Error {
    Error::new(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET, message)
}

fn float_bucket(value: f64, low: f64, high: f64, count: i64) -> Result<Datum<'static>> {
    if count <= 0 {
        return Err(bucket_error("count must be greater than zero"));
    }
    if value.is_nan() || low.is_nan() || high.is_nan() {
        return Err(bucket_error("operand, lower bound, and upper bound cannot be NaN"));
    }
    if low.is_infinite() || high.is_infinite() {
        return Err(bucket_error("lower and upper bounds must be finite"));
    }
    let position = |value: f64, from: f64, to: f64| {
        if value < from {
            0
        } else if value >= to {
            count + 1
        } else {
            ((value - from) / (to - from) * count as f64) as i64 + 1
        }
    };
    let bucket = if low < high {
        position(value, low, high)
    } else if low > high {
        position(-value, -low, -high)
    } else {
        return Err(bucket_error("lower bound cannot equal upper bound"));
    };
    i32::try_from(bucket).map(|bucket| Datum::Int(bucket.into())).map_err(|_| fail::out_of_range("integer"))
}

fn bucket(value: &Numeric, low: &Numeric, high: &Numeric, count: i64) -> Result<Datum<'static>> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    if count <= 0 {
        return Err(bucket_error("count must be greater than zero"));
    }
    let position = |value: &Numeric, from: &Numeric, to: &Numeric| -> Result<i64> {
        if value.compare(from) == Less {
            return Ok(0);
        }
        if value.compare(to) != Less {
            return Ok(count + 1);
        }
        let along = value.subtract(from).multiply(&Numeric::new(count.into(), 0));
        Ok(along.whole_quotient(&to.subtract(from))?.to_i64().unwrap_or(0) + 1)
    };
    let bucket = match low.compare(high) {
        Less => position(value, low, high)?,
        Greater => position(&value.negated(), &low.negated(), &high.negated())?,
        Equal => return Err(bucket_error("lower bound cannot equal upper bound")),
    };
    i32::try_from(bucket).map(|bucket| Datum::Int(bucket.into())).map_err(|_| fail::out_of_range("integer"))
}
