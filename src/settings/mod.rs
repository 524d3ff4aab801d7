//! Run-time settings of one session: names, defaults, validation, and what a client is told about them.
//!
//! Follows PostgreSQL 15, chapter 20 "Server Configuration": names are case-insensitive, unknown names without a dot
//! are `42704`, bad values `22023`, read-only ones `55P02`. A setting never says who the principal is.

pub mod date_style;
mod known;
pub mod moment;
pub mod time_zone;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::{Error, Result, SqlState};
use date_style::{DateStyle, IntervalStyle};
pub use known::Facts;
use known::{Kind, definition, definitions};
use time_zone::TimeZone;
pub use value::parse_bool;
use value::{canonical, invalid, show_number, split_path};

/// PostgreSQL version whose behaviour is promised, as `server_version` reports it.
pub const SERVER_VERSION: &str = concat!("15.0 (pgmesh ", env!("CARGO_PKG_VERSION"), ")");
const SERVER_VERSION_NUM: &str = "150000";
/// A session may invent this many settings with a dot in their name (`app.user`).
const CUSTOM_SETTINGS_MAX: usize = 64;
/// Longest value of any setting, in bytes.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// The setting that lifts policies for those with the role for it.
pub const BREAK_GLASS: &str = "mesh.break_glass";
/// How short and how long its reason may be, in characters.
const REASON_CHARS_MIN: usize = 10;
const REASON_CHARS_MAX: usize = 1_000;

/// What a transaction has begun with unless it said otherwise is `default_…` of the same name.
const FROM_DEFAULTS: &[&str] = &["transaction_isolation", "transaction_deferrable"];

/// As of when data products are read.
const AS_OF: &str = "mesh.as_of";

/// Who sets a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The server's configuration, which may set everything.
    Server,
    /// The startup message.
    Startup,
    Session,
}

/// The settings of one session: only what differs from the defaults is stored.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Canonical name (lower case) to canonical value.
    /// Shared between copies until one of them changes, since every transaction keeps a copy.
    changed: Arc<BTreeMap<String, String>>,
    /// What RESET goes back to: values from the server's configuration and the startup message.
    initial: Arc<BTreeMap<String, String>>,
    /// What SET LOCAL changed, with the value before: undone when the transaction ends.
    before_local: BTreeMap<String, Option<String>>,
    time_zone: TimeZone,
    search_path: Arc<[String]>,
    /// What `statement_timeout` cannot be raised beyond, in milliseconds.
    statement_timeout_max: Option<i64>,
    /// Grows with every change, so that others can tell cheaply that there was one.
    revision: u64,
}

impl Settings {
    /// Settings of a new session of this principal. `defaults` come from the server's configuration.
    pub fn new(user: &str, defaults: &[(&str, String)]) -> Result<Self> {
        let mut settings = Self {
            changed: Arc::default(),
            initial: Arc::default(),
            before_local: BTreeMap::new(),
            time_zone: TimeZone::UTC,
            search_path: Arc::default(),
            statement_timeout_max: None,
            revision: 0,
        };
        Arc::make_mut(&mut settings.initial).insert("session_authorization".to_owned(), user.to_owned());
        for (name, value) in defaults {
            settings.set_as_initial(name, value, Source::Server)?;
        }
        settings.refresh_parsed();
        Ok(settings)
    }

    /// Sets a value and makes it what RESET goes back to (startup message).
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_initial(&mut self, name: &str, value: &str) -> Result<()> {
        self.set_as_initial(name, value, Source::Startup)
    }

    fn set_as_initial(&mut self, name: &str, value: &str, source: Source) -> Result<()> {
        self.set_by(name, value, source)?;
        let key = name.to_ascii_lowercase();
        if let Some(value) = Arc::make_mut(&mut self.changed).remove(&key) {
            Arc::make_mut(&mut self.initial).insert(key, value);
        }
        Ok(())
    }

