//! What PostgreSQL tells of sessions and of the server: settings, activity, the database, time zones. Of sessions there is
//! the principal's own, and no other.

use chrono::{DateTime, Offset, TimeZone as _, Utc};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS};
use datafusion::arrow::array::{IntervalMonthDayNanoArray, RecordBatch};
use datafusion::arrow::datatypes::IntervalMonthDayNanoType;

use super::filled::Filled;
use crate::error::Result;
use crate::settings::Facts;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part, SERVER_ROLE_OID};

/// `pg_default` (`pg_tablespace.dat`).
const DEFAULT_TABLESPACE: &str = "1663";
/// UTF8 (`pg_wchar.h`).
const UTF8: &str = "6";
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// `pg_settings`: every setting with its value, in its own unit.
pub fn settings(context: &Context, _: Part) -> Result<RecordBatch> {
    let settings = context.settings.lock();
    let rows: Vec<_> = settings.listed().collect();
    let fact = |of: fn(&Facts) -> &'static str| rows.iter().map(move |row| Some(of(row.0)));
    let stated = |of: fn(&Facts) -> &'static str| fact(of).map(|text| text.filter(|text| !text.is_empty()));
    let words = |row: &(&Facts, &str, &str)| {
        (row.0.vartype == "enum").then(|| row.0.enumvals.split(',').map(str::to_owned).collect())
    };
    Filled::catalog("pg_settings", rows.len())?
        .texts("name", fact(|facts| facts.name))
        .texts("setting", rows.iter().map(|row| Some(row.1)))
        .texts("unit", stated(|facts| facts.unit))
        .texts("category", fact(|facts| facts.category))
        .texts("short_desc", fact(|facts| facts.short_desc))
        .texts("extra_desc", stated(|facts| facts.extra_desc))
        .texts("context", fact(|facts| facts.context))
        .texts("vartype", fact(|facts| facts.vartype))
        .texts("source", rows.iter().map(|row| Some(if row.1 == row.2 { "default" } else { "session" })))
        .texts("min_val", stated(|facts| facts.min_val))
        .texts("max_val", stated(|facts| facts.max_val))
        .text_lists("enumvals", rows.iter().map(words))
        .texts("boot_val", rows.iter().map(|row| Some(row.2)))
        .texts("reset_val", rows.iter().map(|row| Some(row.2)))
        .all("pending_restart", "f")
        .finish()
}

/// `pg_prepared_statements`: the session's own.
pub fn prepared_statements(context: &Context, _: Part) -> Result<RecordBatch> {
    let statements = context.listings.statements.all();
    Filled::catalog("pg_prepared_statements", statements.len())?
        .texts("name", statements.iter().map(|facts| Some(&facts.name)))
        .texts("statement", statements.iter().map(|facts| Some(&facts.statement)))
        .moments("prepare_time", statements.iter().map(|facts| Some(facts.prepared_at)))
        .oid_lists("parameter_types", statements.iter().map(|facts| Some(facts.parameter_oids.clone())))
        .bools("from_sql", statements.iter().map(|facts| facts.from_sql))
        .all("generic_plans", "0")
        .all("custom_plans", "0")
        .finish()
}

/// `pg_cursors`: the session's own.
pub fn cursors(context: &Context, _: Part) -> Result<RecordBatch> {
    let cursors = context.listings.cursors.all();
    Filled::catalog("pg_cursors", cursors.len())?
        .texts("name", cursors.iter().map(|facts| Some(&facts.name)))
        .texts("statement", cursors.iter().map(|facts| Some(&facts.statement)))
        .bools("is_holdable", cursors.iter().map(|facts| facts.holdable))
        .bools("is_binary", cursors.iter().map(|facts| facts.binary))
        .bools("is_scrollable", cursors.iter().map(|facts| facts.scrollable))
        .moments("creation_time", cursors.iter().map(|facts| Some(facts.opened_at)))
        .finish()
}

/// `pg_stat_activity`: this session.
pub fn activity(context: &Context, _: Part) -> Result<RecordBatch> {
    let name = context.settings.lock().get("application_name").unwrap_or_default();
    Filled::catalog("pg_stat_activity", 1)?
        .oids("datid", [context.snapshot.oids().database()])
        .texts("datname", [Some(&context.facts.database)])
        .int4s("pid", [Some(context.facts.pid)])
        .oids("usesysid", [objects::own_role(context)])
        .texts("usename", [Some(&context.principal.name)])
        .texts("application_name", [Some(name)])
        .texts("client_addr", [Some(context.facts.client.ip().to_canonical().to_string())])
        .int4s("client_port", [Some(context.facts.client.port().into())])
        .moments("xact_start", [Some(context.transaction_started)])
        .moments("query_start", [Some(context.transaction_started)])
        .moments("state_change", [Some(context.transaction_started)])
        .all("state", "active")
        .all("backend_type", "client backend")
        .finish()
}

/// `pg_stat_gssapi`: nobody logs in that way.
pub fn gssapi(context: &Context, _: Part) -> Result<RecordBatch> {
    Filled::catalog("pg_stat_gssapi", 1)?
        .int4s("pid", [Some(context.facts.pid)])
        .all("gss_authenticated", "f")
        .all("encrypted", "f")
        .finish()
}

/// `pg_database`: the mesh.
pub fn databases(context: &Context, _: Part) -> Result<RecordBatch> {
    Filled::catalog("pg_database", 1)?
        .oids("oid", [context.snapshot.oids().database()])
        .names("datname", [&context.facts.database])
        .oids("datdba", [SERVER_ROLE_OID])
        .all("encoding", UTF8)
        .all("datlocprovider", "c")
        .all("datallowconn", "t")
        .all("datconnlimit", "-1")
        .all("dattablespace", DEFAULT_TABLESPACE)
        // texts are compared by their bytes
        .all("datcollate", "C")
        .all("datctype", "C")
        .finish()
}

/// `pg_timezone_names`: the zones that `SET TIME ZONE` takes, as they are now.
pub fn time_zones(_: &Context, _: Part) -> Result<RecordBatch> {
    struct Zone {
        name: &'static str,
        abbreviation: String,
        seconds: i64,
        is_dst: bool,
    }
    let now: DateTime<Utc> = Utc::now();
    let zone = |zone: &chrono_tz::Tz| {
        let offset = zone.offset_from_utc_datetime(&now.naive_utc());
        Zone {
            name: zone.name(),
            abbreviation: offset.abbreviation().unwrap_or_default().to_owned(),
            seconds: i64::from(offset.fix().local_minus_utc()),
            is_dst: offset.dst_offset() != chrono::TimeDelta::zero(),
        }
    };
    let zones: Vec<Zone> = TZ_VARIANTS.iter().map(zone).collect();
    let interval = |zone: &Zone| Some(IntervalMonthDayNanoType::make_value(0, 0, zone.seconds * NANOS_PER_SECOND));
    let offsets = zones.iter().map(interval).collect::<IntervalMonthDayNanoArray>();
    Filled::catalog("pg_timezone_names", zones.len())?
        .texts("name", zones.iter().map(|zone| Some(zone.name)))
        .texts("abbrev", zones.iter().map(|zone| Some(&zone.abbreviation)))
        .array("utc_offset", std::sync::Arc::new(offsets))
        .bools("is_dst", zones.iter().map(|zone| zone.is_dst))
        .finish()
}
