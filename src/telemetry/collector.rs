//! The Collector's own metrics that burngate has: what they mean, and the buckets of its histograms.
//!
//! The components record them; what they mean is told here, once, so that the page explains itself whichever
//! of them is running. docs/metrics.md has the same list, and a test compares the two.

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

/// Counters, by what stands before `spans`, `metric_points` and `log_records`.
const ITEM_COUNTERS: [(&str, &str); 7] = [
    ("otelcol_receiver_accepted_", "taken by a receiver"),
    (
        "otelcol_receiver_refused_",
        "that a receiver did not take, for whatever reason lay behind it",
    ),
    (
        "otelcol_receiver_failed_",
        "that a receiver could not take for a reason of its own",
    ),
    ("otelcol_processor_refused_", "refused for lack of memory"),
    ("otelcol_exporter_sent_", "taken by a backend"),
    (
        "otelcol_exporter_send_failed_",
        "given up after all retries, or refused for good",
    ),
    ("otelcol_exporter_enqueue_failed_", "that found the queue full"),
];
const ITEMS: [(&str, &str); 3] = [
    ("spans", "Spans"),
    ("metric_points", "Data points"),
    ("log_records", "Log records"),
];
/// Other counters.
const COUNTERS: [(&str, &str); 3] = [
    ("otelcol_receiver_requests", "Requests at a receiver, by outcome."),
    (
        "otelcol_processor_incoming_items",
        "Items that came to a processor.",
    ),
    (
        "otelcol_processor_outgoing_items",
        "Items that a processor passed on.",
    ),
];
const GAUGES: [(&str, &str); 3] = [
    (
        "otelcol_exporter_queue_size",
        "What waits in an exporter's queue, in the unit of its sizer.",
    ),
    (
        "otelcol_exporter_queue_capacity",
        "What an exporter's queue has room for.",
    ),
    (
        "otelcol_exporter_in_flight_requests",
        "Requests that an exporter waits for.",
    ),
];
const HISTOGRAMS: [(&str, &str); 2] = [
    (
        "otelcol_exporter_queue_batch_send_size",
        "Items of one request of an exporter.",
    ),
    (
        "otelcol_exporter_queue_batch_send_size_bytes",
        "Bytes of one request of an exporter.",
    ),
];

/// Items, as the Collector has them for sizes of batches.
const SIZES: [f64; 22] = [
    10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0,
    7000.0, 8000.0, 9000.0, 10_000.0, 20_000.0, 30_000.0, 50_000.0, 100_000.0,
];
/// Bytes, likewise.
const BYTES: [f64; 15] = [
    10.0,
    100.0,
    1000.0,
    10_000.0,
    20_000.0,
    50_000.0,
    100_000.0,
    200_000.0,
    500_000.0,
    1_000_000.0,
    2_000_000.0,
    4_000_000.0,
    8_000_000.0,
    16_000_000.0,
    64_000_000.0,
];

/// Gives histograms their buckets; without it they would be summaries, which cannot be added up.
pub(super) fn buckets(mut builder: PrometheusBuilder) -> PrometheusBuilder {
    for (name, _) in HISTOGRAMS {
        let bounds: &[f64] = if name.ends_with("_bytes") { &BYTES } else { &SIZES };
        // An error means no buckets at all, which there are.
        builder = match builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds) {
            Ok(builder) => builder,
            Err(_) => PrometheusBuilder::new(),
        };
    }
    builder
}

pub(super) fn describe() {
    for (prefix, what) in ITEM_COUNTERS {
        for (item, items) in ITEMS {
            describe_counter!(format!("{prefix}{item}"), format!("{items} {what}."));
        }
    }
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(name, help);
    }
}

/// Every name above.
#[cfg(test)]
pub(super) fn names() -> std::collections::BTreeSet<String> {
    let items = ITEM_COUNTERS
        .iter()
        .flat_map(|(prefix, _)| ITEMS.map(|(item, _)| format!("{prefix}{item}")));
    let others = COUNTERS
        .iter()
        .chain(&GAUGES)
        .chain(&HISTOGRAMS)
        .map(|(name, _)| (*name).to_owned());
    items.chain(others).collect()
}
