//! Casts between PostgreSQL's types: what a value becomes, and with which error it does not.
//!
//! It owns the values' texts and the ranges of types (PostgreSQL, section 4.2.9 and the types' chapters). Which casts of a
//! plan come here, `rewrite` says.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::datetime::{checked_date, instant, local, timestamp_of_date};
use super::fail;
use super::function::Env;
use super::interval::MICROS_PER_DAY;
use super::kind::{Column, Datum, Kind, array_of, nulls};
use super::numeric::Numeric;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::numeric as any_numeric;
use crate::pgtype::{read, show};

/// Significant digits of a `double precision` and of a `real` as numerics.
const DOUBLE_DIGITS: usize = 15;
const REAL_DIGITS: usize = 6;

/// Whether a cast from one Arrow type to another has rules of its own, beyond Arrow's.
pub fn is_ours(from: &DataType, to: &DataType) -> bool {
    use Kind::{
        Bool, Bytea, Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric as Num, Text, Time, Timestamp,
        TimestampTz,
    };
    if from == to {
        return false;
    }
    let item = |data_type: &DataType| matches!(data_type, DataType::List(_) | DataType::LargeList(_));
    if item(from) {
        return matches!(Kind::of(to), Some(Text)) && writable_item(from);
    }
    let (Some(source), Some(target)) = (Kind::of(from), Kind::of(to)) else { return false };
    match (source, target) {
        (Int2 | Int4 | Int8, Num) => any_numeric::is_any(to) || narrower_than_integers(to),
        (Num, Num) => any_numeric::is_any(from) || any_numeric::is_any(to) || loses_digits(from, to),
        (Text, Bool | Bytea | Date | Time | Timestamp | TimestampTz | Interval)
        | (Text | Float4 | Float8 | Num, Int2 | Int4 | Int8)
        | (Text | Num, Float4 | Float8)
        | (Text | Float4 | Float8, Num)
        | (Bool | Float4 | Float8 | Num | Bytea | Date | Time | Timestamp | TimestampTz | Interval, Text)
        | (Int8, Int2 | Int4)
        | (Int4, Int2)
        | (Float8, Float4)
        | (Date | Timestamp, TimestampTz)
        | (TimestampTz, Date | Timestamp | Time)
        | (Interval, Time)
        | (Time, Interval) => true,
        _ => false,
    }
}

/// Whether values of a list can be written as an array's text.
fn writable_item(list: &DataType) -> bool {
    match list {
        DataType::List(item) | DataType::LargeList(item) => match item.data_type() {
            nested @ (DataType::List(_) | DataType::LargeList(_)) => writable_item(nested),
            DataType::Null => true,
            plain => Kind::of(plain).is_some(),
        },
        _ => false,
    }
}

fn narrower_than_integers(to: &DataType) -> bool {
    matches!(to, DataType::Decimal128(precision, scale) if i16::from(*precision) - i16::from(*scale) < 20)
}

/// Whether digits before or after the point may be lost on the way.
fn loses_digits(from: &DataType, to: &DataType) -> bool {
    let parts = |data_type: &DataType| match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    };
    match (parts(from), parts(to)) {
        (Some((whole, fraction)), Some((to_whole, to_fraction))) => whole > to_whole || fraction > to_fraction,
        _ => true,
    }
}

/// A function that casts to one type.
pub fn cast_to(to: &DataType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Cast { to: to.clone(), signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug)]
struct Cast {
    to: DataType,
    signature: Signature,
}

impl PartialEq for Cast {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to
    }
}

impl Eq for Cast {}

impl Hash for Cast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to.hash(state);
    }
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion::common::Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new("cast", self.to.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let env = Env::of(&args.config_options);
        let external = |error: Error| DataFusionError::External(Box::new(error));
        match &args.args[0] {
            ColumnarValue::Scalar(scalar) => {
                let one = if scalar.is_null() { nulls(1) } else { scalar.to_array_of_size(1)? };
                let cast = cast_array(&one, &self.to, &env).map_err(external)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?))
            }
            ColumnarValue::Array(array) => {
                cast_array(array, &self.to, &env).map(ColumnarValue::Array).map_err(external)
            }
        }
    }
}

