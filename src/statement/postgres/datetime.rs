//! Dates, clock readings and instants: fields, truncation, differences and sums with intervals (`timestamp.c`, `date.c`).
//!
//! It owns the calendar's arithmetic. A date counts days since 1970, a timestamp microseconds; reading and writing them is
//! `pgtype`'s.

use super::fail;
use super::interval::{
    Interval, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND,
    out_of_range as interval_out_of_range,
};
use super::kind::Kind;
use super::numeric::Numeric;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::show::temporal::civil;
use crate::settings::time_zone::TimeZone;

/// The Julian day number of 1970-01-01.
pub const JULIAN_EPOCH: i64 = 2_440_588;
/// PostgreSQL's dates go from 4714-11-24 BC to 5874897-12-31, in days since 1970.
const DATE_MIN: i64 = -2_440_588;
const DATE_MAX: i64 = 2_145_042_905;
/// The last microsecond that a timestamp of 64 bits since 2000 has, in microseconds since 1970.
const TIMESTAMP_MIN: i64 = DATE_MIN * MICROS_PER_DAY;

/// A unit of time as `extract` and `date_trunc` know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Epoch,
    Julian,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Unit {
    /// The names and abbreviations that PostgreSQL reads (`datetime.c`, `deltatktbl` and `datetktbl`).
    pub fn parse(text: &str, kind: Kind) -> Result<Self> {
        let lower = text.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "us" | "usec" | "usecs" | "microsecond" | "microseconds" | "usecond" | "useconds" => Self::Microsecond,
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" | "msecond" | "mseconds" => Self::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "week" | "weeks" => Self::Week,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "qtr" | "quarter" => Self::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Year,
            "dec" | "decs" | "decade" | "decades" => Self::Decade,
            "c" | "cent" | "century" | "centuries" => Self::Century,
            "mil" | "mils" | "millennium" | "millennia" => Self::Millennium,
            "epoch" => Self::Epoch,
            "j" | "jd" | "julian" => Self::Julian,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" => Self::DayOfYear,
            "isoyear" => Self::IsoYear,
            "timezone" => Self::Timezone,
            "timezone_h" | "timezone_hour" => Self::TimezoneHour,
            "timezone_m" | "timezone_minute" => Self::TimezoneMinute,
            _ => {
                let message = format!("unit \"{lower}\" not recognized for type {}", kind.name());
                return Err(fail::invalid_argument(message));
            }
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Microsecond => "microseconds",
            Self::Millisecond => "milliseconds",
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Decade => "decade",
            Self::Century => "century",
            Self::Millennium => "millennium",
            Self::Epoch => "epoch",
            Self::Julian => "julian",
            Self::DayOfWeek => "dow",
            Self::IsoDayOfWeek => "isodow",
            Self::DayOfYear => "doy",
            Self::IsoYear => "isoyear",
            Self::Timezone => "timezone",
            Self::TimezoneHour => "timezone_hour",
            Self::TimezoneMinute => "timezone_minute",
        }
    }
}

pub fn not_supported(unit: &str, kind: Kind) -> Error {
    Error::unsupported(format!("unit \"{unit}\" not supported for type {}", kind.name()))
}

