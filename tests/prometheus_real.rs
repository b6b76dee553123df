//! A real Prometheus scrapes `/metrics` every second while two services send, and what PromQL answers is what the API says and
//! what the sent counts come to, to 1e-9.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod proof_support;
mod support;

use proof_support::{Prometheus, await_totals, group, same, samples, send};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Gateway, Setup, eventually, has, python, shared};

const WINDOWS: [(&str, u64); 7] = [
    ("5m", 300),
    ("30m", 1800),
    ("1h", 3600),
    ("2h", 7200),
    ("6h", 21_600),
    ("24h", 86_400),
    ("3d", 259_200),
];
const PERIOD_SECS: f64 = 2_592_000.0;
const BUDGET: f64 = 0.001;

fn with_dashboard() -> Setup {
    // YAML takes the last word on the exporter that the harness writes: a second one of our own.
    Setup {
        exporters: "  prometheus/page: { endpoint: 127.0.0.1:0, dashboard_names: true }".into(),
        budget_exporters: vec!["prometheus/page".into()],
        ..Setup::default()
    }
}

fn target(gateway: &Gateway) -> String {
    gateway.addrs["prometheus"].to_string()
}

/// Everything that one service's total must say after `good` and `bad` events within the last minutes.
fn expected(good: f64, bad: f64) -> BTreeMap<&'static str, f64> {
    let burn = bad / (good + bad) / BUDGET;
    let exhaustion = match (1.0 - burn, burn) {
        (left, _) if left <= 0.0 => 0.0,
        (_, 0.0) => f64::INFINITY,
        (left, burn) => left * PERIOD_SECS / burn,
    };
    BTreeMap::from([
        ("slo_error_budget_remaining_ratio", 1.0 - burn),
        ("slo_error_budget_consumed_ratio", burn),
        ("slo_objective_ratio", 0.999),
        ("slo_error_budget_minutes", 43.2),
        ("slo_time_to_exhaustion_seconds", exhaustion),
        ("slo_events_total{outcome=\"good\"}", good),
        ("slo_events_total{outcome=\"bad\"}", bad),
        ("error_budget_remaining_pct", 100.0 - 100.0 * burn),
        ("error_budget_consumed_total", bad),
        ("error_budget_events", (good + bad) * BUDGET),
        ("burn_rate_fast", burn),
        ("burn_rate_slow", burn),
        ("burn_rate_critical", burn),
    ])
}

/// `name{...}` with the matchers of a service's total (or of what `more` says) put in.
fn selector(metric: &str, service: &str, more: &str) -> String {
    let (name, own) = metric.split_once('{').unwrap_or((metric, "}"));
    let own = own.trim_end_matches('}');
    let matchers = [&format!("service=\"{service}\""), own, more];
    let matchers: Vec<&str> = matchers.into_iter().filter(|m| !m.is_empty()).collect();
    format!("{name}{{{}}}", matchers.join(","))
}

fn assert_value(prometheus: &Prometheus, promql: &str, want: f64) {
    let got = prometheus
        .value(promql)
        .unwrap_or_else(|| panic!("{promql}: no series"));
    assert!(same(got, want), "{promql}: {got}, not {want}");
}

fn assert_total(prometheus: &Prometheus, service: &str, good: u64, bad: u64) {
    let total = "level=\"total\"";
    for (metric, want) in expected(good as f64, bad as f64) {
        assert_value(prometheus, &selector(metric, service, total), want);
    }
    assert_burns(
        prometheus,
        service,
        total,
        bad as f64 / (good + bad) as f64 / BUDGET,
    );
}

fn assert_burns(prometheus: &Prometheus, service: &str, more: &str, want: f64) {
    for (window, _) in WINDOWS {
        let metric = format!("slo_burn_rate{{window=\"{window}\"}}");
        assert_value(prometheus, &selector(&metric, service, more), want);
    }
}

