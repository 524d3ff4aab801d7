//! Names for the columns of SELECT lists: PostgreSQL's own, and each once, as the planner wants them.
//!
//! PostgreSQL lets columns share a name, and names those that the statement does not (`FigureColname`). A column whose
//! name is already taken goes under one of its own here, made of the shared one and [`MARK`]; [`shown`] takes it back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, OrderByExpr, Query, Select, SelectItem, SetExpr, Visit, Visitor};

use crate::statement::names;

/// Stands between the name that a column shares with another and what tells the two apart. It is for private use in
/// Unicode; whoever writes it in a name of his own sees the name end there, and nothing more.
pub const MARK: char = '\u{10FFFD}';

/// A column's name as it is shown.
pub fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// The names of a relation's columns as they are shown. A derived relation that has a name twice is given out by the
/// planner as `x`, `x:1`, ….
pub fn all_shown(names: Vec<String>) -> Vec<String> {
    let known: BTreeSet<String> = names.iter().cloned().collect();
    let shown = |name: String| {
        let name = shown(&name).to_owned();
        match name.rsplit_once(':') {
            Some((base, number)) if known.contains(base) && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                base.to_owned()
            }
            _ => name,
        }
    };
    names.into_iter().map(shown).collect()
}

/// Names the columns of every SELECT of a query's body. What `order_by` says of a column that goes under another name
/// now, it says by that name. `outermost` is for a query whose columns nothing but the client will name.
pub fn name_columns(body: &mut SetExpr, order_by: &mut [OrderByExpr], outermost: bool) {
    match body {
        SetExpr::Select(select) => name_select(select, order_by, outermost),
        // ORDER BY names the columns of the first branch
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left, order_by, false);
            name_columns(right, &mut [], false);
        }
        // a query in parentheses is visited by itself
        _ => {}
    }
}

fn name_select(select: &mut Select, order_by: &mut [OrderByExpr], outermost: bool) {
    let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let wildcard = select.projection.iter().any(is_wildcard);
    let mut taken = Taken::default();
    // explicit names come first: a name that the statement gives is what the rest of it goes by
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            *taken.explicit.entry(names::fold(alias)).or_default() += 1;
        }
    }
    let elsewhere = names_in_expressions(select, order_by);
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for item in &mut select.projection {
        let named = match item {
            SelectItem::UnnamedExpr(expr) => {
                // a column keeps its own name where it may
                if let Some(path) = column_path(expr) {
                    let name = path.last().cloned().unwrap_or_default();
                    let known = taken.columns.entry(name.clone()).or_default();
                    let unqualified = path.len() == 1 || known.iter().any(|other| other.len() == 1);
                    let again = !known.is_empty() && (unqualified || known.contains(&path));
                    let clashes = again || taken.names.contains(&name) || taken.explicit.contains_key(&name);
                    known.push(path);
                    (clashes || (wildcard && outermost)).then(|| taken.another(&name))
                } else {
                    let name = names::expr_name(expr).unwrap_or_else(|| "?column?".to_owned());
                    let clashes = taken.is_taken(&name) || (wildcard && outermost) || elsewhere.contains(&name);
                    Some(if clashes {
                        let another = taken.another(&name);
                        renamed.entry(name).or_insert_with(|| another.clone());
                        another
                    } else {
                        taken.take(name)
                    })
                }
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = names::fold(alias);
                let first = taken.names.insert(name.clone()) && !taken.columns.contains_key(&name);
                if first && !(wildcard && outermost) {
                    None
                } else {
                    let another = taken.another(&name);
                    renamed.entry(name).or_insert_with(|| another.clone());
                    Some(another)
                }
            }
            _ => None,
        };
        if let Some(named) = named {
            let alias = Ident::with_quote('"', named);
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let expr = expr.clone();
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
                SelectItem::ExprWithAlias { alias: given, .. } => *given = alias,
                _ => {}
            }
        }
    }
    for item in order_by {
        if let Expr::Identifier(name) = &mut item.expr
            && let Some(another) = renamed.get(&names::fold(name))
        {
            *name = Ident::with_quote('"', another.clone());
        }
    }
}

/// The names that a SELECT list has given out.
#[derive(Default)]
struct Taken {
    /// With AS, anywhere in the list.
    explicit: BTreeMap<String, usize>,
    /// Of columns, with how they are written.
    columns: BTreeMap<String, Vec<Vec<String>>>,
    names: BTreeSet<String>,
    others: usize,
}

