//! A new configuration in the running binary: nothing is dropped, nothing is lost, and a mistake changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod proof_support;
mod support;

use proof_support::{await_totals, free_port, group, request, send, totals, write};
use prost::Message as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::{Gateway, Setup, eventually, sample};

const WITHIN: Duration = Duration::from_secs(20);

fn setup(rest: &str) -> Setup {
    Setup {
        error_budget: format!(
            "{{ policies: [ \"policies/*.yaml\" ], evaluation_interval: 200ms, dedup: {{ bodies: false }}{rest} }}"
        ),
        ..Setup::default()
    }
}

fn policy(slo: &str, target: &str) -> String {
    format!(
        "service: shop\nslos:\n  - name: {slo}\n    target: {target}\n    sli: {{ spans: {{ kind: [server] }} }}\n"
    )
}

fn hang_up(gateway: &Gateway) {
    let pid = gateway.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
}

fn reloads(gateway: &Gateway, outcome: &str) -> f64 {
    sample(
        &gateway.metrics(),
        "burngate_config_reloads_total",
        &[("outcome", outcome)],
    )
    .unwrap_or(0.0)
}

fn reloaded(gateway: &Gateway, outcome: &str, times: f64) {
    eventually(&format!("reload {outcome}"), WITHIN, || {
        (reloads(gateway, outcome) >= times).then_some(())
    });
}

