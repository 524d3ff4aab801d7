//! The queue in front of the write-ahead file: many records, one sync.
//!
//! One thread takes whatever waits, writes it in one piece, syncs once and answers all who wait. It alone writes; a
//! failed write or sync refuses the records of its group, and the next group tries anew in another segment.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::faults::Faults;
use super::frame::{self, FRAME_HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::journal::Journal;
use super::refused;
use crate::error::{Error, Result, SqlState};

/// Records that are synced together, in bytes.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Records that wait to be written, in bytes: more than that is refused.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// A segment that has so many bytes is followed by another, and removed when its records are in their tables.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// Bytes of all segments, in case their records cannot be brought to their tables for long: more than that is refused.
const JOURNAL_BYTES_MAX: u64 = 4 << 30;

/// The server's own write-ahead file. It comes into being with the first record.
pub(super) struct Wal {
    queue: Option<mpsc::Sender<Job>>,
    queued_bytes: Arc<AtomicUsize>,
    journal: Arc<OnceLock<Arc<Journal>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Job {
    Append {
        stream: u8,
        payload: Vec<u8>,
        said: oneshot::Sender<Result<()>>,
    },
    /// Begins another segment.
    Rotate {
        said: oneshot::Sender<()>,
    },
}

impl Wal {
    /// Goes on with a write-ahead file that was found, or makes one under `root` when there is something to write.
    pub(super) fn start(root: PathBuf, found: Option<Arc<Journal>>, faults: Faults) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let queued_bytes = Arc::<AtomicUsize>::default();
        let journal = Arc::new(found.map_or_else(OnceLock::new, OnceLock::from));
        let writer = Writer {
            root,
            journal: Arc::clone(&journal),
            queued_bytes: Arc::clone(&queued_bytes),
            segment: None,
            next: 0,
            failing: false,
            faults,
        };
        let thread = std::thread::Builder::new().name("pgmesh-state".into()).spawn(move || writer.run(&jobs))?;
        Ok(Self { queue: Some(queue), queued_bytes, journal, thread: Mutex::new(Some(thread)) })
    }

    /// The file, when it exists.
    pub(super) fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.get()
    }

    /// Queues a record. The answer comes when it is durable or refused.
    pub(super) fn append(&self, stream: u8, payload: Vec<u8>) -> oneshot::Receiver<Result<()>> {
        let (said, heard) = oneshot::channel();
        let bytes = payload.len() + FRAME_HEADER_BYTES;
        let refusal = if payload.len() > PAYLOAD_BYTES_MAX {
            Some(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a record of this statement would be too long"))
        } else if self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES_MAX {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            Some(refused())
        } else {
            None
        };
        if let Some(refusal) = refusal {
            drop(said.send(Err(refusal)));
        } else if let Some(queue) = &self.queue {
            // a writer that is gone drops the sender, which the one who waits takes for a refusal
            drop(queue.send(Job::Append { stream, payload, said }));
        }
        heard
    }

    /// Begins another segment, so that the one before can be removed.
    pub(super) async fn rotate(&self) {
        let (said, heard) = oneshot::channel();
        if let Some(queue) = &self.queue
            && queue.send(Job::Rotate { said }).is_ok()
        {
            drop(heard.await);
        }
    }
}

impl Drop for Wal {
    /// Waits until everything that is queued is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(thread.join());
        }
    }
}

struct Writer {
    root: PathBuf,
    journal: Arc<OnceLock<Arc<Journal>>>,
    queued_bytes: Arc<AtomicUsize>,
    /// `None` before the first record and after a failure.
    segment: Option<File>,
    /// Number of the next record. A number is never given twice, whatever became of its record.
    next: u64,
    failing: bool,
    faults: Faults,
}

