//! Attributes by slot: the configuration names the keys that matter, everything else is hopped over.

use super::AnyValue;

/// Index of an attribute key in a [`KeyTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// Index of a key prefix in a [`KeyTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixId(pub u8);

/// The attribute keys that objectives and cohorts read, compiled once.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {}

/// Collects keys and prefixes; equal keys get the same slot.
#[derive(Clone, Debug, Default)]
pub struct KeyTableBuilder {}

impl KeyTableBuilder {
    /// The slot of `key`.
    pub fn key(&mut self, _key: &str) -> Slot {
        Slot(0)
    }

    /// The id of `prefix`: every attribute whose key starts with it (and has more behind it) is kept.
    pub fn prefix(&mut self, _prefix: &str) -> PrefixId {
        PrefixId(0)
    }

    /// Compiles the table.
    pub fn build(self) -> KeyTable {
        KeyTable {}
    }
}

/// The wanted attributes of one item (resource, scope, span or span event), reused from item to item.
#[derive(Debug, Default)]
pub struct Attributes<'a> {
    _slots: Vec<Option<AnyValue<'a>>>,
}

impl<'a> Attributes<'a> {
    /// The value at `slot`. Of a key that occurs twice, the last counts.
    pub fn get(&self, _slot: Slot) -> Option<AnyValue<'a>> {
        None
    }

    /// Attributes matched by a prefix: the prefix, the rest of the key behind it, and the value.
    pub fn prefixed(&self) -> &[(PrefixId, &'a [u8], AnyValue<'a>)] {
        &[]
    }

    /// Attributes beyond the cap, which were not read.
    pub fn excess(&self) -> u32 {
        0
    }
}
