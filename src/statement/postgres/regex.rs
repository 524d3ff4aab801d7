//! PostgreSQL's regular expressions (section 9.7.3, "advanced regular expressions") over an engine whose time is bounded by
//! pattern times text.
//!
//! It owns the translation of the syntax and the rule which match is found: the earliest, and of those the longest. What
//! that engine cannot do in bounded time (references back, lookaround) or would answer otherwise (greedy and non-greedy
//! quantifiers in one pattern) is refused.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;

use regex_automata::nfa::thompson;
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, meta};

use crate::error::{Error, Result, SqlState};

/// Bytes that a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 512 * 1024;
/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 16 * 1024;
/// Patterns that a thread keeps compiled.
const KEPT_MAX: usize = 16;

/// The flags that functions take as letters (table 9.24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub ignore_case: bool,
    /// `.` and negated brackets stop at line ends.
    pub stop_at_lines: bool,
    /// `^` and `$` match at line ends.
    pub line_anchors: bool,
    pub expanded: bool,
    pub literal: bool,
    pub global: bool,
}

impl Flags {
    pub fn parse(letters: &str) -> Result<Self> {
        let mut flags = Self::default();
        for letter in letters.chars() {
            match letter {
                'g' => flags.global = true,
                _ if flags.set(letter) => {}
                _ => {
                    let message = format!("invalid regular expression option: \"{letter}\"");
                    return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
            }
        }
        Ok(flags)
    }

    fn set(&mut self, letter: char) -> bool {
        match letter {
            'i' => self.ignore_case = true,
            'c' => self.ignore_case = false,
            'n' | 'm' => (self.stop_at_lines, self.line_anchors) = (true, true),
            'p' => (self.stop_at_lines, self.line_anchors) = (true, false),
            'w' => (self.stop_at_lines, self.line_anchors) = (false, true),
            's' => (self.stop_at_lines, self.line_anchors) = (false, false),
            'x' => self.expanded = true,
            't' => self.expanded = false,
            'q' => self.literal = true,
            'e' => {}
            _ => return false,
        }
        true
    }
}

/// A compiled pattern.
pub struct Pattern {
    finder: meta::Regex,
    /// Finds the longest match from where the earliest begins; `None` where all quantifiers are non-greedy.
    longest: Option<PikeVM>,
    groups: usize,
}

/// Where a match and its groups lie, in bytes; group 0 is the whole match.
pub struct Found {
    groups: Vec<Option<Range<usize>>>,
}

impl Found {
    pub fn whole(&self) -> Range<usize> {
        self.groups[0].clone().unwrap_or(0..0)
    }

    pub fn group(&self, number: usize) -> Option<Range<usize>> {
        self.groups.get(number).cloned().flatten()
    }
}

impl Pattern {
    /// The pattern, compiled now or kept by this thread from before.
    pub fn cached(pattern: &str, flags: Flags) -> Result<Rc<Self>> {
        type Kept = Vec<(String, Flags, Rc<Pattern>)>;
        thread_local!(static KEPT: RefCell<Kept> = const { RefCell::new(Vec::new()) });
        let kept = KEPT.with_borrow(|kept| {
            let found = kept.iter().find(|(text, with, _)| text == pattern && *with == flags);
            found.map(|(_, _, compiled)| Rc::clone(compiled))
        });
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let compiled = Rc::new(Self::compile(pattern, flags)?);
        KEPT.with_borrow_mut(|kept| {
            if kept.len() == KEPT_MAX {
                kept.remove(0);
            }
            kept.push((pattern.to_owned(), flags, Rc::clone(&compiled)));
        });
        Ok(compiled)
    }

