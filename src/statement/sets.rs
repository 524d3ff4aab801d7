//! Set-returning functions in a query: where they may stand, and how a plan takes their rows apart.
//!
//! PostgreSQL 15, sections 7.2.1.4 "Table Functions" and 38.5.8 "SQL Functions Returning Sets". A call becomes an array
//! ([`functions::sets`](super::functions::sets)) that the plan unnests: in a SELECT list by the engine's own UNNEST, in
//! FROM by the relation planner here. A function in FROM sees the relations that stand before it.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, NullHandling, Result as EngineResult, TableReference, UnnestOptions};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, cast, lit};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Distinct, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, Join, JoinOperator, ObjectName, ObjectNamePart, OrderByKind, Query, Select,
    SelectItem, SetExpr, Statement, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::context::Context;
use super::functions::call::to_engine;
use super::functions::sets::{ROWS, Set, ordinality};
use super::names::fold;
use super::{allowed, bind};
use crate::error::{Error, Result, SqlState};

const PG_CATALOG: &str = "pg_catalog";
/// The function that the view `pg_settings` shows.
const ALL_SETTINGS: &str = "pg_show_all_settings";

/// The statement with every set-returning call made into an array that is unnested. What may not return sets is refused.
///
/// # Errors
/// `0A000` for a set-returning function where PostgreSQL allows none.
pub fn set_apart(statement: &mut Statement) -> Result<()> {
    match VisitMut::visit(statement, &mut SetApart) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct SetApart;

impl VisitorMut for SetApart {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(expressions) = &mut order_by.kind
        {
            for expression in expressions {
                unnested(&mut expression.expr)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        refused(select.selection.as_ref(), "WHERE")?;
        refused(select.having.as_ref(), "HAVING")?;
        alone_in_from(select);
        let listed = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
                has_set(expression)
            }
            _ => false,
        };
        if matches!(select.distinct, Some(Distinct::On(_))) && select.projection.iter().any(listed) {
            let error = Error::unsupported("set-returning functions are not supported beside DISTINCT ON")
                .hint("Call them in FROM, or in a subquery in FROM.");
            return ControlFlow::Break(error);
        }
        for item in &mut select.projection {
            select_item(item)?;
        }
        select.from.iter_mut().for_each(|from| from.joins.iter_mut().for_each(beside_the_left));
        if let GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            for expression in expressions {
                unnested(expression)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            table_with_joins.joins.iter_mut().for_each(beside_the_left);
        }
        function_in_from(factor)
    }

    /// What is still there as it was written stands in no SELECT list.
    fn pre_visit_expr(&mut self, expression: &mut SqlExpr) -> ControlFlow<Error> {
        let SqlExpr::Function(function) = expression else { return ControlFlow::Continue(()) };
        if set_of(&function.name).is_some() && !is_unnested(function) {
            return not_allowed("this context");
        }
        ControlFlow::Continue(())
    }
}

fn not_allowed(place: &str) -> ControlFlow<Error> {
    ControlFlow::Break(Error::unsupported(format!("set-returning functions are not allowed in {place}")))
}

/// The set-returning function behind a name.
fn set_of(name: &ObjectName) -> Option<Set> {
    let parts: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
    match parts?.as_slice() {
        [name] => Set::named(None, &fold(name)),
        [schema, name] => Set::named(Some(&fold(schema)), &fold(name)),
        _ => None,
    }
}

/// Whether it is an UNNEST that was made here.
fn is_unnested(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Function(inner)))] = list.args.as_slice() else {
        return false;
    };
    matches!(inner.name.0.as_slice(), [ObjectNamePart::Identifier(name)] if name.value.ends_with(ROWS))
}

/// Refuses a clause that calls a set-returning function, subqueries in it apart.
fn refused(clause: Option<&SqlExpr>, name: &str) -> ControlFlow<Error> {
    match clause {
        Some(clause) if has_set(clause) => not_allowed(name),
        _ => ControlFlow::Continue(()),
    }
}

