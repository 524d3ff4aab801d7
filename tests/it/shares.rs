//! What one user's statements cannot take from those of others: memory, spill space, turns and time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgmesh::config::{Bytes, Config};

use crate::raw::{Client, Login, cancel, query};
use crate::serving::{Serving, config};

/// Runs until it is stopped, and takes no memory.
const BUSY: &str = "with recursive t (n) as (select 1::bigint union all select n + 1 from t where n < 1000000000000)
    select count(*) from t";
/// Statements that take all the memory they can get.
const BOMBS: [&str; 5] = [
    // the build side of a join
    "select count(*) from generate_series(1, 30000000) a(x) join generate_series(1, 30000000) b(y) on x = y",
    // one value
    "select array_length(array_agg(x), 1) from generate_series(1, 30000000) t(x)",
    // one side of a product
    "select count(*) from generate_series(1, 30000000) a(x), generate_series(1, 30000000) b(y) where x + y < 0",
    // rows that double without end
    "with recursive t (n) as (select 1::bigint union all select n from t cross join (values (1), (2)) v(w))
        select count(*) from t",
    // values that double without end
    "with recursive t (s) as (select repeat('x', 1000) union all select s || s from t) select max(length(s)) from t",
];
/// What somebody else does meanwhile: groups, joins and sorts.
const MODEST: &str = "select o.customer_id, count(*), sum(o.amount) from sales.orders o
    join sales.orders p on o.order_id = p.order_id group by 1 order by 2 desc, 1 limit 3";

fn serving(change: impl FnOnce(&mut Config)) -> Serving {
    let mut config = config();
    change(&mut config);
    Serving::start(config)
}

/// The error of a statement, or its last line.
async fn answer(client: &mut Client, sql: &str) -> String {
    client.send(&query(sql)).await;
    let line = client.after_rows().await.1.line();
    client.lines().await;
    line
}

/// Throws bombs until told to stop; how many of them were refused for want of memory or, where an operator can spill, of
/// spill space, and what else was answered.
async fn throw(address: SocketAddr, bomb: &'static str, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let mut client = Client::connect(address, "sales_analyst").await;
    let (mut refused, mut other) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        match answer(&mut client, bomb).await {
            line if line.ends_with(" than one user may hold") => refused += 1,
            line => other.push(line),
        }
    }
    (refused, other)
}

#[tokio::test]
async fn a_memory_bomb_fails_nobody_else() {
    let server = serving(|config| {
        config.memory_limit = Bytes(64 << 20);
        config.spill_limit = Bytes(32 << 20);
    });
    let mut modest = Client::connect(server.address, "data_scientist").await;
    let expected = modest.rows(MODEST).await;
    assert_eq!(expected.len(), 3, "{expected:?}");
    let stop = Arc::new(AtomicBool::new(false));
    let throwers = BOMBS.map(|bomb| tokio::spawn(throw(server.address, bomb, Arc::clone(&stop))));
    let began = Instant::now();
    let mut answered = 0;
    while began.elapsed() < Duration::from_secs(6) {
        assert_eq!(modest.rows(MODEST).await, expected, "after {answered}");
        answered += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for (bomb, thrower) in BOMBS.iter().zip(throwers) {
        let (refused, other) = thrower.await.unwrap();
        assert!(refused > 0 && other.is_empty(), "{refused} refused, {other:?}: {bomb}");
    }
    assert!(answered > 0);
    // and whoever threw them goes on too
    let mut thrower = Client::connect(server.address, "sales_analyst").await;
    assert_eq!(thrower.rows(MODEST).await, expected);
    assert_eq!(server.panics(), Vec::<String>::new());
}

#[tokio::test]
async fn a_refusal_for_memory_says_what_can_be_done() {
    let server = serving(|config| config.memory_limit = Bytes(64 << 20));
    let mut client = Client::connect(server.address, "sales_analyst").await;
    client.send(&query(BOMBS[0])).await;
    let error = client.after_rows().await.1;
    assert_eq!(error.line(), "Error 53200 the statement needs more memory than one user may hold");
    assert_eq!(error.field(b'H'), "Read less at a time, or run fewer statements at once.");
}

#[tokio::test]
async fn a_sort_beyond_the_spill_space_is_refused() {
    let server = serving(|config| {
        config.memory_limit = Bytes(192 << 20);
        config.spill_limit = Bytes(8 << 20);
    });
    let sort = "select x from generate_series(1, 8000000) t(x) order by -x offset 7999999";
    let mut client = Client::connect(server.address, "sales_analyst").await;
    let line = answer(&mut client, sort).await;
    assert_eq!(line, "Error 53100 the statement needs more spill space than one user may hold");
    assert_eq!(client.rows("select count(*) from sales.orders").await, ["6000"]);
}

#[tokio::test]
async fn statements_of_one_user_wait_for_their_turn() {
    let server = serving(|config| {
        config.max_statements_per_user = 2.try_into().unwrap();
        config.statement_queue_timeout = Duration::from_millis(400);
    });
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(server.address, "sales_analyst").await;
        client.send(&query(BUSY)).await;
        busy.push(client);
    }
    let mut third = Client::connect(server.address, "sales_analyst").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    third.send(&query("select 1")).await;
    let refused = third.after_rows().await.1;
    assert_eq!(refused.line(), "Error 53300 too many statements of this user are running");
    assert!(refused.field(b'H').starts_with("Wait for one of them to end"), "{}", refused.field(b'H'));
    assert!(began.elapsed() >= Duration::from_millis(390), "{:?}", began.elapsed());
    third.lines().await;
    // what is no query needs no turn, and others have turns of their own
    assert_eq!(third.query("set application_name = 'x'").await[0], "Complete SET");
    let mut other = Client::connect(server.address, "data_scientist").await;
    assert_eq!(other.rows("select 1").await, ["1"]);
    // a turn comes when a statement ends
    cancel(server.address, busy[0].pid, &busy[0].secret).await;
    assert_eq!(busy[0].lines().await.last().unwrap(), "Ready I");
    assert_eq!(third.rows("select 1").await, ["1"]);
    cancel(server.address, busy[1].pid, &busy[1].secret).await;
    busy[1].lines().await;
}

