//! Functions that make large values out of small ones, behind a bound: what they will make is reckoned from their arguments
//! before any memory is taken, since a function's memory is not part of the engine's pool.
//!
//! PostgreSQL refuses the same with `54000`, "requested length too large".

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::error::{Error, SqlState};

/// Largest value that one call may make, in bytes.
const VALUE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest sum of the values of one batch, in bytes.
const BATCH_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A character takes up to four bytes; an array's element about this many.
const ELEMENT_BYTES: u64 = 16;

/// How the size of the result follows from the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// `repeat(text, n)`: the text's length times n.
    Repeat,
    /// `lpad(text, n)`: n characters.
    Pad,
    /// `array_repeat(element, n)`, `array_resize(array, n)`: n elements.
    Elements,
    /// `replace(text, from, to)`: at most the text's length, plus one, times the replacement's.
    Replace,
}

/// The function itself, or the function behind its bound where it needs one.
pub fn bounded(function: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let growth = match function.name() {
        "repeat" => Growth::Repeat,
        "lpad" | "rpad" => Growth::Pad,
        "array_repeat" | "array_resize" => Growth::Elements,
        "replace" | "regexp_replace" => Growth::Replace,
        _ => return Arc::clone(function),
    };
    Arc::new(ScalarUDF::new_from_impl(Sized { inner: Arc::clone(function), growth }))
}

#[derive(Debug)]
struct Sized {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl PartialEq for Sized {
    fn eq(&self, other: &Self) -> bool {
        self.inner.name() == other.inner.name() && self.growth == other.growth
    }
}

impl Eq for Sized {}

impl Hash for Sized {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

impl ScalarUDFImpl for Sized {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        check(self.growth, &args)?;
        self.inner.invoke_with_args(args)
    }
}

fn check(growth: Growth, args: &ScalarFunctionArgs) -> Result<()> {
    let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if scalar { 1 } else { args.number_rows };
    let argument = |index: usize| args.args.get(index).map(|arg| arg.to_array(rows)).transpose();
    let sizes: Vec<u64> = match growth {
        Growth::Repeat => {
            let (text, count) = (lengths(argument(0)?)?, counts(argument(1)?)?);
            text.into_iter().zip(count).map(|(length, count)| length.saturating_mul(count)).collect()
        }
        Growth::Pad => counts(argument(1)?)?.into_iter().map(|count| count.saturating_mul(4)).collect(),
        Growth::Elements => {
            counts(argument(1)?)?.into_iter().map(|count| count.saturating_mul(ELEMENT_BYTES)).collect()
        }
        Growth::Replace => {
            let (text, replacement) = (lengths(argument(0)?)?, lengths(argument(2)?)?);
            text.into_iter().zip(replacement).map(|(text, to)| (text + 1).saturating_mul(to.max(1))).collect()
        }
    };
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let sum = sizes.into_iter().fold(0_u64, u64::saturating_add);
    if largest <= VALUE_BYTES_MAX && sum <= BATCH_BYTES_MAX {
        return Ok(());
    }
    let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large")
        .detail(format!("A value that a function makes may have {VALUE_BYTES_MAX} bytes."));
    Err(DataFusionError::External(Box::new(error)))
}

/// Counts that a function is asked for; NULL and what is negative make nothing.
fn counts(array: Option<ArrayRef>) -> Result<Vec<u64>> {
    let Some(array) = array else { return Ok(Vec::new()) };
    let array = cast(&array, &DataType::Int64)?;
    let array = array.as_primitive::<Int64Type>();
    Ok(array.iter().map(|count| u64::try_from(count.unwrap_or(0)).unwrap_or(0)).collect())
}

/// Lengths of texts in bytes.
fn lengths(array: Option<ArrayRef>) -> Result<Vec<u64>> {
    let Some(array) = array else { return Ok(Vec::new()) };
    let array = cast(&array, &DataType::LargeUtf8)?;
    let array = array.as_string::<i64>();
    Ok((0..array.len())
        .map(|row| if array.is_null(row) { 0 } else { array.value_length(row).unsigned_abs() })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::common::config::ConfigOptions;
    use datafusion::execution::session_state::SessionStateBuilder;

    fn call(name: &str, args: &[ScalarValue]) -> std::result::Result<ScalarValue, SqlState> {
        let state = SessionStateBuilder::new().with_default_features().build();
        let function = bounded(&state.scalar_functions()[name]);
        let fields: Vec<FieldRef> = args.iter().map(|a| Arc::new(Field::new("a", a.data_type(), true))).collect();
        let scalars: Vec<Option<&ScalarValue>> = args.iter().map(Some).collect();
        let return_field = function
            .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars })
            .unwrap();
        let args = ScalarFunctionArgs {
            args: args.iter().cloned().map(ColumnarValue::Scalar).collect(),
            arg_fields: fields,
            number_rows: 1,
            return_field,
            config_options: Arc::new(ConfigOptions::default()),
        };
        match function.invoke_with_args(args) {
            Ok(value) => Ok(ScalarValue::try_from_array(&value.to_array(1).unwrap(), 0).unwrap()),
            Err(error) => Err(crate::statement::from_engine(error).sqlstate()),
        }
    }

    fn text(value: &str) -> ScalarValue {
        ScalarValue::Utf8(Some(value.to_owned()))
    }

    fn count(value: i64) -> ScalarValue {
        ScalarValue::Int64(Some(value))
    }

    #[test]
    fn small_ones_work_and_large_ones_are_refused_before_they_are_made() {
        assert_eq!(call("repeat", &[text("ab"), count(2)]).unwrap(), text("abab"));
        assert_eq!(call("lpad", &[text("a"), count(3), text("x")]).unwrap(), text("xxa"));
        assert_eq!(call("repeat", &[text("ab"), count(-5)]).unwrap(), text(""));
        for (name, args) in [
            ("repeat", vec![text("ab"), count(2_000_000_000)]),
            ("lpad", vec![text("a"), count(2_000_000_000), text("x")]),
            ("rpad", vec![text("a"), count(i64::MAX), text("x")]),
            ("array_repeat", vec![count(1), count(i64::MAX)]),
            ("replace", vec![text(&"a".repeat(1 << 20)), text("a"), text(&"b".repeat(1 << 20))]),
        ] {
            assert_eq!(call(name, &args), Err(SqlState::PROGRAM_LIMIT_EXCEEDED), "{name}");
        }
    }
}
