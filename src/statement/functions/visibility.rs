//! Whether an object is found by its name alone: `pg_table_is_visible` and the like.
//!
//! PostgreSQL 15, section 9.26.3 "Schema Visibility Inquiry Functions" (`namespace.c`). NULL for what does not exist.

use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::Known;
use super::procs;
use crate::error::Result;

const BY_OID: &[&[Arg]] = &[&[Arg::Oid]];

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("pg_table_is_visible", BY_OID, Returns::Bool, table),
    Spec::new("pg_type_is_visible", BY_OID, Returns::Bool, type_),
    Spec::new("pg_function_is_visible", BY_OID, Returns::Bool, |known, row| {
        by_name(known, row, "pg_proc", &["proargtypes"])
    }),
    Spec::new("pg_operator_is_visible", BY_OID, Returns::Bool, |known, row| {
        by_name(known, row, "pg_operator", &["oprleft", "oprright"])
    }),
    Spec::new("pg_opclass_is_visible", BY_OID, Returns::Bool, |known, row| {
        by_name(known, row, "pg_opclass", &["opcmethod"])
    }),
    Spec::new("pg_opfamily_is_visible", BY_OID, Returns::Bool, |known, row| {
        by_name(known, row, "pg_opfamily", &["opfmethod"])
    }),
    Spec::new("pg_collation_is_visible", BY_OID, Returns::Bool, |known, row| {
        by_name(known, row, "pg_collation", &["collencoding"])
    }),
    Spec::new("pg_conversion_is_visible", BY_OID, Returns::Bool, |known, row| {
        by_name(known, row, "pg_conversion", &[])
    }),
    Spec::new("pg_ts_config_is_visible", BY_OID, Returns::Bool, |known, row| by_name(known, row, "pg_ts_config", &[])),
    Spec::new("pg_ts_dict_is_visible", BY_OID, Returns::Bool, |known, row| by_name(known, row, "pg_ts_dict", &[])),
    Spec::new("pg_ts_parser_is_visible", BY_OID, Returns::Bool, |known, row| by_name(known, row, "pg_ts_parser", &[])),
    Spec::new("pg_ts_template_is_visible", BY_OID, Returns::Bool, |known, row| {
        by_name(known, row, "pg_ts_template", &[])
    }),
    // there are none
    Spec::new("pg_statistics_obj_is_visible", BY_OID, Returns::Bool, |_, _| Ok(Value::Null)),
];

fn table(known: &Known, row: &Row<'_>) -> Result<Value> {
    let found = row.oid(0)?.and_then(|oid| Some((oid, known.oids.relation_name(oid)?)));
    Ok(Value::or_null(found, |(oid, relation)| {
        let first = known.path().iter().find_map(|schema| known.oids.relation(schema, &relation.name));
        Value::Bool(first == Some(oid))
    }))
}

fn type_(known: &Known, row: &Row<'_>) -> Result<Value> {
    let found = row.oid(0)?.and_then(|oid| Some((oid, known.oids.type_name(oid)?)));
    Ok(Value::or_null(found, |(oid, found)| {
        let first = known.path().iter().find_map(|schema| known.oids.type_oid(schema, &found.name));
        Value::Bool(first == Some(oid))
    }))
}

/// The first of the name that has the same in these columns.
fn by_name(known: &Known, row: &Row<'_>, relation: &str, alike: &[&str]) -> Result<Value> {
    let Some(facts) = procs::facts(relation) else { return Ok(Value::Null) };
    let Some(oid) = row.oid(0)? else { return Ok(Value::Null) };
    let Some((name, _)) = facts.name(oid) else { return Ok(Value::Null) };
    let namespaces = known.path().iter().filter_map(|schema| known.oids.namespace(schema));
    let mut found =
        namespaces.flat_map(|namespace| facts.named(namespace, &name)).filter(|other| same(facts, oid, *other, alike));
    Ok(Value::Bool(found.next() == Some(oid)))
}

fn same(facts: &procs::Named, one: u32, other: u32, columns: &[&str]) -> bool {
    let (Some(one), Some(other)) = (facts.row(one), facts.row(other)) else { return false };
    columns.iter().all(|column| facts.text(one, column) == facts.text(other, column))
}
