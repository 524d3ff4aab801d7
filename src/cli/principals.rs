//! Edits the text of `principals.yaml` so that comments, order and layout survive: only the lines that must change do.
//!
//! Pure: text in, text out. Every result is parsed again and compared with what was meant; what would come out
//! differently is refused, never written. What users mean is not known here.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// How deep the file may nest; deeper ones are refused before they can exhaust the stack.
const DEPTH_MAX: usize = 64;

/// Why the text cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EditError {
    #[error("line {line}: this is not valid YAML: {cause}")]
    NotYaml { line: usize, cause: String },
    #[error("it must hold one mapping with the key users")]
    NoUsers,
    #[error("line {line}: the user {name} exists already; pgmesh user passwd changes the password")]
    Exists { name: String, line: usize },
    #[error("there is no user {0}; pgmesh user add adds one")]
    Unknown(String),
    #[error("the user {0} stands in it more than once")]
    Twice(String),
    #[error("it is laid out in a way that cannot be edited safely; edit it by hand{0}")]
    Layout(String),
}

/// Adds a user at the end of the list.
pub(super) fn add_user(text: &str, name: &str, groups: &[String], verifier: &str) -> Result<String, EditError> {
    let document = Document::parse(text)?;
    let users = document.users()?;
    if let Some(user) = users.items().iter().find(|user| user.name() == Some(name)) {
        return Err(EditError::Exists { name: name.to_owned(), line: user.line });
    }
    let groups_flow = groups.iter().map(|group| scalar(group)).collect::<Vec<_>>().join(", ");
    let fields = [("name", scalar(name)), ("scram", quoted(verifier)), ("groups", format!("[{groups_flow}]"))];
    let edited = match (users.items().last(), users.is_flow) {
        (Some(last), true) => insert(text, last.last_end(), &format!(", {}", flow_mapping(&fields))),
        (Some(last), false) => {
            let indent = document.dash_indent(last)?;
            insert_line_after(text, last.last_end(), &block_item(&indent, &fields))
        }
        (None, _) => document.start_list(users, &block_item("  ", &fields)),
    };
    let mut expected = document.root.meaning();
    expected.users_mut().push(Meaning::Mapping(vec![
        (text_meaning("name"), text_meaning(name)),
        (text_meaning("scram"), text_meaning(verifier)),
        (text_meaning("groups"), Meaning::Sequence(groups.iter().map(|group| text_meaning(group)).collect())),
    ]));
    checked(edited, &expected)
}

/// Gives a user another verifier.
pub(super) fn set_verifier(text: &str, name: &str, verifier: &str) -> Result<String, EditError> {
    let document = Document::parse(text)?;
    let users = document.users()?;
    let mut named = users.items().iter().enumerate().filter(|(_, user)| user.name() == Some(name));
    let (at, user) = named.next().ok_or_else(|| EditError::Unknown(name.to_owned()))?;
    if named.next().is_some() {
        return Err(EditError::Twice(name.to_owned()));
    }
    let edited = match (user.get("scram"), user.get("name")) {
        (Some(old), _) if document.is_plain_or_quoted(old) => document.replace(old.start, old.end, &quoted(verifier)),
        (None, Some(name)) if user.is_flow => insert(text, name.end, &format!(", scram: {}", quoted(verifier))),
        (None, Some(name)) => {
            let indent = " ".repeat(user.column);
            insert_line_after(text, name.end, &format!("{indent}scram: {}\n", quoted(verifier)))
        }
        (Some(_) | None, _) => return Err(EditError::Layout(format!(" (line {})", user.line))),
    };
    let mut expected = document.root.meaning();
    if let Some(user) = expected.users_mut().get_mut(at) {
        user.set_after_name("scram", text_meaning(verifier));
    }
    checked(edited, &expected)
}

/// The text, if it says what is expected and nothing else.
fn checked(text: String, expected: &Meaning) -> Result<String, EditError> {
    match Document::parse(&text) {
        Ok(document) if document.root.meaning() == *expected => Ok(text),
        Ok(_) | Err(_) => Err(EditError::Layout(String::new())),
    }
}

fn block_item(indent: &str, fields: &[(&str, String)]) -> String {
    let lines = fields.iter().enumerate().map(|(at, (key, value))| {
        let lead = if at == 0 { "- " } else { "  " };
        format!("{indent}{lead}{key}: {value}\n")
    });
    lines.collect()
}

