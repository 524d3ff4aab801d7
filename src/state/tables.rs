//! Small tables: a copy in memory, and changes that are whole new versions.
//!
//! A change is based on the newest version and is committed as the next one or not at all, so of two servers that
//! change a table at once one starts over with what the other has written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use datafusion::arrow::error::ArrowError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use super::rows;
use super::schema::Table;
use super::unwritten;
use crate::delta::{Committed, DeltaError, LiveFile, NewCommit, WrittenFolder, WrittenTable};
use crate::error::{Error, Result, SqlState};

/// How often a change starts over because another server was faster.
const CHANGES_TRIED_MAX: u32 = 100;
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Rows of a small table.
const ROWS_MAX: usize = 500_000;
/// How long what is in memory counts when the store cannot be asked. After that a revocation by another server might have
/// been missed for too long, and the rows count as unknown.
const UNASKED_MAX: Duration = Duration::from_secs(30);

/// One small table.
pub(super) struct SmallTable {
    pub(super) which: Table,
    /// How far back its versions can be read.
    pub(super) history: Duration,
    pub(super) table: Arc<WrittenTable>,
    /// `None` until it was read.
    seen: ArcSwapOption<Seen>,
    /// When the store last said what the newest version is.
    asked: SyncMutex<Instant>,
    /// Whether somebody asks every second.
    watched: AtomicBool,
    /// Whether the last poll found the rows unknown.
    outdated: AtomicBool,
    /// Whether the table is there with all columns.
    ensured: AtomicBool,
    /// Held by the one who changes or reads it.
    turn: Mutex<()>,
    epoch: watch::Sender<u64>,
}

/// A version of the table.
struct Seen {
    /// `None`: there is no table.
    version: Option<u64>,
    files: Vec<LiveFile>,
    rows: Vec<Value>,
}

impl SmallTable {
    pub(super) fn new(
        which: Table,
        history: Duration,
        folder: &WrittenFolder,
        epoch: watch::Sender<u64>,
    ) -> std::result::Result<Self, DeltaError> {
        Ok(Self {
            which,
            history,
            table: Arc::new(folder.table(which.name())?),
            seen: ArcSwapOption::empty(),
            asked: SyncMutex::new(Instant::now()),
            watched: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            ensured: AtomicBool::new(false),
            turn: Mutex::default(),
            epoch,
        })
    }

    /// Spares a test the first look.
    #[cfg(test)]
    pub(super) fn is_new(&self) {
        self.seen.store(Some(Arc::new(Seen { version: None, files: Vec::new(), rows: Vec::new() })));
    }

    /// The rows as last seen.
    pub(super) fn rows<T: DeserializeOwned>(&self) -> Result<(u64, Vec<T>)> {
        let Some(seen) = self.seen.load_full() else { return Err(unknown("it was never read")) };
        if self.is_outdated() {
            return Err(unknown("its store has not answered for too long"));
        }
        Ok((seen.version.unwrap_or(0), parsed(&seen.rows)?))
    }

    /// From now on somebody polls every second, and rows that were not asked for long count as unknown.
    pub(super) fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    /// Looks whether another server has changed it. Leaves out a turn while somebody else has it.
    pub(super) async fn poll(&self) -> std::result::Result<(), DeltaError> {
        let polled = match self.turn.try_lock() {
            Ok(_turn) => self.look().await.map(drop),
            Err(_) => Ok(()),
        };
        // rows that have become unknown are another state of the table, and so are those that are known again
        let outdated = self.is_outdated();
        if self.outdated.swap(outdated, Ordering::Relaxed) != outdated {
            self.epoch.send_modify(|epoch| *epoch += 1);
        }
        polled
    }

    fn is_outdated(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.watched.load(Ordering::Relaxed) && asked.elapsed() > UNASKED_MAX
    }

    pub(super) async fn update<T, R>(&self, change: impl Fn(Vec<T>) -> Result<(Vec<T>, R)> + Send) -> Result<R>
    where
        T: Serialize + DeserializeOwned,
    {
        let _turn = self.turn.lock().await;
        for attempt in 0..CHANGES_TRIED_MAX {
            let seen = self.look().await.map_err(|e| unwritten(&e))?;
            let Some(version) = seen.version.filter(|_| self.ensured.load(Ordering::Relaxed)) else {
                self.ensure().await.map_err(|e| unwritten(&e))?;
                continue;
            };
            // whatever borrows the rows that are given to `change` must not live on while we wait for the store
            let (records, answer) = {
                let (changed, answer) = change(parsed(&seen.rows)?)?;
                let records = changed.iter().map(serde_json::to_vec).collect::<std::result::Result<Vec<_>, _>>();
                (records.map_err(Error::internal)?, answer)
            };
            if records.len() > ROWS_MAX {
                let message = format!("{} cannot have more than {ROWS_MAX} rows", self.which.name());
                return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
            }
            let batch = rows::to_rows(records.iter().map(Vec::as_slice), &self.which.schema());
            let batch = batch.map_err(Error::internal)?;
            let rows = rows::to_records(std::slice::from_ref(&batch)).map_err(Error::internal)?;
            if rows == seen.rows {
                return Ok(answer);
            }
            let add = match batch.num_rows() {
                0 => Vec::new(),
                _ => vec![self.table.write(batch).await.map_err(|e| unwritten(&e))?],
            };
            let changes = NewCommit {
                operation: "WRITE",
                add,
                remove: seen.files.clone(),
                transaction: None,
                changes_data: true,
            };
            match self.table.commit_on(version, &changes).await {
                Ok(Committed::At(version)) => {
                    let files = changes.add.into_iter().map(LiveFile::from).collect();
                    self.show(Seen { version: Some(version), files, rows });
                    return Ok(answer);
                }
                Ok(lost @ (Committed::Outdated | Committed::Gone)) => {
                    for file in &changes.add {
                        self.table.discard(file).await;
                    }
                    if lost == Committed::Gone {
                        // what was read of it counts no more
                        self.ensured.store(false, Ordering::Relaxed);
                        self.seen.store(None);
                    }
                    tokio::time::sleep(
                        PAUSE_MAX.min(Duration::from_millis(u64::from(attempt))).mul_f32(rand::random()),
                    )
                    .await;
                }
                Err(error) => return Err(unwritten(&error)),
            }
        }
        Err(Error::new(
            SqlState::SERIALIZATION_FAILURE,
            format!("{} is being changed by others all the time", self.which.name()),
        )
        .hint("Try again."))
    }

