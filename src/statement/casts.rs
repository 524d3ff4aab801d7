//! Casts as PostgreSQL does them, where Arrow's own do otherwise or not at all.
//!
//! PostgreSQL 15, 4.2.9 "Type Casts" and 8.3 "Character Types". Each cast of the statement is looked at once, before types
//! are made to fit each other; the types that [`super::types`] planned say what is meant.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::arrays;
use super::types::NUMERIC;
use crate::pgtype::{self, PG_TYPE_KEY, PG_TYPMOD_KEY};

/// The longest name, in bytes (`NAMEDATALEN` less its end).
const NAME_BYTES_MAX: usize = 63;
/// What PostgreSQL adds to the length in a typmod (`VARHDRSZ`).
const TYPMOD_HEADER: usize = 4;

/// Gives the casts of a statement PostgreSQL's meaning.
#[derive(Debug)]
pub struct Casts;

impl FunctionRewrite for Casts {
    fn name(&self) -> &'static str {
        "casts"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let (inner, field) = match expr {
            Expr::Cast(Cast { expr: inner, field }) => (inner, field),
            // a list may be long, and to fold each of its numbers by itself would take long
            Expr::InList(mut listed) => {
                listed.list.iter_mut().for_each(fold_integer);
                return Ok(Transformed::yes(Expr::InList(listed)));
            }
            other => return Ok(Transformed::no(other)),
        };
        let source = inner.to_field(schema)?.1;
        match meant(&inner, &source, &field) {
            Some(Meaning::Array) => Ok(Transformed::yes(call(arrays::reader(field), *inner))),
            Some(Meaning::Fitted(fit)) => {
                // as text first, whatever it is
                let text = if source.data_type().is_string() && !is_declared(&source) {
                    *inner
                } else {
                    Expr::Cast(Cast::new(inner, DataType::Utf8))
                };
                let fitted = call(ScalarUDF::new_from_impl(Fit::new(fit)), text);
                Ok(Transformed::yes(Expr::Cast(Cast::new_from_field(Box::new(fitted), field))))
            }
            Some(Meaning::Type(data_type)) if data_type == *source.data_type() => Ok(Transformed::yes(*inner)),
            Some(Meaning::Type(data_type)) => Ok(Transformed::yes(Expr::Cast(Cast::new(inner, data_type)))),
            None => Ok(Transformed::no(Expr::Cast(Cast { expr: inner, field }))),
        }
    }
}

/// `5::int4` is a number like any other.
fn fold_integer(expr: &mut Expr) {
    if let Expr::Cast(Cast { expr: inner, field }) = expr
        && *field.data_type() == DataType::Int32
        && let Expr::Literal(ScalarValue::Int64(Some(value)), _) = inner.as_ref()
        && let Ok(value) = i32::try_from(*value)
    {
        *expr = Expr::Literal(ScalarValue::Int32(Some(value)), None);
    }
}

/// What a cast means beyond what Arrow makes of it.
enum Meaning {
    /// A text that is an array.
    Array,
    Fitted(Rule),
    /// Another type than the planner took.
    Type(DataType),
}

fn meant(inner: &Expr, source: &FieldRef, target: &FieldRef) -> Option<Meaning> {
    if let DataType::List(_) = target.data_type() {
        return source.data_type().is_string().then_some(Meaning::Array);
    }
    if target.name() == NUMERIC && target.metadata().is_empty() {
        return numeric(inner, source.data_type()).map(Meaning::Type);
    }
    let length = target.metadata().get(PG_TYPMOD_KEY).and_then(|typmod| typmod.parse::<usize>().ok());
    let length = length.map(|typmod| typmod.saturating_sub(TYPMOD_HEADER));
    match (target.metadata().get(PG_TYPE_KEY)?.as_str(), length) {
        ("varchar", Some(length)) => Some(Meaning::Fitted(Rule::Cut { length })),
        ("bpchar", Some(length)) => Some(Meaning::Fitted(Rule::Padded { length })),
        ("name", _) => Some(Meaning::Fitted(Rule::Name)),
        ("char", _) => Some(Meaning::Fitted(Rule::Byte)),
        _ => None,
    }
}

