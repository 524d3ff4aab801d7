//! What is in a value: members, elements and paths, containment and order (PostgreSQL 15, tables 9.45 and 9.46, and 8.14.3
//! "jsonb Containment and Existence").
//!
//! A value of `jsonb` comes in its normal form, so the text of each part of it is `jsonb`, too.

use std::borrow::Cow;
use std::cmp::Ordering;

use bytes::{BufMut as _, BytesMut};

use super::super::numeric::Numeric;
use super::function::{Answer, Form, Function, Give, Row, Take, on};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::read::json::{Item, Value, parse};

const JSON: Give = Give::Of(Form::Json);
const JSONB: Give = Give::Of(Form::Jsonb);

pub static FUNCTIONS: &[Function] = &[
    Function { name: "json_object_field", overloads: &[on(&[Take::Json, Take::Text], JSON, field)] },
    Function { name: "jsonb_object_field", overloads: &[on(&[Take::Jsonb, Take::Text], JSONB, field)] },
    Function { name: "json_object_field_text", overloads: &[on(&[Take::Json, Take::Text], Give::Text, field_text)] },
    Function { name: "jsonb_object_field_text", overloads: &[on(&[Take::Jsonb, Take::Text], Give::Text, field_text)] },
    Function { name: "json_array_element", overloads: &[on(&[Take::Json, Take::Int], JSON, element)] },
    Function { name: "jsonb_array_element", overloads: &[on(&[Take::Jsonb, Take::Int], JSONB, element_of_jsonb)] },
    Function { name: "json_array_element_text", overloads: &[on(&[Take::Json, Take::Int], Give::Text, element_text)] },
    Function {
        name: "jsonb_array_element_text",
        overloads: &[on(&[Take::Jsonb, Take::Int], Give::Text, element_of_jsonb_text)],
    },
    Function {
        name: "json_extract_path",
        overloads: &[
            on(&[Take::Json, Take::Text], JSON, path).and_more(Take::Text),
            on(&[Take::Json, Take::Texts], JSON, path_of_array),
        ],
    },
    Function {
        name: "jsonb_extract_path",
        overloads: &[
            on(&[Take::Jsonb, Take::Text], JSONB, path).and_more(Take::Text),
            on(&[Take::Jsonb, Take::Texts], JSONB, path_of_array),
        ],
    },
    Function {
        name: "json_extract_path_text",
        overloads: &[
            on(&[Take::Json, Take::Text], Give::Text, path_text).and_more(Take::Text),
            on(&[Take::Json, Take::Texts], Give::Text, path_of_array_text),
        ],
    },
    Function {
        name: "jsonb_extract_path_text",
        overloads: &[
            on(&[Take::Jsonb, Take::Text], Give::Text, path_text).and_more(Take::Text),
            on(&[Take::Jsonb, Take::Texts], Give::Text, path_of_array_text),
        ],
    },
    Function { name: "json_typeof", overloads: &[on(&[Take::Json], Give::Text, type_of)] },
    Function { name: "jsonb_typeof", overloads: &[on(&[Take::Jsonb], Give::Text, type_of)] },
    Function { name: "json_array_length", overloads: &[on(&[Take::Json], Give::Int, length)] },
    Function { name: "jsonb_array_length", overloads: &[on(&[Take::Jsonb], Give::Int, length)] },
    Function {
        name: "jsonb_contains",
        overloads: &[on(&[Take::Jsonb, Take::Jsonb], Give::Bool, |row, _| contained(row, 0, 1))],
    },
    Function {
        name: "jsonb_contained",
        overloads: &[on(&[Take::Jsonb, Take::Jsonb], Give::Bool, |row, _| contained(row, 1, 0))],
    },
    Function {
        name: "jsonb_exists",
        overloads: &[on(&[Take::Jsonb, Take::Text], Give::Bool, |row, _| {
            Ok(Answer::Bool(exists(&parse(&row.text(0)?)?, &row.text(1)?)?))
        })],
    },
    Function {
        name: "jsonb_exists_any",
        overloads: &[on(&[Take::Jsonb, Take::Texts], Give::Bool, |row, _| exist(row, true))],
    },
    Function {
        name: "jsonb_exists_all",
        overloads: &[on(&[Take::Jsonb, Take::Texts], Give::Bool, |row, _| exist(row, false))],
    },
    Function { name: "jsonb_eq", overloads: &[on(COMPARED, Give::Bool, |row, _| compared(row, Ordering::is_eq))] },
    Function { name: "jsonb_ne", overloads: &[on(COMPARED, Give::Bool, |row, _| compared(row, Ordering::is_ne))] },
    Function { name: "jsonb_lt", overloads: &[on(COMPARED, Give::Bool, |row, _| compared(row, Ordering::is_lt))] },
    Function { name: "jsonb_le", overloads: &[on(COMPARED, Give::Bool, |row, _| compared(row, Ordering::is_le))] },
    Function { name: "jsonb_gt", overloads: &[on(COMPARED, Give::Bool, |row, _| compared(row, Ordering::is_gt))] },
    Function { name: "jsonb_ge", overloads: &[on(COMPARED, Give::Bool, |row, _| compared(row, Ordering::is_ge))] },
];

