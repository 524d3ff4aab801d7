//! `data_catalog.quality_checks` and `data_catalog.quality_scores`: what is checked, and what came out of it.
//!
//! A score is a share of rows. Exact, 125/267 would tell how many rows there are to those who may not know it, so every
//! score that the catalog shows is [`published`]: rounded down to 4 decimals, for everybody alike. `passed` and
//! `quality_status` go by the exact score.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::catalog::model::{CheckSeverity, Product, QualityCheck};
use crate::error::Result;
use crate::quality::{CheckResult, Measurement};
use crate::statement::context::Context;

/// The scores that can be told apart between 0 and 1.
const SCORE_STEPS: f64 = 10_000.0;

/// What the catalog shows of a score: rounded down to 4 decimals, so that 1 is only what nothing failed.
pub fn published(score: f64) -> f64 {
    let steps = (score * SCORE_STEPS).floor();
    // The product above is rounded by itself: 0.57 must stay 0.57, and nothing may be rounded up.
    [steps + 1.0, steps].into_iter().map(|steps| steps / SCORE_STEPS).find(|rounded| *rounded <= score).unwrap_or(score)
}

/// The checks that the contracts of discoverable products declare. `score`: of the last measurement, rounded down to
/// 4 decimals.
pub fn check_rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let mut rows: Vec<(&Product, &QualityCheck, Option<f64>)> = Vec::new();
    for product in context.visible.products().filter_map(|visible| visible.of(catalog)) {
        let measured = context.mesh.scores.get(&product.id);
        for (index, check) in product.quality_checks.iter().enumerate() {
            let score = measured.as_ref().and_then(|m| m.results.get(index)).and_then(CheckResult::score);
            rows.push((product, check, score));
        }
    }
    Columns::new()
        .text("product_name", rows.iter().map(|(p, _, _)| Some(&p.name)))
        .text("domain", rows.iter().map(|(p, _, _)| Some(p.domain.as_str())))
        .text("check_name", rows.iter().map(|(_, c, _)| Some(&c.name)))
        .text("check_type", rows.iter().map(|(_, c, _)| Some(c.kind.as_str())))
        .text("dimension", rows.iter().map(|(_, c, _)| Some(c.kind.dimension())))
        .text("column_name", rows.iter().map(|(_, c, _)| c.column.as_ref()))
        .float8("threshold", rows.iter().map(|(_, c, _)| c.threshold))
        .text("severity", rows.iter().map(|(_, c, _)| Some(severity(c.severity))))
        .float8("score", rows.iter().map(|(_, _, score)| score.map(published)))
        .bool("passed", rows.iter().map(|(_, c, score)| score.map(|s| c.threshold.is_none_or(|t| s >= t))))
        .finish()
}

fn severity(severity: CheckSeverity) -> &'static str {
    match severity {
        CheckSeverity::Error => "error",
        CheckSeverity::Warning => "warning",
        CheckSeverity::Info => "info",
    }
}

/// One row for each measured dimension of each discoverable product. `score` and `quality_score`: rounded down to
/// 4 decimals.
pub fn score_rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let mut rows: Vec<(&Product, Arc<Measurement>, String, f64)> = Vec::new();
    for product in context.visible.products().filter_map(|visible| visible.of(catalog)) {
        let Some(measured) = context.mesh.scores.get(&product.id) else { continue };
        for (dimension, score) in &measured.dimensions {
            rows.push((product, Arc::clone(&measured), (*dimension).to_string(), *score));
        }
    }
    Columns::new()
        .text("product_name", rows.iter().map(|(p, ..)| Some(&p.name)))
        .text("domain", rows.iter().map(|(p, ..)| Some(p.domain.as_str())))
        .text("dimension", rows.iter().map(|(_, _, dimension, _)| Some(dimension)))
        .float8("score", rows.iter().map(|(.., score)| Some(published(*score))))
        .float8("quality_score", rows.iter().map(|(_, m, ..)| Some(published(m.quality_score))))
        .text("quality_status", rows.iter().map(|(_, m, ..)| Some(m.status().as_str())))
        .int8("delta_version", rows.iter().map(|(_, m, ..)| m.delta_version.and_then(|v| i64::try_from(v).ok())))
        .timestamp("measured_at", rows.iter().map(|(_, m, ..)| m.measured_at))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_published_without_the_decimals_that_count_rows() {
        assert_eq!(published(125.0 / 267.0).to_string(), "0.4681");
        assert_eq!(published(2.0 / 3.0).to_string(), "0.6666");
        assert_eq!(published(1.0 - 1e-16).to_string(), "0.9999", "1 is only what nothing failed");
        assert_eq!(published(1e-9).to_string(), "0");
        for steps in 0..=10_000 {
            let score = f64::from(steps) / SCORE_STEPS;
            assert_eq!(published(score).to_string(), score.to_string());
        }
    }
}
