//! A table's change feed between two versions: the rows of the commits, with what happened to them, when, and in which.
//!
//! Read by the kernel, which alone of what is at hand reads deletion vectors, column mapping and paths right; deltalake's
//! own reader selects the deleted rows of a file that comes or goes with a deletion vector, encodes paths twice and reads
//! commits that recorded no changes (Delta protocol, "Add CDC File" and "Change Data Files"). The kernel knows only file
//! times of commits, so times are put in here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Int64Type, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::datasource::TableProvider;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use delta_kernel::engine::arrow_conversion::TryIntoArrow;
use delta_kernel::engine::arrow_data::EngineDataArrowExt;
use delta_kernel::schema::{Schema as DeltaSchema, StructType};
use delta_kernel::table_changes::TableChanges;
use delta_kernel::table_changes::scan::{TableChangesScan, TableChangesScanBuilder};
use deltalake::logstore::LogStoreRef;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;

use super::commits::{self, commit_path};
use super::engine::InFolder;
use super::error::{DeltaError, scrub};
use super::narrowed::Narrowed;
use super::registry::Registration;
use super::snapshot::{TableSnapshot, is_same_column};
use super::table::{Entry, LOG_TIMEOUT, TableLocation, Tables, within};
use super::travel::At;

/// How many versions one reading of a feed may span: each commit is read before the first row comes.
const CHANGES_VERSIONS_MAX: u64 = 10_000;
/// How many commits are read at the same time.
const COMMITS_AT_ONCE: usize = 8;
/// Batches that are ready before they are taken.
const BATCHES_AHEAD_MAX: usize = 2;

const COMMIT_VERSION: &str = "_commit_version";
const COMMIT_TIMESTAMP: &str = "_commit_timestamp";
/// `_change_type` is `insert`, `delete`, `update_preimage` or `update_postimage`.
const FEED_COLUMNS: [&str; 3] = ["_change_type", COMMIT_VERSION, COMMIT_TIMESTAMP];
const ALWAYS_READ: [&str; 2] = ["_change_type", COMMIT_VERSION];

/// The changes of some versions, and the columns that the table had in the last of them.
#[derive(Debug)]
pub struct Changes {
    columns: Arc<StructType>,
    provider: Arc<dyn TableProvider>,
}

impl Changes {
    /// The bare feed, unsecured: the table's columns, and after them `_change_type`, `_commit_version` and
    /// `_commit_timestamp`.
    #[must_use]
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider)
    }

    /// The same with those columns of the table alone that `today` has too, as in
    /// [`TableSnapshot::columns_shared_with`].
    #[must_use]
    pub fn provider_of(&self, today: &TableSnapshot) -> Arc<dyn TableProvider> {
        let is_shown = |name: &str| {
            let shared = self.columns.field(name).zip(today.column(name));
            FEED_COLUMNS.contains(&name) || shared.is_some_and(|(then, now)| is_same_column(then, now))
        };
        let schema = self.provider.schema();
        let shown = schema.fields().iter().enumerate().filter(|(_, field)| is_shown(field.name()));
        let shown: Vec<usize> = shown.map(|(position, _)| position).collect();
        Arc::new(Narrowed::new(self.provider(), &shown))
    }
}

impl Tables {
    /// What changed from one state to another, both included, by the log that ends with `newest`. `from` a time is the
    /// first commit that is not older; `to` a time is the last that is not younger, and `None` the newest.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`DeltaError::ChangesNotRecorded`] where the table did not record changes in all of these versions,
    /// [`DeltaError::ColumnsChanged`] where it did not have the same columns in all of them, and as
    /// [`Self::snapshot_at`].
    pub async fn changes(
        &self,
        location: &TableLocation,
        newest: &Arc<TableSnapshot>,
        from: At,
        to: Option<At>,
    ) -> std::result::Result<Changes, DeltaError> {
        let entry = self.entry(location)?;
        let timeline = entry.timeline(newest.version).await?;
        let to = match to {
            None => newest.version,
            Some(At::Version(version)) => version,
            Some(At::Time(time)) => timeline.at(time)?,
        };
        let from = match from {
            At::Version(version) => version,
            At::Time(time) => timeline.since(time).unwrap_or(newest.version + 1),
        };
        for version in [from, to] {
            // one past the newest is where the next reading of the feed begins
            let is_next = version == from && from == newest.version + 1 && to == newest.version;
            if !is_next && timeline.of(version).is_none() {
                return Err(entry.no_such_version(version, newest.version).await);
            }
        }
        let last = self.snapshot_at(location, newest, At::Version(to)).await?;
        if from > to {
            if from > to + 1 {
                return Err(DeltaError::InvalidRange { from, to });
            }
            return last.no_changes();
        }
        if to - from >= CHANGES_VERSIONS_MAX {
            return Err(DeltaError::RangeTooLong { versions_max: CHANGES_VERSIONS_MAX });
        }
        let changed_at = entry.columns_set_in(&last, from + 1..to + 1).await?.unwrap_or(from + 1);
        let times = (from..=to).filter_map(|version| Some((i64::try_from(version).ok()?, timeline.of(version)?)));
        let times = times.map(|(version, time)| (version, time.timestamp_micros())).collect();
        match entry.read_changes(&last, from, to, times).await {
            Err(DeltaError::ColumnsChanged { .. }) => Err(DeltaError::ColumnsChanged { version: changed_at }),
            read => read,
        }
    }
}

