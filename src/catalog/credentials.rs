//! SCRAM verifiers as PostgreSQL writes them (`pg_authid.rolpassword`): text to numbers and back. It makes no verifier from
//! a password and checks none; it only reads and writes the form. It also knows which names a user cannot have.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::model::ScramVerifier;

const MECHANISM: &str = "SCRAM-SHA-256";
/// The length of both keys, in bytes.
const KEY_BYTES: usize = 32;
/// Fewer iterations would be guessed too fast (RFC 7677, section 4, asks for at least this many).
pub const ITERATIONS_MIN: u32 = 4096;
/// More would let one line of a file keep the server busy at every login.
pub const ITERATIONS_MAX: u32 = 10_000_000;
const SALT_BYTES_MIN: usize = 8;
const SALT_BYTES_MAX: usize = 1024;
/// PostgreSQL's NAMEDATALEN less one.
const USER_NAME_BYTES_MAX: usize = 63;

/// Why a text is no verifier. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    #[error("it must have the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")]
    Form,
    #[error("the number of iterations must lie between {ITERATIONS_MIN} and {ITERATIONS_MAX}")]
    Iterations,
    #[error("the salt must be base64 of {SALT_BYTES_MIN} to {SALT_BYTES_MAX} bytes")]
    Salt,
    #[error("each key must be base64 of {KEY_BYTES} bytes")]
    Key,
}

/// Reads `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>`, strictly.
pub fn parse_verifier(text: &str) -> Result<ScramVerifier, VerifierError> {
    ScramVerifier::parse(text)
}

/// Writes the same form; what was parsed comes out as it was.
pub fn format_verifier(verifier: &ScramVerifier) -> String {
    let ScramVerifier { iterations, salt, stored_key, server_key } = verifier;
    let [salt, stored_key, server_key] = [salt, stored_key, server_key].map(|bytes| STANDARD.encode(bytes));
    format!("{MECHANISM}${iterations}:{salt}${stored_key}:{server_key}")
}

impl ScramVerifier {
    /// See [`parse_verifier`].
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let mut parts = text.split('$');
        let (Some(MECHANISM), Some(first), Some(keys), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifierError::Form);
        };
        let (iterations, salt) = first.split_once(':').ok_or(VerifierError::Form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(VerifierError::Form)?;
        let digits = !iterations.is_empty() && iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations = if digits { iterations.parse::<u32>().ok() } else { None };
        let iterations = iterations
            .filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(count))
            .ok_or(VerifierError::Iterations)?;
        let salt = STANDARD.decode(salt).map_err(|_| VerifierError::Salt)?;
        if !(SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(VerifierError::Salt);
        }
        let key = |text| {
            STANDARD.decode(text).ok().filter(|bytes: &Vec<u8>| bytes.len() == KEY_BYTES).ok_or(VerifierError::Key)
        };
        Ok(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }
}

/// Why nobody can be called so: names that PostgreSQL reserves, or that no client can send. `None`: the name is fine.
pub fn refuse_user_name(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    if matches!(lower.as_str(), "public" | "none" | "current_user" | "session_user" | "current_role") {
        Some("SQL gives the word a meaning of its own")
    } else if lower.starts_with("pg_") {
        Some("names with pg_ are reserved")
    } else if name.is_empty() {
        Some("it is empty")
    } else if name.len() > USER_NAME_BYTES_MAX {
        Some("it is longer than 63 bytes")
    } else if name.contains(char::is_control) {
        Some("it holds a control character")
    } else if name.trim() != name {
        Some("it begins or ends with a space")
    } else {
        None
    }
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_verifier(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7677, section 3: user "user", password "pencil"
    const RFC_7677: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                            wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn a_verifier_comes_out_as_it_went_in() {
        let verifier = parse_verifier(RFC_7677).unwrap();
        assert_eq!((verifier.iterations, verifier.salt.len()), (4096, 16));
        assert_eq!(verifier.to_string(), RFC_7677);
        assert_eq!(format_verifier(&verifier), RFC_7677);
    }

    #[test]
    fn every_other_form_is_refused() {
        let with = |from: &str, to: &str| RFC_7677.replace(from, to);
        for (text, error) in [
            (String::new(), VerifierError::Form),
            ("md5abc".to_owned(), VerifierError::Form),
            (format!("{RFC_7677}$"), VerifierError::Form),
            (with("SCRAM-SHA-256", "SCRAM-SHA-512"), VerifierError::Form),
            (with("4096:", "4096"), VerifierError::Form),
            (with("4096", "4095"), VerifierError::Iterations),
            (with("4096", "+4096"), VerifierError::Iterations),
            (with("4096", ""), VerifierError::Iterations),
            (with("4096", "99999999999"), VerifierError::Iterations),
            (with("W22ZaJ0SNY7soEsUEjb6gQ==", "W22Z"), VerifierError::Salt),
            (with("W22ZaJ0SNY7soEsUEjb6gQ==", "?"), VerifierError::Salt),
            (with("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", "WG5d"), VerifierError::Key),
            (with("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "!"), VerifierError::Key),
        ] {
            assert_eq!(parse_verifier(&text), Err(error), "{text}");
        }
    }

    #[test]
    fn reserved_and_unsendable_names_are_refused() {
        for name in
            ["", "public", "NONE", "pg_monitor", "Pg_x", "a\0b", "a\n", " a", "a ", "current_user", &"x".repeat(64)]
        {
            assert!(refuse_user_name(name).is_some(), "{name:?}");
        }
        for name in ["ada", "sales_analyst", "ada@example.com", "Ada Lovelace", "pgx", &"x".repeat(63)] {
            assert_eq!(refuse_user_name(name), None, "{name:?}");
        }
    }
}
