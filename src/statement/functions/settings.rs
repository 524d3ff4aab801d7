//! The session's settings as functions: `current_setting`, `set_config`.
//!
//! PostgreSQL 15, section 9.27.1 "Configuration Settings Functions".

use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::Known;
use crate::error::{Error, Result, SqlState};

pub const FUNCTIONS: &[Spec] = &[
    // what set_config did before in the same row is seen
    Spec::new("current_setting", &[&[Arg::Text], &[Arg::Text, Arg::Bool]], Returns::Text, current_setting).volatile(),
    Spec::new("set_config", &[&[Arg::Text, Arg::Text, Arg::Bool]], Returns::Text, set_config)
        .called_on_null()
        .volatile(),
];

fn current_setting(context: &Known, row: &Row<'_>) -> Result<Value> {
    let missing_ok = row.len() > 1 && row.flag(1) == Some(true);
    match context.settings.lock().show(row.text(0).unwrap_or_default()) {
        Ok(value) => Ok(Value::Text(value)),
        Err(_) if missing_ok => Ok(Value::Null),
        Err(error) => Err(error),
    }
}

/// A local change ends with the transaction, which the session sees to.
fn set_config(context: &Known, row: &Row<'_>) -> Result<Value> {
    let Some(name) = row.text(0) else {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "SET requires parameter name"));
    };
    let local = row.flag(2).unwrap_or(false);
    let mut settings = context.settings.lock();
    match row.text(1) {
        Some(value) if local => settings.set_local(name, value)?,
        Some(value) => settings.set(name, value)?,
        None => settings.reset(name)?,
    }
    settings.show(name).map(Value::Text)
}
