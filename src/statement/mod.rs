//! One statement, from text to rows. The whole path stands on this page:
//!
//! ```text
//! parse ─► classify ─► bind ─────────────► analyse ─► secure ─────────────► run
//! text     command     logical plan over    types      physical plan that    stream of
//!                      what is visible                 passed the lint       batches
//! ```
//!
//! A statement sees its [`Context`] and nothing else: no session, no socket. What only the session can do comes back as
//! [`Outcome::Session`].

mod allowed;
mod arguments;
mod arrays;
mod as_of;
pub mod audit;
pub mod bind;
mod casts;
pub mod classify;
mod command;
pub mod context;
mod fault;
mod functions;
pub mod guard;
mod limits;
pub mod listed;
mod located;
mod names;
pub mod notify;
pub mod parse;
mod patterns;
pub mod postgres;
pub mod prepared;
mod quantified;
mod run;
mod sets;
mod shapes;
mod sized;
mod sort_keys;
mod subqueries;
pub mod system;
mod told;
mod travel;
mod types;
pub mod views;
mod whole_rows;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::parser::Statement as DfStatement;
use futures::TryStreamExt;

use audit::Recording;
use bind::Bound;
use classify::{Command, SessionCommand};
pub use command::copy::CopyFormat;
use context::Context;
pub use fault::from_engine;
use functions::call::to_engine;
use guard::Guard;
pub use parse::Parsed;
use run::Planned;

use crate::catalog::model::Role;
use crate::engine::Engine;
use crate::error::{Report, Result, Severity, SqlState};

/// A longer text is parsed where statements are planned: 64 MiB of it would keep a thread that serves connections busy for
/// a second. This much takes about as long as answering a small query does.
const PARSED_AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// What a client learns about a statement before it runs (ParameterDescription and RowDescription).
#[derive(Clone, Debug)]
pub struct Description {
    /// Types of `$1`, `$2`, …, with the metadata that names what Arrow has no type of its own for.
    pub parameters: Vec<FieldRef>,
    /// Columns of the result; `None` when the statement returns no rows.
    pub columns: Option<SchemaRef>,
}

/// What a statement does when it is executed.
pub enum Outcome {
    Rows(Rows),
    /// Rows that are copied to the client in this format.
    Copy(Rows, CopyFormat),
    /// It is done and durable: the command's tag, and a notice that goes before it.
    Done {
        tag: &'static str,
        notice: Option<Report>,
    },
    /// The session must do it: it changes the session.
    Session(SessionCommand),
}

/// A result that streams.
pub struct Rows {
    /// Names, types and order as the client is told them.
    pub schema: SchemaRef,
    pub stream: SendableRecordBatchStream,
    /// First word of the command tag.
    pub tag: &'static str,
    /// Looks before every batch whether it may still be sent; `None` for rows that no policy is about.
    pub guard: Option<Guard>,
    /// What the client is told before the rows.
    pub notice: Option<Report>,
}

/// Splits and parses a query string (see [`parse::parse`]), a long one away from the threads that serve connections.
///
/// # Errors
/// As [`parse::parse`].
pub async fn parse(text: &str, engine: &Engine) -> Result<Vec<Parsed>> {
    if text.len() <= PARSED_AT_ONCE_BYTES_MAX {
        return parse::parse(text);
    }
    let text: Arc<str> = Arc::from(text);
    engine.plan(async { parse::parse(text) }).await
}

/// What a statement with a query in it answers with.
enum Returns {
    Rows,
    Plan,
    Nothing,
}

/// Finds out parameters and columns without running anything. `declared` are the types that the client gave.
pub async fn describe(parsed: &Parsed, declared: &[Option<DataType>], context: &Context) -> Result<Description> {
    let declared: Vec<Option<FieldRef>> =
        declared.iter().map(|declared| declared.clone().map(bind::parameter_field)).collect();
    let (query, returns) = match &parsed.command {
        Command::Query(query) => (query, Returns::Rows),
        Command::Explain { query, .. } => (query, Returns::Plan),
        Command::Session(SessionCommand::Declare(declaration)) => (&declaration.query, Returns::Nothing),
        Command::Show(name) => return Ok(columns_only(command::show::schema(name))),
        Command::ShowAll => return Ok(columns_only(command::show::all_schema())),
        Command::Call(call) => return command::call::describe(call, declared, context).await,
        Command::Session(SessionCommand::ExplainExecute { .. }) => return Ok(columns_only(command::explain::schema())),
        // COPY takes no parameters, and its rows are no result to PostgreSQL
        Command::Copy(_) | Command::Privileges(_) | Command::Session(_) => {
            return Ok(Description { parameters: Vec::new(), columns: None });
        }
    };
    let (query, text, planning) = (query.clone(), Arc::clone(&parsed.text), context.clone());
    let whole = Arc::clone(&text);
    let describing = async move {
        let bound = bind::bind(&query, &text, declared.clone(), &planning).await;
        let bound = bound.inspect_err(|_| planning.audit.record_denials(&planning))?;
        planning.audit.record_description(&planning).await?;
        let parameters = bind::parameter_types(&bound.plan, &declared)?;
        match returns {
            Returns::Rows => {}
            Returns::Plan => return Ok(Description { parameters, columns: Some(command::explain::schema()) }),
            Returns::Nothing => return Ok(Description { parameters, columns: None }),
        }
        let typed = bind::with_parameters(bound.plan, &typed_nulls(&parameters)?)?;
        let bound = Bound { plan: typed, ..bound };
        let analysed = run::analyse(&bound)?;
        let columns = result_schema(&query, &told::columns(analysed.schema().as_arrow(), &bound.told));
        Ok(Description { parameters, columns: Some(columns) })
    };
    context.mesh.engine.plan(Box::pin(describing)).await.map_err(|error| located::located(error, &whole))
}

