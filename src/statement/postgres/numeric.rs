//! Arithmetic on `numeric`, with the scales that PostgreSQL gives its results (`numeric.c`).
//!
//! It owns numbers with any count of digits. Where they are stored there is room for 76 digits, and for 38 after the point;
//! what is larger is refused, what is finer is rounded. `NaN` and infinities have no form here.

use std::cmp::Ordering;

use datafusion::arrow::datatypes::i256;
use num_bigint::{BigInt, Sign};
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::fail;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::numeric as any_numeric;
use crate::pgtype::read;

/// Significant digits that a quotient has at least (`NUMERIC_MIN_SIG_DIGITS`).
const SIGNIFICANT_DIGITS_MIN: i64 = 16;
/// PostgreSQL counts in groups of four digits (`DEC_DIGITS`), which shows in the scales of results.
const GROUP_DIGITS: i64 = 4;
/// Digits after the point that are kept of a result.
const SCALE_MAX: i64 = any_numeric::DIGITS_AFTER_POINT_MAX as i64;
/// Digits that a function computes beyond those it gives.
const GUARD_DIGITS: u32 = 12;
/// The largest decimal exponent of a power, an exponential or a factorial: there is no room for more digits.
const EXPONENT_MAX: f64 = 80.0;
/// With a smaller one nothing of the result is left to see.
const EXPONENT_MIN: f64 = -80.0;
const LOG10_OF_E: f64 = std::f64::consts::LOG10_E;

/// A number and how many digits after the point it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numeric {
    /// The number times ten to the scale.
    value: BigInt,
    scale: u32,
}

impl Numeric {
    pub fn new(value: BigInt, scale: u32) -> Self {
        Self { value, scale }
    }

    pub fn zero() -> Self {
        Self::new(BigInt::zero(), 0)
    }

    /// Of a value and scale of Arrow's, whose scale may be negative.
    pub fn scaled(value: BigInt, scale: i16) -> Self {
        match u32::try_from(scale) {
            Ok(scale) => Self::new(value, scale),
            Err(_) => Self::new(value * ten_to(u32::from(scale.unsigned_abs())), 0),
        }
    }

    pub fn of_256(value: i256, scale: i16, is_any: bool) -> Self {
        if is_any {
            let (value, scale) = any_numeric::unpack(value);
            return Self::new(big(value), scale.into());
        }
        Self::scaled(big(value), scale)
    }

    /// `numeric_in`.
    pub fn parse(text: &str) -> Result<Self> {
        use datafusion::common::ScalarValue;
        match read::number::numeric_text(text)? {
            ScalarValue::Decimal128(Some(value), _, scale) => Ok(Self::scaled(value.into(), scale.into())),
            ScalarValue::Decimal256(Some(value), _, scale) => Ok(Self::scaled(big(value), scale.into())),
            other => Err(Error::internal(format_args!("a numeric was read as {other}"))),
        }
    }

    /// The fifteen digits that a `double precision` vouches for (`float8_numeric`), or the six of a `real`.
    pub fn of_float(value: f64, digits: usize) -> Result<Self> {
        if !value.is_finite() {
            return Err(Error::unsupported(format!(
                "numeric {} is not supported",
                if value.is_nan() { "NaN" } else { "Infinity" }
            )));
        }
        let shown = format!("{value:.*e}", digits - 1);
        let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
        let mantissa =
            if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
        Self::parse(&format!("{mantissa}e{exponent}"))
    }

    pub fn scale(&self) -> u32 {
        self.scale
    }

    pub fn value(&self) -> &BigInt {
        &self.value
    }

    pub fn is_zero(&self) -> bool {
        self.value.is_zero()
    }

    pub fn is_negative(&self) -> bool {
        self.value.is_negative()
    }

    pub fn is_integer(&self) -> bool {
        self.scale == 0 || (&self.value % ten_to(self.scale)).is_zero()
    }

