//! The running mesh that all sessions share: catalog, tables, measurements and engine, joined in one place.
//!
//! `catalog` and `delta` do not know each other; here a contract's location becomes an open table, and the catalog, the
//! grants and a principal become a view. Everything handed out is an immutable snapshot.

pub mod channels;
mod column_names;
pub mod conformity;
pub mod grants;
pub mod inspect;
pub mod logins;
mod policy;
mod relations;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::session_state::SessionState;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::access::decide::ReadScope;
use crate::access::fingerprint::Fingerprint;
use crate::access::grants::Grants;
use crate::access::mask::MaskKey;
use crate::access::principal::Principal;
use crate::access::scope::{CompiledScope, known_names};
use crate::access::visible::{Visible, VisibleCache};
use crate::catalog::model::{Location, MaskMethod, Problem, Product, Role};
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Live;
use crate::delta::{At, Changes, Commit, DeltaError, TableLocation, TableSnapshot, Tables};
use crate::engine::Engine;
use crate::error::{Error, Result, SqlState};
use crate::quality::Scores;
use crate::quality::runner::{self, CurrentCatalog};
use crate::settings::moment;
use crate::state::State;
use crate::telemetry::Progress;
use channels::Channels;
use column_names::ColumnNames;
use logins::Logins;
use policy::Policies;
pub use policy::Policy;
pub use relations::{RelationCache, RelationKey};

/// How many problems with tables are logged after each look at them.
const PROBLEMS_LOGGED_MAX: usize = 50;
/// Name of the secret that hashes in masks are made with.
const MASK_KEY: &str = "mask-key";

/// Everything that outlives a session.
pub struct Mesh {
    pub catalog: Arc<Live>,
    pub tables: Tables,
    pub scores: Arc<Scores>,
    pub engine: Engine,
    pub relations: Arc<RelationCache>,
    /// What the server itself keeps.
    pub state: Arc<State>,
    /// Records who logged in, and who was refused.
    pub logins: Arc<Logins>,
    /// What sessions listen on.
    pub channels: Arc<Channels>,
    /// What is wrong with the tables of the current generation, as far as they were looked at.
    table_problems: ArcSwap<Vec<Problem>>,
    policies: Policies,
    mask_key: OnceCell<MaskKey>,
    column_names: ColumnNames,
    visible: Arc<VisibleCache>,
    deciding: SingleFlight<(u64, Fingerprint), Arc<Visible>>,
}

/// The catalog as one principal sees it now.
#[derive(Clone)]
pub struct View {
    pub snapshot: Arc<Snapshot>,
    /// All that hold, whoever they are to.
    pub grants: Arc<Grants>,
    pub principal: Arc<Principal>,
    pub visible: Arc<Visible>,
}

impl Mesh {
    pub fn new(catalog: Arc<Live>, tables: Tables, engine: Engine, state: Arc<State>) -> Self {
        let policies = Policies::new(&catalog, &state);
        Self {
            catalog,
            tables,
            scores: Arc::new(Scores::default()),
            engine,
            relations: Arc::default(),
            logins: Arc::new(Logins::new(&state)),
            channels: Arc::default(),
            state,
            table_problems: ArcSwap::default(),
            policies,
            mask_key: OnceCell::new(),
            column_names: ColumnNames::default(),
            visible: Arc::default(),
            deciding: SingleFlight::default(),
        }
    }

    /// The database's name.
    pub fn name(&self) -> String {
        self.catalog.current().catalog.mesh.name.clone()
    }

    /// What a user sees now. `known` is handed back when nothing changed since. After a change of policy every
    /// principal is decided about once, however many sessions it has, on a thread that may block. Cancel safe.
    ///
    /// # Errors
    /// A fatal `28000` when the user is no longer in the catalog.
    pub async fn view(&self, user: &str, known: Option<&View>) -> Result<View> {
        self.view_as(user, false, known).await
    }

