//! `data_catalog.domains`: the domains in which the principal may see anything.

use std::collections::HashMap;

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::catalog::model::DomainName;
use crate::error::Result;
use crate::statement::context::Context;

/// `product_count` counts what the principal may discover.
pub fn rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let mut counts: HashMap<&DomainName, i64> = HashMap::new();
    for product in context.visible.products().filter_map(|visible| visible.of(catalog)) {
        *counts.entry(&product.domain).or_default() += 1;
    }
    let rows: Vec<_> = context.visible.domains().iter().filter_map(|name| catalog.domains.get(name)).collect();
    Columns::new()
        .text("domain", rows.iter().map(|d| Some(d.name.as_str())))
        .text("owner", rows.iter().map(|d| Some(&d.owner)))
        .text("description", rows.iter().map(|d| d.description.as_ref()))
        .int8("product_count", rows.iter().map(|d| Some(counts.get(&d.name).copied().unwrap_or(0))))
        .finish()
}
