//! The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS as a pure state machine: bytes in, bytes out.
//!
//! It knows nothing of sockets, of message framing, or of where verifiers are kept. Rules: RFC 5802, RFC 7677, RFC 5929
//! (`tls-server-end-point`) and, for errors and their SQLSTATEs, PostgreSQL 15's `auth-scram.c`.
//!
//! INVARIANT: a user who does not exist, a user without a verifier and a wrong password cannot be told apart: the same
//! messages, the same work, the same error after the last step.

use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::catalog::model::ScramVerifier;
use crate::catalog::verifier::{DEFAULT_ITERATIONS, KEY_BYTES, SALT_BYTES};
use crate::error::{Error, Result, SqlState};

/// Without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// With channel binding to the TLS connection.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The only channel binding that PostgreSQL's clients and servers speak (RFC 5929 section 4).
const CHANNEL_BINDING: &str = "tls-server-end-point";
/// Random bytes in the server's part of the nonce (`SCRAM_RAW_NONCE_LEN`).
const NONCE_BYTES: usize = 18;
/// Longest message that a client may send, in bytes. Real ones stay below 300.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The mechanisms to offer, strongest first. `channel_binding`: the connection is encrypted and its certificate has an
/// endpoint hash.
#[must_use]
pub fn mechanisms(channel_binding: bool) -> Vec<&'static str> {
    if channel_binding { vec![SCRAM_SHA_256_PLUS, SCRAM_SHA_256] } else { vec![SCRAM_SHA_256] }
}

/// One client's attempt to prove that it knows a password.
///
/// Call [`client_first`](Self::client_first), send what it returns, then [`client_final`](Self::client_final), send
/// what that returns: the user is then who it says it is. Every error ends the connection.
pub struct Exchange {
    user: String,
    verifier: ScramVerifier,
    /// The verifier is invented: whatever the client sends, it fails.
    doomed: bool,
    endpoint_hash: Option<Vec<u8>>,
    state: State,
}

enum State {
    Start,
    Challenged(Challenge),
    Over,
}

/// What the client's last message is checked against.
struct Challenge {
    client_first_bare: Vec<u8>,
    server_first: String,
    /// The client's nonce and the server's.
    nonce: String,
    /// The value that the attribute `c` must have.
    channel_binding: String,
}

impl Exchange {
    /// Begins an exchange for `user`. `verifier` is `None` when the user does not exist or has none; `mock_secret` is
    /// random, the same for all connections, and never leaves the server. `endpoint_hash` is the certificate's hash
    /// when SCRAM-SHA-256-PLUS was offered.
    #[must_use]
    pub fn new(
        verifier: Option<&ScramVerifier>,
        mock_secret: &[u8; 32],
        user: &str,
        endpoint_hash: Option<Vec<u8>>,
    ) -> Self {
        // The mock is made either way, so that both ways take the same time.
        let mock = mock_verifier(mock_secret, user);
        Self {
            user: user.to_owned(),
            doomed: verifier.is_none(),
            verifier: verifier.cloned().unwrap_or(mock),
            endpoint_hash,
            state: State::Start,
        }
    }

    /// Takes the mechanism that the client chose and its first message; gives the server's first message.
    ///
    /// # Errors
    /// `08P01` for a mechanism that was not offered and for malformed messages, `28000` when the client believes that
    /// the server has no channel binding (someone in between took it out of the offer), `0A000` for an authorization
    /// identity or a mandatory extension.
    pub fn client_first(&mut self, mechanism: &str, message: &[u8]) -> Result<Vec<u8>> {
        let mut server_nonce = [0; NONCE_BYTES];
        rand::fill(&mut server_nonce).map_err(|_| Error::internal("the operating system has no random numbers"))?;
        self.client_first_with_nonce(mechanism, message, &BASE64.encode(server_nonce))
    }

