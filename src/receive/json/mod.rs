//! OTLP/JSON to protobuf bytes, in one pass.
//!
//! Problem: the derive of the official structs refuses much of what real clients send (enum names, numbers as
//! strings, null, duplicate members), and builds a tree that is then encoded again. Property wanted: what the
//! Collector's reader takes is taken, with equal values; what is refused is refused with the path and the
//! byte; text becomes wire bytes directly, driven by a table of fields. Rejected: a general JSON library as
//! tokenizer, because it reports lines instead of bytes, rounds doubles unless asked, and its visitors hide
//! where a value began.
//!
//! The rules, beyond RFC 8259 (which holds strictly: no comments, no trailing commas, nothing after the
//! message):
//! * Names are lowerCamelCase; others, snake_case among them, are unknown members and hopped over (J4, J5).
//! * Trace and span ids are hex of either case, empty for none; other bytes are base64, standard or URL-safe,
//!   padding optional.
//! * Integers are numbers or strings, also `1e3` or `1.0`; out of range is an error, never a wrap. Enums are
//!   names or integers.
//! * Doubles are numbers or strings, with `NaN`, `Infinity` and `-Infinity`.
//! * A null member is an absent one; a null in a list of messages is an empty message, as the Collector reads
//!   it.
//! * Of duplicate members the last scalar wins, messages merge and lists append: protobuf's own rule, and the
//!   Collector's.

mod error;
mod number;
pub(crate) mod schema;
mod token;
mod translate;
mod write;

pub use error::{Error, ErrorKind};

use crate::pipeline::Signal;
use schema::{LOGS_REQUEST, METRICS_REQUEST, TRACES_REQUEST};
use translate::Translator;

/// Translates an `Export*ServiceRequest` of `signal` to its protobuf bytes, at most `limit` of them.
pub fn decode(signal: Signal, text: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let text = simdutf8::compat::from_utf8(text)
        .map_err(|e| ErrorKind::Syntax("invalid UTF-8").at(e.valid_up_to()))?;
    let schema = match signal {
        Signal::Traces => &TRACES_REQUEST,
        Signal::Metrics => &METRICS_REQUEST,
        Signal::Logs => &LOGS_REQUEST,
    };
    Translator::new(text, limit).request(schema)
}

#[cfg(test)]
mod tests;
