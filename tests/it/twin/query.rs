//! Whole queries: selections, joins, subqueries, WITH, windows, aggregates, set operations.

use super::delta::Kind;
use super::expression::{Found, Scope, Source};
use super::statement::Maker;

pub struct Query {
    pub sql: String,
    /// It orders its rows by all columns, or takes the first rows of a table as they lie.
    pub ordered: bool,
    /// It reads no table that is not fenced.
    pub fenced_everywhere: bool,
}

#[derive(Clone, Copy)]
enum Shape {
    Select,
    FirstRows,
    Aggregate,
    Join,
    Subquery,
    With,
    Recursive,
    Window,
    Sets,
    Values,
    DistinctOn,
    Order,
    Nested,
    Changes,
    Correlated,
}

const SHAPES: &[(usize, Shape)] = &[
    (22, Shape::Select),
    (5, Shape::FirstRows),
    (16, Shape::Aggregate),
    (16, Shape::Join),
    (9, Shape::Subquery),
    (5, Shape::With),
    (2, Shape::Recursive),
    (7, Shape::Window),
    (5, Shape::Sets),
    (4, Shape::Values),
    (3, Shape::DistinctOn),
    (5, Shape::Order),
    (3, Shape::Nested),
    (4, Shape::Changes),
    (8, Shape::Correlated),
];

pub fn query(maker: &mut Maker<'_>) -> Query {
    let shape = maker.random.weighted(SHAPES);
    shaped(maker, shape)
}

/// One that can be fetched in steps.
pub fn ordered_query(maker: &mut Maker<'_>) -> Query {
    loop {
        let query = query(maker);
        if query.ordered {
            return query;
        }
    }
}

fn shaped(maker: &mut Maker<'_>, shape: Shape) -> Query {
    let scope = maker.scope();
    let fenced = scope.sources[0].facts.is_fenced();
    let from = maker.from(&scope.sources[0]);
    match shape {
        Shape::Select => {
            let outputs = outputs(maker, &scope, 3);
            let condition = optional_where(maker, &scope, 80);
            finish(maker, &format!("select {} from {from}{condition}", outputs.join(", ")), outputs.len(), fenced)
        }
        Shape::FirstRows => first_rows(maker, &scope, &from),
        Shape::Aggregate => aggregate(maker, &scope, &from),
        Shape::Join => join(maker),
        Shape::Subquery => {
            let outputs = outputs(maker, &scope, 2);
            let condition = subquery_predicate(maker, &scope);
            let more =
                if maker.random.chance(40) { format!(" and {}", maker.predicate(&scope, 1)) } else { String::new() };
            let sql = format!("select {} from {from} where {condition}{more}", outputs.join(", "));
            finish(maker, &sql, outputs.len(), false)
        }
        Shape::With => {
            let outputs = outputs(maker, &scope, 2);
            let condition = optional_where(maker, &scope, 80);
            let with = format!("with w as (select {} from {from}{condition})", outputs.join(", "));
            let body = match maker.random.below(3) {
                0 => "select c1, count(*) from w group by c1",
                1 => "select a.c1, b.c2 from w a join w b on a.c1 = b.c1",
                _ => "select max(c1), max((select min(c1) from w)) as c2 from w",
            };
            finish(maker, &format!("{with} {body}"), 2, fenced)
        }
        Shape::Recursive => recursive(maker, &scope.sources[0], &from),
        Shape::Window => window(maker, &scope, &from),
        Shape::Sets => {
            let operator = *maker.random.pick(&["union", "union all", "intersect", "except"]);
            let other = maker.scope();
            let all_fenced = fenced && other.sources[0].facts.is_fenced();
            let (left, right) = (maker.int(&scope, 1), maker.int(&other, 1));
            let (left_text, right_text) = (maker.text(&scope, 1), maker.text(&other, 1));
            let (where_left, where_right) = (optional_where(maker, &scope, 60), optional_where(maker, &other, 60));
            let other_from = maker.from(&other.sources[0]);
            let sql = format!(
                "select {left} as c1, {left_text} as c2 from {from}{where_left} {operator} select {right} as c1, {right_text} as c2 from {other_from}{where_right}"
            );
            finish(maker, &sql, 2, all_fenced)
        }
        Shape::Values => {
            let found = maker.int_column(&scope);
            let rows: Vec<String> =
                (0..maker.random.between(1, 5)).map(|at| format!("({}, {at})", maker.constant(&found))).collect();
            let kind = *maker.random.pick(&["join", "left join", "right join"]);
            let value = maker.scalar(&scope, 1);
            let sql = format!(
                "select v.n, v.k, {value} as c3 from {from} {kind} (values {}) as v (k, n) on {} = v.k",
                rows.join(", "),
                found.sql
            );
            finish(maker, &sql, 3, fenced)
        }
        Shape::DistinctOn => {
            let (by, key, value) = (maker.text(&scope, 0), key(&scope.sources[0]), maker.scalar(&scope, 1));
            let condition = optional_where(maker, &scope, 60);
            let direction = *maker.random.pick(&["", " desc"]);
            let sql = format!(
                "select distinct on ({by}) {by} as b, {key} as k, {value} as v from {from}{condition} order by {by}, {key}{direction}"
            );
            Query { sql, ordered: true, fenced_everywhere: fenced }
        }
        Shape::Changes if maker.known.abilities.travel => changes(maker, &scope.sources[0]),
        Shape::Correlated if maker.known.abilities.correlated => correlated(maker, &scope, &from),
        Shape::Order | Shape::Changes | Shape::Correlated => {
            let (key, by) = (key(&scope.sources[0]), maker.scalar(&scope, 2));
            // a constant would be the number of a column
            let by = format!("coalesce({by})");
            let condition = optional_where(maker, &scope, 50);
            let direction = *maker.random.pick(&["", " desc", " nulls first", " desc nulls last"]);
            let limit = limit(maker);
            let sql = format!("select {key} from {from}{condition} order by {by}{direction}, {key}{limit}");
            Query { sql, ordered: true, fenced_everywhere: fenced }
        }
        Shape::Nested => {
            let outputs = outputs(maker, &scope, 2);
            let condition = optional_where(maker, &scope, 60);
            let outer =
                *maker.random.pick(&["c1 is not null", "c2 is null", "c1 = c1", "c2 is distinct from c1::text"]);
            let sql =
                format!("select c1, c2 from (select {} from {from}{condition}) s where {outer}", outputs.join(", "));
            finish(maker, &sql, 2, fenced)
        }
    }
}

