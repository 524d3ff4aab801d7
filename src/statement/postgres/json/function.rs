//! How a function of JSON is called: its overloads, what their arguments are read as, one row after the other.
//!
//! It owns the choice of an overload (PostgreSQL 15, section 10.3 "Functions") by types that only a field's metadata tells.
//! Structs and maps of a table are `jsonb`, as they are to a client.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::{Array, ArrayRef, BooleanBuilder, Int32Builder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::function::Env;
use super::super::kind::{Column, Datum, Kind};
use super::write::Writer;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::show::json::{jsonb, text_of};
use crate::pgtype::{PG_TYPE_KEY, is_variant};
use crate::statement::arrays;
use crate::statement::functions::call::{named_type, no_such_function, to_engine};

/// The largest value that a function makes, in bytes (`jsonb`'s own limit, `JENTRY_OFFLENMASK`).
pub const VALUE_BYTES_MAX: usize = 0x0fff_ffff;
/// The largest sum of the values of one batch, in bytes (PostgreSQL's `MaxAllocSize`, and half of what Arrow's offsets reach).
const BATCH_BYTES_MAX: usize = 0x3fff_ffff;

/// Which of the two types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Json,
    Jsonb,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonb => "jsonb",
        }
    }
}

/// Which of the two a field is.
pub fn form(field: &Field) -> Option<Form> {
    let declared = field.metadata().get(PG_TYPE_KEY).map(String::as_str);
    match field.data_type() {
        DataType::Struct(_) if declared.is_none() => Some(Form::Jsonb),
        DataType::Map(..) => Some(Form::Jsonb),
        text if text.is_string() => match declared {
            Some("json") => Some(Form::Json),
            Some("jsonb") => Some(Form::Jsonb),
            _ => None,
        },
        _ => None,
    }
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    Json,
    Jsonb,
    Text,
    Int,
    Bool,
    /// `text[]`, of any dimensions.
    Texts,
    /// Any array.
    Array,
    Record,
    Any,
}

impl Take {
    /// 0 for what it is made for, `None` for what it does not take. A text is also a literal, which is of no type yet.
    fn distance(self, field: &Field) -> Option<u32> {
        let data_type = field.data_type();
        let form = form(field);
        let is_plain_text = data_type.is_string() && form.is_none();
        match self {
            _ if data_type.is_null() => Some(0),
            Self::Json if form == Some(Form::Json) => Some(0),
            Self::Jsonb if form == Some(Form::Jsonb) => Some(0),
            Self::Text | Self::Any if is_plain_text => Some(0),
            Self::Json | Self::Jsonb | Self::Texts if is_plain_text => Some(5),
            Self::Int if data_type.is_integer() => Some(0),
            Self::Bool if data_type == &DataType::Boolean => Some(0),
            Self::Texts | Self::Array => match data_type {
                DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                    (self == Self::Array || innermost(item).is_string()).then_some(0)
                }
                _ => None,
            },
            Self::Record => matches!(data_type, DataType::Struct(_)).then_some(0),
            Self::Any => Some(1),
            _ => None,
        }
    }
}

fn innermost(item: &Field) -> &DataType {
    match item.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => innermost(item),
        data_type => data_type,
    }
}

/// What a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Give {
    Of(Form),
    Text,
    Bool,
    Int,
}

impl Give {
    pub fn field(self, name: &str) -> Field {
        match self {
            Self::Of(form) => Field::new(name, DataType::Utf8, true).with_metadata(named_type(form.name())),
            Self::Text => Field::new(name, DataType::Utf8, true),
            Self::Bool => Field::new(name, DataType::Boolean, true),
            Self::Int => Field::new(name, DataType::Int32, true),
        }
    }
}

/// One answer. A text, or a value of JSON, is what stands in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Null,
    Written,
    Bool(bool),
    Int(i32),
}

/// The elements of a `text[]`.
pub type Elements<'a> = Vec<Option<Cow<'a, str>>>;

