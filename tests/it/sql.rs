//! Ordinary SQL over the wire: every file of `tests/sql`, each as the principal that its first line names.
//!
//! `PGMESH_REWRITE=pgmesh cargo test --test it sql::` writes the answers into the files, to be reviewed as a diff;
//! `PGMESH_REWRITE=postgres` writes PostgreSQL's into those of `tests/sql/everywhere`. `PGMESH_SQL=date` takes the files
//! with that in their name alone.

use std::path::{Path, PathBuf};

use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, MakeConnection, Normalizer, Record, Runner, StatementExpect};

use tokio::net::{TcpStream, UnixStream};

use crate::postgres;
use crate::raw::{Client, Login, Stream};
use crate::serving::{repository, shared};

/// Names the principal, in a file's first line.
const PRINCIPAL: &str = "# principal: ";

/// The files in this folder hold what PostgreSQL answers in the same way.
const EVERYWHERE: &str = "everywhere";
/// And these, what pgmesh does not answer as PostgreSQL does: expressions, and questions to the tables.
const DIFFERENCES: [&str; 2] = ["differences_everywhere.slt", "differences_mesh.slt"];

struct Session(Client<Box<dyn Stream>>);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

#[async_trait::async_trait]
impl AsyncDB for Session {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let (mut rows, mut columns) = (Vec::new(), None);
        for line in self.0.query(sql).await {
            if line.starts_with("Error ") {
                return Err(Refused(line));
            } else if line.starts_with("Columns") {
                columns = Some(line.matches(':').count());
            } else if let Some(row) = line.strip_prefix("Row ") {
                rows.push(row.split('|').map(|value| if value.is_empty() { "''" } else { value }.to_owned()).collect());
            }
        }
        Ok(match columns {
            Some(columns) => DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows },
            None => DBOutput::StatementComplete(0),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &'static str {
        "pgmesh"
    }
}

#[tokio::test]
async fn every_file_answers_as_it_says() {
    let files = files("").into_iter().chain(files(EVERYWHERE));
    let files: Vec<_> = files.filter(|file| !DIFFERENCES.iter().any(|name| file.ends_with(name))).collect();
    assert!(files.len() >= 3 || std::env::var_os("PGMESH_SQL").is_some(), "{files:?}");
    let mut differences = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let principal = text.lines().next().and_then(|line| line.strip_prefix(PRINCIPAL));
        let login = Login::sample(principal.unwrap_or_else(|| panic!("{} names no principal", file.display())));
        let mut runner = Runner::new(async || {
            let stream = TcpStream::connect(shared().address).await.unwrap();
            Ok(Session::open(Box::new(stream), &login).await)
        });
        differences.extend(answers(&mut runner, &file, "pgmesh").await);
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// The files of a folder of `tests/sql`, those with `PGMESH_SQL` in their name if that is set.
fn files(folder: &str) -> Vec<PathBuf> {
    let wanted = std::env::var("PGMESH_SQL").unwrap_or_default();
    let folder = repository().join("tests/sql").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "slt") && file.to_string_lossy().contains(&wanted));
    files.sort();
    files
}

/// Runs a whole file and tells every difference, not the first alone; or writes the answers into it, where
/// `PGMESH_REWRITE` names this server.
async fn answers<M>(runner: &mut Runner<Session, M>, file: &Path, server: &str) -> Vec<String>
where
    M: MakeConnection<Conn = Session>,
{
    if std::env::var("PGMESH_REWRITE").is_ok_and(|wanted| wanted == server) {
        let validate = sqllogictest::default_validator;
        let (normalize, columns) = (sqllogictest::default_normalizer, sqllogictest::default_column_validator);
        runner.update_test_file(file, "|", validate, normalize, columns).await.unwrap();
        return Vec::new();
    }
    let differences = outcomes(runner, file).await.into_iter().filter_map(Result::err);
    differences.map(|difference| format!("{server}: {}: {difference}", file.display())).collect()
}

/// For each query either its text, where the answer was as expected, or what differs. Statements are told of when they
/// differ.
async fn outcomes<M: MakeConnection<Conn = Session>>(
    runner: &mut Runner<Session, M>,
    file: &Path,
) -> Vec<Result<String, String>> {
    runner.with_validator(same);
    let mut outcomes = Vec::new();
    for record in sqllogictest::parse_file(file).unwrap() {
        let sql = match &record {
            Record::Query { sql, .. } | Record::Statement { sql, .. } => sql.clone(),
            _ => continue,
        };
        let is_setting = matches!(&record, Record::Statement { expected: StatementExpect::Ok, .. });
        match runner.run_async(record).await {
            Ok(_) if is_setting => {}
            Ok(_) => outcomes.push(Ok(sql)),
            Err(error) => outcomes.push(Err(error.display(false).to_string())),
        }
    }
    outcomes
}

#[tokio::test]
async fn known_differences_are_still_there() {
    let login = Login::sample("data_scientist");
    let mut gone = Vec::new();
    for file in DIFFERENCES {
        let mut runner = Runner::new(async || {
            let stream = TcpStream::connect(shared().address).await.unwrap();
            Ok(Session::open(Box::new(stream), &login).await)
        });
        let outcomes = outcomes(&mut runner, &repository().join("tests/sql").join(file)).await;
        gone.extend(outcomes.into_iter().filter_map(Result::ok));
    }
    assert!(gone.is_empty(), "answered as PostgreSQL does; move to a file that says so: {gone:#?}");
}

fn same(_: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    actual.iter().map(|row| row.join("|")).eq(expected.iter().cloned())
}

#[tokio::test]
async fn postgres_answers_expressions_in_the_same_way() {
    let Some(postgres) = postgres::instance() else { return };
    let login = Login { database: "postgres", ..Login::sample("postgres") };
    let mut runner = Runner::new(async || {
        let stream = UnixStream::connect(postgres.socket()).await.unwrap();
        let mut session = Session::open(Box::new(stream), &login).await;
        session.0.query("set timezone = 'UTC'").await;
        Ok(session)
    });
    let mut differences = Vec::new();
    for file in files(EVERYWHERE).into_iter().chain([repository().join("tests/sql").join(DIFFERENCES[0])]) {
        differences.extend(answers(&mut runner, &file, "postgres").await);
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

impl Session {
    async fn open(stream: Box<dyn Stream>, login: &Login<'_>) -> Self {
        let mut client = Client::over(stream);
        client.startup(login).await.unwrap_or_else(|refused| panic!("{}", refused.line()));
        Self(client)
    }
}
