//! Temporary views: names that a session gives to queries. Conversations that name no table are held with a real
//! PostgreSQL too, where one is installed.

use tokio::net::{TcpStream, UnixStream};

use crate::postgres;
use crate::raw::{Client, Login, Stream, bind, execute, parse, sync};
use crate::serving::{eventually, shared};
use crate::travel::Months;

type Anyone = Client<Box<dyn Stream>>;

async fn session(user: &str) -> Anyone {
    let mut client = Client::over(Box::new(TcpStream::connect(shared().address).await.unwrap()) as Box<dyn Stream>);
    client.startup(&Login::sample(user)).await.unwrap();
    client
}

/// Holds a conversation with pgmesh, and the same one with PostgreSQL, which must be told that its tables may be written.
async fn everywhere(conversation: impl AsyncFn(&mut Anyone)) {
    conversation(&mut session("sales_analyst").await).await;
    let Some(postgres) = postgres::instance() else { return };
    let stream: Box<dyn Stream> = Box::new(UnixStream::connect(postgres.socket()).await.unwrap());
    let mut original = Client::over(stream);
    original.startup(&Login { database: "postgres", ..Login::sample("postgres") }).await.unwrap();
    eprintln!("the same with PostgreSQL");
    conversation(&mut original).await;
}

#[tokio::test]
async fn a_view_is_made_used_replaced_and_dropped() {
    everywhere(async |c| {
        assert_eq!(
            c.query("create temp view v as select 1 as a, 'x'::text as b").await,
            ["Complete CREATE VIEW", "Ready I"]
        );
        assert_eq!(c.rows("select * from v").await, ["1|x"]);
        assert_eq!(c.rows("select b, a + 1 from pg_temp.v where a = 1").await, ["x|2"]);
        assert_eq!(c.rows("create temp view v as select 2").await, ["Error 42P07 relation \"v\" already exists"]);
        // columns may be added at the end
        c.query("create or replace temporary view v as select 2 as a, 'y'::text as b, true as c").await;
        assert_eq!(c.rows("select * from v").await, ["2|y|t"]);
        for (sql, expected) in [
            ("create or replace temp view v as select 2 as a", "42P16 cannot drop columns from view"),
            (
                "create or replace temp view v as select 2 as z, 'y'::text as b, true as c",
                "42P16 cannot change name of view column \"a\" to \"z\"",
            ),
            ("create temp view w (a, b) as select 1", "42601 CREATE VIEW specifies more column names than columns"),
            ("create temp view w (a, a) as select 1, 2", "42701 column \"a\" specified more than once"),
            ("create temp view w as select * from no_such_thing", "42P01 relation \"no_such_thing\" does not exist"),
            ("create temp view w as select no_such_column from v", "42703 column \"no_such_column\" does not exist"),
            ("drop view no_such_view", "42P01 view \"no_such_view\" does not exist"),
            ("select * from w", "42P01 relation \"w\" does not exist"),
        ] {
            assert_eq!(c.rows(sql).await, [format!("Error {expected}")], "{sql}");
        }
        let renamed = c.query("create temp view w (first) as select 1, 2 as second; select * from w").await;
        assert!(
            renamed.iter().any(|line| line.starts_with("Columns first:") && line.contains(" second:")),
            "{renamed:?}"
        );
        let lines = c.query("drop view if exists gone, v, w").await;
        let skipped = "Notice NOTICE 00000 view \"gone\" does not exist, skipping";
        assert_eq!(lines, [skipped, "Complete DROP VIEW", "Ready I"]);
        assert_eq!(c.rows("select * from v").await, ["Error 42P01 relation \"v\" does not exist"]);
    })
    .await;
}

