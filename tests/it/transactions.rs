//! Transactions without BEGIN: one for each simple query and for each pipeline up to its Sync. And what a session may keep.
//!
//! Conversations that name no table are held with a real PostgreSQL too, where one is installed.

use std::time::Duration;

use datafusion::arrow::compute::concat_batches;
use datafusion::prelude::SessionContext;
use deltalake::protocol::SaveMode;
use url::Url;

use crate::postgres::everywhere;
use crate::raw::{Client, bind, close, execute, flush, parse, query, run, sync};
use crate::serving::{Serving, config, eventually, repository, shared};

fn rows(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("Row ")).collect()
}

#[tokio::test]
async fn one_query_or_pipeline_sees_one_time() {
    everywhere(async |c| {
        let lines = c.query("select now(); select now()").await;
        let [first, second] = rows(&lines)[..] else { panic!("{lines:?}") };
        assert_eq!(first, second);
        let later = c.rows("select now()").await;
        assert_ne!(later, [first], "the next query begins anew");
        // the server sees the parts apart, and still they are one pipeline
        c.send(&[run("select now()"), flush()].concat()).await;
        let mut heard = Vec::new();
        while heard.last().is_none_or(|line: &String| !line.starts_with("Complete")) {
            heard.push(c.receive().await.unwrap().line());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        heard.extend(c.say(&[run("select now()"), sync()]).await);
        let [first, second] = rows(&heard)[..] else { panic!("{heard:?}") };
        assert_eq!(first, second);
        let lines = c.say(&[run("select now()"), sync()]).await;
        assert_ne!(rows(&lines), [first]);
        // BEGIN goes on with the transaction that runs; one after COMMIT starts when the query came, too
        let lines = c.query("select now(); begin; select now(); commit; select now()").await;
        let [before, inside, after] = rows(&lines)[..] else { panic!("{lines:?}") };
        assert_eq!((before, inside), (inside, after));
        // in a pipeline it starts with its first message
        let pipeline = [run("begin"), run("select now()"), run("commit"), flush()];
        c.send(&pipeline.concat()).await;
        let mut heard = Vec::new();
        while heard.last().is_none_or(|line: &String| line != "Complete COMMIT") {
            heard.push(c.receive().await.unwrap().line());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        heard.extend(c.say(&[run("select now()"), sync()]).await);
        let [inside, after] = rows(&heard)[..] else { panic!("{heard:?}") };
        assert_ne!(inside, after);
    })
    .await;
}

#[tokio::test]
async fn an_error_undoes_settings_of_the_same_implicit_transaction() {
    const SHOW: &str = "show extra_float_digits";
    everywhere(async |c| {
        c.query("set extra_float_digits = 3; select 1/0").await;
        assert_eq!(c.rows(SHOW).await, ["1"]);
        c.say(&[run("set extra_float_digits = 3"), run("select 1/0"), sync()]).await;
        assert_eq!(c.rows(SHOW).await, ["1"]);
        // what an explicit COMMIT kept stays, in both protocols
        c.query("begin; set extra_float_digits = 3; commit; set extra_float_digits = 0; select 1/0").await;
        assert_eq!(c.rows(SHOW).await, ["3"]);
        let pipeline = [run("begin"), run("set extra_float_digits = 2"), run("commit")];
        let then = [run("set extra_float_digits = 0"), run("select 1/0"), sync()];
        c.say(&[pipeline.concat(), then.concat()]).await;
        assert_eq!(c.rows(SHOW).await, ["2"]);
        // a Sync commits
        c.say(&[run("set extra_float_digits = 0"), sync(), run("select 1/0"), sync()]).await;
        c.lines().await;
        assert_eq!(c.rows(SHOW).await, ["0"]);
        // without BEGIN they end the implicit transaction, with a warning
        let warning = "Notice WARNING 25P01 there is no transaction in progress";
        let lines = c.query("set extra_float_digits = 1; commit; select 1/0").await;
        assert_eq!(lines[..3], ["Complete SET", warning, "Complete COMMIT"]);
        assert_eq!(c.rows(SHOW).await, ["1"]);
        let lines = c.query("set extra_float_digits = 3; rollback; set statement_timeout = 5000").await;
        assert_eq!(lines, ["Complete SET", warning, "Complete ROLLBACK", "Complete SET", "Ready I"]);
        assert_eq!((c.rows(SHOW).await, c.rows("show statement_timeout").await), (vec!["1".into()], vec!["5s".into()]));
        // BEGIN takes what ran before it into its block
        assert_eq!(c.query("set extra_float_digits = 3; begin").await.last().unwrap(), "Ready T");
        assert_eq!(c.rows(SHOW).await, ["3"]);
        c.query("rollback").await;
        assert_eq!(c.rows(SHOW).await, ["1"]);
    })
    .await;
}

#[tokio::test]
async fn several_statements_are_a_block() {
    everywhere(async |c| {
        let lines = c.query("set local extra_float_digits = 3; show extra_float_digits").await;
        assert_eq!((lines[0].as_str(), rows(&lines)), ("Complete SET", vec!["3"]));
        assert_eq!(c.rows("show extra_float_digits").await, ["1"]);
        c.query("set extra_float_digits = 3").await;
        let lines = c.query("set local extra_float_digits to default; show extra_float_digits").await;
        assert_eq!(rows(&lines), ["1"]);
        assert_eq!(c.rows("show extra_float_digits").await, ["3"]);
        let lines = c.query("declare c cursor for values (1), (2); fetch 1 from c").await;
        assert_eq!((lines[0].as_str(), rows(&lines)), ("Complete DECLARE CURSOR", vec!["1"]));
        assert_eq!(c.rows("fetch 1 from c").await, ["Error 34000 cursor \"c\" does not exist"]);
        assert_eq!(
            c.rows("declare c cursor for values (1)").await,
            ["Error 25P01 DECLARE CURSOR can only be used in transaction blocks"]
        );
        for (sql, refused) in [
            ("select 1 where false; savepoint a", "Error 25P01 SAVEPOINT can only be used in transaction blocks"),
            ("select 1 where false; discard all", "Error 25001 DISCARD ALL cannot run inside a transaction block"),
            ("commit and chain", "Error 25P01 COMMIT AND CHAIN can only be used in transaction blocks"),
            ("rollback and chain", "Error 25P01 ROLLBACK AND CHAIN can only be used in transaction blocks"),
        ] {
            assert_eq!(c.rows(sql).await, [refused], "{sql}");
        }
        c.query("begin; set extra_float_digits = 0; commit and chain").await;
        assert_eq!(c.query("rollback").await, ["Complete ROLLBACK", "Ready I"]);
        assert_eq!(c.rows("show extra_float_digits").await, ["0"]);
    })
    .await;
}

#[tokio::test]
async fn one_pipeline_reads_one_version_and_the_next_a_fresh_one() {
    const COUNT: &str = "select count(*) from sales.orders";
    let folder = tempfile::tempdir().unwrap();
    for part in ["catalog", "sample_data"] {
        let copied =
            std::process::Command::new("cp").arg("-r").arg(repository().join(part)).arg(folder.path()).status();
        assert!(copied.unwrap().success());
    }
    let mut options = config();
    options.common.catalog = folder.path().join("catalog");
    let server = Serving::start(options);
    let mut pinned = Client::connect(server.address, "sales_analyst").await;
    pinned.send(&[run(COUNT), flush()].concat()).await;
    while pinned.receive().await.unwrap().line() != "Complete SELECT 1" {}

    let url = Url::from_directory_path(folder.path().join("sample_data/sales/orders")).unwrap();
    let table = deltalake::open_table(url).await.unwrap();
    let frame = SessionContext::new().read_table(table.table_provider().await.unwrap()).unwrap();
    let batches = frame.limit(0, Some(10)).unwrap().collect().await.unwrap();
    let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
    table.write(vec![batch]).with_save_mode(SaveMode::Append).await.unwrap();

    eventually("the new version", || async {
        let rows = Client::connect(server.address, "sales_analyst").await.rows(COUNT).await;
        (rows == ["6010"]).then_some(())
    })
    .await;
    let lines = pinned.say(&[run(COUNT), sync()]).await;
    assert_eq!(rows(&lines), ["6000"], "the pipeline began before the commit");
    let lines = pinned.query(&format!("{COUNT}; {COUNT}")).await;
    assert_eq!(rows(&lines), ["6010", "6010"]);
}

#[tokio::test]
async fn the_engines_settings_are_nobodys() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    let refused = "Error 42704 unrecognized configuration parameter \"datafusion.execution.batch_size\"";
    for sql in [
        "set datafusion.execution.batch_size = 1",
        "set local datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "show datafusion.execution.batch_size",
        "select set_config('datafusion.execution.batch_size', '1', false)",
        "select current_setting('datafusion.execution.batch_size')",
    ] {
        assert_eq!(client.rows(sql).await, [refused], "{sql}");
    }
}

#[tokio::test]
async fn a_customized_option_set_after_set_local_is_kept() {
    everywhere(async |c| {
        c.query("begin; set local my.own = 'local'; set my.own = 'kept'; commit").await;
        assert_eq!(c.rows("show my.own").await, ["kept"]);
    })
    .await;
}

/// 24 MiB: two fit into what a session may keep, three do not.
const LARGE: usize = 24 << 20;
const FULL: &str = "Error 53400 a session may keep 64 MiB";

#[tokio::test]
async fn prepared_statements_are_bounded_in_bytes() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    let text = format!("select 1 /* {} */", "x".repeat(LARGE));
    for name in ["a", "b"] {
        assert_eq!(client.say(&[parse(name, &text, &[]), sync()]).await, ["ParseComplete", "Ready I"]);
    }
    assert_eq!(client.say(&[parse("c", &text, &[]), sync()]).await, [FULL, "Ready I"]);
    // one that goes makes room
    assert_eq!(client.say(&[close(b'S', "a"), sync()]).await, ["CloseComplete", "Ready I"]);
    assert_eq!(client.say(&[parse("c", &text, &[]), sync()]).await, ["ParseComplete", "Ready I"]);
    client.query("deallocate all").await;
    // the unnamed statement makes room for its successor
    for _ in 0..4 {
        assert_eq!(client.say(&[parse("", &text, &[]), sync()]).await, ["ParseComplete", "Ready I"]);
    }
}

#[tokio::test]
async fn portals_parameters_are_bounded_in_bytes() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    let value = "x".repeat(LARGE);
    client.say(&[parse("s", "select length($1::text)", &[25]), sync()]).await;
    let two = [bind("a", "s", &[Some(&value)]), bind("b", "s", &[Some(&value)])].concat();
    let lines = client.say(&[two, bind("c", "s", &[Some(&value)]), sync()]).await;
    assert_eq!(lines, ["BindComplete", "BindComplete", FULL, "Ready I"]);
    // Sync closed them all, and the unnamed portal makes room for its successor
    for _ in 0..2 {
        let pair = [bind("", "s", &[Some(&value)]), execute("", 0), bind("", "s", &[Some(&value)]), execute("", 0)];
        let lines = client.say(&[pair.concat(), query("select 1 where false")]).await;
        assert_eq!(rows(&lines), [LARGE.to_string(), LARGE.to_string()]);
    }
}