    /// The packed form of a numeric column without a scale.
    pub fn to_any(&self) -> Result<i256> {
        let fits = self.rescaled(self.scale.min(SCALE_MAX as u32));
        let value = small(&fits.value).ok_or_else(fail::numeric_overflow)?;
        any_numeric::pack(value, fits.scale as u8).ok_or_else(fail::numeric_overflow)
    }

    /// The value of a column of a fixed scale.
    pub fn to_256(&self, scale: i64) -> Result<i256> {
        let value = match u32::try_from(scale) {
            Ok(scale) => self.rescaled(scale).value,
            Err(_) => self.round(scale).value / ten_to(scale.unsigned_abs() as u32),
        };
        small(&value).ok_or_else(fail::numeric_overflow)
    }

    pub fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Rounded to an integer of 64 bits; `None` beyond it.
    pub fn to_i64(&self) -> Option<i64> {
        self.rescaled(0).value.to_i64()
    }

    /// With another number of digits after the point, rounded half away from zero.
    pub fn rescaled(&self, scale: u32) -> Self {
        match scale.cmp(&self.scale) {
            Ordering::Equal => self.clone(),
            Ordering::Greater => Self::new(&self.value * ten_to(scale - self.scale), scale),
            Ordering::Less => Self::new(quotient(&self.value, &ten_to(self.scale - scale)), scale),
        }
    }

    /// `round(x, places)`.
    pub fn round(&self, places: i64) -> Self {
        if let Ok(places) = u32::try_from(places.min(SCALE_MAX)) {
            return self.rescaled(places);
        }
        let unit = ten_to(self.scale.saturating_add(places.unsigned_abs().min(1000) as u32));
        let whole = quotient(&self.value, &unit) * ten_to(places.unsigned_abs().min(1000) as u32);
        Self::new(whole, 0)
    }

    /// `trunc(x, places)`.
    pub fn trunc(&self, places: i64) -> Self {
        if let Ok(places) = u32::try_from(places.min(SCALE_MAX)) {
            if places >= self.scale {
                return self.rescaled(places);
            }
            return Self::new(&self.value / ten_to(self.scale - places), places);
        }
        let unit = ten_to(self.scale.saturating_add(places.unsigned_abs().min(1000) as u32));
        Self::new(&self.value / unit * ten_to(places.unsigned_abs().min(1000) as u32), 0)
    }

    pub fn floor(&self) -> Self {
        let whole = self.trunc(0);
        if self.is_negative() && !self.is_integer() { Self::new(whole.value - 1, 0) } else { whole }
    }

    pub fn ceil(&self) -> Self {
        let whole = self.trunc(0);
        if !self.is_negative() && !self.is_integer() { Self::new(whole.value + 1, 0) } else { whole }
    }

    pub fn abs(&self) -> Self {
        Self::new(self.value.abs(), self.scale)
    }

    pub fn negated(&self) -> Self {
        Self::new(-&self.value, self.scale)
    }

    pub fn sign(&self) -> Self {
        Self::new(self.value.signum(), 0)
    }

    pub fn add(&self, other: &Self) -> Self {
        let (left, right, scale) = self.aligned(other);
        Self::new(left + right, scale)
    }

    pub fn subtract(&self, other: &Self) -> Self {
        let (left, right, scale) = self.aligned(other);
        Self::new(left - right, scale)
    }

    pub fn multiply(&self, other: &Self) -> Self {
        Self::new(&self.value * &other.value, self.scale + other.scale)
    }

    /// With as many digits as `select_div_scale` says.
    pub fn divide(&self, other: &Self) -> Result<Self> {
        if other.is_zero() {
            return Err(fail::division_by_zero());
        }
        Ok(self.divide_to(other, self.quotient_scale(other)))
    }

