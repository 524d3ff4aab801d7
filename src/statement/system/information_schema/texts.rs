//! Character sets and collations: one encoding, and the collations that every PostgreSQL has.

use datafusion::arrow::array::RecordBatch;

use super::filled;
use crate::error::Result;
use crate::statement::context::Context;
use crate::statement::system::objects::Part;
use crate::statement::system::pg_catalog;
use crate::statement::system::pg_catalog::facts::Cells;

const ENCODING: &str = "UTF8";

fn collation_names() -> Vec<String> {
    let cells = Cells::of("pg_collation");
    cells.rows().filter_map(|row| cells.value(row, "collname").map(Into::into)).collect()
}

pub fn character_sets(context: &Context, _: Part) -> Result<RecordBatch> {
    filled("character_sets", 1)?
        .all("character_set_name", ENCODING)
        .all("character_repertoire", "UCS")
        .all("form_of_use", ENCODING)
        .all("default_collate_catalog", &context.facts.database)
        .all("default_collate_schema", pg_catalog::SCHEMA)
        .all("default_collate_name", "ucs_basic")
        .finish()
}

pub fn collations(context: &Context, _: Part) -> Result<RecordBatch> {
    let names = collation_names();
    filled("collations", names.len())?
        .all("collation_catalog", &context.facts.database)
        .all("collation_schema", pg_catalog::SCHEMA)
        .texts("collation_name", names.iter().map(Some))
        .all("pad_attribute", "NO PAD")
        .finish()
}

pub fn applicability(context: &Context, _: Part) -> Result<RecordBatch> {
    let names = collation_names();
    filled("collation_character_set_applicability", names.len())?
        .all("collation_catalog", &context.facts.database)
        .all("collation_schema", pg_catalog::SCHEMA)
        .texts("collation_name", names.iter().map(Some))
        .all("character_set_name", ENCODING)
        .finish()
}
