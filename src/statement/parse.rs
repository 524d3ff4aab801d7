//! From text to statements: PostgreSQL's grammar as sqlparser knows it, with the place of every syntax error. What
//! sqlparser reads otherwise than PostgreSQL, or not at all, is read here.
//!
//! Knows nothing about tables, principals or plans.

pub mod copy;
pub mod cursors;
pub mod privileges;
mod reader;
mod settings;

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::classify::{Command, SessionCommand, classify, classify_copy, classify_declare};
use copy::Copy;
use cursors::{DeclareCursor, FetchCursor};
use privileges::Privileges;
use reader::is;

use super::{as_of, limits};
use crate::access::tokens::tokens_up_to;
use crate::error::{Error, Result, SqlState};

/// How deeply parentheses and subqueries may nest: the parser's own count. Chains of operators are counted by `limits`.
pub(super) const RECURSION_DEPTH_MAX: usize = 200;
/// What operators are made of (PostgreSQL 15, 4.1.3 "Operators").
const OPERATOR_CHARACTERS: &str = "+-*/<>=~!@#%^&|`?";
/// How many statements one simple query may hold.
const STATEMENTS_PER_QUERY_MAX: usize = 1_000;

/// One statement, understood but not yet bound to anything.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The whole text that the client sent; positions in errors count in it.
    pub text: Arc<str>,
    pub command: Command,
}

/// Splits and parses a query string. An empty string yields no statement.
///
/// # Errors
/// `42601` with the position, `54001` for nesting too deep or too many tokens, `0A000` or `25006` for what pgmesh does not
/// run.
pub fn parse(text: impl Into<Arc<str>>) -> Result<Vec<Parsed>> {
    let shared: Arc<str> = text.into();
    let text = &*shared;
    let tokens = tokens_up_to(limits::TOKENS_MAX, text)
        .map_err(|e| syntax_error(&e.message, position(text, e.location)))?
        .ok_or_else(limits::too_many_tokens)?;
    limits::check_tokens(&tokens)?;
    let (mut tokens, clauses) = as_of::take(&tokens).map_err(|e| parser_error(e, text))?;
    trims_without_characters(&mut tokens);
    computed_fetches(&mut tokens);
    let mut parser =
        Parser::new(&PostgreSqlDialect {}).with_recursion_limit(RECURSION_DEPTH_MAX).with_tokens_with_locations(tokens);
    let mut statements = parse_all(&mut parser, text)?;
    clauses.put_into(statements.iter_mut().filter_map(Read::statement)).map_err(|misplaced| near(&misplaced, text))?;
    statements
        .into_iter()
        .map(|read| {
            let command = match read {
                Read::Statement(statement) => classify(*statement)?,
                Read::Privileges(privileges) => Command::Privileges(privileges),
                Read::Copy(copy) => classify_copy(copy)?,
                Read::Declare(declare) => classify_declare(declare)?,
                Read::Fetch(fetch) => Command::Session(SessionCommand::Fetch(fetch)),
                Read::Command(command) => *command,
            };
            Ok(Parsed { text: Arc::clone(&shared), command })
        })
        .collect()
}

