//! What set-returning functions return, as one array for each call; the statement's plan takes the array apart.
//!
//! PostgreSQL 15, section 9.25 "Set Returning Functions", and those of `information_schema.sql`. A function that returns
//! records has an array of structs.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListArray, ListBuilder, Scalar, StringArray,
    StringBuilder, StructArray, new_empty_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::kernels::numeric::add;
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Fields, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{Result as EngineResult, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::context::Context;
use super::super::postgres::json::Texts;
use super::super::postgres::json::sets::Apart;
use super::arrays::{as_list, dimensions, innermost, lower_bound};
use super::call::{Returns, is_text, named_type, no_such_function, to_engine};
use super::known::Known;
use super::{acl, keywords};
use crate::error::{Error, SqlState};
use crate::pgtype::{self, RECORD};

/// What follows a function's name where all its rows are meant as one array.
pub const ROWS: &str = " rows";
/// How many rows one call may return where they are kept in memory.
const ROWS_PER_CALL_MAX: usize = 2 << 20;
/// How many rows all calls of one batch may return.
const ROWS_PER_BATCH_MAX: usize = 16 << 20;

/// The set-returning functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Set {
    Unnest,
    Subscripts,
    Series,
    ExpandArray,
    Keywords,
    Options,
    StringToTable,
    AclExplode,
    Channels,
    PartitionAncestors,
    PartitionTree,
    Json(Apart),
}

