//! Runs a contract's checks against one version of its table, and turns the counts into scores.
//!
//! All counts of rows and values come from one aggregate scan. Distinct values are counted by a grouping per key,
//! which spills to disk where a distinct count would not; it reads the key's columns only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::functions_aggregate::count::count_all;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, Expr, ident};
use tokio::time::timeout;

use super::{CheckResult, Measurement, Outcome, QualityStatus};
use crate::catalog::model::{CheckKind, CheckSeverity, Product, QualityCheck};
use crate::delta::TableSnapshot;

/// How long one query of a measurement may take before its checks are unevaluated.
const QUERY_TIMEOUT: Duration = Duration::from_mins(10);

/// Measures one version of a product's table. `state` is the engine's own, unsecured session; its runtime must use the
/// tables' store registry. What cannot be counted is unevaluated, so this never fails. Cancel safe.
pub async fn measure(
    product: &Product,
    table: &TableSnapshot,
    state: &SessionState,
    now: DateTime<Utc>,
) -> Measurement {
    let mut measurement = Measurement {
        delta_version: Some(table.version),
        newest_version: Some(table.version),
        measured_at: Some(now),
        last_data_commit: table.last_data_commit,
        results: run_checks(product, table.provider(), state).await,
        ..Measurement::pending(None)
    };
    assess_freshness(&mut measurement, product, now);
    measurement
}

/// Judges freshness by the clock and sums up; needs no table. Call it again as time passes.
pub fn assess_freshness(measurement: &mut Measurement, product: &Product, now: DateTime<Utc>) {
    let score = freshness(product.sla.freshness_limit, measurement.last_data_commit, now);
    for (check, result) in product.quality_checks.iter().zip(&mut measurement.results) {
        if is_freshness(check) {
            result.outcome = score.clone();
        }
    }
    measurement.results.truncate(product.quality_checks.len());
    let declared = product.quality_checks.iter().any(is_freshness);
    if product.sla.freshness_limit.is_some() && !declared {
        measurement.results.push(CheckResult {
            name: "freshness".into(),
            kind: "freshness".into(),
            dimension: "timeliness",
            column: None,
            // a late product is late; it does not become wrong
            severity: CheckSeverity::Warning,
            threshold: Some(1.0),
            outcome: score,
        });
    }
    sum_up(measurement);
}

