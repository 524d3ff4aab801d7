//! pgmesh: a governed data mesh behind the PostgreSQL wire protocol.

pub mod catalog;
pub mod delta;
pub mod error;
pub mod mesh;
pub mod quality;
