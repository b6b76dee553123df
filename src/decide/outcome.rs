//! What a ruling by evidence leads to: a decision, or the record that one is withheld.

use super::decision::Decision;
use super::live::Subject;
use super::proof::{Proof, Ruling, TemporalProof};
use super::verdict::{Withheld, WithheldReason};
use crate::evidence::{Hold, Verdict};
use crate::ledger::Counts;
use crate::policy::KillMode;
use crate::time::UnixNanos;

/// A ruling, and the decision that follows if it is a kill.
pub(super) struct Outcome {
    pub(super) ruling: Ruling,
    pub(super) subject: Subject,
    pub(super) mode: KillMode,
    /// The accused harms now, whoever is to blame.
    pub(super) is_harmful: bool,
    pub(super) cohort: Counts,
    pub(super) control: Counts,
    pub(super) burn: f64,
    pub(super) window_secs: u64,
    pub(super) decision: Option<Box<Decision>>,
}

impl Outcome {
    /// What holds the decision, where the accused harms or is proven to be to blame; the rest is nobody's
    /// concern.
    pub(super) fn withheld_for(&self) -> Option<WithheldReason> {
        let Verdict::Hold { reasons } = &self.ruling.verdict else {
            return None;
        };
        let is_waiting = matches!(reasons[..], [Hold::Dwell { .. }]);
        let is_proven = reasons
            .iter()
            .all(|reason| !matches!(reason, Hold::Evidence { .. }));
        let holds = (self.is_harmful || is_proven) && !is_waiting;
        holds.then(|| WithheldReason::Rule {
            holds: reasons.clone(),
        })
    }

    /// The record of it.
    pub(super) fn withheld(
        &self,
        now: UnixNanos,
        former: Option<&Withheld>,
        reason: WithheldReason,
    ) -> Withheld {
        let ruling = &self.ruling;
        Withheld {
            exporter: ruling.exporter.clone(),
            service: ruling.service.clone(),
            slo: ruling.slo.clone(),
            environment: ruling.environment.clone(),
            sha: ruling.sha.clone(),
            flag: ruling.flag.clone(),
            variant: ruling.variant.clone(),
            since: former.map_or(now, |w| w.since),
            checked_at: now,
            window_secs: self.window_secs,
            burn: self.burn,
            burn_above: ruling.burn_above,
            cohort: self.cohort,
            control: self.control,
            reason,
        }
    }
}

/// The verdict in words.
pub(super) fn words(verdict: &Verdict, proof: &Proof) -> Vec<String> {
    let mut words = match verdict {
        Verdict::Hold { reasons } => reasons.iter().map(ToString::to_string).collect(),
        Verdict::Kill { burn, held_secs, .. } => {
            let evidence = format!(
                "it is to blame: evidence {:.1} of {:.1} needed, of a later change {:.1} of {:.1}; {}",
                proof.log_e, proof.kill_bound, proof.log_d, proof.change_bound, proof.attribution
            );
            vec![
                evidence,
                format!("it harms: burn {burn:.2}; all this for {held_secs} s"),
            ]
        }
    };
    words.extend(proof.temporal.as_ref().map(past_in_words));
    words
}

fn past_in_words(past: &TemporalProof) -> String {
    if let Some(lack) = past.lacks {
        return lack.to_string();
    }
    let share = |counts: Counts| format!("{} of {}", counts.bad, counts.total());
    format!(
        "everybody has it: {} failed since it changed, {} before (evidence {:.1}), {} of those without it \
         (evidence {:.1})",
        share(past.after),
        share(past.before),
        past.log_risen,
        share(past.aside),
        past.log_apart
    )
}
