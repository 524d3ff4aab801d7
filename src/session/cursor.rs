//! A query's rows and a place among them: what a portal and a cursor fetch from.
//!
//! Follows PostgreSQL 15's `pquery.c` (`DoPortalRunFetch`, `PortalRunSelect`) and SQL commands DECLARE, FETCH and MOVE. Rows
//! that may be fetched again are kept, up to a limit; a plain portal keeps nothing and streams. Policy is looked at again
//! before every batch that leaves.

use std::collections::VecDeque;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::StreamExt;

use super::budget::{Budget, Held};
use super::kept::{compact, value_bytes};
use crate::engine::share::Share;
use crate::error::{Error, Result, SqlState};
use crate::statement::classify::{Direction, FETCH_ALL};
use crate::statement::guard::Guard;
use crate::statement::{Rows, from_engine};

/// Bytes of rows that a cursor keeps which was declared without a word about scrolling. When there are more it forgets
/// them all and goes on forward only, as PostgreSQL's does whose plan cannot run backward.
const UNASKED_BYTES_MAX: usize = 4 << 20;

/// Whether a cursor can go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scroll {
    /// NO SCROLL, and every portal of the extended protocol.
    No,
    /// As long as there is little to keep.
    Unasked,
    Yes,
}

/// Rows and a place among them.
pub struct Cursor {
    pub schema: SchemaRef,
    /// First word of the tag when it is run as a portal.
    pub tag: &'static str,
    /// `None` once it ended.
    stream: Option<SendableRecordBatchStream>,
    /// Taken from the stream and not passed yet, where rows are not kept.
    ahead: Option<RecordBatch>,
    guard: Option<Guard>,
    kept: Kept,
    scroll: Scroll,
    /// Keeps rows although it cannot go back: its transaction is over.
    held: bool,
    /// How many rows it is past (`portalPos`).
    position: u64,
    at_start: bool,
    at_end: bool,
}

/// Rows that were taken from the stream, in order.
struct Kept {
    /// Number of the first, counted from 0.
    first: u64,
    batches: VecDeque<KeptBatch>,
    bytes: usize,
    /// What they take of the principal's memory.
    memory: Option<MemoryReservation>,
}

struct KeptBatch {
    /// Number of its first row.
    first: u64,
    rows: RecordBatch,
    /// Their place in the session's budget.
    _held: Held,
}

/// One FETCH or MOVE, as far as it has come.
pub struct Run {
    steps: VecDeque<Step>,
    /// Rows that the last step passed: the tag's number.
    pub passed: u64,
}

#[derive(Clone, Copy)]
struct Step {
    forward: bool,
    /// Rows left to pass; `None` for all.
    left: Option<u64>,
    shown: bool,
    begun: bool,
}

impl Step {
    fn new(forward: bool, count: i64, shown: bool) -> Self {
        let left = if count == FETCH_ALL { None } else { Some(u64::try_from(count).unwrap_or(0)) };
        Self { forward, left, shown, begun: false }
    }
}

impl Cursor {
    /// A portal's rows: each is fetched once.
    pub fn streaming(rows: Rows) -> Self {
        Self::new(rows, Scroll::No, None)
    }

    /// A declared cursor's rows. What is kept of them is counted as `share`'s memory.
    pub fn keeping(rows: Rows, scroll: Scroll, share: &Share) -> Self {
        let memory = MemoryConsumer::new("cursor").register(&share.runtime().memory_pool);
        Self::new(rows, scroll, Some(memory))
    }

    fn new(rows: Rows, scroll: Scroll, memory: Option<MemoryReservation>) -> Self {
        Self {
            schema: rows.schema,
            tag: rows.tag,
            stream: Some(rows.stream),
            ahead: None,
            guard: rows.guard,
            kept: Kept { first: 0, batches: VecDeque::new(), bytes: 0, memory },
            scroll,
            held: false,
            position: 0,
            at_start: true,
            at_end: false,
        }
    }

