//! What the server itself writes: append streams and small tables, kept as Delta tables under `--state`.
//!
//! It knows records, streams and tables, and refuses to know principals, SQL and contracts: what a record means is the
//! business of those who write it.
//!
//! ```text
//! append ─► wal (one thread, one sync for many) ─► journal (segments of frame)      acknowledged
//!                                                    └─► stream (batches) ─► <state>/audit       compact: merged, expired
//! update ─► tables (read, change, commit on the version that was read, or start over) ─► <state>/grants, …
//! secret ─► <state>/secrets/<name>, put once
//! ```
//!
//! INVARIANT: what was acknowledged is in the end in its table, exactly once, whatever is killed when. A stream's commit
//! names the write-ahead file and the last record that it brings, and reading goes on behind that record. A small table's
//! commit takes effect whole, on the version that it was made from, before it is acknowledged.
//!
//! Several servers may share one state: each has a write-ahead file of its own, held by a lock, and whoever starts later
//! brings home what a dead server left. A state that cannot be written refuses what must be recorded (`53100`) and
//! nothing else, until it can be written again. A damaged write-ahead file does not keep the server from starting, since
//! that would take the whole mesh away for the sake of a few records: what can be read of it goes to the tables, the file is
//! kept, and an ERROR in the log says which records are missing.

pub mod audit;
mod compact;
mod faults;
mod frame;
mod journal;
mod rows;
pub mod schema;
mod secret;
mod stream;
mod tables;
#[cfg(test)]
mod tests;
mod wal;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use chrono::Utc;
use datafusion::arrow::datatypes::SchemaRef;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Notify, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::faults::Faults;
use self::journal::Journal;
use self::secret::Secrets;
use self::stream::{COMMIT_RECORDS_MAX, FlushError, STREAM_HISTORY, Streams};
use self::tables::SmallTable;
use self::wal::Wal;
use crate::delta::{DeltaError, TableLocation, TableSnapshot, Tables, WrittenFolder};
use crate::error::{Error, Result, SqlState};
pub use schema::{Stream, Table};

/// How often the small tables are looked at for changes by other servers.
const POLL_INTERVAL: Duration = Duration::from_millis(800);
/// How long a start waits for the small tables.
const START_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often files are put together, removed, and checkpoints written where there is need.
const UPKEEP_INTERVAL: Duration = Duration::from_mins(1);
/// How often files that no version names are looked for.
const VACUUM_INTERVAL: Duration = Duration::from_hours(24);
/// After so many commits a table's log gets a checkpoint.
const CHECKPOINT_COMMITS: u64 = 100;

/// Where the state lies and how it is kept.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// A folder, or the URL of one in an object store.
    pub location: String,
    /// Name of the credentials that open an object store.
    pub credentials: Option<String>,
    /// Local folder of write-ahead files, where the state itself is no local folder.
    pub write_ahead: PathBuf,
    /// How long audit records are kept, and how far back the small tables' versions can be read.
    pub audit_retention: Duration,
    /// How long an acknowledged record may wait in the write-ahead file for its Delta table.
    pub flush_interval: Duration,
}

/// Why the state cannot be used at all: the options are at fault.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("--state: {0}")]
    Location(#[from] DeltaError),
    #[error("cannot start a thread for the state: {0}")]
    Thread(std::io::Error),
}

/// The server's own records and tables.
pub struct State {
    folder: WrittenFolder,
    /// Where readers open the tables.
    readers: Tables,
    small: Vec<SmallTable>,
    wal: Wal,
    /// Held by the one who brings records to their tables.
    streams: Mutex<Streams>,
    secrets: Secrets,
    epoch: watch::Sender<u64>,
    /// Records since the last flush, and who is to hear that they are many.
    unflushed: AtomicU64,
    many_unflushed: Notify,
    flush_fails: AtomicBool,
    poll_fails: AtomicBool,
    options: StateOptions,
    #[cfg(test)]
    faults: Faults,
    #[cfg(test)]
    folder_of_test: Option<tempfile::TempDir>,
}