    /// From now on `statement_timeout` is at most this, whatever a session sets; zero for no ceiling. A longer time, or
    /// none, is no error, since clients set 0 without being asked to: SHOW tells what holds.
    pub fn limit_statement_timeout(&mut self, max: Duration) -> Result<()> {
        self.statement_timeout_max = i64::try_from(max.as_millis()).ok().filter(|max| *max > 0);
        let current = self.raw("statement_timeout").unwrap_or("0").to_owned();
        self.set_initial("statement_timeout", &current)
    }

    /// Sets a value until [`Self::end_local`] (SET LOCAL).
    pub fn set_local(&mut self, name: &str, value: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        let before = self.before_local.get(&key).cloned().unwrap_or_else(|| self.changed.get(&key).cloned());
        self.set(name, value)?;
        self.before_local.insert(key, before);
        Ok(())
    }

    /// Undoes what SET LOCAL changed.
    pub fn end_local(&mut self) {
        if self.before_local.is_empty() {
            return;
        }
        for (key, before) in std::mem::take(&mut self.before_local) {
            match before {
                Some(value) => Arc::make_mut(&mut self.changed).insert(key, value),
                None => Arc::make_mut(&mut self.changed).remove(&key),
            };
        }
        self.refresh_parsed();
    }

    /// Sets a value after checking it.
    ///
    /// # Errors
    /// `42704` for an unknown name, `22023` for a bad value, `55P02` for one that cannot be changed, `42501` for one that
    /// only a superuser changes.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.set_by(name, value, Source::Session)
    }

    fn set_by(&mut self, name: &str, value: &str, source: Source) -> Result<()> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(invalid(name, &value.chars().take(40).collect::<String>()));
        }
        let key = name.to_ascii_lowercase();
        let Some(definition) = definition(name) else {
            return self.set_custom(key, name, value);
        };
        check_changeable(&definition.facts, source)?;
        let canonical = canonical(self, definition, name, value)?;
        match definition.kind {
            Kind::TimeZone => {
                self.time_zone = TimeZone::parse(value).ok_or_else(|| invalid(definition.facts.name, value))?;
            }
            Kind::SearchPath => self.search_path = split_path(&canonical).into(),
            _ => {}
        }
        // a plain SET after SET LOCAL outlives the transaction
        self.before_local.remove(&key);
        self.revision += 1;
        Arc::make_mut(&mut self.changed).insert(key, canonical);
        Ok(())
    }

    /// Turns break-glass on, until the transaction's end if `local`. Whoever calls it has checked that the principal may,
    /// and has recorded it.
    pub fn begin_break_glass(&mut self, reason: &str, local: bool) {
        let key = BREAK_GLASS.to_owned();
        if local {
            let before = self.before_local.get(&key).cloned().unwrap_or_else(|| self.changed.get(&key).cloned());
            self.before_local.insert(key.clone(), before);
        } else {
            self.before_local.remove(&key);
        }
        self.revision += 1;
        Arc::make_mut(&mut self.changed).insert(key, reason.to_owned());
    }

    /// The reason why break-glass is on; `None` while it is off.
    pub fn break_glass(&self) -> Option<&str> {
        self.changed.get(BREAK_GLASS).map(String::as_str)
    }

    fn set_custom(&mut self, key: String, name: &str, value: &str) -> Result<()> {
        let valid = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        };
        // PostgreSQL 15, 20.16 "Customized Options": two parts or more, each an identifier
        if !name.contains('.') || !name.split('.').all(valid) || name.len() > 128 || is_engines(name) {
            return Err(unknown(name));
        }
        let custom = self.changed.keys().filter(|k| k.contains('.')).count();
        if custom >= CUSTOM_SETTINGS_MAX && !self.changed.contains_key(&key) {
            return Err(Error::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session may have {CUSTOM_SETTINGS_MAX} customized options"),
            ));
        }
        // a plain SET after SET LOCAL outlives the transaction
        self.before_local.remove(&key);
        self.revision += 1;
        Arc::make_mut(&mut self.changed).insert(key, value.to_owned());
        Ok(())
    }

    /// Back to the initial value (RESET).
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        match definition(name) {
            None if is_engines(name) || (!self.changed.contains_key(&key) && !name.contains('.')) => {
                return Err(unknown(name));
            }
            Some(definition) => check_changeable(&definition.facts, Source::Session)?,
            None => {}
        }
        // like a plain SET, it outlives the transaction
        self.before_local.remove(&key);
        Arc::make_mut(&mut self.changed).remove(&key);
        self.refresh_parsed();
        Ok(())
    }

    /// Back to the initial value until [`Self::end_local`] (SET LOCAL … TO DEFAULT).
    pub fn reset_local(&mut self, name: &str) -> Result<()> {
        let key = name.to_ascii_lowercase();
        let before = self.before_local.get(&key).cloned().unwrap_or_else(|| self.changed.get(&key).cloned());
        self.reset(name)?;
        self.before_local.insert(key, before);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.before_local.clear();
        Arc::make_mut(&mut self.changed).clear();
        self.refresh_parsed();
    }

    fn refresh_parsed(&mut self) {
        self.revision += 1;
        let zone = self.get("timezone").and_then(|name| TimeZone::parse(&name));
        self.time_zone = zone.unwrap_or(TimeZone::UTC);
        self.search_path = split_path(&self.get("search_path").unwrap_or_default()).into();
    }

    /// The current value as SHOW prints it; `None` when there is no such setting.
    pub fn get(&self, name: &str) -> Option<String> {
        let definition = definition(name);
        let key = name.to_ascii_lowercase();
        let of_default = || self.raw(&format!("default_{key}")).filter(|_| FROM_DEFAULTS.contains(&key.as_str()));
        let raw = self.raw(&key).or_else(of_default);
        match (raw, definition) {
            (Some(value), None) => Some(value.to_owned()),
            (raw, Some(definition)) => {
                let value = raw.unwrap_or(definition.default);
                let is_number = matches!(definition.kind, Kind::Number { .. });
                Some(if is_number { show_number(definition, value) } else { value.to_owned() })
            }
            (None, None) => None,
        }
    }

    /// The current value.
    ///
    /// # Errors
    /// `42704` when there is no such setting, `42501` when it tells of the server's files.
    pub fn show(&self, name: &str) -> Result<String> {
        if let Some(definition) = definition(name).filter(|definition| definition.hidden) {
            let name = definition.facts.name;
            let message = format!("must be superuser or have privileges of pg_read_all_settings to examine \"{name}\"");
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        self.get(name).ok_or_else(|| unknown(name))
    }

    /// The name as PostgreSQL spells it, for the column that SHOW returns.
    pub fn spelled(name: &str) -> String {
        definition(name).map_or_else(|| name.to_ascii_lowercase(), |found| found.facts.name.to_owned())
    }

    /// Whether SET takes several values for it (`GUC_LIST_INPUT`).
    pub fn takes_list(name: &str) -> bool {
        Self::takes_names(name) || name.eq_ignore_ascii_case("DateStyle")
    }

    /// Whether its values are names, which are quoted where they have to be (`GUC_LIST_QUOTE`).
    pub fn takes_names(name: &str) -> bool {
        ["search_path", "temp_tablespaces", "local_preload_libraries"]
            .iter()
            .any(|list| list.eq_ignore_ascii_case(name))
    }

    /// (name, value, description) of every setting, for SHOW ALL.
    pub fn all(&self) -> Vec<(String, String, &'static str)> {
        let listed = definitions().filter(|definition| definition.listed && !definition.hidden);
        listed
            .map(|definition| {
                let Facts { name, short_desc, .. } = definition.facts;
                (name.to_owned(), self.get(name).unwrap_or_default(), short_desc)
            })
            .collect()
    }

    /// Every setting as `pg_settings` lists it: facts, the value and the one that RESET goes back to, both in the setting's
    /// own unit.
    pub fn listed(&self) -> impl Iterator<Item = (&'static Facts, &str, &str)> {
        let listed = definitions().filter(|definition| definition.listed && !definition.hidden);
        listed.map(|definition| {
            let key = definition.facts.name.to_ascii_lowercase();
            let reset = self.initial.get(&key).map_or(definition.default, String::as_str);
            let value = self.changed.get(&key).map_or(reset, String::as_str);
            (&definition.facts, value, reset)
        })
    }

    /// Settings that the client is told about when they change (ParameterStatus).
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let reported = definitions().filter(|definition| definition.reported);
        reported.map(|definition| (definition.facts.name, self.get(definition.facts.name).unwrap_or_default()))
    }

    /// Differs from every earlier one after a change. A restored copy of older settings has an older one.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Bytes that keeping this copy takes beside `other`; nothing where neither changed since one was copied.
    pub fn bytes_beside(&self, other: &Self) -> usize {
        let local = self.before_local.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
        let changed = self.changed.iter().map(|(name, value)| name.len() + value.len());
        local.sum::<usize>() + if Arc::ptr_eq(&self.changed, &other.changed) { 0 } else { changed.sum() }
    }

    pub fn time_zone(&self) -> &TimeZone {
        &self.time_zone
    }

    /// Schemas to look in, in order; `$user` is left as it stands.
    pub fn search_path(&self) -> &[String] {
        &self.search_path
    }

    /// Limit on a statement's time; `None` for no limit.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    /// Limit on the time between statements of a transaction; `None` for no limit.
    pub fn idle_in_transaction_session_timeout(&self) -> Option<Duration> {
        self.duration("idle_in_transaction_session_timeout")
    }

    /// As of when data products are read; `None` is now.
    pub fn as_of(&self) -> Option<DateTime<Utc>> {
        moment::parse(self.raw(AS_OF)?, &TimeZone::UTC)
    }

    /// How dates and timestamps are written.
    pub fn date_style(&self) -> DateStyle {
        self.raw("datestyle").map_or_else(DateStyle::default, DateStyle::of)
    }

    /// How intervals are written.
    pub fn interval_style(&self) -> IntervalStyle {
        self.raw("intervalstyle").map_or_else(IntervalStyle::default, IntervalStyle::of)
    }

    pub fn bytea_escape(&self) -> bool {
        self.raw("bytea_output") == Some("escape")
    }

    pub fn extra_float_digits(&self) -> i8 {
        self.raw("extra_float_digits").and_then(|v| v.parse().ok()).unwrap_or(1)
    }

    fn raw(&self, key: &str) -> Option<&str> {
        self.changed.get(key).or_else(|| self.initial.get(key)).map(String::as_str)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        let milliseconds: u64 = self.raw(key)?.parse().ok()?;
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }
}

