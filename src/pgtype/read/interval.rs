//! Intervals as PostgreSQL reads them.
//!
//! It owns the verbose (`1 year 2 days ago`), SQL (`1-2 3 04:05:06`) and ISO 8601 (`P1Y2DT3H`) forms (`datetime.c`,
//! `DecodeInterval`, `DecodeISO8601Interval`). It refuses to know Arrow.

use crate::error::{Error, Result, SqlState};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
const DAYS_PER_MONTH: f64 = 30.0;

/// What a unit counts: months, days or microseconds, and how many. The last field marks units that may appear once.
#[derive(Clone, Copy)]
enum Unit {
    Months(i64, u32),
    Days(i64, u32),
    Micros(i64, u32),
}

/// Reads an interval into months, days and microseconds.
///
/// Errors: `22007` for a text that is none, `22008` for a field that does not fit.
pub fn parse(text: &str) -> Result<(i32, i32, i64)> {
    let mut sum = Sum { text, months: 0, days: 0, micros: 0, seen: 0 };
    let lower = super::trim(text).to_ascii_lowercase();
    match lower.strip_prefix('p') {
        Some(designators) => sum.iso(designators)?,
        None => sum.verbose(&lower)?,
    }
    let field = |value: i64| i32::try_from(value).map_err(|_| sum.out_of_range());
    Ok((field(sum.months)?, field(sum.days)?, sum.micros))
}

struct Sum<'a> {
    text: &'a str,
    months: i64,
    days: i64,
    micros: i64,
    seen: u32,
}

/// A number with its sign, whole part and fraction, the fraction signed like the whole.
#[derive(Clone, Copy)]
struct Number {
    whole: i64,
    fraction: f64,
}

