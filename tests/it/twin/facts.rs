//! The tables of the twin worlds: their columns, which rows who may see, and values for rows seen and unseen.
//!
//! Who sees what is told here a second time, in plain Rust, and not read from the contracts: so the reference copy does
//! not follow from what it is compared with.

use serde_json::{Value, json};

use super::delta::{Kind, Row};
use super::random::Random;

/// A column; `masked` is the mask that binds everybody who is compared.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub masked: Option<&'static str>,
}

/// A product with a table.
#[derive(Debug)]
pub struct Facts {
    pub domain: &'static str,
    pub name: &'static str,
    /// The first one is the key.
    pub columns: &'static [Column],
    pub partition: Option<&'static str>,
    /// Rows can be deleted by vectors in one of the worlds; their order is then nobody's promise.
    pub deletes: bool,
    /// Under `spec.governance`, a line each; without masks.
    pub governance: &'static [&'static str],
    /// Who reads at least the table's columns.
    pub readers: &'static [&'static str],
    /// How many rows somebody sees, and how many nobody does.
    pub rows: (usize, usize),
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, masked: None }
}

const fn masked(name: &'static str, kind: Kind, mask: &'static str) -> Column {
    Column { name, kind, masked: Some(mask) }
}

/// Those whose answers are compared. `finance_analyst` sees more and is not.
pub const PRINCIPALS: [&str; 4] = ["sales_analyst", "marketing_analyst", "data_scientist", "auditor"];
const EVERYONE: &[&str] = &PRINCIPALS;

pub const ORDERS: Facts = Facts {
    domain: "sales",
    name: "orders",
    columns: &[
        column("order_id", Kind::Int),
        column("region", Kind::Text),
        column("quantity", Kind::Int),
        column("amount", Kind::Decimal),
        column("rating", Kind::Float),
        column("note", Kind::Text),
        column("day", Kind::Date),
        column("at", Kind::Time),
        column("ok", Kind::Bool),
        column("tiny", Kind::Small),
        column("tags", Kind::Texts),
        column("dim", Kind::Pair),
        masked("email", Kind::Text, "partial"),
        masked("ssn", Kind::Text, "redact"),
        masked("bonus", Kind::Int, "null"),
        masked("grade", Kind::Int, "grade"),
    ],
    partition: None,
    deletes: false,
    governance: &["access_policy: domain-internal", "row_filter: \"region = principal_attribute('region')\""],
    readers: &["sales_analyst", "marketing_analyst"],
    rows: (34, 40),
};

pub const PEOPLE: Facts = Facts {
    domain: "hr",
    name: "people",
    columns: &[
        column("person_id", Kind::Int),
        column("boss_id", Kind::Int),
        column("country", Kind::Text),
        column("level", Kind::Int),
        column("salary", Kind::Int),
        column("hired", Kind::Date),
        column("note", Kind::Text),
        masked("name", Kind::Text, "hash"),
        masked("phone", Kind::Text, "ends"),
        masked("bonus", Kind::Int, "null"),
    ],
    partition: None,
    deletes: true,
    governance: &["access_policy: restricted"],
    readers: &["sales_analyst", "marketing_analyst", "data_scientist"],
    rows: (16, 30),
};

pub const FEEDBACK: Facts = Facts {
    domain: "product",
    name: "feedback",
    columns: &[
        column("feedback_id", Kind::Int),
        column("owning_domain", Kind::Text),
        column("stars", Kind::Int),
        column("body", Kind::Text),
        column("note", Kind::Text),
        column("order_id", Kind::Int),
        column("at", Kind::Time),
    ],
    partition: None,
    deletes: false,
    governance: &["access_policy: mesh-internal", "discoverable: mesh", "row_domain_column: owning_domain"],
    readers: EVERYONE,
    rows: (24, 30),
};

pub const LEADS: Facts = Facts {
    domain: "marketing",
    name: "leads",
    columns: &[
        column("lead_id", Kind::Int),
        column("region", Kind::Text),
        column("owner", Kind::Text),
        column("score", Kind::Int),
        column("budget", Kind::Decimal),
        column("note", Kind::Text),
        masked("contact", Kind::Text, "redact"),
        masked("postcode", Kind::Text, "left"),
    ],
    partition: Some("region"),
    deletes: false,
    governance: &[
        "access_policy: mesh-internal",
        "discoverable: mesh",
        "row_filter: \"region = principal_attribute('region') OR owner = current_user\"",
    ],
    readers: EVERYONE,
    rows: (24, 20),
};

pub const NOTHING: Facts = Facts {
    domain: "hr",
    name: "nothing",
    columns: &[
        column("id", Kind::Int),
        column("region", Kind::Text),
        column("salary", Kind::Int),
        column("note", Kind::Text),
    ],
    partition: None,
    deletes: false,
    governance: &["access_policy: mesh-internal", "row_filter: \"region = 'NOWHERE'\""],
    readers: EVERYONE,
    rows: (0, 25),
};

