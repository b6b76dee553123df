//! Simulated incidents before the rule by evidence: real counts in a real ledger, and who is blamed.

use super::*;
use crate::cohort::{CohortRef, LevelRef, Registry};
use crate::config::Cohorts;
use crate::ledger::{
    Counts, EvidenceDelta, JointDelta, Ledger, LedgerLimits, SeriesDelta, ShapeBook, SignatureBook,
};
use crate::policy::{Board, Evaluator, PolicySet, from_text};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::sync::{Arc, Mutex};

const POLICY: &str = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.95% }]
kill_switches:
  - { flag: new-checkout, exporter: unleash, mode: auto }
  - { flag: neighbour, exporter: unleash, mode: auto }
deployments:
  - { exporter: hook, mode: auto }
";

/// The first second of every test: the start of a block.
const START: u64 = 1_795_000_000;

pub(super) fn at(secs: u64) -> UnixNanos {
    UnixNanos::from_secs(START + secs)
}

/// Requests of one kind in ten seconds.
#[derive(Clone, Copy)]
pub(super) struct Requests<'a> {
    pub(super) service: &'a str,
    pub(super) route: &'a str,
    pub(super) sha: &'a str,
    pub(super) flags: &'a [(&'a str, &'a str)],
    pub(super) source: &'a str,
    pub(super) good: u64,
    pub(super) bad: u64,
}

impl Default for Requests<'_> {
    fn default() -> Self {
        Self {
            service: "checkout",
            route: "GET /",
            sha: "v1",
            flags: &[],
            source: "pod-1",
            good: 0,
            bad: 0,
        }
    }
}

pub(super) struct Shop {
    registry: Arc<Registry>,
    ledger: Mutex<Ledger>,
    evaluator: Evaluator,
    policies: PolicySet,
    pub(super) decider: KillDecider,
    signatures: SignatureBook,
    shapes: ShapeBook,
}

impl Shop {
    pub(super) fn new(policy: &str) -> Self {
        let registry = Arc::new(Registry::new(&Cohorts::default()));
        let kinds = registry.clone();
        let policies = from_text("p.yaml", policy).unwrap();
        let name = ObjectiveName {
            service: "checkout".into(),
            slo: "availability".into(),
        };
        let plan = policies.plan(&name).unwrap();
        Self {
            ledger: Mutex::new(Ledger::new(LedgerLimits::default(), plan, kinds)),
            registry,
            evaluator: Evaluator::new(Arc::new(Board::new())),
            policies,
            decider: KillDecider::new(),
            signatures: SignatureBook::default(),
            shapes: ShapeBook::default(),
        }
    }

    fn send(&self, secs: u64, requests: &Requests<'_>) {
        let now = at(secs);
        let mut scratch = Vec::new();
        let objective = self
            .registry
            .objective_id(requests.service, "availability", &mut scratch);
        let mut intern = |level| {
            let cohort = CohortRef {
                service: requests.service,
                environment: Some("production"),
                level,
            };
            self.registry.intern(&cohort, now, &mut scratch).id()
        };
        let mut cohorts = vec![intern(LevelRef::Total)];
        let mut armed = vec![intern(LevelRef::Deployment(requests.sha))];
        let flags = requests.flags.iter().map(|(flag, variant)| {
            intern(LevelRef::Flag {
                sha: Some(requests.sha),
                flag,
                variant,
            })
        });
        let flags: Vec<_> = flags.collect();
        armed.extend(&flags);
        cohorts.extend(&armed);
        let counts = Counts {
            good: requests.good,
            bad: requests.bad,
        };
        let bucket = (START + secs) / 10;
        let stratum = self
            .registry
            .stratum_id(requests.route, None, now, &mut Vec::new());
        let source = self.registry.source_id(requests.source, now);
        let series: Vec<_> = cohorts
            .into_iter()
            .map(|cohort| SeriesDelta {
                objective,
                cohort,
                bucket,
                counts,
            })
            .collect();
        let evidence: Vec<_> = armed
            .into_iter()
            .map(|cohort| EvidenceDelta {
                objective,
                cohort,
                stratum,
                source,
                bucket,
                counts,
            })
            .collect();
        let pairs = flags
            .iter()
            .enumerate()
            .flat_map(|(n, a)| flags[n + 1..].iter().map(move |b| [*a, *b]));
        let joint: Vec<_> = pairs
            .map(|pair| JointDelta {
                objective,
                pair,
                stratum,
                bucket,
                counts,
            })
            .collect();
        let mut ledger = self.ledger.lock().unwrap();
        ledger.absorb(now, &series, &evidence);
        ledger.absorb_joint(now, &joint);
    }

