//! What the fence costs, as ratios of elapsed times in one run: `cargo bench --bench fence [-- ROWS]`.
//!
//! One Delta table of 6,000,000 rows in 12 files, read through the engine as the server sets it up, without the wire:
//! * full access against the bare provider (goal 1.00),
//! * a row filter that keeps half of the rows against the same predicate written by hand (goal at most 1.05),
//! * 100 policies against one (goal at most 1.05), where one of them is about the principal and where all are. The one
//!   admits the same rows by the same columns: reading a column more has its cost, however many policies ask for it.
//!   Policies that each admit another span of a column miss the goal by far: each is asked of the rows.
//!
//! The two sides of a ratio take turns, so that a machine that is busy for a while slows both; the ratio is that of the
//! medians. The table is made once, in the folder that `BENCH_DIR` names (default: the system's folder for temporary
//! files).

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that fails says where")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    TableProvider,
};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use pgmesh::access::visible::Visible;
use pgmesh::access::{Access, CompiledScope, Grants, Principal, SecuredTable};
use pgmesh::catalog::load::load;
use pgmesh::delta::{Stores, TableLocation, TableSnapshot, Tables};
use pgmesh::engine::share::ShareLimits;
use pgmesh::engine::{Engine, Limits};

const ROWS: u64 = 6_000_000;
const FILES: u64 = 12;
/// Turns of each pair.
const TURNS: usize = 9;

/// What is asked of `orders`; `{and}` takes a predicate written by hand, `{where}` one that stands alone.
const QUERIES: [(&str, &str); 5] = [
    ("count", "select count(*) from orders{where}"),
    ("sum", "select sum(amount), max(day) from orders{where}"),
    ("group", "select product, count(*), sum(amount) from orders{where} group by product"),
    ("range", "select sum(amount) from orders where day between 100 and 140{and}"),
    ("rows", "select id, amount, note from orders where product < 20{and}"),
];

fn main() {
    let rows = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROWS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(rows));
}

async fn measure(rows: u64) {
    let folder = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("pgmesh-fence-{rows}"));
    let table = folder.join("data/orders");
    if !table.join("_delta_log").exists() {
        make_table(&table, rows).await;
    }
    let tables = Tables::new(Stores::default());
    let limits = Limits {
        memory_bytes: 4 << 30,
        spill_dir: None,
        spill_bytes: 1 << 30,
        parallelism: std::thread::available_parallelism().map_or(2, usize::from),
        share: ShareLimits { memory_percent: 100, spill_percent: 100, statements: 1, wait: Duration::ZERO },
    };
    let engine = Engine::new(&limits, tables.object_store_registry()).unwrap();
    let url = url::Url::from_directory_path(&table).unwrap().to_string();
    let location = TableLocation { url, credentials: None };
    let snapshot = tables.snapshot(&location, Duration::ZERO).await.unwrap();
    let world = World { engine, snapshot, folder };
    println!("{rows} rows, {} files, {} threads\n", FILES, limits.parallelism);
    println!("| what | query | against | ratio |\n|---|---|---|---|");
    let bare = world.bare();
    let full = world.secured(&[]);
    world.compare("full access", "the bare provider", (&full, ""), (&bare, "")).await;
    let half = world.secured(&[policy("analysts", "region = 'EU'")]);
    let by_hand = "region = 'EU'";
    world.compare("a filter that keeps half", "the predicate by hand", (&half, ""), (&bare, by_hand)).await;
    let others: Vec<String> = (1..100).map(|other| policy(&format!("group{other}"), "region = 'US'")).collect();
    let one_of_many = world.secured(&[&others[..], &[policy("analysts", "region = 'EU'")]].concat());
    world.compare("100 policies, one about me", "one policy", (&one_of_many, ""), (&half, "")).await;
    // each against one that asks for the same columns and admits the same rows
    let alike = |number: usize| format!("region = 'EU' and product <> {}", 1000 + number);
    let product = |number: usize| format!("region = 'EU' and product = {number}");
    let span = |number: usize| format!("day between {} and {}", 4 * number, 4 * number + 3);
    let hundreds = [
        ("100 policies, alike", &alike as &dyn Fn(usize) -> String, "region = 'EU' and product <> 1000"),
        ("100 policies, a product each", &product, "region = 'EU' and product >= 0"),
        ("100 policies, a span each", &span, "day between 0 and 400"),
    ];
    for (what, each, one) in hundreds {
        let policies: Vec<String> = (0..100).map(|number| policy("analysts", &each(number))).collect();
        let (hundred, one) = (world.secured(&policies), world.secured(&[policy("analysts", one)]));
        world.compare(what, "one policy", (&hundred, ""), (&one, "")).await;
    }
}

