//! Dates, times, timestamps and intervals in PostgreSQL's ISO and `postgres` styles, and their binary forms.
//!
//! It owns the calendar and the ranges (`datetime.c`, `EncodeDateTime`, `EncodeInterval`). It refuses to know Arrow's
//! arrays. What is finer than a microsecond is cut off towards the past, in intervals towards zero.

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::datatypes::TimeUnit;

use super::number::Stack;
use crate::error::{Error, Result, SqlState};
use crate::settings::time_zone::TimeZone;

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i64 = 10_957;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
const EPOCH_MICROS: i64 = EPOCH_DAYS * MICROS_PER_DAY;
/// PostgreSQL's dates go from 4714-11-24 BC to 5874897-12-31 (`IS_VALID_DATE`), here in days since 1970.
const DATE_MIN: i64 = -2_440_588;
const DATE_MAX: i64 = 2_145_042_905;
/// The first microsecond of 4714-11-24 BC, and the first beyond the last timestamp, since 2000 (`IS_VALID_TIMESTAMP`).
const TIMESTAMP_MIN: i64 = -211_813_488_000_000_000;
const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// How a moment is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `2024-01-31 12:00:00+01`, what a column shows.
    Iso,
    /// `2024-01-31T12:00:00+01:00`, what `to_jsonb` writes.
    Xsd,
}

type Text = Stack<64>;

/// A date in days since 1970.
#[inline]
pub fn date_text(days: i64, out: &mut BytesMut) -> Result<()> {
    let mut text = Text::new();
    let before_christ = push_date(checked_date(days)?, &mut text);
    push_era(before_christ, &mut text);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[inline]
pub fn date_binary(days: i64, out: &mut BytesMut) -> Result<()> {
    out.put_i32((checked_date(days)? - EPOCH_DAYS) as i32);
    Ok(())
}

/// A time of day in microseconds.
#[inline]
pub fn time_text(micros: i64, out: &mut BytesMut) -> Result<()> {
    let mut text = Text::new();
    push_clock(checked_time(micros)?, &mut text);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[inline]
pub fn time_binary(micros: i64, out: &mut BytesMut) -> Result<()> {
    out.put_i64(checked_time(micros)?);
    Ok(())
}

/// A moment in microseconds since 1970; with a zone it is an instant and shown there, without one a clock reading.
#[inline]
pub fn timestamp_text(micros: i64, zone: Option<&TimeZone>, style: Style, out: &mut BytesMut) -> Result<()> {
    since_2000(micros)?;
    let offset = zone.map(|zone| zone.offset_seconds(micros));
    // near the ends of 64 bits a shift would overflow, so the offset moves the clock, not the instant
    let (days, clock) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    let clock = clock + i64::from(offset.unwrap_or(0)) * MICROS_PER_SECOND;
    let mut text = Text::new();
    let before_christ = push_date(days + clock.div_euclid(MICROS_PER_DAY), &mut text);
    text.push(if style == Style::Iso { b' ' } else { b'T' });
    push_clock(clock.rem_euclid(MICROS_PER_DAY), &mut text);
    if let Some(offset) = offset {
        push_offset(offset, style, &mut text);
    }
    push_era(before_christ, &mut text);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[inline]
pub fn timestamp_binary(micros: i64, out: &mut BytesMut) -> Result<()> {
    out.put_i64(since_2000(micros)?);
    Ok(())
}

/// An interval as PostgreSQL's `interval` keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

impl Interval {
    pub fn binary(self, out: &mut BytesMut) {
        out.put_i64(self.micros);
        out.put_i32(self.days);
        out.put_i32(self.months);
    }

    /// `IntervalStyle = postgres`: `1 year 2 mons -3 days +04:05:06`.
    pub fn text(self, out: &mut BytesMut) {
        let mut text = Stack::<96>::new();
        let mut after_negative = false;
        for (value, unit) in
            [(self.months / 12, &b" year"[..]), (self.months % 12, &b" mon"[..]), (self.days, &b" day"[..])]
        {
            if value == 0 {
                continue;
            }
            push_gap(&mut text);
            match (value < 0, after_negative) {
                (true, _) => text.push(b'-'),
                (false, true) => text.push(b'+'),
                (false, false) => (),
            }
            text.unsigned(u64::from(value.unsigned_abs()));
            text.push_all(unit);
            if value != 1 {
                text.push(b's');
            }
            after_negative = value < 0;
        }
        if self.micros != 0 || text.as_bytes().is_empty() {
            push_gap(&mut text);
            match (self.micros < 0, after_negative) {
                (true, _) => text.push(b'-'),
                (false, true) => text.push(b'+'),
                (false, false) => (),
            }
            push_duration(self.micros.unsigned_abs(), &mut text);
        }
        out.extend_from_slice(text.as_bytes());
    }
}

/// Microseconds in a count of any unit, or `None` when they do not fit.
#[inline]
pub fn micros(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(MICROS_PER_SECOND),
        TimeUnit::Millisecond => value.checked_mul(1000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1000)),
    }
}

/// The refusal of a moment that PostgreSQL's type cannot hold.
#[cold]
pub fn out_of_range(what: &'static str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

#[inline]
fn checked_date(days: i64) -> Result<i64> {
    if (DATE_MIN..=DATE_MAX).contains(&days) { Ok(days) } else { Err(out_of_range("date")) }
}

#[inline]
fn checked_time(micros: i64) -> Result<i64> {
    if (0..=MICROS_PER_DAY).contains(&micros) { Ok(micros) } else { Err(out_of_range("time")) }
}

#[inline]
fn since_2000(micros: i64) -> Result<i64> {
    micros
        .checked_sub(EPOCH_MICROS)
        .filter(|since| (TIMESTAMP_MIN..TIMESTAMP_END).contains(since))
        .ok_or_else(|| out_of_range("timestamp"))
}

/// Year, month and day of a day since 1970 in the proleptic Gregorian calendar, 0 being the year 1 BC.
#[inline]
pub fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u64, day as u64)
}

