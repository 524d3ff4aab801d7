//! `to_char` of timestamps, dates and intervals (`formatting.c`, `DCH_to_char`).
//!
//! It owns what each field of a template writes. Templates are read in `template`.

use super::datetime::{JULIAN_EPOCH, days_of, iso_week, iso_year_start};
use super::interval::{Interval, MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::template::{Field, Letters, Ordinal, Part, parse};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::show::temporal::civil;
use crate::settings::time_zone::TimeZone;

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// From Sunday on.
pub const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub const ROMAN_MONTHS: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
/// Names of days and months are padded to this many letters.
const NAME_WIDTH: usize = 9;

/// A moment, taken apart.
struct Moment {
    /// 0 is 1 BC.
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// Days since 1970; of an interval, the days of its years, months and days.
    days: i64,
    interval: bool,
    /// Seconds east, and the zone's abbreviation.
    zone: Option<(i64, String)>,
}

/// `to_char(timestamp, template)`; an instant comes with its zone.
pub fn timestamp(at: i64, zone: Option<&TimeZone>, template: &str) -> Result<String> {
    let offset = zone.map(|zone| i64::from(zone.offset_seconds(at)));
    let clock = at + offset.unwrap_or(0) * MICROS_PER_SECOND;
    let (days, time) = (clock.div_euclid(MICROS_PER_DAY), clock.rem_euclid(MICROS_PER_DAY));
    let (year, month, day) = civil(days);
    let zone = zone.map(|zone| (offset.unwrap_or(0), zone.abbreviation(at)));
    write(
        &Moment {
            year,
            month: month as i64,
            day: day as i64,
            hour: time / MICROS_PER_HOUR,
            minute: time / MICROS_PER_MINUTE % 60,
            second: time / MICROS_PER_SECOND % 60,
            micros: time % MICROS_PER_SECOND,
            days,
            interval: false,
            zone,
        },
        template,
    )
}

/// `to_char(interval, template)`.
pub fn interval(value: Interval, template: &str) -> Result<String> {
    let (year, month) = (i64::from(value.months / 12), i64::from(value.months % 12));
    let days = year * 365 + month * 30 + i64::from(value.days);
    write(
        &Moment {
            year,
            month,
            day: value.days.into(),
            hour: value.micros / MICROS_PER_HOUR,
            minute: value.micros / MICROS_PER_MINUTE % 60,
            second: value.micros / MICROS_PER_SECOND % 60,
            micros: value.micros % MICROS_PER_SECOND,
            days,
            interval: true,
            zone: None,
        },
        template,
    )
}

fn write(moment: &Moment, template: &str) -> Result<String> {
    let mut out = String::new();
    for part in parse(template) {
        match part {
            Part::Field { field, letters, fill, ordinal, .. } => {
                out.push_str(&shown(moment, field, letters, fill, ordinal)?);
            }
            Part::Space(letter) | Part::Separator(letter) | Part::Letter(letter) => out.push(letter),
            Part::Exact => {}
        }
    }
    Ok(out)
}

fn not_for_interval() -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, "invalid format specification for an interval value")
        .hint("Intervals are not tied to specific calendar dates.")
}

