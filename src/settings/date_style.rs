//! The settings `DateStyle` and `IntervalStyle`: in which form dates and intervals are written, and in which order the parts
//! of dates are read.
//!
//! PostgreSQL 15, sections 8.5.2 "Date/Time Output" and 8.5.5 "Interval Output", and `variable.c`, `check_datestyle`.

/// How dates and timestamps are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DateStyle {
    pub output: Output,
    /// The day stands before the month where the output does not fix the order.
    pub day_first: bool,
}

/// The form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// `2024-01-31 12:00:00+01`.
    #[default]
    Iso,
    /// `01/31/2024 12:00:00 CET`.
    Sql,
    /// `Wed Jan 31 12:00:00 2024 CET`.
    Postgres,
    /// `31.01.2024 12:00:00 CET`.
    German,
}

/// How intervals are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IntervalStyle {
    #[default]
    Postgres,
    PostgresVerbose,
    SqlStandard,
    Iso8601,
}

impl IntervalStyle {
    /// Of a value as SHOW prints it.
    pub(super) fn of(shown: &str) -> Self {
        match shown {
            "postgres_verbose" => Self::PostgresVerbose,
            "sql_standard" => Self::SqlStandard,
            "iso_8601" => Self::Iso8601,
            _ => Self::Postgres,
        }
    }
}

/// Why a value is none.
pub(super) enum Unread {
    Word(String),
    Conflict,
}

impl DateStyle {
    /// Of a value as SHOW prints it.
    pub(super) fn of(shown: &str) -> Self {
        let (output, order) = shown.split_once(", ").unwrap_or((shown, "MDY"));
        let output = match output {
            "SQL" => Output::Sql,
            "Postgres" => Output::Postgres,
            "German" => Output::German,
            _ => Output::Iso,
        };
        Self { output, day_first: order == "DMY" }
    }
}

/// A value as SHOW prints it. What is not said stays as it is in `current`.
pub(super) fn canonical(current: &str, value: &str) -> Result<String, Unread> {
    let (mut output, mut order): (Option<&str>, Option<&str>) = (None, None);
    for word in value.split(',') {
        let word = word.trim().trim_matches('"').to_ascii_lowercase();
        let place = |place: &mut Option<&'static str>, found: &'static str| match place.replace(found) {
            Some(before) if before != found => Err(Unread::Conflict),
            _ => Ok(()),
        };
        match word.as_str() {
            "iso" => place(&mut output, "ISO")?,
            "sql" => place(&mut output, "SQL")?,
            "german" => place(&mut output, "German")?,
            "ymd" => place(&mut order, "YMD")?,
            "dmy" => place(&mut order, "DMY")?,
            "mdy" | "us" => place(&mut order, "MDY")?,
            // the session's own default, for what nothing else says
            "default" => {
                output.get_or_insert("ISO");
                order.get_or_insert("MDY");
            }
            word if word.starts_with("postgres") => place(&mut output, "Postgres")?,
            word if word.starts_with("euro") => place(&mut order, "DMY")?,
            word if word.starts_with("noneuro") => place(&mut order, "MDY")?,
            _ => return Err(Unread::Word(word)),
        }
    }
    // German comes with its own order
    let order = order.or((output == Some("German")).then_some("DMY"));
    let (current_output, current_order) = current.split_once(", ").unwrap_or(("ISO", "MDY"));
    Ok(format!("{}, {}", output.unwrap_or(current_output), order.unwrap_or(current_order)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_any_order() {
        for (value, shown) in [
            ("German", "German, DMY"),
            ("german, mdy", "German, MDY"),
            ("sql", "SQL, YMD"),
            ("dmy", "Postgres, DMY"),
            ("European, ISO", "ISO, DMY"),
            ("PostgreSQL,US", "Postgres, MDY"),
            ("default", "ISO, MDY"),
            ("iso, iso", "ISO, YMD"),
        ] {
            assert_eq!(canonical("Postgres, YMD", value).ok().as_deref(), Some(shown), "{value}");
        }
        assert!(matches!(canonical("ISO, MDY", "foo"), Err(Unread::Word(word)) if word == "foo"));
        assert!(matches!(canonical("ISO, MDY", "iso, sql"), Err(Unread::Conflict)));
        assert_eq!(DateStyle::of("German, DMY"), DateStyle { output: Output::German, day_first: true });
        assert_eq!(DateStyle::of("ISO, MDY"), DateStyle::default());
    }
}