fn columns_only(columns: SchemaRef) -> Description {
    Description { parameters: Vec::new(), columns: Some(columns) }
}

/// A NULL of each type: what a plan is described with before its values are known.
fn typed_nulls(types: &[FieldRef]) -> Result<Vec<ScalarValue>> {
    types.iter().map(|field| ScalarValue::try_from(field.data_type()).map_err(from_engine)).collect()
}

/// Runs a statement for a principal, with the values of its parameters.
pub async fn execute(parsed: &Parsed, parameters: &[ScalarValue], context: &Context) -> Result<Outcome> {
    match &parsed.command {
        Command::Query(query) => rows(query, &parsed.text, parameters, "SELECT", context).await.map(Outcome::Rows),
        Command::Copy(copy) => {
            let format = copy.check(context)?;
            // it takes no parameters, whatever the client sent
            let rows = rows(&copy.query, &parsed.text, &[], "COPY", context).await.map_err(|e| copy.explain(e))?;
            let format = copy.resolve(format, &rows.schema)?;
            Ok(Outcome::Copy(rows, format))
        }
        Command::Explain { query, analyze, verbose } => {
            let place = context.share.place().await?;
            // without ANALYZE nothing is read, and only break-glass shows a plan that would not be shown otherwise
            let recorded = *analyze || context.principal.has_role(Role::BreakGlass);
            let (planned, state) = plan(query, &parsed.text, parameters, context, recorded).await?;
            let Planned { secured, recording, .. } = planned;
            let notice = recorded_notice(&recording, context);
            recording.durable().await?;
            let start = || run::stream(&secured, &state, context, place);
            let rows = command::explain::explain(&secured, analyze.then_some(start), *verbose).await?;
            Ok(Outcome::Rows(Rows { notice, ..rows }))
        }
        Command::Show(name) => command::show::show(name, context).map(Outcome::Rows),
        Command::ShowAll => command::show::show_all(context).map(Outcome::Rows),
        Command::Privileges(privileges) => command::privileges::execute(privileges, context).await,
        Command::Call(call) => command::call::execute(call, parameters, context).await.map(Outcome::Rows),
        Command::Session(command) => Ok(Outcome::Session(command.clone())),
    }
}

/// Plans a query and starts it.
async fn rows(
    query: &DfStatement,
    text: &Arc<str>,
    parameters: &[ScalarValue],
    tag: &'static str,
    context: &Context,
) -> Result<Rows> {
    let place = context.share.place().await?;
    let (planned, state) = plan(query, text, parameters, context, true).await?;
    let Planned { secured, recording, columns } = planned;
    let schema = result_schema(query, &columns);
    let stream = run::stream(&secured, &state, context, place)?;
    let notice = recorded_notice(&recording, context);
    let stream = recording.before(stream, context).await?;
    // a literal is read when the first rows are made
    let (of_rows, whole) = (stream.schema(), Arc::clone(text));
    let stream = stream.map_err(move |error| to_engine(located::located(from_engine(error), &whole)));
    let stream = Box::pin(RecordBatchStreamAdapter::new(of_rows, stream));
    Ok(Rows { schema, stream, tag, guard: Some(Guard::new(context)), notice })
}

/// Tells a principal with break-glass on that what it does is recorded.
fn recorded_notice(recording: &Recording, context: &Context) -> Option<Report> {
    if recording.is_nothing() || !context.principal.has_role(Role::BreakGlass) {
        return None;
    }
    let mut notice = Report::new(SqlState::WARNING, "break-glass is on: what this statement reads is recorded");
    notice.severity = Severity::Notice;
    notice.hint = Some("RESET mesh.break_glass turns it off.".to_owned());
    Some(notice)
}

/// From the parsed query to a plan that may run, away from the threads that serve connections. What it reads is recorded
/// if `recorded` says so, and what it is denied in any case.
async fn plan(
    query: &DfStatement,
    text: &Arc<str>,
    parameters: &[ScalarValue],
    context: &Context,
    recorded: bool,
) -> Result<(Planned, Arc<SessionState>)> {
    let types = parameters.iter().map(|value| Some(bind::parameter_field(value.data_type()))).collect();
    let (query, whole, parameters, planning) = (query.clone(), Arc::clone(text), parameters.to_vec(), context.clone());
    let securing = async move {
        let bound = bind::bind(&query, &whole, types, &planning).await;
        let Bound { plan, told, state } = bound.inspect_err(|_| planning.audit.record_denials(&planning))?;
        let bound = Bound { plan: bind::with_parameters(plan, &parameters)?, told, state };
        let planned = run::secure(&bound, &planning, recorded).await?;
        Ok((planned, bound.state))
    };
    context.mesh.engine.plan(Box::pin(securing)).await.map_err(|error| located::located(error, text))
}

/// The result's columns under the names that PostgreSQL would give them.
fn result_schema(query: &DfStatement, schema: &Schema) -> SchemaRef {
    let DfStatement::Statement(statement) = query else { return Arc::new(schema.clone()) };
    let engine_names = schema.fields().iter().map(|field| field.name().clone()).collect();
    let names = names::column_names(statement, engine_names);
    let fields: Vec<Field> =
        schema.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name)).collect();
    Arc::new(Schema::new(fields))
}
