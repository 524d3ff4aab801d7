//! Tables at other times: `VERSION AS OF`, `TIMESTAMP AS OF`, `mesh.as_of`, `table_changes` and `table_history`.
//!
//! What was read of a table then is decided by the policy of today. The planner knows relations by their names alone, so
//! each that stands in FROM with a version or a function goes under a name of its own, which nobody can write and nobody
//! sees; [`super::bind`] finds the product, fences it, and hands it out under that name.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::TableProvider;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, Statement, TableAlias, TableFactor,
    TableFunctionArgs, TableVersion, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::context::Context;
use super::parse;
use super::system;
use super::system::table::{Columns, SystemTable};
use crate::access::decide::{ColumnMask, ReadScope};
use crate::catalog::model::Location;
use crate::delta::{At, Commit, TableSnapshot};
use crate::error::{Error, Result, SqlState};
use crate::settings::moment;
use crate::settings::time_zone::TimeZone;

const TABLE_CHANGES: &str = "table_changes";
const TABLE_HISTORY: &str = "table_history";
/// How many commits `table_history` shows, the newest of them.
const HISTORY_COMMITS_MAX: usize = 10_000;

/// What a statement asks of a product's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Its rows; `None` is its newest version.
    Rows(Option<At>),
    /// What changed from one version to another, both included; `None` is the newest.
    Changes { from: At, to: Option<At> },
    /// Its commits.
    History,
}

/// A relation in FROM that is more than a name.
pub struct Special {
    /// The table.
    pub reference: TableReference,
    /// Where it stands in the statement, in characters from 1.
    pub position: Option<usize>,
    what: What,
}

enum What {
    At(Box<TableVersion>),
    Changes(Vec<Expr>),
    History,
}

impl Special {
    /// What is asked, once `constant` has found the values of the expressions in it.
    pub fn asked(&self, zone: TimeZone, constant: impl Fn(&Expr) -> Result<ScalarValue>) -> Result<Asked> {
        let point = |expression: &Expr| point(&constant(expression)?, zone);
        match &self.what {
            What::At(version) => match version.as_ref() {
                TableVersion::VersionAsOf(expression) => {
                    let version = constant(expression)?;
                    if !version.is_null() && !version.data_type().is_integer() {
                        return Err(mismatch("VERSION AS OF takes a whole number"));
                    }
                    Ok(Asked::Rows(Some(self::point(&version, zone)?)))
                }
                TableVersion::TimestampAsOf(expression) => match point(expression)? {
                    at @ At::Time(_) => Ok(Asked::Rows(Some(at))),
                    At::Version(_) => Err(mismatch("TIMESTAMP AS OF takes a timestamp")),
                },
                _ => Err(Error::unsupported("time travel is written VERSION AS OF or TIMESTAMP AS OF")),
            },
            What::Changes(bounds) => match bounds.as_slice() {
                [from] => Ok(Asked::Changes { from: point(from)?, to: None }),
                [from, to] => Ok(Asked::Changes { from: point(from)?, to: Some(point(to)?) }),
                _ => Err(no_such_call(TABLE_CHANGES)),
            },
            What::History => Ok(Asked::History),
        }
    }
}

fn mismatch(message: &'static str) -> Error {
    Error::new(SqlState::DATATYPE_MISMATCH, message)
}

/// A version, or a moment that is read in the session's zone.
fn point(value: &ScalarValue, zone: TimeZone) -> Result<At> {
    let null = || Error::new(SqlState::INVALID_PARAMETER_VALUE, "a version or a timestamp must not be null");
    let neither = || mismatch("a version is a whole number, and a time a timestamp");
    if value.is_null() {
        return Err(null());
    }
    if value.data_type().is_integer() {
        let version = match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(version))) => u64::try_from(version).ok(),
            _ => None,
        };
        return version
            .map(At::Version)
            .ok_or_else(|| Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("there is no version {value}")));
    }
    if let Some(Some(text)) = value.try_as_str() {
        return moment::parse(text, &zone).map(At::Time).ok_or_else(|| {
            let message = format!("invalid input syntax for type timestamp with time zone: \"{text}\"");
            Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
        });
    }
    let zoned = match value.data_type() {
        DataType::Timestamp(_, zone) => zone.is_some(),
        DataType::Date32 => false,
        _ => return Err(neither()),
    };
    let instant = value.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, None));
    let Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) = instant else { return Err(neither()) };
    let instant = if zoned { Some(micros) } else { zone.instant(micros) };
    instant
        .and_then(DateTime::from_timestamp_micros)
        .map(At::Time)
        .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))
}

