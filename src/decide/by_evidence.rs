//! The kill rule by evidence: what is known of every variant and version that a rule may act on, and what
//! follows.

use super::accusation::Accusation;
use super::action::Actor;
use super::by_burn::is_sampling_unknown;
use super::decision::{Decision, Evidence};
use super::guards::{self, CommonGuards};
use super::life::Life;
use super::outcome::{Outcome, words};
use super::proof::{Proof, Ruling, SourceProof, TemporalProof};
use super::trials::{Case, Trials};
use crate::budget::{burn_rate, error_ratio, exceeds, sampled_differently};
use crate::cohort::{Level, ObjectiveId};
use crate::evidence::{
    Dwell, EpochCause, EvidenceClass, Figures, Guard, HarmWindow, MIN_TREATED_BAD, Verdict, judge,
};
use crate::ledger::{Counts, Sampled, TopSignatures};
use crate::policy::{BudgetStatus, KillMode, MAX_GAP_SECS, PolicySet};
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest window in which harm is looked for, in seconds.
const HARM_WINDOW_MAX_SECS: u64 = 86_400;

/// What the accused did by one objective.
pub(super) struct Harm<'a> {
    pub(super) objective: ObjectiveId,
    pub(super) case: Option<&'a Case>,
    windows: Vec<HarmWindow>,
    treated: &'a [Arc<BudgetStatus>],
    control: &'a [Arc<BudgetStatus>],
    is_harmful: bool,
    burn: f64,
}

impl Accusation {
    /// What it says at `now`. `world` says, when it is asked, whether everybody burns.
    pub(super) fn rule(
        &self,
        now: UnixNanos,
        trials: &Trials,
        dwell: &mut Dwell,
        common: (&CommonGuards, &PolicySet, f64),
        world: &mut dyn FnMut() -> bool,
    ) -> Option<Outcome> {
        let harms = self.harms(trials);
        let lead = harms.iter().max_by(|a, b| {
            (a.case.is_some(), a.is_harmful)
                .cmp(&(b.case.is_some(), b.is_harmful))
                .then(a.burn.total_cmp(&b.burn))
        })?;
        let case = lead.case?;
        let reading = self.read(now, trials, &harms, (lead, case))?;
        let mut holding = guards::of_case(now, case, &self.guards);
        holding.retain(|guard| reading.concerns(*guard));
        self.add_common(now, lead, common, &mut holding);
        let bounds = (trials.kill_bound(), trials.change_bound());
        let is_proven = reading.log_e >= bounds.0 || reading.log_d >= bounds.1;
        // Nobody has asked yet who sent it.
        if is_proven && case.sources.is_none() {
            holding.push(Guard::Sources);
        }
        if is_proven && lead.is_harmful && holding.is_empty() && world() {
            holding.push(Guard::Breaker);
        }
        let status = lead.treated.first()?;
        let figures = Figures {
            log_e: reading.log_e,
            kill_bound: bounds.0,
            log_d: reading.log_d,
            change_bound: bounds.1,
            class: reading.class,
            // What is not enough to act on is enough to propose.
            class_needed: EvidenceClass::Temporal,
            target: status.target,
            burn_above: self.rule.burn_above,
            min_bad: self.rule.min_bad,
            windows: &lead.windows,
            last_bad: harms.iter().filter_map(|harm| harm.case?.last_bad).max(),
            attribution: &reading.attribution,
            guards: &holding,
        };
        let verdict = judge(now, &figures, dwell, self.rule.for_secs, MAX_GAP_SECS);
        let proof = proof(&figures, case, trials, reading.temporal.as_ref());
        Some(self.outcome(now, lead, verdict, proof))
    }

