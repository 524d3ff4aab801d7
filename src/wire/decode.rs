//! Parameters of a Bind message as DataFusion's scalars.
//!
//! It owns which texts and bytes PostgreSQL accepts for a type, and with which SQLSTATE it refuses the others (`…in` and
//! `…recv` functions). Forms with a grammar of their own live below: `number`, `temporal`, `interval`, `array`. It
//! refuses to know statements and placeholders.

mod array;

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::scalar::ScalarValue;

use super::encode::Format;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::read::{
    boolean, bytea, exact, hyphenated, insufficient, interval, json, malformed, number, temporal, uuid,
};
use crate::pgtype::show::json::jsonb;
use crate::pgtype::{self, oid};
use crate::settings::time_zone::TimeZone;

/// PostgreSQL cuts a `name` to this many bytes (`NAMEDATALEN - 1`).
const NAME_BYTES_MAX: usize = 63;
const JSONB_VERSION: u8 = 1;
const NANOS_PER_MICRO: i64 = 1000;

/// Reads a parameter of a declared type; `zone` is where a `timestamptz` without an offset was written.
///
/// A NULL has the Arrow type of [`pgtype::arrow_type`]. A numeric has the precision and scale that were written, as a
/// literal has. Type OIDs 0 and `unknown` are text, and so is what names an object (`regclass`), until it is looked up.
///
/// Errors: `22P02`, `22003`, `22007`, `22008`, `22021`, `22023`, `22P03` and `08P01` as PostgreSQL; `0A000` for types
/// without an Arrow form, for infinite dates and for numeric `NaN`.
pub fn decode_parameter(type_oid: u32, format: Format, value: Option<&[u8]>, zone: TimeZone) -> Result<ScalarValue> {
    let data_type = pgtype::arrow_type(type_oid)
        .ok_or_else(|| Error::unsupported(format!("parameters of the type with OID {type_oid} are not supported")))?;
    let Some(bytes) = value else {
        return ScalarValue::try_new_null(&data_type).map_err(Error::internal);
    };
    match (pgtype::element_oid(type_oid), format) {
        (Some(element), Format::Text) => array::text(element, text(bytes)?, zone),
        (Some(element), Format::Binary) => array::binary(element, bytes),
        (None, Format::Text) => scalar_text(type_oid, text(bytes)?, zone),
        (None, Format::Binary) => scalar_binary(type_oid, bytes),
    }
}

fn scalar_text(type_oid: u32, text: &str, zone: TimeZone) -> Result<ScalarValue> {
    Ok(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(boolean(text)?)),
        oid::INT2 => ScalarValue::Int16(Some(number::integer(text, "smallint")?)),
        oid::INT4 => ScalarValue::Int32(Some(number::integer(text, "integer")?)),
        oid::INT8 => ScalarValue::Int64(Some(number::integer(text, "bigint")?)),
        oid::OID | oid::XID | oid::CID => ScalarValue::Int64(Some(number::object_id(text)?)),
        oid::FLOAT4 => ScalarValue::Float32(Some(number::float(text)?)),
        oid::FLOAT8 => ScalarValue::Float64(Some(number::double(text)?)),
        oid::NUMERIC => number::numeric_text(text)?,
        oid::BYTEA => ScalarValue::Binary(Some(bytea(text)?)),
        oid::DATE => ScalarValue::Date32(Some(temporal::date(text, zone)?)),
        oid::TIME => ScalarValue::Time64Microsecond(Some(temporal::time(text, zone)?)),
        oid::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(temporal::timestamp(text, zone)?), None),
        oid::TIMESTAMPTZ => {
            ScalarValue::TimestampMicrosecond(Some(temporal::timestamptz(text, zone)?), Some("UTC".into()))
        }
        oid::INTERVAL => {
            let (months, days, micros) = interval::parse(text)?;
            interval_scalar(months, days, micros)?
        }
        oid::UUID => utf8(uuid(text)?),
        oid::JSON => utf8(json_text(text)?),
        oid::JSONB => utf8(&jsonb(text)?),
        oid::NAME => utf8(&text[..text.floor_char_boundary(NAME_BYTES_MAX)]),
        oid::CHAR => utf8(text.chars().next().map(String::from).unwrap_or_default()),
        _ => utf8(text),
    })
}

fn json_text(text: &str) -> Result<&str> {
    json::check(text)?;
    Ok(text)
}

