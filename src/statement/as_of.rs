//! `VERSION AS OF 3` and `TIMESTAMP AS OF '…'` behind a table's name, which PostgreSQL's grammar does not have.
//!
//! The clauses are taken out of the tokens, the rest is parsed as PostgreSQL, and each clause is put into the statement at
//! the name that it stood behind. Knows nothing of tables or versions.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Statement, TableFactor, TableVersion, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::parse::RECURSION_DEPTH_MAX;

/// How many tokens a clause's version or time may have.
const CLAUSE_TOKENS_MAX: usize = 100;

/// The clauses of a query string, each by the place of the name before it.
#[derive(Default)]
pub struct Clauses(BTreeMap<(u64, u64), Clause>);

struct Clause {
    version: TableVersion,
    /// Its first token.
    begin: TokenWithSpan,
}

/// Takes the clauses out of the tokens.
pub fn take(tokens: &[TokenWithSpan]) -> Result<(Vec<TokenWithSpan>, Clauses), ParserError> {
    let mut clauses = Clauses::default();
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // the last token that is no blank, when it may be a name
    let mut after_name: Option<(u64, u64)> = None;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let Some(name) = after_name
            && let Some((word, value)) = begins_clause(tokens, at)
        {
            let (version, end) = clause(word, tokens, value)?;
            clauses.0.insert(name, Clause { version, begin: token.clone() });
            at = end;
            after_name = None;
            continue;
        }
        match &token.token {
            Token::Whitespace(_) => {}
            Token::Word(_) => after_name = Some(place(token.span.start)),
            _ => after_name = None,
        }
        kept.push(token.clone());
        at += 1;
    }
    Ok((kept, clauses))
}

/// Whether `VERSION AS OF` or `TIMESTAMP AS OF` and a value stand here; the keyword, and where the value begins. `OF` may
/// be an alias too (`select version as of, …`), but then no value follows.
fn begins_clause(tokens: &[TokenWithSpan], at: usize) -> Option<(Keyword, usize)> {
    let keyword = |at: usize| match &tokens.get(at)?.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    };
    let word = keyword(at).filter(|word| matches!(word, Keyword::VERSION | Keyword::TIMESTAMP))?;
    let as_at = next(tokens, at).filter(|&at| keyword(at) == Some(Keyword::AS))?;
    let of_at = next(tokens, as_at).filter(|&at| keyword(at) == Some(Keyword::OF))?;
    let value = next(tokens, of_at)?;
    let after = next(tokens, value).and_then(|after| tokens.get(after)).map(|token| &token.token);
    let begins_value = match &tokens.get(value)?.token {
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Placeholder(_)
        | Token::Minus
        | Token::LParen => true,
        Token::Word(word) => {
            matches!(word.keyword, Keyword::CURRENT_TIMESTAMP | Keyword::CURRENT_DATE | Keyword::NULL)
                || matches!(after, Some(Token::LParen | Token::SingleQuotedString(_)))
        }
        _ => false,
    };
    begins_value.then_some((word, value))
}

/// The next token that is no blank.
fn next(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    (at + 1..tokens.len()).find(|&at| !matches!(tokens[at].token, Token::Whitespace(_)))
}

/// The clause whose value begins at `value`, and where what follows it begins.
fn clause(word: Keyword, tokens: &[TokenWithSpan], value: usize) -> Result<(TableVersion, usize), ParserError> {
    let end = tokens.len().min(value + CLAUSE_TOKENS_MAX);
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(RECURSION_DEPTH_MAX)
        .with_tokens_with_locations(tokens[value..end].to_vec());
    let expression = parser.parse_expr();
    let after = value + parser.index();
    if after >= end && end < tokens.len() {
        return Err(ParserError::RecursionLimitExceeded);
    }
    let expression = expression?;
    let version = match word {
        Keyword::VERSION => TableVersion::VersionAsOf(expression),
        _ => TableVersion::TimestampAsOf(expression),
    };
    Ok((version, after))
}

fn place(location: Location) -> (u64, u64) {
    (location.line, location.column)
}

impl Clauses {
    /// Puts each clause where it belongs. The first that stands behind something else than a table's name comes back.
    pub fn put_into<'s>(mut self, statements: impl Iterator<Item = &'s mut Statement>) -> Result<(), TokenWithSpan> {
        if self.0.is_empty() {
            return Ok(());
        }
        for statement in statements {
            _ = VisitMut::visit(statement, &mut self);
        }
        match self.0.pop_first() {
            None => Ok(()),
            Some((_, clause)) => Err(clause.begin),
        }
    }
}

impl VisitorMut for Clauses {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, version, args: None, .. } = factor
            && let Some(last) = name.0.last().and_then(|part| part.as_ident())
            && let Some(clause) = self.0.remove(&place(last.span.start))
        {
            *version = Some(clause.version);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::statement::parse::parse;

    /// The statement as sqlparser writes it.
    fn written(sql: &str) -> String {
        use crate::statement::classify::Command;
        match parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).remove(0).command {
            Command::Query(query) => query.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_clause_belongs_to_the_name_before_it() {
        for (sql, expected) in [
            ("select * from a.t VERSION AS OF 3", "SELECT * FROM a.t VERSION AS OF 3"),
            (
                "select * from t version as of 3 as x join t timestamp\n as  of '2026-05-01' y on true",
                "SELECT * FROM t AS x VERSION AS OF 3 JOIN t y TIMESTAMP AS OF '2026-05-01' ON true",
            ),
            (
                "select 1 where exists (select 1 from \"T\" timestamp as of now() - interval '1 day' where x)",
                "SELECT 1 WHERE EXISTS (SELECT 1 FROM \"T\" TIMESTAMP AS OF now() - INTERVAL '1 day' WHERE x)",
            ),
            ("select * from t version as of $1", "SELECT * FROM t VERSION AS OF $1"),
        ] {
            assert_eq!(written(sql), expected);
        }
    }

    #[test]
    fn what_is_postgres_stays_postgres() {
        for (sql, expected) in [
            ("select version as of, timestamp as of from t", "SELECT version AS of, timestamp AS of FROM t"),
            ("select version as of from t version", "SELECT version AS of FROM t version"),
            ("select 'version as of 3'", "SELECT 'version as of 3'"),
            ("select * from t at", "SELECT * FROM t at"),
        ] {
            assert_eq!(written(sql), expected);
        }
    }

    #[test]
    fn elsewhere_it_is_a_syntax_error_at_its_place() {
        for sql in [
            "select * from t x version as of 3",
            "select x version as of 3 from t",
            "select * from (select 1) version as of 3",
            "select * from f(1) version as of 3",
            "select * from t version as of 3 version as of 4",
            "select * from t version as of",
            "select * from t version as of x",
            "select * from t where a = b version as of 3",
        ] {
            let error = parse(sql).map(|_| ()).expect_err(sql);
            assert_eq!(error.sqlstate().code(), "42601", "{sql}: {error}");
        }
        let error = parse("select * from t x version as of 3").unwrap_err();
        assert_eq!((error.message(), error.report().position), ("syntax error at or near \"version\"", Some(19)));
        let long = format!("select * from t version as of 1{}", " + 1".repeat(200));
        assert_eq!(parse(long.as_str()).unwrap_err().sqlstate().code(), "54001");
    }
}
