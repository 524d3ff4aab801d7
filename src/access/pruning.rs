//! Row filters of many policies, in the forms that are cheap: balanced for the rows, and as bounds for the files.
//!
//! A chain of a hundred disjuncts is a hundred levels deep, and every file's statistics are asked all of it. Evaluation ends
//! early at the top of a balanced tree, and files are asked for the bounds that the disjuncts have in common. What a file is
//! asked may admit more than the filter, never less: the filter itself still runs on every row.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::{conjunction, split_binary_owned, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, binary_expr, lit};

/// More disjuncts, or more values of a list, are bounds to the files. The engine's own limit for lists is the same
/// (`MAX_LIST_VALUE_SIZE_REWRITE`).
const ALTERNATIVES_MAX: usize = 20;

/// The same predicate with chains of AND and OR as trees of the least depth.
pub(super) fn balanced(expr: Expr) -> Result<Expr> {
    expr.transform_down(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => {
            let parts = split_binary_owned(expr, op);
            Ok(Transformed::yes(tree(parts, op)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn tree(mut parts: Vec<Expr>, op: Operator) -> Expr {
    let rest = parts.split_off(parts.len().div_ceil(2));
    let left = match parts.len() {
        0 | 1 => parts.pop().unwrap_or_else(|| lit(op == Operator::And)),
        _ => tree(parts, op),
    };
    if rest.is_empty() { left } else { binary_expr(left, op, tree(rest, op)) }
}

/// What files are asked: the predicate, with bounds in place of its long parts.
pub(super) fn of_files(expr: Expr) -> Expr {
    let parts = split_conjunction_owned(expr).into_iter().filter_map(|part| match alternatives(&part) {
        Some(alternatives) if alternatives.len() > ALTERNATIVES_MAX => bounds_of(&alternatives),
        _ => Some(part),
    });
    conjunction(parts).unwrap_or_else(|| lit(true))
}

/// What is one of many: the disjuncts of an OR, or the comparisons that a list stands for.
fn alternatives(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => Some(split_binary_owned(expr.clone(), Operator::Or)),
        Expr::InList(InList { expr, list, negated: false }) => {
            Some(list.iter().map(|value| expr.as_ref().clone().eq(value.clone())).collect())
        }
        _ => None,
    }
}

/// The least and the greatest value of each column that all alternatives ask for, as a predicate.
fn bounds_of(alternatives: &[Expr]) -> Option<Expr> {
    let mut all: Option<BTreeMap<String, Bounds>> = None;
    for alternative in alternatives {
        let own = Bounds::of(alternative);
        all = Some(match all {
            None => own,
            Some(all) => all
                .into_iter()
                .filter_map(|(name, bounds)| Some((name.clone(), bounds.around(own.get(&name)?)?)))
                .collect(),
        });
    }
    conjunction(
        all?.into_values().map(|Bounds { column, least, greatest }| {
            column.clone().gt_eq(lit(least)).and(column.lt_eq(lit(greatest)))
        }),
    )
}

#[derive(Clone, Debug)]
struct Bounds {
    column: Expr,
    least: ScalarValue,
    greatest: ScalarValue,
}

impl Bounds {
    /// Of the columns that a predicate compares with constants, by name.
    fn of(predicate: &Expr) -> BTreeMap<String, Self> {
        let mut found = BTreeMap::new();
        for part in split_conjunction(predicate) {
            let (column, values) = match part {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => (left.as_ref(), vec![right.as_ref()]),
                Expr::InList(InList { expr, list, negated: false }) => (expr.as_ref(), list.iter().collect()),
                _ => continue,
            };
            let Expr::Column(name) = column else { continue };
            let values = values.into_iter().map(|value| match value {
                // statistics and NaN do not agree about order
                Expr::Literal(value, _) if !value.is_null() && !value.data_type().is_floating() => Some(value.clone()),
                _ => None,
            });
            let Some(values) = values.collect::<Option<Vec<_>>>() else { continue };
            let bounds =
                values.into_iter().map(|value| Self { column: column.clone(), least: value.clone(), greatest: value });
            if let Some(Some(bounds)) = bounds.map(Some).reduce(|one, other| one?.around(&other?)) {
                found.insert(name.name.clone(), bounds);
            }
        }
        found
    }

    /// Both, and what lies between; `None` where they cannot be compared.
    fn around(self, other: &Self) -> Option<Self> {
        let least = match self.least.partial_cmp(&other.least)? {
            Ordering::Greater => other.least.clone(),
            Ordering::Less | Ordering::Equal => self.least,
        };
        let greatest = match self.greatest.partial_cmp(&other.greatest)? {
            Ordering::Less => other.greatest.clone(),
            Ordering::Greater | Ordering::Equal => self.greatest,
        };
        Some(Self { column: self.column, least, greatest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::col;

    fn any(parts: impl Iterator<Item = Expr>) -> Expr {
        parts.reduce(Expr::or).unwrap()
    }

    #[test]
    fn chains_become_trees() {
        assert_eq!(balanced(any((0..4).map(lit))).unwrap(), lit(0).or(lit(1)).or(lit(2).or(lit(3))));
        assert_eq!(balanced(any((0..3).map(lit))).unwrap(), lit(0).or(lit(1)).or(lit(2)));
        assert_eq!(balanced(lit(0).or(lit(1)).and(lit(2))).unwrap(), lit(0).or(lit(1)).and(lit(2)));
        assert_eq!(balanced(lit(5)).unwrap(), lit(5));
        let depth = |expr: &Expr| {
            let mut deepest = 0;
            let mut waiting = vec![(expr, 0)];
            while let Some((expr, depth)) = waiting.pop() {
                deepest = deepest.max(depth);
                if let Expr::BinaryExpr(binary) = expr {
                    waiting.extend([(binary.left.as_ref(), depth + 1), (binary.right.as_ref(), depth + 1)]);
                }
            }
            deepest
        };
        let nested = any((0..100).map(|x| any((0..100).map(|y| col("x").lt(lit(x)).and(col("y").lt(lit(y)))))));
        assert_eq!(depth(&balanced(nested).unwrap()), 14 + 2);
    }

    #[test]
    fn files_are_asked_for_bounds_in_place_of_long_parts() {
        let x = |value: i64| col("x").eq(lit(value));
        let short = any((0..20).map(x));
        assert_eq!(of_files(short.clone()), short);
        let long = || any((0..100).map(|value| x((value * 7) % 100).and(col("y").not_eq(lit(value)))));
        let bounds = col("x").gt_eq(lit(0_i64)).and(col("x").lt_eq(lit(99_i64)));
        assert_eq!(of_files(long()), bounds);
        assert_eq!(of_files(col("z").eq(lit(1)).and(long())), col("z").eq(lit(1)).and(bounds.clone()));
        assert_eq!(of_files(col("x").in_list((0..100_i64).map(lit).collect(), false)), bounds);
        let excluded = col("x").in_list((0..100_i64).map(lit).collect(), true);
        assert_eq!(of_files(excluded.clone()), excluded);
        // one that asks for nothing of the kind leaves no bounds
        assert_eq!(of_files(long().or(col("y").lt(lit(5)))), lit(true));
        assert_eq!(of_files(long().or(col("x").eq(col("y")))), lit(true));
        assert_eq!(of_files(long().or(col("x").eq(lit(ScalarValue::Int64(None))))), lit(true));
        assert_eq!(of_files(any((0..100).map(|value| col("x").eq(lit(f64::from(value)))))), lit(true));
    }
}
