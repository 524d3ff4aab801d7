//! The only room that names pgwire: bytes from and to clients.

pub mod scram;
pub mod tls;
