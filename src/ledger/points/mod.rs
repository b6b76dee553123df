//! Points of metrics: from readings of streams to events.
//!
//! Problem: a cumulative point says how much there was since some start, comes again and again, twice at a
//! shutdown, late, out of order, from several writers, after resets; and a gateway that starts in the middle
//! must not count the whole past. Property wanted: whatever the temporality and however the points arrive,
//! the events that are counted are those that happened while somebody watched, each once. So every stream of
//! a metric that a policy names has its last reading kept ([`Streams`]), a delta is added to the reading
//! before it is looked at, and an SLI is worked out for the reading before and after: what differs is new.
//!
//! Rejected: rates over a window, which need interpolation at its edges and lose what lies between two
//! points; and differences of what an SLI made of each point, since a share of a bucket must be rounded and
//! the roundings would add up.

mod by_hash;
mod emit;
mod lineage;
mod pairs;
mod quality;
mod reading;
mod rows;
mod share;
mod slices;
mod stats;
mod streams;

pub use quality::{Qualities, Quality};
pub use rows::StreamRow;
pub use stats::PointStats;
pub use streams::{StreamLimits, Streams};

pub(super) use emit::slice_rows;
pub(super) use pairs::Brought;
pub(super) use reading::{Reading, bounds_hash, encode_explicit, encode_exponential, encode_summary};
pub(super) use share::{Share, part, summary_share};
pub(super) use slices::{LevelAt, Place};
pub(super) use streams::{Skip, Step, StreamId, Times};
