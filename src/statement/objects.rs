//! Objects in results: a column of `regclass` and the like is an OID inside of plans, and its object's name to the client.
//!
//! PostgreSQL 15, section 8.19 "Object Identifier Types": their text is a name, their binary form the OID. Which of the two
//! a client asked for, only the wire knows; so it is told both.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, Projection, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::context::Context;
use super::functions::reg::{Reg, reg_out};
use crate::pgtype::PG_TYPE_KEY;

/// The type of objects that a column is of, if it is.
pub fn kind(field: &Field) -> Option<Reg> {
    if !field.data_type().is_integer() {
        return None;
    }
    Reg::named(field.metadata().get(PG_TYPE_KEY)?)
}

/// The plan of a statement's result with the names of objects beside their OIDs.
pub fn shown(plan: LogicalPlan, context: &Context) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    if schema.fields().iter().all(|field| kind(field).is_none()) {
        return Ok(plan);
    }
    let columns = schema.columns().into_iter().zip(schema.fields()).map(|(column, field)| {
        let name = column.name.clone();
        let relation = column.relation.clone();
        let column = Expr::Column(column);
        let Some(kind) = kind(field) else { return column };
        let text = Expr::ScalarFunction(ScalarFunction::new_udf(reg_out(kind, context), vec![column.clone()]));
        let named = ScalarUDF::new_from_impl(Named::new(kind.name()));
        let named = ScalarFunction::new_udf(Arc::new(named), vec![column, text]);
        Expr::ScalarFunction(named).alias_qualified(relation, name)
    });
    Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::new(plan))?))
}

/// An OID and the object's name as one value, which is of the object's type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Named {
    kind: &'static str,
    signature: Signature,
}

impl Named {
    fn new(kind: &'static str) -> Self {
        Self { kind, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn fields() -> Fields {
        Fields::from(vec![Field::new("oid", DataType::Int64, true), Field::new("name", DataType::Utf8, true)])
    }
}

impl ScalarUDFImpl for Named {
    fn name(&self) -> &str {
        self.kind
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(Self::fields()))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        let metadata = HashMap::from([(PG_TYPE_KEY.to_owned(), self.kind.to_owned())]);
        Ok(Arc::new(Field::new(self.kind, DataType::Struct(Self::fields()), true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let nulls = arrays[0].logical_nulls();
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(Self::fields(), arrays, nulls)?)))
    }
}
