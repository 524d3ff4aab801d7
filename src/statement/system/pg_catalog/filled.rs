//! Rows for one of PostgreSQL's relations, set column by column by name.
//!
//! It owns that the result has exactly the relation's columns. What is not set is NULL, or zero, false or empty where the
//! relation says NOT NULL.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int16Array, Int32Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray, new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;

use super::facts::{self, Shape};
use crate::error::{Error, Result};
use crate::statement::fault::from_engine;

/// Columns that are set so far.
#[must_use]
pub struct Filled {
    shape: &'static Shape,
    rows: usize,
    arrays: HashMap<&'static str, ArrayRef>,
}

impl Filled {
    /// For `rows` rows of a relation.
    ///
    /// # Errors
    /// When PostgreSQL has no such relation.
    pub fn new(namespace: u32, relation: &str, rows: usize) -> Result<Self> {
        let shape = facts::shape(namespace, relation).ok_or_else(|| Error::internal(format_args!("no {relation}")))?;
        Ok(Self { shape, rows, arrays: HashMap::new() })
    }

    /// For rows of a relation of `pg_catalog`.
    ///
    /// # Errors
    /// When PostgreSQL has no such relation.
    pub fn catalog(relation: &str, rows: usize) -> Result<Self> {
        Self::new(facts::PG_CATALOG_OID, relation, rows)
    }

    /// A column as it is.
    pub fn array(self, name: &'static str, array: ArrayRef) -> Self {
        self.set(name, array)
    }

    fn set(mut self, name: &'static str, array: ArrayRef) -> Self {
        self.arrays.insert(name, array);
        self
    }

    pub fn oids(self, name: &'static str, values: impl IntoIterator<Item = u32>) -> Self {
        self.set(name, Arc::new(Int64Array::from_iter_values(values.into_iter().map(i64::from))))
    }

    pub fn texts<S: AsRef<str>>(self, name: &'static str, values: impl IntoIterator<Item = Option<S>>) -> Self {
        self.set(name, Arc::new(StringArray::from_iter(values)))
    }

    /// Texts that are never NULL.
    pub fn names<S: AsRef<str>>(self, name: &'static str, values: impl IntoIterator<Item = S>) -> Self {
        self.set(name, Arc::new(StringArray::from_iter_values(values)))
    }

    pub fn chars(self, name: &'static str, values: impl IntoIterator<Item = char>) -> Self {
        let mut buffer = [0; 4];
        let texts: Vec<String> = values.into_iter().map(|value| value.encode_utf8(&mut buffer).to_owned()).collect();
        self.names(name, texts)
    }

    pub fn bools(self, name: &'static str, values: impl IntoIterator<Item = bool>) -> Self {
        self.set(name, Arc::new(values.into_iter().map(Some).collect::<BooleanArray>()))
    }

    pub fn int2s(self, name: &'static str, values: impl IntoIterator<Item = i16>) -> Self {
        self.set(name, Arc::new(Int16Array::from_iter_values(values)))
    }

    pub fn int4s(self, name: &'static str, values: impl IntoIterator<Item = Option<i32>>) -> Self {
        self.set(name, Arc::new(Int32Array::from_iter(values)))
    }

    pub fn int8s(self, name: &'static str, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.set(name, Arc::new(Int64Array::from_iter(values)))
    }

    pub fn float4s(self, name: &'static str, values: impl IntoIterator<Item = f32>) -> Self {
        self.set(name, Arc::new(Float32Array::from_iter_values(values)))
    }

