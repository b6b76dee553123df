//! The plain kill rule.
//!
//! At every tick, for every kill switch of a policy: each cohort (deployment, variant) of its flag, in the
//! policy's environment and under the policy's own objectives, is compared with the rule's threshold, exactly
//! and strictly. A cohort above it at every evaluation in `for` is due. A due cohort becomes a decision if it
//! has enough bad events, stands out from the flag's other variants on the same service, environment and sha
//! in the same window, and the flag is not already dealt with; otherwise the reason is on record.
//!
//! Never blamed: variant `off` (switching off what is off changes nothing), reserved variants (events whose
//! flag could not be read say nothing of it), and the overflow cohort (nobody knows who is in it).
//!
//! The contrast is asked when a cohort is due, not at every evaluation before: a control that had no request
//! for one second would otherwise put off a kill by minutes.

use super::action::{Action, Actor};
use super::decision::{Decision, Evidence};
use super::identity::decision_id;
use super::kill::{first_state, say_withheld};
use super::life::Life;
use super::live::Subject;
use super::verdict::{Withheld, WithheldReason};
use crate::budget::{
    Threshold, burn_rate, contrasts, error_ratio, exceeds, mean_weight, sampled_differently,
};
use crate::cohort::Level;
use crate::cohort::flags::is_reserved;
use crate::ledger::{Counts, Sampled, TopSignatures, WindowSum};
use crate::policy::{
    Blame, Board, BudgetStatus, KillMode, KillRule, KillSwitch, Policy, PolicySet, SeriesKey,
};
use crate::sli::DeclaredSampling;
use crate::time::UnixNanos;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// A rule applied to a cohort: what a `for` timer and a withheld verdict belong to.
pub(super) type Case = (SeriesKey, Arc<str>, KillRule);

/// What the plain rule remembers.
#[derive(Debug, Default)]
pub(super) struct PlainRule {
    /// Since when each case is above its threshold.
    above: BTreeMap<Case, UnixNanos>,
    withheld: BTreeMap<Case, Withheld>,
}

/// A cohort that has been above for the whole `for`.
pub(super) struct Due {
    pub(super) case: Case,
    pub(super) subject: Subject,
    pub(super) switch: Arc<KillSwitch>,
    pub(super) status: Arc<BudgetStatus>,
    sum: WindowSum,
    control: Sampled,
    burn: f64,
    /// Its policy says that nobody knows what is missing.
    is_unknown: bool,
    held_secs: u64,
}

/// One evaluation: who burns, and who is due, the worst first.
#[derive(Default)]
pub(super) struct Sweep {
    above: BTreeMap<Case, UnixNanos>,
    pub(super) burning: BTreeSet<Subject>,
    pub(super) due: Vec<Due>,
}

impl PlainRule {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What was due before a gap is not, as far as anybody knows.
    pub(super) fn begin_anew(&mut self) {
        self.above.clear();
    }

    pub(super) fn withheld(&self) -> impl Iterator<Item = &Withheld> {
        self.withheld.values()
    }

    /// Puts on record what was withheld at this evaluation, in the place of the former one's.
    pub(super) fn keep(&mut self, withheld: BTreeMap<Case, Withheld>) {
        self.withheld = withheld;
    }

