//! What keeps a written table quick: fewer files, a checkpoint now and then, no files that nobody reads.
//!
//! None of it changes what the table says; killed halfway, it leaves files that a later run removes.

use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use deltalake::operations::vacuum::VacuumMode;
use deltalake::protocol::checkpoints;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Deserialize;

use super::actions::{LiveFile, NewCommit, fitted};
use super::table::{Committed, WrittenTable, joined};
use super::{ANSWER_TIMEOUT, FILE_TIMEOUT, found, within};
use crate::delta::error::DeltaError;

impl WrittenTable {
    /// Puts the rows of some files of version `base` together in one file. `Outdated`: another server was faster.
    pub async fn merge(&self, base: u64, files: Vec<LiveFile>, schema: &SchemaRef) -> Result<Committed, DeltaError> {
        let mut batches = Vec::new();
        for file in &files {
            for batch in self.read(file).await? {
                batches.push(fitted(&batch, schema)?);
            }
        }
        let merged = self.write(joined(&batches, schema)?).await?;
        let changes = NewCommit {
            operation: "OPTIMIZE",
            add: vec![merged.clone()],
            remove: files,
            transaction: None,
            changes_data: false,
        };
        let committed = self.commit_after(base, &changes).await?;
        if !matches!(committed, Committed::At(_)) {
            self.discard(&merged).await;
        }
        Ok(committed)
    }

    /// Removes files of version `base` with all their rows. `Outdated`: another server was faster.
    pub async fn expire(&self, base: u64, files: Vec<LiveFile>) -> Result<Committed, DeltaError> {
        let changes =
            NewCommit { operation: "DELETE", add: Vec::new(), remove: files, transaction: None, changes_data: true };
        self.commit_after(base, &changes).await
    }

    /// Writes a checkpoint when the last is `every` commits old, and removes log files that are older than `log_age`
    /// and that no younger version needs.
    pub async fn checkpoint(&self, every: u64, log_age: Duration) -> Result<bool, DeltaError> {
        let last = self.last_checkpoint().await?;
        let mut read = self.read.lock().await;
        self.refresh(&mut read).await?;
        let Some(version) = read.version() else { return Ok(false) };
        if version < last.map_or(every, |last| last.saturating_add(every)) {
            return Ok(false);
        }
        within(FILE_TIMEOUT, checkpoints::create_checkpoint(&read, None)).await??;
        let age = i64::try_from(log_age.as_millis()).unwrap_or(i64::MAX);
        let oldest = chrono::Utc::now().timestamp_millis().saturating_sub(age);
        let cleanup = checkpoints::cleanup_expired_logs_for(version, self.log_store.as_ref(), oldest, None);
        within(FILE_TIMEOUT, cleanup).await??;
        Ok(true)
    }

    /// Removes data files that no version younger than `age` names. Answers how many.
    pub async fn vacuum(&self, age: Duration) -> Result<usize, DeltaError> {
        let table = {
            let mut read = self.read.lock().await;
            self.refresh(&mut read).await?;
            if read.version().is_none() {
                return Ok(0);
            }
            read.clone()
        };
        let age = chrono::Duration::from_std(age).unwrap_or(chrono::Duration::MAX);
        let plan = table
            .vacuum()
            .with_mode(VacuumMode::Full)
            .with_retention_period(age)
            .with_enforce_retention_duration(false)
            .with_dry_run(true);
        // only the plan, since carrying it out would make two more commits each time
        let (_, plan) = within(FILE_TIMEOUT, plan.into_future()).await??;
        let mut removed = 0;
        for path in &plan.files_deleted {
            let path = Path::parse(path).map_err(|e| DeltaError::Corrupt { reason: e.to_string() })?;
            if found(within(ANSWER_TIMEOUT, self.store.delete(&path)).await?)?.is_some() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn last_checkpoint(&self) -> Result<Option<u64>, DeltaError> {
        #[derive(Deserialize)]
        struct Hint {
            version: u64,
        }
        let path = Path::from("_delta_log/_last_checkpoint");
        let get = async { self.store.get(&path).await?.bytes().await };
        let hint = found(within(ANSWER_TIMEOUT, get).await?)?;
        Ok(hint.and_then(|hint| serde_json::from_slice::<Hint>(&hint).ok()).map(|hint| hint.version))
    }
}
