//! The attribute keys that somebody wants, compiled once into a table that says no quickly.
//!
//! Of the dozen attributes of a span two or three are wanted, so the common answer is no, and it must come
//! after one look. So keys are hashed by their length and their last eight bytes (keys of a namespace share
//! their beginnings) into a table that is nearly empty, where a free cell is a no. Rejected: a hash map,
//! which reads the whole key for every no, and lists of keys by length, which cost more with every key that
//! the configuration adds.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use std::collections::HashMap;

/// Index of an attribute key in a [`KeyTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// Index of a key prefix in a [`KeyTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixId(pub u8);

/// The attribute keys that objectives and cohorts read, compiled once.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {
    /// A power of two of cells, few of them taken. A key that finds its cell taken lies in the
    /// next free one.
    cells: Box<[Cell]>,
    /// The keys by slot.
    keys: Box<[Box<[u8]>]>,
    prefixes: Vec<Prefix>,
    /// Bit b says that some prefix begins with byte b.
    first_bytes: [u64; 4],
    /// Whether every span event is wanted.
    pub(super) all_events: bool,
}

/// A key, as much of it as tells it from most others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    tail: u64,
    /// [`FREE`] when there is no key.
    length: u32,
    /// Where the key's value goes.
    pub(super) slot: Slot,
    /// Whether the key also begins with a wanted prefix.
    pub(super) has_prefix: bool,
}

/// The length of no key.
const FREE: u32 = u32::MAX;

const FREE_CELL: Cell = Cell {
    tail: 0,
    length: FREE,
    slot: Slot(u16::MAX),
    has_prefix: false,
};

/// Cells a key.
const CELLS_PER_KEY: usize = 8;

#[derive(Clone, Debug)]
struct Prefix {
    id: PrefixId,
    bytes: Box<[u8]>,
}

/// The last eight bytes of a key (all of a shorter one) as a number.
#[inline(always)]
fn tail(key: &[u8]) -> u64 {
    if let Some(last) = key.last_chunk::<8>() {
        return u64::from_le_bytes(*last);
    }
    key.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where the search for a key begins, among `cells` cells.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the cells are fewer than the bits that stay"
)]
fn home(tail: u64, length: usize, cells: usize) -> usize {
    let mixed = (tail ^ length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as usize & cells.wrapping_sub(1)
}

impl KeyTable {
    /// How many slots the table has.
    pub fn slots(&self) -> usize {
        self.keys.len()
    }

    /// The slot of `key`, if it is wanted.
    pub fn find(&self, key: &[u8]) -> Option<Slot> {
        self.cell(key).map(|cell| cell.slot)
    }

    /// Whether some key begins with `prefix`.
    pub(super) fn wants_members(&self, prefix: &[u8]) -> bool {
        self.keys.iter().any(|key| key.starts_with(prefix))
    }

    /// Whether `key` may be wanted, by name or by prefix. Most keys are not, and end here.
    #[inline(always)]
    pub(super) fn may_want(&self, key: &[u8]) -> bool {
        let home = home(tail(key), key.len(), self.cells.len());
        self.cells.get(home).is_some_and(|cell| cell.length != FREE) || self.may_have_prefix(key)
    }

    /// The cell of `key`, if it is wanted.
    #[inline]
    pub(super) fn cell(&self, key: &[u8]) -> Option<&Cell> {
        let tail = tail(key);
        let mut at = home(tail, key.len(), self.cells.len());
        loop {
            let cell = self.cells.get(at)?;
            if cell.tail == tail && cell.length as usize == key.len() && self.is(cell.slot, key) {
                return Some(cell);
            }
            if cell.length == FREE {
                return None;
            }
            at = (at + 1) & (self.cells.len() - 1);
        }
    }

    #[inline(always)]
    fn is(&self, slot: Slot, key: &[u8]) -> bool {
        self.keys
            .get(usize::from(slot.0))
            .is_some_and(|known| **known == *key)
    }

    /// Whether some prefix begins as `key` does.
    #[inline(always)]
    pub(super) fn may_have_prefix(&self, key: &[u8]) -> bool {
        let Some(first) = key.first() else { return false };
        self.first_bytes[usize::from(first >> 6)] >> (first & 63) & 1 == 1
    }

    /// The prefixes of `key`, each with the rest of the key behind it, which is never empty.
    pub fn prefixes_of<'k>(&self, key: &'k [u8]) -> impl Iterator<Item = (PrefixId, &'k [u8])> {
        self.prefixes
            .iter()
            .filter_map(move |prefix| match key.strip_prefix(&*prefix.bytes) {
                None | Some([]) => None,
                Some(rest) => Some((prefix.id, rest)),
            })
    }
}

/// Collects keys and prefixes; equal keys get the same slot.
#[derive(Clone, Debug, Default)]
pub struct KeyTableBuilder {
    keys: HashMap<Box<[u8]>, u16>,
    prefixes: HashMap<Box<[u8]>, u8>,
    all_events: bool,
}

impl KeyTableBuilder {
    /// The slot of `key`.
    ///
    /// A table holds 65,535 keys; a configuration is megabytes long before it names more, and what lies
    /// beyond shares a slot that nothing fills.
    pub fn key(&mut self, key: &str) -> Slot {
        let next = u16::try_from(self.keys.len()).unwrap_or(u16::MAX);
        Slot(number_of(&mut self.keys, key, next, u16::MAX))
    }