struct World {
    engine: Engine,
    snapshot: Arc<TableSnapshot>,
    folder: PathBuf,
}

impl World {
    fn context(&self, provider: Arc<dyn TableProvider>) -> SessionContext {
        // the engine's states share their list of catalogs, and each side has a table of that name
        let (catalogs, catalog) = (MemoryCatalogProviderList::new(), MemoryCatalogProvider::new());
        catalog.register_schema("public", Arc::new(MemorySchemaProvider::new())).unwrap();
        catalogs.register_catalog("datafusion".to_owned(), Arc::new(catalog));
        let state = SessionStateBuilder::new_from_existing(self.engine.base().as_ref().clone())
            .with_catalog_list(Arc::new(catalogs))
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_table("orders", provider).unwrap();
        context
    }

    fn bare(&self) -> SessionContext {
        self.context(self.snapshot.provider())
    }

    /// The table as an analyst reads it in a mesh with these policies; without any, as a member of the domain does.
    fn secured(&self, policies: &[String]) -> SessionContext {
        let catalog = load(&self.mesh(policies)).catalog;
        let user = &catalog.users[if policies.is_empty() { "member" } else { "analyst" }];
        let visible = Visible::new(&catalog, &Grants::default(), 1, Arc::new(Principal::from(user)));
        let product = visible.lookup("sales", "orders").unwrap();
        let Access::Read(scope) = product.access else { panic!("the analyst may not read") };
        let scope = CompiledScope::compile(scope, &visible.reader(None), &self.snapshot.schema).unwrap();
        assert_eq!(scope.is_whole(), policies.is_empty());
        self.context(Arc::new(SecuredTable::new("sales.orders", self.snapshot.provider(), scope).unwrap()))
    }

