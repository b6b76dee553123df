//! The identity of a series: family, resource, and the value of each dimension in its place.
//!
//! A value stands behind its kind and its length, and one that is missing is a kind too. So `sha` missing
//! with flags `x` and `sha` `x` with flags missing are two keys, as are the text `1` and the number 1,
//! which a join of texts by a separator would confuse. The attributes of a series are read back from its
//! key; nothing else is stored of them.

use crate::forward::attribute;
use crate::wire::{AnyValue, Value};
use prost::encoding::{decode_varint, encode_varint};
use sha2::{Digest, Sha256};

use super::proto;

/// Bytes of a value; a longer one is cut, and its hash told.
const VALUE_MAX: usize = 1024;

const MISSING: u8 = 0;
const TEXT: u8 = 1;
const BOOL: u8 = 2;
const INT: u8 = 3;
const DOUBLE: u8 = 4;
const BYTES: u8 = 5;

/// No value.
pub(super) fn put_missing(key: &mut Vec<u8>) {
    key.push(MISSING);
}

/// A text. What is not UTF-8 gets replacement characters, as it could not be told otherwise.
pub(super) fn put_text(key: &mut Vec<u8>, text: &[u8]) {
    if simdutf8::basic::from_utf8(text).is_ok() {
        put_bytes(key, TEXT, text);
    } else {
        put_bytes(key, TEXT, String::from_utf8_lossy(text).as_bytes());
    }
}

fn put_bytes(key: &mut Vec<u8>, kind: u8, content: &[u8]) {
    key.push(kind);
    if content.len() <= VALUE_MAX {
        encode_varint(content.len() as u64, key);
        key.extend_from_slice(content);
        return;
    }
    let room = VALUE_MAX - 20;
    let boundary = |at: &usize| kind != TEXT || content.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let end = (0..=room).rev().find(boundary).unwrap_or(0);
    let hash = hex::encode(Sha256::digest(content).get(..8).unwrap_or_default());
    encode_varint((end + 1 + hash.len()) as u64, key);
    key.extend_from_slice(&content[..end]);
    key.push(b'~');
    key.extend_from_slice(hash.as_bytes());
}

/// True or false.
pub(super) fn put_bool(key: &mut Vec<u8>, yes: bool) {
    key.extend_from_slice(&[BOOL, u8::from(yes)]);
}

/// A whole number.
pub(super) fn put_int(key: &mut Vec<u8>, number: i64) {
    key.push(INT);
    key.extend_from_slice(&number.to_le_bytes());
}

/// A number.
pub(super) fn put_double(key: &mut Vec<u8>, number: f64) {
    key.push(DOUBLE);
    key.extend_from_slice(&number.to_bits().to_le_bytes());
}

/// A value of any kind; lists become text. One that cannot be read is missing.
pub(super) fn put_value(key: &mut Vec<u8>, any: AnyValue<'_>) {
    match any.value() {
        Ok(Value::Str(text)) => put_text(key, text),
        Ok(Value::Bool(yes)) => put_bool(key, yes),
        Ok(Value::Int(number)) => put_int(key, number),
        Ok(Value::Double(number)) => put_double(key, number),
        Ok(Value::Bytes(bytes)) => put_bytes(key, BYTES, bytes),
        Ok(Value::Array(_) | Value::KvList(_)) => {
            let mut text = String::new();
            match attribute::push_text(&mut text, any) {
                Ok(()) => put_bytes(key, TEXT, text.as_bytes()),
                Err(_) => put_missing(key),
            }
        }
        Ok(Value::Empty) => put_text(key, b""),
        Err(_) => put_missing(key),
    }
}

/// A key of an attribute, whose value follows.
pub(super) fn put_name(key: &mut Vec<u8>, name: &[u8]) {
    put_text(key, name);
}

/// A key while it is read back.
#[derive(Clone, Debug)]
pub(super) struct Parts<'k>(pub(super) &'k [u8]);

impl<'k> Parts<'k> {
    /// The next so many bytes.
    fn bytes(&mut self, length: usize) -> Option<&'k [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn counted(&mut self) -> Option<&'k [u8]> {
        let length = decode_varint(&mut self.0).ok()?;
        self.bytes(usize::try_from(length).ok()?)
    }

    /// The text of the next value, if it is one.
    pub(super) fn text(&mut self) -> Option<&'k [u8]> {
        match self.bytes(1)? {
            [TEXT] => self.counted(),
            _ => None,
        }
    }

    /// The next value as an encoded AnyValue in `any`; false when it is missing.
    pub(super) fn any(&mut self, any: &mut Vec<u8>) -> Option<bool> {
        any.clear();
        match self.bytes(1)? {
            [MISSING] => return Some(false),
            [TEXT] => proto::bytes(any, 1, self.counted()?),
            [BOOL] => proto::varint(any, 2, u64::from(*self.bytes(1)?.first()?)),
            [INT] => {
                let number = u64::from_le_bytes(*self.bytes(8)?.first_chunk()?);
                proto::varint(any, 3, number);
            }
            [DOUBLE] => proto::fixed64(any, 4, u64::from_le_bytes(*self.bytes(8)?.first_chunk()?)),
            [BYTES] => proto::bytes(any, 7, self.counted()?),
            _ => return None,
        }
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_never_looks_like_its_neighbour() {
        let key = |parts: &[Option<&str>]| {
            let mut key = Vec::new();
            for part in parts {
                match part {
                    Some(text) => put_text(&mut key, text.as_bytes()),
                    None => put_missing(&mut key),
                }
            }
            key
        };
        let keys = [
            key(&[None, Some("x")]),
            key(&[Some("x"), None]),
            key(&[Some("x"), Some("")]),
            key(&[Some(""), Some("x")]),
            key(&[Some("x\0")]),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn values_come_back_as_they_were() {
        for any in [
            &[0x0a, 1, b'x'][..],
            &[0x10, 1],
            &[0x18, 0xc8, 1],
            &[0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
            &[0x3a, 2, 0, 1],
        ] {
            let mut key = Vec::new();
            put_value(&mut key, AnyValue::new(any));
            let (mut back, mut parts) = (Vec::new(), Parts(&key));
            assert_eq!(parts.any(&mut back), Some(true));
            assert_eq!((back.as_slice(), parts.0), (any, &[][..]));
        }
    }

    #[test]
    fn long_values_are_cut_and_stay_apart() {
        let key = |text: &str| {
            let mut key = Vec::new();
            put_text(&mut key, text.as_bytes());
            key
        };
        let (one, two) = (
            key(&("\u{e9}".repeat(2000) + "1")),
            key(&("\u{e9}".repeat(2000) + "2")),
        );
        assert!(one != two && one.len() <= VALUE_MAX + 3);
        assert!(std::str::from_utf8(Parts(&one).text().unwrap()).is_ok());
    }
}
