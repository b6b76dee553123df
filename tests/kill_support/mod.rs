//! What the kill-switch proofs share: an HTTP server that remembers its calls, a policy, and OTLP traffic by the dozen.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(
    clippy::disallowed_methods,
    reason = "these tests watch a real process in real time"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

pub mod double;
pub mod shop;
pub mod unleash;

use crate::support::{Gateway, Setup, eventually};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// What every credential of these tests begins with; it must turn up nowhere.
pub const CANARY: &str = "canary-5f2e9";

/// A gateway in a folder of its own, which outlives it.
pub struct House {
    pub dir: tempfile::TempDir,
}

impl House {
    /// A configuration and one policy file.
    pub fn new(setup: &Setup, policy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        std::fs::write(dir.path().join("policies/checkout.yaml"), policy).unwrap();
        std::fs::write(dir.path().join("gateway.yaml"), setup.yaml()).unwrap();
        Self { dir }
    }

    pub fn try_start(&self, env: &[(&str, &str)]) -> Result<Gateway, String> {
        Gateway::try_start_in(self.dir.path(), &["run", "--config", "gateway.yaml"], env)
    }

    pub fn start(&self, env: &[(&str, &str)]) -> Gateway {
        self.try_start(env)
            .unwrap_or_else(|said| panic!("burngate did not start:\n{said}"))
    }

    /// No file below the folder (store, logs) holds `secret`; its configuration, which only names the variable, included.
    pub fn assert_holds_no(&self, secret: &str) {
        let mut looked_at = 0;
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                assert!(!holds(&path, secret), "{} holds the token", path.display());
                looked_at += 1;
            }
        }
        assert!(
            looked_at >= 4,
            "configuration, policy, store and log: {looked_at}"
        );
    }
}

fn holds(path: &Path, secret: &str) -> bool {
    let bytes = std::fs::read(path).unwrap();
    bytes
        .windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

/// Nothing that the gateway says holds `secret`: what it printed, its log, its metrics, its API.
pub fn assert_says_no(gateway: &Gateway, secret: &str) {
    let pages = [
        gateway.printed().join("\n"),
        gateway.stderr(),
        gateway.metrics(),
        gateway.api("/api/v1/decisions").to_string(),
        gateway.api("/api/v1/budgets").to_string(),
        gateway.api("/api/v1/cohorts").to_string(),
    ];
    for page in pages {
        assert!(!page.is_empty());
        assert!(!page.contains(secret), "the token was said: {page}");
    }
}

/// The decisions about `flag`, newest first.
pub fn decisions(gateway: &Gateway, flag: &str) -> Vec<Value> {
    let all = gateway.api("/api/v1/decisions");
    let all = all["decisions"].as_array().unwrap();
    all.iter().filter(|d| d["flag"] == flag).cloned().collect()
}

/// What of a decision never changes once it was carried out; its history and its phase go on.
pub fn settled(decision: &Value) -> Value {
    let mut kept = decision.clone();
    let fields = kept.as_object_mut().unwrap();
    for moving in ["history", "phase", "phase_until", "updated_at"] {
        fields.remove(moving);
    }
    kept
}

/// Holds that `decision` is all that was decided about `flag`, and that it ended as it did.
pub fn assert_only(gateway: &Gateway, flag: &str, decision: &Value) {
    let all: Vec<Value> = decisions(gateway, flag).iter().map(settled).collect();
    assert_eq!(all, [settled(decision)]);
}

/// Waits until the newest decision about `flag` is in `state`, and gives it.
pub fn decided(gateway: &Gateway, flag: &str, state: &str, within: Duration) -> Value {
    eventually(&format!("{flag} {state}"), within, || {
        decisions(gateway, flag)
            .into_iter()
            .next()
            .filter(|d| d["state"] == state)
    })
}

/// The reasons why `flag` is not switched, as the API words them.
pub fn withheld(gateway: &Gateway, flag: &str) -> Vec<String> {
    let all = gateway.api("/api/v1/decisions");
    let all = all["withheld"].as_array().unwrap();
    let ours = all.iter().filter(|w| w["flag"] == flag);
    ours.map(|w| w["reason"].as_str().unwrap().to_owned()).collect()
}

/// The figures of the evidence agree with each other: for a budget of `budget`, above the threshold, in the rule's window.
pub fn assert_recomputes(decision: &Value, budget: f64, window_secs: u64) {
    let evidence = &decision["evidence"];
    let window = &evidence["window"];
    assert_eq!(window["window_secs"], window_secs, "{decision}");
    let (good, bad) = (window["good"].as_u64().unwrap(), window["bad"].as_u64().unwrap());
    let burn = bad as f64 / (good + bad) as f64 / budget;
    let said = window["burn_rate"].as_f64().unwrap();
    assert!(
        (said - burn).abs() < 1e-9 * burn,
        "said {said}, counted {burn}: {decision}"
    );
    assert!(said > evidence["burn_above"].as_f64().unwrap(), "{decision}");
    let control = (
        evidence["control_good"].as_u64().unwrap(),
        evidence["control_bad"].as_u64().unwrap(),
    );
    assert!(control.0 + control.1 > 0, "there was a control: {decision}");
    let share = |good: u64, bad: u64| bad as f64 / (good + bad) as f64;
    match evidence["contrast"].as_f64() {
        Some(said) => {
            let ratio = share(good, bad) / share(control.0, control.1);
            assert!(
                (said - ratio).abs() < 1e-9 * ratio,
                "said {said}, counted {ratio}: {decision}"
            );
        }
        None => assert_eq!(control.1, 0, "{decision}"),
    }
}
