//! What the statements of one principal may take of what all share: memory, spill space and places to run. It knows
//! principals by their names alone.
//!
//! A limit in bytes is a share of what the others leave free, not of the whole: with 50 % the first principal gets half,
//! a second one half of the rest, and so on. However many principals ask for all that they can get, something is left for
//! the next one, and what one of them holds never fails the statement of another that asks for little.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result, SqlState};

/// How many principals' shares are kept; beyond that, those that hold nothing make room.
const SHARES_KEPT_MAX: usize = 10_000;
/// How many consumers an out-of-memory log line names.
const MEMORY_CONSUMERS_NAMED: usize = 5;
/// Stands in the engine's errors about memory that one principal may not have, so that they can be told apart.
pub const BEYOND_SHARE: &str = "more than one principal may hold";

/// What one principal may take.
#[derive(Clone, Copy, Debug)]
pub struct ShareLimits {
    /// Percent of the memory that others leave free, 1 to 100.
    pub memory_percent: u8,
    /// Percent of the spill space that others leave free, 1 to 100.
    pub spill_percent: u8,
    /// Statements that run at the same time.
    pub statements: usize,
    /// How long a statement may wait for its place among them.
    pub wait: Duration,
}

/// The shares of all principals.
pub struct Shares {
    limits: ShareLimits,
    memory: Arc<Ledger>,
    spill: Arc<Ledger>,
    /// With the engine's own memory pool and spill files, of which those of a share are parts.
    base: RuntimeEnv,
    by_principal: Mutex<HashMap<String, Arc<Share>>>,
}

/// What one principal's statements run with.
pub struct Share {
    runtime: Arc<RuntimeEnv>,
    places: Arc<Semaphore>,
    wait: Duration,
}

/// A running statement's place, given back when dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Shares {
    /// `base` is cut into shares: `memory_bytes` of memory and `spill_bytes` of its spill space.
    pub fn new(limits: ShareLimits, memory_bytes: usize, spill_bytes: u64, base: RuntimeEnv) -> Self {
        Self {
            limits,
            memory: Arc::new(Ledger::new(memory_bytes as u64, limits.memory_percent)),
            spill: Arc::new(Ledger::new(spill_bytes, limits.spill_percent)),
            base,
            by_principal: Mutex::default(),
        }
    }

    /// The share of a principal, the same for all its sessions.
    ///
    /// # Errors
    /// When the engine cannot make one.
    pub fn of(&self, principal: &str) -> Result<Arc<Share>> {
        let mut shares = self.by_principal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(principal) {
            return Ok(Arc::clone(share));
        }
        if shares.len() >= SHARES_KEPT_MAX {
            shares.retain(|_, share| share.is_used(self.limits.statements));
        }
        let share = Arc::new(self.share().map_err(Error::internal)?);
        shares.insert(principal.to_owned(), Arc::clone(&share));
        Ok(share)
    }

    fn share(&self) -> datafusion::common::Result<Share> {
        let spill = SharedSpill { disk: Arc::clone(&self.base.disk_manager), held: Arc::new(Held::of(&self.spill)) };
        let disk = DiskManagerBuilder::default().with_temp_file_factory(Arc::new(spill)).build()?;
        let runtime = RuntimeEnv { memory_pool: self.memory_pool(), disk_manager: Arc::new(disk), ..self.base.clone() };
        let places = Arc::new(Semaphore::new(self.limits.statements));
        Ok(Share { runtime: Arc::new(runtime), places, wait: self.limits.wait })
    }

    /// A new share of the memory.
    pub fn memory_pool(&self) -> Arc<dyn MemoryPool> {
        let pool = SharedPool { ledger: Arc::clone(&self.memory), own: Mutex::default() };
        let named = std::num::NonZeroUsize::new(MEMORY_CONSUMERS_NAMED).unwrap_or(std::num::NonZeroUsize::MIN);
        Arc::new(TrackConsumersPool::new(pool, named))
    }
}

