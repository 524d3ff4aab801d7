//! `SET mesh.break_glass = 'reason'`: the one way to turn break-glass on. Who may, and why, is checked and recorded before
//! anything changes; a record that cannot be made durable leaves everything as it was.

use super::commands::with_warning;
use super::{Executed, Session};
use crate::catalog::model::Role;
use crate::error::{Error, Report, Result, Severity, SqlState};
use crate::settings::{BREAK_GLASS, break_glass_reason};
use crate::statement::context::Context;

impl Session {
    pub(super) async fn begin_break_glass(&mut self, reason: &str, local: bool, context: &Context) -> Result<Executed> {
        let user = context.snapshot.user(&self.user);
        if !user.is_some_and(|user| user.roles.contains(&Role::BreakGlass)) {
            let message = format!("permission denied to set parameter \"{BREAK_GLASS}\"");
            drop(context.audit.record_break_glass(context, reason, false));
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
                .hint("It takes the role break_glass, which principals.yaml gives."));
        }
        let reason = break_glass_reason(reason)?;
        if local && !self.transaction.in_block() {
            let message = "SET LOCAL can only be used in transaction blocks";
            return Ok(with_warning("SET", SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        context.audit.record_break_glass(context, reason, true).durable().await?;
        self.settings.lock().begin_break_glass(reason, local);
        tracing::warn!(user = %self.user, "break-glass is on");
        let mut notice =
            Report::new(SqlState::WARNING, "break-glass is on: policies, row filters and masks are lifted");
        notice.severity = Severity::Warning;
        notice.detail = Some("Everything that is read is recorded with the reason given.".to_owned());
        notice.hint = Some(format!("RESET {BREAK_GLASS} turns it off."));
        Ok(Executed::Done { tag: "SET".to_owned(), notice: Some(notice) })
    }
}
