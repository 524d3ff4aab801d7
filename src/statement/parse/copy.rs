//! COPY, read token by token: sqlparser knows neither `HEADER match` nor `FORCE_QUOTE *`, and wants options in an order.
//! PostgreSQL 15, SQL command COPY, and `gram.y`, rule `CopyStmt`, with the syntaxes of before 9.0 and before 7.3.
//!
//! Knows the grammar. What an option means, and whether options go together, `command::copy` knows.

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::reader::Reader;
use super::{RECURSION_DEPTH_MAX, parser_error};
use crate::error::Result;

/// COPY as it was written.
#[derive(Clone, Debug)]
pub struct Copy {
    /// What is read; `None` for COPY FROM.
    pub query: Option<Box<Statement>>,
    /// The table that was named instead of a query: the parts of its name as PostgreSQL folds them.
    pub table: Option<Vec<String>>,
    /// The table's columns that were named.
    pub columns: Vec<String>,
    pub target: Target,
    pub options: Vec<CopyOption>,
}

/// Where the rows go to, or come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Client,
    File,
    Program,
}

/// One option: its name in lower case, its argument, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOption {
    pub name: String,
    pub argument: Argument,
    pub position: usize,
}

/// The argument of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    None,
    Text(String),
    Number(String),
    Star,
    List(Vec<String>),
}

/// Reads a statement whose first word is COPY, up to its last token.
///
/// # Errors
/// `42601` with the position.
pub(super) fn parse(parser: &mut Parser<'_>, text: &str) -> Result<Copy> {
    Reader { parser, text }.copy_statement()
}

impl Reader<'_, '_> {
    fn copy_statement(&mut self) -> Result<Copy> {
        self.parser.advance_token();
        let mut options = Vec::new();
        let (mut table, mut columns, mut query, mut from) = (None, Vec::new(), None, false);
        if self.parser.consume_token(&Token::LParen) {
            let read = self.parser.parse_query().map_err(|error| parser_error(error, self.text))?;
            query = Some(Box::new(Statement::Query(read)));
            self.expect_token(&Token::RParen)?;
            self.expect("to")?;
        } else {
            let position = self.position();
            if self.peek_is("binary")
                && matches!(self.parser.peek_nth_token(1).token, Token::Word(_))
                && !self.nth_is(1, "to")
                && !self.nth_is(1, "from")
            {
                self.parser.advance_token();
                options.push(format_option("binary", position));
            }
            let (name, names, tokens) = self.copied_table()?;
            from = self.take("from");
            if !from {
                self.expect("to")?;
                query = Some(self.table_query(tokens)?);
            }
            (table, columns) = (Some(name), names);
        }
        let target = self.copy_target()?;
        self.copy_options(table.is_some(), &mut options)?;
        if from && self.take("where") {
            self.parser.parse_expr().map_err(|error| parser_error(error, self.text))?;
        }
        Ok(Copy { query, table, columns, target, options })
    }

    /// The table's name, the columns named after it, and the tokens of `SELECT … FROM …` over them. The tokens are the
    /// statement's own, so that errors know their place.
    fn copied_table(&mut self) -> Result<(Vec<String>, Vec<String>, Vec<TokenWithSpan>)> {
        let mut relation = Vec::new();
        let mut ahead = 0;
        // a name's tokens are words with periods between them
        while let Token::Word(_) | Token::Period = self.parser.peek_nth_token(ahead).token {
            let token = self.parser.peek_nth_token(ahead);
            let joined = token.token == Token::Period
                || relation.last().is_none_or(|last: &TokenWithSpan| last.token == Token::Period);
            if !joined {
                break;
            }
            relation.push(token);
            ahead += 1;
        }
        let name = self.qualified_name()?;
        let (mut names, mut columns) = (Vec::new(), Vec::new());
        if self.parser.consume_token(&Token::LParen) {
            names = self.list(|reader| {
                columns.push(reader.parser.peek_token());
                columns.push(TokenWithSpan::wrap(Token::Comma));
                reader.name()
            })?;
            columns.pop();
            self.expect_token(&Token::RParen)?;
        } else {
            columns.push(TokenWithSpan::wrap(Token::Mul));
        }
        let word = |keyword: &str| TokenWithSpan::wrap(Token::make_keyword(keyword));
        let tokens = [vec![word("SELECT")], columns, vec![word("FROM")], relation].concat();
        Ok((name, names, tokens))
    }

    fn table_query(&self, tokens: Vec<TokenWithSpan>) -> Result<Box<Statement>> {
        let mut parser = Parser::new(&PostgreSqlDialect {})
            .with_recursion_limit(RECURSION_DEPTH_MAX)
            .with_tokens_with_locations(tokens);
        let query = parser.parse_query().map_err(|error| parser_error(error, self.text))?;
        Ok(Box::new(Statement::Query(query)))
    }

