//! The trail that a statement leaves: what was decided about each product that it reads or tries to read, noted while the
//! statement is bound, and recorded before its first row is sent.
//!
//! The records of what is read are on their way to the disk while the statement is planned and runs, and its rows wait
//! for them: the two take as long as the longer of them. A refusal is recorded without being waited for, so that it is
//! answered as soon as a missing table is. A record holds names and never a value, nor a word of the statement's text.

use std::any::Any;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::Utc;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use super::context::{Context, SessionFacts, SharedSettings};
use crate::access::scope::CompiledScope;
use crate::access::secure::SecuredTable;
use crate::access::visible::Visible;
use crate::catalog::model::{ProductId, Role};
use crate::error::{Error, Result, SqlState};
use crate::mesh::Mesh;
use crate::state::audit::{AuditRecord, event_id};
use crate::state::{Recorded, Stream};

/// How many records one statement may need: it may not name more relations either.
const RECORDS_PER_STATEMENT_MAX: usize = 1_000;
/// Longest reason for break-glass that is recorded, in characters.
const REASON_CHARS_MAX: usize = 1_000;
/// Longest application name that is recorded, in characters.
const APPLICATION_NAME_CHARS_MAX: usize = 256;

/// Why a product was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It may be discovered and not read.
    DiscoverOnly,
    /// It does not exist for the principal.
    Hidden,
    /// Its row filter or masks do not fit its table.
    ScopeNotApplicable,
    /// Access was taken away while the statement ran.
    Revoked,
}

impl Denied {
    fn as_str(self) -> &'static str {
        match self {
            Self::DiscoverOnly => "discover_only",
            Self::Hidden => "hidden",
            Self::ScopeNotApplicable => "scope_not_applicable",
            Self::Revoked => "revoked_while_running",
        }
    }
}

/// What was decided while one statement was bound. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Audit(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    decisions: Mutex<Decisions>,
    /// Made for the first record.
    statement_id: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Decisions {
    reads: Vec<Read>,
    denials: Vec<(ProductId, Denied)>,
    /// Relations of `data_catalog` that were read while break-glass was on.
    catalog: BTreeSet<&'static str>,
}

/// A product's table as the statement may read it.
#[derive(Debug)]
struct Read {
    product: ProductId,
    /// As plans name it.
    table: String,
    version: u64,
    whole: bool,
    masked_columns: Vec<String>,
    denied_columns: Vec<String>,
    columns: BTreeSet<String>,
}

impl Audit {
    fn lock(&self) -> MutexGuard<'_, Decisions> {
        self.0.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statement may read `product` at `version` within `scope`; plans name the table `table`.
    pub fn read(&self, product: &ProductId, table: &str, version: u64, scope: &CompiledScope) {
        let mut decisions = self.lock();
        if decisions.reads.iter().any(|read| read.product == *product && read.version == version) {
            return;
        }
        decisions.reads.push(Read {
            product: product.clone(),
            table: table.to_owned(),
            version,
            whole: scope.is_whole(),
            masked_columns: scope.masked_names().map(str::to_owned).collect(),
            denied_columns: scope.hidden_names().map(str::to_owned).collect(),
            columns: BTreeSet::new(),
        });
    }

    pub fn denied(&self, product: &ProductId, why: Denied) {
        let mut decisions = self.lock();
        if !decisions.denials.iter().any(|(denied, _)| denied == product) {
            decisions.denials.push((product.clone(), why));
        }
    }

    /// The statement reads a relation of `data_catalog`, which shows more than usual while break-glass is on.
    pub fn catalog_read_with_broken_glass(&self, relation: &'static str) {
        self.lock().catalog.insert(relation);
    }

