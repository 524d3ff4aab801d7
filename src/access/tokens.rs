//! SQL text as tokens, the one reading that statements and row filters share. Knows no grammar beyond that.

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
}
