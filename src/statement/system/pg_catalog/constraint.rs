//! `pg_constraint`, `pg_index` and `pg_depend`: the keys of contracts. Nothing enforces them, and no index is kept: they say how tables
//! are meant to be read and joined.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::arrow::array::RecordBatch;

use super::facts::Cells;
use super::filled::Filled;
use crate::catalog::keys::KeyKind;
use crate::error::Result;
use crate::pgtype::{element_oid, oid};
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part, Referred, TableKey};

/// The access method of the indexes: `btree`.
const BTREE: &str = "403";
/// The catalogs' own OIDs (`pg_class.dat`, `pg_constraint.h`).
const PG_CLASS: u32 = 1259;
const PG_CONSTRAINT: u32 = 2606;
/// The collation of text (`pg_collation.dat`, `default`).
const DEFAULT_COLLATION: u32 = 100;

/// The default operator classes of B-trees, by the type of the column.
static OPERATOR_CLASSES: LazyLock<HashMap<u32, u32>> = LazyLock::new(|| {
    let classes = Cells::of("pg_opclass");
    let text = |row, column| classes.value(row, column).unwrap_or_default();
    let rows = classes.rows().filter(|row| text(*row, "opcmethod") == BTREE && text(*row, "opcdefault") == "t");
    rows.filter_map(|row| Some((text(row, "opcintype").parse().ok()?, text(row, "oid").parse().ok()?))).collect()
});

fn operator_class(type_oid: u32) -> u32 {
    let of = match type_oid {
        oid::VARCHAR => oid::TEXT,
        array if element_oid(array).is_some() => oid::ANYARRAY,
        other => other,
    };
    OPERATOR_CLASSES.get(&of).copied().unwrap_or_default()
}

/// The operators by which keys are compared, by the type of the column.
static EQUALITY: LazyLock<HashMap<u32, u32>> = LazyLock::new(|| {
    let operators = Cells::of("pg_operator");
    let text = |row, column| operators.value(row, column).unwrap_or_default();
    let rows = operators.rows().filter(|row| text(*row, "oprname") == "=");
    let rows = rows.filter(|row| text(*row, "oprleft") == text(*row, "oprright"));
    rows.filter_map(|row| Some((text(row, "oprleft").parse().ok()?, text(row, "oid").parse().ok()?))).collect()
});

struct Row<'a> {
    relation: u32,
    namespace: u32,
    key: TableKey<'a>,
    /// Types of the columns.
    types: Vec<u32>,
}

fn all(context: &Context, part: Part) -> Result<Vec<Row<'_>>> {
    let mut rows = Vec::new();
    for relation in objects::relations(context, part)? {
        if relation.product().is_none() {
            continue;
        }
        let columns = relation.columns(context);
        for key in relation.keys(&columns, context) {
            let types = key.numbers.iter().filter_map(|number| columns.get(*number as usize - 1));
            let types = types.map(|column| column.pg_type.oid).collect();
            rows.push(Row { relation: relation.oid, namespace: relation.namespace, key, types });
        }
    }
    Ok(rows)
}

