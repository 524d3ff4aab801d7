//! One table that the server writes: its newest version, its files, and commits that succeed or say who was faster.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use deltalake::DeltaTable;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::{StructField, StructType};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::sync::Mutex;
use url::Url;
use uuid::Uuid;

use super::actions::{self, LiveFile, NewCommit, NewFile};
use super::{ANSWER_TIMEOUT, FILE_TIMEOUT, WrittenFolder, found, not_written, within};
use crate::delta::commits::commit_path;
use crate::delta::error::{DeltaError, scrub};
use crate::delta::registry::SCHEME;
use crate::delta::rooted::TableStore;

/// How many commits of others a commit follows before it gives up; each of them takes two requests.
const COMMITS_FOLLOWED_MAX: u64 = 20;

/// A table that the server writes.
#[derive(Debug)]
pub struct WrittenTable {
    /// The table's folder is its root.
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) log_store: LogStoreRef,
    local: bool,
    /// The newest version that was read.
    pub(super) read: Mutex<DeltaTable>,
}

/// The newest version of a table.
#[derive(Clone, Debug)]
pub struct Newest {
    pub version: u64,
    pub files: Vec<LiveFile>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is this version of the table.
    At(u64),
    /// Somebody else changed what it was based on. Nothing happened.
    Outdated,
    /// The log no longer has the version that it was based on: somebody has removed or emptied it. Nothing happened, since a
    /// log with a hole could not be read.
    Gone,
}

impl WrittenTable {
    pub(super) fn new(folder: &WrittenFolder, name: &str) -> Result<Self, DeltaError> {
        let inner: Path = folder.path.parts().chain(Path::from(name).parts()).collect();
        let in_folder = |outer: Path| -> Arc<dyn ObjectStore> {
            let store = Arc::clone(&folder.store);
            Arc::new(TableStore::new(store, inner.clone(), outer, folder.lists_in_order).writable())
        };
        let url = Url::parse(&format!("{SCHEME}://written/{name}/"))
            .map_err(|e| DeltaError::InvalidLocation { reason: e.to_string() })?;
        let store = in_folder(Path::default());
        let log_store =
            default_logstore(Arc::clone(&store), in_folder(Path::from(name)), &url, &StorageConfig::default());
        let read = Mutex::new(DeltaTable::new(log_store.clone()));
        Ok(Self { store, log_store, local: folder.local, read })
    }

    /// Whether the table has this version, at the cost of one small request. Cancel safe.
    pub async fn has_version(&self, version: u64) -> Result<bool, DeltaError> {
        self.has(&commit_file(version)).await
    }

    /// The newest version; `None` when there is no table. Cancel safe.
    pub async fn newest(&self) -> Result<Option<Newest>, DeltaError> {
        let mut read = self.read.lock().await;
        self.refresh(&mut read).await?;
        let Some(version) = read.version() else { return Ok(None) };
        let snapshot = read.snapshot()?.snapshot();
        let data = snapshot.try_log_data()?;
        let files = data.iter().map(|file| {
            let statistics = file.stats().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            LiveFile {
                path: file.path().into_owned(),
                size_bytes: u64::try_from(file.size()).unwrap_or(0),
                rows: file.num_records().map(|rows| rows as u64),
                statistics,
            }
        });
        Ok(Some(Newest { version, files: files.collect() }))
    }

    /// How far an application has come by the newest version. Cancel safe.
    pub async fn transaction(&self, application: Uuid) -> Result<Option<u64>, DeltaError> {
        let mut read = self.read.lock().await;
        self.refresh(&mut read).await?;
        if read.version().is_none() {
            return Ok(None);
        }
        let asked = read.snapshot()?.snapshot().transaction_version(self.log_store.as_ref(), application);
        Ok(within(FILE_TIMEOUT, asked).await??.map(|version| u64::try_from(version).unwrap_or(0)))
    }

