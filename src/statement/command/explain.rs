//! EXPLAIN and EXPLAIN ANALYZE: the secured plan as text, down to the scans of tables. What lies behind a scan, its
//! files and how they are pruned, is never shown; what operators measured is shown only where no table is fenced.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, StatisticsArgs, StatisticsContext};
use futures::StreamExt;

use super::{text_columns, text_rows};
use crate::access::lint::{Secured, shown_children};
use crate::error::Result;
use crate::statement::shapes::aliases::MARK;
use crate::statement::{Rows, from_engine};

/// How many rows are expected where nothing is known, as of a foreign table (PostgreSQL's `DEFAULT_FDW_TUPLES`).
const ROWS_UNKNOWN: usize = 1000;
/// Of a value of no fixed size.
const WIDTH_UNKNOWN: usize = 32;
/// PostgreSQL's `cpu_tuple_cost`.
const COST_OF_ROW: f64 = 0.01;

pub fn schema() -> SchemaRef {
    text_columns(&["QUERY PLAN"])
}

/// The plan, a line a row. With ANALYZE `start` starts it, it runs to its end, and its rows are thrown away.
pub async fn explain(
    secured: &Secured,
    start: Option<impl FnOnce() -> Result<SendableRecordBatchStream>>,
    verbose: bool,
) -> Result<Rows> {
    // Before it runs: some operators show what they have learned from the rows.
    let mut lines = plan_lines(secured.plan(), verbose, false);
    if let Some(start) = start {
        let started = Instant::now();
        let mut row_count = 0;
        let mut stream = start()?;
        while let Some(batch) = stream.next().await {
            row_count += batch.map_err(from_engine)?.num_rows();
        }
        let elapsed = started.elapsed();
        if !secured.has_fence() {
            lines = plan_lines(secured.plan(), verbose, true);
        }
        lines.push(format!("Rows: {row_count}"));
        lines.push(format!("Execution Time: {:.3} ms", elapsed.as_secs_f64() * 1000.0));
    }
    if let Some(first) = lines.first_mut() {
        first.push_str(&estimate(secured.plan()));
    }
    let rows: Vec<Vec<String>> = lines.into_iter().map(|line| vec![line]).collect();
    text_rows(schema(), &rows, "EXPLAIN")
}

/// What the plan is thought to return, as PostgreSQL writes it behind its first line: `postgres_fdw` reads it there. A fence
/// has no statistics, so that an estimate above one knows nothing of the table.
fn estimate(plan: &Arc<dyn ExecutionPlan>) -> String {
    let known = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    let rows = known.ok().and_then(|known| known.num_rows.get_value().copied());
    let rows = rows.unwrap_or(ROWS_UNKNOWN);
    let width: usize = plan.schema().fields().iter().map(|field| width(field.data_type())).sum();
    let cost = f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) * COST_OF_ROW;
    format!("  (cost=0.00..{cost:.2} rows={rows} width={width})")
}

/// Bytes of a value as PostgreSQL guesses them (`get_typavgwidth`).
fn width(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(if data_type == &DataType::Boolean { 1 } else { WIDTH_UNKNOWN })
}

/// A line for each operator above the tables, and for the tables' scans.
fn plan_lines(plan: &Arc<dyn ExecutionPlan>, verbose: bool, metrics: bool) -> Vec<String> {
    let format = if verbose { DisplayFormatType::Verbose } else { DisplayFormatType::Default };
    let mut lines = Vec::new();
    // A stack of its own: a plan may be deeper than the thread's stack allows.
    let mut waiting = vec![(plan, 0)];
    while let Some((node, depth)) = waiting.pop() {
        let mut line = format!("{:indent$}{}", "", Operator(node.as_ref(), format), indent = depth * 2);
        if metrics && let Some(metrics) = node.metrics() {
            let metrics = metrics.aggregate_by_name().sorted_for_display().timestamps_removed();
            line = format!("{line}, metrics=[{metrics}]");
        }
        // Columns that share a name are told apart in a way that can be read.
        let line = line.replace(MARK, "#");
        // An operator may quote text of the statement, and with it line breaks.
        lines.extend(line.lines().map(ToOwned::to_owned));
        waiting.extend(shown_children(node).into_iter().rev().map(|child| (child, depth + 1)));
    }
    lines
}

struct Operator<'a>(&'a dyn ExecutionPlan, DisplayFormatType);

