//! Who may do what: `has_table_privilege` and its kin, `pg_has_role`, `row_security_active`.
//!
//! PostgreSQL 15, section 9.26.2 "Access Privilege Inquiry Functions" (`acl.c`). Of its own rights a principal is told what
//! the fence will do. Of another's rights on what the mesh owns, those who govern are told; for everybody else they are
//! unknown, which is NULL. What may not be discovered is answered as what does not exist.

use super::super::system::objects;
use super::super::system::pg_catalog::facts;
use super::call::{Arg, Returns, Row, Spec, Value};
use super::definitions::column_number;
use super::known::Known;
use super::procs::Proc;
use super::reg::{self, Reg};
use crate::access::decide::Rulebook;
use crate::access::grants::may_grant_on_product;
use crate::access::principal::Principal;
use crate::catalog::model::Role;
use crate::catalog::oids::FIRST_NORMAL;
use crate::error::{Error, Result, SqlState};

const OBJECT: &[&[Arg]] = &[
    &[Arg::Oid, Arg::Text],
    &[Arg::Text, Arg::Text],
    &[Arg::Oid, Arg::Oid, Arg::Text],
    &[Arg::Oid, Arg::Text, Arg::Text],
    &[Arg::Text, Arg::Oid, Arg::Text],
    &[Arg::Text, Arg::Text, Arg::Text],
];
const COLUMN: &[&[Arg]] = &[
    &[Arg::Text, Arg::Text, Arg::Text],
    &[Arg::Text, Arg::Int, Arg::Text],
    &[Arg::Oid, Arg::Text, Arg::Text],
    &[Arg::Oid, Arg::Int, Arg::Text],
    &[Arg::Text, Arg::Text, Arg::Text, Arg::Text],
    &[Arg::Text, Arg::Text, Arg::Int, Arg::Text],
    &[Arg::Text, Arg::Oid, Arg::Text, Arg::Text],
    &[Arg::Text, Arg::Oid, Arg::Int, Arg::Text],
    &[Arg::Oid, Arg::Text, Arg::Text, Arg::Text],
    &[Arg::Oid, Arg::Text, Arg::Int, Arg::Text],
    &[Arg::Oid, Arg::Oid, Arg::Text, Arg::Text],
    &[Arg::Oid, Arg::Oid, Arg::Int, Arg::Text],
];
const TABLE_PRIVILEGES: &[&str] =
    &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE"];
const COLUMN_PRIVILEGES: &[&str] = &["SELECT", "INSERT", "UPDATE", "REFERENCES"];

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("has_table_privilege", OBJECT, Returns::Bool, |known, row| on_relation(known, row, TABLE_PRIVILEGES)),
    Spec::new("has_any_column_privilege", OBJECT, Returns::Bool, |known, row| {
        on_relation(known, row, COLUMN_PRIVILEGES)
    }),
    Spec::new("has_column_privilege", COLUMN, Returns::Bool, on_column),
    Spec::new("has_schema_privilege", OBJECT, Returns::Bool, on_schema),
    Spec::new("has_database_privilege", OBJECT, Returns::Bool, on_database),
    Spec::new("has_function_privilege", OBJECT, Returns::Bool, on_function),
    Spec::new("has_type_privilege", OBJECT, Returns::Bool, on_type),
    Spec::new("has_sequence_privilege", OBJECT, Returns::Bool, on_sequence),
    Spec::new("has_tablespace_privilege", OBJECT, Returns::Bool, on_tablespace),
    Spec::new("has_language_privilege", OBJECT, Returns::Bool, on_language),
    Spec::new("has_foreign_data_wrapper_privilege", OBJECT, Returns::Bool, |known, row| {
        on_nothing(known, row, "foreign-data wrapper")
    }),
    Spec::new("has_server_privilege", OBJECT, Returns::Bool, |known, row| on_nothing(known, row, "server")),
    Spec::new("pg_has_role", OBJECT, Returns::Bool, has_role),
    Spec::new("row_security_active", &[&[Arg::Oid], &[Arg::Text]], Returns::Bool, row_security_active),
];

/// Whose rights are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// The principal itself.
    Asker,
    /// A role that the principal may know of.
    Role(String),
    Public,
    /// An OID of no role.
    Nobody,
}

/// The role, and the place of the argument after it.
fn who(known: &Known, row: &Row<'_>, arguments_without: usize) -> Result<(Who, usize)> {
    if row.len() == arguments_without {
        return Ok((Who::Asker, 0));
    }
    Ok((role_of(known, row, 0, true)?.0, 1))
}

