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
pub mod information_schema;
pub mod objects;
pub mod oids;
pub mod pg_catalog;
mod policies;
mod ports;
mod products;
mod quality;
mod reload_status;
pub mod table;
mod user_domain_access;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::TableProvider;

use super::context::Context;
use crate::catalog::model::Role;
use crate::error::{Error, Result};
use table::SystemTable;

/// Schema of the catalog's relations; the search path always ends with it.
pub const SCHEMA: &str = "data_catalog";

/// OID of the schema.
pub const SCHEMA_OID: u32 = crate::catalog::oids::FIRST_NORMAL;

/// One relation of the schema.
struct Relation {
    name: &'static str,
    /// Of the relation; those of its row type and of that one's arrays follow. Never given to another.
    oid: u32,
    description: &'static str,
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
    /// Also on the columns that tables were last seen to have.
    Columns,
    /// Also on what has no number: never kept.
    Moment,
}

const RELATIONS: &[Relation] = &[
    Relation {
        name: "access_requests",
        oid: 16_400,
        description: "who asked for access to what, and what became of it",
        rows: access_requests::rows,
        depends_on: DependsOn::Moment,
    },
    Relation {
        name: "columns",
        oid: 16_403,
        description: "the columns that contracts declare",
        rows: columns::rows,
        depends_on: DependsOn::Catalog,
    },
    Relation {
        name: "domains",
        oid: 16_406,
        description: "the domains, their owners, and how many products there are in each",
        rows: domains::rows,
        depends_on: DependsOn::Catalog,
    },
    Relation {
        name: "grants",
        oid: 16_409,
        description: "the grants that hold",
        rows: grants::rows,
        depends_on: DependsOn::Catalog,
    },
    Relation {
        name: "input_ports",
        oid: 16_412,
        description: "where the data of products comes from",
        rows: ports::input_rows,
        depends_on: DependsOn::Catalog,
    },
    Relation {
        name: "output_ports",
        oid: 16_415,
        description: "where the data of products can be had",
        rows: ports::output_rows,
        depends_on: DependsOn::Catalog,
    },
    Relation {
        name: "policies",
        oid: 16_418,
        description: "what decides who sees what, for mesh_admin and auditor",
        rows: policies::rows,
        depends_on: DependsOn::Catalog,
    },
    Relation {
        name: "products",
        oid: 16_421,
        description: "the data products that can be discovered",
        rows: products::rows,
        depends_on: DependsOn::Scores,
    },
    Relation {
        name: "quality_checks",
        oid: 16_424,
        description: "the quality checks of contracts and what they found last",
        rows: quality::check_rows,
        depends_on: DependsOn::Scores,
    },
    Relation {
        name: "quality_scores",
        oid: 16_427,
        description: "the scores of products in each dimension of quality",
        rows: quality::score_rows,
        depends_on: DependsOn::Scores,
    },
    Relation {
        name: "reload_status",
        oid: 16_430,
        description: "whether the catalog's files could be loaded, and what is wrong with them",
        rows: reload_status::rows,
        depends_on: DependsOn::Moment,
    },
    Relation {
        name: "user_domain_access",
        oid: 16_433,
        description: "which domains a user may discover or read",
        rows: user_domain_access::rows,
        depends_on: DependsOn::Catalog,
    },
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
    let batch = kept(relation.name, relation.depends_on, context, relation.rows).await?;
    Ok(Some(Arc::new(SystemTable::new(batch))))
}

/// What break-glass shows of the catalog is recorded too.
fn note(relation: &'static str, context: &Context) {
    if context.principal.has_role(Role::BreakGlass) {
        context.audit.catalog_read_with_broken_glass(relation);
    }
}

/// The rows as they are kept for this principal, or as `rows` makes them now. `name` is unique among all relations.
async fn kept(
    name: &'static str,
    depends_on: DependsOn,
    context: &Context,
    rows: impl Fn(&Context) -> Result<RecordBatch> + Send + 'static,
) -> Result<RecordBatch> {
    let (mesh, own) = (&context.mesh, context.clone());
    let build = move || rows(&own);
    let (reads_scores, reads_columns) = match depends_on {
        DependsOn::Catalog => (false, false),
        DependsOn::Scores => (true, false),
        DependsOn::Columns => (false, true),
        DependsOn::Moment => return tokio::task::spawn_blocking(build).await.map_err(Error::internal)?,
    };
    let key = mesh.relation_key(name, &context.visible, reads_scores, reads_columns);
    match mesh.relations.get(&key) {
        Some(batch) => Ok(batch),
        None => mesh.relations.get_or_build(key, build).await,
    }
}

/// A relation of the schema as other catalogs describe it.
pub struct Described {
    pub name: &'static str,
    /// Those of its row type and of that one's arrays follow.
    pub oid: u32,
    pub description: &'static str,
    pub schema: SchemaRef,
}

/// OID of the relation of this name.
pub fn relation_oid(name: &str) -> Option<u32> {
    let own = RELATIONS.iter().find(|relation| relation.name == name).map(|relation| relation.oid);
    own.or_else(|| audit::Stored::ALL.into_iter().find(|stored| stored.name() == name).map(audit::Stored::oid))
}

/// Every relation of the schema, in the order of their names. Their columns are the same for everybody.
///
/// # Errors
/// When a relation cannot be built of nothing.
pub fn described(context: &Context) -> Result<&'static [Described]> {
    static DESCRIBED: OnceLock<Vec<Described>> = OnceLock::new();
    if let Some(described) = DESCRIBED.get() {
        return Ok(described);
    }
    let empty = context.of_nobody();
    let mut all: BTreeMap<&str, Described> = BTreeMap::new();
    for Relation { name, oid, description, rows, .. } in RELATIONS {
        let schema = rows(&empty)?.schema();
        all.insert(name, Described { name, oid: *oid, description, schema });
    }
    for stored in audit::Stored::ALL {
        let (name, oid, description) = (stored.name(), stored.oid(), stored.description());
        all.insert(name, Described { name, oid, description, schema: stored.schema()? });
    }
    Ok(DESCRIBED.get_or_init(|| all.into_values().collect()))
}

#[cfg(test)]
pub(in crate::statement) mod tests {
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

    pub(in crate::statement) async fn context(mesh: &Arc<crate::mesh::Mesh>, user: &str) -> Context {
        let view = mesh.view(user, None).await.unwrap();
        Context {
            mesh: Arc::clone(mesh),
            snapshot: view.snapshot,
            grants: view.grants,
            principal: view.principal,
            visible: view.visible,
            settings: SharedSettings::new(Settings::new(user, &[]).unwrap()),
            views: Views::default(),
            listings: crate::statement::listed::Listings::default(),
            pending: crate::statement::notify::Pending::default(),
            pins: Pins::default(),
            reads: Reads::default(),
            audit: Audit::default(),
            share: mesh.engine.share(user).unwrap(),
            transaction_started: Utc::now(),
            facts: SessionFacts {
                pid: 1,
                database: Arc::from("mesh"),
                client: (std::net::Ipv4Addr::LOCALHOST, 50_000).into(),
                server: (std::net::Ipv4Addr::LOCALHOST, 5432).into(),
                session_id: Arc::from("session"),
            },
        }
    }

    async fn batch(name: &str, context: &Context) -> RecordBatch {
        let relation = RELATIONS.iter().find(|relation| relation.name == name).unwrap();
        kept(relation.name, relation.depends_on, context, relation.rows).await.unwrap()
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