fn scalar_binary(type_oid: u32, bytes: &[u8]) -> Result<ScalarValue> {
    Ok(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(exact::<1>(bytes)? != [0])),
        oid::INT2 => ScalarValue::Int16(Some(i16::from_be_bytes(exact(bytes)?))),
        oid::INT4 => ScalarValue::Int32(Some(i32::from_be_bytes(exact(bytes)?))),
        oid::INT8 => ScalarValue::Int64(Some(i64::from_be_bytes(exact(bytes)?))),
        number if pgtype::is_oid_like(number) => ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(exact(bytes)?)))),
        oid::FLOAT4 => ScalarValue::Float32(Some(f32::from_be_bytes(exact(bytes)?))),
        oid::FLOAT8 => ScalarValue::Float64(Some(f64::from_be_bytes(exact(bytes)?))),
        oid::NUMERIC => number::numeric_binary(bytes)?,
        oid::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        oid::DATE => ScalarValue::Date32(Some(temporal::date_since_2000(i32::from_be_bytes(exact(bytes)?))?)),
        oid::TIME => ScalarValue::Time64Microsecond(Some(temporal::time_of_day(i64::from_be_bytes(exact(bytes)?))?)),
        oid::TIMESTAMP => {
            let micros = temporal::timestamp_since_2000(i64::from_be_bytes(exact(bytes)?))?;
            ScalarValue::TimestampMicrosecond(Some(micros), None)
        }
        oid::TIMESTAMPTZ => {
            let micros = temporal::timestamp_since_2000(i64::from_be_bytes(exact(bytes)?))?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        oid::INTERVAL => {
            // eight bytes of microseconds, then days, then months
            let bits = u128::from_be_bytes(exact(bytes)?);
            interval_scalar(bits as i32, (bits >> 32) as i32, (bits >> 64) as i64)?
        }
        oid::UUID => utf8(hyphenated(u128::from_be_bytes(exact(bytes)?))),
        oid::JSONB => match bytes.split_first() {
            Some((&JSONB_VERSION, rest)) => utf8(&jsonb(text(rest)?)?),
            Some((version, _)) => {
                return Err(malformed(format!("unsupported jsonb version number {version}")));
            }
            None => return Err(insufficient()),
        },
        oid::JSON => utf8(json_text(text(bytes)?)?),
        oid::CHAR => match exact::<1>(bytes)? {
            [0] => utf8(""),
            byte => utf8(text(&byte)?),
        },
        oid::NAME => {
            let name = text(bytes)?;
            if name.len() > NAME_BYTES_MAX {
                let error = Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, "identifier too long");
                return Err(error.detail(format!("Identifier must be less than {} characters.", NAME_BYTES_MAX + 1)));
            }
            utf8(name)
        }
        _ => utf8(text(bytes)?),
    })
}

fn utf8(text: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(text.into()))
}

/// Arrow counts the time part in nanoseconds, which reach 292 years.
fn interval_scalar(months: i32, days: i32, micros: i64) -> Result<ScalarValue> {
    let nanoseconds = micros
        .checked_mul(NANOS_PER_MICRO)
        .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"))?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds })))
}