/// What the API says of a budget equals what PromQL says of it.
fn assert_agrees(prometheus: &Prometheus, budget: &Value, more: &str) {
    let service = budget["service"].as_str().unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    let ask = |metric: &str, want: f64| assert_value(prometheus, &selector(metric, service, more), want);
    for window in budget["windows"].as_array().unwrap() {
        let (name, _) = WINDOWS
            .iter()
            .find(|(_, secs)| window["window_secs"] == *secs)
            .unwrap();
        ask(
            &format!("slo_burn_rate{{window=\"{name}\"}}"),
            number(&window["burn_rate"]),
        );
    }
    ask(
        "slo_events_total{outcome=\"good\"}",
        number(&budget["good_total"]),
    );
    ask("slo_events_total{outcome=\"bad\"}", number(&budget["bad_total"]));
    for alert in budget["alerts"].as_array().unwrap() {
        let name = alert["name"].as_str().unwrap();
        ask(
            &format!("slo_alert_state{{alert=\"{name}\"}}"),
            state(&alert["state"]),
        );
    }
    ask("slo_alert_state{alert=\"overall\"}", state(&budget["state"]));
    if more.contains("total") {
        ask("slo_error_budget_remaining_ratio", number(&budget["remaining"]));
        ask("slo_error_budget_consumed_ratio", number(&budget["consumed"]));
        ask("slo_error_budget_minutes", number(&budget["budget_minutes"]));
        ask("slo_objective_ratio", number(&budget["objective"]));
        let exhaustion = budget["time_to_exhaustion_secs"]
            .as_f64()
            .unwrap_or(f64::INFINITY);
        ask("slo_time_to_exhaustion_seconds", exhaustion);
    }
}

fn state(name: &Value) -> f64 {
    let names = [
        "no_data",
        "healthy",
        "slow_burn",
        "fast_burn",
        "critical_burn",
        "budget_exhausted",
    ];
    names
        .iter()
        .position(|n| name == n)
        .unwrap_or_else(|| panic!("{name}")) as f64
        - 1.0
}

/// Waits until a scrape has brought these counts; everything else on that page is of the same evaluation.
fn scraped(prometheus: &Prometheus, service: &str, good: u64, bad: u64) {
    let of = |outcome: &str| {
        let metric = format!("slo_events_total{{outcome=\"{outcome}\"}}");
        prometheus.value(&selector(&metric, service, "level=\"total\""))
    };
    eventually(
        &format!("{service}: {good} good, {bad} bad in Prometheus"),
        Duration::from_secs(30),
        || (of("good") == Some(good as f64) && of("bad") == Some(bad as f64)).then_some(()),
    );
}

#[test]
fn promql_says_what_the_api_says_and_what_was_sent() {
    if !has("prometheus") {
        return;
    }
    let gateway = Gateway::start(&with_dashboard());
    let prometheus = Prometheus::scraping(&target(&gateway));
    send(
        &gateway,
        &[
            group("checkout", "9fceb02", &["new-checkout"], 1900, 100),
            group("search", "4f2c1e9", &[], 49_987, 13),
        ],
    );
    scraped(&prometheus, "checkout", 1900, 100);
    scraped(&prometheus, "search", 49_987, 13);
    assert_total(&prometheus, "checkout", 1900, 100);
    assert_total(&prometheus, "search", 49_987, 13);
    let flag = "level=\"flag\",sha=\"9fceb02\",flag=\"new-checkout\",variant=\"on\"";
    assert_burns(&prometheus, "checkout", flag, 50.0);
    assert_burns(
        &prometheus,
        "search",
        "level=\"deployment\",sha=\"4f2c1e9\"",
        0.26,
    );
    assert_value(
        &prometheus,
        &selector(
            "slo_alert_state{alert=\"overall\"}",
            "checkout",
            "level=\"total\"",
        ),
        4.0,
    );
    assert_value(
        &prometheus,
        &selector("slo_alert_state{alert=\"overall\"}", "search", "level=\"total\""),
        0.0,
    );
    for budget in gateway.api("/api/v1/budgets")["budgets"].as_array().unwrap() {
        assert_agrees(&prometheus, budget, "level=\"total\"");
    }
    for cohort in gateway.api("/api/v1/cohorts")["cohorts"].as_array().unwrap() {
        let of = |key: &str| cohort[key].as_str().map(|v| format!("{key}=\"{v}\""));
        let level = if cohort["flag"].is_null() {
            "level=\"deployment\""
        } else {
            "level=\"flag\""
        };
        let more: Vec<String> = ["sha", "flag", "variant"].iter().filter_map(|k| of(k)).collect();
        assert_agrees(&prometheus, cohort, &format!("{level},{}", more.join(",")));
    }
    assert_eq!(
        prometheus.query("slo_burn_rate{service=\"never-sent\"}"),
        [],
        "no data is no series"
    );
    rates_follow_the_counters(&gateway, &prometheus);
}

