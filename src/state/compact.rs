//! Which files of a stream are put together, and which are old enough to go. Pure: it looks at sizes and times.
//!
//! Every commit of a stream adds a small file. Files of one day become one file, in steps, so that a row is rewritten a
//! few times and no more; a day that is over ends as one file, or as few as its size allows. Since a file then holds one
//! day, whole files expire, at most a day late, and never a row that must stay.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use crate::delta::LiveFile;

/// A file of so many bytes is rewritten no more.
const FILE_BYTES_FULL: u64 = 8 << 20;
/// Bytes that are put together at once: they are in memory meanwhile, unpacked.
const MERGED_BYTES_MAX: u64 = 8 << 20;
/// Files that are put together at once.
const MERGED_FILES_MAX: usize = 1000;
/// On the day itself so many files of about one size become one.
const MERGED_FILES_MIN: usize = 16;
/// Sizes are alike within a factor of 2 to the power of this.
const ALIKE_SIZE_BITS: u32 = 3;

/// What is to be done with a stream's files.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Each of these groups becomes one file.
    pub(super) merge: Vec<Vec<LiveFile>>,
    /// All of their rows are older than the retention.
    pub(super) expired: Vec<LiveFile>,
}

pub(super) fn plan(files: Vec<LiveFile>, time_column: &str, now: DateTime<Utc>, retention: Duration) -> Plan {
    let oldest = chrono::Duration::from_std(retention).ok().and_then(|age| now.checked_sub_signed(age));
    let mut plan = Plan::default();
    let mut alike: BTreeMap<(NaiveDate, u32), Vec<LiveFile>> = BTreeMap::new();
    for file in files {
        // of a file without statistics nothing is known, so it stays as it is
        let Some((first, last)) = file.times(time_column) else { continue };
        if oldest.is_some_and(|oldest| last < oldest) {
            plan.expired.push(file);
        } else if file.size_bytes < FILE_BYTES_FULL {
            let day = first.date_naive();
            let size = if day < now.date_naive() { 0 } else { file.size_bytes.max(1).ilog2() / ALIKE_SIZE_BITS };
            alike.entry((day, size)).or_default().push(file);
        }
    }
    for ((day, _), files) in alike {
        let needed = if day < now.date_naive() { 2 } else { MERGED_FILES_MIN };
        plan.merge.extend(groups(files).into_iter().filter(|group| group.len() >= needed));
    }
    plan
}

/// Parts that can be put together at once.
fn groups(files: Vec<LiveFile>) -> Vec<Vec<LiveFile>> {
    let mut groups: Vec<Vec<LiveFile>> = Vec::new();
    let mut bytes = u64::MAX;
    for file in files {
        bytes = bytes.saturating_add(file.size_bytes);
        match groups.last_mut() {
            Some(group) if bytes <= MERGED_BYTES_MAX && group.len() < MERGED_FILES_MAX => group.push(file),
            _ => {
                bytes = file.size_bytes;
                groups.push(vec![file]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DAYS_30: Duration = Duration::from_hours(30 * 24);

    fn file(name: &str, size: u64, first: &str, last: &str) -> LiveFile {
        let statistics = json!({"minValues": {"occurred_at": first}, "maxValues": {"occurred_at": last}});
        LiveFile::for_test(name, size, statistics)
    }

    fn now() -> DateTime<Utc> {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn planned(files: Vec<LiveFile>) -> Plan {
        plan(files, "occurred_at", now(), DAYS_30)
    }

    #[test]
    fn a_file_goes_when_its_last_row_is_too_old_and_not_before() {
        let old = file("old", 1, "2026-09-01T00:00:00Z", "2026-10-22T11:59:59.999999Z");
        let half = file("half", 1, "2026-09-01T00:00:00Z", "2026-10-22T12:00:00.000000Z");
        let unknown = LiveFile::for_test("unknown", 1, json!({}));
        let plan = planned(vec![old.clone(), half, unknown]);
        assert_eq!((plan.expired, plan.merge), (vec![old], vec![]));
        let forever = plan_forever();
        assert_eq!(forever, Plan::default());
    }

    fn plan_forever() -> Plan {
        plan(vec![file("old", 1, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z")], "occurred_at", now(), Duration::MAX)
    }

    #[test]
    fn files_of_one_day_come_together_when_they_are_many_or_the_day_is_over() {
        let of = |day: &str, count: usize| -> Vec<LiveFile> {
            let time = format!("2026-11-{day}T10:00:00Z");
            (0..count).map(|at| file(&format!("{day}-{at}"), 5000, &time, &time)).collect()
        };
        assert_eq!(planned(of("21", MERGED_FILES_MIN - 1)), Plan::default());
        assert_eq!(planned(of("21", MERGED_FILES_MIN)).merge, [of("21", MERGED_FILES_MIN)]);
        assert_eq!(planned(of("20", 1)), Plan::default());
        let plan = planned([of("20", 2), of("19", 3), of("21", 2)].concat());
        assert_eq!(plan.merge, [of("19", 3), of("20", 2)], "each day is a file of its own");
    }

    #[test]
    fn what_has_grown_is_not_rewritten_with_every_small_file() {
        let time = "2026-11-21T10:00:00Z";
        let mut files: Vec<LiveFile> =
            (0..MERGED_FILES_MIN).map(|at| file(&at.to_string(), 5000, time, time)).collect();
        files.push(file("grown", 5000 * 64, time, time));
        files.push(file("full", FILE_BYTES_FULL, time, time));
        let plan = planned(files);
        assert_eq!(plan.merge.len(), 1);
        assert!(plan.merge[0].iter().all(|file| file.size_bytes == 5000));
    }

    #[test]
    fn no_more_is_put_together_than_fits_in_memory() {
        let time = "2026-11-20T10:00:00Z";
        let files: Vec<LiveFile> = (0..5).map(|at| file(&at.to_string(), 3 << 20, time, time)).collect();
        let plan = planned(files);
        assert_eq!(plan.merge.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let many: Vec<LiveFile> = (0..2500).map(|at| file(&at.to_string(), 10, time, time)).collect();
        assert_eq!(planned(many).merge.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
    }
}
