//! pgmesh: a governed data mesh behind the PostgreSQL wire protocol.
//!
//! ```text
//! server ─► wire ─► session ─► statement ─► mesh ─► quality ─► access ─► catalog
//! accept    bytes   one        one path     joins   scores     pure      contracts
//!                   client     to rows        └───► delta      decisions
//!                                        └─► state  tables
//!                                            own records
//! ```
//!
//! Arrows between rooms never run back up; `error`, `pgtype`, `apply` (an operator of plans), `settings`, `config`, `engine`
//! and `telemetry` lie below them all. What the house holds to: a statement sees one catalog snapshot; only a plan that passed `access::lint` can run; identity comes
//! from authentication alone; everything has a limit with a name.

pub mod access;
pub mod apply;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod delta;
pub mod engine;
pub mod error;
pub mod mesh;
pub mod pgtype;
pub mod quality;
pub mod server;
pub mod session;
pub mod settings;
pub mod state;
pub mod statement;
pub mod telemetry;
pub mod wire;
