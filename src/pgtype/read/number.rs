//! Integers, floating point numbers and numerics as PostgreSQL reads them.
//!
//! It owns their grammars and ranges (`numutils.c`, `float.c`, `numeric.c`). It refuses to know other types.

use std::num::IntErrorKind;
use std::str::FromStr;

use datafusion::arrow::datatypes::i256;
use datafusion::scalar::ScalarValue;

use super::{exact, insufficient, invalid, malformed, trim};
use crate::error::{Error, Result, SqlState};

/// Digits of Arrow's widest decimal, and of the one that fits 128 bits.
pub const DIGITS_MAX: usize = 76;
const DIGITS_128_MAX: usize = 38;
/// `numeric_send`'s sign words.
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xc000;
const POSITIVE_INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;
/// `numeric_recv` accepts scales up to this.
const SCALE_MASK: u16 = 0x3fff;
const GROUP_DIGITS: i64 = 4;
const GROUP: u16 = 10_000;

/// `int2in`, `int4in`, `int8in`: decimal digits with a sign, blanks around.
pub fn integer<T: FromStr<Err = std::num::ParseIntError>>(text: &str, type_name: &str) -> Result<T> {
    trim(text).parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => out_of_range(text, type_name),
        _ => invalid(type_name, text),
    })
}

/// `oidin`: unsigned, and negative numbers from -2147483648 on wrap around.
pub fn object_id(text: &str) -> Result<i64> {
    let number: i64 = integer(text, "oid")?;
    match number {
        0..=0xffff_ffff => Ok(number),
        -0x8000_0000..0 => Ok(number + 0x1_0000_0000),
        _ => Err(out_of_range(text, "oid")),
    }
}

/// `float8in`.
pub fn double(text: &str) -> Result<f64> {
    let (value, mantissa_is_zero) = floating::<f64>(text, "double precision")?;
    check_float(value.is_infinite(), value == 0.0 && !mantissa_is_zero, text, "double precision")?;
    Ok(value)
}

/// `float4in`.
pub fn float(text: &str) -> Result<f32> {
    let (value, mantissa_is_zero) = floating::<f32>(text, "real")?;
    check_float(value.is_infinite(), value == 0.0 && !mantissa_is_zero, text, "real")?;
    Ok(value)
}

/// The value, and whether its digits before the exponent are all zero.
fn floating<T: FromStr>(text: &str, type_name: &str) -> Result<(T, bool)> {
    let number = trim(text);
    // both read the same words and digits, but Rust refuses nothing PostgreSQL takes except hexadecimal numbers
    let value = number.parse().map_err(|_| invalid(type_name, text))?;
    let mantissa = number.split(['e', 'E']).next().unwrap_or("");
    Ok((value, !mantissa.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0')))
}

fn check_float(infinite: bool, vanished: bool, text: &str, type_name: &str) -> Result<()> {
    let written_as_word = trim(text).trim_start_matches(['+', '-']).starts_with(['i', 'I', 'n', 'N']);
    if (infinite || vanished) && !written_as_word {
        let message = format!("\"{}\" is out of range for type {type_name}", trim(text));
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    Ok(())
}

/// `numeric_in`: sign, digits, point, exponent.
pub fn numeric_text(text: &str) -> Result<ScalarValue> {
    let refuse = || invalid("numeric", text);
    let number = trim(text);
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    if ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return Err(no_special(unsigned));
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(refuse());
            }
            (mantissa, exponent.parse::<i32>().map_err(|_| overflow())?)
        }
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(refuse());
    }
    let digits = format!("{whole}{fraction}");
    scaled(negative, &digits, fraction.len() as i64 - i64::from(exponent))
}

