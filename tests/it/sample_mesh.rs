//! The sample tables as the library that serves them reads them, and as their generator writes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use url::Url;

#[path = "../../examples/sample_mesh/main.rs"]
#[expect(dead_code, reason = "the example's own main is not called here")]
mod generator;

/// Table, newest version, rows.
const TABLES: [(&str, u64, i64); 12] = [
    ("sales/orders", 10, 6_000),
    ("sales/customer_360", 1, 1_200),
    ("marketing/campaigns", 1, 96),
    ("marketing/leads", 2, 1_000),
    ("marketing/web_sessions", 4, 6_000),
    ("product/features", 0, 240),
    ("product/usage", 1, 3_360),
    ("product/feedback", 1, 2_400),
    ("finance/transactions", 3, 6_581),
    ("finance/invoices", 3, 3_962),
    ("customer-success/tickets", 3, 1_500),
    ("customer-success/surveys", 0, 1_500),
];
const BYTES_MAX: u64 = 10_000_000;

fn sample_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_data")
}

async fn provider(table: &str, version: Option<u64>) -> (u64, Arc<dyn TableProvider>) {
    let url = Url::from_directory_path(sample_data().join(table)).unwrap();
    let table = match version {
        Some(version) => deltalake::open_table_with_version(url, version).await.unwrap(),
        None => deltalake::open_table(url).await.unwrap(),
    };
    (table.version().unwrap(), table.table_provider().await.unwrap())
}

/// All tables in one session, named `<domain>_<product>`.
async fn session() -> SessionContext {
    let session = SessionContext::new();
    for (table, _, _) in TABLES {
        let (_, provider) = provider(table, None).await;
        session.register_table(table.replace(['/', '-'], "_"), provider).unwrap();
    }
    session
}

