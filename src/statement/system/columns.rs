//! `data_catalog.columns`: the columns that the contracts of discoverable products declare.

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::catalog::model::{Column, Product};
use crate::error::Result;
use crate::statement::context::Context;

struct Row<'a> {
    product: &'a Product,
    column: &'a Column,
    ordinal: i32,
    masked: bool,
}

pub fn rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let mut rows = Vec::new();
    for visible in context.visible.products() {
        let Some(product) = visible.of(catalog) else { continue };
        let masked = context.visible.masked(&visible, product);
        for (index, (column, masked)) in product.columns.iter().zip(masked).enumerate() {
            rows.push(Row { product, column, ordinal: index as i32 + 1, masked });
        }
    }
    Columns::new()
        .text("product_name", rows.iter().map(|r| Some(&r.product.name)))
        .text("domain", rows.iter().map(|r| Some(r.product.domain.as_str())))
        .text("column_name", rows.iter().map(|r| Some(&r.column.name)))
        .int4("ordinal_position", rows.iter().map(|r| Some(r.ordinal)))
        .text("logical_type", rows.iter().map(|r| r.column.logical_type.as_ref()))
        .text("physical_type", rows.iter().map(|r| r.column.physical_type.as_ref()))
        .bool("is_nullable", rows.iter().map(|r| Some(!r.column.required)))
        .bool("primary_key", rows.iter().map(|r| Some(r.column.primary_key)))
        .bool("is_unique", rows.iter().map(|r| Some(r.column.unique)))
        .text("description", rows.iter().map(|r| r.column.description.as_ref()))
        .text("business_name", rows.iter().map(|r| r.column.business_name.as_ref()))
        .texts("synonyms", rows.iter().map(|r| r.column.synonyms.as_slice()))
        .bool("pii", rows.iter().map(|r| Some(r.column.pii)))
        .text("classification", rows.iter().map(|r| r.column.classification.as_ref()))
        .bool("masked", rows.iter().map(|r| Some(r.masked)))
        .finish()
}
