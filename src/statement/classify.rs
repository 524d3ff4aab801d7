//! What kind of statement this is, and which kinds there are: a list of what runs, not of what is banned.
//!
//! Pure: no catalog, no session. A statement that pgmesh does not run is refused here with PostgreSQL's code for it.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    AnalyzeFormatKind, CloseCursor, ContextModifier, CreateTableOptions, CreateView, Declare, DeclareType,
    DiscardObject, Expr, FetchDirection, Ident, ObjectName, ObjectType, Query, Reset, Select, Set, SetExpr, Statement,
    TableFactor, TransactionAccessMode, TransactionIsolationLevel, TransactionMode, UnaryOperator, UtilityOption,
    Value, ValueWithSpan, Visit, Visitor,
};

use super::command::call::Call;
use super::limits;
use super::parse::privileges::Privileges;
use super::views::{self, Definition};
use crate::error::{Error, Result, SqlState};
use crate::settings::parse_bool;

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
            Self::Query(_) | Self::Explain { .. } | Self::Show(_) | Self::ShowAll | Self::Session(_) => None,
        }
    }
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
    /// DECLARE … CURSOR: forward only, within the transaction.
    Declare {
        name: String,
        query: Box<DfStatement>,
        binary: bool,
    },
    /// FETCH; `None` is ALL.
    Fetch {
        name: String,
        rows: Option<u64>,
    },
    /// CLOSE; `None` is ALL.
    Close(Option<String>),
    /// UNLISTEN: nothing is listened to.
    Unlisten,
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
        Statement::ShowVariable { variable } => show(&variable),
        Statement::Call(function) => Command::Call(Call::new(function)?),
        Statement::Set(set) => Command::Session(classify_set(set)?),
        Statement::Reset(reset) => Command::Session(match reset.reset {
            Reset::ALL => SessionCommand::ResetAll,
            Reset::ConfigurationParameter(name) => SessionCommand::Reset(setting_name(&name)),
        }),
        Statement::StartTransaction { modes, begin, statements, .. } if statements.is_empty() => {
            Command::Session(SessionCommand::Begin { start: !begin, modes: transaction_modes(&modes)? })
        }
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
        Statement::Declare { stmts } => Command::Session(declare(stmts)?),
        Statement::Fetch { name, direction, into: None, .. } => {
            Command::Session(SessionCommand::Fetch { name: identifier(&name), rows: fetch_rows(&direction)? })
        }
        Statement::Close { cursor } => Command::Session(SessionCommand::Close(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(identifier(&name)),
        })),
        Statement::UNLISTEN { .. } => Command::Session(SessionCommand::Unlisten),
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

fn declare(mut statements: Vec<Declare>) -> Result<SessionCommand> {
    let syntax = || Error::new(SqlState::SYNTAX_ERROR, "syntax error in DECLARE");
    let declared = statements.pop().filter(|_| statements.is_empty()).ok_or_else(syntax)?;
    let (Some(DeclareType::Cursor), Some(name), Some(query)) =
        (declared.declare_type, declared.names.first(), declared.for_query)
    else {
        return Err(syntax());
    };
    if declared.scroll == Some(true) {
        return Err(
            Error::unsupported("scrollable cursors are not supported").hint("Leave SCROLL out and fetch forward.")
        );
    }
    if declared.hold == Some(true) {
        return Err(Error::unsupported("cursors that outlive their transaction are not supported"));
    }
    check_query(&query)?;
    Ok(SessionCommand::Declare {
        name: identifier(name),
        query: Box::new(DfStatement::Statement(Box::new(Statement::Query(query)))),
        binary: declared.binary == Some(true),
    })
}

/// How many rows FETCH asks for, going forward.
fn fetch_rows(direction: &FetchDirection) -> Result<Option<u64>> {
    let count = |limit: &ValueWithSpan| match &limit.value {
        Value::Number(text, _) => text.parse().ok(),
        _ => None,
    };
    match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Ok(Some(1)),
        FetchDirection::All | FetchDirection::ForwardAll => Ok(None),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            count(limit).map(Some).ok_or_else(forward_only)
        }
        _ => Err(forward_only()),
    }
}

fn forward_only() -> Error {
    Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cursor can only scan forward")
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
        _ => Err(Error::new(SqlState::SYNTAX_ERROR, "EXPLAIN takes a query")),
    }
}

