//! Values of attributes, read from the wire or made here.

use super::splices::{put_bytes, put_varint};
use crate::wire::AnyValue;
use std::borrow::Cow;

/// An encoded AnyValue: a part of the request (or of a rule), or bytes of its own.
#[derive(Clone, Debug)]
pub enum Held<'a> {
    /// Borrowed.
    Wire(AnyValue<'a>),
    /// Made here.
    Own(Vec<u8>),
}

impl Held<'_> {
    /// A text; its bytes are taken as they are.
    pub fn text(text: &[u8]) -> Self {
        let mut out = Vec::with_capacity(text.len() + 3);
        put_bytes(&mut out, 1, text);
        Self::Own(out)
    }

    /// Bytes.
    pub fn bytes(bytes: &[u8]) -> Self {
        let mut out = Vec::with_capacity(bytes.len() + 3);
        put_bytes(&mut out, 7, bytes);
        Self::Own(out)
    }

    /// A truth.
    pub fn bool(yes: bool) -> Self {
        Self::Own(vec![2 << 3, u8::from(yes)])
    }

    /// A whole number.
    pub fn int(number: i64) -> Self {
        let mut out = Vec::with_capacity(11);
        out.push(3 << 3);
        put_varint(&mut out, number.cast_unsigned());
        Self::Own(out)
    }

    /// Another number.
    pub fn double(number: f64) -> Self {
        let mut out = Vec::with_capacity(9);
        out.push(4 << 3 | 1);
        out.extend_from_slice(&number.to_le_bytes());
        Self::Own(out)
    }

    /// A list.
    pub fn list<'v>(values: impl IntoIterator<Item = Held<'v>>) -> Self {
        let mut items = Vec::new();
        for value in values {
            put_bytes(&mut items, 1, &value.any().encoded());
        }
        let mut out = Vec::with_capacity(items.len() + 6);
        put_bytes(&mut out, 5, &items);
        Self::Own(out)
    }

    /// To be read.
    pub fn any(&self) -> AnyValue<'_> {
        match self {
            Self::Wire(value) => *value,
            Self::Own(bytes) => AnyValue::new(bytes),
        }
    }

    /// Its encoding.
    pub(super) fn encoded(&self) -> Cow<'_, [u8]> {
        self.any().encoded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Value;

    #[test]
    fn what_is_made_here_reads_as_it_was_meant() {
        let double = -0.5;
        for (held, value) in [
            (Held::text(b"on"), Value::Str(b"on")),
            (Held::text(b""), Value::Str(b"")),
            (Held::bytes(b"\xff"), Value::Bytes(b"\xff")),
            (Held::bool(true), Value::Bool(true)),
            (Held::bool(false), Value::Bool(false)),
            (Held::int(-7), Value::Int(-7)),
            (Held::double(double), Value::Double(double)),
        ] {
            assert_eq!(held.any().value(), Ok(value));
        }
        let list = Held::list([Held::int(1), Held::text(b"b")]);
        let Ok(Value::Array(items)) = list.any().value() else {
            panic!("{list:?}")
        };
        let items: Vec<_> = AnyValue::array_items(items)
            .map(|item| item.unwrap().value().unwrap())
            .collect();
        assert_eq!(items, [Value::Int(1), Value::Str(b"b")]);
    }
}