impl State {
    /// Opens the state: reads the small tables, and takes up what a server that was killed left in its write-ahead file.
    /// Tables and write-ahead file come into being when they are first needed.
    ///
    /// # Errors
    /// Options that cannot be used. A folder that cannot be written is no error here: what must be recorded is then
    /// refused, and everything else works.
    pub async fn open(options: &StateOptions, tables: &Tables) -> std::result::Result<Arc<Self>, StateError> {
        let state = Arc::new(Self::prepare(options, tables, Faults::default())?);
        // a store that does not answer must not keep the server from starting: until it does, the tables are unknown
        if tokio::time::timeout(START_WAIT_MAX, state.poll()).await.is_err() {
            tracing::error!("the store of the state does not answer, so its tables are unknown until it does");
        }
        Ok(state)
    }

    #[cfg_attr(not(test), expect(clippy::needless_pass_by_value, reason = "tests have faults to hand over"))]
    fn prepare(options: &StateOptions, tables: &Tables, faults: Faults) -> std::result::Result<Self, StateError> {
        let (url, local) = place(&options.location)?;
        let folder = tables.written(&TableLocation { url: url.clone(), credentials: options.credentials.clone() })?;
        if let Some(folder) = &local
            && let Err(cause) = make_folder(folder)
        {
            tracing::error!(%cause, folder = %folder.display(), "the state cannot be written: what must be recorded is refused");
        }
        let root = match local {
            Some(folder) => folder.join("wal"),
            None => options.write_ahead.join("wal").join(file_name(&url)),
        };
        let mut found = Journal::recover(&root, &faults).unwrap_or_else(|cause| {
            tracing::error!(%cause, folder = %root.display(), "write-ahead files cannot be recovered");
            Vec::new()
        });
        let own = found.pop().map(Arc::new);
        let wal = Wal::start(root, own, faults.clone()).map_err(StateError::Thread)?;
        let epoch = watch::Sender::new(0);
        let small = Table::ALL.map(|table| SmallTable::new(table, options.audit_retention, &folder, epoch.clone()));
        Ok(Self {
            readers: tables.clone(),
            small: small.into_iter().collect::<std::result::Result<_, _>>()?,
            wal,
            streams: Mutex::new(Streams::new(&folder, found, faults.clone())?),
            secrets: Secrets::default(),
            epoch,
            unflushed: AtomicU64::new(0),
            many_unflushed: Notify::new(),
            flush_fails: AtomicBool::new(false),
            poll_fails: AtomicBool::new(false),
            options: options.clone(),
            folder,
            #[cfg(test)]
            faults,
            #[cfg(test)]
            folder_of_test: None,
        })
    }

    /// A state in a temporary folder that is gone with it.
    #[cfg(test)]
    pub(crate) fn temporary(tables: &Tables) -> Arc<Self> {
        let folder = tempfile::TempDir::new().unwrap();
        let options = tests::options(folder.path());
        let mut state = Self::prepare(&options, tables, Faults::default()).unwrap();
        for table in &state.small {
            table.is_new();
        }
        state.folder_of_test = Some(folder);
        Arc::new(state)
    }

    /// Records something: it is in the write-ahead file's queue at once, and durable when the answer comes. Cancel safe:
    /// dropping the answer does not take the record back.
    ///
    /// The answer is `53100` when the file cannot be written, `54000` for a record of more than 1 MiB.
    pub fn append(&self, stream: Stream, record: &impl Serialize) -> Recorded {
        let payload = match serde_json::to_vec(record) {
            Ok(payload) => payload,
            Err(error) => {
                let (said, heard) = oneshot::channel();
                drop(said.send(Err(Error::internal(error))));
                return Recorded(heard);
            }
        };
        let recorded = self.wal.append(stream.number(), payload);
        if self.unflushed.fetch_add(1, Ordering::Relaxed) + 1 == COMMIT_RECORDS_MAX as u64 {
            self.many_unflushed.notify_one();
        }
        Recorded(recorded)
    }

