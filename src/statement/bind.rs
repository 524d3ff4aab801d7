//! From a parsed query to a logical plan over what the principal may see.
//!
//! The planner is shown exactly the relations that were resolved here, each already behind the fence, and a fixed list of
//! functions. A name that the principal may not discover is answered exactly as one that does not exist.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ObjectName, Query, Statement, Visit, Visitor, visit_relations};

use super::audit::Denied;
use super::context::Context;
use super::fault::from_engine;
use super::functions::{catalog_function, shown, unknown::unknown};
use super::system::pg_catalog::facts;
use super::travel::{self, Asked, Special};
use super::types::Types;
use super::views::{self, View};
use super::{
    allowed, limits, parse, patterns, postgres, quantified, sets, shapes, subqueries, system, told, whole_rows,
};
use crate::access::decide::{Access, ReadScope};
use crate::access::secure::SecuredTable;
use crate::access::visible::VisibleProduct;
use crate::catalog::model::Product;
use crate::error::{Error, Result, SqlState};

/// How many relations one statement may name.
const RELATIONS_PER_STATEMENT_MAX: usize = 1_000;

/// A logical plan over the visible catalog. It cannot run: only `secure` makes a plan that can.
pub struct Bound {
    pub plan: LogicalPlan,
    /// What is told of its columns.
    pub told: told::Columns,
    pub state: Arc<SessionState>,
}

/// Resolves every relation, plans the query. `parameters` are the types that are known of `$1`, `$2`, ….
pub async fn bind(
    statement: &DfStatement,
    text: &str,
    parameters: Vec<Option<FieldRef>>,
    context: &Context,
) -> Result<Bound> {
    let state = state(context);
    let (plan, told) = plan(statement, text, parameters, &Search::of(context), &state).await?;
    let plan = shown::with_names(plan, &told, context).map_err(from_engine)?;
    Ok(Bound { plan, told, state })
}

/// The engine's state for a statement of this session.
pub fn state(context: &Context) -> Arc<SessionState> {
    context.mesh.engine.state(&context.settings.lock().time_zone().name())
}

/// Where the names in a query are looked for.
pub struct Search<'a> {
    pub context: &'a Context,
    /// Schemas, for names without one.
    pub path: Vec<String>,
    /// The views that the query is part of.
    pub within: Vec<String>,
}

impl<'a> Search<'a> {
    /// For a statement of the session itself.
    pub fn of(context: &'a Context) -> Self {
        Self { context, path: context.search_path(), within: Vec::new() }
    }
}

/// Plans a query, of a statement or of a view in it, and finds out what is told of its columns.
pub async fn plan(
    statement: &DfStatement,
    text: &str,
    parameters: Vec<Option<FieldRef>>,
    search: &Search<'_>,
    state: &Arc<SessionState>,
) -> Result<(LogicalPlan, told::Columns)> {
    let DfStatement::Statement(inner) = statement else {
        return Err(Error::unsupported("only queries can be planned"));
    };
    let (mut inner, special) = travel::set_apart(inner, text)?;
    sets::set_apart(&mut inner)?;
    postgres::syntax::rewrite_overlaps(&mut inner);
    shapes::rewrite(&mut inner, text)?;
    postgres::syntax::rewrite(&mut inner);
    let statement = DfStatement::Statement(Box::new(inner.clone()));
    let (relations, _) = resolve_table_references(&statement, true).map_err(from_engine)?;
    if relations.len() > RELATIONS_PER_STATEMENT_MAX {
        return Err(Error::new(
            SqlState::STATEMENT_TOO_COMPLEX,
            format!("a statement may name {RELATIONS_PER_STATEMENT_MAX} relations"),
        ));
    }
    let mut sources = HashMap::with_capacity(relations.len());
    let mut columns = HashMap::with_capacity(relations.len());
    for reference in relations {
        let found = match special.get(&reference) {
            Some(special) => at_other_times(special, search, state).await,
            None => relation(&reference, search, state).await,
        };
        match found {
            Ok((provider, told)) => {
                columns.insert(reference.clone(), told);
                sources.insert(reference, provider_as_source(provider));
            }
            Err(error) => return Err(at_relation(error, &inner, &reference, text)),
        }
    }
    let planner = Planner::new(state, search.context, sources, text);
    let planned = |statement: Statement| {
        let mut context = PlannerContext::new().with_prepare_param_data_types(parameters.clone());
        SqlToRel::new_with_options(&planner, parser_options())
            .sql_statement_to_plan_with_context(statement, &mut context)
    };
    let plan = whole_rows::planned(inner, planned).map_err(from_engine)?;
    limits::check_plan(&plan)?;
    let mut plan = sets::inlined(plan).map_err(from_engine)?;
    if !plan.get_parameter_names().map_err(from_engine)?.is_empty() {
        plan = quantified::infer_parameters(plan).map_err(from_engine)?;
    }
    told::resolved(plan, &columns, search.context).map_err(from_engine)
}

