//! `columns`, the elements of their arrays, and the rights to read them.

use std::collections::HashMap;

use datafusion::arrow::array::RecordBatch;

use super::tables::{own, readable, rights, schema_of};
use super::{NO, SCHEMA, filled};
use crate::error::Result;
use crate::pgtype::{PgType, TYPMOD_HEADER, element_oid, known, oid};
use crate::statement::context::Context;
use crate::statement::system::objects::Part;
use crate::statement::system::pg_catalog;
use crate::statement::system::pg_catalog::facts::Cells;

/// The most bytes that a text may have, as PostgreSQL says it.
const TEXT_BYTES_MAX: i32 = 1 << 30;
/// Bytes of a character at most.
const CHARACTER_BYTES_MAX: i32 = 4;

struct Row {
    schema: String,
    table: String,
    name: String,
    number: i32,
    pg_type: PgType,
    /// The domain that the type is of, in `information_schema`.
    domain: Option<String>,
    not_null: bool,
}

/// PostgreSQL's own columns.
fn own_rows(part: Part) -> Vec<Row> {
    let relations: HashMap<String, _> = own(part).into_iter().map(|shape| (shape.oid.to_string(), shape)).collect();
    if relations.is_empty() {
        return Vec::new();
    }
    let types = Cells::of("pg_type");
    let domains: HashMap<String, String> = types
        .rows()
        .filter(|row| types.value(*row, "typtype").as_deref() == Some("d"))
        .filter_map(|row| Some((types.value(row, "oid")?.into_owned(), types.value(row, "typname")?.into_owned())))
        .collect();
    let attributes = Cells::of("pg_attribute");
    let row = |row: usize| {
        let text = |column| attributes.value(row, column).unwrap_or_default();
        let number: i32 = text("attnum").parse().ok().filter(|number| *number > 0)?;
        let shape = relations.get(&*text("attrelid"))?;
        let field = shape.columns.fields().get(number as usize - 1)?;
        Some(Row {
            schema: schema_of(shape).to_owned(),
            table: shape.name.to_owned(),
            name: field.name().clone(),
            number,
            pg_type: crate::pgtype::pg_type(field),
            domain: domains.get(&*text("atttypid")).cloned(),
            not_null: !field.is_nullable(),
        })
    };
    attributes.rows().filter_map(row).collect()
}

fn all(context: &Context, part: Part) -> Result<Vec<Row>> {
    let mut rows = own_rows(part);
    for relation in readable(context, part)? {
        for (at, column) in relation.columns(context).into_iter().enumerate() {
            rows.push(Row {
                schema: relation.schema.to_string(),
                table: relation.name.to_owned(),
                name: column.name.into_owned(),
                number: at as i32 + 1,
                pg_type: column.pg_type,
                domain: None,
                not_null: column.not_null,
            });
        }
    }
    Ok(rows)
}

/// What the standard tells of a type.
#[derive(Default)]
struct Described {
    data_type: &'static str,
    characters: Option<i32>,
    octets: Option<i32>,
    precision: Option<i32>,
    radix: Option<i32>,
    scale: Option<i32>,
    moment_precision: Option<i32>,
}

