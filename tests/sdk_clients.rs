//! The official OpenTelemetry SDKs send, and every request arrives exactly once: in its service's total, its deployment and its
//! flag variants. Python and JavaScript, gRPC, HTTP/protobuf and HTTP/JSON, plain and gzip.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "counts that are whole numbers well below 2^53"
)]

mod support;

use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use support::{Gateway, Setup, eventually, javascript, python, shared};

/// What one emitter run sends.
struct Run<'a> {
    service: &'a str,
    sha: &'a str,
    flags: &'a str,
    n: u64,
    errors: f64,
}

impl Run<'_> {
    fn args(&self) -> Vec<String> {
        [
            "--service",
            self.service,
            "--sha",
            self.sha,
            "--flags",
            self.flags,
        ]
        .iter()
        .map(|s| (*s).to_owned())
        .chain([
            "--n".to_owned(),
            self.n.to_string(),
            "--error-ratio".to_owned(),
            self.errors.to_string(),
        ])
        // Within the last seconds: all of it falls into windows that are open.
        .chain(["--span-seconds".to_owned(), "5".to_owned()])
        .collect()
    }

    fn bad(&self) -> u64 {
        (self.n as f64 * self.errors).round() as u64
    }
}

fn emit(mut command: Command) -> Value {
    let output = command.output().expect("the emitter starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(said.lines().last().expect("a receipt")).expect("a receipt in JSON")
}

fn counts(list: &Value, pick: impl Fn(&Value) -> bool) -> (u64, u64) {
    list.as_array()
        .unwrap()
        .iter()
        .filter(|b| pick(b))
        .fold((0, 0), |(good, bad), b| {
            (
                good + b["good_total"].as_u64().unwrap(),
                bad + b["bad_total"].as_u64().unwrap(),
            )
        })
}

/// Waits for the exact counts, in the total, the deployment and each flag; and then that they stay so.
fn assert_exact(gateway: &Gateway, run: &Run<'_>) {
    let want = (run.n - run.bad(), run.bad());
    let look = || {
        let total = counts(&gateway.api("/api/v1/budgets")["budgets"], |b| {
            b["service"] == run.service
        });
        let cohorts = gateway.api(&format!("/api/v1/cohorts?service={}", run.service));
        let ours = &cohorts["cohorts"];
        let deployment = counts(ours, |b| b["sha"] == run.sha && b["flag"].is_null());
        let flags: Vec<_> = run
            .flags
            .split(',')
            .map(|f| {
                counts(ours, |b| {
                    b["flag"] == f && b["variant"] == "on" && b["sha"] == run.sha
                })
            })
            .collect();
        (total, deployment, flags)
    };
    let wanted = (want, want, vec![want; run.flags.split(',').count()]);
    eventually("exact counts", Duration::from_secs(20), || {
        (look() == wanted).then_some(())
    });
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(look(), wanted, "nothing arrives twice");
}

#[test]
fn python_sdk_counts_arrive_exactly_over_grpc_and_http() {
    let (Some(python), Some(shared)) = (python(), shared()) else {
        return;
    };
    let gateway = Gateway::start(&Setup::default());
    let protocols = [
        ("grpc", gateway.grpc(), vec!["--gzip"]),
        ("grpc", gateway.grpc(), vec!["--flags-as", "csv"]),
        ("http", gateway.http(), vec![]),
        (
            "http",
            gateway.http(),
            vec!["--gzip", "--signals", "traces,metrics,logs"],
        ),
    ];
    for (index, (protocol, endpoint, more)) in protocols.into_iter().enumerate() {
        let service = format!("py-{index}");
        let run = Run {
            service: &service,
            sha: "9fceb02",
            flags: "new-checkout,fast",
            n: 400,
            errors: 0.05,
        };
        let mut command = Command::new(&python);
        command.arg(shared.join("tools/clients/emit_py.py")).args([
            "--protocol",
            protocol,
            "--endpoint",
            &endpoint,
        ]);
        let receipt = emit({
            command.args(run.args()).args(more);
            command
        });
        assert_eq!(receipt["flushed"], true);
        assert_eq!(receipt["errors"], run.bad());
        assert_exact(&gateway, &run);
    }
}

#[test]
fn javascript_sdk_counts_arrive_exactly_over_grpc_protobuf_and_json() {
    let Some(folder) = javascript() else { return };
    let gateway = Gateway::start(&Setup::default());
    for (protocol, endpoint, more) in [
        ("grpc", gateway.grpc(), None),
        ("http", gateway.http(), Some("--gzip")),
        ("json", gateway.http(), None),
    ] {
        let service = format!("js-{protocol}");
        let run = Run {
            service: &service,
            sha: "4f2c1e9",
            flags: "express-pay",
            n: 300,
            errors: 0.1,
        };
        let mut command = Command::new("node");
        command.current_dir(&folder).arg("emit_js.mjs").args([
            "--protocol",
            protocol,
            "--endpoint",
            &endpoint,
        ]);
        let receipt = emit({
            command.args(run.args()).args(more);
            command
        });
        assert_eq!(receipt["flushed"], true, "{receipt}");
        assert_exact(&gateway, &run);
    }
}

#[test]
fn openfeature_span_events_count_each_variant() {
    let (Some(python), Some(shared)) = (python(), shared()) else {
        return;
    };
    let gateway = Gateway::start(&Setup::default());
    let receipt = emit({
        let mut command = Command::new(&python);
        command.arg(shared.join("tools/clients/emit_openfeature_py.py"));
        command.args([
            "--endpoint",
            &gateway.grpc(),
            "--n",
            "500",
            "--service",
            "of",
            "--sha",
            "abc",
        ]);
        command
    });
    let arm = |variant: &str| {
        let cohorts = gateway.api("/api/v1/cohorts?service=of&flag=new-checkout");
        counts(&cohorts["cohorts"], |b| {
            b["variant"] == variant && b["sha"] == "abc"
        })
    };
    let want = |arm: &str| {
        let (all, bad) = (
            receipt[arm].as_u64().unwrap(),
            receipt[format!("{arm}_err")].as_u64().unwrap(),
        );
        (all - bad, bad)
    };
    eventually("both variants", Duration::from_secs(20), || {
        (arm("on") == want("on") && arm("off") == want("off")).then_some(())
    });
    assert!(want("on").1 > 0, "the run had failures");
}

#[test]
fn all_three_signals_are_accepted_and_counted() {
    let (Some(python), Some(shared)) = (python(), shared()) else {
        return;
    };
    let gateway = Gateway::start(&Setup::default());
    emit({
        let mut command = Command::new(&python);
        command.arg(shared.join("tools/clients/emit_py.py"));
        command.args([
            "--endpoint",
            &gateway.grpc(),
            "--n",
            "50",
            "--signals",
            "traces,metrics,logs",
        ]);
        command
    });
    let page = gateway.metrics();
    let accepted = |signal| {
        let labels = [("signal", signal), ("transport", "grpc")];
        support::sample(&page, "burngate_receiver_accepted_items_total", &labels).unwrap_or(0.0)
    };
    assert_eq!(accepted("traces"), 100.0, "50 requests, each with a child span");
    assert!(accepted("metrics") >= 1.0);
    assert_eq!(accepted("logs"), 50.0);
}

/// The SDK sends the same requests as spans and as `http.server.request.duration`, cumulative and delta, with explicit and
/// exponential buckets; and both give the same SLIs, to the last request. Half of them take about as long as the
/// threshold, which is a bucket's bound.
#[test]
fn spans_and_metrics_of_the_same_sdk_traffic_give_the_same_slis() {
    let (Some(python), Some(shared)) = (python(), shared()) else {
        return;
    };
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let policy = "service: py-*\nslos:\n\
        - { name: availability-spans, target: 99% }\n\
        - { name: availability-metrics, target: 99%, sli: { metrics: http.server.request.duration } }\n\
        - { name: latency-spans, target: 99%, sli: { faster_than: 250ms } }\n\
        - { name: latency-metrics, target: 99%, sli: { metrics: http.server.request.duration, faster_than: 250ms } }\n";
    let gateway = Gateway::start_with(&setup, &[("policies/py.yaml", policy)]);
    for (index, more) in [
        &["--temporality", "cumulative"][..],
        &["--temporality", "delta"],
        &["--temporality", "cumulative", "--exponential"],
        &["--temporality", "delta", "--exponential", "--protocol", "http"],
    ]
    .into_iter()
    .enumerate()
    {
        let service = format!("py-{index}");
        let run = Run {
            service: &service,
            sha: "9fceb02",
            flags: "new-checkout",
            n: 300,
            errors: 0.1,
        };
        let endpoint = if more.contains(&"http") {
            gateway.http()
        } else {
            gateway.grpc()
        };
        let mut command = Command::new(&python);
        command
            .arg(shared.join("tools/clients/emit_py.py"))
            .args(["--endpoint", &endpoint, "--latency-ms", "250"])
            .args(run.args())
            .args(more);
        let receipt = emit(command);
        assert_eq!(receipt["flushed"], true);
        let (n, bad) = (run.n, run.bad());
        let of = |slo: &str, list: &Value, cohort: Option<(&str, Option<&str>)>| {
            counts(list, |b| {
                let ours = cohort.is_none_or(|(sha, flag)| b["sha"] == sha && b["flag"].as_str() == flag);
                b["service"] == service && b["slo"] == slo && ours
            })
        };
        let look = || {
            let budgets = gateway.api("/api/v1/budgets");
            let cohorts = gateway.api(&format!("/api/v1/cohorts?service={service}"));
            ["spans", "metrics"].map(|signal| {
                ["availability", "latency"].map(|slo| {
                    let slo = format!("{slo}-{signal}");
                    [
                        of(&slo, &budgets["budgets"], None),
                        of(&slo, &cohorts["cohorts"], Some((run.sha, None))),
                        of(&slo, &cohorts["cohorts"], Some((run.sha, Some("new-checkout")))),
                    ]
                })
            })
        };
        let [spans, metrics] = eventually("all requests in every SLO", Duration::from_secs(30), || {
            let seen = look();
            let complete = seen.iter().flatten().flatten().all(|(good, bad)| good + bad == n);
            complete.then_some(seen)
        });
        assert_eq!(spans[0], [(n - bad, bad); 3], "{more:?}");
        let slow = spans[1][0].1;
        assert!(
            bad + 50 < slow && slow < n - 50,
            "{slow} of {n} on the wrong side of the threshold"
        );
        assert_eq!(metrics, spans, "{more:?}");
        let budgets = gateway.api("/api/v1/budgets");
        let quality = |slo: &str| {
            let all = budgets["budgets"].as_array().unwrap();
            let ours = all.iter().find(|b| b["service"] == service && b["slo"] == slo);
            ours.unwrap()["sli_quality"].clone()
        };
        assert_eq!(quality("latency-metrics"), "exact", "{more:?}");
    }
}
