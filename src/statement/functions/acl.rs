//! Access control lists taken apart: what `aclexplode` returns.
//!
//! PostgreSQL 15, section 5.7 "Privileges", table 5.1 "ACL Privilege Abbreviations" (`acl.c`).

use super::known::Known;

/// Privileges by the letters that stand for them.
const LETTERS: [(char, &str); 14] = [
    ('r', "SELECT"),
    ('a', "INSERT"),
    ('w', "UPDATE"),
    ('d', "DELETE"),
    ('D', "TRUNCATE"),
    ('x', "REFERENCES"),
    ('t', "TRIGGER"),
    ('X', "EXECUTE"),
    ('U', "USAGE"),
    ('C', "CREATE"),
    ('T', "TEMPORARY"),
    ('c', "CONNECT"),
    ('s', "SET"),
    ('A', "ALTER SYSTEM"),
];

/// One privilege of one grantee; OID 0 is everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    pub grantor: u32,
    pub grantee: u32,
    pub privilege: &'static str,
    pub is_grantable: bool,
}

/// What `grantee=r*w/grantor` grants. Nothing for a role that the principal does not know of.
pub fn granted(known: &Known, item: &str) -> Vec<Granted> {
    let role = |name: &str| if name.is_empty() { Some(0) } else { known.oids.role(name) };
    let Some((grantee, letters, grantor)) = parts(item) else { return Vec::new() };
    let (Some(grantee), Some(grantor)) = (role(&grantee), role(&grantor)) else { return Vec::new() };
    privileges(letters)
        .into_iter()
        .map(|(privilege, is_grantable)| Granted { grantor, grantee, privilege, is_grantable })
        .collect()
}

fn parts(item: &str) -> Option<(String, &str, String)> {
    let (grantee, rest) = name(item)?;
    let (letters, grantor) = rest.strip_prefix('=')?.split_once('/')?;
    Some((grantee, letters, name(grantor)?.0))
}

/// A role's name, in quotes or not, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('=').unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let end = quoted.match_indices('"').find(|(at, _)| {
        let after = quoted[*at..].bytes().take_while(|b| *b == b'"').count();
        let before = quoted[..*at].bytes().rev().take_while(|b| *b == b'"').count();
        (after + before) % 2 == 1 && after == 1
    });
    let (end, _) = end?;
    Some((quoted[..end].replace("\"\"", "\""), &quoted[end + 1..]))
}

fn privileges(letters: &str) -> Vec<(&'static str, bool)> {
    let mut found: Vec<(&'static str, bool)> = Vec::new();
    for letter in letters.chars() {
        if letter == '*' {
            if let Some(last) = found.last_mut() {
                last.1 = true;
            }
        } else if let Some((_, privilege)) = LETTERS.iter().find(|(known, _)| *known == letter) {
            found.push((privilege, false));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_taken_apart() {
        let taken = |item| parts(item).map(|(grantee, letters, grantor)| format!("{grantee}|{letters}|{grantor}"));
        assert_eq!(taken("ann=r*w/bob").as_deref(), Some("ann|r*w|bob"));
        assert_eq!(taken("=U/postgres").as_deref(), Some("|U|postgres"));
        assert_eq!(taken("\"a@b.c\"=r/\"x\"\"y\"").as_deref(), Some("a@b.c|r|x\"y"));
        assert_eq!(taken("nothing"), None);
        assert_eq!(privileges("r*w"), [("SELECT", true), ("UPDATE", false)]);
    }
}
