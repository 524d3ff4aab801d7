//! How many bytes a session may keep between messages. What is kept holds a place here, and gives it back when dropped, so
//! that the count cannot drift from what is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result, SqlState};

/// Bytes of texts of prepared statements, values of portals' parameters and settings of savepoints, together.
pub const SESSION_BYTES_MAX: usize = 64 << 20;

/// What one session keeps.
#[derive(Debug, Default)]
pub struct Budget(Arc<AtomicUsize>);

/// A place in a [`Budget`].
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Budget {
    /// # Errors
    /// `53400` when the session would keep more than [`SESSION_BYTES_MAX`].
    pub fn take(&self, bytes: usize) -> Result<Held> {
        // one session runs on one task: nobody else takes in between
        if self.0.load(Ordering::Relaxed).saturating_add(bytes) > SESSION_BYTES_MAX {
            let message = format!("a session may keep {} MiB", SESSION_BYTES_MAX >> 20);
            return Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
                .detail("Prepared statements, parameters of open portals and settings of savepoints count.")
                .hint("Deallocate statements, close portals and release savepoints that are no longer used."));
        }
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Ok(Held { bytes, total: Arc::clone(&self.0) })
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