#[tokio::test]
async fn views_go_back_with_their_transaction() {
    everywhere(async |c| {
        let there = async |c: &mut Anyone, sql: &str| c.rows(sql).await;
        c.query("begin; create temp view t as select 1").await;
        assert_eq!(there(c, "select * from t").await, ["1"]);
        c.query("savepoint s; drop view t; create temp view u as select 2; rollback to s").await;
        assert_eq!(there(c, "select * from t").await, ["1"]);
        c.query("rollback").await;
        assert_eq!(there(c, "select * from t").await, ["Error 42P01 relation \"t\" does not exist"]);
        c.query("create temp view t as select 1; select 1/0").await;
        assert_eq!(there(c, "select * from t").await, ["Error 42P01 relation \"t\" does not exist"]);
        c.query("begin; create temp view t as select 3; commit").await;
        assert_eq!(there(c, "select * from t").await, ["3"]);
        c.query("discard temp").await;
        assert_eq!(there(c, "select * from t").await, ["Error 42P01 relation \"t\" does not exist"]);
        c.query("create temp view t as select 4").await;
        c.query("discard all").await;
        assert_eq!(there(c, "select * from t").await, ["Error 42P01 relation \"t\" does not exist"]);
    })
    .await;
}

#[tokio::test]
async fn a_view_is_used_by_prepared_statements_and_other_views() {
    everywhere(async |c| {
        c.query("create temp view base as select * from (values (1, 'a'), (2, 'b'), (3, 'c')) t(x, y)").await;
        c.query("create temp view upper_half as select x * 10 as x, y from base where x > 1").await;
        assert_eq!(
            c.rows("select u.x, b.y from upper_half u join base b on b.y = u.y order by 1").await,
            ["20|b", "30|c"]
        );
        let lines = c
            .say(&[
                parse("p", "select y from upper_half where x = $1", &[20]),
                bind("", "p", &[Some("30")]),
                execute("", 0),
                sync(),
            ])
            .await;
        assert!(lines.contains(&"Row c".to_owned()), "{lines:?}");
        assert_eq!(c.rows("with base as (select 9 as x) select x from base").await, ["9"], "WITH goes before");
    })
    .await;
}

