//! Where in its text a statement is wrong: the place of the name, the literal or the parameter that an error is about, as
//! `psql` and editors mark it.
//!
//! PostgreSQL 15, section 55.8 "Error and Notice Message Fields", field P. The engine tells no places, so the first token
//! that an error can be about is looked for once there is an error.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Word};

use super::parse::position;
use super::{PARSED_AT_ONCE_BYTES_MAX, limits};
use crate::access::tokens::tokens_up_to;
use crate::error::{Error, SqlState};

/// The error with its place, if it has none yet and names something that stands in `text`.
pub fn located(error: Error, text: &str) -> Error {
    let report = error.report();
    // a long text is read once alone, away from the threads that serve connections
    if report.position.is_some() || text.len() > PARSED_AT_ONCE_BYTES_MAX {
        return error;
    }
    let Some(wanted) = Wanted::of(report.sqlstate, &report.message) else { return error };
    let Ok(Some(tokens)) = tokens_up_to(limits::TOKENS_MAX, text) else { return error };
    let tokens: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    match wanted.find(&tokens) {
        Some(place) => error.position(position(text, place)),
        None => error,
    }
}

/// What an error is about.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A column, with the relation that it is asked of.
    Column(Vec<String>),
    Function(Vec<String>),
    Type(String),
    /// A literal with this value.
    Literal(String),
    /// `$1`.
    Parameter(String),
}

impl Wanted {
    fn of(sqlstate: SqlState, message: &str) -> Option<Self> {
        let names = |name: &str| name.replace('"', "").split('.').map(str::to_owned).collect::<Vec<_>>();
        Some(match sqlstate {
            SqlState::UNDEFINED_COLUMN => {
                Self::Column(names(message.strip_prefix("column ")?.strip_suffix(" does not exist")?))
            }
            SqlState::AMBIGUOUS_COLUMN | SqlState::GROUPING_ERROR => Self::Column(names(quoted(message)?)),
            SqlState::UNDEFINED_FUNCTION => {
                Self::Function(names(message.strip_prefix("function ")?.split_once('(')?.0))
            }
            SqlState::UNDEFINED_OBJECT => Self::Type(message.strip_prefix("type \"")?.split('"').next()?.to_owned()),
            SqlState::INDETERMINATE_DATATYPE => {
                Self::Parameter(message.split(' ').find(|word| word.starts_with('$'))?.to_owned())
            }
            SqlState::INVALID_TEXT_REPRESENTATION
            | SqlState::INVALID_DATETIME_FORMAT
            | SqlState::DATETIME_FIELD_OVERFLOW
            | SqlState::NUMERIC_VALUE_OUT_OF_RANGE => Self::Literal(quoted(message)?.to_owned()),
            _ => return None,
        })
    }

    fn find(&self, tokens: &[TokenWithSpan]) -> Option<Location> {
        let place = |at: usize| tokens.get(at).map(|token| token.span.start);
        let is =
            |at: Option<usize>, wanted: &Token| at.and_then(|at| tokens.get(at)).is_some_and(|t| t.token == *wanted);
        match self {
            Self::Literal(value) => place(tokens.iter().position(|token| text_of(&token.token) == Some(value))?),
            Self::Parameter(name) => {
                place(tokens.iter().position(|token| matches!(&token.token, Token::Placeholder(p) if p == name))?)
            }
            Self::Type(name) => {
                let named = |at: &usize| is_named(tokens, *at, name) && is(at.checked_sub(1), &Token::DoubleColon);
                let cast =
                    |at: &usize| is_named(tokens, *at, name) && is_keyword(tokens, at.checked_sub(1), Keyword::AS);
                place((0..tokens.len()).find(named).or_else(|| (0..tokens.len()).find(cast))?)
            }
            Self::Function(parts) => {
                let called = |at: &usize| {
                    let end = at + 2 * parts.len() - 1;
                    is_chain(tokens, *at, parts) && is(Some(end), &Token::LParen)
                };
                // it may be written with its schema, which the error leaves out
                let at = (0..tokens.len()).find(called)?;
                place(if is(at.checked_sub(1), &Token::Period) { at.saturating_sub(2) } else { at })
            }
            Self::Column(parts) => {
                let asked = |parts: &[String], at: usize| {
                    let end = at + 2 * parts.len() - 1;
                    is_chain(tokens, at, parts)
                        && ![&Token::LParen, &Token::Period].into_iter().any(|token| is(Some(end), token))
                        && !is(at.checked_sub(1), &Token::Period)
                        && !is_keyword(tokens, at.checked_sub(1), Keyword::AS)
                };
                let whole = (0..tokens.len()).find(|at| asked(parts, *at));
                // in an error about grouping a column has its relation, wherever it is written without
                let last = parts.len().checked_sub(1).and_then(|last| parts.get(last..))?;
                place(whole.or_else(|| (0..tokens.len()).find(|at| asked(last, *at)))?)
            }
        }
    }
}