/// How the planner reads what the grammar leaves open.
pub fn parser_options() -> ParserOptions {
    ParserOptions::new()
        .with_parse_float_as_decimal(true)
        .with_default_null_ordering(NullOrdering::NullsMax)
        .with_map_string_types_to_utf8view(false)
}

/// A relation, and what is told of its columns.
type Relation = (Arc<dyn TableProvider>, told::Columns);

/// The relation behind a name, as this principal may read it.
async fn relation(reference: &TableReference, search: &Search<'_>, state: &Arc<SessionState>) -> Result<Relation> {
    match find(reference, search).await? {
        // its query becomes part of the plan and tells of its columns itself
        Found::View(view) => Ok((views::relation(&view, search, state).await?, told::Columns::default())),
        Found::Catalog(provider, oid) => {
            let told = told::of_relation(&provider.schema(), oid);
            Ok((provider, told))
        }
        Found::Product(visible, product) => {
            let asked = Asked::Rows(search.context.as_of());
            product_table(&visible, product, asked, search.context).await
        }
    }
}

/// A product's table at another time, its changes, or its history.
async fn at_other_times(special: &Special, search: &Search<'_>, state: &Arc<SessionState>) -> Result<Relation> {
    let context = search.context;
    let zone = *context.settings.lock().time_zone();
    let here = |error: Error| match special.position {
        Some(position) => error.position(position),
        None => error,
    };
    // before anything is looked for, so that an error in it is the same whatever there is
    let asked = special.asked(zone, |expression| constant(expression, state, context)).map_err(here)?;
    match find(&special.reference, search).await.map_err(here)? {
        Found::Product(visible, product) => product_table(&visible, product, asked, context).await.map_err(|error| {
            // as for a plain name, a refusal of access has no place
            if error.sqlstate() == SqlState::INSUFFICIENT_PRIVILEGE { error } else { here(error) }
        }),
        Found::View(_) | Found::Catalog(..) => {
            let message = format!("\"{}\" is not a data product's table", special.reference.table());
            Err(here(
                Error::new(SqlState::WRONG_OBJECT_TYPE, message)
                    .hint("Only the tables of data products have versions."),
            ))
        }
    }
}

/// What a name in FROM stands for.
enum Found<'a> {
    View(Arc<View>),
    /// A relation of the mesh's catalog, with its OID.
    Catalog(Arc<dyn TableProvider>, Option<u32>),
    Product(VisibleProduct<'a>, &'a Product),
}

async fn find<'a>(reference: &TableReference, search: &Search<'a>) -> Result<Found<'a>> {
    let context = search.context;
    let missing = || Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{reference}\" does not exist"));
    let (schema, table) = match reference {
        TableReference::Full { catalog, schema, table } => {
            if **catalog != *context.facts.database {
                return Err(Error::unsupported(format!(
                    "cross-database references are not implemented: \"{catalog}.{schema}.{table}\""
                )));
            }
            (Some(schema), table)
        }
        TableReference::Partial { schema, table } => (Some(schema), table),
        TableReference::Bare { table } => (None, table),
    };
    let Some(schema) = schema else {
        for schema in &search.path {
            if let Some(found) = in_schema(schema, table, context).await? {
                return Ok(found);
            }
        }
        return Err(missing());
    };
    in_schema(schema, table, context).await?.ok_or_else(missing)
}