impl fmt::Display for Operator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(self.1, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use datafusion::datasource::TableProvider;
    use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
    use futures::TryStreamExt;

    use super::*;
    use crate::access::scope::Reader;
    use crate::access::{CompiledScope, Principal, ReadScope, RowRule, SecuredTable, secure};

    /// Rows (1, 'n1'), …; who reads the whole table, or only those rows with `x <= visible`.
    async fn world(folder: &std::path::Path, rows: usize, visible: Option<usize>) -> SessionContext {
        let file = folder.join(format!("secret-{rows}.parquet"));
        let writer = SessionContext::new();
        let copy = format!(
            "copy (select value as x, 'a name of more than twelve bytes ' || value as name
             from generate_series(1, {rows})) to '{}' stored as parquet",
            file.display()
        );
        datafusion::physical_plan::collect(planned(&writer, &copy).await, writer.task_ctx()).await.unwrap();
        let frame = writer.read_parquet(file.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        let raw: Arc<dyn TableProvider> = frame.into_view();
        let filter = visible.map(|visible| RowRule::Filter { text: format!("x <= {visible}") });
        let scope = ReadScope { row_rules: filter.into_iter().collect(), masks: Vec::new() };
        let ann =
            Principal { name: "ann".to_owned(), groups: Vec::new(), attributes: BTreeMap::new(), roles: Vec::new() };
        let reader = Reader { principal: &ann, readable_domains: &BTreeSet::new(), mask_key: None };
        let scope = CompiledScope::compile(&scope, &reader, &raw.schema()).unwrap();
        let table = SecuredTable::new("sales.orders", raw, scope).unwrap();
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        context.register_table("orders", Arc::new(table)).unwrap();
        context
    }

    async fn planned(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
        let state = context.state();
        state.create_physical_plan(&state.create_logical_plan(sql).await.unwrap()).await.unwrap()
    }

    async fn explained(context: &SessionContext, sql: &str, analyze: bool, verbose: bool) -> String {
        let secured = secure(planned(context, sql).await).unwrap();
        let start = || secured.execute_stream(context.task_ctx()).map_err(from_engine);
        let rows = explain(&secured, analyze.then_some(start), verbose).await.unwrap();
        let batches: Vec<_> = rows.stream.try_collect().await.unwrap();
        datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
    }

    const QUERIES: [&str; 5] = [
        "select name from orders where x > 1 limit 3",
        "select count(*), max(name) from orders where x + 1 > 1",
        "select a.name from orders a join orders b on a.x = b.x order by a.name limit 2",
        "select name from orders where x > (select avg(x) from orders)",
        "select name || 'x' as y from orders union all select name from orders where name like '%1%'",
    ];

    #[tokio::test]
    async fn nothing_behind_a_scan_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        for visible in [None, Some(100)] {
            let context = world(folder.path(), 1_000, visible).await;
            for sql in QUERIES {
                for (analyze, verbose) in [(false, false), (false, true), (true, false), (true, true)] {
                    let text = explained(&context, sql, analyze, verbose).await;
                    let scan = if visible.is_some() { "SecureScanExec" } else { "WholeScanExec" };
                    assert!(text.contains(&format!("{scan}: table=sales.orders")), "{text}");
                    for hidden in ["secret", "parquet", "DataSource", "file", "pruning", "x@0 <= 100"] {
                        assert!(!text.contains(hidden), "{hidden} in {sql}:\n{text}");
                    }
                    assert_eq!(text.contains("Execution Time"), analyze, "{text}");
                    let operators = text.contains("AggregateExec") && analyze && visible.is_none();
                    assert!(
                        text.contains("metrics=") || !operators,
                        "operators above whole scans are measured: {text}"
                    );
                    assert!(!text.contains("metrics=") || visible.is_none() && analyze, "{text}");
                }
            }
        }
        let whole = world(folder.path(), 1_000, None).await;
        let text = explained(&whole, QUERIES[0], false, false).await;
        assert!(text.contains("projection=[name"), "the statement's own columns are shown: {text}");
    }

    #[tokio::test]
    async fn twin_worlds_are_analyzed_alike() {
        let folder = tempfile::tempdir().unwrap();
        let (few, many) = (world(folder.path(), 120, Some(100)).await, world(folder.path(), 30_000, Some(100)).await);
        for sql in QUERIES {
            let timeless = async |context| {
                let text = explained(context, sql, true, true).await;
                let lines = text.lines().filter(|line| !line.contains("Execution Time"));
                lines.map(|line| line.trim_matches(['|', ' ', '+', '-']).to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(timeless(&few).await, timeless(&many).await, "{sql}");
        }
    }
}
