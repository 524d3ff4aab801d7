//! Policy as it is now: one catalog snapshot and the grants that hold, joined under one number.
//!
//! Nobody waits for it and nothing runs for it in the background: whoever asks sees whether the catalog, a stored grant or
//! the clock has moved on since, which costs a few atomic reads and two looks at clocks, and joins them anew when one has.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::grants;
use crate::access::grants::Grants;
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Live;
use crate::state::State;

/// How long stored grants count before they are asked for again, though nothing says that they changed: a state that has not
/// heard from its store for too long has none to give, since a revocation might have been missed.
const GRANTS_TRUSTED: Duration = Duration::from_secs(5);

/// One state of everything that decides who may see what.
///
/// INVARIANT: a generation stands for one snapshot and one set of grants, and grows with every change of either: when the
/// folder changes its meaning, when a grant is given, revoked or approved, and at the instant at which one ends.
#[derive(Debug)]
pub struct Policy {
    /// Counts from 1, on this server.
    pub generation: u64,
    pub snapshot: Arc<Snapshot>,
    pub grants: Arc<Grants>,
}

/// The newest [`Policy`].
pub(super) struct Policies {
    current: ArcSwap<Joined>,
    /// Held while joining, so that a generation is given once.
    joining: Mutex<()>,
}

struct Joined {
    policy: Arc<Policy>,
    /// Has not changed as long as the stored grants are those of `policy`.
    stored: watch::Receiver<u64>,
    read_at: Instant,
}

impl Policies {
    pub fn new(catalog: &Live, state: &State) -> Self {
        let mut stored = state.tables_epoch();
        stored.mark_unchanged();
        let read_at = Instant::now();
        let grants = Arc::new(stored_grants(state, Utc::now()));
        let policy = Arc::new(Policy { generation: 1, snapshot: catalog.current(), grants });
        Self { current: ArcSwap::from_pointee(Joined { policy, stored, read_at }), joining: Mutex::new(()) }
    }

    /// Joins anew where anything changed since.
    pub fn current(&self, catalog: &Live, state: &State) -> Arc<Policy> {
        let current = self.current.load();
        if current.holds(catalog, Utc::now()) {
            return Arc::clone(&current.policy);
        }
        // what is stored below is complete in itself, so a panic elsewhere leaves nothing half done
        let _joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load();
        let now = Utc::now();
        if current.holds(catalog, now) {
            return Arc::clone(&current.policy);
        }
        // marked before the rows are read: what changes meanwhile is seen the next time
        let mut stored = current.stored.clone();
        stored.mark_unchanged();
        let read_at = Instant::now();
        let (snapshot, grants) = (catalog.current(), stored_grants(state, now));
        let known = &current.policy;
        // an open request, say, is stored beside the grants and changes none
        let same = snapshot.generation == known.snapshot.generation && grants == *known.grants;
        let policy = if same {
            Arc::clone(known)
        } else {
            Arc::new(Policy { generation: known.generation + 1, snapshot, grants: Arc::new(grants) })
        };
        self.current.store(Arc::new(Joined { policy: Arc::clone(&policy), stored, read_at }));
        policy
    }
}

impl Joined {
    fn holds(&self, catalog: &Live, now: DateTime<Utc>) -> bool {
        let Policy { snapshot, grants, .. } = &*self.policy;
        catalog.current().generation == snapshot.generation
            && !self.stored.has_changed().unwrap_or(false)
            && grants.next_change().is_none_or(|change| now < change)
            && self.read_at.elapsed() < GRANTS_TRUSTED
    }
}

/// Grants that cannot be read are none.
fn stored_grants(state: &State, now: DateTime<Utc>) -> Grants {
    match grants::stored(state) {
        Ok(stored) => Grants::at(stored, now),
        Err(error) => {
            tracing::error!(%error, "the stored grants cannot be read: none holds");
            Grants::default()
        }
    }
}
