//! From what rules say to decisions.
//!
//! At every tick each rule of the policies is asked, by evidence ([`super::by_evidence`]) or by burn alone
//! ([`super::by_burn`]); what it says becomes a decision if the flag, or the version, is not dealt with
//! already. What harms and does not become a decision is on record with the reason.

use super::accusation::{self, RulingKey};
use super::by_burn::PlainRule;
use super::decision::{Decision, DecisionState};
use super::guards::{self, CommonGuards};
use super::identity::decision_id;
use super::life::LifeRules;
use super::live::{COOLDOWN_SECS, LiveDecisions};
use super::outcome::Outcome;
use super::proof::Ruling;
use super::rates::RateLimits;
use super::trials::{ErrorRates, Sources, Trials};
use super::verdict::{WITHHELD_LIMIT, Withheld};
use crate::evidence::Dwell;
use crate::policy::{Board, KillMode, MAX_GAP_SECS, PolicySet};
use crate::time::UnixNanos;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Rulings that are kept for the API.
const RULINGS_LIMIT: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub struct KillDecider {
    live: LiveDecisions,
    plain: PlainRule,
    /// The evidence, for the rules that go by it.
    trials: Trials,
    dwells: BTreeMap<RulingKey, Dwell>,
    rulings: Vec<Ruling>,
    /// What these rules held back, with since when.
    held: BTreeMap<RulingKey, Withheld>,
    guards: CommonGuards,
    /// Share of what was sent of late that was counted.
    coverage: f64,
    last: Option<UnixNanos>,
}

impl Default for KillDecider {
    fn default() -> Self {
        Self::with_cooldown(COOLDOWN_SECS)
    }
}

impl KillDecider {
    /// A decider that knows of no decision.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another cooldown.
    pub fn with_cooldown(cooldown_secs: u64) -> Self {
        Self {
            live: LiveDecisions::new(cooldown_secs),
            plain: PlainRule::default(),
            trials: Trials::default(),
            dwells: BTreeMap::new(),
            rulings: Vec::new(),
            held: BTreeMap::new(),
            guards: CommonGuards::default(),
            coverage: 1.0,
            last: None,
        }
    }

    /// From now on, another cooldown.
    pub fn set_cooldown(&mut self, cooldown_secs: u64) {
        self.live.set_cooldown(cooldown_secs);
    }

    /// From now on, these rules of a decision's life, and these limits; `enabled` is the switch for all.
    pub fn set_rules(&mut self, rules: LifeRules, limits: RateLimits, enabled: bool) {
        self.live.rules = rules;
        self.live.limits = limits;
        self.live.enabled = enabled;
    }

    pub(super) fn live(&self) -> &LiveDecisions {
        &self.live
    }

    pub(super) fn guards(&self) -> &CommonGuards {
        &self.guards
    }

    pub(super) fn live_mut(&mut self) -> &mut LiveDecisions {
        &mut self.live
    }

    /// Forgets how long rules have held; call it when the policies have changed. Decisions stay.
    pub fn forget_timers(&mut self) {
        self.plain.forget();
        self.dwells.clear();
        self.held.clear();
    }

    /// From now on, other error rates and guards for the rules by evidence.
    pub fn set_evidence(&mut self, rates: ErrorRates, guards: CommonGuards) {
        self.trials.set_rates(rates);
        self.guards = guards;
    }

    /// Takes in what was counted; call it before [`Self::evaluate`] wherever rules go by evidence.
    ///
    /// Of a flag that somebody exposed again after a decision, what was before counts no more: whoever did so
    /// has seen it.
    pub fn hear(&mut self, now: UnixNanos, from: &Sources<'_>) {
        for (environment, flag, at) in self.live.exposures() {
            self.trials.note_change(&environment, &flag, at);
        }
        self.trials.hear(now, from);
    }

    /// So much of what was sent of late was counted, from 0 to 1.
    pub fn note_coverage(&mut self, coverage: f64) {
        self.coverage = coverage;
    }

    pub(super) fn coverage(&self) -> f64 {
        self.coverage
    }

    /// A flag was changed at its service: evidence about it begins anew.
    pub fn note_change(&mut self, environment: &str, flag: &str, at: UnixNanos) {
        self.trials.note_change(environment, flag, at);
    }

    /// What the rules by evidence said at the last evaluation of everything that they may act on.
    pub fn rulings(&self) -> &[Ruling] {
        &self.rulings
    }

    /// Takes over the decisions that the store holds, in any order; call it before the first evaluation.
    pub fn restore(&mut self, decisions: impl IntoIterator<Item = Decision>) {
        for decision in decisions {
            self.live.keep(decision);
        }
    }

    /// Learns what became of a decision.
    pub fn update(&mut self, decision: &Decision) {
        self.live.keep(decision.clone());
    }

