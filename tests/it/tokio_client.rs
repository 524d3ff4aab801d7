//! The Rust driver tokio-postgres: simple and prepared statements, text and binary, portals, and the refusals.

use futures::TryStreamExt;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::serving::{eventually, shared};

const DISCOVERY: &str = "SELECT product_name, domain, owner, description, sla_freshness, quality_score, last_updated
FROM data_catalog.products
WHERE domain IN (SELECT domain FROM user_domain_access WHERE user_id = CURRENT_USER())
ORDER BY quality_score DESC";

async fn connect(user: &str) -> Client {
    let address = shared().address;
    let mut config = Config::new();
    config.host(address.ip().to_string()).port(address.port()).user(user).password(user).dbname("mesh");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Names and scores, in the order of the answer.
async fn discover(client: &Client) -> Vec<(String, f64)> {
    let rows = client.query(DISCOVERY, &[]).await.unwrap();
    rows.iter().map(|row| (row.get("product_name"), row.get("quality_score"))).collect()
}

#[tokio::test]
async fn discovery_differs_by_user_and_is_ordered_by_what_was_measured() {
    let (sales, marketing) = (connect("sales_analyst").await, connect("marketing_analyst").await);
    let measured = eventually("measured scores", || async {
        let found = discover(&sales).await;
        found.iter().all(|(_, score)| *score > 0.0).then_some(found)
    })
    .await;
    assert!(measured.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{measured:?}");
    let names = |found: &[(String, f64)]| found.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let (mine, theirs) = (names(&measured), names(&discover(&marketing).await));
    assert!(mine.contains(&"customer-360".to_owned()) && !theirs.contains(&"customer-360".to_owned()));
    assert!(theirs.contains(&"leads".to_owned()) && !mine.contains(&"leads".to_owned()));
}

#[tokio::test]
async fn text_binary_prepared_and_portals_give_the_same_rows() {
    let mut client = connect("sales_analyst").await;
    let sql = "select order_id, customer_id, quantity from sales.orders where order_id <= 100010 order by order_id";
    let simple: Vec<String> = client
        .simple_query(sql)
        .await
        .unwrap()
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(format!("{}|{}|{}", row.get(0)?, row.get(1)?, row.get(2)?)),
            _ => None,
        })
        .collect();
    let text = |row: &tokio_postgres::Row| {
        format!("{}|{}|{}", row.get::<_, i64>(0), row.get::<_, String>(1), row.get::<_, i32>(2))
    };
    let binary: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(text).collect();
    assert_eq!((simple.len(), &simple), (10, &binary));
    let prepared = client.prepare(&sql.replace("100010", "$1")).await.unwrap();
    for last in [100_001_i64, 100_005, 100_010] {
        let rows: Vec<String> = client.query(&prepared, &[&last]).await.unwrap().iter().map(text).collect();
        assert_eq!(rows, simple[..rows.len()]);
        assert_eq!(rows.len() as i64, last - 100_000);
    }
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(sql, &[]).await.unwrap();
    let mut fetched: Vec<String> = Vec::new();
    loop {
        let portion: Vec<_> = transaction.query_portal_raw(&portal, 3).await.unwrap().try_collect().await.unwrap();
        assert!(portion.len() <= 3);
        fetched.extend(portion.iter().map(text));
        if portion.len() < 3 {
            break;
        }
    }
    assert_eq!(fetched, simple);
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn counts_joins_and_refusals() {
    let sales = connect("sales_analyst").await;
    let count: i64 = sales.query_one("select count(*) from sales.orders", &[]).await.unwrap().get(0);
    assert_eq!(count, 6_000);
    let scientist = connect("data_scientist").await;
    let join = "select c.name, count(*) from sales.orders o join marketing.campaigns c using (campaign_id) group by 1";
    assert!(scientist.query(join, &[]).await.unwrap().len() > 10);
    let error = |result: Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>| {
        let error = result.unwrap_err();
        let told = error.as_db_error().unwrap();
        (told.code().code().to_owned(), told.hint().unwrap_or_default().to_owned())
    };
    let (code, hint) = error(scientist.query("select * from sales.customer_360", &[]).await);
    assert_eq!(code, "42501");
    assert!(hint.contains("sales-data-team@company.com"), "{hint}");
    let (code, hint) = error(sales.query("select * from finance.transactions", &[]).await);
    assert_eq!((code.as_str(), hint.as_str()), ("42P01", ""));
}