fn flow_mapping(fields: &[(&str, String)]) -> String {
    let pairs: Vec<_> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A name as YAML: bare where nobody could read it as anything else.
fn scalar(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let has_meaning = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_word && !has_meaning.contains(&name.to_ascii_lowercase().as_str()) { name.to_owned() } else { quoted(name) }
}

/// JSON's strings are YAML's double-quoted ones (YAML 1.2, section 1.3).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The parsed text, with places.
struct Document<'t> {
    text: &'t str,
    root: Node,
}

/// A node and where it stands; `start` and `end` are byte offsets, and `end` of a block collection means nothing.
struct Node {
    start: usize,
    end: usize,
    /// From 1.
    line: usize,
    /// In characters, from 0.
    column: usize,
    is_flow: bool,
    kind: Kind,
}

enum Kind {
    Scalar { value: String, style: ScalarStyle },
    Alias(usize),
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// A node without its place and layout: what two texts must have in common to say the same.
#[derive(Clone, Debug, PartialEq)]
enum Meaning {
    /// A bare scalar may be a number or a truth value, a quoted one is text.
    Scalar {
        value: String,
        is_text: bool,
    },
    Alias(usize),
    Sequence(Vec<Meaning>),
    Mapping(Vec<(Meaning, Meaning)>),
}

/// Names that are written bare are words that can be nothing but text, so both ways of writing them mean the same.
fn text_meaning(text: &str) -> Meaning {
    Meaning::Scalar { value: text.to_owned(), is_text: true }
}

impl Meaning {
    fn users_mut(&mut self) -> &mut Vec<Meaning> {
        let Self::Mapping(pairs) = self else { unreachable!("the document was a mapping with users") };
        let Some((_, users)) = pairs.iter_mut().find(|(key, _)| *key == text_meaning("users")) else {
            unreachable!("the document was a mapping with users")
        };
        if !matches!(users, Self::Sequence(_)) {
            // `users:` without a value is an empty list.
            *users = Self::Sequence(Vec::new());
        }
        let Self::Sequence(items) = users else { unreachable!("it has just become a sequence") };
        items
    }

    /// Replaces the value of a key, or puts the key after `name`.
    fn set_after_name(&mut self, key: &str, value: Meaning) {
        let Self::Mapping(pairs) = self else { return };
        if let Some((_, old)) = pairs.iter_mut().find(|(found, _)| *found == text_meaning(key)) {
            *old = value;
        } else if let Some(at) = pairs.iter().position(|(found, _)| *found == text_meaning("name")) {
            pairs.insert(at + 1, (text_meaning(key), value));
        }
    }
}

impl Node {
    fn meaning(&self) -> Meaning {
        match &self.kind {
            Kind::Scalar { value, style } => Meaning::Scalar {
                value: value.clone(),
                is_text: *style != ScalarStyle::Plain || scalar(value) == *value,
            },
            Kind::Alias(anchor) => Meaning::Alias(*anchor),
            Kind::Sequence(items) => Meaning::Sequence(items.iter().map(Node::meaning).collect()),
            Kind::Mapping(pairs) => {
                Meaning::Mapping(pairs.iter().map(|(key, value)| (key.meaning(), value.meaning())).collect())
            }
        }
    }

    fn items(&self) -> &[Node] {
        if let Kind::Sequence(items) = &self.kind { items } else { &[] }
    }

    fn get(&self, name: &str) -> Option<&Node> {
        let Kind::Mapping(pairs) = &self.kind else { return None };
        pairs.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    fn text(&self) -> Option<&str> {
        if let Kind::Scalar { value, .. } = &self.kind { Some(value) } else { None }
    }

    /// The name of a user.
    fn name(&self) -> Option<&str> {
        self.get("name").and_then(Node::text)
    }

    /// Where the last character of the node's content ends, comments after it aside.
    fn last_end(&self) -> usize {
        if self.is_flow {
            return self.end;
        }
        match &self.kind {
            Kind::Scalar { .. } | Kind::Alias(_) => self.end,
            Kind::Sequence(items) => items.last().map_or(self.end, Node::last_end),
            Kind::Mapping(pairs) => pairs.last().map_or(self.end, |(key, value)| key.end.max(value.last_end())),
        }
    }
}

impl<'t> Document<'t> {
    fn parse(text: &'t str) -> Result<Self, EditError> {
        // The parser counts characters.
        let mut offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
        offsets.push(text.len());
        let mut events = Vec::new();
        for event in Parser::new_from_str(text) {
            events.push(event.map_err(|e| EditError::NotYaml { line: e.marker().line(), cause: e.info().to_owned() })?);
        }
        let documents = events.iter().filter(|(event, _)| matches!(event, Event::DocumentStart(_))).count();
        let mut builder = Builder { text, events: events.into_iter(), offsets: &offsets };
        match builder.next_node(0)? {
            Ok(root) if documents == 1 => Ok(Self { text, root }),
            Ok(_) | Err(_) => Err(EditError::NoUsers),
        }
    }

