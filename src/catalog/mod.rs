//! The mesh as contracts and policies describe it: from files to one immutable, validated snapshot.

pub mod credentials;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod init;
pub mod keys;
pub mod load;
pub mod model;
pub mod oids;
mod revoke;
pub mod snapshot;
mod units;
mod validate;
pub mod verifier;
pub mod watch;
mod yaml;

pub use units::parse_duration;
