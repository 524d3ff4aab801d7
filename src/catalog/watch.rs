//! The catalog folder, watched: every change becomes a new snapshot as a whole, or none.
//!
//! It owns when to load and what to keep, and refuses to know what a file means. Readers never wait: they take the current
//! snapshot from an atomic pointer.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::load::{Loaded, load_with_progress};
use super::model::Problem;
use super::snapshot::Snapshot;

/// How long the folder must be quiet before it is loaded.
const QUIET: Duration = Duration::from_millis(100);
/// How long a folder that never becomes quiet can put off loading.
const QUIET_MAX: Duration = Duration::from_millis(400);
/// How often the folder is compared by name, size and time where the system does not tell of changes, and how often it is
/// checked that the watched folder is still the one of that name.
const POLL: Duration = Duration::from_millis(700);

/// How the latest load went (`data_catalog.reload_status`).
#[derive(Clone, Debug, PartialEq)]
pub struct ReloadStatus {
    /// The generation that is served.
    pub generation: u64,
    /// `ok`, or `invalid`: the folder has errors, and `problems` lists them.
    pub state: &'static str,
    /// When the served generation was loaded.
    pub loaded_at: DateTime<Utc>,
    pub last_attempt_at: DateTime<Utc>,
    /// When the folder was first seen in its invalid state.
    pub invalid_since: Option<DateTime<Utc>>,
    /// Of the latest attempt, warnings included.
    pub problems: Vec<Problem>,
}

/// The live catalog of a server.
#[derive(Debug)]
pub struct Live {
    dir: PathBuf,
    current: ArcSwap<Snapshot>,
    status: ArcSwap<ReloadStatus>,
    generation: watch::Sender<u64>,
    /// Held while loading, so that an older state never replaces a newer one.
    loading: Mutex<()>,
}

impl Live {
    /// Loads the folder for the first time: what is valid is served, whatever else is wrong. Blocks on file I/O.
    ///
    /// Fails only where there is no such folder.
    pub fn open(dir: &Path) -> io::Result<Arc<Self>> {
        Self::open_with_progress(dir, &mut |_| {})
    }

    /// The same; `progress` hears of every file before it is read.
    pub fn open_with_progress(dir: &Path, progress: &mut dyn FnMut(&Path)) -> io::Result<Arc<Self>> {
        std::fs::read_dir(dir)?;
        // the process may change its folder; the catalog stays where it was
        let dir = std::path::absolute(dir)?;
        let loaded = load_with_progress(&dir, progress);
        let now = Utc::now();
        let status = status(1, now, now, None, &loaded);
        let (generation, _) = watch::channel(1);
        Ok(Arc::new(Self {
            dir,
            current: ArcSwap::new(Snapshot::new(1, now, loaded)),
            status: ArcSwap::from_pointee(status),
            generation,
            loading: Mutex::new(()),
        }))
    }

    /// The snapshot that new statements use. Never waits.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// How the latest load went. Never waits.
    pub fn status(&self) -> Arc<ReloadStatus> {
        self.status.load_full()
    }

    /// Hears of every new generation.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// The catalog folder, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Loads the folder and swaps it in if it has no errors. Blocks on file I/O.
    ///
    /// As long as no good state was ever loaded there is nothing to fall back to: the valid part is served, as at the start.
    pub fn reload(&self) -> Arc<ReloadStatus> {
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = load_with_progress(&self.dir, &mut |_| {});
        let now = Utc::now();
        let current = self.current();
        let before = self.status();
        let had_good_state = !Loaded::any_error(&current.problems);
        let invalid = loaded.has_errors();
        let changed = loaded.catalog != current.catalog || loaded.problems != current.problems;
        let next = if changed && !(invalid && had_good_state) {
            let generation = current.generation + 1;
            let status = status(generation, now, now, before.invalid_since, &loaded);
            let snapshot = Snapshot::new(generation, now, loaded);
            tracing::info!(generation, products = snapshot.catalog.products.len(), "catalog loaded");
            self.current.store(snapshot);
            status
        } else {
            status(current.generation, current.loaded_at, now, before.invalid_since, &loaded)
        };
        if next.problems != before.problems {
            log(&next);
        }
        let generation = next.generation;
        self.status.store(Arc::new(next));
        if generation != current.generation {
            self.generation.send_replace(generation);
        }
        self.status()
    }

