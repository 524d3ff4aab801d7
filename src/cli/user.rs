//! `pgmesh user add | passwd | list`: asks for passwords, keeps only verifiers, replaces `principals.yaml` atomically.
//!
//! How the text of the file changes stands in `principals`; this file does the talking and the I/O.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::principals::{self, EditError};
use super::{Ended, Failure, Outcome};
use crate::catalog::credentials::refuse_user_name;
use crate::catalog::load::load;
use crate::catalog::model::Problem;
use crate::catalog::verifier::{DEFAULT_ITERATIONS, make_verifier};

/// Longest password that is taken, in bytes (PostgreSQL's own limit for clients, `PG_MAX_AUTH_TOKEN_LENGTH`).
const PASSWORD_BYTES_MAX: u64 = 65_535;

pub(super) fn add(dir: &Path, name: &str, groups: &[String], password_stdin: bool, out: &mut dyn Write) -> Ended {
    check_name("user", name)?;
    for group in groups {
        check_name("group", group)?;
    }
    let path = dir.join("principals.yaml");
    // What can be refused without a password is refused before one is asked for.
    principals::add_user(&read(&path)?, name, groups, "").map_err(|e| explain(&path, &e))?;
    let verifier = ask_verifier(name, password_stdin)?;
    rewrite(&path, |text| principals::add_user(text, name, groups, &verifier))?;
    writeln!(out, "added {name} to {}", path.display())?;
    if groups.is_empty() {
        writeln!(out, "the user is in no group: it sees only what is open to all, or what policies give it")?;
    }
    Ok(Outcome::Done)
}

pub(super) fn passwd(dir: &Path, name: &str, password_stdin: bool, out: &mut dyn Write) -> Ended {
    let path = dir.join("principals.yaml");
    principals::set_verifier(&read(&path)?, name, "").map_err(|e| explain(&path, &e))?;
    let verifier = ask_verifier(name, password_stdin)?;
    rewrite(&path, |text| principals::set_verifier(text, name, &verifier))?;
    writeln!(out, "changed the password of {name} in {}", path.display())?;
    Ok(Outcome::Done)
}

pub(super) fn list(dir: &Path, out: &mut dyn Write) -> Ended {
    let loaded = load(dir);
    let is_about_principals = |problem: &&Problem| problem.path.ends_with("principals.yaml");
    for problem in loaded.problems.iter().filter(is_about_principals) {
        // Standard output stays a table even where the file has problems.
        let _ = writeln!(io::stderr(), "{problem}");
    }
    let mut rows = vec![["name", "groups", "roles", "login"].map(str::to_owned)];
    for user in loaded.catalog.users.values() {
        let roles: Vec<_> = user.roles.iter().map(|role| role.as_str()).collect();
        let login = if user.scram.is_some() { "password" } else { "none" };
        rows.push([user.name.clone(), user.groups.join(","), roles.join(","), login.to_owned()]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(Outcome::Done)
}

fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    let reason = refuse_user_name(name);
    match reason {
        Some(reason) => Err(Failure::said(format!("no {what} can be called {name:?}: {reason}"))),
        None => Ok(()),
    }
}

/// Asks for a password, twice on a terminal, and turns it into a verifier at once.
fn ask_verifier(name: &str, password_stdin: bool) -> Result<String, Failure> {
    let password = if password_stdin {
        read_password(io::stdin().lock())?
    } else if io::stdin().is_terminal() {
        let first = prompt(&format!("Password for {name}: "))?;
        if first != prompt("The same again: ")? {
            return Err(Failure::said("the two passwords differ"));
        }
        first
    } else {
        return Err(Failure::said("there is no terminal to ask for the password; use --password-stdin"));
    };
    if password.is_empty() {
        return Err(Failure::said("an empty password is not taken"));
    }
    if password == name {
        let _ = writeln!(io::stderr(), "warning: the password is the user's name; it works on loopback only");
    }
    make_verifier(&password, DEFAULT_ITERATIONS).map(|verifier| verifier.to_string()).map_err(Failure::said)
}

fn prompt(text: &str) -> Result<String, Failure> {
    rpassword::prompt_password(text).map_err(|e| Failure::said(format!("cannot ask for the password: {e}")))
}

/// The first line, without its end.
fn read_password(mut input: impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    let limited = &mut io::Read::take(&mut input, PASSWORD_BYTES_MAX + 2);
    io::BufReader::new(limited)
        .read_line(&mut line)
        .map_err(|e| Failure::said(format!("cannot read the password from standard input: {e}")))?;
    let password = line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(Failure::said(format!("a password longer than {PASSWORD_BYTES_MAX} bytes is not taken")));
    }
    Ok(password.to_owned())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| Failure::said(format!("cannot read {}: {e}", path.display())))
}

fn explain(path: &Path, error: &EditError) -> Failure {
    Failure::said(format!("{}: {error}; nothing was changed", path.display()))
}

