//! Casts to `json` and `jsonb`, and from `jsonb` to numbers and booleans (PostgreSQL 15, 8.14 "JSON Types").

use std::hash::Hash;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as EngineResult, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::kind::{Column, Datum, Kind};
use super::function::{Form, Give, Texts, form};
use super::path::type_name;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::PG_TYPE_KEY;
use crate::pgtype::read::json::{self, Value};
use crate::pgtype::show;
use crate::pgtype::show::json::text_of;
use crate::statement::functions::call::{to_engine, type_of};

/// What a cast to JSON is.
pub enum Meaning {
    /// The value is what it is, under another name.
    Same,
    /// A text is read, or a value of `json` brought into `jsonb`'s form.
    Read(Arc<ScalarUDF>),
}

/// The cast of a value to one of the two types.
///
/// # Errors
/// `42846` where PostgreSQL has no such cast.
pub fn to_json(source: &Field, target: Form) -> EngineResult<Meaning> {
    let read = || Meaning::Read(reader(target));
    match form(source) {
        Some(own) if own == target && source.data_type().is_string() => Ok(Meaning::Same),
        Some(Form::Jsonb) if source.data_type().is_string() => Ok(Meaning::Same),
        Some(Form::Json) => Ok(read()),
        // a struct of a table
        Some(Form::Jsonb) => {
            let Some(function) = super::scalar("to_jsonb") else { return exec_err!("to_jsonb is not there") };
            Ok(Meaning::Read(function))
        }
        None if source.data_type().is_string() || source.data_type().is_null() => Ok(read()),
        None => {
            let message = format!("cannot cast type {} to {}", type_of(source), target.name());
            Err(to_engine(Error::new(SqlState::CANNOT_COERCE, message)))
        }
    }
}

fn reader(form: Form) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Cast { to: To::Form(form), signature: signature() }))
}

/// The function that gives the text of the number or the boolean that a `jsonb` is, for a cast to such a type; `None` for
/// casts that are not from JSON, or are to text.
///
/// # Errors
/// `42846` where PostgreSQL has no such cast.
pub fn from_json(source: &Field, target: &Field) -> EngineResult<Option<Arc<ScalarUDF>>> {
    let Some(own) = form(source).filter(|_| source.data_type().is_string()) else { return Ok(None) };
    let declared = target.metadata().contains_key(PG_TYPE_KEY);
    match Kind::of(target.data_type()) {
        Some(Kind::Text) => Ok(None),
        Some(
            kind @ (Kind::Bool | Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric | Kind::Float4 | Kind::Float8),
        ) if own == Form::Jsonb && !declared => {
            Ok(Some(Arc::new(ScalarUDF::new_from_impl(Cast { to: To::Text(kind), signature: signature() }))))
        }
        _ => {
            let message = format!("cannot cast type {} to {}", own.name(), type_of(target));
            Err(to_engine(Error::new(SqlState::CANNOT_COERCE, message)))
        }
    }
}

fn signature() -> Signature {
    Signature::any(1, Volatility::Immutable)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum To {
    Form(Form),
    Text(Kind),
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    to: To,
    signature: Signature,
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &'static str {
        match self.to {
            To::Form(Form::Json) => "json_in",
            To::Form(Form::Jsonb) => "jsonb_in",
            To::Text(_) => "jsonb_scalar",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        let gives = match self.to {
            To::Form(form) => Give::Of(form),
            To::Text(_) => Give::Text,
        };
        Ok(Arc::new(gives.field(self.name())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Scalar(value) => {
                let one = self.all(&value.to_array()?).map_err(to_engine)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(self.all(values).map_err(to_engine)?)),
        }
    }
}

impl Cast {
    fn all(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let column = Column::new(values)?;
        let (mut texts, mut buffer) = (Texts::new(), BytesMut::new());
        for row in 0..values.len() {
            let Datum::Text(text) = column.get(row) else {
                texts.push(None)?;
                continue;
            };
            buffer.clear();
            match self.to {
                To::Form(Form::Json) => {
                    json::check(&text)?;
                    buffer.put_slice(text.as_bytes());
                }
                To::Form(Form::Jsonb) => show::json::write(&json::parse(&text)?, &mut buffer)?,
                To::Text(kind) => scalar(&text, kind, &mut buffer)?,
            }
            texts.push(Some(text_of(&buffer)?))?;
        }
        Ok(texts.finish())
    }
}

fn scalar(text: &str, kind: Kind, out: &mut BytesMut) -> Result<()> {
    let item = json::parse(text)?;
    match (&item.value, kind) {
        (Value::Bool(_), Kind::Bool) => {}
        (Value::Number(_), kind) if kind != Kind::Bool => {}
        (value, kind) => {
            let message = format!("cannot cast jsonb {} to type {}", type_name(value), kind.name());
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
    }
    out.put_slice(item.raw.as_bytes());
    Ok(())
}