/// What a function does with one row.
pub type Call = fn(&Row<'_>, &mut BytesMut) -> Result<Answer>;

/// One function of a name.
pub struct Overload {
    takes: &'static [Take],
    /// Of any further arguments.
    more: Option<Take>,
    gives: Give,
    /// Whether a NULL among the arguments is the result.
    strict: bool,
    call: Call,
}

/// A function that gives NULL for NULL.
pub const fn on(takes: &'static [Take], gives: Give, call: Call) -> Overload {
    Overload { takes, more: None, gives, strict: true, call }
}

impl Overload {
    pub const fn and_more(self, more: Take) -> Self {
        Self { more: Some(more), ..self }
    }

    pub const fn with_nulls(self) -> Self {
        Self { strict: false, ..self }
    }

    fn take(&self, position: usize) -> Option<Take> {
        self.takes.get(position).copied().or(self.more)
    }

    fn distance(&self, fields: &[FieldRef]) -> Option<u32> {
        if fields.len() < self.takes.len() {
            return None;
        }
        let each = fields.iter().enumerate().map(|(position, field)| self.take(position)?.distance(field));
        each.sum()
    }
}

/// All functions of a name.
pub struct Function {
    pub name: &'static str,
    pub overloads: &'static [Overload],
}

impl Function {
    /// The overload that takes arguments of these types best, the first of equals.
    fn overload(&self, fields: &[FieldRef]) -> Option<&'static Overload> {
        let fits = self.overloads.iter().filter_map(|overload| Some((overload.distance(fields)?, overload)));
        fits.min_by_key(|(distance, _)| *distance).map(|(_, overload)| overload)
    }

    pub fn shared(&'static self) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        let nullary = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::UserDefined,
            ],
            Volatility::Immutable,
        );
        let signature =
            if self.overloads.iter().any(|overload| overload.takes.is_empty()) { nullary } else { signature };
        Arc::new(ScalarUDF::new_from_impl(Udf { function: self, signature }))
    }
}

struct Udf {
    function: &'static Function,
    signature: Signature,
}

impl std::fmt::Debug for Udf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl Udf {
    fn overload(&self, fields: &[FieldRef]) -> EngineResult<&'static Overload> {
        self.function.overload(fields).ok_or_else(|| no_such_function(self.function.name, fields))
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Err(DataFusionError::Internal(format!("{} has no type without its arguments", self.function.name)))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        Ok(Arc::new(self.overload(args.arg_fields)?.gives.field(self.function.name)))
    }

    // what does not fit is refused where the result's type is asked for: an error here loses its SQLSTATE
    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let overload = self.overload(&args.arg_fields)?;
        let env = Env::of(&args.config_options);
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let mut inputs = Vec::with_capacity(args.args.len());
        for (position, (value, field)) in args.args.iter().zip(&args.arg_fields).enumerate() {
            let constant = matches!(value, ColumnarValue::Scalar(_));
            let array = value.to_array(if constant { 1 } else { rows })?;
            let take = overload.take(position).unwrap_or(Take::Any);
            inputs.push(Input::new(take, field, &array, constant).map_err(to_engine)?);
        }
        let array = collect(overload, self.function.name, &inputs, &env, rows).map_err(to_engine)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn collect(overload: &Overload, name: &'static str, inputs: &[Input], env: &Env, rows: usize) -> Result<ArrayRef> {
    let mut texts = Texts::new();
    let mut flags = BooleanBuilder::new();
    let mut numbers = Int32Builder::new();
    let mut buffer = BytesMut::new();
    for index in 0..rows {
        let row = Row { name, inputs, env, index };
        buffer.clear();
        let answer = if overload.strict && (0..inputs.len()).any(|position| row.is_null(position)) {
            Answer::Null
        } else {
            (overload.call)(&row, &mut buffer)?
        };
        match (overload.gives, answer) {
            (Give::Bool, Answer::Bool(flag)) => flags.append_value(flag),
            (Give::Bool, _) => flags.append_null(),
            (Give::Int, Answer::Int(number)) => numbers.append_value(number),
            (Give::Int, _) => numbers.append_null(),
            (_, Answer::Written) => texts.push(Some(text_of(&buffer)?))?,
            _ => texts.push(None)?,
        }
    }
    Ok(match overload.gives {
        Give::Bool => Arc::new(flags.finish()),
        Give::Int => Arc::new(numbers.finish()),
        Give::Of(_) | Give::Text => texts.finish(),
    })
}

/// Texts of one batch, within bounds.
#[derive(Default)]
pub struct Texts {
    builder: StringBuilder,
    bytes: usize,
}

impl Texts {
    pub fn new() -> Self {
        Self::default()
    }

    /// # Errors
    /// `54000` for a value, or for all of them together, beyond the limit.
    pub fn push(&mut self, text: Option<&str>) -> Result<()> {
        let length = text.map_or(0, str::len);
        self.bytes += length;
        if length > VALUE_BYTES_MAX || self.bytes > BATCH_BYTES_MAX {
            return Err(too_large());
        }
        self.builder.append_option(text);
        Ok(())
    }

    pub fn finish(mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// # Errors
/// `54000` for more bytes than a value may have.
pub fn check_size(bytes: usize) -> Result<()> {
    if bytes <= VALUE_BYTES_MAX { Ok(()) } else { Err(too_large()) }
}

#[cold]
fn too_large() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "json value is too large").detail(format!(
        "A value may have {VALUE_BYTES_MAX} bytes, and all that a function makes at once {BATCH_BYTES_MAX}."
    ))
}

/// One argument of a batch.
struct Input {
    values: Values,
    /// Whether its one value is every row's.
    constant: bool,
}

