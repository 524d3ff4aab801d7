//! The `data_catalog` schema: the mesh's metadata as relations, each true for the principal who asks.
//!
//! A relation is built whole for one principal, one generation of policy and one state of the measurements, and kept for as
//! long as these hold, so that a discovery query costs what it returns. It is built on a thread that may block, once for
//! all sessions that ask for it meanwhile. Scores are shown rounded down to 4 decimals (`quality.rs` says why). One file per relation (terms follow ODCS, Unity
//! Catalog's system tables, dbt and FOCUS).

mod access_requests;
mod audit;
mod columns;
mod domains;
mod grants;
mod policies;
mod ports;
mod products;
mod quality;
mod reload_status;
pub mod table;
mod user_domain_access;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::TableProvider;

use super::context::Context;
use crate::catalog::model::Role;
use crate::error::{Error, Result};
use table::SystemTable;

/// Schema of the catalog's relations; the search path always ends with it.
pub const SCHEMA: &str = "data_catalog";

/// One relation of the schema.
struct Relation {
    name: &'static str,
    rows: fn(&Context) -> Result<RecordBatch>,
    depends_on: DependsOn,
}

/// What the rows depend on beside the principal and the generation of policy: how long they can be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DependsOn {
    /// The catalog and the grants that hold.
    Catalog,
    /// Also on the measurements.
    Scores,
    /// Also on what has no number: never kept.
    Moment,
}

const RELATIONS: &[Relation] = &[
    Relation { name: "access_requests", rows: access_requests::rows, depends_on: DependsOn::Moment },
    Relation { name: "columns", rows: columns::rows, depends_on: DependsOn::Catalog },
    Relation { name: "domains", rows: domains::rows, depends_on: DependsOn::Catalog },
    Relation { name: "grants", rows: grants::rows, depends_on: DependsOn::Catalog },
    Relation { name: "input_ports", rows: ports::input_rows, depends_on: DependsOn::Catalog },
    Relation { name: "output_ports", rows: ports::output_rows, depends_on: DependsOn::Catalog },
    Relation { name: "policies", rows: policies::rows, depends_on: DependsOn::Catalog },
    Relation { name: "products", rows: products::rows, depends_on: DependsOn::Scores },
    Relation { name: "quality_checks", rows: quality::check_rows, depends_on: DependsOn::Scores },
    Relation { name: "quality_scores", rows: quality::score_rows, depends_on: DependsOn::Scores },
    Relation { name: "reload_status", rows: reload_status::rows, depends_on: DependsOn::Moment },
    Relation { name: "user_domain_access", rows: user_domain_access::rows, depends_on: DependsOn::Catalog },
];

/// Whether there is a relation of this name.
pub fn exists(name: &str) -> bool {
    RELATIONS.iter().any(|relation| relation.name == name) || audit::Stored::named(name).is_some()
}

/// The relation of this name, or `None` when there is none. Cancel safe.
pub async fn relation(name: &str, context: &Context) -> Result<Option<Arc<dyn TableProvider>>> {
    if let Some(stored) = audit::Stored::named(name) {
        note(stored.name(), context);
        return stored.provider(context).await.map(Some);
    }
    let Some(relation) = RELATIONS.iter().find(|relation| relation.name == name) else { return Ok(None) };
    note(relation.name, context);
    Ok(Some(Arc::new(SystemTable::new(relation.batch(context).await?))))
}

/// What break-glass shows of the catalog is recorded too.
fn note(relation: &'static str, context: &Context) {
    if context.principal.has_role(Role::BreakGlass) {
        context.audit.catalog_read_with_broken_glass(relation);
    }
}

impl Relation {
    async fn batch(&'static self, context: &Context) -> Result<RecordBatch> {
        let mesh = &context.mesh;
        if self.depends_on == DependsOn::Moment {
            return tokio::task::spawn_blocking(self.build(context)).await.map_err(Error::internal)?;
        }
        let key = mesh.relation_key(self.name, &context.visible, self.depends_on == DependsOn::Scores);
        match mesh.relations.get(&key) {
            Some(batch) => Ok(batch),
            None => mesh.relations.get_or_build(key, self.build(context)).await,
        }
    }