    /// Compares every cohort that may be blamed with its threshold.
    pub(super) fn sweep(&mut self, now: UnixNanos, board: &Board, policies: &PolicySet) -> Sweep {
        let mut sweep = Sweep::default();
        let plain = |switch: &KillSwitch| switch.mode != KillMode::Off && switch.blame == Blame::Burn;
        for (policy, switch) in policies.kill_switches().filter(|(_, k)| plain(k)) {
            let of_flag = board.of_flag(&switch.flag);
            for status in of_flag.iter().filter(|s| may_blame(policy, switch, s, policies)) {
                let Some(sum) = status.window(switch.when.window_secs).copied() else {
                    continue;
                };
                if !exceeds(sum.counts, status.target, switch.when.burn_above) {
                    continue;
                }
                let key = (status.objective_id, status.cohort_id);
                let case = (key, Arc::clone(&switch.exporter), switch.when);
                let since = self
                    .above
                    .get(&case)
                    .copied()
                    .filter(|&s| s <= now)
                    .unwrap_or(now);
                sweep.above.insert(case.clone(), since);
                let subject = Subject {
                    exporter: switch.exporter.to_string(),
                    environment: switch.environment.to_string(),
                    flag: switch.flag.to_string(),
                };
                sweep.burning.insert(subject.clone());
                if now < since.plus_secs(switch.when.for_secs) {
                    continue;
                }
                sweep.due.push(Due {
                    case,
                    subject,
                    switch: Arc::clone(switch),
                    status: Arc::clone(status),
                    sum,
                    control: control(status, &of_flag, switch.when.window_secs),
                    burn: burn_rate(sum.counts, status.target).unwrap_or(0.0),
                    is_unknown: is_sampling_unknown(status, policies),
                    held_secs: now.secs_since(since),
                });
            }
        }
        self.above = std::mem::take(&mut sweep.above);
        // Who may act before who may only watch, then the worst.
        sweep.due.sort_by(|a, b| {
            let rank = |d: &Due| (Reverse(d.switch.mode == KillMode::Auto), d.case.clone());
            let worst = b.burn.total_cmp(&a.burn);
            (rank(a).0)
                .cmp(&rank(b).0)
                .then(worst)
                .then_with(|| rank(a).1.cmp(&rank(b).1))
        });
        sweep
    }

    /// The record of a withheld verdict; logged when its kind is new, so that a case held for an hour is one
    /// line.
    pub(super) fn record(&self, now: UnixNanos, due: &Due, reason: WithheldReason) -> Withheld {
        let former = self
            .withheld
            .get(&due.case)
            .filter(|w| w.reason.as_str() == reason.as_str());
        let (sha, variant) = due.cut();
        let record = Withheld {
            exporter: due.subject.exporter.clone(),
            service: due.status.objective.service.to_string(),
            slo: due.status.objective.slo.to_string(),
            environment: due.subject.environment.clone(),
            sha: sha.map(ToOwned::to_owned),
            flag: due.subject.flag.clone(),
            variant: variant.to_owned(),
            since: former.map_or(now, |w| w.since),
            checked_at: now,
            window_secs: due.sum.window_secs,
            burn: due.burn,
            burn_above: due.switch.when.burn_above.value(),
            cohort: due.sum.counts,
            control: due.control.counts(),
            reason,
        };
        if former.is_none() {
            say_withheld(&record);
        }
        record
    }
}

impl Due {
    /// Whether the counts allow a decision, or what holds it.
    pub(super) fn judge(&self) -> Result<(), WithheldReason> {
        let rule = self.switch.when;
        if self.is_unknown {
            return Err(WithheldReason::SamplingUnknown);
        }
        // Events that were seen: one that stands for a hundred is still one.
        let seen = self.sum.seen();
        if seen.bad < rule.min_bad {
            return Err(WithheldReason::TooFewBad {
                bad: seen.bad,
                needed: rule.min_bad,
            });
        }
        if rule.contrast != Threshold::ONE {
            let (own, control) = (self.sum.estimate(), self.control);
            if sampled_differently(own, control) {
                return Err(WithheldReason::SamplingDiffers {
                    cohort: mean_weight(own).unwrap_or(0.0),
                    control: mean_weight(control).unwrap_or(0.0),
                });
            }
            match contrasts(self.sum.counts, control.counts(), rule.contrast) {
                None => return Err(WithheldReason::NoControl),
                Some(false) => {
                    let ratio = ratio(self.sum.counts, control.counts()).unwrap_or(0.0);
                    return Err(WithheldReason::Contrast {
                        ratio,
                        needed: rule.contrast.value(),
                    });
                }
                Some(true) => {}
            }
        }
        Ok(())
    }

    fn cut(&self) -> (Option<&str>, &str) {
        match &self.status.cohort.level {
            Level::Flag { sha, variant, .. } => (sha.as_deref(), variant),
            _ => (None, ""),
        }
    }