/// `min(1, sla / age)`, where age is the time since the last commit that changed data.
fn freshness(limit: Option<Duration>, last_data_commit: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Outcome {
    let Some(limit) = limit else { return Outcome::Unevaluated("the contract promises no freshness".into()) };
    let Some(last) = last_data_commit else {
        return Outcome::Unevaluated("the log does not say when the data last changed".into());
    };
    // a writer's clock may be ahead of ours
    let age = (now - last).to_std().unwrap_or_default();
    let score = if age <= limit { 1.0 } else { limit.as_secs_f64() / age.as_secs_f64() };
    Outcome::Score { score, failed_of: None }
}

fn is_freshness(check: &QualityCheck) -> bool {
    matches!(&check.kind, CheckKind::Other(name) if name == "freshness")
}

/// Scores of dimensions, the score of all, and the verdict (design, section 8).
fn sum_up(measurement: &mut Measurement) {
    let mut sums: BTreeMap<&'static str, (f64, f64)> = BTreeMap::new();
    for result in &measurement.results {
        let weight = weight(result.severity);
        if let Some(score) = result.score().filter(|_| weight > 0.0) {
            let (weighted, weights) = sums.entry(result.dimension).or_default();
            *weighted += weight * score;
            *weights += weight;
        }
    }
    measurement.dimensions = sums.into_iter().map(|(name, (weighted, weights))| (name, weighted / weights)).collect();
    let measured = measurement.dimensions.len();
    measurement.quality_score =
        if measured == 0 { 0.0 } else { measurement.dimensions.values().sum::<f64>() / measured as f64 };
    let missed = |severity| measurement.results.iter().any(|result| result.severity == severity && result.missed());
    measurement.verdict = if measurement.results.iter().all(|result| result.score().is_none()) {
        QualityStatus::Pending
    } else if missed(CheckSeverity::Error) {
        QualityStatus::Invalid
    } else if missed(CheckSeverity::Warning) {
        QualityStatus::Warn
    } else {
        QualityStatus::Valid
    };
}

fn weight(severity: CheckSeverity) -> f64 {
    match severity {
        CheckSeverity::Error => 1.0,
        CheckSeverity::Warning => 0.5,
        CheckSeverity::Info => 0.0,
    }
}

/// One result per check, in the contract's order.
async fn run_checks(product: &Product, provider: Arc<dyn TableProvider>, state: &SessionState) -> Vec<CheckResult> {
    let plans: Vec<Plan> = product.quality_checks.iter().map(|check| plan(product, check)).collect();
    let table = Table { provider, state };
    let counts = table.counts(&plans).await;
    let mut distinct: BTreeMap<&[String], Result<u64, String>> = BTreeMap::new();
    if counts.as_ref().is_ok_and(|counts| counts.rows > 0) {
        for plan in &plans {
            if let Plan::Unique(key) = plan
                && !distinct.contains_key(key.as_slice())
            {
                distinct.insert(key, table.distinct(key).await);
            }
        }
    }
    let checks = product.quality_checks.iter().zip(&plans);
    checks
        .map(|(check, plan)| CheckResult {
            name: check.name.clone(),
            kind: check.kind.as_str().to_owned(),
            dimension: if is_freshness(check) { "timeliness" } else { check.kind.dimension() },
            column: check.column.clone(),
            severity: check.severity,
            threshold: check.threshold,
            outcome: outcome(plan, counts.as_ref(), &distinct).unwrap_or_else(Outcome::Unevaluated),
        })
        .collect()
}

/// What a check needs to know.
enum Plan {
    /// The share of values in these columns that are not NULL.
    Complete(Vec<String>),
    /// The share of distinct values among those of this key that are not NULL.
    Unique(Vec<String>),
    /// Nothing that could be counted, and why.
    None(String),
}

impl Plan {
    fn columns(&self) -> &[String] {
        match self {
            Self::Complete(columns) | Self::Unique(columns) => columns,
            Self::None(_) => &[],
        }
    }
}

fn plan(product: &Product, check: &QualityCheck) -> Plan {
    let those = |wanted: fn(&crate::catalog::model::Column) -> bool| -> Vec<String> {
        product.columns.iter().filter(|column| wanted(column)).map(|column| column.name.clone()).collect()
    };
    let or_else = |columns: Vec<String>, other: Vec<String>| if columns.is_empty() { other } else { columns };
    match &check.kind {
        CheckKind::Completeness => {
            let all = || or_else(those(|column| column.required || column.primary_key), those(|_| true));
            match check.column.clone().map_or_else(all, |column| vec![column]) {
                columns if columns.is_empty() => Plan::None("the contract declares no columns".into()),
                columns => Plan::Complete(columns),
            }
        }
        CheckKind::Uniqueness => {
            let key = || those(|column| column.primary_key);
            match check.column.clone().map_or_else(key, |column| vec![column]) {
                key if key.is_empty() => Plan::None("neither the check nor the contract names a key".into()),
                key => Plan::Unique(key),
            }
        }
        CheckKind::Other(kind) => Plan::None(format!("checks of kind \"{kind}\" are not run")),
    }
}

/// Rows of a table, and values that are not NULL by column.
struct Counts {
    rows: u64,
    values: BTreeMap<String, u64>,
}

fn outcome(
    plan: &Plan,
    counts: Result<&Counts, &String>,
    distinct: &BTreeMap<&[String], Result<u64, String>>,
) -> Result<Outcome, String> {
    if let Plan::None(reason) = plan {
        return Err(reason.clone());
    }
    let counts = counts.map_err(Clone::clone)?;
    if counts.rows == 0 {
        return Err("the table has no rows".into());
    }
    let present = |column: &String| {
        counts.values.get(column).copied().ok_or_else(|| format!("the table has no column \"{column}\""))
    };
    match plan {
        Plan::Complete(columns) => {
            let values: u64 = columns.iter().map(present).sum::<Result<u64, String>>()?;
            score(values, counts.rows * columns.len() as u64)
        }
        Plan::Unique(key) => {
            for column in key {
                present(column)?;
            }
            let distinct = distinct.get(key.as_slice()).cloned().unwrap_or_else(|| Err("it was not counted".into()))?;
            // rows whose key has a NULL are a matter of completeness; only a single column's are known to be left out
            let eligible = if let [column] = key.as_slice() { present(column)? } else { counts.rows };
            score(distinct, eligible)
        }
        Plan::None(reason) => Err(reason.clone()),
    }
}

fn score(good: u64, eligible: u64) -> Result<Outcome, String> {
    if eligible == 0 {
        return Err("there are no values".into());
    }
    let failed = eligible.saturating_sub(good);
    Ok(Outcome::Score { score: 1.0 - failed as f64 / eligible as f64, failed_of: Some((failed, eligible)) })
}

/// A table to count in.
struct Table<'a> {
    provider: Arc<dyn TableProvider>,
    state: &'a SessionState,
}

