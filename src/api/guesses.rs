//! Holds up whoever guesses tokens.
//!
//! After [`GUESSES_MAX`] wrong ones in a second nobody is heard until it is over: a token of any length is
//! out of reach at that pace, and whoever has the right one loses a second.

use std::sync::{Arc, Mutex, PoisonError};

/// Wrong tokens in a second.
const GUESSES_MAX: u32 = 10;

/// (second, wrong tokens in it); clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Guesses(Arc<Mutex<(u64, u32)>>);

impl Guesses {
    /// Whether somebody may try at `second`.
    pub(super) fn may_try(&self, second: u64) -> bool {
        let mut it = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if it.0 != second {
            *it = (second, 0);
        }
        it.1 < GUESSES_MAX
    }

    /// One was wrong.
    pub(super) fn was_wrong(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
    }
}
