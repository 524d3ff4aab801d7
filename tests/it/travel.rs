//! Tables at other times over the wire: what a principal who reads the whole table sees, what one sees behind a row filter
//! and a mask, and what those hear who may not read at all.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use deltalake::kernel::{DataType, PrimitiveType};
use deltalake::operations::write::SchemaMode;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder};
use tempfile::TempDir;
use url::Url;

use crate::raw::{Client, Stream, bind, execute, parse, sync};
use crate::serving::{Serving, config, eventually, repository, shared};

/// Reads the whole table, as a member of its domain.
const WHOLE: &str = "sales_analyst";
/// Reads the rows of one region, without the addresses.
const FILTERED: &str = "data_scientist";
/// Reads the rows of one tier, a column that only the newest version has.
const TIER: &str = "finance_analyst";
/// May know of the product, and not read it.
const DISCOVERS: &str = "marketing_analyst";

const POLICY: &str = "name: shared-deals
description: Data scientists read the deals of Europe
decisionRules:
  - effect: Permit
    rowFilter: \"region = 'EU'\"
    masks: [{column: email, using: 'null'}, {column: tier, using: 'null'}]
    dnfCondition:
      - - attributeName: resource.product
          attributeValueIncludes: sales.deals
        - attributeName: principal.group
          attributeValueIncludes: data-science
  - effect: Permit
    rowFilter: \"tier = 'gold'\"
    dnfCondition:
      - - attributeName: resource.product
          attributeValueIncludes: sales.deals
        - attributeName: principal.group
          attributeValueIncludes: finance
";

fn contract(domain: &str, name: &str, discoverable: &str) -> String {
    format!(
        "apiVersion: datamesh.azure.com/v1
kind: DataProduct
metadata: {{name: {name}, domain: {domain}, owner: {domain}@company.com}}
spec:
  description: d
  schema:
    - {{name: id, type: integer}}
    - {{name: region, type: string, physical_type: character varying(8)}}
    - {{name: email, type: string}}
  outputs:
    - {{name: {name}_delta, format: delta, location: data/{name}}}
  governance:
    access_policy: domain-internal
    discoverable: {discoverable}
"
    )
}

/// A mesh of two products: `sales.deals`, whose versions 0 to 4 were written on the first days of the months of 2026, and
/// `finance.secrets`, which nobody here may know of.
pub struct Months {
    folder: TempDir,
    pub server: Serving,
}

impl Months {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let principals = fs::read_to_string(repository().join("catalog/principals.yaml")).unwrap();
        write("catalog/principals.yaml", &principals);
        write("catalog/mesh.yaml", "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {}\n");
        write("catalog/policies/deals.yaml", POLICY);
        for (domain, group) in [("sales", "sales"), ("finance", "product")] {
            let text = format!(
                "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {{name: {domain}, owner: {domain}@company.com}}\n\
                 spec: {{member_groups: [{group}]}}\n"
            );
            write(&format!("catalog/{domain}/domain.yaml"), &text);
        }
        write("catalog/sales/deals/data_product.yaml", &contract("sales", "deals", "mesh"));
        write("catalog/finance/secrets/data_product.yaml", &contract("finance", "secrets", "domain"));
        deals(&folder.path().join("data/deals")).await;
        deals(&folder.path().join("data/secrets")).await;
        let mut config = config();
        config.common.catalog = folder.path().join("catalog");
        Self { server: Serving::start(config), folder }
    }

    pub async fn connect(&self, user: &str) -> Client {
        Client::connect(self.server.address, user).await
    }

    fn table(&self) -> std::path::PathBuf {
        self.folder.path().join("data/deals")
    }

    /// Nobody but the domain's members may read any more, once this is noticed.
    pub fn revoke(&self) {
        fs::remove_file(self.folder.path().join("catalog/policies/deals.yaml")).unwrap();
    }
}

