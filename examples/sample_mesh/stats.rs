//! File statistics of an `add` action (Delta protocol, "Per-file Statistics").
//!
//! Sample values have whole seconds, so timestamps lose nothing when they are written with milliseconds.

use chrono::DateTime;
use datafusion::arrow::array::{Array, AsArray, RecordBatch, StructArray};
use datafusion::arrow::compute::{max, max_string, min, min_string};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use serde_json::{Map, Value, json};

/// Longer texts get no bounds; a cut upper bound would have to be rounded up.
const BOUND_BYTES_MAX: usize = 32;

pub fn of(batch: &RecordBatch) -> Value {
    let (lower, upper, nulls) = of_struct(&StructArray::from(batch.clone()));
    json!({ "numRecords": batch.num_rows(), "minValues": lower, "maxValues": upper, "nullCount": nulls })
}

fn of_struct(array: &StructArray) -> (Value, Value, Value) {
    let (mut lower, mut upper, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (field, column) in array.fields().iter().zip(array.columns()) {
        let name = field.name().clone();
        if let Some(inner) = column.as_struct_opt() {
            let (low, high, null) = of_struct(inner);
            lower.insert(name.clone(), low);
            upper.insert(name.clone(), high);
            nulls.insert(name, null);
            continue;
        }
        nulls.insert(name.clone(), json!(column.null_count()));
        if let Some((low, high)) = bounds(column) {
            lower.insert(name.clone(), low);
            upper.insert(name, high);
        }
    }
    (Value::Object(lower), Value::Object(upper), Value::Object(nulls))
}

fn bounds(array: &dyn Array) -> Option<(Value, Value)> {
    macro_rules! primitive {
        ($type:ty, $show:expr) => {{
            let array = array.as_primitive::<$type>();
            Some(($show(min(array)?), $show(max(array)?)))
        }};
    }
    match array.data_type() {
        DataType::Int8 => primitive!(Int8Type, |v| json!(v)),
        DataType::Int16 => primitive!(Int16Type, |v| json!(v)),
        DataType::Int32 => primitive!(Int32Type, |v| json!(v)),
        DataType::Int64 => primitive!(Int64Type, |v| json!(v)),
        DataType::Float32 => primitive!(Float32Type, |v| json!(v)),
        DataType::Float64 => primitive!(Float64Type, |v| json!(v)),
        DataType::Date32 => primitive!(Date32Type, |v| json!(time(i64::from(v) * 86_400_000_000, "%Y-%m-%d"))),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            primitive!(TimestampMicrosecondType, |v| json!(time(v, "%Y-%m-%dT%H:%M:%S%.3fZ")))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            primitive!(TimestampMicrosecondType, |v| json!(time(v, "%Y-%m-%dT%H:%M:%S%.3f")))
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10_i64.pow(u32::from(scale.unsigned_abs())) as f64;
            primitive!(Decimal128Type, |v| json!(v as f64 / unit))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            let short = array.iter().flatten().all(|text| text.len() <= BOUND_BYTES_MAX);
            if short { Some((json!(min_string(array)?), json!(max_string(array)?))) } else { None }
        }
        _ => None,
    }
}

fn time(micros: i64, pattern: &str) -> String {
    DateTime::from_timestamp_micros(micros).map(|time| time.format(pattern).to_string()).unwrap_or_default()
}
