//! Delta tables. The products' are opened once, refreshed incrementally, shared as immutable snapshots; those of the
//! server's own state are written too (`written`).
//!
//! The only room that names deltalake and the kernel beneath it. It knows locations, versions and commits, and refuses to know contracts,
//! principals or SQL: a [`TableSnapshot`] hands out a bare, unsecured `TableProvider`, and fencing it is the business of
//! `access`.
//!
//! ```text
//! Tables::snapshot(location, max_staleness)
//!   └─ Entry (one per location, single flight) ── refresh: two HEAD requests; new commits only when there are any
//!        │        └─ travel: which version stood at a time, and older versions, a few of them kept
//!        └─ TableStore (this table's paths and credentials, read only) ── Stores (named credentials)
//! ```
//!
//! INVARIANT: a table is read with its own credentials and inside its own folder. DataFusion finds stores by the host of
//! a URL and caches Parquet footers by path alone, so every open table lives under a host and a path that no other table
//! has (`pgmesh://t7/t7/…`). What a log names outside of that, by `..` or by an absolute URL, cannot be reached.

#[cfg(test)]
mod acceptance;
mod changes;
mod commits;
mod described;
mod engine;
mod error;
#[cfg(test)]
pub(crate) mod fake_s3;
#[cfg(test)]
pub(crate) mod fixtures;
mod history;
mod narrowed;
mod registry;
mod rooted;
mod snapshot;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod travel;
#[cfg(test)]
mod travel_tests;
mod written;

pub use changes::Changes;
pub use error::DeltaError;
pub use history::Commit;
pub use snapshot::TableSnapshot;
pub use store::Stores;
pub use table::{TableLocation, Tables};
pub use travel::At;
pub use written::{Committed, LiveFile, NewCommit, NewFile, Newest, WrittenFolder, WrittenTable};
