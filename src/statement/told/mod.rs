//! What clients are told of columns beyond Arrow's types: PostgreSQL's type, and the table column that they come from.
//!
//! The engine loses on the way what a field's metadata says of its type. So that is followed here beside its schemas, over
//! a plan as it was bound: bottom-up, once over each node and expression, subqueries included. What Arrow's type says by
//! itself is not followed at all. On the way, what depends on a type that only this knows is resolved: casts of objects
//! (`regclass`) to and from texts, `pg_typeof`, and the types of parameters.
//!
//! PostgreSQL 15, chapter 10 "Type Conversion", and `markTargetListOrigins` for where columns come from.
//! * [`expressions`]: what a value is told of.
//! * [`resolve`]: what is put in place of an expression because of it.

mod expressions;
mod resolve;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, JoinType, Result, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Distinct, Expr, Join, LogicalPlan, Projection, RecursiveQuery, TableScan, Union, Unnest, Values,
};

use super::context::Context;
use super::system::pg_catalog::contract_type::of_texts;
use crate::catalog::model::Product;
use crate::pgtype::common::{Typed, common_type};
use crate::pgtype::{self, ORIGIN_KEY, Origin, PG_TYPE_KEY, PG_TYPMOD_KEY};
use expressions::Scope;

/// Metadata of a view's columns: the OID of a type and a typmod, or nothing where the Arrow type says it all.
const VIEW_TYPE_KEY: &str = "pgmesh:view_type";

/// What is told of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    kind: Kind,
    origin: Option<Origin>,
}

/// What type a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The one that its Arrow type is by itself.
    Plain,
    /// None yet: a literal, or a parameter that nothing is known of.
    Unknown,
    Of(Typed),
}

/// What is told of the columns of a relation or a plan, in their order.
pub type Columns = Arc<[Told]>;

impl Told {
    const PLAIN: Self = Self { kind: Kind::Plain, origin: None };
    const UNKNOWN: Self = Self { kind: Kind::Unknown, origin: None };

    fn of(type_oid: u32, typmod: i32) -> Self {
        Self { kind: Kind::Of((type_oid, typmod)), origin: None }
    }

    /// The type that a field's metadata names.
    fn of_field(field: &Field) -> Self {
        let names_type = match field.data_type() {
            DataType::List(item) => item.data_type().is_nested() || names_type(item) || names_type(field),
            _ => names_type(field),
        };
        if !names_type {
            return Self::PLAIN;
        }
        let found = pgtype::pg_type(field);
        Self::of(found.oid, found.typmod)
    }

    /// The type that the metadata of an alias or a literal names.
    fn of_metadata(metadata: &FieldMetadata) -> Option<Self> {
        let known = pgtype::known::by_name(metadata.inner().get(PG_TYPE_KEY)?)?;
        let typmod = metadata.inner().get(PG_TYPMOD_KEY).and_then(|typmod| typmod.parse().ok());
        (known.oid != pgtype::oid::NUMERIC).then(|| Self::of(known.oid, typmod.unwrap_or(-1)))
    }

    fn type_oid(self) -> Option<u32> {
        match self.kind {
            Kind::Of((type_oid, _)) => Some(type_oid),
            Kind::Plain | Kind::Unknown => None,
        }
    }

    fn typed(self) -> Option<Typed> {
        match self.kind {
            Kind::Of(typed) => Some(typed),
            Kind::Plain | Kind::Unknown => None,
        }
    }

    /// What functions keep of their arguments: the type, without its modifier.
    fn without_typmod(self) -> Self {
        match self.kind {
            Kind::Of((type_oid, _)) => Self::of(type_oid, -1),
            _ => Self { origin: None, ..self },
        }
    }

    fn without_origin(self) -> Self {
        Self { origin: None, ..self }
    }

    /// Outside its query, a literal is a text.
    fn outside(self) -> Self {
        if self.kind == Kind::Unknown { Self::PLAIN } else { self }
    }

    /// An array of such values.
    fn array(self) -> Self {
        let Kind::Of((type_oid, typmod)) = self.kind else { return Self::PLAIN };
        // arrays carry no number of dimensions in their type
        let array = if pgtype::element_oid(type_oid).is_some() { Some(type_oid) } else { pgtype::array_oid(type_oid) };
        array.map_or(Self::PLAIN, |array| Self::of(array, typmod))
    }

