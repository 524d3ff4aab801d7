//! YAML with places: typed access to a file's nodes, where every complaint knows its line and column.
//!
//! It owns the reading of one file and its limits, and refuses to know what a contract means. All complaints of a file
//! are collected, not only the first. Files are untrusted: size, depth and number of nodes (aliases included) are bounded,
//! and nothing here recurses deeper than [`DEPTH_MAX`].

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::model::{Problem, ProblemSeverity, SourcePlace};

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// How deep sequences and mappings may nest.
pub const DEPTH_MAX: usize = 64;
/// How many nodes a file may have after its aliases are expanded: the bound against alias bombs.
pub const NODES_MAX: usize = 200_000;
/// How many problems of one file are kept; more would hide the first ones.
pub const PROBLEMS_MAX: usize = 200;

/// Reads one document. `None`: the text is no usable YAML, and `findings` says why.
pub fn parse(text: &str, findings: &Findings) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::new(findings);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.event(event, Mark::of(&span.start)).ok()?,
            Err(error) => {
                findings.error(Mark::of(error.marker()), format!("this is not valid YAML: {}", error.info()));
                return None;
            }
        }
    }
    if builder.root.is_none() {
        findings.error(Mark::FILE, "the file is empty");
    }
    builder.root.filter(|root| {
        let empty = root.is_null();
        if empty {
            findings.error(Mark::FILE, "the file is empty");
        }
        !empty
    })
}

/// A line and a column, both from 1; 0 where the whole file or line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub line: usize,
    pub column: usize,
}

impl Mark {
    /// The whole file.
    pub const FILE: Self = Self { line: 0, column: 0 };

    fn of(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

impl From<Place> for SourcePlace {
    fn from(place: Place) -> Self {
        Self { path: place.path, line: place.mark.line, column: place.mark.column }
    }
}

/// A mark in a file.
#[derive(Clone, Debug)]
pub struct Place {
    /// Relative to the folder that holds `catalog/`.
    pub path: Arc<Path>,
    pub mark: Mark,
}

impl Place {
    /// A problem at this place.
    pub fn problem(
        &self,
        severity: ProblemSeverity,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) -> Problem {
        Problem {
            severity,
            path: self.path.to_path_buf(),
            line: self.mark.line,
            column: self.mark.column,
            message: message.into(),
            suggestion,
        }
    }

    /// `path:line:column`, for messages that point at a second place.
    pub fn describe(&self) -> String {
        if self.mark.line == 0 {
            self.path.display().to_string()
        } else {
            format!("{}:{}:{}", self.path.display(), self.mark.line, self.mark.column)
        }
    }
}

/// What was found wrong in one file.
#[derive(Debug)]
pub struct Findings {
    path: Arc<Path>,
    found: RefCell<Vec<Problem>>,
    errors: std::cell::Cell<usize>,
}

impl Findings {
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), found: RefCell::new(Vec::new()), errors: std::cell::Cell::new(0) }
    }

    pub fn error(&self, mark: Mark, message: impl Into<String>) {
        self.add(ProblemSeverity::Error, mark, message.into(), None);
    }

    pub fn error_with(&self, mark: Mark, message: impl Into<String>, suggestion: Option<String>) {
        self.add(ProblemSeverity::Error, mark, message.into(), suggestion);
    }

    pub fn warn(&self, mark: Mark, message: impl Into<String>, suggestion: Option<String>) {
        self.add(ProblemSeverity::Warning, mark, message.into(), suggestion);
    }

    /// How many errors there are so far; a reader compares before and after to know whether its part is usable.
    pub fn errors(&self) -> usize {
        self.errors.get()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn place(&self, mark: Mark) -> Place {
        Place { path: Arc::clone(&self.path), mark }
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.found.into_inner()
    }

    fn add(&self, severity: ProblemSeverity, mark: Mark, message: String, suggestion: Option<String>) {
        if severity == ProblemSeverity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        let mut found = self.found.borrow_mut();
        if found.len() < PROBLEMS_MAX {
            found.push(self.place(mark).problem(severity, message, suggestion));
        }
    }
}

