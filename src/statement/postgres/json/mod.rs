//! JSON in SQL as PostgreSQL 15 has it (chapters 8.14 "JSON Types" and 9.16 "JSON Functions and Operators").
//!
//! A value of either type is its text. `json` is the text as it was written; `jsonb` is a text in a normal form, so that
//! equal values are equal texts but for the zeros behind a number's point. Reading and writing of that form are
//! `pgtype::read::json`'s and `pgtype::show::json`'s.
//!
//! ```text
//! operators   which function an operator or a comparison is     (while planning)
//! cast        casts to the two types, and from jsonb            (once parameters have values)
//! function    one name, several functions: choice and rows
//! write       values of every type as JSON
//! build, path, change, aggregate, sets                          what they do
//! ```

pub mod aggregate;
mod build;
pub mod cast;
mod change;
mod function;
pub mod operators;
mod path;
pub mod sets;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ScalarUDF};

pub use function::{Form, Texts, form};

static BY_NAME: LazyLock<HashMap<&'static str, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let all = [build::FUNCTIONS, path::FUNCTIONS, change::FUNCTIONS];
    all.into_iter().flatten().map(|function| (function.name, function.shared())).collect()
});

/// The function of JSON of this name.
pub fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    BY_NAME.get(name).cloned()
}

/// Whether a function or an aggregate makes JSON of values of any type.
pub fn takes_any(name: &str) -> bool {
    aggregate::is_ours(name) || build::FUNCTIONS.iter().any(|function| function.name == name)
}

fn call(name: &str, args: Vec<Expr>) -> Option<Expr> {
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(scalar(name)?, args)))
}
