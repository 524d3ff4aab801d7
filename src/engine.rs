//! The query engine that all sessions share: memory and spill limits, functions, optimizer rules. It holds no catalog
//! and no tables; what a statement may see is given to it by `statement::bind`.

pub mod any_rows;
mod filter_names;
pub mod once;
mod optimizer;
pub mod share;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use share::{Share, ShareLimits, Shares};

/// Stack of every thread that handles statements: parser, planner and optimizer recurse along a statement's nesting, which
/// `statement::limits` bounds. Only what is used of it takes memory.
pub const THREAD_STACK_BYTES: usize = 64 * 1024 * 1024;
/// How many time zones have a prepared engine state; more are built when asked for.
const TIME_ZONES_KEPT_MAX: usize = 64;
/// Statements planned at the same time: this many for each core, and never fewer than the minimum.
const PLANNING_PER_CORE: usize = 4;
const PLANNING_MIN: usize = 8;

/// Limits of the engine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes that all running statements may hold together.
    pub memory_bytes: usize,
    /// Where statements spill to; `None` uses the system's folder for temporary files.
    pub spill_dir: Option<PathBuf>,
    /// Bytes that all spill files may take together.
    pub spill_bytes: u64,
    /// Partitions of a plan: how many cores a statement may use.
    pub parallelism: usize,
    /// What one principal's statements may take of all that.
    pub share: ShareLimits,
}

/// Shared by all sessions; immutable but for the cache of states.
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    shares: Shares,
    base: Arc<SessionState>,
    by_time_zone: Mutex<HashMap<String, Arc<SessionState>>>,
    /// Statements that are planned at the same time.
    planning: Arc<Semaphore>,
    workers: Workers,
    started: DateTime<Utc>,
}

/// The threads that run plans. They are not those that serve connections: one step of an operator may take long, and
/// meanwhile a cancel request must be heard and other sessions answered.
struct Workers {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Workers {
    fn new(count: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("pgmesh-engine")
            .thread_stack_size(THREAD_STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // without waiting, since the last owner may be a task of another runtime
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// `stores` is where plans find the tables' files.
    ///
    /// # Errors
    /// When the spill folder cannot be used, or threads cannot be started.
    pub fn new(limits: &Limits, stores: Arc<dyn ObjectStoreRegistry>) -> datafusion::common::Result<Self> {
        let mode = limits
            .spill_dir
            .clone()
            .map_or(DiskManagerMode::OsTmpDirectory, |dir| DiskManagerMode::Directories(vec![dir]));
        let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(limits.spill_bytes);
        let unshared =
            RuntimeEnvBuilder::new().with_disk_manager_builder(disk).with_object_store_registry(stores).build()?;
        let shares = Shares::new(limits.share, limits.memory_bytes, limits.spill_bytes, unshared.clone());
        // what the server does for itself has a share like any principal
        let runtime = Arc::new(RuntimeEnv { memory_pool: shares.memory_pool(), ..unshared });
        let base = SessionStateBuilder::new()
            .with_config(session_config(limits.parallelism))
            .with_runtime_env(Arc::clone(&runtime))
            .with_default_features()
            .with_optimizer_rules(optimizer::rules())
            .with_physical_optimizer_rules(physical_rules())
            .build();
        let planning = Arc::new(Semaphore::new((limits.parallelism * PLANNING_PER_CORE).max(PLANNING_MIN)));
        let workers = Workers::new(limits.parallelism)?;
        Ok(Self {
            runtime,
            shares,
            base: Arc::new(base),
            by_time_zone: Mutex::default(),
            planning,
            workers,
            started: Utc::now(),
        })
    }

    /// Does work that may keep a core busy for long, such as planning, away from the threads that serve connections. What
    /// was begun goes on when its caller no longer waits, and holds its place until it is done.
    ///
    /// # Errors
    /// What `work` gives; a panic in it is an internal error.
    pub async fn plan<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let place = Arc::clone(&self.planning).acquire_owned().await.map_err(Error::internal)?;
        let handle = Handle::current();
        let planned = tokio::task::spawn_blocking(move || {
            let _place = place;
            handle.block_on(work)
        });
        planned.await.unwrap_or_else(|panic| Err(Error::internal(panic)))
    }

    /// When the server began.
    pub fn started(&self) -> DateTime<Utc> {
        self.started
    }

    /// Where plans run.
    pub fn workers(&self) -> &Handle {
        &self.workers.handle
    }

    pub fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// What a principal's statements run with.
    ///
    /// # Errors
    /// When the engine cannot make it.
    pub fn share(&self, principal: &str) -> Result<Arc<Share>> {
        self.shares.of(principal)
    }

    /// The engine's state for work of the server itself, in UTC.
    pub fn base(&self) -> &Arc<SessionState> {
        &self.base
    }

    /// The engine's state for a session in this time zone (IANA name or offset).
    pub fn state(&self, time_zone: &str) -> Arc<SessionState> {
        if time_zone == "UTC" {
            return Arc::clone(&self.base);
        }
        let mut states = self.by_time_zone.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(time_zone) {
            return Arc::clone(state);
        }
        let mut state = (*self.base).clone();
        state.config_mut().options_mut().execution.time_zone = Some(time_zone.to_owned());
        // functions that run see these options
        let options = Arc::clone(state.config_options());
        state.execution_props_mut().config_options = Some(options);
        let state = Arc::new(state);
        if states.len() < TIME_ZONES_KEPT_MAX {
            states.insert(time_zone.to_owned(), Arc::clone(&state));
        }
        state
    }
}

fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<_> = PhysicalOptimizer::new().rules.into_iter().map(filter_names::guarded).collect();
    let settled = rules.iter().position(|rule| rule.name() == any_rows::AFTER).map_or(0, |rule| rule + 1);
    rules.insert(settled, Arc::new(any_rows::TellLess));
    rules
}

fn session_config(parallelism: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(parallelism).with_information_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.schema_force_view_types = true;
    options.sql_parser.parse_float_as_decimal = true;
    // tools put a query with ORDER BY into FROM and mean its order, which PostgreSQL's rows keep on their way
    options.sql_parser.enable_subquery_sort_elimination = false;
    // what only metadata says of a column's type may be lost on the way, and is looked at in the analysed plan
    options.execution.skip_physical_aggregate_schema_check = true;
    config
}
