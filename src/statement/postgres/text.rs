//! Functions on strings and bytes (PostgreSQL 15, sections 9.4, 9.5 and 9.7) where the engine's own are others.
//!
//! It owns what they give. Regular expressions are compiled in `regex`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use super::fail;
use super::function::{Function, Overload, function, on};
use super::kind::{Datum, Kind};
use super::regex::{Flags, Found, Pattern};
use crate::error::{Error, Result, SqlState};
use Kind::{Bool, Bytea, Int4, Shown, Text, Texts};

/// `encode(…, 'base64')` breaks lines after this many characters (`encode.c`).
const BASE64_LINE: usize = 76;

pub static MATCHES: Function = function("~", &[on(&[Text, Text], Bool, |a, _| matches(a, "").map(Datum::Bool))]);
pub static MATCHES_CASELESS: Function =
    function("~*", &[on(&[Text, Text], Bool, |a, _| matches(a, "i").map(Datum::Bool))]);
pub static MATCHES_NOT: Function = function("!~", &[on(&[Text, Text], Bool, |a, _| Ok(Datum::Bool(!matches(a, "")?)))]);
pub static MATCHES_NOT_CASELESS: Function =
    function("!~*", &[on(&[Text, Text], Bool, |a, _| Ok(Datum::Bool(!matches(a, "i")?)))]);
/// `substring(text from pattern)`.
pub static SUBSTRING_MATCHED: Function = function("substring", &[on(&[Text, Text], Text, |a, _| substring_matched(a))]);

pub static FUNCTIONS: &[Function] = &[
    function("concat", &[on(&[], Text, |a, _| Ok(joined(a, ""))).and_more(Shown).with_nulls()]),
    function(
        "concat_ws",
        &[on(&[Text], Text, |a, _| {
            if a[0].is_null() {
                return Ok(Datum::Null);
            }
            Ok(joined(&a[1..], a[0].str()))
        })
        .and_more(Shown)
        .with_nulls()],
    ),
    function("encode", &[on(&[Bytea, Text], Text, |a, _| encoded(a[0].bytes(), a[1].str()).map(Datum::text))]),
    function("decode", &[on(&[Text, Text], Bytea, |a, _| decoded(a[0].str(), a[1].str()).map(Datum::owned_bytes))]),
    function(
        "byteacat",
        &[on(&[Bytea, Bytea], Bytea, |a, _| Ok(Datum::owned_bytes([a[0].bytes(), a[1].bytes()].concat())))],
    ),
    function("like_escape", &[on(&[Text, Text], Text, |a, _| like_escape(a[0].str(), a[1].str()).map(Datum::text))]),
    function(
        "octet_length",
        &[
            on(&[Text], Int4, |a, _| Ok(Datum::Int(a[0].str().len() as i64))),
            on(&[Bytea], Int4, |a, _| Ok(Datum::Int(a[0].bytes().len() as i64))),
        ],
    ),
    function(
        "length",
        &[
            on(&[Text], Int4, |a, _| Ok(Datum::Int(a[0].str().chars().count() as i64))),
            on(&[Bytea], Int4, |a, _| Ok(Datum::Int(a[0].bytes().len() as i64))),
        ],
    ),
    function(
        "get_byte",
        &[on(&[Bytea, Int4], Int4, |a, _| {
            let byte = usize::try_from(a[1].int()).ok().and_then(|at| a[0].bytes().get(at));
            byte.map(|byte| Datum::Int((*byte).into())).ok_or_else(|| {
                let message = format!("index {} out of valid range, 0..{}", a[1].int(), a[0].bytes().len() as i64 - 1);
                Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
            })
        })],
    ),
    function(
        "chr",
        &[on(&[Int4], Text, |a, _| {
            let number = a[0].int();
            let letter = u32::try_from(number).ok().filter(|number| *number > 0).and_then(char::from_u32);
            letter.map(Datum::text).ok_or_else(|| {
                let message = match number {
                    0 => "null character not permitted".to_owned(),
                    ..0 => "character number must be positive".to_owned(),
                    _ => format!("requested character too large for encoding: {number}"),
                };
                Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
            })
        })],
    ),
    function(
        "regexp_like",
        &[
            on(&[Text, Text], Bool, |a, _| matches(a, "").map(Datum::Bool)),
            on(&[Text, Text, Text], Bool, |a, _| {
                no_global(a[2].str(), "regexp_like")?;
                matches(a, a[2].str()).map(Datum::Bool)
            }),
        ],
    ),
    function(
        "regexp_match",
        &[
            on(&[Text, Text], Texts, |a, _| first_match(a, "")),
            on(&[Text, Text, Text], Texts, |a, _| {
                no_global(a[2].str(), "regexp_match")?;
                first_match(a, a[2].str())
            }),
        ],
    ),
    function(
        "regexp_replace",
        &[
            on(&[Text, Text, Text], Text, |a, _| replaced(a, 0, Some(1), "")),
            on(&[Text, Text, Text, Text], Text, |a, _| {
                let global = Flags::parse(a[3].str())?.global;
                replaced(a, 0, (!global).then_some(1), a[3].str())
            }),
            on(&[Text, Text, Text, Int4], Text, |a, _| replaced(a, start(a[0].str(), a[3].int())?, Some(1), "")),
            on(&[Text, Text, Text, Int4, Int4], Text, |a, _| {
                replaced(a, start(a[0].str(), a[3].int())?, occurrence_or_all(a[4].int())?, "")
            }),
            on(&[Text, Text, Text, Int4, Int4, Text], Text, |a, _| {
                replaced(a, start(a[0].str(), a[3].int())?, occurrence_or_all(a[4].int())?, a[5].str())
            }),
        ],
    ),
    function(
        "regexp_split_to_array",
        &[
            on(&[Text, Text], Texts, |a, _| split(a[0].str(), a[1].str(), "")),
            on(&[Text, Text, Text], Texts, |a, _| {
                no_global(a[2].str(), "regexp_split_to_array")?;
                split(a[0].str(), a[1].str(), a[2].str())
            }),
        ],
    ),
    function(
        "regexp_count",
        &[
            on(&[Text, Text], Int4, |a, _| counted(a, 1, "")),
            on(&[Text, Text, Int4], Int4, |a, _| counted(a, a[2].int(), "")),
            on(&[Text, Text, Int4, Text], Int4, |a, _| {
                no_global(a[3].str(), "regexp_count")?;
                counted(a, a[2].int(), a[3].str())
            }),
        ],
    ),
    function("regexp_instr", INSTR),
    function(
        "regexp_substr",
        &[
            on(&[Text, Text], Text, |a, _| matched(a, 1, 1, "", 0)),
            on(&[Text, Text, Int4], Text, |a, _| matched(a, a[2].int(), 1, "", 0)),
            on(&[Text, Text, Int4, Int4], Text, |a, _| matched(a, a[2].int(), a[3].int(), "", 0)),
            on(&[Text, Text, Int4, Int4, Text], Text, |a, _| matched(a, a[2].int(), a[3].int(), a[4].str(), 0)),
            on(&[Text, Text, Int4, Int4, Text, Int4], Text, |a, _| {
                matched(a, a[2].int(), a[3].int(), a[4].str(), a[5].int())
            }),
        ],
    ),
];

