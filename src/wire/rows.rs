//! Rows on their way to the client: pulled batch by batch, encoded by column, written as the client takes them. What is in
//! memory at any moment is one batch and one output buffer, whatever the size of the result.

use std::any::Any;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use datafusion::arrow::array::RecordBatch;
use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cancel::Cancel;
use super::channel::{Channel, WRITE_BYTES};
use super::encode::RowEncoder;
use super::encode::copy::CopyEncoder;
use crate::error::{Error, Result, SqlState};
use crate::session::{Budget, Cursor, Run};

/// Rows encoded between two looks at the size of the output: at most this many.
const ROWS_PER_STEP_MAX: usize = 1_024;
/// And in the first step of a batch, when their width is not known yet.
const ROWS_FIRST_STEP: usize = 16;

/// What may stop a running statement.
pub struct Interrupts<'a> {
    pub cancel: &'a Cancel,
    pub deadline: Option<Instant>,
    /// Fires when the server's grace period is over.
    pub kill: &'a CancellationToken,
}

impl<'a> Interrupts<'a> {
    /// For a statement that starts now.
    pub fn new(cancel: &'a Cancel, timeout: Option<Duration>, kill: &'a CancellationToken) -> Self {
        cancel.clear();
        Self { cancel, deadline: timeout.map(|timeout| Instant::now() + timeout), kill }
    }

    /// Returns once the statement must stop, with the error to tell. Cancel safe.
    async fn interrupted(&self) -> Error {
        let deadline = async {
            match self.deadline {
                // asked directly too: a new sleep knows the time only as of the runtime's last look at its timers
                Some(deadline) if deadline <= Instant::now() => {}
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancel.requested() => {
                Error::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
            }
            () = deadline => Error::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"),
            () = self.kill.cancelled() => {
                Error::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
            }
        }
    }

    /// Runs `work` unless something stops it first, the client hanging up included. A statement over which the engine
    /// panics is an error like any other: it must not take its session along.
    pub async fn guard<T>(&self, channel: &mut Channel, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
        tokio::select! {
            biased;
            error = self.interrupted() => Err(error),
            result = &mut work => result.unwrap_or_else(|panic| Err(Error::internal(panic_text(&*panic)))),
            () = channel.hung_up() => Err(Error::fatal(SqlState::IO_ERROR, "connection to client lost")),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a statement panicked: {}", text.unwrap_or_default())
}

/// What rows are written as.
pub enum Encoder {
    Rows(RowEncoder),
    Copy(CopyEncoder),
}

impl Encoder {
    fn encode(&mut self, batch: &RecordBatch, rows: Range<usize>, out: &mut BytesMut) -> Result<()> {
        match self {
            Self::Rows(encoder) => encoder.encode(batch, rows, out),
            Self::Copy(encoder) => encoder.encode(batch, rows, out),
        }
    }
}

/// Sends the rows of a run, up to `rows_max` of them (0: all), and tells how many there were.
pub async fn send(
    channel: &mut Channel,
    (cursor, run): (&mut Cursor, &mut Run),
    encoder: &mut Encoder,
    rows_max: u64,
    budget: &Budget,
    interrupts: &Interrupts<'_>,
) -> Result<u64> {
    let mut sent = 0;
    while rows_max == 0 || sent < rows_max {
        let wanted = if rows_max == 0 { u64::MAX } else { rows_max - sent };
        let Some(batch) = interrupts.guard(channel, cursor.next(run, wanted, budget)).await? else { break };
        send_batch(channel, &batch, encoder, interrupts).await?;
        sent += batch.num_rows() as u64;
    }
    Ok(sent)
}

async fn send_batch(
    channel: &mut Channel,
    batch: &RecordBatch,
    encoder: &mut Encoder,
    interrupts: &Interrupts<'_>,
) -> Result<()> {
    let count = batch.num_rows();
    let (mut from, mut step) = (0, ROWS_FIRST_STEP);
    while from < count {
        let to = (from + step).min(count);
        let before = channel.output.len();
        encoder.encode(batch, from..to, &mut channel.output)?;
        // the next step is about as long as one write, whatever the width of the rows
        let row_bytes = (channel.output.len() - before).div_ceil(to - from).max(1);
        step = (WRITE_BYTES / row_bytes).clamp(1, ROWS_PER_STEP_MAX);
        if channel.output.len() >= WRITE_BYTES {
            write(channel, interrupts).await?;
        }
        from = to;
    }
    Ok(())
}

/// Writes the output while the statement can still be stopped: a client that does not read holds nothing but itself. An
/// interruption here cuts no message, since what is not written stays in the buffer.
async fn write(channel: &mut Channel, interrupts: &Interrupts<'_>) -> Result<()> {
    tokio::select! {
        biased;
        error = interrupts.interrupted() => Err(error),
        result = channel.drain() => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::channel::Stream;
    use tokio::net::{TcpListener, TcpStream};

    async fn channel() -> (Channel, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (Channel::new(Stream::Plain(stream), BytesMut::new(), 1024), client)
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_statement() {
        let (mut channel, _client) = channel().await;
        let (cancel, kill) = (Cancel::default(), CancellationToken::new());
        let interrupts = Interrupts::new(&cancel, None, &kill);
        let error = interrupts.guard(&mut channel, async { Err::<(), _>(panicking()) }).await.unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::INTERNAL_ERROR);
        assert!(!error.message().contains("secret"));
        assert_eq!(interrupts.guard(&mut channel, async { Ok(7) }).await.unwrap(), 7);
    }

    fn panicking() -> Error {
        panic!("secret {}", 1)
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_stops_work_that_is_always_ready() {
        let (mut channel, _client) = channel().await;
        let (cancel, kill) = (Cancel::default(), CancellationToken::new());
        let interrupts = Interrupts::new(&cancel, Some(Duration::ZERO), &kill);
        let error = interrupts.guard(&mut channel, async { Ok(()) }).await.unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::QUERY_CANCELED);
    }
}
