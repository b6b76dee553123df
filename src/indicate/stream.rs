//! What one stream of a metric said last: from its totals to growth.
//!
//! A stream is one set of attributes of one metric of one resource. Rules, in the order of the argument: a
//! point that is not newer than the last says nothing (SDKs export the last one twice at shutdown). A start
//! behind the last point, or a total that fell, is a restart: what the total says now has grown since. Of the
//! first point of a stream the growth is unknown, unless the stream itself began a moment ago.

#![allow(
    clippy::needless_pass_by_value,
    reason = "a stream that is there or not is a reference that is there or not"
)]

use super::grid::{Buckets, Grid};
use super::series::Span;
use crate::time::{NANOS_PER_SEC, UnixNanos};

/// A stream that began at most so long before its first point brings all of its total as growth.
const YOUNG_NANOS: u64 = 120 * NANOS_PER_SEC;
/// A stream is not missed for so long, whatever its interval.
const PATIENCE_NANOS: u64 = 60 * NANOS_PER_SEC;

/// When a stream last spoke, and how often it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// The last point's own time.
    pub(super) time: u64,
    /// When it arrived.
    pub(super) seen_at: u64,
    /// Between the last two points; 0 before the second.
    interval: u64,
}

impl Pulse {
    pub(super) fn new(time: u64, now: UnixNanos) -> Self {
        Self {
            time,
            seen_at: now.0,
            interval: 0,
        }
    }

    fn beat(&mut self, time: u64, now: UnixNanos) {
        self.interval = time - self.time;
        self.time = time;
        self.seen_at = now.0;
    }

    /// Whether the stream is still heard of: two and a half of its intervals without a word are an end.
    pub(super) fn is_live(&self, now: UnixNanos, stale_nanos: u64) -> bool {
        let silence = now.0.saturating_sub(self.seen_at);
        let patience = match self.interval {
            0 => stale_nanos,
            interval => (interval / 2).saturating_mul(5).max(PATIENCE_NANOS),
        };
        silence <= patience.min(stale_nanos)
    }
}

/// What one stream said last.
#[derive(Debug)]
pub(super) enum Stream {
    /// A total.
    Counter { pulse: Pulse, value: f64 },
    /// Growth by itself: nothing to remember but the time.
    Delta { pulse: Pulse },
    /// Where it stands; `joined` holds its first value until the slot is closed.
    Level {
        pulse: Pulse,
        value: f64,
        joined: Option<f64>,
        is_fresh: bool,
    },
    /// Totals by bucket.
    Histogram {
        pulse: Pulse,
        grid: Grid,
        totals: Buckets,
    },
}

impl Stream {
    pub(super) fn pulse(&self) -> &Pulse {
        match self {
            Self::Counter { pulse, .. }
            | Self::Delta { pulse }
            | Self::Level { pulse, .. }
            | Self::Histogram { pulse, .. } => pulse,
        }
    }
}

/// What a point says about time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// When the stream began; 0 when it does not say.
    pub(super) start: u64,
    /// The point's own time.
    pub(super) time: u64,
    /// When it arrived.
    pub(super) now: UnixNanos,
}

impl Stamp {
    /// The time in which a young stream grew to what its first point says.
    fn youth(&self) -> Option<Span> {
        let is_young = self.start > 0 && self.start < self.time && self.time - self.start <= YOUNG_NANOS;
        is_young.then_some(Span {
            from: self.start,
            to: self.time,
        })
    }

    /// The time since `last`, and whether the stream restarted in it.
    fn since(&self, last: &Pulse) -> (Span, bool) {
        let restarted = self.start > last.time && self.start <= self.time;
        let from = if restarted { self.start } else { last.time };
        (Span { from, to: self.time }, restarted)
    }
}

/// The growth that a total brings, and the stream as it is then.
pub(super) fn count(
    stream: Option<&mut Stream>,
    stamp: Stamp,
    total: f64,
) -> (Option<(Span, f64)>, Option<Stream>) {
    if let Some(Stream::Counter { pulse, value }) = stream {
        if stamp.time <= pulse.time {
            return (None, None);
        }
        let (span, restarted) = stamp.since(pulse);
        let by = if restarted || total < *value {
            total
        } else {
            total - *value
        };
        pulse.beat(stamp.time, stamp.now);
        *value = total;
        return (Some((span, by)), None);
    }
    let fresh = Stream::Counter {
        pulse: Pulse::new(stamp.time, stamp.now),
        value: total,
    };
    (stamp.youth().map(|span| (span, total)), Some(fresh))
}

/// The growth that a delta brings.
pub(super) fn delta(stream: Option<&mut Stream>, stamp: Stamp) -> (Option<Span>, Option<Stream>) {
    let begin = |otherwise: u64| {
        let known = stamp.start > 0 && stamp.start <= stamp.time;
        Span {
            from: if known {
                stamp.start
            } else {
                otherwise.min(stamp.time)
            },
            to: stamp.time,
        }
    };
    if let Some(Stream::Delta { pulse }) = stream {
        if stamp.time <= pulse.time {
            return (None, None);
        }
        let span = begin(pulse.time);
        pulse.beat(stamp.time, stamp.now);
        return (Some(span), None);
    }
    let fresh = Stream::Delta {
        pulse: Pulse::new(stamp.time, stamp.now),
    };
    (Some(begin(stamp.time)), Some(fresh))
}

