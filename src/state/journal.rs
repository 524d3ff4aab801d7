//! A write-ahead file on the disk: a folder of segments that one living server holds by a lock.
//!
//! It knows which records are acknowledged and where they lie, and refuses to know what they say and where they go.
//! Whoever finds the folder of a server that is gone locks it, reads on where that server stopped, and removes it.
//!
//! ```text
//! <root>/<id>/lock                          held as long as the server lives
//! <root>/<id>/00000000000000000001.wal      named after its first record (see `frame`)
//! <root>/<id>/00000000000000000001.damaged  set aside: it held records that cannot be read any more
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::faults::{Faults, Step};
use super::frame::{self, Header, SEGMENT_HEADER_BYTES};

const LOCK: &str = "lock";
const SEGMENT: &str = "wal";
const DAMAGED: &str = "damaged";
/// Other names are tried when somebody clears a new folder away before it is locked.
const CREATIONS_TRIED_MAX: usize = 8;

/// How many folders above that of the write-ahead files may be new.
const FOLDERS_SYNCED: usize = 2;

/// One server's write-ahead file, or what a dead one left.
#[derive(Debug)]
pub(super) struct Journal {
    /// Names the file for as long as it is there, and in every Delta commit of its records.
    pub(super) id: Uuid,
    folder: PathBuf,
    /// Given back when it is closed.
    _lock: File,
    segments: Mutex<Vec<Segment>>,
    /// The last record that is durable.
    acknowledged: watch::Sender<u64>,
    faults: Faults,
}

#[derive(Clone, Debug)]
struct Segment {
    path: PathBuf,
    first: u64,
    /// By its header; `None` when that cannot be read.
    acknowledged: Option<u64>,
    bytes: u64,
    /// Whether acknowledged records in it cannot be read.
    damaged: bool,
}

/// A place between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// First record of the segment.
    segment: u64,
    /// Bytes from the segment's beginning.
    offset: usize,
    /// The record that comes next.
    next: u64,
}

/// An acknowledged record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) stream: u8,
    pub(super) payload: Vec<u8>,
}

impl Journal {
    /// A new one, locked.
    pub(super) fn create(root: &Path, faults: Faults) -> io::Result<Self> {
        for _ in 0..CREATIONS_TRIED_MAX {
            let id = Uuid::new_v4();
            let folder = root.join(id.to_string());
            fs::create_dir_all(&folder)?;
            match lock(&folder) {
                Ok(Some(lock)) => {
                    sync_folder(root)?;
                    // folders above may be new, or not ours to open
                    root.ancestors().skip(1).take(FOLDERS_SYNCED).for_each(|folder| drop(sync_folder(folder)));
                    return Ok(Self::new(id, folder, lock, Vec::new(), 0, faults));
                }
                Ok(None) => {}
                Err(error) => {
                    // an empty folder says nothing, and is cleared away when it cannot be removed now
                    drop(fs::remove_dir(&folder));
                    return Err(error);
                }
            }
        }
        Err(io::Error::new(ErrorKind::WouldBlock, "new write-ahead files are taken by others"))
    }

