//! `data_catalog.input_ports` and `data_catalog.output_ports`: where products take their data from and where it lies.

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::catalog::model::{DomainName, InputPort, OutputPort, Product};
use crate::error::Result;
use crate::statement::context::Context;

/// An input from a product of this mesh is shown only to those who may discover that product.
pub fn input_rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let mut rows: Vec<(&Product, &InputPort)> = Vec::new();
    for product in context.visible.products().filter_map(|visible| visible.of(catalog)) {
        let shown = |port: &&InputPort| port.product.as_ref().is_none_or(|id| context.visible.get(id).is_some());
        rows.extend(product.inputs.iter().filter(shown).map(|port| (product, port)));
    }
    Columns::new()
        .text("product_name", rows.iter().map(|(p, _)| Some(&p.name)))
        .text("domain", rows.iter().map(|(p, _)| Some(p.domain.as_str())))
        .text("name", rows.iter().map(|(_, i)| Some(&i.name)))
        .text("version", rows.iter().map(|(_, i)| i.version.as_ref()))
        .text("type", rows.iter().map(|(_, i)| Some(if i.product.is_some() { "product" } else { "source" })))
        .text("contract_id", rows.iter().map(|(_, i)| i.contract_id.as_ref()))
        .text("location", rows.iter().map(|(_, i)| i.source.as_ref()))
        .text("format", rows.iter().map(|(_, i)| i.product.as_ref().map(|_| "delta")))
        .text("source_domain", rows.iter().map(|(_, i)| i.domain.as_ref().map(DomainName::as_str)))
        .text("source_product_id", rows.iter().map(|(_, i)| i.product.as_ref().map(|id| &id.0)))
        .finish()
}

/// The place in the store is shown only to those who may read the product.
pub fn output_rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let mut rows: Vec<(&Product, &OutputPort, bool)> = Vec::new();
    for visible in context.visible.products() {
        let Some(product) = visible.of(catalog) else { continue };
        rows.extend(product.outputs.iter().map(|port| (product, port, visible.access.is_readable())));
    }
    let place = |port: &OutputPort| port.location.as_ref().map(|l| l.url.clone()).or_else(|| port.endpoint.clone());
    Columns::new()
        .text("product_name", rows.iter().map(|(p, _, _)| Some(&p.name)))
        .text("domain", rows.iter().map(|(p, _, _)| Some(p.domain.as_str())))
        .text("name", rows.iter().map(|(_, o, _)| Some(&o.name)))
        .text("version", rows.iter().map(|(_, o, _)| o.version.as_ref()))
        .text("type", rows.iter().map(|(_, o, _)| o.port_type.as_ref()))
        .text("contract_id", rows.iter().map(|(_, o, _)| o.contract_id.as_ref()))
        .text("location", rows.iter().map(|(_, o, readable)| if *readable { place(o) } else { None }))
        .text("format", rows.iter().map(|(_, o, _)| Some(&o.format)))
        .finish()
}
