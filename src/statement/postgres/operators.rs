//! Which function an operator is, by the types of its operands (PostgreSQL 15, section 10.2 "Operators").
//!
//! It owns the choice between the engine's own operators, where they mean the same and run in its kernels, and
//! PostgreSQL's functions. Comparisons are `rewrite`'s.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::function::{Function, Udf};
use super::kind::Kind;
use super::{arithmetic, casts, json, text, told_apart};
use crate::pgtype::numeric as any_numeric;
use crate::statement::arrays;
use crate::statement::shapes::{IS_DISTINCT, IS_NOT_DISTINCT};

/// Products of decimals with at most so many digits after the point leave room for as many before it in 128 bits.
const PRODUCT_SCALE_MAX: i16 = 19;
/// Digits of 128 bits.
const DIGITS_128: i16 = 38;
/// Digits of 256 bits, of which one is left for [`numeric`](any_numeric) without a scale.
const DIGITS_256: i16 = 75;

/// The engine's form of each function that stands for an operator.
static UDFS: LazyLock<HashMap<(&'static str, usize), Arc<ScalarUDF>>> = LazyLock::new(|| {
    let functions: [&'static Function; 16] = [
        &arithmetic::PLUS,
        &arithmetic::MINUS,
        &arithmetic::NEGATION,
        &arithmetic::TIMES,
        &arithmetic::DIVIDED,
        &arithmetic::MODULO,
        &arithmetic::POWER_OPERATOR,
        &arithmetic::BIT_AND,
        &arithmetic::BIT_OR,
        &arithmetic::BIT_XOR,
        &arithmetic::SHIFT_LEFT,
        &arithmetic::SHIFT_RIGHT,
        &text::MATCHES,
        &text::MATCHES_CASELESS,
        &text::MATCHES_NOT,
        &text::MATCHES_NOT_CASELESS,
    ];
    functions.into_iter().map(|f| ((f.name, f.overloads[0].args.len()), Udf::shared(f))).collect()
});

/// A call of an operator's function.
pub fn call(function: &'static Function, args: Vec<Expr>) -> Expr {
    let known = UDFS.get(&(function.name, args.len())).cloned();
    Expr::ScalarFunction(ScalarFunction::new_udf(known.unwrap_or_else(|| Udf::shared(function)), args))
}

/// Plans operators whose operands' types are known, before the engine says that it has none for them.
#[derive(Debug)]
pub struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if let Some(op) = distinct(&expr.op) {
            let RawBinaryExpr { left, right, .. } = beside_typed(expr, schema);
            let planned = BinaryExpr { left: Box::new(left), op, right: Box::new(right) };
            return Ok(PlannerResult::Planned(Expr::BinaryExpr(planned)));
        }
        if let Some(symbol) = json::operators::symbol(&expr.op) {
            match json::operators::planned(symbol, expr.left, expr.right, schema) {
                Ok(call) => return call.map(PlannerResult::Planned),
                Err((left, right)) => expr = RawBinaryExpr { op: expr.op, left: *left, right: *right },
            }
        }
        let Some(symbol) = symbol(&expr.op) else { return Ok(PlannerResult::Original(beside_typed(expr, schema))) };
        let RawBinaryExpr { op, left, right } = expr;
        Ok(match planned(symbol, left, right, schema) {
            Ok(planned) => PlannerResult::Planned(planned),
            Err((left, right)) => PlannerResult::Original(RawBinaryExpr { op, left: *left, right: *right }),
        })
    }

    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        if let [_, pattern] = args.as_slice()
            && is_text_literal(pattern)
        {
            return Ok(PlannerResult::Planned(call(&text::SUBSTRING_MATCHED, args)));
        }
        Ok(PlannerResult::Original(args))
    }

    /// DISTINCT sorts what is collected (`nodeAgg.c`), and what is in order stays so.
    fn plan_aggregate(&self, mut expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        if expr.distinct
            && expr.order_by.is_empty()
            && json::aggregate::is_ours(expr.func.name())
            && let Some(first) = expr.args.first()
        {
            expr.order_by = vec![first.clone().sort(true, false)];
        }
        told_apart::aggregate(expr).map(PlannerResult::Original)
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(match super::scalar("extract") {
            Some(function) => PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))),
            None => PlannerResult::Original(args),
        })
    }

    fn plan_window(&self, expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        told_apart::window(expr).map(PlannerResult::Original)
    }
}

