//! The fence: a table that gives out only the rows and columns of its scope, whatever is asked of it.
//!
//! ```text
//! raw scan → row filter → leakproof user predicates → masks → limit, or fixed partitions      ← hidden
//!                                  SecureScanExec: table=sales.orders                         ← all that anyone sees
//! ```
//!
//! [`SecureScanExec`] is a leaf without children, statistics or metrics, so that no optimizer rule moves an expression
//! of the user below the row filter, and nothing on display depends on hidden rows.
//!
//! Order: SQL promises none without ORDER BY, and neither does the fence; nor does it promise which rows a LIMIT without
//! ORDER BY takes. What it does beyond that:
//! * A scan that was handed a limit delivers the permitted rows in the order of the table's files, as the log lists them,
//!   and of the rows in them: which rows come first does not depend on where hidden rows lie between them. Tables with
//!   deletion vectors are the exception, whose scan delivers groups of files in any order.
//! * Without such a limit, batches are counted out to the partitions after filtering, by permitted rows. Rows still come
//!   in the order in which the partitions happen to get ready, and where the files are cut into partitions depends on
//!   their sizes in bytes, hidden rows included. The set of rows is the same; whoever needs an order has to ask for it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Constraints, DFSchema, Result, Statistics, internal_err};
use datafusion::datasource::TableProvider;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_plan::buffer::BufferExec;
#[expect(deprecated, reason = "the operators that replace it coalesce only what they filter themselves")]
use datafusion::physical_plan::coalesce_batches::CoalesceBatchesExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::filter::RowFilter;
use super::leakproof::is_leakproof;
use super::scan::{Delivery, SecureScanExec, generic};
use super::scope::CompiledScope;
use super::whole::{ColumnEstimates, WholeScan, WholeScanExec};
use crate::error::Error;

/// Names of columns that only the re-check sees begin so.
const RECHECKED: &str = "rechecked ";
/// How far the partitions of a scan with a limit work ahead, each.
const BYTES_AHEAD_MAX: usize = 1024 * 1024;

/// A product's table as one principal may read it.
pub struct SecuredTable {
    /// For display: `schema.table` in SQL.
    name: Arc<str>,
    raw: Arc<dyn TableProvider>,
    scope: CompiledScope,
    /// What the principal sees of it.
    schema: SchemaRef,
    /// The columns that the principal's own predicates may be about inside the fence.
    unmasked: Schema,
}

impl SecuredTable {
    /// Fences `raw` with a scope that was compiled for its schema.
    pub fn new(name: &str, raw: Arc<dyn TableProvider>, scope: CompiledScope) -> crate::error::Result<Self> {
        if raw.schema() != scope.schema {
            return Err(Error::internal(format_args!("the scope of {name} was compiled for another schema")));
        }
        let (schema, unmasked) = (Arc::new(scope.output_schema(&scope.visible)), scope.unmasked_schema());
        Ok(Self { name: Arc::from(name), raw, scope, schema, unmasked })
    }

