//! Relations of `data_catalog` as they were last built, kept while nothing they depend on changes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;

use crate::access::fingerprint::Fingerprint;

/// How many relations are kept; when there are more, all are dropped and built again as they are asked for.
const RELATIONS_KEPT_MAX: usize = 1_024;

/// Everything that the rows of a relation depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelationKey {
    pub name: &'static str,
    pub generation: u64,
    pub principal: Fingerprint,
    pub scores_epoch: u64,
}

/// INVARIANT: a key holds the principal, so no principal is ever given another's rows.
#[derive(Default)]
pub struct RelationCache {
    kept: Mutex<HashMap<RelationKey, RecordBatch>>,
}

impl RelationCache {
    pub fn get(&self, key: &RelationKey) -> Option<RecordBatch> {
        self.lock().get(key).cloned()
    }

    /// Keeps a relation and returns it. What is older than the key's generation and measurements goes.
    pub fn keep(&self, key: RelationKey, batch: RecordBatch) -> RecordBatch {
        let mut kept = self.lock();
        if kept.len() >= RELATIONS_KEPT_MAX {
            let (generation, epoch) = (key.generation, key.scores_epoch);
            kept.retain(|old, _| old.generation == generation && old.scores_epoch == epoch);
            if kept.len() >= RELATIONS_KEPT_MAX {
                kept.clear();
            }
        }
        kept.insert(key, batch.clone());
        batch
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RelationKey, RecordBatch>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::principal::Principal;
    use crate::catalog::model::User;
    use datafusion::arrow::datatypes::Schema;
    use std::sync::Arc;

    fn key(user: &str, generation: u64, scores_epoch: u64) -> RelationKey {
        let user = User {
            name: user.to_owned(),
            scram: None,
            groups: Vec::new(),
            attributes: std::collections::BTreeMap::new(),
            roles: Vec::new(),
        };
        RelationKey { name: "products", generation, principal: Principal::from(&user).fingerprint(), scores_epoch }
    }

    #[test]
    fn a_relation_is_kept_for_its_principal_and_its_moment() {
        let cache = RelationCache::default();
        let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
        cache.keep(key("ann", 1, 1), batch);
        assert!(cache.get(&key("ann", 1, 1)).is_some());
        assert!(cache.get(&key("bob", 1, 1)).is_none());
        assert!(cache.get(&key("ann", 2, 1)).is_none());
        assert!(cache.get(&key("ann", 1, 2)).is_none());
    }

    #[test]
    fn old_moments_make_room() {
        let cache = RelationCache::default();
        let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
        for epoch in 0..=RELATIONS_KEPT_MAX as u64 {
            cache.keep(key("ann", 1, epoch), batch.clone());
        }
        assert!(cache.lock().len() <= 2);
    }
}
