//! The transaction: pinned versions, savepoints, and the settings that a rollback restores. Nothing is ever written, so
//! a transaction is a promise about what is read: the first look at a table decides its version for all statements.

use chrono::{DateTime, Utc};

use crate::settings::Settings;
use crate::statement::context::Pins;

/// PostgreSQL's transaction status (ReadyForQuery).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Idle,
    Active,
    Failed,
}

/// How many savepoints may be nested.
pub const SAVEPOINTS_MAX: usize = 1_000;

#[derive(Default)]
pub struct Transaction {
    open: Option<Open>,
}

struct Open {
    failed: bool,
    started: DateTime<Utc>,
    pins: Pins,
    settings_before: Settings,
    savepoints: Vec<Savepoint>,
}

/// What the statements of one simple query, or of one pipeline up to its Sync, are together outside of a transaction block:
/// one moment, one version of each table, and one change of settings that an error undoes.
///
/// PostgreSQL 15, section 55.2.2.1 "Multiple Statements in a Simple Query".
pub struct Implicit {
    pub started: DateTime<Utc>,
    pub pins: Pins,
    pub settings_before: Settings,
}

impl Implicit {
    pub fn begin(settings: Settings) -> Self {
        Self { started: Utc::now(), pins: Pins::default(), settings_before: settings }
    }
}

struct Savepoint {
    name: String,
    settings: Settings,
}

impl Transaction {
    pub fn status(&self) -> Status {
        match &self.open {
            None => Status::Idle,
            Some(open) if open.failed => Status::Failed,
            Some(_) => Status::Active,
        }
    }

    /// Pins and start of the transaction that is open.
    pub fn open(&self) -> Option<(Pins, DateTime<Utc>)> {
        self.open.as_ref().map(|open| (open.pins.clone(), open.started))
    }

    /// Begins a transaction block; an implicit transaction that runs becomes its first part.
    pub fn begin(&mut self, from: Implicit) {
        let Implicit { started, pins, settings_before } = from;
        self.open = Some(Open { failed: false, started, pins, settings_before, savepoints: Vec::new() });
    }

    pub fn fail(&mut self) {
        if let Some(open) = &mut self.open {
            open.failed = true;
        }
    }

    /// Ends the transaction. Returns the settings to go back to when it was rolled back.
    pub fn end(&mut self, commit: bool) -> Option<Settings> {
        let open = self.open.take()?;
        (!commit || open.failed).then_some(open.settings_before)
    }

    /// `false` when there are too many.
    pub fn savepoint(&mut self, name: String, settings: Settings) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.savepoints.len() >= SAVEPOINTS_MAX {
            return false;
        }
        open.savepoints.push(Savepoint { name, settings });
        true
    }

    /// Forgets a savepoint and those after it. `false` when there is none of this name.
    pub fn release(&mut self, name: &str) -> bool {
        let Some(open) = &mut self.open else { return false };
        let Some(position) = open.savepoints.iter().rposition(|s| s.name == name) else { return false };
        open.savepoints.truncate(position);
        true
    }

    /// Goes back to a savepoint, which stays. Returns the settings of that moment.
    pub fn rollback_to(&mut self, name: &str) -> Option<Settings> {
        let open = self.open.as_mut()?;
        let position = open.savepoints.iter().rposition(|s| s.name == name)?;
        open.savepoints.truncate(position + 1);
        open.failed = false;
        open.savepoints.last().map(|s| s.settings.clone())
    }
}
