//! The open tables: one entry per location, refreshed by one reader at a time for all who wait.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use datafusion::execution::object_store::ObjectStoreRegistry;
use deltalake::DeltaTable;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;

use super::commits::{self, CommitTimes, commit_path};
use super::error::{DeltaError, scrub};
use super::registry::{Registration, SCHEME, StoreRegistry};
use super::rooted::TableStore;
use super::snapshot::TableSnapshot;
use super::store::Stores;
use super::travel::{Kept, Stamps};

/// How long a store may take to answer the first, small request of an open or a refresh.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long reading a whole log may take once the store has answered: 100,000 files over a slow line.
pub(super) const LOG_TIMEOUT: Duration = Duration::from_mins(2);
/// How long an unreachable store is not asked again, so that statements fail fast instead of one after another.
const UNREACHABLE_REMEMBERED: Duration = Duration::from_secs(1);

/// Where a table lies and which credentials open it. Equal locations share one open table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableLocation {
    /// Absolute URL: `file:///…`, `s3://…`, `abfss://…`, `az://…`, `gs://…`.
    pub url: String,
    /// Name of the credentials; `None` uses the environment's own.
    pub credentials: Option<String>,
}

/// All open tables. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Tables(Arc<Shared>);

struct Shared {
    stores: Stores,
    registry: Arc<StoreRegistry>,
    entries: RwLock<HashMap<TableLocation, Arc<Entry>>>,
    next_id: AtomicU64,
    kept: SyncMutex<Kept>,
    changed: Changed,
    columns_epoch: Arc<AtomicU64>,
}

/// Tables that were seen anew, until somebody asks for them.
type Changed = Arc<std::sync::Mutex<HashSet<TableLocation>>>;

impl Tables {
    #[must_use]
    pub fn new(stores: Stores) -> Self {
        Self(Arc::new(Shared {
            stores,
            registry: Arc::default(),
            entries: RwLock::default(),
            next_id: AtomicU64::new(1),
            kept: SyncMutex::default(),
            changed: Changed::default(),
            columns_epoch: Arc::default(),
        }))
    }

    /// What the engine's `RuntimeEnv` must be built with (`RuntimeEnvBuilder::with_object_store_registry`): the way to
    /// the open tables' files, and to no others.
    #[must_use]
    pub fn object_store_registry(&self) -> Arc<dyn ObjectStoreRegistry> {
        Arc::clone(&self.0.registry) as Arc<dyn ObjectStoreRegistry>
    }

    /// The table at a version that was the newest at most `max_staleness` ago; zero asks the log now. Opens the table
    /// when it is not open. Readers who ask at the same time share one look at the log.
    ///
    /// A failed look is an error, never an old version. Cancel safe: a dropped call leaves the table as it was.
    pub async fn snapshot(
        &self,
        location: &TableLocation,
        max_staleness: Duration,
    ) -> Result<Arc<TableSnapshot>, DeltaError> {
        self.entry(location)?.snapshot(max_staleness).await
    }

    /// The newest version that was seen, however old, without asking the store; `None` when the table is not open.
    #[must_use]
    pub fn latest_seen(&self, location: &TableLocation) -> Option<Arc<TableSnapshot>> {
        let entries = self.0.entries.read().unwrap_or_else(PoisonError::into_inner);
        let checked = entries.get(location)?.checked.load_full()?;
        Some(Arc::clone(&checked.snapshot))
    }

    /// The tables that were opened, or seen at another version, since this was asked last. For one listener; costs what
    /// changed, however many tables are open.
    #[must_use]
    pub fn take_changed(&self) -> HashSet<TableLocation> {
        std::mem::take(&mut *self.0.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Grows whenever the columns of a table are seen for the first time, or seen to be others.
    #[must_use]
    pub fn columns_epoch(&self) -> u64 {
        self.0.columns_epoch.load(Ordering::Acquire)
    }

    /// Forgets every table that is not in `referenced`. Whoever holds a snapshot or its provider reads on: the way to
    /// the files ends with the last of them.
    pub fn retain(&self, referenced: &HashSet<TableLocation>) {
        let mut entries = self.0.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|location, _| referenced.contains(location));
        let open: HashSet<String> = entries.values().map(|entry| entry.host().to_owned()).collect();
        drop(entries);
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|host| open.contains(host));
    }

    pub(super) fn stores(&self) -> &Stores {
        &self.0.stores
    }

    pub(super) fn kept(&self) -> &SyncMutex<Kept> {
        &self.0.kept
    }

