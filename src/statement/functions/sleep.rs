//! `pg_sleep`: waits without keeping a thread, so that a cancel request and `statement_timeout` end it at once.
//!
//! PostgreSQL 15, section 9.9.6 "Delaying Execution". Cancel safe: whoever drops the statement's stream stops waiting.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::call::Returns;

/// Longer waits are as long as this.
const SECONDS_MAX: f64 = 1e9;

/// The function of this name, if it is this one.
pub fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let sleep = || Sleep(Signature::exact(vec![DataType::Float64], Volatility::Volatile));
    (name == "pg_sleep").then(|| Arc::new(AsyncScalarUDF::new(Arc::new(sleep())).into_scalar_udf()))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep(Signature);

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &'static str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Returns::Named("void").field(self.name())))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("pg_sleep waits, and is not called in passing")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let seconds = match args.args.first() {
            Some(seconds) => seconds.to_array(rows)?,
            None => return exec_err!("pg_sleep takes a number of seconds"),
        };
        let answers: StringArray = (0..rows).map(|row| (!seconds.is_null(row)).then_some("")).collect();
        let all: f64 = seconds.as_primitive::<Float64Type>().iter().flatten().map(|seconds| seconds.max(0.0)).sum();
        if all > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(all.min(SECONDS_MAX))).await;
        }
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }
}
