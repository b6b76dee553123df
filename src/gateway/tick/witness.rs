//! How much traffic a switched variant still has.
//!
//! Windows of a budget reach back before the switch, so they would show the variant for minutes after it has
//! gone. Here the lifetime counts of the series are noted at every evaluation, and what came in between the
//! first and the last note is the traffic of these moments.

use super::probe::Probes;
use crate::budget::burn_rate;
use crate::cohort::Level;
use crate::cohort::flags::is_reserved;
use crate::decide::{Action, Decision, DecisionState, LifeRules, Observation, Phase, Traffic};
use crate::ledger::Counts;
use crate::policy::{Board, BudgetStatus, Filter};
use crate::time::UnixNanos;
use std::collections::{BTreeMap, VecDeque};

/// Longest time over which traffic is looked at, in seconds.
const SPAN_MAX_SECS: u64 = 30;

/// Lifetime counts at one moment.
#[derive(Clone, Copy, Debug)]
struct Note {
    at: UnixNanos,
    treated: u64,
    all: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Witness {
    notes: BTreeMap<String, VecDeque<Note>>,
    probes: Probes,
}

impl Witness {
    /// Forgets all but these.
    pub(super) fn keep(&mut self, pending: &[Decision]) {
        self.probes.keep(pending);
        if !self.notes.is_empty() {
            self.notes.retain(|id, _| pending.iter().any(|d| d.id == *id));
        }
    }

    /// What is seen of `decision` at `now`.
    pub(super) fn look(
        &mut self,
        now: UnixNanos,
        rules: &LifeRules,
        board: &Board,
        decision: &Decision,
    ) -> Observation {
        if !is_watched(decision) {
            return Observation::default();
        }
        let e = &decision.evidence;
        let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (service, slo) = (named(&e.service), named(&e.slo));
        let totals = board.list(&Filter {
            service: service.as_deref(),
            slo: slo.as_deref(),
            environment: Some(&decision.environment),
            totals: Some(true),
            ..Filter::default()
        });
        let cohorts = board.list(&Filter {
            service: service.as_deref(),
            slo: slo.as_deref(),
            environment: Some(&decision.environment),
            flag: decision.deployment.is_none().then_some(decision.flag.as_str()),
            sha: decision.deployment.as_ref().map(|d| d.sha.as_str()),
            totals: Some(false),
            ..Filter::default()
        });
        let count = |status: &BudgetStatus| status.lifetime.total();
        let treated = cohorts.iter().filter(|s| is_treated(decision, s));
        let lifetime = treated.clone().fold(Counts::default(), |mut sum, s| {
            sum.good += s.lifetime.good;
            sum.bad += s.lifetime.bad;
            sum
        });
        let target = totals.first().map(|s| s.target);
        let note = Note {
            at: now,
            treated: treated.map(|s| count(s)).sum(),
            all: totals.iter().map(|s| count(s)).sum(),
        };
        let burns = totals.iter().filter_map(|s| {
            let sum = s.window(e.window_secs)?;
            burn_rate(sum.counts, s.target)
        });
        Observation {
            traffic: self.take(rules, &decision.id, note),
            burn: burns.max_by(f64::total_cmp),
            probed: target.and_then(|target| self.probes.look(now, decision, (lifetime, target))),
        }
    }

