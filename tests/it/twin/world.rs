//! Meshes in temporary folders, served: the twins, which differ in nothing that the compared principals may see, and
//! copies of what one principal sees.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::delta::{Kind, Layout, PLAIN, Row, Statistics, Table};
use super::facts::{Column, Facts, TABLES};
use super::random::Random;
use crate::serving::{Serving, config, repository};

/// When the tables' versions were committed, in milliseconds; the same in all worlds.
pub const COMMITS: [i64; 4] = [1_780_000_000_000, 1_780_000_100_000, 1_780_000_200_000, 1_780_000_300_000];

/// Which mesh to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    First,
    Second,
    /// The same data as the first and the second, open to everybody: what leaks when nothing is fenced.
    FirstOpen,
    SecondOpen,
    /// Only the rows that this principal sees, masked, without any policy.
    Reference(&'static str),
}

impl Which {
    fn is_second(self) -> bool {
        matches!(self, Self::Second | Self::SecondOpen)
    }

    fn is_governed(self) -> bool {
        matches!(self, Self::First | Self::Second)
    }
}

/// A mesh that is served until it is dropped.
pub struct World {
    pub server: Serving,
    folder: TempDir,
}

/// Values to compare with, by table and column: of rows that are shown, and of rows that are not.
#[derive(Default)]
pub struct Values {
    pub shown: BTreeMap<(&'static str, &'static str), Vec<Value>>,
    pub unseen: BTreeMap<(&'static str, &'static str), Vec<Value>>,
}

impl World {
    pub fn start(which: Which, seed: u64) -> Self {
        Self::start_like(which, seed, None)
    }

    /// With what another server keeps: the key of hashes above all, which is the mesh's own.
    pub fn start_like(which: Which, seed: u64, other: Option<&Self>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        build(which, seed, folder.path());
        if let Some(other) = other {
            copy_folder(&other.path().join("state"), &folder.path().join("state"));
        }
        let mut config = config();
        config.common.catalog = folder.path().join("catalog");
        config.state = Some(folder.path().join("state").to_string_lossy().into_owned());
        config.threads = NonZeroUsize::new(2).unwrap();
        Self { server: Serving::start(config), folder }
    }

