//! PgBouncer between clients and pgmesh, in session and in transaction mode, as Debian packages it. Skips where it is not
//! installed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::raw::{Client, Login, bind, execute, parse, sync};
use crate::serving::shared;

const PORT: u16 = 6432;
const START_MAX: Duration = Duration::from_secs(20);

/// One that pools connections to the shared server; it listens on a socket in its folder alone.
struct Bouncer {
    process: Child,
    folder: TempDir,
}

impl Bouncer {
    fn start(mode: &str) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).is_file());
        let Some(program) = program else {
            eprintln!("skipped: no PgBouncer found");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("pgmesh-pgb").tempdir_in("/tmp").unwrap();
        let (own, address) = (folder.path().display(), shared().address);
        let settings = format!(
            "[databases]\nmesh = host={} port={} dbname=mesh\n[pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\n\
             unix_socket_dir = {own}\nauth_type = scram-sha-256\nauth_file = {own}/users\npool_mode = {mode}\n\
             default_pool_size = 1\nserver_reset_query = DISCARD ALL\nserver_check_query = SELECT 1\n\
             server_check_delay = 0\n",
            address.ip(),
            address.port()
        );
        std::fs::write(folder.path().join("settings"), settings).unwrap();
        std::fs::write(folder.path().join("users"), "\"sales_analyst\" \"sales_analyst\"\n").unwrap();
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
        let mut command = if is_root {
            // it refuses to run as root, so the folder goes to a user that always exists
            let owned = Command::new("chown").args(["-R", "nobody"]).arg(folder.path()).status().unwrap();
            assert!(owned.success(), "chown to nobody");
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", program]);
            command
        } else {
            Command::new(program)
        };
        command.arg("-q").arg(folder.path().join("settings")).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Self { process: command.spawn().unwrap(), folder })
    }

    async fn connect(&self) -> Client<UnixStream> {
        let socket = self.folder.path().join(format!(".s.PGSQL.{PORT}"));
        let deadline = Instant::now() + START_MAX;
        loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => {
                    let mut client = Client::over(stream);
                    client.startup(&Login::sample("sales_analyst")).await.unwrap();
                    return client;
                }
                Err(error) => assert!(Instant::now() < deadline, "PgBouncer does not answer: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test]
async fn a_session_is_handed_on_as_new() {
    let Some(bouncer) = Bouncer::start("session") else { return };
    let mut client = bouncer.connect().await;
    client.query("set timezone = 'Asia/Tokyo'; prepare p as select 1; listen c; create temp view v as select 1").await;
    client.query("declare c cursor with hold for values (1)").await;
    let pid = client.rows("select pg_backend_pid()").await;
    drop(client);
    // the one connection to the server that there is, after DISCARD ALL
    let mut next = bouncer.connect().await;
    assert_eq!(next.rows("select pg_backend_pid()").await, pid);
    assert_eq!(next.rows("show timezone").await, ["UTC"]);
    for (sql, code) in [("execute p", "26000"), ("fetch c", "34000"), ("select * from v", "42P01")] {
        assert!(next.rows(sql).await[0].starts_with(&format!("Error {code}")), "{sql}");
    }
    assert_eq!(next.query("notify c").await, ["Complete NOTIFY", "Ready I"]);
}

#[tokio::test]
async fn transactions_of_two_clients_share_a_connection() {
    let Some(bouncer) = Bouncer::start("transaction") else { return };
    let (mut one, mut two) = (bouncer.connect().await, bouncer.connect().await);
    for client in [&mut one, &mut two] {
        client.query("begin").await;
        client.query("set local timezone = 'Asia/Tokyo'; declare c scroll cursor for values ('a'), ('b')").await;
        assert_eq!(client.rows("fetch last c").await, ["b"]);
        assert_eq!(client.rows("show timezone").await, ["Asia/Tokyo"]);
        assert_eq!(client.query("commit").await.last().unwrap(), "Ready I");
        assert_eq!(client.rows("show timezone").await, ["UTC"]);
        let run = [parse("", "select $1::text", &[25]), bind("", "", &[Some("x")]), execute("", 0), sync()];
        assert_eq!(client.say(&run).await[2..], ["Row x", "Complete SELECT 1", "Ready I"]);
        let copied = client.query("copy (values ('x')) to stdout").await;
        assert_eq!(copied, ["CopyOut 0 0", "Data x\\n", "CopyDone", "Complete COPY 1", "Ready I"]);
    }
    let pids = (one.rows("select pg_backend_pid()").await, two.rows("select pg_backend_pid()").await);
    assert_eq!(pids.0, pids.1);
}
