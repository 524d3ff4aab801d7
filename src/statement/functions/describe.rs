//! Types by their SQL names: `format_type`, and the `_pg_…` functions of the information schema that take types apart.
//!
//! PostgreSQL 15, section 9.26.5 "System Catalog Information Functions" (`format_type.c`), and `information_schema.sql`.

use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::Known;
use super::{quote, reg};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::{known, oid};

/// `VARHDRSZ`, which typmods of lengths and of numerics contain.
const HEADER: i32 = 4;
/// The precision of an interval that says none (`INTERVAL_FULL_PRECISION`).
const INTERVAL_FULL_PRECISION: i32 = 0xffff;
/// The fields of an interval that says none (`INTERVAL_FULL_RANGE`).
const INTERVAL_FULL_RANGE: i32 = 0x7fff;
const INT2VECTOR: u32 = 22;
const OIDVECTOR: u32 = 30;
const TIMETZ: u32 = 1266;
const BIT: u32 = 1560;
const VARBIT: u32 = 1562;
/// Fields of intervals by the bits of their typmods (`datetime.h`).
const INTERVAL_FIELDS: [(i32, &str); 13] = [
    (1 << 2, "year"),
    (1 << 1, "month"),
    (1 << 3, "day"),
    (1 << 10, "hour"),
    (1 << 11, "minute"),
    (1 << 12, "second"),
    (1 << 2 | 1 << 1, "year to month"),
    (1 << 3 | 1 << 10, "day to hour"),
    (1 << 3 | 1 << 10 | 1 << 11, "day to minute"),
    (1 << 3 | 1 << 10 | 1 << 11 | 1 << 12, "day to second"),
    (1 << 10 | 1 << 11, "hour to minute"),
    (1 << 10 | 1 << 11 | 1 << 12, "hour to second"),
    (1 << 11 | 1 << 12, "minute to second"),
];
const TYPE_AND_TYPMOD: &[&[Arg]] = &[&[Arg::Oid, Arg::Int]];

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("format_type", TYPE_AND_TYPMOD, Returns::Text, format_type).called_on_null(),
    Spec::new("_pg_char_max_length", TYPE_AND_TYPMOD, Returns::Int4, |_, row| taken_apart(row, char_max_length)),
    Spec::new("_pg_char_octet_length", TYPE_AND_TYPMOD, Returns::Int4, |_, row| taken_apart(row, char_octet_length)),
    Spec::new("_pg_numeric_precision", TYPE_AND_TYPMOD, Returns::Int4, |_, row| taken_apart(row, numeric_precision)),
    Spec::new("_pg_numeric_precision_radix", TYPE_AND_TYPMOD, Returns::Int4, |_, row| taken_apart(row, numeric_radix)),
    Spec::new("_pg_numeric_scale", TYPE_AND_TYPMOD, Returns::Int4, |_, row| taken_apart(row, numeric_scale)),
    Spec::new("_pg_datetime_precision", TYPE_AND_TYPMOD, Returns::Int4, |_, row| taken_apart(row, datetime_precision)),
    Spec::new("_pg_interval_type", TYPE_AND_TYPMOD, Returns::Text, |_, row| {
        let (Some(oid::INTERVAL), Some(typmod)) = (row.oid(0)?, row.int(1)) else { return Ok(Value::Null) };
        let written = interval(typmod as i32);
        let fields = written.strip_prefix("interval ").filter(|_| typmod >= 0);
        Ok(Value::or_null(fields, |fields| Value::Text(fields.to_uppercase())))
    }),
];

fn format_type(known: &Known, row: &Row<'_>) -> Result<Value> {
    let Some(oid) = row.oid(0)? else { return Ok(Value::Null) };
    let typmod = row.int(1).map(|typmod| typmod as i32);
    if oid == 0 {
        return Ok(Value::text("-"));
    }
    if let (oid::INTERVAL, Some(typmod)) = (oid, typmod)
        && typmod >= 0
        && interval_fields(typmod).is_none()
    {
        return Err(Error::new(SqlState::INTERNAL_ERROR, format!("invalid INTERVAL typmod: 0x{typmod:x}")));
    }
    Ok(Value::Text(type_name(oid, typmod).unwrap_or_else(|| reg::type_text(known, oid))))
}

