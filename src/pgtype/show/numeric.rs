//! Decimals as PostgreSQL's `numeric`: text with its scale, binary in groups of four digits.
//!
//! It owns the arithmetic between a scaled integer and both forms (`numeric.c`, `numeric_out`, `numeric_send`). It
//! refuses to know Arrow's arrays.

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::datatypes::i256;

use super::number::{self, Stack};

/// Digits of the largest 256-bit integer.
const DIGITS_MAX: usize = 78;
/// One group of `numeric`'s binary form.
const GROUP: u64 = 10_000;
const GROUP_DIGITS: usize = 4;
/// The binary form's sign words (`NUMERIC_POS`, `NUMERIC_NEG`).
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
/// The largest power of ten in 64 bits, and its exponent.
const TEN_TO_19: u128 = 10_000_000_000_000_000_000;

/// A scaled integer of at most 128 bits as text.
#[inline]
pub fn text(value: i128, scale: i8, out: &mut BytesMut) {
    match u64::try_from(value.unsigned_abs()) {
        Ok(small) => {
            let mut buffer = [0; 20];
            let start = number::digits_of(small, &mut buffer);
            text_of_digits(value < 0, &buffer[start..], scale, out);
        }
        Err(_) => text_of_digits(value < 0, digits_128(value.unsigned_abs()).as_bytes(), scale, out),
    }
}

/// A scaled integer of 256 bits as text.
pub fn text_256(value: i256, scale: i8, out: &mut BytesMut) {
    text_of_digits(value.is_negative(), digits_256(value).as_bytes(), scale, out);
}

/// A scaled integer of at most 128 bits in `numeric_send`'s form.
#[inline]
pub fn binary(value: i128, scale: i8, out: &mut BytesMut) {
    let scale_up = usize::try_from(scale).map(|scale| (GROUP_DIGITS - scale % GROUP_DIGITS) % GROUP_DIGITS);
    let small = u64::try_from(value.unsigned_abs()).ok();
    match (small, scale_up) {
        (Some(small), Ok(scale_up)) => match small.checked_mul([1, 10, 100, 1000][scale_up]) {
            Some(aligned) => binary_small(value < 0, aligned, scale as u8, out),
            None => binary_of_digits(value < 0, digits_128(u128::from(small)).as_bytes(), scale, out),
        },
        _ => binary_of_digits(value < 0, digits_128(value.unsigned_abs()).as_bytes(), scale, out),
    }
}

/// A scaled integer of 256 bits in `numeric_send`'s form.
pub fn binary_256(value: i256, scale: i8, out: &mut BytesMut) {
    binary_of_digits(value.is_negative(), digits_256(value).as_bytes(), scale, out);
}

fn text_of_digits(negative: bool, digits: &[u8], scale: i8, out: &mut BytesMut) {
    if negative {
        out.extend_from_slice(b"-");
    }
    let Ok(scale) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    };
    if scale == 0 {
        return out.extend_from_slice(digits);
    }
    match digits.len().checked_sub(scale) {
        Some(whole) if whole > 0 => {
            let (whole, fraction) = digits.split_at(whole);
            out.extend_from_slice(whole);
            out.extend_from_slice(b".");
            out.extend_from_slice(fraction);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(digits);
        }
    }
}

/// `aligned` holds whole groups on both sides of the point: the value times ten to the next multiple of four.
#[inline]
fn binary_small(negative: bool, mut aligned: u64, scale: u8, out: &mut BytesMut) {
    let mut groups_below_point = usize::from(scale).div_ceil(GROUP_DIGITS) as i32;
    while aligned != 0 && aligned.is_multiple_of(GROUP) {
        aligned /= GROUP;
        groups_below_point -= 1;
    }
    let mut groups = [0_u16; 5];
    let mut count = 0;
    while aligned != 0 {
        groups[count] = (aligned % GROUP) as u16;
        aligned /= GROUP;
        count += 1;
    }
    let weight = if count == 0 { 0 } else { count as i32 - 1 - groups_below_point };
    let mut bytes = Stack::<18>::new();
    header(&mut bytes, count, weight, negative && count > 0, u16::from(scale));
    for group in groups[..count].iter().rev() {
        bytes.push_all(&group.to_be_bytes());
    }
    out.extend_from_slice(bytes.as_bytes());
}

