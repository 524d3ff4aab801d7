//! Older versions, change feeds and histories of real tables: what other writers left behind, and what was put together here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::TableProvider;
use datafusion::prelude::{SessionContext, col, lit};
use deltalake::DeltaTable;
use deltalake::kernel::{DataType, PrimitiveType, StructField};
use deltalake::protocol::{SaveMode, checkpoints};
use tempfile::TempDir;

use super::fixtures::{
    append, copy_acceptance, edit_commit, location, session, set_time, tables, write_commit, writer,
};
use super::*;

fn time(milliseconds: i64) -> At {
    At::Time(DateTime::from_timestamp_millis(milliseconds).unwrap())
}

/// Rows as sorted texts.
async fn rows(context: &SessionContext, provider: Arc<dyn TableProvider>) -> Vec<String> {
    lines(&context.read_table(provider).unwrap().collect().await.unwrap())
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        let line = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
        lines.extend((0..batch.num_rows()).map(line));
    }
    lines.sort();
    lines
}

/// A table with one row for each version, 0 to `last`, written a second apart from 1000 s on.
async fn versions(folder: &Path, last: i64) -> DeltaTable {
    let mut table = append(writer(folder), &[0]).await;
    for id in 1..=last {
        table = append(table, &[id]).await;
    }
    for version in 0..=last {
        set_time(folder, u64::try_from(version).unwrap(), (1000 + version) * 1000);
    }
    table
}

#[tokio::test]
async fn a_version_is_what_stood_then_and_is_shared() {
    let folder = TempDir::new().unwrap();
    versions(folder.path(), 3).await;
    let (tables, here) = (tables(), location(folder.path()));
    let context = session(&tables);
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    let at = async |at| tables.snapshot_at(&here, &newest, at).await;
    for version in 0..=3 {
        let then = at(At::Version(version)).await.unwrap();
        assert_eq!((then.version, then.row_count), (version, Some(version + 1)));
        assert_eq!(rows(&context, then.provider()).await.len() as u64, version + 1);
        assert!(Arc::ptr_eq(&then, &at(At::Version(version)).await.unwrap()), "opened once");
    }
    assert!(Arc::ptr_eq(&at(At::Version(3)).await.unwrap(), &newest));
    let missing = DeltaError::NoSuchVersion { version: 4, readable: Some((0, 3)) };
    assert_eq!(at(At::Version(4)).await.unwrap_err(), missing);
    for (moment, version) in [(1_000_000, 0), (1_000_999, 0), (1_001_000, 1), (1_002_500, 2), (9_999_999, 3)] {
        assert_eq!(at(time(moment)).await.unwrap().version, version, "{moment}");
    }
    let before = at(time(999_999)).await.unwrap_err();
    assert!(matches!(before, DeltaError::BeforeFirst { earliest: 0, .. }), "{before:?}");
}

#[tokio::test]
async fn in_commit_timestamps_bind_where_the_table_has_them() {
    let folder = TempDir::new().unwrap();
    versions(folder.path(), 3).await;
    for (version, binding) in [(2, 5_000_000), (3, 6_000_000)] {
        edit_commit(folder.path(), version, |text| {
            text.replace("\"commitInfo\":{", &format!("\"commitInfo\":{{\"inCommitTimestamp\":{binding},"))
        });
    }
    let (tables, here) = (tables(), location(folder.path()));
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    assert_eq!(newest.last_commit.unwrap().timestamp_millis(), 6_000_000);
    for (moment, version) in [(1_001_000, 1), (4_999_999, 1), (5_000_000, 2), (6_000_000, 3)] {
        let then = tables.snapshot_at(&here, &newest, time(moment)).await.unwrap();
        assert_eq!(then.version, version, "{moment}");
    }
}

