//! Who may see what: pure decisions over the catalog's model, and the fence that enforces them on a plan. No I/O.
//!
//! ```text
//! User → Principal ─┐
//! Catalog, Grants ──┴→ decide → Access → Visible      what one principal sees of the catalog
//!                                  │
//!                       filter, mask → scope → SecuredTable → SecureScanExec   what leaves a table
//!                                                                   │
//!                                                      lint → Secured          what may run
//! ```
//!
//! INVARIANT: only [`lint::secure`] makes a [`lint::Secured`], and only a `Secured` plan runs.

pub mod about;
mod break_glass;
pub mod decide;
pub mod domains;
pub mod explain;
pub mod filter;
pub mod fingerprint;
mod glob;
pub mod grants;
mod leaf;
pub mod leakproof;
pub mod lint;
pub mod mask;
pub mod principal;
mod pruning;
#[cfg(test)]
mod recorder;
mod scan;
pub mod scope;
pub mod secure;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod visible;
pub mod whole;

pub use decide::{Access, ColumnMask, Decision, ReadScope, RowRule, decide};
pub use grants::{Grant, GrantObject, Grantee, Grants};
pub use lint::{Secured, lint, secure};
pub use principal::Principal;
pub use scan::missing_file;
pub use scope::CompiledScope;
pub use secure::SecuredTable;
pub use visible::{Visible, VisibleCache, VisibleProduct};