    /// Makes the table at version 0, without rows, where there is none; gives one that is there the columns of `schema`
    /// that it lacks, NULL in all of its rows. That somebody else has done so is no error.
    pub async fn ensure(&self, schema: &SchemaRef, properties: &[(&str, String)]) -> Result<(), DeltaError> {
        let corrupt = |reason: &dyn std::fmt::Display| DeltaError::Corrupt { reason: scrub(&reason.to_string()) };
        let schema: StructType = schema.as_ref().try_into_kernel().map_err(|e| corrupt(&e))?;
        for _ in 0..COMMITS_FOLLOWED_MAX {
            let mut read = self.read.lock().await;
            self.refresh(&mut read).await?;
            let (version, commit) = match read.version() {
                None => (0, actions::first_commit(&schema, properties).map_err(|e| corrupt(&e))?),
                Some(version) => {
                    let snapshot = read.snapshot()?.snapshot();
                    let there = snapshot.schema();
                    let missing: Vec<StructField> =
                        schema.fields().filter(|field| there.field(field.name()).is_none()).cloned().collect();
                    if missing.is_empty() {
                        return Ok(());
                    }
                    let missing = missing.into_iter().map(|field| StructField { nullable: true, ..field });
                    let wider = StructType::try_new(there.fields().cloned().chain(missing)).map_err(|e| corrupt(&e))?;
                    (version + 1, actions::wider_commit(snapshot.metadata(), &wider).map_err(|e| corrupt(&e))?)
                }
            };
            drop(read);
            if self.put_commit(version, &commit).await?.is_none() {
                return Ok(());
            }
        }
        Err(DeltaError::Unreachable { reason: "others change the table all the time".into() })
    }

    /// Writes rows to a data file. They are in the table once a commit names it.
    pub async fn write(&self, rows: RecordBatch) -> Result<NewFile, DeltaError> {
        let encoded = tokio::task::spawn_blocking(move || {
            encode(&rows).map(|bytes| (bytes, actions::statistics(&rows), rows.num_rows()))
        });
        let (bytes, statistics, rows) = encoded.await.map_err(|error| internal(&error))??;
        let file = NewFile {
            path: format!("part-{}.parquet", Uuid::new_v4()),
            size_bytes: bytes.len() as u64,
            rows: rows as u64,
            statistics,
        };
        self.put(&Path::from(file.path.as_str()), PutPayload::from(bytes), FILE_TIMEOUT).await?;
        Ok(file)
    }

    /// Removes a file that no commit names.
    pub async fn discard(&self, file: &NewFile) {
        // what stays is removed as unreferenced when it is old enough
        drop(within(ANSWER_TIMEOUT, self.store.delete(&Path::from(file.path.as_str()))).await);
    }

    /// All rows of a data file. Cancel safe.
    pub async fn read(&self, file: &LiveFile) -> Result<Vec<RecordBatch>, DeltaError> {
        let path = Path::from(file.path.as_str());
        let get = async { self.store.get(&path).await?.bytes().await };
        let bytes = within(FILE_TIMEOUT, get).await??;
        let decode = move || {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
            reader.map(|batch| batch.map_err(datafusion::parquet::errors::ParquetError::from)).collect()
        };
        let decoded: Result<Vec<_>, _> = tokio::task::spawn_blocking(decode).await.map_err(|error| internal(&error))?;
        decoded.map_err(|error| DeltaError::Corrupt { reason: scrub(&error.to_string()) })
    }

    /// Commits as the version after `base`, which must be the newest, and on no other.
    pub async fn commit_on(&self, base: u64, changes: &NewCommit) -> Result<Committed, DeltaError> {
        if self.is_gone(base).await? {
            return Ok(Committed::Gone);
        }
        let commit = changes.to_commit();
        match self.put_commit(base + 1, &commit).await? {
            None => Ok(Committed::At(base + 1)),
            Some(_) => Ok(Committed::Outdated),
        }
    }