    /// The list of users; where `users:` has no value, the place where it would stand.
    fn users(&self) -> Result<&Node, EditError> {
        let Kind::Mapping(pairs) = &self.root.kind else { return Err(EditError::NoUsers) };
        let mut found = pairs.iter().filter(|(key, _)| key.text() == Some("users"));
        let (Some((_, users)), None) = (found.next(), found.next()) else { return Err(EditError::NoUsers) };
        match &users.kind {
            Kind::Sequence(_) => Ok(users),
            Kind::Scalar { value, style: ScalarStyle::Plain } if matches!(value.as_str(), "" | "~" | "null") => {
                Ok(users)
            }
            Kind::Scalar { .. } | Kind::Alias(_) | Kind::Mapping(_) => Err(EditError::NoUsers),
        }
    }

    /// A scalar on its own, without anchor, tag or block style, can be replaced by another.
    fn is_plain_or_quoted(&self, node: &Node) -> bool {
        let Kind::Scalar { style, .. } = &node.kind else { return false };
        let is_simple = matches!(style, ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        is_simple && node.end > node.start && !self.text[node.start..].starts_with(['&', '!'])
    }

    /// What stands before the `-` of a list's item.
    fn dash_indent(&self, item: &Node) -> Result<String, EditError> {
        let line_start = self.text[..item.start].rfind('\n').map_or(0, |at| at + 1);
        let lead = &self.text[line_start..item.start];
        match lead.split_once('-') {
            Some((indent, rest)) if indent.trim().is_empty() && rest.trim().is_empty() => Ok(indent.to_owned()),
            _ => Err(EditError::Layout(format!(" (line {})", item.line))),
        }
    }

    fn replace(&self, start: usize, end: usize, by: &str) -> String {
        [&self.text[..start], by, &self.text[end..]].concat()
    }

    /// Puts the first item into `users: []`, or into `users:` without a value.
    fn start_list(&self, empty: &Node, item: &str) -> String {
        let before = self.text[..empty.start].trim_end_matches(' ');
        let without_value = [before, &self.text[empty.end..]].concat();
        insert_line_after(&without_value, before.len(), item)
    }
}

fn insert(text: &str, at: usize, what: &str) -> String {
    [&text[..at], what, &text[at..]].concat()
}

/// Inserts whole lines after the line that `at` stands in. What ends a line in the text ends these too.
fn insert_line_after(text: &str, at: usize, lines: &str) -> String {
    let lines = if text.contains("\r\n") { lines.replace('\n', "\r\n") } else { lines.to_owned() };
    // A block scalar may end with the beginning of the next line.
    if text[..at].ends_with('\n') {
        return insert(text, at, &lines);
    }
    match text[at..].find('\n') {
        Some(length) => insert(text, at + length + 1, &lines),
        None => format!("{text}\n{lines}"),
    }
}

/// Makes nodes of the parser's events.
struct Builder<'e, 't> {
    text: &'t str,
    events: std::vec::IntoIter<(Event<'t>, Span)>,
    /// Byte offset of each character.
    offsets: &'e [usize],
}

impl Builder<'_, '_> {
    /// The next node; at the end of a collection or of the text, the place where that ends.
    fn next_node(&mut self, depth: usize) -> Result<Result<Node, usize>, EditError> {
        if depth > DEPTH_MAX {
            return Err(EditError::Layout(format!(": it nests deeper than {DEPTH_MAX}")));
        }
        while let Some((event, span)) = self.events.next() {
            let start = self.offset(span.start.index());
            let mut end = self.offset(span.end.index());
            // Only `[` and `{` take room; a block collection begins with its first item.
            let is_flow = end > start;
            let kind = match event {
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => continue,
                // A flow collection ends with its bracket, and what the parser counts after it is not part of it.
                Event::SequenceEnd | Event::MappingEnd if self.text[start..].starts_with([']', '}']) => {
                    return Ok(Err(start + 1));
                }
                Event::SequenceEnd | Event::MappingEnd => return Ok(Err(end)),
                Event::Alias(anchor) => Kind::Alias(anchor),
                Event::Scalar(value, style, _, _) => {
                    // The parser may count the blanks and the comment after a scalar as part of it.
                    end = scalar_length(&self.text[start..], &value, style).map_or(end, |length| start + length);
                    Kind::Scalar { value: value.into_owned(), style }
                }
                Event::SequenceStart(..) => {
                    let mut items = Vec::new();
                    end = self.collect(depth, &mut items)?;
                    Kind::Sequence(items)
                }
                Event::MappingStart(..) => {
                    let mut nodes = Vec::new();
                    end = self.collect(depth, &mut nodes)?;
                    Kind::Mapping(pairs(nodes))
                }
            };
            return Ok(Ok(Node { start, end, line: span.start.line(), column: span.start.col(), is_flow, kind }));
        }
        Ok(Err(self.offset(usize::MAX)))
    }

