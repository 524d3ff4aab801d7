//! Values as PostgreSQL writes them (its `…out` and `…send` functions).
//!
//! It owns the forms of numbers, times and JSON. It refuses to know Arrow's arrays and messages.

pub mod json;
pub mod number;
pub mod numeric;
pub mod temporal;
