//! PostgreSQL's SQL in the words that the engine's planner knows: what it has no word for, or reads otherwise, is said in
//! others before it plans.
//!
//! Knows the statement alone: no catalog, no types of columns. Every rewriting holds for all statements of its shape.
//! * [`aliases`]: every column of a SELECT list has a name of its own.
//! * [`grouping`]: GROUP BY and its sets.
//! * [`positions`]: numbers that stand for columns of the SELECT list.
//! * [`relations`]: what names of relations stand for.
//! * [`operators`]: literals' types, OPERATOR(), COLLATE, comparisons of rows, ANY and ALL.

pub mod aliases;
pub mod grouping;
mod operators;
pub mod positions;
pub mod relations;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Distinct, Expr, Fetch, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    Ident, LimitClause, NamedWindowExpr, ObjectName, OrderByExpr, OrderByKind, Parens, Query, Select, SelectFlavor,
    SelectItem, SetExpr, Statement, Table, TableFactor, TableWithJoins, TypedString, Value, VisitMut, VisitorMut,
    WildcardAdditionalOptions, WindowFrameBound, WindowSpec, WindowType,
};

use self::positions::{Clause, Listed};
use self::relations::Relations;
use crate::error::{Error, Result, SqlState};

pub use operators::{ARRAY_OF_SUBQUERY, IS_DISTINCT, IS_NOT_DISTINCT, call};

