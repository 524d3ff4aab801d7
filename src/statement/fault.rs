//! What the engine's errors mean to a client: DataFusion's and Arrow's error types as PostgreSQL's SQLSTATEs.
//!
//! Only what the engine says about the statement itself passes; anything that speaks of files or of the engine's own
//! state becomes an internal error with an id.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use super::functions::call::no_such_function;
use super::shapes::positions::{Clause, not_listed};
use crate::access::missing_file;
use crate::engine::share::BEYOND_SHARE;
use crate::error::{Error, SqlState};

/// Translates an engine error. Errors of our own that travelled through the engine come out as they went in.
pub fn from_engine(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(engine) => from_engine(*engine),
                Err(other) => {
                    let other = DataFusionError::External(other);
                    missing_file(&other).unwrap_or_else(|| Error::internal(other))
                }
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_engine(*inner),
        DataFusionError::Shared(shared) => from_shared(&shared),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => from_engine(errors.swap_remove(0)),
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::SchemaError(inner, _) => from_schema(&inner),
        DataFusionError::SQL(inner, _) => Error::new(SqlState::SYNTAX_ERROR, "syntax error").detail(inner.to_string()),
        DataFusionError::NotImplemented(message) => Error::unsupported(lower_first(&message)),
        DataFusionError::ResourcesExhausted(message) => {
            tracing::warn!(cause = %message, "a statement ran out of memory or spill space");
            if message.contains(BEYOND_SHARE) {
                Error::new(SqlState::OUT_OF_MEMORY, "the statement needs more memory than one user may hold")
                    .hint("Read less at a time, or run fewer statements at once.")
            } else if message.contains("disk") || message.contains("temp") {
                no_spill_space()
            } else {
                Error::new(SqlState::OUT_OF_MEMORY, "the statement needs more memory than is left")
                    .hint("Read less at a time, or ask for a higher memory limit.")
            }
        }
        DataFusionError::IoError(inner) if spill_error(&inner).is_some() => {
            spill_error(&inner).unwrap_or_else(no_spill_space)
        }
        DataFusionError::Plan(message) => from_plan(&message),
        DataFusionError::Execution(message) => from_execution(&message),
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            if let Some(missing) = missing_file(&error) {
                return missing;
            }
            let own = Error::internal(&error);
            Error::new(SqlState::IO_ERROR, "could not read from the store").detail(own.message().to_owned())
        }
        DataFusionError::ParquetError(ref inner) => from_parquet(&error, &inner.to_string()),
        other => Error::internal(other),
    }
}

/// A shared error is looked at in place: it cannot be taken apart.
fn from_shared(error: &DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::External(inner) => {
            inner.downcast_ref::<Error>().cloned().unwrap_or_else(|| Error::internal(inner))
        }
        DataFusionError::ArrowError(inner, _) => arrow_by_text(inner),
        DataFusionError::IoError(inner) => spill_error(inner).unwrap_or_else(|| Error::internal(error)),
        DataFusionError::SchemaError(inner, _) => from_schema(inner),
        DataFusionError::NotImplemented(message) => Error::unsupported(lower_first(message)),
        DataFusionError::ResourcesExhausted(message) => {
            from_engine(DataFusionError::ResourcesExhausted(message.clone()))
        }
        DataFusionError::Plan(message) => from_plan(message),
        DataFusionError::Execution(message) => from_execution(message),
        DataFusionError::ParquetError(inner) => from_parquet(error, &inner.to_string()),
        other => Error::internal(other),
    }
}

fn from_parquet(error: &DataFusionError, text: &str) -> Error {
    from_reader(text).or_else(|| missing_file(error)).unwrap_or_else(|| {
        let own = Error::internal(error);
        Error::new(SqlState::DATA_CORRUPTED, "could not read a data file").detail(own.message().to_owned())
    })
}