impl Table<'_> {
    /// Rows, and the values of every column that a check needs and the table has, in one scan.
    async fn counts(&self, plans: &[Plan]) -> Result<Counts, String> {
        let wanted: BTreeSet<&String> = plans.iter().flat_map(Plan::columns).collect();
        if wanted.is_empty() {
            return Ok(Counts { rows: 0, values: BTreeMap::new() });
        }
        let schema = self.provider.schema();
        let columns: Vec<&String> = wanted.into_iter().filter(|c| schema.column_with_name(c).is_some()).collect();
        let mut aggregates = vec![count_all()];
        aggregates.extend(columns.iter().map(|column| count(ident(column.as_str()))));
        let row = one_row(self.frame().and_then(|frame| frame.aggregate(Vec::new(), aggregates))).await?;
        let values = columns.iter().enumerate().map(|(at, column)| ((*column).clone(), number(&row, at + 1)));
        Ok(Counts { rows: number(&row, 0), values: values.collect() })
    }

    /// Distinct keys; a single column's NULL is none.
    async fn distinct(&self, key: &[String]) -> Result<u64, String> {
        let keys: Vec<Expr> = key.iter().map(ident).collect();
        let counted = if let [only] = keys.as_slice() { count(only.clone()) } else { count_all() };
        let frame = self.frame().and_then(|frame| frame.aggregate(keys, Vec::new()));
        let frame = frame.and_then(|frame| frame.aggregate(Vec::new(), vec![counted]));
        Ok(number(&one_row(frame).await?, 0))
    }

    fn frame(&self) -> Result<DataFrame, DataFusionError> {
        SessionContext::new_with_state(self.state.clone()).read_table(Arc::clone(&self.provider))
    }
}

async fn one_row(frame: Result<DataFrame, DataFusionError>) -> Result<RecordBatch, String> {
    let run = async { frame?.collect().await };
    let batches = match timeout(QUERY_TIMEOUT, run).await {
        Ok(Ok(batches)) => batches,
        Ok(Err(error)) => {
            // the reason is shown to clients, the cause may quote values or places
            tracing::warn!(cause = %error, "a quality check could not be run");
            return Err(match error.find_root() {
                DataFusionError::ResourcesExhausted(_) => "there was not enough memory".into(),
                _ => "the table could not be read".into(),
            });
        }
        Err(_) => return Err(format!("it took longer than {} s", QUERY_TIMEOUT.as_secs())),
    };
    batches.into_iter().find(|batch| batch.num_rows() == 1).ok_or_else(|| "the count gave no row".to_owned())
}

