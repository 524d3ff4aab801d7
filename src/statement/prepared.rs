//! What PREPARE and EXECUTE say of parameters: their types by name, and their values.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{CastKind, DataType as SqlType, Expr, Value};

use super::arguments;
use super::context::Context;
use crate::error::Result;

/// What the values are called in errors.
const PARAMETERS: &str = "EXECUTE parameters";

/// The types that PREPARE names; `None` for `unknown`, which leaves a type to be found out.
///
/// # Errors
/// `42704` for a type that there is not.
pub async fn types(named: Vec<SqlType>, context: &Context) -> Result<Vec<Option<DataType>>> {
    let is_open =
        |sql: &SqlType| matches!(sql, SqlType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("unknown"));
    let open: Vec<bool> = named.iter().map(is_open).collect();
    // a NULL cast to a type is planned as that type
    let nulls = named.into_iter().map(|sql| {
        let null = Expr::Value(Value::Null.into());
        if is_open(&sql) {
            return (null, None);
        }
        let expr = Box::new(null);
        (Expr::Cast { kind: CastKind::Cast, expr, data_type: sql, array: false, format: None }, None)
    });
    let (nulls, own) = (nulls.collect(), context.clone());
    let bind = async move { arguments::planned(nulls, PARAMETERS, Vec::new(), &own) };
    let bound = context.mesh.engine.plan(Box::pin(bind)).await?;
    let found = bound.plan.schema().fields().iter().map(|field| field.data_type().clone());
    Ok(found.zip(open).map(|(found, open)| (!open).then_some(found)).collect())
}

/// The values of EXECUTE's arguments, each of the type beside it.
///
/// # Errors
/// What evaluating them gives; `0A000` for one that is not constant.
pub async fn arguments(given: Vec<Expr>, types: Vec<DataType>, context: &Context) -> Result<Vec<ScalarValue>> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = given.into_iter().zip(types.into_iter().map(Some)).collect();
    let own = context.clone();
    let evaluated =
        async move { arguments::values(arguments::planned(wanted, PARAMETERS, Vec::new(), &own)?, &[], &own) };
    context.mesh.engine.plan(Box::pin(evaluated)).await
}
