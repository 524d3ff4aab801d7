//! Values made of others: `||`, `-`, `#-`, `jsonb_set`, `jsonb_insert`, what is stripped of nulls, what is indented
//! (PostgreSQL 15, tables 9.46 and 9.47).

use std::borrow::Cow;

use bytes::{BufMut as _, BytesMut};

use super::function::{Answer, Form, Function, Give, Row, Take, on};
use super::path::place;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::read::json::{Item, Value, parse};
use crate::pgtype::show::json::{order, string};

/// How far `jsonb_pretty` moves each level in.
const INDENT: usize = 4;

const JSON: Give = Give::Of(Form::Json);
const JSONB: Give = Give::Of(Form::Jsonb);

pub static FUNCTIONS: &[Function] = &[
    Function { name: "jsonb_concat", overloads: &[on(&[Take::Jsonb, Take::Jsonb], JSONB, concatenated)] },
    Function {
        name: "jsonb_delete",
        overloads: &[
            on(&[Take::Jsonb, Take::Text], JSONB, |row, out| without(row, &[Some(row.text(1)?)], out)),
            on(&[Take::Jsonb, Take::Int], JSONB, without_element),
            on(&[Take::Jsonb, Take::Texts], JSONB, |row, out| without(row, &row.texts(1)?, out)),
        ],
    },
    Function { name: "jsonb_delete_path", overloads: &[on(&[Take::Jsonb, Take::Texts], JSONB, without_path)] },
    Function {
        name: "jsonb_set",
        overloads: &[
            on(&[Take::Jsonb, Take::Texts, Take::Jsonb], JSONB, set),
            on(&[Take::Jsonb, Take::Texts, Take::Jsonb, Take::Bool], JSONB, set),
        ],
    },
    Function {
        name: "jsonb_insert",
        overloads: &[
            on(&[Take::Jsonb, Take::Texts, Take::Jsonb], JSONB, insert),
            on(&[Take::Jsonb, Take::Texts, Take::Jsonb, Take::Bool], JSONB, insert),
        ],
    },
    Function { name: "json_strip_nulls", overloads: &[on(&[Take::Json], JSON, |row, out| stripped(row, &CLOSE, out))] },
    Function {
        name: "jsonb_strip_nulls",
        overloads: &[on(&[Take::Jsonb], JSONB, |row, out| stripped(row, &SPACED, out))],
    },
    Function {
        name: "jsonb_pretty",
        overloads: &[on(&[Take::Jsonb], Give::Text, |row, out| {
            pretty(&parse(&row.text(0)?)?, 0, out)?;
            Ok(Answer::Written)
        })],
    },
];

fn refused(message: &'static str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Writes an object of keys and values that are `jsonb` already; of equal keys the last one stays.
fn object(mut members: Vec<(Cow<'_, str>, &str)>, out: &mut BytesMut) {
    members.sort_by(|(a, _), (b, _)| order(a.as_bytes(), b.as_bytes()));
    out.put_u8(b'{');
    let mut first = true;
    for (position, (key, value)) in members.iter().enumerate() {
        if members.get(position + 1).is_some_and(|(next, _)| next == key) {
            continue;
        }
        if !first {
            out.put_slice(b", ");
        }
        first = false;
        string(key.as_bytes(), out);
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
    }
    out.put_u8(b'}');
}

fn array<'a>(items: impl IntoIterator<Item = &'a str>, out: &mut BytesMut) {
    out.put_u8(b'[');
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.put_slice(b", ");
        }
        out.put_slice(item.as_bytes());
    }
    out.put_u8(b']');
}

/// The elements of an array; what is no array is one of one.
fn items<'i>(item: &'i Item<'_>) -> Vec<&'i str> {
    match &item.value {
        Value::Array(items) => items.iter().map(|item| item.raw).collect(),
        _ => vec![item.raw],
    }
}