/// `numeric_recv`.
pub fn numeric_binary(bytes: &[u8]) -> Result<ScalarValue> {
    let (header, groups) = bytes.split_at_checked(8).ok_or_else(insufficient)?;
    let header: [u8; 8] = exact(header)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (count, weight, sign, scale) = (usize::from(word(0)), i64::from(word(2) as i16), word(4), word(6));
    match groups.len().cmp(&(count * 2)) {
        std::cmp::Ordering::Less => return Err(insufficient()),
        std::cmp::Ordering::Equal => (),
        std::cmp::Ordering::Greater => return Err(malformed("incorrect binary data format in bind parameter")),
    }
    match sign {
        0 | NEGATIVE => (),
        NOT_A_NUMBER => return Err(no_special("NaN")),
        POSITIVE_INFINITY | NEGATIVE_INFINITY => return Err(no_special("Infinity")),
        _ => return Err(malformed("invalid sign in external \"numeric\" value")),
    }
    if scale & SCALE_MASK != scale {
        return Err(malformed("invalid scale in external \"numeric\" value"));
    }
    let mut digits = String::with_capacity(count * 4);
    for pair in groups.chunks_exact(2) {
        let group = u16::from_be_bytes([pair[0], pair[1]]);
        if group >= GROUP {
            return Err(malformed("invalid digit in external \"numeric\" value"));
        }
        let digit = |divisor: u16| char::from(b'0' + (group / divisor % 10) as u8);
        digits.extend([1000, 100, 10, 1].map(digit));
    }
    // digits now have this many after the point; the scale says how many count
    let after_point = (count as i64 - 1 - weight) * GROUP_DIGITS;
    let surplus = after_point - i64::from(scale);
    if surplus > 0 {
        let kept = usize::try_from(digits.len() as i64 - surplus).unwrap_or(0);
        digits.truncate(kept);
        return scaled(sign == NEGATIVE, &digits, i64::from(scale));
    }
    pad(&mut digits, -surplus)?;
    scaled(sign == NEGATIVE, &digits, i64::from(scale))
}

/// A decimal of the digits' own precision and scale; a negative scale becomes zeros.
fn scaled(negative: bool, digits: &str, scale: i64) -> Result<ScalarValue> {
    let mut digits = digits.trim_start_matches('0').to_owned();
    if scale < 0 && !digits.is_empty() {
        pad(&mut digits, -scale)?;
    }
    let scale = usize::try_from(scale.max(0)).unwrap_or(usize::MAX);
    let precision = digits.len().max(scale).max(1);
    if precision > DIGITS_MAX {
        return Err(overflow());
    }
    if digits.is_empty() {
        digits.push('0');
    }
    if negative {
        digits.insert(0, '-');
    }
    let (precision_u8, scale_i8) = (precision as u8, scale as i8);
    if precision <= DIGITS_128_MAX {
        let value = digits.parse().map_err(|_| overflow())?;
        return Ok(ScalarValue::Decimal128(Some(value), precision_u8, scale_i8));
    }
    let value = i256::from_string(&digits).ok_or_else(overflow)?;
    Ok(ScalarValue::Decimal256(Some(value), precision_u8, scale_i8))
}

fn pad(digits: &mut String, zeros: i64) -> Result<()> {
    let zeros = usize::try_from(zeros).ok().filter(|zeros| *zeros <= DIGITS_MAX + 4 || digits.is_empty());
    let zeros = zeros.ok_or_else(overflow)?;
    digits.extend(std::iter::repeat_n('0', zeros.min(DIGITS_MAX + 4)));
    Ok(())
}

