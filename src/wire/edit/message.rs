//! One message of a request while rules look at it: its fields, its attributes, and what was written over
//! them.

use super::cursor::{Cursor, Piece, RawField, Span};
use super::fields::Field;
use super::map::Map;
use super::schema::Kind;
use super::splices::{Splices, put_bytes, put_varint};
use super::value::Held;
use crate::wire::{AnyValue, Malformed};
use std::borrow::Cow;

/// The value of a field.
#[derive(Clone, Debug, Default)]
struct Scalar<'a> {
    /// Where it stands; `None` when it was added.
    at: Option<Span>,
    number: u64,
    bytes: Cow<'a, [u8]>,
}

/// A message. It may stand in several pieces, which merge, or not be there at all.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub(super) source: &'a [u8],
    pub(super) kind: Kind,
    pub(super) pieces: Vec<Piece>,
    /// The status of a span; the data of a metric, as far as it counts.
    pub(super) inner: Vec<Piece>,
    /// Of a metric: the number of the field that holds its data.
    pub(super) data: u64,
    attributes: Map<'a>,
    scalars: [Scalar<'a>; Field::COUNT],
    /// Bits of the fields that are there, and of those that were written.
    known: u32,
    written: u32,
    /// Pieces of a body that an own body replaces; the last is in `scalars`.
    bodies: Vec<Span>,
}

impl<'a> Message<'a> {
    pub(super) fn new(source: &'a [u8], kind: Kind) -> Self {
        Self {
            source,
            kind,
            pieces: Vec::new(),
            inner: Vec::new(),
            data: 0,
            attributes: Map::default(),
            scalars: std::array::from_fn(|_| Scalar::default()),
            known: 0,
            written: 0,
            bodies: Vec::new(),
        }
    }

    /// Forgets what it was, and becomes a message of `kind` that is not there.
    pub(super) fn reset(&mut self, kind: Kind) {
        self.kind = kind;
        self.pieces.clear();
        self.inner.clear();
        self.data = 0;
        self.attributes.clear();
        self.known = 0;
        self.written = 0;
        self.bodies.clear();
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its attributes.
    pub fn attributes(&self) -> &Map<'a> {
        &self.attributes
    }

