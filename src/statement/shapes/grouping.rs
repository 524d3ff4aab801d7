//! GROUP BY: rows of expressions are the expressions, and sets within sets are said as the sets that they stand for.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Select,
};

use super::positions::{Clause, Listed};
use crate::error::Result;

/// Says a SELECT's GROUP BY in the planner's words.
///
/// # Errors
/// As [`Listed::check`] and [`Listed::resolve`].
pub fn rewrite(select: &mut Select, text: &str) -> Result<()> {
    let mut group_by = std::mem::replace(&mut select.group_by, GroupByExpr::Expressions(Vec::new(), Vec::new()));
    let listed = Listed::of(select, text);
    if let GroupByExpr::Expressions(items, _) = &mut group_by {
        // `GROUP BY (a, b)` is `GROUP BY a, b`
        *items = std::mem::take(items).into_iter().flat_map(entries).collect();
        for item in items {
            if let Expr::GroupingSets(sets) = item {
                *sets = std::mem::take(sets).into_iter().flat_map(flat).collect();
            }
            match item {
                Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                    sets.iter_mut().flatten().try_for_each(|expr| listed.resolve(expr, Clause::GroupBy))?;
                }
                item => listed.check(item, Clause::GroupBy)?,
            }
        }
    }
    select.group_by = group_by;
    Ok(())
}

/// How many grouping sets an item of GROUP BY stands for.
pub fn count(item: &Expr) -> usize {
    let cube = |of: usize| u32::try_from(of).ok().and_then(|of| 1_usize.checked_shl(of)).unwrap_or(usize::MAX);
    match item {
        Expr::Cube(sets) => cube(sets.len()),
        Expr::Rollup(sets) => sets.len() + 1,
        Expr::GroupingSets(sets) => sets.iter().fold(0, |sum: usize, set| {
            sum.saturating_add(match Nested::of(set) {
                Some(Nested { kind: Kind::Cube, arguments }) => cube(arguments.len()),
                Some(Nested { kind: Kind::Rollup, arguments }) => arguments.len() + 1,
                None => 1,
            })
        }),
        _ => 1,
    }
}

/// The entries of a row, or what is none by itself.
fn entries(item: Expr) -> Vec<Expr> {
    match item {
        Expr::Tuple(entries) => entries,
        item => vec![item],
    }
}

/// The sets that one of GROUPING SETS stands for. [`count`] says how many, which
/// [`limits`](crate::statement::limits::check_grouping_sets) has bounded.
fn flat(set: Vec<Expr>) -> Vec<Vec<Expr>> {
    let Some(Nested { kind, arguments }) = Nested::of(&set) else { return vec![set] };
    let parts: Vec<Vec<Expr>> = arguments.into_iter().map(|part| entries(part.clone())).collect();
    match kind {
        Kind::Rollup => (0..=parts.len()).rev().map(|length| parts[..length].concat()).collect(),
        Kind::Cube => parts.into_iter().fold(vec![Vec::new()], |sets: Vec<Vec<Expr>>, part| {
            let with = sets.iter().map(|set| [set.as_slice(), part.as_slice()].concat()).collect::<Vec<_>>();
            [with, sets].concat()
        }),
    }
}

/// ROLLUP or CUBE as one of GROUPING SETS; the parser takes it for a call.
struct Nested<'a> {
    kind: Kind,
    arguments: Vec<&'a Expr>,
}

enum Kind {
    Rollup,
    Cube,
}

impl<'a> Nested<'a> {
    fn of(set: &'a [Expr]) -> Option<Self> {
        let [Expr::Function(Function { name, args: FunctionArguments::List(list), .. })] = set else { return None };
        let [name] = name.0.as_slice() else { return None };
        let name = name.as_ident().filter(|name| name.quote_style.is_none())?;
        let kind = match name.value.to_ascii_lowercase().as_str() {
            "rollup" => Kind::Rollup,
            "cube" => Kind::Cube,
            _ => return None,
        };
        let argument = |argument: &'a FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument),
            _ => None,
        };
        let arguments = list.args.iter().map(argument).collect::<Option<Vec<_>>>()?;
        Some(Self { kind, arguments })
    }
}
