//! What is told of a value: by what an expression is, from what it is made of.
//!
//! PostgreSQL 15, sections 10.2 to 10.5. Where this knows of nothing better, the engine's own field says it.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Alias, Cast, Placeholder, TryCast};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, WindowFunctionDefinition};

use super::{Input, Kind, Told};
use crate::pgtype::common::{common_type, compared_type, extreme_type};
use crate::pgtype::{self, oid};
use crate::statement::functions::sets::Set;
use crate::statement::shapes::ARRAY_OF_SUBQUERY;
use crate::statement::types::NUMERIC;

/// What the expressions of a node may refer to.
pub struct Scope<'a> {
    pub inputs: &'a [Input],
    outer: Option<&'a Scope<'a>>,
    /// The node's subqueries, once they are resolved.
    asked: RefCell<Vec<(Arc<LogicalPlan>, Told)>>,
    /// All columns of the inputs, where there is more than one.
    merged: OnceCell<DFSchema>,
    /// Where the column that is looked for next often is.
    next: Cell<usize>,
}

impl<'a> Scope<'a> {
    pub fn new(inputs: &'a [Input], outer: Option<&'a Scope<'a>>) -> Self {
        Self { inputs, outer, asked: RefCell::default(), merged: OnceCell::new(), next: Cell::new(0) }
    }

    /// Remembers what is told of a subquery's column.
    pub fn ask(&self, subquery: &Arc<LogicalPlan>, told: Told) {
        self.asked.borrow_mut().push((Arc::clone(subquery), told));
    }

    pub fn all(&self, expressions: &[Expr]) -> super::Columns {
        expressions.iter().map(|expr| self.told(expr)).collect()
    }

    pub fn schema(&self) -> &DFSchema {
        match self.inputs {
            [(schema, _)] => schema,
            inputs => self.merged.get_or_init(|| {
                let mut merged = DFSchema::empty();
                for (schema, _) in inputs {
                    merged.merge(schema);
                }
                merged
            }),
        }
    }

    /// The Arrow type of a value.
    pub fn arrow(&self, expr: &Expr) -> Option<DataType> {
        expr.get_type(self.schema()).ok()
    }

    fn column(&self, column: &Column) -> Option<Told> {
        for (schema, told) in self.inputs {
            let next = self.next.get();
            let guess = schema.fields().get(next).is_some_and(|field| {
                let (qualifier, _) = schema.qualified_field(next);
                *field.name() == column.name && qualifier == column.relation.as_ref()
            });
            let at = if guess { Some(next) } else { schema.maybe_index_of_column(column) };
            if let Some(at) = at {
                self.next.set(at + 1);
                return told.get(at).copied();
            }
        }
        None
    }

    pub fn told(&self, expr: &Expr) -> Told {
        let told = self.found(expr);
        // what is computed has no precision of its own
        if told.kind == Kind::Plain && is_computed(expr) && self.arrow(expr).is_some_and(|t| t.is_decimal()) {
            return Told::of(oid::NUMERIC, -1);
        }
        told
    }