/// A built-in type as SQL writes it; `None` for an OID that is none. Without a typmod (`None`) it is the name of the type
/// itself, with -1 that of a column which says nothing more.
pub fn type_name(oid: u32, typmod: Option<i32>) -> Option<String> {
    match oid {
        INT2VECTOR => return Some("int2vector".to_owned()),
        OIDVECTOR => return Some("oidvector".to_owned()),
        _ => {}
    }
    if let Some(element) = array_element(oid) {
        return Some(format!("{}[]", type_name(element, typmod)?));
    }
    let said = typmod.filter(|&typmod| typmod >= 0);
    let with_length = |name: &str| match said {
        Some(typmod) if typmod > HEADER => format!("{name}({})", typmod - HEADER),
        _ => name.to_owned(),
    };
    let with_number = |name: &str, rest: &str| match said {
        Some(typmod) => format!("{name}({typmod}){rest}"),
        None => format!("{name}{rest}"),
    };
    Some(match oid {
        oid::BOOL => "boolean".to_owned(),
        oid::INT2 => "smallint".to_owned(),
        oid::INT4 => "integer".to_owned(),
        oid::INT8 => "bigint".to_owned(),
        oid::FLOAT4 => "real".to_owned(),
        oid::FLOAT8 => "double precision".to_owned(),
        // "character" alone would be of length 1
        oid::BPCHAR if typmod == Some(-1) => "bpchar".to_owned(),
        oid::BPCHAR => with_length("character"),
        oid::VARCHAR => with_length("character varying"),
        BIT if typmod == Some(-1) => "\"bit\"".to_owned(),
        BIT => with_number("bit", ""),
        VARBIT => with_number("bit varying", ""),
        oid::TIME => with_number("time", " without time zone"),
        TIMETZ => with_number("time", " with time zone"),
        oid::TIMESTAMP => with_number("timestamp", " without time zone"),
        oid::TIMESTAMPTZ => with_number("timestamp", " with time zone"),
        oid::NUMERIC => match said {
            Some(typmod) if typmod >= HEADER => {
                format!("numeric({},{})", numeric_digits(typmod), numeric_fraction(typmod))
            }
            _ => "numeric".to_owned(),
        },
        oid::INTERVAL => match said {
            Some(typmod) => interval(typmod),
            None => "interval".to_owned(),
        },
        _ => with_number(&quote::ident(known::by_oid(oid)?.name), ""),
    })
}

/// The type of an array type's elements.
fn array_element(oid: u32) -> Option<u32> {
    match oid {
        1006 => Some(INT2VECTOR),
        1013 => Some(OIDVECTOR),
        _ => known::by_array(oid).map(|known| known.oid),
    }
}

fn numeric_digits(typmod: i32) -> i32 {
    ((typmod - HEADER) >> 16) & 0xffff
}

/// Eleven bits with a sign (`numeric_typmod_scale`).
fn numeric_fraction(typmod: i32) -> i32 {
    (((typmod - HEADER) & 0x7ff) ^ 1024) - 1024
}

fn interval(typmod: i32) -> String {
    let fields = interval_fields(typmod).unwrap_or_default();
    let blank = if fields.is_empty() { "" } else { " " };
    match typmod & INTERVAL_FULL_PRECISION {
        INTERVAL_FULL_PRECISION => format!("interval{blank}{fields}"),
        precision => format!("interval{blank}{fields}({precision})"),
    }
}

/// Empty for an interval of all fields, `None` for fields that no interval has.
fn interval_fields(typmod: i32) -> Option<&'static str> {
    match (typmod >> 16) & INTERVAL_FULL_RANGE {
        INTERVAL_FULL_RANGE => Some(""),
        range => INTERVAL_FIELDS.iter().find(|(bits, _)| *bits == range).map(|(_, name)| *name),
    }
}

