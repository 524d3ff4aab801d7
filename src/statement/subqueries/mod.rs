//! Subqueries that the engine's optimizer cannot say as joins: in other words that it can, else by [`Apply`].
//!
//! Works on an analysed plan, bottom-up. A node keeps its subqueries where the optimizer's own rules take them all away,
//! which is tried on the node alone; so what is fast stays as it is. Where not, each subquery becomes a column of the
//! node's input: as an aggregate, which the optimizer makes a hash join of, if that can be, and by Apply if not.

mod functions;
mod joins;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, JoinType, Result, ScalarValue, Spans};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Exists, InSubquery, ScalarFunction, SetComparison, SetQuantifier,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Limit, Sort};
use datafusion::logical_expr::{
    Expr, ExprSchemable, FetchType, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection, SkipType,
    SortExpr, Subquery, lit, when,
};
use datafusion::optimizer::analyzer::AnalyzerRule;

pub use functions::array_marker;
use functions::{maybe, only};
use joins::{is_lateral_said_by_joins, is_of_all_rows, is_said_by_joins};

use super::quantified;
use super::shapes::ARRAY_OF_SUBQUERY;
use crate::apply::{Apply, Kind, free_columns};
use crate::error::{Error, SqlState};

/// A rule of a statement's analysis.
#[derive(Debug)]
pub struct Subqueries;

impl AnalyzerRule for Subqueries {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        crate::apply::begin_plan();
        rewrite(plan, config)
    }

    fn name(&self) -> &'static str {
        "subqueries"
    }
}

fn rewrite(plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
    let plan = plan.transform_up(|node| rewrite_node(node, config)).data()?;
    if crate::apply::lateral(&plan).is_some() { without_marks(plan) } else { Ok(plan) }
}

/// A relation that refers outside its query and stands beside no other is a plan like any: what it refers to is further
/// out. Below an alias it is not known yet what it stands beside.
fn without_lonely_marks(node: LogicalPlan) -> Result<LogicalPlan> {
    if !node.inputs().into_iter().any(|input| crate::apply::lateral(input).is_some()) {
        return Ok(node);
    }
    let unmarked = |child: LogicalPlan| {
        if crate::apply::lateral(&child).is_some() {
            return without_marks(child).map(Transformed::yes);
        }
        Ok(Transformed::no(child))
    };
    match node {
        LogicalPlan::Join(join) if crate::apply::lateral(&join.left).is_some() => {
            let left = Arc::new(without_marks(join.left.as_ref().clone())?);
            Ok(LogicalPlan::Join(Join { left, ..join }))
        }
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Join(_) => Ok(node),
        other => other.map_children(unmarked).data(),
    }
}

fn rewrite_node(node: LogicalPlan, config: &ConfigOptions) -> Result<Transformed<LogicalPlan>> {
    let node = without_lonely_marks(node)?;
    if let LogicalPlan::Join(join) = &node
        && crate::apply::lateral(&join.right).is_some()
    {
        return rewrite_lateral(node, config);
    }
    if !has_subqueries(&node)? {
        return Ok(Transformed::no(node));
    }
    let node = node.map_subqueries(|subquery| match subquery {
        LogicalPlan::Subquery(subquery) => {
            let inner = without_needless_limit(rewrite(subquery.subquery.as_ref().clone(), config)?);
            let outer_ref_columns =
                free_columns(&inner)?.into_iter().map(|(field, column)| Expr::OuterReferenceColumn(field, column));
            let (outer_ref_columns, spans) = (outer_ref_columns.collect(), subquery.spans);
            Ok(Transformed::yes(LogicalPlan::Subquery(Subquery {
                subquery: Arc::new(inner),
                outer_ref_columns,
                spans,
            })))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let node = values_that_may_be_missing(node.data)?;
    if is_said_by_joins(&node, config)? {
        return Ok(Transformed::yes(node));
    }
    if let LogicalPlan::Join(join) = node {
        return rewrite_join(join, config).map(Transformed::yes);
    }
    let Ok([input]) = <[&LogicalPlan; 1]>::try_from(node.inputs()) else { return Err(misplaced()) };
    let (schema, mut input) = (Arc::clone(node.schema()), input.clone());
    // what does not ask a subquery is asked first
    let node = match node {
        LogicalPlan::Filter(filter) => {
            let conjuncts = datafusion::logical_expr::utils::split_conjunction_owned(filter.predicate);
            let (with, without): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(asks_subquery);
            if let Some(plain) = datafusion::logical_expr::utils::conjunction(without) {
                input = LogicalPlan::Filter(Filter::try_new(plain, Arc::new(input))?);
            }
            let Some(predicate) = datafusion::logical_expr::utils::conjunction(with) else { return Err(misplaced()) };
            LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input.clone()))?)
        }
        node => node,
    };
    let names = NamePreserver::new(&node);
    let mut asked: Vec<(Expr, Expr)> = Vec::new();
    let expressions = node
        .expressions()
        .into_iter()
        .map(|expr| {
            let name = names.save(&expr);
            let replaced = replace_subqueries(expr, &mut input, &mut asked, config)?;
            Ok(name.restore(replaced))
        })
        .collect::<Result<Vec<_>>>()?;
    let node = node.with_new_exprs(expressions, vec![input])?;
    narrowed(node, &schema).map(Transformed::yes)
}

