//! The audit trail: what is recorded of which statement, and who sees it.

use std::time::Duration;

use crate::freshness::Copied;
use crate::raw::{Client, Login, bind, describe, execute, parse, sync};
use crate::serving::{Serving, config, eventually};

fn serving() -> Serving {
    Serving::start(config())
}

/// What the auditor sees of the trail, logins left out.
async fn trail(server: &Serving, columns: &str, condition: &str) -> Vec<String> {
    let sql =
        format!("select {columns} from data_catalog.audit where kind <> 'login' and {condition} order by audit_id");
    Client::connect(server.address, "auditor").await.rows(&sql).await
}

/// The trail once it has as many records; refusals are recorded beside their answers.
async fn trail_of(server: &Serving, columns: &str, condition: &str, records: usize) -> Vec<String> {
    eventually(condition, || async {
        let rows = trail(server, columns, condition).await;
        (rows.len() >= records).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn a_read_leaves_a_record_of_names_and_no_values() {
    let server = serving();
    let options = [("application_name", "monthly report")];
    let login = Login { options: &options, ..Login::sample("sales_analyst") };
    let mut client = Client::login(server.address, &login).await.unwrap();
    let sql = "select o.amount, c.name from sales.orders o join sales.customer_360 c using (customer_id)
        where o.order_id::text <> 'a-literal-of-the-statement' limit 3";
    assert_eq!(client.rows(sql).await.len(), 3);
    let columns = "kind, outcome, principal, client_address, application_name, object, domain, delta_version, columns,
        policies, masked_columns, denied_columns, reason, events, detail";
    let mut rows = trail(&server, columns, "true").await;
    rows.sort();
    let who = "sales_analyst|127.0.0.1|monthly report";
    let expected = [
        format!(
            "read|allowed|{who}|sales.orders|sales|10|{{amount,customer_id,order_id}}|\
             {{group:sales,discoverable:mesh}}|{{}}|{{}}|~|1|~"
        ),
        // both of its masks bind an analyst
        format!(
            "read|filtered|{who}|sales.customer-360|sales|1|{{customer_id,name}}|{{group:sales}}|{{email,name}}|{{}}|~|1|~"
        ),
    ];
    assert_eq!(rows, expected);
    // one statement, one session, one generation, and ids that sort
    let shared = "count(distinct statement_id), count(distinct session_id), count(distinct generation),
        count(distinct audit_id), bool_and(audit_id > statement_id), bool_and(statement_id > session_id)";
    let sql = format!("select {shared} from data_catalog.audit where kind = 'read'");
    assert_eq!(Client::connect(server.address, "auditor").await.rows(&sql).await, ["1|1|1|2|t|t"]);
    for column in ["detail", "reason", "object", "array_to_string(columns, ' ')", "application_name"] {
        let literal = trail(&server, "1", &format!("{column} like '%a-literal%'")).await;
        assert!(literal.is_empty(), "{column}");
    }
}

#[tokio::test]
async fn filtered_and_denied_say_so() {
    let server = serving();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    client.rows("select count(*) from product.feedback").await;
    client.rows("select * from marketing.campaigns").await;
    client.rows("select * from finance.invoices").await;
    client.rows("select * from finance.invoicez").await;
    client.rows("select 1 from sales.orders where exists (select 1 from finance.invoices)").await;
    client.rows("select nothing from sales.orders").await;
    let columns = "outcome, object, reason, delta_version is null, columns";
    let rows = trail_of(&server, columns, "principal = 'sales_analyst'", 4).await;
    assert_eq!(rows[0], "filtered|product.feedback|~|f|{}");
    let mut denied: Vec<&str> = rows[1..].iter().map(String::as_str).collect();
    denied.sort_unstable();
    // neither what does not exist nor what was not read in the end leaves a record
    assert_eq!(
        denied,
        [
            "denied|finance.invoices|hidden|t|~",
            "denied|finance.invoices|hidden|t|~",
            "denied|marketing.campaigns|discover_only|t|~",
        ]
    );
    let policies = trail(&server, "policies", "object = 'product.feedback'").await;
    assert!(policies[0].contains("access_policy:mesh-internal"), "{policies:?}");
}

#[tokio::test]
async fn each_execute_is_a_decision() {
    let server = serving();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    let prepare = [parse("s", "select order_id from sales.orders limit 5", &[]), describe(b'S', "s"), sync()];
    assert!(client.say(&prepare).await.contains(&"ParseComplete".to_owned()));
    assert!(trail(&server, "1", "true").await.is_empty(), "to describe reads nothing");
    for _ in 0..3 {
        client.say(&[bind("", "s", &[]), execute("", 0), sync()]).await;
    }
    // a portal that is fetched in parts is executed once
    client.say(&[bind("p", "s", &[]), execute("p", 2), execute("p", 2), execute("p", 2), sync()]).await;
    assert_eq!(trail(&server, "object", "outcome = 'allowed'").await, ["sales.orders"; 4]);
    let statements = "select count(distinct statement_id) from data_catalog.audit where kind = 'read'";
    assert_eq!(Client::connect(server.address, "auditor").await.rows(statements).await, ["4"]);
    client.say(&[parse("", "select * from marketing.campaigns", &[]), describe(b'S', ""), sync()]).await;
    let denied = trail_of(&server, "object, reason", "outcome = 'denied'", 1).await;
    assert_eq!(denied, ["marketing.campaigns|discover_only"]);
}

#[tokio::test]
async fn what_reads_no_product_writes_nothing_and_a_cursor_once() {
    let server = serving();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    for sql in [
        "select 1",
        "select * from data_catalog.products",
        "select * from data_catalog.audit",
        "set application_name = 'x'",
        "show all",
        "explain select * from sales.orders",
        "explain verbose select * from sales.orders where amount > 3",
    ] {
        client.query(sql).await;
    }
    assert!(trail(&server, "object", "true").await.is_empty());
    client.query("explain analyze select count(*) from sales.orders").await;
    assert_eq!(trail(&server, "object, columns", "true").await, ["sales.orders|{}"]);
    client.query("begin").await;
    client
        .query("declare c cursor for select a.sku, b.name from product.features a join product.features b using (sku)")
        .await;
    for _ in 0..3 {
        client.query("fetch 2 from c").await;
    }
    client.query("commit").await;
    // and a table that is named twice is read once
    let read = trail(&server, "object, columns", "domain = 'product'").await;
    assert_eq!(read, ["product.features|{name,sku}"]);
}

#[tokio::test]
async fn a_denied_explain_is_recorded() {
    let server = serving();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    client.query("explain select * from marketing.campaigns").await;
    let denied = trail_of(&server, "object, outcome", "true", 1).await;
    assert_eq!(denied, ["marketing.campaigns|denied"]);
}

#[tokio::test]
async fn the_trail_is_seen_by_those_who_govern_and_by_owners_of_their_own() {
    let mesh = Copied::start_with(|copied| {
        copied.edit("catalog/principals.yaml", "{region: EU}", "{region: EU, email: sales-data-team@company.com}");
    });
    let mut scientist = mesh.connect("data_scientist").await;
    for sql in [
        "select count(*) from sales.orders",
        "select count(*) from product.features",
        "select * from sales.customer_360",
    ] {
        scientist.query(sql).await;
    }
    let sql = "select object, outcome from data_catalog.audit where kind <> 'login' and principal = 'data_scientist' order by 1";
    let all = ["product.features|allowed", "sales.customer-360|denied", "sales.orders|allowed"];
    for governs in ["auditor", "mesh_admin"] {
        eventually(governs, || async { (mesh.connect(governs).await.rows(sql).await == all).then_some(()) }).await;
    }
    assert_eq!(
        mesh.connect("sales_analyst").await.rows(sql).await,
        ["sales.customer-360|denied", "sales.orders|allowed"]
    );
    let mut owner = mesh.connect("sales_analyst").await;
    assert_eq!(owner.rows("select count(*) from data_catalog.audit where kind = 'login'").await, ["0"]);
    assert_eq!(owner.rows("select count(*) from data_catalog.audit where domain <> 'sales'").await, ["0"]);
    let history =
        "select user_id, product_id, delta_version, columns from access_history where user_id = 'data_scientist'";
    assert_eq!(owner.rows(history).await, ["data_scientist|sales.orders|10|{}"]);
    // no row, and the same relation, for everybody else
    for nobody in ["marketing_analyst", "data_scientist"] {
        let mut client = mesh.connect(nobody).await;
        for relation in ["audit", "access_history"] {
            assert_eq!(client.rows(&format!("select count(*) from data_catalog.{relation}")).await, ["0"], "{nobody}");
        }
        let columns = |lines: Vec<String>| lines[0].clone();
        let seen = columns(client.query("select * from data_catalog.audit limit 0").await);
        assert_eq!(
            seen,
            columns(mesh.connect("auditor").await.query("select * from data_catalog.audit limit 0").await)
        );
        let seen = columns(client.query("select * from access_history limit 0").await);
        assert_eq!(seen, columns(mesh.connect("auditor").await.query("select * from access_history limit 0").await));
    }
}

#[tokio::test]
async fn logins_are_recorded_and_repeated_refusals_counted() {
    let server = serving();
    for _ in 0..5 {
        let login = Login { password: "wrong", ..Login::sample("sales_analyst") };
        assert!(Client::login(server.address, &login).await.is_err());
    }
    let login = Login { database: "other", ..Login::sample("sales_analyst") };
    assert!(Client::login(server.address, &login).await.is_err());
    Client::connect(server.address, "sales_analyst").await;
    let sql = "select outcome, reason, client_address, session_id is null, events from data_catalog.audit
        where kind = 'login' and principal = 'sales_analyst' order by audit_id";
    // the others wait to be counted together
    let expected = ["denied|28P01|127.0.0.1|t|1", "allowed|~|127.0.0.1|f|1"];
    eventually("logins", || async {
        (Client::connect(server.address, "auditor").await.rows(sql).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn access_that_ends_while_rows_are_fetched_is_recorded() {
    let mesh = Copied::start();
    let mut client = mesh.connect("sales_analyst").await;
    client.query("begin").await;
    client.query("declare c cursor for select a.order_id from sales.orders a, sales.orders b").await;
    client.query("fetch 1 from c").await;
    mesh.edit("catalog/principals.yaml", "groups: [sales]", "groups: []");
    eventually("the end of the access", || async {
        let fetched = mesh.connect("sales_analyst").await.rows("select 1 from sales.customer_360 limit 1").await;
        fetched[0].starts_with("Error 42P01").then_some(())
    })
    .await;
    let refused = loop {
        // rows of a batch that was taken before may still come
        let answer = client.query("fetch 10000 from c").await;
        if let Some(error) = answer.iter().find(|line| line.starts_with("Error ")) {
            break error.clone();
        }
    };
    assert_eq!(refused, "Error 42501 access changed while the statement was running");
    let sql = "select outcome, count(distinct statement_id) from data_catalog.audit
        where object = 'sales.orders' and (reason is null or reason = 'revoked_while_running') group by 1 order by 1";
    // those who looked whether it had come to that may have been interrupted too
    let revoked = "select count(*) from data_catalog.audit
        where reason = 'revoked_while_running' and object = 'sales.orders'";
    eventually("the record", || async { (mesh.connect("auditor").await.rows(revoked).await == ["1"]).then_some(()) })
        .await;
    assert_eq!(mesh.connect("auditor").await.rows(sql).await, ["allowed|1", "denied|1"]);
}

#[tokio::test]
async fn where_nothing_can_be_recorded_nothing_is_read() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let mut config = config();
    // no folder can be made below a file
    config.state = Some(blocked.path().join("state").to_string_lossy().into_owned());
    let server = Serving::start(config);
    let mut client = Client::connect(server.address, "sales_analyst").await;
    for sql in
        ["select count(*) from sales.orders", "select * from sales.orders", "select 1 from sales.orders where false"]
    {
        let lines = client.query(sql).await;
        let error = lines.iter().find(|line| line.starts_with("Error ")).unwrap();
        assert!(error.starts_with("Error 53100 "), "{sql}: {error}");
        assert!(!lines.iter().any(|line| line.starts_with("Row ")), "{sql}");
    }
    // everything else goes on
    assert_eq!(client.rows("select 1").await, ["1"]);
    assert_ne!(client.rows("select count(*) from data_catalog.products").await, ["0"]);
    assert_eq!(
        client.rows("select * from marketing.campaigns").await,
        ["Error 42501 permission denied for table campaigns"]
    );
    assert_eq!(
        client.rows("select * from finance.invoices").await,
        ["Error 42P01 relation \"finance.invoices\" does not exist"]
    );
    assert!(client.query("explain select * from sales.orders").await.iter().any(|line| line.starts_with("Row ")));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.panics(), Vec::<String>::new());
}
