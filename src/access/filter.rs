//! From the texts of row filters and mask expressions to expressions over a table's columns that cannot fail, change or
//! call out.
//!
//! They run on hidden rows and unmasked values, so they may contain only what is on a short list: comparisons, boolean
//! logic, IN, BETWEEN, IS NULL, LIKE with a literal pattern, CASE, `lower`, `upper`, `coalesce`, and the functions about
//! the principal, which become literals; a mask may also cut and join text. What could make an admission of an attribute
//! that the principal does not have (IS NULL, IS DISTINCT FROM, `coalesce`, CASE and the like over `principal_attribute`)
//! is refused too. Arithmetic on columns, casts of columns that can fail, subqueries and everything else are refused, and
//! a refused rule admits no row: the caller treats the table as one that may not be read.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, ScalarValue, TableReference, plan_err};
use datafusion::functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion::functions::{core, string, unicode};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, Operator, ScalarUDF, TableSource, WindowUDF, lit,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::col;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
    visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::decide::RowRule;
use super::leaf::with_leaves;
use super::principal::Principal;
use super::pruning::{balanced, of_files};
use super::scope::renamed;
use super::tokens::tokens;
use crate::catalog::model::DomainName;

/// The longest row filter or mask expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// The function that gives an attribute of the principal.
const PRINCIPAL_ATTRIBUTE: &str = "principal_attribute";

/// A predicate for providers, which prune by what the logical form says of files, and for execution.
#[derive(Clone, Debug)]
pub(super) struct RowFilter {
    pub(super) logical: Expr,
    /// Over the table's own schema.
    pub(super) physical: Arc<dyn PhysicalExpr>,
    /// The same, without leaves: what the re-check of debug builds goes by.
    pub(super) plain: Arc<dyn PhysicalExpr>,
}

impl RowFilter {
    /// With the names that the table has now for columns that the expression knows by the names in `known`.
    pub(super) fn renamed(self, known: &SchemaRef, schema: &SchemaRef) -> Result<Self, String> {
        let logical = self.logical.transform(|node| {
            let Expr::Column(column) = &node else { return Ok(Transformed::no(node)) };
            let name = schema.field(known.index_of(&column.name)?).name();
            Ok(Transformed::yes(column_expr(name)))
        });
        let logical = logical.map_err(|error| error.strip_backtrace())?.data;
        Ok(Self { logical, physical: renamed(self.physical, schema)?, plain: renamed(self.plain, schema)? })
    }

    pub(super) fn admits_nothing(&self) -> bool {
        matches!(&self.logical, Expr::Literal(value, _) if *value != ScalarValue::Boolean(Some(true)))
    }
}

