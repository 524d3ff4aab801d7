//! GRANT and REVOKE, read token by token: sqlparser's own reading has no place for `WITH (expires = '…')`, and takes much
//! that pgmesh refuses. PostgreSQL 15, SQL commands GRANT and REVOKE.
//!
//! Knows the grammar and which of it can mean anything here; which objects and principals there are, others know.

use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::near;
use super::reader::{Reader, is};
use crate::error::{Error, Result, SqlState};

/// Privileges of PostgreSQL that are none here, on tables and on schemas.
const WRITING: &[&str] = &["insert", "update", "delete", "truncate", "references", "trigger", "maintain", "create"];
const OTHERS: &[&str] = &["connect", "temporary", "temp", "execute", "set", "alter"];
/// Kinds of objects that only have a meaning to PostgreSQL.
const OTHER_OBJECTS: &[&str] = &[
    "sequence",
    "database",
    "domain",
    "foreign",
    "function",
    "procedure",
    "routine",
    "language",
    "large",
    "parameter",
    "tablespace",
    "type",
];

/// A GRANT or a REVOKE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileges {
    pub revoke: bool,
    pub objects: Objects,
    pub grantees: Vec<Role>,
    /// What `WITH (expires = '…')` says.
    pub expires: Option<String>,
}

impl Privileges {
    /// The command tag.
    pub fn tag(&self) -> &'static str {
        if self.revoke { "REVOKE" } else { "GRANT" }
    }
}

/// What rights are given or taken on. Names as PostgreSQL folds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objects {
    /// SELECT on tables: the parts of each name.
    Tables(Vec<Vec<String>>),
    /// SELECT on all tables of schemas.
    AllTablesIn(Vec<String>),
    /// USAGE on schemas.
    Schemas(Vec<String>),
}

/// Who it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A user, or else a group.
    Named(String),
    Group(String),
    Public,
    CurrentUser,
}

/// What PostgreSQL calls the kinds of objects in its errors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Relation,
    Schema,
}

/// Reads a statement whose first word is GRANT or REVOKE, up to its last token.
///
/// # Errors
/// `42601` with the position; `0A000` and `0LP01` for what means nothing here.
pub(super) fn parse(parser: &mut Parser<'_>, text: &str) -> Result<Privileges> {
    Reader { parser, text }.privileges_statement()
}

impl Reader<'_, '_> {
    fn privileges_statement(&mut self) -> Result<Privileges> {
        let revoke = is(&self.parser.next_token().token, "revoke");
        if revoke && (self.peek_is("grant") || self.peek_is("admin")) && self.nth_is(1, "option") {
            return Err(no_grant_option());
        }
        let privileges = self.privileges()?;
        if !self.take("on") {
            return Err(self.not_on());
        }
        let (objects, kind) = self.objects()?;
        for privilege in &privileges {
            check(privilege, kind, revoke)?;
        }
        self.expect(if revoke { "from" } else { "to" })?;
        let grantees = self.list(Self::role)?;
        let expires = self.ending(revoke)?;
        Ok(Privileges { revoke, objects, grantees, expires })
    }

    /// The words before ON, lower case; `all` for ALL PRIVILEGES.
    fn privileges(&mut self) -> Result<Vec<String>> {
        self.list(|reader| {
            let word = reader.word()?.value.to_lowercase();
            match word.as_str() {
                "all" => _ = reader.take("privileges"),
                "alter" => _ = reader.take("system"),
                _ => {}
            }
            if reader.parser.peek_token_ref().token == Token::LParen {
                return Err(Error::unsupported("privileges on single columns are not supported")
                    .hint("A mask in the product's contract hides a column."));
            }
            Ok(word)
        })
    }

    /// `GRANT role TO user` has no ON.
    fn not_on(&mut self) -> Error {
        if self.peek_is("to") || self.peek_is("from") {
            return Error::unsupported("roles cannot be granted or revoked")
                .hint("Who is in which group, and who has which role, is written in principals.yaml.");
        }
        self.unexpected()
    }

