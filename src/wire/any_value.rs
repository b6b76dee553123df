//! OTLP's AnyValue and KeyValue, borrowed and parsed only when somebody asks.
//!
//! Protobuf merges an embedded message that occurs twice. So the value of a KeyValue may be spread over
//! several `value` fields, and a list over several `array_value` fields. Nobody sends this on purpose, but
//! what prost reads we must read too: such a value keeps the bytes of the message around it and gathers its
//! pieces whenever it is read. No bytes are copied, and values in one piece (all of them, in practice) do not
//! pay.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use super::Malformed;
use super::reader::{Reader, fixed64, len, varint};
use std::borrow::Cow;
use std::hash::{Hash, Hasher};

mod field {
    use super::{fixed64, len, varint};
    pub(super) const STRING: u64 = len(1);
    pub(super) const BOOL: u64 = varint(2);
    pub(super) const INT: u64 = varint(3);
    pub(super) const DOUBLE: u64 = fixed64(4);
    pub(super) const ARRAY: u64 = len(5);
    pub(super) const KV_LIST: u64 = len(6);
    pub(super) const BYTES: u64 = len(7);
    pub(super) const STRING_INDEX: u64 = varint(8);
    pub(super) const VALUE_KNOWN: u32 = 0b1_1111_1110;

    pub(super) const BODY: u64 = len(5);

    pub(super) const KEY: u64 = len(1);
    pub(super) const VALUE: u64 = len(2);
    pub(super) const KEY_INDEX: u64 = varint(3);
    pub(super) const KEY_VALUE_KNOWN: u32 = 0b1110;

    pub(super) const ITEM: u64 = len(1);
    pub(super) const LIST_KNOWN: u32 = 0b10;
}

/// Levels that [`AnyValue::nests_deeper_than`] follows at most, whatever it is asked: prost's recursion
/// limit.
const NESTING_MAX: u32 = 100;

/// One AnyValue, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyValue<'a> {
    bytes: &'a [u8],
    form: Form,
}

/// Hashes the bytes alone: values whose forms alone differ are rarer than collisions.
impl Hash for AnyValue<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// What the bytes of an AnyValue are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The encoded AnyValue.
    Whole,
    /// A KeyValue with several `value` fields, which merge.
    Pieces,
    /// A LogRecord with several `body` fields, which merge.
    Bodies,
}

impl Form {
    /// The tag of the pieces in the message around them.
    const fn piece(self) -> u64 {
        match self {
            Self::Whole | Self::Pieces => field::VALUE,
            Self::Bodies => field::BODY,
        }
    }
}

/// What an AnyValue holds. Strings are bytes here: UTF-8 is checked once, when a name is interned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value was set (or a `string_value_strindex`, which only profiles may use).
    Empty,
    /// `string_value`, unchecked bytes.
    Str(&'a [u8]),
    /// `bool_value`.
    Bool(bool),
    /// `int_value`.
    Int(i64),
    /// `double_value`.
    Double(f64),
    /// `array_value`; iterate with [`AnyValue::array_items`].
    Array(List<'a>),
    /// `kvlist_value`; iterate with [`AnyValue::kvlist_items`].
    KvList(List<'a>),
    /// `bytes_value`.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes of a string.
    pub fn as_str(self) -> Option<&'a [u8]> {
        if let Value::Str(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// A bool.
    pub fn as_bool(self) -> Option<bool> {
        if let Value::Bool(yes) = self {
            Some(yes)
        } else {
            None
        }
    }

    /// An integer.
    pub fn as_i64(self) -> Option<i64> {
        if let Value::Int(number) = self {
            Some(number)
        } else {
            None
        }
    }

    /// An integer or a double, as a double.
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(number as f64),
            Value::Double(number) => Some(number),
            _ => None,
        }
    }
}

/// An encoded ArrayValue or KeyValueList.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    source: AnyValue<'a>,
    tag: u64,
    /// Pieces before this one were replaced by another kind of value.
    first_piece: u32,
}

