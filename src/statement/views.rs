//! Temporary views: queries that a session gave names to.
//!
//! A view is kept as it was written and bound anew by each statement that uses it, with the policy and the versions of that
//! statement: whoever loses access to a table loses it in views too. Names in it are looked for where they were when it was
//! made. It belongs to its session; nothing but the session's own statements ever looks for it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Column;
use datafusion::datasource::{TableProvider, ViewTable};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as DfStatement;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::bind::{self, Bound, Search};
use super::context::Context;
use super::fault::from_engine;
use super::system::oids::VisibleOids;
use super::told::{self, Told};
use super::{names, run};
use crate::error::{Error, Result, SqlState};

/// The schema of a session's views, which is searched first (PostgreSQL 15, 20.11.1 "search_path").
pub const SCHEMA: &str = "pg_temp";
/// How many views a session may have.
const VIEWS_MAX: usize = 1_000;
/// How deeply views may name each other.
const NESTING_MAX: usize = 32;

/// CREATE TEMPORARY VIEW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    /// Names for the first columns; the query names the others.
    pub columns: Vec<String>,
    pub query: Box<DfStatement>,
    pub or_replace: bool,
}

/// One view.
pub struct View {
    definition: Definition,
    /// What the client sent when it made the view.
    text: Arc<str>,
    /// The schemas in which its names are looked for.
    path: Vec<String>,
    /// Names and types when it was made.
    schema: SchemaRef,
    /// Given back when nobody holds the view any more.
    room: Arc<dyn Any + Send + Sync>,
}

/// The views of a session at one moment. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Views(Arc<BTreeMap<String, Arc<View>>>);

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({})", self.definition.name)
    }
}

impl View {
    /// Names and types when it was made.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The query that it stands for, as SQL.
    pub fn query(&self) -> String {
        self.definition.query.to_string()
    }
}

impl Views {
    pub fn get(&self, name: &str) -> Option<&Arc<View>> {
        self.0.get(name)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &View)> {
        self.0.iter().map(|(name, view)| (name.as_str(), view.as_ref()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `false` when there is no view of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        Arc::make_mut(&mut self.0).remove(name).is_some()
    }

    pub fn clear(&mut self) {
        self.0 = Arc::default();
    }
}

/// The views with one more, or with one replaced. `room` is what it takes of the session.
///
/// # Errors
/// `42P07` when there is a view of the name that is not to be replaced, `42P16` when a replacement has other columns,
/// `42P17` when views would be made of themselves, and what binding the query gives.
pub async fn define(
    definition: Definition,
    text: &Arc<str>,
    room: Arc<dyn Any + Send + Sync>,
    context: &Context,
) -> Result<Views> {
    let existing = context.views.get(&definition.name).cloned();
    if existing.is_some() && !definition.or_replace {
        let message = format!("relation \"{}\" already exists", definition.name);
        return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
    }
    if existing.is_none() && context.views.0.len() >= VIEWS_MAX {
        let message = format!("a session may have {VIEWS_MAX} temporary views");
        return Err(
            Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message).hint("Drop the ones that are no longer used.")
        );
    }
    let (text, planning) = (Arc::clone(text), context.clone());
    let defining = async move {
        let name = definition.name.clone();
        let path = planning.search_path();
        let no_columns = SchemaRef::new(datafusion::arrow::datatypes::Schema::empty());
        let view = View { definition, text, path, schema: no_columns, room };
        let mut views = planning.views.clone();
        Arc::make_mut(&mut views.0).insert(name.clone(), Arc::new(view));
        // under its own name, so that a view made of itself is noticed
        let planning = Context { views, ..planning };
        let state = bind::state(&planning);
        let view = planning.views.0.get(&name).cloned().ok_or_else(|| Error::internal("a view that was just made"))?;
        let search = Search::of(&planning);
        let planned = plan(&view, &search, &state, true).await;
        let (plan, told) = planned.inspect_err(|_| planning.audit.record_denials(&planning))?;
        planning.audit.record_description(&planning).await?;
        if let Some(parameter) = plan.get_parameter_names().map_err(from_engine)?.into_iter().next() {
            let message = format!("there is no parameter {parameter}");
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message));
        }
        let analysed = run::analyse(&Bound { plan, told: Arc::clone(&told), state })?;
        let schema = told::columns(analysed.schema().as_arrow(), &told);
        if let Some(existing) = &existing {
            same_columns(&existing.schema, &schema)?;
        }
        let mut views = planning.views.clone();
        let made = View {
            definition: view.definition.clone(),
            text: Arc::clone(&view.text),
            path: view.path.clone(),
            schema,
            room: Arc::clone(&view.room),
        };
        Arc::make_mut(&mut views.0).insert(name, Arc::new(made));
        Ok(views)
    };
    context.mesh.engine.plan(defining.boxed()).await
}

