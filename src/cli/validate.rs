//! `pgmesh validate`: every problem of a catalog and of the tables that it names, one a line or as JSON. Finding them is
//! the business of `catalog` and `mesh`.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::{Ended, Failure, Outcome};
use crate::catalog::load::load;
use crate::catalog::model::{Catalog, Problem, ProblemSeverity};
use crate::delta::{Stores, Tables};
use crate::mesh::inspect::inspect;
use crate::telemetry::Progress;

/// With `stores` the products' tables are opened and compared with their contracts.
pub(super) fn run(catalog_dir: &Path, as_json: bool, stores: Option<Stores>, out: &mut dyn Write) -> Ended {
    let mut loaded = load(catalog_dir);
    if let Some(stores) = stores {
        loaded.problems.extend(table_problems(&loaded.catalog, stores)?);
    }
    let errors = count(&loaded.problems, ProblemSeverity::Error);
    let warnings = count(&loaded.problems, ProblemSeverity::Warning);
    if as_json {
        print_json(&loaded.problems, errors, warnings, out)?;
    } else {
        for problem in &loaded.problems {
            writeln!(out, "{problem}")?;
        }
        writeln!(
            out,
            "{}: {}, {}",
            summary(&loaded.catalog),
            counted(errors, "error", "errors"),
            counted(warnings, "warning", "warnings")
        )?;
    }
    Ok(if errors > 0 { Outcome::ProblemsFound } else { Outcome::Done })
}

fn table_problems(catalog: &Catalog, stores: Stores) -> Result<Vec<Problem>, Failure> {
    let tables = Tables::new(stores);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::said(format!("cannot start threads: {error}")))?;
    let total = catalog.products.values().filter(|product| product.delta_port().is_some()).count();
    let progress = Progress::start(total, "opening tables");
    let problems = runtime.block_on(inspect(catalog, &tables, &|product| progress.advance(product)));
    progress.finish();
    Ok(problems)
}

/// One object, so that a reader can tell a finished report from a broken one.
fn print_json(problems: &[Problem], errors: usize, warnings: usize, out: &mut dyn Write) -> std::io::Result<()> {
    let listed: Vec<_> = problems
        .iter()
        .map(|problem| {
            json!({
                "severity": match problem.severity {
                    ProblemSeverity::Error => "error",
                    ProblemSeverity::Warning => "warning",
                },
                "path": problem.path.to_string_lossy(),
                "line": problem.line,
                "column": problem.column,
                "message": problem.message,
                "suggestion": problem.suggestion,
            })
        })
        .collect();
    let report = json!({ "errors": errors, "warnings": warnings, "problems": listed });
    writeln!(out, "{report:#}")
}

fn summary(catalog: &Catalog) -> String {
    [
        counted(catalog.domains.len(), "domain", "domains"),
        counted(catalog.products.len(), "product", "products"),
        counted(catalog.policies.len(), "policy", "policies"),
        counted(catalog.users.len(), "user", "users"),
    ]
    .join(", ")
}

fn count(problems: &[Problem], severity: ProblemSeverity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(dir: &Path, as_json: bool) -> (Outcome, String) {
        let mut out = Vec::new();
        let outcome = run(dir, as_json, Some(Stores::default()), &mut out)
            .unwrap_or_else(|_| panic!("the report could not be written"));
        (outcome, String::from_utf8(out).expect("text"))
    }

    /// `mesh.yaml` and `principals.yaml`, and whatever a test breaks.
    fn mesh() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("mesh.yaml", "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {}\n");
        write("principals.yaml", "apiVersion: pgmesh/v1\nkind: Principals\nusers: []\n");
        folder
    }

    #[test]
    fn a_good_catalog_is_summed_up() {
        let folder = mesh();
        let (outcome, text) = report(folder.path(), false);
        assert_eq!(outcome, Outcome::Done, "{text}");
        assert_eq!(text, "0 domains, 0 products, 0 policies, 0 users: 0 errors, 0 warnings\n");
    }

    #[test]
    fn problems_are_placed_and_fail_the_command() {
        let folder = mesh();
        let bad = "apiVersion: pgmesh/v1\nkind: Principals\nusrs: []\n";
        std::fs::write(folder.path().join("principals.yaml"), bad).expect("written");
        let (outcome, text) = report(folder.path(), false);
        assert_eq!(outcome, Outcome::ProblemsFound);
        assert!(text.contains("principals.yaml:3:1: error:"), "{text}");

        let (outcome, text) = report(folder.path(), true);
        assert_eq!(outcome, Outcome::ProblemsFound);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(value["errors"].as_u64().is_some_and(|errors| errors > 0));
        let problems = value["problems"].as_array().expect("a list");
        assert!(problems.iter().any(|p| p["line"] == 3 && p["column"] == 1 && p["severity"] == "error"), "{text}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(report(&folder.path().join("missing"), false).0, Outcome::ProblemsFound);
    }
}
