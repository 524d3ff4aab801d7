//! One connection from its first byte to its last: startup, then messages until it ends. The simple protocol is here, the
//! extended one in `extended`.
//!
//! PostgreSQL 15, section 55.2 "Message Flow".

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::Schema;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::cancel::Registration;
use super::channel::{Channel, WRITE_BYTES};
use super::encode::copy::CopyEncoder;
use super::encode::{EncodeOptions, Format, RowEncoder};
use super::message::Frontend;
use super::rows::{self, Encoder, Interrupts};
use super::shared::Shared;
use super::{reply, startup};
use crate::error::{Error, Result, SqlState};
use crate::session::{Cursor, Executed, PortalState, Run, Session, Status};
use crate::statement::{self, CopyFormat};

/// First word of FETCH's tag.
pub(super) const FETCH: &str = "FETCH";
/// How long a client may take to read the last words; one that does not read them is not waited for.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves one client until it leaves. `half_open` is its place among connections that are not authenticated yet.
pub async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, half_open: OwnedSemaphorePermit) {
    let starting = Box::pin(startup::start(stream, peer, &shared));
    let limit = shared.limits.authentication;
    let ready = tokio::select! {
        ready = tokio::time::timeout(limit, starting) => ready,
        () = shared.shutdown.cancelled() => return,
    };
    let Ok(Some(ready)) = ready else { return };
    drop(half_open);
    let startup::Ready { channel, session, registration, user: _place, session_permit: _permit } = ready;
    let mut connection = Connection {
        channel,
        session,
        shared,
        registration,
        reported: HashMap::new(),
        reported_revision: None,
        skipping: false,
    };
    if let Err(error) = connection.run().await {
        connection.say_goodbye(&error).await;
    }
    drop(tokio::time::timeout(GOODBYE, connection.channel.close()).await);
}

pub(super) struct Connection {
    pub(super) channel: Channel,
    pub(super) session: Session,
    pub(super) shared: Arc<Shared>,
    pub(super) registration: Registration,
    /// Settings as the client knows them.
    reported: HashMap<&'static str, String>,
    reported_revision: Option<u64>,
    /// An error in the extended protocol: everything up to the next Sync is ignored.
    pub(super) skipping: bool,
}

impl Connection {
    /// Messages until the client leaves. An error returned is fatal: it is told, and the connection ends.
    async fn run(&mut self) -> Result<()> {
        self.report_settings();
        let (pid, secret) = (self.registration.pid, self.registration.secret.clone());
        reply::backend_key_data(&mut self.channel.output, pid, secret);
        reply::ready(&mut self.channel.output, self.session.status());
        loop {
            let message = match self.channel.read_arrived()? {
                Some(message) => message,
                None => match self.wait().await? {
                    Some(message) => message,
                    None => return Ok(()),
                },
            };
            if message == Frontend::Terminate {
                return Ok(());
            }
            // boxed, so that an idle connection does not keep room for the largest statement
            Box::pin(self.handle(message)).await?;
            // a pipeline whose answers are long must not pile them up
            if self.channel.output.len() >= WRITE_BYTES {
                self.flush().await?;
            }
        }
    }

    /// Writes what is due, unless the server stops first: a client that does not read must not hold it up.
    async fn flush(&mut self) -> Result<()> {
        tokio::select! {
            biased;
            () = self.shared.kill.cancelled() => Err(shutting_down()),
            flushed = self.channel.flush() => flushed,
        }
    }

