//! The templates of `to_char`, `to_date` and `to_timestamp` for dates and times (PostgreSQL 15, section 9.8): a text as a
//! list of fields and letters.
//!
//! It owns the grammar of templates. What a field writes or reads is the business of `show_time` and `read_time`.

/// A field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Era { dotted: bool },
    Half { dotted: bool },
    Century,
    DayName,
    DayShort,
    DayOfIsoYear,
    DayOfYear,
    DayOfMonth,
    IsoDayOfWeek,
    DayOfWeek,
    Fraction(u8),
    Hour24,
    Hour12,
    IsoWeek,
    IsoYear(u8),
    Julian,
    Minute,
    Month,
    MonthName,
    MonthShort,
    Millisecond,
    Offset,
    Quarter,
    RomanMonth,
    SecondsOfDay,
    Second,
    ZoneHour,
    ZoneMinute,
    Zone,
    Microsecond,
    WeekOfYear,
    WeekOfMonth,
    YearWithComma,
    Year(u8),
}

/// How the letters of a field's name are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    Upper,
    Capital,
    Lower,
}

/// The ordinal suffix behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordinal {
    Upper,
    Lower,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Field {
        field: Field,
        name: &'static str,
        letters: Letters,
        fill: bool,
        ordinal: Option<Ordinal>,
    },
    /// A blank.
    Space(char),
    /// Punctuation outside quotes, which stands for any separator when a text is read.
    Separator(char),
    /// Any other letter, or a quoted one.
    Letter(char),
    /// `FX`: the text has exactly the template's form.
    Exact,
}

/// Names of fields, longer ones before their beginnings. Upper case stands for any case, unless the case says how names
/// are written.
const NAMES: [(&str, Field); 66] = [
    ("A.D.", Field::Era { dotted: true }),
    ("a.d.", Field::Era { dotted: true }),
    ("A.M.", Field::Half { dotted: true }),
    ("a.m.", Field::Half { dotted: true }),
    ("AD", Field::Era { dotted: false }),
    ("ad", Field::Era { dotted: false }),
    ("AM", Field::Half { dotted: false }),
    ("am", Field::Half { dotted: false }),
    ("B.C.", Field::Era { dotted: true }),
    ("b.c.", Field::Era { dotted: true }),
    ("BC", Field::Era { dotted: false }),
    ("bc", Field::Era { dotted: false }),
    ("CC", Field::Century),
    ("DAY", Field::DayName),
    ("Day", Field::DayName),
    ("day", Field::DayName),
    ("DDD", Field::DayOfYear),
    ("DD", Field::DayOfMonth),
    ("DY", Field::DayShort),
    ("Dy", Field::DayShort),
    ("dy", Field::DayShort),
    ("D", Field::DayOfWeek),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("IDDD", Field::DayOfIsoYear),
    ("ID", Field::IsoDayOfWeek),
    ("IW", Field::IsoWeek),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("J", Field::Julian),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", Field::MonthName),
    ("Month", Field::MonthName),
    ("month", Field::MonthName),
    ("MON", Field::MonthShort),
    ("Mon", Field::MonthShort),
    ("mon", Field::MonthShort),
    ("MS", Field::Millisecond),
    ("OF", Field::Offset),
    ("P.M.", Field::Half { dotted: true }),
    ("p.m.", Field::Half { dotted: true }),
    ("PM", Field::Half { dotted: false }),
    ("pm", Field::Half { dotted: false }),
    ("Q", Field::Quarter),
    ("RM", Field::RomanMonth),
    ("rm", Field::RomanMonth),
    ("SSSSS", Field::SecondsOfDay),
    ("SSSS", Field::SecondsOfDay),
    ("SS", Field::Second),
    ("TZH", Field::ZoneHour),
    ("TZM", Field::ZoneMinute),
    ("TZ", Field::Zone),
    ("tz", Field::Zone),
    ("US", Field::Microsecond),
    ("WW", Field::WeekOfYear),
    ("W", Field::WeekOfMonth),
];