    fn objects(&mut self) -> Result<(Objects, Kind)> {
        let names_kind = |reader: &Self| {
            // `ON type TO …` is about a table of that name
            matches!(reader.parser.peek_nth_token(1).token, Token::Word(_))
                && !reader.nth_is(1, "to")
                && !reader.nth_is(1, "from")
        };
        if self.peek_is("all") && names_kind(self) {
            self.parser.advance_token();
            if !self.take("tables") {
                return Err(self.other_objects());
            }
            self.expect("in")?;
            self.expect("schema")?;
            return Ok((Objects::AllTablesIn(self.list(Self::name)?), Kind::Relation));
        }
        if self.peek_is("schema") && names_kind(self) {
            self.parser.advance_token();
            return Ok((Objects::Schemas(self.list(Self::name)?), Kind::Schema));
        }
        if self.peek_is("table") && names_kind(self) {
            self.parser.advance_token();
        } else if OTHER_OBJECTS.iter().any(|kind| self.peek_is(kind)) && names_kind(self) {
            return Err(self.other_objects());
        }
        Ok((Objects::Tables(self.list(Self::qualified_name)?), Kind::Relation))
    }

    fn other_objects(&mut self) -> Error {
        let kind = self.parser.peek_token().token.to_string().to_uppercase();
        Error::unsupported(format!("privileges on {kind} are not supported"))
            .hint("SELECT is granted on tables, USAGE on schemas.")
    }

    fn role(&mut self) -> Result<Role> {
        if self.take("group") {
            return Ok(Role::Group(self.name()?));
        }
        if ["current_user", "session_user", "current_role"].iter().any(|word| self.take(word)) {
            return Ok(Role::CurrentUser);
        }
        let name = self.name()?;
        // PostgreSQL knows no role of this name, in quotes or not
        Ok(if name == "public" { Role::Public } else { Role::Named(name) })
    }

    /// What may follow the grantees.
    fn ending(&mut self, revoke: bool) -> Result<Option<String>> {
        let mut expires = None;
        if !revoke && self.take("with") {
            if self.peek_is("grant") || self.peek_is("admin") {
                return Err(no_grant_option());
            }
            expires = self.options()?;
        }
        if self.peek_is("granted") && self.nth_is(1, "by") {
            return Err(Error::unsupported("GRANTED BY is not supported").hint("Who grants is who is logged in."));
        }
        if revoke && self.peek_is("cascade") {
            return Err(Error::unsupported("REVOKE CASCADE is not supported")
                .hint("Nobody hands a grant on, so there is nothing that depends on one."));
        }
        if revoke {
            self.take("restrict");
        }
        Ok(expires)
    }

    /// `(expires = '…')`.
    fn options(&mut self) -> Result<Option<String>> {
        self.expect_token(&Token::LParen)?;
        let mut expires = None;
        for (name, value) in self.list(Self::option)? {
            if name != "expires" {
                let message = format!("unrecognized parameter \"{name}\"");
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                    .hint("GRANT … WITH (expires = '…') takes a timestamp or an interval."));
            }
            if expires.replace(value).is_some() {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options"));
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(expires)
    }

    fn option(&mut self) -> Result<(String, String)> {
        let name = self.name()?;
        self.expect_token(&Token::Eq)?;
        let value = self.parser.next_token();
        match value.token {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => Ok((name, text)),
            Token::Placeholder(parameter) => {
                let message = format!("there is no parameter {parameter}");
                Err(Error::new(SqlState::UNDEFINED_PARAMETER, message)
                    .hint("GRANT takes no parameters: write the value itself."))
            }
            _ => Err(near(&value, self.text)),
        }
    }
}

/// Whether the privilege exists on this kind of object.
fn check(privilege: &str, kind: Kind, revoke: bool) -> Result<()> {
    let upper = privilege.to_uppercase();
    let (own, object) = match kind {
        Kind::Relation => ("select", "relation"),
        Kind::Schema => ("usage", "schema"),
    };
    let hint = "SELECT is granted on tables, USAGE on schemas.";
    match privilege {
        _ if privilege == own => Ok(()),
        // everything that can be granted
        "all" if revoke => Ok(()),
        "all" => Err(Error::unsupported("ALL PRIVILEGES cannot be granted").hint(hint)),
        "select" | "usage" => {
            let message = format!("invalid privilege type {upper} for {object}");
            Err(Error::new(SqlState::INVALID_GRANT_OPERATION, message).hint(hint))
        }
        _ if WRITING.contains(&privilege) => Err(Error::unsupported(format!("the privilege {upper} is not supported"))
            .hint("Data products are read-only here; their domains write them.")),
        _ if OTHERS.contains(&privilege) => {
            Err(Error::unsupported(format!("the privilege {upper} is not supported")).hint(hint))
        }
        _ => {
            let message = format!("unrecognized privilege type \"{privilege}\"");
            Err(Error::new(SqlState::SYNTAX_ERROR, message).hint(hint))
        }
    }
}

fn no_grant_option() -> Error {
    Error::unsupported("grant options are not supported").hint("A product's owners and mesh_admin grant access to it.")
}

#[cfg(test)]
mod tests {
    use super::super::reader::NAMES_MAX;
    use super::*;
    use crate::statement::classify::Command;
    use crate::statement::parse::parse;

