//! Flags that everybody has before the rule by evidence: who is proposed, who is not, and what is missing.

use super::evidence_tests::{Requests, Shop, at};
use super::*;
use crate::evidence::{EvidenceClass, TemporalLack};

const POLICY: &str = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.95% }]
kill_switches:
  - { flag: new-checkout, exporter: unleash, mode: auto }
  - { flag: neighbour, exporter: unleash, mode: auto }
---
service: search
environment: production
slos: [{ name: availability, target: 99.95% }]
";

const OFF: &[(&str, &str)] = &[("new-checkout", "off"), ("neighbour", "off")];
const ON: &[(&str, &str)] = &[("new-checkout", "on"), ("neighbour", "off")];

fn shop(flags: &'static [(&'static str, &'static str)], good: u64, bad: u64) -> Requests<'static> {
    Requests {
        flags,
        good,
        bad,
        ..Requests::default()
    }
}

/// A service of the same environment that has no flag.
fn peer(good: u64, bad: u64) -> Requests<'static> {
    Requests {
        service: "search",
        good,
        bad,
        ..Requests::default()
    }
}

fn proof(shop: &Shop, flag: &str) -> Proof {
    let mut rulings = shop.decider.rulings().iter();
    let ruling = rulings.find(|r| r.flag == flag && r.variant == "on").unwrap();
    ruling.proof.clone()
}

fn past(shop: &Shop, flag: &str) -> TemporalProof {
    proof(shop, flag).temporal.unwrap()
}

#[test]
fn errors_that_come_with_a_rollout_to_everybody_are_proposed_and_not_acted_on() {
    let mut it = Shop::new(POLICY);
    assert_eq!(it.run(0, 900, &[shop(OFF, 1000, 0), peer(1000, 0)]).len(), 0);
    let decided = it.run(900, 1800, &[shop(ON, 980, 20), peer(1000, 0)]);
    let [(secs, decision)] = &decided[..] else {
        panic!("{decided:?} {:?}", it.decider.rulings())
    };
    assert_eq!(decision.flag, "new-checkout");
    assert!(
        matches!(decision.state, DecisionState::Proposed { .. }),
        "auto, and still: {:?}",
        decision.state
    );
    assert!(secs - 900 < 420, "{secs}");
    let proof = decision.evidence.proof.as_ref().unwrap();
    let past = proof.temporal.unwrap();
    assert_eq!((proof.class, past.lacks), (EvidenceClass::Temporal, None));
    assert_eq!(past.changed_at, Some(at(900)));
    assert!(past.log_risen.min(past.log_apart) >= proof.kill_bound, "{past:?}");
    assert!((proof.log_e - past.log_risen.min(past.log_apart)).abs() < 1e-9);
    assert!(past.after.bad > 0 && past.before.bad == 0 && past.aside.total() > 0);
}

#[test]
fn a_policy_that_names_the_class_acts_on_it() {
    let named = POLICY.replace("flag: new-checkout,", "flag: new-checkout, class: temporal,");
    let mut it = Shop::new(&named);
    it.run(0, 900, &[shop(OFF, 1000, 0), peer(1000, 0)]);
    let decided = it.run(900, 1800, &[shop(ON, 980, 20), peer(1000, 0)]);
    assert!(
        matches!(decided[..], [(_, ref d)] if matches!(d.state, DecisionState::Decided)),
        "{decided:?}"
    );
}

#[test]
fn an_outage_that_comes_with_a_rollout_and_befalls_everybody_is_not_the_flags() {
    let mut it = Shop::new(POLICY);
    it.run(0, 900, &[shop(OFF, 1000, 0), peer(1000, 0)]);
    assert_eq!(it.run(900, 2700, &[shop(ON, 950, 50), peer(950, 50)]).len(), 0);
    let past = past(&it, "new-checkout");
    assert!(past.log_risen > 10.0 && past.log_apart < 0.0, "{past:?}");
    assert!(it.reasons("new-checkout").contains(&"evidence"));
}

#[test]
fn endpoints_without_the_flag_are_a_control_as_well() {
    let elsewhere = |good, bad| Requests {
        route: "GET /help",
        ..shop(&[], good, bad)
    };
    for (bad_elsewhere, decisions) in [(0, 1), (20, 0)] {
        let mut it = Shop::new(POLICY);
        it.run(0, 900, &[shop(OFF, 1000, 0), elsewhere(1000, 0)]);
        let traffic = [shop(ON, 980, 20), elsewhere(1000 - bad_elsewhere, bad_elsewhere)];
        let decided = it.run(900, 1800, &traffic);
        assert_eq!(decided.len(), decisions, "{:?}", past(&it, "new-checkout"));
    }
}

