//! A formula's value at the end of a slot.

use super::SLOT_SECS;
use super::formula::{Measure, Operator, Trend};
use super::grid::{Buckets, Grid};
use super::plan::{Node, SelectorIndex};
use super::robust::theil_sen;
use super::series::{Cells, Level, Series};
use super::store::{GroupIndex, ScopeIndex, SeriesKey, Store};
use super::top::{Top, most};

/// Points that a slope needs.
const SLOPE_POINTS_MIN: usize = 4;

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Gap {
    /// Nothing of a selector has come.
    Unseen(SelectorIndex),
    /// A metric has come, and it is of no use there.
    Unusable(SelectorIndex, &'static str),
    /// What came is too old.
    Stale(SelectorIndex),
    /// Too few events, samples or slots.
    TooFew,
    /// A division by zero.
    Zero,
}

/// Where one looks from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'s> {
    pub(super) store: &'s Store,
    pub(super) scope: ScopeIndex,
    pub(super) group: GroupIndex,
    /// The slot behind the last one that counts.
    pub(super) end: u64,
    /// Whether `end` is meant to the slot; else a window ends where its samples are complete.
    pub(super) is_strict: bool,
}

impl Look<'_> {
    /// The value, and the caller (or whatever a top share names) that it is about.
    pub(super) fn value(&self, node: &Node) -> Result<f64, Gap> {
        let value = match node {
            Node::Number(number) => *number,
            Node::Negative(inner) => -self.value(inner)?,
            Node::Binary(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide if right == 0.0 => return Err(Gap::Zero),
                    Operator::Divide => left / right,
                }
            }
            Node::First(all) => self.first(all)?,
            Node::Flow { of, secs, per_second } => {
                let (sum, covered) = self.flow(*of, *secs)?;
                if *per_second { sum / covered } else { sum }
            }
            Node::Level { of, measure, secs } => self.level(*of, *measure, *secs)?,
            Node::Quantile {
                q,
                of,
                secs,
                at_least,
            } => self.quantile(*q, *of, *secs, *at_least)?,
            Node::Share {
                part,
                whole,
                secs,
                at_least,
            } => self.share(*part, *whole, *secs, *at_least)?,
            Node::Top { of, secs, at_least } => self.top(*of, *secs, *at_least)?,
            Node::Trend(trend, inner, secs) => self.trend(*trend, inner, *secs)?,
        };
        if value.is_finite() {
            Ok(value)
        } else {
            Err(Gap::Zero)
        }
    }

    fn first(&self, all: &[Node]) -> Result<f64, Gap> {
        let mut worst = Gap::TooFew;
        for (nth, node) in all.iter().enumerate() {
            match self.value(node) {
                Ok(value) => return Ok(value),
                // Of several reasons the most telling: one that is not "never heard of it".
                Err(gap) if nth == 0 || matches!(worst, Gap::Unseen(_)) => worst = gap,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    fn series(&self, of: SelectorIndex) -> Result<&Series, Gap> {
        let key = SeriesKey {
            selector: of,
            scope: self.scope,
            group: self.group,
        };
        self.store
            .series
            .get(&key)
            .ok_or_else(|| match self.store.unusable.get(&(of, self.scope)) {
                Some(what) => Gap::Unusable(of, what),
                None => Gap::Unseen(of),
            })
    }

    /// The slots of a window: first, and behind the last. Only complete ones.
    fn window(&self, of: SelectorIndex, series: &Series, secs: u64) -> Result<(u64, u64), Gap> {
        let end = self.end.min(series.complete);
        let late = self.end - end;
        if late * SLOT_SECS
            > if self.is_strict {
                0
            } else {
                self.store.limits.stale_secs
            }
        {
            return Err(Gap::Stale(of));
        }
        let begin = self
            .store
            .scopes
            .get(&self.scope)
            .map_or(end, |scope| scope.begin);
        let first = end.saturating_sub(secs / SLOT_SECS).max(begin);
        if first >= end {
            Err(Gap::TooFew)
        } else {
            Ok((first, end))
        }
    }

    /// How much a counter grew, and in how many seconds.
    fn flow(&self, of: SelectorIndex, secs: u64) -> Result<(f64, f64), Gap> {
        let series = self.series(of)?;
        let (first, end) = self.window(of, series, secs)?;
        let Cells::Flow(ring) = &series.cells else {
            return Err(Gap::Unseen(of));
        };
        let sum = (first..end).filter_map(|slot| ring.get(slot)).sum();
        Ok((sum, ((end - first) * SLOT_SECS) as f64))
    }

    /// What has no event of the wanted kind has a share of zero, and not none.
    fn share(&self, part: SelectorIndex, whole: SelectorIndex, secs: u64, at_least: f64) -> Result<f64, Gap> {
        let series = self.series(whole)?;
        let (first, end) = self.window(whole, series, secs)?;
        let sum = |series: &Series| match &series.cells {
            Cells::Flow(ring) => (first..end).filter_map(|slot| ring.get(slot)).sum(),
            _ => 0.0,
        };
        let total: f64 = sum(series);
        if total <= 0.0 || total < at_least {
            return Err(Gap::TooFew);
        }
        let part: f64 = self.series(part).map_or(0.0, sum);
        Ok((part / total).clamp(0.0, 1.0))
    }

    fn top_tables(&self, of: SelectorIndex, secs: u64) -> Result<impl Iterator<Item = &Top>, Gap> {
        let series = self.series(of)?;
        let (first, end) = self.window(of, series, secs)?;
        let Cells::Keyed(ring) = &series.cells else {
            return Err(Gap::Unseen(of));
        };
        Ok((first..end).filter_map(|slot| ring.get(slot)))
    }

    fn top(&self, of: SelectorIndex, secs: u64, at_least: f64) -> Result<f64, Gap> {
        let (total, top) = most(self.top_tables(of, secs)?);
        if total <= 0.0 || total < at_least {
            return Err(Gap::TooFew);
        }
        Ok(top.map_or(0.0, |(_, count)| count / total))
    }

    /// Of which value of the attribute the first top share of `node` speaks.
    pub(super) fn top_value(&self, node: &Node) -> Option<String> {
        match node {
            Node::Top { of, secs, .. } => {
                let (_, top) = most(self.top_tables(*of, *secs).ok()?);
                top.map(|(value, _)| String::from_utf8_lossy(value).into_owned())
            }
            Node::Negative(inner) | Node::Trend(_, inner, _) => self.top_value(inner),
            Node::Binary(_, left, right) => self.top_value(left).or_else(|| self.top_value(right)),
            Node::First(all) => all.iter().find_map(|one| self.top_value(one)),
            _ => None,
        }
    }

    /// Of several sets of bounds the one with most measurements speaks: sums over different bounds would be
    /// worth less than the part that is like.
    fn quantile(&self, q: f64, of: SelectorIndex, secs: u64, at_least: f64) -> Result<f64, Gap> {
        let series = self.series(of)?;
        let (first, end) = self.window(of, series, secs)?;
        let Cells::Distribution(all) = &series.cells else {
            return Err(Gap::Unseen(of));
        };
        let merged = all.iter().map(|(grid, ring)| {
            let mut sum = Buckets::default();
            for slot in first..end {
                if let Some(buckets) = ring.get(slot) {
                    sum.merge(buckets, 1.0);
                }
            }
            (grid, sum.total(), sum)
        });
        let merged: Vec<(&Grid, f64, Buckets)> = merged.collect();
        let total: f64 = merged.iter().map(|(_, total, _)| total).sum();
        if total < at_least {
            return Err(Gap::TooFew);
        }
        let (grid, _, buckets) = merged
            .iter()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .ok_or(Gap::TooFew)?;
        grid.quantile(q, buckets).ok_or(Gap::TooFew)
    }

    fn level(&self, of: SelectorIndex, measure: Measure, secs: Option<u64>) -> Result<f64, Gap> {
        let series = self.series(of)?;
        let Cells::Level(ring) = &series.cells else {
            return Err(Gap::Unseen(of));
        };
        let at = |slot: u64| ring.get(slot).copied().flatten();
        let slots = secs.map_or(1, |secs| secs / SLOT_SECS);
        let first = self.end.saturating_sub(slots);
        let known: Vec<(u64, Level)> = (first..self.end)
            .filter_map(|slot| at(slot).map(|level| (slot, level)))
            .collect();
        let (Some((_, head)), Some((last, tail))) = (known.first(), known.last()) else {
            return Err(Gap::Stale(of));
        };
        let levels = || known.iter().map(|(_, level)| level);
        match measure {
            Measure::Sum => Ok(tail.sum),
            Measure::Count => Ok(f64::from(tail.streams)),
            Measure::Least => Ok(levels().map(|it| it.min).fold(f64::INFINITY, f64::min)),
            Measure::Greatest => Ok(levels().map(|it| it.max).fold(f64::NEG_INFINITY, f64::max)),
            Measure::Average => {
                let streams: f64 = levels().map(|it| f64::from(it.streams)).sum();
                Ok(levels().map(|it| it.sum).sum::<f64>() / streams)
            }
            Measure::Delta if known.len() < 2 || self.end - last > slots => Err(Gap::TooFew),
            Measure::Delta => {
                let moved: f64 = levels().skip(1).map(|it| it.moved).sum();
                Ok(tail.sum - head.sum - moved)
            }
            Measure::Slope => slope(&without_moves(&known), slots),
            Measure::Rate | Measure::Increase => Err(Gap::Unseen(of)),
        }
    }

    /// How the inner value went over the window, looked at in every slot.
    fn trend(&self, trend: Trend, inner: &Node, secs: u64) -> Result<f64, Gap> {
        let slots = secs / SLOT_SECS;
        let at = |end: u64| {
            Look {
                end,
                is_strict: true,
                ..*self
            }
            .value(inner)
        };
        if trend == Trend::Delta {
            let stale = self.store.limits.stale_secs / SLOT_SECS;
            let late = |by: u64| self.end.checked_sub(by).ok_or(Gap::TooFew);
            let mut last = Err(Gap::TooFew);
            for by in 0..=stale {
                let end = late(by)?;
                match at(end) {
                    Ok(value) => {
                        last = Ok((end, value));
                        break;
                    }
                    Err(gap @ (Gap::Unseen(_) | Gap::Unusable(..))) => return Err(gap),
                    Err(gap) => last = Err(gap),
                }
            }
            let (end, value) = last?;
            let before = at(end.checked_sub(slots).ok_or(Gap::TooFew)?)?;
            return Ok(value - before);
        }
        let mut gap = Gap::TooFew;
        let mut points: Vec<(f64, f64)> = Vec::new();
        for by in (0..slots).rev() {
            let Some(end) = self.end.checked_sub(by) else {
                continue;
            };
            match at(end) {
                Ok(value) => points.push(((end * SLOT_SECS) as f64, value)),
                Err(why @ (Gap::Unseen(_) | Gap::Unusable(..))) => return Err(why),
                Err(why) => gap = why,
            }
        }
        if points.is_empty() {
            return Err(gap);
        }
        let values = || points.iter().map(|(_, value)| *value);
        match trend {
            Trend::Slope => slope(&points, slots),
            Trend::Average => Ok(values().sum::<f64>() / points.len() as f64),
            Trend::Least => Ok(values().fold(f64::INFINITY, f64::min)),
            Trend::Greatest | Trend::Delta => Ok(values().fold(f64::NEG_INFINITY, f64::max)),
        }
    }
}

/// The samples of a level as if no stream had come or gone. Slots in which nobody spoke repeat the one before
/// and are left out.
fn without_moves(known: &[(u64, Level)]) -> Vec<(f64, f64)> {
    let mut moved = 0.0;
    let mut points = Vec::new();
    for (nth, (slot, level)) in known.iter().enumerate() {
        if nth > 0 {
            moved += level.moved;
        }
        if level.is_fresh {
            points.push(((slot * SLOT_SECS) as f64, level.sum - moved));
        }
    }
    points
}

/// A slope needs points over at least half of its window: two samples of a moment ago say nothing of ten
/// minutes.
fn slope(points: &[(f64, f64)], slots: u64) -> Result<f64, Gap> {
    let length = match (points.first(), points.last()) {
        (Some(first), Some(last)) => last.0 - first.0,
        _ => 0.0,
    };
    if points.len() < SLOPE_POINTS_MIN || length * 2.0 < (slots * SLOT_SECS) as f64 {
        return Err(Gap::TooFew);
    }
    theil_sen(points).ok_or(Gap::TooFew)
}
