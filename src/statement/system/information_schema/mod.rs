//! The `information_schema`: the SQL standard's views of what the principal may use, with PostgreSQL 15's columns and
//! types (chapter 37 "The Information Schema").
//!
//! As the standard says, and unlike `pg_catalog`, a table is there only for those who may read it. Nothing can be written,
//! so nothing is updatable.

mod columns;
mod keys;
mod roles;
mod tables;
mod texts;

use std::sync::Arc;

use datafusion::datasource::TableProvider;

use super::DependsOn::{Catalog, Columns};
use super::pg_catalog::filled::Filled;
use super::pg_catalog::{self, Relation, about, alike, facts};
use crate::error::Result;
use crate::statement::context::Context;

pub const SCHEMA: &str = "information_schema";
/// What the standard calls yes and no.
const YES: &str = "YES";
const NO: &str = "NO";

const RELATIONS: &[Relation] = &[
    alike("applicable_roles", "information_schema.applicable_roles", Catalog, roles::applicable),
    alike("character_sets", "information_schema.character_sets", Catalog, texts::character_sets),
    alike(
        "collation_character_set_applicability",
        "information_schema.collation_character_set_applicability",
        Catalog,
        texts::applicability,
    ),
    alike("collations", "information_schema.collations", Catalog, texts::collations),
    alike("column_privileges", "information_schema.column_privileges", Columns, columns::privileges),
    about("columns", "information_schema.columns", Columns, columns::rows),
    alike("constraint_column_usage", "information_schema.constraint_column_usage", Columns, keys::column_usage),
    alike("constraint_table_usage", "information_schema.constraint_table_usage", Columns, keys::table_usage),
    about("element_types", "information_schema.element_types", Columns, columns::element_types),
    alike("enabled_roles", "information_schema.enabled_roles", Catalog, roles::enabled),
    alike(
        "information_schema_catalog_name",
        "information_schema.information_schema_catalog_name",
        Catalog,
        tables::catalog_name,
    ),
    alike("key_column_usage", "information_schema.key_column_usage", Columns, keys::key_columns),
    alike("referential_constraints", "information_schema.referential_constraints", Columns, keys::references),
    alike("role_column_grants", "information_schema.role_column_grants", Columns, columns::grants),
    alike("role_table_grants", "information_schema.role_table_grants", Catalog, tables::grants),
    about("schemata", "information_schema.schemata", Catalog, tables::schemata),
    alike("table_constraints", "information_schema.table_constraints", Columns, keys::constraints),
    alike("table_privileges", "information_schema.table_privileges", Catalog, tables::privileges),
    about("tables", "information_schema.tables", Catalog, tables::rows),
    about("views", "information_schema.views", Catalog, tables::views),
];

/// The relation of this name, or `None` when there is none. Cancel safe.
///
/// # Errors
/// When a relation cannot be built.
pub async fn relation(name: &str, context: &Context) -> Result<Option<Arc<dyn TableProvider>>> {
    pg_catalog::of(facts::information_schema_oid(), name, RELATIONS, context).await
}

fn filled(relation: &str, rows: usize) -> Result<Filled> {
    Filled::new(facts::information_schema_oid(), relation, rows)
}