    pub(super) fn tick(&mut self, secs: u64) -> Vec<Decision> {
        let now = at(secs);
        let mut views = Vec::new();
        while self.ledger.lock().unwrap().changed(now, 1000, &mut views) {}
        self.evaluator
            .apply(now, &views, self.registry.as_ref(), &self.policies);
        let sources = Sources {
            ledger: &self.ledger,
            board: self.evaluator.board(),
            policies: &self.policies,
            registry: &self.registry,
            signatures: &self.signatures,
            shapes: &self.shapes,
        };
        self.decider.hear(now, &sources);
        self.decider.evaluate(now, self.evaluator.board(), &self.policies)
    }

    /// The same requests every ten seconds of `from..to`; the decisions, with when they were made.
    pub(super) fn run(&mut self, from: u64, to: u64, requests: &[Requests<'_>]) -> Vec<(u64, Decision)> {
        let mut decided = Vec::new();
        for secs in (from..to).step_by(10) {
            for one in requests {
                self.send(secs + 5, one);
            }
            decided.extend(self.tick(secs + 9).into_iter().map(|d| (secs + 9, d)));
        }
        decided
    }

    pub(super) fn reasons(&self, flag: &str) -> Vec<&'static str> {
        let rulings = self.decider.rulings().iter().filter(|r| r.flag == flag);
        let reasons = rulings.filter_map(|ruling| match &ruling.verdict {
            crate::evidence::Verdict::Hold { reasons } => {
                Some(reasons.iter().map(crate::evidence::Hold::as_str))
            }
            crate::evidence::Verdict::Kill { .. } => None,
        });
        reasons.flatten().collect()
    }

    fn log_e(&self, flag: &str) -> f64 {
        self.decider
            .rulings()
            .iter()
            .find(|r| r.flag == flag)
            .unwrap()
            .proof
            .log_e
    }
}

fn on(good: u64, bad: u64) -> Requests<'static> {
    Requests {
        flags: &[("new-checkout", "on"), ("neighbour", "off")],
        good,
        bad,
        ..Requests::default()
    }
}

fn off(good: u64, bad: u64) -> Requests<'static> {
    Requests {
        flags: &[("new-checkout", "off"), ("neighbour", "off")],
        good,
        bad,
        ..Requests::default()
    }
}

#[test]
fn a_burn_of_forty_at_a_tenth_of_the_traffic_is_switched_within_five_minutes() {
    let mut shop = Shop::new(POLICY);
    assert_eq!(shop.run(0, 600, &[on(100, 0), off(900, 0)]).len(), 0);
    let decided = shop.run(600, 900, &[on(98, 2), off(900, 0)]);
    let [(secs, decision)] = &decided[..] else {
        panic!("{decided:?} {:?}", shop.decider.rulings())
    };
    assert_eq!(
        (&*decision.flag, &*decision.evidence.variant),
        ("new-checkout", "on")
    );
    assert!(matches!(decision.state, DecisionState::Decided));
    assert!((180..=300).contains(&(secs - 600)), "{secs}");
    let proof = decision.evidence.proof.as_ref().unwrap();
    assert!(proof.log_e >= proof.kill_bound, "{proof:?}");
    assert_eq!(
        proof.treated.total() + proof.control.total(),
        1000 * (secs + 1) / 10
    );
    let again = shop.run(900, 1500, &[on(98, 2), off(900, 0)]);
    assert_eq!(again.len(), 0, "one incident is one decision");
}