    fn add_common(
        &self,
        now: UnixNanos,
        lead: &Harm<'_>,
        (common, policies, coverage): (&CommonGuards, &PolicySet, f64),
        holding: &mut Vec<Guard>,
    ) {
        if self
            .accused
            .flag()
            .is_some_and(|flag| common.never_kill.is_match(flag))
        {
            holding.push(Guard::NeverKill);
        }
        if coverage < common.min_coverage {
            holding.push(Guard::Coverage);
        }
        let found = lead
            .treated
            .first()
            .and_then(|status| policies.find(&status.objective, status.cohort.environment.as_deref()));
        if found.is_some_and(|(_, slo)| slo.maintenance_at(now).is_some()) {
            holding.push(Guard::Maintenance);
        }
        let estimate = |series: &[Arc<BudgetStatus>]| {
            let windows = series
                .iter()
                .filter_map(|status| status.window(self.rule.window_secs));
            windows.fold(Sampled::default(), |mut sum, window| {
                sum.add(window.estimate());
                sum
            })
        };
        let is_unknown = lead.treated.iter().any(|s| is_sampling_unknown(s, policies));
        if is_unknown || sampled_differently(estimate(lead.treated), estimate(lead.control)) {
            holding.push(Guard::Sampling);
        }
    }

    /// By every objective that the rule watches.
    fn harms<'a>(&'a self, trials: &'a Trials) -> Vec<Harm<'a>> {
        let needed = self.rule.min_bad.max(MIN_TREATED_BAD);
        let harm = |(&objective, [treated, control]): (&ObjectiveId, &'a [Vec<Arc<BudgetStatus>>; 2])| {
            let windows = windows(treated, self.rule.window_secs);
            let found = windows.iter().find(|window| window.counts.bad >= needed);
            let judged = found.or(windows.first())?.counts;
            let target = treated.first()?.target;
            Some(Harm {
                objective,
                case: trials.case(&self.case_key(objective)),
                is_harmful: found.is_some() && exceeds(judged, target, self.rule.burn_above),
                burn: burn_rate(judged, target).unwrap_or(0.0),
                windows,
                treated,
                control,
            })
        };
        self.series.iter().filter_map(harm).collect()
    }

    fn outcome(&self, now: UnixNanos, lead: &Harm<'_>, verdict: Verdict, proof: Proof) -> Outcome {
        let needed = self.rule.min_bad.max(MIN_TREATED_BAD);
        let judged = lead.windows.iter().find(|window| window.counts.bad >= needed);
        let window_secs = judged
            .or(lead.windows.first())
            .map_or(self.rule.window_secs, |window| window.secs);
        let cohort = sum(lead.treated, window_secs);
        let control = sum(lead.control, window_secs);
        // What the policy wants done with less than it asks for.
        let mode = match self.mode {
            KillMode::Auto if proof.class < self.class_needed => KillMode::Propose,
            mode => mode,
        };
        let words = words(&verdict, &proof);
        let decision = match &verdict {
            Verdict::Kill { burn, held_secs, .. } => Some(Box::new(self.decision(
                now,
                lead,
                (window_secs, *burn, *held_secs),
                (cohort, control),
                (mode, &proof),
            ))),
            Verdict::Hold { .. } => None,
        };
        let slo = lead
            .treated
            .first()
            .map_or_else(String::new, |status| status.objective.slo.to_string());
        let (flag, variant, sha) = self.names();
        Outcome {
            ruling: Ruling {
                exporter: self.exporter.to_string(),
                service: self.service.to_string(),
                slo,
                environment: self.environment.to_string(),
                flag,
                variant,
                sha,
                mode: self.mode.as_str(),
                at: now,
                proof,
                windows: lead.windows.clone(),
                burn_above: self.rule.burn_above.value(),
                verdict,
                words,
            },
            subject: self.subject(),
            mode,
            is_harmful: lead.is_harmful,
            cohort,
            control,
            burn: lead.burn,
            window_secs,
            decision,
        }
    }

