//! What is asked besides rows of tables: the catalog, what does not exist or is refused, and the session itself.

use super::expression::Scope;
use super::facts::TABLES;
use super::query;
use super::statement::Maker;

/// Relations of the catalog with the columns that do not tell when something was measured or loaded.
const RELATIONS: &[(&str, &[&str])] = &[
    (
        "products",
        &[
            "product_id",
            "product_name",
            "domain",
            "owner",
            "description",
            "version",
            "status",
            "classification",
            "table_schema",
            "table_name",
            "sla_freshness",
            "quality_score",
            "quality_status",
            "delta_version",
            "row_count",
            "last_updated",
            "contract_path",
            "contract_sha256",
        ],
    ),
    (
        "columns",
        &[
            "product_name",
            "domain",
            "column_name",
            "ordinal_position",
            "logical_type",
            "physical_type",
            "is_nullable",
            "pii",
            "masked",
        ],
    ),
    ("domains", &["domain", "owner", "description", "product_count"]),
    ("user_domain_access", &["user_id", "domain", "privilege", "granted_via"]),
    ("input_ports", &["product_name", "domain"]),
    ("output_ports", &["product_name", "domain", "name", "location", "format"]),
    ("policies", &["policy_name", "policy_type", "scope", "effect", "dnf_condition", "to_principals", "row_filter"]),
    ("quality_checks", &["product_name", "domain", "check_name", "score", "passed"]),
    ("quality_scores", &["product_name", "domain", "dimension", "score", "quality_status", "delta_version"]),
    ("reload_status", &["state", "severity", "path", "line", "message"]),
];

/// Relations that PostgreSQL's clients look for, where much can be said too much.
const SYSTEM: &[&str] = &[
    "select count(*) from pg_catalog.pg_class",
    "select relname, reltuples from pg_class order by 1",
    "select relname, relpages from pg_catalog.pg_class where relname like '%e%' order by 1",
    "select * from pg_stats",
    "select tablename, attname, n_distinct, most_common_vals from pg_catalog.pg_stats order by 1, 2",
    "select * from pg_catalog.pg_policies order by 1",
    "select table_schema, table_name from information_schema.tables order by 1, 2",
    "select table_name, column_name, data_type from information_schema.columns order by 1, 2, 3",
    "select nspname from pg_namespace order by 1",
    "select rolname from pg_roles order by 1",
    "select schemaname, tablename from pg_tables order by 1, 2",
    "select relname, n_live_tup from pg_stat_user_tables order by 1",
    "select attname from pg_attribute order by 1",
    "select * from pg_catalog.pg_class order by oid",
    "select * from pg_attribute where attrelid >= 16384 order by attrelid, attnum",
    "select * from pg_type where oid >= 16384 order by oid",
    "select * from pg_namespace order by oid",
    "select * from pg_description where objoid >= 16384 order by 1, 2, 3",
    "select * from pg_shdescription order by 1, 2",
    "select * from pg_constraint order by oid",
    "select * from pg_index order by indexrelid",
    "select * from pg_indexes order by 1, 2, 3",
    "select * from pg_tables order by 1, 2",
    "select * from pg_views order by 1, 2",
    "select * from pg_roles order by oid",
    "select * from pg_user order by usesysid",
    "select * from pg_group order by grosysid",
    "select * from pg_auth_members order by 1, 2",
    "select * from pg_policy order by oid",
    "select * from pg_database",
    "select datid, datname, usename, state from pg_stat_activity",
    "select * from information_schema.schemata order by 2",
    "select * from information_schema.tables order by 2, 3",
    "select * from information_schema.columns where table_schema not in ('pg_catalog', 'information_schema') \
     order by 2, 3, 5",
    "select * from information_schema.views order by 2, 3",
    "select * from information_schema.table_privileges order by 4, 5",
    "select * from information_schema.column_privileges order by 4, 5, 6",
    "select * from information_schema.role_table_grants order by 4, 5",
    "select * from information_schema.table_constraints order by 2, 3",
    "select * from information_schema.key_column_usage order by 2, 3, 8",
    "select * from information_schema.referential_constraints order by 2, 3",
    "select * from information_schema.constraint_column_usage order by 2, 3, 4",
    "select * from information_schema.applicable_roles order by 2",
    "select c.relname, r.rolname from pg_class c join pg_roles r on r.oid = c.relowner order by 1, 2",
    "select pg_relation_size('sales.orders')",
    "select pg_total_relation_size('hr.people'::regclass)",
];