    fn build(&'static self, context: &Context) -> impl FnOnce() -> Result<RecordBatch> + Send + use<> {
        let context = context.clone();
        move || (self.rows)(&context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::model::ProductId;
    use crate::quality::Measurement;
    use crate::settings::Settings;
    use crate::statement::audit::Audit;
    use crate::statement::context::{Pins, SessionFacts, SharedSettings};
    use crate::statement::guard::Reads;
    use crate::statement::views::Views;
    use chrono::Utc;
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Float64Type;

    async fn context(mesh: &Arc<crate::mesh::Mesh>, user: &str) -> Context {
        let view = mesh.view(user, None).await.unwrap();
        Context {
            mesh: Arc::clone(mesh),
            snapshot: view.snapshot,
            grants: view.grants,
            principal: view.principal,
            visible: view.visible,
            settings: SharedSettings::new(Settings::new(user, &[]).unwrap()),
            views: Views::default(),
            pending: crate::statement::notify::Pending::default(),
            pins: Pins::default(),
            reads: Reads::default(),
            audit: Audit::default(),
            share: mesh.engine.share(user).unwrap(),
            transaction_started: Utc::now(),
            facts: SessionFacts {
                pid: 1,
                database: Arc::from("mesh"),
                client_address: std::net::Ipv4Addr::LOCALHOST.into(),
                session_id: Arc::from("session"),
            },
        }
    }

    async fn batch(name: &str, context: &Context) -> RecordBatch {
        RELATIONS.iter().find(|relation| relation.name == name).unwrap().batch(context).await.unwrap()
    }

    fn measure(mesh: &crate::mesh::Mesh, score: f64) {
        let mut measured = Measurement::pending(None);
        measured.quality_score = score;
        measured.dimensions.insert("completeness", score);
        let products = mesh.catalog.current().catalog.products.keys().cloned().collect::<Vec<ProductId>>();
        mesh.scores.put(products.into_iter().map(|product| (product, measured.clone())));
    }

    /// INVARIANT: what is keyed without the scores does not read them.
    #[tokio::test]
    async fn new_scores_change_only_the_relations_that_depend_on_them() {
        let mesh = crate::mesh::tests::sample();
        let context = context(&mesh, "sales_analyst").await;
        for relation in RELATIONS {
            let before = (relation.rows)(&context).unwrap();
            measure(&mesh, 0.25);
            let after = (relation.rows)(&context).unwrap();
            measure(&mesh, 0.5);
            let reads_scores = after != (relation.rows)(&context).unwrap();
            assert_eq!(before.schema(), after.schema());
            let expected = matches!(relation.name, "products" | "quality_scores");
            assert_eq!(reads_scores, expected, "{}", relation.name);
            assert!(!reads_scores || relation.depends_on == DependsOn::Scores, "{}", relation.name);
        }
    }

    #[tokio::test]
    async fn relations_are_kept_as_long_as_what_they_depend_on() {
        let mesh = crate::mesh::tests::sample();
        let context = context(&mesh, "sales_analyst").await;
        let same = |a: &RecordBatch, b: &RecordBatch| Arc::ptr_eq(a.column(0), b.column(0));
        let (columns, products) = (batch("columns", &context).await, batch("products", &context).await);
        assert!(same(&products, &batch("products", &context).await));
        measure(&mesh, 125.0 / 267.0);
        assert!(same(&columns, &batch("columns", &context).await));
        let measured = batch("products", &context).await;
        assert!(!same(&products, &measured));
        let scores = measured.column_by_name("quality_score").unwrap().as_primitive::<Float64Type>();
        assert!(!scores.is_empty() && scores.iter().all(|score| score == Some(0.4681)), "{scores:?}");
        for column in ["score", "quality_score"] {
            let scores = batch("quality_scores", &context).await;
            let scores = scores.column_by_name(column).unwrap().as_primitive::<Float64Type>();
            assert!(!scores.is_empty() && scores.iter().all(|score| score == Some(0.4681)), "{column}: {scores:?}");
        }
        assert!(relation("nothing", &context).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn domain_access_of_all_is_for_those_who_govern() {
        let mesh = crate::mesh::tests::sample();
        let users = |batch: &RecordBatch| -> std::collections::BTreeSet<String> {
            batch.column_by_name("user_id").unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect()
        };
        let own = batch("user_domain_access", &context(&mesh, "sales_analyst").await).await;
        assert_eq!(users(&own).into_iter().collect::<Vec<_>>(), ["sales_analyst"]);
        let all = batch("user_domain_access", &context(&mesh, "auditor").await).await;
        assert!(users(&all).contains("sales_analyst") && users(&all).len() > 3, "{:?}", users(&all));
    }
}
