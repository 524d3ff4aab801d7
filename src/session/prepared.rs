//! Prepared statements: those of Parse and those of PREPARE, under the same names.
//!
//! PostgreSQL 15, SQL commands PREPARE and EXECUTE, and `prepare.c`.

use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::datatypes::DataType;

use super::budget::Held;
use super::{Executed, Session};
use crate::error::{Error, Result, SqlState};
use crate::pgtype;
use crate::statement::classify::{Command, ExecutePrepared, PrepareStatement, SessionCommand};
use crate::statement::context::Context;
use crate::statement::listed::{Entry, StatementFacts};
use crate::statement::{self, Description, Parsed};

/// How many named prepared statements a session may hold.
const PREPARED_STATEMENTS_MAX: usize = 10_000;

/// A statement that was parsed and described (Parse).
#[derive(Debug)]
pub struct Prepared {
    /// `None` for an empty query string.
    pub parsed: Option<Parsed>,
    pub description: Description,
    /// Type OIDs that the client declared for the parameters; 0 or missing where it left the type open.
    pub declared_oids: Vec<u32>,
    /// Room for the text.
    pub(super) _held: Held,
    /// Its place in `pg_prepared_statements`, where it has a name.
    pub(super) _listed: Option<Entry<StatementFacts>>,
}

impl Prepared {
    /// The types of the parameters: the client's own, and what was found out for the others.
    pub fn parameter_oids(&self) -> Vec<u32> {
        parameter_oids(&self.declared_oids, &self.description)
    }
}

fn parameter_oids(declared: &[u32], description: &Description) -> Vec<u32> {
    let found = description.parameters.iter().enumerate();
    found
        .map(|(index, field)| match declared.get(index) {
            Some(oid) if *oid != 0 => *oid,
            _ => pgtype::pg_type(field).oid,
        })
        .collect()
}

impl Session {
    /// Parses and describes a statement under a name; the empty name is replaced, others must be free.
    /// `declared` are the parameter types that the client gave, with their OIDs.
    pub async fn prepare(&mut self, name: &str, sql: &str, declared: &[(u32, Option<DataType>)]) -> Result<()> {
        self.check_new_statement(name)?;
        if name.is_empty() {
            self.statements.remove("");
        }
        let room = self.budget.take(name.len() + sql.len())?;
        let mut parsed = statement::parse(sql, &self.mesh.engine).await?;
        if parsed.len() > 1 {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
        let (declared_oids, types): (Vec<u32>, Vec<Option<DataType>>) = declared.iter().cloned().unzip();
        let (parsed, description) = match parsed.pop() {
            None => (None, Description { parameters: Vec::new(), columns: None }),
            Some(parsed) => {
                self.check_transaction(&parsed)?;
                let context = self.context().await?;
                let mut description = statement::describe(&parsed, &types, &context).await?;
                // a cursor that is missing is missed when the FETCH runs
                if let Command::Session(SessionCommand::Fetch(fetch)) = &parsed.command
                    && !fetch.moves
                    && let Ok(cursor) = self.cursor(&fetch.name)
                {
                    description.columns.clone_from(&cursor.prepared.description.columns);
                }
                // and so is a statement
                if let Command::Session(SessionCommand::Execute(execute)) = &parsed.command
                    && let Ok(prepared) = self.statement(&execute.name)
                {
                    description.columns.clone_from(&prepared.description.columns);
                }
                (Some(parsed), description)
            }
        };
        let listed = self.list_statement(name, sql.into(), parameter_oids(&declared_oids, &description), false);
        let prepared = Prepared { parsed, description, declared_oids, _held: room, _listed: listed };
        self.statements.insert(name.to_owned(), Arc::new(prepared));
        Ok(())
    }

    /// # Errors
    /// `26000` when there is no prepared statement of this name.
    pub fn statement(&self, name: &str) -> Result<Arc<Prepared>> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = if name.is_empty() {
                "unnamed prepared statement does not exist".to_owned()
            } else {
                format!("prepared statement \"{name}\" does not exist")
            };
            Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }

    /// Closing what does not exist is no error.
    pub fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// The unnamed statement may be replaced, others must be free.
    fn check_new_statement(&self, name: &str) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(Error::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.statements.len() < PREPARED_STATEMENTS_MAX {
            return Ok(());
        }
        let message = format!("a session may hold {PREPARED_STATEMENTS_MAX} prepared statements");
        Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message)
            .hint("Deallocate the ones that are no longer used."))
    }

    fn list_statement(
        &self,
        name: &str,
        statement: Arc<str>,
        parameter_oids: Vec<u32>,
        from_sql: bool,
    ) -> Option<Entry<StatementFacts>> {
        let facts =
            StatementFacts { name: name.to_owned(), statement, prepared_at: Utc::now(), parameter_oids, from_sql };
        (!name.is_empty()).then(|| self.listings.statements.add(facts))
    }

    /// PREPARE.
    pub(super) async fn prepare_named(
        &mut self,
        prepare: PrepareStatement,
        text: &Arc<str>,
        context: &Context,
    ) -> Result<Executed> {
        let PrepareStatement { name, types, query } = prepare;
        self.check_new_statement(&name)?;
        let room = self.budget.take(name.len() + text.len())?;
        let parsed = Parsed { text: Arc::clone(text), command: Command::Query(query) };
        let types = statement::prepared::types(types, context).await?;
        let description = statement::describe(&parsed, &types, context).await?;
        let listed = self.list_statement(&name, Arc::clone(text), parameter_oids(&[], &description), true);
        let prepared =
            Prepared { parsed: Some(parsed), description, declared_oids: Vec::new(), _held: room, _listed: listed };
        self.statements.insert(name, Arc::new(prepared));
        Ok(Executed::Done { tag: "PREPARE".to_owned(), notice: None })
    }

    /// EXECUTE, or EXPLAIN of it: (analyze, verbose).
    pub(super) async fn execute_named(
        &mut self,
        execute: ExecutePrepared,
        explain: Option<(bool, bool)>,
        context: &Context,
    ) -> Result<Executed> {
        let prepared = self.statement(&execute.name)?;
        let (given, expected) = (execute.arguments.len(), prepared.description.parameters.len());
        if given != expected {
            let message = format!("wrong number of parameters for prepared statement \"{}\"", execute.name);
            return Err(Error::new(SqlState::SYNTAX_ERROR, message)
                .detail(format!("Expected {expected} parameters but got {given}.")));
        }
        let types = prepared.description.parameters.iter().map(|field| field.data_type().clone()).collect();
        let values = statement::prepared::arguments(execute.arguments, types, context).await?;
        let Some(parsed) = &prepared.parsed else {
            return Ok(Executed::Done { tag: String::new(), notice: None });
        };
        let explained = match (explain, &parsed.command) {
            (None, Command::Session(SessionCommand::Execute(_) | SessionCommand::ExplainExecute { .. })) => {
                // one that executes itself would never end
                return Err(Error::unsupported("EXECUTE of a prepared EXECUTE is not supported"));
            }
            (None, _) => None,
            (Some((analyze, verbose)), Command::Query(query)) => {
                let command = Command::Explain { query: query.clone(), analyze, verbose };
                Some(Parsed { text: Arc::clone(&parsed.text), command })
            }
            (Some(_), _) => return Err(Error::new(SqlState::SYNTAX_ERROR, "EXPLAIN takes a query")),
        };
        // positions count in the text of the statement itself, which the client did not send now
        let run = Box::pin(self.execute(explained.as_ref().unwrap_or(parsed), &values)).await;
        run.map_err(Error::without_position)
    }
}
