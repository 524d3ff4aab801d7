//! The only definition of each option of pgmesh.
//!
//! An option has one name everywhere: `--max-connections` on the command line, `PGMESH_MAX_CONNECTIONS` in the
//! environment, `max-connections` in `pgmesh.toml`. The command line wins over the environment, that over the file, and
//! that over the default. This file knows what options mean and which combinations are refused, not who obeys them.

mod file;
mod units;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum, ValueHint};

pub use self::file::ConfigFile;
pub use self::units::{Bytes, Percent};
use self::units::{
    parse_address, parse_bytes, parse_duration, parse_log_level, parse_memory, parse_message_bytes, parse_retention,
    parse_share,
};

/// Everything that `pgmesh serve` can be told.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Config {
    #[command(flatten)]
    pub common: CommonOptions,

    /// Where to accept connections; port 0 picks a free port
    #[arg(long, env = "PGMESH_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:5433")]
    #[arg(value_parser = parse_address, help_heading = "Network")]
    pub listen: SocketAddr,

    /// Certificate chain in PEM, the server's own certificate first
    #[arg(long, env = "PGMESH_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Network")]
    pub tls_cert: Option<PathBuf>,

    /// Private key in PEM that belongs to the certificate
    #[arg(long, env = "PGMESH_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "Network")]
    pub tls_key: Option<PathBuf>,

    /// Listen on other addresses than loopback without TLS: data and queries can be read on the way
    #[arg(long, env = "PGMESH_INSECURE", value_name = "BOOL", action = clap::ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), help_heading = "Network")]
    pub insecure: bool,

    /// Authenticated connections at the same time
    #[arg(long, env = "PGMESH_MAX_CONNECTIONS", value_name = "COUNT", default_value = "1000")]
    #[arg(help_heading = "Limits")]
    pub max_connections: NonZeroUsize,

    /// Authenticated connections of one user at the same time
    #[arg(long, env = "PGMESH_MAX_CONNECTIONS_PER_USER", value_name = "COUNT", default_value = "100")]
    #[arg(help_heading = "Limits")]
    pub max_connections_per_user: NonZeroUsize,

    /// Connections that have not authenticated yet, at the same time
    #[arg(long, env = "PGMESH_MAX_STARTUP_CONNECTIONS", value_name = "COUNT", default_value = "256")]
    #[arg(help_heading = "Limits")]
    pub max_startup_connections: NonZeroUsize,

    /// How long a client may take to authenticate
    #[arg(long, env = "PGMESH_AUTHENTICATION_TIMEOUT", value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = parse_duration, help_heading = "Limits")]
    pub authentication_timeout: Duration,

    /// Largest message that a client may send
    #[arg(long, env = "PGMESH_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value = "64MiB")]
    #[arg(value_parser = parse_message_bytes, help_heading = "Limits")]
    pub max_message_bytes: Bytes,

    /// Memory that all queries together may use: bytes, or a share of the machine's memory
    #[arg(long, env = "PGMESH_MEMORY_LIMIT", value_name = "BYTES|PERCENT", default_value = "60%")]
    #[arg(value_parser = parse_memory, help_heading = "Limits")]
    pub memory_limit: Bytes,

    /// How much of the memory that others leave free the queries of one user may hold together
    #[arg(long, env = "PGMESH_MEMORY_LIMIT_PER_USER", value_name = "PERCENT", default_value = "50%")]
    #[arg(value_parser = parse_share, help_heading = "Limits")]
    pub memory_limit_per_user: Percent,

    /// Where queries that need more memory put what does not fit [default: the system's temporary folder]
    #[arg(long, env = "PGMESH_SPILL_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(help_heading = "Limits")]
    pub spill_dir: Option<PathBuf>,

    /// What all queries together may put there
    #[arg(long, env = "PGMESH_SPILL_LIMIT", value_name = "BYTES", default_value = "50GiB")]
    #[arg(value_parser = parse_bytes, help_heading = "Limits")]
    pub spill_limit: Bytes,

    /// How much of the spill space that others leave free the queries of one user may hold together
    #[arg(long, env = "PGMESH_SPILL_LIMIT_PER_USER", value_name = "PERCENT", default_value = "50%")]
    #[arg(value_parser = parse_share, help_heading = "Limits")]
    pub spill_limit_per_user: Percent,

    /// Statements of one user that run at the same time; more wait for their turn
    #[arg(long, env = "PGMESH_MAX_STATEMENTS_PER_USER", value_name = "COUNT", default_value = "32")]
    #[arg(help_heading = "Limits")]
    pub max_statements_per_user: NonZeroUsize,

    /// How long a statement may wait for its turn
    #[arg(long, env = "PGMESH_STATEMENT_QUEUE_TIMEOUT", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = parse_duration, help_heading = "Limits")]
    pub statement_queue_timeout: Duration,

    /// How long a statement may run, until a session sets its own; 0: any time
    #[arg(long, env = "PGMESH_STATEMENT_TIMEOUT", value_name = "DURATION", default_value = "0")]
    #[arg(value_parser = parse_duration, help_heading = "Limits")]
    pub statement_timeout: Duration,

    /// The longest that a session may set for its statements; 0: any time
    #[arg(long, env = "PGMESH_STATEMENT_TIMEOUT_MAX", value_name = "DURATION", default_value = "0")]
    #[arg(value_parser = parse_duration, help_heading = "Limits")]
    pub statement_timeout_max: Duration,

    /// How long a session may do nothing inside a transaction, until it sets its own; 0: any time
    #[arg(long, env = "PGMESH_IDLE_IN_TRANSACTION_SESSION_TIMEOUT", value_name = "DURATION", default_value = "0")]
    #[arg(value_parser = parse_duration, help_heading = "Limits")]
    pub idle_in_transaction_session_timeout: Duration,

    /// How long running statements may go on after SIGTERM
    #[arg(long, env = "PGMESH_SHUTDOWN_GRACE", value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = parse_duration, help_heading = "Limits")]
    pub shutdown_grace: Duration,

    /// Where the server keeps grants, requests and audit: a folder, or a URL that several servers share
    /// [default: the folder state beside the catalog's]
    #[arg(long, env = "PGMESH_STATE", value_name = "URL|DIR", value_hint = ValueHint::DirPath, help_heading = "State")]
    pub state: Option<String>,

    /// Name of the credentials for a state in an object store
    #[arg(long, env = "PGMESH_STATE_CREDENTIALS", value_name = "NAME", help_heading = "State")]
    pub state_credentials: Option<String>,

    /// Local folder for what is not yet in a state that lies in an object store [default: the folder state beside the
    /// catalog's]
    #[arg(long, env = "PGMESH_STATE_WRITE_AHEAD", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(help_heading = "State")]
    pub state_write_ahead: Option<PathBuf>,

    /// How long a record may wait in the write-ahead file before it is in its Delta table
    #[arg(long, env = "PGMESH_STATE_FLUSH_INTERVAL", value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = parse_duration, help_heading = "State")]
    pub state_flush_interval: Duration,

    /// How long audit records are kept
    #[arg(long, env = "PGMESH_AUDIT_RETENTION", value_name = "DURATION", default_value = "400d")]
    #[arg(value_parser = parse_retention, help_heading = "State")]
    pub audit_retention: Duration,

    /// Threads that run queries
    #[arg(long, env = "PGMESH_THREADS", value_name = "COUNT", default_value_t = cores(), help_heading = "Limits")]
    pub threads: NonZeroUsize,
}

