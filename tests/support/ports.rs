//! Ports for programs that cannot bind port 0: below the range that the system gives to connections and to listeners on
//! port 0, so that no test which runs beside is given the port between our asking and the program's binding.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const SPAN: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody else of this process is told, and on which nobody listens.
#[allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is its own crate and uses a part of this"
)]
#[allow(clippy::unwrap_used, reason = "a process number fits")]
pub fn free_port() -> u16 {
    // Test programs run one after another; those that an editor runs beside begin somewhere else.
    let start = u16::try_from(std::process::id().wrapping_mul(101) % u32::from(SPAN)).unwrap();
    for _ in 0..SPAN {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(step)) % SPAN;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {FIRST} to {} is taken", FIRST + SPAN);
}
