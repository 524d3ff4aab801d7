//! What the session and the server say of themselves: who asks, where names are looked for, what server this is.
//!
//! PostgreSQL 15, sections 9.26.1 "Session Information Functions", 9.26.8 "Transaction ID and Snapshot Information
//! Functions" and 9.27. Nothing a client sends changes what they say about identity.

#![expect(clippy::unnecessary_wraps, reason = "every function of the catalog may fail, and has one form")]

use super::super::system::objects;
use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::{Known, existing_path};
use crate::error::{Error, Result, SqlState};
use crate::settings::SERVER_VERSION;

const NAME: Returns = Returns::Named("name");
/// PostgreSQL's number of UTF8 (`pg_wchar.h`).
const UTF8: i64 = 6;
/// PostgreSQL's encodings by number; those of the server come first.
const ENCODINGS: [&str; 42] = [
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("current_user", &[&[]], NAME, user),
    Spec::new("session_user", &[&[]], NAME, user),
    Spec::new("user", &[&[]], NAME, user),
    Spec::new("current_role", &[&[]], NAME, user),
    Spec::new("current_catalog", &[&[]], NAME, database),
    Spec::new("current_database", &[&[]], NAME, database),
    Spec::new("current_schema", &[&[]], NAME, current_schema),
    Spec::new("current_schemas", &[&[Arg::Bool]], Returns::Names, current_schemas),
    Spec::new("version", &[&[]], Returns::Text, |_, _| Ok(Value::Text(format!("PostgreSQL {SERVER_VERSION}")))),
    Spec::new("pg_backend_pid", &[&[]], Returns::Int4, |context, _| Ok(Value::Int(context.facts.pid.into()))),
    Spec::new("inet_client_addr", &[&[]], Returns::Named("inet"), |context, _| {
        Ok(Value::Text(context.facts.client.ip().to_canonical().to_string()))
    }),
    Spec::new("inet_client_port", &[&[]], Returns::Int4, |context, _| {
        Ok(Value::Int(context.facts.client.port().into()))
    }),
    Spec::new("inet_server_addr", &[&[]], Returns::Named("inet"), |context, _| {
        Ok(Value::Text(context.facts.server.ip().to_canonical().to_string()))
    }),
    Spec::new("inet_server_port", &[&[]], Returns::Int4, |context, _| {
        Ok(Value::Int(context.facts.server.port().into()))
    }),
    Spec::new("pg_postmaster_start_time", &[&[]], Returns::Timestamptz, |context, _| {
        Ok(Value::Micros(context.mesh.engine.started().timestamp_micros()))
    }),
    Spec::new("pg_conf_load_time", &[&[]], Returns::Timestamptz, |context, _| {
        Ok(Value::Micros(context.snapshot.loaded_at.timestamp_micros()))
    }),
    // a primary: nothing is replayed
    Spec::new("pg_is_in_recovery", &[&[]], Returns::Bool, |_, _| Ok(Value::Bool(false))),
    Spec::new("pg_is_wal_replay_paused", &[&[]], Returns::Bool, not_in_recovery),
    Spec::new("pg_get_wal_replay_pause_state", &[&[]], Returns::Text, not_in_recovery),
    Spec::new("pg_last_wal_receive_lsn", &[&[]], Returns::Named("pg_lsn"), nothing),
    Spec::new("pg_last_wal_replay_lsn", &[&[]], Returns::Named("pg_lsn"), nothing),
    Spec::new("pg_last_xact_replay_timestamp", &[&[]], Returns::Timestamptz, nothing),
    Spec::new("pg_current_wal_lsn", &[&[]], Returns::Named("pg_lsn"), denied),
    Spec::new("pg_current_wal_insert_lsn", &[&[]], Returns::Named("pg_lsn"), denied),
    Spec::new("pg_current_wal_flush_lsn", &[&[]], Returns::Named("pg_lsn"), denied),
    Spec::new("pg_export_snapshot", &[&[]], Returns::Text, |_, _| {
        Err(Error::unsupported("snapshots cannot be exported")
            .hint("SET mesh.as_of pins several sessions to one moment."))
    }),
    Spec::new("txid_current", &[&[]], Returns::Int8, transaction),
    Spec::new("pg_current_xact_id", &[&[]], Returns::Oid("xid8"), transaction),
    // nothing is written, so no number is ever assigned
    Spec::new("txid_current_if_assigned", &[&[]], Returns::Int8, nothing),
    Spec::new("pg_current_xact_id_if_assigned", &[&[]], Returns::Oid("xid8"), nothing),
    Spec::new("pg_client_encoding", &[&[]], NAME, |_, _| Ok(Value::text("UTF8"))),
    Spec::new("getdatabaseencoding", &[&[]], NAME, |_, _| Ok(Value::text("UTF8"))),
    Spec::new("pg_encoding_to_char", &[&[Arg::Int]], NAME, encoding_name),
    Spec::new("pg_char_to_encoding", &[&[Arg::Text]], Returns::Int4, encoding_number),
    Spec::new("pg_encoding_max_length", &[&[Arg::Int]], Returns::Int4, encoding_width),
    Spec::new("pg_blocking_pids", &[&[Arg::Int]], Returns::Int4s, |_, _| Ok(Value::Ints(Vec::new()))),
    Spec::new("pg_safe_snapshot_blocking_pids", &[&[Arg::Int]], Returns::Int4s, |_, _| Ok(Value::Ints(Vec::new()))),
    Spec::new("pg_cancel_backend", &[&[Arg::Int]], Returns::Bool, not_a_signaller).volatile(),
    Spec::new("pg_terminate_backend", &[&[Arg::Int], &[Arg::Int, Arg::Int]], Returns::Bool, not_a_signaller).volatile(),
    Spec::new("pg_reload_conf", &[&[]], Returns::Bool, denied).volatile(),
    // no advisory lock is ever taken, so there is none to give back
    Spec::new("pg_advisory_unlock_all", &[&[]], Returns::Named("void"), |_, _| Ok(Value::text(""))),
    Spec::new("pg_advisory_lock", LOCK, Returns::Named("void"), no_locks).volatile(),
    Spec::new("pg_advisory_lock_shared", LOCK, Returns::Named("void"), no_locks).volatile(),
    Spec::new("pg_advisory_xact_lock", LOCK, Returns::Named("void"), no_locks).volatile(),
    Spec::new("pg_advisory_xact_lock_shared", LOCK, Returns::Named("void"), no_locks).volatile(),
    Spec::new("pg_try_advisory_lock", LOCK, Returns::Bool, no_locks).volatile(),
    Spec::new("pg_try_advisory_lock_shared", LOCK, Returns::Bool, no_locks).volatile(),
    Spec::new("pg_try_advisory_xact_lock", LOCK, Returns::Bool, no_locks).volatile(),
    Spec::new("pg_try_advisory_xact_lock_shared", LOCK, Returns::Bool, no_locks).volatile(),
    // a lock that is not held is given back with false
    Spec::new("pg_advisory_unlock", LOCK, Returns::Bool, |_, _| Ok(Value::Bool(false))).volatile(),
    Spec::new("pg_advisory_unlock_shared", LOCK, Returns::Bool, |_, _| Ok(Value::Bool(false))).volatile(),
];