enum Values {
    Plain(Column),
    /// A text that is to be `jsonb`, and is not yet.
    Read(Column),
    Written(Box<Writer>),
}

impl Input {
    fn new(take: Take, field: &Field, array: &ArrayRef, constant: bool) -> Result<Self> {
        let is_nested = matches!(array.data_type(), DataType::Struct(_) | DataType::Map(..));
        let values = match take {
            Take::Any | Take::Array | Take::Record => Values::Written(Box::new(Writer::new(field, array)?)),
            Take::Jsonb if is_nested => Values::Written(Box::new(Writer::new(field, array)?)),
            Take::Jsonb if form(field).is_none() => Values::Read(Column::new(array)?),
            _ => Values::Plain(Column::new(array)?),
        };
        Ok(Self { values, constant })
    }
}

/// One row of a function's arguments.
pub struct Row<'a> {
    pub name: &'static str,
    inputs: &'a [Input],
    pub env: &'a Env,
    index: usize,
}

impl<'a> Row<'a> {
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    fn place(&self, position: usize) -> usize {
        if self.inputs[position].constant { 0 } else { self.index }
    }

    pub fn is_null(&self, position: usize) -> bool {
        match &self.inputs[position].values {
            Values::Plain(column) | Values::Read(column) => column.is_null(self.place(position)),
            Values::Written(writer) => writer.is_null(self.place(position)),
        }
    }

    /// A text, or a value of JSON as its text.
    ///
    /// # Errors
    /// `22P02` for a literal that is no JSON.
    pub fn text(&self, position: usize) -> Result<Cow<'a, str>> {
        let place = self.place(position);
        match &self.inputs[position].values {
            Values::Plain(column) => match column.get(place) {
                Datum::Text(text) => Ok(text),
                other => Err(Error::internal(format_args!("a text was asked of {other:?}"))),
            },
            Values::Read(column) => match column.get(place) {
                Datum::Text(text) => jsonb(&text).map(Cow::Owned),
                other => Err(Error::internal(format_args!("a text was asked of {other:?}"))),
            },
            Values::Written(writer) => {
                let mut out = BytesMut::new();
                writer.write(place, self.env, &mut out)?;
                text_of(&out).map(|text| Cow::Owned(text.to_owned()))
            }
        }
    }

    /// Of an argument that is a number; 0 of any other.
    pub fn int(&self, position: usize) -> i64 {
        match &self.inputs[position].values {
            Values::Plain(column) => match column.get(self.place(position)) {
                Datum::Int(number) => number,
                _ => 0,
            },
            _ => 0,
        }
    }

    pub fn flag(&self, position: usize) -> bool {
        match &self.inputs[position].values {
            Values::Plain(column) => column.get(self.place(position)) == Datum::Bool(true),
            _ => false,
        }
    }

    /// The elements of a `text[]`.
    ///
    /// # Errors
    /// `22P02` for a literal that is no array.
    pub fn texts(&self, position: usize) -> Result<Elements<'a>> {
        let Values::Plain(column) = &self.inputs[position].values else { return Ok(Vec::new()) };
        match column.get(self.place(position)) {
            Datum::Text(text) => Ok(arrays::parse(&text)?.into_iter().map(|element| element.map(Cow::Owned)).collect()),
            Datum::List(items) => Ok(items.into_iter().map(element).collect()),
            _ => Ok(Vec::new()),
        }
    }

    /// The rows of a `text[][]`; of one dimension, each element is a row of its own.
    pub fn table(&self, position: usize) -> Option<Vec<Elements<'a>>> {
        let Values::Plain(column) = &self.inputs[position].values else { return None };
        let Datum::List(rows) = column.get(self.place(position)) else { return None };
        if !rows.iter().any(|row| matches!(row, Datum::List(_))) {
            return None;
        }
        let rows = rows.into_iter().map(|row| match row {
            Datum::List(items) => items.into_iter().map(element).collect(),
            _ => Vec::new(),
        });
        Some(rows.collect())
    }

    /// The values of an argument of any type, and the row's place among them.
    ///
    /// # Errors
    /// `XX000` for an argument that is not [`Take::Any`], [`Take::Array`] or [`Take::Record`].
    pub fn value(&self, position: usize) -> Result<(&'a Writer, usize)> {
        match &self.inputs[position].values {
            Values::Written(writer) => Ok((writer, self.place(position))),
            _ => Err(Error::internal("an argument was planned for another function")),
        }
    }
}

fn element(item: Datum<'_>) -> Option<Cow<'_, str>> {
    match item {
        Datum::Text(text) => Some(text),
        _ => None,
    }
}

/// Whether a field is something that has no form as JSON here.
pub fn is_unsupported(field: &Field) -> bool {
    is_variant(field) || (Kind::of(field.data_type()).is_none() && !field.data_type().is_nested())
}
