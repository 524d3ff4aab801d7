//! EXPLAIN and EXPLAIN ANALYZE: the secured plan as text. What lies behind the fence is a name and nothing more.

use std::time::Instant;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use futures::StreamExt;
use tokio::runtime::Handle;

use super::{text_columns, text_rows};
use crate::access::lint::Secured;
use crate::error::Result;
use crate::statement::bind::Bound;
use crate::statement::{Rows, from_engine, run};

pub fn schema() -> SchemaRef {
    text_columns(&["QUERY PLAN"])
}

/// The plan, a line a row. With `analyze` the statement runs to its end first and its rows are thrown away.
pub async fn explain(secured: &Secured, bound: &Bound, analyze: bool, verbose: bool, workers: &Handle) -> Result<Rows> {
    let started = Instant::now();
    let mut row_count = 0;
    if analyze {
        let mut stream = run::stream(secured, &bound.state, workers)?;
        while let Some(batch) = stream.next().await {
            row_count += batch.map_err(from_engine)?.num_rows();
        }
    }
    let display = if analyze {
        DisplayableExecutionPlan::with_metrics(secured.plan().as_ref())
    } else {
        DisplayableExecutionPlan::new(secured.plan().as_ref())
    };
    let mut lines: Vec<Vec<String>> =
        display.indent(verbose).to_string().lines().map(|line| vec![line.to_owned()]).collect();
    if analyze {
        lines.push(vec![format!("Rows: {row_count}")]);
        lines.push(vec![format!("Execution Time: {:.3} ms", started.elapsed().as_secs_f64() * 1000.0)]);
    }
    text_rows(schema(), &lines, "EXPLAIN")
}
