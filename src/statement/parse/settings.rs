//! SET, RESET, SHOW, BEGIN and START TRANSACTION, read token by token: sqlparser takes expressions where PostgreSQL takes
//! plain values, and does not know all of their forms. PostgreSQL 15, `gram.y`, rules `VariableSetStmt`,
//! `VariableResetStmt`, `VariableShowStmt` and `TransactionStmt`.
//!
//! Knows the grammar; which settings there are, `settings` knows.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::reader::Reader;
use crate::error::{Error, Result, SqlState};
use crate::settings::Settings;
use crate::statement::classify::{Command, SessionCommand};

/// Reads a statement whose first word is SET, RESET, SHOW, BEGIN or START, up to its last token.
///
/// # Errors
/// `42601` with the position, `22023` for several values of a setting that takes one, `0A000` for what means nothing here.
pub(super) fn parse(parser: &mut Parser<'_>, text: &str) -> Result<Command> {
    let mut reader = Reader { parser, text };
    if reader.take("show") {
        return reader.show();
    }
    let command = if reader.take("reset") {
        reader.reset()?
    } else if reader.take("begin") {
        _ = reader.take("work") || reader.take("transaction");
        SessionCommand::Begin { start: false, modes: reader.transaction_modes()? }
    } else if reader.take("start") {
        reader.expect("transaction")?;
        SessionCommand::Begin { start: true, modes: reader.transaction_modes()? }
    } else {
        reader.expect("set")?;
        reader.set()?
    };
    Ok(Command::Session(command))
}