/// The statement with every relation that is more than a name under a name of its own.
pub fn set_apart(statement: &Statement, text: &str) -> Result<(Statement, HashMap<TableReference, Special>)> {
    let mut statement = statement.clone();
    let mut rename = Rename { text, queries: queries_by_name(&statement), found: HashMap::new() };
    match VisitMut::visit(&mut statement, &mut rename) {
        ControlFlow::Continue(()) => Ok((statement, rename.found)),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rename<'a> {
    text: &'a str,
    /// Names that WITH gives.
    queries: BTreeSet<String>,
    found: HashMap<TableReference, Special>,
}

impl VisitorMut for Rename<'_> {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.rename(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Rename<'_> {
    fn rename(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, alias, args, version, .. } = factor else { return Ok(()) };
        let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
        let Some(parts) = parts else { return Ok(()) };
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(()) };
        let start = first.span.start;
        let position = (start.line > 0).then(|| parse::position(self.text, start));
        let shown = Ident { span: first.span, ..Ident::with_quote('"', fold(last)) };
        let names: Vec<String> = parts.iter().map(|part| fold(part)).collect();
        let (reference, what) = if let Some(version) = version.take() {
            if let [name] = names.as_slice()
                && self.queries.contains(name)
            {
                let message = format!("\"{name}\" is a WITH query, which has no versions");
                return Err(at(Error::new(SqlState::WRONG_OBJECT_TYPE, message), position));
            }
            (reference(names), What::At(Box::new(version)))
        } else if let Some(function) = travel_function(&names)
            && let Some(arguments) = args.take()
        {
            let (table, what) = call(function, arguments).map_err(|error| at(error, position))?;
            (parse_name(&table), what)
        } else {
            return Ok(());
        };
        let reference = reference.map_err(|error| at(error, position))?;
        // a client's text cannot hold a zero byte: the protocol ends texts with it
        let hidden = format!("\0{}", self.found.len());
        *name = ObjectName::from(vec![Ident { span: shown.span, ..Ident::with_quote('"', hidden.clone()) }]);
        alias.get_or_insert_with(|| TableAlias { explicit: true, name: shown, columns: Vec::new(), at: None });
        self.found.insert(TableReference::bare(hidden), Special { reference, position, what });
        Ok(())
    }
}

fn at(error: Error, position: Option<usize>) -> Error {
    match position {
        Some(position) => error.position(position),
        None => error,
    }
}

/// Unqualified, or with the schema where the mesh's own relations are.
fn travel_function(names: &[String]) -> Option<&'static str> {
    let name = match names {
        [name] => name,
        [schema, name] if schema == system::SCHEMA => name,
        _ => return None,
    };
    [TABLE_CHANGES, TABLE_HISTORY].into_iter().find(|function| function == name)
}

/// The table's name, and what is asked of it.
fn call(function: &'static str, arguments: TableFunctionArgs) -> Result<(String, What)> {
    let plain = |argument: FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression),
        _ => Err(no_such_call(function)),
    };
    let mut expressions = arguments.args.into_iter().map(plain).collect::<Result<Vec<_>>>()?.into_iter();
    let table = match expressions.next() {
        Some(Expr::Value(value)) => match value.value {
            Value::SingleQuotedString(table) | Value::EscapedStringLiteral(table) => table,
            Value::Placeholder(_) => return Err(no_parameter("the name of a table")),
            _ => return Err(no_such_call(function)),
        },
        _ => return Err(no_such_call(function)),
    };
    let bounds: Vec<Expr> = expressions.collect();
    match (function, bounds.len()) {
        (TABLE_CHANGES, 1 | 2) => Ok((table, What::Changes(bounds))),
        (TABLE_HISTORY, 0) => Ok((table, What::History)),
        _ => Err(no_such_call(function)),
    }
}

fn no_such_call(function: &'static str) -> Error {
    let hint = match function {
        TABLE_CHANGES => "Call table_changes('schema.table', from [, to]) with versions or timestamps.",
        _ => "Call table_history('schema.table').",
    };
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {function} does not take these arguments")).hint(hint)
}

