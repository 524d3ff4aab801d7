//! Dates, times and timestamps as PostgreSQL reads them under `DateStyle = ISO, MDY`.
//!
//! It owns the order of fields, month names, eras, zones and the special words (documentation, appendix B, "Date/Time
//! Input Interpretation"). Infinite dates have no Arrow form and are refused. It refuses to know Arrow.

use chrono::{Datelike as _, NaiveDate};

use super::trim;
use crate::error::{Error, Result, SqlState};
use crate::settings::time_zone::TimeZone;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i64 = 10_957;
/// The Julian day number of 1970-01-01.
const JULIAN_EPOCH: i64 = 2_440_588;
/// From 4714-11-24 BC to 5874897-12-31, in days since 1970 (`IS_VALID_DATE`).
const DATE_MIN: i64 = -2_440_588;
const DATE_MAX: i64 = 2_145_042_905;
/// The longest text that is looked at, in bytes (PostgreSQL's `MAXDATELEN`).
const TEXT_BYTES_MAX: usize = 128;
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// Abbreviations of PostgreSQL's default set that are no IANA names, in minutes east.
const ABBREVIATIONS: [(&str, i32); 20] = [
    ("z", 0),
    ("zulu", 0),
    ("gmt", 0),
    ("utc", 0),
    ("bst", 60),
    ("cet", 60),
    ("cest", 120),
    ("eet", 120),
    ("eest", 180),
    ("wet", 0),
    ("west", 60),
    ("msk", 180),
    ("est", -300),
    ("edt", -240),
    ("cst", -360),
    ("cdt", -300),
    ("mst", -420),
    ("mdt", -360),
    ("pst", -480),
    ("pdt", -420),
];

/// The zone of an abbreviation that is no IANA name.
pub fn abbreviation(name: &str) -> Option<TimeZone> {
    let (_, minutes) = ABBREVIATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    chrono::FixedOffset::east_opt(minutes * 60).map(TimeZone::Fixed)
}

/// `date_in`, in days since 1970.
pub fn date(text: &str, zone: TimeZone) -> Result<i32> {
    let fields = Fields::read(text, "date", zone)?;
    let days = fields.days.ok_or_else(|| invalid("date", text))?;
    let days = i32::try_from(days).ok().filter(|days| (DATE_MIN..=DATE_MAX).contains(&i64::from(*days)));
    days.ok_or_else(|| out_of_range("date", text))
}

/// `time_in`, in microseconds since midnight.
pub fn time(text: &str, zone: TimeZone) -> Result<i64> {
    let fields = Fields::read(text, "time", zone)?;
    fields.micros.ok_or_else(|| invalid("time", text))
}

/// `timestamp_in`, in microseconds since 1970; a zone in the text is read and ignored.
pub fn timestamp(text: &str, zone: TimeZone) -> Result<i64> {
    let fields = Fields::read(text, "timestamp", zone)?;
    fields.local(text, "timestamp")
}

/// `timestamptz_in`, in microseconds since 1970 UTC; without a zone in the text the session's counts.
pub fn timestamptz(text: &str, zone: TimeZone) -> Result<i64> {
    let what = "timestamp with time zone";
    let fields = Fields::read(text, what, zone)?;
    let local = fields.local(text, what)?;
    let instant = fields.zone.unwrap_or(zone).instant(local);
    instant.filter(|instant| *instant >= DATE_MIN * MICROS_PER_DAY).ok_or_else(|| out_of_range("timestamp", text))
}

/// `date_recv`: days since 2000.
pub fn date_since_2000(days: i32) -> Result<i32> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Err(infinite("date"));
    }
    let days = i64::from(days) + EPOCH_DAYS;
    let days = i32::try_from(days).ok().filter(|_| (DATE_MIN..=DATE_MAX).contains(&days));
    days.ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range"))
}

/// `timestamp_recv`: microseconds since 2000.
pub fn timestamp_since_2000(micros: i64) -> Result<i64> {
    if matches!(micros, i64::MIN | i64::MAX) {
        return Err(infinite("timestamp"));
    }
    let since_1970 = micros.checked_add(EPOCH_DAYS * MICROS_PER_DAY);
    since_1970
        .filter(|micros| *micros >= DATE_MIN * MICROS_PER_DAY)
        .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))
}