    pub(super) fn decision(&self, now: UnixNanos, incident: u64, propose_secs: u64) -> Decision {
        let Subject {
            exporter,
            environment,
            flag,
        } = self.subject.clone();
        let (sha, variant) = self.cut();
        let (state, what) = first_state(self.switch.mode, now.plus_secs(propose_secs));
        let rule = self.switch.when;
        let mut told = format!(
            "{what}: burn {:.2} above {} in {} s, held for {} s",
            self.burn, rule.burn_above, rule.window_secs, self.held_secs
        );
        if let Some(sampled) = self.sum.sampled {
            let (seen, all) = (sampled.seen.total(), self.sum.counts.total());
            let _ = write!(told, ", estimated from {seen} of {all} events");
        }
        let control = self.control.counts();
        Decision {
            id: decision_id(&exporter, &environment, &flag, incident),
            exporter,
            environment: environment.clone(),
            flag: flag.clone(),
            deployment: None,
            action: Action::Switch {
                to: self.switch.action.clone(),
            },
            actor: Actor::Rule,
            incident,
            decided_at: now,
            updated_at: now,
            evidence: Evidence {
                service: self.status.objective.service.to_string(),
                slo: self.status.objective.slo.to_string(),
                environment: Some(environment),
                sha: sha.map(ToOwned::to_owned),
                flag,
                variant: variant.to_owned(),
                window_secs: rule.window_secs,
                from: self.sum.from,
                to: self.sum.to,
                burn: self.burn,
                burn_above: rule.burn_above.value(),
                held_secs: self.held_secs,
                cohort: self.sum.counts,
                control,
                contrast: ratio(self.sum.counts, control),
                signatures: TopSignatures::default(),
                proof: None,
            },
            state,
            life: Life::default(),
            history: vec![(now, told)],
        }
    }
}

/// Whether `switch` of `policy` may blame this cohort.
fn may_blame(policy: &Arc<Policy>, switch: &KillSwitch, status: &BudgetStatus, policies: &PolicySet) -> bool {
    let Level::Flag { flag, variant, .. } = &status.cohort.level else {
        return false;
    };
    let environment = status.cohort.environment.as_deref();
    *flag == switch.flag
        && environment == Some(&*switch.environment)
        && !switch.action.keeps(variant)
        && !is_reserved(variant)
        && switch.variants.as_ref().is_none_or(|v| v.contains(variant))
        // Failed calls of another service are that service's to answer for, unless the switch names them.
        && switch.slo.as_ref().map_or(!status.counts_calls(), |s| *s == status.objective.slo)
        && policy.covers(&status.objective.service, environment)
        && policies
            .find(&status.objective, environment)
            .is_some_and(|(p, _)| p.is_some_and(|p| Arc::ptr_eq(p, policy)))
}

/// Counts of the flag's other variants on the same objective, environment and sha, in the same window.
fn control(cohort: &BudgetStatus, of_flag: &[Arc<BudgetStatus>], window_secs: u64) -> Sampled {
    let Level::Flag { sha, variant, .. } = &cohort.cohort.level else {
        return Sampled::default();
    };
    let others = of_flag.iter().filter(|other| {
        let same = matches!(&other.cohort.level, Level::Flag { sha: s, variant: v, .. }
            if s == sha && v != variant && !is_reserved(v));
        same && other.objective_id == cohort.objective_id
            && other.cohort.environment == cohort.cohort.environment
    });
    let mut sum = Sampled::default();
    let windows = others.filter_map(|other| other.window(window_secs));
    windows.for_each(|window| sum.add(window.estimate()));
    sum
}

/// Whether the policy says that events are missing and nobody knows how many.
pub(super) fn is_sampling_unknown(status: &BudgetStatus, policies: &PolicySet) -> bool {
    let environment = status.cohort.environment.as_deref();
    let found = policies.find(&status.objective, environment);
    found.is_some_and(|(_, slo)| slo.sli.sampling == Some(DeclaredSampling::Unknown))
}

/// Bad share of `cohort` over that of `control`; `None` when the control has no bad event.
fn ratio(cohort: Counts, control: Counts) -> Option<f64> {
    let base = error_ratio(control).filter(|&r| r > 0.0)?;
    Some(error_ratio(cohort)? / base)
}
