//! A flag that was switched off by a rule is given back, a little at a time, where a policy wants that.
//!
//! Each step is a decision of its own, with its own row in the journal, its own read before the call and its
//! own audit record: a crash between two steps is a crash between two decisions, and nothing new had to be
//! thought of for it. A step is *on probation* while it is watched; it is *passed* when it was watched for
//! long enough, by enough requests, without a burn, and then the next one follows; at the first burn it is
//! *withdrawn*, and a last decision switches the flag off again. There is one try: after a withdrawal, and
//! after the last step, the rest is for somebody to do.
//!
//! Nothing is given back while anything else is wrong: while the service burns, while rules are switched off
//! or held by the guards that concern everybody, in maintenance, or when somebody has touched the flag. Where
//! any of this holds for a day the probation ends where it stands.
//!
//! Rejected: a timer within the killed decision, which would have needed a second journal for its calls; and
//! to restore the flag's former rollout at the end, because "all of them" is what burned.

use super::action::{Action, Actor};
use super::decision::{Decision, DecisionState, FailureReason};
use super::effect::Observation;
use super::guards;
use super::identity::decision_id;
use super::kill::KillDecider;
use super::life::{Life, LifeRules, Phase, Step};
use crate::budget::burn_rate;
use crate::policy::{Board, BudgetStatus, Filter, KillMode, KillSwitch, PolicySet, SafeState};
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A step that could not begin, or saw too little, for this long is not waited for any more, in seconds.
const PATIENCE_SECS: u64 = 86_400;

/// What a step of a probation is about, beside its decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbationStep {
    /// The decision that switched the flag off.
    pub of: String,
    /// From 1.
    pub step: u32,
    /// When the flag was last left by us: whoever changed it later knows better.
    pub left_at: UnixNanos,
    /// How long it is watched, in seconds.
    pub every_secs: u64,
    /// Bad events below which a burn is not believed.
    pub min_bad: u64,
    /// Events that must have been seen before the next step.
    pub min_events: u64,
    /// There is none after it.
    pub is_last: bool,
    /// The share of users, in percent, that the flag would have had when it was switched off; as soon as it
    /// is known. No step gives it to more.
    pub former_percent: Option<u8>,
}

/// What was seen of a flag on probation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Probed {
    /// How long it has been watched without a break, in seconds.
    pub watched_secs: u64,
    /// Events of the variant meanwhile.
    pub events: u64,
    /// Bad ones among those of about the rule's window.
    pub bad: u64,
    /// The variant's burn in about the rule's window; `None` without events.
    pub burn: Option<f64>,
}

/// What follows for a step whose call is confirmed.
pub(super) fn watched(
    decision: &Decision,
    step: &ProbationStep,
    now: UnixNanos,
    rules: &LifeRules,
    seen: &Observation,
) -> Option<Step> {
    match &decision.life.phase {
        Phase::Act => {
            let words = "on probation: the next step follows if nothing burns";
            Some(Step::phase(Phase::Probation { since: now }, words))
        }
        Phase::Probation { since } => judged(decision, step, (*since, now), rules, seen),
        // What did not follow within a day does not follow.
        Phase::Passed { at } if now >= at.plus_secs(PATIENCE_SECS) => {
            let words = "the next step could not begin within a day; the rest is for somebody to do";
            Some(Step::phase(closed(now, words), words))
        }
        _ => None,
    }
}

