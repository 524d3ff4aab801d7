//! Dates and timestamps in the styles that are not ISO: SQL, Postgres and German.
//!
//! PostgreSQL 15, section 8.5.2 "Date/Time Output", and `datetime.c`, `EncodeDateOnly` and `EncodeDateTime`. Few ask for
//! them, so they are written plainly.

use std::fmt::Write as _;

use bytes::BytesMut;

use super::temporal::{self, civil};
use crate::error::Result;
use crate::settings::date_style::{DateStyle, Output};
use crate::settings::time_zone::TimeZone;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date in days since 1970, in a style that is not ISO.
///
/// # Errors
/// `22008` beyond PostgreSQL's range.
pub(super) fn date(days: i64, style: DateStyle, out: &mut BytesMut) -> Result<()> {
    temporal::date_text(days, &mut BytesMut::new())?;
    let (text, era) = day(days, style);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(era.as_bytes());
    Ok(())
}

/// A moment in microseconds since 1970, in a style that is not ISO; with a zone it is an instant and shown there.
///
/// # Errors
/// `22008` beyond PostgreSQL's range.
pub(super) fn timestamp(micros: i64, zone: Option<&TimeZone>, style: DateStyle, out: &mut BytesMut) -> Result<()> {
    temporal::timestamp_text(micros, None, temporal::Style::Iso, &mut BytesMut::new())?;
    let offset = zone.map_or(0, |zone| i64::from(zone.offset_seconds(micros)) * MICROS_PER_SECOND);
    // near the ends of 64 bits a shift would overflow, so the offset moves the clock, not the instant
    let clock = micros.rem_euclid(MICROS_PER_DAY) + offset;
    let days = micros.div_euclid(MICROS_PER_DAY) + clock.div_euclid(MICROS_PER_DAY);
    let mut time = BytesMut::new();
    temporal::time_text(clock.rem_euclid(MICROS_PER_DAY), &mut time)?;
    let time = String::from_utf8_lossy(&time);
    let (text, era) = day(days, style);
    let mut text = if style.output == Output::Postgres {
        let (year, month, day) = civil(days);
        let weekday = WEEKDAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
        let month = MONTHS[usize::try_from(month).unwrap_or(1) - 1];
        let shown = if year > 0 { year } else { 1 - year };
        if style.day_first {
            format!("{weekday} {day:02} {month} {time} {shown:04}")
        } else {
            format!("{weekday} {month} {day:02} {time} {shown:04}")
        }
    } else {
        format!("{text} {time}")
    };
    if let Some(zone) = zone {
        // writing to a string cannot fail
        _ = write!(text, " {}", zone.abbreviation(micros));
    }
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(era.as_bytes());
    Ok(())
}

/// A day, and what stands behind it when it is before Christ.
fn day(days: i64, style: DateStyle) -> (String, &'static str) {
    let (year, month, day) = civil(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let (first, second) = if style.day_first { (day, month) } else { (month, day) };
    let text = match style.output {
        Output::Iso => format!("{year:04}-{month:02}-{day:02}"),
        Output::Sql => format!("{first:02}/{second:02}/{year:04}"),
        Output::Postgres => format!("{first:02}-{second:02}-{year:04}"),
        Output::German => format!("{day:02}.{month:02}.{year:04}"),
    };
    (text, era)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL 15 writes.
    #[test]
    fn the_other_styles() {
        let berlin = TimeZone::parse("Europe/Berlin").unwrap();
        let written = |write: &dyn Fn(&mut BytesMut) -> Result<()>| {
            let mut out = BytesMut::new();
            write(&mut out).unwrap();
            String::from_utf8(out.to_vec()).unwrap()
        };
        let moment = 1_709_611_506_700_000;
        for (output, day_first, expected) in [
            (
                Output::German,
                true,
                ["05.03.2024", "05.03.2024 04:05:06.7", "05.03.2024 05:05:06.7 CET", "15.03.0044 BC"],
            ),
            (Output::Sql, false, ["03/05/2024", "03/05/2024 04:05:06.7", "03/05/2024 05:05:06.7 CET", "03/15/0044 BC"]),
            (Output::Sql, true, ["05/03/2024", "05/03/2024 04:05:06.7", "05/03/2024 05:05:06.7 CET", "15/03/0044 BC"]),
            (
                Output::Postgres,
                false,
                ["03-05-2024", "Tue Mar 05 04:05:06.7 2024", "Tue Mar 05 05:05:06.7 2024 CET", "03-15-0044 BC"],
            ),
            (
                Output::Postgres,
                true,
                ["05-03-2024", "Tue 05 Mar 04:05:06.7 2024", "Tue 05 Mar 05:05:06.7 2024 CET", "15-03-0044 BC"],
            ),
        ] {
            let style = DateStyle { output, day_first };
            let found = [
                written(&|out| date(19_787, style, out)),
                written(&|out| timestamp(moment, None, style, out)),
                written(&|out| timestamp(moment, Some(&berlin), style, out)),
                written(&|out| date(-735_161, style, out)),
            ];
            assert_eq!(found, expected, "{style:?}");
        }
        let german = DateStyle { output: Output::German, day_first: true };
        assert!(date(i64::MAX, german, &mut BytesMut::new()).is_err());
        assert!(timestamp(i64::MIN, None, german, &mut BytesMut::new()).is_err());
    }
}
