//! The extended query protocol: Parse, Bind, Describe, Execute, Close.
//!
//! PostgreSQL 15, section 55.2.3 "Extended Query". Errors come back to `connection`, which ignores messages until Sync.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::ScalarValue;

use super::channel::Channel;
use super::connection::{Connection, FETCH, copy, fetch, fetch_tag, format, row_tag, rows_encoder};
use super::decode::decode_parameter;
use super::encode::Format;
use super::message::{Frontend, Target};
use super::reply;
use super::rows::{self, Interrupts};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::{self, arrow_type, parameter_oid};
use crate::session::{Cursor, Executed, PortalState, Prepared, Run, Session, cannot_run};

/// "The type is not given": the server finds it out (OID 0) or the client does not care (`unknown`, 705).
const OPEN_TYPES: [u32; 2] = [0, 705];

impl Connection {
    pub(super) async fn extended(&mut self, message: Frontend) -> Result<()> {
        match message {
            Frontend::Parse { name, sql, types } => self.parse(&name, &sql, &types).await,
            Frontend::Bind { portal, statement, formats, values, result_formats } => {
                self.bind(&portal, &statement, &formats, &values, result_formats)
            }
            Frontend::Describe { target: Target::Statement, name } => self.describe_statement(&name),
            Frontend::Describe { target: Target::Portal, name } => self.describe_portal(&name),
            Frontend::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Frontend::Close { target, name } => {
                match target {
                    Target::Statement => self.session.close_statement(&name),
                    Target::Portal => self.session.close_portal(&name),
                }
                reply::close_complete(&mut self.channel.output);
                Ok(())
            }
            Frontend::Malformed { error, .. } => Err(error),
            // the connection handles all others itself
            _ => Err(Error::fatal(SqlState::PROTOCOL_VIOLATION, "unexpected message")),
        }
    }

    async fn parse(&mut self, name: &str, sql: &str, types: &[u32]) -> Result<()> {
        let declared = types
            .iter()
            .map(|oid| {
                if OPEN_TYPES.contains(oid) {
                    return Ok((0, None));
                }
                let arrow = arrow_type(*oid).ok_or_else(|| {
                    Error::unsupported(format!("parameters of the type with OID {oid} are not supported"))
                })?;
                Ok((*oid, Some(arrow)))
            })
            .collect::<Result<Vec<_>>>()?;
        let timeout = self.session.settings().lock().statement_timeout();
        let interrupts = Interrupts::new(&self.registration.handle, timeout, &self.shared.kill);
        interrupts.guard(&mut self.channel, self.session.prepare(name, sql, &declared)).await?;
        reply::parse_complete(&mut self.channel.output);
        Ok(())
    }

    fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        formats: &[i16],
        values: &[Option<Bytes>],
        result_formats: Vec<i16>,
    ) -> Result<()> {
        let prepared = self.session.statement(statement)?;
        let oids = parameter_oids(&prepared);
        if formats.len() > 1 && formats.len() != values.len() {
            return Err(violation(format!(
                "bind message has {} parameter formats but {} parameters",
                formats.len(),
                values.len()
            )));
        }
        if values.len() != oids.len() {
            return Err(violation(format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                values.len(),
                oids.len()
            )));
        }
        let columns = prepared.description.columns.as_ref().map_or(0, |schema| schema.fields().len());
        if result_formats.len() > 1 && result_formats.len() != columns {
            return Err(violation(format!(
                "bind message has {} result formats but query has {columns} columns",
                result_formats.len()
            )));
        }
        result_formats.iter().try_for_each(|code| format(*code).map(drop))?;
        let zone = *self.session.settings().lock().time_zone();
        let parameters = values
            .iter()
            .zip(oids)
            .enumerate()
            .map(|(index, (value, oid))| decode_parameter(oid, format_of(formats, index)?, value.as_deref(), zone))
            .collect::<Result<Vec<ScalarValue>>>()?;
        self.session.bind(portal, prepared, parameters, result_formats)?;
        reply::bind_complete(&mut self.channel.output);
        Ok(())
    }

    fn describe_statement(&mut self, name: &str) -> Result<()> {
        let prepared = self.session.statement(name)?;
        reply::parameter_description(&mut self.channel.output, parameter_oids(&prepared));
        match &prepared.description.columns {
            Some(schema) => reply::row_description(&mut self.channel.output, schema, &[]),
            None => reply::no_data(&mut self.channel.output),
        }
        Ok(())
    }

    fn describe_portal(&mut self, name: &str) -> Result<()> {
        let portal = self.session.portal(name)?;
        match &portal.prepared.description.columns {
            Some(schema) => reply::row_description(&mut self.channel.output, schema, &portal.formats),
            None => reply::no_data(&mut self.channel.output),
        }
        Ok(())
    }

    /// Runs a portal, or goes on with one that was suspended. `rows_max` 0 or less: all rows.
    async fn execute(&mut self, name: &str, rows_max: i32) -> Result<()> {
        let timeout = self.session.settings().lock().statement_timeout();
        let interrupts = Interrupts::new(&self.registration.handle, timeout, &self.shared.kill);
        let rows_max = u64::try_from(rows_max).unwrap_or(0);
        let portal = self.session.portal(name)?;
        let prepared = Arc::clone(&portal.prepared);
        let state = std::mem::replace(&mut portal.state, PortalState::Done);
        if !matches!(state, PortalState::Ready) {
            self.session.check_not_failed()?;
        }
        let (channel, session) = (&mut self.channel, &mut self.session);
        match state {
            PortalState::Open(cursor) => send_part(channel, session, name, cursor, rows_max, &interrupts).await,
            PortalState::Fetching { cursor, run } => {
                fetch_part(channel, session, name, cursor, run, rows_max, &interrupts).await
            }
            // a FETCH that was sent to its end has no more rows
            PortalState::Finished(tag) => {
                session.portal(name)?.state = PortalState::Finished(tag);
                reply::command_complete(&mut channel.output, row_tag(tag, 0));
                Ok(())
            }
            PortalState::Done => Err(cannot_run(name)),
            PortalState::Ready => match interrupts.guard(channel, session.execute_portal(name)).await? {
                None => {
                    session.portal(name)?.state = PortalState::Ready;
                    reply::empty_query(&mut channel.output);
                    Ok(())
                }
                Some(Executed::Done { tag, notice }) => {
                    if let Some(notice) = notice {
                        reply::report(&mut channel.output, &notice);
                    }
                    reply::command_complete(&mut channel.output, tag);
                    Ok(())
                }
                Some(Executed::Copy(rows, format)) => copy(channel, session, rows, format, &interrupts).await,
                Some(Executed::Fetch { cursor, mut run, moves: true }) => {
                    let sent = fetch(channel, session, &cursor, &mut run, &[], 0, &interrupts).await?;
                    reply::command_complete(&mut channel.output, fetch_tag(true, sent, &run));
                    Ok(())
                }
                Some(Executed::Fetch { cursor, run, moves: false }) => {
                    let columns = session.cursor(&cursor)?.prepared.description.columns.clone();
                    if let Some(columns) = columns {
                        check_unchanged(&prepared, &columns)?;
                    }
                    fetch_part(channel, session, name, cursor, run, rows_max, &interrupts).await
                }
                Some(Executed::Rows(mut rows)) => {
                    if let Some(notice) = rows.notice.take() {
                        reply::report(&mut channel.output, &notice);
                    }
                    check_unchanged(&prepared, &rows.schema)?;
                    send_part(channel, session, name, Cursor::streaming(rows), rows_max, &interrupts).await
                }
            },
        }
    }
}

