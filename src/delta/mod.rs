//! Delta tables. The products' are opened once, refreshed incrementally, shared as immutable snapshots; those of the
//! server's own state are written too (`written`).
//!
//! The only room that names deltalake. It knows locations, versions and commits, and refuses to know contracts,
//! principals or SQL: a [`TableSnapshot`] hands out a bare, unsecured `TableProvider`, and fencing it is the business of
//! `access`.
//!
//! ```text
//! Tables::snapshot(location, max_staleness)
//!   └─ Entry (one per location, single flight) ── refresh: two HEAD requests; new commits only when there are any
//!        └─ TableStore (this table's paths and credentials, read only) ── Stores (named credentials)
//! ```
//!
//! INVARIANT: a table is read with its own credentials and inside its own folder. DataFusion finds stores by the host of
//! a URL and caches Parquet footers by path alone, so every open table lives under a host and a path that no other table
//! has (`pgmesh://t7/t7/…`). What a log names outside of that, by `..` or by an absolute URL, cannot be reached.

#[cfg(test)]
mod acceptance;
mod commits;
mod described;
mod error;
#[cfg(test)]
mod fake_s3;
#[cfg(test)]
pub(crate) mod fixtures;
mod registry;
mod rooted;
mod snapshot;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod written;

pub use error::DeltaError;
pub use snapshot::TableSnapshot;
pub use store::Stores;
pub use table::{TableLocation, Tables};
pub use written::{Changes, Committed, LiveFile, NewFile, Newest, WrittenFolder, WrittenTable};