/// A statement's columns are told before its parameters are known, and those of a version depend on the version.
pub fn no_parameter(what: &str) -> Error {
    Error::unsupported(format!("{what} cannot be a parameter")).hint("Write it into the statement.")
}

/// Names that WITH gives anywhere in the statement.
fn queries_by_name(statement: &Statement) -> BTreeSet<String> {
    struct Withs(BTreeSet<String>);
    impl Visitor for Withs {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| &with.cte_tables);
            self.0.extend(tables.map(|table| fold(&table.alias.name)));
            ControlFlow::Continue(())
        }
    }
    let mut withs = Withs(BTreeSet::new());
    _ = statement.visit(&mut withs);
    withs.0
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Names in a text, as PostgreSQL reads them for `regclass`: parts with dots, folded unless quoted.
fn parse_name(text: &str) -> Result<TableReference> {
    let invalid = || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid name syntax: \"{text}\""));
    let mut names = Vec::new();
    let mut rest = text.trim();
    loop {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut characters = quoted.char_indices().peekable();
            loop {
                match characters.next() {
                    Some((_, '"')) if characters.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
                    Some((end, '"')) => break (name, &quoted[end + 1..]),
                    Some((_, character)) => name.push(character),
                    None => return Err(invalid()),
                }
            }
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (rest[..end].trim().to_lowercase(), &rest[end..])
        };
        if name.is_empty() {
            return Err(invalid());
        }
        names.push(name);
        match after.trim_start().strip_prefix('.') {
            Some(next) => rest = next.trim_start(),
            None if after.trim().is_empty() => return reference(names),
            None => return Err(invalid()),
        }
    }
}

fn reference(mut names: Vec<String>) -> Result<TableReference> {
    if names.len() > 3 {
        let message = format!("improper qualified name (too many dotted names): {}", names.join("."));
        return Err(Error::new(SqlState::SYNTAX_ERROR, message));
    }
    Ok(match (names.pop(), names.pop(), names.pop()) {
        (Some(table), Some(schema), Some(database)) => TableReference::full(database, schema, table),
        (Some(table), Some(schema), None) => TableReference::partial(schema, table),
        (table, ..) => TableReference::bare(table.unwrap_or_default()),
    })
}

/// The rows that are asked for, unfenced: `newest` is the version whose columns today's policy is about.
///
/// Columns that the table no longer has, or has under another name, are shown to those alone who read the whole table: a
/// column may have been dropped or renamed because of what is in it, and the policy does not speak of it any more.
///
/// With the version that is read, for the audit; of a change feed it is the newest.
pub async fn unfenced(
    asked: Asked,
    location: &Location,
    newest: &Arc<TableSnapshot>,
    whole: bool,
    context: &Context,
) -> Result<(Arc<dyn TableProvider>, u64)> {
    let at = match asked {
        Asked::Rows(Some(at)) => at,
        Asked::Rows(None) | Asked::History => return Ok((newest.provider(), newest.version)),
        Asked::Changes { from, to } => {
            let to = to.or_else(|| context.as_of());
            let changes = context.mesh.changes(location, newest, from, to).await?;
            let provider = if whole { changes.provider() } else { changes.provider_of(newest) };
            return Ok((provider, newest.version));
        }
    };
    let then = context.table_at(location, newest, at).await?;
    let provider = if whole { then.provider() } else { then.provider_of(&then.columns_shared_with(newest)) };
    Ok((provider, then.version))
}

/// The policy of today for the columns of then. A rule about rows must still find its columns; a mask on a column that did
/// not exist has nothing to hide, since what is left of the columns of then are columns of today under their own names.
pub fn scope_then(scope: &ReadScope) -> ReadScope {
    let masks = scope.masks.iter().map(|mask| ColumnMask { must_exist: false, ..mask.clone() });
    ReadScope { row_rules: scope.row_rules.clone(), masks: masks.collect() }
}

/// The commits of a table, newest first. When a version was written is published; what was done by it, and with which
/// parameters, tells of rows: only those hear it who read the whole table.
pub async fn history(
    location: &Location,
    newest: &Arc<TableSnapshot>,
    whole: bool,
    context: &Context,
) -> Result<Arc<dyn TableProvider>> {
    let last = match context.as_of() {
        None => Arc::clone(newest),
        Some(at) => context.table_at(location, newest, at).await?,
    };
    let commits = context.mesh.history(location, last.version, HISTORY_COMMITS_MAX).await?;
    Ok(Arc::new(SystemTable::new(history_rows(&commits, whole)?)))
}

