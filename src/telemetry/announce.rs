//! What a person at the terminal should read whatever the log level is: one line a listener, and where to
//! look first.
//!
//! On stdout, while logs go to stderr, so that either can be had without the other.

use std::io::Write;

/// Writes one line to stdout. A closed stdout is no reason to stop a gateway.
pub fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
