//! What is recorded: the streams and tables, their columns, and how long they are kept.
//!
//! Records are written as JSON objects whose keys are the columns' names; times are RFC 3339 texts in UTC.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Records that are only ever added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// One record for each decision about access.
    Audit,
}

/// Tables that are small, and rewritten whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Who was given which privilege, beside those whose request was approved.
    Grants,
    /// Who asked for access, and what became of it: an approved one is a grant.
    AccessRequests,
    /// By which names a contract knew the columns of a table whose columns have ids.
    ColumnNames,
}

impl Stream {
    /// In the order in which they are declared.
    pub const ALL: [Self; 1] = [Self::Audit];

    /// The folder under the state's location.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
        }
    }

    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Audit => schema(&[
                ("audit_id", Kind::Text, Needed::Always),
                ("occurred_at", Kind::Time, Needed::Always),
                ("kind", Kind::Text, Needed::Always),
                ("principal", Kind::Text, Needed::Sometimes),
                ("client_address", Kind::Text, Needed::Sometimes),
                ("application_name", Kind::Text, Needed::Sometimes),
                ("session_id", Kind::Text, Needed::Sometimes),
                ("statement_id", Kind::Text, Needed::Sometimes),
                ("object", Kind::Text, Needed::Sometimes),
                ("domain", Kind::Text, Needed::Sometimes),
                ("outcome", Kind::Text, Needed::Sometimes),
                ("reason", Kind::Text, Needed::Sometimes),
                ("policies", Kind::Texts, Needed::Sometimes),
                ("generation", Kind::Number, Needed::Sometimes),
                ("delta_version", Kind::Number, Needed::Sometimes),
                ("masked_columns", Kind::Texts, Needed::Sometimes),
                ("denied_columns", Kind::Texts, Needed::Sometimes),
                ("columns", Kind::Texts, Needed::Sometimes),
                ("events", Kind::Number, Needed::Sometimes),
                ("detail", Kind::Text, Needed::Sometimes),
            ]),
        }
    }

    /// How the write-ahead file names it; never given to another stream.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Audit => 1,
        }
    }

    /// The column that says when a record came to be; retention goes by it.
    pub fn time_column(self) -> &'static str {
        match self {
            Self::Audit => "occurred_at",
        }
    }
}

impl Table {
    /// In the order in which they are declared.
    pub const ALL: [Self; 3] = [Self::Grants, Self::AccessRequests, Self::ColumnNames];

    /// The folder under the state's location.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grants => "grants",
            Self::AccessRequests => "access_requests",
            Self::ColumnNames => "column_names",
        }
    }

    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Grants => schema(&[
                ("grant_id", Kind::Text, Needed::Always),
                ("grantee", Kind::Text, Needed::Always),
                ("grantee_kind", Kind::Text, Needed::Always),
                ("privilege", Kind::Text, Needed::Always),
                ("object_kind", Kind::Text, Needed::Always),
                ("object", Kind::Text, Needed::Always),
                ("granted_by", Kind::Text, Needed::Always),
                ("granted_at", Kind::Time, Needed::Always),
                ("expires_at", Kind::Time, Needed::Sometimes),
                ("request_id", Kind::Text, Needed::Sometimes),
            ]),
            Self::AccessRequests => schema(&[
                ("request_id", Kind::Text, Needed::Always),
                ("product_id", Kind::Text, Needed::Always),
                ("requested_by", Kind::Text, Needed::Always),
                ("purpose", Kind::Text, Needed::Always),
                ("requested_at", Kind::Time, Needed::Always),
                ("status", Kind::Text, Needed::Always),
                ("decided_by", Kind::Text, Needed::Sometimes),
                ("decided_at", Kind::Time, Needed::Sometimes),
                ("expires_at", Kind::Time, Needed::Sometimes),
                ("reason", Kind::Text, Needed::Sometimes),
                ("revoked_by", Kind::Text, Needed::Sometimes),
                ("revoked_at", Kind::Time, Needed::Sometimes),
            ]),
            Self::ColumnNames => schema(&[
                ("product_id", Kind::Text, Needed::Always),
                ("contract_sha256", Kind::Text, Needed::Always),
                ("column_id", Kind::Number, Needed::Always),
                ("column_name", Kind::Text, Needed::Always),
            ]),
        }
    }
}

/// The types that records are made of.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Number,
    Time,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    Always,
    Sometimes,
}

fn schema(columns: &[(&str, Kind, Needed)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, kind, needed)| {
        let data_type = match kind {
            Kind::Text => DataType::Utf8,
            Kind::Texts => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            Kind::Number => DataType::Int64,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        };
        Field::new(*name, data_type, *needed == Needed::Sometimes)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_listed_at_its_place_and_has_a_name_of_its_own() {
        assert!(Stream::ALL.iter().enumerate().all(|(at, stream)| *stream as usize == at));
        assert!(Table::ALL.iter().enumerate().all(|(at, table)| *table as usize == at));
        let names: Vec<&str> = Stream::ALL.map(Stream::name).into_iter().chain(Table::ALL.map(Table::name)).collect();
        assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "{names:?}");
        assert!(Stream::ALL.iter().all(|stream| stream.schema().field_with_name(stream.time_column()).is_ok()));
    }
}