impl Reader<'_, '_> {
    fn set(&mut self) -> Result<SessionCommand> {
        let mut local = false;
        if self.peek_is("session") && !self.assigns(1) {
            self.parser.advance_token();
            if self.take("characteristics") {
                self.expect("as")?;
                self.expect("transaction")?;
                return Ok(SessionCommand::SetTransaction { modes: self.some_transaction_modes()?, session: true });
            }
            if self.take("authorization") {
                let role = if self.take("default") { None } else { Some(self.word_or_string()?) };
                return Ok(SessionCommand::SetSessionAuthorization(role));
            }
        } else if self.peek_is("local") && !self.assigns(1) {
            self.parser.advance_token();
            local = true;
        }
        let set = |name: &str, value| SessionCommand::Set { name: name.to_owned(), value, local };
        if !self.assigns(1) {
            if self.take("transaction") {
                if self.take("snapshot") {
                    return Err(Error::unsupported("SET TRANSACTION SNAPSHOT is not supported"));
                }
                return Ok(SessionCommand::SetTransaction { modes: self.some_transaction_modes()?, session: false });
            }
            if self.take("time") {
                self.expect("zone")?;
                return Ok(set("TimeZone", self.zone()?));
            }
            if self.take("names") {
                let is_default = self.take("default") || self.at_end();
                return Ok(set("client_encoding", if is_default { None } else { Some(self.string()?) }));
            }
            if self.take("role") {
                let name = self.word_or_string()?;
                return Ok(SessionCommand::SetRole((name != "none").then_some(name)));
            }
            if self.take("schema") {
                let schema = self.string()?;
                return Ok(set("search_path", Some(quoted(&schema))));
            }
            if self.take("catalog") {
                self.string()?;
                return Err(Error::unsupported("current database cannot be changed"));
            }
            if self.take("xml") {
                self.expect("option")?;
                let option = if self.take("document") { "document" } else { "content" };
                if option == "content" {
                    self.expect("content")?;
                }
                return Ok(set("xmloption", Some(option.to_owned())));
            }
        }
        let name = self.setting_name()?;
        if !self.take("to") {
            self.expect_token(&Token::Eq)?;
        }
        if self.take("default") {
            return Ok(set(&name, None));
        }
        let values = self.list(Self::setting_value)?;
        if values.len() > 1 && !Settings::takes_list(&name) {
            let message = format!("SET {name} takes only one argument");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        let names = Settings::takes_names(&name);
        let texts = values.iter().map(|(text, number)| if names && !number { quoted(text) } else { text.clone() });
        Ok(set(&name, Some(texts.collect::<Vec<_>>().join(", "))))
    }

    fn reset(&mut self) -> Result<SessionCommand> {
        if self.take("all") {
            return Ok(SessionCommand::ResetAll);
        }
        self.setting_or_words().map(SessionCommand::Reset)
    }

    fn show(&mut self) -> Result<Command> {
        if self.take("all") {
            return Ok(Command::ShowAll);
        }
        self.setting_or_words().map(Command::Show)
    }

    /// A setting's name, or the words that stand for one.
    fn setting_or_words(&mut self) -> Result<String> {
        for (words, name) in [
            (&["time", "zone"][..], "TimeZone"),
            (&["transaction", "isolation", "level"], "transaction_isolation"),
            (&["session", "authorization"], "session_authorization"),
        ] {
            if words.iter().enumerate().all(|(nth, word)| self.nth_is(nth, word)) {
                for _ in words {
                    self.parser.advance_token();
                }
                return Ok(name.to_owned());
            }
        }
        self.setting_name()
    }

    /// Its parts with dots between them.
    fn setting_name(&mut self) -> Result<String> {
        let mut name = self.name()?;
        while self.parser.consume_token(&Token::Period) {
            name = format!("{name}.{}", self.name()?);
        }
        Ok(name)
    }

    /// Whether the token after `nth` more makes the word before it a setting's name.
    fn assigns(&self, nth: usize) -> bool {
        matches!(self.parser.peek_nth_token(nth).token, Token::Eq | Token::Period) || self.nth_is(nth, "to")
    }

    fn at_end(&self) -> bool {
        matches!(self.parser.peek_token_ref().token, Token::EOF | Token::SemiColon)
    }

    /// A value, and whether it is a number.
    fn setting_value(&mut self) -> Result<(String, bool)> {
        match self.number()? {
            Some(number) => Ok((number, true)),
            None => Ok((self.word_or_string()?, false)),
        }
    }

    fn word_or_string(&mut self) -> Result<String> {
        if self.peek_string().is_some() { self.string() } else { self.name() }
    }

    fn number(&mut self) -> Result<Option<String>> {
        let negative = self.parser.consume_token(&Token::Minus);
        let signed = negative || self.parser.consume_token(&Token::Plus);
        match self.parser.peek_token().token {
            Token::Number(text, _) => {
                self.parser.advance_token();
                Ok(Some(if negative { format!("-{text}") } else { text }))
            }
            _ if signed => Err(self.unexpected()),
            _ => Ok(None),
        }
    }

    /// What TIME ZONE is set to; `None` is the default.
    fn zone(&mut self) -> Result<Option<String>> {
        if self.take("default") || self.take("local") {
            return Ok(None);
        }
        if !self.take("interval") {
            return self.setting_value().map(|(text, _)| Some(text));
        }
        let zone = self.string()?;
        if self.take("hour") && self.take("to") {
            self.expect("minute")?;
        }
        hours(&zone).map(Some)
    }

    /// One mode at least.
    fn some_transaction_modes(&mut self) -> Result<Vec<(&'static str, String)>> {
        let modes = self.transaction_modes()?;
        if modes.is_empty() { Err(self.unexpected()) } else { Ok(modes) }
    }

    /// (setting, value) pairs.
    fn transaction_modes(&mut self) -> Result<Vec<(&'static str, String)>> {
        let mut modes = Vec::new();
        let mut comma = false;
        loop {
            let mode = if self.take("isolation") {
                self.expect("level")?;
                ("transaction_isolation", self.isolation_level()?)
            } else if self.take("read") {
                // drivers ask for READ WRITE by default; writing itself is refused
                let only = self.take("only");
                if !only {
                    self.expect("write")?;
                }
                ("transaction_read_only", if only { "on" } else { "off" })
            } else if self.take("deferrable") {
                ("transaction_deferrable", "on")
            } else if self.take("not") {
                self.expect("deferrable")?;
                ("transaction_deferrable", "off")
            } else if comma {
                return Err(self.unexpected());
            } else {
                return Ok(modes);
            };
            modes.push((mode.0, mode.1.to_owned()));
            comma = self.parser.consume_token(&Token::Comma);
        }
    }

    fn isolation_level(&mut self) -> Result<&'static str> {
        if self.take("serializable") {
            return Ok("serializable");
        }
        if self.take("repeatable") {
            return self.expect("read").map(|()| "repeatable read");
        }
        self.expect("read")?;
        if self.take("uncommitted") {
            return Ok("read uncommitted");
        }
        self.expect("committed").map(|()| "read committed")
    }
}

/// `INTERVAL '+02:00'` as hours east of Greenwich, which is how a number is read.
fn hours(text: &str) -> Result<String> {
    let (sign, clock) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let mut parts = clock.split(':').map(str::parse::<u32>);
    let (hours, minutes) = (parts.next(), parts.next().unwrap_or(Ok(0)));
    match (hours, minutes, parts.next()) {
        (Some(Ok(hours)), Ok(minutes), None) if minutes < 60 => {
            Ok(format!("{sign}{}", f64::from(hours) + f64::from(minutes) / 60.0))
        }
        _ => {
            let message = format!("invalid input syntax for type interval: \"{text}\"");
            Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message))
        }
    }
}