    /// Reloads whenever the folder changes, until `shutdown`. Cancel safe: a load that has begun finishes in its thread.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let (changes, mut pending) = tokio::sync::mpsc::channel(1);
        let mut watcher = watcher(&self.dir, &changes);
        // what changed between the first load and now was not seen
        let mut seen = self.fingerprint().await;
        self.reload_in_thread().await;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut identity = identity(&self.dir);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = pending.recv() => {
                    quiet(&mut pending).await;
                    self.reload_in_thread().await;
                }
                _ = poll.tick() => {
                    let now = self::identity(&self.dir);
                    if now != identity || watcher.is_none() {
                        let replaced = now != identity;
                        identity = now;
                        if replaced {
                            watcher = self::watcher(&self.dir, &changes);
                        }
                        let fingerprint = self.fingerprint().await;
                        if replaced || fingerprint != seen {
                            seen = fingerprint;
                            tokio::time::sleep(QUIET).await;
                            self.reload_in_thread().await;
                        }
                    }
                }
            }
        }
    }

    async fn reload_in_thread(self: &Arc<Self>) {
        let live = Arc::clone(self);
        if let Err(error) = tokio::task::spawn_blocking(move || live.reload()).await {
            tracing::error!(%error, "loading the catalog failed; the last good state stays");
        }
    }

    async fn fingerprint(&self) -> BTreeMap<PathBuf, Stamp> {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || fingerprint(&dir)).await.unwrap_or_default()
    }
}

impl Loaded {
    fn any_error(problems: &[Problem]) -> bool {
        problems.iter().any(|problem| problem.severity == super::model::ProblemSeverity::Error)
    }
}

fn status(
    generation: u64,
    loaded_at: DateTime<Utc>,
    now: DateTime<Utc>,
    invalid_since: Option<DateTime<Utc>>,
    loaded: &Loaded,
) -> ReloadStatus {
    let invalid = loaded.has_errors();
    ReloadStatus {
        generation,
        state: if invalid { "invalid" } else { "ok" },
        loaded_at,
        last_attempt_at: now,
        invalid_since: invalid.then(|| invalid_since.unwrap_or(now)),
        problems: loaded.problems.clone(),
    }
}

fn log(status: &ReloadStatus) {
    for problem in &status.problems {
        tracing::warn!(generation = status.generation, "{problem}");
    }
    if status.state == "invalid" {
        tracing::error!(generation = status.generation, "the catalog has errors; the last good state stays");
    }
}

/// Asks the system to tell of changes. `None` where it cannot (for example at the limit of inotify watches): the folder is
/// polled then.
fn watcher(dir: &Path, changes: &tokio::sync::mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let changes = changes.clone();
    let on_event = move |event: notify::Result<notify::Event>| {
        let relevant = match &event {
            // our own reading is no change
            Ok(event) => !matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)),
            Err(_) => true,
        };
        if relevant {
            // full: a reload is already due
            let _ = changes.try_send(());
        }
    };
    let started = notify::recommended_watcher(on_event)
        .and_then(|mut watcher| watcher.watch(dir, RecursiveMode::Recursive).map(|()| watcher));
    match started {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "the system cannot watch the catalog folder; it is polled instead");
            None
        }
    }
}

/// Waits until no change came for a moment, but not for ever.
async fn quiet(changed: &mut tokio::sync::mpsc::Receiver<()>) {
    let deadline = tokio::time::Instant::now() + QUIET_MAX;
    while tokio::time::Instant::now() < deadline {
        if tokio::time::timeout(QUIET, changed.recv()).await.is_err() {
            return;
        }
    }
}

/// A file's length and time of change.
type Stamp = (u64, Option<SystemTime>);

/// The folder's files with what tells that they changed.
fn fingerprint(dir: &Path) -> BTreeMap<PathBuf, Stamp> {
    // the catalog's own depth: <domain>/<product>/<file>
    const DEPTH_MAX: usize = 3;
    let mut stamps = BTreeMap::new();
    let mut folders = vec![(dir.to_path_buf(), 1)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if metadata.is_dir() && depth < DEPTH_MAX {
                folders.push((path.clone(), depth + 1));
            }
            stamps.insert(path, (metadata.len(), metadata.modified().ok()));
        }
    }
    stamps
}

/// Which folder has the name now: one that was replaced is watched no longer.
#[cfg(unix)]
fn identity(dir: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(dir).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(dir: &Path) -> Option<()> {
    std::fs::metadata(dir).ok().map(|_| ())
}
