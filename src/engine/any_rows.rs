//! Rows of which little is told, where DataFusion 55 would take it to hold for what is made of them.
//!
//! What holds for rows, that a column is constant, equals another or comes in order, need not hold above:
//! * A grouping set gives NULL for what it does not group by.
//! * An outer join gives NULL for the columns of the side that has no match.
//! * A join gives the rows of its build side again for each row of the other, and so in no order among rows that are alike
//!   on the other side.
//!
//! The engine takes it to hold all the same, and leaves out sorts and repartitions that are needed. So all of them read
//! through a node that does not tell it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    ChildStats, ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    Partitioning, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
};

/// The rule that settles the sides of joins.
pub const AFTER: &str = "join_selection";

/// The rule that puts an [`AnyRowsExec`] where it is needed: when a join's sides are settled, and before rules look at what
/// is known of rows.
#[derive(Debug)]
pub struct TellLess;

impl PhysicalOptimizerRule for TellLess {
    fn name(&self) -> &'static str {
        "tell_less"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            if let Some(aggregate) = any.downcast_ref::<AggregateExec>() {
                let reads_rows = aggregate.mode().input_mode() == AggregateInputMode::Raw;
                return if reads_rows && aggregate.group_expr().has_grouping_set() {
                    over_any_rows(aggregate).map(Transformed::yes)
                } else {
                    Ok(Transformed::no(node))
                };
            }
            let Some(told) = of_sides(any) else { return Ok(Transformed::no(node)) };
            let sides = node.children().into_iter().zip(told);
            let sides = sides.map(|(side, told)| told.map_or(Arc::clone(side), |told| AnyRowsExec::around(side, told)));
            let (sides, options) = (sides.collect(), ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute));
            Arc::clone(&node).replace_children(sides, options).map(Transformed::yes)
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What may be told of a join's sides, where that is not all. The left one is the build side.
fn of_sides(node: &dyn Any) -> Option<[Option<Told>; 2]> {
    let (join_type, build) = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        (*join.join_type(), Some(join.left()))
    } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        (*join.join_type(), Some(join.left()))
    } else {
        (node.downcast_ref::<SortMergeJoinExec>()?.join_type(), None)
    };
    let (left_nullable, right_nullable) = match join_type {
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        JoinType::Full => (true, true),
        _ => (false, false),
    };
    let ordered = build.is_some_and(|build| !build.equivalence_properties().oeq_class().is_empty());
    let left = match (left_nullable, ordered) {
        (true, _) => Some(Told::Partitions),
        (false, true) => Some(Told::AllButOrder),
        (false, false) => None,
    };
    let right = right_nullable.then_some(Told::Partitions);
    (left.is_some() || right.is_some()).then_some([left, right])
}

/// The aggregate over copies of what it groups by, in an [`AnyRowsExec`] where nothing is known of them. What else it asks
/// of its rows, an order for `array_agg`, it asks of the columns themselves.
fn over_any_rows(aggregate: &AggregateExec) -> Result<Arc<dyn ExecutionPlan>> {
    let input = aggregate.input();
    let column = |index: usize, name: &str| Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>;
    let fields = input.schema();
    let names = fields.fields().iter().map(|field| field.name().clone());
    let mut columns: Vec<(Arc<dyn PhysicalExpr>, String)> =
        names.enumerate().map(|(index, name)| (column(index, &name), name)).collect();
    let group_by = aggregate.group_expr();
    let mut keys = group_by.expr().to_vec();
    for (key, _) in &mut keys {
        let name = format!("__group_by_{}", columns.len());
        let own = std::mem::replace(key, column(columns.len(), &name));
        columns.push((own, name));
    }
    let rows: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(columns, Arc::clone(input))?);
    let rows = AnyRowsExec::around(&rows, Told::Nothing);
    let group_by = PhysicalGroupBy::new(keys, group_by.null_expr().to_vec(), group_by.groups().to_vec(), true);
    let (aggregates, filters) = (aggregate.aggr_expr().to_vec(), aggregate.filter_expr().to_vec());
    let schema = rows.schema();
    Ok(Arc::new(AggregateExec::try_new(*aggregate.mode(), group_by, aggregates, filters, rows, schema)?))
}

/// Its input's rows, of which less is told.
#[derive(Debug)]
pub struct AnyRowsExec {
    input: Arc<dyn ExecutionPlan>,
    told: Told,
    properties: Arc<PlanProperties>,
}

/// What is told of rows.
#[derive(Clone, Copy, Debug)]
enum Told {
    AllButOrder,
    /// By what columns they were handed out to partitions, and nothing else.
    Partitions,
    Nothing,
}

impl AnyRowsExec {
    fn around(input: &Arc<dyn ExecutionPlan>, told: Told) -> Arc<dyn ExecutionPlan> {
        let partitioning = match (input.output_partitioning(), told) {
            (known, Told::AllButOrder | Told::Partitions) => known.clone(),
            (known, Told::Nothing) => Partitioning::UnknownPartitioning(known.partition_count()),
        };
        let known = match told {
            Told::AllButOrder => {
                let mut known = input.equivalence_properties().clone();
                known.clear_orderings();
                known
            }
            Told::Partitions | Told::Nothing => EquivalenceProperties::new(input.schema()),
        };
        let properties = PlanProperties::new(known, partitioning, input.pipeline_behavior(), input.boundedness());
        Arc::new(Self { input: Arc::clone(input), told, properties: Arc::new(properties) })
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
            Some(input) if children.is_empty() => Ok(Self::around(&input, self.told)),
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
