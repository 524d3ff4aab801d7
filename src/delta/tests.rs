//! The room as its users see it: real tables in temporary folders, written by another handle.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::Int64Array;
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionContext, col, lit};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

use super::fixtures::{append, location, session, tables, writer};
use super::*;

const AGES: Duration = Duration::from_hours(1);

async fn ids(context: &SessionContext, snapshot: &TableSnapshot) -> Vec<i64> {
    let batches = context.read_table(snapshot.provider()).unwrap().collect().await.unwrap();
    let mut ids: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            let ids = batch.column_by_name("id").unwrap();
            ids.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
        })
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_commit_of_another_writer_is_seen_after_the_bound_and_not_before() {
    let folder = TempDir::new().unwrap();
    let table = append(writer(folder.path()), &[1, 2]).await;
    let (tables, here) = (tables(), location(folder.path()));
    let context = session(&tables);
    let first = tables.snapshot(&here, AGES).await.unwrap();
    assert_eq!((first.version, first.row_count, first.file_count), (0, Some(2), 1));
    assert_eq!(ids(&context, &first).await, [1, 2]);

    append(table, &[3]).await;
    let same = tables.snapshot(&here, AGES).await.unwrap();
    assert!(Arc::ptr_eq(&first, &same), "within the bound the version is shared");
    assert_eq!(tables.take_changed(), HashSet::from([here.clone()]), "it was opened");
    assert_eq!(tables.take_changed(), HashSet::new());
    let second = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    assert_eq!((second.version, second.row_count), (1, Some(3)));
    assert_eq!(ids(&context, &second).await, [1, 2, 3]);
    assert_eq!(ids(&context, &first).await, [1, 2], "a pinned version stays readable");
    assert!(second.last_data_commit.unwrap() >= first.last_data_commit.unwrap());
    assert_eq!(second.last_commit, second.last_data_commit);
    let unchanged = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    assert!(Arc::ptr_eq(&second, &unchanged), "no new commit, no new version");
    assert_eq!(tables.take_changed(), HashSet::from([here]), "the second version, told once");
}

#[tokio::test]
async fn a_refresh_reads_only_new_commits() {
    let folder = TempDir::new().unwrap();
    let table = append(writer(folder.path()), &[1]).await;
    let table = append(table, &[2]).await;
    let (tables, here) = (tables(), location(folder.path()));
    tables.snapshot(&here, AGES).await.unwrap();
    // with the old commit gone, only an incremental refresh can still know its file
    std::fs::remove_file(folder.path().join("_delta_log/00000000000000000000.json")).unwrap();
    append(table, &[3]).await;
    let refreshed = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    assert_eq!((refreshed.version, refreshed.row_count), (2, Some(3)));
}

#[tokio::test]
async fn optimize_is_a_commit_that_changes_no_data() {
    let folder = TempDir::new().unwrap();
    let table = append(append(writer(folder.path()), &[1]).await, &[2]).await;
    let (tables, here) = (tables(), location(folder.path()));
    let before = tables.snapshot(&here, AGES).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    table.optimize().await.unwrap();
    let after = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    assert_eq!((after.version, after.file_count, after.row_count), (2, 1, Some(2)));
    assert_eq!(after.last_data_commit, before.last_data_commit);
    assert!(after.last_commit > before.last_commit);
    let opened_anew = super::Tables::new(Stores::default()).snapshot(&here, AGES).await.unwrap();
    assert_eq!(opened_anew.last_data_commit, before.last_data_commit);
}

