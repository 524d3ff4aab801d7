//! A client that speaks protocol 3 message by message, so that a test can say what other clients never would.
//!
//! What the server answers is told in short lines ([`Message::line`]), which tests compare whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::serving::PATIENCE;

/// Bytes on the way in and out; TCP or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One message of the server.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: u8,
    pub body: Bytes,
}

pub struct Client<S = TcpStream> {
    pub stream: S,
    buffer: BytesMut,
    /// ParameterStatus before the first ReadyForQuery.
    pub parameters: BTreeMap<String, String>,
    pub pid: i32,
    pub secret: Bytes,
    /// What NegotiateProtocolVersion said: newest minor version and unknown options.
    pub negotiated: Option<(i32, Vec<String>)>,
}

/// How to log in.
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub database: &'a str,
    pub minor: i32,
    pub options: &'a [(&'a str, &'a str)],
    /// The digest of the server's certificate, for SCRAM-SHA-256-PLUS.
    pub certificate: Option<Vec<u8>>,
}

impl<'a> Login<'a> {
    /// A sample principal: its password is its name.
    pub fn sample(user: &'a str) -> Self {
        Self { user, password: user, database: "mesh", minor: 0, options: &[], certificate: None }
    }
}

impl Client {
    /// Connects and logs in as a sample principal.
    pub async fn connect(address: SocketAddr, user: &str) -> Self {
        let login = Login::sample(user);
        Self::login(address, &login).await.unwrap_or_else(|refused| panic!("{user}: {}", refused.line()))
    }

    /// Connects and logs in; the server's error where it refuses.
    pub async fn login(address: SocketAddr, login: &Login<'_>) -> Result<Self, Message> {
        let mut client = Client::over(TcpStream::connect(address).await.unwrap());
        client.startup(login).await.map(|()| client)
    }

    /// Without logging in.
    pub async fn bare(address: SocketAddr) -> Self {
        Client::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: Stream> Client<S> {
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            parameters: BTreeMap::new(),
            pid: 0,
            secret: Bytes::new(),
            negotiated: None,
        }
    }