#[tokio::test]
async fn views_have_bounds() {
    let mut c = session("sales_analyst").await;
    c.query("create temp view v0 as select 1 as a").await;
    for level in 1..32 {
        let made = c.query(&format!("create temp view v{level} as select * from v{}", level - 1)).await;
        assert_eq!(made[0], "Complete CREATE VIEW", "{level}");
    }
    let deep = c.rows("create temp view v32 as select * from v31").await;
    assert_eq!(deep, ["Error 54001 views may name each other 32 levels deep"]);
    // each is twice the one before, which a statement could not write out
    c.query("create temp view w0 as select 1 as a").await;
    let mut refused = None;
    for level in 1..30 {
        let lines = c
            .query(&format!("create temp view w{level} as select a from w{0} union all select a from w{0}", level - 1))
            .await;
        if lines[0].starts_with("Error") {
            refused = Some(lines[0].clone());
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("Error 54001 the statement's plan is too large"));
    // a view of itself
    c.query("create temp view a as select 1 as x; create temp view b as select * from a").await;
    for sql in ["create or replace temp view a as select * from b", "create or replace temp view a as select * from a"]
    {
        let answer = c.rows(sql).await;
        assert_eq!(answer, ["Error 42P17 infinite recursion detected in rules for relation \"a\""], "{sql}");
    }
    assert_eq!(c.rows("select * from b").await, ["1"]);
    for (sql, expected) in [
        ("create temp view p as select $1::int", "42P02 there is no parameter $1"),
        ("create view p as select 1", "25006 cannot execute CREATE VIEW in a read-only transaction"),
        ("create temp table p (x int)", "0A000 temporary tables are not supported"),
        ("create temp view sales.p as select 1", "42P16 cannot create temporary relation in non-temporary schema"),
        ("drop view sales.orders", "25006 cannot execute DROP VIEW in a read-only transaction"),
        ("select * from b version as of 1", "42809 \"b\" is not a data product's table"),
    ] {
        assert_eq!(c.rows(sql).await, [format!("Error {expected}")], "{sql}");
    }
    let long = format!("create temp view long as select '{}' as t", "x".repeat(9 << 20));
    for number in 0..8 {
        let lines = c.query(&long.replacen("long", &format!("long{number}"), 1)).await;
        if lines[0].starts_with("Error 53400") {
            c.query("discard temp").await;
            let lines = c.query(&long).await;
            assert_eq!(lines[0], "Complete CREATE VIEW", "what was dropped makes room");
            return;
        }
        assert_eq!(lines[0], "Complete CREATE VIEW");
    }
    panic!("a session may keep more than it should");
}

#[tokio::test]
async fn a_view_belongs_to_its_session_and_changes_nothing_of_the_server_s() {
    let (mut mine, mut yours) = (session("sales_analyst").await, session("sales_analyst").await);
    mine.query("create temp view mine as select 1").await;
    assert_eq!(yours.rows("select * from mine").await, ["Error 42P01 relation \"mine\" does not exist"]);
    // a view that claims access to everything shadows a relation for those who ask, not for those who decide
    let access = "select domain from user_domain_access where user_id = current_user() order by 1";
    let before = mine.rows(access).await;
    mine.query("create temp view user_domain_access as select 'sales_analyst' as user_id, 'finance' as domain").await;
    assert_eq!(mine.rows(access).await, ["finance"]);
    assert_eq!(mine.rows(&access.replace("user_domain_access", "data_catalog.user_domain_access")).await, before);
    assert_eq!(yours.rows(access).await, before);
    for (sql, expected) in [
        ("select * from finance.transactions", "Error 42P01 relation \"finance.transactions\" does not exist"),
        ("select * from marketing.campaigns", "Error 42501 permission denied for table campaigns"),
    ] {
        assert_eq!(mine.rows(sql).await, [expected]);
        assert_eq!(mine.rows(&format!("create temp view x as {sql}")).await, [expected]);
    }
    // the place of the session's views in the path can be chosen, as in PostgreSQL
    mine.query("set search_path = sales, pg_temp; create temp view orders as select 7 as order_id").await;
    assert_eq!(mine.rows("select count(*) from orders").await, ["6000"]);
    mine.query("set search_path = sales").await;
    assert_eq!(mine.rows("select count(*) from orders").await, ["1"]);
    // names in a view are looked for where they were
    mine.query("drop view orders; create temp view some as select count(*) from orders; set search_path = ''").await;
    assert_eq!(mine.rows("select * from some").await, ["6000"]);
}

#[tokio::test]
async fn a_view_holds_no_more_than_its_reader_s_rights_of_now() {
    let mesh = Months::start().await;
    let mut filtered = mesh.connect("data_scientist").await;
    filtered.query("create temp view then_and_now as select d.id, o.amount from sales.deals d join sales.deals version as of 1 o using (id)").await;
    filtered.query("create temp view changed as select * from table_changes('sales.deals', 1, 3)").await;
    assert_eq!(filtered.rows("select * from then_and_now").await, ["3|30"]);
    assert_eq!(filtered.rows("select count(*) from changed where region <> 'EU'").await, ["0"]);
    filtered.query("set mesh.as_of = '2026-02-15'").await;
    assert_eq!(filtered.rows("select id from then_and_now order by 1").await, ["1", "3", "4"], "views travel along");
    filtered.query("reset mesh.as_of").await;
    let prepared = parse("kept", "select * from then_and_now", &[]);
    filtered.say(&[prepared, sync()]).await;
    mesh.revoke();
    let denied = "Error 42501 permission denied for table deals";
    eventually("the revocation", || {
        let address = mesh.server.address;
        async move {
            let mut other = Client::connect(address, "data_scientist").await;
            (other.rows("select * from sales.deals").await == [denied]).then_some(())
        }
    })
    .await;
    assert_eq!(filtered.rows("select * from then_and_now").await, [denied]);
    assert_eq!(filtered.rows("select count(*) from changed").await, [denied]);
    let lines = filtered.say(&[bind("", "kept", &[]), execute("", 0), sync()]).await;
    assert!(lines.contains(&denied.to_owned()), "{lines:?}");
}
