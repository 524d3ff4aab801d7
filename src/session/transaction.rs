//! The transaction: pinned versions, savepoints, and the settings and views that a rollback restores. Nothing is ever written, so
//! a transaction is a promise about what is read: the first look at a table decides its version for all statements.
//!
//! Every statement runs in one. Without BEGIN it is implicit and spans a simple query, or a pipeline up to its Sync
//! (PostgreSQL 15, sections 55.2.2.1 "Multiple Statements in a Simple Query" and 55.2.3 "Extended Query").

use chrono::{DateTime, Utc};

use super::budget::{Budget, Held};
use crate::error::{Error, Result, SqlState};
use crate::settings::Settings;
use crate::statement::context::Pins;
use crate::statement::views::Views;

/// PostgreSQL's transaction status (ReadyForQuery).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Idle,
    Active,
    Failed,
}

/// What a rollback goes back to.
#[derive(Clone)]
pub struct Restored {
    pub settings: Settings,
    pub views: Views,
}

/// How many savepoints may be nested.
pub const SAVEPOINTS_MAX: usize = 1_000;

#[derive(Default)]
pub struct Transaction {
    open: Option<Open>,
    /// A simple query of several statements runs.
    several: bool,
    /// When the simple query that runs was received.
    query_started: Option<DateTime<Utc>>,
}

struct Open {
    /// BEGIN was said.
    block: bool,
    failed: bool,
    started: DateTime<Utc>,
    pins: Pins,
    before: Restored,
    savepoints: Vec<Savepoint>,
}

/// How far the session was at a savepoint, in what a rollback to it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many portals had been opened.
    pub portals: u64,
    /// How many changes to channels waited for the commit.
    pub pending: usize,
}

struct Savepoint {
    name: String,
    then: Restored,
    mark: Mark,
    _held: Held,
}

impl Transaction {
    /// What the client is told: an implicit transaction is none to it.
    pub fn status(&self) -> Status {
        match &self.open {
            Some(open) if open.block && open.failed => Status::Failed,
            Some(open) if open.block => Status::Active,
            _ => Status::Idle,
        }
    }

    /// Whether several statements stand in one transaction for sure: after BEGIN, and in a simple query of several. What
    /// ends with the transaction makes sense only there.
    pub fn in_block(&self) -> bool {
        self.several || self.status() != Status::Idle
    }

    pub fn started(&self) -> Option<DateTime<Utc>> {
        self.open.as_ref().map(|open| open.started)
    }

    /// The transaction's pins, or new ones where none is open.
    pub fn pins(&self) -> Pins {
        self.open.as_ref().map_or_else(Pins::default, |open| open.pins.clone())
    }

    /// A simple query begins. Transactions that start in it, a second one after a COMMIT too, start now: `now()` is when
    /// the message came, as in PostgreSQL's `exec_simple_query`.
    pub fn begin_query(&mut self) {
        self.query_started = Some(Utc::now());
    }

    /// The simple query has several statements.
    pub fn begin_several(&mut self) {
        self.several = true;
    }

    /// A statement begins: opens an implicit transaction unless one is open.
    pub fn open(&mut self, before: impl FnOnce() -> Restored) {
        let query_started = self.query_started;
        self.open.get_or_insert_with(|| Open {
            block: false,
            failed: false,
            started: query_started.unwrap_or_else(Utc::now),
            pins: Pins::default(),
            before: before(),
            savepoints: Vec::new(),
        });
    }

    /// BEGIN. What ran in the implicit transaction so far is part of the block.
    pub fn begin(&mut self, before: impl FnOnce() -> Restored) {
        self.open(before);
        if let Some(open) = &mut self.open {
            open.block = true;
        }
    }

    /// An error: a block fails until its end; an implicit transaction ends. Returns what to go back to then.
    pub fn fail(&mut self) -> Option<Restored> {
        match &mut self.open {
            Some(open) if open.block => {
                open.failed = true;
                None
            }
            _ => self.end(false),
        }
    }

    /// Ends the transaction. Returns what to go back to when it was rolled back.
    pub fn end(&mut self, commit: bool) -> Option<Restored> {
        let open = self.open.take()?;
        (!commit || open.failed).then_some(open.before)
    }

    /// Sync, or the end of a simple query: whether a transaction ended by that.
    pub fn end_implicit(&mut self) -> bool {
        self.several = false;
        self.query_started = None;
        let ends = self.status() == Status::Idle;
        if ends {
            self.open = None;
        }
        ends
    }

