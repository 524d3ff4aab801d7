//! Which function an operator on JSON is (PostgreSQL 15, tables 9.45 and 9.46), by the types that fields declare.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::function::{Form, form};
use crate::error::{Error, SqlState};
use crate::statement::arrays;
use crate::statement::functions::call::{to_engine, type_of};

/// The operators that JSON has, of those that the grammar knows.
pub fn symbol(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Arrow => "->",
        BinaryOperator::LongArrow => "->>",
        BinaryOperator::HashArrow => "#>",
        BinaryOperator::HashLongArrow => "#>>",
        BinaryOperator::AtArrow => "@>",
        BinaryOperator::ArrowAt => "<@",
        BinaryOperator::Question => "?",
        BinaryOperator::QuestionPipe => "?|",
        BinaryOperator::QuestionAnd => "?&",
        BinaryOperator::HashMinus => "#-",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Minus => "-",
        _ => return None,
    })
}

/// Whether an operator is of JSON alone.
fn is_of_json_alone(symbol: &str) -> bool {
    !matches!(symbol, "||" | "-" | "@>" | "<@")
}

/// The operator as a call.
///
/// # Errors
/// The operands, where they are not JSON; `42883` inside where they are, and there is no such operator.
pub fn planned(
    symbol: &'static str,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> std::result::Result<Result<Expr>, (Box<Expr>, Box<Expr>)> {
    let (Ok(left_field), Ok(right_field)) = (field_of(&left, schema), field_of(&right, schema)) else {
        return Err((Box::new(left), Box::new(right)));
    };
    let form_of = |field: &Option<FieldRef>| field.as_deref().and_then(form);
    let (left_form, right_form) = (form_of(&left_field), form_of(&right_field));
    if left_form.is_none() && right_form.is_none() {
        if is_of_json_alone(symbol) && left_field.is_some() {
            return Ok(Err(no_operator(symbol, left_field.as_deref(), &left, right_field.as_deref(), &right)));
        }
        return Err((Box::new(left), Box::new(right)));
    }
    // a text beside `jsonb` stays one
    let is_typed_text = |field: &Option<FieldRef>, expr: &Expr| {
        field.as_deref().is_some_and(|field| field.data_type().is_string() && form(field).is_none())
            && !is_literal(expr)
    };
    if symbol == "||" && (is_typed_text(&left_field, &left) || is_typed_text(&right_field, &right)) {
        return Err((Box::new(left), Box::new(right)));
    }
    let right_is_number = right_field.as_deref().is_some_and(|field| field.data_type().is_integer());
    let right_is_array = right_field.as_deref().is_some_and(|field| field.data_type().is_nested());
    let name = match (symbol, left_form, right_form) {
        ("->", Some(Form::Json), None) if right_is_number => "json_array_element",
        ("->", Some(Form::Json), None) => "json_object_field",
        ("->", Some(Form::Jsonb), None) if right_is_number => "jsonb_array_element",
        ("->", Some(Form::Jsonb), None) => "jsonb_object_field",
        ("->>", Some(Form::Json), None) if right_is_number => "json_array_element_text",
        ("->>", Some(Form::Json), None) => "json_object_field_text",
        ("->>", Some(Form::Jsonb), None) if right_is_number => "jsonb_array_element_text",
        ("->>", Some(Form::Jsonb), None) => "jsonb_object_field_text",
        ("#>", Some(Form::Json), None) => "json_extract_path",
        ("#>", Some(Form::Jsonb), None) => "jsonb_extract_path",
        ("#>>", Some(Form::Json), None) => "json_extract_path_text",
        ("#>>", Some(Form::Jsonb), None) => "jsonb_extract_path_text",
        ("@>", Some(Form::Jsonb) | None, Some(Form::Jsonb) | None) => "jsonb_contains",
        ("<@", Some(Form::Jsonb) | None, Some(Form::Jsonb) | None) => "jsonb_contained",
        ("?", Some(Form::Jsonb), None) => "jsonb_exists",
        ("?|", Some(Form::Jsonb), None) => "jsonb_exists_any",
        ("?&", Some(Form::Jsonb), None) => "jsonb_exists_all",
        ("||", Some(Form::Jsonb) | None, Some(Form::Jsonb) | None) => "jsonb_concat",
        ("-", Some(Form::Jsonb), None) => "jsonb_delete",
        ("#-", Some(Form::Jsonb), None) => "jsonb_delete_path",
        _ => return Ok(Err(no_operator(symbol, left_field.as_deref(), &left, right_field.as_deref(), &right))),
    };
    // what has no type yet has the one that the operator takes
    let takes_texts = matches!(symbol, "#>" | "#>>" | "?|" | "?&" | "#-");
    let texts = || Field::new("", DataType::new_list(DataType::Utf8, true), true);
    let right = match right {
        right if takes_texts && is_literal(&right) => {
            Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(arrays::reader(Arc::new(texts()))), vec![right]))
        }
        right if takes_texts && !right_is_array => typed(right, texts()),
        right => typed(right, Field::new("", DataType::Utf8, true)),
    };
    let left = typed(left, Field::new("", DataType::Utf8, true));
    match super::call(name, vec![left, right]) {
        Some(call) => match call.to_field(schema) {
            Err(_) if !call_has_parameter(&call) => {
                Ok(Err(no_operator_of(symbol, left_field.as_deref(), right_field.as_deref())))
            }
            _ => Ok(Ok(call)),
        },
        None => Ok(Err(to_engine(Error::internal(format_args!("{name} is not there"))))),
    }
}

