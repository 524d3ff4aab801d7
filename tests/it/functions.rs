//! What the catalog's functions tell of privileges and objects, and what they do not tell.

use crate::raw::{Client, query};
use crate::serving::shared;

/// The first line of the answer: a row, or the error.
async fn answer(principal: &str, sql: &str) -> String {
    let mut client = Client::connect(shared().address, principal).await;
    client.send(&query(sql)).await;
    let lines = client.lines().await;
    let answer = lines.iter().find(|line| line.starts_with("Row ") || line.starts_with("Error "));
    answer.cloned().unwrap_or_else(|| "nothing".to_owned())
}

async fn check(principal: &str, sql: &str, expected: &str) {
    assert_eq!(answer(principal, sql).await, expected, "{principal}: {sql}");
}

#[tokio::test]
async fn privileges_are_what_the_fence_will_do() {
    for (principal, sql, expected) in [
        ("sales_analyst", "select has_table_privilege('sales.customer_360', 'SELECT')", "Row t"),
        ("sales_analyst", "select has_table_privilege('sales.customer_360', 'insert, update')", "Row f"),
        (
            "sales_analyst",
            "select has_table_privilege('sales_analyst', 'sales.customer_360', 'select, insert')",
            "Row t",
        ),
        ("sales_analyst", "select has_any_column_privilege('sales.orders', 'select')", "Row t"),
        ("sales_analyst", "select has_column_privilege('sales.orders', 1::int2, 'select')", "Row t"),
        ("sales_analyst", "select has_column_privilege('sales.orders', 9999::int2, 'select')", "Row ~"),
        ("mesh_admin", "select has_table_privilege('finance.invoices', 'select')", "Row f"),
        ("mesh_admin", "select has_table_privilege('finance.invoices', 'select with grant option')", "Row t"),
        ("finance_analyst", "select has_table_privilege('finance.invoices', 'select')", "Row t"),
        ("mesh_admin", "select has_table_privilege('sales_analyst', 'sales.customer_360', 'select')", "Row t"),
        ("mesh_admin", "select has_table_privilege('marketing_analyst', 'sales.customer_360', 'select')", "Row f"),
        (
            "auditor",
            "select has_table_privilege('marketing_analyst', 'sales.customer_360', 'select')",
            "Error 42P01 relation \"sales.customer_360\" does not exist",
        ),
        (
            "sales_analyst",
            "select has_schema_privilege('sales', 'usage'), has_schema_privilege('sales', 'create')",
            "Row t|f",
        ),
        ("sales_analyst", "select has_schema_privilege('pg_catalog', 'usage')", "Row t"),
        (
            "sales_analyst",
            "select has_database_privilege(current_database(), 'connect, create'), has_database_privilege('nope', 'connect')",
            "Error 3D000 database \"nope\" does not exist",
        ),
        (
            "sales_analyst",
            "select has_table_privilege('sales.orders', 'read')",
            "Error 22023 unrecognized privilege type: \"read\"",
        ),
        ("sales_analyst", "select has_table_privilege(99999, 'select')", "Row ~"),
        (
            "sales_analyst",
            "select has_table_privilege('nobody', 'sales.orders', 'select')",
            "Error 42704 role \"nobody\" does not exist",
        ),
        ("sales_analyst", "select pg_has_role('sales', 'usage'), pg_has_role(current_user, 'member')", "Row t|t"),
        ("sales_analyst", "select row_security_active('sales.orders') is not null", "Row t"),
    ] {
        check(principal, sql, expected).await;
    }
}

/// Calls with a relation's name in them; `%` stands for the name.
const BY_NAME: [&str; 12] = [
    "select has_table_privilege('%', 'select')",
    "select has_any_column_privilege('%', 'select')",
    "select has_column_privilege('%', 'id', 'select')",
    "select has_sequence_privilege('%', 'usage')",
    "select row_security_active('%')",
    "select to_regclass('%')",
    "select to_regtype('%')",
    "select pg_get_viewdef('%')",
    "select pg_get_serial_sequence('%', 'id')",
    "select pg_relation_size('%')",
    "select pg_relation_is_publishable('%')",
    "select to_regclass('%_pkey')",
];

#[tokio::test]
async fn a_hidden_name_is_answered_as_one_of_nothing() {
    for call in BY_NAME {
        for (hidden, nothing) in [("marketing.leads", "marketing.nolead"), ("finance.invoices", "finanze.invoices")] {
            let told = answer("sales_analyst", &call.replace('%', hidden)).await;
            let untold = answer("sales_analyst", &call.replace('%', nothing)).await;
            let (schema, name) = hidden.split_once('.').unwrap();
            let (other, unnamed) = nothing.split_once('.').unwrap();
            assert_eq!(told.replace(schema, other).replace(name, unnamed), untold, "{call}: {hidden}");
        }
    }
}

/// Calls with an OID in them.
const BY_OID: [&str; 26] = [
    "select has_table_privilege(%, 'select')",
    "select has_column_privilege(%, 'id', 'select')",
    "select has_column_privilege(%, 1::int2, 'select')",
    "select has_schema_privilege(%, 'usage')",
    "select has_type_privilege(%, 'usage')",
    "select row_security_active(%)",
    "select pg_has_role(%, 'usage')",
    "select format_type(%, null)",
    "select obj_description(%, 'pg_class')",
    "select obj_description(%, 'pg_namespace')",
    "select obj_description(%)",
    "select col_description(%, 1)",
    "select shobj_description(%, 'pg_authid')",
    "select pg_get_userbyid(%)",
    "select pg_table_is_visible(%)",
    "select pg_type_is_visible(%)",
    "select pg_get_viewdef(%)",
    "select pg_get_indexdef(%)",
    "select pg_get_indexdef(%, 1, true)",
    "select pg_get_constraintdef(%)",
    "select pg_relation_size(%)",
    "select pg_total_relation_size(%)",
    "select pg_relation_is_publishable(%)",
    "select pg_relation_filenode(%)",
    "select pg_get_triggerdef(%)",
    "select has_database_privilege(%, 'connect')",
];

#[tokio::test]
async fn a_hidden_oid_is_answered_as_one_of_nothing() {
    let mut oids = Vec::new();
    for sql in [
        "select oid from pg_class where relname = 'invoices'",
        "select reltype from pg_class where relname = 'invoices'",
        "select oid from pg_namespace where nspname = 'finance'",
        "select oid from pg_constraint where conrelid in (select oid from pg_class where relname = 'invoices')",
        "select indexrelid from pg_index where indrelid in (select oid from pg_class where relname = 'invoices')",
    ] {
        let row = answer("finance_analyst", sql).await;
        oids.extend(row.strip_prefix("Row ").map(str::to_owned));
    }
    assert!(oids.len() >= 3, "{oids:?}");
    for call in BY_OID {
        let untold = answer("sales_analyst", &call.replace('%', "1073700001")).await;
        for oid in &oids {
            let told = answer("sales_analyst", &call.replace('%', oid)).await;
            assert_eq!(told.replace(oid, "1073700001"), untold, "{call}: {oid}");
        }
    }
}