fn key(source: &Source) -> String {
    format!("{}.{}", source.alias, source.facts.key())
}

fn outputs(maker: &mut Maker<'_>, scope: &Scope, depth: usize) -> Vec<String> {
    let count = maker.random.between(2, 4);
    named((0..count).map(|_| maker.scalar(scope, depth.min(2))).collect())
}

/// Two columns of one name are an error here.
fn named(outputs: Vec<String>) -> Vec<String> {
    outputs.into_iter().enumerate().map(|(at, output)| format!("{output} as c{}", at + 1)).collect()
}

fn optional_where(maker: &mut Maker<'_>, scope: &Scope, percent: usize) -> String {
    if maker.random.chance(percent) { format!(" where {}", maker.predicate(scope, 2)) } else { String::new() }
}

fn limit(maker: &mut Maker<'_>) -> String {
    match maker.random.below(6) {
        0 => format!(" limit {}", maker.random.between(0, 3)),
        1 => format!(" limit {} offset {}", maker.random.between(1, 9), maker.random.between(0, 9)),
        2 => format!(" offset {}", maker.random.between(0, 20)),
        _ => String::new(),
    }
}

/// Orders by every column now and then, and then may take only some rows.
fn finish(maker: &mut Maker<'_>, sql: &str, columns: usize, fenced_everywhere: bool) -> Query {
    if maker.random.chance(45) {
        return Query { sql: sql.to_owned(), ordered: false, fenced_everywhere };
    }
    let descends = |maker: &mut Maker<'_>| *maker.random.pick(&["", "", " desc"]);
    let by: Vec<String> = (1..=columns).map(|at| format!("{at}{}", descends(maker))).collect();
    let limit = limit(maker);
    Query { sql: format!("{sql} order by {}{limit}", by.join(", ")), ordered: true, fenced_everywhere }
}

/// Without ORDER BY the first rows are those of the first files, wherever rows lie that are not shown.
fn first_rows(maker: &mut Maker<'_>, scope: &Scope, from: &str) -> Query {
    let source = &scope.sources[0];
    let fenced = source.facts.is_fenced();
    let key = key(source);
    if !source.facts.has_ordered_files() || maker.known.rows_only {
        let limit = limit(maker);
        let sql = format!("select {key} from {from} order by 1{limit}");
        return Query { sql, ordered: true, fenced_everywhere: fenced };
    }
    let number = maker.random.between(0, 200);
    let condition = *maker.random.pick(&["", " where K > N", " where K <> N"]);
    let condition = condition.replace('K', &key).replace('N', &number.to_string());
    let sql = format!("select {key} from {from}{condition} limit {}", maker.random.between(1, 9));
    Query { sql, ordered: true, fenced_everywhere: fenced }
}

