//! DataFusion's way from a URL to a store, holding nothing but the open tables.
//!
//! DataFusion's default registry answers `file://` with the whole file system; a log that names `file:///…` would then
//! read whatever the server may read. This one knows the hosts that [`Tables`](super::Tables) gave out, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use url::Url;

/// The scheme of the URLs under which open tables are registered.
pub(super) const SCHEME: &str = "pgmesh";

/// Stores of open tables by host.
#[derive(Debug, Default)]
pub(super) struct StoreRegistry {
    stores: RwLock<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl StoreRegistry {
    /// The store is found under `host` until the registration, held by all who may yet open files, is dropped.
    pub(super) fn register(self: &Arc<Self>, host: String, store: Arc<dyn ObjectStore>) -> Arc<Registration> {
        let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
        stores.insert(host.clone(), store);
        Arc::new(Registration { registry: Arc::clone(self), host })
    }
}

/// One open table's place in the registry; gone with its last holder.
#[derive(Debug)]
pub(super) struct Registration {
    registry: Arc<StoreRegistry>,
    host: String,
}

impl Registration {
    /// Unique among all tables that were ever open.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut stores = self.registry.stores.write().unwrap_or_else(PoisonError::into_inner);
        stores.remove(&self.host);
    }
}

impl ObjectStoreRegistry for StoreRegistry {
    /// Nobody but [`Tables`](super::Tables) adds stores; whoever tries gets the store back that was there.
    fn register_store(&self, url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.get_store(url).ok()
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let host = url.host_str().filter(|_| url.scheme() == SCHEME);
        let Some(store) = host.and_then(|host| stores.get(host)) else {
            return exec_err!("the table's log names a file outside of the table's folder, which is not read");
        };
        Ok(Arc::clone(store))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[test]
    fn only_registered_hosts_of_our_scheme_are_answered() {
        let registry = Arc::new(StoreRegistry::default());
        let registration = registry.register("t1".to_owned(), Arc::new(InMemory::new()));
        assert!(registry.get_store(&Url::parse("pgmesh://t1/x").unwrap()).is_ok());
        for refused in ["file:///etc/passwd", "s3://t1/x", "pgmesh://t2/x", "http://t1/"] {
            assert!(registry.get_store(&Url::parse(refused).unwrap()).is_err(), "{refused}");
        }
        registry.register_store(&Url::parse("pgmesh://t3/").unwrap(), Arc::new(InMemory::new()));
        assert!(registry.get_store(&Url::parse("pgmesh://t3/").unwrap()).is_err());
        let other_holder = Arc::clone(&registration);
        drop(registration);
        assert!(registry.get_store(&Url::parse("pgmesh://t1/x").unwrap()).is_ok(), "someone may yet open files");
        drop(other_holder);
        assert!(registry.get_store(&Url::parse("pgmesh://t1/x").unwrap()).is_err());
    }
}
