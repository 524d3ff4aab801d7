//! SCRAM-SHA-256 verifiers: made from a password, checked against one, written and read in PostgreSQL's own form.
//!
//! A verifier (`pg_authid.rolpassword`) proves knowledge of a password without holding it. This file knows nothing of
//! where verifiers are kept, nor of the exchange on the wire. Rules: RFC 5802 section 3, RFC 7677, PostgreSQL's
//! `scram-common.c` and `saslprep.c`.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::model::ScramVerifier;

/// What PostgreSQL uses when it makes a verifier (`SCRAM_DEFAULT_ITERATIONS`).
pub const DEFAULT_ITERATIONS: u32 = 4096;
/// Bytes of salt in a new verifier (`SCRAM_DEFAULT_SALT_LEN`).
pub const SALT_BYTES: usize = 16;
/// Bytes of every key: the length of a SHA-256 digest.
pub const KEY_BYTES: usize = 32;
/// Longest salt that a verifier may carry, in bytes; it is sent to every client that connects.
const SALT_BYTES_MAX: usize = 1024;

/// Makes a verifier with a fresh random salt.
///
/// # Errors
/// Only when the operating system has no randomness to give, or when `iterations` is zero.
pub fn make_verifier(password: &str, iterations: u32) -> Result<ScramVerifier, VerifierError> {
    let mut salt = vec![0; SALT_BYTES];
    rand::fill(&mut salt).map_err(|_| VerifierError::NoRandomness)?;
    verifier_with_salt(password, salt, iterations)
}

/// Whether the verifier was made from this password, in time that does not depend on where they differ.
#[must_use]
pub fn password_matches(verifier: &ScramVerifier, password: &str) -> bool {
    verifier_with_salt(password, verifier.salt.clone(), verifier.iterations).is_ok_and(|made| {
        constant_time::verify_slices_are_equal(&made.stored_key, &verifier.stored_key).is_ok()
            && constant_time::verify_slices_are_equal(&made.server_key, &verifier.server_key).is_ok()
    })
}

/// Why text is not a verifier, or why none could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    #[error("a SCRAM verifier has the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")]
    Form,
    #[error("the iteration count of a SCRAM verifier is a number from 1 to 2147483647")]
    Iterations,
    #[error("the salt of a SCRAM verifier is base64 of 1 to 1024 bytes")]
    Salt,
    #[error("the keys of a SCRAM verifier are base64 of 32 bytes each")]
    Keys,
    #[error("the operating system has no random numbers")]
    NoRandomness,
}

impl FromStr for ScramVerifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("SCRAM-SHA-256$").ok_or(VerifierError::Form)?;
        let (head, keys) = rest.split_once('$').ok_or(VerifierError::Form)?;
        let (iterations, salt) = head.split_once(':').ok_or(VerifierError::Form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(VerifierError::Form)?;
        // `i=` is an int in every client, so a larger count could never be used.
        let iterations: i32 = iterations.parse().map_err(|_| VerifierError::Iterations)?;
        let iterations = u32::try_from(iterations).ok().filter(|n| *n > 0).ok_or(VerifierError::Iterations)?;
        let salt = BASE64.decode(salt).map_err(|_| VerifierError::Salt)?;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(VerifierError::Salt);
        }
        let key = |text: &str| match BASE64.decode(text) {
            Ok(key) if key.len() == KEY_BYTES => Ok(key),
            _ => Err(VerifierError::Keys),
        };
        Ok(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(&self.stored_key),
            BASE64.encode(&self.server_key)
        )
    }
}

fn verifier_with_salt(password: &str, salt: Vec<u8>, iterations: u32) -> Result<ScramVerifier, VerifierError> {
    let rounds = NonZeroU32::new(iterations).ok_or(VerifierError::Iterations)?;
    let mut salted_password = [0; KEY_BYTES];
    let prepared = prepare(password);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, prepared.as_bytes(), &mut salted_password);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted_password);
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref()).as_ref().to_vec();
    let server_key = hmac::sign(&key, b"Server Key").as_ref().to_vec();
    Ok(ScramVerifier { iterations, salt, stored_key, server_key })
}