fn show(variable: &[Ident]) -> Command {
    let words: Vec<String> = variable.iter().map(|v| v.value.clone()).collect();
    let spaced = words.join(" ").to_ascii_lowercase();
    match spaced.as_str() {
        "all" => Command::ShowAll,
        "time zone" => Command::Show("TimeZone".to_owned()),
        "transaction isolation level" => Command::Show("transaction_isolation".to_owned()),
        "session authorization" => Command::Show("session_authorization".to_owned()),
        _ => Command::Show(words.join(".")),
    }
}

fn classify_set(set: Set) -> Result<SessionCommand> {
    Ok(match set {
        Set::SingleAssignment { scope, variable, values, hivevar: false } => {
            let name = setting_name(&variable);
            let local = scope == Some(ContextModifier::Local);
            let texts: Vec<String> = values.iter().map(plain_text).collect();
            let is_default = matches!(values.as_slice(), [Expr::Identifier(word)]
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"));
            let value = if is_default { None } else { Some(join_values(&name, &values, &texts)) };
            SessionCommand::Set { name, value, local }
        }
        Set::SetTimeZone { local, value } => {
            let text = plain_text(&value);
            let default = ["default", "local"].iter().any(|word| text.eq_ignore_ascii_case(word));
            SessionCommand::Set { name: "TimeZone".to_owned(), value: (!default).then_some(text), local }
        }
        Set::SetNames { charset_name, .. } => {
            SessionCommand::Set { name: "client_encoding".to_owned(), value: Some(charset_name.value), local: false }
        }
        Set::SetNamesDefault {} => {
            SessionCommand::Set { name: "client_encoding".to_owned(), value: None, local: false }
        }
        Set::SetTransaction { modes, snapshot: None, session } => {
            SessionCommand::SetTransaction { modes: transaction_modes(&modes)?, session }
        }
        Set::SetTransaction { .. } => return Err(Error::unsupported("SET TRANSACTION SNAPSHOT is not supported")),
        Set::SetRole { role_name, .. } => {
            let none =
                role_name.as_ref().is_none_or(|r| r.quote_style.is_none() && r.value.eq_ignore_ascii_case("none"));
            SessionCommand::SetRole(if none { None } else { role_name.as_ref().map(identifier) })
        }
        Set::SetSessionAuthorization(param) => {
            let text = param.to_string();
            let name = text.rsplit(' ').next().unwrap_or_default().trim_matches(['"', '\'']).to_owned();
            SessionCommand::SetSessionAuthorization((!name.eq_ignore_ascii_case("default")).then_some(name))
        }
        Set::SingleAssignment { .. }
        | Set::ParenthesizedAssignments { .. }
        | Set::MultipleAssignments { .. }
        | Set::SetSessionParam(_) => {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error in SET"));
        }
    })
}

/// A list keeps its quotes where the setting is a list of names, as PostgreSQL's `flatten_set_variable_args` does.
fn join_values(name: &str, values: &[Expr], texts: &[String]) -> String {
    if !name.eq_ignore_ascii_case("search_path") {
        return texts.join(", ");
    }
    let quoted = |(value, text): (&Expr, &String)| {
        let plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !text.is_empty();
        let is_list = matches!(value, Expr::Value(_)) && values.len() == 1 && text.contains(',');
        if plain || is_list { text.clone() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    values.iter().zip(texts).map(quoted).collect::<Vec<_>>().join(", ")
}

fn transaction_modes(modes: &[TransactionMode]) -> Result<Vec<(&'static str, String)>> {
    modes
        .iter()
        .map(|mode| match mode {
            // drivers ask for READ WRITE by default; writing itself is refused
            TransactionMode::AccessMode(TransactionAccessMode::ReadOnly | TransactionAccessMode::ReadWrite) => {
                Ok(("transaction_read_only", "on".to_owned()))
            }
            TransactionMode::IsolationLevel(level) => Ok((
                "transaction_isolation",
                match level {
                    TransactionIsolationLevel::ReadUncommitted => "read uncommitted",
                    TransactionIsolationLevel::ReadCommitted => "read committed",
                    TransactionIsolationLevel::RepeatableRead => "repeatable read",
                    TransactionIsolationLevel::Serializable => "serializable",
                    TransactionIsolationLevel::Snapshot => {
                        return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"SNAPSHOT\""));
                    }
                }
                .to_owned(),
            )),
        })
        .collect()
}

/// A setting's name: its parts with dots.
fn setting_name(name: &ObjectName) -> String {
    name.0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| part.to_string(), |i| i.value.clone()))
        .collect::<Vec<_>>()
        .join(".")
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

