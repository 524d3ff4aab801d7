//! The opaque leaf: what a plan holds of a fenced table.
//!
//! It knows nothing of policies; [`SecuredTable`](super::SecuredTable) gives it a plan that yields permitted rows only.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::datasource::TableProvider;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType, reset_plan_states};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use crate::error::{Error, SqlState};

/// A scan that shows nothing but its table's name and lets out nothing but permitted rows.
pub struct SecureScanExec {
    table: Arc<str>,
    /// Its first columns are the output; the others, if any, serve the re-check.
    hidden: Arc<dyn ExecutionPlan>,
    /// The row filter over the hidden plan's columns, checked again on what leaves it in debug builds.
    recheck: Option<Arc<dyn PhysicalExpr>>,
    delivery: Delivery,
    /// Held until the last row is out: the way to a table's files lasts as long as its provider.
    provider: Arc<dyn TableProvider>,
    properties: Arc<PlanProperties>,
}

/// Where the rows of the hidden plan's partitions come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Each as a partition of its own.
    Apart,
    /// One after another in the first of this many partitions; the others are empty.
    InOrder { partitions: usize },
}

impl SecureScanExec {
    pub(super) fn new(
        table: &Arc<str>,
        output_schema: SchemaRef,
        hidden: Arc<dyn ExecutionPlan>,
        recheck: Option<Arc<dyn PhysicalExpr>>,
        delivery: Delivery,
        provider: &Arc<dyn TableProvider>,
    ) -> Self {
        let partitions = match delivery {
            Delivery::Apart => hidden.properties().partitioning.partition_count(),
            Delivery::InOrder { partitions } => partitions,
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output_schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        // A constant: whether the hidden operators cooperate must not show as a CooperativeExec above.
        let properties = properties.with_scheduling_type(SchedulingType::NonCooperative);
        let (table, provider, properties) = (Arc::clone(table), Arc::clone(provider), Arc::new(properties));
        Self { table, hidden, recheck, delivery, provider, properties }
    }

    /// The hidden partitions one after another, all at work from the start as far as they are buffered.
    fn execute_in_order(&self, context: &TaskContext) -> Result<SendableRecordBatchStream> {
        let context = Arc::new(without_work_stealing(context));
        let count = self.hidden.properties().partitioning.partition_count();
        let parts: Vec<_> =
            (0..count).map(|part| self.hidden.execute(part, Arc::clone(&context))).collect::<Result<_>>()?;
        let batches = futures::stream::iter(parts).flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.hidden.schema(), batches)))
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
            delivery: self.delivery,
            provider: Arc::clone(&self.provider),
            properties: Arc::clone(&self.properties),
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let hidden = match self.delivery {
            Delivery::Apart => self.hidden.execute(partition, context),
            Delivery::InOrder { .. } if partition == 0 => self.execute_in_order(&context),
            Delivery::InOrder { .. } => return Ok(Box::pin(EmptyRecordBatchStream::new(schema))),
        };
        let hidden = hidden.map_err(generic)?;
        let (recheck, output) = (self.recheck.clone(), Arc::clone(&schema));
        // Files are opened while the stream runs, when the plan may be gone.
        let provider = Arc::clone(&self.provider);
        let batches = hidden.map(move |batch| {
            let _held = &provider;
            batch.and_then(|batch| release(&batch, recheck.as_ref(), &output)).map_err(generic)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A scan whose partitions take files from each other delivers them in an order that depends on their sizes.
fn without_work_stealing(context: &TaskContext) -> TaskContext {
    let mut config = context.session_config().clone();
    config.options_mut().execution.enable_file_stream_work_stealing = false;
    TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    )
}

/// What leaves the fence: checked, cut to the output columns, without hidden values in the buffers behind them, under
/// the schema that was announced.
fn release(batch: &RecordBatch, recheck: Option<&Arc<dyn PhysicalExpr>>, output: &SchemaRef) -> Result<RecordBatch> {
    if let Some(row_filter) = recheck {
        let admitted = row_filter.evaluate(batch)?.into_array(batch.num_rows())?;
        let admitted = as_boolean_array(&admitted)?;
        if admitted.true_count() != batch.num_rows() || admitted.null_count() != 0 {
            return internal_err!("rows that the row filter refuses reached the fence");
        }
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().iter().take(output.fields().len()).map(compacted).collect::<Result<_>>()?;
    Ok(RecordBatch::try_new_with_options(Arc::clone(output), columns, &rows)?)
}

/// Views and dictionaries keep whole buffers alive, hidden neighbours included: here only what the rows refer to stays,
/// so that what operators above hold and measure is a function of the rows that are shown.
fn compacted(array: &ArrayRef) -> Result<ArrayRef> {
    if !refers_to_shared_values(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        // Encoded anew, so that even the order of the values is that of the rows.
        kind @ DataType::Dictionary(_, values) => cast(&cast(array, values)?, kind)?,
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let columns = array.columns().iter().map(compacted).collect::<Result<_>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?)
        }
        DataType::List(field) => Arc::new(compacted_list::<i32>(field, array.as_list())?),
        DataType::LargeList(field) => Arc::new(compacted_list::<i64>(field, array.as_list())?),
        DataType::FixedSizeList(field, size) => {
            let array = array.as_fixed_size_list();
            let (values, nulls) = (compacted(array.values())?, array.nulls().cloned());
            Arc::new(FixedSizeListArray::try_new(Arc::clone(field), *size, values, nulls)?)
        }
        DataType::Map(field, ordered) => {
            let array = array.as_map();
            let (offsets, entries) = referred(array.offsets(), array.entries().len());
            let entries: ArrayRef = Arc::new(array.entries().slice(entries.start, entries.len()));
            let entries = compacted(&entries)?.as_struct().clone();
            Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, array.nulls().cloned(), *ordered)?)
        }
        // Nothing that the server reads has these; who brings them here finds out.
        other => return internal_err!("{other} cannot leave the fence"),
    })
}