/// A limit of the one row that an aggregate has, which hides the aggregate from the optimizer.
fn without_needless_limit(plan: LogicalPlan) -> LogicalPlan {
    let LogicalPlan::Limit(limit) = &plan else { return plan };
    let takes_any = matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
        && matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(1..) | None)));
    let mut rows = limit.input.as_ref();
    while let LogicalPlan::Projection(projection) = rows {
        rows = projection.input.as_ref();
    }
    if takes_any && is_of_all_rows(rows) { limit.input.as_ref().clone() } else { plan }
}

/// The value of a subquery without rows is NULL, whatever its column may be; the engine takes the column's word where
/// nothing is correlated.
fn values_that_may_be_missing(node: LogicalPlan) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&node);
    let mapped = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let mapped = expr.transform_up(|part| match part {
            Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                let plan = subquery.subquery.as_ref();
                let [field] = plan.schema().fields().iter().as_slice() else {
                    return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
                };
                if field.is_nullable() {
                    return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
                }
                let value = Expr::ScalarFunction(ScalarFunction::new_udf(maybe(), vec![only_column(plan)?]));
                let plan = LogicalPlanBuilder::from(plan.clone()).project(vec![value.alias(field.name())])?.build()?;
                Ok(Transformed::yes(Expr::ScalarSubquery(subquery.with_plan(Arc::new(plan)))))
            }
            part => Ok(Transformed::no(part)),
        })?;
        Ok(mapped.update_data(|expr| name.restore(expr)))
    })?;
    if mapped.transformed { mapped.data.recompute_schema() } else { Ok(mapped.data) }
}

/// The plan with the columns of `schema` alone.
fn narrowed(plan: LogicalPlan, schema: &datafusion::common::DFSchemaRef) -> Result<LogicalPlan> {
    if plan.schema().fields().len() == schema.fields().len() {
        return Ok(plan);
    }
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}

fn asks_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(is_subquery(part))).unwrap_or(true)
}

fn is_array_of_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == ARRAY_OF_SUBQUERY)
}