impl Share {
    /// What plans run with: memory and spill files are counted as this principal's.
    pub fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// A place among the principal's running statements, in turn. Cancel safe.
    ///
    /// # Errors
    /// `53300` when none was free for as long as a statement may wait.
    pub async fn place(&self) -> Result<Place> {
        let acquired = tokio::time::timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await;
        match acquired {
            Ok(permit) => permit.map(Place).map_err(Error::internal),
            Err(_) => Err(Error::new(SqlState::TOO_MANY_CONNECTIONS, "too many statements of this user are running")
                .detail("An open cursor with rows left counts as a running statement.")
                .hint("Wait for one of them to end, or close cursors that are no longer used.")),
        }
    }

    /// Whether a statement runs or holds anything. All shares but the one in the map are with those who use them.
    fn is_used(self: &Arc<Self>, statements: usize) -> bool {
        Arc::strong_count(self) > 1
            || self.places.available_permits() < statements
            || self.runtime.memory_pool.reserved() > 0
            || Arc::strong_count(&self.runtime) > 1
    }
}

/// How many bytes of something all principals hold.
#[derive(Debug)]
struct Ledger {
    bytes_max: u64,
    percent: u8,
    held: AtomicU64,
}

impl Ledger {
    fn new(bytes_max: u64, percent: u8) -> Self {
        Self { bytes_max, percent, held: AtomicU64::new(0) }
    }

    /// Takes `additional` bytes for one who holds `own`, if `fits` says so of the bytes that the others leave and of the
    /// share of them that is this one's.
    fn take(&self, own: u64, additional: u64, fits: impl Fn(u64, u64) -> bool) -> bool {
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            let left = self.bytes_max.saturating_sub(held.saturating_sub(own));
            let share = (u128::from(left) * u128::from(self.percent) / 100) as u64;
            fits(left, share).then(|| held.saturating_add(additional))
        });
        taken.is_ok()
    }
}

/// One principal's part of the memory. Among the principal's own operators it is fair, as DataFusion's `FairSpillPool` is
/// among all: one that can spill gets an equal part of what those that cannot spill leave.
#[derive(Debug)]
struct SharedPool {
    ledger: Arc<Ledger>,
    own: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    /// How many operators can spill.
    spillers: u64,
    /// What they hold.
    spillable: u64,
    /// What the others hold.
    fixed: u64,
}

impl SharedPool {
    fn own(&self) -> MutexGuard<'_, Own> {
        // each change is complete in itself
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn part(&mut self, consumer: &MemoryConsumer) -> &mut u64 {
        if consumer.can_spill() { &mut self.spillable } else { &mut self.fixed }
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} of {} bytes)", self.name(), self.reserved(), self.ledger.bytes_max)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own().spillers += u64::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut own = self.own();
        own.spillers = own.spillers.saturating_sub(u64::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut own = self.own();
        *own.part(reservation.consumer()) += additional as u64;
        self.ledger.held.fetch_add(additional as u64, Ordering::Relaxed);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut own = self.own();
        *own.part(reservation.consumer()) -= shrink as u64;
        self.ledger.held.fetch_sub(shrink as u64, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> datafusion::common::Result<()> {
        let mut own = self.own();
        let held = own.spillable + own.fixed;
        let (size, more) = (reservation.size() as u64, additional as u64);
        let taken = self.ledger.take(held, more, |left, share| {
            if reservation.consumer().can_spill() {
                // An operator that came early may hold more than is fair now, and gives it back when it next asks for
                // more; until then a late one may go beyond the share, half way to what the others leave.
                let fair = share.saturating_sub(own.fixed) / own.spillers.max(1);
                size + more <= fair && held + more <= share + (left - share) / 2
            } else {
                held + more <= share
            }
        });
        if !taken {
            let name = reservation.consumer().name();
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{more} bytes for {name}, which holds {size} of {held} bytes, are {BEYOND_SHARE}"
            )));
        }
        *own.part(reservation.consumer()) += more;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let own = self.own();
        (own.spillable + own.fixed) as usize
    }

    fn memory_limit(&self) -> MemoryLimit {
        let bytes = u128::from(self.ledger.bytes_max) * u128::from(self.ledger.percent) / 100;
        MemoryLimit::Finite(bytes as usize)
    }
}

