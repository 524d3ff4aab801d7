//! The mesh as contracts and policies describe it: from files to one immutable, validated snapshot.

pub mod model;
pub mod verifier;
