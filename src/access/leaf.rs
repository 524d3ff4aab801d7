//! A long predicate as one leaf over its columns.
//!
//! Every rule that looks at a physical plan, and every file that is opened, copies a predicate node by node and asks each
//! what it is. A row filter made of a hundred policies has hundreds of nodes, and none is news to them: files were asked
//! for what they can answer already ([`super::pruning`]). So the long parts of a row filter show their columns alone.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{conjunction, split_conjunction};
use datafusion::physical_plan::PhysicalExpr;

/// A part of more nodes is a leaf, and so are parts that have more together.
const NODES_MAX: usize = 64;

/// The same predicate, its long parts as leaves.
///
/// # Errors
/// None but the engine's own.
pub(super) fn with_leaves(predicate: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    if !is_long(predicate)? {
        return Ok(Arc::clone(predicate));
    }
    let mut parts = Vec::new();
    for part in split_conjunction(predicate) {
        parts.push(if is_long(part)? { leaf(part)? } else { Arc::clone(part) });
    }
    let parts = conjunction(parts);
    // many that are short are long together
    if is_long(&parts)? { leaf(predicate) } else { Ok(parts) }
}

fn is_long(predicate: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let mut nodes = 0;
    predicate.apply(|_| {
        nodes += 1;
        Ok(if nodes > NODES_MAX { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(nodes > NODES_MAX)
}

fn leaf(predicate: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let mut columns: Vec<Column> = collect_columns(predicate).into_iter().collect();
    columns.sort_by_key(Column::index);
    let over_own = Arc::clone(predicate).transform_up(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        let Some(own) = columns.iter().position(|other| other == column) else {
            return internal_err!("a predicate has no column {column}");
        };
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), own)) as Arc<dyn PhysicalExpr>))
    });
    let columns = columns.into_iter().map(|column| Arc::new(column) as Arc<dyn PhysicalExpr>).collect();
    Ok(Arc::new(Leaf { predicate: over_own.data()?, columns }))
}

/// See [`with_leaves`].
#[derive(Clone)]
struct Leaf {
    /// Over [`Self::columns`], by position.
    predicate: Arc<dyn PhysicalExpr>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.predicate, &other.predicate) && self.columns == other.columns
    }
}

impl Eq for Leaf {}

impl Hash for Leaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.columns.hash(state);
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        write!(f, "predicate({})", columns.join(", "))
    }
}

impl PhysicalExpr for Leaf {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let values = |column: &Arc<dyn PhysicalExpr>| column.evaluate(batch)?.into_array(batch.num_rows());
        let values = self.columns.iter().map(values).collect::<Result<Vec<ArrayRef>>>()?;
        let fields = values.iter().map(|values| Field::new("", values.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        self.predicate.evaluate(&RecordBatch::try_new_with_options(schema, values, &options)?)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.columns.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, columns: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        if columns.len() != self.columns.len() {
            return internal_err!("a predicate has {} columns", self.columns.len());
        }
        Ok(Arc::new(Self { predicate: Arc::clone(&self.predicate), columns }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, Int64Array, StringArray};
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{Expr, lit};
    use datafusion::physical_expr::utils::reassign_expr_columns;
    use datafusion::prelude::{SessionContext, col};

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![Field::new("x", DataType::Int64, true), Field::new("region", DataType::Utf8, true)])
    }

    fn physical(expr: Expr) -> Arc<dyn PhysicalExpr> {
        SessionContext::new().create_physical_expr(expr, &DFSchema::try_from(schema()).unwrap()).unwrap()
    }

    /// `x` is one of `values`, at length.
    fn one_of(values: std::ops::Range<i64>) -> Expr {
        values.map(|value| col("x").eq(lit(value)).and(col("region").not_eq(lit("none")))).reduce(Expr::or).unwrap()
    }

    fn admitted(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Vec<Option<bool>> {
        let admitted = predicate.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
        admitted.as_boolean().iter().collect()
    }

    #[test]
    fn short_predicates_stay() {
        let short = physical(col("region").eq(lit("EU")).and(col("x").gt(lit(5_i64))));
        assert!(Arc::ptr_eq(&with_leaves(&short).unwrap(), &short));
    }

    #[test]
    fn long_parts_are_leaves_that_decide_alike() {
        let predicate = physical(col("region").eq(lit("EU")).and(one_of(0..100)));
        let short = with_leaves(&predicate).unwrap();
        assert!(!is_long(&short).unwrap(), "{short}");
        assert_eq!(split_conjunction(&short).len(), 2, "{short}");
        assert_eq!(collect_columns(&short), collect_columns(&predicate));
        let x = Int64Array::from(vec![Some(1), Some(99), Some(100), None, Some(1), Some(1)]);
        let region = StringArray::from(vec![Some("EU"), Some("EU"), Some("EU"), Some("EU"), Some("US"), None]);
        let batch = RecordBatch::try_new(Arc::new(schema()), vec![Arc::new(x), Arc::new(region)]).unwrap();
        let expected = [Some(true), Some(true), Some(false), None, Some(false), None];
        assert_eq!(admitted(&short, &batch), expected);
        assert_eq!(admitted(&predicate, &batch), expected);
        // columns stand elsewhere, as behind a projection
        let turned = batch.project(&[1, 0]).unwrap();
        let moved = reassign_expr_columns(short, &turned.schema()).unwrap();
        assert_eq!(admitted(&moved, &turned), expected);
    }

    #[test]
    fn many_short_parts_are_one_leaf() {
        let parts = (0..100).map(|value| col("x").not_eq(lit(value))).reduce(Expr::and).unwrap();
        let short = with_leaves(&physical(parts)).unwrap();
        assert_eq!(split_conjunction(&short).len(), 1, "{short}");
        let other = with_leaves(&physical(one_of(0..100))).unwrap();
        assert_ne!(&short, &other);
        assert_eq!(
            &other,
            &Arc::clone(&other).with_new_children(other.children().into_iter().cloned().collect()).unwrap()
        );
    }
}