/// A kill switch in the code's own sense: while it is off, the feature is there.
#[test]
fn of_a_flag_that_is_read_inverted_off_is_to_blame_and_on_never_is() {
    let policy = POLICY.replace(
        "new-checkout, exporter: unleash,",
        "new-checkout, exporter: unleash, action: on,",
    );
    let mut shop = Shop::new(&policy);
    shop.run(0, 600, &[on(900, 0), off(100, 0)]);
    let decided = shop.run(600, 900, &[on(900, 0), off(98, 2)]);
    let [(_, decision)] = &decided[..] else {
        panic!("{decided:?} {:?}", shop.decider.rulings())
    };
    assert_eq!(
        (&*decision.flag, &*decision.evidence.variant),
        ("new-checkout", "off")
    );
    let mut shop = Shop::new(&policy);
    shop.run(0, 600, &[on(100, 0), off(900, 0)]);
    assert!(shop.run(600, 1200, &[on(98, 2), off(900, 0)]).is_empty());
}

#[test]
fn the_variant_that_everybody_would_get_is_never_blamed() {
    let serve = "new-checkout, exporter: unleash, action: { serve: on },";
    let mut shop = Shop::new(&POLICY.replace("new-checkout, exporter: unleash,", serve));
    shop.run(0, 600, &[on(100, 0), off(900, 0)]);
    assert!(shop.run(600, 1200, &[on(98, 2), off(900, 0)]).is_empty());
}

#[test]
fn an_outage_of_everybody_switches_nobody() {
    let mut shop = Shop::new(POLICY);
    shop.run(0, 300, &[on(100, 0), off(900, 0)]);
    assert_eq!(shop.run(300, 2100, &[on(50, 50), off(450, 450)]).len(), 0);
    assert!(shop.log_e("new-checkout") < 0.0);
    assert_eq!(shop.reasons("new-checkout")[0], "evidence");
}

#[test]
fn of_two_that_travel_together_the_guilty_one_is_switched() {
    let both = |flags: &'static [(&'static str, &'static str)], good, bad| Requests {
        flags,
        good,
        bad,
        ..Requests::default()
    };
    let traffic = [
        both(&[("neighbour", "on"), ("new-checkout", "on")], 176, 4),
        both(&[("neighbour", "off"), ("new-checkout", "on")], 39, 1),
        both(&[("neighbour", "off"), ("new-checkout", "off")], 780, 0),
    ];
    let mut shop = Shop::new(POLICY);
    let decided = shop.run(0, 1800, &traffic);
    let flags: Vec<&str> = decided.iter().map(|(_, d)| d.flag.as_str()).collect();
    assert_eq!(flags, ["new-checkout"], "{:?}", shop.decider.rulings());
    assert!(decided[0].0 < 900, "{}", decided[0].0);
    assert!(
        shop.reasons("neighbour").contains(&"attribution"),
        "{:?}",
        shop.reasons("neighbour")
    );
}

#[test]
fn without_a_control_nothing_is_done() {
    let mut shop = Shop::new(POLICY);
    assert_eq!(shop.run(0, 1800, &[on(900, 100)]).len(), 0);
    assert!(shop.log_e("new-checkout").abs() < 1e-9);
}

#[test]
fn a_bad_version_is_rolled_back_and_the_old_one_never_is() {
    let version = |sha: &'static str, good, bad| Requests {
        sha,
        good,
        bad,
        ..Requests::default()
    };
    let mut shop = Shop::new(POLICY);
    shop.run(0, 600, &[version("v1", 1000, 0)]);
    let decided = shop.run(600, 1200, &[version("v1", 900, 0), version("v2", 98, 2)]);
    let [(secs, decision)] = &decided[..] else {
        panic!("{decided:?} {:?}", shop.decider.rulings())
    };
    assert_eq!(decision.subject(), "checkout@v2");
    assert_eq!(
        (&decision.action, &*decision.exporter),
        (&Action::Rollback, "hook")
    );
    assert!(secs - 600 <= 300, "{secs}");
    // The other way round: the old one fails, and the new one is the cure.
    let mut shop = Shop::new(POLICY);
    shop.run(0, 600, &[version("v1", 1000, 0)]);
    assert_eq!(
        shop.run(600, 2400, &[version("v1", 880, 20), version("v2", 100, 0)])
            .len(),
        0
    );
}

