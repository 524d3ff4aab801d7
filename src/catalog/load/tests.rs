//! Whole catalog folders: each dialect, each kind of problem with its place.

mod policies;
mod relationships;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::catalog::model::*;

/// The founding documents' contract, verbatim.
const FOUNDING: &str = include_str!("tests/founding.yaml");
const MESH: &str = "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\n";
const PRINCIPALS: &str = "apiVersion: pgmesh/v1\nkind: Principals\nusers: []\n";
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                        wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// A catalog folder with `mesh.yaml`, `principals.yaml` and the domain `sales`.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("mesh.yaml", MESH);
        folder.write("principals.yaml", PRINCIPALS);
        folder.domain("sales");
        folder
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn domain(&self, name: &str) {
        let text = format!(
            "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {{name: {name}, owner: o@x.com}}\nspec: {{member_groups: [{name}]}}\n"
        );
        self.write(&format!("{name}/domain.yaml"), text);
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("catalog")
    }

    fn load(&self) -> Loaded {
        load(&self.path())
    }

    fn problems(&self) -> Vec<String> {
        self.load().problems.iter().map(ToString::to_string).collect()
    }
}

/// A founding contract of the domain `sales` with one column `id`; `spec` goes below `spec:`.
fn contract(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: datamesh.azure.com/v1\nkind: DataProduct\nmetadata: {{name: {name}, domain: sales, owner: o}}\nspec:\n  \
         schema: [{{name: id, type: string}}]\n  outputs: [{{name: d, format: delta, location: data/{name}}}]\n{spec}"
    )
}

fn one(loaded: &Loaded) -> &Product {
    assert_eq!(loaded.catalog.products.len(), 1, "{:?}", loaded.problems);
    loaded.catalog.products.values().next().unwrap()
}

#[test]
fn the_founding_contract_loads_verbatim() {
    let folder = Folder::new();
    folder.write("sales/customer-360/data_product.yaml", FOUNDING);
    let loaded = folder.load();
    assert_eq!(loaded.problems, []);
    let product = one(&loaded);
    assert_eq!(product.id.0, "sales.customer-360");
    assert_eq!((product.domain.schema_name().as_str(), product.table_name().as_str()), ("sales", "customer_360"));
    assert_eq!(product.owner, "sales-data-team@company.com");
    assert_eq!(product.description.as_deref(), Some("Unified customer view combining all touchpoints"));
    assert_eq!(product.classification.as_deref(), Some("internal"));
    assert_eq!(product.sla.freshness.as_deref(), Some("1 hour"));
    assert_eq!(product.sla.freshness_limit, Some(Duration::from_hours(1)));
    assert_eq!(product.sla.availability.as_deref(), Some("99.9%"));
    assert_eq!(product.sla.quality_score, Some(0.95));
    let columns: Vec<_> = product.columns.iter().map(|c| (c.name.as_str(), c.logical_type.as_deref(), c.pii)).collect();
    assert_eq!(
        columns,
        [
            ("customer_id", Some("string"), false),
            ("email", Some("string"), true),
            ("lifetime_value", Some("decimal"), false)
        ]
    );
    assert_eq!(product.classifications().collect::<Vec<_>>(), ["internal", "PERSONAL.EMAIL"]);
    let inputs: Vec<_> =
        product.inputs.iter().map(|i| (i.name.as_str(), i.domain.as_ref().unwrap().as_str(), &i.product)).collect();
    assert_eq!(
        inputs,
        [
            ("bronze.crm.customers", "sales", &None),
            ("bronze.web.sessions", "marketing", &None),
            ("bronze.support.tickets", "customer-success", &None)
        ]
    );
    let port = product.delta_port().unwrap();
    assert_eq!(port.location.as_ref().unwrap().url, "abfss://gold@lakesales.dfs.core.windows.net/customer_360");
    assert_eq!(product.outputs[1].endpoint.as_deref(), Some("https://api.company.com/data/customer-360"));
    assert_eq!(product.governance.access_policy, AccessPolicy::DomainInternal);
    assert_eq!(product.governance.retention.as_deref(), Some("7 years"));
    let checks: Vec<_> = product.quality_checks.iter().map(|c| (&c.kind, c.column.as_deref(), c.threshold)).collect();
    assert_eq!(
        checks,
        [(&CheckKind::Completeness, None, Some(0.99)), (&CheckKind::Uniqueness, Some("customer_id"), Some(1.0))]
    );
    assert_eq!(product.contract_path, Path::new("catalog/sales/customer-360/data_product.yaml"));
    assert_eq!(product.contract_sha256.len(), 64);
}

