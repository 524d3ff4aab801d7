//! What a commit says: files added and removed, transactions of applications (Delta protocol, "Actions").

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::arrow::array::{Array, AsArray, RecordBatch, new_null_array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::delta::error::{DeltaError, scrub};

/// Texts longer than this are in no statistics: cut short, the greatest one would be too small.
const STATISTICS_TEXT_BYTES_MAX: usize = 64;

/// What commits say about who made them.
const ENGINE: &str = concat!("pgmesh/", env!("CARGO_PKG_VERSION"));

/// A data file that no commit names yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFile {
    pub(super) path: String,
    pub size_bytes: u64,
    pub rows: u64,
    pub(super) statistics: Value,
}

/// A data file of a table's version.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveFile {
    pub path: String,
    pub size_bytes: u64,
    /// Rows by the file's statistics.
    pub rows: Option<u64>,
    pub(super) statistics: Value,
}

/// A file as its first commit leaves it.
impl From<NewFile> for LiveFile {
    fn from(file: NewFile) -> Self {
        Self { path: file.path, size_bytes: file.size_bytes, rows: Some(file.rows), statistics: file.statistics }
    }
}

impl LiveFile {
    #[cfg(test)]
    pub(crate) fn for_test(path: &str, size_bytes: u64, statistics: Value) -> Self {
        Self { path: path.to_owned(), size_bytes, rows: None, statistics }
    }

    /// The least and the greatest value of a column of times, where the statistics have them.
    pub fn times(&self, column: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let time = |bound: &str| {
            let text = self.statistics.get(bound)?.get(column)?.as_str()?;
            DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
        };
        Some((time("minValues")?, time("maxValues")?))
    }
}

/// What one commit changes.
#[derive(Clone, Debug)]
pub struct NewCommit {
    /// What the log calls it: `WRITE`, `OPTIMIZE`, `DELETE`.
    pub operation: &'static str,
    pub add: Vec<NewFile>,
    pub remove: Vec<LiveFile>,
    /// Application and how far it has come: whoever reads the table at this version or later knows that.
    pub transaction: Option<(Uuid, u64)>,
    /// Whether rows come or go; `false` when they only move to other files.
    pub changes_data: bool,
}

impl NewCommit {
    /// The commit file. Its bytes are like no other's, so that a writer knows its own again.
    pub(super) fn to_commit(&self) -> String {
        let now = Utc::now().timestamp_millis();
        let mut lines = vec![json!({"commitInfo": {
            "timestamp": now,
            "operation": self.operation,
            "engineInfo": ENGINE,
            "txnId": Uuid::new_v4(),
        }})];
        if let Some((application, version)) = &self.transaction {
            lines.push(json!({"txn": {"appId": application, "version": version, "lastUpdated": now}}));
        }
        lines.extend(self.remove.iter().map(|file| {
            json!({"remove": {
                "path": file.path,
                "deletionTimestamp": now,
                "dataChange": self.changes_data,
                "extendedFileMetadata": true,
                "partitionValues": {},
                "size": file.size_bytes,
            }})
        }));
        lines.extend(self.add.iter().map(|file| {
            json!({"add": {
                "path": file.path,
                "partitionValues": {},
                "size": file.size_bytes,
                "modificationTime": now,
                "dataChange": self.changes_data,
                "stats": file.statistics.to_string(),
            }})
        }));
        commit_file(&lines)
    }
}

/// The first commit of a table: rows of this schema, in no files.
pub(super) fn first_commit(
    schema: &impl serde::Serialize,
    properties: &[(&str, String)],
) -> serde_json::Result<String> {
    let now = Utc::now().timestamp_millis();
    let configuration: Map<String, Value> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.clone()))).collect();
    let lines = [
        json!({"commitInfo": {"timestamp": now, "operation": "CREATE TABLE",
                              "engineInfo": ENGINE, "txnId": Uuid::new_v4()}}),
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        json!({"metaData": {
            "id": Uuid::new_v4(),
            "format": {"provider": "parquet", "options": {}},
            "schemaString": serde_json::to_string(schema)?,
            "partitionColumns": [],
            "configuration": configuration,
            "createdTime": now,
        }}),
    ];
    Ok(commit_file(&lines))
}