    /// An element of such an array, if its Arrow type is no array itself.
    fn element(self, is_array: bool) -> Self {
        let Kind::Of((type_oid, typmod)) = self.kind else { return Self::PLAIN };
        match type_oid {
            pgtype::oid::INT2VECTOR => Self::PLAIN,
            pgtype::oid::OIDVECTOR => Self::of(pgtype::oid::OID, -1),
            _ if is_array => self.without_origin(),
            _ => pgtype::element_oid(type_oid).map_or(Self::PLAIN, |element| Self::of(element, typmod)),
        }
    }

    /// The type of an object that is shown by its name, such as a `regclass`, or of an array's elements.
    pub fn object(self) -> Option<u32> {
        let type_oid = self.type_oid()?;
        Some(pgtype::element_oid(type_oid).unwrap_or(type_oid)).filter(|type_oid| pgtype::is_reg(*type_oid))
    }
}

/// Whether a field names a type that Arrow has none of its own for.
fn names_type(field: &Field) -> bool {
    !field.data_type().is_decimal() && field.metadata().contains_key(PG_TYPE_KEY)
}

/// What is told of a relation's columns: the types that their fields name, and where they come from.
pub fn of_relation(schema: &Schema, relation: Option<u32>) -> Columns {
    numbered(schema.fields().iter().map(|field| Told::of_field(field)), relation)
}

/// As [`of_relation`] of a product's table, whose contract may call its texts something else.
pub fn of_table(schema: &Schema, relation: Option<u32>, product: &Product) -> Columns {
    let called = product.columns.iter().filter_map(|column| Some((column.name.as_str(), of_texts(column)?)));
    let called: HashMap<&str, Typed> = called.collect();
    let told = |field: &Field| match called.get(field.name().as_str()) {
        Some(typed) => Told::of_field(&pgtype::declared(field, Some(*typed))),
        None => Told::of_field(field),
    };
    numbered(schema.fields().iter().map(|field| told(field)), relation)
}

fn numbered(columns: impl Iterator<Item = Told>, relation: Option<u32>) -> Columns {
    let number = |at: usize| i16::try_from(at + 1).ok();
    columns
        .enumerate()
        .map(|(at, told)| Told {
            origin: relation.and_then(|relation| Some(Origin { relation, number: number(at)? })),
            ..told
        })
        .collect()
}

/// What a view's columns carry, so that they are known where the view's query is part of another: their types and their
/// place in the view.
pub fn of_view(told: &[Told], relation: Option<u32>, schema: &DFSchema) -> Vec<FieldMetadata> {
    let told = numbered(told.iter().copied(), relation);
    let fields = schema.fields().iter().zip(told.iter()).map(|(field, told)| {
        let plain = Field::new("", field.data_type().clone(), true);
        let mut metadata = pgtype::declared(&plain, told.typed()).metadata().clone();
        let typed = told.typed().map(|(type_oid, typmod)| format!("{type_oid},{typmod}"));
        metadata.insert(VIEW_TYPE_KEY.to_owned(), typed.unwrap_or_default());
        metadata.insert(ORIGIN_KEY.to_owned(), told.origin.map(Origin::text).unwrap_or_default());
        FieldMetadata::from(metadata)
    });
    fields.collect()
}

