//! By which names a contract knows the columns of its table: so that a mask or a row filter stays with its column when the
//! column is renamed, and another that takes the name does not take its place.
//!
//! Only columns with ids are followed (Delta protocol, "Column Mapping"). The names are those that the columns had when
//! the contract, in its present wording, was first enforced; they are kept in the state, and a contract that changed is
//! taken at its new word.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::catalog::model::{Product, ProductId};
use crate::error::Result;
use crate::state::{State, Table};

/// Names by column id.
pub type Names = BTreeMap<i64, String>;

/// With the checksum of the contract that they belong to.
type Known = HashMap<ProductId, (String, Arc<Names>)>;

/// What is known of the contracts that were enforced since the server started.
#[derive(Default)]
pub struct ColumnNames {
    known: Mutex<Known>,
}

/// A row of the state's table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    product_id: String,
    contract_sha256: String,
    column_id: i64,
    column_name: String,
}

impl ColumnNames {
    /// The names by which the contract knows the columns; `now` are today's, which count when the contract is new.
    ///
    /// # Errors
    /// When the state cannot be read or written: what cannot be known is not guessed.
    pub async fn known(&self, state: &State, product: &Product, now: &BTreeMap<String, i64>) -> Result<Arc<Names>> {
        let checksum = &product.contract_sha256;
        if let Some((of, names)) = self.lock().get(&product.id)
            && of == checksum
        {
            return Ok(Arc::clone(names));
        }
        let (_, rows) = state.rows::<Row>(Table::ColumnNames)?;
        let mut names = of_contract(&rows, product);
        if names.is_empty() {
            names = state.update(Table::ColumnNames, |rows| Ok(with_contract(rows, product, now))).await?;
        }
        let names = Arc::new(names);
        self.lock().insert(product.id.clone(), (checksum.clone(), Arc::clone(&names)));
        Ok(names)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // every change is one insertion: a panic elsewhere leaves nothing half done
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_contract(rows: &[Row], product: &Product) -> Names {
    let own = rows.iter().filter(|row| is_of(row, product));
    own.map(|row| (row.column_id, row.column_name.clone())).collect()
}

fn is_of(row: &Row, product: &Product) -> bool {
    row.product_id == product.id.0 && row.contract_sha256 == product.contract_sha256
}

/// Another server may have been faster: then its names count. What an older wording of the contract knew is forgotten.
fn with_contract(mut rows: Vec<Row>, product: &Product, now: &BTreeMap<String, i64>) -> (Vec<Row>, Names) {
    let theirs = of_contract(&rows, product);
    if !theirs.is_empty() {
        return (rows, theirs);
    }
    rows.retain(|row| row.product_id != product.id.0);
    rows.extend(now.iter().map(|(name, id)| Row {
        product_id: product.id.0.clone(),
        contract_sha256: product.contract_sha256.clone(),
        column_id: *id,
        column_name: name.clone(),
    }));
    (rows, now.iter().map(|(name, id)| (*id, name.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[(&str, i64)]) -> BTreeMap<String, i64> {
        names.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect()
    }

    fn names(names: &[(i64, &str)]) -> Names {
        names.iter().map(|(id, name)| (*id, (*name).to_owned())).collect()
    }

    #[tokio::test]
    async fn names_stay_as_the_contract_first_met_them() {
        let mesh = crate::mesh::tests::sample();
        let snapshot = mesh.catalog.current();
        let mut product = snapshot.catalog.products.values().next().unwrap().clone();
        let first = ids(&[("email", 1), ("id", 2)]);
        let renamed = ids(&[("mail", 1), ("email", 2), ("added", 3)]);
        let known = names(&[(1, "email"), (2, "id")]);
        let fresh = ColumnNames::default();
        assert_eq!(*fresh.known(&mesh.state, &product, &first).await.unwrap(), known);
        assert_eq!(*fresh.known(&mesh.state, &product, &renamed).await.unwrap(), known);
        let restarted = ColumnNames::default();
        assert_eq!(*restarted.known(&mesh.state, &product, &renamed).await.unwrap(), known, "kept in the state");
        product.contract_sha256 = "changed".to_owned();
        let reworded = names(&[(1, "mail"), (2, "email"), (3, "added")]);
        assert_eq!(*restarted.known(&mesh.state, &product, &renamed).await.unwrap(), reworded);
        let (_, rows) = mesh.state.rows::<Row>(Table::ColumnNames).unwrap();
        assert_eq!(rows.len(), 3, "what the old wording knew is gone");
    }
}
