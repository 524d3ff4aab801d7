//! Servers that are killed at random moments under load: no acknowledged record is lost, and none is there twice.
//!
//! The victims are this test binary, started again with a variable that makes it write to a state. Two at a time share
//! one state, as two servers would; what they acknowledge goes to a pipe that outlives them. `PGMESH_KILLS` and
//! `PGMESH_KILL_SEED` choose another number of kills and the moments of an earlier run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use pgmesh::delta::{Stores, Tables};
use pgmesh::state::{State, StateOptions, Stream, Table};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::serving::PATIENCE;

const KILLS: usize = 200;
/// Victims at the same time.
const AT_ONCE: usize = 2;
/// Tasks of a victim that add records, and such that change the small table.
const RECORDERS: usize = 6;
const CHANGERS: usize = 2;
/// How long a victim may live once it has begun to write.
const LIFE_MS_MAX: u64 = 150;
const FOLDER: &str = "PGMESH_VICTIM_FOLDER";
const NAME: &str = "PGMESH_VICTIM_NAME";

/// How often each task of a victim changed the table: its row counts up.
#[derive(Serialize, Deserialize)]
struct Counter {
    request_id: String,
    product_id: String,
    requested_by: String,
    purpose: String,
    requested_at: DateTime<Utc>,
    status: String,
}

fn options(folder: &Path) -> StateOptions {
    StateOptions {
        location: folder.join("state").to_string_lossy().into_owned(),
        credentials: None,
        write_ahead: folder.to_owned(),
        audit_retention: Duration::from_hours(24),
        flush_interval: Duration::from_millis(5),
    }
}

