//! What is put in place of an expression once the types around it are known: casts between texts and objects, the answer of
//! `pg_typeof`, and the types of parameters.
//!
//! PostgreSQL 15, sections 8.19 "Object Identifier Types", 10.2 "Operators", 10.5 and `variable_coerce_param_hook`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::core::greatest;
use datafusion::logical_expr::expr::{
    BinaryExpr, Cast, Exists, InSubquery, Placeholder, ScalarFunction, SetComparison,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, ScalarUDF, Subquery, binary_expr, lit};

use super::expressions::Scope;
use super::{Kind, Teller, Told};
use crate::pgtype::common::compared_type;
use crate::pgtype::{self, oid};
use crate::statement::functions::call::{is_text, takes_boolean};
use crate::statement::functions::{reg, shown, types};
use crate::statement::postgres::{is_comparison, is_row, json};
use crate::statement::{arrays, quantified};

/// Functions whose arguments are brought to one type.
const ONE_TYPE: [&str; 4] = ["coalesce", "greatest", "least", "nullif"];

/// What an array has at a place, counted from 1. The two types of vectors count from 0.
const ELEMENT: &str = "array_element";

impl Teller<'_> {
    /// The node with its expressions resolved, the subqueries in them first.
    pub(super) fn expressions(&mut self, plan: LogicalPlan, scope: &Scope<'_>) -> Result<LogicalPlan> {
        let mut concerned = false;
        plan.apply_expressions(|expr| {
            concerned = concerned || expr.exists(|part| Ok(concerns(part)))?;
            Ok(if concerned { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !concerned {
            return Ok(plan);
        }
        let names = NamePreserver::new(&plan);
        let is_condition = matches!(plan, LogicalPlan::Filter(_));
        let resolved = plan.map_expressions(|mut expr| {
            let name = names.save(&expr);
            if is_condition {
                boolean_parameter(&mut expr);
            }
            let resolved = expr.transform_up(|part| self.resolved(part, scope))?;
            Ok(resolved.update_data(|expr| name.restore(expr)))
        })?;
        Ok(resolved.data)
    }

    fn resolved(&mut self, expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
        Ok(Transformed::yes(match expr {
            Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(self.subquery(subquery, scope)?),
            Expr::Exists(Exists { subquery, negated }) => {
                Expr::Exists(Exists { subquery: self.subquery(subquery, scope)?, negated })
            }
            Expr::InSubquery(InSubquery { mut expr, subquery, negated }) => {
                let subquery = self.subquery(subquery, scope)?;
                let beside = scope.told(&Expr::ScalarSubquery(subquery.clone()));
                parameter_beside(&mut expr, beside);
                Expr::InSubquery(InSubquery { expr, subquery, negated })
            }
            Expr::SetComparison(SetComparison { mut expr, subquery, op, quantifier }) => {
                let subquery = self.subquery(subquery, scope)?;
                let beside = scope.told(&Expr::ScalarSubquery(subquery.clone()));
                parameter_beside(&mut expr, beside);
                Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
            }
            Expr::Cast(cast) => return Ok(self.cast(cast, scope)),
            Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) => {
                if is_pattern(op) {
                    text_parameter(&mut right);
                } else if matches!(op, Operator::And | Operator::Or) {
                    boolean_parameter(&mut left);
                    boolean_parameter(&mut right);
                } else if is_comparison(op) && is_parameter(&right) {
                    parameter_beside(&mut right, scope.told(&left));
                } else if is_comparison(op) && is_parameter(&left) {
                    parameter_beside(&mut left, scope.told(&right));
                }
                Expr::BinaryExpr(BinaryExpr { left, op, right })
            }
            Expr::Not(mut condition) => {
                boolean_parameter(&mut condition);
                Expr::Not(condition)
            }
            Expr::Like(mut like) => {
                text_parameter(&mut like.pattern);
                Expr::Like(like)
            }
            Expr::Between(mut between) => {
                let told = scope.told(&between.expr);
                parameter_beside(&mut between.low, told);
                parameter_beside(&mut between.high, told);
                Expr::Between(between)
            }
            Expr::InList(mut listed) if listed.list.iter().any(is_parameter) => {
                // the list is brought to one type before it is compared
                let told = scope.told(&listed.expr);
                listed.list.iter_mut().for_each(|item| parameter_of(item, told));
                Expr::InList(listed)
            }
            Expr::Case(mut case) => {
                if case.expr.is_none() {
                    case.when_then_expr.iter_mut().for_each(|(when, _)| boolean_parameter(when));
                }
                let branches = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
                if branches.clone().any(|branch| has_no_type(branch)) {
                    let common = self.common(scope, || branches.clone().map(AsRef::as_ref));
                    let branches = case.when_then_expr.iter_mut().map(|(_, then)| then).chain(&mut case.else_expr);
                    branches.for_each(|branch| common.take(branch));
                }
                Expr::Case(case)
            }
            Expr::ScalarFunction(mut call) if json::takes_any(call.name()) || is_row(call.name()) => {
                self.named(&mut call.args, scope);
                Expr::ScalarFunction(call)
            }
            Expr::AggregateFunction(mut call) if json::takes_any(call.func.name()) => {
                self.named(&mut call.params.args, scope);
                Expr::AggregateFunction(call)
            }
            Expr::ScalarFunction(mut call) if call.func.name() == ELEMENT => {
                if let [array, at] = call.args.as_mut_slice() {
                    if matches!(scope.told(array).type_oid(), Some(oid::INT2VECTOR | oid::OIDVECTOR)) {
                        *at = binary_expr(std::mem::take(at), Operator::Plus, lit(1_i64));
                    }
                    // the engine counts from the end where there is nothing
                    if !matches!(at, Expr::Literal(ScalarValue::Int64(Some(0..)) | ScalarValue::Int32(Some(0..)), _)) {
                        *at = greatest().call(vec![std::mem::take(at), lit(0_i64)]);
                    }
                }
                Expr::ScalarFunction(call)
            }
            Expr::ScalarFunction(call) => Expr::ScalarFunction(self.function(call, scope)),
            other => return Ok(Transformed::no(other)),
        }))
    }

    fn subquery(&mut self, subquery: Subquery, scope: &Scope<'_>) -> Result<Subquery> {
        let Subquery { subquery, outer_ref_columns, spans } = subquery;
        let (plan, told) = self.plan(Arc::unwrap_or_clone(subquery), Some(scope))?;
        let subquery = Arc::new(plan);
        if let [column] = told.as_ref() {
            scope.ask(&subquery, *column);
        }
        Ok(Subquery { subquery, outer_ref_columns, spans })
    }

    fn function(&self, mut call: ScalarFunction, scope: &Scope<'_>) -> ScalarFunction {
        if let [value] = call.args.as_slice()
            && call.func.name() == types::TYPE_OF
        {
            let known = match scope.told(value).kind {
                Kind::Of((type_oid, _)) => type_oid,
                Kind::Unknown => oid::UNKNOWN,
                Kind::Plain => return call,
            };
            call.func = types::type_of(Some(known));
        } else if ONE_TYPE.contains(&call.func.name()) && call.args.iter().any(has_no_type) {
            let common = self.common(scope, || &call.args);
            call.args.iter_mut().for_each(|argument| common.take(argument));
        } else if let [value, array] = call.args.as_mut_slice()
            && is_parameter(array)
            && quantified::is_on_texts(call.func.name()) == Some(false)
            && let Some(element) = scope.told(value).type_oid()
        {
            parameter_of(array, Told::of(compared_type(element), -1).array());
        }
        let count = call.args.len();
        for (number, argument) in call.args.iter_mut().enumerate().filter(|(_, argument)| is_parameter(argument)) {
            if takes_boolean(&call.func, count, number) {
                boolean_parameter(argument);
            }
        }
        call
    }

    /// In JSON and in records objects are their names.
    fn named(&self, values: &mut [Expr], scope: &Scope<'_>) {
        for value in values {
            if let Some(kind) = scope.told(value).type_oid().and_then(reg::Reg::of_type) {
                *value = reg::reg_out(kind, self.context).call(vec![std::mem::take(value)]);
            }
        }
    }

    /// What values are brought to that have no type themselves.
    fn common<'e, I: IntoIterator<Item = &'e Expr>>(&self, scope: &Scope<'_>, values: impl Fn() -> I) -> Common {
        let told = scope.together(&values);
        let array = || {
            let typed = values().into_iter().find(|value| !has_no_type(value))?;
            let data_type = scope.arrow(typed).filter(|data_type| matches!(data_type, DataType::List(_)))?;
            Some(Arc::new(pgtype::declared(&Field::new("", data_type, true), told.typed())))
        };
        let object = told.type_oid().and_then(reg::Reg::of_type);
        Common { told, array: array(), object: object.map(|kind| reg::reg_in(kind, self.context)) }
    }

    /// A text becomes an object by its name, and an object a text; an array of objects becomes one of texts.
    fn cast(&self, cast: Cast, scope: &Scope<'_>) -> Transformed<Expr> {
        let Cast { expr: inner, field } = cast;
        let object = |told: Told| told.type_oid().and_then(reg::Reg::of_type);
        match (object(scope.told(&inner)), object(Told::of_field(&field))) {
            (None, Some(kind)) if scope.arrow(&inner).is_some_and(|data_type| is_text(&data_type)) => {
                Transformed::yes(reg::reg_in(kind, self.context).call(vec![*inner]))
            }
            (Some(kind), None) if is_text(field.data_type()) => {
                let text = Box::new(reg::reg_out(kind, self.context).call(vec![*inner]));
                Transformed::yes(Expr::Cast(Cast { expr: text, field }))
            }
            _ => match scope.told(&inner).object().and_then(reg::Reg::of_type) {
                Some(kind)
                    if is_texts(field.data_type()) && scope.arrow(&inner).is_some_and(|from| is_numbers(&from)) =>
                {
                    let texts = Box::new(shown::names(kind, self.context).call(vec![*inner]));
                    Transformed::yes(Expr::Cast(Cast { expr: texts, field }))
                }
                _ => Transformed::no(Expr::Cast(Cast { expr: inner, field })),
            },
        }
    }
}

fn is_texts(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) if is_text(item.data_type()))
}

