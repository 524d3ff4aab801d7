//! Integers and floating point numbers as PostgreSQL prints them.
//!
//! It owns digits, exponents and where PostgreSQL switches to scientific notation (`float8out`, `ryu`'s `d2s.c`). It
//! refuses to know Arrow.

use std::fmt::{self, Write as _};

use bytes::BytesMut;

/// `00` to `99`, so that two digits cost one division.
pub const TWO_DIGITS: [u8; 200] = {
    let mut table = [0; 200];
    let mut number = 0;
    while number < 100 {
        table[number * 2] = b'0' + (number / 10) as u8;
        table[number * 2 + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    table
};

/// Digits of a double without loss, and of a float (`DBL_DIG`, `FLT_DIG` plus what `%.17g` and `%.9g` add).
const DOUBLE_DIGITS_MAX: usize = 17;
const FLOAT_DIGITS_MAX: usize = 9;
/// Digits that survive a round trip through the type (`DBL_DIG`, `FLT_DIG`).
const DOUBLE_DIGITS: i32 = 15;
const FLOAT_DIGITS: i32 = 6;
/// Below this decimal exponent PostgreSQL prints scientific notation.
const FIXED_EXPONENT_MIN: i32 = -4;

/// A short text under construction on the stack; what does not fit is an error of its writer's arithmetic and cut off.
pub(crate) struct Stack<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Stack<N> {
    #[inline]
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Stack<N> {
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    #[inline]
    pub fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    #[inline]
    pub fn push_all(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// Two digits of a number below 100.
    #[inline]
    pub fn two(&mut self, number: u64) {
        let at = (number % 100) as usize * 2;
        self.push_all(&TWO_DIGITS[at..at + 2]);
    }

    #[inline]
    pub fn unsigned(&mut self, number: u64) {
        let mut buffer = [0; 20];
        let start = digits_of(number, &mut buffer);
        self.push_all(&buffer[start..]);
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[inline]
    pub fn trim_end(&mut self, byte: u8) {
        while self.len > 0 && self.bytes[self.len - 1] == byte {
            self.len -= 1;
        }
    }
}

impl<const N: usize> fmt::Write for Stack<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_all(text.as_bytes());
        Ok(())
    }
}

/// Writes the digits of a number to the end of the buffer and says where they start.
#[inline]
pub fn digits_of(mut number: u64, buffer: &mut [u8; 20]) -> usize {
    let mut start = buffer.len();
    while number >= 100 {
        let at = (number % 100) as usize * 2;
        number /= 100;
        start -= 2;
        buffer[start..start + 2].copy_from_slice(&TWO_DIGITS[at..at + 2]);
    }
    if number >= 10 {
        let at = number as usize * 2;
        start -= 2;
        buffer[start..start + 2].copy_from_slice(&TWO_DIGITS[at..at + 2]);
    } else {
        start -= 1;
        buffer[start] = b'0' + number as u8;
    }
    start
}

/// A signed integer, as `int8out` prints it.
#[inline]
pub fn signed(number: i64, out: &mut BytesMut) {
    let mut buffer = [0; 20];
    let mut start = digits_of(number.unsigned_abs(), &mut buffer);
    // -9223372036854775808 has 19 digits, so the sign always has a place
    if number < 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    out.extend_from_slice(&buffer[start..]);
}

/// An unsigned integer.
#[inline]
pub fn unsigned(number: u64, out: &mut BytesMut) {
    let mut buffer = [0; 20];
    let start = digits_of(number, &mut buffer);
    out.extend_from_slice(&buffer[start..]);
}

/// A double as `float8out` prints it under `extra_float_digits`.
pub fn double(value: f64, extra_float_digits: i8, out: &mut BytesMut) {
    if let Some(word) = special(value) {
        return out.extend_from_slice(word);
    }
    if extra_float_digits > 0 {
        return shortest_double(value).write_general(value.is_sign_negative(), DOUBLE_DIGITS, out);
    }
    rounded(value, DOUBLE_DIGITS + i32::from(extra_float_digits), out);
}

/// A float as `float4out` prints it under `extra_float_digits`.
pub fn float(value: f32, extra_float_digits: i8, out: &mut BytesMut) {
    if let Some(word) = special(f64::from(value)) {
        return out.extend_from_slice(word);
    }
    if extra_float_digits > 0 {
        return shortest_float(value).write_general(value.is_sign_negative(), FLOAT_DIGITS, out);
    }
    rounded(f64::from(value), FLOAT_DIGITS + i32::from(extra_float_digits), out);
}

/// A double as a JSON number, which `jsonb` keeps as `numeric`: no exponent, no negative zero, `NaN` as a string.
pub fn double_json(value: f64, extra_float_digits: i8, out: &mut BytesMut) {
    if let Some(word) = special(value) {
        return json_word(word, out);
    }
    let digits = if extra_float_digits > 0 {
        shortest_double(value)
    } else {
        rounded_digits(value, DOUBLE_DIGITS + i32::from(extra_float_digits))
    };
    digits.write_json(value < 0.0, out);
}

/// A float as a JSON number; see [`double_json`].
pub fn float_json(value: f32, extra_float_digits: i8, out: &mut BytesMut) {
    if let Some(word) = special(f64::from(value)) {
        return json_word(word, out);
    }
    let digits = if extra_float_digits > 0 {
        shortest_float(value)
    } else {
        rounded_digits(f64::from(value), FLOAT_DIGITS + i32::from(extra_float_digits))
    };
    digits.write_json(value < 0.0, out);
}

fn special(value: f64) -> Option<&'static [u8]> {
    match value {
        _ if value.is_nan() => Some(b"NaN"),
        f64::INFINITY => Some(b"Infinity"),
        f64::NEG_INFINITY => Some(b"-Infinity"),
        _ => None,
    }
}

fn json_word(word: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(b"\"");
    out.extend_from_slice(word);
    out.extend_from_slice(b"\"");
}

/// `%.{digits}g`, what PostgreSQL prints when `extra_float_digits` is not positive.
fn rounded(value: f64, digits: i32, out: &mut BytesMut) {
    rounded_digits(value, digits).write_general(value.is_sign_negative(), digits.max(1), out);
}

fn rounded_digits(value: f64, digits: i32) -> Digits {
    let after_the_first = usize::try_from(digits.max(1) - 1).unwrap_or(0);
    Digits::read(format_args!("{:.after_the_first$e}", value.abs()))
}

/// A double's decimal expansion ends within 18 digits, so that its last digit can be a tie, only above this fraction.
const DOUBLE_TIE_SCALE: f64 = (1_u64 << 26) as f64;
const FLOAT_TIE_SCALE: f32 = (1_u32 << 16) as f32;
/// With fewer digits a number next to a tie would be another number.
const DOUBLE_TIE_DIGITS: usize = 16;
const FLOAT_TIE_DIGITS: usize = 7;

/// The shortest digits that read back as the same double, chosen as PostgreSQL's ryu chooses.
fn shortest_double(value: f64) -> Digits {
    let value = value.abs();
    let shortest = Digits::read(format_args!("{value:e}"));
    let reads_back = |precision: usize| format!("{value:.precision$e}").parse() == Ok(value);
    if shortest.is_midpoint(f64::MANTISSA_DIGITS + 1) {
        return (shortest.len..DOUBLE_DIGITS_MAX)
            .filter(|precision| reads_back(*precision))
            .map(|precision| Digits::read(format_args!("{value:.precision$e}")))
            .find(|longer| !longer.is_midpoint(f64::MANTISSA_DIGITS + 1))
            .unwrap_or(shortest);
    }
    if shortest.len >= DOUBLE_TIE_DIGITS && (value * DOUBLE_TIE_SCALE).fract() == 0.0 && reads_back(shortest.len - 1) {
        // of two equally near numbers Rust takes the larger, ryu the even one, as formatting with a precision does
        let precision = shortest.len - 1;
        return Digits::read(format_args!("{value:.precision$e}"));
    }
    shortest
}

/// The same for a float.
fn shortest_float(value: f32) -> Digits {
    let value = value.abs();
    let shortest = Digits::read(format_args!("{value:e}"));
    let reads_back = |precision: usize| format!("{value:.precision$e}").parse() == Ok(value);
    if shortest.is_midpoint(f32::MANTISSA_DIGITS + 1) {
        return (shortest.len..FLOAT_DIGITS_MAX)
            .filter(|precision| reads_back(*precision))
            .map(|precision| Digits::read(format_args!("{value:.precision$e}")))
            .find(|longer| !longer.is_midpoint(f32::MANTISSA_DIGITS + 1))
            .unwrap_or(shortest);
    }
    if shortest.len >= FLOAT_TIE_DIGITS && (value * FLOAT_TIE_SCALE).fract() == 0.0 && reads_back(shortest.len - 1) {
        let precision = shortest.len - 1;
        return Digits::read(format_args!("{value:.precision$e}"));
    }
    shortest
}

/// A decimal number `0.d₁d₂… × 10^(exponent+1)` without trailing zeros.
#[derive(Clone, Copy)]
struct Digits {
    bytes: [u8; DOUBLE_DIGITS_MAX],
    len: usize,
    /// The decimal exponent of the first digit.
    exponent: i32,
}

impl Digits {
    /// Reads what Rust's `{:e}` writes for a finite number that is not negative.
    fn read(scientific: fmt::Arguments<'_>) -> Self {
        let mut text = Stack::<40>::new();
        // a stack never refuses
        let _ = text.write_fmt(scientific);
        let (mut digits, mut len, mut exponent, mut negative) = ([b'0'; DOUBLE_DIGITS_MAX], 0, 0, false);
        let mut bytes = text.as_bytes().iter();
        for byte in bytes.by_ref().take_while(|byte| **byte != b'e').filter(|byte| **byte != b'.') {
            if let Some(place) = digits.get_mut(len) {
                *place = *byte;
                len += 1;
            }
        }
        for byte in bytes {
            match byte {
                b'-' => negative = true,
                digit => exponent = exponent * 10 + i32::from(digit - b'0'),
            }
        }
        while len > 1 && digits[len - 1] == b'0' {
            len -= 1;
        }
        Self { bytes: digits, len, exponent: if negative { -exponent } else { exponent } }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether the number lies exactly between two floating point numbers, having one bit more than they have.
    ///
    /// PostgreSQL's ryu is built without `STRICTLY_SHORTEST` and prints the next longer number there (1e23 becomes
    /// `9.999999999999999e+22`). Only multiples of a power of ten can be such a number.
    fn is_midpoint(&self, bits: u32) -> bool {
        let Ok(zeros) = u32::try_from(self.exponent + 1 - self.len as i32) else { return false };
        if zeros == 0 || zeros > 24 {
            return false;
        }
        let integer = self.as_bytes().iter().fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        let odd = integer.checked_mul(5_u128.pow(zeros)).map_or(0, |value| value >> value.trailing_zeros().min(127));
        u128::BITS - odd.leading_zeros() == bits
    }

    /// `%g`: fixed notation from 1e-4 to below 10 to the `fixed_below`, scientific elsewhere.
    fn write_general(&self, negative: bool, fixed_below: i32, out: &mut BytesMut) {
        if negative {
            out.extend_from_slice(b"-");
        }
        if (FIXED_EXPONENT_MIN..fixed_below).contains(&self.exponent) {
            return self.write_fixed(out);
        }
        let (first, rest) = self.as_bytes().split_at(1);
        out.extend_from_slice(first);
        if !rest.is_empty() {
            out.extend_from_slice(b".");
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(if self.exponent < 0 { b"e-" } else { b"e+" });
        if self.exponent.abs() < 10 {
            out.extend_from_slice(b"0");
        }
        unsigned(u64::from(self.exponent.unsigned_abs()), out);
    }

    fn write_json(&self, negative: bool, out: &mut BytesMut) {
        if negative && self.as_bytes() != b"0" {
            out.extend_from_slice(b"-");
        }
        self.write_fixed(out);
    }

    fn write_fixed(&self, out: &mut BytesMut) {
        let digits = self.as_bytes();
        let Ok(exponent) = usize::try_from(self.exponent) else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + self.exponent.unsigned_abs() as usize - 1, b'0');
            return out.extend_from_slice(digits);
        };
        if exponent + 1 >= digits.len() {
            out.extend_from_slice(digits);
            return out.resize(out.len() + exponent + 1 - digits.len(), b'0');
        }
        let (whole, fraction) = digits.split_at(exponent + 1);
        out.extend_from_slice(whole);
        out.extend_from_slice(b".");
        out.extend_from_slice(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn integers_print_to_their_limits() {
        for number in [0, 9, 10, 99, 100, -1, -100, 12345, i64::MAX, i64::MIN] {
            assert_eq!(text(|out| signed(number, out)), number.to_string());
        }
        assert_eq!(text(|out| unsigned(u64::MAX, out)), "18446744073709551615");
    }

    #[test]
    fn doubles_print_the_shortest_text_that_postgresql_prints() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1e20, "1e+20"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e23, "9.999999999999999e+22"),
            (9.5e22, "9.5e+22"),
            (5e-324, "5e-324"),
            (2.0_f64.powi(-25), "2.9802322387695312e-08"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(text(|out| double(value, 1, out)), expected);
        }
    }

    #[test]
    fn floats_switch_to_exponents_earlier() {
        for (value, expected) in
            [(123_456.0, "123456"), (1e6, "1e+06"), (33_554_448.0, "3.3554448e+07"), (0.1, "0.1"), (-1e-5, "-1e-05")]
        {
            assert_eq!(text(|out| float(value, 1, out)), expected);
        }
    }

    #[test]
    fn extra_float_digits_of_zero_or_less_rounds() {
        assert_eq!(text(|out| double(0.1 + 0.2, 0, out)), "0.3");
        assert_eq!(text(|out| double(123_456_789.0, -10, out)), "1.2346e+08");
        assert_eq!(text(|out| double(5.5, -15, out)), "6");
        assert_eq!(text(|out| float(1.234_567_9, 0, out)), "1.23457");
    }

    #[test]
    fn json_has_no_exponent_and_no_negative_zero() {
        assert_eq!(text(|out| double_json(1e20, 1, out)), "100000000000000000000");
        assert_eq!(text(|out| double_json(1e-7, 1, out)), "0.0000001");
        assert_eq!(text(|out| double_json(-0.0, 1, out)), "0");
        assert_eq!(text(|out| float_json(f32::NAN, 1, out)), "\"NaN\"");
    }
}
