//! `to_date` and `to_timestamp` (`formatting.c`, `DCH_from_char` and `do_to_timestamp`): texts in templates.
//!
//! It owns what each field of a template reads and how the fields make a moment. Templates are read in `template`.

use super::datetime::{JULIAN_EPOCH, days_in_month, days_of, instant, iso_year_start, out_of_range};
use super::interval::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::show_time::{DAYS, MONTHS, ROMAN_MONTHS};
use super::template::{Field, Part, parse};
use crate::error::{Error, Result, SqlState};
use crate::settings::time_zone::TimeZone;

/// What the fields of a text said.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    week_of_year: Option<i64>,
    week_of_month: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    julian: Option<i64>,
    century: Option<i64>,
    before_christ: bool,
    hour: i64,
    twelve_hours: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    seconds_of_day: Option<i64>,
    zone_seconds: Option<i64>,
    zone_negative: bool,
}

struct Reader<'t> {
    rest: &'t str,
    read: Read,
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
}

/// `to_date`, in days since 1970.
pub fn date(text: &str, template: &str) -> Result<i32> {
    let read = Reader::read(text, template)?;
    super::datetime::checked_date(read.days(text)?)
}

/// `to_timestamp`, an instant.
pub fn timestamp(text: &str, template: &str, zone: TimeZone) -> Result<i64> {
    let read = Reader::read(text, template)?;
    let days = read.days(text)?;
    let time = read.time(text)?;
    let local = days.checked_mul(MICROS_PER_DAY).and_then(|micros| micros.checked_add(time));
    let local = local.ok_or_else(|| out_of_range("timestamp"))?;
    match read.zone_seconds {
        Some(seconds) => Ok(local - seconds * MICROS_PER_SECOND),
        None => instant(local, zone),
    }
}

impl<'t> Reader<'t> {
    fn read(text: &'t str, template: &str) -> Result<Read> {
        let mut reader = Reader { rest: text, read: Read::default() };
        let parts = parse(template);
        // blanks and separators of the text that the template has not asked for yet
        let mut skipped = 0_i64;
        let exact = parts.contains(&Part::Exact);
        for (number, part) in parts.iter().enumerate() {
            if reader.rest.is_empty() {
                break;
            }
            if !exact {
                while reader.rest.starts_with(|letter: char| letter.is_ascii_whitespace()) {
                    reader.rest = &reader.rest[1..];
                    skipped += 1;
                }
            }
            match part {
                Part::Exact => {}
                Part::Space(_) | Part::Separator(_) => {
                    skipped -= 1;
                    let next = reader.rest.chars().next();
                    let is_separator =
                        next.is_some_and(|letter| letter.is_ascii_whitespace() || letter.is_ascii_punctuation());
                    if is_separator || exact {
                        reader.skip();
                        skipped += i64::from(!exact);
                    }
                }
                Part::Letter(_) => {
                    if skipped > 0 {
                        skipped -= 1;
                    } else {
                        reader.skip();
                    }
                }
                Part::Field { field, name, fill, ordinal, .. } => {
                    // a number ends where its field does, unless something else than a digit follows
                    let open = *fill
                        || match parts.get(number + 1) {
                            None | Some(Part::Space(_) | Part::Separator(_)) => true,
                            Some(Part::Letter(letter)) => !letter.is_ascii_digit(),
                            Some(Part::Exact) => false,
                            Some(Part::Field { field, .. }) => !is_digits(*field),
                        };
                    reader.field(*field, name, open || ordinal.is_some())?;
                    if ordinal.is_some() {
                        reader.skip();
                        reader.skip();
                    }
                    skipped = 0;
                }
            }
        }
        Ok(reader.read)
    }

    fn skip(&mut self) {
        let mut letters = self.rest.chars();
        letters.next();
        self.rest = letters.as_str();
    }

