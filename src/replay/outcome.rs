//! What happened in a replay.

use super::error::Problem;
use super::evidence::{Evidence, Tried, as_in_the_api_if_any};
use super::gates::{GateEdge, Gates};
use super::play::Wishes;
use super::subject::Subject;
use crate::budget::burn_rate;
use crate::cohort::{CohortId, ObjectiveId};
use crate::decide::{Decision, DecisionState, Proof, Withheld};
use crate::gateway::Rehearsal;
use crate::ledger::Counts;
use crate::policy::{AlertStatus, BudgetStatus};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

/// Held-back verdicts that are kept; the rest is counted.
const HELD_BACK_MAX: usize = 1_000;

/// Everything that a replay found, in order of time.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was read.
    pub input: Input,
    /// The first tick.
    #[serde(serialize_with = "instant")]
    pub from: UnixNanos,
    /// The last tick.
    #[serde(serialize_with = "instant")]
    pub to: UnixNanos,
    /// Budgets over time; the last of each series is that of the end.
    pub budgets: Vec<BudgetSample>,
    /// Alerts that began or ended to fire, and budgets that were spent.
    pub alerts: Vec<AlertEdge>,
    /// What a release gate would have said, each time that its answer changed.
    pub gates: Vec<GateEdge>,
    /// Decisions of kill switches; none was sent.
    pub decisions: Vec<Killed>,
    /// Verdicts that led to no decision, each when its reason was new.
    pub held_back: Vec<HeldBack>,
    /// Held-back verdicts beyond those.
    pub held_back_more: u64,
    /// The strongest moment of the evidence about each variant and version, by epoch.
    pub evidence: Vec<Tried>,
    /// Rulings about others beyond those.
    pub evidence_more: u64,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Input {
    /// The files.
    pub files: Vec<String>,
    /// OTLP requests that were counted; one whose items fall into several buckets counts once for each.
    pub requests: u64,
    /// Spans, data points and log records in them.
    pub items: u64,
    /// Rows of per-minute files that were counted.
    pub minutes: u64,
    /// Requests and rows that hold nothing.
    pub empty: u64,
    /// Those outside of the time that was asked for.
    pub outside: u64,
    /// Records that were left out.
    pub left_out: u64,
    /// The first of them, with the reasons.
    pub problems: Vec<Problem>,
}

/// Where one series stood.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetSample {
    /// When.
    #[serde(serialize_with = "instant")]
    pub at: UnixNanos,
    /// Whose.
    #[serde(flatten)]
    pub subject: Subject,
    /// The target, as a ratio.
    pub objective: f64,
    /// Period of the budget, in seconds.
    pub period_secs: u64,
    /// Share of the period's budget that is left; `None` for cohorts, or without events.
    pub remaining: Option<f64>,
    /// Events of the period (of a cohort without one: all).
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
    /// State of the most severe alert.
    pub state: &'static str,
    /// The windows, shortest first, the period last.
    pub windows: Vec<WindowSample>,
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WindowSample {
    /// Its width, in seconds.
    pub window_secs: u64,
    /// Good events in it.
    pub good: u64,
    /// Bad events in it.
    pub bad: u64,
    /// Burn rate; `None` without events.
    pub burn_rate: Option<f64>,
}

/// Which way an edge goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// It fires from here on.
    Firing,
    /// It does not any more.
    Resolved,
}

/// An alert that began or ended to fire.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertEdge {
    /// When: the tick that found it.
    #[serde(serialize_with = "instant")]
    pub at: UnixNanos,
    /// Whose.
    #[serde(flatten)]
    pub subject: Subject,
    /// The alert's name; `budget` for a budget that was spent.
    pub alert: String,
    /// Its severity; empty for a budget.
    pub severity: &'static str,
    /// Which way.
    pub state: EdgeState,
    /// Of an alert's end: seconds that it fired.
    pub fired_secs: Option<u64>,
    /// Every window then.
    pub windows: Vec<WindowSample>,
}

/// A decision of a kill switch, with what it rests on. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Killed {
    /// When.
    #[serde(serialize_with = "instant")]
    pub at: UnixNanos,
    /// The decision's id: that of a gateway that had decided this.
    pub id: String,
    /// `auto`: it would have been done; `propose`: somebody would have been asked; `observe`: it would have
    /// been noted.
    pub mode: &'static str,
    /// What would have been done.
    pub action: String,
    /// Who would have switched it.
    pub exporter: String,
    /// Whose burn it was.
    #[serde(flatten)]
    pub subject: Subject,
    /// The window and what fell into it.
    #[serde(flatten)]
    pub window: WindowSample,
    /// The threshold that the burn was above.
    pub burn_above: f64,
    /// For so long.
    pub held_secs: u64,
    /// Good events of the flag's other variants.
    pub control_good: u64,
    /// Bad ones.
    pub control_bad: u64,
    /// Bad share over that of the other variants; `None` when they have no bad event.
    pub contrast: Option<f64>,
    /// The statistics, as the API shows them, of a rule by evidence.
    #[serde(serialize_with = "as_in_the_api_if_any")]
    pub proof: Option<Proof>,
}

