//! What is told of the columns of statements over the catalog.

use crate::pgtype::{Origin, known, pg_type};
use crate::statement::system::tests::context;
use crate::statement::{describe, parse};

/// The columns of a statement: types, and where they come from.
async fn told(sql: &str) -> String {
    let mesh = crate::mesh::tests::sample();
    let context = context(&mesh, "sales_analyst").await;
    let parsed = parse::parse(sql).unwrap().remove(0);
    let description = describe(&parsed, &[], &context).await.unwrap();
    let column = |field: &std::sync::Arc<datafusion::arrow::datatypes::Field>| {
        let found = pg_type(field);
        let named = known::by_oid(found.oid).map(|known| known.name.to_owned());
        let named = named.or_else(|| known::by_array(found.oid).map(|known| format!("{}[]", known.name))).unwrap();
        let typmod = if found.typmod == -1 { String::new() } else { format!("({})", found.typmod) };
        let origin = Origin::of(field).map(|origin| format!(" {}.{}", origin.relation, origin.number));
        format!("{named}{typmod}{}", origin.unwrap_or_default())
    };
    description.columns.unwrap().fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Every answer is PostgreSQL 15's.
#[tokio::test]
async fn types_survive_expressions() {
    for (sql, expected) in [
        (
            "select oid, relname, relkind, reloptions from pg_class",
            "oid 1259.1, name 1259.2, char 1259.17, text[] 1259.32",
        ),
        (
            "select case when true then oid end, coalesce(relname, 'x'), nullif(relkind, '') from pg_class",
            "oid, name, char",
        ),
        ("select (select oid from pg_class), array(select relname from pg_class)", "oid, name[]"),
        ("select array_agg(oid), min(relname), max(oid) from pg_class", "oid[], text, oid"),
        (
            "select 'x'::varchar(3), coalesce('x'::varchar(3), 'y'::varchar(3)), coalesce('x'::varchar(3), 'y')",
            "varchar(7), varchar(7), varchar",
        ),
        (
            "select array(select 'x'::varchar(3)), array_agg('x'::varchar(3)), (array['x'::varchar(3)])[1]",
            "varchar[](7), varchar[], varchar(7)",
        ),
        ("select 'x'::varchar(3) union select 'y'::varchar(4)", "varchar"),
        ("select 'x'::char(3) union all select 'y'::char(3)", "bpchar(7)"),
        ("select 'x' union all select relname from pg_class", "name"),
        ("select o from (select 'x' as o) s union all select relname from pg_class", "text"),
        ("select 'x', null, coalesce(null, null)", "text, text, text"),
        (
            "select unnest(indkey), indkey, indkey[0], unnest(indclass) from pg_index",
            "int2, int2vector 2610.16, int2, oid",
        ),
        ("with recursive w as (select oid as o from pg_class union all select o from w) select o from w", "oid"),
        ("select lag(oid) over (order by oid), lag(relname, 1, 'x') over (order by oid) from pg_class", "oid, name"),
        ("select * from (values (1::oid)) v", "oid"),
        ("select 1.5, -1.5, 1.5 + 2.25, 1.5::numeric(3, 1)", "numeric, numeric, numeric, numeric(196613)"),
        ("select 1.50::numeric, '1.5'::numeric, 1::numeric", "numeric, numeric, numeric"),
        ("select relname || 'x', relname::text, oid::int8, -oid::int8 from pg_class", "text, text, int8, int8"),
    ] {
        assert_eq!(told(sql).await, expected, "{sql}");
    }
}
