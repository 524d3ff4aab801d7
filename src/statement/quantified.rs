//! `x = ANY (array)`, `x <> ALL (array)` and their like, as PostgreSQL answers them.
//!
//! PostgreSQL 15, 9.24.3 "ANY/SOME (array)" and 9.24.4 "ALL (array)": an operator between a value and each element, and
//! the answers together with three values, as OR and AND have them. Comparison with a constant list becomes `IN`, which
//! the fence lets through and files are pruned by.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Datum, ListArray, Scalar, StringArray, UInt64Array,
};
use datafusion::arrow::compute::kernels::{cmp, comparison};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::arrays;
use crate::error::{Error, SqlState};

/// How long a constant list may be that becomes `IN`.
const LISTED_MAX: usize = 100_000;

/// The name of the function that stands for an operator with ANY or ALL.
pub fn name(op: &BinaryOperator, all: bool) -> Option<&'static str> {
    let op = match op {
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::PGLikeMatch => "~~",
        BinaryOperator::PGNotLikeMatch => "!~~",
        BinaryOperator::PGILikeMatch => "~~*",
        BinaryOperator::PGNotILikeMatch => "!~~*",
        BinaryOperator::PGRegexMatch => "~",
        BinaryOperator::PGRegexNotMatch => "!~",
        BinaryOperator::PGRegexIMatch => "~*",
        BinaryOperator::PGRegexNotIMatch => "!~*",
        _ => return None,
    };
    NAMES.iter().find(|(name, known, quantifier)| *known == op && *quantifier == all && !name.is_empty()).map(|n| n.0)
}

macro_rules! names {
    ($($op:literal),+) => { [$((concat!("any ", $op), $op, false), (concat!("all ", $op), $op, true)),+] };
}

/// Function, operator, whether it is ALL.
const NAMES: [(&str, &str, bool); 28] =
    names!("=", "<>", "<", "<=", ">", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*");

/// The function of this name, if it is one of these.
pub fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    let (name, op, all) = NAMES.iter().find(|(known, ..)| *known == name)?;
    let function = Quantified { name, op, all: *all, signature: Signature::user_defined(Volatility::Immutable) };
    Some(Arc::new(ScalarUDF::new_from_impl(function)))
}

/// Whether a function stands for an operator over texts (LIKE, regular expressions) with ANY or ALL; `None` for one that
/// stands for none.
pub fn is_on_texts(name: &str) -> Option<bool> {
    NAMES.iter().find(|(known, ..)| *known == name).map(|(_, op, _)| op.contains('~'))
}

/// `x = ANY ($1)` says that the parameter is an array of what `x` is, where nothing else says what it is: of its Arrow
/// type, which [`told`](super::told) knows a better name for.
pub fn infer_parameters(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let inferred = expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(call) if is_unknown_array(&call) => {
                    let item = call.args[0].get_type(&schema).ok().filter(|item| !item.is_null());
                    let item = item.unwrap_or(DataType::Utf8);
                    let field = Arc::new(Field::new("", DataType::new_list(item, true), true));
                    let mut args = call.args;
                    if let Some(Expr::Placeholder(parameter)) = args.get_mut(1) {
                        parameter.field = Some(field);
                    }
                    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: call.func, args })))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(inferred.update_data(|expr| name.restore(expr)))
        })
    })
    .data()
}

