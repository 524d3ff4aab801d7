//! `pg_catalog` and `information_schema`: PostgreSQL's relations with PostgreSQL's columns, over what a principal may
//! discover and nothing else.

use std::collections::BTreeSet;

use tokio::net::TcpStream;

use crate::postgres;
use crate::raw::{Client, bind_with, execute, parse, sync};
use crate::serving::shared;

type Session = Client<TcpStream>;

async fn session(user: &str) -> Session {
    Client::connect(shared().address, user).await
}

/// The one value that a query yields.
async fn value(client: &mut Session, sql: &str) -> String {
    let rows = client.rows(sql).await;
    assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
    rows.into_iter().next().unwrap()
}

/// Every relation of PostgreSQL's own schemas, as `schema.name`.
async fn own_relations(client: &mut Session) -> Vec<String> {
    let sql = "select n.nspname || '.' || c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n \
               on n.oid = c.relnamespace where n.nspname in ('pg_catalog', 'information_schema') \
               and c.relkind in ('r', 'v') order by 1";
    client.rows(sql).await
}

#[tokio::test]
async fn every_relation_has_postgresqls_columns() {
    let mut mesh = session("sales_analyst").await;
    let relations = own_relations(&mut mesh).await;
    assert_eq!(relations.len(), 64 + 75 + 4 + 65);
    let mut original = postgres::instance().map(postgres::Postgres::connect);
    let mut refused = Vec::new();
    for relation in relations {
        let answer = mesh.query(&format!("select * from {relation} limit 0")).await;
        if answer[0].starts_with("Error 42501") {
            refused.push(relation);
            continue;
        }
        let Some(original) = &mut original else {
            assert!(answer[0].starts_with("Columns"), "{relation}: {answer:?}");
            continue;
        };
        let expected = original.query(&format!("select * from {relation} limit 0"), &[], false);
        let expected: Vec<String> = expected.columns.iter().map(|(oid, ..)| oid.to_string()).collect();
        let names = names_of(original, &relation);
        let expected: Vec<String> = names.iter().zip(expected).map(|(name, oid)| format!("{name}:{oid}")).collect();
        assert_eq!(answer[0], format!("Columns {}", expected.join(" ")), "{relation}");
    }
    assert!(refused.contains(&"pg_catalog.pg_authid".to_owned()), "{refused:?}");
    assert!(refused.len() < 20, "{refused:?}");
}

/// What PostgreSQL refuses to those who are no superuser is refused here.
#[tokio::test]
async fn what_is_for_superusers_is_refused() {
    let mut mesh = session("sales_analyst").await;
    let Some(postgres) = postgres::instance() else { return };
    let mut original = postgres.connect();
    original.query("create role catalog_reader", &[], false);
    original.run("set role catalog_reader");
    for relation in own_relations(&mut mesh).await {
        let sql = format!("select 1 from {relation} limit 0");
        let expected = original.query(&sql, &[], false).error.map(|(code, message)| format!("Error {code} {message}"));
        // some are functions over the server's files, which fail before anything is looked at
        let told = mesh.rows(&sql).await.into_iter().find(|line| line.starts_with("Error 42501"));
        assert_eq!(told, expected.filter(|line| line.starts_with("Error 42501")), "{relation}");
    }
}

fn names_of(original: &mut postgres::Client, relation: &str) -> Vec<String> {
    let sql = format!(
        "select attname from pg_attribute where attrelid = '{relation}'::regclass and attnum > 0 order by attnum"
    );
    let rows = original.query(&sql, &[], false).rows;
    rows.into_iter().map(|row| String::from_utf8(row[0].clone().unwrap()).unwrap()).collect()
}

