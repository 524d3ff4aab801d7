//! Quoting for SQL: `quote_ident`, `quote_literal`, `quote_nullable`, `format`.
//!
//! PostgreSQL 15, section 9.4 and 9.4.1 "format"; `quote_identifier` in `ruleutils.c`, `text_format` in `varlena.c`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result as EngineResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::call::{Returns, no_such_function, to_engine};
use super::{keywords, texts};
use crate::error::{Error, Result, SqlState};

/// Largest text that one `format` makes, in bytes: a width of a billion is not worth its memory.
const FORMATTED_BYTES_MAX: usize = 16 << 20;

/// A name as it must be written to mean itself.
pub fn ident(name: &str) -> String {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let plain = starts && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !keywords::needs_quotes(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as a literal.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The function of this name, if it is one of these.
pub fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let kind = match name {
        "quote_ident" => Kind::Ident,
        "quote_literal" => Kind::Literal,
        "quote_nullable" => Kind::Nullable,
        "format" => Kind::Format,
        _ => return None,
    };
    Some(Arc::new(ScalarUDF::new_from_impl(Quote { kind, signature: Signature::user_defined(Volatility::Immutable) })))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Ident,
    Literal,
    Nullable,
    Format,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ident => "quote_ident",
            Self::Literal => "quote_literal",
            Self::Nullable => "quote_nullable",
            Self::Format => "format",
        }
    }

    fn takes(self, arguments: usize) -> bool {
        if self == Self::Format { arguments > 0 } else { arguments == 1 }
    }
}

#[derive(Debug)]
struct Quote {
    kind: Kind,
    signature: Signature,
}

impl PartialEq for Quote {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Quote {}

impl Hash for Quote {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl ScalarUDFImpl for Quote {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        if !self.kind.takes(args.arg_fields.len()) {
            return Err(no_such_function(self.name(), args.arg_fields));
        }
        Ok(Arc::new(Returns::Text.field(self.name())))
    }

    // values keep their types, whose text forms differ
    fn coerce_types(&self, arg_types: &[DataType]) -> EngineResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let mut columns = Vec::with_capacity(args.args.len());
        for arg in &args.args {
            columns.push(texts::of(&arg.to_array(rows)?)?);
        }
        let mut builder = StringBuilder::new();
        for row in 0..rows {
            let values: Vec<Option<&str>> = columns.iter().map(|column| value(column, row)).collect();
            builder.append_option(self.kind.call(&values).map_err(to_engine)?);
        }
        let array: ArrayRef = Arc::new(builder.finish());
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn value(column: &StringArray, row: usize) -> Option<&str> {
    (!column.is_null(row)).then(|| column.value(row))
}

impl Kind {
    fn call(self, values: &[Option<&str>]) -> Result<Option<String>> {
        let first = values.first().copied().flatten();
        Ok(match self {
            Self::Ident => first.map(ident),
            Self::Literal => first.map(literal),
            Self::Nullable => Some(first.map_or_else(|| "NULL".to_owned(), literal)),
            Self::Format => match (first, values) {
                (Some(pattern), [_, values @ ..]) => Some(format(pattern, values)?),
                _ => None,
            },
        })
    }
}

/// One `%…` of a pattern.
struct Specifier {
    /// From 1; `None` is the one after the last used.
    position: Option<usize>,
    left: bool,
    width: Width,
}

enum Width {
    None,
    Is(usize),
    /// `*` or `*n$`: an argument says it.
    Argument(Option<usize>),
}

/// `format(pattern, values…)`.
///
/// # Errors
/// `22023` for a pattern that is none or wants more values; `22004` for a NULL that should be a name.
fn format(pattern: &str, values: &[Option<&str>]) -> Result<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut used = 0;
    while let Some(percent) = rest.find('%') {
        out.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let specifier = specifier(&mut rest)?;
        let Some(conversion) = rest.chars().next() else { return Err(unterminated()) };
        if !matches!(conversion, 's' | 'I' | 'L') {
            let message = format!("unrecognized format() type specifier \"{conversion}\"");
            return Err(invalid(message).hint("For a single \"%\" use \"%%\"."));
        }
        rest = &rest[conversion.len_utf8()..];
        let (width, left) = width(&specifier, values, &mut used)?;
        let text = converted(conversion, argument(specifier.position, values, &mut used)?)?;
        let pad = width.saturating_sub(text.chars().count());
        if out.len().saturating_add(text.len()).saturating_add(pad) > FORMATTED_BYTES_MAX {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
        }
        if left {
            out.push_str(&text);
        }
        out.extend(std::iter::repeat_n(' ', pad));
        if !left {
            out.push_str(&text);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `[n$][-][width]`, and `rest` after it.
fn specifier(rest: &mut &str) -> Result<Specifier> {
    let mut specifier = Specifier { position: None, left: false, width: Width::None };
    if let Some(number) = digits(rest)? {
        if let Some(after) = rest.strip_prefix('$') {
            *rest = after;
            specifier.position = Some(from_one(number)?);
        } else {
            // a width without flags
            specifier.width = Width::Is(number);
            return Ok(specifier);
        }
    }
    while let Some(after) = rest.strip_prefix('-') {
        specifier.left = true;
        *rest = after;
    }
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        let number = digits(rest)?;
        specifier.width = Width::Argument(match number {
            Some(number) => {
                *rest =
                    rest.strip_prefix('$').ok_or_else(|| invalid("width argument position must be ended by \"$\""))?;
                Some(from_one(number)?)
            }
            None => None,
        });
    } else if let Some(number) = digits(rest)? {
        specifier.width = Width::Is(number);
    }
    Ok(specifier)
}

fn digits(rest: &mut &str) -> Result<Option<usize>> {
    let end = rest.bytes().take_while(u8::is_ascii_digit).count();
    if end == 0 {
        return Ok(None);
    }
    let number = rest[..end].parse::<i32>();
    *rest = &rest[end..];
    number
        .map(|number| Some(number as usize))
        .map_err(|_| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "number is out of range"))
}

fn from_one(number: usize) -> Result<usize> {
    if number == 0 {
        return Err(invalid("format specifies argument 0, but arguments are numbered from 1"));
    }
    Ok(number)
}

/// The width and whether the text stands at its left: a negative width of an argument says so too.
fn width(specifier: &Specifier, values: &[Option<&str>], used: &mut usize) -> Result<(usize, bool)> {
    Ok(match specifier.width {
        Width::None => (0, specifier.left),
        Width::Is(width) => (width, specifier.left),
        Width::Argument(position) => {
            let text = argument(position, values, used)?.unwrap_or("0");
            let width: i32 = text.trim().parse().map_err(|_| {
                let message = format!("invalid input syntax for type integer: \"{text}\"");
                Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
            })?;
            (width.unsigned_abs() as usize, specifier.left || width < 0)
        }
    })
}

fn argument<'a>(position: Option<usize>, values: &[Option<&'a str>], used: &mut usize) -> Result<Option<&'a str>> {
    *used = position.unwrap_or(*used + 1);
    values.get(*used - 1).copied().ok_or_else(|| invalid("too few arguments for format()"))
}

