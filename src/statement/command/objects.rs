//! What commands name: tables, schemas and principals, found for who asks, and the record of what was done with them.
//!
//! What the principal may not discover is answered exactly as what does not exist.

use datafusion::sql::sqlparser::tokenizer::Token;
use futures::future::try_join_all;

use crate::access::grants::Grantee;
use crate::access::tokens::tokens;
use crate::access::visible::VisibleProduct;
use crate::catalog::model::{DomainName, Product, ProductId};
use crate::error::{Error, Result, SqlState};
use crate::state::Stream;
use crate::statement::audit;
use crate::statement::context::Context;
use crate::statement::system;

/// The product behind the parts of a table's name.
///
/// # Errors
/// `42P01`, `3F000` where the schema is missing, `42501` for relations of the catalog.
pub fn product<'a>(parts: &[String], context: &'a Context) -> Result<(VisibleProduct<'a>, &'a Product)> {
    let missing = || undefined_table(&parts.join("."));
    let (schema, table) = match parts {
        [table] => (None, table),
        [schema, table] => (Some(schema), table),
        [database, schema, table] if **database == *context.facts.database => (Some(schema), table),
        _ => {
            return Err(Error::unsupported(format!(
                "cross-database references are not implemented: {}",
                parts.join(".")
            )));
        }
    };
    let path = schema.map_or_else(|| context.search_path(), |schema| vec![schema.clone()]);
    for schema in &path {
        if schema == system::SCHEMA && system::exists(table) {
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for view {table}"))
                .hint("The relations of data_catalog show everyone their own part; nothing is granted on them."));
        }
        if let Some(found) = table_of_product(schema, table, context) {
            return Ok(found);
        }
    }
    match schema {
        Some(schema) if !schema_exists(schema, context) => Err(undefined_schema(schema)),
        _ => Err(missing()),
    }
}

/// The product that a text names: as SQL names its table, or by its id.
///
/// # Errors
/// As of [`product`]; `42602` for a text that is no name.
pub fn product_in_text<'a>(text: &str, context: &'a Context) -> Result<(VisibleProduct<'a>, &'a Product)> {
    let by_id = context.visible.get(&ProductId(text.to_owned())).filter(|visible| visible.has_table);
    if let Some((visible, product)) = by_id.and_then(|visible| Some((visible, visible.of(&context.snapshot.catalog)?)))
    {
        return Ok((visible, product));
    }
    let parts = qualified_name(text)
        .ok_or_else(|| Error::new(SqlState::INVALID_NAME, format!("invalid name syntax: \"{text}\"")))?;
    product(&parts, context)
}

fn table_of_product<'a>(schema: &str, table: &str, context: &'a Context) -> Option<(VisibleProduct<'a>, &'a Product)> {
    let visible = context.visible.lookup(schema, table).filter(|visible| visible.has_table)?;
    Some((visible, visible.of(&context.snapshot.catalog)?))
}

/// The domain behind a schema's name.
///
/// # Errors
/// `3F000`; `42501` for the catalog's own schema.
pub fn domain<'a>(schema: &str, context: &'a Context) -> Result<&'a DomainName> {
    if schema == system::SCHEMA {
        return Err(denied_schema(schema).hint("It is open to everyone; nothing is granted on it."));
    }
    let found = context.visible.domains().iter().find(|domain| domain.schema_name() == schema);
    found.ok_or_else(|| undefined_schema(schema))
}

fn schema_exists(schema: &str, context: &Context) -> bool {
    schema == system::SCHEMA || context.visible.schemas().contains(schema)
}

/// A user of this name, or else a group.
pub fn principal_named(name: &str, context: &Context) -> Option<Grantee> {
    let catalog = &context.snapshot.catalog;
    if catalog.users.contains_key(name) {
        return Some(Grantee::User(name.to_owned()));
    }
    group_named(name, context)
}

pub fn group_named(name: &str, context: &Context) -> Option<Grantee> {
    context.snapshot.catalog.groups.contains(name).then(|| Grantee::Group(name.to_owned()))
}

/// `sales.orders`, `"Sales" . orders`: the parts of a name, folded.
fn qualified_name(text: &str) -> Option<Vec<String>> {
    let tokens = tokens(text).ok()?;
    let mut parts = Vec::new();
    let mut significant = tokens.into_iter().map(|token| token.token).filter(|t| !matches!(t, Token::Whitespace(_)));
    loop {
        let Some(Token::Word(word)) = significant.next() else { return None };
        parts.push(if word.quote_style.is_some() { word.value } else { word.value.to_lowercase() });
        match significant.next() {
            None => return Some(parts),
            Some(Token::Period) => {}
            Some(_) => return None,
        }
    }
}

pub fn undefined_table(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
}

fn undefined_schema(name: &str) -> Error {
    Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
}

pub fn undefined_role(name: &str) -> Error {
    Error::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
}

pub fn denied_table(table: &str) -> Error {
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for table {table}"))
}

pub fn denied_schema(schema: &str) -> Error {
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for schema {schema}"))
}

/// What is recorded of a change of access, or of its refusal.
pub struct Recording {
    pub kind: &'static str,
    pub outcome: &'static str,
    /// The product or domain.
    pub object: String,
    /// The grant that it is about.
    pub grant: Option<u32>,
    pub detail: Option<String>,
}

/// Records durably what a principal does, or was refused, with access to objects. A change is recorded before it is
/// made, so that none can go unrecorded.
///
/// # Errors
/// `53100` when it cannot be recorded.
pub async fn record(recordings: Vec<Recording>, context: &Context) -> Result<()> {
    let recorded = recordings.into_iter().map(|recording| {
        let mut record = audit::record(recording.kind, context);
        record.domain = recording.object.split('.').next().map(str::to_owned);
        record.object = Some(recording.object);
        record.outcome = Some(recording.outcome);
        record.policies = recording.grant.map(|id| vec![format!("grant:{id}")]);
        record.detail = recording.detail;
        context.mesh.state.append(Stream::Audit, &record)
    });
    // all of them share one fsync
    try_join_all(recorded.collect::<Vec<_>>()).await.map(drop)
}

/// Does a change to its end, even when whoever asked for it cancels or hangs up meanwhile: what is recorded is done.
///
/// # Errors
/// What the work answers.
pub async fn to_its_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.map_err(Error::internal)?
}

/// Records a refusal.
///
/// # Errors
/// `53100` when it cannot be recorded.
pub async fn record_denied(kind: &'static str, object: &str, detail: Option<String>, context: &Context) -> Result<()> {
    let recording = Recording { kind, outcome: "denied", object: object.to_owned(), grant: None, detail };
    record(vec![recording], context).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_texts() {
        for (text, expected) in [
            ("orders", Some(&["orders"][..])),
            ("Sales.Orders", Some(&["sales", "orders"])),
            (" \"Sales\" . orders ", Some(&["Sales", "orders"])),
            ("mesh.sales.orders", Some(&["mesh", "sales", "orders"])),
            ("", None),
            ("sales.", None),
            (".orders", None),
            ("sales orders", None),
            ("'sales'", None),
            ("sales.orders;", None),
            ("\"open", None),
        ] {
            let expected = expected.map(|parts| parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>());
            assert_eq!(qualified_name(text), expected, "{text}");
        }
    }
}