/// Predicates over a whole table are evaluated while its files are read, and when one fails, its error comes as text:
/// DataFusion's `row_filter` writes the cause in its `Debug` form.
fn from_reader(text: &str) -> Option<Error> {
    let (_, cause) = text.split_once("Error evaluating filter predicate: ")?;
    if let Some(own) = own_by_text(cause) {
        return Some(own);
    }
    if cause.contains("(DivideByZero") {
        return Some(arrow_by_text(&ArrowError::DivideByZero));
    }
    let (variant, message) = cause.split_once("(\"")?;
    let variant = variant.rsplit(|c: char| !c.is_alphanumeric()).next()?;
    let message = unquoted(message);
    Some(match variant {
        "CastError" | "ParseError" => from_cast(&message),
        "ArithmeticOverflow" => arrow_by_text(&ArrowError::ArithmeticOverflow(message)),
        "ComputeError" | "InvalidArgumentError" | "Execution" => from_execution(&message),
        _ => return None,
    })
}

/// An error of our own functions, from the `Debug` form of its report.
fn own_by_text(cause: &str) -> Option<Error> {
    let (_, report) = cause.split_once("sqlstate: ")?;
    let sqlstate = SqlState::of_data(report.get(..5)?)?;
    let quoted = |field: &str| {
        let (_, rest) = report.split_once(&format!("{field}: "))?;
        let rest = rest.strip_prefix("Some(").unwrap_or(rest);
        rest.strip_prefix('"').map(unquoted)
    };
    let mut error = Error::new(sqlstate, quoted("message")?);
    if let Some(detail) = quoted(", detail") {
        error = error.detail(detail);
    }
    Some(match quoted(", hint") {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// The text up to its closing quote, in Rust's `Debug` form.
fn unquoted(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(engine) => from_engine(*engine),
            Err(other) => match other.downcast::<Error>() {
                Ok(own) => *own,
                Err(other) => Error::internal(other),
            },
        },
        other => arrow_by_text(&other),
    }
}

fn no_spill_space() -> Error {
    Error::new(SqlState::DISK_FULL, "the statement needs more spill space than is left")
        .hint("Read less at a time, or ask for a higher memory limit.")
}

/// Spill files say that there is no room by an I/O error: ours, the disk manager's or the operating system's.
fn spill_error(error: &std::io::Error) -> Option<Error> {
    if let Some(own) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return Some(own.clone());
    }
    let is_full = error.kind() == std::io::ErrorKind::StorageFull
        || error.to_string().contains("used disk space during the spilling process");
    is_full.then(no_spill_space)
}

fn arrow_by_text(error: &ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, inner) if let Some(full) = spill_error(inner) => full,
        ArrowError::DivideByZero => Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(message) => {
            Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range").detail(message.clone())
        }
        ArrowError::CastError(message) | ArrowError::ParseError(message) => from_cast(message),
        ArrowError::NotYetImplemented(message) => Error::unsupported(lower_first(message)),
        ArrowError::ComputeError(message) | ArrowError::InvalidArgumentError(message) => from_execution(message),
        ArrowError::ParquetError(message) => from_reader(message).unwrap_or_else(|| Error::internal(error)),
        other => Error::internal(other),
    }
}

/// A value that does not become what it is cast to. arrow says `Cannot cast string 'x' to value of Date32 type`, `Error
/// parsing timestamp from 'x': …` and `Can't cast value 3000000000 to type Int32`.
fn from_cast(message: &str) -> Error {
    let lower = message.to_ascii_lowercase();
    let quoted = message.split_once('\'').and_then(|(_, rest)| rest.split_once('\''));
    let target = match quoted {
        Some((_, rest)) if lower.starts_with("cannot cast string") => {
            rest.trim_start_matches(" to value of ").split(' ').next().and_then(type_name)
        }
        Some(_) if lower.starts_with("error parsing timestamp") => Some("timestamp"),
        _ => None,
    };
    if let (Some((value, _)), Some(target)) = (quoted, target) {
        let is_time = matches!(target, "date" | "time" | "timestamp");
        // digits and marks alone are the right form with a wrong value: February the 30th
        let in_form = value.len() >= 8 && value.chars().all(|c| c.is_ascii_digit() || "-:. +".contains(c));
        return match (is_time, in_form) {
            (true, true) => Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("date/time field value out of range: \"{value}\""),
            ),
            (true, false) => invalid_input(SqlState::INVALID_DATETIME_FORMAT, target, value),
            (false, _) => invalid_input(SqlState::INVALID_TEXT_REPRESENTATION, target, value),
        };
    }
    let sqlstate =
        if lower.contains("overflow") || lower.contains("out of range") || lower.starts_with("can't cast value") {
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE
        } else {
            SqlState::INVALID_TEXT_REPRESENTATION
        };
    Error::new(sqlstate, lower_first(message))
}

