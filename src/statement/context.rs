//! What a statement knows: who asks, what they see, which versions are pinned, and the session's settings.
//! It is all a statement gets; the session itself stays out of sight.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::audit::Audit;
use super::guard::Reads;
use super::listed::Listings;
use super::notify::Pending;
use crate::access::grants::Grants;
use crate::access::principal::Principal;
use crate::access::visible::Visible;
use crate::catalog::load::Loaded;
use crate::catalog::model::{Catalog, Location};
use crate::catalog::snapshot::Snapshot;
use crate::delta::{At, TableSnapshot};
use crate::engine::share::Share;
use crate::error::Result;
use crate::mesh::Mesh;
use crate::settings::Settings;

use super::system;
use super::views::{self, Views};

/// Everything that one statement may look at. Cheap to make.
#[derive(Clone)]
pub struct Context {
    pub mesh: Arc<Mesh>,
    /// One snapshot of the catalog for the whole statement.
    pub snapshot: Arc<Snapshot>,
    /// All grants that hold, whoever they are to.
    pub grants: Arc<Grants>,
    pub principal: Arc<Principal>,
    pub visible: Arc<Visible>,
    pub settings: SharedSettings,
    /// The session's own views.
    pub views: Views,
    /// What the session has open.
    pub listings: Listings,
    /// What the transaction will notify when it commits.
    pub pending: Pending,
    pub pins: Pins,
    /// Filled while the statement is bound.
    pub reads: Reads,
    /// Filled while the statement is bound, emptied when it is recorded.
    pub audit: Audit,
    /// What the principal's statements may take.
    pub share: Arc<Share>,
    /// What `now()` returns: the start of the transaction.
    pub transaction_started: DateTime<Utc>,
    pub facts: SessionFacts,
}

/// Facts about the connection that functions and the audit report.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The number that BackendKeyData gave to the client.
    pub pid: i32,
    pub database: Arc<str>,
    pub client: SocketAddr,
    /// Where the client found this server.
    pub server: SocketAddr,
    /// Unique across servers.
    pub session_id: Arc<str>,
}

/// The session's settings, shared with functions such as `set_config` that change them while a statement runs.
#[derive(Clone, Debug)]
pub struct SharedSettings(Arc<Mutex<Settings>>);

impl SharedSettings {
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Mutex::new(settings)))
    }

    /// Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, Settings> {
        // a setting is changed in one step, so a panic elsewhere leaves nothing half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Delta versions that a statement or a transaction reads: the first look at a table, as it is or as it was at a
/// moment, pins it.
#[derive(Clone, Default)]
pub struct Pins(Arc<Mutex<HashMap<Pinned, Arc<TableSnapshot>>>>);

type Pinned = (Location, Option<At>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, HashMap<Pinned, Arc<TableSnapshot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    /// The newest version of a table that this statement may read. The first caller of a transaction decides.
    ///
    /// # Errors
    /// When the table cannot be opened or refreshed.
    pub async fn table(&self, location: &Location) -> Result<Arc<TableSnapshot>> {
        let key = (location.clone(), None);
        if let Some(pinned) = self.pins.lock().get(&key) {
            return Ok(Arc::clone(pinned));
        }
        let staleness = self.snapshot.catalog.mesh.defaults.max_staleness;
        let current = self.mesh.table(location, staleness).await?;
        Ok(Arc::clone(self.pins.lock().entry(key).or_insert(current)))
    }

    /// The table as it was, by the log that ends with `newest`. What a moment stands for is pinned like the newest version.
    ///
    /// # Errors
    /// `22023` when there is no such version, or none as old.
    pub async fn table_at(
        &self,
        location: &Location,
        newest: &Arc<TableSnapshot>,
        at: At,
    ) -> Result<Arc<TableSnapshot>> {
        let key = (location.clone(), Some(at));
        if let Some(pinned) = self.pins.lock().get(&key) {
            return Ok(Arc::clone(pinned));
        }
        let then = self.mesh.table_at(location, newest, at).await?;
        Ok(Arc::clone(self.pins.lock().entry(key).or_insert(then)))
    }

    /// As of when products are read where the statement does not say (`mesh.as_of`); `None` is now.
    pub fn as_of(&self) -> Option<At> {
        self.settings.lock().as_of().map(At::Time)
    }

    /// The same for somebody who sees an empty mesh: what is made of it is the same for everybody.
    pub(super) fn of_nobody(&self) -> Self {
        let catalog = Catalog {
            mesh: self.snapshot.catalog.mesh.clone(),
            domains: BTreeMap::new(),
            products: BTreeMap::new(),
            policies: Vec::new(),
            users: BTreeMap::new(),
            groups: BTreeSet::new(),
        };
        let grants = Arc::new(Grants::default());
        let principal = Arc::new(Principal {
            name: String::new(),
            groups: Vec::new(),
            attributes: BTreeMap::new(),
            roles: Vec::new(),
        });
        let visible = Arc::new(Visible::new(&catalog, &grants, self.visible.generation(), Arc::clone(&principal)));
        let loaded = Loaded { catalog, problems: Vec::new() };
        let snapshot = Snapshot::new(self.snapshot.generation, self.snapshot.loaded_at, loaded);
        Self { snapshot, grants, principal, visible, ..self.clone() }
    }

    /// Where an unqualified name is looked for, in order: the session's views and `pg_catalog`, unless `search_path` gives
    /// them another place, the schemas of `search_path`, and the mesh's catalog if it is not among them.
    pub fn search_path(&self) -> Vec<String> {
        schemas(self.settings.lock().search_path(), &self.principal.name)
    }
}

/// `"$user"` is the schema of the user's name, as in PostgreSQL.
/// <https://www.postgresql.org/docs/15/runtime-config-client.html#GUC-SEARCH-PATH>
fn schemas(path: &[String], user: &str) -> Vec<String> {
    let resolved = path.iter().map(|schema| if schema == "$user" { user } else { schema });
    let views = (!path.iter().any(|schema| schema == views::SCHEMA)).then_some(views::SCHEMA);
    let catalog =
        (!path.iter().any(|schema| schema == system::pg_catalog::SCHEMA)).then_some(system::pg_catalog::SCHEMA);
    let mesh = (!path.iter().any(|schema| schema == system::SCHEMA)).then_some(system::SCHEMA);
    views.into_iter().chain(catalog).chain(resolved).chain(mesh).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_resolves_the_user_and_ends_with_the_catalog() {
        let path = ["$user", "public", "user"].map(str::to_owned);
        assert_eq!(schemas(&path, "ada"), ["pg_temp", "pg_catalog", "ada", "public", "user", "data_catalog"]);
        assert_eq!(schemas(&[], "ada"), ["pg_temp", "pg_catalog", "data_catalog"]);
        let path = ["data_catalog", "sales"].map(str::to_owned);
        assert_eq!(schemas(&path, "ada"), ["pg_temp", "pg_catalog", "data_catalog", "sales"]);
        let path = ["sales", "pg_temp"].map(str::to_owned);
        assert_eq!(schemas(&path, "ada"), ["pg_catalog", "sales", "pg_temp", "data_catalog"]);
    }
}