fn judged(
    decision: &Decision,
    step: &ProbationStep,
    (since, now): (UnixNanos, UnixNanos),
    rules: &LifeRules,
    seen: &Observation,
) -> Option<Step> {
    let above = decision.evidence.burn_above;
    let probed = seen.probed?;
    let burns = probed
        .burn
        .filter(|burn| *burn > above && probed.bad >= step.min_bad.max(1));
    if let Some(burn) = burns {
        let why = format!("the variant burns at {burn:.2}, above {above}: the flag is switched off again");
        return Some(Step::phase(
            Phase::Withdrawn {
                at: now,
                why: why.clone(),
            },
            why,
        ));
    }
    let is_enough = probed.watched_secs >= step.every_secs.saturating_add(rules.propagation_secs)
        && probed.events >= step.min_events;
    // Whatever burns beside it: nothing is given to more people meanwhile.
    let is_calm = seen.burn.is_none_or(|burn| burn <= above);
    if is_enough && is_calm {
        let words = format!(
            "passed: {} requests in {} s, and nothing burned",
            probed.events, probed.watched_secs
        );
        let has_all = step
            .former_percent
            .is_some_and(|former| percent_of(decision) >= former);
        if step.is_last || has_all {
            let words = format!("the probation is over, {words}; the rest is for somebody to give");
            return Some(Step::phase(closed(now, &words), words));
        }
        return Some(Step::phase(Phase::Passed { at: now }, words));
    }
    (now >= since.plus_secs(PATIENCE_SECS)).then(|| {
        let why = format!(
            "{} requests in a day are too few to tell: the flag is switched off again",
            probed.events
        );
        Step::phase(
            Phase::Withdrawn {
                at: now,
                why: why.clone(),
            },
            why,
        )
    })
}

fn closed(at: UnixNanos, why: &str) -> Phase {
    Phase::Closed {
        at,
        why: why.to_owned(),
    }
}

/// What a decision leads to.
enum Then {
    /// The next step, no earlier than that.
    Give(UnixNanos),
    /// The flag is switched off again.
    TakeBack(String),
}

/// What `decision`, the last about its flag, leads to.
fn then(decision: &Decision) -> Option<Then> {
    let life = &decision.life;
    if decision.deployment.is_some() {
        return None;
    }
    let Some(step) = &life.probation else {
        let is_ours = matches!(
            decision.state,
            DecisionState::Confirmed {
                already_off: false,
                ..
            }
        );
        let worked = life.effect == Some(super::effect::Effect::Seen) && life.exposed_at.is_none();
        let is_over = matches!(life.phase, Phase::Closed { .. });
        let of_rule =
            decision.actor == Actor::Rule && decision.action == Action::Switch { to: SafeState::Off };
        return (is_ours && worked && is_over && of_rule).then_some(Then::Give(decision.updated_at));
    };
    match (&decision.state, &life.phase) {
        (_, Phase::Withdrawn { why, .. }) => Some(Then::TakeBack(why.clone())),
        (_, Phase::Passed { at }) => Some(Then::Give(*at)),
        // A call has left, and nobody knows what it did.
        (DecisionState::Failed { reason, detail }, Phase::Act)
            if life.attempts > 0 && *reason != FailureReason::Overruled =>
        {
            Some(Then::TakeBack(format!("step {} failed: {detail}", step.step)))
        }
        _ => None,
    }
}

impl KillDecider {
    /// The steps that are due, and those that are taken back.
    pub(super) fn probations(&self, now: UnixNanos, board: &Board, policies: &PolicySet) -> Vec<Decision> {
        let mut due = Vec::new();
        for decision in self.live().iter() {
            match then(decision) {
                Some(Then::TakeBack(why)) => due.push(taken_back(decision, now, why)),
                Some(Then::Give(since)) => due.extend(self.given(decision, since, now, board, policies)),
                None => {}
            }
        }
        due
    }

    /// The next step after `former`, if it may begin now.
    fn given(
        &self,
        former: &Decision,
        since: UnixNanos,
        now: UnixNanos,
        board: &Board,
        policies: &PolicySet,
    ) -> Option<Decision> {
        let switch = switch_of(former, policies)?;
        let probation = switch.probation.as_ref()?;
        let step = former.life.probation.as_ref();
        let begins = match step {
            None => since.plus_secs(probation.after_secs),
            Some(_) => since,
        };
        if now < begins
            || now >= begins.plus_secs(PATIENCE_SECS)
            || !self.is_quiet(former, now, board, policies)
        {
            return None;
        }
        let done = step.map_or(0, |step| step.step);
        let most = step.and_then(|step| step.former_percent).unwrap_or(100);
        let from = percent_of(former);
        let percent = (*probation.steps.get(usize::try_from(done).ok()?)?).min(most);
        // The policy's steps have changed meanwhile.
        if percent <= from {
            return None;
        }
        let state = match switch.mode {
            KillMode::Auto => DecisionState::Decided,
            KillMode::Propose => DecisionState::Proposed {
                until: now.plus_secs(self.live().rules.propose_secs),
            },
            KillMode::Observe | KillMode::Off => return None,
        };
        let life = ProbationStep {
            of: step.map_or_else(|| former.id.clone(), |step| step.of.clone()),
            step: done + 1,
            left_at: former.updated_at,
            every_secs: probation.every_secs,
            min_bad: switch.when.min_bad,
            min_events: switch.guards.min_events,
            is_last: probation.steps.len() <= usize::try_from(done).ok()? + 1,
            former_percent: step.and_then(|step| step.former_percent),
        };
        let words = format!(
            "step {} of the probation after {}: to {percent} %",
            life.step, life.of
        );
        let mut next = following(former, now, words);
        next.actor = Actor::Probation { of: life.of.clone() };
        next.action = Action::Expose { percent, from };
        next.state = state;
        next.life.probation = Some(life);
        Some(next)
    }

