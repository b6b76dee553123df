//! A bad canary among healthy versions, before the rule by evidence: requests by chance, in simulated time,
//! through the real ledger, evaluator and decider.

use super::evidence_tests::{Requests, Shop, at};
use super::*;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Poisson};

const POLICY: &str = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.95% }]
deployments:
  - { exporter: hook, action: rollback, mode: auto }
";

/// Requests a second, over all versions.
const RATE: f64 = 100.0;
/// Share of bad events of a healthy version, and of one that burns forty times its budget.
const HEALTHY: f64 = 0.0002;
const BURNS_40: f64 = 40.0 * 0.0005;
/// The canaries come after so many seconds, and a run ends so many later.
const BEFORE: u64 = 300;
const AFTER: u64 = 600;

/// A version, its share of the requests, and the share of bad ones.
type Version = (&'static str, f64, f64);

/// The requests of ten seconds: of each version over two endpoints and four instances.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of requests"
)]
fn requests(versions: &[Version], random: &mut Xoshiro256PlusPlus) -> Vec<Requests<'static>> {
    let mut draw = |mean: f64| Poisson::new(mean).unwrap().sample(random) as u64;
    let mut all = Vec::new();
    for &(sha, share, bad) in versions {
        for route in ["GET /", "POST /pay"] {
            for source in ["pod-1", "pod-2", "pod-3", "pod-4"] {
                let mean = RATE * 10.0 * share / 8.0;
                all.push(Requests {
                    sha,
                    route,
                    source,
                    good: draw(mean * (1.0 - bad)),
                    bad: draw(mean * bad),
                    ..Requests::default()
                });
            }
        }
    }
    all
}

/// What was rolled back, and how many seconds after the first bad request of the bad canary.
fn run(share: f64, rate_of_bad: f64, seed: u64) -> Vec<(String, Option<u64>)> {
    let random = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut shop = Shop::new(POLICY);
    let mut decided = Vec::new();
    let mut first_bad = None;
    for secs in (0..BEFORE + AFTER).step_by(10) {
        let versions: &[Version] = if secs < BEFORE {
            &[("stable", 1.0, HEALTHY)]
        } else {
            let rest = 1.0 - 2.0 * share;
            &[
                ("stable", rest, HEALTHY),
                ("good", share, HEALTHY),
                ("bad", share, rate_of_bad),
            ]
        };
        let requests = requests(versions, random);
        if secs >= BEFORE && requests.iter().any(|r| r.sha == "bad" && r.bad > 0) {
            // Anywhere in these ten seconds; from their beginning on is the worst.
            first_bad.get_or_insert(secs);
        }
        for (_, decision) in shop.run(secs, secs + 10, &requests) {
            assert!(matches!(decision.state, DecisionState::Decided), "{decision:?}");
            assert_eq!(decision.action, Action::Rollback);
            let after = first_bad.map(|first| decision.decided_at.secs_since(at(first)));
            decided.push((decision.subject(), after));
        }
    }
    decided
}

fn runs() -> u64 {
    if std::env::var_os("BURNGATE_LONG").is_some() {
        1_000
    } else {
        60
    }
}

#[test]
fn a_bad_canary_among_healthy_versions_is_rolled_back_within_five_minutes_in_95_percent() {
    for share in [0.1, 0.25] {
        let mut took: Vec<u64> = Vec::new();
        for seed in 0..runs() {
            let decided = run(share, BURNS_40, seed);
            for (subject, after) in &decided {
                assert_eq!(subject, "checkout@bad", "seed {seed}");
                took.extend(after);
            }
            assert!(decided.len() <= 1, "once: {decided:?}");
        }
        let in_time = took.iter().filter(|&&secs| secs <= 300).count() as u64;
        took.sort_unstable();
        let at = |percent: usize| took.get(took.len() * percent / 100).copied();
        println!(
            "share {share}: {in_time} of {} runs within five minutes; half by {:?} s, 95 % by {:?} s, all by {:?} s",
            runs(),
            at(50),
            at(95),
            took.last()
        );
        assert!(in_time * 100 >= runs() * 95, "{in_time} of {}: {took:?}", runs());
    }
}

#[test]
fn three_healthy_versions_are_left_alone() {
    for seed in 0..runs() {
        assert_eq!(run(0.1, HEALTHY, seed), [], "seed {seed}");
    }
}
