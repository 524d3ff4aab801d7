//! The clock of a statement: functions that give when its transaction began, as an instant or as what a clock shows.
//!
//! PostgreSQL 15, section 9.9.5 "Current Date/Time". A statement outside a transaction block is a transaction of its own.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::datetime::local;
use super::function::Env;
use super::interval::MICROS_PER_DAY;
use super::kind::Kind;

/// Names and what they give.
pub const NAMES: [(&str, Kind); 7] = [
    ("now", Kind::TimestampTz),
    ("current_timestamp", Kind::TimestampTz),
    ("transaction_timestamp", Kind::TimestampTz),
    ("statement_timestamp", Kind::TimestampTz),
    ("localtimestamp", Kind::Timestamp),
    ("localtime", Kind::Time),
    ("current_date", Kind::Date),
];

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Now {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl Now {
    pub fn shared(name: &'static str, kind: Kind) -> Arc<ScalarUDF> {
        // a precision is taken, and microseconds are given whatever it is
        let signature = Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::Exact(vec![DataType::Int64])],
            Volatility::Stable,
        );
        Arc::new(ScalarUDF::new_from_impl(Self { name, kind, signature }))
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is a constant of its statement", self.name)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(started) = info.query_execution_start_time() else { return Ok(ExprSimplifyResult::Original(args)) };
        let instant = started.timestamp_micros();
        let clock = local(instant, Env::of(info.config_options()).zone);
        let value = match self.kind {
            Kind::Timestamp => ScalarValue::TimestampMicrosecond(Some(clock), None),
            Kind::Time => ScalarValue::Time64Microsecond(Some(clock.rem_euclid(MICROS_PER_DAY))),
            Kind::Date => ScalarValue::Date32(Some(clock.div_euclid(MICROS_PER_DAY) as i32)),
            _ => ScalarValue::TimestampMicrosecond(Some(instant), Some("UTC".into())),
        };
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(value, None)))
    }
}
