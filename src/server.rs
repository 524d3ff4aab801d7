//! The process that serves: opens the mesh, listens, accepts within limits, and stops in good order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::model::ProblemSeverity;
use crate::catalog::verifier::password_matches;
use crate::catalog::watch::Live;
use crate::config::{CommonOptions, Config, ConfigError};
use crate::delta::{Stores, Tables};
use crate::engine::share::ShareLimits;
use crate::engine::{self, Engine};
use crate::error::{Error, SqlState};
use crate::mesh::Mesh;
use crate::state::{State, StateError, StateOptions};
use crate::wire;

/// The greatest value that PostgreSQL's `max_connections` has.
const SHOWN_CONNECTIONS_MAX: usize = 262_143;

/// After a failed accept (no file descriptors left, say) this passes before the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections may take to end once they were told to.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot read the catalog folder {path}: {source} (make one with: pgmesh init)")]
    Catalog { path: String, source: io::Error },
    #[error(transparent)]
    Tls(#[from] wire::tls::TlsError),
    #[error("cannot start the query engine: {0}")]
    Engine(#[from] datafusion::common::DataFusionError),
    #[error("cannot read the credentials file {path}: {source}")]
    CredentialsFile { path: String, source: io::Error },
    #[error("cannot use the credentials: {0}")]
    Credentials(#[from] crate::delta::DeltaError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    #[error("the operating system has no random numbers")]
    NoRandomness,
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<wire::Shared>,
    half_open: Arc<Semaphore>,
    shutdown_grace: Duration,
}

impl Server {
    /// Opens the mesh and the port. Tables are opened when they are first needed, so that starting takes no longer for a
    /// large mesh than for a small one.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        config.validate()?;
        let path = config.catalog().to_owned();
        let catalog =
            Live::open(&path).map_err(|source| StartError::Catalog { path: path.display().to_string(), source })?;
        log_problems(&catalog);
        let tables = Tables::new(stores(&config.common)?);
        let limits = engine::Limits {
            memory_bytes: config.memory_limit.as_usize(),
            spill_dir: config.spill_dir.clone(),
            spill_bytes: config.spill_limit.as_usize() as u64,
            parallelism: config.threads.get(),
            share: ShareLimits {
                memory_percent: config.memory_limit_per_user.0,
                spill_percent: config.spill_limit_per_user.0,
                statements: config.max_statements_per_user.get(),
                wait: config.statement_queue_timeout,
            },
        };
        let engine = Engine::new(&limits, tables.object_store_registry())?;
        let state = State::open(&state_options(config), &tables).await?;
        let mesh = Arc::new(Mesh::new(catalog, tables, engine, state));
        let tls = config.tls().map(|(certificate, key)| wire::tls::server_config(certificate, key)).transpose()?;
        let has_tls = tls.is_some();
        let mut mock_secret = [0; 32];
        aws_lc_rs::rand::fill(&mut mock_secret).map_err(|_| StartError::NoRandomness)?;
        raise_file_limit(config);
        let address = config.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
        let shared = Arc::new(wire::Shared {
            mesh,
            require_tls: tls.is_some() && !config.is_loopback() && !config.insecure,
            tls,
            loopback: config.is_loopback(),
            mock_secret,
            limits: wire::Limits {
                connections_per_user: config.max_connections_per_user.get(),
                authentication: config.authentication_timeout,
                message_bytes: config.max_message_bytes.as_usize(),
            },
            defaults: vec![
                ("statement_timeout", config.statement_timeout.as_millis().to_string()),
                (
                    "idle_in_transaction_session_timeout",
                    config.idle_in_transaction_session_timeout.as_millis().to_string(),
                ),
                ("max_connections", config.max_connections.get().min(SHOWN_CONNECTIONS_MAX).to_string()),
                ("ssl", if has_tls { "on" } else { "off" }.to_owned()),
            ],
            statement_timeout_max: config.statement_timeout_max,
            cancels: Arc::default(),
            sessions: Arc::new(Semaphore::new(config.max_connections.get())),
            users: wire::UserCounts::default(),
            shutdown: CancellationToken::new(),
            kill: CancellationToken::new(),
        });
        let half_open = Arc::new(Semaphore::new(config.max_startup_connections.get()));
        Ok(Self { listener, shared, half_open, shutdown_grace: config.shutdown_grace })
    }

    /// # Errors
    /// When the operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn mesh(&self) -> &Arc<Mesh> {
        &self.shared.mesh
    }

    /// Serves until `stop` is cancelled, then drains: no new connections, idle ones end, running statements finish or are
    /// cancelled when the grace period is over.
    pub async fn run(self, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let background = tokio::spawn(Arc::clone(&self.shared.mesh).run(self.shared.shutdown.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer, &connections),
                    Err(error) => {
                        tracing::warn!(cause = %error, "cannot accept connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        self.shared.shutdown.cancel();
        connections.close();
        let started = Instant::now();
        tracing::info!(connections = connections.len(), "stopping: running statements may finish");
        if tokio::time::timeout(self.shutdown_grace, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "grace period is over: cancelling what still runs");
            self.shared.kill.cancel();
            if tokio::time::timeout(LAST_WAIT, connections.wait()).await.is_err() {
                tracing::error!(connections = connections.len(), "connections that do not end are dropped");
            }
        }
        self.shared.mesh.logins.flush();
        drop(tokio::time::timeout(LAST_WAIT, background).await);
        if tokio::time::timeout(LAST_WAIT, self.shared.mesh.state.close()).await.is_err() {
            tracing::warn!("the last records stay in the write-ahead file until the next start");
        }
        tracing::info!(seconds = started.elapsed().as_secs_f64(), "stopped");
    }

    /// Never waits: whoever connects without end must not hold up the others.
    fn accept(&self, stream: TcpStream, peer: SocketAddr, connections: &TaskTracker) {
        if let Ok(permit) = Arc::clone(&self.half_open).try_acquire_owned() {
            connections.spawn(wire::serve(stream, peer, Arc::clone(&self.shared), permit));
        } else {
            // said without waiting: whoever opens connections without logging in gets no task of ours
            let error = Error::fatal(SqlState::TOO_MANY_CONNECTIONS, "too many connections are starting up");
            wire::refuse(&stream, &error);
        }
    }
}

/// Named credentials from the environment and, where one is given, from a file.
pub fn stores(options: &CommonOptions) -> Result<Stores, StartError> {
    let text = match &options.credentials {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|source| StartError::CredentialsFile { path: path.display().to_string(), source })?,
        ),
    };
    Ok(Stores::new(std::env::vars(), text.as_deref())?)
}

