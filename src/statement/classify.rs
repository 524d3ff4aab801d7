//! What kind of statement this is, and which kinds there are: a list of what runs, not of what is banned.
//!
//! Pure: no catalog, no session. A statement that pgmesh does not run is refused here with PostgreSQL's code for it.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    AnalyzeFormatKind, CloseCursor, CreateTableOptions, CreateView, DataType, DiscardObject, Expr, Ident, ObjectName,
    ObjectType, Query, Select, SetExpr, Statement, TableFactor, UnaryOperator, UtilityOption, Value, Visit, Visitor,
};

use super::command::call::Call;
use super::command::copy::CopyOut;
use super::limits;
use super::notify::Change;
use super::parse::copy::{Copy, Target};
use super::parse::cursors::{DeclareCursor, FetchCursor};
pub use super::parse::cursors::{Direction, FETCH_ALL};
use super::parse::privileges::Privileges;
use super::views::{self, Definition};
use crate::error::{Error, Result, SqlState};
use crate::settings::parse_bool;

/// Longer identifiers are cut (`NAMEDATALEN` less one).
const IDENTIFIER_BYTES_MAX: usize = 63;

/// Everything that can run.
#[derive(Clone, Debug)]
pub enum Command {
    /// SELECT, VALUES, WITH.
    Query(Box<DfStatement>),
    Explain {
        query: Box<DfStatement>,
        analyze: bool,
        verbose: bool,
    },
    /// COPY … TO STDOUT.
    Copy(Box<CopyOut>),
    Show(String),
    ShowAll,
    /// GRANT and REVOKE.
    Privileges(Privileges),
    Call(Call),
    /// What only the session can do.
    Session(SessionCommand),
}

impl Command {
    /// The first word of a command whose effect lasts whatever becomes of the transaction: it runs in no block.
    #[must_use]
    pub fn outlives_rollback(&self) -> Option<&'static str> {
        match self {
            Self::Privileges(privileges) => Some(privileges.tag()),
            Self::Call(_) => Some("CALL"),
            Self::Query(_)
            | Self::Explain { .. }
            | Self::Copy(_)
            | Self::Show(_)
            | Self::ShowAll
            | Self::Session(_) => None,
        }
    }
}

/// DECLARE … CURSOR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    pub name: String,
    pub query: Box<DfStatement>,
    pub binary: bool,
    /// What was said about scrolling.
    pub scroll: Option<bool>,
    /// It outlives its transaction.
    pub hold: bool,
}

/// PREPARE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareStatement {
    pub name: String,
    /// The parameters' types, as far as they were named.
    pub types: Vec<DataType>,
    pub query: Box<DfStatement>,
}

/// EXECUTE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutePrepared {
    pub name: String,
    pub arguments: Vec<Expr>,
}

