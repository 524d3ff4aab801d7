//! Quantities as people write them in contracts: durations and shares. Pure text to numbers; no file, no place.

use std::time::Duration;

const SECOND: f64 = 1.0;
const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;
const WEEK: f64 = 7.0 * DAY;
/// A month has 30 days where only its length counts.
const MONTH: f64 = 30.0 * DAY;
const YEAR: f64 = 365.0 * DAY;

/// `1 hour`, `15 minutes`, `1s`, `24h`, `1 day 12 hours`, `PT1H`, `daily`. `None` where no duration can be read.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.to_ascii_lowercase().as_str() {
        "0" => 0.0,
        "hourly" => HOUR,
        "daily" => DAY,
        "weekly" => WEEK,
        "monthly" => MONTH,
        lower if text.starts_with(['P', 'p']) => parse_iso(&lower[1..])?,
        lower => parse_words(lower)?,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// `0.99`, `99%`, `99.9 %` as a share in `[0, 1]`.
pub fn parse_share(text: &str) -> Option<f64> {
    let text = text.trim();
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse::<f64>().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// Numbers followed by units, one after the other.
fn parse_words(mut rest: &str) -> Option<f64> {
    let mut total = 0.0;
    loop {
        let (number, after) = split_number(rest)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        total += number * unit_seconds(&after[..end])?;
        rest = after[end..].trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// ISO 8601, after the `P` and in lower case: `1dt12h`, `t15m`, `2w`.
fn parse_iso(text: &str) -> Option<f64> {
    let (date, time) = text.split_once('t').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut total = parse_designators(date, |unit| match unit {
        'y' => Some(YEAR),
        'm' => Some(MONTH),
        'w' => Some(WEEK),
        'd' => Some(DAY),
        _ => None,
    })?;
    if let Some(time) = time {
        total += parse_designators(time, |unit| match unit {
            'h' => Some(HOUR),
            'm' => Some(MINUTE),
            's' => Some(SECOND),
            _ => None,
        })?;
    }
    let has_part = !date.is_empty() || time.is_some_and(|time| !time.is_empty());
    has_part.then_some(total)
}

fn parse_designators(mut rest: &str, seconds: impl Fn(char) -> Option<f64>) -> Option<f64> {
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit = after.chars().next()?;
        total += number * seconds(unit)?;
        rest = &after[unit.len_utf8()..];
    }
    Some(total)
}

fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hr" | "hrs" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => DAY,
        "w" | "wk" | "week" | "weeks" => WEEK,
        "mo" | "month" | "months" => MONTH,
        "y" | "yr" | "year" | "years" => YEAR,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_every_spelling() {
        for (text, seconds) in [
            ("1 hour", 3600.0),
            ("15 minutes", 900.0),
            ("1s", 1.0),
            ("PT1H", 3600.0),
            ("1 day", 86_400.0),
            ("24h", 86_400.0),
            ("P1DT12H", 129_600.0),
            ("PT0.5S", 0.5),
            ("P2W", 1_209_600.0),
            ("1 day, 12 hours", 129_600.0),
            ("250ms", 0.25),
            ("0", 0.0),
            ("0s", 0.0),
            ("daily", 86_400.0),
            ("7 years", 7.0 * 365.0 * 86_400.0),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in
            ["", "5", "hour", "1 fortnight", "P", "PT", "-1 hour", "1e400 days", "P1X", "1 hour x", "PT1", "Пn", "1é"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration(&format!("{} years", "9".repeat(400))), None);
    }

    #[test]
    fn shares_stay_between_none_and_all() {
        assert_eq!(parse_share("0.95"), Some(0.95));
        assert_eq!(parse_share("50%"), Some(0.5));
        assert_eq!(parse_share("100 %"), Some(1.0));
        for text in ["1.1", "-0.1", "101%", "NaN", "much", "%"] {
            assert_eq!(parse_share(text), None, "{text}");
        }
    }
}