    /// Its attributes, to be changed. Only messages that have some, and that the visitor is shown.
    pub fn attributes_mut(&mut self) -> &mut Map<'a> {
        &mut self.attributes
    }

    /// Reads one piece of it; attributes only if they are asked for.
    pub(super) fn read(&mut self, piece: Piece, attributes: bool) -> Result<(), Malformed> {
        self.pieces.push(piece);
        let (kind, map) = (self.kind, self.kind.attributes());
        let mut fields = Cursor::new(self.source, piece.content, kind);
        while let Some(field) = fields.next()? {
            if field.number == map {
                if attributes {
                    self.attributes.read(field.at, field.bytes)?;
                }
            } else if let Some(name) = kind.field(field.number) {
                self.take(name, &field);
            } else if kind == Kind::Span && field.number == 15 {
                self.read_inner(field.piece(), Kind::Status)?;
            } else if let (Kind::Metric, Some((data, _))) = (kind, Kind::of_data(field.number)) {
                self.switch_data(field.number);
                self.read_inner(field.piece(), data)?;
            }
        }
        Ok(())
    }

    /// A oneof: another kind of data replaces what was there.
    fn switch_data(&mut self, number: u64) {
        if self.data != number {
            self.data = number;
            self.inner.clear();
            self.known &= !(Field::Temporality.bit() | Field::IsMonotonic.bit());
        }
    }

    fn read_inner(&mut self, piece: Piece, kind: Kind) -> Result<(), Malformed> {
        self.inner.push(piece);
        let mut fields = Cursor::new(self.source, piece.content, kind);
        while let Some(field) = fields.next()? {
            if let Some(name) = kind.field(field.number) {
                self.take(name, &field);
            }
        }
        Ok(())
    }

    fn take(&mut self, name: Field, field: &RawField<'a>) {
        if name == Field::Body && self.has(name) {
            return self.take_body_again(field);
        }
        match name {
            Field::IntValue => self.known &= !Field::DoubleValue.bit(),
            Field::DoubleValue => self.known &= !Field::IntValue.bit(),
            _ => {}
        }
        self.known |= name.bit();
        if let Some(scalar) = self.scalars.get_mut(name as usize) {
            *scalar = Scalar {
                at: Some(field.at),
                number: field.value,
                bytes: Cow::Borrowed(field.bytes),
            };
        }
    }

    /// A body in several pieces: they merge.
    #[cold]
    fn take_body_again(&mut self, field: &RawField<'a>) {
        if let Some(body) = self.scalars.get_mut(Field::Body as usize) {
            self.bodies.extend(body.at.replace(field.at));
            body.bytes.to_mut().extend_from_slice(field.bytes);
        }
    }

    fn has(&self, field: Field) -> bool {
        self.known & field.bit() != 0
    }

    fn scalar(&self, field: Field) -> Option<&Scalar<'a>> {
        self.scalars.get(field as usize).filter(|_| self.has(field))
    }

    /// A number as it stands on the wire; `None` when the field is not there, which means 0.
    pub fn number(&self, field: Field) -> Option<u64> {
        self.scalar(field).map(|scalar| scalar.number)
    }

    /// Text or bytes; empty when the field is not there.
    pub fn bytes(&self, field: Field) -> &[u8] {
        self.scalar(field).map_or(&[], |scalar| scalar.bytes.as_ref())
    }

    /// The body of a log record.
    pub fn body(&self) -> AnyValue<'_> {
        AnyValue::new(self.bytes(Field::Body))
    }

    /// The number of the metric's data field: 5 gauge, 7 sum, 9 histogram, 10 exponential histogram,
    /// 11 summary; 0 where there is none.
    pub fn data_field(&self) -> u64 {
        self.data
    }

    /// Writes a number.
    pub fn set_number(&mut self, field: Field, number: u64) {
        if self.number(field).unwrap_or(0) != number {
            self.write(field, number, Cow::Borrowed(&[]));
        }
    }

    /// Writes text or bytes; the encoding of an AnyValue for the body.
    pub fn set_bytes(&mut self, field: Field, bytes: Cow<'a, [u8]>) {
        if self.bytes(field) != bytes.as_ref() {
            self.write(field, 0, bytes);
        }
    }

    /// Writes the body of a log record.
    pub fn set_body(&mut self, body: &Held<'_>) {
        self.set_bytes(Field::Body, Cow::Owned(body.encoded().into_owned()));
    }

    fn write(&mut self, field: Field, number: u64, bytes: Cow<'a, [u8]>) {
        let known = self.has(field);
        if let Some(scalar) = self.scalars.get_mut(field as usize) {
            scalar.at = scalar.at.filter(|_| known);
            scalar.number = number;
            scalar.bytes = bytes;
        }
        self.known |= field.bit();
        self.written |= field.bit();
    }

    /// Whether there is something to write.
    pub(super) fn is_changed(&self) -> bool {
        self.written != 0 || self.attributes.is_changed()
    }

    /// Writes all changes; each piece of it becomes as long as it must. A message that was not there is put
    /// at `front`, the beginning of the one around it, as its field `number`.
    pub(super) fn write_pieces(&self, out: &mut Splices, number: u64, front: usize) {
        if !self.is_changed() {
            return;
        }
        for (nth, piece) in self.pieces.iter().enumerate() {
            let open = out.enter(*piece);
            self.write_into(out, *piece, nth + 1 == self.pieces.len());
            out.leave(open);
        }
        if self.pieces.is_empty() {
            let mut content = Vec::new();
            self.attributes.put(&mut content, self.kind.attributes());
            self.each_written(|field, scalar| put_new(&mut content, self.kind, field, scalar));
            if !content.is_empty() {
                out.replace_with(Span::new(front, front), |arena| {
                    put_bytes(arena, number, &content);
                });
            }
        }
    }

    /// Writes the changes within `piece`, which somebody has entered; new fields too if it is the `last`.
    pub(super) fn write_into(&self, out: &mut Splices, piece: Piece, last: bool) {
        // Inside first: the end of a status may be the end of its span, and what is added at the same place
        // stands in the order in which it is added.
        if self.kind == Kind::Span {
            self.write_status(out, piece);
        }
        self.attributes.write(out, self.kind.attributes(), piece, last);
        if self.written == 0 {
            return;
        }
        for body in self
            .bodies
            .iter()
            .filter(|_| self.written & Field::Body.bit() != 0)
        {
            out.remove(*body);
        }
        self.each_written(|field, scalar| {
            if self.kind.number(field).is_some() {
                write_field(out, self.kind, (field, scalar), piece, last);
            }
        });
    }

    /// The status is a message inside, with the same troubles: several pieces, or none.
    fn write_status(&self, out: &mut Splices, piece: Piece) {
        const STATUS: u32 = Field::StatusCode.bit() | Field::StatusMessage.bit();
        if self.written & STATUS == 0 {
            return;
        }
        for (nth, inner) in self.inner.iter().enumerate() {
            let open = out.enter(*inner);
            let last = nth + 1 == self.inner.len();
            self.each_written(|field, scalar| {
                if Kind::Status.number(field).is_some() {
                    write_field(out, Kind::Status, (field, scalar), *inner, last);
                }
            });
            out.leave(open);
        }
        if self.inner.is_empty() {
            let end = Span::new(piece.content.end, piece.content.end);
            let mut content = Vec::new();
            self.each_written(|field, scalar| put_new(&mut content, Kind::Status, field, scalar));
            if !content.is_empty() {
                out.replace_with(end, |arena| put_bytes(arena, 15, &content));
            }
        }
    }

    fn each_written(&self, mut each: impl FnMut(Field, &Scalar<'a>)) {
        for field in WRITABLE {
            if let Some(scalar) = self.scalar(field).filter(|_| self.written & field.bit() != 0) {
                each(field, scalar);
            }
        }
    }
}