/// What every command can be told.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CommonOptions {
    /// The folder with contracts, policies and principals
    #[arg(long, env = "PGMESH_CATALOG", value_name = "DIR", default_value = "./catalog")]
    #[arg(value_hint = ValueHint::DirPath)]
    pub catalog: PathBuf,

    /// File with options [default: pgmesh.toml in the current folder, if there is one]
    #[arg(long, env = "PGMESH_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Credentials of object stores by name; contracts hold only the names
    #[arg(long, env = "PGMESH_CREDENTIALS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub credentials: Option<PathBuf>,

    /// Form of the log on standard error
    #[arg(long, env = "PGMESH_LOG_FORMAT", value_name = "FORMAT", default_value = "text", help_heading = "Log")]
    pub log_format: LogFormat,

    /// What pgmesh logs: error, warn, info, debug, trace; or directives for all parts, such as info,pgmesh=debug
    #[arg(long, env = "PGMESH_LOG_LEVEL", value_name = "LEVEL", default_value = "info", help_heading = "Log")]
    #[arg(value_parser = parse_log_level)]
    pub log_level: String,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the options cannot be used. The message names the option or the place in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {cause}", .path.display())]
    Unreadable { path: PathBuf, cause: String },
    #[error("{}:{line}:{column}: {message}", .path.display())]
    InFile { path: PathBuf, line: usize, column: usize, message: String },
    #[error("--tls-cert and --tls-key belong together; {0} is missing")]
    HalfOfTls(&'static str),
    #[error(
        "{0} can be reached from other machines: give --tls-cert and --tls-key, or --insecure to do without encryption"
    )]
    OpenWithoutTls(SocketAddr),
    #[error("{option} must be longer than 0")]
    ZeroDuration { option: &'static str },
}

impl Config {
    /// Refuses combinations that cannot work or are not safe.
    ///
    /// # Errors
    /// Half of a TLS identity; an address other than loopback without TLS or `--insecure`; a time limit of zero where
    /// that would mean never.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err(ConfigError::HalfOfTls("--tls-key")),
            (None, Some(_)) => return Err(ConfigError::HalfOfTls("--tls-cert")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if !self.is_loopback() && self.tls_cert.is_none() && !self.insecure {
            return Err(ConfigError::OpenWithoutTls(self.listen));
        }
        if self.authentication_timeout.is_zero() {
            return Err(ConfigError::ZeroDuration { option: "--authentication-timeout" });
        }
        if self.state_flush_interval.is_zero() {
            return Err(ConfigError::ZeroDuration { option: "--state-flush-interval" });
        }
        if self.audit_retention.is_zero() {
            return Err(ConfigError::ZeroDuration { option: "--audit-retention" });
        }
        Ok(())
    }

