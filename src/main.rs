//! The program: hands its arguments to the command line.

use std::process::ExitCode;

/// Gives memory back after large results, and is faster than the system's with many small ones.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pgmesh::cli::run(std::env::args_os())
}