/// `FETCH FIRST (…) ROWS ONLY` is `LIMIT (…)`: the parser knows a number there alone.
fn computed_fetches(tokens: &mut Vec<TokenWithSpan>) {
    let read: Vec<usize> = (0..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_))).collect();
    let mut dropped = BTreeSet::new();
    for (number, window) in read.windows(3).enumerate() {
        let [fetch, first, open] = window else { continue };
        let [fetch_word, first_word] = [*fetch, *first].map(|at| keyword(&tokens[at].token));
        if fetch_word != Keyword::FETCH
            || !matches!(first_word, Keyword::FIRST | Keyword::NEXT)
            || tokens[*open].token != Token::LParen
        {
            continue;
        }
        let mut depth = 0_usize;
        let close = read[number + 2..].iter().position(|at| {
            match tokens[*at].token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some([rows, only]) = close.and_then(|close| read.get(number + 3 + close..number + 5 + close)) else {
            continue;
        };
        let [rows_word, only_word] = [*rows, *only].map(|at| keyword(&tokens[at].token));
        if matches!(rows_word, Keyword::ROW | Keyword::ROWS) && only_word == Keyword::ONLY {
            tokens[*fetch].token = Token::make_keyword("LIMIT");
            dropped.extend([*first, *rows, *only]);
        }
    }
    if !dropped.is_empty() {
        let mut at = 0..;
        tokens.retain(|_| at.next().is_none_or(|at| !dropped.contains(&at)));
    }
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// `trim(leading from x)` is `trim(leading x)`, which the parser reads alone of the two.
fn trims_without_characters(tokens: &mut Vec<TokenWithSpan>) {
    // the last three tokens that are no blanks
    let mut before = [Keyword::NoKeyword; 3];
    let mut opened = [false; 3];
    tokens.retain(|token| {
        if matches!(token.token, Token::Whitespace(_)) {
            return true;
        }
        let this = keyword(&token.token);
        let trim_at = |place: usize| before[place] == Keyword::TRIM && opened[place + 1];
        let side = matches!(before[2], Keyword::BOTH | Keyword::LEADING | Keyword::TRAILING);
        let dropped = this == Keyword::FROM && ((side && trim_at(0)) || trim_at(1));
        if !dropped {
            before = [before[1], before[2], this];
            opened = [opened[1], opened[2], token.token == Token::LParen];
        }
        !dropped
    });
}

/// A statement as one of the grammars has it.
enum Read {
    Statement(Box<Statement>),
    Privileges(Privileges),
    Copy(Copy),
    Declare(DeclareCursor),
    Fetch(FetchCursor),
    Command(Box<Command>),
}

impl Read {
    fn statement(&mut self) -> Option<&mut Statement> {
        match self {
            Self::Statement(statement) => Some(statement),
            Self::Copy(copy) => copy.query.as_deref_mut(),
            Self::Declare(declare) => Some(&mut declare.query),
            Self::Privileges(_) | Self::Fetch(_) | Self::Command(_) => None,
        }
    }
}

fn parse_all(parser: &mut Parser<'_>, text: &str) -> Result<Vec<Read>> {
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if parser.peek_token().token == Token::EOF {
            return Ok(statements);
        }
        if statements.len() >= STATEMENTS_PER_QUERY_MAX {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("one query may hold {STATEMENTS_PER_QUERY_MAX} statements"),
            ));
        }
        let first = &parser.peek_token_ref().token;
        statements.push(if is(first, "grant") || is(first, "revoke") {
            Read::Privileges(privileges::parse(parser, text)?)
        } else if is(first, "copy") {
            Read::Copy(copy::parse(parser, text)?)
        } else if is(first, "declare") {
            Read::Declare(cursors::declare(parser, text)?)
        } else if is(first, "fetch") || is(first, "move") {
            Read::Fetch(cursors::fetch(parser, text)?)
        } else if ["set", "reset", "show", "begin", "start"].iter().any(|word| is(first, word)) {
            Read::Command(Box::new(settings::parse(parser, text)?))
        } else {
            Read::Statement(Box::new(statement(parser).map_err(|e| parser_error(e, text))?))
        });
        let next = parser.peek_token();
        if next.token != Token::SemiColon && next.token != Token::EOF {
            // these two want a BY, and what stands in its place is wrong
            let wants_by = matches!(keyword(&next.token), Keyword::GROUP | Keyword::ORDER);
            return Err(near(if wants_by { parser.peek_nth_token_ref(1) } else { &next }, text));
        }
    }
}

/// `ABORT` is PostgreSQL's other word for `ROLLBACK`, which the parser does not know, and `TABLE t` is a query, which it
/// knows inside of others alone.
fn statement(parser: &mut Parser<'_>) -> std::result::Result<Statement, ParserError> {
    if is(&parser.peek_token_ref().token, "table") {
        return parser.parse_query().map(Statement::Query);
    }
    if !is(&parser.peek_token_ref().token, "abort") {
        return parser.parse_statement();
    }
    parser.advance_token();
    parser.parse_rollback()
}

fn near(token: &TokenWithSpan, text: &str) -> Error {
    let position = position(text, token.span.start);
    if token.token == Token::EOF {
        return Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").position(text.chars().count() + 1);
    }
    Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", token.token)).position(position)
}

