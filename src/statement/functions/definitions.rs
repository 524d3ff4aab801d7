//! Objects as the SQL that would make them: `pg_get_viewdef`, `pg_get_indexdef`, `pg_get_constraintdef` and the like.
//!
//! PostgreSQL 15, section 9.26.5 "System Catalog Information Functions" (`ruleutils.c`). What the mesh has none of, such
//! as rules and triggers, is NULL for every OID, as PostgreSQL answers for an OID of nothing.

#![expect(clippy::unnecessary_wraps, reason = "every function of the catalog may fail, and has one form")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::system::objects::{self, Relation, TableKey};
use super::super::system::pg_catalog::facts::{self, Cells};
use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::{Known, qualified};
use super::quote;
use crate::catalog::keys::KeyKind;
use crate::catalog::oids::Object;
use crate::error::{Error, Result, SqlState};

const BY_OID: &[&[Arg]] = &[&[Arg::Oid]];
const PRETTY: &[&[Arg]] = &[&[Arg::Oid], &[Arg::Oid, Arg::Bool]];

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("pg_get_userbyid", BY_OID, Returns::Named("name"), user),
    Spec::new(
        "pg_get_viewdef",
        &[&[Arg::Oid], &[Arg::Text], &[Arg::Oid, Arg::Bool], &[Arg::Text, Arg::Bool], &[Arg::Oid, Arg::Int]],
        Returns::Text,
        view,
    ),
    Spec::new("pg_get_indexdef", &[&[Arg::Oid], &[Arg::Oid, Arg::Int, Arg::Bool]], Returns::Text, index),
    Spec::new("pg_get_constraintdef", PRETTY, Returns::Text, constraint),
    Spec::new("pg_get_expr", &[&[Arg::Text, Arg::Oid], &[Arg::Text, Arg::Oid, Arg::Bool]], Returns::Text, expression),
    Spec::new("pg_get_serial_sequence", &[&[Arg::Text, Arg::Text]], Returns::Text, serial_sequence),
    Spec::new("pg_get_ruledef", PRETTY, Returns::Text, nothing),
    Spec::new("pg_get_triggerdef", PRETTY, Returns::Text, nothing),
    Spec::new("pg_get_partkeydef", BY_OID, Returns::Text, nothing),
    Spec::new("pg_get_partition_constraintdef", BY_OID, Returns::Text, nothing),
    Spec::new("pg_get_statisticsobjdef", BY_OID, Returns::Text, nothing),
    Spec::new("pg_get_statisticsobjdef_columns", BY_OID, Returns::Text, nothing),
    Spec::new("pg_get_statisticsobjdef_expressions", BY_OID, Returns::Texts, nothing),
    Spec::new("pg_get_replica_identity_index", BY_OID, Returns::Oid("regclass"), nothing),
    // nothing is replicated
    Spec::new("pg_relation_is_publishable", BY_OID, Returns::Bool, |known, row| {
        Ok(Value::or_null(relation(known, row)?, |_| Value::Bool(false)))
    }),
    Spec::new("pg_relation_is_updatable", &[&[Arg::Oid, Arg::Bool]], Returns::Int4, |_, _| Ok(Value::Int(0))),
    Spec::new("pg_column_is_updatable", &[&[Arg::Oid, Arg::Int, Arg::Bool]], Returns::Bool, |_, _| {
        Ok(Value::Bool(false))
    }),
    Spec::new("pg_relation_filenode", BY_OID, Returns::Oid("oid"), nothing),
    Spec::new("pg_relation_filepath", BY_OID, Returns::Text, nothing),
    Spec::new("pg_filenode_relation", &[&[Arg::Oid, Arg::Oid]], Returns::Oid("regclass"), nothing),
    Spec::new("pg_tablespace_location", BY_OID, Returns::Text, |_, _| Ok(Value::text(""))),
    Spec::new("pg_my_temp_schema", &[&[]], Returns::Oid("oid"), |known, _| {
        Ok(Value::oid(known.oids.namespace(super::super::views::SCHEMA).unwrap_or(0)))
    }),
    // nobody sees another's
    Spec::new("pg_is_other_temp_schema", BY_OID, Returns::Bool, |_, _| Ok(Value::Bool(false))),
];

/// Keys of PostgreSQL's own relations: by the OIDs of indexes and of constraints.
static OWN_KEYS: LazyLock<OwnKeys> = LazyLock::new(own_keys);