    /// Takes the client's last message; gives the server's last message, which proves the server to the client.
    ///
    /// # Errors
    /// `28P01` when the proof is wrong or the user unknown, `28000` when the channel binding does not fit this
    /// connection, `08P01` for malformed messages.
    pub fn client_final(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        let State::Challenged(challenge) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(malformed("The message came out of order."));
        };
        let parsed = ClientFinal::parse(message)?;
        if parsed.channel_binding != challenge.channel_binding.as_bytes() {
            return Err(if challenge.channel_binding.starts_with(BINDING_OF_PLUS) {
                Error::fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "SCRAM channel binding check failed")
            } else {
                Error::fatal(
                    SqlState::PROTOCOL_VIOLATION,
                    "unexpected SCRAM channel-binding attribute in client-final-message",
                )
            });
        }
        if parsed.nonce != challenge.nonce.as_bytes() {
            return Err(
                Error::fatal(SqlState::PROTOCOL_VIOLATION, "invalid SCRAM response").detail("Nonce does not match.")
            );
        }

        let auth_message =
            [challenge.client_first_bare.as_slice(), challenge.server_first.as_bytes(), parsed.without_proof]
                .join(&b',');
        let proven = proof_holds(&self.verifier, &auth_message, &parsed.proof);
        // Both are looked at only after the work, so that time says nothing about which one failed.
        if !proven || self.doomed {
            return Err(Error::fatal(
                SqlState::INVALID_PASSWORD,
                format!("password authentication failed for user \"{}\"", self.user),
            ));
        }
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, &self.verifier.server_key);
        let signature = hmac::sign(&server_key, &auth_message);
        Ok(format!("v={}", BASE64.encode(signature)).into_bytes())
    }

    fn client_first_with_nonce(&mut self, mechanism: &str, message: &[u8], server_nonce: &str) -> Result<Vec<u8>> {
        if !matches!(std::mem::replace(&mut self.state, State::Over), State::Start) {
            return Err(malformed("The message came out of order."));
        }
        let plus = match mechanism {
            SCRAM_SHA_256 => false,
            SCRAM_SHA_256_PLUS if self.endpoint_hash.is_some() => true,
            _ => {
                return Err(Error::fatal(
                    SqlState::PROTOCOL_VIOLATION,
                    "client selected an invalid SASL authentication mechanism",
                ));
            }
        };
        let mut reader = Reader::new(message)?;
        let flag = self.channel_binding_flag(&mut reader, plus)?;
        let client_first_bare = reader.rest.to_vec();
        let client_nonce = read_client_first_bare(&mut reader)?;

        let nonce = format!("{client_nonce}{server_nonce}");
        let salt = BASE64.encode(&self.verifier.salt);
        let server_first = format!("r={nonce},s={salt},i={}", self.verifier.iterations);
        let channel_binding = match (flag, &self.endpoint_hash) {
            (Flag::Bound, Some(hash)) => {
                BASE64.encode([format!("p={CHANNEL_BINDING},,").as_bytes(), hash.as_slice()].concat())
            }
            (Flag::Able, _) => BASE64.encode("y,,"),
            (Flag::Unable | Flag::Bound, _) => BASE64.encode("n,,"),
        };
        let reply = server_first.clone().into_bytes();
        self.state = State::Challenged(Challenge { client_first_bare, server_first, nonce, channel_binding });
        Ok(reply)
    }

    /// Reads the GS2 header (RFC 5802 section 7): `n,,`, `y,,` or `p=tls-server-end-point,,`.
    fn channel_binding_flag(&self, reader: &mut Reader<'_>, plus: bool) -> Result<Flag> {
        let no_binding_in_plus = || {
            malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
            )
        };
        let flag = match reader.peek() {
            Some(b'n' | b'y') if plus => return Err(no_binding_in_plus()),
            Some(b'n') => {
                reader.skip(1);
                Flag::Unable
            }
            Some(b'y') if self.endpoint_hash.is_some() => {
                return Err(Error::fatal(
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                    "SCRAM channel binding negotiation error",
                )
                .detail(
                    "The client supports SCRAM channel binding but thinks the server does not. However, this server \
                     does support channel binding.",
                ));
            }
            Some(b'y') => {
                reader.skip(1);
                Flag::Able
            }
            Some(b'p') if !plus => {
                return Err(malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes \
                     channel binding data.",
                ));
            }
            Some(b'p') => {
                let kind = reader.attribute(b'p')?;
                if kind != CHANNEL_BINDING.as_bytes() {
                    return Err(Error::fatal(
                        SqlState::PROTOCOL_VIOLATION,
                        format!("unsupported SCRAM channel-binding type \"{}\"", printable(kind)),
                    ));
                }
                // `attribute` has taken the comma with it.
                return reader.no_authorization_identity().map(|()| Flag::Bound);
            }
            other => return Err(malformed(format!("Unexpected channel-binding flag \"{}\".", shown(other)))),
        };
        reader.comma()?;
        reader.no_authorization_identity()?;
        Ok(flag)
    }
}