    /// Writes what is due and waits for the next message, within the limits on idling.
    async fn wait(&mut self) -> Result<Option<Frontend>> {
        self.flush().await?;
        self.channel.shrink();
        let idle_max = match self.session.status() {
            Status::Idle => None,
            Status::Active | Status::Failed => self.session.settings().lock().idle_in_transaction_session_timeout(),
        };
        let idle = async {
            match idle_max {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut idle = pin!(idle);
        loop {
            tokio::select! {
                message = self.channel.read() => return message,
                () = self.session.notified() => {}
                () = self.shared.shutdown.cancelled() => return Err(shutting_down()),
                () = &mut idle => {
                    return Err(Error::fatal(
                        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                        "terminating connection due to idle-in-transaction timeout",
                    ));
                }
            }
            self.tell_notifications();
            self.flush().await?;
        }
    }

    /// NotificationResponse for what other sessions, or this one, notified.
    fn tell_notifications(&mut self) {
        for notification in self.session.notifications() {
            reply::notification(&mut self.channel.output, notification);
        }
    }

    /// The end of a cycle: settings that changed, notifications, ReadyForQuery.
    fn ready(&mut self) {
        self.session.end_implicit_transaction();
        self.report_settings();
        self.tell_notifications();
        reply::ready(&mut self.channel.output, self.session.status());
    }

    async fn handle(&mut self, message: Frontend) -> Result<()> {
        match message {
            Frontend::Sync => {
                self.skipping = false;
                self.ready();
                Ok(())
            }
            // passwords were due earlier, and no COPY runs: PostgreSQL ignores COPY messages then
            Frontend::Password(_) => Err(Error::fatal(SqlState::PROTOCOL_VIOLATION, "unexpected password message")),
            Frontend::Copy => Ok(()),
            _ if self.skipping => Ok(()),
            Frontend::Query(_) | Frontend::FunctionCall | Frontend::Malformed { kind: b'Q' | b'F', .. } => {
                let result = match message {
                    Frontend::Query(text) => self.simple_query(&text).await,
                    Frontend::Malformed { error, .. } => Err(error),
                    _ => Err(Error::unsupported("the function call protocol is not supported")),
                };
                if let Err(error) = result {
                    self.report_error(error)?;
                }
                self.ready();
                Ok(())
            }
            Frontend::Flush => self.flush().await,
            message => {
                if let Err(error) = self.extended(message).await {
                    self.skipping = true;
                    self.report_error(error)?;
                }
                Ok(())
            }
        }
    }

    /// Tells a plain error and marks the transaction; hands a fatal one on.
    fn report_error(&mut self, error: Error) -> Result<()> {
        if error.is_fatal() {
            return Err(error);
        }
        self.session.fail();
        reply::report(&mut self.channel.output, error.report());
        Ok(())
    }

    async fn simple_query(&mut self, text: &str) -> Result<()> {
        self.session.begin_simple_query();
        let timeout = self.session.settings().lock().statement_timeout();
        let interrupts = Interrupts::new(&self.registration.handle, timeout, &self.shared.kill);
        let parsing = statement::parse(text, &self.shared.mesh.engine);
        let statements = interrupts.guard(&mut self.channel, parsing).await?;
        if statements.is_empty() {
            reply::empty_query(&mut self.channel.output);
            return Ok(());
        }
        if statements.len() > 1 {
            self.session.begin_several();
        }
        for parsed in &statements {
            let timeout = self.session.settings().lock().statement_timeout();
            let interrupts = Interrupts::new(&self.registration.handle, timeout, &self.shared.kill);
            let executed = interrupts.guard(&mut self.channel, self.session.run(parsed)).await?;
            match executed {
                Executed::Rows(mut result) => {
                    if let Some(notice) = result.notice.take() {
                        reply::report(&mut self.channel.output, &notice);
                    }
                    reply::row_description(&mut self.channel.output, &result.schema, &[]);
                    let mut encoder = rows_encoder(&self.session, &result.schema, &[])?;
                    let mut cursor = Cursor::streaming(result);
                    let mut run = Cursor::forward(None);
                    let budget = &self.session.cursor_budget;
                    let rows = (&mut cursor, &mut run);
                    let sent = rows::send(&mut self.channel, rows, &mut encoder, 0, budget, &interrupts).await?;
                    reply::command_complete(&mut self.channel.output, row_tag(cursor.tag, sent));
                }
                Executed::Copy(rows, format) => {
                    copy(&mut self.channel, &mut self.session, rows, format, &interrupts).await?;
                }
                Executed::Done { tag, notice } => {
                    if let Some(notice) = notice {
                        reply::report(&mut self.channel.output, &notice);
                    }
                    reply::command_complete(&mut self.channel.output, tag);
                }
                Executed::Fetch { cursor: name, mut run, moves } => {
                    let (channel, session) = (&mut self.channel, &mut self.session);
                    let cursor = session.cursor(&name)?;
                    let (formats, prepared) = (cursor.formats.clone(), Arc::clone(&cursor.prepared));
                    if let Some(schema) = prepared.description.columns.as_ref().filter(|_| !moves) {
                        reply::row_description(&mut channel.output, schema, &formats);
                    }
                    let sent = fetch(channel, session, &name, &mut run, &formats, 0, &interrupts).await?;
                    reply::command_complete(&mut channel.output, fetch_tag(moves, sent, &run));
                }
            }
        }
        Ok(())
    }

    /// ParameterStatus for settings that changed since the client last heard of them; PostgreSQL tells of them before
    /// ReadyForQuery, however often they changed.
    fn report_settings(&mut self) {
        let settings = self.session.settings().lock();
        if self.reported_revision == Some(settings.revision()) {
            return;
        }
        self.reported_revision = Some(settings.revision());
        let changed: Vec<(&'static str, String)> =
            settings.reported().filter(|(name, value)| self.reported.get(name) != Some(value)).collect();
        drop(settings);
        for (name, value) in changed {
            reply::parameter_status(&mut self.channel.output, name, value.clone());
            self.reported.insert(name, value);
        }
    }

    /// The last word before the connection ends, where anybody can still hear it.
    async fn say_goodbye(&mut self, error: &Error) {
        let mut report = error.report().clone();
        report.severity = crate::error::Severity::Fatal;
        reply::report(&mut self.channel.output, &report);
        drop(tokio::time::timeout(GOODBYE, self.channel.drain()).await);
    }
}

/// Goes on with a FETCH of a cursor's rows in these formats, by up to `rows_max` of them (0: all), and tells how many
/// there were. The cursor keeps what is left.
pub(super) async fn fetch(
    channel: &mut Channel,
    session: &mut Session,
    name: &str,
    run: &mut Run,
    formats: &[i16],
    rows_max: u64,
    interrupts: &Interrupts<'_>,
) -> Result<u64> {
    let mut cursor = session.take_cursor(name)?;
    let mut encoder = rows_encoder(session, &cursor.schema, formats)?;
    let rows = (&mut cursor, run);
    let sent = rows::send(channel, rows, &mut encoder, rows_max, &session.cursor_budget, interrupts).await?;
    session.cursor(name)?.state = PortalState::Open(cursor);
    Ok(sent)
}

/// COPY TO STDOUT from CopyOutResponse to its tag (section 55.2.6 "COPY Operations").
pub(super) async fn copy(
    channel: &mut Channel,
    session: &mut Session,
    mut rows: statement::Rows,
    format: CopyFormat,
    interrupts: &Interrupts<'_>,
) -> Result<()> {
    if let Some(notice) = rows.notice.take() {
        reply::report(&mut channel.output, &notice);
    }
    let mut encoder = CopyEncoder::try_new(&rows.schema, format, encode_options(session))?;
    encoder.begin(&mut channel.output);
    let mut encoder = Encoder::Copy(encoder);
    let (mut cursor, mut run) = (Cursor::streaming(rows), Cursor::forward(None));
    let rows = (&mut cursor, &mut run);
    let sent = rows::send(channel, rows, &mut encoder, 0, &session.cursor_budget, interrupts).await?;
    if let Encoder::Copy(encoder) = encoder {
        encoder.end(&mut channel.output);
    }
    reply::command_complete(&mut channel.output, format!("COPY {sent}"));
    Ok(())
}

/// An encoder for rows of this schema in the formats that Bind asked for.
pub(super) fn rows_encoder(session: &Session, schema: &Schema, formats: &[i16]) -> Result<Encoder> {
    let formats: Vec<Format> = formats.iter().map(|code| format(*code)).collect::<Result<_>>()?;
    RowEncoder::try_new(schema, &formats, encode_options(session)).map(Encoder::Rows)
}

fn encode_options(session: &Session) -> EncodeOptions {
    let settings = session.settings().lock();
    EncodeOptions {
        time_zone: *settings.time_zone(),
        date_style: settings.date_style(),
        interval_style: settings.interval_style(),
        bytea_escape: settings.bytea_escape(),
        extra_float_digits: settings.extra_float_digits(),
    }
}

/// Format codes of Bind: 0 text, 1 binary.
pub(super) fn format(code: i16) -> Result<Format> {
    match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        other => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {other}"))),
    }
}

/// The tag of FETCH counts what was sent last, that of MOVE what was passed.
pub(super) fn fetch_tag(moves: bool, sent: u64, run: &Run) -> String {
    if moves { format!("MOVE {}", run.passed) } else { row_tag(FETCH, sent) }
}

/// The tag of a statement that returned rows: SELECT and FETCH count them, SHOW and EXPLAIN do not.
pub(super) fn row_tag(tag: &str, rows: u64) -> String {
    if matches!(tag, "SELECT" | FETCH) { format!("{tag} {rows}") } else { tag.to_owned() }
}

fn shutting_down() -> Error {
    Error::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

/// Refuses a connection without waiting for it: what does not fit into the socket's buffer is not said.
pub fn refuse(stream: &TcpStream, error: &Error) {
    let mut output = bytes::BytesMut::new();
    reply::report(&mut output, error.report());
    drop(stream.try_write(&output));
}
