//! `schemata`, `tables`, `views`, and what may be done with them.

use datafusion::arrow::array::RecordBatch;

use super::{NO, SCHEMA, YES, filled};
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part, Relation, SERVER_ROLE, SERVER_ROLE_OID};
use crate::statement::system::pg_catalog;
use crate::statement::system::pg_catalog::facts::{self, PG_CATALOG_OID, Shape};

/// Who has a right that everybody has.
const PUBLIC: &str = "PUBLIC";
const SELECT: &str = "SELECT";

/// PostgreSQL's own relations that everybody may read; none for the session's part.
pub(super) fn own(part: Part) -> Vec<&'static Shape> {
    let is_shown = |shape: &&Shape| part == Part::Mesh && shape.kind != 'i' && shape.is_public;
    let mut shapes: Vec<_> = facts::all().filter(is_shown).collect();
    shapes.sort_unstable_by_key(|shape| shape.oid);
    shapes
}

pub(super) fn schema_of(shape: &Shape) -> &'static str {
    if shape.namespace == PG_CATALOG_OID { pg_catalog::SCHEMA } else { SCHEMA }
}

/// What the principal may read.
pub(super) fn readable(context: &Context, part: Part) -> Result<Vec<Relation<'_>>> {
    let mut relations = objects::relations(context, part)?;
    relations.retain(Relation::is_readable);
    Ok(relations)
}

/// Schema, name and kind.
fn all(context: &Context, part: Part) -> Result<Vec<(String, String, char, bool)>> {
    let own = own(part).into_iter().map(|own| (schema_of(own).to_owned(), own.name.to_owned(), own.kind, false));
    let relations = readable(context, part)?;
    let relations = relations.iter().map(|relation| {
        (relation.schema.to_string(), relation.name.to_owned(), relation.kind(), relation.is_temporary())
    });
    Ok(own.chain(relations).collect())
}

pub fn catalog_name(context: &Context, _: Part) -> Result<RecordBatch> {
    filled("information_schema_catalog_name", 1)?.all("catalog_name", &context.facts.database).finish()
}

pub fn schemata(context: &Context, part: Part) -> Result<RecordBatch> {
    let namespaces = objects::namespaces(context, part);
    let roles = objects::roles(context);
    let owner = |oid: u32| match roles.iter().find(|role| role.oid == oid) {
        Some(role) => role.name,
        None if oid == SERVER_ROLE_OID => SERVER_ROLE,
        None => "",
    };
    let mut rows: Vec<(&str, &str)> = namespaces.iter().map(|row| (&*row.name, owner(row.owner))).collect();
    if part == Part::Mesh {
        rows.extend([(SCHEMA, SERVER_ROLE), (pg_catalog::SCHEMA, SERVER_ROLE)]);
    }
    filled("schemata", rows.len())?
        .all("catalog_name", &context.facts.database)
        .texts("schema_name", rows.iter().map(|(name, _)| Some(name)))
        .texts("schema_owner", rows.iter().map(|(_, owner)| Some(owner)))
        .finish()
}

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let kind = |row: &(String, String, char, bool)| match row.2 {
        'v' => "VIEW",
        _ if row.3 => "LOCAL TEMPORARY",
        _ => "BASE TABLE",
    };
    filled("tables", rows.len())?
        .all("table_catalog", &context.facts.database)
        .texts("table_schema", rows.iter().map(|row| Some(&row.0)))
        .texts("table_name", rows.iter().map(|row| Some(&row.1)))
        .texts("table_type", rows.iter().map(|row| Some(kind(row))))
        .all("is_insertable_into", NO)
        .all("is_typed", NO)
        .finish()
}

/// What a view is made of is told to its owner alone, as in PostgreSQL.
pub fn views(context: &Context, part: Part) -> Result<RecordBatch> {
    let own: Vec<_> = own(part).into_iter().filter(|own| own.kind == 'v').collect();
    let mut relations = readable(context, part)?;
    relations.retain(|relation| relation.kind() == 'v');
    let definitions = relations.iter().map(Relation::definition);
    filled("views", own.len() + relations.len())?
        .all("table_catalog", &context.facts.database)
        .texts(
            "table_schema",
            own.iter().map(|own| schema_of(own)).chain(relations.iter().map(|of| &*of.schema)).map(Some),
        )
        .texts("table_name", own.iter().map(|own| own.name).chain(relations.iter().map(|of| of.name)).map(Some))
        .texts("view_definition", own.iter().map(|_| None).chain(definitions))
        .all("check_option", "NONE")
        .all("is_updatable", NO)
        .all("is_insertable_into", NO)
        .all("is_trigger_updatable", NO)
        .all("is_trigger_deletable", NO)
        .all("is_trigger_insertable_into", NO)
        .finish()
}

/// Grantor, grantee, schema and table of each right to read.
pub(super) fn rights<'a>(
    relations: &'a [Relation<'a>],
    context: &'a Context,
) -> Vec<(&'a str, &'a str, &'a Relation<'a>)> {
    let right = |relation: &'a Relation<'a>| match relation.product() {
        Some((product, _)) => (product.owner.as_str(), context.principal.name.as_str(), relation),
        None => (SERVER_ROLE, PUBLIC, relation),
    };
    relations.iter().map(right).collect()
}

pub fn privileges(context: &Context, part: Part) -> Result<RecordBatch> {
    rights_as("table_privileges", context, part, true)
}

/// Without what everybody has (PostgreSQL 15, 37.35 "role_table_grants").
pub fn grants(context: &Context, part: Part) -> Result<RecordBatch> {
    rights_as("role_table_grants", context, part, false)
}

fn rights_as(relation: &str, context: &Context, part: Part, of_everybody: bool) -> Result<RecordBatch> {
    let own = if of_everybody { own(part) } else { Vec::new() };
    let relations = readable(context, part)?;
    let mut rights = rights(&relations, context);
    rights.retain(|(_, grantee, _)| of_everybody || *grantee != PUBLIC);
    let of_own = |text: &'static str| own.iter().map(move |_| text);
    filled(relation, own.len() + rights.len())?
        .texts("grantor", of_own(SERVER_ROLE).chain(rights.iter().map(|(grantor, ..)| *grantor)).map(Some))
        .texts("grantee", of_own(PUBLIC).chain(rights.iter().map(|(_, grantee, _)| *grantee)).map(Some))
        .all("table_catalog", &context.facts.database)
        .texts(
            "table_schema",
            own.iter().map(|own| schema_of(own)).chain(rights.iter().map(|(.., of)| &*of.schema)).map(Some),
        )
        .texts("table_name", own.iter().map(|own| own.name).chain(rights.iter().map(|(.., of)| of.name)).map(Some))
        .all("privilege_type", SELECT)
        .all("is_grantable", NO)
        .all("with_hierarchy", YES)
        .finish()
}
