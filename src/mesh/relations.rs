//! Relations of `data_catalog` as they were last built, kept while nothing they depend on changes and while there is room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;

use super::SingleFlight;
use crate::access::fingerprint::Fingerprint;
use crate::error::Result;

/// Bytes of all kept relations together; the least recently used make room. A relation that is larger is not kept.
const RELATION_BYTES_MAX: usize = 256 << 20;
/// Kept relations, so that finding the least recently used one stays short.
const RELATIONS_KEPT_MAX: usize = 4_096;

/// Everything that the rows of a relation depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelationKey {
    pub name: &'static str,
    pub generation: u64,
    pub principal: Fingerprint,
    /// `None` for a relation that does not read scores.
    pub scores_epoch: Option<u64>,
    /// `None` for a relation that does not tell the columns of tables.
    pub columns_epoch: Option<u64>,
}

/// INVARIANT: a key holds the principal, so no principal is ever given another's rows.
pub struct RelationCache {
    bytes_max: usize,
    kept: Mutex<Kept>,
    building: SingleFlight<RelationKey, RecordBatch>,
}

impl Default for RelationCache {
    fn default() -> Self {
        Self::with_bytes_max(RELATION_BYTES_MAX)
    }
}

impl RelationCache {
    fn with_bytes_max(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default(), building: SingleFlight::default() }
    }

    pub fn get(&self, key: &RelationKey) -> Option<RecordBatch> {
        let mut kept = self.lock();
        kept.clock += 1;
        let now = kept.clock;
        let relation = kept.relations.get_mut(key)?;
        relation.used = now;
        Some(relation.batch.clone())
    }

    /// The relation as it is kept, or as `build` makes it on a thread that may block: once for all who ask meanwhile.
    /// Whoever stops waiting stops nobody else.
    ///
    /// # Errors
    /// What `build` answers.
    pub async fn get_or_build<F>(self: &Arc<Self>, key: RelationKey, build: F) -> Result<RecordBatch>
    where
        F: FnOnce() -> Result<RecordBatch> + Send + 'static,
    {
        let (cache, wanted) = (Arc::clone(self), key.clone());
        let work = move || match cache.get(&wanted) {
            Some(batch) => Ok(batch),
            None => Ok(cache.keep(wanted, build()?)),
        };
        self.building.join(key, work).await
    }

    /// Keeps a relation and returns it. What is of an older generation, or of older measurements, goes.
    fn keep(&self, key: RelationKey, batch: RecordBatch) -> RecordBatch {
        let bytes = batch.get_array_memory_size();
        let mut kept = self.lock();
        if kept.advance_to(&key) && bytes <= self.bytes_max {
            kept.insert(key, batch.clone(), bytes);
            while kept.bytes > self.bytes_max || kept.relations.len() > RELATIONS_KEPT_MAX {
                kept.drop_least_recently_used();
            }
        }
        batch
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // nothing here can panic between two changes that belong together
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Kept {
    relations: HashMap<RelationKey, Relation>,
    /// Of all relations.
    bytes: usize,
    /// The newest that anything was kept for.
    newest: Newest,
    /// Grows with every use.
    clock: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Newest {
    generation: u64,
    scores_epoch: u64,
    columns_epoch: u64,
}

struct Relation {
    batch: RecordBatch,
    bytes: usize,
    /// The clock when it was last used.
    used: u64,
}

impl Kept {
    /// Drops what nobody asks for any more. Whether the key itself is of the newest generation and measurements: a long
    /// statement may still build for older ones.
    fn advance_to(&mut self, key: &RelationKey) -> bool {
        let before = self.newest;
        let newest = Newest {
            generation: before.generation.max(key.generation),
            scores_epoch: before.scores_epoch.max(key.scores_epoch.unwrap_or_default()),
            columns_epoch: before.columns_epoch.max(key.columns_epoch.unwrap_or_default()),
        };
        if newest != before {
            self.newest = newest;
            self.relations.retain(|old, _| newest.is_of(old));
            self.bytes = self.relations.values().map(|relation| relation.bytes).sum();
        }
        newest.is_of(key)
    }

    fn insert(&mut self, key: RelationKey, batch: RecordBatch, bytes: usize) {
        self.clock += 1;
        self.bytes += bytes;
        let replaced = self.relations.insert(key, Relation { batch, bytes, used: self.clock });
        self.bytes -= replaced.map_or(0, |relation| relation.bytes);
    }

    fn drop_least_recently_used(&mut self) {
        let oldest = self.relations.iter().min_by_key(|(_, relation)| relation.used).map(|(key, _)| key.clone());
        let dropped = oldest.and_then(|oldest| self.relations.remove(&oldest));
        self.bytes -= dropped.map_or(self.bytes, |relation| relation.bytes);
    }
}

impl Newest {
    fn is_of(&self, key: &RelationKey) -> bool {
        key.generation == self.generation
            && key.scores_epoch.is_none_or(|epoch| epoch == self.scores_epoch)
            && key.columns_epoch.is_none_or(|epoch| epoch == self.columns_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::principal::Principal;
    use crate::catalog::model::User;
    use crate::error::Error;
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    fn key(user: &str, generation: u64, scores_epoch: Option<u64>) -> RelationKey {
        let user = User {
            name: user.to_owned(),
            scram: None,
            groups: Vec::new(),
            attributes: std::collections::BTreeMap::new(),
            roles: Vec::new(),
        };
        RelationKey {
            name: "products",
            generation,
            principal: Principal::from(&user).fingerprint(),
            scores_epoch,
            columns_epoch: None,
        }
    }

    fn batch() -> RecordBatch {
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![7; 1_000]))]).unwrap()
    }

    #[test]
    fn a_relation_is_kept_for_its_principal_and_its_moment() {
        let cache = RelationCache::default();
        cache.keep(key("ann", 1, Some(1)), batch());
        assert!(cache.get(&key("ann", 1, Some(1))).is_some());
        assert!(cache.get(&key("bob", 1, Some(1))).is_none());
        assert!(cache.get(&key("ann", 2, Some(1))).is_none());
        assert!(cache.get(&key("ann", 1, Some(2))).is_none());
        assert!(cache.get(&key("ann", 1, None)).is_none());
    }

    #[test]
    fn what_is_older_goes_at_once() {
        let cache = RelationCache::default();
        let (old_scores, no_scores) = (key("ann", 1, Some(1)), key("ann", 1, None));
        cache.keep(old_scores.clone(), batch());
        cache.keep(no_scores.clone(), batch());
        cache.keep(key("bob", 1, Some(2)), batch());
        assert!(cache.get(&old_scores).is_none(), "new measurements");
        assert!(cache.get(&no_scores).is_some(), "it does not read measurements");
        assert_eq!(cache.lock().bytes, 2 * batch().get_array_memory_size());
        cache.keep(key("bob", 2, None), batch());
        assert_eq!(cache.lock().relations.len(), 1, "a new generation");
        assert_eq!(cache.lock().bytes, batch().get_array_memory_size());
        for late in [no_scores, key("ann", 2, Some(1))] {
            assert_eq!(cache.keep(late.clone(), batch()).num_rows(), 1_000);
            assert!(cache.get(&late).is_none(), "{late:?} came too late");
        }
    }

    #[test]
    fn new_columns_drop_what_tells_of_columns() {
        let cache = RelationCache::default();
        let of = |user, columns_epoch| RelationKey { columns_epoch, ..key(user, 1, None) };
        cache.keep(of("ann", None), batch());
        cache.keep(of("ann", Some(1)), batch());
        cache.keep(of("bob", Some(2)), batch());
        assert!(cache.get(&of("ann", None)).is_some());
        assert!(cache.get(&of("ann", Some(1))).is_none());
        assert!(cache.get(&of("bob", Some(2))).is_some());
    }

    #[test]
    fn the_least_recently_used_make_room() {
        let one = batch().get_array_memory_size();
        let cache = RelationCache::with_bytes_max(2 * one);
        let [ann, bob, cat] = ["ann", "bob", "cat"].map(|user| key(user, 1, None));
        cache.keep(ann.clone(), batch());
        cache.keep(ann.clone(), batch());
        assert_eq!(cache.lock().bytes, one, "kept twice, counted once");
        cache.keep(bob.clone(), batch());
        assert!(cache.get(&ann).is_some());
        cache.keep(cat.clone(), batch());
        assert_eq!(cache.lock().bytes, 2 * one);
        assert!(cache.get(&bob).is_none());
        assert!(cache.get(&ann).is_some() && cache.get(&cat).is_some());

        let small = RelationCache::with_bytes_max(one - 1);
        assert_eq!(small.keep(ann.clone(), batch()).num_rows(), 1_000);
        assert!(small.get(&ann).is_none(), "larger than all the room there is");
        assert_eq!(small.lock().bytes, 0);
    }

    #[test]
    fn there_are_never_too_many() {
        let cache = RelationCache::default();
        let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
        for number in 0..=RELATIONS_KEPT_MAX {
            cache.keep(key(&format!("user{number}"), 1, None), empty.clone());
        }
        assert_eq!(cache.lock().relations.len(), RELATIONS_KEPT_MAX);
        assert!(cache.get(&key("user0", 1, None)).is_none());
    }

    #[tokio::test]
    async fn what_is_built_is_kept_and_a_failure_is_not() {
        let cache = Arc::new(RelationCache::default());
        let failed = cache.get_or_build(key("ann", 1, None), || Err(Error::internal("no"))).await;
        assert!(failed.is_err());
        assert!(cache.get_or_build(key("ann", 1, None), || Ok(batch())).await.is_ok());
        let again = cache.get_or_build(key("ann", 1, None), || Err(Error::internal("built twice"))).await;
        assert_eq!(again.unwrap().num_rows(), 1_000);
    }
}