fn role_of(known: &Known, row: &Row<'_>, argument: usize, with_public: bool) -> Result<(Who, Option<u32>)> {
    let oid = if row.takes_text(argument) {
        let name = row.text(argument).unwrap_or_default();
        if with_public && name == "public" {
            return Ok((Who::Public, None));
        }
        known.role(name)?
    } else {
        match row.oid(argument)? {
            Some(0) | None if with_public => return Ok((Who::Public, None)),
            oid => oid.unwrap_or(0),
        }
    };
    Ok(match known.oids.role_name(oid) {
        Some(name) if name == known.principal.name => (Who::Asker, Some(oid)),
        Some(name) => (Who::Role(name.to_owned()), Some(oid)),
        None => (Who::Nobody, None),
    })
}

/// One of the privileges of a list, and whether it is to be granted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Privilege {
    name: &'static str,
    grantable: bool,
}

/// `SELECT, INSERT WITH GRANT OPTION`, in any case (`convert_any_priv_string`).
///
/// # Errors
/// `22023` for a privilege that the kind of object has not.
fn privileges(text: &str, known: &[&'static str]) -> Result<Vec<Privilege>> {
    let mut found = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let upper = part.to_ascii_uppercase();
        let (name, grantable) = match upper.strip_suffix(" WITH GRANT OPTION") {
            Some(name) => (name, true),
            None => (upper.as_str(), false),
        };
        let Some(name) = known.iter().copied().find(|known| *known == name) else {
            let message = format!("unrecognized privilege type: \"{part}\"");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        };
        found.push(Privilege { name, grantable });
    }
    Ok(found)
}

/// True where one of the privileges is held, NULL where that is not to be known.
fn any(privileges: &[Privilege], mut holds: impl FnMut(Privilege) -> Option<bool>) -> Value {
    let answers: Vec<Option<bool>> = privileges.iter().map(|privilege| holds(*privilege)).collect();
    if answers.contains(&Some(true)) {
        Value::Bool(true)
    } else if answers.contains(&None) {
        Value::Null
    } else {
        Value::Bool(false)
    }
}

/// The relation of an argument: by name it must exist, by OID it may not.
fn relation_at(known: &Known, row: &Row<'_>, argument: usize) -> Result<Option<u32>> {
    if row.takes_text(argument) {
        return known.relation(row.text(argument).unwrap_or_default()).map(Some);
    }
    Ok(row.oid(argument)?.filter(|oid| known.oids.relation_name(*oid).is_some()))
}

fn on_relation(known: &Known, row: &Row<'_>, kinds: &[&'static str]) -> Result<Value> {
    let (who, at) = who(known, row, 2)?;
    let oid = relation_at(known, row, at)?;
    let privileges = privileges(row.text(at + 1).unwrap_or_default(), kinds)?;
    Ok(Value::or_null(oid, |oid| any(&privileges, |privilege| on_table(known, &who, oid, privilege))))
}

/// A column that a mask binds is read too, though not its values.
fn on_column(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (who, at) = who(known, row, 3)?;
    let oid = relation_at(known, row, at)?;
    let by_name = row.takes_text(at + 1);
    let column = match oid {
        Some(oid) if by_name => {
            let name = row.text(at + 1).unwrap_or_default();
            let missing = || {
                let relation = known.oids.relation_name(oid).map(|found| found.name.into_owned()).unwrap_or_default();
                let message = format!("column \"{name}\" of relation \"{relation}\" does not exist");
                Error::new(SqlState::UNDEFINED_COLUMN, message)
            };
            Some(column_number(known, oid, name).ok_or_else(missing)?)
        }
        Some(oid) => {
            let number = row.int(at + 1).and_then(|number| i16::try_from(number).ok());
            number.filter(|number| has_column(known, oid, *number))
        }
        None => None,
    };
    let privileges = privileges(row.text(at + 2).unwrap_or_default(), COLUMN_PRIVILEGES)?;
    let found = oid.filter(|_| column.is_some());
    Ok(Value::or_null(found, |oid| any(&privileges, |privilege| on_table(known, &who, oid, privilege))))
}

fn has_column(known: &Known, relation: u32, number: i16) -> bool {
    let count = match known.oids.table(relation) {
        Some(table) => table.columns(&known.context).len(),
        None => facts::all().find(|shape| shape.oid == relation).map_or(0, |shape| shape.columns.fields().len()),
    };
    usize::try_from(number).is_ok_and(|number| (1..=count).contains(&number))
}