fn has_subqueries(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= asks_subquery(expr);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The expression with a column of `input`, which grows by it, in place of each subquery. `asked` are those that have one
/// already.
fn replace_subqueries(
    expr: Expr,
    input: &mut LogicalPlan,
    asked: &mut Vec<(Expr, Expr)>,
    config: &ConfigOptions,
) -> Result<Expr> {
    let replaced = expr.transform_down(|part| {
        if !is_subquery(&part) && !is_array_of_subquery(&part) {
            return Ok(Transformed::no(part));
        }
        if let Some((_, column)) = asked.iter().find(|(known, _)| *known == part) {
            return Ok(Transformed::new(column.clone(), true, TreeNodeRecursion::Jump));
        }
        let column = match &part {
            // the engine runs it once, before all else
            Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                return Ok(Transformed::new(part, false, TreeNodeRecursion::Jump));
            }
            // what is compared may itself ask a subquery
            Expr::InSubquery(compared) => {
                let value = replace_subqueries(compared.expr.as_ref().clone(), input, asked, config)?;
                let found = is_in(value, &compared.subquery, input, config)?;
                if compared.negated { Expr::Not(Box::new(found)) } else { found }
            }
            Expr::SetComparison(compared) => {
                let value = replace_subqueries(compared.expr.as_ref().clone(), input, asked, config)?;
                compare_with_set(value, compared, input, config)?
            }
            Expr::Exists(exists) => {
                let found = exists_in(&exists.subquery, input, config)?;
                if exists.negated { Expr::Not(Box::new(found)) } else { found }
            }
            Expr::ScalarSubquery(subquery) => value_of(subquery, input, config)?,
            Expr::ScalarFunction(ScalarFunction { args, .. }) => match args.as_slice() {
                [Expr::ScalarSubquery(subquery)] => array_of(subquery, input, config)?,
                _ => return Err(misplaced()),
            },
            _ => return Err(misplaced()),
        };
        asked.push((part, column.clone()));
        Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
    })?;
    Ok(replaced.data)
}

/// `EXISTS (q)` is `(SELECT count(1) FROM q) > 0`.
fn exists_in(subquery: &Subquery, input: &mut LogicalPlan, config: &ConfigOptions) -> Result<Expr> {
    let counted = aggregated(&subquery.subquery, count_of_rows())?;
    if let Some(count) = as_join(counted, input, config)? {
        return Ok(count.gt(lit(0_i64)));
    }
    applied(Kind::Exists, subquery.subquery.as_ref().clone(), input)
}

/// The value of a subquery's one row.
fn value_of(subquery: &Subquery, input: &mut LogicalPlan, config: &ConfigOptions) -> Result<Expr> {
    let plan = subquery.subquery.as_ref();
    // an aggregate, which the optimizer may know what to do with where it stands in a list of columns
    if let Some(column) = as_join(plan.clone(), input, config)? {
        return Ok(column);
    }
    let first = first_row(plan);
    let (rows, order, one) = match &first {
        Some((rows, order)) => (*rows, order.clone(), true),
        None => (plan, Vec::new(), false),
    };
    let value = only_column(rows)?;
    if one {
        let first = aggregate(first_value_udaf(), value, order);
        if let Some(column) = as_join(aggregated(rows, first)?, input, config)? {
            return Ok(column);
        }
    } else if let Some(values) = as_join(aggregated(rows, aggregate(array_agg_udaf(), value, order))?, input, config)? {
        return Ok(Expr::ScalarFunction(ScalarFunction::new_udf(only(), vec![values])));
    }
    applied(Kind::Scalar, plan.clone(), input)
}

/// `ARRAY(q)`.
fn array_of(subquery: &Subquery, input: &mut LogicalPlan, config: &ConfigOptions) -> Result<Expr> {
    let plan = subquery.subquery.as_ref();
    let (rows, order) = match plan {
        LogicalPlan::Sort(Sort { expr, input, fetch: None }) if order_is_at_hand(expr, input) => {
            (input.as_ref(), expr.clone())
        }
        plan => (plan, Vec::new()),
    };
    // rows that come in an order which the aggregate would not know of
    let ordered = order.is_empty() && contains_sort(plan);
    if !ordered {
        let value = only_column(rows)?;
        let data_type = value.get_type(rows.schema())?;
        let all = aggregate(array_agg_udaf(), value, order);
        if let Some(array) = as_join(aggregated(rows, all)?, input, config)? {
            let item = Arc::new(Field::new_list_field(data_type, true));
            let none = datafusion::arrow::array::new_empty_array(item.data_type());
            let empty = ScalarValue::List(Arc::new(datafusion::arrow::array::ListArray::new(
                item,
                datafusion::arrow::buffer::OffsetBuffer::from_lengths([0]),
                none,
                None,
            )));
            return when(array.clone().is_null(), Expr::Literal(empty, None)).otherwise(array);
        }
    }
    applied(Kind::Array, plan.clone(), input)
}