/// Bytes as text in UTF-8 without NUL, as every PostgreSQL text is.
fn text(bytes: &[u8]) -> Result<&str> {
    let not_text = |sequence: &[u8]| {
        let shown: Vec<String> = sequence.iter().map(|byte| format!("0x{byte:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
        Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let rest = &bytes[error.valid_up_to()..];
        let promised = match rest.first() {
            Some(0xc0..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf7) => 4,
            _ => 1,
        };
        not_text(&rest[..promised.min(rest.len())])
    })?;
    if text.contains('\0') { Err(not_text(&[0])) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn read(type_oid: u32, text: &str) -> std::result::Result<ScalarValue, String> {
        decode_parameter(type_oid, Format::Text, Some(text.as_bytes()), TimeZone::UTC)
            .map_err(|error| error.sqlstate().code().to_owned())
    }

    fn received(type_oid: u32, bytes: &[u8]) -> std::result::Result<ScalarValue, String> {
        decode_parameter(type_oid, Format::Binary, Some(bytes), TimeZone::UTC)
            .map_err(|error| error.sqlstate().code().to_owned())
    }

    #[test]
    fn null_has_its_type_and_foreign_types_are_refused() {
        let null = decode_parameter(oid::INT4, Format::Text, None, TimeZone::UTC).unwrap();
        assert_eq!(null, ScalarValue::Int32(None));
        let array = decode_parameter(1007, Format::Binary, None, TimeZone::UTC).unwrap();
        assert!(array.is_null());
        assert_eq!(read(600, "(1,2)"), Err("0A000".to_owned()));
    }

    #[test]
    fn booleans_by_unique_prefix() {
        for text in ["t", "TRUE", " yes ", "on", "1", "y"] {
            assert_eq!(read(oid::BOOL, text), Ok(ScalarValue::Boolean(Some(true))), "{text}");
        }
        for text in ["f", "No", "of", "off", "0"] {
            assert_eq!(read(oid::BOOL, text), Ok(ScalarValue::Boolean(Some(false))), "{text}");
        }
        for text in ["", "o", "2", "truee", "yess"] {
            assert_eq!(read(oid::BOOL, text), Err("22P02".to_owned()), "{text}");
        }
    }

    #[test]
    fn text_must_be_utf8_without_nul() {
        let error = decode_parameter(oid::TEXT, Format::Text, Some(b"a\xc3("), TimeZone::UTC).unwrap_err();
        assert_eq!(error.message(), "invalid byte sequence for encoding \"UTF8\": 0xc3 0x28");
        assert_eq!(received(oid::TEXT, b"a\0"), Err("22021".to_owned()));
    }

    #[test]
    fn bytea_in_both_forms() {
        let bytes = |bytes: &[u8]| Ok(ScalarValue::Binary(Some(bytes.to_vec())));
        assert_eq!(read(oid::BYTEA, "\\x01 fF"), bytes(&[1, 255]));
        assert_eq!(read(oid::BYTEA, "a\\\\\\001"), bytes(b"a\\\x01"));
        assert_eq!(read(oid::BYTEA, "\\x0"), Err("22023".to_owned()));
        assert_eq!(read(oid::BYTEA, "\\xzz"), Err("22023".to_owned()));
        assert_eq!(read(oid::BYTEA, "\\9"), Err("22P02".to_owned()));
    }

    #[test]
    fn uuids_are_normalised() {
        let expected = Ok(utf8("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
        for text in ["{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11"] {
            assert_eq!(read(oid::UUID, text), expected, "{text}");
        }
        for text in ["", "a0", "{a0eebc999c0b4ef8bb6d6bb9bd380a11", "a-0eebc999c0b4ef8bb6d6bb9bd380a11"] {
            assert_eq!(read(oid::UUID, text), Err("22P02".to_owned()), "{text}");
        }
    }

    #[test]
    fn binary_values_of_the_wrong_size_are_refused() {
        assert_eq!(received(oid::INT4, &[0, 0, 0]), Err("08P01".to_owned()));
        assert_eq!(received(oid::INT4, &[0, 0, 0, 1]), Ok(ScalarValue::Int32(Some(1))));
        assert_eq!(received(oid::INT4, &[0, 0, 0, 0, 1]), Err("22P03".to_owned()));
        assert_eq!(received(oid::JSONB, b"\x02{}"), Err("22P03".to_owned()));
        assert_eq!(received(oid::JSONB, b"\x01{"), Err("22P02".to_owned()));
        assert_eq!(received(oid::JSONB, b"\x01{\"b\":1,\"a\":2}"), Ok(utf8("{\"a\": 2, \"b\": 1}")));
    }

    #[test]
    fn an_interval_beyond_arrows_nanoseconds_is_refused() {
        assert_eq!(read(oid::INTERVAL, "3000000 hours"), Err("22008".to_owned()));
        let expected = IntervalMonthDayNano { months: 1, days: 2, nanoseconds: 3_000 };
        let sent = [&3_i64.to_be_bytes()[..], &2_i32.to_be_bytes(), &1_i32.to_be_bytes()].concat();
        assert_eq!(received(oid::INTERVAL, &sent), Ok(ScalarValue::IntervalMonthDayNano(Some(expected))));
    }

    /// A client may send anything: each answer is a value or a refusal, never a panic.
    #[test]
    fn noise_is_refused_without_a_panic() {
        const PIECES: [&str; 48] = [
            "0",
            "1",
            "9",
            "99",
            "2147483647",
            "9223372036854775807",
            "-",
            "+",
            ".",
            ":",
            "e",
            "E",
            " ",
            "{",
            "}",
            ",",
            "\"",
            "\\",
            "[1:2]=",
            "NULL",
            "t",
            "T",
            "P",
            "J",
            "year",
            "mon",
            "days",
            "hours",
            "us",
            "ago",
            "BC",
            "AD",
            "am",
            "pm",
            "Jan",
            "2024-02-29",
            "12:34:56",
            ".5",
            "/",
            "Europe/Berlin",
            "z",
            "infinity",
            "nan",
            "\\x",
            "é",
            "century",
            "epoch",
            "w",
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let zone = TimeZone::parse("America/New_York").unwrap();
        let oids: Vec<u32> = (0..4000).filter(|number| pgtype::arrow_type(*number).is_some()).collect();
        assert!(oids.len() > 40);
        for _ in 0..60_000 {
            let type_oid = oids[next(oids.len())];
            let text: String = (0..next(7)).map(|_| PIECES[next(PIECES.len())]).collect();
            let _ = decode_parameter(type_oid, Format::Text, Some(text.as_bytes()), zone);
            let bytes: Vec<u8> = (0..next(40)).map(|_| [0, 0, 0, 1, 0xff, 0x7f, next(256) as u8][next(7)]).collect();
            let _ = decode_parameter(type_oid, Format::Binary, Some(&bytes), zone);
        }
    }
}
