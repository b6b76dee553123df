//! What a viewer is told: the events so far, and the moment.

use super::look::Look;
use super::report::seconds;
use super::scene::Phase;
use crate::time::UnixNanos;

/// Burn figures that the terminal view draws as a line; more than any terminal is wide.
const TRAIL_MAX: usize = 512;

/// How an event reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: UnixNanos,
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// The story so far.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) began: UnixNanos,
    pub(super) now: UnixNanos,
    pub(super) limit_secs: u64,
    pub(super) phase: Phase,
    pub(super) events: Vec<Event>,
    pub(super) look: Look,
    /// Burn of the failing service in the short window, one figure a moment, oldest first.
    pub(super) trail: Vec<f64>,
    /// Where budgets can be read while the demo runs.
    pub(super) api: String,
}

impl Story {
    /// Nothing has happened yet.
    pub(super) fn new(began: UnixNanos, limit_secs: u64, api: String) -> Self {
        Self {
            began,
            now: began,
            limit_secs,
            phase: Phase::Opening,
            events: Vec::new(),
            look: Look::default(),
            trail: Vec::new(),
            api,
        }
    }

    /// Something happened at `at`.
    pub(super) fn tell(&mut self, at: UnixNanos, tone: Tone, text: impl Into<String>) {
        self.events.push(Event {
            at,
            tone,
            text: text.into(),
        });
    }

    /// The picture of another moment.
    pub(super) fn see(&mut self, now: UnixNanos, look: Look) {
        self.now = now;
        self.trail.push(look.short_burn().unwrap_or(0.0));
        if self.trail.len() > TRAIL_MAX {
            self.trail.remove(0);
        }
        self.look = look;
    }

    /// Seconds from the beginning to `at`.
    pub(super) fn seconds_at(&self, at: UnixNanos) -> f64 {
        seconds(self.began, at)
    }
}

/// A burn rate in five columns.
pub(super) fn burn(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |burn| format!("{burn:.1}"))
}

/// What is left of a budget, in words.
pub(super) fn left(remaining: Option<f64>) -> String {
    match remaining {
        None => "no data".to_owned(),
        Some(share) if share < 0.0 => format!("overspent, {:.0} %", share * 100.0),
        Some(share) => format!("{:.0} % left", share * 100.0),
    }
}