fn number(row: &RecordBatch, column: usize) -> u64 {
    let values = row.column(column).as_primitive_opt::<Int64Type>();
    values.and_then(|values| u64::try_from(values.value(0)).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::datasource::MemTable;

    use super::*;
    use crate::quality::fixtures::{column, product};

    fn check(kind: CheckKind, column: Option<&str>, threshold: f64, severity: CheckSeverity) -> QualityCheck {
        QualityCheck {
            name: kind.as_str().to_owned(),
            kind,
            column: column.map(Into::into),
            threshold: Some(threshold),
            severity,
        }
    }

    /// 4 rows; `id` has a duplicate, `email` a NULL.
    fn table() -> Arc<dyn TableProvider> {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2, 2, 3]))),
            ("line", Arc::new(Int64Array::from(vec![1, 1, 2, 1]))),
            ("email", Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), Some("b")]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
    }

    async fn measured(product: &Product, provider: Arc<dyn TableProvider>) -> Measurement {
        let state = SessionContext::new().state();
        let mut measurement = Measurement::pending(None);
        measurement.results = run_checks(product, provider, &state).await;
        measurement.last_data_commit = Some(now() - TimeDelta::hours(4));
        assess_freshness(&mut measurement, product, now());
        measurement
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn three_columns() -> Product {
        let mut product = product(vec![column("id", "bigint"), column("line", "int"), column("email", "string")]);
        product.columns[0].primary_key = true;
        product
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[tokio::test]
    async fn scores_are_failed_over_eligible_values() {
        let mut product = three_columns();
        product.quality_checks = vec![
            check(CheckKind::Completeness, Some("email"), 0.5, CheckSeverity::Error),
            check(CheckKind::Uniqueness, Some("email"), 0.5, CheckSeverity::Error),
            check(CheckKind::Uniqueness, None, 1.0, CheckSeverity::Error),
            check(CheckKind::Completeness, None, 1.0, CheckSeverity::Error),
        ];
        let m = measured(&product, table()).await;
        let failed: Vec<_> = m
            .results
            .iter()
            .map(|result| match result.outcome {
                Outcome::Score { failed_of, .. } => failed_of.unwrap(),
                Outcome::Unevaluated(_) => panic!("{result:?}"),
            })
            .collect();
        assert_eq!(failed, [(1, 4), (1, 3), (1, 4), (0, 4)]);
        assert!(near(m.dimensions["completeness"], 0.875), "{:?}", m.dimensions);
        assert!(near(m.quality_score, f64::midpoint(0.875, f64::midpoint(2.0 / 3.0, 0.75))), "{}", m.quality_score);
        assert_eq!(m.verdict, QualityStatus::Invalid, "the primary key has a duplicate");
    }

    #[tokio::test]
    async fn a_composite_key_and_all_declared_columns() {
        let mut product = three_columns();
        product.columns[1].primary_key = true;
        product.quality_checks = vec![
            check(CheckKind::Uniqueness, None, 1.0, CheckSeverity::Error),
            check(CheckKind::Completeness, None, 0.99, CheckSeverity::Warning),
        ];
        let m = measured(&product, table()).await;
        assert_eq!(m.results[0].score(), Some(1.0));
        assert_eq!(m.results[1].score(), Some(1.0), "the key columns are required");
        assert_eq!(m.verdict, QualityStatus::Valid);
        for column in &mut product.columns {
            column.primary_key = false;
        }
        let m = measured(&product, table()).await;
        assert!(m.results[0].score().is_none(), "no key is named");
        assert!(near(m.results[1].score().unwrap(), 11.0 / 12.0));
        assert_eq!(m.verdict, QualityStatus::Warn);
    }

    #[tokio::test]
    async fn what_cannot_run_is_unevaluated_and_never_1() {
        let mut product = three_columns();
        product.quality_checks = vec![
            check(CheckKind::Completeness, Some("nothing"), 0.9, CheckSeverity::Error),
            check(CheckKind::Other("sql".into()), None, 0.9, CheckSeverity::Error),
        ];
        let m = measured(&product, table()).await;
        assert!(m.results.iter().all(|result| result.score().is_none()));
        assert!(near(m.quality_score, 0.0));
        assert_eq!(m.verdict, QualityStatus::Pending);

        product.quality_checks = vec![
            check(CheckKind::Completeness, Some("id"), 0.9, CheckSeverity::Error),
            check(CheckKind::Uniqueness, Some("id"), 0.9, CheckSeverity::Error),
        ];
        let schema = table().schema();
        let empty = Arc::new(MemTable::try_new(schema, vec![vec![]]).unwrap());
        let m = measured(&product, empty).await;
        assert!(m.results.iter().all(|result| result.score().is_none()), "{:?}", m.results);
        assert!(near(m.quality_score, 0.0));
    }

    #[tokio::test]
    async fn severity_weighs_and_info_does_not_count() {
        let mut product = three_columns();
        product.quality_checks = vec![
            check(CheckKind::Completeness, Some("id"), 0.9, CheckSeverity::Error),
            check(CheckKind::Completeness, Some("email"), 0.9, CheckSeverity::Warning),
            check(CheckKind::Uniqueness, Some("id"), 1.0, CheckSeverity::Info),
        ];
        let m = measured(&product, table()).await;
        assert!(near(m.dimensions["completeness"], (1.0 + 0.5 * 0.75) / 1.5));
        assert!(!m.dimensions.contains_key("uniqueness"), "only info");
        assert_eq!(m.results[2].score(), Some(0.75), "measured all the same");
        assert_eq!(m.verdict, QualityStatus::Warn);
    }

    #[tokio::test]
    async fn freshness_falls_with_age_and_is_judged_again_without_a_scan() {
        let mut product = three_columns();
        product.sla.freshness_limit = Some(Duration::from_hours(1));
        let mut m = measured(&product, table()).await;
        assert!(near(m.dimensions["timeliness"], 0.25));
        assert_eq!(m.verdict, QualityStatus::Warn);
        assert_eq!(m.results.len(), 1);
        assess_freshness(&mut m, &product, now() + TimeDelta::hours(4));
        assert!(near(m.quality_score, 0.125));
        assert_eq!(m.results.len(), 1, "replaced, not repeated");
        assess_freshness(&mut m, &product, now() - TimeDelta::hours(5));
        assert!(near(m.quality_score, 1.0), "a writer's clock that is ahead does no harm");
        m.last_data_commit = None;
        assess_freshness(&mut m, &product, now());
        assert!(near(m.quality_score, 0.0));
        assert_eq!(m.verdict, QualityStatus::Pending);
        product.quality_checks = vec![check(CheckKind::Other("freshness".into()), None, 0.5, CheckSeverity::Error)];
        let m = measured(&product, table()).await;
        assert_eq!((m.results.len(), m.results[0].dimension), (1, "timeliness"));
        assert_eq!(m.verdict, QualityStatus::Invalid);
    }
}