/// `x IN (q)`: true where q has the value, else NULL where it has a NULL or x is one, and q has rows at all.
fn is_in(value: Expr, subquery: &Subquery, input: &mut LogicalPlan, config: &ConfigOptions) -> Result<Expr> {
    let plan = subquery.subquery.as_ref();
    let element = only_column(plan)?;
    let schema = input.schema();
    if let Some(outer) = referring_outside(&value, schema)?
        && element.get_type(plan.schema())? == value.get_type(schema)?
    {
        let count = |filter: Expr| {
            let rows = LogicalPlan::Filter(Filter::try_new(filter, Arc::new(plan.clone()))?);
            aggregated(&rows, count_of_rows())
        };
        let before = input.clone();
        let equal = as_join(count(element.clone().eq(outer))?, input, config)?;
        let unknown = match &equal {
            Some(_) => as_join(count(element.is_null())?, input, config)?,
            None => None,
        };
        let rows = match &unknown {
            Some(_) => as_join(aggregated(plan, count_of_rows())?, input, config)?,
            None => None,
        };
        if let (Some(equal), Some(unknown), Some(rows)) = (equal, unknown, rows) {
            let some = |count: Expr| count.gt(lit(0_i64));
            return when(some(equal), lit(true))
                .when(some(unknown).or(value.is_null().and(some(rows))), lit(ScalarValue::Boolean(None)))
                .otherwise(lit(false));
        }
        *input = before;
    }
    quantify("any =", value, plan, input)
}

fn compare_with_set(
    value: Expr,
    compared: &SetComparison,
    input: &mut LogicalPlan,
    config: &ConfigOptions,
) -> Result<Expr> {
    let all = compared.quantifier == SetQuantifier::All;
    match (compared.op, all) {
        (Operator::Eq, false) => is_in(value, &compared.subquery, input, config),
        (Operator::NotEq, true) => Ok(Expr::Not(Box::new(is_in(value, &compared.subquery, input, config)?))),
        (op, _) => {
            let name = format!("{} {op}", if all { "all" } else { "any" }).replace("!=", "<>");
            quantify(&name, value, &compared.subquery.subquery, input)
        }
    }
}

/// Compares a value with the elements of an array that Apply makes of a subquery.
fn quantify(name: &str, value: Expr, subquery: &LogicalPlan, input: &mut LogicalPlan) -> Result<Expr> {
    let Some(function) = quantified::function(name) else { return Err(misplaced()) };
    let data_type = value.get_type(input.schema())?;
    let array = applied(Kind::Array, subquery.clone(), input)?;
    let element = match array.get_type(input.schema())? {
        DataType::List(item) => item.data_type().clone(),
        other => other,
    };
    let types = function.coerce_types(&[data_type.clone(), DataType::new_list(element, true)])?;
    let cast = |expr: Expr, data_type: &DataType| expr.cast_to(data_type, input.schema());
    let args = vec![cast(value, &types[0])?, cast(array, &types[1])?];
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function, args)))
}

/// A column of `input`, which grows by it, with the value of an aggregate; `None` if the optimizer cannot make a join of
/// it. One that refers to nothing outside is left as it is: the engine runs it once.
fn as_join(aggregated: LogicalPlan, input: &mut LogicalPlan, config: &ConfigOptions) -> Result<Option<Expr>> {
    let outer_ref_columns: Vec<Expr> = free_columns(&aggregated)?
        .into_iter()
        .map(|(field, column)| Expr::OuterReferenceColumn(field, column))
        .collect();
    let correlated = !outer_ref_columns.is_empty();
    let subquery = Subquery { subquery: Arc::new(aggregated), outer_ref_columns, spans: Spans::new() };
    let value = Expr::ScalarSubquery(subquery);
    if !correlated {
        return Ok(Some(value));
    }
    let name = format!("__subquery_{}", input.schema().fields().len());
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let columns = columns.chain([value.alias(&name)]).collect();
    let grown = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input.clone()))?);
    if !is_said_by_joins(&grown, config)? {
        return Ok(None);
    }
    *input = grown;
    Ok(Some(Expr::Column(Column::new_unqualified(name))))
}