/// Casts each value.
pub fn cast_array(array: &ArrayRef, to: &DataType, env: &Env) -> Result<ArrayRef> {
    if array.data_type().is_null() {
        return datafusion::arrow::compute::cast(array, to).map_err(Error::internal);
    }
    if matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_)) {
        let texts = list_texts(array, env)?;
        return datafusion::arrow::compute::cast(&texts, to).map_err(Error::internal);
    }
    let column = Column::new(array)?;
    let target = Kind::of(to).ok_or_else(|| Error::internal(format_args!("no cast to {to}")))?;
    let source = column.kind().ok_or_else(|| Error::internal(format_args!("no cast from {}", array.data_type())))?;
    // values are made in the kind's own layout, which Arrow then brings into the one asked for
    let built = if target == Kind::Numeric { to.clone() } else { target.data_type() };
    let built = match (&built, to) {
        (DataType::Timestamp(..), DataType::Timestamp(_, zone)) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        _ => built,
    };
    let limits = NumericLimits::of(to);
    let values = (0..array.len()).map(|row| match column.get(row) {
        Datum::Null => Ok(Datum::Null),
        value => cast_value(value, source, target, env).and_then(|value| limits.check(value)),
    });
    let done = array_of(target, &built, values)?;
    if done.data_type() == to {
        return Ok(done);
    }
    let options = datafusion::arrow::compute::CastOptions { safe: false, ..Default::default() };
    datafusion::arrow::compute::cast_with_options(&done, to, &options).map_err(|_| match target {
        Kind::Timestamp | Kind::TimestampTz => super::datetime::out_of_range("timestamp"),
        _ => fail::out_of_range(target.name()),
    })
}

/// `numeric(precision, scale)`: rounds, and refuses what has more digits before the point.
struct NumericLimits {
    limit: Option<(u8, i8)>,
}

impl NumericLimits {
    fn of(to: &DataType) -> Self {
        let limit = match to {
            to if any_numeric::is_any(to) => None,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Some((*precision, *scale))
            }
            _ => None,
        };
        Self { limit }
    }

    fn check<'a>(&self, value: Datum<'a>) -> Result<Datum<'a>> {
        let (Some((precision, scale)), Datum::Numeric(number)) = (self.limit, &value) else { return Ok(value) };
        let rounded = number.round(scale.into());
        let whole = i32::from(precision) - i32::from(scale);
        let bound = super::numeric::ten_to(u32::try_from(whole).unwrap_or(0) + rounded.scale());
        if rounded.value().magnitude() < bound.magnitude() {
            return Ok(Datum::Numeric(rounded));
        }
        let least = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
        Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than {least}."
        )))
    }
}

