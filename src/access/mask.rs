//! Column masks: what is shown in place of a value. Every mask keeps the column's type and cannot fail on any value.
//!
//! Masks run inside the fence, above the row filter: no expression of a user ever meets the value itself.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::hmac;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, Int32Array, Int64Array, LargeBinaryArray, LargeStringArray,
    StringArray, StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use datafusion::common::{Column, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::physical_plan::PhysicalExpr;

use super::filter::{Compiler, is_text};
use crate::catalog::model::MaskMethod;

/// What `redact` shows of text.
const REDACTED: &str = "REDACTED";
/// What `partial` shows of the middle of a text, and of a text that is too short.
const COVERED: &str = "****";
/// How many bytes of the keyed hash a text shows, as twice as many hexadecimal digits: no two values of a mesh collide.
const HASH_TEXT_BYTES: usize = 16;

/// The key of a mesh's hashes: with it, equal values have equal hashes in all of its products; without it, nobody can
/// try values out. HMAC-SHA-256.
#[derive(Clone)]
pub struct MaskKey {
    key: Arc<hmac::Key>,
    /// Tells keys apart without giving them away.
    name: [u8; 32],
}

impl MaskKey {
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let mut name = [0; 32];
        name.copy_from_slice(hmac::sign(&key, b"the key's own name").as_ref());
        Self { key: Arc::new(key), name }
    }

    /// `kind` keeps a text and the number that is written the same apart.
    fn hash(&self, kind: u8, value: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[kind]);
        context.update(value);
        context.sign()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(…)")
    }
}

impl PartialEq for MaskKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for MaskKey {}