/// A column of `input`, which grows by it, that Apply makes of a subquery.
fn applied(kind: Kind, subquery: LogicalPlan, input: &mut LogicalPlan) -> Result<Expr> {
    let apply = Apply::new(kind, input.clone(), subquery)?;
    let column = apply.column();
    *input = apply.into_plan();
    Ok(Expr::Column(column))
}

fn aggregated(rows: &LogicalPlan, value: Expr) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(rows.clone()).aggregate(Vec::<Expr>::new(), vec![value.alias("value")])?.build()
}

fn aggregate(function: Arc<datafusion::logical_expr::AggregateUDF>, value: Expr, order_by: Vec<SortExpr>) -> Expr {
    let params =
        AggregateFunctionParams { args: vec![value], distinct: false, filter: None, order_by, null_treatment: None };
    Expr::AggregateFunction(AggregateFunction { func: function, params })
}

fn count_of_rows() -> Expr {
    aggregate(count_udaf(), lit(1_i64), Vec::new())
}

fn only_column(plan: &LogicalPlan) -> Result<Expr> {
    let columns = plan.schema().columns();
    let [column] = columns.as_slice() else {
        let error = Error::new(SqlState::SYNTAX_ERROR, "subquery must return only one column");
        return Err(DataFusionError::External(Box::new(error)));
    };
    Ok(Expr::Column(column.clone()))
}

/// `… ORDER BY … LIMIT 1` as the rows and their order.
fn first_row(plan: &LogicalPlan) -> Option<(&LogicalPlan, Vec<SortExpr>)> {
    let LogicalPlan::Limit(limit) = plan else { return None };
    if !takes_one(limit) {
        return None;
    }
    match limit.input.as_ref() {
        LogicalPlan::Sort(Sort { expr, input, fetch: None }) => {
            order_is_at_hand(expr, input).then(|| (input.as_ref(), expr.clone()))
        }
        input => (!contains_sort(input)).then(|| (input, Vec::new())),
    }
}

fn takes_one(limit: &Limit) -> bool {
    matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
        && matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(1))))
}

fn order_is_at_hand(order: &[SortExpr], input: &LogicalPlan) -> bool {
    let known = |column: &&Column| input.schema().has_column(column);
    order.iter().all(|item| !item.expr.contains_outer() && item.expr.column_refs().iter().all(known))
}

fn contains_sort(plan: &LogicalPlan) -> bool {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::Sort(_)))).unwrap_or(true)
}

/// An expression over columns of `schema` as a subquery refers to it from inside; `None` where it cannot.
fn referring_outside(value: &Expr, schema: &datafusion::common::DFSchema) -> Result<Option<Expr>> {
    if asks_subquery(value) || value.contains_outer() {
        return Ok(None);
    }
    let mut known = true;
    let outside = value.clone().transform_up(|part| match part {
        Expr::Column(column) => {
            let Ok((qualifier, field)) = schema.qualified_field_from_column(&column) else {
                known = false;
                return Ok(Transformed::no(Expr::Column(column)));
            };
            let column = Column::new(qualifier.cloned(), field.name());
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
        }
        part => Ok(Transformed::no(part)),
    })?;
    Ok(known.then_some(outside.data))
}