#[test]
fn a_bad_flag_in_a_new_version_is_the_flags_fault() {
    let request = |sha: &'static str, flags: &'static [(&'static str, &'static str)], good, bad| Requests {
        sha,
        flags,
        good,
        bad,
        ..Requests::default()
    };
    let mut shop = Shop::new(POLICY);
    shop.run(0, 600, &[request("v1", &[("new-checkout", "off")], 1000, 0)]);
    let traffic = [
        request("v1", &[("new-checkout", "off")], 500, 0),
        request("v2", &[("new-checkout", "off")], 250, 0),
        request("v2", &[("new-checkout", "on")], 240, 10),
    ];
    let decided = shop.run(600, 1200, &traffic);
    let subjects: Vec<String> = decided.iter().map(|(_, d)| d.subject()).collect();
    assert_eq!(subjects, ["new-checkout"], "{:?}", shop.decider.rulings());
}

#[test]
fn a_restart_reads_the_last_half_hour_again() {
    let mut shop = Shop::new(POLICY);
    shop.run(0, 300, &[on(99, 1), off(900, 0)]);
    let before = shop.log_e("new-checkout");
    assert!(before > 3.0, "{before}");
    shop.decider = KillDecider::new();
    shop.tick(300);
    let after = shop.log_e("new-checkout");
    assert!((before - after).abs() < 1e-9, "{before} and {after}");
}

#[test]
fn what_comes_within_a_minute_counts_once_and_later_not_at_all() {
    let evidence = |delay: u64| {
        let mut shop = Shop::new(POLICY);
        shop.run(0, 200, &[on(100, 0), off(900, 0)]);
        for secs in (200..400).step_by(10) {
            // Counted in the block in which it happened, whenever it came.
            if secs - 200 >= delay {
                shop.send(secs - delay + 5, &on(99, 1));
                shop.send(secs - delay + 5, &off(900, 0));
            }
            shop.tick(secs + 9);
        }
        shop.log_e("new-checkout")
    };
    let (prompt, late, too_late) = (evidence(0), evidence(40), evidence(90));
    assert!(late > 0.7 * prompt, "{late} of {prompt}");
    assert!(too_late < 1.0, "{too_late}");
}

#[test]
fn evidence_begins_anew_when_the_flag_or_the_service_changes() {
    let mut shop = Shop::new(POLICY);
    shop.run(0, 120, &[on(98, 2), off(900, 0)]);
    assert!(shop.log_e("new-checkout") > 5.0);
    shop.decider.note_change("production", "new-checkout", at(120));
    shop.tick(121);
    assert!(shop.log_e("new-checkout").abs() < 1e-9);
    shop.run(130, 250, &[on(98, 2), off(900, 0)]);
    assert!(shop.log_e("new-checkout") > 5.0);
    let other = Requests {
        sha: "v2",
        flags: &[("new-checkout", "off")],
        good: 10,
        ..Requests::default()
    };
    shop.run(250, 260, &[other]);
    assert!(shop.log_e("new-checkout").abs() < 1e-9, "a deploy");
}

#[test]
fn evidence_begins_anew_when_somebody_switches_the_flag_back() {
    let mut shop = Shop::new(POLICY);
    let guilty = [on(98, 2), off(900, 0)];
    let (secs, mut decision) = shop.run(0, 400, &guilty).remove(0);
    let rules = LifeRules::default();
    decision.state = DecisionState::Confirmed {
        verified: true,
        already_off: false,
    };
    decision.life.phase = Phase::Cooldown {
        until: at(secs + 1800),
        effect: Effect::Seen,
    };
    shop.decider.update(&decision);
    shop.run(400, 420, &guilty);
    assert!(shop.log_e("new-checkout") > 5.0, "what came in after the kill");
    decision.hold(at(420), rules.hold_secs, "ann");
    shop.decider.update(&decision);
    shop.tick(421);
    assert!(shop.log_e("new-checkout").abs() < 1e-9, "nothing of before");
    shop.run(430, 520, &guilty);
    assert!(shop.log_e("new-checkout") > 5.0, "and all of after");
    // A release is somebody's word as well: what was seen before it is not held against the flag again.
    let release = HandRelease {
        by: "ann".to_owned(),
        reason: "fixed".to_owned(),
        ..HandRelease::default()
    };
    released(&mut decision, at(520), &rules, &release).unwrap();
    shop.decider.update(&decision);
    assert!(shop.tick(521).is_empty(), "not the old evidence");
    assert!(shop.log_e("new-checkout").abs() < 1e-9);
    let again = shop.run(530, 900, &guilty);
    assert_eq!(again.len(), 1, "new evidence is enough for the next incident");
    assert_eq!(again[0].1.incident, decision.incident + 1);
}