impl Hash for MaskKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The mask as an expression over the table's columns by position; `Err` says why the method does not fit the column.
pub(super) fn expression(
    method: &MaskMethod,
    column: &Field,
    compiler: &Compiler<'_>,
    key: Option<&MaskKey>,
) -> std::result::Result<Arc<dyn PhysicalExpr>, String> {
    let data_type = column.data_type();
    let of_column = |mask: Covering| {
        let value = Expr::Column(Column::new_unqualified(column.name()));
        ScalarUDF::new_from_impl(mask).call(vec![value])
    };
    let misfit = || format!("{} cannot mask {} ({data_type})", method.as_str(), column.name());
    let expr = match method {
        MaskMethod::Null => lit(ScalarValue::try_new_null(data_type).map_err(|error| error.strip_backtrace())?),
        MaskMethod::Redact => lit(redacted(data_type).ok_or_else(misfit)?),
        MaskMethod::Partial { first, last } => {
            if !is_text(data_type) {
                return Err(misfit());
            }
            of_column(Covering::new(Cover::Partial { first: *first, last: *last }))
        }
        MaskMethod::Hash => {
            let hashed = is_text(data_type) || is_bytes(data_type);
            if !hashed && !matches!(data_type, DataType::Int32 | DataType::Int64) {
                return Err(misfit());
            }
            let key = key.ok_or("the mesh's key for hashes cannot be had")?;
            of_column(Covering::new(Cover::Hash(key.clone())))
        }
        MaskMethod::Expression(text) => {
            compiler.mask(text, data_type).map_err(|why| format!("mask {text:?} of {}: {why}", column.name()))?
        }
    };
    compiler.physical(&expr)
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// The constant of a type. Nested types have none that means nothing: `null` masks them.
fn redacted(data_type: &DataType) -> Option<ScalarValue> {
    if is_text(data_type) {
        return ScalarValue::from(REDACTED).cast_to(data_type).ok();
    }
    if is_bytes(data_type) {
        return ScalarValue::Binary(Some(Vec::new())).cast_to(data_type).ok();
    }
    let zero = data_type.is_numeric()
        || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
    if zero { ScalarValue::new_zero(data_type).ok() } else { None }
}

/// A mask that is computed from the value.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Covering {
    cover: Cover,
    signature: Signature,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Cover {
    Partial { first: u8, last: u8 },
    Hash(MaskKey),
}

impl Covering {
    fn new(cover: Cover) -> Self {
        Self { cover, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Covering {
    fn name(&self) -> &'static str {
        match self.cover {
            Cover::Partial { .. } => "mask_partial",
            Cover::Hash(_) => "mask_hash",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let [column] = arguments else { return internal_err!("a mask has one argument") };
        Ok(column.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [column] = arguments.args.as_slice() else { return internal_err!("a mask has one argument") };
        let values = column.to_array(arguments.number_rows)?;
        Ok(ColumnarValue::Array(match &self.cover {
            Cover::Partial { first, last } => map_text(&values, |text| partial(text, *first, *last))?,
            Cover::Hash(key) => hashed(&values, key)?,
        }))
    }
}

fn map_text(values: &ArrayRef, masked: impl Fn(&str) -> String) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Utf8 => Arc::new(values.as_string::<i32>().iter().map(|v| v.map(&masked)).collect::<StringArray>()),
        DataType::LargeUtf8 => {
            Arc::new(values.as_string::<i64>().iter().map(|v| v.map(&masked)).collect::<LargeStringArray>())
        }
        DataType::Utf8View => {
            Arc::new(values.as_string_view().iter().map(|v| v.map(&masked)).collect::<StringViewArray>())
        }
        other => return internal_err!("{other} is not text"),
    })
}

/// Both ends of a text of which something stays covered, by characters.
fn partial(text: &str, first: u8, last: u8) -> String {
    let (first, last) = (usize::from(first), usize::from(last));
    // One more than is shown, and the length is not needed beyond that.
    if text.chars().nth(first + last).is_none() {
        return COVERED.to_owned();
    }
    let head = text.char_indices().nth(first).map_or(text.len(), |(at, _)| at);
    let tail = if last == 0 { text.len() } else { text.char_indices().nth_back(last - 1).map_or(0, |(at, _)| at) };
    let (head, tail) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{head}{COVERED}{tail}")
}

fn hashed(values: &ArrayRef, key: &MaskKey) -> Result<ArrayRef> {
    let bytes = |value: Option<&[u8]>| value.map(|value| key.hash(b'b', value).as_ref().to_vec());
    // A hash of the number's digits, so that a product that widens its column keeps its hashes.
    let number = |value: i64| {
        let tag = key.hash(b'n', &value.to_le_bytes());
        tag.as_ref().first_chunk().map_or(0, |first| i64::from_le_bytes(*first))
    };
    Ok(match values.data_type() {
        DataType::Binary => Arc::new(values.as_binary::<i32>().iter().map(bytes).collect::<BinaryArray>()),
        DataType::LargeBinary => Arc::new(values.as_binary::<i64>().iter().map(bytes).collect::<LargeBinaryArray>()),
        DataType::BinaryView => Arc::new(values.as_binary_view().iter().map(bytes).collect::<BinaryViewArray>()),
        DataType::Int64 => {
            let numbers = values.as_primitive::<Int64Type>().iter();
            Arc::new(numbers.map(|v| v.map(|v| number(v) & i64::MAX)).collect::<Int64Array>())
        }
        DataType::Int32 => {
            let numbers = values.as_primitive::<Int32Type>().iter();
            let narrow = |v: i32| i32::try_from(number(i64::from(v)) & i64::from(i32::MAX)).unwrap_or(0);
            Arc::new(numbers.map(|v| v.map(narrow)).collect::<Int32Array>())
        }
        _ => return map_text(values, |text| hex(key.hash(b't', text.as_bytes()).as_ref())),
    })
}

fn hex(hash: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|half| DIGITS.get(usize::from(half)).copied().unwrap_or('0'));
    hash.iter().take(HASH_TEXT_BYTES).flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::arrow::array::{Date32Array, Decimal128Array, Float64Array, RecordBatch, new_null_array};
    use datafusion::arrow::compute::cast;
    use datafusion::arrow::datatypes::{Schema, TimeUnit};

    use super::*;
    use crate::access::principal::Principal;
    use crate::access::testing::user;

    fn masked(method: &MaskMethod, values: &ArrayRef, secret: u8) -> std::result::Result<ArrayRef, String> {
        let schema = Arc::new(Schema::new(vec![Field::new("v", values.data_type().clone(), true)]));
        let (ann, none) = (Principal::from(&user("ann", &[])), BTreeSet::new());
        let compiler = Compiler::new(&ann, &none, &schema)?;
        let expr = expression(method, schema.field(0), &compiler, Some(&MaskKey::new([secret; 32])))?;
        let batch = RecordBatch::try_new(schema, vec![Arc::clone(values)]).unwrap();
        let masked = expr.evaluate(&batch).unwrap().into_array(values.len()).unwrap();
        assert_eq!(masked.data_type(), values.data_type(), "a mask keeps the type");
        Ok(masked)
    }

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<StringArray>())
    }

    fn texts(array: &ArrayRef) -> Vec<Option<String>> {
        cast(array, &DataType::Utf8).unwrap().as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
    }

    const TEXTS: [DataType; 3] = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];

    #[test]
    fn partial_shows_the_ends_and_never_the_length() {
        for (value, first, last, expected) in [
            ("ada@example.com", 1, 0, "a****"),
            ("ada@example.com", 1, 4, "a****.com"),
            ("4111111111111111", 0, 4, "****1111"),
            ("abc", 1, 1, "a****c"),
            ("ab", 1, 1, "****"),
            ("a", 1, 0, "****"),
            ("", 1, 0, "****"),
            ("", 0, 0, "****"),
            ("long", 0, 0, "****"),
            ("žluťoučký", 2, 1, "žl****ý"),
        ] {
            assert_eq!(partial(value, first, last), expected, "{value} {first} {last}");
        }
        let values = text(&[Some("ada@example.com"), None]);
        for data_type in TEXTS {
            let shown = masked(&MaskMethod::PARTIAL, &cast(&values, &data_type).unwrap(), 1).unwrap();
            assert_eq!(texts(&shown), [Some("a****".to_owned()), None]);
        }
        assert!(masked(&MaskMethod::PARTIAL, &(Arc::new(Int64Array::from(vec![1])) as ArrayRef), 1).is_err());
    }

    #[test]
    fn hashes_are_equal_for_equal_values_under_one_key() {
        let values = text(&[Some("ada"), Some("bob"), Some("ada"), None, Some("")]);
        let one = texts(&masked(&MaskMethod::Hash, &values, 1).unwrap());
        assert_eq!((&one[0], &one[3]), (&one[2], &None));
        assert_ne!(one[0], one[1]);
        assert!(one[0].as_ref().is_some_and(|hash| hash.len() == 32) && one[4].is_some());
        for data_type in TEXTS {
            let same = masked(&MaskMethod::Hash, &cast(&values, &data_type).unwrap(), 1).unwrap();
            assert_eq!(texts(&same), one, "however the text is laid out");
        }
        assert_ne!(texts(&masked(&MaskMethod::Hash, &values, 2).unwrap())[0], one[0], "another key");
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(-8), Some(7), None]));
        let hashed = masked(&MaskMethod::Hash, &numbers, 1).unwrap();
        let hashed = hashed.as_primitive::<Int64Type>();
        assert!(hashed.value(0) == hashed.value(2) && hashed.value(0) != hashed.value(1) && hashed.is_null(3));
        assert!(hashed.iter().flatten().all(|value| value >= 0 && value != 7));
        let narrow = masked(&MaskMethod::Hash, &cast(&numbers, &DataType::Int32).unwrap(), 1).unwrap();
        let low = |wide: i64| i32::try_from(wide & i64::from(i32::MAX)).unwrap();
        assert_eq!(narrow.as_primitive::<Int32Type>().value(0), low(hashed.value(0)));
        for data_type in [DataType::Binary, DataType::LargeBinary, DataType::BinaryView] {
            let bytes = masked(&MaskMethod::Hash, &cast(&values, &data_type).unwrap(), 1).unwrap();
            let bytes = cast(&bytes, &DataType::Binary).unwrap();
            let bytes = bytes.as_binary::<i32>();
            assert!(bytes.value(0).len() == 32 && bytes.value(0) == bytes.value(2) && bytes.is_null(3));
        }
        for data_type in [DataType::Int16, DataType::Float64, DataType::Boolean, DataType::Date32] {
            assert!(masked(&MaskMethod::Hash, &new_null_array(&data_type, 1), 1).is_err(), "{data_type}");
        }
    }

    #[test]
    fn redact_says_nothing_of_the_value_not_even_whether_there_is_one() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let decimal = Decimal128Array::from(vec![Some(5), None]).with_precision_and_scale(10, 2).unwrap();
        for (values, expected) in [
            (text(&[Some("x"), None]), "REDACTED"),
            (Arc::new(Int64Array::from(vec![Some(7), None])), "0"),
            (Arc::new(Float64Array::from(vec![Some(7.5), None])), "0.0"),
            (Arc::new(Date32Array::from(vec![Some(7), None])), "1970-01-01"),
            (Arc::new(decimal), "0.00"),
            (cast(&Int64Array::from(vec![Some(7), None]), &utc).unwrap(), "1970-01-01T00:00:00Z"),
            (cast(&Int64Array::from(vec![Some(7), None]), &DataType::Boolean).unwrap(), "false"),
            (cast(&text(&[Some("x"), None]), &DataType::BinaryView).unwrap(), ""),
        ] {
            let shown = masked(&MaskMethod::Redact, &values, 1).unwrap();
            assert_eq!(texts(&shown), vec![Some(expected.to_owned()); 2], "{}", values.data_type());
        }
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        assert!(masked(&MaskMethod::Redact, &new_null_array(&list, 1), 1).is_err());
        assert_eq!(masked(&MaskMethod::Null, &new_null_array(&list, 2), 1).unwrap().null_count(), 2);
    }

    #[test]
    fn a_key_does_not_show() {
        assert_eq!(format!("{:?}", MaskKey::new([7; 32])), "MaskKey(…)");
        assert!(MaskKey::new([7; 32]) == MaskKey::new([7; 32]) && MaskKey::new([7; 32]) != MaskKey::new([8; 32]));
    }
}
