//! Expressions of a wanted kind over what FROM offers, constants that probe, and expressions that fail on rows that are
//! not shown.
//!
//! An expression that can fail does so on rows that are shown in one way only: which of several failures a client is told
//! depends on where rows lie, and no promise is made about that.

use serde_json::Value;

use super::delta::Kind;
use super::facts::{Column, Facts};
use super::statement::{Maker, Parameter, oid};

/// A table in FROM.
#[derive(Clone, Debug)]
pub struct Source {
    pub alias: String,
    pub facts: &'static Facts,
}

/// What can be named.
#[derive(Clone, Debug)]
pub struct Scope {
    pub sources: Vec<Source>,
}

/// A column under its alias.
#[derive(Clone, Debug)]
pub struct Found {
    pub sql: String,
    pub facts: &'static Facts,
    pub column: &'static Column,
}

impl Maker<'_> {
    /// A column of the kind, if there is one.
    pub fn column(&mut self, scope: &Scope, kind: Kind) -> Option<Found> {
        // columns behind masks are absent from servers that cannot compute them: a few tries are enough then
        let masked = self.random.chance(if self.known.abilities.masks { 45 } else { 3 });
        let mut found: Vec<(&Source, &'static Column)> = Vec::new();
        for source in &scope.sources {
            let of_kind = source.facts.columns.iter().filter(|column| column.kind == kind);
            found.extend(of_kind.filter(|column| masked || column.masked.is_none()).map(|column| (source, column)));
        }
        if found.is_empty() {
            return None;
        }
        let (source, column) = *self.random.pick(&found);
        if !self.known.abilities.hashes && column.masked == Some("hash") {
            return None;
        }
        self.touches.masked |= column.masked.is_some();
        Some(Found { sql: format!("{}.{}", source.alias, column.name), facts: source.facts, column })
    }

    pub fn int_column(&mut self, scope: &Scope) -> Found {
        for _ in 0..20 {
            if let Some(found) = self.column(scope, Kind::Int) {
                return found;
            }
        }
        let source = &scope.sources[0];
        Found {
            sql: format!("{}.{}", source.alias, source.facts.key()),
            facts: source.facts,
            column: &source.facts.columns[0],
        }
    }

    /// A constant to compare the column with: of rows that are shown, of others, nearly so, or extreme.
    pub fn constant(&mut self, found: &Found) -> String {
        let value = self.value(found);
        self.literal(found.column.kind, value.as_ref())
    }

    fn value(&mut self, found: &Found) -> Option<Value> {
        let at = (found.facts.name, found.column.name);
        let none = Vec::new();
        let values = &self.known.values;
        let (shown, unseen) = (values.shown.get(&at).unwrap_or(&none), values.unseen.get(&at).unwrap_or(&none));
        let way = self.random.below(100);
        if way < 40 && !unseen.is_empty() {
            self.touches.unseen = true;
            return Some(self.random.pick(unseen).clone());
        }
        if way < 75 && !shown.is_empty() {
            return Some(self.random.pick(shown).clone());
        }
        if way < 90
            && let Some(base) = shown.iter().chain(unseen).nth(self.random.below((shown.len() + unseen.len()).max(1)))
        {
            return Some(match base {
                Value::Number(number) if found.column.kind != Kind::Float => {
                    Value::from(number.as_i64().unwrap_or(0).saturating_add(self.random.between(-1, 1)))
                }
                Value::String(text) if found.column.kind == Kind::Text => Value::from(
                    self.random
                        .pick(&[format!("{text} "), text.to_uppercase(), text.chars().skip(1).collect()])
                        .clone(),
                ),
                other => other.clone(),
            });
        }
        let extremes: &[Value] = match found.column.kind {
            Kind::Int => &[Value::from(i64::MAX), Value::from(i64::MIN + 1), Value::from(0), Value::from(-1)],
            Kind::Small => &[Value::from(i16::MAX), Value::from(0)],
            Kind::Text => &[],
            _ => return shown.first().cloned(),
        };
        if extremes.is_empty() { Some(Value::from("")) } else { Some(self.random.pick(extremes).clone()) }
    }

    /// A value as SQL writes it, or as a parameter.
    pub fn literal(&mut self, kind: Kind, value: Option<&Value>) -> String {
        let Some(value) = value.filter(|value| !value.is_null()) else { return typed_null(kind).to_owned() };
        let plain = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if self.parameters.is_some() && self.random.chance(70) {
            let bytes = match kind {
                Kind::Int => value.as_i64().map(|number| number.to_be_bytes().to_vec()),
                Kind::Small => value.as_i64().and_then(|n| i16::try_from(n).ok()).map(|n| n.to_be_bytes().to_vec()),
                Kind::Float => value.as_f64().map(|number| number.to_be_bytes().to_vec()),
                Kind::Bool => value.as_bool().map(|truth| vec![u8::from(truth)]),
                Kind::Text => Some(plain.clone().into_bytes()),
                _ => None,
            };
            let parameter = Parameter { oid: oid(kind), text: plain, bytes };
            let parameters = self.parameters.get_or_insert_default();
            parameters.push(parameter);
            return format!("${}", parameters.len());
        }
        match kind {
            Kind::Int | Kind::Small if plain.starts_with('-') => format!("({plain})"),
            Kind::Int | Kind::Small | Kind::Bool => plain,
            Kind::Decimal => format!("{plain}::numeric(12,2)"),
            Kind::Float => format!("({plain})::float8"),
            Kind::Date => format!("date '{plain}'"),
            Kind::Time => format!("timestamptz '{plain}'"),
            Kind::Text | Kind::Texts | Kind::Pair => format!("'{}'", plain.replace('\'', "''")),
        }
    }

    /// An expression whose rows can be ordered.
    pub fn scalar(&mut self, scope: &Scope, depth: usize) -> String {
        match self.random.below(12) {
            0..5 => self.int(scope, depth),
            5..9 => self.text(scope, depth),
            9 => self.column(scope, Kind::Date).map_or_else(|| self.int(scope, depth), |found| found.sql),
            10 => self.column(scope, Kind::Decimal).map_or_else(|| self.int(scope, depth), |found| found.sql),
            _ => self.column(scope, Kind::Time).map_or_else(|| self.text(scope, depth), |found| found.sql),
        }
    }

    pub fn int(&mut self, scope: &Scope, depth: usize) -> String {
        if self.random.chance(12) && !self.touches.danger {
            return self.danger(scope);
        }
        let found = self.int_column(scope);
        if depth == 0 {
            return found.sql;
        }
        match self.random.below(14) {
            0..5 => found.sql,
            5 => self.constant(&found),
            6 => format!("({} % 7)", found.sql),
            7 => format!("coalesce({}, {})", found.sql, self.random.between(-2, 2)),
            8 => {
                let text = self.text(scope, depth - 1);
                format!("cast(length({text}) as bigint)")
            }
            9 => {
                let (condition, other) = (self.predicate(scope, depth - 1), self.random.between(0, 3));
                format!("case when {condition} then {} else {other} end", found.sql)
            }
            10 => {
                let constant = self.constant(&found);
                format!("nullif({}, {constant})", found.sql)
            }
            11 => match self.column(scope, Kind::Small) {
                Some(small) => format!("({} * 3)", small.sql),
                None => found.sql,
            },
            12 => match self.column(scope, Kind::Texts) {
                Some(texts) => format!("cast(cardinality({}) as bigint)", texts.sql),
                None => found.sql,
            },
            _ => match self.column(scope, Kind::Pair) {
                Some(pair) => format!("get_field({}, 'a')", pair.sql),
                None => found.sql,
            },
        }
    }

    pub fn text(&mut self, scope: &Scope, depth: usize) -> String {
        let Some(found) = self.column(scope, Kind::Text) else { return "'none'".to_owned() };
        if depth == 0 {
            return found.sql;
        }
        match self.random.below(10) {
            0..4 => found.sql,
            4 => format!("upper({})", found.sql),
            5 => format!("({} || '-' || coalesce({}, 'x'))", found.sql, found.sql),
            6 => format!("left({}, {})", found.sql, self.random.between(0, 4)),
            7 => format!("coalesce({}, 'none')", found.sql),
            8 => {
                let int = self.int(scope, depth - 1);
                format!("cast({int} as text)")
            }
            _ => {
                let condition = self.predicate(scope, depth - 1);
                format!("case when {condition} then {} end", found.sql)
            }
        }
    }

    pub fn predicate(&mut self, scope: &Scope, depth: usize) -> String {
        if depth > 0 && self.random.chance(30) {
            let (left, right) = (self.predicate(scope, depth - 1), self.predicate(scope, depth - 1));
            return match self.random.below(4) {
                0 => format!("({left} or {right})"),
                1 => format!("not ({left})"),
                _ => format!("({left} and {right})"),
            };
        }
        match self.random.below(22) {
            0..6 => {
                let found = self.int_column(scope);
                let (constant, operator) = (self.constant(&found), self.comparison());
                format!("{} {operator} {constant}", found.sql)
            }
            6..9 => self.about(scope, Kind::Text, |maker, found| {
                let (constant, operator) = (maker.constant(found), maker.comparison());
                format!("{} {operator} {constant}", found.sql)
            }),
            9 => self.about(scope, Kind::Text, |maker, found| {
                let pattern = maker.random.pick(&["a%", "%e%", "hidden%", "%secret%", "_lpha", "%\\%", "7%"]);
                let operator = maker.random.pick(&["like", "not like", "ilike"]);
                format!("{} {operator} '{pattern}'", found.sql)
            }),
            10 => self.about(scope, Kind::Text, |maker, found| {
                let pattern = maker.random.pick(&["^a", "secret", "[0-9]+", "^hid", "e.n"]);
                format!("{} ~ '{pattern}'", found.sql)
            }),
            11 => {
                let found = self.int_column(scope);
                let (low, high) = (self.constant(&found), self.constant(&found));
                format!("{} between {low} and {high}", found.sql)
            }
            12 => {
                let found = self.int_column(scope);
                let list: Vec<String> = (0..self.random.between(1, 4)).map(|_| self.constant(&found)).collect();
                let not = if self.random.chance(30) { "not " } else { "" };
                format!("{} {not}in ({})", found.sql, list.join(", "))
            }
            13 => {
                let kind = *self.random.pick(&[Kind::Int, Kind::Text, Kind::Date, Kind::Pair]);
                self.about(scope, kind, |maker, found| {
                    let not = if maker.random.chance(50) { "not " } else { "" };
                    format!("{} is {not}null", found.sql)
                })
            }
            14 => {
                let kind =
                    *self.random.pick(&[Kind::Date, Kind::Time, Kind::Decimal, Kind::Float, Kind::Small, Kind::Bool]);
                self.about(scope, kind, |maker, found| {
                    let (constant, operator) = (maker.constant(found), maker.comparison());
                    format!("{} {operator} {constant}", found.sql)
                })
            }
            15 => {
                let found = self.int_column(scope);
                let constant = self.constant(&found);
                format!("({} is distinct from {constant})", found.sql)
            }
            16 => self.about(scope, Kind::Texts, |maker, found| {
                format!("array_has({}, '{}')", found.sql, maker.random.pick(&["new", "secret", ""]))
            }),
            17 | 18 if !self.touches.danger => {
                let (danger, operator) = (self.danger(scope), self.comparison());
                format!("{danger} {operator} {}", self.random.between(-1, 3))
            }
            19 | 20 if depth > 0 => super::query::subquery_predicate(self, scope),
            _ => {
                let found = self.int_column(scope);
                let number = self.random.between(-3, 1010);
                format!("{} + 1 > {number}", found.sql)
            }
        }
    }

    fn about(&mut self, scope: &Scope, kind: Kind, say: impl FnOnce(&mut Self, &Found) -> String) -> String {
        if let Some(found) = self.column(scope, kind) {
            return say(self, &found);
        }
        let found = self.int_column(scope);
        let constant = self.constant(&found);
        format!("{} < {constant}", found.sql)
    }

    #[expect(clippy::explicit_auto_deref, reason = "what is picked outlives the list")]
    pub fn comparison(&mut self) -> &'static str {
        *self.random.pick(&["=", "<>", "<", "<=", ">", ">="])
    }

    /// A whole number that cannot be computed for some rows, above all for some that are not shown.
    pub fn danger(&mut self, scope: &Scope) -> String {
        self.touches.danger = true;
        self.touches.unseen = true;
        let found = self.int_column(scope);
        let column = found.sql.clone();
        // no parameters in here: the limits are computed with
        let parameters = self.parameters.take();
        let constant = near(&self.constant(&found));
        self.parameters = parameters;
        let limit = self.limit(&found);
        match self.random.below(16) {
            0..4 => format!("({} / ({column} - {constant}))", self.random.pick(&["1", "100000", column.as_str()])),
            4 => format!("(7 % ({column} - {constant}))"),
            5 | 6 => match Self::note(scope) {
                Some(note) => format!("cast({note} as bigint)"),
                None => format!("(1 / ({column} - {constant}))"),
            },
            7 => format!("({column} + ({} - {limit}))", i64::MAX),
            8 => format!("cast({column} - ({limit} - 32767) as smallint)"),
            9 => format!("length(split_part('a,b', ',', {column} - {constant}))"),
            10 => format!("length(repeat('x', {column} - 900))"),
            11 => match self.column(scope, Kind::Text) {
                Some(text) => format!("(case when regexp_like('alpha', {}) then 1 else 0 end)", text.sql),
                None => format!("length(lpad('x', {column} - 900))"),
            },
            12 => match self.column(scope, Kind::Float) {
                Some(float) => format!("cast({} as bigint)", float.sql),
                None => format!("cast(date_part('year', to_timestamp({column})) as bigint)"),
            },
            13 => match self.column(scope, Kind::Decimal) {
                Some(decimal) => {
                    let parameters = self.parameters.take();
                    let constant = self.constant(&decimal);
                    self.parameters = parameters;
                    format!("cast(1 / ({} - {constant}) as bigint)", decimal.sql)
                }
                None => format!("ascii(chr({column}))"),
            },
            14 => {
                let source = self.source();
                let inner = Scope { sources: vec![source.clone()] };
                let (from, wanted) = (self.from(&source), self.int_column(&inner));
                let by = self.int_column(&inner);
                let constant = self.constant(&by);
                format!("(select {} from {from} where {} = {constant})", wanted.sql, by.sql)
            }
            _ => format!("(case when {column} = {constant} then 1 / ({column} - {constant}) else 1 end)"),
        }
    }

    /// Beyond this no row that is shown has a value; or just one value is.
    fn limit(&mut self, found: &Found) -> i64 {
        let greatest = self.known.greatest.get(&(found.facts.name, found.column.name)).copied().unwrap_or(0);
        if self.random.chance(75) { greatest } else { greatest - 1 }
    }

    fn note(scope: &Scope) -> Option<String> {
        let source = scope.sources.iter().find(|source| source.facts.columns.iter().any(|c| c.name == "note"))?;
        Some(format!("{}.note", source.alias))
    }
}

/// A difference to an extreme would overflow for rows that are shown too, each with a message of its own.
fn near(constant: &str) -> String {
    let is_near = constant.trim_matches(['(', ')']).parse::<i64>().is_ok_and(|number| number.unsigned_abs() < 1 << 40);
    if is_near { constant.to_owned() } else { "77777".to_owned() }
}

fn typed_null(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "null::bigint",
        Kind::Small => "null::smallint",
        Kind::Decimal => "null::numeric(12,2)",
        Kind::Float => "null::float8",
        Kind::Bool => "null::boolean",
        Kind::Date => "null::date",
        Kind::Time => "null::timestamptz",
        Kind::Text | Kind::Texts | Kind::Pair => "null::text",
    }
}
