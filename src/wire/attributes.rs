//! Attributes by slot: the configuration names the keys that matter, everything else is hopped over.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use super::any_value::{key_value_of_any_shape, usual_key_value};
use super::{AnyValue, KeyTable, Malformed, PrefixId, Reader, Slot, WalkLimits};

/// The wanted attributes of one item (resource, scope, span or span event), reused from item to item.
#[derive(Debug, Default)]
pub struct Attributes<'a> {
    slots: Vec<Option<AnyValue<'a>>>,
    /// The slots that are set, so that clearing costs what was set and not what the table could hold.
    set: Vec<u16>,
    prefixed: Vec<(PrefixId, &'a [u8], AnyValue<'a>)>,
    seen: u32,
    excess: u32,
}

impl Clone for Attributes<'_> {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.clone_from(self);
        copy
    }

    /// Copies into the room that is already there: a sink keeps a resource's attributes for its spans.
    fn clone_from(&mut self, source: &Self) {
        self.slots.clone_from(&source.slots);
        self.set.clone_from(&source.set);
        self.prefixed.clone_from(&source.prefixed);
        self.seen = source.seen;
        self.excess = source.excess;
    }
}

impl<'a> Attributes<'a> {
    /// Room for the keys of `table`.
    pub fn new(table: &KeyTable) -> Self {
        Self {
            slots: vec![None; table.slots()],
            ..Self::default()
        }
    }

    /// The value at `slot`. Of a key that occurs twice, the last counts. A key that was sent without a value
    /// has [`AnyValue::EMPTY`].
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<AnyValue<'a>> {
        *self.slots.get(usize::from(slot.0))?
    }

    /// Attributes matched by a prefix: the prefix, the rest of the key behind it, and the value; in the order
    /// of the wire. A key that occurs twice stands here twice, and its reader lets the later one count.
    pub fn prefixed(&self) -> &[(PrefixId, &'a [u8], AnyValue<'a>)] {
        &self.prefixed
    }

    /// Attributes beyond a cap, which were not read.
    pub fn excess(&self) -> u32 {
        self.excess
    }

    /// Reads the wanted attributes of a message whose pairs stand in field `number`, into the room that is
    /// there.
    pub fn read(
        &mut self,
        message: &'a [u8],
        number: u32,
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<(), Malformed> {
        self.clear();
        let pairs = u64::from(number) << 3 | 2;
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            if tag == pairs {
                self.take_row(&mut fields, tag, keys, limits)?;
            } else {
                fields.skip(tag)?;
            }
        }
        Ok(())
    }

    /// Forgets the item and keeps the room.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        for slot in &self.set {
            if let Some(cell) = self.slots.get_mut(usize::from(*slot)) {
                *cell = None;
            }
        }
        self.set.clear();
        self.prefixed.clear();
        self.seen = 0;
        self.excess = 0;
    }

    /// Takes the encoded KeyValue that comes next, and those that follow it under the same `tag`.
    ///
    /// Attributes stand in a row and are most of a span's bytes. In a loop of their own the cursor stays in
    /// registers; inlined among the other fields of a span it did not.
    #[inline(never)]
    pub(super) fn take_row(
        &mut self,
        fields: &mut Reader<'a>,
        tag: u64,
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<(), Malformed> {
        let mut ahead = fields.clone();
        loop {
            self.take(ahead.bytes()?, keys, limits)?;
            if !ahead.take_tag(tag) {
                break;
            }
        }
        *fields = ahead;
        Ok(())
    }

    /// Takes one encoded KeyValue, if its key is wanted and the caps allow.
    #[inline(always)]
    fn take(&mut self, pair: &'a [u8], keys: &KeyTable, limits: &WalkLimits) -> Result<(), Malformed> {
        if self.seen >= limits.attributes_max {
            self.excess = self.excess.saturating_add(1);
            return Ok(());
        }
        self.seen += 1;
        match usual_key_value(pair) {
            Some((key, value)) => self.keep(key, value, keys, limits),
            None => self.keep_any_shape(pair, keys, limits)?,
        }
        Ok(())
    }

    #[cold]
    fn keep_any_shape(
        &mut self,
        pair: &'a [u8],
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<(), Malformed> {
        let (key, value) = key_value_of_any_shape(pair)?;
        self.keep(key, value, keys, limits);
        Ok(())
    }

    #[inline(always)]
    fn keep(&mut self, key: &'a [u8], value: AnyValue<'a>, keys: &KeyTable, limits: &WalkLimits) {
        if keys.may_want(key) {
            self.keep_wanted(key, value, keys, limits);
        }
    }

    /// A key may be asked for by name (a policy matches on it) and by prefix (it is also a flag): both get
    /// it. A value beyond a cap is not kept.
    #[inline(never)]
    fn keep_wanted(&mut self, key: &'a [u8], value: AnyValue<'a>, keys: &KeyTable, limits: &WalkLimits) {
        let Some(cell) = keys.cell(key) else {
            if keys.may_have_prefix(key) {
                self.push_prefixed(key, value, keys, limits);
            }
            return;
        };
        if value.nests_deeper_than(limits.nesting_max) {
            self.excess = self.excess.saturating_add(1);
            return;
        }
        if let Some(place) = self.slots.get_mut(usize::from(cell.slot.0))
            && place.replace(value).is_none()
        {
            self.set.push(cell.slot.0);
        }
        if cell.has_prefix {
            self.push_prefixed(key, value, keys, limits);
        }
    }

    /// Puts a value under a slot, whatever was sent under its key.
    pub(super) fn put(&mut self, slot: Slot, value: AnyValue<'a>, limits: &WalkLimits) {
        if value.nests_deeper_than(limits.nesting_max) {
            self.excess = self.excess.saturating_add(1);
            return;
        }
        if let Some(place) = self.slots.get_mut(usize::from(slot.0))
            && place.replace(value).is_none()
        {
            self.set.push(slot.0);
        }
    }

    fn push_prefixed(&mut self, key: &'a [u8], value: AnyValue<'a>, keys: &KeyTable, limits: &WalkLimits) {
        let mut prefixes = keys.prefixes_of(key).peekable();
        if prefixes.peek().is_some() && value.nests_deeper_than(limits.nesting_max) {
            self.excess = self.excess.saturating_add(1);
            return;
        }
        self.prefixed.extend(prefixes.map(|(id, rest)| (id, rest, value)));
    }
}
