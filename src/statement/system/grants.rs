//! `data_catalog.grants`: the grants that hold, approved requests among them. Seen by their grantees, by the owners of what
//! they are on, and all of them by mesh_admin and auditor.

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::access::grants::{Grant, GrantObject, owns_domain, owns_product};
use crate::catalog::model::{Product, ProductId};
use crate::error::Result;
use crate::statement::context::Context;

pub fn rows(context: &Context) -> Result<RecordBatch> {
    let catalog = &context.snapshot.catalog;
    let all = super::policies::sees_governance(&context.principal);
    let rows: Vec<(&Grant, Option<&Product>)> = context
        .grants
        .active()
        .iter()
        .filter(|grant| all || may_see(grant, context))
        .map(|grant| (grant, product(grant).and_then(|id| catalog.products.get(id))))
        .collect();
    let domain = |grant: &Grant| match &grant.object {
        GrantObject::Domain(name) => name.to_string(),
        GrantObject::Product(id) => id.0.split('.').next().unwrap_or_default().to_owned(),
    };
    Columns::new()
        .int8("grant_id", rows.iter().map(|(grant, _)| Some(i64::from(grant.id))))
        .text("grantee", rows.iter().map(|(grant, _)| Some(grant.grantee.name().unwrap_or("public"))))
        .text("grantee_type", rows.iter().map(|(grant, _)| Some(grant.grantee.kind())))
        .text("privilege", rows.iter().map(|(grant, _)| Some(grant.object.privilege().as_str())))
        .text("object_type", rows.iter().map(|(grant, _)| Some(grant.object.kind())))
        .text("domain", rows.iter().map(|(grant, _)| Some(domain(grant))))
        .text("product_id", rows.iter().map(|(grant, _)| product(grant).map(|id| &id.0)))
        .text("product_name", rows.iter().map(|(_, product)| product.map(|product| &product.name)))
        .text("granted_by", rows.iter().map(|(grant, _)| Some(&grant.granted_by)))
        .timestamp("granted_at", rows.iter().map(|(grant, _)| Some(grant.granted_at)))
        .timestamp("expires_at", rows.iter().map(|(grant, _)| grant.expires_at))
        .int8("request_id", rows.iter().map(|(grant, _)| grant.requested.then_some(i64::from(grant.id))))
        .finish()
}

fn product(grant: &Grant) -> Option<&ProductId> {
    match &grant.object {
        GrantObject::Product(id) => Some(id),
        GrantObject::Domain(_) => None,
    }
}

/// Whoever may not discover what a grant is on learns nothing of the grant, as its grantee neither.
fn may_see(grant: &Grant, context: &Context) -> bool {
    let (catalog, principal) = (&context.snapshot.catalog, &context.principal);
    let is_grantee = grant.grantee.covers(principal);
    match &grant.object {
        GrantObject::Product(id) => context
            .visible
            .get(id)
            .and_then(|visible| visible.of(catalog))
            .is_some_and(|product| is_grantee || owns_product(catalog, principal, product)),
        GrantObject::Domain(name) => {
            context.visible.domains().contains(name) && (is_grantee || owns_domain(catalog, principal, name))
        }
    }
}
