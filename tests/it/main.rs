//! The one integration binary.

mod encoding;
mod postgres;
