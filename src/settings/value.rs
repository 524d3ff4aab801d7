//! Values of settings: how each kind is read, checked and shown.
//!
//! PostgreSQL 15, section 20.1.1 "Parameter Names and Values". Bad values are `22023`.

use super::date_style::{self, Unread};
use super::known::{Definition, Kind};
use super::time_zone::TimeZone;
use super::{Settings, moment};
use crate::error::{Error, Result, SqlState};

/// A value as it is kept, once it is found to be one of `definition`'s. `settings` are those that hold now, `name` is the
/// setting's as the client wrote it.
///
/// # Errors
/// `22023` for a bad value, with PostgreSQL's text for its type.
pub(super) fn canonical(settings: &Settings, definition: &Definition, name: &str, value: &str) -> Result<String> {
    let own_name = definition.facts.name;
    let bad = || invalid(own_name, value);
    Ok(match definition.kind {
        Kind::Text | Kind::SearchPath => value.to_owned(),
        // a question mark for each byte
        Kind::Ascii => {
            value.bytes().map(|byte| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '?' }).collect()
        }
        Kind::Role if value == "none" || Some(value) == settings.get("session_authorization").as_deref() => {
            value.to_owned()
        }
        Kind::Role => {
            let message = format!("permission denied to set role \"{value}\"");
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .hint("Connect as the other user: identity comes from authentication alone."));
        }
        Kind::Bool => match parse_bool(value) {
            Some(false) if own_name == "transaction_read_only" => {
                return Err(Error::unsupported("cannot set transaction read-write mode")
                    .hint("Data products are read-only here; their domains write them."));
            }
            Some(on) => if on { "on" } else { "off" }.to_owned(),
            None => {
                let message = format!("parameter \"{name}\" requires a Boolean value");
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        },
        Kind::Word(words) => word(words, value)
            .ok_or_else(|| invalid(name, value).hint(format!("Available values: {}.", words.replace(',', ", "))))?
            .to_owned(),
        Kind::Number { real } => {
            let number = number(definition, name, value, real)?;
            let max = settings.statement_timeout_max.filter(|_| own_name == "statement_timeout");
            match max {
                // longer, or none, is no error: clients set 0 without being asked to
                Some(max) if !(1.0..=max as f64).contains(&number) => max.to_string(),
                _ => number.to_string(),
            }
        }
        Kind::Encoding => encoding(own_name, value)?,
        Kind::DateStyle => {
            let current = settings.get("datestyle").unwrap_or_else(|| "ISO, MDY".to_owned());
            date_style::canonical(&current, value).map_err(|unread| match unread {
                Unread::Word(word) => bad().detail(format!("Unrecognized key word: \"{word}\".")),
                Unread::Conflict => bad().detail("Conflicting \"datestyle\" specifications."),
            })?
        }
        Kind::TimeZone => TimeZone::parse(value).ok_or_else(bad)?.name(),
        Kind::BreakGlass => {
            let message = format!("permission denied to set parameter \"{own_name}\"");
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .hint("It takes the role break_glass and a statement of its own: SET mesh.break_glass = 'reason'."));
        }
        Kind::Moment if value.trim().is_empty() => String::new(),
        Kind::Moment => {
            let moment = moment::parse(value, &settings.time_zone).ok_or_else(|| {
                bad().hint("Write a date or a timestamp, such as 2026-05-01 or 2026-05-01 12:00:00+00.")
            })?;
            moment::show(moment)
        }
    })
}

/// One of the words, whatever its case; those that are on and off have the synonyms of a boolean.
fn word(words: &'static str, value: &str) -> Option<&'static str> {
    let found = |wanted: &str| words.split(',').find(|word| word.eq_ignore_ascii_case(wanted));
    found(value).or_else(|| match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => found("on"),
        "false" | "no" | "0" => found("off"),
        _ => None,
    })
}

/// PostgreSQL's names for encodings that clients use, without what is no letter or digit.
const OTHER_ENCODINGS: &[&str] = &[
    "latin1",
    "latin2",
    "latin9",
    "iso88591",
    "iso885915",
    "iso885916",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1257",
    "windows1252",
    "koi8r",
    "eucjp",
    "euccn",
    "euckr",
    "sjis",
    "shiftjis",
    "big5",
    "gbk",
    "gb18030",
];

/// UTF8, and SQL_ASCII, with which a client asks for bytes as they are: psql does so in the locale C. Nothing else is
/// converted to.
fn encoding(name: &str, value: &str) -> Result<String> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "utf8" | "unicode" => Ok("UTF8".to_owned()),
        "sqlascii" => Ok("SQL_ASCII".to_owned()),
        known if OTHER_ENCODINGS.contains(&known) => {
            let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
            Err(Error::unsupported(message)
                .detail(format!("Conversion between {} and UTF8 is not supported.", value.to_uppercase()))
                .hint("Set client_encoding to UTF8."))
        }
        _ => Err(invalid(name, value).hint("Set client_encoding to UTF8.")),
    }
}

/// Units of memory in bytes and of time in milliseconds, from large to small (`guc.c`).
const MEMORY_UNITS: &[(&str, f64)] =
    &[("TB", 1_099_511_627_776.0), ("GB", 1_073_741_824.0), ("MB", 1_048_576.0), ("kB", 1_024.0), ("B", 1.0)];