/// What a statement that does not run is told. PostgreSQL words writes in a read-only transaction the same way.
fn refusal(statement: &Statement) -> Error {
    let text = statement.to_string();
    let mut words = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_ascii_alphabetic()));
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    let second = words.next().unwrap_or_default().to_ascii_uppercase();
    match first.as_str() {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => {
            let tag = if first == "TRUNCATE" { "TRUNCATE TABLE".to_owned() } else { first };
            read_only(&tag)
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
    fn set_in_its_forms() {
        let set = |name: &str, value: Option<&str>, local| SessionCommand::Set {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            local,
        };
        assert_eq!(session("SET extra_float_digits = 3"), set("extra_float_digits", Some("3"), false));
        assert_eq!(session("set local statement_timeout to '5s'"), set("statement_timeout", Some("5s"), true));
        assert_eq!(session("SET search_path TO sales, \"Odd\""), set("search_path", Some("sales, \"Odd\""), false));
        assert_eq!(session("SET TIME ZONE 'Europe/Berlin'"), set("TimeZone", Some("Europe/Berlin"), false));
        assert_eq!(session("SET timezone TO DEFAULT"), set("TIMEZONE", None, false));
        assert_eq!(session("SET a.b = 'c'"), set("a.b", Some("c"), false));
        assert_eq!(session("SET NAMES 'utf8'"), set("client_encoding", Some("utf8"), false));
        assert_eq!(session("SET ROLE other"), SessionCommand::SetRole(Some("other".to_owned())));
        assert_eq!(session("SET ROLE NONE"), SessionCommand::SetRole(None));
    }

    #[test]
    fn transactions_in_their_forms() {
        assert_eq!(session("BEGIN"), SessionCommand::Begin { start: false, modes: vec![] });
        assert_eq!(
            session("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"),
            SessionCommand::Begin {
                start: false,
                modes: vec![
                    ("transaction_isolation", "serializable".to_owned()),
                    ("transaction_read_only", "on".to_owned())
                ]
            }
        );
        assert_eq!(session("START TRANSACTION"), SessionCommand::Begin { start: true, modes: vec![] });
        assert_eq!(session("END"), SessionCommand::Commit { chain: false });
        assert_eq!(session("ROLLBACK TO SAVEPOINT a"), SessionCommand::RollbackTo("a".to_owned()));
        assert_eq!(session("RELEASE a"), SessionCommand::Release("a".to_owned()));
        assert_eq!(session("DISCARD ALL"), SessionCommand::Discard("ALL"));
        assert_eq!(session("DEALLOCATE ALL"), SessionCommand::Deallocate(None));
        assert_eq!(session("DEALLOCATE \"S_1\""), SessionCommand::Deallocate(Some("S_1".to_owned())));
    }

    #[test]
    fn cursors_go_forward_only() {
        let fetch = |rows| SessionCommand::Fetch { name: "c".to_owned(), rows };
        assert_eq!(session("FETCH FORWARD 100 FROM \"c\""), fetch(Some(100)));
        assert_eq!(session("fetch next from c"), fetch(Some(1)));
        assert_eq!(session("fetch all from c"), fetch(None));
        assert_eq!(session("close all"), SessionCommand::Close(None));
        assert_eq!(session("UNLISTEN *"), SessionCommand::Unlisten);
        let declared = session("DECLARE \"c\" BINARY NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1");
        assert!(matches!(declared, SessionCommand::Declare { name, binary: true, .. } if name == "c"));
        let code = |sql| one(sql).unwrap_err().sqlstate();
        assert_eq!(code("fetch prior from c"), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
        assert_eq!(code("declare c scroll cursor for select 1"), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(code("declare c cursor with hold for select 1"), SqlState::FEATURE_NOT_SUPPORTED);
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
            "copy (select 1) to '/tmp/x'",
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
        assert_eq!(code("create temp table t (x int)"), SqlState::READ_ONLY_SQL_TRANSACTION);
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

    #[test]
    fn show_in_its_forms() {
        assert!(matches!(one("show all").unwrap(), Command::ShowAll));
        assert!(
            matches!(one("SHOW TRANSACTION ISOLATION LEVEL").unwrap(), Command::Show(n) if n == "transaction_isolation")
        );
        assert!(matches!(one("show time zone").unwrap(), Command::Show(n) if n == "TimeZone"));
        assert!(matches!(one("show server_version").unwrap(), Command::Show(n) if n == "server_version"));
    }
}