impl Row<'_> {
    fn refers_to(&self) -> Option<&Referred<'_>> {
        self.key.refers_to.as_ref()
    }

    /// For each column, how values of the types on both sides are compared.
    fn equality(&self) -> Option<Vec<u32>> {
        let of = |type_oid: &u32| {
            let type_oid = if *type_oid == oid::VARCHAR { oid::TEXT } else { *type_oid };
            EQUALITY.get(&type_oid).copied().unwrap_or_default()
        };
        self.refers_to().map(|referred| referred.types.iter().map(of).collect())
    }
}

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = all(context, part)?;
    let kind = |row: &Row<'_>| match row.key.key.kind {
        KeyKind::Primary => 'p',
        KeyKind::Unique => 'u',
        KeyKind::Foreign => 'f',
    };
    // a foreign key's action is none, and it matches simply; for other keys there is nothing to say
    let if_foreign = |letter: char| rows.iter().map(move |row| if row.refers_to().is_some() { letter } else { ' ' });
    let index = |row: &Row<'_>| match row.refers_to() {
        Some(referred) => referred.key.as_ref().map_or(0, |(_, index)| *index),
        None => row.key.index,
    };
    Filled::catalog("pg_constraint", rows.len())?
        .oids("oid", rows.iter().map(|row| row.key.constraint))
        .names("conname", rows.iter().map(|row| &row.key.key.name))
        .oids("connamespace", rows.iter().map(|row| row.namespace))
        .chars("contype", rows.iter().map(kind))
        .all("convalidated", "t")
        .oids("conrelid", rows.iter().map(|row| row.relation))
        .oids("conindid", rows.iter().map(index))
        .oids("confrelid", rows.iter().map(|row| row.refers_to().map_or(0, |referred| referred.relation.oid)))
        .chars("confupdtype", if_foreign('a'))
        .chars("confdeltype", if_foreign('a'))
        .chars("confmatchtype", if_foreign('s'))
        .all("conislocal", "t")
        .all("connoinherit", "t")
        .int2_lists("conkey", rows.iter().map(|row| Some(row.key.numbers.clone())))
        .int2_lists("confkey", rows.iter().map(|row| row.refers_to().map(|referred| referred.numbers.clone())))
        .oid_lists("conpfeqop", rows.iter().map(Row::equality))
        .oid_lists("conppeqop", rows.iter().map(Row::equality))
        .oid_lists("conffeqop", rows.iter().map(Row::equality))
        .finish()
}

pub fn index_rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let mut rows = all(context, part)?;
    rows.retain(|row| row.key.index != 0);
    let collation = |type_oid: &u32| if matches!(*type_oid, oid::TEXT | oid::VARCHAR) { DEFAULT_COLLATION } else { 0 };
    let of_types = |row: &Row<'_>, of: &dyn Fn(&u32) -> u32| Some(row.types.iter().map(of).collect());
    Filled::catalog("pg_index", rows.len())?
        .oids("indexrelid", rows.iter().map(|row| row.key.index))
        .oids("indrelid", rows.iter().map(|row| row.relation))
        .int2s("indnatts", rows.iter().map(|row| row.key.numbers.len() as i16))
        .int2s("indnkeyatts", rows.iter().map(|row| row.key.numbers.len() as i16))
        .all("indisunique", "t")
        .bools("indisprimary", rows.iter().map(|row| row.key.key.kind == KeyKind::Primary))
        .all("indimmediate", "t")
        .all("indisvalid", "t")
        .all("indisready", "t")
        .all("indislive", "t")
        .int2_lists("indkey", rows.iter().map(|row| Some(row.key.numbers.clone())))
        .oid_lists("indcollation", rows.iter().map(|row| of_types(row, &collation)))
        .oid_lists("indclass", rows.iter().map(|row| of_types(row, &|type_oid| operator_class(*type_oid))))
        .int2_lists("indoption", rows.iter().map(|row| Some(vec![0; row.key.numbers.len()])))
        .finish()
}

/// `pg_depend`: a foreign key needs the index of the key that it refers to, and an index belongs to its key
/// (`CreateConstraintEntry`, `index_create`).
pub fn depend_rows(context: &Context, part: Part) -> Result<RecordBatch> {
    // class, object, class and object that it depends on, how
    let mut rows: Vec<(u32, u32, u32, u32, char)> = Vec::new();
    for row in all(context, part)? {
        let constraint = row.key.constraint;
        match row.refers_to() {
            Some(Referred { key: Some((_, index)), .. }) => {
                rows.push((PG_CONSTRAINT, constraint, PG_CLASS, *index, 'n'));
            }
            None if row.key.index != 0 => rows.push((PG_CLASS, row.key.index, PG_CONSTRAINT, constraint, 'i')),
            Some(_) | None => {}
        }
    }
    Filled::catalog("pg_depend", rows.len())?
        .oids("classid", rows.iter().map(|row| row.0))
        .oids("objid", rows.iter().map(|row| row.1))
        .oids("refclassid", rows.iter().map(|row| row.2))
        .oids("refobjid", rows.iter().map(|row| row.3))
        .chars("deptype", rows.iter().map(|row| row.4))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_the_operator_classes_that_postgresql_would_take() {
        let of = [oid::INT4, oid::TEXT, oid::VARCHAR, oid::DATE, 1007, oid::PG_NODE_TREE].map(operator_class);
        assert_eq!(of, [1978, 3126, 3126, 3122, 10_000, 0]);
    }
}