/// Takes where a level stands.
pub(super) fn stand(stream: Option<&mut Stream>, stamp: Stamp, now_at: f64) -> Option<Stream> {
    if let Some(Stream::Level {
        pulse,
        value,
        is_fresh,
        ..
    }) = stream
    {
        if stamp.time > pulse.time {
            pulse.beat(stamp.time, stamp.now);
            *value = now_at;
            *is_fresh = true;
        }
        return None;
    }
    Some(Stream::Level {
        pulse: Pulse::new(stamp.time, stamp.now),
        value: now_at,
        joined: Some(now_at),
        is_fresh: true,
    })
}

/// The growth by bucket that totals bring. Other bounds than before are a restart.
pub(super) fn measure(
    stream: Option<&mut Stream>,
    stamp: Stamp,
    new_grid: &Grid,
    new_totals: &Buckets,
) -> (Option<(Span, Buckets)>, Option<Stream>) {
    if let Some(Stream::Histogram { pulse, grid, totals }) = stream {
        if stamp.time <= pulse.time {
            return (None, None);
        }
        let (span, restarted) = stamp.since(pulse);
        let restarted = restarted || grid != new_grid;
        let grown = if restarted { None } else { new_totals.minus(totals) };
        let grown = grown.unwrap_or_else(|| new_totals.clone());
        pulse.beat(stamp.time, stamp.now);
        totals.clone_from(new_totals);
        if grid != new_grid {
            grid.clone_from(new_grid);
        }
        return (Some((span, grown)), None);
    }
    let fresh = Stream::Histogram {
        pulse: Pulse::new(stamp.time, stamp.now),
        grid: new_grid.clone(),
        totals: new_totals.clone(),
    };
    (stamp.youth().map(|span| (span, new_totals.clone())), Some(fresh))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: u64 = NANOS_PER_SEC;

    fn stamp(start: u64, time: u64) -> Stamp {
        Stamp {
            start: start * SEC,
            time: time * SEC,
            now: UnixNanos(time * SEC),
        }
    }

    /// Growth of totals, as (from, to, by) in seconds.
    fn run(points: &[(u64, u64, f64)]) -> Vec<Option<(u64, u64, f64)>> {
        let mut stream = None;
        let mut grown = Vec::new();
        for (start, time, total) in points {
            let (growth, fresh) = count(stream.as_mut(), stamp(*start, *time), *total);
            stream = fresh.or(stream);
            grown.push(growth.map(|(span, by)| (span.from / SEC, span.to / SEC, by)));
        }
        grown
    }

    #[test]
    fn totals_become_growth_and_duplicates_and_stragglers_say_nothing() {
        let points = [
            (0, 1000, 5.0),
            (0, 1060, 9.0),
            (0, 1060, 9.0),
            (0, 1030, 7.0),
            (0, 1120, 9.0),
        ];
        let grown = [None, Some((1000, 1060, 4.0)), None, None, Some((1060, 1120, 0.0))];
        assert_eq!(run(&points), grown);
    }

    #[test]
    fn a_restart_counts_what_came_since() {
        // By its start; by a total that fell; and by a start even though the total is higher.
        let points = [
            (100, 1000, 50.0),
            (1040, 1060, 3.0),
            (1040, 1120, 1.0),
            (1150, 1180, 80.0),
        ];
        let grown = [
            None,
            Some((1040, 1060, 3.0)),
            Some((1060, 1120, 1.0)),
            Some((1150, 1180, 80.0)),
        ];
        assert_eq!(run(&points), grown);
    }

    #[test]
    fn a_young_stream_brings_its_total_and_a_scrape_without_a_past_does_not() {
        assert_eq!(run(&[(990, 1000, 7.0)]), [Some((990, 1000, 7.0))]);
        assert_eq!(run(&[(1000, 1000, 7.0)]), [None]);
        assert_eq!(run(&[(0, 1000, 7.0)]), [None]);
        assert_eq!(run(&[(800, 1000, 7.0)]), [None]);
    }

    #[test]
    fn other_bounds_are_a_restart() {
        let buckets = |count: f64| {
            let mut buckets = Buckets::default();
            buckets.add(1, count);
            buckets
        };
        let grid = |bound: f64| Grid::Explicit([bound].into());
        let (_, stream) = measure(None, stamp(0, 1000), &grid(1.0), &buckets(5.0));
        let mut stream = stream.unwrap();
        let (grown, _) = measure(Some(&mut stream), stamp(0, 1010), &grid(1.0), &buckets(7.0));
        assert_eq!(grown.unwrap().1, buckets(2.0));
        let (grown, _) = measure(Some(&mut stream), stamp(0, 1020), &grid(2.0), &buckets(8.0));
        assert_eq!(grown.unwrap().1, buckets(8.0));
        let (grown, _) = measure(Some(&mut stream), stamp(0, 1030), &grid(2.0), &buckets(6.0));
        assert_eq!(grown.unwrap().1, buckets(6.0));
    }

    #[test]
    fn a_stream_is_missed_after_two_and_a_half_of_its_intervals() {
        let stale = 300 * SEC;
        let mut pulse = Pulse::new(1000 * SEC, UnixNanos::from_secs(1000));
        assert!(pulse.is_live(UnixNanos::from_secs(1300), stale));
        assert!(!pulse.is_live(UnixNanos::from_secs(1301), stale));
        pulse.beat(1060 * SEC, UnixNanos::from_secs(1060));
        assert!(pulse.is_live(UnixNanos::from_secs(1210), stale));
        assert!(!pulse.is_live(UnixNanos::from_secs(1211), stale));
        pulse.beat(1061 * SEC, UnixNanos::from_secs(1061));
        assert!(pulse.is_live(UnixNanos::from_secs(1121), stale));
        assert!(!pulse.is_live(UnixNanos::from_secs(1122), stale));
    }
}