/// Whether an expression calls a set-returning function, subqueries in it apart.
fn has_set(expression: &SqlExpr) -> bool {
    struct Finder(usize);
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expression: &SqlExpr) -> ControlFlow<()> {
            match expression {
                SqlExpr::Function(function) if self.0 == 0 && set_of(&function.name).is_some() => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expression.visit(&mut Finder(0)).is_break()
}

/// `SELECT generate_series(1, 1000000)` is what it is in FROM, where its rows are made as they are wanted.
fn alone_in_from(select: &mut Select) {
    let alone =
        select.from.is_empty() && matches!(select.group_by, GroupByExpr::Expressions(ref all, _) if all.is_empty());
    let [SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. }] =
        select.projection.as_mut_slice()
    else {
        return;
    };
    let SqlExpr::Function(function) = expression else { return };
    if !alone || set_of(&function.name) != Some(Set::Series) {
        return;
    }
    let name = hidden_ident(&Set::Series.list_name());
    let alias = alias_of(name.clone());
    let FunctionArguments::List(arguments) = function.args.clone() else { return };
    let function_name = function.name.clone();
    *expression = SqlExpr::Identifier(name);
    let relation = TableFactor::Function {
        lateral: false,
        name: function_name,
        args: arguments.args,
        with_ordinality: false,
        alias: Some(alias),
    };
    select.from = vec![datafusion::sql::sqlparser::ast::TableWithJoins { relation, joins: Vec::new() }];
    if let [item @ SelectItem::UnnamedExpr(_)] = select.projection.as_mut_slice() {
        let SelectItem::UnnamedExpr(expr) = item.clone() else { return };
        *item = SelectItem::ExprWithAlias { expr, alias: hidden_ident(Set::Series.name()) };
    }
}

/// A name in quotes, so that it stays as it is.
fn hidden_ident(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// A column of a SELECT list with its sets unnested.
fn select_item(item: &mut SelectItem) -> ControlFlow<Error> {
    match item {
        SelectItem::UnnamedExpr(expression) => {
            let name = name_of_set(expression);
            unnested(expression)?;
            if let Some(name) = name {
                *item = SelectItem::ExprWithAlias { expr: expression.clone(), alias: hidden_ident(&name) };
            }
        }
        SelectItem::ExprWithAlias { expr, .. } => unnested(expr)?,
        _ => {}
    }
    ControlFlow::Continue(())
}

/// The set-returning function that an expression is a call of.
fn bare_set(expression: &SqlExpr) -> Option<Set> {
    match expression {
        SqlExpr::Nested(inner) => bare_set(inner),
        SqlExpr::Function(function) => set_of(&function.name),
        _ => None,
    }
}

/// The column name of a call, or of one field of its records.
fn name_of_set(expression: &SqlExpr) -> Option<String> {
    match expression {
        SqlExpr::CompoundFieldAccess { root, access_chain } => match access_chain.as_slice() {
            [AccessExpr::Dot(SqlExpr::Identifier(field))] if bare_set(root).is_some() => Some(fold(field)),
            _ => None,
        },
        other => bare_set(other).map(|set| set.name().to_owned()),
    }
}

/// Puts each set-returning call of an expression, subqueries apart, into an UNNEST.
fn unnested(expression: &mut SqlExpr) -> ControlFlow<Error> {
    struct Unnest(usize);
    impl VisitorMut for Unnest {
        type Break = Error;
        fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expression: &mut SqlExpr) -> ControlFlow<Error> {
            let place = match expression {
                SqlExpr::Case { .. } => "CASE",
                SqlExpr::Function(function) if is_named(function, "coalesce") => "COALESCE",
                _ => return ControlFlow::Continue(()),
            };
            if self.0 == 0 && has_set(expression) { not_allowed(place) } else { ControlFlow::Continue(()) }
        }
        fn post_visit_expr(&mut self, expression: &mut SqlExpr) -> ControlFlow<Error> {
            if self.0 == 0
                && let SqlExpr::Function(function) = expression
                && let Some(set) = set_of(&function.name)
                && !is_unnested(function)
            {
                let name = if asks(function) { set.list_name_of(&function.to_string()) } else { set.list_name() };
                function.name = ObjectName::from(vec![hidden_ident(&name)]);
                let list = expression.clone();
                *expression = call(Set::Unnest.name(), list);
            }
            ControlFlow::Continue(())
        }
    }
    // most expressions call none, and are not looked at twice
    if has_set(expression) { VisitMut::visit(expression, &mut Unnest(0)) } else { ControlFlow::Continue(()) }
}

/// Whether a subquery is among the arguments. All have one name.
fn asks(function: &Function) -> bool {
    struct Subqueries;
    impl Visitor for Subqueries {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    Visit::visit(&function.args, &mut Subqueries).is_break()
}

fn is_named(function: &Function, name: &str) -> bool {
    function.name.0.last().and_then(ObjectNamePart::as_ident).is_some_and(|last| fold(last) == name)
}

fn call(name: &str, argument: SqlExpr) -> SqlExpr {
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(argument));
    SqlExpr::Function(function(ObjectName::from(vec![hidden_ident(name)]), vec![argument]))
}