fn invalid_input(sqlstate: SqlState, target: &str, value: &str) -> Error {
    Error::new(sqlstate, format!("invalid input syntax for type {target}: \"{value}\""))
}

/// PostgreSQL's name of an arrow type, as far as strings are cast to it.
fn type_name(arrow: &str) -> Option<&'static str> {
    Some(match arrow.split('(').next().unwrap_or_default() {
        "Int8" | "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Boolean" => "boolean",
        "Decimal128" | "Decimal256" => "numeric",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => "time",
        "Timestamp" => "timestamp",
        _ => return None,
    })
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::AmbiguousReference { field } => {
            Error::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::FieldNotFound { field, .. } => {
            let message = match &field.relation {
                Some(relation) => format!("column {}.{} does not exist", relation.table(), field.name),
                None => format!("column \"{}\" does not exist", field.name),
            };
            Error::new(SqlState::UNDEFINED_COLUMN, message)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(SqlState::DUPLICATE_ALIAS, format!("column name \"{name}\" is used more than once"))
                .hint("Give each column a name of its own with AS.")
        }
    }
}

/// Planning errors come as text; the ones that clients act on are told apart by DataFusion's fixed phrases.
fn from_plan(message: &str) -> Error {
    let first = message.lines().next().unwrap_or_default();
    // the last check of a physical plan found a mistake of the planner's
    if first.starts_with("plan: [") {
        return Error::internal(message);
    }
    if let Some(rest) = first.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        return Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist"));
    }
    if let Some((_, rest)) =
        first.split_once("must appear in the GROUP BY").and_then(|(before, _)| before.split_once('"'))
        && let Some((column, _)) = rest.rsplit_once('"')
    {
        return ungrouped(column);
    }
    if let Some((_, rest)) = first.split_once("No function matches the given name and argument types '")
        && let Some(error) = rest.split_once('\'').and_then(|(call, _)| undefined_function(call))
    {
        return error;
    }
    if let Some((_, rest)) = first.split_once("Function '")
        && let Some((name, _)) = rest.split_once("' failed to match any signature")
    {
        return Error::new(
            SqlState::UNDEFINED_FUNCTION,
            format!("function {name} does not take arguments of these types"),
        )
        .hint("You might need to add explicit type casts.");
    }
    if let Some(error) = unlisted(first) {
        return error;
    }
    let sqlstate = if first.contains("No function matches") || first.contains("does not support zero arguments") {
        SqlState::UNDEFINED_FUNCTION
    } else if first.contains("must appear in the GROUP BY")
        || first.contains("must be in the GROUP BY")
        || first.contains("in the SELECT clause")
    {
        SqlState::GROUPING_ERROR
    } else if first.contains("coerce")
        || first.contains("Cannot infer common argument type")
        || first.contains("Cannot get result type")
    {
        SqlState::UNDEFINED_FUNCTION
    } else if ["require unique expression names", "duplicate", "not unique"].iter().any(|t| first.contains(t)) {
        SqlState::DUPLICATE_ALIAS
    } else if first.contains("laceholder") {
        SqlState::INDETERMINATE_DATATYPE
    } else {
        SqlState::SYNTAX_ERROR
    };
    Error::new(sqlstate, lower_first(first))
}

