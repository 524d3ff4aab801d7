//! Portals: prepared statements with values for their parameters and how far they have come, and cursors, which are portals
//! that SQL opened.
//!
//! Which of them end with what follows PostgreSQL 15's `portalmem.c`: all with their transaction, but for cursors WITH HOLD,
//! which its commit takes out of it; those opened after a savepoint with a rollback to it.

use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::budget::Held;
use super::cursor::{Cursor, Run, Scroll};
use super::{Executed, Prepared, Session, bytes, not_in_block};
use crate::error::{Error, Result, SqlState};
use crate::statement::classify::{Command, Declaration};
use crate::statement::context::Context;
use crate::statement::parse::cursors::FetchCursor;
use crate::statement::{self, Description, Outcome, Parsed};

/// How many open portals a session may hold.
const PORTALS_MAX: usize = 1_000;

pub struct Portal {
    pub prepared: Arc<Prepared>,
    /// Taken when the statement starts.
    pub(super) parameters: Vec<ScalarValue>,
    /// Result formats as Bind gave them: none, one for all, or one for each column; 0 text, 1 binary.
    pub formats: Vec<i16>,
    pub state: PortalState,
    /// When it was opened, counted in portals of the session.
    opened: u64,
    /// WITH HOLD.
    holdable: bool,
    /// The transaction that opened it has committed.
    outlived: bool,
    /// Room for the parameters, which the running statement keeps using.
    _held: Held,
}