/// `time_recv`: microseconds since midnight.
pub fn time_of_day(micros: i64) -> Result<i64> {
    if (0..=MICROS_PER_DAY).contains(&micros) {
        return Ok(micros);
    }
    Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "time out of range"))
}

/// What a text says, its fields already checked against each other.
struct Fields {
    days: Option<i64>,
    micros: Option<i64>,
    zone: Option<TimeZone>,
}

impl Fields {
    fn read(text: &str, what: &'static str, zone: TimeZone) -> Result<Self> {
        let mut reader = Reader::new(text, what)?;
        reader.read(zone)?;
        reader.finish()
    }

    fn local(&self, text: &str, what: &'static str) -> Result<i64> {
        let days = self.days.ok_or_else(|| invalid(what, text))?;
        days.checked_mul(MICROS_PER_DAY)
            .and_then(|micros| micros.checked_add(self.micros.unwrap_or(0)))
            .filter(|micros| *micros >= DATE_MIN * MICROS_PER_DAY)
            .ok_or_else(|| out_of_range("timestamp", text))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Am,
    Pm,
}

struct Reader<'a> {
    text: &'a str,
    what: &'static str,
    rest: String,
    /// Year, month, day as they are known so far.
    year: Option<(i64, usize)>,
    month: Option<i64>,
    day: Option<i64>,
    /// A date that is given as a whole: a Julian day or a special word.
    days: Option<i64>,
    hour: Option<i64>,
    /// Minutes, seconds and fraction.
    micros: i64,
    half: Option<Half>,
    before_christ: bool,
    era: bool,
    zone: Option<TimeZone>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, what: &'static str) -> Result<Self> {
        if text.len() > TEXT_BYTES_MAX || !text.is_ascii() {
            return Err(invalid(what, text));
        }
        Ok(Self {
            text,
            what,
            rest: trim(text).to_owned(),
            year: None,
            month: None,
            day: None,
            days: None,
            hour: None,
            micros: 0,
            half: None,
            before_christ: false,
            era: false,
            zone: None,
        })
    }

    fn read(&mut self, session: TimeZone) -> Result<()> {
        if self.rest.is_empty() {
            return Err(self.invalid());
        }
        while let Some(first) = self.rest.bytes().next() {
            match first {
                b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c' | b',' => {
                    self.rest.remove(0);
                }
                b'0'..=b'9' => self.digits()?,
                b'+' | b'-' => self.offset()?,
                b'a'..=b'z' | b'A'..=b'Z' => self.word(session)?,
                _ => return Err(self.invalid()),
            }
        }
        Ok(())
    }

    /// A clock reading, a date with separators, or a number alone.
    fn digits(&mut self) -> Result<()> {
        let run = self.run(|byte| byte.is_ascii_digit());
        match self.rest.as_bytes() {
            [b':', ..] => self.clock(&run),
            [b'-' | b'/', next, ..] if !self.has_date() && next.is_ascii_alphanumeric() => self.separated(&run),
            // a single point belongs to seconds
            [b'.', next, ..] if !self.has_date() && next.is_ascii_digit() && self.rest.matches('.').count() > 1 => {
                self.separated(&run)
            }
            _ => self.number(&run),
        }
    }

    fn clock(&mut self, hour: &str) -> Result<()> {
        if self.hour.is_some() {
            return Err(self.invalid());
        }
        self.rest.remove(0);
        let minute = self.run(|byte| byte.is_ascii_digit());
        let (mut second, mut fraction) = (String::new(), 0);
        if self.rest.starts_with(':') {
            self.rest.remove(0);
            second = self.run(|byte| byte.is_ascii_digit());
            if second.is_empty() {
                return Err(self.invalid());
            }
            fraction = self.fraction()?;
        }
        if minute.is_empty() {
            return Err(self.invalid());
        }
        let second = if second.is_empty() { "0" } else { &second };
        let (hour, minute, second) = (self.parse(hour)?, self.parse(&minute)?, self.parse(second)?);
        self.set_time(hour, minute, second, fraction)
    }

    fn set_time(&mut self, hour: i64, minute: i64, second: i64, fraction: i64) -> Result<()> {
        if hour > 24 || minute > 59 || second > 60 {
            return Err(self.field_out_of_range());
        }
        self.hour = Some(hour);
        self.micros = (minute * 60 + second) * MICROS_PER_SECOND + fraction;
        Ok(())
    }

    /// `.123456` behind seconds, rounded to microseconds.
    fn fraction(&mut self) -> Result<i64> {
        if !self.rest.starts_with('.') {
            return Ok(0);
        }
        self.rest.remove(0);
        let digits = self.run(|byte| byte.is_ascii_digit());
        let seconds: f64 = format!("0.{digits}0").parse().map_err(|_| self.invalid())?;
        Ok((seconds * 1e6).round_ties_even() as i64)
    }

    /// Three fields between equal separators: `Y-M-D`, `M/D/Y`, `D-Mon-Y`, `Y-Mon-D`.
    fn separated(&mut self, first: &str) -> Result<()> {
        let separator = self.rest.remove(0);
        let second = self.run(|byte| byte.is_ascii_alphanumeric());
        let mut third = String::new();
        if self.rest.starts_with(separator) {
            self.rest.remove(0);
            third = self.run(|byte| byte.is_ascii_digit());
        }
        if third.is_empty() {
            return Err(self.invalid());
        }
        let number = |digits: &str| digits.parse::<i64>().map_err(|_| self.invalid());
        if let Some(month) = month(&second) {
            let (year, day) = if first.len() > 2 { (first, third.as_str()) } else { (third.as_str(), first) };
            let (year_number, day) = (number(year)?, number(day)?);
            (self.year, self.month, self.day) = (Some((year_number, year.len())), Some(month), Some(day));
            return Ok(());
        }
        let fields = if first.len() > 2 { [first, &second, &third] } else { [&third, first, &second] };
        let [year, month, day] = [number(fields[0])?, number(fields[1])?, number(fields[2])?];
        (self.year, self.month, self.day) = (Some((year, fields[0].len())), Some(month), Some(day));
        Ok(())
    }

    /// A number alone: a run of date or time digits, or the day or year beside a month's name.
    fn number(&mut self, digits: &str) -> Result<()> {
        let part = |range: std::ops::Range<usize>| digits[range].parse::<i64>().map_err(|_| self.invalid());
        if self.month.is_some() && self.days.is_none() && (self.day.is_none() || self.year.is_none()) {
            let value = self.parse(digits)?;
            if self.day.is_none() && digits.len() <= 2 {
                self.day = Some(value);
            } else if self.year.is_none() {
                self.year = Some((value, digits.len()));
            } else {
                return Err(self.invalid());
            }
            return Ok(());
        }
        if !self.has_date() && self.year.is_none() {
            let next_is_month = self.rest.trim_start().get(..3).is_some_and(|word| month(word).is_some());
            match digits.len() {
                8 => {
                    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
                    (self.year, self.month, self.day) = (Some((year, 4)), Some(month), Some(day));
                }
                6 if self.what != "time" => {
                    let (year, month, day) = (part(0..2)?, part(2..4)?, part(4..6)?);
                    (self.year, self.month, self.day) = (Some((year, 2)), Some(month), Some(day));
                }
                1 | 2 if next_is_month => self.day = Some(self.parse(digits)?),
                4 if next_is_month => self.year = Some((self.parse(digits)?, 4)),
                4 | 6 if self.what == "time" => self.compact_time(digits)?,
                _ => return Err(self.invalid()),
            }
            return Ok(());
        }
        if self.hour.is_none() {
            return self.compact_time(digits);
        }
        Err(self.invalid())
    }

    /// `HHMMSS[.f]` or `HHMM`.
    fn compact_time(&mut self, digits: &str) -> Result<()> {
        let part = |range: std::ops::Range<usize>| digits[range].parse::<i64>().map_err(|_| self.invalid());
        let (hour, minute, second) = match digits.len() {
            6 => (part(0..2)?, part(2..4)?, part(4..6)?),
            4 => (part(0..2)?, part(2..4)?, 0),
            _ => return Err(self.invalid()),
        };
        let fraction = self.fraction()?;
        self.set_time(hour, minute, second, fraction)
    }

    fn offset(&mut self) -> Result<()> {
        let sign = self.rest.remove(0);
        if self.rest.eq_ignore_ascii_case("infinity") {
            return Err(infinite(self.what));
        }
        let clock = self.run(|byte| byte.is_ascii_digit() || byte == b':');
        if self.zone.is_some() || !(self.has_date() || self.hour.is_some()) {
            return Err(self.invalid());
        }
        let zone = TimeZone::parse_in_timestamp(&format!("{sign}{clock}"));
        let whole_hours = clock.split(':').next().and_then(|hours| hours.parse::<u32>().ok());
        self.zone = Some(zone.ok_or_else(|| match whole_hours {
            Some(_) => {
                let message = format!("time zone displacement out of range: \"{}\"", self.text);
                Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
            }
            None => self.invalid(),
        })?);
        Ok(())
    }

    fn word(&mut self, session: TimeZone) -> Result<()> {
        let is_part = |byte: u8| byte.is_ascii_alphabetic();
        let run = self.run(is_part);
        let word = run.to_ascii_lowercase();
        if self.special(&word, session)? {
            return Ok(());
        }
        if word == "t" && self.rest.starts_with(|next: char| next.is_ascii_digit()) {
            return if self.has_date() && self.hour.is_none() { Ok(()) } else { Err(self.invalid()) };
        }
        if word == "j" && !self.has_date() {
            let digits = self.run(|byte| byte.is_ascii_digit());
            self.days = Some(self.parse(&digits)? - JULIAN_EPOCH);
            return Ok(());
        }
        let is_zone_name = self.rest.starts_with(['/', '_']);
        if let Some(month) = month(&word).filter(|_| !is_zone_name && self.month.is_none()) {
            self.month = Some(month);
            return Ok(());
        }
        if !is_zone_name && WEEKDAYS.iter().any(|day| word.len() >= 3 && day.starts_with(&word)) {
            return Ok(());
        }
        match word.as_str() {
            "bc" | "ad" if !self.era => {
                (self.era, self.before_christ) = (true, word == "bc");
                Ok(())
            }
            "am" | "pm" if self.half.is_none() && self.hour.is_some() => {
                self.half = Some(if word == "am" { Half::Am } else { Half::Pm });
                Ok(())
            }
            _ => self.zone_name(run),
        }
    }

    /// `epoch`, `now`, `today` and their like; `false` if the word is none of them.
    fn special(&mut self, word: &str, session: TimeZone) -> Result<bool> {
        let now = || {
            let instant = chrono::Utc::now().timestamp_micros();
            instant + i64::from(session.offset_seconds(instant)) * MICROS_PER_SECOND
        };
        let today = || now().div_euclid(MICROS_PER_DAY);
        let (days, micros, zone) = match word {
            "infinity" => return Err(infinite(self.what)),
            "epoch" => (0, 0, Some(TimeZone::UTC)),
            "now" => (today(), now().rem_euclid(MICROS_PER_DAY), None),
            "today" => (today(), 0, None),
            "tomorrow" => (today() + 1, 0, None),
            "yesterday" => (today() - 1, 0, None),
            "allballs" => {
                self.set_time(0, 0, 0, 0)?;
                self.zone = Some(TimeZone::UTC);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        if self.has_date() {
            return Err(self.invalid());
        }
        self.days = Some(days);
        if word == "now" {
            self.set_time(micros / (3600 * MICROS_PER_SECOND), 0, 0, micros % (3600 * MICROS_PER_SECOND))?;
        }
        self.zone = self.zone.or(zone);
        Ok(true)
    }

    fn zone_name(&mut self, mut name: String) -> Result<()> {
        if self.zone.is_some() || !(self.has_date() || self.hour.is_some()) {
            return Err(self.invalid());
        }
        let abbreviation = name.to_ascii_lowercase();
        let known = ABBREVIATIONS.iter().find(|(known, _)| *known == abbreviation);
        if let Some((_, minutes)) = known.filter(|_| !self.rest.starts_with(['/', '_'])) {
            self.zone = chrono::FixedOffset::east_opt(minutes * 60).map(TimeZone::Fixed);
            return Ok(());
        }
        name.push_str(&self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'+' | b'-')));
        match TimeZone::parse_in_timestamp(&name) {
            Some(zone) => {
                self.zone = Some(zone);
                Ok(())
            }
            None if name.contains('/') => {
                let message = format!("time zone \"{}\" not recognized", name.to_ascii_lowercase());
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
            }
            None => Err(self.invalid()),
        }
    }

    fn finish(self) -> Result<Fields> {
        let days = match (self.days, self.year, self.month, self.day) {
            (Some(days), None, None, None) => Some(days),
            (None, None, None, None) => None,
            (None, Some((year, written)), Some(month), Some(day)) => Some(self.civil(year, written, month, day)?),
            _ => return Err(self.invalid()),
        };
        if self.era && self.year.is_none() {
            return Err(self.invalid());
        }
        let micros = match (self.hour, self.half) {
            (None, _) => None,
            (Some(hour), Some(_)) if hour > 12 => return Err(self.field_out_of_range()),
            (Some(12), Some(Half::Am)) => Some(self.micros),
            (Some(hour), Some(Half::Pm)) if hour < 12 => Some((hour + 12) * 3600 * MICROS_PER_SECOND + self.micros),
            (Some(hour), _) => Some(hour * 3600 * MICROS_PER_SECOND + self.micros),
        };
        if micros.is_some_and(|micros| micros > MICROS_PER_DAY) {
            return Err(self.field_out_of_range());
        }
        Ok(Fields { days, micros, zone: self.zone })
    }

    fn civil(&self, year: i64, written: usize, month: i64, day: i64) -> Result<i64> {
        let year = match (year, self.before_christ) {
            (0, _) if written > 2 => return Err(self.field_out_of_range()),
            (year, true) => 1 - year,
            (year @ 0..70, false) if written <= 2 => year + 2000,
            (year @ 70..100, false) if written <= 2 => year + 1900,
            (year, false) => year,
        };
        // PostgreSQL's years reach further than chrono's, so the calendar's 400-year cycle carries the rest
        let cycles = year.div_euclid(400);
        let within = NaiveDate::from_ymd_opt(year.rem_euclid(400) as i32 + 2000, month as u32, day as u32)
            .filter(|_| (1..=12).contains(&month) && (1..=31).contains(&day) && year.abs() < 100_000_000)
            .ok_or_else(|| self.field_out_of_range())?;
        let unix = i64::from(within.num_days_from_ce()) - 719_163;
        Ok(unix + (cycles - 5) * 146_097)
    }

    fn has_date(&self) -> bool {
        self.days.is_some() || (self.month.is_some() && self.day.is_some() && self.year.is_some())
    }

    /// Takes the leading bytes that belong together.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let len = self.rest.bytes().position(|byte| !belongs(byte)).unwrap_or(self.rest.len());
        self.rest.drain(..len).collect()
    }

    fn parse(&self, digits: &str) -> Result<i64> {
        digits.parse::<i32>().map(i64::from).map_err(|_| self.field_out_of_range())
    }

    fn invalid(&self) -> Error {
        invalid(self.what, self.text)
    }

    fn field_out_of_range(&self) -> Error {
        let message = format!("date/time field value out of range: \"{}\"", self.text);
        let error = Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message);
        match (self.month, self.day) {
            (Some(13..), Some(..=31)) => error.hint("Dates are read as ISO 8601, or month, day, year."),
            _ => error,
        }
    }
}

