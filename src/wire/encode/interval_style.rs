//! Intervals in the styles that are not `postgres`: `postgres_verbose`, `sql_standard` and `iso_8601`.
//!
//! PostgreSQL 15, section 8.5.5 "Interval Output", and `datetime.c`, `EncodeInterval`. Few ask for them, so they are
//! written plainly.

use std::fmt::Write as _;

use bytes::BytesMut;

use super::temporal::Interval;
use crate::settings::date_style::IntervalStyle;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// An interval's parts, each with its own sign.
#[derive(Clone, Copy)]
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    /// Microseconds.
    seconds: i64,
}

impl Parts {
    fn of(interval: Interval) -> Self {
        let seconds = interval.micros / MICROS_PER_SECOND;
        Self {
            years: i64::from(interval.months / 12),
            months: i64::from(interval.months % 12),
            days: i64::from(interval.days),
            hours: seconds / 3600,
            minutes: seconds / 60 % 60,
            seconds: interval.micros % (60 * MICROS_PER_SECOND),
        }
    }

    fn all(self) -> [i64; 6] {
        [self.years, self.months, self.days, self.hours, self.minutes, self.seconds]
    }

    fn has_time(self) -> bool {
        self.hours != 0 || self.minutes != 0 || self.seconds != 0
    }
}

