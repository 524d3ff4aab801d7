//! ORDER BY over expressions: they are computed below the sort, which then sorts by columns.
//!
//! The engine's last check of a physical plan does not find every expression equal to itself, and refuses sorts by those
//! that it does not. It finds columns.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::logical_plan::Sort;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SortExpr};
use datafusion::optimizer::analyzer::AnalyzerRule;

/// A rule of a statement's analysis.
#[derive(Debug)]
pub struct SortKeys;

impl AnalyzerRule for SortKeys {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite).data()
    }

    fn name(&self) -> &'static str {
        "sort_keys"
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(Sort { expr, input, fetch }) = plan else { return Ok(Transformed::no(plan)) };
    // a subquery's own rules know what refers outside by where it stands
    if expr.iter().all(|key| is_plain(&key.expr)) || expr.iter().any(|key| key.expr.contains_outer()) {
        return Ok(Transformed::no(LogicalPlan::Sort(Sort { expr, input, fetch })));
    }
    let schema = Arc::clone(input.schema());
    let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let mut keys = Vec::with_capacity(expr.len());
    for (number, key) in expr.into_iter().enumerate() {
        if is_plain(&key.expr) {
            keys.push(key);
            continue;
        }
        let name = format!("__key_{number}");
        let column = Expr::Column(Column::new_unqualified(name.as_str()));
        keys.push(SortExpr::new(column, key.asc, key.nulls_first));
        columns.push(key.expr.alias(name));
    }
    let computed = Projection::try_new(columns, input)?;
    let sorted = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(LogicalPlan::Projection(computed)), fetch });
    let shown = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(sorted))?)))
}

/// What needs no computing.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Alias(alias) => is_plain(&alias.expr),
        _ => false,
    }
}
