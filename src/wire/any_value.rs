//! OTLP's AnyValue, borrowed and parsed only when somebody asks.

use super::Malformed;

/// The encoded bytes of one AnyValue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnyValue<'a>(pub &'a [u8]);

/// What an AnyValue holds. Strings are bytes here: UTF-8 is checked once, when a name is interned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value was set.
    Empty,
    /// `string_value`, unchecked bytes.
    Str(&'a [u8]),
    /// `bool_value`.
    Bool(bool),
    /// `int_value`.
    Int(i64),
    /// `double_value`.
    Double(f64),
    /// `array_value`: the encoded ArrayValue; iterate with [`AnyValue::array_items`].
    Array(&'a [u8]),
    /// `kvlist_value`: the encoded KeyValueList; iterate with [`AnyValue::kvlist_items`].
    KvList(&'a [u8]),
    /// `bytes_value`.
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Parses the outermost level.
    pub fn value(self) -> Result<Value<'a>, Malformed> {
        Err(Malformed)
    }

    /// The elements of an encoded ArrayValue.
    pub fn array_items(_array: &'a [u8]) -> impl Iterator<Item = Result<AnyValue<'a>, Malformed>> {
        std::iter::empty()
    }

    /// The pairs of an encoded KeyValueList.
    pub fn kvlist_items(_list: &'a [u8]) -> impl Iterator<Item = Result<(&'a [u8], AnyValue<'a>), Malformed>> {
        std::iter::empty()
    }
}