/// Replaces the file by its edited text in one step: a reader sees the old file or the new one, never a part.
fn rewrite(path: &Path, edit: impl FnOnce(&str) -> Result<String, EditError>) -> Result<(), Failure> {
    // Through a symbolic link the file itself is replaced, not the link.
    let path = fs::canonicalize(path).map_err(|e| Failure::said(format!("cannot find {}: {e}", path.display())))?;
    let draft = Draft::create(&path)?;
    let text = edit(&read(&path)?).map_err(|e| explain(&path, &e))?;
    draft.replace(&path, &text).map_err(|e| Failure::said(format!("cannot write {}: {e}", path.display())))
}

/// The file beside the real one that becomes it. Its name is fixed, so that it also keeps a second writer out.
struct Draft {
    path: PathBuf,
    file: fs::File,
}

impl Draft {
    fn create(target: &Path) -> Result<Self, Failure> {
        let path = target.with_file_name(".principals.yaml.new");
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(Failure::said(format!(
                "{} exists: another pgmesh user command is running, or one was interrupted; then remove the file",
                path.display()
            ))),
            Err(e) => Err(Failure::said(format!("cannot write {}: {e}", path.display()))),
        }
    }

    fn replace(mut self, target: &Path, text: &str) -> io::Result<()> {
        self.file.set_permissions(fs::metadata(target)?.permissions())?;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.path, target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a successful rename there is nothing under this name any more.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who may come in\napiVersion: pgmesh/v1\nkind: Principals\nusers:\n  - name: bert   # ours\n    \
                        groups: [sales]\n    roles: [auditor]\ngroups: [{name: sales}]\n";

    fn mesh(principals: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let mesh = "apiVersion: pgmesh/v1\nkind: Mesh\nmetadata: {name: mesh}\nspec: {}\n";
        fs::write(folder.path().join("mesh.yaml"), mesh).expect("written");
        fs::write(folder.path().join("principals.yaml"), principals).expect("written");
        folder
    }

    fn said(ended: Result<impl std::fmt::Debug, Failure>) -> String {
        match ended {
            Err(Failure::Said(message)) => message,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn listing_shows_groups_roles_and_login() {
        let folder = mesh(FILE);
        let mut out = Vec::new();
        list(folder.path(), &mut out).expect("a list");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "name  groups  roles    login\nbert  sales   auditor  none\n"
        );
    }

    #[test]
    fn names_that_nobody_can_have() {
        let folder = mesh(FILE);
        for name in ["", "pg_root", "PG_x", "a\nb", &"x".repeat(64)] {
            let message = said(add(folder.path(), name, &[], true, &mut Vec::new()));
            assert!(message.contains("no user can be called"), "{name:?}: {message}");
        }
        let message = said(add(folder.path(), "anna", &["pg_x".to_owned()], true, &mut Vec::new()));
        assert!(message.contains("no group can be called"), "{message}");
    }

    #[test]
    fn known_and_unknown_users_are_told_before_a_password_is_asked() {
        let folder = mesh(FILE);
        assert!(said(add(folder.path(), "bert", &[], true, &mut Vec::new())).contains("exists already"));
        assert!(said(passwd(folder.path(), "anna", true, &mut Vec::new())).contains("no user"));
        let empty = tempfile::tempdir().expect("a folder");
        assert!(said(passwd(empty.path(), "anna", true, &mut Vec::new())).contains("cannot read"));
    }

    #[test]
    fn the_file_is_replaced_whole_and_keeps_its_permissions() {
        let folder = mesh(FILE);
        let path = folder.path().join("principals.yaml");
        let verifier = make_verifier("secret", DEFAULT_ITERATIONS).expect("a verifier");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("permissions");
        }
        rewrite(&path, |text| principals::set_verifier(text, "bert", &verifier.to_string())).expect("written");
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.starts_with("# who may come in\n") && text.contains("# ours\n"), "{text}");
        assert_eq!(load(folder.path()).catalog.users["bert"].scram, Some(verifier));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "no draft is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o640);
        }
    }

    #[test]
    fn a_second_writer_is_kept_out_and_a_failed_edit_leaves_no_trace() {
        let folder = mesh(FILE);
        let path = folder.path().join("principals.yaml");
        let failed = rewrite(&path, |text| principals::set_verifier(text, "nobody", ""));
        assert!(said(failed).contains("nothing was changed"));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
        fs::write(folder.path().join(".principals.yaml.new"), "").expect("written");
        assert!(said(rewrite(&path, |text| Ok(text.to_owned()))).contains("another pgmesh user command"));
        assert_eq!(fs::read_to_string(&path).expect("text"), FILE);
    }

    #[test]
    fn passwords_from_standard_input_end_with_the_line() {
        for (input, password) in [
            ("secret\n", "secret"),
            ("secret\r\nmore\n", "secret"),
            ("no end", "no end"),
            (" a b \n", " a b "),
            ("", ""),
        ] {
            assert_eq!(read_password(input.as_bytes()).expect("a password"), password);
        }
        let long = "x".repeat(70_000);
        assert!(said(read_password(long.as_bytes())).contains("longer than"));
        assert!(said(read_password(&b"\xff\xfe\n"[..])).contains("cannot read the password"));
    }
}