    /// Those under `root` that nobody holds, in no order. Folders without records are cleared away.
    pub(super) fn recover(root: &Path, faults: &Faults) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let folder = entry?.path();
            let id = folder.file_name().and_then(|name| Uuid::parse_str(name.to_str()?).ok());
            let (Some(id), true) = (id, folder.is_dir()) else { continue };
            let opened = lock(&folder)
                .and_then(|lock| lock.map(|lock| Self::open(id, folder.clone(), lock, faults.clone())).transpose());
            match opened {
                Ok(None) => {}
                Ok(Some(journal)) if journal.lock_segments().is_empty() => journal.remove(),
                Ok(Some(journal)) => found.push(journal),
                Err(cause) => {
                    tracing::error!(%cause, folder = %folder.display(), "a write-ahead file cannot be recovered: its records wait for the next start");
                }
            }
        }
        Ok(found)
    }

    fn new(id: Uuid, folder: PathBuf, lock: File, segments: Vec<Segment>, acknowledged: u64, faults: Faults) -> Self {
        let acknowledged = watch::Sender::new(acknowledged);
        Self { id, folder, _lock: lock, segments: Mutex::new(segments), acknowledged, faults }
    }

    /// Finds the end of what is readable, and cuts off what was being written when the server was killed.
    fn open(id: Uuid, folder: PathBuf, lock: File, faults: Faults) -> io::Result<Self> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let first = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            let (Some(first), Some(SEGMENT)) = (first, path.extension().and_then(|e| e.to_str())) else { continue };
            let mut start = Vec::with_capacity(SEGMENT_HEADER_BYTES);
            File::open(&path)?.take(SEGMENT_HEADER_BYTES as u64).read_to_end(&mut start)?;
            let header = frame::read_header(&start).filter(|header| header.id == id && header.first == first);
            let bytes = path.metadata()?.len();
            if header.is_none() && bytes <= SEGMENT_HEADER_BYTES as u64 {
                // killed while it was begun
                fs::remove_file(&path)?;
                continue;
            }
            let acknowledged = header.map(|header| header.acknowledged);
            segments.push(Segment { path, first, acknowledged, bytes, damaged: header.is_none() });
        }
        segments.sort_unstable_by_key(|segment| segment.first);
        let mut acknowledged = 0;
        if let Some(last) = segments.last_mut() {
            let bytes = fs::read(&last.path)?;
            let scanned = frame::scan(&bytes, SEGMENT_HEADER_BYTES, last.first, None);
            acknowledged = match last.acknowledged {
                Some(before) if scanned.frames.is_empty() => before,
                _ => scanned.next.saturating_sub(1),
            };
            let file = OpenOptions::new().write(true).open(&last.path)?;
            if scanned.end < bytes.len() {
                file.set_len(scanned.end as u64)?;
                last.bytes = scanned.end as u64;
            }
            // what was written and not synced counts from now on
            file.sync_all()?;
        }
        Ok(Self::new(id, folder, lock, segments, acknowledged, faults))
    }

    /// The last record that is durable, to be waited for.
    pub(super) fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// The number of the record that is written next.
    pub(super) fn next_sequence(&self) -> u64 {
        let acknowledged = *self.acknowledged.borrow();
        self.lock_segments().last().map_or(0, |last| last.first).max(acknowledged + 1)
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.lock_segments().iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes of the segment that is written to.
    pub(super) fn newest_bytes(&self) -> u64 {
        self.lock_segments().last().map_or(0, |segment| segment.bytes)
    }

    /// Begins a segment for the records from `first` on.
    pub(super) fn begin(&self, first: u64) -> io::Result<File> {
        self.faults.pass(Step::Begin)?;
        let acknowledged = *self.acknowledged.borrow();
        let path = self.folder.join(format!("{first:020}.{SEGMENT}"));
        let header = frame::write_header(&Header { id: self.id, first, acknowledged });
        // a file of this name holds nothing that was acknowledged: no record has had the number
        let begun = File::create(&path).and_then(|mut file| {
            file.write_all(&header)?;
            file.sync_all()?;
            sync_folder(&self.folder)?;
            Ok(file)
        });
        match begun {
            Ok(file) => {
                let bytes = header.len() as u64;
                let segment = Segment { path, first, acknowledged: Some(acknowledged), bytes, damaged: false };
                let mut segments = self.lock_segments();
                segments.retain(|other| other.first != first);
                segments.push(segment);
                Ok(file)
            }
            Err(error) => {
                self.lock_segments().retain(|other| other.first != first);
                drop(fs::remove_file(&path));
                Err(error)
            }
        }
    }

    /// Writes to the newest segment and syncs it. When this fails, nothing may be written to the segment any more.
    pub(super) fn write(&self, file: &mut File, group: &[u8], last: u64) -> io::Result<()> {
        let length = self.newest_bytes();
        let written = self.faults.pass(Step::Write).and_then(|()| file.write_all(group));
        match written.and_then(|()| self.faults.pass(Step::Sync)).and_then(|()| file.sync_data()) {
            Ok(()) => {
                if let Some(segment) = self.lock_segments().last_mut() {
                    segment.bytes += group.len() as u64;
                }
                self.acknowledged.send_replace(last);
                Ok(())
            }
            Err(error) => {
                // what cannot be cut off is left out by what the next segment says
                drop(file.set_len(length).and_then(|()| file.sync_all()));
                let mut segments = self.lock_segments();
                if length <= SEGMENT_HEADER_BYTES as u64
                    && let Some(empty) = segments.pop()
                {
                    drop(fs::remove_file(&empty.path));
                }
                Err(error)
            }
        }
    }

    /// Up to `count_max` acknowledged records from a place on (`None`: from the beginning), and the place behind them. No
    /// records: there are no more.
    pub(super) fn read(&self, from: Option<Cursor>, count_max: usize) -> io::Result<(Vec<Record>, Option<Cursor>)> {
        self.faults.pass(Step::Read)?;
        let mut cursor = from;
        loop {
            let Some((at, segment, acknowledged, following)) = self.segment_at(cursor) else {
                return Ok((Vec::new(), cursor));
            };
            let nothing_left = acknowledged.is_some_and(|last| at.next > last);
            if !nothing_left {
                let mut file = File::open(&segment.path)?;
                file.seek(SeekFrom::Start(at.offset as u64))?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                let scanned = frame::scan(&bytes, 0, at.next, acknowledged);
                for lost in &scanned.lost {
                    self.report_damage(&segment, lost);
                }
                let complete = scanned.frames.len() <= count_max;
                let frames = &scanned.frames[..scanned.frames.len().min(count_max)];
                let end = match frames.last() {
                    Some(last) if !complete => {
                        Cursor { offset: at.offset + last.payload.end, next: last.sequence + 1, ..at }
                    }
                    _ => Cursor { offset: at.offset + scanned.end, next: scanned.next, ..at },
                };
                if !frames.is_empty() {
                    let records = frames.iter().map(|frame| Record {
                        sequence: frame.sequence,
                        stream: frame.stream,
                        payload: bytes[frame.payload.clone()].to_vec(),
                    });
                    return Ok((records.collect(), Some(end)));
                }
                cursor = Some(end);
            } else if following.is_none() {
                return Ok((Vec::new(), Some(at)));
            }
            match following {
                Some(following) => cursor = Some(following),
                None => return Ok((Vec::new(), cursor)),
            }
        }
    }

    /// Removes the segments before a place: all their records are elsewhere.
    pub(super) fn forget(&self, before: Cursor) -> io::Result<()> {
        self.faults.pass(Step::Forget)?;
        let mut segments = self.lock_segments();
        while let Some(segment) = segments.first().filter(|segment| segment.first < before.segment) {
            if segment.damaged {
                fs::rename(&segment.path, segment.path.with_extension(DAMAGED))?;
            } else {
                fs::remove_file(&segment.path)?;
            }
            segments.remove(0);
        }
        Ok(())
    }

    /// Removes the folder, all of whose records are elsewhere. Damaged segments stay.
    pub(super) fn remove(self) {
        let removed = || {
            for segment in self.lock_segments().iter() {
                if segment.damaged {
                    fs::rename(&segment.path, segment.path.with_extension(DAMAGED))?;
                } else {
                    fs::remove_file(&segment.path)?;
                }
            }
            fs::remove_file(self.folder.join(LOCK))?;
            // not empty when something damaged stays
            drop(fs::remove_dir(&self.folder));
            Ok::<_, io::Error>(())
        };
        if let Err(error) = removed() {
            tracing::warn!(cause = %error, folder = %self.folder.display(), "a write-ahead file that is done cannot be removed");
        }
    }

    /// Keeps records that their table does not take, for a person to look at.
    pub(super) fn set_aside(&self, record: &Record) -> io::Result<()> {
        let path = self.folder.join("refused.jsonl");
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(&[record.payload.as_slice(), b"\n"].concat())?;
        file.sync_all()
    }

    /// The segment of a place; its last acknowledged record, where known; the place where the next segment begins.
    fn segment_at(&self, cursor: Option<Cursor>) -> Option<(Cursor, Segment, Option<u64>, Option<Cursor>)> {
        let segments = self.lock_segments();
        let beginning =
            |segment: &Segment| Cursor { segment: segment.first, offset: SEGMENT_HEADER_BYTES, next: segment.first };
        // a segment that got no record may be gone again
        let at = segments.iter().position(|segment| cursor.is_none_or(|cursor| segment.first >= cursor.segment))?;
        let segment = segments.get(at)?;
        let cursor = cursor.filter(|cursor| cursor.segment == segment.first);
        let following = segments.get(at + 1);
        let acknowledged = following.map_or_else(|| Some(*self.acknowledged.borrow()), |next| next.acknowledged);
        Some((cursor.unwrap_or_else(|| beginning(segment)), segment.clone(), acknowledged, following.map(beginning)))
    }

    fn report_damage(&self, segment: &Segment, lost: &std::ops::Range<u64>) {
        let mut segments = self.lock_segments();
        let Some(known) = segments.iter_mut().find(|known| known.first == segment.first) else { return };
        known.damaged = true;
        tracing::error!(
            segment = %segment.path.display(),
            first = lost.start,
            last = lost.end - 1,
            "the write-ahead file is damaged: these records cannot be read; the file is kept with the ending .damaged"
        );
    }

    fn lock_segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder's lock; `None` when somebody else holds it, or has cleared the folder away.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = match OpenOptions::new().write(true).create(true).truncate(false).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        // locked by its name, and the name may have gone in between
        Ok(()) => Ok(path.exists().then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A closed file of three groups, and its folder.
    fn written(root: &Path) -> (Uuid, PathBuf, Vec<u8>) {
        let journal = Journal::create(root, Faults::default()).unwrap();
        let mut file = journal.begin(1).unwrap();
        for group in [1..4, 4..5, 5..8] {
            let mut bytes = Vec::new();
            let acknowledged = *journal.acknowledged().borrow();
            for sequence in group {
                frame::write_frame(&mut bytes, sequence, acknowledged, 1, sequence.to_string().as_bytes());
            }
            journal.write(&mut file, &bytes, acknowledged + bytes.len() as u64 / 26).unwrap();
        }
        let path = journal.folder.join(format!("{:020}.{SEGMENT}", 1));
        (journal.id, path.clone(), fs::read(path).unwrap())
    }

    fn recovered(root: &Path) -> Journal {
        let mut found = Journal::recover(root, &Faults::default()).unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    fn sequences(journal: &Journal, count_max: usize) -> (Vec<u64>, Option<Cursor>) {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let (records, end) = journal.read(cursor, count_max).unwrap();
            cursor = end;
            if records.is_empty() {
                return (all, cursor);
            }
            assert!(records.iter().all(|record| record.payload == record.sequence.to_string().as_bytes()));
            assert!(records.len() <= count_max);
            all.extend(records.iter().map(|record| record.sequence));
        }
    }

    #[test]
    fn a_file_is_held_by_one_and_found_by_the_next() {
        let root = tempfile::TempDir::new().unwrap();
        assert!(Journal::recover(&root.path().join("none"), &Faults::default()).unwrap().is_empty());
        let held = Journal::create(root.path(), Faults::default()).unwrap();
        drop(held.begin(1).unwrap());
        assert!(Journal::recover(root.path(), &Faults::default()).unwrap().is_empty());
        let id = held.id;
        drop(held);
        assert_eq!(recovered(root.path()).id, id);
        let empty = Journal::create(root.path(), Faults::default()).unwrap();
        drop(empty);
        assert_eq!(recovered(root.path()).id, id, "one without segments is cleared away");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        recovered(root.path()).remove();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_cut_at_any_byte_goes_on_behind_its_last_whole_record() {
        let root = tempfile::TempDir::new().unwrap();
        let (_, path, bytes) = written(root.path());
        for cut in (SEGMENT_HEADER_BYTES..=bytes.len()).rev() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = (cut - SEGMENT_HEADER_BYTES) as u64 / 26;
            let journal = recovered(root.path());
            assert_eq!(sequences(&journal, 2).0, (1..=whole).collect::<Vec<_>>(), "cut at {cut}");
            assert_eq!(fs::metadata(&path).unwrap().len(), SEGMENT_HEADER_BYTES as u64 + whole * 26);
            assert_eq!(journal.next_sequence(), whole + 1);
            let mut next = journal.begin(whole + 1).unwrap();
            let mut frame = Vec::new();
            frame::write_frame(&mut frame, whole + 1, whole, 1, (whole + 1).to_string().as_bytes());
            journal.write(&mut next, &frame, whole + 1).unwrap();
            drop(journal);
            let journal = recovered(root.path());
            assert_eq!(sequences(&journal, 3).0, (1..=whole + 1).collect::<Vec<_>>());
            fs::remove_file(path.with_file_name(format!("{:020}.{SEGMENT}", whole + 1))).unwrap();
        }
    }

    #[test]
    fn a_damaged_file_is_read_as_far_as_possible_and_set_aside() {
        let root = tempfile::TempDir::new().unwrap();
        let (_, path, bytes) = written(root.path());
        let mut damaged = bytes.clone();
        damaged[SEGMENT_HEADER_BYTES + 26 + 8] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let journal = recovered(root.path());
        let (read, _) = sequences(&journal, 100);
        assert_eq!(read, [1, 3, 4, 5, 6, 7]);
        drop(journal.begin(8).unwrap());
        journal.forget(sequences(&journal, 100).1.unwrap()).unwrap();
        assert_eq!(fs::read(path.with_extension(DAMAGED)).unwrap(), damaged);
        drop(journal);
        let journal = recovered(root.path());
        assert_eq!((sequences(&journal, 100).0, journal.next_sequence()), (vec![], 8), "it is not read again");
        journal.remove();
        assert!(path.with_extension(DAMAGED).exists());
    }

    #[test]
    fn a_damaged_header_costs_no_record() {
        let root = tempfile::TempDir::new().unwrap();
        let (_, path, mut bytes) = written(root.path());
        bytes[9] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let journal = recovered(root.path());
        assert_eq!(sequences(&journal, 100).0, (1..8).collect::<Vec<_>>());
        let following = journal.begin(8).unwrap();
        drop((following, journal));
        let journal = recovered(root.path());
        assert_eq!(sequences(&journal, 100).0, (1..8).collect::<Vec<_>>());
        journal.remove();
        assert!(path.with_extension(DAMAGED).exists());
    }

    #[test]
    fn a_segment_that_was_being_begun_is_no_segment() {
        let root = tempfile::TempDir::new().unwrap();
        let (_, path, _) = written(root.path());
        for length in 0..SEGMENT_HEADER_BYTES {
            let begun = path.with_file_name(format!("{:020}.{SEGMENT}", 8));
            fs::write(&begun, vec![7; length]).unwrap();
            assert_eq!(sequences(&recovered(root.path()), 100).0.len(), 7);
            assert!(!begun.exists());
        }
    }

    #[test]
    fn an_older_segment_that_lost_its_end_is_damaged_and_one_that_was_refused_is_not() {
        let root = tempfile::TempDir::new().unwrap();
        let (_, path, bytes) = written(root.path());
        let journal = recovered(root.path());
        // a refused record is left behind, as when it could not be cut off
        let mut refused = bytes.clone();
        frame::write_frame(&mut refused, 8, 7, 1, b"refused");
        drop(journal.begin(9).unwrap());
        fs::write(&path, &refused).unwrap();
        drop(journal);
        assert_eq!(sequences(&recovered(root.path()), 100).0, (1..8).collect::<Vec<_>>());
        fs::write(&path, &bytes[..bytes.len() - 26]).unwrap();
        let journal = recovered(root.path());
        let (read, end) = sequences(&journal, 100);
        assert_eq!(read, (1..7).collect::<Vec<_>>());
        journal.forget(end.unwrap()).unwrap();
        assert!(path.with_extension(DAMAGED).exists());
    }
}
