//! Which subqueries the engine's optimizer says as joins, with the answers that PostgreSQL gives.
//!
//! Its rules are tried on a node alone. What they would make a wrong join of is known by its shape, and not tried.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::logical_plan::EmptyRelation;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Operator};
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{Optimizer, OptimizerContext};

use super::{asks_subquery, is_array_of_subquery, is_subquery};
use crate::apply::free_columns;

/// An aggregate that has a row where there is nothing to aggregate.
pub(super) fn is_of_all_rows(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty())
}

/// How many aggregates of a subquery have a row for every row outside. A join finds a row for those alone that it has a
/// group for, and the optimizer makes up for it only where the value of one aggregate is asked.
fn rows_out_of_nothing(plan: &LogicalPlan) -> Result<usize> {
    let mut found = 0;
    plan.apply(|node| {
        if is_of_all_rows(node) && !free_columns(node)?.is_empty() {
            found += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether what refers outside may be asked above all that stands over it, as the optimizer does to make a join of it: over
/// windows, recursion or the side of a join that may be missing it would be asked of other rows.
fn may_be_asked_above(plan: &LogicalPlan) -> Result<bool> {
    let mut may = true;
    plan.apply(|node| {
        let stays = |input: &LogicalPlan| Ok::<_, DataFusionError>(free_columns(input)?.is_empty());
        may &= match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Union(_) => true,
            LogicalPlan::Distinct(distinct) => matches!(distinct, Distinct::All(_)),
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::Inner => true,
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => stays(&join.right)?,
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => stays(&join.left)?,
                JoinType::Full => stays(&join.left)? && stays(&join.right)?,
            },
            other => other.inputs().into_iter().map(stays).collect::<Result<Vec<_>>>()?.into_iter().all(|stays| stays),
        };
        Ok(if may { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(may)
}

/// Whether the optimizer takes every subquery out of a node by itself, and answers as PostgreSQL would.
pub(super) fn is_said_by_joins(node: &LogicalPlan, config: &ConfigOptions) -> Result<bool> {
    let outer = merge_schema(&node.inputs());
    let mut all = true;
    let mut only_uncorrelated_values = true;
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            let mut aggregates = 0;
            let subquery = match part {
                Expr::ScalarSubquery(subquery) => {
                    only_uncorrelated_values &= subquery.outer_ref_columns.is_empty();
                    aggregates = 1;
                    subquery
                }
                Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) => {
                    only_uncorrelated_values = false;
                    subquery
                }
                part => {
                    all &= !is_array_of_subquery(part);
                    return Ok(TreeNodeRecursion::Continue);
                }
            };
            let here = subquery.outer_ref_columns.iter().all(|column| match column {
                Expr::OuterReferenceColumn(_, column) => outer.has_column(column),
                _ => false,
            });
            let checked = datafusion::logical_expr::logical_plan::check_subquery_expr(node, &subquery.subquery, part);
            all &= here
                && checked.is_ok()
                && rows_out_of_nothing(&subquery.subquery)? <= aggregates
                && may_be_asked_above(&subquery.subquery)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if !all || only_uncorrelated_values {
        return Ok(all);
    }
    if let LogicalPlan::Filter(filter) = node
        && !has_three_values_at_the_top_alone(&filter.predicate)
    {
        return Ok(false);
    }
    decorrelates(node, config)
}

/// As [`is_said_by_joins`], of a LATERAL join whose right side is `right` to the optimizer's rules.
pub(super) fn is_lateral_said_by_joins(
    node: &LogicalPlan,
    right: &LogicalPlan,
    config: &ConfigOptions,
) -> Result<bool> {
    Ok(rows_out_of_nothing(right)? <= 1 && may_be_asked_above(right)? && decorrelates(node, config)?)
}

/// A join that marks rows knows two answers. `x IN (SELECT …)` has a third, which makes no difference where a row is let
/// through by it, and does where it is negated or looked at.
fn has_three_values_at_the_top_alone(predicate: &Expr) -> bool {
    fn positive(expr: &Expr) -> bool {
        match expr {
            Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
                positive(&binary.left) && positive(&binary.right)
            }
            Expr::InSubquery(subquery) => !subquery.negated && !asks_subquery(&subquery.expr),
            Expr::SetComparison(_) => false,
            other => {
                let has = other.exists(|part| Ok(matches!(part, Expr::InSubquery(_) | Expr::SetComparison(_))));
                !has.unwrap_or(true)
            }
        }
    }
    datafusion::logical_expr::utils::split_conjunction(predicate).into_iter().all(|conjunct| match conjunct {
        Expr::InSubquery(subquery) => !asks_subquery(&subquery.expr),
        Expr::SetComparison(_) => false,
        other => positive(other),
    })
}

/// Tries the optimizer's own rules on a node, whose inputs have their columns and nothing else here.
fn decorrelates(node: &LogicalPlan, config: &ConfigOptions) -> Result<bool> {
    let empty = |plan: &LogicalPlan| {
        LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::clone(plan.schema()) })
    };
    let inputs = match node {
        // the right side of a lateral join is what is tried
        LogicalPlan::Join(join) if crate::apply::lateral(&join.right).is_some() => {
            vec![empty(&join.left), join.right.as_ref().clone()]
        }
        node => node.inputs().into_iter().map(empty).collect(),
    };
    let alone = node.with_new_exprs(node.expressions(), inputs)?;
    let rules = Optimizer::with_rules(vec![
        Arc::new(RewriteSetComparison::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(DecorrelateLateralJoin::new()),
    ]);
    let context = OptimizerContext::new_with_config_options(Arc::new(config.clone())).with_max_passes(1);
    let Ok(tried) = rules.optimize(alone, &context, |_, _| {}) else { return Ok(false) };
    let mut left = false;
    tried.apply(|node| {
        node.apply_expressions(|expr| {
            left |= expr.exists(|part| {
                Ok(match part {
                    Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
                    Expr::OuterReferenceColumn(..) => true,
                    part => is_subquery(part),
                })
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if left { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(!left)
}
