//! One connection from its first byte to its last: startup, then messages until it ends. The simple protocol is here, the
//! extended one in `extended`.
//!
//! PostgreSQL 15, section 55.2 "Message Flow".

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::cancel::Registration;
use super::channel::{Channel, WRITE_BYTES};
use super::encode::{EncodeOptions, Format, RowEncoder};
use super::message::Frontend;
use super::rows::{self, Interrupts};
use super::shared::Shared;
use super::{reply, startup};
use crate::error::{Error, Result, SqlState};
use crate::session::{Executed, PortalState, Session, Status};
use crate::statement;

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
        tokio::select! {
            message = self.channel.read() => message,
            () = self.shared.shutdown.cancelled() => Err(shutting_down()),
            () = idle => Err(Error::fatal(
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            )),
        }
    }

    async fn handle(&mut self, message: Frontend) -> Result<()> {
        match message {
            Frontend::Sync => {
                self.sync();
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
                self.session.end_implicit_transaction();
                self.report_settings();
                reply::ready(&mut self.channel.output, self.session.status());
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

    fn sync(&mut self) {
        self.skipping = false;
        self.session.end_implicit_transaction();
        self.report_settings();
        reply::ready(&mut self.channel.output, self.session.status());
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
                    let encoder = encoder(&self.session, &result, &[])?;
                    let mut rest = None;
                    let sent = rows::send(&mut self.channel, &mut result, &mut rest, &encoder, 0, &interrupts).await?;
                    reply::command_complete(&mut self.channel.output, row_tag(result.tag, sent.rows));
                }
                Executed::Done { tag, notice } => {
                    if let Some(notice) = notice {
                        reply::report(&mut self.channel.output, &notice);
                    }
                    reply::command_complete(&mut self.channel.output, tag);
                }
                Executed::Fetch { cursor, rows } => {
                    let portal = self.session.cursor(&cursor)?;
                    let (formats, prepared) = (portal.formats.clone(), Arc::clone(&portal.prepared));
                    if let Some(schema) = &prepared.description.columns {
                        reply::row_description(&mut self.channel.output, schema, &formats);
                    }
                    let sent =
                        fetch(&mut self.channel, &mut self.session, &cursor, rows, &formats, &interrupts).await?;
                    reply::command_complete(&mut self.channel.output, row_tag(FETCH, sent));
                }
            }
            self.report_settings();
        }
        Ok(())
    }

    /// ParameterStatus for settings that changed since the client last heard of them.
    pub(super) fn report_settings(&mut self) {
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

/// Sends rows of a cursor in these formats, and tells how many there were. The cursor keeps what is left.
pub(super) async fn fetch(
    channel: &mut Channel,
    session: &mut Session,
    name: &str,
    rows_max: Option<u64>,
    formats: &[i16],
    interrupts: &Interrupts<'_>,
) -> Result<u64> {
    let cursor = session.cursor(name)?;
    match &cursor.state {
        PortalState::Suspended { .. } if rows_max != Some(0) => {}
        PortalState::Suspended { .. } | PortalState::Finished(_) => return Ok(0),
        PortalState::Ready | PortalState::Fetching { .. } | PortalState::Done => return Err(cannot_run(name)),
    }
    let PortalState::Suspended { mut rows, mut rest } = std::mem::replace(&mut cursor.state, PortalState::Done) else {
        return Ok(0);
    };
    let encoder = encoder(session, &rows, formats)?;
    let sent = rows::send(channel, &mut rows, &mut rest, &encoder, rows_max.unwrap_or(0), interrupts).await?;
    session.cursor(name)?.state =
        if sent.suspended { PortalState::Suspended { rows, rest } } else { PortalState::Finished(rows.tag) };
    Ok(sent.rows)
}

/// A command was done, and cannot be done twice.
pub(super) fn cannot_run(portal: &str) -> Error {
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("portal \"{portal}\" cannot be run"))
}

/// An encoder for a result in the formats that Bind asked for.
pub(super) fn encoder(session: &Session, result: &statement::Rows, formats: &[i16]) -> Result<RowEncoder> {
    let formats: Vec<Format> = formats.iter().map(|code| format(*code)).collect::<Result<_>>()?;
    let settings = session.settings().lock();
    let options = EncodeOptions {
        time_zone: *settings.time_zone(),
        bytea_escape: settings.bytea_escape(),
        extra_float_digits: settings.extra_float_digits(),
    };
    RowEncoder::try_new(&result.schema, &formats, options)
}

/// Format codes of Bind: 0 text, 1 binary.
pub(super) fn format(code: i16) -> Result<Format> {
    match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        other => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {other}"))),
    }
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