impl Set {
    /// The function of this name, in the schema that it belongs to.
    pub fn named(schema: Option<&str>, name: &str) -> Option<Self> {
        let set = match name {
            "unnest" => Self::Unnest,
            "generate_subscripts" => Self::Subscripts,
            "generate_series" => Self::Series,
            "_pg_expandarray" => Self::ExpandArray,
            "pg_get_keywords" => Self::Keywords,
            "pg_options_to_table" => Self::Options,
            "string_to_table" => Self::StringToTable,
            "aclexplode" => Self::AclExplode,
            "pg_listening_channels" => Self::Channels,
            "pg_partition_ancestors" => Self::PartitionAncestors,
            "pg_partition_tree" => Self::PartitionTree,
            name => Self::Json(Apart::named(name)?),
        };
        let home = if set == Self::ExpandArray { "information_schema" } else { "pg_catalog" };
        schema.is_none_or(|schema| schema == home).then_some(set)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Unnest => "unnest",
            Self::Subscripts => "generate_subscripts",
            Self::Series => "generate_series",
            Self::ExpandArray => "_pg_expandarray",
            Self::Keywords => "pg_get_keywords",
            Self::Options => "pg_options_to_table",
            Self::StringToTable => "string_to_table",
            Self::AclExplode => "aclexplode",
            Self::Channels => "pg_listening_channels",
            Self::PartitionAncestors => "pg_partition_ancestors",
            Self::PartitionTree => "pg_partition_tree",
            Self::Json(apart) => apart.name(),
        }
    }

    /// The columns of the records that it returns; none for single values.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::ExpandArray => &["x", "n"],
            Self::Keywords => &["word", "catcode", "barelabel", "catdesc", "baredesc"],
            Self::Options => &["option_name", "option_value"],
            Self::AclExplode => &["grantor", "grantee", "privilege_type", "is_grantable"],
            Self::Json(apart) => apart.columns(),
            Self::PartitionTree => &["relid", "parentrelid", "isleaf", "level"],
            Self::Unnest
            | Self::Subscripts
            | Self::Series
            | Self::StringToTable
            | Self::Channels
            | Self::PartitionAncestors => &[],
        }
    }

    /// What its one column is called in FROM, where it is neither the function's name nor an alias.
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::Json(apart) => apart.column(),
            Self::PartitionAncestors => Some("relid"),
            _ => None,
        }
    }

    /// The name under which a plan calls it, for the array of its rows.
    pub fn list_name(self) -> String {
        format!("{}{ROWS}", self.name())
    }

    /// The same for arguments that the engine's names for expressions do not tell apart: what is called alike is one to it.
    pub fn list_name_of(self, arguments: &str) -> String {
        let mut hasher = DefaultHasher::new();
        arguments.hash(&mut hasher);
        format!("{} {:x}{ROWS}", self.name(), hasher.finish())
    }

    /// The function behind one of these names.
    pub fn of_list(name: &str) -> Option<Self> {
        let plain = name.strip_suffix(ROWS)?;
        Self::named(None, plain.split_once(' ').map_or(plain, |(plain, _)| plain))
    }

    /// The forms in which arguments of these types are held, `None` where there is no such function.
    fn arguments(self, types: &[DataType]) -> Option<Vec<DataType>> {
        let number = |t: &DataType| t.is_integer() || t.is_null() || is_text(t);
        let text = |t: &DataType| t.is_null() || is_text(t);
        match (self, types) {
            (Self::Unnest | Self::ExpandArray, [array]) if !array.is_null() => Some(vec![as_list(array)?]),
            (Self::Subscripts, [array, dimension]) if number(dimension) => Some(vec![as_list(array)?, DataType::Int64]),
            (Self::Subscripts, [array, dimension, DataType::Boolean]) if number(dimension) => {
                Some(vec![as_list(array)?, DataType::Int64, DataType::Boolean])
            }
            (Self::Series, [start, end]) => series_types(start, end, None),
            (Self::Series, [start, end, step]) => series_types(start, end, Some(step)),
            (Self::Keywords | Self::Channels, []) => Some(Vec::new()),
            (Self::PartitionAncestors | Self::PartitionTree, [relation]) if number(relation) => {
                Some(vec![relation.clone()])
            }
            (Self::Options | Self::AclExplode, [array]) => as_list(array)
                .filter(|list| matches!(list, DataType::List(item) if is_text(item.data_type())))
                .map(|_| vec![DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))]),
            (Self::StringToTable, texts) if matches!(texts.len(), 2 | 3) && texts.iter().all(text) => {
                Some(vec![DataType::Utf8; texts.len()])
            }
            (Self::Json(_), [value]) if text(value) || value.is_nested() => Some(vec![value.clone()]),
            _ => None,
        }
    }

    /// What each row of the result is, for arguments in the forms that they are held in.
    fn item(self, arguments: &[FieldRef]) -> Option<Field> {
        let plain = |data_type: DataType| Field::new_list_field(data_type, true);
        let record = |types: Vec<Field>| plain(DataType::Struct(Fields::from(types))).with_metadata(named_type(RECORD));
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let oid = |name: &str| Returns::Oid("oid").field(name);
        Some(match self {
            Self::Unnest => element(arguments.first()?)?,
            Self::ExpandArray => {
                record(vec![element(arguments.first()?)?.with_name("x"), Field::new("n", DataType::Int32, true)])
            }
            Self::Subscripts => plain(DataType::Int32),
            Self::Series => plain(arguments.first()?.data_type().clone()),
            Self::Keywords => record(vec![
                text("word"),
                text("catcode").with_metadata(named_type("char")),
                Field::new("barelabel", DataType::Boolean, true),
                text("catdesc"),
                text("baredesc"),
            ]),
            Self::Options => record(vec![text("option_name"), text("option_value")]),
            Self::AclExplode => record(vec![
                oid("grantor"),
                oid("grantee"),
                text("privilege_type"),
                Field::new("is_grantable", DataType::Boolean, true),
            ]),
            Self::StringToTable | Self::Channels => plain(DataType::Utf8),
            Self::PartitionAncestors => plain(DataType::Int64).with_metadata(named_type("regclass")),
            Self::PartitionTree => record(vec![
                Returns::Oid("regclass").field("relid"),
                Returns::Oid("regclass").field("parentrelid"),
                Field::new("isleaf", DataType::Boolean, true),
                Field::new("level", DataType::Int32, true),
            ]),
            Self::Json(apart) => apart.item(arguments.first()?)?,
        })
    }
}

/// The innermost element of an array.
fn element(array: &Field) -> Option<Field> {
    let DataType::List(item) = array.data_type() else { return None };
    match item.data_type() {
        DataType::List(_) => element(item),
        _ => Some(item.as_ref().clone().with_name(Field::LIST_FIELD_DEFAULT_NAME).with_nullable(true)),
    }
}