/// Everybody reads all of it; the same in all worlds.
pub const REGIONS: Facts = Facts {
    domain: "sales",
    name: "regions",
    columns: &[column("factor", Kind::Int), column("region", Kind::Text), column("title", Kind::Text)],
    partition: None,
    deletes: false,
    governance: &["access_policy: mesh-internal", "discoverable: mesh"],
    readers: EVERYONE,
    rows: (5, 0),
};

/// Known to everybody, read by nobody.
pub const PAYROLL: Facts = Facts {
    domain: "hr",
    name: "payroll",
    columns: &[column("id", Kind::Int), column("salary", Kind::Int)],
    partition: None,
    deletes: false,
    governance: &["access_policy: restricted", "discoverable: mesh"],
    readers: &[],
    rows: (0, 20),
};

/// The products that both worlds have.
pub const TABLES: [&Facts; 7] = [&ORDERS, &PEOPLE, &FEEDBACK, &LEADS, &NOTHING, &REGIONS, &PAYROLL];

impl Facts {
    pub fn sql_name(&self) -> String {
        format!("{}.{}", self.domain, self.name)
    }

    pub fn is_fenced(&self) -> bool {
        self.name != REGIONS.name
    }

    pub fn key(&self) -> &'static str {
        self.columns[0].name
    }

    pub fn has_ordered_files(&self) -> bool {
        !self.deletes && self.partition.is_none()
    }

    /// Whether the principal may see the row: the contracts and policies in other words.
    pub fn shows(&self, row: &Row, principal: &str) -> bool {
        let is = |column: &str, value: &str| row[column] == json!(value);
        if !self.readers.contains(&principal) {
            return false;
        }
        match (self.name, principal) {
            ("orders", "sales_analyst") => is("region", "EU"),
            ("orders", "marketing_analyst") => is("region", "US") && row["quantity"].as_i64().is_some_and(|q| q < 100),
            ("people", _) => {
                row["level"].as_i64().is_some_and(|level| level < 5) && (is("country", "DE") || is("country", "FR"))
            }
            ("feedback", "sales_analyst") => is("owning_domain", "sales"),
            ("feedback", "marketing_analyst") => is("owning_domain", "marketing"),
            ("leads", "sales_analyst") => is("region", "EU") || is("owner", principal),
            ("leads", "marketing_analyst") => is("region", "US") || is("owner", principal),
            ("leads", _) => is("owner", principal),
            ("regions", _) => true,
            _ => false,
        }
    }

    /// A row that somebody sees, masked columns aside.
    pub fn shown_row(&self, key: i64, random: &mut Random) -> Row {
        let mut row = Row::new();
        for column in self.columns {
            row.insert(column.name.to_owned(), shown(column, random));
        }
        row.insert(self.key().to_owned(), json!(key));
        let mut set = |column: &str, value: Value| _ = row.insert(column.to_owned(), value);
        match self.name {
            "orders" => {
                set("region", json!(random.pick(&["EU", "EU", "US"])));
                set("quantity", json!(random.between(1, 60)));
            }
            "people" => {
                set("country", json!(random.pick(&["DE", "FR"])));
                set("level", json!(random.between(1, 4)));
                set("boss_id", if key < 20 { Value::Null } else { json!(random.between(1, key / 10 - 1) * 10) });
            }
            "feedback" => set("owning_domain", json!(random.pick(&["sales", "marketing"]))),
            "leads" => {
                let (region, owner) = random.pick(&[
                    ("EU", "nobody"),
                    ("US", "nobody"),
                    ("APAC", "data_scientist"),
                    ("EU", "data_scientist"),
                    ("APAC", "auditor"),
                    ("US", "sales_analyst"),
                ]);
                set("region", json!(region));
                set("owner", json!(owner));
            }
            "regions" => set("region", json!(["EU", "US", "APAC", "LATAM", "MEA"][(key / 10 - 1) as usize % 5])),
            _ => {}
        }
        row
    }

    /// A row that nobody sees who is compared.
    pub fn unseen_row(&self, key: i64, random: &mut Random) -> Row {
        let mut row = Row::new();
        for column in self.columns {
            row.insert(column.name.to_owned(), unseen(column.kind, random));
        }
        row.insert(self.key().to_owned(), json!(key));
        let mut set = |column: &str, value: Value| _ = row.insert(column.to_owned(), value);
        match self.name {
            // an order of the US is nobody's from a quantity of 100 on
            "orders" if random.chance(30) => {
                set("region", json!("US"));
                set("quantity", json!(random.pick(&[100, 101, 77_777, i64::MAX])));
            }
            "orders" => set("region", foreign(random)),
            "people" if random.chance(50) => {
                set("country", json!(random.pick(&["DE", "FR"])));
                set("level", random.pick(&[json!(5), json!(6), json!(i64::MAX), Value::Null]).clone());
            }
            "people" => set("country", foreign(random)),
            "feedback" => {
                let domains = [json!("Sales"), json!("sales "), json!("vault"), json!("product"), Value::Null];
                set("owning_domain", random.pick(&domains).clone());
            }
            "leads" => {
                set("region", foreign(random));
                set("owner", json!(random.pick(&["nobody", "SALES_ANALYST", "finance_analyst", ""])));
            }
            "nothing" => set("region", random.pick(&[json!("nowhere"), json!("NOWHERE "), Value::Null]).clone()),
            _ => {}
        }
        row
    }

    /// What a masked column holds in a row that somebody sees: `base` decides what the mask shows, `own` the rest.
    pub fn covered(column: &Column, base: &mut Random, own: &mut Random) -> Value {
        match column.masked {
            Some("hash") => shown(column, base),
            Some(mask @ ("partial" | "ends" | "left")) => {
                let rest: String = (0..=own.below(12)).map(|_| *own.pick(&['q', 'w', 'é', '7', '-', ' '])).collect();
                let first = *base.pick(&["a", "b", "ü"]);
                json!(match mask {
                    "partial" => format!("{first}{rest}"),
                    "left" => format!("{first}{}{rest}", base.below(10)),
                    _ => format!("{first}{}{rest}{}", base.below(10), base.between(10, 99)),
                })
            }
            // what the mask shows is whether it is greater than 2000
            Some("grade") => match (base.chance(50), own.chance(20)) {
                (true, _) => json!(own.pick(&[2_001, 77_777, i64::MAX])),
                (false, true) => Value::Null,
                (false, false) => json!(own.pick(&[2_000, 0, -1, i64::MIN + 1])),
            },
            _ => unseen(column.kind, own),
        }
    }
}

