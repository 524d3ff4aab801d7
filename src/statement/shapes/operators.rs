//! Expressions: the types of literals, operators by their schema, collations, comparisons of rows, ANY and ALL.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, DateTimeField, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem, SetExpr,
    Subscript, TableAlias, TableAliasColumnDef, TableFactor, UnaryOperator, Value, ValueWithSpan,
};

use super::{aliases, all_of, query_of};
use crate::error::{Error, Result, SqlState};
use crate::statement::names::fold;
use crate::statement::parse::position;
use crate::statement::quantified;

/// The function that stands for `ARRAY(SELECT …)` until its subquery is planned.
pub const ARRAY_OF_SUBQUERY: &str = "array of subquery";
/// What is called by its name alone and read as a column (PostgreSQL 15, `func_expr_common_subexpr`).
const WORDS: [(&str, &str); 2] = [("current_schema", "current_schema"), ("current_catalog", "current_database")];
/// How `IS DISTINCT FROM` and its contrary are called as operators, which no client can write.
pub const IS_DISTINCT: &str = "is distinct from";
pub const IS_NOT_DISTINCT: &str = "is not distinct from";
/// The function that makes a row.
const ROW: &str = "row";
/// Digits of the longest whole number that has a type of its own.
const DIGITS_MAX: usize = 76;
/// The greatest subscript that an array may have.
const SUBSCRIPT_MAX: &str = "2147483647";
/// Collations that compare bytes, and the one that stands for the database's own.
const COLLATIONS: [&str; 4] = ["default", "C", "POSIX", "ucs_basic"];

/// Says one expression anew, whose parts have been said already.
pub fn rewrite(expr: &mut Expr, text: &str) -> Result<()> {
    match expr {
        Expr::Value(value) => match &mut value.value {
            Value::Number(number, false) => {
                if let Some(data_type) = whole_number(number) {
                    *expr = cast(expr.clone(), data_type);
                }
            }
            Value::UnicodeStringLiteral(string) | Value::NationalStringLiteral(string) => {
                value.value = Value::SingleQuotedString(std::mem::take(string));
            }
            _ => {}
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => negate(inner).map_or((), |negated| *expr = negated),
        Expr::BinaryOp { left, op, right } => {
            by_name(op);
            if let (Some(left), Some(right)) = (row(left), row(right)) {
                *expr = compare_rows(&left, op, &right)?;
            }
        }
        Expr::AnyOp { left, compare_op, right, .. } => {
            by_name(compare_op);
            if !matches!(right.as_ref(), Expr::Subquery(_)) {
                *expr = quantified_call(compare_op, false, left, right)?;
            }
        }
        Expr::AllOp { left, compare_op, right } => {
            by_name(compare_op);
            if !matches!(right.as_ref(), Expr::Subquery(_)) {
                *expr = quantified_call(compare_op, true, left, right)?;
            }
        }
        Expr::Like { negated, any, expr: left, pattern, escape_char: None } => {
            let op = if *negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
            if let Some((all, array)) = quantifier(*any, pattern) {
                *expr = quantified_call(&op, all, left, &array)?;
            }
        }
        Expr::ILike { negated, any, expr: left, pattern, escape_char: None } => {
            let op = if *negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
            if let Some((all, array)) = quantifier(*any, pattern) {
                *expr = quantified_call(&op, all, left, &array)?;
            }
        }
        Expr::Like { escape_char, pattern, .. } | Expr::ILike { escape_char, pattern, .. } => {
            escaped_by_backslash(escape_char, pattern);
        }
        Expr::SimilarTo { negated, expr: left, pattern, escape_char } => {
            let mut arguments = vec![pattern.as_ref().clone()];
            arguments.extend(escape_char.take().map(Expr::Value));
            let pattern = call("similar_to_escape", arguments);
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            *expr = Expr::Nested(Box::new(Expr::BinaryOp { left: left.clone(), op, right: Box::new(pattern) }));
        }
        Expr::Collate { expr: inner, collation } => {
            check_collation(collation, text)?;
            *expr = Expr::Nested(inner.clone());
        }
        Expr::InList { expr: left, list, negated } => {
            if let Some(left) = row(left)
                && let Some(list) = list.iter().map(row).collect::<Option<Vec<_>>>()
            {
                *expr = row_in_list(&left, &list, *negated)?;
            }
        }
        Expr::InSubquery { expr: left, subquery, negated } => {
            if let Some(left) = row(left) {
                *expr = row_in_subquery(&left, subquery, *negated);
            }
        }
        // reserved words, which are functions without parentheses
        Expr::Identifier(name) if name.quote_style.is_none() => {
            if let Some((_, function)) = WORDS.iter().find(|(word, _)| fold(name) == *word) {
                *expr = call(function, Vec::new());
            }
        }
        Expr::Extract { field: DateTimeField::Custom(field), .. } if field.quote_style == Some('\'') => {
            field.quote_style = None;
        }
        // as an operator, whose operands' types the planner is told
        Expr::IsDistinctFrom(left, right) => *expr = distinct(left, false, right),
        Expr::IsNotDistinctFrom(left, right) => *expr = distinct(left, true, right),
        Expr::Tuple(values) => *expr = call(ROW, std::mem::take(values)),
        // the planner plans what stands in brackets without the statement's parameters and outer columns
        Expr::Array(array) => *expr = call("make_array", std::mem::take(&mut array.elem)),
        Expr::Function(function) => array_of_subquery(function),
        Expr::CompoundFieldAccess { root, access_chain } => {
            access_chain.iter_mut().for_each(complete_slice);
            if !matches!(root.as_ref(), Expr::Identifier(_)) {
                access_chain.iter_mut().for_each(field_by_name);
            }
        }
        _ => {}
    }
    Ok(())
}

fn distinct(left: &Expr, negated: bool, right: &Expr) -> Expr {
    let op = BinaryOperator::Custom(if negated { IS_NOT_DISTINCT } else { IS_DISTINCT }.to_owned());
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right.clone()) }))
}

