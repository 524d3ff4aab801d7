//! `data_catalog.reload_status`: which catalog is served, what is wrong with the one on disk, since when, and what is wrong
//! with the tables that the contracts name.
//!
//! mesh_admin and auditor see all of it. Members of a domain see where the problems in their domain's folder are, without
//! the generation and the times, which would tell them of changes elsewhere, and without the messages, which name what
//! they may not know of: a missing input's nearest product, the members of a cycle, groups and users.

use datafusion::arrow::array::RecordBatch;

use super::policies::sees_governance;
use super::table::Columns;
use crate::catalog::model::{Domain, Problem, ProblemSeverity};
use crate::error::Result;
use crate::statement::context::Context;

/// Stands for a problem's own suggestion before those who do not govern the mesh.
const SUGGESTION_FOR_MEMBERS: &str = "see pgmesh validate, or ask mesh_admin";

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
        .text("message", rows.iter().map(|row| row.and_then(|p| message(p, governs))))
        .text("suggestion", rows.iter().map(|row| row.and_then(|p| suggestion(p, governs))))
        .finish()
}

fn message(problem: &Problem, governs: bool) -> Option<&str> {
    governs.then_some(&problem.message)
}

fn suggestion(problem: &Problem, governs: bool) -> Option<&str> {
    if governs { problem.suggestion.as_deref() } else { Some(SUGGESTION_FOR_MEMBERS) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn only_those_who_govern_read_what_may_name_hidden_things() {
        let problem = |suggestion: Option<&str>| Problem {
            severity: ProblemSeverity::Error,
            path: PathBuf::from("catalog/sales/orders/data_product.yaml"),
            line: 3,
            column: 5,
            message: "no product `hr.salary`".to_owned(),
            suggestion: suggestion.map(str::to_owned),
        };
        let dangling = problem(Some("did you mean `hr.salaries`?"));
        assert_eq!(message(&dangling, true), Some("no product `hr.salary`"));
        assert_eq!(suggestion(&dangling, true), Some("did you mean `hr.salaries`?"));
        assert_eq!(suggestion(&problem(None), true), None);
        for problem in [dangling, problem(None)] {
            assert_eq!(message(&problem, false), None);
            assert_eq!(suggestion(&problem, false), Some(SUGGESTION_FOR_MEMBERS), "whether there was one is not told");
        }
    }
}
