//! Texts from elsewhere, made safe to keep: without our secrets, without control characters, short.
//!
//! Services echo what they were sent, tokens included, in error bodies and headers; networks' errors quote
//! URLs. Every text that reaches a log, the journal or the API passes here once, at the door where it came
//! in. The scrubbing comes before the shortening, so that no half of a token survives a cut.

use crate::config::Secret;
use std::fmt;

/// Longest text kept of an answer, in characters.
pub(crate) const DETAIL_CHARS: usize = 200;

/// Shorter values would blank out half of a sentence and hide nothing.
const MIN_SECRET_BYTES: usize = 4;

const REDACTED: &str = "[redacted]";

/// Knows the secrets of one exporter, in the spellings in which they may come back.
#[derive(Clone, Default)]
pub struct Scrubber {
    needles: Vec<Secret>,
}

impl Scrubber {
    /// A scrubber for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            let plain = secret.expose().trim();
            if plain.len() < MIN_SECRET_BYTES {
                continue;
            }
            let json = json_inside(plain);
            let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, plain);
            for spelling in [plain.to_owned(), json, percent_encoded(plain), base64] {
                needles.push(spelling);
            }
        }
        // The longest first: a needle that contains another must go whole.
        needles.sort_by_key(|n| std::cmp::Reverse(n.len()));
        needles.dedup();
        Self {
            needles: needles.into_iter().map(Secret::new).collect(),
        }
    }

    /// `text` without secrets and control characters, at most [`DETAIL_CHARS`] characters.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for needle in &self.needles {
            if text.contains(needle.expose()) {
                text = text.replace(needle.expose(), REDACTED);
            }
        }
        let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        let mut kept: String = chars.by_ref().take(DETAIL_CHARS).collect();
        if chars.next().is_some() {
            kept.truncate(
                kept.char_indices()
                    .nth(DETAIL_CHARS - 3)
                    .map_or(kept.len(), |(at, _)| at),
            );
            kept.push_str("...");
        }
        kept
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrubber({} needles)", self.needles.len())
    }
}

/// `text` as it stands between the quotes of a JSON string.
pub(crate) fn json_inside(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// `text` as one segment of a URL's path: everything but unreserved characters is encoded.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    // A segment of dots alone is "this folder" or "the one above" to every URL parser, also when encoded. No
    // flag has such a name (see `check`); encoded twice it is at least a name that nothing has.
    if matches!(out.as_str(), "." | "..") {
        out.replace('.', "%252E")
    } else {
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_secret_is_removed() {
        let token = Secret::new("*:*.ca\"nary/9");
        let scrubber = Scrubber::new([&token]);
        let json = serde_json::json!({ "you sent": token.expose() }).to_string();
        for text in [
            "Bearer *:*.ca\"nary/9 is bad",
            &json,
            "?t=%2A%3A%2A.ca%22nary%2F9",
            "Basic Kjoq.x",
        ] {
            let clean = scrubber.clean(text);
            assert!(!clean.contains("nary"), "{clean}");
        }
    }

    #[test]
    fn control_characters_become_blanks_and_long_texts_end() {
        let clean = Scrubber::default().clean(&format!("a\nb\x1b[31m{}", "x".repeat(500)));
        assert!(
            clean.starts_with("a b [31mx") && clean.ends_with("..."),
            "{clean}"
        );
        assert_eq!(clean.chars().count(), DETAIL_CHARS);
    }

    #[test]
    fn dots_and_slashes_cannot_leave_their_segment() {
        assert_eq!(percent_encoded(".."), "%252E%252E");
        assert_eq!(percent_encoded("a b/c?d"), "a%20b%2Fc%3Fd");
        assert_eq!(percent_encoded("team.checkout-v2_x~1"), "team.checkout-v2_x~1");
    }

    proptest! {
        #[test]
        fn no_text_around_a_secret_keeps_it(before in ".{0,300}", after in ".{0,300}") {
            let token = Secret::new("canary-7f3a");
            let clean = Scrubber::new([&token]).clean(&format!("{before}canary-7f3a{after}"));
            prop_assert!(!clean.contains("canary-7f3a"));
            prop_assert!(clean.chars().count() <= DETAIL_CHARS);
        }
    }
}
