//! Sizes: `pg_size_pretty`, `pg_size_bytes`, and how large relations are, which only whoever may read all of one is told.
//!
//! PostgreSQL 15, section 9.27.7 "Database Object Management Functions" (`dbsize.c`).

use super::call::{Arg, Returns, Row, Spec, Value};
use super::definitions::relation;
use super::known::Known;
use crate::error::{Error, Result, SqlState};

/// Units with the number from which the next is used; each is 1024 of the one before.
const UNITS: [(&str, i128); 6] = [
    ("bytes", 10 * 1024),
    ("kB", 20 * 1024 - 1),
    ("MB", 20 * 1024 - 1),
    ("GB", 20 * 1024 - 1),
    ("TB", 20 * 1024 - 1),
    ("PB", 20 * 1024 - 1),
];

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("pg_size_pretty", &[&[Arg::Number]], Returns::Text, |_, row| {
        Ok(Value::or_null(row.int(0), |bytes| Value::Text(pretty(bytes))))
    }),
    Spec::new("pg_size_bytes", &[&[Arg::Text]], Returns::Int8, |_, row| {
        Ok(Value::Int(bytes(row.text(0).unwrap_or_default())?))
    }),
    Spec::new("pg_relation_size", &[&[Arg::Oid], &[Arg::Oid, Arg::Text]], Returns::Int8, relation_size),
    Spec::new("pg_table_size", &[&[Arg::Oid]], Returns::Int8, relation_size),
    Spec::new("pg_total_relation_size", &[&[Arg::Oid]], Returns::Int8, relation_size),
    Spec::new("pg_indexes_size", &[&[Arg::Oid]], Returns::Int8, relation_size),
    // it would be the size of what is hidden too
    Spec::new("pg_database_size", &[&[Arg::Oid], &[Arg::Text]], Returns::Int8, |_, _| Ok(Value::Null)),
    Spec::new("pg_tablespace_size", &[&[Arg::Oid], &[Arg::Text]], Returns::Int8, |_, _| Ok(Value::Null)),
];

/// Nothing is stored for views and for PostgreSQL's own relations. How large a product's table is depends on rows that
/// may be hidden, and its files are not looked at for it.
fn relation_size(known: &Known, row: &Row<'_>) -> Result<Value> {
    let Some(oid) = relation(known, row)? else { return Ok(Value::Null) };
    let is_product = known.oids.table(oid).is_some_and(|table| table.product().is_some());
    let is_index = known.oids.relation_name(oid).is_some_and(|relation| relation.kind == 'i');
    Ok(if is_product || is_index { Value::Null } else { Value::Int(0) })
}

/// A size with a unit, rounded half away from zero as `pg_size_pretty(bigint)` does it.
fn pretty(bytes: i64) -> String {
    let mut size = i128::from(bytes);
    for (index, (unit, limit)) in UNITS.iter().enumerate() {
        if size.abs() < *limit || index + 1 == UNITS.len() {
            // above bytes there is one bit more, to round with
            let rounded = if index == 0 { size } else { half_rounded(size) };
            return format!("{rounded} {unit}");
        }
        // the first step keeps one bit, the next ones shift by the ten bits between units
        let bits = if index == 0 { 9 } else { 10 };
        size /= 1 << bits;
    }
    String::new()
}

fn half_rounded(size: i128) -> i128 {
    i128::midpoint(size, if size < 0 { -1 } else { 1 })
}

/// A text such as `1.5 GB` as a number of bytes.
///
/// # Errors
/// `22023` for a text that is none.
fn bytes(text: &str) -> Result<i64> {
    let invalid = || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid size: \"{text}\""));
    let trimmed = text.trim();
    let number_end = number_end(trimmed);
    let (number, unit) = trimmed.split_at(number_end);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let unit = unit.trim();
    let position = match unit.to_ascii_lowercase().as_str() {
        "" | "b" if unit.is_empty() => 0,
        lower => UNITS.iter().position(|(name, _)| name.eq_ignore_ascii_case(lower)).ok_or_else(|| {
            invalid()
                .detail(format!("Invalid size unit: \"{unit}\"."))
                .hint("Valid units are \"bytes\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".")
        })?,
    };
    let size = (number * 1024_f64.powi(position as i32)).round();
    if size.abs() >= 9_223_372_036_854_775_808_f64 {
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"));
    }
    Ok(size as i64)
}

/// Where the number that a text begins with ends.
fn number_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    end += digits(end);
    if bytes.get(end) == Some(&b'.') {
        end += 1;
        end += digits(end);
    }
    // an exponent is one only where digits follow: the unit of `1 EB` is none
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers are PostgreSQL's.
    #[test]
    fn sizes_are_written_and_read() {
        for (size, text) in [
            (0, "0 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (-10241, "-10 kB"),
            (123_456_789_012_345, "112 TB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(pretty(size), text);
        }
        for (text, size) in
            [("1 GB", 1 << 30), ("1.5kB", 1536), ("-10 mb", -10_485_760), ("12", 12), ("1e3 bytes", 1000)]
        {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        assert!(bytes("x").is_err());
        assert_eq!(bytes("1 xx").unwrap_err().report().detail.as_deref(), Some("Invalid size unit: \"xx\"."));
    }
}
