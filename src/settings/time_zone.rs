//! The session's time zone: which texts name one, how it is shown, and its offset at an instant.
//!
//! It owns the rules of PostgreSQL's `SET TimeZone` (documentation, "Time Zones", and appendix B.5, "POSIX Time Zone
//! Specifications"). It refuses to know how a timestamp is written.

use chrono::{DateTime, Datelike, FixedOffset, Offset, TimeZone as _};
use chrono_tz::{OffsetName as _, TZ_VARIANTS, Tz};

/// A bare number of hours may not leave this range in either direction (PostgreSQL's limit, in hours).
const OFFSET_HOURS_MAX: i32 = 167;
/// chrono holds offsets of less than a day.
const OFFSET_SECONDS_MAX: i32 = 86_399;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// The compiled zone rules end before this year; later instants repeat the last 28 years (the Gregorian cycle of
/// weekdays and leap years), as PostgreSQL repeats the last rule.
const RULES_END_YEAR: i64 = 2100;
const CALENDAR_CYCLE_YEARS: i64 = 28;
/// Before PostgreSQL's first timestamp and within chrono's calendar, in seconds since 1970.
const CALENDAR_MIN_SECONDS: i64 = -1_000_000_000_000;
/// 2100-01-01 00:00:00 UTC in seconds since 1970.
const RULES_END_SECONDS: i64 = 4_102_444_800;

/// A zone that the setting `TimeZone` accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeZone {
    /// A zone of the IANA database.
    Named(Tz),
    /// A constant offset, positive east of Greenwich.
    Fixed(FixedOffset),
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

impl TimeZone {
    /// The zone that a server has when nobody chose one.
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// Reads the value of `SET TimeZone`, in PostgreSQL's order: a bare number is hours east of Greenwich, then an IANA
    /// name in any case, then a POSIX specification without a daylight rule, whose sign counts hours west.
    ///
    /// So `+02` is two hours east and `+02:00` two hours west, as in PostgreSQL. `None` if it names no zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match hours(text) {
            Some(hours) if hours.abs() > f64::from(OFFSET_HOURS_MAX) => None,
            Some(hours) => fixed((hours * 3600.0) as i32),
            None => named(text).or_else(|| posix(text)),
        }
    }

    /// Reads a zone inside a timestamp's text: an IANA name, or `±HH[:MM[:SS]]` and `±HHMM` east of Greenwich.
    #[must_use]
    pub fn parse_in_timestamp(text: &str) -> Option<Self> {
        match text.as_bytes().first()? {
            b'+' | b'-' => iso_offset(text),
            _ => named(text),
        }
    }

    /// The name that `SHOW TimeZone` prints.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Named(zone) => zone.name().to_owned(),
            Self::Fixed(offset) => {
                let east = offset.local_minus_utc();
                let (sign, west) = if east < 0 { ('-', '+') } else { ('+', '-') };
                let (hours, minutes, seconds) = (east.abs() / 3600, east.abs() / 60 % 60, east.abs() % 60);
                let clock = match (minutes, seconds) {
                    (0, 0) => format!("{hours:02}"),
                    (_, 0) => format!("{hours:02}:{minutes:02}"),
                    _ => format!("{hours:02}:{minutes:02}:{seconds:02}"),
                };
                format!("<{sign}{clock}>{west}{clock}")
            }
        }
    }

    /// Seconds east of Greenwich at an instant, given in microseconds since 1970-01-01 00:00:00 UTC.
    #[must_use]
    #[inline]
    pub fn offset_seconds(&self, utc_micros: i64) -> i32 {
        match self {
            Self::Named(Tz::UTC) => 0,
            Self::Fixed(offset) => offset.local_minus_utc(),
            Self::Named(zone) => named_offset(*zone, utc_micros.div_euclid(MICROS_PER_SECOND)),
        }
    }

    /// The abbreviation in use at an instant, such as `CEST`; of a zone without one, its offset.
    #[must_use]
    pub fn abbreviation(&self, utc_micros: i64) -> String {
        let instant = DateTime::from_timestamp(utc_micros.div_euclid(MICROS_PER_SECOND), 0);
        match (self, instant) {
            (Self::Named(zone), Some(instant)) => {
                let offset = zone.offset_from_utc_datetime(&instant.naive_utc());
                offset.abbreviation().map_or_else(|| offset.fix().to_string(), str::to_owned)
            }
            _ => self.name().split('>').next().unwrap_or_default().trim_start_matches('<').to_owned(),
        }
    }

    /// The instant of a local clock reading, both in microseconds since 1970-01-01 00:00:00.
    ///
    /// A reading that a spring change skips takes the offset before the change; one that an autumn change repeats takes
    /// standard time, the later instant, as PostgreSQL does. `None` when the instant does not fit.
    #[must_use]
    pub fn instant(&self, local_micros: i64) -> Option<i64> {
        let at = |offset: i32| local_micros.checked_sub(i64::from(offset) * MICROS_PER_SECOND);
        if matches!(self, Self::Fixed(_)) {
            return at(self.offset_seconds(0));
        }
        // a day on either side is further away than any offset reaches, so both see the rules around the reading
        let before = self.offset_seconds(local_micros.saturating_sub(MICROS_PER_DAY));
        let after = self.offset_seconds(local_micros.saturating_add(MICROS_PER_DAY));
        let holds = |offset: i32| at(offset).is_some_and(|instant| self.offset_seconds(instant) == offset);
        match (holds(before), holds(after)) {
            (_, true) => at(after),
            _ => at(before),
        }
    }
}

