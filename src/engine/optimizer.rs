//! The optimizer's rules: the engine's own, where they hold.
//!
//! A rule of the engine knows aggregates by their names. PostgreSQL's `sum` of integers is of a wider type (section 9.21
//! "Aggregate Functions"), so a sum of sums is not what the rule takes it for.
//!
//! The rule that puts inner joins in another order forgets what they are joined on where one side of an equality speaks of
//! several relations that the new order joins later, and compares NULLs for all joins as the topmost does. What it forgot is
//! asked of the rows again, and joins of both kinds stay as they are.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator, binary_expr};
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rule that aggregates twice, the first time by the one argument that is DISTINCT.
const SINGLE_DISTINCT: &str = "single_distinct_aggregation_to_group_by";

/// The rule that puts inner joins in an order in which each is on something.
const CROSS_JOIN: &str = "eliminate_cross_join";

/// The rules in their order.
pub fn rules() -> Vec<Rule> {
    let rule = |rule: Rule| -> Rule {
        match rule.name() {
            SINGLE_DISTINCT => Arc::new(Checked(rule, of_same_types)),
            CROSS_JOIN => Arc::new(Checked(rule, on_the_same_keys)),
            _ => rule,
        }
    };
    let own = Optimizer::new().rules.into_iter().map(rule);
    // what was asked of the rows again is what a join is on, once it has been pushed into one
    own.chain([Arc::new(ExtractEquijoinPredicate::new()) as Rule]).collect()
}

/// A rule of the engine whose results are looked at before they count.
struct Checked(Rule, Rewrite);

type Rewrite = fn(&Rule, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>;

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl OptimizerRule for Checked {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        (self.1)(&self.0, plan, config)
    }
}

/// Joins may be in another order, but not on less.
fn on_the_same_keys(rule: &Rule, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let before = Keys::of(&plan)?;
    if before.of_nulls {
        return Ok(Transformed::no(plan));
    }
    if before.pairs.is_empty() {
        return rule.rewrite(plan, config);
    }
    let done = rule.rewrite(plan.clone(), config)?;
    let after = Keys::of(&done.data)?;
    if before.pairs.iter().all(|(left, right)| after.has(left, right)) {
        return Ok(done);
    }
    let asked = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => Ok(asked_of_rows(join)),
        node => Ok(Transformed::no(node)),
    })?;
    let done = rule.rewrite(asked.data, config)?;
    Ok(Transformed::yes(done.data))
}

/// What the inner joins of a plan are on.
#[derive(Default)]
struct Keys {
    pairs: HashSet<(Expr, Expr)>,
    /// Whether NULL is equal to NULL in one of them.
    of_nulls: bool,
}

impl Keys {
    fn of(plan: &LogicalPlan) -> Result<Self> {
        let mut found = Self::default();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::Join(join) = node
                && join.join_type == JoinType::Inner
            {
                found.of_nulls |= !join.on.is_empty() && join.null_equality == NullEquality::NullEqualsNull;
                found.pairs.extend(join.on.iter().cloned());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    }

    fn has(&self, left: &Expr, right: &Expr) -> bool {
        let has = |pair: (Expr, Expr)| self.pairs.contains(&pair);
        has((left.clone(), right.clone())) || has((right.clone(), left.clone()))
    }
}

/// The join with equalities that one side of speaks of several relations as a condition of its rows.
fn asked_of_rows(mut join: Join) -> Transformed<LogicalPlan> {
    fn relations<'a>(plan: &'a LogicalPlan, found: &mut Vec<&'a LogicalPlan>) {
        match plan {
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
                relations(&join.left, found);
                relations(&join.right, found);
            }
            other => found.push(other),
        }
    }
    let mut joined = Vec::new();
    relations(&join.left, &mut joined);
    relations(&join.right, &mut joined);
    let is_of_one = |side: &Expr| {
        let columns = side.column_refs();
        joined.iter().any(|relation| columns.iter().all(|column| relation.schema().has_column(column)))
    };
    let (kept, asked): (Vec<_>, Vec<_>) =
        std::mem::take(&mut join.on).into_iter().partition(|(left, right)| is_of_one(left) && is_of_one(right));
    join.on = kept;
    if asked.is_empty() {
        return Transformed::no(LogicalPlan::Join(join));
    }
    let asked = asked.into_iter().map(|(left, right)| binary_expr(left, Operator::Eq, right));
    join.filter = join.filter.take().into_iter().chain(asked).reduce(Expr::and);
    Transformed::yes(LogicalPlan::Join(join))
}

/// The result counts only if its columns have the types that the plan's had.
#[expect(clippy::unnecessary_wraps, reason = "it is a `Rewrite`")]
fn of_same_types(rule: &Rule, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    if !matches!(plan, LogicalPlan::Aggregate(_)) {
        return Ok(Transformed::no(plan));
    }
    match rule.rewrite(plan.clone(), config) {
        Ok(done) if same_types(&done.data, &plan) => Ok(done),
        // where it cannot, the aggregate as it is still can
        Ok(_) | Err(_) => Ok(Transformed::no(plan)),
    }
}

fn same_types(left: &LogicalPlan, right: &LogicalPlan) -> bool {
    let types =
        |plan: &LogicalPlan| plan.schema().fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
    types(left) == types(right)
}
