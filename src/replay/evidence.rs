//! What the evidence about each variant and version came to.
//!
//! A kill is the end of a story; whoever tries a policy asks as well how near the others came, and what was
//! missing. So of every accused the strongest moment of each epoch is kept, with all its figures, whether
//! anything followed or not.

use super::outcome::instant;
use super::subject::Subject;
use crate::api::proto;
use crate::decide::{Proof, Ruling};
use crate::evidence::Verdict;
use crate::time::UnixNanos;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Accused and epochs that are kept; the rest is counted.
const TRIED_MAX: usize = 1_000;

/// The strongest moment of one accused in one epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// When: the tick that found it.
    #[serde(serialize_with = "instant")]
    pub at: UnixNanos,
    /// Who would have acted.
    pub exporter: String,
    /// The accused, by the SLO that burned most then.
    #[serde(flatten)]
    pub subject: Subject,
    /// The rule's mode.
    pub mode: &'static str,
    /// The statistics, as the API shows them.
    #[serde(serialize_with = "as_in_the_api")]
    pub proof: Proof,
    /// The same when it was last looked at in this epoch.
    #[serde(serialize_with = "as_in_the_api")]
    pub at_last: Proof,
    /// At the strongest moment: `kill` or `hold`.
    pub verdict: &'static str,
    /// What held it, a word each.
    pub reasons: Vec<&'static str>,
    /// The same in words.
    pub told: Vec<String>,
}

/// The figures under the names that they have in the API.
pub(super) fn as_in_the_api<S: Serializer>(proof: &Proof, serializer: S) -> Result<S::Ok, S::Error> {
    let shown: proto::Proof = crate::api::proof(proof);
    shown.serialize(serializer)
}

/// The same where there may be none.
#[allow(clippy::ref_option, reason = "serde hands over references")]
pub(super) fn as_in_the_api_if_any<S: Serializer>(
    proof: &Option<Proof>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match proof {
        Some(proof) => as_in_the_api(proof, serializer),
        None => serializer.serialize_none(),
    }
}

/// Exporter, environment, service and SLO; flag, variant, version, and when the epoch began.
type Key = ([String; 4], [String; 2], Option<String>, UnixNanos);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    tried: BTreeMap<Key, Tried>,
    more: u64,
}

impl Evidence {
    /// What the rules said at a tick.
    pub(super) fn saw(&mut self, now: UnixNanos, rulings: Vec<Ruling>) {
        for ruling in rulings {
            let key = (
                [
                    &ruling.exporter,
                    &ruling.environment,
                    &ruling.service,
                    &ruling.slo,
                ]
                .map(String::clone),
                [&ruling.flag, &ruling.variant].map(String::clone),
                ruling.sha.clone(),
                ruling.proof.epoch_since,
            );
            let is_full = self.tried.len() >= TRIED_MAX;
            match self.tried.get_mut(&key) {
                Some(known) if strength(&known.proof) >= strength(&ruling.proof) => {
                    known.at_last = ruling.proof;
                }
                Some(known) => *known = Tried::of(now, ruling),
                None if is_full => self.more += 1,
                None => {
                    self.tried.insert(key, Tried::of(now, ruling));
                }
            }
        }
    }

    /// In order of time, and how many rulings found no room.
    pub(super) fn end(self) -> (Vec<Tried>, u64) {
        let mut all: Vec<Tried> = self.tried.into_values().collect();
        all.sort_by(|a, b| (a.at, &a.subject).cmp(&(b.at, &b.subject)));
        (all, self.more)
    }
}

/// How near to its bound: of the two ways in which evidence can be enough, the nearer.
fn strength(proof: &Proof) -> f64 {
    (proof.log_e / proof.kill_bound).max(proof.log_d / proof.change_bound)
}

impl Tried {
    fn of(at: UnixNanos, ruling: Ruling) -> Self {
        let (verdict, reasons) = match &ruling.verdict {
            Verdict::Kill { .. } => ("kill", Vec::new()),
            Verdict::Hold { reasons } => (
                "hold",
                reasons.iter().map(crate::evidence::Hold::as_str).collect(),
            ),
        };
        Self {
            at,
            subject: Subject::of_accused(
                (&ruling.service, &ruling.slo, &ruling.environment),
                ruling.sha.as_ref(),
                (&ruling.flag, &ruling.variant),
            ),
            exporter: ruling.exporter,
            mode: ruling.mode,
            at_last: ruling.proof.clone(),
            proof: ruling.proof,
            verdict,
            reasons,
            told: ruling.words,
        }
    }
}