/// What the values of a series are: the widest of its numbers, or a moment with an interval between.
fn series_types(start: &DataType, end: &DataType, step: Option<&DataType>) -> Option<Vec<DataType>> {
    let all: Vec<&DataType> = [Some(start), Some(end), step].into_iter().flatten().collect();
    let small = |t: &DataType| matches!(t, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null);
    if all.iter().all(|t| t.is_integer() || t.is_null()) {
        let wide = if all.iter().all(|t| small(t)) { DataType::Int32 } else { DataType::Int64 };
        return Some(vec![wide; all.len()]);
    }
    if all.iter().all(|t| t.is_integer() || t.is_decimal() || t.is_null()) {
        let scale = all.iter().filter_map(|t| decimal_scale(t)).max().unwrap_or(0);
        return Some(vec![DataType::Decimal128(38, scale); all.len()]);
    }
    let step = step?;
    let moment = match (start, end) {
        (DataType::Timestamp(_, None), DataType::Timestamp(_, None) | DataType::Null)
        | (DataType::Null, DataType::Timestamp(_, None)) => DataType::Timestamp(TimeUnit::Microsecond, None),
        (DataType::Timestamp(_, zone), other) | (other, DataType::Timestamp(_, zone)) => {
            if !(matches!(other, DataType::Timestamp(..) | DataType::Date32 | DataType::Null) || is_text(other)) {
                return None;
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        (DataType::Date32, DataType::Date32 | DataType::Null) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        (start, end)
            if (start == &DataType::Date32 || is_text(start)) && (end == &DataType::Date32 || is_text(end)) =>
        {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        _ => return None,
    };
    let interval = matches!(step, DataType::Interval(_) | DataType::Duration(_)) || is_text(step) || step.is_null();
    interval.then(|| vec![moment.clone(), moment, DataType::Interval(IntervalUnit::MonthDayNano)])
}

fn decimal_scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some((*scale).max(0)),
        _ => None,
    }
}

/// The function of this name in a plan, if it is one of these.
pub fn planned(name: &str, context: &Context) -> Option<Arc<ScalarUDF>> {
    let set = Set::of_list(name)?;
    let known = matches!(set, Set::AclExplode | Set::Channels).then(|| Known::new(context));
    let signature = Signature::user_defined(Volatility::Stable);
    Some(Arc::new(ScalarUDF::new_from_impl(SetFunction { set, name: name.to_owned(), known, signature })))
}

/// The numbers 1, 2, … up to the longest of several arrays: WITH ORDINALITY.
pub fn ordinality() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Ordinality(Signature::user_defined(Volatility::Immutable))))
}

struct SetFunction {
    set: Set,
    name: String,
    /// For a function that asks the catalog.
    known: Option<Known>,
    signature: Signature,
}

impl fmt::Debug for SetFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.set.name())
    }
}

impl PartialEq for SetFunction {
    fn eq(&self, other: &Self) -> bool {
        (self.set, &self.name) == (other.set, &other.name)
    }
}

impl Eq for SetFunction {}

impl Hash for SetFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.set, &self.name).hash(state);
    }
}

