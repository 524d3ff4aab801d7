//! The two ends of a connection: bytes in with a limit, bytes out in batches, over TCP or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::message::{self, Frontend};
use crate::error::{Error, Result};

/// Bytes read at once; also what an idle connection keeps for reading.
const READ_BYTES: usize = 4 * 1024;
/// Output is written once it is this long.
pub const WRITE_BYTES: usize = 64 * 1024;
/// How much a client may send ahead while a statement runs (a pipeline).
const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Buffers above this size are given back when the connection is idle.
const KEEP_BYTES_MAX: usize = 16 * 1024;

/// A plain or an encrypted stream.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Buffers around a stream.
pub struct Channel {
    stream: Stream,
    input: BytesMut,
    pub output: BytesMut,
    message_bytes_max: usize,
}

impl Channel {
    pub fn new(stream: Stream, input: BytesMut, message_bytes_max: usize) -> Self {
        Self { stream, input, output: BytesMut::new(), message_bytes_max }
    }

    /// The next message; `None` when the client has gone. Cancel safe.
    pub async fn read(&mut self) -> Result<Option<Frontend>> {
        loop {
            if let Some(message) = message::next(&mut self.input, self.message_bytes_max)? {
                return Ok(Some(message));
            }
            if self.fill().await.unwrap_or(0) == 0 {
                return Ok(None);
            }
        }
    }

    /// A message that has already arrived.
    pub fn read_arrived(&mut self) -> Result<Option<Frontend>> {
        message::next(&mut self.input, self.message_bytes_max)
    }

    /// The first packet; `None` when the client has gone. Cancel safe.
    pub async fn read_initial(&mut self) -> Result<Option<message::Initial>> {
        loop {
            if let Some(packet) = message::initial(&mut self.input)? {
                return Ok(Some(packet));
            }
            if self.fill().await.unwrap_or(0) == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads what is there. Cancel safe.
    async fn fill(&mut self) -> io::Result<usize> {
        if self.input.is_empty() && self.input.capacity() > KEEP_BYTES_MAX {
            self.input = BytesMut::new();
        }
        self.input.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.input).await
    }

    /// Waits until the client hangs up, taking in what it sends ahead. Never returns while it stays. Cancel safe.
    pub async fn hung_up(&mut self) {
        while self.input.len() < AHEAD_BYTES_MAX {
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Bytes that came with the last read and were not taken yet.
    pub fn take_input(&mut self) -> BytesMut {
        std::mem::take(&mut self.input)
    }

    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Writes out everything, through TLS too. Cancel safe.
    pub async fn flush(&mut self) -> Result<()> {
        self.drain().await?;
        self.stream.flush().await.map_err(|error| gone(&error))?;
        if self.output.capacity() > 2 * WRITE_BYTES {
            self.output = BytesMut::new();
        }
        Ok(())
    }

    /// Writes part of the output: what was written is gone from the buffer, so this is cancel safe.
    pub async fn drain(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            if self.stream.write_buf(&mut self.output).await.map_err(|error| gone(&error))? == 0 {
                return Err(gone(&io::ErrorKind::WriteZero.into()));
            }
        }
        self.output.clear();
        Ok(())
    }

    /// Gives back large buffers before waiting for the next message.
    pub fn shrink(&mut self) {
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        if self.input.is_empty() && self.input.capacity() > KEEP_BYTES_MAX {
            self.input = BytesMut::new();
        }
    }

    /// Says good-bye to a TLS peer; a plain one sees the socket close.
    pub async fn close(&mut self) {
        drop(self.stream.shutdown().await);
    }
}

/// The client went away: nobody is left to tell, so this is never sent.
fn gone(error: &io::Error) -> Error {
    tracing::debug!(cause = %error, "client went away");
    Error::fatal(crate::error::SqlState::IO_ERROR, "connection to client lost")
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
