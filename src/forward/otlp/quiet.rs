//! A log line that may come often, at most every ten seconds.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// When a line was last written, and how many were not since.
#[derive(Debug, Default)]
pub(in crate::forward) struct Quiet(Mutex<(Option<Instant>, u64)>);

impl Quiet {
    /// How many lines were left out, if one may be written now.
    pub(in crate::forward) fn speak(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now - last < EVERY) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_in_ten_seconds_says_how_many_it_stands_for() {
        let quiet = Quiet::default();
        assert_eq!(quiet.speak(), Some(0));
        assert_eq!((quiet.speak(), quiet.speak()), (None, None));
        tokio::time::advance(EVERY).await;
        assert_eq!(quiet.speak(), Some(2));
    }
}
