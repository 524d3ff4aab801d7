//! What stays the same in every run of an inner plan: it is computed once, and looked up where the inner plan asks for
//! rows that equal a parameter.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::work_table::WorkTableExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::slot::reads_parameter;

/// Puts [`KeptExec`] around the largest parts of an inner plan that read no parameter, and [`LookupExec`] where a filter
/// above one asks for equality with parameters.
pub fn keep_what_stays(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_down(|node| {
        if let Some(filter) = (node.as_ref() as &dyn Any).downcast_ref::<FilterExec>()
            && stays(filter.input())?
            && let Some((keys, sought)) = equalities(filter)
        {
            let kept = Arc::new(LookupExec::new(Arc::clone(filter.input()), keys, sought));
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            let filtered = Arc::clone(&node).replace_children(vec![kept], options)?;
            return Ok(Transformed::new(filtered, true, TreeNodeRecursion::Jump));
        }
        if !stays(&node)? {
            return Ok(Transformed::no(node));
        }
        // nothing is gained by keeping what is in memory anyway
        if is_in_memory(&node) {
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
        }
        let kept: Arc<dyn ExecutionPlan> = Arc::new(KeptExec::new(node));
        Ok(Transformed::new(kept, true, TreeNodeRecursion::Jump))
    })
    .data()
}

