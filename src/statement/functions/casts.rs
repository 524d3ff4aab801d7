//! Casts to and from `regclass` and its kin, and how their values leave a statement.
//!
//! PostgreSQL 15, section 8.19 "Object Identifier Types". In a plan a value is its OID; a text becomes one by its name, and
//! one becomes a text by its object's name. What leaves the statement has both, since a client may ask for either form.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, exec_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::function_rewrite::ApplyFunctionRewrites;

use super::super::context::Context;
use super::super::postgres::{is_row, json};
use super::call::{is_text, named_type};
use super::known::Known;
use super::reg::{self, Reg};
use crate::pgtype::PG_TYPE_KEY;

/// The plan with its casts between texts and objects looked up.
///
/// # Errors
/// When the engine cannot rewrite the plan.
pub fn resolved(plan: LogicalPlan, context: &Context, options: &ConfigOptions) -> Result<LogicalPlan> {
    ApplyFunctionRewrites::new(vec![Arc::new(Casts(context.clone()))]).analyze(plan, options)
}

struct Casts(Context);

impl fmt::Debug for Casts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Casts")
    }
}

impl FunctionRewrite for Casts {
    fn name(&self) -> &'static str {
        "casts of objects"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let expr = match named_in_json(expr, schema, &self.0) {
            Ok(done) => return Ok(Transformed::yes(done)),
            Err(expr) => *expr,
        };
        let Expr::Cast(Cast { expr: inner, field }) = &expr else { return Ok(Transformed::no(expr)) };
        let Ok((_, source)) = inner.to_field(schema) else { return Ok(Transformed::no(expr)) };
        match (kind(&source), kind(field)) {
            (None, Some(kind)) if is_text(source.data_type()) => {
                Ok(Transformed::yes(reg::reg_in(kind, &self.0).call(vec![inner.as_ref().clone()])))
            }
            (Some(kind), None) if is_text(field.data_type()) => {
                let text = Box::new(reg::reg_out(kind, &self.0).call(vec![inner.as_ref().clone()]));
                Ok(Transformed::yes(Expr::Cast(Cast { expr: text, field: Arc::clone(field) })))
            }
            _ => Ok(Transformed::no(expr)),
        }
    }
}

/// The expression with objects as their names, where it makes JSON or a record of them; else as it was.
fn named_in_json(expr: Expr, schema: &DFSchema, context: &Context) -> std::result::Result<Expr, Box<Expr>> {
    let kind_of = |expr: &Expr| expr.to_field(schema).ok().and_then(|(_, field)| kind(&field));
    let named = |args: &mut Vec<Expr>| {
        let mut found = false;
        for arg in args {
            if let Some(kind) = kind_of(arg) {
                *arg = reg::reg_out(kind, context).call(vec![std::mem::take(arg)]);
                found = true;
            }
        }
        found
    };
    let (found, expr) = match expr {
        Expr::ScalarFunction(mut function) if json::takes_any(function.name()) || is_row(function.name()) => {
            (named(&mut function.args), Expr::ScalarFunction(function))
        }
        Expr::AggregateFunction(mut function) if json::takes_any(function.func.name()) => {
            (named(&mut function.params.args), Expr::AggregateFunction(function))
        }
        other => (false, other),
    };
    if found { Ok(expr) } else { Err(Box::new(expr)) }
}

/// The kind of objects that a field of OIDs has.
fn kind(field: &Field) -> Option<Reg> {
    let name = field.metadata().get(PG_TYPE_KEY).filter(|_| field.data_type().is_integer())?;
    Reg::named(name)
}

/// The plan whose columns of objects have the names beside the OIDs.
///
/// # Errors
/// When the engine cannot plan the columns.
pub fn shown(plan: LogicalPlan, context: &Context) -> Result<LogicalPlan> {
    if plan.schema().fields().iter().all(|field| kind(field).is_none()) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match kind(field) {
            Some(kind) => {
                let shown =
                    Shown { kind, known: Known::new(context), signature: Signature::any(1, Volatility::Stable) };
                let shown = ScalarUDF::new_from_impl(shown).call(vec![column]);
                shown.alias_qualified(qualifier.cloned(), field.name())
            }
            None => column,
        }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// From an OID to the OID and the name.
struct Shown {
    kind: Reg,
    known: Known,
    signature: Signature,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({:?})", self.kind)
    }
}

impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.known.facts.pid == other.known.facts.pid
    }
}

impl Eq for Shown {}

impl Hash for Shown {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, self.known.facts.pid).hash(state);
    }
}

fn fields() -> Fields {
    Fields::from(vec![Field::new("oid", DataType::Int64, true), Field::new("name", DataType::Utf8, true)])
}

impl ScalarUDFImpl for Shown {
    fn name(&self) -> &'static str {
        "shown"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = Field::new(self.name(), DataType::Struct(fields()), true);
        Ok(Arc::new(field.with_metadata(named_type(self.kind.name()))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(oids) = args.args.first() else { return exec_err!("an object is shown") };
        let oids = cast(&oids.to_array(args.number_rows)?, &DataType::Int64)?;
        let mut names = StringBuilder::new();
        for oid in oids.as_primitive::<Int64Type>() {
            names.append_option(oid.map(|oid| match u32::try_from(oid) {
                Ok(oid) => reg::output(self.kind, &self.known, oid),
                Err(_) => oid.to_string(),
            }));
        }
        let nulls = oids.nulls().cloned();
        let names: ArrayRef = Arc::new(names.finish());
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(fields(), vec![oids, names], nulls)?)))
    }
}
