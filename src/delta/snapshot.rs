//! One version of one table: immutable, shared by every statement that reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::kernel::{ArrayType, DataType, EagerSnapshot, MapType, MetadataValue, StructField, StructType};
use object_store::ObjectMeta;

use super::commits::CommitTimes;
use super::described::Described;
use super::error::DeltaError;
use super::narrowed::Narrowed;
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
    /// The columns as the log describes them, with what stays the same when one is renamed.
    logical: Arc<StructType>,
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

    /// The same with these columns of [`Self::schema`] alone.
    #[must_use]
    pub fn provider_of(&self, columns: &[usize]) -> Arc<dyn TableProvider> {
        Arc::new(Narrowed::new(self.provider(), columns))
    }

    pub(super) fn columns(&self) -> &Arc<StructType> {
        &self.logical
    }

    pub(super) fn column(&self, name: &str) -> Option<&StructField> {
        self.logical.field(name)
    }

    /// Positions in [`Self::schema`] of the columns that `today`, another version of the same table, has too: under the
    /// same name, and as the same column, fields of structs included. With column mapping a name may have been given to
    /// another column since, and then the two are not the same (Delta protocol, "Column Mapping").
    #[must_use]
    pub fn columns_shared_with(&self, today: &Self) -> Vec<usize> {
        let is_shared = |name: &String| match (self.logical.field(name), today.logical.field(name)) {
            (Some(then), Some(now)) => is_same_column(then, now),
            _ => false,
        };
        let names = self.schema.fields().iter().map(|field| field.name()).enumerate();
        names.filter(|(_, name)| is_shared(name)).map(|(position, _)| position).collect()
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
            logical: snapshot.schema(),
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

/// Whether a column of an older version is this one of a newer, with nothing in it that the newer does not have.
pub(super) fn is_same_column(then: &StructField, now: &StructField) -> bool {
    then.name == now.name
        && physical_name(then) == physical_name(now)
        && holds_nothing_else(&then.data_type, &now.data_type)
}

/// A table without column mapping has no such name; when mapping is switched on, columns keep theirs as the physical one.
fn physical_name(field: &StructField) -> &str {
    match field.metadata.get("delta.columnMapping.physicalName") {
        Some(MetadataValue::String(name)) => name,
        _ => &field.name,
    }
}

fn holds_nothing_else(then: &DataType, now: &DataType) -> bool {
    match (then, now) {
        (DataType::Struct(then), DataType::Struct(now)) => {
            then.fields().all(|then| now.field(&then.name).is_some_and(|now| is_same_column(then, now)))
        }
        (DataType::Array(then), DataType::Array(now)) => {
            let element = |array: &ArrayType| array.element_type.clone();
            holds_nothing_else(&element(then), &element(now))
        }
        (DataType::Map(then), DataType::Map(now)) => {
            let (key, value) = (|map: &MapType| map.key_type.clone(), |map: &MapType| map.value_type.clone());
            holds_nothing_else(&key(then), &key(now)) && holds_nothing_else(&value(then), &value(now))
        }
        // a nested column that became another kind of thing
        (DataType::Struct(_) | DataType::Array(_) | DataType::Map(_), _) => false,
        _ => true,
    }
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