const TIME_UNITS: &[(&str, f64)] =
    &[("d", 86_400_000.0), ("h", 3_600_000.0), ("min", 60_000.0), ("s", 1_000.0), ("ms", 1.0), ("us", 0.001)];

/// A setting's unit as a number of bytes or milliseconds, and the units that its values may have.
fn units(unit: &str) -> Option<(f64, &'static [(&'static str, f64)])> {
    let of = |units: &'static [(&'static str, f64)], unit: &str| {
        units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| (*factor, units))
    };
    if unit == "8kB" { Some((8_192.0, MEMORY_UNITS)) } else { of(MEMORY_UNITS, unit).or_else(|| of(TIME_UNITS, unit)) }
}

/// A number in the setting's unit (`parse_int`, `parse_real`).
fn number(definition: &Definition, name: &str, value: &str, real: bool) -> Result<f64> {
    let facts = &definition.facts;
    let (number, rest) = leading_number(value.trim_start(), real).ok_or_else(|| invalid(name, value))?;
    let (given, mut number) = (rest.trim(), number);
    if !given.is_empty() {
        let Some((own, known)) = units(facts.unit) else { return Err(invalid(name, value)) };
        let Some(at) = known.iter().position(|(unit, _)| *unit == given) else {
            let names = if known.len() == MEMORY_UNITS.len() {
                "\"B\", \"kB\", \"MB\", \"GB\", and \"TB\""
            } else {
                "\"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\""
            };
            return Err(invalid(name, value).hint(format!("Valid units for this parameter are {names}.")));
        };
        number = number * known[at].1 / own;
        // a fraction of a unit is rounded to the next smaller one
        if let Some((_, smaller)) = known.get(at + 1)
            && smaller / own >= 1.0
        {
            let step = smaller / own;
            number = (number / step).round_ties_even() * step;
        }
    }
    let number = if real { number } else { number.round_ties_even() };
    let (min, max) = (facts.min_val, facts.max_val);
    let inside = |bound: &str, fits: fn(&f64, &f64) -> bool| bound.parse().is_ok_and(|bound| fits(&number, &bound));
    if inside(min, f64::ge) && (inside(max, f64::le) || (real && max.starts_with("1.79769e+308"))) {
        return Ok(number);
    }
    let unit = if facts.unit.is_empty() { String::new() } else { format!(" {}", facts.unit) };
    let message = format!("{number}{unit} is outside the valid range for parameter \"{name}\" ({min} .. {max})");
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
}

/// The number at the beginning of a text, and what follows it. Whole numbers may be hexadecimal or octal.
fn leading_number(text: &str, real: bool) -> Option<(f64, &str)> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"))
        && !real
    {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        return Some((sign * i64::from_str_radix(&hex[..end], 16).ok()? as f64, &hex[end..]));
    }
    let count = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = count(digits);
    let whole = end;
    if digits[end..].starts_with('.') {
        end += 1 + count(&digits[end + 1..]);
    }
    let exponent = digits[end..].strip_prefix(['e', 'E']);
    if let Some(exponent) = exponent {
        let signed = usize::from(exponent.starts_with(['+', '-']));
        let length = count(&exponent[signed..]);
        if length > 0 {
            end += 1 + signed + length;
        }
    }
    let number = if end == whole && whole > 1 && digits.starts_with('0') && !real {
        i64::from_str_radix(&digits[..end], 8).ok()? as f64
    } else {
        digits[..end].parse().ok()?
    };
    Some((sign * number, &digits[end..]))
}

/// A number with the largest unit of which it is a multiple, as SHOW prints it.
pub(super) fn show_number(definition: &Definition, value: &str) -> String {
    let Some((own, known)) = units(definition.facts.unit) else { return value.to_owned() };
    let Some(number) = value.parse::<f64>().ok().filter(|number| *number > 0.0) else { return value.to_owned() };
    let fits = |(_, factor): &&(&str, f64)| {
        let shown = number * own / factor;
        (shown.round() / shown - 1.0).abs() <= 1e-8
    };
    let (unit, factor) = known.iter().find(fits).or(known.last()).copied().unwrap_or(("", own));
    let shown = number * own / factor;
    // what divides evenly is a whole number, whatever the division made of it
    let shown = if (shown.round() / shown - 1.0).abs() <= 1e-8 { shown.round() } else { shown };
    format!("{shown}{unit}")
}

pub(super) fn invalid(name: &str, value: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{name}\": \"{value}\""))
}

/// PostgreSQL 15, 20.1.1 "Parameter Names and Values": any unambiguous prefix of true, false, yes, no; on, off, 1, 0.
pub fn parse_bool(value: &str) -> Option<bool> {
    let word = value.trim().to_ascii_lowercase();
    match word.as_str() {
        "" | "o" => None,
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        w if "true".starts_with(w) || "yes".starts_with(w) => Some(true),
        w if "false".starts_with(w) || "no".starts_with(w) => Some(false),
        _ => None,
    }
}

/// Splits a search path at its commas; names may be quoted.
pub(super) fn split_path(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => part.to_ascii_lowercase(),
        })
        .collect()
}
