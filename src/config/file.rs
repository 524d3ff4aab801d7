//! `pgmesh.toml`: the options of the command line, written down.
//!
//! Keys are the options' names. Values go through the parsers of the command line, so that both mean the same and an
//! error names line and column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command, ValueHint};
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "pgmesh.toml";

/// The options that a file sets, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Option (clap's id) to value, as the command line would have it.
    values: BTreeMap<String, String>,
}

impl ConfigFile {
    /// Reads the named file, or `pgmesh.toml` in the current folder if there is one.
    ///
    /// # Errors
    /// A named file that cannot be read; text that is not TOML; unknown keys; values that the option does not take.
    pub fn find(named: Option<&Path>) -> Result<Option<Self>, ConfigError> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path).map(Some),
            Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(ConfigError::Unreadable { path: path.to_owned(), cause: e.to_string() }),
        }
    }

    /// Makes the file's values the defaults of the command's options and of those of its subcommands, so that
    /// environment and command line still win.
    #[must_use]
    pub fn apply(&self, command: Command) -> Command {
        let command = command.mut_args(|arg| match self.values.get(arg.get_id().as_str()) {
            // clap keeps defaults for the life of the program, and this runs once in it.
            Some(value) => arg.default_value(&*value.clone().leak()),
            None => arg,
        });
        command.mut_subcommands(|subcommand| self.apply(subcommand))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let error_at = |offset: usize, message: String| {
            let (line, column) = line_and_column(text, offset);
            ConfigError::InFile { path: path.to_owned(), line, column, message }
        };
        let table = DeTable::parse(text)
            .map_err(|e| error_at(e.span().map_or(0, |span| span.start), e.message().to_owned()))?;
        let command = without_environment(Config::augment_args(Command::new("pgmesh")));
        let mut values = BTreeMap::new();
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let arg = find_option(&command, name).map_err(|message| error_at(key.span().start, message))?;
            let at_value = |message: String| error_at(value.span().start, message);
            let mut value = plain_value(value.get_ref())
                .ok_or_else(|| at_value(format!("{name} takes text, a number, true or false")))?;
            check(&command, arg, &value).map_err(at_value)?;
            if matches!(arg.get_value_hint(), ValueHint::FilePath | ValueHint::DirPath) && !value.contains("://") {
                value = beside(path, &value).to_string_lossy().into_owned();
            }
            values.insert(arg.get_id().to_string(), value);
        }
        Ok(Self { values })
    }
}

/// The same command, deaf to the environment.
pub(super) fn without_environment(command: Command) -> Command {
    command.mut_args(|arg| arg.env(clap::builder::Resettable::Reset))
}

fn find_option<'c>(command: &'c Command, name: &str) -> Result<&'c Arg, String> {
    let is_meant = |arg: &&Arg| arg.get_long() == Some(name) && name != "config";
    if let Some(arg) = command.get_arguments().find(is_meant) {
        return Ok(arg);
    }
    let names = command.get_arguments().filter_map(Arg::get_long).filter(|long| *long != "config");
    let close = names
        .map(|long| (strsim::jaro_winkler(&name.replace('_', "-"), long), long))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(match close {
        Some((_, long)) => format!("unknown option {name}; did you mean {long}?"),
        None => format!("unknown option {name}; pgmesh serve --help lists the options"),
    })
}

/// A value as the command line would have it.
fn plain_value(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string()),
        DeValue::Boolean(word) => Some(word.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Lets the option's own parser judge the value.
fn check(command: &Command, arg: &Arg, value: &str) -> Result<(), String> {
    let written = format!("--{}={value}", arg.get_long().unwrap_or_default());
    match command.clone().try_get_matches_from(["pgmesh", &written]) {
        Ok(_) => Ok(()),
        Err(e) => {
            let text = e.to_string();
            let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
            let message = lines.collect::<Vec<_>>().join(" ");
            Err(message.strip_prefix("error: ").unwrap_or(&message).to_owned())
        }
    }
}

/// A relative path in a file is relative to the file.
fn beside(file: &Path, value: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(value)
}

/// Both from 1, in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn merged(file: &str, args: &[&str]) -> Config {
        let file = ConfigFile::parse(file, Path::new("etc/pgmesh.toml")).expect("a good file");
        let command =
            Command::new("pgmesh").subcommand(without_environment(Config::augment_args(Command::new("serve"))));
        let args = ["pgmesh", "serve"].iter().chain(args);
        let matches = file.apply(command).try_get_matches_from(args).expect("good arguments");
        let (_, matches) = matches.subcommand().expect("serve");
        Config::from_arg_matches(matches).expect("a configuration")
    }

    fn refusal(file: &str) -> String {
        ConfigFile::parse(file, Path::new("pgmesh.toml")).expect_err("a refusal").to_string()
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_the_default() {
        let file = "listen = '127.0.0.1:1'\nmax-connections = 0x10\ninsecure = true\n\
                    statement-timeout = '5s'\ntls-cert = 'cert.pem'\ntls-key = '/abs/key.pem'\nmemory-limit = '1GiB'\n";
        let config = merged(file, &["--listen", "127.0.0.1:2", "--insecure=false"]);
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.max_connections.get(), 16);
        assert!(!config.insecure);
        assert_eq!(config.statement_timeout.as_secs(), 5);
        assert_eq!(config.max_connections_per_user.get(), 100);
        assert_eq!(config.memory_limit.0, 1 << 30);
        assert_eq!(config.tls_cert.as_deref(), Some(Path::new("etc/cert.pem")));
        assert_eq!(config.tls_key.as_deref(), Some(Path::new("/abs/key.pem")));
        assert!(merged(file, &[]).insecure);
        assert_eq!(merged("state = 'kept'", &[]).state(), "etc/kept");
        assert_eq!(merged("state = 's3://lake/state'", &[]).state(), "s3://lake/state");
        assert!(merged("", &["--insecure"]).insecure);
    }

    #[test]
    fn unknown_keys_are_errors_with_a_suggestion() {
        assert_eq!(
            refusal("# first\n\nmax_conections = 5\n"),
            "pgmesh.toml:3:1: unknown option max_conections; did you mean max-connections?"
        );
        assert_eq!(refusal("listn = 'x'"), "pgmesh.toml:1:1: unknown option listn; did you mean listen?");
        assert!(refusal("zzz = 1").contains("--help lists the options"));
        assert!(refusal("config = 'other.toml'").contains("unknown option config"));
        assert!(refusal("[server]\nlisten = 'x'").contains("unknown option server"));
    }

    #[test]
    fn bad_values_name_their_place() {
        let message = refusal("catalog = 'c'\nmax-connections = 0");
        assert!(message.starts_with("pgmesh.toml:2:19: invalid value '0' for '--max-connections"), "{message}");
        assert!(refusal("listen = ['a']").contains("listen takes text, a number, true or false"));
        assert!(refusal("statement-timeout = 10").contains("write a duration as"));
        assert!(refusal("log-format = 'xml'").contains("invalid value 'xml'"));
        assert!(refusal("max-connections = 1.5").contains("takes text, a number"));
        assert!(refusal("listen = ").starts_with("pgmesh.toml:1:"));
        assert!(refusal("listen = 'a'\nlisten = 'b'").starts_with("pgmesh.toml:2:"));
    }

    #[test]
    fn a_named_file_must_exist() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing.toml");
        assert!(matches!(ConfigFile::find(Some(&missing)), Err(ConfigError::Unreadable { .. })));
        std::fs::write(&missing, "threads = 3").expect("written");
        assert!(ConfigFile::find(Some(&missing)).is_ok_and(|file| file.is_some()));
    }
}
