//! `numeric` without precision and scale: each value has a scale of its own, as a quotient or an average has.
//!
//! Arrow's decimals have one scale for a whole column. Here a column of [`data_type`] holds its values at a scale of
//! [`DIGITS_AFTER_POINT_MAX`], and behind it, in two more digits, how many digits after the point each value shows. So
//! order, hashes, minimum and maximum are Arrow's own, and no other column has this type: stored numerics have at most 38
//! digits.
//!
//! It owns that form. It refuses to know arithmetic.

use datafusion::arrow::datatypes::{DataType, i256};

/// Digits in all.
pub const PRECISION: u8 = 76;
/// The scale of the Arrow type, by which it is known.
pub const SCALE: i8 = 40;
/// The most digits after the point that a value shows.
pub const DIGITS_AFTER_POINT_MAX: u8 = 38;
/// What the two digits of the shown scale count.
const SHOWN: i256 = i256::from_i128(100);
const TEN: i256 = i256::from_i128(10);

/// The Arrow type.
#[must_use]
pub const fn data_type() -> DataType {
    DataType::Decimal256(PRECISION, SCALE)
}

/// Whether values of this type carry a scale of their own.
#[must_use]
pub const fn is_any(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal256(PRECISION, SCALE))
}

/// The number at the scale that it shows, and that scale. Digits that would not be shown but are there are shown.
#[must_use]
pub fn unpack(packed: i256) -> (i256, u8) {
    let (mut value, shown) = (packed.wrapping_div(SHOWN), packed.wrapping_rem(SHOWN));
    let shown = shown.as_i128().unsigned_abs() as u8;
    let mut scale = DIGITS_AFTER_POINT_MAX;
    while scale > shown && value.wrapping_rem(TEN) == i256::ZERO {
        value = value.wrapping_div(TEN);
        scale -= 1;
    }
    (value, scale)
}

/// The number at a scale of [`DIGITS_AFTER_POINT_MAX`], whatever it shows.
#[must_use]
pub fn value(packed: i256) -> i256 {
    packed.wrapping_div(SHOWN)
}

/// The packed form of a number at a scale; `None` when it has no room.
#[must_use]
pub fn pack(value: i256, scale: u8) -> Option<i256> {
    let missing = DIGITS_AFTER_POINT_MAX.checked_sub(scale)?;
    let full = value.checked_mul(TEN.checked_pow(u32::from(missing))?)?.checked_mul(SHOWN)?;
    let shown = i256::from_i128(i128::from(scale));
    if value.is_negative() { full.checked_sub(shown) } else { full.checked_add(shown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_out_with_the_scale_it_went_in() {
        for (value, scale) in [(0, 0), (0, 5), (150, 2), (-150, 2), (1, 38), (-1, 0), (123_456_789, 20)] {
            let packed = pack(i256::from_i128(value), scale).unwrap();
            assert_eq!(unpack(packed), (i256::from_i128(value), scale), "{value} at {scale}");
        }
    }

    #[test]
    fn order_is_the_numbers_order_whatever_they_show() {
        let packed = |value: i128, scale| pack(i256::from_i128(value), scale).unwrap();
        assert!(packed(-20, 1) < packed(-1, 0) && packed(-1, 0) < packed(0, 3));
        assert!(packed(15, 1) < packed(151, 2) && packed(151, 2) < packed(2, 0));
    }

    #[test]
    fn digits_without_a_shown_scale_are_shown() {
        let cast_from_two_digits = i256::from_i128(150).wrapping_mul(TEN.wrapping_pow(38));
        assert_eq!(unpack(cast_from_two_digits), (i256::from_i128(15), 1));
    }

    #[test]
    fn what_has_no_room_is_refused() {
        assert_eq!(pack(i256::from_i128(1), 39), None);
        assert_eq!(pack(TEN.wrapping_pow(37), 0), None);
        assert!(pack(TEN.wrapping_pow(36), 0).is_some());
    }
}
