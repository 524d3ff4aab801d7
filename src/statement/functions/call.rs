//! How a catalog function is called: its overloads, PostgreSQL's rule for NULL, and one row after the other.
//!
//! It owns the choice of an overload and the forms of arguments and results. What a function says is said elsewhere.
//! PostgreSQL 15, section 10.3 "Functions": literals are of no type yet, so a text is taken where an OID, a number or a
//! name is wanted.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::{DataFusionError, Result as EngineResult, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::super::context::Context;
use super::describe;
use super::known::Known;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::{self, PG_TYPE_KEY};

/// A function of the catalog or the session.
pub struct Spec {
    pub name: &'static str,
    /// The arguments of each overload.
    pub overloads: &'static [&'static [Arg]],
    pub returns: Returns,
    pub nulls: Nulls,
    pub volatility: Volatility,
    pub call: Call,
}

/// What a function does with one row.
pub type Call = fn(&Known, &Row<'_>) -> Result<Value>;

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A number, or a text that is one. What a text stands for otherwise is the function's to say: a `regclass` argument
    /// takes a relation's name.
    Oid,
    Int,
    /// As [`Self::Int`], and a `numeric` without its fraction.
    Number,
    Bool,
    /// `text` or `name`.
    Text,
}

/// A function's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    Text,
    Bool,
    Int4,
    Int8,
    Timestamptz,
    /// A type of numbers that Arrow does not have: `oid`, `regtype`, ….
    Oid(&'static str),
    /// A type of texts that Arrow does not have: `name`, `inet`, ….
    Named(&'static str),
    /// `name[]`, `text[]`.
    Names,
    Texts,
    /// `int4[]`.
    Int4s,
}

/// Whether a NULL argument makes the answer NULL (`proisstrict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    Strict,
    Called,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Text(String),
    Bool(bool),
    /// Of any integer type.
    Int(i64),
    /// Microseconds since 1970.
    Micros(i64),
    Texts(Vec<Option<String>>),
    Ints(Vec<i32>),
}

impl Value {
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    pub fn oid(oid: u32) -> Self {
        Self::Int(oid.into())
    }

    pub fn or_null<T>(value: Option<T>, make: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, make)
    }
}

impl Spec {
    /// A function that is NULL where an argument is, and stays the same within a statement.
    pub const fn new(name: &'static str, overloads: &'static [&'static [Arg]], returns: Returns, call: Call) -> Self {
        Self { name, overloads, returns, nulls: Nulls::Strict, volatility: Volatility::Stable, call }
    }

    /// It is called with NULLs too.
    pub const fn called_on_null(mut self) -> Self {
        self.nulls = Nulls::Called;
        self
    }

    /// It is called for each row anew, even where its arguments are constant.
    pub const fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    /// The overload that takes arguments of these types best, and how often it does not take them as they are.
    fn overload(&self, types: &[DataType]) -> Option<usize> {
        let fits = self.overloads.iter().enumerate().filter_map(|(number, args)| {
            if args.len() != types.len() {
                return None;
            }
            let mut worse = 0;
            for (arg, data_type) in args.iter().zip(types) {
                worse += arg.distance(data_type)?;
            }
            Some((worse, number))
        });
        fits.min().map(|(_, number)| number)
    }
}

impl Arg {
    /// 0 for what it is made for, `None` for what it does not take.
    fn distance(self, data_type: &DataType) -> Option<usize> {
        let text = is_text(data_type);
        let number = data_type.is_integer();
        match (self, data_type) {
            (_, DataType::Null) | (Self::Bool, DataType::Boolean) => Some(0),
            (Self::Oid | Self::Int | Self::Number, _) if number => Some(0),
            (Self::Number, _) if data_type.is_decimal() => Some(0),
            (Self::Text, _) if text => Some(0),
            (Self::Oid | Self::Int | Self::Number | Self::Bool, _) if text => Some(1),
            _ => None,
        }
    }

    /// The form in which rows hold it.
    fn held_as(self, data_type: &DataType) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Oid if is_text(data_type) => DataType::Utf8,
            Self::Oid | Self::Int | Self::Number => DataType::Int64,
        }
    }
}

/// Whether values of the type are texts, dictionaries of texts among them.
pub fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => other.is_string(),
    }
}

impl Returns {
    /// The result's type, with its PostgreSQL name where Arrow has no such type.
    pub fn field(self, name: &str) -> Field {
        let named = |data_type: DataType, pg: &str| Field::new(name, data_type, true).with_metadata(named_type(pg));
        match self {
            Self::Text => Field::new(name, DataType::Utf8, true),
            Self::Bool => Field::new(name, DataType::Boolean, true),
            Self::Int4 => Field::new(name, DataType::Int32, true),
            Self::Int8 => Field::new(name, DataType::Int64, true),
            Self::Timestamptz => Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Self::Oid(pg) => named(DataType::Int64, pg),
            Self::Named(pg) => named(DataType::Utf8, pg),
            Self::Names => Field::new(name, DataType::List(Arc::new(item("name"))), true),
            Self::Texts => {
                Field::new(name, DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), true)
            }
            Self::Int4s => {
                Field::new(name, DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))), true)
            }
        }
    }
}

