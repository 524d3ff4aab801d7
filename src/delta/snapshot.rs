//! One version of one table: immutable, shared by every statement that reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::kernel::EagerSnapshot;
use object_store::ObjectMeta;

use super::commits::CommitTimes;
use super::described::Described;
use super::error::DeltaError;
use super::registry::Registration;

/// A table at one version. A transaction that pins a version holds on to this.
pub struct TableSnapshot {
    /// The Delta version.
    pub version: u64,
    /// The Arrow schema of the rows that a scan yields, in the table's column order.
    pub schema: SchemaRef,
    /// Time of the version's commit; in-commit timestamps are honoured.
    pub last_commit: Option<DateTime<Utc>>,
    /// Time of the last commit that changed data. `None`: none was found among the recent commits.
    pub last_data_commit: Option<DateTime<Utc>>,
    /// Rows by the files' statistics, deleted ones subtracted; `None` when any file lacks them.
    pub row_count: Option<u64>,
    /// Size of the data files in bytes.
    pub size_bytes: u64,
    /// Number of data files.
    pub file_count: u64,
    /// The table's own description (`COMMENT`).
    pub description: Option<String>,
    /// In the order of the partitioning.
    pub partition_columns: Vec<String>,
    /// The ids of top-level columns by name, where the table has them: a renamed column keeps its id (Delta protocol,
    /// "Column Mapping").
    pub column_ids: BTreeMap<String, i64>,
    provider: Arc<dyn TableProvider>,
    /// The newest commit file as it was when the version was read, to notice a table that was made anew.
    pub(super) commit_file: Option<CommitFile>,
}

/// What tells one commit file from another of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitFile {
    size: u64,
    last_modified: DateTime<Utc>,
    e_tag: Option<String>,
}

impl From<ObjectMeta> for CommitFile {
    fn from(meta: ObjectMeta) -> Self {
        Self { size: meta.size, last_modified: meta.last_modified, e_tag: meta.e_tag }
    }
}

impl TableSnapshot {
    /// The bare table, unsecured: nothing of it may reach a client without `access`. It has the table's columns and
    /// no others. Its files are found through [`Tables::object_store_registry`](super::Tables::object_store_registry),
    /// which the engine's runtime must therefore use, for as long as someone holds this snapshot or the provider: a plan
    /// must hold the provider until it has run.
    #[must_use]
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider)
    }

    pub(super) fn new(
        snapshot: &EagerSnapshot,
        times: CommitTimes,
        commit_file: Option<CommitFile>,
        registration: Arc<Registration>,
    ) -> Result<Self, DeltaError> {
        let files = Files::count(snapshot)?;
        let metadata = snapshot.metadata();
        // Dictionary-encoded partition columns would need a special case in every function and in the encoder.
        // The optimizer pushes filters down by itself; pushed by the provider as well, each would be evaluated twice.
        // It cannot do so where columns have other names in the files.
        let mapped = metadata.configuration().get("delta.columnMapping.mode").is_some_and(|mode| mode != "none");
        let config = DeltaScanConfig::new().with_wrap_partition_values(false).with_parquet_pushdown(mapped);
        let provider = DeltaScanNext::new(snapshot.clone(), config)?;
        Ok(Self {
            version: snapshot.version(),
            schema: provider.schema(),
            last_commit: times.last_commit,
            last_data_commit: times.last_data_commit,
            row_count: files.rows,
            size_bytes: files.bytes,
            file_count: files.count,
            description: metadata.description().map(ToOwned::to_owned),
            partition_columns: metadata.partition_columns().to_vec(),
            column_ids: if mapped { column_ids(snapshot) } else { BTreeMap::new() },
            provider: Arc::new(Described::new(Arc::new(provider), snapshot.clone(), registration)),
            commit_file,
        })
    }
}

impl fmt::Debug for TableSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSnapshot").field("version", &self.version).finish_non_exhaustive()
    }
}

fn column_ids(snapshot: &EagerSnapshot) -> BTreeMap<String, i64> {
    let schema = snapshot.schema();
    schema.fields().filter_map(|field| Some((field.name().clone(), field.column_mapping_id()?))).collect()
}

/// Sums over the data files of a version.
struct Files {
    count: u64,
    bytes: u64,
    rows: Option<u64>,
}

impl Files {
    fn count(snapshot: &EagerSnapshot) -> Result<Self, DeltaError> {
        let mut files = Self { count: 0, bytes: 0, rows: Some(0) };
        for file in snapshot.try_log_data()?.iter() {
            files.count += 1;
            files.bytes += u64::try_from(file.size()).unwrap_or(0);
            let deleted = file.deletion_vector_descriptor().map_or(0, |dv| dv.cardinality);
            let rows = file.num_records().and_then(|rows| (rows as u64).checked_sub(u64::try_from(deleted).ok()?));
            files.rows = files.rows.zip(rows).map(|(sum, rows)| sum + rows);
        }
        Ok(files)
    }
}