/// Spill files of one principal: those of the engine's disk manager, with their bytes counted as the principal's too.
struct SharedSpill {
    disk: Arc<DiskManager>,
    held: Arc<Held>,
}

/// Bytes of a ledger that one principal holds.
struct Held {
    ledger: Arc<Ledger>,
    bytes: Mutex<u64>,
}

impl Held {
    fn of(ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Arc::clone(ledger), bytes: Mutex::default() }
    }

    fn take(&self, more: u64) -> Result<()> {
        let mut own = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.ledger.take(*own, more, |_, share| *own + more <= share) {
            return Err(Error::new(SqlState::DISK_FULL, "the statement needs more spill space than one user may hold")
                .hint("Read less at a time, or run fewer statements at once."));
        }
        *own += more;
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        let mut own = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *own = own.saturating_sub(bytes);
        self.ledger.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl TempFileFactory for SharedSpill {
    fn create_temp_file(&self, description: &str) -> datafusion::common::Result<Arc<dyn SpillFile>> {
        let file = self.disk.create_tmp_file(description)?;
        let written = Arc::new(Written { held: Arc::clone(&self.held), bytes: AtomicU64::new(0) });
        Ok(Arc::new(CountedFile { file, written }))
    }
}

/// What was written to one file, given back when it is gone.
struct Written {
    held: Arc<Held>,
    bytes: AtomicU64,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.held.give_back(self.bytes.load(Ordering::Relaxed));
    }
}

struct CountedFile {
    file: Arc<dyn SpillFile>,
    written: Arc<Written>,
}

impl SpillFile for CountedFile {
    fn path(&self) -> Option<&Path> {
        self.file.path()
    }

    fn size(&self) -> Option<u64> {
        self.file.size()
    }

    fn read_stream(
        &self,
    ) -> datafusion::common::Result<Pin<Box<dyn Stream<Item = datafusion::common::Result<Bytes>> + Send>>> {
        self.file.read_stream()
    }

    fn open_writer(&self) -> datafusion::common::Result<Box<dyn SpillWriter>> {
        Ok(Box::new(CountedWriter { writer: self.file.open_writer()?, written: Arc::clone(&self.written) }))
    }
}

struct CountedWriter {
    writer: Box<dyn SpillWriter>,
    written: Arc<Written>,
}

