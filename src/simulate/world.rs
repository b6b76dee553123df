//! A gateway's own ledger, evaluation and decider for one run, and nothing in the place of any of them.
//!
//! A flag that everybody has is tried by the code that finds the moment of its change, looks into the past
//! and keeps the negative controls (`decide/trials`), so its error rates must come from that code as well,
//! and not from the statistics alone.

use super::cell::Settings;
use crate::cohort::{CohortRef, LevelRef, Registry};
use crate::config::Cohorts;
use crate::decide::{Decision, ErrorRates, KillDecider, Sources};
use crate::ledger::{
    BUCKET_SECS, Counts, EvidenceDelta, Ledger, LedgerLimits, SeriesDelta, ShapeBook, SignatureBook,
};
use crate::policy::{Board, Evaluator, PolicySet, from_text};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::sync::{Arc, Mutex, PoisonError};

/// Series drained at one hold of the ledger's lock.
const DRAIN_MAX: usize = 1000;
/// Comparisons that the decider watches: the flag beside a control, and against its past.
const WATCHED: f64 = 2.0;

/// Requests of ten seconds to one endpoint.
pub(super) struct Requests {
    pub(super) endpoint: &'static str,
    /// The variant of the flag that they had, if it is evaluated there.
    pub(super) variant: Option<&'static str>,
    pub(super) counts: Counts,
}

/// See the module.
pub(super) struct World {
    registry: Arc<Registry>,
    ledger: Mutex<Ledger>,
    evaluator: Evaluator,
    policies: PolicySet,
    decider: KillDecider,
    signatures: SignatureBook,
    shapes: ShapeBook,
    scratch: Vec<u8>,
}

impl World {
    /// `None` for settings that no policy can have, such as a burn that cannot be reached: then nobody is
    /// ever blamed.
    pub(super) fn new(settings: &Settings) -> Option<Self> {
        let policies = from_text("simulate.yaml", &policy(settings)).ok()?;
        let registry = Arc::new(Registry::new(&Cohorts::default()));
        let name = ObjectiveName {
            service: "shop".into(),
            slo: "availability".into(),
        };
        let plan = policies.plan(&name).ok()?;
        let mut decider = KillDecider::new();
        // The bound of as many comparisons as the settings say, of which this is one.
        let share = WATCHED / settings.pairs as f64;
        let rates = ErrorRates {
            alpha: settings.alpha * share,
            wrong_a_year: settings.false_kills_a_year * share,
            ..ErrorRates::default()
        };
        decider.set_evidence(rates, crate::decide::CommonGuards::default());
        Some(Self {
            ledger: Mutex::new(Ledger::new(LedgerLimits::default(), plan, registry.clone())),
            registry,
            evaluator: Evaluator::new(Arc::new(Board::new())),
            policies,
            decider,
            signatures: SignatureBook::default(),
            shapes: ShapeBook::default(),
            scratch: Vec::new(),
        })
    }

    /// Counts requests in the ten seconds of `now`.
    pub(super) fn count(&mut self, now: UnixNanos, requests: &Requests) {
        let Self {
            registry, scratch, ..
        } = self;
        let objective = registry.objective_id("shop", "availability", scratch);
        let stratum = registry.stratum_id(requests.endpoint, None, now, scratch);
        let source = registry.source_id("pod", now);
        let mut intern = |level| {
            let cohort = CohortRef {
                service: "shop",
                environment: Some("production"),
                level,
            };
            registry.intern(&cohort, now, scratch).id()
        };
        let total = intern(LevelRef::Total);
        let mut armed = vec![intern(LevelRef::Deployment("v1"))];
        armed.extend(requests.variant.map(|variant| {
            intern(LevelRef::Flag {
                sha: Some("v1"),
                flag: "flag",
                variant,
            })
        }));
        let (bucket, counts) = (now.secs() / BUCKET_SECS, requests.counts);
        let all = std::iter::once(total).chain(armed.iter().copied());
        let series = all.map(|cohort| SeriesDelta {
            objective,
            cohort,
            bucket,
            counts,
        });
        let evidence = armed.iter().map(|&cohort| EvidenceDelta {
            objective,
            cohort,
            stratum,
            source,
            bucket,
            counts,
        });
        let (series, evidence): (Vec<_>, Vec<_>) = (series.collect(), evidence.collect());
        self.ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .absorb(now, &series, &evidence);
    }

    /// One evaluation: the decisions that the rule comes to.
    pub(super) fn evaluate(&mut self, now: UnixNanos) -> Vec<Decision> {
        let mut views = Vec::new();
        while self
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .changed(now, DRAIN_MAX, &mut views)
        {}
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

    /// Whether the evidence against the flag is enough now, harm or not.
    pub(super) fn has_crossed(&self) -> bool {
        let mut rulings = self.decider.rulings().iter();
        rulings.any(|ruling| ruling.proof.log_e >= ruling.proof.kill_bound)
    }
}

fn policy(settings: &Settings) -> String {
    let rule = &settings.rule;
    let when = format!(
        "{{ burn_above: {}, window: {}s, for: {}s, min_bad: {} }}",
        rule.burn_above, rule.window_secs, rule.for_secs, rule.min_bad
    );
    format!(
        "service: shop\nenvironment: production\nslos: [{{ name: availability, target: {} }}]\n\
         kill_switches: [{{ flag: flag, exporter: flags, mode: propose, class: temporal, when: {when} }}]\n",
        settings.target
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_a_policy_and_the_bound_is_that_of_all_pairs() {
        let settings = Settings::of("99.95%".parse().unwrap());
        let policies = from_text("simulate.yaml", &policy(&settings)).unwrap();
        let (_, switch) = policies.kill_switches().next().unwrap();
        assert_eq!(
            (
                switch.when.burn_above,
                switch.when.window_secs,
                switch.when.for_secs
            ),
            (
                settings.rule.burn_above,
                settings.rule.window_secs,
                settings.rule.for_secs
            )
        );
        assert_eq!(switch.when.min_bad, settings.rule.min_bad);
        let mut world = World::new(&settings).unwrap();
        let counts = Counts { good: 99, bad: 1 };
        let requests = |variant| Requests {
            endpoint: "with",
            variant: Some(variant),
            counts,
        };
        for block in 0..100 {
            let now = super::super::run::START.plus_secs(block * BUCKET_SECS);
            world.count(now, &requests(if block < 50 { "off" } else { "on" }));
            world.evaluate(now.plus_secs(9));
        }
        let ruling = world.decider.rulings().first().unwrap();
        assert!(
            ruling
                .proof
                .temporal
                .is_some_and(|past| past.changed_at.is_some())
        );
        assert!(
            (ruling.proof.kill_bound - settings.kill_bound()).abs() < 1e-9,
            "{ruling:?}"
        );
    }
}