    /// Rounded to `scale` digits after the point. `other` is not zero.
    pub fn divide_to(&self, other: &Self, scale: u32) -> Self {
        let shift = i64::from(scale) + i64::from(other.scale) - i64::from(self.scale);
        let power = ten_to(shift.unsigned_abs() as u32);
        let value = if shift >= 0 {
            quotient(&(&self.value * power), &other.value)
        } else {
            quotient(&self.value, &(&other.value * power))
        };
        Self::new(value, scale)
    }

    /// `div(x, y)`: the quotient without its fraction.
    pub fn whole_quotient(&self, other: &Self) -> Result<Self> {
        if other.is_zero() {
            return Err(fail::division_by_zero());
        }
        let (left, right, _) = self.aligned(other);
        Ok(Self::new(left / right, 0))
    }

    /// The remainder, with the sign of `self`.
    pub fn remainder(&self, other: &Self) -> Result<Self> {
        if other.is_zero() {
            return Err(fail::division_by_zero());
        }
        let (left, right, scale) = self.aligned(other);
        Ok(Self::new(left % right, scale))
    }

    pub fn gcd(&self, other: &Self) -> Self {
        let (mut left, mut right, scale) = self.aligned(other);
        while !right.is_zero() {
            (left, right) = (right.clone(), left % right);
        }
        Self::new(left.abs(), scale)
    }

    pub fn compare(&self, other: &Self) -> Ordering {
        let (left, right, _) = self.aligned(other);
        left.cmp(&right)
    }

