//! Statements for one principal: mostly valid, mostly about fenced tables, with constants out of rows that are shown and
//! rows that are not, and with expressions that fail on the latter.
//!
//! Everything follows from a seed, so that a statement can be made again by itself.

use std::collections::BTreeMap;

use super::delta::Kind;
use super::expression::{Scope, Source};
use super::facts::{Facts, TABLES};
use super::random::Random;
use super::world::{COMMITS, Values};
use super::{catalog_statement, query};

/// What is said to a server, and how its answer is compared.
#[derive(Clone, Debug)]
pub struct Statement {
    pub said: Said,
    /// The order of rows is the statement's own: it orders by every column, or by a key.
    pub ordered: bool,
    /// What it reads.
    pub touches: Touches,
    pub form: &'static str,
}

#[derive(Clone, Debug)]
pub enum Said {
    /// Simple queries, one after another.
    Simple(Vec<String>),
    /// Parse, Describe, Bind, Describe, Execute until all rows are there.
    Extended { sql: String, parameters: Vec<Parameter>, binary: bool, rows_max: i32 },
}

impl Said {
    pub fn text(&self) -> String {
        match self {
            Self::Simple(queries) => queries.join(";\n"),
            Self::Extended { sql, parameters, binary, rows_max } => {
                let values: Vec<String> =
                    parameters.iter().map(|value| format!("{}={}", value.oid, value.text)).collect();
                format!("{sql}\n-- parameters [{}], binary {binary}, {rows_max} rows at a time", values.join(", "))
            }
        }
    }
}

/// A value of `$1`, `$2`, …; binary where `bytes` says how.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub oid: i32,
    pub text: String,
    pub bytes: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Touches {
    pub fenced: bool,
    pub masked: bool,
    /// A constant out of a row that is not shown, or an expression that fails on such rows.
    pub unseen: bool,
    /// An expression that fails on some rows.
    pub danger: bool,
}

/// What the server can do that the generator asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    pub masks: bool,
    /// Hashes are the same in the worlds that are compared.
    pub hashes: bool,
    pub travel: bool,
    pub views: bool,
    pub correlated: bool,
    pub copy: bool,
    pub scroll: bool,
    pub prepare: bool,
}

/// What is known about one principal.
pub struct Knowledge {
    pub principal: &'static str,
    pub values: Values,
    /// The largest value that the principal sees, by table and column.
    pub greatest: BTreeMap<(&'static str, &'static str), i64>,
    pub abilities: Abilities,
    /// Only queries whose rows a copy of the visible part has too.
    pub rows_only: bool,
}

/// Makes one statement.
pub struct Maker<'a> {
    pub random: Random,
    pub known: &'a Knowledge,
    pub touches: Touches,
    /// Where constants go when they are parameters.
    pub parameters: Option<Vec<Parameter>>,
    aliases: usize,
}

/// The statement of this number.
pub fn statement(known: &Knowledge, seed: u64, number: u64) -> Statement {
    let random = Random::part(seed, known.principal, number);
    let mut maker = Maker { random, known, touches: Touches::default(), parameters: None, aliases: 0 };
    let forms: &[(usize, Form)] = if known.rows_only {
        &[(80, Form::Query), (12, Form::Prepared), (8, Form::Cursor)]
    } else {
        &[
            (56, Form::Query),
            (11, Form::Explain),
            (9, Form::Prepared),
            (4, Form::Cursor),
            (9, Form::Catalog),
            (8, Form::Refused),
            (3, Form::Session),
            (if known.abilities.copy { 4 } else { 0 }, Form::Copy),
            (if known.abilities.scroll { 4 } else { 0 }, Form::Scroll),
            (if known.abilities.prepare { 3 } else { 0 }, Form::Execute),
        ]
    };
    let form = maker.random.weighted(forms);
    maker.make(form)
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Query,
    Explain,
    Prepared,
    Cursor,
    Catalog,
    Refused,
    Session,
    Copy,
    Scroll,
    Execute,
}

