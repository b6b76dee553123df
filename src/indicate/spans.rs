//! Indicators over spans, on the tap's walk.
//!
//! Property wanted: a service without such an indicator pays one comparison a span, and one that has some
//! pays its conditions and a number, without an allocation a span. So spans count in *cells* of this request,
//! one for each (selector, slot, group), and the cell of the span before is the first guess. A request has at
//! most [`CELLS_MAX`] cells.

use super::collect::{Collected, Labels, Matcher, Part, part_of};
use super::formula::{Origin, Shape};
use super::grid::{Buckets, exponential_bucket};
use super::plan::{Plan, SelectorIndex};
use super::sample::{Content, Events};
use super::top::Top;
use super::{LATE_SLOTS, SLOT_NANOS, SLOT_SECS};
use crate::sli::{SpanContext, duration_nanos};
use crate::time::UnixNanos;
use crate::wire::KeyTableBuilder;
use hashbrown::HashMap;
use std::sync::Arc;

/// Cells of one request.
const CELLS_MAX: usize = 4096;
/// How far in the future a span may end to count in the slot of its end.
const FUTURE_SECS: u64 = 60;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The selectors of spans, compiled for one table of attribute keys.
#[derive(Debug, Default)]
pub struct SpanWatches {
    plan: Arc<Plan>,
    /// By selector; None for those of metrics.
    watches: Box<[Option<(Matcher, Shape)>]>,
}

impl SpanWatches {
    /// Compiles what `plan` has of spans; the attribute keys go to `keys`.
    pub fn compile(plan: &Arc<Plan>, keys: &mut KeyTableBuilder) -> Self {
        let watch = |(index, selector): (SelectorIndex, &super::plan::Selector)| {
            if selector.origin != Origin::Spans {
                return None;
            }
            Some((Matcher::compile(plan, index, keys)?, selector.shape))
        };
        let watches = if plan.reads_spans() {
            (0..).zip(&plan.selectors).map(watch).collect()
        } else {
            Box::default()
        };
        Self {
            plan: plan.clone(),
            watches,
        }
    }
}

/// What spans of one request share that count in one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct CellKey<'a> {
    part: u32,
    selector: SelectorIndex,
    slot: u64,
    labels: Labels<'a>,
}

#[derive(Debug)]
enum Cell<'a> {
    Count(u64),
    Durations(Buckets),
    Keyed { total: u64, values: Map<&'a [u8], u64> },
}

/// Counts the spans of one request for indicators.
#[derive(Debug)]
pub struct SpanCollector<'a, 'c> {
    watches: &'c SpanWatches,
    parts: Vec<Part>,
    /// The service of the spans that come next, if it has indicators over spans.
    current: Option<usize>,
    /// For each selector of the current service the cell of the span before.
    guesses: Vec<usize>,
    keys: Map<CellKey<'a>, usize>,
    cells: Vec<(CellKey<'a>, Cell<'a>)>,
    excess: u64,
    now: UnixNanos,
}

impl<'a, 'c> SpanCollector<'a, 'c> {
    /// Of a request that arrived at `now`.
    pub fn new(watches: &'c SpanWatches, now: UnixNanos) -> Self {
        Self {
            watches,
            parts: Vec::new(),
            current: None,
            guesses: Vec::new(),
            keys: Map::default(),
            cells: Vec::new(),
            excess: 0,
            now,
        }
    }

    /// The spans that come next are of this service.
    pub fn resource(&mut self, service: &str, environment: Option<&str>) {
        self.current = None;
        if self.watches.watches.is_empty() {
            return;
        }
        let wanted = |scope: &super::plan::ScopePlan| !scope.spans.is_empty();
        self.current = part_of(&self.watches.plan, &mut self.parts, service, environment, wanted);
        let selectors = self
            .current
            .and_then(|at| self.parts.get(at))
            .map_or(0, |it| it.plan.spans.len());
        self.guesses.clear();
        self.guesses.resize(selectors, usize::MAX);
    }

