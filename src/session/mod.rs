//! What one connection is between its statements.

pub mod time_zone;