    pub fn compile(pattern: &str, flags: Flags) -> Result<Self> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(invalid("regular expression is too complex"));
        }
        let translated = Translation::of(pattern, flags)?;
        let syntax = syntax::Config::new()
            .case_insensitive(translated.flags.ignore_case)
            .dot_matches_new_line(!translated.flags.stop_at_lines)
            .multi_line(translated.flags.line_anchors)
            .ignore_whitespace(translated.flags.expanded);
        let finder = meta::Regex::builder()
            .configure(meta::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX)))
            .syntax(syntax)
            .build(&translated.pattern)
            .map_err(|error| match error.syntax_error() {
                Some(syntax) => invalid(&syntax.to_string()),
                None => invalid("regular expression is too complex"),
            })?;
        let longest = if translated.non_greedy {
            None
        } else {
            let vm = PikeVM::builder()
                .configure(pikevm::Config::new().match_kind(MatchKind::All))
                .thompson(thompson::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX)))
                .syntax(syntax)
                .build(&translated.pattern);
            Some(vm.map_err(|error| invalid(&error.to_string()))?)
        };
        let groups = finder.group_info().group_len(regex_automata::PatternID::ZERO);
        Ok(Self { finder, longest, groups })
    }

    /// How many groups the pattern has, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.groups - 1
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.finder.is_match(text)
    }

    /// The earliest match from a byte on, and the longest of those.
    pub fn find_at(&self, text: &str, from: usize) -> Option<Found> {
        let input = Input::new(text).range(from..);
        let mut captures: Captures = match &self.longest {
            None => self.finder.create_captures(),
            Some(vm) => vm.create_captures(),
        };
        match &self.longest {
            None => self.finder.search_captures(&input, &mut captures),
            Some(vm) => {
                let start = self.finder.search(&input)?.start();
                let input = Input::new(text).range(start..).anchored(Anchored::Yes);
                vm.search(&mut vm.create_cache(), &input, &mut captures);
            }
        }
        if !captures.is_match() {
            return None;
        }
        let groups = (0..self.groups).map(|group| captures.get_group(group).map(|span| span.range())).collect();
        Some(Found { groups })
    }
}

fn invalid(why: &str) -> Error {
    // the engine's reasons in PostgreSQL's words
    let why = match why.lines().last().unwrap_or_default().trim().trim_start_matches("error: ") {
        "unclosed group" | "unopened group" => "parentheses () not balanced",
        "unclosed character class" => "brackets [] not balanced",
        "repetition operator missing expression" => "quantifier operand invalid",
        why if why.contains("repetition") => "invalid repetition count(s)",
        why if why.contains("character class range") => "invalid character range",
        why => why,
    };
    Error::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {why}"))
}

fn refused(what: &str) -> Error {
    Error::unsupported(format!("{what} in regular expressions is not supported"))
        .hint("Patterns are matched in time proportional to the text.")
}

/// A pattern in the engine's syntax.
struct Translation {
    pattern: String,
    flags: Flags,
    non_greedy: bool,
}

impl Translation {
    fn of(pattern: &str, mut flags: Flags) -> Result<Self> {
        let mut rest = pattern;
        if let Some(literal) = rest.strip_prefix("***=") {
            flags.literal = true;
            rest = literal;
        } else if let Some(advanced) = rest.strip_prefix("***:") {
            rest = advanced;
        }
        if flags.literal {
            let mut out = String::new();
            rest.chars().for_each(|letter| push_literal(letter, &mut out));
            flags.expanded = false;
            return Ok(Self { pattern: out, flags, non_greedy: false });
        }
        if let Some(options) = rest.strip_prefix("(?")
            && let Some((letters, after)) = options.split_once(')')
            && !letters.is_empty()
            && letters.chars().all(|letter| letter.is_ascii_lowercase())
        {
            for letter in letters.chars() {
                if !flags.set(letter) {
                    return Err(invalid("invalid embedded option"));
                }
            }
            rest = after;
        }
        let mut writer =
            Writer { out: String::new(), greedy: false, non_greedy: false, letters: rest.chars().peekable() };
        writer.write(flags)?;
        if writer.greedy && writer.non_greedy {
            return Err(refused("greedy and non-greedy quantifiers together"));
        }
        Ok(Self { pattern: writer.out, flags, non_greedy: writer.non_greedy })
    }
}

