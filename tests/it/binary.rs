//! A server that is a process of its own: the binary that `PGMESH_BIN` names, so that what the tests ask of the library can
//! be asked of a release build.
//!
//! It starts the process and ends it, and hears what it says; what is asked of it is the business of the tests.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use clap::builder::Resettable;
use clap::{Args, FromArgMatches};
use pgmesh::config::Config;

/// How long the process may take to listen, or to end once it was told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary to ask instead of the library.
pub fn given() -> Option<PathBuf> {
    std::env::var_os("PGMESH_BIN").map(PathBuf::from)
}

pub struct Process {
    child: Child,
    /// Its standard error, line by line.
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts the binary with these options, and tells where it listens.
    pub fn start(binary: &Path, config: &Config) -> (Self, SocketAddr) {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PGMESH_")) {
            command.env_remove(name);
        }
        command.arg("serve").args(arguments(config));
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        after_this_process(&format!("kill -TERM {}", child.id()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, noted) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let (lines, (said, heard)) = (BufReader::new(child.stdout.take().unwrap()).lines(), mpsc::channel());
        std::thread::spawn(move || {
            let listening = |line: String| line.strip_prefix("listening on ")?.parse::<SocketAddr>().ok();
            lines.map_while(Result::ok).filter_map(listening).for_each(|address| {
                let _ = said.send(address);
            });
        });
        let process = Self { child, log };
        let address = heard.recv_timeout(PATIENCE);
        let address = address.unwrap_or_else(|_| panic!("{} does not listen: {:?}", binary.display(), process.log()));
        (process, address)
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn panics(&self) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains("panicked at")).collect()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(sent.is_ok());
    }

    /// Whether it ended well, in time.
    pub fn ended(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        false
    }
}

/// The options as a command line that means the same.
fn arguments(config: &Config) -> Vec<String> {
    let mut arguments = vec![
        format!("--catalog={}", config.catalog().display()),
        format!("--listen={}", config.listen),
        format!("--insecure={}", config.insecure),
        format!("--max-connections={}", config.max_connections),
        format!("--max-connections-per-user={}", config.max_connections_per_user),
        format!("--max-startup-connections={}", config.max_startup_connections),
        format!("--authentication-timeout={}ms", config.authentication_timeout.as_millis()),
        format!("--max-message-bytes={}", config.max_message_bytes),
        format!("--shutdown-grace={}ms", config.shutdown_grace.as_millis()),
        format!("--state-flush-interval={}ms", config.state_flush_interval.as_millis()),
    ];
    arguments.extend(config.state.iter().map(|state| format!("--state={state}")));
    if let Some((certificate, key)) = config.tls() {
        arguments.push(format!("--tls-cert={}", certificate.display()));
        arguments.push(format!("--tls-key={}", key.display()));
    }
    let command = Config::augment_args(clap::Command::new("pgmesh")).mut_args(|arg| arg.env(Resettable::Reset));
    let matches = command.try_get_matches_from(std::iter::once("pgmesh").chain(arguments.iter().map(String::as_str)));
    let understood = Config::from_arg_matches(&matches.unwrap()).unwrap();
    assert_eq!(understood, *config, "a test sets an option that is not passed on");
    arguments
}

/// Runs a shell script once this process has ended, however it ends: statics are not dropped.
pub fn after_this_process(script: &str) {
    let script = format!("while kill -0 {} 2>/dev/null; do sleep 0.2; done; {script}", std::process::id());
    let watch = Command::new("setsid")
        .args(["sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    assert!(watch.is_ok(), "the watcher starts");
}

#[test]
fn options_are_passed_on_as_they_are() {
    let mut config = crate::serving::config();
    config.max_connections = 3.try_into().unwrap();
    config.authentication_timeout = Duration::from_millis(300);
    config.state = Some("/nowhere".to_owned());
    assert!(arguments(&config).contains(&"--authentication-timeout=300ms".to_owned()));
}
