//! `kill -9` of the real binary under cumulative metrics: every event is counted, each once, also those of the
//! time in which nobody was there; and the API says how the SLI is known.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; a real process in real time"
)]

mod metrics_support;
mod support;

use metrics_support::{CUMULATIVE, buckets, histogram, int, request, text};
use prost::Message;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Gateway, Setup, eventually, post, sample};

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the service has counted since its start: good ones in three buckets, and bad ones.
fn export(gateway: &Gateway, start: u64, good: [u64; 4], bad: u64) {
    let times = (start, now_secs());
    let point = |code, counts| buckets(vec![int("http.response.status_code", code)], times, counts);
    let points = vec![point(200, good), point(500, [0, 0, 0, bad])];
    let metrics = vec![histogram("http.server.request.duration", CUMULATIVE, points)];
    let bytes = request(vec![text("deployment.sha", "abc")], metrics).encode_to_vec();
    let (status, answer) = post(
        &format!("{}/v1/metrics", gateway.http()),
        "application/x-protobuf",
        bytes,
    );
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

/// (good, bad, quality) of an SLO's total.
fn of(gateway: &Gateway, slo: &str) -> Option<(u64, u64, String)> {
    let budgets = gateway.api("/api/v1/budgets");
    let found = budgets["budgets"]
        .as_array()?
        .iter()
        .find(|budget| budget["slo"] == slo)?;
    Some((
        found["good_total"].as_u64()?,
        found["bad_total"].as_u64()?,
        found["sli_quality"].as_str()?.to_owned(),
    ))
}

fn await_counts(gateway: &Gateway, expected: &[(&str, u64, u64, &str)]) {
    for (slo, good, bad, quality) in expected {
        let expected = Some((*good, *bad, (*quality).to_owned()));
        eventually(&format!("{slo} at {expected:?}"), Duration::from_secs(30), || {
            (of(gateway, slo) == expected).then_some(())
        });
    }
}

#[test]
fn kill_9_neither_loses_nor_repeats_an_event_of_a_cumulative_stream() {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let policy = "service: shop\nslos:\n\
        - { name: availability, target: 99%, sli: { metrics: http.server.request.duration } }\n\
        - { name: fast, target: 99%, sli: { metrics: http.server.request.duration, faster_than: 250ms } }\n\
        - { name: between, target: 99%, sli: { metrics: http.server.request.duration, faster_than: 300ms } }\n";
    let gateway = Gateway::start_with(&setup, &[("policies/shop.yaml", policy)]);
    // The service starts under the eyes of the gateway.
    let start = now_secs() + 1;
    std::thread::sleep(Duration::from_millis(1_500));
    export(&gateway, start, [5, 5, 10, 0], 2);
    await_counts(
        &gateway,
        &[
            ("availability", 20, 2, "exact"),
            ("fast", 10, 12, "exact"),
            ("between", 12, 10, "interpolated"),
        ],
    );
    let page = gateway.metrics();
    let quality = |slo: &str| sample(&page, "slo_sli_quality", &[("service", "shop"), ("slo", slo)]);
    assert_eq!((quality("fast"), quality("between")), (Some(0.0), Some(1.0)));

    // What was shown a while ago is in the store; what came since may be lost with its streams, and comes again.
    std::thread::sleep(Duration::from_millis(2_500));
    export(&gateway, start, [6, 6, 11, 0], 3);
    let dir = gateway.kill9().unwrap();
    let gateway = Gateway::start_in(dir.path(), &["run", "--config", "gateway.yaml"], &[]);
    export(&gateway, start, [16, 6, 16, 0], 4);
    export(&gateway, start, [16, 6, 16, 0], 4);
    await_counts(
        &gateway,
        &[
            ("availability", 38, 4, "exact"),
            ("fast", 22, 20, "exact"),
            ("between", 25, 17, "interpolated"),
        ],
    );
}
