//! Gauges in slices of time: each slice is one event, good if every value in it kept to the limit.
//!
//! A gauge has no events of its own, so time makes them. Values of one cohort are put together whatever their
//! stream: the worst decides. A slice is closed a little after its end, when its points have had time to
//! come; where none came, the worst of the last slice stands for a while, as in Prometheus; after that data
//! is missing, and the policy says what that is. A time that a gauge tells grows old by itself, so it never
//! goes missing. While one cohort of a service has data, another without has ended and is not missing.

use super::by_hash::ByHash;
use super::streams::{Row, Streams};
use crate::sli::{GaugeLimit, GaugeSource, Missing, ObjectiveName};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use std::collections::HashMap;
use std::sync::Arc;

/// How long after its end a slice waits for its points, in seconds.
const GRACE_SECS: u64 = 10;
/// Slices that wait for their end at once.
const OPEN_MAX: usize = 8;
/// Slices of one cohort that one call closes at most: what a long silence left is caught up with over calls.
const CLOSE_MAX: usize = 1_000;

/// Whose slices they are, with names of their own: they outlive the batch that brought the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::ledger) struct Place {
    pub(in crate::ledger) service: Arc<str>,
    pub(in crate::ledger) environment: Option<Arc<str>>,
    pub(in crate::ledger) sha: Option<Arc<str>>,
    /// Flags and their variants.
    pub(in crate::ledger) flags: Vec<(Arc<str>, Arc<str>)>,
}

/// What a slice is judged by.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::ledger) struct Rule {
    limit: GaugeLimit,
    slice_secs: u64,
    missing: Missing,
    stale_after_secs: u64,
}

impl From<&GaugeSource> for Rule {
    fn from(source: &GaugeSource) -> Self {
        Self {
            limit: source.limit,
            slice_secs: source.slice_secs,
            missing: source.missing,
            stale_after_secs: source.stale_after_secs,
        }
    }
}

/// The slices of one objective and cohort.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(in crate::ledger) struct Slices {
    place: Place,
    slo: Arc<str>,
    /// The objective, by a hash of what it says.
    watch: u64,
    rule: Rule,
    /// Number of the slice that is closed next.
    next: u64,
    /// The worst of each slice that is not closed.
    open: Vec<(u64, f64)>,
    /// The worst of the last slice with data, and the end of that.
    carried: Option<(f64, u64)>,
    /// Until here nobody looked.
    #[serde(skip)]
    blind_until: u64,
    #[serde(skip)]
    pub(super) dirty: bool,
}

pub(super) type AllSlices = ByHash<u64, Slices>;

/// A slice that is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct SliceEvent {
    pub(in crate::ledger) place: Place,
    pub(in crate::ledger) objective: ObjectiveName,
    /// Its last nanosecond.
    pub(in crate::ledger) at: UnixNanos,
    pub(in crate::ledger) is_good: bool,
}

/// A value for the slices of one objective and cohort.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct LevelAt {
    pub(in crate::ledger) value: f64,
    pub(in crate::ledger) time: u64,
}

impl Rule {
    fn width(self) -> u64 {
        self.slice_secs.saturating_mul(NANOS_PER_SEC).max(1)
    }

    fn worse(self, a: f64, b: f64) -> f64 {
        match self.limit {
            GaugeLimit::AtMost(_) => a.max(b),
            GaugeLimit::AtLeast(_) | GaugeLimit::AgeAtMost(_) => a.min(b),
        }
    }

    fn keeps(self, value: f64, end: u64) -> bool {
        match self.limit {
            GaugeLimit::AtMost(limit) => value <= limit,
            GaugeLimit::AtLeast(limit) => value >= limit,
            GaugeLimit::AgeAtMost(nanos) => end as f64 - value <= nanos as f64,
        }
    }

    fn end(self, slice: u64) -> u64 {
        slice.saturating_add(1).saturating_mul(self.width())
    }
}

impl Slices {
    /// Takes a value; false when its slice is closed.
    fn take(&mut self, level: LevelAt) -> bool {
        let slice = level.time / self.rule.width();
        if slice < self.next {
            return false;
        }
        if let Some((_, worst)) = self.open.iter_mut().find(|(open, _)| *open == slice) {
            *worst = self.rule.worse(*worst, level.value);
        } else if self.open.len() < OPEN_MAX {
            self.open.push((slice, level.value));
        } else {
            return false;
        }
        true
    }

    /// Whether the slice is good; `None` when its data is missing.
    fn judge(&mut self, slice: u64) -> Option<bool> {
        let end = self.rule.end(slice);
        if let Some(at) = self.open.iter().position(|(open, _)| *open == slice) {
            let (_, worst) = self.open.swap_remove(at);
            self.carried = Some((worst, end));
            return Some(self.rule.keeps(worst, end));
        }
        let (carried, since) = self.carried?;
        let is_fresh = end.saturating_sub(since) <= self.rule.stale_after_secs.saturating_mul(NANOS_PER_SEC);
        is_fresh.then(|| self.rule.keeps(carried, end))
    }

    /// What a slice is of which nothing is known any more; `None` when it is not counted.
    fn without_data(&self, slice: u64) -> Option<bool> {
        match (self.rule.limit, self.carried, self.rule.missing) {
            (GaugeLimit::AgeAtMost(_), Some((value, _)), _) => {
                Some(self.rule.keeps(value, self.rule.end(slice)))
            }
            (_, _, Missing::Good) => Some(true),
            (_, _, Missing::Bad) => Some(false),
            (_, _, Missing::Excluded) => None,
        }
    }

