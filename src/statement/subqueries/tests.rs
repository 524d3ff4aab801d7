//! Which subqueries become joins, which are applied, and what they give.

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::*;
use crate::access::lint;
use crate::apply::{ApplyPlanner, prepare};

/// The physical plan of a query in the engine's dialect.
async fn planned(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let state = context.state();
    let plan = state.create_logical_plan(sql).await.unwrap();
    let mut analyzer = state.analyzer().clone();
    analyzer.rules.push(Arc::new(Subqueries));
    let plan = analyzer.execute_and_check(plan, state.config_options(), |_, _| {}).unwrap();
    let plan = prepare(state.optimizer().optimize(plan, &state, |_, _| {}).unwrap()).unwrap();
    let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(ApplyPlanner)]);
    planner.create_physical_plan(&plan, &state).await.unwrap()
}

/// The plan as text, and the values.
async fn answer(sql: &str) -> (String, Result<Vec<String>>) {
    let context = SessionContext::new();
    let plan = planned(&context, sql).await;
    lint::lint(&plan).unwrap();
    let text = displayable(plan.as_ref()).indent(true).to_string();
    let rows = datafusion::physical_plan::collect(plan, context.task_ctx()).await.map(|batches| {
        let table = pretty_format_batches(&batches).unwrap().to_string();
        let rows = table.lines().skip(3).filter(|line| line.starts_with('|'));
        let cells = |row: &str| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" ");
        rows.map(|row| cells(row).trim_end().to_owned()).collect()
    });
    (text, rows)
}

const ROWS: &str = "(values (1), (2), (3)) as t (x)";
const MORE: &str = "(values (1, 10), (1, 20), (2, 30)) as u (x, z)";

#[tokio::test]
async fn what_can_be_a_hash_join_is_one() {
    for (what, expected) in [
        (format!("exists (select 1 from {MORE} where u.x = t.x)"), ["1 true", "2 true", "3 false"]),
        (format!("(select z from {MORE} where u.x = t.x and z > 10)"), ["1 20", "2 30", "3"]),
        (format!("(select z from {MORE} where u.x = t.x order by z desc limit 1)"), ["1 20", "2 30", "3"]),
        (format!("x in (select u.x from {MORE})"), ["1 true", "2 true", "3 false"]),
        (format!("(select count(*) from {MORE} where u.x = t.x)"), ["1 2", "2 1", "3 0"]),
    ] {
        let (plan, rows) = answer(&format!("select x, {what} from {ROWS} order by x")).await;
        assert!(!plan.contains("ApplyExec") && plan.contains("HashJoinExec"), "{what}: {plan}");
        assert_eq!(rows.unwrap(), expected, "{what}");
    }
}

#[tokio::test]
async fn what_cannot_is_applied() {
    for (what, expected) in [
        (format!("(select z from {MORE} where u.x = t.x order by z limit 1 offset 1)"), ["1 20", "2", "3"]),
        (format!("(select z from {MORE} where u.x < t.x order by z desc limit 1)"), ["1", "2 20", "3 30"]),
        (format!("x in (select u.x from {MORE} where u.z > t.x * 10)"), ["1 true", "2 true", "3 false"]),
        (format!("exists (select 1 from {MORE} where u.x > t.x)"), ["1 true", "2 false", "3 false"]),
        (
            format!("(select (select max(z) from {MORE} where u.x = t.x and z > s.n) from (values (15)) as s (n))"),
            ["1 20", "2 30", "3"],
        ),
    ] {
        let (plan, rows) = answer(&format!("select x, {what} from {ROWS} order by x")).await;
        assert!(plan.contains("ApplyExec"), "{what}: {plan}");
        assert_eq!(rows.unwrap(), expected, "{what}");
    }
}

#[tokio::test]
async fn lateral_subqueries_give_rows() {
    for (sql, expected) in [
        (
            format!(
                "select t.x, l.z from {ROWS}, lateral (select z from {MORE} where u.x >= t.x order by z limit 1) l order by 1"
            ),
            &["1 10", "2 30"][..],
        ),
        (
            format!(
                "select t.x, l.z from {ROWS} left join lateral (select z from {MORE} where u.x > t.x) l on l.z > 20 order by 1"
            ),
            &["1 30", "2", "3"],
        ),
    ] {
        let (_, rows) = answer(&sql).await;
        assert_eq!(rows.unwrap(), expected, "{sql}");
    }
}

#[tokio::test]
async fn what_is_run_for_each_row_is_looked_at_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let context = SessionContext::new();
    let copy = format!("copy (values (1), (2)) to '{}/rows.parquet' stored as parquet", folder.path().display());
    let sink = planned(&context, &copy).await;
    datafusion::physical_plan::collect(sink, context.task_ctx()).await.unwrap();
    let file = folder.path().join("rows.parquet");
    context.register_parquet("files", file.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    for condition in ["column1 < x", "column1 + 0 = x and column1 <> x * 2"] {
        let sql =
            format!("select x, c from {ROWS}, lateral (select column1 as c from files where {condition} limit 1) as l");
        let plan = planned(&context, &sql).await;
        assert!(displayable(plan.as_ref()).indent(true).to_string().contains("ApplyExec"), "{condition}");
        assert!(lint::lint(&plan).is_err(), "{condition}");
    }
}

#[tokio::test]
async fn a_value_is_of_one_row() {
    for condition in ["u.x = t.x", "u.x <= t.x"] {
        let (_, rows) = answer(&format!("select (select z from {MORE} where {condition}) from {ROWS}")).await;
        let error = crate::statement::from_engine(rows.unwrap_err());
        assert_eq!(error.sqlstate(), SqlState::CARDINALITY_VIOLATION, "{condition}");
    }
    // what is not asked for may have as many as it likes
    let (_, rows) = answer(&format!(
        "select case when x < 2 then 0 else (select z from {MORE} where u.x = t.x) end from {ROWS} order by x"
    ))
    .await;
    assert_eq!(rows.unwrap(), ["0", "30", ""]);
}
