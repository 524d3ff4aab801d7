//! pgmesh: a governed data mesh behind the PostgreSQL wire protocol.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod error;
pub mod telemetry;
pub mod wire;
