//! How large and how deep a statement may be, measured before anything recurses over it or multiplies it.
//!
//! Parser, planner and optimizer recurse along the nesting of expressions and plans, and a few lines of SQL can stand for a
//! plan of millions of nodes. PostgreSQL's code for both is `54001` (statement too complex).

use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Query, Select, Visit, Visitor};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::fault::from_engine;
use super::shapes::grouping;
use crate::error::{Error, Result, SqlState};

/// How many tokens one query string may hold, white space included.
pub const TOKENS_MAX: usize = 200_000;
/// How deep operators, subqueries and parentheses may nest: an upper bound that tokens give. `1+1+…` nests once a term.
/// [`THREAD_STACK_BYTES`](crate::engine::THREAD_STACK_BYTES) has room for it.
const NESTING_MAX: usize = 2_000;
/// How many nodes a plan may have, subqueries included. A CTE counts as often as it is used.
const PLAN_NODES_MAX: usize = 10_000;
/// How deep a plan may be.
const PLAN_DEPTH_MAX: usize = 500;
/// How many grouping sets GROUPING SETS, CUBE and ROLLUP may stand for (PostgreSQL's limit).
const GROUPING_SETS_MAX: usize = 4_096;
/// How many operands and operators all grouping sets of a query may have together.
const GROUPING_NODES_MAX: usize = 1_000_000;

pub fn too_many_tokens() -> Error {
    too_complex(format!("a query may have {TOKENS_MAX} tokens"))
}

/// Refuses text whose nesting could be too deep for a recursive parser.
///
/// Each open parenthesis, and each operator since the last comma or clause of its level, may nest one level deeper.
pub fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    // operators of the open levels, the innermost last; `total` is their sum
    let mut levels = vec![0_usize];
    let mut total = 0;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => {
                levels.push(1);
                total += 1;
            }
            Token::RParen | Token::RBracket => {
                total -= levels.pop().unwrap_or(0);
                if levels.is_empty() {
                    levels.push(0);
                }
                // what is subscripted may itself be a subscript: a[1][1]
                if token.token == Token::RBracket
                    && let Some(level) = levels.last_mut()
                {
                    *level += 1;
                    total += 1;
                }
            }
            Token::SemiColon => {
                levels = vec![0];
                total = 0;
            }
            token => {
                let Some(level) = levels.last_mut() else { continue };
                if ends_expression(token) {
                    total -= *level;
                    *level = 0;
                } else if !nests_nothing(token) {
                    *level += 1;
                    total += 1;
                }
            }
        }
        if total > NESTING_MAX {
            return Err(too_complex("statement is nested too deeply").hint(format!(
                "Operators and parentheses may nest {NESTING_MAX} levels deep; a long list is better written with IN."
            )));
        }
    }
    Ok(())
}

/// After these an expression begins anew at the same level.
fn ends_expression(token: &Token) -> bool {
    match token {
        Token::Comma => true,
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::WHEN
                | Keyword::THEN
                | Keyword::WHERE
                | Keyword::HAVING
                | Keyword::FROM
                | Keyword::ON
                | Keyword::VALUES
        ),
        _ => false,
    }
}

/// Names, values and blanks; every other token counts as an operator.
fn nests_nothing(token: &Token) -> bool {
    match token {
        Token::Word(word) => !matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::JOIN
                | Keyword::CASE
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::INTERVAL
                | Keyword::EXPLAIN
                | Keyword::OPERATOR
        ),
        Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period
        | Token::EOF => true,
        _ => false,
    }
}