    fn copy_target(&mut self) -> Result<Target> {
        if self.take("program") {
            self.string()?;
            return Ok(Target::Program);
        }
        if self.peek_string().is_some() {
            self.string()?;
            return Ok(Target::File);
        }
        // either word does, whatever the direction
        if self.take("stdin") || self.take("stdout") { Ok(Target::Client) } else { Err(self.unexpected()) }
    }

    fn copy_options(&mut self, of_table: bool, options: &mut Vec<CopyOption>) -> Result<()> {
        let position = self.position();
        let using = of_table && self.peek_is("using") && self.nth_is(1, "delimiters");
        if using {
            self.parser.advance_token();
        }
        if of_table && self.take("delimiters") {
            options.push(CopyOption {
                name: "delimiter".to_owned(),
                argument: Argument::Text(self.string()?),
                position,
            });
        }
        self.take("with");
        if self.parser.consume_token(&Token::LParen) {
            options.extend(self.list(Self::generic_option)?);
            return self.expect_token(&Token::RParen);
        }
        while let Some(option) = self.old_option()? {
            options.push(option);
        }
        Ok(())
    }

    /// `name argument` between parentheses.
    fn generic_option(&mut self) -> Result<CopyOption> {
        let position = self.position();
        let name = self.name()?;
        let argument = if self.parser.consume_token(&Token::Mul) {
            Argument::Star
        } else if self.parser.consume_token(&Token::LParen) {
            let list = self.list(|reader| match reader.peek_string() {
                Some(_) => reader.string(),
                None => reader.name(),
            })?;
            self.expect_token(&Token::RParen)?;
            Argument::List(list)
        } else if self.peek_string().is_some() {
            Argument::Text(self.string()?)
        } else {
            self.word_or_number()?
        };
        Ok(CopyOption { name, argument, position })
    }

    fn word_or_number(&mut self) -> Result<Argument> {
        let negative = self.parser.consume_token(&Token::Minus);
        if !negative {
            _ = self.parser.consume_token(&Token::Plus);
        }
        let next = self.parser.peek_token();
        match next.token {
            Token::Number(text, _) => {
                self.parser.advance_token();
                Ok(Argument::Number(if negative { format!("-{text}") } else { text }))
            }
            _ if negative => Err(self.unexpected()),
            Token::Word(_) => Ok(Argument::Text(self.name()?)),
            _ => Ok(Argument::None),
        }
    }

    /// An option in the syntax of before 9.0; `None` where none follows.
    fn old_option(&mut self) -> Result<Option<CopyOption>> {
        let position = self.position();
        let Token::Word(word) = self.parser.peek_token().token else { return Ok(None) };
        if word.quote_style.is_some() {
            return Ok(None);
        }
        let name = word.value.to_lowercase();
        let option = |name: &str, argument| Some(CopyOption { name: name.to_owned(), argument, position });
        let found = match name.as_str() {
            "binary" | "csv" => Some(format_option(&name, position)),
            "freeze" | "header" => option(&name, Argument::Text("true".to_owned())),
            "delimiter" | "null" | "quote" | "escape" => {
                self.parser.advance_token();
                self.take("as");
                return Ok(option(&name, Argument::Text(self.string()?)));
            }
            "encoding" => {
                self.parser.advance_token();
                return Ok(option(&name, Argument::Text(self.string()?)));
            }
            "force" => {
                self.parser.advance_token();
                return self.force(position).map(Some);
            }
            _ => None,
        };
        if found.is_some() {
            self.parser.advance_token();
        }
        Ok(found)
    }

    fn force(&mut self, position: usize) -> Result<CopyOption> {
        let name = if self.take("quote") {
            "force_quote"
        } else if self.take("null") {
            "force_null"
        } else {
            self.expect("not")?;
            self.expect("null")?;
            "force_not_null"
        };
        let star = name == "force_quote" && self.parser.consume_token(&Token::Mul);
        let argument = if star { Argument::Star } else { Argument::List(self.list(Self::name)?) };
        Ok(CopyOption { name: name.to_owned(), argument, position })
    }
}

