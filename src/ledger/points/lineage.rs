//! One stream, and the runs of its writers.
//!
//! A cumulative stream is a run of readings from one start on. After a restart of its writer there is another
//! run; with several writers under one identity there are several at once; and what was late belongs to an
//! older one. So a stream keeps a few *lineages*, each with its start, and a point goes to the one that it
//! continues. Lineages of one start cannot be told apart but by their numbers: a point continues the largest
//! that it is not below.

use super::reading::{Held, Reading};

/// Writers (or runs) of one stream that are told apart; beyond it the one that was silent longest goes.
const LINEAGES_MAX: usize = 8;
/// Readings of a delta stream by which one that comes again is known.
const RECENT: usize = 8;
/// Starts this close are one start: some writers work theirs out anew for every point, in milliseconds.
const START_JITTER_NANOS: u64 = 10_000_000;

/// A run of readings.
#[derive(Clone, Debug)]
pub(super) struct Lineage {
    pub(super) start: u64,
    pub(super) time: u64,
    pub(super) reading: Held,
}

/// What is known of a stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    first: Lineage,
    #[allow(
        clippy::box_collection,
        reason = "rare: eight bytes in each of 100 k streams, not twenty-four"
    )]
    others: Option<Box<Vec<Lineage>>>,
    /// Of a delta stream.
    recent: Option<Box<Recent>>,
    /// The metric of one resource that it belongs to.
    pub(super) family: u64,
    /// When it was heard of last, in seconds.
    pub(super) seen_secs: u32,
    pub(super) dirty: bool,
}

/// Fingerprints of readings, as in a ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    pub(super) prints: [u64; RECENT],
    pub(super) next: u8,
}

/// Which lineage a cumulative point continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// This one, and says nothing new.
    Same(usize),
    /// This one.
    Grew(usize),
    /// This one, which began anew without saying when.
    Reset(usize),
    /// None: its writer started when the others had ended.
    Restarted,
    /// None: another writer was at work while one was writing, or before.
    Joined,
    /// None, and it cannot be told since when it counts.
    Unknown,
    /// It is older than what is known.
    OutOfOrder,
}

