//! When a grant ends: a timestamp, or an interval from now on.
//!
//! Timestamps without a zone are in the session's (PostgreSQL 15, section 8.5, "Date/Time Types").

use chrono::{DateTime, Days, Months, SubsecRound, TimeDelta, Utc};
use datafusion::arrow::array::types::IntervalMonthDayNano;
use datafusion::arrow::compute::kernels::cast_utils::{
    IntervalParseConfig, IntervalUnit, parse_interval_month_day_nano_config,
};
use datafusion::common::ScalarValue;

use crate::error::{Error, Result, SqlState};
use crate::settings::moment;
use crate::settings::time_zone::TimeZone;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Reads a text, for example `2027-01-31 12:00:00+01` or `30 days`.
///
/// # Errors
/// `22007` when it is neither, `22008` when it does not fit, `22023` when it is not in the future.
pub fn of_text(text: &str, now: DateTime<Utc>, zone: TimeZone) -> Result<DateTime<Utc>> {
    let text = text.trim();
    if let Some(instant) = moment::parse(text, &zone) {
        return in_future(instant, now);
    }
    // a bare number is seconds, as in PostgreSQL
    let interval = parse_interval_month_day_nano_config(text, IntervalParseConfig::new(IntervalUnit::Second));
    let Ok(interval) = interval else {
        let message = format!("invalid input syntax for type timestamp with time zone or interval: \"{text}\"");
        return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
            .hint("Write for example '2027-01-31 12:00:00+01' or '30 days'."));
    };
    in_future(after(now, interval)?, now)
}

/// Reads a value of any type that says when; NULL is never.
///
/// # Errors
/// As of a text; `22023` for values of other types.
pub fn of_value(value: &ScalarValue, now: DateTime<Utc>, zone: TimeZone) -> Result<Option<DateTime<Utc>>> {
    if value.is_null() {
        return Ok(None);
    }
    if let Some(Some(text)) = value.try_as_str() {
        return of_text(text, now, zone).map(Some);
    }
    let (micros, is_local) = match value {
        ScalarValue::TimestampSecond(Some(seconds), own) => (seconds.checked_mul(1_000_000), own.is_none()),
        ScalarValue::TimestampMillisecond(Some(millis), own) => (millis.checked_mul(1_000), own.is_none()),
        ScalarValue::TimestampMicrosecond(Some(micros), own) => (Some(*micros), own.is_none()),
        ScalarValue::TimestampNanosecond(Some(nanos), own) => (Some(nanos.div_euclid(1_000)), own.is_none()),
        ScalarValue::Date32(Some(days)) => (i64::from(*days).checked_mul(MICROS_PER_DAY), true),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => return in_future(after(now, *interval)?, now).map(Some),
        _ => {
            let message = "expires takes a timestamp or an interval";
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
    };
    let micros = if is_local { micros.and_then(|local| zone.instant(local)) } else { micros };
    let instant = micros.and_then(DateTime::from_timestamp_micros).ok_or_else(out_of_range)?;
    in_future(instant, now).map(Some)
}

/// To the microsecond, as it is stored.
fn in_future(instant: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let instant = instant.trunc_subsecs(6);
    if instant > now {
        return Ok(instant);
    }
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "expires must lie in the future")
        .detail(format!("It says {}.", moment::show(instant)))
        .hint("REVOKE takes access away at once."))
}

fn after(now: DateTime<Utc>, interval: IntervalMonthDayNano) -> Result<DateTime<Utc>> {
    let months = Months::new(interval.months.unsigned_abs());
    let days = Days::new(u64::from(interval.days.unsigned_abs()));
    let moved = if interval.months < 0 { now.checked_sub_months(months) } else { now.checked_add_months(months) };
    let moved = moved
        .and_then(|time| if interval.days < 0 { time.checked_sub_days(days) } else { time.checked_add_days(days) });
    moved
        .and_then(|time| time.checked_add_signed(TimeDelta::nanoseconds(interval.nanoseconds)))
        .ok_or_else(out_of_range)
}

