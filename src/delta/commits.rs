//! When a table was last written, and when its data last changed.
//!
//! Reads single commit files (Delta protocol, "Delta Log Entries"), newest first, and only those that a snapshot does
//! not know yet. An OPTIMIZE rewrites files with `dataChange: false`; it makes no data fresh.

use std::io::{BufRead, Cursor};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAction {
    #[serde(default)]
    data_change: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitInfo {
    /// Milliseconds; set where the table has in-commit timestamps, and binding then.
    in_commit_timestamp: Option<i64>,
    /// Milliseconds by the writer's clock.
    timestamp: Option<i64>,
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
            commit.time = info.in_commit_timestamp.or(info.timestamp).and_then(DateTime::from_timestamp_millis);
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
