//! GROUP BY: rows of expressions are the expressions, and sets within sets, or of rows, are said as the sets that they
//! stand for.

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
        // `GROUP BY (a, b)` is `GROUP BY a, b`, and `GROUP BY ()` one group of all rows
        let says_something = !items.is_empty();
        *items = std::mem::take(items).into_iter().flat_map(entries).collect();
        if says_something && items.is_empty() {
            items.push(Expr::GroupingSets(vec![Vec::new()]));
        }
        for item in items {
            if let Expr::Rollup(parts) | Expr::Cube(parts) = item {
                rows_flat(parts);
            }
            match item {
                Expr::GroupingSets(sets) => {
                    *sets = std::mem::take(sets).into_iter().flat_map(flat).collect();
                    rows_flat(sets);
                }
                // the planner takes single expressions alone
                Expr::Rollup(parts) if parts.iter().any(|part| part.len() != 1) => {
                    *item = Expr::GroupingSets(Kind::Rollup.sets(std::mem::take(parts)));
                }
                Expr::Cube(parts) if parts.iter().any(|part| part.len() != 1) => {
                    *item = Expr::GroupingSets(Kind::Cube.sets(std::mem::take(parts)));
                }
                _ => {}
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

/// The entries of a row and of the rows in it, or what is none by itself.
fn entries(item: Expr) -> Vec<Expr> {
    match item {
        Expr::Tuple(rows) => rows.into_iter().flat_map(entries).collect(),
        item => vec![item],
    }
}

fn rows_flat(parts: &mut [Vec<Expr>]) {
    for part in parts {
        *part = std::mem::take(part).into_iter().flat_map(entries).collect();
    }
}

/// The sets that one of GROUPING SETS stands for. [`count`] says how many, which
/// [`limits`](crate::statement::limits::check_grouping_sets) has bounded.
fn flat(set: Vec<Expr>) -> Vec<Vec<Expr>> {
    let Some(Nested { kind, arguments }) = Nested::of(&set) else { return vec![set] };
    kind.sets(arguments.into_iter().map(|part| entries(part.clone())).collect())
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

impl Kind {
    /// The sets that it stands for over these parts.
    fn sets(self, parts: Vec<Vec<Expr>>) -> Vec<Vec<Expr>> {
        match self {
            Self::Rollup => (0..=parts.len()).rev().map(|length| parts[..length].concat()).collect(),
            Self::Cube => parts.into_iter().fold(vec![Vec::new()], |sets: Vec<Vec<Expr>>, part| {
                let with = sets.iter().map(|set| [set.as_slice(), part.as_slice()].concat()).collect::<Vec<_>>();
                [with, sets].concat()
            }),
        }
    }
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