/// 0: made, with a column `ssn`. 1: rows 1 to 4. 2: the amounts of 1 and 2 raised, and row 4 moved to the US.
/// 3: row 1 deleted. 4: without `ssn`, with `tier`, which is gold in row 2.
async fn deals(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let table = DeltaTableBuilder::from_url(Url::from_directory_path(folder).unwrap()).unwrap().build().unwrap();
    let kind = DataType::Primitive;
    let table = table
        .create()
        .with_column("id", kind(PrimitiveType::Long), true, None)
        .with_column("region", kind(PrimitiveType::String), true, None)
        .with_column("email", kind(PrimitiveType::String), true, None)
        .with_column("amount", kind(PrimitiveType::Long), true, None)
        .with_column("ssn", kind(PrimitiveType::String), true, None)
        .with_configuration([("delta.enableChangeDataFeed", Some("true"))])
        .await
        .unwrap();
    let rows = batch(&[(1, "EU", 10), (2, "US", 20), (3, "EU", 30), (4, "EU", 40)], true);
    let table = table.write([rows]).with_save_mode(SaveMode::Append).await.unwrap();
    let raised = "case when id = 4 then 'US' else region end";
    let (table, _) = table
        .update()
        .with_predicate("id in (1, 2, 4)")
        .with_update("amount", "amount + 1")
        .with_update("region", raised)
        .await
        .unwrap();
    let (table, _) = table.delete().with_predicate("id = 1").await.unwrap();
    let rows = batch(&[(2, "US", 21), (3, "EU", 30), (4, "US", 41)], false);
    let _: DeltaTable =
        table.write([rows]).with_save_mode(SaveMode::Overwrite).with_schema_mode(SchemaMode::Overwrite).await.unwrap();
    for version in 0..=4 {
        let month = chrono::NaiveDate::from_ymd_opt(2026, version + 1, 1).unwrap();
        let file = folder.join(format!("_delta_log/{version:020}.json"));
        let lines = fs::read_to_string(&file).unwrap();
        let lines = lines.lines().map(|line| {
            let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(info) = action.get_mut("commitInfo") {
                info["timestamp"] = month.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis().into();
            }
            action.to_string()
        });
        fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }
}