    /// Whether the spans that come next matter to anybody.
    #[inline]
    pub fn is_watching(&self) -> bool {
        self.current.is_some()
    }

    /// The slot of a span: that of its end if that is near, else that of its arrival.
    fn slot(&self, end: u64) -> u64 {
        let near = self.now.minus_secs(LATE_SLOTS * SLOT_SECS).0..=self.now.plus_secs(FUTURE_SECS).0;
        let at = if near.contains(&end) { end } else { self.now.0 };
        at / SLOT_NANOS
    }

    /// Counts a span for every selector that it passes.
    pub fn span(&mut self, span: &SpanContext<'_, 'a>) {
        let Some(current) = self.current else { return };
        let slot = self.slot(span.span.end_time_unix_nano);
        let Self {
            watches,
            parts,
            guesses,
            keys,
            cells,
            excess,
            ..
        } = self;
        let Some(part) = parts.get(current) else { return };
        for (selector, guess) in part.plan.spans.iter().zip(guesses) {
            let Some(Some((matcher, shape))) = watches.watches.get(usize::from(*selector)) else {
                continue;
            };
            if !matcher.holds(span) {
                continue;
            }
            let duration = match shape {
                Shape::Distribution => match duration_nanos(span.span) {
                    Some(nanos) => nanos,
                    None => continue,
                },
                _ => 0,
            };
            let key = CellKey {
                part: u32::try_from(current).unwrap_or(u32::MAX),
                selector: *selector,
                slot,
                labels: matcher.labels(span),
            };
            if cells.get(*guess).is_none_or(|(known, _)| *known != key) {
                *guess = match keys.get(&key) {
                    Some(at) => *at,
                    None if cells.len() >= CELLS_MAX => {
                        *excess += 1;
                        continue;
                    }
                    None => {
                        keys.insert(key, cells.len());
                        cells.push((key, Cell::new(*shape)));
                        cells.len() - 1
                    }
                };
            }
            if let Some((_, cell)) = cells.get_mut(*guess) {
                cell.add(duration, || matcher.key(span));
            }
        }
    }

    /// What the request brings.
    pub fn finish(self) -> Collected {
        let mut parts = self.parts;
        for (key, cell) in self.cells {
            let watch = self.watches.watches.get(usize::from(key.selector));
            let (Some(Some((matcher, _))), Some(part)) = (watch, parts.get_mut(key.part as usize)) else {
                continue;
            };
            part.events.push(Events {
                selector: key.selector,
                group: matcher.group(&key.labels),
                slot: key.slot,
                content: cell.content(),
            });
        }
        Collected {
            plan: self.watches.plan.clone(),
            parts,
            excess: self.excess,
        }
    }
}

impl<'a> Cell<'a> {
    fn new(shape: Shape) -> Self {
        match shape {
            Shape::Flow | Shape::Level => Self::Count(0),
            Shape::Distribution => Self::Durations(Buckets::default()),
            Shape::Keyed => Self::Keyed {
                total: 0,
                values: Map::default(),
            },
        }
    }

    #[inline]
    fn add(&mut self, duration_nanos: u64, key: impl FnOnce() -> Option<&'a [u8]>) {
        match self {
            Self::Count(count) => *count += 1,
            Self::Durations(buckets) => buckets.add(exponential_bucket(duration_nanos as f64 / 1e9), 1.0),
            Self::Keyed { total, values } => {
                *total += 1;
                if let Some(value) = key() {
                    *values.entry(value).or_default() += 1;
                }
            }
        }
    }

    fn content(self) -> Content {
        match self {
            Self::Count(count) => Content::Count(count as f64),
            Self::Durations(buckets) => Content::Durations(buckets),
            Self::Keyed { total, values } => {
                let mut top = Top::default();
                let mut named = 0;
                for (value, count) in values {
                    named += count;
                    top.add(Some(value), count as f64);
                }
                top.add(None, total.saturating_sub(named) as f64);
                Content::Keyed(top)
            }
        }
    }
}
