//! The arguments of CALL and EXECUTE: planned as the columns of one row, and valued before the statement runs.
//!
//! They see no relation, so that what they are worth depends on the session alone.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlanBuilder, cast};
use datafusion::physical_expr::create_physical_expr;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;

use super::bind::{Bound, Planner, parser_options, simplifier, with_parameters};
use super::context::Context;
use super::fault::from_engine;
use super::{limits, run, shapes, told};
use crate::error::{Error, Result, SqlState};

/// Plans arguments, each cast to the type beside it where one is. `what` they are is told in errors: "CALL arguments".
///
/// # Errors
/// What planning gives; `42803` and `42P20` for aggregates and window functions, which have no rows here.
pub fn planned(
    arguments: Vec<(SqlExpr, Option<DataType>)>,
    what: &str,
    parameters: Vec<Option<FieldRef>>,
    context: &Context,
) -> Result<Bound> {
    let state = context.mesh.engine.state(&context.settings.lock().time_zone().name());
    let planner = Planner::new(&state, context, HashMap::new(), "");
    let sql = SqlToRel::new_with_options(&planner, parser_options());
    let mut planning = PlannerContext::new().with_prepare_param_data_types(parameters);
    let schema = DFSchema::empty();
    let mut columns = Vec::with_capacity(arguments.len());
    for (number, (mut argument, wanted)) in arguments.into_iter().enumerate() {
        shapes::rewrite_expression(&mut argument, "")?;
        let value = sql.sql_to_expr(argument, &schema, &mut planning).map_err(from_engine)?;
        refuse_functions_of_rows(&value, what)?;
        let value = match wanted {
            Some(wanted) => cast(value, wanted),
            None => value,
        };
        columns.push(value.alias(format!("argument{number}")));
    }
    let plan = LogicalPlanBuilder::empty(true).project(columns).and_then(LogicalPlanBuilder::build);
    let plan = plan.map_err(from_engine)?;
    limits::check_plan(&plan)?;
    Ok(Bound { plan, told: told::Columns::default(), state })
}

/// The values of planned arguments.
///
/// # Errors
/// What an argument's evaluation fails with.
pub fn values(bound: Bound, parameters: &[ScalarValue], context: &Context) -> Result<Vec<ScalarValue>> {
    let bound = Bound { plan: with_parameters(bound.plan, parameters)?, ..bound };
    let simplifier = simplifier(&bound.state, context);
    let plan = run::analyse(&bound)?;
    let props = bound.state.execution_props();
    let one_row = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        Vec::new(),
        &RecordBatchOptions::new().with_row_count(Some(1)),
    );
    let one_row = one_row.map_err(Error::internal)?;
    let value = |column: Expr| {
        let column = simplifier.simplify(column).map_err(from_engine)?.unalias();
        if let Expr::Literal(value, _) = column {
            return Ok(value);
        }
        // what fails, and what is another value each time, is not folded
        let physical = create_physical_expr(&column, &DFSchema::empty(), props, &PhysicalPlanningContext::default())
            .map_err(from_engine)?;
        match physical.evaluate(&one_row).map_err(from_engine)? {
            ColumnarValue::Scalar(value) => Ok(value),
            ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0).map_err(from_engine),
        }
    };
    plan.expressions().into_iter().map(value).collect()
}

fn refuse_functions_of_rows(value: &Expr, what: &str) -> Result<()> {
    let mut refused = None;
    value
        .apply(|part| {
            refused = match part {
                Expr::AggregateFunction(_) => Some((SqlState::GROUPING_ERROR, "aggregate")),
                Expr::WindowFunction(_) => Some((SqlState::WINDOWING_ERROR, "window")),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            Ok(TreeNodeRecursion::Stop)
        })
        .map_err(from_engine)?;
    match refused {
        Some((sqlstate, kind)) => Err(Error::new(sqlstate, format!("{kind} functions are not allowed in {what}"))),
        None => Ok(()),
    }
}