    /// All acknowledged records of a stream as one version of its Delta table. Cancel safe.
    ///
    /// # Errors
    /// `53100` or `58030` when records wait that cannot be brought to the table: an answer without them would be wrong.
    pub async fn stream(&self, stream: Stream) -> Result<Arc<TableSnapshot>> {
        self.flush().await?;
        let location = self.folder.location_of(stream.name());
        if let Some(snapshot) = self.whole(&location, &stream.schema()).await? {
            return Ok(snapshot);
        }
        let table = self.streams.lock().await.table(stream);
        table.ensure(&stream.schema(), &properties(STREAM_HISTORY)).await.map_err(|e| unwritten(&e))?;
        self.readers.snapshot(&location, Duration::ZERO).await.map_err(|error| unreadable(&error))
    }

    /// A small table's rows as last seen, with the Delta version that they are of; 0 when it never had any.
    ///
    /// # Errors
    /// `58030` when the table was never read, or its store has not answered for half a minute: a revocation by another
    /// server might be missing, so the rows count as unknown.
    pub fn rows<T: DeserializeOwned>(&self, table: Table) -> Result<(u64, Vec<T>)> {
        self.small(table).rows()
    }

    /// NewCommit a small table: `change` gets its newest rows and gives the new ones and an answer. It is asked again
    /// when another server was faster. Durable when it returns.
    ///
    /// Not cancel safe: when the call is dropped, the change is there whole or not at all, and which is unknown.
    ///
    /// # Errors
    /// What `change` gives, and then nothing is changed; `53100` when the state cannot be written, `58030` when its
    /// store does not answer, `40001` when others change the table all the time.
    pub async fn update<T, R>(&self, table: Table, change: impl Fn(Vec<T>) -> Result<(Vec<T>, R)> + Send) -> Result<R>
    where
        T: Serialize + DeserializeOwned,
    {
        self.small(table).update(change).await
    }

    /// Grows whenever a small table changed: at once by this server, within a second by another on the same state.
    pub fn tables_epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// A small table as a Delta table, at its newest version. Cancel safe.
    pub async fn table(&self, table: Table) -> Result<Arc<TableSnapshot>> {
        let location = self.folder.location_of(table.name());
        if let Some(snapshot) = self.whole(&location, &table.schema()).await? {
            return Ok(snapshot);
        }
        self.small(table).ensure().await.map_err(|e| unwritten(&e))?;
        self.readers.snapshot(&location, Duration::ZERO).await.map_err(|error| unreadable(&error))
    }

    /// The newest version; `None` when there is no table, or one that an older server has made with fewer columns.
    async fn whole(&self, location: &TableLocation, schema: &SchemaRef) -> Result<Option<Arc<TableSnapshot>>> {
        match self.readers.snapshot(location, Duration::ZERO).await {
            Ok(snapshot) => {
                let has_all = schema.fields().iter().all(|field| snapshot.schema.field_with_name(field.name()).is_ok());
                Ok(has_all.then_some(snapshot))
            }
            Err(DeltaError::NotATable) => Ok(None),
            Err(error) => Err(unreadable(&error)),
        }
    }

    /// Where a stream's Delta table lies, to read older versions of it.
    pub fn location_of_stream(&self, stream: Stream) -> TableLocation {
        self.folder.location_of(stream.name())
    }

    /// Where a small table's Delta table lies, to read older versions of it.
    pub fn location_of_table(&self, table: Table) -> TableLocation {
        self.folder.location_of(table.name())
    }

    /// Where all of the state's tables lie, so that nobody closes them.
    pub fn locations(&self) -> impl Iterator<Item = TableLocation> {
        let names = Stream::ALL.iter().map(|s| s.name()).chain(Table::ALL.iter().map(|t| t.name()));
        names.map(|name| self.folder.location_of(name))
    }

