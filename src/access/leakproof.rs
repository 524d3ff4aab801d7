//! Which of a user's predicates may run inside the fence, next to rows that the user may not see.
//!
//! Only those that cannot fail and cannot be observed: a visible column compared with a literal of the column's own
//! type, IN over such literals, BETWEEN, IS NULL, and AND, OR, NOT of these. Floating point is left outside, since
//! file statistics and NaN do not agree about order.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::{Expr, Operator};

/// `visible` is the schema that the user sees.
pub(super) fn is_leakproof(expr: &Expr, visible: &Schema) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And | Operator::Or => is_leakproof(&binary.left, visible) && is_leakproof(&binary.right, visible),
            Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                match (column_type(&binary.left, visible), column_type(&binary.right, visible)) {
                    (Some(column), None) => is_literal_of(&binary.right, column),
                    (None, Some(column)) => is_literal_of(&binary.left, column),
                    _ => false,
                }
            }
            _ => false,
        },
        Expr::Not(inner) => is_leakproof(inner, visible),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => column_type(inner, visible).is_some(),
        Expr::Column(_) => column_type(expr, visible) == Some(&DataType::Boolean),
        Expr::InList(list) => column_type(&list.expr, visible)
            .is_some_and(|column| list.list.iter().all(|value| is_literal_of(value, column))),
        Expr::Between(between) => column_type(&between.expr, visible)
            .is_some_and(|column| is_literal_of(&between.low, column) && is_literal_of(&between.high, column)),
        _ => false,
    }
}

/// The type of a visible column whose values have a total order.
fn column_type<'a>(expr: &Expr, visible: &'a Schema) -> Option<&'a DataType> {
    let Expr::Column(column) = expr else { return None };
    let data_type = visible.field_with_name(&column.name).ok()?.data_type();
    let ordered = matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Decimal128(..)
            | DataType::Date32
            | DataType::Timestamp(..)
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    );
    ordered.then_some(data_type)
}

fn is_literal_of(expr: &Expr, column: &DataType) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.data_type() == *column)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{Field, TimeUnit};
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;

    #[test]
    fn only_infallible_comparisons_of_visible_columns_with_literals_of_their_type() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("ok", DataType::Boolean, true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("at", utc, true),
        ]);
        let at = |zone: Option<&str>| lit(ScalarValue::TimestampMicrosecond(Some(1), zone.map(Into::into)));
        for (expected, expr) in [
            (true, col("id").eq(lit(1_i64))),
            (true, lit(1_i64).lt(col("id"))),
            (true, col("id").eq(lit(1_i64)).or(col("name").is_null()).and(!col("ok"))),
            (true, col("id").in_list(vec![lit(1_i64), lit(2_i64)], true)),
            (true, col("id").between(lit(1_i64), lit(2_i64))),
            (true, col("at").gt(at(Some("UTC")))),
            (true, col("id").eq(lit(ScalarValue::Int64(None)))),
            (false, col("id").eq(lit(1_i32))),
            (false, col("id").eq(col("id"))),
            (false, lit(1_i64).eq(lit(1_i64))),
            (false, col("hidden").eq(lit(1_i64))),
            (false, col("hidden").is_null()),
            (false, col("id").in_list(vec![lit(1_i64), col("id")], false)),
            (false, cast(col("name"), DataType::Int64).eq(lit(1_i64))),
            (false, (lit(1_i64) / col("id")).eq(lit(1_i64))),
            (false, (col("id") + lit(1_i64)).is_null()),
            (false, col("name").like(lit("a%"))),
            (false, col("ratio").gt(lit(0.5_f64))),
            (false, col("at").gt(at(None))),
            (false, col("name")),
            (false, col("ok").and(cast(col("name"), DataType::Boolean))),
            (false, lit(true)),
        ] {
            assert_eq!(is_leakproof(&expr, &schema), expected, "{expr}");
        }
    }
}