    /// What a user sees now, with break-glass on if `break_glass` says so and the user has the role for it. Otherwise as
    /// [`view`](Self::view).
    ///
    /// # Errors
    /// A fatal `28000` when the user is no longer in the catalog.
    pub async fn view_as(&self, user: &str, break_glass: bool, known: Option<&View>) -> Result<View> {
        let policy = self.policy();
        if let Some(known) = known
            && known.visible.generation() == policy.generation
            && known.principal.has_role(Role::BreakGlass) == break_glass
        {
            return Ok(known.clone());
        }
        let Some(found) = policy.snapshot.user(user) else {
            return Err(Error::fatal(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{user}\" does not exist"),
            ));
        };
        let broken = if break_glass { Principal::with_broken_glass(found) } else { None };
        let principal = Arc::new(broken.unwrap_or_else(|| Principal::from(found)));
        let visible = match self.visible.kept(policy.generation, &principal) {
            Some(visible) => visible,
            None => self.decide(&policy, &principal).await?,
        };
        let (snapshot, grants) = (Arc::clone(&policy.snapshot), Arc::clone(&policy.grants));
        Ok(View { snapshot, grants, principal, visible })
    }

    async fn decide(&self, policy: &Arc<Policy>, principal: &Arc<Principal>) -> Result<Arc<Visible>> {
        let key = (policy.generation, principal.fingerprint());
        let (cache, policy, principal) = (Arc::clone(&self.visible), Arc::clone(policy), Arc::clone(principal));
        let decide = move || Ok(cache.get(&policy.snapshot.catalog, &policy.grants, policy.generation, &principal));
        self.deciding.join(key, decide).await
    }

    /// A version of the table at most `staleness` old.
    ///
    /// # Errors
    /// `58030` when the store does not answer, `XX001` for a broken table, `0A000` for a feature that cannot be read.
    pub async fn table(&self, location: &Location, staleness: Duration) -> Result<Arc<TableSnapshot>> {
        self.tables.snapshot(&table_location(location), staleness).await.map_err(|e| delta_error(&e))
    }

    /// Binds what a principal may read to columns of the table, under the names that they have in its `newest` version;
    /// `None` when it cannot be enforced, and then the table is not read. Why goes to the log.
    pub async fn bind_scope(
        &self,
        visible: &Visible,
        scope: &ReadScope,
        product: &Product,
        newest: &TableSnapshot,
        schema: &SchemaRef,
    ) -> Option<CompiledScope> {
        let bound = self.try_bind_scope(visible, scope, product, newest, schema).await;
        bound
            .inspect_err(|reason| {
                let principal = &visible.principal().name;
                tracing::warn!(product = %product.id, %principal, %reason, "row filter or mask cannot be applied, access denied");
            })
            .ok()
    }

    async fn try_bind_scope(
        &self,
        visible: &Visible,
        scope: &ReadScope,
        product: &Product,
        newest: &TableSnapshot,
        schema: &SchemaRef,
    ) -> std::result::Result<CompiledScope, String> {
        let is_hashed = scope.masks.iter().any(|mask| mask.method == MaskMethod::Hash);
        let reader = visible.reader(if is_hashed { self.mask_key().await } else { None });
        if scope.is_whole() || newest.column_ids.is_empty() {
            return CompiledScope::compile(scope, &reader, schema);
        }
        let known = self.column_names.known(&self.state, product, &newest.column_ids).await;
        let known = known.map_err(|error| error.to_string())?;
        let known = known_names(schema, &newest.column_ids, &known);
        CompiledScope::compile_as_known(scope, &reader, schema, &known)
    }

    /// The key of the mesh's hashes, made with its first use and the same for all servers on one state.
    async fn mask_key(&self) -> Option<&MaskKey> {
        let made = self.mask_key.get_or_try_init(|| async { self.state.secret(MASK_KEY).await.map(MaskKey::new) });
        made.await.inspect_err(|error| tracing::error!(cause = %error, "the key of masks cannot be had")).ok()
    }

    /// The table as it was, by the log that ends with `newest`.
    ///
    /// # Errors
    /// As [`Self::table`], and `22023` when there is no such version, or none as old.
    pub async fn table_at(
        &self,
        location: &Location,
        newest: &Arc<TableSnapshot>,
        at: At,
    ) -> Result<Arc<TableSnapshot>> {
        self.tables.snapshot_at(&table_location(location), newest, at).await.map_err(|e| delta_error(&e))
    }

    /// The table's change feed between two states, both included.
    ///
    /// # Errors
    /// As [`Self::table_at`], `55000` when the table did not record changes, `0A000` when its columns changed in between.
    pub async fn changes(
        &self,
        location: &Location,
        newest: &Arc<TableSnapshot>,
        from: At,
        to: Option<At>,
    ) -> Result<Changes> {
        self.tables.changes(&table_location(location), newest, from, to).await.map_err(|e| delta_error(&e))
    }

    /// The newest `limit` commits of the table up to version `newest`, newest first.
    ///
    /// # Errors
    /// As [`Self::table`].
    pub async fn history(&self, location: &Location, newest: u64, limit: usize) -> Result<Vec<Commit>> {
        self.tables.history(&table_location(location), newest, limit).await.map_err(|e| delta_error(&e))
    }

    /// Rows of this version of a product's table, where the table's statistics tell.
    pub fn row_count(&self, product: &Product, version: u64) -> Option<u64> {
        let location = product.delta_port()?.location.as_ref()?;
        self.tables.latest_seen(&table_location(location)).filter(|seen| seen.version == version)?.row_count
    }

    /// The columns of a product's table as they were last seen, without asking the store; `None` when the table was not
    /// opened since the server started.
    pub fn columns_seen(&self, product: &Product) -> Option<SchemaRef> {
        let location = product.delta_port()?.location.as_ref()?;
        Some(Arc::clone(&self.tables.latest_seen(&table_location(location))?.schema))
    }

    /// Where a relation of the catalog is kept between statements; `reads_scores` when its rows depend on them,
    /// `reads_columns` when they depend on [`Self::columns_seen`].
    pub fn relation_key(
        &self,
        name: &'static str,
        visible: &Visible,
        reads_scores: bool,
        reads_columns: bool,
    ) -> RelationKey {
        RelationKey {
            name,
            generation: visible.generation(),
            principal: visible.fingerprint(),
            scores_epoch: reads_scores.then(|| self.scores.epoch()),
            columns_epoch: reads_columns.then(|| self.tables.columns_epoch()),
        }
    }

    /// Watches the folder, measures quality, keeps the state and drops tables that left, until the server stops.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let watch = Arc::clone(&self.catalog).watch(shutdown.clone());
        let current: Arc<CurrentCatalog> = Arc::new({
            let catalog = Arc::clone(&self.catalog);
            move || catalog.current()
        });
        let state = SessionState::clone(self.engine.base());
        let (tables, scores) = (self.tables.clone(), Arc::clone(&self.scores));
        let measuring = runner::run(tables, current, self.catalog.subscribe(), state, scores, shutdown.clone());
        let measure = self.engine.workers().spawn(measuring);
        let keep = Arc::clone(&self.state).run(shutdown.clone());
        let forget = Arc::clone(&self).follow_reloads(shutdown);
        let ((), measured, (), ()) = tokio::join!(watch, measure, keep, forget);
        if let Err(error) = measured {
            tracing::error!(cause = %error, "quality is no longer measured");
        }
    }

    /// What is wrong with the tables, beside what is wrong with the catalog's files.
    pub fn table_problems(&self) -> Arc<Vec<Problem>> {
        self.table_problems.load_full()
    }

    /// At the start and after each reload: closes tables that no contract names any more, and looks at the others.
    async fn follow_reloads(self: Arc<Self>, shutdown: CancellationToken) {
        let mut reloads = self.catalog.subscribe();
        loop {
            reloads.mark_unchanged();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.look_at_tables() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = reloads.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn look_at_tables(&self) {
        let snapshot = self.catalog.current();
        let locations =
            snapshot.catalog.products.values().filter_map(|product| product.delta_port()?.location.as_ref());
        let referenced: HashSet<TableLocation> = locations.map(table_location).chain(self.state.locations()).collect();
        self.tables.retain(&referenced);
        let total = snapshot.catalog.products.values().filter(|product| product.delta_port().is_some()).count();
        let progress = Progress::start(total, "opening tables");
        let problems = inspect::inspect(&snapshot.catalog, &self.tables, &|product| progress.advance(product)).await;
        progress.finish();
        for problem in problems.iter().take(PROBLEMS_LOGGED_MAX) {
            tracing::warn!("{problem}");
        }
        if problems.len() > PROBLEMS_LOGGED_MAX {
            let more = problems.len() - PROBLEMS_LOGGED_MAX;
            tracing::warn!(more, "more problems with tables are in data_catalog.reload_status");
        }
        self.table_problems.store(Arc::new(problems));
    }
}

/// Work that several ask for at the same time, done once for all of them.
struct SingleFlight<K, V> {
    /// Alive as long as somebody waits.
    under_way: Mutex<HashMap<K, Weak<OnceCell<V>>>>,
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self { under_way: Mutex::default() }
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> SingleFlight<K, V> {
    /// What `work` answers on a thread that may block, or what somebody else's work for the same key answers. When that
    /// fails or its asker leaves, the next one's work is done instead. Cancel safe; work that was begun runs to its end.
    async fn join<F>(&self, key: K, work: F) -> Result<V>
    where
        F: FnOnce() -> Result<V> + Send + 'static,
    {
        let cell = self.cell(key);
        let done = cell.get_or_try_init(|| async { tokio::task::spawn_blocking(work).await.map_err(Error::internal)? });
        done.await.cloned()
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = under_way.get(&key).and_then(Weak::upgrade) {
            return cell;
        }
        under_way.retain(|_, cell| cell.strong_count() > 0);
        let cell = Arc::default();
        under_way.insert(key, Arc::downgrade(&cell));
        cell
    }
}

/// A contract's location as the `delta` room names it.
pub fn table_location(location: &Location) -> TableLocation {
    TableLocation { url: location.url.clone(), credentials: location.credentials.clone() }
}

fn delta_error(error: &DeltaError) -> Error {
    // What was asked for is not there: that is the asker's to change, and the versions that are there are published.
    let refused = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    match error {
        DeltaError::NoSuchVersion { version, readable } => {
            let refused = refused(format!("the table has no version {version}"));
            return match readable {
                Some((earliest, latest)) => refused.hint(format!("Versions {earliest} to {latest} can be read.")),
                None => refused,
            };
        }
        DeltaError::BeforeFirst { time, earliest, earliest_time } => {
            let (time, earliest_time) = (moment::show(*time), moment::show(*earliest_time));
            return refused(format!("the table has no version as old as {time}"))
                .hint(format!("The earliest version that can be read is {earliest}, of {earliest_time}."));
        }
        DeltaError::InvalidRange { from, to } => {
            return refused(format!("the range of versions ends before it begins: {from} to {to}"));
        }
        DeltaError::RangeTooLong { versions_max } => {
            let message = format!("a change feed is read over at most {versions_max} versions");
            return Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("Read it in several parts.");
        }
        DeltaError::ChangesNotRecorded { version } => {
            let message = format!("the table did not record its changes at version {version}");
            return Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).hint(
                "Its owner can switch the recording on with delta.enableChangeDataFeed; it starts with that version.",
            );
        }
        DeltaError::ColumnsChanged { version } => {
            let message = format!("the table's columns changed at version {version}");
            return Error::unsupported(message).hint("Read the changes before and after that version apart.");
        }
        DeltaError::TooManyCommits { commits_max } => {
            let message = format!("a time is searched among at most {commits_max} commits, and the table has more");
            return Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("Name a version instead of a time.");
        }
        _ => {}
    }
    let internal = Error::internal(error);
    let (sqlstate, message) = match error {
        DeltaError::Unsupported { .. } => {
            (SqlState::FEATURE_NOT_SUPPORTED, "this data product's table uses a feature that cannot be read")
        }
        error if error.is_transient() => (SqlState::IO_ERROR, "the store of this data product does not answer"),
        _ => (SqlState::DATA_CORRUPTED, "this data product's table cannot be read"),
    };
    Error::new(sqlstate, message)
        .detail(internal.message().to_owned())
        .hint("Its owner can find the cause in the server's log under this id.")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::delta::Stores;
    use crate::engine::Limits;
    use crate::engine::share::ShareLimits;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The mesh of the sample catalog.
    pub(crate) fn sample() -> Arc<Mesh> {
        let catalog = Live::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog")).unwrap();
        let tables = Tables::new(Stores::default());
        let share =
            ShareLimits { memory_percent: 50, spill_percent: 50, statements: 8, wait: Duration::from_millis(100) };
        let limits = Limits { memory_bytes: 1 << 20, spill_dir: None, spill_bytes: 0, parallelism: 1, share };
        let engine = Engine::new(&limits, tables.object_store_registry()).unwrap();
        let state = State::temporary(&tables);
        Arc::new(Mesh::new(catalog, tables, engine, state))
    }

    #[tokio::test]
    async fn sessions_of_one_principal_share_one_view() {
        let mesh = sample();
        let views = futures::future::join_all((0..20).map(|_| mesh.view("sales_analyst", None))).await;
        let views: Vec<View> = views.into_iter().map(Result::unwrap).collect();
        assert!(views.iter().all(|view| Arc::ptr_eq(&view.visible, &views[0].visible)));
        assert!(views[0].visible.products().count() > 0);
        let again = mesh.view("sales_analyst", Some(&views[0])).await.unwrap();
        assert!(Arc::ptr_eq(&again.principal, &views[0].principal), "nothing changed");
        let other = mesh.view("auditor", None).await.unwrap();
        assert!(!Arc::ptr_eq(&other.visible, &views[0].visible));
        let nobody = mesh.view("nobody", None).await.err().unwrap();
        assert_eq!(nobody.sqlstate(), SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    }

    #[tokio::test]
    async fn what_many_ask_for_is_done_once() {
        let flights = SingleFlight::<u8, usize>::default();
        let done = Arc::new(AtomicUsize::new(0));
        let ask = |key| {
            let done = Arc::clone(&done);
            flights.join(key, move || {
                std::thread::sleep(Duration::from_millis(20));
                Ok(done.fetch_add(1, Ordering::SeqCst))
            })
        };
        let answers = futures::future::join_all((0..50).map(|_| ask(1))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap() == 0));
        assert_eq!(ask(1).await.unwrap(), 1, "what is done is not kept here");
        assert_eq!(ask(2).await.unwrap(), 2);
        assert_eq!(flights.under_way.lock().unwrap().len(), 1, "what is done makes room");
    }

    #[tokio::test]
    async fn those_who_wait_outlive_the_one_who_fails_or_leaves() {
        let flights = SingleFlight::<u8, u8>::default();
        let fails = flights.join(1, || Err(Error::unsupported("no")));
        let (failed, next) = tokio::join!(fails, flights.join(1, || Ok(7)));
        assert!(failed.is_err());
        assert_eq!(next.unwrap(), 7);
        let panics = flights.join(1, || panic!("a defect"));
        let (failed, next) = tokio::join!(panics, flights.join(1, || Ok(8)));
        assert_eq!(failed.unwrap_err().sqlstate(), SqlState::INTERNAL_ERROR);
        assert_eq!(next.unwrap(), 8);
        let slow = || {
            std::thread::sleep(Duration::from_millis(50));
            Ok(1)
        };
        let leaves = tokio::time::timeout(Duration::from_millis(5), flights.join(1, slow));
        let (left, next) = tokio::join!(leaves, flights.join(1, || Ok(9)));
        assert!(left.is_err());
        assert_eq!(next.unwrap(), 9);
    }
}
