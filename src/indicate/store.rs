//! The samples of all indicators, bounded, and what is known of the streams behind them.
//!
//! Problem: what metrics and spans say arrives in any order and at any interval; indicators ask for windows
//! that end together. Property wanted: memory is bounded whatever arrives, an answer rests only on slots that
//! are complete, and a reload loses no sample of what it did not change. So there is one ring of 10 s slots
//! for each (selector, service, environment, group), and beside it the last word of every stream; when a slot
//! closes, levels are written down and it is worked out how far each ring is complete. Rejected: a ring for
//! every stream, since a histogram by route, method and status has hundreds, and only their sum is asked for.

use super::formula::{Origin, Shape};
use super::grid::Grid;
use super::plan::{Plan, ScopeKey, ScopePlan, SelectorIndex};
use super::sample::{Content, Events, Group, Reading, Sample};
use super::series::{Series, Span};
use super::standing::Standing;
use super::stream::{self, Stamp, Stream};
use super::{IndicatorLimits, SLOT_NANOS};
use crate::time::UnixNanos;
use hashbrown::HashMap;
use std::sync::Arc;

/// Number of a service and environment.
pub(super) type ScopeIndex = u32;
/// Number of a combination of the values of `by`.
pub(super) type GroupIndex = u32;

/// Which samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SeriesKey {
    pub(super) selector: SelectorIndex,
    pub(super) scope: ScopeIndex,
    pub(super) group: GroupIndex,
}

/// A service in an environment.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) service: Arc<str>,
    pub(super) environment: Option<Arc<str>>,
    pub(super) plan: Arc<ScopePlan>,
    /// The slot in which it was first heard of.
    pub(super) begin: u64,
    pub(super) seen_at: UnixNanos,
}

/// What was not taken, by limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) scopes: u64,
    pub(super) series: u64,
    pub(super) groups: u64,
    pub(super) streams: u64,
    pub(super) grids: u64,
    pub(super) cells: u64,
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) plan: Arc<Plan>,
    pub(super) limits: IndicatorLimits,
    pub(super) scopes: HashMap<ScopeIndex, Scope>,
    scope_numbers: HashMap<ScopeKey, ScopeIndex>,
    next_scope: ScopeIndex,
    pub(super) groups: HashMap<GroupIndex, Group>,
    group_numbers: HashMap<Group, GroupIndex>,
    next_group: GroupIndex,
    pub(super) series: HashMap<SeriesKey, Series>,
    /// Groups of each selector and scope.
    members: HashMap<(SelectorIndex, ScopeIndex), u32>,
    streams: HashMap<(SeriesKey, u128), Stream>,
    /// Metrics that are of no use where they are asked for, with what they are.
    pub(super) unusable: HashMap<(SelectorIndex, ScopeIndex), &'static str>,
    /// Slots before this one are closed.
    pub(super) closed: u64,
    pub(super) refused: Refused,
}

impl Store {
    pub(super) fn new(plan: Arc<Plan>, limits: IndicatorLimits) -> Self {
        Self {
            plan,
            limits,
            scopes: HashMap::new(),
            scope_numbers: HashMap::new(),
            next_scope: 0,
            groups: HashMap::new(),
            group_numbers: HashMap::new(),
            next_group: 0,
            series: HashMap::new(),
            members: HashMap::new(),
            streams: HashMap::new(),
            unusable: HashMap::new(),
            closed: 0,
            refused: Refused::default(),
        }
    }

    /// The number of a service and environment; None beyond the limit.
    pub(super) fn scope(
        &mut self,
        now: UnixNanos,
        service: &str,
        environment: Option<&str>,
    ) -> Option<ScopeIndex> {
        let key: ScopeKey = (service.into(), environment.map(Into::into));
        if let Some(number) = self.scope_numbers.get(&key) {
            if let Some(scope) = self.scopes.get_mut(number) {
                scope.seen_at = now;
            }
            return Some(*number);
        }
        if self.scopes.len() >= self.limits.max_services {
            self.refused.scopes += 1;
            return None;
        }
        let number = self.next_scope;
        self.next_scope = self.next_scope.wrapping_add(1);
        let scope = Scope {
            plan: self.plan.scope(service, environment),
            service: key.0.clone(),
            environment: key.1.clone(),
            begin: now.0 / SLOT_NANOS,
            seen_at: now,
        };
        self.scopes.insert(number, scope);
        self.scope_numbers.insert(key, number);
        Some(number)
    }