#[tokio::test]
async fn a_table_made_anew_is_opened_anew_and_a_removed_one_is_an_error() {
    let folder = TempDir::new().unwrap();
    append(append(writer(folder.path()), &[1]).await, &[2]).await;
    let (tables, here) = (tables(), location(folder.path()));
    assert_eq!(tables.snapshot(&here, AGES).await.unwrap().version, 1);
    std::fs::remove_dir_all(folder.path()).unwrap();
    std::fs::create_dir(folder.path()).unwrap();
    assert_eq!(tables.snapshot(&here, Duration::ZERO).await.unwrap_err(), DeltaError::NotATable);
    assert_eq!(tables.snapshot(&here, Duration::ZERO).await.unwrap_err(), DeltaError::NotATable);
    assert_eq!(tables.latest_seen(&here).unwrap().version, 1, "only for those who ask for it by name");
    append(writer(folder.path()), &[7, 8, 9]).await;
    let anew = tables.snapshot(&here, Duration::ZERO).await.unwrap();
    assert_eq!((anew.version, anew.row_count), (0, Some(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_one_time_share_one_open() {
    let folder = TempDir::new().unwrap();
    append(writer(folder.path()), &[1]).await;
    let (tables, here) = (tables(), location(folder.path()));
    let readers = (0..8).map(|_| {
        let (tables, here) = (tables.clone(), here.clone());
        tokio::spawn(async move { tables.snapshot(&here, AGES).await.unwrap() })
    });
    let snapshots: Vec<_> = futures::future::join_all(readers).await.into_iter().map(Result::unwrap).collect();
    assert!(snapshots.iter().all(|snapshot| Arc::ptr_eq(snapshot, &snapshots[0])));
}

#[tokio::test]
async fn a_folder_without_a_log_is_no_table() {
    let folder = TempDir::new().unwrap();
    let tables = tables();
    for missing in [folder.path().to_owned(), folder.path().join("nothing/here")] {
        let error = tables.snapshot(&location(&missing), Duration::ZERO).await.unwrap_err();
        assert_eq!(error, DeltaError::NotATable, "{error}");
    }
    append(writer(folder.path()), &[1]).await;
    assert!(tables.snapshot(&location(folder.path()), Duration::ZERO).await.is_ok(), "no restart is needed");
}

#[tokio::test]
async fn a_damaged_log_is_told_from_a_missing_one() {
    let folder = TempDir::new().unwrap();
    append(writer(folder.path()), &[1]).await;
    std::fs::write(folder.path().join("_delta_log/00000000000000000000.json"), "{\"no\": ").unwrap();
    let error = tables().snapshot(&location(folder.path()), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, DeltaError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_future_reader_feature_is_unsupported() {
    let folder = TempDir::new().unwrap();
    append(writer(folder.path()), &[1]).await;
    let commit = folder.path().join("_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&commit).unwrap();
    let future = "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[\"timeTurner\"],\
                  \"writerFeatures\":[\"timeTurner\"]}}";
    let lines = text.lines().map(|line| if line.contains("\"protocol\"") { future } else { line });
    let text = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(&commit, text).unwrap();
    let error = tables().snapshot(&location(folder.path()), Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, DeltaError::Unsupported { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_that_never_answers_is_given_up_and_then_fails_fast() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "[credentials.mute]\nendpoint = \"http://{}\"\nallow_http = true\naccess_key_id = \"k\"\n\
         secret_access_key = \"topsecret\"\nregion = \"x\"",
        listener.local_addr().unwrap()
    );
    let tables = Tables::new(Stores::new([], Some(&text)).unwrap());
    let here = TableLocation { url: "s3://bucket/table".into(), credentials: Some("mute".into()) };
    let began = Instant::now();
    let error = tables.snapshot(&here, AGES).await.unwrap_err();
    assert!(matches!(error, DeltaError::Unreachable { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!error.to_string().contains("topsecret") && !error.to_string().contains("127.0.0.1"), "{error}");
    let again = Instant::now();
    assert_eq!(tables.snapshot(&here, AGES).await.unwrap_err(), error);
    assert!(again.elapsed() < Duration::from_millis(100));
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let text = format!(
        "[credentials.gone]\nendpoint = \"{endpoint}\"\nallow_http = true\naccess_key_id = \"k\"\n\
         secret_access_key = \"s\"\nregion = \"x\""
    );
    let tables = Tables::new(Stores::new([], Some(&text)).unwrap());
    let here = TableLocation { url: "s3://bucket/table".into(), credentials: Some("gone".into()) };
    let began = Instant::now();
    let error = tables.snapshot(&here, AGES).await.unwrap_err();
    assert!(matches!(error, DeltaError::Unreachable { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn files_of_one_name_in_two_tables_are_not_confused() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for (path, id) in [(&one, 11_i64), (&two, 22)] {
        std::fs::create_dir(path).unwrap();
        append(writer(path), &[id, id + 5]).await;
        let parquet = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|extension| extension == "parquet"))
            .unwrap();
        let commit = path.join("_delta_log/00000000000000000000.json");
        let text = std::fs::read_to_string(&commit).unwrap();
        let name = parquet.file_name().unwrap().to_str().unwrap().to_owned();
        std::fs::write(&commit, text.replace(&name, "part.parquet")).unwrap();
        std::fs::rename(&parquet, path.join("part.parquet")).unwrap();
    }
    let tables = tables();
    let context = session(&tables);
    for _ in 0..2 {
        for (path, id) in [(&one, 11_i64), (&two, 22)] {
            let snapshot = tables.snapshot(&location(path), AGES).await.unwrap();
            assert_eq!(ids(&context, &snapshot).await, [id, id + 5]);
            // statistics in a footer of the other file would skip this one
            let frame = context.read_table(snapshot.provider()).unwrap().filter(col("id").eq(lit(id))).unwrap();
            assert_eq!(frame.count().await.unwrap(), 1);
        }
    }
}

/// Whoever writes a table's log decides what it names, not what the server reads.
#[tokio::test]
async fn a_log_that_names_files_elsewhere_reads_nothing() {
    let folder = TempDir::new().unwrap();
    let (secret, thief) = (folder.path().join("secret"), folder.path().join("thief"));
    for path in [&secret, &thief] {
        std::fs::create_dir(path).unwrap();
        append(writer(path), &[1]).await;
    }
    let hidden = std::fs::read_dir(&secret)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .unwrap();
    let hidden_name = hidden.file_name().unwrap().to_str().unwrap();
    let commit = thief.join("_delta_log/00000000000000000000.json");
    let own = std::fs::read_to_string(&commit).unwrap();
    let own_name = own.split("\"path\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let tables = tables();
    let context = session(&tables);
    let absolute = Url::from_file_path(&hidden).unwrap().to_string();
    for path in [absolute, format!("../secret/{hidden_name}"), format!("../../secret/{hidden_name}")] {
        std::fs::write(&commit, own.replace(&own_name, &path)).unwrap();
        let snapshot = tables.snapshot(&location(&thief), Duration::ZERO).await.unwrap();
        let read = context.read_table(snapshot.provider()).unwrap().collect().await;
        assert!(read.is_err(), "{path}");
    }
}

#[tokio::test]
async fn tables_that_left_are_forgotten() {
    let folder = TempDir::new().unwrap();
    append(writer(folder.path()), &[1]).await;
    let (tables, here) = (tables(), location(folder.path()));
    tables.snapshot(&here, AGES).await.unwrap();
    tables.retain(&HashSet::from([here.clone()]));
    assert!(tables.latest_seen(&here).is_some());
    tables.retain(&HashSet::new());
    assert!(tables.latest_seen(&here).is_none());
}

#[tokio::test]
async fn what_was_handed_out_reads_on_after_its_table_left() {
    let folder = TempDir::new().unwrap();
    append(writer(folder.path()), &[1, 2]).await;
    let (tables, here) = (tables(), location(folder.path()));
    let context = session(&tables);
    let pinned = tables.snapshot(&here, AGES).await.unwrap();
    let provider = pinned.provider();
    tables.retain(&HashSet::new());
    assert_eq!(ids(&context, &pinned).await, [1, 2], "a pin");
    drop(pinned);
    let count = context.read_table(Arc::clone(&provider)).unwrap().count();
    assert_eq!(count.await.unwrap(), 2, "a statement that was bound");
    let registry = tables.object_store_registry();
    let store = || registry.get_store(&Url::parse("pgmesh://t1/t1/").unwrap());
    assert!(store().is_ok());
    drop(provider);
    assert!(store().is_err(), "nobody can read any more");
    let anew = tables.snapshot(&here, AGES).await.unwrap();
    assert_eq!(ids(&context, &anew).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_location_is_read_with_each_product_s_own_credentials() {
    let folder = TempDir::new().unwrap();
    let mut folders = Vec::new();
    for (key, id) in [("KEYA", 1_i64), ("KEYB", 2)] {
        let root = folder.path().join(key);
        std::fs::create_dir_all(root.join("t")).unwrap();
        append(writer(&root.join("t")), &[id]).await;
        folders.push((key, root));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let sections = ["A", "B", "C"].map(|name| {
        format!(
            "[credentials.{name}]\nendpoint = \"{endpoint}\"\nallow_http = true\naccess_key_id = \"KEY{name}\"\n\
             secret_access_key = \"s\"\nregion = \"x\"\n"
        )
    });
    let text = sections.concat();
    tokio::spawn(fake_s3::serve(listener, folders));
    let tables = Tables::new(Stores::new([], Some(&text)).unwrap());
    let context = session(&tables);
    let at = |name: &str| TableLocation { url: "s3://lake/t".into(), credentials: Some(name.into()) };
    let (a, b) = (tables.snapshot(&at("a"), AGES).await.unwrap(), tables.snapshot(&at("b"), AGES).await.unwrap());
    for _ in 0..2 {
        assert_eq!(ids(&context, &a).await, [1]);
        assert_eq!(ids(&context, &b).await, [2]);
    }
    let both = context.read_table(a.provider()).unwrap().union(context.read_table(b.provider()).unwrap()).unwrap();
    assert_eq!(both.count().await.unwrap(), 2);
    assert_eq!(tables.snapshot(&at("c"), AGES).await.unwrap_err(), DeltaError::Denied);
}

#[tokio::test]
async fn the_range_of_a_column_is_known_without_a_predicate() {
    let folder = TempDir::new().unwrap();
    let table = append(writer(folder.path()), &[5, 2]).await;
    append(table, &[9]).await;
    let snapshot = tables().snapshot(&location(folder.path()), AGES).await.unwrap();
    let statistics = snapshot.provider().statistics().unwrap();
    let id = &statistics.column_statistics[snapshot.schema.index_of("id").unwrap()];
    assert_eq!(id.min_value, Precision::Inexact(ScalarValue::Int64(Some(2))));
    assert_eq!(id.max_value, Precision::Inexact(ScalarValue::Int64(Some(9))));
}

#[tokio::test]
async fn a_predicate_reaches_the_files_once() {
    let folder = TempDir::new().unwrap();
    append(writer(folder.path()), &[1, 2]).await;
    let tables = tables();
    let context = session(&tables);
    context.state_ref().write().config_mut().options_mut().execution.parquet.pushdown_filters = true;
    let snapshot = tables.snapshot(&location(folder.path()), AGES).await.unwrap();
    let query = context.read_table(snapshot.provider()).unwrap().filter(col("id").gt(lit(1_i64))).unwrap();
    let plan = query.clone().create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(text.matches(" predicate=id@0 > 1,").count(), 1, "{text}");
    assert_eq!(query.count().await.unwrap(), 1);
}