/// A region or country that is nobody's.
fn foreign(random: &mut Random) -> Value {
    random.pick(&[json!("APAC"), json!("eu"), json!("EU "), json!(""), json!("US2"), Value::Null]).clone()
}

/// No value may make two rows fail in two different ways: which of them is met first depends on where rows lie, and that
/// is not compared here. So exactly one text that is seen in a `note` is no number.
fn shown(column: &Column, random: &mut Random) -> Value {
    if column.name == "note" {
        return random.pick(&[json!("12"), json!("7"), json!("305"), json!("-4"), json!("n/a"), Value::Null]).clone();
    }
    if random.chance(8) {
        return Value::Null;
    }
    match column.kind {
        Kind::Int => json!(random.between(1000, 1040)),
        Kind::Small => json!(random.between(-9, 9)),
        Kind::Decimal => json!(format!("{}.{:02}", random.between(5, 90), random.pick(&[0, 25, 50, 99]))),
        // sums of these are exact in any order
        Kind::Float => json!(random.between(-40, 40) as f64 / 4.0),
        Kind::Text => json!(random.pick(&["alpha", "beta", "Gamma", "delta eins", "100%", "a_b", "zeta"])),
        Kind::Bool => json!(random.chance(50)),
        Kind::Date => json!(format!("2026-0{}-1{}", random.between(1, 9), random.between(0, 9))),
        Kind::Time => {
            json!(format!("2026-0{}-1{}T0{}:30:00Z", random.between(1, 9), random.between(0, 9), random.between(0, 9)))
        }
        Kind::Texts => json!((0..random.below(3)).map(|_| *random.pick(&["new", "old", "hot"])).collect::<Vec<_>>()),
        Kind::Pair => json!({ "a": random.between(1, 5), "b": random.pick(&["x", "y"]) }),
    }
}

/// Everything that a careless expression stumbles over.
fn unseen(kind: Kind, random: &mut Random) -> Value {
    if random.chance(15) {
        return Value::Null;
    }
    match kind {
        Kind::Int => {
            json!(random.pick(&[77_777, 88_888, i64::MAX, i64::MIN + 1, 0, -1, 999, 1020, 1041, 4_294_967_296]))
        }
        Kind::Small => json!(random.pick(&[i16::MAX, i16::MIN, 0, 10, -10, 777])),
        Kind::Decimal => json!(random.pick(&["0.00", "9999999999.99", "-9999999999.99", "77777.77", "4.99", "90.00"])),
        Kind::Float => json!(random.pick(&[0.0, 1e300, -1e300, 1e-300, 77_777.7, 10.25])),
        Kind::Text => json!(random.pick(&[
            "hidden-1",
            "zeta'",
            "\\",
            "",
            "ALPHA",
            "alphb",
            "{\"x\":1}",
            "ünïcödé",
            "77777",
            "1e999",
            "secret secret secret secret secret",
        ])),
        Kind::Bool => json!(random.chance(50)),
        Kind::Date => json!(random.pick(&["1000-01-01", "9999-12-31", "2026-02-28", "1970-01-01"])),
        Kind::Time => json!(random.pick(&["1700-01-01T00:00:00Z", "2262-01-01T00:00:00Z", "2026-05-15T05:30:00Z"])),
        Kind::Texts => json!((0..random.below(40)).map(|_| *random.pick(&["new", "secret", ""])).collect::<Vec<_>>()),
        Kind::Pair => json!({ "a": random.pick(&[0, i64::MAX, 77_777]), "b": random.pick(&["secret", "x", ""]) }),
    }
}
