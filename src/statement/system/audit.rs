//! `data_catalog.audit` and `data_catalog.access_history`: what was decided and what was read, as the server's state keeps
//! it. They are tables behind the fence and not lists in memory: what a statement does not ask for is not read.
//!
//! mesh_admin and auditor see every row. The owner of a product, or of its domain, sees the rows about it for as long as
//! the owner may discover it: a product that does not exist for somebody has no history for them either. For everybody
//! else the relations are empty, and the state is not even looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::{TableProvider, ViewTable, provider_as_source};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::{col, lit};

use super::policies::sees_governance;
use super::table::SystemTable;
use crate::access::grants::owns_product;
use crate::access::scope::CompiledScope;
use crate::access::secure::SecuredTable;
use crate::delta::TableSnapshot;
use crate::error::{Error, Result};
use crate::state::Stream;
use crate::statement::context::Context;
use crate::statement::from_engine;

/// A relation over the audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Audit,
    AccessHistory,
}

impl Stored {
    pub const ALL: [Self; 2] = [Self::AccessHistory, Self::Audit];

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|relation| relation.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::AccessHistory => "access_history",
        }
    }

    /// Its OID; those of its row type and of that one's arrays follow. Never given to another relation.
    pub fn oid(self) -> u32 {
        match self {
            Self::AccessHistory => 16_436,
            Self::Audit => 16_439,
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::Audit => "what was decided about access, for whom, and why",
            Self::AccessHistory => "which products were read, by whom",
        }
    }

    /// Its columns, which are the same for everybody.
    ///
    /// # Errors
    /// None that is known.
    pub fn schema(self) -> Result<SchemaRef> {
        let records = Arc::new(SystemTable::new(RecordBatch::new_empty(Stream::Audit.schema())));
        match self {
            Self::Audit => Ok(Stream::Audit.schema()),
            Self::AccessHistory => Ok(access_history(records)?.schema()),
        }
    }

    /// The relation as it is now.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn provider(self, context: &Context) -> Result<Arc<dyn TableProvider>> {
        let shown = Shown::to(context);
        let records: Arc<dyn TableProvider> = match &shown {
            // without a look at the state, so that nobody pays for what nobody sees
            Shown::Nothing => Arc::new(SystemTable::new(RecordBatch::new_empty(Stream::Audit.schema()))),
            Shown::All | Shown::About(_) => {
                let snapshot = context.mesh.state.stream(Stream::Audit).await?;
                Arc::new(secured(&snapshot, &shown)?)
            }
        };
        match self {
            Self::Audit => Ok(records),
            Self::AccessHistory => access_history(records),
        }
    }
}

/// Which records the principal sees.
enum Shown {
    All,
    /// Those about these products.
    About(BTreeSet<String>),
    Nothing,
}

impl Shown {
    fn to(context: &Context) -> Self {
        if sees_governance(&context.principal) {
            return Self::All;
        }
        let catalog = &context.snapshot.catalog;
        let products = context.visible.products().filter_map(|product| product.of(catalog));
        let owned: BTreeSet<String> = products
            .filter(|product| owns_product(catalog, &context.principal, product))
            .map(|product| product.id.0.clone())
            .collect();
        if owned.is_empty() { Self::Nothing } else { Self::About(owned) }
    }
}

fn secured(snapshot: &TableSnapshot, shown: &Shown) -> Result<SecuredTable> {
    let nothing = BTreeSet::new();
    let scope = match shown {
        Shown::All => CompiledScope::whole(&snapshot.schema),
        Shown::About(products) => CompiledScope::with_values("object", products, &snapshot.schema),
        Shown::Nothing => CompiledScope::with_values("object", &nothing, &snapshot.schema),
    };
    SecuredTable::new("data_catalog.audit", snapshot.provider(), scope.map_err(Error::internal)?)
}

/// A row for each product that a statement read.
fn access_history(records: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let was_read = col("kind")
        .in_list(vec![lit("read"), lit("break_glass")], false)
        .and(col("outcome").in_list(vec![lit("allowed"), lit("filtered")], false))
        .and(col("delta_version").is_not_null());
    let plan = LogicalPlanBuilder::scan(super::SCHEMA, provider_as_source(records), None)
        .and_then(|plan| plan.filter(was_read))
        .and_then(|plan| {
            plan.project(vec![
                col("occurred_at").alias("accessed_at"),
                col("principal").alias("user_id"),
                col("object").alias("product_id"),
                col("domain"),
                col("columns"),
                col("delta_version"),
                col("outcome"),
                col("kind").alias("accessed_via"),
                col("policies"),
                col("statement_id"),
                col("session_id"),
                col("client_address"),
                col("application_name"),
            ])
        })
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_engine)?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