/// `f(…)`, under exactly this name.
pub fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let name = if plain { Ident::new(name) } else { Ident::with_quote('"', name) };
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

pub fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::DoubleColon, expr: Box::new(expr), data_type, array: false, format: None }
}

/// The type of a whole number where the planner would take another: it is an `integer` if it fits, else a `bigint`, else
/// `numeric` (PostgreSQL 15, 4.1.2.6 "Numeric Constants").
fn whole_number(number: &str) -> Option<DataType> {
    let digits: String = number.chars().filter(|c| *c != '_').collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match digits.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => Some(DataType::Int4(None)),
        Err(_) if digits.len() <= DIGITS_MAX => {
            let info = ExactNumberInfo::PrecisionAndScale(digits.len() as u64, 0);
            Some(DataType::Numeric(info))
        }
        _ => None,
    }
}

/// `-1` is one literal to the planner, too, and its type is chosen with the sign (`doNegate` in PostgreSQL's grammar).
fn negate(inner: &Expr) -> Option<Expr> {
    let (number, chosen) = match inner {
        Expr::Cast { expr, data_type, .. } => (expr.as_ref(), Some(data_type)),
        number => (number, None),
    };
    let Expr::Value(value) = number else { return None };
    let Value::Number(digits, false) = &value.value else { return None };
    let negative = format!("-{}", digits.replace('_', ""));
    let data_type = match chosen {
        Some(DataType::Int4(None)) => DataType::Int4(None),
        // the smallest numbers fit only with their sign
        Some(DataType::Numeric(_)) => negative.parse::<i64>().is_ok().then_some(DataType::Int8(None))?,
        None => negative.parse::<i32>().is_ok().then_some(DataType::Int4(None))?,
        Some(_) => return None,
    };
    let negated = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number.clone()) };
    Some(cast(negated, data_type))
}

/// The values of a row: `(a, b)`, which is a call by now, or `ROW(a, b)`.
fn row(expr: &Expr) -> Option<Vec<Expr>> {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    let Expr::Function(Function { name, args: FunctionArguments::List(list), over: None, .. }) = expr else {
        return None;
    };
    let [name] = name.0.as_slice() else { return None };
    if name.as_ident().is_none_or(|name| name.quote_style.is_some() || !name.value.eq_ignore_ascii_case(ROW)) {
        return None;
    }
    let value = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    };
    list.args.iter().map(value).collect()
}

/// `LIKE pattern ESCAPE '/'` is `LIKE like_escape(pattern, '/')`.
fn escaped_by_backslash(escape: &mut Option<ValueWithSpan>, pattern: &mut Expr) {
    let Some(character) = escape.take() else { return };
    if matches!(&character.value, Value::SingleQuotedString(own) if own == "\\") {
        return;
    }
    let mut own = std::mem::replace(pattern, Expr::Value(Value::Null.into()));
    if matches!(&own, Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. })) {
        own = cast(own, DataType::Text);
    }
    *pattern = call("like_escape", vec![own, Expr::Value(character)]);
}

/// `OPERATOR(pg_catalog.=)` is `=`.
fn by_name(op: &mut BinaryOperator) {
    let BinaryOperator::PGCustomBinaryOperator(parts) = op else { return };
    let name = match parts.as_slice() {
        [name] => name,
        [schema, name] if schema.eq_ignore_ascii_case("pg_catalog") => name,
        _ => return,
    };
    *op = match name.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "^" => BinaryOperator::PGExp,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "&" => BinaryOperator::BitwiseAnd,
        "|" => BinaryOperator::BitwiseOr,
        "#" => BinaryOperator::PGBitwiseXor,
        "<<" => BinaryOperator::PGBitwiseShiftLeft,
        ">>" => BinaryOperator::PGBitwiseShiftRight,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "->" => BinaryOperator::Arrow,
        "->>" => BinaryOperator::LongArrow,
        _ => return,
    };
}

