//! What is remembered of metrics is small, and a known stream costs no memory a point.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../benches/common/mod.rs"]
mod common;
mod metrics_support;

use burngate::time::UnixNanos;
use common::points::request;
use metrics_support::{CUMULATIVE, SECOND};

/// Resident memory of the process, in bytes.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[test]
fn a_hundred_thousand_streams_of_histograms_fit_into_forty_megabytes() {
    let slis = ["{ metrics: http.server.request.duration, faster_than: 250ms }"];
    let tap = metrics_support::tap_for("checkout", &slis);
    let at = 1_790_000_000 * SECOND;
    let bytes = request(1, 100_000, CUMULATIVE, (at - 10 * SECOND, at));
    let before = resident_bytes();
    tap.process_metrics(&bytes, None, UnixNanos(at), |_| {}).unwrap();
    let grown = resident_bytes()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    let (streams, own) = {
        let streams = tap.streams().lock().unwrap();
        (streams.len(), streams.bytes())
    };
    eprintln!("{streams} streams: {own} bytes by their own account, resident memory grew by {grown:?}");
    assert_eq!(streams, 100_000);
    assert!(own < 40 << 20, "{own} bytes");
    // They come again, and again, and what is known of them does not grow.
    for turn in 2..5 {
        let now = at + turn * 10 * SECOND;
        let bytes = request(turn, 100_000, CUMULATIVE, (at - 10 * SECOND, now));
        tap.process_metrics(&bytes, None, UnixNanos(now), |_| {}).unwrap();
    }
    let streams = tap.streams().lock().unwrap();
    assert_eq!(streams.len(), 100_000);
    assert!(streams.bytes() < 40 << 20, "{} bytes", streams.bytes());
}
