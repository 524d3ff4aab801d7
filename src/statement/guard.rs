//! What a statement was allowed when it started, and whether it still is.
//!
//! Policy is resolved when a statement executes. Rows that leave later, from a long result, a suspended portal or an open
//! cursor, are sent only while the decision still holds: it is looked at again before every batch, which costs a few
//! atomic reads and a look at the clock while neither the catalog nor a grant changes and none ends.

use std::sync::{Arc, Mutex, PoisonError};

use super::audit::Trail;
use super::context::Context;
use crate::access::visible::Visible;
use crate::catalog::model::{ProductId, Role};
use crate::error::{Error, Result, SqlState};
use crate::mesh::Mesh;

/// The products whose tables a statement reads, collected while it is bound.
#[derive(Clone, Debug, Default)]
pub struct Reads(Arc<Mutex<Vec<ProductId>>>);

impl Reads {
    pub fn add(&self, product: &ProductId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(product.clone());
    }

    fn products(&self) -> Vec<ProductId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Watches over the rows of one statement.
pub struct Guard {
    mesh: Arc<Mesh>,
    /// What the principal saw when the decision was last looked at.
    seen: Arc<Visible>,
    reads: Vec<ProductId>,
    trail: Trail,
}

impl Guard {
    pub fn new(context: &Context) -> Self {
        Self {
            mesh: Arc::clone(&context.mesh),
            seen: Arc::clone(&context.visible),
            reads: context.reads.products(),
            trail: Trail::of(context),
        }
    }

    /// Break-glass ends when the session says so, for what still runs too.
    fn check_break_glass(&self) -> Result<()> {
        if !self.broken() || self.trail.glass_is_broken() {
            return Ok(());
        }
        Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "break-glass ended while the statement was running")
            .hint("Run the statement again to see what may be read without it."))
    }

    fn broken(&self) -> bool {
        self.seen.principal().has_role(Role::BreakGlass)
    }

    /// Whether rows that were computed under the old decision may still be sent.
    ///
    /// # Errors
    /// `42501` when the principal, its domains or its access to what the statement reads changed; a fatal `28000` when
    /// the user is gone.
    pub async fn check(&mut self) -> Result<()> {
        self.check_break_glass()?;
        if self.mesh.policy().generation == self.seen.generation() {
            return Ok(());
        }
        let now = self.mesh.view_as(&self.seen.principal().name, self.broken(), None).await?.visible;
        let access = |visible: &Visible, id: &ProductId| visible.get(id).map(|product| product.access.fingerprint());
        let is_another =
            now.fingerprint() != self.seen.fingerprint() || now.readable_domains() != self.seen.readable_domains();
        let mut changed = self.reads.clone();
        changed.retain(|id| is_another || access(&now, id) != access(&self.seen, id));
        if !is_another && changed.is_empty() {
            self.seen = now;
            return Ok(());
        }
        self.trail.revoked(&self.mesh, &now, &changed);
        Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "access changed while the statement was running")
            .hint("Run the statement again to see what may be read now."))
    }
}
