//! What the sampled spans of a batch stand for.
//!
//! A span says so itself, in its tracestate; of one that says nothing the policy may. Unsampled batches come
//! here never: they have an empty tracestate, and their groups no weights at all.

use super::{GroupKey, Source, TallyStats, for_each_bit};
use crate::ledger::{EventWeight, WEIGHT_MAX, Weights};
use crate::sli::{DeclaredSampling, ObjectiveIndex, ObjectiveSet};
use crate::wire::{Sampling, Weight, sampling};

/// What good and bad events stand for by the word of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    good: EventWeight,
    bad: EventWeight,
}

impl Declared {
    /// The word of each candidate's policy; empty when all are silent.
    pub(super) fn of_all(objectives: &ObjectiveSet, all: &[ObjectiveIndex]) -> Vec<Option<Self>> {
        let declared = all.iter().map(|objective| {
            let (good, bad) = match objectives.sampling(*objective)? {
                DeclaredSampling::Kept { good, bad } => (good, bad),
                DeclaredSampling::Unknown => (Weight::ONE, Weight::ONE),
            };
            Some(Self {
                good: EventWeight::of(good, WEIGHT_MAX),
                bad: EventWeight::of(bad, WEIGHT_MAX),
            })
        });
        let declared: Vec<_> = declared.collect();
        if declared.iter().all(Option::is_none) {
            return Vec::new();
        }
        declared
    }
}

/// What an event of one candidate stands for by the word of its policy.
pub(super) fn declared(declared: &[Option<Declared>], bit: usize, is_bad: bool) -> EventWeight {
    match declared.get(bit).copied().flatten() {
        Some(shares) if is_bad => shares.bad,
        Some(shares) => shares.good,
        None => EventWeight::ONE,
    }
}

impl Declared {
    /// What a good event stands for, and a bad one.
    pub(super) fn pair(self) -> [EventWeight; 2] {
        [self.good, self.bad]
    }
}

/// What a span says of sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing: it stands for itself, unless the policy knows better.
    Nothing,
    /// It stands for so many.
    Weight(EventWeight),
    /// It stands for none, and counts nowhere.
    None,
}

impl Said {
    /// The weight that the span itself tells.
    pub(super) fn weight(self) -> Option<EventWeight> {
        match self {
            Self::Weight(weight) => Some(weight),
            Self::Nothing | Self::None => None,
        }
    }
}

/// Reads tracestates. Most spans of a batch come through one sampler, so the last one is remembered.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    weight_max: u32,
    last: &'a [u8],
    said: Said,
}

impl<'a> Reader<'a> {
    pub(super) fn new(weight_max: u32) -> Self {
        Self {
            weight_max,
            last: &[],
            said: Said::Nothing,
        }
    }

    /// What `trace_state` says.
    #[inline]
    pub(super) fn read(&mut self, trace_state: &'a [u8], stats: &mut TallyStats) -> Said {
        if trace_state.is_empty() {
            return Said::Nothing;
        }
        self.read_some(trace_state, stats)
    }

    fn read_some(&mut self, trace_state: &'a [u8], stats: &mut TallyStats) -> Said {
        if self.last != trace_state {
            self.last = trace_state;
            self.said = match sampling(trace_state) {
                Sampling::Unsaid => Said::Nothing,
                Sampling::None => Said::None,
                Sampling::Kept(weight) => {
                    stats.capped_weights += u64::from(weight.whole > u64::from(self.weight_max));
                    Said::Weight(EventWeight::of(weight, self.weight_max))
                }
                Sampling::Inconsistent => {
                    stats.inconsistent_weights += 1;
                    Said::Weight(EventWeight::ONE)
                }
            };
        }
        match self.said {
            Said::None => stats.weightless += 1,
            Said::Weight(weight) if !weight.is_one() => stats.sampled += 1,
            _ => {}
        }
        self.said
    }
}

/// Weights of groups, beside their counts: as long as the last group that has any.
#[derive(Debug, Default)]
pub(super) struct GroupWeights(Vec<Weights>);

impl GroupWeights {
    /// Whether no span stood for more than itself.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a group whose counts begin at `begin`.
    pub(super) fn of(&self, begin: usize, objectives: usize) -> &[Weights] {
        let end = (begin + objectives).min(self.0.len());
        self.0.get(begin..end).unwrap_or_default()
    }

    /// Adds a span to a group whose counts begin at `begin`.
    pub(super) fn add(
        &mut self,
        begin: usize,
        said: Said,
        declared: &[Option<Declared>],
        (good, bad): (u64, u64),
    ) {
        for_each_bit(good | bad, |bit| {
            let is_bad = bad >> bit & 1 == 1;
            let weight = match said {
                Said::Weight(weight) => weight,
                Said::None | Said::Nothing => self::declared(declared, bit, is_bad),
            };
            if weight.is_one() {
                return;
            }
            let at = begin + bit;
            if self.0.len() <= at {
                self.0.resize(at + 1, Weights::default());
            }
            let Some(sum) = self.0.get_mut(at) else {
                return;
            };
            let (excess, variance) = if is_bad {
                (&mut sum.excess.bad, &mut sum.variance.bad)
            } else {
                (&mut sum.excess.good, &mut sum.variance.good)
            };
            *excess = excess.saturating_add(weight.excess);
            *variance = variance.saturating_add(weight.variance);
        });
    }

    /// The sum of groups that make the same rows; `None` when all of them are empty.
    pub(super) fn sum(
        &self,
        begins: impl Iterator<Item = usize>,
        source: &Source<'_, '_>,
    ) -> Option<Vec<Weights>> {
        let mut sums = vec![Weights::default(); source.candidates.len()];
        for begin in begins {
            for (sum, weights) in sums.iter_mut().zip(self.of(begin, source.candidates.len())) {
                sum.add(*weights);
            }
        }
        sums.iter().any(|sum| !sum.is_zero()).then_some(sums)
    }
}

/// The begins of groups.
pub(super) fn begins<'g>(
    groups: &'g [(GroupKey, u32)],
    spans: &'g [(usize, u32)],
) -> impl Iterator<Item = usize> + 'g {
    groups
        .iter()
        .filter_map(|(_, number)| spans.get(*number as usize).map(|(begin, _)| *begin))
}
