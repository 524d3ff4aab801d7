//! `pg_type`: each table and view has a type of its rows, and a type of arrays of them.

use datafusion::arrow::array::RecordBatch;

use super::array_name;
use super::filled::Filled;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::{self, Part};

/// A type's functions, as PostgreSQL has them for rows and for arrays (`pg_proc.dat`): input, output, receive, send,
/// analyze, subscript.
const OF_ROWS: [u32; 6] = [2290, 2291, 2402, 2403, 0, 0];
const OF_ARRAYS: [u32; 6] = [750, 751, 2400, 2401, 3816, 6179];
const FUNCTIONS: [&str; 6] = ["typinput", "typoutput", "typreceive", "typsend", "typanalyze", "typsubscript"];

pub fn rows(context: &Context, part: Part) -> Result<RecordBatch> {
    let relations = objects::relations(context, part)?;
    // each relation twice: its rows, and their arrays
    let twice = || relations.iter().flat_map(|relation| [(relation, false), (relation, true)]);
    let mut filled = Filled::catalog("pg_type", relations.len() * 2)?
        .oids("oid", twice().map(|(of, array)| if array { of.row_array } else { of.row_type }))
        .names("typname", twice().map(|(of, array)| if array { array_name(of.name) } else { of.name.to_owned() }))
        .oids("typnamespace", twice().map(|(of, _)| of.namespace))
        .oids("typowner", twice().map(|(of, _)| of.owner))
        .all("typlen", "-1")
        .chars("typtype", twice().map(|(_, array)| if array { 'b' } else { 'c' }))
        .chars("typcategory", twice().map(|(_, array)| if array { 'A' } else { 'C' }))
        .all("typisdefined", "t")
        .all("typdelim", ",")
        .oids("typrelid", twice().map(|(of, array)| if array { 0 } else { of.oid }))
        .oids("typelem", twice().map(|(of, array)| if array { of.row_type } else { 0 }))
        .oids("typarray", twice().map(|(of, array)| if array { 0 } else { of.row_array }))
        .all("typalign", "d")
        .all("typstorage", "x")
        .all("typtypmod", "-1");
    for ((function, of_rows), of_arrays) in FUNCTIONS.into_iter().zip(OF_ROWS).zip(OF_ARRAYS) {
        filled = filled.oids(function, twice().map(|(_, array)| if array { of_arrays } else { of_rows }));
    }
    filled.finish()
}