    pub fn square_root(&self) -> Result<Self> {
        if self.is_negative() {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER,
                "cannot take square root of a negative number",
            ));
        }
        let weight = (self.group_weight() + 1) * GROUP_DIGITS / 2 - 1;
        let scale = clamped((SIGNIFICANT_DIGITS_MIN - weight).max(self.scale.into()));
        let exact = self.root(scale + 1);
        Ok(exact.rescaled(scale))
    }

    /// The root cut off after `scale` digits.
    pub fn root(&self, scale: u32) -> Self {
        let shift = 2 * i64::from(scale) - i64::from(self.scale);
        let power = ten_to(shift.unsigned_abs() as u32);
        let value = if shift >= 0 { &self.value * power } else { &self.value / power };
        Self::new(value.sqrt(), scale)
    }

    pub fn exponential(&self) -> Result<Self> {
        let weight = self.to_f64() * LOG10_OF_E;
        if weight > EXPONENT_MAX {
            return Err(fail::numeric_overflow());
        }
        let scale = clamped((SIGNIFICANT_DIGITS_MIN - weight.max(-2000.0) as i64).max(self.scale.into()));
        if weight < EXPONENT_MIN {
            return Ok(Self::new(BigInt::zero(), scale));
        }
        Ok(self.exponential_to(scale))
    }

    fn exponential_to(&self, scale: u32) -> Self {
        let whole_digits = (self.to_f64() * LOG10_OF_E).clamp(0.0, EXPONENT_MAX) as u32;
        let mut halvings = 0_u32;
        let mut size = self.to_f64().abs();
        while size > 0.01 && halvings < 64 {
            size /= 2.0;
            halvings += 1;
        }
        let digits = scale + whole_digits + halvings + GUARD_DIGITS;
        let one = ten_to(digits);
        let x = self.rescaled(digits + halvings).value / ten_to(halvings) / (BigInt::one() << halvings);
        let (mut sum, mut term, mut n) = (one.clone() + &x, x.clone(), 2_u32);
        while !term.is_zero() {
            term = term * &x / &one / n;
            sum += &term;
            n += 1;
        }
        for _ in 0..halvings {
            sum = &sum * &sum / &one;
        }
        Self::new(sum, digits).rescaled(scale)
    }

    pub fn logarithm(&self) -> Result<Self> {
        self.check_logarithm()?;
        let scale = clamped((SIGNIFICANT_DIGITS_MIN - self.logarithm_weight()).max(self.scale.into()));
        Ok(self.logarithm_to(scale))
    }

    /// `log(base, self)`.
    pub fn logarithm_of_base(&self, base: &Self) -> Result<Self> {
        base.check_logarithm()?;
        self.check_logarithm()?;
        let weight = self.logarithm_weight() - base.logarithm_weight();
        let scale = (SIGNIFICANT_DIGITS_MIN - weight).max(self.scale.into()).max(base.scale.into());
        let scale = clamped(scale);
        let digits = scale + 2 * GUARD_DIGITS;
        let divisor = base.logarithm_to(digits);
        if divisor.is_zero() {
            return Err(fail::division_by_zero());
        }
        Ok(self.logarithm_to(digits).divide_to(&divisor, scale))
    }

    fn check_logarithm(&self) -> Result<()> {
        let message = match self.value.sign() {
            Sign::Plus => return Ok(()),
            Sign::NoSign => "cannot take logarithm of zero",
            Sign::Minus => "cannot take logarithm of a negative number",
        };
        Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message))
    }

    fn logarithm_to(&self, scale: u32) -> Self {
        let digits = scale + 2 * GUARD_DIGITS + 10;
        let one = ten_to(digits);
        let mut x = self.rescaled(digits).value;
        if x.is_zero() {
            x = self.rescaled(self.scale + digits).value;
            return Self::new(x, self.scale + digits).logarithm_wide(digits, scale);
        }
        // roots bring it near one, where the series is short
        let mut roots = 0_u32;
        let (low, high) = (&one * 99 / 100, &one * 101 / 100);
        while x < low || x > high {
            x = (x * &one).sqrt();
            roots += 1;
        }
        Self::new(area_tangent(&x, &one) << (roots + 1), digits).rescaled(scale)
    }

    /// For numbers so small that `digits` after the point show nothing of them: `ln(x · 10ⁿ) - n · ln(10)`.
    fn logarithm_wide(&self, digits: u32, scale: u32) -> Self {
        let shift = self.scale - digits / 2;
        let larger = Self::new(self.value.clone(), self.scale - shift).logarithm_to(digits);
        let ten = Self::new(BigInt::from(10), 0).logarithm_to(digits);
        larger.subtract(&Self::new(ten.value * shift, digits)).rescaled(scale)
    }

    /// `estimate_ln_dweight`: the decimal weight of the logarithm.
    fn logarithm_weight(&self) -> i64 {
        let value = self.to_f64();
        if (0.9..=1.1).contains(&value) {
            let above_one = self.subtract(&Self::new(BigInt::one(), 0));
            if above_one.is_zero() {
                return 0;
            }
            let (weight, first) = above_one.leading_group();
            return weight * GROUP_DIGITS + (first as f64).log10() as i64;
        }
        let logarithm = value.ln().abs();
        if logarithm == 0.0 || !logarithm.is_finite() { 0 } else { logarithm.log10() as i64 }
    }

    pub fn power(&self, exponent: &Self) -> Result<Self> {
        if self.is_zero() && exponent.is_negative() {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER,
                "zero raised to a negative power is undefined",
            ));
        }
        if exponent.is_integer()
            && let Some(whole) = exponent.rescaled(0).value.to_i32()
        {
            return self.whole_power(whole, exponent.scale);
        }
        if self.is_negative() {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER,
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        if self.is_zero() {
            return Ok(Self::new(BigInt::zero(), SIGNIFICANT_DIGITS_MIN as u32));
        }
        let weight = self.to_f64().ln() * exponent.to_f64() * LOG10_OF_E;
        if weight > EXPONENT_MAX {
            return Err(fail::numeric_overflow());
        }
        let scale = (SIGNIFICANT_DIGITS_MIN - weight.max(-2000.0) as i64).max(self.scale.into());
        let scale = clamped(scale.max(exponent.scale.into()));
        if weight < EXPONENT_MIN {
            return Ok(Self::new(BigInt::zero(), scale));
        }
        let digits = scale + weight.max(0.0) as u32 + 2 * GUARD_DIGITS;
        let logarithm = self.logarithm_to(digits).multiply(exponent).rescaled(digits);
        Ok(logarithm.exponential_to(scale))
    }

    fn whole_power(&self, exponent: i32, exponent_scale: u32) -> Result<Self> {
        let weight = if self.is_zero() { 0.0 } else { f64::from(exponent) * self.to_f64().abs().log10() };
        if weight > EXPONENT_MAX {
            return Err(fail::numeric_overflow());
        }
        let scale = clamped(SIGNIFICANT_DIGITS_MIN.max(self.scale.into()).max(exponent_scale.into()));
        if weight < EXPONENT_MIN {
            return Ok(Self::new(BigInt::zero(), scale));
        }
        let digits = scale + weight.abs() as u32 + 2 * GUARD_DIGITS;
        let (mut result, mut base, mut left) = (Self::new(BigInt::one(), 0), self.clone(), exponent.unsigned_abs());
        while left > 0 {
            if left & 1 == 1 {
                result = result.multiply(&base).shortened(digits);
            }
            left >>= 1;
            if left > 0 {
                base = base.multiply(&base).shortened(digits);
            }
        }
        if exponent < 0 {
            if result.is_zero() {
                return Err(fail::numeric_overflow());
            }
            return Ok(Self::new(BigInt::one(), 0).divide_to(&result, scale));
        }
        Ok(result.rescaled(scale))
    }

    /// With at most this many digits after the point, and twice as many for numbers below one.
    fn shortened(self, digits: u32) -> Self {
        if self.scale > 2 * digits { self.rescaled(2 * digits) } else { self }
    }

    /// Both at the larger scale.
    fn aligned(&self, other: &Self) -> (BigInt, BigInt, u32) {
        let scale = self.scale.max(other.scale);
        (self.rescaled(scale).value, other.rescaled(scale).value, scale)
    }

    /// `select_div_scale`.
    fn quotient_scale(&self, other: &Self) -> u32 {
        let ((weight, first), (other_weight, other_first)) = (self.leading_group(), other.leading_group());
        let mut quotient_weight = weight - other_weight;
        if first <= other_first {
            quotient_weight -= 1;
        }
        let scale = SIGNIFICANT_DIGITS_MIN - quotient_weight * GROUP_DIGITS;
        clamped(scale.max(self.scale.into()).max(other.scale.into()))
    }

    /// The power of 10000 of the first group of four digits, and that group; zeros for zero.
    fn leading_group(&self) -> (i64, u64) {
        if self.is_zero() {
            return (0, 0);
        }
        let digits = self.value.magnitude().to_string();
        let exponent = digits.len() as i64 - i64::from(self.scale) - 1;
        let weight = exponent.div_euclid(GROUP_DIGITS);
        let count = (exponent - weight * GROUP_DIGITS + 1) as usize;
        let group: String = digits.chars().chain(std::iter::repeat('0')).take(count).collect();
        (weight, group.parse().unwrap_or(0))
    }

    fn group_weight(&self) -> i64 {
        self.leading_group().0
    }
}