    fn mesh(&self, policies: &[String]) -> PathBuf {
        let catalog = self.folder.join("catalog");
        let _ = std::fs::remove_dir_all(&catalog);
        let write = |name: &str, text: &str| {
            let path = catalog.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("mesh.yaml", "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {}\n");
        write(
            "principals.yaml",
            "apiVersion: pgmesh/v1\nkind: Principals\nusers:\n  - {name: member, groups: [sales]}\n  - {name: analyst, groups: [analysts]}\n",
        );
        write(
            "sales/domain.yaml",
            "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {name: sales, owner: o}\nspec: {member_groups: [sales]}\n",
        );
        write("sales/orders/data_product.yaml", CONTRACT);
        for (number, policy) in policies.iter().enumerate() {
            write(&format!("policies/{number}.yaml"), policy);
        }
        catalog
    }

    /// `(context, predicate by hand)` of both sides.
    async fn compare(&self, what: &str, against: &str, one: (&SessionContext, &str), other: (&SessionContext, &str)) {
        let mut logs = 0.0;
        for (name, query) in QUERIES {
            let (a, b) = (filled(query, one.1), filled(query, other.1));
            assert_eq!(run(one.0, &a).await.1, run(other.0, &b).await.1, "{a}: the two sides have different rows");
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for turn in 0..TURNS {
                if turn % 2 == 0 {
                    left.push(run(one.0, &a).await.0);
                    right.push(run(other.0, &b).await.0);
                } else {
                    right.push(run(other.0, &b).await.0);
                    left.push(run(one.0, &a).await.0);
                }
            }
            let ratio = median(left).as_secs_f64() / median(right).as_secs_f64();
            logs += ratio.ln();
            println!("| {what} | {name} | {against} | {ratio:.3} |");
        }
        println!("| **{what}** | all | {against} | **{:.3}** |", (logs / QUERIES.len() as f64).exp());
    }
}

/// A rule that permits the group `to` those rows.
fn policy(to: &str, filter: &str) -> String {
    format!(
        "name: {to}\ndecisionRules:\n  - effect: Permit\n    rowFilter: \"{filter}\"\n    dnfCondition:\n      - - {{attributeName: resource.domain, attributeValueIncludes: sales}}\n        - {{attributeName: principal.group, attributeValueIncludes: {to}}}\n"
    )
}

const CONTRACT: &str = "apiVersion: datamesh.azure.com/v1
kind: DataProduct
metadata: {name: orders, domain: sales, owner: o}
spec:
  description: d
  outputs:
    - {name: orders, format: delta, location: data/orders}
";

fn filled(query: &str, by_hand: &str) -> String {
    let (alone, more) = match by_hand {
        "" => (String::new(), String::new()),
        predicate => (format!(" where {predicate}"), format!(" and {predicate}")),
    };
    query.replace("{where}", &alone).replace("{and}", &more)
}

/// Plans and runs; how long that took, and how many rows came.
async fn run(context: &SessionContext, sql: &str) -> (Duration, usize) {
    let started = Instant::now();
    let state = context.state();
    let logical = state.create_logical_plan(sql).await.unwrap();
    let plan = state.create_physical_plan(&logical).await.unwrap();
    let mut stream = execute_stream(plan, context.task_ctx()).unwrap();
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
    }
    (started.elapsed(), rows)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Orders of 100 products over 365 days; every other one is of the region EU.
async fn make_table(folder: &Path, rows: u64) {
    println!("making {rows} rows in {}", folder.display());
    std::fs::create_dir_all(folder.join("_delta_log")).unwrap();
    let context = SessionContext::new();
    let mut log = vec![
        r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#.to_owned(),
        serde_json::json!({"metaData": {
            "id": "6f0f2c3e-0000-4000-8000-000000000001",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema(),
            "partitionColumns": [],
            "configuration": {},
            "createdTime": 0,
        }})
        .to_string(),
    ];
    for file in 0..FILES {
        let (first, last) = (file * rows / FILES, (file + 1) * rows / FILES - 1);
        let name = format!("part-{file:05}.parquet");
        let path = folder.join(&name);
        let sql = format!(
            "copy (select value as id, case when value % 2 = 0 then 'EU' else 'US' end as region,
                cast(value % 9973 as double) / 7 as amount, cast(value % 100 as bigint) as product,
                cast(value % 365 as bigint) as day, concat('order ', value % 1000, ' of a customer') as note
             from generate_series({first}, {last})) to '{}' stored as parquet",
            path.display()
        );
        let state = context.state();
        let plan = state.create_logical_plan(&sql).await.unwrap();
        let plan = state.create_physical_plan(&plan).await.unwrap();
        datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
        let add = serde_json::json!({"add": {
            "path": name,
            "size": std::fs::metadata(&path).unwrap().len(),
            "partitionValues": {},
            "modificationTime": 0,
            "dataChange": true,
            "stats": serde_json::json!({
                "numRecords": last - first + 1,
                "minValues": {"id": first},
                "maxValues": {"id": last},
                "nullCount": {"id": 0},
            })
            .to_string(),
        }});
        log.push(add.to_string());
    }
    std::fs::write(folder.join("_delta_log/00000000000000000000.json"), log.join("\n") + "\n").unwrap();
}

fn schema() -> String {
    let columns = [
        ("id", "long"),
        ("region", "string"),
        ("amount", "double"),
        ("product", "long"),
        ("day", "long"),
        ("note", "string"),
    ];
    let fields =
        columns.map(|(name, kind)| serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": {}}));
    serde_json::json!({"type": "struct", "fields": fields}).to_string()
}
