//! The room as its users see it: states in temporary folders, stopped where a kill would stop them.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;

use chrono::{DateTime, SubsecRound};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::faults::Step;
use super::*;
use crate::delta::{At, fake_s3, fixtures};

/// Options for a state in this folder, with no background work that a test does not ask for.
pub(super) fn options(folder: &Path) -> StateOptions {
    StateOptions {
        location: folder.join("state").to_string_lossy().into_owned(),
        credentials: None,
        write_ahead: folder.join("local"),
        audit_retention: Duration::from_hours(400 * 24),
        flush_interval: Duration::from_hours(1),
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "they are the table's columns")]
struct Grant {
    grant_id: String,
    grantee: String,
    grantee_kind: String,
    privilege: String,
    object_kind: String,
    object: String,
    granted_by: String,
    granted_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    request_id: Option<String>,
}

fn grant(id: &str) -> Grant {
    let [grantee, grantee_kind, privilege, object_kind, object, granted_by] =
        ["ada", "user", "read", "product", "sales.orders", "bob"].map(str::to_owned);
    let granted_at = Utc::now().trunc_subsecs(6);
    let grant_id = id.to_owned();
    Grant {
        grant_id,
        grantee,
        grantee_kind,
        privilege,
        object_kind,
        object,
        granted_by,
        granted_at,
        expires_at: None,
        request_id: None,
    }
}

async fn open(folder: &TempDir) -> (Arc<State>, Tables) {
    let tables = fixtures::tables();
    (State::open(&options(folder.path()), &tables).await.unwrap(), tables)
}

async fn record(state: &State, number: i64) -> Result<()> {
    let time = Utc::now();
    record_at(state, number, time).await
}

async fn record_at(state: &State, number: i64, time: DateTime<Utc>) -> Result<()> {
    let record = json!({"audit_id": number.to_string(), "occurred_at": time, "kind": "read"});
    state.append(Stream::Audit, &record).await
}

async fn record_all(state: &State, numbers: std::ops::Range<i64>) {
    let recorded = futures::future::join_all(numbers.map(|number| record(state, number))).await;
    recorded.into_iter().for_each(Result::unwrap);
}

