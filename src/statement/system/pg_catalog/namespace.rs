//! `pg_namespace`: the schemas of the mesh.

use datafusion::arrow::array::RecordBatch;

use super::filled::Filled;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part};

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let rows = objects::namespaces(context, part);
    let acl = |_: &_| Some(vec!["=U/postgres".to_owned()]);
    Filled::catalog("pg_namespace", rows.len())?
        .oids("oid", rows.iter().map(|row| row.oid))
        .names("nspname", rows.iter().map(|row| &row.name))
        .oids("nspowner", rows.iter().map(|row| row.owner))
        .text_lists("nspacl", rows.iter().map(acl))
        .finish()
}
