//! Grants and access requests over the wire: what they open, when they end, who may give them, and that they last.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::raw::{Client, bind, describe, execute, parse, query, sync};
use crate::serving::{Serving, config, eventually};

const COUNT: &str = "select count(*) from sales.orders";
const REFUSED: &str = "Error 42501 permission denied for table orders";
const ENDED: &str = "Error 42501 access changed while the statement was running";

fn serve() -> Serving {
    Serving::start(config())
}

/// A server that keeps its state where the test says.
fn serve_over(state: &TempDir) -> Serving {
    let mut config = config();
    config.state = Some(state.path().to_string_lossy().into_owned());
    Serving::start(config)
}

async fn ask(address: SocketAddr, principal: &str, sql: &str) -> Vec<String> {
    Client::connect(address, principal).await.rows(sql).await
}

/// Runs a command that must succeed, and returns its notices and its tag.
async fn done(client: &mut Client, sql: &str) -> Vec<String> {
    let mut lines = client.query(sql).await;
    assert_eq!(lines.pop().unwrap(), "Ready I", "{sql}: {lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("Notice ") || line.starts_with("Complete ")), "{sql}: {lines:?}");
    lines
}

/// Calls a procedure that must answer with a row, and returns its number and its status.
async fn call(client: &mut Client, sql: &str) -> (u32, String) {
    let lines = client.query(sql).await;
    let [columns, row, tag, ready] = lines.as_slice() else { panic!("{sql}: {lines:?}") };
    assert_eq!(
        (columns.as_str(), tag.as_str(), ready.as_str()),
        ("Columns request_id:20 status:25", "Complete CALL", "Ready I")
    );
    let (id, status) = row.strip_prefix("Row ").unwrap().split_once('|').unwrap();
    (id.parse().unwrap(), status.to_owned())
}

#[tokio::test]
async fn a_grant_holds_from_the_next_execute_and_ends_with_a_revoke() {
    let server = serve();
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
    let hidden = "select count(*) from sales.customer_360";
    assert_eq!(analyst.rows(hidden).await, ["Error 42P01 relation \"sales.customer_360\" does not exist"]);
    let grant = "GRANT SELECT ON TABLE sales.orders, sales.customer_360 TO marketing_analyst";
    assert_eq!(done(&mut owner, grant).await, ["Complete GRANT"]);
    assert_eq!(analyst.rows(COUNT).await, ["6000"]);
    assert_eq!(analyst.rows(hidden).await, ["1200"]);
    // the catalog tells it to the grantee, to the owner and to those who govern, and to nobody else
    let grants = "select grantee, grantee_type, privilege, object_type, domain, product_name, granted_by,
        granted_at <= now(), expires_at, request_id from data_catalog.grants order by product_name";
    let rows = ["customer-360", "orders"]
        .map(|product| format!("marketing_analyst|user|read|product|sales|{product}|sales_owner|t|~|~"));
    for principal in ["marketing_analyst", "sales_owner", "mesh_admin", "auditor"] {
        assert_eq!(ask(server.address, principal, grants).await, rows, "{principal}");
    }
    for principal in ["sales_analyst", "finance_analyst", "data_scientist"] {
        assert_eq!(ask(server.address, principal, grants).await, Vec::<String>::new(), "{principal}");
    }
    let access = "select a.privilege, a.granted_via = 'grant:' || g.grant_id, a.granted_at = g.granted_at, a.expires_at
        from user_domain_access a, grants g
        where a.user_id = 'marketing_analyst' and a.domain = 'sales' and g.product_name = 'customer-360'";
    // orders may be discovered by everyone, so that is what makes the domain discoverable
    assert_eq!(analyst.rows(access).await, ["discover|f|~|~"]);
    // a grant of single products makes no domain readable: the rows of sales in another's table stay hidden
    let feedback = "select distinct owning_domain from product.feedback";
    assert_eq!(analyst.rows(feedback).await, ["marketing"]);

    // what was prepared, opened or suspended ends with the access
    let prepared = [parse("count", COUNT, &[]), describe(b'S', "count"), sync()];
    assert_eq!(analyst.say(&prepared).await.last().unwrap(), "Ready I");
    let run = [bind("", "count", &[]), execute("", 0), sync()];
    assert!(analyst.say(&run).await.contains(&"Row 6000".to_owned()));
    let mut fetching = Client::connect(server.address, "marketing_analyst").await;
    fetching.query("begin").await;
    fetching.query("declare c cursor for select order_id from sales.orders order by 1").await;
    assert_eq!(fetching.rows("fetch 1 from c").await, ["100001"]);
    let mut suspended = Client::connect(server.address, "marketing_analyst").await;
    suspended.query("begin").await;
    let begun = [parse("", "select order_id from sales.orders order by 1", &[]), bind("p", "", &[])];
    let first = [&begun[..], &[execute("p", 2), sync()]].concat();
    assert!(suspended.say(&first).await.contains(&"Suspended".to_owned()));
    // another's grant changes nothing for them
    done(&mut owner, "grant select on sales.orders to finance_analyst").await;
    assert!(suspended.say(&[execute("p", 1), sync()]).await.contains(&"Row 100003".to_owned()));

    assert_eq!(done(&mut owner, "REVOKE SELECT ON sales.orders FROM marketing_analyst").await, ["Complete REVOKE"]);
    let lines = analyst.say(&run).await;
    assert!(lines.contains(&REFUSED.to_owned()) && !lines.iter().any(|line| line.starts_with("Row")), "{lines:?}");
    assert_eq!(fetching.rows("fetch 1 from c").await, [ENDED]);
    let lines = suspended.say(&[execute("p", 1), sync()]).await;
    assert_eq!(lines, [ENDED, "Ready E"]);
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
    assert_eq!(analyst.rows(hidden).await, ["1200"], "the other grant stays");
    let left = "select grantee, product_name from grants order by 1";
    assert_eq!(owner.rows(left).await, ["finance_analyst|orders", "marketing_analyst|customer-360"]);
    // and nothing is left to revoke
    let notices = done(&mut owner, "revoke select on sales.orders from marketing_analyst").await;
    let expected = "Notice WARNING 01006 no privileges could be revoked for \"sales.orders\"";
    assert_eq!(notices, [expected, "Complete REVOKE"]);
}

#[tokio::test]
async fn a_grant_ends_at_its_moment() {
    let server = serve();
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut reading = Client::connect(server.address, "marketing_analyst").await;
    let mut fetching = Client::connect(server.address, "marketing_analyst").await;
    let began = Instant::now();
    done(&mut owner, "grant select on sales.orders to marketing_analyst with (expires = '6 seconds')").await;
    assert_eq!(reading.rows(COUNT).await, ["6000"]);
    let open = "select extract(epoch from expires_at - granted_at) from data_catalog.grants";
    assert_eq!(reading.rows(open).await, ["6.000000"]);
    fetching.query("begin").await;
    fetching.query("declare c cursor for select order_id from sales.orders order by 1").await;
    assert_eq!(fetching.rows("fetch 1 from c").await, ["100001"]);
    tokio::time::sleep(Duration::from_millis(6_050).saturating_sub(began.elapsed())).await;
    assert_eq!(fetching.rows("fetch 1 from c").await, [ENDED]);
    assert_eq!(reading.rows(COUNT).await, [REFUSED]);
    assert_eq!(reading.rows("select count(*) from data_catalog.grants").await, ["0"]);
    // a later grant takes the place of an earlier one
    done(&mut owner, "grant select on sales.orders to marketing_analyst with (expires = '1 hour')").await;
    done(&mut owner, "grant select on sales.orders to marketing_analyst with (expires = '2099-12-31 12:00:00+01')")
        .await;
    let until = "select expires_at from data_catalog.grants";
    assert_eq!(reading.rows(until).await, ["2099-12-31 11:00:00+00"]);
    done(&mut owner, "grant select on sales.orders to marketing_analyst").await;
    assert_eq!(reading.rows("select expires_at from grants").await, ["~"]);
}

#[tokio::test]
async fn groups_everybody_and_whole_schemas() {
    let server = serve();
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut admin = Client::connect(server.address, "mesh_admin").await;
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    let hidden = "Error 42P01 relation \"sales.customer_360\" does not exist";
    let denied = "Error 42501 permission denied for table customer_360";
    let customers = "select count(*) from sales.customer_360";
    // USAGE lets discover what there is, and read nothing
    assert_eq!(analyst.rows(customers).await, [hidden]);
    done(&mut owner, "grant usage on schema sales to group marketing with (expires = '1 day')").await;
    assert_eq!(analyst.rows(customers).await, [denied]);
    let shown = "select product_name from products where domain = 'sales' order by 1";
    assert_eq!(analyst.rows(shown).await, ["customer-360", "orders"]);
    let grants = "select grantee, grantee_type, privilege, object_type, domain, product_id from grants";
    assert_eq!(analyst.rows(grants).await, ["marketing|group|discover|domain|sales|~"]);
    done(&mut owner, "revoke usage on schema sales from marketing").await;
    assert_eq!(analyst.rows(customers).await, [hidden]);
    // all tables that there are
    done(&mut owner, "grant select on all tables in schema sales to marketing").await;
    assert_eq!(analyst.rows(customers).await, ["1200"]);
    assert_eq!(analyst.rows(COUNT).await, ["6000"]);
    let read = "select count(*) from user_domain_access where domain = 'sales' and privilege = 'read'";
    assert_eq!(analyst.rows(read).await, ["0"], "which is not the domain as a whole");
    done(&mut owner, "revoke all on all tables in schema sales from group marketing").await;
    assert_eq!(analyst.rows(customers).await, [hidden]);
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
    // everybody
    done(&mut owner, "grant select on sales.orders to public").await;
    for principal in ["marketing_analyst", "finance_analyst", "auditor", "mesh_admin"] {
        assert_eq!(ask(server.address, principal, COUNT).await, ["6000"], "{principal}");
    }
    done(&mut owner, "revoke select on sales.orders from public").await;
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
    // a restricted product is granted by name only
    let notices = done(&mut admin, "grant select on all tables in schema finance to sales_analyst").await;
    let notice = "Notice NOTICE 00000 restricted products must be named: finance.transactions";
    assert_eq!(notices, [notice, "Complete GRANT"]);
    let sales_analyst = |sql| ask(server.address, "sales_analyst", sql);
    assert_eq!(sales_analyst("select count(*) from finance.invoices").await, ["3962"]);
    let transactions = "select count(*) from finance.transactions";
    let absent = "Error 42P01 relation \"finance.transactions\" does not exist";
    assert_eq!(sales_analyst(transactions).await, [absent]);
    done(&mut admin, "grant select on finance.transactions to sales_analyst").await;
    assert_eq!(sales_analyst(transactions).await, ["6581"]);
    // a domain that only a grant shows is told with the grant
    let via = "select a.granted_via = 'grant:' || g.grant_id, a.granted_at = g.granted_at from user_domain_access a
        join grants g on a.domain = g.domain where a.domain = 'finance' and g.product_name = 'invoices'";
    assert_eq!(sales_analyst(via).await, ["t|t"]);
}

#[tokio::test]
async fn a_grant_lifts_no_deny_and_no_row_filter() {
    let server = serve();
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut admin = Client::connect(server.address, "mesh_admin").await;
    // no-pii-for-data-science denies reading it
    done(&mut owner, "grant select on sales.customer_360 to data_scientist").await;
    let denied = "Error 42501 permission denied for table customer_360";
    assert_eq!(ask(server.address, "data_scientist", "select 1 from sales.customer_360").await, [denied]);
    // the contract's row filter binds who reads by a grant
    done(&mut admin, "grant select on customer_success.surveys, product.feedback to marketing_analyst").await;
    let regions = "select distinct region from customer_success.surveys";
    assert_eq!(ask(server.address, "marketing_analyst", regions).await, ["US"]);
    let domains = "select distinct owning_domain from product.feedback";
    assert_eq!(ask(server.address, "marketing_analyst", domains).await, ["marketing"]);
}

#[tokio::test]
async fn who_has_no_right_grants_nothing() {
    let server = serve();
    for (principal, sql, refused) in [
        ("sales_analyst", "grant select on sales.orders to marketing_analyst", REFUSED),
        ("sales_analyst", "revoke select on sales.orders from marketing_analyst", REFUSED),
        ("auditor", "grant select on sales.orders to auditor", REFUSED),
        // asking for oneself is no way in either
        ("marketing_analyst", "grant select on sales.orders to marketing_analyst", REFUSED),
        ("marketing_analyst", "grant select on sales.orders to nobody_at_all", REFUSED),
        ("sales_analyst", "grant usage on schema sales to public", "Error 42501 permission denied for schema sales"),
        (
            "sales_analyst",
            "grant select on all tables in schema sales to public",
            "Error 42501 permission denied for schema sales",
        ),
        (
            "sales_owner",
            "grant select on marketing.campaigns to public",
            "Error 42501 permission denied for table campaigns",
        ),
        // one of several is enough, and then nothing is granted
        (
            "sales_owner",
            "grant select on sales.orders, marketing.campaigns to finance_analyst",
            "Error 42501 permission denied for table campaigns",
        ),
        (
            "mesh_admin",
            "grant select on data_catalog.products to public",
            "Error 42501 permission denied for view products",
        ),
        ("mesh_admin", "grant select on products to public", "Error 42501 permission denied for view products"),
        (
            "mesh_admin",
            "grant usage on schema data_catalog to public",
            "Error 42501 permission denied for schema data_catalog",
        ),
        // who manages the mesh does not open it to themselves
        (
            "mesh_admin",
            "grant select on sales.orders to mesh_admin",
            "Error 42501 permission denied to grant access to oneself",
        ),
        (
            "mesh_admin",
            "grant select on sales.orders to current_user",
            "Error 42501 permission denied to grant access to oneself",
        ),
        (
            "sales_owner",
            "grant select on sales.orders to nobody_at_all",
            "Error 42704 role \"nobody_at_all\" does not exist",
        ),
        // a user is no group
        ("sales_owner", "grant select on sales.orders to group auditor", "Error 42704 role \"auditor\" does not exist"),
        ("sales_owner", "revoke select on sales.orders from nobody", "Error 42704 role \"nobody\" does not exist"),
        (
            "sales_owner",
            "grant select on sales.orders to auditor with (expires = '2020-01-01')",
            "Error 22023 expires must lie in the future",
        ),
        (
            "sales_owner",
            "grant select on sales.orders to auditor with (expires = 'soon')",
            "Error 22007 invalid input syntax for type timestamp with time zone or interval: \"soon\"",
        ),
        ("sales_owner", "grant insert on sales.orders to auditor", "Error 0A000 the privilege INSERT is not supported"),
    ] {
        assert_eq!(ask(server.address, principal, sql).await, [refused], "{principal}: {sql}");
    }
    assert_eq!(ask(server.address, "mesh_admin", "select * from grants").await, Vec::<String>::new());
    // the refusal says who can
    let mut client = Client::connect(server.address, "sales_analyst").await;
    client.send(&query("grant select on sales.orders to marketing_analyst")).await;
    let hint = client.receive().await.unwrap().field(b'H');
    assert!(hint.contains("sales-data-team@company.com") && hint.contains("mesh_admin"), "{hint}");
}

#[tokio::test]
async fn what_may_not_be_discovered_cannot_be_named() {
    let server = serve();
    // marketing_analyst sees orders of sales and nothing of finance
    let mut client = Client::connect(server.address, "marketing_analyst").await;
    for (sql, hidden, absent) in [
        ("grant select on sales.HERE to public", "customer_360", "customer_361"),
        ("revoke select on sales.HERE from public", "customer_360", "customer_361"),
        ("grant select on HERE.transactions to public", "finance", "finanza"),
        ("grant select on all tables in schema HERE to public", "finance", "finanza"),
        ("grant usage on schema HERE to public", "finance", "finanza"),
        ("call data_catalog.request_access('sales.HERE', 'x')", "customer_360", "customer_361"),
        ("call data_catalog.request_access('finance.HERE', 'x')", "transactions", "transactionz"),
        ("call data_catalog.request_access('HERE.invoices', 'x')", "finance", "finanza"),
        ("call data_catalog.request_access('sales.HERE', 'x')", "customer-360", "customer-361"),
    ] {
        let mut answers = Vec::new();
        for name in [hidden, absent] {
            client.send(&query(&sql.replace("HERE", name))).await;
            let answer = client.receive().await.unwrap();
            assert_eq!(answer.kind, b'E', "{sql}");
            assert!(["42P01", "3F000", "42602"].contains(&answer.field(b'C').as_str()), "{}", answer.line());
            answers.push(String::from_utf8_lossy(&answer.body).replace(name, "HERE"));
            assert_eq!(client.lines().await, ["Ready I"]);
        }
        assert_eq!(answers[0], answers[1], "{sql}");
    }
    // nor decided about: the number of another's request is a number that does not exist
    let mut scientist = Client::connect(server.address, "data_scientist").await;
    let (id, _) = call(&mut scientist, "call request_access('sales.customer_360', 'churn')").await;
    for verdict in ["approve", "deny"] {
        let refused = client.rows(&format!("call {verdict}_access({id})")).await;
        assert_eq!(refused, [format!("Error 42704 access request {id} does not exist")]);
        let refused = client.rows(&format!("call {verdict}_access(17)")).await;
        assert_eq!(refused, ["Error 42704 access request 17 does not exist"]);
    }
    assert_eq!(client.rows("select * from access_requests").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_request_is_approved_by_the_owner() {
    let server = serve();
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    let mut owner = Client::connect(server.address, "sales_owner").await;
    // the refusal says how to ask
    analyst.send(&query(COUNT)).await;
    let hint = analyst.receive().await.unwrap().field(b'H');
    assert!(hint.contains("sales-data-team@company.com"), "{hint}");
    assert!(hint.contains("CALL data_catalog.request_access('sales.orders', 'your purpose')"), "{hint}");
    assert_eq!(analyst.lines().await, ["Ready I"]);

    let ask_for = "CALL data_catalog.request_access('sales.orders', 'campaign return')";
    let (id, status) = call(&mut analyst, ask_for).await;
    assert_eq!(status, "open");
    let shown = "select request_id, product_id, requested_by, purpose, status, decided_by, expires_at is null
        from data_catalog.access_requests";
    let open = format!("{id}|sales.orders|marketing_analyst|campaign return|open|~|t");
    for principal in ["marketing_analyst", "sales_owner", "mesh_admin", "auditor"] {
        assert_eq!(ask(server.address, principal, shown).await, std::slice::from_ref(&open), "{principal}");
    }
    for principal in ["sales_analyst", "finance_analyst", "data_scientist"] {
        assert_eq!(ask(server.address, principal, shown).await, Vec::<String>::new(), "{principal}");
    }
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
    let refused = format!("Error 42501 permission denied for access request {id}");
    assert_eq!(analyst.rows(&format!("call approve_access({id})")).await, std::slice::from_ref(&refused));
    assert_eq!(ask(server.address, "auditor", &format!("call approve_access({id})")).await, [refused]);

    let approve = format!("CALL data_catalog.approve_access({id}, '30 days')");
    assert_eq!(call(&mut owner, &approve).await, (id, "approved".to_owned()));
    assert_eq!(analyst.rows(COUNT).await, ["6000"]);
    let grant = "select grant_id = request_id, granted_by, expires_at > now() + interval '29 days',
        granted_at = (select decided_at from access_requests) from grants";
    assert_eq!(analyst.rows(grant).await, ["t|sales_owner|t|t"]);
    let decided = format!("Error 55000 access request {id} is approved already");
    assert_eq!(owner.rows(&approve).await, std::slice::from_ref(&decided));
    assert_eq!(owner.rows(&format!("call deny_access({id})")).await, [decided]);
    let again = "Error 55000 marketing_analyst may read sales.orders already";
    assert_eq!(analyst.rows(ask_for).await, [again]);

    // what was approved is revoked like any other grant, and may be asked for anew
    done(&mut owner, "revoke select on sales.orders from marketing_analyst").await;
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
    let settled = "select status, decided_by, revoked_by, revoked_at >= decided_at from access_requests";
    assert_eq!(analyst.rows(settled).await, ["revoked|sales_owner|sales_owner|t"]);
    let (second, _) = call(&mut analyst, ask_for).await;
    assert_ne!(second, id);
    let deny = format!("call deny_access({second}, 'ask for the aggregate')");
    assert_eq!(call(&mut owner, &deny).await, (second, "denied".to_owned()));
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
    let denied = "select status, reason from access_requests order by requested_at desc limit 1";
    assert_eq!(analyst.rows(denied).await, ["denied|ask for the aggregate"]);
    let decided = format!("Error 55000 access request {second} is denied already");
    assert_eq!(owner.rows(&format!("call approve_access({second})")).await, [decided]);
}

#[tokio::test]
async fn who_decides_and_who_asked_are_told() {
    let server = serve();
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut other = Client::connect(server.address, "finance_analyst").await;
    for client in [&mut analyst, &mut owner, &mut other] {
        assert_eq!(client.query("listen access_requests").await, ["Complete LISTEN", "Ready I"]);
    }
    let (id, _) = call(&mut analyst, "call request_access('sales.orders', 'campaign return')").await;
    let news = |status: &str| {
        format!(
            "Notification access_requests {{\"product\":\"sales.orders\",\"request_id\":{id},\"status\":\"{status}\"}}"
        )
    };
    assert_eq!(owner.receive().await.unwrap().line(), news("open"));
    call(&mut owner, &format!("call deny_access({id}, 'ask for the aggregate')")).await;
    assert_eq!(analyst.receive().await.unwrap().line(), news("denied"));
    let a_while = std::time::Duration::from_millis(300);
    assert!(other.is_silent(a_while).await && analyst.is_silent(a_while).await && owner.is_silent(a_while).await);
}

#[tokio::test]
async fn what_a_request_may_not_be() {
    let server = serve();
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    let long = "x".repeat(1_001);
    for (sql, refused) in [
        ("call request_access('sales.orders', null)".to_owned(), "22023 a request needs a purpose"),
        ("call request_access('sales.orders', '  ')".to_owned(), "22023 a request needs a purpose"),
        (
            format!("call request_access('sales.orders', '{long}')"),
            "22023 a purpose may have 1000 characters, and this one has 1001",
        ),
        ("call request_access(null, 'x')".to_owned(), "22023 product must not be null"),
        ("call request_access('sales orders', 'x')".to_owned(), "42602 invalid name syntax: \"sales orders\""),
        (
            "call request_access('marketing.leads', 'x')".to_owned(),
            "55000 marketing_analyst may read marketing.leads already",
        ),
        (
            "call request_access('product.features', 'x')".to_owned(),
            "55000 marketing_analyst may read product.features already",
        ),
        ("call request_access('data_catalog.products', 'x')".to_owned(), "42501 permission denied for view products"),
        ("call request_access('sales.orders')".to_owned(), "42883 procedure request_access does not exist"),
        (
            "call sales.request_access('sales.orders', 'x')".to_owned(),
            "42883 procedure sales.request_access does not exist",
        ),
        ("call approve_access(null)".to_owned(), "22023 request_id must not be null"),
        ("call approve_access('seven')".to_owned(), "22P02 invalid input syntax for type bigint: \"seven\""),
        ("call approve_access(7, 7)".to_owned(), "22023 expires takes a timestamp or an interval"),
        ("call approve_access(7, '-1 day')".to_owned(), "22023 expires must lie in the future"),
        ("call approve_access(-7)".to_owned(), "42704 access request -7 does not exist"),
        (
            "call approve_access(9223372036854775807)".to_owned(),
            "42704 access request 9223372036854775807 does not exist",
        ),
        ("call approve_access(order_id)".to_owned(), "42703 column \"order_id\" does not exist"),
        ("call approve_access($1)".to_owned(), "42P02 there is no parameter $1"),
        ("call approve_access((select 1))".to_owned(), "0A000 cannot use subquery in CALL argument"),
        (
            "call request_access('sales.orders', string_agg('x', ','))".to_owned(),
            "42803 aggregate functions are not allowed in CALL arguments",
        ),
        (
            "call approve_access(row_number() over ())".to_owned(),
            "42P20 window functions are not allowed in CALL arguments",
        ),
    ] {
        assert_eq!(analyst.rows(&sql).await, [format!("Error {refused}")], "{sql}");
    }
    assert_eq!(analyst.rows("select * from access_requests").await, Vec::<String>::new());
    // one at a time, and by any of its names
    call(&mut analyst, "call mesh.data_catalog.request_access(purpose => 'x' || 'y', product => 'Sales.\"orders\"')")
        .await;
    let open = "Error 23505 an access request for sales.orders is open already";
    assert_eq!(analyst.rows("call request_access('sales.orders', 'again')").await, [open]);
    assert_eq!(analyst.rows("select purpose from access_requests").await, ["xy"]);
    call(&mut analyst, "call request_access('customer-success.tickets', 'by its id')").await;
    call(&mut analyst, "call request_access('product.usage', 'x')").await;
    assert_eq!(analyst.rows("select count(distinct request_id) from access_requests").await, ["3"]);
}

#[tokio::test]
async fn nobody_approves_their_own_request() {
    let server = serve();
    let mut admin = Client::connect(server.address, "mesh_admin").await;
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let (id, _) = call(&mut admin, "call request_access('sales.orders', 'an incident')").await;
    let refused = format!("Error 42501 permission denied for access request {id}");
    assert_eq!(admin.rows(&format!("call approve_access({id})")).await, [refused]);
    assert_eq!(admin.rows(COUNT).await, [REFUSED]);
    call(&mut owner, &format!("call approve_access({id}, '1 hour')")).await;
    assert_eq!(admin.rows(COUNT).await, ["6000"]);
    // mesh_admin decides on requests of others
    let mut analyst = Client::connect(server.address, "finance_analyst").await;
    let (id, _) = call(&mut analyst, "call request_access('sales.orders', 'revenue')").await;
    call(&mut admin, &format!("call approve_access({id})")).await;
    assert_eq!(analyst.rows(COUNT).await, ["6000"]);
}

#[tokio::test]
async fn neither_runs_in_a_transaction_block() {
    let server = serve();
    let mut owner = Client::connect(server.address, "sales_owner").await;
    for (sql, tag) in [
        ("grant select on sales.orders to public", "GRANT"),
        ("revoke select on sales.orders from public", "REVOKE"),
        ("call request_access('marketing.campaigns', 'x')", "CALL"),
    ] {
        let refused = format!("Error 25001 {tag} cannot run inside a transaction block");
        owner.query("begin").await;
        assert_eq!(owner.query(sql).await, [refused.clone(), "Ready E".to_owned()]);
        owner.query("rollback").await;
        let several = owner.query(&format!("select 1; {sql}")).await;
        assert!(several.contains(&refused), "{several:?}");
    }
    assert_eq!(owner.rows("select * from grants").await, Vec::<String>::new());
    assert_eq!(owner.rows("select * from access_requests").await, Vec::<String>::new());
}

#[tokio::test]
async fn both_speak_the_extended_protocol() {
    let server = serve();
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    let ask_for = [parse("r", "call data_catalog.request_access($1, $2)", &[]), describe(b'S', "r"), sync()];
    assert_eq!(
        analyst.say(&ask_for).await,
        ["ParseComplete", "Parameters 25 25", "Columns request_id:20 status:25", "Ready I"]
    );
    let run = [bind("", "r", &[Some("sales.orders"), Some("it's needed")]), execute("", 0), sync()];
    let lines = analyst.say(&run).await;
    assert_eq!(lines.len(), 4, "{lines:?}");
    let id = lines[1].strip_prefix("Row ").and_then(|row| row.strip_suffix("|open")).unwrap().to_owned();
    assert_eq!(lines[2..], ["Complete CALL", "Ready I"]);
    // the number is a bigint whatever the client says, and the end is what it says: here timestamptz
    let decide = [parse("a", "call approve_access($1, $2)", &[0, 1184]), describe(b'S', "a"), sync()];
    assert_eq!(
        owner.say(&decide).await,
        ["ParseComplete", "Parameters 20 1184", "Columns request_id:20 status:25", "Ready I"]
    );
    let run = [bind("", "a", &[Some(&id), Some("2099-01-01 00:00:00+00")]), execute("", 0), sync()];
    let expected =
        ["BindComplete".to_owned(), format!("Row {id}|approved"), "Complete CALL".to_owned(), "Ready I".to_owned()];
    assert_eq!(owner.say(&run).await, expected);
    assert_eq!(analyst.rows(COUNT).await, ["6000"]);
    assert_eq!(owner.rows("select expires_at = '2099-01-01 00:00:00+00' from grants").await, ["t"]);
    let revoke = [parse("", "revoke select on sales.orders from marketing_analyst", &[]), describe(b'S', "")];
    let revoke = [&revoke[..], &[bind("", "", &[]), execute("", 0), sync()]].concat();
    let expected = ["ParseComplete", "Parameters", "NoData", "BindComplete", "Complete REVOKE", "Ready I"];
    assert_eq!(owner.say(&revoke).await, expected);
    assert_eq!(analyst.rows(COUNT).await, [REFUSED]);
}

#[tokio::test]
async fn each_change_and_each_refusal_is_recorded() {
    let server = serve();
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    done(&mut owner, "grant select on sales.orders to marketing_analyst with (expires = '2099-01-01 00:00Z')").await;
    let number = owner.rows("select grant_id from grants").await.remove(0);
    assert_eq!(analyst.rows("grant select on sales.orders to public").await, [REFUSED]);
    done(&mut owner, "revoke select on sales.orders from marketing_analyst").await;
    let (id, _) = call(&mut analyst, "call request_access('sales.orders', 'campaigns')").await;
    assert_eq!(analyst.rows(&format!("call approve_access({id})")).await.len(), 1);
    call(&mut owner, &format!("call approve_access({id})")).await;
    let (other, _) = call(&mut analyst, "call request_access('customer_success.tickets', 'churn')").await;
    let mut admin = Client::connect(server.address, "mesh_admin").await;
    call(&mut admin, &format!("call deny_access({other}, 'personal data')")).await;
    let trail = "select kind, outcome, principal, object, domain, array_to_string(policies, ' '), detail
        from data_catalog.audit where kind in ('grant', 'revoke', 'request', 'approve', 'deny') order by audit_id";
    let read = "read to user marketing_analyst";
    let tickets = "customer-success.tickets|customer-success|~";
    assert_eq!(
        ask(server.address, "auditor", trail).await,
        [
            format!("grant|allowed|sales_owner|sales.orders|sales|grant:{number}|{read} until 2099-01-01 00:00:00+00"),
            "grant|denied|marketing_analyst|sales.orders|sales|~|~".to_owned(),
            format!("revoke|allowed|sales_owner|sales.orders|sales|~|{read}"),
            format!("request|allowed|marketing_analyst|sales.orders|sales|~|request {id}: campaigns"),
            format!("approve|denied|marketing_analyst|sales.orders|sales|~|request {id}"),
            format!("approve|allowed|sales_owner|sales.orders|sales|grant:{id}|{read}"),
            format!("request|allowed|marketing_analyst|{tickets}|request {other}: churn"),
            format!("deny|allowed|mesh_admin|{tickets}|request {other} of user marketing_analyst: personal data"),
        ]
    );
}

#[tokio::test]
async fn grants_and_requests_outlive_the_server() {
    let state = TempDir::new().unwrap();
    let server = serve_over(&state);
    let mut owner = Client::connect(server.address, "sales_owner").await;
    let mut analyst = Client::connect(server.address, "marketing_analyst").await;
    done(&mut owner, "grant select on sales.customer_360 to marketing_analyst with (expires = '2099-01-01')").await;
    let (approved, _) = call(&mut analyst, "call request_access('sales.orders', 'x')").await;
    call(&mut owner, &format!("call approve_access({approved})")).await;
    call(&mut analyst, "call request_access('product.usage', 'open')").await;
    let grants = "select * from grants order by grant_id";
    let requests = "select * from access_requests order by request_id";
    let before = [owner.rows(grants).await, analyst.rows(requests).await];
    assert_eq!((before[0].len(), before[1].len()), (2, 2));
    drop((owner, analyst, server));
    let server = serve_over(&state);
    let after =
        [ask(server.address, "sales_owner", grants).await, ask(server.address, "marketing_analyst", requests).await];
    assert_eq!(after, before);
    assert_eq!(ask(server.address, "marketing_analyst", COUNT).await, ["6000"]);
    assert_eq!(ask(server.address, "marketing_analyst", "select count(*) from sales.customer_360").await, ["1200"]);
}

#[tokio::test]
async fn two_servers_share_one_state() {
    let state = TempDir::new().unwrap();
    let (one, other) = (serve_over(&state), serve_over(&state));
    let mut owner = Client::connect(one.address, "sales_owner").await;
    done(&mut owner, "grant select on sales.orders to marketing_analyst").await;
    let soon = |expected: &'static str| {
        let address = other.address;
        let began = Instant::now();
        async move {
            eventually(expected, || async {
                (ask(address, "marketing_analyst", COUNT).await == [expected]).then_some(())
            })
            .await;
            // within about a second, and what a busy machine takes
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
    };
    soon("6000").await;
    // what was opened there ends too
    let mut fetching = Client::connect(other.address, "marketing_analyst").await;
    fetching.query("begin").await;
    fetching.query("declare c cursor for select order_id from sales.orders order by 1").await;
    assert_eq!(fetching.rows("fetch 1 from c").await, ["100001"]);
    done(&mut owner, "revoke select on sales.orders from marketing_analyst").await;
    soon(REFUSED).await;
    assert_eq!(fetching.rows("fetch 1 from c").await, [ENDED]);
    // a request that one took, the other decides; and both cannot
    let mut analyst = Client::connect(one.address, "marketing_analyst").await;
    let (id, _) = call(&mut analyst, "call request_access('sales.orders', 'x')").await;
    let mut elsewhere = Client::connect(other.address, "sales_owner").await;
    let (approve, deny) = (format!("call approve_access({id})"), format!("call deny_access({id})"));
    eventually("the request at the other server", || async {
        let seen = ask(other.address, "sales_owner", "select count(*) from access_requests").await;
        (seen == ["1"]).then_some(())
    })
    .await;
    let answers = tokio::join!(owner.rows(&approve), elsewhere.rows(&deny));
    let refused = |answer: &[String]| answer[0].starts_with("Error 55000");
    assert!(refused(&answers.0) != refused(&answers.1), "{answers:?}");
}