const LOCK: &[&[Arg]] = &[&[Arg::Int], &[Arg::Int, Arg::Int]];

fn user(context: &Known, _: &Row<'_>) -> Result<Value> {
    Ok(Value::text(context.principal.name.clone()))
}

fn database(context: &Known, _: &Row<'_>) -> Result<Value> {
    Ok(Value::text(context.facts.database.to_string()))
}

fn nothing(_: &Known, _: &Row<'_>) -> Result<Value> {
    Ok(Value::Null)
}

/// Functions that PostgreSQL keeps for its superuser or its monitors.
fn denied(_: &Known, row: &Row<'_>) -> Result<Value> {
    let message = format!("permission denied for function {}", row.name);
    Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message))
}

fn not_in_recovery(_: &Known, _: &Row<'_>) -> Result<Value> {
    let error = Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "recovery is not in progress");
    Err(error.hint("Recovery control functions can only be executed during recovery."))
}

/// A number that grows from transaction to transaction and stays the same within one: when it started, in microseconds.
fn transaction(context: &Known, _: &Row<'_>) -> Result<Value> {
    Ok(Value::Int(context.transaction_started.timestamp_micros()))
}

fn not_a_signaller(_: &Known, row: &Row<'_>) -> Result<Value> {
    let what = if row.name == "pg_cancel_backend" {
        "whose query is being canceled"
    } else {
        "whose process is being terminated"
    };
    let message = format!("must be a member of the role {what} or member of pg_signal_backend");
    Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
        .hint("A session's own statement is canceled with a cancel request of the protocol."))
}

fn no_locks(_: &Known, _: &Row<'_>) -> Result<Value> {
    Err(Error::unsupported("advisory locks are not supported"))
}

fn current_schema(context: &Known, _: &Row<'_>) -> Result<Value> {
    Ok(Value::or_null(existing_path(context).into_iter().next(), Value::Text))
}

/// With the implicit ones if asked for: the session's views, where there are any, and `pg_catalog`.
fn current_schemas(context: &Known, row: &Row<'_>) -> Result<Value> {
    let mut schemas = existing_path(context);
    if row.flag(0) == Some(true) {
        if !schemas.iter().any(|schema| schema == "pg_catalog") {
            schemas.insert(0, "pg_catalog".to_owned());
        }
        if !context.views.is_empty() {
            schemas.insert(0, objects::temporary_schema(context));
        }
    }
    Ok(Value::Texts(schemas.into_iter().map(Some).collect()))
}

fn encoding_name(_: &Known, row: &Row<'_>) -> Result<Value> {
    let name = row.int(0).and_then(|number| ENCODINGS.get(usize::try_from(number).ok()?));
    Ok(Value::text(name.copied().unwrap_or_default()))
}

/// -1 for a name that no encoding has. Case, and marks in a name, make no difference (`clean_encoding_name`).
fn encoding_number(_: &Known, row: &Row<'_>) -> Result<Value> {
    let clean =
        |name: &str| -> String { name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase() };
    let wanted = clean(row.text(0).unwrap_or_default());
    if wanted == "unicode" {
        return Ok(Value::Int(UTF8));
    }
    let found = ENCODINGS.iter().position(|name| clean(name) == wanted);
    Ok(Value::Int(found.map_or(-1, |number| number as i64)))
}

/// NULL for a number that no encoding has.
fn encoding_width(_: &Known, row: &Row<'_>) -> Result<Value> {
    let width = match row.int(0) {
        Some(0 | 8..=34) => 1,
        Some(35..=38 | 41) => 2,
        Some(1 | 2 | 3 | 5 | 40) => 3,
        Some(4 | UTF8 | 7 | 39) => 4,
        _ => return Ok(Value::Null),
    };
    Ok(Value::Int(width))
}
