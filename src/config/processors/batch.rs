//! `batch`.

use crate::config::section::Section;
use std::time::Duration;

/// `batch`: merges small requests, splits large ones.
///
/// ```yaml
/// batch:
///   send_batch_size: 8192
///   send_batch_max_size: 0
///   timeout: 200ms
///   metadata_keys: [x-tenant]
///   metadata_cardinality_limit: 1000
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchProcessor {
    /// Items from which a batch leaves.
    pub send_batch_size: u64,
    /// Items that a batch may have; 0 is without limit.
    pub send_batch_max_size: u64,
    /// Time after which a batch leaves whatever its size.
    pub timeout: Duration,
    /// Client metadata that must be equal within a batch.
    pub metadata_keys: Vec<String>,
    /// Distinct values of that metadata.
    pub metadata_cardinality_limit: usize,
}

impl Default for BatchProcessor {
    fn default() -> Self {
        Self {
            send_batch_size: 8192,
            send_batch_max_size: 0,
            timeout: Duration::from_millis(200),
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

impl BatchProcessor {
    pub(in crate::config) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let mut it = Self::default();
        section.ranged("send_batch_size", &mut it.send_batch_size, 0..=10_000_000);
        section.ranged("send_batch_max_size", &mut it.send_batch_max_size, 0..=10_000_000);
        section.ranged(
            "timeout",
            &mut it.timeout,
            Duration::ZERO..=Duration::from_mins(1),
        );
        section.field("metadata_keys", &mut it.metadata_keys);
        section.ranged(
            "metadata_cardinality_limit",
            &mut it.metadata_cardinality_limit,
            1..=100_000,
        );
        if it.send_batch_max_size > 0 && it.send_batch_max_size < it.send_batch_size {
            let message = format!(
                "must be 0 (without limit) or at least send_batch_size ({}), found `{}`",
                it.send_batch_size, it.send_batch_max_size
            );
            section.problem("send_batch_max_size", message);
        }
        let mut seen: Vec<String> = Vec::new();
        for key in &it.metadata_keys {
            let lower = key.to_ascii_lowercase();
            if http::HeaderName::from_bytes(lower.as_bytes()).is_err() {
                section.problem("metadata_keys", format!("`{key}` is not the name of a header"));
            }
            if seen.contains(&lower) {
                section.problem(
                    "metadata_keys",
                    format!("`{key}` is here twice; case does not count"),
                );
            }
            seen.push(lower);
        }
        section.finish();
        Some(it)
    }
}