impl Described {
    fn of(pg_type: &PgType) -> Self {
        let number =
            |precision, radix, scale| Self { precision: Some(precision), radix: Some(radix), scale, ..Self::default() };
        let typmod = pg_type.typmod;
        let plain = match pg_type.oid {
            oid::INT2 => number(16, 2, Some(0)),
            oid::INT4 => number(32, 2, Some(0)),
            oid::INT8 => number(64, 2, Some(0)),
            oid::FLOAT4 => number(24, 2, None),
            oid::FLOAT8 => number(53, 2, None),
            oid::NUMERIC if typmod >= TYPMOD_HEADER => {
                let bits = typmod - TYPMOD_HEADER;
                number(bits >> 16, 10, Some(((bits & 0x7ff) ^ 0x400) - 0x400))
            }
            oid::NUMERIC => Self { radix: Some(10), ..Self::default() },
            oid::VARCHAR | oid::BPCHAR if typmod >= TYPMOD_HEADER => {
                let characters = typmod - TYPMOD_HEADER;
                let octets = characters.checked_mul(CHARACTER_BYTES_MAX);
                Self { characters: Some(characters), octets, ..Self::default() }
            }
            oid::TEXT | oid::VARCHAR | oid::BPCHAR => Self { octets: Some(TEXT_BYTES_MAX), ..Self::default() },
            oid::DATE => Self { moment_precision: Some(0), ..Self::default() },
            oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::INTERVAL => {
                Self { moment_precision: Some(if typmod < 0 { 6 } else { typmod }), ..Self::default() }
            }
            _ => Self::default(),
        };
        let is_array = element_oid(pg_type.oid).is_some();
        Self { data_type: if is_array { "ARRAY" } else { sql_name(pg_type.oid) }, ..plain }
    }
}

/// As `format_type` names a type without its modifier.
fn sql_name(type_oid: u32) -> &'static str {
    match type_oid {
        oid::BOOL => "boolean",
        oid::CHAR => "\"char\"",
        oid::INT2 => "smallint",
        oid::INT4 => "integer",
        oid::INT8 => "bigint",
        oid::FLOAT4 => "real",
        oid::FLOAT8 => "double precision",
        oid::BPCHAR => "character",
        oid::VARCHAR => "character varying",
        oid::TIME => "time without time zone",
        oid::TIMESTAMP => "timestamp without time zone",
        oid::TIMESTAMPTZ => "timestamp with time zone",
        other => known::by_oid(other).map_or("USER-DEFINED", |known| known.name),
    }
}

/// The internal name of a type.
fn internal_name(type_oid: u32) -> String {
    match element_oid(type_oid) {
        Some(element) => format!("_{}", internal_name(element)),
        None => known::by_oid(type_oid).map_or_else(String::new, |known| known.name.to_owned()),
    }
}

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let described: Vec<Described> = rows.iter().map(|row| Described::of(&row.pg_type)).collect();
    let database = &*context.facts.database;
    // names alone have a collation of their own
    let collation = |row: &Row| row.pg_type.oid == oid::NAME || row.domain.is_some() && row.pg_type.oid == oid::VARCHAR;
    let of_collation = |text| rows.iter().map(move |row| collation(row).then_some(text));
    let of_domain = |text| rows.iter().map(move |row| row.domain.as_ref().map(|_| text));
    filled("columns", rows.len())?
        .all("table_catalog", database)
        .texts("table_schema", rows.iter().map(|row| Some(&row.schema)))
        .texts("table_name", rows.iter().map(|row| Some(&row.table)))
        .texts("column_name", rows.iter().map(|row| Some(&row.name)))
        .int4s("ordinal_position", rows.iter().map(|row| Some(row.number)))
        .texts("is_nullable", rows.iter().map(|row| Some(if row.not_null { NO } else { super::YES })))
        .texts("data_type", described.iter().map(|described| Some(described.data_type)))
        .int4s("character_maximum_length", described.iter().map(|described| described.characters))
        .int4s("character_octet_length", described.iter().map(|described| described.octets))
        .int4s("numeric_precision", described.iter().map(|described| described.precision))
        .int4s("numeric_precision_radix", described.iter().map(|described| described.radix))
        .int4s("numeric_scale", described.iter().map(|described| described.scale))
        .int4s("datetime_precision", described.iter().map(|described| described.moment_precision))
        .texts("collation_catalog", of_collation(database))
        .texts("collation_schema", of_collation(pg_catalog::SCHEMA))
        .texts("collation_name", of_collation("C"))
        .texts("domain_catalog", of_domain(database))
        .texts("domain_schema", of_domain(SCHEMA))
        .texts("domain_name", rows.iter().map(|row| row.domain.as_ref()))
        .all("udt_catalog", database)
        .all("udt_schema", pg_catalog::SCHEMA)
        .texts("udt_name", rows.iter().map(|row| Some(internal_name(row.pg_type.oid))))
        .texts("dtd_identifier", rows.iter().map(|row| Some(row.number.to_string())))
        .all("is_self_referencing", NO)
        .all("is_identity", NO)
        .all("identity_cycle", NO)
        .all("is_generated", "NEVER")
        .all("is_updatable", NO)
        .finish()
}

