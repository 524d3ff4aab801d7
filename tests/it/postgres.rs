//! A real PostgreSQL beside the tests, to compare with.
//!
//! It owns finding the binaries, one instance per test binary in a temporary folder, conversations held with both, and a raw
//! protocol client that shows the bytes of each value. Where no PostgreSQL is installed it says so and counts the skipped tests.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::binary::after_this_process;
use crate::raw::{self, Login, Stream};
use crate::serving::shared;

/// How many tests had no PostgreSQL to compare with.
pub static SKIPPED: AtomicU64 = AtomicU64::new(0);
/// The name of the socket only; nothing listens on TCP.
const PORT: &str = "5432";
const START_SECONDS_MAX: u64 = 60;

/// A running server that stops with the test binary.
pub struct Postgres {
    sockets: PathBuf,
    _folder: TempDir,
}

/// The shared instance, or `None` with a printed line when PostgreSQL is not installed.
pub fn instance() -> Option<&'static Postgres> {
    static INSTANCE: OnceLock<Option<Postgres>> = OnceLock::new();
    let found = INSTANCE.get_or_init(start).as_ref();
    if found.is_none() {
        let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        eprintln!("skipped: no PostgreSQL found ({count} tests so far)");
    }
    found
}

/// A client of either server.
pub type Anyone = raw::Client<Box<dyn Stream>>;

/// Holds a conversation with pgmesh, and the same one with PostgreSQL.
pub async fn everywhere(conversation: impl AsyncFn(&mut Anyone)) {
    let mut mesh =
        raw::Client::over(Box::new(tokio::net::TcpStream::connect(shared().address).await.unwrap()) as Box<dyn Stream>);
    mesh.startup(&Login::sample("sales_analyst")).await.unwrap();
    conversation(&mut mesh).await;
    let Some(postgres) = instance() else { return };
    let stream: Box<dyn Stream> = Box::new(tokio::net::UnixStream::connect(postgres.socket()).await.unwrap());
    let mut original = raw::Client::over(stream);
    original.startup(&Login { database: "postgres", ..Login::sample("postgres") }).await.unwrap();
    eprintln!("the same with PostgreSQL");
    conversation(&mut original).await;
}

impl Postgres {
    /// Opens a connection as the superuser.
    pub fn connect(&self) -> Client {
        Client::connect(&self.socket())
    }

    /// Where other clients connect, as `postgres` to the database of that name.
    pub fn socket(&self) -> PathBuf {
        self.sockets.join(format!(".s.PGSQL.{PORT}"))
    }
}