    /// 32 random bytes that are made once and are the same for all servers on this state. The name is made of letters,
    /// digits and `-`.
    ///
    /// # Errors
    /// `53100` or `58030` when they are not there yet and cannot be written, `XX001` when they are damaged.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32]> {
        self.secrets.get(&self.folder, name).await
    }

    /// Brings records to their tables, looks for changes by others and keeps the tables small, until the server stops.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let work = async { tokio::join!(self.keep_flushing(), self.keep_polling(), self.keep_up()) };
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = work => {}
        }
    }

    /// Brings every acknowledged record to its table.
    ///
    /// # Errors
    /// `53100` when the state cannot be written, `58030` when its store does not answer. The records wait.
    pub async fn flush(&self) -> Result<()> {
        self.unflushed.store(0, Ordering::Relaxed);
        let flushed = self.streams.lock().await.flush(&self.wal).await;
        let failed_before = self.flush_fails.swap(flushed.is_err(), Ordering::Relaxed);
        match flushed {
            Ok(()) if failed_before => tracing::info!("records are brought to the state's tables again"),
            Err(ref cause) if !failed_before => {
                tracing::error!(%cause, "records cannot be brought to the state's tables and wait in the write-ahead file");
            }
            _ => {}
        }
        flushed.map_err(|error| match error {
            FlushError::Delta(error) => unwritten(&error),
            FlushError::Journal(_) => refused(),
            FlushError::Internal(cause) => Error::internal(cause),
        })
    }

    /// The last flush of a server's life. What does not succeed is done by the next start.
    pub async fn close(&self) {
        // a failure was logged
        if self.flush().await.is_ok() {
            drop(self.streams.lock().await.retire(&self.wal).await);
        }
    }

    async fn keep_flushing(&self) {
        if self.streams.lock().await.has_leftovers() || self.wal.journal().is_some() {
            drop(self.flush().await);
        }
        loop {
            drop(tokio::time::timeout(self.options.flush_interval, self.many_unflushed.notified()).await);
            // a failure was logged, and the next turn tries again
            drop(self.flush().await);
        }
    }

    async fn keep_polling(&self) {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        self.small.iter().for_each(SmallTable::watch);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.poll().await;
        }
    }

    /// Looks at the small tables. One that cannot be read keeps nobody from the others.
    async fn poll(&self) {
        let polled = futures::future::join_all(self.small.iter().map(SmallTable::poll)).await;
        let failure = polled.into_iter().find_map(std::result::Result::err);
        let failed_before = self.poll_fails.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            None if failed_before => tracing::info!("the state's tables can be read again"),
            Some(cause) if !failed_before => tracing::error!(%cause, "the state's tables cannot be read"),
            _ => {}
        }
    }

    async fn keep_up(&self) {
        let mut vacuumed: Option<Instant> = None;
        loop {
            // not all servers on a state at the same moment
            tokio::time::sleep(UPKEEP_INTERVAL.mul_f32(0.5 + rand::random::<f32>())).await;
            let vacuum = vacuumed.is_none_or(|at| at.elapsed() > VACUUM_INTERVAL);
            match self.upkeep(vacuum).await {
                Ok(()) if vacuum => vacuumed = Some(Instant::now()),
                Ok(()) => {}
                Err(cause) => tracing::warn!(%cause, "the state's files were not tidied up; the next turn tries again"),
            }
        }
    }

    /// Puts small files together, removes rows beyond their retention, writes checkpoints; with `vacuum` it also removes
    /// files that no version names any more. What is read does not change, but for the rows that are too old.
    ///
    /// # Errors
    /// When the store fails; a later call goes on.
    pub async fn upkeep(&self, vacuum: bool) -> std::result::Result<(), DeltaError> {
        for stream in Stream::ALL {
            let table = self.streams.lock().await.table(stream);
            let Some(newest) = table.newest().await? else { continue };
            let plan = compact::plan(newest.files, stream.time_column(), Utc::now(), self.retention(stream));
            if !plan.expired.is_empty() {
                tracing::info!(
                    stream = stream.name(),
                    files = plan.expired.len(),
                    "records beyond their retention are removed"
                );
                table.expire(newest.version, plan.expired).await?;
            }
            for files in plan.merge {
                // outdated: another server does the same
                table.merge(newest.version, files, &stream.schema()).await?;
            }
            table.checkpoint(CHECKPOINT_COMMITS, STREAM_HISTORY).await?;
            if vacuum {
                table.vacuum(STREAM_HISTORY).await?;
            }
        }
        for small in &self.small {
            small.table.checkpoint(CHECKPOINT_COMMITS, small.history).await?;
            if vacuum {
                small.table.vacuum(small.history).await?;
            }
        }
        Ok(())
    }

    fn retention(&self, stream: Stream) -> Duration {
        match stream {
            Stream::Audit => self.options.audit_retention,
        }
    }

    fn small(&self, table: Table) -> &SmallTable {
        &self.small[table as usize]
    }
}