#[cold]
pub fn out_of_range(what: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

/// Days since 1970 of a day in the proleptic Gregorian calendar, whose year 0 is 1 BC.
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub fn checked_date(days: i64) -> Result<i32> {
    let days = Some(days).filter(|days| (DATE_MIN..=DATE_MAX).contains(days));
    days.map(|days| days as i32).ok_or_else(|| out_of_range("date"))
}

pub fn checked_timestamp(micros: Option<i64>) -> Result<i64> {
    micros.filter(|micros| *micros >= TIMESTAMP_MIN).ok_or_else(|| out_of_range("timestamp"))
}

/// Midnight of a date.
pub fn timestamp_of_date(days: i32) -> Result<i64> {
    i64::from(days).checked_mul(MICROS_PER_DAY).ok_or_else(|| out_of_range("date out of range for timestamp"))
}

/// What the clock shows in a zone.
pub fn local(instant: i64, zone: TimeZone) -> i64 {
    instant + i64::from(zone.offset_seconds(instant)) * MICROS_PER_SECOND
}

/// The instant at which the clock in a zone shows this.
pub fn instant(local: i64, zone: TimeZone) -> Result<i64> {
    checked_timestamp(zone.instant(local))
}

/// `timestamp + interval`: months first, the day held within its month, then days, then time.
pub fn plus_interval(timestamp: i64, interval: Interval) -> Result<i64> {
    let moved = plus_months_and_days(timestamp, interval)?;
    checked_timestamp(moved.checked_add(interval.micros))
}

/// `timestamptz + interval`: months and days by the zone's calendar.
pub fn plus_interval_in(at: i64, interval: Interval, zone: TimeZone) -> Result<i64> {
    let moved = if interval.months == 0 && interval.days == 0 {
        at
    } else {
        instant(plus_months_and_days(local(at, zone), interval)?, zone)?
    };
    checked_timestamp(moved.checked_add(interval.micros))
}

fn plus_months_and_days(timestamp: i64, interval: Interval) -> Result<i64> {
    let (mut days, time) = (timestamp.div_euclid(MICROS_PER_DAY), timestamp.rem_euclid(MICROS_PER_DAY));
    if interval.months != 0 {
        let (year, month, day) = civil(days);
        let months = year * 12 + month as i64 - 1 + i64::from(interval.months);
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        days = days_of(year, month, (day as i64).min(days_in_month(year, month)));
    }
    days += i64::from(interval.days);
    checked_timestamp(days.checked_mul(MICROS_PER_DAY).and_then(|micros| micros.checked_add(time)))
}

/// `timestamp - timestamp`: days and time.
pub fn difference(left: i64, right: i64) -> Result<Interval> {
    let micros = left.checked_sub(right).ok_or_else(interval_out_of_range)?;
    Interval::of_micros(micros).justified_hours()
}

/// `age(left, right)`: years, months and days by the calendar.
pub fn age(left: i64, right: i64) -> Interval {
    let (later, earlier, sign) = if left < right { (right, left, -1) } else { (left, right, 1) };
    let split = |at: i64| (civil(at.div_euclid(MICROS_PER_DAY)), at.rem_euclid(MICROS_PER_DAY));
    let (((later_year, later_month, later_day), later_time), ((year, month, day), time)) =
        (split(later), split(earlier));
    let mut micros = later_time - time;
    let mut days = later_day as i64 - day as i64;
    let mut months = (later_year - year) * 12 + later_month as i64 - month as i64;
    if micros < 0 {
        micros += MICROS_PER_DAY;
        days -= 1;
    }
    // the month that is borrowed from is the second argument's, or the first's where it is the earlier
    if days < 0 {
        days += days_in_month(year, month as i64);
        months -= 1;
    }
    Interval { months: (months * sign) as i32, days: (days * sign) as i32, micros: micros * sign }
}

/// `date_trunc` of a clock reading.
pub fn truncated(timestamp: i64, unit: Unit, kind: Kind) -> Result<i64> {
    let step = |step: i64| Ok(timestamp.div_euclid(step) * step);
    let days = timestamp.div_euclid(MICROS_PER_DAY);
    let from = |days: i64| checked_timestamp(days.checked_mul(MICROS_PER_DAY));
    let (year, month, _) = civil(days);
    match unit {
        Unit::Microsecond => Ok(timestamp),
        Unit::Millisecond => step(1000),
        Unit::Second => step(MICROS_PER_SECOND),
        Unit::Minute => step(MICROS_PER_MINUTE),
        Unit::Hour => step(MICROS_PER_HOUR),
        Unit::Day => step(MICROS_PER_DAY),
        // 1970-01-01 was a Thursday
        Unit::Week => from(days - (days + 3).rem_euclid(7)),
        Unit::Month => from(days_of(year, month as i64, 1)),
        Unit::Quarter => from(days_of(year, (month as i64 - 1) / 3 * 3 + 1, 1)),
        Unit::Year => from(days_of(year, 1, 1)),
        Unit::Decade => from(days_of(year.div_euclid(10) * 10, 1, 1)),
        Unit::Century => from(days_of((year - 1).div_euclid(100) * 100 + 1, 1, 1)),
        Unit::Millennium => from(days_of((year - 1).div_euclid(1000) * 1000 + 1, 1, 1)),
        other => Err(not_supported(other.name(), kind)),
    }
}

/// The ISO year and week of a day.
pub fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, ..) = civil(thursday);
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// The first day of an ISO year.
pub fn iso_year_start(year: i64) -> i64 {
    let fourth = days_of(year, 1, 4);
    fourth - (fourth + 3).rem_euclid(7)
}