#[test]
fn our_additions_to_the_founding_dialect_are_read() {
    let folder = Folder::new();
    let spec = "  governance:\n    discoverable: mesh\n    access_policy: mesh-internal\n    row_domain_column: id\n    \
                row_filter: \"id = principal_attribute('region')\"\n    masks: [{column: id, using: null, unless_groups: [pii]}]\n    gate: off\n";
    folder.write("sales/a/data_product.yaml", contract("a", spec));
    let loaded = folder.load();
    assert_eq!(loaded.problems, []);
    let governance = &one(&loaded).governance;
    assert_eq!(governance.discoverable, Discoverable::Mesh);
    assert_eq!(governance.access_policy, AccessPolicy::MeshInternal);
    assert_eq!(governance.row_domain_column.as_deref(), Some("id"));
    assert_eq!(governance.row_filter.as_deref(), Some("id = principal_attribute('region')"));
    assert_eq!(
        governance.masks,
        [Mask { column: "id".into(), using: MaskMethod::Null, unless_groups: vec!["pii".into()] }]
    );
    assert_eq!(governance.gate, Gate::Off);
}

#[test]
fn relative_locations_start_beside_the_catalog() {
    let folder = Folder::new();
    folder.write("sales/a/data_product.yaml", contract("a", "").replace("data/a", "sample_data/a, credentials: LAKE"));
    let loaded = folder.load();
    let location = one(&loaded).delta_port().unwrap().location.clone().unwrap();
    let expected = url::Url::from_file_path(folder.0.path().join("sample_data/a")).unwrap();
    assert_eq!(location, Location { url: expected.into(), credentials: Some("LAKE".into()) });
}

const ODCS: &str = "\
apiVersion: v3.1.0
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: orders
version: 1.10
status: active
domain: sales
description: {purpose: All orders, usage: Read it}
tags: [open]
team:
  name: sales team
  members:
    - {username: ada@x.com, role: owner}
schema:
  - name: orders
    logicalType: object
    physicalType: table
    quality:
      - {metric: rowCount, mustBeGreaterThan: 0, severity: info}
    properties:
      - name: order_id
        businessName: Order number
        logicalType: string
        physicalType: varchar
        required: true
        unique: true
        primaryKey: true
        primaryKeyPosition: 1
        quality:
          - {name: no doubles, metric: duplicateValues, mustBe: 0, severity: warning}
          - {type: library, rule: nullValues, mustBeLessThan: 2.5, unit: percent}
      - name: mail
        physicalName: email
        logicalType: string
        classification: PERSONAL.EMAIL
        tags: [pii]
servers:
  - {server: local, type: local, path: data/orders, format: delta, customProperties: [{property: pgmesh.credentials, value: LAKE}]}
slaProperties:
  - {property: latency, value: 4, unit: d}
  - {property: freshness, value: 15, unit: minutes}
  - {property: availability, value: 99.9, unit: percent}
roles:
  - {role: partners, access: read}
  - {role: writers, access: write}
customProperties:
  - {property: pgmesh.accessPolicy, value: restricted}
  - {property: pgmesh.rowFilter, value: email is not null}
  - {property: pgmesh.masks, value: [{column: email, using: hash}]}
  - {property: other.tool, value: {any: thing}}
";

