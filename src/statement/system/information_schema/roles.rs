//! The principal's own roles: itself, and the groups that it is in.

use datafusion::arrow::array::RecordBatch;

use super::{NO, filled};
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::Part;

pub fn applicable(context: &Context, _: Part) -> Result<RecordBatch> {
    let groups = &context.principal.groups;
    filled("applicable_roles", groups.len())?
        .all("grantee", &context.principal.name)
        .texts("role_name", groups.iter().map(Some))
        .all("is_grantable", NO)
        .finish()
}

pub fn enabled(context: &Context, _: Part) -> Result<RecordBatch> {
    let own = std::iter::once(&context.principal.name).chain(&context.principal.groups);
    filled("enabled_roles", context.principal.groups.len() + 1)?.texts("role_name", own.map(Some)).finish()
}
