//! `pg_attribute`: columns of tables, views and indexes.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::array::{RecordBatch, StringBuilder};

use super::facts::Cells;
use super::filled::Filled;
use crate::error::Result;
use crate::pgtype::PgType;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part};

/// What a column takes over from its type (`pg_type`).
#[derive(Clone, Copy)]
struct OfType {
    by_value: bool,
    align: char,
    storage: char,
    collation: u32,
}

static TYPES: LazyLock<HashMap<u32, OfType>> = LazyLock::new(|| {
    let types = Cells::of("pg_type");
    let one = |row: usize| {
        let text = |column| types.value(row, column).unwrap_or_default();
        let letter = |column| text(column).chars().next();
        let of_type = OfType {
            by_value: text("typbyval") == "t",
            align: letter("typalign")?,
            storage: letter("typstorage")?,
            collation: text("typcollation").parse().ok()?,
        };
        Some((text("oid").parse().ok()?, of_type))
    };
    types.rows().filter_map(one).collect()
});

/// Columns as they are collected, one vector for each that differs from row to row.
#[derive(Default)]
struct Rows {
    relations: Vec<u32>,
    names: StringBuilder,
    numbers: Vec<i16>,
    types: Vec<PgType>,
    not_null: Vec<bool>,
}

impl Rows {
    fn push(&mut self, relation: u32, number: i16, name: &str, pg_type: PgType, not_null: bool) {
        self.relations.push(relation);
        self.names.append_value(name);
        self.numbers.push(number);
        self.types.push(pg_type);
        self.not_null.push(not_null);
    }
}

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let mut rows = Rows::default();
    for relation in objects::relations(context, part)? {
        let columns = relation.columns(context);
        for (at, column) in columns.iter().enumerate() {
            rows.push(relation.oid, at as i16 + 1, &column.name, column.pg_type, column.not_null);
        }
        for key in relation.keys(&columns, context).iter().filter(|key| key.index != 0) {
            for (at, number) in key.numbers.iter().enumerate() {
                let Some(column) = columns.get(*number as usize - 1) else { continue };
                rows.push(key.index, at as i16 + 1, &column.name, column.pg_type, false);
            }
        }
    }
    let unknown = OfType { by_value: false, align: 'i', storage: 'x', collation: 0 };
    let of_types: Vec<OfType> =
        rows.types.iter().map(|pg_type| TYPES.get(&pg_type.oid).copied().unwrap_or(unknown)).collect();
    let dimensions = |pg_type: &PgType| Some(i32::from(crate::pgtype::element_oid(pg_type.oid).is_some()));
    Filled::catalog("pg_attribute", rows.relations.len())?
        .oids("attrelid", rows.relations)
        .array("attname", std::sync::Arc::new(rows.names.finish()))
        .oids("atttypid", rows.types.iter().map(|pg_type| pg_type.oid))
        .all("attstattarget", "-1")
        .int2s("attlen", rows.types.iter().map(|pg_type| pg_type.len))
        .int2s("attnum", rows.numbers)
        .int4s("attndims", rows.types.iter().map(dimensions))
        .all("attcacheoff", "-1")
        .int4s("atttypmod", rows.types.iter().map(|pg_type| Some(pg_type.typmod)))
        .bools("attbyval", of_types.iter().map(|of_type| of_type.by_value))
        .chars("attalign", of_types.iter().map(|of_type| of_type.align))
        .chars("attstorage", of_types.iter().map(|of_type| of_type.storage))
        .bools("attnotnull", rows.not_null)
        .all("attislocal", "t")
        .oids("attcollation", of_types.iter().map(|of_type| of_type.collation))
        .finish()
}
