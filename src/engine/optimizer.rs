//! The optimizer's rules: the engine's own, where they hold for PostgreSQL's aggregates, too.
//!
//! A rule of the engine knows aggregates by their names. PostgreSQL's `sum` of integers is of a wider type (section 9.21
//! "Aggregate Functions"), so a sum of sums is not what the rule takes it for.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rule that aggregates twice, the first time by the one argument that is DISTINCT.
const SINGLE_DISTINCT: &str = "single_distinct_aggregation_to_group_by";

/// The rules in their order.
pub fn rules() -> Vec<Rule> {
    let rule = |rule: Rule| -> Rule { if rule.name() == SINGLE_DISTINCT { Arc::new(OfSameTypes(rule)) } else { rule } };
    Optimizer::new().rules.into_iter().map(rule).collect()
}

/// A rule whose result counts only if its columns have the types that the plan's had.
#[derive(Debug)]
struct OfSameTypes(Rule);

impl OptimizerRule for OfSameTypes {
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
        if !matches!(plan, LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        match self.0.rewrite(plan.clone(), config) {
            Ok(done) if same_types(&done.data, &plan) => Ok(done),
            // where it cannot, the aggregate as it is still can
            Ok(_) | Err(_) => Ok(Transformed::no(plan)),
        }
    }
}

fn same_types(left: &LogicalPlan, right: &LogicalPlan) -> bool {
    let types =
        |plan: &LogicalPlan| plan.schema().fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
    types(left) == types(right)
}