    /// Timestamps with time zone.
    pub fn moments(self, name: &'static str, values: impl IntoIterator<Item = Option<DateTime<Utc>>>) -> Self {
        let micros = values.into_iter().map(|value| value.map(|value| value.timestamp_micros()));
        self.set(name, Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
    }

    /// Lists of texts; `None` is NULL.
    pub fn text_lists(self, name: &'static str, values: impl IntoIterator<Item = Option<Vec<String>>>) -> Self {
        self.lists(name, values, |items| Arc::new(StringArray::from_iter_values(items)))
    }

    pub fn int2_lists(self, name: &'static str, values: impl IntoIterator<Item = Option<Vec<i16>>>) -> Self {
        self.lists(name, values, |items| Arc::new(Int16Array::from(items)))
    }

    pub fn oid_lists(self, name: &'static str, values: impl IntoIterator<Item = Option<Vec<u32>>>) -> Self {
        self.lists(name, values, |items| Arc::new(Int64Array::from_iter_values(items.into_iter().map(i64::from))))
    }

    fn lists<T>(
        self,
        name: &'static str,
        values: impl IntoIterator<Item = Option<Vec<T>>>,
        items: impl FnOnce(Vec<T>) -> ArrayRef,
    ) -> Self {
        let (mut all, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            valid.push(value.is_some());
            let value = value.unwrap_or_default();
            lengths.push(value.len());
            all.extend(value);
        }
        let items = items(all);
        let item = match self.shape.columns.field_with_name(name).map(Field::data_type) {
            Ok(DataType::List(item)) => Arc::clone(item),
            _ => Arc::new(Field::new_list_field(items.data_type().clone(), true)),
        };
        let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        self.set(name, Arc::new(ListArray::new(item, offsets, items, nulls)))
    }

    /// The same value in all rows, as PostgreSQL writes it.
    pub fn all(self, name: &'static str, value: &str) -> Self {
        let Ok(field) = self.shape.columns.field_with_name(name) else { return self };
        let one = facts::value(field, value).and_then(|one| ScalarValue::try_from_array(&one, 0).map_err(from_engine));
        let array = one.and_then(|one| one.to_array_of_size(self.rows).map_err(from_engine));
        // where it is no value of the column, the column is too short, and `finish` refuses it
        let array = array.unwrap_or_else(|_| new_null_array(field.data_type(), 0));
        self.set(name, array)
    }

    /// All columns of the relation.
    ///
    /// # Errors
    /// When what was set is not what the relation has, which tests rule out.
    pub fn finish(mut self) -> Result<RecordBatch> {
        let fields = self.shape.columns.fields();
        let arrays = fields.iter().map(|field| match self.arrays.remove(field.name().as_str()) {
            Some(array) => Ok(array),
            None => unset(field, self.rows),
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        if let Some(foreign) = self.arrays.keys().next() {
            return Err(Error::internal(format_args!("{} has no column {foreign}", self.shape.name)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.shape.columns), arrays, &options);
        batch.map_err(|error| Error::internal(format_args!("{}: {error}", self.shape.name)))
    }
}

fn unset(field: &Field, rows: usize) -> Result<ArrayRef> {
    if field.is_nullable() {
        return Ok(new_null_array(field.data_type(), rows));
    }
    let value = match field.data_type() {
        DataType::Boolean => ScalarValue::Boolean(Some(false)),
        DataType::Utf8 => ScalarValue::Utf8(Some(String::new())),
        DataType::List(item) => return empty_lists(item, rows),
        other => ScalarValue::new_zero(other).map_err(from_engine)?,
    };
    value.to_array_of_size(rows).map_err(from_engine)
}

fn empty_lists(item: &FieldRef, rows: usize) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::<i32>::new_zeroed(rows);
    let items = new_null_array(item.data_type(), 0);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, None).map_err(Error::internal)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Array, AsArray};

    #[test]
    fn what_is_not_set_is_null_or_empty() {
        let rows = Filled::catalog("pg_index", 2).unwrap().oids("indexrelid", [7, 8]).all("indisunique", "t");
        let rows = rows.int2_lists("indkey", [Some(vec![1, 2]), Some(vec![3])]).finish().unwrap();
        let column = |name: &str| rows.column_by_name(name).unwrap();
        assert_eq!((rows.num_rows(), rows.num_columns()), (2, 20));
        assert!(column("indisunique").as_boolean().value(1) && !column("indisprimary").as_boolean().value(0));
        assert!(column("indpred").is_null(0));
        assert_eq!(column("indkey").as_list::<i32>().value(0).len(), 2);
        assert_eq!(column("indclass").as_list::<i32>().value(1).len(), 0);
    }

    #[test]
    fn what_the_relation_has_not_is_refused() {
        assert!(Filled::catalog("pg_index", 1).unwrap().oids("nothing", [1]).finish().is_err());
        assert!(Filled::catalog("pg_index", 2).unwrap().oids("indexrelid", [1]).finish().is_err());
        assert!(Filled::catalog("pg_nothing", 2).is_err());
    }
}
