//! LISTEN and NOTIFY: between sessions of one user, while they are idle, after commit alone.

use std::time::Duration;

use crate::postgres::everywhere;
use crate::raw::{Client, query};
use crate::serving::shared;

const A_WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_session_hears_itself_as_in_postgresql() {
    everywhere(async |c| {
        assert_eq!(c.query("listen c").await, ["Complete LISTEN", "Ready I"]);
        assert_eq!(c.query("notify c").await, ["Complete NOTIFY", "Notification c ", "Ready I"]);
        assert_eq!(c.query("NOTIFY C, 'it''s'").await, ["Complete NOTIFY", "Notification c it's", "Ready I"]);
        let told = c.query("select pg_notify('c', 'x')").await;
        assert_eq!(told[1..], ["Row ", "Complete SELECT 1", "Notification c x", "Ready I"]);
        // inside a block nothing is told, and the same is told once
        assert_eq!(c.query("begin").await, ["Complete BEGIN", "Ready T"]);
        for sql in ["notify c, '1'", "notify c, '1'", "notify c, '2'", "notify other"] {
            assert_eq!(c.query(sql).await, ["Complete NOTIFY", "Ready T"]);
        }
        assert_eq!(c.query("commit").await, ["Complete COMMIT", "Notification c 1", "Notification c 2", "Ready I"]);
        // rolled back, in whole or to a savepoint
        c.query("begin; notify c, 'a'; savepoint s; notify c, 'b'; rollback to s; notify c, 'c'").await;
        assert_eq!(c.query("commit").await, ["Complete COMMIT", "Notification c a", "Notification c c", "Ready I"]);
        assert_eq!(c.query("begin; notify c, 'x'; rollback").await.last().unwrap(), "Ready I");
        let failed = c.query("notify c, 'x'; select 1/0").await;
        assert_eq!(failed[failed.len() - 2..], ["Error 22012 division by zero", "Ready I"]);
        // LISTEN holds from the commit on
        c.query("begin; listen d; notify d, '1'; rollback").await;
        assert_eq!(c.query("notify d, '2'").await, ["Complete NOTIFY", "Ready I"]);
        assert_eq!(
            c.query("begin; listen d; notify d, '3'; commit").await[3..],
            ["Complete COMMIT", "Notification d 3", "Ready I"]
        );
        c.query("unlisten c").await;
        assert_eq!(c.query("notify c; notify d").await[2..], ["Notification d ", "Ready I"]);
        assert_eq!(c.query("unlisten *").await, ["Complete UNLISTEN", "Ready I"]);
        assert_eq!(c.query("notify d").await, ["Complete NOTIFY", "Ready I"]);
        c.query("listen c").await;
        c.query("discard all").await;
        assert_eq!(c.query("notify c").await, ["Complete NOTIFY", "Ready I"]);
        for (sql, error) in [
            ("select pg_notify('', 'x')", "22023 channel name cannot be empty"),
            ("select pg_notify(repeat('x', 64), 'x')", "22023 channel name too long"),
            ("select pg_notify('x', repeat('x', 8000))", "22023 payload string too long"),
        ] {
            let lines = c.query(sql).await;
            assert!(lines.contains(&format!("Error {error}")), "{sql}: {lines:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_session_is_told_and_another_user_is_not() {
    let address = shared().address;
    let mut listener = Client::connect(address, "sales_analyst").await;
    let mut stranger = Client::connect(address, "finance_analyst").await;
    let mut sender = Client::connect(address, "sales_analyst").await;
    listener.query("listen news").await;
    stranger.query("listen news").await;
    sender.query("notify news, 'hello'").await;
    let told = listener.receive().await.unwrap();
    assert_eq!(told.line(), "Notification news hello");
    assert_eq!(i32::from_be_bytes(told.body[..4].try_into().unwrap()), sender.pid);
    assert!(stranger.is_silent(A_WHILE).await, "a channel is its user's own");
    // inside a transaction it waits for the end
    listener.query("begin").await;
    sender.query("notify news, 'later'").await;
    assert!(listener.is_silent(A_WHILE).await);
    assert_eq!(listener.query("commit").await, ["Complete COMMIT", "Notification news later", "Ready I"]);
    // in the middle of a pipeline of others' messages nothing is cut
    listener.send(&[query("select 1"), query("select 2")].concat()).await;
    assert_eq!(listener.lines().await.last().unwrap(), "Ready I");
    assert_eq!(listener.lines().await.last().unwrap(), "Ready I");
}
