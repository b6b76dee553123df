//! Who may act: one process at a time.
//!
//! Problem: of two processes that share their decisions, one that was suspended must not go on where it
//! stood. Property wanted: a process acts only while it holds the lease; each holder has a number, the fence,
//! above those of all before it; the fence is in every row that the holder writes, a row is never overwritten
//! by a lower fence, and the lease is looked at once more immediately before bytes leave. What is left is a
//! process that is suspended between that look and the call: the effect is idempotent, and where the service
//! has versions the call is refused.
//!
//! A gateway with its own store is alone, because the store's file is locked: it holds the lease while it
//! runs, and its fence is the number of its start.

use super::journal::{DecisionLog, JournalError};
use std::fmt;

/// See the module.
pub trait Lease: Send + Sync + fmt::Debug + 'static {
    /// The holder's number while the lease is held; `None` from the moment that it may be another's.
    fn fence(&self) -> Option<u64>;
}

/// The lease of a gateway that shares its store with nobody.
#[derive(Clone, Copy, Debug)]
pub struct Alone {
    epoch: u64,
}

impl Alone {
    /// Takes the next number of `log`.
    pub fn begin(log: &dyn DecisionLog) -> Result<Self, JournalError> {
        Ok(Self {
            epoch: log.next_epoch()?,
        })
    }
}

impl Lease for Alone {
    fn fence(&self) -> Option<u64> {
        Some(self.epoch)
    }
}
