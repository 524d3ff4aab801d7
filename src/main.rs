//! The program: hands its arguments to the command line.

use std::process::ExitCode;

/// Keeps little more than what is in use while large results stream, and gives it back when they end.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pgmesh::cli::run(std::env::args_os())
}
