//! Servers in this process, or of the binary that is to be tested: one that most tests share, and others with options of
//! their own.
//!
//! It starts and stops them and notes their panics; what is asked of them is the business of the tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pgmesh::config::Config;
use pgmesh::server::Server;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::binary::{self, Process};

/// Nothing here takes longer, even in a debug build on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Threads of a server are named after its number, so that a panic is laid at the right door.
static PANICS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// A server that runs until it is dropped.
pub struct Serving {
    pub address: SocketAddr,
    running: Running,
    /// What the server keeps is gone with it, unless the test says where it is kept.
    _state: Option<TempDir>,
}

enum Running {
    Here { thread_name: String, stop: CancellationToken, thread: Option<JoinHandle<()>> },
    Apart(Process),
}

/// The server over the sample mesh, with all defaults, that tests share when they change nothing.
pub fn shared() -> &'static Serving {
    static SHARED: OnceLock<Serving> = OnceLock::new();
    SHARED.get_or_init(|| Serving::start(config()))
}

/// Options for a server over the sample mesh on a free port.
pub fn config() -> Config {
    let mut config = Config::default();
    config.common.catalog = repository().join("catalog");
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.shutdown_grace = Duration::from_secs(1);
    config
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

impl Serving {
    pub fn start(mut config: Config) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let state = config.state.is_none().then(|| TempDir::new().unwrap());
        if let Some(folder) = &state {
            config.state = Some(folder.path().to_string_lossy().into_owned());
        }
        if let Some(binary) = binary::given() {
            let (process, address) = Process::start(&binary, &config);
            return Self { address, running: Running::Apart(process), _state: state };
        }
        note_panics();
        let thread_name = format!("served-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let stop = CancellationToken::new();
        let (said, heard) = mpsc::channel();
        let (name, stopped) = (thread_name.clone(), stop.clone());
        let thread = std::thread::Builder::new().name(thread_name.clone()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_stack_size(pgmesh::engine::THREAD_STACK_BYTES)
                .thread_name(name)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = Server::start(&config).await.unwrap();
                said.send(server.local_addr().unwrap()).unwrap();
                server.run(stopped).await;
            });
        });
        let address = heard.recv_timeout(PATIENCE).unwrap();
        Self { address, running: Running::Here { thread_name, stop, thread: Some(thread.unwrap()) }, _state: state }
    }

    /// What panicked in this server so far.
    pub fn panics(&self) -> Vec<String> {
        match &self.running {
            Running::Here { thread_name, .. } => {
                let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
                panics.iter().filter(|(thread, _)| thread == thread_name).map(|(_, what)| what.clone()).collect()
            }
            Running::Apart(process) => process.panics(),
        }
    }

    /// Begins to drain; the server is gone when it is dropped.
    pub fn drain(&self) {
        match &self.running {
            Running::Here { stop, .. } => stop.cancel(),
            Running::Apart(process) => process.terminate(),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // tables that are being opened when the runtime ends panic inside the library that reads their logs
        let panics = self.panics();
        self.drain();
        let ended_well = match &mut self.running {
            Running::Here { thread, .. } => matches!(thread.take().map(JoinHandle::join), None | Some(Ok(()))),
            Running::Apart(process) => process.ended(),
        };
        if !std::thread::panicking() {
            assert!(ended_well, "the server panicked");
            assert_eq!(panics, Vec::<String>::new());
        }
    }
}

fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            if thread.starts_with("served-") {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push((thread, panic.to_string()));
            }
            before(panic);
        }));
    });
}

/// Asks until the answer is there; says what was asked for when it never comes.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
