//! `processors`: what happens to telemetry on its way.

use std::time::Duration;

/// One processor.
#[derive(Clone, Debug, PartialEq)]
pub enum Processor {
    /// `memory_limiter`.
    MemoryLimiter(MemoryLimiter),
    /// `batch`.
    Batch(BatchProcessor),
}

/// `memory_limiter`: refuses, with retry advice, what would not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLimiter {
    /// Time between two looks at the memory of the process.
    pub check_interval: Duration,
    /// Limit in MiB; 0 leaves it to `limit_percentage`.
    pub limit_mib: u64,
    /// How far below the limit refusals begin, in MiB; 0 is a fifth of the limit.
    pub spike_limit_mib: u64,
    /// Limit in percent of the memory that the process may have; 0 leaves it to `limit_mib`.
    pub limit_percentage: u32,
    /// `spike_limit_mib`, in percent of that memory.
    pub spike_limit_percentage: u32,
}

/// `batch`: merges small requests, splits large ones.
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