/// Without values it is false.
fn is_one_of<'v>(column: &str, field: &Field, values: impl Iterator<Item = &'v str>) -> Result<Expr, String> {
    let values = values.map(|value| {
        let value = ScalarValue::Utf8(Some(value.to_owned()));
        value.cast_to(field.data_type()).map(lit).map_err(|error| error.to_string())
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    if values.is_empty() {
        return Ok(lit(false));
    }
    Ok(Expr::InList(InList::new(Box::new(column_expr(column)), values, false)))
}

/// What an expression is for decides what it may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    RowFilter,
    Mask,
}

/// Compiles for one principal and one table.
pub(super) struct Compiler<'a> {
    principal: &'a Principal,
    readable_domains: &'a BTreeSet<DomainName>,
    schema: DFSchemaRef,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        principal: &'a Principal,
        readable_domains: &'a BTreeSet<DomainName>,
        schema: &SchemaRef,
    ) -> Result<Self, String> {
        let schema = DFSchema::try_from(Arc::clone(schema)).map_err(|error| error.to_string())?;
        Ok(Self { principal, readable_domains, schema: Arc::new(schema) })
    }

    /// All rules as one predicate; `None` when they admit every row.
    pub(super) fn row_rules(&self, rules: &[RowRule]) -> Result<Option<RowFilter>, String> {
        let rules = rules.iter().map(|rule| self.rule(rule)).collect::<Result<Vec<_>, _>>()?;
        conjunction(rules).map_or(Ok(None), |expr| self.row_filter(expr))
    }

    /// The value that a mask's expression gives in place of a column of the type `column`.
    pub(super) fn mask(&self, text: &str, column: &DataType) -> Result<Expr, String> {
        let expr = self.expression(text, Purpose::Mask)?;
        let from = expr.get_type(&*self.schema).map_err(|error| error.strip_backtrace())?;
        if from == *column {
            return Ok(expr);
        }
        if let Expr::Literal(value, _) = &expr
            && let Ok(value) = value.cast_to(column)
        {
            return Ok(lit(value));
        }
        if !is_lossless(&from, column) {
            return Err(format!("is {from}, and the column is {column}"));
        }
        expr.cast_to(column, &*self.schema).map_err(|error| error.strip_backtrace())
    }

    /// An expression that is known to be safe, over the table's columns by position.
    pub(super) fn physical(&self, expr: &Expr) -> Result<Arc<dyn PhysicalExpr>, String> {
        let (properties, context) = (ExecutionProps::default(), PhysicalPlanningContext::default());
        let physical =
            create_physical_expr(expr, &self.schema, &properties, &context).map_err(|error| error.strip_backtrace())?;
        // What fails on no rows at all, such as a malformed pattern, is found now.
        let no_rows = RecordBatch::new_empty(Arc::clone(self.schema.inner()));
        physical.evaluate(&no_rows).map_err(|error| error.strip_backtrace())?;
        Ok(physical)
    }

    fn rule(&self, rule: &RowRule) -> Result<Expr, String> {
        match rule {
            RowRule::DomainColumn { column } => self.domain_column(column),
            RowRule::Filter { text } => self.filter(text).map_err(|why| format!("row filter {text:?}: {why}")),
            RowRule::AnyOf(rules) => {
                let mut any = lit(false);
                for rule in rules {
                    any = any.or(self.rule(rule)?);
                }
                Ok(any)
            }
        }
    }

    fn domain_column(&self, column: &str) -> Result<Expr, String> {
        let field = self
            .schema
            .as_arrow()
            .field_with_name(column)
            .map_err(|_| format!("the table has no column {column:?}, which row_domain_column names"))?;
        if !is_text(field.data_type()) {
            return Err(format!("row_domain_column {column:?} is not text"));
        }
        is_one_of(column, field, self.readable_domains.iter().map(DomainName::as_str))
    }

    /// The rows whose `column`, a text, is one of `values`.
    pub(super) fn one_of<'v>(
        &self,
        column: &str,
        values: impl Iterator<Item = &'v str>,
    ) -> Result<Option<RowFilter>, String> {
        let field = self.schema.as_arrow().field_with_name(column).map_err(|error| error.to_string())?;
        self.row_filter(is_one_of(column, field, values)?)
    }

    fn filter(&self, text: &str) -> Result<Expr, String> {
        let expr = self.expression(text, Purpose::RowFilter)?;
        match expr.get_type(&*self.schema).map_err(|error| error.strip_backtrace())? {
            DataType::Boolean => Ok(expr),
            // NULL admits no row.
            DataType::Null => Ok(lit(false)),
            other => Err(format!("is {other}, not boolean")),
        }
    }

    /// Parses, replaces what asks about the principal, plans, and refuses what is not on the list.
    fn expression(&self, text: &str, purpose: Purpose) -> Result<Expr, String> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(format!("longer than {EXPRESSION_BYTES_MAX} bytes"));
        }
        let mut sql = parse(text)?;
        if let ControlFlow::Break(why) = visit_expressions(&sql, refuse_admission_by_absence) {
            return Err(why);
        }
        if let ControlFlow::Break(why) = visit_expressions_mut(&mut sql, |expr| self.bind_principal(expr)) {
            return Err(why);
        }
        let allowed = Allowed::new(purpose);
        let expr = SqlToRel::new(&allowed)
            .sql_to_expr(sql, &self.schema, &mut PlannerContext::new())
            .map_err(|error| error.strip_backtrace())?;
        refuse_written_casts(&expr)?;
        let simplifier = self.simplifier();
        let expr = simplifier.coerce(expr, &self.schema).map_err(|error| error.strip_backtrace())?;
        // Before simplification too: what an absent attribute makes vanish today stands there for others.
        self.check(&expr, Constants::WillFold, purpose)?;
        let expr = simplifier.simplify(expr).map_err(|error| error.strip_backtrace())?;
        self.check(&expr, Constants::HaveFolded, purpose)?;
        Ok(expr)
    }

    /// `current_user` and `principal_attribute('x')` become literals; an attribute that the principal does not have is
    /// NULL, which no comparison that [`refuse_admission_by_absence`] lets pass admits.
    fn bind_principal(&self, expr: &mut SqlExpr) -> ControlFlow<String> {
        let SqlExpr::Function(function) = &*expr else { return ControlFlow::Continue(()) };
        let value = match function.name.to_string().to_ascii_lowercase().as_str() {
            "current_user" | "session_user" | "user" => match text_arguments(function).as_deref() {
                Some([]) => Some(self.principal.name.clone()),
                _ => return ControlFlow::Break("current_user takes no argument".to_owned()),
            },
            PRINCIPAL_ATTRIBUTE => match text_arguments(function).as_deref() {
                Some([name]) => self.principal.attributes.get(*name).cloned(),
                _ => return ControlFlow::Break("principal_attribute takes one text literal".to_owned()),
            },
            _ => return ControlFlow::Continue(()),
        };
        let value = value.map_or(Value::Null, Value::SingleQuotedString);
        *expr = SqlExpr::Value(value.with_empty_span());
        ControlFlow::Continue(())
    }

    fn simplifier(&self) -> ExprSimplifier {
        ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(&self.schema)).build())
    }

    /// `None`: the rules together admit every row.
    fn row_filter(&self, expr: Expr) -> Result<Option<RowFilter>, String> {
        let simplifier = self.simplifier();
        let coerced = simplifier.coerce(expr, &self.schema).map_err(|error| error.strip_backtrace())?;
        let logical = simplifier.simplify(coerced).map_err(|error| error.strip_backtrace())?;
        self.check(&logical, Constants::HaveFolded, Purpose::RowFilter)?;
        let logical = match logical {
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => return Ok(None),
            Expr::Literal(..) => lit(false),
            other => other,
        };
        let logical = balanced(logical).map_err(|error| error.strip_backtrace())?;
        let plain = self.physical(&logical)?;
        let physical = with_leaves(&plain).map_err(|error| error.strip_backtrace())?;
        Ok(Some(RowFilter { logical: of_files(logical), physical, plain }))
    }

    /// INVARIANT: nothing that passes can fail on a row, differ between two evaluations, or reach outside the row.
    fn check(&self, expr: &Expr, constants: Constants, purpose: Purpose) -> Result<(), String> {
        let mut refusal = None;
        let visited = expr.apply(|node| {
            if constants == Constants::WillFold && is_constant(node) {
                return Ok(TreeNodeRecursion::Jump);
            }
            refusal = self.refusal(node, purpose);
            Ok(if refusal.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        visited.map_err(|error| error.strip_backtrace())?;
        refusal.map_or(Ok(()), Err)
    }

    /// Why this node, its children aside, is not on the list.
    fn refusal(&self, node: &Expr, purpose: Purpose) -> Option<String> {
        let is_allowed = match node {
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Case(_) => true,
            Expr::BinaryExpr(binary) if purpose == Purpose::Mask && binary.op == Operator::StringConcat => true,
            Expr::BinaryExpr(binary) => is_comparison_or_logic(binary.op),
            Expr::Like(like) => matches!(*like.pattern, Expr::Literal(..)),
            Expr::ScalarFunction(call) => match call.name() {
                "lower" | "upper" | "coalesce" => true,
                "concat" => purpose == Purpose::Mask,
                "left" | "right" | "substr" => purpose == Purpose::Mask && call.args.iter().skip(1).all(is_small_count),
                _ => false,
            },
            Expr::Cast(cast) => {
                let from = cast.expr.get_type(&*self.schema);
                from.is_ok_and(|from| is_lossless(&from, cast.field.data_type()))
            }
            _ => false,
        };
        let place = match purpose {
            Purpose::RowFilter => "row filter",
            Purpose::Mask => "mask",
        };
        (!is_allowed).then(|| format!("{node} is not allowed in a {place}"))
    }
}

/// The text as one PostgreSQL expression. `CURRENT_USER()` is understood as `CURRENT_USER`, as in the discovery query.
fn parse(text: &str) -> Result<SqlExpr, String> {
    let tokens = tokens(text).map_err(|error| error.to_string())?;
    let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens);
    let sql = parser.parse_expr().map_err(|error| error.to_string())?;
    match parser.peek_token().token {
        Token::EOF => Ok(sql),
        other => Err(format!("unexpected text from {:?} on", other.to_string())),
    }
}

/// An attribute that a principal lacks is NULL. Comparisons and boolean logic carry that on to a result which admits
/// nothing; what turns NULL into a value would admit rows to those of whom nothing is known.
fn refuse_admission_by_absence(expr: &SqlExpr) -> ControlFlow<String> {
    let turns_null_into_a_value = match expr {
        SqlExpr::IsNull(_)
        | SqlExpr::IsNotNull(_)
        | SqlExpr::IsTrue(_)
        | SqlExpr::IsNotTrue(_)
        | SqlExpr::IsFalse(_)
        | SqlExpr::IsNotFalse(_)
        | SqlExpr::IsUnknown(_)
        | SqlExpr::IsNotUnknown(_)
        | SqlExpr::IsDistinctFrom(..)
        | SqlExpr::IsNotDistinctFrom(..)
        | SqlExpr::Case { .. }
        | SqlExpr::BinaryOp { op: BinaryOperator::Spaceship, .. } => true,
        SqlExpr::Function(function) => {
            !matches!(function.name.to_string().to_ascii_lowercase().as_str(), "lower" | "upper" | PRINCIPAL_ATTRIBUTE)
        }
        _ => false,
    };
    if turns_null_into_a_value && asks_for_attribute(expr) {
        let why = "could admit a principal without the attribute: compare principal_attribute directly";
        return ControlFlow::Break(format!("{expr} {why}"));
    }
    ControlFlow::Continue(())
}

fn asks_for_attribute(expr: &SqlExpr) -> bool {
    let found = visit_expressions(expr, |part| match part {
        SqlExpr::Function(function) if function.name.to_string().eq_ignore_ascii_case(PRINCIPAL_ATTRIBUTE) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether expressions over literals only have become literals yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Constants {
    WillFold,
    HaveFolded,
}

/// Operators over literals only. Nothing that can be planned here is volatile.
fn is_constant(expr: &Expr) -> bool {
    let is_outside = |node: &Expr| {
        matches!(
            node,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::ScalarVariable(..)
        )
    };
    expr.exists(|node| Ok(is_outside(node))).is_ok_and(|outside| !outside)
}

/// A cast that the author wrote is allowed on literals only; those of type coercion are judged by their types.
fn refuse_written_casts(expr: &Expr) -> Result<(), String> {
    let mut refusal = None;
    let visited = expr.apply(|node| {
        let inner = match node {
            Expr::Cast(cast) => &cast.expr,
            Expr::TryCast(cast) => &cast.expr,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        if matches!(**inner, Expr::Literal(..)) {
            return Ok(TreeNodeRecursion::Jump);
        }
        refusal = Some(format!("{node} casts something else than a literal"));
        Ok(TreeNodeRecursion::Stop)
    });
    visited.map_err(|error| error.strip_backtrace())?;
    refusal.map_or(Ok(()), Err)
}

fn is_comparison_or_logic(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Casts that succeed on every value.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Null, UInt8, UInt16, UInt32};
    from == to
        || (is_text(from) && is_text(to))
        || matches!((from, to), (Decimal128(p, s), Decimal128(wider, scale))
            if scale >= s && i16::from(*wider) - i16::from(*scale) >= i16::from(*p) - i16::from(*s))
        || matches!(
            (from, to),
            (Null, _)
                | (Int8 | UInt8, Int16 | Int32 | Int64 | Float32 | Float64)
                | (Int16 | UInt16, Int32 | Int64 | Float32 | Float64)
                | (Int32 | UInt32, Int64 | Float64)
                | (Float32, Float64)
        )
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A column by its exact name, whatever its case.
fn column_expr(name: &str) -> Expr {
    col(datafusion::common::Column::new_unqualified(name))
}

/// A literal that says how many characters: these functions fail on some negative numbers.
fn is_small_count(expr: &Expr) -> bool {
    let Expr::Literal(value, _) = expr else { return false };
    matches!(value.cast_to(&DataType::Int64), Ok(ScalarValue::Int64(Some(count))) if (0..=i64::from(u16::MAX)).contains(&count))
}

/// The arguments, if all are plain text literals; nothing in parentheses counts as no argument.
fn text_arguments(function: &Function) -> Option<Vec<&str>> {
    if function.over.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
        return None;
    }
    let list = match &function.args {
        FunctionArguments::None => return Some(Vec::new()),
        FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none() => list,
        FunctionArguments::List(_) | FunctionArguments::Subquery(_) => return None,
    };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Value(value))) => match &value.value {
                Value::SingleQuotedString(text) => Some(text.as_str()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// All that the planner of an expression knows: no tables, no variables, a few functions.
struct Allowed {
    functions: HashMap<&'static str, Arc<ScalarUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl Allowed {
    fn new(purpose: Purpose) -> Self {
        let mut functions =
            HashMap::from([("lower", string::lower()), ("upper", string::upper()), ("coalesce", core::coalesce())]);
        if purpose == Purpose::Mask {
            functions.extend([
                ("concat", string::concat()),
                ("left", unicode::left()),
                ("right", unicode::right()),
                ("substr", unicode::substr()),
            ]);
        }
        // SUBSTRING has a syntax of its own.
        let planners: Vec<Arc<dyn ExprPlanner>> = match purpose {
            Purpose::RowFilter => Vec::new(),
            Purpose::Mask => vec![Arc::new(UnicodeFunctionPlanner)],
        };
        Self { functions, planners, options: ConfigOptions::new() }
    }
}

impl ContextProvider for Allowed {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>, DataFusionError> {
        plan_err!("a policy's expression cannot read {name}")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.keys().map(|&name| name.to_owned()).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray, Decimal128Array, Int32Array, StringArray};
    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::access::testing::user;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("x", DataType::Int32, true),
            Field::new("region", DataType::Utf8, true),
            Field::new("amount", DataType::Decimal128(10, 2), true),
            Field::new("Odd Name", DataType::Utf8, true),
        ]))
    }

    /// Three rows: (1, 'EU', 5.00, 'sales'), (2, 'US', 20.00, 'hr'), (NULL, NULL, NULL, NULL).
    fn rows() -> RecordBatch {
        let amount = Decimal128Array::from(vec![Some(500), Some(2000), None]).with_precision_and_scale(10, 2).unwrap();
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
                Arc::new(StringArray::from(vec![Some("EU"), Some("US"), None])),
                Arc::new(amount),
                Arc::new(StringArray::from(vec![Some("sales"), Some("hr"), None])),
            ],
        )
        .unwrap()
    }

    fn ann() -> Principal {
        let mut ann = user("ann", &[]);
        ann.attributes.insert("region".to_owned(), "EU".to_owned());
        ann.attributes.insert("quote".to_owned(), "' OR true --".to_owned());
        Principal::from(&ann)
    }

    #[expect(clippy::needless_pass_by_value, reason = "each list of rules is written for one call")]
    fn compile(rules: Vec<RowRule>, domains: &[&str]) -> Result<Option<RowFilter>, String> {
        let domains = domains.iter().map(|&domain| DomainName(domain.to_owned())).collect();
        Compiler::new(&ann(), &domains, &schema())?.row_rules(&rules)
    }

    fn filter(text: &str) -> RowRule {
        RowRule::Filter { text: text.to_owned() }
    }

    /// How many of the three rows are admitted.
    fn admitted(rules: Vec<RowRule>, domains: &[&str]) -> Vec<usize> {
        let Some(filter) = compile(rules, domains).unwrap() else { return vec![0, 1, 2] };
        let mask = filter.physical.evaluate(&rows()).unwrap().into_array(3).unwrap();
        let mask = mask.as_boolean();
        (0..3).filter(|&row| mask.is_valid(row) && mask.value(row)).collect()
    }

    #[test]
    fn filters_admit_the_right_rows() {
        for (text, expected) in [
            ("region = 'EU'", &[0_usize][..]),
            ("region = principal_attribute('region')", &[0]),
            ("region <> principal_attribute('region')", &[1]),
            ("region = principal_attribute('absent')", &[]),
            ("region <> principal_attribute('absent')", &[]),
            ("region IS NULL OR region = principal_attribute('absent')", &[2]),
            ("region = principal_attribute('quote')", &[]),
            ("lower(region) = 'eu'", &[0]),
            ("coalesce(region, 'EU') = 'EU'", &[0, 2]),
            ("region IN ('EU', 'US')", &[0, 1]),
            ("region NOT IN ('EU')", &[1]),
            ("region LIKE 'E%'", &[0]),
            ("region ILIKE 'e_'", &[0]),
            ("x BETWEEN 1 AND 1", &[0]),
            ("x > 1", &[1]),
            ("x > 1.5", &[1]),
            ("amount > 10", &[1]),
            ("x = CAST('1' AS int)", &[0]),
            ("x = 1 + 1", &[1]),
            ("CASE WHEN x = 1 THEN true ELSE region = 'US' END", &[0, 1]),
            ("NOT (x = 1)", &[1]),
            ("x IS DISTINCT FROM 1", &[1, 2]),
            ("current_user = 'ann'", &[0, 1, 2]),
            ("CURRENT_USER() = 'bob'", &[]),
            ("\"Odd Name\" = 'hr'", &[1]),
            ("true", &[0, 1, 2]),
            ("NULL", &[]),
            ("NULL::boolean", &[]),
        ] {
            assert_eq!(admitted(vec![filter(text)], &[]), expected, "{text}");
        }
    }

    #[test]
    fn what_may_fail_change_or_reach_out_is_refused() {
        for text in [
            "",
            "x",
            "region",
            "x = ",
            "x = 1; drop table t",
            "x = 1 x",
            "unknown = 1",
            "other.x = 1",
            "1/x = 1",
            "1/0 = 1",
            "1/x = principal_attribute('absent')",
            "x + 1 = 2",
            "-x = 1",
            "x % 2 = 0",
            "CAST(region AS int) = 1",
            "region::int = 1",
            "CAST(x AS bigint) = 1",
            "TRY_CAST(region AS int) = 1",
            "random() < 0.5",
            "now() > '2024-01-01'",
            "uuid() = region",
            "count(x) = 1",
            "sqrt(x) = 1",
            "repeat(region, 1000000000) = ''",
            "region ~ '(a+)+$'",
            "region LIKE region",
            "region SIMILAR TO 'a'",
            "EXISTS (SELECT 1)",
            "x IN (SELECT 1)",
            "x = (SELECT 1)",
            "x = $1",
            "@@version = 'x'",
            "row_number() OVER () = 1",
            "principal_attribute() = 'x'",
            "principal_attribute(region) = 'x'",
            "principal_attribute('a', 'b') = 'x'",
            "current_user('x') = 'x'",
            "x = 'not a number'",
            "region || 'x' = 'y'",
        ] {
            assert!(compile(vec![filter(text)], &[]).is_err(), "{text}");
        }
        let long = format!("region = '{}'", "x".repeat(EXPRESSION_BYTES_MAX));
        assert!(compile(vec![filter(&long)], &[]).is_err());
        let deep = format!("{}x = 1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(compile(vec![filter(&deep)], &[]).is_err());
    }

    /// Refused for all, so that a rule does not begin to fail when the first principal without the attribute comes.
    #[test]
    fn what_admits_by_an_absent_attribute_is_refused() {
        for attribute in ["absent", "region"] {
            for text in [
                "principal_attribute('a') IS NULL",
                "PRINCIPAL_ATTRIBUTE('a') IS NULL OR region = 'EU'",
                "NOT (principal_attribute('a') IS NOT NULL)",
                "region IS DISTINCT FROM principal_attribute('a')",
                "principal_attribute('a') IS NOT DISTINCT FROM region",
                "region <=> principal_attribute('a')",
                "coalesce(principal_attribute('a'), 'EU') = region",
                "\"coalesce\"(region, lower(principal_attribute('a')), 'EU') = 'EU'",
                "(region = principal_attribute('a')) IS NOT TRUE",
                "(region = principal_attribute('a')) IS UNKNOWN",
                "(region <> principal_attribute('a')) IS NOT FALSE",
                "NOT ((region = principal_attribute('a')) IS TRUE)",
                "CASE WHEN region = principal_attribute('a') THEN false ELSE true END",
                "CASE principal_attribute('a') WHEN 'EU' THEN false ELSE true END",
            ] {
                let text = text.replace("('a')", &format!("('{attribute}')"));
                assert!(compile(vec![filter(&text)], &[]).is_err(), "{text}");
            }
        }
        for (text, expected) in [
            ("NOT (region = principal_attribute('absent'))", &[0_usize; 0][..]),
            ("region NOT IN (principal_attribute('absent'), 'XX')", &[]),
            ("lower(region) = lower(principal_attribute('absent'))", &[]),
            ("lower(region) = lower(principal_attribute('region'))", &[0]),
            ("coalesce(region, 'EU') = principal_attribute('region')", &[0, 2]),
            ("region IS NOT NULL AND region = principal_attribute('region')", &[0]),
        ] {
            assert_eq!(admitted(vec![filter(text)], &[]), expected, "{text}");
        }
    }

    #[test]
    fn rows_of_readable_domains() {
        let rule = || RowRule::DomainColumn { column: "Odd Name".to_owned() };
        assert_eq!(admitted(vec![rule()], &["sales", "marketing"]), [0]);
        assert_eq!(admitted(vec![rule()], &["sales", "hr"]), [0, 1]);
        assert_eq!(admitted(vec![rule()], &[]), [0; 0]);
        assert_eq!(admitted(vec![rule(), filter("x = 2")], &["sales"]), [0; 0]);
        let column = |column: &str| vec![RowRule::DomainColumn { column: column.to_owned() }];
        assert!(compile(column("odd name"), &["sales"]).is_err());
        assert!(compile(column("x"), &["sales"]).is_err());
    }

    #[test]
    fn one_of_several() {
        let any = |texts: &[&str]| RowRule::AnyOf(texts.iter().map(|text| filter(text)).collect());
        assert_eq!(admitted(vec![any(&["x = 1", "region = 'US'"])], &[]), [0, 1]);
        assert_eq!(admitted(vec![any(&["x = 1", "region = 'US'"]), filter("x > 1")], &[]), [1]);
        assert_eq!(admitted(vec![any(&[])], &[]), [0; 0]);
        assert!(compile(vec![any(&["x = 1", "1/x = 1"])], &[]).is_err(), "one that is refused denies all");
    }

    /// What each of the three rows shows in a column of the type of `column`.
    fn masked(text: &str, column: &str) -> Result<Vec<Option<String>>, String> {
        let (ann, none, schema) = (ann(), BTreeSet::new(), schema());
        let compiler = Compiler::new(&ann, &none, &schema)?;
        let data_type = schema.field_with_name(column).unwrap().data_type();
        let values = compiler.physical(&compiler.mask(text, data_type)?)?.evaluate(&rows()).unwrap();
        let values = values.into_array(3).unwrap();
        assert_eq!(values.data_type(), data_type, "{text}");
        let text = datafusion::arrow::compute::cast(&values, &DataType::Utf8).unwrap();
        Ok(text.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect())
    }

    #[test]
    fn masks_compute_what_their_expressions_say() {
        for (column, text, expected) in [
            ("region", "left(region, 1) || '…'", [Some("E…"), Some("U…"), None]),
            ("region", "concat(right(region, 1), '/', \"Odd Name\")", [Some("U/sales"), Some("S/hr"), Some("/")]),
            ("region", "substr(region, 2, 1)", [Some("U"), Some("S"), None]),
            ("region", "substring(region from 1 for 1)", [Some("E"), Some("U"), None]),
            ("region", "CASE WHEN x = 1 THEN region ELSE 'other' END", [Some("EU"), Some("other"), Some("other")]),
            ("region", "principal_attribute('region')", [Some("EU"); 3]),
            ("x", "0", [Some("0"); 3]),
            ("x", "NULL", [None; 3]),
            ("amount", "CASE WHEN amount > 10 THEN CAST('10' AS decimal(10, 2)) END", [None, Some("10.00"), None]),
        ] {
            match masked(text, column) {
                Ok(values) => assert_eq!(values, expected.map(|value| value.map(str::to_owned)), "{text}"),
                Err(why) => panic!("{text}: {why}"),
            }
        }
    }

    #[test]
    fn a_mask_that_may_fail_or_changes_the_type_is_refused() {
        for (column, text) in [
            ("x", "1 / x"),
            ("region", "CASE WHEN region <> principal_attribute('absent') THEN '' ELSE region END"),
            ("x", "x + 1"),
            ("x", "region"),
            ("x", "'not a number'"),
            ("region", "x"),
            ("region", "left(region, x)"),
            ("region", "substr(region, 1, -1)"),
            ("region", "repeat(region, 3)"),
            ("region", "md5(region)"),
            ("x", "position('E' in region)"),
            ("region", "random()::text"),
            ("region", "(SELECT 'a')"),
            ("amount", "amount * 2"),
        ] {
            assert!(masked(text, column).is_err(), "{text}");
        }
        assert!(compile(vec![filter("left(region, 1) = 'E'")], &[]).is_err(), "for masks only");
        assert!(compile(vec![filter("region || '' = 'E'")], &[]).is_err(), "for masks only");
    }
}