impl Write for CountedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.held.take(bytes.len() as u64).map_err(io::Error::other)?;
        let result = self.writer.write(bytes);
        let count = result.as_ref().map_or(0, |count| *count as u64);
        self.written.bytes.fetch_add(count, Ordering::Relaxed);
        self.written.held.give_back(bytes.len() as u64 - count);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl SpillWriter for CountedWriter {
    fn finish(&mut self) -> datafusion::common::Result<()> {
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ShareLimits =
        ShareLimits { memory_percent: 50, spill_percent: 50, statements: 2, wait: Duration::from_millis(20) };

    fn shares(memory: usize, spill: u64) -> Shares {
        Shares::new(LIMITS, memory, spill, RuntimeEnv::default())
    }

    fn fixed(share: &Share) -> MemoryReservation {
        MemoryConsumer::new("fixed").register(&share.runtime().memory_pool)
    }

    fn spiller(share: &Share) -> MemoryReservation {
        MemoryConsumer::new("spiller").with_can_spill(true).register(&share.runtime().memory_pool)
    }

    #[test]
    fn each_gets_its_share_of_what_the_others_leave() {
        let shares = shares(1_000, 0);
        let (ann, bob, cat) = (shares.of("ann").unwrap(), shares.of("bob").unwrap(), shares.of("cat").unwrap());
        let (a, b, c) = (fixed(&ann), fixed(&bob), fixed(&cat));
        a.try_grow(500).unwrap();
        let refused = a.try_grow(1).unwrap_err();
        assert!(matches!(&refused, DataFusionError::ResourcesExhausted(text) if text.contains(BEYOND_SHARE)));
        b.try_grow(250).unwrap();
        assert!(b.try_grow(1).is_err() && fixed(&bob).try_grow(1).is_err(), "one principal, one share");
        c.try_grow(125).unwrap();
        assert!(c.try_grow(1).is_err());
        drop(a);
        c.try_grow(250).unwrap();
        assert!(c.try_grow(1).is_err(), "half of the 750 that bob leaves");
        drop((b, c));
        assert_eq!(shares.memory.held.load(Ordering::Relaxed), 0);
        fixed(&bob).try_grow(500).unwrap();
    }

    #[test]
    fn operators_that_spill_share_fairly() {
        let shares = shares(1_000, 0);
        let ann = shares.of("ann").unwrap();
        let first = spiller(&ann);
        first.try_grow(500).unwrap();
        assert!(first.try_grow(1).is_err());
        // a late one gets its part although the first has not given back
        let second = spiller(&ann);
        second.try_grow(250).unwrap();
        assert!(second.try_grow(1).is_err() && first.try_grow(1).is_err());
        // but nothing goes beyond half of what is left to others
        let third = spiller(&ann);
        assert!(third.try_grow(1).is_err());
        assert!(fixed(&shares.of("bob").unwrap()).try_grow(125).is_ok(), "others find room");
        first.free();
        third.try_grow(100).unwrap();
        drop(second);
        third.try_grow(100).unwrap();
    }

    #[test]
    fn the_whole_is_never_exceeded() {
        let all = ShareLimits { memory_percent: 100, ..LIMITS };
        let shares = Shares::new(all, 1_000, 0, RuntimeEnv::default());
        let (a, b) = (fixed(&shares.of("ann").unwrap()), fixed(&shares.of("bob").unwrap()));
        a.try_grow(1_000).unwrap();
        assert!(b.try_grow(1).is_err());
        a.shrink(1);
        b.try_grow(1).unwrap();
        // what must be granted is counted, and no more is given until it is back
        b.grow(5_000);
        assert!(a.try_grow(1).is_err() && b.try_grow(1).is_err());
        b.shrink(5_000);
        a.shrink(1);
        a.try_grow(1).unwrap();
    }

    #[test]
    fn spill_space_is_shared_and_given_back() {
        let shares = shares(0, 1_000);
        let ann = shares.of("ann").unwrap();
        let file = ann.runtime().disk_manager.create_tmp_file("a test").unwrap();
        let mut writer = file.open_writer().unwrap();
        writer.write_all(&[7; 500]).unwrap();
        let refused = writer.write_all(&[7; 1]).unwrap_err();
        let own = refused.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).unwrap();
        assert_eq!(own.sqlstate(), SqlState::DISK_FULL);
        let bob = shares.of("bob").unwrap().runtime().disk_manager.create_tmp_file("a test").unwrap();
        bob.open_writer().unwrap().write_all(&[7; 250]).unwrap();
        assert_eq!(file.size(), Some(500));
        drop(writer);
        drop(file);
        bob.open_writer().unwrap().write_all(&[7; 250]).unwrap();
        drop(bob);
        assert_eq!(shares.spill.held.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn statements_wait_for_their_turn_for_a_while() {
        let shares = shares(0, 0);
        let ann = shares.of("ann").unwrap();
        let (first, _second) = (ann.place().await.unwrap(), ann.place().await.unwrap());
        let refused = ann.place().await.unwrap_err();
        assert_eq!(refused.sqlstate(), SqlState::TOO_MANY_CONNECTIONS);
        assert!(refused.report().hint.is_some());
        assert!(shares.of("bob").unwrap().place().await.is_ok());
        let (waited, ()) = tokio::join!(ann.place(), async { drop(first) });
        assert!(waited.is_ok());
    }

    #[tokio::test]
    async fn what_is_used_is_kept() {
        let shares = shares(1_000, 0);
        let busy = shares.of("busy").unwrap();
        let held = fixed(&busy);
        held.try_grow(10).unwrap();
        drop(busy);
        let place = shares.of("placed").unwrap().place().await.unwrap();
        for number in 0..SHARES_KEPT_MAX {
            shares.of(&format!("user{number}")).unwrap();
        }
        let kept = shares.by_principal.lock().unwrap();
        assert!(kept.len() <= SHARES_KEPT_MAX && kept.contains_key("busy") && kept.contains_key("placed"));
        drop((kept, held, place));
    }
}
