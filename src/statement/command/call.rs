//! CALL: the procedures of `data_catalog`, found by name and arguments (PostgreSQL 15, SQL command CALL), and the row
//! that each answers with, as a procedure with OUT parameters does.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Visit, Visitor,
};
use futures::stream;

use super::{expiry, requests};
use crate::error::{Error, Result, SqlState};
use crate::mesh::grants::Verdict;
use crate::statement::context::Context;
use crate::statement::{Description, Rows, arguments, bind, system};

/// A CALL as it was written.
#[derive(Clone, Debug)]
pub struct Call {
    /// The parts of the procedure's name, folded.
    name: Vec<String>,
    arguments: Vec<Argument>,
}

#[derive(Clone, Debug)]
struct Argument {
    name: Option<String>,
    value: Expr,
}

/// Which procedure, and what it takes.
struct Procedure {
    name: &'static str,
    runs: Runs,
    /// In their order: name, type that a value is cast to, whether it must be given.
    parameters: &'static [(&'static str, Option<DataType>, bool)],
}

#[derive(Clone, Copy)]
enum Runs {
    Request,
    Approve,
    Deny,
}

const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "request_access",
        runs: Runs::Request,
        parameters: &[("product", Some(DataType::Utf8), true), ("purpose", Some(DataType::Utf8), true)],
    },
    Procedure {
        name: "approve_access",
        runs: Runs::Approve,
        // a timestamp, an interval, or a text that is read as either
        parameters: &[("request_id", Some(DataType::Int64), true), ("expires", None, false)],
    },
    Procedure {
        name: "deny_access",
        runs: Runs::Deny,
        parameters: &[("request_id", Some(DataType::Int64), true), ("reason", Some(DataType::Utf8), false)],
    },
];

impl Call {
    /// # Errors
    /// `42601` and `0A000` for what can follow a function's name and means nothing in CALL.
    pub fn new(function: Function) -> Result<Self> {
        let syntax = |what: &'static str| Error::new(SqlState::SYNTAX_ERROR, format!("syntax error in CALL: {what}"));
        let name = function.name.0.iter().map(|part| {
            let part = part.as_ident().ok_or_else(|| syntax("not a name"))?;
            Ok(folded(part.clone()))
        });
        let name = name.collect::<Result<_>>()?;
        let list = match function.args {
            FunctionArguments::List(list) => list,
            FunctionArguments::Subquery(_) => return Err(no_subquery()),
            FunctionArguments::None => return Err(syntax("its arguments stand in parentheses")),
        };
        let plain = function.filter.is_none()
            && function.over.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && list.duplicate_treatment.is_none()
            && list.clauses.is_empty();
        if !plain {
            return Err(syntax("a procedure takes arguments only"));
        }
        if let ControlFlow::Break(error) = list.args.visit(&mut Subqueries) {
            return Err(error);
        }
        let arguments = list.args.into_iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Ok(unnamed(value)),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
            | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                Ok(Argument { name: Some(folded(name)), value })
            }
            _ => Err(syntax("not an argument")),
        });
        Ok(Self { name, arguments: arguments.collect::<Result<_>>()? })
    }

    /// The procedure, and its arguments in the order of its parameters.
    fn resolve(&self, context: &Context) -> Result<(&'static Procedure, Vec<Option<&Expr>>)> {
        let name = match self.name.as_slice() {
            [name] => Some(name),
            [schema, name] if schema == system::SCHEMA => Some(name),
            [database, schema, name] if schema == system::SCHEMA && **database == *context.facts.database => Some(name),
            _ => None,
        };
        let found = PROCEDURES.iter().find(|procedure| name.is_some_and(|name| procedure.name == name));
        let arranged = found.and_then(|procedure| Some((procedure, self.arranged(procedure)?)));
        arranged.ok_or_else(|| {
            let message = format!("procedure {} does not exist", self.name.join("."));
            Error::new(SqlState::UNDEFINED_FUNCTION, message).hint(
                "There are request_access(product, purpose), approve_access(request_id [, expires]) and \
                 deny_access(request_id [, reason]).",
            )
        })
    }

    /// `None` where the arguments are not the procedure's.
    fn arranged(&self, procedure: &Procedure) -> Option<Vec<Option<&Expr>>> {
        let mut arranged = vec![None; procedure.parameters.len()];
        let mut named = false;
        for (position, argument) in self.arguments.iter().enumerate() {
            let position = match &argument.name {
                Some(name) => procedure.parameters.iter().position(|(own, ..)| own == name)?,
                None if named => return None,
                None => position,
            };
            named = argument.name.is_some();
            let place = arranged.get_mut(position)?;
            if place.replace(&argument.value).is_some() {
                return None;
            }
        }
        let complete =
            procedure.parameters.iter().zip(&arranged).all(|((.., needed), given)| !needed || given.is_some());
        complete.then_some(arranged)
    }
}

/// `name := value` is PostgreSQL's older form of `name => value`; the parser takes it for an operator.
fn unnamed(value: Expr) -> Argument {
    match value {
        Expr::BinaryOp { left, op: BinaryOperator::Assignment, right } => match *left {
            Expr::Identifier(name) => Argument { name: Some(folded(name)), value: *right },
            left => {
                let value = Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Assignment, right };
                Argument { name: None, value }
            }
        },
        value => Argument { name: None, value },
    }
}

fn folded(name: Ident) -> String {
    if name.quote_style.is_some() { name.value } else { name.value.to_lowercase() }
}

/// What every procedure answers with.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("request_id", DataType::Int64, true),
        Field::new("status", DataType::Utf8, true),
    ]))
}

/// What the arguments are called in errors.
const ARGUMENTS: &str = "CALL arguments";