async fn in_schema<'a>(schema: &str, table: &str, context: &'a Context) -> Result<Option<Found<'a>>> {
    match schema {
        system::SCHEMA => {
            let provider = system::relation(table, context).await?;
            return Ok(provider.map(|provider| Found::Catalog(provider, system::relation_oid(table))));
        }
        system::pg_catalog::SCHEMA => {
            let provider = system::pg_catalog::relation(table, context).await?;
            let oid = facts::shape(facts::PG_CATALOG_OID, table).map(|shape| shape.oid);
            return Ok(provider.map(|provider| Found::Catalog(provider, oid)));
        }
        system::information_schema::SCHEMA => {
            let provider = system::information_schema::relation(table, context).await?;
            let oid = facts::shape(facts::information_schema_oid(), table).map(|shape| shape.oid);
            return Ok(provider.map(|provider| Found::Catalog(provider, oid)));
        }
        views::SCHEMA => return Ok(context.views.get(table).cloned().map(Found::View)),
        schema if *schema == system::objects::temporary_schema(context) => {
            return Ok(context.views.get(table).cloned().map(Found::View));
        }
        _ => {}
    }
    let Some(visible) = context.visible.lookup(schema, table).filter(|product| product.has_table) else {
        if let Some(hidden) = context.visible.hidden(schema, table) {
            context.audit.denied(hidden, Denied::Hidden);
        }
        return Ok(None);
    };
    let product = visible.of(&context.snapshot.catalog);
    Ok(product.map(|product| Found::Product(visible, product)))
}

/// A product's table behind the fence, now or at another time. Policy is today's, and it is about today's columns.
async fn product_table(
    visible: &VisibleProduct<'_>,
    product: &Product,
    asked: Asked,
    context: &Context,
) -> Result<Relation> {
    let location = product.delta_port().and_then(|port| port.location.as_ref());
    let (Access::Read(scope), Some(location)) = (visible.access, location) else {
        context.audit.denied(&product.id, Denied::DiscoverOnly);
        return Err(denied(visible, product));
    };
    context.reads.add(&product.id);
    let name = format!("{}.{}", visible.schema, visible.table);
    let newest = context.table(location).await?;
    let bind = async |scope: &ReadScope, schema: &SchemaRef| {
        let bound = context.mesh.bind_scope(&context.visible, scope, product, &newest, schema).await;
        bound.ok_or_else(|| {
            context.audit.denied(&product.id, Denied::ScopeNotApplicable);
            denied(visible, product)
        })
    };
    let of_table = |table: SecuredTable| -> Relation {
        let oid = context.snapshot.oids().table(&product.id).map(|oids| oids.table);
        let told = told::of_table(&table.schema(), oid, product);
        (Arc::new(table), told)
    };
    let today = bind(scope, &newest.schema).await?;
    let has_rows = matches!(asked, Asked::Rows(_));
    match asked {
        Asked::Rows(None) => {
            context.audit.read(&product.id, &name, newest.version, &today);
            return Ok(of_table(SecuredTable::new(&name, newest.provider(), today)?));
        }
        Asked::History => {
            context.audit.read(&product.id, &name, newest.version, &today);
            let history = travel::history(location, &newest, today.is_whole(), context).await?;
            let told = told::of_relation(&history.schema(), None);
            return Ok((history, told));
        }
        Asked::Rows(Some(_)) | Asked::Changes { .. } => {}
    }
    let (unfenced, version) = travel::unfenced(asked, location, &newest, today.is_whole(), context).await?;
    let then = bind(&travel::scope_then(scope), &unfenced.schema()).await?;
    context.audit.read(&product.id, &name, version, &then);
    let table = SecuredTable::new(&name, unfenced, then)?;
    if has_rows {
        return Ok(of_table(table));
    }
    // changes are no rows of the table
    let told = told::of_relation(&table.schema(), None);
    Ok((Arc::new(table), told))
}

