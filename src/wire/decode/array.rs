//! Array parameters, in text and binary, as Arrow lists.
//!
//! It owns braces, quotes, dimensions and the binary header (`arrayfuncs.c`, `array_in`, `array_recv`). Arrow's lists
//! count from the first element, so other lower bounds are refused. It refuses to know element types.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, i256};
use datafusion::scalar::ScalarValue;

use super::{insufficient, malformed, number, scalar_binary, scalar_text};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::{self, oid};
use crate::settings::time_zone::TimeZone;

/// PostgreSQL's `MAXDIM`.
const DIMENSIONS_MAX: usize = 6;
/// PostgreSQL's `MaxArraySize`.
const ELEMENTS_MAX: usize = 134_217_727;

/// `array_in`.
pub(super) fn text(element: u32, text: &str, zone: TimeZone) -> Result<ScalarValue> {
    let mut parser = Parser { text, rest: text, lengths: Vec::new(), elements: Vec::new() };
    parser.lower_bounds()?;
    parser.blanks();
    if !parser.rest.starts_with('{') {
        return Err(parser.malformed("Array value must start with \"{\" or dimension information."));
    }
    parser.list(0)?;
    parser.blanks();
    if !parser.rest.is_empty() {
        return Err(parser.malformed("Junk after closing right brace."));
    }
    let Parser { lengths, elements, .. } = parser;
    let lengths: Vec<usize> = lengths.into_iter().map(|length| length.unwrap_or(0)).collect();
    let values: Result<Vec<ScalarValue>> = elements
        .into_iter()
        .map(|value| value.map_or_else(|| null(element), |text| scalar_text(element, &text, zone)))
        .collect();
    build(element, &lengths, values?)
}

/// `array_recv`.
pub(super) fn binary(element: u32, mut bytes: &[u8]) -> Result<ScalarValue> {
    let dimensions = integer(&mut bytes)?;
    let flags = integer(&mut bytes)?;
    let found = integer(&mut bytes)? as u32;
    let dimensions =
        usize::try_from(dimensions).map_err(|_| malformed(format!("invalid number of dimensions: {dimensions}")))?;
    if dimensions > DIMENSIONS_MAX {
        return Err(too_deep(dimensions));
    }
    if !matches!(flags, 0 | 1) {
        return Err(malformed("invalid array flags"));
    }
    if found != element {
        let message = format!("binary data has array element type {found} instead of expected {element}");
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message));
    }
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let length = integer(&mut bytes)?;
        check_lower_bound(i64::from(integer(&mut bytes)?))?;
        lengths.push(usize::try_from(length).map_err(|_| malformed("invalid array length"))?);
    }
    let count = if lengths.is_empty() {
        Some(0)
    } else {
        lengths.iter().try_fold(1, |count: usize, length| count.checked_mul(*length))
    };
    let count = count.filter(|count| *count <= ELEMENTS_MAX).ok_or_else(too_many)?;
    // every element has a length of four bytes, so the message bounds what is reserved
    if count > bytes.len() / 4 {
        return Err(insufficient());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(match integer(&mut bytes)? {
            -1 => null(element)?,
            length => {
                let length = usize::try_from(length).map_err(|_| insufficient())?;
                let (value, rest) = bytes.split_at_checked(length).ok_or_else(insufficient)?;
                bytes = rest;
                scalar_binary(element, value)?
            }
        });
    }
    if !bytes.is_empty() {
        return Err(malformed("incorrect binary data format in bind parameter"));
    }
    build(element, &lengths, values)
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    /// The length of each dimension, known once its first list has ended.
    lengths: Vec<Option<usize>>,
    elements: Vec<Option<String>>,
}

