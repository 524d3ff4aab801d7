//! Portals and cursors: fetched in parts, run to their end, run again, closed.
//!
//! Conversations are held with a real PostgreSQL too, where one is installed: the expectations are PostgreSQL's own.

use crate::postgres::everywhere;
use crate::raw::{bind, close, execute, parse, sync};

#[tokio::test]
async fn a_portal_is_fetched_in_parts_inside_a_transaction() {
    everywhere(async |c| {
        c.query("begin").await;
        assert_eq!(
            c.say(&[
                parse("five", "select * from (values (1), (2), (3), (4), (5)) as t (n) order by n", &[]),
                bind("p", "five", &[]),
                execute("p", 2),
                sync()
            ])
            .await,
            ["ParseComplete", "BindComplete", "Row 1", "Row 2", "Suspended", "Ready T"]
        );
        // another statement may run in between
        assert_eq!(c.rows("select 7 as seven").await, ["7"]);
        assert_eq!(c.say(&[execute("p", 2), sync()]).await, ["Row 3", "Row 4", "Suspended", "Ready T"]);
        assert_eq!(c.say(&[execute("p", 0), sync()]).await, ["Row 5", "Complete SELECT 1", "Ready T"]);
        assert_eq!(c.say(&[execute("p", 0), sync()]).await, ["Complete SELECT 0", "Ready T"]);
        assert_eq!(c.say(&[close(b'P', "p"), sync()]).await, ["CloseComplete", "Ready T"]);
        assert_eq!(c.say(&[execute("p", 0), sync()]).await, ["Error 34000 portal \"p\" does not exist", "Ready E"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn exactly_as_many_rows_as_there_are_still_suspend() {
    everywhere(async |c| {
        c.query("begin").await;
        assert_eq!(
            c.say(&[parse("", "values (1), (2)", &[]), bind("p", "", &[]), execute("p", 2), execute("p", 2), sync()])
                .await,
            ["ParseComplete", "BindComplete", "Row 1", "Row 2", "Suspended", "Complete SELECT 0", "Ready T"]
        );
        c.query("commit").await;
    })
    .await;
}

#[tokio::test]
async fn portals_end_with_their_transaction() {
    everywhere(async |c| {
        let gone = "Error 34000 portal \"p\" does not exist";
        c.say(&[parse("s", "values (1), (2)", &[]), bind("p", "s", &[]), execute("p", 1), sync()]).await;
        assert_eq!(c.say(&[execute("p", 1), sync()]).await, [gone, "Ready I"]);
        c.query("begin").await;
        c.say(&[bind("p", "s", &[]), execute("p", 1), sync()]).await;
        c.query("commit").await;
        assert_eq!(c.say(&[execute("p", 1), sync()]).await, [gone, "Ready I"]);
        // the unnamed portal goes with the next simple query too
        c.query("begin").await;
        c.say(&[bind("", "s", &[]), execute("", 1), sync()]).await;
        c.query("select 1").await;
        assert_eq!(c.say(&[execute("", 1), sync()]).await, ["Error 34000 portal \"\" does not exist", "Ready E"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn a_portals_name_is_taken_until_it_is_closed() {
    everywhere(async |c| {
        c.query("begin").await;
        c.say(&[parse("s", "select 1 as one", &[]), bind("p", "s", &[]), bind("", "s", &[]), sync()]).await;
        assert_eq!(c.say(&[bind("", "s", &[]), sync()]).await, ["BindComplete", "Ready T"]);
        assert_eq!(
            c.say(&[close(b'P', "p"), bind("p", "s", &[]), sync()]).await,
            ["CloseComplete", "BindComplete", "Ready T"]
        );
        assert_eq!(c.say(&[bind("p", "s", &[]), sync()]).await, ["Error 42P03 cursor \"p\" already exists", "Ready E"]);
        c.query("rollback").await;
        // closing what is not there is no error
        assert_eq!(
            c.say(&[close(b'P', "never"), close(b'S', "never"), sync()]).await,
            ["CloseComplete", "CloseComplete", "Ready I"]
        );
    })
    .await;
}
