//! The physical operator: batches of the input in, the same rows with what the inner plan found for each out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::Kind;
use super::slot::Slot;
use crate::error::{Error, SqlState};

/// How much of what was found for earlier values is remembered.
const REMEMBERED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rows of a batch after which what an inner plan gave goes on.
const ROWS_PER_BATCH: usize = 8 * 1024;

/// Runs an inner plan for each different set of values from its input.
#[derive(Debug)]
pub struct ApplyExec {
    kind: Kind,
    input: Arc<dyn ExecutionPlan>,
    values: Vec<Arc<dyn PhysicalExpr>>,
    slot: Arc<Slot>,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl ApplyExec {
    pub(super) fn new(
        kind: Kind,
        input: Arc<dyn ExecutionPlan>,
        values: Vec<Arc<dyn PhysicalExpr>>,
        slot: Arc<Slot>,
        inner: Arc<dyn ExecutionPlan>,
        output: SchemaRef,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(output),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { kind, input, values, slot, inner, properties }
    }

    /// The plan that is run for the rows of the input. It is no child: it is planned, optimised and run by itself.
    #[must_use]
    pub fn inner(&self) -> &Arc<dyn ExecutionPlan> {
        &self.inner
    }
}

impl DisplayAs for ApplyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.iter().map(ToString::to_string).collect::<Vec<_>>();
        write!(f, "ApplyExec: {:?}, values=[{}]", self.kind, values.join(", "))
    }
}