    /// Takes from an optimised plan which columns are read. Costs nothing where no product is.
    pub fn note_columns(&self, plan: &LogicalPlan) -> Result<()> {
        let mut decisions = self.lock();
        if decisions.reads.is_empty() {
            return Ok(());
        }
        let visited = plan.apply_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
            let provider = source_as_provider(&scan.source)?;
            let Some(table) = (provider.as_ref() as &dyn Any).downcast_ref::<SecuredTable>() else {
                return Ok(TreeNodeRecursion::Continue);
            };
            let filtered = scan.filters.iter().flat_map(|filter| filter.column_refs());
            let names: BTreeSet<String> = scan
                .projected_schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .chain(filtered.map(|column| column.name.clone()))
                .collect();
            for read in decisions.reads.iter_mut().filter(|read| read.table == table.name()) {
                read.columns.extend(names.iter().cloned());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        visited.map(drop).map_err(super::from_engine)
    }

    /// The statement's id, the same in all its records.
    fn statement_id(&self) -> String {
        self.0.statement_id.get_or_init(|| event_id(Utc::now())).clone()
    }

    /// Puts the records of what is read on their way. What is sent must wait for the answer.
    ///
    /// # Errors
    /// `54001` when there are too many.
    pub fn record_reads(&self, context: &Context) -> Result<Recording> {
        let mut decisions = self.lock();
        let reads = std::mem::take(&mut decisions.reads);
        let catalog = std::mem::take(&mut decisions.catalog);
        drop(decisions);
        if reads.is_empty() && catalog.is_empty() {
            return Ok(Recording::nothing());
        }
        if reads.len() + catalog.len() > RECORDS_PER_STATEMENT_MAX {
            let message = format!("a statement may read {RECORDS_PER_STATEMENT_MAX} tables");
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message));
        }
        let asker = Asker::of(context);
        let products = reads.into_iter().map(|read| {
            let whole = read.whole;
            AuditRecord {
                outcome: Some(if whole { "allowed" } else { "filtered" }),
                delta_version: i64::try_from(read.version).ok(),
                masked_columns: Some(read.masked_columns),
                denied_columns: Some(read.denied_columns),
                columns: Some(read.columns.into_iter().collect()),
                ..asker.about_product(&read.product, &context.visible)
            }
        });
        let relations = catalog.into_iter().map(|relation| AuditRecord {
            outcome: Some("allowed"),
            object: Some(format!("{}.{relation}", super::system::SCHEMA)),
            ..asker.record(&context.visible)
        });
        let state = &context.mesh.state;
        Ok(Recording(products.chain(relations).map(|record| state.append(Stream::Audit, &record)).collect()))
    }

    /// Puts a record of `SET mesh.break_glass` on its way.
    pub fn record_break_glass(&self, context: &Context, reason: &str, allowed: bool) -> Recording {
        let record = AuditRecord {
            kind: "break_glass",
            outcome: Some(if allowed { "allowed" } else { "denied" }),
            reason: (!allowed).then_some("no_role"),
            detail: Some(reason.chars().take(REASON_CHARS_MAX).collect()),
            ..Asker::of(context).record(&context.visible)
        };
        Recording(vec![context.mesh.state.append(Stream::Audit, &record)])
    }

    /// The columns of tables are told and no rows. That leaves no record, unless break-glass tells of more than there is
    /// without it.
    ///
    /// # Errors
    /// As [`record_reads`](Self::record_reads) and [`Recording::durable`].
    pub async fn record_description(&self, context: &Context) -> Result<()> {
        if context.principal.has_role(Role::BreakGlass) { self.record_reads(context)?.durable().await } else { Ok(()) }
    }

    /// Records what was denied, beside the statement's answer.
    pub fn record_denials(&self, context: &Context) {
        let denials = std::mem::take(&mut self.lock().denials);
        if !denials.is_empty() {
            record_beside(&context.mesh, Asker::of(context), &context.visible, denials);
        }
    }
}

/// Makes and appends the records on another thread: whoever is denied waits for none of it.
fn record_beside(mesh: &Arc<Mesh>, asker: Asker, visible: &Arc<Visible>, denials: Vec<(ProductId, Denied)>) {
    let (state, visible) = (Arc::clone(&mesh.state), Arc::clone(visible));
    mesh.engine.workers().spawn(async move {
        for (product, why) in denials.into_iter().take(RECORDS_PER_STATEMENT_MAX) {
            let about = asker.about_product(&product, &visible);
            let record = AuditRecord { outcome: Some("denied"), reason: Some(why.as_str()), ..about };
            if let Err(error) = state.append(Stream::Audit, &record).await {
                tracing::error!(%product, principal = %asker.principal, cause = %error, "a refusal is not recorded");
            }
        }
    });
}