/// The schema with what is told of its columns.
pub fn columns(schema: &Schema, told: &[Told]) -> SchemaRef {
    let fields = schema.fields().iter().zip(told).map(|(field, told)| {
        let field = pgtype::declared(field, told.typed());
        match told.origin {
            Some(origin) => {
                let mut field = field;
                field.metadata_mut().insert(ORIGIN_KEY.to_owned(), origin.text());
                field
            }
            None => field,
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Follows types through a plan: what is told of its columns, and the plan with what depends on it resolved. `relations`
/// are those that it scans, by the names that it knows them by.
///
/// # Errors
/// When the engine cannot put the plan together again.
pub fn resolved(
    plan: LogicalPlan,
    relations: &HashMap<TableReference, Columns>,
    context: &Context,
) -> Result<(LogicalPlan, Columns)> {
    let mut teller = Teller { context, relations, working: Vec::new() };
    let (plan, told) = teller.plan(plan, None)?;
    Ok((plan, told.iter().map(|told| told.outside()).collect()))
}

struct Teller<'a> {
    context: &'a Context,
    relations: &'a HashMap<TableReference, Columns>,
    /// The recursive queries around, the innermost last.
    working: Vec<(String, Columns)>,
}

/// The columns of one input of a node.
type Input = (DFSchemaRef, Columns);

impl Teller<'_> {
    fn plan(&mut self, plan: LogicalPlan, outer: Option<&Scope<'_>>) -> Result<(LogicalPlan, Columns)> {
        let (plan, inputs) = match plan {
            LogicalPlan::Projection(view) if is_view(&view) => {
                let told = view.expr.iter().map(of_view_column).collect();
                return Ok((LogicalPlan::Projection(view), told));
            }
            LogicalPlan::RecursiveQuery(query) => return self.recursive(query, outer),
            LogicalPlan::Join(join) => self.join(join, outer)?,
            plan => {
                let mut inputs: Vec<Input> = Vec::new();
                let plan = plan.map_children(|child| {
                    let (child, told) = self.plan(child, outer)?;
                    inputs.push((Arc::clone(child.schema()), told));
                    Ok(Transformed::yes(child))
                })?;
                (plan.data, inputs)
            }
        };
        let scope = Scope::new(&inputs, outer);
        let plan = self.expressions(plan, &scope)?;
        let told = self.node(&plan, &scope);
        Ok((plan, told))
    }

    fn recursive(&mut self, query: RecursiveQuery, outer: Option<&Scope<'_>>) -> Result<(LogicalPlan, Columns)> {
        let RecursiveQuery { name, static_term, recursive_term, is_distinct, schema } = query;
        let (static_term, told) = self.plan(Arc::unwrap_or_clone(static_term), outer)?;
        let told: Columns = told.iter().map(|told| told.outside().without_origin()).collect();
        self.working.push((name.clone(), Arc::clone(&told)));
        let recursive_term = self.plan(Arc::unwrap_or_clone(recursive_term), outer);
        self.working.pop();
        let (static_term, recursive_term) = (Arc::new(static_term), Arc::new(recursive_term?.0));
        let query = RecursiveQuery { name, static_term, recursive_term, is_distinct, schema };
        Ok((LogicalPlan::RecursiveQuery(query), told))
    }

    /// The right side of a lateral join sees the left one.
    fn join(&mut self, mut join: Join, outer: Option<&Scope<'_>>) -> Result<(LogicalPlan, Vec<Input>)> {
        let (left, told) = self.plan(Arc::unwrap_or_clone(join.left), outer)?;
        let mut inputs = vec![(Arc::clone(left.schema()), told)];
        let (right, told) = self.plan(Arc::unwrap_or_clone(join.right), Some(&Scope::new(&inputs, outer)))?;
        inputs.push((Arc::clone(right.schema()), told));
        (join.left, join.right) = (Arc::new(left), Arc::new(right));
        Ok((LogicalPlan::Join(join), inputs))
    }

    /// What is told of a node's columns, once its expressions are resolved.
    fn node(&self, plan: &LogicalPlan, scope: &Scope<'_>) -> Columns {
        let input = |at: usize| scope.inputs.get(at).map(|(_, told)| Arc::clone(told));
        let told = match plan {
            LogicalPlan::Projection(projection) => scope.all(&projection.expr),
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => input(0).unwrap_or_default(),
            LogicalPlan::Distinct(Distinct::On(on)) => scope.all(&on.select_expr),
            LogicalPlan::SubqueryAlias(_) => {
                input(0).iter().flat_map(|told| told.iter()).map(|t| t.outside()).collect()
            }
            LogicalPlan::Aggregate(aggregate) => {
                let groups = grouping_set_to_exprlist(&aggregate.group_expr).unwrap_or_default();
                let mut told: Vec<Told> = groups.into_iter().map(|expr| scope.told(expr)).collect();
                // the number of the grouping set
                let places = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
                told.resize(places, Told::PLAIN);
                told.extend(aggregate.aggr_expr.iter().map(|expr| scope.told(expr)));
                told.into()
            }
            LogicalPlan::Window(window) => {
                let own = window.window_expr.iter().map(|expr| scope.told(expr));
                input(0).iter().flat_map(|told| told.iter().copied()).chain(own).collect()
            }
            LogicalPlan::Join(join) => joined(join.join_type, scope.inputs),
            LogicalPlan::Union(Union { schema, .. }) => {
                let column = |at: usize| {
                    let of_input = |(schema, told): &Input| {
                        let field = schema.fields().get(at)?;
                        Some((told.get(at).copied()?, Arc::clone(field)))
                    };
                    together(scope.inputs.iter().filter_map(of_input))
                };
                (0..schema.fields().len()).map(column).collect()
            }
            LogicalPlan::Values(Values { schema, values }) => {
                let column = |at: usize| {
                    let rows = move || values.iter().filter_map(move |row| row.get(at));
                    scope.together(rows)
                };
                (0..schema.fields().len()).map(column).collect()
            }
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Unnest(unnest) => input(0).map(|told| unnested(unnest, &told)).unwrap_or_default(),
            _ => plan.schema().fields().iter().map(|field| Told::of_field(field)).collect(),
        };
        if told.len() == plan.schema().fields().len() {
            return told;
        }
        plan.schema().fields().iter().map(|field| Told::of_field(field)).collect()
    }

    fn scan(&self, scan: &TableScan) -> Columns {
        let working = self.working.iter().rev().find(|(name, _)| *name == scan.table_name.table());
        let told = match working {
            Some((_, told)) if is_work_table(scan) => Some(told),
            _ => self.relations.get(&scan.table_name),
        };
        match (told, &scan.projection) {
            (Some(told), None) => Arc::clone(told),
            (Some(told), Some(columns)) => {
                columns.iter().map(|at| told.get(*at).copied().unwrap_or(Told::PLAIN)).collect()
            }
            (None, _) => of_relation(scan.projected_schema.as_arrow(), None),
        }
    }
}

fn is_work_table(scan: &TableScan) -> bool {
    let is_one = |provider: &dyn Any| provider.downcast_ref::<CteWorkTable>().is_some();
    source_as_provider(&scan.source).is_ok_and(|provider| is_one(provider.as_ref()))
}

/// Whether it is what [`of_view`] marks.
fn is_view(projection: &Projection) -> bool {
    let marked = |expr: &Expr| match expr {
        Expr::Alias(alias) => alias.metadata.as_ref().is_some_and(|m| m.inner().contains_key(VIEW_TYPE_KEY)),
        _ => false,
    };
    !projection.expr.is_empty() && projection.expr.iter().all(marked)
}

fn of_view_column(expr: &Expr) -> Told {
    let Expr::Alias(alias) = expr else { return Told::PLAIN };
    let Some(metadata) = &alias.metadata else { return Told::PLAIN };
    let typed = metadata.inner().get(VIEW_TYPE_KEY).and_then(|typed| typed.split_once(','));
    let typed = typed.and_then(|(type_oid, typmod)| Some((type_oid.parse().ok()?, typmod.parse().ok()?)));
    Told {
        kind: typed.map_or(Kind::Plain, Kind::Of),
        origin: metadata.inner().get(ORIGIN_KEY).and_then(|text| Origin::parse(text)),
    }
}

/// INTERSECT and EXCEPT are joins that keep the left side alone.
fn joined(join_type: JoinType, inputs: &[Input]) -> Columns {
    let [(left_schema, left), (right_schema, right)] = inputs else { return Columns::default() };
    match join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => {
            let pairs =
                left_schema.fields().iter().zip(left.iter()).zip(right_schema.fields().iter().zip(right.iter()));
            pairs
                .map(|((field, told), (other, other_told))| {
                    together([(*told, Arc::clone(field)), (*other_told, Arc::clone(other))].into_iter())
                })
                .collect()
        }
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            left.iter().chain(right.iter()).copied().collect()
        }
        // not before the optimizer
        JoinType::RightSemi | JoinType::RightAnti | JoinType::LeftMark | JoinType::RightMark => Columns::default(),
    }
}

