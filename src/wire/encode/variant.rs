//! Parquet variants as `jsonb` (Parquet's "Variant Binary Encoding").
//!
//! It owns the two byte strings, `metadata` (the dictionary of keys) and `value`. Both come from a file and are not
//! trusted: every offset is checked, depth and size are bounded. It refuses to know Arrow's arrays.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::datatypes::TimeUnit;

use super::column::{self, Column, Data};
use super::temporal::{self, Style};
use super::{EncodeOptions, json, number, numeric};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::show::json::string;

/// The only version of the metadata.
const VERSION: u8 = 1;
/// How deep arrays and objects may nest.
const DEPTH_MAX: usize = 500;
/// A decimal's largest scale (specification, "Decimal table").
const SCALE_MAX: u8 = 38;

/// A struct array of variants.
pub(super) struct Variants<'a> {
    pub(super) metadata: Box<Column<'a>>,
    pub(super) value: Box<Column<'a>>,
}

impl Variants<'_> {
    /// Writes one variant as JSON. Errors: `XX001` for bytes that are no variant, `54001` for one nested too deep.
    pub(super) fn write(&self, row: usize, options: &EncodeOptions, out: &mut BytesMut) -> Result<()> {
        if self.value.is_null(row) || self.metadata.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let (Some(metadata), Some(value)) = (bytes_of(&self.metadata, row), bytes_of(&self.value, row)) else {
            return Err(Error::internal("a variant's parts are not binary"));
        };
        let writer = Writer { keys: Keys::read(metadata)?, options, start: out.len() };
        writer.value(value, 0, out)
    }
}

fn bytes_of<'a>(column: &'a Column<'_>, row: usize) -> Option<&'a [u8]> {
    match &column.data {
        Data::Binary(values) => Some(values.value(row)),
        Data::LargeBinary(values) => Some(values.value(row)),
        Data::BinaryView(values) => Some(values.value(row)),
        Data::FixedBinary(values) => Some(values.value(row)),
        _ => None,
    }
}

/// The dictionary of keys.
struct Keys<'a> {
    offsets: &'a [u8],
    width: usize,
    count: usize,
    texts: &'a [u8],
}

impl<'a> Keys<'a> {
    fn read(metadata: &'a [u8]) -> Result<Self> {
        let (header, rest) = metadata.split_first().ok_or_else(broken)?;
        if header & 0x0f != VERSION {
            return Err(broken().detail(format!("The metadata have version {}, not {VERSION}.", header & 0x0f)));
        }
        let width = usize::from(header >> 6) + 1;
        let count = integer(rest, 0, width)?;
        let table = slice(rest, width..usize::MAX)?;
        let table_len = count.checked_add(1).and_then(|entries| entries.checked_mul(width)).ok_or_else(broken)?;
        let (offsets, texts) = table.split_at_checked(table_len).ok_or_else(broken)?;
        Ok(Self { offsets, width, count, texts })
    }

    fn get(&self, id: usize) -> Result<&'a [u8]> {
        if id >= self.count {
            return Err(broken());
        }
        let start = integer(self.offsets, id * self.width, self.width)?;
        let end = integer(self.offsets, (id + 1) * self.width, self.width)?;
        text(slice_between(self.texts, start, end)?)
    }
}

struct Writer<'a> {
    keys: Keys<'a>,
    options: &'a EncodeOptions,
    /// Where this variant starts in the output.
    start: usize,
}

