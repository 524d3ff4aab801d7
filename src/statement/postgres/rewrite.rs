//! A plan's casts and comparisons as PostgreSQL means them: the first thing that happens to a plan once its parameters have
//! values, before the engine brings operands to one type.
//!
//! It owns which casts go through PostgreSQL's rules, what a literal without a type is read as beside a column, and how
//! values are compared that Arrow orders otherwise: intervals, numerics with scales of their own, clocks and instants.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, Cast, GroupingSet, InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::arithmetic::NEGATION;
use super::casts;
use super::dates::INTERVAL_ORDER;
use super::interval::MICROS_PER_DAY;
use super::json;
use super::kind::Kind;
use super::operators::{call, engine_symbol, planned};
use crate::pgtype::numeric as any_numeric;
use crate::pgtype::read;
use crate::statement::types::NUMERIC;

/// Functions whose arguments are brought to one type, which is the result's.
const ONE_TYPE: [&str; 4] = ["coalesce", "greatest", "least", "nullif"];

/// The analyzer rule.
#[derive(Debug)]
pub struct PostgresMeaning;

impl AnalyzerRule for PostgresMeaning {
    fn name(&self) -> &'static str {
        "postgres_meaning"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        // once a type has changed, what is above may have to follow
        let changed = Cell::new(false);
        let done = plan.transform_up_with_subqueries(|plan| rewrite_plan(plan, config, &changed))?;
        Ok(done.data)
    }
}

fn rewrite_plan(plan: LogicalPlan, config: &ConfigOptions, changed: &Cell<bool>) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let own = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        schema.merge(&own);
    }
    let sorts = matches!(plan, LogicalPlan::Sort(_));
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        if let Expr::GroupingSet(sets) = expr {
            return rewrite_sets(sets, &names, &schema, config);
        }
        let name = names.save(&expr);
        let done = expr.transform_up(|expr| rewrite(expr, &schema, config))?;
        let done = if sorts { done.transform_data(|expr| Ok(ordered(expr, &schema)))? } else { done };
        Ok(done.update_data(|expr| name.restore(expr)))
    })?;
    if rewritten.transformed {
        changed.set(true);
    }
    if changed.get() {
        return rewritten.map_data(LogicalPlan::recompute_schema);
    }
    Ok(rewritten)
}

/// Each expression of grouping sets is a column by itself.
fn rewrite_sets(
    sets: GroupingSet,
    names: &NamePreserver,
    schema: &DFSchema,
    config: &ConfigOptions,
) -> Result<Transformed<Expr>> {
    let mut changed = false;
    let mut all = |exprs: Vec<Expr>| -> Result<Vec<Expr>> {
        let one = |expr: Expr| {
            let name = names.save(&expr);
            let done = expr.transform_up(|expr| rewrite(expr, schema, config))?;
            changed |= done.transformed;
            Ok(name.restore(done.data))
        };
        exprs.into_iter().map(one).collect()
    };
    let sets = match sets {
        GroupingSet::Rollup(exprs) => GroupingSet::Rollup(all(exprs)?),
        GroupingSet::Cube(exprs) => GroupingSet::Cube(all(exprs)?),
        GroupingSet::GroupingSets(sets) => {
            GroupingSet::GroupingSets(sets.into_iter().map(&mut all).collect::<Result<_>>()?)
        }
    };
    let sets = Expr::GroupingSet(sets);
    Ok(if changed { Transformed::yes(sets) } else { Transformed::no(sets) })
}

/// What is sorted by in place of an expression that Arrow orders otherwise.
fn ordered(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr.get_type(schema) {
        Ok(DataType::Interval(_) | DataType::Duration(_)) => Transformed::yes(call(&INTERVAL_ORDER, vec![expr])),
        _ => Transformed::no(expr),
    }
}

fn rewrite(expr: Expr, schema: &DFSchema, config: &ConfigOptions) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(cast) => rewrite_cast(cast, schema),
        Expr::Negative(inner) => {
            let kind = inner.get_type(schema).ok().as_ref().and_then(Kind::of);
            Ok(match kind {
                Some(Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Interval) => {
                    Transformed::yes(call(&NEGATION, vec![*inner]))
                }
                Some(Kind::Numeric) if is_any(&inner, schema) => Transformed::yes(call(&NEGATION, vec![*inner])),
                _ => Transformed::no(Expr::Negative(inner)),
            })
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if let Some(symbol) = engine_symbol(op) {
                return Ok(match planned(symbol, *left, *right, schema) {
                    Ok(function) => Transformed::yes(function),
                    Err((left, right)) => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
                });
            }
            if is_comparison(op) {
                return match json::operators::compared(op, *left, *right, schema) {
                    Ok(done) => done.map(Transformed::yes),
                    Err((left, right)) => compared(*left, op, *right, schema, config),
                };
            }
            Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        Expr::Between(between) => between_bounds(between, schema, config),
        Expr::InList(list) => in_list(list, schema, config),
        Expr::Case(case) => {
            let (searched, case) = search(case, schema, config)?;
            let done = one_type_of_case(case, schema);
            Ok(if searched { Transformed::yes(done.data) } else { done })
        }
        Expr::ScalarFunction(function) if ONE_TYPE.contains(&function.name()) => Ok(one_type(function, schema)),
        other => Ok(Transformed::no(other)),
    }
}

