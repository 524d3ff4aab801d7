//! Messages from the client: framing with limits, and a decoder that cannot be made to read past a message or to panic.
//!
//! PostgreSQL 15, section 55.7 "Message Formats". pgwire's own decoder reads strings across the end of a message and
//! panics on short bodies, so bodies are taken apart here, each inside its own frame; pgwire encodes what we answer.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{Error, Result, SqlState};

/// Longest startup packet, in bytes (PostgreSQL's MAX_STARTUP_PACKET_LENGTH).
const STARTUP_BYTES_MAX: usize = 10_000;
/// Longest message before authentication is complete (PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH is 64 KiB).
pub const AUTHENTICATION_BYTES_MAX: usize = 64 * 1024;

const CANCEL_REQUEST: i32 = 80_877_102;
const SSL_REQUEST: i32 = 80_877_103;
const GSS_ENCRYPTION_REQUEST: i32 = 80_877_104;
const PROTOCOL_MAJOR: i32 = 3;

/// The first packet of a connection, or the first after an encryption request was answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Initial {
    SslRequest,
    GssEncryptionRequest,
    Cancel { pid: i32, secret: Bytes },
    Startup { minor: i32, parameters: Vec<(String, String)> },
}

/// A message of the normal flow.
#[derive(Debug, PartialEq, Eq)]
pub enum Frontend {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind {
        portal: String,
        statement: String,
        formats: Vec<i16>,
        values: Vec<Option<Bytes>>,
        result_formats: Vec<i16>,
    },
    Describe {
        target: Target,
        name: String,
    },
    Execute {
        portal: String,
        rows_max: i32,
    },
    Close {
        target: Target,
        name: String,
    },
    Flush,
    Sync,
    Terminate,
    /// Password, SASLInitialResponse or SASLResponse: what it is depends on what was asked.
    Password(Bytes),
    /// COPY data outside of COPY, which PostgreSQL ignores.
    Copy,
    FunctionCall,
    /// The frame was whole but its body was not: the error concerns this message of this type only.
    Malformed {
        kind: u8,
        error: Error,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

/// Takes the first packet off `buffer`, or says that more bytes are needed.
///
/// # Errors
/// A fatal `08P01` for what is no PostgreSQL packet, `0A000` for another protocol version.
pub fn initial(buffer: &mut BytesMut) -> Result<Option<Initial>> {
    let Some(length) = peek_length(buffer, 0) else { return Ok(None) };
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(Error::fatal(SqlState::PROTOCOL_VIOLATION, "invalid length of startup packet"));
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let mut body = Body(buffer.split_to(length).freeze());
    body.0.advance(4);
    let code = body.int4()?;
    match code {
        SSL_REQUEST => Ok(Some(Initial::SslRequest)),
        GSS_ENCRYPTION_REQUEST => Ok(Some(Initial::GssEncryptionRequest)),
        CANCEL_REQUEST => Ok(Some(Initial::Cancel { pid: body.int4()?, secret: body.0 })),
        version if version >> 16 == PROTOCOL_MAJOR => {
            let mut parameters = Vec::new();
            loop {
                let name = body.string()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, body.string()?));
            }
            Ok(Some(Initial::Startup { minor: version & 0xffff, parameters }))
        }
        version => Err(Error::fatal(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2", version >> 16, version & 0xffff),
        )),
    }
}