/// A verdict that led to no decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldBack {
    /// Since when.
    #[serde(serialize_with = "instant")]
    pub at: UnixNanos,
    /// Who would have switched the flag.
    pub exporter: String,
    /// Whose burn it was.
    #[serde(flatten)]
    pub subject: Subject,
    /// The window and what fell into it.
    #[serde(flatten)]
    pub window: WindowSample,
    /// The kind of reason, in a word.
    pub reason: &'static str,
    /// The reason with its figures.
    pub told: String,
}

impl Killed {
    fn of(decision: Decision, mode: &'static str) -> Self {
        let evidence = &decision.evidence;
        let subject = Subject::of_accused(
            (&evidence.service, &evidence.slo, &decision.environment),
            evidence.sha.as_ref(),
            (&decision.flag, &evidence.variant),
        );
        Self {
            at: decision.decided_at,
            mode,
            action: decision.action.to_string(),
            subject,
            window: WindowSample {
                window_secs: evidence.window_secs,
                good: evidence.cohort.good,
                bad: evidence.cohort.bad,
                burn_rate: Some(evidence.burn),
            },
            burn_above: evidence.burn_above,
            held_secs: evidence.held_secs,
            control_good: evidence.control.good,
            control_bad: evidence.control.bad,
            contrast: evidence.contrast,
            proof: decision.evidence.proof,
            id: decision.id,
            exporter: decision.exporter,
        }
    }
}

impl HeldBack {
    fn of(at: UnixNanos, withheld: Withheld) -> Self {
        let subject = Subject::of_accused(
            (&withheld.service, &withheld.slo, &withheld.environment),
            withheld.sha.as_ref(),
            (&withheld.flag, &withheld.variant),
        );
        Self {
            at,
            subject,
            window: WindowSample {
                window_secs: withheld.window_secs,
                good: withheld.cohort.good,
                bad: withheld.cohort.bad,
                burn_rate: Some(withheld.burn),
            },
            reason: withheld.reason.as_str(),
            told: withheld.reason.to_string(),
            exporter: withheld.exporter,
        }
    }
}

