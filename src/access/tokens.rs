//! SQL text as tokens, the one reading that statements and row filters share. Knows no grammar beyond that.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, TokenizerError};

/// PostgreSQL's tokens. `CURRENT_USER()` is read as `CURRENT_USER`: the parentheses are not PostgreSQL, but the founding
/// discovery query and other engines write them.
///
/// # Errors
/// What the tokenizer cannot read, with its place.
pub fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, TokenizerError> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location()?;
    Ok(without_empty_call_after_user(tokens))
}

/// The same for text from clients: `None` where there are more than `tokens_max` tokens, white space included. A token takes
/// about a hundred bytes, so that without an end a text of commas would take a hundred times its size.
///
/// # Errors
/// As [`tokens`].
pub fn tokens_up_to(tokens_max: usize, text: &str) -> Result<Option<Vec<TokenWithSpan>>, TokenizerError> {
    struct Enough;
    let (mut tokens, mut count) = (Vec::new(), 0);
    let tokenized = catch_unwind(AssertUnwindSafe(|| {
        let mut tokenizer = Tokenizer::new(&PostgreSqlDialect {}, text);
        tokenizer.tokenize_with_location_into_buf_with_mapper(&mut tokens, |token| {
            count += 1;
            if count > tokens_max {
                // the only way out of the tokenizer; no panic, so nothing is logged
                resume_unwind(Box::new(Enough));
            }
            token
        })
    }));
    match tokenized {
        Ok(read) => read.map(|()| Some(without_empty_call_after_user(tokens))),
        Err(unwound) if unwound.is::<Enough>() => Ok(None),
        Err(panic) => resume_unwind(panic),
    }
}

fn without_empty_call_after_user(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_user = |token: &Token| {
        matches!(token, Token::Word(w) if w.quote_style.is_none()
            && matches!(w.keyword, Keyword::CURRENT_USER | Keyword::SESSION_USER | Keyword::CURRENT_ROLE))
    };
    let significant: Vec<usize> =
        (0..tokens.len()).filter(|i| !matches!(tokens[*i].token, Token::Whitespace(_))).collect();
    let mut dropped = vec![false; tokens.len()];
    for window in significant.windows(3) {
        if is_user(&tokens[window[0]].token)
            && tokens[window[1]].token == Token::LParen
            && tokens[window[2]].token == Token::RParen
        {
            dropped[window[1]] = true;
            dropped[window[2]] = true;
        }
    }
    tokens.into_iter().zip(dropped).filter(|(_, dropped)| !dropped).map(|(token, _)| token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_empty_call_goes() {
        let text = |sql: &str| {
            let kept = tokens(sql).unwrap().into_iter().map(|t| t.token);
            kept.filter(|t| !matches!(t, Token::Whitespace(_))).map(|t| t.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text("CURRENT_USER ( ) = session_user()"), "CURRENT_USER = session_user");
        assert_eq!(
            text("current_user(1), \"current_user\"(), now()"),
            "current_user ( 1 ) , \"current_user\" ( ) , now ( )"
        );
        assert!(tokens("'open").is_err());
    }

    #[test]
    fn tokens_of_clients_have_an_end() {
        let count = |tokens_max, sql| tokens_up_to(tokens_max, sql).map(|tokens| tokens.map(|tokens| tokens.len()));
        assert_eq!(count(5, "a,b,c").unwrap(), Some(5));
        assert_eq!(count(4, "a,b,c").unwrap(), None);
        assert_eq!(count(0, "").unwrap(), Some(0));
        assert_eq!(count(4, "current_user()").unwrap(), Some(1));
        assert!(count(1, "'open").is_err());
        assert_eq!(count(4, "a,b,c 'open").unwrap(), None, "what comes later is not read");
        assert_eq!(tokens_up_to(9, "a + 1").unwrap().unwrap(), tokens("a + 1").unwrap());
    }
}
