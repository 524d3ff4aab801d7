//! Rows as values: `ROW(…)`, and the whole row of a relation (PostgreSQL 15, 4.2.13 "Row Constructors" and 8.16 "Composite
//! Types").
//!
//! A record is a struct whose field says so; any other struct is `jsonb` to a client.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::pgtype::RECORD;
use crate::statement::functions::call::named_type;

/// `ROW(a, b)`, whose fields are `f1`, `f2`.
const ROW: &str = "row";
/// The row of a relation: names and values in turns.
pub const ROW_OF_RELATION: &str = "row of relation";

/// Whether a function makes a record of its arguments.
pub fn is_row(name: &str) -> bool {
    matches!(name, ROW | ROW_OF_RELATION)
}

/// The function of this name, if it is one of these.
pub fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    let name = [ROW, ROW_OF_RELATION].into_iter().find(|known| *known == name)?;
    let signature = Signature::user_defined(Volatility::Immutable);
    Some(Arc::new(ScalarUDF::new_from_impl(Record { name, signature })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Record {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Record {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        exec_err!("{} has no type without its arguments", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let named = |field: &FieldRef, name: &str| field.as_ref().clone().with_name(name).with_nullable(true);
        let fields: Vec<Field> = if self.name == ROW {
            args.arg_fields.iter().zip(1..).map(|(field, number)| named(field, &format!("f{number}"))).collect()
        } else {
            let pairs = args.arg_fields.chunks_exact(2).zip(args.scalar_arguments.chunks_exact(2));
            let of_pair = |(fields, values): (&[FieldRef], &[Option<&ScalarValue>])| {
                let Some(ScalarValue::Utf8(Some(name))) = values[0] else {
                    return exec_err!("a row of a relation has names");
                };
                Ok(named(&fields[1], name))
            };
            pairs.map(of_pair).collect::<Result<_>>()?
        };
        let record = Field::new(self.name, DataType::Struct(Fields::from(fields)), true);
        Ok(Arc::new(record.with_metadata(named_type(RECORD))))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::Struct(fields) = args.return_field.data_type() else {
            return exec_err!("{} gives a record", self.name);
        };
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let step = if self.name == ROW { 1 } else { 2 };
        let values = args.args.iter().skip(step - 1).step_by(step).map(|arg| arg.to_array(rows));
        let values = values.collect::<Result<Vec<ArrayRef>>>()?;
        let record = StructArray::try_new_with_length(fields.clone(), values, None, rows)?;
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&(Arc::new(record) as ArrayRef), 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(record)))
    }
}
