//! Objects as values: `regclass`, `regtype`, `regproc` and the like, from their names and back.
//!
//! PostgreSQL 15, section 8.19 "Object Identifier Types" (`regproc.c`, `parse_type.c`). In a plan such a value is its OID.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use super::super::context::Context;
use super::call::{Arg, Bound, Returns, Row, Spec, Value, parse_oid};
use super::describe::type_name;
use super::known::{Known, qualified};
use super::procs::{self, Named};
use super::quote;
use crate::error::{Error, Result, SqlState};
use crate::pgtype::known as types;
use crate::statement::system::pg_catalog;

/// The types of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reg {
    Class,
    Type,
    Proc,
    Procedure,
    Oper,
    Operator,
    Namespace,
    Role,
    Config,
    Dictionary,
    Collation,
}

const ALL: [Reg; 11] = [
    Reg::Class,
    Reg::Type,
    Reg::Proc,
    Reg::Procedure,
    Reg::Oper,
    Reg::Operator,
    Reg::Namespace,
    Reg::Role,
    Reg::Config,
    Reg::Dictionary,
    Reg::Collation,
];
const TEXT: &[&[Arg]] = &[&[Arg::Text]];

macro_rules! reg_specs {
    ($($name:literal $input:ident $output:ident $kind:expr;)+) => {
        $(
            static $input: Spec = Spec::new($name, TEXT, Returns::Oid($name), |known, row| {
                input($kind, known, row.text(0).unwrap_or_default()).map(Value::oid)
            });
            static $output: Spec = Spec::new(concat!($name, "out"), &[&[Arg::Oid]], Returns::Text, |known, row| {
                Ok(Value::or_null(row.oid(0)?, |oid| Value::Text(output($kind, known, oid))))
            });
        )+

        /// The specs of a type's input and output.
        fn specs(kind: Reg) -> (&'static Spec, &'static Spec) {
            match kind {
                $(kind if kind == $kind => (&$input, &$output),)+
                _ => (&REGCLASS_IN, &REGCLASS_OUT),
            }
        }
    };
}

reg_specs! {
    "regclass" REGCLASS_IN REGCLASS_OUT Reg::Class;
    "regtype" REGTYPE_IN REGTYPE_OUT Reg::Type;
    "regproc" REGPROC_IN REGPROC_OUT Reg::Proc;
    "regprocedure" REGPROCEDURE_IN REGPROCEDURE_OUT Reg::Procedure;
    "regoper" REGOPER_IN REGOPER_OUT Reg::Oper;
    "regoperator" REGOPERATOR_IN REGOPERATOR_OUT Reg::Operator;
    "regnamespace" REGNAMESPACE_IN REGNAMESPACE_OUT Reg::Namespace;
    "regrole" REGROLE_IN REGROLE_OUT Reg::Role;
    "regconfig" REGCONFIG_IN REGCONFIG_OUT Reg::Config;
    "regdictionary" REGDICTIONARY_IN REGDICTIONARY_OUT Reg::Dictionary;
    "regcollation" REGCOLLATION_IN REGCOLLATION_OUT Reg::Collation;
}

/// From texts to OIDs of a type such as `regclass`: a cast.
///
/// What there is none of is refused when it runs: `42P01` for a relation, `42883` for a function or an operator, `42704`,
/// `3F000`, all in PostgreSQL's words, and the same for what is hidden.
pub fn reg_in(kind: Reg, context: &Context) -> Arc<ScalarUDF> {
    Bound::function(specs(kind).0, context)
}

/// From OIDs of a type such as `regclass` to texts: names where there are any, numbers else.
pub fn reg_out(kind: Reg, context: &Context) -> Arc<ScalarUDF> {
    Bound::function(specs(kind).1, context)
}

/// `to_regclass` and the like: NULL for what there is none of.
pub const FUNCTIONS: &[Spec] = &[
    Spec::new("to_regclass", TEXT, Returns::Oid("regclass"), |known, row| tried(Reg::Class, known, row)),
    Spec::new("to_regtype", TEXT, Returns::Oid("regtype"), |known, row| tried(Reg::Type, known, row)),
    Spec::new("to_regproc", TEXT, Returns::Oid("regproc"), |known, row| tried(Reg::Proc, known, row)),
    Spec::new("to_regprocedure", TEXT, Returns::Oid("regprocedure"), |known, row| tried(Reg::Procedure, known, row)),
    Spec::new("to_regoper", TEXT, Returns::Oid("regoper"), |known, row| tried(Reg::Oper, known, row)),
    Spec::new("to_regoperator", TEXT, Returns::Oid("regoperator"), |known, row| tried(Reg::Operator, known, row)),
    Spec::new("to_regnamespace", TEXT, Returns::Oid("regnamespace"), |known, row| tried(Reg::Namespace, known, row)),
    Spec::new("to_regrole", TEXT, Returns::Oid("regrole"), |known, row| tried(Reg::Role, known, row)),
    Spec::new("to_regcollation", TEXT, Returns::Oid("regcollation"), |known, row| tried(Reg::Collation, known, row)),
];