impl<'a> AnyValue<'a> {
    /// A value that was sent without content.
    pub const EMPTY: AnyValue<'static> = AnyValue {
        bytes: &[],
        form: Form::Whole,
    };

    /// The value whose encoding is `bytes`.
    #[inline(always)]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            form: Form::Whole,
        }
    }

    /// The `body` of a LogRecord that has several of them.
    pub(super) const fn bodies(record: &'a [u8]) -> Self {
        Self {
            bytes: record,
            form: Form::Bodies,
        }
    }

    /// Parses the outermost level. Of several values the last counts; lists of one kind in a row are one
    /// list.
    #[inline]
    pub fn value(self) -> Result<Value<'a>, Malformed> {
        if self.form == Form::Whole {
            let mut reader = Reader::new(self.bytes);
            let value = if reader.take_tag(field::STRING) {
                Value::Str(reader.bytes()?)
            } else if reader.take_tag(field::INT) {
                Value::Int(reader.varint()?.cast_signed())
            } else if reader.take_tag(field::ARRAY) {
                reader.bytes()?;
                Value::Array(List {
                    source: self,
                    tag: field::ARRAY,
                    first_piece: 0,
                })
            } else {
                return self.value_of_any_shape();
            };
            if reader.is_empty() {
                return Ok(value);
            }
        }
        self.value_of_any_shape()
    }

    fn value_of_any_shape(self) -> Result<Value<'a>, Malformed> {
        let mut value = Value::Empty;
        let mut fields = self.fields();
        let (mut arrays, mut lists) = (0, 0);
        while let Some(tag) = fields.tag()? {
            let reader = &mut fields.inner;
            match tag {
                field::STRING => value = Value::Str(reader.bytes()?),
                field::BOOL => value = Value::Bool(reader.varint()? != 0),
                field::INT => value = Value::Int(reader.varint()?.cast_signed()),
                field::DOUBLE => value = Value::Double(f64::from_bits(reader.fixed64()?)),
                field::BYTES => value = Value::Bytes(reader.bytes()?),
                field::ARRAY => {
                    reader.bytes()?;
                    if !matches!(value, Value::Array(_)) {
                        value = Value::Array(List {
                            source: self,
                            tag,
                            first_piece: arrays,
                        });
                    }
                    arrays += 1;
                }
                field::KV_LIST => {
                    reader.bytes()?;
                    if !matches!(value, Value::KvList(_)) {
                        value = Value::KvList(List {
                            source: self,
                            tag,
                            first_piece: lists,
                        });
                    }
                    lists += 1;
                }
                field::STRING_INDEX => {
                    reader.varint()?;
                    value = Value::Empty;
                }
                _ => reader.skip_unless_known(tag, field::VALUE_KNOWN)?,
            }
        }
        Ok(value)
    }

    /// The encoding of this value. Several pieces become one: messages merge when they stand one behind
    /// another.
    pub fn encoded(self) -> Cow<'a, [u8]> {
        if self.form == Form::Whole {
            return Cow::Borrowed(self.bytes);
        }
        let mut whole = Vec::with_capacity(self.bytes.len());
        let mut fields = Reader::new(self.bytes);
        while let Ok(Some(tag)) = fields.tag() {
            let read = match tag {
                _ if tag == self.form.piece() => fields.bytes().map(|piece| whole.extend_from_slice(piece)),
                _ => fields.skip(tag),
            };
            if read.is_err() {
                break;
            }
        }
        Cow::Owned(whole)
    }

    /// The bytes of a string value; `None` for any other kind, and for bytes that are no AnyValue.
    #[inline]
    pub fn as_str(self) -> Option<&'a [u8]> {
        self.value().ok()?.as_str()
    }

    /// The elements of an array. After an error the iteration ends.
    pub fn array_items(array: List<'a>) -> impl Iterator<Item = Result<AnyValue<'a>, Malformed>> {
        Items::new(array).map(|item| item.map(AnyValue::new))
    }

    /// The pairs of a list of pairs. After an error the iteration ends.
    pub fn kvlist_items(list: List<'a>) -> impl Iterator<Item = Result<(&'a [u8], AnyValue<'a>), Malformed>> {
        Items::new(list).map(|item| item.and_then(key_value))
    }

    /// Whether lists nest deeper than `levels` in this value: a scalar has 0 levels, a list of scalars 1.
    /// Values that can not be parsed do not count; whoever reads them meets [`Malformed`].
    #[inline]
    pub fn nests_deeper_than(self, levels: u32) -> bool {
        let levels = levels.min(NESTING_MAX);
        self.may_nest_beyond(levels) && self.nests_beyond(levels)
    }

    /// A level needs four bytes (the list's tag and length, its item's tag and length), the innermost list
    /// two. Most values are too short to nest too deep, and need not be looked into.
    #[inline(always)]
    fn may_nest_beyond(self, levels: u32) -> bool {
        let scalar = self.form == Form::Whole
            && matches!(self.bytes, [tag, length, rest @ ..]
                if u64::from(*tag) == field::STRING && usize::from(*length) == rest.len() && *length < 0x80);
        self.bytes.len() >= levels as usize * 4 + 2 && !scalar
    }

    fn nests_beyond(self, levels: u32) -> bool {
        let deeper = |item: Self| {
            let levels = levels.saturating_sub(1);
            item.may_nest_beyond(levels) && item.nests_beyond(levels)
        };
        match self.value() {
            Ok(Value::Array(_) | Value::KvList(_)) if levels == 0 => true,
            Ok(Value::Array(list)) => Self::array_items(list).flatten().any(deeper),
            Ok(Value::KvList(list)) => Self::kvlist_items(list).flatten().any(|(_, item)| deeper(item)),
            _ => false,
        }
    }

    /// The fields of this AnyValue, over all its pieces.
    fn fields(self) -> Fields<'a> {
        match self.form {
            Form::Whole => Fields {
                outer: Reader::new(&[]),
                inner: Reader::new(self.bytes),
                piece: self.form.piece(),
            },
            Form::Pieces | Form::Bodies => Fields {
                outer: Reader::new(self.bytes),
                inner: Reader::new(&[]),
                piece: self.form.piece(),
            },
        }
    }
}