fn converted(conversion: char, value: Option<&str>) -> Result<String> {
    Ok(match (conversion, value) {
        ('I', Some(name)) => ident(name),
        ('I', None) => {
            let message = "null values cannot be formatted as an SQL identifier";
            return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
        }
        ('L', Some(text)) => literal(text),
        ('L', None) => "NULL".to_owned(),
        (_, text) => text.unwrap_or_default().to_owned(),
    })
}

fn unterminated() -> Error {
    invalid("unterminated format() type specifier").hint("For a single \"%\" use \"%%\".")
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(pattern: &str, values: &[Option<&str>]) -> std::result::Result<String, String> {
        format(pattern, values).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn names_and_texts_are_quoted_where_they_must_be() {
        for (name, quoted) in [
            ("a\"b", "\"a\"\"b\""),
            ("", "\"\""),
            ("Abc", "\"Abc\""),
            ("select", "\"select\""),
            ("a$b", "\"a$b\""),
            ("_x1", "_x1"),
            ("1x", "\"1x\""),
            ("name", "name"),
            ("ä", "\"ä\""),
        ] {
            assert_eq!(ident(name), quoted);
        }
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\b"), "E'a\\\\b'");
    }

    /// The answers are PostgreSQL's.
    #[test]
    fn format_fills_patterns() {
        let (a, b) = (Some("a"), Some("b"));
        assert_eq!(
            formatted("%s|%3s|%-3s|%I|%L|%%", &[a, b, a, Some("D e"), Some("f'g")]).unwrap(),
            "a|  b|a  |\"D e\"|'f''g'|%"
        );
        assert_eq!(formatted("%2$s %1$s %s", &[a, b]).unwrap(), "b a b");
        assert_eq!(formatted("%*s|%-*s|%*s", &[Some("3"), a, Some("2"), b, Some("-2"), a]).unwrap(), "  a|b |a ");
        assert_eq!(formatted("%s%L", &[None, None]).unwrap(), "NULL");
        for (pattern, message) in [
            ("%s %s", "too few arguments for format()"),
            ("%x", "unrecognized format() type specifier \"x\""),
            ("%", "unterminated format() type specifier"),
            ("%1$", "unterminated format() type specifier"),
            ("%0$s", "format specifies argument 0, but arguments are numbered from 1"),
            ("%*3s", "width argument position must be ended by \"$\""),
            ("%2000000000s", "requested length too large"),
        ] {
            assert_eq!(formatted(pattern, &[a]).unwrap_err(), message, "{pattern}");
        }
        assert!(formatted("%I", &[None]).is_err());
    }
}