/// Columns may be added at the end, and nothing else (PostgreSQL's `checkViewTupleDesc`).
fn same_columns(old: &SchemaRef, new: &SchemaRef) -> Result<()> {
    let refuse = |message: String| Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, message));
    if new.fields().len() < old.fields().len() {
        return refuse("cannot drop columns from view".to_owned());
    }
    for (old, new) in old.fields().iter().zip(new.fields()) {
        if old.name() != new.name() {
            return refuse(format!("cannot change name of view column \"{}\" to \"{}\"", old.name(), new.name()));
        }
        if old.data_type() != new.data_type() {
            return refuse(format!("cannot change data type of view column \"{}\"", old.name()));
        }
    }
    Ok(())
}

/// The view as a relation for the statement that `search` is about.
pub fn relation<'a>(
    view: &'a View,
    search: &'a Search<'a>,
    state: &'a Arc<SessionState>,
) -> BoxFuture<'a, Result<Arc<dyn TableProvider>>> {
    async move {
        let (plan, _) = plan(view, search, state, false).await?;
        Ok(Arc::new(ViewTable::new(plan, None)) as Arc<dyn TableProvider>)
    }
    .boxed()
}

/// `first` where the client sent the view's own text just now, so that places in it mean something to the client.
async fn plan(
    view: &View,
    search: &Search<'_>,
    state: &Arc<SessionState>,
    first: bool,
) -> Result<(LogicalPlan, told::Columns)> {
    let name = &view.definition.name;
    if search.within.contains(name) {
        let message = format!("infinite recursion detected in rules for relation \"{name}\"");
        return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message));
    }
    if search.within.len() >= NESTING_MAX {
        let message = format!("views may name each other {NESTING_MAX} levels deep");
        return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message));
    }
    let within = [search.within.as_slice(), std::slice::from_ref(name)].concat();
    let inner = Search { context: search.context, path: view.path.clone(), within };
    let planned = bind::plan(&view.definition.query, &view.text, Vec::new(), &inner, state).await;
    let (plan, told) = planned.map_err(|error| if first { error } else { error.without_position() })?;
    let oid = VisibleOids::new(search.context).relation(SCHEMA, name);
    Ok((named(plan, &told, oid, &view.definition)?, told))
}

/// The plan with its columns named as PostgreSQL would name the view's, whose OID is `oid`, and carrying what is told of
/// them.
fn named(plan: LogicalPlan, told: &[Told], oid: Option<u32>, definition: &Definition) -> Result<LogicalPlan> {
    let engine_names = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut names = match definition.query.as_ref() {
        DfStatement::Statement(statement) => names::column_names(statement, engine_names),
        _ => engine_names,
    };
    if definition.columns.len() > names.len() {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(Error::new(SqlState::SYNTAX_ERROR, message));
    }
    for (name, given) in names.iter_mut().zip(&definition.columns) {
        name.clone_from(given);
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        let message = format!("column \"{twice}\" specified more than once");
        return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
    }
    let told = told::of_view(told, oid, plan.schema());
    let columns = plan.schema().iter().zip(&names).zip(told);
    let columns: Vec<Expr> = columns
        .map(|((field, name), told)| Expr::Column(Column::from(field)).alias_with_metadata(name, Some(told)))
        .collect();
    LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_engine)
}