const YEARS: [(&str, Field); 5] = [
    ("Y,YYY", Field::YearWithComma),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
];

/// Reads a template.
pub fn parse(template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let (mut fill, mut after) = (false, rest);
        if let Some(exact) = strip(rest, "FX") {
            parts.push(Part::Exact);
            rest = exact;
            continue;
        }
        if let Some(filled) = strip(after, "FM").or_else(|| strip(after, "TM")) {
            fill = rest.starts_with(['F', 'f']);
            after = filled;
        }
        if let Some((name, field, letters, behind)) = field(after) {
            let (ordinal, behind) = ordinal(behind);
            parts.push(Part::Field { field, name, letters, fill, ordinal });
            rest = strip(behind, "SP").unwrap_or(behind);
            continue;
        }
        if after.len() < rest.len() {
            rest = after;
            continue;
        }
        rest = literal(rest, &mut parts);
    }
    parts
}

/// One letter outside fields, or everything between quotes.
fn literal<'t>(rest: &'t str, parts: &mut Vec<Part>) -> &'t str {
    let mut letters = rest.chars();
    match letters.next() {
        Some('"') => {
            while let Some(letter) = letters.next() {
                match letter {
                    '"' => break,
                    '\\' => parts.extend(letters.next().map(Part::Letter)),
                    other => parts.push(Part::Letter(other)),
                }
            }
        }
        Some('\\') if letters.clone().next() == Some('"') => parts.extend(letters.next().map(Part::Letter)),
        Some(blank) if blank.is_ascii_whitespace() => parts.push(Part::Space(blank)),
        Some(mark) if mark.is_ascii_punctuation() => parts.push(Part::Separator(mark)),
        Some(other) => parts.push(Part::Letter(other)),
        None => {}
    }
    letters.as_str()
}

fn strip<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    (start == prefix || start == prefix.to_ascii_lowercase()).then(|| &text[prefix.len()..])
}

fn field(text: &str) -> Option<(&'static str, Field, Letters, &str)> {
    let exact = NAMES.iter().chain(&YEARS).find(|(name, _)| text.starts_with(name));
    let (name, field) = exact.or_else(|| {
        // numbers have one form, so their names may be in lower case
        NAMES.iter().chain(&YEARS).find(|(name, _)| text.starts_with(&name.to_ascii_lowercase()))
    })?;
    let mut bytes = text.bytes();
    let first_is_lower = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    let second_is_lower = bytes.find(u8::is_ascii_alphabetic).is_some_and(|byte| byte.is_ascii_lowercase());
    let letters = match (first_is_lower, second_is_lower) {
        (true, _) => Letters::Lower,
        (false, true) if matches!(field, Field::DayName | Field::DayShort | Field::MonthName | Field::MonthShort) => {
            Letters::Capital
        }
        _ => Letters::Upper,
    };
    Some((name, *field, letters, &text[name.len()..]))
}

fn ordinal(rest: &str) -> (Option<Ordinal>, &str) {
    match rest.get(..2) {
        Some("TH") => (Some(Ordinal::Upper), &rest[2..]),
        Some("th") => (Some(Ordinal::Lower), &rest[2..]),
        _ => (None, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(template: &str) -> Vec<Field> {
        let field = |part| match part {
            Part::Field { field, .. } => Some(field),
            _ => None,
        };
        parse(template).into_iter().filter_map(field).collect()
    }

    #[test]
    fn the_longest_name_counts_in_either_case() {
        assert_eq!(fields("YYYY-MM-DD"), [Field::Year(4), Field::Month, Field::DayOfMonth]);
        assert_eq!(fields("yyyymmdd"), [Field::Year(4), Field::Month, Field::DayOfMonth]);
        assert_eq!(fields("HH24:MI:SS.MS"), [Field::Hour24, Field::Minute, Field::Second, Field::Millisecond]);
        assert_eq!(fields("IYYY-IW"), [Field::IsoYear(4), Field::IsoWeek]);
        assert_eq!(fields("\"YYYY\" y"), [Field::Year(1)]);
    }
}
