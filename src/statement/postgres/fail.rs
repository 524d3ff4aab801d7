//! The errors that several kinds of functions have in common, in PostgreSQL's words.

use crate::error::{Error, Result, SqlState};

#[cold]
pub fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{what} out of range"))
}

#[cold]
pub fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// A numeric with more digits than there is room for: 36 before the point where each value has a scale of its own.
#[cold]
pub fn numeric_overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .detail("A numeric has at most 76 digits here, and 36 of them before the point in results of division.")
}

#[cold]
pub fn float_overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")
}

#[cold]
pub fn float_underflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow")
}

#[cold]
pub fn invalid_argument(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message.into())
}

/// A result of floating point arithmetic (`float.h`, `float8_pl` and others): infinity only from infinity, and zero only
/// from what may give zero.
#[inline]
pub fn float8(result: f64, from_infinity: bool, may_be_zero: bool) -> Result<f64> {
    if result.is_infinite() && !from_infinity {
        return Err(float_overflow());
    }
    if result == 0.0 && !may_be_zero {
        return Err(float_underflow());
    }
    Ok(result)
}

/// A result that is a `real`.
#[inline]
pub fn float4(value: f64) -> Result<f32> {
    let narrow = value as f32;
    if narrow.is_infinite() && !value.is_infinite() {
        return Err(float_overflow());
    }
    if narrow == 0.0 && value != 0.0 {
        return Err(float_underflow());
    }
    Ok(narrow)
}