    /// `from_char_parse_int_len`.
    fn number(&mut self, name: &str, width: usize, open: bool) -> Result<i64> {
        let signed = self.rest.strip_prefix(['-', '+']).map_or(0, |_| 1);
        let available = self.rest[signed..].bytes().take_while(u8::is_ascii_digit).count();
        let length = if open { available + signed } else { width };
        if !open && self.rest.chars().count() < width {
            return Err(invalid(format!("source string too short for \"{name}\" formatting field"))
                .detail(format!("Field requires {width} characters, but only {} remain.", self.rest.chars().count())));
        }
        let digits = self.rest.get(..length.min(available + signed)).unwrap_or_default();
        let wrong = |shown: &str| invalid(format!("invalid value \"{shown}\" for \"{name}\""));
        if available == 0 {
            let shown: String = self.rest.chars().take(width.max(1)).collect();
            return Err(wrong(&shown).detail("Value must be an integer."));
        }
        if !open && digits.len() < width {
            let shown: String = self.rest.chars().take(width).collect();
            return Err(wrong(&shown)
                .detail(format!("Field requires {width} characters, but only {} could be parsed.", digits.len())));
        }
        let value = digits.parse().map_err(|_| {
            let error = Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("value for \"{name}\" in source string is out of range"),
            );
            error.detail("Value must be in the range -2147483648 to 2147483647.")
        })?;
        self.rest = &self.rest[digits.len()..];
        Ok(value)
    }

    /// The position among names of which one must stand here, in any case; `short` letters of each are enough.
    fn name(&mut self, field: &str, names: &[&str], short: Option<usize>) -> Result<i64> {
        for (position, name) in names.iter().enumerate() {
            let name = short.map_or(*name, |short| &name[..short]);
            if self.rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
                self.rest = &self.rest[name.len()..];
                return Ok(position as i64);
            }
        }
        let shown: String = self.rest.chars().take_while(|letter| !letter.is_ascii_whitespace()).collect();
        Err(invalid(format!("invalid value \"{shown}\" for \"{field}\""))
            .detail("The given value did not match any of the allowed values for this field."))
    }

    /// Digits after the point of a second.
    fn fraction(&mut self, name: &str, width: usize, open: bool) -> Result<i64> {
        let before = self.rest;
        let value = self.number(name, width, open)?;
        let digits = (before.len() - self.rest.len()) as u32;
        if digits > 6 {
            return Ok(value / 10_i64.pow(digits - 6));
        }
        Ok(value * 10_i64.pow(6 - digits))
    }

    fn field(&mut self, field: Field, name: &str, open: bool) -> Result<()> {
        match field {
            Field::Year(digits) => {
                let before = self.rest;
                let value = self.number(name, digits.into(), open)?;
                let written = before.len() - self.rest.len();
                self.read.year = Some(if digits < 4 && written < 4 { near_2020(value, written) } else { value });
            }
            Field::YearWithComma => {
                let (thousands, behind) = self
                    .rest
                    .split_once(',')
                    .ok_or_else(|| invalid("invalid input string for \"Y,YYY\"".to_owned()))?;
                let thousands: i64 =
                    thousands.parse().map_err(|_| invalid("invalid input string for \"Y,YYY\"".to_owned()))?;
                self.rest = behind;
                self.read.year = Some(thousands * 1000 + self.number(name, 3, false)?);
            }
            Field::IsoYear(digits) => {
                let before = self.rest;
                let value = self.number(name, digits.into(), open)?;
                let written = before.len() - self.rest.len();
                self.read.iso_year = Some(if digits < 4 && written < 4 { near_2020(value, written) } else { value });
            }
            Field::Month => self.read.month = Some(self.number(name, 2, open)?),
            Field::MonthName => self.read.month = Some(self.name(name, &MONTHS, None)? + 1),
            Field::MonthShort => self.read.month = Some(self.name(name, &MONTHS, Some(3))? + 1),
            Field::RomanMonth => {
                // XII before XI before X
                let mut longest: Vec<&str> = ROMAN_MONTHS.to_vec();
                longest.sort_by_key(|roman| std::cmp::Reverse(roman.len()));
                let position = self.name(name, &longest, None)?;
                let found = longest[position as usize];
                self.read.month = ROMAN_MONTHS.iter().position(|roman| *roman == found).map(|at| at as i64 + 1);
            }
            Field::DayName => _ = self.name(name, &DAYS, None)?,
            Field::DayShort => _ = self.name(name, &DAYS, Some(3))?,
            Field::DayOfMonth => self.read.day = Some(self.number(name, 2, open)?),
            Field::DayOfYear => self.read.day_of_year = Some(self.number(name, 3, open)?),
            Field::DayOfWeek | Field::Quarter => _ = self.number(name, 1, open)?,
            Field::IsoDayOfWeek => self.read.iso_day = Some(self.number(name, 1, open)?),
            Field::IsoWeek => self.read.iso_week = Some(self.number(name, 2, open)?),
            Field::WeekOfYear => self.read.week_of_year = Some(self.number(name, 2, open)?),
            Field::WeekOfMonth => self.read.week_of_month = Some(self.number(name, 1, open)?),
            Field::Century => self.read.century = Some(self.number(name, 2, open)?),
            Field::Julian => self.read.julian = Some(self.number(name, 7, true)?),
            Field::Hour24 => self.read.hour = self.number(name, 2, open)?,
            Field::Hour12 => {
                self.read.hour = self.number(name, 2, open)?;
                self.read.twelve_hours = true;
            }
            Field::Minute => self.read.minute = self.number(name, 2, open)?,
            Field::Second => self.read.second = self.number(name, 2, open)?,
            Field::SecondsOfDay => self.read.seconds_of_day = Some(self.number(name, 5, true)?),
            Field::Millisecond => self.read.micros += self.fraction(name, 3, open)?,
            Field::Microsecond => self.read.micros += self.fraction(name, 6, open)?,
            Field::Fraction(digits) => self.read.micros += self.fraction(name, digits.into(), open)?,
            Field::Half { dotted } => {
                let halves: [&str; 2] = if dotted { ["A.M.", "P.M."] } else { ["AM", "PM"] };
                self.read.afternoon = Some(self.name(name, &halves, None)? == 1);
                self.read.twelve_hours = true;
            }
            Field::Era { dotted } => {
                let eras: [&str; 2] = if dotted { ["A.D.", "B.C."] } else { ["AD", "BC"] };
                self.read.before_christ = self.name(name, &eras, None)? == 1;
            }
            Field::ZoneHour => {
                self.read.zone_negative = self.rest.starts_with('-');
                self.rest = self.rest.strip_prefix(['+', '-']).unwrap_or(self.rest);
                let sign = if self.read.zone_negative { -1 } else { 1 };
                self.read.zone_seconds = Some(sign * self.number(name, 2, open)? * 3600);
            }
            Field::ZoneMinute => {
                let sign = if self.read.zone_negative { -1 } else { 1 };
                let minutes = self.number(name, 2, open)?;
                self.read.zone_seconds = Some(self.read.zone_seconds.unwrap_or(0) + sign * minutes * 60);
            }
            Field::Zone | Field::Offset | Field::DayOfIsoYear => {
                return Err(Error::unsupported(format!("formatting field \"{name}\" is only supported in to_char")));
            }
        }
        Ok(())
    }
}