fn item(pg: &str) -> Field {
    Field::new_list_field(DataType::Utf8, true).with_metadata(named_type(pg))
}

/// Metadata that names a PostgreSQL type.
pub fn named_type(pg: &str) -> std::collections::HashMap<String, String> {
    [(PG_TYPE_KEY.to_owned(), pg.to_owned())].into()
}

/// One row of a function's arguments.
pub struct Row<'a> {
    pub name: &'static str,
    /// The overload that was called.
    args: &'static [Arg],
    arrays: &'a [ArrayRef],
    index: usize,
}

impl Row<'_> {
    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Whether the called overload takes a text here.
    pub fn takes_text(&self, argument: usize) -> bool {
        self.args.get(argument) == Some(&Arg::Text)
    }

    /// A text, of an [`Arg::Text`], or of an [`Arg::Oid`] where a text was given.
    pub fn text(&self, argument: usize) -> Option<&str> {
        let array = self.arrays.get(argument)?.as_string_opt::<i32>()?;
        (!array.is_null(self.index)).then(|| array.value(self.index))
    }

    pub fn int(&self, argument: usize) -> Option<i64> {
        let array = self.arrays.get(argument)?.as_primitive_opt::<Int64Type>()?;
        (!array.is_null(self.index)).then(|| array.value(self.index))
    }

    pub fn flag(&self, argument: usize) -> Option<bool> {
        let array = self.arrays.get(argument)?.as_boolean_opt()?;
        (!array.is_null(self.index)).then(|| array.value(self.index))
    }

    /// An OID. A text is read as a number.
    ///
    /// # Errors
    /// `22P02` for a text that is none, `22003` for a number that does not fit.
    pub fn oid(&self, argument: usize) -> Result<Option<u32>> {
        if let Some(text) = self.text(argument) {
            return parse_oid(text).map(Some);
        }
        self.int(argument).map(oid_of).transpose()
    }

    fn has_null(&self) -> bool {
        self.arrays.iter().any(|array| array.is_null(self.index) || array.data_type() == &DataType::Null)
    }
}

/// PostgreSQL reads OIDs as C reads numbers: a negative one comes from the other end (`oidin_subr`).
pub fn parse_oid(text: &str) -> Result<u32> {
    let invalid =
        || Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type oid: \"{text}\""));
    let number: i64 = text.trim().parse().map_err(|_| invalid())?;
    u32::try_from(number).or_else(|_| i32::try_from(number).map(|n| n as u32)).map_err(|_| {
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{text}\" is out of range for type oid"))
    })
}

/// A number as an OID: `int4` wraps, as its cast does, and `int8` must fit.
pub fn oid_of(number: i64) -> Result<u32> {
    u32::try_from(number)
        .or_else(|_| i32::try_from(number).map(|n| n as u32))
        .map_err(|_| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "OID out of range"))
}

/// A function for the statements of one context.
pub struct Bound {
    spec: &'static Spec,
    known: Known,
    signature: Signature,
}

impl Bound {
    pub fn function(spec: &'static Spec, context: &Context) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(spec.volatility);
        Arc::new(ScalarUDF::new_from_impl(Self { spec, known: Known::new(context), signature }))
    }
}

/// Whether a call's argument can only be a boolean: no overload of so many arguments takes anything else there.
pub fn takes_boolean(function: &ScalarUDF, arguments: usize, argument: usize) -> bool {
    let Some(bound) = (function.inner().as_ref() as &dyn Any).downcast_ref::<Bound>() else { return false };
    let mut overloads = bound.spec.overloads.iter().filter(|overload| overload.len() == arguments).peekable();
    overloads.peek().is_some() && overloads.all(|overload| overload.get(argument) == Some(&Arg::Bool))
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec.name)
    }
}

/// The same function of the same session.
impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && self.known.facts.pid == other.known.facts.pid
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.spec.name, self.known.facts.pid).hash(state);
    }
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(self.spec.returns.field(self.spec.name).data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        if self.spec.overload(&types).is_none() {
            return Err(no_such_function(self.spec.name, args.arg_fields));
        }
        Ok(Arc::new(self.spec.returns.field(self.spec.name)))
    }

    // What no overload takes is refused where the result's type is asked for: an error here loses its SQLSTATE.
    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        let Some(number) = self.spec.overload(arg_types) else { return Ok(arg_types.to_vec()) };
        Ok(self.spec.overloads[number].iter().zip(arg_types).map(|(arg, data_type)| arg.held_as(data_type)).collect())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let Some(number) = self.spec.overload(&types) else {
            return exec_err!("{} was planned for other arguments", self.spec.name);
        };
        let overload = self.spec.overloads[number];
        let varies = self.spec.volatility == Volatility::Volatile;
        let scalar = !varies && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<EngineResult<Vec<_>>>()?;
        let mut values = Vec::with_capacity(rows);
        for index in 0..rows {
            let row = Row { name: self.spec.name, args: overload, arrays: &arrays, index };
            if self.spec.nulls == Nulls::Strict && row.has_null() {
                values.push(Value::Null);
            } else {
                values.push((self.spec.call)(&self.known, &row).map_err(to_engine)?);
            }
        }
        let array = collect(self.spec.returns, values);
        Ok(if scalar { ColumnarValue::Scalar(pgtype::constant(&array)?) } else { ColumnarValue::Array(array) })
    }
}

