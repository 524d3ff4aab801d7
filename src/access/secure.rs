//! The fence: a table that gives out only the rows and columns of its scope, whatever is asked of it.
//!
//! ```text
//! raw scan → row filter → leakproof user predicates → projection → limit → fixed partitions   ← hidden
//!                                  SecureScanExec: table=sales.orders                         ← all that anyone sees
//! ```
//!
//! [`SecureScanExec`] is a leaf without children, statistics or metrics, so that no optimizer rule moves an expression
//! of the user below the row filter and nothing on display depends on hidden rows. Errors from inside come out generic.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Constraints, DFSchema, DataFusionError, Result, ScalarValue, Statistics, internal_err};
use datafusion::datasource::TableProvider;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType, reset_plan_states};
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::filter::{CompiledScope, RowFilter};
use super::leakproof::is_leakproof;
use super::whole::WholeScanExec;
use crate::error::Error;

/// A product's table as one principal may read it.
pub struct SecuredTable {
    /// For display: `schema.table` in SQL.
    name: Arc<str>,
    raw: Arc<dyn TableProvider>,
    scope: CompiledScope,
    /// Without hidden columns.
    schema: SchemaRef,
}

impl SecuredTable {
    /// Fences `raw` with a scope that was compiled for its schema.
    pub fn new(name: &str, raw: Arc<dyn TableProvider>, scope: CompiledScope) -> crate::error::Result<Self> {
        if raw.schema() != scope.schema {
            return Err(Error::internal(format_args!("the scope of {name} was compiled for another schema")));
        }
        let schema = scope.schema.project(&scope.visible).map_err(Error::internal)?;
        Ok(Self { name: Arc::from(name), raw, scope, schema: Arc::new(schema) })
    }

    /// Whether the principal reads the whole table, so that statistics about it may be shown.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.scope.is_whole()
    }

    /// The hidden plan and how to check what leaves it.
    async fn fenced_scan(
        &self,
        state: &dyn Session,
        output: &[usize],
        user_filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<SecureScanExec> {
        let output_schema = Arc::new(self.scope.schema.project(output)?);
        let partitions = state.config().target_partitions().max(1);
        let row_filter = self.scope.row_filter.as_ref();
        if row_filter.is_some_and(RowFilter::admits_nothing) {
            let nothing = EmptyExec::new(Arc::clone(&output_schema)).with_partitions(partitions);
            return Ok(SecureScanExec::new(&self.name, output_schema, Arc::new(nothing), None));
        }
        let user_filter = match conjunction(user_filters.iter().map(without_qualifier)) {
            None => None,
            Some(expr) => Some(RowFilter { physical: self.physical(state, &expr)?, logical: expr }),
        };
        let filters: Vec<&RowFilter> = row_filter.into_iter().chain(&user_filter).collect();
        let read = columns_read(output, &filters);
        let mut plan = self.raw_scan(state, &read, &filters).await?;
        for filter in &filters {
            let predicate = reassign_expr_columns(Arc::clone(&filter.physical), &plan.schema())?;
            plan = Arc::new(FilterExec::try_new(predicate, plan)?);
        }
        let kept = kept_columns(output, row_filter);
        plan = project(plan, &self.scope.schema, &kept)?;
        for rule in state.physical_optimizers() {
            // Nothing outside the fence optimizes what is inside.
            plan = rule.optimize(plan, state.config_options())?;
        }
        if let Some(limit) = limit {
            plan = Arc::new(LocalLimitExec::new(plan, limit));
        }
        if plan.properties().partitioning.partition_count() != partitions {
            // The number of partitions follows the settings, never the number of hidden files.
            plan = Arc::new(RepartitionExec::try_new(plan, Partitioning::RoundRobinBatch(partitions))?);
        }
        let recheck = match row_filter {
            Some(filter) if cfg!(debug_assertions) => {
                Some(reassign_expr_columns(Arc::clone(&filter.physical), &plan.schema())?)
            }
            _ => None,
        };
        Ok(SecureScanExec::new(&self.name, output_schema, plan, recheck))
    }

    /// The raw provider's plan for the columns `read`, with all filters that the provider can use to prune.
    async fn raw_scan(
        &self,
        state: &dyn Session,
        read: &[usize],
        filters: &[&RowFilter],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let conjuncts: Vec<&Expr> = filters.iter().flat_map(|filter| split_conjunction(&filter.logical)).collect();
        let support = self.raw.supports_filters_pushdown(&conjuncts)?;
        let hints: Vec<Expr> = conjuncts
            .into_iter()
            .zip(support)
            .filter(|(_, support)| *support != TableProviderFilterPushDown::Unsupported)
            .map(|(expr, _)| expr.clone())
            .collect();
        self.raw.scan(state, Some(&read.to_vec()), &hints, None).await
    }

    fn physical(&self, state: &dyn Session, expr: &Expr) -> Result<Arc<dyn PhysicalExpr>> {
        let schema = DFSchema::try_from(Arc::clone(&self.scope.schema))?;
        state.create_physical_expr(expr.clone(), &schema)
    }
}

