//! A moment as people write it: `2026-05-01`, `2026-05-01 12:00`, `2026-05-01T12:00:00.5+02`, `2026-05-01 12:00 Europe/Berlin`.
//!
//! ISO forms alone; what has no zone is read in the session's (PostgreSQL, 8.5.1.3 "Time Stamps").

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::time_zone::TimeZone;

/// Reads a moment; `None` when the text names none.
#[must_use]
pub fn parse(text: &str, session: &TimeZone) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let rest = match rest.strip_prefix(['T', 't', ' ']) {
        Some(rest) => rest.trim_start(),
        None if rest.is_empty() => "",
        None => return None,
    };
    let clock_end = rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(clock_end);
    let time = match clock {
        "" => NaiveTime::MIN,
        clock => time(clock)?,
    };
    let zone = match zone.trim_start() {
        "" => *session,
        "Z" | "z" => TimeZone::UTC,
        zone => TimeZone::parse_in_timestamp(zone)?,
    };
    let local = date.and_time(time).and_utc().timestamp_micros();
    zone.instant(local).and_then(DateTime::from_timestamp_micros)
}

/// `12:00`, `12:00:30`, `12:00:30.123456`; PostgreSQL rounds what is finer than a microsecond, here it is cut.
fn time(text: &str) -> Option<NaiveTime> {
    let format = match text.matches(':').count() {
        1 => "%H:%M",
        2 => "%H:%M:%S%.f",
        _ => return None,
    };
    NaiveTime::parse_from_str(text, format).ok()
}

/// As `SHOW` prints it: in UTC, and so that [`parse`] reads the same moment again in any session.
#[must_use]
pub fn show(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M:%S%.6f").to_string().trim_end_matches('0').trim_end_matches('.').to_owned() + "+00"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_their_forms() {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2026-05-01", "2026-04-30 22:00:00+00"),
            ("2026-05-01 12:00", "2026-05-01 10:00:00+00"),
            ("2026-05-01T12:00:30", "2026-05-01 10:00:30+00"),
            ("2026-05-01 12:00:30.25", "2026-05-01 10:00:30.25+00"),
            ("2026-05-01 12:00:30.1234567", "2026-05-01 10:00:30.123456+00"),
            ("2026-05-01 12:00Z", "2026-05-01 12:00:00+00"),
            ("2026-05-01 12:00+02", "2026-05-01 10:00:00+00"),
            ("2026-05-01 12:00:00 -05:30", "2026-05-01 17:30:00+00"),
            ("2026-05-01 12:00 Asia/Tokyo", "2026-05-01 03:00:00+00"),
            (" 2026-12-01 12:00 ", "2026-12-01 11:00:00+00"),
        ] {
            assert_eq!(parse(text, &berlin).map(show).as_deref(), Some(expected), "{text}");
            assert_eq!(parse(expected, &berlin).map(show).as_deref(), Some(expected), "what is shown is read again");
        }
        assert_eq!(parse("2026-05-10 20:00:10", &TimeZone::UTC).map(show).as_deref(), Some("2026-05-10 20:00:10+00"));
        for bad in [
            "",
            "now",
            "2026-13-01",
            "2026-02-30",
            "2026-05-01x",
            "2026-05-01 25:00",
            "2026-05-01 12",
            "2026-05-01 12:00 Mars/Base",
            "2026-5-1",
        ] {
            assert_eq!(parse(bad, &berlin), None, "{bad}");
        }
    }
}