/// Whether LIKE is about ALL of an array, and the array; the parser reads `ALL (…)` as a call.
fn quantifier(any: bool, pattern: &Expr) -> Option<(bool, Expr)> {
    if any {
        return Some((false, pattern.clone()));
    }
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = pattern else { return None };
    let [name] = name.0.as_slice() else { return None };
    let name = name.as_ident().filter(|name| name.quote_style.is_none()).map(fold)?;
    let all = match name.as_str() {
        "all" => true,
        "any" | "some" => false,
        _ => return None,
    };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] => Some((all, array.clone())),
        _ => None,
    }
}

fn quantified_call(op: &BinaryOperator, all: bool, left: &Expr, right: &Expr) -> Result<Expr> {
    let Some(name) = quantified::name(op, all) else {
        return Err(Error::unsupported(format!("operator {op} with ANY or ALL is not supported")));
    };
    Ok(call(name, vec![left.clone(), right.clone()]))
}

/// Names have no case unless quoted; a collation's is what it is called in `pg_collation`.
fn check_collation(collation: &ObjectName, text: &str) -> Result<()> {
    let parts: Vec<&Ident> = collation.0.iter().filter_map(|part| part.as_ident()).collect();
    let name = match parts.as_slice() {
        [name] => Some(fold(name)),
        [schema, name] if fold(schema) == "pg_catalog" => Some(fold(name)),
        _ => None,
    };
    if name.is_some_and(|name| COLLATIONS.contains(&name.as_str())) {
        return Ok(());
    }
    let shown: Vec<String> = parts.iter().map(|part| fold(part)).collect();
    let message = format!("collation \"{}\" for encoding \"UTF8\" does not exist", shown.join("."));
    let error = Error::new(SqlState::UNDEFINED_OBJECT, message);
    Err(match parts.first().map(|part| part.span.start) {
        Some(start) if start.line > 0 => error.position(position(text, start)),
        _ => error,
    })
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn joined(parts: impl IntoIterator<Item = Expr>, op: &BinaryOperator) -> Option<Expr> {
    parts.into_iter().reduce(|left, right| binary(left, op.clone(), right)).map(|all| Expr::Nested(Box::new(all)))
}

/// PostgreSQL 15, 9.24.5 "Row Constructor Comparison".
fn compare_rows(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Expr> {
    if left.len() != right.len() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "unequal number of entries in row expressions"));
    }
    let pairs = || left.iter().cloned().zip(right.iter().cloned());
    let compared = match op {
        BinaryOperator::Eq => joined(pairs().map(|(l, r)| binary(l, BinaryOperator::Eq, r)), &BinaryOperator::And),
        BinaryOperator::NotEq => joined(pairs().map(|(l, r)| binary(l, BinaryOperator::NotEq, r)), &BinaryOperator::Or),
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
            let strict = match op {
                BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
                _ => BinaryOperator::Gt,
            };
            // the last pair decides whether equal rows compare
            pairs().rev().fold(None, |rest, (l, r)| {
                Some(Expr::Nested(Box::new(match rest {
                    None => binary(l, op.clone(), r),
                    Some(rest) => binary(
                        binary(l.clone(), strict.clone(), r.clone()),
                        BinaryOperator::Or,
                        Expr::Nested(Box::new(binary(binary(l, BinaryOperator::Eq, r), BinaryOperator::And, rest))),
                    ),
                })))
            })
        }
        _ => return Err(Error::unsupported(format!("operator {op} cannot compare rows"))),
    };
    compared.ok_or_else(|| Error::unsupported("cannot compare rows of zero length"))
}

fn row_in_list(row: &[Expr], list: &[Vec<Expr>], negated: bool) -> Result<Expr> {
    let equal = list.iter().map(|item| compare_rows(row, &BinaryOperator::Eq, item)).collect::<Result<Vec<_>>>()?;
    let any = joined(equal, &BinaryOperator::Or).ok_or_else(|| Error::internal("an empty IN list"))?;
    Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) } } else { any })
}

