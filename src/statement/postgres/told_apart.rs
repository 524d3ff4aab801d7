//! Aggregates and window functions that differ in nothing but a cast are two columns.
//!
//! The engine names a column after its expression and leaves casts out of the name, so that it takes `sum(x)` and
//! `sum(x::numeric)` for one column with two meanings. While a statement is planned, a cast inside such a function stands in
//! a call that is named after its type; the optimizer takes the call away.

use std::hash::{Hash, Hasher};

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::{Cast, ScalarFunction, Sort};
use datafusion::logical_expr::planner::{RawAggregateExpr, RawWindowExpr};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The aggregate whose arguments are compared with what is grouped by.
const GROUPING: &str = "grouping";

/// An aggregate whose name tells its casts.
pub fn aggregate(mut raw: RawAggregateExpr) -> Result<RawAggregateExpr> {
    if raw.func.name() == GROUPING {
        return Ok(raw);
    }
    raw.args = told(raw.args)?;
    raw.filter = raw.filter.map(|filter| named(*filter).map(Box::new)).transpose()?;
    raw.order_by = sorts(raw.order_by)?;
    Ok(raw)
}

/// A window function whose name tells its casts.
pub fn window(mut raw: RawWindowExpr) -> Result<RawWindowExpr> {
    raw.args = told(raw.args)?;
    raw.partition_by = told(raw.partition_by)?;
    raw.order_by = sorts(raw.order_by)?;
    raw.filter = raw.filter.map(|filter| named(*filter).map(Box::new)).transpose()?;
    Ok(raw)
}

fn told(exprs: Vec<Expr>) -> Result<Vec<Expr>> {
    exprs.into_iter().map(named).collect()
}

fn sorts(sorts: Vec<Sort>) -> Result<Vec<Sort>> {
    sorts.into_iter().map(|sort| Ok(Sort { expr: named(sort.expr)?, ..sort })).collect()
}

fn named(expr: Expr) -> Result<Expr> {
    expr.transform_up(|part| match part {
        // constants have to stay constants for those who ask for them
        Expr::Cast(Cast { ref field, .. }) if part.any_column_refs() => {
            let function = ScalarUDF::new_from_impl(CastTo::new(format!("{} {}", field.name(), field.data_type())));
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function.into(), vec![part]))))
        }
        part => Ok(Transformed::no(part)),
    })
    .data()
}

/// Gives its argument.
#[derive(Debug)]
struct CastTo {
    name: String,
    signature: Signature,
}

impl CastTo {
    fn new(name: String) -> Self {
        Self { name, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl PartialEq for CastTo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CastTo {}

impl Hash for CastTo {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CastTo {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [own] = arg_types else { return internal_err!("a cast has one argument") };
        Ok(own.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [own] = args.arg_fields else { return internal_err!("a cast has one argument") };
        Ok(FieldRef::clone(own))
    }

    fn simplify(&self, mut args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match args.pop() {
            Some(own) if args.is_empty() => Ok(ExprSimplifyResult::Simplified(own)),
            _ => internal_err!("a cast has one argument"),
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.pop() {
            Some(own) if args.args.is_empty() => Ok(own),
            _ => internal_err!("a cast has one argument"),
        }
    }
}