fn month(word: &str) -> Option<i64> {
    let word = word.to_ascii_lowercase();
    let known = |month: &&str| word == **month || word == month[..3] || (word == "sept" && month.starts_with("sept"));
    MONTHS.iter().position(known).map(|position| position as i64 + 1)
}

fn invalid(what: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {what}: \"{text}\""))
}

fn out_of_range(what: &str, text: &str) -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range: \"{text}\""))
}

fn infinite(what: &str) -> Error {
    Error::unsupported(format!("an infinite {what} is not supported")).hint("Leave the bound out, or use a finite one.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> std::result::Result<i64, &'static str> {
        timestamptz(text, TimeZone::parse("Europe/Berlin").unwrap()).map_err(|error| error.sqlstate().code())
    }

    fn days(text: &str) -> std::result::Result<i32, &'static str> {
        date(text, TimeZone::UTC).map_err(|error| error.sqlstate().code())
    }

    #[test]
    fn dates_in_many_spellings() {
        for text in [
            "2024-02-29",
            "20240229",
            "240229",
            "2/29/2024",
            "29 Feb 2024",
            "February 29, 2024",
            "Thu 29 Feb 2024",
            "2024-Feb-29",
            "J2460370",
            "2024-02-29 23:00 PST",
        ] {
            assert_eq!(days(text), Ok(19_782), "{text}");
        }
        assert_eq!(days("epoch"), Ok(0));
        assert_eq!(days("0001-01-01 BC"), Ok(-719_528));
        assert_eq!(days("5874897-12-31"), Ok(DATE_MAX as i32));
    }

    #[test]
    fn dates_that_are_none() {
        for (text, code) in [
            ("", "22007"),
            ("x", "22007"),
            ("10:00", "22007"),
            ("2024-13-01", "22008"),
            ("2023-02-29", "22008"),
            ("0000-01-01", "22008"),
            ("5874898-01-01", "22008"),
            ("99999999999-01-01", "22008"),
            ("infinity", "0A000"),
            ("-infinity", "0A000"),
            ("2024-02-29 2024-02-29", "22007"),
            ("２０２４", "22007"),
        ] {
            assert_eq!(days(text), Err(code), "{text}");
        }
    }

    #[test]
    fn timestamps_take_their_own_zone_or_the_sessions() {
        for (text, expected) in [
            ("1970-01-01 00:00:00+00", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01 01:00:00", 0),
            ("1970-01-01 12:00 AM UTC", 0),
            ("1970-01-01 02:00:00.5+0200", 500_000),
            ("1970-01-01 00:00:00 America/New_York", 18_000_000_000),
            ("19700101T010000", 0),
            ("1970-01-01 00:59:60", 0),
        ] {
            assert_eq!(micros(text), Ok(expected), "{text}");
        }
        assert_eq!(micros("1970-01-01 00:00 Mars/Olympus"), Err("22023"));
        assert_eq!(micros("1970-01-01 25:00"), Err("22008"));
        assert_eq!(micros("294276-12-31 00:00"), Err("22008"), "PostgreSQL's last 29 years do not fit since 1970");
        assert_eq!(micros("1970-01-01 13:00 PM"), Err("22008"));
    }

    #[test]
    fn times_end_with_the_day() {
        let read = |text| time(text, TimeZone::UTC).map_err(|error| error.sqlstate().code());
        assert_eq!(read("24:00"), Ok(MICROS_PER_DAY));
        assert_eq!(read("040506.7"), Ok(14_706_700_000));
        assert_eq!(read("04:05 pm"), Ok(57_900_000_000));
        assert_eq!(read("24:00:01"), Err("22008"));
        assert_eq!(read("2024-01-01"), Err("22007"));
    }

    #[test]
    fn binary_moments_are_checked() {
        assert_eq!(date_since_2000(0), Ok(10_957));
        assert_eq!(timestamp_since_2000(0), Ok(946_684_800_000_000));
        for error in [date_since_2000(i32::MAX).map(i64::from), timestamp_since_2000(i64::MIN)] {
            assert_eq!(error.unwrap_err().sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
        }
        assert!(date_since_2000(i32::MIN + 1).is_err());
        assert!(timestamp_since_2000(i64::MAX - 1).is_err());
        assert!(time_of_day(-1).is_err());
    }
}