impl Reg {
    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type of this OID.
    pub fn of_type(type_oid: u32) -> Option<Self> {
        types::by_oid(type_oid).and_then(|known| Self::named(known.name))
    }

    pub fn name(self) -> &'static str {
        specs(self).0.name
    }

    /// The relation of facts that has the objects, where they are the same for everybody.
    fn facts(self) -> Option<&'static Named> {
        procs::facts(match self {
            Self::Proc | Self::Procedure => "pg_proc",
            Self::Oper | Self::Operator => "pg_operator",
            Self::Config => "pg_ts_config",
            Self::Dictionary => "pg_ts_dict",
            Self::Collation => "pg_collation",
            Self::Class | Self::Type | Self::Namespace | Self::Role => return None,
        })
    }
}

/// A name that stands for nothing is NULL; a text that is no name is refused all the same.
fn tried(kind: Reg, known: &Known, row: &Row<'_>) -> Result<Value> {
    match named(kind, known, row.text(0).unwrap_or_default()) {
        Ok(oid) => Ok(Value::oid(oid)),
        Err(error) => match error.sqlstate() {
            SqlState::UNDEFINED_TABLE
            | SqlState::UNDEFINED_OBJECT
            | SqlState::UNDEFINED_FUNCTION
            | SqlState::AMBIGUOUS_FUNCTION
            | SqlState::INVALID_SCHEMA_NAME => Ok(Value::Null),
            _ => Err(error),
        },
    }
}

/// A text as the type reads it: `-` and numbers are OIDs.
pub fn input(kind: Reg, known: &Known, text: &str) -> Result<u32> {
    // these are operators' names too
    if text == "-" && !matches!(kind, Reg::Oper) {
        return Ok(0);
    }
    if text == "0" || !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return parse_oid(text);
    }
    named(kind, known, text)
}

/// The object of a name.
///
/// # Errors
/// PostgreSQL's for a name that nothing has, or that several have.
fn named(kind: Reg, known: &Known, text: &str) -> Result<u32> {
    match kind {
        Reg::Class => known.relation(text),
        Reg::Type => type_of_text(known, text),
        Reg::Namespace => known.namespace(&single(text)?),
        Reg::Role => known.role(&single(text)?),
        Reg::Procedure => procedure(known, text),
        Reg::Operator => operator(known, text),
        Reg::Proc => {
            let names = qualified(text)?;
            let found = in_facts(kind, known, &names)?;
            one_of(&found, || {
                (format!("function \"{text}\" does not exist"), format!("more than one function named \"{text}\""))
            })
        }
        Reg::Oper => {
            let names = operator_names(text);
            let found = in_facts(kind, known, &names)?;
            one_of(&found, || {
                (format!("operator does not exist: {text}"), format!("more than one operator named {text}"))
            })
        }
        Reg::Config | Reg::Dictionary | Reg::Collation => {
            let names = qualified(text)?;
            let found = in_facts(kind, known, &names)?.into_iter().next();
            let what = match kind {
                Reg::Config => "text search configuration",
                Reg::Dictionary => "text search dictionary",
                _ => "collation",
            };
            let shown = names.join(".");
            let message = if kind == Reg::Collation {
                format!("collation \"{shown}\" for encoding \"UTF8\" does not exist")
            } else {
                format!("{what} \"{shown}\" does not exist")
            };
            found.ok_or_else(|| Error::new(SqlState::UNDEFINED_OBJECT, message))
        }
    }
}

/// A name without a schema.
fn single(text: &str) -> Result<String> {
    match <[String; 1]>::try_from(qualified(text)?) {
        Ok([name]) => Ok(name),
        Err(_) => Err(Error::new(SqlState::INVALID_NAME, "invalid name syntax")),
    }
}

/// Functions, operators and the like of a name, in the first schema of the path that has any.
fn in_facts(kind: Reg, known: &Known, names: &[String]) -> Result<Vec<u32>> {
    let Some(facts) = kind.facts() else { return Ok(Vec::new()) };
    let (schema, name) = known.schema_and_name(names, kind.name())?;
    if let Some(schema) = schema {
        return Ok(facts.named(known.namespace(schema)?, name).collect());
    }
    let of_schema =
        |schema: &String| known.oids.namespace(schema).map(|oid| facts.named(oid, name).collect::<Vec<_>>());
    Ok(known.path().iter().filter_map(of_schema).find(|found| !found.is_empty()).unwrap_or_default())
}

