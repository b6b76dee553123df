//! The last reading of every stream, and what the next one adds.
//!
//! **When a stream is new**, a cumulative point may hold years of past. It counts from zero where that is
//! known to be right: its run began after the objective was first watched (`since`, which the store keeps);
//! or the metric of its resource is known from an earlier collection of the same run, so that the stream was
//! not there then (the first error of a service that has run for weeks). Everywhere else its first point is a
//! base line, and counts begin with the second.
//!
//! **What was forgotten** (after the idle time, or for want of room) must not come back as new: its metric is
//! marked, and no run that began earlier than the forgotten one is taken for younger than the watching.

use super::by_hash::ByHash;
use super::lineage::{Lineage, Placed, Stream};
use super::pairs::Pairs;
use super::reading::{Held, Reading, add_buckets};
use super::slices::AllSlices;
use crate::config::MetricStreams;
use crate::time::UnixNanos;
use crate::wire::TEMPORALITY_DELTA;
use twox_hash::XxHash3_64;

/// Bounds of [`Streams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Streams at once; points of cumulative streams beyond it do not count, and are counted.
    pub max_streams: usize,
    /// Silence after which a stream is forgotten, in seconds.
    pub idle_timeout_secs: u64,
}

impl From<&MetricStreams> for StreamLimits {
    fn from(config: &MetricStreams) -> Self {
        Self {
            max_streams: config.max_streams as usize,
            idle_timeout_secs: config.idle_timeout.as_secs(),
        }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self::from(&MetricStreams::default())
    }
}

/// The identity of a point's stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct StreamId {
    pub(in crate::ledger) stream: u128,
    /// Of the metric of its resource, with the start of the run.
    pub(in crate::ledger) family: u64,
}

/// Times of a point, and how it counts them.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Times {
    pub(in crate::ledger) start: u64,
    pub(in crate::ledger) time: u64,
    pub(in crate::ledger) temporality: i32,
}

/// The metric of one resource in one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Time of the first collection that was seen.
    pub(super) first_time: u64,
    pub(super) seen_secs: u32,
    /// A stream of it was forgotten, so that one that is not known may be old.
    pub(super) lossy: bool,
    pub(super) dirty: bool,
}

/// Why a point adds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::ledger) enum Skip {
    /// It came before.
    Duplicate,
    /// Newer ones of its run came before.
    OutOfOrder,
    /// The first of a stream that may be old.
    BaseLine,
    /// It goes back without having started anew: somebody else writes the same stream.
    SeveralWriters,
    /// There is no room for its stream.
    NoRoom,
}

/// What a point adds: the difference between [`Streams::before`] and [`Streams::after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Step {
    Skip(Skip),
    /// All of it.
    Whole,
    /// All of it, for objectives that were watched at this time.
    WholeIfSince(u64),
    /// What it has more.
    Grew,
}

/// A change of what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Row {
    Stream(u128),
    Family(u64),
    Watch(u64),
    Forgotten,
    Pair(u64),
    Slices(u64),
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct Streams {
    pub(super) limits: StreamLimits,
    pub(super) known: ByHash<u128, Stream>,
    pub(super) families: ByHash<u64, Family>,
    /// Since when each objective is watched, by a hash of what it says.
    pub(super) watches: ByHash<u64, u64>,
    /// The youngest start of a run that was forgotten.
    pub(super) forgotten: u64,
    pub(super) pairs: Pairs,
    pub(super) slices: AllSlices,
    pub(super) dirty: Vec<Row>,
    /// Nobody asks for the rows.
    unkept: bool,
    before: Scratch,
    after: Scratch,
    gap: bool,
    counts: Vec<u64>,
    swept_secs: u64,
}

/// A reading whose room is used again.
#[derive(Debug, Default)]
struct Scratch {
    number: Option<Reading<'static>>,
    bytes: Vec<u8>,
}

impl Scratch {
    fn set(&mut self, reading: Reading<'_>) {
        self.number = match reading {
            Reading::Int(number) => Some(Reading::Int(number)),
            Reading::Double(number) => Some(Reading::Double(number)),
            Reading::Buckets(bytes) => {
                self.bytes.clear();
                self.bytes.extend_from_slice(bytes);
                None
            }
        };
    }

    fn get(&self) -> Reading<'_> {
        self.number.unwrap_or(Reading::Buckets(&self.bytes))
    }
}

/// How often what is idle is looked for, in seconds.
const SWEEP_SECS: u64 = 60;

fn secs32(now: UnixNanos) -> u32 {
    u32::try_from(now.secs()).unwrap_or(u32::MAX)
}

impl Streams {
    /// No stream is known; every objective is watched since the beginning of time until
    /// [`Streams::watch`] says otherwise.
    pub fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes on other bounds; a smaller room lets what is there leave by its idle time.
    pub fn set_limits(&mut self, limits: StreamLimits) {
        self.limits = limits;
    }

