//! `pg_description` and `pg_shdescription`: what contracts say of products and their columns, what domains and the mesh say
//! of themselves, and what the server's own relations are for.

use datafusion::arrow::array::RecordBatch;

use super::filled::Filled;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part};

/// The catalogs that described objects are in (`pg_class.dat`).
const PG_CLASS: u32 = 1259;
const PG_NAMESPACE: u32 = 2615;
const PG_DATABASE: u32 = 1262;

struct Row<'a> {
    object: u32,
    class: u32,
    /// Of a column; 0 for the object itself.
    number: i32,
    text: &'a str,
}

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let (namespaces, relations) = (objects::namespaces(context, part), objects::relations(context, part)?);
    let mut rows = Vec::new();
    for namespace in &namespaces {
        let text = namespace.description.as_deref();
        rows.extend(text.map(|text| Row { object: namespace.oid, class: PG_NAMESPACE, number: 0, text }));
    }
    for relation in &relations {
        let object = relation.oid;
        rows.extend(relation.description.map(|text| Row { object, class: PG_CLASS, number: 0, text }));
        if relation.product().is_none() {
            continue;
        }
        for (at, column) in relation.columns(context).iter().enumerate() {
            let text = column.contract.and_then(|contract| contract.description.as_deref());
            rows.extend(text.map(|text| Row { object, class: PG_CLASS, number: at as i32 + 1, text }));
        }
    }
    Filled::catalog("pg_description", rows.len())?
        .oids("objoid", rows.iter().map(|row| row.object))
        .oids("classoid", rows.iter().map(|row| row.class))
        .int4s("objsubid", rows.iter().map(|row| Some(row.number)))
        .names("description", rows.iter().map(|row| row.text))
        .finish()
}

pub fn shared_rows(context: &Context, _: Part) -> Result<RecordBatch> {
    let described = context.snapshot.catalog.mesh.description.as_deref();
    Filled::catalog("pg_shdescription", described.iter().count())?
        .oids("objoid", described.map(|_| context.snapshot.oids().database()))
        .oids("classoid", described.map(|_| PG_DATABASE))
        .names("description", described)
        .finish()
}
