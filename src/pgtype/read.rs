//! Values as PostgreSQL reads them from text (its `…in` functions).
//!
//! It owns which texts a type takes and with which SQLSTATE it refuses the others. Forms with a grammar of their own live
//! below. It refuses to know Arrow's arrays and the wire.

pub mod interval;
pub mod json;
pub mod number;
pub mod temporal;

use crate::error::{Error, Result, SqlState};

/// Exactly the bytes of a fixed-size value: fewer are a protocol violation, more an incorrect format, as in PostgreSQL.
pub fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    match bytes.try_into() {
        Ok(exact) => Ok(exact),
        Err(_) if bytes.len() < N => Err(insufficient()),
        Err(_) => Err(malformed("incorrect binary data format in bind parameter")),
    }
}

pub fn insufficient() -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, "insufficient data left in message")
}

pub fn malformed(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_BINARY_REPRESENTATION, message.into())
}

pub fn invalid(type_name: &str, text: &str) -> Error {
    let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
}

/// What PostgreSQL's `isspace` skips around a value.
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}'])
}

/// `boolin`: unique prefixes of true, false, yes and no, `on`, `of`, `off`, 1 and 0.
pub fn boolean(text: &str) -> Result<bool> {
    let word = trim(text).to_ascii_lowercase();
    let prefix = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if prefix("true", 1) || prefix("yes", 1) || word == "on" || word == "1" {
        return Ok(true);
    }
    if prefix("false", 1) || prefix("no", 1) || prefix("off", 2) || word == "0" {
        return Ok(false);
    }
    Err(invalid("boolean", text))
}

/// `byteain`: `\x…` in hex, blanks allowed between pairs, or the escape form.
pub fn bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(hex) => bytea_hex(hex),
        None => bytea_escape(text.as_bytes()),
    }
}

fn bytea_hex(hex: &str) -> Result<Vec<u8>> {
    let refuse = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let digit =
        |letter: char| letter.to_digit(16).ok_or_else(|| refuse(format!("invalid hexadecimal digit: \"{letter}\"")));
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    let mut letters = hex.chars();
    while let Some(letter) = letters.next() {
        if matches!(letter, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = digit(letter)?;
        let low = letters.next().ok_or_else(|| refuse("invalid hexadecimal data: odd number of digits".to_owned()))?;
        bytes.push((high << 4 | digit(low)?) as u8);
    }
    Ok(bytes)
}

fn bytea_escape(mut text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    loop {
        match *text {
            [] => return Ok(bytes),
            [b'\\', b'\\', ref rest @ ..] => {
                bytes.push(b'\\');
                text = rest;
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ref rest @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                text = rest;
            }
            [b'\\', ..] => {
                let message = "invalid input syntax for type bytea";
                return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
            }
            [byte, ref rest @ ..] => {
                bytes.push(byte);
                text = rest;
            }
        }
    }
}

/// `uuid_in`: 32 digits, a hyphen allowed after every fourth, braces around; returned as `uuid_out` writes it.
pub fn uuid(text: &str) -> Result<String> {
    let inner = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'));
    let mut digits = 0;
    let mut number = 0_u128;
    let mut after_hyphen = false;
    for letter in inner.unwrap_or("").chars() {
        match letter.to_digit(16) {
            Some(digit) if digits < 32 => {
                number = number << 4 | u128::from(digit);
                digits += 1;
                after_hyphen = false;
            }
            None if letter == '-' && digits > 0 && digits < 32 && digits % 4 == 0 && !after_hyphen => {
                after_hyphen = true;
            }
            _ => return Err(invalid("uuid", text)),
        }
    }
    if digits == 32 { Ok(hyphenated(number)) } else { Err(invalid("uuid", text)) }
}

pub fn hyphenated(number: u128) -> String {
    let digits = format!("{number:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
