//! Functions that stand in plans for what SQL has no function for: the value of a subquery's one row, one that may be
//! missing, and an array of a subquery's rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::misplaced;
use crate::error::{Error, SqlState};
use crate::statement::shapes::ARRAY_OF_SUBQUERY;

/// A value as it is, that may be NULL as far as anybody knows. It is volatile, so that nobody looks at the value.
pub fn maybe() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Maybe { signature: Signature::any(1, Volatility::Volatile) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Maybe {
    signature: Signature,
}

impl ScalarUDFImpl for Maybe {
    fn name(&self) -> &'static str {
        "maybe"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(misplaced)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = args.arg_fields.first().ok_or_else(misplaced)?;
        Ok(Arc::new(field.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}

/// The one element of an array; NULL if it has none, and an error if it has several.
pub fn only() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Only { signature: Signature::any(1, Volatility::Immutable) }))
}

/// What stands for `ARRAY(SELECT …)` until [`Subqueries`](super::Subqueries) has found it.
pub fn array_marker(name: &str) -> Option<Arc<ScalarUDF>> {
    let marker = || ArrayOf { signature: Signature::any(1, Volatility::Volatile) };
    (name == ARRAY_OF_SUBQUERY).then(|| Arc::new(ScalarUDF::new_from_impl(marker())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOf {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOf {
    fn name(&self) -> &'static str {
        ARRAY_OF_SUBQUERY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            // an array of arrays has one more dimension, and the same type
            [DataType::Null] => Ok(DataType::new_list(DataType::Utf8, true)),
            [element] => Ok(DataType::new_list(element.clone(), true)),
            _ => datafusion::common::plan_err!("ARRAY takes a subquery"),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        datafusion::common::internal_err!("ARRAY takes a subquery")
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Only {
    signature: Signature,
}

impl ScalarUDFImpl for Only {
    fn name(&self) -> &'static str {
        "only"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [DataType::List(item)] = types else {
            return datafusion::common::internal_err!("only takes a list");
        };
        Ok(item.data_type().clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists: ArrayRef = args.args[0].to_array(args.number_rows)?;
        let lists = lists.as_list::<i32>();
        let offsets = lists.value_offsets();
        let mut places = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let (first, end) = (offsets[row], offsets[row + 1]);
            let valid = lists.is_valid(row);
            match end - first {
                _ if !valid => places.push(None),
                0 => places.push(None),
                1 => places.push(u32::try_from(first).ok()),
                _ => {
                    let message = "more than one row returned by a subquery used as an expression";
                    let error = Error::new(SqlState::CARDINALITY_VIOLATION, message);
                    return Err(DataFusionError::External(Box::new(error)));
                }
            }
        }
        let places = UInt32Array::from(places);
        Ok(ColumnarValue::Array(take(lists.values(), &places, None)?))
    }
}