fn format_option(format: &str, position: usize) -> CopyOption {
    CopyOption { name: "format".to_owned(), argument: Argument::Text(format.to_owned()), position }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlState;
    use crate::statement::classify::Command;
    use crate::statement::parse::parse;

    /// The query as sqlparser writes it, and the options.
    fn read(sql: &str) -> Result<(String, Vec<(String, Argument)>)> {
        match parse(sql)?.remove(0).command {
            Command::Copy(copy) => {
                let options = copy.options.into_iter().map(|option| (option.name, option.argument)).collect();
                Ok((copy.query.to_string(), options))
            }
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn tables_and_queries() {
        for (sql, query) in [
            ("copy orders to stdout", "SELECT * FROM orders"),
            ("COPY Sales.\"Odd\" TO STDIN", "SELECT * FROM Sales.\"Odd\""),
            ("copy a.b.c (X, \"Y\") to stdout", "SELECT X, \"Y\" FROM a.b.c"),
            ("copy t version as of 3 to stdout", "SELECT * FROM t VERSION AS OF 3"),
            ("copy (select 1 as a) to stdout", "SELECT 1 AS a"),
            ("copy (values (1), (2)) to stdout", "VALUES (1), (2)"),
            ("copy (with x as (select 1) select * from x) to stdout", "WITH x AS (SELECT 1) SELECT * FROM x"),
            ("copy binary to stdout", "SELECT * FROM binary"),
        ] {
            assert_eq!(read(sql).unwrap().0, query, "{sql}");
        }
    }

    #[test]
    fn options_of_three_ages() {
        let text = |name: &str, value: &str| (name.to_owned(), Argument::Text(value.to_owned()));
        let list = |name: &str, values: &[&str]| {
            (name.to_owned(), Argument::List(values.iter().map(|&value| value.to_owned()).collect()))
        };
        for (options, expected) in [
            ("", vec![]),
            ("csv", vec![text("format", "csv")]),
            ("with csv header", vec![text("format", "csv"), text("header", "true")]),
            (
                "delimiter as '|' null 'x' csv quote '\"' escape as '\\'",
                vec![
                    text("delimiter", "|"),
                    text("null", "x"),
                    text("format", "csv"),
                    text("quote", "\""),
                    text("escape", "\\"),
                ],
            ),
            ("csv force quote a, \"B\"", vec![text("format", "csv"), list("force_quote", &["a", "B"])]),
            ("csv force quote *", vec![text("format", "csv"), ("force_quote".to_owned(), Argument::Star)]),
            ("using delimiters ';' with null as ''", vec![text("delimiter", ";"), text("null", "")]),
            ("binary", vec![text("format", "binary")]),
            ("(format binary)", vec![text("format", "binary")]),
            ("with (FORMAT 'csv', header, delimiter e'\\t')", {
                vec![text("format", "csv"), ("header".to_owned(), Argument::None), text("delimiter", "\t")]
            }),
            ("(header 1, force_quote (a, 'b'), force_quote *)", {
                vec![
                    ("header".to_owned(), Argument::Number("1".to_owned())),
                    list("force_quote", &["a", "b"]),
                    ("force_quote".to_owned(), Argument::Star),
                ]
            }),
        ] {
            assert_eq!(read(&format!("copy t to stdout {options}")).unwrap().1, expected, "{options}");
        }
        assert_eq!(read("copy binary t to stdout").unwrap().1, [text("format", "binary")]);
    }

    #[test]
    fn syntax_errors_say_where() {
        for (sql, message, position) in [
            ("copy", "syntax error at end of input", 5),
            ("copy t", "syntax error at end of input", 7),
            ("copy t into stdout", "syntax error at or near \"into\"", 8),
            ("copy t to", "syntax error at end of input", 10),
            ("copy t to stdout (format csv", "syntax error at end of input", 29),
            ("copy t to stdout ()", "syntax error at or near \")\"", 19),
            ("copy t to stdout csv x", "syntax error at or near \"x\"", 22),
            ("copy (select 1) from stdin", "syntax error at or near \"from\"", 17),
            ("copy t to stdout delimiter x", "syntax error at or near \"x\"", 28),
        ] {
            let error = read(sql).unwrap_err();
            let found = (error.sqlstate(), error.message(), error.report().position);
            assert_eq!(found, (SqlState::SYNTAX_ERROR, message, Some(position)), "{sql}");
        }
    }

    #[test]
    fn files_programs_and_copy_from_are_refused() {
        for (sql, code) in [
            ("copy t to '/tmp/x'", "42501"),
            ("copy t from '/etc/passwd'", "42501"),
            ("copy (select 1) to program 'cat'", "42501"),
            ("copy t from program 'cat'", "42501"),
            ("copy t from stdin", "25006"),
            ("copy t (a, b) from stdin with (format csv) where a > 1", "25006"),
            ("copy (insert into t values (1) returning *) to stdout", "25006"),
            ("copy (select * into x from t) to stdout", "25006"),
        ] {
            assert_eq!(read(sql).unwrap_err().sqlstate().code(), code, "{sql}");
        }
    }
}