/// Subqueries in the condition of a join: asked of the side that they refer to, or of the joined rows.
fn rewrite_join(join: Join, config: &ConfigOptions) -> Result<LogicalPlan> {
    let schema = Arc::clone(&join.schema);
    let Some(filter) = join.filter.clone() else { return Err(misplaced()) };
    if join.on.iter().any(|(left, right)| asks_subquery(left) || asks_subquery(right)) {
        return Err(misplaced());
    }
    let conjuncts = datafusion::logical_expr::utils::split_conjunction_owned(filter);
    let (with, without): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(asks_subquery);
    if join.join_type == JoinType::Inner {
        let joined = Join { filter: datafusion::logical_expr::utils::conjunction(without), ..join };
        let Some(predicate) = datafusion::logical_expr::utils::conjunction(with) else { return Err(misplaced()) };
        let filtered = Filter::try_new(predicate, Arc::new(LogicalPlan::Join(joined)))?;
        return rewrite_node(LogicalPlan::Filter(filtered), config).map(|rewritten| rewritten.data);
    }
    let (mut left, mut right) = (join.left.as_ref().clone(), join.right.as_ref().clone());
    let mut asked = (Vec::new(), Vec::new());
    let mut condition = without;
    for conjunct in with {
        let on_right = refers_to(&conjunct, right.schema())?;
        let replaced = if refers_to(&conjunct, left.schema())? {
            replace_subqueries(conjunct, &mut left, &mut asked.0, config)?
        } else if on_right {
            replace_subqueries(conjunct, &mut right, &mut asked.1, config)?
        } else {
            return Err(misplaced());
        };
        condition.push(replaced);
    }
    let filter = datafusion::logical_expr::utils::conjunction(condition);
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    narrowed(LogicalPlan::Join(joined), &schema)
}

/// Whether the subqueries in an expression refer to nothing but columns of `schema`.
fn refers_to(expr: &Expr, schema: &datafusion::common::DFSchema) -> Result<bool> {
    let mut all = true;
    expr.apply(|part| {
        let subquery = match part {
            Expr::ScalarSubquery(subquery) | Expr::Exists(Exists { subquery, .. }) => subquery,
            Expr::InSubquery(InSubquery { subquery, expr, .. })
            | Expr::SetComparison(SetComparison { subquery, expr, .. }) => {
                all &= expr.column_refs().into_iter().all(|column| schema.has_column(column));
                subquery
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        all &= free_columns(&subquery.subquery)?.iter().all(|(_, column)| schema.has_column(column));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(all)
}

/// `left JOIN LATERAL (q) ON condition`.
fn rewrite_lateral(node: LogicalPlan, config: &ConfigOptions) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
    let here = free_columns(&join.right)?.iter().all(|(_, column)| join.left.schema().has_column(column));
    if here && is_lateral_said_by_joins(&node, &without_marks(join.right.as_ref().clone())?, config)? {
        return Ok(Transformed::no(node));
    }
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Err(misplaced()),
    };
    let schema = Arc::clone(&join.schema);
    let keys = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let condition = datafusion::logical_expr::utils::conjunction(keys.chain(join.filter.clone()));
    let mut inner = without_marks(join.right.as_ref().clone())?;
    let mut above = None;
    if let Some(condition) = condition {
        if outer {
            // which rows there are beside a row is for the condition to say, too
            let left = join.left.schema();
            let inside = condition
                .transform_up(|part| match part {
                    Expr::Column(column) if !inner.schema().has_column(&column) => {
                        let (qualifier, field) = left.qualified_field_from_column(&column)?;
                        let outside = Column::new(qualifier.cloned(), field.name());
                        Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), outside)))
                    }
                    part => Ok(Transformed::no(part)),
                })
                .data()?;
            inner = LogicalPlan::Filter(Filter::try_new(inside, Arc::new(inner))?);
        } else {
            above = Some(condition);
        }
    }
    let applied = Apply::new(Kind::Lateral { outer }, join.left.as_ref().clone(), inner)?.into_plan();
    let applied = match above {
        Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(applied))?),
        None => applied,
    };
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(applied))?)))
}

/// A lateral subquery as a plan among others.
fn without_marks(right: LogicalPlan) -> Result<LogicalPlan> {
    let mut done = false;
    right
        .transform_down(|plan| match plan {
            LogicalPlan::Subquery(subquery) if !done => {
                done = true;
                Ok(Transformed::new(Arc::unwrap_or_clone(subquery.subquery), true, TreeNodeRecursion::Stop))
            }
            plan => Ok(Transformed::no(plan)),
        })
        .data()
}

fn misplaced() -> DataFusionError {
    DataFusionError::External(Box::new(Error::unsupported("a subquery cannot stand here")))
}