impl Taken {
    fn is_taken(&self, name: &str) -> bool {
        self.explicit.contains_key(name) || self.columns.contains_key(name) || self.names.contains(name)
    }

    fn take(&mut self, name: String) -> String {
        self.names.insert(name.clone());
        name
    }

    /// A name that no other column has.
    fn another(&mut self, name: &str) -> String {
        self.others += 1;
        format!("{name}{MARK}{}", self.others)
    }
}

/// How a column is written, if the expression is one.
fn column_path(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Identifier(name) if !is_function(name) => Some(vec![names::fold(name)]),
        Expr::CompoundIdentifier(parts) => Some(parts.iter().map(names::fold).collect()),
        _ => None,
    }
}

/// Words that look like a column and are a function without parentheses.
fn is_function(name: &Ident) -> bool {
    name.quote_style.is_none()
        && ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "user"]
            .iter()
            .any(|word| name.value.eq_ignore_ascii_case(word))
}

/// Names that stand in HAVING and inside expressions of ORDER BY, where PostgreSQL means columns of the relations and the
/// planner would take a column of the SELECT list.
fn names_in_expressions(select: &Select, order_by: &[OrderByExpr]) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Identifier(name) = expr {
                self.0.insert(names::fold(name));
            }
            ControlFlow::Continue(())
        }
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }
    let mut found = Names(BTreeSet::new());
    _ = select.having.visit(&mut found);
    for item in order_by {
        if !matches!(item.expr, Expr::Identifier(_)) {
            _ = item.expr.visit(&mut found);
        }
    }
    found.0
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn named(sql: &str, outermost: bool) -> String {
        let Statement::Query(mut query) = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0) else {
            panic!("{sql}")
        };
        let mut order_by = match query.order_by.as_mut().map(|order_by| &mut order_by.kind) {
            Some(datafusion::sql::sqlparser::ast::OrderByKind::Expressions(items)) => std::mem::take(items),
            _ => Vec::new(),
        };
        query.order_by = None;
        name_columns(&mut query.body, &mut order_by, outermost);
        let order: Vec<String> = order_by.iter().map(ToString::to_string).collect();
        format!("{query} / {}", order.join(", ")).replace(MARK, "#")
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        for (sql, expected) in [
            ("SELECT 1, 2 AS x", "SELECT 1 AS \"?column?\", 2 AS x / "),
            ("SELECT NULL, NULL", "SELECT NULL AS \"?column?\", NULL AS \"?column?#1\" / "),
            ("SELECT 1 AS a, 2 AS a ORDER BY a", "SELECT 1 AS a, 2 AS \"a#1\" / \"a#1\""),
            ("SELECT id, id FROM t", "SELECT id, id AS \"id#1\" FROM t / "),
            ("SELECT a.id, b.id FROM a, b", "SELECT a.id, b.id FROM a, b / "),
            ("SELECT id, a.id FROM a", "SELECT id, a.id AS \"id#1\" FROM a / "),
            ("SELECT x AS id, id FROM t", "SELECT x AS id, id AS \"id#1\" FROM t / "),
            ("SELECT max(x), max(y) FROM t", "SELECT max(x) AS \"max\", max(y) AS \"max#1\" FROM t / "),
            ("SELECT x::INT FROM t HAVING x > 1", "SELECT x::INT AS \"x#1\" FROM t HAVING x > 1 / "),
            ("SELECT x::INT FROM t ORDER BY x", "SELECT x::INT AS \"x\" FROM t / x"),
        ] {
            assert_eq!(named(sql, false), expected, "{sql}");
        }
        assert_eq!(
            named("SELECT *, x + 1 AS y, id FROM t ORDER BY y, z", true),
            "SELECT *, x + 1 AS \"y#1\", id AS \"id#2\" FROM t / \"y#1\", z"
        );
        assert_eq!(
            named("SELECT 1 UNION SELECT 2 ORDER BY 1", true),
            "SELECT 1 AS \"?column?\" UNION SELECT 2 AS \"?column?\" / 1"
        );
    }

    #[test]
    fn names_are_shown_as_they_were_shared() {
        let names = ["a", "a\u{10FFFD}1", "b:1", "a:1", "b:x"].map(str::to_owned).to_vec();
        assert_eq!(all_shown(names), ["a", "a", "b:1", "a", "b:x"]);
    }
}
