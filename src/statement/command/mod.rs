//! Commands that are no queries, one file each.

pub mod call;
pub mod copy;
mod expiry;
pub mod explain;
mod objects;
pub mod privileges;
pub mod requests;
pub mod show;

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;

use super::Rows;
use crate::error::{Error, Result};

/// A schema of text columns.
fn text_columns(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

/// Rows of text, already complete.
fn text_rows(schema: SchemaRef, rows: &[Vec<String>], tag: &'static str) -> Result<Rows> {
    let columns = (0..schema.fields().len())
        .map(|column| {
            let values = rows.iter().map(|row| row.get(column).map(String::as_str));
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        })
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(Error::internal)?;
    let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), stream::iter([Ok(batch)]));
    Ok(Rows { schema, stream: Box::pin(stream), tag, guard: None, notice: None })
}