#[expect(clippy::disallowed_methods, reason = "no client is here; the tables are read as they lie")]
async fn rows(session: &SessionContext, sql: &str) -> String {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

#[expect(clippy::disallowed_methods, reason = "no client is here; the tables are read as they lie")]
async fn number(session: &SessionContext, sql: &str) -> i64 {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

async fn count(table: &str, version: u64) -> i64 {
    let session = SessionContext::new();
    session.register_table("t", provider(table, Some(version)).await.1).unwrap();
    // a sum over a column, so that rows are read and not the statistics of their files
    number(&session, "select cast(sum(case when true then 1 else 0 end) as bigint) from t").await
}

fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_generator_writes_what_is_committed_byte_for_byte() {
    let fresh = tempfile::tempdir().unwrap();
    generator::generate(fresh.path()).unwrap();
    let (fresh, mut committed) = (files(fresh.path()), files(&sample_data()));
    assert!(committed.remove(Path::new("README.md")).is_some());
    assert!(committed.values().map(|bytes| bytes.len() as u64).sum::<u64>() < BYTES_MAX);
    assert_eq!(fresh.keys().collect::<Vec<_>>(), committed.keys().collect::<Vec<_>>());
    for (path, bytes) in &fresh {
        assert!(committed[path] == *bytes, "{} differs: cargo run --example sample_mesh", path.display());
    }
}

#[tokio::test]
async fn every_table_has_its_version_and_rows() {
    for (table, version, rows) in TABLES {
        assert_eq!(provider(table, None).await.0, version, "{table}");
        assert_eq!(count(table, version).await, rows, "{table}");
    }
}

#[tokio::test]
async fn older_versions_hold_what_they_held() {
    for (table, version, rows) in [
        ("sales/orders", 0, 1_288),
        ("sales/customer_360", 0, 1_200),
        ("marketing/leads", 1, 640),
        ("finance/invoices", 1, 3_538),
        ("finance/invoices", 2, 3_528),
        ("finance/transactions", 1, 6_081),
        ("finance/transactions", 2, 6_081),
    ] {
        assert_eq!(count(table, version).await, rows, "{table} version {version}");
    }
    // compacting changes no row
    assert_eq!(count("marketing/web_sessions", 2).await, count("marketing/web_sessions", 3).await);
}

#[tokio::test]
async fn exactly_the_deleted_invoices_are_gone() {
    let session = SessionContext::new();
    session.register_table("before", provider("finance/invoices", Some(1)).await.1).unwrap();
    session.register_table("after", provider("finance/invoices", Some(2)).await.1).unwrap();
    // positions 17, 256, 700, 701 of the first file and 0, 5, 93, 400, 401, 1024 of the second
    let gone = "select count(*) from (select row_number() over (order by order_id) - 1 as n, order_id from before)
        where order_id not in (select order_id from after)
        and n in (17, 256, 700, 701, 1966, 1971, 2059, 2366, 2367, 2990)";
    assert_eq!(number(&session, gone).await, 10);
}

#[tokio::test]
async fn a_renamed_column_keeps_its_values() {
    let (_, before) = provider("marketing/leads", Some(0)).await;
    assert!(before.schema().field_with_name("origin").is_ok());
    let session = session().await;
    let sources = "select count(*) from marketing_leads where source in ('web form', 'fair', 'newsletter', 'referral')";
    assert_eq!(number(&session, sources).await, 1_000);
    let agreed = "select count(*) from marketing_leads where consent['email'] and consent['given_at'] is not null";
    let asked = "select count(*) from marketing_leads where consent['given_at'] is not null";
    assert!(number(&session, agreed).await > 700);
    assert_eq!(number(&session, agreed).await, number(&session, asked).await);
}

#[tokio::test]
async fn file_statistics_skip_no_row_that_matches() {
    let session = session().await;
    for (table, predicate) in [
        ("sales_orders", "order_month = '2026-09'"),
        ("sales_orders", "amount >= 2605.00"),
        ("sales_orders", "ordered_at >= timestamp '2026-11-01T00:00:00Z'"),
        ("sales_orders", "order_date = date '2026-10-31'"),
        ("product_usage", "usage_date = date '2026-11-15'"),
        ("product_usage", "last_view_at < timestamp '2026-11-03T12:00:00'"),
        ("finance_invoices", "vat_rate = 0.19"),
        ("finance_transactions", "fee > 1.5"),
        ("marketing_leads", "score > 99.5"),
        ("customer_success_surveys", "region = 'APAC'"),
    ] {
        let skipped = number(&session, &format!("select count(*) from {table} where {predicate}")).await;
        let counted = format!("select cast(sum(case when {predicate} then 1 else 0 end) as bigint) from {table}");
        assert_eq!(skipped, number(&session, &counted).await, "{table}: {predicate}");
        assert!(skipped > 0, "{table}: {predicate}");
    }
}

#[tokio::test]
async fn keys_of_one_domain_are_found_in_another() {
    let session = session().await;
    for (table, key, target, target_key) in [
        ("sales_orders", "customer_id", "sales_customer_360", "customer_id"),
        ("sales_orders", "product_sku", "product_features", "sku"),
        ("sales_orders", "campaign_id", "marketing_campaigns", "campaign_id"),
        ("marketing_web_sessions", "customer_id", "sales_customer_360", "customer_id"),
        ("marketing_web_sessions", "campaign_id", "marketing_campaigns", "campaign_id"),
        ("marketing_leads", "customer_id", "sales_customer_360", "customer_id"),
        ("product_usage", "sku", "product_features", "sku"),
        ("product_feedback", "sku", "product_features", "sku"),
        ("product_feedback", "customer_id", "sales_customer_360", "customer_id"),
        ("finance_transactions", "order_id", "sales_orders", "order_id"),
        ("finance_invoices", "order_id", "sales_orders", "order_id"),
        ("customer_success_tickets", "customer_id", "sales_customer_360", "customer_id"),
        ("customer_success_tickets", "order_id", "sales_orders", "order_id"),
        ("customer_success_surveys", "customer_id", "sales_customer_360", "customer_id"),
    ] {
        let matched = format!("select count(*) from {table} where {key} in (select {target_key} from {target})");
        let present = format!("select count({key}) from {table}");
        let matched = number(&session, &matched).await;
        assert_eq!(matched, number(&session, &present).await, "{table}.{key}");
        assert!(matched > 0, "{table}.{key}");
    }
}

#[tokio::test]
async fn tickets_alone_break_their_promises() {
    let session = session().await;
    for (table, key) in [
        ("sales_orders", "order_id"),
        ("sales_customer_360", "customer_id"),
        ("marketing_campaigns", "campaign_id"),
        ("marketing_leads", "lead_id"),
        ("marketing_web_sessions", "session_id"),
        ("product_features", "sku"),
        ("product_feedback", "feedback_id"),
        ("finance_transactions", "transaction_id"),
        ("finance_invoices", "invoice_id"),
        ("customer_success_surveys", "survey_id"),
    ] {
        assert_eq!(
            number(&session, &format!("select count(*) - count(distinct {key}) from {table}")).await,
            0,
            "{table}"
        );
    }
    let broken = "select count(*) - count(distinct ticket_id) as repeated, count(*) - count(customer_id) as lost
        from customer_success_tickets";
    let expected = "\
+----------+------+
| repeated | lost |
+----------+------+
| 32       | 64   |
+----------+------+";
    assert_eq!(rows(&session, broken).await, expected);
}

#[tokio::test]
async fn the_rarer_types_are_there() {
    let session = session().await;
    let types: Vec<DataType> = futures::future::join_all(TABLES.map(|(table, _, _)| provider(table, None)))
        .await
        .iter()
        .flat_map(|(_, provider)| provider.schema().fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>())
        .collect();
    for (name, test) in [
        ("tinyint", (|t| *t == DataType::Int8) as fn(&DataType) -> bool),
        ("smallint", |t| *t == DataType::Int16),
        ("float", |t| *t == DataType::Float32),
        ("boolean", |t| *t == DataType::Boolean),
        ("date", |t| *t == DataType::Date32),
        ("decimal(38,10)", |t| *t == DataType::Decimal128(38, 10)),
        ("binary", |t| matches!(t, DataType::Binary | DataType::BinaryView | DataType::LargeBinary)),
        ("timestamp", |t| matches!(t, DataType::Timestamp(_, Some(_)))),
        ("timestamp_ntz", |t| matches!(t, DataType::Timestamp(_, None))),
        ("struct", |t| matches!(t, DataType::Struct(_))),
        ("map", |t| matches!(t, DataType::Map(_, _))),
        ("array of struct", |t| matches!(t, DataType::List(e) if matches!(e.data_type(), DataType::Struct(_)))),
    ] {
        assert!(types.iter().any(test), "no column is a {name}");
    }
    let agencies = "select count(*) from marketing_campaigns where array_length(map_keys(labels)) = 3";
    assert_eq!(number(&session, agencies).await, 14);
    let domains = "select owning_domain, count(*) as n from product_feedback group by 1 order by 1 nulls last";
    let expected = "\
+------------------+-----+
| owning_domain    | n   |
+------------------+-----+
| customer-success | 700 |
| marketing        | 474 |
| product          | 694 |
| sales            | 497 |
|                  | 35  |
+------------------+-----+";
    assert_eq!(rows(&session, domains).await, expected);
}