pub fn catalog(maker: &mut Maker<'_>) -> String {
    if maker.random.chance(15) {
        return (*maker.random.pick(SYSTEM)).to_owned();
    }
    // an auditor sees what all lanes of a run do, whenever they do it
    if maker.known.principal != "auditor" && maker.random.chance(8) {
        let relation = *maker.random.pick(&["grants", "access_requests", "audit", "access_history"]);
        return format!("select count(*) from data_catalog.{relation}");
    }
    let (relation, columns) = *maker.random.pick(RELATIONS);
    let count = maker.random.between(1, 4);
    let picked: Vec<&str> = (0..count).map(|_| *maker.random.pick(columns)).collect();
    let named: Vec<String> = picked.iter().enumerate().map(|(at, column)| format!("r.{column} as c{at}")).collect();
    let schema = *maker.random.pick(&["", "data_catalog."]);
    let from = format!("{schema}{relation} r");
    let condition = match maker.random.below(7) {
        0 => " where r.domain in (select domain from user_domain_access where user_id = current_user)",
        1 => " where r.domain = 'hr'",
        2 => " where r.domain in ('vault', 'lab')",
        3 => " where r.product_name like '%o%'",
        _ => "",
    };
    let condition = match relation {
        "policies" | "reload_status" => "",
        "domains" | "user_domain_access" if condition.contains("product_name") => "",
        _ => condition,
    };
    match maker.random.below(6) {
        0 => format!("select count(*), min(r.{}), max(r.{}) from {from}{condition}", picked[0], picked[0]),
        1 => format!("select r.{0}, count(*) from {from}{condition} group by r.{0}", picked[0]),
        2 => {
            let table = maker.source();
            let key = format!("{}.{}", table.alias, table.facts.key());
            let joined = maker.from(&table);
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            format!("select {}, {key} from {from} cross join {joined}{condition}", named.join(", "))
        }
        _ => format!("select {} from {from}{condition}", named.join(", ")),
    }
}

/// Names of tables: some that are read, some that are known, some that are not, and some that nobody has.
const TABLE_NAMES: &[&str] = &[
    "hr.payroll",
    "vault.ledger",
    "vault.gold",
    "vault.silver",
    "vault.nothing",
    "lab.rats",
    "lab.mice",
    "sales.order",
    "sales.orders",
    "hr.people",
    "marketing.leads",
    "marketing.lead",
    "product.feedback",
    "hr.nothing",
    "nowhere.orders",
    "ledger",
    "payroll",
    "orders",
    "pg_catalog.pg_authid",
    "sales.\"Orders\"",
    "mesh.sales.orders",
    "other.sales.orders",
];

/// What none of them may know of, and what nobody has.
const UNKNOWN: [&str; 5] = ["vault.ledger", "vault.gold", "lab.rats", "vault.nothing", "nowhere.orders"];

const COLUMN_NAMES: &[&str] = &[
    "salary",
    "bonus",
    "ssn",
    "email",
    "name",
    "phone",
    "contact",
    "quantityy",
    "regio",
    "sallary",
    "_rowid",
    "ctid",
    "xmin",
    "tableoid",
    "__file",
    "_metadata",
    "file_path",
    "notes",
    "level",
    "person_id",
    "order_id",
];