    /// Whether nothing is wrong that would forbid to give anybody anything.
    fn is_quiet(&self, former: &Decision, now: UnixNanos, board: &Board, policies: &PolicySet) -> bool {
        let (guards, evidence) = (self.guards(), &former.evidence);
        let live = self.live();
        if !live.enabled || guards.may_switch(&former.flag).is_err() || self.coverage() < guards.min_coverage
        {
            return false;
        }
        let escalated = |d: &Decision| {
            matches!(&d.life.phase, Phase::Escalated { until, .. } if now < *until)
                && d.evidence.service == evidence.service
        };
        if live.iter().any(escalated) || guards::is_everybodys(board, guards.max_burning_percent) {
            return false;
        }
        let burns = |status: &BudgetStatus| {
            let sum = status.window(evidence.window_secs);
            let burn = sum.and_then(|sum| burn_rate(sum.counts, status.target));
            burn.is_some_and(|burn| burn > evidence.burn_above)
        };
        let is_maintained = |status: &BudgetStatus| {
            let found = policies.find(&status.objective, status.cohort.environment.as_deref());
            found.is_some_and(|(_, slo)| slo.maintenance_at(now).is_some())
        };
        let totals = board.list(&Filter {
            service: Some(&evidence.service),
            environment: Some(&former.environment),
            totals: Some(true),
            ..Filter::default()
        });
        let own = totals.iter().filter(|status| !status.counts_calls());
        own.into_iter()
            .all(|status| !burns(status) && !is_maintained(status))
    }
}

/// The share, in percent, that the flag was left at.
fn percent_of(decision: &Decision) -> u8 {
    match decision.action {
        Action::Expose { percent, .. } => percent,
        _ => 0,
    }
}

/// The rule that the decision was made by, if there is still one that gives flags back.
fn switch_of<'p>(decision: &Decision, policies: &'p PolicySet) -> Option<&'p Arc<KillSwitch>> {
    let fits = |switch: &KillSwitch| {
        *switch.flag == *decision.flag
            && *switch.exporter == *decision.exporter
            && *switch.environment == *decision.environment
            && switch
                .slo
                .as_ref()
                .is_none_or(|slo| **slo == *decision.evidence.slo)
            && switch.probation.is_some()
    };
    let environment = Some(decision.environment.as_str());
    let mut found = policies
        .kill_switches()
        .filter(|(policy, switch)| policy.covers(&decision.evidence.service, environment) && fits(switch));
    found.next().map(|(_, switch)| switch)
}

/// The decision after `former` about the same flag.
fn following(former: &Decision, now: UnixNanos, words: String) -> Decision {
    let incident = former.incident.saturating_add(1);
    Decision {
        id: decision_id(&former.exporter, &former.environment, &former.flag, incident),
        incident,
        decided_at: now,
        updated_at: now,
        life: Life::default(),
        history: vec![(now, words)],
        ..former.clone()
    }
}

/// Off again, whatever the rates say: it was on by our own hand.
fn taken_back(step: &Decision, now: UnixNanos, why: String) -> Decision {
    let mut next = following(step, now, why);
    if let Some(of) = step.life.probation.as_ref().map(|it| it.of.clone()) {
        next.actor = Actor::Probation { of };
    }
    next.action = Action::Switch { to: SafeState::Off };
    next.state = DecisionState::Decided;
    next.life.left_at = Some(step.updated_at);
    next
}
