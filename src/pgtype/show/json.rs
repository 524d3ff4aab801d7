//! `jsonb` as PostgreSQL writes it (`jsonb.c`, `json.c`): keys by length and then by bytes, of equal ones the last, one
//! space behind colons and commas, numbers without exponents.

use std::cmp::Ordering;

use bytes::{BufMut as _, BytesMut};

use crate::error::{Error, Result, SqlState};
use crate::pgtype::read::json::{self, Item, Value};

/// Digits of a `numeric` before the point and behind it (PostgreSQL 15, 8.1.2 "Arbitrary Precision Numbers").
const WHOLE_DIGITS_MAX: i64 = 131_072;
const SCALE_MAX: i64 = 16_383;

/// The `jsonb` that a text stands for.
///
/// # Errors
/// As [`json::parse`]; `22P05` for `\u0000`, `22003` for numbers that no numeric is.
pub fn jsonb(text: &str) -> Result<String> {
    let mut out = BytesMut::with_capacity(text.len());
    write(&json::parse(text)?, &mut out)?;
    text_of(&out).map(str::to_owned)
}

/// What was written is text: every piece was.
///
/// # Errors
/// `XX000` when it is not.
pub fn text_of(out: &BytesMut) -> Result<&str> {
    std::str::from_utf8(out).map_err(Error::internal)
}

/// Writes a value as `jsonb` is written.
///
/// # Errors
/// As [`jsonb`].
pub fn write(item: &Item<'_>, out: &mut BytesMut) -> Result<()> {
    match &item.value {
        Value::Null | Value::Bool(_) => out.put_slice(item.raw.as_bytes()),
        Value::Number(digits) => number(digits, out)?,
        Value::String(text) => string(text.decode()?.as_bytes(), out),
        Value::Array(items) => {
            out.put_u8(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.put_slice(b", ");
                }
                write(item, out)?;
            }
            out.put_u8(b']');
        }
        Value::Object(members) => {
            let mut decoded = Vec::with_capacity(members.len());
            for (key, item) in members {
                decoded.push((key.decode()?, item));
            }
            // stable, so that of equal keys the last one stays last
            decoded.sort_by(|(a, _), (b, _)| order(a.as_bytes(), b.as_bytes()));
            out.put_u8(b'{');
            let mut first = true;
            for (position, (key, item)) in decoded.iter().enumerate() {
                if decoded.get(position + 1).is_some_and(|(next, _)| next == key) {
                    // it gives way, and must be right all the same
                    write(item, &mut BytesMut::new())?;
                    continue;
                }
                if !first {
                    out.put_slice(b", ");
                }
                first = false;
                string(key.as_bytes(), out);
                out.put_slice(b": ");
                write(item, out)?;
            }
            out.put_u8(b'}');
        }
    }
    Ok(())
}

/// `jsonb` orders keys by length, then by bytes (`lengthCompareJsonbString`).
#[must_use]
pub fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A string with the escapes of `escape_json`.
pub fn string(text: &[u8], out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.put_u8(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.put_u8(HEX[usize::from(control >> 4)]);
                out.put_u8(HEX[usize::from(control & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.put_u8(b'"');
}

/// A JSON number as the `numeric` that `jsonb` keeps it as.
fn number(text: &str, out: &mut BytesMut) -> Result<()> {
    let overflow = || Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format");
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| overflow())?.into()),
        None => (text, 0_i64),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole.as_bytes(), fraction.as_bytes()].concat();
    let is_zero = digits.iter().all(|digit| *digit == b'0');
    // how many of the digits stand before the point, and how many are shown behind it
    let point = whole.len() as i64 + exponent;
    let scale = (fraction.len() as i64 - exponent).max(0);
    let leading = digits.iter().take_while(|digit| **digit == b'0').count() as i64;
    if scale > SCALE_MAX || (!is_zero && point - leading > WHOLE_DIGITS_MAX) {
        return Err(overflow());
    }
    if negative && !is_zero {
        out.put_u8(b'-');
    }
    let split = usize::try_from(point.clamp(0, digits.len() as i64)).unwrap_or(0);
    let first = digits[..split].iter().position(|digit| *digit != b'0').unwrap_or(split);
    if is_zero || first == split {
        out.put_u8(b'0');
    } else {
        out.put_slice(&digits[first..split]);
        let zeros = usize::try_from(point - digits.len() as i64).unwrap_or(0);
        out.put_bytes(b'0', zeros);
    }
    if scale > 0 {
        out.put_u8(b'.');
        let zeros = usize::try_from((-point).clamp(0, scale)).unwrap_or(0);
        out.put_bytes(b'0', zeros);
        out.put_slice(&digits[split..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_escape_what_json_forbids() {
        let mut out = BytesMut::new();
        string("a\"\\\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é/".as_bytes(), &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}é/\"".as_bytes());
    }

    #[test]
    fn jsonb_has_one_form_for_each_value() {
        for (text, expected) in [
            ("{\"b\":1,\"aa\":2,\"b\":3, \"c\":{}}", "{\"b\": 3, \"c\": {}, \"aa\": 2}"),
            ("[ 1.50,1e2, -0 ,-0.0,1E-3,1.5e1,100e-1]", "[1.50, 100, 0, 0.0, 0.001, 15, 10.0]"),
            ("[0e5,0e-2,0.01e1,-12.30e+1,-0.05e-1]", "[0, 0.00, 0.1, -123.0, -0.005]"),
            ("\"\\u00e9\\/\\u0001\"", "\"é/\\u0001\""),
            (" null ", "null"),
            ("[]", "[]"),
        ] {
            assert_eq!(jsonb(text).unwrap(), expected, "{text}");
        }
        assert_eq!(jsonb("1e1000").unwrap().len(), 1001);
        assert_eq!(jsonb("1e-1000").unwrap().len(), 1002);
        for text in ["1e200000", "1e-20000", "1e99999999999", "{\"a\":1e200000,\"a\":1}"] {
            assert_eq!(jsonb(text).unwrap_err().sqlstate(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "{text}");
        }
    }
}