/// How `p=tls-server-end-point` begins in base64; the other two flags give `biws` and `eSws`.
const BINDING_OF_PLUS: &str = "cD10bHMt";

/// What the client says about channel binding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    /// `n`: it cannot.
    Unable,
    /// `y`: it could, and thinks that the server cannot.
    Able,
    /// `p=…`: it does.
    Bound,
}

/// Reads `[m=…,]n=user,r=nonce[,extensions]` and gives the nonce. The user name counts for nothing: PostgreSQL's
/// clients leave it empty and the one of the startup message is used.
fn read_client_first_bare<'m>(reader: &mut Reader<'m>) -> Result<&'m str> {
    if reader.peek() == Some(b'm') {
        return Err(Error::fatal(SqlState::FEATURE_NOT_SUPPORTED, "client requires an unsupported SCRAM extension"));
    }
    reader.attribute(b'n')?;
    let nonce = reader.attribute(b'r')?;
    let nonce = std::str::from_utf8(nonce)
        .ok()
        .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or_else(|| Error::fatal(SqlState::PROTOCOL_VIOLATION, "non-printable characters in SCRAM nonce"))?;
    while !reader.rest.is_empty() {
        reader.any_attribute()?;
    }
    Ok(nonce)
}

/// `c=binding,r=nonce[,extensions],p=proof`.
struct ClientFinal<'m> {
    channel_binding: &'m [u8],
    nonce: &'m [u8],
    proof: [u8; KEY_BYTES],
    /// The message up to, not including, `,p=`.
    without_proof: &'m [u8],
}

impl<'m> ClientFinal<'m> {
    fn parse(message: &'m [u8]) -> Result<Self> {
        let mut reader = Reader::new(message)?;
        let channel_binding = reader.attribute(b'c')?;
        let nonce = reader.attribute(b'r')?;
        loop {
            // The comma before this attribute is not signed.
            let length = (message.len() - reader.rest.len()).saturating_sub(1);
            let (name, value) = reader.any_attribute()?;
            if name != b'p' {
                continue;
            }
            let proof = BASE64.decode(value).ok().and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
            let proof = proof.ok_or_else(|| malformed("Malformed proof in client-final-message."))?;
            if reader.ended_with_comma || !reader.rest.is_empty() {
                return Err(malformed("Garbage found at the end of client-final-message."));
            }
            return Ok(Self { channel_binding, nonce, proof, without_proof: &message[..length] });
        }
    }
}

/// Reads `name=value` pairs divided by commas (RFC 5802 section 7).
struct Reader<'m> {
    rest: &'m [u8],
    /// The attribute read last was followed by a comma.
    ended_with_comma: bool,
}