#[tokio::test]
async fn waiting_is_cancelled_and_ends_at_the_timeout() {
    let server = serving(|config| config.max_statements_per_user = 1.try_into().unwrap());
    let address = server.address;
    let mut busy = Client::connect(address, "sales_analyst").await;
    busy.send(&query(BUSY)).await;
    // so that it is the one that runs
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut waiting = Client::connect(server.address, "sales_analyst").await;
    waiting.query("set statement_timeout = '200ms'").await;
    let line = answer(&mut waiting, "select 1").await;
    assert_eq!(line, "Error 57014 canceling statement due to statement timeout");
    waiting.query("reset statement_timeout").await;
    waiting.send(&query("select 1")).await;
    // a request that comes before the statement is meant for another and does nothing, so it is said again
    let (pid, secret) = (waiting.pid, waiting.secret.clone());
    let asking = tokio::spawn(async move {
        loop {
            cancel(address, pid, &secret).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    assert_eq!(waiting.after_rows().await.1.line(), "Error 57014 canceling statement due to user request");
    asking.abort();
    waiting.lines().await;
    // whoever hangs up while waiting, or while running, leaves no place taken
    waiting.send(&query("select 1")).await;
    drop(waiting);
    drop(busy);
    let mut next = Client::connect(server.address, "sales_analyst").await;
    assert_eq!(next.rows("select 1").await, ["1"]);
}

#[tokio::test]
async fn an_open_cursor_is_a_running_statement() {
    let server = serving(|config| {
        config.max_statements_per_user = 1.try_into().unwrap();
        config.statement_queue_timeout = Duration::from_millis(200);
    });
    let mut client = Client::connect(server.address, "sales_analyst").await;
    client.query("begin").await;
    client.query("declare c cursor for select a.order_id from sales.orders a, sales.orders b").await;
    assert_eq!(client.query("fetch 1 from c").await.len(), 4, "columns, a row, the tag, ready");
    let refused = answer(&mut client, "select 1").await;
    assert_eq!(refused, "Error 53300 too many statements of this user are running");
    client.query("rollback").await;
    assert_eq!(client.rows("select 1").await, ["1"]);
}

#[tokio::test]
async fn a_session_cannot_raise_the_ceiling_of_its_statements_time() {
    let server = serving(|config| config.statement_timeout_max = Duration::from_millis(300));
    let timeout = "Error 57014 canceling statement due to statement timeout";
    let options = [("statement_timeout", "0")];
    let login = Login { options: &options, ..Login::sample("sales_analyst") };
    let mut client = Client::login(server.address, &login).await.unwrap();
    for raise in [
        "select 1",
        "set statement_timeout = 0",
        "set statement_timeout = '1h'",
        "reset statement_timeout",
        "reset all",
        "select set_config('statement_timeout', '0', false)",
    ] {
        client.query(raise).await;
        assert_eq!(client.rows("show statement_timeout").await, ["300ms"], "{raise}");
        let began = Instant::now();
        assert_eq!(answer(&mut client, BUSY).await, timeout, "{raise}");
        assert!(began.elapsed() < Duration::from_secs(2), "{raise}");
    }
    client.query("begin").await;
    client.query("set local statement_timeout = 0").await;
    assert_eq!(answer(&mut client, BUSY).await, timeout);
    client.query("rollback").await;
    client.query("set statement_timeout = '100ms'").await;
    assert_eq!(client.rows("show statement_timeout").await, ["100ms"], "shorter is the session's own business");
}
