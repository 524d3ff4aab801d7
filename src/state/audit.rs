//! The record that the stream `audit` holds: its fields are the columns of [`Stream::Audit`](super::Stream::Audit).
//!
//! What a decision is, and what its words are, is the business of those who record.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// One decision about access, or one change of who has it. Holds names and never a value of a product's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// As [`event_id`] makes it.
    pub audit_id: String,
    /// RFC 3339, in UTC.
    pub occurred_at: String,
    /// What kind of record it is: `read`, `login`, `grant`, `revoke`, `request`, `approve`, `deny` or `break_glass`.
    pub kind: &'static str,
    /// Who did it; of a login, who was asked for.
    pub principal: Option<String>,
    /// The client's IP address.
    pub client_address: Option<String>,
    pub application_name: Option<String>,
    /// As [`event_id`] makes it.
    pub session_id: Option<String>,
    /// As [`event_id`] makes it.
    pub statement_id: Option<String>,
    /// The product or domain that it is about.
    pub object: Option<String>,
    pub domain: Option<String>,
    /// `allowed`, `filtered` or `denied`.
    pub outcome: Option<&'static str>,
    /// Why it was denied, in one of a few fixed words.
    pub reason: Option<&'static str>,
    /// What was decided by, for example `group:sales`.
    pub policies: Option<Vec<String>>,
    /// The generation of policy.
    pub generation: Option<i64>,
    pub delta_version: Option<i64>,
    pub masked_columns: Option<Vec<String>>,
    pub denied_columns: Option<Vec<String>>,
    /// The columns that were read.
    pub columns: Option<Vec<String>>,
    /// How many events the record stands for.
    pub events: i64,
    /// Free text: the purpose of a request, the reason of break-glass.
    pub detail: Option<String>,
}

impl AuditRecord {
    /// A record of this moment that says nothing else yet.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        let now = Utc::now();
        Self {
            audit_id: event_id(now),
            occurred_at: rfc3339(now),
            kind,
            principal: None,
            client_address: None,
            application_name: None,
            session_id: None,
            statement_id: None,
            object: None,
            domain: None,
            outcome: None,
            reason: None,
            policies: None,
            generation: None,
            delta_version: None,
            masked_columns: None,
            denied_columns: None,
            columns: None,
            events: 1,
            detail: None,
        }
    }
}

/// A time as records hold it, to the microsecond.
#[must_use]
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An id that sorts by time and that no other server makes: a UUID of version 7 (RFC 9562, sections 5.7 and 6.2).
#[must_use]
pub fn event_id(time: DateTime<Utc>) -> String {
    let millis = (time.timestamp_millis() as u64) & 0xffff_ffff_ffff;
    // what is below the millisecond keeps the order of ids that are made in the same one
    let fraction = u64::from(time.timestamp_subsec_micros() % 1_000) * 4_096 / 1_000;
    let random = (rand::random::<u64>() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-7{fraction:03x}-{:04x}-{:012x}",
        millis >> 16,
        millis & 0xffff,
        random >> 48,
        random & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Stream;

    #[test]
    fn a_record_has_the_columns_of_its_stream() {
        let record = serde_json::to_value(AuditRecord::new("grant")).unwrap();
        let mut fields: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        let schema = Stream::Audit.schema();
        let mut columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        fields.sort_unstable();
        columns.sort_unstable();
        assert_eq!(fields, columns);
        assert!(record["occurred_at"].as_str().unwrap().ends_with('Z'));
        assert_ne!(AuditRecord::new("grant").audit_id, AuditRecord::new("grant").audit_id);
    }

    #[test]
    fn ids_sort_by_time_and_differ() {
        let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        let (early, late, next) = (at(1_700_000_000_000_001), at(1_700_000_000_000_900), at(1_700_000_000_001_000));
        let ids = [event_id(early), event_id(late), event_id(next)];
        assert!(ids.is_sorted(), "{ids:?}");
        assert_ne!(event_id(early), event_id(early));
        for id in &ids {
            assert!(id.len() == 36 && id.as_bytes()[14] == b'7' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
    }
}
