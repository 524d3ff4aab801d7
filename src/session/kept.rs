//! What a cursor keeps of the rows that it passed: copies of its own, counted by what their values take.
//!
//! Arrays share buffers, and a buffer may hold the bytes of rows that the principal does not see. So neither what is kept
//! nor its count looks at buffers: whether a cursor can go back must not depend on hidden rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::DataType;

/// What a value of no fixed width counts beside its bytes.
const VALUE_BYTES: usize = 16;

/// Bytes that the values of these rows take, those of nested ones included.
pub fn value_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

fn array_bytes(array: &ArrayRef) -> usize {
    let rows = array.len();
    let own = rows * array.data_type().primitive_width().unwrap_or(VALUE_BYTES);
    let beside: usize = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().flatten().map(str::len).sum(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().flatten().map(str::len).sum(),
        DataType::Utf8View => array.as_string_view().iter().flatten().map(str::len).sum(),
        DataType::Binary => array.as_binary::<i32>().iter().flatten().map(<[u8]>::len).sum(),
        DataType::LargeBinary => array.as_binary::<i64>().iter().flatten().map(<[u8]>::len).sum(),
        DataType::BinaryView => array.as_binary_view().iter().flatten().map(<[u8]>::len).sum(),
        DataType::FixedSizeBinary(width) => rows * usize::try_from(*width).unwrap_or(0),
        DataType::Struct(_) => array.as_struct().columns().iter().map(array_bytes).sum(),
        DataType::List(_) => array.as_list::<i32>().iter().flatten().map(|items| array_bytes(&items)).sum(),
        DataType::LargeList(_) => array.as_list::<i64>().iter().flatten().map(|items| array_bytes(&items)).sum(),
        DataType::FixedSizeList(..) => {
            array.as_fixed_size_list().iter().flatten().map(|items| array_bytes(&items)).sum()
        }
        DataType::Map(..) => {
            let entries = array.as_map().iter().flatten();
            entries.map(|entries| entries.columns().iter().map(array_bytes).sum::<usize>()).sum()
        }
        DataType::Dictionary(..) => dictionary_bytes(array),
        _ => 0,
    };
    own + beside
}

/// Each row counts the value that it stands for, however often it is used, and no value counts that none uses.
fn dictionary_bytes(array: &ArrayRef) -> usize {
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    if values.is_empty() {
        return 0;
    }
    let sizes: Vec<usize> = (0..values.len()).map(|at| array_bytes(&values.slice(at, 1))).collect();
    let keys = dictionary.normalized_keys().into_iter().enumerate();
    keys.filter(|(row, _)| array.is_valid(*row)).map(|(_, key)| sizes.get(key).copied().unwrap_or(0)).sum()
}

/// The same rows in buffers of their own, as far as their types allow it.
pub fn compact(batch: &RecordBatch) -> RecordBatch {
    let every = UInt64Array::from_iter_values(0..batch.num_rows() as u64);
    let copied = take_record_batch(batch, &every).unwrap_or_else(|_| batch.clone());
    let own = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
        _ => Arc::clone(column),
    };
    let columns: Vec<ArrayRef> = copied.columns().iter().map(own).collect();
    RecordBatch::try_new(copied.schema(), columns).unwrap_or(copied)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{DictionaryArray, Int64Array, StringArray, StringViewArray};
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    fn batch(array: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([("x", array)]).unwrap()
    }

    #[test]
    fn only_what_is_in_the_rows_counts() {
        let long = "a text that is longer than what a view holds itself";
        let views = StringViewArray::from(vec![Some("short"), Some(long), None]);
        let all = batch(Arc::new(views));
        assert_eq!(value_bytes(&all), 3 * VALUE_BYTES + 5 + long.len());
        let first = all.slice(0, 1);
        assert_eq!(value_bytes(&first), VALUE_BYTES + 5, "the other rows' bytes are none of its own");
        assert_eq!(compact(&first), first);
        assert_eq!(value_bytes(&batch(Arc::new(Int64Array::from(vec![1, 2])))), 16);
        assert_eq!(value_bytes(&batch(Arc::new(StringArray::from(vec!["ab", "c"]))).slice(1, 1)), VALUE_BYTES + 1);
        let words: DictionaryArray<Int32Type> = vec!["hidden and long", "x", "x"].into_iter().collect();
        let words = batch(Arc::new(words));
        let two = value_bytes(&words.slice(1, 2));
        assert_eq!(two, 2 * (VALUE_BYTES + VALUE_BYTES + 1));
    }
}
