//! What a SELECT calls the relations that it reads from, and what may be asked of a relation by its name alone.
//!
//! It owns `(t).a`, `t.*` for a table that is written with its schema (PostgreSQL 15, 7.2.1 "The FROM Clause"), and the
//! system columns of the catalog's relations (5.5 "System Columns").

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, CastKind, DataType, Expr, Ident, JoinOperator, ObjectName, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, Value,
};

use super::super::names::fold;

/// The schema whose relations have system columns here.
const PG_CATALOG: &str = "pg_catalog";

/// What stands behind a name in FROM.
enum Relation {
    /// A table or view by its own name, with or without an alias; whether an outer join may leave its columns NULL.
    Table {
        name: ObjectName,
        aliased: bool,
        outer: bool,
    },
    Other,
}

/// The relations in FROM of one SELECT, by the names that it knows them under.
pub struct Relations(BTreeMap<String, Relation>);

impl Relations {
    pub fn of(select: &Select) -> Self {
        let named = |(factor, outer): (&TableFactor, bool)| match factor {
            TableFactor::Table { alias, name, args: None, .. } => {
                let known = match alias {
                    Some(alias) => fold(&alias.name),
                    None => fold(name.0.last()?.as_ident()?),
                };
                Some((known, Relation::Table { name: name.clone(), aliased: alias.is_some(), outer }))
            }
            TableFactor::Table { alias: None, name, .. } => Some((fold(name.0.last()?.as_ident()?), Relation::Other)),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => Some((fold(&alias.name), Relation::Other)),
            _ => None,
        };
        Self(select.from.iter().flat_map(joined).filter_map(named).collect())
    }

    /// Whether one of them is known under this name, folded.
    pub fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// `orders.*` is `sales.orders.*` where FROM says so: the planner compares whole names.
    pub fn name_wildcards(&self, items: &mut [SelectItem]) {
        for item in items {
            let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(asked), _) = item else {
                continue;
            };
            let [only] = asked.0.as_slice() else { continue };
            let known = only.as_ident().and_then(|only| self.0.get(&fold(only)));
            if let Some(Relation::Table { name, aliased: false, .. }) = known {
                *asked = name.clone();
            }
        }
    }
}

/// What an expression means that names a relation of the SELECTs around it, the innermost last.
pub fn meant(expr: &Expr, around: &[Relations]) -> Option<Expr> {
    let find = |name: &Ident| {
        let known = fold(name);
        around.iter().rev().find_map(|relations| relations.0.get(&known))
    };
    match expr {
        // `(t).a` is `t.a`
        Expr::CompoundFieldAccess { root, access_chain } => {
            let Expr::Nested(root) = root.as_ref() else { return None };
            let (Expr::Identifier(relation), [AccessExpr::Dot(Expr::Identifier(column))]) =
                (root.as_ref(), access_chain.as_slice())
            else {
                return None;
            };
            find(relation)?;
            Some(Expr::CompoundIdentifier(vec![relation.clone(), column.clone()]))
        }
        Expr::CompoundIdentifier(parts) => {
            let [relation, column] = parts.as_slice() else { return None };
            match find(relation)? {
                Relation::Table { name, outer: false, .. } => system_column(&catalog_relation(name)?, &fold(column)),
                // NULL where there is no row, which no constant is
                Relation::Table { outer: true, .. } | Relation::Other => None,
            }
        }
        _ => None,
    }
}

/// The relations of an entry in FROM, and whether an outer join may leave them without a row.
fn joined(from: &TableWithJoins) -> Vec<(&TableFactor, bool)> {
    let mut found = vec![(&from.relation, false)];
    for join in &from.joins {
        let (before, own) = match &join.join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) | JoinOperator::OuterApply => (false, true),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            JoinOperator::FullOuter(_) => (true, true),
            _ => (false, false),
        };
        for (_, outer) in &mut found {
            *outer |= before;
        }
        found.push((&join.relation, own));
    }
    found
}

/// The name of a relation of PostgreSQL's catalog. Without its schema it could be anybody's.
fn catalog_relation(name: &ObjectName) -> Option<String> {
    let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(fold)).collect::<Option<_>>()?;
    match parts.as_slice() {
        [.., schema, table] if schema == PG_CATALOG => Some(table.clone()),
        _ => None,
    }
}

/// A system column of the catalog's relations: nothing in them was written by a transaction but the first.
fn system_column(relation: &str, column: &str) -> Option<Expr> {
    let (text, data_type) = match column {
        "xmin" => ("1".to_owned(), "xid"),
        "xmax" => ("0".to_owned(), "xid"),
        "cmin" | "cmax" => ("0".to_owned(), "cid"),
        "tableoid" => (format!("{PG_CATALOG}.{relation}"), "regclass"),
        _ => return None,
    };
    let cast = |expr: Expr, data_type: &str| Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type: DataType::Custom(ObjectName::from(vec![Ident::new(data_type)]), Vec::new()),
        array: false,
        format: None,
    };
    let value = cast(Expr::Value(Value::SingleQuotedString(text).into()), data_type);
    Some(if column == "tableoid" { cast(value, "oid") } else { value })
}
