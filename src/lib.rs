//! pgmesh: a governed data mesh behind the PostgreSQL wire protocol.

pub mod access;
pub mod catalog;
pub mod delta;
pub mod error;
pub mod session;
pub mod wire;
