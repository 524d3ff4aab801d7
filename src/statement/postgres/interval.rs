//! Arithmetic on intervals (`timestamp.c`): months, days and microseconds are kept apart until something must be said of
//! them together.
//!
//! It owns sums, products, justification, order and fields. Reading and writing them is `pgtype`'s.

pub use crate::pgtype::show::temporal::Interval;

use super::datetime::{Unit, not_supported};
use super::fail;
use super::kind::Kind;
use super::numeric::Numeric;
use crate::error::{Error, Result, SqlState};

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;
const DAYS_PER_MONTH: i64 = 30;
const MONTHS_PER_YEAR: i32 = 12;
const SECONDS_PER_DAY: f64 = 86_400.0;

#[cold]
pub fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

impl Interval {
    pub fn of_micros(micros: i64) -> Self {
        Self { months: 0, days: 0, micros }
    }

    pub fn plus(self, other: Self) -> Result<Self> {
        let sum = || {
            Some(Self {
                months: self.months.checked_add(other.months)?,
                days: self.days.checked_add(other.days)?,
                micros: self.micros.checked_add(other.micros)?,
            })
        };
        sum().ok_or_else(out_of_range)
    }

    pub fn negated(self) -> Result<Self> {
        let negated = || {
            Some(Self {
                months: self.months.checked_neg()?,
                days: self.days.checked_neg()?,
                micros: self.micros.checked_neg()?,
            })
        };
        negated().ok_or_else(out_of_range)
    }

    /// `interval_mul`: fractions of months become days of thirty a month, fractions of days become time.
    pub fn times(self, factor: f64) -> Result<Self> {
        self.scaled(|value| value * factor)
    }

    /// `interval_div`.
    pub fn divided(self, divisor: f64) -> Result<Self> {
        if divisor == 0.0 {
            return Err(fail::division_by_zero());
        }
        self.scaled(|value| value / divisor)
    }

