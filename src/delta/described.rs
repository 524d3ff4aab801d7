//! A table's provider with what the log says about its columns. For the optimizer's estimates, never for answers.
//!
//! The provider of deltalake tells statistics of those columns only that a query's predicate names. A join's sides are
//! chosen by the range of its keys, though, which no predicate names.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::{SortOptions, sort_to_indices};
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::datasource::TableProvider;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningStatistics;
use datafusion::physical_plan::ExecutionPlan;
use deltalake::kernel::EagerSnapshot;

use super::registry::Registration;

/// A provider that knows the ranges of its columns.
pub(super) struct Described {
    inner: Arc<dyn TableProvider>,
    snapshot: EagerSnapshot,
    /// Summed up when the first query is planned: it takes time that grows with the number of files.
    statistics: OnceLock<Statistics>,
    /// Keeps the way to the files open.
    _registration: Arc<Registration>,
}

impl Described {
    pub(super) fn new(inner: Arc<dyn TableProvider>, snapshot: EagerSnapshot, registration: Arc<Registration>) -> Self {
        Self { inner, snapshot, statistics: OnceLock::new(), _registration: registration }
    }
}

impl fmt::Debug for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl TableProvider for Described {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
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
        self.inner.scan(state, projection, filters, limit).await
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.get_or_init(|| summed_up(&self.snapshot, &self.inner.schema())).clone())
    }
}

/// All of it inexact: a file may lack statistics, and rows may have been deleted.
fn summed_up(snapshot: &EagerSnapshot, schema: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    let Ok(files) = snapshot.try_log_data() else { return statistics };
    let ranges = schema.fields().iter().map(|field| {
        let column = Column::from_name(field.name());
        ColumnStatistics {
            min_value: extreme(files.min_values(&column), field, false),
            max_value: extreme(files.max_values(&column), field, true),
            ..ColumnStatistics::new_unknown()
        }
    });
    statistics.column_statistics = ranges.collect();
    statistics
}

/// The first of the values in this order. Text and bytes are cut short in the log, and no estimate uses them.
fn extreme(values: Option<ArrayRef>, field: &Field, descending: bool) -> Precision<ScalarValue> {
    let estimated = field.data_type().is_numeric() || field.data_type().is_temporal();
    let Some(values) = values.filter(|values| estimated && values.data_type() == field.data_type()) else {
        return Precision::Absent;
    };
    let order = SortOptions { descending, nulls_first: false };
    let first = sort_to_indices(&values, Some(order), Some(1)).ok().filter(|indices| !indices.is_empty());
    let value = first.and_then(|first| ScalarValue::try_from_array(&values, first.value(0) as usize).ok());
    value.filter(|value| !value.is_null()).map_or(Precision::Absent, Precision::Inexact)
}
