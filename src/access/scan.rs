//! The opaque leaf: what a plan holds of a fenced table.
//!
//! It knows nothing of policies; [`SecuredTable`](super::SecuredTable) gives it a plan that yields permitted rows only.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType, reset_plan_states};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;

use crate::error::Error;

/// A scan that shows nothing but its table's name and lets out nothing but permitted rows.
pub struct SecureScanExec {
    table: Arc<str>,
    /// Its first columns are the output; the others, if any, serve the re-check.
    hidden: Arc<dyn ExecutionPlan>,
    /// The row filter over the hidden plan's columns, checked again on what leaves it in debug builds.
    recheck: Option<Arc<dyn PhysicalExpr>>,
    properties: Arc<PlanProperties>,
}

impl SecureScanExec {
    pub(super) fn new(
        table: &Arc<str>,
        output_schema: SchemaRef,
        hidden: Arc<dyn ExecutionPlan>,
        recheck: Option<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        let partitions = hidden.properties().partitioning.partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output_schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        // A constant: whether the hidden operators cooperate must not show as a CooperativeExec above.
        let properties = properties.with_scheduling_type(SchedulingType::NonCooperative);
        Self { table: Arc::clone(table), hidden, recheck, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for SecureScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecureScanExec({})", self.table)
    }
}

impl DisplayAs for SecureScanExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "SecureScanExec: table={}", self.table)
            }
            DisplayFormatType::TreeRender => write!(f, "table={}", self.table),
        }
    }
}

/// Every method that is not here has a default that says nothing: no statistics, no metrics, no pushdown of filters
/// (dynamic ones with them), limits, sorts or projections, no other number of partitions.
impl ExecutionPlan for SecureScanExec {
    fn name(&self) -> &'static str {
        "SecureScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("SecureScanExec has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    /// A recursive query runs its term several times; some operators inside run only once.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let hidden = reset_plan_states(Arc::clone(&self.hidden)).map_err(generic)?;
        Ok(Arc::new(Self {
            table: Arc::clone(&self.table),
            hidden,
            recheck: self.recheck.clone(),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let hidden = self.hidden.execute(partition, context).map_err(generic)?;
        let (recheck, output) = (self.recheck.clone(), Arc::clone(&schema));
        let batches =
            hidden.map(move |batch| batch.and_then(|b| release(&b, recheck.as_ref(), &output)).map_err(generic));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// What leaves the fence: checked, cut to the output columns, under the schema that was announced.
fn release(batch: &RecordBatch, recheck: Option<&Arc<dyn PhysicalExpr>>, output: &SchemaRef) -> Result<RecordBatch> {
    if let Some(row_filter) = recheck {
        let admitted = row_filter.evaluate(batch)?.into_array(batch.num_rows())?;
        let admitted = as_boolean_array(&admitted)?;
        if admitted.true_count() != batch.num_rows() || admitted.null_count() != 0 {
            return internal_err!("rows that the row filter refuses reached the fence");
        }
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().iter().take(output.fields().len()).cloned().collect();
    Ok(RecordBatch::try_new_with_options(Arc::clone(output), columns, &rows)?)
}

/// An error from inside the fence may quote a hidden value or a file: the cause goes to the log, an id goes out. That
/// memory ran out is said, without the sizes.
pub(super) fn generic(error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        tracing::warn!(cause = %error, "memory limit reached inside a secured scan");
        return DataFusionError::ResourcesExhausted("memory limit reached while scanning a table".to_owned());
    }
    DataFusionError::External(Box::new(Error::internal(error)))
}