/// `YYYY-MM-DD`; whether the year is before Christ and needs its suffix.
#[inline]
fn push_date<const N: usize>(days: i64, text: &mut Stack<N>) -> bool {
    let (year, month, day) = civil(days);
    let shown = if year > 0 { year } else { 1 - year } as u64;
    if shown < 10_000 {
        text.two(shown / 100);
        text.two(shown % 100);
    } else {
        text.unsigned(shown);
    }
    text.push(b'-');
    text.two(month);
    text.push(b'-');
    text.two(day);
    year <= 0
}

#[inline]
fn push_era<const N: usize>(before_christ: bool, text: &mut Stack<N>) {
    if before_christ {
        text.push_all(b" BC");
    }
}

/// `HH:MM:SS` of a time within a day, and the fraction without trailing zeros.
#[inline]
fn push_clock<const N: usize>(micros: i64, text: &mut Stack<N>) {
    push_duration(micros as u64, text);
}

/// The same for any length of time: hours take as many digits as they need.
#[inline]
fn push_duration<const N: usize>(micros: u64, text: &mut Stack<N>) {
    let (seconds, fraction) = (micros / MICROS_PER_SECOND as u64, micros % MICROS_PER_SECOND as u64);
    let hours = seconds / 3600;
    if hours < 100 {
        text.two(hours);
    } else {
        text.unsigned(hours);
    }
    text.push(b':');
    text.two(seconds / 60 % 60);
    text.push(b':');
    text.two(seconds % 60);
    if fraction != 0 {
        text.push(b'.');
        text.two(fraction / 10_000);
        text.two(fraction / 100 % 100);
        text.two(fraction % 100);
        text.trim_end(b'0');
    }
}

fn push_offset<const N: usize>(offset: i32, style: Style, text: &mut Stack<N>) {
    text.push(if offset < 0 { b'-' } else { b'+' });
    let seconds = u64::from(offset.unsigned_abs());
    text.two(seconds / 3600);
    if style == Style::Xsd || !seconds.is_multiple_of(3600) {
        text.push(b':');
        text.two(seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        text.push(b':');
        text.two(seconds % 60);
    }
}

fn push_gap<const N: usize>(text: &mut Stack<N>) {
    if !text.as_bytes().is_empty() {
        text.push(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut) -> Result<()>) -> String {
        let mut out = BytesMut::new();
        match write(&mut out) {
            Ok(()) => String::from_utf8(out.to_vec()).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn dates_from_before_christ_to_beyond_four_digits() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-719_162, "0001-01-01"),
            (2_932_897, "10000-01-01"),
            (DATE_MIN, "4714-11-24 BC"),
            (DATE_MAX, "5874897-12-31"),
            (DATE_MIN - 1, "date out of range (22008)"),
            (DATE_MAX + 1, "date out of range (22008)"),
            (19_782, "2024-02-29"),
        ] {
            assert_eq!(text(|out| date_text(days, out)), expected);
        }
    }

    #[test]
    fn timestamps_trim_fractions_and_carry_their_offset() {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        let iso = |micros, zone| text(|out| timestamp_text(micros, zone, Style::Iso, out));
        assert_eq!(iso(1_500_000, None), "1970-01-01 00:00:01.5");
        assert_eq!(iso(-1, None), "1969-12-31 23:59:59.999999");
        assert_eq!(iso(0, Some(&berlin)), "1970-01-01 01:00:00+01");
        assert_eq!(iso(-62_135_600_000_000_000, Some(&berlin)), "0001-01-01 00:00:08+00:53:28");
        assert_eq!(iso(-62_135_600_009_000_000, Some(&berlin)), "0001-12-31 23:59:59+00:53:28 BC");
        assert_eq!(text(|out| timestamp_text(0, Some(&berlin), Style::Xsd, out)), "1970-01-01T01:00:00+01:00");
        assert_eq!(iso(i64::MIN, None), "timestamp out of range (22008)");
        assert!(iso(i64::MAX, Some(&berlin)).starts_with("294247-01-10 "));
    }

    #[test]
    fn times_end_with_the_day() {
        assert_eq!(text(|out| time_text(MICROS_PER_DAY, out)), "24:00:00");
        assert_eq!(text(|out| time_text(MICROS_PER_DAY + 1, out)), "time out of range (22008)");
        assert_eq!(text(|out| time_binary(-1, out)), "time out of range (22008)");
    }

    #[test]
    fn intervals_in_postgresqls_style() {
        for (months, days, micros, expected) in [
            (0, 0, 0, "00:00:00"),
            (14, 3, 14_706_789_000, "1 year 2 mons 3 days 04:05:06.789"),
            (-1, 1, -1, "-1 mons +1 day -00:00:00.000001"),
            (-1, 0, 1, "-1 mons +00:00:00.000001"),
            (0, 0, 360_000_000_000, "100:00:00"),
            (0, -1, 0, "-1 days"),
            (i32::MIN, i32::MIN, i64::MIN, "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808"),
        ] {
            let interval = Interval { months, days, micros };
            assert_eq!(
                text(|out| {
                    interval.text(out);
                    Ok(())
                }),
                expected
            );
        }
    }
}