/// The answer to [`State::append`]: comes when the record is durable.
#[must_use = "a record counts once its answer has come"]
pub struct Recorded(oneshot::Receiver<Result<()>>);

impl Future for Recorded {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll(context).map(|heard| heard.unwrap_or_else(|_| Err(refused())))
    }
}

/// URL of a location, and its folder where it is one of this machine.
fn place(location: &str) -> std::result::Result<(String, Option<PathBuf>), StateError> {
    let invalid = |reason: &str| StateError::Location(DeltaError::InvalidLocation { reason: reason.to_owned() });
    if location.contains("://") {
        let url = Url::parse(location).map_err(|e| invalid(&e.to_string()))?;
        let folder = if url.scheme() == "file" {
            Some(url.to_file_path().map_err(|()| invalid("a file location is an absolute path"))?)
        } else {
            None
        };
        return Ok((location.to_owned(), folder));
    }
    let folder = std::path::absolute(Path::new(location)).map_err(|e| invalid(&e.to_string()))?;
    let url = Url::from_directory_path(&folder).map_err(|()| invalid("it is no path"))?;
    Ok((url.to_string(), Some(folder)))
}

/// Makes the folder, for the server's own eyes: it holds secrets and says who read what. Nor is it anything to commit with
/// the catalog beside it.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::write(folder.join(".gitignore"), "*\n")
}

/// A name for a folder that belongs to this URL and to no other.
fn file_name(url: &str) -> String {
    url.bytes().fold(String::new(), |name, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name + char::from(byte).encode_utf8(&mut [0; 4]),
        _ => name + &format!("_{byte:02x}"),
    })
}

/// What other programs on the table must know: how long versions are kept.
fn properties(history: Duration) -> [(&'static str, String); 2] {
    let interval = format!("interval {} seconds", history.as_secs());
    [("delta.logRetentionDuration", interval.clone()), ("delta.deletedFileRetentionDuration", interval)]
}

/// What must be recorded cannot be; the cause is in the log.
fn refused() -> Error {
    Error::new(SqlState::DISK_FULL, "the server cannot record this")
        .hint("The disk of the server's state is full or cannot be written; its operator finds the cause in the server's log.")
}

fn unwritten(error: &DeltaError) -> Error {
    tracing::warn!(cause = %error, "a table of the state could not be changed");
    match error {
        DeltaError::NotWritable { .. } => refused(),
        DeltaError::Unreachable { .. } => unreadable(error),
        other => Error::internal(other),
    }
}

fn unreadable(cause: &impl std::fmt::Display) -> Error {
    let internal = Error::internal(format!("the state cannot be read: {cause}"));
    Error::new(SqlState::IO_ERROR, "the server's own state cannot be read")
        .detail(internal.message().to_owned())
        .hint("The server's log has the cause under this id.")
}
