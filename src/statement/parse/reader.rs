//! Reading a statement token by token: what the grammars here have in common.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::{near, position};
use crate::error::{Error, Result, SqlState};

/// How many entries a list in one statement may have.
pub(super) const NAMES_MAX: usize = 1_000;

/// A parser at one place of a text.
pub(super) struct Reader<'a, 'p> {
    pub(super) parser: &'a mut Parser<'p>,
    pub(super) text: &'a str,
}

impl Reader<'_, '_> {
    pub(super) fn qualified_name(&mut self) -> Result<Vec<String>> {
        let mut parts = vec![self.name()?];
        while self.parser.consume_token(&Token::Period) {
            parts.push(self.name()?);
        }
        if parts.len() > 3 {
            let message = format!("improper qualified name (too many dotted names): {}", parts.join("."));
            return Err(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        Ok(parts)
    }

    /// An identifier as PostgreSQL folds it.
    pub(super) fn name(&mut self) -> Result<String> {
        let word = self.word()?;
        Ok(if word.quote_style.is_some() { word.value } else { word.value.to_lowercase() })
    }

    pub(super) fn word(&mut self) -> Result<Word> {
        let next = self.parser.next_token();
        match next.token {
            Token::Word(word) => Ok(word),
            _ => Err(near(&next, self.text)),
        }
    }

    /// A string constant.
    pub(super) fn string(&mut self) -> Result<String> {
        match self.peek_string() {
            Some(text) => {
                self.parser.advance_token();
                Ok(text)
            }
            None => Err(self.unexpected()),
        }
    }

    /// The string constant that is next, if there is one.
    pub(super) fn peek_string(&self) -> Option<String> {
        match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
                Some(text.clone())
            }
            Token::DollarQuotedString(quoted) => Some(quoted.value.clone()),
            _ => None,
        }
    }

    /// Where the next token stands, in characters from 1.
    pub(super) fn position(&self) -> usize {
        position(self.text, self.parser.peek_token_ref().span.start)
    }

    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.parser.consume_token(&Token::Comma) {
            if items.len() >= NAMES_MAX {
                let message = format!("a list may have {NAMES_MAX} entries");
                return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message));
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(super) fn peek_is(&self, keyword: &str) -> bool {
        is(&self.parser.peek_token_ref().token, keyword)
    }

    pub(super) fn nth_is(&self, nth: usize, keyword: &str) -> bool {
        is(&self.parser.peek_nth_token(nth).token, keyword)
    }

    /// Goes past the keyword, if it is next.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        let found = self.peek_is(keyword);
        if found {
            self.parser.advance_token();
        }
        found
    }

    pub(super) fn expect(&mut self, keyword: &str) -> Result<()> {
        if self.take(keyword) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.parser.consume_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn unexpected(&mut self) -> Error {
        let next: TokenWithSpan = self.parser.peek_token();
        near(&next, self.text)
    }
}

/// Whether a token is this keyword, not in quotes.
pub(super) fn is(token: &Token, keyword: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
}
