//! Tests of the SCRAM exchange: RFC 7677's example, a whole client, and every refusal.

use std::num::NonZeroU32;

use super::*;
use crate::catalog::credentials::parse_verifier;
use crate::catalog::verifier::make_verifier;

const SECRET: [u8; 32] = [7; 32];
/// RFC 7677 section 3: user `user`, password `pencil`.
const RFC_VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                            wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// A client as RFC 5802 describes it, with the keys taken from the password anew.
struct Client {
    password: String,
    header: String,
    binding: Vec<u8>,
    first_bare: String,
}

impl Client {
    fn new(password: &str, header: &str, binding: &[u8]) -> Self {
        Self {
            password: password.into(),
            header: header.into(),
            binding: binding.into(),
            first_bare: "n=,r=clientnonce".into(),
        }
    }

    fn first(&self) -> Vec<u8> {
        format!("{}{}", self.header, self.first_bare).into_bytes()
    }

    /// The last message, and what the server must answer.
    fn last(&self, server_first: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let server_first = std::str::from_utf8(server_first).expect("text");
        let field = |name: &str| {
            server_first.split(',').find_map(|field| field.strip_prefix(name)).expect("the field").to_owned()
        };
        let salt = BASE64.decode(field("s=")).expect("base64");
        let rounds = field("i=").parse().expect("a positive number");
        let mut salted = [0; 32];
        aws_lc_rs::pbkdf2::derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
            rounds,
            &salt,
            self.password.as_bytes(),
            &mut salted,
        );
        let sign = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let binding = BASE64.encode([self.header.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={binding},r={}", field("r="));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let signature = sign(stored_key.as_ref(), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        let server_signature = sign(server_key.as_ref(), auth_message.as_bytes());
        (
            format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes(),
            format!("v={}", BASE64.encode(server_signature)).into_bytes(),
        )
    }
}

fn exchange(password: &str, endpoint_hash: Option<&[u8]>) -> Exchange {
    let verifier = make_verifier(password, NonZeroU32::MIN).expect("a verifier");
    Exchange::new(Some(&verifier), &SECRET, "anna", endpoint_hash.map(<[u8]>::to_vec))
}

fn refusal(result: Result<Vec<u8>>) -> (&'static str, String, String) {
    let error = result.expect_err("a refusal");
    assert!(error.is_fatal(), "{error}");
    let report = error.report();
    (report.sqlstate.code(), report.message.to_string(), report.detail.clone().unwrap_or_default())
}

#[test]
fn rfc_7677_example() {
    let verifier = parse_verifier(RFC_VERIFIER).expect("a verifier");
    let mut exchange = Exchange::new(Some(&verifier), &SECRET, "user", None);
    let server_first = exchange
        .client_first_with_nonce(SCRAM_SHA_256, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        .expect("a challenge");
    assert_eq!(
        String::from_utf8(server_first).expect("text"),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let server_final = exchange
        .client_final(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        )
        .expect("the server's proof");
    assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn the_right_password_is_accepted_with_each_flag() {
    for (mechanism, header, hash) in [
        (SCRAM_SHA_256, "n,,", None),
        (SCRAM_SHA_256, "y,,", None),
        (SCRAM_SHA_256, "n,,", Some(b"hash".as_slice())),
        (SCRAM_SHA_256_PLUS, "p=tls-server-end-point,,", Some(b"hash".as_slice())),
    ] {
        let mut exchange = exchange("secret", hash);
        let binding = if mechanism == SCRAM_SHA_256_PLUS { b"hash".as_slice() } else { b"" };
        let client = Client::new("secret", header, binding);
        let challenge = exchange.client_first(mechanism, &client.first()).expect("a challenge");
        let (last, expected) = client.last(&challenge);
        assert_eq!(exchange.client_final(&last).expect("the server's proof"), expected, "{header}");
    }
}

#[test]
fn an_extension_that_is_not_mandatory_is_signed_and_ignored() {
    let mut exchange = exchange("secret", None);
    let mut client = Client::new("secret", "n,,", b"");
    client.first_bare.push_str(",x=later");
    let challenge = exchange.client_first(SCRAM_SHA_256, &client.first()).expect("a challenge");
    let (last, expected) = client.last(&challenge);
    assert_eq!(exchange.client_final(&last).expect("the server's proof"), expected);
}

#[test]
fn nonces_are_fresh_and_begin_with_the_clients() {
    let challenge = || exchange("secret", None).client_first(SCRAM_SHA_256, b"n,,n=,r=abc").expect("a challenge");
    let (one, two) = (challenge(), challenge());
    let nonce = |challenge: &[u8]| String::from_utf8_lossy(challenge).split(',').next().map(str::to_owned);
    assert!(one.starts_with(b"r=abc") && one.len() > 40);
    assert_ne!(nonce(&one), nonce(&two));
}

#[test]
fn wrong_passwords_and_unknown_users_fail_alike() {
    let verifier = make_verifier("secret", DEFAULT_ITERATIONS).expect("a verifier");
    let mut answers = Vec::new();
    for (verifier, password) in [(Some(&verifier), "wrong"), (None, "secret"), (None, "")] {
        let mut exchange = Exchange::new(verifier, &SECRET, "anna", None);
        let client = Client::new(password, "n,,", b"");
        let challenge = exchange.client_first(SCRAM_SHA_256, &client.first()).expect("a challenge");
        let (last, _) = client.last(&challenge);
        answers.push((challenge.len(), refusal(exchange.client_final(&last))));
    }
    assert_eq!(answers[0].1.0, "28P01");
    assert_eq!(answers[0].1.1, "password authentication failed for user \"anna\"");
    assert_eq!(answers[0].1.2, "");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn a_client_that_knows_the_mock_keys_still_fails() {
    // All keys of the mock are zero: the proof that fits them is the signature itself, XOR a key that hashes to zero,
    // which nobody has; `doomed` must hold even if somebody had.
    let mut exchange = Exchange::new(None, &SECRET, "anna", None);
    let verifier = make_verifier("secret", NonZeroU32::MIN).expect("a verifier");
    exchange.verifier = verifier;
    let client = Client::new("secret", "n,,", b"");
    let challenge = exchange.client_first(SCRAM_SHA_256, &client.first()).expect("a challenge");
    let (last, _) = client.last(&challenge);
    assert_eq!(refusal(exchange.client_final(&last)).0, "28P01");
}

#[test]
fn mock_salts_are_steady_per_name_and_secret() {
    let salt = |secret: &[u8; 32], user: &str| mock_verifier(secret, user).salt;
    assert_eq!(salt(&SECRET, "anna"), salt(&SECRET, "anna"));
    assert_ne!(salt(&SECRET, "anna"), salt(&SECRET, "bert"));
    assert_ne!(salt(&SECRET, "anna"), salt(&[8; 32], "anna"));
    assert_eq!(salt(&SECRET, "anna").len(), SALT_BYTES);
}

#[test]
fn a_downgrade_is_noticed() {
    let (code, message, _) = refusal(exchange("secret", Some(b"hash")).client_first(SCRAM_SHA_256, b"y,,n=,r=abc"));
    assert_eq!((code, message.as_str()), ("28000", "SCRAM channel binding negotiation error"));
}

#[test]
fn the_channel_must_be_the_one_that_the_client_saw() {
    let mut exchange = exchange("secret", Some(b"hash"));
    let client = Client::new("secret", "p=tls-server-end-point,,", b"another");
    let challenge = exchange.client_first(SCRAM_SHA_256_PLUS, &client.first()).expect("a challenge");
    let (code, message, _) = refusal(exchange.client_final(&client.last(&challenge).0));
    assert_eq!((code, message.as_str()), ("28000", "SCRAM channel binding check failed"));
}

#[test]
fn first_messages_that_are_refused() {
    let hash = Some(b"hash".as_slice());
    let long = [b"n,,n=,r=".as_slice(), &[b'x'; MESSAGE_BYTES_MAX]].concat();
    for (mechanism, hash, message, code, text) in [
        ("SCRAM-SHA-1", None, b"n,,n=,r=abc".as_slice(), "08P01", "invalid SASL authentication mechanism"),
        (SCRAM_SHA_256_PLUS, None, b"p=tls-server-end-point,,n=,r=abc", "08P01", "invalid SASL"),
        (SCRAM_SHA_256_PLUS, hash, b"n,,n=,r=abc", "08P01", "does not include channel binding data"),
        (SCRAM_SHA_256_PLUS, hash, b"y,,n=,r=abc", "08P01", "does not include channel binding data"),
        (SCRAM_SHA_256, hash, b"p=tls-server-end-point,,n=,r=abc", "08P01", "includes channel binding data"),
        (SCRAM_SHA_256_PLUS, hash, b"p=tls-unique,,n=,r=abc", "08P01", "binding type \"tls-unique\""),
        (SCRAM_SHA_256_PLUS, hash, b"p=tls-server-end-point", "08P01", "Unexpected attribute \"end of string\""),
        (SCRAM_SHA_256, None, b"", "08P01", "The message is empty."),
        (SCRAM_SHA_256, None, b"n,,n=,r=a\0b", "08P01", "Message length does not match"),
        (SCRAM_SHA_256, None, &long, "08P01", "longer than 4096 bytes"),
        (SCRAM_SHA_256, None, b"\xff,,n=,r=abc", "08P01", "Unexpected channel-binding flag \"0xff\"."),
        (SCRAM_SHA_256, None, b"n", "08P01", "Comma expected, but found character \"end of string\"."),
        (SCRAM_SHA_256, None, b"nn,n=,r=abc", "08P01", "Comma expected, but found character \"n\"."),
        (SCRAM_SHA_256, None, b"n,a=root,n=,r=abc", "0A000", "authorization identity"),
        (SCRAM_SHA_256, None, b"n,x,n=,r=abc", "08P01", "Unexpected attribute \"x\""),
        (SCRAM_SHA_256, None, b"n,,m=x,n=,r=abc", "0A000", "unsupported SCRAM extension"),
        (SCRAM_SHA_256, None, b"n,,", "08P01", "Expected attribute \"n\" but found \"end of string\"."),
        (SCRAM_SHA_256, None, b"n,,r=abc", "08P01", "Expected attribute \"n\" but found \"r\"."),
        (SCRAM_SHA_256, None, b"n,,n=", "08P01", "Expected attribute \"r\""),
        (SCRAM_SHA_256, None, b"n,,n=,r", "08P01", "Expected character \"=\" for attribute \"r\"."),
        (SCRAM_SHA_256, None, b"n,,n=,r=", "08P01", "non-printable characters"),
        (SCRAM_SHA_256, None, b"n,,n=,r=a b", "08P01", "non-printable characters"),
        (SCRAM_SHA_256, None, b"n,,n=,r=\xc3\xa4", "08P01", "non-printable characters"),
        (SCRAM_SHA_256, None, b"n,,n=,r=abc,1=x", "08P01", "found invalid character \"1\""),
    ] {
        let (found, message_text, detail) = refusal(exchange("secret", hash).client_first(mechanism, message));
        let all = format!("{message_text}: {detail}");
        assert!(found == code && all.contains(text), "{:?}: {found} {all}", String::from_utf8_lossy(message));
    }
}

#[test]
fn last_messages_that_are_refused() {
    let proof = BASE64.encode([1; 32]);
    for (message, code, text) in [
        (String::new(), "08P01", "The message is empty."),
        (format!("c=eSws,r=NONCE,p={proof}"), "08P01", "unexpected SCRAM channel-binding attribute"),
        (format!("c=,r=NONCE,p={proof}"), "08P01", "unexpected SCRAM channel-binding attribute"),
        (format!("c=biws,r=NONCEx,p={proof}"), "08P01", "Nonce does not match."),
        (format!("c=biws,r=abc,p={proof}"), "08P01", "Nonce does not match."),
        (format!("r=NONCE,p={proof}"), "08P01", "Expected attribute \"c\""),
        (format!("c=biws,p={proof}"), "08P01", "Expected attribute \"r\""),
        ("c=biws,r=NONCE".into(), "08P01", "found end of string"),
        ("c=biws,r=NONCE,p=".into(), "08P01", "Malformed proof"),
        ("c=biws,r=NONCE,p=AAAA".into(), "08P01", "Malformed proof"),
        ("c=biws,r=NONCE,p=*".into(), "08P01", "Malformed proof"),
        (format!("c=biws,r=NONCE,p={proof},"), "08P01", "Garbage found at the end"),
        (format!("c=biws,r=NONCE,p={proof},x=1"), "08P01", "Garbage found at the end"),
        (format!("c=biws,r=NONCE,p={proof}"), "28P01", "password authentication failed"),
        (format!("c=biws,r=NONCE,x=y,p={proof}"), "28P01", "password authentication failed"),
    ] {
        let mut exchange = exchange("secret", None);
        exchange.client_first_with_nonce(SCRAM_SHA_256, b"n,,n=,r=abc", "server").expect("a challenge");
        let sent = message.replace("NONCE", "abcserver");
        let (found, message_text, detail) = refusal(exchange.client_final(sent.as_bytes()));
        let all = format!("{message_text}: {detail}");
        assert!(found == code && all.contains(text), "{sent}: {found} {all}");
    }
}

#[test]
fn messages_out_of_order_end_the_exchange() {
    let mut early = exchange("secret", None);
    assert_eq!(refusal(early.client_final(b"c=biws,r=abc,p=AAAA")).0, "08P01");
    assert_eq!(refusal(early.client_first(SCRAM_SHA_256, b"n,,n=,r=abc")).0, "08P01");

    let mut twice = exchange("secret", None);
    let client = Client::new("secret", "n,,", b"");
    let challenge = twice.client_first(SCRAM_SHA_256, &client.first()).expect("a challenge");
    let (last, _) = client.last(&challenge);
    assert!(twice.client_final(&last).is_ok());
    assert_eq!(refusal(twice.client_final(&last)).0, "08P01");
}

#[test]
fn what_is_offered() {
    assert_eq!(mechanisms(true), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    assert_eq!(mechanisms(false), ["SCRAM-SHA-256"]);
}
