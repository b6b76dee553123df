//! One account; see the module above.

use super::spec::{Figures, GRAIN_SECS, Spec};
use crate::budget::{EmptySlice, Period, Slices, covers};
use crate::ledger::{Counts, History, HistoryError, Past, Stamp, WindowSum};
use crate::time::UnixNanos;

/// Slices that may end between two updates before the account is rather made anew.
const STEPS_MAX: u64 = 64;
/// How long after its first hour's start a series has its first event, at most: an hour, and the reach of
/// late events.
const BIRTH_SECS: u64 = 7_200;

/// What an interval amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The window asked for, in seconds; of a calendar period its length.
    pub window_secs: u64,
    /// Start of the interval.
    pub from: UnixNanos,
    /// Its end: now, or the end of the newest slice that is over.
    pub to: UnixNanos,
    /// The end of a calendar period.
    pub until: Option<UnixNanos>,
    /// Its slices and events.
    pub sum: Slices,
    /// Slices that the whole interval has, the ones to come included, without those that do not count.
    pub slices: u64,
    /// A sampler kept some of the events, and only what they stand for is known.
    pub sampled: bool,
}

/// What is known for good of one interval: its slices from `from` to where the account is sealed.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    window_secs: u64,
    from: u64,
    sealed: Slices,
}

/// Where an interval begins now, and what does not fit into slices at its edge.
#[derive(Clone, Copy, Debug)]
struct Aim {
    window_secs: u64,
    from: u64,
    /// Events before `from` that are excluded all the same.
    edge: Counts,
    /// What the answer states as its start.
    stated: UnixNanos,
}

/// See the module.
#[derive(Debug)]
pub struct Account {
    spec: Spec,
    reaches: Vec<Reach>,
    /// Slices that start before this are final, and in the reaches.
    sealed_to: u64,
    /// The slice of the first event ever; earlier ones count as nothing.
    born: Option<u64>,
    stamps: Vec<Option<Stamp>>,
    built: bool,
    figures: Figures,
}

/// What a member's counts are read from at one update; `None` while it has none.
pub(super) struct Sources<'s> {
    /// Ledger time.
    pub(super) now: UnixNanos,
    pub(super) pasts: Vec<Option<Past>>,
    pub(super) history: &'s dyn History,
    /// Before this second nothing can change.
    pub(super) final_before: u64,
}