/// A value of one kind as one of another.
pub fn cast_value<'a>(value: Datum<'a>, source: Kind, target: Kind, env: &Env) -> Result<Datum<'a>> {
    use Kind::{
        Bool, Bytea, Date, Float4, Float8, Int2, Int4, Int8, Interval, Shown, Text, Time, Timestamp, TimestampTz,
    };
    let narrow = |value: i64| {
        let fits = match target {
            Int2 => i16::try_from(value).is_ok(),
            Int4 => i32::try_from(value).is_ok(),
            _ => true,
        };
        if fits { Ok(Datum::Int(value)) } else { Err(fail::out_of_range(target.name())) }
    };
    Ok(match (value, target) {
        (value, _) if source == target => value,
        (Datum::Text(text), _) => parsed(&text, target, env)?,
        // a boolean's output function writes one letter, its cast to text a word
        (Datum::Bool(value), Shown) => Datum::text(if value { "t" } else { "f" }),
        (value, Text | Shown) => Datum::text(text_of(&value, source, env)?),
        (Datum::Float(value), Int2 | Int4 | Int8) => {
            let rounded = value.round_ties_even();
            if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
                return Err(fail::out_of_range(target.name()));
            }
            narrow(rounded as i64)?
        }
        (Datum::Numeric(value), Int2 | Int4 | Int8) => {
            narrow(value.to_i64().ok_or_else(|| fail::out_of_range(target.name()))?)?
        }
        (Datum::Int(value), Int2 | Int4 | Int8) => narrow(value)?,
        (Datum::Int(value), Bool) => Datum::Bool(value != 0),
        (Datum::Bool(value), Int4) => Datum::Int(value.into()),
        (Datum::Float(value), Float4 | Float8) => Datum::Float(value),
        (Datum::Int(value), Float4 | Float8) => Datum::Float(value as f64),
        (Datum::Numeric(value), Float8) => Datum::Float(finite(value.to_f64(), &value, "double precision")?),
        (Datum::Numeric(value), Float4) => {
            let narrow: f32 = value.to_string().parse().unwrap_or(f32::NAN);
            Datum::Float(finite(narrow.into(), &value, "real")?)
        }
        (Datum::Float(value), Kind::Numeric) => numeric_of(value, source)?,
        (Datum::Int(value), Kind::Numeric) => Datum::Numeric(Numeric::new(value.into(), 0)),
        (Datum::Date(days), Timestamp) => Datum::Timestamp(timestamp_of_date(days)?),
        (Datum::Date(days), TimestampTz) => Datum::Timestamp(instant(timestamp_of_date(days)?, env.zone)?),
        (Datum::Timestamp(at), Date | Time | Timestamp) => {
            let clock = if source == TimestampTz { local(at, env.zone) } else { at };
            match target {
                Date => Datum::Date(checked_date(clock.div_euclid(MICROS_PER_DAY))?),
                Time => Datum::Time(clock.rem_euclid(MICROS_PER_DAY)),
                _ => Datum::Timestamp(clock),
            }
        }
        (Datum::Timestamp(at), TimestampTz) if source == Timestamp => Datum::Timestamp(instant(at, env.zone)?),
        (Datum::Interval(value), Time) => Datum::Time(value.micros.rem_euclid(MICROS_PER_DAY)),
        (Datum::Time(micros), Interval) => Datum::Interval(super::interval::Interval::of_micros(micros)),
        (value @ Datum::Bytes(_), Bytea) => value,
        (same, _) => same,
    })
}

/// A float as a numeric: the digits that its type vouches for.
pub fn numeric_of(value: f64, source: Kind) -> Result<Datum<'static>> {
    let digits = if source == Kind::Float4 { REAL_DIGITS } else { DOUBLE_DIGITS };
    Numeric::of_float(value, digits).map(Datum::Numeric)
}

fn finite(value: f64, of: &Numeric, type_name: &str) -> Result<f64> {
    if value.is_infinite() || (value == 0.0 && !of.is_zero()) {
        let message = format!("\"{of}\" is out of range for type {type_name}");
        return Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
    }
    Ok(value)
}

/// A text as a value of a type (the type's input function).
pub fn parsed(text: &str, target: Kind, env: &Env) -> Result<Datum<'static>> {
    Ok(match target {
        Kind::Bool => Datum::Bool(read::boolean(text)?),
        Kind::Int2 => Datum::Int(read::number::integer::<i16>(text, "smallint")?.into()),
        Kind::Int4 => Datum::Int(read::number::integer::<i32>(text, "integer")?.into()),
        Kind::Int8 => Datum::Int(read::number::integer(text, "bigint")?),
        Kind::Float4 => Datum::Float(read::number::float(text)?.into()),
        Kind::Float8 => Datum::Float(read::number::double(text)?),
        Kind::Numeric => Datum::Numeric(Numeric::parse(text)?),
        Kind::Bytea => Datum::owned_bytes(read::bytea(text)?),
        Kind::Date => Datum::Date(read::temporal::date(text, env.zone)?),
        Kind::Time => Datum::Time(read::temporal::time(text, env.zone)?),
        Kind::Timestamp => Datum::Timestamp(read::temporal::timestamp(text, env.zone)?),
        Kind::TimestampTz => Datum::Timestamp(read::temporal::timestamptz(text, env.zone)?),
        Kind::Interval => {
            let (months, days, micros) = read::interval::parse(text)?;
            Datum::Interval(super::interval::Interval { months, days, micros })
        }
        Kind::Text | Kind::Shown => Datum::text(text),
        Kind::Texts | Kind::Floats => {
            return Err(Error::unsupported(format!("casts from text to {} are not supported", target.name())));
        }
    })
}

