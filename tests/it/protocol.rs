//! The protocol message by message: what is answered, in which order, and what state it leaves.
//!
//! Conversations that name no table are held with a real PostgreSQL too, where one is installed: the expectations are
//! PostgreSQL's own.

use std::time::Duration;

use crate::postgres::everywhere;
use crate::raw::{
    Client, Login, Message, bind, bind_with, close, describe, execute, flush, message, parse, query, request, run,
    startup_packet, sync,
};
use crate::serving::shared;

async fn mesh() -> Client {
    Client::connect(shared().address, "sales_analyst").await
}

#[tokio::test]
async fn one_simple_query() {
    everywhere(async |c| {
        assert_eq!(
            c.query("select 1::int as a, null::text as b, 'x' as c").await,
            ["Columns a:23 b:25 c:25", "Row 1|~|x", "Complete SELECT 1", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn an_empty_query_is_answered_as_such() {
    everywhere(async |c| {
        for nothing in ["", " ", ";", ";;", "-- nothing", "/* nothing */ ;"] {
            assert_eq!(c.query(nothing).await, ["EmptyQuery", "Ready I"], "{nothing:?}");
        }
        assert_eq!(
            c.say(&[
                parse("", "", &[]),
                bind("", "", &[]),
                describe(b'S', ""),
                describe(b'P', ""),
                execute("", 0),
                sync()
            ])
            .await,
            ["ParseComplete", "BindComplete", "Parameters", "NoData", "NoData", "EmptyQuery", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn an_error_ends_a_simple_query_of_several_statements() {
    everywhere(async |c| {
        assert_eq!(
            c.query("select 'x' as a; select 'y' as b; show nothing_like_it; select 'z' as d").await,
            [
                "Columns a:25",
                "Row x",
                "Complete SELECT 1",
                "Columns b:25",
                "Row y",
                "Complete SELECT 1",
                "Error 42704 unrecognized configuration parameter \"nothing_like_it\"",
                "Ready I"
            ]
        );
        assert_eq!(c.query("select 'z' as d").await, ["Columns d:25", "Row z", "Complete SELECT 1", "Ready I"]);
        // a syntax error anywhere is found before anything runs
        let lines = c.query("select 1; selekt 2").await;
        assert!(lines.len() == 2 && lines[0].starts_with("Error 42601 "), "{lines:?}");
    })
    .await;
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    everywhere(async |c| {
        let mut pipeline: Vec<_> = (0..5).map(|n| run(&format!("select {n} as n"))).collect();
        pipeline.push(sync());
        let mut expected: Vec<String> = Vec::new();
        for n in 0..5 {
            expected.extend(["ParseComplete".to_owned(), "BindComplete".to_owned()]);
            expected.extend([format!("Row {n}"), "Complete SELECT 1".to_owned()]);
        }
        expected.push("Ready I".to_owned());
        assert_eq!(c.say(&pipeline).await, expected);
    })
    .await;
}

#[tokio::test]
async fn after_an_error_everything_is_ignored_until_sync() {
    everywhere(async |c| {
        c.send(
            &[
                run("select 1 as a"),
                run("select current_setting('not.there')"),
                run("select 2 as c"),
                // not even what would be an error is looked at
                bind("", "nothing of this name", &[]),
                close(b'S', ""),
                flush(),
                sync(),
                run("select 3 as d"),
                sync(),
            ]
            .concat(),
        )
        .await;
        assert_eq!(
            c.lines().await,
            [
                "ParseComplete",
                "BindComplete",
                "Row 1",
                "Complete SELECT 1",
                "ParseComplete",
                "BindComplete",
                "Error 42704 unrecognized configuration parameter \"not.there\"",
                "Ready I"
            ]
        );
        assert_eq!(c.lines().await, ["ParseComplete", "BindComplete", "Row 3", "Complete SELECT 1", "Ready I"]);
    })
    .await;
}

#[tokio::test]
async fn simple_queries_are_ignored_until_sync_too() {
    everywhere(async |c| {
        c.send(&[bind("", "nothing of this name", &[]), query("select 'x' as a"), sync()].concat()).await;
        assert_eq!(
            c.lines().await,
            ["Error 26000 prepared statement \"nothing of this name\" does not exist", "Ready I"]
        );
        assert_eq!(c.rows("select 'y'").await, ["y"]);
    })
    .await;
}

#[tokio::test]
async fn ready_tells_the_state_of_the_transaction() {
    everywhere(async |c| {
        assert_eq!(c.query("begin").await, ["Complete BEGIN", "Ready T"]);
        assert_eq!(c.query("select 1/0").await.last().unwrap(), "Ready E");
        let aborted = "Error 25P02 current transaction is aborted, commands ignored until end of transaction block";
        assert_eq!(c.query("select 1").await, [aborted, "Ready E"]);
        assert_eq!(c.say(&[parse("", "select 1", &[]), sync()]).await, [aborted, "Ready E"]);
        assert_eq!(c.query("show work_mem").await, [aborted, "Ready E"]);
        // a failed transaction cannot be committed
        assert_eq!(c.query("commit").await, ["Complete ROLLBACK", "Ready I"]);
        assert_eq!(c.query("start transaction").await, ["Complete START TRANSACTION", "Ready T"]);
        assert_eq!(c.query("end").await, ["Complete COMMIT", "Ready I"]);
        assert_eq!(c.query("begin; select 1 as a; rollback").await.last().unwrap(), "Ready I");
        assert_eq!(c.query("begin").await.last().unwrap(), "Ready T");
        assert_eq!(c.query("abort").await, ["Complete ROLLBACK", "Ready I"]);
        assert_eq!(c.say(&[run("begin"), sync()]).await.last().unwrap(), "Ready T");
        assert_eq!(c.say(&[run("rollback"), sync()]).await.last().unwrap(), "Ready I");
    })
    .await;
}

#[tokio::test]
async fn transactions_out_of_place_are_warned_about() {
    everywhere(async |c| {
        assert_eq!(
            c.query("commit").await,
            ["Notice WARNING 25P01 there is no transaction in progress", "Complete COMMIT", "Ready I"]
        );
        assert_eq!(
            c.query("rollback").await,
            ["Notice WARNING 25P01 there is no transaction in progress", "Complete ROLLBACK", "Ready I"]
        );
        c.query("begin").await;
        assert_eq!(
            c.query("begin").await,
            ["Notice WARNING 25001 there is already a transaction in progress", "Complete BEGIN", "Ready T"]
        );
        c.query("rollback").await;
        assert_eq!(
            c.query("set local statement_timeout = 5").await,
            ["Notice WARNING 25P01 SET LOCAL can only be used in transaction blocks", "Complete SET", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn savepoints_bring_a_failed_transaction_back() {
    everywhere(async |c| {
        assert_eq!(
            c.query("savepoint a").await,
            ["Error 25P01 SAVEPOINT can only be used in transaction blocks", "Ready I"]
        );
        c.query("begin").await;
        assert_eq!(c.query("savepoint a").await, ["Complete SAVEPOINT", "Ready T"]);
        c.query("set local extra_float_digits = 3").await;
        assert_eq!(c.query("select 1/0").await.last().unwrap(), "Ready E");
        assert_eq!(c.query("rollback to savepoint a").await, ["Complete ROLLBACK", "Ready T"]);
        assert_eq!(c.rows("show extra_float_digits").await, ["1"]);
        assert_eq!(c.query("release a").await, ["Complete RELEASE", "Ready T"]);
        assert_eq!(c.query("rollback to a").await, ["Error 3B001 savepoint \"a\" does not exist", "Ready E"]);
        c.query("rollback").await;
        assert_eq!(
            c.query("rollback to a").await,
            ["Error 25P01 ROLLBACK TO SAVEPOINT can only be used in transaction blocks", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn prepared_statements_have_names() {
    everywhere(async |c| {
        assert_eq!(
            c.say(&[
                parse("plus", "select $1::int + $2::int as sum", &[]),
                describe(b'S', "plus"),
                bind("", "plus", &[Some("2"), Some("3")]),
                execute("", 0),
                bind("", "plus", &[Some("4"), None]),
                execute("", 0),
                sync()
            ])
            .await,
            [
                "ParseComplete",
                "Parameters 23 23",
                "Columns sum:23",
                "BindComplete",
                "Row 5",
                "Complete SELECT 1",
                "BindComplete",
                "Row ~",
                "Complete SELECT 1",
                "Ready I"
            ]
        );
        assert_eq!(
            c.say(&[parse("plus", "select 1", &[]), sync()]).await,
            ["Error 42P05 prepared statement \"plus\" already exists", "Ready I"]
        );
        assert_eq!(c.query("deallocate plus").await, ["Complete DEALLOCATE", "Ready I"]);
        assert_eq!(
            c.query("deallocate plus").await,
            ["Error 26000 prepared statement \"plus\" does not exist", "Ready I"]
        );
        assert_eq!(
            c.say(&[bind("", "plus", &[]), sync()]).await,
            ["Error 26000 prepared statement \"plus\" does not exist", "Ready I"]
        );
        // the unnamed one is replaced without a word, and gone after a simple query
        c.say(&[parse("", "select 1 as a", &[]), parse("", "select 2 as b", &[]), sync()]).await;
        assert_eq!(
            c.say(&[bind("", "", &[]), execute("", 0), sync()]).await,
            ["BindComplete", "Row 2", "Complete SELECT 1", "Ready I"]
        );
        c.query("select 3").await;
        assert_eq!(
            c.say(&[bind("", "", &[]), sync()]).await,
            ["Error 26000 unnamed prepared statement does not exist", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn deallocate_and_discard_forget_statements() {
    everywhere(async |c| {
        for (forget, tag) in [
            ("deallocate all", "DEALLOCATE ALL"),
            ("discard all", "DISCARD ALL"),
            ("deallocate prepare s", "DEALLOCATE"),
        ] {
            c.say(&[parse("s", "select 1", &[]), sync()]).await;
            let lines = c.query(forget).await;
            assert!(lines.contains(&format!("Complete {tag}")), "{lines:?}");
            let lines = c.say(&[describe(b'S', "s"), sync()]).await;
            assert_eq!(lines, ["Error 26000 prepared statement \"s\" does not exist", "Ready I"], "{forget}");
        }
        c.query("set extra_float_digits = 3").await;
        c.query("discard all").await;
        assert_eq!(c.rows("show extra_float_digits").await, ["1"]);
        c.query("begin").await;
        assert_eq!(
            c.query("discard all").await,
            ["Error 25001 DISCARD ALL cannot run inside a transaction block", "Ready E"]
        );
        c.query("rollback").await;
        for (what, tag) in [("plans", "PLANS"), ("sequences", "SEQUENCES"), ("temp", "TEMP")] {
            assert_eq!(
                c.query(&format!("discard {what}")).await,
                [format!("Complete DISCARD {tag}"), "Ready I".into()]
            );
        }
    })
    .await;
}

#[tokio::test]
async fn statements_and_portals_are_described() {
    everywhere(async |c| {
        assert_eq!(
            c.say(&[
                parse("s", "select $1::bigint as a, $2 as b, true as c", &[0, 25]),
                describe(b'S', "s"),
                bind_with("p", "s", &[], &[Some(b"1"), Some(b"x")], &[1, 0, 1]),
                describe(b'P', "p"),
                execute("p", 0),
                sync()
            ])
            .await,
            [
                "ParseComplete",
                "Parameters 20 25",
                "Columns a:20 b:25 c:16",
                "BindComplete",
                "Columns a:20b b:25 c:16b",
                "Row \\x0000000000000001|x|\\x01",
                "Complete SELECT 1",
                "Ready I"
            ]
        );
        assert_eq!(
            c.say(&[parse("c", "begin", &[]), describe(b'S', "c"), bind("", "c", &[]), describe(b'P', ""), sync()])
                .await,
            ["ParseComplete", "Parameters", "NoData", "BindComplete", "NoData", "Ready I"]
        );
        assert_eq!(
            c.say(&[parse("v", "show TimeZone", &[]), describe(b'S', "v"), sync()]).await,
            ["ParseComplete", "Parameters", "Columns TimeZone:25", "Ready I"]
        );
        assert_eq!(
            c.say(&[describe(b'P', "nope"), sync()]).await,
            ["Error 34000 portal \"nope\" does not exist", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn bind_must_fit_its_statement() {
    everywhere(async |c| {
        c.say(&[parse("s", "select $1::int as a", &[]), sync()]).await;
        assert_eq!(
            c.say(&[bind("", "s", &[]), sync()]).await,
            ["Error 08P01 bind message supplies 0 parameters, but prepared statement \"s\" requires 1", "Ready I"]
        );
        assert_eq!(
            c.say(&[bind_with("", "s", &[0, 0], &[Some(b"1")], &[]), sync()]).await,
            ["Error 08P01 bind message has 2 parameter formats but 1 parameters", "Ready I"]
        );
        assert_eq!(
            c.say(&[bind_with("", "s", &[], &[Some(b"1")], &[0, 0]), sync()]).await,
            ["Error 08P01 bind message has 2 result formats but query has 1 columns", "Ready I"]
        );
        assert_eq!(
            c.say(&[bind_with("", "s", &[7], &[Some(b"1")], &[]), sync()]).await,
            ["Error 22023 unsupported format code: 7", "Ready I"]
        );
        assert_eq!(
            c.say(&[bind("", "s", &[Some("x")]), sync()]).await,
            ["Error 22P02 invalid input syntax for type integer: \"x\"", "Ready I"]
        );
        let lines = c.say(&[bind_with("", "s", &[1], &[Some(b"123")], &[]), sync()]).await;
        assert!(lines[0].starts_with("Error ") && lines.len() == 2, "{lines:?}");
        assert_eq!(
            c.say(&[parse("", "select 1; select 2", &[]), sync()]).await,
            ["Error 42601 cannot insert multiple commands into a prepared statement", "Ready I"]
        );
        // and all of that did the statement no harm
        assert_eq!(
            c.say(&[bind("", "s", &[Some("8")]), execute("", 0), sync()]).await,
            ["BindComplete", "Row 8", "Complete SELECT 1", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn unknown_result_formats_are_refused() {
    everywhere(async |c| {
        c.say(&[parse("s", "select 1 as a", &[]), sync()]).await;
        let lines = c.say(&[bind_with("", "s", &[], &[], &[9]), execute("", 0), sync()]).await;
        let lines: Vec<_> = lines.into_iter().filter(|line| line != "BindComplete").collect();
        assert_eq!(lines, ["Error 22023 unsupported format code: 9", "Ready I"]);
    })
    .await;
}

#[tokio::test]
async fn flush_brings_answers_before_sync() {
    everywhere(async |c| {
        c.send(&[parse("", "select 1 as a", &[]), flush()].concat()).await;
        assert_eq!(c.receive().await.unwrap().line(), "ParseComplete");
        c.send(&[bind("", "", &[]), execute("", 0), flush()].concat()).await;
        for expected in ["BindComplete", "Row 1", "Complete SELECT 1"] {
            assert_eq!(c.receive().await.unwrap().line(), expected);
        }
        assert!(c.is_silent(Duration::from_millis(50)).await, "ReadyForQuery comes with Sync alone");
        assert_eq!(c.say(&[sync()]).await, ["Ready I"]);
    })
    .await;
}

#[tokio::test]
async fn copy_messages_outside_of_copy_are_ignored() {
    everywhere(async |c| {
        let copy = [message(b'd', b"1\t2\n"), message(b'c', b""), message(b'f', b"why\0")].concat();
        assert_eq!(
            c.say(&[copy, query("select 'x' as a")]).await,
            ["Columns a:25", "Row x", "Complete SELECT 1", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn settings_are_set_shown_and_reset() {
    everywhere(async |c| {
        assert_eq!(c.query("set extra_float_digits = 2").await, ["Complete SET", "Ready I"]);
        assert_eq!(
            c.query("show extra_float_digits").await,
            ["Columns extra_float_digits:25", "Row 2", "Complete SHOW", "Ready I"]
        );
        assert_eq!(c.query("reset extra_float_digits").await, ["Complete RESET", "Ready I"]);
        assert_eq!(c.rows("show extra_float_digits").await, ["1"]);
        c.query("set statement_timeout = '2min'").await;
        assert_eq!(c.rows("show statement_timeout").await, ["2min"]);
        assert_eq!(c.rows("select current_setting('statement_timeout')").await, ["2min"]);
        c.query("set statement_timeout to default").await;
        assert_eq!(c.rows("show statement_timeout").await, ["0"]);
        c.query("set my.own = 'thing'").await;
        assert_eq!(c.rows("show my.own").await, ["thing"]);
        assert_eq!(
            c.rows("show nothing_like_it").await,
            ["Error 42704 unrecognized configuration parameter \"nothing_like_it\""]
        );
        assert_eq!(
            c.rows("set nothing_like_it = 1").await,
            ["Error 42704 unrecognized configuration parameter \"nothing_like_it\""]
        );
        assert_eq!(
            c.rows("set extra_float_digits = 99").await,
            ["Error 22023 99 is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)"]
        );
        assert_eq!(
            c.rows("set statement_timeout = 'soon'").await,
            ["Error 22023 invalid value for parameter \"statement_timeout\": \"soon\""]
        );
        assert_eq!(
            c.rows("set server_version = '9'").await,
            ["Error 55P02 parameter \"server_version\" cannot be changed"]
        );
        c.query("set extra_float_digits = 0").await;
        c.query("reset all").await;
        assert_eq!(c.rows("show extra_float_digits").await, ["1"]);
    })
    .await;
}

#[tokio::test]
async fn a_rollback_restores_settings_and_a_commit_keeps_them() {
    everywhere(async |c| {
        c.query("begin; set extra_float_digits = 3; set local statement_timeout = 60000").await;
        assert_eq!(c.rows("show extra_float_digits").await, ["3"]);
        assert_eq!(c.rows("show statement_timeout").await, ["1min"]);
        c.query("rollback").await;
        assert_eq!(c.rows("show extra_float_digits").await, ["1"]);
        assert_eq!(c.rows("show statement_timeout").await, ["0"]);
        c.query("begin; set extra_float_digits = 3; set local statement_timeout = 60000").await;
        c.query("commit").await;
        assert_eq!(c.rows("show extra_float_digits").await, ["3"]);
        assert_eq!(c.rows("show statement_timeout").await, ["0"]);
        // an error rolls back as well
        c.query("begin; set extra_float_digits = 0").await;
        c.query("select 1/0").await;
        c.query("commit").await;
        assert_eq!(c.rows("show extra_float_digits").await, ["3"]);
    })
    .await;
}

#[tokio::test]
async fn set_config_and_current_setting() {
    everywhere(async |c| {
        assert_eq!(c.rows("select set_config('extra_float_digits', '3', false)").await, ["3"]);
        assert_eq!(c.rows("select current_setting('extra_float_digits')").await, ["3"]);
        c.query("begin").await;
        assert_eq!(c.rows("select set_config('extra_float_digits', '0', true)").await, ["0"]);
        c.query("commit").await;
        assert_eq!(c.rows("select current_setting('extra_float_digits')").await, ["3"]);
        // outside of a transaction a local change is over with its statement
        assert_eq!(c.rows("select set_config('extra_float_digits', '2', true)").await, ["2"]);
        assert_eq!(c.rows("show extra_float_digits").await, ["3"]);
        assert_eq!(c.rows("select current_setting('not.there', true)").await, ["~"]);
        assert_eq!(
            c.rows("select current_setting('not.there')").await,
            ["Error 42704 unrecognized configuration parameter \"not.there\""]
        );
    })
    .await;
}

#[tokio::test]
async fn changed_settings_are_reported() {
    everywhere(async |c| {
        assert_eq!(
            c.query("set timezone = 'Asia/Tokyo'").await,
            ["Complete SET", "Parameter TimeZone=Asia/Tokyo", "Ready I"]
        );
        assert_eq!(
            c.query("set application_name = 'probe'").await,
            ["Complete SET", "Parameter application_name=probe", "Ready I"]
        );
        // the same again is no news
        assert_eq!(c.query("set application_name = 'probe'").await, ["Complete SET", "Ready I"]);
        c.query("begin").await;
        assert_eq!(
            c.query("set local timezone = 'Europe/Berlin'").await,
            ["Complete SET", "Parameter TimeZone=Europe/Berlin", "Ready T"]
        );
        assert_eq!(c.query("rollback").await, ["Complete ROLLBACK", "Parameter TimeZone=Asia/Tokyo", "Ready I"]);
        assert_eq!(
            c.say(&[run("set application_name = 'other'"), sync()]).await,
            ["ParseComplete", "BindComplete", "Complete SET", "Parameter application_name=other", "Ready I"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_session_begins_with_what_it_asked_for() {
    let options = [("application_name", "probe"), ("options", "-c extra_float_digits=0 --timezone=Asia/Tokyo")];
    let login = Login { options: &options, ..Login::sample("sales_analyst") };
    let mut client = Client::login(shared().address, &login).await.unwrap();
    assert_eq!(client.parameters["application_name"], "probe");
    assert_eq!(client.parameters["TimeZone"], "Asia/Tokyo");
    assert_eq!(client.rows("show extra_float_digits").await, ["0"]);
    for (name, expected) in [
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "off"),
        ("session_authorization", "sales_analyst"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
    ] {
        assert_eq!(client.parameters[name], expected, "{name}");
    }
    assert!(client.parameters["server_version"].starts_with("15."));
    assert_eq!(client.rows("select pg_backend_pid()").await, [client.pid.to_string()]);
    // what a session begins with is what RESET goes back to
    client.query("set timezone = 'UTC'").await;
    client.query("reset timezone").await;
    assert_eq!(client.rows("show timezone").await, ["Asia/Tokyo"]);
}

#[tokio::test]
async fn startup_options_change_nothing_about_identity() {
    for options in [
        [("role", "mesh_admin")],
        [("session_authorization", "mesh_admin")],
        [("options", "-c role=mesh_admin")],
        [("options", "-c session_authorization=mesh_admin")],
    ] {
        let login = Login { options: &options, ..Login::sample("sales_analyst") };
        if let Ok(mut client) = Client::login(shared().address, &login).await {
            assert_eq!(client.rows("select current_user, session_user").await, ["sales_analyst|sales_analyst"]);
        }
    }
    let mut client = mesh().await;
    assert_eq!(client.rows("set role mesh_admin").await, ["Error 42501 permission denied to set role \"mesh_admin\""]);
    assert_eq!(
        client.rows("set session authorization mesh_admin").await,
        ["Error 42501 permission denied to set session authorization \"mesh_admin\""]
    );
    client.query("set my.user = 'mesh_admin'").await;
    assert_eq!(client.query("set role none").await, ["Complete SET", "Ready I"]);
    assert_eq!(client.rows("select current_user, session_user").await, ["sales_analyst|sales_analyst"]);
}

#[tokio::test]
async fn another_database_does_not_exist() {
    let login = Login { database: "postgres", ..Login::sample("sales_analyst") };
    let refused = Client::login(shared().address, &login).await.err().unwrap();
    assert_eq!(refused.line(), "Error 3D000 database \"postgres\" does not exist");
    assert_eq!(refused.field(b'S'), "FATAL");
}

#[tokio::test]
async fn function_calls_are_refused_and_the_session_goes_on() {
    let mut client = mesh().await;
    let call = message(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.say(&[call]).await, ["Error 0A000 the function call protocol is not supported", "Ready I"]);
    assert_eq!(client.rows("select 1").await, ["1"]);
}

#[tokio::test]
async fn newer_protocols_are_negotiated() {
    // PostgreSQL documents the minor version alone; its servers send, and its clients read, the whole one
    const PROTOCOL_3: i32 = 3 << 16;
    let login = |minor| Login { minor, ..Login::sample("sales_analyst") };
    let plain = Client::login(shared().address, &login(0)).await.unwrap();
    assert_eq!((plain.negotiated, plain.secret.len()), (None, 4));
    let newer = Client::login(shared().address, &login(2)).await.unwrap();
    assert_eq!((newer.negotiated, newer.secret.len()), (None, 32));
    let newest = Client::login(shared().address, &login(9)).await.unwrap();
    assert_eq!((newest.negotiated, newest.secret.len()), (Some((PROTOCOL_3 + 2, Vec::new())), 32));
    let options = [("_pq_.novelty", "1")];
    let extended = Client::login(shared().address, &Login { options: &options, ..login(0) }).await.unwrap();
    assert_eq!(extended.negotiated, Some((PROTOCOL_3, vec!["_pq_.novelty".to_owned()])));
}

#[tokio::test]
async fn other_major_versions_are_refused() {
    for version in [2 << 16, 4 << 16] {
        let mut client = Client::bare(shared().address).await;
        client.send(&crate::raw::prefixed(&[i32::to_be_bytes(version).as_slice(), b"user\0x\0\0"].concat())).await;
        let refused = client.receive().await.unwrap();
        assert!(refused.line().starts_with("Error 0A000 unsupported frontend protocol"), "{}", refused.line());
        assert!(client.receive().await.is_none());
    }
}

#[tokio::test]
async fn encryption_that_is_not_there_is_declined() {
    const GSS: i32 = 80_877_104;
    const SSL: i32 = 80_877_103;
    for codes in [&[GSS][..], &[SSL], &[GSS, SSL]] {
        let mut client = Client::bare(shared().address).await;
        for code in codes {
            client.send(&request(*code)).await;
            let mut answer = [0];
            tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut answer).await.unwrap();
            assert_eq!(answer, *b"N", "{codes:?}");
        }
        client.startup(&Login::sample("sales_analyst")).await.unwrap();
        assert_eq!(client.rows("select 1").await, ["1"]);
    }
    let mut endless = Client::bare(shared().address).await;
    endless.send(&request(GSS).repeat(5)).await;
    let mut answers = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut endless.stream, &mut answers).await.unwrap();
    assert!(answers.starts_with(b"NNE"), "{answers:?}");
}

#[tokio::test]
async fn terminate_ends_the_connection() {
    everywhere(async |c| {
        c.send(&message(b'X', &[])).await;
        assert!(c.receive().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn errors_say_where_and_what_to_do() {
    let mut client = mesh().await;
    client.send(&query("select  nothing.x from sales.orders")).await;
    let error = client.receive().await.unwrap();
    assert_eq!((error.field(b'S'), error.field(b'V')), ("ERROR".to_owned(), "ERROR".to_owned()));
    client.lines().await;
    client.send(&query("select * from\n  sales.nothing")).await;
    let error: Message = client.receive().await.unwrap();
    assert_eq!(error.line(), "Error 42P01 relation \"sales.nothing\" does not exist");
    assert_eq!(error.field(b'P'), "17");
    client.lines().await;
}

#[tokio::test]
async fn a_startup_message_without_a_user_is_refused() {
    let mut client = Client::bare(shared().address).await;
    client.send(&startup_packet(0, &[("database", "mesh")])).await;
    assert_eq!(
        client.receive().await.unwrap().line(),
        "Error 28000 no PostgreSQL user name specified in startup packet"
    );
}