struct OwnKeys {
    indexes: HashMap<u32, OwnKey>,
    constraints: HashMap<u32, OwnKey>,
}

struct OwnKey {
    /// OID of the table; 0 for a constraint of a domain.
    table: u32,
    /// `pg_constraint.contype`, or `u` and `i` for indexes, unique or not.
    kind: char,
    /// Numbers of the columns.
    columns: Vec<i16>,
    check: Option<String>,
}

fn own_keys() -> OwnKeys {
    let vector = |text: &str| -> Vec<i16> {
        text.trim_matches(['{', '}']).split([' ', ',']).filter_map(|number| number.parse().ok()).collect()
    };
    let (index, constraint) = (Cells::of("pg_index"), Cells::of("pg_constraint"));
    let number = |cells: &Cells, row, column| cells.value(row, column).and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    let text = |cells: &Cells, row, column| cells.value(row, column).map(Cow::into_owned).unwrap_or_default();
    let indexes = index.rows().map(|row| {
        let kind = if text(&index, row, "indisunique") == "t" { 'u' } else { 'i' };
        let columns = vector(&text(&index, row, "indkey"));
        (
            number(&index, row, "indexrelid"),
            OwnKey { table: number(&index, row, "indrelid"), kind, columns, check: None },
        )
    });
    let constraints = constraint.rows().map(|row| {
        let key = OwnKey {
            table: number(&constraint, row, "conrelid"),
            kind: text(&constraint, row, "contype").chars().next().unwrap_or('u'),
            columns: vector(&text(&constraint, row, "conkey")),
            check: constraint.value(row, "conbin").map(Cow::into_owned),
        };
        (number(&constraint, row, "oid"), key)
    });
    OwnKeys { indexes: indexes.collect(), constraints: constraints.collect() }
}

impl OwnKey {
    /// The names of its columns.
    fn names(&self) -> Vec<String> {
        let shape = facts::all().find(|shape| shape.oid == self.table);
        let name = |number: &i16| {
            let at = usize::try_from(*number).ok()?.checked_sub(1)?;
            Some(quote::ident(shape?.columns.fields().get(at)?.name()))
        };
        self.columns.iter().filter_map(name).collect()
    }
}

fn nothing(_: &Known, _: &Row<'_>) -> Result<Value> {
    Ok(Value::Null)
}

/// The OID of the relation that an argument of the type `regclass` means.
///
/// # Errors
/// Those of a name that nothing has.
pub fn relation(known: &Known, row: &Row<'_>) -> Result<Option<u32>> {
    let oid = match row.text(0) {
        Some(text) if !text.bytes().all(|b| b.is_ascii_digit()) || text.is_empty() => Some(known.relation(text)?),
        _ => row.oid(0)?,
    };
    Ok(oid.filter(|oid| known.oids.relation_name(*oid).is_some()))
}

fn user(known: &Known, row: &Row<'_>) -> Result<Value> {
    Ok(Value::or_null(row.oid(0)?, |oid| {
        let name = known.oids.role_name(oid).map(str::to_owned);
        Value::Text(name.unwrap_or_else(|| format!("unknown (OID={oid})")))
    }))
}

/// The text of one of the session's views; what stands behind the server's relations is no query.
fn view(known: &Known, row: &Row<'_>) -> Result<Value> {
    let query = relation(known, row)?.and_then(|oid| known.oids.table(oid)?.definition());
    Ok(Value::or_null(query, |query| Value::Text(format!(" {};", query.trim_end_matches(';')))))
}

/// A stored expression is kept as SQL.
fn expression(_: &Known, row: &Row<'_>) -> Result<Value> {
    Ok(Value::or_null(row.text(0), Value::text))
}

/// One key of a product's table, found by the OID of its constraint or of its index.
struct Found<'a> {
    table: Relation<'a>,
    key: TableKey<'a>,
}

fn key(known: &Known, oid: u32) -> Option<Found<'_>> {
    let (Object::Key(product, _) | Object::Index(product, _)) = known.snapshot.oids().object(oid)? else { return None };
    let table = objects::relation(&known.context, known.snapshot.oids().table(product)?.table).ok()??;
    let columns = table.columns(&known.context);
    let mut keys = table.keys(&columns, &known.context).into_iter();
    let key = keys.find(|key| oid == key.constraint || oid == key.index)?;
    Some(Found { table, key })
}