/// Commands that change the session and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCommand {
    /// `value` `None` is DEFAULT.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    Reset(String),
    ResetAll,
    /// (setting, value) pairs that hold for the transaction.
    Begin {
        start: bool,
        modes: Vec<(&'static str, String)>,
    },
    SetTransaction {
        modes: Vec<(&'static str, String)>,
        session: bool,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// The tag's second word: ALL, PLANS, SEQUENCES, TEMP.
    Discard(&'static str),
    /// `None` is ALL.
    Deallocate(Option<String>),
    /// SET ROLE, which may only name who one already is.
    SetRole(Option<String>),
    SetSessionAuthorization(Option<String>),
    Declare(Declaration),
    /// FETCH and MOVE.
    Fetch(FetchCursor),
    Prepare(PrepareStatement),
    Execute(ExecutePrepared),
    ExplainExecute {
        execute: ExecutePrepared,
        analyze: bool,
        verbose: bool,
    },
    /// CLOSE; `None` is ALL.
    Close(Option<String>),
    /// LISTEN, UNLISTEN and NOTIFY.
    Channel(Change),
    /// CREATE TEMPORARY VIEW.
    CreateView(Definition),
    /// DROP VIEW of temporary views.
    DropViews {
        names: Vec<String>,
        if_exists: bool,
    },
}

/// Sorts a parsed statement.
///
/// # Errors
/// `25006` for statements that write, `0A000` for others that pgmesh does not run.
pub fn classify(statement: Statement) -> Result<Command> {
    Ok(match statement {
        Statement::Query(query) => {
            check_query(&query)?;
            Command::Query(Box::new(DfStatement::Statement(Box::new(Statement::Query(query)))))
        }
        Statement::Explain { analyze, verbose, statement, format, options, .. } => {
            explain(*statement, analyze, verbose, format.as_ref(), options.as_deref().unwrap_or(&[]))?
        }
        Statement::Call(function) => Command::Call(Call::new(function)?),
        Statement::Commit { chain, .. } => Command::Session(SessionCommand::Commit { chain }),
        Statement::Rollback { chain, savepoint: None } => Command::Session(SessionCommand::Rollback { chain }),
        Statement::Rollback { savepoint: Some(name), .. } => {
            Command::Session(SessionCommand::RollbackTo(identifier(&name)))
        }
        Statement::Savepoint { name } => Command::Session(SessionCommand::Savepoint(identifier(&name))),
        Statement::ReleaseSavepoint { name } => Command::Session(SessionCommand::Release(identifier(&name))),
        Statement::Discard { object_type } => Command::Session(SessionCommand::Discard(match object_type {
            DiscardObject::ALL => "ALL",
            DiscardObject::PLANS => "PLANS",
            DiscardObject::SEQUENCES => "SEQUENCES",
            DiscardObject::TEMP => "TEMP",
        })),
        Statement::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Command::Session(SessionCommand::Deallocate((!all).then(|| identifier(&name))))
        }
        Statement::Prepare { name, data_types, statement } => match classify(*statement) {
            Ok(Command::Query(query)) => Command::Session(SessionCommand::Prepare(PrepareStatement {
                name: identifier(&name),
                types: data_types,
                query,
            })),
            Err(error) if error.sqlstate() == SqlState::READ_ONLY_SQL_TRANSACTION => return Err(error),
            _ => return Err(Error::new(SqlState::SYNTAX_ERROR, "PREPARE takes a query")),
        },
        Statement::Execute { name: Some(name), parameters, has_parentheses, immediate: false, into, using, .. }
            if into.is_empty() && using.is_empty() && has_parentheses != parameters.is_empty() =>
        {
            let [part] = name.0.as_slice() else {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "a prepared statement has a plain name"));
            };
            let name = part.as_ident().map(identifier).unwrap_or_default();
            Command::Session(SessionCommand::Execute(ExecutePrepared { name, arguments: parameters }))
        }
        Statement::Execute { .. } => return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error in EXECUTE")),
        Statement::Close { cursor } => Command::Session(SessionCommand::Close(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(identifier(&name)),
        })),
        Statement::LISTEN { channel } => {
            Command::Session(SessionCommand::Channel(Change::Listen(channel_name(&channel))))
        }
        Statement::UNLISTEN { channel } => Command::Session(SessionCommand::Channel(match channel.value.as_str() {
            "*" if channel.quote_style.is_none() => Change::UnlistenAll,
            _ => Change::Unlisten(channel_name(&channel)),
        })),
        Statement::NOTIFY { channel, payload } => Command::Session(SessionCommand::Channel(Change::Notify {
            channel: channel_name(&channel),
            payload: payload.unwrap_or_default(),
        })),
        Statement::CreateView(view) if view.temporary || schema_of(&view.name).as_deref() == Some(views::SCHEMA) => {
            Command::Session(SessionCommand::CreateView(create_view(view)?))
        }
        Statement::Drop { object_type: ObjectType::View, if_exists, names, .. } => match temporary_names(&names) {
            Some(names) => Command::Session(SessionCommand::DropViews { names, if_exists }),
            None => return Err(read_only("DROP VIEW")),
        },
        other => return Err(refusal(&other)),
    })
}

/// Sorts a COPY: what leaves or reaches the server by files or programs, or writes, does not run.
///
/// # Errors
/// `42501` for files and programs, as for any ordinary user of PostgreSQL; `25006` for COPY FROM.
pub fn classify_copy(copy: Copy) -> Result<Command> {
    let who = match (copy.target, copy.query.is_some()) {
        (Target::Client, _) => None,
        (Target::File, true) => Some("pg_write_server_files role to COPY to a file"),
        (Target::File, false) => Some("pg_read_server_files role to COPY from a file"),
        (Target::Program, _) => Some("pg_execute_server_program role to COPY to or from an external program"),
    };
    if let Some(who) = who {
        let message = format!("must be superuser or have privileges of the {who}");
        return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
            .hint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone."));
    }
    let Some(query) = copy.query else { return Err(read_only("COPY FROM")) };
    let Command::Query(query) = classify(*query)? else {
        return Err(Error::internal("COPY of what is no query"));
    };
    let (table, columns, options) = (copy.table, copy.columns, copy.options);
    Ok(Command::Copy(Box::new(CopyOut { query, table, columns, options })))
}