impl Entry {
    /// The first of the commits that sets the table's metadata. It is an error where one of them sets other columns than the
    /// last version's, or stops recording changes.
    async fn columns_set_in(
        &self,
        last: &TableSnapshot,
        versions: std::ops::Range<u64>,
    ) -> std::result::Result<Option<u64>, DeltaError> {
        let reading = stream::iter(versions)
            .map(async |version| {
                let path = commit_path(&self.log_path, version);
                let Some(metadata) = commits::metadata(self.store.as_ref(), &path).await? else { return Ok(None) };
                if !metadata.records_changes {
                    return Err(DeltaError::ChangesNotRecorded { version });
                }
                let columns = serde_json::from_str::<StructType>(&metadata.schema);
                match columns {
                    Ok(columns) if columns == **last.columns() => Ok(Some(version)),
                    _ => Err(DeltaError::ColumnsChanged { version }),
                }
            })
            .buffered(COMMITS_AT_ONCE)
            .try_collect::<Vec<Option<u64>>>();
        Ok(within(LOG_TIMEOUT, reading).await?.into_iter().flatten().next())
    }

    async fn read_changes(
        &self,
        last: &TableSnapshot,
        from: u64,
        to: u64,
        times: BTreeMap<i64, i64>,
    ) -> std::result::Result<Changes, DeltaError> {
        if last.columns().fields().any(|field| FEED_COLUMNS.contains(&field.name.as_str())) {
            return Err(DeltaError::Unsupported { feature: "a change feed of a table with its columns' names".into() });
        }
        let (log_store, root) = (self.log_store.clone(), self.log_store.root_url().clone());
        // the kernel waits for the store wherever it is called
        let opening = tokio::task::spawn_blocking(move || {
            let engine = InFolder::new(&log_store);
            TableChanges::try_new(root, &engine, from, Some(to))
        });
        let opened = async { opening.await.map_err(|error| DeltaError::Corrupt { reason: scrub(&error.to_string()) }) };
        let changes = match within(LOG_TIMEOUT, opened).await? {
            Ok(changes) => changes,
            Err(delta_kernel::Error::ChangeDataFeedUnsupported(version)) => {
                return Err(DeltaError::ChangesNotRecorded { version });
            }
            Err(error) if error.to_string().contains("schemas are different") => {
                return Err(DeltaError::ColumnsChanged { version: from });
            }
            Err(error) => return Err(DeltaError::from_kernel(&error)),
        };
        let feed = Feed {
            schema: arrow_schema(changes.schema())?,
            changes: Arc::new(changes),
            partition_columns: last.partition_columns.clone(),
            log_store: self.log_store.clone(),
            times: Arc::new(times),
            registration: self.registration(),
        };
        Ok(Changes { columns: Arc::clone(last.columns()), provider: Arc::new(feed) })
    }
}

impl TableSnapshot {
    /// The feed of no version at all.
    fn no_changes(&self) -> std::result::Result<Changes, DeltaError> {
        let feed_columns = [
            delta_kernel::schema::StructField::not_null(FEED_COLUMNS[0], delta_kernel::schema::DataType::STRING),
            delta_kernel::schema::StructField::not_null(FEED_COLUMNS[1], delta_kernel::schema::DataType::LONG),
            delta_kernel::schema::StructField::not_null(FEED_COLUMNS[2], delta_kernel::schema::DataType::TIMESTAMP),
        ];
        let schema = self.columns().add(feed_columns).map_err(|error| DeltaError::from_kernel(&error))?;
        let provider = datafusion::datasource::empty::EmptyTable::new(arrow_schema(&schema)?);
        Ok(Changes { columns: Arc::clone(self.columns()), provider: Arc::new(provider) })
    }
}

fn arrow_schema(schema: &DeltaSchema) -> std::result::Result<SchemaRef, DeltaError> {
    let arrow: std::result::Result<Schema, _> = schema.try_into_arrow();
    arrow.map(Arc::new).map_err(|error| DeltaError::Unsupported { feature: scrub(&error.to_string()) })
}

