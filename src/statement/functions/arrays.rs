//! Functions over arrays, with PostgreSQL's subscripts and its rules for NULL.
//!
//! PostgreSQL 15, section 9.19 "Array Functions and Operators" (`array_userfuncs.c`, `arrayfuncs.c`). An array's first
//! element has the subscript 1; an `int2vector`'s and an `oidvector`'s has 0. An empty array has no dimensions.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int32Builder, ListArray, ListBuilder, StringBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result as EngineResult, exec_err};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::call::{is_text, no_such_function, to_engine};
use super::texts;
use crate::error::{Error, SqlState};
use crate::pgtype::{self, PG_TYPE_KEY};

/// The function of this name, if it is one of these.
pub fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let kind = match name {
        "array_length" => Kind::Length,
        "array_lower" => Kind::Lower,
        "array_upper" => Kind::Upper,
        "array_ndims" => Kind::Dimensions,
        "array_dims" => Kind::Shape,
        "cardinality" => Kind::Cardinality,
        "array_position" => Kind::Position,
        "array_positions" => Kind::Positions,
        "array_to_string" => Kind::ToString,
        "string_to_array" => Kind::FromString,
        _ => return None,
    };
    let signature = Signature::user_defined(Volatility::Immutable);
    Some(Arc::new(ScalarUDF::new_from_impl(ArrayFunction { kind, signature })))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Length,
    Lower,
    Upper,
    Dimensions,
    Shape,
    Cardinality,
    Position,
    Positions,
    ToString,
    FromString,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Length => "array_length",
            Self::Lower => "array_lower",
            Self::Upper => "array_upper",
            Self::Dimensions => "array_ndims",
            Self::Shape => "array_dims",
            Self::Cardinality => "cardinality",
            Self::Position => "array_position",
            Self::Positions => "array_positions",
            Self::ToString => "array_to_string",
            Self::FromString => "string_to_array",
        }
    }

    /// The forms in which arguments of these types are held, `None` where there is no such function.
    fn arguments(self, types: &[DataType]) -> Option<Vec<DataType>> {
        let number = |t: &DataType| t.is_integer() || t.is_null() || is_text(t);
        let text = |t: &DataType| t.is_null() || is_text(t);
        match (self, types) {
            (Self::Length | Self::Lower | Self::Upper, [array, dimension]) if number(dimension) => {
                Some(vec![as_list(array)?, DataType::Int64])
            }
            (Self::Dimensions | Self::Shape | Self::Cardinality, [array]) => Some(vec![as_list(array)?]),
            (Self::Position | Self::Positions, [array, element]) => comparable(array, element),
            (Self::Position, [array, element, start]) if number(start) => {
                let mut held = comparable(array, element)?;
                held.push(DataType::Int64);
                Some(held)
            }
            (Self::ToString, [array, rest @ ..]) if matches!(rest.len(), 1 | 2) && rest.iter().all(text) => {
                let texts = rest.iter().map(|_| DataType::Utf8);
                Some(std::iter::once(as_list(array)?).chain(texts).collect())
            }
            (Self::FromString, texts) if matches!(texts.len(), 2 | 3) && texts.iter().all(text) => {
                Some(vec![DataType::Utf8; texts.len()])
            }
            _ => None,
        }
    }

    fn result(self) -> DataType {
        let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
        match self {
            Self::Length | Self::Lower | Self::Upper | Self::Dimensions | Self::Cardinality | Self::Position => {
                DataType::Int32
            }
            Self::Positions => list(DataType::Int32),
            Self::Shape | Self::ToString => DataType::Utf8,
            Self::FromString => list(DataType::Utf8),
        }
    }
}

/// The list type that arrays of this type are cast to, level by level.
pub fn as_list(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            let inner = as_list(item.data_type()).unwrap_or_else(|| item.data_type().clone());
            Some(DataType::List(Arc::new(item.as_ref().clone().with_data_type(inner))))
        }
        DataType::Null => Some(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
        _ => None,
    }
}

/// An array and an element in the type in which both are compared.
fn comparable(array: &DataType, element: &DataType) -> Option<Vec<DataType>> {
    let DataType::List(item) = as_list(array)? else { return None };
    let common =
        if element.is_null() { item.data_type().clone() } else { comparison_coercion(item.data_type(), element)? };
    let list = DataType::List(Arc::new(item.as_ref().clone().with_data_type(common.clone())));
    Some(vec![list, common])
}

/// The first subscript of arrays of a field.
pub fn lower_bound(field: &Field) -> i32 {
    let vector = field.metadata().get(PG_TYPE_KEY).is_some_and(|name| name == "int2vector" || name == "oidvector");
    i32::from(!vector)
}