#[test]
fn a_flag_of_never_kill_is_switched_by_no_rule_and_by_no_hand() {
    let mut never = globset::GlobSetBuilder::new();
    never.add(globset::Glob::new("new-*").unwrap());
    let guards = CommonGuards {
        never_kill: never.build().unwrap(),
        ..CommonGuards::default()
    };
    let plain = POLICY.replace(
        "new-checkout,",
        "new-checkout, attribution: off, when: { for: 10s },",
    );
    let mut shop = Shop::new(&plain);
    shop.decider.set_evidence(ErrorRates::default(), guards);
    assert_eq!(shop.run(0, 300, &[on(80, 20), off(900, 0)]).len(), 0);
    let held: Vec<_> = shop.decider.withheld().map(|w| w.reason.as_str()).collect();
    assert_eq!(held, ["never_kill"], "the plain rule");
    let by_hand = |flag: &str| HandKill {
        flag: flag.to_owned(),
        by: "ann".to_owned(),
        reason: "it hurts".to_owned(),
        ..HandKill::default()
    };
    let refused = shop
        .decider
        .kill_by_hand(at(300), &shop.policies, &by_hand("new-checkout"));
    let refused = refused.unwrap_err();
    assert_eq!(refused, HandError::NeverKill("new-checkout".to_owned()));
    assert!(refused.to_string().contains("guards.never_kill"), "{refused}");
    assert!(shop.decider.decisions().next().is_none());
    let other = shop
        .decider
        .kill_by_hand(at(300), &shop.policies, &by_hand("neighbour"));
    assert_eq!(other.unwrap().0.flag, "neighbour");
}

#[test]
fn one_of_many_sources_is_not_believed() {
    let pod = |source: &'static str, good, bad| Requests {
        source,
        ..on(good, bad)
    };
    let calm = |source: &'static str| Requests {
        source,
        ..off(180, 0)
    };
    let pods = ["a", "b", "c", "d", "e"];
    let mut shop = Shop::new(POLICY);
    let mut traffic: Vec<_> = pods.iter().map(|pod| calm(pod)).collect();
    traffic.extend(pods[1..].iter().map(|source| pod(source, 20, 0)));
    traffic.push(pod("a", 10, 10));
    assert_eq!(shop.run(0, 1200, &traffic).len(), 0);
    let reasons = shop.reasons("new-checkout");
    assert!(
        reasons.contains(&"sources") && reasons.contains(&"leave_one_out"),
        "{reasons:?}"
    );
    // The same from everywhere is believed.
    let mut shop = Shop::new(POLICY);
    let mut traffic: Vec<_> = pods.iter().map(|pod| calm(pod)).collect();
    traffic.extend(pods.iter().map(|source| pod(source, 18, 2)));
    assert_eq!(
        shop.run(0, 600, &traffic).len(),
        1,
        "{:?}",
        shop.decider.rulings()
    );
}

#[test]
fn guards_of_configuration_and_policy_hold() {
    let guilty = [on(98, 2), off(900, 0)];
    let mut never = globset::GlobSetBuilder::new();
    never.add(globset::Glob::new("new-*").unwrap());
    let mut shop = Shop::new(POLICY);
    shop.decider.set_evidence(
        ErrorRates::default(),
        CommonGuards {
            never_kill: never.build().unwrap(),
            ..CommonGuards::default()
        },
    );
    assert_eq!(shop.run(0, 900, &guilty).len(), 0);
    assert_eq!(shop.reasons("new-checkout"), ["never_kill"]);
    let held = POLICY.replace("new-checkout,", "new-checkout, guards: { expected_share: 50% },");
    let mut shop = Shop::new(&held);
    assert_eq!(shop.run(0, 900, &guilty).len(), 0);
    assert_eq!(shop.reasons("new-checkout"), ["sample_ratio"]);
}

#[test]
fn what_is_not_enough_to_act_on_is_observed() {
    let asked = POLICY.replace("new-checkout,", "new-checkout, class: randomised,");
    let mut shop = Shop::new(&asked);
    let decided = shop.run(0, 900, &[on(98, 2), off(900, 0)]);
    assert_eq!(decided.len(), 1);
    assert!(
        !matches!(decided[0].1.state, DecisionState::Decided),
        "{:?}",
        decided[0].1.state
    );
}