/// A node of a document.
#[derive(Clone, Debug)]
pub struct Node {
    pub mark: Mark,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    /// `plain`: written without quotes, so it may stand for a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if is_null_word(text))
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::Sequence(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Mapping(entries) => 1 + entries.iter().map(|(k, v)| k.count() + v.count()).sum::<usize>(),
        }
    }

    fn depth(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::Sequence(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Mapping(entries) => 1 + entries.iter().map(|(k, v)| k.depth().max(v.depth())).max().unwrap_or(0),
        }
    }

    /// What the node is, for messages.
    fn describe(&self) -> String {
        match &self.value {
            Value::Scalar { text, plain: true } if is_null_word(text) => "nothing".to_owned(),
            Value::Scalar { text, plain: true } if parse_flag(text).is_some() => format!("the boolean {text}"),
            Value::Scalar { text, plain: true } if parse_number(text).is_some() => format!("the number {text}"),
            Value::Scalar { .. } => "text".to_owned(),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

fn is_null_word(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A finite number; `nan` and `inf` are words here.
fn parse_number(text: &str) -> Option<f64> {
    let starts_like_one = text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse::<f64>().ok().filter(|number| starts_like_one && number.is_finite())
}

/// The parser's events become nodes on a stack, so that no input decides how deep the program's own stack grows.
struct Builder<'f> {
    findings: &'f Findings,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

struct Frame {
    mark: Mark,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Node, Node)>, key: Option<Node> },
}

/// The file was given up; the finding is already recorded.
struct GivenUp;

impl<'f> Builder<'f> {
    fn new(findings: &'f Findings) -> Self {
        Self { findings, stack: Vec::new(), anchors: BTreeMap::new(), nodes: 0, root: None, documents: 0 }
    }

    fn event(&mut self, event: Event<'_>, mark: Mark) -> Result<(), GivenUp> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.give_up(mark, "the file holds more than one YAML document");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text_tag(tag.as_deref(), mark);
                let node = Node { mark, value: Value::Scalar { text: text.into_owned(), plain } };
                return self.place(node, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.is_text_tag(tag.as_deref(), mark);
                return self.open(Frame { mark, anchor, content: Content::Sequence(Vec::new()) });
            }
            Event::MappingStart(anchor, tag) => {
                self.is_text_tag(tag.as_deref(), mark);
                return self.open(Frame { mark, anchor, content: Content::Mapping { entries: Vec::new(), key: None } });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    let value = match frame.content {
                        Content::Sequence(items) => Value::Sequence(items),
                        Content::Mapping { entries, .. } => Value::Mapping(self.without_duplicates(entries)),
                    };
                    return self.place(Node { mark: frame.mark, value }, frame.anchor);
                }
            }
            Event::Alias(anchor) => return self.alias(anchor, mark),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, frame: Frame) -> Result<(), GivenUp> {
        if self.stack.len() >= DEPTH_MAX {
            return self.give_up(frame.mark, format!("the file nests deeper than {DEPTH_MAX} levels"));
        }
        self.stack.push(frame);
        Ok(())
    }

    /// Puts a finished node where it belongs: into the collection that is open, or at the root.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), GivenUp> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return self.give_up(node.mark, format!("the file has more than {NODES_MAX} nodes"));
        }
        if anchor > 0 {
            self.nodes += node.count();
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { entries, key }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Result<(), GivenUp> {
        let Some(target) = self.anchors.get(&anchor) else {
            return self.give_up(mark, "this alias stands inside its own anchor");
        };
        self.nodes += target.count();
        if self.nodes > NODES_MAX {
            return self.give_up(mark, format!("its aliases expand to more than {NODES_MAX} nodes"));
        }
        if self.stack.len() + target.depth() > DEPTH_MAX {
            return self.give_up(mark, format!("the file nests deeper than {DEPTH_MAX} levels"));
        }
        let node = target.clone();
        self.place(node, 0)
    }

    /// Reports every key that a mapping has twice, and every key that is no text; keeps the first of equal keys.
    fn without_duplicates(&self, entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut seen = HashSet::new();
        entries
            .into_iter()
            .filter(|(key, _)| {
                let Value::Scalar { text, .. } = &key.value else {
                    self.findings.error(key.mark, format!("a key must be text, not {}", key.describe()));
                    return false;
                };
                let first = seen.insert(text.clone());
                if !first {
                    self.findings.error(key.mark, format!("duplicate key `{text}`"));
                }
                first
            })
            .collect()
    }

    /// Whether the tag makes a plain scalar text. Tags beyond YAML's own are refused: nothing here would obey them.
    fn is_text_tag(&self, tag: Option<&Tag>, mark: Mark) -> bool {
        let Some(tag) = tag else { return false };
        if tag.handle == "tag:yaml.org,2002:" {
            return tag.suffix == "str";
        }
        self.findings.error(mark, format!("the tag `{}{}` is not supported", tag.handle, tag.suffix));
        false
    }

    fn give_up(&self, mark: Mark, message: impl Into<String>) -> Result<(), GivenUp> {
        self.findings.error(mark, message);
        Err(GivenUp)
    }
}

