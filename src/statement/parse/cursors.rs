//! DECLARE, FETCH and MOVE, read token by token: sqlparser takes their words in one order only and knows no MOVE.
//! PostgreSQL 15, `gram.y`, rules `DeclareCursorStmt` and `FetchStmt`.
//!
//! Knows the grammar; which cursors there are, the session knows.

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::parser_error;
use super::reader::Reader;
use crate::error::{Error, Result, SqlState};

/// Stands for ALL as the number of rows of a FETCH.
pub const FETCH_ALL: i64 = i64::MAX;

/// DECLARE … CURSOR as it was written.
#[derive(Clone, Debug)]
pub struct DeclareCursor {
    pub name: String,
    pub query: Box<Statement>,
    pub binary: bool,
    /// What was said about scrolling.
    pub scroll: Option<bool>,
    pub hold: bool,
}

/// FETCH or MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchCursor {
    pub name: String,
    pub direction: Direction,
    /// [`FETCH_ALL`] is ALL.
    pub count: i64,
    /// MOVE.
    pub moves: bool,
}

/// Where FETCH goes from the row on which the cursor stands. `NEXT`, `FIRST` and the like are forms of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
    Absolute,
    Relative,
}

/// Reads a statement whose first word is DECLARE, up to its last token.
///
/// # Errors
/// `42601` with the position, `42P11` for options that exclude each other.
pub(super) fn declare(parser: &mut Parser<'_>, text: &str) -> Result<DeclareCursor> {
    Reader { parser, text }.declare_cursor()
}

/// Reads a statement whose first word is FETCH or MOVE, up to its last token.
///
/// # Errors
/// `42601` with the position.
pub(super) fn fetch(parser: &mut Parser<'_>, text: &str) -> Result<FetchCursor> {
    let moves = super::is(&parser.peek_token_ref().token, "move");
    parser.advance_token();
    let mut reader = Reader { parser, text };
    let (direction, count) = reader.fetch_direction()?;
    // FROM or IN may be left out before the name
    _ = reader.take("from") || reader.take("in");
    let name = reader.name()?;
    Ok(FetchCursor { name, direction, count, moves })
}

impl Reader<'_, '_> {
    fn declare_cursor(&mut self) -> Result<DeclareCursor> {
        self.parser.advance_token();
        let name = self.name()?;
        let (mut binary, mut scroll, mut no_scroll) = (false, false, false);
        let (mut sensitive, mut insensitive) = (false, false);
        while !self.take("cursor") {
            if self.take("binary") {
                binary = true;
            } else if self.take("scroll") {
                scroll = true;
            } else if self.take("insensitive") {
                insensitive = true;
            } else if self.take("asensitive") {
                sensitive = true;
            } else {
                self.expect("no")?;
                self.expect("scroll")?;
                no_scroll = true;
            }
        }
        let mut hold = false;
        if self.take("with") {
            self.expect("hold")?;
            hold = true;
        } else if self.take("without") {
            self.expect("hold")?;
        }
        self.expect("for")?;
        let query = self.parser.parse_query().map_err(|error| parser_error(error, self.text))?;
        for (both, message) in [
            (scroll && no_scroll, "cannot specify both SCROLL and NO SCROLL"),
            (sensitive && insensitive, "cannot specify both ASENSITIVE and INSENSITIVE"),
        ] {
            if both {
                return Err(Error::new(SqlState::INVALID_CURSOR_DEFINITION, message));
            }
        }
        let scroll = (scroll || no_scroll).then_some(scroll);
        Ok(DeclareCursor { name, query: Box::new(Statement::Query(query)), binary, scroll, hold })
    }

    fn fetch_direction(&mut self) -> Result<(Direction, i64)> {
        use Direction::{Absolute, Backward, Forward, Relative};
        // a cursor may have the name of a direction, and is then the last word
        if matches!(self.parser.peek_nth_token(1).token, Token::EOF | Token::SemiColon) {
            return Ok((Forward, 1));
        }
        for (word, direction, count) in [
            ("next", Forward, 1),
            ("prior", Backward, 1),
            ("first", Absolute, 1),
            ("last", Absolute, -1),
            ("all", Forward, FETCH_ALL),
        ] {
            if self.take(word) {
                return Ok((direction, count));
            }
        }
        for (word, direction) in [("absolute", Absolute), ("relative", Relative)] {
            if self.take(word) {
                let Some(count) = self.signed_count()? else { return Err(self.unexpected()) };
                return Ok((direction, count));
            }
        }
        for (word, direction) in [("forward", Forward), ("backward", Backward)] {
            if self.take(word) {
                let count = if self.take("all") { Some(FETCH_ALL) } else { self.signed_count()? };
                return Ok((direction, count.unwrap_or(1)));
            }
        }
        Ok((Forward, self.signed_count()?.unwrap_or(1)))
    }