impl Maker<'_> {
    fn make(mut self, form: Form) -> Statement {
        match form {
            Form::Query => {
                let query = query::query(&mut self);
                self.simple("query", vec![query.sql], query.ordered)
            }
            Form::Explain => {
                let query = query::query(&mut self);
                // what operators above whole scans measured is time
                let analyze = self.touches.fenced && query.fenced_everywhere;
                let options: &[&str] =
                    if analyze { &["", "verbose ", "analyze ", "analyze verbose "] } else { &["", "verbose "] };
                let options = *self.random.pick(options);
                self.simple("explain", vec![format!("explain {options}{}", query.sql)], true)
            }
            Form::Prepared => {
                self.parameters = Some(Vec::new());
                let query = query::query(&mut self);
                let binary = self.random.chance(50);
                let rows_max = if query.ordered { *self.random.pick(&[0, 0, 1, 3]) } else { 0 };
                let parameters = self.parameters.take().unwrap_or_default();
                let said = Said::Extended { sql: query.sql, parameters, binary, rows_max };
                Statement { said, ordered: query.ordered, touches: self.touches, form: "prepared" }
            }
            Form::Cursor => {
                let query = query::ordered_query(&mut self);
                let binary = if self.random.chance(20) { "binary " } else { "" };
                let mut said = vec!["begin".to_owned(), format!("declare c {binary}cursor for {}", query.sql)];
                said.push(format!("fetch {} from c", self.random.between(1, 4)));
                said.push(
                    (*self.random.pick(&["fetch all from c", "fetch next from c", "fetch 2 from c; close c"]))
                        .to_owned(),
                );
                said.push("commit".to_owned());
                self.simple("cursor", said, true)
            }
            Form::Copy => {
                let query = query::ordered_query(&mut self);
                let options =
                    *self.random.pick(&["", " with csv header", " (format csv, force_quote *)", " (format binary)"]);
                self.simple("copy", vec![format!("copy ({}) to stdout{options}", query.sql)], true)
            }
            Form::Scroll => {
                let query = query::ordered_query(&mut self);
                let steps =
                    ["last", "prior", "first", "absolute 2", "absolute -2", "relative -1", "backward all", "forward 3"];
                let mut said = vec!["begin".to_owned(), format!("declare c scroll cursor for {}", query.sql)];
                for _ in 0..self.random.between(2, 5) {
                    let word = if self.random.chance(25) { "move" } else { "fetch" };
                    said.push(format!("{word} {} from c", self.random.pick(&steps)));
                }
                said.push("commit".to_owned());
                self.simple("scroll", said, true)
            }
            Form::Execute => {
                let query = query::query(&mut self);
                let said =
                    vec![format!("prepare p as {}", query.sql), "execute p".to_owned(), "deallocate p".to_owned()];
                self.simple("execute", said, query.ordered)
            }
            Form::Catalog => {
                let sql = catalog_statement::catalog(&mut self);
                self.simple("catalog", vec![sql], false)
            }
            Form::Refused => {
                let sql = catalog_statement::refused(&mut self);
                self.simple("refused", vec![sql], false)
            }
            Form::Session => {
                let said = catalog_statement::session(&mut self);
                self.simple("session", said, false)
            }
        }
    }

    fn simple(self, form: &'static str, said: Vec<String>, ordered: bool) -> Statement {
        Statement { said: Said::Simple(said), ordered, touches: self.touches, form }
    }

    /// A table that the principal reads, fenced ones before all others.
    pub fn readable(&mut self) -> &'static Facts {
        let principal = self.known.principal;
        let readable: Vec<(usize, &'static Facts)> = TABLES
            .iter()
            .filter(|facts| facts.readers.contains(&principal))
            .map(|facts| (if facts.is_fenced() { facts.rows.0.clamp(3, 12) } else { 2 }, *facts))
            .collect();
        let facts = self.random.weighted(&readable);
        self.touches.fenced |= facts.is_fenced();
        facts
    }

    pub fn source(&mut self) -> Source {
        let facts = self.readable();
        self.source_of(facts)
    }

    pub fn source_of(&mut self, facts: &'static Facts) -> Source {
        Source { alias: self.alias(), facts }
    }

    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// `sales.orders t1`, now and then as it was.
    pub fn from(&mut self, source: &Source) -> String {
        let name = source.facts.sql_name();
        let then = if self.known.abilities.travel && self.random.chance(7) { self.moment() } else { String::new() };
        format!("{name}{then} {}", source.alias)
    }

    /// Versions and times that exist, and some that do not.
    pub fn moment(&mut self) -> String {
        let time =
            |millis: i64| chrono::DateTime::from_timestamp_millis(millis).unwrap().format("%Y-%m-%d %H:%M:%S+00");
        match self.random.below(8) {
            0..5 => format!(" version as of {}", self.random.below(5)),
            5 => " version as of 99".to_owned(),
            6 => format!(" timestamp as of '{}'", time(*self.random.pick(&COMMITS))),
            _ => format!(" timestamp as of '{}'", time(self.random.pick(&COMMITS) - 1_000)),
        }
    }

    pub fn scope(&mut self) -> Scope {
        Scope { sources: vec![self.source()] }
    }
}

/// The object identifier of the type in PostgreSQL.
pub fn oid(kind: Kind) -> i32 {
    match kind {
        Kind::Int => 20,
        Kind::Small => 21,
        Kind::Decimal => 1700,
        Kind::Float => 701,
        Kind::Bool => 16,
        Kind::Date => 1082,
        Kind::Time => 1184,
        Kind::Text | Kind::Texts | Kind::Pair => 25,
    }
}