fn is_any(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| any_numeric::is_any(&data_type))
}

fn cast_call(expr: Expr, to: &DataType) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(casts::cast_to(to), vec![expr]))
}

fn rewrite_cast(mut cast: Cast, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Ok((_, source)) = cast.expr.to_field(schema) else { return Ok(Transformed::no(Expr::Cast(cast))) };
    let mut from = source.data_type().clone();
    let to = cast.field.data_type();
    if let Some(number) = narrow_literal(&cast.expr, to) {
        return Ok(Transformed::yes(number));
    }
    if let Some(form) = json::form(&cast.field).filter(|_| to.is_string()) {
        return Ok(match json::cast::to_json(&source, form)? {
            json::cast::Meaning::Same => Transformed::no(Expr::Cast(cast)),
            json::cast::Meaning::Read(function) => Transformed::yes(function.call(vec![*cast.expr])),
        });
    }
    if let Some(number) = json::cast::from_json(&source, &cast.field)? {
        let text = number.call(vec![*cast.expr]);
        // a number is a numeric first
        from = if to == &DataType::Boolean { DataType::Utf8 } else { any_numeric::data_type() };
        cast.expr = Box::new(if to == &DataType::Boolean { text } else { cast_call(text, &from) });
    }
    // without precision it has the digits that each value has
    if cast.field.name() == NUMERIC && cast.field.metadata().is_empty() {
        return Ok(Transformed::yes(numeric(*cast.expr, &from)));
    }
    // a type that Arrow has none of its own for is read by who knows it
    let declared = !cast.field.metadata().is_empty() && Kind::of(to) != Some(Kind::Text);
    if declared || !casts::is_ours(&from, to) {
        return Ok(Transformed::no(Expr::Cast(cast)));
    }
    let inner = cast_call(*cast.expr, to);
    if cast.field.metadata().is_empty() {
        return Ok(Transformed::yes(inner));
    }
    // what else the type is called stays with the cast
    Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(inner), field: cast.field })))
}

/// `expr::numeric`.
fn numeric(expr: Expr, from: &DataType) -> Expr {
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &expr
        && let Ok(number) = read::number::numeric_text(text)
    {
        return lit(number);
    }
    match (super::scalar(NUMERIC), from) {
        (Some(function), from) if !from.is_null() => {
            Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
        }
        _ => cast_call(expr, &any_numeric::data_type()),
    }
}

/// A number that is written as a wider type than it is meant to have.
fn narrow_literal(expr: &Expr, to: &DataType) -> Option<Expr> {
    let Expr::Literal(ScalarValue::Int64(Some(value)), _) = expr else { return None };
    let narrow = match to {
        DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(*value).ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(i16::try_from(*value).ok()?)),
        _ => return None,
    };
    Some(lit(narrow))
}

/// Whether an operator compares two values of one type.
pub fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn compared(
    left: Expr,
    op: Operator,
    right: Expr,
    schema: &DFSchema,
    config: &ConfigOptions,
) -> Result<Transformed<Expr>> {
    let binary = |left: Expr, op: Operator, right: Expr| {
        Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })
    };
    let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) else {
        return Ok(Transformed::no(binary(left, op, right)));
    };
    let (left_done, left_now) = beside(left, &left_type, &right, &right_type)?;
    let (right_done, right_now) = beside(right, &right_type, &left_now, &left_type)?;
    let transformed = left_done || right_done;
    // a column of dates beside a constant clock reading is compared with a date, which the files' statistics know
    if let Some(swapped) = op.swap() {
        if is_date(&left_type) && is_clock(&right_type) {
            if let Some(done) = date_beside_clock(&left_now, op, &right_now, config) {
                return Ok(Transformed::yes(done));
            }
        } else if is_clock(&left_type)
            && is_date(&right_type)
            && let Some(done) = date_beside_clock(&right_now, swapped, &left_now, config)
        {
            return Ok(Transformed::yes(done));
        }
    }
    let done = binary(left_now, op, right_now);
    Ok(if transformed { Transformed::yes(done) } else { Transformed::no(done) })
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32)
}