#[tokio::test]
async fn what_was_cleaned_up_is_said_to_be_gone() {
    let folder = TempDir::new().unwrap();
    let table = versions(folder.path(), 3).await;
    let (tables, here) = (tables(), location(folder.path()));
    let mut at_two = table.clone();
    at_two.load_version(2).await.unwrap();
    checkpoints::create_checkpoint(&at_two, None).await.unwrap();
    for version in 0..=1 {
        std::fs::remove_file(folder.path().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    let at = async |at| tables.snapshot_at(&here, &newest, at).await;
    assert_eq!(at(At::Version(2)).await.unwrap().row_count, Some(3));
    for version in [0, 1] {
        let gone = DeltaError::NoSuchVersion { version, readable: Some((2, 3)) };
        assert_eq!(at(At::Version(version)).await.unwrap_err(), gone);
    }
    let before = at(time(1_001_000)).await.unwrap_err();
    assert!(matches!(before, DeltaError::BeforeFirst { earliest: 2, .. }), "{before:?}");
    let history = tables.history(&here, newest.version, 100).await.unwrap();
    assert_eq!(history.iter().map(|commit| commit.version).collect::<Vec<_>>(), [3, 2]);
}

#[tokio::test]
async fn a_table_made_anew_has_none_of_the_old_versions() {
    let folder = TempDir::new().unwrap();
    versions(folder.path(), 2).await;
    let (tables, here) = (tables(), location(folder.path()));
    let context = session(&tables);
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    let old = tables.snapshot_at(&here, &newest, At::Version(0)).await.unwrap();
    tables.snapshot_at(&here, &newest, time(1_001_000)).await.unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    std::fs::create_dir(folder.path()).unwrap();
    let table = append(append(writer(folder.path()), &[7, 8]).await, &[9]).await;
    drop(table);
    for version in [0, 1] {
        set_time(folder.path(), version, 2_000_000);
    }
    let anew = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    let then = tables.snapshot_at(&here, &anew, At::Version(0)).await.unwrap();
    assert!(!Arc::ptr_eq(&then, &old));
    assert_eq!(rows(&context, then.provider()).await, ["7|n7", "8|n8"]);
    assert!(tables.snapshot_at(&here, &anew, time(1_001_000)).await.is_err(), "times are those of the new one");
}

#[tokio::test]
async fn a_kept_version_goes_with_its_table() {
    let folder = TempDir::new().unwrap();
    versions(folder.path(), 1).await;
    let (tables, here) = (tables(), location(folder.path()));
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    let old = Arc::downgrade(&tables.snapshot_at(&here, &newest, At::Version(0)).await.unwrap());
    assert!(old.upgrade().is_some(), "kept for the next");
    tables.retain(&std::collections::HashSet::new());
    assert!(old.upgrade().is_none());
}

/// Column mapping by name over the files that `append` writes: `label` is what the files call `name`.
fn map_columns(folder: &Path, version: u64, columns: &[(&str, i32, &str, &str)]) {
    let fields = columns.iter().map(|(name, id, physical, kind)| {
        serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata":
            {"delta.columnMapping.id": id, "delta.columnMapping.physicalName": physical}})
    });
    let schema = serde_json::json!({"type": "struct", "fields": fields.collect::<Vec<_>>()}).to_string();
    let metadata = serde_json::json!({"metaData": {"id": "x", "format": {"provider": "parquet", "options": {}},
        "schemaString": schema, "partitionColumns": [], "configuration": {"delta.columnMapping.mode": "name",
        "delta.columnMapping.maxColumnId": "9", "delta.enableChangeDataFeed": "true"}, "createdTime": 0}});
    let protocol = "{\"protocol\":{\"minReaderVersion\":2,\"minWriterVersion\":5}}";
    let info = "{\"commitInfo\":{\"timestamp\":1,\"operation\":\"CHANGE COLUMN\"}}";
    write_commit(folder, version, &[info, protocol, &metadata.to_string()]);
}

