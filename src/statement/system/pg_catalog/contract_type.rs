//! The PostgreSQL type of a column that is known from its contract: alone, where the table has not been seen yet or is not
//! the principal's to read, and what a table's texts are called where it has been.
//!
//! Names of types come from three dialects and many stores (see `mesh::conformity`, which compares them with tables). What
//! a name does not say is guessed as tables mostly have it; a name that is not known is text.

use crate::catalog::model::Column;
use crate::pgtype::common::Typed;
use crate::pgtype::{self, PgType, oid};

/// The longest `varchar(n)` (`MaxAttrSize`).
const LENGTH_MAX: i32 = 10_485_760;

/// The type as the contract tells it: the physical one where it is known, else the logical one.
pub fn of(column: &Column) -> PgType {
    let names = [column.physical_type.as_deref(), column.logical_type.as_deref()];
    names.into_iter().flatten().find_map(named).unwrap_or_else(|| plain(oid::TEXT))
}

/// What texts, or arrays of them, are called that the contract declares with a length, or as varying: Delta has one type
/// of texts. `None` where it says no more than the table does.
pub fn of_texts(column: &Column) -> Option<Typed> {
    let found = of(column);
    let element = pgtype::element_oid(found.oid).unwrap_or(found.oid);
    matches!(element, oid::VARCHAR | oid::BPCHAR).then_some((found.oid, found.typmod))
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
        "varchar" | "character varying" | "nvarchar" | "char varying" => text(oid::VARCHAR, inside),
        // without a length the name promises a text, and PostgreSQL one character
        "char" | "character" | "nchar" | "bpchar" if length(inside).is_some() => text(oid::BPCHAR, inside),
        // Delta has no time of day
        "string"
        | "text"
        | "clob"
        | "uuid"
        | "json"
        | "enum"
        | "email"
        | "uri"
        | "keyword"
        | "char"
        | "character"
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

/// `varchar(40)`, and `varchar` or `varchar(max)`, which have no length.
fn text(type_oid: u32, arguments: &str) -> PgType {
    with_typmod(type_oid, length(arguments).map_or(-1, |length| length + 4))
}

fn length(arguments: &str) -> Option<i32> {
    arguments.trim().parse().ok().filter(|length| (1..=LENGTH_MAX).contains(length))
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
            ("varchar(20)", (1043, 24)),
            ("Character Varying(40)", (1043, 44)),
            ("VARCHAR", (1043, -1)),
            ("nvarchar(max)", (1043, -1)),
            ("char(3)", (1042, 7)),
            ("char", (25, -1)),
            ("varchar(5)[]", (1015, 9)),
            ("array<varchar(5)>", (1015, 9)),
            ("varchar(0)", (1043, -1)),
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

    #[test]
    fn texts_are_called_what_the_contract_calls_them() {
        let texts = |physical: &str, logical: &str| {
            let (logical_type, physical_type) = (Some(logical.to_owned()), Some(physical.to_owned()));
            of_texts(&Column { logical_type, physical_type, ..fixtures::column("x") })
        };
        assert_eq!(texts("varchar(40)", "string"), Some((oid::VARCHAR, 44)));
        assert_eq!(texts("array<char(2)>", "array"), Some((1014, 6)));
        assert_eq!(texts("HUGE_TEXT", "varchar(3)"), Some((oid::VARCHAR, 7)));
        assert_eq!((texts("string", "string"), texts("text", "varchar(40)"), texts("int", "x")), (None, None, None));
    }
}
