//! A nested loop join whose build side has no room in memory fails, instead of reading that side a second time.
//!
//! DataFusion 55 reads it again and writes it to disk. But a plan runs once: a repartition below panics when it is asked
//! again, rows may come in another order, and with several probe partitions an outer or semi join tells rows of the build
//! side once for each partition.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

use super::share::BEYOND_SHARE;

/// The plan with an [`OnceExec`] as the build side of every nested loop join.
///
/// # Errors
/// None but the engine's own.
pub fn build_sides_once(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let any: &dyn Any = node.as_ref();
        let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() else { return Ok(Transformed::no(node)) };
        let (build, probe) = (Arc::clone(join.left()), Arc::clone(join.right()));
        let children = vec![Arc::new(OnceExec::new(build)) as Arc<dyn ExecutionPlan>, probe];
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
        Arc::clone(&node).replace_children(children, options).map(Transformed::yes)
    })
    .data()
}

/// Its input, which it gives out once.
#[derive(Debug)]
pub struct OnceExec {
    input: Arc<dyn ExecutionPlan>,
    given: AtomicBool,
}

impl OnceExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, given: AtomicBool::new(false) }
    }
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceExec")
    }
}

impl ExecutionPlan for OnceExec {
    fn name(&self) -> &'static str {
        "OnceExec"
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
            Some(input) if children.is_empty() => Ok(Arc::new(Self::new(input))),
            _ => internal_err!("OnceExec has one child"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.given.swap(true, Ordering::Relaxed) {
            let message = format!("the build side of a nested loop join {BEYOND_SHARE}");
            return Err(DataFusionError::ResourcesExhausted(message));
        }
        self.input.execute(partition, context)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::RecordBatch;
    use datafusion::physical_plan::displayable;
    use datafusion::physical_plan::execution_plan::reset_plan_states;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn a_build_side_runs_once_until_it_is_reset() {
        let context = SessionContext::new();
        let sql = "select * from (values (1), (2)) a(x) join (values (1), (2)) b(y) on x < y";
        let logical = context.state().create_logical_plan(sql).await.unwrap();
        let physical = context.state().create_physical_plan(&logical).await.unwrap();
        let once = build_sides_once(physical).unwrap();
        let shown = displayable(once.as_ref()).indent(false).to_string();
        assert_eq!(shown.matches("OnceExec").count(), 1, "{shown}");
        let rows = datafusion::physical_plan::collect(Arc::clone(&once), context.task_ctx()).await.unwrap();
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        let mut build = None;
        once.apply(|node| {
            if (node.as_ref() as &dyn Any).is::<OnceExec>() {
                build = Some(Arc::clone(node));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        let build = build.unwrap();
        let again = build.execute(0, context.task_ctx()).err().unwrap();
        assert!(matches!(again, DataFusionError::ResourcesExhausted(_)), "{again}");
        assert!(reset_plan_states(build).unwrap().execute(0, context.task_ctx()).is_ok());
    }
}