/// The elements of arrays; PostgreSQL tells no more of them than their type.
pub fn element_types(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let rows: Vec<_> = rows.iter().filter_map(|row| Some((row, element_oid(row.pg_type.oid)?))).collect();
    filled("element_types", rows.len())?
        .all("object_catalog", &context.facts.database)
        .texts("object_schema", rows.iter().map(|(row, _)| Some(&row.schema)))
        .texts("object_name", rows.iter().map(|(row, _)| Some(&row.table)))
        .all("object_type", "TABLE")
        .texts("collection_type_identifier", rows.iter().map(|(row, _)| Some(row.number.to_string())))
        .texts("data_type", rows.iter().map(|(_, element)| Some(sql_name(*element))))
        .all("udt_catalog", &context.facts.database)
        .all("udt_schema", pg_catalog::SCHEMA)
        .texts("udt_name", rows.iter().map(|(_, element)| Some(internal_name(*element))))
        .texts("dtd_identifier", rows.iter().map(|(row, _)| Some(format!("a{}", row.number))))
        .finish()
}

pub fn privileges(context: &Context, part: Part) -> Result<RecordBatch> {
    rights_as("column_privileges", context, part)
}

pub fn grants(context: &Context, part: Part) -> Result<RecordBatch> {
    rights_as("role_column_grants", context, part)
}

/// The right to read each column of the products that the principal may read.
fn rights_as(relation: &str, context: &Context, part: Part) -> Result<RecordBatch> {
    let mut relations = readable(context, part)?;
    relations.retain(|relation| relation.product().is_some());
    let mut rows = Vec::new();
    for (grantor, grantee, relation) in rights(&relations, context) {
        rows.extend(relation.columns(context).into_iter().map(|column| (grantor, grantee, relation, column.name)));
    }
    filled(relation, rows.len())?
        .texts("grantor", rows.iter().map(|(grantor, ..)| Some(grantor)))
        .texts("grantee", rows.iter().map(|(_, grantee, ..)| Some(grantee)))
        .all("table_catalog", &context.facts.database)
        .texts("table_schema", rows.iter().map(|(_, _, of, _)| Some(&of.schema)))
        .texts("table_name", rows.iter().map(|(_, _, of, _)| Some(of.name)))
        .texts("column_name", rows.iter().map(|(.., column)| Some(column)))
        .all("privilege_type", "SELECT")
        .all("is_grantable", NO)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_described_as_the_standard_does() {
        let of = |oid, typmod| {
            let found = Described::of(&PgType { oid, len: -1, typmod });
            (found.data_type, found.characters, found.precision, found.scale, found.moment_precision)
        };
        assert_eq!(of(oid::NUMERIC, 655_366), ("numeric", None, Some(10), Some(2), None));
        assert_eq!(of(oid::NUMERIC, 329_730), ("numeric", None, Some(5), Some(-2), None));
        assert_eq!(of(oid::VARCHAR, 24), ("character varying", Some(20), None, None, None));
        assert_eq!(of(oid::TIMESTAMPTZ, -1), ("timestamp with time zone", None, None, None, Some(6)));
        assert_eq!(of(1009, -1).0, "ARRAY");
        assert_eq!((internal_name(1009), internal_name(oid::INT4)), ("_text".to_owned(), "int4".to_owned()));
    }
}