    /// Commits as a version after `base`, behind what others have committed, unless one of them did what the changes
    /// are based on: came further with the same application, removed one of the same files, changed the schema.
    pub async fn commit_after(&self, base: u64, changes: &NewCommit) -> Result<Committed, DeltaError> {
        if self.is_gone(base).await? {
            return Ok(Committed::Gone);
        }
        let commit = changes.to_commit();
        let application = changes.transaction.as_ref().map(|(application, _)| application.to_string());
        for version in base + 1..=base + COMMITS_FOLLOWED_MAX {
            let Some(other) = self.put_commit(version, &commit).await? else { return Ok(Committed::At(version)) };
            let other = actions::winner(&other);
            let same_application = application.as_ref().is_some_and(|own| other.applications.contains(own));
            let same_file = changes.remove.iter().any(|file| other.removed.contains(&file.path));
            if same_application || same_file || other.is_other_table {
                return Ok(Committed::Outdated);
            }
        }
        Ok(Committed::Outdated)
    }

    async fn is_gone(&self, base: u64) -> Result<bool, DeltaError> {
        if self.has_version(base).await? {
            return Ok(false);
        }
        *self.read.lock().await = DeltaTable::new(self.log_store.clone());
        Ok(true)
    }

    /// `None` when it is put; else what is there already. A put whose answer got lost finds its own bytes there.
    pub(super) async fn put_commit(&self, version: u64, commit: &str) -> Result<Option<Vec<u8>>, DeltaError> {
        let path = commit_file(version);
        let put = self.store.put_opts(&path, PutPayload::from(commit.to_owned()), PutOptions::from(PutMode::Create));
        match within(FILE_TIMEOUT, put).await? {
            Ok(_) => Ok(None),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let get = async { self.store.get(&path).await?.bytes().await };
                let there = within(ANSWER_TIMEOUT, get).await??;
                Ok((there != commit.as_bytes()).then(|| there.to_vec()))
            }
            Err(error) => Err(not_written(error, self.local)),
        }
    }

    async fn put(&self, path: &Path, payload: PutPayload, limit: std::time::Duration) -> Result<(), DeltaError> {
        let put = within(limit, self.store.put(path, payload)).await?;
        put.map(drop).map_err(|error| not_written(error, self.local))
    }

    pub(super) async fn refresh(&self, read: &mut DeltaTable) -> Result<(), DeltaError> {
        match read.version() {
            Some(version) if !self.has_version(version).await? => *read = DeltaTable::new(self.log_store.clone()),
            Some(version) if !self.has_version(version + 1).await? => return Ok(()),
            Some(_) => {
                let updated = within(FILE_TIMEOUT, read.update_incremental(None)).await?;
                return updated.map_err(DeltaError::from);
            }
            None => {}
        }
        if self.has(&commit_file(0)).await? || self.has(&Path::from("_delta_log/_last_checkpoint")).await? {
            within(FILE_TIMEOUT, read.load()).await??;
        }
        Ok(())
    }

    async fn has(&self, path: &Path) -> Result<bool, DeltaError> {
        Ok(found(within(ANSWER_TIMEOUT, self.store.head(path)).await?)?.is_some())
    }
}

fn commit_file(version: u64) -> Path {
    commit_path(&Path::from("_delta_log"), version)
}

fn encode(rows: &RecordBatch) -> Result<Vec<u8>, DeltaError> {
    let write = || {
        let level = ZstdLevel::try_new(1)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties))?;
        writer.write(rows)?;
        writer.close()?;
        Ok::<_, datafusion::parquet::errors::ParquetError>(bytes)
    };
    write().map_err(|error| DeltaError::Corrupt { reason: scrub(&error.to_string()) })
}

/// Rows of several files as one batch.
pub(super) fn joined(batches: &[RecordBatch], schema: &SchemaRef) -> Result<RecordBatch, DeltaError> {
    concat_batches(schema, batches).map_err(|error| DeltaError::Corrupt { reason: scrub(&error.to_string()) })
}

fn internal(error: &tokio::task::JoinError) -> DeltaError {
    DeltaError::Corrupt { reason: scrub(&error.to_string()) }
}