    /// The id of `prefix`: every attribute whose key starts with it (and has more behind it) is kept, also
    /// when the key has a slot of its own. An attribute with several prefixes is kept once for each. A table
    /// holds 255 prefixes, and the rest shares an id that nothing fills. The empty prefix is every key's.
    pub fn prefix(&mut self, prefix: &str) -> PrefixId {
        let next = u8::try_from(self.prefixes.len()).unwrap_or(u8::MAX);
        PrefixId(number_of(&mut self.prefixes, prefix, next, u8::MAX))
    }

    /// Asks for every span event, and not only for those that tell of flags.
    #[must_use]
    pub fn all_events(mut self) -> Self {
        self.all_events = true;
        self
    }

    /// Compiles the table.
    pub fn build(self) -> KeyTable {
        let prefix = |(bytes, id): (Box<[u8]>, u8)| Prefix {
            id: PrefixId(id),
            bytes,
        };
        let mut prefixes: Vec<Prefix> = self.prefixes.into_iter().map(prefix).collect();
        prefixes.sort_by_key(|prefix| prefix.id);
        let mut first_bytes = [0u64; 4];
        for prefix in &prefixes {
            match prefix.bytes.first() {
                None => first_bytes = [u64::MAX; 4],
                Some(first) => first_bytes[usize::from(first >> 6)] |= 1 << (first & 63),
            }
        }
        let mut keys = vec![Box::default(); self.keys.len()];
        for (bytes, slot) in self.keys {
            if let Some(key) = keys.get_mut(usize::from(slot)) {
                *key = bytes;
            }
        }
        let mut table = KeyTable {
            cells: vec![FREE_CELL; (keys.len() * CELLS_PER_KEY).next_power_of_two()].into(),
            keys: keys.into(),
            prefixes,
            first_bytes,
            all_events: self.all_events,
        };
        table.fill();
        table
    }
}

impl KeyTable {
    /// Gives every key its cell.
    fn fill(&mut self) {
        for (slot, key) in (0..u16::MAX).zip(&self.keys) {
            let cell = Cell {
                tail: tail(key),
                length: u32::try_from(key.len()).unwrap_or(FREE),
                slot: Slot(slot),
                has_prefix: self.prefixes_of(key).next().is_some(),
            };
            let (before, behind) = self
                .cells
                .split_at_mut(home(cell.tail, key.len(), self.cells.len()));
            let free = behind.iter_mut().chain(before).find(|cell| cell.length == FREE);
            if let Some(free) = free {
                *free = cell;
            }
        }
    }
}

/// The number of `name`, which is `next` if it is new and there is room.
fn number_of<N: Copy + PartialEq>(names: &mut HashMap<Box<[u8]>, N>, name: &str, next: N, full: N) -> N {
    if let Some(known) = names.get(name.as_bytes()) {
        return *known;
    }
    if next != full {
        names.insert(name.as_bytes().into(), next);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(keys: &[&str], prefixes: &[&str]) -> KeyTable {
        let mut builder = KeyTableBuilder::default();
        for key in keys {
            builder.key(key);
        }
        for prefix in prefixes {
            builder.prefix(prefix);
        }
        builder.build()
    }

    #[test]
    fn equal_keys_share_a_slot() {
        let mut builder = KeyTableBuilder::default();
        assert_eq!(
            [builder.key("a"), builder.key("bb"), builder.key("a")],
            [Slot(0), Slot(1), Slot(0)]
        );
        assert_eq!(
            [builder.prefix("a"), builder.prefix("b"), builder.prefix("a")].map(|id| id.0),
            [0, 1, 0]
        );
        assert_eq!(builder.build().slots(), 2);
    }

    #[test]
    fn keys_that_differ_only_in_front_are_told_apart() {
        let table = table(&["aaa.status_code", "bbb.status_code"], &[]);
        assert_eq!(table.find(b"bbb.status_code"), Some(Slot(1)));
        assert_eq!(table.find(b"ccc.status_code"), None);
    }

    #[test]
    fn empty_table_wants_nothing() {
        let table = table(&[], &[]);
        assert_eq!((table.find(b""), table.find(b"k")), (None, None));
        assert!(!table.may_have_prefix(b"k"));
    }

    #[test]
    fn prefix_alone_is_no_match() {
        let table = table(&[], &["flag.", "f"]);
        let found: Vec<_> = table.prefixes_of(b"flag.").collect();
        assert_eq!(found, [(PrefixId(1), &b"lag."[..])]);
        assert_eq!(table.prefixes_of(b"flag.x").count(), 2);
    }

    #[test]
    fn keys_beyond_the_room_are_never_found() {
        let mut builder = KeyTableBuilder::default();
        for number in 0..70_000 {
            builder.key(&format!("{number:05}"));
        }
        assert_eq!(builder.key("one more"), Slot(u16::MAX));
        let table = builder.build();
        assert_eq!(table.find(b"65534"), Some(Slot(65534)));
        assert_eq!(table.find(b"65535"), None);
        assert_eq!(table.find(b"one more"), None);
    }

    proptest! {
        #[test]
        fn finds_exactly_the_keys_it_was_given(
            keys in proptest::collection::vec("[ab.]{0,12}", 0..40),
            asked in "[ab.]{0,12}",
        ) {
            let mut builder = KeyTableBuilder::default();
            let slots: Vec<Slot> = keys.iter().map(|key| builder.key(key)).collect();
            let table = builder.build();
            for (key, slot) in keys.iter().zip(&slots) {
                prop_assert_eq!(table.find(key.as_bytes()), Some(*slot));
                prop_assert!(table.may_want(key.as_bytes()));
            }
            prop_assert_eq!(table.find(asked.as_bytes()).is_some(), keys.contains(&asked));
        }
    }
}
