//! JSON as PostgreSQL reads it (`jsonapi.c`): a text taken apart without a copy, each value with the text it was.
//!
//! Strings stay as they are written until somebody asks what they say, so that `json` may hold what no text can.

use std::borrow::Cow;

use crate::error::{Error, Result, SqlState};

/// How deep arrays and objects may nest. PostgreSQL's own limit is what its stack has room for (`max_stack_depth`).
pub const DEPTH_MAX: usize = 1_000;
/// How many values a text may have that is taken apart: each takes about 60 bytes then.
pub const VALUES_MAX: usize = 4_000_000;

/// A value, with the text it was written as.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<'a> {
    pub raw: &'a str,
    pub value: Value<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// Its digits, as they were written.
    Number(&'a str),
    String(Text<'a>),
    Array(Vec<Item<'a>>),
    /// All members in the order of the text, those of one key too.
    Object(Vec<(Text<'a>, Item<'a>)>),
}

/// What stands between the quotes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(&'a str);

/// Takes a text apart.
///
/// # Errors
/// `22P02` with PostgreSQL's detail, `54001` for values nested too deep, `54000` for too many of them.
pub fn parse(text: &str) -> Result<Item<'_>> {
    Parser::new(text, true)?.document()
}

/// Whether a text is JSON; as [`parse`], without keeping anything.
///
/// # Errors
/// As [`parse`].
pub fn check(text: &str) -> Result<()> {
    Parser::new(text, false)?.document().map(|_| ())
}

impl<'a> Text<'a> {
    /// What the string says, without its escapes.
    ///
    /// # Errors
    /// `22P02` for half of a surrogate pair, `22P05` for `\u0000`, which no text can hold.
    pub fn decode(self) -> Result<Cow<'a, str>> {
        if !self.0.contains('\\') {
            return Ok(Cow::Borrowed(self.0));
        }
        let mut out = String::with_capacity(self.0.len());
        let mut characters = self.0.chars();
        let mut high: Option<u32> = None;
        while let Some(character) = characters.next() {
            let escaped = if character == '\\' { characters.next() } else { None };
            if escaped == Some('u') {
                let code = (0..4).fold(0, |code, _| {
                    let digit = characters.next().and_then(|digit| digit.to_digit(16)).unwrap_or(0);
                    code << 4 | digit
                });
                match (code, high.take()) {
                    (0xD800..=0xDBFF, None) => high = Some(code),
                    (0xD800..=0xDBFF, Some(_)) => {
                        return Err(invalid("Unicode high surrogate must not follow a high surrogate."));
                    }
                    (0xDC00..=0xDFFF, Some(first)) => {
                        let both = 0x1_0000 + ((first & 0x3FF) << 10) + (code & 0x3FF);
                        out.extend(char::from_u32(both));
                    }
                    (0xDC00..=0xDFFF, None) | (_, Some(_)) => return Err(half_a_pair()),
                    (0, None) => {
                        return Err(Error::new(
                            SqlState::UNTRANSLATABLE_CHARACTER,
                            "unsupported Unicode escape sequence",
                        )
                        .detail("\\u0000 cannot be converted to text."));
                    }
                    (code, None) => out.extend(char::from_u32(code)),
                }
                continue;
            }
            if high.is_some() {
                return Err(half_a_pair());
            }
            out.push(match escaped {
                None => character,
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(itself) => itself,
            });
        }
        if high.is_some() { Err(half_a_pair()) } else { Ok(Cow::Owned(out)) }
    }

    /// Whether the string says this.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn is(self, text: &str) -> Result<bool> {
        Ok(self.decode()? == text)
    }
}

#[cold]
fn invalid(detail: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json").detail(detail)
}

#[cold]
fn half_a_pair() -> Error {
    invalid("Unicode low surrogate must follow a high surrogate.")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Comma,
    Colon,
    String(Text<'a>),
    Number,
    True,
    False,
    Null,
    End,
}

/// One token ahead, as `jsonapi.c` is, so that of two errors in a text the same one is told.
struct Parser<'a> {
    input: &'a str,
    token: Token<'a>,
    /// Where the token begins and ends.
    start: usize,
    end: usize,
    depth: usize,
    values: usize,
    /// Whether arrays and objects keep what is in them.
    keeps: bool,
}

