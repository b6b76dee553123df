//! The attribute keys that somebody wants, compiled once into a table that says no quickly.
//!
//! Of the dozen attributes of a span two or three are wanted, so the common answer is no: keys are grouped by length, and
//! within a length the last eight bytes are compared as one number (keys of a namespace share their beginnings). A hash map
//! would read the whole key for every no; a perfect hash was not worth its code.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

/// Index of an attribute key in a [`KeyTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// Index of a key prefix in a [`KeyTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixId(pub u8);

/// The attribute keys that objectives and cohorts read, compiled once.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {
    /// Sorted by length.
    keys: Vec<Key>,
    /// Where the keys of a length begin; the next entry is where they end.
    by_length: Vec<u16>,
    prefixes: Vec<Prefix>,
    /// Bit b says that some prefix begins with byte b.
    first_bytes: [u64; 4],
}

#[derive(Clone, Debug)]
struct Key {
    tail: u64,
    slot: Slot,
    bytes: Box<[u8]>,
}

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

impl KeyTable {
    /// How many slots the table has.
    pub fn slots(&self) -> usize {
        self.keys.len()
    }

    /// The slot of `key`, if it is wanted.
    #[inline(always)]
    pub fn find(&self, key: &[u8]) -> Option<Slot> {
        let begin = usize::from(*self.by_length.get(key.len())?);
        let end = usize::from(*self.by_length.get(key.len() + 1)?);
        if begin == end {
            return None;
        }
        let wanted = tail(key);
        self.keys
            .get(begin..end)?
            .iter()
            .find(|candidate| candidate.tail == wanted && *candidate.bytes == *key)
            .map(|found| found.slot)
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
    keys: Vec<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
}

impl KeyTableBuilder {
    /// The slot of `key`.
    ///
    /// A table holds 65,535 keys; a configuration is megabytes long before it names more, and what lies beyond shares a
    /// slot that nothing fills.
    pub fn key(&mut self, key: &str) -> Slot {
        Slot(u16::try_from(position(&mut self.keys, key, usize::from(u16::MAX))).unwrap_or(u16::MAX))
    }

    /// The id of `prefix`: every attribute whose key starts with it (and has more behind it) is kept, unless the key has a
    /// slot of its own. An attribute with several prefixes is kept once for each. A table holds 255 prefixes, and the rest
    /// shares an id that nothing fills. The empty prefix is every key's.
    pub fn prefix(&mut self, prefix: &str) -> PrefixId {
        PrefixId(u8::try_from(position(&mut self.prefixes, prefix, usize::from(u8::MAX))).unwrap_or(u8::MAX))
    }

    /// Compiles the table.
    pub fn build(self) -> KeyTable {
        let mut keys: Vec<Key> = (0..=u16::MAX)
            .map(Slot)
            .zip(self.keys)
            .map(|(slot, bytes)| Key {
                tail: tail(&bytes),
                slot,
                bytes,
            })
            .collect();
        keys.sort_by_key(|key| key.bytes.len());
        let lengths = keys.last().map_or(0, |key| key.bytes.len() + 2);
        let by_length = (0..lengths)
            .map(|length| keys.partition_point(|key| key.bytes.len() < length))
            .map(|begin| u16::try_from(begin).unwrap_or(u16::MAX))
            .collect();
        let prefixes: Vec<Prefix> = (0..=u8::MAX)
            .map(PrefixId)
            .zip(self.prefixes)
            .map(|(id, bytes)| Prefix { id, bytes })
            .collect();
        let mut first_bytes = [0u64; 4];
        for prefix in &prefixes {
            match prefix.bytes.first() {
                None => first_bytes = [u64::MAX; 4],
                Some(first) => first_bytes[usize::from(first >> 6)] |= 1 << (first & 63),
            }
        }
        KeyTable {
            keys,
            by_length,
            prefixes,
            first_bytes,
        }
    }
}

/// The index of `name` among `names`, appended if it is new and there is room.
fn position(names: &mut Vec<Box<[u8]>>, name: &str, room: usize) -> usize {
    if let Some(found) = names.iter().position(|known| **known == *name.as_bytes()) {
        return found;
    }
    if names.len() < room {
        names.push(name.as_bytes().into());
        return names.len() - 1;
    }
    room
}
