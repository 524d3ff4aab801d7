//! COPY TO STDOUT: formats and options byte by byte, as PostgreSQL has them, and long ones that stream.

use std::time::{Duration, Instant};

use crate::postgres::everywhere;
use crate::raw::{self, Client, bind, describe, execute, message, parse, query, sync};
use crate::serving::{PATIENCE, shared};

const ROWS: &str = "(values (1, 'plain', 1.50), (2, e'tab\\there, \"quoted\"', null), (null, e'back\\\\slash\\nline', -0.01), \
                    (4, '', 7), (5, '\\N', 7), (6, '\\.', 7)) as t (a, \"b b\", c)";

#[tokio::test]
async fn every_option_writes_what_postgresql_writes() {
    everywhere(async |c| {
        let mut told = Vec::new();
        for options in [
            "",
            "(header)",
            "(format text, delimiter '|', null 'nothing')",
            "with delimiter as '-' null as ''",
            "csv",
            "with csv header",
            "(format csv, header false, null '4')",
            "(format csv, quote '''', escape 'x')",
            "(format csv, quote '\"', escape '\\')",
            "(format csv, delimiter ';', force_quote *)",
            "(format csv, force_quote (a, \"b b\"))",
            "csv force quote c",
            "(encoding 'UTF8')",
            "(freeze off)",
            "using delimiters ';'",
        ] {
            let sql = format!("copy (select a, \"b b\", c::numeric(10,2) as c from {ROWS}) to stdout {options}");
            if options.starts_with("using") {
                assert!(c.query(&sql).await[0].starts_with("Error 42601"), "only of a table");
                continue;
            }
            let lines = c.query(&sql).await;
            assert_eq!(lines.last().unwrap(), "Ready I", "{sql}: {lines:?}");
            assert_eq!(lines[lines.len() - 2], "Complete COPY 6", "{sql}: {lines:?}");
            told.push(lines);
        }
        assert_eq!(told[0][0], "CopyOut 0 0 0 0");
        assert_eq!(
            told[0][1..4],
            [
                "Data 1\\tplain\\t1.50\\n",
                "Data 2\\ttab\\\\there, \\\"quoted\\\"\\t\\\\N\\n",
                "Data \\\\N\\tback\\\\\\\\slash\\\\nline\\t-0.01\\n"
            ]
        );
        assert_eq!(told[1][1], "Data a\\tb b\\tc\\n");
        assert_eq!(
            told[4][2..7],
            [
                "Data 2,\\\"tab\\there, \\\"\\\"quoted\\\"\\\"\\\",\\n",
                "Data ,\\\"back\\\\slash\\nline\\\",-0.01\\n",
                "Data 4,\\\"\\\",7.00\\n",
                "Data 5,\\\\N,7.00\\n",
                "Data 6,\\\\.,7.00\\n"
            ]
        );
        assert_eq!(told[6][4], "Data \\\"4\\\",,7.00\\n");
        assert_eq!(told[8][2], "Data 2,\\\"tab\\there, \\\\\\\"quoted\\\\\\\"\\\",\\n");
        assert_eq!(told[9][1], "Data \\\"1\\\";\\\"plain\\\";\\\"1.50\\\"\\n");
        // alone on its line it would end the data
        let alone = c.query("copy (values ('\\.')) to stdout csv").await;
        assert_eq!(alone[1], "Data \\\"\\\\.\\\"\\n");
    })
    .await;
}

#[tokio::test]
async fn binary_is_postgresql_s_own() {
    everywhere(async |c| {
        let sql = "copy (select 7::int as a, null::text as b, 'x' as c, true as d, 1.5::float8 as e) to stdout (format binary)";
        let header = "5047434f50590aff0d0a000000000000000000";
        let tuple = "00050000000400000007ffffffff0000000178000000010100000008\
                     3ff8000000000000";
        assert_eq!(c.query(sql).await, [
            "CopyOut 1 1 1 1 1 1",
            &format!("Data \\x{header}{tuple}"),
            "Data \\xffff",
            "CopyDone",
            "Complete COPY 1",
            "Ready I"
        ]);
        let empty = c.query("copy (select 1 where false) to stdout binary").await;
        assert_eq!(empty, [
            "CopyOut 1 1",
            &format!("Data \\x{header}ffff"),
            "CopyDone",
            "Complete COPY 0",
            "Ready I"
        ]);
    })
    .await;
}

