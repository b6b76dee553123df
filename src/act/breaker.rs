//! One circuit breaker an exporter: a server that is down is not hammered by every live decision.
//!
//! While it is open the decisions stay live and use up no attempts; after the pause one of them may try. A
//! breaker that does not close within a minute is reported as an error, once, because kill switches are then
//! without effect.

use super::backoff::Pacing;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Open this long, it is reported.
const REPORT_AFTER: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(crate) struct Breaker {
    exporter: String,
    failures_to_open: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    opened: Option<Instant>,
    /// No call before this instant; pushed on by each one that may try.
    next_try: Option<Instant>,
    reported: bool,
}

impl Breaker {
    pub(crate) fn new(exporter: &str, pacing: &Pacing) -> Self {
        metrics::gauge!("burngate_exporter_breaker_open", "exporter" => exporter.to_owned()).set(0.0);
        Self {
            exporter: exporter.to_owned(),
            failures_to_open: pacing.breaker_failures,
            pause: pacing.breaker_open,
            state: Mutex::default(),
        }
    }

    /// Nothing when a call may go out now; else how long to wait before asking again.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let mut state = self.lock();
        let next_try = state.next_try?;
        self.report_if_long(&mut state, now);
        if now < next_try {
            return Some(next_try - now);
        }
        // Half open: this caller tries, the others wait for what it finds.
        state.next_try = Some(now + self.pause);
        None
    }

    pub(crate) fn succeeded(&self) {
        let mut state = self.lock();
        if state.opened.is_some() {
            tracing::info!(exporter = %self.exporter, "answers again");
            self.gauge(0.0);
        }
        *state = State::default();
    }

    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures < self.failures_to_open {
            return;
        }
        if state.opened.is_none() {
            state.opened = Some(now);
            tracing::warn!(
                exporter = %self.exporter, failures = state.failures, pause_secs = self.pause.as_secs(),
                "does not answer; calls pause"
            );
            self.gauge(1.0);
        }
        state.next_try = Some(now + self.pause);
        self.report_if_long(&mut state, now);
    }

    fn report_if_long(&self, state: &mut State, now: Instant) {
        let long = state
            .opened
            .is_some_and(|at| now.duration_since(at) >= REPORT_AFTER);
        if long && !state.reported {
            state.reported = true;
            tracing::error!(
                exporter = %self.exporter,
                "has not answered for a minute: its kill switches are without effect; switch the flag by hand"
            );
        }
    }

    fn gauge(&self, value: f64) {
        metrics::gauge!("burngate_exporter_breaker_open", "exporter" => self.exporter.clone()).set(value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new("unleash", &Pacing::default())
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_five_failures_and_lets_one_try() {
        let (breaker, t0) = (breaker(), Instant::now());
        for _ in 0..4 {
            breaker.failed(t0);
            assert_eq!(breaker.wait(t0), None);
        }
        breaker.failed(t0);
        assert_eq!(breaker.wait(t0), Some(Duration::from_secs(30)));
        let later = t0 + Duration::from_secs(30);
        assert_eq!(breaker.wait(later), None, "one may try");
        assert_eq!(breaker.wait(later), Some(Duration::from_secs(30)), "and only one");
        breaker.succeeded();
        assert_eq!(breaker.wait(later), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_keeps_it_closed() {
        let (breaker, t0) = (breaker(), Instant::now());
        for _ in 0..20 {
            breaker.failed(t0);
            breaker.succeeded();
        }
        assert_eq!(breaker.wait(t0), None);
    }
}