/// Lengths of the dimensions of one row's array, of which PostgreSQL's are rectangular; none for an empty one.
pub fn dimensions(list: &ListArray, row: usize) -> Vec<i32> {
    let length = list.value_length(row);
    if length == 0 {
        return Vec::new();
    }
    let mut lengths = vec![length];
    if let Some(inner) = list.values().as_list_opt::<i32>() {
        let start = list.value_offsets()[row] as usize;
        lengths.extend(dimensions(inner, start));
    }
    lengths
}

#[derive(Debug)]
struct ArrayFunction {
    kind: Kind,
    signature: Signature,
}

impl PartialEq for ArrayFunction {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for ArrayFunction {}

impl Hash for ArrayFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl ScalarUDFImpl for ArrayFunction {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(self.kind.result())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        if self.kind.arguments(&types).is_none() {
            return Err(no_such_function(self.name(), args.arg_fields));
        }
        Ok(Arc::new(Field::new(self.name(), self.kind.result(), true)))
    }

    // what does not fit is refused where the result's type is asked for: an error here loses its SQLSTATE
    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        Ok(self.kind.arguments(arg_types).unwrap_or_else(|| arg_types.to_vec()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<EngineResult<Vec<_>>>()?;
        let lower = args.arg_fields.first().map_or(1, |field| lower_bound(field));
        let result = match self.kind {
            Kind::FromString => split(&arrays, rows),
            Kind::ToString => join(&arrays, rows)?,
            Kind::Position | Kind::Positions => positions(self.kind, &arrays, lower, rows)?,
            Kind::Shape => shapes(list(&arrays)?, lower, rows),
            kind => numbers(kind, list(&arrays)?, arrays.get(1), lower, rows),
        };
        if scalar {
            return Ok(ColumnarValue::Scalar(pgtype::constant(&result)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn list(arrays: &[ArrayRef]) -> EngineResult<&ListArray> {
    if let Some(list) = arrays.first().and_then(|array| array.as_list_opt::<i32>()) {
        Ok(list)
    } else {
        exec_err!("an array function was planned for other arguments")
    }
}

fn numbers(kind: Kind, list: &ListArray, argument: Option<&ArrayRef>, lower: i32, rows: usize) -> ArrayRef {
    let argument = argument.and_then(|array| array.as_primitive_opt::<Int64Type>());
    let answer = |row: usize| {
        if list.is_null(row) {
            return None;
        }
        let lengths = dimensions(list, row);
        let length = || {
            let argument = argument?;
            let dimension = (!argument.is_null(row)).then(|| argument.value(row))?;
            lengths.get(usize::try_from(dimension.checked_sub(1)?).ok()?).copied()
        };
        match kind {
            Kind::Length => length(),
            Kind::Upper => length().map(|length| length + lower - 1),
            Kind::Lower => length().map(|_| lower),
            Kind::Dimensions => (!lengths.is_empty()).then_some(lengths.len() as i32),
            _ => Some(if lengths.is_empty() { 0 } else { lengths.iter().product() }),
        }
    };
    Arc::new((0..rows).map(answer).collect::<Int32Array>())
}

/// `[1:2][1:3]`.
fn shapes(list: &ListArray, lower: i32, rows: usize) -> ArrayRef {
    let mut builder = StringBuilder::new();
    for row in 0..rows {
        let lengths = if list.is_null(row) { Vec::new() } else { dimensions(list, row) };
        if lengths.is_empty() {
            builder.append_null();
        } else {
            let written: Vec<String> =
                lengths.iter().map(|length| format!("[{lower}:{}]", length + lower - 1)).collect();
            builder.append_value(written.concat());
        }
    }
    Arc::new(builder.finish())
}

/// Where an element stands, NULL being equal to NULL.
fn positions(kind: Kind, arrays: &[ArrayRef], lower: i32, rows: usize) -> EngineResult<ArrayRef> {
    let list = list(arrays)?;
    if matches!(list.value_type(), DataType::List(_)) {
        let message = "searching for elements in multidimensional arrays is not supported";
        return Err(to_engine(Error::unsupported(message)));
    }
    let element = &arrays[1];
    let start = arrays.get(2).and_then(|array| array.as_primitive_opt::<Int64Type>());
    let mut first = Int32Builder::with_capacity(rows);
    let mut all = ListBuilder::new(Int32Builder::new());
    for row in 0..rows {
        if list.is_null(row) {
            first.append_null();
            all.append(false);
            continue;
        }
        let from = match start {
            Some(start) if start.is_null(row) => {
                let message = "initial position must not be null";
                return Err(to_engine(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message)));
            }
            Some(start) => start.value(row),
            None => i64::from(lower),
        };
        let equal = equal_to(&list.value(row), element, row)?;
        let mut found = (0..equal.len())
            .filter(|&index| equal.value(index))
            .map(|index| index as i32 + lower)
            .filter(|&position| i64::from(position) >= from);
        if kind == Kind::Position {
            first.append_option(found.next());
        } else {
            found.for_each(|position| all.values().append_value(position));
            all.append(true);
        }
    }
    Ok(if kind == Kind::Position { Arc::new(first.finish()) } else { Arc::new(all.finish()) })
}

fn equal_to(items: &ArrayRef, element: &ArrayRef, row: usize) -> EngineResult<BooleanArray> {
    let element = if element.data_type() == items.data_type() {
        element.slice(row, 1)
    } else {
        cast(&element.slice(row, 1), items.data_type())?
    };
    Ok(not_distinct(items, &datafusion::arrow::array::Scalar::new(element))?)
}

/// `array_to_string`: NULL elements are left out unless a text stands for them.
fn join(arrays: &[ArrayRef], rows: usize) -> EngineResult<ArrayRef> {
    let list = list(arrays)?;
    let (level, offsets) = innermost(list);
    let items = texts::of(&level)?;
    let separator = arrays[1].as_string::<i32>();
    let for_null = arrays.get(2).map(AsArray::as_string::<i32>);
    let mut builder = StringBuilder::new();
    for row in 0..rows {
        if list.is_null(row) || separator.is_null(row) {
            builder.append_null();
            continue;
        }
        let for_null = for_null.and_then(|texts| (!texts.is_null(row)).then(|| texts.value(row)));
        let (start, end) = (offsets[row], offsets[row + 1]);
        let written: Vec<&str> = (start..end)
            .filter_map(|item| if items.is_null(item) { for_null } else { Some(items.value(item)) })
            .collect();
        builder.append_value(written.join(separator.value(row)));
    }
    Ok(Arc::new(builder.finish()))
}

/// The elements of the innermost lists, and where those of each row begin and end.
pub fn innermost(list: &ListArray) -> (ArrayRef, Vec<usize>) {
    let mut offsets: Vec<usize> = list.value_offsets().iter().map(|&offset| offset as usize).collect();
    let mut values = Arc::clone(list.values());
    while let Some(inner) = values.as_list_opt::<i32>() {
        let of_inner = inner.value_offsets();
        offsets = offsets.into_iter().map(|offset| of_inner[offset] as usize).collect();
        let next = Arc::clone(inner.values());
        values = next;
    }
    (values, offsets)
}

/// `string_to_array`: without separator into characters, with an empty one not at all.
pub fn split(arrays: &[ArrayRef], rows: usize) -> ArrayRef {
    let texts: Vec<_> = arrays.iter().map(AsArray::as_string::<i32>).collect();
    let value = |argument: usize, row: usize| {
        texts.get(argument).and_then(|texts| (!texts.is_null(row)).then(|| texts.value(row)))
    };
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in 0..rows {
        let Some(text) = value(0, row) else {
            builder.append(false);
            continue;
        };
        let is_null = |part: &str| value(2, row) == Some(part);
        let mut add = |part: &str| builder.values().append_option((!is_null(part)).then_some(part));
        match value(1, row) {
            _ if text.is_empty() => {}
            None => {
                let mut buffer = [0; 4];
                text.chars().for_each(|character| add(character.encode_utf8(&mut buffer)));
            }
            Some("") => add(text),
            Some(separator) => text.split(separator).for_each(add),
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::Int32Type;

    #[test]
    fn dimensions_and_innermost_elements() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), Some(2)]), Some(vec![])]);
        assert_eq!((dimensions(&list, 0), dimensions(&list, 1)), (vec![2], vec![]));
        let (values, offsets) = innermost(&list);
        assert_eq!((values.len(), offsets), (2, vec![0, 2, 2]));
    }

    #[test]
    fn texts_are_split_as_postgresql_splits_them() {
        let split = |text: &str, separator: Option<&str>, null: Option<&str>| {
            let arrays: Vec<ArrayRef> = [Some(text), separator, null]
                .into_iter()
                .map(|text| Arc::new(StringArray::from(vec![text])) as ArrayRef)
                .collect();
            let lists = super::split(&arrays, 1);
            let lists = lists.as_list::<i32>().value(0);
            lists.as_string::<i32>().iter().map(|part| part.unwrap_or("~").to_owned()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(split("a,b", Some(","), None), "a|b");
        assert_eq!(split("abc", None, None), "a|b|c");
        assert_eq!(split("abc", Some(""), None), "abc");
        assert_eq!(split("", Some(","), None), "");
        assert_eq!(split("a,,c", Some(","), Some("")), "a|~|c");
    }
}