fn is_numbers(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) if item.data_type().is_integer())
}

/// Whether something may have to be put in place of it. Most expressions have no such part.
fn concerns(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarSubquery(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_)
        | Expr::Placeholder(_)
        | Expr::Case(_) => true,
        Expr::Cast(Cast { field, .. }) => {
            is_text(field.data_type()) || is_texts(field.data_type()) || Told::of_field(field).object().is_some()
        }
        Expr::ScalarFunction(call) => {
            let name = call.func.name();
            name == types::TYPE_OF
                || name == ELEMENT
                || ONE_TYPE.contains(&name)
                || json::takes_any(name)
                || is_row(name)
        }
        Expr::AggregateFunction(call) => json::takes_any(call.func.name()),
        _ => false,
    }
}

/// What literals and parameters are beside values of a type.
struct Common {
    told: Told,
    /// Of arrays.
    array: Option<FieldRef>,
    /// From the name of an object to it.
    object: Option<Arc<ScalarUDF>>,
}

impl Common {
    /// Gives its type to a value that has none. What the engine reads as texts itself is left to it.
    fn take(&self, value: &mut Expr) {
        if is_parameter(value) {
            return parameter_of(value, self.told);
        }
        if !matches!(value, Expr::Literal(ScalarValue::Utf8(Some(_)), None)) {
            return;
        }
        let reader = match (&self.array, &self.object) {
            (Some(array), _) => Arc::new(arrays::reader(Arc::clone(array))),
            (None, Some(object)) => Arc::clone(object),
            (None, None) => return,
        };
        *value = reader.call(vec![std::mem::take(value)]);
    }
}