fn slos(gateway: &Gateway) -> Vec<String> {
    // 404 where nothing has been counted by the new policy yet.
    let (_, body) = support::get(&gateway.url("api", "/api/v1/budgets/shop"));
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let budgets = answer["budgets"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = budgets
        .iter()
        .map(|b| b["slo"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Clients that send one request after another over connections of their own until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let url = gateway.url("otlp/http", "/v1/traces");
        let body = request(&[group("shop", "abc", &[], 9, 1)]).encode_to_vec();
        let threads = (0..4)
            .map(|_| {
                let (stop, sent, url, body) = (stop.clone(), sent.clone(), url.clone(), body.clone());
                std::thread::spawn(move || {
                    support::block_on(async {
                        let client = support::client();
                        while !stop.load(Ordering::Relaxed) {
                            let post = client.post(&url).header("content-type", "application/x-protobuf");
                            let answer = post
                                .body(body.clone())
                                .send()
                                .await
                                .expect("no connection is dropped");
                            assert_eq!(answer.status(), 200, "no request is refused");
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                })
            })
            .collect();
        Self { stop, sent, threads }
    }

    /// Requests that were answered.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.sent.load(Ordering::Relaxed)
    }
}

#[test]
fn reloads_under_load_drop_nothing_and_lose_no_count() {
    let gateway = Gateway::start_with(
        &setup(""),
        &[("policies/shop.yaml", &policy("availability", "99%"))],
    );
    let load = Load::start(&gateway);
    for round in 1..=10_u32 {
        std::thread::sleep(Duration::from_millis(200));
        let target = if round % 2 == 0 { "99%" } else { "99.5%" };
        write(
            &gateway.dir,
            "policies/shop.yaml",
            &policy("availability", target),
        );
        // A setting of the receiver too, every other time: its server is replaced, its socket is not.
        let mut config = setup(if round % 3 == 0 {
            ", decision_cooldown: 10m"
        } else {
            ""
        });
        if round % 2 == 0 {
            config.receiver = "    limits: { max_in_flight_mib: 200 }".into();
        }
        write(&gateway.dir, "gateway.yaml", &config.yaml());
        hang_up(&gateway);
        reloaded(&gateway, "applied", f64::from(round));
    }
    let requests = load.end();
    assert!(requests > 100, "{requests}");
    await_totals(&gateway, "shop", (requests * 9, requests));
    assert!(
        (reloads(&gateway, "refused") - 0.0).abs() < 0.5,
        "{}",
        gateway.stderr()
    );
}

#[test]
fn a_new_policy_takes_effect_and_the_old_one_is_gone() {
    let gateway = Gateway::start_with(
        &setup(""),
        &[("policies/shop.yaml", &policy("availability", "99%"))],
    );
    send(&gateway, &[group("shop", "abc", &[], 90, 10)]);
    await_totals(&gateway, "shop", (90, 10));
    assert_eq!(slos(&gateway), ["availability"]);
    let burn = |page: &str| {
        sample(
            page,
            "slo_burn_rate",
            &[("slo", "availability"), ("window", "5m"), ("service", "shop")],
        )
    };
    assert!((burn(&gateway.metrics()).unwrap() - 10.0).abs() < 1e-9);

    write(&gateway.dir, "policies/shop.yaml", &policy("availability", "90%"));
    hang_up(&gateway);
    eventually("the same counts by the new target", WITHIN, || {
        burn(&gateway.metrics()).filter(|burn| (burn - 1.0).abs() < 1e-9)
    });
    assert_eq!(totals(&gateway, "shop"), (90, 10));

    write(&gateway.dir, "policies/shop.yaml", &policy("correctness", "99%"));
    hang_up(&gateway);
    reloaded(&gateway, "applied", 2.0);
    send(&gateway, &[group("shop", "abc", &[], 5, 5)]);
    eventually("only the new objective", WITHIN, || {
        (slos(&gateway) == ["correctness"]).then_some(())
    });
}

#[test]
fn a_mistake_is_reported_and_the_old_configuration_goes_on() {
    let gateway = Gateway::start_with(
        &setup(""),
        &[("policies/shop.yaml", &policy("availability", "99%"))],
    );
    send(&gateway, &[group("shop", "abc", &[], 9, 1)]);
    await_totals(&gateway, "shop", (9, 1));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = setup("")
        .yaml()
        .replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
    for (nth, (file, text, said)) in [
        (
            "gateway.yaml",
            setup(", polices: []").yaml(),
            "did you mean `policies`?",
        ),
        ("gateway.yaml", busy, "cannot listen on"),
        ("policies/shop.yaml", policy("availability", "199%"), "shop.yaml"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = std::fs::read_to_string(gateway.dir.join(file)).unwrap();
        write(&gateway.dir, file, &text);
        hang_up(&gateway);
        reloaded(&gateway, "refused", (nth + 1) as f64);
        let log = gateway.stderr();
        assert!(log.contains("the old one goes on") && log.contains(said), "{log}");
        let good = sample(&gateway.metrics(), "burngate_config_last_reload_successful", &[]).unwrap();
        assert!(good.abs() < 0.5);
        write(&gateway.dir, file, &before);
    }
    send(&gateway, &[group("shop", "abc", &[], 9, 1)]);
    await_totals(&gateway, "shop", (18, 2));
    hang_up(&gateway);
    reloaded(&gateway, "applied", 1.0);
}

#[test]
fn a_listener_moves_and_the_store_stays() {
    let gateway = Gateway::start(&setup(""));
    send(&gateway, &[group("shop", "abc", &[], 9, 1)]);
    await_totals(&gateway, "shop", (9, 1));
    let port = free_port();
    let moved = setup("").yaml().replace(
        "http: { endpoint: 127.0.0.1:0 }",
        &format!("http: {{ endpoint: \"127.0.0.1:{port}\" }}"),
    );
    write(&gateway.dir, "gateway.yaml", &moved);
    hang_up(&gateway);
    reloaded(&gateway, "applied", 1.0);
    let body = request(&[group("shop", "abc", &[], 9, 1)]).encode_to_vec();
    let (status, _) = support::post(
        &format!("http://127.0.0.1:{port}/v1/traces"),
        "application/x-protobuf",
        body,
    );
    assert_eq!(status, 200);
    await_totals(&gateway, "shop", (18, 2));
    let old = gateway.addrs["otlp/http"];
    eventually("the old port is closed", WITHIN, || {
        std::net::TcpStream::connect(old).err()
    });
}

#[test]
fn a_change_of_a_file_is_enough_where_that_is_wanted() {
    let yaml = setup("").yaml() + "  reload: { on_change: true, check_interval: 200ms }\n";
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "policies/shop.yaml", &policy("availability", "99%"));
    write(dir.path(), "gateway.yaml", &yaml);
    let gateway = Gateway::start_in(dir.path(), &["run", "--config", "gateway.yaml"], &[]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(reloads(&gateway, "applied") < 0.5, "nothing changed");
    write(
        dir.path(),
        "policies/more.yaml",
        &policy("latency", "99%").replace("shop", "other"),
    );
    reloaded(&gateway, "applied", 1.0);
    write(dir.path(), "policies/more.yaml", "service: [");
    reloaded(&gateway, "refused", 1.0);
}

#[test]
fn a_kill_switch_that_leaves_the_policies_is_not_called_broken_any_more() {
    let with = |flag: &str| {
        format!(
            "service: shop\nenvironment: production\nslos: [ {{ name: availability, target: 99% }} ]\nkill_switches:\n  \
             - {{ flag: {flag}, exporter: webhook }}\n"
        )
    };
    // Nobody listens there.
    let setup = Setup {
        exporters: format!("  webhook: {{ url: \"http://127.0.0.1:{}/off\" }}", free_port()),
        decisions: vec!["webhook".into()],
        ..setup("")
    };
    let gateway = Gateway::start_with(&setup, &[("policies/shop.yaml", &with("old"))]);
    let ready = |flag: &str| sample(&gateway.metrics(), "burngate_flag_ready", &[("flag", flag)]);
    eventually("it is found not to work", WITHIN, || {
        (ready("old") == Some(0.0)).then_some(())
    });
    write(&gateway.dir, "policies/shop.yaml", &with("new"));
    hang_up(&gateway);
    reloaded(&gateway, "applied", 1.0);
    eventually("the new one is looked at", WITHIN, || {
        (ready("new") == Some(0.0)).then_some(())
    });
    assert!(ready("old").is_some_and(f64::is_nan), "{}", gateway.metrics());
}
