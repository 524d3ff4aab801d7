//! What was done to a table: its commits, as they describe themselves.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::error::DeltaError;
use super::table::{LOG_TIMEOUT, TableLocation, Tables, within};

/// How many commits are read at the same time.
const COMMITS_AT_ONCE: usize = 16;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub version: u64,
    /// By the same clock as time travel.
    pub time: DateTime<Utc>,
    /// `WRITE`, `DELETE`, `OPTIMIZE` and the like, as the writer calls it.
    pub operation: Option<String>,
    /// JSON. May hold predicates and paths.
    pub operation_parameters: Option<String>,
    pub user_metadata: Option<String>,
}

impl Tables {
    /// The commits up to `newest` that can still be read, the newest `limit` of them, newest first. Cancel safe.
    pub async fn history(
        &self,
        location: &TableLocation,
        newest: u64,
        limit: usize,
    ) -> Result<Vec<Commit>, DeltaError> {
        let entry = self.entry(location)?;
        let timeline = entry.timeline(newest).await?;
        let newest_first: Vec<(u64, DateTime<Utc>)> = timeline.newest_first().take(limit).collect();
        let entry = &Arc::clone(&entry);
        let reading = stream::iter(newest_first)
            .map(async move |(version, time)| {
                let Some((info, _)) = entry.info(version).await? else { return Ok::<_, DeltaError>(None) };
                Ok(Some(Commit {
                    version,
                    time,
                    operation: info.operation,
                    operation_parameters: info.operation_parameters.map(|parameters| parameters.to_string()),
                    user_metadata: info.user_metadata,
                }))
            })
            .buffered(COMMITS_AT_ONCE)
            .try_filter_map(async |commit| Ok(commit))
            .try_collect();
        within(LOG_TIMEOUT, reading).await
    }
}
