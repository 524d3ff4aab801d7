//! SHOW name and SHOW ALL (PostgreSQL 15, SQL command SHOW).

use datafusion::arrow::datatypes::SchemaRef;

use super::{text_columns, text_rows};
use crate::error::Result;
use crate::settings::Settings;
use crate::statement::Rows;
use crate::statement::context::Context;

pub fn schema(name: &str) -> SchemaRef {
    text_columns(&[&Settings::spelled(name)])
}

pub fn all_schema() -> SchemaRef {
    text_columns(&["name", "setting", "description"])
}

/// # Errors
/// `42704` when there is no such setting.
pub fn show(name: &str, context: &Context) -> Result<Rows> {
    let value = context.settings.lock().show(name)?;
    text_rows(schema(name), &[vec![value]], "SHOW")
}

pub fn show_all(context: &Context) -> Result<Rows> {
    let rows: Vec<Vec<String>> = context
        .settings
        .lock()
        .all()
        .into_iter()
        .map(|(name, setting, description)| vec![name, setting, description.to_owned()])
        .collect();
    text_rows(all_schema(), &rows, "SHOW")
}
