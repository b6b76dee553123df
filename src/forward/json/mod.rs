//! OTLP JSON from wire bytes, as the specification writes it.
//!
//! Problem: a file (and some backends) wants JSON, and prost structs cost a request's size many times over.
//! Property wanted: one pass by the table of fields that the JSON receiver reads by, so that both agree;
//! what is on the wire is written, what is not is left out; what reads the text back gets the same message.
//! So ids are lower-case hex, other bytes base64, 64-bit numbers strings, enums numbers, names
//! lowerCamelCase, and doubles without a number `NaN`, `Infinity` and `-Infinity`. Rejected: serde over
//! `opentelemetry-proto`, whose structs must be built first, and which fails on NaN.
//!
//! Protobuf's merging holds: of a scalar that occurs twice the last counts, of a choice the last member, and
//! pieces of one message are one. Text that is not UTF-8 gets replacement characters. Unknown fields are left
//! out: JSON has no names for them.

mod value;

use crate::pipeline::Signal;
use crate::receive::json::schema::{Field, Kind, LOGS_REQUEST, METRICS_REQUEST, Message, TRACES_REQUEST};
use crate::wire::{Malformed, Reader};
use value::Piece;

/// Messages inside messages; a value that nests deeper is refused.
const NESTING_MAX: u32 = 120;

/// Appends the Export*ServiceRequest in `bytes` to `out`, as JSON without line breaks. After an error `out`
/// is as it was.
pub fn encode(signal: Signal, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let schema = match signal {
        Signal::Traces => &TRACES_REQUEST,
        Signal::Metrics => &METRICS_REQUEST,
        Signal::Logs => &LOGS_REQUEST,
    };
    let before = out.len();
    let written = Writer {
        out,
        pieces: Vec::new(),
    }
    .message(schema, bytes, NESTING_MAX);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// The text so far, and one stack of pieces for all messages that are open.
struct Writer<'o, 'a> {
    out: &'o mut Vec<u8>,
    pieces: Vec<(u8, Piece<'a>)>,
}

impl<'a> Writer<'_, 'a> {
    fn message(&mut self, schema: &'static Message, bytes: &'a [u8], levels: u32) -> Result<(), Malformed> {
        let levels = levels.checked_sub(1).ok_or(Malformed)?;
        let base = self.pieces.len();
        self.collect(schema, bytes, base)?;
        // Stable: pieces of one field stay in the order of the wire.
        if !self.pieces[base..].is_sorted_by_key(|(at, _)| *at) {
            self.pieces[base..].sort_by_key(|(at, _)| *at);
        }
        let (mut at, end) = (base, self.pieces.len());
        self.out.push(b'{');
        while at < end {
            let field_at = self.pieces[at].0;
            let same = self.pieces[at..end]
                .iter()
                .take_while(|(other, _)| *other == field_at);
            let next = at + same.count();
            if at > base {
                self.out.push(b',');
            }
            self.field(&schema.fields[usize::from(field_at)], at, next, levels)?;
            at = next;
        }
        self.out.push(b'}');
        self.pieces.truncate(base);
        Ok(())
    }

    /// The known fields of one message, behind the pieces of those around it.
    fn collect(&mut self, schema: &'static Message, bytes: &'a [u8], base: usize) -> Result<(), Malformed> {
        let mut reader = Reader::new(bytes);
        while let Some(tag) = reader.tag()? {
            let known = (0u8..)
                .zip(schema.fields)
                .find(|(_, field)| u64::from(field.number) == tag >> 3);
            let Some((at, field)) = known else {
                reader.skip(tag)?;
                continue;
            };
            let piece = Piece::read(&mut reader, tag)?;
            if is_choice(field) {
                let other = |(before, _): &(u8, Piece<'_>)| {
                    *before != at && is_choice(&schema.fields[usize::from(*before)])
                };
                if let Some(replaced) = self.pieces[base..].iter().position(other) {
                    let _ = self.pieces.remove(base + replaced);
                }
            }
            self.pieces.push((at, piece));
        }
        Ok(())
    }

    /// One member, whose pieces stand from `at` to `next`.
    fn field(&mut self, field: &'static Field, at: usize, next: usize, levels: u32) -> Result<(), Malformed> {
        self.out.push(b'"');
        self.out.extend_from_slice(field.name.as_bytes());
        self.out.extend_from_slice(b"\":");
        if field.repeated {
            self.out.push(b'[');
            let mut first = true;
            for index in at..next {
                let piece = self.pieces[index].1;
                self.items(field, piece, &mut first, levels)?;
            }
            self.out.push(b']');
            return Ok(());
        }
        let Kind::Message(inner) = field.kind else {
            return self.pieces[next - 1].1.write(field.kind, self.out);
        };
        if next - at == 1 {
            let piece = self.pieces[at].1.bytes()?;
            return self.message(inner, piece, levels);
        }
        // In several pieces, which nobody sends on purpose: put together, they are one.
        let mut whole = Vec::new();
        for (_, piece) in &self.pieces[at..next] {
            whole.extend_from_slice(piece.bytes()?);
        }
        Writer {
            out: self.out,
            pieces: Vec::new(),
        }
        .message(inner, &whole, levels)
    }

    /// One item of a list, or all items of a packed one.
    fn items(
        &mut self,
        field: &'static Field,
        piece: Piece<'a>,
        first: &mut bool,
        levels: u32,
    ) -> Result<(), Malformed> {
        let mut packed = piece.unpack(field.kind);
        while let Some(item) = packed.next()? {
            if !std::mem::take(first) {
                self.out.push(b',');
            }
            match field.kind {
                Kind::Message(inner) => self.message(inner, item.bytes()?, levels)?,
                kind => item.write(kind, self.out)?,
            }
        }
        Ok(())
    }
}

/// Members of a `oneof`: of these a message has one. Their names are theirs alone, but for `sum`, which is a
/// number elsewhere.
fn is_choice(field: &Field) -> bool {
    match field.name {
        "stringValue"
        | "boolValue"
        | "intValue"
        | "doubleValue"
        | "arrayValue"
        | "kvlistValue"
        | "bytesValue"
        | "asDouble"
        | "asInt"
        | "gauge"
        | "histogram"
        | "exponentialHistogram"
        | "summary" => true,
        "sum" => matches!(field.kind, Kind::Message(_)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