#[test]
fn an_odcs_contract_alone_is_a_product() {
    let folder = Folder::new();
    folder.write("sales/orders/orders.odcs.yaml", ODCS);
    let loaded = folder.load();
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "catalog/sales/orders/orders.odcs.yaml:44:12: warning: the group `partners` is unknown",
            "catalog/sales/orders/orders.odcs.yaml:45:12: warning: the role `writers` grants nothing here: its access is not `read`",
        ]
    );
    let product = one(&loaded);
    assert_eq!((product.id.0.as_str(), product.dialect), ("sales.orders", Dialect::Odcs));
    assert_eq!(product.owner, "ada@x.com");
    assert_eq!(product.version.as_deref(), Some("1.10"));
    assert_eq!(product.description.as_deref(), Some("All orders"));
    assert_eq!(product.sla.freshness.as_deref(), Some("15 minutes"));
    assert_eq!(product.sla.freshness_limit, Some(Duration::from_mins(15)));
    assert_eq!(product.sla.availability.as_deref(), Some("99.9%"));
    let id = &product.columns[0];
    assert!(id.required && id.unique && id.primary_key && !id.pii);
    assert_eq!(id.business_name.as_deref(), Some("Order number"));
    let email = &product.columns[1];
    assert_eq!((email.name.as_str(), email.synonyms.as_slice(), email.pii), ("email", &["mail".to_owned()][..], true));
    let checks: Vec<_> = product
        .quality_checks
        .iter()
        .map(|c| (c.name.as_str(), &c.kind, c.column.as_deref(), c.threshold, c.severity))
        .collect();
    assert_eq!(
        checks,
        [
            ("no doubles", &CheckKind::Uniqueness, Some("order_id"), Some(1.0), CheckSeverity::Warning),
            ("nullValues", &CheckKind::Completeness, Some("order_id"), Some(0.975), CheckSeverity::Error),
            ("rowCount", &CheckKind::Other("rowCount".into()), None, None, CheckSeverity::Info),
        ]
    );
    assert_eq!(product.delta_port().unwrap().location.as_ref().unwrap().credentials.as_deref(), Some("LAKE"));
    assert_eq!(product.governance.access_policy, AccessPolicy::Restricted);
    assert_eq!(product.governance.row_filter.as_deref(), Some("email is not null"));
    assert_eq!(product.governance.masks.len(), 1);
    let [policy] = loaded.catalog.policies.as_slice() else { panic!("{:?}", loaded.catalog.policies) };
    assert_eq!(policy.scope, PolicyScope::Domain(DomainName("sales".into())));
    let [rule] = policy.rules.as_deref().unwrap() else { panic!() };
    let conditions: Vec<_> = rule.dnf[0].iter().map(|c| (c.attribute.clone(), c.values[0].as_str())).collect();
    assert_eq!(
        conditions,
        [
            (Attribute::ResourceDomain, "sales"),
            (Attribute::ResourceProduct, "orders"),
            (Attribute::PrincipalGroup, "partners")
        ]
    );
    assert!(rule.effect == Effect::Permit && rule.discover && rule.read);
}

const ODPS: &str = "\
apiVersion: v1.0.0
kind: DataProduct
id: orders-product
name: Order Book
version: 2.0.0
status: active
domain: sales
description: {purpose: The order book}
inputPorts:
  - {name: raw, version: 1.0.0, contractId: somewhere-else}
outputPorts:
  - {name: table, version: 1.0.0, type: tables, contractId: 53581432-6c55-4ba2-a65f-72344a91553a}
team:
  - {username: bob@x.com, role: owner}
";

#[test]
fn an_odps_product_takes_what_its_contract_says() {
    let folder = Folder::new();
    folder.write("sales/orders/orders.odps.yaml", ODPS);
    folder.write("sales/orders/orders.odcs.yaml", ODCS);
    let loaded = folder.load();
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    let product = one(&loaded);
    assert_eq!(
        (product.id.0.as_str(), product.table_name().as_str(), product.dialect),
        ("sales.Order Book", "order_book", Dialect::Odps)
    );
    assert_eq!((product.owner.as_str(), product.version.as_deref()), ("bob@x.com", Some("2.0.0")));
    assert_eq!(product.description.as_deref(), Some("The order book"));
    assert_eq!(product.columns.len(), 2);
    assert_eq!(product.quality_checks.len(), 3);
    assert_eq!(product.governance.access_policy, AccessPolicy::Restricted);
    let port = product.delta_port().unwrap();
    assert_eq!((port.name.as_str(), port.port_type.as_deref()), ("table", Some("tables")));
    let rule = &loaded.catalog.policies[0].rules.as_ref().unwrap()[0];
    assert_eq!(rule.dnf[0][1].values, ["Order Book"]);
}

#[test]
fn an_odps_product_without_its_contract_is_not_served() {
    let folder = Folder::new();
    folder.write("sales/orders/orders.odps.yaml", ODPS);
    folder.write("sales/orders/orders.odcs.yaml", ODCS.replace("53581432", "53581433"));
    let loaded = folder.load();
    assert!(loaded.catalog.products.is_empty() && loaded.catalog.policies.is_empty());
    let errors: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    let wanted = "catalog/sales/orders/orders.odps.yaml:12:61: error: no contract with the id \
                  `53581432-6c55-4ba2-a65f-72344a91553a` lies in this folder (did you mean `53581433-6c55-4ba2-a65f-72344a91553a`?)";
    assert!(errors.contains(&wanted.to_owned()), "{errors:#?}");
}

