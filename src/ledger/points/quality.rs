//! How exactly an SLI from metrics is known.

use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// From best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// Every event is told good or bad by what was sent.
    #[default]
    Exact,
    /// The threshold lies inside a bucket, which is divided.
    Interpolated,
    /// Only quantiles are known.
    Estimated,
    /// Something that should count was lost before it came here, or cannot be used.
    Degraded,
}

impl Quality {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Interpolated => "interpolated",
            Self::Estimated => "estimated",
            Self::Degraded => "degraded",
        }
    }

    /// The number that stands for it on `slo_sli_quality`.
    pub const fn code(self) -> u8 {
        self as u8
    }

    pub(in crate::ledger) fn raise(&mut self, other: Self) {
        *self = (*self).max(other);
    }
}

/// How long what was worse is remembered, in seconds: a few exports.
const REMEMBERED_SECS: u64 = 600;
/// Objectives that are remembered.
const OBJECTIVES_MAX: usize = 10_000;

/// What is known of every objective over metrics; shared by batches, metrics and answers.
#[derive(Debug, Default)]
pub struct Qualities(Mutex<HashMap<ObjectiveName, [u64; 4]>>);

impl Qualities {
    pub(in crate::ledger) fn note(&self, found: Vec<(ObjectiveName, Quality)>, now: UnixNanos) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, quality) in found {
            if known.len() >= OBJECTIVES_MAX && !known.contains_key(&name) {
                continue;
            }
            let seen = known.entry(name).or_default();
            if let Some(at) = seen.get_mut(usize::from(quality.code())) {
                *at = now.secs();
            }
        }
    }

    /// The worst of the last minutes; `None` for an objective that counts no metrics.
    pub fn of(&self, name: &ObjectiveName, now: UnixNanos) -> Option<Quality> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).map(|seen| worst(seen, now))
    }

    /// Every objective.
    pub fn all(&self, now: UnixNanos) -> Vec<(ObjectiveName, Quality)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .map(|(name, seen)| (name.clone(), worst(seen, now)))
            .collect()
    }
}

fn worst(seen: &[u64; 4], now: UnixNanos) -> Quality {
    let recent = |quality: &Quality| {
        let at = seen.get(usize::from(quality.code())).copied().unwrap_or(0);
        at > 0 && now.secs().saturating_sub(at) <= REMEMBERED_SECS
    };
    [Quality::Degraded, Quality::Estimated, Quality::Interpolated]
        .into_iter()
        .find(recent)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_worst_of_the_last_minutes_is_told_and_then_forgotten() {
        let qualities = Qualities::default();
        let name = ObjectiveName {
            service: Arc::from("a"),
            slo: Arc::from("b"),
        };
        let at = |secs: u64| UnixNanos(secs * 1_000_000_000);
        assert_eq!(qualities.of(&name, at(1000)), None);
        qualities.note(vec![(name.clone(), Quality::Exact)], at(1000));
        assert_eq!(qualities.of(&name, at(1000)), Some(Quality::Exact));
        qualities.note(vec![(name.clone(), Quality::Degraded)], at(1100));
        qualities.note(vec![(name.clone(), Quality::Interpolated)], at(1500));
        assert_eq!(qualities.of(&name, at(1600)), Some(Quality::Degraded));
        assert_eq!(qualities.of(&name, at(1800)), Some(Quality::Interpolated));
        assert_eq!(qualities.all(at(9000)), [(name, Quality::Exact)]);
    }
}