/// Whether no part of the plan reads a parameter, nor the rows of a recursion that goes on around it. An inner plan further
/// in reads the parameters of its own node alone: others reach it through that node's values.
fn stays(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut stays = true;
    plan.apply(|node| {
        let any: &dyn Any = node.as_ref();
        if any.is::<WorkTableExec>() {
            stays = false;
        }
        node.apply_expressions(&mut |expr| {
            stays &= !reads_parameter(expr);
            Ok(if stays { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        Ok(if stays { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(stays)
}

fn is_in_memory(node: &Arc<dyn ExecutionPlan>) -> bool {
    let any: &dyn Any = node.as_ref();
    any.is::<EmptyExec>()
        || any.is::<PlaceholderRowExec>()
        || any
            .downcast_ref::<DataSourceExec>()
            .is_some_and(|source| source.data_source().downcast_ref::<MemorySourceConfig>().is_some())
}

/// Expressions over the input, and over parameters alone, that a filter wants to be equal.
type Equalities = (Vec<Arc<dyn PhysicalExpr>>, Vec<Arc<dyn PhysicalExpr>>);

fn equalities(filter: &FilterExec) -> Option<Equalities> {
    let schema = filter.input().schema();
    let (mut keys, mut sought) = (Vec::new(), Vec::new());
    for conjunct in split_conjunction(filter.predicate()) {
        let Some(equality) = conjunct.downcast_ref::<BinaryExpr>().filter(|binary| *binary.op() == Operator::Eq) else {
            continue;
        };
        let sides = [(equality.left(), equality.right()), (equality.right(), equality.left())];
        let fits = |(key, parameter): &(&Arc<dyn PhysicalExpr>, &Arc<dyn PhysicalExpr>)| {
            reads_parameter(parameter)
                && collect_columns(parameter).is_empty()
                && !reads_parameter(key)
                && !collect_columns(key).is_empty()
                && key.data_type(&schema).is_ok_and(|t| is_exact(&t) && parameter.data_type(&schema).ok() == Some(t))
        };
        if let Some((key, parameter)) = sides.into_iter().find(fits) {
            keys.push(Arc::clone(key));
            sought.push(Arc::clone(parameter));
        }
    }
    (!keys.is_empty()).then_some((keys, sought))
}

/// Types of which equal values have equal bytes.
fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_string()
        || data_type.is_temporal()
        || matches!(data_type, DataType::Boolean | DataType::Decimal128(..) | DataType::Decimal256(..))
}

fn properties(input: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
    let schema = EquivalenceProperties::new(input.schema());
    Arc::new(PlanProperties::new(
        schema,
        Partitioning::UnknownPartitioning(1),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

/// Rows that are held in memory, which counts as the statement's.
#[derive(Debug)]
struct Rows {
    batches: Vec<RecordBatch>,
    _memory: MemoryReservation,
}

async fn collect(input: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Rows> {
    let memory = MemoryConsumer::new("Apply").register(context.memory_pool());
    let mut rows = datafusion::physical_plan::execute_stream(Arc::clone(input), Arc::clone(context))?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok(Rows { batches, _memory: memory })
}

/// A plan whose rows are computed in the first run and given out in all. It shows no children, so that nothing resets
/// them; [`KeptExec::input`] does.
#[derive(Debug)]
pub struct KeptExec {
    input: Arc<dyn ExecutionPlan>,
    rows: Arc<OnceCell<Rows>>,
    properties: Arc<PlanProperties>,
}

impl KeptExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { properties: properties(&input), input, rows: Arc::default() }
    }

    #[must_use]
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl DisplayAs for KeptExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptExec")
    }
}

impl ExecutionPlan for KeptExec {
    fn name(&self) -> &'static str {
        "KeptExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
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

    /// INVARIANT: what is kept stays over all runs.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("what is kept has one partition");
        }
        let (input, rows) = (Arc::clone(&self.input), Arc::clone(&self.rows));
        let given = async move {
            let rows = rows.get_or_try_init(|| collect(&input, &context)).await?;
            Ok::<_, DataFusionError>(stream::iter(rows.batches.clone().into_iter().map(Ok)))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(given).try_flatten())))
    }
}

/// As [`KeptExec`], giving out only the rows whose keys equal values of the run that is under way.
#[derive(Debug)]
pub struct LookupExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    sought: Vec<Arc<dyn PhysicalExpr>>,
    index: Arc<OnceCell<Index>>,
    properties: Arc<PlanProperties>,
}

/// The rows of the input in one batch, and where each key stands.
#[derive(Debug)]
struct Index {
    rows: RecordBatch,
    converter: RowConverter,
    places: HashMap<Box<[u8]>, Vec<u32>>,
    _memory: MemoryReservation,
}

impl LookupExec {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        sought: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        Self { properties: properties(&input), input, keys, sought, index: Arc::default() }
    }

    #[must_use]
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }
}

impl Index {
    async fn build(
        input: &Arc<dyn ExecutionPlan>,
        keys: &[Arc<dyn PhysicalExpr>],
        context: &Arc<TaskContext>,
    ) -> Result<Self> {
        let Rows { batches, _memory: memory } = collect(input, context).await?;
        let rows = concat_batches(&input.schema(), &batches)?;
        drop(batches);
        let schema = rows.schema();
        let fields = keys.iter().map(|key| key.data_type(&schema).map(SortField::new)).collect::<Result<Vec<_>>>()?;
        let converter = RowConverter::new(fields)?;
        let encoded = encode(&converter, keys, &rows)?;
        let mut places: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        let mut bytes = 0;
        for (place, key) in encoded.iter().enumerate() {
            let Ok(place) = u32::try_from(place) else {
                return internal_err!("more rows than an index has places for");
            };
            bytes += size_of::<u32>();
            if let Some(known) = places.get_mut(key.as_ref()) {
                known.push(place);
            } else {
                bytes += key.as_ref().len() + size_of::<(Box<[u8]>, Vec<u32>)>();
                places.insert(key.as_ref().into(), vec![place]);
            }
        }
        memory.try_grow(bytes)?;
        Ok(Self { rows, converter, places, _memory: memory })
    }

    fn find(&self, sought: &[Arc<dyn PhysicalExpr>]) -> Result<RecordBatch> {
        // values alone: any one row will do to ask for them
        let one = RecordBatch::try_new_with_options(
            Arc::new(datafusion::arrow::datatypes::Schema::empty()),
            Vec::new(),
            &datafusion::arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        let key = encode(&self.converter, sought, &one)?;
        let places = self.places.get(key.row(0).as_ref()).cloned().unwrap_or_default();
        Ok(take_record_batch(&self.rows, &UInt32Array::from(places))?)
    }
}

fn encode(
    converter: &RowConverter,
    keys: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
) -> Result<datafusion::arrow::row::Rows> {
    let columns = keys
        .iter()
        .map(|key| key.evaluate(rows).and_then(|value| value.into_array(rows.num_rows())))
        .collect::<Result<Vec<ArrayRef>>>()?;
    Ok(converter.convert_columns(&columns)?)
}

impl DisplayAs for LookupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.keys.iter().zip(&self.sought).map(|(key, sought)| format!("{key} = {sought}"));
        write!(f, "LookupExec: {}", pairs.collect::<Vec<_>>().join(", "))
    }
}

impl ExecutionPlan for LookupExec {
    fn name(&self) -> &'static str {
        "LookupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.sought.iter(), f)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// INVARIANT: what is kept stays over all runs.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("what is kept has one partition");
        }
        let (input, index) = (Arc::clone(&self.input), Arc::clone(&self.index));
        let (keys, sought) = (self.keys.clone(), self.sought.clone());
        let given = async move {
            let index = index.get_or_try_init(|| Index::build(&input, &keys, &context)).await?;
            index.find(&sought)
        };
        let schema: SchemaRef = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(given).boxed())))
    }
}
