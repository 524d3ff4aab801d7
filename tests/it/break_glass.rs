//! Break-glass: who may break it, what it shows, and that nothing of it goes unrecorded.

use crate::freshness::Copied;
use crate::raw::{Client, Login, bind, describe, execute, parse, query, sync};
use crate::serving::{Serving, config, eventually};

const REASON: &str = "the nightly load lost invoices, INC-4711";
const ON: &str = "set mesh.break_glass = 'the nightly load lost invoices, INC-4711'";
const WARNED: &str = "Notice WARNING 01000 break-glass is on: policies, row filters and masks are lifted";
const RECORDED: &str = "Notice NOTICE 01000 break-glass is on: what this statement reads is recorded";
const HIDDEN: &str = "select count(*) from finance.invoices";
const NOT_FOUND: &str = "Error 42P01 relation \"finance.invoices\" does not exist";

/// The auditor may break the glass; it reads no product otherwise.
fn mesh() -> Copied {
    Copied::start_with(|copied| {
        copied.edit("catalog/principals.yaml", "roles: [auditor]", "roles: [auditor, break_glass]");
    })
}

async fn broken(client: &mut Client) {
    assert_eq!(client.query(ON).await, [WARNED, "Complete SET", "Ready I"]);
}

#[tokio::test]
async fn it_shows_everything_while_it_is_on() {
    let mesh = mesh();
    let mut client = mesh.connect("auditor").await;
    assert_eq!(client.rows(HIDDEN).await, [NOT_FOUND], "the role alone does nothing");
    assert_eq!(client.rows("show mesh.break_glass").await, [""]);
    broken(&mut client).await;
    assert_eq!(client.rows("show mesh.break_glass").await, [REASON]);
    assert_eq!(client.query(HIDDEN).await[0], RECORDED);
    assert_eq!(client.rows(HIDDEN).await, ["3962"]);
    for (table, rows) in [("sales.orders", "6000"), ("finance.transactions", "6581"), ("marketing.leads", "1000")] {
        assert_eq!(client.rows(&format!("select count(*) from {table}")).await, [rows], "{table}");
    }
    let products = client.rows("select count(*) from data_catalog.products").await;
    assert_eq!(products, ["12"]);
    // rows belong to domains for everybody
    assert_eq!(client.rows("select count(*) from product.feedback").await, ["0"]);
    client.query("reset mesh.break_glass").await;
    assert_eq!(client.rows(HIDDEN).await, [NOT_FOUND]);
    assert_ne!(client.rows("select count(*) from data_catalog.products").await, products);
}

#[tokio::test]
async fn another_session_of_the_same_user_sees_nothing_of_it() {
    let mesh = mesh();
    let (mut on, mut off) = (mesh.connect("auditor").await, mesh.connect("auditor").await);
    broken(&mut on).await;
    for _ in 0..3 {
        assert_eq!(on.rows(HIDDEN).await, ["3962"]);
        assert_eq!(off.rows(HIDDEN).await, [NOT_FOUND]);
        let domains = "select count(*) from data_catalog.products where domain = 'finance'";
        assert_eq!(on.rows(domains).await, ["2"]);
        assert_eq!(off.rows(domains).await, ["0"]);
    }
}

#[tokio::test]
async fn only_those_with_the_role_and_a_reason_and_only_by_set() {
    let mesh = mesh();
    let denied = "Error 42501 permission denied to set parameter \"mesh.break_glass\"";
    for user in ["sales_analyst", "mesh_admin"] {
        let mut client = mesh.connect(user).await;
        assert_eq!(client.rows(ON).await, [denied], "{user}");
        assert_eq!(client.rows("show mesh.break_glass").await, [""], "{user}");
    }
    let mut client = mesh.connect("auditor").await;
    for short in ["''", "'because'", "'          x          '"] {
        let answer = client.rows(&format!("set mesh.break_glass = {short}")).await;
        assert_eq!(answer, ["Error 22023 the reason for break-glass takes 10 to 1000 characters"], "{short}");
    }
    for side_door in [
        format!("select set_config('mesh.break_glass', '{REASON}', false)"),
        format!("select set_config('MESH.Break_Glass', '{REASON}', true)"),
    ] {
        assert_eq!(client.rows(&side_door).await, [denied], "{side_door}");
    }
    assert_eq!(client.rows(HIDDEN).await, [NOT_FOUND]);
    for options in [[("mesh.break_glass", REASON)], [("options", "-c mesh.break_glass=a\\ long\\ enough\\ reason")]] {
        let login = Login { options: &options, ..Login::sample("auditor") };
        let refused = Client::login(mesh.server.address, &login).await.err().unwrap();
        assert_eq!((refused.line().as_str(), refused.field(b'S').as_str()), (denied, "FATAL"));
    }
}