    /// The latest decision about each flag.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.live.iter()
    }

    /// The cohorts that are due and held back at the last evaluation, with the reasons.
    pub fn withheld(&self) -> impl Iterator<Item = &Withheld> {
        self.plain.withheld().chain(self.held.values())
    }

    /// One evaluation: the decisions that are new. They are live from here on; write them to the journal
    /// before anything else.
    pub fn evaluate(&mut self, now: UnixNanos, board: &Board, policies: &PolicySet) -> Vec<Decision> {
        let gap = self.last.is_none_or(|last| now.secs_since(last) > MAX_GAP_SECS);
        self.last = Some(now);
        if gap {
            self.plain.begin_anew();
        }
        let sweep = self.plain.sweep(now, board, policies);
        let outcomes = self.rule_by_evidence(now, board, policies);
        let mut burning = sweep.burning;
        let harmful = outcomes.iter().filter(|(_, outcome)| outcome.is_harmful);
        burning.extend(harmful.map(|(_, outcome)| outcome.subject.clone()));
        if !gap {
            // After a gap the board may not be filled yet, so "nothing burns" would be a guess.
            self.live.note_burning(now, |subject| burning.contains(subject));
        }
        let mut decisions = self.follow(now, outcomes);
        let mut withheld = BTreeMap::new();
        for due in sweep.due {
            let service = &due.status.objective.service;
            let free = |()| self.live.admit(now, &due.subject, service, due.switch.mode);
            let may = |()| self.guards.may_switch(&due.subject.flag);
            match due.judge().and_then(may).and_then(free) {
                Ok(incident) => {
                    let decision = due.decision(now, incident, self.live.rules.propose_secs);
                    self.live.keep(decision.clone());
                    decisions.push(decision);
                }
                Err(reason) if withheld.len() < WITHHELD_LIMIT => {
                    let record = self.plain.record(now, &due, reason);
                    withheld.insert(due.case, record);
                }
                Err(_) => {}
            }
        }
        self.plain.keep(withheld);
        self.count(&decisions);
        for step in self.probations(now, board, policies) {
            self.live.keep(step.clone());
            decisions.push(step);
        }
        decisions
    }

    /// What the rules by evidence say now.
    fn rule_by_evidence(
        &mut self,
        now: UnixNanos,
        board: &Board,
        policies: &PolicySet,
    ) -> Vec<(RulingKey, Outcome)> {
        let mut accusations = accusation::of_flags(board, policies);
        accusations.extend(accusation::of_versions(board, policies, &self.trials));
        let percent = self.guards.max_burning_percent;
        let mut everybody: Option<bool> = None;
        let mut world = || *everybody.get_or_insert_with(|| guards::is_everybodys(board, percent));
        let mut dwells = BTreeMap::new();
        let mut outcomes = Vec::new();
        for accusation in accusations {
            let key = accusation.key();
            let mut dwell = self.dwells.remove(&key).unwrap_or_default();
            let common = (&self.guards, policies, self.coverage);
            let outcome = accusation.rule(now, &self.trials, &mut dwell, common, &mut world);
            dwells.insert(key.clone(), dwell);
            outcomes.extend(outcome.map(|outcome| (key, outcome)));
        }
        self.dwells = dwells;
        // Who may act before who may only watch, then the worst.
        outcomes.sort_by(|(a_key, a), (b_key, b)| {
            let rank = |outcome: &Outcome| Reverse(outcome.mode == KillMode::Auto);
            rank(a)
                .cmp(&rank(b))
                .then(b.burn.total_cmp(&a.burn))
                .then_with(|| a_key.cmp(b_key))
        });
        outcomes
    }

    /// The decisions that follow from what the rules by evidence say, and what is on record of the rest.
    fn follow(&mut self, now: UnixNanos, outcomes: Vec<(RulingKey, Outcome)>) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let mut held = BTreeMap::new();
        self.rulings.clear();
        for (key, mut outcome) in outcomes {
            let reason = match outcome.decision.take() {
                Some(decision) => {
                    match self
                        .live
                        .admit(now, &outcome.subject, &outcome.ruling.service, outcome.mode)
                    {
                        Ok(incident) => {
                            let mut decision = numbered(*decision, incident);
                            if let DecisionState::Proposed { until } = &mut decision.state {
                                *until = now.plus_secs(self.live.rules.propose_secs);
                            }
                            self.live.keep(decision.clone());
                            decisions.push(decision);
                            None
                        }
                        Err(reason) => Some(reason),
                    }
                }
                None => outcome.withheld_for(),
            };
            if let Some(reason) = reason.filter(|_| held.len() < WITHHELD_LIMIT) {
                let former = self
                    .held
                    .get(&key)
                    .filter(|w| w.reason.as_str() == reason.as_str());
                let record = outcome.withheld(now, former, reason);
                if former.is_none() {
                    say_withheld(&record);
                }
                held.insert(key, record);
            }
            if self.rulings.len() < RULINGS_LIMIT {
                self.rulings.push(outcome.ruling);
            }
        }
        self.held = held;
        decisions
    }

    fn count(&self, decisions: &[Decision]) {
        for decision in decisions {
            let mode = match decision.state {
                DecisionState::Observed => "observe",
                DecisionState::Proposed { .. } => "propose",
                _ => "auto",
            };
            metrics::counter!("burngate_kill_verdicts_total", "mode" => mode).increment(1);
        }
        metrics::gauge!("burngate_decisions_withheld").set(self.withheld().count() as f64);
    }
}

/// Where a decision begins, by its rule's mode.
pub(super) fn first_state(mode: KillMode, until: UnixNanos) -> (DecisionState, &'static str) {
    match mode {
        KillMode::Auto => (DecisionState::Decided, "decided"),
        KillMode::Propose => (DecisionState::Proposed { until }, "proposed"),
        KillMode::Observe | KillMode::Off => (DecisionState::Observed, "observed, nothing will be sent"),
    }
}

/// Once for each kind of reason, so that a case held for an hour is one line.
pub(super) fn say_withheld(record: &Withheld) {
    tracing::info!(
        flag = %record.flag,
        variant = %record.variant,
        service = %record.service,
        slo = %record.slo,
        environment = %record.environment,
        sha = record.sha.as_deref(),
        burn = record.burn,
        reason = %record.reason,
        "a kill rule is above its threshold, decision withheld"
    );
}

/// The decision as that of an incident.
fn numbered(mut decision: Decision, incident: u64) -> Decision {
    decision.incident = incident;
    decision.id = decision_id(
        &decision.exporter,
        &decision.environment,
        &decision.subject(),
        incident,
    );
    decision
}
