//! The record that the stream `audit` holds: its fields are the columns of [`Stream::Audit`](super::Stream::Audit).
//!
//! What a decision is, and what its words are, is the business of those who record.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// One decision about access, or one change of who has it. Holds names and never a value of a product's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// Drawn at random.
    pub audit_id: String,
    /// RFC 3339, in UTC.
    pub occurred_at: String,
    /// What kind of record it is, for example `grant`.
    pub kind: &'static str,
    pub principal: Option<String>,
    pub client_address: Option<String>,
    pub application_name: Option<String>,
    /// The number that BackendKeyData gave to the client.
    pub session_id: Option<i64>,
    pub statement_id: Option<String>,
    /// The product or domain that it is about.
    pub object: Option<String>,
    pub domain: Option<String>,
    /// For example `allowed` or `denied`.
    pub outcome: Option<&'static str>,
    /// What was decided by, for example `group:sales`.
    pub policies: Option<Vec<String>>,
    /// The generation of policy.
    pub generation: Option<i64>,
    pub delta_version: Option<i64>,
    pub masked_columns: Option<Vec<String>>,
    pub denied_columns: Option<Vec<String>>,
    pub columns: Option<Vec<String>>,
    pub detail: Option<String>,
}

impl AuditRecord {
    /// A record of this moment that says nothing else yet.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self {
            audit_id: format!("{:032x}", rand::random::<u128>()),
            occurred_at: rfc3339(Utc::now()),
            kind,
            principal: None,
            client_address: None,
            application_name: None,
            session_id: None,
            statement_id: None,
            object: None,
            domain: None,
            outcome: None,
            policies: None,
            generation: None,
            delta_version: None,
            masked_columns: None,
            denied_columns: None,
            columns: None,
            detail: None,
        }
    }
}

/// A time as records hold it, to the microsecond.
#[must_use]
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
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
}
