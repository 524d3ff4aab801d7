//! Cancel requests: they come on a connection of their own and must reach the statement that runs on another.
//!
//! PostgreSQL 15, section 55.2.8 "Canceling Requests in Progress": a request with a wrong key does nothing and is
//! answered with nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Length of a secret key for protocol 3.0 and 3.1.
pub const SHORT_SECRET_BYTES: usize = 4;
/// Length of a secret key from protocol 3.2 on.
pub const LONG_SECRET_BYTES: usize = 32;

/// All connections that can be cancelled.
#[derive(Default)]
pub struct Cancels {
    running: Mutex<HashMap<i32, Entry>>,
    last_pid: AtomicI32,
}

struct Entry {
    secret: Bytes,
    handle: Arc<Cancel>,
}

/// A connection's side: a wish to stop the statement that runs now.
#[derive(Default)]
pub struct Cancel {
    wanted: AtomicBool,
    wake: Notify,
}

/// A connection's place in [`Cancels`], given back when it is dropped.
pub struct Registration {
    cancels: Arc<Cancels>,
    pub pid: i32,
    pub secret: Bytes,
    pub handle: Arc<Cancel>,
}

impl Cancels {
    /// Makes a connection cancellable under a new number and a random secret of this length.
    pub fn register(self: &Arc<Self>, secret_bytes: usize) -> Registration {
        let mut secret = vec![0_u8; secret_bytes];
        rand::fill(&mut secret[..]);
        let secret = Bytes::from(secret);
        let handle = Arc::new(Cancel::default());
        let mut running = self.lock();
        let pid = loop {
            // numbers come round after two billion connections, and skip those in use
            let pid = self.last_pid.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
            if pid != 0 && !running.contains_key(&pid) {
                break pid;
            }
        };
        running.insert(pid, Entry { secret: secret.clone(), handle: Arc::clone(&handle) });
        drop(running);
        Registration { cancels: Arc::clone(self), pid, secret, handle }
    }

    /// Stops what runs on connection `pid`, if the secret is right.
    pub fn cancel(&self, pid: i32, secret: &[u8]) {
        let running = self.lock();
        if let Some(entry) = running.get(&pid)
            && aws_lc_rs::constant_time::verify_slices_are_equal(&entry.secret, secret).is_ok()
        {
            entry.handle.request();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Entry>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cancels.lock().remove(&self.pid);
    }
}

impl Cancel {
    pub fn request(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
    }

    /// A statement starts: a request that came before it was meant for another.
    pub fn clear(&self) {
        self.wanted.store(false, Ordering::SeqCst);
    }

    /// Returns once a request came since the last [`Self::clear`]. Cancel safe.
    pub async fn requested(&self) {
        loop {
            let wake = self.wake.notified();
            tokio::pin!(wake);
            wake.as_mut().enable();
            if self.wanted.load(Ordering::SeqCst) {
                return;
            }
            wake.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn only_the_right_secret_cancels_and_only_the_running_statement() {
        let cancels = Arc::new(Cancels::default());
        let mine = cancels.register(SHORT_SECRET_BYTES);
        let other = cancels.register(LONG_SECRET_BYTES);
        assert_ne!(mine.pid, other.pid);
        let soon = Duration::from_millis(20);
        cancels.cancel(mine.pid, b"nope");
        cancels.cancel(mine.pid, &other.secret);
        assert!(tokio::time::timeout(soon, mine.handle.requested()).await.is_err());
        cancels.cancel(mine.pid, &mine.secret);
        assert!(tokio::time::timeout(soon, mine.handle.requested()).await.is_ok());
        assert!(tokio::time::timeout(soon, other.handle.requested()).await.is_err());
        mine.handle.clear();
        assert!(tokio::time::timeout(soon, mine.handle.requested()).await.is_err());
        let pid = mine.pid;
        drop(mine);
        cancels.cancel(pid, b"gone");
        assert_eq!(cancels.lock().len(), 1);
    }
}