const INSTR: &[Overload] = &[
    on(&[Text, Text], Int4, |a, _| position(a, 1, 1, 0, "", 0)),
    on(&[Text, Text, Int4], Int4, |a, _| position(a, a[2].int(), 1, 0, "", 0)),
    on(&[Text, Text, Int4, Int4], Int4, |a, _| position(a, a[2].int(), a[3].int(), 0, "", 0)),
    on(&[Text, Text, Int4, Int4, Int4], Int4, |a, _| position(a, a[2].int(), a[3].int(), a[4].int(), "", 0)),
    on(&[Text, Text, Int4, Int4, Int4, Text], Int4, |a, _| {
        position(a, a[2].int(), a[3].int(), a[4].int(), a[5].str(), 0)
    }),
    on(&[Text, Text, Int4, Int4, Int4, Text, Int4], Int4, |a, _| {
        position(a, a[2].int(), a[3].int(), a[4].int(), a[5].str(), a[6].int())
    }),
];

/// What is not NULL, with a separator between.
fn joined(values: &[Datum<'_>], separator: &str) -> Datum<'static> {
    let shown: Vec<&str> = values.iter().filter(|value| !value.is_null()).map(Datum::str).collect();
    Datum::text(shown.join(separator))
}

fn matches(a: &[Datum<'_>], flags: &str) -> Result<bool> {
    Ok(Pattern::cached(a[1].str(), Flags::parse(flags)?)?.is_match(a[0].str()))
}

fn no_global(flags: &str, name: &str) -> Result<()> {
    if flags.contains('g') {
        let message = format!("{name}() does not support the \"global\" option");
        return Err(fail::invalid_argument(message));
    }
    Ok(())
}

fn pattern(a: &[Datum<'_>], flags: &str) -> Result<std::rc::Rc<Pattern>> {
    Pattern::cached(a[1].str(), Flags::parse(flags)?)
}

/// The groups of a match, or the whole where there are none.
fn groups(found: &Found, text: &str, count: usize) -> Datum<'static> {
    let piece = |group: usize| found.group(group).map_or(Datum::Null, |range| Datum::text(&text[range]));
    Datum::List(if count == 0 { vec![piece(0)] } else { (1..=count).map(piece).collect() })
}

fn first_match<'a>(a: &[Datum<'a>], flags: &str) -> Result<Datum<'a>> {
    let pattern = pattern(a, flags)?;
    let found = pattern.find_at(a[0].str(), 0);
    Ok(found.map_or(Datum::Null, |found| groups(&found, a[0].str(), pattern.groups())))
}

