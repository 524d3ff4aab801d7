//! Channels of NOTIFY: who listens, and what waits for them.
//!
//! A channel belongs to a user: a notification reaches the sessions of the user who sent it, and nobody else's, so that
//! channels carry nothing from one principal to another. What the server itself has to say reaches the users it concerns.
//! PostgreSQL 15, SQL commands LISTEN and NOTIFY; there a channel is open to all.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The channel on which owners hear of access requests, and requesters of decisions.
pub const ACCESS_REQUESTS: &str = "access_requests";
/// How many notifications may wait for a session that does not take them.
const WAITING_MAX: usize = 10_000;
/// How many channels a session may listen on.
pub const CHANNELS_MAX: usize = 1_000;

/// Who listens, by user.
#[derive(Default)]
pub struct Channels(Mutex<HashMap<String, Vec<Arc<Ear>>>>);

/// What NOTIFY sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The number of the session that sent it; 0 is the server.
    pub pid: i32,
    pub channel: String,
    pub payload: String,
}

/// What a session listens on, for who asks. Copies share it.
#[derive(Clone, Default)]
pub struct Listening(Arc<Ear>);

/// One session's side.
#[derive(Default)]
struct Ear {
    heard: Mutex<Heard>,
    wake: Notify,
}

#[derive(Default)]
struct Heard {
    channels: BTreeSet<String>,
    waiting: VecDeque<Notification>,
}

/// A session that may listen; given up when dropped.
pub struct Listener {
    channels: Arc<Channels>,
    user: String,
    ear: Arc<Ear>,
    /// It is among the user's, which only those are that listened once.
    known: bool,
}

impl Channels {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<Ear>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers to the sessions of `user` that listen.
    pub fn notify(&self, user: &str, notification: &Notification) {
        for ear in self.lock().get(user).into_iter().flatten() {
            ear.hear(notification);
        }
    }

    /// Whether a session of `user` that listens on `channel` has stopped taking what it is sent.
    pub fn is_full(&self, user: &str, channel: &str) -> bool {
        let listening = self.lock();
        let mut ears = listening.get(user).into_iter().flatten();
        ears.any(|ear| {
            let heard = ear.lock();
            heard.waiting.len() >= WAITING_MAX && heard.channels.contains(channel)
        })
    }

    /// The users of whom a session listens on `channel`.
    pub fn listening_on(&self, channel: &str) -> Vec<String> {
        let listening = self.lock();
        let listens = |ears: &Vec<Arc<Ear>>| ears.iter().any(|ear| ear.lock().channels.contains(channel));
        listening.iter().filter(|(_, ears)| listens(ears)).map(|(user, _)| user.clone()).collect()
    }
}

impl Ear {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, notification: &Notification) {
        let mut heard = self.lock();
        if !heard.channels.contains(&notification.channel) {
            return;
        }
        // whoever notifies asks first whether there is room; this is for those who asked at the same time
        if heard.waiting.len() >= 2 * WAITING_MAX {
            tracing::warn!(channel = notification.channel, "a session does not take its notifications");
            return;
        }
        heard.waiting.push_back(notification.clone());
        drop(heard);
        self.wake.notify_one();
    }
}

impl Listening {
    /// The channels in order.
    pub fn channels(&self) -> Vec<String> {
        self.0.lock().channels.iter().cloned().collect()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.channels()).finish()
    }
}

impl Listener {
    pub fn new(channels: &Arc<Channels>, user: &str) -> Self {
        Self { channels: Arc::clone(channels), user: user.to_owned(), ear: Arc::default(), known: false }
    }

    /// Whether it may listen on `channel` too.
    pub fn has_room_for(&self, channel: &str) -> bool {
        let channels = &self.ear.lock().channels;
        channels.len() < CHANNELS_MAX || channels.contains(channel)
    }

    pub fn listen(&mut self, channel: &str) {
        if !self.known {
            self.channels.lock().entry(self.user.clone()).or_default().push(Arc::clone(&self.ear));
            self.known = true;
        }
        self.ear.lock().channels.insert(channel.to_owned());
    }

    pub fn unlisten(&mut self, channel: &str) {
        self.ear.lock().channels.remove(channel);
    }

    pub fn unlisten_all(&mut self) {
        self.ear.lock().channels.clear();
    }

    pub fn listening(&self) -> Listening {
        Listening(Arc::clone(&self.ear))
    }

    /// Returns once something waits. Cancel safe.
    pub async fn heard(&self) {
        while self.ear.lock().waiting.is_empty() {
            self.ear.wake.notified().await;
        }
    }

    /// Takes what waits.
    pub fn take(&self) -> VecDeque<Notification> {
        std::mem::take(&mut self.ear.lock().waiting)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.known {
            return;
        }
        let mut listening = self.channels.lock();
        if let Some(ears) = listening.get_mut(&self.user) {
            ears.retain(|ear| !Arc::ptr_eq(ear, &self.ear));
            if ears.is_empty() {
                listening.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(channel: &str, payload: &str) -> Notification {
        Notification { pid: 7, channel: channel.to_owned(), payload: payload.to_owned() }
    }

    #[tokio::test]
    async fn a_channel_is_its_user_s_own() {
        let channels = Arc::new(Channels::default());
        let (mut mine, mut other) = (Listener::new(&channels, "ann"), Listener::new(&channels, "ben"));
        mine.listen("c");
        other.listen("c");
        channels.notify("ann", &notification("c", "x"));
        channels.notify("ann", &notification("d", "y"));
        mine.heard().await;
        assert_eq!(mine.take(), [notification("c", "x")]);
        assert!(mine.take().is_empty() && other.take().is_empty());
        mine.unlisten("c");
        channels.notify("ann", &notification("c", "z"));
        assert!(mine.take().is_empty());
        assert_eq!(channels.listening_on("c"), ["ben"]);
        drop((mine, other));
        assert!(channels.lock().is_empty(), "who left is forgotten");
    }

    #[test]
    fn what_waits_and_what_is_listened_on_is_bounded() {
        let channels = Arc::new(Channels::default());
        let mut listener = Listener::new(&channels, "ann");
        listener.listen("c");
        assert!(!channels.is_full("ann", "c"));
        for _ in 0..3 * WAITING_MAX {
            channels.notify("ann", &notification("c", "x"));
        }
        assert!(channels.is_full("ann", "c") && !channels.is_full("ann", "d") && !channels.is_full("ben", "c"));
        assert_eq!(listener.take().len(), 2 * WAITING_MAX);
        for number in 1..CHANNELS_MAX {
            assert!(listener.has_room_for("one more"));
            listener.listen(&number.to_string());
        }
        assert!(!listener.has_room_for("one more") && listener.has_room_for("c"));
    }
}