fn is_clock(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, None))
}

/// An operand of a comparison as it stands beside the other; whether that is something else than it was.
fn beside(expr: Expr, own: &DataType, other: &Expr, other_type: &DataType) -> Result<(bool, Expr)> {
    if let Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) = &expr {
        let column = (!is_text_literal(other)).then_some(other_type);
        if let Some(typed) = column.and_then(|column| typed_literal(text, column)) {
            return typed.map(|typed| (true, typed));
        }
    }
    if any_numeric::is_any(own) {
        return Ok((true, call(&super::NUMERIC_VALUE, vec![expr])));
    }
    Ok(match (Kind::of(own), Kind::of(other_type)) {
        (Some(Kind::Interval), _) => (true, call(&INTERVAL_ORDER, vec![expr])),
        (Some(Kind::Date | Kind::Timestamp), Some(Kind::TimestampTz)) => {
            (true, cast_call(expr, &Kind::TimestampTz.data_type()))
        }
        _ => (false, expr),
    })
}

fn is_text_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_), _))
}

/// What a literal without a type is beside a value of `column`; `None` where it stays text.
fn typed_literal(text: &str, column: &DataType) -> Option<Result<Expr>> {
    let literal = || lit(ScalarValue::Utf8(Some(text.to_owned())));
    match Kind::of(column)? {
        Kind::Text | Kind::Texts | Kind::Floats => None,
        Kind::Numeric => Some(match read::number::numeric_text(text) {
            Ok(number) => Ok(lit(number)),
            Err(error) => Err(datafusion::common::DataFusionError::External(Box::new(error))),
        }),
        Kind::Interval => Some(Ok(call(&INTERVAL_ORDER, vec![cast_call(literal(), &Kind::Interval.data_type())]))),
        _ => Some(Ok(cast_call(literal(), column))),
    }
}

/// `date op clock reading` with a constant on the right as a comparison of dates.
fn date_beside_clock(date: &Expr, op: Operator, clock: &Expr, config: &ConfigOptions) -> Option<Expr> {
    if matches!(date, Expr::Literal(..)) || date.column_refs().is_empty() {
        return None;
    }
    let Some(ScalarValue::TimestampMicrosecond(Some(micros), None)) = constant(clock, config) else { return None };
    let is_midnight = micros.rem_euclid(MICROS_PER_DAY) == 0;
    let Ok(day) = i32::try_from(micros.div_euclid(MICROS_PER_DAY)) else { return None };
    let op = match op {
        Operator::LtEq | Operator::Gt => op,
        Operator::Lt | Operator::GtEq | Operator::Eq | Operator::NotEq if is_midnight => op,
        // before half past a day's midnight means on that day or before
        Operator::Lt => Operator::LtEq,
        Operator::GtEq => Operator::Gt,
        _ => return None,
    };
    let day = lit(ScalarValue::Date32(Some(day)));
    Some(Expr::BinaryExpr(BinaryExpr { left: Box::new(date.clone()), op, right: Box::new(day) }))
}

/// The value of an expression over literals alone, if it is one of ours and does not fail.
fn constant(expr: &Expr, config: &ConfigOptions) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Alias(alias) => constant(&alias.expr, config),
        Expr::ScalarFunction(function) => {
            let values: Vec<ScalarValue> =
                function.args.iter().map(|arg| constant(arg, config)).collect::<Option<_>>()?;
            if function.func.signature().volatility != datafusion::logical_expr::Volatility::Immutable {
                return None;
            }
            let fields: Vec<FieldRef> =
                values.iter().map(|value| Arc::new(Field::new("", value.data_type(), true))).collect();
            let scalars: Vec<Option<&ScalarValue>> = values.iter().map(Some).collect();
            let return_field = function
                .func
                .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars })
                .ok()?;
            let args = ScalarFunctionArgs {
                args: values.iter().cloned().map(ColumnarValue::Scalar).collect(),
                arg_fields: fields,
                number_rows: 1,
                return_field,
                config_options: Arc::new(config.clone()),
            };
            match function.func.invoke_with_args(args).ok()? {
                ColumnarValue::Scalar(value) => Some(value),
                ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).ok(),
            }
        }
        _ => None,
    }
}

/// BETWEEN as two comparisons, where one of them is not the engine's.
fn between_bounds(between: Between, schema: &DFSchema, config: &ConfigOptions) -> Result<Transformed<Expr>> {
    let low = compared((*between.expr).clone(), Operator::GtEq, (*between.low).clone(), schema, config)?;
    let high = compared((*between.expr).clone(), Operator::LtEq, (*between.high).clone(), schema, config)?;
    if !low.transformed && !high.transformed {
        return Ok(Transformed::no(Expr::Between(between)));
    }
    let both = low.data.and(high.data);
    Ok(Transformed::yes(if between.negated { Expr::Not(Box::new(both)) } else { both }))
}