    fn scaled(self, scale: impl Fn(f64) -> f64) -> Result<Self> {
        let whole = |value: f64| -> Result<i32> {
            if !(-2_147_483_648.0..2_147_483_648.0).contains(&value) {
                return Err(out_of_range());
            }
            Ok(value as i32)
        };
        let (months, days) = (scale(self.months.into()), scale(self.days.into()));
        let (whole_months, mut whole_days) = (whole(months)?, whole(days)?);
        let days_of_months = to_micros((months - f64::from(whole_months)) * DAYS_PER_MONTH as f64);
        let mut seconds =
            to_micros((days - f64::from(whole_days) + days_of_months - days_of_months.trunc()) * SECONDS_PER_DAY);
        if seconds.abs() >= SECONDS_PER_DAY {
            let days = (seconds / SECONDS_PER_DAY).trunc();
            whole_days = whole_days.checked_add(days as i32).ok_or_else(out_of_range)?;
            seconds -= days * SECONDS_PER_DAY;
        }
        whole_days = whole_days.checked_add(days_of_months as i32).ok_or_else(out_of_range)?;
        let micros = (scale(self.micros as f64) + seconds * MICROS_PER_SECOND as f64).round_ties_even();
        if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&micros) {
            return Err(out_of_range());
        }
        Ok(Self { months: whole_months, days: whole_days, micros: micros as i64 })
    }

    /// `justify_hours`: 24 hours are a day.
    pub fn justified_hours(self) -> Result<Self> {
        let whole = self.micros / MICROS_PER_DAY;
        let days = i32::try_from(i64::from(self.days) + whole).map_err(|_| out_of_range())?;
        let mut result = Self { months: self.months, days, micros: self.micros - whole * MICROS_PER_DAY };
        result.level_day_and_time();
        Ok(result)
    }

    /// `justify_days`: 30 days are a month.
    pub fn justified_days(self) -> Result<Self> {
        let whole = self.days / DAYS_PER_MONTH as i32;
        let months = self.months.checked_add(whole).ok_or_else(out_of_range)?;
        let mut result = Self { months, days: self.days - whole * DAYS_PER_MONTH as i32, micros: self.micros };
        if result.months > 0 && result.days < 0 {
            result.days += DAYS_PER_MONTH as i32;
            result.months -= 1;
        } else if result.months < 0 && result.days > 0 {
            result.days -= DAYS_PER_MONTH as i32;
            result.months += 1;
        }
        Ok(result)
    }

    /// `justify_interval`: both, and all fields of one sign.
    pub fn justified(self) -> Result<Self> {
        let whole = self.micros / MICROS_PER_DAY;
        let days = i64::from(self.days) + whole;
        let micros = self.micros - whole * MICROS_PER_DAY;
        let whole = days / DAYS_PER_MONTH;
        let months = i32::try_from(i64::from(self.months) + whole).map_err(|_| out_of_range())?;
        let days = (days - whole * DAYS_PER_MONTH) as i32;
        let mut result = Self { months, days, micros };
        if result.months > 0 && (result.days < 0 || (result.days == 0 && result.micros < 0)) {
            result.days += DAYS_PER_MONTH as i32;
            result.months -= 1;
        } else if result.months < 0 && (result.days > 0 || (result.days == 0 && result.micros > 0)) {
            result.days -= DAYS_PER_MONTH as i32;
            result.months += 1;
        }
        result.level_day_and_time();
        Ok(result)
    }

    fn level_day_and_time(&mut self) {
        if self.days > 0 && self.micros < 0 {
            self.micros += MICROS_PER_DAY;
            self.days -= 1;
        } else if self.days < 0 && self.micros > 0 {
            self.micros -= MICROS_PER_DAY;
            self.days += 1;
        }
    }

    /// What intervals are ordered by: microseconds, with months of thirty days (`interval_cmp_value`).
    pub fn order(self) -> i128 {
        let days = i128::from(self.months) * i128::from(DAYS_PER_MONTH) + i128::from(self.days);
        days * i128::from(MICROS_PER_DAY) + i128::from(self.micros)
    }

    /// `date_trunc`.
    pub fn truncated(mut self, unit: Unit) -> Result<Self> {
        let time = |micros: i64, step: i64| micros / step * step;
        let months = |months: i32, step: i32| months / step * step;
        match unit {
            Unit::Microsecond => return Ok(self),
            Unit::Millisecond => self.micros = time(self.micros, 1000),
            Unit::Second => self.micros = time(self.micros, MICROS_PER_SECOND),
            Unit::Minute => self.micros = time(self.micros, MICROS_PER_MINUTE),
            Unit::Hour => self.micros = time(self.micros, MICROS_PER_HOUR),
            Unit::Day => self.micros = 0,
            Unit::Month | Unit::Quarter | Unit::Year | Unit::Decade | Unit::Century | Unit::Millennium => {
                let step = match unit {
                    Unit::Month => 1,
                    Unit::Quarter => 3,
                    Unit::Year => 12,
                    Unit::Decade => 120,
                    Unit::Century => 1200,
                    _ => 12_000,
                };
                self = Self { months: months(self.months, step), days: 0, micros: 0 };
            }
            Unit::Week => {
                return Err(not_supported("week", Kind::Interval).detail("Months usually have fractional weeks."));
            }
            other => return Err(not_supported(other.name(), Kind::Interval)),
        }
        Ok(self)
    }

    /// `extract(unit from interval)`.
    pub fn field(self, unit: Unit) -> Result<Numeric> {
        let years = i64::from(self.months / MONTHS_PER_YEAR);
        let months = i64::from(self.months % MONTHS_PER_YEAR);
        let whole = |value: i64| Ok(Numeric::new(value.into(), 0));
        match unit {
            Unit::Microsecond => whole(self.micros % MICROS_PER_MINUTE),
            Unit::Millisecond => Ok(Numeric::new((self.micros % MICROS_PER_MINUTE).into(), 3)),
            Unit::Second => Ok(Numeric::new((self.micros % MICROS_PER_MINUTE).into(), 6)),
            Unit::Minute => whole(self.micros / MICROS_PER_MINUTE % 60),
            Unit::Hour => whole(self.micros / MICROS_PER_HOUR),
            Unit::Day => whole(self.days.into()),
            Unit::Month => whole(months),
            Unit::Quarter => whole(months / 3 + 1),
            Unit::Year => whole(years),
            Unit::Decade => whole(years / 10),
            Unit::Century => whole(years / 100),
            Unit::Millennium => whole(years / 1000),
            Unit::Epoch => {
                // a year has 365.25 days, a month 30: quarters of days
                let quarters = i128::from(years) * 1461 + i128::from(months) * 120 + i128::from(self.days) * 4;
                let micros = quarters * i128::from(MICROS_PER_DAY / 4) + i128::from(self.micros);
                Ok(Numeric::new(micros.into(), 6))
            }
            other => Err(not_supported(other.name(), Kind::Interval)),
        }
    }
}

/// Rounded to the microsecond (`TSROUND`).
fn to_micros(seconds: f64) -> f64 {
    (seconds * 1_000_000.0).round_ties_even() / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(months: i32, days: i32, micros: i64) -> Interval {
        Interval { months, days, micros }
    }

    #[test]
    fn products_cascade_down() {
        assert_eq!(interval(1, 0, 0).times(1.5).unwrap(), interval(1, 15, 0));
        assert_eq!(interval(0, 1, 0).times(0.5).unwrap(), interval(0, 0, 12 * MICROS_PER_HOUR));
        assert_eq!(interval(12, 0, 0).divided(5.0).unwrap(), interval(2, 12, 0));
        assert_eq!(interval(0, 0, 1).divided(0.0).unwrap_err().sqlstate(), SqlState::DIVISION_BY_ZERO);
    }

    #[test]
    fn justified_intervals_have_one_sign() {
        let month_less_an_hour = interval(1, 0, -MICROS_PER_HOUR);
        assert_eq!(month_less_an_hour.justified().unwrap(), interval(0, 29, 23 * MICROS_PER_HOUR));
        assert_eq!(interval(0, 35, 0).justified_days().unwrap(), interval(1, 5, 0));
        assert_eq!(
            interval(0, 0, 27 * MICROS_PER_HOUR).justified_hours().unwrap(),
            interval(0, 1, 3 * MICROS_PER_HOUR)
        );
    }

    #[test]
    fn a_day_is_as_long_as_24_hours() {
        assert_eq!(interval(0, 1, 0).order(), interval(0, 0, MICROS_PER_DAY).order());
        assert_eq!(interval(1, 0, 0).order(), interval(0, 30, 0).order());
    }
}