    /// Nobody will ask which rows changed: without this, what changed is remembered until somebody does.
    pub fn keep_no_rows(&mut self) {
        self.unkept = true;
    }

    /// How many streams are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let cells = self.known.capacity() * (size_of::<(u128, Stream)>() + 1)
            + self.families.capacity() * (size_of::<(u64, Family)>() + 1);
        cells
            + self
                .known
                .values()
                .map(|stream| stream.bytes() - size_of::<Stream>())
                .sum::<usize>()
    }

    /// Objectives that are watched from `now` on, unless they were before; others are no longer.
    pub fn watch(&mut self, objectives: &[u64], now: UnixNanos) {
        for objective in objectives {
            if !self.watches.contains_key(objective) {
                self.watches.insert(*objective, now.0);
                self.dirty.push(Row::Watch(*objective));
            }
        }
        let Self { watches, dirty, .. } = self;
        watches.retain(|objective, _| {
            let stays = objectives.contains(objective);
            if !stays {
                dirty.push(Row::Watch(*objective));
            }
            stays
        });
    }

    /// Since when an objective is watched.
    pub(in crate::ledger) fn since(&self, objective: u64) -> u64 {
        self.watches.get(&objective).copied().unwrap_or(0)
    }

    /// The reading before the point that was observed last.
    pub(in crate::ledger) fn before(&self) -> Reading<'_> {
        self.before.get()
    }

    /// The reading with it.
    pub(in crate::ledger) fn after(&self) -> Reading<'_> {
        self.after.get()
    }

    /// Whether the point that was observed last is a delta that begins after the one before it ended.
    pub(in crate::ledger) fn has_gap(&self) -> bool {
        self.gap
    }

    /// Takes a reading of a sum or a histogram.
    pub(in crate::ledger) fn observe(
        &mut self,
        id: StreamId,
        times: Times,
        reading: Reading<'_>,
        now: UnixNanos,
    ) -> Step {
        self.gap = false;
        if times.temporality == TEMPORALITY_DELTA {
            self.delta(id, times, reading, now)
        } else {
            let known = self.family(id.family, times, now);
            self.cumulative(id, times, reading, now, known)
        }
    }

    fn delta(&mut self, id: StreamId, times: Times, reading: Reading<'_>, now: UnixNanos) -> Step {
        self.after.set(reading);
        let print = fingerprint(times, reading);
        let lineage = |held| Lineage {
            start: times.start,
            time: times.time,
            reading: held,
        };
        let Some(stream) = self.known.get_mut(&id.stream) else {
            if self.known.len() < self.limits.max_streams {
                let mut stream = Stream::new(lineage(Held::new(reading)), id.family);
                stream.is_repeated(print);
                self.insert(id.stream, stream, now);
            }
            return Step::Whole;
        };
        stream.seen_secs = secs32(now);
        if stream.is_repeated(print) {
            return Step::Skip(Skip::Duplicate);
        }
        mark(&mut self.dirty, Row::Stream(id.stream), &mut stream.dirty);
        let first = stream.first_mut();
        self.gap = times.start > first.time;
        first.time = first.time.max(times.time);
        self.before.set(first.reading.get());
        let sum = match (first.reading.get(), reading) {
            (Reading::Int(before), Reading::Int(delta)) => {
                self.after.set(Reading::Int(before.saturating_add(delta)));
                true
            }
            (Reading::Buckets(before), Reading::Buckets(delta)) => {
                self.after.number = None;
                add_buckets(before, delta, &mut self.counts, &mut self.after.bytes).is_some()
            }
            (Reading::Buckets(_), _) | (_, Reading::Buckets(_)) => false,
            (before, delta) => {
                self.after.set(Reading::Double(before.number() + delta.number()));
                true
            }
        };
        if !sum {
            self.after.set(reading);
        }
        first.reading.set(self.after.get());
        if sum { Step::Grew } else { Step::Whole }
    }

    /// Whether the metric was collected before, in the same run; and takes note that it was.
    fn family(&mut self, family: u64, times: Times, now: UnixNanos) -> bool {
        if let Some(known) = self.families.get_mut(&family) {
            known.seen_secs = secs32(now);
            if times.time < known.first_time {
                known.first_time = times.time;
                mark(&mut self.dirty, Row::Family(family), &mut known.dirty);
            }
            return known.first_time < times.time && !known.lossy;
        }
        let full = self.families.len() >= self.limits.max_streams;
        if !full {
            let fresh = Family {
                first_time: times.time,
                seen_secs: secs32(now),
                lossy: false,
                dirty: true,
            };
            self.families.insert(family, fresh);
            self.dirty.push(Row::Family(family));
        }
        false
    }

    fn cumulative(
        &mut self,
        id: StreamId,
        times: Times,
        reading: Reading<'_>,
        now: UnixNanos,
        family_is_known: bool,
    ) -> Step {
        let Times { start, time, .. } = times;
        self.after.set(reading);
        let lineage = || Lineage {
            start,
            time,
            reading: Held::new(reading),
        };
        let first_of_its_kind = |forgotten: u64| match start {
            _ if family_is_known => Step::Whole,
            0 => Step::Skip(Skip::BaseLine),
            start if start > forgotten => Step::WholeIfSince(start),
            _ => Step::Skip(Skip::BaseLine),
        };
        let Some(stream) = self.known.get_mut(&id.stream) else {
            if self.known.len() >= self.limits.max_streams {
                return Step::Skip(Skip::NoRoom);
            }
            let stream = Stream::new(lineage(), id.family);
            self.insert(id.stream, stream, now);
            return first_of_its_kind(self.forgotten);
        };
        stream.seen_secs = secs32(now);
        let placed = stream.place(start, time, reading);
        if placed != Placed::OutOfOrder {
            mark(&mut self.dirty, Row::Stream(id.stream), &mut stream.dirty);
        }
        match placed {
            Placed::Same(at) | Placed::Grew(at) | Placed::Reset(at) => {
                let Some(known) = stream.get_mut(at) else {
                    return Step::Skip(Skip::OutOfOrder);
                };
                known.time = known.time.max(time);
                if placed == Placed::Same(at) {
                    return Step::Skip(Skip::Duplicate);
                }
                self.before.set(known.reading.get());
                known.reading.set(reading);
                if placed == Placed::Grew(at) {
                    Step::Grew
                } else {
                    Step::Whole
                }
            }
            Placed::Restarted | Placed::Joined | Placed::Unknown => {
                let step = match placed {
                    Placed::Restarted => Step::Whole,
                    Placed::Joined => first_of_its_kind(self.forgotten),
                    _ => Step::Skip(Skip::SeveralWriters),
                };
                if let Some(start) = stream.push(lineage()) {
                    self.forgotten = self.forgotten.max(start);
                    self.dirty.push(Row::Forgotten);
                }
                step
            }
            Placed::OutOfOrder => Step::Skip(Skip::OutOfOrder),
        }
    }

    fn insert(&mut self, id: u128, mut stream: Stream, now: UnixNanos) {
        stream.seen_secs = secs32(now);
        stream.dirty = true;
        self.dirty.push(Row::Stream(id));
        self.known.insert(id, stream);
    }

    /// Forgets what nobody sent for long; looks once a minute.
    pub fn sweep(&mut self, now: UnixNanos) {
        if now.secs() < self.swept_secs.saturating_add(SWEEP_SECS) {
            return;
        }
        self.swept_secs = now.secs();
        let oldest = secs32(now.minus_secs(self.limits.idle_timeout_secs));
        let Self {
            known,
            families,
            dirty,
            forgotten,
            ..
        } = self;
        let before = *forgotten;
        known.retain(|id, stream| {
            if stream.seen_secs >= oldest {
                return true;
            }
            *forgotten = stream.all().map(|known| known.start).fold(*forgotten, u64::max);
            if let Some(family) = families.get_mut(&stream.family)
                && !std::mem::replace(&mut family.lossy, true)
            {
                mark(dirty, Row::Family(stream.family), &mut family.dirty);
            }
            dirty.push(Row::Stream(*id));
            false
        });
        families.retain(|id, family| {
            let stays = family.seen_secs >= oldest;
            if !stays {
                dirty.push(Row::Family(*id));
            }
            stays
        });
        if *forgotten != before {
            dirty.push(Row::Forgotten);
        }
        self.pairs.retain(|id, pair| {
            let stays = pair.seen_secs >= oldest;
            if !stays {
                self.dirty.push(Row::Pair(*id));
            }
            stays
        });
        self.sweep_slices(now);
        if self.unkept {
            self.dirty.clear();
        }
    }
}

fn mark(dirty: &mut Vec<Row>, row: Row, flag: &mut bool) {
    if !std::mem::replace(flag, true) {
        dirty.push(row);
    }
}

/// What tells a reading of a delta stream from others of it.
fn fingerprint(times: Times, reading: Reading<'_>) -> u64 {
    let seed = times.start.rotate_left(32) ^ times.time;
    let hash = match reading {
        Reading::Int(number) => XxHash3_64::oneshot_with_seed(seed, &number.to_le_bytes()),
        Reading::Double(number) => XxHash3_64::oneshot_with_seed(seed, &number.to_le_bytes()),
        Reading::Buckets(bytes) => XxHash3_64::oneshot_with_seed(seed, bytes),
    };
    // Zero is an empty place.
    hash.max(1)
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
