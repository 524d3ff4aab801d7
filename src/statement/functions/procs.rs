//! PostgreSQL's own functions and operators: found by name and arguments, and written as SQL declares them.
//!
//! PostgreSQL 15, `ruleutils.c` (`print_function_arguments`, `pg_get_functiondef`) and `regproc.c`. The facts are those of
//! `pg_proc` and `pg_operator`, the same for everybody.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use super::super::system::pg_catalog::facts::Cells;
use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::Known;
use super::{quote, reg};
use crate::error::{Error, Result, SqlState};

const BY_OID: &[&[Arg]] = &[&[Arg::Oid]];

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("pg_get_function_arguments", BY_OID, Returns::Text, |known, row| {
        about(known, row, |proc| Some(proc.arguments(true)))
    }),
    Spec::new("pg_get_function_identity_arguments", BY_OID, Returns::Text, |known, row| {
        about(known, row, |proc| Some(proc.arguments(false)))
    }),
    Spec::new("pg_get_function_result", BY_OID, Returns::Text, |known, row| about(known, row, Proc::result)),
    Spec::new("pg_get_functiondef", BY_OID, Returns::Text, definition),
    Spec::new("pg_get_function_sqlbody", BY_OID, Returns::Text, |_, _| Ok(Value::Null)),
    Spec::new("pg_get_function_arg_default", &[&[Arg::Oid, Arg::Int]], Returns::Text, |known, row| {
        let number = row.int(1).and_then(|number| usize::try_from(number).ok());
        about(known, row, |proc| proc.default_of(number?))
    }),
];

/// Rows of a relation of facts by their OIDs and by their names.
pub struct Named {
    cells: Cells,
    by_oid: HashMap<u32, usize>,
    by_name: HashMap<String, Vec<usize>>,
    name: &'static str,
    schema: &'static str,
}

impl Named {
    fn of(relation: &'static str, name: &'static str, schema: &'static str) -> Self {
        let cells = Cells::of(relation);
        let (mut by_oid, mut by_name) = (HashMap::new(), HashMap::<String, Vec<usize>>::new());
        for row in cells.rows() {
            if let Some(oid) = cells.value(row, "oid").and_then(|oid| oid.parse().ok()) {
                by_oid.insert(oid, row);
            }
            if let Some(name) = cells.value(row, name) {
                by_name.entry(name.into_owned()).or_default().push(row);
            }
        }
        Self { cells, by_oid, by_name, name, schema }
    }

    /// The OIDs of all of this name in a schema.
    pub fn named(&self, namespace: u32, name: &str) -> impl Iterator<Item = u32> {
        let rows = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        rows.iter()
            .filter(move |row| self.number(**row, self.schema) == Some(namespace))
            .filter_map(move |row| self.number(*row, "oid"))
    }

    /// Name and OID of the schema.
    pub fn name(&self, oid: u32) -> Option<(String, u32)> {
        let row = *self.by_oid.get(&oid)?;
        Some((self.text(row, self.name)?, self.number(row, self.schema)?))
    }

    pub fn row(&self, oid: u32) -> Option<usize> {
        self.by_oid.get(&oid).copied()
    }

    pub fn text(&self, row: usize, column: &str) -> Option<String> {
        self.cells.value(row, column).map(std::borrow::Cow::into_owned)
    }

    pub fn number(&self, row: usize, column: &str) -> Option<u32> {
        self.cells.value(row, column)?.parse().ok()
    }
}

/// Relations whose rows have a name in a schema, by the relation's name.
pub fn facts(relation: &str) -> Option<&'static Named> {
    static PROC: LazyLock<Named> = LazyLock::new(|| Named::of("pg_proc", "proname", "pronamespace"));
    static OPERATOR: LazyLock<Named> = LazyLock::new(|| Named::of("pg_operator", "oprname", "oprnamespace"));
    static OPCLASS: LazyLock<Named> = LazyLock::new(|| Named::of("pg_opclass", "opcname", "opcnamespace"));
    static OPFAMILY: LazyLock<Named> = LazyLock::new(|| Named::of("pg_opfamily", "opfname", "opfnamespace"));
    static COLLATION: LazyLock<Named> = LazyLock::new(|| Named::of("pg_collation", "collname", "collnamespace"));
    static CONVERSION: LazyLock<Named> = LazyLock::new(|| Named::of("pg_conversion", "conname", "connamespace"));
    static CONFIG: LazyLock<Named> = LazyLock::new(|| Named::of("pg_ts_config", "cfgname", "cfgnamespace"));
    static DICTIONARY: LazyLock<Named> = LazyLock::new(|| Named::of("pg_ts_dict", "dictname", "dictnamespace"));
    static PARSER: LazyLock<Named> = LazyLock::new(|| Named::of("pg_ts_parser", "prsname", "prsnamespace"));
    static TEMPLATE: LazyLock<Named> = LazyLock::new(|| Named::of("pg_ts_template", "tmplname", "tmplnamespace"));
    Some(match relation {
        "pg_proc" => &PROC,
        "pg_operator" => &OPERATOR,
        "pg_opclass" => &OPCLASS,
        "pg_opfamily" => &OPFAMILY,
        "pg_collation" => &COLLATION,
        "pg_conversion" => &CONVERSION,
        "pg_ts_config" => &CONFIG,
        "pg_ts_dict" => &DICTIONARY,
        "pg_ts_parser" => &PARSER,
        "pg_ts_template" => &TEMPLATE,
        _ => return None,
    })
}