/// The reason for break-glass, without blanks around it.
///
/// # Errors
/// `22023` when it is too short to say anything, or too long.
pub fn break_glass_reason(text: &str) -> Result<&str> {
    let reason = text.trim();
    if (REASON_CHARS_MIN..=REASON_CHARS_MAX).contains(&reason.chars().count()) {
        return Ok(reason);
    }
    let message = format!("the reason for break-glass takes {REASON_CHARS_MIN} to {REASON_CHARS_MAX} characters");
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        .hint("Say what happened and what you need the data for; RESET mesh.break_glass turns it off."))
}

/// No setting of the engine is a client's to see or to change (DESIGN.md, section 5.7), and none of the mesh's own is a
/// client's to invent: a misspelt `mesh.as_of` must not pass.
fn is_engines(name: &str) -> bool {
    let prefix = name.split_once('.').map(|(prefix, _)| prefix);
    prefix.is_some_and(|prefix| ["datafusion", "mesh"].iter().any(|own| prefix.eq_ignore_ascii_case(own)))
}

/// Whether a session may change it (`set_config_option`).
fn check_changeable(facts: &Facts, source: Source) -> Result<()> {
    if source == Source::Server {
        return Ok(());
    }
    let Facts { name, context, .. } = facts;
    let how = match *context {
        "internal" => "cannot be changed",
        "postmaster" => "cannot be changed without restarting the server",
        "sighup" => "cannot be changed now",
        "superuser" | "superuser-backend" => {
            let message = format!("permission denied to set parameter \"{name}\"");
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
        "backend" if source == Source::Session => "cannot be set after connection start",
        _ => return Ok(()),
    };
    Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, format!("parameter \"{name}\" {how}")))
}

fn unknown(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

#[cfg(test)]
mod tests;
