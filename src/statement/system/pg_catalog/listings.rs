//! `pg_tables`, `pg_views` and `pg_indexes`: PostgreSQL's views over `pg_class` for people. The server's own relations are
//! among them, as in PostgreSQL; what those are made of is not told, as they are not made of SQL here.

use datafusion::arrow::array::RecordBatch;

use super::class::holds_rows_back;
use super::facts::{self, PG_CATALOG_OID, Shape};
use super::filled::Filled;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::information_schema;
use crate::statement::system::objects::{self, Part, Relation, SERVER_ROLE, TableKey};

/// PostgreSQL's own relations of one kind, in the order of their OIDs; none for the session's part.
fn own(kind: char, part: Part) -> Vec<&'static Shape> {
    let mut found: Vec<_> = facts::all().filter(|shape| shape.kind == kind && part == Part::Mesh).collect();
    found.sort_unstable_by_key(|shape| shape.oid);
    found
}

fn schema_of(shape: &Shape) -> &'static str {
    if shape.namespace == PG_CATALOG_OID { super::SCHEMA } else { information_schema::SCHEMA }
}

fn owner<'a>(relation: &Relation<'a>, context: &'a Context) -> &'a str {
    match relation.product() {
        Some((product, _)) => &product.owner,
        None if relation.is_temporary() => &context.principal.name,
        None => SERVER_ROLE,
    }
}

pub fn tables(context: &Context, part: Part) -> Result<RecordBatch> {
    let own = own('r', part);
    let mut relations = objects::relations(context, part)?;
    relations.retain(|relation| relation.kind() == 'r');
    let has_key = |relation: &Relation<'_>| {
        relation.product().is_some_and(|(_, oids)| oids.keys.iter().any(|(_, index)| *index != 0))
    };
    let of_own = |value: bool| own.iter().map(move |_| value);
    Filled::catalog("pg_tables", own.len() + relations.len())?
        .names("schemaname", own.iter().map(|own| schema_of(own)).chain(relations.iter().map(|own| &*own.schema)))
        .names("tablename", own.iter().map(|own| own.name).chain(relations.iter().map(|relation| relation.name)))
        .names("tableowner", own.iter().map(|_| SERVER_ROLE).chain(relations.iter().map(|of| owner(of, context))))
        .bools("hasindexes", of_own(true).chain(relations.iter().map(has_key)))
        .all("hasrules", "f")
        .all("hastriggers", "f")
        .bools("rowsecurity", of_own(false).chain(relations.iter().map(holds_rows_back)))
        .finish()
}

/// `pg_stat_all_tables`: which tables there are. How they are used is nobody's to see.
pub fn all_table_statistics(context: &Context, part: Part) -> Result<RecordBatch> {
    statistics("pg_stat_all_tables", context, part)
}

pub fn table_statistics(context: &Context, part: Part) -> Result<RecordBatch> {
    statistics("pg_stat_user_tables", context, part)
}

fn statistics(view: &str, context: &Context, part: Part) -> Result<RecordBatch> {
    let mut relations = objects::relations(context, part)?;
    relations.retain(|relation| relation.kind() == 'r');
    Filled::catalog(view, relations.len())?
        .oids("relid", relations.iter().map(|relation| relation.oid))
        .texts("schemaname", relations.iter().map(|relation| Some(&relation.schema)))
        .texts("relname", relations.iter().map(|relation| Some(relation.name)))
        .finish()
}

pub fn views(context: &Context, part: Part) -> Result<RecordBatch> {
    let own = own('v', part);
    let mut relations = objects::relations(context, part)?;
    relations.retain(|relation| relation.kind() == 'v');
    let definitions = relations.iter().map(Relation::definition);
    Filled::catalog("pg_views", own.len() + relations.len())?
        .names("schemaname", own.iter().map(|own| schema_of(own)).chain(relations.iter().map(|own| &*own.schema)))
        .names("viewname", own.iter().map(|own| own.name).chain(relations.iter().map(|relation| relation.name)))
        .names("viewowner", own.iter().map(|_| SERVER_ROLE).chain(relations.iter().map(|of| owner(of, context))))
        .texts("definition", own.iter().map(|_| None).chain(definitions))
        .finish()
}

/// Those of the mesh's keys. PostgreSQL's own are in `pg_index`.
pub fn indexes(context: &Context, part: Part) -> Result<RecordBatch> {
    let relations = objects::relations(context, part)?;
    let mut rows = Vec::new();
    for relation in &relations {
        let keys = relation.keys(&relation.columns(context), context);
        for TableKey { key, .. } in keys.into_iter().filter(|key| key.index != 0) {
            let columns: Vec<String> = key.columns.iter().map(|column| quoted(column)).collect();
            let definition = format!(
                "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
                quoted(&key.name),
                quoted(&relation.schema),
                quoted(relation.name),
                columns.join(", ")
            );
            rows.push((relation, key.name, definition));
        }
    }
    Filled::catalog("pg_indexes", rows.len())?
        .names("schemaname", rows.iter().map(|(relation, ..)| &relation.schema))
        .names("tablename", rows.iter().map(|(relation, ..)| relation.name))
        .names("indexname", rows.iter().map(|(_, name, _)| name))
        .texts("indexdef", rows.iter().map(|(.., definition)| Some(definition)))
        .finish()
}

/// An identifier, in quotes where it needs them (`quote_identifier`, without its list of keywords).
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_safe = name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if is_safe { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