impl Parser<'_> {
    /// `[1:2][1:3]=` before the braces.
    fn lower_bounds(&mut self) -> Result<()> {
        self.blanks();
        if !self.rest.starts_with('[') {
            return Ok(());
        }
        let (bounds, rest) =
            self.rest.split_once('=').ok_or_else(|| self.malformed("Missing \"=\" after array dimensions."))?;
        for dimension in bounds.trim_end().trim_end_matches(']').split(']') {
            let bound = dimension.strip_prefix('[').map(|range| range.split_once(':').map_or("1", |(low, _)| low));
            let bound = bound.and_then(|low| low.trim().parse().ok());
            check_lower_bound(bound.ok_or_else(|| self.malformed("Missing array dimension value."))?)?;
        }
        self.rest = rest;
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<()> {
        if depth >= DIMENSIONS_MAX {
            return Err(too_deep(depth + 1));
        }
        if self.lengths.len() == depth {
            self.lengths.push(None);
        }
        let inner_is_known = self.lengths.len() > depth + 1;
        let mut holds_lists = None;
        let mut length = 0;
        self.take();
        self.blanks();
        if self.rest.starts_with('}') {
            if depth > 0 {
                return Err(self.malformed("Unexpected \"}\" character."));
            }
            self.take();
            return self.close(depth, 0);
        }
        loop {
            self.blanks();
            let is_list = self.rest.starts_with('{');
            if *holds_lists.get_or_insert(is_list) != is_list || (!is_list && inner_is_known) {
                return Err(self.ragged());
            }
            if is_list {
                self.list(depth + 1)?;
            } else {
                let element = self.element()?;
                self.elements.push(element);
                if self.elements.len() > ELEMENTS_MAX {
                    return Err(too_many());
                }
            }
            length += 1;
            self.blanks();
            match self.take() {
                Some(',') => (),
                Some('}') => return self.close(depth, length),
                Some(other) => return Err(self.malformed(&format!("Unexpected \"{other}\" character."))),
                None => return Err(self.malformed("Unexpected end of input.")),
            }
        }
    }

    fn close(&mut self, depth: usize, length: usize) -> Result<()> {
        match self.lengths[depth] {
            Some(first) if first != length => Err(self.ragged()),
            _ => {
                self.lengths[depth] = Some(length);
                Ok(())
            }
        }
    }

    /// One element, `None` for an unquoted NULL.
    fn element(&mut self) -> Result<Option<String>> {
        let mut value = String::new();
        if self.rest.starts_with('"') {
            self.take();
            loop {
                match self.take() {
                    Some('"') => return Ok(Some(value)),
                    Some('\\') => value.extend(self.take()),
                    Some(letter) => value.push(letter),
                    None => return Err(self.malformed("Unexpected end of input.")),
                }
            }
        }
        // blanks at the end do not count, unless they are escaped
        let (mut kept, mut escaped) = (0, false);
        while let Some(letter) = self.rest.chars().next() {
            match letter {
                ',' | '}' => break,
                '{' | '"' => return Err(self.malformed(&format!("Unexpected \"{letter}\" character."))),
                '\\' => {
                    self.take();
                    escaped = true;
                    value.extend(self.take());
                    kept = value.len();
                }
                ' ' | '\t'..='\r' => {
                    value.push(letter);
                    self.take();
                }
                _ => {
                    value.push(letter);
                    self.take();
                    kept = value.len();
                }
            }
        }
        value.truncate(kept);
        match value.as_str() {
            "" => Err(self.malformed("Unexpected \"}\" or \",\" character.")),
            null if !escaped && null.eq_ignore_ascii_case("null") => Ok(None),
            _ => Ok(Some(value)),
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    }

    fn take(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        letter
    }

    fn malformed(&self, detail: &str) -> Error {
        let message = format!("malformed array literal: \"{}\"", self.text);
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message).detail(detail)
    }

    fn ragged(&self) -> Error {
        self.malformed("Multidimensional arrays must have sub-arrays with matching dimensions.")
    }
}

fn integer(bytes: &mut &[u8]) -> Result<i32> {
    let (four, rest) = bytes.split_first_chunk().ok_or_else(insufficient)?;
    *bytes = rest;
    Ok(i32::from_be_bytes(*four))
}

fn null(element: u32) -> Result<ScalarValue> {
    let data_type = pgtype::arrow_type(element).ok_or_else(|| Error::internal("an array of an unknown type"))?;
    ScalarValue::try_new_null(&data_type).map_err(Error::internal)
}

/// Nests the elements, which lie in row-major order; an array without elements has one dimension.
fn build(element: u32, lengths: &[usize], values: Vec<ScalarValue>) -> Result<ScalarValue> {
    if values.is_empty() {
        return Ok(ScalarValue::List(ScalarValue::new_list(&[], &null(element)?.data_type(), true)));
    }
    let mut values = if element == oid::NUMERIC { one_decimal_type(values)? } else { values };
    for length in lengths.iter().skip(1).rev() {
        values = values.chunks((*length).max(1)).map(list).collect();
    }
    Ok(list(&values))
}

/// Each numeric has the precision and scale that were written; a list's elements need one type that holds them all.
fn one_decimal_type(values: Vec<ScalarValue>) -> Result<Vec<ScalarValue>> {
    let (mut whole_max, mut scale_max) = (0, 0);
    for value in &values {
        if let ScalarValue::Decimal128(Some(_), precision, scale) | ScalarValue::Decimal256(Some(_), precision, scale) =
            value
        {
            scale_max = scale_max.max(*scale);
            whole_max = whole_max.max(i16::from(*precision) - i16::from(*scale));
        }
    }
    let precision = u8::try_from(whole_max + i16::from(scale_max)).unwrap_or(u8::MAX).max(1);
    if usize::from(precision) > number::DIGITS_MAX {
        return Err(number::overflow());
    }
    let widened = |value: i256, scale: i8| {
        let factor = i256::from_i128(10).checked_pow(u32::from(scale_max.abs_diff(scale)));
        factor.and_then(|factor| value.checked_mul(factor)).ok_or_else(number::overflow)
    };
    let unified = |value| {
        let value = match value {
            ScalarValue::Decimal128(Some(value), _, scale) => Some(widened(i256::from_i128(value), scale)?),
            ScalarValue::Decimal256(Some(value), _, scale) => Some(widened(value, scale)?),
            _ => None,
        };
        if precision > DECIMAL128_MAX_PRECISION {
            return Ok(ScalarValue::Decimal256(value, precision, scale_max));
        }
        let narrow = value.map(|value| value.to_i128().ok_or_else(number::overflow)).transpose()?;
        Ok(ScalarValue::Decimal128(narrow, precision, scale_max))
    };
    values.into_iter().map(unified).collect()
}

