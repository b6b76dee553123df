//! Durations of a batch, for the objectives that want quantiles.
//!
//! A span adds one small entry, whatever the number of objectives; they are sorted and added up once, when
//! the batch is settled.

use super::{GroupKey, Source, for_each_bit, weigh};
use crate::ledger::latency::{ONE, slot_of};
use crate::sli::{ObjectiveIndex, ObjectiveSet};
use crate::wire::Span;

/// The duration of one span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    group: u32,
    slot: u16,
    /// The objectives that count it.
    bits: u64,
    /// What it stands for, in 2^-16.
    units: u64,
}

/// Which candidates want what, as bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Details {
    /// Quantiles of durations.
    pub(super) quantiles: u64,
    /// A cohort for each endpoint class.
    pub(super) routes: u64,
}

impl Details {
    pub(super) fn of_all(objectives: &ObjectiveSet, all: &[ObjectiveIndex]) -> Self {
        let mut it = Self::default();
        for (bit, objective) in all.iter().take(64).enumerate() {
            let detail = objectives.detail(*objective);
            it.quantiles |= u64::from(detail.quantiles) << bit;
            it.routes |= u64::from(detail.routes) << bit;
        }
        it
    }
}

/// Notes the duration of a span that was judged by some that want quantiles.
pub(super) fn note(
    seen: &mut Vec<Seen>,
    group: u32,
    span: &Span<'_>,
    source: &Source<'_, '_>,
    said: weigh::Said,
    (good, bad): (u64, u64),
) {
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    if start == 0 || end < start {
        return;
    }
    let bits = source.details.quantiles & (good | bad);
    let one = Seen {
        group,
        slot: slot_of(end - start),
        bits,
        units: ONE,
    };
    match said {
        weigh::Said::Weight(weight) => seen.push(Seen {
            units: ONE + weight.excess,
            ..one
        }),
        _ if source.declared.is_empty() => seen.push(one),
        _ => for_each_bit(bits, |bit| {
            let weight = weigh::declared(&source.declared, bit, bad >> bit & 1 == 1);
            seen.push(Seen {
                bits: 1 << bit,
                units: ONE + weight.excess,
                ..one
            });
        }),
    }
}

/// Durations of one group in one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    /// The place of the group in the order in which groups are settled.
    pub(super) rank: usize,
    pub(super) bits: u64,
    pub(super) slot: u16,
    pub(super) units: u64,
}

/// Sums in the order in which groups are settled.
#[derive(Debug, Default)]
pub(super) struct Sums {
    sums: Vec<Sum>,
    at: usize,
}

impl Sums {
    pub(super) fn new(seen: &[Seen], order: &[(GroupKey, u32)]) -> Self {
        if seen.is_empty() {
            return Self::default();
        }
        let mut ranks = vec![0; order.len()];
        for (rank, (_, number)) in order.iter().enumerate() {
            if let Some(slot) = ranks.get_mut(*number as usize) {
                *slot = rank;
            }
        }
        let sum = |seen: &Seen| Sum {
            rank: ranks.get(seen.group as usize).copied().unwrap_or(0),
            bits: seen.bits,
            slot: seen.slot,
            units: seen.units,
        };
        let mut sums: Vec<Sum> = seen.iter().map(sum).collect();
        sums.sort_unstable_by_key(|sum| (sum.rank, sum.bits, sum.slot));
        sums.dedup_by(|later, kept| {
            let same = (later.rank, later.bits, later.slot) == (kept.rank, kept.bits, kept.slot);
            if same {
                kept.units = kept.units.saturating_add(later.units);
            }
            same
        });
        Self { sums, at: 0 }
    }

    /// Those of the groups up to `rank`, each once.
    pub(super) fn until(&mut self, rank: usize) -> &[Sum] {
        let begin = self.at;
        let rest = self.sums.get(begin..).unwrap_or_default();
        self.at += rest.partition_point(|sum| sum.rank < rank);
        self.sums.get(begin..self.at).unwrap_or_default()
    }
}