/// What GROUP BY, ORDER BY or DISTINCT ON say of a SELECT list that does not have it.
fn unlisted(message: &str) -> Option<Error> {
    let number = |rest: &str| rest.split([' ', ',']).next().and_then(|number| number.parse().ok());
    if let Some(rest) = message.strip_prefix("Cannot find column with position ") {
        return Some(not_listed(Clause::GroupBy, number(rest)?));
    }
    if let Some(rest) = message.strip_prefix("Order by column out of bounds, specified: ") {
        return Some(not_listed(Clause::OrderBy, number(rest)?));
    }
    let message = if message.starts_with("For SELECT DISTINCT, ORDER BY expressions ") {
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list"
    } else if message.starts_with("SELECT DISTINCT ON expressions must match") {
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions"
    } else {
        return None;
    };
    Some(Error::new(SqlState::INVALID_COLUMN_REFERENCE, message))
}

/// A column beside an aggregate, as the engine names it: with all the names that its relation has.
fn ungrouped(column: &str) -> Error {
    let mut names = column.rsplit('.');
    let column = match (names.next(), names.next()) {
        (Some(name), Some(relation)) => format!("{relation}.{name}"),
        _ => column.to_owned(),
    };
    let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
    Error::new(SqlState::GROUPING_ERROR, message)
}

/// `name(Utf8, Int64)` in PostgreSQL's types; `None` where it says more than the types of columns.
fn undefined_function(call: &str) -> Option<Error> {
    let (name, types) = call.strip_suffix(')')?.split_once('(')?;
    let types = types.split(", ").filter(|written| !written.is_empty());
    let types = types.map(|written| written.parse::<DataType>().ok()).collect::<Option<Vec<_>>>()?;
    let fields: Vec<FieldRef> = types.into_iter().map(|data_type| Arc::new(Field::new("", data_type, true))).collect();
    Some(from_engine(no_such_function(name, &fields)))
}