fn one_of(found: &[u32], messages: impl FnOnce() -> (String, String)) -> Result<u32> {
    match found {
        [only] => Ok(*only),
        [] => Err(Error::new(SqlState::UNDEFINED_FUNCTION, messages().0)),
        _ => Err(Error::new(SqlState::AMBIGUOUS_FUNCTION, messages().1)),
    }
}

/// `upper(text)`: the function that takes exactly these types.
fn procedure(known: &Known, text: &str) -> Result<u32> {
    let (name, types) = name_and_types(known, text)?;
    let names = qualified(name)?;
    let found = in_facts(Reg::Procedure, known, &names)?;
    let exact =
        found.into_iter().find(|oid| procs::Proc::of(known, *oid).is_some_and(|proc| proc.argument_types() == types));
    exact.ok_or_else(|| Error::new(SqlState::UNDEFINED_FUNCTION, format!("function \"{text}\" does not exist")))
}

/// `+(integer,integer)`: the operator between exactly these types; `NONE` stands for no operand.
fn operator(known: &Known, text: &str) -> Result<u32> {
    let (name, types) = name_and_types(known, text)?;
    let [left, right] = types.as_slice() else {
        let (message, hint) = match types.len() {
            1 => ("missing argument", "Use NONE to denote the missing argument of a unary operator."),
            _ => ("too many arguments", "Provide two argument types for operator."),
        };
        return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message).hint(hint));
    };
    let facts = procs::facts("pg_operator");
    let found = in_facts(Reg::Operator, known, &operator_names(name))?.into_iter().find(|oid| {
        facts.is_some_and(|facts| {
            let number = |column| facts.row(*oid).and_then(|row| facts.number(row, column));
            number("oprleft") == Some(*left) && number("oprright") == Some(*right)
        })
    });
    found.ok_or_else(|| Error::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {text}")))
}

/// An operator's name may have a schema before its last dot; what it is made of needs no quotes.
fn operator_names(text: &str) -> Vec<String> {
    match text.trim().rsplit_once('.') {
        Some((schema, name)) => vec![schema.trim_matches('"').to_owned(), name.to_owned()],
        None => vec![text.trim().to_owned()],
    }
}

/// `name(type, type)`.
fn name_and_types<'a>(known: &Known, text: &'a str) -> Result<(&'a str, Vec<u32>)> {
    let syntax = |message: &'static str| Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message);
    let mut quoted = false;
    let open = text.char_indices().find(|(_, character)| {
        quoted ^= *character == '"';
        *character == '(' && !quoted
    });
    let Some((open, _)) = open else { return Err(syntax("expected a left parenthesis")) };
    let rest = text[open + 1..].trim_end();
    let inner = rest.strip_suffix(')').ok_or_else(|| syntax("expected a right parenthesis"))?;
    let mut types = Vec::new();
    if !inner.trim().is_empty() {
        for name in split_types(inner) {
            if name.trim().is_empty() {
                return Err(syntax("expected a type name"));
            }
            types.push(if name.trim().eq_ignore_ascii_case("none") { 0 } else { type_of_text(known, name.trim())? });
        }
    }
    Ok((&text[..open], types))
}

/// At commas that are in no parentheses: `numeric(10,2)` is one type.
fn split_types(text: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
}

/// The type that SQL's words mean: `timestamp(3) with time zone`, `int[]`, `sales.orders`.
///
/// # Errors
/// `42704` for a type that there is none of, `3F000` for its schema, `42601` for what is no type's name.
pub fn type_of_text(known: &Known, text: &str) -> Result<u32> {
    let missing = || Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{}\" does not exist", text.trim()));
    let mut name = text.trim();
    let mut is_array = false;
    while let Some(element) = name.strip_suffix(']') {
        let Some((element, bounds)) = element.rsplit_once('[') else { break };
        if !bounds.trim().bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", bounds.trim())));
        }
        name = element.trim_end();
        is_array = true;
    }
    let words = without_modifiers(name)?;
    let found = if let Some(name) = in_sql(&words) {
        types::by_name(name).map(|known| known.oid)
    } else {
        let names = qualified(&words)?;
        let (schema, name) = known.schema_and_name(&names, "type")?;
        match schema {
            Some(schema) => {
                known.namespace(schema)?;
                known.oids.type_oid(schema, name)
            }
            None => known.path().iter().find_map(|schema| known.oids.type_oid(schema, name)),
        }
    };
    let element = found.ok_or_else(missing)?;
    if is_array { array_of(known, element).ok_or_else(missing) } else { Ok(element) }
}

fn array_of(known: &Known, element: u32) -> Option<u32> {
    if types::by_array(element).is_some() {
        return Some(element);
    }
    if let Some(found) = types::by_oid(element) {
        return Some(found.array).filter(|array| *array != 0);
    }
    let row = known.oids.type_name(element)?;
    known.oids.type_oid(&row.schema, &format!("_{}", row.name))
}