fn push_literal(letter: char, out: &mut String) {
    if letter.is_ascii_punctuation() || letter.is_ascii_whitespace() {
        // writing to a text cannot fail
        _ = write!(out, "\\x{{{:x}}}", u32::from(letter));
    } else {
        out.push(letter);
    }
}

struct Writer<'a> {
    out: String,
    greedy: bool,
    non_greedy: bool,
    letters: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Writer<'_> {
    fn write(&mut self, flags: Flags) -> Result<()> {
        while let Some(letter) = self.letters.next() {
            match letter {
                '\\' => self.escape(false)?,
                '[' => self.bracket(flags)?,
                '(' => self.group()?,
                '*' | '+' | '?' => {
                    self.out.push(letter);
                    self.greediness();
                }
                '{' if self.letters.peek().is_some_and(char::is_ascii_digit) => {
                    self.out.push('{');
                    for inner in self.letters.by_ref() {
                        self.out.push(inner);
                        if inner == '}' {
                            break;
                        }
                    }
                    self.greediness();
                }
                '{' | '}' => push_literal(letter, &mut self.out),
                other => self.out.push(other),
            }
        }
        Ok(())
    }

    fn greediness(&mut self) {
        if self.letters.next_if_eq(&'?').is_some() {
            self.out.push('?');
            self.non_greedy = true;
        } else {
            self.greedy = true;
        }
    }

    fn group(&mut self) -> Result<()> {
        self.out.push('(');
        if self.letters.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        match self.letters.next() {
            Some(':') => self.out.push_str("?:"),
            Some('=' | '!' | '<') => return Err(refused("lookaround")),
            Some('#') => {
                // a comment
                self.out.pop();
                for letter in self.letters.by_ref() {
                    if letter == ')' {
                        break;
                    }
                }
            }
            _ => return Err(invalid("quantifier operand invalid")),
        }
        Ok(())
    }

    /// What follows a backslash; inside brackets only characters and classes do.
    fn escape(&mut self, in_bracket: bool) -> Result<()> {
        let Some(letter) = self.letters.next() else { return Err(invalid("invalid escape \\ sequence")) };
        match letter {
            'd' | 'w' | 's' => {
                self.out.push('\\');
                self.out.push(letter);
            }
            'D' | 'W' | 'S' if !in_bracket => {
                self.out.push('\\');
                self.out.push(letter);
            }
            'A' if !in_bracket => self.out.push_str("\\A"),
            'Z' if !in_bracket => self.out.push_str("\\z"),
            'y' if !in_bracket => self.out.push_str("\\b"),
            'Y' if !in_bracket => self.out.push_str("\\B"),
            'm' if !in_bracket => self.out.push_str("\\b{start}"),
            'M' if !in_bracket => self.out.push_str("\\b{end}"),
            'a' => push_literal('\u{7}', &mut self.out),
            'b' => self.out.push_str("\\x{8}"),
            'B' => self.out.push_str("\\\\"),
            'e' => self.out.push_str("\\x{1b}"),
            'f' => self.out.push_str("\\x{c}"),
            'n' => self.out.push_str("\\n"),
            'r' => self.out.push_str("\\r"),
            't' => self.out.push_str("\\t"),
            'v' => self.out.push_str("\\x{b}"),
            '0' => self.out.push_str("\\x{0}"),
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            'x' => {
                let mut digits = String::new();
                while let Some(digit) = self.letters.next_if(char::is_ascii_hexdigit) {
                    digits.push(digit);
                }
                self.push_code(&digits)?;
            }
            '1'..='9' => return Err(refused("references back")),
            other if other.is_alphanumeric() => return Err(invalid("invalid escape \\ sequence")),
            other => push_literal(other, &mut self.out),
        }
        Ok(())
    }

    fn code(&mut self, length: usize) -> Result<()> {
        let digits: String = self.letters.by_ref().take(length).collect();
        self.push_code(&digits)
    }

    fn push_code(&mut self, digits: &str) -> Result<()> {
        let letter = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        let letter = letter.ok_or_else(|| invalid("invalid escape \\ sequence"))?;
        _ = write!(self.out, "\\x{{{:x}}}", u32::from(letter));
        Ok(())
    }

    /// A bracket expression, whose letters the engine reads otherwise when they are doubled or nested.
    fn bracket(&mut self, flags: Flags) -> Result<()> {
        let rest: String = self.letters.clone().take(7).collect();
        for (word, boundary) in [("[:<:]]", "\\b{start}"), ("[:>:]]", "\\b{end}")] {
            if rest.starts_with(word) {
                self.letters.by_ref().take(word.len()).for_each(drop);
                self.out.push_str(boundary);
                return Ok(());
            }
        }
        self.out.push('[');
        if self.letters.next_if_eq(&'^').is_some() {
            self.out.push('^');
            if flags.stop_at_lines {
                self.out.push_str("\\n");
            }
        }
        let mut first = true;
        loop {
            let Some(letter) = self.letters.next() else { return Err(invalid("brackets [] not balanced")) };
            match letter {
                ']' if !first => break,
                '\\' => self.escape(true)?,
                '[' => match self.letters.peek() {
                    Some(':') => {
                        self.out.push('[');
                        for inner in self.letters.by_ref() {
                            self.out.push(inner);
                            if inner == ']' {
                                break;
                            }
                        }
                    }
                    Some('.' | '=') => return Err(refused("collating elements")),
                    _ => push_literal('[', &mut self.out),
                },
                // a range, unless it stands at an end
                '-' if !first && self.letters.peek() != Some(&']') => self.out.push('-'),
                other => push_literal(other, &mut self.out),
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Option<String> {
        let pattern = Pattern::compile(pattern, Flags::default()).unwrap();
        pattern.find_at(text, 0).map(|found| text[found.whole()].to_owned())
    }

    #[test]
    fn the_longest_of_the_earliest_is_found() {
        assert_eq!(found("o|oo", "foobar").as_deref(), Some("oo"));
        assert_eq!(found("x?(xy)?", "xy").as_deref(), Some("xy"));
        assert_eq!(found("b*", "abb").as_deref(), Some(""));
        assert_eq!(found("<.*?>", "<a><b>").as_deref(), Some("<a>"));
    }

    #[test]
    fn syntax_that_differs_is_translated() {
        for (pattern, text, matches) in [
            (r"\ycat\y", "a cat", true),
            (r"\mcat\M", "concat", false),
            (r"[[:<:]]cat", "cat", true),
            (r"a{,2}", "a{,2}", true),
            (r"[[&&]", "&", true),
            (r"(?i)ABC", "abc", true),
            (r"***=a.c", "abc", false),
            (r"a.c", "a\nc", true),
            (r"^b", "a\nb", false),
            (r"[]a]", "]", true),
            (r"[a-]", "-", true),
            (r"\u0041", "A", true),
        ] {
            let compiled = Pattern::compile(pattern, Flags::default()).unwrap();
            assert_eq!(compiled.is_match(text), matches, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn what_has_no_bound_is_refused() {
        for pattern in [r"(a)\1", "a(?=b)", "(?<!a)b", "a+?b*"] {
            let Err(error) = Pattern::compile(pattern, Flags::default()) else { panic!("{pattern}") };
            assert_eq!(error.sqlstate(), SqlState::FEATURE_NOT_SUPPORTED, "{pattern}");
        }
        let Err(error) = Pattern::compile("a(", Flags::default()) else { panic!() };
        assert_eq!(error.sqlstate(), SqlState::INVALID_REGULAR_EXPRESSION);
    }
}
