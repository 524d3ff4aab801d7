//! `pgmesh explain-access USER TABLE`: why a principal sees what it sees. Deciding is the business of `access`.

use std::io::Write;
use std::path::Path;

use super::{Ended, Failure, Outcome};
use crate::access::explain::explain;
use crate::access::{Grants, Principal, decide};
use crate::catalog::load::load;
use crate::catalog::model::{Catalog, ProblemSeverity, Product};

pub(super) fn run(catalog_dir: &Path, user: &str, table: &str, out: &mut dyn Write) -> Ended {
    let loaded = load(catalog_dir);
    let errors = loaded.problems.iter().filter(|problem| problem.severity == ProblemSeverity::Error).count();
    if errors > 0 {
        return Err(Failure::said(format!("the catalog has {errors} errors: pgmesh validate tells them")));
    }
    let catalog = loaded.catalog;
    let principal = catalog.users.get(user).map(Principal::from);
    let principal = principal.ok_or_else(|| Failure::said(format!("there is no user `{user}`: pgmesh user list")))?;
    let product = find(&catalog, table)
        .ok_or_else(|| Failure::said(format!("there is no data product `{table}`: write it as schema.table")))?;
    let schema = product.domain.schema_name();
    let decision = decide(&catalog, &Grants::default(), &principal, product);
    let mut lines = explain(&decision).into_iter();
    writeln!(out, "{schema}.{} {}", product.table_name(), lines.next().unwrap_or_default())?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "  not counted: grants, which a running server tells in data_catalog.grants")?;
    Ok(Outcome::Done)
}

/// By its id, or as SQL names its table.
fn find<'c>(catalog: &'c Catalog, table: &str) -> Option<&'c Product> {
    let in_sql = |product: &&Product| format!("{}.{}", product.domain.schema_name(), product.table_name()) == table;
    let by_id = catalog.products.values().find(|product| product.id.0 == table);
    by_id.or_else(|| catalog.products.values().find(in_sql))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(user: &str, table: &str) -> Result<String, String> {
        let mut out = Vec::new();
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
        match run(&sample, user, table, &mut out) {
            Ok(_) => Ok(String::from_utf8(out).expect("text")),
            Err(Failure::Said(message)) => Err(message),
            Err(Failure::Output(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn the_sample_mesh_is_explained() {
        let own = said("sales_analyst", "sales.orders").expect("explained");
        assert!(own.starts_with("sales.orders may be read") && own.contains("the group `sales`"), "{own}");
        let other = said("sales_analyst", "finance.invoices").expect("explained");
        assert!(other.starts_with("finance.invoices does not exist"), "{other}");
        let by_id = said("data_scientist", "customer-success.tickets").expect("explained");
        assert_eq!(Ok(by_id), said("data_scientist", "customer_success.tickets"));
    }

    #[test]
    fn who_or_what_is_not_there_is_told() {
        assert!(said("nobody", "sales.orders").is_err_and(|why| why.contains("no user")));
        assert!(said("sales_analyst", "sales.nothing").is_err_and(|why| why.contains("no data product")));
    }
}
