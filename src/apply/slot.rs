//! The place where an inner plan finds the values of its parameters while it runs.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, AsArray, make_array};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;

/// The values of one node's parameters, for the run that is under way.
#[derive(Debug, Default)]
pub struct Slot(Mutex<Vec<ScalarValue>>);

impl Slot {
    pub fn set(&self, values: Vec<ScalarValue>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = values;
    }

    fn get(&self, number: usize) -> Option<ScalarValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }
}

/// A parameter, as a function without arguments. It is volatile, so that nothing takes its value for a constant.
#[derive(Debug)]
struct Parameter {
    slot: Arc<Slot>,
    number: usize,
    field: FieldRef,
    signature: Signature,
}

/// The expression that reads a parameter.
pub fn parameter(slot: &Arc<Slot>, number: usize, field: &FieldRef) -> Expr {
    let signature = Signature::nullary(Volatility::Volatile);
    let field = Arc::new(field.as_ref().clone().with_nullable(true));
    let parameter = Parameter { slot: Arc::clone(slot), number, field, signature };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(parameter)), Vec::new()))
}

/// Whether an expression reads a parameter, of whichever node.
pub fn reads_parameter(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<ScalarFunctionExpr>()
        .is_some_and(|call| call.fun().inner().downcast_ref::<Parameter>().is_some())
        || expr.children().into_iter().any(reads_parameter)
}

impl ScalarUDFImpl for Parameter {
    fn name(&self) -> &'static str {
        "outer"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = self.slot.get(self.number) else {
            return internal_err!("a parameter is read before it has a value");
        };
        let wanted = self.field.data_type();
        let value = if value.data_type() == *wanted { value } else { as_promised(&value, wanted)? };
        Ok(ColumnarValue::Scalar(value))
    }
}

/// The value of a list forgets what its field says of the elements, and a cast does not tell it.
fn as_promised(value: &ScalarValue, wanted: &DataType) -> Result<ScalarValue> {
    let array = value.cast_to(wanted)?.to_array()?;
    let told = array.to_data().into_builder().data_type(wanted.clone()).build()?;
    let array = make_array(told);
    Ok(match array.as_list_opt::<i32>() {
        Some(list) => ScalarValue::List(Arc::new(list.clone())),
        None => ScalarValue::try_from_array(&array, 0)?,
    })
}

impl PartialEq for Parameter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.slot, &other.slot) && self.number == other.number
    }
}

impl Eq for Parameter {}

impl Hash for Parameter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (Arc::as_ptr(&self.slot) as usize, self.number).hash(state);
    }
}
