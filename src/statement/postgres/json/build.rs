//! Values of JSON made of others: `to_json`, `json_build_object` and their like (PostgreSQL 15, table 9.47).
//!
//! Each function is written once, as `json` has it; `jsonb` is the normal form of the same text.

use bytes::{BufMut as _, BytesMut};

use super::function::{Answer, Call, Form, Function, Give, Overload, Row, Take, check_size, on};
use crate::error::{Error, Result, SqlState};
use crate::pgtype::read::json;
use crate::pgtype::show;
use crate::pgtype::show::json::{string, text_of};

const JSON: Give = Give::Of(Form::Json);
const JSONB: Give = Give::Of(Form::Jsonb);

/// What stands between the members of an array or a record that is written in lines.
const LINES: &[u8] = b",\n ";

pub static FUNCTIONS: &[Function] = &[
    Function { name: "to_json", overloads: &[on(&[Take::Any], JSON, value)] },
    Function { name: "to_jsonb", overloads: &[on(&[Take::Any], JSONB, |row, out| as_jsonb(value, row, out))] },
    Function {
        name: "array_to_json",
        overloads: &[on(&[Take::Array], JSON, value), on(&[Take::Array, Take::Bool], JSON, in_lines)],
    },
    Function {
        name: "row_to_json",
        overloads: &[on(&[Take::Record], JSON, value), on(&[Take::Record, Take::Bool], JSON, in_lines)],
    },
    Function { name: "json_build_array", overloads: &[any_number(JSON, build_array)] },
    Function { name: "jsonb_build_array", overloads: &[any_number(JSONB, |row, out| as_jsonb(build_array, row, out))] },
    Function { name: "json_build_object", overloads: &[any_number(JSON, build_object)] },
    Function {
        name: "jsonb_build_object",
        overloads: &[any_number(JSONB, |row, out| as_jsonb(build_object, row, out))],
    },
    Function {
        name: "json_object",
        overloads: &[on(&[Take::Texts], JSON, pairs), on(&[Take::Texts, Take::Texts], JSON, keys_and_values)],
    },
    Function {
        name: "jsonb_object",
        overloads: &[
            on(&[Take::Texts], JSONB, |row, out| as_jsonb(pairs, row, out)),
            on(&[Take::Texts, Take::Texts], JSONB, |row, out| as_jsonb(keys_and_values, row, out)),
        ],
    },
];

const fn any_number(gives: Give, call: Call) -> Overload {
    on(&[], gives, call).and_more(Take::Any).with_nulls()
}

/// What a function writes, in `jsonb`'s normal form.
fn as_jsonb(call: Call, row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let mut text = BytesMut::new();
    let answer = call(row, &mut text)?;
    if answer == Answer::Written {
        show::json::write(&json::parse(text_of(&text)?)?, out)?;
    }
    Ok(answer)
}

fn value(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let (values, place) = row.value(0)?;
    values.write(place, row.env, out)?;
    Ok(Answer::Written)
}

fn in_lines(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let (values, place) = row.value(0)?;
    values.write_between(place, if row.flag(1) { LINES } else { b"," }, row.env, out)?;
    Ok(Answer::Written)
}

fn build_array(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    out.put_u8(b'[');
    for position in 0..row.len() {
        if position > 0 {
            out.put_slice(b", ");
        }
        let (values, place) = row.value(position)?;
        values.write(place, row.env, out)?;
        check_size(out.len())?;
    }
    out.put_u8(b']');
    Ok(Answer::Written)
}

fn build_object(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let refused = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    if row.len() % 2 == 1 {
        return Err(refused("argument list must have even number of elements".to_owned())
            .hint(format!("The arguments of {}() must consist of alternating keys and values.", row.name)));
    }
    out.put_u8(b'{');
    for position in (0..row.len()).step_by(2) {
        if position > 0 {
            out.put_slice(b", ");
        }
        let (keys, place) = row.value(position)?;
        if keys.is_null(place) {
            let number = position + 1;
            return Err(if row.name == "json_build_object" {
                refused(format!("argument {number} cannot be null")).hint("Object keys should be text.")
            } else {
                refused(format!("argument {number}: key must not be null"))
            });
        }
        keys.key(place, row.env, out)?;
        out.put_slice(b" : ");
        let (values, place) = row.value(position + 1)?;
        values.write(place, row.env, out)?;
        check_size(out.len())?;
    }
    out.put_u8(b'}');
    Ok(Answer::Written)
}

/// An object of texts; NULL is `null`.
fn object<'a>(members: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>, out: &mut BytesMut) -> Result<Answer> {
    out.put_u8(b'{');
    for (position, (key, value)) in members.enumerate() {
        if position > 0 {
            out.put_slice(b", ");
        }
        let Some(key) = key else {
            return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "null value not allowed for object key"));
        };
        string(key.as_bytes(), out);
        out.put_slice(b" : ");
        match value {
            Some(value) => string(value.as_bytes(), out),
            None => out.put_slice(b"null"),
        }
        check_size(out.len())?;
    }
    out.put_u8(b'}');
    Ok(Answer::Written)
}

fn wrong_array(message: &'static str) -> Error {
    Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
}

/// Keys and values in turns, or in the columns of an array of two dimensions.
fn pairs(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    if let Some(rows) = row.table(0) {
        if rows.iter().any(|pair| pair.len() != 2) {
            return Err(wrong_array("array must have two columns"));
        }
        return object(rows.iter().map(|pair| (pair[0].as_deref(), pair[1].as_deref())), out);
    }
    let texts = row.texts(0)?;
    if texts.len() % 2 == 1 {
        return Err(wrong_array("array must have even number of elements"));
    }
    object(texts.chunks_exact(2).map(|pair| (pair[0].as_deref(), pair[1].as_deref())), out)
}

fn keys_and_values(row: &Row<'_>, out: &mut BytesMut) -> Result<Answer> {
    let (keys, values) = (row.texts(0)?, row.texts(1)?);
    if row.table(0).is_some() || row.table(1).is_some() {
        return Err(wrong_array("wrong number of array subscripts"));
    }
    if keys.len() != values.len() {
        return Err(wrong_array("mismatched array dimensions"));
    }
    object(keys.iter().map(Option::as_deref).zip(values.iter().map(Option::as_deref)), out)
}
