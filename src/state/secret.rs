//! Random bytes that all servers on one state share: made by whoever needs them first, never changed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{unreadable, unwritten};
use crate::delta::WrittenFolder;
use crate::error::{Error, Result, SqlState};

const SECRET_BYTES: usize = 32;

/// Secrets that were read; they do not change.
#[derive(Default)]
pub(super) struct Secrets(Mutex<HashMap<String, [u8; SECRET_BYTES]>>);

impl Secrets {
    pub(super) async fn get(&self, folder: &WrittenFolder, name: &str) -> Result<[u8; SECRET_BYTES]> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(*known);
        }
        let file = format!("secrets/{name}");
        let mut text = folder.get(&file).await.map_err(|e| unreadable(&e))?;
        if text.is_none() {
            let mut made = [0; SECRET_BYTES];
            aws_lc_rs::rand::fill(&mut made).map_err(Error::internal)?;
            // somebody else may have been faster, so what counts is what is there afterwards
            folder.put_if_absent(&file, hex(&made).into_bytes()).await.map_err(|e| unwritten(&e))?;
            text = folder.get(&file).await.map_err(|e| unreadable(&e))?;
        }
        let secret = text.as_deref().and_then(parse).ok_or_else(|| {
            tracing::error!(file, "a secret of the state is not 64 hexadecimal digits");
            Error::new(SqlState::DATA_CORRUPTED, "a secret of the server's state is damaged")
        })?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), secret);
        Ok(secret)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn parse(text: &[u8]) -> Option<[u8; SECRET_BYTES]> {
    let text = str::from_utf8(text).ok()?;
    if text.len() != 2 * SECRET_BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = [0; SECRET_BYTES];
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_secrets_are_read() {
        let secret: [u8; SECRET_BYTES] = std::array::from_fn(|at| at as u8 * 7);
        assert_eq!(parse(hex(&secret).as_bytes()), Some(secret));
        let short = hex(&secret)[1..].to_owned();
        for wrong in ["", &short, &format!("{short}g"), &format!("{short}00"), &"é".repeat(32)] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
