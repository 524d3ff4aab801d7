//! Named attacks on the fence, a line each in `tests/access/attacks.txt`, and what must come of them.
//!
//! Each is made against a mesh with hidden rows and masked values, and against the same mesh without the hidden rows and
//! with other values behind the masks: both must give the same answer, byte for byte, and it must be the one that the line
//! says. The format is told at the head of the file.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::raw::{Client, Login, Message, bind, execute, parse, sync};
use crate::serving::{Serving, config, repository};
use crate::twin::delta::{Kind, PLAIN, Row, Table};

/// How soon an edit on disk is served (DESIGN.md, section 3), with what a busy machine takes.
const SOON: Duration = Duration::from_secs(10);

/// What a line says.
#[derive(Debug)]
struct Attack {
    line: usize,
    name: String,
    principal: String,
    steps: Vec<String>,
    expected: String,
}

/// One mesh with hidden rows, one without.
struct Mesh {
    folder: TempDir,
    server: Serving,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_ends_as_its_line_says() {
    let attacks = read_attacks();
    assert!(attacks.len() >= 60, "{} attacks", attacks.len());
    let (with, without) = (Mesh::start(true), Mesh::start(false));
    let mut wrong = Vec::new();
    for attack in &attacks {
        // what an attack changes on disk or in the mesh ends with it
        let own = attack.changes_the_mesh().then(|| (Mesh::start(true), Mesh::start(false)));
        let (with, without) = own.as_ref().map_or((&with, &without), |(with, without)| (with, without));
        let answers = [attack.make(with).await, attack.make(without).await];
        if let Err(why) = attack.judge(with, &answers).await {
            wrong.push(format!("line {}, {}: {why}\n  {:?}", attack.line, attack.name, attack.steps));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attacks.len(), wrong.join("\n"));
}

/// The two meshes are not the same: who sees everything can tell.
#[tokio::test]
async fn the_meshes_of_the_attacks_differ() {
    let mut counts = Vec::new();
    for hidden in [true, false] {
        let mesh = Mesh::start(hidden);
        let mut open = Client::connect(mesh.server.address, "finance_analyst").await;
        counts.push(open.rows("select count(*), max(salary) from hr.salaries; select max(ssn) from hr.staff").await);
    }
    assert_ne!(counts[0], counts[1]);
}

fn read_attacks() -> Vec<Attack> {
    let text = fs::read_to_string(repository().join("tests/access/attacks.txt")).unwrap();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let attacks: Vec<Attack> = lines.map(|(at, line)| attack(at + 1, line)).collect();
    for (at, attack) in attacks.iter().enumerate() {
        assert!(attacks[..at].iter().all(|other| other.name != attack.name), "{} is there twice", attack.name);
    }
    attacks
}

fn attack(line: usize, text: &str) -> Attack {
    let parts: Vec<&str> = text.split(" :: ").map(str::trim).collect();
    let [name, principal, steps, expected] = parts.as_slice() else {
        panic!("line {line}: name :: principal :: steps :: what must happen");
    };
    let steps = steps.split(" ;; ").map(|step| step.trim().to_owned()).collect();
    Attack {
        line,
        name: (*name).to_owned(),
        principal: (*principal).to_owned(),
        steps,
        expected: (*expected).to_owned(),
    }
}

impl Attack {
    fn changes_the_mesh(&self) -> bool {
        self.steps.iter().any(|step| step.starts_with("edit ") || step.starts_with("remove ") || step.starts_with('@'))
    }

    /// Does all steps; the answer to the last one.
    async fn make(&self, mesh: &Mesh) -> Vec<Message> {
        let mut client = match mesh.connect(&self.principal).await {
            Ok(client) => client,
            Err(refused) => return vec![refused],
        };
        let mut answer = Vec::new();
        for step in &self.steps {
            answer = self.step(mesh, &mut client, step).await;
        }
        answer
    }

    async fn step(&self, mesh: &Mesh, client: &mut Client, step: &str) -> Vec<Message> {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        match word {
            "edit" => {
                let (file, change) = rest.split_once(": ").unwrap();
                let (from, to) = change.split_once(" => ").unwrap();
                mesh.edit(file, from, to);
                Vec::new()
            }
            "remove" => {
                mesh.remove(rest);
                Vec::new()
            }
            // until the last answer changes
            "await" => {
                let began = Instant::now();
                loop {
                    let answer = said(client, &[crate::raw::query(rest)]).await;
                    // an error in a transaction is told once
                    let refused = answer.iter().any(|message| message.kind == b'E') && self.matches(&answer);
                    if refused {
                        return answer;
                    }
                    if lines(&answer) != lines(&said(client, &[crate::raw::query(rest)]).await) {
                        continue;
                    }
                    if self.matches(&answer) || began.elapsed() > SOON {
                        return answer;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            "parse" => {
                let (name, sql) = rest.split_once(' ').unwrap();
                said(client, &[parse(name, sql, &[]), sync()]).await
            }
            "execute" => said(client, &[bind("", rest, &[]), execute("", 0), sync()]).await,
            "pipeline" => {
                let all: Vec<u8> = rest.split(" | ").flat_map(crate::raw::run).collect();
                said(client, &[all, sync()]).await
            }
            "login" => {
                // name=value …: startup options of a new session
                let options: Vec<(&str, &str)> = rest.split(", ").filter_map(|option| option.split_once('=')).collect();
                let login = Login { options: &options, ..Login::sample(&self.principal) };
                match Client::login(mesh.server.address, &login).await {
                    Ok(logged_in) => {
                        *client = logged_in;
                        Vec::new()
                    }
                    Err(refused) => vec![refused],
                }
            }
            _ if word.starts_with('@') => {
                let mut other = Client::connect(mesh.server.address, &word[1..]).await;
                let answer = said(&mut other, &[crate::raw::query(rest)]).await;
                let failed = answer.iter().find(|message| message.kind == b'E');
                assert!(
                    failed.is_none(),
                    "line {}: {word}: {}",
                    self.line,
                    failed.map(Message::line).unwrap_or_default()
                );
                answer
            }
            _ => said(client, &[crate::raw::query(step)]).await,
        }
    }

    /// Whether the answer is what the line says, as far as one mesh can tell.
    fn matches(&self, answer: &[Message]) -> bool {
        let lines = lines(answer);
        match self.expected.split_at_checked(2) {
            Some(("= ", rows)) => lines == rows.split("; ").map(str::to_owned).collect::<Vec<_>>(),
            Some(("! ", error)) => lines.last().is_some_and(|line| *line == format!("Error {error}")),
            Some(("? ", error)) => lines.last().is_some_and(|line| line.starts_with(&format!("Error {error}"))),
            _ if self.expected == "=" => lines.is_empty(),
            _ if self.expected == "?" => lines.last().is_some_and(|line| line.starts_with("Error ")),
            _ => true,
        }
    }

    async fn judge(&self, mesh: &Mesh, answers: &[Vec<Message>; 2]) -> Result<(), String> {
        let [with, without] = answers;
        let whole = |answer: &[Message]| answer.iter().map(evened).collect::<Vec<_>>();
        if whole(with) != whole(without) {
            return Err(format!("hidden rows are noticed: {:?} with them, {:?} without", lines(with), lines(without)));
        }
        if let Some(other) = self.expected.strip_prefix("~ ") {
            let mut client = mesh.connect(&self.principal).await.map_err(|refused| refused.line())?;
            let same = said(&mut client, &[crate::raw::query(other)]).await;
            if lines(with) != lines(&same) {
                return Err(format!("{:?}, but {other:?} says {:?}", lines(with), lines(&same)));
            }
            return Ok(());
        }
        if let Some(absent) = self.expected.strip_prefix("- ") {
            let lines = lines(with).join("\n");
            let found = absent.split(", ").find(|word| lines.contains(word));
            if with.iter().any(|message| message.kind == b'E') {
                return Err(lines);
            }
            return found.map_or(Ok(()), |word| Err(format!("{word:?} is in {lines}")));
        }
        let is_known = ["= ", "! ", "? "].iter().any(|sign| self.expected.starts_with(sign))
            || ["=", "?"].contains(&self.expected.as_str());
        assert!(is_known, "line {}: {}", self.line, self.expected);
        if self.matches(with) { Ok(()) } else { Err(format!("{:?}, not {:?}", lines(with), self.expected)) }
    }
}

/// Everything but the random id of an internal error and measured time.
fn evened(message: &Message) -> (u8, Vec<u8>) {
    let text = String::from_utf8_lossy(&message.body);
    if text.contains("Execution Time: ") {
        return (message.kind, Vec::new());
    }
    match (message.kind, text.find("internal error ")) {
        (b'E', Some(at)) => (message.kind, text.as_bytes()[..at].to_vec()),
        _ => (message.kind, message.body.to_vec()),
    }
}

/// Rows, those of COPY as it writes them, and errors.
fn lines(answer: &[Message]) -> Vec<String> {
    let told = answer.iter().filter_map(|message| match message.kind {
        b'd' => Some(String::from_utf8_lossy(&message.body).trim_end_matches('\n').to_owned()),
        b'D' => message.line().strip_prefix("Row ").map(str::to_owned),
        b'E' => Some(message.line()),
        _ => None,
    });
    told.collect()
}

async fn said(client: &mut Client, messages: &[Vec<u8>]) -> Vec<Message> {
    client.send(&messages.concat()).await;
    let mut heard = Vec::new();
    while let Some(message) = client.receive().await {
        let is_ready = message.kind == b'Z';
        heard.push(message);
        if is_ready {
            break;
        }
    }
    heard
}

impl Mesh {
    fn start(hidden: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        tables(folder.path(), hidden);
        catalog(&folder.path().join("catalog"));
        let mut config = config();
        config.common.catalog = folder.path().join("catalog");
        Self { server: Serving::start(config), folder }
    }

    async fn connect(&self, user: &str) -> Result<Client, Message> {
        Client::login(self.server.address, &Login::sample(user)).await
    }

    /// Replaces a part of a file of the catalog, which must be there.
    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.path().join("catalog").join(file);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{file} has no {from}");
        let new = path.with_extension("new");
        fs::write(&new, before.replacen(from, to, 1)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Takes a file or folder away from the catalog.
    fn remove(&self, name: &str) {
        fs::rename(self.folder.path().join("catalog").join(name), self.folder.path().join("away")).unwrap();
    }
}

fn catalog(folder: &Path) {
    let text = fs::read_to_string(repository().join("tests/access/catalog.txt")).unwrap();
    let sample = fs::read_to_string(repository().join("catalog/principals.yaml")).unwrap();
    for file in text.split("\n>>> ").skip(1) {
        let (name, content) = file.split_once('\n').unwrap();
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, with_verifiers(content, &sample)).unwrap();
    }
}

/// `$sales_analyst` becomes the verifier of the sample principal, whose password is its name.
fn with_verifiers(text: &str, sample: &str) -> String {
    let mut text = text.to_owned();
    while let Some(at) = text.find("scram: $") {
        let user: String = text[at + 8..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let from = sample.find(&format!("- name: {user}\n")).unwrap();
        let line = sample[from..].lines().find(|line| line.trim_start().starts_with("scram:")).unwrap();
        text = text.replacen(&format!("scram: ${user}"), line.trim(), 1);
    }
    text
}

/// With hidden rows, or without; what masks cover is another in each.
fn tables(folder: &Path, hidden: bool) {
    let other = |one: Value, two: Value| if hidden { one } else { two };
    let text = Kind::Text;
    let salaries = [
        json!([1, "ann", 1000, "5", "EU", null, "2026-01-01"]),
        json!([2, "bob", 2000, "6", "EU", 1, "2026-01-02"]),
        json!([3, "cyd", 3000, "7", "EU", 1, "2026-01-03"]),
    ];
    let unseen = [
        json!([4, "dan", 77777, "secret", "US", 1, "9999-12-31"]),
        json!([5, "eve", i64::MAX, "x1", "US", 4, "1000-01-01"]),
        json!([6, null, 0, "", "APAC", 5, null]),
        json!([7, "fay", -1, "1e99", null, 6, "2026-01-01"]),
        json!([1, "ann", i64::MIN + 1, "\\", "eu", null, "2026-01-01"]),
    ];
    let columns = [
        ("id", Kind::Int),
        ("name", text),
        ("salary", Kind::Int),
        ("note", text),
        ("region", text),
        ("boss", Kind::Int),
        ("hired", Kind::Date),
    ];
    write(folder, "hr/salaries", &columns, &salaries, if hidden { &unseen } else { &[] });
    let staff = [
        json!([
            1,
            other(json!("ann@eu.com"), json!("a.n.other@example.org")),
            other(json!("111-22"), json!(null)),
            other(json!(5000), json!(1)),
            "q"
        ]),
        json!([
            2,
            other(json!("bob@eu.com"), json!("b.")),
            other(json!("999-99"), json!("000")),
            other(json!(null), json!(2)),
            "r"
        ]),
    ];
    let columns = [("id", Kind::Int), ("email", text), ("ssn", text), ("bonus", Kind::Int), ("open", text)];
    write(folder, "hr/staff", &columns, &staff, &[]);
    let orders = [json!([10, "sales", 15]), json!([20, "sales", 25])];
    let unseen = [json!([30, null, 1]), json!([40, "vault", 2]), json!([50, "Sales", 3]), json!([60, "marketing", 4])];
    let columns = [("id", Kind::Int), ("owning_domain", text), ("amount", Kind::Int)];
    write(folder, "sales/orders", &columns, &orders, if hidden { &unseen } else { &[] });
    let columns = [("id", Kind::Int), ("title", text)];
    write(folder, "sales/open", &columns, &[json!([1, "one"]), json!([2, "two"])], &[]);
    write(folder, "hr/plan", &columns, &[json!([1, "hire"]), json!([2, "fire"])], &[]);
    let paid = if hidden { vec![json!([1, 900]), json!([2, 800])] } else { Vec::new() };
    let columns = [("id", Kind::Int), ("salary", Kind::Int)];
    write(folder, "hr/payroll", &columns, &paid, &[]);
    write(folder, "vault/ledger", &columns, &paid, &[]);
}

/// Hidden rows lie before, between and behind the others, in files of their own too.
fn write(folder: &Path, name: &str, columns: &[(&str, Kind)], shown: &[Value], unseen: &[Value]) {
    let row = |values: &Value| -> Row {
        columns
            .iter()
            .zip(values.as_array().unwrap())
            .map(|((name, _), value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    let mut table = Table::new(&folder.join("data").join(name), name, columns, None, false);
    let mut rows: Vec<Row> = Vec::new();
    for (at, shown) in shown.iter().enumerate() {
        rows.extend(unseen.get(at).map(row));
        rows.push(row(shown));
    }
    let mut adds = vec![table.write(&rows, PLAIN, &[])];
    let rest: Vec<Row> = unseen.iter().skip(shown.len()).map(row).collect();
    if !rest.is_empty() {
        adds.push(table.write(&rest, PLAIN, &[]));
    }
    table.append(adds, 1_780_000_000_000);
}