fn in_list(list: InList, schema: &DFSchema, config: &ConfigOptions) -> Result<Transformed<Expr>> {
    let Ok(own) = list.expr.get_type(schema) else { return Ok(Transformed::no(Expr::InList(list))) };
    let is_plain = |kind: Option<Kind>| matches!(kind, None | Some(Kind::Text | Kind::Texts | Kind::Floats));
    let typed_apart = list.list.iter().any(|item| {
        item.get_type(schema).is_ok_and(|item_type| {
            any_numeric::is_any(&item_type)
                || Kind::of(&item_type) == Some(Kind::Interval)
                || (Kind::of(&item_type) == Some(Kind::TimestampTz)) != (Kind::of(&own) == Some(Kind::TimestampTz))
        })
    });
    let has_texts = list.list.iter().any(is_text_literal);
    if is_plain(Kind::of(&own)) || !(typed_apart || has_texts || any_numeric::is_any(&own)) {
        return Ok(Transformed::no(Expr::InList(list)));
    }
    // literals that only lack a type stay a list, which files are pruned by
    if !typed_apart && !any_numeric::is_any(&own) && Kind::of(&own) != Some(Kind::Interval) {
        let items =
            list.list.into_iter().map(|item| beside(item, &DataType::Utf8, &list.expr, &own).map(|done| done.1));
        let items = items.collect::<Result<Vec<_>>>()?;
        return Ok(Transformed::yes(Expr::InList(InList::new(list.expr, items, list.negated))));
    }
    let mut any: Option<Expr> = None;
    for item in list.list {
        let one = compared((*list.expr).clone(), Operator::Eq, item, schema, config)?.data;
        any = Some(match any {
            Some(any) => any.or(one),
            None => one,
        });
    }
    let any = any.unwrap_or_else(|| lit(false));
    Ok(Transformed::yes(if list.negated { Expr::Not(Box::new(any)) } else { any }))
}

/// `CASE value WHEN …` as `CASE WHEN value = …`, where one of the comparisons is not the engine's. A value that may be
/// another each time is computed once, by the engine.
fn search(mut case: Case, schema: &DFSchema, config: &ConfigOptions) -> Result<(bool, Case)> {
    let Some(value) = case.expr.as_deref().filter(|value| !value.is_volatile()) else { return Ok((false, case)) };
    let whens = case
        .when_then_expr
        .iter()
        .map(|(when, _)| compared(value.clone(), Operator::Eq, when.as_ref().clone(), schema, config));
    let whens = whens.collect::<Result<Vec<_>>>()?;
    if !whens.iter().any(|when| when.transformed) {
        return Ok((false, case));
    }
    for ((when, _), compared) in case.when_then_expr.iter_mut().zip(whens) {
        **when = compared.data;
    }
    case.expr = None;
    Ok((true, case))
}

/// Where one branch has a scale of its own, all have.
fn one_type_of_case(mut case: Case, schema: &DFSchema) -> Transformed<Expr> {
    let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref());
    if !branches.clone().any(|branch| is_any(branch, schema)) {
        return Transformed::no(Expr::Case(case));
    }
    let mut changed = false;
    let mut as_any = |branch: Box<Expr>| match to_any(&branch, schema) {
        Some(done) => {
            changed = true;
            Box::new(done)
        }
        None => branch,
    };
    case.when_then_expr = case.when_then_expr.into_iter().map(|(when, then)| (when, as_any(then))).collect();
    case.else_expr = case.else_expr.map(as_any);
    if changed { Transformed::yes(Expr::Case(case)) } else { Transformed::no(Expr::Case(case)) }
}

fn one_type(mut function: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    if !function.args.iter().any(|arg| is_any(arg, schema)) {
        return Transformed::no(Expr::ScalarFunction(function));
    }
    let mut changed = false;
    for arg in &mut function.args {
        if let Some(done) = to_any(arg, schema) {
            *arg = done;
            changed = true;
        }
    }
    let function = Expr::ScalarFunction(function);
    if changed { Transformed::yes(function) } else { Transformed::no(function) }
}

/// A number of a fixed scale as one with a scale of its own.
fn to_any(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let own = expr.get_type(schema).ok()?;
    let number = matches!(Kind::of(&own)?, Kind::Numeric | Kind::Int2 | Kind::Int4 | Kind::Int8);
    (number && !any_numeric::is_any(&own)).then(|| cast_call(expr.clone(), &any_numeric::data_type()))
}
