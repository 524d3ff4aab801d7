//! Functions that answer about the session: who asks, which settings hold, what server this is.
//!
//! PostgreSQL 15, section 9.26 "System Information Functions" and 9.27.1 "Configuration Settings Functions". They are made
//! for each statement from its [`Context`], so nothing a client sends can change what they say about identity.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::context::Context;
use crate::error::{Error, SqlState};
use crate::settings::{SERVER_VERSION, Settings};

/// The session function of this name, if there is one.
pub fn session_function(name: &str, context: &Context) -> Option<Arc<ScalarUDF>> {
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
    let user = || text(&context.principal.name);
    let constant = |value: ScalarValue| Some(Arc::new(ScalarUDF::new_from_impl(Constant::new(name, value))));
    match name {
        "current_user" | "session_user" | "user" | "current_role" => constant(user()),
        "current_catalog" | "current_database" => constant(text(&context.facts.database)),
        "current_schema" => constant(current_schema(context)),
        "version" => constant(text(&format!("PostgreSQL {SERVER_VERSION}"))),
        "pg_backend_pid" => constant(ScalarValue::Int32(Some(context.facts.pid))),
        // no advisory lock is ever taken, so there is none to give back
        "pg_advisory_unlock_all" => constant(text("")),
        "pg_is_in_recovery" => constant(ScalarValue::Boolean(Some(false))),
        "current_setting" => Some(Arc::new(ScalarUDF::new_from_impl(SettingFunction::current_setting(context)))),
        "set_config" => Some(Arc::new(ScalarUDF::new_from_impl(SettingFunction::set_config(context)))),
        _ => None,
    }
}

/// The first schema of the search path that exists for the principal.
fn current_schema(context: &Context) -> ScalarValue {
    let exists =
        |schema: &String| context.visible.schemas().contains(schema.as_str()) || schema == super::system::SCHEMA;
    ScalarValue::Utf8(context.search_path().into_iter().find(exists))
}

/// A function without arguments whose value holds for the statement.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: String,
    value: ScalarValue,
    signature: Signature,
}

impl Constant {
    fn new(name: &str, value: ScalarValue) -> Self {
        Self { name: name.to_owned(), value, signature: Signature::nullary(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// A function over the session's settings, called for each row.
struct SettingFunction {
    name: &'static str,
    context: Context,
    signature: Signature,
    call: fn(&mut Settings, &Row<'_>) -> crate::error::Result<Option<String>>,
}

impl SettingFunction {
    /// `current_setting(name [, missing_ok])`.
    fn current_setting(context: &Context) -> Self {
        let signature = Signature::one_of(
            vec![
                TypeSignature::Exact(vec![DataType::Utf8]),
                TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]),
            ],
            Volatility::Stable,
        );
        Self { name: "current_setting", context: context.clone(), signature, call: current_setting }
    }

    /// `set_config(name, value, is_local)`. A local change ends with the transaction, which the session sees to.
    fn set_config(context: &Context) -> Self {
        let signature = Signature::exact(vec![DataType::Utf8, DataType::Utf8, DataType::Boolean], Volatility::Volatile);
        Self { name: "set_config", context: context.clone(), signature, call: set_config }
    }
}

impl ScalarUDFImpl for SettingFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each_row(&args, |row| (self.call)(&mut self.context.settings.lock(), row))
    }
}

fn current_setting(settings: &mut Settings, row: &Row<'_>) -> crate::error::Result<Option<String>> {
    let Some(name) = row.text(0) else { return Ok(None) };
    let missing_ok = row.arrays.len() > 1 && row.flag(1).unwrap_or(false);
    match settings.show(&name) {
        Ok(value) => Ok(Some(value)),
        Err(_) if missing_ok => Ok(None),
        Err(error) => Err(error),
    }
}

fn set_config(settings: &mut Settings, row: &Row<'_>) -> crate::error::Result<Option<String>> {
    let Some(name) = row.text(0) else {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "SET requires parameter name"));
    };
    let local = row.flag(2).unwrap_or(false);
    match row.text(1) {
        Some(value) if local => settings.set_local(&name, &value)?,
        Some(value) => settings.set(&name, &value)?,
        None => settings.reset(&name)?,
    }
    settings.show(&name).map(Some)
}

impl std::fmt::Debug for SettingFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The same function of the same session.
impl PartialEq for SettingFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.context.facts.pid == other.context.facts.pid
    }
}

impl Eq for SettingFunction {}

impl Hash for SettingFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.context.facts.pid).hash(state);
    }
}

/// One row of a function's arguments.
struct Row<'a> {
    arrays: &'a [Arc<dyn Array>],
    index: usize,
}

impl Row<'_> {
    fn text(&self, argument: usize) -> Option<String> {
        let array = self.arrays[argument].as_string::<i32>();
        (!array.is_null(self.index)).then(|| array.value(self.index).to_owned())
    }

    fn flag(&self, argument: usize) -> Option<bool> {
        let array = self.arrays[argument].as_boolean();
        (!array.is_null(self.index)).then(|| array.value(self.index))
    }
}

/// Calls `f` for each row and collects the texts.
fn each_row(
    args: &ScalarFunctionArgs,
    f: impl Fn(&Row<'_>) -> crate::error::Result<Option<String>>,
) -> Result<ColumnarValue> {
    let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if scalar { 1 } else { args.number_rows };
    let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
    let mut builder = StringBuilder::new();
    for index in 0..rows {
        let value = f(&Row { arrays: &arrays, index }).map_err(|e| DataFusionError::External(Box::new(e)))?;
        builder.append_option(value);
    }
    let array = builder.finish();
    if scalar {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(Arc::new(array)))
}
