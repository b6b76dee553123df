//! `logs.sampling`: a message that comes again and again must not fill the log.
//!
//! By place in the source, not by text: a text with a number in it is new each time.

use crate::config::LogSampling;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// A filter of events; without sampling it lets all of them through.
#[derive(Debug)]
pub(super) struct SampledLines {
    rule: Option<LogSampling>,
    // As many entries as the program has places that log.
    seen: Mutex<HashMap<Identifier, (Instant, u64)>>,
}

impl SampledLines {
    pub(super) fn new(rule: Option<LogSampling>) -> Self {
        Self {
            rule,
            seen: Mutex::default(),
        }
    }

    fn takes(&self, place: Identifier) -> bool {
        let Some(rule) = self.rule else { return true };
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = seen.entry(place).or_insert((now, 0));
        if now.saturating_duration_since(*began) >= rule.tick {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        let beyond = count.saturating_sub(rule.initial);
        beyond == 0 || (rule.thereafter > 0 && beyond % rule.thereafter == 0)
    }
}

impl<S> Filter<S> for SampledLines {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.takes(event.metadata().callsite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_tick_and_then_one_in_so_many() {
        let rule = LogSampling {
            tick: Duration::from_secs(10),
            initial: 2,
            thereafter: 3,
        };
        let lines = SampledLines::new(Some(rule));
        let place = || {
            let callsite = tracing::callsite!(name: "x", kind: tracing::metadata::Kind::EVENT, fields: a);
            Identifier(tracing::Callsite::metadata(callsite).callsite().0)
        };
        let burst = |times: usize| (0..times).map(|_| lines.takes(place())).collect::<Vec<_>>();
        let f = false;
        assert_eq!(burst(8), [true, true, f, f, true, f, f, true]);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(burst(3), [true, true, f]);
        assert!((0..100).all(|_| SampledLines::new(None).takes(place())));
    }
}
