//! The keys that a contract declares of its table, under the names that PostgreSQL would give them.
//!
//! Nothing enforces them; they say how tables belong together. PostgreSQL 15, "5.4 Constraints"; names as its
//! `ChooseConstraintName` makes them.

use super::model::{Product, Relationship};

/// `NAMEDATALEN` without its final zero, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// No contract has as many.
const KEYS_MAX: usize = 100_000;

/// What a key says of its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Primary,
    Unique,
    /// The values are those of another product's columns.
    Foreign,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// Of the constraint, and of its index.
    pub name: String,
    pub kind: KeyKind,
    /// In the order of the contract.
    pub columns: Vec<&'a str>,
    /// What a foreign key refers to.
    pub references: Option<&'a Relationship>,
}

/// The keys of a product's table: the primary key first, then the others in the order of the contract.
#[must_use]
pub fn keys(product: &Product) -> Vec<Key<'_>> {
    let table = product.table_name();
    let mut keys: Vec<Key<'_>> = Vec::new();
    let primary: Vec<&str> = product.columns.iter().filter(|c| c.primary_key).map(|c| c.name.as_str()).collect();
    if !primary.is_empty() {
        keys.push(Key { name: name(&table, None, "pkey"), kind: KeyKind::Primary, columns: primary, references: None });
    }
    for column in product.columns.iter().filter(|column| column.unique) {
        // a primary key of one column says it already
        let said =
            keys.first().is_some_and(|key| key.kind == KeyKind::Primary && key.columns == [column.name.as_str()]);
        if said {
            continue;
        }
        let wanted = name(&table, Some(&column.name), "key");
        let name = free(wanted, |name| keys.iter().any(|key| key.name == name));
        keys.push(Key { name, kind: KeyKind::Unique, columns: vec![&column.name], references: None });
    }
    for relationship in &product.relationships {
        let columns: Vec<&str> = relationship.columns.iter().map(String::as_str).collect();
        let wanted = name(&table, Some(&columns.join("_")), "fkey");
        let name = free(wanted, |name| keys.iter().any(|key| key.name == name));
        keys.push(Key { name, kind: KeyKind::Foreign, columns, references: Some(relationship) });
    }
    keys
}

/// `<table>_<column>_<label>`; the longer of table and column is cut where it would be too long (`makeObjectName`).
pub(super) fn name(table: &str, column: Option<&str>, label: &str) -> String {
    let (mut table, mut column) = (table, column.unwrap_or_default());
    let fixed = label.len() + 1 + usize::from(!column.is_empty());
    while table.len() + column.len() + fixed > NAME_BYTES_MAX {
        let longer = if table.len() > column.len() { &mut table } else { &mut column };
        let Some((last, _)) = longer.char_indices().next_back() else { break };
        *longer = &longer[..last];
    }
    let parts = [table, column, label];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// The name, or the name with the first number that makes it free.
pub(super) fn free(wanted: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&wanted) {
        return wanted;
    }
    let numbered = (1..KEYS_MAX).map(|number| format!("{wanted}{number}")).find(|name| !is_taken(name));
    numbered.unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixtures::{column, product};

    #[test]
    fn keys_have_postgresqls_names() {
        let mut orders = product("sales.Order-Lines");
        orders.columns = ["order", "line", "code", "Code"].map(column).to_vec();
        for at in [0, 1] {
            orders.columns[at].primary_key = true;
        }
        for at in [0, 2, 3] {
            orders.columns[at].unique = true;
        }
        let found: Vec<String> =
            keys(&orders).iter().map(|key| format!("{} {:?} {}", key.name, key.kind, key.columns.join(","))).collect();
        assert_eq!(
            found,
            [
                "order_lines_pkey Primary order,line",
                "order_lines_order_key Unique order",
                "order_lines_code_key Unique code",
                "order_lines_Code_key Unique Code",
            ]
        );
        let to = |column: &str| Relationship {
            columns: vec![column.to_owned()],
            product: product("sales.codes").id,
            referenced: vec!["code".to_owned()],
        };
        orders.relationships = vec![to("code"), to("code")];
        let foreign: Vec<String> = keys(&orders).into_iter().skip(4).map(|key| key.name).collect();
        assert_eq!(foreign, ["order_lines_code_fkey", "order_lines_code_fkey1"]);
        orders.relationships.clear();
        orders.columns[1].primary_key = false;
        assert_eq!(keys(&orders).len(), 3, "a primary key of one column is unique");
        assert!(keys(&product("sales.none")).is_empty());
    }

    #[test]
    fn long_names_are_cut_in_the_middle() {
        let long = "é".repeat(40);
        let name = name(&long, Some("column"), "key");
        assert!(name.len() <= NAME_BYTES_MAX && name.ends_with("_column_key"), "{name}");
        assert_eq!(free("a".to_owned(), |name| ["a", "a1"].contains(&name)), "a2");
    }
}