/// What is not there, or not for this principal, or for nobody.
pub fn refused(maker: &mut Maker<'_>) -> String {
    let table = *maker.random.pick(TABLE_NAMES);
    let column = *maker.random.pick(COLUMN_NAMES);
    let source = maker.source();
    let (read, key) = (source.facts.sql_name(), source.facts.key());
    let bare = table.rsplit('.').next().unwrap_or(table);
    match maker.random.below(31) {
        0..3 => format!("select * from {table} order by 1 limit 3"),
        3 => format!("select count(*) from {table}"),
        4 => format!("explain select * from {table}"),
        5 => format!("select {key} from {read} where exists (select 1 from {table})"),
        6 => format!("select a.{key} from {read} a join {table} b on true order by 1 limit 5"),
        7..10 => format!("select {column} from {read} order by 1"),
        10 => format!("select {key} from {read} where {column} is null order by 1"),
        11 => format!("select x.{column}, {bare}.{key} from {read} x"),
        12 => format!("select has_table_privilege('{table}', 'select')"),
        13 => format!("select has_table_privilege(current_user, '{table}', 'insert')"),
        14 => format!("select '{table}'::regclass"),
        15 => format!("select '{table}'::regclass::oid::int"),
        16 => format!("select to_regclass('{table}')"),
        17 => format!("select has_column_privilege('{read}', '{column}', 'select')"),
        18 => format!("copy {read} to stdout"),
        19 => format!("copy (select {key} from {table}) to '/tmp/x.csv'"),
        20 => "select * from 's3://bucket/secret.parquet'".to_owned(),
        21 => format!("select * from read_parquet('data/{}.parquet')", table.replace('.', "/")),
        22 => format!("create view v as select * from {table}"),
        23 => format!("insert into {table} select * from {read}"),
        26 => format!("grant select on {table} to data_scientist"),
        27 => format!("revoke select on {table} from data_scientist"),
        28 => format!("grant usage on schema {} to auditor", table.split('.').next().unwrap_or(table)),
        // only what cannot be asked for: what can is kept
        29 => format!("call data_catalog.request_access('{}', 'curious')", maker.random.pick(&UNKNOWN)),
        24 => format!("select nothing_like_it({key}) from {read}"),
        25 => {
            let scope = Scope { sources: vec![source] };
            let wrong = maker.text(&scope, 0);
            let from = maker.from(&scope.sources[0]);
            format!("select {wrong} + 1 from {from}")
        }
        _ => format!("select {key}, count(*) from {read} order by 2"),
    }
}

/// Statements about the session, and what they change undone.
pub fn session(maker: &mut Maker<'_>) -> Vec<String> {
    let source = maker.source();
    let (read, name, key) = (source.facts.sql_name(), source.facts.name, source.facts.key());
    let one = |sql: &str| vec![sql.to_owned()];
    if maker.known.abilities.views && maker.random.chance(25) {
        let query = query::ordered_query(maker);
        let create = format!("create temporary view v as {}", query.sql);
        let uses = *maker.random.pick(&[
            "select * from v",
            "select count(*) from v",
            "explain select * from v",
            "select v.* from v",
        ]);
        return vec![create, uses.to_owned(), "drop view if exists v".to_owned()];
    }
    if maker.known.abilities.travel && maker.random.chance(20) {
        let moment = maker.moment().replace(" timestamp as of ", "").replace(" version as of ", "");
        let moment = if moment.starts_with('\'') { moment } else { "'2026-05-28 20:29:00+00'".to_owned() };
        return vec![
            format!("set mesh.as_of = {moment}"),
            format!("select count(*), max({key}) from {read}"),
            "reset mesh.as_of".to_owned(),
        ];
    }
    match maker.random.below(12) {
        0 => one("show all"),
        1 => one(&format!(
            "show {}",
            maker.random.pick(&["search_path", "mesh.as_of", "role", "is_superuser", "data_directory"])
        )),
        2 => vec![
            format!("set search_path = {}", source.facts.domain),
            format!("select count(*) from {name}"),
            "reset search_path".to_owned(),
        ],
        3 => one("set role mesh_admin"),
        4 => one("set session authorization finance_analyst"),
        5 => one("select current_user, session_user, current_role, user"),
        6 => vec!["set row_security = off".to_owned(), format!("select count(*) from {read}"), "reset all".to_owned()],
        7 => {
            let prepared = format!("prepare p as select {key} from {read} order by 1");
            vec![prepared, "execute p".to_owned(), "deallocate all".to_owned()]
        }
        8 => vec![
            "begin".to_owned(),
            format!("select 1 / count(*) from {read}"),
            format!("select count(*) from {read}"),
            "rollback".to_owned(),
        ],
        9 => {
            let others: Vec<String> =
                TABLES.iter().map(|facts| format!("select count(*) from {}", facts.sql_name())).collect();
            one(&others.join("; "))
        }
        10 => vec![
            "set timezone = 'Asia/Tokyo'".to_owned(),
            "select max(at) from product.feedback".to_owned(),
            "reset timezone".to_owned(),
        ],
        _ => vec![
            "begin; set transaction isolation level serializable".to_owned(),
            format!("select max({key}) from {read}"),
            "commit".to_owned(),
        ],
    }
}