    fn found(&self, expr: &Expr) -> Told {
        match expr {
            Expr::Column(column) => self.column(column).unwrap_or(Told::PLAIN),
            Expr::OuterReferenceColumn(field, column) => {
                let mut scope = self.outer;
                while let Some(outer) = scope {
                    if let Some(told) = outer.column(column) {
                        return told;
                    }
                    scope = outer.outer;
                }
                Told::of_field(field)
            }
            Expr::Alias(Alias { expr, metadata, .. }) => match (self.told(expr), metadata) {
                (Told { kind: Kind::Plain, origin }, Some(metadata)) => {
                    Told { origin, ..Told::of_metadata(metadata).unwrap_or(Told::PLAIN) }
                }
                (told, _) => told,
            },
            Expr::Literal(value, metadata) => {
                let declared = metadata.as_ref().and_then(Told::of_metadata);
                declared.unwrap_or(match value {
                    ScalarValue::Null | ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) => Told::UNKNOWN,
                    number if number.data_type().is_decimal() => Told::of(oid::NUMERIC, -1),
                    _ => Told::PLAIN,
                })
            }
            Expr::Placeholder(Placeholder { field: None, .. }) => Told::UNKNOWN,
            Expr::Placeholder(Placeholder { field: Some(field), .. }) => match Told::of_field(field) {
                told if told == Told::PLAIN && (field.data_type().is_string() || field.data_type().is_null()) => {
                    Told::UNKNOWN
                }
                told => told,
            },
            Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                let is_arrows = field.name().is_empty() && field.metadata().is_empty();
                if is_arrows {
                    // not the client's, and of no type of PostgreSQL's
                    return self.told(expr).without_origin();
                }
                if field.name() == NUMERIC && field.metadata().is_empty() {
                    return Told::of(oid::NUMERIC, -1);
                }
                let (told, target) = (self.told(expr), Told::of_field(field));
                let is_same = || target.kind != Kind::Plain || self.arrow(expr).as_ref() == Some(field.data_type());
                // a cast to the very type is none
                if told.kind == target.kind && told.origin.is_some() && is_same() { told } else { target }
            }
            // of two arrays, or of one and an element
            Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => {
                let is_array =
                    |told: &Told| told.type_oid().is_some_and(|type_oid| pgtype::element_oid(type_oid).is_some());
                let operands = [self.told(&binary.left), self.told(&binary.right)];
                operands.into_iter().find(is_array).map_or(Told::PLAIN, Told::without_typmod)
            }
            Expr::Case(case) => {
                let branches = || case.when_then_expr.iter().map(|(_, then)| then.as_ref());
                let otherwise = case.else_expr.as_deref();
                // without ELSE there is a NULL
                // ELSE comes first (`transformCaseExpr`)
                let told = self.together(|| otherwise.into_iter().chain(branches()));
                if otherwise.is_none() { told.without_typmod() } else { told }
            }
            Expr::ScalarFunction(call) => self.function(expr, call.func.name(), &call.args),
            Expr::AggregateFunction(call) => self.aggregate(expr, call.func.name(), &call.params.args),
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    self.aggregate(expr, function.name(), &call.params.args)
                }
                WindowFunctionDefinition::WindowUDF(function) => match (function.name(), call.params.args.as_slice()) {
                    ("lag" | "lead", [value, _, default]) => self.together(|| [value, default]).without_typmod(),
                    ("lag" | "lead" | "first_value" | "last_value" | "nth_value", [value, ..]) => {
                        self.told(value).outside().without_typmod()
                    }
                    _ => Told::PLAIN,
                },
            },
            Expr::ScalarSubquery(subquery) => {
                let asked = self.asked.borrow();
                let known = asked.iter().find(|(known, _)| Arc::ptr_eq(known, &subquery.subquery));
                known.map_or(Told::PLAIN, |(_, told)| told.outside().without_origin())
            }
            Expr::Unnest(unnest) => {
                let is_array = self.arrow(expr).is_some_and(|data_type| matches!(data_type, DataType::List(_)));
                self.told(&unnest.expr).element(is_array).without_typmod()
            }
            _ => Told::PLAIN,
        }
    }

    fn function(&self, expr: &Expr, name: &str, args: &[Expr]) -> Told {
        match (name, args) {
            ("coalesce" | "greatest" | "least", args) => self.together(|| args),
            // the operator's first operand
            ("nullif", [value, other]) => match (self.told(value), self.told(other)) {
                (Told { kind: Kind::Of((type_oid, typmod)), .. }, _) => {
                    let compared = compared_type(type_oid);
                    Told::of(compared, if compared == type_oid { typmod } else { -1 })
                }
                (Told { kind: Kind::Plain, .. }, other) if other.type_oid() == Some(oid::OID) => Told::of(oid::OID, -1),
                (told, _) => told.without_typmod().outside(),
            },
            ("make_array", args) => self.together(|| args).outside().array(),
            (ARRAY_OF_SUBQUERY, [subquery]) => self.told(subquery).array(),
            ("array_element", [array, _]) => {
                let is_array = self.arrow(expr).is_some_and(|data_type| matches!(data_type, DataType::List(_)));
                self.told(array).element(is_array)
            }
            ("array_slice", [array, ..]) => self.told(array).without_origin(),
            (
                "array_append" | "array_cat" | "array_concat" | "array_remove" | "array_replace" | "array_distinct"
                | "array_sort" | "array_reverse",
                [array, ..],
            )
            | ("array_prepend", [_, array]) => self.told(array).without_typmod(),
            (name, [array]) if Set::of_list(name) == Some(Set::Unnest) => self.told(array).without_typmod(),
            _ => self.as_the_engine_says(expr),
        }
    }

    fn aggregate(&self, expr: &Expr, name: &str, args: &[Expr]) -> Told {
        match (name, args) {
            ("array_agg", [value, ..]) => {
                let told = self.told(value).without_typmod();
                // an array of vectors is told of as what the engine makes of it
                if told.type_oid().is_some_and(|t| matches!(t, oid::INT2VECTOR | oid::OIDVECTOR)) {
                    return Told::PLAIN;
                }
                told.outside().array()
            }
            ("min" | "max", [value]) => match self.told(value).without_typmod() {
                Told { kind: Kind::Of((type_oid, typmod)), .. } => Told::of(extreme_type(type_oid), typmod),
                told => told.outside(),
            },
            ("first_value" | "last_value" | "nth_value" | "any_value" | "mode" | "percentile_disc", [value, ..]) => {
                let told = self.told(value).without_typmod().outside();
                // of a list of fractions
                let is_array = self.arrow(expr).is_some_and(|data_type| matches!(data_type, DataType::List(_)));
                let was_array = self.arrow(value).is_some_and(|data_type| matches!(data_type, DataType::List(_)));
                if is_array && !was_array { told.array() } else { told }
            }
            ("count" | "sum" | "avg", _) => Told::PLAIN,
            _ => self.as_the_engine_says(expr),
        }
    }

    fn as_the_engine_says(&self, expr: &Expr) -> Told {
        expr.to_field(self.schema()).map_or(Told::PLAIN, |(_, field)| Told::of_field(&field))
    }

    /// What values are together.
    pub fn together<'e, I: IntoIterator<Item = &'e Expr>>(&self, values: impl Fn() -> I) -> Told {
        let told: Vec<Told> = values().into_iter().map(|value| self.told(value)).collect();
        if told.iter().all(|told| told.kind == Kind::Unknown) {
            return Told::UNKNOWN;
        }
        if told.iter().all(|told| told.type_oid().is_none()) {
            return Told::PLAIN;
        }
        let types = told.iter().zip(values()).map(|(told, value)| match told.kind {
            Kind::Of(typed) => Some(typed),
            Kind::Unknown => None,
            Kind::Plain => self.arrow(value).map(|data_type| (pgtype::parameter_oid(&data_type), -1)),
        });
        common_type(types).map_or(Told::PLAIN, |(type_oid, typmod)| Told::of(type_oid, typmod))
    }
}

/// Whether an operator, a function or an aggregate gives the value, rather than a column, a literal or a cast.
fn is_computed(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::BinaryExpr(_)
            | Expr::Negative(_)
            | Expr::ScalarFunction(_)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
    )
}