fn compacted_list<O: OffsetSizeTrait>(field: &FieldRef, array: &GenericListArray<O>) -> Result<GenericListArray<O>> {
    let (offsets, values) = referred(array.offsets(), array.values().len());
    let values = compacted(&array.values().slice(values.start, values.len()))?;
    Ok(GenericListArray::try_new(Arc::clone(field), offsets, values, array.nulls().cloned())?)
}

/// The part of the `length` values that the offsets span, and the offsets within that part.
fn referred<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, length: usize) -> (OffsetBuffer<O>, Range<usize>) {
    let (Some(&first), Some(last)) = (offsets.first(), offsets.last()) else { return (offsets.clone(), 0..length) };
    let span = first.as_usize()..last.as_usize();
    if span.start == 0 {
        return (offsets.clone(), span);
    }
    let lengths = offsets.lengths();
    (OffsetBuffer::from_lengths(lengths), span)
}

/// Whether arrays of the type may hold on to values that no row of theirs refers to.
fn refers_to_shared_values(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View
        | DataType::BinaryView
        | DataType::Dictionary(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::RunEndEncoded(..)
        | DataType::Union(..) => true,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => refers_to_shared_values(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| refers_to_shared_values(field.data_type())),
        _ => false,
    }
}

/// What a version whose files are gone answers, in front of the fence and behind it. That a file is missing says nothing
/// about the rows that were in it.
#[must_use]
pub fn missing_file(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        // boxed by arrow and Parquet, which do not tell of what is in the box
        let store = current.downcast_ref::<object_store::Error>();
        let boxed = || current.downcast_ref::<Box<object_store::Error>>().map(AsRef::as_ref);
        // DataFusion's reader of footers keeps the text alone
        let footer = current.to_string();
        let in_text = footer.contains("Failed to fetch metadata for file") && footer.contains("not found: ");
        if in_text || matches!(store.or_else(boxed), Some(object_store::Error::NotFound { .. })) {
            tracing::warn!(cause = %error, "a file of a table's version is missing");
            let message = "files of this version of the table are no longer there";
            return Some(
                Error::new(SqlState::UNDEFINED_FILE, message)
                    .hint("A vacuum removes the files of old versions; newer versions can be read."),
            );
        }
        cause = current.source();
    }
    None
}

