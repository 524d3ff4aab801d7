//! Do the products' tables exist, answer, and keep what the contracts declare? Opens every table once, a few at a time,
//! and tells each problem at its place in the contract.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};

use super::conformity::{self, FindingKind};
use super::table_location;
use crate::access::about::{Restraint, contradictions, restraints};
use crate::access::scope::{check_mask, check_row_rule};
use crate::catalog::model::{Catalog, OutputPort, Problem, ProblemSeverity, Product, SourcePlace};
use crate::delta::{TableSnapshot, Tables};

/// How many tables are opened at a time.
const CONCURRENCY: usize = 8;
/// A table that was opened this recently is not asked again.
const STALENESS: std::time::Duration = std::time::Duration::from_mins(1);

/// Problems of all tables, in the order of the products. `advance` hears the id of each product that is done.
pub async fn inspect(catalog: &Catalog, tables: &Tables, advance: &(dyn Fn(&str) + Sync)) -> Vec<Problem> {
    // boxed, since a closure that returns a borrowing future is not general enough for a spawned task
    let mut waiting: Vec<BoxFuture<'_, Vec<Problem>>> = Vec::new();
    for product in catalog.products.values() {
        let Some(port) = product.delta_port() else { continue };
        let looking = async move {
            let problems = inspect_one(catalog, product, port, tables).await;
            advance(&product.id.0);
            problems
        };
        waiting.push(looking.boxed());
    }
    let mut looking = stream::iter(waiting).buffered(CONCURRENCY);
    let mut problems = Vec::new();
    while let Some(found) = looking.next().await {
        problems.extend(found);
    }
    problems
}

async fn inspect_one(catalog: &Catalog, product: &Product, port: &OutputPort, tables: &Tables) -> Vec<Problem> {
    let Some(location) = &port.location else { return Vec::new() };
    match tables.snapshot(&table_location(location), STALENESS).await {
        Ok(snapshot) => compare(catalog, product, &snapshot),
        Err(error) => {
            let message = format!("the table of {} cannot be read: {error}", product.id);
            vec![problem(ProblemSeverity::Error, &port.place, product, message)]
        }
    }
}

fn compare(catalog: &Catalog, product: &Product, snapshot: &TableSnapshot) -> Vec<Problem> {
    let findings = conformity::compare(product, &snapshot.schema).into_iter().map(|finding| {
        let declared = product.columns.iter().find(|column| column.name == finding.column);
        let port = product.delta_port().map(|port| &port.place);
        let place = declared.map(|column| &column.place).or(port).cloned().unwrap_or_default();
        let mut found = problem(finding.severity(), &place, product, format!("{}: {}", product.id, finding.message));
        if finding.kind == FindingKind::UndeclaredColumn {
            found.suggestion = Some("declare the column in the contract's schema".to_owned());
        }
        found
    });
    findings.chain(refused(catalog, product, snapshot)).collect()
}

/// Row filters and masks that the table's columns do not allow, and masks that contradict each other: whoever they bind
/// would read nothing.
fn refused(catalog: &Catalog, product: &Product, snapshot: &TableSnapshot) -> Vec<Problem> {
    let restraints = restraints(catalog, product);
    let mut problems = Vec::new();
    for restraint in &restraints {
        let rules = restraint.row_rules.iter().filter_map(|rule| check_row_rule(rule, &snapshot.schema).err());
        let masks = restraint.masks.iter().filter_map(|mask| check_mask(mask, &snapshot.schema).err());
        for why in rules.chain(masks) {
            let message = format!("{}{why}; whoever it binds cannot read {}", author(restraint), product.id);
            problems.push(problem(ProblemSeverity::Error, restraint.place, product, message));
        }
    }
    for (one, other, column) in contradictions(&restraints) {
        let with = if one == other {
            "itself".to_owned()
        } else {
            other.policy.map_or("the contract".to_owned(), |name| format!("the policy `{name}`"))
        };
        let message = format!(
            "{}masks {column:?} otherwise than {with}; whoever both bind cannot read {}",
            author(one),
            product.id
        );
        problems.push(problem(ProblemSeverity::Warning, one.place, product, message));
    }
    problems
}

fn author(restraint: &Restraint<'_>) -> String {
    restraint.policy.map_or_else(String::new, |policy| format!("the policy `{policy}`: "))
}

fn problem(severity: ProblemSeverity, place: &SourcePlace, product: &Product, message: String) -> Problem {
    let known = place.line > 0;
    Problem {
        severity,
        path: if known { place.path.to_path_buf() } else { product.contract_path.clone() },
        line: place.line,
        column: place.column,
        message,
        suggestion: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::load::load;
    use crate::delta::{Stores, fixtures};
    use std::path::Path;

    const CONTRACT: &str = "apiVersion: datamesh.azure.com/v1
kind: DataProduct
metadata: {name: orders, domain: sales, owner: o@company.com}
spec:
  description: d
  schema:
    - {name: id, type: string}
    - {name: gone, type: string}
  outputs:
    - name: orders_delta
      format: delta
      location: data/orders
";

    fn mesh(folder: &Path) -> Catalog {
        let catalog = folder.join("catalog");
        std::fs::create_dir_all(catalog.join("sales/orders")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(catalog.join(name), text).unwrap();
        write("mesh.yaml", "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {}\n");
        write("principals.yaml", "apiVersion: pgmesh/v1\nkind: Principals\nusers: []\n");
        write(
            "sales/domain.yaml",
            "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {name: sales, owner: o@company.com}\nspec: {member_groups: []}\n",
        );
        write("sales/orders/data_product.yaml", CONTRACT);
        load(&catalog).catalog
    }

    async fn problems(folder: &Path) -> Vec<String> {
        let tables = Tables::new(Stores::default());
        inspect(&mesh(folder), &tables, &|_| {}).await.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_location_without_a_table_is_told_at_its_port() {
        let folder = tempfile::tempdir().unwrap();
        let found = problems(folder.path()).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("catalog/sales/orders/data_product.yaml:10:7: error: the table of sales.orders"),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn columns_that_differ_are_told_at_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        fixtures::append(fixtures::writer(&folder.path().join("data/orders")), &[1]).await;
        let found = problems(folder.path()).await.join("\n");
        assert!(found.contains("data_product.yaml:7:7: error: sales.orders: column \"id\" is"), "{found}");
        assert!(
            found.contains("data_product.yaml:8:7: error: sales.orders: column \"gone\" is in the contract"),
            "{found}"
        );
        assert!(found.contains("warning: sales.orders: column \"name\" is in the table"), "{found}");
    }
}
