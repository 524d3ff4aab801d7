//! The `data_catalog` schema: the mesh's metadata as relations, each true for the principal who asks.
//!
//! A relation is built whole for one principal, one catalog generation and one state of the measurements, and kept for as
//! long as these hold, so that a discovery query costs what it returns. One file per relation (terms follow ODCS, Unity
//! Catalog's system tables, dbt and FOCUS).

mod columns;
mod domains;
mod policies;
mod ports;
mod products;
mod quality;
mod reload_status;
mod table;
mod user_domain_access;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::TableProvider;

use super::context::Context;
use crate::error::Result;
use table::SystemTable;

/// Schema of the catalog's relations; the search path always ends with it.
pub const SCHEMA: &str = "data_catalog";

/// One relation of the schema.
struct Relation {
    name: &'static str,
    rows: fn(&Context) -> Result<RecordBatch>,
    /// Depends on nothing but principal, generation and measurements.
    cached: bool,
}

const RELATIONS: &[Relation] = &[
    Relation { name: "columns", rows: columns::rows, cached: true },
    Relation { name: "domains", rows: domains::rows, cached: true },
    Relation { name: "input_ports", rows: ports::input_rows, cached: true },
    Relation { name: "output_ports", rows: ports::output_rows, cached: true },
    Relation { name: "policies", rows: policies::rows, cached: true },
    Relation { name: "products", rows: products::rows, cached: true },
    Relation { name: "quality_checks", rows: quality::check_rows, cached: true },
    Relation { name: "quality_scores", rows: quality::score_rows, cached: true },
    Relation { name: "reload_status", rows: reload_status::rows, cached: false },
    Relation { name: "user_domain_access", rows: user_domain_access::rows, cached: true },
];

/// The relation of this name, or `None` when there is none.
pub fn relation(name: &str, context: &Context) -> Result<Option<Arc<dyn TableProvider>>> {
    let Some(relation) = RELATIONS.iter().find(|relation| relation.name == name) else { return Ok(None) };
    let batch = if relation.cached {
        let key = context.mesh.relation_key(relation.name, &context.visible);
        match context.mesh.relations.get(&key) {
            Some(batch) => batch,
            None => context.mesh.relations.keep(key, (relation.rows)(context)?),
        }
    } else {
        (relation.rows)(context)?
    };
    Ok(Some(Arc::new(SystemTable::new(batch))))
}
