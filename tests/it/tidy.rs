//! Holds the house in order: every file says what it owns, arrows between rooms never point up, files stay small.
//!
//! It reads the sources as text and knows nothing of what they do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may name, from the top of the house to its foundations (STYLE.md, "Rooms").
///
/// `catalog` and `delta` do not know each other; `access` does no I/O.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "server",
            "mesh",
            "state",
            "engine",
            "access",
            "catalog",
            "delta",
            "settings",
            "telemetry",
            "config",
            "error",
        ],
    ),
    (
        "server",
        &[
            "wire",
            "session",
            "statement",
            "mesh",
            "quality",
            "state",
            "access",
            "catalog",
            "delta",
            "engine",
            "telemetry",
            "config",
            "error",
        ],
    ),
    (
        "wire",
        &[
            "session",
            "statement",
            "mesh",
            "access",
            "catalog",
            "engine",
            "settings",
            "pgtype",
            "telemetry",
            "config",
            "error",
        ],
    ),
    (
        "session",
        &[
            "statement",
            "mesh",
            "quality",
            "state",
            "access",
            "catalog",
            "delta",
            "engine",
            "settings",
            "pgtype",
            "telemetry",
            "config",
            "error",
        ],
    ),
    (
        "statement",
        &[
            "mesh",
            "quality",
            "state",
            "access",
            "apply",
            "catalog",
            "delta",
            "engine",
            "settings",
            "pgtype",
            "telemetry",
            "config",
            "error",
        ],
    ),
    ("mesh", &["quality", "state", "access", "catalog", "delta", "engine", "settings", "telemetry", "config", "error"]),
    ("quality", &["access", "catalog", "delta", "engine", "settings", "telemetry", "config", "error"]),
    ("state", &["delta", "engine", "settings", "telemetry", "config", "error"]),
    ("access", &["apply", "catalog", "engine", "settings", "telemetry", "config", "error"]),
    ("catalog", &["settings", "telemetry", "config", "error"]),
    ("delta", &["engine", "settings", "telemetry", "config", "error"]),
    ("engine", &["settings", "telemetry", "config", "error"]),
    ("pgtype", &["settings", "error"]),
    ("settings", &["config", "error"]),
    ("apply", &["error"]),
    ("telemetry", &["config", "error"]),
    ("config", &["error"]),
    ("error", &[]),
    // The map of the house declares every room and uses none.
    ("lib", &[]),
];

/// The crates that only one room may name.
const OWNED_CRATES: &[(&str, &str)] = &[("pgwire", "wire"), ("deltalake", "delta"), ("delta_kernel", "delta")];

/// Longer files tell two stories.
const LINES_MAX: usize = 900;

struct Source {
    path: PathBuf,
    text: String,
    /// `crate::room::file` has the depth 2.
    depth: usize,
    room: String,
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let without: Vec<_> =
        sources().iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.path.clone()).collect();
    assert!(without.is_empty(), "these files do not open with //!: {without:?}");
}

#[test]
fn every_room_is_on_the_map() {
    let unknown: BTreeSet<_> =
        sources().into_iter().map(|file| file.room).filter(|room| arrows_of(room).is_none()).collect();
    assert!(unknown.is_empty(), "these rooms are not in ARROWS: {unknown:?}");
}