impl Account {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            spec,
            reaches: Vec::new(),
            sealed_to: 0,
            born: None,
            stamps: Vec::new(),
            built: false,
            figures: Figures::default(),
        }
    }

    /// What it keeps.
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What it knows.
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Brings it to ledger time. `windows` are the ledger's, of an account of events.
    pub(super) fn update(
        &mut self,
        windows: &[WindowSum],
        sources: &Sources<'_>,
    ) -> Result<(), HistoryError> {
        let now = sources.now;
        let grain = self.spec.rule.slice_secs;
        let seal_to = sources.final_before - sources.final_before % grain;
        let (head, to) = self.head(now, sources);
        let aims = self.aims(now, windows, sources)?;
        let stamps: Vec<_> = sources
            .pasts
            .iter()
            .map(|p| p.as_ref().map(Past::stamp))
            .collect();
        if self.must_rebuild(&aims, seal_to, &stamps) {
            // Set last: a read that fails leaves it to be made anew at the next update.
            self.built = false;
            self.rebuild(&aims, seal_to.min(head), sources)?;
            (self.stamps, self.built) = (stamps, true);
        } else {
            self.built = false;
            self.step(&aims, seal_to.min(head), sources)?;
            self.built = true;
        }
        let open = self.read((self.sealed_to, head), sources)?;
        if self.born.is_none_or(|born| born >= self.sealed_to) {
            self.born = self.first_event(self.sealed_to, &open);
        }
        let open = self.judge_all(self.sealed_to, &open);
        let sampled = sources.pasts.iter().flatten().any(Past::is_sampled);
        self.answer((now, to), &aims, &open, sampled);
        Ok(())
    }

    /// The end of what is read, and the end that an answer states. A slice is judged once it is over; events
    /// count at once.
    fn head(&self, now: UnixNanos, sources: &Sources<'_>) -> (u64, UnixNanos) {
        let grain = self.spec.rule.slice_secs;
        if self.spec.is_sliced() {
            let over = now.secs() - now.secs() % grain;
            return (over, UnixNanos::from_secs(over));
        }
        let end = sources.pasts.iter().flatten().map(Past::end_secs).max();
        (end.unwrap_or_else(|| now.secs()).div_ceil(grain) * grain, now)
    }

    /// Where the period and every window begin; the period first.
    fn aims(
        &self,
        now: UnixNanos,
        windows: &[WindowSum],
        sources: &Sources<'_>,
    ) -> Result<Vec<Aim>, HistoryError> {
        let grain = self.spec.rule.slice_secs;
        let at = |window_secs, from: u64| Aim {
            window_secs,
            from,
            edge: Counts::ZERO,
            stated: UnixNanos::from_secs(from),
        };
        let over = now.secs() - now.secs() % grain;
        let mut aims = Vec::with_capacity(self.spec.windows.len() + 1);
        match &self.spec.period {
            Period::Calendar(calendar) => {
                let (from, until) = calendar.around(now).unwrap_or((over, over));
                aims.push(at(until - from, from - from % GRAIN_SECS));
            }
            Period::Rolling { secs } if self.spec.is_sliced() => {
                aims.push(at(*secs, over.saturating_sub(*secs)));
            }
            Period::Rolling { .. } => {}
        }
        if self.spec.is_sliced() {
            aims.extend(
                self.spec
                    .windows
                    .iter()
                    .map(|&secs| at(secs, over.saturating_sub(secs))),
            );
            return Ok(aims);
        }
        for window in windows.iter().filter(|_| !self.spec.excluded.is_empty()) {
            let stated = window.from.secs();
            let from = stated.div_ceil(grain) * grain;
            let mut aim = at(window.window_secs, from);
            aim.stated = window.from;
            if stated < from && covers(&self.spec.excluded, stated) {
                for past in sources.pasts.iter().flatten() {
                    aim.edge.add(past.sum(sources.history, stated, from)?);
                }
            }
            aims.push(aim);
        }
        Ok(aims)
    }

    fn must_rebuild(&self, aims: &[Aim], seal_to: u64, stamps: &[Option<Stamp>]) -> bool {
        // A calendar period has its own length each time; it stands first.
        let may_vary = usize::from(self.spec.period.calendar().is_some());
        let same = |(at, (aim, reach)): (usize, (&Aim, &Reach))| {
            aim.from >= reach.from && (aim.window_secs == reach.window_secs || at < may_vary)
        };
        !self.built
            || self.stamps != stamps
            || self.reaches.len() != aims.len()
            || !aims.iter().zip(&self.reaches).enumerate().all(same)
            || seal_to.saturating_sub(self.sealed_to) > STEPS_MAX * self.spec.rule.slice_secs
    }

    /// Everything from the store, once.
    fn rebuild(&mut self, aims: &[Aim], seal_to: u64, sources: &Sources<'_>) -> Result<(), HistoryError> {
        let grain = self.spec.rule.slice_secs;
        let from = aims.iter().map(|a| a.from).min().unwrap_or(seal_to).min(seal_to);
        let first = sources.pasts.iter().flatten().map(Past::first_secs).min();
        // A series that began shortly before, or later, tells by its counts when exactly.
        let (read_from, old) = match first {
            Some(first) if first + BIRTH_SECS <= from => (from, true),
            Some(first) => (from.min(first - first % grain), false),
            None => (from, false),
        };
        let counts = self.read((read_from, seal_to), sources)?;
        self.born = if old {
            Some(0)
        } else {
            self.first_event(read_from, &counts)
        };
        let slices = self.judge_all(read_from, &counts);
        self.sealed_to = seal_to;
        self.reaches.clear();
        for aim in aims {
            let mut reach = Reach {
                window_secs: aim.window_secs,
                from: aim.from,
                sealed: Slices::default(),
            };
            let skip = usize::try_from(aim.from.saturating_sub(read_from) / grain).unwrap_or(usize::MAX);
            slices.iter().skip(skip).for_each(|&slice| reach.sealed += slice);
            self.reaches.push(reach);
        }
        Ok(())
    }

    /// Takes off what left the intervals, and adds what has become final.
    fn step(&mut self, aims: &[Aim], seal_to: u64, sources: &Sources<'_>) -> Result<(), HistoryError> {
        let mut reaches = std::mem::take(&mut self.reaches);
        for (reach, aim) in reaches.iter_mut().zip(aims) {
            reach.window_secs = aim.window_secs;
            if aim.from >= self.sealed_to {
                reach.sealed = Slices::default();
            } else if aim.from > reach.from {
                let left = self.read((reach.from, aim.from), sources)?;
                self.judge_all(reach.from, &left)
                    .iter()
                    .for_each(|&slice| reach.sealed -= slice);
            }
            reach.from = aim.from;
        }
        let sealed_to = self.sealed_to;
        let fresh = self.read((sealed_to, seal_to), sources)?;
        if self.born.is_none_or(|born| born >= sealed_to) {
            self.born = self.first_event(sealed_to, &fresh);
        }
        for (slice, start) in self
            .judge_all(sealed_to, &fresh)
            .into_iter()
            .zip(self.starts(sealed_to))
        {
            reaches
                .iter_mut()
                .filter(|r| r.from <= start)
                .for_each(|r| r.sealed += slice);
        }
        (self.reaches, self.sealed_to) = (reaches, self.sealed_to.max(seal_to));
        Ok(())
    }

    fn starts(&self, from: u64) -> impl Iterator<Item = u64> + use<> {
        let grain = self.spec.rule.slice_secs;
        (0..).map(move |i| from + i * grain)
    }

    /// The counts of every slice, those of one member behind the other's.
    fn read(&self, (from, to): (u64, u64), sources: &Sources<'_>) -> Result<Vec<Vec<Counts>>, HistoryError> {
        let grain = self.spec.rule.slice_secs;
        let count = usize::try_from(to.saturating_sub(from) / grain).unwrap_or(0);
        let mut slices = vec![Vec::with_capacity(sources.pasts.len()); count];
        for past in &sources.pasts {
            let counts = match past {
                Some(past) => past.slices(sources.history, (from, to.max(from)), grain)?,
                None => vec![Counts::ZERO; count],
            };
            slices.iter_mut().zip(counts).for_each(|(slice, c)| slice.push(c));
        }
        Ok(slices)
    }

    fn first_event(&self, from: u64, slices: &[Vec<Counts>]) -> Option<u64> {
        let mut numbered = self.starts(from).zip(slices);
        numbered
            .find(|(_, c)| c.iter().any(|c| !c.is_zero()))
            .map(|(start, _)| start)
    }

    fn judge_all(&self, from: u64, slices: &[Vec<Counts>]) -> Vec<Slices> {
        let judge = |(start, counts): (u64, &Vec<Counts>)| {
            if self.born.is_none_or(|born| start < born) {
                return Slices::default();
            }
            let excluded = covers(&self.spec.excluded, start);
            self.spec.rule.judge(&self.spec.parts, counts, excluded)
        };
        self.starts(from).zip(slices).map(judge).collect()
    }

    fn answer(&mut self, (now, to): (UnixNanos, UnixNanos), aims: &[Aim], open: &[Slices], sampled: bool) {
        let grain = self.spec.rule.slice_secs;
        let until = self
            .spec
            .period
            .calendar()
            .and_then(|c| c.around(now))
            .map(|(_, until)| until);
        let reached = |(aim, reach): (&Aim, &Reach)| {
            let mut sum = reach.sealed;
            for (&slice, start) in open.iter().zip(self.starts(self.sealed_to)) {
                if start >= reach.from {
                    sum += slice;
                }
            }
            sum.excluded.add(aim.edge);
            let without = match self.spec.rule.empty {
                EmptySlice::Exclude => sum.empty + sum.left_out,
                EmptySlice::Good | EmptySlice::Bad => sum.left_out,
            };
            Reached {
                window_secs: aim.window_secs,
                from: aim.stated,
                to,
                until: None,
                sum,
                slices: (aim.window_secs / grain).saturating_sub(without),
                sampled,
            }
        };
        let mut all: Vec<Reached> = aims.iter().zip(&self.reaches).map(reached).collect();
        let has_period = self.spec.is_sliced() || until.is_some();
        let mut period = (has_period && !all.is_empty()).then(|| all.remove(0));
        if let (Some(period), Some(until)) = (&mut period, until) {
            period.until = Some(UnixNanos::from_secs(until));
        }
        self.figures = Figures { period, windows: all };
    }
}