/// An error from inside the fence may quote a hidden value or a file: the cause goes to the log, an id goes out. That
/// memory ran out is said, without the sizes.
pub(super) fn generic(error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        tracing::warn!(cause = %error, "memory limit reached inside a secured scan");
        return DataFusionError::ResourcesExhausted("memory limit reached while scanning a table".to_owned());
    }
    let error = missing_file(&error).unwrap_or_else(|| Error::internal(error));
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        BooleanArray, DictionaryArray, Int32Array, ListArray, StringArray, StringViewArray,
    };
    use datafusion::arrow::compute::filter;
    use datafusion::arrow::datatypes::{Field, Int32Type};

    use super::*;

    const ROWS: usize = 100;

    fn long(prefix: &str, row: usize) -> String {
        format!("{prefix} value of more than twelve bytes {row}")
    }

    /// Views, alone and in a list in a struct, and a dictionary; rows 10 and 20 are shown.
    fn columns(hidden: &str) -> Vec<ArrayRef> {
        let texts: Vec<String> =
            (0..ROWS).map(|row| long(if row == 10 || row == 20 { "shown" } else { hidden }, row)).collect();
        let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
        let item = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        let lists = ListArray::new(item, OffsetBuffer::from_lengths([1; ROWS]), Arc::clone(&views), None);
        let lists: ArrayRef = Arc::new(lists);
        let inner = Field::new("inner", lists.data_type().clone(), true);
        let nested = StructArray::new(vec![inner].into(), vec![lists], None);
        let keys = Int32Array::from_iter_values((0..ROWS).map(|row| i32::try_from(row).unwrap()));
        let dictionary = DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(texts)));
        let bytes = cast(&views, &DataType::BinaryView).unwrap();
        vec![views, Arc::new(nested), Arc::new(dictionary), bytes]
    }

    #[test]
    fn no_hidden_value_leaves_in_a_buffer() {
        let shown: BooleanArray = (0..ROWS).map(|row| Some(row == 10 || row == 20)).collect();
        let short = columns("hidden");
        let large = columns(&"hidden".repeat(1000));
        for (short, large) in short.iter().zip(&large) {
            let (short, large) = (filter(short, &shown).unwrap(), filter(large, &shown).unwrap());
            let (short_out, large_out) = (compacted(&short).unwrap(), compacted(&large).unwrap());
            assert_eq!(&short_out, &short, "the rows stay the same");
            assert_eq!(&short_out, &large_out);
            let kind = short.data_type();
            assert_eq!(short_out.get_array_memory_size(), large_out.get_array_memory_size(), "{kind}");
            assert!(large_out.get_buffer_memory_size() < 10_000, "{kind}: {}", large_out.get_buffer_memory_size());
        }
    }

    #[test]
    fn slices_of_lists_and_maps_keep_their_rows() {
        let [_, nested, ..] = &columns("hidden")[..] else { panic!() };
        let slice = nested.slice(10, 3);
        assert_eq!(&compacted(&slice).unwrap(), &slice);
        assert!(compacted(&slice).unwrap().get_buffer_memory_size() < 2000);
        let mut maps = datafusion::arrow::array::MapBuilder::new(
            None,
            datafusion::arrow::array::StringViewBuilder::new(),
            datafusion::arrow::array::StringViewBuilder::new(),
        );
        for row in 0..ROWS {
            maps.keys().append_value(long("key", row));
            maps.values().append_value(long("value", row));
            maps.append(row % 7 != 0).unwrap();
        }
        let maps: ArrayRef = Arc::new(maps.finish());
        for slice in [maps.slice(10, 5), maps.slice(0, 0), maps.slice(0, ROWS)] {
            assert_eq!(&compacted(&slice).unwrap(), &slice);
        }
        assert!(compacted(&maps.slice(10, 5)).unwrap().get_buffer_memory_size() < 2000);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        assert!(Arc::ptr_eq(&compacted(&numbers).unwrap(), &numbers), "nothing is copied in vain");
    }
}
