//! Names of result columns as PostgreSQL gives them (`FigureColname` in its parser): a column's own name, a function's
//! name, `case`, a cast's type, and `?column?` for everything else.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Query, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TrimWhereField,
    Value,
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
    figured(expr).map(|(name, _)| name)
}

/// The name, and whether a cast or a CASE around leaves it as it is (`FigureColnameInternal`).
fn figured(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| (fold(part), true)),
        // a schema-qualified call goes by the last part of its name
        Expr::Function(function) => {
            function.name.0.last().and_then(|part| part.as_ident()).map(|name| (fold(name), true))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figured(inner),
        Expr::Cast { expr, data_type, .. } => {
            figured(expr).filter(|(_, strong)| *strong).or_else(|| Some((type_name(&data_type.to_string()), false)))
        }
        Expr::Case { else_result, .. } => {
            let otherwise = else_result.as_deref().and_then(figured);
            otherwise.filter(|(_, strong)| *strong).or_else(|| Some(("case".to_owned(), false)))
        }
        Expr::Extract { .. } => strong("extract"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "btrim",
        }),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Exists { .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::TypedString(typed) => Some((type_name(&typed.data_type.to_string()), false)),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Some(("bool".to_owned(), false)),
        Expr::Subquery(query) => match outermost_items(query)?.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), true)),
            SelectItem::UnnamedExpr(expr) => figured(expr).map(|(name, _)| (name, true)),
            _ => None,
        },
        Expr::AtTimeZone { .. } => strong("timezone"),
        // the last field's name; an element goes by the array's
        Expr::CompoundFieldAccess { root, access_chain } => {
            let fields = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(field)) => Some((fold(field), true)),
                _ => None,
            });
            fields.or_else(|| figured(root))
        }
        _ => None,
    }
}

/// A name as it is looked for.
pub fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// PostgreSQL's internal name of a type, which names a cast of something nameless.
fn type_name(sql: &str) -> String {
    let lower = sql.to_ascii_lowercase();
    // an array goes by its elements
    let base = lower.split(['(', '[']).next().unwrap_or_default().trim();
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
        other => other.rsplit('.').next().unwrap_or(other).trim_matches('"'),
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
        assert_eq!(
            names(
                "select 'x'::regclass::oid, 1::int[], case when a then 1 else b::text end, trim(trailing 'a' from x), case when a then b else 'x'::text end, \"char\"(x)::text",
                &["a", "b", "c", "d", "e", "f"]
            ),
            ["oid", "int4", "b", "rtrim", "case", "char"]
        );
        assert_eq!(names("select (f(x)).n, x[1], (array[1])[1]", &["a", "b", "c"]), ["n", "x", "array"]);
    }
}