    pub(super) fn entry(&self, location: &TableLocation) -> Result<Arc<Entry>, DeltaError> {
        let entries = self.0.entries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(location) {
            return Ok(Arc::clone(entry));
        }
        drop(entries);
        let mut entries = self.0.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(location) {
            return Ok(Arc::clone(entry));
        }
        let host = format!("t{}", self.0.next_id.fetch_add(1, Ordering::Relaxed));
        let entry = Arc::new(Entry::new(&self.0, location, host)?);
        entries.insert(location.clone(), Arc::clone(&entry));
        Ok(entry)
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.entries.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Tables").field("open", &entries.len()).finish_non_exhaustive()
    }
}

/// One open table.
pub(super) struct Entry {
    location: TableLocation,
    changed: Changed,
    columns_epoch: Arc<AtomicU64>,
    /// Its host is also the first segment of every path.
    registration: Arc<Registration>,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) log_store: LogStoreRef,
    pub(super) log_path: Path,
    checked: ArcSwapOption<Checked>,
    /// Held by the one who looks at the log.
    flight: Mutex<Flight>,
    /// Grows when the whole log is read: the table may have been made anew, and what is remembered of old versions is void.
    pub(super) epoch: AtomicU64,
    pub(super) stamps: SyncMutex<Stamps>,
    /// Held by the one who opens an older version.
    pub(super) travelling: Mutex<()>,
}

/// A version, and when the look began that found it to be the newest.
struct Checked {
    snapshot: Arc<TableSnapshot>,
    began: Instant,
}

/// What the one in flight works on.
struct Flight {
    /// Loaded once the table has been opened.
    table: DeltaTable,
    failure: Option<(Instant, DeltaError)>,
}

impl Entry {
    fn new(shared: &Shared, location: &TableLocation, host: String) -> Result<Self, DeltaError> {
        let folder = shared.stores.folder(location)?;
        let root = Path::from(host.as_str());
        let in_folder = |outer: Path| -> Arc<dyn ObjectStore> {
            let (store, path) = (Arc::clone(&folder.store), folder.path.clone());
            Arc::new(TableStore::new(store, path, outer, folder.lists_in_order))
        };
        let store = in_folder(root.clone());
        let url = Url::parse(&format!("{SCHEME}://{host}/{host}/"))
            .map_err(|e| DeltaError::InvalidLocation { reason: e.to_string() })?;
        // the log store wants the table once at the root, and once at its place under the root
        let log_store =
            default_logstore(in_folder(Path::default()), Arc::clone(&store), &url, &StorageConfig::default());
        let flight = Mutex::new(Flight { table: DeltaTable::new(log_store.clone()), failure: None });
        let log_path = root.join("_delta_log");
        let registration = shared.registry.register(host, Arc::clone(&store));
        Ok(Self {
            location: location.clone(),
            changed: Arc::clone(&shared.changed),
            columns_epoch: Arc::clone(&shared.columns_epoch),
            registration,
            store,
            log_store,
            log_path,
            checked: ArcSwapOption::empty(),
            flight,
            epoch: AtomicU64::new(0),
            stamps: SyncMutex::default(),
            travelling: Mutex::new(()),
        })
    }

    pub(super) fn registration(&self) -> Arc<Registration> {
        Arc::clone(&self.registration)
    }

    pub(super) fn host(&self) -> &str {
        self.registration.host()
    }