/// One function, with its facts.
pub struct Proc<'a> {
    known: &'a Known,
    facts: &'static Named,
    row: usize,
}

impl<'a> Proc<'a> {
    pub fn of(known: &'a Known, oid: u32) -> Option<Self> {
        let facts = facts("pg_proc")?;
        Some(Self { known, facts, row: facts.row(oid)? })
    }

    pub fn text(&self, column: &str) -> Option<String> {
        self.facts.text(self.row, column)
    }

    fn is(&self, column: &str) -> bool {
        self.text(column).as_deref() == Some("t")
    }

    /// Types of the arguments that a call gives.
    pub fn argument_types(&self) -> Vec<u32> {
        self.text("proargtypes")
            .unwrap_or_default()
            .split_ascii_whitespace()
            .filter_map(|oid| oid.parse().ok())
            .collect()
    }

    /// Type, mode and name of each argument, results among them.
    fn all_arguments(&self) -> Vec<(u32, char, String)> {
        let all =
            self.text("proallargtypes").map(|all| elements(&all).iter().filter_map(|oid| oid.parse().ok()).collect());
        let types: Vec<u32> = all.unwrap_or_else(|| self.argument_types());
        let modes = self.text("proargmodes").map(|modes| elements(&modes)).unwrap_or_default();
        let names = self.text("proargnames").map(|names| elements(&names)).unwrap_or_default();
        let mode = |at: usize| modes.get(at).and_then(|mode| mode.chars().next()).unwrap_or('i');
        types
            .into_iter()
            .enumerate()
            .map(|(at, oid)| (oid, mode(at), names.get(at).cloned().unwrap_or_default()))
            .collect()
    }

    /// The expressions of the last arguments' defaults.
    fn defaults(&self) -> Vec<String> {
        self.text("proargdefaults").map(|defaults| listed(&defaults)).unwrap_or_default()
    }

    /// `name type DEFAULT value, …` for what is given; without defaults it is what tells functions of one name apart.
    fn arguments(&self, with_defaults: bool) -> String {
        let all = self.all_arguments();
        let given = all.iter().filter(|(_, mode, _)| matches!(mode, 'i' | 'b' | 'v')).count();
        let defaults = self.defaults();
        let first_default = given.saturating_sub(defaults.len());
        let mut written = Vec::new();
        let mut number = 0;
        for (oid, mode, name) in &all {
            let is_given = matches!(mode, 'i' | 'b' | 'v');
            let number_here = number;
            number += usize::from(is_given);
            let mode = match mode {
                'i' => "",
                'b' => "INOUT ",
                'v' => "VARIADIC ",
                'o' => "OUT ",
                // RETURNS TABLE stands elsewhere
                _ => continue,
            };
            let name = if name.is_empty() { String::new() } else { format!("{} ", quote::ident(name)) };
            let default = (with_defaults && is_given)
                .then(|| defaults.get(number_here.checked_sub(first_default)?))
                .flatten()
                .map(|default| format!(" DEFAULT {default}"));
            written.push(format!("{mode}{name}{}{}", self.type_of(*oid), default.unwrap_or_default()));
        }
        written.join(", ")
    }

    fn default_of(&self, number: usize) -> Option<String> {
        let all = self.all_arguments();
        let (_, mode, _) = all.get(number.checked_sub(1)?)?;
        if !matches!(mode, 'i' | 'b' | 'v') {
            return None;
        }
        let given =
            |until: usize| all.iter().take(until).filter(|(_, mode, _)| matches!(mode, 'i' | 'b' | 'v')).count();
        let defaults = self.defaults();
        let first = given(all.len()).checked_sub(defaults.len())?;
        defaults.get((given(number) - 1).checked_sub(first)?).cloned()
    }

    /// `SETOF type`; `None` for a procedure.
    fn result(&self) -> Option<String> {
        if self.text("prokind").as_deref() == Some("p") {
            return None;
        }
        let columns: Vec<String> = self
            .all_arguments()
            .into_iter()
            .filter(|(_, mode, _)| *mode == 't')
            .map(|(oid, _, name)| format!("{} {}", quote::ident(&name), self.type_of(oid)))
            .collect();
        if !columns.is_empty() {
            return Some(format!("TABLE({})", columns.join(", ")));
        }
        let set = if self.is("proretset") { "SETOF " } else { "" };
        Some(format!("{set}{}", self.type_of(self.facts.number(self.row, "prorettype")?)))
    }

