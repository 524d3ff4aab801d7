//! Filters go down a physical plan by columns that are the same, not by columns that share a name.
//!
//! DataFusion 55 hands a filter down from node to node by the names of its columns, and takes the first of a name
//! (`FilterRemapper`). Below a join two columns may share one; a UNION's branches may have its names in another order; an
//! aggregate may name a column of its own as one of its input is named. A join's dynamic filter, which is on what rows of
//! the other side have, then removes other rows: wrong answers. So while filters go down, a node stands where a name is no
//! proof, and lets none pass by that name.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rules that hand filters down are called so, with what else tells them apart.
const PUSHDOWN: &str = "FilterPushdown";

/// The rule, kept from handing filters down by names alone if that is what it does.
pub fn guarded(rule: Rule) -> Rule {
    if rule.name().starts_with(PUSHDOWN) { Arc::new(ByColumns(rule)) } else { rule }
}

#[derive(Debug)]
struct ByColumns(Rule);

impl PhysicalOptimizerRule for ByColumns {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let stopped = plan.transform_up(stop_below)?;
        let done = self.0.optimize(stopped.data, config)?;
        if !stopped.transformed {
            return Ok(done);
        }
        done.transform_up(|node| {
            let any: &dyn Any = node.as_ref();
            Ok(match any.downcast_ref::<StopExec>() {
                Some(stop) => Transformed::yes(Arc::clone(&stop.input)),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Puts a [`StopExec`] above the inputs of a node that have names which are no proof.
fn stop_below(node: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let inputs = node.children();
    let doubtful: Vec<HashSet<String>> =
        inputs.iter().enumerate().map(|(number, input)| doubtful(node.as_ref(), number, &input.schema())).collect();
    if doubtful.iter().all(HashSet::is_empty) {
        return Ok(Transformed::no(node));
    }
    let stopped = inputs.into_iter().zip(doubtful).map(|(input, names)| -> Arc<dyn ExecutionPlan> {
        let input = Arc::clone(input);
        if names.is_empty() { input } else { Arc::new(StopExec { input, names: Arc::new(names) }) }
    });
    let (stopped, options) = (stopped.collect(), ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep));
    Arc::clone(&node).replace_children(stopped, options).map(Transformed::yes)
}

/// The names by which a filter on `node` may mean another column of its input `number`.
fn doubtful(node: &dyn ExecutionPlan, number: usize, input: &Schema) -> HashSet<String> {
    let mut seen = HashSet::new();
    let names = input.fields().iter().map(|field| field.name());
    let mut doubtful: HashSet<String> = names.filter(|name| !seen.insert(name.as_str())).cloned().collect();
    let any: &dyn Any = node;
    if let Some(aggregate) = any.downcast_ref::<AggregateExec>() {
        for (key, name) in aggregate.group_expr().expr() {
            let is_itself = key.downcast_ref::<Column>().is_some_and(|column| column.name() == name);
            if !is_itself && seen.contains(name.as_str()) {
                doubtful.insert(name.clone());
            }
        }
    } else if any.is::<UnionExec>() || any.is::<InterleaveExec>() {
        for (own, field) in node.schema().fields().iter().zip(input.fields()) {
            if own.name() != field.name() && seen.contains(own.name().as_str()) {
                doubtful.insert(own.name().clone());
            }
        }
    } else if let Some(join) = any.downcast_ref::<HashJoinExec>() {
        // a filter on the key of the side that is put out goes down the other one, too
        let other_side = match join.join_type() {
            JoinType::LeftSemi => 1,
            JoinType::RightSemi => 0,
            _ => return doubtful,
        };
        if number == other_side {
            for (left, right) in join.on() {
                let (own, other) = if other_side == 1 { (left, right) } else { (right, left) };
                let name = |key: &Arc<dyn PhysicalExpr>| key.downcast_ref::<Column>().map(|key| key.name().to_owned());
                if let Some(own) = name(own)
                    && name(other).as_ref() != Some(&own)
                    && seen.contains(own.as_str())
                {
                    doubtful.insert(own);
                }
            }
        }
    }
    doubtful
}

/// Its input, below which no filter goes that has a column of such a name. It is in no plan that runs.
#[derive(Debug)]
struct StopExec {
    input: Arc<dyn ExecutionPlan>,
    names: Arc<HashSet<String>>,
}

impl DisplayAs for StopExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopExec")
    }
}

impl ExecutionPlan for StopExec {
    fn name(&self) -> &'static str {
        "StopExec"
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
            Some(input) if children.is_empty() => Ok(Arc::new(Self { input, names: Arc::clone(&self.names) })),
            _ => internal_err!("StopExec has one child"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let schema = self.input.schema();
        let fields = schema.fields().iter().enumerate();
        let certain = fields.filter(|(_, field)| !self.names.contains(field.name())).map(|(index, _)| index).collect();
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, certain, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
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
