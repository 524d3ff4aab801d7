//! The only room that names pgwire: from bytes to messages and back.
//!
//! A connection starts in `startup` (TLS, authentication), lives in `connection` (simple and extended protocol) and sends
//! rows through `rows` and `encode`. Message bodies from clients are taken apart by `message`. What all connections
//! share is in `shared`.

pub mod cancel;
mod channel;
mod connection;
pub mod decode;
pub mod encode;
mod extended;
pub mod message;
mod reply;
mod rows;
pub mod scram;
mod shared;
mod startup;
pub mod tls;

pub use connection::{refuse, serve};
pub use shared::{Limits, Shared, UserCounts};