    /// All rows from here on, or as many as `rows_max` says.
    pub fn forward(rows_max: Option<u64>) -> Run {
        let step = Step { forward: true, left: rows_max, shown: true, begun: false };
        Run { steps: VecDeque::from([step]), passed: 0 }
    }

    /// Begins a FETCH (`shown`) or a MOVE.
    ///
    /// # Errors
    /// `55000` when it would have to go back and cannot.
    pub fn fetch(&mut self, direction: Direction, count: i64, shown: bool) -> Result<Run> {
        let steps = match direction {
            Direction::Forward if count < 0 => return self.along(false, opposite(count), shown),
            Direction::Forward => return self.along(true, count, shown),
            Direction::Backward if count < 0 => return self.along(true, opposite(count), shown),
            Direction::Backward => return self.along(false, count, shown),
            Direction::Absolute if count > 0 => {
                let mut steps = Vec::new();
                let place = count.unsigned_abs();
                if place - 1 <= self.position / 2 {
                    self.rewind()?;
                    if count > 1 {
                        steps.push(Step::new(true, count - 1, false));
                    }
                } else {
                    let here = self.position + u64::from(self.at_end);
                    if place <= here {
                        steps.push(Step::new(false, signed(here - place + 1), false));
                    } else if place > here + 1 {
                        steps.push(Step::new(true, signed(place - here - 1), false));
                    }
                }
                steps.push(Step::new(true, 1, shown));
                steps
            }
            Direction::Absolute if count < 0 => {
                let mut steps = vec![Step::new(true, FETCH_ALL, false)];
                if count < -1 {
                    steps.push(Step::new(false, opposite(count) - 1, false));
                }
                steps.push(Step::new(false, 1, shown));
                steps
            }
            Direction::Absolute => {
                self.rewind()?;
                Vec::new()
            }
            Direction::Relative if count > 0 => vec![Step::new(true, count - 1, false), Step::new(true, 1, shown)],
            Direction::Relative if count < 0 => {
                vec![Step::new(false, opposite(count) - 1, false), Step::new(false, 1, shown)]
            }
            Direction::Relative => return self.along(true, 0, shown),
        };
        self.begin(steps, 0)
    }

    /// A run of these steps. That it cannot go back is said before it goes anywhere.
    fn begin(&self, steps: Vec<Step>, passed: u64) -> Result<Run> {
        if self.scroll == Scroll::No && steps.iter().any(|step| !step.forward) {
            return Err(forward_only());
        }
        Ok(Run { steps: steps.into(), passed })
    }

    /// Forward or backward by `count` rows, which is not negative.
    fn along(&mut self, forward: bool, count: i64, shown: bool) -> Result<Run> {
        let on_row = !self.at_start && !self.at_end;
        if count == 0 {
            // the row where it stands is fetched again, if there is one
            return match (on_row, shown) {
                (true, true) => self.begin(vec![Step::new(false, 1, false), Step::new(true, 1, true)], 0),
                (true, false) => self.begin(Vec::new(), 1),
                (false, _) => self.begin(Vec::new(), 0),
            };
        }
        if !forward && count == FETCH_ALL && !shown {
            let passed = if self.at_end { self.position } else { self.position.saturating_sub(1) };
            self.rewind()?;
            return self.begin(Vec::new(), passed);
        }
        self.begin(vec![Step::new(forward, count, shown)], 0)
    }

    fn rewind(&mut self) -> Result<()> {
        if self.at_start && !self.at_end {
            return Ok(());
        }
        if self.scroll == Scroll::No {
            return Err(forward_only());
        }
        (self.position, self.at_start, self.at_end) = (0, true, false);
        Ok(())
    }