impl std::fmt::Display for Numeric {
    /// As `numeric_out`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.value.magnitude().to_string();
        let scale = self.scale as usize;
        if self.is_negative() {
            f.write_str("-")?;
        }
        if scale == 0 {
            return f.write_str(&digits);
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{whole}.{fraction}")
    }
}

/// `atanh((x - 1) / (x + 1))`, all numbers times `one`.
fn area_tangent(x: &BigInt, one: &BigInt) -> BigInt {
    let y = (x - one) * one / (x + one);
    let square = &y * &y / one;
    let (mut sum, mut power, mut n) = (y.clone(), y, 3_u32);
    while !power.is_zero() {
        power = power * &square / one;
        sum += &power / n;
        n += 2;
    }
    sum
}

fn clamped(scale: i64) -> u32 {
    scale.clamp(0, SCALE_MAX) as u32
}

/// Divided and rounded half away from zero.
fn quotient(value: &BigInt, divisor: &BigInt) -> BigInt {
    let (whole, rest) = (value / divisor, value % divisor);
    if rest.magnitude() * 2_u32 >= *divisor.magnitude() {
        let away = if value.is_negative() == divisor.is_negative() { 1 } else { -1 };
        return whole + away;
    }
    whole
}

pub fn ten_to(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

fn big(value: i256) -> BigInt {
    match value.to_i128() {
        Some(value) => value.into(),
        None => BigInt::from_signed_bytes_le(&value.to_le_bytes()),
    }
}

fn small(value: &BigInt) -> Option<i256> {
    if let Some(value) = value.to_i128() {
        return Some(i256::from_i128(value));
    }
    let bytes = value.to_signed_bytes_le();
    let mut all = if value.is_negative() { [0xff; 32] } else { [0; 32] };
    all.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    let value = i256::from_le_bytes(all);
    // as many digits as Arrow's precision of 76 allows
    let limit = i256::from_i128(10).wrapping_pow(76);
    (value < limit && value > limit.wrapping_neg()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        Numeric::parse(text).unwrap()
    }

    #[test]
    fn quotients_have_the_digits_that_postgresql_gives_them() {
        for (left, right, expected) in [
            ("1.0", "3", "0.33333333333333333333"),
            ("10.0", "4", "2.5000000000000000"),
            ("2", "2", "1.00000000000000000000"),
            ("100000.00", "3", "33333.333333333333"),
            ("-7", "2.0", "-3.5000000000000000"),
            ("0", "3", "0.00000000000000000000"),
        ] {
            assert_eq!(n(left).divide(&n(right)).unwrap().to_string(), expected, "{left} / {right}");
        }
        assert_eq!(n("1").divide(&n("0.0")).unwrap_err().sqlstate(), SqlState::DIVISION_BY_ZERO);
    }

    #[test]
    fn roots_exponentials_and_logarithms() {
        assert_eq!(n("2").square_root().unwrap().to_string(), "1.414213562373095");
        assert_eq!(n("2.0").exponential().unwrap().to_string(), "7.3890560989306502");
        assert_eq!(n("2.0").logarithm().unwrap().to_string(), "0.6931471805599453");
        assert_eq!(n("64.0").logarithm_of_base(&n("2.0")).unwrap().to_string(), "6.0000000000000000");
        assert_eq!(n("9.0").power(&n("3.0")).unwrap().to_string(), "729.0000000000000000");
        assert_eq!(n("2.0").power(&n("0.5")).unwrap().to_string(), "1.4142135623730950");
    }

    #[test]
    fn rounding_goes_away_from_zero() {
        assert_eq!(n("2.5").round(0).to_string(), "3");
        assert_eq!(n("-2.5").round(0).to_string(), "-3");
        assert_eq!(n("1250").round(-2).to_string(), "1300");
        assert_eq!(n("2.567").trunc(2).to_string(), "2.56");
        assert_eq!(n("-0.5").ceil().to_string(), "0");
        assert_eq!(n("-0.5").floor().to_string(), "-1");
        assert_eq!(n("1.5").round(4).to_string(), "1.5000");
    }

    #[test]
    fn what_goes_into_a_column_comes_out() {
        for text in ["0", "0.00", "-1.50", "123456789012345678901234567890.123456", "-0.00000000000000000001"] {
            let packed = n(text).to_any().unwrap();
            assert_eq!(Numeric::of_256(packed, 40, true).to_string(), text);
        }
        assert!(n("1e37").to_any().is_err());
    }

    #[test]
    fn floats_become_the_digits_they_vouch_for() {
        for (value, digits, expected) in
            [(0.1, 15, "0.1"), (1e20, 15, "100000000000000000000"), (1.0 / 3.0, 6, "0.333333")]
        {
            assert_eq!(Numeric::of_float(value, digits).unwrap().to_string(), expected);
        }
    }
}