/// The commit that gives a table another schema.
pub(super) fn wider_commit(metadata: &impl Serialize, schema: &impl Serialize) -> serde_json::Result<String> {
    let mut metadata = serde_json::to_value(metadata)?;
    metadata["schemaString"] = serde_json::to_string(schema)?.into();
    let info = json!({"commitInfo": {"timestamp": Utc::now().timestamp_millis(), "operation": "ADD COLUMN",
                                     "engineInfo": ENGINE, "txnId": Uuid::new_v4()}});
    Ok(commit_file(&[info, json!({"metaData": metadata})]))
}

/// One action a line.
fn commit_file(actions: &[Value]) -> String {
    let mut text = String::new();
    for action in actions {
        text.push_str(&action.to_string());
        text.push('\n');
    }
    text
}

/// What the winner of a version wrote, as far as the others must know.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Winner {
    pub(super) applications: Vec<String>,
    pub(super) removed: Vec<String>,
    /// Whether it is a commit that others cannot simply follow: another schema or protocol.
    pub(super) is_other_table: bool,
}

/// Reads a commit file; what is not understood makes it one that nobody follows blindly.
pub(super) fn winner(commit: &[u8]) -> Winner {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Line {
        txn: Option<Transaction>,
        remove: Option<Removed>,
        meta_data: Option<serde::de::IgnoredAny>,
        protocol: Option<serde::de::IgnoredAny>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Transaction {
        app_id: String,
    }
    #[derive(Deserialize)]
    struct Removed {
        path: String,
    }
    let mut winner = Winner::default();
    for line in commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            winner.is_other_table = true;
            continue;
        };
        winner.applications.extend(line.txn.map(|txn| txn.app_id));
        winner.removed.extend(line.remove.map(|remove| remove.path));
        winner.is_other_table |= line.meta_data.is_some() || line.protocol.is_some();
    }
    winner
}

/// Number of rows, and least and greatest values of the columns that queries are pruned by (Delta protocol, "Per-file
/// Statistics").
pub(super) fn statistics(rows: &RecordBatch) -> Value {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if !field.data_type().is_nested() {
            nulls.insert(field.name().clone(), Value::from(column.null_count()));
        }
        if let Some((low, high)) = extremes(column) {
            least.insert(field.name().clone(), low);
            greatest.insert(field.name().clone(), high);
        }
    }
    json!({"numRecords": rows.num_rows(), "minValues": least, "maxValues": greatest, "nullCount": nulls})
}

fn extremes(column: &dyn Array) -> Option<(Value, Value)> {
    match column.data_type() {
        DataType::Int64 => {
            let column = column.as_primitive::<Int64Type>();
            Some((compute::min(column)?.into(), compute::max(column)?.into()))
        }
        DataType::Timestamp(..) => {
            let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
            let time = |micros| {
                let time = DateTime::from_timestamp_micros(micros)?;
                Some(Value::from(time.to_rfc3339_opts(SecondsFormat::Micros, true)))
            };
            Some((time(compute::min(column)?)?, time(compute::max(column)?)?))
        }
        DataType::Utf8 => {
            let column = column.as_string_opt::<i32>()?;
            let (low, high) = (compute::min_string(column)?, compute::max_string(column)?);
            let short = |text: &str| text.len() <= STATISTICS_TEXT_BYTES_MAX;
            (short(low) && short(high)).then(|| (low.into(), high.into()))
        }
        _ => None,
    }
}

/// The rows with the columns of a newer schema: what older files lack is NULL.
pub(super) fn fitted(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DeltaError> {
    let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) => compute::cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    });
    let fitted =
        columns.collect::<Result<Vec<_>, _>>().and_then(|columns| RecordBatch::try_new(Arc::clone(schema), columns));
    fitted.map_err(|error| DeltaError::Corrupt { reason: scrub(&error.to_string()) })
}
