//! The running mesh that all sessions share: catalog, tables, measurements and engine, joined in one place.
//!
//! `catalog` and `delta` do not know each other; here a contract's location becomes an open table, and a catalog
//! generation and a principal become a view. Everything handed out is an immutable snapshot.

pub mod conformity;
pub mod inspect;
mod relations;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use datafusion::execution::session_state::SessionState;
use tokio_util::sync::CancellationToken;

use crate::access::principal::Principal;
use crate::access::visible::{Visible, VisibleCache};
use crate::catalog::model::{Location, Problem, Product};
use crate::catalog::snapshot::Snapshot;
use crate::catalog::watch::Live;
use crate::delta::{DeltaError, TableLocation, TableSnapshot, Tables};
use crate::engine::Engine;
use crate::error::{Error, Result, SqlState};
use crate::quality::Scores;
use crate::quality::runner::{self, EachProduct};
use crate::telemetry::Progress;
pub use relations::{RelationCache, RelationKey};

/// How many problems with tables are logged after each look at them.
const PROBLEMS_LOGGED_MAX: usize = 50;

/// Everything that outlives a session.
pub struct Mesh {
    pub catalog: Arc<Live>,
    pub tables: Tables,
    pub scores: Arc<Scores>,
    pub engine: Engine,
    pub relations: RelationCache,
    /// What is wrong with the tables of the current generation, as far as they were looked at.
    table_problems: ArcSwap<Vec<Problem>>,
    visible: VisibleCache,
}

/// The catalog as one principal sees it now.
#[derive(Clone)]
pub struct View {
    pub snapshot: Arc<Snapshot>,
    pub principal: Arc<Principal>,
    pub visible: Arc<Visible>,
}

impl Mesh {
    pub fn new(catalog: Arc<Live>, tables: Tables, engine: Engine) -> Self {
        Self {
            catalog,
            tables,
            scores: Arc::new(Scores::default()),
            engine,
            relations: RelationCache::default(),
            table_problems: ArcSwap::default(),
            visible: VisibleCache::default(),
        }
    }

    /// The database's name.
    pub fn name(&self) -> String {
        self.catalog.current().catalog.mesh.name.clone()
    }

    /// What a user sees now. `known` is handed back when nothing changed since.
    ///
    /// # Errors
    /// A fatal `28000` when the user is no longer in the catalog.
    pub fn view(&self, user: &str, known: Option<&View>) -> Result<View> {
        let snapshot = self.catalog.current();
        if let Some(known) = known
            && known.snapshot.generation == snapshot.generation
        {
            return Ok(known.clone());
        }
        let Some(found) = snapshot.user(user) else {
            return Err(Error::fatal(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("role \"{user}\" does not exist"),
            ));
        };
        let principal = Arc::new(Principal::from(found));
        let visible = self.visible.get(&snapshot.catalog, snapshot.generation, &principal);
        Ok(View { snapshot, principal, visible })
    }

    /// A version of the table at most `staleness` old.
    ///
    /// # Errors
    /// `58030` when the store does not answer, `XX001` for a broken table, `0A000` for a feature that cannot be read.
    pub async fn table(&self, location: &Location, staleness: Duration) -> Result<Arc<TableSnapshot>> {
        self.tables.snapshot(&table_location(location), staleness).await.map_err(|e| delta_error(&e))
    }

    /// Rows of this version of a product's table, where the table's statistics tell.
    pub fn row_count(&self, product: &Product, version: u64) -> Option<u64> {
        let location = product.delta_port()?.location.as_ref()?;
        self.tables.latest_seen(&table_location(location)).filter(|seen| seen.version == version)?.row_count
    }

    /// Where a relation of `data_catalog` is kept between statements.
    pub fn relation_key(&self, name: &'static str, visible: &Visible) -> RelationKey {
        RelationKey {
            name,
            generation: visible.generation(),
            principal: visible.fingerprint(),
            scores_epoch: self.scores.epoch(),
        }
    }

    /// Watches the folder, measures quality and drops tables that left, until the server stops.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let watch = Arc::clone(&self.catalog).watch(shutdown.clone());
        let each_product: Arc<EachProduct> = Arc::new({
            let catalog = Arc::clone(&self.catalog);
            move |visit: &mut dyn FnMut(&Product)| catalog.current().catalog.products.values().for_each(visit)
        });
        let state = SessionState::clone(self.engine.base());
        let scores = Arc::clone(&self.scores);
        let measure = runner::run(self.tables.clone(), each_product, state, scores, shutdown.clone());
        let forget = Arc::clone(&self).follow_reloads(shutdown);
        tokio::join!(watch, measure, forget);
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
        let referenced: HashSet<TableLocation> = locations.map(table_location).collect();
        self.tables.retain(&referenced);
        let progress = Progress::start(referenced.len(), "opening tables");
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

/// A contract's location as the `delta` room names it.
pub fn table_location(location: &Location) -> TableLocation {
    TableLocation { url: location.url.clone(), credentials: location.credentials.clone() }
}

fn delta_error(error: &DeltaError) -> Error {
    let internal = Error::internal(error);
    let sqlstate = if error.is_transient() { SqlState::IO_ERROR } else { SqlState::DATA_CORRUPTED };
    let message = if error.is_transient() {
        "the store of this data product does not answer"
    } else {
        "this data product's table cannot be read"
    };
    Error::new(sqlstate, message)
        .detail(internal.message().to_owned())
        .hint("Its owner can find the cause in the server's log under this id.")
}
