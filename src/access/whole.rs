//! The mark on a scan whose principal may read the whole table: transparent to the optimizer, recognised by the lint.
//!
//! Statistics, order, partitioning, pruning, limits and projections pass through, so that full access costs nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics, internal_err};
use datafusion::datasource::TableProvider;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
    SortOrderPushdownResult, StatisticsArgs,
};
use futures::StreamExt;

/// A bare scan that was found to need no fence.
#[derive(Clone, Debug)]
pub struct WholeScanExec {
    scan: Arc<WholeScan>,
    input: Arc<dyn ExecutionPlan>,
}

/// What stays the same of a scan, however the optimizer changes its plan.
#[derive(Debug)]
pub(super) struct WholeScan {
    pub(super) table: Arc<str>,
    /// The statement's own predicates that the scan was asked to use, for display.
    pub(super) filters: String,
    pub(super) estimates: ColumnEstimates,
    /// Held until the last row is out: the way to a table's files lasts as long as its provider.
    pub(super) _provider: Arc<dyn TableProvider>,
}

/// What is known of columns by name, for those of which the scan itself says nothing.
pub(super) type ColumnEstimates = HashMap<String, ColumnStatistics>;

impl WholeScanExec {
    /// INVARIANT: called for scopes that are whole, and by itself around a changed form of its own input; nowhere else.
    pub(super) fn new(scan: Arc<WholeScan>, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { scan, input }
    }

    fn around(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(Arc::clone(&self.scan), input))
    }
}

/// Inexact, so that no answer is ever made of it.
fn fill(value: &mut Precision<ScalarValue>, estimate: &Precision<ScalarValue>, field: &Field) {
    let fits = |estimate: &ScalarValue| estimate.data_type() == *field.data_type();
    if *value == Precision::Absent && estimate.get_value().is_some_and(fits) {
        *value = estimate.clone().to_inexact();
    }
}

impl DisplayAs for WholeScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "WholeScanExec: table={}", self.scan.table)?;
                let schema = self.schema();
                let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                write!(f, ", projection=[{}]", columns.join(", "))?;
                if !self.scan.filters.is_empty() {
                    write!(f, ", filters=[{}]", self.scan.filters)?;
                }
                self.fetch().map_or(Ok(()), |fetch| write!(f, ", fetch={fetch}"))
            }
            DisplayFormatType::TreeRender => write!(f, "table={}", self.scan.table),
        }
    }
}

impl ExecutionPlan for WholeScanExec {
    fn name(&self) -> &'static str {
        "WholeScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), None) = (children.pop(), children.pop()) else {
            return internal_err!("WholeScanExec has exactly one child");
        };
        Ok(self.around(input))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(datafusion::physical_plan::ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self.input.repartitioned(target_partitions, config)?.map(|input| self.around(input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (schema, scan) = (self.schema(), Arc::clone(&self.scan));
        // Files are opened while the stream runs, when the plan may be gone.
        let batches = self.input.execute(partition, context)?.inspect(move |_| {
            let _held = &scan;
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let [statistics] = input_stats else { return internal_err!("WholeScanExec has exactly one child") };
        let mut statistics = Statistics::clone(statistics);
        for (column, field) in statistics.column_statistics.iter_mut().zip(self.schema().fields()) {
            if let Some(estimate) = self.scan.estimates.get(field.name()) {
                fill(&mut column.min_value, &estimate.min_value, field);
                fill(&mut column.max_value, &estimate.max_value, field);
            }
        }
        Ok(Arc::new(statistics))
    }

    /// A limit is handed down by [`Self::with_fetch`] alone, which says whether it was taken: deltalake's scan without
    /// columns (`select 1 from t limit 3`) claims to pass limits on and has nobody to pass them to.
    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.input.with_fetch(limit).map(|input| self.around(input))
    }

    fn fetch(&self) -> Option<usize> {
        self.input.fetch()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self.input.try_swapping_with_projection(projection)?.map(|input| self.around(input)))
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child_pushdown_result))
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        self.input.try_pushdown_sort(order)?.try_map(|input| Ok(self.around(input)))
    }

    fn with_preserve_order(&self, preserve_order: bool) -> Option<Arc<dyn ExecutionPlan>> {
        self.input.with_preserve_order(preserve_order).map(|input| self.around(input))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn estimates_fill_only_gaps_of_their_own_type() {
        let value = |number: i64| ScalarValue::Int64(Some(number));
        let field = Field::new("id", DataType::Int64, true);
        let filled = |mut known: Precision<ScalarValue>, estimate: Precision<ScalarValue>| {
            fill(&mut known, &estimate, &field);
            known
        };
        assert_eq!(filled(Precision::Absent, Precision::Exact(value(7))), Precision::Inexact(value(7)));
        assert_eq!(filled(Precision::Exact(value(1)), Precision::Inexact(value(7))), Precision::Exact(value(1)));
        assert_eq!(filled(Precision::Absent, Precision::Exact(ScalarValue::Int32(Some(7)))), Precision::Absent);
        assert_eq!(filled(Precision::Absent, Precision::Absent), Precision::Absent);
    }
}