fn function(name: ObjectName, args: Vec<FunctionArg>) -> Function {
    Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// A function on the right of RIGHT JOIN or FULL JOIN does not see the left side: it becomes a subquery of its own.
fn beside_the_left(join: &mut Join) {
    if !matches!(join.join_operator, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_))
    {
        return;
    }
    let alias = match &join.relation {
        TableFactor::Table { name, args: Some(_), alias, .. } | TableFactor::Function { name, alias, .. } => {
            alias.clone().or_else(|| name.0.last().and_then(ObjectNamePart::as_ident).cloned().map(alias_of))
        }
        TableFactor::UNNEST { alias, .. } => alias.clone().or_else(|| Some(alias_of(Ident::new("unnest")))),
        _ => return,
    };
    let Ok(mut selects) = Parser::parse_sql(&PostgreSqlDialect {}, "SELECT * FROM x") else { return };
    if let Some(Statement::Query(mut query)) = selects.pop()
        && let SetExpr::Select(select) = query.body.as_mut()
        && let [from] = select.from.as_mut_slice()
    {
        from.relation = join.relation.clone();
        let alias = alias.map(|alias| alias_of(alias.name));
        join.relation = TableFactor::Derived { lateral: false, subquery: query, alias, sample: None };
    }
}

fn alias_of(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

/// Whether this is the name of a function of PostgreSQL's, with or without its schema.
fn is_of_catalog(name: &ObjectName, function: &str) -> bool {
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(fold)).collect();
    match parts.as_deref() {
        Some([schema, asked]) => schema == PG_CATALOG && asked == function,
        Some([asked]) => asked == function,
        _ => false,
    }
}

/// A function in FROM, whichever way it is written, as UNNEST of calls: of the arrays of sets, of single values else.
fn function_in_from(factor: &mut TableFactor) -> ControlFlow<Error> {
    if let TableFactor::Table { name, args: args @ Some(_), alias, .. } = factor
        && args.as_ref().is_some_and(|given| given.args.is_empty())
        && is_of_catalog(name, ALL_SETTINGS)
    {
        *name = ObjectName::from(vec![Ident::new(PG_CATALOG), Ident::new("pg_settings")]);
        *args = None;
        alias.get_or_insert_with(|| alias_of(Ident::new(ALL_SETTINGS)));
        return ControlFlow::Continue(());
    }
    let (array_exprs, alias, with_ordinality) = match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            let args = std::mem::take(&mut args.args);
            (vec![called(name.clone(), args)], alias.take(), *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            (vec![called(name.clone(), std::mem::take(args))], alias.take(), *with_ordinality)
        }
        TableFactor::UNNEST { array_exprs, alias, with_ordinality, with_offset: false, .. } => {
            let arrays = std::mem::take(array_exprs);
            let arrays = arrays.into_iter().map(|array| call(&Set::Unnest.list_name(), array));
            (arrays.collect(), alias.take(), *with_ordinality)
        }
        TableFactor::UNNEST { with_offset: true, .. } => {
            let message = "syntax error at or near \"OFFSET\"";
            return ControlFlow::Break(Error::new(SqlState::SYNTAX_ERROR, message));
        }
        _ => return ControlFlow::Continue(()),
    };
    // the ordinality is marked where no client can say it: other rewritings know WITH ORDINALITY in their own way
    *factor = TableFactor::UNNEST {
        alias,
        array_exprs,
        with_offset: with_ordinality,
        with_offset_alias: None,
        with_ordinality: false,
    };
    ControlFlow::Continue(())
}

fn called(name: ObjectName, args: Vec<FunctionArg>) -> SqlExpr {
    let name = match set_of(&name) {
        Some(set) => ObjectName::from(vec![hidden_ident(&set.list_name())]),
        None => name,
    };
    SqlExpr::Function(function(name, args))
}

/// Plans functions in FROM.
pub struct InFrom {
    state: Arc<SessionState>,
    context: Context,
}

impl std::fmt::Debug for InFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InFrom")
    }
}

impl InFrom {
    pub fn new(state: &Arc<SessionState>, context: &Context) -> Self {
        Self { state: Arc::clone(state), context: context.clone() }
    }
}

/// One call in FROM: the columns that it gives, and its rows as an array.
struct Call {
    set: Option<Set>,
    name: String,
    rows: Expr,
    /// Each element of the array.
    item: Field,
}

