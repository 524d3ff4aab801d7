//! One client's session: settings, temporary views, prepared statements, portals and the transaction. Built after authentication, shared
//! with nobody; what is shared lives in [`Mesh`].
//!
//! A statement gets a [`Context`] made here, and what only a session can do comes back as a [`SessionCommand`] and is
//! done in `commands`. The session knows nothing of messages or sockets.

mod break_glass;
mod budget;
mod commands;
mod portal;
mod transaction;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use crate::engine::share::Share;
use crate::error::{Error, Report, Result, SqlState};
use crate::mesh::{Mesh, View};
use crate::settings::{BREAK_GLASS, Settings};
use crate::state::audit::event_id;
use crate::statement::audit::Audit;
use crate::statement::classify::{Command, SessionCommand};
use crate::statement::context::{Context, SessionFacts, SharedSettings};
use crate::statement::guard::Reads;
use crate::statement::views::{self, Views};
use crate::statement::{self, Description, Outcome, Parsed, Rows};
use budget::{Budget, Held};
pub use portal::{Portal, PortalState};
pub use transaction::Status;
use transaction::{Restored, Transaction};

/// How many named prepared statements a session may hold.
const PREPARED_STATEMENTS_MAX: usize = 10_000;
/// How many open portals a session may hold.
const PORTALS_MAX: usize = 1_000;

/// A statement that was parsed and described (Parse).
#[derive(Debug)]
pub struct Prepared {
    /// `None` for an empty query string.
    pub parsed: Option<Parsed>,
    pub description: Description,
    /// Type OIDs that the client declared for the parameters; 0 or missing where it left the type open.
    pub declared_oids: Vec<u32>,
    /// Room for the text.
    _held: Held,
}

/// What an executed statement gives to the client.
pub enum Executed {
    Rows(Rows),
    /// A command's tag, and a notice that goes before it.
    Done {
        tag: String,
        notice: Option<Report>,
    },
    /// Rows of an open cursor, up to `rows`; `None` is all that are left.
    Fetch {
        cursor: String,
        rows: Option<u64>,
    },
}

pub struct Session {
    mesh: Arc<Mesh>,
    user: String,
    view: View,
    share: Arc<Share>,
    settings: SharedSettings,
    views: Views,
    facts: SessionFacts,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    transaction: Transaction,
    budget: Budget,
}

impl Session {
    /// # Errors
    /// When the user is not in the catalog (any more).
    pub async fn open(
        mesh: Arc<Mesh>,
        user: &str,
        settings: Settings,
        pid: i32,
        client_address: IpAddr,
    ) -> Result<Self> {
        let view = mesh.view(user, None).await?;
        let database: Arc<str> = Arc::from(view.snapshot.catalog.mesh.name.as_str());
        let share = mesh.engine.share(user)?;
        Ok(Self {
            mesh,
            user: user.to_owned(),
            view,
            share,
            settings: SharedSettings::new(settings),
            views: Views::default(),
            facts: SessionFacts { pid, database, client_address, session_id: Arc::from(event_id(Utc::now())) },
            statements: HashMap::new(),
            portals: HashMap::new(),
            transaction: Transaction::default(),
            budget: Budget::default(),
        })
    }

    /// Leaves a record of the session's beginning.
    pub fn record_login(&self) {
        let application = self.settings.lock().get("application_name").unwrap_or_default();
        let SessionFacts { client_address, session_id, .. } = &self.facts;
        self.mesh.logins.opened(&self.user, *client_address, session_id, &application);
    }

    pub fn settings(&self) -> &SharedSettings {
        &self.settings
    }

    pub fn status(&self) -> Status {
        self.transaction.status()
    }