fn from_execution(message: &str) -> Error {
    if let Some(error) = from_reader(message) {
        return error;
    }
    let lower = message.to_ascii_lowercase();
    if lower.contains("regex") {
        return Error::new(SqlState::INVALID_REGULAR_EXPRESSION, "invalid regular expression")
            .detail(message.lines().last().unwrap_or_default().to_owned());
    }
    let sqlstate = if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Error::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    } else if lower.contains("overflow") || lower.contains("out of range") {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else if lower.contains("more than one row") {
        return Error::new(
            SqlState::CARDINALITY_VIOLATION,
            "more than one row returned by a subquery used as an expression",
        );
    } else if lower.contains("timestamp") || lower.contains("date") {
        SqlState::INVALID_DATETIME_FORMAT
    } else {
        SqlState::DATA_EXCEPTION
    };
    Error::new(sqlstate, lower_first(message.lines().next().unwrap_or_default()))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_errors_survive_a_reader_that_keeps_their_text_alone() {
        let own = Error::new(SqlState::DIVISION_BY_ZERO, "division by \"zero\"").detail("d").hint("h");
        let cause = DataFusionError::External(Box::new(own.clone()));
        let text = format!("Parquet error: Error evaluating filter predicate: {cause:?}");
        assert_eq!(from_reader(&text), Some(own));
    }

    #[test]
    fn own_errors_survive_the_engine() {
        let own = Error::new(SqlState::UNDEFINED_TABLE, "relation \"x\" does not exist").hint("h");
        let wrapped =
            DataFusionError::Context("a".to_owned(), Box::new(DataFusionError::External(Box::new(own.clone()))));
        assert_eq!(from_engine(wrapped), own);
        let shared = DataFusionError::Shared(std::sync::Arc::new(DataFusionError::External(Box::new(own.clone()))));
        assert_eq!(from_engine(shared), own);
    }

    #[test]
    fn arithmetic_has_postgres_codes() {
        let code = |e: ArrowError| from_engine(DataFusionError::ArrowError(Box::new(e), None)).sqlstate();
        assert_eq!(code(ArrowError::DivideByZero), SqlState::DIVISION_BY_ZERO);
        assert_eq!(code(ArrowError::ArithmeticOverflow("x".to_owned())), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(
            code(ArrowError::CastError("Cannot cast string 'a'".to_owned())),
            SqlState::INVALID_TEXT_REPRESENTATION
        );
    }

    /// The words are those of `{:?}`, as DataFusion's `row_filter` writes them.
    #[test]
    fn predicates_that_fail_while_files_are_read_say_so() {
        let said = |cause: ArrowError| {
            let cause = DataFusionError::ArrowError(Box::new(cause), None);
            let text = format!("Compute error: Error evaluating filter predicate: {cause:?}");
            let parquet = || datafusion::parquet::errors::ParquetError::ArrowError(text.clone());
            let said = |error: &Error| format!("{} {}", error.sqlstate().code(), error.message());
            let direct = said(&from_engine(DataFusionError::ParquetError(Box::new(parquet()))));
            let shared =
                DataFusionError::Shared(std::sync::Arc::new(DataFusionError::ParquetError(Box::new(parquet()))));
            assert_eq!(said(&from_engine(shared)), direct);
            direct
        };
        assert_eq!(said(ArrowError::DivideByZero), "22012 division by zero");
        let cast = ArrowError::CastError("Cannot cast string 'a \"b\"' to value of Int64 type".to_owned());
        assert_eq!(said(cast), "22P02 invalid input syntax for type bigint: \"a \"b\"\"");
        assert_eq!(said(ArrowError::ArithmeticOverflow("x".to_owned())), "22003 value out of range");
        assert!(said(ArrowError::MemoryError("x".to_owned())).starts_with("XX001 "));
    }

    #[test]
    fn a_plan_that_does_not_fit_together_is_not_the_statements_fault() {
        let error = from_plan("plan: [\"SortPreservingMergeExec: [a]\"]\ndoes not satisfy order requirements");
        assert_eq!(error.sqlstate(), SqlState::INTERNAL_ERROR);
        assert!(!error.message().contains("Exec"));
    }

    #[test]
    fn casts_are_refused_in_postgres_words() {
        let error = |text: &str| {
            let error =
                from_engine(DataFusionError::ArrowError(Box::new(ArrowError::CastError(text.to_owned())), None));
            format!("{} {}", error.sqlstate().code(), error.message())
        };
        for (arrow, postgres) in [
            ("Cannot cast string 'x' to value of Int32 type", "22P02 invalid input syntax for type integer: \"x\""),
            ("Cannot cast string 'x' to value of Date32 type", "22007 invalid input syntax for type date: \"x\""),
            (
                "Cannot cast string '2026-02-30' to value of Date32 type",
                "22008 date/time field value out of range: \"2026-02-30\"",
            ),
            ("Error parsing timestamp from 'x': too short", "22007 invalid input syntax for type timestamp: \"x\""),
            ("Can't cast value 3000000000 to type Int32", "22003 can't cast value 3000000000 to type Int32"),
            ("Cannot cast string 'a", "22P02 cannot cast string 'a"),
        ] {
            assert_eq!(error(arrow), postgres);
        }
    }

    #[test]
    fn spill_files_that_are_full_say_so() {
        use std::io;
        let code = |inner: io::Error| from_engine(ArrowError::IoError(inner.to_string(), inner).into()).sqlstate();
        let own = Error::new(SqlState::DISK_FULL, "no more");
        assert_eq!(code(io::Error::other(own.clone())), SqlState::DISK_FULL);
        assert_eq!(code(io::Error::from(io::ErrorKind::StorageFull)), SqlState::DISK_FULL);
        assert_eq!(code(io::Error::other("broken")), SqlState::INTERNAL_ERROR);
        assert_eq!(from_engine(DataFusionError::IoError(io::Error::other(own.clone()))), own);
        let shared = DataFusionError::Shared(std::sync::Arc::new(DataFusionError::IoError(io::Error::other(own))));
        assert_eq!(from_engine(shared).sqlstate(), SqlState::DISK_FULL);
        let beyond = from_engine(DataFusionError::ResourcesExhausted(format!("1 byte is {BEYOND_SHARE}: temp disk")));
        assert_eq!(beyond.sqlstate(), SqlState::OUT_OF_MEMORY);
    }

    #[test]
    fn store_errors_do_not_name_files() {
        let error = from_engine(DataFusionError::IoError(std::io::Error::other("/secret/path")));
        assert_eq!(error.sqlstate(), SqlState::IO_ERROR);
        assert!(!format!("{error:?}").contains("secret"));
    }
}
