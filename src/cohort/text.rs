//! Text from telemetry, made fit to be part of a name.

use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Bytes read of a name (a sha, a service, an environment, an endpoint); a longer one is cut and ends in a
/// hash.
pub(super) const LABEL_MAX: usize = 128;

/// Hex digits of a hash in a name.
const HASH_DIGITS: usize = 16;

/// 64 bits of SHA-256 as hex. Stable for ever, since stores keep names made of it, and too expensive to
/// collide on purpose for what it guards.
pub fn stable_hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    hex::encode(digest.get(..HASH_DIGITS / 2).unwrap_or_default())
}

/// `text`, or its beginning, `~` and a hash of all of it when it is longer than `max` bytes.
pub fn clip(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let keep = text.floor_char_boundary(max.saturating_sub(HASH_DIGITS + 1));
    Cow::Owned(format!("{}~{}", &text[..keep], stable_hash(text.as_bytes())))
}

/// The bytes as a name: UTF-8 without control characters, at most [`LABEL_MAX`] bytes. `None` for what is no
/// name.
pub fn label_text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let text = simdutf8::basic::from_utf8(bytes).ok()?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return None;
    }
    Some(clip(text, LABEL_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_distinct() {
        let (a, b) = ("x".repeat(200), "x".repeat(201));
        let (cut_a, cut_b) = (clip(&a, LABEL_MAX), clip(&b, LABEL_MAX));
        assert_eq!((cut_a.len(), cut_b.len()), (LABEL_MAX, LABEL_MAX));
        assert_ne!(cut_a, cut_b);
        assert_eq!(clip(&a[..128], LABEL_MAX), &a[..128]);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = "\u{20ac}".repeat(60);
        let cut = clip(&text, 64);
        assert!(cut.len() <= 64 && cut.starts_with('\u{20ac}'));
    }

    #[test]
    fn hashes_are_pinned_since_stores_keep_them() {
        assert_eq!(stable_hash(b"abc"), "ba7816bf8f01cfea");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(label_text(b"ok").as_deref(), Some("ok"));
        for bad in [&b""[..], b"a\nb", b"\x00", b"\xff\xfe", "a\u{85}b".as_bytes()] {
            assert_eq!(label_text(bad), None, "{bad:?}");
        }
    }
}