fn out_of_range(text: &str, type_name: &str) -> Error {
    let message = format!("value \"{text}\" is out of range for type {type_name}");
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

pub fn overflow() -> Error {
    Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
        .detail(format!("A numeric parameter has at most {DIGITS_MAX} digits."))
}

fn no_special(word: &str) -> Error {
    Error::unsupported(format!("numeric {word} is not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T>) -> std::result::Result<T, String> {
        result.map_err(|error| error.sqlstate().code().to_owned())
    }

    fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
        ScalarValue::Decimal128(Some(value), precision, scale)
    }

    #[test]
    fn integers_and_their_refusals() {
        assert_eq!(integer::<i16>(" -32768 ", "smallint"), Ok(-32768));
        assert_eq!(code(integer::<i16>("32768", "smallint")), Err("22003".to_owned()));
        assert_eq!(
            integer::<i32>("x", "integer").unwrap_err().message(),
            "invalid input syntax for type integer: \"x\""
        );
        assert_eq!(code(integer::<i32>("", "integer")), Err("22P02".to_owned()));
        assert_eq!(code(integer::<i32>("1.5", "integer")), Err("22P02".to_owned()));
        assert_eq!(object_id("-1"), Ok(4_294_967_295));
        assert_eq!(code(object_id("4294967296")), Err("22003".to_owned()));
    }

    #[test]
    fn floats_overflow_and_underflow() {
        assert_eq!(double(" 1e3 "), Ok(1000.0));
        assert_eq!(double("-infinity"), Ok(f64::NEG_INFINITY));
        assert!(double("nan").unwrap().is_nan());
        assert_eq!(double("0e-999"), Ok(0.0));
        for text in ["1e400", "1e-400"] {
            assert_eq!(code(double(text)), Err("22003".to_owned()), "{text}");
        }
        assert_eq!(code(float("1e39")), Err("22003".to_owned()));
        assert_eq!(code(double("1x")), Err("22P02".to_owned()));
    }

    #[test]
    fn numerics_keep_their_scale() {
        assert_eq!(code(numeric_text("12.50")), Ok(decimal(1250, 4, 2)));
        assert_eq!(code(numeric_text("-.5")), Ok(decimal(-5, 1, 1)));
        assert_eq!(code(numeric_text("1e3")), Ok(decimal(1000, 4, 0)));
        assert_eq!(code(numeric_text("1.5e-3")), Ok(decimal(15, 4, 4)));
        assert_eq!(code(numeric_text("0e9999")), Ok(decimal(0, 1, 0)));
        assert_eq!(code(numeric_text("NaN")), Err("0A000".to_owned()));
        for text in ["", ".", "1e", "1e+", "--1", "1 2"] {
            assert_eq!(code(numeric_text(text)), Err("22P02".to_owned()), "{text}");
        }
        for text in ["1e77", "1e-77", "1e99999999999"] {
            assert_eq!(code(numeric_text(text)), Err("22003".to_owned()), "{text}");
        }
        assert!(matches!(numeric_text("1e40"), Ok(ScalarValue::Decimal256(Some(_), 41, 0))));
    }

    #[test]
    fn binary_numerics() {
        let sent = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        assert_eq!(code(numeric_binary(&sent(&[2, 0, 0, 2, 123, 4500]))), Ok(decimal(12345, 5, 2)));
        assert_eq!(code(numeric_binary(&sent(&[1, 0xfffe, 0x4000, 5, 1000]))), Ok(decimal(-1, 5, 5)));
        assert_eq!(code(numeric_binary(&sent(&[1, 1, 0, 0, 1]))), Ok(decimal(10000, 5, 0)));
        assert_eq!(code(numeric_binary(&sent(&[0, 0, 0, 2]))), Ok(decimal(0, 2, 2)));
        assert_eq!(code(numeric_binary(&sent(&[1, 0, 0, 0, 10000]))), Err("22P03".to_owned()));
        assert_eq!(code(numeric_binary(&sent(&[1, 0, 1, 0, 1]))), Err("22P03".to_owned()));
        assert_eq!(code(numeric_binary(&sent(&[1, 30000, 0, 0, 1]))), Err("22003".to_owned()));
        assert_eq!(code(numeric_binary(&sent(&[2, 0, 0, 0, 1]))), Err("08P01".to_owned()));
        assert_eq!(code(numeric_binary(&sent(&[0, 0, 0xc000, 0]))), Err("0A000".to_owned()));
    }
}