#[test]
fn governance_said_twice_is_an_error() {
    let folder = Folder::new();
    let gate = "customProperties:\n  - {property: pgmesh.gate, value: off}\n";
    folder.write("sales/orders/orders.odps.yaml", format!("{ODPS}{gate}"));
    folder.write("sales/orders/orders.odcs.yaml", ODCS);
    let loaded = folder.load();
    assert!(loaded.catalog.products.is_empty());
    assert!(
        loaded.problems.iter().any(|p| p.line == 4 && p.message.contains("set pgmesh properties")),
        "{:?}",
        loaded.problems
    );
}

#[test]
fn every_error_of_a_contract_is_reported_at_its_place() {
    let folder = Folder::new();
    folder.write(
        "sales/a/data_product.yaml",
        "apiVersion: datamesh.azure.com/v1\n\
         kind: DataProduct\n\
         metadata:\n\
         \x20 name: a\n\
         \x20 domain: sales\n\
         spec:\n\
         \x20 descripton: typo\n\
         \x20 sla: {freshness: soonish, quality_score: 2}\n\
         \x20 schema:\n\
         \x20   - {name: id, type: string, pii: 'yes'}\n\
         \x20   - {name: id, type: string}\n\
         \x20   - {type: string}\n\
         \x20 inputs:\n\
         \x20   - {domain: sales}\n\
         \x20 outputs:\n\
         \x20   - {name: d, format: delta}\n\
         \x20   - {name: e, format: delta, location: 's3://k:v@b/x'}\n\
         \x20 governance:\n\
         \x20   acces_policy: restricted\n\
         \x20   gate: maybe\n\
         \x20   row_filter: id ==\n\
         \x20   row_domain_column: idd\n\
         \x20   masks: [{column: nope, using: sha1}]\n\
         \x20   quality_checks: [{name: uniqueness, column: ID, threshold: 101%}]\n",
    );
    let loaded = folder.load();
    assert!(loaded.catalog.products.is_empty());
    let problems: Vec<String> =
        loaded.problems.iter().map(|p| p.to_string().replace("catalog/sales/a/data_product.yaml:", "")).collect();
    assert_eq!(
        problems,
        [
            "4:3: error: missing key `owner` in `metadata`",
            "7:3: error: unknown key `descripton` in `spec` (did you mean `description`?)",
            "8:20: warning: the freshness `soonish` cannot be measured (write a duration such as `1 hour`)",
            "8:44: error: `quality_score` must lie between 0 and 1, not `2`",
            "10:37: error: `pii` must be true or false, not text",
            "11:7: error: duplicate column `id`",
            "12:7: error: missing key `name` in `schema`",
            "14:7: error: missing key `source` in `inputs`",
            "16:7: error: missing key `location` in `outputs`",
            "17:42: error: this address carries a secret (name the credentials with `credentials: NAME` and keep the secret out)",
            "19:5: error: unknown key `acces_policy` in `governance` (did you mean `access_policy`?)",
            "20:11: error: `gate` cannot be `maybe` (known: block, warn, off)",
            "21:17: error: `row_filter` is no SQL expression: sql parser error: Expected: an expression, found: EOF",
            "22:24: error: the row_domain_column names the column `idd`, which the schema does not declare (did you mean `id`?)",
            "23:35: error: `using` cannot be `sha1` (known: hash, null, redact, partial)",
            "24:49: error: the quality check names the column `ID`, which the schema does not declare (did you mean `id`?)",
            "24:64: error: `threshold` must lie between 0 and 1, not `101%`",
        ]
    );
}

#[test]
fn unknown_kinds_and_versions_are_refused() {
    for (text, wanted) in [
        (
            "kind: DataProdukt\napiVersion: v1.0.0\n",
            ":1:7: error: unknown kind `DataProdukt` (known kinds: DataProduct, DataContract)",
        ),
        (
            "kind: DataContract\napiVersion: v2.2.2\n",
            ":2:13: error: unknown apiVersion `v2.2.2` (known for DataContract: v3.0.x, v3.1.x, v3.2.x)",
        ),
        ("kind: DataProduct\n", ":1:1: error: missing key `apiVersion`"),
        ("", ": error: the file is empty"),
        ("- a\n", ":1:1: error: `the file` must be a mapping, not a list"),
    ] {
        let folder = Folder::new();
        folder.write("sales/a/data_product.yaml", text);
        assert_eq!(folder.problems(), [format!("catalog/sales/a/data_product.yaml{wanted}")]);
    }
}

