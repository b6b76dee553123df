//! The story in plain lines, for logs, pipes and CI.

use super::story::{Story, burn, left};
use crate::telemetry::announce;

/// Seconds between two lines about the state of things.
const STATE_EVERY_SECS: u64 = 3;

/// Prints what is new.
#[derive(Debug, Default)]
pub(super) struct Plain {
    told: usize,
    state_told_secs: u64,
}

impl Plain {
    /// Prints the events that are new, and from time to time the state of things.
    pub(super) fn show(&mut self, story: &Story) {
        for event in story.events.iter().skip(self.told) {
            announce(&format!("{:>5.1} s  {}", story.seconds_at(event.at), event.text));
        }
        self.told = story.events.len();
        let elapsed = story.now.secs_since(story.began);
        if elapsed >= self.state_told_secs + STATE_EVERY_SECS {
            self.state_told_secs = elapsed;
            for line in state(story) {
                announce(&format!("{:>5.1} s  {line}", story.seconds_at(story.now)));
            }
        }
    }
}

/// Budgets in one line, flags in another.
fn state(story: &Story) -> Vec<String> {
    let services: Vec<String> = story
        .look
        .services
        .iter()
        .map(|s| format!("{} burn {} budget {}", s.name, burn(s.burn), left(s.remaining)))
        .collect();
    let flags: Vec<String> = story
        .look
        .flags
        .iter()
        .map(|f| {
            let state = if f.enabled { "on" } else { "OFF" };
            format!("{} {state} {}/{}", f.name, burn(f.burn_on), burn(f.burn_off))
        })
        .collect();
    if services.is_empty() {
        return vec![];
    }
    vec![
        format!("  {}", services.join(" | ")),
        format!("  burn with/without: {}", flags.join(", ")),
    ]
}