/// The number that the whole text is, if it is one.
fn hours(text: &str) -> Option<f64> {
    let number = text.trim_start();
    let sound = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if number.bytes().all(sound) { number.parse().ok() } else { None }
}

fn fixed(seconds_east: i32) -> Option<TimeZone> {
    if seconds_east.abs() > OFFSET_SECONDS_MAX {
        return None;
    }
    FixedOffset::east_opt(seconds_east).map(TimeZone::Fixed)
}

fn named(text: &str) -> Option<TimeZone> {
    if text.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text)).map(|zone| TimeZone::Named(*zone))
}

/// `<name>offset` or `nameoffset`, the offset positive west of Greenwich.
fn posix(text: &str) -> Option<TimeZone> {
    let rest = match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?.1,
        None => text.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()),
    };
    let signed = if rest.starts_with(['+', '-']) { rest.to_owned() } else { format!("+{rest}") };
    let TimeZone::Fixed(west) = iso_offset(&signed)? else { return None };
    fixed(-west.local_minus_utc())
}

/// `±H[H][:MM[:SS]]` or `±HHMM`, positive east.
fn iso_offset(text: &str) -> Option<TimeZone> {
    let (sign, clock) = match text.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let part = |digits: &str, max: i32| -> Option<i32> {
        let sound = matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|value| sound && *value <= max)
    };
    let parts: Vec<&str> = match clock.split(':').collect::<Vec<_>>()[..] {
        [digits] if digits.is_ascii() && digits.len() > 2 => {
            let (hours, minutes) = digits.split_at(digits.len() - 2);
            vec![hours, minutes]
        }
        ref parts => parts.to_vec(),
    };
    let seconds = match parts[..] {
        [hours] => part(hours, 24)? * 3600,
        [hours, minutes] => part(hours, 24)? * 3600 + part(minutes, 59)? * 60,
        [hours, minutes, seconds] => part(hours, 24)? * 3600 + part(minutes, 59)? * 60 + part(seconds, 59)?,
        _ => return None,
    };
    fixed(sign * seconds)
}