/// Finds out the types of parameters; does nothing.
///
/// # Errors
/// `42883` when there is no such procedure.
pub async fn describe(call: &Call, declared: Vec<Option<FieldRef>>, context: &Context) -> Result<Description> {
    let (procedure, arguments) = call.resolve(context)?;
    let planned = given(procedure, &arguments);
    let planning = context.clone();
    let described = async move {
        let bound = arguments::planned(planned, ARGUMENTS, declared.clone(), &planning)?;
        bind::parameter_types(&bound.plan, &declared)
    };
    let parameters = context.mesh.engine.plan(Box::pin(described)).await?;
    Ok(Description { parameters, columns: Some(schema()) })
}

/// Runs the procedure.
///
/// # Errors
/// `42883` when there is none, and what it refuses.
pub async fn execute(call: &Call, parameters: &[ScalarValue], context: &Context) -> Result<Rows> {
    let (procedure, arguments) = call.resolve(context)?;
    let planned = given(procedure, &arguments);
    let types = parameters.iter().map(|value| Some(bind::parameter_field(value.data_type()))).collect();
    let (parameters, planning) = (parameters.to_vec(), context.clone());
    let evaluated = async move {
        arguments::values(arguments::planned(planned, ARGUMENTS, types, &planning)?, &parameters, &planning)
    };
    let values = context.mesh.engine.plan(Box::pin(evaluated)).await?;
    let mut values = values.into_iter();
    let mut values: Vec<ScalarValue> =
        arguments.iter().map(|given| given.and_then(|_| values.next()).unwrap_or(ScalarValue::Null)).collect();
    let second = values.pop().unwrap_or(ScalarValue::Null);
    let first = values.pop().unwrap_or(ScalarValue::Null);
    let (id, status) = match procedure.runs {
        Runs::Request => requests::file(text(&first), text(&second), context).await?,
        Runs::Approve => {
            let zone = *context.settings.lock().time_zone();
            let until = expiry::of_value(&second, chrono::Utc::now(), zone)?;
            requests::decide(number(&first)?, Verdict::Approve(until), context).await?
        }
        Runs::Deny => {
            let reason = text(&second).map(str::to_owned);
            requests::decide(number(&first)?, Verdict::Deny(reason), context).await?
        }
    };
    answer(id, status)
}

/// The arguments that are there, each with the type that its value is cast to.
fn given(procedure: &Procedure, arguments: &[Option<&Expr>]) -> Vec<(Expr, Option<DataType>)> {
    let pairs = procedure.parameters.iter().zip(arguments);
    pairs.filter_map(|((_, wanted, _), given)| Some(((*given)?.clone(), wanted.clone()))).collect()
}

fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

fn number(value: &ScalarValue) -> Result<i64> {
    match value {
        ScalarValue::Int64(Some(number)) => Ok(*number),
        _ => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "request_id must not be null")),
    }
}

fn answer(id: i64, status: &str) -> Result<Rows> {
    let schema = schema();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec![status]))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(Error::internal)?;
    let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
    Ok(Rows { schema, stream: Box::pin(stream), tag: "CALL", guard: None, notice: None })
}

/// PostgreSQL's words.
fn no_subquery() -> Error {
    Error::unsupported("cannot use subquery in CALL argument")
}

struct Subqueries;

impl Visitor for Subqueries {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        ControlFlow::Break(no_subquery())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::classify::Command;
    use crate::statement::parse::parse;

    fn call(sql: &str) -> Result<Call> {
        match parse(sql)?.remove(0).command {
            Command::Call(call) => Ok(call),
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn arranged(procedure: &str, sql: &str) -> Option<Vec<Option<String>>> {
        let procedure = PROCEDURES.iter().find(|known| known.name == procedure).unwrap();
        let call = call(sql).unwrap();
        let arranged = call.arranged(procedure)?;
        Some(arranged.into_iter().map(|value| value.map(ToString::to_string)).collect())
    }

    #[test]
    fn arguments_by_position_and_by_name() {
        let some = |text: &str| Some(text.to_owned());
        for (sql, expected) in [
            ("call p(1)", Some(vec![some("1"), None])),
            ("call p(1, '2')", Some(vec![some("1"), some("'2'")])),
            ("call p($1, $2)", Some(vec![some("$1"), some("$2")])),
            ("call p(expires => '2', Request_Id => 1)", Some(vec![some("1"), some("'2'")])),
            ("call p(1, expires := '2')", Some(vec![some("1"), some("'2'")])),
            ("call p()", None),
            ("call p(expires => '2')", None),
            ("call p(1, request_id => 1)", None),
            ("call p(request_id => 1, '2')", None),
            ("call p(1, colour => '2')", None),
            ("call p(1, 2, 3)", None),
        ] {
            assert_eq!(arranged("approve_access", sql), expected, "{sql}");
        }
        assert_eq!(arranged("request_access", "call p('a')"), None);
    }

    #[test]
    fn what_call_cannot_say() {
        for (sql, code) in [
            ("call p", SqlState::SYNTAX_ERROR),
            ("call p(*)", SqlState::SYNTAX_ERROR),
            ("call p(distinct 1)", SqlState::SYNTAX_ERROR),
            ("call p(1) over ()", SqlState::SYNTAX_ERROR),
            ("call p(1) filter (where true)", SqlState::SYNTAX_ERROR),
            ("call p((select 1))", SqlState::FEATURE_NOT_SUPPORTED),
            ("call p(1 + (select count(*) from t))", SqlState::FEATURE_NOT_SUPPORTED),
            ("call p(exists (select 1))", SqlState::FEATURE_NOT_SUPPORTED),
        ] {
            let found = call(sql).map(|_| ()).unwrap_err();
            assert_eq!(found.sqlstate(), code, "{sql}: {found}");
        }
    }
}