/// SASLprep as PostgreSQL applies it: ASCII stays as it is, and a password that the rules forbid is used raw
/// (`pg_saslprep`, whose failure `pg_be_scram_build_secret` ignores).
fn prepare(password: &str) -> Cow<'_, str> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared,
        _ => Cow::Borrowed(password),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by PostgreSQL 15: `CREATE ROLE … PASSWORD …`, then `pg_authid.rolpassword`.
    const MADE_BY_POSTGRESQL: &[(&str, &str)] = &[
        (
            "pencil",
            "SCRAM-SHA-256$4096:P6wutmsiLZFGX3Djjo9PiA==$q+qq98oGN/sm1NFIZGgcmzKuOuPf8HxaELFDpfrMEZc=:X\
             /yWYDvJD6xy52P4cnZTYLyA1bJdwXN2UAZ/+dChoW8=",
        ),
        (
            "I\u{ad}X",
            "SCRAM-SHA-256$4096:5R8D/gAO8Rf6vtQT5scj9A==$LEvDP83nGyGlM6q7oQeJakHK4GoJSiTVXOJKXrlkJ5I=:c\
             uHPZ6C7Hi/675HdhnT2kZY+1z6UEcQX2oSKv06ZH7s=",
        ),
        (
            "\u{aa}\u{7}x",
            "SCRAM-SHA-256$4096:MAQSm596c5+jqvxrjudz1w==$Lk5oOJKdQqu9G0adAb1u3hkmhUkwljhZ8v75vvAna9w=:4\
             lyyu2RY4UNHLFHC5YWq8zEIjKDEQ2RbqF6/TNR+ckg=",
        ),
        (
            "p\u{e4}ss \u{a0}word \u{2168}",
            "SCRAM-SHA-256$4096:WKOjLpoWOB9axJyKHnrn6A==$BFEqxZ6loDM2xCtReERtH2sLR/WhMyCfNCIamu6ob1I=:K\
             J8HAal3pPKAPB+9WYttHLVAw5YV5d5j84RTn/c4HIc=",
        ),
        (
            "a\u{301}b \u{1f600}",
            "SCRAM-SHA-256$4096:BFLAdI5zXlwWztThuqpyeQ==$G9600/Ecehr4eh4jnU9vUzcmCxEXIUTD6kBUGJ0HNO8=:6\
             xKvwoAWQ3d3/q6WmLyDOYUaJmR45SD6z3CRaTWwLY0=",
        ),
    ];

    #[test]
    fn verifiers_made_by_postgresql_match_their_passwords() {
        for (password, text) in MADE_BY_POSTGRESQL {
            let verifier: ScramVerifier = text.parse().expect("a verifier");
            assert!(password_matches(&verifier, password), "{password:?}");
            assert!(!password_matches(&verifier, "another password"), "{password:?}");
            assert_eq!(&verifier.to_string(), text);
        }
    }

    #[test]
    fn rfc_7677_example_gives_its_server_key() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = verifier_with_salt("pencil", salt, 4096).expect("a verifier");
        assert_eq!(
            verifier.to_string(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn new_verifiers_match_and_differ() {
        let one = make_verifier("secret", 10).expect("a verifier");
        let two = make_verifier("secret", 10).expect("a verifier");
        assert_ne!(one.salt, two.salt);
        assert_eq!(one.salt.len(), SALT_BYTES);
        assert!(password_matches(&one, "secret") && password_matches(&two, "secret"));
        assert!(!password_matches(&one, "Secret") && !password_matches(&one, ""));
        assert_eq!(make_verifier("secret", 0), Err(VerifierError::Iterations));
    }

    #[test]
    fn a_changed_key_no_longer_matches() {
        let verifier = make_verifier("secret", 10).expect("a verifier");
        let mut stored = verifier.clone();
        stored.stored_key[31] ^= 1;
        let mut server = verifier;
        server.server_key[0] ^= 1;
        assert!(!password_matches(&stored, "secret") && !password_matches(&server, "secret"));
    }

    #[test]
    fn saslprep_maps_what_it_may_and_leaves_the_rest() {
        assert_eq!(prepare("plain \u{7} ascii"), "plain \u{7} ascii");
        assert_eq!(prepare("I\u{ad}X"), "IX");
        assert_eq!(prepare("\u{2168}"), "IX");
        assert_eq!(prepare("a\u{a0}b"), "a b");
        // A control character beside one that is not ASCII is prohibited, so the raw password counts.
        assert_eq!(prepare("\u{aa}\u{7}"), "\u{aa}\u{7}");
        // Nothing would be left of it.
        assert_eq!(prepare("\u{ad}"), "\u{ad}");
    }

    #[test]
    fn malformed_verifiers_say_what_is_wrong() {
        let key = BASE64.encode([7; 32]);
        let parse = |text: &str| text.parse::<ScramVerifier>();
        for text in ["", "md5abc", "SCRAM-SHA-256$", "SCRAM-SHA-256$4096:AAAA", "SCRAM-SHA-256$4096$a:b"] {
            assert_eq!(parse(text), Err(VerifierError::Form), "{text:?}");
        }
        for count in ["0", "-1", "x", "", "2147483648"] {
            let text = format!("SCRAM-SHA-256${count}:AAAA${key}:{key}");
            assert_eq!(parse(&text), Err(VerifierError::Iterations), "{text:?}");
        }
        let long = BASE64.encode([0; SALT_BYTES_MAX + 1]);
        for salt in ["", "*", long.as_str()] {
            let text = format!("SCRAM-SHA-256$1:{salt}${key}:{key}");
            assert_eq!(parse(&text), Err(VerifierError::Salt), "{text:?}");
        }
        for keys in [format!("{key}:AAAA"), format!("AAAA:{key}"), format!("{key}:"), format!("{key}:{key}:{key}")] {
            let text = format!("SCRAM-SHA-256$1:AAAA${keys}");
            assert_eq!(parse(&text), Err(VerifierError::Keys), "{text:?}");
        }
    }
}