fn out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").unwrap().to_utc()
    }

    fn read(text: &str, zone: &str) -> String {
        match of_text(text, noon(), TimeZone::parse(zone).unwrap()) {
            Ok(end) => end.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
            Err(error) => error.sqlstate().code().to_owned(),
        }
    }

    #[test]
    fn timestamps_and_intervals_in_texts() {
        for (text, expected) in [
            ("2027-01-31", "2027-01-31 00:00:00"),
            (" 2027-01-31 12:30:00 ", "2027-01-31 12:30:00"),
            ("2027-01-31 12:30", "2027-01-31 12:30:00"),
            ("2027-01-31T12:30:00.5Z", "2027-01-31 12:30:00.500"),
            ("2027-01-31 12:30 Asia/Tokyo", "2027-01-31 03:30:00"),
            ("2027-01-31 12:30:00+02", "2027-01-31 10:30:00"),
            ("2027-01-31 12:30:00+02:00", "2027-01-31 10:30:00"),
            ("2027-01-31 12:30:00.123456789", "2027-01-31 12:30:00.123456"),
            ("30 days", "2026-12-21 12:00:00"),
            ("1 month 2 days 3 hours", "2026-12-23 15:00:00"),
            ("90 seconds", "2026-11-21 12:01:30"),
            ("1.5 seconds", "2026-11-21 12:00:01.500"),
            ("90", "2026-11-21 12:01:30"),
            ("2026-11-21 12:00:00", "22023"),
            ("2026-11-21 12:00:00.000001", "2026-11-21 12:00:00.000001"),
            ("2020-01-01", "22023"),
            ("-1 day", "22023"),
            ("0 days", "22023"),
            ("soon", "22007"),
            ("", "22007"),
            ("2027-02-31", "22007"),
            ("9999999 years", "22008"),
        ] {
            assert_eq!(read(text, "UTC"), expected, "{text}");
        }
        assert_eq!(read("2027-01-31 12:30:00", "Europe/Berlin"), "2027-01-31 11:30:00");
        assert_eq!(read("2027-07-31", "Europe/Berlin"), "2027-07-30 22:00:00");
        assert_eq!(read("2027-01-31 12:30:00", "-3"), "2027-01-31 15:30:00");
    }

    #[test]
    fn values_of_other_types() {
        let zone = TimeZone::parse("Europe/Berlin").unwrap();
        let read = |value: ScalarValue| of_value(&value, noon(), zone);
        let in_an_hour = (noon() + TimeDelta::hours(1)).timestamp_micros();
        let utc = Some("UTC".into());
        assert_eq!(read(ScalarValue::Null).unwrap(), None);
        assert_eq!(read(ScalarValue::Utf8(None)).unwrap(), None);
        let found = read(ScalarValue::TimestampMicrosecond(Some(in_an_hour), utc.clone())).unwrap().unwrap();
        assert_eq!(found, noon() + TimeDelta::hours(1));
        let local = read(ScalarValue::TimestampMicrosecond(Some(in_an_hour + 3_600_000_000), None)).unwrap().unwrap();
        assert_eq!(local, noon() + TimeDelta::hours(1), "Berlin is an hour ahead");
        let interval = IntervalMonthDayNano::new(0, 1, 0);
        let found = read(ScalarValue::IntervalMonthDayNano(Some(interval))).unwrap().unwrap();
        assert_eq!(found, noon() + TimeDelta::days(1));
        assert!(read(ScalarValue::Date32(Some(30_000))).unwrap().is_some());
        let code = |value| read(value).unwrap_err().sqlstate();
        assert_eq!(code(ScalarValue::TimestampNanosecond(Some(0), utc.clone())), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(code(ScalarValue::TimestampSecond(Some(i64::MAX), utc)), SqlState::DATETIME_FIELD_OVERFLOW);
        assert_eq!(code(ScalarValue::Int64(Some(7))), SqlState::INVALID_PARAMETER_VALUE);
        let back = IntervalMonthDayNano::new(-1, 0, 0);
        assert_eq!(code(ScalarValue::IntervalMonthDayNano(Some(back))), SqlState::INVALID_PARAMETER_VALUE);
    }
}