impl ExecutionPlan for ApplyExec {
    fn name(&self) -> &'static str {
        "ApplyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.values.iter(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), None) = (children.pop(), children.pop()) else {
            return internal_err!("ApplyExec has exactly one child");
        };
        let (values, slot, inner) = (self.values.clone(), Arc::clone(&self.slot), Arc::clone(&self.inner));
        Ok(Arc::new(Self::new(self.kind, input, values, slot, inner, self.schema())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(datafusion::physical_plan::ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("ApplyExec has one partition");
        }
        let input = self.input.execute(0, Arc::clone(&context))?;
        let schema = self.input.schema();
        let fields = self.values.iter().map(|value| value.data_type(&schema).map(SortField::new));
        let run = Run {
            kind: self.kind,
            values: self.values.clone(),
            slot: Arc::clone(&self.slot),
            inner: Arc::clone(&self.inner),
            schema: self.schema(),
            converter: RowConverter::new(fields.collect::<Result<_>>()?)?,
            remembered: HashMap::new(),
            memory: MemoryConsumer::new("Apply").register(context.memory_pool()),
            context,
        };
        let state = (run, input, None::<Pending>);
        let rows = stream::try_unfold(state, |(mut run, mut input, mut pending)| async move {
            loop {
                if let Some(next) = &mut pending
                    && let Some(batch) = run.next(next).await?
                {
                    return Ok(Some((batch, (run, input, pending))));
                }
                match input.try_next().await? {
                    Some(batch) => pending = Some(run.begin(batch)?),
                    None => return Ok(None),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// A batch of the input that is being worked on.
struct Pending {
    batch: RecordBatch,
    values: Vec<ArrayRef>,
    /// What tells sets of values apart; `None` where there are no parameters.
    keys: Option<Rows>,
    next: usize,
}

/// What an inner plan gave.
#[derive(Clone)]
enum Found {
    /// One value, or the values of an array.
    Values(ArrayRef),
    Exists(bool),
    Batches(Arc<[RecordBatch]>),
}

impl Found {
    fn bytes(&self) -> usize {
        match self {
            Self::Values(values) => values.get_array_memory_size(),
            Self::Exists(_) => 0,
            Self::Batches(batches) => batches.iter().map(RecordBatch::get_array_memory_size).sum(),
        }
    }
}

/// One execution of the operator.
struct Run {
    kind: Kind,
    values: Vec<Arc<dyn PhysicalExpr>>,
    slot: Arc<Slot>,
    inner: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    converter: RowConverter,
    remembered: HashMap<Box<[u8]>, Found>,
    memory: MemoryReservation,
    context: Arc<TaskContext>,
}

impl Run {
    fn begin(&self, batch: RecordBatch) -> Result<Pending> {
        let rows = batch.num_rows();
        let values = self.values.iter().map(|value| value.evaluate(&batch).and_then(|value| value.into_array(rows)));
        let values = values.collect::<Result<Vec<_>>>()?;
        let keys = if values.is_empty() { None } else { Some(self.converter.convert_columns(&values)?) };
        Ok(Pending { batch, values, keys, next: 0 })
    }

    /// The next batch of rows made of a batch of the input, until there are none.
    async fn next(&mut self, pending: &mut Pending) -> Result<Option<RecordBatch>> {
        let rows = pending.batch.num_rows();
        let first = pending.next;
        let mut found = Vec::new();
        let mut given = 0;
        while pending.next < rows && given < ROWS_PER_BATCH {
            let one = self.find(pending).await?;
            given += match &one {
                Found::Batches(batches) => batches.iter().map(RecordBatch::num_rows).sum::<usize>().max(1),
                Found::Values(values) => values.len().max(1),
                Found::Exists(_) => 1,
            };
            found.push(one);
            pending.next += 1;
        }
        if found.is_empty() {
            return Ok(None);
        }
        let outer = pending.batch.slice(first, pending.next - first);
        self.combine(&outer, &found).map(Some)
    }

    /// What the inner plan gives for one row of the input.
    async fn find(&mut self, pending: &Pending) -> Result<Found> {
        let key: Box<[u8]> = match &pending.keys {
            Some(keys) => keys.row(pending.next).as_ref().into(),
            None => Box::default(),
        };
        if let Some(found) = self.remembered.get(&key) {
            return Ok(found.clone());
        }
        // a run may never have to wait for anything, and who waits for the rows may have gone
        tokio::task::consume_budget().await;
        let values = pending.values.iter().map(|values| ScalarValue::try_from_array(values, pending.next));
        self.slot.set(values.collect::<Result<_>>()?);
        let found = self.run().await?;
        let bytes = found.bytes() + key.len() + size_of::<(Box<[u8]>, Found)>();
        if self.memory.size() + bytes > REMEMBERED_BYTES_MAX {
            self.remembered.clear();
            self.memory.free();
        }
        if bytes <= REMEMBERED_BYTES_MAX {
            self.memory.try_grow(bytes)?;
            self.remembered.insert(key, found.clone());
        }
        Ok(found)
    }

    /// Runs the inner plan with the values that are set.
    async fn run(&self) -> Result<Found> {
        let plan = reset_plan_states(Arc::clone(&self.inner))?;
        let mut rows = datafusion::physical_plan::execute_stream(plan, Arc::clone(&self.context))?;
        let memory = MemoryConsumer::new("Apply").register(self.context.memory_pool());
        let mut batches = Vec::new();
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            count += batch.num_rows();
            memory.try_grow(batch.get_array_memory_size())?;
            batches.push(batch);
            if self.kind.rows_max().is_some_and(|max| count >= max) {
                break;
            }
        }
        let schema = self.inner.schema();
        let values = |batches: &[RecordBatch]| -> Result<ArrayRef> {
            let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
            match columns.as_slice() {
                [] => Ok(new_null_array(schema.field(0).data_type(), 0)),
                columns => Ok(concat(columns)?),
            }
        };
        Ok(match self.kind {
            Kind::Exists => Found::Exists(count > 0),
            Kind::Scalar if count > 1 => return Err(several_rows()),
            Kind::Scalar | Kind::Array => Found::Values(values(&batches)?),
            Kind::Lateral { .. } => Found::Batches(batches.into()),
        })
    }

    /// Rows of the input with what was found for each.
    fn combine(&self, outer: &RecordBatch, found: &[Found]) -> Result<RecordBatch> {
        let rows = outer.num_rows();
        if let Kind::Lateral { outer: keep } = self.kind {
            return self.side_by_side(outer, found, keep);
        }
        let added = self.schema.field(self.schema.fields().len() - 1).data_type().clone();
        let values: Vec<&ArrayRef> = found
            .iter()
            .filter_map(|found| match found {
                Found::Values(values) => Some(values),
                Found::Exists(_) | Found::Batches(_) => None,
            })
            .collect();
        let column: ArrayRef = match self.kind {
            Kind::Exists => {
                let exists = found.iter().map(|found| match found {
                    Found::Exists(exists) => Some(*exists),
                    Found::Values(_) | Found::Batches(_) => None,
                });
                Arc::new(exists.collect::<BooleanArray>())
            }
            Kind::Scalar => {
                let nothing = new_null_array(&added, 1);
                let one =
                    values.iter().map(|values| if values.is_empty() { nothing.as_ref() } else { values.as_ref() });
                concat(&one.collect::<Vec<&dyn Array>>())?
            }
            Kind::Array | Kind::Lateral { .. } => {
                let DataType::List(item) = &added else { return internal_err!("an array is a list") };
                let lengths = OffsetBuffer::from_lengths(values.iter().map(Array::len));
                let values: Vec<&dyn Array> = values.into_iter().map(AsRef::as_ref).collect();
                Arc::new(ListArray::try_new(Arc::clone(item), lengths, concat(&values)?, None)?)
            }
        };
        let columns = outer.columns().iter().cloned().chain([column]).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Each row of the input beside each of the rows that were found for it.
    fn side_by_side(&self, outer: &RecordBatch, found: &[Found], keep: bool) -> Result<RecordBatch> {
        let inner = self.inner.schema();
        let nothing = inner.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect::<Vec<_>>();
        let mut places = Vec::new();
        let mut parts: Vec<&[ArrayRef]> = Vec::new();
        for (place, found) in (0_u32..).zip(found) {
            let Found::Batches(batches) = found else { return internal_err!("rows were asked for") };
            for batch in batches.iter() {
                places.extend(std::iter::repeat_n(place, batch.num_rows()));
                parts.push(batch.columns());
            }
            if batches.is_empty() && keep {
                places.push(place);
                parts.push(&nothing);
            }
        }
        let rows = places.len();
        let places = UInt32Array::from(places);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for column in outer.columns() {
            columns.push(take(column, &places, None)?);
        }
        for (index, field) in inner.fields().iter().enumerate() {
            let parts: Vec<&dyn Array> = parts.iter().map(|columns| columns[index].as_ref()).collect();
            columns.push(match parts.as_slice() {
                [] => new_null_array(field.data_type(), 0),
                parts => concat(parts)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

fn several_rows() -> DataFusionError {
    let message = "more than one row returned by a subquery used as an expression";
    DataFusionError::External(Box::new(Error::new(SqlState::CARDINALITY_VIOLATION, message)))
}