fn list(values: &[ScalarValue]) -> ScalarValue {
    let data_type = values.first().map_or(DataType::Null, ScalarValue::data_type);
    ScalarValue::List(ScalarValue::new_list(values, &data_type, true))
}

fn check_lower_bound(bound: i64) -> Result<()> {
    if bound == 1 {
        Ok(())
    } else {
        Err(Error::unsupported("arrays whose subscripts do not start at 1 are not supported"))
    }
}

fn too_deep(depth: usize) -> Error {
    let message = format!("number of array dimensions ({depth}) exceeds the maximum allowed ({DIMENSIONS_MAX})");
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

fn too_many() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(element: u32, literal: &str) -> std::result::Result<String, String> {
        let shown = |value: &ScalarValue| format!("{} {value}", value.data_type());
        text(element, literal, TimeZone::UTC)
            .map(|value| shown(&value))
            .map_err(|error| error.sqlstate().code().to_owned())
    }

    #[test]
    fn literals_with_quotes_nulls_and_dimensions() {
        for (element, literal, expected) in [
            (oid::INT4, "{1,2,NULL}", "List(Int32) [1, 2, ]"),
            (oid::INT4, " { 1 , 2 } ", "List(Int32) [1, 2]"),
            (oid::INT4, "[1:2]={1,2}", "List(Int32) [1, 2]"),
            (oid::INT4, "{}", "List(Int32) []"),
            (oid::INT4, "{{1,2},{3,4}}", "List(List(Int32)) [[1, 2], [3, 4]]"),
            (oid::TEXT, r#"{"a,b","\"x\"","null", b c }"#, r#"List(Utf8) [a,b, "x", null, b c]"#),
            (oid::NUMERIC, "{1.5,20,NULL}", "List(Decimal128(3, 1)) [1.5, 20.0, ]"),
        ] {
            assert_eq!(read(element, literal).as_deref(), Ok(expected), "{literal}");
        }
    }

    #[test]
    fn broken_literals_are_refused() {
        for literal in [
            "",
            "1",
            "{1",
            "{1,}",
            "{,1}",
            "{1}x",
            "{1,{2}}",
            "{{1},2}",
            "{{}}",
            "{{1},{2,3}}",
            "{\"a",
            "{a\"b\"}",
            "[1:2]",
        ] {
            assert_eq!(read(oid::TEXT, literal), Err("22P02".to_owned()), "{literal}");
        }
        assert_eq!(read(oid::INT4, "{x}"), Err("22P02".to_owned()));
        assert_eq!(read(oid::INT4, "[0:1]={1,2}"), Err("0A000".to_owned()));
        assert_eq!(read(oid::INT4, "{{{{{{{1}}}}}}}"), Err("54000".to_owned()));
    }

    #[test]
    fn binary_arrays_are_checked_against_their_message() {
        let sent = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let read = |words: &[i32]| {
            binary(oid::INT4, &sent(words))
                .map(|value| value.to_string())
                .map_err(|error| error.sqlstate().code().to_owned())
        };
        assert_eq!(read(&[1, 1, 23, 2, 1, 4, 7, -1]).as_deref(), Ok("[7, ]"));
        assert_eq!(read(&[0, 0, 23]).as_deref(), Ok("[]"));
        assert_eq!(read(&[2, 0, 23, 1, 1, 2, 1, 4, 7, 4, 8]).as_deref(), Ok("[[7, 8]]"));
        for (words, code) in [
            (&[1, 0][..], "08P01"),
            (&[-1, 0, 23], "22P03"),
            (&[7, 0, 23], "54000"),
            (&[1, 2, 23, 0, 1], "22P03"),
            (&[1, 0, 25, 0, 1], "42804"),
            (&[1, 0, 23, 0x7fff_ffff, 1], "54000"),
            (&[1, 0, 23, 1000, 1, 4, 7], "08P01"),
            (&[1, 0, 23, 1, 1, 8, 7], "08P01"),
            (&[1, 0, 23, 1, 1, 4, 7, 9], "22P03"),
            (&[1, 0, 23, 1, 0, 4, 7], "0A000"),
        ] {
            assert_eq!(read(words), Err(code.to_owned()), "{words:?}");
        }
    }
}