fn history_rows(commits: &[Commit], whole: bool) -> Result<RecordBatch> {
    let told =
        |value: fn(&Commit) -> Option<&String>| commits.iter().map(move |commit| value(commit).filter(|_| whole));
    Columns::new()
        .int8("version", commits.iter().map(|commit| i64::try_from(commit.version).ok()))
        .timestamp("timestamp", commits.iter().map(|commit| Some::<DateTime<Utc>>(commit.time)))
        .text("operation", told(|commit| commit.operation.as_ref()))
        .text("operation_parameters", told(|commit| commit.operation_parameters.as_ref()))
        .text("user_metadata", told(|commit| commit.user_metadata.as_ref()))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_texts_are_read_as_postgres_reads_them() {
        for (text, expected) in [
            ("Orders", vec!["orders"]),
            ("Sales.ORDERS", vec!["sales", "orders"]),
            (" mesh . sales.\"Odd \"\"One\"\".x\" ", vec!["mesh", "sales", "Odd \"One\".x"]),
        ] {
            let expected = reference(expected.into_iter().map(str::to_owned).collect()).unwrap();
            assert_eq!(parse_name(text).unwrap(), expected, "{text}");
        }
        for bad in ["", ".", "a.", ".a", "\"a", "\"a\"b", "a..b", "\"\""] {
            assert_eq!(parse_name(bad).unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE, "{bad}");
        }
        assert_eq!(parse_name("a.b.c.d").unwrap_err().sqlstate(), SqlState::SYNTAX_ERROR);
    }

    #[test]
    fn points_in_time_are_versions_or_moments() {
        let zone = TimeZone::parse("Asia/Tokyo").unwrap();
        let moment = |text| At::Time(moment::parse(text, &TimeZone::UTC).unwrap());
        let of = |value: ScalarValue| point(&value, zone);
        assert_eq!(of(ScalarValue::Int32(Some(3))), Ok(At::Version(3)));
        assert_eq!(of(ScalarValue::from("2026-05-01 09:00")), Ok(moment("2026-05-01 00:00")));
        assert_eq!(of(ScalarValue::Date32(Some(20_574))), Ok(moment("2026-04-30 15:00")));
        assert_eq!(
            of(ScalarValue::TimestampNanosecond(Some(1_000_000_000), None)),
            Ok(moment("1969-12-31 15:00:01")),
            "without a zone it is the session's"
        );
        assert_eq!(
            of(ScalarValue::TimestampMillisecond(Some(1_000), Some("UTC".into()))),
            Ok(moment("1970-01-01 00:00:01"))
        );
        for (value, code) in [
            (ScalarValue::Int64(Some(-1)), "22023"),
            (ScalarValue::Int64(None), "22023"),
            (ScalarValue::from("soon"), "22007"),
            (ScalarValue::Boolean(Some(true)), "42804"),
            (ScalarValue::Float64(Some(1.5)), "42804"),
        ] {
            assert_eq!(of(value.clone()).unwrap_err().sqlstate().code(), code, "{value}");
        }
    }

    #[test]
    fn each_reference_goes_under_a_name_of_its_own() {
        use crate::statement::classify::Command;
        let sql = "select a.x from sales.orders version as of 1 a, Sales.Orders timestamp as of '2026-05-01', \
                   table_changes('sales.orders', 1) c, data_catalog.table_history('\"S\".t'), sales.orders";
        let Command::Query(query) = parse::parse(sql).unwrap().remove(0).command else { panic!() };
        let datafusion::sql::parser::Statement::Statement(statement) = *query else { panic!() };
        let (apart, found) = set_apart(&statement, sql).unwrap();
        assert_eq!(
            apart.to_string().replace('\0', "!"),
            "SELECT a.x FROM \"!0\" a, \"!1\" AS \"orders\", \"!2\" c, \"!3\" AS \"table_history\", sales.orders"
        );
        let special = |number: usize| &found[&TableReference::bare(format!("\0{number}"))];
        assert_eq!(special(1).reference, TableReference::partial("sales", "orders"));
        assert_eq!(special(3).reference, TableReference::partial("S", "t"));
        assert_eq!((special(0).position, special(3).position), (Some(17), Some(128)));
    }
}