    /// Whether only this machine can connect; the sample principals are refused otherwise.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }

    /// The folder with contracts, policies and principals.
    #[must_use]
    pub fn catalog(&self) -> &Path {
        &self.common.catalog
    }

    /// Where the state lies: a folder or a URL.
    #[must_use]
    pub fn state(&self) -> String {
        self.state.clone().unwrap_or_else(|| self.beside_catalog().to_string_lossy().into_owned())
    }

    /// The local folder for write-ahead files of a state in an object store.
    #[must_use]
    pub fn state_write_ahead(&self) -> PathBuf {
        self.state_write_ahead.clone().unwrap_or_else(|| self.beside_catalog())
    }

    /// The folder `state` beside the catalog's.
    fn beside_catalog(&self) -> PathBuf {
        // the folder may be written `.` or `catalog/..`
        let catalog = std::path::absolute(self.catalog()).unwrap_or_else(|_| self.catalog().to_owned());
        catalog.parent().unwrap_or(&catalog).join("state")
    }

    /// Certificate and key, when both are given (see [`validate`](Self::validate)).
    #[must_use]
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        self.tls_cert.as_deref().zip(self.tls_key.as_deref())
    }
}

impl Default for Config {
    /// The defaults alone: no file, no environment, no arguments.
    fn default() -> Self {
        let command = file::without_environment(Config::augment_args(clap::Command::new("pgmesh")));
        let matches = command.get_matches_from(["pgmesh"]);
        match <Config as clap::FromArgMatches>::from_arg_matches(&matches) {
            Ok(config) => config,
            Err(broken) => unreachable!("every option has a default: {broken}"),
        }
    }
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_safe() {
        let config = Config::default();
        assert_eq!(config.validate(), Ok(()));
        assert!(config.is_loopback());
        assert_eq!(config.listen.to_string(), "127.0.0.1:5433");
        assert_eq!(config.catalog(), Path::new("./catalog"));
        assert_eq!(config.max_message_bytes, Bytes(64 << 20));
        assert_eq!(config.authentication_timeout, Duration::from_secs(10));
        assert_eq!((config.statement_timeout, config.statement_timeout_max), (Duration::ZERO, Duration::ZERO));
        assert_eq!((config.memory_limit_per_user, config.spill_limit_per_user), (Percent(50), Percent(50)));
        assert!(config.memory_limit.0 > 0);
        assert_eq!(config.tls(), None);
        assert_eq!(config.audit_retention.as_secs(), 400 * 24 * 3600);
        assert_eq!(config.state(), std::path::absolute("state").expect("a path").to_string_lossy());
    }

    #[test]
    fn other_machines_need_tls_or_a_word() {
        for (listen, open) in [
            ("0.0.0.0:5433", true),
            ("[::]:5433", true),
            ("192.0.2.1:1", true),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
        ] {
            let mut config = Config { listen: listen.parse().expect("an address"), ..Config::default() };
            let refused = Err(ConfigError::OpenWithoutTls(config.listen));
            assert_eq!(config.validate(), if open { refused } else { Ok(()) }, "{listen}");
            config.insecure = true;
            assert_eq!(config.validate(), Ok(()), "{listen}");
            config.insecure = false;
            config.tls_cert = Some("cert.pem".into());
            config.tls_key = Some("key.pem".into());
            assert_eq!(config.validate(), Ok(()), "{listen}");
            assert!(config.tls().is_some());
        }
    }

    #[test]
    fn halves_and_zeros_are_refused() {
        let cert_only = Config { tls_cert: Some("cert.pem".into()), ..Config::default() };
        assert_eq!(cert_only.validate(), Err(ConfigError::HalfOfTls("--tls-key")));
        let key_only = Config { tls_key: Some("key.pem".into()), ..Config::default() };
        assert_eq!(key_only.validate(), Err(ConfigError::HalfOfTls("--tls-cert")));
        let never = Config { authentication_timeout: Duration::ZERO, ..Config::default() };
        assert!(matches!(never.validate(), Err(ConfigError::ZeroDuration { .. })));
        let never = Config { state_flush_interval: Duration::ZERO, ..Config::default() };
        assert!(matches!(never.validate(), Err(ConfigError::ZeroDuration { .. })));
        let never = Config { audit_retention: Duration::ZERO, ..Config::default() };
        assert!(matches!(never.validate(), Err(ConfigError::ZeroDuration { .. })));
    }

    #[test]
    fn every_option_has_its_variable() {
        let command = Config::augment_args(clap::Command::new("pgmesh"));
        for arg in command.get_arguments() {
            let long = arg.get_long().expect("a long name");
            let expected = format!("PGMESH_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().and_then(std::ffi::OsStr::to_str), Some(expected.as_str()), "--{long}");
        }
    }
}
