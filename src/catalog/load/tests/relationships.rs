//! References from one contract's columns to another's, and what is said where they lead nowhere.

use super::*;

fn odcs(name: &str, properties: &str, more: &str) -> String {
    format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: {name}-id\nname: {name}\nversion: 1.0.0\nstatus: active\ndomain: sales\n\
         servers:\n  - {{server: lake, type: custom, format: delta, location: {name}}}\n\
         schema:\n  - name: {name}\n    properties:\n{properties}{more}"
    )
}

fn loaded(properties: &str, more: &str) -> Loaded {
    let folder = Folder::new();
    folder.domain("product");
    folder.write("sales/orders/orders.odcs.yaml", odcs("orders", properties, more));
    let customers = "      - {name: id, primaryKey: true}\n      - {name: country}\n";
    folder.write("sales/customers/customers.odcs.yaml", odcs("customers", customers, ""));
    folder.load()
}

fn relationships(properties: &str, more: &str) -> (Vec<Relationship>, Vec<String>) {
    let loaded = loaded(properties, more);
    let id = ProductId("sales.orders".to_owned());
    let found = loaded.catalog.products.get(&id).map(|product| product.relationships.clone()).unwrap_or_default();
    let about = |problem: &&Problem| problem.message.contains("relationship");
    (found, loaded.problems.iter().filter(about).map(ToString::to_string).collect())
}

#[test]
fn columns_and_tables_refer_to_other_products() {
    let to = |columns: &[&str], referenced: &[&str]| Relationship {
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        product: ProductId("sales.customers".to_owned()),
        referenced: referenced.iter().map(|&column| column.to_owned()).collect(),
    };
    let of_column = |reference: &str| {
        let text = format!("      - {{name: customer, relationships: [{{type: foreignKey, to: {reference}}}]}}\n");
        relationships(&text, "")
    };
    for reference in ["customers.id", "sales.customers.id", "customers-id.id"] {
        assert_eq!(of_column(reference), (vec![to(&["customer"], &["id"])], vec![]), "{reference}");
    }
    let columns = "      - {name: customer}\n      - {name: land}\n";
    let of_table =
        "    relationships:\n      - {from: [orders.customer, orders.land], to: [customers.id, customers.country]}\n";
    assert_eq!(relationships(columns, of_table), (vec![to(&["customer", "land"], &["id", "country"])], vec![]));
}

#[test]
fn what_leads_nowhere_is_told_and_left_out() {
    for (reference, told) in [
        ("custmers.id", "the relationship refers to `custmers`, which the mesh does not know"),
        (
            "customers.idd",
            "the relationship refers to `customers.idd`, and sales.customers has no such column (did you mean `id`?)",
        ),
        ("'#/schema/customers'", "the relationship's `#/schema/customers` is not followed (write <product>.<column>)"),
        ("[customers.id, customers.country]", "the relationship is from 1 columns to 2"),
    ] {
        let text = format!("      - {{name: customer, relationships: [{{to: {reference}}}]}}\n");
        let (found, problems) = relationships(&text, "");
        assert!(found.is_empty());
        assert_eq!(problems.len(), 1, "{reference}: {problems:?}");
        assert!(
            problems[0].contains("warning: ") && problems[0].contains(told.split(" (").next().unwrap()),
            "{problems:?}"
        );
    }
    let columns = "      - {name: customer}\n";
    let unknown = "    relationships:\n      - {from: [orders.land], to: [customers.country]}\n";
    let loaded = loaded(columns, unknown);
    assert!(loaded.has_errors(), "a column that the schema does not declare: {:?}", loaded.problems);
}