    fn subject(&self) -> (u64, Arc<str>, Option<Arc<str>>) {
        (
            self.watch,
            self.place.service.clone(),
            self.place.environment.clone(),
        )
    }

    fn event(&self, slice: u64, is_good: bool) -> SliceEvent {
        SliceEvent {
            place: self.place.clone(),
            objective: ObjectiveName {
                service: self.place.service.clone(),
                slo: self.slo.clone(),
            },
            at: UnixNanos(self.rule.end(slice) - 1),
            is_good,
        }
    }
}

impl Streams {
    /// Takes a value of a gauge; false when its slice is closed or there is no room.
    pub(in crate::ledger) fn level(
        &mut self,
        key: u64,
        level: LevelAt,
        rule: Rule,
        watch: u64,
        new: impl FnOnce() -> (Place, Arc<str>),
    ) -> bool {
        if !self.slices.contains_key(&key) {
            if self.slices.len() >= self.limits.max_streams {
                return false;
            }
            let (place, slo) = new();
            let slices = Slices {
                place,
                slo,
                watch,
                rule,
                next: level.time / rule.width(),
                open: Vec::new(),
                carried: None,
                blind_until: 0,
                dirty: false,
            };
            self.slices.insert(key, slices);
        }
        let Some(slices) = self.slices.get_mut(&key) else {
            return false;
        };
        if slices.rule.slice_secs != rule.slice_secs {
            (slices.next, slices.open) = (level.time / rule.width(), Vec::new());
        }
        slices.rule = rule;
        if !std::mem::replace(&mut slices.dirty, true) {
            self.dirty.push(Row::Slices(key));
        }
        slices.take(level)
    }

    /// Closes every slice whose time has come.
    pub(in crate::ledger) fn close_slices(&mut self, now: UnixNanos) -> Vec<SliceEvent> {
        let until = now.minus_secs(GRACE_SECS).0;
        let mut closed: Vec<(u64, u64, Option<bool>)> = Vec::new();
        for (key, slices) in &mut self.slices {
            let mut room = CLOSE_MAX;
            while slices.rule.end(slices.next) <= until && room > 0 {
                room -= 1;
                let slice = slices.next;
                slices.next += 1;
                let unseen = slices.rule.end(slice) <= slices.blind_until
                    && !slices.open.iter().any(|(open, _)| *open == slice);
                if !unseen {
                    closed.push((*key, slice, slices.judge(slice)));
                }
                if !std::mem::replace(&mut slices.dirty, true) {
                    self.dirty.push(Row::Slices(*key));
                }
            }
        }
        self.events(closed)
    }

    /// What closed slices say. Missing data counts once a service, for the cohort that had data last.
    fn events(&mut self, closed: Vec<(u64, u64, Option<bool>)>) -> Vec<SliceEvent> {
        let mut events = Vec::new();
        let mut present = std::collections::HashSet::new();
        let mut missing = HashMap::new();
        for (key, slice, verdict) in closed {
            let Some(slices) = self.slices.get(&key) else {
                continue;
            };
            let subject = (slices.subject(), slice);
            if let Some(is_good) = verdict {
                events.push(slices.event(slice, is_good));
                present.insert(subject);
            } else {
                let last = slices.carried.map_or(0, |(_, end)| end);
                let latest = missing.entry(subject).or_insert((last, key));
                *latest = (*latest).max((last, key));
            }
        }
        for ((subject, slice), (_, key)) in missing {
            if let Some(slices) = self.slices.get(&key)
                && !present.contains(&(subject, slice))
                && let Some(is_good) = slices.without_data(slice)
            {
                events.push(slices.event(slice, is_good));
            }
        }
        events.sort_by(|a, b| (a.at, &a.place.service).cmp(&(b.at, &b.place.service)));
        events
    }

    /// Slices that ended before `now` and have no value were not looked at.
    pub fn resume_slices(&mut self, now: UnixNanos) {
        self.slices
            .values_mut()
            .for_each(|slices| slices.blind_until = now.0);
    }

    /// Lets go of slices whose objective is gone, or that nobody has fed for long while another cohort is
    /// fed.
    pub(super) fn sweep_slices(&mut self, now: UnixNanos) {
        let idle = now.minus_secs(self.limits.idle_timeout_secs).0;
        let mut last: HashMap<_, u64> = HashMap::new();
        for slices in self.slices.values() {
            let at = last.entry(slices.subject()).or_default();
            *at = (*at).max(slices.fed_at());
        }
        let Self {
            slices,
            dirty,
            watches,
            ..
        } = self;
        slices.retain(|key, slices| {
            let fed_at = slices.fed_at();
            let is_last = last.get(&slices.subject()).is_some_and(|last| fed_at >= *last);
            let counts = slices.rule.missing != Missing::Excluded
                || matches!(slices.rule.limit, GaugeLimit::AgeAtMost(_));
            let watched = watches.is_empty() || watches.contains_key(&slices.watch);
            let stays = watched && (fed_at >= idle || (is_last && counts));
            if !stays {
                dirty.push(Row::Slices(*key));
            }
            stays
        });
    }
}

impl Slices {
    fn fed_at(&self) -> u64 {
        let open = self.open.iter().map(|(slice, _)| self.rule.end(*slice)).max();
        open.unwrap_or(0).max(self.carried.map_or(0, |(_, end)| end))
    }
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