fn has_no_type(value: &Expr) -> bool {
    is_parameter(value) || matches!(value, Expr::Literal(ScalarValue::Utf8(Some(_)), None))
}

fn is_pattern(op: Operator) -> bool {
    matches!(op, Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch)
}

fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(_))
}

/// A pattern is a text, whatever it is matched with.
fn text_parameter(expr: &mut Expr) {
    if let Expr::Placeholder(Placeholder { field: Some(field), .. }) = expr {
        *field = Arc::new(pgtype::declared(field, None));
    }
}

/// A condition is a boolean.
fn boolean_parameter(expr: &mut Expr) {
    parameter_of(expr, Told::of(oid::BOOL, -1));
}

/// A parameter that is compared with a value.
fn parameter_beside(expr: &mut Expr, value: Told) {
    if let Some(type_oid) = value.type_oid() {
        parameter_of(expr, Told::of(compared_type(type_oid), -1));
    }
}

/// A parameter that is of the type of a value.
fn parameter_of(expr: &mut Expr, value: Told) {
    let (Expr::Placeholder(Placeholder { field, .. }), Some((type_oid, _))) = (expr, value.typed()) else { return };
    let named = match field.as_deref() {
        Some(known) => Some(pgtype::declared(known, Some((type_oid, -1)))),
        None => pgtype::field("", type_oid, -1, true),
    };
    *field = named.map(|named: Field| Arc::new(named.with_nullable(true))).or(field.take());
}