#[test]
fn files_that_are_too_large_or_no_text_are_refused() {
    let folder = Folder::new();
    folder.write("sales/a/data_product.yaml", vec![b'#'; FILE_BYTES_MAX as usize + 1]);
    folder.write("sales/b/data_product.yaml", b"a: b\nc: \xff\n");
    fs::create_dir_all(folder.path().join("sales/c/data_product.yaml")).unwrap();
    assert_eq!(
        folder.problems(),
        [
            "catalog/sales/a/data_product.yaml: error: the file is larger than 1048576 bytes",
            "catalog/sales/b/data_product.yaml:2:1: error: the file is not UTF-8 text",
            "catalog/sales/c: warning: this folder holds no contract (write data_product.yaml, *.odps.yaml or *.odcs.yaml)",
        ]
    );
}

#[test]
fn missing_files_fall_back_to_nothing() {
    let folder = Folder(tempfile::tempdir().unwrap());
    fs::create_dir_all(folder.path().join("sales")).unwrap();
    let loaded = folder.load();
    assert_eq!(
        (loaded.catalog.mesh.name.as_str(), loaded.catalog.users.len(), loaded.catalog.domains.len()),
        ("mesh", 0, 0)
    );
    assert_eq!(
        folder.problems(),
        [
            "catalog/mesh.yaml: error: the file is missing",
            "catalog/principals.yaml: error: the file is missing",
            "catalog/sales/domain.yaml: error: the file is missing",
        ]
    );
}

#[test]
fn the_mesh_sets_defaults_for_contracts() {
    let folder = Folder::new();
    folder.write(
        "mesh.yaml",
        format!("{MESH}spec: {{defaults: {{discoverable: mesh, max_staleness: 0, gate: block}}}}\n"),
    );
    folder.write("sales/a/data_product.yaml", contract("a", ""));
    let loaded = folder.load();
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.catalog.mesh.defaults.max_staleness, Duration::ZERO);
    let governance = &one(&loaded).governance;
    assert_eq!((governance.discoverable, governance.gate), (Discoverable::Mesh, Gate::Block));
    folder.write("mesh.yaml", format!("{MESH}spec: {{defaults: {{max_staleness: later, gates: off}}}}\n"));
    assert_eq!(
        folder.problems(),
        [
            "catalog/mesh.yaml:4:34: error: `max_staleness` cannot be `later` (write a duration such as 1s)",
            "catalog/mesh.yaml:4:41: error: unknown key `gates` in `defaults` (did you mean `gate`?)",
        ]
    );
}

#[test]
fn domains_must_have_names_of_their_own() {
    let folder = Folder::new();
    folder.domain("customer-success");
    folder.domain("customer_success");
    folder.domain("pg_temp");
    folder.domain("public");
    folder.write("finance/domain.yaml", "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {name: money, owner: o}\n");
    let loaded = folder.load();
    let served: Vec<_> = loaded.catalog.domains.keys().map(DomainName::as_str).collect();
    assert_eq!(served, ["customer-success", "sales"]);
    assert_eq!(
        folder.problems(),
        [
            "catalog/customer_success/domain.yaml:3:18: error: the domains `customer-success` and `customer_success` would share the schema `customer_success`",
            "catalog/finance/domain.yaml:3:18: error: the domain `money` lies in the folder `finance` (call both `money`)",
            "catalog/pg_temp/domain.yaml:3:18: error: no domain can be called `pg_temp`: the schema `pg_temp` is the server's own",
            "catalog/public/domain.yaml:3:18: error: no domain can be called `public`: the schema `public` is the server's own",
        ]
    );
}

