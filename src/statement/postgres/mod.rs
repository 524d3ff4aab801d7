//! What PostgreSQL's operators and functions do, where the engine's own do something else.
//!
//! It is pure: values in, values out, and of the session only the time zone that the engine's configuration carries. It
//! owns the semantics (PostgreSQL 15, chapter 9 "Functions and Operators"); which functions may be called at all is
//! `allowed`'s.
//!
//! ```text
//! syntax      forms of the grammar that become calls         (before planning)
//! operators   operators that become calls, by operand types  (while planning)
//! rewrite     casts and comparisons                          (once parameters have values)
//! told_apart  casts inside aggregates                        (while planning)
//! function    one name, several functions: choice and rows
//! json        the types json and jsonb, with functions of their own kind
//! record      rows as values
//! coalesce    arrays beside literals
//! ```

mod aggregate;
mod arithmetic;
mod casts;
mod coalesce;
mod dates;
mod datetime;
mod exact;
mod fail;
mod function;
mod interval;
pub mod json;
mod kind;
mod math;
mod now;
mod numeric;
mod operators;
mod ordered;
mod read_time;
mod record;
mod regex;
mod rewrite;
mod show_number;
mod show_time;
pub mod syntax;
mod template;
mod text;
mod told_apart;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Decimal256Type};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, ScalarUDF};

use function::{Function, Udf, on};
use kind::{Datum, Kind};

use crate::pgtype::numeric as any_numeric;

pub use record::{ROW_OF_RELATION, is_row};
pub use rewrite::{PostgresMeaning, is_comparison};

/// A numeric without the scale that it shows: what is compared.
static NUMERIC_VALUE: Function = function::function(
    "numeric_value",
    &[on(&[Kind::Numeric], Kind::Numeric, |a, _| Ok(Datum::Numeric(a[0].numeric().clone())))
        .typed(|_, _| Some(COMPARED))
        .vectorised(numeric_values)],
);
/// The type in which numerics with scales of their own are compared.
const COMPARED: DataType = DataType::Decimal256(any_numeric::PRECISION, any_numeric::DIGITS_AFTER_POINT_MAX as i8);

/// Whole columns, without looking at each number's digits.
fn numeric_values(args: &[ColumnarValue]) -> Option<crate::error::Result<ColumnarValue>> {
    let [ColumnarValue::Array(array)] = args else { return None };
    if !any_numeric::is_any(array.data_type()) {
        return None;
    }
    let values = array.as_primitive::<Decimal256Type>().unary::<_, Decimal256Type>(any_numeric::value);
    let DataType::Decimal256(precision, scale) = COMPARED else { return None };
    let values = values.with_precision_and_scale(precision, scale).ok()?;
    Some(Ok(ColumnarValue::Array(Arc::new(values))))
}

/// Functions by name.
static SCALARS: LazyLock<HashMap<&'static str, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let tables = [math::FUNCTIONS, dates::FUNCTIONS, text::FUNCTIONS, NAMED];
    let functions = tables.into_iter().flatten().map(|function| (function.name, Udf::shared(function)));
    let clocks = now::NAMES.into_iter().map(|(name, kind)| (name, now::Now::shared(name, kind)));
    functions.chain(clocks).chain([(coalesce::NAME, coalesce::shared())]).collect()
});

/// What [`syntax`] writes as calls.
static NAMED: &[Function] = &[
    function::function("bitnot", arithmetic::COMPLEMENTS),
    function::function("dsqrt", math::ROOT),
    function::function("dcbrt", math::CUBE_ROOT),
    function::function(
        "numeric",
        &[
            on(&[Kind::Numeric], Kind::Numeric, |a, _| Ok(Datum::Numeric(a[0].numeric().clone())))
                .typed(arithmetic::same_type),
            on(&[Kind::Int8], Kind::Numeric, |a, _| Ok(Datum::Numeric(numeric::Numeric::new(a[0].int().into(), 0))))
                .typed(arithmetic::same_type),
            on(&[Kind::Float8], Kind::Numeric, |a, _| casts::numeric_of(a[0].float(), Kind::Float8)),
            on(&[Kind::Float4], Kind::Numeric, |a, _| casts::numeric_of(a[0].float(), Kind::Float4)),
        ],
    ),
];

/// Aggregates by name.
static AGGREGATES: LazyLock<HashMap<&'static str, Arc<AggregateUDF>>> =
    LazyLock::new(|| aggregate::all().chain(ordered::all()).collect());

/// PostgreSQL's aggregate of this name, if it is one of those that are not the engine's. It shows moments in `zone`.
pub fn aggregate_function(name: &str, zone: Option<&str>) -> Option<Arc<AggregateUDF>> {
    AGGREGATES.get(name).cloned().or_else(|| json::aggregate::function(name, zone))
}

/// The planners of expressions: PostgreSQL's operators, then the engine's own.
pub fn planners() -> &'static [Arc<dyn ExprPlanner>] {
    static PLANNERS: LazyLock<Vec<Arc<dyn ExprPlanner>>> = LazyLock::new(|| {
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(operators::Operators)];
        planners.extend(SessionStateDefaults::default_expr_planners());
        planners
    });
    &PLANNERS
}

/// PostgreSQL's function of this name, if it is one of those that are not the engine's.
pub fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    SCALARS.get(name).cloned().or_else(|| json::scalar(name)).or_else(|| record::scalar(name))
}