/// The counters are true counters: PromQL's own arithmetic over them gives the burn rate of what came since.
fn rates_follow_the_counters(gateway: &Gateway, prometheus: &Prometheus) {
    send(
        gateway,
        &[group("checkout", "9fceb02", &["new-checkout"], 700, 300)],
    );
    scraped(prometheus, "checkout", 2600, 400);
    let bad = selector("slo_events_total{outcome=\"bad\"}", "checkout", "level=\"total\"");
    let all = selector("slo_events_total", "checkout", "level=\"total\"");
    // What came since the former scrape. (`increase` extrapolates each counter on its own, so its ratio is not exact.)
    assert_value(
        prometheus,
        &format!("(sum({bad}) - 100) / (sum({all}) - 2000)"),
        0.3,
    );
    let total = format!("sum({bad}) / sum({all})");
    let burn = selector("slo_burn_rate{window=\"5m\"}", "checkout", "level=\"total\"");
    let objective = selector("slo_objective_ratio", "checkout", "level=\"total\"");
    assert_value(prometheus, &total, 400.0 / 3000.0);
    assert_value(
        prometheus,
        &format!("{total} / (1 - scalar({objective})) - scalar({burn}) < bool 1e-7"),
        1.0,
    );
    let consumed = selector("error_budget_consumed_total", "checkout", "level=\"total\"");
    assert_value(prometheus, &format!("{consumed} == bool scalar({bad})"), 1.0);
    assert_value(prometheus, &format!("resets({consumed}[5m])"), 0.0);
}

#[test]
fn what_the_official_sdk_sends_is_what_promql_says() {
    let (true, Some(python), Some(shared)) = (has("prometheus"), python(), shared()) else {
        return;
    };
    let gateway = Gateway::start(&with_dashboard());
    let prometheus = Prometheus::scraping(&target(&gateway));
    for (service, sha, errors) in [("checkout", "9fceb02", "0.1"), ("search", "4f2c1e9", "0.01")] {
        let output = Command::new(&python)
            .arg(shared.join("tools/clients/emit_py.py"))
            .args([
                "--endpoint",
                &gateway.grpc(),
                "--n",
                "300",
                "--service",
                service,
                "--sha",
                sha,
            ])
            .args([
                "--flags",
                "new-checkout,fast",
                "--error-ratio",
                errors,
                "--span-seconds",
                "5",
            ])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    scraped(&prometheus, "checkout", 270, 30);
    scraped(&prometheus, "search", 297, 3);
    assert_total(&prometheus, "checkout", 270, 30);
    assert_total(&prometheus, "search", 297, 3);
    for flag in ["new-checkout", "fast"] {
        let more = format!("level=\"flag\",sha=\"9fceb02\",flag=\"{flag}\",variant=\"on\"");
        assert_burns(&prometheus, "checkout", &more, 100.0);
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_page() {
    if !has("promtool") {
        return;
    }
    let gateway = Gateway::start(&with_dashboard());
    send(
        &gateway,
        &[group("checkout", "9fceb02", &["new-checkout"], 90, 10)],
    );
    await_totals(&gateway, "checkout", (90, 10));
    let page = gateway.metrics();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    // SLOs are spoken of in minutes, and the name says so.
    let known = ["slo_error_budget_minutes use base unit \"seconds\" instead of \"minutes\""];
    // Counters under the Collector's names are called as its default reader calls them.
    let as_the_collectors = |line: &str| {
        line.starts_with("otelcol_") && line.ends_with("counter metrics should have \"_total\" suffix")
    };
    let new: Vec<&str> = said
        .lines()
        .filter(|l| !l.is_empty() && !known.contains(l) && !as_the_collectors(l))
        .collect();
    assert_eq!(new, [""; 0]);
    assert!(
        page.contains("# HELP slo_burn_rate ") && page.contains("# TYPE slo_events_total counter"),
        "{page}"
    );
}

#[test]
fn names_of_published_dashboards_are_there_only_when_asked_for() {
    let names = ["error_budget_", "burn_rate_"];
    for (setup, there) in [(Setup::default(), false), (with_dashboard(), true)] {
        let gateway = Gateway::start(&setup);
        send(&gateway, &[group("checkout", "9fceb02", &[], 90, 10)]);
        await_totals(&gateway, "checkout", (90, 10));
        let page = gateway.metrics();
        for name in names {
            assert_eq!(!samples(&page, name).is_empty(), there, "{name}");
            assert_eq!(page.contains(&format!("# HELP {name}")), there, "{name}");
        }
    }
}