impl Sum<'_> {
    fn verbose(&mut self, lower: &str) -> Result<()> {
        let mut rest = lower.trim_start_matches('@').trim_start();
        let mut ago = false;
        if rest.is_empty() {
            return Err(self.invalid());
        }
        while !rest.is_empty() {
            if ago {
                return Err(self.invalid());
            }
            if let Some(end) = rest.strip_prefix("ago") {
                if !end.is_empty() || self.seen == 0 {
                    return Err(self.invalid());
                }
                ago = true;
                rest = end;
                continue;
            }
            rest = self.field(rest)?.trim_start();
        }
        if ago {
            let negated = self.months.checked_neg().zip(self.days.checked_neg()).zip(self.micros.checked_neg());
            let ((months, days), micros) = negated.ok_or_else(|| self.out_of_range())?;
            (self.months, self.days, self.micros) = (months, days, micros);
        }
        Ok(())
    }

    /// One field of the verbose or SQL form; returns what follows it.
    fn field<'t>(&mut self, text: &'t str) -> Result<&'t str> {
        let number_len =
            text.find(|letter: char| !matches!(letter, '0'..='9' | '+' | '-' | '.' | ':')).unwrap_or(text.len());
        let (word, rest) = text.split_at(number_len);
        if word.contains(':') {
            self.clock(word)?;
            return Ok(rest);
        }
        let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
        if let Some((years, months)) = unsigned.split_once('-') {
            self.years_and_months(word.starts_with('-'), years, months)?;
            return Ok(rest);
        }
        let number = number(word).ok_or_else(|| self.invalid())?;
        let after = rest.trim_start();
        let unit_len = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after_unit) = after.split_at(unit_len);
        if name.is_empty() || name == "ago" {
            // a number before a clock reading counts days, one at the end seconds
            let is_days = after.contains(':');
            let unit = if is_days { Unit::Days(1, DAY) } else { Unit::Micros(MICROS_PER_SECOND, SECOND) };
            if !(is_days || after.is_empty() || name == "ago") {
                return Err(self.invalid());
            }
            self.add(number, unit)?;
            return Ok(after);
        }
        self.add(number, unit(name).ok_or_else(|| self.invalid())?)?;
        Ok(after_unit)
    }

    /// `[-]H:M[:S[.f]]`, or `M:S.f`.
    fn clock(&mut self, word: &str) -> Result<()> {
        self.mark(HOUR | MINUTE | SECOND)?;
        let negative = word.starts_with('-');
        let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
        let parts: Vec<&str> = unsigned.split(':').collect();
        let (hours, minutes, seconds) = match parts[..] {
            [minutes, seconds] if seconds.contains('.') => ("0", minutes, seconds),
            [hours, minutes] => (hours, minutes, "0"),
            [hours, minutes, seconds] => (hours, minutes, seconds),
            _ => return Err(self.invalid()),
        };
        let whole = |part: &str| {
            let sound = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if sound { part.parse::<i64>().map_err(|_| self.out_of_range()) } else { Err(self.invalid()) }
        };
        let seconds = number(seconds).filter(|_| !seconds.starts_with(['+', '-'])).ok_or_else(|| self.invalid())?;
        let (hours, minutes) = (whole(hours)?, whole(minutes)?);
        if minutes > 59 || seconds.whole > 60 {
            return Err(self.out_of_range());
        }
        let micros = (hours.checked_mul(3600))
            .and_then(|sum| sum.checked_add(minutes * 60 + seconds.whole))
            .and_then(|sum| sum.checked_mul(MICROS_PER_SECOND))
            .and_then(|sum| sum.checked_add((seconds.fraction * 1e6).round_ties_even() as i64))
            .ok_or_else(|| self.out_of_range())?;
        self.add_micros(if negative { -micros } else { micros })
    }

    fn years_and_months(&mut self, negative: bool, years: &str, months: &str) -> Result<()> {
        self.mark(YEAR | MONTH)?;
        let part = |digits: &str| {
            let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if sound { digits.parse::<i64>().map_err(|_| self.out_of_range()) } else { Err(self.invalid()) }
        };
        let (years, months) = (part(years)?, part(months)?);
        if months > 11 {
            return Err(self.out_of_range());
        }
        let sum = years.checked_mul(12).and_then(|sum| sum.checked_add(months)).ok_or_else(|| self.out_of_range())?;
        self.months = self.months.checked_add(if negative { -sum } else { sum }).ok_or_else(|| self.out_of_range())?;
        Ok(())
    }

    /// ISO 8601 after its `p`: with designators, or `YYYY-MM-DDThh:mm:ss`.
    fn iso(&mut self, designators: &str) -> Result<()> {
        let (date, time) = match designators.split_once('t') {
            Some((date, time)) => (date, Some(time)),
            None => (designators, None),
        };
        if designators.is_empty() {
            return Err(self.invalid());
        }
        if !date.is_empty() && !date.contains(|letter: char| letter.is_ascii_alphabetic()) {
            self.iso_alternative_date(date)?;
        } else {
            self.designated(date, |letter| match letter {
                'y' => Some(Unit::Months(12, YEAR)),
                'm' => Some(Unit::Months(1, MONTH)),
                'w' => Some(Unit::Days(7, WEEK)),
                'd' => Some(Unit::Days(1, DAY)),
                _ => None,
            })?;
        }
        match time {
            None => Ok(()),
            Some(clock) if clock.contains(':') => self.clock(clock),
            Some(clock) => self.designated(clock, |letter| match letter {
                'h' => Some(Unit::Micros(3600 * MICROS_PER_SECOND, HOUR)),
                'm' => Some(Unit::Micros(60 * MICROS_PER_SECOND, MINUTE)),
                's' => Some(Unit::Micros(MICROS_PER_SECOND, SECOND)),
                _ => None,
            }),
        }
    }

    fn designated(&mut self, mut text: &str, unit: impl Fn(char) -> Option<Unit>) -> Result<()> {
        while !text.is_empty() {
            let end = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(|| self.invalid())?;
            let (digits, rest) = text.split_at(end);
            let (letter, rest) = rest.split_at(1);
            let unit = letter.chars().next().and_then(&unit).ok_or_else(|| self.invalid())?;
            self.add(number(digits).ok_or_else(|| self.invalid())?, unit)?;
            text = rest;
        }
        Ok(())
    }

    fn iso_alternative_date(&mut self, date: &str) -> Result<()> {
        let parts: Vec<&str> = date.split('-').collect();
        let [years, months, days] = parts[..] else { return Err(self.invalid()) };
        let units = [Unit::Months(12, YEAR), Unit::Months(1, MONTH), Unit::Days(1, DAY)];
        for (part, unit) in [years, months, days].into_iter().zip(units) {
            self.add(number(part).ok_or_else(|| self.invalid())?, unit)?;
        }
        Ok(())
    }

    /// Adds a count of a unit; a fraction goes to the next smaller units as PostgreSQL spreads it.
    fn add(&mut self, number: Number, unit: Unit) -> Result<()> {
        let scaled = |each: i64| number.whole.checked_mul(each);
        match unit {
            Unit::Months(each, bit) => {
                self.mark(bit)?;
                let months = scaled(each).and_then(|months| self.months.checked_add(months));
                self.months = months.ok_or_else(|| self.out_of_range())?;
                if each == 1 {
                    self.add_days(number.fraction * DAYS_PER_MONTH)
                } else {
                    let fraction = (number.fraction * each as f64).round_ties_even() as i64;
                    self.months = self.months.checked_add(fraction).ok_or_else(|| self.out_of_range())?;
                    Ok(())
                }
            }
            Unit::Days(each, bit) => {
                self.mark(bit)?;
                let days = scaled(each).and_then(|days| self.days.checked_add(days));
                self.days = days.ok_or_else(|| self.out_of_range())?;
                self.add_days(number.fraction * each as f64)
            }
            Unit::Micros(each, bit) => {
                self.mark(bit)?;
                let exact = number.fraction * each as f64;
                let fraction = if bit == SECOND { exact.round_ties_even() as i64 } else { half_towards_zero(exact) };
                let micros = scaled(each).and_then(|micros| micros.checked_add(fraction));
                let micros = micros.ok_or_else(|| self.out_of_range())?;
                self.add_micros(micros)
            }
        }
    }

    /// Adds days with a fraction, which becomes microseconds.
    fn add_days(&mut self, days: f64) -> Result<()> {
        self.days = self.days.checked_add(days.trunc() as i64).ok_or_else(|| self.out_of_range())?;
        self.add_micros(half_towards_zero(days.fract() * MICROS_PER_DAY as f64))
    }

    fn add_micros(&mut self, micros: i64) -> Result<()> {
        self.micros = self.micros.checked_add(micros).ok_or_else(|| self.out_of_range())?;
        Ok(())
    }

    fn mark(&mut self, bits: u32) -> Result<()> {
        if self.seen & bits != 0 {
            return Err(self.invalid());
        }
        self.seen |= bits;
        Ok(())
    }

    fn invalid(&self) -> Error {
        let message = format!("invalid input syntax for type interval: \"{}\"", self.text);
        Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
    }

    fn out_of_range(&self) -> Error {
        let message = format!("interval field value out of range: \"{}\"", self.text);
        Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
    }
}