const COMPARED: &[Take] = &[Take::Jsonb, Take::Jsonb];

/// The value as its text is, or NULL.
fn raw(item: Option<&Item<'_>>, out: &mut BytesMut) -> Answer {
    let Some(item) = item else { return Answer::Null };
    out.put_slice(item.raw.as_bytes());
    Answer::Written
}

/// The value as text: what a string says, NULL for `null`.
pub fn text(item: Option<&Item<'_>>, out: &mut BytesMut) -> Result<Answer> {
    match item {
        None | Some(Item { value: Value::Null, .. }) => return Ok(Answer::Null),
        Some(Item { value: Value::String(text), .. }) => out.put_slice(text.decode()?.as_bytes()),
        Some(item) => out.put_slice(item.raw.as_bytes()),
    }
    Ok(Answer::Written)
}

/// The member of this key, the last of several.
pub fn member<'i, 'a>(item: &'i Item<'a>, key: &str) -> Result<Option<&'i Item<'a>>> {
    let Value::Object(members) = &item.value else { return Ok(None) };
    for (name, value) in members.iter().rev() {
        if name.is(key)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The element at a place, from the end where it is negative.
fn at<'i, 'a>(item: &'i Item<'a>, place: i64) -> Option<&'i Item<'a>> {
    let Value::Array(items) = &item.value else { return None };
    let place = if place < 0 { place.checked_add_unsigned(items.len() as u64)? } else { place };
    items.get(usize::try_from(place).ok()?)
}

fn field(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    Ok(raw(member(&parse(&row.text(0)?)?, &row.text(1)?)?, out))
}

fn field_text(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    text(member(&parse(&row.text(0)?)?, &row.text(1)?)?, out)
}

fn element(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    Ok(raw(at(&parse(&row.text(0)?)?, row.int(1)), out))
}

fn element_text(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    text(at(&parse(&row.text(0)?)?, row.int(1)), out)
}

/// As [`at`]; to `jsonb` a scalar at the top is an array of one.
fn at_top<'i, 'a>(item: &'i Item<'a>, place: i64) -> Option<&'i Item<'a>> {
    if is_scalar(item) { matches!(place, 0 | -1).then_some(item) } else { at(item, place) }
}

fn element_of_jsonb(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    Ok(raw(at_top(&parse(&row.text(0)?)?, row.int(1)), out))
}

fn element_of_jsonb_text(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    text(at_top(&parse(&row.text(0)?)?, row.int(1)), out)
}

/// Where a path leads; a NULL in it leads nowhere.
fn walk<'i, 'a>(mut item: &'i Item<'a>, path: &[Option<Cow<'_, str>>]) -> Result<Option<&'i Item<'a>>> {
    for step in path {
        let Some(step) = step else { return Ok(None) };
        let next = match &item.value {
            Value::Object(_) => member(item, step)?,
            Value::Array(_) => place(step).and_then(|place| at(item, place)),
            _ => None,
        };
        match next {
            Some(next) => item = next,
            None => return Ok(None),
        }
    }
    Ok(Some(item))
}

/// A step of a path as an element's place (`strtoint`).
pub fn place(step: &str) -> Option<i64> {
    step.trim_ascii_start().parse::<i32>().ok().map(i64::from)
}

fn arguments<'a>(row: &Row<'a>) -> Result<Vec<Option<Cow<'a, str>>>> {
    (1..row.len()).map(|position| row.text(position).map(Some)).collect()
}

fn path(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    Ok(raw(walk(&parse(&row.text(0)?)?, &arguments(row)?)?, out))
}

fn path_text(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    text(walk(&parse(&row.text(0)?)?, &arguments(row)?)?, out)
}

fn path_of_array(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    Ok(raw(walk(&parse(&row.text(0)?)?, &row.texts(1)?)?, out))
}

fn path_of_array_text(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    text(walk(&parse(&row.text(0)?)?, &row.texts(1)?)?, out)
}

/// What `json_typeof` calls a value.
pub fn type_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_of(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    out.put_slice(type_name(&parse(&row.text(0)?)?.value).as_bytes());
    Ok(Answer::Written)
}

fn length(row: &Row<'_>, _: &mut BytesMut) -> Result<Answer> {
    let what = match &parse(&row.text(0)?)?.value {
        Value::Array(items) => return Ok(Answer::Int(i32::try_from(items.len()).unwrap_or(i32::MAX))),
        Value::Object(_) => "non-array",
        _ => "scalar",
    };
    Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot get array length of a {what}")))
}

fn is_scalar(item: &Item<'_>) -> bool {
    !matches!(item.value, Value::Array(_) | Value::Object(_))
}

fn contained(row: &Row<'_>, whole: usize, part: usize) -> Result<Answer> {
    let (whole, part) = (row.text(whole)?, row.text(part)?);
    let (whole, part) = (parse(&whole)?, parse(&part)?);
    Ok(Answer::Bool(match (&whole.value, &part.value) {
        // at the top alone, an array contains a scalar
        (Value::Array(items), _) if is_scalar(&part) => has(items, &part)?,
        _ if is_scalar(&whole) && is_scalar(&part) => compare(&whole, &part)?.is_eq(),
        _ => contains(&whole, &part)?,
    }))
}

fn has(items: &[Item<'_>], scalar: &Item<'_>) -> Result<bool> {
    for item in items {
        if is_scalar(item) && compare(item, scalar)?.is_eq() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Of two arrays, or of two objects (`JsonbDeepContains`).
fn contains(whole: &Item<'_>, part: &Item<'_>) -> Result<bool> {
    match (&whole.value, &part.value) {
        (Value::Object(_), Value::Object(members)) => {
            for (key, wanted) in members {
                let Some(found) = member(whole, &key.decode()?)? else { return Ok(false) };
                let equal = if is_scalar(wanted) {
                    is_scalar(found) && compare(found, wanted)?.is_eq()
                } else {
                    contains(found, wanted)?
                };
                if !equal {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Value::Array(items), Value::Array(parts)) => {
            for wanted in parts {
                let mut found = is_scalar(wanted) && has(items, wanted)?;
                if !is_scalar(wanted) {
                    for item in items {
                        found = contains(item, wanted)?;
                        if found {
                            break;
                        }
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Whether a text is a key of an object, a string in an array, or a string itself.
fn exists(item: &Item<'_>, wanted: &str) -> Result<bool> {
    match &item.value {
        Value::Object(_) => Ok(member(item, wanted)?.is_some()),
        Value::String(text) => text.is(wanted),
        Value::Array(items) => {
            for item in items {
                if let Value::String(text) = item.value
                    && text.is(wanted)?
                {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

/// NULLs among the keys are left out.
fn exist(row: &Row<'_>, any: bool) -> Result<Answer> {
    let text = row.text(0)?;
    let item = parse(&text)?;
    for wanted in row.texts(1)?.into_iter().flatten() {
        if exists(&item, &wanted)? == any {
            return Ok(Answer::Bool(any));
        }
    }
    Ok(Answer::Bool(!any))
}

fn compared(row: &Row<'_>, holds: fn(Ordering) -> bool) -> Result<Answer> {
    let (left, right) = (row.text(0)?, row.text(1)?);
    let (left, right) = (parse(&left)?, parse(&right)?);
    // to `jsonb` a scalar at the top is an array of one
    let order = match (&left.value, &right.value) {
        (Value::Array(items), _) if is_scalar(&right) => items.len().cmp(&1).then(Ordering::Greater),
        (_, Value::Array(items)) if is_scalar(&left) => 1.cmp(&items.len()).then(Ordering::Less),
        _ => compare(&left, &right)?,
    };
    Ok(Answer::Bool(holds(order)))
}

/// The order of two values (`compareJsonbContainers`): by their types, then by how many there are in them, then one by one.
fn compare(left: &Item<'_>, right: &Item<'_>) -> Result<Ordering> {
    let rank = |value: &Value<'_>| match value {
        Value::Null => 0,
        Value::String(_) => 1,
        Value::Number(_) => 2,
        Value::Bool(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    };
    Ok(match (&left.value, &right.value) {
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => left.decode()?.cmp(&right.decode()?),
        (Value::Number(left), Value::Number(right)) if left == right => Ordering::Equal,
        (Value::Number(left), Value::Number(right)) => Numeric::parse(left)?.compare(&Numeric::parse(right)?),
        (Value::Array(left), Value::Array(right)) => {
            let mut order = left.len().cmp(&right.len());
            for (left, right) in left.iter().zip(right) {
                if order.is_ne() {
                    break;
                }
                order = compare(left, right)?;
            }
            order
        }
        (Value::Object(left), Value::Object(right)) => {
            let mut order = left.len().cmp(&right.len());
            for ((left_key, left), (right_key, right)) in left.iter().zip(right) {
                if order.is_ne() {
                    break;
                }
                order = left_key.decode()?.cmp(&right_key.decode()?);
                if order.is_eq() {
                    order = compare(left, right)?;
                }
            }
            order
        }
        (left, right) => rank(left).cmp(&rank(right)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_by_keys_and_places() {
        let item = parse("{\"a\":{\"b\":[1,{\"c\":5}]},\"a2\":null}").unwrap();
        let walked = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(|step| Some(Cow::Borrowed(*step))).collect();
            walk(&item, &path).unwrap().map(|item| item.raw)
        };
        assert_eq!(walked(&["a", "b", "1", "c"]), Some("5"));
        assert_eq!(walked(&["a", "b", "-2"]), Some("1"));
        assert_eq!(walked(&["a", "b", "x"]), None);
        assert_eq!(walked(&["a2"]), Some("null"));
        assert_eq!(walk(&item, &[None]).unwrap(), None);
    }

    #[test]
    fn values_have_an_order() {
        let sorted =
            ["null", "\"a\"", "\"b\"", "1", "1.5", "10", "false", "true", "[]", "[1]", "[0,0]", "{}", "{\"a\":1}"];
        for (place, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                let order = compare(&parse(left).unwrap(), &parse(right).unwrap()).unwrap();
                assert_eq!(order, place.cmp(&other), "{left} {right}");
            }
        }
        assert_eq!(compare(&parse("[1.50]").unwrap(), &parse("[1.5]").unwrap()), Ok(Ordering::Equal));
    }
}
