//! What an index can do: `pg_indexam_has_property` and the like.
//!
//! PostgreSQL 15, section 9.26.4 "System Catalog Information Functions" (`amutils.c`). A mesh has keys and no indexes beside
//! them, so every index is shown as what a key is in PostgreSQL: a B-tree in ascending order, NULLs last.

use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::Known;
use crate::error::Result;

/// The access method `btree` (`pg_am.dat`).
const BTREE: u32 = 403;

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("pg_indexam_has_property", &[&[Arg::Oid, Arg::Text]], Returns::Bool, of_method),
    Spec::new("pg_index_has_property", &[&[Arg::Oid, Arg::Text]], Returns::Bool, of_index),
    Spec::new("pg_index_column_has_property", &[&[Arg::Oid, Arg::Int, Arg::Text]], Returns::Bool, of_column),
];

fn truth(found: Option<bool>) -> Value {
    Value::or_null(found, Value::Bool)
}

fn of_method(_: &Known, row: &Row<'_>) -> Result<Value> {
    let (Some(method), Some(property)) = (row.oid(0)?, row.text(1)) else { return Ok(Value::Null) };
    Ok(truth(match property.to_ascii_lowercase().as_str() {
        "can_order" | "can_unique" | "can_multi_col" | "can_exclude" | "can_include" if method == BTREE => Some(true),
        _ => None,
    }))
}

fn of_index(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (Some(index), Some(property)) = (row.oid(0)?, row.text(1)) else { return Ok(Value::Null) };
    if !is_index(known, index) {
        return Ok(Value::Null);
    }
    Ok(truth(match property.to_ascii_lowercase().as_str() {
        "clusterable" | "index_scan" | "bitmap_scan" | "backward_scan" => Some(true),
        _ => None,
    }))
}

fn of_column(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (Some(index), Some(number), Some(property)) = (row.oid(0)?, row.int(1), row.text(2)) else {
        return Ok(Value::Null);
    };
    if !is_index(known, index) || number < 1 {
        return Ok(Value::Null);
    }
    Ok(truth(match property.to_ascii_lowercase().as_str() {
        "asc" | "nulls_last" | "orderable" | "returnable" | "search_array" | "search_nulls" => Some(true),
        "desc" | "nulls_first" | "distance_orderable" => Some(false),
        _ => None,
    }))
}

fn is_index(known: &Known, oid: u32) -> bool {
    known.oids.relation_name(oid).is_some_and(|relation| relation.kind == 'i')
}