/// `AdjustFractMicroseconds`: more than half counts up.
fn half_towards_zero(value: f64) -> i64 {
    let rest = value.fract();
    value.trunc() as i64 + i64::from(rest > 0.5) - i64::from(rest < -0.5)
}

fn number(word: &str) -> Option<Number> {
    let negative = word.starts_with('-');
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(whole, part)| (whole, Some(part)));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) || (whole.is_empty() && fraction.is_none_or(str::is_empty)) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
    let fraction = format!("0.{}0", fraction.unwrap_or("")).parse::<f64>().ok()?;
    Some(if negative { Number { whole: -whole, fraction: -fraction } } else { Number { whole, fraction } })
}

const YEAR: u32 = 1;
const MONTH: u32 = 1 << 1;
const WEEK: u32 = 1 << 2;
const DAY: u32 = 1 << 3;
const HOUR: u32 = 1 << 4;
const MINUTE: u32 = 1 << 5;
const SECOND: u32 = 1 << 6;
const MILLISECOND: u32 = 1 << 7;
const MICROSECOND: u32 = 1 << 8;
const DECADE: u32 = 1 << 9;
const CENTURY: u32 = 1 << 10;
const MILLENNIUM: u32 = 1 << 11;

/// `deltatktbl`. PostgreSQL compares only the first ten letters.
fn unit(name: &str) -> Option<Unit> {
    Some(match name {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" | "microsecond" | "microseconds" => {
            Unit::Micros(1, MICROSECOND)
        }
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" | "millisecond" | "milliseconds" => {
            Unit::Micros(1000, MILLISECOND)
        }
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(MICROS_PER_SECOND, SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(60 * MICROS_PER_SECOND, MINUTE),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(3600 * MICROS_PER_SECOND, HOUR),
        "d" | "day" | "days" => Unit::Days(1, DAY),
        "w" | "week" | "weeks" => Unit::Days(7, WEEK),
        "mon" | "mons" | "month" | "months" => Unit::Months(1, MONTH),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12, YEAR),
        "dec" | "decs" | "decade" | "decades" => Unit::Months(120, DECADE),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1200, CENTURY),
        "mil" | "mils" | "millennia" | "millennium" => Unit::Months(12_000, MILLENNIUM),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        const HOUR_MICROS: i64 = 3600 * MICROS_PER_SECOND;
        for (text, expected) in [
            ("1 year 2 mons -3 days 04:05:06.789", (14, -3, 14_706_789_000)),
            ("@ 1 day 2 hours ago", (0, -1, -2 * HOUR_MICROS)),
            ("1-2", (14, 0, 0)),
            ("-1-2 +3 -4:00", (-14, 3, -4 * HOUR_MICROS)),
            ("1.5 days", (0, 1, 12 * HOUR_MICROS)),
            ("1.5 months", (1, 15, 0)),
            ("1.5 years", (18, 0, 0)),
            ("1.5 weeks", (0, 10, 12 * HOUR_MICROS)),
            ("5", (0, 0, 5 * MICROS_PER_SECOND)),
            ("1h30m", (0, 0, HOUR_MICROS * 3 / 2)),
            ("P1Y2M3W4DT5H6M7.5S", (14, 25, 18_367_500_000)),
            ("P0001-02-03T04:05:06", (14, 3, 14_706_000_000)),
            ("PT-1.5S", (0, 0, -1_500_000)),
            ("1:30.5", (0, 0, 90_500_000)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for (text, code) in [
            ("", "22007"),
            ("ago", "22007"),
            ("1 fortnight", "22007"),
            ("1 day 2 days", "22007"),
            ("1 2", "22007"),
            ("P", "22007"),
            ("P1X", "22007"),
            ("1 day ago ago", "22007"),
            ("é", "22007"),
            ("p1é", "22007"),
            ("9999999999 days", "22008"),
            ("1:99", "22008"),
            ("9223372036854775807 hours", "22008"),
            ("9223372036854775807 months 0.5 years", "22008"),
        ] {
            assert_eq!(parse(text).map_err(|error| error.sqlstate().code()), Err(code), "{text}");
        }
    }
}