#[test]
fn products_must_belong_to_their_folder_and_be_unique() {
    let folder = Folder::new();
    folder.domain("marketing");
    folder.write("sales/a/data_product.yaml", contract("the-table", ""));
    folder.write("sales/b/data_product.yaml", contract("the_table", ""));
    folder.write("sales/c/data_product.yaml", contract("c", "").replace("domain: sales", "domain: slaes"));
    folder.write("sales/d/data_product.yaml", contract("d", "").replace("domain: sales", "domain: marketing"));
    assert_eq!(one(&folder.load()).name, "the-table");
    assert_eq!(
        folder.problems(),
        [
            "catalog/sales/b/data_product.yaml:3:18: error: the table sales.the_table is already that of catalog/sales/a/data_product.yaml:3:18",
            "catalog/sales/c/data_product.yaml:3:29: error: the domain `slaes` is unknown (did you mean `sales`?)",
            "catalog/sales/d/data_product.yaml:3:29: error: the contract of the domain `marketing` lies in the folder of `sales`",
        ]
    );
}

#[test]
fn a_broken_domain_takes_its_products_along() {
    let folder = Folder::new();
    folder.write("sales/domain.yaml", "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {name: sales}\n");
    folder.write("sales/a/data_product.yaml", contract("a", ""));
    let loaded = folder.load();
    assert!(loaded.catalog.products.is_empty() && loaded.catalog.domains.is_empty());
    assert_eq!(
        folder.problems(),
        [
            "catalog/sales/a/data_product.yaml:3:18: warning: not served until the domain `sales` is right",
            "catalog/sales/domain.yaml:3:11: error: missing key `owner` in `metadata`",
        ]
    );
}

#[test]
fn inputs_find_their_products_or_are_dangling() {
    let folder = Folder::new();
    folder.write("sales/orders/data_product.yaml", contract("all-orders", ""));
    let inputs = "  inputs:\n    - {source: sales.all_orders}\n    - {source: all-orders, domain: sales}\n    - {product: sales.all-orders}\n    \
                  - {source: bronze.x.y, domain: saless}\n    - {source: sales.all_order}\n    - {source: nothing, domain: sales}\n    \
                  - {product: bronze.x}\n    - {source: nothing}\n";
    folder.write("sales/x/data_product.yaml", contract("x", inputs));
    let mut paths: BTreeMap<usize, String> = BTreeMap::new();
    for problem in folder.load().problems {
        paths.insert(problem.line, problem.to_string().replace("catalog/sales/x/data_product.yaml", ""));
    }
    assert_eq!(
        paths.into_values().collect::<Vec<_>>(),
        [
            ":11:16: warning: the domain `saless` of this input is unknown (did you mean `sales`?)",
            ":12:16: error: the domain `sales` has no product `all_order` (did you mean `sales.all-orders`?)",
            ":13:16: error: the domain `sales` has no product `nothing`",
            ":14:17: error: the mesh has no product `bronze.x` (write <domain>.<product>)",
        ]
    );
    let good: String = inputs.split_inclusive('\n').take(5).collect();
    folder.write("sales/x/data_product.yaml", contract("x", &good));
    let loaded = folder.load();
    let inputs = &loaded.catalog.products[&ProductId("sales.x".into())].inputs;
    let found: Vec<_> = inputs.iter().map(|input| input.product.as_ref().map(|id| id.0.as_str())).collect();
    assert_eq!(found, [Some("sales.all-orders"), Some("sales.all-orders"), Some("sales.all-orders"), None]);
}

#[test]
fn an_input_port_finds_a_product_by_its_contract() {
    let folder = Folder::new();
    folder.write("sales/orders/orders.odcs.yaml", ODCS);
    let odps = ODPS.replace("somewhere-else", "53581432-6c55-4ba2-a65f-72344a91553a");
    folder.write(
        "sales/book/b.odps.yaml",
        odps.replace(", contractId: 53581432-6c55-4ba2-a65f-72344a91553a}\nteam", ", contractId: own}\nteam"),
    );
    folder.write(
        "sales/book/b.odcs.yaml",
        ODCS.replace("53581432-6c55-4ba2-a65f-72344a91553a", "own").replace("data/orders", "data/book"),
    );
    let loaded = folder.load();
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    let book = &loaded.catalog.products[&ProductId("sales.Order Book".into())];
    assert_eq!(book.inputs[0].product, Some(ProductId("sales.orders".into())));
}

