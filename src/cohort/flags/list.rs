//! The grammar of an attribute that lists flags.
//!
//! 1. array of strings: `a`, `a=on`, `a:on`, `!a`, `-a`
//! 2. array of objects: `{key|name|flag, variant|value|enabled}`
//! 3. object: flag -> value
//! 4. text: empty, or items as in 1, separated by `,` `;` `|` or white space; spaces around `=` and `:`
//!    belong to the item
//! 5. text that starts with `{` or `[`: the JSON form of 1 to 3, or it is refused whole
//! 6. a bool, a number, bytes: not a list
//!
//! An item without a value is `on`, `!a` and `-a` are `off`, the first `=` (else the first `:`) splits, and
//! of duplicates the last counts. At most 4 KiB are read: what lies beyond is unknown, so such a list implies
//! no absence.

use super::resolve::Mentions;
use super::variant::{Variant, flag_key, from_text, key_text, normalise};
use super::{OFF, ON, Rank, json};
use crate::wire::{AnyValue, List, Value};
use std::borrow::Cow;

/// Bytes read of one list.
pub(super) const LIST_MAX: usize = 4_096;

/// Why a value is not read as a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListError {
    /// A bool, a number, bytes: something else goes by the attribute's name.
    NotAList,
    /// Text that is not UTF-8, or starts like JSON and is none: a list that cannot be understood.
    Unreadable,
}

/// Reads a list's items into `out`. `Ok(false)` when the list was too long to be read to its end.
pub(crate) fn read_list(
    value: AnyValue<'_>,
    negation: bool,
    rank: Rank,
    out: &mut Mentions,
) -> Result<bool, ListError> {
    let mut items = Items { negation, rank, out };
    match value.value().map_err(|_| ListError::Unreadable)? {
        Value::Str(text) => {
            let text = simdutf8::basic::from_utf8(text).map_err(|_| ListError::Unreadable)?;
            items.text(text)
        }
        Value::Array(list) => Ok(items.array(list)),
        Value::KvList(list) => Ok(items.map(list)),
        Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Bytes(_) => {
            Err(ListError::NotAList)
        }
    }
}

/// Reads items that come one by one, as those of form 1.
pub(crate) fn read_items<'i>(
    items: impl Iterator<Item = &'i str>,
    negation: bool,
    rank: Rank,
    out: &mut Mentions,
) {
    let mut reader = Items { negation, rank, out };
    items.for_each(|item| reader.string_item(item));
}

/// Where items go.
pub(super) struct Items<'o> {
    negation: bool,
    rank: Rank,
    out: &'o mut Mentions,
}

impl Items<'_> {
    fn text(&mut self, text: &str) -> Result<bool, ListError> {
        let text = text.trim();
        if text.starts_with(['{', '[']) {
            return json::read(text, self).map(|()| true);
        }
        let is_bool = ["true", "false"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
        if is_bool || text.parse().is_ok_and(f64::is_finite) {
            return Err(ListError::NotAList);
        }
        let (read, complete) = first_bytes(text);
        for piece in read.split([',', ';', '|']) {
            split_words(piece, |item| self.item(item));
        }
        Ok(complete)
    }

    fn array(&mut self, list: List<'_>) -> bool {
        let mut room = LIST_MAX;
        for item in AnyValue::array_items(list) {
            let value = item.and_then(AnyValue::value);
            let Some(left) = room.checked_sub(size(value.as_ref().ok())) else {
                return false;
            };
            room = left;
            match value {
                Ok(Value::Str(text)) => match simdutf8::basic::from_utf8(text) {
                    Ok(text) => self.string_item(text),
                    Err(_) => self.invalid(),
                },
                Ok(Value::KvList(pairs)) => self.object(pairs),
                _ => self.invalid(),
            }
        }
        true
    }

    /// Form 3.
    fn map(&mut self, list: List<'_>) -> bool {
        let mut room = LIST_MAX;
        for pair in AnyValue::kvlist_items(list) {
            let Ok((key, value)) = pair else {
                self.invalid();
                continue;
            };
            let cost = key.len() + size(value.value().ok().as_ref());
            let Some(left) = room.checked_sub(cost) else {
                return false;
            };
            room = left;
            self.pair(flag_key(key), map_value(value));
        }
        true
    }

    /// Form 2.
    fn object(&mut self, pairs: List<'_>) {
        let key = member(pairs, &KEY_MEMBERS).and_then(AnyValue::as_str);
        let variant = match member(pairs, &VALUE_MEMBERS) {
            Some(value) => normalise(value),
            None => Some(Cow::Borrowed(ON)),
        };
        self.pair(key.and_then(flag_key), variant);
    }

    /// One string of form 1; an empty one is no item.
    pub(super) fn string_item(&mut self, item: &str) {
        if !item.trim().is_empty() {
            self.item(item);
        }
    }

    /// One item of form 1 or 4.
    fn item(&mut self, item: &str) {
        let item = item.trim();
        if self.negation
            && let Some(flag) = item.strip_prefix(['!', '-'])
        {
            return self.pair(key_text(flag), Some(Cow::Borrowed(OFF)));
        }
        match item.split_once('=').or_else(|| item.split_once(':')) {
            Some((flag, variant)) => self.pair(key_text(flag), from_text(variant)),
            None => self.pair(key_text(item), Some(Cow::Borrowed(ON))),
        }
    }

    /// A flag and what the list says of it. A flag without a usable variant is still mentioned: it is not
    /// absent.
    pub(super) fn pair(&mut self, flag: Option<&str>, variant: Option<Variant>) {
        if flag.is_none() || variant.is_none() {
            self.invalid();
        }
        if let Some(flag) = flag {
            self.out.push(self.rank, flag, variant);
        }
    }

    pub(super) fn invalid(&mut self) {
        self.out.invalid();
    }
}

