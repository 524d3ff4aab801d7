//! Functions about the type of a value, whatever its value is: `pg_typeof`.
//!
//! PostgreSQL 15, section 9.26.5 "System Catalog Information Functions".

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::call::{Returns, no_such_function};
use crate::pgtype::{self, oid};

/// Its name.
pub const TYPE_OF: &str = "pg_typeof";

/// The function of this name, if it is this one.
pub fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    (name == TYPE_OF).then(|| type_of(None))
}

/// The function where it is known what it answers: a type's OID.
pub fn type_of(known: Option<u32>) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(TypeOf { known, signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    known: Option<u32>,
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &'static str {
        TYPE_OF
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if args.arg_fields.len() != 1 {
            return Err(no_such_function(self.name(), args.arg_fields));
        }
        Ok(Arc::new(Returns::Oid("regtype").field(self.name())))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(field) = args.arg_fields.first() else { return exec_err!("pg_typeof takes a value") };
        let type_oid = self.known.unwrap_or_else(|| type_oid(field));
        Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(type_oid.into()))))
    }
}

/// A NULL that nothing gives a type is of none.
fn type_oid(field: &Field) -> u32 {
    if field.data_type() == &DataType::Null { oid::UNKNOWN } else { pgtype::pg_type(field).oid }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::functions::call::named_type;

    #[test]
    fn a_type_is_what_its_field_says() {
        let field = |data_type| Field::new("x", data_type, true);
        assert_eq!(type_oid(&field(DataType::Int32)), 23);
        assert_eq!(type_oid(&field(DataType::Null)), 705);
        assert_eq!(type_oid(&field(DataType::Utf8).with_metadata(named_type("name"))), 19);
    }
}