/// Appends an interval in `style`.
pub(super) fn interval(interval: Interval, style: IntervalStyle, out: &mut BytesMut) {
    let text = match style {
        IntervalStyle::Postgres => return interval.text(out),
        IntervalStyle::PostgresVerbose => verbose(Parts::of(interval)),
        IntervalStyle::SqlStandard => standard(Parts::of(interval)),
        IntervalStyle::Iso8601 => iso(Parts::of(interval)),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Seconds without their sign, in two digits where they stand behind minutes, and the fraction that there is.
fn seconds(micros: i64, padded: bool) -> String {
    let (whole, fraction) = (micros.abs() / MICROS_PER_SECOND, micros.abs() % MICROS_PER_SECOND);
    let whole = if padded { format!("{whole:02}") } else { whole.to_string() };
    if fraction == 0 {
        return whole;
    }
    format!("{whole}.{fraction:06}").trim_end_matches('0').to_owned()
}

/// `@ 1 year 2 mons 3 days 4 hours 5 mins 6.789 secs ago`: the first part's sign is that of `ago`.
fn verbose(parts: Parts) -> String {
    let mut text = "@".to_owned();
    let mut ago = None;
    let units = ["year", "mon", "day", "hour", "min"];
    for (value, unit) in parts.all().into_iter().zip(units).filter(|(value, _)| *value != 0) {
        let value = if *ago.get_or_insert(value < 0) { -value } else { value };
        // writing to a string cannot fail
        _ = write!(text, " {value} {unit}{}", if value == 1 { "" } else { "s" });
    }
    if parts.seconds != 0 {
        let negative = parts.seconds < 0;
        let sign = if *ago.get_or_insert(negative) == negative { "" } else { "-" };
        let plural = if parts.seconds.abs() == MICROS_PER_SECOND { "" } else { "s" };
        _ = write!(text, " {sign}{} sec{plural}", seconds(parts.seconds, false));
    }
    match ago {
        None => "@ 0".to_owned(),
        Some(true) => text + " ago",
        Some(false) => text,
    }
}

/// `1-2 3 4:05:06.789`: one sign for all where the standard has a form for it, one for each part elsewhere.
fn standard(parts: Parts) -> String {
    let (negative, positive) = (parts.all().iter().any(|part| *part < 0), parts.all().iter().any(|part| *part > 0));
    let has_months = parts.years != 0 || parts.months != 0;
    let has_days_or_time = parts.days != 0 || parts.has_time();
    if !negative && !positive {
        return "0".to_owned();
    }
    let Parts { years, months, days, hours, minutes, seconds: micros } = parts;
    let (years, months, minutes) = (years.abs(), months.abs(), minutes.abs());
    if (negative && positive) || (has_months && has_days_or_time) {
        let sign = |negative: bool| if negative { '-' } else { '+' };
        let month_sign = sign(parts.years < 0 || parts.months < 0);
        let time_sign = sign(hours < 0 || parts.minutes < 0 || micros < 0);
        return format!(
            "{month_sign}{years}-{months} {}{} {time_sign}{}:{minutes:02}:{}",
            sign(days < 0),
            days.abs(),
            hours.abs(),
            seconds(micros, true)
        );
    }
    let sign = if negative { "-" } else { "" };
    let time = format!("{}:{minutes:02}:{}", hours.abs(), seconds(micros, true));
    if has_months {
        format!("{sign}{years}-{months}")
    } else if days != 0 {
        format!("{sign}{} {time}", days.abs())
    } else {
        format!("{sign}{time}")
    }
}

/// `P1Y2M3DT4H5M6.789S`.
fn iso(parts: Parts) -> String {
    if parts.all().iter().all(|part| *part == 0) {
        return "PT0S".to_owned();
    }
    let mut text = "P".to_owned();
    for (value, unit) in [(parts.years, 'Y'), (parts.months, 'M'), (parts.days, 'D')] {
        put(value, unit, &mut text);
    }
    if parts.has_time() {
        text.push('T');
    }
    put(parts.hours, 'H', &mut text);
    put(parts.minutes, 'M', &mut text);
    if parts.seconds != 0 {
        let sign = if parts.seconds < 0 { "-" } else { "" };
        _ = write!(text, "{sign}{}S", seconds(parts.seconds, false));
    }
    text
}

/// A part with its unit, unless it is zero.
fn put(value: i64, unit: char, text: &mut String) {
    if value != 0 {
        // writing to a string cannot fail
        _ = write!(text, "{value}{unit}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL 15 writes.
    #[test]
    fn the_other_styles() {
        let day_time = |days, micros| Interval { months: 0, days, micros };
        for (value, expected) in [
            (day_time(0, 0), ["@ 0", "0", "PT0S"]),
            (
                Interval { months: 14, days: 3, micros: 14_706_789_000 },
                ["@ 1 year 2 mons 3 days 4 hours 5 mins 6.789 secs", "+1-2 +3 +4:05:06.789", "P1Y2M3DT4H5M6.789S"],
            ),
            (
                Interval { months: -1, days: 1, micros: -1 },
                ["@ 1 mon -1 days 0.000001 secs ago", "-0-1 +1 -0:00:00.000001", "P-1M1DT-0.000001S"],
            ),
            (Interval { months: 13, days: 0, micros: 0 }, ["@ 1 year 1 mon", "1-1", "P1Y1M"]),
            (day_time(-3, -14_706_000_000), ["@ 3 days 4 hours 5 mins 6 secs ago", "-3 4:05:06", "P-3DT-4H-5M-6S"]),
            (day_time(1, 0), ["@ 1 day", "1 0:00:00", "P1D"]),
            (day_time(0, 360_001_000_000), ["@ 100 hours 1 sec", "100:00:01", "PT100H1S"]),
            (Interval { months: -12, days: 0, micros: 0 }, ["@ 1 year ago", "-1-0", "P-1Y"]),
            (Interval { months: 1, days: 0, micros: -1_000_000 }, ["@ 1 mon -1 sec", "+0-1 +0 -0:00:01", "P1MT-1S"]),
            (day_time(0, -500_000), ["@ 0.5 secs ago", "-0:00:00.5", "PT-0.5S"]),
        ] {
            let styles = [IntervalStyle::PostgresVerbose, IntervalStyle::SqlStandard, IntervalStyle::Iso8601];
            let written = styles.map(|style| {
                let mut out = BytesMut::new();
                interval(value, style, &mut out);
                String::from_utf8(out.to_vec()).unwrap()
            });
            assert_eq!(written, expected, "{value:?}");
        }
    }
}