/// Whether a field is written in digits, so that a number before it must end where its own field does.
fn is_digits(field: Field) -> bool {
    !matches!(
        field,
        Field::Era { .. }
            | Field::Half { .. }
            | Field::DayName
            | Field::DayShort
            | Field::MonthName
            | Field::MonthShort
            | Field::RomanMonth
            | Field::Zone
            | Field::ZoneHour
            | Field::Offset
    )
}

/// `adjust_partial_year_to_2020`.
fn near_2020(year: i64, digits: usize) -> i64 {
    match digits {
        1 | 2 if year < 70 => year + 2000,
        1 | 2 => year + 1900,
        3 if year < 520 => year + 2000,
        3 => year + 1000,
        _ => year,
    }
}

impl Read {
    fn refuse(text: &str) -> Error {
        Error::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
    }

    fn days(&self, text: &str) -> Result<i64> {
        if let Some(julian) = self.julian {
            return Ok(julian - JULIAN_EPOCH);
        }
        if let Some(year) = self.iso_year {
            let week = self.iso_week.unwrap_or(1);
            if !(1..=53).contains(&week) {
                return Err(Self::refuse(text));
            }
            return Ok(iso_year_start(year) + (week - 1) * 7 + self.iso_day.unwrap_or(1) - 1);
        }
        let mut year = match (self.year, self.century) {
            (Some(year), Some(century)) if year < 100 => (century - 1) * 100 + year,
            (Some(year), _) => year,
            (None, Some(century)) => (century - 1) * 100 + 1,
            (None, None) => 0,
        };
        if self.before_christ {
            year = 1 - year;
        } else if year < 0 {
            year += 1;
        }
        // without a year it is 1 BC
        let day_of_year = self.day_of_year.or_else(|| self.week_of_year.map(|week| (week - 1) * 7 + 1));
        if let (Some(day), None) = (day_of_year, self.month) {
            let length = 365 + days_in_month(year, 2) - 28;
            if !(1..=length).contains(&day) {
                return Err(Self::refuse(text));
            }
            return Ok(days_of(year, 1, 1) + day - 1);
        }
        let month = self.month.unwrap_or(1);
        let day = self.day.or_else(|| self.week_of_month.map(|week| (week - 1) * 7 + 1)).unwrap_or(1);
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return Err(Self::refuse(text));
        }
        Ok(days_of(year, month, day))
    }

    /// Microseconds since midnight.
    fn time(&self, text: &str) -> Result<i64> {
        let (mut hour, mut minute, mut second) = (self.hour, self.minute, self.second);
        if let Some(seconds) = self.seconds_of_day {
            (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        } else if self.twelve_hours {
            if !(1..=12).contains(&hour) {
                return Err(invalid(format!("hour \"{hour}\" is invalid for the 12-hour clock"))
                    .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            match self.afternoon {
                Some(true) if hour < 12 => hour += 12,
                Some(false) if hour == 12 => hour = 0,
                _ => {}
            }
        }
        let inside = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        let midnight = hour == 24 && minute == 0 && second == 0 && self.micros == 0;
        if !inside && !midnight {
            return Err(Self::refuse(text));
        }
        Ok(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND + self.micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pgtype::show::temporal::civil;

    fn read(text: &str, template: &str) -> String {
        match timestamp(text, template, TimeZone::UTC) {
            Ok(at) => {
                let (year, month, day) = civil(at.div_euclid(MICROS_PER_DAY));
                let time = at.rem_euclid(MICROS_PER_DAY);
                format!("{year:04}-{month:02}-{day:02} {:.6}", time as f64 / 1e6)
            }
            Err(error) => error.sqlstate().code().to_owned(),
        }
    }

    #[test]
    fn templates_read_what_they_write() {
        for (text, template, expected) in [
            ("2026-11-21", "YYYY-MM-DD", "2026-11-21 0.000000"),
            ("20261121", "YYYYMMDD", "2026-11-21 0.000000"),
            ("21 Nov 2026", "DD Mon YYYY", "2026-11-21 0.000000"),
            ("05 Dec 2000", "DD Month YYYY", "22007"),
            ("2026-11-21 13:14:15.678", "YYYY-MM-DD HH24:MI:SS.MS", "2026-11-21 47655.678000"),
            ("01:30 PM", "HH12:MI PM", "0000-01-01 48600.000000"),
            ("26-1-2", "YY-MM-DD", "2026-01-02 0.000000"),
            ("2026-13-01", "YYYY-MM-DD", "22008"),
            ("2026 325", "YYYY DDD", "2026-11-21 0.000000"),
            ("2026-47-6", "IYYY-IW-ID", "2026-11-21 0.000000"),
            ("2026-11-21 10:00+02", "YYYY-MM-DD HH24:MITZH", "2026-11-21 28800.000000"),
        ] {
            assert_eq!(read(text, template), expected, "{text} in {template}");
        }
    }
}
