//! Records: rows as values (`rowtypes.c`, `record_out` and `record_send`).

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::StructArray;
use datafusion::arrow::datatypes::Fields;

use super::EncodeOptions;
use super::column::Column;
use crate::error::Result;
use crate::pgtype;

/// A struct array of records.
pub(super) struct Record<'a> {
    members: Vec<Member<'a>>,
}

/// One field of the records: its name, its type and its values.
pub(super) struct Member<'a> {
    pub(super) name: String,
    type_oid: u32,
    pub(super) values: Column<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn new(fields: &Fields, array: &'a StructArray) -> Result<Self> {
        let members = fields.iter().zip(array.columns()).map(|(field, values)| {
            let values = Column::new(field, values)?;
            Ok(Member { name: field.name().clone(), type_oid: pgtype::pg_type(field).oid, values })
        });
        Ok(Self { members: members.collect::<Result<_>>()? })
    }

    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// `(1,"a b",)`: values in quotes where they could be misread, nothing for NULL.
    pub(super) fn text(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        let mut text = BytesMut::new();
        out.put_u8(b'(');
        for (position, member) in self.members.iter().enumerate() {
            if position > 0 {
                out.put_u8(b',');
            }
            if member.values.is_null(row) {
                continue;
            }
            text.clear();
            member.values.text(row, options, &mut text)?;
            quoted(&text, out);
            super::check_size(out.len() - start)?;
        }
        out.put_u8(b')');
        Ok(())
    }

    pub(super) fn binary(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        let start = out.len();
        out.put_u32(self.members.len() as u32);
        for member in &self.members {
            out.put_u32(member.type_oid);
            if member.values.is_null(row) {
                out.put_i32(super::NULL_LENGTH);
                continue;
            }
            let place = out.len();
            out.put_i32(0);
            member.values.binary(row, options, out)?;
            super::patch_length(place, out)?;
            super::check_size(out.len() - start)?;
        }
        Ok(())
    }
}

fn quoted(text: &[u8], out: &mut BytesMut) {
    let needs_quotes = |byte: &u8| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r');
    if !text.is_empty() && !text.iter().any(needs_quotes) {
        out.put_slice(text);
        return;
    }
    out.put_u8(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(*byte);
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_misread_is_quoted() {
        for (text, expected) in [
            ("a", "a"),
            ("", "\"\""),
            ("x y", "\"x y\""),
            ("q\"", "\"q\"\"\""),
            ("a\\b", "\"a\\\\b\""),
            ("{1,2}", "\"{1,2}\""),
            ("é", "é"),
        ] {
            let mut out = BytesMut::new();
            quoted(text.as_bytes(), &mut out);
            assert_eq!(out, expected.as_bytes(), "{text}");
        }
    }
}
