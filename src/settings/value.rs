//! Values of settings: how each kind is read, checked and shown.
//!
//! PostgreSQL 15, section 20.1.1 "Parameter Names and Values". Bad values are `22023`.

use super::known::{Definition, Kind};
use super::time_zone::TimeZone;
use super::{Settings, moment};
use crate::error::{Error, Result, SqlState};

/// A value as it is kept and shown, once it is found to be one of `definition`'s. `settings` are those that hold now.
pub(super) fn canonical(settings: &Settings, definition: &Definition, value: &str) -> Result<String> {
    let name = definition.0;
    let bad = || invalid(name, value);
    Ok(match definition.1 {
        Kind::Text | Kind::SearchPath => value.to_owned(),
        Kind::Bool => match parse_bool(value) {
            Some(true) => "on".to_owned(),
            Some(false) => {
                if name == "transaction_read_only" || name == "default_transaction_read_only" {
                    return Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, "cannot set transaction read-write mode")
                        .hint("Data products are read-only here; their domains write them."));
                }
                "off".to_owned()
            }
            None => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("parameter \"{name}\" requires a Boolean value"),
                ));
            }
        },
        Kind::Word(words) => {
            let word = value.trim().to_ascii_lowercase();
            let word = match word.as_str() {
                // booleans among the words may be spelled in any way
                "true" | "yes" | "1" if words.contains(&"on") => "on",
                other => other,
            };
            (*words
                .iter()
                .find(|w| **w == word)
                .ok_or_else(|| bad().hint(format!("Available values: {}.", words.join(", "))))?)
            .to_owned()
        }
        Kind::Int(low, high) => {
            let number: i64 = value.trim().parse().map_err(|_| bad())?;
            if !(low..=high).contains(&number) {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("{number} is outside the valid range for parameter \"{name}\" ({low} .. {high})"),
                ));
            }
            number.to_string()
        }
        Kind::Timeout => {
            let milliseconds = parse_timeout_ms(value).ok_or_else(bad)?;
            match settings.statement_timeout_max {
                Some(max) if name == "statement_timeout" && !(1..=max).contains(&milliseconds) => max.to_string(),
                _ => milliseconds.to_string(),
            }
        }
        Kind::Encoding => {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            match plain.to_ascii_lowercase().as_str() {
                "utf8" | "unicode" => "UTF8".to_owned(),
                _ => {
                    return Err(bad().hint("The only encoding is UTF8."));
                }
            }
        }
        Kind::DateStyle => canonical_date_style(settings.get("datestyle").as_deref().unwrap_or("ISO, MDY"), value)
            .ok_or_else(|| bad().hint("The only output style is ISO."))?,
        Kind::TimeZone => TimeZone::parse(value).ok_or_else(bad)?.name(),
        Kind::BreakGlass => {
            return Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied to set parameter \"{name}\""),
            )
            .hint("It takes the role break_glass and a statement of its own: SET mesh.break_glass = 'reason'."));
        }
        Kind::Moment if value.trim().is_empty() => String::new(),
        Kind::Moment => {
            let moment = moment::parse(value, &settings.time_zone).ok_or_else(|| {
                bad().hint("Write a date or a timestamp, such as 2026-05-01 or 2026-05-01 12:00:00+00.")
            })?;
            moment::show(moment)
        }
        Kind::Internal => {
            return Err(Error::new(
                SqlState::CANT_CHANGE_RUNTIME_PARAM,
                format!("parameter \"{name}\" cannot be changed"),
            ));
        }
    })
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

/// Milliseconds from `5000`, `5s`, `1min`, `100 ms`, `2h`, `1d`, `10us`.
fn parse_timeout_ms(value: &str) -> Option<i64> {
    let value = value.trim();
    let end = value.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(value.len());
    let number: f64 = value[..end].parse().ok()?;
    let factor = match value[end..].trim() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let milliseconds = (number * factor).round();
    (milliseconds <= f64::from(i32::MAX)).then_some(milliseconds as i64)
}

/// SHOW prints a time in the largest unit that divides it.
pub(super) fn show_timeout(value: &str) -> String {
    match value.parse::<i64>() {
        Ok(0) | Err(_) => value.to_owned(),
        Ok(ms) if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        Ok(ms) if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        Ok(ms) if ms % 60_000 == 0 => format!("{}min", ms / 60_000),
        Ok(ms) if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        Ok(ms) => format!("{ms}ms"),
    }
}

fn canonical_date_style(current: &str, value: &str) -> Option<String> {
    let mut order = current.rsplit(", ").next().unwrap_or("MDY").to_owned();
    for word in value.split(',') {
        match word.trim().to_ascii_uppercase().as_str() {
            "ISO" | "DEFAULT" => {}
            "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => "MDY".clone_into(&mut order),
            "DMY" | "EURO" | "EUROPEAN" => "DMY".clone_into(&mut order),
            "YMD" => "YMD".clone_into(&mut order),
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
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