impl Writer<'_> {
    fn value(&self, bytes: &[u8], depth: usize, out: &mut BytesMut) -> Result<()> {
        // offsets may share their values, so a few bytes can mean a text without end
        super::check_size(out.len() - self.start)?;
        if depth > DEPTH_MAX {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("a variant is nested deeper than {DEPTH_MAX}"),
            ));
        }
        let (header, rest) = bytes.split_first().ok_or_else(broken)?;
        let type_header = header >> 2;
        match header & 3 {
            0 => self.primitive(type_header, rest, out),
            1 => {
                string(text(slice_between(rest, 0, usize::from(type_header))?)?, out);
                Ok(())
            }
            2 => self.object(type_header, rest, depth, out),
            _ => self.array(type_header, rest, depth, out),
        }
    }

    fn object(&self, header: u8, bytes: &[u8], depth: usize, out: &mut BytesMut) -> Result<()> {
        let (offset_width, id_width) = (usize::from(header & 3) + 1, usize::from(header >> 2 & 3) + 1);
        let count_width = if header >> 4 & 1 == 1 { 4 } else { 1 };
        let count = integer(bytes, 0, count_width)?;
        let ids = slice(bytes, count_width..usize::MAX)?;
        let (ids, rest) = count.checked_mul(id_width).and_then(|len| ids.split_at_checked(len)).ok_or_else(broken)?;
        let (offsets, values) = split_offsets(rest, count, offset_width)?;
        let mut keys = BytesMut::new();
        let mut entries = Vec::with_capacity(count);
        for entry in 0..count {
            let start = keys.len();
            keys.extend_from_slice(self.keys.get(integer(ids, entry * id_width, id_width)?)?);
            // an object's values may lie in any order, so an offset only says where one starts
            entries.push((start..keys.len(), integer(offsets, entry * offset_width, offset_width)?));
        }
        json::object(&keys, entries, out, |offset, out| self.value(slice(values, offset..usize::MAX)?, depth + 1, out))
    }

    fn array(&self, header: u8, bytes: &[u8], depth: usize, out: &mut BytesMut) -> Result<()> {
        let offset_width = usize::from(header & 3) + 1;
        let count_width = if header >> 2 & 1 == 1 { 4 } else { 1 };
        let count = integer(bytes, 0, count_width)?;
        let (offsets, values) = split_offsets(slice(bytes, count_width..usize::MAX)?, count, offset_width)?;
        out.put_u8(b'[');
        for element in 0..count {
            if element > 0 {
                out.extend_from_slice(b", ");
            }
            let offset = integer(offsets, element * offset_width, offset_width)?;
            self.value(slice(values, offset..usize::MAX)?, depth + 1, out)?;
        }
        out.put_u8(b']');
        Ok(())
    }

    /// The specification's table "Encoding types, primitive".
    fn primitive(&self, kind: u8, bytes: &[u8], out: &mut BytesMut) -> Result<()> {
        match kind {
            0 => out.extend_from_slice(b"null"),
            1 => out.extend_from_slice(b"true"),
            2 => out.extend_from_slice(b"false"),
            3 => number::signed(i64::from(i8::from_le_bytes(fixed(bytes)?)), out),
            4 => number::signed(i64::from(i16::from_le_bytes(fixed(bytes)?)), out),
            5 => number::signed(i64::from(i32::from_le_bytes(fixed(bytes)?)), out),
            6 => number::signed(i64::from_le_bytes(fixed(bytes)?), out),
            7 => number::double_json(f64::from_le_bytes(fixed(bytes)?), self.options.extra_float_digits, out),
            8..=10 => decimal(kind, bytes, out)?,
            11 => quoted(out, |out| temporal::date_text(i64::from(i32::from_le_bytes(fixed(bytes)?)), out))?,
            12 => self.moment(bytes, TimeUnit::Microsecond, true, out)?,
            13 => self.moment(bytes, TimeUnit::Microsecond, false, out)?,
            14 => number::float_json(f32::from_le_bytes(fixed(bytes)?), self.options.extra_float_digits, out),
            // JSON has no bytes; the specification's conversion to JSON is base64
            15 => string(STANDARD.encode(counted(bytes)?).as_bytes(), out),
            16 => string(text(counted(bytes)?)?, out),
            17 => quoted(out, |out| temporal::time_text(i64::from_le_bytes(fixed(bytes)?), out))?,
            18 => self.moment(bytes, TimeUnit::Nanosecond, true, out)?,
            19 => self.moment(bytes, TimeUnit::Nanosecond, false, out)?,
            20 => {
                let bytes = fixed(bytes)?;
                quoted(out, |out| {
                    uuid(bytes, out);
                    Ok(())
                })?;
            }
            _ => return Err(broken().detail(format!("There is no primitive type {kind}."))),
        }
        Ok(())
    }

    fn moment(&self, bytes: &[u8], unit: TimeUnit, zoned: bool, out: &mut BytesMut) -> Result<()> {
        let micros = column::micros(i64::from_le_bytes(fixed(bytes)?), unit, "timestamp")?;
        let zone = zoned.then_some(&self.options.time_zone);
        quoted(out, |out| temporal::timestamp_text(micros, zone, Style::Xsd, out))
    }
}

