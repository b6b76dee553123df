//! What data points and spans say, once they are matched.

use super::grid::{Buckets, Grid};
use super::plan::SelectorIndex;
use super::top::Top;

/// The values of `by`, in its order.
pub(super) type Group = Box<[Option<Box<str>>]>;

/// What a data point says.
#[derive(Debug)]
pub(super) enum Reading {
    /// Where a level stands.
    Level(f64),
    /// A counter's total.
    Total(f64),
    /// What a counter grew by.
    Growth(f64),
    /// Totals by bucket.
    Totals(Grid, Buckets),
    /// What the buckets grew by.
    Measured(Grid, Buckets),
    /// Nothing that the selector can use, and what the point is.
    Unusable(&'static str),
}

/// A data point for one selector.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) selector: SelectorIndex,
    pub(super) group: Group,
    /// The value of the selector's key attribute.
    pub(super) key: Option<Box<[u8]>>,
    /// What tells the stream from every other.
    pub(super) stream: u128,
    pub(super) start: u64,
    pub(super) time: u64,
    pub(super) reading: Reading,
}

/// What the spans of one request add to one slot.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) selector: SelectorIndex,
    pub(super) group: Group,
    pub(super) slot: u64,
    pub(super) content: Content,
}

/// What spans add, by shape.
#[derive(Debug)]
pub(super) enum Content {
    Count(f64),
    Durations(Buckets),
    Keyed(Top),
}
