//! What is known in advance of a service, and what was found out afterwards: maintenance, peaks, corrections.
//!
//! A maintenance window and a correction leave whole five-minute buckets out of a budget; the counts stay
//! where they are, beside what was left out of them, so that nobody has to trust the arithmetic. A peak
//! leaves nothing out: it raises the thresholds of alerts by a factor that somebody approved, for as much of
//! a window as lies in it.

use super::model::Slo;
use crate::budget::{Schedule, Span, Threshold, union};
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Buckets that are left out as a whole.
const GRAIN_SECS: u64 = 300;

/// A maintenance window or a peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: Arc<str>,
    /// When.
    pub schedule: Schedule,
    /// Why.
    pub reason: Arc<str>,
    /// Who agreed to it; empty when nobody is named.
    pub approved_by: Arc<str>,
    /// Of a peak: what the thresholds are multiplied by.
    pub burn_factor: Threshold,
}

/// An interval that is left out after the fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Unique among all corrections.
    pub id: String,
    /// The service, exactly.
    pub service: String,
    /// Its SLOs; empty for all.
    pub slos: Vec<String>,
    /// The environment; `None` for all.
    pub environment: Option<String>,
    /// First second that is left out, a multiple of five minutes.
    pub from: u64,
    /// First second that is not, a multiple of five minutes.
    pub to: u64,
    /// Who says so.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was said; `None` for one that stands in a policy, of which Git knows.
    pub created_at: Option<UnixNanos>,
    /// Who took it back, when and why; it then leaves nothing out.
    pub withdrawn: Option<Withdrawn>,
}

/// That a correction was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: UnixNanos,
}

impl Correction {
    /// Whether it leaves something out of this SLO.
    pub fn concerns(&self, service: &str, slo: &str, environment: Option<&str>) -> bool {
        self.withdrawn.is_none()
            && self.service == service
            && (self.slos.is_empty() || self.slos.iter().any(|s| s == slo))
            && self.environment.as_deref().is_none_or(|e| environment == Some(e))
    }

    /// What it leaves out, whole buckets.
    pub fn span(&self) -> Span {
        Span {
            from: self.from - self.from % GRAIN_SECS,
            to: self.to.div_ceil(GRAIN_SECS) * GRAIN_SECS,
        }
    }
}

impl Slo {
    /// What is left out of its budget within [from, to): the union of maintenance windows and corrections,
    /// those of the policy and `others`, on multiples of five minutes.
    pub fn excluded<'c>(
        &self,
        others: impl Iterator<Item = &'c Correction>,
        (from, to): (u64, u64),
    ) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for planned in &self.plans.maintenance {
            spans.extend(planned.schedule.spans(from, to));
        }
        let own = self.plans.corrections.iter().map(|c| c.span());
        let corrections = own.chain(others.map(Correction::span));
        spans.extend(corrections.filter(|s| s.overlap(from, to) > 0));
        union(spans, GRAIN_SECS)
    }

    /// The maintenance window that is on at `now`, with its end.
    pub fn maintenance_at(&self, now: UnixNanos) -> Option<(&Arc<Planned>, Span)> {
        on_at(&self.plans.maintenance, now)
    }

    /// The peak that is on at `now`, with its end; of several the highest factor.
    pub fn peak_at(&self, now: UnixNanos) -> Option<(&Arc<Planned>, Span)> {
        let on = self
            .plans
            .peaks
            .iter()
            .filter_map(|p| Some((p, p.schedule.at(now.secs())?)));
        on.max_by_key(|(p, _)| p.burn_factor)
    }

    /// The peaks within the last `secs` before `now`, each with its factor.
    pub fn peaks_within(&self, now: UnixNanos, secs: u64) -> Vec<(Span, Threshold)> {
        let now = now.secs();
        let peaks = self.plans.peaks.iter();
        peaks
            .flat_map(|p| {
                let spans = p.schedule.spans(now.saturating_sub(secs), now);
                spans.into_iter().map(move |span| (span, p.burn_factor))
            })
            .collect()
    }
}

fn on_at(plans: &[Arc<Planned>], now: UnixNanos) -> Option<(&Arc<Planned>, Span)> {
    plans.iter().find_map(|p| Some((p, p.schedule.at(now.secs())?)))
}
