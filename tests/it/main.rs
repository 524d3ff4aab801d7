//! The integration tests, in one binary because linking is slow.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it should be, helpers included")]
#![expect(clippy::duplicate_mod, reason = "deletion vectors are written as the sample mesh's generator writes them")]

mod attacks;
mod audit;
mod binary;
mod break_glass;
mod column_types;
mod copy;
mod cursors;
mod discovery;
mod encoding;
mod freshness;
mod functions;
mod grants;
mod large_texts;
mod limits;
mod masks;
mod notify;
mod pg_catalog;
mod pgbouncer;
mod portals;
mod postgres;
mod prepare;
mod protocol;
mod raw;
mod sample_mesh;
mod serving;
mod session_settings;
mod shares;
mod sql;
mod state_disk;
mod state_kill;
mod tidy;
mod tls;
mod tokio_client;
mod transactions;
mod travel;
mod twin;
mod views;