#[test]
fn what_failed_before_the_rollout_is_not_the_flags() {
    let mut it = Shop::new(POLICY);
    it.run(0, 900, &[shop(OFF, 980, 20), peer(1000, 0)]);
    assert_eq!(it.run(900, 2700, &[shop(ON, 980, 20), peer(1000, 0)]).len(), 0);
    assert!(past(&it, "new-checkout").log_risen < 3.0);
}

#[test]
fn what_it_lacks_is_told() {
    // Nobody saw it change.
    let mut it = Shop::new(POLICY);
    assert_eq!(it.run(0, 900, &[shop(ON, 900, 100), peer(1000, 0)]).len(), 0);
    assert_eq!(past(&it, "new-checkout").lacks, Some(TemporalLack::Change));
    // Its service says that it was changed: it is tried from then on, the same variant before and after.
    it.decider.note_change("production", "new-checkout", at(900));
    it.run(900, 1100, &[shop(ON, 900, 100), peer(1000, 0)]);
    let told = past(&it, "new-checkout");
    assert_eq!((told.lacks, told.changed_at), (None, Some(at(900))));
    // Nothing is without it.
    let mut it = Shop::new(POLICY);
    it.run(0, 900, &[shop(OFF, 1000, 0)]);
    assert_eq!(it.run(900, 1800, &[shop(ON, 900, 100)]).len(), 0);
    let alone = past(&it, "new-checkout");
    assert_eq!(alone.lacks, Some(TemporalLack::NegativeControl));
    assert!(
        alone.log_apart.abs() < 1e-9 && alone.log_risen > 10.0,
        "{alone:?}"
    );
}

#[test]
fn a_version_that_brings_the_flag_for_everybody_is_not_the_flags_past() {
    let version = |sha: &'static str, flags, good, bad| Requests {
        sha,
        ..shop(flags, good, bad)
    };
    let mut it = Shop::new(POLICY);
    it.run(0, 900, &[version("v1", OFF, 1000, 0), peer(1000, 0)]);
    let decided = it.run(900, 2700, &[version("v2", ON, 980, 20), peer(1000, 0)]);
    assert_eq!(decided.len(), 0);
    assert!(past(&it, "new-checkout").lacks.is_some());
}

#[test]
fn a_ramp_has_controls_and_is_left_to_them() {
    let mut it = Shop::new(POLICY);
    it.run(0, 600, &[shop(OFF, 1000, 0), peer(1000, 0)]);
    for step in 1..10 {
        let (from, with) = (300 + step * 300, step * 100);
        it.run(
            from,
            from + 300,
            &[shop(ON, with, 0), shop(OFF, 1000 - with, 0), peer(1000, 0)],
        );
    }
    it.run(3300, 4200, &[shop(ON, 1000, 0), peer(1000, 0)]);
    // Full by then: an outage later is not the rollout's.
    assert_eq!(it.run(4200, 5400, &[shop(ON, 980, 20), peer(1000, 0)]).len(), 0);
    assert!(
        proof(&it, "new-checkout")
            .temporal
            .is_none_or(|past| past.lacks.is_some())
    );
}

#[test]
fn a_trial_ends_an_hour_after_the_change() {
    let mut it = Shop::new(POLICY);
    it.run(0, 900, &[shop(OFF, 1000, 0), peer(1000, 0)]);
    it.run(900, 4800, &[shop(ON, 1000, 0), peer(1000, 0)]);
    assert_eq!(it.run(4800, 6600, &[shop(ON, 980, 20), peer(1000, 0)]).len(), 0);
    assert!(proof(&it, "new-checkout").log_e < 1.0);
}

#[test]
fn of_two_that_everybody_has_the_one_that_changed_last_is_proposed() {
    let both: &[(&str, &str)] = &[("new-checkout", "on"), ("neighbour", "on")];
    let mut it = Shop::new(POLICY);
    it.run(0, 900, &[shop(OFF, 1000, 0), peer(1000, 0)]);
    it.run(900, 1200, &[shop(ON, 1000, 0), peer(1000, 0)]);
    let decided = it.run(1200, 2400, &[shop(both, 980, 20), peer(1000, 0)]);
    let flags: Vec<&str> = decided.iter().map(|(_, d)| d.flag.as_str()).collect();
    assert_eq!(flags, ["neighbour"], "{:?}", it.decider.rulings());
    // At the same time: nobody knows.
    let mut it = Shop::new(POLICY);
    it.run(0, 900, &[shop(OFF, 1000, 0), peer(1000, 0)]);
    assert_eq!(it.run(900, 2400, &[shop(both, 980, 20), peer(1000, 0)]).len(), 0);
    assert!(it.reasons("neighbour").contains(&"attribution"));
}