    /// The next rows of a run, at most `rows_max`; `None` when it is done. Not cancel safe: a cursor whose run was
    /// dropped in the middle is to be dropped too.
    ///
    /// # Errors
    /// `55000` when it would have to go back and cannot, `53400` when there is too much to keep, `42501` when access
    /// changed, and what the query itself gives.
    pub async fn next(&mut self, run: &mut Run, rows_max: u64, budget: &Budget) -> Result<Option<RecordBatch>> {
        // MOVE shows no rows, but tells how many there are
        self.check().await?;
        while let Some(step) = run.steps.front_mut() {
            if !step.begun {
                step.begun = true;
                run.passed = 0;
                if !step.forward && self.scroll == Scroll::No {
                    return Err(forward_only());
                }
                if (step.forward && self.at_end) || (!step.forward && self.at_start) {
                    step.left = Some(0);
                }
            }
            if step.left == Some(0) {
                run.steps.pop_front();
                continue;
            }
            let wanted = if step.shown { rows_max } else { u64::MAX };
            let wanted = step.left.map_or(wanted, |left| left.min(wanted));
            let passed =
                if step.forward { self.pass_forward(wanted, budget).await? } else { self.pass_backward(wanted) };
            let Some(batch) = passed else {
                if step.forward {
                    self.at_end = true;
                } else {
                    (self.at_start, self.position) = (true, 0);
                }
                run.steps.pop_front();
                continue;
            };
            let count = batch.num_rows() as u64;
            step.left = step.left.map(|left| left - count);
            run.passed += count;
            if step.shown {
                self.check().await?;
                return Ok(Some(batch));
            }
        }
        self.check().await?;
        Ok(None)
    }

    /// Whether what it was allowed to read when it began it still may.
    async fn check(&mut self) -> Result<()> {
        match &mut self.guard {
            Some(guard) => guard.check().await,
            None => Ok(()),
        }
    }

    async fn pass_forward(&mut self, wanted: u64, budget: &Budget) -> Result<Option<RecordBatch>> {
        let batch = loop {
            if let Some(batch) = self.kept.from(self.position, wanted) {
                break Some(batch);
            }
            let pulled = match self.ahead.take() {
                Some(batch) => Some(batch),
                None => self.pull().await?,
            };
            let Some(batch) = pulled else { break None };
            if self.keeps() && self.keep(&batch, budget)? {
                continue;
            }
            let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(batch.num_rows());
            if count < batch.num_rows() {
                self.ahead = Some(batch.slice(count, batch.num_rows() - count));
            }
            break Some(batch.slice(0, count));
        };
        if let Some(batch) = &batch {
            self.at_start = false;
            self.position += batch.num_rows() as u64;
        }
        Ok(batch)
    }

    /// One row: going back is rare.
    fn pass_backward(&mut self, wanted: u64) -> Option<RecordBatch> {
        let before = if self.at_end { self.position } else { self.position.saturating_sub(1) };
        if wanted == 0 || before == 0 {
            return None;
        }
        let row = self.kept.from(before - 1, 1)?;
        (self.at_end, self.position) = (false, before);
        Some(row)
    }

    fn keeps(&self) -> bool {
        self.held || self.scroll != Scroll::No
    }

    /// Keeps rows that come next. `false` when they are too many for a cursor of which nobody asked it.
    fn keep(&mut self, batch: &RecordBatch, budget: &Budget) -> Result<bool> {
        let bytes = value_bytes(batch);
        if self.scroll == Scroll::Unasked && !self.held && self.kept.bytes + bytes > UNASKED_BYTES_MAX {
            self.scroll = Scroll::No;
            self.kept.forget(self.position);
            return Ok(false);
        }
        let held = budget.take(bytes)?;
        if let Some(memory) = &self.kept.memory {
            memory.try_grow(bytes).map_err(from_engine)?;
        }
        self.kept.push(compact(batch), bytes, held);
        Ok(true)
    }

