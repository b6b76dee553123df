//! What the evidence about one accused says: beside a control, or against its own past.

use super::accusation::Accusation;
use super::by_evidence::Harm;
use super::proof::TemporalProof;
use super::trials::{Accused, Case, Past, Trials};
use crate::evidence::{Attribution, EvidenceClass, Guard, TemporalLack, average};
use crate::ledger::Counts;
use crate::time::UnixNanos;

/// See the module.
pub(super) struct Reading {
    pub(super) class: EvidenceClass,
    pub(super) log_e: f64,
    pub(super) log_d: f64,
    pub(super) attribution: Attribution,
    /// What a comparison with the past rests on.
    pub(super) temporal: Option<TemporalProof>,
}

impl Reading {
    /// Whether a guard says nothing of this comparison: a past has no share that could be wrong, and its
    /// sources were not kept apart.
    pub(super) fn concerns(&self, guard: Guard) -> bool {
        self.class != EvidenceClass::Temporal || !matches!(guard, Guard::SampleRatio | Guard::LeaveOneOut)
    }
}

impl Accusation {
    /// A control at the same time goes first; the past is asked where that is not enough, and everybody has
    /// the variant.
    pub(super) fn read(
        &self,
        now: UnixNanos,
        trials: &Trials,
        harms: &[Harm<'_>],
        (lead, case): (&Harm<'_>, &Case),
    ) -> Option<Reading> {
        let cases: Vec<&Case> = harms.iter().filter_map(|harm| harm.case).collect();
        let mean = |log: fn(&Case) -> f64| average(&cases.iter().map(|case| log(case)).collect::<Vec<_>>());
        let log_e = mean(|case| case.trial.log_e())?;
        let log_d = mean(|case| case.trial.log_d())?;
        let key = self.case_key(lead.objective);
        let (class, attribution) = match &self.accused {
            Accused::Flag { flag, .. } => {
                let is_split = trials.is_split(&self.service, flag);
                let attribution = trials.attribution(now, &key, self.latest_change);
                (EvidenceClass::of(case.has_control, is_split), attribution)
            }
            Accused::Version { .. } => (
                EvidenceClass::of(case.has_control, false),
                super::versions::attribution(trials, lead.objective, &self.environment),
            ),
        };
        let beside = Reading {
            temporal: (class == EvidenceClass::Temporal)
                .then(|| TemporalProof::lacking(TemporalLack::Change)),
            class,
            log_e,
            log_d,
            attribution,
        };
        let is_enough = log_e >= trials.kill_bound() || log_d >= trials.change_bound();
        match &case.past {
            Some(past) if !is_enough => Some(Reading {
                class: EvidenceClass::Temporal,
                log_e: mean(|case| case.past.as_ref().map_or(0.0, |past| past.trial().log_e()))?,
                log_d: 0.0,
                attribution: trials.past_attribution(&key),
                temporal: Some(TemporalProof::of(past)),
            }),
            _ => Some(beside),
        }
    }
}

impl TemporalProof {
    fn of(past: &Past) -> Self {
        let counts = past.counts;
        Self {
            changed_at: Some(Trials::shifted_at(past)),
            log_risen: past.trial().log_risen(),
            log_apart: past.trial().log_apart(),
            after: counts.after,
            before: counts.before,
            aside: counts.aside,
            lacks: past.lack(),
        }
    }

    fn lacking(lack: TemporalLack) -> Self {
        Self {
            changed_at: None,
            log_risen: 0.0,
            log_apart: 0.0,
            after: Counts::ZERO,
            before: Counts::ZERO,
            aside: Counts::ZERO,
            lacks: Some(lack),
        }
    }
}