    /// Its folder, which appears in the locations that owners are told.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries.map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A table's rows in the order of its files: those that anybody sees are the same in all worlds.
struct Rows {
    /// Two parts, for two commits.
    parts: [Vec<(bool, Row)>; 2],
}

/// `shown` are the same rows in every world; what masks cover and what nobody sees is the world's own.
fn rows(facts: &Facts, which: Which, seed: u64) -> Rows {
    let mut base = Random::part(seed, facts.name, 0);
    let mut own = Random::part(seed, facts.name, if which.is_second() { 2 } else { 1 });
    let (shown, unseen) = facts.rows;
    let mut parts = [Vec::new(), Vec::new()];
    for number in 0..shown {
        let mut row = facts.shown_row(number as i64 * 10 + 10, &mut base);
        for column in facts.columns.iter().filter(|column| column.masked.is_some()) {
            row.insert(column.name.to_owned(), Facts::covered(column, &mut base, &mut own));
        }
        parts[usize::from(number >= shown / 2)].push((true, row));
    }
    // From none to twice as many, and now and then so many that a plan would notice.
    let count = match own.below(5) {
        0 => 0,
        1 => unseen * 12,
        _ => own.below(unseen * 2 + 1),
    };
    for number in 0..count {
        let row = facts.unseen_row(number as i64 * 10 + own.between(1, 9), &mut own);
        let part = &mut parts[own.below(2)];
        part.insert(own.below(part.len() + 1), (false, row));
    }
    Rows { parts }
}

/// Both worlds' values, to draw constants from.
pub fn values(seed: u64) -> Values {
    let mut values = Values::default();
    for facts in TABLES {
        for which in [Which::First, Which::Second] {
            for (is_shown, row) in rows(facts, which, seed).parts.iter().flatten() {
                for column in facts.columns {
                    let known = *is_shown && column.masked.is_none();
                    let side = if known { &mut values.shown } else { &mut values.unseen };
                    let pool = side.entry((facts.name, column.name)).or_default();
                    if !row[column.name].is_null() && !pool.contains(&row[column.name]) {
                        pool.push(row[column.name].clone());
                    }
                }
            }
        }
    }
    values
}

/// The largest value of a column that the principal sees.
pub fn greatest(facts: &Facts, column: &str, principal: &str, seed: u64) -> Option<i64> {
    let rows = rows(facts, Which::First, seed);
    let shown = rows.parts.iter().flatten().filter(|(is_shown, row)| *is_shown && facts.shows(row, principal));
    shown.filter_map(|(_, row)| row[column].as_i64()).max()
}

fn build(which: Which, seed: u64, folder: &Path) {
    catalog(which, folder);
    for facts in TABLES {
        match which {
            Which::Reference(principal) if facts.readers.contains(&principal) => copy(facts, principal, seed, folder),
            Which::Reference(_) => {}
            _ => table(facts, which, seed, folder),
        }
    }
    // Domains that nobody knows of but those who govern have other products in each world.
    if which.is_governed() {
        let names: &[(&str, &str)] = if which.is_second() {
            &[("vault", "gold"), ("vault", "silver"), ("lab", "rats")]
        } else {
            &[("vault", "ledger"), ("lab", "mice")]
        };
        for (domain, name) in names {
            let columns = [("id", Kind::Int), ("salary", Kind::Int)];
            let mut table = Table::new(&location(folder, domain, name), name, &columns, None, false);
            let mut random = Random::part(seed, name, 0);
            let rows: Vec<Row> =
                (0..5).map(|id| row(&[("id", json!(id)), ("salary", json!(random.below(99)))])).collect();
            let add = table.write(&rows, PLAIN, &[]);
            table.append(vec![add], COMMITS[0]);
        }
    }
}

fn row(values: &[(&str, Value)]) -> Row {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn location(folder: &Path, domain: &str, name: &str) -> std::path::PathBuf {
    folder.join("data").join(domain).join(name)
}

fn columns(facts: &Facts) -> Vec<(&'static str, Kind)> {
    facts.columns.iter().map(|column| (column.name, column.kind)).collect()
}

/// Four versions: rows, more rows, nothing that is seen, and other files with the rows of the first version.
fn table(facts: &Facts, which: Which, seed: u64, folder: &Path) {
    // what everybody reads whole has no secrets, and its files show in plans
    let second = which.is_second() && facts.is_fenced();
    let mut layout = Random::part(seed, facts.name, if second { 12 } else { 11 });
    let path = location(folder, facts.domain, facts.name);
    let mut table = Table::new(&path, facts.name, &columns(facts), facts.partition, facts.deletes);
    let rows = rows(facts, which, seed);
    let mut first_files = 0;
    for (part, time) in rows.parts.iter().zip(COMMITS) {
        let mut adds = files(facts, &mut table, part, second, &mut layout);
        if adds.is_empty() {
            // when a product's data changed is no secret of its rows: it changes in every world
            adds.push(table.write(&[], PLAIN, &[]));
        }
        table.append(adds, time);
        if first_files == 0 {
            first_files = table.live();
        }
    }
    // rows that nobody sees
    let mut adds = Vec::new();
    if facts.is_fenced() && facts.rows.0 > 0 {
        let mut random = Random::part(seed, facts.name, if second { 4 } else { 3 });
        let late: Vec<(bool, Row)> = (0..if second { 3 } else { 1 })
            .map(|number| (false, facts.unseen_row(100_001 + number, &mut random)))
            .collect();
        adds = files(facts, &mut table, &late, second, &mut layout);
    }
    table.append(adds, COMMITS[2]);
    let adds = files(facts, &mut table, &rows.parts[0], false, &mut layout);
    table.compact(first_files, adds, COMMITS[3]);
}

/// One file in the first world; any number of them, each with a layout of its own, in the second.
fn files(facts: &Facts, table: &mut Table, rows: &[(bool, Row)], scattered: bool, random: &mut Random) -> Vec<Value> {
    let mut groups: Vec<Vec<(bool, Row)>> = vec![rows.to_vec()];
    if let Some(column) = facts.partition {
        let mut by_value: BTreeMap<String, Vec<(bool, Row)>> = BTreeMap::new();
        for (is_shown, row) in rows {
            by_value.entry(row[column].to_string()).or_default().push((*is_shown, row.clone()));
        }
        groups = by_value.into_values().collect();
    }
    let mut adds = Vec::new();
    for group in groups {
        let pieces = if scattered { 1 + random.below(4) } else { 1 };
        for piece in group.chunks(group.len().div_ceil(pieces).max(1)) {
            let layout = if scattered { any_layout(random) } else { PLAIN };
            let mut rows: Vec<Row> = piece.iter().map(|(_, row)| row.clone()).collect();
            let mut deleted = Vec::new();
            if facts.deletes && scattered {
                // rows that were deleted long ago, at the end, before which the others keep their places
                for number in 0..random.below(3) {
                    deleted.push(u16::try_from(rows.len()).unwrap());
                    rows.push(facts.unseen_row(200_000 + number as i64, random));
                }
                if facts.partition.is_some() {
                    deleted.clear();
                }
            }
            adds.push(table.write(&rows, layout, &deleted));
        }
    }
    adds
}

fn any_layout(random: &mut Random) -> Layout {
    Layout {
        rows_per_group: *random.pick(&[1, 3, 7, 1000]),
        dictionary: random.chance(50),
        compressed: random.chance(50),
        parquet_statistics: random.chance(60),
        log_statistics: *random.pick(&[Statistics::None, Statistics::Count, Statistics::Whole]),
    }
}

/// What the principal sees and nothing else, in one file for each commit.
fn copy(facts: &Facts, principal: &str, seed: u64, folder: &Path) {
    let path = location(folder, facts.domain, facts.name);
    let mut table = Table::new(&path, facts.name, &columns(facts), None, facts.deletes);
    let rows = rows(facts, Which::First, seed);
    for (part, time) in rows.parts.iter().zip(COMMITS) {
        let shown = part.iter().filter(|(is_shown, row)| *is_shown && facts.shows(row, principal));
        let shown: Vec<Row> = shown.map(|(_, row)| masked_row(facts, row)).collect();
        let adds = if shown.is_empty() { Vec::new() } else { vec![table.write(&shown, PLAIN, &[])] };
        table.append(adds, time);
    }
    for time in &COMMITS[2..] {
        table.append(Vec::new(), *time);
    }
}

fn masked_row(facts: &Facts, row: &Row) -> Row {
    let mut row = row.clone();
    for column in facts.columns {
        if let Some(mask) = column.masked {
            let masked = masked_value(mask, &row[column.name]);
            row.insert(column.name.to_owned(), masked);
        }
    }
    row
}

/// The masks once more, in plain Rust; a hash is keyed by the mesh and cannot be told here.
fn masked_value(mask: &str, value: &Value) -> Value {
    match (mask, value) {
        ("redact", _) => json!("REDACTED"),
        ("partial", Value::String(text)) => json!(format!("{}****", text.chars().next().unwrap())),
        ("left", Value::String(text)) => json!(text.chars().take(2).collect::<String>()),
        ("ends", Value::String(text)) => {
            let (head, tail): (Vec<char>, Vec<char>) =
                (text.chars().take(2).collect(), text.chars().rev().take(2).collect());
            json!(format!("{}{}****{}{}", head[0], head[1], tail[1], tail[0]))
        }
        ("grade", value) => json!(i64::from(value.as_i64().is_some_and(|grade| grade > 2_000))),
        _ => Value::Null,
    }
}

fn catalog(which: Which, folder: &Path) {
    let catalog = folder.join("catalog");
    let write = |path: &str, text: &str| {
        let path = catalog.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "mesh.yaml",
        "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {defaults: {discoverable: domain, gate: off}}\n",
    );
    write("principals.yaml", &principals());
    let mut domains = vec!["sales", "marketing", "hr", "product"];
    if which.is_governed() {
        // those who govern see who discovers which domain
        domains.extend(["vault", "lab"]);
        write("policies/people.yaml", PEOPLE_POLICY);
        write("policies/orders-for-marketing.yaml", &orders_policy());
    }
    for domain in domains {
        let members = if matches!(domain, "sales" | "marketing") { domain } else { "" };
        let members = if domain == "vault" { "vault-keepers" } else { members };
        write(
            &format!("{domain}/domain.yaml"),
            &format!(
                "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {{name: {domain}, owner: {domain}@company.com}}\n\
                 spec: {{description: the domain {domain}, member_groups: [{members}]}}\n"
            ),
        );
    }
    for facts in TABLES {
        let is_copied = matches!(which, Which::Reference(principal) if facts.readers.contains(&principal));
        if which.is_governed() || is_copied || matches!(which, Which::FirstOpen | Which::SecondOpen) {
            write(&format!("{}/{}/data_product.yaml", facts.domain, facts.name), &contract(facts, which));
        }
    }
    if which.is_governed() {
        let unknown: &[&str] =
            if which.is_second() { &["vault/gold", "vault/silver", "lab/rats"] } else { &["vault/ledger", "lab/mice"] };
        for product in unknown {
            let (domain, name) = product.split_once('/').unwrap();
            let head = head(
                domain,
                name,
                "{name: id, type: integer, physical_type: bigint}\n    - {name: salary, type: integer, physical_type: bigint}",
            );
            write(
                &format!("{product}/data_product.yaml"),
                &format!("{head}  governance: {{access_policy: restricted}}\n"),
            );
        }
    }
}

fn head(domain: &str, name: &str, columns: &str) -> String {
    format!(
        "apiVersion: datamesh.azure.com/v1\nkind: DataProduct\n\
         metadata: {{name: {name}, domain: {domain}, owner: {domain}@company.com, version: 1.0.0}}\n\
         spec:\n  description: \"the product {name}\"\n  schema:\n    - {columns}\n  \
         outputs:\n    - {{name: delta, format: delta, location: \"data/{domain}/{name}\"}}\n"
    )
}

fn contract(facts: &Facts, which: Which) -> String {
    let columns: Vec<String> =
        facts.columns.iter().map(|column| format!("{{name: {}, {}}}", column.name, column.kind.contract())).collect();
    let mut text = head(facts.domain, facts.name, &columns.join("\n    - "));
    text.push_str("  governance:\n    gate: off\n");
    if !which.is_governed() {
        text.push_str("    access_policy: mesh-internal\n    discoverable: mesh\n");
        return text;
    }
    for line in facts.governance {
        writeln!(text, "    {line}").unwrap();
    }
    let masked: Vec<String> = facts.columns.iter().filter_map(mask).collect();
    if !masked.is_empty() {
        writeln!(text, "    masks: [{}]", masked.join(", ")).unwrap();
    }
    text
}

fn mask(column: &Column) -> Option<String> {
    let using = match column.masked? {
        "ends" => "using: partial, show_first: 2, show_last: 2".to_owned(),
        "left" => format!("expression: \"left({}, 2)\"", column.name),
        "grade" => format!("expression: \"CASE WHEN {} > 2000 THEN 1 ELSE 0 END\"", column.name),
        using => format!("using: \"{using}\""),
    };
    Some(format!("{{column: {}, {using}, unless_groups: [pii-readers]}}", column.name))
}

const PEOPLE_POLICY: &str = "name: people
description: Three teams read the people of two countries below a level
decisionRules:
  - effect: Permit
    rowFilter: \"level < 5 AND country IN ('DE', 'FR')\"
    dnfCondition:
      - - {attributeName: resource.product, attributeValueIncludes: people}
        - {attributeName: principal.group, attributeValueIncludedIn: [sales, marketing, data-science]}
  - effect: Permit
    dnfCondition:
      - - {attributeName: resource.product, attributeValueIncludes: people}
        - {attributeName: principal.group, attributeValueIncludedIn: [pii-readers]}
";

/// Below a hundred, two by two: a filter so long that it is another to the engine than a short one.
fn orders_policy() -> String {
    let two = |from: i64| format!("(quantity >= {from} AND quantity < {})", from + 2);
    let small: Vec<String> = ["quantity < 2".to_owned()].into_iter().chain((2..100).step_by(2).map(two)).collect();
    format!(
        "name: orders-for-marketing
description: Marketing reads small orders
decisionRules:
  - effect: Permit
    rowFilter: \"{}\"
    dnfCondition:
      - - {{attributeName: resource.product, attributeValueIncludes: orders}}
        - {{attributeName: principal.group, attributeValueIncludedIn: [marketing]}}
",
        small.join(" OR ")
    )
}

/// The users of the sample mesh with other groups; a password is the user's name.
fn principals() -> String {
    let sample = fs::read_to_string(repository().join("catalog/principals.yaml")).unwrap();
    let verifier = |user: &str| {
        let from = sample.find(&format!("- name: {user}\n")).unwrap();
        let line = sample[from..].lines().find(|line| line.trim_start().starts_with("scram:")).unwrap();
        line.trim().to_owned()
    };
    let mut text = "apiVersion: pgmesh/v1\nkind: Principals\nusers:\n".to_owned();
    for (user, rest) in [
        ("sales_analyst", "groups: [sales], attributes: {region: EU}"),
        ("marketing_analyst", "groups: [marketing], attributes: {region: US}"),
        ("data_scientist", "groups: [data-science]"),
        ("finance_analyst", "groups: [pii-readers, vault-keepers]"),
        ("mesh_admin", "groups: [], roles: [mesh_admin]"),
        ("auditor", "groups: [], roles: [auditor]"),
    ] {
        writeln!(text, "  - {{name: {user}, {}, {rest}}}", verifier(user)).unwrap();
    }
    text.push_str("groups:\n");
    for group in ["sales", "marketing", "data-science", "pii-readers", "vault-keepers"] {
        writeln!(text, "  - {{name: {group}, description: {group}}}").unwrap();
    }
    text
}
