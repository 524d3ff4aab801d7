//! Portals and cursors: fetched in parts, run to their end, run again, closed.
//!
//! Conversations are held with a real PostgreSQL too, where one is installed: the expectations are PostgreSQL's own.

use crate::postgres::everywhere;
use crate::raw::{Client, bind, close, describe, execute, parse, sync};
use crate::serving::shared;

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

#[tokio::test]
async fn a_portal_that_is_done_answers_as_its_statement_does() {
    everywhere(async |c| {
        let (prepared, bound) = ("ParseComplete".to_owned(), "BindComplete".to_owned());
        for (sql, rows, first, again) in [
            ("values (1), (2)", 2, "Complete SELECT 2", "Complete SELECT 0"),
            ("select 1 where false", 0, "Complete SELECT 0", "Complete SELECT 0"),
            ("show extra_float_digits", 1, "Complete SHOW", "Complete SHOW"),
            ("fetch 2 from c", 2, "Complete FETCH 2", "Complete FETCH 0"),
            ("fetch 0 from c", 0, "Complete FETCH 0", "Complete FETCH 0"),
            ("", 0, "EmptyQuery", "EmptyQuery"),
        ] {
            c.query("begin; declare c cursor for values (1), (2), (3)").await;
            let twice = [parse("", sql, &[]), bind("p", "", &[]), execute("p", 0), execute("p", 0), execute("p", 1)];
            let lines = c.say(&[twice.concat(), sync()]).await;
            let (rows_sent, others): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with("Row "));
            assert_eq!(rows_sent.len(), rows, "{sql}");
            let ready = "Ready T".to_owned();
            let expected =
                [prepared.clone(), bound.clone(), first.to_owned(), again.to_owned(), again.to_owned(), ready];
            assert_eq!(others, expected, "{sql}");
            c.query("rollback").await;
        }
        // the plan itself is another in every server
        c.query("begin").await;
        let lines = c.say(&[parse("", "explain select 1", &[]), bind("p", "", &[]), execute("p", 0), sync()]).await;
        assert!(lines[2].starts_with("Row ") && lines.contains(&"Complete EXPLAIN".to_owned()), "{lines:?}");
        assert_eq!(c.say(&[execute("p", 0), sync()]).await, ["Complete EXPLAIN", "Ready T"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn a_command_runs_once() {
    everywhere(async |c| {
        for (sql, tag) in [
            ("set extra_float_digits = 2", "SET"),
            ("savepoint a", "SAVEPOINT"),
            ("declare d cursor for values (1)", "DECLARE CURSOR"),
            ("close c", "CLOSE CURSOR"),
        ] {
            c.query("begin; declare c cursor for values (1), (2), (3)").await;
            let twice = [parse("", sql, &[]), bind("p", "", &[]), execute("p", 0), execute("p", 0), sync()];
            let refused = "Error 55000 portal \"p\" cannot be run".to_owned();
            let done = format!("Complete {tag}");
            let expected = ["ParseComplete".to_owned(), "BindComplete".to_owned(), done, refused, "Ready E".to_owned()];
            assert_eq!(c.say(&twice).await, expected, "{sql}");
            c.query("rollback").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_fetch_obeys_the_row_limit_of_execute() {
    everywhere(async |c| {
        c.query("begin; declare c cursor for values ('1'), ('2'), ('3'), ('4'), ('5'), ('6'), ('7'), ('8')").await;
        let start =
            [parse("three", "fetch 3 from c", &[]), bind("p", "three", &[]), describe(b'P', "p"), execute("p", 2)];
        assert_eq!(
            c.say(&[start.concat(), sync()]).await,
            ["ParseComplete", "BindComplete", "Columns column1:25", "Row 1", "Row 2", "Suspended", "Ready T"]
        );
        let rest = [execute("p", 2), execute("p", 2), sync()];
        assert_eq!(c.say(&rest).await, ["Row 3", "Complete FETCH 1", "Complete FETCH 0", "Ready T"]);
        // as many as it asks for still suspend
        let exactly = [parse("", "fetch 2 from c", &[]), bind("q", "", &[]), execute("q", 2), execute("q", 2), sync()];
        assert_eq!(
            c.say(&exactly).await,
            ["ParseComplete", "BindComplete", "Row 4", "Row 5", "Suspended", "Complete FETCH 0", "Ready T"]
        );
        let all = [parse("", "fetch all from c", &[]), bind("r", "", &[]), execute("r", 1), execute("r", 0), sync()];
        assert_eq!(
            c.say(&all).await,
            ["ParseComplete", "BindComplete", "Row 6", "Suspended", "Row 7", "Row 8", "Complete FETCH 2", "Ready T"]
        );
        assert_eq!(c.query("fetch 1 from c").await, ["Columns column1:25", "Complete FETCH 0", "Ready T"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn a_cursor_is_a_portal() {
    everywhere(async |c| {
        c.query("begin; declare c cursor for values ('1'), ('2'), ('3'), ('4')").await;
        assert_eq!(c.rows("fetch 1 from c").await, ["1"]);
        let run = [execute("c", 1), execute("c", 0), execute("c", 0), sync()];
        assert_eq!(
            c.say(&run).await,
            ["Row 2", "Suspended", "Row 3", "Row 4", "Complete SELECT 2", "Complete SELECT 0", "Ready T"]
        );
        assert_eq!(c.query("fetch 1 from c").await, ["Columns column1:25", "Complete FETCH 0", "Ready T"]);
        // the other way round: FETCH goes on with what Execute left
        c.say(&[parse("", "values ('1'), ('2'), ('3')", &[]), bind("p", "", &[]), execute("p", 1), sync()]).await;
        assert_eq!(c.rows("fetch 5 from p").await, ["2", "3"]);
        assert_eq!(c.say(&[execute("p", 0), sync()]).await, ["Complete SELECT 0", "Ready T"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn a_fetch_that_was_described_over_other_columns_is_refused() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    client.query("begin; declare c cursor for values ('a')").await;
    let described = [parse("f", "fetch 1 from c", &[]), describe(b'S', "f"), sync()];
    assert_eq!(client.say(&described).await, ["ParseComplete", "Parameters", "Columns column1:25", "Ready T"]);
    client.query("close c; declare c cursor for select 1 as a, 'b' as b").await;
    let lines = client.say(&[bind("", "f", &[]), execute("", 0), sync()]).await;
    assert_eq!(lines, ["BindComplete", "Error 0A000 cached plan must not change result type", "Ready E"]);
}
