//! Who logged in and who was refused, for the audit. A client that is refused again and again is counted, and not recorded
//! each time: strangers must not be able to fill the server's disk. It knows nothing of passwords and of how they are
//! checked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::SqlState;
use crate::state::audit::AuditRecord;
use crate::state::{State, Stream};

/// After a refusal is recorded, further ones of the same address are counted for this long and recorded together.
const COUNTED_FOR: Duration = Duration::from_mins(1);
/// How many addresses are counted apart; refusals of all others are counted together.
const ADDRESSES_MAX: usize = 1_000;
/// Longest name of a user who was refused, in characters: it is what a stranger wrote.
const USER_CHARS_MAX: usize = 64;

pub struct Logins {
    state: Arc<State>,
    /// The addresses that were refused of late; `None` stands for all others.
    refused: Mutex<HashMap<Option<IpAddr>, Counted>>,
    counted_for: Duration,
}

/// Refusals of one address that are not recorded yet.
#[derive(Default)]
struct Counted {
    events: i64,
    /// The newest of them.
    record: Option<AuditRecord>,
}

impl Logins {
    pub fn new(state: &Arc<State>) -> Self {
        Self { state: Arc::clone(state), refused: Mutex::default(), counted_for: COUNTED_FOR }
    }

    /// A session was opened.
    pub fn opened(&self, user: &str, client_address: IpAddr, session_id: &str, application_name: &str) {
        self.append(&AuditRecord {
            principal: Some(user.to_owned()),
            client_address: Some(client_address.to_string()),
            application_name: Some(application_name.to_owned()).filter(|name| !name.is_empty()),
            session_id: Some(session_id.to_owned()),
            outcome: Some("allowed"),
            ..AuditRecord::new("login")
        });
    }

    /// A client that called itself `user` was refused.
    pub fn refused(self: &Arc<Self>, address: IpAddr, user: &str, why: SqlState) {
        let record = AuditRecord {
            principal: Some(user.chars().take(USER_CHARS_MAX).collect()),
            client_address: Some(address.to_string()),
            outcome: Some("denied"),
            reason: Some(why.code()),
            ..AuditRecord::new("login")
        };
        let mut refused = self.lock();
        let key = (refused.contains_key(&Some(address)) || refused.len() < ADDRESSES_MAX).then_some(address);
        if let Some(counted) = refused.get_mut(&key) {
            counted.events += 1;
            counted.record = Some(record);
            return;
        }
        refused.insert(key, Counted::default());
        drop(refused);
        self.append(&record);
        let logins = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(logins.counted_for).await;
            let counted = logins.lock().remove(&key);
            logins.record(key, counted);
        });
    }

    /// Records what was counted so far: the server stops.
    pub fn flush(&self) {
        let refused = std::mem::take(&mut *self.lock());
        for (key, counted) in refused {
            self.record(key, Some(counted));
        }
    }

    fn record(&self, key: Option<IpAddr>, counted: Option<Counted>) {
        if let Some(Counted { events, record: Some(record) }) = counted {
            let client_address = key.map(|address| address.to_string());
            self.append(&AuditRecord { client_address, events, ..record });
        }
    }

    /// Nobody waits for the record: a login is no decision about data.
    fn append(&self, record: &AuditRecord) {
        drop(self.state.append(Stream::Audit, record));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, Counted>> {
        // each change is complete in itself
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{Stores, Tables};

    fn address(last: u16) -> IpAddr {
        std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
    }

    fn events(logins: &Logins, address: Option<IpAddr>) -> Option<i64> {
        logins.lock().get(&address).map(|counted| counted.events)
    }

    #[tokio::test]
    async fn one_address_is_recorded_once_and_then_counted() {
        let counted_for = Duration::from_millis(200);
        let logins =
            Arc::new(Logins { counted_for, ..Logins::new(&State::temporary(&Tables::new(Stores::default()))) });
        for _ in 0..50 {
            logins.refused(address(1), "ann", SqlState::INVALID_PASSWORD);
        }
        logins.refused(address(2), "ann", SqlState::INVALID_PASSWORD);
        assert_eq!(events(&logins, Some(address(1))), Some(49));
        assert_eq!(events(&logins, Some(address(2))), Some(0));
        tokio::time::sleep(counted_for * 2).await;
        assert!(logins.lock().is_empty(), "after a while it begins anew");
        logins.refused(address(1), "ann", SqlState::INVALID_PASSWORD);
        logins.flush();
        assert!(logins.lock().is_empty());
    }

    #[tokio::test]
    async fn addresses_are_bounded_and_names_cut() {
        let logins = Arc::new(Logins::new(&State::temporary(&Tables::new(Stores::default()))));
        for last in 0..ADDRESSES_MAX as u16 + 20 {
            logins.refused(address(last), &"x".repeat(10_000), SqlState::INVALID_PASSWORD);
        }
        assert_eq!(logins.lock().len(), ADDRESSES_MAX + 1);
        assert_eq!(events(&logins, None), Some(19));
        let name = logins.lock()[&None].record.as_ref().unwrap().principal.clone().unwrap();
        assert_eq!(name.len(), USER_CHARS_MAX);
    }
}
