//! `data_catalog.access_requests`: who asked for access to what, and what became of it. Seen by who asked, by those who
//! may decide, and all of it by mesh_admin and auditor.

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::error::Result;
use crate::mesh::grants::Request;
use crate::statement::command::requests::may_see;
use crate::statement::context::Context;

pub fn rows(context: &Context) -> Result<RecordBatch> {
    let mut rows: Vec<Request> = context.mesh.requests()?;
    rows.retain(|request| may_see(request, context));
    let id = |request: &Request| Some(i64::from(request.request_id));
    let domain = |request: &Request| request.product_id.split('.').next().unwrap_or_default().to_owned();
    let product = |request: &Request| context.snapshot.catalog.products.get(&request.product());
    Columns::new()
        .int8("request_id", rows.iter().map(id))
        .text("product_id", rows.iter().map(|request| Some(&request.product_id)))
        .text("domain", rows.iter().map(|request| Some(domain(request))))
        .text("product_name", rows.iter().map(|request| product(request).map(|product| &product.name)))
        .text("requested_by", rows.iter().map(|request| Some(&request.requested_by)))
        .text("purpose", rows.iter().map(|request| Some(&request.purpose)))
        .timestamp("requested_at", rows.iter().map(|request| Some(request.requested_at)))
        .text("status", rows.iter().map(|request| Some(request.status.as_str())))
        .text("decided_by", rows.iter().map(|request| request.decided_by.as_ref()))
        .timestamp("decided_at", rows.iter().map(|request| request.decided_at))
        .timestamp("expires_at", rows.iter().map(|request| request.expires_at))
        .text("reason", rows.iter().map(|request| request.reason.as_ref()))
        .text("revoked_by", rows.iter().map(|request| request.revoked_by.as_ref()))
        .timestamp("revoked_at", rows.iter().map(|request| request.revoked_at))
        .finish()
}
