//! The `pg_catalog` schema: PostgreSQL 15's catalogs and system views, all of them with its columns and types, over what
//! the principal may discover.
//!
//! A relation has up to three parts: what is the same in every PostgreSQL (`facts`), what the mesh holds for the principal,
//! kept as `data_catalog`'s relations are, and what belongs to the session alone. Relations that no part is about are
//! there and empty. PostgreSQL 15, chapters 53 "System Catalogs" and 54 "System Views".

mod attribute;
mod class;
mod constraint;
pub mod contract_type;
mod description;
pub mod facts;
pub mod filled;
mod listings;
mod namespace;
mod policy;
mod roles;
mod row_type;
mod session;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::TableProvider;

use super::objects::Part;
use super::table::SystemTable;
use super::{DependsOn, kept};
use crate::error::{Error, Result, SqlState};
use crate::statement::context::Context;
use facts::Shape;

/// Searched before all other schemas unless `search_path` gives it another place (PostgreSQL 15, 5.9.5).
pub const SCHEMA: &str = "pg_catalog";
/// The longest name, in bytes (`NAMEDATALEN` without its final zero).
const NAME_BYTES_MAX: usize = 63;

/// A relation that is about the mesh.
pub(super) struct Relation {
    name: &'static str,
    /// Names its rows among all that are kept.
    kept_as: &'static str,
    depends_on: DependsOn,
    rows: fn(&Context, Part) -> Result<RecordBatch>,
    /// Whether it tells of a session's views too.
    of_session: bool,
}

const RELATIONS: &[Relation] = &[
    about("pg_attribute", "pg_catalog.pg_attribute", DependsOn::Columns, attribute::rows),
    alike("pg_auth_members", "pg_catalog.pg_auth_members", DependsOn::Catalog, roles::members),
    about("pg_class", "pg_catalog.pg_class", DependsOn::Columns, class::rows),
    alike("pg_constraint", "pg_catalog.pg_constraint", DependsOn::Columns, constraint::rows),
    alike("pg_cursors", "", DependsOn::Moment, session::cursors),
    alike("pg_database", "pg_catalog.pg_database", DependsOn::Catalog, session::databases),
    alike("pg_depend", "pg_catalog.pg_depend", DependsOn::Columns, constraint::depend_rows),
    alike("pg_description", "pg_catalog.pg_description", DependsOn::Columns, description::rows),
    alike("pg_group", "pg_catalog.pg_group", DependsOn::Catalog, roles::groups),
    alike("pg_index", "pg_catalog.pg_index", DependsOn::Columns, constraint::index_rows),
    alike("pg_indexes", "pg_catalog.pg_indexes", DependsOn::Columns, listings::indexes),
    about("pg_namespace", "pg_catalog.pg_namespace", DependsOn::Catalog, namespace::rows),
    alike("pg_policies", "pg_catalog.pg_policies", DependsOn::Catalog, policy::view_rows),
    alike("pg_policy", "pg_catalog.pg_policy", DependsOn::Catalog, policy::rows),
    alike("pg_prepared_statements", "", DependsOn::Moment, session::prepared_statements),
    alike("pg_roles", "pg_catalog.pg_roles", DependsOn::Catalog, roles::roles),
    alike("pg_settings", "", DependsOn::Moment, session::settings),
    alike("pg_shdescription", "pg_catalog.pg_shdescription", DependsOn::Catalog, description::shared_rows),
    alike("pg_stat_activity", "", DependsOn::Moment, session::activity),
    alike("pg_stat_all_tables", "pg_catalog.pg_stat_all_tables", DependsOn::Catalog, listings::all_table_statistics),
    alike("pg_stat_gssapi", "", DependsOn::Moment, session::gssapi),
    alike("pg_stat_user_tables", "pg_catalog.pg_stat_user_tables", DependsOn::Catalog, listings::table_statistics),
    about("pg_tables", "pg_catalog.pg_tables", DependsOn::Columns, listings::tables),
    alike("pg_timezone_names", "", DependsOn::Moment, session::time_zones),
    about("pg_type", "pg_catalog.pg_type", DependsOn::Catalog, row_type::rows),
    alike("pg_user", "pg_catalog.pg_user", DependsOn::Catalog, roles::users),
    about("pg_views", "pg_catalog.pg_views", DependsOn::Columns, listings::views),
];

/// A relation that tells nothing of a session's views.
pub(super) const fn alike(
    name: &'static str,
    kept_as: &'static str,
    depends_on: DependsOn,
    rows: fn(&Context, Part) -> Result<RecordBatch>,
) -> Relation {
    Relation { name, kept_as, depends_on, rows, of_session: false }
}

/// A relation that lists relations, those of the session among them.
pub(super) const fn about(
    name: &'static str,
    kept_as: &'static str,
    depends_on: DependsOn,
    rows: fn(&Context, Part) -> Result<RecordBatch>,
) -> Relation {
    Relation { of_session: true, ..alike(name, kept_as, depends_on, rows) }
}

/// The relation of this name, or `None` when there is none. Cancel safe.
///
/// # Errors
/// `42501` for a relation that PostgreSQL shows to superusers alone.
pub async fn relation(name: &str, context: &Context) -> Result<Option<Arc<dyn TableProvider>>> {
    of(facts::PG_CATALOG_OID, name, RELATIONS, context).await
}

/// A relation of one of PostgreSQL's schemas.
pub(super) async fn of(
    namespace: u32,
    name: &str,
    relations: &'static [Relation],
    context: &Context,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let Some(shape) = facts::shape(namespace, name) else { return Ok(None) };
    if shape.kind == 'i' {
        let message = format!("\"{name}\" is an index");
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    if !shape.is_public {
        let kind = if shape.kind == 'v' { "view" } else { "table" };
        let message = format!("permission denied for {kind} {name}");
        return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
    }
    let batches = batches(shape, relations, context).await?;
    Ok(Some(Arc::new(SystemTable::of(Arc::clone(&shape.columns), batches))))
}

async fn batches(shape: &'static Shape, relations: &'static [Relation], context: &Context) -> Result<Vec<RecordBatch>> {
    let mut batches = vec![shape.rows()?];
    let own = relations.iter().find(|relation| relation.name == shape.name);
    if let Some(own) = own {
        super::note(own.name, context);
        let rows = own.rows;
        batches.push(kept(own.kept_as, own.depends_on, context, move |context| rows(context, Part::Mesh)).await?);
        if own.of_session && !context.views.is_empty() {
            batches.push((own.rows)(context, Part::Session)?);
        }
    }
    Ok(batches)
}

/// The name of the type of arrays over a type (`makeArrayTypeName`).
pub fn array_name(of: &str) -> String {
    let mut name = format!("_{of}");
    while name.len() > NAME_BYTES_MAX {
        name.pop();
    }
    name
}