    /// From the startup message to the first ReadyForQuery.
    pub async fn startup(&mut self, login: &Login<'_>) -> Result<(), Message> {
        let mut parameters = vec![("user", login.user), ("database", login.database)];
        parameters.extend(login.options);
        self.send(&startup_packet(login.minor, &parameters)).await;
        let mut exchange = None;
        loop {
            let Some(message) = self.receive().await else {
                return Err(Message { kind: 0, body: Bytes::from_static(b"closed") });
            };
            let mut body = message.body.clone();
            match message.kind {
                b'R' => match body.get_i32() {
                    0 => {}
                    10 => {
                        let offered = strings(&mut body);
                        let begun = Scram::begin(login, &offered);
                        self.send(&begun.first()).await;
                        exchange = Some(begun);
                    }
                    11 => {
                        let answer = exchange.as_mut().unwrap().last(std::str::from_utf8(&body).unwrap());
                        self.send(&answer).await;
                    }
                    12 => exchange.as_ref().unwrap().check(std::str::from_utf8(&body).unwrap()),
                    other => panic!("authentication request {other}"),
                },
                b'S' => {
                    let name = string(&mut body);
                    self.parameters.insert(name, string(&mut body));
                }
                b'K' => {
                    self.pid = body.get_i32();
                    self.secret = body;
                }
                b'v' => {
                    let minor = body.get_i32();
                    let count = body.get_i32();
                    let names = strings(&mut body);
                    assert_eq!(names.len(), usize::try_from(count).unwrap());
                    self.negotiated = Some((minor, names));
                }
                b'Z' => return Ok(()),
                b'E' => return Err(message),
                other => panic!("{} during startup", char::from(other)),
            }
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.unwrap();
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next message, or `None` when the server has closed the connection.
    pub async fn receive(&mut self) -> Option<Message> {
        let received = tokio::time::timeout(PATIENCE, self.next()).await;
        received.unwrap_or_else(|_| panic!("the server says nothing"))
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if self.buffer.len() >= 5 {
                let length = usize::try_from(i32::from_be_bytes(self.buffer[1..5].try_into().unwrap())).unwrap();
                if self.buffer.len() > length {
                    let mut frame = self.buffer.split_to(length + 1).freeze();
                    let kind = frame.get_u8();
                    frame.advance(4);
                    return Some(Message { kind, body: frame });
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next message that is not part of a result's rows, and how many rows came before it.
    pub async fn after_rows(&mut self) -> (usize, Message) {
        let skipped = tokio::time::timeout(PATIENCE, async {
            let mut rows = 0;
            loop {
                while self.buffer.len() >= 5 && matches!(self.buffer[0], b'D' | b'T') {
                    let length = i32::from_be_bytes(self.buffer[1..5].try_into().unwrap()) as usize;
                    if self.buffer.len() <= length {
                        break;
                    }
                    rows += usize::from(self.buffer[0] == b'D');
                    self.buffer.advance(length + 1);
                }
                if self.buffer.first().is_some_and(|kind| !matches!(kind, b'D' | b'T')) {
                    return rows;
                }
                self.buffer.reserve(1 << 16);
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return rows;
                }
            }
        });
        let rows = skipped.await.unwrap_or_else(|_| panic!("the rows do not end"));
        let next = self.receive().await;
        (rows, next.unwrap_or_else(|| Message { kind: 0, body: Bytes::from_static(b"closed") }))
    }

    /// Whether the server says nothing for a while.
    pub async fn is_silent(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_err()
    }

    /// Everything up to ReadyForQuery, as lines, or up to the end of the connection (`closed`).
    pub async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.receive().await {
                None => lines.push("closed".to_owned()),
                Some(message) => lines.push(message.line()),
            }
            if lines.last().is_some_and(|line| line.starts_with("Ready") || line == "closed") {
                return lines;
            }
        }
    }

    /// Sends messages and hears everything up to ReadyForQuery.
    pub async fn say(&mut self, messages: &[Vec<u8>]) -> Vec<String> {
        self.send(&messages.concat()).await;
        self.lines().await
    }

    /// A simple query.
    pub async fn query(&mut self, sql: &str) -> Vec<String> {
        self.say(&[query(sql)]).await
    }

    /// What the RowDescription of a simple query says of each column (see [`Message::columns`]).
    pub async fn columns(&mut self, sql: &str) -> Vec<String> {
        self.send(&query(sql)).await;
        let mut columns = Vec::new();
        loop {
            match self.receive().await {
                Some(message) if message.kind == b'T' => columns = message.columns(),
                Some(message) if message.kind == b'E' => columns = vec![message.line()],
                Some(message) if message.kind != b'Z' => {}
                _ => return columns,
            }
        }
    }

    /// The rows of a simple query, or its error, without the messages around them.
    pub async fn rows(&mut self, sql: &str) -> Vec<String> {
        let lines = self.query(sql).await;
        let told = |line: &String| line.starts_with("Row ") || line.starts_with("Error ");
        lines
            .into_iter()
            .filter(told)
            .map(|line| line.strip_prefix("Row ").map_or(line.clone(), str::to_owned))
            .collect()
    }
}

/// Asks the server to stop what runs on another connection.
pub async fn cancel(address: SocketAddr, pid: i32, secret: &[u8]) {
    let mut body = BytesMut::new();
    body.put_i32(80_877_102);
    body.put_i32(pid);
    body.put_slice(secret);
    let mut client = Client::bare(address).await;
    client.send(&prefixed(&body)).await;
    assert!(client.receive().await.is_none(), "a cancel request is not answered");
}

impl Message {
    /// `Row 1|~|x`, `Complete SELECT 1`, `Error 42P01 relation …`, `Ready I`.
    pub fn line(&self) -> String {
        let mut body = self.body.clone();
        match self.kind {
            b'1' => "ParseComplete".to_owned(),
            b'2' => "BindComplete".to_owned(),
            b'3' => "CloseComplete".to_owned(),
            b'n' => "NoData".to_owned(),
            b's' => "Suspended".to_owned(),
            b'I' => "EmptyQuery".to_owned(),
            b'C' => format!("Complete {}", strings(&mut body).join(" ")),
            b'Z' => format!("Ready {}", char::from(body.get_u8())),
            b'S' => format!("Parameter {}={}", string(&mut body), string(&mut body)),
            b'E' => format!("Error {} {}", self.field(b'C'), self.field(b'M')),
            b'N' => format!("Notice {} {} {}", self.field(b'V'), self.field(b'C'), self.field(b'M')),
            b't' => {
                let count = body.get_i16();
                let oids: Vec<_> = (0..count).map(|_| body.get_i32().to_string()).collect();
                format!("Parameters {}", oids.join(" ")).trim_end().to_owned()
            }
            b'T' => {
                let count = body.get_i16();
                let mut line = "Columns".to_owned();
                for _ in 0..count {
                    let name = string(&mut body);
                    let (_, _, oid) = (body.get_i32(), body.get_i16(), body.get_i32());
                    let (_, _, format) = (body.get_i16(), body.get_i32(), body.get_i16());
                    write!(line, " {name}:{oid}{}", if format == 1 { "b" } else { "" }).unwrap();
                }
                line
            }
            b'D' => {
                let count = body.get_i16();
                let values: Vec<_> = (0..count).map(|_| value(&mut body)).collect();
                format!("Row {}", values.join("|"))
            }
            b'H' => {
                let (overall, count) = (body.get_u8(), body.get_i16());
                let codes: Vec<_> = (0..count).map(|_| body.get_i16().to_string()).collect();
                format!("CopyOut {overall} {}", codes.join(" ")).trim_end().to_owned()
            }
            b'd' => match std::str::from_utf8(&body) {
                Ok(text) if !text.contains('\0') => format!("Data {}", text.escape_debug()),
                _ => body.iter().fold("Data \\x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
            },
            b'c' => "CopyDone".to_owned(),
            b'A' => {
                body.get_i32();
                let channel = string(&mut body);
                format!("Notification {channel} {}", string(&mut body))
            }
            0 => "closed".to_owned(),
            other => format!("{} {:?}", char::from(other), self.body),
        }
    }

    /// What a RowDescription says of each column: `name relation.number type(typmod)`, the relation by its OID.
    pub fn columns(&self) -> Vec<String> {
        assert_eq!(self.kind, b'T', "{}", self.line());
        let mut body = self.body.clone();
        let count = body.get_i16();
        let column = |_| {
            let name = string(&mut body);
            let (relation, number, oid) = (body.get_i32(), body.get_i16(), body.get_i32());
            let (_, typmod, _) = (body.get_i16(), body.get_i32(), body.get_i16());
            format!("{name} {relation}.{number} {oid}({typmod})")
        };
        (0..count).map(column).collect()
    }

    /// A field of an error or notice; empty where it is missing.
    pub fn field(&self, code: u8) -> String {
        let mut body = self.body.clone();
        while body.has_remaining() {
            let field = body.get_u8();
            if field == 0 {
                break;
            }
            let text = string(&mut body);
            if field == code {
                return text;
            }
        }
        String::new()
    }
}

fn value(body: &mut Bytes) -> String {
    let length = body.get_i32();
    if length == -1 {
        return "~".to_owned();
    }
    let bytes = body.split_to(usize::try_from(length).unwrap());
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.iter().fold("\\x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    }
}

fn string(body: &mut Bytes) -> String {
    let end = body.iter().position(|byte| *byte == 0).unwrap();
    let text = String::from_utf8(body.split_to(end).to_vec()).unwrap();
    body.advance(1);
    text
}

/// Strings up to an empty one, or to the end.
fn strings(body: &mut Bytes) -> Vec<String> {
    let mut found = Vec::new();
    while body.has_remaining() && body[0] != 0 {
        found.push(string(body));
    }
    found
}

/// A message with any body, whole or not.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(prefixed(body));
    bytes
}

/// A body behind its length, as packets before authentication are.
pub fn prefixed(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 4);
    bytes.put_i32(i32::try_from(body.len() + 4).unwrap());
    bytes.put_slice(body);
    bytes
}

/// A packet that consists of a code alone: an encryption request.
pub fn request(code: i32) -> Vec<u8> {
    prefixed(&code.to_be_bytes())
}

pub fn startup_packet(minor: i32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_i32((3 << 16) | minor);
    for (name, value) in parameters {
        put_string(&mut body, name);
        put_string(&mut body, value);
    }
    body.put_u8(0);
    prefixed(&body)
}

pub fn query(sql: &str) -> Vec<u8> {
    with_strings(b'Q', &[], &[sql])
}

pub fn parse(name: &str, sql: &str, types: &[i32]) -> Vec<u8> {
    let mut body = BytesMut::new();
    put_string(&mut body, name);
    put_string(&mut body, sql);
    body.put_i16(i16::try_from(types.len()).unwrap());
    for oid in types {
        body.put_i32(*oid);
    }
    message(b'P', &body)
}

/// Values as text, results as text.
pub fn bind(portal: &str, statement: &str, values: &[Option<&str>]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|value| value.map(str::as_bytes)).collect();
    bind_with(portal, statement, &[], &values, &[])
}

pub fn bind_with(portal: &str, statement: &str, formats: &[i16], values: &[Option<&[u8]>], results: &[i16]) -> Vec<u8> {
    let mut body = BytesMut::new();
    put_string(&mut body, portal);
    put_string(&mut body, statement);
    put_formats(&mut body, formats);
    body.put_i16(i16::try_from(values.len()).unwrap());
    for value in values {
        match value {
            None => body.put_i32(-1),
            Some(bytes) => {
                body.put_i32(i32::try_from(bytes.len()).unwrap());
                body.put_slice(bytes);
            }
        }
    }
    put_formats(&mut body, results);
    message(b'B', &body)
}

/// `kind` is `S` for a statement, `P` for a portal.
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    with_strings(b'D', &[kind], &[name])
}