/// Sends rows of a portal, up to `rows_max` of them (0: all). The portal keeps what is left.
async fn send_part(
    channel: &mut Channel,
    session: &mut Session,
    name: &str,
    mut cursor: Cursor,
    rows_max: u64,
    interrupts: &Interrupts<'_>,
) -> Result<()> {
    let formats = session.portal(name)?.formats.clone();
    let mut encoder = rows_encoder(session, &cursor.schema, &formats)?;
    let mut run = Cursor::forward((rows_max != 0).then_some(rows_max));
    let rows = (&mut cursor, &mut run);
    let sent = rows::send(channel, rows, &mut encoder, rows_max, &session.cursor_budget, interrupts).await?;
    if rows_max != 0 && sent == rows_max {
        reply::portal_suspended(&mut channel.output);
    } else {
        reply::command_complete(&mut channel.output, row_tag(cursor.tag, sent));
    }
    session.portal(name)?.state = PortalState::Open(cursor);
    Ok(())
}

/// Goes on with a portal's FETCH by up to `rows_max` rows (0: all).
async fn fetch_part(
    channel: &mut Channel,
    session: &mut Session,
    name: &str,
    cursor: String,
    mut run: Run,
    rows_max: u64,
    interrupts: &Interrupts<'_>,
) -> Result<()> {
    let formats = session.portal(name)?.formats.clone();
    let sent = fetch(channel, session, &cursor, &mut run, &formats, rows_max, interrupts).await?;
    let portal = session.portal(name)?;
    if rows_max != 0 && sent == rows_max {
        reply::portal_suspended(&mut channel.output);
        portal.state = PortalState::Fetching { cursor, run };
    } else {
        reply::command_complete(&mut channel.output, fetch_tag(false, sent, &run));
        portal.state = PortalState::Finished(FETCH);
    }
    Ok(())
}

/// What ParameterDescription says: the client's own types, and what was found out for the others.
fn parameter_oids(prepared: &Prepared) -> Vec<u32> {
    let found = prepared.description.parameters.iter();
    found
        .enumerate()
        .map(|(index, arrow)| match prepared.declared_oids.get(index) {
            Some(oid) if *oid != 0 => *oid,
            _ => parameter_oid(arrow),
        })
        .collect()
}

fn format_of(formats: &[i16], index: usize) -> Result<Format> {
    match formats {
        [] => Ok(Format::Text),
        [one] => format(*one),
        many => format(many.get(index).copied().unwrap_or(0)),
    }
}

/// Columns were described before the statement ran; what changed since must not be sent in their place.
fn check_unchanged(prepared: &Prepared, schema: &datafusion::arrow::datatypes::Schema) -> Result<()> {
    let described = prepared.description.columns.as_ref();
    let same = described.is_some_and(|described| {
        described.fields().len() == schema.fields().len()
            && described
                .fields()
                .iter()
                .zip(schema.fields())
                .all(|(a, b)| pgtype::pg_type(a).oid == pgtype::pg_type(b).oid)
    });
    if same {
        return Ok(());
    }
    Err(Error::unsupported("cached plan must not change result type"))
}

fn violation(message: String) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}