    /// A number with or without a sign, as PostgreSQL's lexer takes an `Iconst`: 32 bits.
    fn signed_count(&mut self) -> Result<Option<i64>> {
        let negative = self.parser.consume_token(&Token::Minus);
        let signed = negative || self.parser.consume_token(&Token::Plus);
        let number = match &self.parser.peek_token_ref().token {
            Token::Number(text, _) => text.parse::<i32>().ok(),
            _ if !signed => return Ok(None),
            _ => None,
        };
        let Some(number) = number else { return Err(self.unexpected()) };
        self.parser.advance_token();
        Ok(Some(if negative { -i64::from(number) } else { i64::from(number) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::classify::{Command, SessionCommand};
    use crate::statement::parse::parse;

    fn one(sql: &str) -> Result<SessionCommand> {
        match parse(sql)?.remove(0).command {
            Command::Session(command) => Ok(command),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn directions() {
        use Direction::{Absolute, Backward, Forward, Relative};
        for (sql, direction, count) in [
            ("c", Forward, 1),
            ("from c", Forward, 1),
            ("in c", Forward, 1),
            ("next c", Forward, 1),
            ("next from c", Forward, 1),
            ("prior from c", Backward, 1),
            ("first from c", Absolute, 1),
            ("last in c", Absolute, -1),
            ("absolute -3 from c", Absolute, -3),
            ("relative +3 c", Relative, 3),
            ("10 c", Forward, 10),
            ("-2 from c", Forward, -2),
            ("all from c", Forward, FETCH_ALL),
            ("forward c", Forward, 1),
            ("forward 100 from \"c\"", Forward, 100),
            ("forward all c", Forward, FETCH_ALL),
            ("backward from c", Backward, 1),
            ("backward 5 in c", Backward, 5),
            ("backward all from c", Backward, FETCH_ALL),
        ] {
            for (word, moves) in [("fetch", false), ("MOVE", true)] {
                let expected = FetchCursor { name: "c".to_owned(), direction, count, moves };
                assert_eq!(one(&format!("{word} {sql}")).unwrap(), SessionCommand::Fetch(expected), "{word} {sql}");
            }
        }
        let next = FetchCursor { name: "next".to_owned(), direction: Forward, count: 1, moves: false };
        assert_eq!(one("fetch next;").unwrap(), SessionCommand::Fetch(next));
        for sql in ["fetch", "fetch absolute c", "fetch 3000000000 c", "fetch forward x y", "move 1 from", "fetch - c"]
        {
            assert_eq!(one(sql).unwrap_err().sqlstate(), SqlState::SYNTAX_ERROR, "{sql}");
        }
    }

    #[test]
    fn declarations() {
        let declared = |sql: &str| match one(sql).unwrap() {
            SessionCommand::Declare(declared) => (declared.name, declared.binary, declared.scroll, declared.hold),
            other => panic!("{sql}: {other:?}"),
        };
        let name = |name: &str| name.to_owned();
        assert_eq!(declared("declare C cursor for select 1"), (name("c"), false, None, false));
        assert_eq!(
            declared("DECLARE \"C\" BINARY NO SCROLL CURSOR WITHOUT HOLD FOR values (1)"),
            (name("C"), true, Some(false), false)
        );
        assert_eq!(
            declared("declare c insensitive scroll binary cursor with hold for select 1"),
            (name("c"), true, Some(true), true)
        );
        assert_eq!(one("declare c scroll no scroll cursor for select 1").unwrap_err().sqlstate().code(), "42P11");
        assert_eq!(one("declare c cursor for insert into t values (1)").unwrap_err().sqlstate().code(), "25006");
        for sql in ["declare c cursor select 1", "declare c for select 1", "declare c cursor with hold select 1"] {
            assert_eq!(one(sql).unwrap_err().sqlstate(), SqlState::SYNTAX_ERROR, "{sql}");
        }
    }
}