fn call_has_parameter(call: &Expr) -> bool {
    matches!(call, Expr::ScalarFunction(function)
        if function.args.iter().any(|arg| matches!(arg, Expr::Placeholder(_))))
}

/// A comparison in which `jsonb` takes part; the operands back where none does.
///
/// # Errors
/// The operands, where they are not JSON; `42883` inside for `json`, which has no order.
pub fn compared(
    op: Operator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> std::result::Result<Result<Expr>, (Box<Expr>, Box<Expr>)> {
    let name = match op {
        Operator::Eq => "jsonb_eq",
        Operator::NotEq => "jsonb_ne",
        Operator::Lt => "jsonb_lt",
        Operator::LtEq => "jsonb_le",
        Operator::Gt => "jsonb_gt",
        Operator::GtEq => "jsonb_ge",
        _ => return Err((Box::new(left), Box::new(right))),
    };
    let (Ok(left_field), Ok(right_field)) = (field_of(&left, schema), field_of(&right, schema)) else {
        return Err((Box::new(left), Box::new(right)));
    };
    let form_of = |field: &Option<FieldRef>| field.as_deref().and_then(form);
    let is_text = |field: &Option<FieldRef>| field.as_deref().is_some_and(|field| field.data_type().is_string());
    match (form_of(&left_field), form_of(&right_field)) {
        (None, None) => Err((Box::new(left), Box::new(right))),
        // structs are compared by the engine
        _ if !is_text(&left_field) && !is_text(&right_field) => Err((Box::new(left), Box::new(right))),
        (Some(Form::Json), _) | (_, Some(Form::Json)) => {
            let symbol = op.to_string();
            Ok(Err(no_operator(&symbol, left_field.as_deref(), &left, right_field.as_deref(), &right)))
        }
        _ => match super::call(name, vec![left, right]) {
            Some(call) => Ok(Ok(call)),
            None => Ok(Err(to_engine(Error::internal(format_args!("{name} is not there"))))),
        },
    }
}

/// The field of an operand, none of a parameter whose type is not known.
fn field_of(expr: &Expr, schema: &DFSchema) -> Result<Option<FieldRef>> {
    if let Expr::Placeholder(Placeholder { field: None, .. }) = expr {
        return Ok(None);
    }
    expr.to_field(schema).map(|(_, field)| Some(field))
}

fn typed(expr: Expr, field: Field) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            Expr::Placeholder(Placeholder { id, field: Some(Arc::new(field)) })
        }
        other => other,
    }
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)), None))
}

/// `42883`; a literal is of no type yet.
fn no_operator(
    symbol: &str,
    left_field: Option<&Field>,
    left: &Expr,
    right_field: Option<&Field>,
    right: &Expr,
) -> DataFusionError {
    let known = |field, expr: &Expr| if is_literal(expr) { None } else { field };
    no_operator_of(symbol, known(left_field, left), known(right_field, right))
}

fn no_operator_of(symbol: &str, left: Option<&Field>, right: Option<&Field>) -> DataFusionError {
    let shown = |field: Option<&Field>| field.map_or_else(|| "unknown".to_owned(), type_of);
    let message = format!("operator does not exist: {} {symbol} {}", shown(left), shown(right));
    to_engine(
        Error::new(SqlState::UNDEFINED_FUNCTION, message)
            .hint("No operator matches the given name and argument types. You might need to add explicit type casts."),
    )
}
