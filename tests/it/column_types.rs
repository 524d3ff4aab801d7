//! What RowDescription and ParameterDescription say of types that Arrow lacks, and of where columns come from. Conversations
//! are held with a real PostgreSQL too, where one is installed.

use crate::postgres::{Anyone, everywhere};
use crate::raw::{Client, bind, describe, execute, parse, sync};
use crate::travel::Months;

/// What `asyncpg` asks about every type that it does not know.
const ASYNCPG: &str = include_str!("../clients/statements/asyncpg.sqls");

#[tokio::test]
async fn asyncpg_is_told_of_oids_as_oids() {
    let introspection = ASYNCPG.split("\n---\n").find(|sql| sql.contains("typeinfo_tree")).unwrap();
    everywhere(async |c| {
        assert_eq!(
            c.say(&[parse("", introspection, &[]), describe(b'S', ""), sync()]).await,
            [
                "ParseComplete",
                "Parameters 1028",
                "Columns oid:26 ns:19 name:19 kind:18 basetype:26 elemtype:26 elemdelim:18 range_subtype:26 \
                 attrtypoids:1028 attrnames:1009 depth:23 basetype_name:25 elemtype_name:25 range_subtype_name:25",
                "Ready I",
            ]
        );
        let run = [parse("", introspection, &[]), bind("", "", &[Some("{1009}")]), execute("", 0), sync()];
        let rows = c.say(&run).await;
        assert!(rows.iter().any(|row| row.starts_with("Row 1009|pg_catalog|_text|b|~|25|")), "{rows:?}");
    })
    .await;
}

/// The types of the parameters and columns of a statement that is prepared.
async fn described(c: &mut Anyone, sql: &str) -> Vec<String> {
    let mut lines = c.say(&[parse("", sql, &[]), describe(b'S', ""), sync()]).await;
    lines.retain(|line| !line.starts_with("ParseComplete") && !line.starts_with("Ready"));
    lines
}

#[tokio::test]
async fn parameters_have_the_types_of_what_they_stand_beside() {
    everywhere(async |c| {
        for (condition, types) in [
            ("relname = $1", "19"),
            ("$1 = relname and relkind = $2 and oid <> $3", "19 18 26"),
            ("relname = any ($1) and oid = any ($2) and relkind <> all ($3)", "1003 1028 1002"),
            ("relname in ($1, $2) and oid in ($3)", "19 19 26"),
            ("relname between $1 and $2", "19 19"),
            ("relname like $1 and relname ~ $2", "25 25"),
            ("coalesce(relname, $1) = 'x' and nullif(oid, $2) = 1", "19 26"),
            ("case when true then oid else $1 end = 1", "26"),
            ("oid = $1::regclass", "2205"),
            ("oid = $1::regclass::oid and relname = $2::varchar(3)", "2205 1043"),
            ("oid = (select c.oid from pg_class c where c.relname = $1)", "19"),
        ] {
            let sql = format!("select 1 as one from pg_class where {condition}");
            assert_eq!(described(c, &sql).await, [format!("Parameters {types}"), "Columns one:23".to_owned()], "{sql}");
        }
        let find = "select relname from pg_class where oid = $1::regclass";
        let run = [parse("", find, &[]), bind("", "", &[Some("pg_class")]), execute("", 0), sync()];
        assert_eq!(
            c.say(&run).await,
            ["ParseComplete", "BindComplete", "Row pg_class", "Complete SELECT 1", "Ready I"]
        );
        let by_oid = [parse("", find, &[2205]), bind("", "", &[Some("1259")]), execute("", 0), sync()];
        assert_eq!(c.say(&by_oid).await[2], "Row pg_class");
        let typed = [
            parse("", "select relname from pg_class where relname = any ($1)", &[]),
            bind("", "", &[Some("{pg_class}")]),
            execute("", 0),
            sync(),
        ];
        assert_eq!(c.say(&typed).await[2], "Row pg_class");
    })
    .await;
}

