//! Grouping sets over rows of which nothing is known.
//!
//! A grouping set gives NULL for what it does not group by. DataFusion 55 takes what holds for the rows below, that a
//! column is constant, equals another or comes in order, to hold for the groups too, and leaves out sorts and
//! repartitions that they need. So aggregates with grouping sets read through a node that tells nothing of the kind.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    ChildStats, ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    Partitioning, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
};

/// The rule that puts an [`AnyRowsExec`] below every aggregate with grouping sets. It comes before those that look at
/// what is known of rows.
#[derive(Debug)]
pub struct GroupingSetsApart;

impl PhysicalOptimizerRule for GroupingSetsApart {
    fn name(&self) -> &'static str {
        "grouping_sets_apart"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            let Some(aggregate) = any.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(node)) };
            let reads_rows = aggregate.mode().input_mode() == AggregateInputMode::Raw;
            if !reads_rows || !aggregate.group_expr().has_grouping_set() {
                return Ok(Transformed::no(node));
            }
            over_any_rows(aggregate).map(Transformed::yes)
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The aggregate, over an [`AnyRowsExec`]. A constant that it groups by is a column of the rows, where it is not known to
/// be constant.
fn over_any_rows(aggregate: &AggregateExec) -> Result<Arc<dyn ExecutionPlan>> {
    let input = aggregate.input();
    let column = |index: usize, name: &str| Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>;
    let fields = input.schema();
    let mut columns: Vec<(Arc<dyn PhysicalExpr>, String)> = fields
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| (column(index, field.name()), field.name().clone()))
        .collect();
    let group_by = aggregate.group_expr();
    let mut keys = group_by.expr().to_vec();
    for (key, _) in &mut keys {
        if collect_columns(key).is_empty() {
            let name = format!("__constant_{}", columns.len());
            let constant = std::mem::replace(key, column(columns.len(), &name));
            columns.push((constant, name));
        }
    }
    let rows: Arc<dyn ExecutionPlan> = if columns.len() == fields.fields().len() {
        Arc::clone(input)
    } else {
        Arc::new(ProjectionExec::try_new(columns, Arc::clone(input))?)
    };
    let rows = Arc::new(AnyRowsExec::new(rows));
    let group_by = PhysicalGroupBy::new(keys, group_by.null_expr().to_vec(), group_by.groups().to_vec(), true);
    let (aggregates, filters) = (aggregate.aggr_expr().to_vec(), aggregate.filter_expr().to_vec());
    let schema = rows.schema();
    Ok(Arc::new(AggregateExec::try_new(*aggregate.mode(), group_by, aggregates, filters, rows, schema)?))
}

/// Its input's rows, told of nothing but their columns and partitions.
#[derive(Debug)]
pub struct AnyRowsExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl AnyRowsExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for AnyRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyRowsExec")
    }
}

impl ExecutionPlan for AnyRowsExec {
    fn name(&self) -> &'static str {
        "AnyRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(input) if children.is_empty() => Ok(Arc::new(Self::new(input))),
            _ => internal_err!("AnyRowsExec has one child"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let [statistics] = inputs else { return internal_err!("AnyRowsExec has one child") };
        Ok(Arc::clone(statistics))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
