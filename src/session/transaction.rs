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

    pub fn started(&self) -> Option<DateTime<Utc>> {
        self.open.as_ref().map(|open| open.started)
    }

    /// The transaction's pins, or new ones for a statement outside of a transaction.
    pub fn pins(&self) -> Pins {
        self.open.as_ref().map_or_else(Pins::default, |open| open.pins.clone())
    }

    pub fn begin(&mut self, settings: Settings) {
        self.open = Some(Open {
            failed: false,
            started: Utc::now(),
            pins: Pins::default(),
            settings_before: settings,
            savepoints: Vec::new(),
        });
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