/// An error of our own on its way through the engine.
pub fn to_engine(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// `42883`, with the arguments' types as PostgreSQL names them.
pub fn no_such_function(name: &str, arguments: &[FieldRef]) -> DataFusionError {
    let types: Vec<String> = arguments.iter().map(|field| type_of(field)).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    to_engine(
        Error::new(SqlState::UNDEFINED_FUNCTION, message)
            .hint("No function matches the given name and argument types. You might need to add explicit type casts."),
    )
}

/// PostgreSQL's name of a field's type.
pub fn type_of(field: &Field) -> String {
    if field.data_type() == &DataType::Null {
        return "unknown".to_owned();
    }
    describe::type_name(pgtype::pg_type(field).oid, None).unwrap_or_else(|| "???".to_owned())
}

/// Answers as an array of the function's type; what does not fit the type is NULL.
fn collect(returns: Returns, values: Vec<Value>) -> ArrayRef {
    match returns {
        Returns::Text | Returns::Named(_) => {
            let mut builder = StringBuilder::new();
            for value in values {
                builder.append_option(if let Value::Text(text) = value { Some(text) } else { None });
            }
            Arc::new(builder.finish())
        }
        Returns::Bool => {
            let mut builder = BooleanBuilder::with_capacity(values.len());
            for value in values {
                builder.append_option(if let Value::Bool(flag) = value { Some(flag) } else { None });
            }
            Arc::new(builder.finish())
        }
        Returns::Int4 => {
            let mut builder = Int32Builder::with_capacity(values.len());
            for value in values {
                builder.append_option(if let Value::Int(number) = value { i32::try_from(number).ok() } else { None });
            }
            Arc::new(builder.finish())
        }
        Returns::Int8 | Returns::Oid(_) => {
            let mut builder = Int64Builder::with_capacity(values.len());
            for value in values {
                builder.append_option(if let Value::Int(number) = value { Some(number) } else { None });
            }
            Arc::new(builder.finish())
        }
        Returns::Timestamptz => {
            let mut builder = TimestampMicrosecondBuilder::with_capacity(values.len());
            for value in values {
                builder.append_option(if let Value::Micros(micros) = value { Some(micros) } else { None });
            }
            Arc::new(builder.finish().with_timezone("UTC"))
        }
        Returns::Names => texts(values, item("name")),
        Returns::Texts => texts(values, Field::new_list_field(DataType::Utf8, true)),
        Returns::Int4s => {
            let mut builder = ListBuilder::new(Int32Builder::new());
            for value in values {
                let Value::Ints(numbers) = value else {
                    builder.append(false);
                    continue;
                };
                builder.values().append_slice(&numbers);
                builder.append(true);
            }
            Arc::new(builder.finish())
        }
    }
}

fn texts(values: Vec<Value>, item: Field) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(item);
    for value in values {
        let Value::Texts(texts) = value else {
            builder.append(false);
            continue;
        };
        for text in texts {
            builder.values().append_option(text);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Spec =
        Spec::new("two", &[&[Arg::Oid, Arg::Text], &[Arg::Text, Arg::Text]], Returns::Bool, |_, _| Ok(Value::Null));

    #[test]
    fn the_overload_that_takes_things_as_they_are_is_called() {
        let text = DataType::Utf8;
        assert_eq!(TWO.overload(&[DataType::Int32, text.clone()]), Some(0));
        assert_eq!(TWO.overload(&[text.clone(), text.clone()]), Some(1));
        assert_eq!(TWO.overload(&[DataType::Boolean, text.clone()]), None);
        assert_eq!(TWO.overload(&[text]), None);
    }

    #[test]
    fn oids_are_read_as_postgresql_reads_them() {
        assert_eq!(parse_oid("16384"), Ok(16384));
        assert_eq!(parse_oid("-1"), Ok(u32::MAX));
        assert_eq!(parse_oid("x").unwrap_err().sqlstate(), SqlState::INVALID_TEXT_REPRESENTATION);
        assert_eq!(oid_of(1 << 40).unwrap_err().sqlstate(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(oid_of(u32::MAX.into()), Ok(u32::MAX));
    }
}
