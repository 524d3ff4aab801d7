//! How many bytes a session may keep between messages. What is kept holds a place here, and gives it back when dropped, so
//! that the count cannot drift from what is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result, SqlState};

/// Bytes of texts of prepared statements, values of portals' parameters and settings of savepoints, together.
pub const SESSION_BYTES_MAX: usize = 64 << 20;
/// Bytes of rows that all cursors of a session keep together.
pub const CURSOR_BYTES_MAX: usize = 256 << 20;

/// What one session keeps of one kind.
#[derive(Debug)]
pub struct Budget {
    total: Arc<AtomicUsize>,
    bytes_max: usize,
    what: &'static str,
    detail: &'static str,
    hint: &'static str,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            total: Arc::default(),
            bytes_max: SESSION_BYTES_MAX,
            what: "a session may keep",
            detail: "Prepared statements, parameters of open portals and settings of savepoints count.",
            hint: "Deallocate statements, close portals and release savepoints that are no longer used.",
        }
    }
}

/// A place in a [`Budget`].
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Budget {
    /// For the rows that cursors keep.
    pub fn of_cursors() -> Self {
        Self {
            total: Arc::default(),
            bytes_max: CURSOR_BYTES_MAX,
            what: "cursors of a session may keep",
            detail: "Cursors with SCROLL keep the rows that were fetched, cursors WITH HOLD all rows.",
            hint: "Fetch forward with NO SCROLL and inside the transaction, or close cursors that are no longer used.",
        }
    }

    /// # Errors
    /// `53400` when the session would keep more than it may.
    pub fn take(&self, bytes: usize) -> Result<Held> {
        // one session runs on one task: nobody else takes in between
        if self.total.load(Ordering::Relaxed).saturating_add(bytes) > self.bytes_max {
            let message = format!("{} {} MiB", self.what, self.bytes_max >> 20);
            return Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
                .detail(self.detail)
                .hint(self.hint));
        }
        self.total.fetch_add(bytes, Ordering::Relaxed);
        Ok(Held { bytes, total: Arc::clone(&self.total) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_makes_room() {
        let budget = Budget::default();
        let half = budget.take(SESSION_BYTES_MAX / 2).unwrap();
        let other = budget.take(SESSION_BYTES_MAX / 2).unwrap();
        let refused = budget.take(1).unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        assert!(refused.report().hint.is_some());
        drop(half);
        assert!(budget.take(SESSION_BYTES_MAX / 2 + 1).is_err(), "a refusal takes nothing, and only half is free");
        assert!(budget.take(SESSION_BYTES_MAX / 2).is_ok());
        drop(other);
        assert!(budget.take(usize::MAX).is_err());
        assert!(budget.take(SESSION_BYTES_MAX).is_ok());
    }
}
