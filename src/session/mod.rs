//! One client's session: settings, temporary views, prepared statements, portals and the transaction. Built after authentication, shared
//! with nobody; what is shared lives in [`Mesh`].
//!
//! A statement gets a [`Context`] made here, and what only a session can do comes back as a [`SessionCommand`] and is
//! done in `commands`. The session knows nothing of messages or sockets.

mod break_glass;
mod budget;
mod commands;
mod cursor;
mod kept;
mod portal;
mod prepared;
mod transaction;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use chrono::Utc;
use datafusion::common::ScalarValue;

use crate::engine::share::Share;
use crate::error::{Error, Report, Result, SqlState};
use crate::mesh::channels::{Listener, Notification};
use crate::mesh::{Mesh, View};
use crate::settings::{BREAK_GLASS, Settings};
use crate::state::audit::event_id;
use crate::statement::audit::Audit;
use crate::statement::classify::{Command, SessionCommand};
use crate::statement::context::{Context, SessionFacts, SharedSettings};
use crate::statement::guard::Reads;
use crate::statement::listed::Listings;
use crate::statement::notify::{self, Change, Pending};
use crate::statement::views::{self, Views};
use crate::statement::{self, CopyFormat, Outcome, Parsed, Rows};
pub use budget::Budget;
pub use cursor::{Cursor, Run};
pub use portal::{Portal, PortalState, cannot_run};
pub use prepared::Prepared;
pub use transaction::Status;
use transaction::{Restored, Transaction};

/// What an executed statement gives to the client.
pub enum Executed {
    Rows(Rows),
    /// COPY TO STDOUT.
    Copy(Rows, CopyFormat),
    /// A command's tag, and a notice that goes before it.
    Done {
        tag: String,
        notice: Option<Report>,
    },
    /// FETCH, or MOVE, on an open cursor.
    Fetch {
        cursor: String,
        run: Run,
        moves: bool,
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
    listings: Listings,
    listener: Listener,
    /// What the transaction does about channels when it commits.
    pending: Pending,
    /// How many portals were ever opened.
    portals_opened: u64,
    budget: Budget,
    /// For rows that cursors keep.
    pub cursor_budget: Budget,
}

impl Session {
    /// # Errors
    /// When the user is not in the catalog (any more).
    pub async fn open(
        mesh: Arc<Mesh>,
        user: &str,
        settings: Settings,
        pid: i32,
        client: SocketAddr,
        server: SocketAddr,
    ) -> Result<Self> {
        let view = mesh.view(user, None).await?;
        let database: Arc<str> = Arc::from(view.snapshot.catalog.mesh.name.as_str());
        let share = mesh.engine.share(user)?;
        let listener = Listener::new(&mesh.channels, user);
        Ok(Self {
            mesh,
            user: user.to_owned(),
            view,
            share,
            settings: SharedSettings::new(settings),
            views: Views::default(),
            facts: SessionFacts { pid, database, client, server, session_id: Arc::from(event_id(Utc::now())) },
            statements: HashMap::new(),
            portals: HashMap::new(),
            transaction: Transaction::default(),
            listings: Listings { channels: listener.listening(), ..Listings::default() },
            listener,
            pending: Pending::default(),
            portals_opened: 0,
            budget: Budget::default(),
            cursor_budget: Budget::of_cursors(),
        })
    }

    /// Leaves a record of the session's beginning.
    pub fn record_login(&self) {
        let application = self.settings.lock().get("application_name").unwrap_or_default();
        let SessionFacts { client, session_id, .. } = &self.facts;
        self.mesh.logins.opened(&self.user, client.ip(), session_id, &application);
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
            listings: self.listings.clone(),
            pending: self.pending.clone(),
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
        if ends { Ok(()) } else { self.check_not_failed() }
    }

    /// # Errors
    /// `25P02` in a failed transaction.
    pub fn check_not_failed(&self) -> Result<()> {
        if self.status() != Status::Failed {
            return Ok(());
        }
        Err(Error::new(
            SqlState::IN_FAILED_SQL_TRANSACTION,
            "current transaction is aborted, commands ignored until end of transaction block",
        ))
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
            Outcome::Copy(rows, format) => Ok(Executed::Copy(rows, format)),
            Outcome::Done { tag, notice } => Ok(Executed::Done { tag: tag.to_owned(), notice }),
            Outcome::Session(SessionCommand::Declare(declaration)) => {
                self.declare(declaration, &parsed.text, parameters, &context).await
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
            Outcome::Session(SessionCommand::Fetch(fetch)) => self.fetch(fetch).await,
            Outcome::Session(SessionCommand::Channel(Change::Notify { channel, payload })) => {
                notify::notify(&channel, &payload, &context)?;
                Ok(Executed::Done { tag: "NOTIFY".to_owned(), notice: None })
            }
            Outcome::Session(SessionCommand::Prepare(prepare)) => {
                self.prepare_named(prepare, &parsed.text, &context).await
            }
            Outcome::Session(SessionCommand::Execute(execute)) => self.execute_named(execute, None, &context).await,
            Outcome::Session(SessionCommand::ExplainExecute { execute, analyze, verbose }) => {
                self.execute_named(execute, Some((analyze, verbose)), &context).await
            }
            Outcome::Session(command) => self.command(command).await,
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

    /// Starts a portal's statement. The portal itself stays as it is; its caller keeps the rows in it.
    pub async fn execute_portal(&mut self, name: &str) -> Result<Option<Executed>> {
        let portal = self.portal(name)?;
        let prepared = Arc::clone(&portal.prepared);
        let parameters = std::mem::take(&mut portal.parameters);
        let Some(parsed) = &prepared.parsed else { return Ok(None) };
        self.execute(parsed, &parameters).await.map(Some)
    }

    /// An error happened: an open transaction fails, and its portals end unless a savepoint may be gone back to. An
    /// implicit one is undone at once.
    pub fn fail(&mut self) {
        if !self.transaction.has_savepoints() {
            self.end_portals(false);
        }
        if let Some(before) = self.transaction.fail() {
            self.pending.take();
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
            self.end_pending(true);
            self.end_portals(true);
            self.settings.lock().end_local();
        }
    }
}

impl Session {
    /// The transaction ended: what it changed about channels happens now, or never. Listening begins before anything is
    /// sent, so that a session hears itself.
    fn end_pending(&mut self, committed: bool) {
        let changes = self.pending.take();
        if !committed {
            return;
        }
        for change in &changes {
            match change {
                Change::Listen(channel) => self.listener.listen(channel),
                Change::Notify { .. } => {}
                Change::Unlisten(channel) => self.listener.unlisten(channel),
                Change::UnlistenAll => self.listener.unlisten_all(),
            }
        }
        for change in changes {
            if let Change::Notify { channel, payload } = change {
                let notification = Notification { pid: self.facts.pid, channel, payload };
                self.mesh.channels.notify(&self.user, &notification);
            }
        }
    }

    /// Returns once a notification waits that may be told now: none is told inside a transaction. Cancel safe.
    pub async fn notified(&mut self) {
        if self.status() == Status::Idle {
            self.listener.heard().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Takes the notifications that may be told now.
    pub fn notifications(&self) -> VecDeque<Notification> {
        if self.status() == Status::Idle { self.listener.take() } else { VecDeque::new() }
    }
}

/// Bytes of parameters' values.
fn bytes(parameters: &[ScalarValue]) -> usize {
    parameters.iter().map(ScalarValue::size).sum()
}

fn not_in_block(what: &str) -> Error {
    Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, format!("{what} can only be used in transaction blocks"))
}
