//! SQL cursors: every direction, WITH HOLD, savepoints, and what PostgreSQL refuses.

use crate::postgres::everywhere;
use crate::raw::{Client, bind, describe, execute, parse, sync};
use crate::serving::shared;

const FIVE: &str = "select * from (values ('1'), ('2'), ('3'), ('4'), ('5')) as t (n) order by n";

#[tokio::test]
async fn a_scrolling_cursor_goes_every_way() {
    everywhere(async |c| {
        c.query(&format!("begin; declare c scroll cursor for {FIVE}")).await;
        for (sql, rows, tag) in [
            ("fetch prior from c", &[][..], "FETCH 0"),
            ("fetch 2 c", &["1", "2"], "FETCH 2"),
            ("fetch 0 c", &["2"], "FETCH 1"),
            ("move 0 c", &[], "MOVE 1"),
            ("fetch last c", &["5"], "FETCH 1"),
            ("fetch next c", &[], "FETCH 0"),
            ("fetch 0 c", &[], "FETCH 0"),
            ("move 0 c", &[], "MOVE 0"),
            ("fetch backward 2 c", &["5", "4"], "FETCH 2"),
            ("fetch forward -2 c", &["3", "2"], "FETCH 2"),
            ("fetch relative 2 c", &["4"], "FETCH 1"),
            ("fetch relative -3 c", &["1"], "FETCH 1"),
            ("fetch relative 0 c", &["1"], "FETCH 1"),
            ("fetch absolute 3 c", &["3"], "FETCH 1"),
            ("fetch absolute -2 c", &["4"], "FETCH 1"),
            ("fetch absolute 9 c", &[], "FETCH 0"),
            ("move backward all in c", &[], "MOVE 5"),
            ("move 3 c", &[], "MOVE 3"),
            ("move backward all c", &[], "MOVE 2"),
            ("fetch first c", &["1"], "FETCH 1"),
            ("fetch all c", &["2", "3", "4", "5"], "FETCH 4"),
            ("fetch backward all c", &["5", "4", "3", "2", "1"], "FETCH 5"),
            ("move absolute 4 c", &[], "MOVE 1"),
            ("move absolute 0 c", &[], "MOVE 0"),
            ("fetch from c", &["1"], "FETCH 1"),
            ("fetch backward 0 c", &["1"], "FETCH 1"),
            ("move last c", &[], "MOVE 1"),
            ("move forward all c", &[], "MOVE 0"),
        ] {
            let lines = c.query(sql).await;
            let mut expected = Vec::new();
            if sql.starts_with("fetch") {
                expected.push("Columns n:25".to_owned());
            }
            expected.extend(rows.iter().map(|row| format!("Row {row}")));
            expected.extend([format!("Complete {tag}"), "Ready T".to_owned()]);
            assert_eq!(lines, expected, "{sql}");
        }
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn without_scroll_there_is_no_way_back() {
    everywhere(async |c| {
        for sql in ["fetch prior from c", "fetch 0 c", "fetch absolute 1 c", "move backward all c", "move absolute 0 c"]
        {
            c.query(&format!("begin; declare c no scroll cursor for {FIVE}; fetch 2 c")).await;
            assert_eq!(c.query(sql).await, ["Error 55000 cursor can only scan forward", "Ready E"], "{sql}");
            c.query("rollback").await;
        }
        c.query(&format!("begin; declare c no scroll cursor for {FIVE}")).await;
        assert_eq!(c.rows("fetch absolute 3 c").await, ["3"]);
        assert_eq!(c.query("move c").await, ["Complete MOVE 1", "Ready T"]);
        assert_eq!(c.rows("fetch all c").await, ["5"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn a_plain_cursor_goes_back_over_what_is_little() {
    everywhere(async |c| {
        c.query(&format!("begin; declare c cursor for {FIVE}")).await;
        assert_eq!(c.rows("fetch 3 c").await, ["1", "2", "3"]);
        assert_eq!(c.rows("fetch backward 2 c").await, ["2", "1"]);
        c.query("rollback").await;
    })
    .await;
    // PostgreSQL decides by the plan, pgmesh by the bytes
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    client
        .query(
            "begin; declare c cursor for select value, repeat('x', 100) from generate_series(1, 200000) as g (value)",
        )
        .await;
    client.query("move 190000 c").await;
    assert_eq!(client.query("fetch prior c").await[0], "Error 55000 cursor can only scan forward");
    client
        .query(
            "rollback; begin;
             declare c scroll cursor for select value from generate_series(1, 200000) as g (value) order by value",
        )
        .await;
    client.query("move 190000 c").await;
    assert_eq!(client.rows("fetch prior c").await, ["189999"]);
}

#[tokio::test]
async fn with_hold_outlives_its_transaction() {
    everywhere(async |c| {
        c.query(&format!(
            "begin; declare c scroll cursor with hold for {FIVE}; declare d cursor for {FIVE}; fetch 2 c"
        ))
        .await;
        assert_eq!(c.query("commit").await, ["Complete COMMIT", "Ready I"]);
        assert_eq!(c.rows("fetch 2 c").await, ["3", "4"]);
        assert_eq!(c.rows("fetch first c").await, ["1"]);
        assert_eq!(c.query("fetch d").await[0], "Error 34000 cursor \"d\" does not exist");
        // errors and transactions of others leave it
        c.query("begin").await;
        c.query("select 1/0").await;
        c.query("rollback").await;
        assert_eq!(c.rows("fetch c").await, ["2"]);
        assert_eq!(c.query("close c").await, ["Complete CLOSE CURSOR", "Ready I"]);
        // without a block, and rolled back
        c.query(&format!("declare c no scroll cursor with hold for {FIVE}")).await;
        assert_eq!(c.rows("fetch 2 c").await, ["1", "2"]);
        assert_eq!(c.query("fetch prior c").await[0], "Error 55000 cursor can only scan forward");
        // an error over a cursor is its end
        assert_eq!(c.rows("fetch all c").await, ["Error 55000 portal \"c\" cannot be run"]);
        assert_eq!(c.query("close all").await[0], "Complete CLOSE CURSOR ALL");
        c.query(&format!("begin; declare c cursor with hold for {FIVE}; rollback")).await;
        assert_eq!(c.query("fetch c").await[0], "Error 34000 cursor \"c\" does not exist");
        c.query(&format!("declare c cursor with hold for {FIVE}; select 1/0")).await;
        assert_eq!(c.query("fetch c").await[0], "Error 34000 cursor \"c\" does not exist");
        c.query(&format!("declare c cursor with hold for {FIVE}")).await;
        c.query("discard all").await;
        assert_eq!(c.query("fetch c").await[0], "Error 34000 cursor \"c\" does not exist");
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_cannot_hold_is_a_rollback() {
    everywhere(async |c| {
        c.query("begin; declare c cursor with hold for select 1 / (n - 2) from (values (1), (2)) as t (n)").await;
        assert_eq!(c.query("commit").await, ["Error 22012 division by zero", "Ready I"]);
        assert_eq!(c.query("fetch c").await[0], "Error 34000 cursor \"c\" does not exist");
    })
    .await;
}

#[tokio::test]
async fn savepoints_and_cursors() {
    everywhere(async |c| {
        c.query(&format!("begin; declare c cursor for {FIVE}; savepoint s; declare d cursor for {FIVE}; fetch 2 c"))
            .await;
        c.query("select 1/0").await;
        assert_eq!(c.query("rollback to s").await, ["Complete ROLLBACK", "Ready T"]);
        assert_eq!(c.rows("fetch c").await, ["3"]);
        assert_eq!(c.query("fetch d").await, ["Error 34000 cursor \"d\" does not exist", "Ready E"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn what_is_refused() {
    everywhere(async |c| {
        for (sql, error) in [
            ("declare c cursor for select 1", "25P01 DECLARE CURSOR can only be used in transaction blocks"),
            ("declare c scroll no scroll cursor for select 1", "42P11 cannot specify both SCROLL and NO SCROLL"),
            (
                "declare c insensitive asensitive cursor for select 1",
                "42P11 cannot specify both ASENSITIVE and INSENSITIVE",
            ),
            ("fetch c", "34000 cursor \"c\" does not exist"),
            ("move 5 c", "34000 cursor \"c\" does not exist"),
            ("close c", "34000 cursor \"c\" does not exist"),
            (
                "begin; declare c cursor for select 1; declare c cursor for select 1",
                "42P03 cursor \"c\" already exists",
            ),
        ] {
            let lines = c.query(sql).await;
            assert!(lines.contains(&format!("Error {error}")), "{sql}: {lines:?}");
            c.query("rollback").await;
        }
    })
    .await;
}

#[tokio::test]
async fn in_the_extended_protocol() {
    everywhere(async |c| {
        c.query("begin").await;
        // parameters of a declaration are its query's
        let declare = [
            parse(
                "",
                "declare c scroll cursor for select n from (values ('a'), ('b'), ('c')) t (n) where n >= $1",
                &[25],
            ),
            describe(b'S', ""),
            bind("", "", &[Some("b")]),
            execute("", 0),
            sync(),
        ];
        assert_eq!(
            c.say(&declare).await,
            ["ParseComplete", "Parameters 25", "NoData", "BindComplete", "Complete DECLARE CURSOR", "Ready T"]
        );
        let moves = [parse("", "move 1 c", &[]), bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()];
        assert_eq!(c.say(&moves).await, ["ParseComplete", "BindComplete", "NoData", "Complete MOVE 1", "Ready T"]);
        let back =
            [parse("", "fetch backward 1 c", &[]), describe(b'S', ""), bind("", "", &[]), execute("", 0), sync()];
        assert_eq!(
            c.say(&back).await,
            ["ParseComplete", "Parameters", "Columns n:25", "BindComplete", "Complete FETCH 0", "Ready T"]
        );
        // one that is missing is missed when it runs
        let missing = [parse("", "fetch d", &[]), describe(b'S', ""), bind("", "", &[]), execute("", 0), sync()];
        assert_eq!(
            c.say(&missing).await,
            [
                "ParseComplete",
                "Parameters",
                "NoData",
                "BindComplete",
                "Error 34000 cursor \"d\" does not exist",
                "Ready E"
            ]
        );
        c.query("rollback; begin").await;
        // a portal that was bound and not executed can be moved
        c.say(&[parse("", FIVE, &[]), bind("p", "", &[]), sync()]).await;
        assert_eq!(c.query("move forward 3 p").await, ["Complete MOVE 3", "Ready T"]);
        assert_eq!(c.say(&[execute("p", 1), sync()]).await, ["Row 4", "Suspended", "Ready T"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn a_binary_cursor_answers_in_binary_to_simple_queries() {
    everywhere(async |c| {
        c.query("begin; declare c binary cursor for select 7::int as n").await;
        let lines = c.query("fetch c").await;
        assert_eq!(lines, ["Columns n:23b", "Row \\x00000007", "Complete FETCH 1", "Ready T"]);
        c.query("rollback").await;
    })
    .await;
}