#[test]
fn arrows_never_point_up() {
    let mut wrong = Vec::new();
    for file in sources() {
        let allowed = arrows_of(&file.room).unwrap_or_default();
        for (number, line) in code_lines(&file.text) {
            for room in rooms_named(line, file.depth) {
                if room != file.room && !allowed.contains(&room.as_str()) {
                    wrong.push(format!("{}:{number}: {} must not name {room}", file.path.display(), file.room));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_arrows_have_no_circle() {
    // A room may name only rooms further down in the table.
    for (at, (room, allowed)) in ARROWS.iter().enumerate() {
        for lower in *allowed {
            let found = ARROWS.iter().position(|(name, _)| name == lower);
            assert!(found.is_some_and(|found| found > at), "{room} may not name {lower}");
        }
    }
}

#[test]
fn a_crate_belongs_to_one_room() {
    let mut wrong = Vec::new();
    for file in sources() {
        for (number, line) in code_lines(&file.text) {
            for (name, room) in OWNED_CRATES {
                let named = words(line).any(|(word, rest)| word == *name && rest.starts_with("::"));
                if named && file.room != *room {
                    wrong.push(format!("{}:{number}: only {room} names {name}", file.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_switched_off() {
    // Put together here, so that this file does not find itself.
    let forbidden = [
        ["todo", "!"].concat(),
        ["unimplemented", "!"].concat(),
        ["dbg", "!("].concat(),
        ["#[ign", "ore"].concat(),
        ["SessionContext", "::sql"].concat(),
    ];
    let mut wrong = Vec::new();
    for file in sources().into_iter().chain(test_files()) {
        for (number, line) in code_lines(&file.text) {
            wrong.extend(
                forbidden
                    .iter()
                    .filter(|word| line.contains(word.as_str()))
                    .map(|word| format!("{}:{number}: {word}", file.path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = sources()
        .into_iter()
        .chain(test_files())
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "these files have more than {LINES_MAX} lines: {long:?}");
}

#[test]
fn every_test_file_runs() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).expect("main.rs");
    let declared = |name: &str| main.lines().any(|line| line.trim() == format!("mod {name};"));
    for file in test_files() {
        let inside = file.path.strip_prefix("tests/it").expect("a path in tests/it");
        let name =
            inside.with_extension("").components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let name = name.expect("a name");
        assert!(name == "main" || declared(&name), "{} is no mod of tests/it/main.rs", file.path.display());
    }
}

#[test]
fn names_of_rooms_are_found() {
    let found = |line: &str, depth: usize| rooms_named(line, depth).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(found("use crate::catalog::model::User;", 2), "catalog");
    assert_eq!(found("use crate::{access::decide, wire};", 2), "access wire");
    assert_eq!(found("use crate::{self as house, error::{Error, Result}, session};", 2), "error session");
    assert_eq!(found("let x = crate::delta::open(crate::config::y());", 2), "config delta");
    assert_eq!(found("pub(crate) fn x() {}", 2), "");
    assert_eq!(found("use super::super::wire::scram;", 2), "wire");
    assert_eq!(found("use super::wire;", 2), "");
    assert_eq!(found("use pgmesh::cli;", 1), "cli");
    assert_eq!(code_lines("a\n  // crate::wire\n/// crate::wire\nb").map(|(n, _)| n).collect::<Vec<_>>(), [1, 4]);
}

fn arrows_of(room: &str) -> Option<&'static [&'static str]> {
    ARROWS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed)
}

/// The rooms that a line of code names, by `crate::`, by `pgmesh::` or by as many `super::` as lead to the root.
fn rooms_named(line: &str, depth: usize) -> BTreeSet<String> {
    let to_root = "super::".repeat(depth);
    let mut rooms = BTreeSet::new();
    for prefix in ["crate::", "pgmesh::", to_root.as_str()] {
        for (at, _) in line.match_indices(prefix) {
            let is_whole = !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':'));
            let rest = &line[at + prefix.len()..];
            if !is_whole || rest.starts_with("super") {
                continue;
            }
            let group = rest.strip_prefix('{').map(first_words_of_group);
            let named =
                group.unwrap_or_else(|| words(rest).next().map(|(word, _)| word.to_owned()).into_iter().collect());
            rooms.extend(named.into_iter().filter(|name| arrows_of(name).is_some()));
        }
    }
    rooms
}

/// Of `a::b, c::{d, e}, f}…`: a, c and f.
fn first_words_of_group(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut name = String::new();
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ if depth == 0 => name.push(character),
            _ => {}
        }
    }
    names.push(name);
    names.iter().filter_map(|name| words(name).next().map(|(word, _)| word.to_owned())).collect()
}

/// The identifiers of a line, each with what follows it.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.find(is_part)?;
        let word = &rest[start..];
        let length = word.find(|c| !is_part(c)).unwrap_or(word.len());
        rest = &word[length..];
        Some((&word[..length], rest))
    })
}

/// Lines with their numbers, comments left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn sources() -> Vec<Source> {
    read_all("src")
}

fn test_files() -> Vec<Source> {
    read_all("tests/it")
}

fn read_all(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    assert!(!files.is_empty(), "no sources in {folder}");
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            let inside = path.strip_prefix(root().join(folder)).expect("inside").with_extension("");
            let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let depth = parts.iter().filter(|part| *part != "mod").count();
            let path = path.strip_prefix(root()).expect("inside").to_owned();
            Source { path, text: join_groups(&text), depth, room: parts[0].clone() }
        })
        .collect()
}

/// Puts `use crate::{…}` that rustfmt has spread over lines on one line, and empty lines in place of the rest, so that
/// line numbers stay.
fn join_groups(text: &str) -> String {
    let mut joined = String::new();
    let mut waiting = 0;
    for line in text.lines() {
        let opens = line.trim_start().trim_start_matches("pub ").starts_with("use ") && !line.contains(';');
        if opens || waiting > 0 {
            waiting += 1;
            joined.push_str(line.trim());
            if line.contains(';') {
                joined.push_str(&"\n".repeat(waiting));
                waiting = 0;
            }
        } else {
            joined.push_str(line);
            joined.push('\n');
        }
    }
    joined
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
