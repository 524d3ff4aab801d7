//! `coalesce` of arrays beside literals that have no type yet, which the engine's own takes for texts among arrays.
//!
//! PostgreSQL 15, 9.18.2 "COALESCE" and 10.5 "UNION, CASE, and Related Constructs".

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions::core::coalesce::CoalesceFunc;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

pub const NAME: &str = "coalesce";

/// The engine's function, but that of arrays and texts the arrays are meant.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Coalesce(CoalesceFunc);

pub fn shared() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Coalesce(CoalesceFunc::new())))
}

impl ScalarUDFImpl for Coalesce {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_array = |data_type: &&DataType| matches!(data_type, DataType::List(_));
        match types.iter().find(is_array) {
            Some(array) if types.iter().any(DataType::is_string) => {
                let meant = |data_type: &DataType| if data_type.is_string() { array } else { data_type }.clone();
                self.0.coerce_types(&types.iter().map(meant).collect::<Vec<_>>())
            }
            _ => self.0.coerce_types(types),
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.0.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.0.invoke_with_args(args)
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.0.conditional_arguments(args)
    }

    fn short_circuits(&self) -> bool {
        self.0.short_circuits()
    }
}