/// The fields of an AnyValue in one or several pieces.
#[derive(Clone, Debug)]
struct Fields<'a> {
    /// The KeyValue or LogRecord that holds further pieces.
    outer: Reader<'a>,
    /// The current piece.
    inner: Reader<'a>,
    /// The tag of pieces in `outer`.
    piece: u64,
}

impl Fields<'_> {
    fn tag(&mut self) -> Result<Option<u64>, Malformed> {
        loop {
            if let Some(tag) = self.inner.tag()? {
                return Ok(Some(tag));
            }
            match self.outer.tag()? {
                None => return Ok(None),
                Some(tag) if tag == self.piece => self.inner = Reader::new(self.outer.bytes()?),
                Some(other) => self.outer.skip(other)?,
            }
        }
    }
}

/// The encoded elements of a [`List`].
#[derive(Debug)]
struct Items<'a> {
    fields: Fields<'a>,
    tag: u64,
    /// Pieces still to be passed over.
    replaced: u32,
    piece: Reader<'a>,
}

impl<'a> Items<'a> {
    fn new(list: List<'a>) -> Self {
        Self {
            fields: list.source.fields(),
            tag: list.tag,
            replaced: list.first_piece,
            piece: Reader::new(&[]),
        }
    }

    fn advance(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        loop {
            while let Some(tag) = self.piece.tag()? {
                if tag == field::ITEM {
                    return self.piece.bytes().map(Some);
                }
                self.piece.skip_unless_known(tag, field::LIST_KNOWN)?;
            }
            let Some(tag) = self.fields.tag()? else {
                return Ok(None);
            };
            if tag != self.tag {
                self.fields.inner.skip(tag)?;
                continue;
            }
            let piece = self.fields.inner.bytes()?;
            if self.replaced == 0 {
                self.piece = Reader::new(piece);
            } else {
                self.replaced -= 1;
            }
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if matches!(item, Some(Err(_))) {
            self.piece = Reader::new(&[]);
            self.fields = AnyValue::EMPTY.fields();
        }
        item
    }
}

/// The tags of a KeyValue's fields, as the one byte that they take.
const KEY_BYTE: u8 = field::KEY.to_le_bytes()[0];
const VALUE_BYTE: u8 = field::VALUE.to_le_bytes()[0];

/// Reads a KeyValue of the usual shape: a short key, and then one value up to the end. `None` is any other
/// shape, broken ones included, for [`key_value_of_any_shape`]. An `Option` of two slices stays in registers,
/// which a `Result` that either path may fill did not; patterns check a bound once for all their bytes, where
/// a cursor checks each.
#[inline(always)]
pub(super) fn usual_key_value(pair: &[u8]) -> Option<(&[u8], AnyValue<'_>)> {
    let [KEY_BYTE, length @ 0..=0x7f, rest @ ..] = pair else {
        return None;
    };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, value) = match rest {
        [VALUE_BYTE, length @ 0..=0x7f, value @ ..] => (usize::from(*length), value),
        [VALUE_BYTE, low, high @ 0..=0x7f, value @ ..] => {
            (usize::from(*low & 0x7f) | usize::from(*high) << 7, value)
        }
        _ => return None,
    };
    (value.len() == length).then_some((key, AnyValue::new(value)))
}

