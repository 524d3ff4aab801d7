//! Changes while the server runs: commits to tables, contracts, policies and users edited on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::compute::concat_batches;
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;
use deltalake::protocol::SaveMode;
use tempfile::TempDir;
use url::Url;

use crate::raw::{Client, bind, describe, execute, parse, sync};
use crate::serving::{Serving, config, eventually, repository};

/// How soon an edit on disk is served (DESIGN.md, section 3), with what a busy machine takes.
const SOON: Duration = Duration::from_secs(5);

/// A copy of the sample mesh that a test may change.
pub struct Copied {
    folder: TempDir,
    pub server: Serving,
}

/// The files of a copy before it is served.
pub struct Files<'a>(&'a Path);

impl Files<'_> {
    /// Replaces a part of a file, which must be there, as an editor does: a new file under the old name.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.0.join(file);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{file} has no {from}");
        let new = path.with_extension("new");
        fs::write(&new, before.replacen(from, to, 1)).unwrap();
        fs::rename(new, path).unwrap();
    }
}

impl Copied {
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// Serves the copy after `change`.
    pub fn start_with(change: impl FnOnce(&Files<'_>)) -> Self {
        let folder = Self::folder(change);
        let mut config = config();
        config.common.catalog = folder.path().join("catalog");
        Self { server: Serving::start(config), folder }
    }

    /// A changed copy that is not served.
    pub fn folder(change: impl FnOnce(&Files<'_>)) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for part in ["catalog", "sample_data"] {
            copy(&repository().join(part), &folder.path().join(part));
        }
        change(&Files(folder.path()));
        folder
    }

    pub async fn connect(&self, user: &str) -> Client {
        Client::connect(self.server.address, user).await
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// As [`Files::edit`].
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        Files(self.folder.path()).edit(file, from, to);
    }

    /// Appends the first rows of a table to it once more.
    async fn append(&self, table: &str, rows: usize) {
        let url = Url::from_directory_path(self.path(&format!("sample_data/{table}"))).unwrap();
        let open: DeltaTable = deltalake::open_table(url).await.unwrap();
        let session = SessionContext::new();
        let frame = session.read_table(open.table_provider().await.unwrap()).unwrap();
        let batches = frame.limit(0, Some(rows)).unwrap().collect().await.unwrap();
        let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
        open.write(vec![batch]).with_save_mode(SaveMode::Append).await.unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Asks until the answer is the expected one, within the promised time.
async fn becomes(client: &mut Client, sql: &str, expected: &[&str]) {
    let began = Instant::now();
    loop {
        let rows = client.rows(sql).await;
        if rows == expected {
            return;
        }
        assert!(began.elapsed() < SOON, "still {rows:?}, not {expected:?}: {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const COUNT: &str = "select count(*) from sales.orders";

#[tokio::test]
async fn a_commit_is_seen_without_a_restart() {
    let mesh = Copied::start();
    let mut client = mesh.connect("sales_analyst").await;
    assert_eq!(client.rows(COUNT).await, ["6000"]);
    mesh.append("sales/orders", 25).await;
    // max_staleness is one second
    becomes(&mut client, COUNT, &["6025"]).await;
    // a new session sees it at once
    assert_eq!(mesh.connect("sales_analyst").await.rows(COUNT).await, ["6025"]);
    // and the measurements follow
    let version = "select delta_version, quality_status from data_catalog.products where product_name = 'orders'";
    eventually("version 11", || async {
        let rows = mesh.connect("sales_analyst").await.rows(version).await;
        (rows == ["11|INVALID"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_transaction_reads_one_version() {
    let mesh = Copied::start();
    let mut pinned = mesh.connect("sales_analyst").await;
    let mut free = mesh.connect("sales_analyst").await;
    pinned.query("begin").await;
    assert_eq!(pinned.rows(COUNT).await, ["6000"]);
    mesh.append("sales/orders", 10).await;
    becomes(&mut free, COUNT, &["6010"]).await;
    assert_eq!(pinned.rows(COUNT).await, ["6000"]);
    // a savepoint does not let go of it
    pinned.query("savepoint a").await;
    assert_eq!(pinned.rows(COUNT).await, ["6000"]);
    pinned.query("rollback to a").await;
    assert_eq!(pinned.rows(COUNT).await, ["6000"]);
    pinned.query("commit").await;
    assert_eq!(pinned.rows(COUNT).await, ["6010"]);
}

#[tokio::test]
async fn an_edited_contract_is_served() {
    let mesh = Copied::start();
    let mut client = mesh.connect("sales_analyst").await;
    let description = "select version from data_catalog.products where product_name = 'orders'";
    assert_eq!(client.rows(description).await, ["2.1.0"]);
    mesh.edit("catalog/sales/orders/data_product.yaml", "version: 2.1.0", "version: 2.2.0");
    becomes(&mut client, description, &["2.2.0"]).await;
    // a product that leaves the folder leaves the mesh
    let surveys = "select count(*) from customer_success.surveys";
    fs::rename(mesh.path("catalog/customer-success/surveys"), mesh.path("away")).unwrap();
    becomes(&mut client, surveys, &["Error 42P01 relation \"customer_success.surveys\" does not exist"]).await;
    assert_eq!(client.rows("select count(*) from products where product_name = 'surveys'").await, ["0"]);
    fs::rename(mesh.path("away"), mesh.path("catalog/customer-success/surveys")).unwrap();
    becomes(&mut client, surveys, &["932"]).await;
}

#[tokio::test]
async fn a_broken_contract_leaves_the_last_good_one() {
    let mesh = Copied::start();
    let mut client = mesh.connect("sales_analyst").await;
    let mut admin = mesh.connect("mesh_admin").await;
    let file = "catalog/sales/orders/data_product.yaml";
    mesh.edit(file, "  sla:\n    freshness:", "  sla:\n    freshnes:");
    let problem =
        "select state, path, line > 0, column_number, message like '%freshnes%', suggestion like '%freshness%',
        invalid_since is not null, invalid_since >= loaded_at, generation
        from data_catalog.reload_status where severity = 'error'";
    becomes(&mut admin, problem, &[&format!("invalid|{file}|t|5|t|t|t|t|1")]).await;
    assert_eq!(client.rows(COUNT).await, ["6000"]);
    let version = "select version, sla_freshness from data_catalog.products where product_name = 'orders'";
    assert_eq!(client.rows(version).await, ["2.1.0|30 days"]);
    // members of the domain hear of it too, others do not
    let own = "select path, line > 0 from data_catalog.reload_status where severity = 'error'";
    assert_eq!(client.rows(own).await, [format!("{file}|t")]);
    assert_eq!(mesh.connect("marketing_analyst").await.rows(own).await, Vec::<String>::new());
    // another change does not get through as long as one is broken
    mesh.edit("catalog/marketing/campaigns/campaigns.odcs.yaml", "status: active", "status: retired");
    mesh.edit(file, "    freshnes:", "    freshness:");
    becomes(&mut admin, "select count(*) from reload_status where severity = 'error'", &["0"]).await;
    let healed = "select distinct state, generation > 1, invalid_since is null from reload_status";
    becomes(&mut admin, healed, &["ok|t|t"]).await;
    let retired = "select status from data_catalog.products where product_name = 'campaigns'";
    becomes(&mut client, retired, &["retired"]).await;
}

#[tokio::test]
async fn a_policy_binds_the_next_statement_of_an_open_session() {
    let mesh = Copied::start();
    let mut client = mesh.connect("data_scientist").await;
    let prepared = [parse("count", COUNT, &[]), describe(b'S', "count"), sync()];
    assert_eq!(client.say(&prepared).await.last().unwrap(), "Ready I");
    let run = [bind("", "count", &[]), execute("", 0), sync()];
    assert!(client.say(&run).await.contains(&"Row 6000".to_owned()));
    mesh.edit("catalog/policies/data-science-access.yaml", "[sales, marketing,", "[marketing,");
    // readable no more, and discoverable still, since the product is discoverable in the whole mesh
    let refused = "Error 42501 permission denied for table orders";
    becomes(&mut client, COUNT, &[refused]).await;
    // what was prepared before is refused as well
    let lines = client.say(&run).await;
    assert!(lines.contains(&refused.to_owned()) && !lines.contains(&"Row 6000".to_owned()), "{lines:?}");
    mesh.edit("catalog/policies/data-science-access.yaml", "[marketing,", "[sales, marketing,");
    becomes(&mut client, COUNT, &["6000"]).await;
    assert!(client.say(&run).await.contains(&"Row 6000".to_owned()));
}

#[tokio::test]
async fn a_policy_binds_inside_a_transaction() {
    let mesh = Copied::start();
    let mut client = mesh.connect("data_scientist").await;
    let mut other = mesh.connect("data_scientist").await;
    client.query("begin").await;
    assert_eq!(client.rows(COUNT).await, ["6000"]);
    mesh.edit("catalog/policies/data-science-access.yaml", "[sales, marketing,", "[marketing,");
    let refused = "Error 42501 permission denied for table orders";
    becomes(&mut other, COUNT, &[refused]).await;
    assert_eq!(client.rows(COUNT).await, [refused]);
}

#[tokio::test]
async fn an_open_portal_and_a_cursor_end_when_access_does() {
    let mesh = Copied::start();
    let mut client = mesh.connect("data_scientist").await;
    let mut other = mesh.connect("data_scientist").await;
    let rows = "select order_id from sales.orders order by 1";
    client.query("begin").await;
    client.query(&format!("declare c cursor for {rows}")).await;
    assert_eq!(client.rows("fetch 1 from c").await, ["100001"]);
    let begun = [parse("", rows, &[]), bind("p", "", &[]), execute("p", 2), sync()];
    assert!(client.say(&begun).await.contains(&"Row 100002".to_owned()));
    // a change that does not concern the statement leaves it alone
    mesh.edit("catalog/customer-success/surveys/data_product.yaml", "owner: ", "owner: new-");
    becomes(&mut other, "select count(*) from products where owner like 'new-%'", &["1"]).await;
    assert!(client.say(&[execute("p", 1), sync()]).await.contains(&"Row 100003".to_owned()));
    mesh.edit("catalog/policies/data-science-access.yaml", "[sales, marketing,", "[marketing,");
    becomes(&mut other, COUNT, &["Error 42501 permission denied for table orders"]).await;
    let refused = "Error 42501 access changed while the statement was running".to_owned();
    let lines = client.say(&[execute("p", 1), sync()]).await;
    assert!(lines.contains(&refused) && !lines.iter().any(|line| line.starts_with("Row")), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "Ready E");
}

#[tokio::test]
async fn an_unreadable_policy_denies() {
    let mesh = Copied::start();
    let mut client = mesh.connect("data_scientist").await;
    let mut admin = mesh.connect("mesh_admin").await;
    mesh.edit("catalog/policies/data-science-access.yaml", "effect: Permit", "effect: Perhaps");
    becomes(&mut admin, "select state from reload_status where severity = 'error' limit 1", &["invalid"]).await;
    // the last good policies hold
    assert_eq!(client.rows(COUNT).await, ["6000"]);
}

#[tokio::test]
async fn a_user_who_is_removed_loses_the_session() {
    let mesh = Copied::start();
    let mut client = mesh.connect("auditor").await;
    let mut admin = mesh.connect("mesh_admin").await;
    assert_eq!(client.rows("select 1").await, ["1"]);
    let principals = mesh.path("catalog/principals.yaml");
    let before = fs::read_to_string(&principals).unwrap();
    let (start, rest) = before.split_once("  - name: auditor").unwrap();
    let (_, end) = rest.split_once("groups:\n  - name: sales\n").unwrap();
    fs::write(&principals, format!("{start}groups:\n  - name: sales\n{end}")).unwrap();
    becomes(&mut admin, "select count(*) from user_domain_access where user_id = 'auditor'", &["0"]).await;
    client.send(&crate::raw::query("select 1")).await;
    let goodbye = client.receive().await.unwrap();
    assert_eq!((goodbye.field(b'S').as_str(), goodbye.field(b'C').as_str()), ("FATAL", "28000"), "{}", goodbye.line());
    assert!(client.receive().await.is_none());
    let login = crate::raw::Login::sample("auditor");
    let refused = Client::login(mesh.server.address, &login).await.err().unwrap();
    assert_eq!(refused.field(b'C'), "28P01");
}

#[tokio::test]
async fn a_table_that_goes_away_is_an_error_and_comes_back() {
    let mesh = Copied::start();
    let mut client = mesh.connect("sales_analyst").await;
    assert_eq!(client.rows(COUNT).await, ["6000"]);
    let (table, away) = (mesh.path("sample_data/sales/orders"), mesh.path("orders-away"));
    fs::rename(&table, &away).unwrap();
    let client = Arc::new(tokio::sync::Mutex::new(client));
    eventually("an error", || async { client.lock().await.rows(COUNT).await[0].starts_with("Error ").then_some(()) })
        .await;
    assert_eq!(client.lock().await.rows("select count(*) from sales.customer_360").await, ["1200"]);
    fs::rename(&away, &table).unwrap();
    eventually("rows", || async { (client.lock().await.rows(COUNT).await == ["6000"]).then_some(()) }).await;
}
