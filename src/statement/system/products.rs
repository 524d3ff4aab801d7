//! `data_catalog.products`: one row for each product that the principal may discover.

use datafusion::arrow::array::RecordBatch;

use super::quality::published;
use super::table::Columns;
use crate::access::decide::Access;
use crate::error::Result;
use crate::statement::context::Context;

/// What a product publishes about itself stands for all who discover it; `row_count` only for those who read all rows.
/// `quality_score`: the last measurement's, rounded down to 4 decimals; 0 where nothing was measured.
pub fn rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let rows: Vec<_> = context
        .visible
        .products()
        .filter_map(|visible| {
            let product = visible.of(catalog)?;
            Some((visible, product, context.mesh.scores.get(&product.id)))
        })
        .collect();
    let whole = |access: &Access| matches!(access, Access::Read(scope) if scope.is_whole());
    Columns::new()
        .text("product_id", rows.iter().map(|(_, p, _)| Some(&p.id.0)))
        .text("product_name", rows.iter().map(|(_, p, _)| Some(&p.name)))
        .text("domain", rows.iter().map(|(_, p, _)| Some(p.domain.as_str())))
        .text("owner", rows.iter().map(|(_, p, _)| Some(&p.owner)))
        .text("description", rows.iter().map(|(_, p, _)| p.description.as_ref()))
        .text("version", rows.iter().map(|(_, p, _)| p.version.as_ref()))
        .text("status", rows.iter().map(|(_, p, _)| Some(&p.status)))
        .text("classification", rows.iter().map(|(_, p, _)| p.classification.as_ref()))
        .texts("tags", rows.iter().map(|(_, p, _)| p.tags.as_slice()))
        .text("table_schema", rows.iter().map(|(v, _, _)| v.has_table.then_some(v.schema)))
        .text("table_name", rows.iter().map(|(v, _, _)| v.has_table.then_some(v.table)))
        .text("sla_freshness", rows.iter().map(|(_, p, _)| p.sla.freshness.as_ref()))
        .text("sla_availability", rows.iter().map(|(_, p, _)| p.sla.availability.as_ref()))
        .float8("sla_quality_score", rows.iter().map(|(_, p, _)| p.sla.quality_score))
        .float8_not_null(
            "quality_score",
            rows.iter().map(|(_, _, m)| m.as_ref().map_or(0.0, |m| published(m.quality_score))),
        )
        .text(
            "quality_status",
            rows.iter().map(|(_, _, m)| Some(m.as_ref().map_or("PENDING", |m| m.status().as_str()))),
        )
        .int8(
            "delta_version",
            rows.iter().map(|(_, _, m)| m.as_ref().and_then(|m| m.delta_version).and_then(|v| i64::try_from(v).ok())),
        )
        .int8(
            "row_count",
            rows.iter().map(|(v, p, m)| {
                let measured = m.as_ref().filter(|_| whole(v.access))?.delta_version?;
                i64::try_from(context.mesh.row_count(p, measured)?).ok()
            }),
        )
        .timestamp("last_updated", rows.iter().map(|(_, _, m)| m.as_ref().and_then(|m| m.last_data_commit)))
        .text("contract_path", rows.iter().map(|(_, p, _)| Some(p.contract_path.to_string_lossy())))
        .text("contract_sha256", rows.iter().map(|(_, p, _)| Some(&p.contract_sha256)))
        .finish()
}