/// A text with the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    pub mark: Mark,
}

/// A value that is present and not null, with the name it was reached by.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    node: &'a Node,
    name: &'a str,
    mark: Mark,
    findings: &'a Findings,
}

impl<'a> Field<'a> {
    /// The document itself.
    pub fn root(node: &'a Node, findings: &'a Findings) -> Self {
        Self { node, name: "the file", mark: node.mark, findings }
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }

    pub fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// A mapping whose keys are among `known` or begin with `x-`; every other key is an error with a suggestion.
    pub fn map(&self, known: &[&str]) -> Option<Map<'a>> {
        let map = self.open_map()?;
        for (key, _) in map.entries {
            if let Value::Scalar { text, .. } = &key.value
                && !known.contains(&text.as_str())
                && !text.starts_with("x-")
            {
                let message = if self.name == "the file" {
                    format!("unknown key `{text}`")
                } else {
                    format!("unknown key `{text}` in `{}`", self.name)
                };
                self.findings.error_with(key.mark, message, suggest_or_list(text, known));
            }
        }
        Some(map)
    }

    /// A mapping with any keys.
    pub fn open_map(&self) -> Option<Map<'a>> {
        let Value::Mapping(entries) = &self.node.value else {
            self.wrong("a mapping");
            return None;
        };
        Some(Map { entries, name: self.name, mark: self.mark, findings: self.findings })
    }

    /// A list's items; null items are errors.
    pub fn list(&self) -> Vec<Field<'a>> {
        let Value::Sequence(items) = &self.node.value else {
            self.wrong("a list");
            return Vec::new();
        };
        let field = |node: &'a Node| Self { node, name: self.name, mark: node.mark, findings: self.findings };
        items
            .iter()
            .map(field)
            .filter(|item| {
                if item.node.is_null() {
                    self.findings.error(item.mark, format!("an item of `{}` is empty", self.name));
                }
                !item.node.is_null()
            })
            .collect()
    }

    /// A list of texts.
    pub fn texts(&self) -> Vec<Text> {
        self.list().iter().filter_map(Field::text).collect()
    }

    /// One text, or a list of texts.
    pub fn text_or_texts(&self) -> Vec<Text> {
        match self.node.value {
            Value::Sequence(_) => self.texts(),
            Value::Scalar { .. } | Value::Mapping(_) => self.text().into_iter().collect(),
        }
    }

    pub fn is_list(&self) -> bool {
        matches!(self.node.value, Value::Sequence(_))
    }

    pub fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Mapping(_))
    }

    /// Text that is not empty and that no YAML reader takes for a number or a boolean.
    pub fn text(&self) -> Option<Text> {
        match &self.node.value {
            Value::Scalar { text, plain } => {
                if *plain && (parse_flag(text).is_some() || parse_number(text).is_some()) {
                    let suggestion = Some(format!("put it in quotes: \"{text}\""));
                    let message = format!("`{}` must be text, not {}", self.name, self.node.describe());
                    self.findings.error_with(self.mark, message, suggestion);
                    return None;
                }
                self.scalar()
            }
            Value::Sequence(_) | Value::Mapping(_) => {
                self.wrong("text");
                None
            }
        }
    }

    /// Any scalar as the text that stands in the file, so that version 1.10 stays 1.10.
    pub fn scalar(&self) -> Option<Text> {
        let Value::Scalar { text, .. } = &self.node.value else {
            self.wrong("a single value");
            return None;
        };
        if text.trim().is_empty() {
            self.findings.error(self.mark, format!("`{}` is empty", self.name));
            return None;
        }
        Some(Text { text: text.clone(), mark: self.mark })
    }

    pub fn flag(&self) -> Option<bool> {
        let flag = match &self.node.value {
            Value::Scalar { text, plain: true } => parse_flag(text),
            Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) => None,
        };
        if flag.is_none() {
            self.wrong("true or false");
        }
        flag
    }

    pub fn number(&self) -> Option<f64> {
        let number = match &self.node.value {
            Value::Scalar { text, plain: true } => parse_number(text),
            Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) => None,
        };
        if number.is_none() {
            self.wrong("a number");
        }
        number
    }

    /// One of the given words.
    pub fn choice<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text.text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("`{}` cannot be `{}`", self.name, text.text);
            self.findings.error_with(self.mark, message, suggest_or_list(&text.text, &known));
        }
        found.map(|(_, value)| value.clone())
    }

    pub fn error(&self, message: impl Into<String>) {
        self.findings.error(self.mark, message);
    }

    pub fn warn(&self, message: impl Into<String>) {
        self.findings.warn(self.mark, message, None);
    }

    fn wrong(&self, expected: &str) {
        self.error(format!("`{}` must be {expected}, not {}", self.name, self.node.describe()));
    }
}

