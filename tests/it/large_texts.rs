//! Statements of many megabytes: what reading them costs falls on nobody but who sends them.

use std::time::{Duration, Instant};

use crate::raw::{Client, parse, query, sync};
use crate::serving::shared;

/// Takes a second or so to read in a debug build.
fn large() -> String {
    format!("select 1 as one /* {} */", "x".repeat(24 << 20))
}

#[tokio::test]
async fn while_they_are_read_others_are_answered() {
    let mut seen = Vec::new();
    // a machine that is busy elsewhere may be late once
    for _ in 0..3 {
        let (answered, read) = beside_large_ones().await;
        if answered < read / 2 {
            return;
        }
        seen.push((answered, read));
    }
    panic!("the small one and the large ones took {seen:?}");
}

/// How long a small statement takes, and how long large ones that were sent before it.
async fn beside_large_ones() -> (Duration, Duration) {
    let (server, message) = (shared(), query(&large()));
    let mut healthy = Client::connect(server.address, "sales_analyst").await;
    // more than there are threads that serve connections
    let mut senders = Vec::new();
    for _ in 0..4 {
        let mut sender = Client::connect(server.address, "sales_analyst").await;
        sender.send(&message).await;
        senders.push(sender);
    }
    let began = Instant::now();
    assert_eq!(healthy.rows("select 'x'").await, ["x"]);
    let answered = began.elapsed();
    for sender in &mut senders {
        assert_eq!(sender.lines().await, ["Columns one:23", "Row 1", "Complete SELECT 1", "Ready I"]);
    }
    (answered, began.elapsed())
}

#[tokio::test]
async fn reading_them_ends_at_the_timeout() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    client.query("set statement_timeout = 1").await;
    let timeout = "Error 57014 canceling statement due to statement timeout";
    assert_eq!(client.query(&large()).await, [timeout, "Ready I"]);
    assert_eq!(client.say(&[parse("s", &large(), &[]), sync()]).await, [timeout, "Ready I"]);
    // what was begun is not kept
    client.query("reset statement_timeout").await;
    assert_eq!(client.say(&[parse("s", "select 1", &[]), sync()]).await, ["ParseComplete", "Ready I"]);
}

#[tokio::test]
async fn tokens_are_bounded_before_they_are_kept() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    let refused = "Error 54001 a query may have 200000 tokens";
    // as tokens it would take gigabytes
    let commas = format!("select {}", ",".repeat(48 << 20));
    assert_eq!(client.query(&commas).await, [refused, "Ready I"]);
    assert_eq!(client.say(&[parse("", &commas, &[]), sync()]).await, [refused, "Ready I"]);
    assert_eq!(client.rows("select 'x'").await, ["x"]);
}