    /// `schema.table` in SQL.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the principal reads the whole table, so that statistics about it may be shown.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.scope.is_whole()
    }

    /// What the raw table knows of its columns, by name.
    fn estimates(&self) -> ColumnEstimates {
        let statistics = self.raw.statistics().map(|statistics| statistics.column_statistics).unwrap_or_default();
        let names = self.scope.schema.fields().iter().map(|field| field.name().clone());
        names.zip(statistics).collect()
    }

    /// The hidden plan and how to check what leaves it.
    async fn fenced_scan(
        &self,
        state: &dyn Session,
        output: &[usize],
        user_filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<SecureScanExec> {
        let output_schema = Arc::new(self.scope.output_schema(output));
        let partitions = state.config().target_partitions().max(1);
        let row_filter = self.scope.row_filter.as_ref();
        if row_filter.is_some_and(RowFilter::admits_nothing) {
            let nothing = EmptyExec::new(Arc::clone(&output_schema)).with_partitions(partitions);
            let (nothing, delivery) = (Arc::new(nothing), Delivery::Apart);
            return Ok(SecureScanExec::new(&self.name, output_schema, nothing, None, delivery, &self.raw));
        }
        let user_filter = match conjunction(user_filters.iter().map(without_qualifier)) {
            None => None,
            Some(expr) => {
                let physical = self.physical(state, &expr)?;
                Some(RowFilter { plain: Arc::clone(&physical), physical, logical: expr })
            }
        };
        let filters: Vec<&RowFilter> = row_filter.into_iter().chain(&user_filter).collect();
        let read = self.columns_read(output, &filters);
        let mut plan = self.raw_scan(state, &read, &filters).await?;
        for filter in &filters {
            let predicate = reassign_expr_columns(Arc::clone(&filter.physical), &plan.schema())?;
            let filter = FilterExecBuilder::new(predicate, plan).with_batch_size(state.config().batch_size());
            plan = Arc::new(filter.build()?);
        }
        let rechecked = row_filter.filter(|_| cfg!(debug_assertions)).map(|filter| columns_of(&filter.plain));
        let rechecked: Vec<usize> = rechecked.unwrap_or_default().into_iter().collect();
        plan = self.masked(plan, output, &rechecked)?;
        let mut options = state.config_options().clone();
        // Handing out batches in turn before they are filtered would hand out permitted rows by the hidden ones.
        options.optimizer.enable_round_robin_repartition = false;
        for rule in state.physical_optimizers() {
            // Nothing outside the fence optimizes what is inside.
            plan = rule.optimize(plan, &options)?;
        }
        let (plan, delivery) = match limit {
            Some(limit) => (in_order(plan, limit), Delivery::InOrder { partitions }),
            None => (spread(plan, partitions, state.config().batch_size())?, Delivery::Apart),
        };
        for (column, field) in output_schema.fields().iter().zip(plan.schema().fields()) {
            if column.data_type() != field.data_type() || (field.is_nullable() && !column.is_nullable()) {
                return internal_err!("column {} is scanned as {}", column.name(), field.data_type());
            }
        }
        let recheck = match row_filter {
            Some(filter) if cfg!(debug_assertions) => Some(at_positions(&filter.plain, |index| {
                rechecked.iter().position(|&column| column == index).map(|position| output.len() + position)
            })?),
            _ => None,
        };
        Ok(SecureScanExec::new(&self.name, output_schema, plan, recheck, delivery, &self.raw))
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

    /// Positions in the table's schema of every column that is put out, filtered by or masked from, in order.
    fn columns_read(&self, output: &[usize], filters: &[&RowFilter]) -> Vec<usize> {
        let filtered = filters.iter().flat_map(|filter| columns_of(&filter.plain));
        let put_out = output.iter().flat_map(|index| match self.scope.masks.get(index) {
            Some(mask) => columns_of(mask),
            None => BTreeSet::from([*index]),
        });
        let read: BTreeSet<usize> = put_out.chain(filtered).collect();
        read.into_iter().collect()
    }

    /// The columns that leave the hidden plan: the output with masks in place of values, and after it, for the re-check
    /// in debug builds, values of columns that the row filter is about.
    fn masked(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        output: &[usize],
        rechecked: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (schema, table) = (plan.schema(), &self.scope.schema);
        let value = |index: usize| -> Result<Arc<dyn PhysicalExpr>> {
            let name = table.field(index).name();
            Ok(Arc::new(Column::new(name, schema.index_of(name)?)))
        };
        let mut expressions = Vec::with_capacity(output.len() + rechecked.len());
        for &index in output {
            let shown = match self.scope.masks.get(&index) {
                Some(mask) => reassign_expr_columns(Arc::clone(mask), &schema)?,
                None => value(index)?,
            };
            expressions.push((shown, table.field(index).name().clone()));
        }
        for &index in rechecked {
            expressions.push((value(index)?, format!("{RECHECKED}{index}")));
        }
        Ok(Arc::new(ProjectionExec::try_new(expressions, plan)?))
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
            let mut support = self.raw.supports_filters_pushdown(filters)?;
            for (filter, support) in filters.iter().zip(&mut support) {
                // its values change from run to run, and a scan is for all of them
                if filter.contains_outer() {
                    *support = TableProviderFilterPushDown::Unsupported;
                }
            }
            return Ok(support);
        }
        let support = |filter: &&Expr| {
            if is_leakproof(filter, &self.unmasked) {
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
            let filters: Vec<String> = filters.iter().map(|filter| without_qualifier(filter).to_string()).collect();
            let scan = WholeScan {
                table: Arc::clone(&self.name),
                filters: filters.join(", "),
                estimates: self.estimates(),
                _provider: Arc::clone(&self.raw),
            };
            return Ok(Arc::new(WholeScanExec::new(Arc::new(scan), plan)));
        }
        if !filters.iter().all(|filter| is_leakproof(filter, &self.unmasked)) {
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

/// At most `limit` rows of each partition, all of which work ahead of the one that is being delivered.
fn in_order(plan: Arc<dyn ExecutionPlan>, limit: usize) -> Arc<dyn ExecutionPlan> {
    let several = plan.properties().partitioning.partition_count() > 1;
    let limited = Arc::new(LocalLimitExec::new(plan, limit));
    if several { Arc::new(BufferExec::new(limited, BYTES_AHEAD_MAX)) } else { limited }
}

/// The number of partitions follows the settings, never the number of hidden files, and batches are counted by permitted
/// rows: coalesced to twice the size that a scan yields, none passes through as it came.
fn spread(plan: Arc<dyn ExecutionPlan>, partitions: usize, batch_size: usize) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.properties().partitioning.partition_count() == partitions {
        return Ok(plan);
    }
    #[expect(deprecated, reason = "the operators that replace it coalesce only what they filter themselves")]
    let coalesced = CoalesceBatchesExec::new(plan, batch_size.saturating_mul(2));
    Ok(Arc::new(RepartitionExec::try_new(Arc::new(coalesced), Partitioning::RoundRobinBatch(partitions))?))
}

/// Filters arrive qualified with the name under which the statement knows the table.
fn without_qualifier(filter: &Expr) -> Expr {
    datafusion::logical_expr::expr_rewriter::unnormalize_col(filter.clone())
}

fn split_conjunction(expr: &Expr) -> Vec<&Expr> {
    datafusion::logical_expr::utils::split_conjunction(expr)
}

/// Positions in the table's schema of the columns that an expression reads.
fn columns_of(expr: &Arc<dyn PhysicalExpr>) -> BTreeSet<usize> {
    collect_columns(expr).iter().map(Column::index).collect()
}

/// The expression over columns that stand elsewhere; whatever has no place is a mistake of ours.
fn at_positions(
    expr: &Arc<dyn PhysicalExpr>,
    position: impl Fn(usize) -> Option<usize>,
) -> Result<Arc<dyn PhysicalExpr>> {
    let moved = Arc::clone(expr).transform_up(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        let Some(position) = position(column.index()) else {
            return internal_err!("column {} is not at hand for the re-check", column.name());
        };
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), position)) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(moved.data)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::common::{DataFusionError, ScalarValue};
    use datafusion::datasource::MemTable;
    use datafusion::execution::config::SessionConfig;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use datafusion::physical_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions, StatisticsArgs};
    use datafusion::prelude::SessionContext;
    use futures::StreamExt;

    use super::*;
    use crate::access::decide::{ColumnMask, ReadScope, RowRule};
    use crate::access::mask::MaskKey;
    use crate::access::principal::Principal;
    use crate::access::scope::Reader;
    use crate::access::testing::user;
    use crate::access::{lint, secure};
    use crate::catalog::model::MaskMethod;

    /// `x`, `region`, `secret`; the filter shows `region = 'EU'`, and `secret` is masked.
    type Row<'a> = (i64, &'a str, &'a str);
    const VISIBLE: [Row<'static>; 3] = [(1, "EU", "5"), (2, "EU", "6"), (3, "EU", "7")];

    /// One batch and one partition for each part.
    fn raw(parts: &[&[Row<'_>]]) -> Arc<MemTable> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("x", DataType::Int64, true),
            Field::new("region", DataType::Utf8, true),
            Field::new("secret", DataType::Utf8, true),
        ]));
        let batch = |rows: &[Row<'_>]| {
            let text = |value: fn(&Row<'_>) -> String| StringArray::from_iter_values(rows.iter().map(value));
            let x = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
            let (region, secret) = (text(|row| row.1.to_owned()), text(|row| row.2.to_owned()));
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(x), Arc::new(region), Arc::new(secret)]).unwrap()
        };
        let partitions = parts.iter().map(|rows| vec![batch(rows)]).collect();
        Arc::new(MemTable::try_new(Arc::clone(&schema), partitions).unwrap())
    }

    fn scope(raw: &Arc<dyn TableProvider>, filter: Option<&str>, masks: &[(&str, MaskMethod)]) -> CompiledScope {
        let mask = |(column, method): &(&str, MaskMethod)| ColumnMask {
            column: (*column).to_owned(),
            method: method.clone(),
            must_exist: true,
        };
        let scope = ReadScope {
            row_rules: filter.map(|text| RowRule::Filter { text: text.to_owned() }).into_iter().collect(),
            masks: masks.iter().map(mask).collect(),
        };
        let ann = Principal::from(&user("ann", &[]));
        let key = MaskKey::new([1; 32]);
        let reader = Reader { principal: &ann, readable_domains: &BTreeSet::new(), mask_key: Some(&key) };
        CompiledScope::compile(&scope, &reader, &raw.schema()).unwrap()
    }

    /// With the columns `masked` shown as NULL.
    fn secured(raw: Arc<dyn TableProvider>, filter: Option<&str>, masked: &[&str]) -> Arc<SecuredTable> {
        let masks: Vec<_> = masked.iter().map(|&column| (column, MaskMethod::Null)).collect();
        let scope = scope(&raw, filter, &masks);
        Arc::new(SecuredTable::new("sales.orders", raw, scope).unwrap())
    }

    fn context(table: Arc<dyn TableProvider>) -> SessionContext {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        context.register_table("orders", table).unwrap();
        context
    }

    /// A mesh's table as `ann` sees it, over visible rows and the given hidden ones.
    fn world(hidden: &[&[Row<'_>]]) -> SessionContext {
        let parts: Vec<&[Row<'_>]> = [&VISIBLE[..]].into_iter().chain(hidden.iter().copied()).collect();
        context(secured(raw(&parts), Some("region = 'EU'"), &["secret"]))
    }

    async fn plan(context: &SessionContext, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
        let logical = context.state().create_logical_plan(sql).await?;
        context.state().create_physical_plan(&logical).await
    }

    /// Every plan of these tests passes the lint before it runs.
    async fn run(context: &SessionContext, sql: &str) -> Result<String> {
        let secured = secure(plan(context, sql).await?).unwrap();
        let batches: Vec<RecordBatch> =
            futures::TryStreamExt::try_collect(secured.execute_stream(context.task_ctx())?).await?;
        Ok(pretty_format_batches(&batches)?.to_string())
    }

    async fn values(context: &SessionContext, sql: &str) -> Vec<String> {
        let table = run(context, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let lines: Vec<&str> = table.lines().collect();
        if lines.len() < 5 {
            return Vec::new();
        }
        let cell = |line: &&str| line.split('|').map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned();
        lines[3..lines.len() - 1].iter().map(cell).collect()
    }

    /// Hidden rows that fail every careless expression.
    const HIDDEN: [Row<'static>; 3] = [(77, "US", "not a number"), (-1, "US", ""), (i64::MAX, "US", "8")];

    #[tokio::test]
    async fn only_permitted_rows_and_columns_leave() {
        let ann = world(&[&HIDDEN]);
        for (sql, expected) in [
            ("select x from orders order by x", &["1", "2", "3"][..]),
            ("select count(*) from orders", &["3"]),
            ("select count(*), min(x), max(x) from orders", &["3 1 3"]),
            ("select sum(x) from orders where x > 1", &["5"]),
            ("select x from orders where region = 'US'", &[]),
            ("select x from orders where x in (1, 77) order by x", &["1"]),
            ("select region from orders where x = 2", &["EU"]),
            ("select 1 from orders", &["1", "1", "1"]),
            ("select count(*) from (select * from orders limit 2)", &["2"]),
            ("select count(*) from (select * from orders where x <> 1 limit 5)", &["2"]),
            ("select * from orders where x = 3", &["3 EU"]),
            ("select x from orders order by x desc limit 1", &["3"]),
            ("select a.x from orders a join orders b on a.x = b.x + 1 order by 1", &["2", "3"]),
            ("select x, (select max(x) from orders) from orders where x = 1", &["1 3"]),
            ("select count(*) from orders a full join orders b on a.x = b.x", &["3"]),
            ("select region, region as again from orders where x = 1", &["EU EU"]),
        ] {
            assert_eq!(values(&ann, sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_recursive_query_scans_again_and_again() {
        let sql = "with recursive t(n) as (select 1::bigint union all select o.x from t join orders o on o.x = t.n + 1)
                   select count(*) from t";
        assert_eq!(values(&world(&[&HIDDEN]), sql).await, ["3"]);
    }

    #[tokio::test]
    async fn no_expression_of_a_user_runs_on_a_hidden_row() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let recorder = create_udf(
            "recorder",
            vec![DataType::Int64],
            DataType::Boolean,
            Volatility::Immutable,
            Arc::new(move |arguments: &[ColumnarValue]| {
                let x = arguments[0].to_array(1)?;
                let x = x.as_any().downcast_ref::<Int64Array>().unwrap();
                counter.fetch_add(x.iter().flatten().filter(|&x| !(1..=3).contains(&x)).count(), Ordering::Relaxed);
                Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
            }),
        );
        let ann = world(&[&HIDDEN]);
        ann.register_udf(recorder);
        for sql in [
            "select x from orders where 1 / (x - 77) < 5 order by x",
            "select x from orders where 1 / (x + 1) < 5 and region = 'EU' order by x",
            "select x from orders where x + 1 > 0 order by x",
            "select x from orders where recorder(x) order by x",
            "select x from orders where recorder(x) and x < 100 order by x",
            "select x from orders where case when x > 50 then 1 / 0 = 1 else true end order by x",
            "select a.x from orders a, orders b where recorder(a.x) and 1 / (b.x - 77) < 5 and a.x = b.x order by 1",
            "select x from (select x, 10 / (x - 77) from orders where recorder(x)) order by x",
        ] {
            assert_eq!(values(&ann, sql).await, ["1", "2", "3"], "{sql}");
        }
        assert_eq!(seen.load(Ordering::Relaxed), 0);
        // The column itself shown, its values of hidden rows still unread.
        let open = context(secured(raw(&[&VISIBLE, &HIDDEN]), Some("region = 'EU'"), &[]));
        let cast = "select x from orders where cast(secret as bigint) > 5 order by x";
        assert_eq!(values(&open, cast).await, ["2", "3"]);
    }

    #[tokio::test]
    async fn a_hidden_column_does_not_exist() {
        let raw: Arc<dyn TableProvider> = raw(&[&VISIBLE]);
        let scope = scope(&raw, Some("region = 'EU'"), &[]).without_columns(|name| name != "secret");
        let table = Arc::new(SecuredTable::new("sales.orders", raw, scope).unwrap());
        let ann = context(Arc::clone(&table) as _);
        assert!(table.scan(&ann.state(), Some(&vec![2]), &[], None).await.is_err(), "the third column is hidden");
        for sql in
            ["select secret from orders", "select x from orders where secret = '5'", "select orders.secret from orders"]
        {
            let error = run(&ann, sql).await.unwrap_err().strip_backtrace();
            assert!(error.contains("No field named"), "{error}");
            assert!(!error.contains("Valid fields") || !error.split("Valid fields").nth(1).unwrap().contains("secret"));
        }
    }

    #[tokio::test]
    async fn twin_worlds_explain_and_answer_alike() {
        let many: Vec<Row<'_>> = (0..20_000).map(|x| (x, "US", "s")).collect();
        let (one, two) = (world(&[&HIDDEN]), world(&[&many, &[], &HIDDEN, &many]));
        for sql in [
            "select * from orders order by x",
            "select count(*) from orders",
            "select max(x) from orders where x > 2",
            "select a.x from orders a join orders b on a.x = b.x order by 1",
            "select x, count(*) over (partition by region) from orders order by x limit 2",
            "select x from orders where x > (select avg(x) from orders)",
            "select count(*) from orders where 1 / (x - 2) = 1",
        ] {
            for prefix in ["", "explain ", "explain verbose "] {
                let sql = format!("{prefix}{sql}");
                let answer = async |world| run(world, &sql).await.map_err(|error| error.strip_backtrace());
                assert_eq!(answer(&one).await, answer(&two).await, "{sql}");
            }
        }
    }

    /// The same visible rows, with other hidden rows before, between and after them, in as many files.
    fn many_files(hidden: usize) -> Arc<MemTable> {
        let us: Vec<Row<'_>> = (0..hidden).map(|_| (77, "US", "s")).collect();
        let with = |x: i64| [&us[..], &[(x, "EU", "s")], &us[..]].concat();
        let parts: Vec<Vec<Row<'_>>> = (1..=5).map(|file| if file == 3 { us.clone() } else { with(file) }).collect();
        raw(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_limit_takes_the_first_visible_rows_wherever_hidden_ones_lie() {
        for hidden in [0, 3, 20_000] {
            let ann = context(secured(many_files(hidden), Some("region = 'EU'"), &[]));
            for (sql, expected) in [
                ("select x from orders limit 3", &["1", "2", "4"][..]),
                ("select x from orders where x > 1 limit 2", &["2", "4"]),
                ("select x from orders limit 100", &["1", "2", "4", "5"]),
                ("select x from orders limit 2 offset 1", &["2", "4"]),
            ] {
                for _ in 0..20 {
                    assert_eq!(values(&ann, sql).await, expected, "{sql} with {hidden} hidden rows");
                }
            }
        }
    }

    #[tokio::test]
    async fn batches_are_counted_out_by_visible_rows() {
        let dealt = async |between: usize| {
            let us: Vec<Row<'_>> = vec![(77, "US", "s"); 2];
            let eu: Vec<Row<'_>> = (0..12).map(|x| (x, "EU", "s")).collect();
            let mut parts: Vec<&[Row<'_>]> = Vec::new();
            for pair in eu.chunks(2) {
                parts.push(pair);
                parts.extend(std::iter::repeat_n(&us[..], between));
            }
            // One partition of many batches.
            let parts = raw(&parts);
            let batches: Vec<RecordBatch> =
                futures::future::join_all(parts.batches.iter().map(async |part| part.read().await.clone()))
                    .await
                    .concat();
            let one = Arc::new(MemTable::try_new(parts.schema(), vec![batches]).unwrap());
            // A scan that cannot be divided, as that of a table with deletion vectors.
            let config = SessionConfig::new().with_target_partitions(3).with_batch_size(2);
            let config = config.with_repartition_file_scans(false);
            let context = SessionContext::new_with_config(config);
            let table = secured(one, Some("region = 'EU'"), &[]);
            let scan = table.scan(&context.state(), Some(&vec![0]), &[], None).await.unwrap();
            let streams = (0..3).map(|part| {
                datafusion::physical_plan::common::collect(scan.execute(part, context.task_ctx()).unwrap())
            });
            let dealt = futures::future::join_all(streams).await.into_iter().map(Result::unwrap);
            dealt.map(|part| pretty_format_batches(&part).unwrap().to_string()).collect::<Vec<_>>()
        };
        let plain = dealt(0).await;
        assert!(plain.iter().all(|part| part.len() > 10), "all have rows: {plain:?}");
        for between in [1, 2, 5] {
            assert_eq!(dealt(between).await, plain, "{between} hidden batches between");
        }
    }

    #[tokio::test]
    async fn a_plan_and_its_stream_keep_the_provider() {
        for filter in [None, Some("region = 'EU'")] {
            let raw = raw(&[&VISIBLE, &HIDDEN]);
            let provider = Arc::downgrade(&raw);
            let table = secured(raw, filter, &[]);
            let context = SessionContext::new();
            let plan = table.scan(&context.state(), None, &[], None).await.unwrap();
            drop(table);
            assert!(provider.upgrade().is_some(), "the plan");
            let stream = plan.execute(0, context.task_ctx()).unwrap();
            drop(plan);
            assert!(provider.upgrade().is_some(), "the stream");
            drop(stream);
            assert!(provider.upgrade().is_none(), "nobody is left");
        }
    }

    #[tokio::test]
    async fn the_plan_shows_a_name_and_nothing_else() {
        let plan = plan(&world(&[&HIDDEN]), "select x from orders where x > 1 and x + 1 > 1").await.unwrap();
        let mut leaf = Arc::clone(&plan);
        while let Some(child) = leaf.children().first().map(|&child| Arc::clone(child)) {
            leaf = child;
        }
        let scan = leaf.downcast_ref::<SecureScanExec>().unwrap();
        assert!(scan.metrics().is_none() && scan.fetch().is_none() && scan.children().is_empty());
        assert_eq!(scan.properties().partitioning.partition_count(), 3);
        assert_eq!(format!("{scan:?}"), "SecureScanExec(sales.orders)");
        let statistics =
            datafusion::physical_plan::StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new()).unwrap();
        assert_eq!(*statistics, Statistics::new_unknown(&leaf.schema()));
        assert!(
            Arc::clone(&leaf)
                .replace_children(vec![plan], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
                .is_err()
        );
    }

    #[tokio::test]
    async fn dynamic_filters_stay_outside() {
        let ann = world(&[&HIDDEN]);
        let sql =
            "select a.x from orders a join (select x from orders where x + 0 = 1) b on a.x = b.x order by a.x limit 1";
        let plan = plan(&ann, sql).await.unwrap();
        let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string();
        let scans: Vec<&str> = text.lines().filter(|line| line.contains("SecureScanExec")).map(str::trim).collect();
        assert_eq!(scans, ["SecureScanExec: table=sales.orders"; 2], "{text}");
        assert_eq!(values(&ann, sql).await, ["1"]);
    }

    #[tokio::test]
    async fn a_leaky_predicate_is_refused_even_when_offered() {
        use datafusion::logical_expr::{col, lit};
        let table = secured(raw(&[&VISIBLE]), Some("region = 'EU'"), &["secret"]);
        let context = context(Arc::clone(&table) as _);
        for leaky in [(lit(1_i64) / col("x")).eq(lit(1_i64)), col("secret").eq(lit("5"))] {
            assert!(table.scan(&context.state(), None, &[leaky], None).await.is_err());
        }
        let about_a_masked_column = col("secret").is_null();
        assert!(table.scan(&context.state(), None, &[about_a_masked_column], None).await.is_err());
    }

    #[tokio::test]
    async fn everything_above_the_scan_sees_masked_values() {
        let masks = [
            ("secret", MaskMethod::Partial { first: 0, last: 1 }),
            ("region", MaskMethod::Expression("left(region, 1) || right(secret, 1)".to_owned())),
            ("x", MaskMethod::Redact),
        ];
        let rows: [Row<'_>; 3] = [(5, "EU", "s3cret-a"), (6, "EU", "s3cret-b"), (7, "US", "s3cret-c")];
        let raw: Arc<dyn TableProvider> = raw(&[&rows]);
        let scope = scope(&raw, Some("x < 7 AND region = 'EU'"), &masks);
        let ann = context(Arc::new(SecuredTable::new("sales.orders", raw, scope).unwrap()));
        for (sql, expected) in [
            ("select secret, region, x from orders order by secret", &["****a Ea 0", "****b Eb 0"][..]),
            ("select secret from orders where secret = 's3cret-a'", &[]),
            ("select secret from orders where secret = '****a'", &["****a"]),
            ("select secret from orders where secret like 's3%'", &[]),
            ("select secret from orders where x = 5", &[]),
            ("select count(*) from orders where x = 0", &["2"]),
            ("select min(secret), max(secret), sum(x) from orders", &["****a ****b 0"]),
            ("select a.secret from orders a join orders b on a.secret = b.secret order by 1", &["****a", "****b"]),
            ("select count(*) from orders a join (values ('s3cret-a')) v(s) on a.secret = v.s", &["0"]),
            ("select secret || '!' from orders order by region desc limit 1", &["****b!"]),
            ("select x from orders order by 1 / (x + 1)", &["0", "0"]),
            ("select region from orders where secret in ('****b', 'other')", &["Eb"]),
            ("select 1 from orders where secret is null", &[]),
        ] {
            assert_eq!(values(&ann, sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_filter_that_admits_nothing_reads_nothing() {
        let nobody = context(secured(raw(&[&VISIBLE]), Some("region = principal_attribute('absent')"), &[]));
        assert_eq!(values(&nobody, "select count(*) from orders").await, ["0"]);
        assert_eq!(values(&nobody, "select x, secret from orders where x = 1").await, [""; 0]);
    }

    /// A provider that answers a pruned scan wrongly or fails, as a broken file would.
    #[derive(Debug)]
    struct Broken(Arc<dyn ExecutionPlan>);

    #[async_trait]
    impl TableProvider for Broken {
        fn schema(&self) -> SchemaRef {
            self.0.schema()
        }

        fn table_type(&self) -> TableType {
            TableType::Base
        }

        async fn scan(
            &self,
            _: &dyn Session,
            _: Option<&Vec<usize>>,
            _: &[Expr],
            _: Option<usize>,
        ) -> Result<Arc<dyn ExecutionPlan>> {
            internal_err!("file part-77-hidden.parquet is broken")
        }
    }

    #[tokio::test]
    async fn errors_from_inside_come_out_generic() {
        let broken = Broken(Arc::new(EmptyExec::new(raw(&[&VISIBLE]).schema())));
        let ann = context(secured(Arc::new(broken), Some("region = 'EU'"), &[]));
        let error = run(&ann, "select x from orders").await.unwrap_err().to_string();
        assert!(error.contains("internal error") && !error.contains("part-77"), "{error}");
        let memory = generic(DataFusionError::ResourcesExhausted("77 bytes".to_owned()));
        assert!(matches!(&memory, DataFusionError::ResourcesExhausted(text) if !text.contains("77")));
    }

    #[tokio::test]
    async fn rows_that_the_filter_refuses_never_pass_in_debug_builds() {
        let raw = raw(&[&VISIBLE, &HIDDEN]);
        let context = context(Arc::clone(&raw) as _);
        let rows = raw.scan(&context.state(), None, &[], None).await.unwrap();
        let table = secured(raw, Some("region = 'EU'"), &["secret"]);
        let recheck = table.scope.row_filter.as_ref().map(|filter| Arc::clone(&filter.physical));
        let scan =
            Arc::new(SecureScanExec::new(&table.name, table.schema(), rows, recheck, Delivery::Apart, &table.raw));
        let mut passed = 0;
        let mut failed = 0;
        for partition in 0..2 {
            let mut stream = scan.execute(partition, context.task_ctx()).unwrap();
            while let Some(batch) = stream.next().await {
                match batch {
                    Ok(batch) => {
                        assert_eq!(batch.num_columns(), 3);
                        passed += batch.num_rows();
                    }
                    Err(error) => {
                        assert!(!error.to_string().contains("row filter"));
                        failed += 1;
                    }
                }
            }
        }
        assert_eq!((passed, failed), (3, 1));
    }

    #[tokio::test]
    async fn a_whole_table_keeps_statistics_and_needs_no_fence() {
        let raw = raw(&[&VISIBLE, &HIDDEN]);
        let whole = context(secured(Arc::clone(&raw) as _, None, &[]));
        let count = plan(&whole, "select count(*) from orders").await.unwrap();
        let text = datafusion::physical_plan::displayable(count.as_ref()).indent(false).to_string();
        assert!(!text.contains("WholeScanExec") && text.contains("PlaceholderRowExec"), "{text}");
        assert_eq!(values(&whole, "select count(*) from orders").await, ["6"]);
        let limited = plan(&whole, "select x from orders limit 2").await.unwrap();
        let text = datafusion::physical_plan::displayable(limited.as_ref()).indent(false).to_string();
        assert!(text.contains("WholeScanExec: table=sales.orders") && text.contains("fetch=2"), "{text}");
        lint(&limited).unwrap();
        let other = secured(raw, Some("true"), &[]);
        assert!(other.is_whole());
    }
    #[tokio::test]
    async fn a_whole_table_keeps_pruning_and_dynamic_filters() {
        use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/", folder.path().display());
        let writer = SessionContext::new();
        let values = format!("copy (select value as x from generate_series(1, 1000)) to '{url}a.parquet'");
        datafusion::physical_plan::collect(plan(&writer, &values).await.unwrap(), writer.task_ctx()).await.unwrap();
        let options = ListingOptions::new(Arc::new(datafusion::datasource::file_format::parquet::ParquetFormat::new()));
        let config = ListingTableConfig::new(ListingTableUrl::parse(&url).unwrap()).with_listing_options(options);
        let config = config.infer_schema(&writer.state()).await.unwrap();
        let raw = Arc::new(ListingTable::try_new(config).unwrap());
        let bare = context(Arc::clone(&raw) as _);
        let whole = context(secured(Arc::clone(&raw) as _, None, &[]));
        for sql in [
            "select x from orders where x > 500",
            "select x from orders order by x desc limit 3",
            "select a.x from orders a join orders b on a.x = b.x where b.x < 10",
            "select x + 1 from orders limit 4",
            "select count(*) from orders where x = 7",
        ] {
            let text = async |context| {
                let plan = plan(context, sql).await.unwrap();
                datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string()
            };
            let marked = text(&whole).await;
            let lines = marked.lines().filter(|line| !line.contains("WholeScanExec"));
            let unmarked: Vec<&str> = lines.map(str::trim).collect();
            let expected = text(&bare).await;
            assert_eq!(unmarked, expected.lines().map(str::trim).collect::<Vec<_>>(), "{sql}");
            assert_eq!(run(&whole, sql).await.unwrap().len(), run(&bare_fenced(&raw), sql).await.unwrap().len());
        }
        // The same files behind the fence: the filter prunes inside, and the answers are right.
        let some = context(secured(raw, Some("x BETWEEN 10 AND 20"), &[]));
        assert_eq!(values_of(&some).await, ["11 10 20"]);
    }

    fn bare_fenced(raw: &Arc<datafusion::datasource::listing::ListingTable>) -> SessionContext {
        context(secured(Arc::clone(raw) as _, Some("x IS NOT NULL"), &[]))
    }

    async fn values_of(context: &SessionContext) -> Vec<String> {
        values(context, "select count(*), min(x), max(x) from orders").await
    }
}