/// A value as text (the type's output function); a boolean as its cast writes it.
pub fn text_of(value: &Datum<'_>, kind: Kind, env: &Env) -> Result<String> {
    let mut out = BytesMut::new();
    match value {
        Datum::Null => {}
        Datum::Bool(value) => return Ok(if *value { "true" } else { "false" }.to_owned()),
        Datum::Int(value) => return Ok(value.to_string()),
        Datum::Float(value) if kind == Kind::Float4 => show::number::float(*value as f32, 1, &mut out),
        Datum::Float(value) => show::number::double(*value, 1, &mut out),
        Datum::Numeric(value) => return Ok(value.to_string()),
        Datum::Text(text) => return Ok(text.clone().into_owned()),
        Datum::Bytes(bytes) => {
            use std::fmt::Write as _;
            let mut text = String::with_capacity(2 + bytes.len() * 2);
            text.push_str("\\x");
            for byte in bytes.iter() {
                _ = write!(text, "{byte:02x}");
            }
            return Ok(text);
        }
        Datum::Date(days) => show::temporal::date_text((*days).into(), &mut out)?,
        Datum::Time(micros) => show::temporal::time_text(*micros, &mut out)?,
        Datum::Timestamp(at) => {
            let zone = (kind == Kind::TimestampTz).then_some(&env.zone);
            show::temporal::timestamp_text(*at, zone, show::temporal::Style::Iso, &mut out)?;
        }
        Datum::Interval(value) => value.text(&mut out),
        Datum::List(items) => {
            let item = if kind == Kind::Floats { Kind::Float8 } else { Kind::Text };
            let mut text = ArrayText::new();
            for value in items {
                text.item((!value.is_null()).then(|| text_of(value, item, env)).transpose()?.as_deref());
            }
            return Ok(text.finish());
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// `array_out`: items in braces, quoted where they could be misread.
struct ArrayText(String);

impl ArrayText {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn item(&mut self, item: Option<&str>) {
        self.comma();
        let Some(item) = item else { return self.0.push_str("NULL") };
        let plain = !item.is_empty()
            && !item.eq_ignore_ascii_case("null")
            && !item.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace());
        if plain {
            return self.0.push_str(item);
        }
        self.0.push('"');
        for letter in item.chars() {
            if matches!(letter, '"' | '\\') {
                self.0.push('\\');
            }
            self.0.push(letter);
        }
        self.0.push('"');
    }

    fn nested(&mut self, array: &str) {
        self.comma();
        self.0.push_str(array);
    }

    fn comma(&mut self) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Each list of an array as PostgreSQL writes arrays.
fn list_texts(array: &ArrayRef, env: &Env) -> Result<ArrayRef> {
    let array = match array.data_type() {
        DataType::LargeList(item) => {
            &datafusion::arrow::compute::cast(array, &DataType::List(Arc::clone(item))).map_err(Error::internal)?
        }
        _ => array,
    };
    let lists = array.as_list::<i32>();
    let nested = matches!(lists.values().data_type(), DataType::List(_) | DataType::LargeList(_));
    let items: ArrayRef = if nested { list_texts(lists.values(), env)? } else { Arc::clone(lists.values()) };
    let column = Column::new(&items)?;
    let kind = column.kind().unwrap_or(Kind::Text);
    let mut texts = StringBuilder::new();
    let offsets = lists.value_offsets();
    for row in 0..lists.len() {
        if lists.is_null(row) {
            texts.append_null();
            continue;
        }
        let mut text = ArrayText::new();
        for item in offsets[row] as usize..offsets[row + 1] as usize {
            match column.get(item) {
                Datum::Null => text.item(None),
                Datum::Text(nested_text) if nested => text.nested(&nested_text),
                // inside an array a boolean is one letter
                Datum::Bool(value) => text.item(Some(if value { "t" } else { "f" })),
                value => text.item(Some(&text_of(&value, kind, env)?)),
            }
        }
        texts.append_value(text.finish());
    }
    Ok(Arc::new(texts.finish()))
}