/// RFC 3339, as in the API.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
pub(in crate::replay) fn instant<S: Serializer>(at: &UnixNanos, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn windows(status: &BudgetStatus) -> Vec<WindowSample> {
    let sample = |window_secs, counts: Counts| WindowSample {
        window_secs,
        good: counts.good,
        bad: counts.bad,
        burn_rate: burn_rate(counts, status.target),
    };
    let period = status.period.iter();
    let sums = status.windows.iter().map(|window| &window.sum).chain(period);
    sums.map(|sum| sample(sum.window_secs, sum.counts)).collect()
}

/// What fires in one series, and since when.
#[derive(Debug, Default)]
struct Firing(BTreeMap<String, UnixNanos>);

/// Writes down what happens.
#[derive(Debug)]
pub(super) struct Watcher {
    wishes: Wishes,
    from: UnixNanos,
    next_sample: UnixNanos,
    firing: HashMap<(ObjectiveId, CohortId), Firing>,
    budgets: Vec<BudgetSample>,
    alerts: Vec<AlertEdge>,
    gates: Gates,
    gate_edges: Vec<GateEdge>,
    held: Vec<(String, &'static str)>,
    held_back: Vec<HeldBack>,
    held_back_more: u64,
    evidence: Evidence,
    decided: u64,
    /// How each decision began: in the end all that nobody approved look alike.
    modes: HashMap<String, &'static str>,
}

impl Watcher {
    pub(super) fn new(wishes: Wishes, from: UnixNanos) -> Self {
        let mut watcher = Self {
            wishes,
            from,
            next_sample: from,
            firing: HashMap::new(),
            budgets: Vec::new(),
            alerts: Vec::new(),
            gates: Gates::default(),
            gate_edges: Vec::new(),
            held: Vec::new(),
            held_back: Vec::new(),
            held_back_more: 0,
            evidence: Evidence::default(),
            decided: 0,
            modes: HashMap::new(),
        };
        watcher.next_sample = watcher.sample_after(from);
        watcher
    }

    /// The next whole interval of the budgets' lines.
    fn sample_after(&self, now: UnixNanos) -> UnixNanos {
        let every = self.wishes.budgets_every.as_secs().max(1) * NANOS_PER_SEC;
        UnixNanos((now.0 / every + 1).saturating_mul(every))
    }

    /// What a tick worked out anew.
    pub(super) fn saw(&mut self, now: UnixNanos, changed: &[std::sync::Arc<BudgetStatus>]) {
        let (before, gates_before) = (self.alerts.len(), self.gate_edges.len());
        for status in changed {
            self.gate_edges.extend(self.gates.saw(now, status));
            if self.wishes.cohorts || status.is_total() {
                self.edges(now, status);
            }
        }
        // The ledger's order of series is that of their first events; names read better.
        self.alerts[before..].sort_by(|a, b| (&a.subject, &a.alert).cmp(&(&b.subject, &b.alert)));
        self.gate_edges[gates_before..].sort_by(|a, b| a.subject.cmp(&b.subject));
    }

    fn edges(&mut self, now: UnixNanos, status: &BudgetStatus) {
        let key = (status.objective_id, status.cohort_id);
        let firing = self.firing.entry(key).or_default();
        let of_alert =
            |alert: &AlertStatus| (alert.name.to_string(), alert.severity.as_str(), alert.is_firing());
        let spent = std::iter::once(("budget".to_owned(), "", status.exhausted));
        for (alert, severity, fires) in status.alerts.iter().map(of_alert).chain(spent) {
            let since = firing.0.get(&alert).copied();
            let (state, fired_secs) = match (fires, since) {
                (true, None) => {
                    firing.0.insert(alert.clone(), now);
                    (EdgeState::Firing, None)
                }
                (false, Some(since)) => {
                    firing.0.remove(&alert);
                    (EdgeState::Resolved, Some(now.secs_since(since)))
                }
                _ => continue,
            };
            self.alerts.push(AlertEdge {
                at: now,
                subject: Subject::of(status),
                alert,
                severity,
                state,
                fired_secs,
                windows: windows(status),
            });
        }
    }

    /// Whatever else is to be seen after a tick.
    pub(super) fn looks(&mut self, now: UnixNanos, rehearsal: &Rehearsal) {
        if now >= self.next_sample {
            self.sample(now, rehearsal);
            self.next_sample = self.sample_after(now);
        }
        let (decided, decisions) = rehearsal.decided_since(self.decided);
        self.decided = decided;
        for decision in decisions {
            let mode = match decision.state {
                DecisionState::Observed => "observe",
                DecisionState::Proposed { .. } => "propose",
                _ => "auto",
            };
            self.modes.entry(decision.id).or_insert(mode);
        }
        self.evidence.saw(now, rehearsal.rulings());
        self.hold(now, rehearsal.withheld());
    }

    fn hold(&mut self, now: UnixNanos, withheld: Vec<Withheld>) {
        let key = |w: &Withheld| {
            let sha = w.sha.as_deref().unwrap_or("");
            format!(
                "{}/{}/{}/{}/{}/{}/{sha}",
                w.exporter, w.environment, w.service, w.slo, w.flag, w.variant
            )
        };
        let now_held: Vec<_> = withheld.iter().map(|w| (key(w), w.reason.as_str())).collect();
        for (withheld, held) in withheld.into_iter().zip(&now_held) {
            if self.held.contains(held) {
                continue;
            }
            if self.held_back.len() < HELD_BACK_MAX {
                self.held_back.push(HeldBack::of(now, withheld));
            } else {
                self.held_back_more += 1;
            }
        }
        self.held = now_held;
    }

    fn sample(&mut self, now: UnixNanos, rehearsal: &Rehearsal) {
        for status in rehearsal.board().snapshot() {
            if !self.wishes.cohorts && !status.is_total() {
                continue;
            }
            let counts = status.period.map_or(status.lifetime, |period| period.counts);
            self.budgets.push(BudgetSample {
                at: now,
                subject: Subject::of(&status),
                objective: status.target.ratio(),
                period_secs: status.period_secs,
                remaining: status.remaining,
                good: counts.good,
                bad: counts.bad,
                state: status.overall.as_str(),
                windows: windows(&status),
            });
        }
    }

    pub(super) fn end(mut self, now: UnixNanos, rehearsal: &Rehearsal) -> Outcome {
        if self.budgets.last().is_none_or(|last| last.at < now) {
            self.sample(now, rehearsal);
        }
        let modes = self.modes;
        let killed = |decision: Decision| {
            let mode = modes.get(&decision.id).copied().unwrap_or("auto");
            Killed::of(decision, mode)
        };
        let (evidence, evidence_more) = self.evidence.end();
        Outcome {
            input: Input::default(),
            from: self.from,
            to: now,
            budgets: self.budgets,
            alerts: self.alerts,
            gates: self.gate_edges,
            decisions: rehearsal.decisions().into_iter().map(killed).collect(),
            held_back: self.held_back,
            held_back_more: self.held_back_more,
            evidence,
            evidence_more,
        }
    }
}
