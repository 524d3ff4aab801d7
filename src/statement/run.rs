//! From a bound plan to rows: analyse, optimise, plan physically, pass the lint, stream.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::alias::AliasGenerator;
use datafusion::config::ConfigOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::StreamExt;

use super::audit::Recording;
use super::bind::Bound;
use super::casts::Casts;
use super::context::Context;
use super::fault::from_engine;
use super::postgres::PostgresMeaning;
use super::sort_keys::SortKeys;
use super::subqueries::Subqueries;
use super::told;
use crate::access::lint::{self, Secured};
use crate::apply::{self, ApplyPlanner};
use crate::engine::once;
use crate::engine::share::{Place, Share};
use crate::error::Result;

/// Batches that are ready before the client takes them.
const BATCHES_AHEAD_MAX: usize = 2;

/// The plan after type coercion: its schema is the result's schema.
pub fn analyse(bound: &Bound) -> Result<LogicalPlan> {
    let options = bound.state.config_options();
    let mut analyzer = bound.state.analyzer().clone();
    analyzer.add_function_rewrite(Arc::new(Casts));
    analyzer.rules.push(Arc::new(Subqueries));
    analyzer.rules.push(Arc::new(SortKeys));
    // GROUPING names what is grouped by as the statement wrote it
    let plan = ResolveGroupingFunction::new().analyze(bound.plan.clone(), options);
    let plan = plan.and_then(|plan| PostgresMeaning.analyze(plan, options)).map_err(from_engine)?;
    analyzer.execute_and_check(plan, options, |_, _| {}).map_err(from_engine)
}

/// A plan that may run.
pub struct Planned {
    pub secured: Secured,
    pub recording: Recording,
    /// The result's columns, with what is told of them.
    pub columns: SchemaRef,
}

/// Plans the statement physically and passes it through the lint: the only way to a plan that can run. Before it looks at
/// any file, what is read is put on its way to the audit if `recorded` says that rows will follow.
pub async fn secure(bound: &Bound, context: &Context, recorded: bool) -> Result<Planned> {
    let (state, audit) = (&bound.state, &context.audit);
    let optimizer = OptimizerContext::new_with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(context.transaction_started);
    let config = WithFunctions { context: optimizer, state };
    let analysed = analyse(bound)?;
    let meant = told::columns(analysed.schema().as_arrow(), &bound.told);
    let optimised = state.optimizer().optimize(analysed, &config, |_, _| {}).map_err(from_engine)?;
    let recording = if recorded {
        audit.note_columns(&optimised)?;
        audit.record_reads(context)?
    } else {
        Recording::nothing()
    };
    let prepared = apply::prepare(optimised).map_err(from_engine)?;
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(ApplyPlanner)]);
    let physical = planner.create_physical_plan(&prepared, state.as_ref()).await.map_err(from_engine)?;
    let physical = once::build_sides_once(physical).map_err(from_engine)?;
    let columns = with_meaning(&physical.schema(), &meant);
    Ok(Planned { secured: lint::secure(physical)?, recording, columns })
}

/// The columns that come, with what is told of their types beyond Arrow's.
fn with_meaning(columns: &Schema, meant: &Schema) -> SchemaRef {
    let same = |column: &FieldRef, meant: &FieldRef| column.data_type().equals_datatype(meant.data_type());
    let pairs = columns.fields().iter().zip(meant.fields());
    let fields = pairs.map(|(column, meant)| Arc::clone(if same(column, meant) { meant } else { column }));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What the optimizer may ask; rules that write functions of their own (DISTINCT ON) look them up.
struct WithFunctions<'a> {
    context: OptimizerContext,
    state: &'a SessionState,
}

impl OptimizerConfig for WithFunctions<'_> {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        self.context.query_execution_start_time()
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        self.context.alias_generator()
    }

    fn options(&self) -> Arc<ConfigOptions> {
        self.context.options()
    }

    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        Some(self.state)
    }
}

/// Starts a secured plan among the engine's workers. It ends when the stream is dropped.
///
/// One step of an operator may take long (a join's build side, say); whoever waits for rows must meanwhile hear a cancel
/// request, a timeout or the client hanging up.
/// It keeps its place among the principal's statements until its last row is there.
pub fn stream(
    secured: &Secured,
    state: &SessionState,
    context: &Context,
    place: Place,
) -> Result<SendableRecordBatchStream> {
    let workers = context.mesh.engine.workers();
    // some operators begin at once, and must do so among the workers
    let entered = workers.enter();
    let mut rows = secured.execute_stream(task_context(state, &context.share)).map_err(from_engine)?;
    drop(entered);
    let mut receiver = RecordBatchReceiverStreamBuilder::new(rows.schema(), BATCHES_AHEAD_MAX);
    let sender = receiver.tx();
    let work = async move {
        let _place = place;
        while let Some(batch) = rows.next().await {
            let failed = batch.is_err();
            // nobody waits any more, or nothing can follow an error
            if sender.send(batch).await.is_err() || failed {
                break;
            }
        }
        Ok(())
    };
    receiver.spawn_on(work, workers);
    Ok(receiver.build())
}

/// What running needs of the engine. The functions are already in the plan, so no list of them is copied.
fn task_context(state: &SessionState, share: &Share) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        None,
        state.session_id().to_owned(),
        state.config().clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        Arc::clone(share.runtime()),
    ))
}