impl<'m> Reader<'m> {
    fn new(message: &'m [u8]) -> Result<Self> {
        if message.is_empty() {
            return Err(malformed("The message is empty."));
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(malformed(format!("The message is longer than {MESSAGE_BYTES_MAX} bytes.")));
        }
        if message.contains(&0) {
            return Err(malformed("Message length does not match input length."));
        }
        Ok(Self { rest: message, ended_with_comma: false })
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn comma(&mut self) -> Result<()> {
        if self.peek() != Some(b',') {
            return Err(malformed(format!("Comma expected, but found character \"{}\".", shown(self.peek()))));
        }
        self.skip(1);
        Ok(())
    }

    /// The second field of the GS2 header must be empty: nobody acts for somebody else.
    fn no_authorization_identity(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'a') => Err(Error::fatal(
                SqlState::FEATURE_NOT_SUPPORTED,
                "client uses authorization identity, but it is not supported",
            )),
            Some(b',') => {
                self.skip(1);
                Ok(())
            }
            other => Err(malformed(format!("Unexpected attribute \"{}\" in client-first-message.", shown(other)))),
        }
    }

    /// The value of the next attribute, which must have this name. Takes the comma after it, if there is one.
    fn attribute(&mut self, name: u8) -> Result<&'m [u8]> {
        if self.peek() != Some(name) {
            return Err(malformed(format!(
                "Expected attribute \"{}\" but found \"{}\".",
                char::from(name),
                shown(self.peek())
            )));
        }
        self.any_attribute().map(|(_, value)| value)
    }

    /// Name and value of the next attribute. Takes the comma after it, if there is one.
    fn any_attribute(&mut self) -> Result<(u8, &'m [u8])> {
        let Some(name) = self.peek() else {
            return Err(malformed("Attribute expected, but found end of string."));
        };
        if !name.is_ascii_alphabetic() {
            return Err(malformed(format!(
                "Attribute expected, but found invalid character \"{}\".",
                shown(Some(name))
            )));
        }
        if self.rest.get(1) != Some(&b'=') {
            return Err(malformed(format!("Expected character \"=\" for attribute \"{}\".", char::from(name))));
        }
        self.skip(2);
        let length = self.rest.iter().position(|b| *b == b',').unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(length);
        self.ended_with_comma = !rest.is_empty();
        self.rest = rest;
        self.skip(1);
        Ok((name, value))
    }
}

/// Whether `SHA-256(proof XOR HMAC(StoredKey, AuthMessage))` is the stored key (RFC 5802 section 3).
fn proof_holds(verifier: &ScramVerifier, auth_message: &[u8], proof: &[u8; KEY_BYTES]) -> bool {
    let stored_key = hmac::Key::new(hmac::HMAC_SHA256, &verifier.stored_key);
    let signature = hmac::sign(&stored_key, auth_message);
    let mut client_key = *proof;
    for (byte, mask) in client_key.iter_mut().zip(signature.as_ref()) {
        *byte ^= mask;
    }
    let claimed = digest::digest(&digest::SHA256, &client_key);
    constant_time::verify_slices_are_equal(claimed.as_ref(), &verifier.stored_key).is_ok()
}

/// A verifier that no password fits, with a salt that stays the same for one name, as a real user's does
/// (`mock_scram_secret`).
fn mock_verifier(mock_secret: &[u8; 32], user: &str) -> ScramVerifier {
    let key = hmac::Key::new(hmac::HMAC_SHA256, mock_secret);
    let salt = hmac::sign(&key, user.as_bytes()).as_ref().iter().copied().take(SALT_BYTES).collect();
    ScramVerifier {
        iterations: DEFAULT_ITERATIONS.get(),
        salt,
        stored_key: vec![0; KEY_BYTES],
        server_key: vec![0; KEY_BYTES],
    }
}

fn malformed(detail: impl Into<String>) -> Error {
    Error::fatal(SqlState::PROTOCOL_VIOLATION, "malformed SCRAM message").detail(detail)
}

/// One byte for an error message (`sanitize_char`).
fn shown(byte: Option<u8>) -> String {
    match byte {
        None => "end of string".to_owned(),
        Some(byte) if byte.is_ascii_graphic() => char::from(byte).to_string(),
        Some(byte) => format!("0x{byte:02x}"),
    }
}

/// Bytes for an error message: short, and nothing that could upset a terminal (`sanitize_str`).
fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(30).map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).collect()
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
