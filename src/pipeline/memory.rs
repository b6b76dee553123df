//! Bytes that components hold between a request's answer and its end: queues, batches in flight to a backend.
//!
//! `memory_limiter` asks for the sum before it looks at anything else: it is exact and immediate, where the
//! resident set is late and includes what the allocator keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The sum of all charges; shared by everything that holds batches.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<AtomicU64>);

impl Memory {
    /// Bytes held now.
    pub fn held_bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Charges `bytes` until the charge is dropped.
    pub fn charge(&self, bytes: u64) -> Charge {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            memory: self.clone(),
            bytes,
        }
    }
}

/// Bytes held by somebody; given back on drop.
#[derive(Debug)]
pub struct Charge {
    memory: Memory,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_comes_back() {
        let memory = Memory::default();
        let first = memory.charge(10);
        let second = memory.clone().charge(5);
        assert_eq!(memory.held_bytes(), 15);
        drop(first);
        assert_eq!(memory.held_bytes(), 5);
        drop(second);
        assert_eq!(memory.held_bytes(), 0);
    }
}