/// The words of a type without what stands in parentheses.
fn without_modifiers(text: &str) -> Result<String> {
    let Some((before, rest)) = text.split_once('(').filter(|_| !text.starts_with('"')) else {
        return Ok(text.to_owned());
    };
    let Some((_, after)) = rest.split_once(')') else {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error at end of input"));
    };
    Ok(format!("{} {}", before.trim_end(), after.trim_start()).trim().to_owned())
}

/// The types that SQL has words of its own for (`gram.y`, `SimpleTypename`).
fn in_sql(words: &str) -> Option<&'static str> {
    if words.contains(['"', '.']) {
        return None;
    }
    let folded = words.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    Some(match folded.as_str() {
        "int" | "integer" => "int4",
        "smallint" => "int2",
        "bigint" => "int8",
        "real" => "float4",
        "float" | "double precision" => "float8",
        "decimal" | "dec" | "numeric" => "numeric",
        "boolean" => "bool",
        "character varying"
        | "char varying"
        | "national character varying"
        | "national char varying"
        | "nchar varying" => "varchar",
        "character" | "char" | "national character" | "national char" | "nchar" => "bpchar",
        "bit varying" => "varbit",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        other if other.starts_with("interval ") => "interval",
        _ => return None,
    })
}

/// An object as its type writes it: its name, or the number where there is none.
pub fn output(kind: Reg, known: &Known, oid: u32) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let text = match kind {
        Reg::Class => relation_text(known, oid),
        Reg::Type => Some(type_text(known, oid)).filter(|text| text != "???"),
        Reg::Namespace => known.oids.namespace_name(oid).map(|name| quote::ident(&name)),
        Reg::Role => known.oids.role_name(oid).map(quote::ident),
        Reg::Proc | Reg::Oper | Reg::Config | Reg::Dictionary | Reg::Collation => {
            fact_text(kind, known, oid, |others| others == 1)
        }
        Reg::Procedure => {
            let types = procs::Proc::of(known, oid).map(|proc| written_types(known, &proc.argument_types()));
            fact_text(kind, known, oid, |_| true).zip(types).map(|(name, types)| format!("{name}({types})"))
        }
        Reg::Operator => operand_types(oid).and_then(|operands| {
            let types = written_types(known, &operands);
            fact_text(kind, known, oid, |_| true).map(|name| format!("{name}({types})"))
        }),
    };
    text.unwrap_or_else(|| oid.to_string())
}

fn operand_types(oid: u32) -> Option<[u32; 2]> {
    let facts = procs::facts("pg_operator")?;
    let row = facts.row(oid)?;
    Some([facts.number(row, "oprleft")?, facts.number(row, "oprright")?])
}

fn written_types(known: &Known, types: &[u32]) -> String {
    let written = types.iter().map(|oid| if *oid == 0 { "NONE".to_owned() } else { type_text(known, *oid) });
    written.collect::<Vec<_>>().join(",")
}

/// A relation's name, with its schema where the path does not lead to it.
fn relation_text(known: &Known, oid: u32) -> Option<String> {
    let relation = known.oids.relation_name(oid)?;
    Some(
        known.written(&relation.schema, &relation.name, |schema| known.oids.relation(schema, &relation.name).is_some()),
    )
}

/// A type as SQL writes it; `???` for an OID of none.
pub fn type_text(known: &Known, oid: u32) -> String {
    if let Some(name) = type_name(oid, None) {
        return name;
    }
    let Some(found) = known.oids.type_name(oid) else { return "???".to_owned() };
    let element = (found.kind != 'c').then(|| found.name.strip_prefix('_')).flatten();
    let name = element.unwrap_or(&found.name);
    let written = known.written(&found.schema, name, |schema| known.oids.type_oid(schema, name).is_some());
    if element.is_some() { format!("{written}[]") } else { written }
}

/// The name of a function or the like. `is_clear` says of how many of the name in the schema it may be one without it.
fn fact_text(kind: Reg, known: &Known, oid: u32, is_clear: impl Fn(usize) -> bool) -> Option<String> {
    let facts = kind.facts()?;
    let (name, namespace) = facts.name(oid)?;
    let first = known
        .path()
        .iter()
        .filter_map(|schema| known.oids.namespace(schema))
        .find(|schema| facts.named(*schema, &name).next().is_some());
    let is_found = first == Some(namespace) && is_clear(facts.named(namespace, &name).count());
    let written = if matches!(kind, Reg::Oper | Reg::Operator) { name } else { quote::ident(&name) };
    if is_found {
        return Some(written);
    }
    let schema = known.oids.namespace_name(namespace).unwrap_or(pg_catalog::SCHEMA.into());
    Some(format!("{}.{written}", quote::ident(&schema)))
}