fn create_view(view: CreateView) -> Result<Definition> {
    let plain = !view.or_alter
        && !view.materialized
        && !view.secure
        && !view.if_not_exists
        && !view.with_no_schema_binding
        && !view.copy_grants
        && view.options == CreateTableOptions::None
        && view.cluster_by.is_empty()
        && view.comment.is_none()
        && view.to.is_none()
        && view.params.is_none()
        && view.columns.iter().all(|column| column.data_type.is_none() && column.options.is_none());
    if !plain {
        return Err(Error::unsupported("a temporary view has a name, names of columns and a query, and no options"));
    }
    let Some(name) = temporary_name(&view.name) else {
        let message = "cannot create temporary relation in non-temporary schema";
        return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
    };
    check_query(&view.query)?;
    Ok(Definition {
        name,
        columns: view.columns.iter().map(|column| identifier(&column.name)).collect(),
        query: Box::new(DfStatement::Statement(Box::new(Statement::Query(view.query)))),
        or_replace: view.or_replace,
    })
}

fn schema_of(name: &ObjectName) -> Option<String> {
    let [schema, _] = name.0.as_slice() else { return None };
    schema.as_ident().map(identifier)
}

/// The name of a temporary view: unqualified, or with the schema of temporary objects.
fn temporary_name(name: &ObjectName) -> Option<String> {
    let last = name.0.last().and_then(|part| part.as_ident()).map(identifier);
    let is_temporary = name.0.len() == 1 || schema_of(name).as_deref() == Some(views::SCHEMA);
    last.filter(|_| is_temporary)
}

fn temporary_names(names: &[ObjectName]) -> Option<Vec<String>> {
    names.iter().map(temporary_name).collect()
}

/// Sorts a DECLARE.
///
/// # Errors
/// As [`classify`], of its query.
pub fn classify_declare(declare: DeclareCursor) -> Result<Command> {
    let DeclareCursor { name, query, binary, scroll, hold } = declare;
    let Command::Query(query) = classify(*query)? else {
        return Err(Error::internal("DECLARE of what is no query"));
    };
    Ok(Command::Session(SessionCommand::Declare(Declaration { name, query, binary, scroll, hold })))
}

