//! pgmesh: a governed data mesh behind the PostgreSQL wire protocol.

pub mod catalog;
pub mod error;
pub mod session;
pub mod wire;