fn decimal(kind: u8, bytes: &[u8], out: &mut BytesMut) -> Result<()> {
    let (scale, bytes) = bytes.split_first().ok_or_else(broken)?;
    if *scale > SCALE_MAX {
        return Err(broken());
    }
    let value = match kind {
        8 => i128::from(i32::from_le_bytes(fixed(bytes)?)),
        9 => i128::from(i64::from_le_bytes(fixed(bytes)?)),
        _ => i128::from_le_bytes(fixed(bytes)?),
    };
    numeric::text(value, *scale as i8, out);
    Ok(())
}

fn uuid(bytes: [u8; 16], out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            out.put_u8(b'-');
        }
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

fn quoted(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> Result<()>) -> Result<()> {
    out.put_u8(b'"');
    write(out)?;
    out.put_u8(b'"');
    Ok(())
}

fn split_offsets(bytes: &[u8], count: usize, width: usize) -> Result<(&[u8], &[u8])> {
    let len = count.checked_add(1).and_then(|entries| entries.checked_mul(width)).ok_or_else(broken)?;
    bytes.split_at_checked(len).ok_or_else(broken)
}

/// A little-endian unsigned integer of one to four bytes.
fn integer(bytes: &[u8], at: usize, width: usize) -> Result<usize> {
    let digits = slice_between(bytes, at, at.saturating_add(width))?;
    Ok(digits.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// Bytes after their four-byte length.
fn counted(bytes: &[u8]) -> Result<&[u8]> {
    let len = integer(bytes, 0, 4)?;
    slice_between(bytes, 4, len.saturating_add(4))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.first_chunk().copied().ok_or_else(broken)
}

fn slice(bytes: &[u8], range: Range<usize>) -> Result<&[u8]> {
    bytes.get(range.start..).ok_or_else(broken)
}

fn slice_between(bytes: &[u8], start: usize, end: usize) -> Result<&[u8]> {
    bytes.get(start..end).ok_or_else(broken)
}

fn text(bytes: &[u8]) -> Result<&[u8]> {
    std::str::from_utf8(bytes).map(str::as_bytes).map_err(|_| broken())
}

fn broken() -> Error {
    Error::new(SqlState::DATA_CORRUPTED, "a variant's bytes are broken")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_KEYS: &[u8] = &[1, 0, 0];

    fn shown(metadata: &[u8], value: &[u8]) -> String {
        let options = EncodeOptions::default();
        let mut out = BytesMut::new();
        let written = Keys::read(metadata)
            .and_then(|keys| Writer { keys, options: &options, start: 0 }.value(value, 0, &mut out));
        match written {
            Ok(()) => String::from_utf8(out.to_vec()).unwrap(),
            Err(error) => error.sqlstate().code().to_owned(),
        }
    }

    fn primitive(kind: u8, payload: &[u8]) -> String {
        shown(NO_KEYS, &[&[kind << 2], payload].concat())
    }

    #[test]
    fn every_primitive() {
        assert_eq!(primitive(0, &[]), "null");
        assert_eq!(primitive(1, &[]), "true");
        assert_eq!(primitive(2, &[]), "false");
        assert_eq!(primitive(3, &[0xff]), "-1");
        assert_eq!(primitive(4, &300_i16.to_le_bytes()), "300");
        assert_eq!(primitive(5, &70_000_i32.to_le_bytes()), "70000");
        assert_eq!(primitive(6, &i64::MIN.to_le_bytes()), i64::MIN.to_string());
        assert_eq!(primitive(7, &1.5_f64.to_le_bytes()), "1.5");
        assert_eq!(primitive(8, &[2, 0x39, 0x30, 0, 0]), "123.45");
        assert_eq!(primitive(9, &[&[1], &(-5_i64).to_le_bytes()[..]].concat()), "-0.5");
        assert_eq!(primitive(10, &[&[0], &i128::MAX.to_le_bytes()[..]].concat()), i128::MAX.to_string());
        assert_eq!(primitive(11, &0_i32.to_le_bytes()), "\"1970-01-01\"");
        assert_eq!(primitive(12, &1_i64.to_le_bytes()), "\"1970-01-01T00:00:00.000001+00:00\"");
        assert_eq!(primitive(13, &0_i64.to_le_bytes()), "\"1970-01-01T00:00:00\"");
        assert_eq!(primitive(14, &0.1_f32.to_le_bytes()), "0.1");
        assert_eq!(primitive(15, &[2, 0, 0, 0, 0xff, 0xfe]), "\"//4=\"");
        assert_eq!(primitive(16, &[1, 0, 0, 0, b'"']), "\"\\\"\"");
        assert_eq!(primitive(17, &1_000_000_i64.to_le_bytes()), "\"00:00:01\"");
        assert_eq!(primitive(18, &1_999_i64.to_le_bytes()), "\"1970-01-01T00:00:00.000001+00:00\"");
        assert_eq!(primitive(19, &0_i64.to_le_bytes()), "\"1970-01-01T00:00:00\"");
        assert_eq!(primitive(20, &[0x11; 16]), "\"11111111-1111-1111-1111-111111111111\"");
        assert_eq!(shown(NO_KEYS, &[2 << 2 | 1, b'h', b'i']), "\"hi\"");
    }

    #[test]
    fn objects_and_arrays_nest_and_keys_take_jsonbs_order() {
        // keys: "bb", "a"
        let metadata = [1, 2, 0, 2, 3, b'b', b'b', b'a'];
        // {"bb": 1, "a": [true, null]}, ids sorted by key as the specification demands
        let array = [3, 2, 0, 1, 2, 1 << 2, 0];
        let value = [&[2, 2, 1, 0, 0, 7, 9][..], &array, &[3 << 2, 1]].concat();
        assert_eq!(shown(&metadata, &value), r#"{"a": [true, null], "bb": 1}"#);
        assert_eq!(shown(NO_KEYS, &[2, 0, 0]), "{}");
        assert_eq!(shown(NO_KEYS, &[3, 0, 0]), "[]");
    }

    #[test]
    fn broken_bytes_are_refused() {
        for value in
            [&[][..], &[3 << 2], &[21 << 2], &[5 << 2 | 1, b'x'], &[3, 255], &[2, 1, 0, 0, 1, 0], &[1 << 2 | 1, 0xff]]
        {
            assert_eq!(shown(NO_KEYS, value), "XX001", "{value:?}");
        }
        for metadata in [&[][..], &[2, 0, 0], &[1], &[0xc1, 255, 255, 255, 255]] {
            assert_eq!(shown(metadata, &[0]), "XX001", "{metadata:?}");
        }
        let deep: Vec<u8> = (0..600).flat_map(|_| [3, 1, 0, 1]).chain([0]).collect();
        assert_eq!(shown(NO_KEYS, &deep), "54001");
    }

    #[test]
    fn noise_is_refused_without_a_panic() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let metadata = [1, 2, 0, 2, 3, b'b', b'b', b'a'];
        for _ in 0..50_000 {
            let value: Vec<u8> = (0..next(24)).map(|_| [0, 1, 2, 3, 4, next(256) as u8][next(6)]).collect();
            let shown = shown(&metadata, &value);
            assert!(!shown.is_empty());
        }
    }
}