/// Members of an object that may hold the flag's key, the first present counts.
pub(super) const KEY_MEMBERS: [&str; 3] = ["key", "name", "flag"];

/// Members of an object that may hold its variant, the first present counts.
pub(super) const VALUE_MEMBERS: [&str; 3] = ["variant", "value", "enabled"];

/// What a value takes of [`LIST_MAX`]; never nothing, so that a list of nothings ends too.
fn size(value: Option<&Value<'_>>) -> usize {
    match value {
        Some(Value::Str(text)) => text.len().max(1),
        Some(Value::KvList(pairs)) => AnyValue::kvlist_items(*pairs).take(LIST_MAX).count().max(1),
        _ => 1,
    }
}

/// The value of form 3: plain, or an object with one of [`VALUE_MEMBERS`].
fn map_value(value: AnyValue<'_>) -> Option<Variant> {
    if let Ok(Value::KvList(pairs)) = value.value()
        && let Some(inner) = member(pairs, &VALUE_MEMBERS)
    {
        return normalise(inner);
    }
    normalise(value)
}

/// The first of `names` that the pairs hold with a value.
fn member<'a>(pairs: List<'a>, names: &[&str]) -> Option<AnyValue<'a>> {
    names.iter().find_map(|name| {
        AnyValue::kvlist_items(pairs)
            .filter_map(Result::ok)
            .filter(|(key, _)| *key == name.as_bytes())
            .map(|(_, value)| value)
            .filter(|value| !matches!(value.value(), Ok(Value::Empty) | Err(_)))
            .last()
    })
}

/// At most [`LIST_MAX`] bytes of `text`, up to the last whole item, and whether that is all.
fn first_bytes(text: &str) -> (&str, bool) {
    if text.len() <= LIST_MAX {
        return (text, true);
    }
    let head = &text[..text.floor_char_boundary(LIST_MAX)];
    let end = head
        .rfind([',', ';', '|'])
        .or_else(|| head.rfind(char::is_whitespace))
        .unwrap_or(0);
    (&head[..end], false)
}

/// Splits at white space, but not around `=` and `:`.
fn split_words<'t>(piece: &'t str, mut item: impl FnMut(&'t str)) {
    let mut open: Option<std::ops::Range<usize>> = None;
    for word in piece.split_whitespace() {
        // `word` is a part of `piece`: the first place where it stands behind the words before it is its
        // place.
        let behind = open.as_ref().map_or(0, |range| range.end);
        let at = behind + piece[behind..].find(word).unwrap_or(0);
        let end = at + word.len();
        open = match open {
            Some(range) if word.starts_with(['=', ':']) || piece[range.clone()].ends_with(['=', ':']) => {
                Some(range.start..end)
            }
            Some(range) => {
                item(&piece[range]);
                Some(at..end)
            }
            None => Some(at..end),
        };
    }
    if let Some(range) = open {
        item(&piece[range]);
    }
}
