//! What a session has open, as `pg_prepared_statements`, `pg_cursors` and `pg_listening_channels()` list it: entries that go
//! when what they are about goes. PostgreSQL 15, 54.6 "pg_cursors" and 54.15 "pg_prepared_statements".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::mesh::channels::Listening;

/// The prepared statements, cursors and channels of one session. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Listings {
    pub statements: Listed<StatementFacts>,
    pub cursors: Listed<CursorFacts>,
    pub channels: Listening,
}

/// A prepared statement that has a name.
#[derive(Debug)]
pub struct StatementFacts {
    pub name: String,
    pub statement: Arc<str>,
    pub prepared_at: DateTime<Utc>,
    pub parameter_oids: Vec<u32>,
    /// By PREPARE, not by Parse.
    pub from_sql: bool,
}

/// An open cursor, or a portal that has a name.
#[derive(Debug)]
pub struct CursorFacts {
    pub name: String,
    pub statement: Arc<str>,
    pub holdable: bool,
    pub binary: bool,
    pub scrollable: bool,
    pub opened_at: DateTime<Utc>,
}

/// Facts in the order in which they came. Copies share them.
#[derive(Debug)]
pub struct Listed<T>(Arc<Mutex<Entries<T>>>);

#[derive(Debug)]
struct Entries<T> {
    last: u64,
    facts: BTreeMap<u64, Arc<T>>,
}

/// A place in a list, given up when dropped.
#[derive(Debug)]
pub struct Entry<T> {
    number: u64,
    list: Listed<T>,
}

impl<T> Listed<T> {
    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, facts: T) -> Entry<T> {
        let mut entries = self.lock();
        entries.last += 1;
        let number = entries.last;
        entries.facts.insert(number, Arc::new(facts));
        Entry { number, list: self.clone() }
    }

    /// What is there now.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.lock().facts.values().cloned().collect()
    }
}

// not derived, which would ask as much of `T`
impl<T> Clone for Listed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Entries { last: 0, facts: BTreeMap::new() })))
    }
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        self.list.lock().facts.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_no_longer_listed() {
        let list = Listed::default();
        let first = list.add("first");
        let _second = list.clone().add("second");
        assert_eq!(list.all(), [Arc::new("first"), Arc::new("second")]);
        drop(first);
        assert_eq!(list.all(), [Arc::new("second")]);
    }
}
