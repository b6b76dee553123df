//! The last few slots of something, by absolute number.

/// A ring of slots. Slots that nobody wrote hold the default.
#[derive(Clone, Debug)]
pub(super) struct Ring<T> {
    slots: Box<[T]>,
    /// The newest slot that the ring has room for.
    newest: u64,
}

impl<T: Clone + Default> Ring<T> {
    /// A ring of `length` slots that end with `newest`.
    pub(super) fn new(length: usize, newest: u64) -> Self {
        Self {
            slots: vec![T::default(); length.max(1)].into(),
            newest,
        }
    }

    fn index(&self, slot: u64) -> usize {
        usize::try_from(slot % self.slots.len() as u64).unwrap_or(0)
    }

    fn has(&self, slot: u64) -> bool {
        slot <= self.newest && self.newest - slot < self.slots.len() as u64
    }

    /// A slot, unless it lies before or behind the ring.
    pub(super) fn get(&self, slot: u64) -> Option<&T> {
        if self.has(slot) {
            self.slots.get(self.index(slot))
        } else {
            None
        }
    }

    /// A slot to write to; a newer one than any before takes the place of the oldest. None when too old.
    pub(super) fn get_mut(&mut self, slot: u64) -> Option<&mut T> {
        if slot > self.newest {
            let length = self.slots.len() as u64;
            // Beyond a whole turn every slot is a new one.
            let first = self.newest.saturating_add(1).max(slot.saturating_sub(length - 1));
            for new in first..=slot {
                let index = self.index(new);
                if let Some(place) = self.slots.get_mut(index) {
                    *place = T::default();
                }
            }
            self.newest = slot;
        }
        if !self.has(slot) {
            return None;
        }
        let index = self.index(slot);
        self.slots.get_mut(index)
    }

    /// The same slots in a ring of another length.
    pub(super) fn resized(&self, length: usize) -> Self {
        let mut other = Self::new(length, self.newest);
        let oldest = self.newest.saturating_sub(length as u64 - 1);
        for slot in oldest..=self.newest {
            if let (Some(old), Some(new)) = (self.get(slot), other.get_mut(slot)) {
                new.clone_from(old);
            }
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_ring_is_a_map_that_forgets_the_oldest(
            length in 1_usize..20,
            start in 0_u64..50,
            writes in proptest::collection::vec((0_u64..120, 1_u32..9), 0..60),
            other in 1_usize..30,
        ) {
            let mut ring = Ring::new(length, start);
            let mut map = BTreeMap::new();
            let mut newest = start;
            for (slot, value) in writes {
                newest = newest.max(slot);
                let written = ring.get_mut(slot).map(|it| *it = value).is_some();
                prop_assert_eq!(written, newest - slot < length as u64);
                if written {
                    map.insert(slot, value);
                }
            }
            let resized = ring.resized(other);
            for slot in 0..150 {
                let kept = |length: usize| slot <= newest && newest - slot < length as u64;
                let known = map.get(&slot).copied().unwrap_or(0);
                prop_assert_eq!(ring.get(slot).copied(), kept(length).then_some(known));
                let known = if kept(length) { known } else { 0 };
                prop_assert_eq!(resized.get(slot).copied(), kept(other).then_some(known));
            }
        }
    }
}
