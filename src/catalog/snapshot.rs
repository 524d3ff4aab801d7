//! One immutable, validated state of the whole catalog, with the lookups that every statement makes.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::load::Loaded;
use super::model::{Catalog, Domain, DomainName, Problem, Product, ProductId, User};

/// A generation of the catalog. A running statement holds one and sees no other.
///
/// INVARIANT: nothing in it changes after [`Snapshot::new`], and the indexes agree with `catalog`.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts from 1; a change of the folder's meaning makes the next.
    pub generation: u64,
    pub loaded_at: DateTime<Utc>,
    pub catalog: Catalog,
    /// What was found wrong in the same load; errors only where no good state had been loaded before.
    pub problems: Vec<Problem>,
    /// By schema name.
    schemas: HashMap<String, Schema>,
}

#[derive(Debug)]
struct Schema {
    domain: DomainName,
    /// Product by table name.
    tables: HashMap<String, ProductId>,
}

impl Snapshot {
    /// Indexes what a load yielded.
    pub fn new(generation: u64, loaded_at: DateTime<Utc>, loaded: Loaded) -> Arc<Self> {
        let Loaded { catalog, problems } = loaded;
        let mut schemas: HashMap<String, Schema> = catalog
            .domains
            .keys()
            .map(|name| (name.schema_name(), Schema { domain: name.clone(), tables: HashMap::new() }))
            .collect();
        for product in catalog.products.values() {
            if let Some(schema) = schemas.get_mut(&product.domain.schema_name()) {
                schema.tables.insert(product.table_name(), product.id.clone());
            }
        }
        Arc::new(Self { generation, loaded_at, catalog, problems, schemas })
    }

    /// The product whose table is `<schema>.<table>` in SQL.
    pub fn product_by_table(&self, schema: &str, table: &str) -> Option<&Product> {
        self.product(self.schemas.get(schema)?.tables.get(table)?)
    }

    /// The domain whose tables lie in a schema.
    pub fn domain_by_schema(&self, schema: &str) -> Option<&Domain> {
        self.catalog.domains.get(&self.schemas.get(schema)?.domain)
    }

    /// The products of a schema, in no order.
    pub fn products_of_schema(&self, schema: &str) -> impl Iterator<Item = &Product> {
        let tables = self.schemas.get(schema).map(|schema| schema.tables.values());
        tables.into_iter().flatten().filter_map(|id| self.product(id))
    }

    pub fn product(&self, id: &ProductId) -> Option<&Product> {
        self.catalog.products.get(id)
    }

    pub fn user(&self, name: &str) -> Option<&User> {
        self.catalog.users.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{init, load};

    #[test]
    fn lookups_use_the_names_of_sql() {
        let dir = tempfile::tempdir().unwrap();
        init::init(dir.path()).unwrap();
        let snapshot = Snapshot::new(7, Utc::now(), load::load(&dir.path().join("catalog")));
        assert_eq!(snapshot.product_by_table("sales", "orders").map(|p| p.id.0.as_str()), Some("sales.orders"));
        assert_eq!(snapshot.domain_by_schema("sales").map(|d| d.name.as_str()), Some("sales"));
        assert_eq!(snapshot.products_of_schema("sales").count(), 1);
        for (schema, table) in [("sales", "Orders"), ("sales", "nothing"), ("public", "orders")] {
            assert!(snapshot.product_by_table(schema, table).is_none());
        }
        assert!(snapshot.domain_by_schema("public").is_none() && snapshot.user("ada").is_none());
        assert_eq!(snapshot.products_of_schema("public").count(), 0);
    }
}