#[test]
fn every_cycle_is_named_once() {
    let folder = Folder::new();
    for (name, input) in [("a", "b"), ("b", "c"), ("c", "a"), ("self", "self"), ("fine", "a")] {
        let spec = format!("  inputs:\n    - product: sales.{input}\n");
        folder.write(&format!("sales/{name}/data_product.yaml"), contract(name, &spec));
    }
    assert_eq!(
        folder.problems(),
        [
            "catalog/sales/c/data_product.yaml:8:16: error: cyclic inputs: sales.a <- sales.b <- sales.c <- sales.a",
            "catalog/sales/self/data_product.yaml:8:16: error: cyclic inputs: sales.self <- sales.self",
        ]
    );
    assert_eq!(one(&folder.load()).name, "fine");
}

#[test]
fn a_long_line_of_products_is_no_trouble() {
    let folder = Folder::new();
    for index in 0..300 {
        let spec = format!("  inputs:\n    - product: sales.p{}\n", index + 1);
        let spec = if index == 299 { "" } else { &spec };
        folder.write(&format!("sales/p{index}/data_product.yaml"), contract(&format!("p{index}"), spec));
    }
    let loaded = folder.load();
    assert_eq!((loaded.problems, loaded.catalog.products.len()), (vec![], 300));
}

/// A small linear congruential generator (Knuth's MMIX constants): the same mutations in every run.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

#[test]
fn mutated_contracts_never_panic() {
    const PIECES: [&str; 24] = [
        "\n",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "|\n",
        ">-\n",
        "#",
        "\t",
        "é",
        "\0",
        "---\n",
        "null",
        "1e999",
        "? ",
        "%YAML 1.2\n",
    ];
    let mut random = Lcg(42);
    let folder = Folder::new();
    let sources = [
        ("sales/a/data_product.yaml", FOUNDING),
        ("sales/b/x.odcs.yaml", ODCS),
        ("sales/c/x.odps.yaml", ODPS),
        ("policies/p.yaml", policies::PURVIEW),
        ("sales/domain.yaml", "apiVersion: pgmesh/v1\nkind: Domain\nmetadata: {name: sales, owner: o}\n"),
    ];
    for round in 0..400 {
        for (name, text) in sources {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..=random.below(6) {
                let at = random.below(chars.len());
                match random.below(4) {
                    0 => {
                        let end = (at + random.below(40)).min(chars.len());
                        chars.drain(at..end);
                    }
                    1 => {
                        let piece = PIECES[random.below(PIECES.len())];
                        chars.splice(at..at, piece.chars());
                    }
                    2 => {
                        let end = (at + random.below(80)).min(chars.len());
                        let copy: Vec<char> = chars[at..end].to_vec();
                        let to = random.below(chars.len());
                        chars.splice(to..to, copy);
                    }
                    _ => chars.truncate(chars.len() - random.below(chars.len() / 8)),
                }
            }
            folder.write(name, chars.into_iter().collect::<String>());
        }
        let loaded = folder.load();
        let broken = loaded.catalog.policies.iter().filter(|policy| policy.scope == PolicyScope::Mesh).count();
        assert_eq!(broken, 1, "round {round}: the policy file went missing");
    }
}

#[test]
fn what_restricts_access_must_not_be_left_empty() {
    let folder = Folder::new();
    folder.write("sales/a/data_product.yaml", contract("a", "  governance:\n    row_filter:\n    access_policy: ~\n"));
    folder.write("sales/orders/orders.odcs.yaml", ODCS.replace("value: email is not null", "value: null"));
    folder.write(
        "policies/p.yaml",
        "decisionRules:\n  - effect: Permit\n    dnfCondition: [[]]\n    rowFilter:\n    actions:\n",
    );
    let loaded = folder.load();
    assert!(loaded.catalog.products.is_empty());
    assert_eq!(loaded.catalog.policies[0].rules, None);
    let errors: Vec<String> =
        loaded.problems.iter().filter(|p| p.severity == ProblemSeverity::Error).map(|p| p.message.clone()).collect();
    assert_eq!(
        errors,
        [
            "`rowFilter` is empty",
            "`actions` is empty",
            "`row_filter` is empty",
            "`access_policy` is empty",
            "missing key `value` in `customProperties`"
        ]
    );
}

#[test]
fn a_role_for_everyone_is_refused() {
    let folder = Folder::new();
    folder.write("sales/orders/orders.odcs.yaml", ODCS.replace("role: partners", "role: '*'"));
    let loaded = folder.load();
    assert!(loaded.catalog.products.is_empty() && loaded.catalog.policies.is_empty());
    assert!(loaded.problems.iter().any(|p| p.line == 44 && p.column == 12 && p.message.contains("everyone")));
}
