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
use datafusion::physical_plan::async_func::AsyncFuncExec;
use datafusion::physical_plan::buffer::BufferExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
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

use super::scan::SecureScanExec;
use super::whole::WholeScanExec;
use crate::apply::{ApplyExec, KeptExec, LookupExec};
use crate::engine::any_rows::AnyRowsExec;
use crate::engine::once::OnceExec;
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

    /// Whether a part of the plan is fenced: what its operators measure as they run, bytes and time, then depends on
    /// rows that the principal does not see, and is not for display.
    #[must_use]
    pub fn has_fence(&self) -> bool {
        let mut waiting = vec![&self.0];
        while let Some(node) = waiting.pop() {
            let any: &dyn Any = node.as_ref();
            if any.is::<SecureScanExec>() {
                return true;
            }
            waiting.extend(shown_children(node));
        }
        false
    }

    /// The plan itself, for display and metrics; of a node's children, [`shown_children`] are for display. To run it,
    /// use [`Self::execute_stream`].
    #[must_use]
    pub fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.0
    }
}

/// The children of a node that a client may see: none of a scan of a table, behind which are files.
#[must_use]
pub fn shown_children(node: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    match judge(node.as_ref()) {
        Verdict::Fenced | Verdict::Refused => Vec::new(),
        Verdict::Allowed => parts(node),
    }
}

/// The children of a node, and the plans that it runs without calling them children.
fn parts(node: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    let any: &dyn Any = node.as_ref();
    let mut parts = node.children();
    if let Some(apply) = any.downcast_ref::<ApplyExec>() {
        parts.push(apply.inner());
    } else if let Some(kept) = any.downcast_ref::<KeptExec>() {
        parts.push(kept.input());
    } else if let Some(lookup) = any.downcast_ref::<LookupExec>() {
        parts.push(lookup.input());
    }
    parts
}

/// Walks the whole plan, the plans of subqueries with it, those that are run for each row too.
pub fn lint(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    // A stack of its own: a plan may be deeper than the thread's stack allows.
    let mut waiting = vec![plan];
    while let Some(node) = waiting.pop() {
        match judge(node.as_ref()) {
            // What lies below was permitted as a whole, by `SecuredTable`.
            Verdict::Fenced => {}
            Verdict::Allowed => waiting.extend(parts(node)),
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
    // they run other plans, which are judged themselves
    if any.is::<ApplyExec>() || any.is::<KeptExec>() || any.is::<LookupExec>() {
        return Verdict::Allowed;
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
        AnyRowsExec,
        // calls functions that wait, of which the list of functions has pg_sleep
        AsyncFuncExec,
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
        OnceExec,
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

#[cfg(test)]
mod tests {
    use std::fmt;

    use datafusion::common::tree_node::TreeNodeRecursion;
    use datafusion::common::{Result, internal_err};
    use datafusion::datasource::MemTable;
    use datafusion::physical_plan::{DisplayAs, DisplayFormatType, PhysicalExpr, PlanProperties};
    use datafusion::prelude::{ParquetReadOptions, SessionContext};

    use super::*;

    async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
        let logical = context.state().create_logical_plan(sql).await.unwrap();
        context.state().create_physical_plan(&logical).await.unwrap()
    }

    fn refused(plan: &Arc<dyn ExecutionPlan>) -> bool {
        lint(plan).is_err_and(|error| error.sqlstate().code() == "XX000" && !error.message().contains("Exec"))
    }

    #[tokio::test]
    async fn plans_that_make_their_own_rows_pass() {
        let context = SessionContext::new();
        for sql in [
            "select 1",
            "select * from (values (1), (2)) t(x) where x > 1 order by x limit 1",
            "select * from generate_series(1, 3)",
            "with recursive t(n) as (select 1 union all select n + 1 from t where n < 3) select * from t",
            "select a.x, sum(b.x) over (order by a.x) from (values (1)) a(x) join (values (1)) b(x) on a.x = b.x",
            "select (select max(x) from (values (1)) t(x)), count(*) from (values (1)) u(y) group by y union select 1, 2",
            "select unnest([1, 2])",
            "select 1 where false",
            "explain select 1",
            "explain analyze select 1",
        ] {
            let plan = plan(&context, sql).await;
            lint(&plan).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    #[tokio::test]
    async fn a_bare_file_scan_is_refused_wherever_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.parquet");
        let context = SessionContext::new();
        let copy = format!("copy (values (1), (2)) to '{}' stored as parquet", file.display());
        let sink = plan(&context, &copy).await;
        assert!(refused(&sink), "a sink");
        datafusion::physical_plan::collect(sink, context.task_ctx()).await.unwrap();
        context.register_parquet("files", file.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        for sql in [
            "select * from files",
            "select 1 where 1 in (select column1 from files)",
            "select (select min(column1 + 1) from files)",
            "select * from (values (1)) t(x) join files on x = column1",
            "select 1 union all select column1 from files",
            "explain analyze select * from files",
        ] {
            assert!(refused(&plan(&context, sql).await), "{sql}");
        }
    }

    #[tokio::test]
    async fn an_insert_is_refused() {
        let context = SessionContext::new();
        let values = plan(&context, "select 1 as x").await;
        let table = MemTable::try_new(values.schema(), vec![vec![]]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        assert!(refused(&plan(&context, "insert into t values (1)").await));
    }

    /// An operator that nobody has judged; it claims to be its child when asked for its type.
    #[derive(Debug)]
    struct Unknown(Option<Arc<dyn ExecutionPlan>>, Arc<PlanProperties>);

    impl DisplayAs for Unknown {
        fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Unknown")
        }
    }

    impl ExecutionPlan for Unknown {
        fn name(&self) -> &'static str {
            "UnknownExec"
        }

        fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
            self.0.as_deref()
        }

        fn properties(&self) -> &Arc<PlanProperties> {
            &self.1
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            self.0.iter().collect()
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            Ok(TreeNodeRecursion::Continue)
        }

        fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(self)
        }

        fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
            internal_err!("never executed")
        }
    }

    #[tokio::test]
    async fn what_is_unknown_is_refused() {
        let known = plan(&SessionContext::new(), "select 1").await;
        let properties = Arc::clone(known.properties());
        let leaf: Arc<dyn ExecutionPlan> = Arc::new(Unknown(None, Arc::clone(&properties)));
        let operator: Arc<dyn ExecutionPlan> = Arc::new(Unknown(Some(Arc::clone(&known)), properties));
        assert!(refused(&leaf) && refused(&operator));
        let above: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(leaf));
        assert!(refused(&above) && secure(above).is_err());
        assert!(Arc::ptr_eq(secure(Arc::clone(&known)).unwrap().plan(), &known));
    }
}
