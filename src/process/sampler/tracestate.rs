//! The member `ot` of a span's tracestate: the threshold that it passed, and its randomness.
//!
//! ```text
//! ot=th:c;rv:9b8233f7e3a151,vendor=x
//! ```
//!
//! Other members and other fields of `ot` stay as they are; the member that was changed goes to the front, as
//! W3C says.

use super::threshold::{Threshold, parse_randomness, randomness_text};
use std::fmt::Write;

/// Longest value of `ot`.
const BYTES_MAX: usize = 256;

/// What `ot` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TraceState<'a> {
    pub(super) threshold: Option<Threshold>,
    pub(super) randomness: Option<u64>,
    /// Other fields of `ot`.
    fields: Vec<&'a str>,
    /// Other members.
    members: Vec<&'a str>,
}

impl<'a> TraceState<'a> {
    /// Reads it; `None` is text that is no tracestate.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut it = Self::default();
        for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let (key, value) = member.split_once('=')?;
            if key != "ot" {
                it.members.push(member);
                continue;
            }
            for field in value.split(';').filter(|field| !field.is_empty()) {
                let (name, value) = field.split_once(':')?;
                match name {
                    "th" => it.threshold = Some(Threshold::parse(value)?),
                    "rv" => it.randomness = Some(parse_randomness(value)?),
                    _ => it.fields.push(field),
                }
            }
        }
        Some(it)
    }

    /// As text; `None` when `ot` has become too long.
    pub(super) fn text(&self) -> Option<String> {
        let mut own = Vec::new();
        own.extend(self.threshold.map(|threshold| format!("th:{}", threshold.text())));
        own.extend(
            self.randomness
                .map(|randomness| format!("rv:{}", randomness_text(randomness))),
        );
        own.extend(self.fields.iter().map(|field| (*field).to_owned()));
        let value = own.join(";");
        if value.len() > BYTES_MAX {
            return None;
        }
        let mut text = String::new();
        if !value.is_empty() {
            let _ = write!(text, "ot={value}");
        }
        for member in &self.members {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(member);
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_members_and_fields_stay() {
        let text = b"a=1, ot=x:y;th:c;rv:9b8233f7e3a151 ,b=2";
        let mut state = TraceState::read(text).unwrap();
        assert_eq!(state.threshold, Threshold::parse("c"));
        assert_eq!(state.randomness, Some(0x009b_8233_f7e3_a151));
        state.threshold = Threshold::parse("e");
        assert_eq!(state.text().unwrap(), "ot=th:e;rv:9b8233f7e3a151;x:y,a=1,b=2");
    }

    #[test]
    fn an_empty_state_stays_empty() {
        assert_eq!(TraceState::read(b"").unwrap().text().unwrap(), "");
    }

    #[test]
    fn what_is_no_tracestate_is_not_read() {
        for text in [&b"nonsense"[..], b"ot=th", b"ot=th:xyz", b"ot=rv:12", b"\xff=1"] {
            assert_eq!(TraceState::read(text), None);
        }
    }
}
