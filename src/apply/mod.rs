//! Apply: a query that is run anew for every different set of values from the rows of another.
//!
//! It is what a correlated subquery means, whatever its shape, and serves those that cannot be said as a join:
//!
//! ```text
//! rows of the input ─► values of the parameters ─► seen before? ─► yes: what was found then
//!                                                              └─► no:  the inner plan, run with them
//! ```
//!
//! The inner plan is planned once. What does not depend on the parameters is kept after the first run, and looked up by the
//! values where the inner plan asks for equality with them. Several runs never overlap, so that the values may stand in
//! one place for all of the inner plan.
//!
//! This room knows plans and nothing about statements, principals or fences; `access::lint` looks into the inner plan.

mod exec;
mod free;
mod kept;
mod plan;
mod slot;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as AtomicOrdering};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, TableReference, internal_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

pub use exec::ApplyExec;
pub use free::{free_columns, lateral};
pub use kept::{KeptExec, LookupExec};
pub use plan::{ApplyPlanner, prepare};

/// What becomes of the inner plan's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub enum Kind {
    /// The value of its one row and column; NULL if it has none, an error if it has more.
    Scalar,
    /// Whether it has any.
    Exists,
    /// The values of its column, as an array.
    Array,
    /// All of them, each beside the input's row; `outer` keeps a row that has none, with NULLs.
    Lateral { outer: bool },
}

/// The logical node: the input's columns, and after them what [`Kind`] makes of the inner plan.
#[derive(Clone, Debug)]
pub struct Apply {
    /// Names the parameters, which no other node's are called.
    id: u64,
    kind: Kind,
    input: Arc<LogicalPlan>,
    /// The values of the parameters, of the input's columns and of columns further out.
    values: Vec<Expr>,
    inner: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl Apply {
    /// Applies `inner` to the rows of `input`. Columns of `inner` that refer outside become parameters: of the input where
    /// it has them, and of a query further out where it does not.
    pub fn new(kind: Kind, input: LogicalPlan, inner: LogicalPlan) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, AtomicOrdering::Relaxed);
        let mut values = Vec::new();
        let mut names = Vec::new();
        for (number, (field, column)) in free_columns(&inner)?.into_iter().enumerate() {
            let value = match input.schema().maybe_index_of_column(&column) {
                Some(_) => Expr::Column(column.clone()),
                None => Expr::OuterReferenceColumn(Arc::clone(&field), column.clone()),
            };
            values.push(value);
            names.push((column, Expr::OuterReferenceColumn(field, parameter(id, number))));
        }
        let inner = free::replace(inner, &names)?;
        let schema = schema(id, kind, &input, &inner)?;
        Ok(Self { id, kind, input: Arc::new(input), values, inner: Arc::new(inner), schema })
    }

    /// The column that the node adds, of the kinds that add one.
    #[must_use]
    pub fn column(&self) -> Column {
        Column::new_unqualified(column_name(self.id))
    }

    #[must_use]
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }
}

/// The column by which an inner plan refers to a parameter of its node. Nobody can write the relation's name: the protocol
/// ends texts with a zero byte.
fn parameter(id: u64, number: usize) -> Column {
    Column::new(Some(TableReference::bare(format!("\0apply {id}"))), number.to_string())
}

fn is_parameter(column: &Column) -> bool {
    column.relation.as_ref().is_some_and(|relation| relation.table().starts_with("\0apply "))
}

fn column_name(id: u64) -> String {
    format!("__apply_{id}")
}

fn schema(id: u64, kind: Kind, input: &LogicalPlan, inner: &LogicalPlan) -> Result<DFSchemaRef> {
    let only = || {
        let [field] = inner.schema().fields().iter().as_slice() else {
            return internal_err!("a subquery with several columns has no value");
        };
        Ok(Arc::clone(field))
    };
    let added = |field: Field| vec![(None, Arc::new(field) as FieldRef)];
    let fields: Vec<(Option<TableReference>, FieldRef)> = match kind {
        Kind::Scalar => {
            let field = only()?;
            added(field.as_ref().clone().with_name(column_name(id)).with_nullable(true))
        }
        Kind::Exists => added(Field::new(column_name(id), DataType::Boolean, false)),
        Kind::Array => {
            let field = only()?;
            let item = field.as_ref().clone().with_name(Field::LIST_FIELD_DEFAULT_NAME).with_nullable(true);
            added(Field::new(column_name(id), DataType::List(Arc::new(item)), false))
        }
        Kind::Lateral { outer } => {
            let nullable = |field: &FieldRef| {
                if outer { Arc::new(field.as_ref().clone().with_nullable(true)) } else { Arc::clone(field) }
            };
            inner.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), nullable(field))).collect()
        }
    };
    let input = input.schema();
    let all = input.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).chain(fields);
    Ok(Arc::new(DFSchema::new_with_metadata(all.collect(), input.metadata().clone())?))
}

impl UserDefinedLogicalNodeCore for Apply {
    fn name(&self) -> &'static str {
        "Apply"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input, &self.inner]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.values.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Apply: {:?}", self.kind)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input, inner]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("Apply has an input and an inner plan");
        };
        let schema = schema(self.id, self.kind, &input, &inner)?;
        let (input, inner) = (Arc::new(input), Arc::new(inner));
        Ok(Self { id: self.id, kind: self.kind, input, values: exprs, inner, schema })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        let of_input = output_columns.iter().copied().filter(|column| *column < width).collect();
        Some(vec![of_input, (0..self.inner.schema().fields().len()).collect()])
    }
}

impl PartialEq for Apply {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.kind == other.kind
            && self.values == other.values
            && self.input == other.input
            && self.inner == other.inner
    }
}

impl Eq for Apply {}

impl PartialOrd for Apply {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal).or_else(|| Some(self.id.cmp(&other.id)).filter(|o| o.is_ne()))
    }
}

impl Hash for Apply {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.input.hash(state);
        self.inner.hash(state);
    }
}

/// Every expression of a node, with other expressions in place of columns outside. Subqueries are left alone, and so are
/// the names that the expressions give.
fn replace_columns(plan: LogicalPlan, names: &[(Column, Expr)]) -> Result<Transformed<LogicalPlan>> {
    let preserver = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let replaced = expr.transform_up(|expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => match names.iter().find(|(known, _)| known == column) {
                Some((_, other)) => Ok(Transformed::yes(other.clone())),
                None => Ok(Transformed::no(expr)),
            },
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(replaced.update_data(|expr| name.restore(expr)))
    })
}