/// Refuses GROUP BY clauses that stand for more grouping sets than PostgreSQL allows, or for more expressions in all of them
/// than a plan has room for: each set has its own.
pub fn check_grouping_sets(query: &Query) -> Result<()> {
    struct Groupings;
    impl Visitor for Groupings {
        type Break = Error;
        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
            let GroupByExpr::Expressions(items, _) = &select.group_by else { return ControlFlow::Continue(()) };
            let sets = items.iter().fold(1_usize, |sets, item| sets.saturating_mul(grouping::count(item)));
            if sets > GROUPING_SETS_MAX {
                let message = format!("too many grouping sets present (maximum {GROUPING_SETS_MAX})");
                return ControlFlow::Break(too_complex(message));
            }
            if sets > 1 && sets.saturating_mul(nodes(items)) > GROUPING_NODES_MAX {
                let hint = format!("All sets together may have {GROUPING_NODES_MAX} operands and operators.");
                return ControlFlow::Break(too_complex("the grouping sets have too many expressions").hint(hint));
            }
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut Groupings) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

fn nodes(items: &[Expr]) -> usize {
    struct Nodes(usize);
    impl Visitor for Nodes {
        type Break = ();
        fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
    }
    let mut nodes = Nodes(0);
    for item in items {
        let _ = item.visit(&mut nodes);
    }
    nodes.0
}

/// Refuses a plan that is too large to optimise, without walking more of it than the limit.
pub fn check_plan(plan: &LogicalPlan) -> Result<()> {
    let mut waiting = vec![(plan, 1_usize)];
    let mut nodes = 0_usize;
    while let Some((node, depth)) = waiting.pop() {
        nodes += 1;
        if nodes > PLAN_NODES_MAX || depth > PLAN_DEPTH_MAX {
            return Err(too_complex("the statement's plan is too large").hint(format!(
                "A plan may have {PLAN_NODES_MAX} nodes, {PLAN_DEPTH_MAX} levels deep; a common table expression counts each time it is used."
            )));
        }
        waiting.extend(node.inputs().into_iter().map(|input| (input, depth + 1)));
        let mut nested = Ok(());
        node.apply_subqueries(|subquery| {
            // a subquery's plan is measured on its own: it cannot be borrowed for longer than this call
            nested = check_plan(subquery);
            Ok(if nested.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
        .map_err(from_engine)?;
        nested?;
    }
    Ok(())
}

fn too_complex(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(SqlState::STATEMENT_TOO_COMPLEX, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::tokens::tokens;
    use crate::engine::THREAD_STACK_BYTES;
    use crate::statement::parse::parse;

    fn checked(sql: &str) -> Result<()> {
        check_tokens(&tokens(sql).unwrap())
    }

    #[test]
    fn long_is_not_deep() {
        let many = |item: &str| vec![item; 5_000].join(", ");
        checked(&format!("select {} from t where x in ({})", many("a + b * c"), many("1"))).unwrap();
        checked(&format!("values {}", many("(1, -2, 'x')"))).unwrap();
        checked(&format!("select case {} end", "when x = 1 then 'a' || x ".repeat(3_000))).unwrap();
        checked(&"select (1 + 2);".repeat(3_000)).unwrap();
    }

    #[test]
    fn chains_and_parentheses_are_bounded() {
        for piece in ["+1", "::int", " and true", "||'x'", " is null", "[1]", " union all select 1", " collate \"C\""] {
            let error = checked(&format!("select x{}", piece.repeat(NESTING_MAX + 1))).unwrap_err();
            assert_eq!(error.sqlstate(), SqlState::STATEMENT_TOO_COMPLEX, "{piece}");
        }
        assert!(checked(&format!("select {}1", "(".repeat(NESTING_MAX + 1))).is_err());
        assert!(checked(&format!("select {}1", "- ".repeat(NESTING_MAX + 1))).is_err());
        assert!(checked("select )))) 1 ((((").is_ok());
    }

    /// What is let through is understood, and dropped, on the stack that threads have.
    #[test]
    fn the_deepest_statement_fits_the_stack() {
        let deepest = format!("select 1{}", "+1".repeat(NESTING_MAX - 1));
        let parsing =
            std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn(move || parse(deepest).map(|p| p.len()));
        assert_eq!(parsing.unwrap().join().unwrap().unwrap(), 1);
    }

    #[test]
    fn grouping_sets_are_counted() {
        let columns = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ");
        let code = |sql: &str| parse(sql).map(|_| ()).map_err(|e| e.sqlstate());
        assert_eq!(code(&format!("select 1 from t group by cube({})", columns(12))), Ok(()));
        assert_eq!(
            code(&format!("select 1 from t group by cube({})", columns(13))),
            Err(SqlState::STATEMENT_TOO_COMPLEX)
        );
        let product = format!("select 1 from t group by cube({}), rollup({})", columns(10), columns(9));
        assert_eq!(code(&product), Err(SqlState::STATEMENT_TOO_COMPLEX));
        assert_eq!(code(&format!("select * from ({product}) x")), Err(SqlState::STATEMENT_TOO_COMPLEX));
        let nested = |n: usize| format!("select 1 from t group by grouping sets (cube({}), ())", columns(n));
        assert_eq!(code(&nested(11)), Ok(()));
        assert_eq!(code(&nested(12)), Err(SqlState::STATEMENT_TOO_COMPLEX));
        // few sets of many expressions, which each set has for itself
        for wide in [
            format!("select 1 from t group by grouping sets (rollup({}))", columns(4_000)),
            format!("select 1 from t group by cube(({}), x, y, z, u, v, w)", columns(9_000)),
        ] {
            assert_eq!(code(&wide), Err(SqlState::STATEMENT_TOO_COMPLEX));
        }
    }
}