/// What is the same in every PostgreSQL is the same here, byte for byte.
#[tokio::test]
async fn facts_are_postgresqls() {
    let Some(postgres) = postgres::instance() else { return };
    let (mut mesh, mut original) = (session("sales_analyst").await, postgres.connect());
    let version = original.query("show server_version_num", &[], false).rows[0][0].clone().unwrap();
    if !version.starts_with(b"15") {
        eprintln!("skipped: the PostgreSQL that is installed is not the 15th");
        return;
    }
    for (relation, condition) in [
        ("pg_aggregate", "aggfnoid < 10000"),
        ("pg_am", "oid < 10000"),
        ("pg_amop", "oid < 20000"),
        ("pg_amproc", "oid < 20000"),
        ("pg_attribute", "attrelid in (1247, 1249, 1255, 1259)"),
        ("pg_cast", "oid < 20000"),
        ("pg_class", "oid in (1247, 1249, 1255, 1259, 2662)"),
        ("pg_conversion", "oid < 10000"),
        ("pg_language", "oid < 10000"),
        ("pg_opclass", "oid < 10000"),
        ("pg_operator", "oid < 10000"),
        ("pg_opfamily", "oid < 10000"),
        ("pg_proc", "oid < 10000"),
        ("pg_range", "true"),
        ("pg_ts_dict", "oid < 10000"),
        ("pg_type", "oid < 10000"),
    ] {
        // of what depends on the machine, and of what has no binary form, nothing is compared
        let columns = format!(
            "select string_agg(attname, ', ' order by attnum) from pg_attribute where attnum > 0 and atttypid not in \
             ('aclitem[]'::regtype, 'pg_node_tree'::regtype) and attrelid = 'pg_catalog.{relation}'::regclass and attname \
             not in ('relfilenode', 'relpages', 'reltuples', 'relallvisible', 'relfrozenxid', 'relminmxid', 'reltoastrelid')"
        );
        let columns = original.query(&columns, &[], false).rows[0][0].clone().unwrap();
        let columns = String::from_utf8(columns).unwrap();
        let sql = format!("select {columns} from pg_catalog.{relation} where {condition}");
        let expected = original.query(&sql, &[], true);
        assert_eq!(expected.error, None, "{sql}");
        let mut expected = expected.rows;
        mesh.send(&[parse("", &sql, &[]), bind_with("", "", &[], &[], &[1]), execute("", 0), sync()].concat()).await;
        let mut found = Vec::new();
        while let Some(message) = mesh.receive().await {
            match message.kind {
                b'D' => found.push(postgres::values(&message.body)),
                b'E' => panic!("{sql}: {}", message.line()),
                b'Z' => break,
                _ => {}
            }
        }
        expected.sort();
        found.sort();
        assert_eq!(found.len(), expected.len(), "{relation}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{relation}: {columns}");
        }
    }
}

#[tokio::test]
async fn a_table_is_described_as_it_is_read() {
    let mut mesh = session("sales_analyst").await;
    let oid = value(
        &mut mesh,
        "select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace \
                                where n.nspname = 'sales' and c.relname = 'orders' and c.relkind = 'r'",
    )
    .await;
    assert!(oid.parse::<u32>().unwrap() >= 16_384);
    let told = mesh.query("select * from sales.orders limit 0").await[0].clone();
    let described = format!(
        "select attname || ':' || atttypid from pg_attribute where attrelid = {oid} and attnum > 0 order by attnum"
    );
    assert_eq!(told, format!("Columns {}", mesh.rows(&described).await.join(" ")));
    let again = session("sales_analyst")
        .await
        .rows("select oid from pg_class where relname = 'orders' and relkind = 'r'")
        .await;
    assert_eq!(again, [oid.clone()], "the same in every session");
    let row_type =
        value(&mut mesh, &format!("select typname || typtype || typcategory from pg_type where typrelid = {oid}"))
            .await;
    assert_eq!(row_type, "orderscC");
    let described = format!("select description from pg_description where objoid = {oid} and objsubid = 0");
    let contract = "select description from data_catalog.products where product_id = 'sales.orders'";
    assert_eq!(value(&mut mesh, &described).await, value(&mut mesh, contract).await);
    let standard = "select column_name from information_schema.columns where table_schema = 'sales' \
                    and table_name = 'orders' order by ordinal_position";
    let attributes = format!("select attname from pg_attribute where attrelid = {oid} order by attnum");
    assert_eq!(mesh.rows(standard).await, mesh.rows(&attributes).await);
}

#[tokio::test]
async fn nothing_refers_to_what_is_not_there() {
    let mut mesh = session("sales_analyst").await;
    for (relation, column, referred) in [
        ("pg_class", "relnamespace", "pg_namespace"),
        ("pg_class", "relowner", "pg_roles"),
        ("pg_class", "reltype", "pg_type"),
        ("pg_class", "relam", "pg_am"),
        ("pg_attribute", "attrelid", "pg_class"),
        ("pg_attribute", "atttypid", "pg_type"),
        ("pg_attribute", "attcollation", "pg_collation"),
        ("pg_type", "typnamespace", "pg_namespace"),
        ("pg_type", "typowner", "pg_roles"),
        ("pg_type", "typrelid", "pg_class"),
        ("pg_type", "typelem", "pg_type"),
        ("pg_type", "typarray", "pg_type"),
        ("pg_index", "indexrelid", "pg_class"),
        ("pg_index", "indrelid", "pg_class"),
        ("pg_constraint", "conrelid", "pg_class"),
        ("pg_constraint", "conindid", "pg_class"),
        ("pg_constraint", "confrelid", "pg_class"),
        ("pg_namespace", "nspowner", "pg_roles"),
        ("pg_database", "datdba", "pg_roles"),
        ("pg_database", "dattablespace", "pg_tablespace"),
        ("pg_auth_members", "roleid", "pg_roles"),
        ("pg_auth_members", "member", "pg_roles"),
        ("pg_policy", "polrelid", "pg_class"),
        ("pg_proc", "prorettype", "pg_type"),
        ("pg_proc", "pronamespace", "pg_namespace"),
        ("pg_cast", "castsource", "pg_type"),
        ("pg_operator", "oprresult", "pg_type"),
    ] {
        let sql = format!(
            "select distinct a.{column} from pg_catalog.{relation} a left join pg_catalog.{referred} b on b.oid = a.{column} \
             where a.{column} <> 0 and b.oid is null"
        );
        let lost = mesh.rows(&sql).await;
        assert!(lost.is_empty(), "{relation}.{column} → {referred}: {lost:?}");
    }
    for relation in ["pg_class", "pg_type", "pg_namespace", "pg_constraint", "pg_proc", "pg_roles", "pg_policy"] {
        let twice = mesh
            .rows(&format!("select oid, count(*) from pg_catalog.{relation} group by oid having count(*) > 1"))
            .await;
        assert!(twice.is_empty(), "{relation}: {twice:?}");
    }
}

