//! What PostgreSQL tells of sessions and of the server: settings, activity, the database, time zones. Of sessions there is
//! the principal's own, and no other.

use std::collections::HashMap;

use chrono::{DateTime, Offset, TimeZone as _, Utc};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS};
use datafusion::arrow::array::{IntervalMonthDayNanoArray, RecordBatch};
use datafusion::arrow::datatypes::IntervalMonthDayNanoType;

use super::facts::Cells;
use super::filled::Filled;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part, SERVER_ROLE_OID};

/// `pg_default` (`pg_tablespace.dat`).
const DEFAULT_TABLESPACE: &str = "1663";
/// UTF8 (`pg_wchar.h`).
const UTF8: &str = "6";
/// What a setting of the mesh is filed under; PostgreSQL has no such category.
const OWN_CATEGORY: &str = "Customized Options";
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// `pg_settings`: the settings that SHOW ALL knows, described as PostgreSQL describes those that it has.
pub fn settings(context: &Context, _: Part) -> Result<RecordBatch> {
    let settings = context.settings.lock();
    let facts = Cells::of("pg_settings");
    let known: HashMap<String, usize> =
        facts.rows().filter_map(|row| Some((facts.value(row, "name")?.to_ascii_lowercase(), row))).collect();
    let rows: Vec<_> = settings
        .all()
        .into_iter()
        .map(|(name, value, description)| {
            let fact = known.get(&name.to_ascii_lowercase()).copied();
            (name, value, description, fact)
        })
        .collect();
    drop(settings);
    let fact = |row: Option<usize>, column: &str| row.and_then(|row| facts.value(row, column));
    let mut filled = Filled::catalog("pg_settings", rows.len())?
        .texts("name", rows.iter().map(|row| Some(&row.0)))
        .texts("setting", rows.iter().map(|row| Some(&row.1)))
        .texts("category", rows.iter().map(|row| fact(row.3, "category").or(Some(OWN_CATEGORY.into()))))
        .texts("short_desc", rows.iter().map(|row| fact(row.3, "short_desc").or(Some(row.2.into()))))
        .texts("context", rows.iter().map(|row| fact(row.3, "context").or(Some("user".into()))))
        .texts("vartype", rows.iter().map(|row| fact(row.3, "vartype").or(Some("string".into()))))
        .all("source", "default")
        .texts("boot_val", rows.iter().map(|row| fact(row.3, "boot_val")))
        .texts("reset_val", rows.iter().map(|row| fact(row.3, "boot_val")))
        .text_lists("enumvals", rows.iter().map(|row| fact(row.3, "enumvals").map(|text| words(&text))))
        .all("pending_restart", "f");
    for column in ["unit", "extra_desc", "min_val", "max_val"] {
        filled = filled.texts(column, rows.iter().map(|row| fact(row.3, column)));
    }
    filled.finish()
}

/// `{a,b}`, whose elements need no quotes.
fn words(text: &str) -> Vec<String> {
    text.trim_matches(['{', '}']).split(',').map(|word| word.trim_matches('"').to_owned()).collect()
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
        .texts("client_addr", [Some(context.facts.client_address.to_string())])
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
