//! The trials of flags that everybody has: when they begin and end, and which one of several it is.

use super::arms::Group;
use super::past::{Past, TRIAL_BLOCKS};
use super::{Accused, BUCKET_SECS, CaseKey, Sources, Trials};
use crate::evidence::{Attribution, EpochCause};
use crate::time::UnixNanos;
use std::sync::Arc;

/// Trials against the past at once, at most: a change that finds no room is not tried.
const PASTS_MAX: usize = 200;
/// Flags that changed within so many blocks of each other changed together: a minute.
const TOGETHER_BLOCKS: u64 = 6;

impl Trials {
    /// Comparisons that are looked at: `m` of the bounds.
    pub(super) fn watched(&self) -> usize {
        self.cases.len() + self.pasts()
    }

    fn pasts(&self) -> usize {
        self.cases.values().filter(|case| case.past.is_some()).count()
    }

    /// Begins, goes on with and ends the trials of flags that everybody has, up to the block `end`.
    pub(super) fn hear_pasts(&mut self, from: &Sources<'_>, groups: &[Group], end: u64) {
        let discount = self.dispersion.discount();
        let null = self.grid.null();
        let mut pasts = self.pasts();
        for group in groups {
            for key in group.keys() {
                let (Accused::Flag { flag, variant }, Some(case)) = (&key.accused, self.cases.get_mut(key))
                else {
                    continue;
                };
                let names = (&**flag, &**variant);
                if let Some(full_since) = case.rollout.examination() {
                    let epoch = case.trial.epoch();
                    let told = (epoch.cause == EpochCause::Changed)
                        .then(|| epoch.since.secs().div_ceil(BUCKET_SECS));
                    let span = (full_since, told, end);
                    let found = Past::examine(from, group, names, span, (null, discount));
                    let has_room = case.past.is_some() || pasts < PASTS_MAX;
                    self.refused += u64::from(found.is_some() && !has_room);
                    if let Some(past) = found.filter(|_| has_room) {
                        pasts += usize::from(case.past.is_none());
                        case.past = Some(Box::new(past));
                    }
                }
                let goes_on = case.past.as_mut().is_some_and(|past| {
                    past.hear(from, group, names, end, discount) && past.changed + TRIAL_BLOCKS > end
                });
                if !goes_on && case.past.take().is_some() {
                    pasts -= 1;
                }
            }
        }
        metrics::gauge!("burngate_kill_rollouts").set(pasts as f64);
    }

    pub(super) fn note_past_suspects(&mut self, bound: f64) {
        self.past_suspects.clear();
        for (key, case) in &self.cases {
            let log_e = case.past.as_ref().map(|past| past.trial().log_e());
            if log_e.is_some_and(|log_e| log_e >= bound) {
                self.past_suspects.insert(key.clone());
            }
        }
    }

    /// When everybody came to have it.
    pub(in crate::decide) fn shifted_at(past: &Past) -> UnixNanos {
        UnixNanos::from_secs(past.changed * BUCKET_SECS)
    }

    /// Whether it is the accused flag that everybody has. A flag that is suspect beside a control goes before
    /// it. Of two with a past the one that changed last is to blame: had it been the former, the past of the
    /// latter would have been as bad.
    pub(in crate::decide) fn past_attribution(&self, key: &CaseKey) -> Attribution {
        let place = |other: &&CaseKey| {
            other.objective == key.objective
                && other.environment == key.environment
                && other.accused.flag() != key.accused.flag()
        };
        let name = |other: &CaseKey| other.accused.flag().map(Arc::<str>::from);
        let mut suspects = self.suspects.iter().filter(place);
        if let Some(other) = suspects.find_map(name) {
            return Attribution::Other { other };
        }
        let changed = |key: &CaseKey| Some(self.cases.get(key)?.past.as_ref()?.changed);
        let Some(own) = changed(key) else {
            return Attribution::Alone;
        };
        let mut later_than = None;
        for suspect in self.past_suspects.iter().filter(place) {
            let (Some(at), Some(other)) = (changed(suspect), name(suspect)) else {
                continue;
            };
            if at > own + TOGETHER_BLOCKS {
                return Attribution::OtherIsLater { other };
            }
            if own <= at + TOGETHER_BLOCKS {
                return Attribution::Inseparable { other };
            }
            later_than = Some(other);
        }
        later_than.map_or(Attribution::Alone, |other| Attribution::LatestChange { other })
    }
}