    fn type_of(&self, oid: u32) -> String {
        reg::type_text(self.known, oid)
    }

    /// What `pg_get_functiondef` writes of a function; aggregates have none.
    fn definition(&self) -> Option<String> {
        let name = self.text("proname")?;
        let keyword = if self.text("prokind").as_deref() == Some("p") { "PROCEDURE" } else { "FUNCTION" };
        let schema = self.known.oids.namespace_name(self.facts.number(self.row, "pronamespace")?)?;
        let (name, arguments) = (quote::ident(&name), self.arguments(true));
        let mut out = format!("CREATE OR REPLACE {keyword} {}.{name}({arguments})\n", quote::ident(&schema));
        if let Some(result) = self.result() {
            _ = writeln!(out, " RETURNS {result}");
        }
        let language = match self.text("prolang").as_deref() {
            Some("12") => "internal",
            Some("13") => "c",
            _ => "sql",
        };
        _ = writeln!(out, " LANGUAGE {language}");
        let mut traits = Vec::new();
        if self.text("prokind").as_deref() == Some("w") {
            traits.push("WINDOW".to_owned());
        }
        match self.text("provolatile").as_deref() {
            Some("i") => traits.push("IMMUTABLE".to_owned()),
            Some("s") => traits.push("STABLE".to_owned()),
            _ => {}
        }
        match self.text("proparallel").as_deref() {
            Some("s") => traits.push("PARALLEL SAFE".to_owned()),
            Some("r") => traits.push("PARALLEL RESTRICTED".to_owned()),
            _ => {}
        }
        for (column, word) in
            [("proisstrict", "STRICT"), ("prosecdef", "SECURITY DEFINER"), ("proleakproof", "LEAKPROOF")]
        {
            if self.is(column) {
                traits.push(word.to_owned());
            }
        }
        let (cost, usual_cost) =
            (self.text("procost")?, if matches!(language, "internal" | "c") { "1" } else { "100" });
        if cost != usual_cost {
            traits.push(format!("COST {cost}"));
        }
        let rows = self.text("prorows")?;
        if self.is("proretset") && rows != "0" && rows != "1000" {
            traits.push(format!("ROWS {rows}"));
        }
        if let Some(support) = self.facts.number(self.row, "prosupport").filter(|support| *support != 0) {
            traits.push(format!("SUPPORT {}", self.facts.name(support)?.0));
        }
        if !traits.is_empty() {
            _ = writeln!(out, " {}", traits.join(" "));
        }
        // the body of a function in SQL's own syntax is no fact
        let source = self.text("prosrc").filter(|source| !source.is_empty())?;
        match self.text("probin") {
            Some(library) => _ = writeln!(out, "AS {}, $function${source}$function$", quote::literal(&library)),
            None => _ = writeln!(out, "AS $function${source}$function$"),
        }
        Some(out)
    }
}

fn about<'a>(known: &'a Known, row: &Row<'_>, what: impl FnOnce(&Proc<'a>) -> Option<String>) -> Result<Value> {
    let proc = row.oid(0)?.and_then(|oid| Proc::of(known, oid));
    Ok(Value::or_null(proc.and_then(|proc| what(&proc)), Value::Text))
}

fn definition(known: &Known, row: &Row<'_>) -> Result<Value> {
    let Some(proc) = row.oid(0)?.and_then(|oid| Proc::of(known, oid)) else { return Ok(Value::Null) };
    if proc.text("prokind").as_deref() == Some("a") {
        let message = format!("\"{}\" is an aggregate function", proc.text("proname").unwrap_or_default());
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    Ok(Value::or_null(proc.definition(), Value::Text))
}

/// The elements of `{a,"b c"}`; names hold neither braces nor backslashes.
fn elements(array: &str) -> Vec<String> {
    let inner = array.trim_matches(['{', '}']);
    if inner.is_empty() {
        return Vec::new();
    }
    inner.split(',').map(|element| element.trim_matches('"').to_owned()).collect()
}

/// The expressions of a list, whose commas may stand in parentheses and quotes too.
fn listed(expressions: &str) -> Vec<String> {
    let (mut found, mut depth, mut quoted, mut start) = (Vec::new(), 0_usize, false, 0);
    for (at, character) in expressions.char_indices() {
        match character {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                found.push(expressions[start..at].trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(expressions[start..].trim().to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart_at_their_own_commas() {
        assert_eq!(listed("false, true"), ["false", "true"]);
        assert_eq!(listed("'a,b'::text, f(1, 2), ARRAY[1, 2]"), ["'a,b'::text", "f(1, 2)", "ARRAY[1, 2]"]);
        assert_eq!(elements("{x,\"timestamp\",\"\"}"), ["x", "timestamp", ""]);
        assert!(elements("{}").is_empty());
    }
}