    fn one(sql: &str) -> Result<Privileges> {
        match parse(sql)?.remove(0).command {
            Command::Privileges(privileges) => Ok(privileges),
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn named(name: &str) -> Role {
        Role::Named(name.to_owned())
    }

    #[test]
    fn what_can_be_said() {
        let tables = |tables: &[&[&str]]| Objects::Tables(tables.iter().map(|parts| names(parts)).collect());
        for (sql, revoke, objects, grantees, expires) in [
            ("grant select on orders to bob", false, tables(&[&["orders"]]), vec![named("bob")], None),
            (
                "GRANT Select ON TABLE Sales.Orders, \"Odd\".\"T\" TO Bob, \"Eve\", GROUP Analysts;",
                false,
                tables(&[&["sales", "orders"], &["Odd", "T"]]),
                vec![named("bob"), named("Eve"), Role::Group("analysts".to_owned())],
                None,
            ),
            (
                "grant select, select on mesh.a.b to public",
                false,
                tables(&[&["mesh", "a", "b"]]),
                vec![Role::Public],
                None,
            ),
            (
                "grant select on t to current_user, session_user with (expires = '30 days')",
                false,
                tables(&[&["t"]]),
                vec![Role::CurrentUser, Role::CurrentUser],
                Some("30 days"),
            ),
            ("grant select on t to x with (EXPIRES = e'1\\'')", false, tables(&[&["t"]]), vec![named("x")], Some("1'")),
            ("grant select on type to x", false, tables(&[&["type"]]), vec![named("x")], None),
            ("revoke select on schema from x", true, tables(&[&["schema"]]), vec![named("x")], None),
            (
                "grant select on all tables in schema sales, b to x",
                false,
                Objects::AllTablesIn(names(&["sales", "b"])),
                vec![named("x")],
                None,
            ),
            ("grant usage on schema sales to x", false, Objects::Schemas(names(&["sales"])), vec![named("x")], None),
            ("revoke usage on schema sales from x", true, Objects::Schemas(names(&["sales"])), vec![named("x")], None),
            ("revoke all on t from x restrict", true, tables(&[&["t"]]), vec![named("x")], None),
            (
                "revoke all privileges on schema s from public",
                true,
                Objects::Schemas(names(&["s"])),
                vec![Role::Public],
                None,
            ),
        ] {
            let expires = expires.map(str::to_owned);
            assert_eq!(one(sql).unwrap(), Privileges { revoke, objects, grantees, expires }, "{sql}");
        }
        assert_eq!(parse("grant select on a to b; revoke select on a from b; select 1").unwrap().len(), 3);
    }

    #[test]
    fn what_means_nothing_here_is_refused_exactly() {
        for (sql, expected) in [
            ("grant insert on t to x", "0A000 the privilege INSERT is not supported"),
            ("grant select, update on t to x", "0A000 the privilege UPDATE is not supported"),
            ("grant all on t to x", "0A000 ALL PRIVILEGES cannot be granted"),
            ("grant all privileges on schema s to x", "0A000 ALL PRIVILEGES cannot be granted"),
            ("grant create on schema s to x", "0A000 the privilege CREATE is not supported"),
            ("grant execute on t to x", "0A000 the privilege EXECUTE is not supported"),
            ("grant alter system on t to x", "0A000 the privilege ALTER is not supported"),
            ("grant usage on t to x", "0LP01 invalid privilege type USAGE for relation"),
            ("grant select on schema s to x", "0LP01 invalid privilege type SELECT for schema"),
            ("revoke usage on all tables in schema s from x", "0LP01 invalid privilege type USAGE for relation"),
            ("grant fly on t to x", "42601 unrecognized privilege type \"fly\""),
            ("grant select (a, b) on t to x", "0A000 privileges on single columns are not supported"),
            ("grant select on database mesh to x", "0A000 privileges on DATABASE are not supported"),
            ("grant execute on function f to x", "0A000 privileges on FUNCTION are not supported"),
            ("grant usage on all sequences in schema s to x", "0A000 privileges on SEQUENCES are not supported"),
            ("grant admins to x", "0A000 roles cannot be granted or revoked"),
            ("grant a, b to x with admin option", "0A000 roles cannot be granted or revoked"),
            ("revoke admins from x", "0A000 roles cannot be granted or revoked"),
            ("grant select on t to x with grant option", "0A000 grant options are not supported"),
            ("revoke grant option for select on t from x", "0A000 grant options are not supported"),
            ("revoke admin option for a from x", "0A000 grant options are not supported"),
            ("grant select on t to x granted by y", "0A000 GRANTED BY is not supported"),
            ("revoke select on t from x granted by y", "0A000 GRANTED BY is not supported"),
            ("revoke select on t from x cascade", "0A000 REVOKE CASCADE is not supported"),
            ("grant select on t to x with (colour = 'red')", "22023 unrecognized parameter \"colour\""),
            ("grant select on t to x with (expires = '1', expires = '2')", "42601 conflicting or redundant options"),
            ("grant select on t to x with (expires = $1)", "42P02 there is no parameter $1"),
            ("grant select on a.b.c.d to x", "42601 improper qualified name (too many dotted names): a.b.c.d"),
        ] {
            let error = one(sql).unwrap_err();
            assert_eq!(format!("{} {}", error.sqlstate().code(), error.message()), expected, "{sql}");
        }
    }

    #[test]
    fn syntax_errors_say_where() {
        for (sql, message, position) in [
            ("grant", "syntax error at end of input", 6),
            ("grant select", "syntax error at end of input", 13),
            ("grant select on t", "syntax error at end of input", 18),
            ("grant select on t from x", "syntax error at or near \"from\"", 19),
            ("revoke select on t to x", "syntax error at or near \"to\"", 20),
            ("grant select on 't' to x", "syntax error at or near \"'t'\"", 17),
            ("grant select on t to x,", "syntax error at end of input", 24),
            ("grant select on t to x with (expires '1')", "syntax error at or near \"'1'\"", 38),
            ("grant select on t to x with (expires = 1)", "syntax error at or near \"1\"", 40),
            ("grant select on t to x with ()", "syntax error at or near \")\"", 30),
            ("grant select on t to x with (expires = '1'", "syntax error at end of input", 43),
            ("grant select on t to x y", "syntax error at or near \"y\"", 24),
            ("revoke select on t from x with (expires = '1')", "syntax error at or near \"with\"", 27),
            ("grant select on t to x cascade", "syntax error at or near \"cascade\"", 24),
            ("grant select on all tables to x", "syntax error at or near \"to\"", 28),
        ] {
            let error = one(sql).unwrap_err();
            let found = (error.sqlstate(), error.message(), error.report().position);
            assert_eq!(found, (SqlState::SYNTAX_ERROR, message, Some(position)), "{sql}");
        }
        let many = vec!["t"; NAMES_MAX + 1].join(", ");
        let error = one(&format!("grant select on {many} to x")).unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::STATEMENT_TOO_COMPLEX);
    }
}