fn aggregate(maker: &mut Maker<'_>, scope: &Scope, from: &str) -> Query {
    let fenced = scope.sources[0].facts.is_fenced();
    let mut calls = Vec::new();
    for _ in 0..maker.random.between(1, 3) {
        let call = aggregate_call(maker, scope);
        let call =
            if maker.random.chance(20) { format!("{call} filter (where {})", maker.predicate(scope, 1)) } else { call };
        calls.push(call);
    }
    let calls: Vec<String> = calls.iter().enumerate().map(|(at, call)| format!("{call} as a{at}")).collect();
    let condition = optional_where(maker, scope, 60);
    if maker.random.chance(35) {
        let sql = format!("select {} from {from}{condition}", calls.join(", "));
        return finish(maker, &sql, calls.len(), fenced);
    }
    let keys: Vec<String> = (0..maker.random.between(1, 2)).map(|_| maker.scalar(scope, 1)).collect();
    let places: Vec<String> = (1..=keys.len()).map(|at| at.to_string()).collect();
    let grouping = match maker.random.below(8) {
        0 => format!("rollup ({})", places.join(", ")),
        1 => format!("cube ({})", places.join(", ")),
        2 => format!("grouping sets (({}), ())", places.join(", ")),
        _ => places.join(", "),
    };
    let having = if maker.random.chance(25) {
        let call = aggregate_call(maker, scope);
        format!(" having {call} is not null")
    } else {
        String::new()
    };
    let selected = named(keys.clone()).join(", ");
    let sql = format!("select {selected}, {} from {from}{condition} group by {grouping}{having}", calls.join(", "));
    finish(maker, &sql, keys.len() + calls.len(), fenced)
}

fn aggregate_call(maker: &mut Maker<'_>, scope: &Scope) -> String {
    let int = maker.int(scope, 1);
    match maker.random.below(14) {
        0 | 1 => "count(*)".to_owned(),
        2 => format!("count({int})"),
        3 => format!("count(distinct {int})"),
        4 => format!("min({int})"),
        5 => format!("max({int})"),
        6 => {
            let found = maker.int_column(scope);
            format!("sum({} % 1000)", found.sql)
        }
        7 => match maker.column(scope, Kind::Decimal) {
            Some(decimal) => format!("sum({})", decimal.sql),
            None => format!("sum({int})"),
        },
        8 => {
            let found = maker.int_column(scope);
            format!("avg({} % 16)", found.sql)
        }
        9 => format!("max({})", maker.text(scope, 1)),
        10 => {
            let text = maker.text(scope, 0);
            format!("string_agg({text}, ',' order by {text})")
        }
        11 => format!("array_agg({int} order by {int})"),
        12 => format!("bool_and({})", maker.predicate(scope, 0)),
        _ => match maker.column(scope, Kind::Float) {
            Some(float) => format!("sum({})", float.sql),
            None => format!("bool_or({})", maker.predicate(scope, 0)),
        },
    }
}

fn join(maker: &mut Maker<'_>) -> Query {
    let first = maker.source();
    // a table with itself, every other time
    let second = if maker.random.chance(50) { maker.source_of(first.facts) } else { maker.source() };
    let scope = Scope { sources: vec![first.clone(), second.clone()] };
    let (left, right) = (maker.from(&first), maker.from(&second));
    let (left_only, right_only) = (Scope { sources: vec![first.clone()] }, Scope { sources: vec![second.clone()] });
    let kind = *maker.random.pick(&["join", "join", "left join", "right join", "full join"]);
    let equal = match maker.random.below(4) {
        0 => format!("{} = {}", maker.text(&left_only, 0), maker.text(&right_only, 0)),
        1 => format!("{} = {}", maker.int(&left_only, 1), maker.int(&right_only, 1)),
        _ => format!("{} = {}", key(&first), maker.int_column(&right_only).sql),
    };
    let on = match maker.random.below(6) {
        0 if kind != "full join" => {
            let (a, b) = (maker.int_column(&left_only), maker.int_column(&right_only));
            format!("{} {} {}", a.sql, *maker.random.pick(&["<>", "<", ">="]), b.sql)
        }
        1 => {
            let more = maker.predicate(&right_only, 0);
            format!("{equal} and {more}")
        }
        2 if kind == "join" => {
            let more = maker.predicate(&scope, 1);
            format!("{equal} and {more}")
        }
        _ => equal,
    };
    let fenced = first.facts.is_fenced() && second.facts.is_fenced();
    let condition = optional_where(maker, &scope, 40);
    if maker.random.chance(35) {
        let (call, more) = (aggregate_call(maker, &scope), aggregate_call(maker, &left_only));
        let sql =
            format!("select count(*) as a0, {call} as a1, {more} as a2 from {left} {kind} {right} on {on}{condition}");
        return finish(maker, &sql, 3, fenced);
    }
    let outputs = named(vec![key(&first), key(&second), maker.scalar(&scope, 1)]);
    let sql = match maker.random.below(8) {
        0 => format!("select {} from {left}, {right} where {on}", outputs.join(", ")),
        1 => format!("select {} from {left} cross join {right}{condition}", outputs.join(", ")),
        _ => format!("select {} from {left} {kind} {right} on {on}{condition}", outputs.join(", ")),
    };
    finish(maker, &sql, 3, fenced)
}

