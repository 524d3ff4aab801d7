//! Older versions of a table: how far back they can be read, which of them stood at a time, and the table as it was.
//!
//! A commit's time is its in-commit timestamp where the table has them, else the writer's clock in `commitInfo`, else the
//! time of its file; the same clock that says when a product was last updated. Times that are not in commits may run
//! backwards from one commit to the next, and are then taken as a millisecond after the one before, as Delta's own
//! implementation does (`DeltaHistoryManager.monotonizeCommitTimestamps`; Delta protocol, "In-Commit Timestamps").
//!
//! A time stands for the newest version that is not younger. After the last commit that is the last version: a table
//! that nobody wrote to since is what it was, and several products can be read as of one moment.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use deltalake::DeltaTable;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::path::Path;

use super::commits::{self, CommitInfo, commit_path};
use super::error::DeltaError;
use super::snapshot::TableSnapshot;
use super::table::{Entry, LOG_TIMEOUT, TableLocation, Tables, within};

/// How many commits' times are looked at for one table; the older ones of a longer log can be asked for by version.
const COMMITS_TIMED_MAX: usize = 100_000;
/// How many commits of a table are read at the same time.
const COMMITS_AT_ONCE: usize = 16;
/// How many commits are read before their times are remembered.
const COMMITS_REMEMBERED_TOGETHER: usize = 1_000;
/// How many older versions, of all tables together, are kept open for the next who asks.
const VERSIONS_KEPT_MAX: usize = 32;
/// How many data files the kept versions may list together: each takes about a kilobyte.
const FILES_KEPT_MAX: u64 = 200_000;

/// A state of a table other than its newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    Version(u64),
    /// What stood at this moment.
    Time(DateTime<Utc>),
}

impl Tables {
    /// The table as it was, by the log that ends with `newest`. Whoever asks at the same time, or soon after, shares it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`DeltaError::NoSuchVersion`] for a version that there never was or that was cleaned up,
    /// [`DeltaError::BeforeFirst`] for a time before all that can be read.
    pub async fn snapshot_at(
        &self,
        location: &TableLocation,
        newest: &Arc<TableSnapshot>,
        at: At,
    ) -> Result<Arc<TableSnapshot>, DeltaError> {
        let entry = self.entry(location)?;
        let version = match at {
            At::Version(version) => version,
            At::Time(time) => entry.timeline(newest.version).await?.at(time)?,
        };
        if version == newest.version {
            return Ok(Arc::clone(newest));
        }
        if version > newest.version {
            return Err(entry.no_such_version(version, newest.version).await);
        }
        let kept = self.kept();
        let find = || lock(kept).find(&entry, version);
        if let Some(found) = find() {
            return Ok(found);
        }
        let _one_at_a_time = entry.travelling.lock().await;
        if let Some(found) = find() {
            return Ok(found);
        }
        let epoch = entry.epoch.load(Ordering::Acquire);
        let snapshot = entry.at(version, newest.version).await?;
        lock(kept).keep(&entry, epoch, &snapshot);
        Ok(snapshot)
    }
}