/// Whatever a principal reads of any relation, no name in it is one that they may not discover.
#[tokio::test]
async fn what_is_hidden_is_in_no_relation() {
    let mut mesh = session("sales_analyst").await;
    let names = "select product_name from data_catalog.products union select domain from data_catalog.domains";
    let known: BTreeSet<String> = mesh.rows(names).await.into_iter().collect();
    let mut everything = BTreeSet::new();
    for user in ["mesh_admin", "sales_owner", "marketing_analyst", "finance_analyst", "data_scientist"] {
        everything.extend(session(user).await.rows(names).await);
    }
    let hidden: Vec<String> = everything.difference(&known).map(|name| name.replace('-', "_")).collect();
    assert!(!hidden.is_empty());
    for relation in own_relations(&mut mesh).await {
        let rows = mesh.rows(&format!("select * from {relation}")).await;
        for name in &hidden {
            let told = rows.iter().find(|row| row.split(['|', '{', '}', ',']).any(|word| word == name));
            assert_eq!(told, None, "{relation} tells of {name}");
        }
    }
}

#[tokio::test]
async fn a_sessions_views_are_its_own() {
    let mut mesh = session("sales_analyst").await;
    mesh.query("create temp view seen as select 1 as a, 'x'::text as b").await;
    let sql = "select n.nspname, c.relname, c.relkind, c.relpersistence, a.attname from pg_class c \
               join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid \
               where c.relname = 'seen' order by a.attnum";
    let rows = mesh.rows(sql).await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].starts_with("pg_temp_") && rows[0].ends_with("|seen|v|t|a"), "{rows:?}");
    let schema = rows[0].split('|').next().unwrap();
    assert_eq!(mesh.rows(&format!("select b from {schema}.seen")).await, ["x"]);
    assert_eq!(mesh.rows("select definition from pg_views where viewname = 'seen'").await.len(), 1);
    assert!(session("sales_analyst").await.rows(sql).await.is_empty());
}

#[tokio::test]
async fn the_catalog_is_searched_first_unless_the_path_names_it() {
    let mut mesh = session("sales_analyst").await;
    assert_eq!(mesh.rows("select count(*) from pg_am").await, ["7"]);
    mesh.query("create temp view pg_am as select 1 as x").await;
    assert_eq!(mesh.rows("select * from pg_am").await, ["1"], "temporary views come before");
    assert_eq!(mesh.rows("select count(*) from pg_catalog.pg_am").await, ["7"]);
    let missing = mesh.rows("select * from pg_catalog.nothing").await;
    assert_eq!(missing, ["Error 42P01 relation \"pg_catalog.nothing\" does not exist"]);
}

#[tokio::test]
async fn the_session_and_its_role_are_told() {
    let mut mesh = session("sales_analyst").await;
    assert_eq!(mesh.rows("select usename, datname, state from pg_stat_activity").await, ["sales_analyst|mesh|active"]);
    assert_eq!(mesh.rows("select rolcanlogin, rolsuper from pg_roles where rolname = 'sales_analyst'").await, ["t|f"]);
    let groups = "select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid \
                  join pg_roles u on u.oid = m.member where u.rolname = current_user";
    let enabled = "select role_name from information_schema.applicable_roles";
    assert_eq!(mesh.rows(groups).await, mesh.rows(enabled).await);
    assert_eq!(mesh.rows("select setting from pg_settings where name = 'server_encoding'").await, ["UTF8"]);
    assert_eq!(mesh.rows("select datname, datcollate from pg_database").await, ["mesh|C"]);
    assert_eq!(mesh.rows("select utc_offset from pg_timezone_names where name = 'UTC'").await, ["00:00:00"]);
}
