//! Written tables in temporary folders: who wins a version, what others learn, what tidying up leaves.

use std::path::Path as LocalPath;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion::prelude::{col, lit};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::delta::fixtures;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn rows(ids: &[i64]) -> RecordBatch {
    let names = ids.iter().map(|id| if *id == 99 { Some("x".repeat(100)) } else { Some(format!("n{id}")) });
    let times = ids.iter().map(|id| (*id != 0).then_some(*id));
    let columns: [ArrayRef; 3] = [
        Arc::new(Int64Array::from(ids.to_vec())),
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(names.collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema(), columns.to_vec()).unwrap()
}

fn table(folder: &TempDir) -> WrittenTable {
    let tables = fixtures::tables();
    tables.written(&fixtures::location(folder.path())).unwrap().table("t").unwrap()
}

async fn made(folder: &TempDir) -> WrittenTable {
    let table = table(folder);
    table.ensure(&schema(), &[("delta.logRetentionDuration", "interval 9 days".to_owned())]).await.unwrap();
    table
}

fn appended(file: NewFile) -> NewCommit {
    NewCommit { operation: "WRITE", add: vec![file], remove: vec![], transaction: None, changes_data: true }
}

async fn ids(table: &WrittenTable) -> Vec<i64> {
    let mut ids = Vec::new();
    for file in table.newest().await.unwrap().unwrap().files {
        for batch in table.read(&file).await.unwrap() {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
        }
    }
    ids.sort_unstable();
    ids
}

fn files(folder: &LocalPath) -> usize {
    std::fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
}

#[tokio::test]
async fn a_table_is_made_once_and_read_by_everybody() {
    let folder = TempDir::new().unwrap();
    let one = table(&folder);
    assert!(one.newest().await.unwrap().is_none());
    assert_eq!(one.transaction(Uuid::nil()).await.unwrap(), None);
    one.ensure(&schema(), &[]).await.unwrap();
    table(&folder).ensure(&schema(), &[]).await.unwrap();
    let file = one.write(rows(&[1, 2, 3])).await.unwrap();
    assert_eq!(one.commit_on(0, &appended(file)).await.unwrap(), Committed::At(1));
    let newest = table(&folder).newest().await.unwrap().unwrap();
    assert_eq!((newest.version, newest.files.len(), newest.files[0].rows), (1, 1, Some(3)));
    let times = newest.files[0].times("at").unwrap();
    assert_eq!((times.0.timestamp_micros(), times.1.timestamp_micros()), (1, 3));
    assert_eq!(newest.files[0].times("name"), None);
    // the readers' way: with the table's own types, and pruned by the statistics
    let tables = fixtures::tables();
    let location = tables.written(&fixtures::location(folder.path())).unwrap().location_of("t");
    let snapshot = tables.snapshot(&location, Duration::ZERO).await.unwrap();
    assert_eq!((snapshot.version, snapshot.row_count), (1, Some(3)));
    assert!(!snapshot.schema.field(0).is_nullable());
    let session = fixtures::session(&tables);
    let read = session.read_table(snapshot.provider()).unwrap();
    for (filter, count) in [(col("id").gt(lit(2)), 1), (col("id").gt(lit(3)), 0), (col("name").eq(lit("n2")), 1)] {
        assert_eq!(read.clone().filter(filter.clone()).unwrap().count().await.unwrap(), count, "{filter}");
    }
}

#[test]
fn statistics_hold_for_every_row() {
    let told = actions::statistics(&rows(&[0, 5, 2]));
    assert_eq!(told["numRecords"], 3);
    assert_eq!(told["nullCount"], json!({"id": 0, "at": 1, "name": 0}));
    assert_eq!(told["minValues"], json!({"id": 0, "at": "1970-01-01T00:00:00.000002Z", "name": "n0"}));
    assert_eq!(told["maxValues"], json!({"id": 5, "at": "1970-01-01T00:00:00.000005Z", "name": "n5"}));
    let long = actions::statistics(&rows(&[0, 99]));
    assert_eq!(long["maxValues"].get("name"), None, "what is cut short bounds nothing");
    assert_eq!(actions::statistics(&rows(&[]))["minValues"], json!({}));
}

#[tokio::test]
async fn of_two_writers_of_one_version_one_wins() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (made(&folder).await, table(&folder));
    let first = appended(one.write(rows(&[1])).await.unwrap());
    let second = appended(two.write(rows(&[2])).await.unwrap());
    let (a, b) = tokio::join!(one.commit_on(0, &first), two.commit_on(0, &second));
    let both = [a.unwrap(), b.unwrap()];
    assert!(both.contains(&Committed::At(1)) && both.contains(&Committed::Outdated), "{both:?}");
    assert_eq!(ids(&one).await.len(), 1);
}