impl Entry {
    async fn at(&self, version: u64, newest: u64) -> Result<Arc<TableSnapshot>, DeltaError> {
        let mut table = DeltaTable::new(self.log_store.clone());
        match within(LOG_TIMEOUT, table.load_version(version)).await {
            Ok(()) => self.snapshot_of(&table, None).await,
            // either the log begins after the version, or what is there of it is damaged
            Err(error @ (DeltaError::NotATable | DeltaError::Corrupt { .. })) => {
                match self.no_such_version(version, newest).await {
                    DeltaError::NoSuchVersion { readable: Some((earliest, _)), .. } if earliest <= version => {
                        Err(error)
                    }
                    no_such_version => Err(no_such_version),
                }
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn no_such_version(&self, version: u64, newest: u64) -> DeltaError {
        let earliest = match self.log(newest).await {
            Ok(log) => log.earliest(newest),
            Err(error) => return error,
        };
        DeltaError::NoSuchVersion { version, readable: earliest.map(|earliest| (earliest, newest)) }
    }

    async fn log(&self, newest: u64) -> Result<Log, DeltaError> {
        within(LOG_TIMEOUT, Log::list(self.store.as_ref(), &self.log_path, newest)).await
    }

    /// Times of all versions up to `newest` that can be read. Times once read are remembered.
    pub(super) async fn timeline(&self, newest: u64) -> Result<Timeline, DeltaError> {
        let log = self.log(newest).await?;
        let Some(earliest) = log.earliest(newest) else { return Err(DeltaError::NotATable) };
        let versions: Vec<u64> = log.commits.into_iter().filter(|version| *version >= earliest).collect();
        if versions.len() > COMMITS_TIMED_MAX {
            return Err(DeltaError::TooManyCommits { commits_max: COMMITS_TIMED_MAX });
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let mut known = lock(&self.stamps).of(epoch);
        let unknown: Vec<u64> = versions.iter().copied().filter(|version| !known.contains_key(version)).collect();
        // what was read is remembered even when the rest takes too long
        for some in unknown.chunks(COMMITS_REMEMBERED_TOGETHER) {
            let reading = stream::iter(some.iter().copied())
                .map(async |version| {
                    Ok::<_, DeltaError>(self.info(version).await?.map(|info| (version, Stamp::from(info))))
                })
                .buffer_unordered(COMMITS_AT_ONCE)
                .try_filter_map(async |read| Ok(read))
                .try_collect::<Vec<_>>();
            let read = within(LOG_TIMEOUT, reading).await?;
            known = lock(&self.stamps).remember(epoch, read);
        }
        let stamps = versions.into_iter().filter_map(|version| Some((version, *known.get(&version)?)));
        Ok(Timeline { times: in_order(stamps) })
    }

    /// What a commit says about itself, and its file's time; `None` when it was cleaned up meanwhile.
    pub(super) async fn info(&self, version: u64) -> Result<Option<(CommitInfo, DateTime<Utc>)>, DeltaError> {
        commits::info(self.store.as_ref(), &commit_path(&self.log_path, version)).await
    }
}

/// What a log's folder holds, up to a version.
struct Log {
    /// In order.
    commits: Vec<u64>,
    checkpoints: Vec<u64>,
}

impl Log {
    async fn list(store: &dyn ObjectStore, log_path: &Path, newest: u64) -> Result<Self, DeltaError> {
        let mut log = Self { commits: Vec::new(), checkpoints: Vec::new() };
        for file in store.list_with_delimiter(Some(log_path)).await?.objects {
            // 00000000000000000007.json, 00000000000000000007.checkpoint.….parquet
            let Some((number, rest)) = file.location.filename().and_then(|name| name.split_once('.')) else { continue };
            let version = Some(number).filter(|number| number.len() == 20).and_then(|number| number.parse().ok());
            match version {
                Some(version) if version > newest => {}
                Some(version) if rest == "json" => log.commits.push(version),
                Some(version) if rest.starts_with("checkpoint.") => log.checkpoints.push(version),
                _ => {}
            }
        }
        log.commits.sort_unstable();
        Ok(log)
    }

    /// The oldest version that can be put together: the first of all, or a checkpoint, with every commit since.
    fn earliest(&self, newest: u64) -> Option<u64> {
        let mut unbroken_from = newest + 1;
        for &version in self.commits.iter().rev() {
            if version + 1 != unbroken_from {
                break;
            }
            unbroken_from = version;
        }
        if unbroken_from == 0 {
            return Some(0);
        }
        self.checkpoints.iter().copied().filter(|checkpoint| checkpoint + 1 >= unbroken_from).min()
    }
}

/// The times of versions.
#[derive(Debug)]
pub(super) struct Timeline {
    /// In the order of versions.
    times: Vec<(u64, DateTime<Utc>)>,
}

impl Timeline {
    /// The newest version that is not younger than `time`.
    pub(super) fn at(&self, time: DateTime<Utc>) -> Result<u64, DeltaError> {
        if let Some((version, _)) = self.times.iter().rev().find(|(_, of)| *of <= time) {
            return Ok(*version);
        }
        match self.times.first() {
            Some(&(earliest, earliest_time)) => Err(DeltaError::BeforeFirst { time, earliest, earliest_time }),
            None => Err(DeltaError::NotATable),
        }
    }
}

impl Timeline {
    pub(super) fn of(&self, version: u64) -> Option<DateTime<Utc>> {
        let at = self.times.binary_search_by_key(&version, |(of, _)| *of).ok()?;
        self.times.get(at).map(|(_, time)| *time)
    }

    /// The oldest version that is not older than `time`.
    pub(super) fn since(&self, time: DateTime<Utc>) -> Option<u64> {
        self.times.iter().find(|(_, of)| *of >= time).map(|(version, _)| *version)
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = (u64, DateTime<Utc>)> + '_ {
        self.times.iter().rev().copied()
    }
}

/// A commit's time, and whether it binds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    time: DateTime<Utc>,
    in_commit: bool,
}

impl From<(CommitInfo, DateTime<Utc>)> for Stamp {
    fn from((info, modified): (CommitInfo, DateTime<Utc>)) -> Self {
        Self { time: info.time().unwrap_or(modified), in_commit: info.in_commit_timestamp.is_some() }
    }
}

fn in_order(stamps: impl Iterator<Item = (u64, Stamp)>) -> Vec<(u64, DateTime<Utc>)> {
    let mut times: Vec<(u64, DateTime<Utc>)> = Vec::new();
    for (version, stamp) in stamps {
        let after_previous = times.last().map(|(_, previous)| *previous + TimeDelta::milliseconds(1));
        let time = match after_previous {
            Some(after_previous) if !stamp.in_commit => stamp.time.max(after_previous),
            _ => stamp.time,
        };
        times.push((version, time));
    }
    times
}

/// The times of a table's commits, as far as they were read.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    epoch: u64,
    by_version: Arc<HashMap<u64, Stamp>>,
}

impl Stamps {
    fn of(&mut self, epoch: u64) -> Arc<HashMap<u64, Stamp>> {
        if self.epoch < epoch {
            *self = Self { epoch, by_version: Arc::default() };
        }
        if self.epoch == epoch { Arc::clone(&self.by_version) } else { Arc::default() }
    }

    fn remember(&mut self, epoch: u64, read: Vec<(u64, Stamp)>) -> Arc<HashMap<u64, Stamp>> {
        let mut all = self.of(epoch);
        if !read.is_empty() {
            Arc::make_mut(&mut all).extend(read);
        }
        if self.epoch == epoch {
            self.by_version = Arc::clone(&all);
        }
        all
    }
}

/// Older versions that were asked for; the least recently used make room.
#[derive(Debug, Default)]
pub(super) struct Kept {
    versions: Vec<KeptVersion>,
    clock: u64,
}

#[derive(Debug)]
struct KeptVersion {
    host: String,
    epoch: u64,
    snapshot: Arc<TableSnapshot>,
    used: u64,
}

impl Kept {
    fn find(&mut self, entry: &Entry, version: u64) -> Option<Arc<TableSnapshot>> {
        self.clock += 1;
        let (clock, host, epoch) = (self.clock, entry.host(), entry.epoch.load(Ordering::Acquire));
        let is_it =
            |kept: &&mut KeptVersion| kept.snapshot.version == version && kept.host == host && kept.epoch == epoch;
        let found = self.versions.iter_mut().find(is_it)?;
        found.used = clock;
        Some(Arc::clone(&found.snapshot))
    }

    fn keep(&mut self, entry: &Entry, epoch: u64, snapshot: &Arc<TableSnapshot>) {
        let host = entry.host().to_owned();
        // of a table that was made anew, nothing is asked for any more
        self.versions.retain(|kept| kept.host != host || kept.epoch == epoch);
        let used = self.clock;
        self.versions.push(KeptVersion { host, epoch, snapshot: Arc::clone(snapshot), used });
        while self.versions.len() > VERSIONS_KEPT_MAX || self.file_count() > FILES_KEPT_MAX {
            let oldest = self.versions.iter().enumerate().min_by_key(|(_, kept)| kept.used).map(|(at, _)| at);
            let Some(oldest) = oldest else { break };
            self.versions.swap_remove(oldest);
        }
    }

    fn file_count(&self) -> u64 {
        self.versions.iter().map(|kept| kept.snapshot.file_count).sum()
    }

    /// Lets go of the versions of tables that are not open any more.
    pub(super) fn retain(&mut self, is_open: impl Fn(&str) -> bool) {
        self.versions.retain(|kept| is_open(&kept.host));
    }
}

/// Never held across an await; every change is complete in itself, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(value).unwrap()
    }

