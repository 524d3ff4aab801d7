//! `data_catalog.reload_status`: which catalog is served, what is wrong with the one on disk, since when, and what is wrong
//! with the tables that the contracts name.
//!
//! mesh_admin and auditor see all of it. Members of a domain see the problems in their domain's folder, without the
//! generation and the times, which would tell them of changes elsewhere.

use datafusion::arrow::array::RecordBatch;

use super::policies::sees_governance;
use super::table::Columns;
use crate::catalog::model::{Domain, Problem, ProblemSeverity};
use crate::error::Result;
use crate::statement::context::Context;

pub fn rows(context: &Context) -> Result<RecordBatch> {
    let status = context.mesh.catalog.status();
    let governs = sees_governance(&context.principal);
    let tables = context.mesh.table_problems();
    let problems = status.problems.iter().chain(tables.iter());
    let mut rows: Vec<Option<&Problem>> =
        problems.filter(|problem| governs || in_own_domain(problem, context)).map(Some).collect();
    if rows.is_empty() && governs {
        rows.push(None);
    }
    let all = rows.iter().map(|_| governs);
    Columns::new()
        .int8("generation", all.clone().map(|g| g.then_some(i64::try_from(status.generation).unwrap_or(i64::MAX))))
        .text("state", rows.iter().map(|_| Some(status.state)))
        .timestamp("loaded_at", all.clone().map(|g| g.then_some(status.loaded_at)))
        .timestamp("last_attempt_at", all.clone().map(|g| g.then_some(status.last_attempt_at)))
        .timestamp("invalid_since", all.map(|g| status.invalid_since.filter(|_| g)))
        .text("severity", rows.iter().map(|row| row.map(|p| severity(p.severity))))
        .text("path", rows.iter().map(|row| row.map(|p| p.path.to_string_lossy())))
        .int4("line", rows.iter().map(|row| row.and_then(|p| i32::try_from(p.line).ok())))
        .int4("column_number", rows.iter().map(|row| row.and_then(|p| i32::try_from(p.column).ok())))
        .text("message", rows.iter().map(|row| row.map(|p| &p.message)))
        .text("suggestion", rows.iter().map(|row| row.and_then(|p| p.suggestion.as_ref())))
        .finish()
}

fn severity(severity: ProblemSeverity) -> &'static str {
    match severity {
        ProblemSeverity::Warning => "warning",
        ProblemSeverity::Error => "error",
    }
}

/// A problem's path is `catalog/<domain>/…`.
fn in_own_domain(problem: &Problem, context: &Context) -> bool {
    let folder = problem.path.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let is_member = |domain: &&Domain| domain.member_groups.iter().any(|group| context.principal.is_in(group));
    let mut own = context.snapshot.catalog.domains.values().filter(is_member);
    folder.is_some_and(|folder| own.any(|domain| domain.name.as_str() == folder))
}