/// The type of a `numeric` without precision: it has the digits that the value has.
fn numeric(inner: &Expr, source: &DataType) -> Option<DataType> {
    match source {
        DataType::Int8 | DataType::Int16 => Some(DataType::Decimal128(5, 0)),
        DataType::Int32 => Some(DataType::Decimal128(10, 0)),
        DataType::Int64 => Some(DataType::Decimal128(19, 0)),
        DataType::UInt64 => Some(DataType::Decimal128(20, 0)),
        DataType::Decimal128(..) | DataType::Decimal256(..) => Some(source.clone()),
        DataType::Utf8 => {
            let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = inner else { return None };
            let digits = text.trim().trim_start_matches(['-', '+']);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let plain = (whole.len() + fraction.len() > 0)
                && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
            let scale = i8::try_from(fraction.len()).ok()?;
            let precision = u8::try_from((whole.len() + fraction.len()).max(1)).ok()?;
            match precision {
                _ if !plain => None,
                0..=38 => Some(DataType::Decimal128(precision, scale)),
                39..=76 => Some(DataType::Decimal256(precision, scale)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_declared(field: &FieldRef) -> bool {
    field.metadata().contains_key(PG_TYPE_KEY)
}

fn call(function: ScalarUDF, argument: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![argument]))
}

/// How a text is made to fit a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    /// To a number of characters; what is too long is cut off without an error, as the standard has it for casts.
    Cut { length: usize },
    /// To exactly a number of characters.
    Padded { length: usize },
    /// To the bytes of a name.
    Name,
    /// To one byte.
    Byte,
}

impl Rule {
    fn fit(self, text: &str, into: &mut StringBuilder) {
        let characters = |length: usize| match text.char_indices().nth(length) {
            Some((end, _)) => &text[..end],
            None => text,
        };
        match self {
            Self::Cut { length } => into.append_value(characters(length)),
            Self::Padded { length } => {
                let cut = characters(length);
                let missing = length.saturating_sub(cut.chars().count());
                into.append_value(format!("{cut}{:missing$}", ""));
            }
            Self::Name => into.append_value(&text[..text.floor_char_boundary(NAME_BYTES_MAX)]),
            Self::Byte => into.append_value(characters(1)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Fit {
    rule: Rule,
    signature: Signature,
}

impl Fit {
    fn new(rule: Rule) -> Self {
        Self { rule, signature: Signature::exact(vec![DataType::Utf8], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Fit {
    fn name(&self) -> &str {
        match self.rule {
            Rule::Cut { .. } => "varchar",
            Rule::Padded { .. } => "bpchar",
            Rule::Name => "name",
            Rule::Byte => "char",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let fitted = |texts: &ArrayRef| {
            let texts = texts.as_string::<i32>();
            let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
            for text in texts {
                match text {
                    Some(text) => self.rule.fit(text, &mut builder),
                    None => builder.append_null(),
                }
            }
            builder.finish()
        };
        match &args.args[0] {
            ColumnarValue::Array(texts) => Ok(ColumnarValue::Array(Arc::new(fitted(texts)))),
            ColumnarValue::Scalar(text) => {
                let one = fitted(&text.to_array()?);
                Ok(ColumnarValue::Scalar(pgtype::constant(&one)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_to_fit() {
        let fit = |rule: Rule, text: &str| {
            let mut builder = StringBuilder::new();
            rule.fit(text, &mut builder);
            builder.finish().value(0).to_owned()
        };
        assert_eq!(fit(Rule::Cut { length: 2 }, "äöü"), "äö");
        assert_eq!(fit(Rule::Cut { length: 5 }, "äöü"), "äöü");
        assert_eq!(fit(Rule::Padded { length: 4 }, "äö"), "äö  ");
        assert_eq!(fit(Rule::Name, &"ä".repeat(40)).len(), 62);
        assert_eq!(fit(Rule::Byte, "relation"), "r");
        assert_eq!(fit(Rule::Byte, ""), "");
    }

    #[test]
    fn numeric_without_precision_has_the_digits_of_its_value() {
        let literal = |text: &str| Expr::Literal(ScalarValue::Utf8(Some(text.to_owned())), None);
        let of = |text: &str| numeric(&literal(text), &DataType::Utf8);
        assert_eq!(of("1.50"), Some(DataType::Decimal128(3, 2)));
        assert_eq!(of(" -12 "), Some(DataType::Decimal128(2, 0)));
        assert_eq!(of("1e3"), None);
        assert_eq!(of("x"), None);
        assert_eq!(numeric(&literal(""), &DataType::Int32), Some(DataType::Decimal128(10, 0)));
    }
}