/// What a principal is told who may know of a product but not read it.
fn denied(visible: &VisibleProduct<'_>, product: &Product) -> Error {
    let VisibleProduct { schema, table, .. } = visible;
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for table {table}")).hint(format!(
        "Ask the owner of {}, {}: CALL data_catalog.request_access('{schema}.{table}', 'your purpose')",
        product.id, product.owner
    ))
}

/// Adds the place where the relation stands in the statement, as PostgreSQL does for 42P01.
fn at_relation(error: Error, statement: &Statement, reference: &TableReference, text: &str) -> Error {
    if error.sqlstate() != SqlState::UNDEFINED_TABLE {
        return error;
    }
    match span_of(statement, reference, text) {
        Some(position) => error.position(position),
        None => error,
    }
}

fn span_of(statement: &Statement, reference: &TableReference, text: &str) -> Option<usize> {
    let found = visit_relations(statement, |name: &ObjectName| {
        let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let matches = parts.last().is_some_and(|last| last.value.eq_ignore_ascii_case(reference.table()))
            && (parts.len() < 2
                || reference.schema().is_some_and(|s| parts[parts.len() - 2].value.eq_ignore_ascii_case(s)));
        match parts.first() {
            Some(first) if matches && first.span.start.line > 0 => ControlFlow::Break(first.span.start),
            _ => ControlFlow::Continue(()),
        }
    });
    match found {
        ControlFlow::Break(location) => Some(parse::position(text, location)),
        ControlFlow::Continue(()) => None,
    }
}

/// The types of `$1`, `$2`, … that planning found out, text where it could not. Their metadata names what Arrow has no type
/// of its own for.
pub fn parameter_types(plan: &LogicalPlan, known: &[Option<FieldRef>]) -> Result<Vec<FieldRef>> {
    let inferred = plan.get_parameter_fields().map_err(from_engine)?;
    let cast = types_by_cast(plan)?;
    let mut count = known.len();
    for name in inferred.keys() {
        count = count.max(parameter_number(name)?);
    }
    (1..=count)
        .map(|number| {
            let declared = known.get(number - 1).and_then(Option::as_ref);
            let name = format!("${number}");
            let found = inferred.get(&name).and_then(Option::as_ref).or_else(|| cast.get(&name));
            Ok(declared.or(found).map_or_else(|| parameter_field(DataType::Utf8), Arc::clone))
        })
        .collect()
}

/// `$1::int` says that the parameter is an int (PostgreSQL's `variable_coerce_param_hook`), where nothing else does.
fn types_by_cast(plan: &LogicalPlan) -> Result<HashMap<String, FieldRef>> {
    let mut found: HashMap<String, FieldRef> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::Cast(cast) = part
                    && let Expr::Placeholder(parameter) = cast.expr.as_ref()
                {
                    found.entry(parameter.id.clone()).or_insert_with(|| Arc::clone(&cast.field));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(from_engine)?;
    Ok(found)
}

/// `$7` is 7. PostgreSQL's limit on the number of parameters is 65535.
fn parameter_number(name: &str) -> Result<usize> {
    let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| (1..=65_535).contains(n));
    number.ok_or_else(|| Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}")))
}

/// Puts values in place of the parameters.
pub fn with_parameters(plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
    if values.is_empty() && plan.get_parameter_names().map_err(from_engine)?.is_empty() {
        return Ok(plan);
    }
    let known = plan.get_parameter_names().map_err(from_engine)?;
    for name in known {
        if parameter_number(&name)? > values.len() {
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}")));
        }
    }
    plan.replace_params_with_values(&values.to_vec().into()).map_err(from_engine)
}

/// A parameter's type as the planner takes it.
pub fn parameter_field(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("", data_type, true))
}

/// What the planner may ask: the resolved relations and the list of functions.
pub struct Planner<'a> {
    state: &'a SessionState,
    context: &'a Context,
    sources: HashMap<TableReference, Arc<dyn TableSource>>,
    types: Arc<dyn TypePlanner>,
    relations: [Arc<dyn RelationPlanner>; 1],
}