/// A literal without a type beside an interval, a boolean or an array is one, which the engine would not compare with a text.
fn beside_typed(expr: RawBinaryExpr, schema: &DFSchema) -> RawBinaryExpr {
    let typed = |literal: Expr, other: &Expr| {
        let Ok((_, field)) = other.to_field(schema) else { return literal };
        if matches!(field.data_type(), DataType::List(_)) {
            return Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(arrays::reader(field)), vec![literal]));
        }
        match Kind::of(field.data_type()) {
            Some(kind @ (Kind::Interval | Kind::Bool)) => {
                Expr::ScalarFunction(ScalarFunction::new_udf(casts::cast_to(&kind.data_type()), vec![literal]))
            }
            _ => literal,
        }
    };
    let RawBinaryExpr { op, left, right } = expr;
    match (is_text_literal(&left), is_text_literal(&right)) {
        (false, true) => RawBinaryExpr { op, right: typed(right, &left), left },
        (true, false) => RawBinaryExpr { op, left: typed(left, &right), right },
        _ => RawBinaryExpr { op, left, right },
    }
}

fn distinct(op: &BinaryOperator) -> Option<Operator> {
    match op {
        BinaryOperator::Custom(op) if op == IS_DISTINCT => Some(Operator::IsDistinctFrom),
        BinaryOperator::Custom(op) if op == IS_NOT_DISTINCT => Some(Operator::IsNotDistinctFrom),
        _ => None,
    }
}

/// The operators that are planned here.
fn symbol(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::PGExp => "^",
        BinaryOperator::BitwiseAnd => "&",
        BinaryOperator::BitwiseOr => "|",
        BinaryOperator::PGBitwiseXor => "#",
        BinaryOperator::PGBitwiseShiftLeft => "<<",
        BinaryOperator::PGBitwiseShiftRight => ">>",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::PGRegexMatch => "~",
        BinaryOperator::PGRegexIMatch => "~*",
        BinaryOperator::PGRegexNotMatch => "!~",
        BinaryOperator::PGRegexNotIMatch => "!~*",
        _ => return None,
    })
}

/// As [`symbol`], for operators that the engine planned itself when it did not know a parameter's type.
pub fn engine_symbol(op: Operator) -> Option<&'static str> {
    Some(match op {
        Operator::Plus => "+",
        Operator::Minus => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Modulo => "%",
        Operator::BitwiseAnd => "&",
        Operator::BitwiseOr => "|",
        Operator::BitwiseXor => "#",
        Operator::BitwiseShiftLeft => "<<",
        Operator::BitwiseShiftRight => ">>",
        Operator::StringConcat => "||",
        Operator::RegexMatch => "~",
        Operator::RegexIMatch => "~*",
        Operator::RegexNotMatch => "!~",
        Operator::RegexNotIMatch => "!~*",
        _ => return None,
    })
}

/// The operator as a function; the operands back where the engine's own operator does.
pub fn planned(
    symbol: &'static str,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> std::result::Result<Expr, (Box<Expr>, Box<Expr>)> {
    let types = (operand_type(&left, schema), operand_type(&right, schema));
    let (Some(left_type), Some(right_type)) = types else { return Err((Box::new(left), Box::new(right))) };
    if symbol == "||" {
        return concatenated(left, right, &left_type, &right_type);
    }
    // a literal without a type has the other operand's, if there is such an operator
    let (left_type, right_type) = match (is_text_literal(&left), is_text_literal(&right)) {
        (true, false) if resolves(symbol, &right_type, &right_type) => (right_type.clone(), right_type),
        (false, true) if resolves(symbol, &left_type, &left_type) => (left_type.clone(), left_type),
        _ => (left_type, right_type),
    };
    let read_as = |expr: Expr, wanted: &DataType| {
        if is_text_literal(&expr) && !matches!(Kind::of(wanted), Some(Kind::Text) | None) {
            let target =
                if Kind::of(wanted) == Some(Kind::Numeric) { any_numeric::data_type() } else { wanted.clone() };
            return Expr::ScalarFunction(ScalarFunction::new_udf(casts::cast_to(&target), vec![expr]));
        }
        expr
    };
    // of two constants the result may have as many digits as it needs
    let constants = is_constant(&left) && is_constant(&right);
    match engines(symbol, &left_type, &right_type, constants) {
        Some(Width::AsItIs) => {
            return Err((Box::new(read_as(left, &left_type)), Box::new(read_as(right, &right_type))));
        }
        Some(Width::Wide) => return Err((Box::new(wide(left, &left_type)), Box::new(wide(right, &right_type)))),
        None => {}
    }
    match function(symbol) {
        Some(function) if function.resolve(&[left_type.clone(), right_type.clone()]).is_some() => {
            Ok(call(function, vec![read_as(left, &left_type), read_as(right, &right_type)]))
        }
        _ => Err((Box::new(left), Box::new(right))),
    }
}