/// EXISTS, IN, or a comparison with a subquery.
pub fn subquery_predicate(maker: &mut Maker<'_>, outer: &Scope) -> String {
    let inner = maker.scope();
    let from = maker.from(&inner.sources[0]);
    let (mine, theirs) = (maker.int_column(&inner), maker.int_column(outer));
    let not = if maker.random.chance(30) { "not " } else { "" };
    match maker.random.below(6) {
        0 => {
            let more = maker.predicate(&inner, 0);
            format!("{not}exists (select 1 from {from} where {} = {} and {more})", mine.sql, theirs.sql)
        }
        1 => {
            let condition = optional_where(maker, &inner, 70);
            format!("{} {not}in (select {} from {from}{condition})", theirs.sql, mine.sql)
        }
        2 => {
            let (mine, theirs) = (texts(maker, &inner), texts(maker, outer));
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => format!("{} {not}in (select {} from {from})", theirs.sql, mine.sql),
                _ => format!("exists (select {} from {from})", key(&inner.sources[0])),
            }
        }
        3 => {
            let condition = optional_where(maker, &inner, 60);
            let operator = maker.comparison();
            format!("{} {operator} (select max({}) from {from}{condition})", theirs.sql, mine.sql)
        }
        4 => format!(
            "{} > (select count(*) from {from} where {} = {})",
            maker.random.between(0, 3),
            mine.sql,
            theirs.sql
        ),
        _ => {
            let condition = maker.predicate(&inner, 1);
            format!("{not}exists (select 1 from {from} where {condition})")
        }
    }
}

/// Subqueries that look at the row around them where no join can take their place.
fn correlated(maker: &mut Maker<'_>, outer: &Scope, from: &str) -> Query {
    let inner = maker.scope();
    let inner_from = maker.from(&inner.sources[0]);
    let fenced = outer.sources[0].facts.is_fenced() && inner.sources[0].facts.is_fenced();
    let both = Scope { sources: vec![outer.sources[0].clone(), inner.sources[0].clone()] };
    let (outer_key, inner_key) = (key(&outer.sources[0]), key(&inner.sources[0]));
    let (theirs, mine) = (maker.int_column(outer), maker.int_column(&inner));
    let related = match maker.random.below(4) {
        0 => format!("{} {} {}", mine.sql, maker.comparison(), theirs.sql),
        1 => maker.predicate(&both, 1),
        _ => format!("{} = {}", mine.sql, theirs.sql),
    };
    let value = maker.scalar(&both, 1);
    let first = maker.random.between(1, 3);
    let sql = match maker.random.below(6) {
        0 => format!(
            "select {outer_key} as c1, (select {value} from {inner_from} where {related} order by {inner_key} limit 1) as c2 from {from}"
        ),
        1 => {
            let (then, more) = (maker.int(outer, 1), maker.predicate(&inner, 0));
            format!(
                "select {outer_key} as c1, case when exists (select 1 from {inner_from} where {related} and {more}) then {then} end as c2 from {from}"
            )
        }
        2 => format!(
            "select {outer_key} as c1, array(select {} from {inner_from} where {related} order by 1) as c2 from {from}",
            mine.sql
        ),
        3 => format!(
            "select {outer_key} as c1, l.v as c2 from {from}, lateral (select {value} as v from {inner_from} where {related} order by {inner_key} limit {first}) l"
        ),
        4 => format!(
            "select {outer_key} as c1, l.v as c2 from {from} left join lateral (select {value} as v from {inner_from} where {related} order by {inner_key} limit {first}) l on true"
        ),
        _ => {
            let (operator, quantifier) = (maker.comparison(), *maker.random.pick(&["any", "all"]));
            format!(
                "select {outer_key} as c1, {} {operator} {quantifier} (select {} from {inner_from} where {related}) as c2 from {from}",
                theirs.sql, mine.sql
            )
        }
    };
    let condition = optional_where(maker, outer, 40);
    finish(maker, &format!("{sql}{condition}"), 2, fenced)
}

