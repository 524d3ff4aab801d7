//! Names of result columns as PostgreSQL gives them (`FigureColname` in its parser): a column's own name, a function's
//! name, `case`, a cast's type, and `?column?` for everything else.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Query, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, Value,
};

use super::shapes::aliases::all_shown;

/// Replaces the engine's names of the outermost SELECT's columns where the statement gives none.
/// `engine_names` are the plan's column names, wildcards already expanded.
pub fn column_names(statement: &Statement, engine_names: Vec<String>) -> Vec<String> {
    let engine_names = all_shown(engine_names);
    let Statement::Query(query) = statement else { return engine_names };
    let Some(items) = outermost_items(query) else { return engine_names };
    let wildcards = items.iter().filter(|item| is_wildcard(item)).count();
    if wildcards == 0 && items.len() == engine_names.len() {
        return items.iter().zip(engine_names).map(|(item, engine)| item_name(item).unwrap_or(engine)).collect();
    }
    // one wildcard: what stands before and after it lines up with the ends of the list
    if wildcards == 1 && engine_names.len() + 1 >= items.len() {
        let expanded = engine_names.len() + 1 - items.len();
        let mut engine = engine_names.into_iter();
        let mut names = Vec::with_capacity(engine.len());
        for item in items {
            if is_wildcard(item) {
                names.extend(engine.by_ref().take(expanded));
            } else if let Some(name) = engine.next() {
                names.push(item_name(item).unwrap_or(name));
            }
        }
        return names;
    }
    engine_names
}

fn outermost_items(query: &Query) -> Option<&[SelectItem]> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => return Some(&select.projection),
            SetExpr::Query(inner) => body = inner.body.as_ref(),
            // the first branch names the columns of UNION, INTERSECT and EXCEPT
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return None,
        }
    }
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(
        item,
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(_), _)
    )
}

fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expr_name(expr).unwrap_or_else(|| "?column?".to_owned())),
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    }
}

/// What PostgreSQL calls a column that the statement does not name; `None` is `?column?`.
pub fn expr_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(fold(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold),
        // a schema-qualified call goes by the last part of its name
        Expr::Function(function) => function.name.0.last().and_then(|part| part.as_ident()).map(fold),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => expr_name(inner),
        Expr::Cast { expr, data_type, .. } => expr_name(expr).or_else(|| Some(type_name(&data_type.to_string()))),
        Expr::Case { else_result, .. } => {
            else_result.as_deref().and_then(strong_name).or_else(|| Some("case".to_owned()))
        }
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Overlay { .. } => Some("overlay".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Tuple(_) => Some("row".to_owned()),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::TypedString(typed) => Some(type_name(&typed.data_type.to_string())),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Some("bool".to_owned()),
        Expr::Subquery(query) => match outermost_items(query)?.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
            SelectItem::UnnamedExpr(expr) => expr_name(expr),
            _ => None,
        },
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        // the last field's name; an element goes by the array's
        Expr::CompoundFieldAccess { root, access_chain } => {
            let fields = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(field)) => Some(fold(field)),
                _ => None,
            });
            fields.or_else(|| expr_name(root))
        }
        _ => None,
    }
}

/// A CASE takes the name of its ELSE branch only where that is a column or a function, not a cast or a literal.
fn strong_name(expr: &Expr) -> Option<String> {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_))
        .then(|| expr_name(expr))
        .flatten()
}

/// A name as it is looked for.
pub fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// PostgreSQL's internal name of a type, which names a cast of something nameless.
fn type_name(sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    let base = lower.split('(').next().unwrap_or_default().trim();
    match base {
        "int" | "integer" | "int4" => "int4",
        "bigint" | "int8" => "int8",
        "smallint" | "int2" => "int2",
        "real" | "float4" => "float4",
        "double precision" | "float" | "double" | "float8" => "float8",
        "decimal" | "dec" | "numeric" => "numeric",
        "boolean" | "bool" => "bool",
        "character varying" | "varchar" => "varchar",
        "character" | "char" => "bpchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other.rsplit('.').next().unwrap_or(other),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

    fn names(sql: &str, engine: &[&str]) -> Vec<String> {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        column_names(&statement, engine.iter().map(|s| (*s).to_owned()).collect())
    }

    #[test]
    fn as_postgres_names_them() {
        assert_eq!(
            names(
                "select 1, count(*), a.B, upper(x) as \"Up\", x::int, 1::int, case when a then b else 1 end, -x, (select 7 as q), true",
                &["a", "b", "c", "Up", "e", "f", "g", "h", "i", "j"]
            ),
            ["?column?", "count", "b", "Up", "x", "int4", "case", "?column?", "q", "bool"]
        );
        assert_eq!(names("select *, 1 from t", &["x", "y", "Int64(1)"]), ["x", "y", "?column?"]);
        assert_eq!(names("select current_user union select 'a'", &["z"]), ["current_user"]);
        assert_eq!(names("select date '2020-01-01', now()", &["a", "b"]), ["date", "now"]);
        assert_eq!(names("values (1)", &["column1"]), ["column1"]);
        assert_eq!(names("select (f(x)).n, x[1], (array[1])[1]", &["a", "b", "c"]), ["n", "x", "array"]);
    }
}