fn shown(moment: &Moment, field: Field, letters: Letters, fill: bool, ordinal: Option<Ordinal>) -> Result<String> {
    let of_calendar = matches!(
        field,
        Field::Era { .. }
            | Field::DayName
            | Field::DayShort
            | Field::DayOfWeek
            | Field::IsoDayOfWeek
            | Field::Zone
            | Field::ZoneHour
            | Field::ZoneMinute
            | Field::Offset
            | Field::IsoWeek
            | Field::IsoYear(_)
            | Field::DayOfIsoYear
    );
    if moment.interval && of_calendar {
        return Err(not_for_interval());
    }
    // with leading zeros, one digit more for a sign
    let number = |value: i64, width: usize| {
        let digits = if fill {
            value.to_string()
        } else if value < 0 {
            format!("-{:0width$}", -value)
        } else {
            format!("{value:0width$}")
        };
        match ordinal {
            Some(ordinal) => format!("{digits}{}", suffix(value, ordinal)),
            None => digits,
        }
    };
    let name = |name: &str, padded: bool| {
        let cased = match letters {
            Letters::Upper => name.to_uppercase(),
            Letters::Capital => name.to_owned(),
            Letters::Lower => name.to_lowercase(),
        };
        if padded && !fill { format!("{cased:NAME_WIDTH$}") } else { cased }
    };
    let weekday = (moment.days + 4).rem_euclid(7);
    let day_of_year = if moment.interval { moment.days } else { moment.days - days_of(moment.year, 1, 1) + 1 };
    // a year before Christ counts from one
    let told_year = if moment.interval || moment.year > 0 { moment.year } else { 1 - moment.year };
    let offset = moment.zone.as_ref().map_or(0, |(offset, _)| *offset);
    Ok(match field {
        Field::Era { dotted } => {
            let era = if moment.year > 0 { "AD" } else { "BC" };
            marked(era, dotted, letters)
        }
        Field::Half { dotted } => marked(if moment.hour.rem_euclid(24) >= 12 { "PM" } else { "AM" }, dotted, letters),
        Field::Century => {
            let century = if moment.interval {
                moment.year / 100
            } else if moment.year > 0 {
                (moment.year - 1) / 100 + 1
            } else {
                moment.year / 100 - 1
            };
            number(century, 2)
        }
        Field::DayName => name(DAYS[weekday as usize], true),
        Field::DayShort => name(&DAYS[weekday as usize][..3], false),
        Field::DayOfIsoYear => number(moment.days - iso_year_start(iso_week(moment.days).0) + 1, 3),
        Field::DayOfYear => number(day_of_year, 3),
        Field::DayOfMonth => number(moment.day, 2),
        Field::IsoDayOfWeek => number(if weekday == 0 { 7 } else { weekday }, 1),
        Field::DayOfWeek => number(weekday + 1, 1),
        Field::Fraction(digits) => {
            let value = moment.micros / 10_i64.pow(6 - u32::from(digits));
            digits_of(value, digits.into(), ordinal)
        }
        Field::Hour24 => number(moment.hour, 2),
        Field::Hour12 => {
            let hour = moment.hour % 12;
            number(if hour == 0 { 12 } else { hour }, 2)
        }
        Field::IsoWeek => number(iso_week(moment.days).1, 2),
        Field::IsoYear(digits) => year(iso_week(moment.days).0, digits, &number),
        Field::Julian => number(moment.days + JULIAN_EPOCH, 1),
        Field::Minute => number(moment.minute, 2),
        Field::Month => number(moment.month, 2),
        Field::MonthName | Field::MonthShort | Field::RomanMonth | Field::Quarter if moment.month == 0 => String::new(),
        Field::MonthName => name(MONTHS[month_index(moment)], true),
        Field::MonthShort => name(&MONTHS[month_index(moment)][..3], false),
        Field::Millisecond => digits_of(moment.micros / 1000, 3, ordinal),
        Field::Offset => {
            let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
            let sign = if offset < 0 { '-' } else { '+' };
            let hours = if fill { hours.to_string() } else { format!("{hours:02}") };
            if minutes == 0 { format!("{sign}{hours}") } else { format!("{sign}{hours}:{minutes:02}") }
        }
        Field::Quarter => number((moment.month - 1) / 3 + 1, 1),
        Field::RomanMonth => {
            let roman = ROMAN_MONTHS[month_index(moment)];
            let cased = if letters == Letters::Lower { roman.to_lowercase() } else { roman.to_owned() };
            if fill { cased } else { format!("{cased:4}") }
        }
        Field::SecondsOfDay => number(moment.hour * 3600 + moment.minute * 60 + moment.second, 1),
        Field::Second => number(moment.second, 2),
        Field::ZoneHour => format!("{}{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600),
        Field::ZoneMinute => format!("{:02}", offset.abs() / 60 % 60),
        Field::Zone => {
            let zone = moment.zone.as_ref().map_or("", |(_, name)| name);
            if letters == Letters::Lower { zone.to_lowercase() } else { zone.to_uppercase() }
        }
        Field::Microsecond => digits_of(moment.micros, 6, ordinal),
        Field::WeekOfYear => number((day_of_year - 1) / 7 + 1, 2),
        Field::WeekOfMonth => number((moment.day - 1) / 7 + 1, 1),
        Field::YearWithComma => {
            let shown = format!("{},{:03}", told_year / 1000, told_year % 1000);
            match ordinal {
                Some(ordinal) => format!("{shown}{}", suffix(told_year, ordinal)),
                None => shown,
            }
        }
        Field::Year(digits) => year(told_year, digits, &number),
    })
}

fn month_index(moment: &Moment) -> usize {
    (moment.month - 1).rem_euclid(12) as usize
}

fn year(year: i64, digits: u8, number: &impl Fn(i64, usize) -> String) -> String {
    let shown = if digits == 4 { year } else { year % 10_i64.pow(digits.into()) };
    number(shown, digits.into())
}

fn digits_of(value: i64, width: usize, ordinal: Option<Ordinal>) -> String {
    let digits = if value < 0 { format!("-{:0width$}", -value) } else { format!("{value:0width$}") };
    match ordinal {
        Some(ordinal) => format!("{digits}{}", suffix(value, ordinal)),
        None => digits,
    }
}

fn marked(mark: &str, dotted: bool, letters: Letters) -> String {
    let mark = if letters == Letters::Lower { mark.to_lowercase() } else { mark.to_owned() };
    if dotted { mark.chars().flat_map(|letter| [letter, '.']).collect() } else { mark }
}

/// `st`, `nd`, `rd` or `th`.
pub fn suffix(value: i64, ordinal: Ordinal) -> &'static str {
    let value = value.abs();
    let (lower, upper) = match (value % 100, value % 10) {
        (11..=13, _) => ("th", "TH"),
        (_, 1) => ("st", "ST"),
        (_, 2) => ("nd", "ND"),
        (_, 3) => ("rd", "RD"),
        _ => ("th", "TH"),
    };
    if ordinal == Ordinal::Lower { lower } else { upper }
}