pub fn close(kind: u8, name: &str) -> Vec<u8> {
    with_strings(b'C', &[kind], &[name])
}

pub fn execute(portal: &str, rows_max: i32) -> Vec<u8> {
    let mut body = BytesMut::new();
    put_string(&mut body, portal);
    body.put_i32(rows_max);
    message(b'E', &body)
}

pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

/// Parse, Bind, Execute of a statement without a name.
pub fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

fn with_strings(kind: u8, start: &[u8], texts: &[&str]) -> Vec<u8> {
    let mut body = BytesMut::from(start);
    for text in texts {
        put_string(&mut body, text);
    }
    message(kind, &body)
}

fn put_string(body: &mut BytesMut, text: &str) {
    body.put_slice(text.as_bytes());
    body.put_u8(0);
}

fn put_formats(body: &mut BytesMut, formats: &[i16]) {
    body.put_i16(i16::try_from(formats.len()).unwrap());
    for format in formats {
        body.put_i16(*format);
    }
}

/// The client's side of SCRAM-SHA-256 (RFC 5802 and 7677) and of its form with channel binding (RFC 5929).
struct Scram {
    password: String,
    mechanism: &'static str,
    /// The GS2 header, with the binding's data behind it.
    binding: Vec<u8>,
    header: &'static str,
    signature: Vec<u8>,
}

