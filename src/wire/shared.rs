//! What all connections share: the mesh, the limits, and who is connected. It knows nothing of messages; `startup` and
//! `connection` stand on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::cancel::Cancels;
use super::tls::TlsIdentity;
use crate::mesh::Mesh;

/// What all connections share.
pub struct Shared {
    pub mesh: Arc<Mesh>,
    pub tls: Option<TlsIdentity>,
    /// Clients must encrypt: the server listens beyond this machine.
    pub require_tls: bool,
    /// The server listens on loopback only, so the sample principals may log in.
    pub loopback: bool,
    /// Makes authentication of unknown users look like any other.
    pub mock_secret: [u8; 32],
    pub limits: Limits,
    /// Settings that new sessions start with.
    pub defaults: Vec<(&'static str, String)>,
    /// Ceiling of `statement_timeout`; zero for none.
    pub statement_timeout_max: Duration,
    pub cancels: Arc<Cancels>,
    /// A permit for each session that may be open.
    pub sessions: Arc<Semaphore>,
    pub users: UserCounts,
    /// The server stops: idle connections end.
    pub shutdown: CancellationToken,
    /// The grace period is over: running statements end.
    pub kill: CancellationToken,
}

/// What connections may take.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connections_per_user: usize,
    /// From the first byte to the end of authentication.
    pub authentication: Duration,
    /// Longest message of an authenticated client.
    pub message_bytes: usize,
}

/// How many sessions each user has.
#[derive(Default)]
pub struct UserCounts(Arc<Mutex<HashMap<String, usize>>>);

/// A user's place among [`UserCounts`], given back when dropped.
pub struct UserPlace {
    user: String,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl UserCounts {
    pub fn take(&self, user: &str, max: usize) -> Option<UserPlace> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user.to_owned()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(UserPlace { user: user.to_owned(), counts: Arc::clone(&self.0) })
    }
}

impl Drop for UserPlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_places_are_bounded_and_given_back() {
        let users = UserCounts::default();
        let (first, second) = (users.take("ann", 2).unwrap(), users.take("ann", 2).unwrap());
        assert!(users.take("ann", 2).is_none());
        assert!(users.take("ben", 2).is_some(), "each has places of their own");
        drop(first);
        let third = users.take("ann", 2);
        assert!(third.is_some() && users.take("ann", 2).is_none());
        drop((second, third));
        assert!(users.0.lock().unwrap().is_empty(), "who left is forgotten");
    }
}
