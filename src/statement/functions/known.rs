//! What functions know of the catalog: what its relations show to the principal.

use std::ops::Deref;

use super::super::context::Context;
use super::super::system;

/// What one statement's functions know.
pub struct Known {
    context: Context,
}

impl Deref for Known {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Known {
    pub fn new(context: &Context) -> Self {
        Self { context: context.clone() }
    }
}

/// The schemas of a path that exist for the principal, each once; those that PostgreSQL searches unasked apart.
pub fn existing_path(context: &Context) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for schema in context.search_path() {
        let exists = context.visible.schemas().contains(&schema)
            || [system::SCHEMA, "pg_catalog", "information_schema"].contains(&schema.as_str());
        if exists && !path.contains(&schema) {
            path.push(schema);
        }
    }
    path
}
