//! PostgreSQL's side of a value: its types, how it is written to a client and how a parameter is read.

pub mod decode;
pub mod encode;
pub mod types;
