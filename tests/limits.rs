//! What a hostile or clumsy sender can cost: a cardinality bomb, bad spans; and what the gateway weighs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod proof_support;
mod support;

use proof_support::{Group, await_totals, counts, group, memory_kib, request, send, send_request};
use std::time::Duration;
use support::{Gateway, Setup, sample};

const MIB: u64 = 1024;

/// Deployments `from..to` of `svc`, one bad and two good requests each.
fn deployments(range: std::ops::Range<usize>) -> Vec<Group> {
    range
        .map(|i| group("svc", &format!("sha-{i:07}"), &[], 2, 1))
        .collect()
}

#[test]
fn memory_at_rest_is_below_32_mib() {
    let gateway = Gateway::start(&Setup::default());
    std::thread::sleep(Duration::from_secs(3));
    let (resident, anonymous) = memory_kib(gateway.pid());
    println!("at rest: {resident} KiB resident, of that {anonymous} KiB anonymous");
    // Of a debug build the pages of the binary alone are half of that; what we allocate is the same.
    let ours = if cfg!(debug_assertions) {
        anonymous
    } else {
        resident
    };
    assert!(ours < 32 * MIB, "{ours} KiB");
}

#[test]
fn a_cardinality_bomb_costs_no_memory_and_no_count() {
    let cohorts = "cohorts: { max_new_per_minute: 10000000, max_per_service: 10000, max_total: 100000 }";
    let gateway = Gateway::start(&Setup {
        error_budget: format!("{{ {cohorts} }}"),
        ..Setup::default()
    });
    send(&gateway, &[group("svc", "known", &["checkout"], 70, 7)]);
    await_totals(&gateway, "svc", (70, 7));
    let (rest, _) = memory_kib(gateway.pid());

    // Up to the cap: each has a series of its own. `known` and its flag took two places.
    for batch in 0..10 {
        send(&gateway, &deployments(batch * 1000..(batch + 1) * 1000));
    }
    await_totals(&gateway, "svc", (70 + 20_000, 7 + 10_000));
    std::thread::sleep(Duration::from_secs(3));
    let (at_cap, _) = memory_kib(gateway.pid());
    let series = sample(&gateway.metrics(), "burngate_ledger_series", &[]).unwrap();
    println!(
        "10k cohorts: {at_cap} KiB resident, {} KiB more than at rest, {series} series",
        at_cap - rest
    );
    assert!((10_000.0..=10_010.0).contains(&series), "{series}");

    // Far beyond it: 190,000 more that nobody has seen before.
    for batch in 10..200 {
        send(&gateway, &deployments(batch * 1000..(batch + 1) * 1000));
    }
    send(&gateway, &[group("svc", "known", &["checkout"], 30, 3)]);
    await_totals(&gateway, "svc", (100 + 400_000, 10 + 200_000));
    let (bombed, _) = memory_kib(gateway.pid());
    println!(
        "200k deployments later: {bombed} KiB, {} KiB more",
        bombed.saturating_sub(at_cap)
    );
    assert!(bombed < at_cap + 64 * MIB, "{bombed} KiB after {at_cap} KiB");

    let list = gateway.api("/api/v1/cohorts?limit=10000");
    assert_eq!(list["truncated"], true, "10,000 and the overflow");
    let of = |path: &str| gateway.api(path)["cohorts"].clone();
    let known = of("/api/v1/cohorts?sha=known");
    assert_eq!(
        counts(&known, |b| b["flag"].is_null()),
        (100, 10),
        "an old cohort stays exact"
    );
    assert_eq!(counts(&known, |b| b["flag"] == "checkout"), (100, 10));
    assert_eq!(counts(&of("/api/v1/cohorts?sha=sha-0000000"), |_| true), (2, 1));
    assert_eq!(
        of("/api/v1/cohorts?sha=sha-0199999").as_array().unwrap().len(),
        0,
        "beyond the cap"
    );
    overflow_has_the_rest(&gateway);
}

/// Totals are deployments and overflow together: nothing is lost and nothing counts twice.
fn overflow_has_the_rest(gateway: &Gateway) {
    let page = gateway.metrics();
    let lines: Vec<&str> = page
        .lines()
        .filter(|l| l.starts_with("slo_events_total"))
        .collect();
    let sum = |label: &str, outcome: &str| -> f64 {
        let ours = lines
            .iter()
            .filter(|l| l.contains(label) && l.contains(&format!("outcome=\"{outcome}\"")));
        ours.map(|l| l.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum()
    };
    let overflow = (
        sum("level=\"overflow\"", "good"),
        sum("level=\"overflow\"", "bad"),
    );
    assert!(overflow.0 >= 380_000.0 && overflow.1 >= 190_000.0, "{overflow:?}");
    let omitted = sample(&page, "burngate_publish_cohorts_omitted", &[]).unwrap();
    assert!(omitted <= 1.0, "{omitted}");
    let counted = sample(&page, "burngate_cohort_overflow_events_total", &[]).unwrap();
    assert!(counted >= 570_000.0, "{counted}");
}

#[test]
fn one_bad_span_is_rejected_and_the_rest_counts() {
    let gateway = Gateway::start(&Setup::default());
    let mut bad = request(&[group("svc", "abc", &[], 9, 2)]);
    bad.resource_spans[0].scope_spans[0].spans[5].trace_id = vec![7; 15];
    let answer = send_request(&gateway, &bad)
        .partial_success
        .expect("a partial success");
    assert_eq!(answer.rejected_spans, 1);
    assert!(
        answer.error_message.contains("trace id"),
        "{}",
        answer.error_message
    );
    await_totals(&gateway, "svc", (8, 2));
    let rejected = [("transport", "http"), ("signal", "traces")];
    assert_eq!(
        sample(
            &gateway.metrics(),
            "burngate_receiver_rejected_items_total",
            &rejected
        ),
        Some(1.0)
    );
    let json =
        br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102","spanId":"0102030405060708"}]}]}]}"#;
    let url = format!("{}/v1/traces", gateway.http());
    let (status, body) = support::post(&url, "application/json", json.to_vec());
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["partialSuccess"]["rejectedSpans"], "1", "{body}");
}
