//! `pg_class`: tables, views, and the indexes that keys would have.

use std::collections::HashSet;

use datafusion::arrow::array::RecordBatch;

use super::filled::Filled;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part, Relation, TableKey};

/// `heap` and `btree` (`pg_am.dat`).
const HEAP: u32 = 2;
const BTREE: u32 = 403;
/// `reltuples` of a table that was never counted.
const UNCOUNTED: f32 = -1.0;

struct Row<'a> {
    oid: u32,
    name: std::borrow::Cow<'a, str>,
    of: &'a Relation<'a>,
    reltype: u32,
    access_method: u32,
    columns: usize,
    kind: char,
    has_index: bool,
}

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let relations = objects::relations(context, part)?;
    let mut rows = Vec::with_capacity(relations.len());
    let mut triggered = HashSet::new();
    for relation in &relations {
        let columns = relation.columns(context);
        let mut keys = relation.keys(&columns, context);
        // PostgreSQL's foreign keys are triggers of both tables, and clients look for keys where there are triggers
        for referred in keys.iter().filter_map(|key| key.refers_to.as_ref()) {
            triggered.extend([relation.oid, referred.relation.oid]);
        }
        keys.retain(|key| key.index != 0);
        let kind = relation.kind();
        rows.push(Row {
            oid: relation.oid,
            name: relation.name.into(),
            of: relation,
            reltype: relation.row_type,
            access_method: if kind == 'r' { HEAP } else { 0 },
            columns: columns.len(),
            kind,
            has_index: !keys.is_empty(),
        });
        for TableKey { key, index, numbers, .. } in keys {
            rows.push(Row {
                oid: index,
                name: key.name.into(),
                of: relation,
                reltype: 0,
                access_method: BTREE,
                columns: numbers.len(),
                kind: 'i',
                has_index: false,
            });
        }
    }
    let user = &context.principal.name;
    Filled::catalog("pg_class", rows.len())?
        .oids("oid", rows.iter().map(|row| row.oid))
        .names("relname", rows.iter().map(|row| &row.name))
        .oids("relnamespace", rows.iter().map(|row| row.of.namespace))
        .oids("reltype", rows.iter().map(|row| row.reltype))
        .oids("relowner", rows.iter().map(|row| row.of.owner))
        .oids("relam", rows.iter().map(|row| row.access_method))
        .float4s("reltuples", rows.iter().map(|row| if row.kind == 'v' { 0.0 } else { UNCOUNTED }))
        .bools("relhasindex", rows.iter().map(|row| row.has_index))
        .chars("relpersistence", rows.iter().map(|row| if row.of.is_temporary() { 't' } else { 'p' }))
        .chars("relkind", rows.iter().map(|row| row.kind))
        .int2s("relnatts", rows.iter().map(|row| row.columns as i16))
        .bools("relhasrules", rows.iter().map(|row| row.kind == 'v'))
        .bools("relhastriggers", rows.iter().map(|row| triggered.contains(&row.oid)))
        .bools("relrowsecurity", rows.iter().map(|row| row.kind == 'r' && holds_rows_back(row.of)))
        .all("relispopulated", "t")
        .chars("relreplident", rows.iter().map(|row| if row.kind == 'r' { 'd' } else { 'n' }))
        .text_lists("relacl", rows.iter().map(|row| if row.kind == 'i' { None } else { acl(row.of, user) }))
        .finish()
}

/// Whether the principal sees only some rows.
pub fn holds_rows_back(relation: &Relation<'_>) -> bool {
    relation.scope().is_some_and(|scope| !scope.row_rules.is_empty())
}

/// What the principal may do with the relation; nobody else's rights are told.
fn acl(relation: &Relation<'_>, user: &str) -> Option<Vec<String>> {
    if relation.is_temporary() {
        return None;
    }
    let Some((product, _)) = relation.product() else { return Some(vec!["=r/postgres".to_owned()]) };
    let own = || format!("{}=r/{}", quoted(user), quoted(&product.owner));
    Some(if relation.is_readable() { vec![own()] } else { Vec::new() })
}

/// A role in an `aclitem` (`putid`).
fn quoted(role: &str) -> String {
    let is_safe = !role.is_empty() && role.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_safe { role.to_owned() } else { format!("\"{}\"", role.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_in_acls_are_quoted_where_they_must_be() {
        assert_eq!(quoted("ann_1"), "ann_1");
        assert_eq!(quoted("a@b.c"), "\"a@b.c\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
