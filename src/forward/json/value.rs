//! Scalars of the wire as JSON writes them.

use crate::receive::json::schema::Kind;
use crate::wire::{Malformed, Reader};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write as _;

/// What one field of the wire holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// The field behind `tag`.
    pub(super) fn read(reader: &mut Reader<'a>, tag: u64) -> Result<Self, Malformed> {
        match tag & 7 {
            0 => reader.varint().map(Self::Varint),
            1 => reader.fixed64().map(Self::Fixed64),
            2 => reader.bytes().map(Self::Bytes),
            5 => reader.fixed32().map(Self::Fixed32),
            _ => Err(Malformed),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(number) => Ok(number),
            _ => Err(Malformed),
        }
    }

    /// The items of a repeated field: this one, or those that are packed in it.
    pub(super) fn unpack(self, kind: Kind) -> Items<'a> {
        match (self, kind) {
            (Self::Bytes(packed), Kind::Fixed64 | Kind::Sfixed64 | Kind::Double | Kind::Uint64) => {
                Items::Packed(Reader::new(packed), kind)
            }
            _ => Items::One(Some(self)),
        }
    }

    /// As JSON.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "protobuf says: truncate"
    )]
    pub(super) fn write(self, kind: Kind, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match kind {
            Kind::Bool => out.extend_from_slice(if self.varint()? == 0 { b"false" } else { b"true" }),
            Kind::Int64 => quoted(self.varint()?.cast_signed(), out),
            Kind::Uint64 => quoted(self.varint()?, out),
            Kind::Fixed64 => quoted(self.fixed64()?, out),
            Kind::Sfixed64 => quoted(self.fixed64()?.cast_signed(), out),
            Kind::Uint32 => plain(self.varint()? as u32, out),
            Kind::Sint32 => {
                let zigzag = self.varint()? as u32;
                plain((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32), out);
            }
            Kind::Enum(_) => plain(self.varint()? as i32, out),
            Kind::Fixed32 => match self {
                Self::Fixed32(number) => plain(number, out),
                _ => return Err(Malformed),
            },
            Kind::Double => double(f64::from_bits(self.fixed64()?), out),
            Kind::Text => text(self.bytes()?, out),
            Kind::Id => {
                out.push(b'"');
                let id = self.bytes()?;
                let at = out.len();
                out.resize(at + id.len() * 2, 0);
                hex::encode_to_slice(id, &mut out[at..]).map_err(|_| Malformed)?;
                out.push(b'"');
            }
            Kind::Bytes => {
                out.push(b'"');
                out.extend_from_slice(STANDARD.encode(self.bytes()?).as_bytes());
                out.push(b'"');
            }
            Kind::Message(_) => return Err(Malformed),
        }
        Ok(())
    }
}

/// The items of a repeated field.
pub(super) enum Items<'a> {
    One(Option<Piece<'a>>),
    Packed(Reader<'a>, Kind),
}

impl<'a> Items<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Piece<'a>>, Malformed> {
        match self {
            Self::One(piece) => Ok(piece.take()),
            Self::Packed(reader, _) if reader.is_empty() => Ok(None),
            Self::Packed(reader, Kind::Uint64) => reader.varint().map(Piece::Varint).map(Some),
            Self::Packed(reader, _) => reader.fixed64().map(Piece::Fixed64).map(Some),
        }
    }
}

/// A number in quotes: JSON's own numbers are doubles to many a reader.
fn quoted(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "\"{number}\"");
}

fn plain(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    let _ = write!(out, "{number}");
}

fn double(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        let _ = serde_json::to_writer(out, &number);
        return;
    }
    let name: &[u8] = match number {
        _ if number.is_nan() => b"\"NaN\"",
        _ if number > 0.0 => b"\"Infinity\"",
        _ => b"\"-Infinity\"",
    };
    out.extend_from_slice(name);
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    let _ = match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => serde_json::to_writer(out, text),
        Err(_) => serde_json::to_writer(out, &*String::from_utf8_lossy(bytes)),
    };
}
