//! From the logical node to the physical one.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::slot::{self, Slot};
use super::{Apply, ApplyExec, Kind, kept, parameter};

/// Makes an optimised plan ready to be planned physically: parameters get the place from where they are read, and inner
/// plans are no inputs any more, since they are planned for runs that are short and many.
pub fn prepare(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|plan| {
        let LogicalPlan::Extension(Extension { node }) = &plan else { return Ok(Transformed::no(plan)) };
        let node: &dyn Any = node.as_any();
        let Some(apply) = node.downcast_ref::<Apply>() else { return Ok(Transformed::no(plan)) };
        let slot = Arc::new(Slot::default());
        let mut parameters = Vec::with_capacity(apply.values.len());
        for (number, value) in apply.values.iter().enumerate() {
            let (_, field) = datafusion::logical_expr::ExprSchemable::to_field(value, apply.input.schema().as_ref())?;
            parameters.push((parameter(apply.id, number), slot::parameter(&slot, number, &field)));
        }
        // what is deeper refers to these parameters in its own values alone
        let inner = super::free::replace(apply.inner.as_ref().clone(), &parameters)?;
        let prepared = Prepared { apply: apply.clone(), inner: Arc::new(prepare(inner)?), slot };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(prepared) });
        Ok(Transformed::new(plan, true, TreeNodeRecursion::Continue))
    })
    .data()
}

/// [`Apply`], ready to be planned.
#[derive(Clone, Debug)]
struct Prepared {
    apply: Apply,
    inner: Arc<LogicalPlan>,
    slot: Arc<Slot>,
}

impl UserDefinedLogicalNodeCore for Prepared {
    fn name(&self) -> &'static str {
        "Apply"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.apply.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.apply.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.apply.values.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        UserDefinedLogicalNodeCore::fmt_for_explain(&self.apply, f)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), None) = (inputs.pop(), inputs.pop()) else {
            return internal_err!("a prepared Apply has one input");
        };
        let apply = Apply { input: Arc::new(input), values: exprs, ..self.apply.clone() };
        Ok(Self { apply, inner: Arc::clone(&self.inner), slot: Arc::clone(&self.slot) })
    }
}

impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.slot, &other.slot) && self.apply == other.apply
    }
}

impl Eq for Prepared {}

impl PartialOrd for Prepared {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl Hash for Prepared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.apply.hash(state);
    }
}

/// Plans [`Prepared`] nodes.
#[derive(Debug)]
pub struct ApplyPlanner;

#[async_trait]
impl ExtensionPlanner for ApplyPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(Prepared { apply, inner, slot }) = node.as_any().downcast_ref::<Prepared>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("a prepared Apply has one input") };
        let schema = apply.input.schema();
        let values = apply
            .values
            .iter()
            .map(|value| planner.create_physical_expr(value, schema, session, planning))
            .collect::<Result<Vec<_>>>()?;
        let Some(state) = session.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("Apply is planned with the engine's own state");
        };
        let inner = planner.create_physical_plan(inner, &for_short_runs(state)).await?;
        let inner = kept::keep_what_stays(inner)?;
        let output = Arc::new(apply.schema.as_arrow().clone());
        let exec = ApplyExec::new(apply.kind, Arc::clone(input), values, Arc::clone(slot), inner, output);
        Ok(Some(Arc::new(exec)))
    }
}

/// The state by which inner plans are planned: in one partition, since a run that starts tasks for each partition would
/// spend its time on that; and without predicates in the scans of files, which would have to be scanned in each run.
fn for_short_runs(state: &SessionState) -> SessionState {
    let config = state.config().clone().with_target_partitions(1);
    let rules = state.physical_optimizers().iter().filter(|rule| !rule.name().starts_with("FilterPushdown"));
    let rules = rules.cloned().collect();
    SessionStateBuilder::new_from_existing(state.clone())
        .with_config(config)
        .with_physical_optimizer_rules(rules)
        .build()
}

impl Kind {
    /// How many rows of the inner plan decide.
    pub(super) fn rows_max(self) -> Option<usize> {
        match self {
            Self::Scalar => Some(2),
            Self::Exists => Some(1),
            Self::Array | Self::Lateral { .. } => None,
        }
    }
}