impl ScalarUDFImpl for SetFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        exec_err!("{} has no type without its arguments", self.set.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let item = self.set.arguments(&types).and_then(|_| self.set.item(args.arg_fields));
        let Some(item) = item else { return Err(no_such_function(self.set.name(), args.arg_fields)) };
        Ok(Arc::new(Field::new(self.name(), DataType::List(Arc::new(item)), true)))
    }

    // what does not fit is refused where the result's type is asked for: an error here loses its SQLSTATE
    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        Ok(self.set.arguments(arg_types).unwrap_or_else(|| arg_types.to_vec()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let DataType::List(item) = args.return_field.data_type() else {
            return exec_err!("{} returns rows", self.set.name());
        };
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<EngineResult<Vec<_>>>()?;
        let lower = args.arg_fields.first().map_or(1, |field| lower_bound(field));
        let lists = match self.set {
            Set::Unnest => flat(first_list(&arrays)?, item)?,
            Set::ExpandArray => expanded(first_list(&arrays)?, item)?,
            Set::Subscripts => subscripts(&arrays, lower, rows)?,
            Set::Series => series(&arrays, item, rows)?,
            Set::Keywords => keyword_list(item, rows)?,
            Set::Options => options(first_list(&arrays)?, item)?,
            Set::StringToTable => super::arrays::split(&arrays, rows),
            Set::AclExplode => match &self.known {
                Some(known) => granted(known, first_list(&arrays)?, item)?,
                None => return exec_err!("aclexplode was planned without a catalog"),
            },
            Set::Channels => match &self.known {
                Some(known) => texts(&known.listings.channels.channels(), rows),
                None => return exec_err!("pg_listening_channels was planned without a session"),
            },
            // nothing is partitioned: `check_rel_can_be_partition` has no rows for tables and views
            Set::PartitionAncestors | Set::PartitionTree => none(item, rows)?,
            Set::Json(apart) => {
                let (Some(field), Some(values)) = (args.arg_fields.first(), arrays.first()) else {
                    return exec_err!("{} takes a value", self.set.name());
                };
                taken_apart(apart, field, values, &args.config_options, item)?
            }
        };
        if scalar {
            return Ok(ColumnarValue::Scalar(pgtype::constant(&lists)?));
        }
        Ok(ColumnarValue::Array(lists))
    }
}

/// The same texts in every row.
fn texts(values: &[String], rows: usize) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for _ in 0..rows {
        lists.append_value(values.iter().map(Some));
    }
    Arc::new(lists.finish())
}

/// No rows.
fn none(item: &FieldRef, rows: usize) -> EngineResult<ArrayRef> {
    let (offsets, values) =
        (OffsetBuffer::from_lengths(std::iter::repeat_n(0, rows)), new_empty_array(item.data_type()));
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, None)?))
}

fn first_list(arrays: &[ArrayRef]) -> EngineResult<&ListArray> {
    if let Some(list) = arrays.first().and_then(|array| array.as_list_opt::<i32>()) {
        Ok(list)
    } else {
        exec_err!("a set-returning function was planned for other arguments")
    }
}

/// All elements of each row's array, whatever its dimensions.
fn flat(list: &ListArray, item: &FieldRef) -> EngineResult<ArrayRef> {
    let (values, offsets) = innermost(list);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), self::offsets(&offsets), values, list.nulls().cloned())?))
}

fn offsets(offsets: &[usize]) -> OffsetBuffer<i32> {
    OffsetBuffer::new(offsets.iter().map(|&offset| offset as i32).collect())
}

/// Each element with its number, from 1 whatever the array's first subscript is.
fn expanded(list: &ListArray, item: &FieldRef) -> EngineResult<ArrayRef> {
    let (values, offsets) = innermost(list);
    let (first, end) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    let mut numbers = vec![0; values.len()];
    for row in offsets.windows(2) {
        for (number, place) in numbers[row[0]..row[1]].iter_mut().zip(1..) {
            *number = place;
        }
    }
    let numbers: ArrayRef = Arc::new(Int32Array::from(numbers));
    let records = records(item, vec![values.slice(first, end - first), numbers.slice(first, end - first)])?;
    let offsets: Vec<usize> = offsets.iter().map(|offset| offset - first).collect();
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), self::offsets(&offsets), records, list.nulls().cloned())?))
}