    async fn pull(&mut self) -> Result<Option<RecordBatch>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            match stream.next().await {
                None => {
                    // its place among the running statements is another's now
                    self.stream = None;
                    return Ok(None);
                }
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => return Ok(Some(batch)),
                Some(Err(error)) => return Err(from_engine(error)),
            }
        }
    }

    /// Takes what is left of the query in, so that the cursor outlives its transaction (`PersistHoldablePortal`).
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn hold(&mut self, budget: &Budget) -> Result<()> {
        self.held = true;
        if self.scroll == Scroll::No {
            self.kept.forget(self.position);
        }
        if let Some(batch) = self.ahead.take() {
            self.keep(&batch, budget)?;
        }
        while let Some(batch) = self.pull().await? {
            self.keep(&batch, budget)?;
        }
        Ok(())
    }

    pub fn is_scrollable(&self) -> bool {
        self.scroll != Scroll::No
    }
}

impl Kept {
    /// Rows from this number on, at most `count` and all of one batch.
    fn from(&self, number: u64, count: u64) -> Option<RecordBatch> {
        let after = self.batches.partition_point(|batch| batch.first <= number);
        let batch = self.batches.get(after.checked_sub(1)?)?;
        let offset = usize::try_from(number - batch.first).ok().filter(|offset| *offset < batch.rows.num_rows())?;
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(batch.rows.num_rows() - offset);
        Some(batch.rows.slice(offset, count))
    }

    fn push(&mut self, rows: RecordBatch, bytes: usize, held: Held) {
        let last = self.batches.back().map(|batch| batch.first + batch.rows.num_rows() as u64);
        let first = last.unwrap_or(self.first);
        self.bytes += bytes;
        self.batches.push_back(KeptBatch { first, rows, _held: held });
    }

    /// Drops everything; the next row to be kept has this number.
    fn forget(&mut self, next: u64) {
        (self.first, self.bytes) = (next, 0);
        self.batches.clear();
        if let Some(memory) = &self.memory {
            memory.free();
        }
    }
}

fn opposite(count: i64) -> i64 {
    count.checked_neg().unwrap_or(FETCH_ALL)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(FETCH_ALL)
}