    fn group(&mut self, group: Group) -> GroupIndex {
        if let Some(number) = self.group_numbers.get(&group) {
            return *number;
        }
        let number = self.next_group;
        self.next_group = self.next_group.wrapping_add(1);
        self.groups.insert(number, group.clone());
        self.group_numbers.insert(group, number);
        number
    }

    /// Where samples go; None beyond a limit.
    fn place(
        &mut self,
        now: UnixNanos,
        scope: ScopeIndex,
        selector: SelectorIndex,
        group: Group,
    ) -> Option<SeriesKey> {
        let (shape, reach_secs) = {
            let it = self.plan.selectors.get(usize::from(selector))?;
            (it.shape, it.reach_secs)
        };
        if let Some(known) = self.group_numbers.get(&group) {
            let key = SeriesKey {
                selector,
                scope,
                group: *known,
            };
            if let Some(series) = self.series.get_mut(&key) {
                series.seen_at = now;
                return Some(key);
            }
        }
        let members = self.members.get(&(selector, scope)).copied().unwrap_or(0);
        if usize::try_from(members).unwrap_or(usize::MAX) >= self.limits.max_groups {
            self.refused.groups += 1;
            return None;
        }
        if self.series.len() >= self.limits.max_series {
            self.refused.series += 1;
            return None;
        }
        let key = SeriesKey {
            selector,
            scope,
            group: self.group(group),
        };
        let series = Series::new(shape, reach_secs, now.0 / SLOT_NANOS, now);
        self.series.insert(key, series);
        *self.members.entry((selector, scope)).or_default() += 1;
        Some(key)
    }

    /// Takes one data point.
    pub(super) fn take(&mut self, now: UnixNanos, scope: ScopeIndex, sample: Sample) {
        if let Reading::Unusable(what) = sample.reading {
            self.unusable.insert((sample.selector, scope), what);
            return;
        }
        let Some(key) = self.place(now, scope, sample.selector, sample.group) else {
            return;
        };
        let place = (key, sample.stream);
        let known = self.streams.get_mut(&place);
        if known.is_none() && self.series_is_full() {
            self.refused.streams += 1;
            return;
        }
        let known = self.streams.get_mut(&place);
        let Some(series) = self.series.get_mut(&key) else {
            return;
        };
        // What claims to be of the future is of now, so that a wrong clock does not push out what is known.
        let stamp = Stamp {
            start: sample.start.min(now.0),
            time: sample.time.min(now.0),
            now,
        };
        let sample_key = sample.key.as_deref();
        let grow = |series: &mut Series, span: Span, by: f64| match sample_key {
            _ if !by.is_finite() => {}
            key if matches!(series.cells, super::series::Cells::Keyed(_)) => series.grow_keyed(span, key, by),
            _ => series.grow(span, by),
        };
        let fresh = match sample.reading {
            Reading::Level(value) => stream::stand(known, stamp, value),
            Reading::Total(total) => {
                let (grown, fresh) = stream::count(known, stamp, total);
                if let Some((span, by)) = grown {
                    grow(series, span, by);
                }
                fresh
            }
            Reading::Growth(by) => {
                let (span, fresh) = stream::delta(known, stamp);
                if let Some(span) = span {
                    grow(series, span, by);
                }
                fresh
            }
            Reading::Totals(grid, totals) => {
                let (grown, fresh) = stream::measure(known, stamp, &grid, &totals);
                let grown = grown.map(|(span, buckets)| series.measure(span, &grid, &buckets));
                self.refused.grids += u64::from(grown == Some(false));
                fresh
            }
            Reading::Measured(grid, buckets) => {
                let (span, fresh) = stream::delta(known, stamp);
                let grown = span.map(|span| series.measure(span, &grid, &buckets));
                self.refused.grids += u64::from(grown == Some(false));
                fresh
            }
            Reading::Unusable(_) => None,
        };
        if let Some(fresh) = fresh {
            self.streams.insert(place, fresh);
        }
    }

    fn series_is_full(&self) -> bool {
        self.streams.len() >= self.limits.max_streams
    }

    /// Takes what the spans of a request add.
    pub(super) fn take_events(&mut self, now: UnixNanos, scope: ScopeIndex, events: Events) {
        let Some(key) = self.place(now, scope, events.selector, events.group) else {
            return;
        };
        let Some(series) = self.series.get_mut(&key) else {
            return;
        };
        let begin = events.slot * SLOT_NANOS;
        let span = Span {
            from: begin,
            to: begin + SLOT_NANOS,
        };
        match events.content {
            Content::Count(count) => series.grow(span, count),
            Content::Durations(buckets) => {
                series.measure(span, &Grid::Exponential, &buckets);
            }
            Content::Keyed(top) => series.merge_keyed(events.slot, &top),
        }
    }

