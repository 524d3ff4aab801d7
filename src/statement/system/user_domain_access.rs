//! `data_catalog.user_domain_access`: which domains a user may discover or read, and what granted it. Everyone sees
//! their own rows; mesh_admin and auditor see those of all users.

use datafusion::arrow::array::RecordBatch;

use super::table::Columns;
use crate::access::decide::Rulebook;
use crate::access::domains::{DomainAccess, domain_access};
use crate::access::principal::Principal;
use crate::error::Result;
use crate::statement::context::Context;

pub fn rows(context: &Context) -> Result<RecordBatch> {
    let mut rows: Vec<(String, DomainAccess)> = Vec::new();
    let mut add = |user: &str, access: &[DomainAccess]| {
        rows.extend(access.iter().map(|access| (user.to_owned(), access.clone())));
    };
    if super::policies::sees_governance(&context.principal) {
        let catalog = &context.snapshot.catalog;
        for user in catalog.users.values() {
            let principal = Principal::from(user);
            add(&user.name, &domain_access(catalog, &Rulebook::new(catalog, &context.grants, &principal)));
        }
    } else {
        add(&context.principal.name, context.visible.domain_access());
    }
    Columns::new()
        .text("user_id", rows.iter().map(|(user, _)| Some(user)))
        .text("domain", rows.iter().map(|(_, access)| Some(access.domain.as_str())))
        .text("privilege", rows.iter().map(|(_, access)| Some(access.privilege.as_str())))
        .text("granted_via", rows.iter().map(|(_, access)| Some(&access.granted_via)))
        .timestamp("granted_at", rows.iter().map(|(_, access)| access.granted_at))
        .timestamp("expires_at", rows.iter().map(|(_, access)| access.expires_at))
        .finish()
}