impl RelationPlanner for InFrom {
    fn plan_relation(
        &self,
        relation: TableFactor,
        planner: &mut dyn RelationPlannerContext,
    ) -> EngineResult<RelationPlanning> {
        let TableFactor::UNNEST { alias, array_exprs, with_offset: with_ordinality, .. } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (table, given) = match alias {
            Some(alias) => {
                let columns = alias.columns.into_iter().map(|column| planner.normalize_ident(column.name)).collect();
                (Some(planner.normalize_ident(alias.name)), columns)
            }
            None => (None, Vec::new()),
        };
        let mut calls = Vec::with_capacity(array_exprs.len());
        for expression in array_exprs {
            calls.push(self.call(expression, planner)?);
        }
        let names = column_names(&calls, table.as_deref(), given);
        let table = table.unwrap_or_else(|| calls.first().map_or_else(String::new, |call| call.name.clone()));
        let plan = match self.series(&calls, with_ordinality)? {
            Some(plan) => named(plan, &names)?,
            None => unnest(&calls, with_ordinality, &names)?,
        };
        let plan = LogicalPlanBuilder::from(plan).alias(TableReference::bare(table))?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

impl InFrom {
    fn call(&self, expression: SqlExpr, planner: &mut dyn RelationPlannerContext) -> EngineResult<Call> {
        let SqlExpr::Function(function) = &expression else {
            return Err(to_engine(Error::unsupported("only functions can be called in FROM")));
        };
        let last = function.name.0.last().and_then(ObjectNamePart::as_ident);
        let name = last.map(|ident| planner.normalize_ident(ident.clone())).unwrap_or_default();
        let set = name.strip_suffix(ROWS).and_then(|name| Set::named(None, name));
        let name = name.strip_suffix(ROWS).unwrap_or(&name).to_owned();
        let schema = DFSchema::empty();
        let value = planner.sql_to_expr(expression, &schema)?;
        if set.is_some() {
            let field = value.to_field(&schema)?.1;
            let DataType::List(item) = field.data_type() else {
                return Err(to_engine(Error::internal("a set-returning function gives an array")));
            };
            return Ok(Call { set, name, rows: value, item: item.as_ref().clone() });
        }
        // one value is one row
        let item = value.to_field(&schema)?.1.as_ref().clone();
        let Some(make_array) = allowed::scalar(&self.state, "make_array") else {
            return Err(to_engine(Error::internal("make_array is not there")));
        };
        Ok(Call { set, name, rows: make_array.call(vec![value]), item })
    }

    /// A series between constants is made row by row, however long it is.
    fn series(&self, calls: &[Call], with_ordinality: bool) -> EngineResult<Option<LogicalPlan>> {
        let [Call { set: Some(Set::Series), rows: Expr::ScalarFunction(series), item, .. }] = calls else {
            return Ok(None);
        };
        if with_ordinality
            || !item.data_type().is_integer()
            || !self.state.table_functions().contains_key("generate_series")
        {
            return Ok(None);
        }
        let simplifier = bind::simplifier(&self.state, &self.context);
        let mut ends = Vec::with_capacity(series.args.len());
        for end in &series.args {
            if !end.column_refs().is_empty() || end.contains_outer() {
                return Ok(None);
            }
            match simplifier.simplify(cast(end.clone(), DataType::Int64))? {
                Expr::Literal(datafusion::common::ScalarValue::Int64(Some(end)), _) => ends.push(end),
                _ => return Ok(None),
            }
        }
        let Some(function) = allowed::table(&self.state, "generate_series").filter(|_| ends.get(2) != Some(&0)) else {
            return Ok(None);
        };
        let ends: Vec<Expr> = ends.into_iter().map(lit).collect();
        let arguments = datafusion::catalog::TableFunctionArgs::new(&ends, self.state.as_ref());
        let source = provider_as_source(function.create_table_provider_with_args(arguments)?);
        let scan = LogicalPlanBuilder::scan("generate_series()", source, None)?;
        let value = scan.schema().columns().into_iter().next().map(Expr::Column);
        let value = value.ok_or_else(|| to_engine(Error::internal("a series has a column")))?;
        Ok(Some(scan.project(vec![cast(value, item.data_type().clone()).alias("value")])?.build()?))
    }
}

/// The plan whose functions in FROM are lateral only where they refer to what stands before them. One that refers to a
/// query around its own is a part of its query like any other.
///
/// # Errors
/// When the engine cannot put the plan together again.
pub fn inlined(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let rewritten = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::Join(mut join) => {
            join.left = Arc::new(opened(Arc::unwrap_or_clone(join.left))?.data);
            if !sees(&join.right, join.left.schema()) {
                join.right = Arc::new(opened(Arc::unwrap_or_clone(join.right))?.data);
            }
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        // what it names was decided about with it
        LogicalPlan::SubqueryAlias(_) => Ok(Transformed::no(node)),
        other => other.map_children(opened),
    });
    rewritten.data()
}

/// Whether a lateral relation refers to columns of these.
fn sees(relation: &LogicalPlan, columns: &DFSchema) -> bool {
    let subquery = match relation {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        other => other,
    };
    let LogicalPlan::Subquery(subquery) = subquery else { return false };
    subquery
        .outer_ref_columns
        .iter()
        .any(|column| matches!(column, Expr::OuterReferenceColumn(_, column) if columns.has_column(column)))
}

/// The plan in a lateral relation.
fn opened(plan: LogicalPlan) -> EngineResult<Transformed<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Subquery(subquery) => Transformed::yes(Arc::unwrap_or_clone(subquery.subquery)),
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => {
                let alias = SubqueryAlias::try_new(Arc::clone(&subquery.subquery), alias.alias.clone())?;
                Transformed::yes(LogicalPlan::SubqueryAlias(alias))
            }
            _ => Transformed::no(LogicalPlan::SubqueryAlias(alias)),
        },
        other => Transformed::no(other),
    })
}