    /// The decision that follows from a kill, without its incident's number and id.
    fn decision(
        &self,
        now: UnixNanos,
        lead: &Harm<'_>,
        (window_secs, burn, held_secs): (u64, f64, u64),
        (cohort, control): (Counts, Counts),
        (mode, proof): (KillMode, &Proof),
    ) -> Decision {
        let (flag, variant, sha) = self.names();
        let worst = lead
            .treated
            .iter()
            .max_by_key(|s| s.window(window_secs).map_or(0, |w| w.counts.bad));
        let sha = sha.or_else(|| worst.and_then(|status| sha_of(status)));
        let window = worst.and_then(|status| status.window(window_secs));
        let (state, what) = super::kill::first_state(mode, now);
        let told = format!(
            "{what}: ln E {:.1} of {:.1}, ln D {:.1} of {:.1}; burn {burn:.2} above {} in {window_secs} s, held \
             for {held_secs} s; {}",
            proof.log_e,
            proof.kill_bound,
            proof.log_d,
            proof.change_bound,
            self.rule.burn_above,
            proof.attribution
        );
        let ratio = error_ratio(control).filter(|r| *r > 0.0);
        Decision {
            id: String::new(),
            exporter: self.exporter.to_string(),
            environment: self.environment.to_string(),
            flag: flag.clone(),
            deployment: self.deployment(),
            action: self.action.clone(),
            actor: Actor::Rule,
            incident: 0,
            decided_at: now,
            updated_at: now,
            evidence: Evidence {
                service: self.service.to_string(),
                slo: worst.map_or_else(String::new, |status| status.objective.slo.to_string()),
                environment: Some(self.environment.to_string()),
                sha,
                flag,
                variant,
                window_secs,
                from: window.map_or(now.minus_secs(window_secs), |w| w.from),
                to: window.map_or(now, |w| w.to),
                burn,
                burn_above: self.rule.burn_above.value(),
                held_secs,
                cohort,
                control,
                contrast: ratio.and_then(|base| Some(error_ratio(cohort)? / base)),
                signatures: TopSignatures::default(),
                proof: Some(proof.clone()),
            },
            state,
            life: Life::default(),
            history: vec![(now, told)],
        }
    }
}

/// The windows in which harm is looked for, smallest first, summed over the series; events that were seen.
fn windows(series: &[Arc<BudgetStatus>], from_secs: u64) -> Vec<HarmWindow> {
    let mut sums: BTreeMap<u64, Counts> = BTreeMap::new();
    for window in series.iter().flat_map(|status| &status.windows) {
        if (from_secs..=HARM_WINDOW_MAX_SECS.max(from_secs)).contains(&window.sum.window_secs) {
            sums.entry(window.sum.window_secs)
                .or_default()
                .add(window.sum.seen());
        }
    }
    sums.into_iter()
        .map(|(secs, counts)| HarmWindow { secs, counts })
        .collect()
}

fn sum(series: &[Arc<BudgetStatus>], window_secs: u64) -> Counts {
    let mut sum = Counts::ZERO;
    for window in series.iter().filter_map(|status| status.window(window_secs)) {
        sum.add(window.seen());
    }
    sum
}

fn sha_of(status: &BudgetStatus) -> Option<String> {
    match &status.cohort.level {
        Level::Flag { sha, .. } => sha.as_deref().map(ToOwned::to_owned),
        Level::Deployment { sha } => Some(sha.to_string()),
        _ => None,
    }
}

fn proof(figures: &Figures<'_>, case: &Case, trials: &Trials, temporal: Option<&TemporalProof>) -> Proof {
    let epoch = case.trial.epoch();
    let changed = temporal.and_then(|temporal| Some((temporal, temporal.changed_at?)));
    let (since, cause, treated, control, ratio) = if let Some((past, changed_at)) = changed {
        let (after, before) = (error_ratio(past.after), error_ratio(past.before));
        let before = before.filter(|share| *share > 0.0);
        let ratio = before.and_then(|before| Some(after? / before));
        (changed_at, EpochCause::Changed, past.after, past.before, ratio)
    } else {
        let (treated, control) = case.counts;
        (epoch.since, epoch.cause, treated, control, case.trial.ratio())
    };
    Proof {
        class: figures.class,
        log_e: figures.log_e,
        kill_bound: figures.kill_bound,
        log_d: figures.log_d,
        change_bound: figures.change_bound,
        ratio,
        ratio_interval: if changed.is_none() {
            case.ratio_interval()
        } else {
            None
        },
        epoch_since: since,
        epoch_cause: cause,
        treated,
        control,
        overdispersion: trials.phi(),
        attribution: figures.attribution.to_string(),
        sources: case.sources.map(|sources| SourceProof {
            active: sources.active,
            with_bad: sources.with_bad,
            top_share: sources.top_share,
            log_e_without_top: sources.log_e_without_top,
            roots: sources.roots,
        }),
        temporal: temporal.copied(),
    }
}
