//! Arrow batches as COPY data: PostgreSQL's text, CSV and binary formats, a CopyData message for each row.
//!
//! PostgreSQL 15, SQL command COPY, "File Formats", and `copyto.c`. Values are written straight into the output and looked
//! through there: one that holds nothing to escape, as nearly all do, is never copied.

use std::ops::Range;

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;

use super::column::Column;
use super::{EncodeOptions, Format, RowEncoder, check_size};
use crate::error::{Error, Result};
use crate::statement::CopyFormat;

/// The type of a CopyData message.
const COPY_DATA: u8 = b'd';
/// What a binary COPY begins with: the signature, no flags, no extension.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// And ends with, in place of a number of columns.
const BINARY_TRAILER: i16 = -1;

/// Writes the rows of one COPY.
pub struct CopyEncoder {
    rows: RowEncoder,
    form: Form,
    names: Vec<String>,
    /// The binary header was written: PostgreSQL sends it with the first row.
    begun: bool,
    /// A value that is being escaped; kept for its memory.
    scratch: Vec<u8>,
}

enum Form {
    Binary,
    Lines(Lines),
}

/// Text and CSV: values with delimiters between them.
struct Lines {
    delimiter: u8,
    null: Vec<u8>,
    header: bool,
    style: Style,
    /// Numbers and flags hold nothing to escape.
    plain_pass: bool,
}

enum Style {
    /// The letter after the backslash for each byte that gets one.
    Text { escapes: Box<[u8; 256]> },
    Csv {
        quote: u8,
        escape: u8,
        force_quote: Vec<bool>,
        /// Bytes for which a value stands in quotes.
        special: Box<[bool; 256]>,
    },
}

impl CopyEncoder {
    /// An encoder for the batches of a schema.
    ///
    /// # Errors
    /// As [`RowEncoder::try_new`].
    pub fn try_new(schema: &Schema, format: CopyFormat, options: EncodeOptions) -> Result<Self> {
        let value_format = if format == CopyFormat::Binary { Format::Binary } else { Format::Text };
        let rows = RowEncoder::try_new(schema, &[value_format], options)?;
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(Self { rows, form: Form::of(format), names, begun: false, scratch: Vec::new() })
    }

    /// Appends CopyOutResponse, and the line of names where one was asked for.
    pub fn begin(&mut self, out: &mut BytesMut) {
        let code = u8::from(matches!(self.form, Form::Binary));
        let count = self.names.len() as u16;
        out.put_u8(b'H');
        out.put_u32(7 + 2 * u32::from(count));
        out.put_u8(code);
        out.put_u16(count);
        for _ in 0..count {
            out.put_u16(u16::from(code));
        }
        if let Form::Lines(lines) = &self.form
            && lines.header
        {
            let start = open(out);
            for (position, name) in self.names.iter().enumerate() {
                if position > 0 {
                    out.put_u8(lines.delimiter);
                }
                let value = out.len();
                out.extend_from_slice(name.as_bytes());
                lines.finish(value, false, self.names.len() == 1, &mut self.scratch, out);
            }
            out.put_u8(b'\n');
            close(start, out);
        }
    }

