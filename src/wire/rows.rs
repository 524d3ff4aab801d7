//! Rows on their way to the client: pulled batch by batch, encoded by column, written as the client takes them. What is in
//! memory at any moment is one batch and one output buffer, whatever the size of the result.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cancel::Cancel;
use super::channel::{Channel, WRITE_BYTES};
use super::encode::RowEncoder;
use crate::error::{Error, Result, SqlState};
use crate::statement::{Rows, from_engine};

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

/// How sending ended.
pub struct Sent {
    pub rows: u64,
    /// More rows are left: the limit was reached.
    pub suspended: bool,
}

/// Sends up to `rows_max` rows (0: all of them), first those left in `rest`. What stays of the last batch is put there.
pub async fn send(
    channel: &mut Channel,
    rows: &mut Rows,
    rest: &mut Option<RecordBatch>,
    encoder: &RowEncoder,
    rows_max: u64,
    interrupts: &Interrupts<'_>,
) -> Result<Sent> {
    let mut sent = 0;
    loop {
        let batch = match rest.take() {
            Some(batch) => batch,
            None => match interrupts.guard(channel, next_batch(rows)).await? {
                Some(batch) => batch,
                None => return Ok(Sent { rows: sent, suspended: false }),
            },
        };
        if let Some(guard) = &mut rows.guard {
            guard.check().await?;
        }
        let wanted = if rows_max == 0 { u64::MAX } else { rows_max - sent };
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(batch.num_rows());
        send_batch(channel, &batch, count, encoder, interrupts).await?;
        sent += count as u64;
        if count < batch.num_rows() {
            *rest = Some(batch.slice(count, batch.num_rows() - count));
        }
        if rows_max != 0 && sent == rows_max {
            return Ok(Sent { rows: sent, suspended: true });
        }
    }
}

async fn next_batch(rows: &mut Rows) -> Result<Option<RecordBatch>> {
    loop {
        match rows.stream.next().await {
            None => return Ok(None),
            Some(Ok(batch)) if batch.num_rows() == 0 => {}
            Some(Ok(batch)) => return Ok(Some(batch)),
            Some(Err(error)) => return Err(from_engine(error)),
        }
    }
}

async fn send_batch(
    channel: &mut Channel,
    batch: &RecordBatch,
    count: usize,
    encoder: &RowEncoder,
    interrupts: &Interrupts<'_>,
) -> Result<()> {
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
    use bytes::BytesMut;
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
