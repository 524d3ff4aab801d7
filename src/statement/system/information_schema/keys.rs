//! The keys of contracts, and what they refer to.

use datafusion::arrow::array::RecordBatch;

use super::tables::readable;
use super::{NO, YES, filled};
use crate::catalog::keys::KeyKind;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{Part, Referred, TableKey};

struct Row {
    schema: String,
    table: String,
    name: String,
    kind: KeyKind,
    columns: Vec<String>,
    refers_to: Option<Other>,
}

/// What a foreign key refers to.
struct Other {
    schema: String,
    table: String,
    columns: Vec<String>,
    /// The key of these columns, if it is declared.
    key: Option<String>,
}

fn all(context: &Context, part: Part) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for relation in &readable(context, part)? {
        if relation.product().is_none() {
            continue;
        }
        for TableKey { key, refers_to, .. } in relation.keys(&relation.columns(context), context) {
            let other = |referred: Referred<'_>| Other {
                schema: referred.relation.schema.to_string(),
                table: referred.relation.name.to_owned(),
                columns: key.references.map(|relationship| relationship.referenced.clone()).unwrap_or_default(),
                key: referred.key.map(|(name, _)| name),
            };
            rows.push(Row {
                schema: relation.schema.to_string(),
                table: relation.name.to_owned(),
                refers_to: refers_to.map(other),
                kind: key.kind,
                columns: key.columns.iter().map(|column| (*column).to_owned()).collect(),
                name: key.name,
            });
        }
    }
    Ok(rows)
}

pub fn constraints(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let kind = |row: &Row| match row.kind {
        KeyKind::Primary => "PRIMARY KEY",
        KeyKind::Unique => "UNIQUE",
        KeyKind::Foreign => "FOREIGN KEY",
    };
    let nulls_distinct = |row: &Row| (row.kind == KeyKind::Unique).then_some(YES);
    filled("table_constraints", rows.len())?
        .all("constraint_catalog", &context.facts.database)
        .texts("constraint_schema", rows.iter().map(|row| Some(&row.schema)))
        .texts("constraint_name", rows.iter().map(|row| Some(&row.name)))
        .all("table_catalog", &context.facts.database)
        .texts("table_schema", rows.iter().map(|row| Some(&row.schema)))
        .texts("table_name", rows.iter().map(|row| Some(&row.table)))
        .texts("constraint_type", rows.iter().map(|row| Some(kind(row))))
        .all("is_deferrable", NO)
        .all("initially_deferred", NO)
        .all("enforced", YES)
        .texts("nulls_distinct", rows.iter().map(nulls_distinct))
        .finish()
}

pub fn references(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let rows: Vec<(&Row, &Other)> = rows.iter().filter_map(|row| Some((row, row.refers_to.as_ref()?))).collect();
    filled("referential_constraints", rows.len())?
        .all("constraint_catalog", &context.facts.database)
        .texts("constraint_schema", rows.iter().map(|(row, _)| Some(&row.schema)))
        .texts("constraint_name", rows.iter().map(|(row, _)| Some(&row.name)))
        .texts("unique_constraint_catalog", rows.iter().map(|(_, to)| to.key.as_ref().map(|_| &context.facts.database)))
        .texts("unique_constraint_schema", rows.iter().map(|(_, to)| to.key.as_ref().map(|_| &to.schema)))
        .texts("unique_constraint_name", rows.iter().map(|(_, to)| to.key.as_ref()))
        .all("match_option", "NONE")
        .all("update_rule", "NO ACTION")
        .all("delete_rule", "NO ACTION")
        .finish()
}

/// Each column of each key, with its place in the key.
fn columns(rows: &[Row]) -> Vec<(&Row, &str, i32)> {
    let mut columns = Vec::new();
    for row in rows {
        columns.extend(row.columns.iter().enumerate().map(|(at, column)| (row, column.as_str(), at as i32 + 1)));
    }
    columns
}

pub fn key_columns(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let columns = columns(&rows);
    filled("key_column_usage", columns.len())?
        .all("constraint_catalog", &context.facts.database)
        .texts("constraint_schema", columns.iter().map(|(row, ..)| Some(&row.schema)))
        .texts("constraint_name", columns.iter().map(|(row, ..)| Some(&row.name)))
        .all("table_catalog", &context.facts.database)
        .texts("table_schema", columns.iter().map(|(row, ..)| Some(&row.schema)))
        .texts("table_name", columns.iter().map(|(row, ..)| Some(&row.table)))
        .texts("column_name", columns.iter().map(|(_, column, _)| Some(column)))
        .int4s("ordinal_position", columns.iter().map(|(.., at)| Some(*at)))
        .finish()
}

/// Schema, table and columns that each key is about: of a foreign key, those that it refers to.
fn about(rows: &[Row]) -> Vec<(&Row, &str, &str, &[String])> {
    let mut about = Vec::with_capacity(rows.len());
    for row in rows {
        about.push(match &row.refers_to {
            Some(to) => (row, to.schema.as_str(), to.table.as_str(), to.columns.as_slice()),
            None => (row, row.schema.as_str(), row.table.as_str(), row.columns.as_slice()),
        });
    }
    about
}

pub fn column_usage(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let mut columns = Vec::new();
    for (row, schema, table, names) in about(&rows) {
        columns.extend(names.iter().map(|name| (row, schema, table, name)));
    }
    filled("constraint_column_usage", columns.len())?
        .all("table_catalog", &context.facts.database)
        .texts("table_schema", columns.iter().map(|(_, schema, ..)| Some(schema)))
        .texts("table_name", columns.iter().map(|(_, _, table, _)| Some(table)))
        .texts("column_name", columns.iter().map(|(.., column)| Some(column)))
        .all("constraint_catalog", &context.facts.database)
        .texts("constraint_schema", columns.iter().map(|(row, ..)| Some(&row.schema)))
        .texts("constraint_name", columns.iter().map(|(row, ..)| Some(&row.name)))
        .finish()
}

pub fn table_usage(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let tables = about(&rows);
    filled("constraint_table_usage", tables.len())?
        .all("table_catalog", &context.facts.database)
        .texts("table_schema", tables.iter().map(|(_, schema, ..)| Some(schema)))
        .texts("table_name", tables.iter().map(|(_, _, table, _)| Some(table)))
        .all("constraint_catalog", &context.facts.database)
        .texts("constraint_schema", tables.iter().map(|(row, ..)| Some(&row.schema)))
        .texts("constraint_name", tables.iter().map(|(row, ..)| Some(&row.name)))
        .finish()
}
