//! What a client cannot do to a server and to the other clients: run for ever, flood it, send it nonsense.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use pgmesh::config::{Bytes, Config};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::raw::{
    Client, Login, bind, bind_with, cancel, close, describe, execute, flush, message, parse, prefixed, query, request,
    run, startup_packet, sync,
};
use crate::serving::{PATIENCE, Serving, config, eventually, repository, shared};

/// 36 million rows: more than a client takes in a debug build before it loses patience.
const ENDLESS: &str = "select a.order_id, a.customer_id, b.amount from sales.orders a cross join sales.orders b";
/// No row for a long time.
const BUSY: &str = "with recursive t (n) as (select 1::bigint union all select n + 1 from t where n < 1000000000000)
    select count(*) from t";
/// One step of its join takes long by itself.
const STUBBORN: &str = "select count(*) from sales.orders a, sales.orders b, sales.orders c
    where a.amount + b.amount + c.amount < 0";
/// How soon a cancelled statement must have ended.
const SOON: Duration = Duration::from_secs(1);

const CANCELLED: &str = "Error 57014 canceling statement due to user request";

fn serving(change: impl FnOnce(&mut Config)) -> Serving {
    let mut config = config();
    change(&mut config);
    Serving::start(config)
}

/// Takes in what comes until a line other than a row does.
async fn after_rows(client: &mut Client) -> String {
    client.after_rows().await.1.line()
}

#[tokio::test]
async fn a_running_statement_is_cancelled_within_a_second() {
    let server = shared();
    for sql in [ENDLESS, BUSY, STUBBORN] {
        for extended in [false, true] {
            let mut client = Client::connect(server.address, "sales_analyst").await;
            let start = if extended { [run(sql), sync()].concat() } else { query(sql) };
            let (pid, secret) = (client.pid, client.secret.clone());
            client.send(&start).await;
            if sql == ENDLESS {
                while client.receive().await.unwrap().kind != b'D' {}
            }
            // what comes before the statement runs is meant for another and does nothing, so it is said again
            let asking = tokio::spawn(async move {
                loop {
                    cancel(server.address, pid, &secret).await;
                    tokio::time::sleep(SOON / 4).await;
                }
            });
            let started = Instant::now();
            let mut line = after_rows(&mut client).await;
            while line == "ParseComplete" || line == "BindComplete" {
                line = after_rows(&mut client).await;
            }
            asking.abort();
            assert_eq!(line, CANCELLED, "{sql}");
            // a request that came too early costs a quarter of a second
            assert!(started.elapsed() < SOON + SOON / 4, "{:?} for {sql}", started.elapsed());
            assert_eq!(client.lines().await, ["Ready I"]);
            // the last of the requests may be under way still
            assert!(asking.await.unwrap_err().is_cancelled());
            eventually_here(&mut client).await;
        }
    }
}

/// A cancel request that was under way may hit the next statement, as in PostgreSQL.
async fn eventually_here(client: &mut Client) {
    for _ in 0..3 {
        if client.rows("select 'still here'").await == ["still here"] {
            return;
        }
    }
    panic!("the session does not go on");
}

#[tokio::test]
async fn a_statement_is_cancelled_while_its_client_does_not_read() {
    let server = shared();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    client.send(&query(ENDLESS)).await;
    // until the socket's buffers are full nothing more comes after this
    while client.receive().await.unwrap().kind != b'D' {}
    tokio::time::sleep(Duration::from_millis(300)).await;
    cancel(server.address, client.pid, &client.secret).await;
    assert_eq!(after_rows(&mut client).await, CANCELLED);
    assert_eq!(client.lines().await, ["Ready I"]);
}

#[tokio::test]
async fn a_wrong_key_cancels_nothing() {
    let server = shared();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    client.send(&query(BUSY)).await;
    cancel(server.address, client.pid, &[0; 4]).await;
    cancel(server.address, client.pid, &[0; 32]).await;
    cancel(server.address, client.pid, &[]).await;
    assert!(client.is_silent(Duration::from_millis(300)).await);
    cancel(server.address, client.pid, &client.secret).await;
    assert_eq!(client.lines().await.last().unwrap(), "Ready I");
}

#[tokio::test]
async fn a_cancel_of_an_idle_session_is_forgotten() {
    let server = shared();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    cancel(server.address, client.pid, &client.secret).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.rows("select 'x'").await, ["x"]);
}

