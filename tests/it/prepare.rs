//! PREPARE, EXECUTE and DEALLOCATE, and that Parse knows the same names.

use crate::postgres::everywhere;
use crate::raw::{bind, describe, execute, parse, sync};

#[tokio::test]
async fn prepared_by_sql_and_executed() {
    everywhere(async |c| {
        assert_eq!(
            c.query("prepare p (int, text) as select $2 || $1::text as t").await,
            ["Complete PREPARE", "Ready I"]
        );
        assert_eq!(c.query("execute p (3 + 4, 'x')").await, ["Columns t:25", "Row x7", "Complete SELECT 1", "Ready I"]);
        // what was declared as one type may be given as another that fits
        assert_eq!(c.rows("execute p ('5', upper('y'))").await, ["Y5"]);
        assert_eq!(c.query("prepare q as values ('a'), ('b')").await[0], "Complete PREPARE");
        assert_eq!(
            c.query("execute q").await,
            ["Columns column1:25", "Row a", "Row b", "Complete SELECT 2", "Ready I"]
        );
        assert_eq!(c.rows("prepare r (unknown) as select upper($1); execute r ('z')").await, ["Z"]);
        assert!(c.query("explain execute p (1, 'x')").await.contains(&"Complete EXPLAIN".to_owned()));
        assert_eq!(c.query("deallocate prepare q").await[0], "Complete DEALLOCATE");
        assert_eq!(c.query("deallocate all").await[0], "Complete DEALLOCATE ALL");
        assert_eq!(c.query("execute p (1, 'x')").await[0], "Error 26000 prepared statement \"p\" does not exist");
    })
    .await;
}

#[tokio::test]
async fn the_names_are_shared_with_the_protocol() {
    everywhere(async |c| {
        c.say(&[parse("s", "select upper($1) as u", &[25]), sync()]).await;
        assert_eq!(c.rows("execute s ('a')").await, ["A"]);
        assert_eq!(
            c.query("prepare s as select 1").await,
            ["Error 42P05 prepared statement \"s\" already exists", "Ready I"]
        );
        c.query("prepare t (text) as select lower($1) as l").await;
        let run = [describe(b'S', "t"), bind("", "t", &[Some("B")]), execute("", 0), sync()];
        assert_eq!(
            c.say(&run).await,
            ["Parameters 25", "Columns l:25", "BindComplete", "Row b", "Complete SELECT 1", "Ready I"]
        );
        // EXECUTE is described by what it executes
        let described =
            [parse("", "execute t ('C')", &[]), describe(b'S', ""), bind("", "", &[]), execute("", 0), sync()];
        assert_eq!(
            c.say(&described).await,
            ["ParseComplete", "Parameters", "Columns l:25", "BindComplete", "Row c", "Complete SELECT 1", "Ready I"]
        );
        assert_eq!(c.query("deallocate s").await[0], "Complete DEALLOCATE");
        assert!(c.say(&[bind("", "s", &[Some("x")]), sync()]).await[0].starts_with("Error 26000"));
    })
    .await;
}

#[tokio::test]
async fn what_is_refused() {
    everywhere(async |c| {
        c.query("prepare p (int) as select $1").await;
        for (sql, error) in [
            ("execute nope", "26000 prepared statement \"nope\" does not exist"),
            ("explain execute nope (1)", "26000 prepared statement \"nope\" does not exist"),
            ("deallocate nope", "26000 prepared statement \"nope\" does not exist"),
            ("execute p", "42601 wrong number of parameters for prepared statement \"p\""),
            ("execute p (1, 2)", "42601 wrong number of parameters for prepared statement \"p\""),
            ("prepare p as select 1", "42P05 prepared statement \"p\" already exists"),
            ("execute p ('x')", "22P02 invalid input syntax for type integer: \"x\""),
        ] {
            assert_eq!(c.query(sql).await, [format!("Error {error}"), "Ready I".to_owned()], "{sql}");
        }
        for sql in ["execute p ()", "prepare x as begin", "prepare x (int as select 1", "execute p 1"] {
            let lines = c.query(sql).await;
            assert!(lines[0].starts_with("Error 42601"), "{sql}: {lines:?}");
        }
        c.query("begin; savepoint a").await;
        c.query("execute nope").await;
        assert!(c.query("execute p (1)").await[0].starts_with("Error 25P02"));
        c.query("rollback to a").await;
        assert_eq!(c.rows("execute p (9)").await, ["9"]);
        c.query("rollback").await;
    })
    .await;
}

#[tokio::test]
async fn what_is_open_is_listed() {
    everywhere(async |c| {
        c.query("prepare p (int, text) as select $1, $2").await;
        c.say(&[parse("q", "select upper($1)", &[25]), sync()]).await;
        let listed = "select name, from_sql, array_length(parameter_types, 1), statement like 'prepare p%' from pg_prepared_statements \
                      order by name";
        assert_eq!(c.rows(listed).await, ["p|t|2|t", "q|f|1|f"]);
        c.query("deallocate p").await;
        c.query("begin; declare c scroll cursor with hold for select 1; declare d no scroll binary cursor for select 2").await;
        let open = "select name, is_holdable, is_binary, is_scrollable from pg_cursors order by name";
        assert_eq!(c.rows(open).await, ["c|t|f|t", "d|f|t|f"]);
        c.query("commit").await;
        assert_eq!(c.rows(open).await, ["c|t|f|t"]);
        c.query("discard all").await;
        assert_eq!(c.rows("select name from pg_prepared_statements union all select name from pg_cursors").await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_executes_itself_ends() {
    let mut client = crate::raw::Client::connect(crate::serving::shared().address, "sales_analyst").await;
    client.say(&[parse("a", "execute a", &[]), sync()]).await;
    assert!(client.query("execute a").await[0].starts_with("Error 0A000"));
}