fn binary_of_digits(negative: bool, digits: &[u8], scale: i8, out: &mut BytesMut) {
    // The decimal exponent of the digit after the last one, a multiple of four once zeros are appended.
    let exponent = -i32::from(scale);
    let appended = exponent.rem_euclid(GROUP_DIGITS as i32) as usize;
    let mut padded = Stack::<{ DIGITS_MAX + 2 * GROUP_DIGITS }>::new();
    let prepended = (GROUP_DIGITS - (digits.len() + appended) % GROUP_DIGITS) % GROUP_DIGITS;
    padded.push_all(&b"000"[..prepended]);
    padded.push_all(digits);
    padded.push_all(&b"000"[..appended]);
    let lowest = (exponent - appended as i32) / GROUP_DIGITS as i32;

    let groups = padded.as_bytes();
    let count = groups.len() / GROUP_DIGITS;
    let group = |at: usize| {
        let digits = &groups[at * GROUP_DIGITS..(at + 1) * GROUP_DIGITS];
        digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
    };
    let first = (0..count).find(|at| group(*at) != 0).unwrap_or(count);
    let last = (first..count).rev().find(|at| group(*at) != 0).map_or(first, |at| at + 1);
    let weight = if first == last { 0 } else { lowest + (count - 1 - first) as i32 };
    let mut head = Stack::<8>::new();
    header(&mut head, last - first, weight, negative, u16::try_from(scale).unwrap_or(0));
    out.extend_from_slice(head.as_bytes());
    for at in first..last {
        out.put_u16(group(at));
    }
}

#[inline]
fn header<const N: usize>(bytes: &mut Stack<N>, groups: usize, weight: i32, negative: bool, scale: u16) {
    bytes.push_all(&(groups as u16).to_be_bytes());
    bytes.push_all(&(weight as i16).to_be_bytes());
    bytes.push_all(&(if negative { NEGATIVE } else { POSITIVE }).to_be_bytes());
    bytes.push_all(&scale.to_be_bytes());
}

fn digits_128(value: u128) -> Stack<DIGITS_MAX> {
    digits_of_limbs([value as u64, (value >> 64) as u64, 0, 0])
}

fn digits_256(value: i256) -> Stack<DIGITS_MAX> {
    // the smallest value is its own negation, and its bytes are right as an unsigned number
    let bytes = value.wrapping_abs().to_le_bytes();
    let mut limbs = [0; 4];
    for (limb, eight) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = eight.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    digits_of_limbs(limbs)
}

/// The digits of an unsigned number in four 64-bit limbs, the lowest first: long division by 10^19.
fn digits_of_limbs(mut limbs: [u64; 4]) -> Stack<DIGITS_MAX> {
    let mut parts = [0_u64; 5];
    let mut count = 0;
    while limbs.iter().any(|limb| *limb != 0) && count < parts.len() {
        let mut remainder = 0_u128;
        for limb in limbs.iter_mut().rev() {
            let dividend = remainder << 64 | u128::from(*limb);
            *limb = (dividend / TEN_TO_19) as u64;
            remainder = dividend % TEN_TO_19;
        }
        parts[count] = remainder as u64;
        count += 1;
    }
    let mut digits = Stack::new();
    digits.unsigned(parts[count.saturating_sub(1)]);
    for part in parts[..count.saturating_sub(1)].iter().rev() {
        let mut buffer = [b'0'; 20];
        let start = number::digits_of(*part, &mut buffer);
        digits.push_all(&b"0000000000000000000"[..start - 1]);
        digits.push_all(&buffer[start..]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: i128, scale: i8) -> String {
        let mut out = BytesMut::new();
        text(value, scale, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn sent(value: i128, scale: i8) -> Vec<i16> {
        let (mut small, mut large) = (BytesMut::new(), BytesMut::new());
        binary(value, scale, &mut small);
        binary_256(i256::from_i128(value), scale, &mut large);
        assert_eq!(small, large, "both ways agree on {value} at {scale}");
        small.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn text_keeps_the_scale() {
        assert_eq!(shown(0, 2), "0.00");
        assert_eq!(shown(-5, 2), "-0.05");
        assert_eq!(shown(12_345, 2), "123.45");
        assert_eq!(shown(123, -2), "12300");
        assert_eq!(shown(0, -2), "0");
        assert_eq!(shown(i128::MIN, 0), i128::MIN.to_string());
        assert_eq!(shown(10_i128.pow(37), 38), format!("0.1{}", "0".repeat(37)));
    }

    #[test]
    fn binary_has_groups_without_zeros_at_either_end() {
        assert_eq!(sent(0, 2), [0, 0, 0, 2]);
        assert_eq!(sent(12_345, 2), [2, 0, 0, 2, 123, 4500]);
        assert_eq!(sent(-1, 5), [1, -2, 0x4000, 5, 1000]);
        assert_eq!(sent(10_000, 0), [1, 1, 0, 0, 1]);
        assert_eq!(sent(123, -2), [2, 1, 0, 0, 1, 2300]);
        assert_eq!(sent(100_000_000, 4), [1, 1, 0, 4, 1]);
        assert_eq!(sent(i128::from(u64::MAX), 1), [6, 4, 0, 1, 184, 4674, 4073, 7095, 5161, 5000]);
    }

    #[test]
    fn the_largest_256_bit_numbers_print() {
        let shown = |value: i256| String::from_utf8(digits_256(value).as_bytes().to_vec()).unwrap();
        assert_eq!(shown(i256::MAX), i256::MAX.to_string());
        assert_eq!(format!("-{}", shown(i256::MIN)), i256::MIN.to_string());
        assert_eq!(shown(i256::ZERO), "0");
        assert_eq!(shown(i256::from_i128(10_i128.pow(38))), format!("1{}", "0".repeat(38)));
    }
}