fn parser_error(error: ParserError, text: &str) -> Error {
    match error {
        ParserError::RecursionLimitExceeded => {
            Error::new(SqlState::STATEMENT_TOO_COMPLEX, "statement is nested too deeply")
                .hint(format!("Statements may nest {RECURSION_DEPTH_MAX} levels deep."))
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            let (fact, location) = split_location(&message);
            match location {
                Some(location) => {
                    let position = position(text, location);
                    let word = token_at(text, position);
                    if word.is_empty() {
                        syntax_error(fact, position)
                    } else {
                        Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{word}\""))
                            .detail(fact.to_owned())
                            .position(position)
                    }
                }
                None if fact.contains("found: EOF") => {
                    Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input")
                        .position(text.chars().count() + 1)
                }
                None => Error::new(SqlState::SYNTAX_ERROR, "syntax error").detail(fact.to_owned()),
            }
        }
    }
}

/// The characters of the token that begins at a position, as far as they tell it.
fn token_at(text: &str, position: usize) -> String {
    let rest = || text.chars().skip(position - 1);
    let of = |is: fn(char) -> bool| rest().take_while(|c| is(*c)).collect::<String>();
    match rest().next() {
        Some(first) if first.is_alphanumeric() || first == '_' => of(|c| c.is_alphanumeric() || c == '_'),
        Some(first) if OPERATOR_CHARACTERS.contains(first) => of(|c| OPERATOR_CHARACTERS.contains(c)),
        Some(quote @ ('\'' | '"')) => {
            std::iter::once(quote).chain(rest().skip(1).take_while(|c| *c != quote)).chain([quote]).collect()
        }
        Some(other) if !other.is_whitespace() => other.to_string(),
        _ => String::new(),
    }
}

fn syntax_error(fact: &str, position: usize) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, format!("syntax error: {}", lower_first(fact))).position(position)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// sqlparser appends the place to its messages: `… at Line: 1, Column: 16`.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let parsed = message.rsplit_once(" at Line: ").and_then(|(fact, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((fact, Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?)))
    });
    parsed.map_or((message, None), |(fact, location)| (fact, Some(location)))
}

/// Line and column as a position in characters from 1 (PostgreSQL's ErrorResponse field P).
pub fn position(text: &str, location: Location) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(usize::try_from(location.line.saturating_sub(1)).unwrap_or(0))
        .map(|line| line.chars().count())
        .sum();
    before + usize::try_from(location.column.max(1)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_statements_and_empty_ones() {
        assert_eq!(parse("").unwrap().len(), 0);
        assert_eq!(parse(" ; ;; ").unwrap().len(), 0);
        assert_eq!(parse("select 1; select ';' ; -- done\n").unwrap().len(), 2);
    }

    #[test]
    fn syntax_errors_have_postgres_text_and_position() {
        let error = parse("select 1\n  frm x y").unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::SYNTAX_ERROR);
        assert_eq!(error.report().position, Some(16), "{error:?}");
        let error = parse("selec 1").unwrap_err();
        assert_eq!(error.message(), "syntax error at or near \"selec\"");
        assert_eq!(error.report().position, Some(1));
        assert_eq!(parse("select 'abc").unwrap_err().sqlstate(), SqlState::SYNTAX_ERROR);
        assert_eq!(parse("abort; ABORT WORK; abort and chain").unwrap().len(), 3);
        assert!(parse("abort select 1").is_err());
        let error = parse("select (1").unwrap_err();
        assert_eq!(error.message(), "syntax error at end of input");
    }

    #[test]
    fn trim_takes_from_without_characters() {
        for sql in ["trim(leading from x)", "trim ( both from ' x' )", "trim(from x)", "trim(trailing 'b' from x)"] {
            assert_eq!(parse(format!("select {sql} from t")).unwrap().len(), 1, "{sql}");
        }
        assert!(parse("select f(leading from x)").is_err());
    }

    #[test]
    fn current_user_may_be_called() {
        assert_eq!(parse("select CURRENT_USER ( ), current_user, session_user()").unwrap().len(), 1);
        assert!(parse("select current_user(1)").is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert_eq!(parse(deep).unwrap_err().sqlstate(), SqlState::STATEMENT_TOO_COMPLEX);
        let many = "select 1;".repeat(STATEMENTS_PER_QUERY_MAX + 1);
        assert_eq!(parse(many).unwrap_err().sqlstate(), SqlState::STATEMENT_TOO_COMPLEX);
        let error = parse(",".repeat(limits::TOKENS_MAX + 1)).unwrap_err();
        assert_eq!(
            (error.sqlstate(), error.message()),
            (SqlState::STATEMENT_TOO_COMPLEX, "a query may have 200000 tokens")
        );
    }
}