fn batch(rows: &[(i64, &str, i64)], with_ssn: bool) -> RecordBatch {
    let text = |value: fn(&(i64, &str, i64)) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(value)));
    let mut columns: Vec<(&str, Arc<dyn datafusion::arrow::array::Array>)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)))),
        ("region", text(|row| row.1.to_owned())),
        ("email", text(|row| format!("mail{}@company.com", row.0))),
        ("amount", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)))),
    ];
    if with_ssn {
        columns.push(("ssn", text(|row| format!("ssn{}", row.0))));
    } else {
        columns.push(("tier", text(|row| if row.0 == 2 { "gold" } else { "basic" }.to_owned())));
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

#[tokio::test]
async fn each_version_is_read_with_today_s_rights() {
    let mesh = Months::start().await;
    let mut whole = mesh.connect(WHOLE).await;
    let mut filtered = mesh.connect(FILTERED).await;
    for (version, all, european) in [
        (0, &[][..], &[][..]),
        (1, &["1|10", "2|20", "3|30", "4|40"], &["1|10", "3|30", "4|40"]),
        (2, &["1|11", "2|21", "3|30", "4|41"], &["1|11", "3|30"]),
        (3, &["2|21", "3|30", "4|41"], &["3|30"]),
        (4, &["2|21", "3|30", "4|41"], &["3|30"]),
    ] {
        let by_version = format!("select id, amount from sales.deals version as of {version} order by id");
        let by_time =
            format!("select id, amount from sales.deals timestamp as of '2026-0{}-15' d order by 1", version + 1);
        for sql in [by_version, by_time] {
            assert_eq!(whole.rows(&sql).await, all, "{sql}");
            assert_eq!(filtered.rows(&sql).await, european, "{sql}");
        }
    }
    // two versions in one statement, each under its own name
    let joined = "select new.id, new.amount - deals.amount from sales.deals version as of 1 \
                  join sales.deals timestamp as of '2026-03-01 00:00:00+00' new on deals.id = new.id order by 1";
    assert_eq!(whole.rows(joined).await, ["1|1", "2|1", "3|0", "4|1"]);
    assert_eq!(filtered.rows(joined).await, ["1|1", "3|0"]);
    let qualified = "select sales.deals.id from sales.deals version as of 3 where sales.deals.amount > 25 order by 1";
    assert_eq!(whole.rows(qualified).await, ["3", "4"]);
    // a column that was dropped since, and one that is masked
    assert_eq!(
        whole.rows("select ssn, email from sales.deals version as of 3 where id = 3").await,
        ["ssn3|mail3@company.com"]
    );
    let refused = filtered.rows("select ssn from sales.deals version as of 3").await;
    assert_eq!(refused, ["Error 42703 column \"ssn\" does not exist"]);
    for sql in ["select * from sales.deals version as of 1", "select * from table_changes('sales.deals', 0, 3)"] {
        let rows = filtered.query(sql).await.join("\n");
        assert!(rows.contains("Row ") && !rows.contains("@company.com") && !rows.contains("ssn"), "{rows}");
    }
}

#[tokio::test]
async fn a_version_that_the_policy_cannot_judge_is_not_read() {
    let mesh = Months::start().await;
    let mut c = mesh.connect(TIER).await;
    for from in ["sales.deals", "sales.deals version as of 4", "sales.deals timestamp as of '2026-06-01'"] {
        assert_eq!(c.rows(&format!("select id, tier from {from}")).await, ["2|gold"], "{from}");
    }
    let denied = ["Error 42501 permission denied for table deals"];
    for from in ["sales.deals version as of 3", "sales.deals version as of 0", "table_changes('sales.deals', 1, 3)"] {
        assert_eq!(c.rows(&format!("select id from {from}")).await, denied, "{from}");
    }
    c.query("set mesh.as_of = '2026-02-15'").await;
    assert_eq!(c.rows("select id from sales.deals").await, denied);
}

#[tokio::test]
async fn plans_show_the_table_and_nothing_of_its_versions() {
    let mesh = Months::start().await;
    for (user, scan) in [(WHOLE, "WholeScanExec: table=sales.deals"), (FILTERED, "SecureScanExec: table=sales.deals")] {
        let mut client = mesh.connect(user).await;
        for from in [
            "sales.deals version as of 1",
            "sales.deals timestamp as of '2026-03-01'",
            "table_changes('sales.deals', 1, 2)",
        ] {
            let plan =
                client.query(&format!("explain verbose select id + 1 from {from} where id > 1")).await.join("\n");
            assert!(plan.contains(scan), "{plan}");
            assert!(!plan.contains('\0') && !plan.contains("\\x00") && !plan.contains("parquet"), "{plan}");
        }
        let columns = client.query("select *, id + 1 from sales.deals version as of 1 where id < 0").await;
        assert!(columns[0].starts_with("Columns id:20 region:1043"), "{columns:?}");
        let unnamed = client.query("select * from (select max(id) from sales.deals version as of 1) x").await;
        assert!(!unnamed.join("").contains("\\x"), "{unnamed:?}");
        let error = client.rows("select nothing from sales.deals version as of 1").await;
        assert_eq!(error, ["Error 42703 column \"nothing\" does not exist"]);
        let error = client.rows("select deals.nothing from sales.deals version as of 1").await;
        assert_eq!(error, ["Error 42703 column deals.nothing does not exist"]);
    }
}

#[tokio::test]
async fn everything_is_read_as_of_one_moment() {
    let mesh = Months::start().await;
    let count = "select count(*) from sales.deals";
    for (user, counts) in [(WHOLE, ["3", "4", "0"]), (FILTERED, ["1", "3", "0"])] {
        let mut c = mesh.connect(user).await;
        assert_eq!(c.rows(count).await, [counts[0]]);
        c.query("set mesh.as_of = '2026-02-20'").await;
        assert_eq!(c.rows("show mesh.as_of").await, ["2026-02-20 00:00:00+00"]);
        assert_eq!(c.rows(count).await, [counts[1]]);
        // what the statement says itself goes before
        assert_eq!(c.rows("select count(*) from sales.deals version as of 0").await, [counts[2]]);
        let last = c.rows("select max(_commit_version) from table_changes('sales.deals', 0)").await;
        assert_eq!(last, ["1"], "changes end there too");
        assert_eq!(c.rows("select count(*) from table_history('sales.deals')").await, ["2"]);
        c.query("begin; set local mesh.as_of = '2026-01-02'").await;
        assert_eq!(c.rows(count).await, [counts[2]]);
        c.query("set local mesh.as_of = ''").await;
        assert_eq!(c.rows(count).await, [counts[0]]);
        c.query("commit").await;
        assert_eq!(c.rows(count).await, [counts[1]]);
        c.query("reset mesh.as_of").await;
        assert_eq!(c.rows(count).await, [counts[0]]);
        c.query("set mesh.as_of = '2025-12-31'").await;
        let lines = c.query(count).await;
        assert_eq!(lines[0], "Error 22023 the table has no version as old as 2025-12-31 00:00:00+00");
        c.query("set mesh.as_of = '2099-01-01'").await;
        assert_eq!(c.rows(count).await, [counts[0]], "what nobody wrote to since is what it was");
    }
}

#[tokio::test]
async fn a_transaction_keeps_what_it_has_seen() {
    let mesh = Months::start().await;
    let mut c = mesh.connect(WHOLE).await;
    let future = "select count(*) from sales.deals timestamp as of '2099-01-01'";
    c.query("begin").await;
    assert_eq!(c.rows(future).await, ["3"]);
    let url = Url::from_directory_path(mesh.table()).unwrap();
    let table = deltalake::open_table(url).await.unwrap();
    let more = batch(&[(5, "EU", 50)], false);
    table.write([more]).with_save_mode(SaveMode::Append).await.unwrap();
    let mut other = mesh.connect(WHOLE).await;
    eventually("the new version", || {
        let (rows, address) = ("select count(*) from sales.deals", mesh.server.address);
        async move { (Client::connect(address, WHOLE).await.rows(rows).await == ["4"]).then_some(()) }
    })
    .await;
    assert_eq!(other.rows(future).await, ["4"]);
    for sql in ["select count(*) from sales.deals", future] {
        assert_eq!(c.rows(sql).await, ["3"], "{sql}");
    }
    let later = c.rows("select count(*) from sales.deals version as of 5").await;
    assert_eq!(later, ["Error 22023 the table has no version 5"], "it came after the transaction began");
    c.query("rollback").await;
    assert_eq!(c.rows("select count(*) from sales.deals version as of 5").await, ["4"]);
}

#[tokio::test]
async fn a_feed_has_the_rows_that_today_s_policy_admits() {
    let mesh = Months::start().await;
    let feed = "select id, region, amount, _change_type, _commit_version from table_changes('sales.deals', 1, 3) order by 5, 1, 4";
    assert_eq!(
        mesh.connect(WHOLE).await.rows(feed).await,
        [
            "1|EU|10|insert|1",
            "2|US|20|insert|1",
            "3|EU|30|insert|1",
            "4|EU|40|insert|1",
            "1|EU|11|update_postimage|2",
            "1|EU|10|update_preimage|2",
            "2|US|21|update_postimage|2",
            "2|US|20|update_preimage|2",
            "4|US|41|update_postimage|2",
            "4|EU|40|update_preimage|2",
            "1|EU|11|delete|3",
        ]
    );
    // of the row that went to the US, the old image is European, and the new one is nobody's here
    assert_eq!(
        mesh.connect(FILTERED).await.rows(feed).await,
        [
            "1|EU|10|insert|1",
            "3|EU|30|insert|1",
            "4|EU|40|insert|1",
            "1|EU|11|update_postimage|2",
            "1|EU|10|update_preimage|2",
            "4|EU|40|update_preimage|2",
            "1|EU|11|delete|3",
        ]
    );
    let mut c = mesh.connect(WHOLE).await;
    for (call, rows) in [
        ("table_changes('sales.deals', '2026-03-01', '2026-03-31')", "6"),
        ("data_catalog.table_changes('Sales.Deals', date '2026-02-15', timestamp '2026-04-01 00:00:00')", "7"),
        ("table_changes('mesh.sales.deals', 3, 3) as c", "1"),
        ("table_changes('sales.deals', now())", "0"),
        ("table_changes('sales.deals', 5)", "0"),
    ] {
        assert_eq!(c.rows(&format!("select count(*) from {call}")).await, [rows], "{call}");
    }
    let stamps = "select distinct _commit_timestamp from table_changes('sales.deals', 3, 3)";
    assert_eq!(c.rows(stamps).await, ["2026-04-01 00:00:00+00"]);
    c.query("set search_path = sales").await;
    assert_eq!(c.rows("select count(*) from table_changes('deals', 3, 3)").await, ["1"]);
    let dropped = "select count(*) from table_changes('sales.deals', 1)";
    assert_eq!(c.rows(dropped).await, ["Error 0A000 the table's columns changed at version 4"]);
}

#[tokio::test]
async fn history_tells_what_was_done_to_those_who_read_all() {
    let mesh = Months::start().await;
    let history = "select version, timestamp, operation, operation_parameters is null, user_metadata from table_history('sales.deals') limit 2";
    assert_eq!(
        mesh.connect(WHOLE).await.rows(history).await,
        ["4|2026-05-01 00:00:00+00|WRITE|f|~", "3|2026-04-01 00:00:00+00|DELETE|f|~"]
    );
    assert_eq!(
        mesh.connect(FILTERED).await.rows(history).await,
        ["4|2026-05-01 00:00:00+00|~|t|~", "3|2026-04-01 00:00:00+00|~|t|~"]
    );
}

#[tokio::test]
async fn who_may_not_read_hears_the_same_at_any_time() {
    let mesh = Months::start().await;
    let forms = |table: &str| {
        [
            format!("select * from {table}"),
            format!("select * from {table} version as of 1"),
            format!("select * from {table} version as of 99"),
            format!("select * from {table} timestamp as of '2020-01-01'"),
            format!("select * from table_changes('{table}', 0)"),
            format!("select * from table_changes('{table}', 77, 99)"),
            format!("select * from table_history('{table}')"),
        ]
    };
    for (user, table, expected) in [
        (DISCOVERS, "sales.deals", "Error 42501 permission denied for table deals"),
        (DISCOVERS, "finance.secrets", "Error 42P01 relation \"finance.secrets\" does not exist"),
        (WHOLE, "finance.secrets", "Error 42P01 relation \"finance.secrets\" does not exist"),
        (WHOLE, "finance.nothing", "Error 42P01 relation \"finance.nothing\" does not exist"),
        (WHOLE, "nothing", "Error 42P01 relation \"nothing\" does not exist"),
    ] {
        let mut c = mesh.connect(user).await;
        for sql in forms(table) {
            assert_eq!(c.rows(&sql).await, [expected], "{user}: {sql}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_travelled_to_is_said_clearly() {
    let mesh = Months::start().await;
    let mut c = mesh.connect(WHOLE).await;
    for (sql, expected) in [
        ("select * from sales.deals version as of 99", "22023 the table has no version 99"),
        ("select * from sales.deals version as of -1", "22023 there is no version -1"),
        ("select * from sales.deals version as of null", "22023 a version or a timestamp must not be null"),
        ("select * from sales.deals version as of '1'", "42804 VERSION AS OF takes a whole number"),
        ("select * from sales.deals version as of 1.5", "42804 VERSION AS OF takes a whole number"),
        ("select * from sales.deals timestamp as of 1", "42804 TIMESTAMP AS OF takes a timestamp"),
        ("select * from sales.deals version as of now()", "42804 VERSION AS OF takes a whole number"),
        ("select * from sales.deals version as of (select 1)", "42601 a version or a timestamp must be a constant"),
        (
            "select * from sales.deals timestamp as of random()",
            "42804 a version is a whole number, and a time a timestamp",
        ),
        ("select * from sales.deals d version as of 1", "42601 syntax error at or near \"version\""),
        ("with d as (select 1) select * from d version as of 1", "42809 \"d\" is a WITH query, which has no versions"),
        ("select * from products version as of 1", "42809 \"products\" is not a data product's table"),
        ("select * from table_history('data_catalog.products')", "42809 \"products\" is not a data product's table"),
        ("select * from table_changes('sales.deals')", "42883 function table_changes does not take these arguments"),
        ("select * from table_changes(1, 2)", "42883 function table_changes does not take these arguments"),
        (
            "select * from table_changes('sales.deals', 1, 2, 3)",
            "42883 function table_changes does not take these arguments",
        ),
        (
            "select * from table_changes('sales.deals', 3, 1)",
            "22023 the range of versions ends before it begins: 3 to 1",
        ),
        ("select * from table_changes('sales..deals', 1)", "22023 invalid name syntax: \"sales..deals\""),
        ("set mesh.as_of = 'yesterday'", "22023 invalid value for parameter \"mesh.as_of\": \"yesterday\""),
    ] {
        let answer = c.rows(sql).await;
        if sql.contains("random()") {
            assert!(answer[0].starts_with("Error 42"), "{sql}: {answer:?}");
        } else {
            assert_eq!(answer, [format!("Error {expected}")], "{sql}");
        }
    }
    let message = |sql: &'static str| parse("", sql, &[]);
    for sql in ["select * from sales.deals version as of $1", "select * from table_changes('sales.deals', $1)"] {
        let lines = c.say(&[message(sql), sync()]).await;
        assert_eq!(lines[0], "Error 0A000 a version or a timestamp cannot be a parameter", "{sql}");
    }
    // other parameters may stand beside a version
    let prepared = message("select id from sales.deals version as of 1 where amount > $1 order by 1");
    let lines = c.say(&[prepared, bind("", "", &[Some("25")]), execute("", 0), sync()]).await;
    assert_eq!(lines.iter().filter(|line| line.starts_with("Row")).collect::<Vec<_>>(), ["Row 3", "Row 4"]);
}

#[tokio::test]
async fn files_that_were_vacuumed_are_missed_in_the_same_words() {
    let mesh = Months::start().await;
    let old = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "parquet");
    let log = fs::read_to_string(mesh.table().join(format!("_delta_log/{:020}.json", 4))).unwrap();
    for entry in fs::read_dir(mesh.table()).unwrap().map(Result::unwrap).filter(old) {
        let name = entry.file_name().into_string().unwrap();
        if !log.lines().any(|line| line.contains("\"add\"") && line.contains(&name)) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for user in [WHOLE, FILTERED] {
        let mut c = mesh.connect(user).await;
        for from in ["sales.deals version as of 1", "table_changes('sales.deals', 1, 1)"] {
            let answer = c.rows(&format!("select id from {from}")).await;
            assert_eq!(
                answer,
                ["Error 58P01 files of this version of the table are no longer there"],
                "{user}: {from}"
            );
        }
        assert!(!c.rows("select id from sales.deals").await[0].starts_with("Error"), "the newest is there");
    }
}

#[tokio::test]
async fn the_sample_mesh_travels_too() {
    let mut c: Client<Box<dyn Stream>> = {
        let stream = tokio::net::TcpStream::connect(shared().address).await.unwrap();
        let mut client = Client::over(Box::new(stream) as Box<dyn Stream>);
        client.startup(&crate::raw::Login::sample("sales_analyst")).await.unwrap();
        client
    };
    tokio::time::timeout(Duration::from_mins(1), async {
        assert_eq!(c.rows("select count(*) from sales.orders version as of 10").await, ["6000"]);
        let first = c.rows("select count(*) from sales.orders version as of 0").await;
        c.query("set mesh.as_of = '2026-05-15'").await;
        assert_eq!(c.rows("select count(*) from sales.orders").await, first);
        c.query("reset mesh.as_of").await;
        let not_recorded = c.rows("select * from table_changes('sales.orders', 1)").await;
        assert_eq!(not_recorded, ["Error 55000 the table did not record its changes at version 1"]);
    })
    .await
    .unwrap();
}
