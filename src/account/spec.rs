//! What an account is to keep, and what it answers.

use super::keep::Reached;
use crate::budget::{Method, Part, Period, SliceRule, Span};
use crate::cohort::{CohortId, ObjectiveId};

/// Whose account it is: an objective and its total, or a composite.
pub type Key = (ObjectiveId, CohortId);

/// The width that totals are kept in for 400 days: exclusions are made of whole ones, and so are the edges of
/// calendar periods.
pub(super) const GRAIN_SECS: u64 = 300;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The series that it is made of: one, or those of a composite.
    pub members: Vec<Key>,
    /// How each of them is judged.
    pub parts: Vec<Part>,
    /// How slices are judged, and how long they are.
    pub rule: SliceRule,
    /// The budget's period.
    pub period: Period,
    /// Windows of burn rates, in seconds. Of occurrences the ledger keeps them, and tells their edges.
    pub windows: Vec<u64>,
    /// What is left out: apart, in order, on multiples of five minutes.
    pub excluded: Vec<Span>,
}

impl Spec {
    /// Whether windows are made of slices rather than of events.
    pub fn is_sliced(&self) -> bool {
        self.rule.method != Method::Occurrences
    }
}

/// What an account knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The period; `None` where it is a rolling one of events, which the ledger keeps.
    pub period: Option<Reached>,
    /// The windows: their slices, or what is excluded of their events.
    pub windows: Vec<Reached>,
}

impl Figures {
    /// The window of `window_secs`.
    pub fn window(&self, window_secs: u64) -> Option<&Reached> {
        self.windows.iter().find(|w| w.window_secs == window_secs)
    }
}