#[tokio::test]
async fn it_ends_with_reset_rollback_discard_and_the_transaction() {
    let mesh = mesh();
    let mut client = mesh.connect("auditor").await;
    for end in ["reset mesh.break_glass", "reset all", "discard all", "set mesh.break_glass to default"] {
        broken(&mut client).await;
        assert_eq!(client.rows(HIDDEN).await, ["3962"]);
        client.query(end).await;
        assert_eq!(client.rows(HIDDEN).await, [NOT_FOUND], "{end}");
    }
    for (set, end) in [(ON.to_owned(), "rollback"), (ON.replace("set ", "set local "), "commit")] {
        client.query("begin").await;
        assert_eq!(client.query(&set).await[..2], [WARNED, "Complete SET"]);
        assert_eq!(client.rows(HIDDEN).await, ["3962"]);
        client.query(end).await;
        assert_eq!(client.rows(HIDDEN).await, [NOT_FOUND], "{set}; {end}");
    }
    // SET LOCAL outside of a transaction does nothing
    client.query(&ON.replace("set ", "set local ")).await;
    assert_eq!(client.rows(HIDDEN).await, [NOT_FOUND]);
}

#[tokio::test]
async fn a_cursor_and_a_prepared_statement_end_with_it() {
    let mesh = mesh();
    let mut client = mesh.connect("auditor").await;
    broken(&mut client).await;
    client.say(&[parse("s", HIDDEN, &[]), describe(b'S', "s"), sync()]).await;
    let lines = client.say(&[bind("", "s", &[]), execute("", 0), sync()]).await;
    assert!(lines.contains(&RECORDED.to_owned()) && lines.contains(&"Row 3962".to_owned()), "{lines:?}");
    client.query("begin").await;
    let declare = "declare c cursor for select a.order_id from finance.invoices a, finance.invoices b";
    assert_eq!(client.query(declare).await[0], RECORDED);
    client.query("fetch 1 from c").await;
    client.query("reset mesh.break_glass").await;
    let refused = loop {
        let lines = client.query("fetch 10000 from c").await;
        if let Some(error) = lines.into_iter().find(|line| line.starts_with("Error ")) {
            break error;
        }
    };
    assert_eq!(refused, "Error 42501 break-glass ended while the statement was running");
    client.query("rollback").await;
    // the rollback undid the RESET, which is said again
    client.query("reset mesh.break_glass").await;
    let lines = client.say(&[bind("", "s", &[]), execute("", 0), sync()]).await;
    assert!(lines.contains(&NOT_FOUND.to_owned()), "{lines:?}");
}

#[tokio::test]
async fn it_ends_when_the_role_is_taken_away() {
    let mesh = mesh();
    let mut client = mesh.connect("auditor").await;
    broken(&mut client).await;
    assert_eq!(client.rows(HIDDEN).await, ["3962"]);
    mesh.edit("catalog/principals.yaml", "roles: [auditor, break_glass]", "roles: [auditor]");
    let client = tokio::sync::Mutex::new(client);
    eventually("the end", || async { (client.lock().await.rows(HIDDEN).await == [NOT_FOUND]).then_some(()) }).await;
}

#[tokio::test]
async fn every_use_is_recorded_with_its_reason() {
    let mesh = mesh();
    let mut client = mesh.connect("auditor").await;
    broken(&mut client).await;
    client.rows("select count(*) from finance.invoices i join sales.orders o using (order_id)").await;
    client.rows("select count(*) from product.feedback").await;
    client.rows("select count(*) from data_catalog.products").await;
    client.query("explain select * from marketing.leads").await;
    client.say(&[parse("", "select lead_id from marketing.leads", &[]), sync()]).await;
    client.rows("select 1").await;
    client.query("reset mesh.break_glass").await;
    let sql = "select object, outcome, policies, detail from data_catalog.audit
        where kind = 'break_glass' and principal = 'auditor' order by object nulls first";
    let rows = mesh.connect("mesh_admin").await.rows(sql).await;
    let of = |object: &str, outcome: &str| format!("{object}|{outcome}|{{role:break_glass}}|{REASON}");
    let expected = [
        format!("~|allowed|~|{REASON}"),
        format!("data_catalog.products|allowed|~|{REASON}"),
        of("finance.invoices", "allowed"),
        of("marketing.leads", "allowed"),
        of("marketing.leads", "allowed"),
        of("product.feedback", "filtered"),
        of("sales.orders", "allowed"),
    ];
    assert_eq!(rows, expected);
    // what others do is recorded as always, and who may not break the glass leaves a trace
    mesh.connect("sales_analyst").await.rows("select count(*) from sales.orders").await;
    mesh.connect("sales_analyst").await.rows(ON).await;
    let sql =
        "select kind, outcome, reason from data_catalog.audit where principal = 'sales_analyst' and kind <> 'login'
        order by audit_id";
    eventually("the refusal", || async {
        let rows = mesh.connect("mesh_admin").await.rows(sql).await;
        (rows == ["read|allowed|~", "break_glass|denied|no_role"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn where_it_cannot_be_recorded_the_glass_stays_whole() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let catalog = Copied::folder(|copied| {
        copied.edit("catalog/principals.yaml", "roles: [auditor]", "roles: [auditor, break_glass]");
    });
    let mut config = config();
    config.common.catalog = catalog.path().join("catalog");
    config.state = Some(blocked.path().join("state").to_string_lossy().into_owned());
    let server = Serving::start(config);
    let mut client = Client::connect(server.address, "auditor").await;
    client.send(&query(ON)).await;
    let refused = client.receive().await.unwrap();
    assert!(refused.line().starts_with("Error 53100 ") && !refused.field(b'H').is_empty(), "{}", refused.line());
    client.lines().await;
    assert_eq!(client.rows("show mesh.break_glass").await, [""]);
    assert_eq!(client.rows(HIDDEN).await, [NOT_FOUND]);
}