/// The first group, or the whole match where there is none.
fn substring_matched<'a>(a: &[Datum<'a>]) -> Result<Datum<'a>> {
    let pattern = pattern(a, "")?;
    let found = pattern.find_at(a[0].str(), 0);
    let piece = found.and_then(|found| found.group(usize::from(pattern.groups() > 0)));
    Ok(piece.map_or(Datum::Null, |range| Datum::text(&a[0].str()[range])))
}

/// The byte at which a search from a character begins.
fn start(text: &str, character: i64) -> Result<usize> {
    if character < 1 {
        let message = format!("invalid value for parameter \"start\": {character}");
        return Err(fail::invalid_argument(message));
    }
    let place = text.char_indices().nth(character as usize - 1).map(|(byte, _)| byte);
    Ok(place.unwrap_or(text.len()))
}

fn occurrence_or_all(number: i64) -> Result<Option<usize>> {
    match usize::try_from(number) {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(fail::invalid_argument(format!("invalid value for parameter \"n\": {number}"))),
    }
}

fn all_from<'p>(pattern: &'p Pattern, text: &'p str, from: usize) -> impl Iterator<Item = Found> + 'p {
    let mut next = Some(from);
    std::iter::from_fn(move || {
        let found = pattern.find_at(text, next?)?;
        let whole = found.whole();
        next = if whole.is_empty() {
            text[whole.end..].chars().next().map(|letter| whole.end + letter.len_utf8())
        } else {
            Some(whole.end)
        };
        Some(found)
    })
}

/// Replaces one match, or all.
fn replaced<'a>(a: &[Datum<'a>], from: usize, only: Option<usize>, flags: &str) -> Result<Datum<'a>> {
    let pattern = pattern(a, flags)?;
    let (text, replacement) = (a[0].str(), a[2].str());
    let (mut out, mut done) = (String::new(), 0);
    for (number, found) in all_from(&pattern, text, from).enumerate() {
        if only.is_some_and(|only| number + 1 < only) {
            continue;
        }
        let whole = found.whole();
        out.push_str(&text[done..whole.start]);
        push_replacement(replacement, &found, text, &mut out);
        done = whole.end;
        if only.is_some() {
            break;
        }
    }
    out.push_str(&text[done..]);
    Ok(Datum::text(out))
}

/// `\1` to `\9` are groups, `\&` the match, `\\` a backslash.
fn push_replacement(replacement: &str, found: &Found, text: &str, out: &mut String) {
    let mut letters = replacement.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        let group = match letters.next() {
            Some('&') => found.group(0),
            Some(digit @ '1'..='9') => found.group(digit as usize - '0' as usize),
            Some('\\') | None => {
                out.push('\\');
                continue;
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
                continue;
            }
        };
        if let Some(range) = group {
            out.push_str(&text[range]);
        }
    }
}

fn split(text: &str, pattern: &str, flags: &str) -> Result<Datum<'static>> {
    let pattern = Pattern::cached(pattern, Flags::parse(flags)?)?;
    let (mut pieces, mut done) = (Vec::new(), 0);
    let mut last_end = 0;
    for found in all_from(&pattern, text, 0) {
        let whole = found.whole();
        // nothing is no separator at either end, nor right behind one
        if whole.start < text.len() && whole.end > last_end {
            pieces.push(Datum::text(&text[done..whole.start]));
            done = whole.end;
        }
        last_end = whole.end;
    }
    pieces.push(Datum::text(&text[done..]));
    Ok(Datum::List(pieces))
}