/// A mapping whose keys were checked.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    entries: &'a [(Node, Node)],
    name: &'a str,
    mark: Mark,
    findings: &'a Findings,
}

impl<'a> Map<'a> {
    pub fn mark(&self) -> Mark {
        self.mark
    }

    pub fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// The value under a key; null counts as absent.
    pub fn get(&self, key: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.name == key)
    }

    /// The value under a key that must not be left empty: for keys that restrict access, nothing could mean everything.
    pub fn get_filled(&self, key: &str) -> Option<Field<'a>> {
        let field = self.get_or_null(key)?;
        if field.node.is_null() {
            field.error(format!("`{key}` is empty"));
            return None;
        }
        Some(field)
    }

    /// The value under a key, even where it is null.
    pub fn get_or_null(&self, key: &str) -> Option<Field<'a>> {
        self.entries.iter().find_map(|(name, node)| match &name.value {
            Value::Scalar { text, .. } if text == key => {
                Some(Field { node, name: text, mark: node.mark, findings: self.findings })
            }
            Value::Scalar { .. } | Value::Sequence(_) | Value::Mapping(_) => None,
        })
    }

    /// The same as [`Map::get`], and an error at the mapping's place where it is absent.
    pub fn required(&self, key: &str) -> Option<Field<'a>> {
        let field = self.get(key);
        if field.is_none() {
            let owner = if self.name == "the file" { String::new() } else { format!(" in `{}`", self.name) };
            self.findings.error(self.mark, format!("missing key `{key}`{owner}"));
        }
        field
    }

    /// All values that are not null, by key.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let findings = self.findings;
        self.entries.iter().filter(|(_, value)| !value.is_null()).filter_map(move |(key, node)| match &key.value {
            Value::Scalar { text, .. } => Some(Field { node, name: text, mark: node.mark, findings }),
            Value::Sequence(_) | Value::Mapping(_) => None,
        })
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.text().map(|text| text.text)
    }

    pub fn scalar(&self, key: &str) -> Option<String> {
        self.get(key)?.scalar().map(|text| text.text)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(|field| field.flag()).unwrap_or(false)
    }

    pub fn list(&self, key: &str) -> Vec<Field<'a>> {
        self.get(key).map(|field| field.list()).unwrap_or_default()
    }

    pub fn texts(&self, key: &str) -> Vec<String> {
        self.get(key).map(|field| field.texts().into_iter().map(|text| text.text).collect()).unwrap_or_default()
    }
}

impl<'a> Field<'a> {
    /// The key under which the value stands.
    pub fn name(&self) -> &'a str {
        self.name
    }
}

/// `did you mean …?`, where one of the candidates is near.
pub fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let plain =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    let wanted = plain(word);
    let distance_max = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// The nearest candidate, or else all of them where they are few.