impl Writer {
    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut waiting = Some(first);
            while let Some(job) = waiting.take() {
                match job {
                    Job::Append { stream, payload, said } => waiting = self.group(stream, payload, said, jobs),
                    Job::Rotate { said } => {
                        self.rotate();
                        // whoever does not wait does not want to know
                        let _ = said.send(());
                    }
                }
            }
        }
    }

    /// Takes what else waits, and writes all of it. Gives back a job of another kind that came in between.
    fn group(
        &mut self,
        stream: u8,
        payload: Vec<u8>,
        said: oneshot::Sender<Result<()>>,
        jobs: &mpsc::Receiver<Job>,
    ) -> Option<Job> {
        let mut bytes = payload.len() + FRAME_HEADER_BYTES;
        let mut group = vec![(stream, payload)];
        let mut waiting = vec![said];
        let mut other = None;
        while bytes < GROUP_BYTES_MAX {
            match jobs.try_recv() {
                Ok(Job::Append { stream, payload, said }) => {
                    bytes += payload.len() + FRAME_HEADER_BYTES;
                    group.push((stream, payload));
                    waiting.push(said);
                }
                Ok(job) => {
                    other = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let written = self.write(&group, bytes);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.note(written.as_ref().err());
        for said in waiting {
            drop(said.send(written.as_ref().map(drop).map_err(|_| refused())));
        }
        other
    }

    fn write(&mut self, group: &[(u8, Vec<u8>)], bytes: usize) -> io::Result<()> {
        let journal = self.journal()?;
        if journal.bytes() + bytes as u64 > JOURNAL_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the write-ahead file has reached its limit"));
        }
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => journal.begin(self.next)?,
        };
        let acknowledged = *journal.acknowledged().borrow();
        let mut framed = Vec::with_capacity(bytes);
        for (stream, payload) in group {
            frame::write_frame(&mut framed, self.next, acknowledged, *stream, payload);
            self.next += 1;
        }
        journal.write(&mut segment, &framed, self.next - 1)?;
        if journal.newest_bytes() < SEGMENT_BYTES_MAX {
            self.segment = Some(segment);
        }
        Ok(())
    }

    fn journal(&mut self) -> io::Result<Arc<Journal>> {
        let journal = if let Some(journal) = self.journal.get() {
            Arc::clone(journal)
        } else {
            let made = Arc::new(Journal::create(&self.root, self.faults.clone())?);
            Arc::clone(self.journal.get_or_init(|| made))
        };
        self.next = self.next.max(journal.next_sequence());
        Ok(journal)
    }

    fn rotate(&mut self) {
        self.segment = None;
        let Some(journal) = self.journal.get() else { return };
        self.next = self.next.max(journal.next_sequence());
        // when this fails the next record says so
        self.segment = journal.begin(self.next).ok();
    }

    /// Says once that nothing can be recorded, and once that it can again.
    fn note(&mut self, failure: Option<&io::Error>) {
        match failure {
            Some(cause) if !self.failing => {
                tracing::error!(%cause, folder = %self.root.display(), "the write-ahead file cannot be written: what must be recorded is refused");
            }
            None if self.failing => tracing::info!("the write-ahead file can be written again"),
            _ => {}
        }
        self.failing = failure.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults::Step;
    use super::*;
    use std::path::Path;

    const KIND: io::ErrorKind = io::ErrorKind::StorageFull;

    fn wal(root: &Path, faults: &Faults) -> Wal {
        let found = Journal::recover(root, faults).unwrap().pop().map(Arc::new);
        Wal::start(root.to_owned(), found, faults.clone()).unwrap()
    }

    /// Everything that is acknowledged, as texts.
    fn recorded(root: &Path) -> Vec<String> {
        let mut all = Vec::new();
        for journal in Journal::recover(root, &Faults::default()).unwrap() {
            let mut cursor = None;
            loop {
                let (records, end) = journal.read(cursor, 7).unwrap();
                cursor = end;
                if records.is_empty() {
                    break;
                }
                all.extend(records.into_iter().map(|record| String::from_utf8(record.payload).unwrap()));
            }
        }
        all
    }

    #[tokio::test]
    async fn many_records_are_synced_together_and_in_order() {
        let root = tempfile::TempDir::new().unwrap();
        let wal = wal(root.path(), &Faults::default());
        assert!(wal.journal().is_none(), "nothing is written before there is something to write");
        let answers: Vec<_> = (0..5000).map(|at| wal.append(1, at.to_string().into_bytes())).collect();
        let mut acknowledged = None;
        for answer in answers {
            answer.await.unwrap().unwrap();
            acknowledged.get_or_insert_with(|| wal.journal().unwrap().acknowledged());
        }
        assert_eq!(*acknowledged.unwrap().borrow(), 5000);
        assert_eq!(wal.queued_bytes.load(Ordering::Relaxed), 0);
        drop(wal);
        assert_eq!(recorded(root.path()), (0..5000).map(|at| at.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_refused_and_not_there_and_the_next_is() {
        for step in [Step::Begin, Step::Write, Step::Sync] {
            let root = tempfile::TempDir::new().unwrap();
            let faults = Faults::default();
            let own = wal(root.path(), &faults);
            if step != Step::Begin {
                own.append(1, b"first".to_vec()).await.unwrap().unwrap();
            }
            for _ in 0..3 {
                faults.set(Some((step, KIND)));
                if step == Step::Begin {
                    own.rotate().await;
                }
                let refusal = own.append(1, b"refused".to_vec()).await.unwrap().unwrap_err();
                assert_eq!(refusal.sqlstate(), SqlState::DISK_FULL);
                assert!(refusal.report().hint.is_some());
                let again = own.append(1, b"refused".to_vec()).await.unwrap();
                assert!(again.is_err());
                faults.set(None);
                own.append(1, b"second".to_vec()).await.unwrap().unwrap();
            }
            drop(own);
            let mut expected = vec!["first", "second", "second", "second"];
            expected.retain(|text| step != Step::Begin || *text != "first");
            assert_eq!(recorded(root.path()), expected, "{step:?}");
            let files =
                |root: &Path| std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
            assert!(files(&files(root.path())[0]).len() <= 5, "failures leave no heap of files");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_or_too_much_is_refused_at_once() {
        let root = tempfile::TempDir::new().unwrap();
        let wal = wal(root.path(), &Faults::default());
        let long = wal.append(1, vec![b'x'; PAYLOAD_BYTES_MAX + 1]).await.unwrap().unwrap_err();
        assert_eq!(long.sqlstate(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        wal.append(1, vec![b'x'; PAYLOAD_BYTES_MAX]).await.unwrap().unwrap();
        wal.queued_bytes.store(QUEUE_BYTES_MAX, Ordering::Relaxed);
        let full = wal.append(1, b"x".to_vec()).await.unwrap().unwrap_err();
        assert_eq!(full.sqlstate(), SqlState::DISK_FULL);
        wal.queued_bytes.store(0, Ordering::Relaxed);
        wal.append(1, b"x".to_vec()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn segments_follow_each_other_and_go_when_they_are_done() {
        let root = tempfile::TempDir::new().unwrap();
        let wal = wal(root.path(), &Faults::default());
        for _ in 0..40 {
            wal.append(1, vec![b'x'; PAYLOAD_BYTES_MAX]).await.unwrap().unwrap();
        }
        let journal = wal.journal().unwrap();
        assert!(journal.bytes() > 2 * SEGMENT_BYTES_MAX);
        let (mut cursor, mut count) = (None, 0);
        loop {
            let (records, end) = journal.read(cursor, 1000).unwrap();
            (cursor, count) = (end, count + records.len());
            if records.is_empty() {
                break;
            }
        }
        assert_eq!(count, 40);
        wal.rotate().await;
        assert_eq!(journal.read(cursor, 1000).map(|(records, end)| (records.len(), end != cursor)).unwrap(), (0, true));
        journal.forget(journal.read(cursor, 1000).unwrap().1.unwrap()).unwrap();
        assert_eq!(journal.bytes(), frame::SEGMENT_HEADER_BYTES as u64);
        let id = journal.id;
        drop(wal);
        let again = self::wal(root.path(), &Faults::default());
        again.append(1, b"next".to_vec()).await.unwrap().unwrap();
        let journal = again.journal().unwrap();
        assert_eq!((journal.id, *journal.acknowledged().borrow()), (id, 41), "numbers go on where they were");
    }
}
