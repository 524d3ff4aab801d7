//! The command line: which commands there are, and what each hands to which room.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 not done, 2 not understood.
//! What options mean stands in `config`; this file only gathers them.

mod explain_access;
mod init;
mod principals;
mod user;
mod validate;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{CommonOptions, Config, ConfigFile};
use crate::telemetry;

/// Runs what the arguments ask for (the first one is the program's name).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match parse(args.into_iter().collect()) {
        Ok(command) => command,
        Err(Refusal::Clap(error)) => {
            // Help and version come this way too, and go to standard output.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(Refusal::Config(message)) => return complain(&message, 2),
    };
    match execute(command, &mut io::stdout().lock()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::ProblemsFound) => ExitCode::FAILURE,
        Err(Failure::Said(message)) => complain(&message, 1),
        // Whoever reads the output has gone, for example `head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => complain(&format!("cannot write the result: {error}"), 1),
    }
}

/// A governed data mesh behind the PostgreSQL wire protocol.
///
/// Without a command pgmesh serves: `pgmesh --catalog DIR` is `pgmesh serve --catalog DIR`.
#[derive(Parser, Debug)]
#[command(name = "pgmesh", version, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve the mesh to SQL clients (the default)
    Serve(Box<Config>),
    /// Make a new mesh from a blueprint
    Init {
        /// Folder to create; it must be empty or not exist
        dir: PathBuf,
    },
    /// Say everything that is wrong with the catalog
    Validate {
        #[command(flatten)]
        common: CommonOptions,
        /// Print the problems as JSON
        #[arg(long)]
        json: bool,
        /// Look at the catalog's files only, not at the tables that they name
        #[arg(long)]
        offline: bool,
    },
    /// Say why a user sees what it sees of a data product
    ExplainAccess {
        #[command(flatten)]
        common: CommonOptions,
        /// Name of the user
        user: String,
        /// The data product, as schema.table
        table: String,
    },
    /// Add users, change passwords, list users
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Subcommand, Debug)]
enum UserCommand {
    /// Add a user who logs in with a password
    Add {
        #[command(flatten)]
        common: CommonOptions,
        /// Name of the user
        name: String,
        /// A group that the user belongs to; may be repeated
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Take the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change a user's password
    Passwd {
        #[command(flatten)]
        common: CommonOptions,
        /// Name of the user
        name: String,
        /// Take the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users with their groups and roles
    List {
        #[command(flatten)]
        common: CommonOptions,
    },
}

/// How a command that could do its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The work was to look for problems, and there are some.
    ProblemsFound,
}

/// Why a command could not do its work.
#[derive(Debug)]
enum Failure {
    /// A sentence for the person at the terminal.
    Said(String),
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    fn said(message: impl std::fmt::Display) -> Self {
        Self::Said(message.to_string())
    }
}

type Ended = Result<Outcome, Failure>;

fn execute(command: Command, out: &mut dyn Write) -> Ended {
    match command {
        Command::Serve(config) => serve(&config),
        Command::Init { dir } => init::run(&dir, out),
        Command::Validate { common, json, offline } => {
            telemetry_for(&common)?;
            let stores = if offline { None } else { Some(crate::server::stores(&common).map_err(Failure::said)?) };
            validate::run(&common.catalog, json, stores, out)
        }
        Command::ExplainAccess { common, user, table } => explain_access::run(&common.catalog, &user, &table, out),
        Command::User { command } => match command {
            UserCommand::Add { common, name, groups, password_stdin } => {
                user::add(&common.catalog, &name, &groups, password_stdin, out)
            }
            UserCommand::Passwd { common, name, password_stdin } => {
                user::passwd(&common.catalog, &name, password_stdin, out)
            }
            UserCommand::List { common } => user::list(&common.catalog, out),
        },
    }
}

fn serve(config: &Config) -> Ended {
    config.validate().map_err(Failure::said)?;
    telemetry_for(&config.common)?;
    crate::server::serve(config).map_err(Failure::said)?;
    Ok(Outcome::Done)
}

fn telemetry_for(common: &CommonOptions) -> Result<(), Failure> {
    telemetry::init(common.log_format, &common.log_level).map_err(Failure::Said)
}

fn complain(message: &str, code: u8) -> ExitCode {
    // Nobody is left to hear of a standard error that cannot be written.
    let _ = writeln!(io::stderr(), "error: {message}");
    ExitCode::from(code)
}

/// Why arguments were not understood.
enum Refusal {
    Clap(clap::Error),
    /// `pgmesh.toml` is at fault.
    Config(String),
}

/// Arguments are read twice: once to learn which file of options counts, then with that file's values as defaults.
fn parse(mut args: Vec<OsString>) -> Result<Command, Refusal> {
    insert_default_command(&mut args);
    let matches = Cli::command().try_get_matches_from(&args).map_err(Refusal::Clap)?;
    let mut deepest = &matches;
    while let Some((_, inner)) = deepest.subcommand() {
        deepest = inner;
    }
    // `init` makes a mesh and reads no options.
    let Ok(named) = deepest.try_get_one::<PathBuf>("config") else {
        return Cli::from_arg_matches(&matches).map(|cli| cli.command).map_err(Refusal::Clap);
    };
    let file = ConfigFile::find(named.map(PathBuf::as_path)).map_err(|e| Refusal::Config(e.to_string()))?;
    let command = match file {
        Some(file) => file.apply(Cli::command()),
        None => return Cli::from_arg_matches(&matches).map(|cli| cli.command).map_err(Refusal::Clap),
    };
    let matches = command.try_get_matches_from(&args).map_err(Refusal::Clap)?;
    Cli::from_arg_matches(&matches).map(|cli| cli.command).map_err(Refusal::Clap)
}

/// `pgmesh` and `pgmesh --catalog DIR` serve; help and version are about the whole program.
fn insert_default_command(args: &mut Vec<OsString>) {
    if args.is_empty() {
        args.push("pgmesh".into());
    }
    let first = args.get(1).map(|arg| arg.to_string_lossy().into_owned());
    let is_about_program = matches!(first.as_deref(), Some("-h" | "--help" | "-V" | "--version"));
    if first.is_none_or(|first| first.starts_with('-')) && !is_about_program {
        args.insert(1, "serve".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parsed(args: &[&str]) -> Result<Command, Refusal> {
        parse(std::iter::once("pgmesh").chain(args.iter().copied()).map(OsString::from).collect())
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default() {
        for args in [&[][..], &["--listen", "127.0.0.1:0"], &["serve"], &["serve", "--listen", "127.0.0.1:0"]] {
            assert!(matches!(parsed(args), Ok(Command::Serve(_))), "{args:?}");
        }
        for args in [&["--help"][..], &["--version"], &["sreve"], &["--listn", "x"], &["validate", "--listen", "x"]] {
            assert!(matches!(parsed(args), Err(Refusal::Clap(_))), "{args:?}");
        }
    }

    #[test]
    fn each_command_takes_its_arguments() {
        assert!(matches!(parsed(&["init", "mesh"]), Ok(Command::Init { dir }) if dir == Path::new("mesh")));
        assert!(matches!(parsed(&["validate", "--json"]), Ok(Command::Validate { json: true, .. })));
        assert!(matches!(parsed(&["explain-access", "ann", "sales.orders"]),
            Ok(Command::ExplainAccess { user, table, .. }) if user == "ann" && table == "sales.orders"));
        let Ok(Command::User { command: UserCommand::Add { common, name, groups, password_stdin } }) =
            parsed(&["user", "add", "anna", "--group", "a", "--group", "b", "--password-stdin", "--catalog", "c"])
        else {
            panic!("user add was not understood");
        };
        assert_eq!((name.as_str(), groups.len(), password_stdin), ("anna", 2, true));
        assert_eq!(common.catalog, Path::new("c"));
    }

    #[test]
    fn a_named_file_sets_the_catalog_of_every_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("options.toml");
        std::fs::write(&file, "catalog = 'governed'\nlisten = '127.0.0.1:9'\n").expect("written");
        let file = file.to_str().expect("a path").to_owned();
        let governed = folder.path().join("governed");
        assert!(
            matches!(parsed(&["validate", "--config", &file]), Ok(Command::Validate { common, .. }) if common.catalog == governed)
        );
        assert!(
            matches!(parsed(&["--config", &file]), Ok(Command::Serve(config)) if config.listen.port() == 9 && config.catalog() == governed)
        );
        std::fs::write(&file, "catalg = 'x'").expect("written");
        assert!(
            matches!(parsed(&["user", "list", "--config", &file]), Err(Refusal::Config(m)) if m.contains("catalog"))
        );
    }

    #[test]
    fn an_address_open_to_others_is_refused() {
        let config = Config { listen: "0.0.0.0:0".parse().expect("an address"), ..Config::default() };
        assert!(matches!(serve(&config), Err(Failure::Said(message)) if message.contains("--insecure")));
    }
}
