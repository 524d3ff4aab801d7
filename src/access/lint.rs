//! The last look at a plan before it runs: every leaf must be fenced or on a list. A plan that has not been here has a
//! type that cannot run.
//!
//! What is allowed is a list, not what is left after bans: an operator that is not named here is refused, sinks with it.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::output_requirements::OutputRequirementExec;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::buffer::BufferExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec, SymmetricHashJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::partial_sort::PartialSortExec;
use datafusion::physical_plan::sorts::partitioned_topk::PartitionedTopKExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::work_table::WorkTableExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};

use super::secure::SecureScanExec;
use super::whole::WholeScanExec;
use crate::error::{Error, Result};

/// A plan that passed the lint; the only kind that can be executed.
#[derive(Clone, Debug)]
pub struct Secured(Arc<dyn ExecutionPlan>);

/// Lints `plan` and makes it executable. A refusal is our own mistake, never the user's: it is logged and answered with
/// XX000.
pub fn secure(plan: Arc<dyn ExecutionPlan>) -> Result<Secured> {
    lint(&plan)?;
    Ok(Secured(plan))
}

impl Secured {
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    /// Starts the plan; all partitions come out as one stream. Cancel by dropping the stream.
    pub fn execute_stream(&self, context: Arc<TaskContext>) -> datafusion::common::Result<SendableRecordBatchStream> {
        execute_stream(Arc::clone(&self.0), context)
    }

    /// The plan as EXPLAIN shows it, one operator a line.
    #[must_use]
    pub fn display(&self) -> String {
        DisplayableExecutionPlan::new(self.0.as_ref()).indent(false).to_string()
    }
}

/// Walks the whole plan, the plans of subqueries with it.
pub fn lint(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    // A stack of its own: a plan may be deeper than the thread's stack allows.
    let mut waiting = vec![plan];
    while let Some(node) = waiting.pop() {
        match judge(node.as_ref()) {
            // What lies below was permitted as a whole, by `SecuredTable`.
            Verdict::Fenced => {}
            Verdict::Allowed => waiting.extend(node.children()),
            Verdict::Refused => {
                return Err(Error::internal(format_args!("the plan contains {}, which is not secured", node.name())));
            }
        }
    }
    Ok(())
}

enum Verdict {
    Fenced,
    Allowed,
    Refused,
}

fn judge(node: &dyn ExecutionPlan) -> Verdict {
    // The node itself, not what it names as its delegate for downcasts.
    let any: &dyn Any = node;
    if any.is::<SecureScanExec>() || any.is::<WholeScanExec>() {
        return Verdict::Fenced;
    }
    if let Some(source) = any.downcast_ref::<DataSourceExec>() {
        // Values lists and the catalog's own relations; a source of files is none of them.
        let in_memory = source.data_source().downcast_ref::<MemorySourceConfig>().is_some();
        return if in_memory { Verdict::Allowed } else { Verdict::Refused };
    }
    let has_children = !node.children().is_empty();
    let allowed = if has_children { is_operator(any) } else { is_leaf(any) };
    if allowed { Verdict::Allowed } else { Verdict::Refused }
}

macro_rules! is_any_of {
    ($any:expr, $($kind:ty),+ $(,)?) => { $($any.is::<$kind>())||+ };
}

/// Leaves that make their rows themselves.
fn is_leaf(any: &dyn Any) -> bool {
    // ExplainExec holds text, no plan.
    is_any_of!(any, EmptyExec, PlaceholderRowExec, WorkTableExec, LazyMemoryExec, ExplainExec)
}

/// Operators that do nothing but compute over their children.
fn is_operator(any: &dyn Any) -> bool {
    is_any_of!(
        any,
        AggregateExec,
        AnalyzeExec,
        BoundedWindowAggExec,
        BufferExec,
        CoalescePartitionsExec,
        CooperativeExec,
        CrossJoinExec,
        FilterExec,
        GlobalLimitExec,
        HashJoinExec,
        InterleaveExec,
        LocalLimitExec,
        NestedLoopJoinExec,
        OutputRequirementExec,
        PartialSortExec,
        PartitionedTopKExec,
        PiecewiseMergeJoinExec,
        ProjectionExec,
        RecursiveQueryExec,
        RepartitionExec,
        ScalarSubqueryExec,
        SortExec,
        SortMergeJoinExec,
        SortPreservingMergeExec,
        SymmetricHashJoinExec,
        UnionExec,
        UnnestExec,
        WindowAggExec,
    )
}