fn forward_only() -> Error {
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
        .hint("Declare it with SCROLL option to enable backward scan.")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array};
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    use super::*;

    /// The rows 1 to `rows`, three in a batch.
    fn cursor(rows: i64, scroll: Scroll) -> Cursor {
        let batch = |values: &[i64]| {
            let array: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
            RecordBatch::try_from_iter([("n", array)]).unwrap()
        };
        let all: Vec<i64> = (1..=rows).collect();
        let batches: Vec<_> = all.chunks(3).map(|values| Ok(batch(values))).collect();
        let schema = batch(&[]).schema();
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), futures::stream::iter(batches));
        Cursor::new(Rows { schema, stream: Box::pin(stream), tag: "SELECT", guard: None, notice: None }, scroll, None)
    }

    /// What FETCH shows and its tag counts.
    async fn fetched(cursor: &mut Cursor, direction: Direction, count: i64, shown: bool) -> Result<(Vec<i64>, u64)> {
        let budget = Budget::default();
        let mut run = cursor.fetch(direction, count, shown)?;
        let mut rows = Vec::new();
        while let Some(batch) = cursor.next(&mut run, u64::MAX, &budget).await? {
            rows.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        }
        Ok((rows, run.passed))
    }

    #[tokio::test]
    async fn it_goes_every_way() {
        use Direction::{Absolute, Backward, Forward, Relative};
        let mut c = cursor(5, Scroll::Yes);
        for (direction, count, rows) in [
            (Backward, 1, &[][..]),
            (Forward, 2, &[1, 2]),
            (Forward, 0, &[2]),
            (Relative, 0, &[2]),
            (Backward, 1, &[1]),
            (Backward, 1, &[]),
            (Forward, FETCH_ALL, &[1, 2, 3, 4, 5]),
            (Forward, 1, &[]),
            (Forward, 0, &[]),
            (Backward, 2, &[5, 4]),
            (Forward, -2, &[3, 2]),
            (Backward, -2, &[3, 4]),
            (Absolute, 5, &[5]),
            (Absolute, 1, &[1]),
            (Absolute, -2, &[4]),
            (Absolute, 9, &[]),
            (Absolute, -9, &[]),
            (Relative, 3, &[3]),
            (Relative, -2, &[1]),
            (Absolute, 0, &[]),
            (Forward, 1, &[1]),
            (Absolute, -1, &[5]),
            (Backward, FETCH_ALL, &[4, 3, 2, 1]),
            (Forward, 1, &[1]),
        ] {
            let found = fetched(&mut c, direction, count, true).await.unwrap();
            assert_eq!(found, (rows.to_vec(), rows.len() as u64), "{direction:?} {count}");
        }
    }

    #[tokio::test]
    async fn move_counts_and_shows_nothing() {
        use Direction::{Absolute, Backward, Forward};
        let mut c = cursor(5, Scroll::Yes);
        for (direction, count, passed) in [
            (Forward, 0, 0),
            (Forward, 3, 3),
            (Forward, 0, 1),
            (Backward, FETCH_ALL, 2),
            (Forward, FETCH_ALL, 5),
            (Backward, FETCH_ALL, 5),
            (Absolute, 4, 1),
            (Absolute, 0, 0),
            (Absolute, 7, 0),
        ] {
            let found = fetched(&mut c, direction, count, false).await.unwrap();
            assert_eq!(found, (Vec::new(), passed), "{direction:?} {count}");
        }
    }

    #[tokio::test]
    async fn without_scroll_it_only_goes_forward() {
        use Direction::{Absolute, Backward, Forward};
        let mut c = cursor(5, Scroll::No);
        assert_eq!(fetched(&mut c, Absolute, 2, true).await.unwrap().0, [2]);
        assert_eq!(fetched(&mut c, Absolute, 4, true).await.unwrap().0, [4]);
        for (direction, count) in [(Backward, 1), (Forward, 0), (Absolute, 1), (Absolute, 0), (Backward, FETCH_ALL)] {
            let error = fetched(&mut c, direction, count, true).await.unwrap_err();
            assert_eq!(error.sqlstate(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{direction:?} {count}");
        }
        assert_eq!(fetched(&mut c, Forward, FETCH_ALL, true).await.unwrap().0, [5]);
    }

    #[tokio::test]
    async fn a_held_cursor_goes_on_where_it_was() {
        use Direction::{Absolute, Backward, Forward};
        for scroll in [Scroll::No, Scroll::Unasked, Scroll::Yes] {
            let mut c = cursor(5, scroll);
            assert_eq!(fetched(&mut c, Forward, 2, true).await.unwrap().0, [1, 2]);
            c.hold(&Budget::default()).await.unwrap();
            assert!(c.stream.is_none());
            assert_eq!(fetched(&mut c, Forward, 2, true).await.unwrap().0, [3, 4]);
            if scroll == Scroll::No {
                assert!(fetched(&mut c, Backward, 1, true).await.is_err());
            } else {
                assert_eq!(fetched(&mut c, Absolute, 1, true).await.unwrap().0, [1]);
            }
        }
    }

    #[tokio::test]
    async fn too_much_to_keep_is_refused_or_forgotten() {
        let budget = Budget::of_cursors();
        let rest = budget.take(super::super::budget::CURSOR_BYTES_MAX - 100).unwrap();
        let mut c = cursor(60, Scroll::Yes);
        let mut run = Cursor::forward(None);
        let error = loop {
            match c.next(&mut run, u64::MAX, &budget).await {
                Ok(batch) => assert!(batch.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(error.sqlstate(), SqlState::CONFIGURATION_LIMIT_EXCEEDED);
        drop(rest);
    }

    #[tokio::test]
    async fn a_run_may_be_cut_in_parts() {
        let mut c = cursor(7, Scroll::No);
        let (budget, mut run) = (Budget::default(), Cursor::forward(Some(6)));
        let mut counts = Vec::new();
        while let Some(batch) = c.next(&mut run, 2, &budget).await.unwrap() {
            counts.push(batch.num_rows());
        }
        assert_eq!((counts, run.passed), (vec![2, 1, 2, 1], 6));
    }
}