/// Reads a KeyValue.
#[inline]
pub(super) fn key_value(pair: &[u8]) -> Result<(&[u8], AnyValue<'_>), Malformed> {
    match usual_key_value(pair) {
        Some(usual) => Ok(usual),
        None => key_value_of_any_shape(pair),
    }
}

#[cold]
pub(super) fn key_value_of_any_shape(pair: &[u8]) -> Result<(&[u8], AnyValue<'_>), Malformed> {
    let mut reader = Reader::new(pair);
    let mut key: &[u8] = &[];
    let mut value = AnyValue::EMPTY;
    let mut values = 0u32;
    while let Some(tag) = reader.tag()? {
        match tag {
            field::KEY => key = reader.bytes()?,
            field::VALUE => {
                value = AnyValue::new(reader.bytes()?);
                values = values.saturating_add(1);
            }
            field::KEY_INDEX => drop(reader.varint()?),
            _ => reader.skip_unless_known(tag, field::KEY_VALUE_KNOWN)?,
        }
    }
    if values > 1 {
        value = AnyValue {
            bytes: pair,
            form: Form::Pieces,
        };
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: List<'_>) -> Vec<&[u8]> {
        AnyValue::array_items(list)
            .map(|item| item.unwrap().as_str().unwrap())
            .collect()
    }

    /// AnyValue { array_value { values { string_value: text } } }
    fn array_of(text: u8) -> Vec<u8> {
        vec![0x2a, 5, 0x0a, 3, 0x0a, 1, text]
    }

    /// AnyValue { array_value { AnyValue { array_value { ... "levels" of them } } } }
    fn nested(levels: usize) -> Vec<u8> {
        (0..levels).fold(Vec::new(), |inner, _| {
            let mut item = vec![0x0a];
            prost::encoding::encode_varint(inner.len() as u64, &mut item);
            item.extend(inner);
            let mut array = vec![0x2a];
            prost::encoding::encode_varint(item.len() as u64, &mut array);
            array.extend(item);
            array
        })
    }

    #[test]
    fn each_kind_is_read() {
        let cases: [(&[u8], Value<'_>); 8] = [
            (&[], Value::Empty),
            (&[0x0a, 2, b'o', b'n'], Value::Str(b"on")),
            (&[0x10, 1], Value::Bool(true)),
            (&[0x10, 0x80, 0x02], Value::Bool(true)),
            (&[0x18, 0xc8, 0x01], Value::Int(200)),
            (&[0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f], Value::Double(1.0)),
            (&[0x3a, 1, 0], Value::Bytes(&[0])),
            (&[0x40, 5], Value::Empty),
        ];
        for (bytes, value) in cases {
            assert_eq!(AnyValue::new(bytes).value(), Ok(value));
        }
    }

    #[test]
    fn last_kind_counts() {
        assert_eq!(
            AnyValue::new(&[0x0a, 1, b'x', 0x18, 7]).value(),
            Ok(Value::Int(7))
        );
        assert_eq!(
            AnyValue::new(&[0x18, 7, 0x0a, 1, b'x']).value(),
            Ok(Value::Str(b"x"))
        );
    }

    #[test]
    fn arrays_in_a_row_are_one_array() {
        let bytes = [array_of(b'a'), array_of(b'b')].concat();
        let Ok(Value::Array(list)) = AnyValue::new(&bytes).value() else {
            panic!("an array")
        };
        assert_eq!(strings(list), [b"a", b"b"]);
    }

    #[test]
    fn array_behind_another_kind_starts_anew() {
        let text = vec![0x0a, 1, b'x'];
        let bytes = [
            array_of(b'a'),
            text,
            array_of(b'b'),
            vec![0x50, 0],
            array_of(b'c'),
        ]
        .concat();
        let Ok(Value::Array(list)) = AnyValue::new(&bytes).value() else {
            panic!("an array")
        };
        assert_eq!(strings(list), [b"b", b"c"]);
    }

    #[test]
    fn value_before_key_is_read() {
        let pair = [0x12, 2, 0x10, 1, 0x0a, 1, b'k'];
        let (key, value) = key_value(&pair).unwrap();
        assert_eq!((key, value.value()), (&b"k"[..], Ok(Value::Bool(true))));
    }

    #[test]
    fn values_of_one_pair_merge() {
        let (one, two) = (array_of(b'a'), array_of(b'b'));
        let pair = [&[0x12, 7][..], &one, &[0x0a, 1, b'k', 0x12, 7], &two].concat();
        let (key, value) = key_value(&pair).unwrap();
        let Ok(Value::Array(list)) = value.value() else {
            panic!("an array")
        };
        assert_eq!((key, strings(list)), (&b"k"[..], vec![&b"a"[..], b"b"]));
    }

    #[test]
    fn pair_without_value_is_empty() {
        let (key, value) = key_value(&[0x0a, 1, b'k']).unwrap();
        assert_eq!((key, value), (&b"k"[..], AnyValue::EMPTY));
    }

    #[test]
    fn pairs_of_a_list_are_read() {
        let list = [0x32, 9, 0x0a, 7, 0x0a, 1, b'k', 0x12, 2, 0x18, 9];
        let Ok(Value::KvList(pairs)) = AnyValue::new(&list).value() else {
            panic!("a list")
        };
        let pairs: Vec<_> = AnyValue::kvlist_items(pairs).map(Result::unwrap).collect();
        assert_eq!(pairs.len(), 1);
        assert_eq!((pairs[0].0, pairs[0].1.value()), (&b"k"[..], Ok(Value::Int(9))));
    }

    #[test]
    fn iteration_ends_at_an_error() {
        let broken = [0x2a, 4, 0x0a, 0, 0x0a, 9];
        let Ok(Value::Array(list)) = AnyValue::new(&broken).value() else {
            panic!("an array")
        };
        let items: Vec<_> = AnyValue::array_items(list).collect();
        assert_eq!(items, [Ok(AnyValue::EMPTY), Err(Malformed)]);
    }

    #[test]
    fn wrong_wire_type_is_malformed() {
        assert_eq!(AnyValue::new(&[0x12, 0]).value(), Err(Malformed));
    }

    #[test]
    fn nesting_is_measured_to_the_level() {
        let three = nested(3);
        assert!(AnyValue::new(&three).nests_deeper_than(2));
        assert!(!AnyValue::new(&three).nests_deeper_than(3));
        assert!(!AnyValue::new(&[0x10, 1]).nests_deeper_than(0));
    }

    #[test]
    fn shortest_lists_that_nest_are_not_overlooked() {
        assert!(AnyValue::new(&[0x2a, 0]).nests_deeper_than(0));
        assert!(AnyValue::new(&[0x32, 0]).nests_deeper_than(0));
        assert!(AnyValue::new(&[0x2a, 4, 0x0a, 2, 0x2a, 0]).nests_deeper_than(1));
        assert!(!AnyValue::new(&[0x2a, 4, 0x0a, 2, 0x2a, 0]).nests_deeper_than(2));
        assert!(AnyValue::new(&[0x32, 6, 0x0a, 4, 0x12, 2, 0x2a, 0]).nests_deeper_than(1));
    }

    #[test]
    fn a_hundred_levels_are_the_most_whatever_is_allowed() {
        assert!(!AnyValue::new(&nested(100)).nests_deeper_than(u32::MAX));
        assert!(AnyValue::new(&nested(20_000)).nests_deeper_than(u32::MAX));
    }

    #[test]
    fn numbers_convert_as_asked() {
        assert_eq!(
            (Value::Int(2).as_i64(), Value::Int(2).as_f64()),
            (Some(2), Some(2.0))
        );
        assert_eq!(
            (Value::Double(2.5).as_i64(), Value::Double(2.5).as_f64()),
            (None, Some(2.5))
        );
        assert_eq!(
            (Value::Bool(true).as_bool(), Value::Str(b"2").as_f64()),
            (Some(true), None)
        );
    }
}