#[tokio::test]
async fn statements_end_at_their_timeout() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    client.query("set statement_timeout = '200ms'").await;
    let timeout = "Error 57014 canceling statement due to statement timeout";
    for sql in [BUSY, ENDLESS, STUBBORN] {
        let began = Instant::now();
        client.send(&query(sql)).await;
        assert_eq!(after_rows(&mut client).await, timeout, "{sql}");
        assert!(began.elapsed() < Duration::from_millis(200) + SOON, "{:?}", began.elapsed());
        assert_eq!(client.lines().await, ["Ready I"]);
    }
    client.send(&[run(BUSY), sync()].concat()).await;
    assert!(client.lines().await.contains(&timeout.to_owned()));
    client.query("reset statement_timeout").await;
    assert_eq!(client.rows("select count(*) from sales.orders").await, ["6000"]);
}

#[tokio::test]
async fn idling_in_a_transaction_ends_the_session() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    client.query("set idle_in_transaction_session_timeout = '150ms'").await;
    // idling outside of one does not
    assert!(client.is_silent(Duration::from_millis(300)).await);
    client.query("begin").await;
    let last = client.receive().await.unwrap();
    assert_eq!(last.line(), "Error 25P03 terminating connection due to idle-in-transaction timeout");
    assert_eq!(last.field(b'S'), "FATAL");
    assert!(client.receive().await.is_none());
}