/// A name as it would have to be written (`quote_identifier`).
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::parse::parse;

    fn one(sql: &str) -> Result<SessionCommand> {
        match parse(sql)?.remove(0).command {
            Command::Session(command) => Ok(command),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn set_in_its_forms() {
        for (sql, name, value, local) in [
            ("SET extra_float_digits = 3", "extra_float_digits", Some("3"), false),
            ("set local statement_timeout to '5s'", "statement_timeout", Some("5s"), true),
            ("set session jit = off", "jit", Some("off"), false),
            ("SET search_path TO sales, \"Odd\"", "search_path", Some("sales, \"Odd\""), false),
            ("SET search_path = 'a, b', c", "search_path", Some("\"a, b\", c"), false),
            ("set schema 'X'", "search_path", Some("\"X\""), false),
            ("SET datestyle TO iso, 'DMY'", "datestyle", Some("iso, DMY"), false),
            ("SET x.y.z = -1.5", "x.y.z", Some("-1.5"), false),
            ("SET \"Foo\" = true", "Foo", Some("true"), false),
            ("SET TIME ZONE 'Europe/Berlin'", "TimeZone", Some("Europe/Berlin"), false),
            ("SET TIME ZONE utc", "TimeZone", Some("utc"), false),
            ("SET TIME ZONE -7.5", "TimeZone", Some("-7.5"), false),
            ("set local time zone local", "TimeZone", None, true),
            ("SET TIME ZONE DEFAULT", "TimeZone", None, false),
            ("SET TIME ZONE INTERVAL '-08:30' HOUR TO MINUTE", "TimeZone", Some("-8.5"), false),
            ("SET timezone TO DEFAULT", "timezone", None, false),
            ("SET NAMES 'utf8'", "client_encoding", Some("utf8"), false),
            ("SET NAMES", "client_encoding", None, false),
            ("set session = 1", "session", Some("1"), false),
            ("set xml option document", "xmloption", Some("document"), false),
        ] {
            let (name, value) = (name.to_owned(), value.map(str::to_owned));
            assert_eq!(one(sql).unwrap(), SessionCommand::Set { name, value, local }, "{sql}");
        }
        let role = |name: &str| Some(name.to_owned());
        assert_eq!(one("SET ROLE other").unwrap(), SessionCommand::SetRole(role("other")));
        assert_eq!(one("SET ROLE NONE").unwrap(), SessionCommand::SetRole(None));
        assert_eq!(one("set session authorization 'X'").unwrap(), SessionCommand::SetSessionAuthorization(role("X")));
        assert_eq!(one("set session authorization default").unwrap(), SessionCommand::SetSessionAuthorization(None));
        assert_eq!(
            one("reset session authorization").unwrap(),
            SessionCommand::Reset("session_authorization".to_owned())
        );
        assert_eq!(one("reset all").unwrap(), SessionCommand::ResetAll);
        assert_eq!(one("reset time zone").unwrap(), SessionCommand::Reset("TimeZone".to_owned()));
        for (sql, code) in [
            ("set work_mem to 1, 2", "22023"),
            ("set x = 1 + 1", "42601"),
            ("set x", "42601"),
            ("set transaction", "42601"),
            ("set catalog 'x'", "0A000"),
            ("set time zone interval 'x'", "22007"),
            ("show", "42601"),
            ("show a b", "42601"),
        ] {
            assert_eq!(parse(sql).map(|_| ()).unwrap_err().sqlstate().code(), code, "{sql}");
        }
    }

    #[test]
    fn transactions_in_their_forms() {
        let modes = |modes: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            modes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        for (sql, start, expected) in [
            ("BEGIN", false, &[][..]),
            ("begin work", false, &[]),
            ("begin transaction read write", false, &[("transaction_read_only", "off")]),
            ("START TRANSACTION", true, &[]),
            (
                "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY, not DEFERRABLE",
                false,
                &[
                    ("transaction_isolation", "serializable"),
                    ("transaction_read_only", "on"),
                    ("transaction_deferrable", "off"),
                ],
            ),
        ] {
            assert_eq!(one(sql).unwrap(), SessionCommand::Begin { start, modes: modes(expected) }, "{sql}");
        }
        let level = modes(&[("transaction_isolation", "repeatable read")]);
        assert_eq!(
            one("set session characteristics as transaction isolation level repeatable read").unwrap(),
            SessionCommand::SetTransaction { modes: level.clone(), session: true }
        );
        assert_eq!(
            one("set transaction isolation level repeatable read").unwrap(),
            SessionCommand::SetTransaction { modes: level, session: false }
        );
        for sql in ["begin read only,", "start", "begin isolation level snapshot", "begin read", "begin x"] {
            assert_eq!(one(sql).unwrap_err().sqlstate(), SqlState::SYNTAX_ERROR, "{sql}");
        }
    }

    #[test]
    fn show_in_its_forms() {
        let shown = |sql: &str| match parse(sql).unwrap().remove(0).command {
            Command::Show(name) => name,
            other => panic!("{other:?}"),
        };
        assert!(matches!(parse("show all").unwrap()[0].command, Command::ShowAll));
        assert_eq!(shown("SHOW TRANSACTION ISOLATION LEVEL"), "transaction_isolation");
        assert_eq!(shown("show time zone"), "TimeZone");
        assert_eq!(shown("show session authorization"), "session_authorization");
        assert_eq!(shown("show Server_Version"), "server_version");
        assert_eq!(shown("show a.b"), "a.b");
    }
}
