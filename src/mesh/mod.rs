//! Joins contracts and tables: the only rooms that know both are this one and those above it.

pub mod conformity;
