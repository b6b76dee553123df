//! The flags of one event, from every shape in which SDKs and teams send them.
//!
//! Problem: there is no convention. Evaluations come as span events (OpenFeature, LaunchDarkly), as one
//! attribute a flag, as a list in one attribute (five encodings of it), on the item, its scope or its
//! resource. Property wanted: one event gives at most one variant a flag, always the same for the same
//! telemetry, and never text that could name a person.
//!
//! Evidence is ranked: events, evaluations elsewhere in the same request (a child span, a log record),
//! attributes of one flag (item, child span, scope), lists (item, scope), the resource. For
//! each flag the best rank that gives a variant wins; within a rank the last one. A flag that a policy names
//! and that every list of the event lacks is `off` (see [`crate::config::Absent`]); an event without any list
//! says nothing of it.
//!
//! `variant` tells how a value becomes a variant's name, `list` and `json` hold the grammar of lists,
//! `resolve` goes from ranked evidence to the set.

mod json;
mod list;
mod resolve;
mod shape;
mod variant;

pub(super) use list::{ListError, read_items, read_list};
pub use resolve::{Basis, FlagSet, FlagVariant, Problems, Rank, ToldBy};
pub(super) use resolve::{Evaluation, Mentions};
pub use shape::{Form, Name, Place, Refused, Shape};
pub(super) use variant::{flag_key, normalise};

/// The variant of a flag that is switched on, and of a list's item without a value.
pub const ON: &str = "on";

/// The variant of a flag that is switched off, and of a policy's flag that a list lacks. Never killed: it is
/// off already.
pub const OFF: &str = "off";

/// Reserved variant of evaluations that failed: the application ran its default, which no switch changes.
pub const ERROR: &str = "(error)";

/// Reserved variant of evaluations that fell back to the application's default without failing.
pub const DEFAULT: &str = "(default)";

/// Reserved variant of evaluations from a cache that the provider calls out of date.
pub const STALE: &str = "(stale)";

/// Whether a variant holds failed or fallen-back evaluations. Such events saw something else than the flag's
/// rules say, so they are kept apart from the variant's own cohort, and their cohort can never be killed.
pub fn is_reserved(variant: &str) -> bool {
    matches!(variant, ERROR | DEFAULT | STALE)
}
