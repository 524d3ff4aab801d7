//! A provider with some of its columns: the others are not there, for projections, predicates and statistics alike.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::datasource::TableProvider;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

#[derive(Debug)]
pub(super) struct Narrowed {
    inner: Arc<dyn TableProvider>,
    /// Positions in the inner provider's schema.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Narrowed {
    /// Positions that the inner provider does not have are left out.
    pub(super) fn new(inner: Arc<dyn TableProvider>, columns: &[usize]) -> Self {
        let whole = inner.schema();
        let columns: Vec<usize> = columns.iter().copied().filter(|&column| column < whole.fields().len()).collect();
        let fields = columns.iter().map(|&column| Arc::clone(&whole.fields()[column])).collect::<Vec<_>>();
        let schema = Arc::new(Schema::new_with_metadata(fields, whole.metadata().clone()));
        Self { inner, columns, schema }
    }
}

#[async_trait]
impl TableProvider for Narrowed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inward: Option<Vec<usize>> = match projection {
            None => Some(self.columns.clone()),
            Some(wanted) => wanted.iter().map(|&column| self.columns.get(column).copied()).collect(),
        };
        let Some(inward) = inward else {
            return internal_err!("a projection names a column that the version does not show");
        };
        self.inner.scan(state, Some(&inward), filters, limit).await
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = self.inner.statistics()?;
        let known = std::mem::take(&mut statistics.column_statistics);
        statistics.column_statistics =
            self.columns.iter().map(|&column| known.get(column).cloned().unwrap_or_default()).collect();
        Some(statistics)
    }
}
