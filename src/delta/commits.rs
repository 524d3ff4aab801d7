//! When a table was last written, and when its data last changed.
//!
//! Reads single commit files (Delta protocol, "Delta Log Entries"), newest first, and only those that a snapshot does
//! not know yet. An OPTIMIZE rewrites files with `dataChange: false`; it makes no data fresh.

use std::collections::HashMap;
use std::io::{BufRead, Cursor};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use serde::Deserialize;

use super::error::DeltaError;

/// How far back the last change of data is searched. A table with more commits than that which changed no data has
/// no known time of its last change, which reads as unevaluated freshness, never as fresh.
const COMMITS_READ_MAX: usize = 100;

/// Times of commits as a snapshot tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CommitTimes {
    pub(super) last_commit: Option<DateTime<Utc>>,
    pub(super) last_data_commit: Option<DateTime<Utc>>,
}

/// Times of the newest commit and of the newest that changed data, among `versions`. A commit file that is gone ends
/// the search: whatever came before it was cleaned up.
pub(super) async fn times(
    log: &dyn ObjectStore,
    log_path: &Path,
    versions: RangeInclusive<u64>,
) -> Result<CommitTimes, DeltaError> {
    let mut times = CommitTimes::default();
    let newest = *versions.end();
    for version in versions.rev().take(COMMITS_READ_MAX) {
        let file = match log.get(&commit_path(log_path, version)).await {
            Ok(file) => file,
            Err(object_store::Error::NotFound { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let modified = file.meta.last_modified;
        let commit = summarise(&file.bytes().await?);
        let time = commit.time.unwrap_or(modified);
        if version == newest {
            times.last_commit = Some(time);
        }
        if commit.changes_data {
            times.last_data_commit = Some(time);
            break;
        }
    }
    Ok(times)
}

/// The part of a commit's metadata that a change feed depends on.
pub(super) struct Metadata {
    /// The columns, as the log writes them.
    pub(super) schema: String,
    pub(super) records_changes: bool,
}

/// The metadata that a commit sets; `None` when it sets none.
pub(super) async fn metadata(log: &dyn ObjectStore, path: &Path) -> Result<Option<Metadata>, DeltaError> {
    let bytes = log.get(path).await?.bytes().await?;
    let lines = Cursor::new(&bytes).lines().map_while(Result::ok).filter(|line| line.contains("\"metaData\""));
    let mut found = lines.filter_map(|line| serde_json::from_str::<Line>(&line).ok()?.meta_data);
    Ok(found.next().map(|metadata| {
        let records_changes = metadata.configuration.get("delta.enableChangeDataFeed");
        let records_changes = records_changes.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Metadata { schema: metadata.schema_string, records_changes }
    }))
}

/// `_delta_log/00000000000000000007.json`
pub(super) fn commit_path(log_path: &Path, version: u64) -> Path {
    log_path.clone().join(format!("{version:020}.json"))
}

#[derive(Default)]
struct Commit {
    changes_data: bool,
    time: Option<DateTime<Utc>>,
}

/// The part of an action that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<FileAction>,
    remove: Option<FileAction>,
    commit_info: Option<CommitInfo>,
    meta_data: Option<MetaData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaData {
    #[serde(default)]
    schema_string: String,
    #[serde(default)]
    configuration: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAction {
    #[serde(default)]
    data_change: bool,
}

/// What a commit says about itself (Delta protocol, "Commit Provenance Information").
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitInfo {
    /// Milliseconds; set where the table has in-commit timestamps, and binding then.
    pub(super) in_commit_timestamp: Option<i64>,
    /// Milliseconds by the writer's clock.
    timestamp: Option<i64>,
    pub(super) operation: Option<String>,
    pub(super) operation_parameters: Option<serde_json::Value>,
    pub(super) user_metadata: Option<String>,
}

impl CommitInfo {
    pub(super) fn time(&self) -> Option<DateTime<Utc>> {
        self.in_commit_timestamp.or(self.timestamp).and_then(DateTime::from_timestamp_millis)
    }
}

/// How much of a commit is read at first for what it says about itself, which nearly all writers put first.
const HEAD_BYTES: u64 = 8 * 1024;

/// What a commit says about itself, and the time of its file. `None`: there is no such commit any more.
pub(super) async fn info(
    log: &dyn ObjectStore,
    path: &Path,
) -> Result<Option<(CommitInfo, DateTime<Utc>)>, DeltaError> {
    let head = GetOptions { range: Some(GetRange::Bounded(0..HEAD_BYTES)), ..GetOptions::default() };
    for options in [head, GetOptions::default()] {
        let file = match log.get_opts(path, options).await {
            Ok(file) => file,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (modified, read_whole) = (file.meta.last_modified, file.range.end >= file.meta.size);
        let bytes = file.bytes().await?;
        let lines = Cursor::new(&bytes).lines().map_while(Result::ok);
        let mut infos = lines.filter(|line| line.contains("\"commitInfo\"")).filter_map(|line| {
            let action = serde_json::from_str::<Line>(&line).ok()?;
            action.commit_info
        });
        match infos.next() {
            Some(info) => return Ok(Some((info, modified))),
            None if read_whole => return Ok(Some((CommitInfo::default(), modified))),
            None => {}
        }
    }
    Ok(None)
}

/// A line that cannot be read is skipped: judging the log is the kernel's business, and it has judged already.
fn summarise(bytes: &[u8]) -> Commit {
    let mut commit = Commit::default();
    for line in Cursor::new(bytes).lines().map_while(Result::ok) {
        // file actions come by the thousand, and the first that changes data says all
        if commit.changes_data && !line.contains("\"commitInfo\"") {
            continue;
        }
        let Ok(action) = serde_json::from_str::<Line>(&line) else { continue };
        commit.changes_data |= [action.add, action.remove].into_iter().flatten().any(|file| file.data_change);
        if let Some(info) = action.commit_info {
            commit.time = info.time();
        }
    }
    commit
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::PutPayload;
    use object_store::memory::InMemory;

    async fn log(commits: &[&str]) -> InMemory {
        let store = InMemory::new();
        for (version, text) in commits.iter().enumerate() {
            let path = commit_path(&Path::from("_delta_log"), version as u64);
            store.put(&path, PutPayload::from((*text).to_owned())).await.unwrap();
        }
        store
    }

    fn ms(value: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(value)
    }

    #[tokio::test]
    async fn optimize_does_not_count_and_in_commit_timestamps_bind() {
        let store = log(&[
            "{\"commitInfo\":{\"timestamp\":1000}}\n{\"add\":{\"path\":\"a\",\"dataChange\":true}}",
            "{\"commitInfo\":{\"timestamp\":9,\"inCommitTimestamp\":2000}}\n{\"remove\":{\"path\":\"a\",\"dataChange\":true}}",
            "{\"commitInfo\":{\"timestamp\":3000}}\n{\"add\":{\"path\":\"b\",\"dataChange\":false}}",
            "{\"commitInfo\":{\"timestamp\":4000}}\n{\"metaData\":{}}\nnot json",
        ])
        .await;
        let path = Path::from("_delta_log");
        let all = times(&store, &path, 0..=3).await.unwrap();
        assert_eq!(all, CommitTimes { last_commit: ms(4000), last_data_commit: ms(2000) });
        let newest = times(&store, &path, 2..=3).await.unwrap();
        assert_eq!(newest, CommitTimes { last_commit: ms(4000), last_data_commit: None });
        assert_eq!(times(&store, &path, 4..=9).await.unwrap(), CommitTimes::default());
    }

    #[tokio::test]
    async fn without_commit_info_the_file_time_counts() {
        let store = log(&["{\"add\":{\"path\":\"a\",\"dataChange\":true}}"]).await;
        let found = times(&store, &Path::from("_delta_log"), 0..=0).await.unwrap();
        assert!(found.last_data_commit.is_some_and(|time| (Utc::now() - time).num_seconds() < 60));
    }
}