#[tokio::test]
async fn connections_are_counted_by_user_and_in_all() {
    let server = serving(|config| {
        config.max_connections = 3.try_into().unwrap();
        config.max_connections_per_user = 2.try_into().unwrap();
    });
    let refused = async |user: &str| Client::login(server.address, &Login::sample(user)).await.err().unwrap();
    let first = Client::connect(server.address, "sales_analyst").await;
    let mut second = Client::connect(server.address, "sales_analyst").await;
    let error = refused("sales_analyst").await;
    assert_eq!(error.line(), "Error 53300 too many connections for role \"sales_analyst\"");
    assert_eq!(error.field(b'S'), "FATAL");
    let _third = Client::connect(server.address, "auditor").await;
    assert_eq!(refused("mesh_admin").await.line(), "Error 53300 sorry, too many clients already");
    // a place is free again once its connection has ended
    drop(first);
    eventually("a free place", || async {
        Client::login(server.address, &Login::sample("mesh_admin")).await.ok().map(drop)
    })
    .await;
    assert_eq!(second.rows("select 1").await, ["1"]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_the_same() {
    let refused = async |user, password| {
        let login = Login { password, ..Login::sample(user) };
        Client::login(shared().address, &login).await.err().unwrap()
    };
    let wrong = refused("sales_analyst", "wrong").await;
    assert_eq!(wrong.line(), "Error 28P01 password authentication failed for user \"sales_analyst\"");
    let unknown = refused("nobody_at_all", "wrong").await;
    let renamed = String::from_utf8_lossy(&unknown.body).replace("nobody_at_all", "sales_analyst");
    assert_eq!(renamed.as_bytes(), &wrong.body[..]);
    // and a wrong password tells nothing about databases either
    let login = Login { password: "wrong", database: "nothing", ..Login::sample("sales_analyst") };
    assert_eq!(Client::login(shared().address, &login).await.err().unwrap().line(), wrong.line());
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_its_connection_only() {
    let server = serving(|config| config.max_message_bytes = Bytes(1 << 20));
    let mut healthy = Client::connect(server.address, "sales_analyst").await;
    let mut client = Client::connect(server.address, "sales_analyst").await;
    let large = format!("select length('{}')", "x".repeat((1 << 20) - 100));
    assert_eq!(client.rows(&large).await, [((1 << 20) - 100).to_string()]);
    let mut header = vec![b'Q'];
    header.put_i32(i32::MAX);
    client.send(&header).await;
    let error = client.receive().await.unwrap();
    assert!(error.line().starts_with("Error 54000 a message of 2147483647 bytes"), "{}", error.line());
    assert_eq!(error.field(b'S'), "FATAL");
    assert!(client.receive().await.is_none());
    assert_eq!(healthy.rows("select 1").await, ["1"]);
    // before authentication the limit is much lower
    let mut stranger = Client::bare(server.address).await;
    stranger.send(&startup_packet(0, &[("user", "x"), ("database", "mesh")])).await;
    stranger.receive().await.unwrap();
    let mut header = vec![b'p'];
    header.put_i32(1 << 19);
    stranger.send(&header).await;
    assert!(stranger.receive().await.unwrap().line().starts_with("Error 54000 "));
    assert!(stranger.receive().await.is_none());
}

/// Messages whose frame is whole and whose body is not.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("query without its end", message(b'Q', b"select 1")),
        ("query with more behind it", message(b'Q', b"select 1\0more")),
        ("query that is no UTF-8", message(b'Q', b"select '\xff\xfe'\0")),
        ("empty query message", message(b'Q', b"")),
        ("parse cut short", message(b'P', b"name\0select 1\0\0")),
        ("parse with too few types", message(b'P', b"\0select 1\0\0\x05\0\0\0\x17")),
        ("parse without text", message(b'P', b"name")),
        ("bind cut short", message(b'B', b"\0\0\0\x01")),
        ("bind with a long value", message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xffx\0\0")),
        ("bind with a negative length", message(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0")),
        ("bind with many formats", message(b'B', b"\0\0\xff\xff\0\0\0\0")),
        ("describe of nothing", message(b'D', b"")),
        ("describe of something else", message(b'D', b"Xname\0")),
        ("close of something else", message(b'C', b"Yname\0")),
        ("execute cut short", message(b'E', b"\0\0\0")),
        ("execute without a name", message(b'E', b"")),
        ("sync with a body", message(b'S', b"body")),
        ("flush with a body", message(b'H', b"body")),
    ]
}

#[tokio::test]
async fn malformed_messages_harm_nobody() {
    let server = shared();
    let mut healthy = Client::connect(server.address, "sales_analyst").await;
    for (what, bytes) in malformed() {
        let mut client = Client::connect(server.address, "sales_analyst").await;
        // a query is answered by itself, everything else at Sync
        let is_query = bytes[0] == b'Q';
        client.send(&if is_query { bytes } else { [bytes, sync()].concat() }).await;
        let first = client.receive().await.unwrap().line();
        assert!(first.starts_with("Error 08P01 ") || first.starts_with("Error 22021 "), "{what}: {first}");
        assert_eq!(client.lines().await, ["Ready I"], "{what}");
        assert_eq!(client.rows("select 'goes on'").await, ["goes on"], "{what}");
        assert_eq!(healthy.rows("select 1").await, ["1"], "{what}");
    }
    assert_eq!(server.panics(), Vec::<String>::new());
}

#[tokio::test]
async fn frames_that_cannot_be_followed_end_their_connection() {
    let server = shared();
    let mut healthy = Client::connect(server.address, "sales_analyst").await;
    for (what, bytes) in [
        ("unknown kind", message(b'z', b"")),
        ("zero byte", vec![0, 0, 0, 0, 4]),
        ("length below four", vec![b'Q', 0, 0, 0, 3]),
        ("length of zero", vec![b'Q', 0, 0, 0, 0]),
        ("negative length", vec![b'Q', 0xff, 0xff, 0xff, 0xff]),
        ("password at the wrong time", message(b'p', b"secret\0")),
        ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ] {
        let mut client = Client::connect(server.address, "sales_analyst").await;
        client.send(&bytes).await;
        let error = client.receive().await.unwrap();
        assert!(error.line().starts_with("Error 08P01 ") || error.line().starts_with("Error 54000 "), "{what}");
        assert_eq!(error.field(b'S'), "FATAL", "{what}");
        assert!(client.receive().await.is_none(), "{what}");
        assert_eq!(healthy.rows("select 1").await, ["1"], "{what}");
    }
}

#[tokio::test]
async fn startup_packets_that_are_none_are_refused() {
    let server = shared();
    let version = (3_i32 << 16).to_be_bytes();
    for (what, bytes) in [
        ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("length too short", vec![0, 0, 0, 7, 0, 0, 0, 0]),
        ("length too long", vec![0, 1, 0, 0, 0, 3, 0, 0]),
        ("negative length", vec![0xff; 16]),
        ("no end", prefixed(&[&version[..], b"user\0x"].concat())),
        ("no value", prefixed(&[&version[..], b"user\0"].concat())),
        ("no UTF-8", prefixed(&[&version[..], b"user\0\xff\xfe\0\0"].concat())),
        ("short cancel", prefixed(&[&80_877_102_i32.to_be_bytes()[..], b"\0\0"].concat())),
        ("unknown code", request(80_877_199)),
    ] {
        let mut client = Client::bare(server.address).await;
        client.send(&bytes).await;
        if let Some(answer) = client.receive().await {
            assert_eq!((answer.kind, answer.field(b'S').as_str()), (b'E', "FATAL"), "{what}: {}", answer.line());
            assert!(client.receive().await.is_none(), "{what}");
        }
    }
    for (what, first) in [
        ("no message but a query", query("select 1")),
        ("an unknown mechanism", message(b'p', b"PLAIN\0\0\0\0\0")),
        ("an empty message", message(b'p', b"")),
        ("a wrong length", message(b'p', b"SCRAM-SHA-256\0\0\0\xff\xffn,,n=,r=x")),
        ("no SCRAM", message(b'p', b"SCRAM-SHA-256\0\0\0\0\x04none")),
        ("binding that was not offered", message(b'p', b"SCRAM-SHA-256-PLUS\0\0\0\0\x04none")),
    ] {
        let mut client = Client::bare(server.address).await;
        client.send(&startup_packet(0, &[("user", "sales_analyst"), ("database", "mesh")])).await;
        assert_eq!(client.receive().await.unwrap().kind, b'R');
        client.send(&first).await;
        let answer = client.receive().await.unwrap();
        assert_eq!((answer.kind, answer.field(b'S').as_str()), (b'E', "FATAL"), "{what}: {}", answer.line());
        assert!(client.receive().await.is_none(), "{what}");
    }
    assert_eq!(server.panics(), Vec::<String>::new());
}

#[tokio::test]
async fn a_flood_of_half_open_connections_keeps_nobody_out() {
    const FLOOD: usize = 2_000;
    let server = serving(|config| {
        config.max_startup_connections = 32.try_into().unwrap();
        config.authentication_timeout = Duration::from_secs(1);
    });
    let mut healthy = Client::connect(server.address, "sales_analyst").await;
    let mut flood = Vec::with_capacity(FLOOD);
    for number in 0..FLOOD {
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(server.address)).await.unwrap().unwrap();
        flood.push(stream);
        if number % 200 == 0 {
            assert_eq!(healthy.rows("select count(*) from sales.orders").await, ["6000"], "after {number}");
        }
    }
    // who is not let in is told so at once
    let mut told = 0;
    for stream in &mut flood[FLOOD / 2..] {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        told += usize::from(read.is_ok() && answer.windows(5).any(|part| part == b"53300"));
    }
    assert!(told > FLOOD / 4, "{told} were told");
    // those who were let in and say nothing lose their place after a while, although they stay connected
    eventually("a new session", || async {
        Client::login(server.address, &Login::sample("auditor")).await.ok().map(drop)
    })
    .await;
    assert_eq!(healthy.rows("select 1").await, ["1"]);
    drop(flood);
}

#[tokio::test]
async fn authentication_does_not_take_for_ever() {
    let server = serving(|config| config.authentication_timeout = Duration::from_millis(300));
    for start in [Vec::new(), b"\0\0\0".to_vec(), startup_packet(0, &[("user", "sales_analyst")])] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&start).await.unwrap();
        let mut rest = Vec::new();
        drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap());
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

/// How long strangers may throw bytes at a server.
const FUZZ: Duration = Duration::from_secs(5);
const SEED: u64 = 0x5eed;

/// Things that are nearly right.
fn mutated(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for _ in 0..random.random_range(1..8) {
        let mut part = match random.random_range(0..12) {
            0 => query("select 1; select current_user; show all"),
            1 => parse("a", "select $1::int + 1, $2", &[0, 25]),
            2 => bind("", "a", &[Some("1"), None]),
            3 => bind_with("p", "a", &[1], &[Some(&[0, 0, 0, 1]), Some(b"x")], &[1]),
            4 => describe(*b"SPX".get(random.random_range(0..3)).unwrap(), "a"),
            5 => execute("p", random.random_range(-1..3)),
            6 => close(b'S', "a"),
            7 => flush(),
            8 => sync(),
            9 => run("select order_id from sales.orders limit 5"),
            10 => message(random.random(), &random.random::<[u8; 9]>()),
            _ => (0..random.random_range(0..64)).map(|_| random.random()).collect(),
        };
        for _ in 0..random.random_range(0..4) {
            if !part.is_empty() {
                let at = random.random_range(0..part.len());
                // the length's high bytes stay, or the server only ever waits for more
                if !(1..3).contains(&at) {
                    part[at] = random.random();
                }
            }
        }
        bytes.extend_from_slice(&part);
    }
    bytes.to_vec()
}

/// One stranger: some never log in, some do first.
async fn throw(address: SocketAddr, mut random: StdRng, until: Instant) -> usize {
    let mut thrown = 0;
    while Instant::now() < until {
        let mut client = if random.random_bool(0.3) {
            let mut client = Client::bare(address).await;
            if random.random_bool(0.5) {
                drop(client.try_send(&startup_packet(0, &[("user", "sales_analyst")])).await);
            }
            client
        } else {
            match Client::login(address, &Login::sample("sales_analyst")).await {
                Ok(client) => client,
                Err(_) => continue,
            }
        };
        for _ in 0..random.random_range(1..40) {
            if client.try_send(&mutated(&mut random)).await.is_err() {
                break;
            }
            thrown += 1;
            let mut heard = [0; 4096];
            drop(tokio::time::timeout(Duration::from_millis(3), client.stream.read(&mut heard)).await);
        }
    }
    thrown
}

#[tokio::test]
async fn noise_on_the_wire_harms_nobody() {
    let server = serving(|config| config.authentication_timeout = Duration::from_secs(1));
    let mut healthy = Client::connect(server.address, "data_scientist").await;
    let until = Instant::now() + FUZZ;
    let strangers: Vec<_> =
        (0..6).map(|n| tokio::spawn(throw(server.address, StdRng::seed_from_u64(SEED + n), until))).collect();
    let mut answered = 0;
    while Instant::now() < until {
        assert_eq!(healthy.rows("select count(*) from sales.orders").await, ["6000"]);
        answered += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut thrown = 0;
    for stranger in strangers {
        thrown += stranger.await.unwrap();
    }
    assert!(thrown > 200 && answered > 20, "{thrown} thrown, {answered} answered");
    Client::connect(server.address, "sales_analyst").await;
    assert_eq!(server.panics(), Vec::<String>::new());
}

#[tokio::test]
async fn sigterm_drains_the_program() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pgmesh"))
        .args(["serve", "--listen", "127.0.0.1:0", "--shutdown-grace", "20s"])
        .current_dir(repository())
        .env_remove("PGMESH_CONFIG")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = tokio::process::ChildStdout::from_std(program.stdout.take().unwrap()).unwrap();
    let line = tokio::time::timeout(PATIENCE, BufReader::new(output).lines().next_line()).await.unwrap().unwrap();
    let address: SocketAddr =
        line.as_deref().and_then(|line| line.strip_prefix("listening on ")).unwrap().parse().unwrap();
    let mut idle = Client::connect(address, "sales_analyst").await;
    let mut busy = Client::connect(address, "sales_analyst").await;
    busy.send(&query("select a.order_id from sales.orders a cross join (select 1 from sales.orders limit 100) b"))
        .await;
    while busy.receive().await.unwrap().kind != b'D' {}
    let kill = Command::new("kill").args(["-TERM", &program.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let goodbye = idle.receive().await.unwrap();
    assert_eq!(goodbye.line(), "Error 57P01 terminating connection due to administrator command");
    assert_eq!(goodbye.field(b'S'), "FATAL");
    assert!(idle.receive().await.is_none());
    // what runs may finish
    let (_, complete) = busy.after_rows().await;
    assert_eq!(complete.line(), "Complete SELECT 600000");
    let rest = busy.lines().await;
    assert_eq!(rest.first().unwrap(), "Ready I", "{rest:?}");
    assert!(TcpStream::connect(address).await.is_err(), "no new connections");
    drop(busy);
    let ended = tokio::task::spawn_blocking(move || program.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_up_the_end() {
    let server = serving(|config| config.shutdown_grace = Duration::from_millis(200));
    let mut deaf = Client::connect(server.address, "sales_analyst").await;
    let many = [run("select * from sales.orders"), flush()].concat().repeat(200);
    deaf.send(&many).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(deaf);
}

#[tokio::test]
async fn answers_of_a_long_pipeline_do_not_pile_up() {
    let server = shared();
    let mut client = Client::connect(server.address, "sales_analyst").await;
    let columns = (0..200).map(|i| format!("{i} as a_column_with_a_long_name_{i}")).collect::<Vec<_>>().join(", ");
    let mut pipeline = parse("wide", &format!("select {columns}"), &[]);
    for _ in 0..2_000 {
        pipeline.extend(describe(b'S', "wide"));
    }
    pipeline.extend(sync());
    client.send(&pipeline).await;
    let lines = client.lines().await;
    assert_eq!(lines.last().unwrap(), "Ready I");
    assert!(lines.len() > 4_000, "{}", lines.len());
}

#[tokio::test]
async fn after_the_grace_period_running_statements_end() {
    let server = serving(|config| config.shutdown_grace = Duration::from_millis(200));
    let mut busy = Client::connect(server.address, "sales_analyst").await;
    busy.send(&query(BUSY)).await;
    assert!(busy.is_silent(Duration::from_millis(100)).await);
    server.drain();
    let goodbye = after_rows(&mut busy).await;
    assert_eq!(goodbye, "Error 57P01 terminating connection due to administrator command");
}