/// A record of something that the statement does beside reading, such as a grant.
pub fn record(kind: &'static str, context: &Context) -> AuditRecord {
    AuditRecord { kind, ..Asker::of(context).record(&context.visible) }
}

/// Who asks, as records name it.
struct Asker {
    principal: String,
    client_address: IpAddr,
    application_name: String,
    session_id: Arc<str>,
    statement_id: String,
    /// The reason, while break-glass is on.
    break_glass: Option<String>,
}

impl Asker {
    fn of(context: &Context) -> Self {
        Self::new(&context.visible, &context.settings, &context.facts, &context.audit)
    }

    fn new(visible: &Visible, settings: &SharedSettings, facts: &SessionFacts, audit: &Audit) -> Self {
        let settings = settings.lock();
        let application = settings.get("application_name").unwrap_or_default();
        let broken = visible.principal().has_role(Role::BreakGlass);
        Self {
            principal: visible.principal().name.clone(),
            client_address: facts.client.ip(),
            application_name: application.chars().take(APPLICATION_NAME_CHARS_MAX).collect(),
            session_id: Arc::clone(&facts.session_id),
            statement_id: audit.statement_id(),
            break_glass: broken.then(|| settings.break_glass().unwrap_or_default().to_owned()),
        }
    }

    /// A record that says who asked, under which policy.
    fn record(&self, visible: &Visible) -> AuditRecord {
        AuditRecord {
            principal: Some(self.principal.clone()),
            client_address: Some(self.client_address.to_string()),
            application_name: Some(self.application_name.clone()).filter(|name| !name.is_empty()),
            session_id: Some(self.session_id.to_string()),
            statement_id: Some(self.statement_id.clone()),
            generation: i64::try_from(visible.generation()).ok(),
            detail: self.break_glass.clone(),
            ..AuditRecord::new(if self.break_glass.is_some() { "break_glass" } else { "read" })
        }
    }

    fn about_product(&self, product: &ProductId, visible: &Visible) -> AuditRecord {
        AuditRecord {
            object: Some(product.0.clone()),
            domain: visible.domain_of(product).map(|domain| domain.0.clone()),
            policies: Some(visible.reasons(product).to_vec()),
            ..self.record(visible)
        }
    }
}

/// Records on their way to the disk.
#[must_use = "what is read is sent when its records are durable"]
pub struct Recording(Vec<Recorded>);

impl Recording {
    /// For a statement that sends no rows of a product.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Comes when all of them are durable.
    ///
    /// # Errors
    /// `53100` when they cannot be written.
    pub async fn durable(self) -> Result<()> {
        for recorded in self.0 {
            recorded.await?;
        }
        Ok(())
    }

    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// The same rows, the first of which comes when the records are durable. They are computed meanwhile. With break-glass
    /// on not even their columns are told before.
    pub async fn before(self, rows: SendableRecordBatchStream, context: &Context) -> Result<SendableRecordBatchStream> {
        if self.is_nothing() {
            return Ok(rows);
        }
        if context.principal.has_role(Role::BreakGlass) {
            self.durable().await?;
            return Ok(rows);
        }
        let schema = rows.schema();
        let waiting = async move {
            self.durable().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok::<_, DataFusionError>(rows)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(waiting).try_flatten())))
    }
}

/// What a running statement keeps, to record that its access was taken away.
pub struct Trail {
    settings: SharedSettings,
    facts: SessionFacts,
    audit: Audit,
}

impl Trail {
    pub fn of(context: &Context) -> Self {
        Self { settings: context.settings.clone(), facts: context.facts.clone(), audit: context.audit.clone() }
    }

    /// Whether break-glass is on in the session.
    pub fn glass_is_broken(&self) -> bool {
        self.settings.lock().break_glass().is_some()
    }

    /// Records that these products may no longer be read; `seen` is what the principal sees now.
    pub fn revoked(&self, mesh: &Arc<Mesh>, seen: &Arc<Visible>, products: &[ProductId]) {
        let asker = Asker::new(seen, &self.settings, &self.facts, &self.audit);
        let denials = products.iter().map(|product| (product.clone(), Denied::Revoked)).collect();
        record_beside(mesh, asker, seen, denials);
    }
}
