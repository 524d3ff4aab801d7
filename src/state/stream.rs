//! From the write-ahead file to the streams' Delta tables, each record exactly once.
//!
//! ```text
//! read acknowledged records ─► write a data file ─► commit it ─► forget the segments before
//! ```
//! The commit names the write-ahead file and the last of its records that the table now holds (Delta protocol,
//! "Transaction Identifiers"), so that whoever goes on after a kill at any of these steps knows what is there already.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::faults::{Faults, Step};
use super::journal::{Cursor, Journal, Record};
use super::rows;
use super::schema::Stream;
use super::wal::Wal;
use crate::delta::{Committed, DeltaError, NewCommit, WrittenFolder, WrittenTable};

/// Records of one commit.
pub(super) const COMMIT_RECORDS_MAX: usize = 10_000;
/// A segment with more bytes than these is removed as soon as all of its records are in their tables.
const KEPT_BYTES_MAX: u64 = 1 << 20;
/// How far back a stream's versions can be read. Its rows are kept longer: by the stream's retention.
pub(super) const STREAM_HISTORY: Duration = Duration::from_hours(7 * 24);
/// How often a commit is made anew when another server changed what it was based on.
const COMMITS_TRIED_MAX: usize = 20;

/// The streams' tables, and how far the write-ahead files have been brought to them.
pub(super) struct Streams {
    tables: Vec<(Stream, Arc<WrittenTable>)>,
    /// This server's write-ahead file first, when it has one.
    sources: Vec<Source>,
    faults: Faults,
}

struct Source {
    journal: Arc<Journal>,
    /// Up to here everything is in its table.
    cursor: Option<Cursor>,
    /// In the order of the tables.
    progress: Vec<Option<Progress>>,
    /// Whether its server is gone, so that the file can be removed once it is empty.
    leftover: bool,
}

/// What is known of a table for one write-ahead file.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// A version of the table at or before its newest.
    base: u64,
    /// The last record that the table holds.
    last: Option<u64>,
}