impl fmt::Debug for SecuredTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecuredTable({})", self.name)
    }
}

#[async_trait]
impl TableProvider for SecuredTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        if self.is_whole() { self.raw.constraints() } else { None }
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        if self.is_whole() {
            return self.raw.supports_filters_pushdown(filters);
        }
        let support = |filter: &&Expr| {
            if is_leakproof(filter, &self.schema) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.is_whole() {
            let plan = self.raw.scan(state, projection, filters, limit).await?;
            return Ok(Arc::new(WholeScanExec::new(Arc::clone(&self.name), plan)));
        }
        if !filters.iter().all(|filter| is_leakproof(filter, &self.schema)) {
            return internal_err!("a predicate that may leak was pushed into the fence of {}", self.name);
        }
        let output: Option<Vec<usize>> = match projection {
            None => Some(self.scope.visible.clone()),
            Some(wanted) => wanted.iter().map(|&index| self.scope.visible.get(index).copied()).collect(),
        };
        let Some(output) = output else {
            return internal_err!("a projection of {} names a column that it does not have", self.name);
        };
        // Even planning can fail with what hidden files contain.
        let scan = self.fenced_scan(state, &output, filters, limit).await;
        scan.map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>).map_err(generic)
    }

    fn statistics(&self) -> Option<Statistics> {
        if self.is_whole() { self.raw.statistics() } else { None }
    }
}

impl RowFilter {
    fn admits_nothing(&self) -> bool {
        matches!(&self.logical, Expr::Literal(value, _) if *value != ScalarValue::Boolean(Some(true)))
    }
}

/// Filters arrive qualified with the name under which the statement knows the table.
fn without_qualifier(filter: &Expr) -> Expr {
    datafusion::logical_expr::expr_rewriter::unnormalize_col(filter.clone())
}

fn split_conjunction(expr: &Expr) -> Vec<&Expr> {
    datafusion::logical_expr::utils::split_conjunction(expr)
}

/// Positions in the table's schema of every column that is put out or filtered by, in order.
fn columns_read(output: &[usize], filters: &[&RowFilter]) -> Vec<usize> {
    let filtered = filters.iter().flat_map(|filter| collect_columns(&filter.physical));
    let read: BTreeSet<usize> = output.iter().copied().chain(filtered.map(|column| column.index())).collect();
    read.into_iter().collect()
}

/// The columns that leave the hidden plan: the output, and after it, in debug builds, what the re-check needs.
fn kept_columns(output: &[usize], row_filter: Option<&RowFilter>) -> Vec<usize> {
    let mut kept = output.to_vec();
    if cfg!(debug_assertions)
        && let Some(filter) = row_filter
    {
        let needed: BTreeSet<usize> = collect_columns(&filter.physical).iter().map(Column::index).collect();
        kept.extend(needed.into_iter().filter(|index| !output.contains(index)));
    }
    kept
}

/// `columns` are positions in `table`; `plan` may have them elsewhere.
fn project(plan: Arc<dyn ExecutionPlan>, table: &SchemaRef, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let expressions = columns.iter().map(|&index| {
        let name = table.field(index).name();
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, schema.index_of(name)?));
        Ok((column, name.clone()))
    });
    let expressions = expressions.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(expressions, plan)?))
}

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
    fn new(
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
            hidden.map(move |batch| batch.and_then(|b| release(b, recheck.as_ref(), &output)).map_err(generic));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// What leaves the fence: checked, cut to the output columns, under the schema that was announced.
fn release(batch: RecordBatch, recheck: Option<&Arc<dyn PhysicalExpr>>, output: &SchemaRef) -> Result<RecordBatch> {
    if let Some(row_filter) = recheck {
        let admitted = row_filter.evaluate(&batch)?.into_array(batch.num_rows())?;
        let admitted = as_boolean_array(&admitted)?;
        if admitted.true_count() != batch.num_rows() || admitted.null_count() != 0 {
            return internal_err!("rows that the row filter refuses reached the fence");
        }
    }
    let width = output.fields().len();
    if batch.num_columns() == width {
        return Ok(batch);
    }
    Ok(batch.project(&(0..width).collect::<Vec<_>>())?)
}

/// An error from inside the fence may quote a hidden value or a file: the cause goes to the log, an id goes out. That
/// memory ran out is said, without the sizes.
fn generic(error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        tracing::warn!(cause = %error, "memory limit reached inside a secured scan");
        return DataFusionError::ResourcesExhausted("memory limit reached while scanning a table".to_owned());
    }
    DataFusionError::External(Box::new(Error::internal(error)))
}
