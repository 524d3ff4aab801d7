//! A catalog relation as a table: one batch in memory, and a builder for such batches.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::{Error, Result};

/// The rows of one relation for one principal.
#[derive(Debug)]
pub struct SystemTable {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl SystemTable {
    pub fn new(batch: RecordBatch) -> Self {
        Self::of(batch.schema(), vec![batch])
    }

    /// A relation in several parts, all with this schema.
    pub fn of(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let plan: Arc<dyn ExecutionPlan> =
            MemorySourceConfig::try_new_exec(std::slice::from_ref(&self.batches), self.schema(), projection.cloned())?;
        Ok(plan)
    }
}

/// Collects columns, one call each, in the relation's order.
#[derive(Default)]
#[must_use]
pub struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    pub fn new() -> Self {
        Self::default()
    }

    fn push(mut self, name: &str, data_type: DataType, nullable: bool, array: ArrayRef) -> Self {
        self.fields.push(Field::new(name, data_type, nullable));
        self.arrays.push(array);
        self
    }

    pub fn text<S: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = Option<S>>) -> Self {
        self.push(name, DataType::Utf8, true, Arc::new(StringArray::from_iter(values)))
    }

    /// A text array.
    pub fn texts<'a>(self, name: &str, values: impl IntoIterator<Item = &'a [String]>) -> Self {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for list in values {
            for value in list {
                builder.values().append_value(value);
            }
            builder.append(true);
        }
        let array = builder.finish();
        let data_type = datafusion::arrow::array::Array::data_type(&array).clone();
        self.push(name, data_type, true, Arc::new(array))
    }

    pub fn int4(self, name: &str, values: impl IntoIterator<Item = Option<i32>>) -> Self {
        self.push(name, DataType::Int32, true, Arc::new(Int32Array::from_iter(values)))
    }

    pub fn int8(self, name: &str, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.push(name, DataType::Int64, true, Arc::new(Int64Array::from_iter(values)))
    }

    pub fn float8(self, name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        self.push(name, DataType::Float64, true, Arc::new(Float64Array::from_iter(values)))
    }

    /// A column that is never NULL.
    pub fn float8_not_null(self, name: &str, values: impl IntoIterator<Item = f64>) -> Self {
        self.push(name, DataType::Float64, false, Arc::new(Float64Array::from_iter_values(values)))
    }

    pub fn bool(self, name: &str, values: impl IntoIterator<Item = Option<bool>>) -> Self {
        self.push(name, DataType::Boolean, true, Arc::new(values.into_iter().collect::<BooleanArray>()))
    }

    /// A timestamp with time zone.
    pub fn timestamp(self, name: &str, values: impl IntoIterator<Item = Option<DateTime<Utc>>>) -> Self {
        let micros = values.into_iter().map(|value| value.map(|v| v.timestamp_micros()));
        let array = micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
        let data_type = datafusion::arrow::array::Array::data_type(&array).clone();
        self.push(name, data_type, true, Arc::new(array))
    }

    pub fn finish(self) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays).map_err(Error::internal)
    }
}
