//! The binary: an allocator, a TLS provider, the command line. Everything else is in the library.

use std::process::ExitCode;

/// Batches come and go on many threads; the system's allocator keeps what it freed, this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A second provider in the process is the only way for this to fail, and then one is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    burngate::cli::main()
}