/// Nothing but reading is ever allowed.
fn on_table(known: &Known, who: &Who, oid: u32, privilege: Privilege) -> Option<bool> {
    if privilege.name != "SELECT" {
        return Some(false);
    }
    if oid < FIRST_NORMAL {
        let public = facts::all().any(|shape| shape.oid == oid && shape.is_public);
        return Some(public && !privilege.grantable);
    }
    let Some(table) = known.oids.table(oid) else { return Some(false) };
    let Some((product, _)) = table.product() else {
        let is_own = *who == Who::Asker || !table.is_temporary();
        return Some(is_own && !privilege.grantable);
    };
    let catalog = &known.snapshot.catalog;
    match who {
        Who::Asker if privilege.grantable => Some(may_grant_on_product(catalog, &known.principal, product)),
        Who::Asker => Some(table.is_readable()),
        Who::Nobody | Who::Public => Some(false),
        Who::Role(_) if !governs(&known.principal) => None,
        Who::Role(name) => {
            let principal = principal_of(known, name);
            if privilege.grantable {
                return Some(may_grant_on_product(catalog, &principal, product));
            }
            Some(Rulebook::new(catalog, &known.grants, &principal).decide(product).access.is_readable())
        }
    }
}

/// Whether the principal may know of the rights of others.
fn governs(principal: &Principal) -> bool {
    principal.has_role(Role::MeshAdmin) || principal.has_role(Role::Auditor)
}

/// A user, or whoever is in a group and nothing else.
fn principal_of(known: &Known, name: &str) -> Principal {
    match known.snapshot.user(name) {
        Some(user) => Principal::from(user),
        None => Principal {
            name: String::new(),
            groups: vec![name.to_owned()],
            attributes: std::collections::BTreeMap::new(),
            roles: Vec::new(),
        },
    }
}

fn on_schema(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (who, at) = who(known, row, 2)?;
    let oid = if row.takes_text(at) {
        Some(known.namespace(row.text(at).unwrap_or_default())?)
    } else {
        row.oid(at)?.filter(|oid| known.oids.namespace_name(*oid).is_some())
    };
    let privileges = privileges(row.text(at + 1).unwrap_or_default(), &["CREATE", "USAGE"])?;
    let is_everybodys = |oid: u32| oid <= super::super::system::SCHEMA_OID;
    Ok(Value::or_null(oid, |oid| {
        any(&privileges, |privilege| match who {
            _ if privilege.name != "USAGE" || privilege.grantable => Some(false),
            _ if is_everybodys(oid) => Some(true),
            Who::Asker => Some(true),
            Who::Public | Who::Nobody => Some(false),
            Who::Role(_) => None,
        })
    }))
}

/// Everybody may connect and make temporary views.
fn on_database(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (who, at) = who(known, row, 2)?;
    let exists = if row.takes_text(at) {
        let name = row.text(at).unwrap_or_default();
        if *name != *known.facts.database {
            let message = format!("database \"{name}\" does not exist");
            return Err(Error::new(SqlState::INVALID_CATALOG_NAME, message));
        }
        true
    } else {
        row.oid(at)? == Some(known.oids.database())
    };
    let privileges = privileges(row.text(at + 1).unwrap_or_default(), &["CREATE", "TEMPORARY", "TEMP", "CONNECT"])?;
    let answer =
        any(&privileges, |privilege| Some(privilege.name != "CREATE" && !privilege.grantable && who != Who::Nobody));
    Ok(if exists { answer } else { Value::Null })
}

fn on_function(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (_, at) = who(known, row, 2)?;
    let oid = if row.takes_text(at) {
        Some(reg::input(Reg::Procedure, known, row.text(at).unwrap_or_default())?)
    } else {
        row.oid(at)?
    };
    let privileges = privileges(row.text(at + 1).unwrap_or_default(), &["EXECUTE"])?;
    let proc = oid.and_then(|oid| Proc::of(known, oid));
    Ok(Value::or_null(proc, |proc| {
        let acl = proc.text("proacl");
        let is_public =
            acl.is_none_or(|acl| acl.trim_matches(['{', '}']).split(',').any(|item| item.starts_with("=X")));
        any(&privileges, |privilege| Some(is_public && !privilege.grantable))
    }))
}

fn on_type(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (_, at) = who(known, row, 2)?;
    let oid = if row.takes_text(at) {
        Some(reg::type_of_text(known, row.text(at).unwrap_or_default())?)
    } else {
        row.oid(at)?
    };
    let privileges = privileges(row.text(at + 1).unwrap_or_default(), &["USAGE"])?;
    let exists = oid.and_then(|oid| known.oids.type_name(oid));
    Ok(Value::or_null(exists, |_| any(&privileges, |privilege| Some(!privilege.grantable))))
}

/// There are none, so that what is named is something else.
fn on_sequence(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (_, at) = who(known, row, 2)?;
    let oid = relation_at(known, row, at)?;
    let Some(name) = oid.and_then(|oid| known.oids.relation_name(oid)) else { return Ok(Value::Null) };
    let shown = if row.takes_text(at) { row.text(at).unwrap_or_default().to_owned() } else { name.name.into_owned() };
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{shown}\" is not a sequence")))
}

