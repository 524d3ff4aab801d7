//! The functions of the catalog and the session: who asks, what there is, what it is called, what may be done with it.
//!
//! PostgreSQL 15, sections 9.26 "System Information Functions and Operators" and 9.27 "System Administration Functions".
//! They are made for each statement from its [`Context`], so nothing a client sends can change what they say about
//! identity, and they know of the catalog what its relations show to the principal.

mod acl;
mod arrays;
pub mod call;
mod comments;
mod definitions;
mod describe;
mod indexes;
mod keywords;
mod known;
mod privileges;
mod procs;
mod quote;
pub mod reg;
mod session;
pub mod sets;
mod settings;
pub mod shown;
mod sizes;
mod sleep;
mod texts;
pub mod types;
pub mod unknown;
mod visibility;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::ScalarUDF;

use super::context::Context;
use call::{Bound, Spec};

/// Every function by its name.
static BY_NAME: LazyLock<HashMap<&'static str, &'static Spec>> = LazyLock::new(|| {
    let all = [
        comments::FUNCTIONS,
        definitions::FUNCTIONS,
        describe::FUNCTIONS,
        indexes::FUNCTIONS,
        known::FUNCTIONS,
        privileges::FUNCTIONS,
        procs::FUNCTIONS,
        reg::FUNCTIONS,
        session::FUNCTIONS,
        settings::FUNCTIONS,
        sizes::FUNCTIONS,
        visibility::FUNCTIONS,
    ];
    all.into_iter().flatten().map(|spec| (spec.name, spec)).collect()
});

/// The function of this name, if it is one of the catalog's or of the session's, or one that reads arrays or quotes as
/// PostgreSQL does.
pub fn catalog_function(name: &str, context: &Context) -> Option<Arc<ScalarUDF>> {
    if let Some(spec) = BY_NAME.get(name) {
        return Some(Bound::function(spec, context));
    }
    quote::function(name)
        .or_else(|| arrays::function(name))
        .or_else(|| types::function(name))
        .or_else(|| sleep::function(name))
        .or_else(|| sets::planned(name, context))
        .or_else(|| super::notify::function(name, context))
}
