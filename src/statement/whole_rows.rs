//! A relation's name where a value is wanted stands for the relation's whole row, unless a column has that name.
//!
//! PostgreSQL 15, 8.16.5 "Using Composite Types in Queries". Which columns there are only the planner knows, so the statement
//! is planned as it stands first; a bare name that it finds no column for, and that is a relation's, is then said as a row
//! of that relation's columns.

use std::ops::ControlFlow;

use datafusion::common::{Column, DataFusionError, Result, SchemaError};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, Statement, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::names::fold;
use super::postgres::ROW_OF_RELATION;
use super::shapes::{self, relations::Relations};

/// How many SELECTs of a statement may name whole rows: each is planned anew.
const WHOLE_ROWS_MAX: usize = 32;

/// The statement's plan, by a planner that knows columns alone.
///
/// # Errors
/// The planner's.
pub fn planned(statement: Statement, plan: impl Fn(Statement) -> Result<LogicalPlan>) -> Result<LogicalPlan> {
    if !is_possible(&statement) {
        return plan(statement);
    }
    let mut statement = statement;
    for _ in 0..WHOLE_ROWS_MAX {
        let error = match plan(statement.clone()) {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let Some((name, columns)) = missing(&error) else { return Err(error) };
        let columns: Vec<String> = columns
            .iter()
            .filter(|column| column.relation.as_ref().is_some_and(|relation| relation.table() == name))
            .map(|column| column.name.clone())
            .collect();
        let mut said = SayRow { name, columns: &columns };
        if columns.is_empty() || VisitMut::visit(&mut statement, &mut said).is_continue() {
            return Err(error);
        }
    }
    plan(statement)
}

/// The bare name that is no column, and the columns that there are.
fn missing(error: &DataFusionError) -> Option<(&str, &[Column])> {
    let DataFusionError::SchemaError(inner, _) = error.find_root() else { return None };
    match inner.as_ref() {
        SchemaError::FieldNotFound { field, valid_fields } if field.relation.is_none() => {
            Some((&field.name, valid_fields))
        }
        _ => None,
    }
}

/// Whether a name in an expression is that of a relation around it.
fn is_possible(statement: &Statement) -> bool {
    struct Finder(Vec<Relations>);
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            self.0.push(Relations::of(select));
            ControlFlow::Continue(())
        }
        fn post_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
            self.0.pop();
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) if self.0.last().is_some_and(|names| names.knows(&fold(name))) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    statement.visit(&mut Finder(Vec::new())).is_break()
}

/// Says the name as a row in the first SELECT that reads from the relation, of those within before those around: the order
/// in which the planner comes to them.
struct SayRow<'a> {
    name: &'a str,
    columns: &'a [String],
}

impl VisitorMut for SayRow<'_> {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if !Relations::of(select).knows(self.name) {
            return ControlFlow::Continue(());
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr @ Expr::Identifier(_)) = item
                && is_name(expr, self.name)
            {
                let alias = Ident::with_quote('"', self.name);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        let row = row(select, self.name, self.columns);
        let mut replaced = Replaced { name: self.name, row, depth: 0, found: false };
        _ = VisitMut::visit(select, &mut replaced);
        if replaced.found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn is_name(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Identifier(ident) if fold(ident) == name)
}

/// The row of a relation; of a function that returns single values, the value.
fn row(select: &Select, relation: &str, columns: &[String]) -> Expr {
    let column = |column: &String| {
        let part = |name: &str| Ident::with_quote('"', name);
        Expr::CompoundIdentifier(vec![part(relation), part(column)])
    };
    let mut factors = select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let is_function = factors.any(
        |factor| matches!(factor, TableFactor::UNNEST { alias: Some(alias), .. } if fold(&alias.name) == relation),
    );
    match columns {
        [only] if is_function => column(only),
        columns => {
            let name = |name: &String| Expr::value(Value::SingleQuotedString(name.clone()));
            let members = columns.iter().flat_map(|own| [name(own), column(own)]).collect();
            shapes::call(ROW_OF_RELATION, members)
        }
    }
}

/// Puts the row in place of the name, in this SELECT and none within it.
struct Replaced<'a> {
    name: &'a str,
    row: Expr,
    depth: usize,
    found: bool,
}

impl VisitorMut for Replaced<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 && is_name(expr, self.name) {
            *expr = self.row.clone();
            self.found = true;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn said(sql: &str, name: &str, columns: &[&str]) -> String {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        assert!(is_possible(&statement), "{sql}");
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        _ = VisitMut::visit(&mut statement, &mut SayRow { name, columns: &columns });
        statement.to_string()
    }

    #[test]
    fn a_relations_name_is_its_row() {
        assert_eq!(
            said("SELECT t, f(t) FROM s.t AS t WHERE x = 1", "t", &["a", "B"]),
            "SELECT \"row of relation\"('a', \"t\".\"a\", 'B', \"t\".\"B\") AS \"t\", \
             f(\"row of relation\"('a', \"t\".\"a\", 'B', \"t\".\"B\")) FROM s.t AS t WHERE x = 1"
        );
        // the inner one first
        assert_eq!(
            said("SELECT f(t) FROM (SELECT f(t) FROM t) t", "t", &["a"]),
            "SELECT f(t) FROM (SELECT f(\"row of relation\"('a', \"t\".\"a\")) FROM t) t"
        );
        assert_eq!(
            said("SELECT e -> 'a' FROM UNNEST(x) AS e", "e", &["value"]),
            "SELECT \"e\".\"value\" -> 'a' FROM UNNEST(x) AS e"
        );
    }
}