/// Years as they are told: there is no year 0.
fn told(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

/// A field of a day that is a whole number.
pub fn date_field(days: i64, unit: Unit) -> Option<i64> {
    let (year, month, day) = civil(days);
    Some(match unit {
        Unit::Day => day as i64,
        Unit::Month => month as i64,
        Unit::Quarter => (month as i64 - 1) / 3 + 1,
        Unit::Week => iso_week(days).1,
        Unit::Year => told(year),
        Unit::Decade => year.div_euclid(10),
        Unit::Century if year > 0 => (year + 99) / 100,
        Unit::Century => -((99 - (year - 1)) / 100),
        Unit::Millennium if year > 0 => (year + 999) / 1000,
        Unit::Millennium => -((999 - (year - 1)) / 1000),
        Unit::DayOfWeek => (days + 4).rem_euclid(7),
        Unit::IsoDayOfWeek => (days + 3).rem_euclid(7) + 1,
        Unit::DayOfYear => days - days_of(year, 1, 1) + 1,
        Unit::IsoYear => told(iso_week(days).0),
        _ => return None,
    })
}

/// A field of a time of day; the scale is how many digits follow the point.
pub fn time_field(micros: i64, unit: Unit) -> Option<(i64, u32)> {
    Some(match unit {
        Unit::Microsecond => (micros % MICROS_PER_MINUTE, 0),
        Unit::Millisecond => (micros % MICROS_PER_MINUTE, 3),
        Unit::Second => (micros % MICROS_PER_MINUTE, 6),
        Unit::Minute => (micros / MICROS_PER_MINUTE % 60, 0),
        Unit::Hour => (micros / MICROS_PER_HOUR, 0),
        _ => return None,
    })
}

/// `extract(unit from timestamp)`; an instant comes with its zone.
pub fn timestamp_field(at: i64, unit: Unit, zone: Option<&TimeZone>) -> Result<Numeric> {
    let kind = if zone.is_some() { Kind::TimestampTz } else { Kind::Timestamp };
    let clock = zone.map_or(at, |zone| local(at, *zone));
    let (days, time) = (clock.div_euclid(MICROS_PER_DAY), clock.rem_euclid(MICROS_PER_DAY));
    let whole = |value: i64| Ok(Numeric::new(value.into(), 0));
    match (unit, zone) {
        (Unit::Epoch, _) => Ok(Numeric::new(at.into(), 6)),
        (Unit::Julian, _) => {
            let day = Numeric::new((days + JULIAN_EPOCH).into(), 0);
            let fraction = Numeric::new(time.into(), 0).divide(&Numeric::new(MICROS_PER_DAY.into(), 0))?;
            Ok(day.add(&fraction))
        }
        (Unit::Timezone, Some(zone)) => whole(zone.offset_seconds(at).into()),
        (Unit::TimezoneHour, Some(zone)) => whole((zone.offset_seconds(at) / 3600).into()),
        (Unit::TimezoneMinute, Some(zone)) => whole((zone.offset_seconds(at) / 60 % 60).into()),
        _ => match (time_field(time, unit), date_field(days, unit)) {
            (Some((value, scale)), _) => Ok(Numeric::new(value.into(), scale)),
            (None, Some(value)) => whole(value),
            (None, None) => Err(not_supported(unit.name(), kind)),
        },
    }
}

/// `date_bin(stride, at, origin)`.
pub fn binned(stride: Interval, at: i64, origin: i64) -> Result<i64> {
    if stride.months != 0 {
        return Err(Error::unsupported("timestamps cannot be binned into intervals containing months or years"));
    }
    let step = i64::from(stride.days)
        .checked_mul(MICROS_PER_DAY)
        .and_then(|days| days.checked_add(stride.micros))
        .ok_or_else(interval_out_of_range)?;
    if step <= 0 {
        return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "stride must be greater than zero"));
    }
    let since = at.checked_sub(origin).ok_or_else(interval_out_of_range)?;
    checked_timestamp(origin.checked_add(since.div_euclid(step) * step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i64, month: i64, day: i64) -> i64 {
        days_of(year, month, day) * MICROS_PER_DAY
    }

    #[test]
    fn days_and_the_calendar_agree() {
        for days in [-719_528, -1, 0, 59, 60, 10_957, 20_000, 2_000_000] {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month as i64, day as i64), days);
        }
    }

    #[test]
    fn months_keep_within_their_days() {
        let month = Interval { months: 1, days: 0, micros: 0 };
        assert_eq!(plus_interval(at(2026, 1, 31), month).unwrap(), at(2026, 2, 28));
        assert_eq!(plus_interval(at(2024, 1, 31), month).unwrap(), at(2024, 2, 29));
        let zone = TimeZone::parse("Europe/Berlin").unwrap();
        let day = Interval { months: 0, days: 1, micros: 0 };
        let before_spring = instant(at(2026, 3, 28) + 12 * MICROS_PER_HOUR, zone).unwrap();
        assert_eq!(plus_interval_in(before_spring, day, zone).unwrap() - before_spring, 23 * MICROS_PER_HOUR);
    }

    #[test]
    fn ages_count_by_the_calendar() {
        assert_eq!(age(at(2001, 4, 10), at(1957, 6, 13)), Interval { months: 43 * 12 + 9, days: 27, micros: 0 });
        assert_eq!(age(at(2026, 1, 1), at(2026, 3, 1)), Interval { months: -2, days: 0, micros: 0 });
    }

    #[test]
    fn weeks_belong_to_the_year_of_their_thursday() {
        assert_eq!(iso_week(days_of(2021, 1, 3)), (2020, 53));
        assert_eq!(iso_week(days_of(2018, 12, 31)), (2019, 1));
        assert_eq!(iso_year_start(2021), days_of(2021, 1, 4));
    }
}
