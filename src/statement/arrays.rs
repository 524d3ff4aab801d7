//! Texts that are arrays: `{1,2,NULL,"a b"}`.
//!
//! PostgreSQL 15, 8.15.2 "Array Value Input". Elements of arrays in arrays are told one after another, since a type says
//! nothing of dimensions.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ListArray, StringArray, StringBuilder};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{Error, SqlState};

/// Elements of a text that is an array; `None` is NULL.
///
/// # Errors
/// `22P02` for what is no array.
pub fn parse(text: &str) -> std::result::Result<Vec<Option<String>>, Error> {
    let malformed =
        || Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\""));
    let body = text.trim();
    // bounds may stand in front: [2:3]={1,2}
    let body = match body.strip_prefix('[') {
        Some(_) => body.split_once('=').ok_or_else(malformed)?.1,
        None => body,
    };
    if !body.starts_with('{') {
        return Err(malformed().detail("Array value must start with \"{\" or dimension information.".to_owned()));
    }
    let mut characters = body.chars().peekable();
    let (mut elements, mut depth) = (Vec::new(), 0_usize);
    // after an element or a closing brace a comma or a closing brace follows
    let mut complete = false;
    while let Some(character) = characters.next() {
        match character {
            '{' if !complete => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                complete = true;
                if depth == 0 {
                    break;
                }
            }
            ',' if complete && depth > 0 => complete = false,
            c if c.is_whitespace() => {}
            _ if complete || depth == 0 => return Err(malformed()),
            '"' => {
                let mut element = String::new();
                loop {
                    match characters.next() {
                        Some('\\') => element.push(characters.next().ok_or_else(malformed)?),
                        Some('"') => break,
                        Some(c) => element.push(c),
                        None => return Err(malformed()),
                    }
                }
                elements.push(Some(element));
                complete = true;
            }
            ',' => return Err(malformed()),
            first => {
                let mut element = String::new();
                let mut next = Some(first);
                while let Some(c) = next {
                    match c {
                        '\\' => element.push(characters.next().ok_or_else(malformed)?),
                        '"' | '{' => return Err(malformed()),
                        c => element.push(c),
                    }
                    next = characters.next_if(|c| !matches!(c, ',' | '}'));
                }
                let element = element.trim_end();
                elements.push((!element.eq_ignore_ascii_case("null")).then(|| element.to_owned()));
                complete = true;
            }
        }
    }
    let rest: String = characters.collect();
    if depth > 0 || !rest.trim().is_empty() {
        return Err(malformed());
    }
    Ok(elements)
}

/// The arrays that texts stand for, with elements of a type.
///
/// # Errors
/// As [`parse`], and what reading an element gives.
pub fn from_texts(texts: &StringArray, element: &DataType) -> Result<ListArray> {
    let mut elements = StringBuilder::new();
    let mut lengths = Vec::with_capacity(texts.len());
    for text in texts {
        let parsed = text.map(parse).transpose().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let parsed = parsed.unwrap_or_default();
        lengths.push(parsed.len());
        for value in parsed {
            elements.append_option(value);
        }
    }
    let elements: ArrayRef = Arc::new(elements.finish());
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let values =
        if element == elements.data_type() { elements } else { cast_with_options(&elements, element, &options)? };
    let nulls = texts.nulls().map(|nulls| NullBuffer::new(nulls.inner().clone()));
    let field = Arc::new(Field::new_list_field(element.clone(), true));
    Ok(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, nulls)?)
}

/// The function that makes arrays of texts, as a cast to an array type does. `field` is of the array.
pub fn reader(field: FieldRef) -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
    ScalarUDF::new_from_impl(ArrayIn { field, signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayIn {
    field: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for ArrayIn {
    fn name(&self) -> &'static str {
        "array_in"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = args.args[0].to_array(args.number_rows)?;
        let DataType::List(item) = self.field.data_type() else {
            return datafusion::common::internal_err!("array_in makes arrays");
        };
        let texts = datafusion::arrow::array::AsArray::as_string::<i32>(&texts);
        let (_, offsets, values, nulls) = from_texts(texts, item.data_type())?.into_parts();
        let lists: ArrayRef = Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?);
        Ok(ColumnarValue::Array(lists))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_as_postgresql_reads_them() {
        let read = |text: &str| match parse(text) {
            Ok(elements) => {
                elements.into_iter().map(|e| e.unwrap_or_else(|| "~".to_owned())).collect::<Vec<_>>().join("|")
            }
            Err(error) => format!("{} {}", error.sqlstate().code(), error.message()),
        };
        for (text, expected) in [
            ("{}", ""),
            ("{1,2}", "1|2"),
            (" { a , NULL ,\"NULL\", \"b \\\" , c\" } ", "a|~|NULL|b \" , c"),
            ("{{1,2},{3,4}}", "1|2|3|4"),
            ("[2:3]={1,2}", "1|2"),
            ("{a b,c\\,d}", "a b|c,d"),
            ("", "22P02 malformed array literal: \"\""),
            ("{1,2", "22P02 malformed array literal: \"{1,2\""),
            ("{1,,2}", "22P02 malformed array literal: \"{1,,2}\""),
            ("{1} x", "22P02 malformed array literal: \"{1} x\""),
            ("1,2", "22P02 malformed array literal: \"1,2\""),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn elements_have_the_type_that_is_asked_for() {
        let lists = from_texts(&StringArray::from(vec![Some("{1,NULL}"), None, Some("{}")]), &DataType::Int32).unwrap();
        assert_eq!((lists.len(), lists.value_length(0), lists.value_length(2)), (3, 2, 0));
        assert!(lists.is_null(1) && lists.values().is_null(1));
        assert!(from_texts(&StringArray::from(vec!["{x}"]), &DataType::Int32).is_err());
    }
}
