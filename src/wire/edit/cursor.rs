//! The fields of a message, each with its place in the request.

use super::schema::Kind;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// A part of the request's bytes, by the places of its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(super) const fn holds(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// A message within the request: its content, and the length before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The varint of its length; empty for the request itself.
    pub(super) length: Span,
    /// What it holds.
    pub(super) content: Span,
}

/// A field that its message knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawField<'a> {
    pub(super) number: u64,
    /// From its tag to its end.
    pub(super) at: Span,
    /// Where the length of a length-delimited field begins.
    length_at: usize,
    /// A number, as it stands on the wire.
    pub(super) value: u64,
    /// What a length-delimited field holds.
    pub(super) bytes: &'a [u8],
}

impl RawField<'_> {
    /// The message that a length-delimited field holds.
    pub(super) fn piece(&self) -> Piece {
        let content = Span::new(self.at.end - self.bytes.len(), self.at.end);
        Piece {
            length: Span::new(self.length_at, content.start),
            content,
        }
    }
}

/// A cursor over the fields that a message knows; others are hopped over.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    reader: Reader<'a>,
    kind: Kind,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// At the first field of the message in `content` of `source`.
    pub(super) fn new(source: &'a [u8], content: Span, kind: Kind) -> Self {
        Self {
            reader: Reader::new(source.get(content.start..content.end).unwrap_or_default()),
            kind,
            end: content.end,
        }
    }

    fn place(&self) -> usize {
        self.end - self.reader.rest().len()
    }

    /// The next field.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<RawField<'a>>, Malformed> {
        let shape = self.kind.shape();
        loop {
            let start = self.place();
            let Some(tag) = self.reader.tag()? else {
                return Ok(None);
            };
            let (number, wire) = (tag >> 3, tag & 7);
            let wires = shape.wires(number);
            if wires == 0 {
                self.reader.skip(tag)?;
                continue;
            }
            if wires >> wire & 1 == 0 {
                return Err(Malformed);
            }
            let length_at = self.place();
            let (mut value, mut bytes) = (0, &[][..]);
            match wire {
                0 => value = self.reader.varint()?,
                1 => value = self.reader.fixed64()?,
                2 => bytes = self.reader.bytes()?,
                _ => value = u64::from(self.reader.fixed32()?),
            }
            return Ok(Some(RawField {
                number,
                at: Span::new(start, self.place()),
                length_at,
                value,
                bytes,
            }));
        }
    }
}
