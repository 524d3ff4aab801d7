//! A state on a disk that is full, read-only or both: what must be recorded is refused, and everything else works.
//!
//! The disks are small ones in memory, which only root may mount; elsewhere these tests say that they skip.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::Utc;
use pgmesh::delta::{Stores, Tables};
use pgmesh::error::{Result, SqlState};
use pgmesh::server::Server;
use pgmesh::state::{State, StateOptions, Stream, Table};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::raw::Client;
use crate::serving::{self, Serving};

/// A file system of its own, gone with the value.
struct Disk(TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size},mode=700");
        if mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], folder.path()) {
            return Some(Self(folder));
        }
        eprintln!("skipped: only root can mount a small disk");
        None
    }

    fn remount(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}")], self.0.path()));
    }

    fn options(&self) -> StateOptions {
        StateOptions {
            location: self.0.path().join("state").to_string_lossy().into_owned(),
            credentials: None,
            write_ahead: self.0.path().to_owned(),
            audit_retention: Duration::from_hours(24),
            flush_interval: Duration::from_hours(1),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // what is still open on it keeps it alive, and nobody finds it any more
        drop(Command::new("umount").arg("-l").arg(self.0.path()).stderr(Stdio::null()).status());
    }
}

fn mount(options: &[&str], folder: &Path) -> bool {
    let mount = Command::new("mount").args(options).arg(folder).stderr(Stdio::null()).status();
    mount.is_ok_and(|status| status.success())
}

async fn open(disk: &Disk) -> std::sync::Arc<State> {
    State::open(&disk.options(), &Tables::new(Stores::default())).await.unwrap()
}

async fn record(state: &State, id: u64) -> Result<()> {
    let detail = "x".repeat(2000);
    let record = json!({"audit_id": id.to_string(), "occurred_at": Utc::now(), "kind": "read", "detail": detail});
    state.append(Stream::Audit, &record).await
}

async fn request(state: &State, id: &str) -> Result<()> {
    let row = json!({"request_id": id, "product_id": "p", "requested_by": "u", "purpose": "", "requested_at": Utc::now(), "status": "s"});
    let add = |mut rows: Vec<Value>| {
        rows.push(row.clone());
        Ok((rows, ()))
    };
    state.update(Table::AccessRequests, add).await
}

fn assert_refused(refused: Result<()>) {
    let refused = refused.unwrap_err();
    assert_eq!(refused.sqlstate(), SqlState::DISK_FULL, "{refused}");
    assert!(refused.report().hint.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_records_until_there_is_room() {
    let Some(disk) = Disk::mount("1m") else { return };
    let state = open(&disk).await;
    request(&state, "first").await.unwrap();
    let mut recorded = 0;
    while let Ok(()) = record(&state, recorded).await {
        recorded += 1;
        assert!(recorded < 1000, "a disk of 1 MiB takes no end");
    }
    assert!(recorded > 100);
    std::fs::write(disk.0.path().join("filler"), vec![0; 1 << 20]).unwrap_err();
    for _ in 0..3 {
        assert_refused(record(&state, 9999).await);
        assert_refused(request(&state, "refused").await);
        assert_eq!(state.flush().await.unwrap_err().sqlstate(), SqlState::DISK_FULL);
    }
    assert_eq!(state.rows::<Value>(Table::AccessRequests).unwrap().1.len(), 1, "what is there can be read");
    disk.remount("size=8m");
    record(&state, recorded).await.unwrap();
    request(&state, "second").await.unwrap();
    let rows = state.stream(Stream::Audit).await.unwrap().row_count;
    assert_eq!(rows, Some(recorded + 1), "what was acknowledged, once, and nothing that was refused");
    assert_eq!(state.rows::<Value>(Table::AccessRequests).unwrap().1.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_can_be_read() {
    let Some(disk) = Disk::mount("8m") else { return };
    let state = open(&disk).await;
    request(&state, "first").await.unwrap();
    record(&state, 1).await.unwrap();
    state.flush().await.unwrap();
    drop(state);
    disk.remount("ro");
    let state = open(&disk).await;
    assert_eq!(state.rows::<Value>(Table::AccessRequests).unwrap().1.len(), 1);
    assert_eq!(state.table(Table::AccessRequests).await.unwrap().row_count, Some(1));
    assert_refused(record(&state, 2).await);
    assert_refused(request(&state, "second").await);
    assert_eq!(state.secret("masks").await.unwrap_err().sqlstate(), SqlState::DISK_FULL);
    disk.remount("rw");
    record(&state, 3).await.unwrap();
    request(&state, "second").await.unwrap();
    assert_eq!(state.stream(Stream::Audit).await.unwrap().row_count, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_leaves_its_records_in_their_table() {
    let folder = TempDir::new().unwrap();
    let mut config = serving::config();
    config.state = Some(folder.path().to_string_lossy().into_owned());
    let server = Server::start(&config).await.unwrap();
    let (state, stop) = (std::sync::Arc::clone(&server.mesh().state), CancellationToken::new());
    let using = async {
        record(&state, 1).await.unwrap();
        stop.cancel();
    };
    tokio::join!(server.run(stop.clone()), using);
    let tables = Tables::new(Stores::default());
    let audit = tables.snapshot(&state.location_of_stream(Stream::Audit), Duration::ZERO).await.unwrap();
    assert!(audit.row_count.unwrap() >= 1, "nobody had to recover anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_on_a_read_only_disk() {
    let Some(disk) = Disk::mount("1m") else { return };
    disk.remount("ro");
    let mut config = serving::config();
    config.state = Some(disk.options().location);
    let server = Serving::start(config);
    let mut client = Client::connect(server.address, "sales_analyst").await;
    assert_eq!(client.rows("select 1").await, ["1"]);
}