fn records(item: &FieldRef, columns: Vec<ArrayRef>) -> EngineResult<ArrayRef> {
    let DataType::Struct(fields) = item.data_type() else { return exec_err!("a record has fields") };
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

/// Rows of single values, collected call by call.
struct Rows {
    lengths: Vec<usize>,
    nulls: Vec<bool>,
    total: usize,
}

impl Rows {
    fn new() -> Self {
        Self { lengths: Vec::new(), nulls: Vec::new(), total: 0 }
    }

    /// The next call's rows; `None` for a call with NULL.
    fn push(&mut self, length: Option<usize>) -> EngineResult<()> {
        let rows = length.unwrap_or(0);
        self.total = self.total.saturating_add(rows);
        if rows > ROWS_PER_CALL_MAX || self.total > ROWS_PER_BATCH_MAX {
            let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a set-returning function returns too many rows")
                .detail(format!(
                    "Outside of FROM, and there with arguments that vary, it may return {ROWS_PER_CALL_MAX}."
                ));
            return Err(to_engine(error));
        }
        self.lengths.push(rows);
        self.nulls.push(length.is_some());
        Ok(())
    }

    fn lists(self, item: &FieldRef, values: ArrayRef) -> EngineResult<ArrayRef> {
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let nulls = NullBuffer::from(self.nulls);
        Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, Some(nulls))?))
    }
}

fn subscripts(arrays: &[ArrayRef], lower: i32, rows: usize) -> EngineResult<ArrayRef> {
    let list = first_list(arrays)?;
    let dimension = arrays[1].as_primitive::<Int64Type>();
    let reverse = arrays.get(2).map(AsArray::as_boolean);
    let mut numbers: Vec<i32> = Vec::new();
    let mut collected = Rows::new();
    for row in 0..rows {
        let backwards = reverse.map(|flags| (!flags.is_null(row)).then(|| flags.value(row)));
        if list.is_null(row) || dimension.is_null(row) || backwards == Some(None) {
            collected.push(None)?;
            continue;
        }
        let index = usize::try_from(dimension.value(row) - 1).ok();
        let length = index.and_then(|index| dimensions(list, row).get(index).copied()).unwrap_or(0);
        collected.push(Some(length as usize))?;
        let range = lower..lower + length;
        if backwards == Some(Some(true)) { numbers.extend(range.rev()) } else { numbers.extend(range) }
    }
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    collected.lists(&item, Arc::new(Int32Array::from(numbers)))
}