#[tokio::test]
async fn a_column_is_known_by_more_than_its_name() {
    let folder = TempDir::new().unwrap();
    append(writer(folder.path()), &[1, 2]).await;
    map_columns(folder.path(), 1, &[("id", 1, "id", "long"), ("name", 2, "name", "string")]);
    map_columns(folder.path(), 2, &[("id", 1, "id", "long"), ("label", 2, "name", "string")]);
    map_columns(
        folder.path(),
        3,
        &[("id", 1, "id", "long"), ("label", 2, "name", "string"), ("name", 3, "col-3", "string")],
    );
    let (tables, here) = (tables(), location(folder.path()));
    let context = session(&tables);
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    assert_eq!(rows(&context, newest.provider()).await, ["1|n1|NULL", "2|n2|NULL"]);
    for (version, whole, shared) in
        [(0, ["1|n1", "2|n2"], vec![0]), (1, ["1|n1", "2|n2"], vec![0]), (2, ["1|n1", "2|n2"], vec![0, 1])]
    {
        let then = tables.snapshot_at(&here, &newest, At::Version(version)).await.unwrap();
        assert_eq!(rows(&context, then.provider()).await, whole);
        // today's `name` is another column than the one of versions 0 and 1
        assert_eq!(then.columns_shared_with(&newest), shared, "version {version}");
        let narrowed = then.provider_of(&then.columns_shared_with(&newest));
        let frame = context.read_table(narrowed).unwrap();
        assert_eq!(frame.schema().fields().len(), shared.len());
        let filtered = frame.filter(col("id").gt(lit(1_i64))).unwrap().select_columns(&["id"]).unwrap();
        assert_eq!(lines(&filtered.collect().await.unwrap()), ["2"]);
    }
}

#[test]
fn a_struct_with_a_field_that_went_is_not_the_same_column() {
    let text = |name: &str| StructField::nullable(name, DataType::Primitive(PrimitiveType::String));
    let nested =
        |fields: Vec<StructField>| StructField::nullable("address", DataType::try_struct_type(fields).unwrap());
    let (city, ssn) = (text("city"), text("ssn"));
    let (with, without) = (nested(vec![city.clone(), ssn]), nested(vec![city]));
    assert!(snapshot::is_same_column(&without, &with), "a field was added");
    assert!(!snapshot::is_same_column(&with, &without), "a field was dropped");
    assert!(!snapshot::is_same_column(&with, &text("address")), "another kind of thing");
    assert!(snapshot::is_same_column(&with, &with));
}