impl<'a> Parser<'a> {
    fn new(input: &'a str, keeps: bool) -> Result<Self> {
        let mut parser = Self { input, token: Token::End, start: 0, end: 0, depth: 0, values: 0, keeps };
        parser.advance()?;
        Ok(parser)
    }

    fn document(mut self) -> Result<Item<'a>> {
        let item = self.item()?;
        if self.token != Token::End {
            return Err(self.unexpected("end of input"));
        }
        Ok(item)
    }

    fn item(&mut self) -> Result<Item<'a>> {
        self.values += 1;
        if self.keeps && self.values > VALUES_MAX {
            let detail = format!("A json value that is taken apart may have {VALUES_MAX} values in it.");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "json value is too large").detail(detail));
        }
        let (start, end) = (self.start, self.end);
        let value = match self.token {
            Token::ObjectStart => return self.nested(Self::object),
            Token::ArrayStart => return self.nested(Self::array),
            Token::String(text) => Value::String(text),
            Token::Number => Value::Number(&self.input[start..end]),
            Token::True => Value::Bool(true),
            Token::False => Value::Bool(false),
            Token::Null => Value::Null,
            _ => return Err(self.unexpected("JSON value")),
        };
        self.advance()?;
        Ok(Item { raw: &self.input[start..end], value })
    }

    fn nested(&mut self, inside: fn(&mut Self) -> Result<(Value<'a>, usize)>) -> Result<Item<'a>> {
        let start = self.start;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                .detail(format!("Arrays and objects of a json value may nest {DEPTH_MAX} levels deep.")));
        }
        self.advance()?;
        let (value, end) = inside(self)?;
        self.depth -= 1;
        Ok(Item { raw: &self.input[start..end], value })
    }

    fn array(&mut self) -> Result<(Value<'a>, usize)> {
        let mut items = Vec::new();
        if self.token != Token::ArrayEnd {
            loop {
                let item = self.item()?;
                if self.keeps {
                    items.push(item);
                }
                if self.token != Token::Comma {
                    break;
                }
                self.advance()?;
            }
        }
        let end = self.expect(Token::ArrayEnd, "\",\" or \"]\"")?;
        Ok((Value::Array(items), end))
    }

    fn object(&mut self) -> Result<(Value<'a>, usize)> {
        let mut members = Vec::new();
        match self.token {
            Token::ObjectEnd => {}
            Token::String(_) => loop {
                let Token::String(key) = self.token else { return Err(self.unexpected("string")) };
                self.advance()?;
                self.expect(Token::Colon, "\":\"")?;
                let item = self.item()?;
                if self.keeps {
                    members.push((key, item));
                }
                if self.token != Token::Comma {
                    break;
                }
                self.advance()?;
            },
            _ => return Err(self.unexpected("string or \"}\"")),
        }
        let end = self.expect(Token::ObjectEnd, "\",\" or \"}\"")?;
        Ok((Value::Object(members), end))
    }

    /// Steps over a token, and tells where it ended.
    fn expect(&mut self, wanted: Token<'a>, shown: &str) -> Result<usize> {
        if self.token != wanted {
            return Err(self.unexpected(shown));
        }
        let end = self.end;
        self.advance()?;
        Ok(end)
    }

    #[cold]
    fn unexpected(&self, wanted: &str) -> Error {
        if self.token == Token::End {
            return invalid("The input string ended unexpectedly.");
        }
        invalid(format!("Expected {wanted}, but found \"{}\".", &self.input[self.start..self.end]))
    }

    #[cold]
    fn invalid_token(&self, end: usize) -> Error {
        invalid(format!("Token \"{}\" is invalid.", &self.input[self.start..end]))
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.input.as_bytes().get(at).copied()
    }

    /// The end of what could belong to a word.
    fn word_end(&self, from: usize) -> usize {
        let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
        let rest = &self.input.as_bytes()[from..];
        from + rest.iter().position(|byte| !in_word(byte)).unwrap_or(rest.len())
    }

    fn advance(&mut self) -> Result<()> {
        let mut at = self.end;
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte(at) {
            at += 1;
        }
        self.start = at;
        let Some(byte) = self.byte(at) else {
            (self.end, self.token) = (at, Token::End);
            return Ok(());
        };
        (self.end, self.token) = match byte {
            b'{' => (at + 1, Token::ObjectStart),
            b'}' => (at + 1, Token::ObjectEnd),
            b'[' => (at + 1, Token::ArrayStart),
            b']' => (at + 1, Token::ArrayEnd),
            b',' => (at + 1, Token::Comma),
            b':' => (at + 1, Token::Colon),
            b'"' => self.string(at + 1)?,
            b'-' => self.number(at + 1)?,
            b'0'..=b'9' => self.number(at)?,
            _ => {
                let end = self.word_end(at);
                let token = match &self.input[at..end] {
                    "true" => Token::True,
                    "false" => Token::False,
                    "null" => Token::Null,
                    "" => return Err(self.invalid_token(at + 1)),
                    _ => return Err(self.invalid_token(end)),
                };
                (end, token)
            }
        };
        Ok(())
    }

    fn digits(&self, mut at: usize) -> Option<usize> {
        let first = at;
        while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
            at += 1;
        }
        (at > first).then_some(at)
    }

    fn number(&self, from: usize) -> Result<(usize, Token<'a>)> {
        let end = self.number_end(from);
        let garbage = self.word_end(end.unwrap_or_else(|at| at));
        match end {
            Ok(end) if end == garbage => Ok((end, Token::Number)),
            _ => Err(self.invalid_token(garbage)),
        }
    }

    /// Where a number ends, or where it goes wrong.
    fn number_end(&self, from: usize) -> std::result::Result<usize, usize> {
        let mut at = match self.byte(from) {
            Some(b'0') => from + 1,
            _ => self.digits(from).ok_or(from)?,
        };
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1).ok_or(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(at) {
            at += 1;
            if let Some(b'+' | b'-') = self.byte(at) {
                at += 1;
            }
            at = self.digits(at).ok_or(at)?;
        }
        Ok(at)
    }

    /// The rest of a string behind its first quote.
    fn string(&self, from: usize) -> Result<(usize, Token<'a>)> {
        let mut at = from;
        loop {
            match self.byte(at) {
                None => return Err(self.invalid_token(at)),
                Some(b'"') => return Ok((at + 1, Token::String(Text(&self.input[from..at])))),
                Some(control @ 0..=0x1f) => {
                    return Err(invalid(format!("Character with value 0x{control:02x} must be escaped.")));
                }
                Some(b'\\') => at = self.escape(at + 1)?,
                Some(_) => at += 1,
            }
        }
    }

    /// What follows a backslash.
    fn escape(&self, at: usize) -> Result<usize> {
        match self.byte(at) {
            None => Err(self.invalid_token(at)),
            Some(b'u') => {
                for digit in at + 1..=at + 4 {
                    match self.byte(digit) {
                        None => return Err(self.invalid_token(digit)),
                        Some(byte) if byte.is_ascii_hexdigit() => {}
                        Some(_) => return Err(invalid("\"\\u\" must be followed by four hexadecimal digits.")),
                    }
                }
                Ok(at + 5)
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
            Some(_) => {
                let wrong = self.input[at..].chars().next().unwrap_or_default();
                Err(invalid(format!("Escape sequence \"\\{wrong}\" is invalid.")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(text: &str) -> String {
        let error = check(text).unwrap_err();
        assert_eq!(parse(text).unwrap_err(), error, "{text}");
        error.report().detail.clone().unwrap_or_default()
    }

    #[test]
    fn values_keep_the_text_they_were() {
        let text = " { \"a\" : [1.50, -0,\"x\\n\"], \"a\":{ } ,\"b\":null} ";
        let item = parse(text).unwrap();
        assert_eq!(item.raw, text.trim());
        let Value::Object(members) = &item.value else { panic!("{item:?}") };
        let raw: Vec<_> = members.iter().map(|(key, item)| (key.0, item.raw)).collect();
        assert_eq!(raw, [("a", "[1.50, -0,\"x\\n\"]"), ("a", "{ }"), ("b", "null")]);
        let Value::Array(items) = &members[0].1.value else { panic!("{members:?}") };
        assert_eq!(items[0].value, Value::Number("1.50"));
        let Value::String(text) = items[2].value else { panic!("{items:?}") };
        assert_eq!(text.decode().unwrap(), "x\n");
    }

    /// What PostgreSQL 15 says of each.
    #[test]
    fn what_is_no_json_is_told_in_postgresqls_words() {
        for (text, expected) in [
            ("", "The input string ended unexpectedly."),
            ("{\"a\"", "The input string ended unexpectedly."),
            ("{\"a\":}", "Expected JSON value, but found \"}\"."),
            ("{\"a\":1,}", "Expected string, but found \"}\"."),
            ("{a:1}", "Token \"a\" is invalid."),
            ("[1,]", "Expected JSON value, but found \"]\"."),
            ("[1 2]", "Expected \",\" or \"]\", but found \"2\"."),
            ("1 2", "Expected end of input, but found \"2\"."),
            ("{\"a\" 1}", "Expected \":\", but found \"1\"."),
            ("{\"a\":1 \"b\"}", "Expected \",\" or \"}\", but found \"\"b\"\"."),
            ("{1:1}", "Expected string or \"}\", but found \"1\"."),
            ("01", "Token \"01\" is invalid."),
            ("1.", "Token \"1.\" is invalid."),
            ("1e", "Token \"1e\" is invalid."),
            ("-a", "Token \"-a\" is invalid."),
            ("1.2.3", "Token \".\" is invalid."),
            ("+1", "Token \"+\" is invalid."),
            ("[é", "Token \"é\" is invalid."),
            ("\"a", "Token \"\"a\" is invalid."),
            ("\"a\\", "Token \"\"a\\\" is invalid."),
            ("\"a\nb\"", "Character with value 0x0a must be escaped."),
            ("\"\\x\"", "Escape sequence \"\\x\" is invalid."),
            ("\"\\u12\"", "\"\\u\" must be followed by four hexadecimal digits."),
            ("\"\\u", "Token \"\"\\u\" is invalid."),
        ] {
            assert_eq!(detail(text), expected, "{text}");
        }
    }

    #[test]
    fn escapes_are_read_when_asked_for() {
        let said = |text: &str| match parse(text).unwrap().value {
            Value::String(text) => text.decode().map(Cow::into_owned),
            other => panic!("{other:?}"),
        };
        assert_eq!(said("\"\\ud83d\\ude00 \\u00e9\\/\\t\""), Ok("😀 é/\t".to_owned()));
        let pair = "Unicode low surrogate must follow a high surrogate.";
        for (text, code, expected) in [
            ("\"\\ud800\"", "22P02", pair),
            ("\"\\ud800x\"", "22P02", pair),
            ("\"\\udc00\"", "22P02", pair),
            ("\"\\ud800\\ud800\"", "22P02", "Unicode high surrogate must not follow a high surrogate."),
            ("\"\\u0000\"", "22P05", "\\u0000 cannot be converted to text."),
        ] {
            let error = said(text).unwrap_err();
            assert_eq!((error.sqlstate().code(), error.report().detail.as_deref()), (code, Some(expected)), "{text}");
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(DEPTH_MAX + 1)).unwrap_err().sqlstate(), SqlState::STATEMENT_TOO_COMPLEX);
        assert_eq!(check(&"[".repeat(1 << 20)).unwrap_err().sqlstate(), SqlState::STATEMENT_TOO_COMPLEX);
    }
}