fn zero_step() -> datafusion::common::DataFusionError {
    to_engine(Error::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero"))
}

fn series(arrays: &[ArrayRef], item: &FieldRef, rows: usize) -> EngineResult<ArrayRef> {
    match item.data_type() {
        DataType::Timestamp(..) => moments(arrays, item, rows),
        data_type => {
            let wide = wide(arrays)?;
            let numbers = wide.iter().map(AsArray::as_primitive::<Decimal128Type>);
            let numbers: Vec<_> = numbers.collect();
            let one = 10_i128.pow(decimal_scale(data_type).unwrap_or(0).unsigned_abs().into());
            let mut values: Vec<i128> = Vec::new();
            let mut collected = Rows::new();
            for row in 0..rows {
                if numbers.iter().any(|array| array.is_null(row)) {
                    collected.push(None)?;
                    continue;
                }
                let (start, end) = (numbers[0].value(row), numbers[1].value(row));
                let step = numbers.get(2).map_or(one, |array| array.value(row));
                if step == 0 {
                    return Err(zero_step());
                }
                let span = if step > 0 { end.checked_sub(start) } else { start.checked_sub(end) };
                let length = match span {
                    Some(span) if span >= 0 => usize::try_from(span / step.abs()).unwrap_or(usize::MAX - 1) + 1,
                    Some(_) => 0,
                    None => usize::MAX,
                };
                collected.push(Some(length))?;
                values.extend((0..length as i128).map(|number| start + number * step));
            }
            let values = datafusion::arrow::array::Decimal128Array::from(values)
                .with_precision_and_scale(38, decimal_scale(data_type).unwrap_or(0))?;
            let values: ArrayRef = Arc::new(values);
            collected.lists(item, cast(&values, data_type)?)
        }
    }
}

/// Numbers of any type as the widest.
fn wide(arrays: &[ArrayRef]) -> EngineResult<Vec<ArrayRef>> {
    let wide = |array: &ArrayRef| {
        let scale = decimal_scale(array.data_type()).unwrap_or(0);
        Ok(cast(array, &DataType::Decimal128(38, scale))?)
    };
    arrays.iter().map(wide).collect()
}

/// Each moment is the one before it and the interval, so that months are added as PostgreSQL adds them.
fn moments(arrays: &[ArrayRef], item: &FieldRef, rows: usize) -> EngineResult<ArrayRef> {
    let steps = arrays[2].as_primitive::<IntervalMonthDayNanoType>();
    let micros = [&arrays[0], &arrays[1]].map(|array| cast(array, &DataType::Int64));
    let [starts, ends] = micros;
    let (starts, ends) = (starts?, ends?);
    let (starts, ends) = (starts.as_primitive::<Int64Type>(), ends.as_primitive::<Int64Type>());
    let mut values: Vec<i64> = Vec::new();
    let mut collected = Rows::new();
    for row in 0..rows {
        if steps.is_null(row) || starts.is_null(row) || ends.is_null(row) {
            collected.push(None)?;
            continue;
        }
        let step = steps.value(row);
        let days = i64::from(step.months) * 30 + i64::from(step.days);
        let direction = i128::from(days) * 86_400_000_000_000 + i128::from(step.nanoseconds);
        if direction == 0 {
            return Err(zero_step());
        }
        let end = ends.value(row);
        let (mut at, mut micros, mut length) = (arrays[0].slice(row, 1), starts.value(row), 0_usize);
        let step = arrays[2].slice(row, 1);
        while if direction > 0 { micros <= end } else { micros >= end } {
            values.push(micros);
            length += 1;
            if length > ROWS_PER_CALL_MAX {
                break;
            }
            let next = add(&Scalar::new(Arc::clone(&at)), &Scalar::new(Arc::clone(&step)))?;
            micros = cast(&next, &DataType::Int64)?.as_primitive::<Int64Type>().value(0);
            at = next;
        }
        collected.push(Some(length))?;
    }
    let values: ArrayRef = Arc::new(Int64Array::from(values));
    collected.lists(item, cast(&values, item.data_type())?)
}

fn keyword_list(item: &FieldRef, rows: usize) -> EngineResult<ArrayRef> {
    let words = keywords::all();
    let count = words.len();
    let text = |texts: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let columns = vec![
        text(words.iter().map(|word| word.word.to_owned()).collect()),
        text(words.iter().map(|word| word.category.to_string()).collect()),
        Arc::new(words.iter().map(|word| Some(word.bare_label)).collect::<BooleanArray>()),
        text(words.iter().map(|word| word.category_description().to_owned()).collect()),
        text(words.iter().map(|word| word.label_description().to_owned()).collect()),
    ];
    let records = records(item, columns)?;
    let all: Vec<&dyn Array> = (0..rows).map(|_| records.as_ref()).collect();
    let mut collected = Rows::new();
    for _ in 0..rows {
        collected.push(Some(count))?;
    }
    collected.lists(item, concat(&all)?)
}

/// `{a=1,b}` (`untransformRelOptions`): what has no sign has no value.
fn options(list: &ListArray, item: &FieldRef) -> EngineResult<ArrayRef> {
    let texts = list.values().as_string::<i32>();
    let (mut names, mut values) = (StringBuilder::new(), StringBuilder::new());
    let mut collected = Rows::new();
    for row in 0..list.len() {
        if list.is_null(row) {
            collected.push(None)?;
            continue;
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        collected.push(Some(end - start))?;
        for place in start..end {
            let (name, value) = match texts.value(place).split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (texts.value(place), None),
            };
            names.append_value(name);
            values.append_option(value);
        }
    }
    let records = records(item, vec![Arc::new(names.finish()), Arc::new(values.finish())])?;
    collected.lists(item, records)
}

/// Each privilege of each item of a list.
fn granted(known: &Known, list: &ListArray, item: &FieldRef) -> EngineResult<ArrayRef> {
    let texts = list.values().as_string::<i32>();
    let mut all: Vec<acl::Granted> = Vec::new();
    let mut collected = Rows::new();
    for row in 0..list.len() {
        if list.is_null(row) {
            collected.push(None)?;
            continue;
        }
        let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
        let before = all.len();
        all.extend(
            (start..end)
                .filter(|place| !texts.is_null(*place))
                .flat_map(|place| acl::granted(known, texts.value(place))),
        );
        collected.push(Some(all.len() - before))?;
    }
    let oids = |of: fn(&acl::Granted) -> u32| -> ArrayRef {
        Arc::new(all.iter().map(|granted| Some(i64::from(of(granted)))).collect::<Int64Array>())
    };
    let columns = vec![
        oids(|granted| granted.grantor),
        oids(|granted| granted.grantee),
        Arc::new(all.iter().map(|granted| Some(granted.privilege)).collect::<StringArray>()),
        Arc::new(all.iter().map(|granted| Some(granted.is_grantable)).collect::<BooleanArray>()),
    ];
    collected.lists(item, records(item, columns)?)
}

/// The members or elements of each value of JSON.
fn taken_apart(
    apart: Apart,
    field: &Field,
    values: &ArrayRef,
    options: &ConfigOptions,
    item: &FieldRef,
) -> EngineResult<ArrayRef> {
    let (mut keys, mut members) = (Texts::new(), Texts::new());
    let mut collected = Rows::new();
    let values = apart.values(field, values, options).map_err(to_engine)?;
    for row in 0..values.count() {
        let Some(rows) = values.rows(row).map_err(to_engine)? else {
            collected.push(None)?;
            continue;
        };
        collected.push(Some(rows.values.len()))?;
        for key in &rows.keys {
            keys.push(Some(key)).map_err(to_engine)?;
        }
        for value in &rows.values {
            members.push(value.as_deref()).map_err(to_engine)?;
        }
    }
    if apart.columns().is_empty() {
        return collected.lists(item, members.finish());
    }
    collected.lists(item, records(item, vec![keys.finish(), members.finish()])?)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ordinality(Signature);

impl ScalarUDFImpl for Ordinality {
    fn name(&self) -> &'static str {
        "ordinality"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<EngineResult<Vec<_>>>()?;
        let lists: Vec<&ListArray> = arrays.iter().filter_map(|array| array.as_list_opt::<i32>()).collect();
        let longest = |row: usize| {
            let lengths = lists.iter().filter(|list| !list.is_null(row)).map(|list| list.value_length(row));
            lengths.max().unwrap_or(0).into()
        };
        let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>(
            (0..args.number_rows).map(|row| Some((1..=longest(row)).map(Some))),
        );
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Int32Type;

    fn numbers(lists: &ArrayRef, row: usize) -> Vec<i32> {
        lists.as_list::<i32>().value(row).as_primitive::<Int32Type>().values().to_vec()
    }

    #[test]
    fn a_series_is_as_long_as_its_ends_allow() {
        let of = |start: i32, end: i32, step: i32| {
            let arrays = [start, end, step].map(|number| Arc::new(Int32Array::from(vec![number])) as ArrayRef);
            series(&arrays, &Arc::new(Field::new_list_field(DataType::Int32, true)), 1)
        };
        assert_eq!(numbers(&of(1, 5, 2).unwrap(), 0), [1, 3, 5]);
        assert_eq!(numbers(&of(3, 1, -1).unwrap(), 0), [3, 2, 1]);
        assert!(numbers(&of(3, 1, 1).unwrap(), 0).is_empty());
        assert!(of(1, 2, 0).is_err() && of(1, i32::MAX, 1).is_err());
    }

    #[test]
    fn elements_are_numbered_row_by_row() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(7), Some(8)]),
            None,
            Some(vec![Some(9)]),
        ]);
        let field: FieldRef = Arc::new(Field::new("a", list.data_type().clone(), true));
        let item: FieldRef = Arc::new(Set::ExpandArray.item(std::slice::from_ref(&field)).unwrap());
        let lists = expanded(&list, &item).unwrap();
        let second = lists.as_list::<i32>().value(2);
        let columns = second.as_struct();
        let column = |name: &str| columns.column_by_name(name).unwrap().as_primitive::<Int32Type>().value(0);
        assert_eq!((column("x"), column("n")), (9, 1));
        assert!(lists.is_null(1));
    }
}