/// Numbers of all records in the table, each as often as it is there.
async fn numbers(state: &State) -> Vec<i64> {
    let snapshot = state.stream(Stream::Audit).await.unwrap();
    let session = fixtures::session(&state.readers);
    let batches = session.read_table(snapshot.provider()).unwrap().collect().await.unwrap();
    let records = rows::to_records(&batches).unwrap();
    let mut numbers: Vec<i64> =
        records.iter().map(|record| record["audit_id"].as_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn grant_ids(state: &State) -> Vec<String> {
    let (_, grants) = state.rows::<Grant>(Table::Grants).unwrap();
    let mut ids: Vec<String> = grants.into_iter().map(|grant| grant.grant_id).collect();
    ids.sort_unstable();
    ids
}

async fn add_grant(state: &State, id: &str) -> Result<usize> {
    let add = |mut grants: Vec<Grant>| {
        grants.push(grant(id));
        let count = grants.len();
        Ok((grants, count))
    };
    state.update(Table::Grants, add).await
}

#[tokio::test]
async fn a_state_that_nobody_uses_leaves_no_files() {
    let folder = TempDir::new().unwrap();
    let (state, _) = open(&folder).await;
    assert_eq!(state.rows::<Grant>(Table::Grants).unwrap(), (0, vec![]));
    state.flush().await.unwrap();
    state.upkeep(true).await.unwrap();
    state.close().await;
    let files: Vec<_> =
        std::fs::read_dir(folder.path().join("state")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, [".gitignore"]);
    assert_eq!(std::fs::metadata(folder.path().join("state")).unwrap().mode() & 0o777, 0o700);
    assert!(numbers(&state).await.is_empty(), "a stream without records is an empty table");
    assert_eq!(state.table(Table::AccessRequests).await.unwrap().row_count, Some(0));
    assert_eq!(state.locations().count(), Stream::ALL.len() + Table::ALL.len());
}

#[tokio::test]
async fn records_are_in_their_table_in_order_and_once() {
    let folder = TempDir::new().unwrap();
    let (state, _) = open(&folder).await;
    record_all(&state, 0..300).await;
    assert_eq!(numbers(&state).await, (0..300).collect::<Vec<_>>());
    record_all(&state, 300..310).await;
    assert_eq!(numbers(&state).await, (0..310).collect::<Vec<_>>());
    assert_eq!(state.stream(Stream::Audit).await.unwrap().version, 2, "a flush is a commit, and none without records");
    record_all(&state, 310..320).await;
    drop(state);
    let (state, _) = open(&folder).await;
    assert_eq!(numbers(&state).await, (0..320).collect::<Vec<_>>(), "what was not flushed is recovered");
    state.close().await;
    drop(state);
    let (state, _) = open(&folder).await;
    record_all(&state, 320..330).await;
    assert_eq!(numbers(&state).await, (0..330).collect::<Vec<_>>());
    assert_eq!(
        std::fs::read_dir(folder.path().join("state/wal")).unwrap().count(),
        1,
        "the write-ahead file is used on"
    );
}

#[tokio::test]
async fn a_stop_between_any_two_steps_loses_nothing_and_doubles_nothing() {
    let folder = TempDir::new().unwrap();
    let mut count = 0;
    for round in 0..3 {
        for step in [Step::Read, Step::Commit, Step::Forget] {
            let (state, _) = open(&folder).await;
            record_all(&state, count..count + 5).await;
            state.faults.set(Some((step, io::ErrorKind::Other)));
            assert!(state.flush().await.is_err(), "{step:?}");
            record_all(&state, count + 5..count + 7).await;
            if round == 1 {
                // as the same server would go on, without a kill
                state.faults.set(None);
                assert_eq!(numbers(&state).await, (0..count + 7).collect::<Vec<_>>(), "{step:?}");
            }
            count += 7;
            drop(state);
            if round == 2 {
                let (state, _) = open(&folder).await;
                state.upkeep(true).await.unwrap();
                state.streams.lock().await.table(Stream::Audit).checkpoint(0, Duration::ZERO).await.unwrap();
            }
        }
    }
    let (state, _) = open(&folder).await;
    assert_eq!(numbers(&state).await, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_is_gone_is_finished_by_the_next() {
    let folder = TempDir::new().unwrap();
    let (first, _) = open(&folder).await;
    let (second, _) = open(&folder).await;
    let (third, _) = open(&folder).await;
    record_all(&first, 0..10).await;
    record_all(&second, 10..20).await;
    record_all(&third, 20..30).await;
    second.flush().await.unwrap();
    drop((first, second));
    let (next, _) = open(&folder).await;
    assert_eq!(numbers(&next).await, (0..20).collect::<Vec<_>>());
    record_all(&next, 30..40).await;
    assert_eq!(numbers(&third).await, (0..30).collect::<Vec<_>>());
    assert_eq!(numbers(&next).await, (0..40).collect::<Vec<_>>());
    assert_eq!(std::fs::read_dir(folder.path().join("state/wal")).unwrap().count(), 2);
}

#[tokio::test]
async fn a_record_that_is_no_row_holds_up_no_other() {
    let folder = TempDir::new().unwrap();
    let (state, _) = open(&folder).await;
    record(&state, 1).await.unwrap();
    state.append(Stream::Audit, &json!({"nonsense": true})).await.unwrap();
    record(&state, 2).await.unwrap();
    assert_eq!(numbers(&state).await, [1, 2]);
    state.append(Stream::Audit, &json!({"only": "this"})).await.unwrap();
    assert_eq!(numbers(&state).await, [1, 2]);
    let wal = std::fs::read_dir(folder.path().join("state/wal")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(
        std::fs::read_to_string(wal.join("refused.jsonl")).unwrap(),
        "{\"nonsense\":true}\n{\"only\":\"this\"}\n"
    );
}

#[tokio::test]
async fn a_state_that_cannot_be_written_refuses_and_recovers() {
    let folder = TempDir::new().unwrap();
    // a file where a folder should be: nobody can write there, whatever their rights
    std::fs::write(folder.path().join("state"), "in the way").unwrap();
    let (state, _) = open(&folder).await;
    let is_full = |refusal: Error| refusal.sqlstate() == SqlState::DISK_FULL && refusal.report().hint.is_some();
    assert!(is_full(record(&state, 1).await.unwrap_err()));
    assert!(is_full(add_grant(&state, "a").await.unwrap_err()));
    assert!(is_full(state.secret("masks").await.unwrap_err()));
    state.flush().await.unwrap();
    std::fs::remove_file(folder.path().join("state")).unwrap();
    record(&state, 2).await.unwrap();
    add_grant(&state, "b").await.unwrap();
    state.secret("masks").await.unwrap();
    assert_eq!((numbers(&state).await, grant_ids(&state)), (vec![2], vec!["b".to_owned()]));
}

#[tokio::test]
async fn small_tables_change_whole_and_say_so() {
    let folder = TempDir::new().unwrap();
    let (state, tables) = open(&folder).await;
    let mut epoch = state.tables_epoch();
    epoch.mark_unchanged();
    assert_eq!(add_grant(&state, "a").await.unwrap(), 1);
    assert!(epoch.has_changed().unwrap());
    assert_eq!(add_grant(&state, "b").await.unwrap(), 2);
    let (version, grants) = state.rows::<Grant>(Table::Grants).unwrap();
    assert_eq!((version, grants.len()), (2, 2));
    epoch.mark_unchanged();
    state.update(Table::Grants, |grants: Vec<Grant>| Ok((grants, ()))).await.unwrap();
    let refused =
        state.update(Table::Grants, |_: Vec<Grant>| -> Result<(Vec<Grant>, ())> { Err(Error::unsupported("no")) });
    assert_eq!(refused.await.unwrap_err().message(), "no");
    assert!(!epoch.has_changed().unwrap(), "nothing changed, so nothing is committed");
    state.update(Table::Grants, |_: Vec<Grant>| Ok((vec![], ()))).await.unwrap();
    assert_eq!(state.rows::<Grant>(Table::Grants).unwrap(), (3, vec![]));
    // every version stays readable
    let counts = async |version| {
        let newest = state.table(Table::Grants).await.unwrap();
        let location = state.location_of_table(Table::Grants);
        tables.snapshot_at(&location, &newest, At::Version(version)).await.unwrap().row_count
    };
    assert_eq!([counts(0).await, counts(1).await, counts(2).await, counts(3).await], [0, 1, 2, 0].map(Some));
    add_grant(&state, "c").await.unwrap();
    state.upkeep(true).await.unwrap();
    assert_eq!([counts(1).await, counts(2).await], [1, 2].map(Some), "their files are kept as well");
    drop(state);
    let (state, _) = open(&folder).await;
    assert_eq!((state.rows::<Grant>(Table::Grants).unwrap().0, grant_ids(&state)), (4, vec!["c".to_owned()]));
}

#[tokio::test]
async fn a_grant_comes_back_from_the_disk_as_it_is_in_memory() {
    let folder = TempDir::new().unwrap();
    let (state, _) = open(&folder).await;
    let whole =
        Grant {
            expires_at: Some(Utc::now()), request_id: Some("r'\"\n".into()), granted_at: Utc::now(), ..grant("ä")
        };
    state.update(Table::Grants, |_: Vec<Grant>| Ok((vec![whole.clone(), grant("b")], ()))).await.unwrap();
    let in_memory = state.rows::<Grant>(Table::Grants).unwrap();
    assert_eq!(in_memory.1[0].request_id, whole.request_id);
    assert_eq!(in_memory.1[0].granted_at, whole.granted_at.trunc_subsecs(6));
    let (other, _) = open(&folder).await;
    assert_eq!(other.rows::<Grant>(Table::Grants).unwrap(), in_memory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_change_one_table_at_once_lose_no_change() {
    let folder = TempDir::new().unwrap();
    let (one, _) = open(&folder).await;
    let (two, _) = open(&folder).await;
    let writers = [&one, &two].into_iter().enumerate().flat_map(|(server, state)| {
        (0..3).map(move |task| {
            let state = Arc::clone(state);
            tokio::spawn(async move {
                for at in 0..7 {
                    add_grant(&state, &format!("{server}-{task}-{at}")).await.unwrap();
                }
            })
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    for state in [&one, &two] {
        let mut epoch = state.tables_epoch();
        epoch.mark_unchanged();
        state.poll().await;
        let ids = grant_ids(state);
        assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (42, 42));
        assert_eq!(state.rows::<Grant>(Table::Grants).unwrap().0, 42, "one version for each change");
    }
    let (three, _) = open(&folder).await;
    assert_eq!(grant_ids(&three), grant_ids(&one));
}

#[tokio::test]
async fn a_change_by_another_server_is_seen_by_polling() {
    let folder = TempDir::new().unwrap();
    let (one, _) = open(&folder).await;
    let (two, _) = open(&folder).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&two).run(stop.clone()));
    let mut epoch = two.tables_epoch();
    epoch.mark_unchanged();
    add_grant(&one, "a").await.unwrap();
    // a poll between the commit that makes the table and the one that fills it sees the table empty
    let seen = async {
        loop {
            epoch.changed().await.unwrap();
            if grant_ids(&two) == ["a"] {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), seen).await.expect("the grant is seen");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_table_that_cannot_be_read_is_unknown_and_not_empty() {
    let folder = TempDir::new().unwrap();
    let (state, _) = open(&folder).await;
    add_grant(&state, "a").await.unwrap();
    let log = folder.path().join("state/grants/_delta_log");
    std::fs::write(log.join("00000000000000000002.json"), "rubbish").unwrap();
    let (other, _) = open(&folder).await;
    let unknown = other.rows::<Grant>(Table::Grants).unwrap_err();
    assert_eq!(unknown.sqlstate(), SqlState::IO_ERROR);
    assert_eq!(other.rows::<Grant>(Table::AccessRequests).unwrap().1, vec![]);
    assert!(add_grant(&other, "b").await.is_err());
    std::fs::remove_file(log.join("00000000000000000002.json")).unwrap();
    add_grant(&other, "b").await.unwrap();
    assert_eq!(grant_ids(&other), ["a", "b"]);
}

#[tokio::test]
async fn a_log_that_was_emptied_begins_anew() {
    let folder = TempDir::new().unwrap();
    let (state, _) = open(&folder).await;
    add_grant(&state, "a").await.unwrap();
    record_all(&state, 0..3).await;
    state.flush().await.unwrap();
    for table in ["grants", "audit"] {
        std::fs::remove_dir_all(folder.path().join("state").join(table)).unwrap();
    }
    add_grant(&state, "b").await.unwrap();
    assert_eq!(grant_ids(&state), ["b"], "what an operator removed is not brought back from memory");
    record_all(&state, 3..5).await;
    assert_eq!(numbers(&state).await, [3, 4]);
}

#[tokio::test]
async fn compaction_keeps_every_row_and_retention_every_row_that_is_young_enough() {
    let folder = TempDir::new().unwrap();
    let (state, _) = open(&folder).await;
    let days = |days: i64| Utc::now() - chrono::Duration::days(days);
    for number in 0..20 {
        record_at(&state, number, days(500)).await.unwrap();
        state.flush().await.unwrap();
        record_at(&state, 100 + number, days(399)).await.unwrap();
        state.flush().await.unwrap();
        record_at(&state, 200 + number, Utc::now()).await.unwrap();
        state.flush().await.unwrap();
    }
    let before = state.stream(Stream::Audit).await.unwrap();
    assert_eq!((before.file_count, before.row_count), (60, Some(60)));
    state.upkeep(true).await.unwrap();
    let after = state.stream(Stream::Audit).await.unwrap();
    assert_eq!((after.file_count, after.row_count), (2, Some(40)));
    assert_eq!(numbers(&state).await, (100..120).chain(200..220).collect::<Vec<_>>());
    let location = state.location_of_stream(Stream::Audit);
    let old = state.readers.snapshot_at(&location, &after, At::Version(before.version)).await.unwrap();
    assert_eq!(old.row_count, Some(60), "what was put together can still be read as it was");
    let session = fixtures::session(&state.readers);
    assert_eq!(session.read_table(old.provider()).unwrap().count().await.unwrap(), 60);
    record_all(&state, 300..303).await;
    state.upkeep(true).await.unwrap();
    assert_eq!(numbers(&state).await, (100..120).chain(200..220).chain(300..303).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_tidy_up_at_once_under_load_keep_every_row() {
    let folder = TempDir::new().unwrap();
    let (one, _) = open(&folder).await;
    let (two, _) = open(&folder).await;
    let workers = [&one, &two].into_iter().enumerate().map(|(server, state)| {
        let state = Arc::clone(state);
        tokio::spawn(async move {
            for at in 0..40 {
                record(&state, server as i64 * 1000 + at).await.unwrap();
                state.flush().await.unwrap();
                if at % 10 == 9 {
                    state.upkeep(false).await.unwrap();
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert_eq!(numbers(&one).await, (0..40).chain(1000..1040).collect::<Vec<_>>());
    assert!(one.stream(Stream::Audit).await.unwrap().file_count < 80);
}

#[tokio::test]
async fn a_secret_is_made_once_for_all_servers() {
    let folder = TempDir::new().unwrap();
    let (one, _) = open(&folder).await;
    let (two, _) = open(&folder).await;
    let (a, b) = tokio::join!(one.secret("masks"), two.secret("masks"));
    assert_eq!(a.clone().unwrap(), b.unwrap());
    assert_ne!(a.clone().unwrap(), one.secret("other").await.unwrap());
    let (three, _) = open(&folder).await;
    assert_eq!(three.secret("masks").await.unwrap(), a.unwrap());
    std::fs::write(folder.path().join("state/secrets/other"), "short").unwrap();
    assert_eq!(three.secret("other").await.unwrap_err().sqlstate(), SqlState::DATA_CORRUPTED);
    assert_eq!(one.secret("other").await.unwrap().len(), 32, "who has read it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_share_a_state_in_an_object_store() {
    let folder = TempDir::new().unwrap();
    let bucket = folder.path().join("bucket");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(fake_s3::serve(listener, vec![("key", bucket.clone())]));
    let credentials = format!(
        "[credentials.lake]\naccess_key_id = 'key'\nsecret_access_key = 's'\nregion = 'r'\nendpoint = '{endpoint}'\nallow_http = true\n"
    );
    let server = async |name: &str| {
        let tables = Tables::new(crate::delta::Stores::new([], Some(&credentials)).unwrap());
        let options = StateOptions {
            location: "s3://lake/kept/state".into(),
            credentials: Some("lake".into()),
            write_ahead: folder.path().join(name),
            ..options(folder.path())
        };
        State::open(&options, &tables).await.unwrap()
    };
    let (one, two) = (server("one").await, server("two").await);
    let changes = (0..10).map(|at| {
        let state = Arc::clone(if at % 2 == 0 { &one } else { &two });
        async move { add_grant(&state, &at.to_string()).await }
    });
    futures::future::try_join_all(changes).await.unwrap();
    record_all(&one, 0..10).await;
    record_all(&two, 10..20).await;
    assert_eq!(numbers(&one).await, (0..10).collect::<Vec<_>>());
    assert_eq!(numbers(&two).await, (0..20).collect::<Vec<_>>());
    assert_eq!(one.secret("masks").await.unwrap(), two.secret("masks").await.unwrap());
    record_all(&one, 20..30).await;
    drop(one);
    let again = server("one").await;
    assert_eq!(numbers(&again).await, (0..30).collect::<Vec<_>>(), "its write-ahead file is on its own disk");
    assert_eq!(grant_ids(&again).len(), 10);
    assert!(bucket.join("kept/state/grants/_delta_log").is_dir());
    assert!(!folder.path().join("state").exists(), "nothing but write-ahead files is local");
    // with the store away records are taken, and what must be in the store at once is refused
    serving.abort();
    drop(serving.await);
    record(&again, 99).await.unwrap();
    assert_eq!(add_grant(&again, "x").await.unwrap_err().sqlstate(), SqlState::IO_ERROR);
    assert_eq!(again.stream(Stream::Audit).await.unwrap_err().sqlstate(), SqlState::IO_ERROR);
}

#[test]
fn a_location_is_a_folder_or_a_url() {
    let folder = place("some/where").unwrap();
    assert!(folder.0.starts_with("file:///") && folder.0.ends_with("/some/where/"), "{}", folder.0);
    assert!(folder.1.unwrap().is_absolute());
    assert_eq!(place("file:///a/b").unwrap().1, Some(PathBuf::from("/a/b")));
    assert_eq!(place("s3://lake/state").unwrap(), ("s3://lake/state".to_owned(), None));
    assert!(place("s3://[").is_err());
    assert_ne!(file_name("s3://a/b-c"), file_name("s3://a-b/c"));
    assert_eq!(file_name("s3://a/b"), "s3_3a_2f_2fa_2fb");
}

#[tokio::test]
async fn a_state_that_makes_no_sense_is_an_error_of_the_options() {
    let folder = TempDir::new().unwrap();
    for location in ["ftp://h/state", "s3://["] {
        let options = StateOptions { location: location.into(), ..options(folder.path()) };
        assert!(State::open(&options, &fixtures::tables()).await.is_err(), "{location}");
    }
    let options =
        StateOptions { location: "s3://b/s".into(), credentials: Some("none".into()), ..options(folder.path()) };
    let refused = State::open(&options, &fixtures::tables()).await.err().unwrap();
    assert!(refused.to_string().contains("--state"), "{refused}");
}