fn listed<S: AsRef<str>>(columns: &[S]) -> String {
    columns.iter().map(|column| quote::ident(column.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A whole index, or one of its columns.
fn index(known: &Known, row: &Row<'_>) -> Result<Value> {
    let Some(oid) = row.oid(0)? else { return Ok(Value::Null) };
    let Some(name) = known.oids.relation_name(oid).filter(|relation| relation.kind == 'i') else {
        return Ok(Value::Null);
    };
    let (table, columns, unique): (String, Vec<String>, bool) = if let Some(own) = OWN_KEYS.indexes.get(&oid) {
        let Some(table) = known.oids.relation_name(own.table) else { return Ok(Value::Null) };
        (table.name.into_owned(), own.names(), own.kind == 'u')
    } else {
        let Some(found) = key(known, oid) else { return Ok(Value::Null) };
        (found.table.name.to_owned(), found.key.key.columns.iter().map(|column| quote::ident(column)).collect(), true)
    };
    if let Some(number) = (row.len() > 1).then(|| row.int(1)).flatten().filter(|number| *number != 0) {
        let column = usize::try_from(number - 1).ok().and_then(|at| columns.get(at).cloned());
        return Ok(Value::Text(column.unwrap_or_default()));
    }
    // a readable form names the table as it is found
    let pretty = row.len() > 2 && row.flag(2) == Some(true);
    let written = if pretty {
        known.written(&name.schema, &table, |schema| known.oids.relation(schema, &table).is_some())
    } else {
        format!("{}.{}", quote::ident(&name.schema), quote::ident(&table))
    };
    let unique = if unique { "UNIQUE " } else { "" };
    let index = quote::ident(&name.name);
    Ok(Value::Text(format!("CREATE {unique}INDEX {index} ON {written} USING btree ({})", columns.join(", "))))
}

fn constraint(known: &Known, row: &Row<'_>) -> Result<Value> {
    let Some(oid) = row.oid(0)? else { return Ok(Value::Null) };
    if let Some(own) = OWN_KEYS.constraints.get(&oid) {
        let columns = own.names().join(", ");
        return Ok(match (own.kind, &own.check) {
            ('p', _) => Value::Text(format!("PRIMARY KEY ({columns})")),
            ('u', _) => Value::Text(format!("UNIQUE ({columns})")),
            ('c', Some(check)) => Value::Text(format!("CHECK ({check})")),
            _ => Value::Null,
        });
    }
    let found = key(known, oid).filter(|found| found.key.constraint == oid);
    Ok(Value::or_null(found, |found| {
        let columns = listed(&found.key.key.columns);
        Value::Text(match (found.key.key.kind, &found.key.refers_to, found.key.key.references) {
            (KeyKind::Primary, ..) => format!("PRIMARY KEY ({columns})"),
            (KeyKind::Foreign, Some(referred), Some(relationship)) => {
                let (schema, name) = (&referred.relation.schema, referred.relation.name);
                let table = known.written(schema, name, |schema| known.oids.relation(schema, name).is_some());
                format!("FOREIGN KEY ({columns}) REFERENCES {table}({})", listed(&relationship.referenced))
            }
            _ => format!("UNIQUE ({columns})"),
        })
    }))
}

/// No column has one, but the column must be there.
fn serial_sequence(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (Some(table), Some(column)) = (row.text(0), row.text(1)) else { return Ok(Value::Null) };
    let oid = known.relation(table)?;
    if column_number(known, oid, column).is_none() {
        let name = qualified(table)?.pop().unwrap_or_default();
        let message = format!("column \"{column}\" of relation \"{name}\" does not exist");
        return Err(Error::new(SqlState::UNDEFINED_COLUMN, message));
    }
    Ok(Value::Null)
}

/// The number of a relation's column.
pub fn column_number(known: &Known, relation: u32, column: &str) -> Option<i16> {
    let position = if let Some(table) = known.oids.table(relation) {
        table.columns(&known.context).iter().position(|found| found.name == column)
    } else {
        let shape = facts::all().find(|shape| shape.oid == relation)?;
        shape.columns.fields().iter().position(|field| field.name() == column)
    };
    i16::try_from(position?).ok()?.checked_add(1)
}