/// The given names, then a function's own: that of the alias for a single value, those of a record's columns.
fn column_names(calls: &[Call], alias: Option<&str>, given: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for call in calls {
        match call.set.map_or(&[][..], Set::columns) {
            [] => {
                let own = call.set.and_then(Set::column);
                let name = own.or_else(|| alias.filter(|_| calls.len() == 1)).unwrap_or(&call.name);
                names.push(name.to_owned());
            }
            columns => names.extend(columns.iter().map(|column| (*column).to_owned())),
        }
    }
    names.push("ordinality".to_owned());
    for (name, given) in names.iter_mut().zip(given) {
        *name = given;
    }
    names
}

fn named(plan: LogicalPlan, names: &[String]) -> EngineResult<LogicalPlan> {
    let columns: Vec<Expr> =
        plan.schema().columns().into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name)).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Row by row what the calls return side by side, the shorter ones filled up with NULL.
fn unnest(calls: &[Call], with_ordinality: bool, names: &[String]) -> EngineResult<LogicalPlan> {
    let place = |index: usize| format!("rows {index}");
    let mut lists: Vec<Expr> = Vec::with_capacity(calls.len() + 1);
    let all: Vec<Expr> = calls.iter().map(|call| call.rows.clone()).collect();
    lists.extend(all.iter().cloned().enumerate().map(|(index, rows)| rows.alias(place(index))));
    if with_ordinality {
        lists.push(ordinality().call(all).alias(place(calls.len())));
    }
    let places: Vec<Column> = (0..lists.len()).map(|index| Column::from_name(place(index))).collect();
    let options = UnnestOptions::new().with_null_handling(NullHandling::Drop);
    let plan = LogicalPlanBuilder::empty(true).project(lists)?.unnest_columns_with_options(places, options)?.build()?;
    let mut columns: Vec<Expr> = Vec::with_capacity(names.len());
    let field_of = datafusion::functions::core::get_field();
    for (index, call) in calls.iter().enumerate() {
        let value = Expr::Column(Column::from_name(place(index)));
        match call.item.data_type() {
            DataType::Struct(fields) if call.set.is_some() => {
                columns.extend(
                    fields.iter().map(|field| {
                        with_metadata(field_of.call(vec![value.clone(), lit(field.name().clone())]), field)
                    }),
                );
            }
            _ => columns.push(with_metadata(value, &call.item)),
        }
    }
    if with_ordinality {
        columns.push(Expr::Column(Column::from_name(place(calls.len()))));
    }
    let columns: Vec<Expr> = columns.into_iter().zip(names).map(|(column, name)| rename(column, name)).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The engine forgets what an array's elements say of their type.
fn with_metadata(value: Expr, field: &Field) -> Expr {
    if field.metadata().is_empty() {
        return value;
    }
    value.alias_with_metadata(field.name(), Some(FieldMetadata::from(field.metadata().clone())))
}

fn rename(column: Expr, name: &str) -> Expr {
    match column {
        Expr::Alias(mut alias) => {
            name.clone_into(&mut alias.name);
            Expr::Alias(alias)
        }
        other => other.alias(name),
    }
}