/// How far a portal is.
#[expect(clippy::large_enum_variant, reason = "a session has few portals, and most of them have rows")]
pub enum PortalState {
    Ready,
    /// Its statement runs, or ran, and has rows.
    Open(Cursor),
    /// A FETCH that is not done. Its rows stay the cursor's until they are sent, where PostgreSQL sets them aside at once.
    Fetching {
        cursor: String,
        run: Run,
    },
    /// All rows of a FETCH were sent, with a tag of this first word.
    Finished(&'static str),
    /// A command was done, or its rows could not be sent: it cannot run again.
    Done,
}

impl Session {
    /// Opens a portal over a prepared statement; the empty name is replaced, others must be free.
    pub fn bind(
        &mut self,
        name: &str,
        prepared: Arc<Prepared>,
        parameters: Vec<ScalarValue>,
        formats: Vec<i16>,
    ) -> Result<()> {
        if let Some(parsed) = &prepared.parsed {
            self.check_transaction(parsed)?;
        }
        self.check_new_portal(name)?;
        if name.is_empty() {
            self.portals.remove("");
        }
        let room = self.budget.take(name.len() + bytes(&parameters))?;
        let portal = self.new_portal(prepared, parameters, formats, room);
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    fn new_portal(
        &mut self,
        prepared: Arc<Prepared>,
        parameters: Vec<ScalarValue>,
        formats: Vec<i16>,
        held: Held,
    ) -> Portal {
        self.portals_opened += 1;
        Portal {
            prepared,
            parameters,
            formats,
            state: PortalState::Ready,
            opened: self.portals_opened,
            holdable: false,
            outlived: false,
            _held: held,
        }
    }

    /// The unnamed portal may be replaced, others must be free.
    fn check_new_portal(&self, name: &str) -> Result<()> {
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(Error::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(name) {
            return Err(Error::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may hold {PORTALS_MAX} open portals"),
            ));
        }
        Ok(())
    }

    /// DECLARE: a portal whose statement has started and whose rows FETCH takes.
    pub(super) async fn declare(
        &mut self,
        declaration: Declaration,
        text: &Arc<str>,
        parameters: &[ScalarValue],
        context: &Context,
    ) -> Result<Executed> {
        let Declaration { name, query, binary, scroll, hold } = declaration;
        if !hold && !self.transaction.in_block() {
            return Err(not_in_block("DECLARE CURSOR"));
        }
        self.check_new_portal(&name)?;
        let query = Parsed { text: Arc::clone(text), command: Command::Query(query) };
        let Outcome::Rows(mut rows) = statement::execute(&query, parameters, context).await? else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "DECLARE CURSOR takes a query"));
        };
        let notice = rows.notice.take();
        let scroll = match scroll {
            None => Scroll::Unasked,
            Some(true) => Scroll::Yes,
            Some(false) => Scroll::No,
        };
        let description = Description { parameters: Vec::new(), columns: Some(Arc::clone(&rows.schema)) };
        let mut cursor = Cursor::keeping(rows, scroll, &self.share);
        if hold && self.status() == super::Status::Idle {
            // no COMMIT will follow to do it
            cursor.hold(&self.cursor_budget).await?;
        }
        let room = self.budget.take(0)?;
        let prepared = Prepared { parsed: None, description, declared_oids: Vec::new(), _held: room };
        let room = self.budget.take(bytes(parameters) + name.len())?;
        let mut portal = self.new_portal(Arc::new(prepared), Vec::new(), vec![i16::from(binary)], room);
        portal.state = PortalState::Open(cursor);
        portal.holdable = hold;
        self.portals.insert(name, portal);
        Ok(Executed::Done { tag: "DECLARE CURSOR".to_owned(), notice })
    }

    /// Begins a FETCH or a MOVE. A portal that was bound and has not run yet is started, as PostgreSQL starts it at Bind.
    pub(super) async fn fetch(&mut self, fetch: FetchCursor) -> Result<Executed> {
        let FetchCursor { name, direction, count, moves } = fetch;
        let portal = self.cursor(&name)?;
        let is_query =
            portal.prepared.parsed.as_ref().is_some_and(|parsed| matches!(parsed.command, Command::Query(_)));
        if matches!(portal.state, PortalState::Ready) && is_query {
            let started = Box::pin(self.execute_portal(&name)).await?;
            let Some(Executed::Rows(rows)) = started else { return Err(cannot_run(&name)) };
            self.cursor(&name)?.state = PortalState::Open(Cursor::streaming(rows));
        }
        let portal = self.cursor(&name)?;
        let PortalState::Open(cursor) = &mut portal.state else { return Err(cannot_run(&name)) };
        match cursor.fetch(direction, count, !moves) {
            Ok(run) => Ok(Executed::Fetch { cursor: name, run, moves }),
            Err(error) => {
                // a portal over which an error happened is done (`MarkPortalFailed`)
                portal.state = PortalState::Done;
                Err(error)
            }
        }
    }

    /// # Errors
    /// `34000` when there is no cursor of this name.
    pub fn cursor(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals
            .get_mut(name)
            .ok_or_else(|| Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist")))
    }

    /// # Errors
    /// `34000` when there is no portal of this name.
    pub fn portal(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals
            .get_mut(name)
            .ok_or_else(|| Error::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist")))
    }

    /// Takes the rows out of a cursor to run it; whoever takes them puts them back, or the cursor is done.
    ///
    /// # Errors
    /// `34000` when there is none, `55000` when it has no rows.
    pub fn take_cursor(&mut self, name: &str) -> Result<Cursor> {
        let portal = self.cursor(name)?;
        match std::mem::replace(&mut portal.state, PortalState::Done) {
            PortalState::Open(cursor) => Ok(cursor),
            other => {
                portal.state = other;
                Err(cannot_run(name))
            }
        }
    }

    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    /// The transaction commits: cursors WITH HOLD take in what is left of their rows.
    ///
    /// # Errors
    /// What a query gives whose rows cannot all be had, or kept.
    pub(super) async fn hold_cursors(&mut self) -> Result<()> {
        for portal in self.portals.values_mut() {
            if portal.holdable
                && !portal.outlived
                && let PortalState::Open(cursor) = &mut portal.state
            {
                cursor.hold(&self.cursor_budget).await?;
            }
        }
        Ok(())
    }

    /// A transaction ended: its portals end with it, but for cursors WITH HOLD if it committed.
    pub(super) fn end_portals(&mut self, committed: bool) {
        self.portals.retain(|_, portal| {
            portal.outlived |= committed && portal.holdable;
            portal.outlived
        });
    }

    /// A subtransaction was rolled back: portals opened since `mark` end.
    pub(super) fn end_portals_since(&mut self, mark: u64) {
        self.portals.retain(|_, portal| portal.outlived || portal.opened <= mark);
    }
}

/// A command was done, and cannot be done twice.
pub fn cannot_run(portal: &str) -> Error {
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("portal \"{portal}\" cannot be run"))
}