#[tokio::test]
async fn an_append_follows_others_unless_they_did_its_work() {
    let folder = TempDir::new().unwrap();
    let table = made(&folder).await;
    let application = Uuid::new_v4();
    let write = async |id: i64, application: Option<Uuid>| {
        let transaction = application.map(|application| (application, id as u64));
        NewCommit { transaction, ..appended(table.write(rows(&[id])).await.unwrap()) }
    };
    assert_eq!(table.commit_after(0, &write(1, Some(application)).await).await.unwrap(), Committed::At(1));
    assert_eq!(table.commit_after(0, &write(2, Some(Uuid::new_v4())).await).await.unwrap(), Committed::At(2));
    assert_eq!(table.commit_after(0, &write(3, Some(application)).await).await.unwrap(), Committed::Outdated);
    assert_eq!(table.commit_after(1, &write(4, Some(application)).await).await.unwrap(), Committed::At(3));
    assert_eq!(table.transaction(application).await.unwrap(), Some(4));
    assert_eq!(table.transaction(Uuid::nil()).await.unwrap(), None);
    let newest = table.newest().await.unwrap().unwrap();
    let removal = |at: usize| NewCommit { add: vec![], remove: vec![newest.files[at].clone()], ..appended_nothing() };
    assert_eq!(table.commit_after(3, &removal(0)).await.unwrap(), Committed::At(4));
    assert_eq!(table.commit_after(3, &removal(1)).await.unwrap(), Committed::At(5));
    assert_eq!(table.commit_after(3, &removal(0)).await.unwrap(), Committed::Outdated, "it is gone already");
    // a commit that changes the table's definition is none that an append follows blindly
    let log = folder.path().join("t/_delta_log");
    let definition = std::fs::read_to_string(log.join(format!("{:020}.json", 0))).unwrap();
    std::fs::write(log.join(format!("{:020}.json", 6)), definition).unwrap();
    assert_eq!(table.commit_after(5, &write(5, None).await).await.unwrap(), Committed::Outdated);
    assert_eq!(table.commit_after(6, &write(5, None).await).await.unwrap(), Committed::At(7));
}

fn appended_nothing() -> NewCommit {
    NewCommit { operation: "DELETE", add: vec![], remove: vec![], transaction: None, changes_data: true }
}

#[tokio::test]
async fn a_commit_whose_answer_got_lost_is_known_again() {
    let folder = TempDir::new().unwrap();
    let table = made(&folder).await;
    let commit = appended_nothing().to_commit();
    assert_eq!(table.put_commit(1, &commit).await.unwrap(), None);
    assert_eq!(table.put_commit(1, &commit).await.unwrap(), None, "it is there, and our own");
    let other = appended_nothing().to_commit();
    assert_eq!(table.put_commit(1, &other).await.unwrap(), Some(commit.into_bytes()));
}

