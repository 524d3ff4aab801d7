//! Which columns of a plan refer outside of it.
//!
//! A reference belongs to the innermost query around it that has the column, as SQL's names do.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

use super::{is_parameter, replace_columns};

/// The columns outside of `plan` that it refers to, each once.
pub fn free_columns(plan: &LogicalPlan) -> Result<Vec<(FieldRef, Column)>> {
    let mut found = Vec::new();
    collect(plan, &mut Vec::new(), &mut found)?;
    Ok(found)
}

/// `around` are the columns that queries between `plan` and the one that is asked about have.
fn collect(plan: &LogicalPlan, around: &mut Vec<Arc<DFSchema>>, found: &mut Vec<(FieldRef, Column)>) -> Result<()> {
    let schema = Arc::new(merge_schema(&plan.inputs()));
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            match expr {
                Expr::OuterReferenceColumn(field, column) => {
                    let bound = is_parameter(column) || around.iter().any(|schema| schema.has_column(column));
                    if !bound && !found.iter().any(|(_, known)| known == column) {
                        found.push((Arc::clone(field), column.clone()));
                    }
                }
                Expr::ScalarSubquery(subquery)
                | Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) => {
                    around.push(Arc::clone(&schema));
                    collect(&subquery.subquery, around, found)?;
                    around.pop();
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if let LogicalPlan::Join(join) = plan {
        collect(&join.left, around, found)?;
        // what is lateral sees the left side
        let lateral = lateral(&join.right).is_some();
        if lateral {
            around.push(Arc::clone(join.left.schema()));
        }
        collect(&join.right, around, found)?;
        if lateral {
            around.pop();
        }
        return Ok(());
    }
    plan.inputs().into_iter().try_for_each(|input| collect(input, around, found))
}

/// The subquery that the right side of a join is, below its alias, if it is lateral.
pub fn lateral(right: &LogicalPlan) -> Option<&Subquery> {
    match right {
        LogicalPlan::Subquery(subquery) => Some(subquery),
        LogicalPlan::SubqueryAlias(alias) => lateral(&alias.input),
        // an alias with names for columns
        LogicalPlan::Projection(projection) => lateral(&projection.input),
        _ => None,
    }
}

/// The plan with other expressions in place of the columns outside that it refers to.
///
/// Subqueries inside it that refer further out than to their own query are no more there: they are nodes of their own.
pub fn replace(plan: LogicalPlan, names: &[(Column, Expr)]) -> Result<LogicalPlan> {
    if names.is_empty() {
        return Ok(plan);
    }
    plan.transform_down(|plan| replace_columns(plan, names)).data()
}