/// The last text in quotes.
fn quoted(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once('"')?;
    rest.rsplit_once('"').map(|(quoted, _)| quoted)
}

fn text_of(token: &Token) -> Option<&String> {
    match token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::NationalStringLiteral(text) => {
            Some(text)
        }
        _ => None,
    }
}

/// Whether the names stand from `at` on, with points between.
fn is_chain(tokens: &[TokenWithSpan], at: usize, names: &[String]) -> bool {
    names.iter().enumerate().all(|(number, name)| {
        let at = at + 2 * number;
        is_named(tokens, at, name)
            && (number == 0 || tokens.get(at - 1).is_some_and(|token| token.token == Token::Period))
    })
}

fn is_named(tokens: &[TokenWithSpan], at: usize, name: &str) -> bool {
    let Some(Token::Word(Word { value, quote_style, .. })) = tokens.get(at).map(|token| &token.token) else {
        return false;
    };
    if quote_style.is_some() { value == name } else { value.to_lowercase() == name }
}

fn is_keyword(tokens: &[TokenWithSpan], at: Option<usize>, wanted: Keyword) -> bool {
    let token = at.and_then(|at| tokens.get(at)).map(|token| &token.token);
    matches!(token, Some(Token::Word(word)) if word.keyword == wanted && word.quote_style.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sqlstate: SqlState, message: &str, text: &str) -> Option<usize> {
        located(Error::new(sqlstate, message.to_owned()), text).report().position
    }

    #[test]
    fn what_an_error_is_about_is_found() {
        let column = |message: &str, text: &str| place(SqlState::UNDEFINED_COLUMN, message, text);
        assert_eq!(column("column \"x\" does not exist", "select 1 as x, x from t"), Some(16));
        assert_eq!(column("column \"x\" does not exist", "select x(1), t.x, -X from t"), Some(20));
        assert_eq!(column("column t.x does not exist", "select ü, T . x from t"), Some(11));
        assert_eq!(column("column \"y\" does not exist", "select 1"), None);
        let function = |message: &str, text: &str| place(SqlState::UNDEFINED_FUNCTION, message, text);
        assert_eq!(function("function f(integer) does not exist", "select f, f(1)"), Some(11));
        assert_eq!(function("function f() does not exist", "select s.f()"), Some(8));
        assert_eq!(function("function s.f() does not exist", "select s.f()"), Some(8));
        assert_eq!(function("operator does not exist: a + b", "select a + b"), None);
        let literal = |message: &str, text: &str| place(SqlState::INVALID_TEXT_REPRESENTATION, message, text);
        assert_eq!(literal("invalid input syntax for type integer: \"a \"b\"\"", "select\n'a \"b\"'::int"), Some(8));
        assert_eq!(
            place(SqlState::GROUPING_ERROR, "column \"o.day\" must appear in the GROUP BY clause", "select day from o"),
            Some(8)
        );
        assert_eq!(place(SqlState::UNDEFINED_OBJECT, "type \"x\" does not exist", "select x, 1::x"), Some(14));
        let parameter = "could not determine data type of parameter $2";
        assert_eq!(place(SqlState::INDETERMINATE_DATATYPE, parameter, "select $1, $2"), Some(12));
    }

    #[test]
    fn a_place_that_is_known_stays() {
        let error = Error::new(SqlState::UNDEFINED_COLUMN, "column \"x\" does not exist").position(3);
        assert_eq!(located(error, "select x").report().position, Some(3));
    }
}