/// Says the statement anew, in place. `text` is what the client sent, for the places of errors.
///
/// # Errors
/// What PostgreSQL's parser and its analysis would refuse, and `0A000` for what cannot be said.
pub fn rewrite(statement: &mut Statement, text: &str) -> Result<()> {
    match VisitMut::visit(statement, &mut Shapes { text, depth: 0, relations: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// As [`rewrite`], for an expression alone.
pub fn rewrite_expression(expression: &mut Expr, text: &str) -> Result<()> {
    match VisitMut::visit(expression, &mut Shapes { text, depth: 0, relations: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Shapes<'a> {
    text: &'a str,
    /// How many queries are around.
    depth: usize,
    /// The relations in FROM of each SELECT that is around.
    relations: Vec<Relations>,
}

impl VisitorMut for Shapes<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        if let Some(fetch) = query.fetch.take()
            && let Err(error) = limit_by_fetch(query, fetch)
        {
            return ControlFlow::Break(error);
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            limit.iter_mut().for_each(as_count);
            if let Some(offset) = offset {
                as_count(&mut offset.value);
            }
        }
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(items) = &mut order_by.kind
            && let Err(error) = positions::check_order(&query.body, items, self.text)
        {
            return ControlFlow::Break(error);
        }
        tables_as_selects(&mut query.body);
        values_of_one_type(&mut query.body);
        let order_by: &mut [OrderByExpr] = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
            Some(OrderByKind::Expressions(items)) => items,
            _ => &mut [],
        };
        aliases::name_columns(&mut query.body, order_by, self.depth == 1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let relations = Relations::of(select);
        relations.name_wildcards(&mut select.projection);
        self.relations.push(relations);
        if let Err(error) = grouping::rewrite(select, self.text) {
            return ControlFlow::Break(error);
        }
        if let Err(error) = distinct_on(select, self.text) {
            return ControlFlow::Break(error);
        }
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(window) = &mut window.1 {
                mark_frame(window, true);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        self.relations.pop();
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(window) = &mut window.1 {
                mark_frame(window, false);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        functions_by_their_names(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Function(function) = expr {
            if let Some(WindowType::WindowSpec(window)) = &mut function.over {
                mark_frame(window, true);
            }
            count_as_it_is(function);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if let Expr::Function(function) = expr
            && let Some(WindowType::WindowSpec(window)) = &mut function.over
        {
            mark_frame(window, false);
        }
        if let Some(meant) = relations::meant(expr, &self.relations) {
            *expr = meant;
        }
        match operators::rewrite(expr, self.text) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn distinct_on(select: &mut Select, text: &str) -> Result<()> {
    let mut distinct = select.distinct.take();
    if let Some(Distinct::On(items)) = &mut distinct {
        let listed = Listed::of(select, text);
        items.iter_mut().try_for_each(|item| listed.resolve(item, Clause::DistinctOn))?;
    }
    select.distinct = distinct;
    Ok(())
}

/// A number that the planner takes as it stands: a position, a limit. [`operators`] leaves it alone.
fn as_it_is(expr: &mut Expr) {
    mark(expr, true);
}

/// A number of rows; a parameter is a `bigint` there (`transformLimitClause`).
fn as_count(expr: &mut Expr) {
    as_it_is(expr);
    if let Expr::Value(value) = expr
        && matches!(value.value, Value::Placeholder(_))
    {
        let parameter = Box::new(expr.clone());
        let data_type = DataType::BigInt(None);
        *expr = Expr::Cast { kind: CastKind::DoubleColon, expr: parameter, data_type, array: false, format: None };
    }
}

fn mark(expr: &mut Expr, as_it_is: bool) {
    if let Expr::Value(value) = expr
        && let Value::Number(_, marked) = &mut value.value
    {
        *marked = as_it_is;
    }
}

/// The bounds of a frame are numbers as they stand, too, and the planner takes them without the mark alone.
fn mark_frame(window: &mut WindowSpec, as_it_is: bool) {
    let Some(frame) = &mut window.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        if let WindowFrameBound::Preceding(Some(bound)) | WindowFrameBound::Following(Some(bound)) = bound {
            mark(bound, as_it_is);
        }
    }
}

/// `count(1)` is what the engine itself makes of `count(*)`, which statistics can answer.
fn count_as_it_is(function: &mut Function) {
    let is_count = function
        .name
        .0
        .last()
        .and_then(|part| part.as_ident())
        .is_some_and(|name| name.value.eq_ignore_ascii_case("count"));
    if let FunctionArguments::List(list) = &mut function.args
        && is_count
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_mut_slice()
    {
        as_it_is(argument);
    }
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n` (PostgreSQL 15, SELECT, "LIMIT Clause").
fn limit_by_fetch(query: &mut Query, fetch: Fetch) -> Result<()> {
    if fetch.percent {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"PERCENT\""));
    }
    if fetch.with_ties {
        if query.order_by.is_none() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "WITH TIES cannot be specified without ORDER BY clause"));
        }
        return Err(Error::unsupported("FETCH FIRST … WITH TIES is not supported")
            .hint("Filter by rank() over the same order."));
    }
    let quantity = fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), true)));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(quantity),
        None => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit: Some(quantity), offset: None, limit_by: Vec::new() });
        }
        Some(_) => return Err(Error::new(SqlState::SYNTAX_ERROR, "multiple LIMIT clauses not allowed")),
    }
    Ok(())
}

/// `TABLE t` is `SELECT * FROM t`.
fn tables_as_selects(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            tables_as_selects(left);
            tables_as_selects(right);
        }
        SetExpr::Table(table) => {
            let Table { table_name: Some(name), schema_name } = table.as_ref() else { return };
            let parts = schema_name.iter().chain([name]).map(|part| Ident::new(part.clone())).collect::<Vec<_>>();
            *body = SetExpr::Select(Box::new(all_of(TableFactor::Table {
                name: ObjectName::from(parts),
                alias: None,
                args: None,
                with_hints: Vec::new(),
                version: None,
                with_ordinality: false,
                partitions: Vec::new(),
                json_path: None,
                sample: None,
                index_hints: Vec::new(),
            })));
        }
        _ => {}
    }
}

/// In VALUES, a literal without a type is of the type that another row's value is cast to (PostgreSQL 15, 10.5 "UNION, CASE,
/// and Related Constructs").
fn values_of_one_type(body: &mut SetExpr) {
    let rows = match body {
        SetExpr::SetOperation { left, right, .. } => {
            values_of_one_type(left);
            return values_of_one_type(right);
        }
        SetExpr::Values(values) => &mut values.rows,
        _ => return,
    };
    let types = |rows: &[Parens<Vec<Expr>>], column: usize| {
        let cast = |row: &Parens<Vec<Expr>>| match row.content.get(column) {
            Some(
                Expr::Cast { data_type, array: false, format: None, .. }
                | Expr::TypedString(TypedString { data_type, .. }),
            ) => (!data_type.to_string().contains('(')).then(|| data_type.clone()),
            _ => None,
        };
        let mut types = rows.iter().filter_map(cast);
        let first = types.next()?;
        types.all(|other| other == first).then_some(first)
    };
    for column in 0..rows.first().map_or(0, |row| row.content.len()) {
        let Some(data_type) = types(rows, column) else { continue };
        for value in rows.iter_mut().filter_map(|row| row.content.get_mut(column)) {
            if let Expr::Value(literal) = value
                && matches!(literal.value, Value::SingleQuotedString(_) | Value::Null)
            {
                *value = operators::cast(value.clone(), data_type.clone());
            }
        }
    }
}

/// The planner looks for a function in FROM by the first part of its name.
fn functions_by_their_names(factor: &mut TableFactor) {
    if let TableFactor::Table { name, args: Some(_), .. } = factor
        && let [schema, _] = name.0.as_slice()
        && schema.as_ident().is_some_and(|schema| schema.value.eq_ignore_ascii_case("pg_catalog"))
    {
        name.0.remove(0);
    }
}

fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// `SELECT * FROM …`.
fn all_of(relation: TableFactor) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![TableWithJoins { relation, joins: Vec::new() }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn said(sql: &str) -> String {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        match rewrite(&mut statement, sql) {
            Ok(()) => statement.to_string().replace(aliases::MARK, "#"),
            Err(error) => format!("{} {}", error.sqlstate().code(), error.message()),
        }
    }

    #[test]
    fn clauses_are_said_in_the_planners_words() {
        for (sql, expected) in [
            ("SELECT * FROM (TABLE s.t) AS x", "SELECT * FROM (SELECT * FROM s.t) AS x"),
            ("SELECT x FROM t ORDER BY 1 FETCH FIRST 3 ROWS ONLY", "SELECT x FROM t ORDER BY 1L LIMIT 3L"),
            ("SELECT x FROM t OFFSET 2 FETCH NEXT ROW ONLY", "SELECT x FROM t LIMIT 1L OFFSET 2L"),
            ("SELECT (t).a FROM s.t", "SELECT t.a AS \"a\" FROM s.t"),
            ("SELECT * FROM pg_catalog.f(x)", "SELECT * FROM f(x)"),
            ("VALUES (NULL, 1), ('{}'::jsonb, 2)", "VALUES (NULL::JSONB, 1::INT4), ('{}'::JSONB, 2::INT4)"),
            ("SELECT count(1), a FROM t GROUP BY (2)", "SELECT count(1L) AS \"count\", a FROM t GROUP BY 2L"),
            ("SELECT a, b FROM t GROUP BY CUBE (2, 1)", "SELECT a, b FROM t GROUP BY CUBE (b, a)"),
            (
                "SELECT a FROM t GROUP BY GROUPING SETS (ROLLUP (a, b), CUBE (1), ())",
                "SELECT a FROM t GROUP BY GROUPING SETS ((a, b), (a), (), (a), (), ())",
            ),
        ] {
            assert_eq!(said(sql), expected, "{sql}");
        }
        assert_eq!(
            said("SELECT x FROM t FETCH FIRST 1 ROW WITH TIES"),
            "42601 WITH TIES cannot be specified without ORDER BY clause"
        );
    }
}
