//! One immutable, validated state of the whole catalog, with the lookups that every statement makes.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};

use super::load::Loaded;
use super::model::{Catalog, Problem, Product, ProductId, User};
use super::oids::Oids;

/// A generation of the catalog. A running statement holds one and sees no other.
///
/// INVARIANT: nothing in it changes after [`Snapshot::new`].
#[derive(Debug)]
pub struct Snapshot {
    /// Counts from 1; a change of the folder's meaning makes the next.
    pub generation: u64,
    pub loaded_at: DateTime<Utc>,
    pub catalog: Catalog,
    /// What was found wrong in the same load; errors only where no good state had been loaded before.
    pub problems: Vec<Problem>,
    /// Made with the first question.
    oids: OnceLock<Oids>,
}

impl Snapshot {
    /// Freezes what a load yielded.
    pub fn new(generation: u64, loaded_at: DateTime<Utc>, loaded: Loaded) -> Arc<Self> {
        let Loaded { catalog, problems } = loaded;
        Arc::new(Self { generation, loaded_at, catalog, problems, oids: OnceLock::new() })
    }

    /// The OIDs of the catalog's objects, visible or not.
    pub fn oids(&self) -> &Oids {
        self.oids.get_or_init(|| Oids::of(&self.catalog))
    }

    pub fn product(&self, id: &ProductId) -> Option<&Product> {
        self.catalog.products.get(id)
    }

    pub fn user(&self, name: &str) -> Option<&User> {
        self.catalog.users.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{init, load};

    #[test]
    fn lookups_find_what_was_loaded_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        init::init(dir.path()).unwrap();
        let snapshot = Snapshot::new(7, Utc::now(), load::load(&dir.path().join("catalog")));
        let product = |id: &str| snapshot.product(&ProductId(id.to_owned()));
        assert_eq!(product("sales.orders").map(|product| product.name.as_str()), Some("orders"));
        assert!(product("sales.nothing").is_none() && product("public.orders").is_none());
        assert!(snapshot.user("ada").is_none());
    }
}
