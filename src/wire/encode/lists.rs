//! Lists as PostgreSQL's arrays, in text and binary.
//!
//! It owns dimensions and quoting (`arrayfuncs.c`, `array_out`, `array_send`). A list of lists is an array of two
//! dimensions, so its inner lists must have one length and none may be NULL. It refuses to know element forms.

use std::ops::Range;

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field};

use super::EncodeOptions;
use super::column::{Column, Data};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::{self, oid};

/// PostgreSQL's `MAXDIM`.
pub(super) const DIMENSIONS_MAX: usize = 6;

/// A list array: where each row's elements lie, and the elements.
pub(super) struct Lists<'a> {
    extents: Extents<'a>,
    pub(super) items: Box<Column<'a>>,
    /// 1 when the elements are no lists.
    depth: usize,
    /// OID of the innermost elements.
    element_oid: u32,
}

/// Where each row's elements lie.
pub(super) enum Extents<'a> {
    Offsets32(&'a [i32]),
    Offsets64(&'a [i64]),
    Views32(&'a [i32], &'a [i32]),
    Views64(&'a [i64], &'a [i64]),
    Fixed(usize),
}

/// The lengths of an array's dimensions; an empty array has none.
struct Shape {
    lengths: [usize; DIMENSIONS_MAX],
    count: usize,
}

impl<'a> Lists<'a> {
    pub(super) fn new(item: &Field, extents: Extents<'a>, values: &'a ArrayRef) -> Result<Self> {
        let (element, depth) = innermost(item);
        let element_oid = pgtype::pg_type(element).oid;
        Ok(Self { extents, items: Box::new(Column::new(item, values)?), depth, element_oid })
    }

    /// Where the elements of a row lie among the items.
    pub(super) fn range(&self, row: usize) -> Range<usize> {
        let from = |start: usize, len: usize| start..start + len;
        match &self.extents {
            Extents::Offsets32(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Extents::Offsets64(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Extents::Views32(offsets, sizes) => from(offsets[row] as usize, sizes[row] as usize),
            Extents::Views64(offsets, sizes) => from(offsets[row] as usize, sizes[row] as usize),
            Extents::Fixed(len) => from(row * len, *len),
        }
    }

    /// `array_out`: `{1,2,NULL}`.
    pub(super) fn text(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        if self.shape(row)?.count == 0 {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        self.braces(row, options, out)
    }

    /// The same lists as `int2vector` or `oidvector`, whichever the field declares.
    pub(super) fn of_vector(mut self, field: &Field) -> Self {
        self.element_oid = if pgtype::pg_type(field).oid == oid::INT2VECTOR { oid::INT2 } else { oid::OID };
        self
    }

    /// `int2vectorout`: the numbers with a space between them.
    pub(super) fn vector_text(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        for (position, item) in self.range(row).enumerate() {
            if position > 0 {
                out.put_u8(b' ');
            }
            self.items.text(item, options, out)?;
        }
        Ok(())
    }

    /// `int2vectorsend`: an array of one dimension whose lower bound is 0.
    pub(super) fn vector_binary(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        let range = self.range(row);
        // one dimension, no NULLs
        out.put_i32(1);
        out.put_i32(0);
        out.put_u32(self.element_oid);
        out.put_i32(range.len() as i32);
        out.put_i32(0);
        for item in range {
            let start = out.len();
            out.put_i32(0);
            if self.element_oid == oid::OID {
                out.put_u32(self.items.oid(item)?);
            } else {
                self.items.binary(item, options, out)?;
            }
            super::patch_length(start, out)?;
        }
        Ok(())
    }

    /// `array_send`: dimensions, whether there are NULLs, element type, then each element with its length.
    pub(super) fn binary(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        let shape = self.shape(row)?;
        out.put_i32(shape.count as i32);
        let flags = out.len();
        out.put_i32(0);
        out.put_u32(self.element_oid);
        for length in &shape.lengths[..shape.count] {
            out.put_i32(*length as i32);
            out.put_i32(1);
        }
        if shape.count > 0 && self.elements(row, options, out)? {
            out[flags + 3] = 1;
        }
        Ok(())
    }

    fn braces(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        let plain = self.items.is_plain();
        let start = out.len();
        out.put_u8(b'{');
        for (position, item) in self.range(row).enumerate() {
            if position > 0 {
                out.put_u8(b',');
            }
            if self.depth > 1 {
                let (inner, at) = self.inner(item)?;
                inner.braces(at, options, out)?;
            } else if self.items.is_null(item) {
                out.extend_from_slice(b"NULL");
            } else {
                let element = out.len();
                self.items.text(item, options, out)?;
                if !plain {
                    quote(element, out);
                }
            }
            super::check_size(out.len() - start)?;
        }
        out.put_u8(b'}');
        Ok(())
    }

    /// Writes the elements in row-major order and says whether one was NULL.
    fn elements(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<bool> {
        let mut has_null = false;
        let first = out.len();
        for item in self.range(row) {
            if self.depth > 1 {
                let (inner, at) = self.inner(item)?;
                has_null |= inner.elements(at, options, out)?;
            } else if self.items.is_null(item) {
                has_null = true;
                out.put_i32(-1);
            } else {
                let start = out.len();
                out.put_i32(0);
                self.items.binary(item, options, out)?;
                super::patch_length(start, out)?;
            }
            super::check_size(out.len() - first)?;
        }
        Ok(has_null)
    }

    fn shape(&self, row: usize) -> Result<Shape> {
        let mut shape = Shape { lengths: [0; DIMENSIONS_MAX], count: self.depth };
        let (mut lists, mut row_within) = (self, row);
        for dimension in 0..self.depth.min(DIMENSIONS_MAX) {
            let range = lists.range(row_within);
            shape.lengths[dimension] = range.len();
            if range.is_empty() || dimension + 1 == self.depth {
                break;
            }
            (lists, row_within) = lists.inner(range.start)?;
        }
        self.check(row, &shape.lengths)?;
        if shape.lengths[..self.depth].contains(&0) {
            shape.count = 0;
        }
        Ok(shape)
    }

    fn check(&self, row: usize, lengths: &[usize]) -> Result<()> {
        let range = self.range(row);
        let (length, inner_lengths) = lengths.split_first().unwrap_or((&0, &[]));
        if range.len() != *length {
            return Err(ragged("inner lists differ in length"));
        }
        if self.depth > 1 {
            for item in range {
                let (inner, at) = self.inner(item)?;
                inner.check(at, inner_lengths)?;
            }
        }
        Ok(())
    }

    fn inner(&self, item: usize) -> Result<(&Lists<'a>, usize)> {
        if self.items.is_null(item) {
            return Err(ragged("an inner list is NULL"));
        }
        match self.items.resolve(item) {
            (Column { data: Data::Lists(inner), .. }, at) => Ok((inner, at)),
            _ => Err(Error::internal("a list of lists holds no list")),
        }
    }
}

/// The innermost element's field and the number of dimensions over it.
pub(super) fn innermost(item: &Field) -> (&Field, usize) {
    match item.data_type() {
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::ListView(inner)
        | DataType::LargeListView(inner) => {
            let (element, depth) = innermost(inner);
            (element, depth + 1)
        }
        DataType::RunEndEncoded(_, values) => innermost(values),
        _ => (item, 1),
    }
}

fn ragged(detail: &str) -> Error {
    Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "multidimensional arrays must have sub-arrays with matching dimensions")
        .detail(format!("In this list of lists {detail}."))
        .hint("Use unnest to turn the outer list into rows.")
}

/// Quotes the text from `start` on where `array_in` would read it differently.
fn quote(start: usize, out: &mut BytesMut) {
    let element = &out[start..];
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t'..=b'\r');
    if !element.is_empty() && !element.iter().any(special) && !element.eq_ignore_ascii_case(b"null") {
        return;
    }
    let escapes = element.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    // from the end backwards, every byte moves to its final place
    let mut from = out.len();
    out.resize(from + escapes + 2, b'"');
    let mut to = out.len() - 1;
    while from > start {
        from -= 1;
        to -= 1;
        out[to] = out[from];
        if matches!(out[to], b'"' | b'\\') {
            to -= 1;
            out[to] = b'\\';
        }
    }
    out[start] = b'"';
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_quoted_only_where_they_must_be() {
        for (element, expected) in [
            ("", "\"\""),
            ("a", "a"),
            ("null", "\"null\""),
            ("a b", "\"a b\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("{", "\"{\""),
            (",", "\",\""),
            ("\u{b}", "\"\u{b}\""),
            ("é", "é"),
        ] {
            let mut out = BytesMut::from(format!("x{element}").as_bytes());
            quote(1, &mut out);
            assert_eq!(out, format!("x{expected}"));
        }
    }
}