/// Why records wait on in the write-ahead file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlushError {
    #[error(transparent)]
    Delta(#[from] DeltaError),
    #[error("the write-ahead file: {0}")]
    Journal(#[from] std::io::Error),
    #[error("{0}")]
    Internal(String),
}

impl Streams {
    pub(super) fn new(folder: &WrittenFolder, leftovers: Vec<Journal>, faults: Faults) -> Result<Self, DeltaError> {
        let tables = Stream::ALL.iter().map(|stream| Ok((*stream, Arc::new(folder.table(stream.name())?))));
        let sources = leftovers.into_iter().map(|journal| Source::new(Arc::new(journal), true)).collect();
        Ok(Self { tables: tables.collect::<Result<_, DeltaError>>()?, sources, faults })
    }

    pub(super) fn table(&self, stream: Stream) -> Arc<WrittenTable> {
        let (_, table) = &self.tables[stream as usize];
        Arc::clone(table)
    }

    /// Whether files of servers that are gone wait to be read.
    pub(super) fn has_leftovers(&self) -> bool {
        self.sources.iter().any(|source| source.leftover)
    }

    /// Brings every record that is acknowledged now to its table. What fails is tried again by the next call, from the
    /// same place.
    pub(super) async fn flush(&mut self, wal: &Wal) -> Result<(), FlushError> {
        if let Some(own) = wal.journal()
            && !self.sources.iter().any(|source| source.journal.id == own.id)
        {
            self.sources.insert(0, Source::new(Arc::clone(own), false));
        }
        for source in &mut self.sources {
            source.flush(&self.tables, &self.faults).await?;
            if !source.leftover && source.journal.bytes() > KEPT_BYTES_MAX {
                source.retire(wal).await?;
            }
        }
        let (done, kept) = self.sources.drain(..).partition(|source| source.leftover);
        self.sources = kept;
        for source in done {
            if let Some(journal) = Arc::into_inner(source.journal) {
                tracing::info!(id = %journal.id, "the records of a server that is gone are in their tables");
                journal.remove();
            }
        }
        Ok(())
    }

    /// After a flush, at the end of a server's life: leaves a write-ahead file that is quickly read.
    pub(super) async fn retire(&mut self, wal: &Wal) -> Result<(), FlushError> {
        match self.sources.iter_mut().find(|source| !source.leftover) {
            Some(own) if own.cursor.is_some() => own.retire(wal).await,
            _ => Ok(()),
        }
    }
}

impl Source {
    fn new(journal: Arc<Journal>, leftover: bool) -> Self {
        Self { journal, cursor: None, progress: vec![None; Stream::ALL.len()], leftover }
    }

    async fn flush(&mut self, tables: &[(Stream, Arc<WrittenTable>)], faults: &Faults) -> Result<(), FlushError> {
        loop {
            let (records, end) = self.read().await?;
            for (at, (stream, table)) in tables.iter().enumerate() {
                let of_stream: Vec<Record> =
                    records.iter().filter(|record| record.stream == stream.number()).cloned().collect();
                if !of_stream.is_empty() {
                    self.bring(at, *stream, table, of_stream, faults).await?;
                }
            }
            self.cursor = end.or(self.cursor);
            if let Some(cursor) = self.cursor {
                self.journal.forget(cursor)?;
            }
            if records.is_empty() {
                return Ok(());
            }
        }
    }

    async fn read(&self) -> Result<(Vec<Record>, Option<Cursor>), FlushError> {
        let (journal, cursor) = (Arc::clone(&self.journal), self.cursor);
        let read = spawn_blocking(move || journal.read(cursor, COMMIT_RECORDS_MAX)).await;
        Ok(read.map_err(|panic| FlushError::Internal(panic.to_string()))??)
    }

    /// Begins another segment, and removes those before.
    async fn retire(&mut self, wal: &Wal) -> Result<(), FlushError> {
        wal.rotate().await;
        let (records, end) = self.read().await?;
        if records.is_empty() {
            self.cursor = end.or(self.cursor);
            if let Some(cursor) = self.cursor {
                self.journal.forget(cursor)?;
            }
        }
        Ok(())
    }

    /// Appends to the table what of these records it does not hold yet.
    async fn bring(
        &mut self,
        at: usize,
        stream: Stream,
        table: &Arc<WrittenTable>,
        mut records: Vec<Record>,
        faults: &Faults,
    ) -> Result<(), FlushError> {
        for _ in 0..COMMITS_TRIED_MAX {
            let progress = match self.progress[at] {
                Some(progress) => progress,
                None => self.progress(stream, table).await?,
            };
            self.progress[at] = Some(progress);
            records.retain(|record| progress.last.is_none_or(|last| record.sequence > last));
            let Some(last) = records.last().map(|record| record.sequence) else { return Ok(()) };
            let (schema, journal, taken) = (stream.schema(), Arc::clone(&self.journal), records.clone());
            let rows = spawn_blocking(move || accepted(&taken, &schema, &journal)).await;
            let rows = rows.map_err(|panic| FlushError::Internal(panic.to_string()))??;
            let add = if rows.num_rows() == 0 { Vec::new() } else { vec![table.write(rows).await?] };
            faults.pass(Step::Commit)?;
            let changes = NewCommit {
                operation: "WRITE",
                add,
                remove: Vec::new(),
                transaction: Some((self.journal.id, last)),
                changes_data: true,
            };
            // known again once it is certain
            self.progress[at] = None;
            match table.commit_after(progress.base, &changes).await? {
                Committed::At(version) => {
                    self.progress[at] = Some(Progress { base: version, last: Some(last) });
                    return Ok(());
                }
                Committed::Outdated | Committed::Gone => {
                    for file in &changes.add {
                        table.discard(file).await;
                    }
                }
            }
        }
        Err(FlushError::Internal(format!("{COMMITS_TRIED_MAX} commits were outdated")))
    }

    async fn progress(&self, stream: Stream, table: &WrittenTable) -> Result<Progress, FlushError> {
        table.ensure(&stream.schema(), &super::properties(STREAM_HISTORY)).await?;
        let newest = table.newest().await?;
        let newest = newest.ok_or_else(|| FlushError::Internal("a table that was made is not there".into()))?;
        Ok(Progress { base: newest.version, last: table.transaction(self.journal.id).await? })
    }
}

/// The records as rows. One that its table does not take must not hold up all others: it is set aside.
fn accepted(
    records: &[Record],
    schema: &datafusion::arrow::datatypes::SchemaRef,
    journal: &Journal,
) -> Result<datafusion::arrow::array::RecordBatch, FlushError> {
    let payloads = |records: &[Record]| rows::to_rows(records.iter().map(|record| record.payload.as_slice()), schema);
    if let Ok(rows) = payloads(records) {
        return Ok(rows);
    }
    let mut good = Vec::with_capacity(records.len());
    for record in records {
        match payloads(std::slice::from_ref(record)) {
            Ok(_) => good.push(record.clone()),
            Err(cause) => {
                journal.set_aside(record)?;
                tracing::error!(%cause, sequence = record.sequence, "a record does not fit its table and is set aside beside the write-ahead file");
            }
        }
    }
    payloads(&good).map_err(|error| FlushError::Internal(error.to_string()))
}
