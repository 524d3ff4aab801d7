//! The catalog folder, watched: every change becomes a new snapshot as a whole, or none.
//!
//! It owns when to load and what to keep, and refuses to know what a file means. Readers never wait: they take the current
//! snapshot from an atomic pointer.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
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
use super::revoke::without_revoked;
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

    /// Loads the folder and swaps it in if it has no errors; while it has, users lose what they lost in it and nothing else
    /// changes. Blocks on file I/O.
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
        let held_back = invalid && had_good_state;
        let next = if changed && !held_back {
            let generation = current.generation + 1;
            let status = status(generation, now, now, before.invalid_since, &loaded);
            let snapshot = Snapshot::new(generation, now, loaded);
            tracing::info!(generation, products = snapshot.catalog.products.len(), "catalog loaded");
            self.current.store(snapshot);
            status
        } else if let Some(catalog) = without_revoked(&current.catalog, &loaded).filter(|_| held_back) {
            let generation = current.generation + 1;
            let status = status(generation, current.loaded_at, now, before.invalid_since, &loaded);
            let narrowed = Loaded { catalog, problems: current.problems.clone() };
            tracing::warn!(generation, "the catalog has errors; only what users lost is applied");
            self.current.store(Snapshot::new(generation, current.loaded_at, narrowed));
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
        let mut watcher = Watcher::start(&self.dir, &changes);
        // what changed between the first load and now was not seen
        let mut seen = self.fingerprint().await;
        self.reload_in_thread().await;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut identity = self.identity().await;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = pending.recv() => {
                    quiet(&mut pending).await;
                    self.reload_in_thread().await;
                }
                _ = poll.tick() => {
                    let now = self.identity().await;
                    let replaced = now != identity;
                    if replaced {
                        identity = now;
                        watcher = Watcher::start(&self.dir, &changes);
                    }
                    if !replaced && watcher.works() {
                        continue;
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

    async fn reload_in_thread(self: &Arc<Self>) {
        let live = Arc::clone(self);
        if let Err(error) = tokio::task::spawn_blocking(move || live.reload()).await {
            tracing::error!(%error, "loading the catalog failed; the last good state stays");
        }
    }

    async fn identity(&self) -> Identity {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || identity(&dir)).await.unwrap_or_default()
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

/// The system's word of changes. Where it cannot give it (for example at the limit of inotify watches) the folder is polled.
struct Watcher {
    /// Kept because dropping it ends the watch. `None`: it could not start.
    started: Option<notify::RecommendedWatcher>,
    /// It reported a failure of its own, so changes may go unseen.
    failed: Arc<AtomicBool>,
}

impl Watcher {
    fn start(dir: &Path, changes: &tokio::sync::mpsc::Sender<()>) -> Self {
        let changes = changes.clone();
        let failed = Arc::new(AtomicBool::new(false));
        let failure = Arc::clone(&failed);
        let on_event = move |event: notify::Result<notify::Event>| {
            let relevant = match &event {
                // our own reading is no change
                Ok(event) => {
                    !matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
                }
                Err(error) => {
                    if !failure.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "watching the catalog folder failed; it is polled instead");
                    }
                    true
                }
            };
            if relevant {
                // full: a reload is already due
                let _ = changes.try_send(());
            }
        };
        let started = notify::recommended_watcher(on_event)
            .and_then(|mut watcher| watcher.watch(dir, RecursiveMode::Recursive).map(|()| watcher));
        if let Err(error) = &started {
            tracing::warn!(%error, "the system cannot watch the catalog folder; it is polled instead");
        }
        Self { started: started.ok(), failed }
    }

    fn works(&self) -> bool {
        self.started.is_some() && !self.failed.load(Ordering::Relaxed)
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
fn identity(dir: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(dir).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(dir: &Path) -> Identity {
    std::fs::metadata(dir).ok().map(|_| (0, 0))
}

/// Device and inode, where the folder exists.
type Identity = Option<(u64, u64)>;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::catalog::init::init;
    use crate::catalog::model::{ProblemSeverity, ProductId};

    const CONTRACT: &str = "sales/orders/data_product.yaml";

    fn mesh() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path()).unwrap();
        let catalog = dir.path().join("catalog");
        (dir, catalog)
    }

    fn edit(catalog: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(catalog.join(CONTRACT)).unwrap();
        assert!(text.contains(from));
        fs::write(catalog.join(CONTRACT), text.replace(from, to)).unwrap();
    }

    fn description(live: &Live) -> Option<String> {
        live.current().catalog.products.get(&ProductId("sales.orders".into())).and_then(|p| p.description.clone())
    }

    #[test]
    fn a_missing_folder_cannot_be_opened() {
        let (dir, _) = mesh();
        assert_eq!(Live::open(&dir.path().join("nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn good_then_bad_then_good() {
        let (_dir, catalog) = mesh();
        let live = Live::open(&catalog).unwrap();
        let mut generations = live.subscribe();
        assert_eq!((live.status().state, live.status().generation), ("ok", 1));

        live.reload();
        assert_eq!((live.current().generation, generations.has_changed().unwrap()), (1, false), "nothing changed");

        edit(&catalog, "All orders", "Every order");
        live.reload();
        assert_eq!((live.current().generation, description(&live).unwrap().starts_with("Every")), (2, true));
        assert_eq!(*generations.borrow_and_update(), 2);

        edit(&catalog, "description: Every", "descripton: Every");
        let bad = live.reload();
        assert_eq!((bad.state, bad.generation), ("invalid", 2));
        assert!(bad.problems.iter().any(|p| p.severity == ProblemSeverity::Error && p.line == 9), "{:?}", bad.problems);
        assert!(description(&live).unwrap().starts_with("Every"), "the last good state stays");
        let still = live.reload();
        assert_eq!((bad.invalid_since, still.invalid_since.is_some()), (still.invalid_since, true));
        assert!(still.last_attempt_at >= bad.last_attempt_at);
        assert!(!generations.has_changed().unwrap());

        edit(&catalog, "descripton: Every", "description: Each");
        let good = live.reload();
        assert_eq!((good.state, good.generation, good.invalid_since, good.problems.len()), ("ok", 3, None, 0));
        assert!(description(&live).unwrap().starts_with("Each"));
    }

    #[test]
    fn a_start_with_errors_serves_what_is_valid_until_all_is_good() {
        let (_dir, catalog) = mesh();
        fs::create_dir_all(catalog.join("sales/broken")).unwrap();
        fs::write(catalog.join("sales/broken/data_product.yaml"), "a: [").unwrap();
        let live = Live::open(&catalog).unwrap();
        assert_eq!((live.status().state, live.current().catalog.products.len()), ("invalid", 1));
        let since = live.status().invalid_since;
        assert!(since.is_some());

        edit(&catalog, "All orders", "Every order");
        live.reload();
        assert!(description(&live).unwrap().starts_with("Every"), "there was no good state to keep");
        assert_eq!(live.status().invalid_since, since);

        fs::remove_dir_all(catalog.join("sales/broken")).unwrap();
        assert_eq!(live.reload().state, "ok");
        edit(&catalog, "kind", "king");
        live.reload();
        assert!(description(&live).is_some(), "now there is one");
    }

    async fn wait_for(live: &Live, what: impl Fn(&Live) -> bool) -> Duration {
        let started = std::time::Instant::now();
        while !what(live) {
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", live.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        started.elapsed()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_are_seen_by_themselves() {
        let (dir, catalog) = mesh();
        let live = Live::open(&catalog).unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&live).watch(shutdown.clone()));
        tokio::time::sleep(Duration::from_millis(300)).await;

        edit(&catalog, "All orders", "Every order");
        let took = wait_for(&live, |live| live.current().generation == 2).await;
        assert!(took < Duration::from_secs(1), "{took:?}");

        // editors write a new file and rename it over the old one
        let text = fs::read_to_string(catalog.join(CONTRACT)).unwrap();
        fs::write(catalog.join("sales/orders/.swap"), text.replace("Every order", "Each order")).unwrap();
        fs::rename(catalog.join("sales/orders/.swap"), catalog.join(CONTRACT)).unwrap();
        wait_for(&live, |live| description(live).is_some_and(|d| d.starts_with("Each"))).await;

        // a new folder is watched too
        fs::create_dir_all(catalog.join("sales/more")).unwrap();
        let more = fs::read_to_string(catalog.join(CONTRACT)).unwrap().replace("name: orders\n", "name: more\n");
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::write(catalog.join("sales/more/data_product.yaml"), more).unwrap();
        wait_for(&live, |live| live.current().catalog.products.len() == 2).await;

        // the whole folder is replaced by another
        let other = tempfile::tempdir().unwrap();
        init(other.path()).unwrap();
        fs::rename(&catalog, dir.path().join("old")).unwrap();
        init(dir.path()).unwrap();
        wait_for(&live, |live| live.status().state == "ok" && live.current().catalog.products.len() == 1).await;
        edit(&catalog, "All orders", "New orders");
        wait_for(&live, |live| description(live).is_some_and(|d| d.starts_with("New"))).await;

        // reading is no change: nothing is loaded while nobody writes
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let before = live.status().last_attempt_at;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(live.status().last_attempt_at, before);

        shutdown.cancel();
        task.await.unwrap();
    }

    #[test]
    fn a_fingerprint_tells_every_kind_of_change() {
        let (_dir, catalog) = mesh();
        let before = fingerprint(&catalog);
        assert!(before.contains_key(&catalog.join(CONTRACT)));
        assert_eq!(before, fingerprint(&catalog));
        edit(&catalog, "All orders", "Every order");
        let after = fingerprint(&catalog);
        assert_ne!(before, after);
        fs::remove_file(catalog.join(CONTRACT)).unwrap();
        assert_ne!(after, fingerprint(&catalog));
    }
}
