//! The attributes of a message, and what was done to them.
//!
//! A key that is there several times (nobody may send that, and some do) is read as its last value, as the
//! walk reads it. Whoever writes the key leaves one, and whoever deletes it none.

use super::cursor::{Piece, Span};
use super::splices::{Splices, put_varint, varint_len};
use super::value::Held;
use crate::wire::any_value::key_value;
use crate::wire::{AnyValue, Malformed};
use std::borrow::Cow;

/// What became of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    Written,
    Gone,
}

#[derive(Clone, Debug)]
struct Entry<'a> {
    /// Its field in the request; empty for one that was added.
    at: Option<Span>,
    key: Cow<'a, [u8]>,
    value: Held<'a>,
    state: State,
}

/// Attributes of one message.
#[derive(Clone, Debug, Default)]
pub struct Map<'a> {
    entries: Vec<Entry<'a>>,
    changed: bool,
}

impl<'a> Map<'a> {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.changed = false;
    }

    /// Takes an attribute as the request has it.
    pub(super) fn read(&mut self, at: Span, pair: &'a [u8]) -> Result<(), Malformed> {
        let (key, value) = key_value(pair)?;
        self.entries.push(Entry {
            at: Some(at),
            key: Cow::Borrowed(key),
            value: Held::Wire(value),
            state: State::Kept,
        });
        Ok(())
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        self.entries
            .iter()
            .rposition(|entry| entry.key == key && entry.state != State::Gone)
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<AnyValue<'_>> {
        self.find(key)
            .and_then(|at| self.entries.get(at))
            .map(|entry| entry.value.any())
    }

    /// The value of `key`, to be put elsewhere.
    pub fn held(&self, key: &[u8]) -> Option<Held<'a>> {
        self.find(key)
            .and_then(|at| self.entries.get(at))
            .map(|entry| entry.value.clone())
    }

    /// All of them, as they are now.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], AnyValue<'_>)> {
        let live = self.entries.iter().filter(|entry| entry.state != State::Gone);
        live.map(|entry| (entry.key.as_ref(), entry.value.any()))
    }

    /// Gives `key` this value, whether it was there or not.
    pub fn set(&mut self, key: impl Into<Cow<'a, [u8]>>, value: Held<'a>) {
        let key = key.into();
        let Some(at) = self.find(&key) else {
            self.changed = true;
            self.entries.push(Entry {
                at: None,
                key,
                value,
                state: State::Written,
            });
            return;
        };
        let (before, rest) = self.entries.split_at_mut(at);
        for twin in before
            .iter_mut()
            .filter(|entry| entry.key == key && entry.state != State::Gone)
        {
            twin.state = State::Gone;
            self.changed = true;
        }
        if let Some(entry) = rest.first_mut().filter(|e| e.value.encoded() != value.encoded()) {
            entry.value = value;
            entry.state = State::Written;
            self.changed = true;
        }
    }

    /// Takes `key` out; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let before = self.changed;
        self.changed = false;
        self.retain(|other| other != key);
        let removed = self.changed;
        self.changed |= before;
        removed
    }

    /// Takes out every key that `keep` does not hold for.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        for entry in &mut self.entries {
            if entry.state != State::Gone && !keep(&entry.key) {
                entry.state = State::Gone;
                self.changed = true;
            }
        }
    }

    /// Gives new values to those that `change` has one for.
    pub fn change_each(&mut self, mut change: impl FnMut(&[u8], AnyValue<'_>) -> Option<Held<'a>>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.state != State::Gone) {
            let Some(value) = change(&entry.key, entry.value.any()) else {
                continue;
            };
            if entry.value.encoded() != value.encoded() {
                entry.value = value;
                entry.state = State::Written;
                self.changed = true;
            }
        }
    }

    /// Whether there is something to write: what was added and taken out again is not.
    pub(super) fn is_changed(&self) -> bool {
        let matters = |entry: &Entry<'_>| match entry.state {
            State::Kept => false,
            State::Written => true,
            State::Gone => entry.at.is_some(),
        };
        self.changed && self.entries.iter().any(matters)
    }

    /// Writes what was done within `piece`, as fields `number`; new ones too if it is the `last` piece.
    pub(super) fn write(&self, out: &mut Splices, number: u64, piece: Piece, last: bool) {
        if !self.changed {
            return;
        }
        for entry in &self.entries {
            match (entry.at, entry.state) {
                (_, State::Kept) => {}
                (Some(at), _) if !piece.content.holds(at) => {}
                (Some(at), State::Gone) => out.remove(at),
                (Some(at), State::Written) => out.replace_with(at, |arena| entry.put(arena, number)),
                (None, State::Written) if last => {
                    let end = Span::new(piece.content.end, piece.content.end);
                    out.replace_with(end, |arena| entry.put(arena, number));
                }
                (None, _) => {}
            }
        }
    }

    /// Appends all of them as fields `number` of a message that is made anew.
    pub(super) fn put(&self, out: &mut Vec<u8>, number: u64) {
        for entry in self.entries.iter().filter(|entry| entry.state != State::Gone) {
            entry.put(out, number);
        }
    }
}

impl Entry<'_> {
    /// `number: { 1: key, 2: value }`
    fn put(&self, out: &mut Vec<u8>, number: u64) {
        let value = self.value.encoded();
        let (key_len, value_len) = (self.key.len(), value.len());
        let inside = 2 + key_len + varint_len(key_len as u64) + value_len + varint_len(value_len as u64);
        put_varint(out, number << 3 | 2);
        put_varint(out, inside as u64);
        super::splices::put_bytes(out, 1, &self.key);
        super::splices::put_bytes(out, 2, &value);
    }
}
