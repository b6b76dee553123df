//! What a decision is called.
//!
//! The id is derived, not drawn: after a crash between deciding and writing, the same incident gets the same
//! id, so a service that takes idempotency keys sees one call, and a human sees one record.

use sha2::{Digest, Sha256};

/// The id of incident `incident` of one flag: 32 hex digits of a SHA-256 over the length-prefixed parts (so
/// that no two triples of names run together).
pub fn decision_id(exporter: &str, environment: &str, flag: &str, incident: u64) -> String {
    let mut hash = Sha256::new();
    for part in [exporter, environment, flag] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(incident.to_be_bytes());
    let digest = hash.finalize();
    hex::encode(digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_incident_has_the_same_id_for_ever() {
        let id = decision_id("unleash", "production", "new-checkout", 1);
        assert_eq!(id, decision_id("unleash", "production", "new-checkout", 1));
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn every_part_matters_and_parts_do_not_run_together() {
        let base = decision_id("a", "b", "c", 1);
        for (x, e, f, n) in [
            ("a", "b", "c", 2),
            ("ab", "", "c", 1),
            ("a", "bc", "", 1),
            ("", "ab", "c", 1),
            ("a", "b", "d", 1),
        ] {
            assert_ne!(base, decision_id(x, e, f, n), "{x} {e} {f} {n}");
        }
    }
}