    /// Adds a note; the traffic between it and the one that is old enough.
    fn take(&mut self, rules: &LifeRules, id: &str, note: Note) -> Option<Traffic> {
        let span = rules.propagation_secs.clamp(1, SPAN_MAX_SECS);
        let notes = self.notes.entry(id.to_owned()).or_default();
        let last = notes.back().copied();
        // A clock that went back, or a series that began anew: so does the watching.
        if last.is_some_and(|last| last.at > note.at || last.treated > note.treated || last.all > note.all) {
            notes.clear();
        }
        if last.is_none_or(|last| note.at.secs_since(last.at) >= 1 || last.at > note.at) {
            notes.push_back(note);
        }
        while notes
            .get(1)
            .is_some_and(|second| note.at.secs_since(second.at) >= span)
        {
            notes.pop_front();
        }
        let first = notes
            .front()
            .filter(|first| note.at.secs_since(first.at) >= span)?;
        Some(Traffic {
            treated: note.treated.saturating_sub(first.treated),
            all: note.all.saturating_sub(first.all),
        })
    }
}

fn is_watched(decision: &Decision) -> bool {
    let DecisionState::Confirmed { verified, .. } = decision.state else {
        return false;
    };
    match decision.life.phase {
        Phase::EffectCheck { .. } | Phase::Probation { .. } => true,
        // Where the flag can be read, the watch over flags tells more.
        Phase::Cooldown { .. } => !verified,
        _ => false,
    }
}

/// Whether a cohort is one that the decision was to take traffic from.
fn is_treated(decision: &Decision, status: &BudgetStatus) -> bool {
    match &status.cohort.level {
        Level::Deployment { .. } => decision.deployment.is_some(),
        Level::Flag { variant, .. } if decision.deployment.is_none() => {
            must_go(&decision.evidence.variant, &decision.action, variant)
        }
        _ => false,
    }
}

/// Whether the traffic of a variant is what an action was to end. By hand nobody is blamed: then it is
/// whatever the safe state does not keep.
fn must_go(blamed: &str, action: &Action, variant: &str) -> bool {
    match action {
        Action::Switch { to } if blamed.is_empty() => !to.keeps(variant) && !is_reserved(variant),
        _ => variant == blamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::SafeState;

    #[test]
    fn what_an_action_by_hand_leads_to_is_not_what_must_go() {
        let serve = |variant: &str| SafeState::Serve {
            variant: variant.into(),
        };
        for (to, go, stay) in [
            (SafeState::Off, ["on", "blue"], ["off", "(error)"]),
            (SafeState::On, ["off", "blue"], ["on", "(error)"]),
            (serve("calm"), ["on", "blue"], ["calm", "off"]),
            (serve("true"), ["off", "blue"], ["on", "(error)"]),
        ] {
            let action = Action::Switch { to };
            assert!(
                go.iter().all(|variant| must_go("", &action, variant)),
                "{action:?}"
            );
            assert!(
                !stay.iter().any(|variant| must_go("", &action, variant)),
                "{action:?}"
            );
            assert!(
                must_go("red", &action, "red") && !must_go("red", &action, go[0]),
                "{action:?}"
            );
        }
    }

    fn note(secs: u64, treated: u64, all: u64) -> Note {
        Note {
            at: UnixNanos::from_secs(1_795_300_000 + secs),
            treated,
            all,
        }
    }

    #[test]
    fn traffic_is_what_came_between_two_notes_that_are_far_enough_apart() {
        let (mut witness, rules) = (Witness::default(), LifeRules::default());
        for secs in 0..30 {
            let told = witness.take(&rules, "d", note(secs, 100 + secs, 1_000 + 10 * secs));
            assert_eq!(told, None, "{secs}");
        }
        for secs in 30..90 {
            // The variant leaves after a minute.
            let treated = 100 + secs.min(60);
            let told = witness
                .take(&rules, "d", note(secs, treated, 1_000 + 10 * secs))
                .unwrap();
            let want = 30 - secs.saturating_sub(60).min(30);
            assert_eq!((told.treated, told.all), (want, 300), "{secs}");
        }
        assert!(witness.notes["d"].len() <= 32);
        witness.keep(&[]);
        assert!(witness.notes.is_empty());
    }

    #[test]
    fn a_clock_put_back_or_counts_that_begin_anew_begin_the_watching_anew() {
        let (mut witness, rules) = (Witness::default(), LifeRules::default());
        for secs in 0..=40 {
            witness.take(&rules, "d", note(secs, secs, secs));
        }
        assert_eq!(witness.take(&rules, "d", note(10, 41, 41)), None);
        for secs in 11..40 {
            assert_eq!(witness.take(&rules, "d", note(secs, 41, 41)), None);
        }
        assert_eq!(
            witness.take(&rules, "d", note(40, 41, 42)),
            Some(Traffic { treated: 0, all: 1 })
        );
        assert_eq!(witness.take(&rules, "d", note(41, 0, 0)), None);
    }
}