fn function(symbol: &str) -> Option<&'static Function> {
    Some(match symbol {
        "+" => &arithmetic::PLUS,
        "-" => &arithmetic::MINUS,
        "*" => &arithmetic::TIMES,
        "/" => &arithmetic::DIVIDED,
        "%" => &arithmetic::MODULO,
        "^" => &arithmetic::POWER_OPERATOR,
        "&" => &arithmetic::BIT_AND,
        "|" => &arithmetic::BIT_OR,
        "#" => &arithmetic::BIT_XOR,
        "<<" => &arithmetic::SHIFT_LEFT,
        ">>" => &arithmetic::SHIFT_RIGHT,
        "~" => &text::MATCHES,
        "~*" => &text::MATCHES_CASELESS,
        "!~" => &text::MATCHES_NOT,
        "!~*" => &text::MATCHES_NOT_CASELESS,
        _ => return None,
    })
}

fn resolves(symbol: &str, left: &DataType, right: &DataType) -> bool {
    function(symbol).is_some_and(|function| function.resolve(&[left.clone(), right.clone()]).is_some())
}

/// The type of an operand, if it is known yet.
fn operand_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    if let Expr::Placeholder(placeholder) = expr
        && placeholder.field.is_none()
    {
        return None;
    }
    expr.get_type(schema).ok()
}

fn is_text_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)), _))
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Literal(..)),
        _ => false,
    }
}

/// How the engine's kernel computes what PostgreSQL does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    AsItIs,
    /// In 256 bits, where the operands have 128.
    Wide,
}

/// Whether the engine's kernel gives PostgreSQL's result, errors included: sums and products of decimals that have room.
fn engines(symbol: &str, left: &DataType, right: &DataType, constants: bool) -> Option<Width> {
    let decimal = |data_type: &DataType| match data_type {
        any if any_numeric::is_any(any) => None,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            Some((i16::from(*p), i16::from(*s), DIGITS_128))
        }
        DataType::Decimal256(p, s) => Some((i16::from(*p), i16::from(*s), DIGITS_256)),
        DataType::Int64 => Some((20, 0, 0)),
        DataType::Int32 => Some((10, 0, 0)),
        DataType::Int16 => Some((5, 0, 0)),
        _ => None,
    };
    let ((left_digits, left_scale, left_width), (right_digits, right_scale, right_width)) =
        (decimal(left)?, decimal(right)?);
    let width = left_width.max(right_width);
    if width == 0 || left_scale < 0 || right_scale < 0 {
        return None;
    }
    // of two constants the digits are known, of columns they are what the type allows at most
    let (scale, digits) = match symbol {
        "+" | "-" => {
            let scale = left_scale.max(right_scale);
            (scale, (left_digits - left_scale).max(right_digits - right_scale) + scale + 1)
        }
        "*" => (left_scale + right_scale, left_digits + right_digits),
        _ => return None,
    };
    if digits <= width {
        return Some(Width::AsItIs);
    }
    if constants && digits <= DIGITS_256 && scale < i16::from(any_numeric::SCALE) {
        return Some(Width::Wide);
    }
    (scale <= PRODUCT_SCALE_MAX && !constants).then_some(Width::AsItIs)
}

/// A number in 256 bits.
fn wide(expr: Expr, own: &DataType) -> Expr {
    match own {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            cast(expr, DataType::Decimal256(*p, *s))
        }
        _ => expr,
    }
}

/// `||` of texts, and of a text with anything else, which is written as its type is.
fn concatenated(
    left: Expr,
    right: Expr,
    left_type: &DataType,
    right_type: &DataType,
) -> std::result::Result<Expr, (Box<Expr>, Box<Expr>)> {
    let (left_kind, right_kind) = (Kind::of(left_type), Kind::of(right_type));
    let as_text = |expr: Expr, from: &DataType| {
        if casts::is_ours(from, &DataType::Utf8) {
            return Expr::ScalarFunction(ScalarFunction::new_udf(casts::cast_to(&DataType::Utf8), vec![expr]));
        }
        expr
    };
    let is_list = |data_type: &DataType| matches!(data_type, DataType::List(_) | DataType::LargeList(_));
    match (left_kind, right_kind) {
        (Some(Kind::Bytea), Some(Kind::Bytea)) => match super::scalar("byteacat") {
            Some(function) => Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![left, right]))),
            None => Err((Box::new(left), Box::new(right))),
        },
        _ if is_list(left_type) || is_list(right_type) => Err((Box::new(left), Box::new(right))),
        (Some(Kind::Text), _) | (_, Some(Kind::Text)) => {
            Err((Box::new(as_text(left, left_type)), Box::new(as_text(right, right_type))))
        }
        _ => Err((Box::new(left), Box::new(right))),
    }
}