impl<'a> Planner<'a> {
    /// `text` is what the client sent, for the places of errors.
    pub fn new(
        state: &'a Arc<SessionState>,
        context: &'a Context,
        sources: HashMap<TableReference, Arc<dyn TableSource>>,
        text: &str,
    ) -> Self {
        let types = Arc::new(Types::new(text, state.config_options().execution.time_zone.as_deref()));
        Self { state, context, sources, types, relations: [Arc::new(sets::InFrom::new(state, context))] }
    }
}

/// One name that is none: with an empty list the planner gives up as over an internal failure, instead of saying that
/// the function does not exist.
fn no_names() -> Vec<String> {
    vec![String::new()]
}

/// Functions may be called with `pg_catalog.` in front, and the few that belong to `information_schema` with that.
fn function_name(name: &str) -> &str {
    let in_schema = |schema: &str| name.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.'));
    let in_information_schema = in_schema(system::information_schema::SCHEMA).filter(|rest| rest.starts_with("_pg_"));
    in_schema(system::pg_catalog::SCHEMA).or(in_information_schema).unwrap_or(name)
}

/// Stops at the first query.
struct Queries;

impl Visitor for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

/// The value of an expression that names no table and no column.
fn constant(expression: &SqlExpr, state: &Arc<SessionState>, context: &Context) -> Result<ScalarValue> {
    let not_constant = || {
        Error::new(SqlState::SYNTAX_ERROR, "a version or a timestamp must be a constant")
            .hint("Literals, now(), and arithmetic on them are constant.")
    };
    if expression.visit(&mut Queries).is_break() {
        return Err(not_constant());
    }
    let planner = Planner::new(state, context, HashMap::new(), "");
    let schema = DFSchema::empty();
    let resolved = SqlToRel::new_with_options(&planner, parser_options())
        .sql_to_expr(expression.clone(), &schema, &mut PlannerContext::new())
        .map_err(from_engine)?;
    if resolved.exists(|part| Ok(matches!(part, Expr::Placeholder(_)))).map_err(from_engine)? {
        return Err(travel::no_parameter("a version or a timestamp"));
    }
    let simplifier = simplifier(state, context);
    let folded =
        simplifier.coerce(resolved, &schema).and_then(|expr| simplifier.simplify(expr)).map_err(from_engine)?;
    match folded {
        Expr::Literal(value, _) => Ok(value),
        _ => Err(not_constant()),
    }
}

/// Folds what is constant.
pub fn simplifier(state: &SessionState, context: &Context) -> ExprSimplifier {
    let simplify = SimplifyContext::builder()
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(Some(context.transaction_started))
        .build();
    ExprSimplifier::new(simplify)
}

impl ContextProvider for Planner<'_> {
    fn get_table_source(&self, name: TableReference) -> datafusion::common::Result<Arc<dyn TableSource>> {
        self.sources.get(&name).cloned().ok_or_else(|| {
            let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
            DataFusionError::External(Box::new(error))
        })
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> datafusion::common::Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        postgres::planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = function_name(name);
        catalog_function(name, self.context)
            .or_else(|| quantified::function(name))
            .or_else(|| patterns::function(name))
            .or_else(|| subqueries::array_marker(name))
            .or_else(|| allowed::scalar(self.state, name))
            .or_else(|| {
                // the planner knows of this one by itself
                let is_other = name == "unnest"
                    || self.get_higher_order_meta(name).is_some()
                    || self.get_aggregate_meta(name).is_some()
                    || self.get_window_meta(name).is_some();
                (!is_other).then(|| unknown(name))
            })
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        allowed::higher_order(self.state, function_name(name))
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        allowed::aggregate(self.state, function_name(name))
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        allowed::window(self.state, function_name(name))
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    // Lists of names feed "did you mean" texts only; an error names nothing but what the statement named.
    fn udf_names(&self) -> Vec<String> {
        no_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        no_names()
    }

    fn udaf_names(&self) -> Vec<String> {
        no_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        no_names()
    }
}