const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

impl Scram {
    fn begin(login: &Login<'_>, offered: &[String]) -> Self {
        let (mechanism, header) = match login.certificate {
            Some(_) => ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,"),
            None => ("SCRAM-SHA-256", "n,,"),
        };
        assert!(offered.iter().any(|name| name == mechanism), "{mechanism} is not offered: {offered:?}");
        let mut binding = header.as_bytes().to_vec();
        binding.extend(login.certificate.iter().flatten());
        Self { password: login.password.to_owned(), mechanism, binding, header, signature: Vec::new() }
    }

    fn first(&self) -> Vec<u8> {
        let mut body = BytesMut::new();
        put_string(&mut body, self.mechanism);
        body.put_slice(&prefixed_text(&format!("{}n=,r={NONCE}", self.header)));
        message(b'p', &body)
    }

    fn last(&mut self, challenge: &str) -> Vec<u8> {
        let part = |key: &str| challenge.split(',').find_map(|part| part.strip_prefix(key)).unwrap();
        let (nonce, salt) = (part("r="), BASE64_STANDARD.decode(part("s=")).unwrap());
        assert!(nonce.starts_with(NONCE) && nonce.len() > NONCE.len());
        let rounds: NonZeroU32 = part("i=").parse().unwrap();
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, self.password.as_bytes(), &mut salted);
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let without_proof = format!("c={},r={nonce}", BASE64_STANDARD.encode(&self.binding));
        let signed = format!("n=,r={NONCE},{challenge},{without_proof}");
        let signature = mac(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, byte)| key ^ byte).collect();
        self.signature = mac(&mac(&salted, b"Server Key"), signed.as_bytes());
        message(b'p', format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).as_bytes())
    }

    /// The server must prove that it knows the password too.
    fn check(&self, last: &str) {
        assert_eq!(last, format!("v={}", BASE64_STANDARD.encode(&self.signature)));
    }
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

/// Unlike a packet's length, this one does not count itself.
fn prefixed_text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_i32(i32::try_from(text.len()).unwrap());
    bytes.put_slice(text.as_bytes());
    bytes
}