fn on_tablespace(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (_, at) = who(known, row, 2)?;
    let exists = if row.takes_text(at) {
        let name = row.text(at).unwrap_or_default();
        if !matches!(name, "pg_default" | "pg_global") {
            return Err(missing("tablespace", name));
        }
        true
    } else {
        matches!(row.oid(at)?, Some(1663 | 1664))
    };
    let answer = any(&privileges(row.text(at + 1).unwrap_or_default(), &["CREATE"])?, |_| Some(false));
    Ok(if exists { answer } else { Value::Null })
}

/// `internal`, `c` and `sql`: the last is trusted, and so everybody's.
fn on_language(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (_, at) = who(known, row, 2)?;
    let oid = if row.takes_text(at) {
        match row.text(at).unwrap_or_default() {
            "internal" => Some(12),
            "c" => Some(13),
            "sql" => Some(14),
            name => return Err(missing("language", name)),
        }
    } else {
        row.oid(at)?.filter(|oid| matches!(oid, 12..=14))
    };
    let privileges = privileges(row.text(at + 1).unwrap_or_default(), &["USAGE"])?;
    Ok(Value::or_null(oid, |oid| any(&privileges, |privilege| Some(oid == 14 && !privilege.grantable))))
}

/// Of a kind of objects that the mesh has none of.
fn on_nothing(known: &Known, row: &Row<'_>, kind: &str) -> Result<Value> {
    let (_, at) = who(known, row, 2)?;
    if row.takes_text(at) {
        return Err(missing(kind, row.text(at).unwrap_or_default()));
    }
    privileges(row.text(at + 1).unwrap_or_default(), &["USAGE"])?;
    Ok(Value::Null)
}

fn missing(kind: &str, name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("{kind} \"{name}\" does not exist"))
}

/// A user has its own role and those of its groups.
fn has_role(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (who, at) = if row.len() == 2 { (Who::Asker, 0) } else { (role_of(known, row, 0, false)?.0, 1) };
    let (role, oid) = role_of(known, row, at, false)?;
    let text = row.text(at + 1).unwrap_or_default();
    let mut wanted = Vec::new();
    for part in text.split(',') {
        let upper = part.trim().to_ascii_uppercase();
        let (name, with_option) =
            match upper.strip_suffix(" WITH GRANT OPTION").or(upper.strip_suffix(" WITH ADMIN OPTION")) {
                Some(name) => (name, true),
                None => (upper.as_str(), false),
            };
        if !matches!(name, "USAGE" | "MEMBER") {
            let message = format!("unrecognized privilege type: \"{}\"", part.trim());
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        wanted.push(with_option);
    }
    let (Some(_), false) = (oid, who == Who::Nobody) else { return Ok(Value::Bool(false)) };
    let name = |who: &Who| match who {
        Who::Role(name) => name.clone(),
        _ => known.principal.name.clone(),
    };
    let (user, role) = (name(&who), name(&role));
    let is_superuser = user == objects::SERVER_ROLE && !known.snapshot.catalog.users.contains_key(&user);
    let is_member = user == role
        || is_superuser
        || objects::roles(&known.context)
            .iter()
            .any(|known| known.name == user && known.groups.contains(&role.as_str()));
    Ok(Value::Bool(is_member && (wanted.contains(&false) || is_superuser)))
}

/// Whether rows of the relation are held back from the principal.
fn row_security_active(known: &Known, row: &Row<'_>) -> Result<Value> {
    let oid = if row.takes_text(0) { Some(known.relation(row.text(0).unwrap_or_default())?) } else { row.oid(0)? };
    let Some(oid) = oid else { return Ok(Value::Null) };
    let scope = known.oids.table(oid).and_then(|table| table.scope().map(|scope| !scope.row_rules.is_empty()));
    Ok(Value::Bool(scope.unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_read_as_postgresql_reads_them() {
        let read = |text| privileges(text, TABLE_PRIVILEGES);
        let select = Privilege { name: "SELECT", grantable: false };
        assert_eq!(read(" select ,INSERT").unwrap(), [select, Privilege { name: "INSERT", grantable: false }]);
        assert_eq!(read("select with grant option").unwrap(), [Privilege { grantable: true, ..select }]);
        for text in ["selectx", "", "select  with grant option", "usage"] {
            assert_eq!(read(text).unwrap_err().sqlstate(), SqlState::INVALID_PARAMETER_VALUE, "{text}");
        }
        let held = |privilege: Privilege| Some(privilege == select);
        assert_eq!(any(&read("insert, select").unwrap(), held), Value::Bool(true));
        assert_eq!(any(&read("insert").unwrap(), held), Value::Bool(false));
        assert_eq!(any(&read("insert").unwrap(), |_| None), Value::Null);
    }
}
