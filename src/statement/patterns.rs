//! Patterns of `SIMILAR TO` as regular expressions.
//!
//! PostgreSQL 15, 9.7.2 "SIMILAR TO Regular Expressions"; the function is PostgreSQL's own `similar_to_escape`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::error::{Error, SqlState};

const NAME: &str = "similar_to_escape";

/// The function of this name, if it is this one.
pub fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let texts = |count: usize| TypeSignature::Exact(vec![DataType::Utf8; count]);
    let signature = || Signature::one_of(vec![texts(1), texts(2)], Volatility::Immutable);
    (name == NAME).then(|| Arc::new(ScalarUDF::new_from_impl(SimilarTo { signature: signature() })))
}

/// The regular expression for a pattern.
///
/// # Errors
/// `22025` for an escape of several characters.
fn regular(pattern: &str, escape: &str) -> std::result::Result<String, Error> {
    let mut characters = escape.chars();
    let (escape, None) = (characters.next(), characters.next()) else {
        return Err(Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .hint("Escape string must be empty or one character."));
    };
    let mut regular = String::from("^(?:");
    let mut in_brackets = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            if let Some(next) = characters.next() {
                if !next.is_alphanumeric() && next != '_' {
                    regular.push('\\');
                }
                regular.push(next);
            }
            continue;
        }
        match character {
            ']' if in_brackets => in_brackets = false,
            '[' => in_brackets = true,
            _ => {}
        }
        match character {
            '\\' if in_brackets => regular.push_str("\\\\"),
            c if in_brackets => regular.push(c),
            '%' => regular.push_str(".*"),
            '_' => regular.push('.'),
            '(' => regular.push_str("(?:"),
            '\\' | '.' | '^' | '$' => {
                regular.push('\\');
                regular.push(character);
            }
            c => regular.push(c),
        }
    }
    regular.push_str(")$");
    Ok(regular)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SimilarTo {
    signature: Signature,
}

impl ScalarUDFImpl for SimilarTo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let (patterns, escapes) = (arrays[0].as_string::<i32>(), arrays.get(1).map(AsArray::as_string::<i32>));
        let mut builder = StringBuilder::new();
        for row in 0..rows {
            if patterns.is_null(row) || escapes.is_some_and(|escapes| escapes.is_null(row)) {
                builder.append_null();
                continue;
            }
            let escape = escapes.map_or("\\", |escapes| escapes.value(row));
            let regular = regular(patterns.value(row), escape).map_err(|e| DataFusionError::External(Box::new(e)))?;
            builder.append_value(regular);
        }
        let made = builder.finish();
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(made)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_whole_text() {
        for (pattern, escape, expected) in [
            ("(a|b)%", "\\", "^(?:(?:a|b).*)$"),
            ("_b_", "\\", "^(?:.b.)$"),
            ("a\\_c", "\\", "^(?:a_c)$"),
            ("a#%.", "#", "^(?:a\\%\\.)$"),
            ("[%_.]x", "", "^(?:[%_.]x)$"),
        ] {
            assert_eq!(regular(pattern, escape).unwrap(), expected, "{pattern}");
        }
        assert_eq!(regular("a", "##").unwrap_err().sqlstate(), SqlState::INVALID_ESCAPE_SEQUENCE);
    }
}