fn taken_apart(row: &Row<'_>, part: fn(u32, i32) -> Option<i32>) -> Result<Value> {
    let (Some(oid), Some(typmod)) = (row.oid(0)?, row.int(1)) else { return Ok(Value::Null) };
    Ok(Value::or_null(part(oid, typmod as i32), |number| Value::Int(number.into())))
}

fn char_max_length(oid: u32, typmod: i32) -> Option<i32> {
    match oid {
        _ if typmod == -1 => None,
        oid::BPCHAR | oid::VARCHAR => Some(typmod - HEADER),
        BIT | VARBIT => Some(typmod),
        _ => None,
    }
}

/// A character takes four bytes at most; a value has 2^30 at most.
fn char_octet_length(oid: u32, typmod: i32) -> Option<i32> {
    match oid {
        oid::TEXT | oid::BPCHAR | oid::VARCHAR => {
            Some(char_max_length(oid, typmod).map_or(1 << 30, |length| length.saturating_mul(4)))
        }
        _ => None,
    }
}

fn numeric_precision(oid: u32, typmod: i32) -> Option<i32> {
    match oid {
        oid::INT2 => Some(16),
        oid::INT4 => Some(32),
        oid::INT8 => Some(64),
        oid::NUMERIC if typmod == -1 => None,
        oid::NUMERIC => Some(numeric_digits(typmod)),
        oid::FLOAT4 => Some(24),
        oid::FLOAT8 => Some(53),
        _ => None,
    }
}

fn numeric_radix(oid: u32, _: i32) -> Option<i32> {
    match oid {
        oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 => Some(2),
        oid::NUMERIC => Some(10),
        _ => None,
    }
}

fn numeric_scale(oid: u32, typmod: i32) -> Option<i32> {
    match oid {
        oid::INT2 | oid::INT4 | oid::INT8 => Some(0),
        oid::NUMERIC if typmod == -1 => None,
        // the information schema takes the lower bits as they are
        oid::NUMERIC => Some((typmod - HEADER) & 0xffff),
        _ => None,
    }
}

fn datetime_precision(oid: u32, typmod: i32) -> Option<i32> {
    match oid {
        oid::DATE => Some(0),
        oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ | TIMETZ => Some(if typmod < 0 { 6 } else { typmod }),
        oid::INTERVAL if typmod < 0 || typmod & INTERVAL_FULL_PRECISION == INTERVAL_FULL_PRECISION => Some(6),
        oid::INTERVAL => Some(typmod & INTERVAL_FULL_PRECISION),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers are PostgreSQL's.
    #[test]
    fn types_are_written_as_postgresql_writes_them() {
        for (oid, typmod, name) in [
            (1042, None, "character"),
            (1042, Some(-1), "bpchar"),
            (1042, Some(14), "character(10)"),
            (1043, Some(24), "character varying(20)"),
            (1043, None, "character varying"),
            (1015, Some(24), "character varying(20)[]"),
            (1700, Some(655_366), "numeric(10,2)"),
            (1700, Some(2_147_418_115), "numeric(32766,-1)"),
            (1700, Some(3), "numeric"),
            (1231, Some(655_366), "numeric(10,2)[]"),
            (1114, Some(3), "timestamp(3) without time zone"),
            (1184, None, "timestamp with time zone"),
            (1186, Some(2_147_418_115), "interval(3)"),
            (1186, Some(327_679), "interval year"),
            (1186, Some(7176 << 16 | 3), "interval day to second(3)"),
            (1560, Some(-1), "\"bit\""),
            (1562, Some(5), "bit varying(5)"),
            (23, Some(5), "integer"),
            (25, Some(5), "text(5)"),
            (18, None, "\"char\""),
            (30, None, "oidvector"),
            (1006, None, "int2vector[]"),
            (2205, None, "regclass"),
            (2276, None, "\"any\""),
        ] {
            assert_eq!(type_name(oid, typmod).as_deref(), Some(name), "{oid} {typmod:?}");
        }
        assert_eq!(type_name(99_999, None), None);
    }
}