fn state_options(config: &Config) -> StateOptions {
    StateOptions {
        location: config.state(),
        credentials: config.state_credentials.clone(),
        write_ahead: config.state_write_ahead(),
        audit_retention: config.audit_retention,
        flush_interval: config.state_flush_interval,
    }
}

/// Each connection is a file to the operating system, and its usual soft limit is lower than ours.
fn raise_file_limit(config: &Config) {
    /// Files for tables, spilling and the rest.
    const OTHER_FILES: u64 = 1024;
    let wanted = (config.max_connections.get() + config.max_startup_connections.get()) as u64 + OTHER_FILES;
    match rlimit::increase_nofile_limit(wanted.max(rlimit::Resource::NOFILE.get_soft().unwrap_or(0))) {
        Ok(limit) if limit < wanted => {
            tracing::warn!(limit, wanted, "the operating system allows fewer open files than connections may need");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(cause = %error, "cannot raise the limit on open files"),
    }
}

fn log_problems(catalog: &Live) {
    for problem in &catalog.status().problems {
        match problem.severity {
            ProblemSeverity::Error => tracing::error!("{problem}"),
            ProblemSeverity::Warning => tracing::warn!("{problem}"),
        }
    }
}

/// Starts the threads that serve, and serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the server cannot start.
pub fn serve(config: &Config) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads.get())
        .thread_name("pgmesh")
        .thread_stack_size(engine::THREAD_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let served = runtime.block_on(run(config));
    // a plan in the making cannot be stopped, and is not waited for
    runtime.shutdown_timeout(LAST_WAIT);
    served
}

/// Starts, says where it listens, serves until SIGTERM or SIGINT.
async fn run(config: &Config) -> Result<(), StartError> {
    let server = Server::start(config).await?;
    announce(&server);
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    tokio::spawn(async move {
        termination().await;
        signalled.cancel();
    });
    server.run(stop).await;
    Ok(())
}

/// `listening on ADDR:PORT` on standard output is for programs; how to connect is for people, on standard error.
#[expect(clippy::print_stdout, reason = "the line that programs wait for")]
fn announce(server: &Server) {
    let Ok(address) = server.local_addr() else { return };
    let snapshot = server.mesh().catalog.current();
    let (name, products) = (&snapshot.catalog.mesh.name, snapshot.catalog.products.len());
    println!("listening on {address}");
    tracing::info!(mesh = %name, products, %address, "serving");
    let mut users = snapshot.catalog.users.values();
    let Some(user) = users.clone().find(|user| user.roles.is_empty()).or_else(|| users.next()) else {
        eprintln!("nobody can log in yet; add a user with: pgmesh user add NAME");
        return;
    };
    // the sample mesh's passwords are its users' names, and no secret
    let is_sample = user.scram.as_ref().is_some_and(|verifier| password_matches(verifier, &user.name));
    let password = if is_sample { format!(":{}", user.name) } else { String::new() };
    eprintln!("connect with: psql \"postgresql://{}{password}@{address}/{name}\"", user.name);
}

async fn termination() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("cannot listen for signals: stop the server with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