    /// # Errors
    /// `54000` when there are too many, `53400` when the session keeps too much.
    pub fn savepoint(&mut self, name: String, then: Restored, mark: Mark, budget: &Budget) -> Result<()> {
        let Some(open) = &mut self.open else { return Err(Error::internal("a savepoint without a transaction")) };
        if open.savepoints.len() >= SAVEPOINTS_MAX {
            let message = format!("a transaction may have {SAVEPOINTS_MAX} savepoints");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let before = open.savepoints.last().map_or(&open.before, |savepoint| &savepoint.then);
        // views hold their own room
        let held = budget.take(name.len() + then.settings.bytes_beside(&before.settings))?;
        open.savepoints.push(Savepoint { name, then, mark, _held: held });
        Ok(())
    }

    /// Forgets a savepoint and those after it. `false` when there is none of this name.
    pub fn release(&mut self, name: &str) -> bool {
        let Some(open) = &mut self.open else { return false };
        let Some(position) = open.savepoints.iter().rposition(|s| s.name == name) else { return false };
        open.savepoints.truncate(position);
        true
    }

    pub fn has_savepoints(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.savepoints.is_empty())
    }

    /// Goes back to a savepoint, which stays. Returns what was there at that moment, and how far the session was.
    pub fn rollback_to(&mut self, name: &str) -> Option<(Restored, Mark)> {
        let open = self.open.as_mut()?;
        let position = open.savepoints.iter().rposition(|s| s.name == name)?;
        open.savepoints.truncate(position + 1);
        open.failed = false;
        open.savepoints.last().map(|s| (s.then.clone(), s.mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(value: &str) -> Restored {
        let mut settings = Settings::new("ann", &[]).unwrap();
        settings.set("my.own", value).unwrap();
        Restored { settings, views: Views::default() }
    }

    #[test]
    fn an_implicit_transaction_is_idle_and_keeps_its_start() {
        let mut t = Transaction::default();
        t.open(|| settings("first"));
        let started = t.started();
        t.open(|| panic!("settings are copied once"));
        assert_eq!((t.status(), t.started()), (Status::Idle, started));
        assert!(started.is_some() && t.end_implicit());
        assert_eq!(t.started(), None);
    }

    #[test]
    fn a_failed_implicit_transaction_goes_back_and_ends() {
        let mut t = Transaction::default();
        t.open(|| settings("before"));
        assert_eq!(t.fail().unwrap().settings.show("my.own").unwrap(), "before");
        assert_eq!((t.status(), t.started()), (Status::Idle, None));
        assert!(t.fail().is_none(), "there is nothing to go back to twice");
    }

    #[test]
    fn begin_makes_a_block_of_what_ran_before() {
        let mut t = Transaction::default();
        t.open(|| settings("before"));
        let started = t.started();
        t.begin(|| settings("later"));
        assert_eq!((t.status(), t.started()), (Status::Active, started));
        assert!(!t.end_implicit(), "a block outlives its query");
        assert!(t.fail().is_none());
        assert_eq!(t.status(), Status::Failed);
        assert_eq!(t.end(true).unwrap().settings.show("my.own").unwrap(), "before", "a failed block is not committed");
    }

    #[test]
    fn several_statements_are_a_block_until_their_end() {
        let mut t = Transaction::default();
        assert!(!t.in_block());
        t.begin_several();
        assert!(t.in_block() && t.status() == Status::Idle);
        t.end_implicit();
        assert!(!t.in_block());
    }

    #[test]
    fn savepoints_are_bounded_in_number_and_in_bytes() {
        let (budget, mut t) = (Budget::default(), Transaction::default());
        t.begin(|| settings("v"));
        for _ in 0..SAVEPOINTS_MAX {
            t.savepoint("a".to_owned(), settings("v"), Mark::default(), &budget).unwrap();
        }
        let refused = t.savepoint("a".to_owned(), settings("v"), Mark::default(), &budget).unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        t.end(false);
        t.begin(|| settings("v"));
        let rest = budget.take(super::super::budget::SESSION_BYTES_MAX - 4).unwrap();
        let refused = t.savepoint("a".to_owned(), settings("v"), Mark::default(), &budget).unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        drop(rest);
        t.savepoint("a".to_owned(), settings("v"), Mark::default(), &budget).unwrap();
    }
}