fn counted<'a>(a: &[Datum<'a>], from: i64, flags: &str) -> Result<Datum<'a>> {
    let pattern = pattern(a, flags)?;
    let text = a[0].str();
    Ok(Datum::Int(all_from(&pattern, text, start(text, from)?).count() as i64))
}

/// The n-th match from a character on; a range of bytes, of the whole or of a group.
fn nth(a: &[Datum<'_>], from: i64, number: i64, flags: &str, group: i64) -> Result<Option<std::ops::Range<usize>>> {
    let refuse =
        |what: &str, value: i64| fail::invalid_argument(format!("invalid value for parameter \"{what}\": {value}"));
    let skipped = usize::try_from(number - 1).map_err(|_| refuse("n", number))?;
    let group = usize::try_from(group).map_err(|_| refuse("subexpr", group))?;
    let pattern = pattern(a, flags)?;
    let text = a[0].str();
    let found = all_from(&pattern, text, start(text, from)?).nth(skipped);
    Ok(found.and_then(|found| found.group(group)))
}

fn matched<'a>(a: &[Datum<'a>], from: i64, number: i64, flags: &str, group: i64) -> Result<Datum<'a>> {
    let range = nth(a, from, number, flags, group)?;
    Ok(range.map_or(Datum::Null, |range| Datum::text(&a[0].str()[range])))
}

fn position<'a>(a: &[Datum<'a>], from: i64, number: i64, end: i64, flags: &str, group: i64) -> Result<Datum<'a>> {
    if !(0..=1).contains(&end) {
        return Err(fail::invalid_argument(format!("invalid value for parameter \"endoption\": {end}")));
    }
    let range = nth(a, from, number, flags, group)?;
    let characters = |byte: usize| a[0].str()[..byte].chars().count() as i64 + 1;
    Ok(Datum::Int(range.map_or(0, |range| characters(if end == 1 { range.end } else { range.start }))))
}

/// The pattern as it stands with a backslash for `escape`, which may be empty (PostgreSQL's `do_like_escape`).
fn like_escape(pattern: &str, escape: &str) -> Result<String> {
    let mut letters = escape.chars();
    let escape = letters.next();
    if letters.next().is_some() {
        return Err(Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .hint("Escape string must be empty or one character."));
    }
    let (mut escaped, mut letters) = (String::with_capacity(pattern.len()), pattern.chars());
    while let Some(letter) = letters.next() {
        if Some(letter) == escape {
            escaped.push('\\');
            escaped.extend(letters.next());
        } else {
            escaped.extend((letter == '\\').then_some('\\'));
            escaped.push(letter);
        }
    }
    Ok(escaped)
}

fn unknown_encoding(name: &str) -> Error {
    fail::invalid_argument(format!("unrecognized encoding: \"{name}\""))
}

fn encoded(bytes: &[u8], format: &str) -> Result<String> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => {
            let mut out = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                // writing to a text cannot fail
                _ = write!(out, "{byte:02x}");
            }
            Ok(out)
        }
        "base64" => {
            let flat = STANDARD.encode(bytes);
            let lines: Vec<&str> = (0..flat.len())
                .step_by(BASE64_LINE)
                .map(|from| &flat[from..(from + BASE64_LINE).min(flat.len())])
                .collect();
            Ok(lines.join("\n"))
        }
        "escape" => {
            let mut out = String::new();
            for byte in bytes {
                match byte {
                    0 | 0x80.. => _ = write!(out, "\\{byte:03o}"),
                    b'\\' => out.push_str("\\\\"),
                    _ => out.push(char::from(*byte)),
                }
            }
            Ok(out)
        }
        _ => Err(unknown_encoding(format)),
    }
}

fn decoded(text: &str, format: &str) -> Result<Vec<u8>> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => crate::pgtype::read::bytea(&format!("\\x{text}")),
        "base64" => {
            let engine = GeneralPurpose::new(
                &base64::alphabet::STANDARD,
                GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
            );
            let compact: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
            engine.decode(&compact).map_err(|error| match error {
                base64::DecodeError::InvalidByte(at, _) => {
                    let symbol = compact[at..].chars().next().unwrap_or_default();
                    fail::invalid_argument(format!("invalid symbol \"{symbol}\" found while decoding base64 sequence"))
                }
                _ => fail::invalid_argument("invalid base64 end sequence")
                    .hint("Input data is missing padding, is truncated, or is otherwise corrupted."),
            })
        }
        "escape" => crate::pgtype::read::bytea(text),
        _ => Err(unknown_encoding(format)),
    }
}
