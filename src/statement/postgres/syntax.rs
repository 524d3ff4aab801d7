//! Forms of PostgreSQL's grammar that the engine plans otherwise or not at all, as calls of functions: intervals, AT TIME
//! ZONE, OVERLAPS, prefix operators, and named arguments.
//!
//! It owns that translation of the syntax tree. Nothing is known of types here.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Statement,
    UnaryOperator, Value, visit_expressions_mut,
};

use crate::statement::shapes::call;

/// The arguments of `make_interval`, in order.
const MAKE_INTERVAL: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

/// Functions that the engine has under another name.
const SYNONYMS: [(&str, &str); 2] = [("every", "bool_and"), ("gen_random_uuid", "uuid")];
/// Functions of sets, and those that give the same as an array.
const PIECES: [(&str, &str); 2] =
    [("regexp_split_to_table", "regexp_split_to_array"), ("string_to_table", "string_to_array")];

/// OVERLAPS between rows, which are no values of their own there.
pub fn rewrite_overlaps(statement: &mut Statement) {
    _ = visit_expressions_mut(statement, |expr| {
        if let Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } = expr
            && let (Expr::Tuple(left), Expr::Tuple(right)) = (left.as_mut(), right.as_mut())
            && left.len() == 2
            && right.len() == 2
        {
            let ends = std::mem::take(left).into_iter().chain(std::mem::take(right)).collect();
            *expr = call("overlaps", ends);
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Rewrites every expression of a statement whose columns have their names.
pub fn rewrite(statement: &mut Statement) {
    _ = visit_expressions_mut(statement, |expr| {
        if let Some(rewritten) = rewritten(expr) {
            *expr = rewritten;
        }
        ControlFlow::<()>::Continue(())
    });
}

fn rewritten(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::Interval(interval) => {
            let Expr::Value(value) = interval.value.as_ref() else { return None };
            let Value::SingleQuotedString(_) = value.value else { return None };
            let fields = [interval.leading_field.as_ref(), interval.last_field.as_ref()];
            let fields: Vec<String> =
                fields.into_iter().flatten().map(|field| field.to_string().to_lowercase()).collect();
            Some(call("interval_in", vec![interval.value.as_ref().clone(), text(&fields.join(" to "))]))
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            Some(call("timezone", vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()]))
        }
        Expr::UnaryOp { op, expr } => {
            let name = match op {
                UnaryOperator::BitwiseNot => "bitnot",
                UnaryOperator::PGSquareRoot => "dsqrt",
                UnaryOperator::PGCubeRoot => "dcbrt",
                UnaryOperator::PGAbs => "abs",
                _ => return None,
            };
            Some(call(name, vec![expr.as_ref().clone()]))
        }
        Expr::Function(function) => {
            let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
            if name == "make_interval" {
                position_arguments(function, &MAKE_INTERVAL);
            }
            if let Some((_, engine)) = SYNONYMS.iter().find(|(postgres, _)| *postgres == name) {
                function.name = ObjectName::from(vec![Ident::new(*engine)]);
            }
            // one row for each piece
            let (_, pieces) = PIECES.iter().find(|(postgres, _)| *postgres == name)?;
            function.name = ObjectName::from(vec![Ident::new(*pieces)]);
            Some(call("unnest", vec![Expr::Function(function.clone())]))
        }
        _ => None,
    }
}

/// Puts `name => value` arguments in their places, zeros between them.
fn position_arguments(function: &mut Function, names: &[&str]) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    let name_of = |arg: &FunctionArg| match arg {
        FunctionArg::Named { name, .. } | FunctionArg::ExprNamed { name: Expr::Identifier(name), .. } => {
            Some(name.value.to_ascii_lowercase())
        }
        _ => None,
    };
    if !list.args.iter().any(|arg| name_of(arg).is_some()) {
        return;
    }
    let mut places: Vec<Option<FunctionArgExpr>> = vec![None; names.len()];
    for (position, arg) in list.args.iter().enumerate() {
        let place = match name_of(arg) {
            Some(name) => names.iter().position(|known| *known == name),
            None => Some(position),
        };
        let value = match arg {
            FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } | FunctionArg::Unnamed(arg) => arg,
        };
        match place.and_then(|place| places.get_mut(place)) {
            Some(empty @ None) => *empty = Some(value.clone()),
            // an unknown name, or a place taken twice: the engine says so
            _ => return,
        }
    }
    let count = places.iter().rposition(Option::is_some).map_or(0, |position| position + 1);
    let zero = || FunctionArgExpr::Expr(Expr::value(Value::Number("0".to_owned(), false)));
    let given = places.into_iter().take(count);
    list.args = given.map(|value| FunctionArg::Unnamed(value.unwrap_or_else(zero))).collect();
}

fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}
