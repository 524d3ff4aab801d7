//! The PostgreSQL type of a column that is known from its contract alone: the table has not been seen yet, or is not the
//! principal's to read.
//!
//! Names of types come from three dialects and many stores (see `mesh::conformity`, which compares them with tables). What
//! a name does not say is guessed as tables mostly have it; a name that is not known is text.

use crate::catalog::model::Column;
use crate::pgtype::{self, PgType, oid};

/// The type as the contract tells it: the physical one where it is known, else the logical one.
pub fn of(column: &Column) -> PgType {
    let names = [column.physical_type.as_deref(), column.logical_type.as_deref()];
    names.into_iter().flatten().find_map(named).unwrap_or_else(|| plain(oid::TEXT))
}

fn plain(oid: u32) -> PgType {
    with_typmod(oid, -1)
}

fn with_typmod(type_oid: u32, typmod: i32) -> PgType {
    let field = pgtype::field("", type_oid, typmod, true);
    field.map_or(PgType { oid: oid::TEXT, len: -1, typmod: -1 }, |field| pgtype::pg_type(&field))
}

fn named(name: &str) -> Option<PgType> {
    let name = name.trim().to_ascii_lowercase();
    if let Some(element) = name.strip_suffix("[]") {
        return array(element);
    }
    let at = name.find(['(', '<']).unwrap_or(name.len());
    let (base, arguments) = name.split_at(at);
    let end = arguments.rfind([')', '>']).map_or(arguments.len(), |end| end + 1);
    let (arguments, tail) = arguments.split_at(end);
    let inside = arguments.get(1..arguments.len().saturating_sub(1)).unwrap_or_default();
    let base = format!("{} {}", base.trim(), tail.trim());
    Some(match base.trim() {
        // Delta has one type of texts, without a length, and no time of day
        "string"
        | "text"
        | "clob"
        | "uuid"
        | "json"
        | "enum"
        | "email"
        | "uri"
        | "keyword"
        | "varchar"
        | "char"
        | "character"
        | "character varying"
        | "nvarchar"
        | "nchar"
        | "bpchar"
        | "time"
        | "time without time zone" => plain(oid::TEXT),
        "integer" | "int" | "whole" | "int32" | "int4" => plain(oid::INT4),
        "long" | "bigint" | "int64" => plain(oid::INT8),
        "short" | "smallint" | "int16" | "int2" | "byte" | "tinyint" => plain(oid::INT2),
        "double" | "double precision" | "float64" | "float8" | "number" => plain(oid::FLOAT8),
        "float" | "real" | "float32" | "float4" => plain(oid::FLOAT4),
        "decimal" | "dec" | "money" | "numeric" => numeric(inside),
        "boolean" | "bool" | "bit" => plain(oid::BOOL),
        "date" => plain(oid::DATE),
        "timestamp_ntz" | "timestampntz" | "timestamp without time zone" | "datetime2" => plain(oid::TIMESTAMP),
        "timestamp"
        | "datetime"
        | "timestamp_tz"
        | "timestamp_ltz"
        | "timestamptz"
        | "timestamp with time zone"
        | "datetimeoffset" => plain(oid::TIMESTAMPTZ),
        "binary" | "varbinary" | "bytes" | "bytea" | "blob" => plain(oid::BYTEA),
        "array" | "list" => array(if inside.is_empty() { "string" } else { inside })?,
        "map" | "object" | "variant" | "struct" | "record" | "row" => plain(oid::JSONB),
        _ => return None,
    })
}

/// An array of arrays has the type of its innermost elements' arrays.
fn array(element: &str) -> Option<PgType> {
    let element = named(element)?;
    let array = pgtype::array_oid(element.oid).unwrap_or(element.oid);
    Some(PgType { oid: array, len: -1, typmod: element.typmod })
}

/// `18,2`; Delta's decimal is `decimal(10,0)` where nothing is said.
fn numeric(arguments: &str) -> PgType {
    let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
    let number = |text: &str| text.trim().parse::<u8>().ok().filter(|number| *number <= 76);
    let (precision, scale) = (number(precision).unwrap_or(10), number(scale).unwrap_or(0));
    with_typmod(oid::NUMERIC, (i32::from(precision) << 16 | i32::from(scale)) + 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixtures;

    fn typed(physical: Option<&str>, logical: Option<&str>) -> (u32, i32) {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let column = Column { physical_type: owned(physical), logical_type: owned(logical), ..fixtures::column("x") };
        (of(&column).oid, of(&column).typmod)
    }

    #[test]
    fn names_of_types_are_types() {
        for (name, expected) in [
            ("STRING", (25, -1)),
            ("varchar(20)", (25, -1)),
            ("bigint", (20, -1)),
            ("decimal(18,2)", (1700, 18 << 16 | 6)),
            ("decimal", (1700, (10 << 16) + 4)),
            ("decimal(9)", (1700, (9 << 16) + 4)),
            ("timestamp(6) with time zone", (1184, -1)),
            ("timestamp_ntz", (1114, -1)),
            ("array<int>", (1007, -1)),
            ("array<array<string>>", (1009, -1)),
            ("decimal(5,1)[]", (1231, (5 << 16 | 1) + 4)),
            ("struct<a:int>", (3802, -1)),
        ] {
            assert_eq!(typed(Some(name), None), expected, "{name}");
        }
        assert_eq!(
            typed(Some("geography"), Some("integer")),
            (23, -1),
            "the logical type, where the other is not known"
        );
        assert_eq!(typed(Some("smallint"), Some("integer")), (21, -1));
        assert_eq!((typed(None, None), typed(Some("array<geography>"), None)), ((25, -1), (25, -1)));
    }
}
