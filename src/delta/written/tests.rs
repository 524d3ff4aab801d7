//! Written tables in temporary folders.