    async fn snapshot(&self, max_staleness: Duration) -> Result<Arc<TableSnapshot>, DeltaError> {
        let asked = Instant::now();
        let fresh_enough = |checked: &Checked| checked.began >= asked || checked.began.elapsed() < max_staleness;
        let current = || self.checked.load_full().filter(|checked| fresh_enough(checked));
        if let Some(checked) = current() {
            return Ok(Arc::clone(&checked.snapshot));
        }
        let mut flight = self.flight.lock().await;
        if let Some(checked) = current() {
            return Ok(Arc::clone(&checked.snapshot));
        }
        if let Some((at, failure)) = &flight.failure
            && (*at >= asked || failure.is_transient() && at.elapsed() < UNREACHABLE_REMEMBERED)
        {
            return Err(failure.clone());
        }
        let began = Instant::now();
        match self.look(&mut flight).await {
            Ok(snapshot) => {
                flight.failure = None;
                let before = self.checked.swap(Some(Arc::new(Checked { snapshot: Arc::clone(&snapshot), began })));
                if before.as_ref().is_none_or(|before| before.snapshot.schema != snapshot.schema) {
                    self.columns_epoch.fetch_add(1, Ordering::AcqRel);
                }
                if before.is_none_or(|before| !Arc::ptr_eq(&before.snapshot, &snapshot)) {
                    self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(self.location.clone());
                }
                Ok(snapshot)
            }
            Err(error) => {
                flight.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Asks the log for the newest version, at the cost of two small requests when there is no new one.
    async fn look(&self, flight: &mut Flight) -> Result<Arc<TableSnapshot>, DeltaError> {
        let previous = self.checked.load_full().map(|checked| Arc::clone(&checked.snapshot));
        let Some(previous) = previous else { return self.open(flight).await };
        let (next, current) = tokio::try_join!(self.head(previous.version + 1), self.head(previous.version))?;
        let same_table = match current {
            Some(current) => previous.commit_file.as_ref() == Some(&current.into()),
            // cleaned up already when the version was read, so the checkpoint stands for it
            None => previous.commit_file.is_none() && self.last_checkpoint().await?.is_some(),
        };
        match (same_table, next) {
            (true, None) => Ok(previous),
            (true, Some(_)) => self.refresh(flight, &previous).await,
            // the table was removed or made anew, or its log was cleaned up: what we know of it says nothing
            (false, _) => self.open(flight).await,
        }
    }

    async fn open(&self, flight: &mut Flight) -> Result<Arc<TableSnapshot>, DeltaError> {
        // a store that does not answer is noticed by a small request before a large one
        self.last_checkpoint().await?;
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let mut table = DeltaTable::new(self.log_store.clone());
        within(LOG_TIMEOUT, table.load()).await?;
        let snapshot = self.snapshot_of(&table, None).await?;
        tracing::debug!(
            table = self.registration.host(),
            version = snapshot.version,
            files = snapshot.file_count,
            "table opened"
        );
        flight.table = table;
        Ok(snapshot)
    }

    /// Reads the commits that are newer than `previous`, and nothing else.
    async fn refresh(&self, flight: &mut Flight, previous: &TableSnapshot) -> Result<Arc<TableSnapshot>, DeltaError> {
        let mut table = flight.table.clone();
        within(LOG_TIMEOUT, table.update_incremental(None)).await?;
        let snapshot = self.snapshot_of(&table, Some(previous)).await?;
        tracing::debug!(
            table = self.registration.host(),
            from = previous.version,
            version = snapshot.version,
            "table refreshed"
        );
        flight.table = table;
        Ok(snapshot)
    }

    pub(super) async fn snapshot_of(
        &self,
        table: &DeltaTable,
        previous: Option<&TableSnapshot>,
    ) -> Result<Arc<TableSnapshot>, DeltaError> {
        let state = table.snapshot()?.snapshot();
        let version = state.version();
        let first_unknown = previous.map_or(0, |previous| previous.version + 1);
        let found = within(LOG_TIMEOUT, commits::times(self.store.as_ref(), &self.log_path, first_unknown..=version));
        let found = found.await?;
        let times = CommitTimes {
            last_commit: found.last_commit,
            last_data_commit: found.last_data_commit.or(previous.and_then(|previous| previous.last_data_commit)),
        };
        let commit_file = self.head(version).await?.map(Into::into);
        let (state, registration) = (state.clone(), Arc::clone(&self.registration));
        // counting the files of a large table takes longer than a turn on an async thread may
        let counted =
            tokio::task::spawn_blocking(move || TableSnapshot::new(&state, times, commit_file, registration)).await;
        counted.map_err(|error| DeltaError::Corrupt { reason: scrub(&error.to_string()) })?.map(Arc::new)
    }

    async fn last_checkpoint(&self) -> Result<Option<ObjectMeta>, DeltaError> {
        answered(self.store.head(&self.log_path.clone().join("_last_checkpoint"))).await
    }

    async fn head(&self, version: u64) -> Result<Option<ObjectMeta>, DeltaError> {
        answered(self.store.head(&commit_path(&self.log_path, version))).await
    }
}

/// A small request; a file that is not there is an answer too.
async fn answered<T>(request: impl Future<Output = object_store::Result<T>>) -> Result<Option<T>, DeltaError> {
    match timeout(ANSWER_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(object_store::Error::NotFound { .. })) => Ok(None),
        Ok(Err(error)) => Err(logged(error)),
        Err(_) => Err(DeltaError::timeout(ANSWER_TIMEOUT)),
    }
}

pub(super) async fn within<T, E>(limit: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, DeltaError>
where
    E: Into<DeltaError> + fmt::Display,
{
    match timeout(limit, work).await {
        Ok(result) => result.map_err(logged),
        Err(_) => Err(DeltaError::timeout(limit)),
    }
}

/// Clients get the short form; the log gets the cause.
fn logged<E: Into<DeltaError> + fmt::Display>(error: E) -> DeltaError {
    tracing::debug!(cause = scrub(&error.to_string()), "a table's log could not be read");
    error.into()
}
