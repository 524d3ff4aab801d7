//! SCRAM-SHA-256 verifiers: made from a password, and checked against one.
//!
//! A verifier (`pg_authid.rolpassword`) proves knowledge of a password without holding it. This file knows nothing of
//! how verifiers are written (`credentials`), where they are kept, nor of the exchange on the wire. Rules: RFC 5802 section 3, RFC 7677, PostgreSQL's
//! `scram-common.c` and `saslprep.c`.

use std::borrow::Cow;
use std::num::NonZeroU32;

use super::model::ScramVerifier;
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};

/// What PostgreSQL uses when it makes a verifier (`SCRAM_DEFAULT_ITERATIONS`).
pub const DEFAULT_ITERATIONS: NonZeroU32 = match NonZeroU32::new(4096) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};
/// Bytes of salt in a new verifier (`SCRAM_DEFAULT_SALT_LEN`).
pub const SALT_BYTES: usize = 16;
/// Bytes of every key: the length of a SHA-256 digest.
pub const KEY_BYTES: usize = 32;

/// Makes a verifier with a fresh random salt.
///
/// # Errors
/// Only when the operating system has no random numbers to give.
pub fn make_verifier(password: &str, iterations: NonZeroU32) -> Result<ScramVerifier, NoRandomness> {
    let mut salt = vec![0; SALT_BYTES];
    rand::fill(&mut salt).map_err(|_| NoRandomness)?;
    Ok(verifier_with_salt(password, salt, iterations))
}

/// Whether the verifier was made from this password, in time that does not depend on where they differ.
#[must_use]
pub fn password_matches(verifier: &ScramVerifier, password: &str) -> bool {
    let Some(iterations) = NonZeroU32::new(verifier.iterations) else { return false };
    let made = verifier_with_salt(password, verifier.salt.clone(), iterations);
    constant_time::verify_slices_are_equal(&made.stored_key, &verifier.stored_key).is_ok()
        && constant_time::verify_slices_are_equal(&made.server_key, &verifier.server_key).is_ok()
}

/// The operating system has no random numbers to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system has no random numbers")]
pub struct NoRandomness;

fn verifier_with_salt(password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> ScramVerifier {
    let mut salted_password = [0; KEY_BYTES];
    let prepared = prepare(password);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, prepared.as_bytes(), &mut salted_password);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted_password);
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref()).as_ref().to_vec();
    let server_key = hmac::sign(&key, b"Server Key").as_ref().to_vec();
    ScramVerifier { iterations: iterations.get(), salt, stored_key, server_key }
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
    use crate::catalog::credentials::parse_verifier;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;

    const FEW: NonZeroU32 = NonZeroU32::MIN;

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
            let verifier = parse_verifier(text).expect("a verifier");
            assert!(password_matches(&verifier, password), "{password:?}");
            assert!(!password_matches(&verifier, "another password"), "{password:?}");
            assert_eq!(&verifier.to_string(), text);
        }
    }

    #[test]
    fn rfc_7677_example_gives_its_server_key() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let verifier = verifier_with_salt("pencil", salt, DEFAULT_ITERATIONS);
        assert_eq!(
            verifier.to_string(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn new_verifiers_match_and_differ() {
        let one = make_verifier("secret", FEW).expect("a verifier");
        let two = make_verifier("secret", FEW).expect("a verifier");
        assert_ne!(one.salt, two.salt);
        assert_eq!(one.salt.len(), SALT_BYTES);
        assert!(password_matches(&one, "secret") && password_matches(&two, "secret"));
        assert!(!password_matches(&one, "Secret") && !password_matches(&one, ""));
        let none = ScramVerifier { iterations: 0, ..one };
        assert!(!password_matches(&none, "secret"));
    }

    #[test]
    fn a_changed_key_no_longer_matches() {
        let verifier = make_verifier("secret", FEW).expect("a verifier");
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
}
