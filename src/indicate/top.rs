//! Which value of an attribute has most events, in bounded room.

use hashbrown::HashMap;

/// Values counted at once. What a value is said to have may be too low by a 65th of all events, never too
/// high: a share of one caller is not invented.
const VALUES_MAX: usize = 64;

/// Counts by value (Misra and Gries): when the room is full, a new value takes from all.
#[derive(Clone, Debug, Default)]
pub(super) struct Top {
    total: f64,
    counts: Vec<(Box<[u8]>, f64)>,
}

impl Top {
    /// Adds events of a value; None is no value, which counts in the total only.
    pub(super) fn add(&mut self, value: Option<&[u8]>, events: f64) {
        self.total += events;
        let Some(value) = value.filter(|_| events > 0.0) else {
            return;
        };
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| **known == *value) {
            *count += events;
            return;
        }
        if self.counts.len() < VALUES_MAX {
            self.counts.push((value.into(), events));
            return;
        }
        let smallest = self.counts.iter().map(|(_, count)| *count).fold(events, f64::min);
        self.counts.retain_mut(|(_, count)| {
            *count -= smallest;
            *count > 0.0
        });
        if events > smallest {
            self.counts.push((value.into(), events - smallest));
        }
    }

    /// Adds all of `other`, each count times `factor`.
    pub(super) fn merge(&mut self, other: &Self, factor: f64) {
        let named: f64 = other.counts.iter().map(|(_, count)| count).sum();
        for (value, count) in &other.counts {
            self.add(Some(value), count * factor);
        }
        self.add(None, (other.total - named) * factor);
    }
}

/// The value with most events of several tables, and its events and those of all.
pub(super) fn most<'t>(tables: impl Iterator<Item = &'t Top>) -> (f64, Option<(&'t [u8], f64)>) {
    let mut sums: HashMap<&[u8], f64> = HashMap::new();
    let mut total = 0.0;
    for table in tables {
        total += table.total;
        for (value, count) in &table.counts {
            *sums.entry(value).or_default() += count;
        }
    }
    // Of equals the first by name, so that the answer does not flicker.
    let top = sums
        .into_iter()
        .max_by(|(a, count), (b, other)| count.total_cmp(other).then_with(|| b.cmp(a)));
    (total, top)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "whole numbers")]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_count_is_never_too_high_and_at_most_a_65th_too_low(
            events in proptest::collection::vec((0_u16..300, 1_u32..20), 0..400),
            loud in 0_u32..4000,
        ) {
            let mut top = Top::default();
            let mut exact = std::collections::BTreeMap::new();
            for (value, count) in events.into_iter().chain([(7, loud)]).filter(|(_, count)| *count > 0) {
                top.add(Some(&value.to_be_bytes()), f64::from(count));
                *exact.entry(value.to_be_bytes()).or_insert(0.0) += f64::from(count);
            }
            let total: f64 = exact.values().sum();
            prop_assert_eq!(top.total, total);
            prop_assert!(top.counts.len() <= VALUES_MAX);
            for (value, count) in &exact {
                let known = top.counts.iter().find(|(v, _)| **v == *value).map_or(0.0, |(_, c)| *c);
                prop_assert!(known <= *count && *count - known <= total / 65.0 + 1e-9);
            }
        }
    }

    #[test]
    fn the_loudest_of_several_slots_is_found_and_the_nameless_have_none() {
        let mut slots = [Top::default(), Top::default()];
        slots[0].add(Some(b"a"), 5.0);
        slots[0].add(Some(b"b"), 6.0);
        slots[1].add(Some(b"a"), 5.0);
        slots[1].add(None, 100.0);
        assert_eq!(most(slots.iter()), (116.0, Some((&b"a"[..], 10.0))));
        assert_eq!(most([].iter()), (0.0, None));
        let mut half = Top::default();
        half.merge(&slots[1], 0.5);
        assert_eq!(most([half].iter()).0, 52.5);
    }
}