    /// Makes the table where there is none, and adds columns that it lacks.
    pub(super) async fn ensure(&self) -> std::result::Result<(), DeltaError> {
        self.table.ensure(&self.which.schema(), &super::properties(self.history)).await?;
        self.ensured.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The newest version, read when it is another than the last seen.
    async fn look(&self) -> std::result::Result<Arc<Seen>, DeltaError> {
        let began = Instant::now();
        let known = self.seen.load_full();
        let unchanged = match &known {
            None => false,
            Some(seen) => !self.table.has_version(seen.version.map_or(0, |version| version + 1)).await?,
        };
        let seen = match known.filter(|_| unchanged) {
            Some(seen) => seen,
            None => self.show(self.read().await?),
        };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = began;
        Ok(seen)
    }

    async fn read(&self) -> std::result::Result<Seen, DeltaError> {
        let Some(newest) = self.table.newest().await? else {
            return Ok(Seen { version: None, files: Vec::new(), rows: Vec::new() });
        };
        let mut batches = Vec::new();
        for file in &newest.files {
            batches.extend(self.table.read(file).await?);
        }
        let rows = rows::to_records(&batches)
            .map_err(|error: ArrowError| DeltaError::Corrupt { reason: error.to_string() })?;
        Ok(Seen { version: Some(newest.version), files: newest.files, rows })
    }

    /// From now on this is what the table is.
    fn show(&self, seen: Seen) -> Arc<Seen> {
        let seen = Arc::new(seen);
        let before = self.seen.swap(Some(Arc::clone(&seen)));
        let changed = before.is_none_or(|before| before.version != seen.version || before.rows != seen.rows);
        if changed {
            self.epoch.send_modify(|epoch| *epoch += 1);
        }
        seen
    }
}

/// Said to everybody who asks, while the cause is logged once.
fn unknown(reason: &'static str) -> Error {
    Error::new(SqlState::IO_ERROR, "the server's own state cannot be read")
        .detail(reason)
        .hint("The server's log has the cause.")
}

fn parsed<T: DeserializeOwned>(rows: &[Value]) -> Result<Vec<T>> {
    rows.iter().map(|row| T::deserialize(row).map_err(Error::internal)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::fixtures;

    fn table(folder: &tempfile::TempDir) -> SmallTable {
        let tables = fixtures::tables();
        let written = tables.written(&fixtures::location(folder.path())).unwrap();
        SmallTable::new(Table::Grants, Duration::from_hours(1), &written, watch::Sender::new(0)).unwrap()
    }

    #[tokio::test]
    async fn rows_that_were_not_asked_for_too_long_are_unknown() {
        let folder = tempfile::TempDir::new().unwrap();
        let table = table(&folder);
        assert!(table.rows::<Value>().is_err(), "never read");
        table.poll().await.unwrap();
        assert_eq!(table.rows::<Value>().unwrap(), (0, vec![]));
        table.watch();
        assert!(table.rows::<Value>().is_ok());
        let long_ago = Instant::now().checked_sub(UNASKED_MAX + Duration::from_secs(1)).unwrap();
        *table.asked.lock().unwrap() = long_ago;
        assert_eq!(table.rows::<Value>().unwrap_err().sqlstate(), SqlState::IO_ERROR);
        let mut epoch = table.epoch.subscribe();
        let turn = table.turn.lock().await;
        table.poll().await.unwrap();
        assert!(epoch.has_changed().unwrap(), "who holds on to the rows hears that they are unknown");
        epoch.mark_unchanged();
        table.poll().await.unwrap();
        assert!(!epoch.has_changed().unwrap());
        drop(turn);
        table.poll().await.unwrap();
        assert!(table.rows::<Value>().is_ok() && epoch.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_table_has_an_end() {
        let folder = tempfile::TempDir::new().unwrap();
        let table = table(&folder);
        let row = serde_json::json!({"grant_id": "g"});
        let many = table.update(|_: Vec<Value>| Ok((vec![row.clone(); ROWS_MAX + 1], ()))).await.unwrap_err();
        assert_eq!(many.sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        let no_row = table.update(|_: Vec<Value>| Ok((vec![row.clone()], ()))).await.unwrap_err();
        assert_eq!(no_row.sqlstate(), SqlState::INTERNAL_ERROR, "a row without what every row has");
        assert_eq!(table.rows::<Value>().unwrap(), (0, vec![]));
    }
}