    /// Appends one CopyData message per row of `rows`.
    ///
    /// # Errors
    /// As [`RowEncoder::encode`]; `out` then ends with the last whole row.
    pub fn encode(&mut self, batch: &RecordBatch, rows: Range<usize>, out: &mut BytesMut) -> Result<()> {
        if rows.start > rows.end || rows.end > batch.num_rows() {
            return Err(Error::internal(format!("rows {rows:?} of a batch of {}", batch.num_rows())));
        }
        let batch = batch.slice(rows.start, rows.len());
        let columns = self.rows.columns(&batch)?;
        for row in 0..batch.num_rows() {
            let start = out.len();
            let written = match &self.form {
                Form::Binary => {
                    let before = if self.begun { &[][..] } else { BINARY_HEADER };
                    self.begun = true;
                    self.rows.row(&columns, row, COPY_DATA, before, out)
                }
                Form::Lines(lines) => lines.line(&columns, row, &self.rows.options, &mut self.scratch, out),
            };
            if let Err(error) = written {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends what ends the data, and CopyDone.
    pub fn end(&self, out: &mut BytesMut) {
        if matches!(self.form, Form::Binary) {
            let start = open(out);
            if !self.begun {
                out.extend_from_slice(BINARY_HEADER);
            }
            out.put_i16(BINARY_TRAILER);
            close(start, out);
        }
        out.extend_from_slice(b"c\0\0\0\x04");
    }
}

/// Begins a CopyData message whose length is not known yet.
fn open(out: &mut BytesMut) -> usize {
    let start = out.len();
    out.extend_from_slice(&[COPY_DATA, 0, 0, 0, 0]);
    start
}

fn close(start: usize, out: &mut BytesMut) {
    let length = (out.len() - start - 1) as u32;
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}

impl Form {
    fn of(format: CopyFormat) -> Self {
        match format {
            CopyFormat::Binary => Self::Binary,
            CopyFormat::Text { delimiter, null, header } => {
                let plain_pass = matches!(delimiter, b'\t' | b',' | b';' | b'|');
                let style = Style::Text { escapes: text_escapes(delimiter) };
                Self::Lines(Lines { delimiter, null: null.into_bytes(), header, style, plain_pass })
            }
            CopyFormat::Csv { delimiter, null, header, quote, escape, force_quote } => {
                let mut special = Box::new([false; 256]);
                for byte in [delimiter, quote, b'\n', b'\r'] {
                    special[usize::from(byte)] = true;
                }
                let plain_pass = matches!(delimiter, b'\t' | b',' | b';' | b'|')
                    && matches!(quote, b'"' | b'\'')
                    && matches!(null.as_str(), "" | "\\N" | "NULL")
                    && !force_quote.contains(&true);
                let style = Style::Csv { quote, escape, force_quote, special };
                Self::Lines(Lines { delimiter, null: null.into_bytes(), header, style, plain_pass })
            }
        }
    }
}

/// The letter that stands for each byte behind a backslash; 0 for a byte that stands for itself.
fn text_escapes(delimiter: u8) -> Box<[u8; 256]> {
    let mut escapes = Box::new([0; 256]);
    escapes[usize::from(b'\\')] = b'\\';
    // the delimiter first: one that is a control character with a letter of its own is written by it
    escapes[usize::from(delimiter)] = delimiter;
    for (byte, letter) in [(8, b'b'), (12, b'f'), (b'\n', b'n'), (b'\r', b'r'), (b'\t', b't'), (11, b'v')] {
        escapes[usize::from(byte)] = letter;
    }
    escapes
}

impl Lines {
    fn line(
        &self,
        columns: &[Column<'_>],
        row: usize,
        options: &EncodeOptions,
        scratch: &mut Vec<u8>,
        out: &mut BytesMut,
    ) -> Result<()> {
        let start = open(out);
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                out.put_u8(self.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(&self.null);
                continue;
            }
            let value = out.len();
            column.text(row, options, out)?;
            if !(self.plain_pass && column.is_plain()) {
                let forced = match &self.style {
                    Style::Text { .. } => false,
                    Style::Csv { force_quote, .. } => force_quote.get(position).copied().unwrap_or(false),
                };
                self.finish(value, forced, columns.len() == 1, scratch, out);
            }
            check_size(out.len() - start)?;
        }
        out.put_u8(b'\n');
        close(start, out);
        Ok(())
    }

    /// Escapes or quotes the value that begins at `value` and ends with the output.
    fn finish(&self, value: usize, forced: bool, alone: bool, scratch: &mut Vec<u8>, out: &mut BytesMut) {
        match &self.style {
            Style::Text { escapes } => {
                let Some(first) = out[value..].iter().position(|byte| escapes[usize::from(*byte)] != 0) else { return };
                scratch.clear();
                scratch.extend_from_slice(&out[value + first..]);
                out.truncate(value + first);
                for byte in &*scratch {
                    match escapes[usize::from(*byte)] {
                        0 => out.put_u8(*byte),
                        letter => out.extend_from_slice(&[b'\\', letter]),
                    }
                }
            }
            Style::Csv { quote, escape, special, .. } => {
                let text = &out[value..];
                let quoted = forced
                    || text == self.null
                    // alone on a line it would end the data
                    || (alone && text == b"\\.")
                    || text.iter().any(|byte| special[usize::from(*byte)]);
                if !quoted {
                    return;
                }
                scratch.clear();
                scratch.extend_from_slice(text);
                out.truncate(value);
                out.put_u8(*quote);
                for byte in &*scratch {
                    if byte == quote || byte == escape {
                        out.put_u8(*escape);
                    }
                    out.put_u8(*byte);
                }
                out.put_u8(*quote);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn copied(format: CopyFormat, rows: &[(Option<i64>, Option<&str>)]) -> BytesMut {
        let numbers: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
        let words: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>());
        let batch = RecordBatch::try_from_iter([("a", numbers), ("b b", words)]).unwrap();
        let mut encoder = CopyEncoder::try_new(&batch.schema(), format, EncodeOptions::default()).unwrap();
        let mut out = BytesMut::new();
        encoder.begin(&mut out);
        encoder.encode(&batch, 0..batch.num_rows(), &mut out).unwrap();
        encoder.end(&mut out);
        out
    }

    /// The data alone, as a client would write it to a file.
    fn data(format: CopyFormat, rows: &[(Option<i64>, Option<&str>)]) -> String {
        let mut out = copied(format, rows);
        let mut data = Vec::new();
        while out.len() > 5 {
            let length = u32::from_be_bytes([out[1], out[2], out[3], out[4]]) as usize;
            let message = out.split_to(length + 1);
            if message[0] == COPY_DATA {
                data.extend_from_slice(&message[5..]);
            }
        }
        String::from_utf8(data).unwrap()
    }

    fn csv(null: &str, header: bool, force_quote: bool) -> CopyFormat {
        let force_quote = vec![force_quote; 2];
        CopyFormat::Csv { delimiter: b',', null: null.to_owned(), header, quote: b'"', escape: b'"', force_quote }
    }

    #[test]
    fn text_is_escaped_by_letters() {
        let tabs = CopyFormat::Text { delimiter: b'\t', null: "\\N".to_owned(), header: true };
        let rows = [(Some(-1), Some("a\tb\\c\nd\u{1}")), (None, None), (Some(2), Some("\\N"))];
        assert_eq!(data(tabs, &rows), "a\tb b\n-1\ta\\tb\\\\c\\nd\u{1}\n\\N\t\\N\n2\t\\\\N\n");
        let dashes = CopyFormat::Text { delimiter: b'-', null: String::new(), header: false };
        assert_eq!(data(dashes, &[(Some(-1), Some("a-b\t"))]), "\\-1-a\\-b\\t\n");
    }

    #[test]
    fn csv_quotes_what_would_be_misread() {
        let rows = [(Some(1), Some("a,b")), (None, Some("say \"x\"")), (Some(2), None), (Some(3), Some(""))];
        assert_eq!(data(csv("", true, false), &rows), "a,b b\n1,\"a,b\"\n,\"say \"\"x\"\"\"\n2,\n3,\"\"\n");
        assert_eq!(data(csv("", false, true), &rows[..2]), "\"1\",\"a,b\"\n,\"say \"\"x\"\"\"\n");
        assert_eq!(data(csv("1", false, false), &[(Some(1), None)]), "\"1\",1\n", "a value that reads as NULL");
    }

    #[test]
    fn binary_has_its_header_with_the_first_row_and_a_trailer() {
        let out = copied(CopyFormat::Binary, &[(Some(7), None)]);
        let expected = [
            &b"H\0\0\0\x0b\x01\0\x02\0\x01\0\x01"[..],
            b"d\0\0\0\x29PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x07\xff\xff\xff\xff",
            b"d\0\0\0\x06\xff\xffc\0\0\0\x04",
        ]
        .concat();
        assert_eq!(out, expected[..]);
        let empty = copied(CopyFormat::Binary, &[]);
        assert_eq!(&empty[12..], &[&b"d\0\0\0\x19"[..], BINARY_HEADER, b"\xff\xffc\0\0\0\x04"].concat()[..]);
    }
}
