//! Arrow columns from iterators, one short name for each type that the sample tables hold.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Date32Array, Decimal128Array, PrimitiveArray, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Field, Schema};

use super::Outcome;
use super::random::DAY;

/// Columns in the making, with the nullability that the Delta schema will state.
#[derive(Default)]
pub struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    pub fn nullable(mut self, name: &str, array: ArrayRef) -> Self {
        self.fields.push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(array);
        self
    }

    pub fn required(mut self, name: &str, array: ArrayRef) -> Self {
        self.fields.push(Field::new(name, array.data_type().clone(), false));
        self.arrays.push(array);
        self
    }

    pub fn batch(self) -> Outcome<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)?)
    }
}

pub fn text<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub fn text_or_null<S: AsRef<str>>(values: impl IntoIterator<Item = Option<S>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

pub fn numbers<T: ArrowPrimitiveType>(values: impl IntoIterator<Item = T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values(values))
}

pub fn numbers_or_null<T: ArrowPrimitiveType>(values: impl IntoIterator<Item = Option<T::Native>>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter(values))
}

pub fn booleans(values: impl IntoIterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<BooleanArray>())
}

pub fn binary(values: impl IntoIterator<Item = Vec<u8>>) -> ArrayRef {
    Arc::new(BinaryArray::from_iter_values(values))
}

/// From unscaled values: cents where `scale` is 2.
pub fn decimals(precision: u8, scale: i8, values: impl IntoIterator<Item = i64>) -> Outcome<ArrayRef> {
    let array = Decimal128Array::from_iter_values(values.into_iter().map(i128::from));
    Ok(Arc::new(array.with_precision_and_scale(precision, scale)?))
}

/// From seconds since 1970.
pub fn timestamps(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    timestamps_or_null(values.into_iter().map(Some))
}

/// From seconds since 1970.
pub fn timestamps_or_null(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(micros(values).with_timezone("UTC"))
}

/// Seconds of the wall clock, wherever the wall stands.
pub fn local_timestamps(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(micros(values.into_iter().map(Some)))
}

fn micros(values: impl IntoIterator<Item = Option<i64>>) -> TimestampMicrosecondArray {
    values.into_iter().map(|value| value.map(|seconds| seconds * 1_000_000)).collect()
}

/// The days in which the given seconds lie.
pub fn dates(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    dates_or_null(values.into_iter().map(Some))
}

pub fn dates_or_null(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(
        values.into_iter().map(|value| value.map(|seconds| seconds.div_euclid(DAY) as i32)).collect::<Date32Array>(),
    )
}