fn start() -> Option<Postgres> {
    let binaries = binaries()?;
    let folder = tempfile::Builder::new().prefix("pgmesh-pg").tempdir_in("/tmp").unwrap();
    let data = folder.path().join("data");
    if is_root() {
        // PostgreSQL refuses to run as root, so the folder goes to a user that always exists
        let owned = Command::new("chown").arg("nobody").arg(folder.path()).status().unwrap();
        assert!(owned.success(), "chown to nobody");
    }
    let initdb = as_user(&binaries.join("initdb"))
        .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
    let server = as_user(&binaries.join("postgres"))
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(folder.path())
        .args(["-p", PORT, "-c", "listen_addresses=", "-c", "fsync=off"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    stop_at_exit(server, &data);
    let socket = folder.path().join(format!(".s.PGSQL.{PORT}"));
    let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
    while !Client::answers(&socket) {
        assert!(Instant::now() < deadline, "PostgreSQL does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(Postgres { sockets: folder.path().to_owned(), _folder: folder })
}

/// Ends with this process, its folder included.
fn stop_at_exit(server: Child, data: &Path) {
    static SERVER: Mutex<Option<Child>> = Mutex::new(None);
    let folder = data.parent().unwrap().display();
    after_this_process(&format!("kill -QUIT {}; sleep 1; rm -rf '{folder}'", server.id()));
    *SERVER.lock().unwrap() = Some(server);
}

fn binaries() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH")?));
    folders.into_iter().find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
    command
}

/// A raw client of protocol 3: what the server sends is what the test sees.
pub struct Client {
    stream: UnixStream,
}

/// What one query answered.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// OID, length and typmod of each column.
    pub columns: Vec<(u32, i16, i32)>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// SQLSTATE and message.
    pub error: Option<(String, String)>,
}

impl Client {
    fn answers(socket: &Path) -> bool {
        let Ok(stream) = UnixStream::connect(socket) else { return false };
        let mut client = Self { stream };
        client.start().is_ok_and(|answer| answer.error.is_none())
    }

    fn connect(socket: &Path) -> Self {
        let mut client = Self { stream: UnixStream::connect(socket).unwrap() };
        let answer = client.start().unwrap();
        assert_eq!(answer.error, None);
        client
    }

    fn start(&mut self) -> std::io::Result<Answer> {
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        body.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
        let length = (body.len() as i32 + 4).to_be_bytes();
        self.stream.write_all(&[&length[..], &body].concat())?;
        self.read_answer()
    }

    /// Runs a statement in the extended protocol with text parameters; results all text or all binary.
    pub fn query(&mut self, sql: &str, parameters: &[&str], binary: bool) -> Answer {
        let mut out = Vec::new();
        let parse = [b"\0", sql.as_bytes(), b"\0", &0_i16.to_be_bytes()].concat();
        message(b'P', &parse, &mut out);
        let mut bind = b"\0\0".to_vec();
        bind.extend_from_slice(&0_i16.to_be_bytes());
        bind.extend_from_slice(&(parameters.len() as i16).to_be_bytes());
        for parameter in parameters {
            bind.extend_from_slice(&(parameter.len() as i32).to_be_bytes());
            bind.extend_from_slice(parameter.as_bytes());
        }
        bind.extend_from_slice(&1_i16.to_be_bytes());
        bind.extend_from_slice(&i16::from(binary).to_be_bytes());
        message(b'B', &bind, &mut out);
        message(b'D', b"P\0", &mut out);
        message(b'E', b"\0\0\0\0\0", &mut out);
        message(b'S', b"", &mut out);
        self.stream.write_all(&out).unwrap();
        self.read_answer().unwrap()
    }

    /// Runs a statement that must succeed.
    pub fn run(&mut self, sql: &str) {
        let answer = self.query(sql, &[], false);
        assert_eq!(answer.error, None, "{sql}");
    }

    fn read_answer(&mut self) -> std::io::Result<Answer> {
        let mut answer = Answer::default();
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; length as usize - 4];
            self.stream.read_exact(&mut body)?;
            match head[0] {
                b'T' => answer.columns = columns(&body),
                b'D' => answer.rows.push(values(&body)),
                b'E' => answer.error = Some(error(&body)),
                b'Z' => return Ok(answer),
                _ => (),
            }
        }
    }
}

fn message(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

fn columns(body: &[u8]) -> Vec<(u32, i16, i32)> {
    let count = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let mut rest = &body[2..];
    (0..count)
        .map(|_| {
            let name_end = rest.iter().position(|byte| *byte == 0).unwrap();
            let (field, after) = rest[name_end + 1..].split_at(18);
            rest = after;
            let oid = u32::from_be_bytes(field[6..10].try_into().unwrap());
            let len = i16::from_be_bytes(field[10..12].try_into().unwrap());
            (oid, len, i32::from_be_bytes(field[12..16].try_into().unwrap()))
        })
        .collect()
}

/// The values of a DataRow's body.
pub fn values(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let count = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let mut rest = &body[2..];
    (0..count)
        .map(|_| {
            let (length, after) = rest.split_at(4);
            let length = i32::from_be_bytes(length.try_into().unwrap());
            rest = after;
            let length = usize::try_from(length).ok()?;
            let (value, after) = rest.split_at(length);
            rest = after;
            Some(value.to_vec())
        })
        .collect()
}

fn error(body: &[u8]) -> (String, String) {
    let (mut code, mut text) = (String::new(), String::new());
    for field in body.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
        let value = String::from_utf8_lossy(&field[1..]).into_owned();
        match field[0] {
            b'C' => code = value,
            b'M' => text = value,
            _ => (),
        }
    }
    (code, text)
}