/// Does nothing but where the test below has started it.
#[test]
fn a_victim_writes_until_it_is_killed() {
    let (Ok(folder), Ok(name)) = (std::env::var(FOLDER), std::env::var(NAME)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let state = State::open(&options(Path::new(&folder)), &Tables::new(Stores::default())).await.unwrap();
        tokio::spawn(Arc::clone(&state).run(CancellationToken::new()));
        for task in 0..RECORDERS {
            tokio::spawn(add_records(Arc::clone(&state), format!("{name}-{task}")));
        }
        for task in 0..CHANGERS {
            tokio::spawn(change_table(Arc::clone(&state), format!("{name}-{task}")));
        }
        for turn in 0_u64.. {
            state.upkeep(turn.is_multiple_of(4)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    });
}

async fn add_records(state: Arc<State>, task: String) {
    for number in 1_u64.. {
        let record = json!({"audit_id": format!("{task}-{number}"), "occurred_at": Utc::now(), "kind": "read"});
        state.append(Stream::Audit, &record).await.unwrap();
        acknowledge("record", &task, number);
    }
}

async fn change_table(state: Arc<State>, task: String) {
    for number in 1_u64.. {
        let count_up = |mut rows: Vec<Counter>| {
            match rows.iter_mut().find(|row| row.request_id == task) {
                Some(row) => row.status = (row.status.parse::<u64>().unwrap() + 1).to_string(),
                None => rows.push(Counter {
                    request_id: task.clone(),
                    product_id: "p".into(),
                    requested_by: "u".into(),
                    purpose: String::new(),
                    requested_at: Utc::now(),
                    status: "1".into(),
                }),
            }
            Ok((rows, ()))
        };
        state.update(Table::AccessRequests, count_up).await.unwrap();
        acknowledge("change", &task, number);
        // each change is a commit that all later victims read
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One line in one write, so that a kill leaves no half of it.
fn acknowledge(what: &str, task: &str, number: u64) {
    std::io::stdout().write_all(format!("\n{what} {task} {number}\n").as_bytes()).unwrap();
}

/// The last number that each task acknowledged.
type Acknowledged = BTreeMap<(String, String), u64>;

struct Victim {
    process: Child,
    listening: JoinHandle<Acknowledged>,
    began_to_write: mpsc::Receiver<()>,
}

impl Victim {
    fn start(folder: &Path, name: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state_kill::a_victim_writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .envs([(FOLDER, folder.to_str().unwrap()), (NAME, name)])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (writes, began_to_write) = mpsc::channel();
        let listening = std::thread::spawn(move || {
            let mut acknowledged = Acknowledged::new();
            for line in output.lines() {
                let line = line.unwrap();
                let words: Vec<&str> = line.split(' ').collect();
                let ["record" | "change", task, number] = words.as_slice() else { continue };
                acknowledged.insert((words[0].to_owned(), (*task).to_owned()), number.parse().unwrap());
                // whoever no longer waits knows already
                let _ = writes.send(());
            }
            acknowledged
        });
        Self { process, listening, began_to_write }
    }

    fn kill(mut self, at: Moment) -> Acknowledged {
        match at {
            Moment::AfterStart(life) => std::thread::sleep(life),
            Moment::AfterFirstRecord(life) => {
                self.began_to_write.recv_timeout(PATIENCE).unwrap();
                std::thread::sleep(life);
            }
        }
        let status = self.process.try_wait().unwrap();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let acknowledged = self.listening.join().unwrap();
        assert_eq!(status, None, "a victim ended before it was killed");
        acknowledged
    }
}

#[derive(Clone, Copy)]
enum Moment {
    AfterStart(Duration),
    AfterFirstRecord(Duration),
}

fn moment(random: &mut StdRng) -> Moment {
    let life = Duration::from_millis(random.random_range(0..LIFE_MS_MAX));
    if random.random_ratio(1, 4) { Moment::AfterStart(life) } else { Moment::AfterFirstRecord(life) }
}

#[test]
fn kills_lose_no_acknowledged_record_and_double_none() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("PGMESH_KILL_SEED").unwrap_or_else(rand::random);
    let kills = number("PGMESH_KILLS").map_or(KILLS, |kills| kills as usize);
    let mut random = StdRng::seed_from_u64(seed);
    let folder = TempDir::new().unwrap();
    let began = Instant::now();
    let (mut acknowledged, mut done) = (Acknowledged::new(), 0);
    while done < kills {
        let killing: Vec<JoinHandle<Acknowledged>> = (0..AT_ONCE)
            .map(|at| {
                let (victim, at_moment) =
                    (Victim::start(folder.path(), &format!("v{}", done + at)), moment(&mut random));
                std::thread::spawn(move || victim.kill(at_moment))
            })
            .collect();
        for killed in killing {
            acknowledged.extend(killed.join().unwrap_or_else(|_| panic!("seed {seed}, after {done} kills")));
            done += 1;
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (records, changes) = runtime.block_on(found(folder.path()));
    let context = format!("seed {seed}, {done} kills in {:?}", began.elapsed());
    let mut counts = [0_u64; 2];
    for ((what, task), last) in &acknowledged {
        if what == "record" {
            counts[0] += last;
            let numbers = records.get(task).unwrap_or_else(|| panic!("{context}: all records of {task} are lost"));
            // the one that was under way may be there, and nothing else that was not acknowledged
            let expected: Vec<u64> = (1..=numbers.len().max(*last as usize) as u64).collect();
            assert_eq!(*numbers, expected, "{context}: records of {task}, of which {last} were acknowledged");
            assert!(numbers.len() as u64 <= last + 1, "{context}: records of {task} beyond {last}");
        } else {
            counts[1] += last;
            let count = changes.get(task).copied().unwrap_or(0);
            assert!(
                (*last..=last + 1).contains(&count),
                "{context}: {task} changed the table {last} times, which says {count}"
            );
        }
    }
    for task in records.keys() {
        assert!(
            acknowledged.contains_key(&("record".into(), task.clone())) || records[task] == [1],
            "{context}: {task}"
        );
    }
    // on a busy machine many are killed before their first change
    assert!(counts[0] > kills as u64 && counts[1] > kills as u64 / 10, "{context}: hardly any load: {counts:?}");
    assert!(
        std::fs::read_dir(folder.path().join("state/wal")).unwrap().count() <= AT_ONCE + 1,
        "{context}: files are left"
    );
}

/// What a server that comes after all of them finds: the numbers of each task's records, sorted, and its counter.
async fn found(folder: &Path) -> (BTreeMap<String, Vec<u64>>, BTreeMap<String, u64>) {
    let tables = Tables::new(Stores::default());
    let state = State::open(&options(folder), &tables).await.unwrap();
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(tables.object_store_registry());
    let session = SessionContext::new_with_config_rt(SessionConfig::new(), runtime.build_arc().unwrap());
    let snapshot = state.stream(Stream::Audit).await.unwrap();
    let batches = session.read_table(snapshot.provider()).unwrap().select_columns(&["audit_id"]).unwrap();
    let mut records: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for batch in batches.collect().await.unwrap() {
        let ids =
            datafusion::arrow::compute::cast(batch.column(0), &datafusion::arrow::datatypes::DataType::Utf8).unwrap();
        let ids = ids.as_string::<i32>();
        for at in 0..ids.len() {
            let (task, number) = ids.value(at).rsplit_once('-').unwrap();
            records.entry(task.to_owned()).or_default().push(number.parse().unwrap());
        }
    }
    for numbers in records.values_mut() {
        numbers.sort_unstable();
    }
    let (_, counters) = state.rows::<Counter>(Table::AccessRequests).unwrap();
    let changes = counters.into_iter().map(|row| (row.request_id, row.status.parse().unwrap())).collect();
    (records, changes)
}