impl Stream {
    pub(super) fn new(first: Lineage, family: u64) -> Self {
        Self {
            first,
            others: None,
            recent: None,
            family,
            seen_secs: 0,
            dirty: false,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Lineage> {
        std::iter::once(&self.first).chain(self.others.iter().flat_map(|others| others.iter()))
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Lineage> {
        match at.checked_sub(1) {
            None => Some(&mut self.first),
            Some(at) => self.others.as_mut()?.get_mut(at),
        }
    }

    /// The only lineage of a delta stream.
    pub(super) fn first_mut(&mut self) -> &mut Lineage {
        &mut self.first
    }

    /// Adds a lineage; the one that was silent longest makes room, and its start is returned.
    pub(super) fn push(&mut self, lineage: Lineage) -> Option<u64> {
        if self.all().count() < LINEAGES_MAX {
            self.others.get_or_insert_default().push(lineage);
            return None;
        }
        let oldest = self
            .all()
            .enumerate()
            .min_by_key(|(_, known)| known.time)
            .map_or(0, |(at, _)| at);
        let place = self.get_mut(oldest)?;
        Some(std::mem::replace(place, lineage).start)
    }

    /// Whether a reading of a delta stream came before; if not it is remembered.
    pub(super) fn is_repeated(&mut self, print: u64) -> bool {
        let recent = self.recent.get_or_insert_default();
        if recent.prints.contains(&print) {
            return true;
        }
        let at = usize::from(recent.next) % RECENT;
        recent.prints[at] = print;
        recent.next = recent.next.wrapping_add(1);
        false
    }

    pub(super) fn recent(&self) -> Option<&Recent> {
        self.recent.as_deref()
    }

    pub(super) fn restore_recent(&mut self, recent: Recent) {
        self.recent = Some(Box::new(recent));
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let others = self
            .others
            .as_ref()
            .map_or(0, |others| others.capacity() * size_of::<Lineage>() + 24);
        let recent = self.recent.as_ref().map_or(0, |_| size_of::<Recent>());
        size_of::<Self>() + others + recent + self.all().map(|l| l.reading.heap_bytes()).sum::<usize>()
    }

    /// Where a cumulative point belongs.
    pub(super) fn place(&self, start: u64, time: u64, reading: Reading<'_>) -> Placed {
        let is_same = |known: &Lineage| known.start.abs_diff(start) <= START_JITTER_NANOS;
        let continued = self
            .all()
            .enumerate()
            .filter(|(_, known)| is_same(known) && reading.has_grown_from(known.reading.get()))
            .max_by(|(_, a), (_, b)| a.reading.get().number().total_cmp(&b.reading.get().number()));
        if let Some((at, known)) = continued {
            return if known.reading.get().has_grown_from(reading) {
                Placed::Same(at)
            } else {
                Placed::Grew(at)
            };
        }
        let newest = self
            .all()
            .enumerate()
            .filter(|(_, known)| is_same(known))
            .max_by_key(|(_, l)| l.time);
        if let Some((at, newest)) = newest {
            return match (time <= newest.time, start) {
                (true, _) => Placed::OutOfOrder,
                // Without a start, a smaller number is how Prometheus knows of a reset.
                (false, 0) => Placed::Reset(at),
                // A reset has to move the start, so that this is somebody else.
                (false, _) => Placed::Unknown,
            };
        }
        let ended = self.all().map(|known| known.time).max().unwrap_or(0);
        match start {
            0 => Placed::Unknown,
            start if start >= ended => Placed::Restarted,
            _ => Placed::Joined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(runs: &[(u64, u64, i64)]) -> Stream {
        let lineage = |&(start, time, number): &(u64, u64, i64)| Lineage {
            start: start * 1_000_000_000,
            time: time * 1_000_000_000,
            reading: Held::Int(number),
        };
        let mut stream = Stream::new(lineage(&runs[0]), 0);
        for run in &runs[1..] {
            let _ = stream.push(lineage(run));
        }
        stream
    }

    fn placed(stream: &Stream, start: u64, time: u64, number: i64) -> Placed {
        stream.place(start * 1_000_000_000, time * 1_000_000_000, Reading::Int(number))
    }

    #[test]
    fn a_point_continues_the_run_of_its_start() {
        let two = stream(&[(10, 20, 100), (30, 40, 7)]);
        assert_eq!(
            placed(&two, 10, 25, 120),
            Placed::Grew(0),
            "late, of the run before the restart"
        );
        assert_eq!(placed(&two, 30, 50, 9), Placed::Grew(1));
        assert_eq!(placed(&two, 30, 50, 7), Placed::Same(1));
        assert_eq!(placed(&two, 30, 35, 3), Placed::OutOfOrder);
        assert_eq!(placed(&two, 60, 70, 1), Placed::Restarted);
        assert_eq!(placed(&two, 35, 70, 1), Placed::Joined);
        assert_eq!(
            placed(&two, 5, 8, 1),
            Placed::Joined,
            "an older run that nobody knows"
        );
    }

    #[test]
    fn a_smaller_number_is_a_reset_only_where_there_is_no_start() {
        assert_eq!(placed(&stream(&[(0, 20, 100)]), 0, 30, 7), Placed::Reset(0));
        let one = stream(&[(10, 20, 100)]);
        assert_eq!(placed(&one, 10, 30, 7), Placed::Unknown);
        let both = stream(&[(10, 20, 100), (10, 30, 7)]);
        assert_eq!(placed(&both, 10, 40, 101), Placed::Grew(0));
        assert_eq!(placed(&both, 10, 40, 8), Placed::Grew(1));
    }

    #[test]
    fn lineages_are_bounded_and_the_silent_one_goes() {
        let mut many = stream(&[(1, 2, 1)]);
        for run in 1..20u64 {
            let _ = many.push(Lineage {
                start: run * 10,
                time: run * 10 + 5,
                reading: Held::Int(1),
            });
        }
        assert_eq!(many.all().count(), LINEAGES_MAX);
        assert!(many.all().any(|known| known.start == 190));
    }

    #[test]
    fn readings_of_a_delta_stream_are_known_again() {
        let mut one = stream(&[(1, 2, 1)]);
        assert!(!one.is_repeated(5) && one.is_repeated(5));
        (10..18).for_each(|print| assert!(!one.is_repeated(print)));
        assert!(!one.is_repeated(5), "forgotten after eight others");
    }
}