    /// The nodes of a collection, and where it ends.
    fn collect(&mut self, depth: usize, nodes: &mut Vec<Node>) -> Result<usize, EditError> {
        loop {
            match self.next_node(depth + 1)? {
                Ok(node) => nodes.push(node),
                Err(end) => return Ok(end),
            }
        }
    }

    fn offset(&self, character: usize) -> usize {
        self.offsets.get(character).or(self.offsets.last()).copied().unwrap_or(0)
    }
}

/// The length in bytes of a scalar at the beginning of `text`, where its style shows where it ends.
fn scalar_length(text: &str, value: &str, style: ScalarStyle) -> Option<usize> {
    match style {
        ScalarStyle::Plain => text.starts_with(value).then_some(value.len()),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let mut characters = text.char_indices().skip(1).peekable();
            while let Some((at, character)) = characters.next() {
                if character == '\\' && quote == '"' {
                    characters.next();
                } else if character == quote {
                    // Inside single quotes, two of them stand for one.
                    if quote == '"' || characters.next_if(|(_, next)| *next == quote).is_none() {
                        return Some(at + 1);
                    }
                }
            }
            None
        }
        ScalarStyle::Literal | ScalarStyle::Folded => None,
    }
}

/// The parser gives keys and values in turn, one value for every key.
fn pairs(nodes: Vec<Node>) -> Vec<(Node, Node)> {
    let mut nodes = nodes.into_iter();
    std::iter::from_fn(|| nodes.next().zip(nodes.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(text: &str) -> Result<String, EditError> {
        add_user(text, "anna", &["sales".to_owned(), "odd group".to_owned()], "SCRAM$v")
    }

    #[test]
    fn a_user_goes_to_the_end_of_a_block_list_and_nothing_else_changes() {
        let text = "# head\nusers:   # all\n  - name: bé   # ours\n    groups: [x]   # why\n\n# tail\ngroups: []\n";
        assert_eq!(
            added(text).expect("edited"),
            "# head\nusers:   # all\n  - name: bé   # ours\n    groups: [x]   # why\n  - name: anna\n    scram: \"SCRAM$v\"\n    \
             groups: [sales, \"odd group\"]\n\n# tail\ngroups: []\n"
        );
        let tight = "users:\n- {name: b}";
        assert_eq!(
            added(tight).expect("edited"),
            "users:\n- {name: b}\n- name: anna\n  scram: \"SCRAM$v\"\n  groups: [sales, \"odd group\"]\n"
        );
    }

    #[test]
    fn a_user_goes_into_flow_lists_and_empty_ones() {
        let item = "- name: anna\n    scram: \"SCRAM$v\"\n    groups: [sales, \"odd group\"]";
        for (text, expected) in [
            (
                "users: [{name: b}, ]   # all\nx: 1\n",
                "users: [{name: b}, {name: anna, scram: \"SCRAM$v\", groups: [sales, \"odd group\"]}, ]   # all\nx: 1\n"
                    .to_owned(),
            ),
            ("users: []   # none yet\nx: 1\n", format!("users:   # none yet\n  {item}\nx: 1\n")),
            ("users:\nx: 1\n", format!("users:\n  {item}\nx: 1\n")),
            ("users: ~", format!("users:\n  {item}\n")),
            ("x: 1\nusers:   # none\n", format!("x: 1\nusers:   # none\n  {item}\n")),
        ] {
            assert_eq!(added(text).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn windows_line_ends_stay() {
        let text = "users:\r\n  - name: b\r\n    scram: old\r\n";
        let edited = added(text).expect("edited");
        assert_eq!(edited.matches('\n').count(), edited.matches("\r\n").count(), "{edited:?}");
        let edited = set_verifier("users:\r\n  - name: b\r\n    groups: []\r\n", "b", "V").expect("edited");
        assert_eq!(edited, "users:\r\n  - name: b\r\n    scram: \"V\"\r\n    groups: []\r\n");
    }

    #[test]
    fn a_verifier_is_replaced_where_it_stands() {
        for old in ["old", "'old'", "'it''s'", "\"a\\\"b\"", "\"old\"", "SCRAM-SHA-256$4096:x$y:z"] {
            let text = format!("users:\n  - scram: {old}   # mine\n    name: \"bert\"\n  - name: c\n");
            let expected = "users:\n  - scram: \"V\"   # mine\n    name: \"bert\"\n  - name: c\n";
            assert_eq!(set_verifier(&text, "bert", "V").expect(old), expected);
        }
        let flow = "users: [{name: a}, {name: bert, scram: old, groups: [x]}]\n";
        let expected = "users: [{name: a}, {name: bert, scram: \"V\", groups: [x]}]\n";
        assert_eq!(set_verifier(flow, "bert", "V").expect("edited"), expected);
    }

    #[test]
    fn a_missing_verifier_goes_after_the_name() {
        let block = "users:\n  - name: bert   # ours\n    groups: [x]\n";
        let expected = "users:\n  - name: bert   # ours\n    scram: \"V\"\n    groups: [x]\n";
        assert_eq!(set_verifier(block, "bert", "V").expect("edited"), expected);
        let flow = "users:\n  - {name: bert, groups: [x]}\n";
        let expected = "users:\n  - {name: bert, scram: \"V\", groups: [x]}\n";
        assert_eq!(set_verifier(flow, "bert", "V").expect("edited"), expected);
        assert_eq!(set_verifier("users: [{name: b}]", "b", "V").expect("edited"), "users: [{name: b, scram: \"V\"}]");
    }

    #[test]
    fn names_that_yaml_would_read_otherwise_are_quoted() {
        for (name, written) in [
            ("anna-b.c_1", "anna-b.c_1"),
            ("true", "\"true\""),
            ("No", "\"No\""),
            ("1e3", "\"1e3\""),
            ("a: b", "\"a: b\""),
        ] {
            let edited = add_user("users: []\n", name, &[], "V").expect("edited");
            assert!(edited.contains(&format!("- name: {written}\n")), "{edited}");
        }
        let odd = "quote\" back\\slash é \u{1f600} #";
        let edited = add_user("users: []\n", odd, &[], "V").expect("edited");
        assert!(set_verifier(&edited, odd, "W").is_ok_and(|text| text.contains("scram: \"W\"")));
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        for text in ["", "a\n", "- users\n", "x: 1\n", "users: 5\n", "users: {a: b}\n", "users: []\n---\nusers: []\n"] {
            assert_eq!(added(text), Err(EditError::NoUsers), "{text:?}");
        }
        assert!(matches!(added("users: [\n"), Err(EditError::NotYaml { .. })));
        assert!(matches!(added("users:\n - a: b: c\n"), Err(EditError::NotYaml { line: 2, .. })));
        assert!(matches!(added("{users: []}\n"), Err(EditError::Layout(_))));
        let deep = format!("users: []\nx: {}{}\n", "[".repeat(80), "]".repeat(80));
        assert!(matches!(added(&deep), Err(EditError::Layout(_) | EditError::NotYaml { .. })));

        let exists = "users:\n  - name: x\n  - name: 'anna'\n";
        assert_eq!(added(exists), Err(EditError::Exists { name: "anna".into(), line: 3 }));
        assert_eq!(set_verifier(exists, "zoe", "V"), Err(EditError::Unknown("zoe".into())));
        let twice = "users: [{name: b}, {name: b}]\n";
        assert_eq!(set_verifier(twice, "b", "V"), Err(EditError::Twice("b".into())));
        for scram in ["&a old", "|\n      old", "!!str old", "[x]"] {
            let text = format!("users:\n  - name: b\n    scram: {scram}\n");
            assert!(matches!(set_verifier(&text, "b", "V"), Err(EditError::Layout(_))), "{scram}");
        }
        let alias = "x: &v old\nusers:\n  - name: b\n    scram: *v\n";
        assert!(matches!(set_verifier(alias, "b", "V"), Err(EditError::Layout(_))));
    }
}
