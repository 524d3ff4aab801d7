//! What objects are said to be: `obj_description`, `col_description`, `shobj_description`.
//!
//! PostgreSQL 15, section 9.26.7 "Comment Information Functions". Products, their columns and domains have the
//! descriptions of their contracts, the mesh its own; PostgreSQL's objects have PostgreSQL's.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::system::pg_catalog::facts::{self, Cells, PG_CATALOG_OID};
use super::call::{Arg, Returns, Row, Spec, Value};
use super::known::Known;
use crate::error::Result;

pub const FUNCTIONS: &[Spec] = &[
    Spec::new("obj_description", &[&[Arg::Oid], &[Arg::Oid, Arg::Text]], Returns::Text, object),
    Spec::new("col_description", &[&[Arg::Oid, Arg::Int]], Returns::Text, column),
    Spec::new("shobj_description", &[&[Arg::Oid, Arg::Text]], Returns::Text, shared),
];

/// By object and number of the column: the catalog of the object, and the description.
type Descriptions = HashMap<(u32, i64), Vec<(u32, String)>>;

/// Descriptions of PostgreSQL's own objects.
static OWN: LazyLock<Descriptions> = LazyLock::new(|| {
    let cells = Cells::of("pg_description");
    let mut own = Descriptions::new();
    for row in cells.rows() {
        let number = |column| cells.value(row, column).and_then(|number| number.parse::<u32>().ok());
        if let (Some(object), Some(class), Some(description)) =
            (number("objoid"), number("classoid"), cells.value(row, "description"))
        {
            let place = (object, number("objsubid").unwrap_or(0).into());
            own.entry(place).or_default().push((class, description.into_owned()));
        }
    }
    own
});

fn own(object: u32, column: i64, class: Option<u32>) -> Option<String> {
    let found = OWN.get(&(object, column))?;
    found.iter().find(|(of, _)| class.is_none_or(|class| class == *of)).map(|(_, description)| description.clone())
}

fn object(known: &Known, row: &Row<'_>) -> Result<Value> {
    let Some(oid) = row.oid(0)? else { return Ok(Value::Null) };
    let catalog = (row.len() > 1).then(|| row.text(1)).flatten();
    let is_of = |name: &str| catalog.is_none_or(|catalog| catalog == name);
    let class = match catalog {
        None => None,
        Some(catalog) => match facts::shape(PG_CATALOG_OID, catalog) {
            Some(shape) => Some(shape.oid),
            None => return Ok(Value::Null),
        },
    };
    let of_relation = || known.oids.table(oid).filter(|_| is_of("pg_class"))?.description.map(str::to_owned);
    let of_schema = || {
        let namespace = if is_of("pg_namespace") { known.oids.namespaces() } else { Vec::new() };
        namespace.into_iter().find(|namespace| namespace.oid == oid)?.description.map(std::borrow::Cow::into_owned)
    };
    Ok(Value::or_null(own(oid, 0, class).or_else(of_relation).or_else(of_schema), Value::Text))
}

fn column(known: &Known, row: &Row<'_>) -> Result<Value> {
    let (Some(oid), Some(number)) = (row.oid(0)?, row.int(1)) else { return Ok(Value::Null) };
    let class = facts::shape(PG_CATALOG_OID, "pg_class").map(|shape| shape.oid);
    if let Some(own) = own(oid, number, class).filter(|_| number != 0) {
        return Ok(Value::Text(own));
    }
    let description = known.oids.table(oid).and_then(|table| {
        let columns = table.columns(&known.context);
        let column = columns.get(usize::try_from(number.checked_sub(1)?).ok()?)?;
        column.contract?.description.clone()
    });
    Ok(Value::or_null(description, Value::Text))
}

fn shared(known: &Known, row: &Row<'_>) -> Result<Value> {
    let of_mesh = row.text(1) == Some("pg_database") && row.oid(0)? == Some(known.oids.database());
    let description = of_mesh.then(|| known.snapshot.catalog.mesh.description.clone()).flatten();
    Ok(Value::or_null(description, Value::Text))
}