/// The feed as a table.
struct Feed {
    schema: SchemaRef,
    changes: Arc<TableChanges>,
    partition_columns: Vec<String>,
    log_store: LogStoreRef,
    /// When each version was written, in microseconds.
    times: Arc<BTreeMap<i64, i64>>,
    /// Keeps the way to the files open.
    registration: Arc<Registration>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

#[async_trait]
impl TableProvider for Feed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => self.schema(),
        };
        let Some(read) = self.columns_read(&schema) else { return Ok(Arc::new(EmptyExec::new(schema))) };
        let read = self.changes.schema().project(&read).map_err(hidden)?;
        let scan = TableChangesScanBuilder::new(Arc::clone(&self.changes)).with_schema(read).build().map_err(hidden)?;
        Ok(Arc::new(ChangesExec {
            scan: Arc::new(scan),
            log_store: self.log_store.clone(),
            times: Arc::clone(&self.times),
            properties: Arc::new(PlanProperties::new(
                EquivalenceProperties::new(schema),
                Partitioning::UnknownPartitioning(1),
                EmissionType::Incremental,
                Boundedness::Bounded,
            )),
            registration: Arc::clone(&self.registration),
        }))
    }
}

impl Feed {
    /// What is read for these columns: also the version, which tells the time, the kind of change, which is in some files
    /// and must go somewhere, and a column that is in all files, which tells how many rows there are. In the feed's order.
    /// `None` of a table without columns.
    fn columns_read(&self, wanted: &Schema) -> Option<Vec<String>> {
        let names = || self.changes.schema().fields().map(|field| &field.name);
        let in_files =
            names().find(|name| !self.partition_columns.contains(name) && !FEED_COLUMNS.contains(&name.as_str()))?;
        let is_read = |name: &&String| {
            wanted.field_with_name(name).is_ok() || ALWAYS_READ.contains(&name.as_str()) || *name == in_files
        };
        Some(names().filter(is_read).cloned().collect())
    }
}

/// Reads a feed on a thread that may block, since the kernel does.
struct ChangesExec {
    scan: Arc<TableChangesScan>,
    log_store: LogStoreRef,
    times: Arc<BTreeMap<i64, i64>>,
    properties: Arc<PlanProperties>,
    registration: Arc<Registration>,
}

impl fmt::Debug for ChangesExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangesExec")
    }
}

impl DisplayAs for ChangesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangesExec")
    }
}

impl ExecutionPlan for ChangesExec {
    fn name(&self) -> &'static str {
        "ChangesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("ChangesExec has no children") }
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let mut receiver = RecordBatchReceiverStreamBuilder::new(Arc::clone(&schema), BATCHES_AHEAD_MAX);
        let sender = receiver.tx();
        let (scan, times) = (Arc::clone(&self.scan), Arc::clone(&self.times));
        let (log_store, registration, runtime) =
            (self.log_store.clone(), Arc::clone(&self.registration), Handle::current());
        receiver.spawn_blocking(move || {
            let _held = registration;
            let _entered = runtime.enter();
            for batch in scan.execute(Arc::new(InFolder::new(&log_store))).map_err(hidden)? {
                let batch = batch.try_into_record_batch().map_err(hidden)?;
                // nobody waits any more
                if sender.blocking_send(timed(&batch, &schema, &times)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(receiver.build())
    }
}

/// What was read, as the columns that are wanted, with the times of the versions.
fn timed(read: &RecordBatch, wanted: &SchemaRef, times: &BTreeMap<i64, i64>) -> Result<RecordBatch> {
    let Some(versions) =
        read.column_by_name(COMMIT_VERSION).and_then(|versions| versions.as_primitive_opt::<Int64Type>())
    else {
        return internal_err!("the change feed was read without versions");
    };
    let columns = wanted.fields().iter().map(|field| {
        let column: ArrayRef = if field.name() == COMMIT_TIMESTAMP {
            let moments = versions.iter().map(|version| times.get(&version?).copied());
            Arc::new(moments.collect::<TimestampMicrosecondArray>())
        } else if let Some(column) = read.column_by_name(field.name()) {
            Arc::clone(column)
        } else {
            return internal_err!("the change feed was read without {}", field.name());
        };
        Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
    });
    let rows = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(wanted), columns.collect::<Result<_>>()?, &rows)?)
}

/// An error for those who do not show what it says: the kernel's errors name files. That one is missing is told as stores
/// tell it.
fn hidden(error: delta_kernel::Error) -> DataFusionError {
    match error {
        delta_kernel::Error::Backtraced { source, .. } => hidden(*source),
        delta_kernel::Error::FileNotFound(path) => {
            let source = "the change feed names it".into();
            DataFusionError::ObjectStore(Box::new(object_store::Error::NotFound { path, source }))
        }
        other => DataFusionError::External(Box::new(other)),
    }
}
