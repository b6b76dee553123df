//! Connections that do nothing, and headers that come too slowly.
//!
//! A timer a connection looks at its pulse a few times within each limit; a request itself pays nothing for
//! it. So a limit is kept to a quarter of its length. The HTTP library's own timer for headers is off,
//! because it runs between two requests as well and would close every kept-alive connection after ten
//! seconds.

use super::Rules;
use crate::receive::pulse::{Doing, Pulse, Reading};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Looks within the shortest limit.
const LOOKS: u32 = 4;

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No request for too long: it is asked to leave.
    Idle,
    /// A request's headers did not come to their end in time: it is cut.
    SlowHeaders,
}

/// The limits of one connection.
pub(super) struct Watch {
    looks: Interval,
    every: Duration,
    idle: Option<Duration>,
    headers: Option<Duration>,
    last: Option<Reading>,
    /// How long it has looked like this.
    since: Duration,
}

impl Watch {
    /// `None` where nothing is limited.
    pub(super) fn new(rules: &Rules) -> Option<Self> {
        let shortest = rules.idle.into_iter().chain(rules.headers_within).min()?;
        let every = (shortest / LOOKS).max(Duration::from_millis(25));
        let mut looks = interval_at(Instant::now() + every, every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Self {
            looks,
            every,
            idle: rules.idle,
            headers: rules.headers_within,
            last: None,
            since: Duration::ZERO,
        })
    }

    /// Resolves when a limit is reached.
    pub(super) async fn reached(&mut self, pulse: &Pulse) -> Verdict {
        loop {
            self.looks.tick().await;
            if let Some(verdict) = self.look(pulse.reading()) {
                self.since = Duration::ZERO;
                return verdict;
            }
        }
    }

    fn look(&mut self, now: Reading) -> Option<Verdict> {
        if self.last != Some(now) {
            (self.last, self.since) = (Some(now), Duration::ZERO);
            return None;
        }
        self.since += self.every;
        match now.doing {
            Doing::Nothing if self.idle.is_some_and(|idle| self.since >= idle) => Some(Verdict::Idle),
            Doing::Headers if self.headers.is_some_and(|within| self.since >= within) => {
                Some(Verdict::SlowHeaders)
            }
            Doing::Nothing | Doing::Headers | Doing::Request => None,
        }
    }
}

/// Waits for a limit, or for ever where there is none.
pub(super) async fn reached(watch: &mut Option<Watch>, pulse: &Pulse) -> Verdict {
    match watch {
        Some(watch) => watch.reached(pulse).await,
        None => std::future::pending().await,
    }
}