/// Writes a field within `piece`; one that was not there, if it is the `last`.
fn write_field(
    out: &mut Splices,
    kind: Kind,
    (field, scalar): (Field, &Scalar<'_>),
    piece: Piece,
    last: bool,
) {
    let end = Span::new(piece.content.end, piece.content.end);
    match scalar.at {
        Some(at) if piece.content.holds(at) => {
            out.replace_with(at, |arena| put_field(arena, kind, field, scalar));
        }
        None if last => out.replace_with(end, |arena| put_new(arena, kind, field, scalar)),
        _ => {}
    }
}

/// Appends a field that was not there, if `kind` has it; nothing for what an absent field means anyway.
fn put_new(out: &mut Vec<u8>, kind: Kind, field: Field, scalar: &Scalar<'_>) {
    if scalar.number != 0 || !scalar.bytes.is_empty() {
        put_field(out, kind, field, scalar);
    }
}

/// Appends a field, if `kind` has it.
#[allow(clippy::cast_possible_truncation, reason = "a fixed32 has 32 bits")]
fn put_field(out: &mut Vec<u8>, kind: Kind, field: Field, scalar: &Scalar<'_>) {
    let Some((number, wire)) = kind.number(field) else {
        return;
    };
    if wire == 2 {
        return put_bytes(out, number, &scalar.bytes);
    }
    put_varint(out, number << 3 | wire);
    match wire {
        1 => out.extend_from_slice(&scalar.number.to_le_bytes()),
        5 => out.extend_from_slice(&(scalar.number as u32).to_le_bytes()),
        _ => put_varint(out, scalar.number),
    }
}

/// What rules may write.
const WRITABLE: [Field; 17] = [
    Field::Name,
    Field::Version,
    Field::Description,
    Field::Unit,
    Field::TraceState,
    Field::SpanKind,
    Field::StartTime,
    Field::EndTime,
    Field::Time,
    Field::ObservedTime,
    Field::StatusCode,
    Field::StatusMessage,
    Field::SeverityNumber,
    Field::SeverityText,
    Field::Body,
    Field::EventName,
    Field::Flags,
];