#[tokio::test]
async fn columns_are_told_with_the_relation_that_they_are_of() {
    everywhere(async |c| {
        for (sql, columns) in [
            ("select relname, oid as o from pg_class limit 1", vec!["relname 1259.2 19(-1)", "o 1259.1 26(-1)"]),
            (
                "select (oid), oid::oid, -1 as n from pg_class limit 1",
                vec!["oid 1259.1 26(-1)", "oid 1259.1 26(-1)", "n 0.0 23(-1)"],
            ),
            (
                "select relname::text, coalesce(oid) as o, lower(relname) from pg_class limit 1",
                vec!["relname 0.0 25(-1)", "o 0.0 26(-1)", "lower 0.0 25(-1)"],
            ),
            (
                "select s.n from (select distinct relname as n from pg_class order by 1 limit 1) s",
                vec!["n 1259.2 19(-1)"],
            ),
            ("with c as (select relname from pg_class) select * from c limit 1", vec!["relname 1259.2 19(-1)"]),
            (
                "select relname, count(*) as n from pg_class group by relname limit 1",
                vec!["relname 1259.2 19(-1)", "n 0.0 20(-1)"],
            ),
            (
                "select relname, max(relname) as m from pg_class group by 1 limit 1",
                vec!["relname 1259.2 19(-1)", "m 0.0 25(-1)"],
            ),
            (
                "select c.relname, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace limit 1",
                vec!["relname 1259.2 19(-1)", "nspname 2615.2 19(-1)"],
            ),
            (
                "select x.relname from pg_namespace n, lateral (select relname from pg_class c limit 1) x limit 1",
                vec!["relname 1259.2 19(-1)"],
            ),
            ("select (select relname from pg_class limit 1) as n", vec!["n 0.0 19(-1)"]),
            ("select relname from pg_class union select relname from pg_class limit 1", vec!["relname 0.0 19(-1)"]),
            ("select relname from pg_class intersect select relname from pg_class limit 1", vec!["relname 0.0 19(-1)"]),
            ("values (1)", vec!["column1 0.0 23(-1)"]),
        ] {
            assert_eq!(c.columns(sql).await, columns, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn texts_are_called_what_their_contract_calls_them() {
    let months = Months::start().await;
    let mut c = Client::connect(months.server.address, "sales_analyst").await;
    let oid = c.rows("select 'sales.deals'::regclass::oid").await.remove(0);
    assert_eq!(
        c.columns("select region, email, d.id from sales.deals d").await,
        [format!("region {oid}.2 1043(12)"), format!("email {oid}.3 25(-1)"), format!("id {oid}.1 20(-1)")]
    );
    for (expression, expected) in [
        ("coalesce(region, 'x')", "1043(-1)"),
        ("case when true then region else region end", "1043(12)"),
        ("max(region) over ()", "25(-1)"),
        ("lower(region)", "25(-1)"),
        ("region || 'x'", "25(-1)"),
        ("region::text", "25(-1)"),
        ("(select min(d.region) from sales.deals d)", "25(-1)"),
        ("array(select d.region from sales.deals d)", "1015(12)"),
    ] {
        let columns = c.columns(&format!("select {expression} as x from sales.deals limit 1")).await;
        assert_eq!(columns, [format!("x 0.0 {expected}")], "{expression}");
    }
    let masked = "select attname, format_type(atttypid, atttypmod) from pg_attribute \
                  where attrelid = 'sales.deals'::regclass and attnum > 0 order by attnum";
    let listed = c.rows(masked).await;
    assert_eq!(listed[1..3], ["region|character varying(8)", "email|text"], "{listed:?}");
    let described = "select data_type, character_maximum_length from information_schema.columns \
                     where table_name = 'deals' and column_name = 'region'";
    assert_eq!(c.rows(described).await, ["character varying|8"]);
    assert_eq!(c.rows("select count(*) from sales.deals where region = 'EU' and length(region) = 2").await.len(), 1);
    let beside = [parse("", "select id from sales.deals where region = $1", &[]), describe(b'S', ""), sync()];
    assert_eq!(c.say(&beside).await[1], "Parameters 25");
}

#[tokio::test]
async fn columns_of_views_are_the_views() {
    everywhere(async |c| {
        let made = "create temp view v (n, o, i) as select relname, case when true then oid end, 1 from pg_class";
        assert_eq!(c.query(made).await[0], "Complete CREATE VIEW");
        let oid = c.rows("select 'v'::regclass::oid").await.remove(0);
        assert_eq!(
            c.columns("select i, s.n, o from (select * from v) s limit 1").await,
            [format!("i {oid}.3 23(-1)"), format!("n {oid}.1 19(-1)"), format!("o {oid}.2 26(-1)")]
        );
        assert_eq!(
            c.rows("select pg_typeof(n), pg_typeof(o), pg_typeof(coalesce(n, 'x')) from v limit 1").await,
            ["name|oid|name"]
        );
        let inner = "create temp view w as select array_agg(n) as names, max(o) as o from v";
        assert_eq!(c.query(inner).await[0], "Complete CREATE VIEW");
        let oid = c.rows("select 'w'::regclass::oid").await.remove(0);
        assert_eq!(
            c.columns("select * from w").await,
            [format!("names {oid}.1 1003(-1)"), format!("o {oid}.2 26(-1)")]
        );
        assert_eq!(
            c.rows("select attname, atttypid::regtype from pg_attribute where attrelid = 'w'::regclass").await,
            ["names|name[]", "o|oid"]
        );
    })
    .await;
}
