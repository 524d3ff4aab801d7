//! `data_catalog.quality_checks` and `data_catalog.quality_scores`: what is checked, and what came out of it.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::catalog::model::{CheckSeverity, Product, QualityCheck};
use crate::error::Result;
use crate::quality::{CheckResult, Measurement};
use crate::statement::context::Context;

/// The checks that the contracts of discoverable products declare, with the score of the last measurement.
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
        .float8("score", rows.iter().map(|(_, _, score)| *score))
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

/// One row for each measured dimension of each discoverable product.
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
        .float8("score", rows.iter().map(|(.., score)| Some(*score)))
        .float8("quality_score", rows.iter().map(|(_, m, ..)| Some(m.quality_score)))
        .text("quality_status", rows.iter().map(|(_, m, ..)| Some(m.status().as_str())))
        .int8("delta_version", rows.iter().map(|(_, m, ..)| m.delta_version.and_then(|v| i64::try_from(v).ok())))
        .timestamp("measured_at", rows.iter().map(|(_, m, ..)| m.measured_at))
        .finish()
}