/// A query may hide a write, a lock or a sample at any depth; and GROUP BY may stand for more than it says.
fn check_query(query: &Query) -> Result<()> {
    match query.visit(&mut Hidden) {
        ControlFlow::Continue(()) => limits::check_grouping_sets(query),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Finds what only looks like a query.
struct Hidden;

impl Visitor for Hidden {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if !query.locks.is_empty() {
            return ControlFlow::Break(read_only("SELECT FOR UPDATE"));
        }
        match query.body.as_ref() {
            SetExpr::Insert(_) => ControlFlow::Break(read_only("INSERT")),
            SetExpr::Update(_) => ControlFlow::Break(read_only("UPDATE")),
            SetExpr::Delete(_) => ControlFlow::Break(read_only("DELETE")),
            SetExpr::Merge(_) => ControlFlow::Break(read_only("MERGE")),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() { ControlFlow::Break(read_only("SELECT INTO")) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } => {
                ControlFlow::Break(Error::unsupported("TABLESAMPLE is not supported"))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn explain(
    statement: Statement,
    analyze: bool,
    verbose: bool,
    format: Option<&AnalyzeFormatKind>,
    options: &[UtilityOption],
) -> Result<Command> {
    if format.is_some() {
        return Err(Error::unsupported("EXPLAIN prints text only"));
    }
    let (mut analyze, mut verbose) = (analyze, verbose);
    for option in options {
        let name = option.name.value.to_ascii_lowercase();
        let argument = option.arg.as_ref().map_or_else(|| "on".to_owned(), plain_text);
        let flag = || {
            parse_bool(&argument)
                .ok_or_else(|| Error::new(SqlState::SYNTAX_ERROR, format!("{name} requires a Boolean value")))
        };
        match name.as_str() {
            "analyze" => analyze = flag()?,
            "verbose" => verbose = flag()?,
            // accepted, without effect on a plan in text
            "costs" | "settings" | "buffers" | "wal" | "timing" | "summary" => _ = flag()?,
            "format" if argument.eq_ignore_ascii_case("text") => {}
            "format" => return Err(Error::unsupported("EXPLAIN prints text only")),
            _ => {
                return Err(Error::new(SqlState::SYNTAX_ERROR, format!("unrecognized EXPLAIN option \"{name}\"")));
            }
        }
    }
    match classify(statement)? {
        Command::Query(query) => Ok(Command::Explain { query, analyze, verbose }),
        Command::Session(SessionCommand::Execute(execute)) => {
            Ok(Command::Session(SessionCommand::ExplainExecute { execute, analyze, verbose }))
        }
        _ => Err(Error::new(SqlState::SYNTAX_ERROR, "EXPLAIN takes a query")),
    }
}

/// A channel's name, cut to an identifier's length as PostgreSQL's lexer cuts it.
fn channel_name(ident: &Ident) -> String {
    let mut name = identifier(ident);
    name.truncate(name.floor_char_boundary(IDENTIFIER_BYTES_MAX));
    name
}

/// An identifier as PostgreSQL folds it.
fn identifier(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// The text of a value in SET or EXPLAIN: strings without quotes, words as they stand.
fn plain_text(expr: &Expr) -> String {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) | Value::EscapedStringLiteral(s) => s.clone(),
            Value::Boolean(b) => if *b { "on" } else { "off" }.to_owned(),
            other => other.to_string(),
        },
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{}", plain_text(expr)),
        Expr::Interval(interval) => plain_text(&interval.value),
        other => other.to_string(),
    }
}

fn read_only(what: &str) -> Error {
    Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, format!("cannot execute {what} in a read-only transaction"))
        .hint("Data products are read-only here; their domains write them.")
}

/// What may stand between CREATE and the kind of what is created.
const MODIFIERS: [&str; 8] = ["OR", "REPLACE", "TEMPORARY", "TEMP", "GLOBAL", "LOCAL", "UNLOGGED", "UNIQUE"];

/// What a statement that does not run is told. PostgreSQL words writes in a read-only transaction the same way.
fn refusal(statement: &Statement) -> Error {
    let text = statement.to_string();
    let mut words = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_alphabetic()));
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    let (mut is_temporary, mut second) = (false, String::new());
    for word in words.map(str::to_ascii_uppercase) {
        is_temporary |= matches!(word.as_str(), "TEMPORARY" | "TEMP");
        second = word;
        if !MODIFIERS.contains(&second.as_str()) {
            break;
        }
    }
    match first.as_str() {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => {
            let tag = if first == "TRUNCATE" { "TRUNCATE TABLE".to_owned() } else { first };
            read_only(&tag)
        }
        // those may be written in a read-only transaction
        "CREATE" if is_temporary => {
            Error::unsupported(format!("temporary {}s are not supported", second.to_lowercase()))
                .hint("There are temporary views.")
        }
        "CREATE" | "ALTER" | "DROP" => read_only(&format!("{first} {second}")),
        "COMMENT" | "REINDEX" | "CLUSTER" | "LOCK" => read_only(&first),
        _ => Error::unsupported(format!("{first} is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::parse::parse;

    fn one(sql: &str) -> Result<Command> {
        Ok(parse(sql)?.remove(0).command)
    }

    fn session(sql: &str) -> SessionCommand {
        match one(sql).unwrap() {
            Command::Session(command) => command,
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn transactions_end_in_their_forms() {
        assert_eq!(session("END"), SessionCommand::Commit { chain: false });
        assert_eq!(session("ROLLBACK TO SAVEPOINT a"), SessionCommand::RollbackTo("a".to_owned()));
        assert_eq!(session("RELEASE a"), SessionCommand::Release("a".to_owned()));
        assert_eq!(session("DISCARD ALL"), SessionCommand::Discard("ALL"));
        assert_eq!(session("DEALLOCATE ALL"), SessionCommand::Deallocate(None));
        assert_eq!(session("DEALLOCATE \"S_1\""), SessionCommand::Deallocate(Some("S_1".to_owned())));
    }

    #[test]
    fn cursors_are_closed_and_channels_heard() {
        assert_eq!(session("close all"), SessionCommand::Close(None));
        assert_eq!(session("close \"C\""), SessionCommand::Close(Some("C".to_owned())));
        let channel = |name: &str| name.to_owned();
        for (sql, change) in [
            ("UNLISTEN *", Change::UnlistenAll),
            ("unlisten C", Change::Unlisten(channel("c"))),
            ("listen \"C\"", Change::Listen(channel("C"))),
            ("notify c", Change::Notify { channel: channel("c"), payload: String::new() }),
            ("notify c, 'it''s'", Change::Notify { channel: channel("c"), payload: "it's".to_owned() }),
        ] {
            assert_eq!(session(sql), SessionCommand::Channel(change), "{sql}");
        }
    }

    #[test]
    fn writes_are_refused_as_in_a_read_only_transaction() {
        for sql in [
            "insert into sales.orders values (1)",
            "update sales.orders set a = 1",
            "delete from sales.orders",
            "truncate sales.orders",
            "create table x (a int)",
            "drop table sales.orders",
            "alter table sales.orders add column x int",
            "select * into x from sales.orders",
            "select * from sales.orders for update",
            "with x as (insert into t values (1) returning *) select * from x",
            "select * from (select * from sales.orders for update) t",
            "select (select 1 into foo)",
        ] {
            assert_eq!(one(sql).unwrap_err().sqlstate(), SqlState::READ_ONLY_SQL_TRANSACTION, "{sql}");
        }
    }

    #[test]
    fn side_doors_are_refused() {
        for sql in [
            "load data inpath '/etc' into table x",
            "select * from sales.orders tablesample system (1)",
            "vacuum",
            "pragma x",
            "install x",
        ] {
            let error = one(sql).unwrap_err();
            assert!(
                [SqlState::FEATURE_NOT_SUPPORTED, SqlState::SYNTAX_ERROR].contains(&error.sqlstate()),
                "{sql}: {error}"
            );
        }
    }

    #[test]
    fn temporary_views_and_no_others() {
        let created = session("CREATE OR REPLACE TEMP VIEW V (a, \"B\") AS SELECT 1, 2");
        let SessionCommand::CreateView(view) = created else { panic!("{created:?}") };
        assert_eq!(
            (view.name.as_str(), view.columns, view.or_replace),
            ("v", vec!["a".to_owned(), "B".to_owned()], true)
        );
        assert!(matches!(session("create view pg_temp.v as select 1"), SessionCommand::CreateView(_)));
        assert!(matches!(session("create temporary view v as values (1)"), SessionCommand::CreateView(_)));
        let dropped = SessionCommand::DropViews { names: vec!["a".to_owned(), "B".to_owned()], if_exists: true };
        assert_eq!(session("drop view if exists a, pg_temp.\"B\" cascade"), dropped);
        let code = |sql| one(sql).unwrap_err().sqlstate();
        for sql in [
            "create view v as select 1",
            "create view sales.v as select 1",
            "drop view sales.v",
            "drop view v, sales.v",
        ] {
            assert_eq!(code(sql), SqlState::READ_ONLY_SQL_TRANSACTION, "{sql}");
        }
        assert_eq!(code("create temp view sales.v as select 1"), SqlState::INVALID_TABLE_DEFINITION);
        assert_eq!(
            code("create temp view v with (security_barrier = true) as select 1"),
            SqlState::FEATURE_NOT_SUPPORTED
        );
        assert_eq!(code("create temp view v as select * from t for update"), SqlState::READ_ONLY_SQL_TRANSACTION);
        assert_eq!(code("create temp table t (x int)"), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(code("create unique index i on t (x)"), SqlState::READ_ONLY_SQL_TRANSACTION);
    }

    #[test]
    fn explain_options() {
        assert!(matches!(one("explain select 1").unwrap(), Command::Explain { analyze: false, .. }));
        assert!(matches!(
            one("explain (analyze, verbose off) select 1").unwrap(),
            Command::Explain { analyze: true, verbose: false, .. }
        ));
        assert_eq!(one("explain (format json) select 1").unwrap_err().sqlstate(), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(one("explain (colour) select 1").unwrap_err().sqlstate(), SqlState::SYNTAX_ERROR);
        assert!(one("explain begin").is_err());
    }
}