fn concatenated(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let (left, right) = (row.text(0)?, row.text(1)?);
    let (left, right) = (parse(&left)?, parse(&right)?);
    if let (Value::Object(left), Value::Object(right)) = (&left.value, &right.value) {
        let members = left.iter().chain(right).map(|(key, item)| Ok((key.decode()?, item.raw)));
        object(members.collect::<Result<_>>()?, out);
        return Ok(Answer::Written);
    }
    array(items(&left).into_iter().chain(items(&right)), out);
    Ok(Answer::Written)
}

/// Without the members of these keys, or the strings that are these.
fn without(row: &Row<'_>, keys: &[Option<Cow<'_, str>>], out: &mut BytesMut) -> Result<Answer> {
    let text = row.text(0)?;
    let is_gone = |text: &str| keys.iter().flatten().any(|key| key == text);
    match &parse(&text)?.value {
        Value::Object(members) => {
            let mut kept = Vec::with_capacity(members.len());
            for (key, item) in members {
                let key = key.decode()?;
                if !is_gone(&key) {
                    kept.push((key, item.raw));
                }
            }
            object(kept, out);
        }
        Value::Array(items) => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                if !matches!(item.value, Value::String(text) if is_gone(&text.decode()?)) {
                    kept.push(item.raw);
                }
            }
            array(kept, out);
        }
        _ => return Err(refused("cannot delete from scalar")),
    }
    Ok(Answer::Written)
}

fn without_element(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let text = row.text(0)?;
    match &parse(&text)?.value {
        Value::Array(items) => {
            let place = row.int(1);
            let place = if place < 0 { place.checked_add_unsigned(items.len() as u64) } else { Some(place) };
            let gone = place.and_then(|place| usize::try_from(place).ok());
            let kept = items.iter().enumerate().filter(|(place, _)| Some(*place) != gone);
            array(kept.map(|(_, item)| item.raw), out);
        }
        Value::Object(_) => return Err(refused("cannot delete from object using integer index")),
        _ => return Err(refused("cannot delete from scalar")),
    }
    Ok(Answer::Written)
}