    /// Closes every slot that has ended; false when none has since the last time.
    pub(super) fn close(&mut self, now: UnixNanos) -> bool {
        let end = now.0 / SLOT_NANOS;
        if end <= self.closed {
            // After a step back the clock is believed, once it has stayed there for a while.
            if self.closed - end > super::LATE_SLOTS {
                self.closed = end;
            }
            return false;
        }
        self.closed = end;
        let stale_nanos = self.limits.stale_secs * crate::time::NANOS_PER_SEC;
        let mut standing: HashMap<SeriesKey, Standing> = HashMap::new();
        self.streams.retain(|(key, _), stream| {
            let is_live = stream.pulse().is_live(now, stale_nanos);
            standing.entry(*key).or_default().add(stream, is_live);
            is_live
        });
        for (key, series) in &mut self.series {
            let selector = self.plan.selectors.get(usize::from(key.selector));
            if selector.is_some_and(|it| it.origin == Origin::Spans) {
                series.complete = end;
            } else if let Some(standing) = standing.get(key) {
                match selector.map(|it| it.shape) {
                    Some(Shape::Level) => {
                        if let Some(level) = standing.level() {
                            series.stand(end - 1, level);
                        }
                    }
                    _ => series.complete = standing.complete().min(end).max(series.complete),
                }
            }
        }
        self.forget(now);
        true
    }

    /// Lets go of what has been silent for as long as its samples could matter.
    fn forget(&mut self, now: UnixNanos) {
        let stale = self.limits.stale_secs;
        let plan = &self.plan;
        let members = &mut self.members;
        let reach = |selector: SelectorIndex| {
            plan.selectors
                .get(usize::from(selector))
                .map_or(0, |it| it.reach_secs)
        };
        self.series.retain(|key, series| {
            let keep = now.secs_since(series.seen_at) <= stale + reach(key.selector);
            if !keep && let Some(count) = members.get_mut(&(key.selector, key.scope)) {
                *count = count.saturating_sub(1);
            }
            keep
        });
        self.members.retain(|_, count| *count > 0);
        let used: hashbrown::HashSet<GroupIndex> = self.series.keys().map(|key| key.group).collect();
        self.groups.retain(|number, _| used.contains(number));
        self.group_numbers.retain(|_, number| used.contains(number));
        let idle = super::REACH_IDLE_SECS;
        self.scopes
            .retain(|_, scope| now.secs_since(scope.seen_at) <= idle);
        let scopes = &self.scopes;
        self.scope_numbers.retain(|_, number| scopes.contains_key(number));
        self.unusable.retain(|(_, scope), _| scopes.contains_key(scope));
    }

    /// Takes on another plan; samples of what both plans select alike stay.
    pub(super) fn adopt(&mut self, plan: Arc<Plan>, limits: IndicatorLimits) {
        let numbers: HashMap<Arc<str>, SelectorIndex> = (0..)
            .zip(&plan.selectors)
            .map(|(index, it)| (it.identity.clone(), index))
            .collect();
        let old = self.plan.clone();
        let renumbered = |selector: SelectorIndex| {
            let identity = &old.selectors.get(usize::from(selector))?.identity;
            numbers.get(identity).copied()
        };
        let moved = |key: SeriesKey| renumbered(key.selector).map(|selector| SeriesKey { selector, ..key });
        let series = std::mem::take(&mut self.series);
        for (key, mut series) in series {
            if let Some(key) = moved(key) {
                let selector = plan.selectors.get(usize::from(key.selector));
                series.set_reach(selector.map_or(0, |it| it.reach_secs));
                self.series.insert(key, series);
            }
        }
        let streams = std::mem::take(&mut self.streams);
        for ((key, stream), state) in streams {
            if let Some(key) = moved(key) {
                self.streams.insert((key, stream), state);
            }
        }
        self.members.clear();
        for key in self.series.keys() {
            *self.members.entry((key.selector, key.scope)).or_default() += 1;
        }
        self.unusable.clear();
        for scope in self.scopes.values_mut() {
            scope.plan = plan.scope(&scope.service, scope.environment.as_deref());
        }
        self.plan = plan;
        self.limits = limits;
    }

    /// Streams that are remembered.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }
}
