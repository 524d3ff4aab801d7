//! Commands that change the session: SET, RESET, transactions, savepoints, DROP VIEW, DISCARD, DEALLOCATE.
//!
//! Tags, warnings and SQLSTATEs as in PostgreSQL 15's `utility.c` and `xact.c`.

use super::transaction::Mark;
use super::{Executed, Session, Status};
use crate::error::{Error, Report, Result, Severity, SqlState};
use crate::mesh::channels::CHANNELS_MAX;
use crate::statement::classify::SessionCommand;
use crate::statement::notify::Change;

impl Session {
    pub(super) async fn command(&mut self, command: SessionCommand) -> Result<Executed> {
        match command {
            SessionCommand::Set { name, value, local } => self.set(&name, value.as_deref(), local),
            SessionCommand::Reset(name) => {
                self.settings.lock().reset(&name)?;
                done("RESET")
            }
            SessionCommand::ResetAll => {
                self.settings.lock().reset_all();
                done("RESET")
            }
            SessionCommand::Begin { start, modes } => self.begin(start, &modes),
            SessionCommand::SetTransaction { modes, session } => self.set_transaction(&modes, session),
            SessionCommand::Commit { chain } => self.end_transaction(true, chain).await,
            SessionCommand::Rollback { chain } => self.end_transaction(false, chain).await,
            SessionCommand::Savepoint(name) => self.savepoint(name),
            SessionCommand::Release(name) => {
                self.in_transaction("RELEASE SAVEPOINT")?;
                if self.transaction.release(&name) { done("RELEASE") } else { Err(no_savepoint(&name)) }
            }
            SessionCommand::RollbackTo(name) => {
                self.in_transaction("ROLLBACK TO SAVEPOINT")?;
                let (then, mark) = self.transaction.rollback_to(&name).ok_or_else(|| no_savepoint(&name))?;
                self.restore(then);
                self.end_portals_since(mark.portals);
                self.pending.truncate(mark.pending);
                done("ROLLBACK")
            }
            SessionCommand::Discard(what) => self.discard(what),
            SessionCommand::Deallocate(name) => self.deallocate(name),
            SessionCommand::Close(None) => {
                self.portals.clear();
                done("CLOSE CURSOR ALL")
            }
            SessionCommand::Close(Some(name)) => {
                self.cursor(&name)?;
                self.close_portal(&name);
                done("CLOSE CURSOR")
            }
            SessionCommand::Channel(change) => {
                let tag = match &change {
                    Change::Listen(channel) if !self.listener.has_room_for(channel) => {
                        let message = format!("a session may listen on {CHANNELS_MAX} channels");
                        return Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message));
                    }
                    Change::Listen(_) => "LISTEN",
                    Change::Unlisten(_) | Change::UnlistenAll => "UNLISTEN",
                    Change::Notify { .. } => return Err(Error::internal("NOTIFY did not reach its channel")),
                };
                self.pending.add(change)?;
                done(tag)
            }
            // `execute` runs the query itself
            SessionCommand::Fetch(_) => Err(Error::internal("FETCH did not reach its cursor")),
            SessionCommand::Prepare(_) | SessionCommand::Execute(_) | SessionCommand::ExplainExecute { .. } => {
                Err(Error::internal("PREPARE or EXECUTE did not reach its statement"))
            }
            SessionCommand::Declare(_) => Err(Error::internal("DECLARE did not reach its query")),
            // and binds the view's
            SessionCommand::CreateView(_) => Err(Error::internal("CREATE VIEW did not reach its query")),
            SessionCommand::DropViews { names, if_exists } => self.drop_views(&names, if_exists),
            SessionCommand::SetRole(role) => self.only_oneself(role, "set role"),
            SessionCommand::SetSessionAuthorization(role) => self.only_oneself(role, "set session authorization"),
        }
    }

    fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<Executed> {
        let local_counts = self.transaction.in_block();
        // what belongs to the transaction ends with it, and without one it has ended already
        if !local
            && ["transaction_isolation", "transaction_deferrable"].iter().any(|own| own.eq_ignore_ascii_case(name))
        {
            let mut settings = self.settings.lock();
            match value {
                Some(value) => settings.set_local(name, value)?,
                None => settings.reset_local(name)?,
            }
            return done("SET");
        }
        let mut settings = self.settings.lock();
        match value {
            Some(value) if local && local_counts => settings.set_local(name, value)?,
            None if local && local_counts => settings.reset_local(name)?,
            // outside of a transaction block SET LOCAL has no effect, but a bad value is still an error
            Some(value) if local => settings.clone().set(name, value)?,
            None if local => settings.clone().reset(name)?,
            Some(value) => settings.set(name, value)?,
            None => settings.reset(name)?,
        }
        drop(settings);
        if local && !local_counts {
            let message = "SET LOCAL can only be used in transaction blocks";
            return Ok(with_warning("SET", SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        done("SET")
    }

    fn begin(&mut self, start: bool, modes: &[(&'static str, String)]) -> Result<Executed> {
        let tag = if start { "START TRANSACTION" } else { "BEGIN" };
        if self.status() != Status::Idle {
            self.set_modes(modes)?;
            let message = "there is already a transaction in progress";
            return Ok(with_warning(tag, SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        self.set_modes(modes)?;
        let now = self.now();
        self.transaction.begin(|| now);
        done(tag)
    }

    fn set_modes(&mut self, modes: &[(&'static str, String)]) -> Result<()> {
        let mut settings = self.settings.lock();
        // READ WRITE may be asked for, but nothing is ever written
        let modes = modes.iter().filter(|(name, value)| (*name, value.as_str()) != ("transaction_read_only", "off"));
        modes.into_iter().try_for_each(|(name, value)| settings.set_local(name, value))
    }

    fn set_transaction(&mut self, modes: &[(&'static str, String)], session: bool) -> Result<Executed> {
        if session {
            let mut settings = self.settings.lock();
            for (name, value) in modes {
                settings.set(&format!("default_{name}"), value)?;
            }
        } else if !self.transaction.in_block() {
            let message = "SET TRANSACTION can only be used in transaction blocks";
            return Ok(with_warning("SET", SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        } else {
            self.set_modes(modes)?;
        }
        done("SET")
    }

    /// COMMIT and ROLLBACK. An implicit transaction ends by them too, but the client is warned that it began none.
    async fn end_transaction(&mut self, commit: bool, chain: bool) -> Result<Executed> {
        let status = self.status();
        let tag = if commit && status != Status::Failed { "COMMIT" } else { "ROLLBACK" };
        if chain {
            self.in_transaction(if commit { "COMMIT AND CHAIN" } else { "ROLLBACK AND CHAIN" })?;
        }
        let committed = commit && status != Status::Failed;
        let held = if committed { self.hold_cursors().await } else { Ok(()) };
        // a commit that fails is a rollback
        let committed = committed && held.is_ok();
        let back_to = self.transaction.end(committed);
        self.end_portals(committed);
        self.end_pending(committed);
        self.settings.lock().end_local();
        if let Some(before) = back_to {
            self.restore(before);
        }
        held?;
        if chain {
            let now = self.now();
            self.transaction.begin(|| now);
        }
        if status == Status::Idle {
            let message = "there is no transaction in progress";
            return Ok(with_warning(tag, SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        done(tag)
    }

    fn savepoint(&mut self, name: String) -> Result<Executed> {
        self.in_transaction("SAVEPOINT")?;
        let mark = Mark { portals: self.portals_opened, pending: self.pending.mark() };
        self.transaction.savepoint(name, self.now(), mark, &self.budget)?;
        done("SAVEPOINT")
    }

    fn in_transaction(&self, what: &str) -> Result<()> {
        if self.status() != Status::Idle {
            return Ok(());
        }
        Err(super::not_in_block(what))
    }

    /// All of them, or none when one is missing.
    fn drop_views(&mut self, names: &[String], if_exists: bool) -> Result<Executed> {
        let mut views = self.views.clone();
        let mut skipped = None;
        for name in names {
            if views.remove(name) {
                continue;
            }
            if !if_exists {
                let message = format!("view \"{name}\" does not exist");
                return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
            }
            let message = format!("view \"{name}\" does not exist, skipping");
            let mut notice = Report::new(SqlState::SUCCESSFUL_COMPLETION, message);
            notice.severity = Severity::Notice;
            skipped.get_or_insert(notice);
        }
        self.views = views;
        Ok(Executed::Done { tag: "DROP VIEW".to_owned(), notice: skipped })
    }

    fn discard(&mut self, what: &'static str) -> Result<Executed> {
        if what == "ALL" {
            if self.transaction.in_block() {
                return Err(Error::new(
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "DISCARD ALL cannot run inside a transaction block",
                ));
            }
            self.portals.clear();
            self.statements.clear();
            self.settings.lock().reset_all();
            self.views.clear();
            self.pending.take();
            self.listener.unlisten_all();
            // not to be undone by what follows in a pipeline
            self.transaction.end(true);
        }
        if what == "TEMP" {
            self.views.clear();
        }
        done(&format!("DISCARD {what}"))
    }

    fn deallocate(&mut self, name: Option<String>) -> Result<Executed> {
        match name {
            None => {
                self.statements.clear();
                done("DEALLOCATE ALL")
            }
            Some(name) => {
                self.statement(&name)?;
                self.close_statement(&name);
                done("DEALLOCATE")
            }
        }
    }

    /// Identity comes from authentication alone: these statements may only name who one already is.
    fn only_oneself(&self, role: Option<String>, what: &str) -> Result<Executed> {
        match role {
            Some(role) if role != self.user => {
                let message = format!("permission denied to {what} \"{role}\"");
                Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                    .hint("Connect as the other user: identity comes from authentication alone."))
            }
            _ => done("SET"),
        }
    }
}

// Returned as a Result so that the arms of `command` read alike.
#[expect(clippy::unnecessary_wraps, reason = "the arms of `command` read alike")]
fn done(tag: &str) -> Result<Executed> {
    Ok(Executed::Done { tag: tag.to_owned(), notice: None })
}

pub(super) fn with_warning(tag: &str, sqlstate: SqlState, message: &'static str) -> Executed {
    let mut notice = Report::new(sqlstate, message);
    notice.severity = Severity::Warning;
    Executed::Done { tag: tag.to_owned(), notice: Some(notice) }
}

fn no_savepoint(name: &str) -> Error {
    Error::new(SqlState::INVALID_SAVEPOINT_SPECIFICATION, format!("savepoint \"{name}\" does not exist"))
}