/// What happens at the end of a path (`setPath`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    Delete,
    Replace(&'a str),
    /// Replaced, or added where it was not there.
    Set(&'a str),
    InsertBefore(&'a str),
    InsertAfter(&'a str),
}

impl<'a> Change<'a> {
    /// What is added where the path ends at nothing.
    fn added(self) -> Option<&'a str> {
        match self {
            Self::Delete | Self::Replace(_) => None,
            Self::Set(new) | Self::InsertBefore(new) | Self::InsertAfter(new) => Some(new),
        }
    }
}

fn changed_at(row: &Row<'_>, change: Change<'_>, out: &mut BytesMut) -> Result<Answer> {
    let text = row.text(0)?;
    let item = parse(&text)?;
    let is_empty = match &item.value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ if change == Change::Delete => return Err(refused("cannot delete path in scalar")),
        _ => return Err(refused("cannot set path in scalar")),
    };
    let path = row.texts(1)?;
    if path.is_empty() || (is_empty && change.added().is_none()) {
        out.put_slice(text.as_bytes());
    } else {
        changed(&item, &path, 0, change, out)?;
    }
    Ok(Answer::Written)
}

fn changed(
    item: &Item<'_>,
    path: &[Option<Cow<'_, str>>],
    level: usize,
    change: Change<'_>,
    out: &mut BytesMut,
) -> Result<()> {
    let Some(step) = path.get(level).and_then(Option::as_deref) else {
        let message = format!("path element at position {} is null", level + 1);
        return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
    };
    match &item.value {
        Value::Object(members) => {
            let mut kept: Vec<(Cow<'_, str>, &str)> = Vec::with_capacity(members.len() + 1);
            let (mut inner, mut found) = (BytesMut::new(), None);
            for (key, item) in members {
                let key = key.decode()?;
                if key != step {
                    kept.push((key, item.raw));
                    continue;
                }
                found = Some(key);
                if level + 1 < path.len() {
                    changed(item, path, level + 1, change, &mut inner)?;
                    continue;
                }
                match change {
                    Change::Delete => {}
                    Change::Replace(new) | Change::Set(new) => inner.put_slice(new.as_bytes()),
                    Change::InsertBefore(_) | Change::InsertAfter(_) => {
                        return Err(refused("cannot replace existing key")
                            .hint("Try using the function jsonb_set to replace key value."));
                    }
                }
            }
            let inner = crate::pgtype::show::json::text_of(&inner)?;
            match (found, change.added()) {
                // deleted
                (Some(_), _) if inner.is_empty() => {}
                (Some(key), _) => kept.push((key, inner)),
                (None, Some(new)) if level + 1 == path.len() => kept.push((Cow::Borrowed(step), new)),
                (None, _) => {}
            }
            object(kept, out);
        }
        Value::Array(items) => changed_array(items, path, level, change, step, out)?,
        _ => out.put_slice(item.raw.as_bytes()),
    }
    Ok(())
}

fn changed_array(
    items: &[Item<'_>],
    path: &[Option<Cow<'_, str>>],
    level: usize,
    change: Change<'_>,
    step: &str,
    out: &mut BytesMut,
) -> Result<()> {
    let count = items.len() as i64;
    let Some(wanted) = place(step) else {
        let message = format!("path element at position {} is not an integer: \"{step}\"", level + 1);
        return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
    };
    let wanted = if wanted < 0 { wanted + count } else { wanted };
    let is_last = level + 1 == path.len();
    let mut kept: Vec<&str> = Vec::with_capacity(items.len() + 1);
    let mut inner = BytesMut::new();
    if let Some(position) = usize::try_from(wanted).ok().filter(|position| *position < items.len())
        && !is_last
    {
        changed(&items[position], path, level + 1, change, &mut inner)?;
    }
    let inner = crate::pgtype::show::json::text_of(&inner)?;
    let added = change.added().filter(|_| is_last);
    if wanted < 0 {
        kept.extend(added);
    }
    for (position, item) in items.iter().enumerate() {
        if position as i64 != wanted {
            kept.push(item.raw);
        } else if !is_last {
            kept.push(inner);
        } else {
            match change {
                Change::Delete => {}
                Change::Replace(new) | Change::Set(new) => kept.push(new),
                Change::InsertBefore(new) => kept.extend([new, item.raw]),
                Change::InsertAfter(new) => kept.extend([item.raw, new]),
            }
        }
    }
    if wanted >= count {
        kept.extend(added);
    }
    array(kept, out);
    Ok(())
}

fn without_path(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    changed_at(row, Change::Delete, out)
}

fn set(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let new = row.text(2)?;
    let creates = row.len() < 4 || row.flag(3);
    changed_at(row, if creates { Change::Set(&new) } else { Change::Replace(&new) }, out)
}

fn insert(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let new = row.text(2)?;
    let after = row.len() == 4 && row.flag(3);
    changed_at(row, if after { Change::InsertAfter(&new) } else { Change::InsertBefore(&new) }, out)
}

/// What stands between members, and between a key and its value.
struct Spacing {
    comma: &'static [u8],
    colon: &'static [u8],
}

const CLOSE: Spacing = Spacing { comma: b",", colon: b":" };
const SPACED: Spacing = Spacing { comma: b", ", colon: b": " };

fn stripped(row: &Row<'_>, spacing: &Spacing, out: &mut BytesMut) -> Result<Answer> {
    strip(&parse(&row.text(0)?)?, spacing, out)?;
    Ok(Answer::Written)
}

/// Without the members that are `null`; elements stay.
fn strip(item: &Item<'_>, spacing: &Spacing, out: &mut BytesMut) -> Result<()> {
    match &item.value {
        Value::Object(members) => {
            out.put_u8(b'{');
            let mut first = true;
            for (key, item) in members {
                if item.value == Value::Null {
                    continue;
                }
                if !first {
                    out.put_slice(spacing.comma);
                }
                first = false;
                string(key.decode()?.as_bytes(), out);
                out.put_slice(spacing.colon);
                strip(item, spacing, out)?;
            }
            out.put_u8(b'}');
        }
        Value::Array(items) => {
            out.put_u8(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.put_slice(spacing.comma);
                }
                strip(item, spacing, out)?;
            }
            out.put_u8(b']');
        }
        Value::String(text) => string(text.decode()?.as_bytes(), out),
        _ => out.put_slice(item.raw.as_bytes()),
    }
    Ok(())
}

fn pretty(item: &Item<'_>, level: usize, out: &mut BytesMut) -> Result<()> {
    fn line(level: usize, out: &mut BytesMut) -> Result<()> {
        out.put_u8(b'\n');
        out.put_bytes(b' ', level * INDENT);
        // many short lines far to the right are much longer than what they are made of
        super::function::check_size(out.len())
    }
    match &item.value {
        Value::Object(members) => {
            out.put_u8(b'{');
            for (position, (key, item)) in members.iter().enumerate() {
                if position > 0 {
                    out.put_u8(b',');
                }
                line(level + 1, out)?;
                string(key.decode()?.as_bytes(), out);
                out.put_slice(b": ");
                pretty(item, level + 1, out)?;
            }
            line(level, out)?;
            out.put_u8(b'}');
        }
        Value::Array(items) => {
            out.put_u8(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.put_u8(b',');
                }
                line(level + 1, out)?;
                pretty(item, level + 1, out)?;
            }
            line(level, out)?;
            out.put_u8(b']');
        }
        _ => out.put_slice(item.raw.as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: &[&str], change: Change<'_>) -> String {
        let path: Vec<_> = path.iter().map(|step| Some(Cow::Borrowed(*step))).collect();
        let mut out = BytesMut::new();
        match changed(&parse(text).unwrap(), &path, 0, change, &mut out) {
            Ok(()) => String::from_utf8(out.to_vec()).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    /// What PostgreSQL 15 makes of each.
    #[test]
    fn the_end_of_a_path_is_changed() {
        for (text, path, change, expected) in [
            ("{\"a\": 1}", &["a"][..], Change::Set("2"), "{\"a\": 2}"),
            ("{\"a\": 1}", &["b"], Change::Set("2"), "{\"a\": 1, \"b\": 2}"),
            ("{\"a\": 1}", &["b"], Change::Replace("2"), "{\"a\": 1}"),
            ("[1, 2]", &["9"], Change::Set("0"), "[1, 2, 0]"),
            ("[1, 2]", &["-9"], Change::Set("0"), "[0, 1, 2]"),
            ("[1, 2]", &["-1"], Change::Set("0"), "[1, 0]"),
            ("[]", &["-1"], Change::Set("0"), "[0]"),
            ("[]", &["0"], Change::Set("0"), "[0]"),
            ("{\"a\": {\"b\": 1}}", &["a", "b"], Change::Set("[]"), "{\"a\": {\"b\": []}}"),
            ("{\"a\": {\"b\": 1}}", &["x", "b"], Change::Set("[]"), "{\"a\": {\"b\": 1}}"),
            ("{\"a\": 1}", &["a", "b"], Change::Set("2"), "{\"a\": 1}"),
            ("[1, 2]", &["0"], Change::InsertBefore("0"), "[0, 1, 2]"),
            ("[1, 2]", &["0"], Change::InsertAfter("0"), "[1, 0, 2]"),
            ("[1, 2]", &["-9"], Change::InsertBefore("0"), "[0, 1, 2]"),
            ("{\"a\": 1}", &["a"], Change::InsertBefore("2"), "cannot replace existing key (22023)"),
            ("[1, [2, 3]]", &["1", "0"], Change::Delete, "[1, [3]]"),
            ("{\"a\": 1}", &["x", "y"], Change::Delete, "{\"a\": 1}"),
            ("[1]", &["a"], Change::Delete, "path element at position 1 is not an integer: \"a\" (22P02)"),
        ] {
            assert_eq!(at(text, path, change), expected, "{text} {path:?} {change:?}");
        }
    }

    #[test]
    fn levels_are_moved_in() {
        let mut out = BytesMut::new();
        pretty(&parse("{\"a\": [1, {}]}").unwrap(), 0, &mut out).unwrap();
        assert_eq!(out, "{\n    \"a\": [\n        1,\n        {\n        }\n    ]\n}".as_bytes());
    }
}