/// The feed as `id|…|_change_type|_commit_version`, without the times.
async fn feed(tables: &Tables, here: &TableLocation, from: At, to: Option<At>) -> Result<Vec<String>, DeltaError> {
    let newest = tables.snapshot(here, Duration::ZERO).await?;
    let changes = tables.changes(here, &newest, from, to).await?;
    let frame = session(tables).read_table(changes.provider()).unwrap();
    let frame = frame.drop_columns(&["_commit_timestamp"]).unwrap();
    Ok(lines(&frame.collect().await.unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_spark_wrote_reads_as_it_was_meant() {
    let folder = TempDir::new().unwrap();
    copy_acceptance("cdf", folder.path());
    let (tables, here) = (tables(), location(folder.path()));
    let all = feed(&tables, &here, At::Version(0), None).await.unwrap();
    assert_eq!(all.len(), 9, "{all:?}");
    assert_eq!(all.iter().filter(|row| row.ends_with("|insert|1")).count(), 5);
    assert_eq!(all.iter().filter(|row| row.ends_with("|delete|2") && row.starts_with("a|")).count(), 4);
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    let changes = tables.changes(&here, &newest, At::Version(2), None).await.unwrap();
    let context = session(&tables);
    let stamped = context.read_table(changes.provider()).unwrap();
    let times = stamped.clone().select_columns(&["_commit_timestamp"]).unwrap().distinct().unwrap();
    assert_eq!(lines(&times.collect().await.unwrap()), ["2024-04-02T20:58:39.864Z"], "the writer's clock");
    assert_eq!(stamped.clone().count().await.unwrap(), 4, "without any column");
    let versions = stamped.select_columns(&["_commit_version"]).unwrap();
    assert_eq!(versions.distinct().unwrap().count().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_of_a_feed_are_versions_or_moments() {
    let folder = TempDir::new().unwrap();
    copy_acceptance("cdf", folder.path());
    let (tables, here) = (tables(), location(folder.path()));
    let count = async |from, to| feed(&tables, &here, from, to).await.map(|rows| rows.len());
    let (first, second, third) = (time(1_712_091_516_538), time(1_712_091_517_919), time(1_712_091_519_864));
    assert_eq!(count(At::Version(1), Some(At::Version(1))).await, Ok(5));
    assert_eq!(count(first, Some(second)).await, Ok(5));
    assert_eq!(count(time(1_712_091_517_920), Some(third)).await, Ok(4));
    assert_eq!(count(time(0), None).await, Ok(9), "from before the first commit");
    assert_eq!(count(time(9_999_999_999_999), None).await, Ok(0), "nothing happened since");
    assert_eq!(count(At::Version(3), None).await, Ok(0), "where the next reading begins");
    assert_eq!(count(At::Version(2), Some(At::Version(0))).await, Err(DeltaError::InvalidRange { from: 2, to: 0 }));
    let missing = |version| Err(DeltaError::NoSuchVersion { version, readable: Some((0, 2)) });
    assert_eq!(count(At::Version(4), None).await, missing(4));
    assert_eq!(count(At::Version(3), Some(At::Version(9))).await, missing(3));
    assert_eq!(count(At::Version(1), Some(At::Version(9))).await, missing(9));
    assert!(matches!(count(At::Version(0), Some(time(0))).await, Err(DeltaError::BeforeFirst { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_vectors_that_come_and_go_are_told_apart() {
    let folder = TempDir::new().unwrap();
    copy_acceptance("deletion_vectors", folder.path());
    let (tables, here) = (tables(), location(folder.path()));
    let switched_off = feed(&tables, &here, At::Version(1), None).await.unwrap_err();
    assert_eq!(switched_off, DeltaError::ChangesNotRecorded { version: 1 });
    edit_commit(folder.path(), 0, |text| {
        text.replace(
            "\"delta.enableDeletionVectors\":\"true\"}",
            "\"delta.enableDeletionVectors\":\"true\",\"delta.enableChangeDataFeed\":\"true\"}",
        )
        .replace("\"writerFeatures\":[", "\"writerFeatures\":[\"changeDataFeed\",")
    });
    // the file goes, with the vector that version 2 gave it: one row was left in it
    let second = std::fs::read_to_string(folder.path().join(format!("_delta_log/{:020}.json", 2))).unwrap();
    let add = second.lines().find(|line| line.contains("\"add\"")).unwrap();
    let mut remove: serde_json::Value = serde_json::from_str(add).unwrap();
    let mut remove = remove["add"].take();
    for (key, value) in [("deletionTimestamp", 1.into()), ("extendedFileMetadata", true.into())] {
        remove[key] = value;
    }
    let remove = serde_json::json!({"remove": remove}).to_string();
    write_commit(folder.path(), 3, &["{\"commitInfo\":{\"timestamp\":1712091609344}}", &remove]);
    let tables = fixtures::tables();
    let all = feed(&tables, &here, At::Version(0), None).await.unwrap();
    let of = |suffix: &str| all.iter().filter(|row| row.ends_with(suffix)).collect::<Vec<_>>();
    assert_eq!(of("|insert|1").len(), 5, "{all:?}");
    assert!(of("|delete|2").len() == 4 && of("|delete|2").iter().all(|row| row.starts_with("a|")), "{all:?}");
    assert!(of("|delete|3").len() == 1 && of("|delete|3")[0].starts_with("b|"), "{all:?}");
    assert_eq!(all.len(), 10);
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    for (version, count) in [(0, 0), (1, 5), (2, 1), (3, 0)] {
        let then = tables.snapshot_at(&here, &newest, At::Version(version)).await.unwrap();
        assert_eq!(rows(&session(&tables), then.provider()).await.len(), count, "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mapped_columns_are_read_by_their_own_names() {
    let folder = TempDir::new().unwrap();
    copy_acceptance("column_mapping", folder.path());
    for version in [0, 2] {
        edit_commit(folder.path(), version, |text| {
            text.replace("\"configuration\":{", "\"configuration\":{\"delta.enableChangeDataFeed\":\"true\",")
        });
    }
    let (tables, here) = (tables(), location(folder.path()));
    let renamed = feed(&tables, &here, At::Version(1), None).await.unwrap_err();
    assert_eq!(renamed, DeltaError::ColumnsChanged { version: 2 });
    let after = feed(&tables, &here, At::Version(2), None).await.unwrap();
    assert_eq!(after.len(), 5, "{after:?}");
    let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    let before = tables.changes(&here, &newest, At::Version(0), Some(At::Version(1))).await.unwrap();
    let columns = |provider: Arc<dyn TableProvider>| {
        provider.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    let feed_columns = ["_change_type", "_commit_version", "_commit_timestamp"];
    assert_eq!(columns(before.provider()), [&["letter", "int", "date"][..], &feed_columns].concat());
    let shared = before.provider_of(&newest);
    assert_eq!(columns(Arc::clone(&shared)), [&["letter", "date"][..], &feed_columns].concat());
    assert_eq!(rows(&session(&tables), shared).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_paths_and_partitions_are_found() {
    let folder = TempDir::new().unwrap();
    let kind = |kind| DataType::Primitive(kind);
    let table = writer(folder.path())
        .create()
        .with_column("id", kind(PrimitiveType::Long), true, None)
        .with_column("name", kind(PrimitiveType::String), true, None)
        .with_partition_columns(["name"])
        .with_configuration([("delta.enableChangeDataFeed", Some("true"))])
        .await
        .unwrap();
    let rows = RecordBatch::try_from_iter([
        ("id", Arc::new(datafusion::arrow::array::Int64Array::from(vec![1, 2, 3])) as _),
        (
            "name",
            Arc::new(datafusion::arrow::array::StringArray::from(vec![Some("a/b %20 ü"), Some("x=1"), None])) as _,
        ),
    ]);
    let table = table.write([rows.unwrap()]).with_save_mode(SaveMode::Append).await.unwrap();
    let (table, _) = table.update().with_predicate("id = 1").with_update("id", "10").await.unwrap();
    let (_, _) = table.delete().with_predicate("id = 2").await.unwrap();
    let (tables, here) = (tables(), location(folder.path()));
    let all = feed(&tables, &here, At::Version(0), None).await.unwrap();
    assert_eq!(
        all,
        [
            "10|a/b %20 ü|update_postimage|2",
            "1|a/b %20 ü|insert|1",
            "1|a/b %20 ü|update_preimage|2",
            "2|x=1|delete|3",
            "2|x=1|insert|1",
            "3|NULL|insert|1"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_reads_no_file_that_its_log_names_elsewhere() {
    let folder = TempDir::new().unwrap();
    for path in ["https://localhost:1/x.parquet?X-Amz-Signature=1", "file:///etc/passwd", "../secret.parquet"] {
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
        copy_acceptance("cdf", folder.path());
        edit_commit(folder.path(), 2, |text| {
            text.replace("_change_data/cdc-00000-48bd9b78-a007-4b88-8a26-4139e077f884.c000.snappy.parquet", path)
        });
        let (tables, here) = (tables(), location(folder.path()));
        let newest = tables.snapshot(&here, Duration::ZERO).await.unwrap();
        let changes = tables.changes(&here, &newest, At::Version(2), None).await.unwrap();
        let read = session(&tables).read_table(changes.provider()).unwrap().collect().await;
        let error = read.unwrap_err().to_string();
        assert!(error.contains("outside of the table's folder"), "{path}: {error}");
    }
}

#[tokio::test]
async fn history_is_what_commits_say_of_themselves() {
    let folder = TempDir::new().unwrap();
    versions(folder.path(), 2).await;
    edit_commit(folder.path(), 1, |text| {
        text.replace("\"commitInfo\":{", "\"commitInfo\":{\"userMetadata\":\"by hand\",")
    });
    let (tables, here) = (tables(), location(folder.path()));
    let history = tables.history(&here, 2, 2).await.unwrap();
    let [second, first] = history.as_slice() else { panic!("{history:?}") };
    assert_eq!((second.version, second.time.timestamp()), (2, 1002));
    assert_eq!((first.version, first.user_metadata.as_deref()), (1, Some("by hand")));
    assert_eq!(first.operation.as_deref(), Some("WRITE"));
    assert!(first.operation_parameters.as_ref().unwrap().contains("Append"), "{first:?}");
}