#[tokio::test]
async fn a_table_gets_the_columns_that_it_lacks_and_no_others() {
    let folder = TempDir::new().unwrap();
    let table = made(&folder).await;
    table.commit_on(0, &appended(table.write(rows(&[1])).await.unwrap())).await.unwrap();
    table.ensure(&schema(), &[]).await.unwrap();
    assert!(!table.has_version(2).await.unwrap(), "it has them all");
    let narrow = Arc::new(schema().project(&[0]).unwrap());
    table.ensure(&narrow, &[]).await.unwrap();
    assert!(!table.has_version(2).await.unwrap(), "more is no reason to change it");
    let new = Field::new("new", DataType::Utf8, false);
    let wider = Arc::new(Schema::new([schema().fields().to_vec(), vec![Arc::new(new)]].concat()));
    self::table(&folder).ensure(&wider, &[]).await.unwrap();
    table.ensure(&wider, &[]).await.unwrap();
    assert!(table.has_version(2).await.unwrap() && !table.has_version(3).await.unwrap());
    let tables = fixtures::tables();
    let location = tables.written(&fixtures::location(folder.path())).unwrap().location_of("t");
    let snapshot = tables.snapshot(&location, Duration::ZERO).await.unwrap();
    assert_eq!((snapshot.schema.fields().len(), snapshot.row_count), (4, Some(1)));
    let read = fixtures::session(&tables).read_table(snapshot.provider()).unwrap();
    assert_eq!(read.filter(col("new").is_null()).unwrap().count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_log_that_is_gone_is_not_continued() {
    let folder = TempDir::new().unwrap();
    let table = made(&folder).await;
    let file = table.write(rows(&[1])).await.unwrap();
    table.newest().await.unwrap();
    std::fs::remove_dir_all(folder.path().join("t")).unwrap();
    for outcome in [table.commit_on(0, &appended(file.clone())).await, table.commit_after(0, &appended(file)).await] {
        assert_eq!(outcome, Ok(Committed::Gone));
    }
    assert!(table.newest().await.unwrap().is_none());
}

#[tokio::test]
async fn merged_files_hold_the_same_rows() {
    let folder = TempDir::new().unwrap();
    let table = made(&folder).await;
    for id in 0..5 {
        let file = table.write(rows(&[id, id + 10])).await.unwrap();
        table.commit_after(0, &appended(file)).await.unwrap();
    }
    let newest = table.newest().await.unwrap().unwrap();
    let wider = Arc::new(Schema::new(
        [schema().fields().to_vec(), vec![Arc::new(Field::new("new", DataType::Utf8, true))]].concat(),
    ));
    assert_eq!(table.merge(newest.version, newest.files.clone(), &wider).await.unwrap(), Committed::At(6));
    assert_eq!(table.merge(newest.version, newest.files, &schema()).await.unwrap(), Committed::Outdated);
    let merged = table.newest().await.unwrap().unwrap();
    assert_eq!((merged.files.len(), merged.files[0].rows), (1, Some(10)));
    assert_eq!(ids(&table).await, [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
    let log = std::fs::read_to_string(folder.path().join("t/_delta_log").join(format!("{:020}.json", 6))).unwrap();
    let says = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    assert!(log.lines().map(says).all(|line| line.pointer("/add/dataChange").is_none_or(|change| change == false)));
    assert_eq!(files(&folder.path().join("t")), 6, "a merge that came too late leaves no file");
}

#[tokio::test]
async fn a_checkpoint_stands_for_the_log_and_remembers_transactions() {
    let folder = TempDir::new().unwrap();
    let table = made(&folder).await;
    let application = Uuid::new_v4();
    for id in 1..=6 {
        let file = table.write(rows(&[id])).await.unwrap();
        let changes = NewCommit { transaction: Some((application, id as u64)), ..appended(file) };
        table.commit_after(id as u64 - 1, &changes).await.unwrap();
    }
    let log = folder.path().join("t/_delta_log");
    assert!(!table.checkpoint(7, Duration::ZERO).await.unwrap());
    assert!(table.checkpoint(5, Duration::ZERO).await.unwrap());
    assert!(!table.checkpoint(5, Duration::ZERO).await.unwrap(), "there is a young one");
    assert!(!log.join(format!("{:020}.json", 0)).exists(), "what is too old goes");
    let anew = self::table(&folder);
    assert_eq!(ids(&anew).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(anew.transaction(application).await.unwrap(), Some(6));
    assert_eq!(table.transaction(application).await.unwrap(), Some(6));
    let file = anew.write(rows(&[7])).await.unwrap();
    assert_eq!(anew.commit_after(6, &appended(file)).await.unwrap(), Committed::At(7));
    assert_eq!(ids(&table).await, [1, 2, 3, 4, 5, 6, 7]);
    assert!(!table.checkpoint(5, Duration::from_hours(1)).await.unwrap());
}

#[tokio::test]
async fn only_files_that_no_version_needs_are_removed_when_they_are_old_enough() {
    let folder = TempDir::new().unwrap();
    let table = made(&folder).await;
    assert_eq!(self::table(&TempDir::new().unwrap()).vacuum(Duration::ZERO).await.unwrap(), 0);
    for id in 1..=3 {
        let file = table.write(rows(&[id])).await.unwrap();
        table.commit_after(0, &appended(file)).await.unwrap();
    }
    let newest = table.newest().await.unwrap().unwrap();
    table.merge(newest.version, newest.files, &schema()).await.unwrap();
    let orphan = table.write(rows(&[9])).await.unwrap();
    assert_eq!(files(&folder.path().join("t")), 5);
    assert_eq!(
        table.vacuum(Duration::from_hours(1)).await.unwrap(),
        0,
        "a file may belong to a commit that is being made"
    );
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(table.vacuum(Duration::ZERO).await.unwrap(), 4);
    assert_eq!(files(&folder.path().join("t")), 1);
    assert_eq!(ids(&table).await, [1, 2, 3]);
    assert!(!folder.path().join("t").join(orphan.path).exists());
    assert_eq!(self::table(&folder).newest().await.unwrap().unwrap().version, 4, "and no commit is made of it");
}

#[tokio::test]
async fn a_small_file_is_put_once() {
    let folder = TempDir::new().unwrap();
    let tables = fixtures::tables();
    let written = tables.written(&fixtures::location(folder.path())).unwrap();
    assert_eq!(written.get("secrets/a").await.unwrap(), None);
    assert!(written.put_if_absent("secrets/a", b"1".to_vec()).await.unwrap());
    assert!(!written.put_if_absent("secrets/a", b"2".to_vec()).await.unwrap());
    assert_eq!(written.get("secrets/a").await.unwrap().unwrap().as_ref(), b"1");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let refused = written.put_if_absent("file/a", b"1".to_vec()).await.unwrap_err();
    assert!(matches!(refused, DeltaError::NotWritable { .. }), "{refused}");
}