/// `(a, b) IN (SELECT …)` is `EXISTS (SELECT 1 FROM (SELECT …) AS s (c1, c2) WHERE s.c1 = a AND s.c2 = b)`.
fn row_in_subquery(row: &[Expr], subquery: &Query, negated: bool) -> Expr {
    let relation = Ident::with_quote('"', format!("row{}", aliases::MARK));
    let column = |number: usize| format!("c{}{number}", aliases::MARK);
    let equal = row.iter().enumerate().map(|(number, value)| {
        let column = Expr::CompoundIdentifier(vec![relation.clone(), Ident::with_quote('"', column(number))]);
        binary(column, BinaryOperator::Eq, value.clone())
    });
    let columns = (0..row.len())
        .map(|number| TableAliasColumnDef { name: Ident::with_quote('"', column(number)), data_type: None });
    let select = Select {
        projection: vec![SelectItem::UnnamedExpr(Expr::value(Value::Number("1".to_owned(), true)))],
        selection: joined(equal, &BinaryOperator::And),
        ..all_of(TableFactor::Derived {
            lateral: false,
            subquery: Box::new(subquery.clone()),
            alias: Some(TableAlias { explicit: true, name: relation.clone(), columns: columns.collect(), at: None }),
            sample: None,
        })
    };
    Expr::Exists { subquery: Box::new(query_of(SetExpr::Select(Box::new(select)))), negated }
}

/// `ARRAY(SELECT …)`.
fn array_of_subquery(function: &mut Function) {
    let [name] = function.name.0.as_slice() else { return };
    let is_array = name.as_ident().is_some_and(|name| name.quote_style.is_none() && fold(name) == "array");
    if let FunctionArguments::Subquery(query) = &function.args
        && is_array
        && let Expr::Function(made) = call(ARRAY_OF_SUBQUERY, vec![Expr::Subquery(query.clone())])
    {
        *function = made;
    }
}

/// `(x).a` goes by the name of the field, which the planner takes as a text.
fn field_by_name(access: &mut AccessExpr) {
    if let AccessExpr::Dot(field) = access
        && let Expr::Identifier(name) = field
    {
        *field = Expr::value(Value::SingleQuotedString(fold(name)));
    }
}

/// A slice without a lower bound begins with the first element, and one without an upper bound has no end.
fn complete_slice(access: &mut AccessExpr) {
    let number = |digits: &str| Expr::value(Value::Number(digits.to_owned(), true));
    if let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) = access {
        lower_bound.get_or_insert_with(|| number("1"));
        upper_bound.get_or_insert_with(|| number(SUBSCRIPT_MAX));
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::super::rewrite_expression;
    use super::*;

    fn said(sql: &str) -> String {
        let mut expr = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).unwrap().parse_expr().unwrap();
        match rewrite_expression(&mut expr, sql) {
            Ok(()) => expr.to_string().replace(aliases::MARK, "#"),
            Err(error) => format!("{} {} {:?}", error.sqlstate().code(), error.message(), error.report().position),
        }
    }

    #[test]
    fn expressions_are_said_in_the_planners_words() {
        for (sql, expected) in [
            ("1", "1::INT4"),
            ("-1", "-1::INT4"),
            ("3000000000", "3000000000"),
            ("12345678901234567890", "12345678901234567890::NUMERIC(20,0)"),
            ("1.5", "1.5"),
            ("x OPERATOR(pg_catalog.~) 'a'", "x ~ 'a'"),
            ("x COLLATE \"C\" < y", "(x) < y"),
            ("x COLLATE pg_catalog.default", "(x)"),
            ("(a, b) = (c, d)", "(a = c AND b = d)"),
            ("(a, b) < (c, d)", "(a < c OR (a = c AND (b < d)))"),
            ("(a, b) IN ((c, d), (e, f))", "((a = c AND b = d) OR (a = e AND b = f))"),
            ("a = ANY(b)", "\"any =\"(a, b)"),
            ("a <> ALL(b)", "\"all <>\"(a, b)"),
            ("a LIKE ANY(b)", "\"any ~~\"(a, (b))"),
            ("a = ANY(SELECT b)", "a = ANY(SELECT b)"),
            ("ARRAY[a, b]", "make_array(a, b)"),
            ("ARRAY(SELECT b)", "\"array of subquery\"((SELECT b))"),
            ("ROW(a, b) <> (c, d)", "(a <> c OR b <> d)"),
            ("(a, b)", "row(a, b)"),
            ("(f(x)).n", "(f(x)).'n'"),
            ("a[:x]", "a[1L:x]"),
            ("a[x:]", "a[x:2147483647L]"),
            ("a NOT LIKE ALL (b)", "\"all !~~\"(a, b)"),
            ("a SIMILAR TO 'b'", "(a ~ similar_to_escape('b'))"),
        ] {
            assert_eq!(said(sql), expected, "{sql}");
        }
        assert_eq!(
            said("x COLLATE \"de_DE\""),
            "42704 collation \"de_DE\" for encoding \"UTF8\" does not exist Some(11)"
        );
        assert_eq!(said("(a, b) = (1, 2, 3)"), "42601 unequal number of entries in row expressions None");
    }
}