fn suggest_or_list(word: &str, known: &[&str]) -> Option<String> {
    const LISTED_MAX: usize = 12;
    suggest(word, known.iter().copied())
        .or_else(|| (known.len() <= LISTED_MAX && !known.is_empty()).then(|| format!("known: {}", known.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, known: &[&str]) -> Vec<String> {
        let findings = Findings::new(Path::new("f.yaml"));
        if let Some(root) = parse(text, &findings) {
            Field::root(&root, &findings).map(known);
        }
        findings.into_problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_unknown_and_duplicate_key_has_its_place_and_a_suggestion() {
        assert_eq!(
            problems("name: a\ndescripton: b\n  \nname: c\nzzzzzz: 1\nx-note: fine\n", &["name", "description"]),
            [
                "f.yaml:4:1: error: duplicate key `name`",
                "f.yaml:2:1: error: unknown key `descripton` (did you mean `description`?)",
                "f.yaml:5:1: error: unknown key `zzzzzz` (known: name, description)",
            ]
        );
    }

    #[test]
    fn empty_broken_and_second_documents_are_errors() {
        for text in ["", "# only a comment\n", "---\n", "null\n", "\u{feff}"] {
            assert_eq!(problems(text, &[]), ["f.yaml: error: the file is empty"], "{text:?}");
        }
        assert_eq!(
            problems("a: 1\n---\nb: 2\n", &["a"]),
            ["f.yaml:2:1: error: the file holds more than one YAML document"]
        );
        let broken = problems("a: [1, 2\nb: }\n", &["a"]);
        assert_eq!(broken.len(), 1);
        assert!(broken[0].starts_with("f.yaml:2:") && broken[0].contains("not valid YAML"), "{broken:?}");
    }

    #[test]
    fn depth_and_alias_bombs_are_bounded() {
        let deep = format!("a: {}1", "- ".repeat(100_000));
        assert!(problems(&deep, &["a"])[0].contains("error"));
        let nested = format!("{}1{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        assert!(problems(&nested, &[])[0].contains("deeper than"), "{:?}", problems(&nested, &[]));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            use std::fmt::Write as _;
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{items}]").unwrap();
        }
        assert!(problems(&bomb, &[])[0].contains("more than 200000 nodes"), "{:?}", problems(&bomb, &[]));
        assert!(problems("a: &a [*a]\n", &["a"])[0].contains("inside its own anchor"));
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(problems("{\n\t\"a\": [\n\t\t\"x\",\r\n\t\t\"\\u00e9\"\n\t]\n}\n", &["a"]), Vec::<String>::new());
    }

    #[test]
    fn an_alias_stands_for_its_anchor() {
        let findings = Findings::new(Path::new("f.yaml"));
        let root = parse("a: &x [one, two]\nb: *x\n", &findings).unwrap();
        let map = Field::root(&root, &findings).map(&["a", "b"]).unwrap();
        assert_eq!(map.texts("b"), ["one", "two"]);
        assert_eq!(findings.errors(), 0);
    }

    #[test]
    fn types_are_checked_where_the_value_stands() {
        let findings = Findings::new(Path::new("f.yaml"));
        let root = parse("t: 5\nf: \"true\"\nn: x\nl: {}\nm: []\nv: 1.10\ne: ~\nq: \"5\"\n", &findings).unwrap();
        let map = Field::root(&root, &findings).open_map().unwrap();
        assert_eq!(map.text("t"), None);
        assert!(!map.flag("f"));
        assert_eq!(map.get("n").unwrap().number(), None);
        assert!(map.list("l").is_empty());
        assert!(map.get("m").unwrap().map(&[]).is_none());
        assert_eq!(map.scalar("v").as_deref(), Some("1.10"));
        assert!(map.get("e").is_none());
        assert_eq!(map.text("q").as_deref(), Some("5"));
        assert!(map.required("e").is_none());
        let found: Vec<String> = findings.into_problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "f.yaml:1:4: error: `t` must be text, not the number 5 (put it in quotes: \"5\")",
                "f.yaml:2:4: error: `f` must be true or false, not text",
                "f.yaml:3:4: error: `n` must be a number, not text",
                "f.yaml:4:4: error: `l` must be a list, not a mapping",
                "f.yaml:5:4: error: `m` must be a mapping, not a list",
                "f.yaml:1:1: error: missing key `e`",
            ]
        );
    }
}