#[tokio::test]
async fn it_runs_in_the_extended_protocol_and_once() {
    everywhere(async |c| {
        let messages = [
            parse("", "copy (values (1), (2)) to stdout", &[]),
            describe(b'S', ""),
            bind("", "", &[]),
            describe(b'P', ""),
            execute("", 1),
            execute("", 0),
            sync(),
        ];
        assert_eq!(
            c.say(&messages).await,
            [
                "ParseComplete",
                "Parameters",
                "NoData",
                "BindComplete",
                "NoData",
                "CopyOut 0 0",
                "Data 1\\n",
                "Data 2\\n",
                "CopyDone",
                "Complete COPY 2",
                "Error 55000 portal \"\" cannot be run",
                "Ready I"
            ]
        );
        let parameter = [parse("", "copy (select $1::int) to stdout", &[]), bind("", "", &[]), execute("", 0), sync()];
        let lines = c.say(&parameter).await;
        assert!(lines.contains(&"Error 42P02 there is no parameter $1".to_owned()), "{lines:?}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_as_by_postgresql() {
    everywhere(async |c| {
        for (sql, error) in [
            (
                "copy (select 1) to '/tmp/x'",
                "42501 must be superuser or have privileges of the pg_write_server_files role to COPY to a file",
            ),
            ("copy (select 1) to stdout (format foo)", "22023 COPY format \"foo\" not recognized"),
            ("copy (select 1) to stdout (delimiter 'ab')", "0A000 COPY delimiter must be a single one-byte character"),
            (
                "copy (select 1) to stdout (format binary, delimiter ',')",
                "42601 cannot specify DELIMITER in BINARY mode",
            ),
            ("copy (select 1) to stdout (format binary, null '')", "42601 cannot specify NULL in BINARY mode"),
            ("copy (select 1) to stdout (format binary, header)", "0A000 cannot specify HEADER in BINARY mode"),
            ("copy (select 1) to stdout (header match)", "0A000 cannot use \"match\" with HEADER in COPY TO"),
            ("copy (select 1) to stdout (header 2)", "42601 header requires a Boolean value or \"match\""),
            ("copy (select 1) to stdout (freeze 2)", "42601 freeze requires a Boolean value"),
            ("copy (select 1) to stdout (quote 'a')", "0A000 COPY quote available only in CSV mode"),
            ("copy (select 1) to stdout (escape 'a')", "0A000 COPY escape available only in CSV mode"),
            ("copy (select 1) to stdout (format csv, quote ',')", "22023 COPY delimiter and quote must be different"),
            ("copy (select 1) to stdout (force_quote *)", "0A000 COPY force quote available only in CSV mode"),
            (
                "copy (select 1) to stdout (format csv, force_null (a))",
                "0A000 COPY force null only available using COPY FROM",
            ),
            ("copy (select 1 as a) to stdout (format csv, force_quote (x))", "42703 column \"x\" does not exist"),
            (
                "copy (select 1 as a) to stdout (format csv, force_quote a)",
                "22023 argument to option \"force_quote\" must be a list of column names",
            ),
            (
                "copy (select 1) to stdout (encoding 'foo')",
                "22023 argument to option \"encoding\" must be a valid encoding name",
            ),
            ("copy (select 1) to stdout (foo 1)", "42601 option \"foo\" not recognized"),
            ("copy (select 1) to stdout (format csv, format csv)", "42601 conflicting or redundant options"),
            ("copy (select 1) to stdout (format)", "42601 format requires a parameter"),
            ("copy (select 1) to stdout (delimiter 'a')", "22023 COPY delimiter cannot be \"a\""),
            (
                "copy (select 1) to stdout (null e'\\t')",
                "0A000 COPY delimiter must not appear in the NULL specification",
            ),
            (
                "copy (select 1) to stdout (format csv, null '\"')",
                "0A000 CSV quote character must not appear in the NULL specification",
            ),
            (
                "copy (select 1) to stdout (format csv, delimiter e'\\n')",
                "22023 COPY delimiter cannot be newline or carriage return",
            ),
            ("copy no_such to stdout", "42P01 relation \"no_such\" does not exist"),
        ] {
            let lines = c.query(sql).await;
            // PostgreSQL's own superuser may write files
            if sql.contains("/tmp/x") && lines[0].starts_with("Complete") {
                continue;
            }
            assert_eq!(lines, [format!("Error {error}"), "Ready I".to_owned()], "{sql}");
        }
    })
    .await;
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    let read_only = "Error 25006 cannot execute COPY FROM in a read-only transaction";
    assert_eq!(client.query("copy sales.orders from stdin").await, [read_only, "Ready I"]);
    // a client that sends its data anyway is not misunderstood
    let data = [query("copy sales.orders from stdin"), message(b'd', b"1\tx\n"), message(b'c', b""), query("select 1")];
    client.send(&data.concat()).await;
    assert_eq!(client.lines().await, [read_only, "Ready I"]);
    assert_eq!(client.lines().await, ["Columns ?column?:23", "Row 1", "Complete SELECT 1", "Ready I"]);
}

#[tokio::test]
async fn a_table_is_copied_as_its_reader_sees_it() {
    let mut client = Client::connect(shared().address, "sales_analyst").await;
    let selected = client.rows("select * from sales.customer_360 order by 1").await;
    assert!(selected.len() > 1);
    let copied = client.query("copy sales.customer_360 to stdout (delimiter '|', null '~')").await;
    let mut copied: Vec<_> = copied
        .iter()
        .filter_map(|line| Some(line.strip_prefix("Data ")?.strip_suffix("\\n")?.replace("\\'", "'")))
        .collect();
    copied.sort();
    let mut selected = selected;
    selected.sort();
    assert_eq!(copied, selected);
    let lines = client.query("copy sales.customer_360 (no_such) to stdout").await;
    assert_eq!(lines[0], "Error 42703 column \"no_such\" of relation \"customer_360\" does not exist");
    let hidden = client.query("copy no_schema.no_such to stdout").await;
    assert!(hidden[0].starts_with("Error 42P01"), "{hidden:?}");
    client.query("create temp view v as select 1 as x").await;
    assert_eq!(client.query("copy v to stdout").await[0], "Error 42809 cannot copy from view \"v\"");
    assert_eq!(client.query("copy (select * from v) to stdout").await[1], "Data 1\\n");
}

#[tokio::test]
async fn a_long_copy_streams_and_is_cancelled_within_a_second() {
    let address = shared().address;
    let mut client = Client::connect(address, "sales_analyst").await;
    let (pid, secret) = (client.pid, client.secret.clone());
    for format in ["text", "csv", "binary"] {
        let sql = format!(
            "copy (select value, 'some text' as t from generate_series(1, 10000000) as g (value)) to stdout (format {format})"
        );
        client.send(&query(&sql)).await;
        assert_eq!(client.receive().await.unwrap().kind, b'H');
        for _ in 0..1_000 {
            assert_eq!(client.receive().await.unwrap().kind, b'd');
        }
        let asked = Instant::now();
        raw::cancel(address, pid, &secret).await;
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                let message = client.receive().await.unwrap();
                if message.kind != b'd' {
                    return message.line();
                }
            }
        });
        assert_eq!(ended.await.unwrap(), "Error 57014 canceling statement due to user request");
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(client.lines().await, ["Ready I"]);
    }
    client.query("set statement_timeout = '100ms'").await;
    client.send(&query("copy (select value from generate_series(1, 1000000000) as g (value)) to stdout binary")).await;
    let ended = loop {
        let message = client.receive().await.unwrap();
        if !matches!(message.kind, b'd' | b'H') {
            break message.line();
        }
    };
    assert_eq!(ended, "Error 57014 canceling statement due to statement timeout");
}