fn named_offset(zone: Tz, utc_seconds: i64) -> i32 {
    let seconds =
        if utc_seconds < RULES_END_SECONDS { utc_seconds.max(CALENDAR_MIN_SECONDS) } else { within_rules(utc_seconds) };
    DateTime::from_timestamp(seconds, 0)
        .map_or(0, |instant| zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc())
}

/// The same moment of a year with the same calendar, among the last 28 years that the compiled rules know.
fn within_rules(utc_seconds: i64) -> i64 {
    const SECONDS_PER_400_YEARS: i64 = 146_097 * 86_400;
    let folded = RULES_END_SECONDS + (utc_seconds - RULES_END_SECONDS).rem_euclid(SECONDS_PER_400_YEARS);
    let Some(instant) = DateTime::from_timestamp(folded, 0) else { return utc_seconds };
    let year = i64::from(instant.year());
    let same_calendar = |candidate: i64| {
        let first = |year: i64| chrono::NaiveDate::from_ymd_opt(year as i32, 1, 1);
        first(candidate)
            .zip(first(year))
            .is_some_and(|(a, b)| a.weekday() == b.weekday() && a.leap_year() == b.leap_year())
    };
    let twin = (RULES_END_YEAR - CALENDAR_CYCLE_YEARS..RULES_END_YEAR).find(|candidate| same_calendar(*candidate));
    twin.and_then(|twin| instant.with_year(twin as i32)).map_or(utc_seconds, |twin| twin.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        TimeZone::parse(text).map(|zone| zone.name())
    }

    #[test]
    fn names_are_read_in_any_case_and_shown_as_iana_writes_them() {
        for (text, name) in
            [("utc", "UTC"), ("UTC", "UTC"), ("gmt", "GMT"), ("europe/berlin", "Europe/Berlin"), ("est", "EST")]
        {
            assert_eq!(shown(text).as_deref(), Some(name), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_hours_east_and_a_posix_offset_is_west() {
        for (text, name, offset) in [
            ("+02", "<+02>-02", 7200),
            ("-3.5", "<-03:30>+03:30", -12600),
            ("0", "<+00>-00", 0),
            ("+02:00", "<-02>+02", -7200),
            ("-03:30", "<+03:30>-03:30", 12600),
            ("FOO+3", "<-03>+03", -10800),
            ("<+02>-02", "<+02>-02", 7200),
        ] {
            let zone = TimeZone::parse(text).unwrap();
            assert_eq!((zone.name().as_str(), zone.offset_seconds(0)), (name, offset), "{text}");
        }
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for text in ["", "Z", "Mars/Olympus", "+168", "1e9", "<+02", "+2:99", "é+1", "+é1"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_follow_the_rules_before_and_after_the_compiled_years() {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        let at = |text: &str| {
            let utc: chrono::NaiveDateTime = text.parse().unwrap();
            berlin.offset_seconds(utc.and_utc().timestamp_micros())
        };
        assert_eq!(at("2024-07-01T00:00:00"), 7200);
        assert_eq!(at("2024-01-01T00:00:00"), 3600);
        assert_eq!(at("1800-01-01T00:00:00"), 3208);
        assert_eq!(at("2500-07-01T00:00:00"), 7200);
        assert_eq!(at("2500-12-01T00:00:00"), 3600);
        assert_eq!(berlin.offset_seconds(i64::MAX) % 3600, 0);
        assert_eq!(berlin.offset_seconds(i64::MIN), 3208);
    }

    #[test]
    fn a_local_reading_becomes_an_instant_as_in_postgresql() {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        let micros = |text: &str| text.parse::<chrono::NaiveDateTime>().unwrap().and_utc().timestamp_micros();
        for (local, utc) in [
            ("2024-07-01T12:00:00", "2024-07-01T10:00:00"),
            ("2024-03-31T02:30:00", "2024-03-31T01:30:00"),
            ("2024-10-27T02:30:00", "2024-10-27T01:30:00"),
        ] {
            assert_eq!(berlin.instant(micros(local)), Some(micros(utc)), "{local}");
        }
    }
}
