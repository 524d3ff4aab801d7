//! Constants in GROUP BY, ORDER BY and DISTINCT ON: an integer is the position of a column of the SELECT list, and any
//! other constant a mistake (PostgreSQL's `findTargetlistEntrySQL92`). The planner reads positions in plain GROUP BY and
//! ORDER BY; elsewhere what stands at the position is said again.

use datafusion::sql::sqlparser::ast::{
    Expr, OrderByExpr, Select, SelectItem, SetExpr, UnaryOperator, Value, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::as_it_is;
use crate::error::{Error, Result, SqlState};
use crate::statement::parse::position;

/// Where an expression stands that may be a position.
#[derive(Clone, Copy)]
pub enum Clause {
    GroupBy,
    OrderBy,
    DistinctOn,
}

impl Clause {
    fn name(self) -> &'static str {
        match self {
            Self::GroupBy => "GROUP BY",
            Self::OrderBy => "ORDER BY",
            Self::DistinctOn => "DISTINCT ON",
        }
    }
}

/// The columns of a SELECT list, as far as the statement alone says what they are.
pub struct Listed<'a> {
    items: &'a [SelectItem],
    text: &'a str,
}

impl<'a> Listed<'a> {
    /// `text` is what the client sent, for the places of errors.
    pub fn of(select: &'a Select, text: &'a str) -> Self {
        Self { items: &select.projection, text }
    }

    /// Leaves a position for the planner to read.
    ///
    /// # Errors
    /// `42P10` for a position that is not in the list, `42601` for another constant.
    pub fn check(&self, expr: &mut Expr, clause: Clause) -> Result<()> {
        let Some(constant) = Constant::of(expr) else { return Ok(()) };
        let number = self.number(&constant, clause)?;
        // with a wildcard the planner counts
        let counted = self.items.iter().all(|item| said(item).is_some());
        if number < 1 || counted && self.at(number).is_none() {
            return Err(self.error(&constant, not_listed(clause, number)));
        }
        *expr = Expr::value(Value::Number(number.to_string(), false));
        as_it_is(expr);
        Ok(())
    }

    /// Says what stands at a position in its place.
    ///
    /// # Errors
    /// As [`Self::check`], and `0A000` where a wildcard stands before the position.
    pub fn resolve(&self, expr: &mut Expr, clause: Clause) -> Result<()> {
        let Some(constant) = Constant::of(expr) else { return Ok(()) };
        let number = self.number(&constant, clause)?;
        let before = usize::try_from(number).map_or(0, |number| number.min(self.items.len()));
        if number > 0 && self.items[..before].iter().any(|item| said(item).is_none()) {
            let name = clause.name();
            let error = Error::unsupported(format!("a position behind * in {name} is not supported"));
            return Err(self.error(&constant, error.hint("Name the column.")));
        }
        let Some(said) = self.at(number) else { return Err(self.error(&constant, not_listed(clause, number))) };
        // a name in DISTINCT ON is that of a column of the list, and only else of one below it
        *expr = match &self.items[before - 1] {
            SelectItem::ExprWithAlias { alias, .. } if matches!(clause, Clause::DistinctOn) => {
                Expr::Identifier(alias.clone())
            }
            _ => said.clone(),
        };
        Ok(())
    }

    fn at(&self, number: i64) -> Option<&'a Expr> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        said(self.items.get(index)?)
    }

    fn number(&self, constant: &Constant, clause: Clause) -> Result<i64> {
        constant.position.ok_or_else(|| {
            let message = format!("non-integer constant in {}", clause.name());
            self.error(constant, Error::new(SqlState::SYNTAX_ERROR, message))
        })
    }

    fn error(&self, constant: &Constant, error: Error) -> Error {
        if constant.place.line == 0 { error } else { error.position(position(self.text, constant.place)) }
    }
}

/// Checks the positions of a query's ORDER BY. Those of a set operation or of VALUES the planner counts.
///
/// # Errors
/// As [`Listed::check`].
pub fn check_order(body: &SetExpr, order_by: &mut [OrderByExpr], text: &str) -> Result<()> {
    let wildcard = [SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    let listed = match body {
        SetExpr::Select(select) => Listed::of(select, text),
        _ => Listed { items: &wildcard, text },
    };
    order_by.iter_mut().try_for_each(|item| listed.check(&mut item.expr, Clause::OrderBy))
}

/// `42P10` for a position of which there is no column.
pub fn not_listed(clause: Clause, number: i64) -> Error {
    let message = format!("{} position {number} is not in select list", clause.name());
    Error::new(SqlState::INVALID_COLUMN_REFERENCE, message)
}

/// What an item of a SELECT list says, if it is one column.
fn said(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(said) | SelectItem::ExprWithAlias { expr: said, .. } => Some(said),
        _ => None,
    }
}

/// A constant that stands alone: with a cast or in a larger expression it would be a value.
struct Constant {
    /// The number that it is, if it is an `integer`.
    position: Option<i64>,
    place: Location,
}

impl Constant {
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Nested(inner) => Self::of(inner),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } if is_number(expr) => {
                let Self { position, place } = Self::of(expr)?;
                Some(Self { position: position.map(|number| -number), place })
            }
            Expr::Value(value) => {
                let position = match &value.value {
                    Value::Placeholder(_) => return None,
                    Value::Number(digits, _) => digits.parse::<i32>().ok().map(i64::from),
                    _ => None,
                };
                Some(Self { position, place: value.span.start })
            }
            _ => None,
        }
    }
}

/// Whether it is a number with any signs: to the parser that is a constant.
fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => is_number(inner),
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        _ => false,
    }
}