    /// What a statement that starts now may look at. Who the principal is and what it may see is decided afresh; time and
    /// versions are the transaction's.
    async fn context(&mut self) -> Result<Context> {
        let (settings, views) = (&self.settings, &self.views);
        self.transaction.open(|| Restored { settings: settings.lock().clone(), views: views.clone() });
        let break_glass = self.settings.lock().break_glass().is_some();
        self.view = self.mesh.view_as(&self.user, break_glass, Some(&self.view)).await?;
        Ok(Context {
            mesh: Arc::clone(&self.mesh),
            snapshot: Arc::clone(&self.view.snapshot),
            grants: Arc::clone(&self.view.grants),
            principal: Arc::clone(&self.view.principal),
            visible: Arc::clone(&self.view.visible),
            settings: self.settings.clone(),
            views: self.views.clone(),
            pins: self.transaction.pins(),
            reads: Reads::default(),
            audit: Audit::default(),
            share: Arc::clone(&self.share),
            transaction_started: self.transaction.started().unwrap_or_else(Utc::now),
            facts: self.facts.clone(),
        })
    }

    /// In a failed transaction only its end is allowed.
    fn check_transaction(&self, parsed: &Parsed) -> Result<()> {
        let ends = matches!(
            parsed.command,
            Command::Session(
                SessionCommand::Commit { .. } | SessionCommand::Rollback { .. } | SessionCommand::RollbackTo(_)
            )
        );
        if self.status() == Status::Failed && !ends {
            return Err(Error::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    /// Runs one statement of a simple query.
    pub async fn run(&mut self, parsed: &Parsed) -> Result<Executed> {
        self.execute(parsed, &[]).await
    }

    async fn execute(&mut self, parsed: &Parsed, parameters: &[ScalarValue]) -> Result<Executed> {
        self.check_transaction(parsed)?;
        if let Some(what) = parsed.command.outlives_rollback().filter(|_| self.transaction.in_block()) {
            let message = format!("{what} cannot run inside a transaction block");
            return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message).hint(
                "It holds at once and ROLLBACK does not undo it: end the transaction first, or use autocommit.",
            ));
        }
        let context = self.context().await?;
        match statement::execute(parsed, parameters, &context).await? {
            Outcome::Rows(rows) => Ok(Executed::Rows(rows)),
            Outcome::Done { tag, notice } => Ok(Executed::Done { tag: tag.to_owned(), notice }),
            Outcome::Session(SessionCommand::Declare { name, query, binary }) => {
                let query = Parsed { text: Arc::clone(&parsed.text), command: Command::Query(query) };
                self.declare(name, &query, parameters, binary, &context).await
            }
            Outcome::Session(SessionCommand::Set { name, value: Some(reason), local })
                if name.eq_ignore_ascii_case(BREAK_GLASS) =>
            {
                self.begin_break_glass(&reason, local, &context).await
            }
            Outcome::Session(SessionCommand::CreateView(view)) => {
                let room = self.budget.take(view.name.len() + parsed.text.len())?;
                self.views = views::define(view, &parsed.text, Arc::new(room), &context).await?;
                Ok(Executed::Done { tag: "CREATE VIEW".to_owned(), notice: None })
            }
            Outcome::Session(command) => self.command(command),
        }
    }

    /// Back to what a transaction or a savepoint began with.
    fn restore(&mut self, before: Restored) {
        *self.settings.lock() = before.settings;
        self.views = before.views;
    }

    fn now(&self) -> Restored {
        Restored { settings: self.settings.lock().clone(), views: self.views.clone() }
    }

    /// DECLARE: a portal whose statement has started and whose rows FETCH takes.
    async fn declare(
        &mut self,
        name: String,
        query: &Parsed,
        parameters: &[ScalarValue],
        binary: bool,
        context: &Context,
    ) -> Result<Executed> {
        if !self.transaction.in_block() {
            return Err(not_in_block("DECLARE CURSOR"));
        }
        self.check_new_portal(&name)?;
        let Outcome::Rows(mut rows) = statement::execute(query, parameters, context).await? else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "DECLARE CURSOR takes a query"));
        };
        let notice = rows.notice.take();
        let description = Description { parameters: Vec::new(), columns: Some(Arc::clone(&rows.schema)) };
        let room = self.budget.take(0)?;
        let prepared = Prepared { parsed: None, description, declared_oids: Vec::new(), _held: room };
        let room = self.budget.take(bytes(parameters) + name.len())?;
        let mut portal = Portal::new(Arc::new(prepared), Vec::new(), vec![i16::from(binary)], room);
        portal.state = PortalState::Suspended { rows, rest: None };
        self.portals.insert(name, portal);
        Ok(Executed::Done { tag: "DECLARE CURSOR".to_owned(), notice })
    }

    /// Parses and describes a statement under a name; the empty name is replaced, others must be free.
    /// `declared` are the parameter types that the client gave, with their OIDs.
    pub async fn prepare(&mut self, name: &str, sql: &str, declared: &[(u32, Option<DataType>)]) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(Error::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.statements.len() >= PREPARED_STATEMENTS_MAX {
            return Err(Error::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may hold {PREPARED_STATEMENTS_MAX} prepared statements"),
            )
            .hint("Deallocate the ones that are no longer used."));
        }
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
                if let Command::Session(SessionCommand::Fetch { name, .. }) = &parsed.command {
                    description.columns.clone_from(&self.cursor(name)?.prepared.description.columns);
                }
                (Some(parsed), description)
            }
        };
        let prepared = Prepared { parsed, description, declared_oids, _held: room };
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

    /// Opens a portal over a prepared statement; the empty name is replaced, others must be free.
    pub fn bind(
        &mut self,
        name: &str,
        prepared: Arc<Prepared>,
        parameters: Vec<ScalarValue>,
        formats: Vec<i16>,
    ) -> Result<()> {
        if let Some(parsed) = &prepared.parsed {
            self.check_transaction(parsed)?;
        }
        self.check_new_portal(name)?;
        if name.is_empty() {
            self.portals.remove("");
        }
        let room = self.budget.take(name.len() + bytes(&parameters))?;
        self.portals.insert(name.to_owned(), Portal::new(prepared, parameters, formats, room));
        Ok(())
    }

    /// The unnamed portal may be replaced, others must be free.
    fn check_new_portal(&self, name: &str) -> Result<()> {
        if !name.is_empty() && self.portals.contains_key(name) {
            return Err(Error::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{name}\" already exists")));
        }
        if self.portals.len() >= PORTALS_MAX && !self.portals.contains_key(name) {
            return Err(Error::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may hold {PORTALS_MAX} open portals"),
            ));
        }
        Ok(())
    }

    /// # Errors
    /// `34000` when there is no cursor of this name.
    pub fn cursor(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals
            .get_mut(name)
            .ok_or_else(|| Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist")))
    }

    /// # Errors
    /// `34000` when there is no portal of this name.
    pub fn portal(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals
            .get_mut(name)
            .ok_or_else(|| Error::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist")))
    }

    /// Starts a portal's statement. The portal itself stays as it is; its caller keeps the rows in it.
    pub async fn execute_portal(&mut self, name: &str) -> Result<Option<Executed>> {
        let portal = self.portal(name)?;
        let prepared = Arc::clone(&portal.prepared);
        let parameters = std::mem::take(&mut portal.parameters);
        let Some(parsed) = &prepared.parsed else { return Ok(None) };
        self.execute(parsed, &parameters).await.map(Some)
    }

    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    /// An error happened: an open transaction fails, and its portals end. An implicit one is undone at once.
    pub fn fail(&mut self) {
        self.portals.clear();
        if let Some(before) = self.transaction.fail() {
            self.restore(before);
        }
    }

    /// A simple query begins: it has no use for the unnamed statement and portal, and PostgreSQL drops them.
    pub fn begin_simple_query(&mut self) {
        self.transaction.begin_query();
        self.close_statement("");
        self.close_portal("");
    }

    /// The simple query has several statements: until its end they are one transaction, as if BEGIN came first.
    pub fn begin_several(&mut self) {
        self.transaction.begin_several();
    }

    /// Sync, or the end of a simple query: an implicit transaction ends, and with it its portals.
    pub fn end_implicit_transaction(&mut self) {
        if self.transaction.end_implicit() {
            self.portals.clear();
            self.settings.lock().end_local();
        }
    }
}

/// Bytes of parameters' values.
fn bytes(parameters: &[ScalarValue]) -> usize {
    parameters.iter().map(ScalarValue::size).sum()
}

fn not_in_block(what: &str) -> Error {
    Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, format!("{what} can only be used in transaction blocks"))
}