/// Takes the next message off `buffer`, or says that more bytes are needed.
///
/// # Errors
/// A fatal `08P01` when the frame itself is wrong, since the stream cannot be followed any more; `54000`, fatal, when the
/// message is longer than `bytes_max`. A whole frame with a wrong body is [`Frontend::Malformed`].
pub fn next(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Frontend>> {
    let (Some(length), Some(kind)) = (peek_length(buffer, 1), buffer.first().copied()) else { return Ok(None) };
    if !is_known(kind) {
        return Err(Error::fatal(SqlState::PROTOCOL_VIOLATION, format!("invalid frontend message type {kind}")));
    }
    if length < 4 {
        return Err(Error::fatal(SqlState::PROTOCOL_VIOLATION, "invalid message length"));
    }
    if length > bytes_max {
        return Err(Error::fatal(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("a message of {length} bytes is longer than the limit of {bytes_max} bytes"),
        )
        .hint("The limit is the server's option max_message_bytes."));
    }
    if buffer.len() < length + 1 {
        // room for the whole message at once, now that its length is known to be within the limit
        buffer.reserve(length + 1 - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(length + 1).freeze();
    frame.advance(5);
    let mut body = Body(frame);
    let message = match decode(kind, &mut body) {
        Ok(message) if body.0.is_empty() => message,
        Ok(_) => Frontend::Malformed { kind, error: violation() },
        Err(error) => Frontend::Malformed { kind, error },
    };
    Ok(Some(message))
}

fn peek_length(buffer: &BytesMut, offset: usize) -> Option<usize> {
    let bytes = buffer.get(offset..offset + 4)?;
    let length = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    // a negative length is as wrong as one that is too short
    Some(usize::try_from(length).unwrap_or(0))
}

fn is_known(kind: u8) -> bool {
    b"QPBDECHSXpdcfF".contains(&kind)
}

fn decode(kind: u8, body: &mut Body) -> Result<Frontend> {
    Ok(match kind {
        b'Q' => Frontend::Query(body.string()?),
        b'P' => {
            let (name, sql) = (body.string()?, body.string()?);
            let types = body.list(4, |body| body.int4().map(|oid| oid as u32))?;
            Frontend::Parse { name, sql, types }
        }
        b'B' => Frontend::Bind {
            portal: body.string()?,
            statement: body.string()?,
            formats: body.list(2, Body::int2)?,
            values: body.list(4, Body::value)?,
            result_formats: body.list(2, Body::int2)?,
        },
        b'D' => Frontend::Describe { target: body.target()?, name: body.string()? },
        b'C' => Frontend::Close { target: body.target()?, name: body.string()? },
        b'E' => Frontend::Execute { portal: body.string()?, rows_max: body.int4()? },
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => Frontend::Terminate,
        b'p' => Frontend::Password(body.rest()),
        b'F' => {
            body.rest();
            Frontend::FunctionCall
        }
        _ => {
            body.rest();
            Frontend::Copy
        }
    })
}

/// What is left of one message's body. Every read checks that it is there.
pub struct Body(pub Bytes);

impl Body {
    pub fn int4(&mut self) -> Result<i32> {
        if self.0.len() < 4 { Err(violation()) } else { Ok(self.0.get_i32()) }
    }

    fn int2(&mut self) -> Result<i16> {
        if self.0.len() < 2 { Err(violation()) } else { Ok(self.0.get_i16()) }
    }

    /// A string up to its NUL. PostgreSQL's code for bad UTF-8 is `22021`.
    pub fn string(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(violation)?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(bytes.to_vec()).map_err(|_| {
            Error::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"")
        })
    }

    /// A count and that many items of at least `item_bytes` bytes each.
    fn list<T>(&mut self, item_bytes: usize, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = usize::from(self.int2()? as u16);
        if count * item_bytes > self.0.len() {
            return Err(violation());
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn value(&mut self) -> Result<Option<Bytes>> {
        let length = self.int4()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| violation())?;
        if length > self.0.len() {
            return Err(violation());
        }
        Ok(Some(self.0.split_to(length)))
    }

    fn target(&mut self) -> Result<Target> {
        if self.0.is_empty() {
            return Err(violation());
        }
        match self.0.get_u8() {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            _ => Err(violation()),
        }
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> Bytes {
        self.0.split_to(self.0.len())
    }
}

fn violation() -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, "invalid message format")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    const LIMIT: usize = 1 << 20;

    fn framed(kind: u8, body: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::new();
        buffer.put_u8(kind);
        buffer.put_i32(body.len() as i32 + 4);
        buffer.put_slice(body);
        buffer
    }

    fn malformed(buffer: &mut BytesMut) -> (u8, SqlState) {
        match next(buffer, LIMIT).unwrap() {
            Some(Frontend::Malformed { kind, error }) => (kind, error.sqlstate()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_taken_one_by_one() {
        let mut buffer = framed(b'Q', b"select 1\0");
        buffer.extend_from_slice(&framed(b'S', b""));
        assert_eq!(next(&mut buffer, LIMIT).unwrap(), Some(Frontend::Query("select 1".to_owned())));
        assert_eq!(next(&mut buffer, LIMIT).unwrap(), Some(Frontend::Sync));
        assert_eq!(next(&mut buffer, LIMIT).unwrap(), None);
    }

    #[test]
    fn bind_in_full() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\x01\0\0";
        let message = next(&mut framed(b'B', body), LIMIT).unwrap().unwrap();
        let expected = Frontend::Bind {
            portal: "p".to_owned(),
            statement: "s".to_owned(),
            formats: vec![1],
            values: vec![Some(Bytes::from_static(b"hi")), None],
            result_formats: vec![0],
        };
        assert_eq!(message, expected);
    }

    #[test]
    fn a_string_does_not_reach_into_the_next_message() {
        let mut buffer = framed(b'Q', b"select 1");
        buffer.extend_from_slice(&framed(b'Q', b"select 2\0"));
        assert_eq!(malformed(&mut buffer), (b'Q', SqlState::PROTOCOL_VIOLATION));
        assert_eq!(next(&mut buffer, LIMIT).unwrap(), Some(Frontend::Query("select 2".to_owned())));
    }

    #[test]
    fn short_long_and_negative_bodies_are_violations() {
        for (kind, body) in [
            (b'P', &b"\0select 1\0"[..]),
            (b'P', b"\0select 1\0\x7f\xff"),
            (b'B', b"\0\0\0\x01"),
            (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"),
            (b'B', b"\0\0\0\0\0\x01\x80\0\0\0\0\0"),
            (b'D', b""),
            (b'D', b"X\0"),
            (b'E', b"p\0\0\0"),
            (b'S', b"more"),
        ] {
            assert_eq!(malformed(&mut framed(kind, body)), (kind, SqlState::PROTOCOL_VIOLATION));
        }
        let mut buffer = framed(b'Q', b"x\0");
        buffer[1..5].copy_from_slice(&(-1i32).to_be_bytes());
        assert!(next(&mut buffer, LIMIT).unwrap_err().is_fatal());
        assert!(next(&mut framed(b'z', b""), LIMIT).unwrap_err().is_fatal());
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_arrives() {
        let mut buffer = BytesMut::new();
        buffer.put_u8(b'Q');
        buffer.put_i32(i32::MAX);
        let error = next(&mut buffer, LIMIT).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        assert!(error.is_fatal());
        assert!(buffer.capacity() < LIMIT);
    }

    #[test]
    fn bad_utf8_is_told_apart() {
        let mut buffer = framed(b'Q', b"select '\xff'\0");
        assert_eq!(malformed(&mut buffer), (b'Q', SqlState::CHARACTER_NOT_IN_REPERTOIRE));
    }

    #[test]
    fn first_packets() {
        let packet = |code: i32, rest: &[u8]| {
            let mut buffer = BytesMut::new();
            buffer.put_i32(rest.len() as i32 + 8);
            buffer.put_i32(code);
            buffer.put_slice(rest);
            buffer
        };
        assert_eq!(initial(&mut packet(SSL_REQUEST, b"")).unwrap(), Some(Initial::SslRequest));
        assert_eq!(initial(&mut packet(GSS_ENCRYPTION_REQUEST, b"")).unwrap(), Some(Initial::GssEncryptionRequest));
        assert_eq!(
            initial(&mut packet(CANCEL_REQUEST, b"\0\0\0\x07abcd")).unwrap(),
            Some(Initial::Cancel { pid: 7, secret: Bytes::from_static(b"abcd") })
        );
        let startup = initial(&mut packet(196_608, b"user\0ann\0\0")).unwrap();
        let parameters = vec![("user".to_owned(), "ann".to_owned())];
        assert_eq!(startup, Some(Initial::Startup { minor: 0, parameters }));
        assert!(initial(&mut packet(2 << 16, b"user\0\0")).unwrap_err().is_fatal());
        assert!(initial(&mut packet(196_608, b"user\0ann")).is_err());
        assert!(initial(&mut BytesMut::from(&b"GET / HTTP/1.1\r\n"[..])).unwrap_err().is_fatal());
    }

    /// A bounded fuzz of the decoder: mutations of valid messages and plain noise, from a fixed seed. Nothing panics, and
    /// what was consumed is never more than what was there.
    #[test]
    fn no_bytes_make_the_decoder_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let seeds = [
            framed(b'P', b"name\0select $1\0\0\x02\0\0\0\x17\0\0\0\x19"),
            framed(b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\x01\0\0"),
            framed(b'E', b"p\0\0\0\0\x0a"),
            framed(b'D', b"Sname\0"),
            framed(b'Q', b"select 1\0"),
            framed(b'p', b"SCRAM-SHA-256\0\0\0\0\x05n,,n="),
        ];
        for round in 0..200_000_usize {
            let mut buffer = seeds[round % seeds.len()].clone();
            for _ in 0..=random() % 6 {
                let at = (random() as usize) % buffer.len();
                buffer[at] = random() as u8;
            }
            buffer.truncate(buffer.len() - (random() as usize % 3).min(buffer.len() - 1));
            let before = buffer.len();
            let mut first = buffer.clone();
            drop(initial(&mut first));
            while matches!(next(&mut buffer, LIMIT), Ok(Some(_))) {}
            assert!(buffer.len() <= before);
        }
    }
}