/// What columns of set operations are together.
fn together(columns: impl Iterator<Item = (Told, FieldRef)> + Clone) -> Told {
    if columns.clone().all(|(told, _)| told.kind != Kind::Plain && told.type_oid().is_none()) {
        return Told::UNKNOWN;
    }
    if columns.clone().all(|(told, _)| told.type_oid().is_none()) {
        return Told::PLAIN;
    }
    let types = columns.map(|(told, field)| match told.kind {
        Kind::Of(typed) => Some(typed),
        Kind::Unknown => None,
        Kind::Plain => Some((pgtype::pg_type(&pgtype::declared(&field, None)).oid, -1)),
    });
    common_type(types).map_or(Told::PLAIN, |(type_oid, typmod)| Told::of(type_oid, typmod))
}

fn unnested(unnest: &Unnest, told: &[Told]) -> Columns {
    let lists: HashSet<usize> = unnest.list_type_columns.iter().map(|(at, _)| *at).collect();
    let outputs = unnest.schema.fields().iter().zip(&unnest.dependency_indices);
    outputs
        .map(|(field, at)| {
            let from = told.get(*at).copied().unwrap_or(Told::PLAIN);
            if lists.contains(at) {
                return from.element(matches!(field.data_type(), DataType::List(_))).without_typmod();
            }
            if unnest.struct_type_columns.contains(at) { Told::of_field(field) } else { from }
        })
        .collect()
}