fn is_unknown_array(call: &ScalarFunction) -> bool {
    NAMES.iter().any(|(name, ..)| *name == call.func.name())
        && matches!(call.args.as_slice(), [_, Expr::Placeholder(parameter)] if parameter.field.is_none())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Quantified {
    name: &'static str,
    op: &'static str,
    all: bool,
    signature: Signature,
}

impl Quantified {
    fn is_on_texts(&self) -> bool {
        self.op.contains('~')
    }

    /// The operator over a column and one value, or over two columns.
    fn compare(&self, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<BooleanArray, ArrowError> {
        match self.op {
            "=" => cmp::eq(left, right),
            "<>" => cmp::neq(left, right),
            "<" => cmp::lt(left, right),
            "<=" => cmp::lt_eq(left, right),
            ">" => cmp::gt(left, right),
            ">=" => cmp::gt_eq(left, right),
            "~~" => comparison::like(left, right),
            "!~~" => comparison::nlike(left, right),
            "~~*" => comparison::ilike(left, right),
            "!~~*" => comparison::nilike(left, right),
            regular => matches_regularly(left, right, regular),
        }
    }

    /// Whether each row's value stands in the relation to the elements of its list.
    fn answer(&self, left: &ArrayRef, lists: &ListArray) -> Result<BooleanArray> {
        let mut answers = BooleanBuilder::with_capacity(left.len());
        let (mut rows, mut elements) = (Vec::new(), Vec::new());
        let offsets = lists.value_offsets();
        for row in 0..lists.len() {
            if lists.is_valid(row) {
                for element in offsets[row]..offsets[row + 1] {
                    rows.push(row as u64);
                    elements.push(u64::try_from(element).unwrap_or(0));
                }
            }
        }
        let each = take(left, &UInt64Array::from(rows), None)?;
        let values = take(lists.values(), &UInt64Array::from(elements), None)?;
        let compared = self.compare(&each, &values)?;
        let mut next = 0;
        for row in 0..lists.len() {
            if lists.is_null(row) {
                answers.append_null();
                continue;
            }
            let count = usize::try_from(offsets[row + 1] - offsets[row]).unwrap_or(0);
            let compared = compared.slice(next, count);
            next += count;
            answers.append_option(together(self.all, compared.iter()));
        }
        Ok(answers.finish())
    }

    /// As [`Self::answer`] where all rows share one list.
    fn answer_one_list(&self, left: &ArrayRef, list: &ArrayRef) -> Result<BooleanArray> {
        let mut answers: Vec<Option<bool>> = vec![Some(self.all); left.len()];
        for element in 0..list.len() {
            let element = Scalar::new(list.slice(element, 1));
            let compared = self.compare(left, &element)?;
            for (answer, compared) in answers.iter_mut().zip(compared.iter()) {
                *answer = together(self.all, [*answer, compared]);
            }
        }
        Ok(answers.into())
    }
}

/// OR (of ANY) or AND (of ALL) with three values.
fn together(all: bool, answers: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut unknown = false;
    for answer in answers {
        match answer {
            Some(answer) if answer != all => return Some(!all),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(all)
}

fn matches_regularly(left: &dyn Datum, right: &dyn Datum, op: &str) -> std::result::Result<BooleanArray, ArrowError> {
    let ((left, _), (right, one)) = (left.get(), right.get());
    let (left, right) = (left.as_string::<i32>(), right.as_string::<i32>());
    let repeated: StringArray;
    let right = if one {
        let pattern = right.is_valid(0).then(|| right.value(0));
        repeated = std::iter::repeat_n(pattern, left.len()).collect();
        &repeated
    } else {
        right
    };
    let flags: Option<StringArray> = op.ends_with('*').then(|| std::iter::repeat_n(Some("i"), left.len()).collect());
    let matched = comparison::regexp_is_match(left, right, flags.as_ref())?;
    if op.starts_with('!') { datafusion::arrow::compute::not(&matched) } else { Ok(matched) }
}

impl ScalarUDFImpl for Quantified {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = types else {
            return datafusion::common::plan_err!("{} takes a value and an array", self.name);
        };
        let element = match right {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => item.data_type().clone(),
            // a literal of an array, whose elements have the type of the value beside it
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Null,
            _ => {
                let message = "op ANY/ALL (array) requires array on right side";
                return Err(external(Error::new(SqlState::WRONG_OBJECT_TYPE, message)));
            }
        };
        let common = if self.is_on_texts() {
            Some(DataType::Utf8)
        } else {
            match (left, &element) {
                (DataType::Null, DataType::Null) => Some(DataType::Utf8),
                (left, DataType::Null) => Some(left.clone()),
                (DataType::Null, element) => Some(element.clone()),
                (left, element) => comparison_coercion(left, element),
            }
        };
        let Some(common) = common else {
            let message = format!("operator does not exist: {left} {} {element}", self.op);
            return Err(external(Error::new(SqlState::UNDEFINED_FUNCTION, message)));
        };
        let right = match right {
            text if text.is_string() => DataType::Utf8,
            _ => DataType::List(Arc::new(Field::new_list_field(common.clone(), true))),
        };
        Ok(vec![common, right])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return datafusion::common::internal_err!("{} takes two arguments", self.name);
        };
        let left = left.to_array(args.number_rows)?;
        let answers = match right {
            ColumnarValue::Scalar(list) => match elements(list, left.data_type())? {
                None => BooleanArray::new_null(left.len()),
                Some(list) => self.answer_one_list(&left, &list)?,
            },
            ColumnarValue::Array(lists) if lists.data_type().is_string() => {
                let lists = arrays::from_texts(lists.as_string(), left.data_type())?;
                self.answer(&left, &lists)?
            }
            ColumnarValue::Array(lists) => self.answer(&left, lists.as_list())?,
        };
        Ok(ColumnarValue::Array(Arc::new(answers)))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let negated = match self.name {
            "any =" => false,
            "all <>" => true,
            _ => return Ok(ExprSimplifyResult::Original(args)),
        };
        if let [value, Expr::Literal(list, _)] = args.as_slice() {
            let data_type = info.get_data_type(value)?;
            if let Some(elements) = elements(list, &data_type)?
                && (1..=LISTED_MAX).contains(&elements.len())
            {
                let literals = (0..elements.len())
                    .map(|index| ScalarValue::try_from_array(&elements, index).map(|v| Expr::Literal(v, None)))
                    .collect::<Result<Vec<_>>>()?;
                let listed = InList::new(Box::new(value.clone()), literals, negated);
                return Ok(ExprSimplifyResult::Simplified(Expr::InList(listed)));
            }
        }
        Ok(ExprSimplifyResult::Original(args))
    }
}

/// The elements of a constant array, as values of `data_type`; `None` if it is NULL.
fn elements(list: &ScalarValue, data_type: &DataType) -> Result<Option<ArrayRef>> {
    if list.is_null() {
        return Ok(None);
    }
    if let Some(Some(text)) = list.try_as_str() {
        let lists = arrays::from_texts(&StringArray::from(vec![text]), data_type)?;
        return Ok(Some(lists.value(0)));
    }
    let ScalarValue::List(list) = list else { return Ok(None) };
    let elements = list.value(0);
    if elements.data_type() == data_type { Ok(Some(elements)) } else { Ok(Some(cast(&elements, data_type)?)) }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int32Array;
    use datafusion::config::ConfigOptions;

    use super::*;

    fn ask(name: &str, left: Option<i32>, right: &str) -> Option<bool> {
        let left: ArrayRef = Arc::new(Int32Array::from(vec![left]));
        let right = ColumnarValue::Scalar(ScalarValue::Utf8(Some(right.to_owned())));
        let args = ScalarFunctionArgs {
            args: vec![ColumnarValue::Array(left), right],
            arg_fields: Vec::new(),
            number_rows: 1,
            return_field: Arc::new(Field::new("x", DataType::Boolean, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let answer = function(name).unwrap().invoke_with_args(args).unwrap().to_array(1).unwrap();
        answer.as_boolean().iter().next().unwrap()
    }

    #[test]
    fn answers_have_three_values() {
        for (name, left, right, expected) in [
            ("any =", Some(1), "{1,NULL}", Some(true)),
            ("any =", Some(2), "{1,NULL}", None),
            ("any =", Some(2), "{1}", Some(false)),
            ("any =", Some(2), "{}", Some(false)),
            ("any =", None, "{1}", None),
            ("all <>", Some(2), "{1,3}", Some(true)),
            ("all <>", Some(2), "{1,NULL}", None),
            ("all <>", Some(1), "{1,NULL}", Some(false)),
            ("all >", Some(2), "{}", Some(true)),
            ("any <", Some(2), "{1,3}", Some(true)),
        ] {
            assert_eq!(ask(name, left, right), expected, "{left:?} {name} {right}");
        }
    }

    #[test]
    fn every_operator_has_both_names() {
        assert!(NAMES.iter().all(|(_, op, _)| NAMES.iter().filter(|(_, known, _)| known == op).count() == 2));
        assert!(NAMES.iter().all(|(name, ..)| function(name).is_some()));
        assert_eq!(name(&BinaryOperator::PGILikeMatch, true), Some("all ~~*"));
        assert!(function("any ||").is_none());
    }
}