    fn timeline(stamps: &[(u64, i64, bool)]) -> Timeline {
        let stamps = stamps.iter().map(|&(version, time, in_commit)| (version, Stamp { time: ms(time), in_commit }));
        Timeline { times: in_order(stamps) }
    }

    #[test]
    fn a_time_stands_for_the_newest_version_that_is_not_younger() {
        let plain = timeline(&[(3, 1000, false), (4, 2000, false), (5, 3000, false)]);
        for (time, version) in [(1000, 3), (1999, 3), (2000, 4), (2999, 4), (3000, 5), (999_999, 5)] {
            assert_eq!(plain.at(ms(time)).unwrap(), version, "{time}");
        }
        let error = plain.at(ms(999)).unwrap_err();
        assert_eq!(error, DeltaError::BeforeFirst { time: ms(999), earliest: 3, earliest_time: ms(1000) });
        assert_eq!(timeline(&[]).at(ms(1)).unwrap_err(), DeltaError::NotATable);
    }

    #[test]
    fn clocks_that_run_backwards_are_put_in_order_and_in_commit_times_bind() {
        // the writer of version 1 has a clock that is late
        let skewed = timeline(&[(0, 5000, false), (1, 1000, false), (2, 1000, false), (3, 9000, false)]);
        for (time, version) in [(5000, 0), (5001, 1), (5002, 2), (8999, 2), (9000, 3)] {
            assert_eq!(skewed.at(ms(time)).unwrap(), version, "{time}");
        }
        // in-commit timestamps were switched on with version 2, after a clock that was ahead
        let switched = timeline(&[(0, 1000, false), (1, 7000, false), (2, 3000, true), (3, 4000, true)]);
        for (time, version) in [(1000, 0), (2999, 0), (3000, 2), (4000, 3), (8000, 3)] {
            assert_eq!(switched.at(ms(time)).unwrap(), version, "{time}");
        }
    }

    #[test]
    fn what_can_be_read_begins_with_the_first_commit_or_a_checkpoint() {
        let log =
            |commits: &[u64], checkpoints: &[u64]| Log { commits: commits.to_vec(), checkpoints: checkpoints.to_vec() };
        assert_eq!(log(&[0, 1, 2], &[1]).earliest(2), Some(0));
        assert_eq!(log(&[4, 5, 6], &[5]).earliest(6), Some(5));
        assert_eq!(log(&[4, 5, 6], &[2, 3, 5]).earliest(6), Some(3));
        assert_eq!(log(&[0, 1, 3, 4], &[3]).earliest(4), Some(3), "a gap ends what can be read");
        assert_eq!(log(&[], &[7]).earliest(7), Some(7));
        assert_eq!(log(&[5, 6], &[]).earliest(6), None);
    }
}