fn texts(maker: &mut Maker<'_>, scope: &Scope) -> Option<Found> {
    maker.column(scope, Kind::Text)
}

fn recursive(maker: &mut Maker<'_>, source: &Source, from: &str) -> Query {
    let fenced = source.facts.is_fenced();
    if source.facts.name == "people" {
        let start = maker.random.between(1, 16) * 10;
        let sql = format!(
            "with recursive w (id, boss, depth) as (
                select person_id, boss_id, 1 from hr.people where person_id = {start}
                union all select p.person_id, p.boss_id, w.depth + 1 from hr.people p join w on p.person_id = w.boss
                where w.depth < 20)
             select id, boss, depth from w order by 1, 2, 3"
        );
        return Query { sql, ordered: true, fenced_everywhere: true };
    }
    let (key, value) = (key(source), maker.int(&Scope { sources: vec![source.clone()] }, 1));
    let sql = format!(
        "with recursive w (n) as (select 1::bigint union all select n + 1 from w where n < 25)
         select w.n, {value} as v from w join {from} on {key} = w.n * 10 order by 1, 2"
    );
    Query { sql, ordered: true, fenced_everywhere: fenced }
}

fn window(maker: &mut Maker<'_>, scope: &Scope, from: &str) -> Query {
    let source = &scope.sources[0];
    let fenced = source.facts.is_fenced();
    let (key, int) = (key(source), maker.int(scope, 1));
    let call = match maker.random.below(7) {
        0 => "row_number()".to_owned(),
        1 => "rank()".to_owned(),
        2 => format!("lag({int})"),
        3 => format!("first_value({int})"),
        4 => {
            let found = maker.int_column(scope);
            format!("sum({} % 1000)", found.sql)
        }
        5 => "ntile(3)".to_owned(),
        _ => format!("max({int})"),
    };
    let partition =
        if maker.random.chance(60) { format!("partition by {} ", maker.text(scope, 1)) } else { String::new() };
    let frame = if call.starts_with("sum") || call.starts_with("max") {
        *maker.random.pick(&[
            "",
            " rows between 1 preceding and current row",
            " rows between unbounded preceding and 1 following",
        ])
    } else {
        ""
    };
    let condition = optional_where(maker, scope, 50);
    let sql = format!("select {key}, {call} over ({partition}order by {key}{frame}) as w from {from}{condition}");
    let sql = if maker.random.chance(20) { format!("select * from ({sql}) s where w is not null") } else { sql };
    finish(maker, &sql, 2, fenced)
}

/// What changed between versions, or when it was changed.
fn changes(maker: &mut Maker<'_>, source: &Source) -> Query {
    let (name, key) = (source.facts.sql_name(), source.facts.key());
    let fenced = source.facts.is_fenced();
    if maker.random.chance(25) && !maker.known.rows_only {
        let columns = *maker.random.pick(&["*", "version, operation", "count(*)", "max(version)"]);
        let sql = format!("select {columns} from table_history('{name}') order by 1");
        // the list of commits lies behind no fence: what operators above it measured is time
        return Query { sql, ordered: true, fenced_everywhere: false };
    }
    let (from, to) = (maker.random.below(4), maker.random.below(5));
    let scope = Scope { sources: vec![source.clone()] };
    let bounds = if maker.random.chance(70) { format!("{from}, {}", to.max(from)) } else { from.to_string() };
    let value = maker.scalar(&scope, 1);
    let alias = &source.alias;
    let condition = optional_where(maker, &scope, 40);
    let sql = if maker.random.chance(30) {
        format!(
            "select _change_type, _commit_version, count(*), max({value}) as v from table_changes('{name}', {bounds}) {alias}{condition} group by 1, 2"
        )
    } else {
        format!(
            "select {alias}.{key}, _change_type, _commit_version, {value} as v from table_changes('{name}', {bounds}) {alias}{condition}"
        )
    };
    finish(maker, &sql, 4, fenced)
}
