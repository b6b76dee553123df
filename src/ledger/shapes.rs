//! Which shapes of flag evidence came from which service, and what of it was refused.
//!
//! For whoever wonders why a flag has no cohort: a bool under a list's name, an evaluation without a result,
//! JSON that is cut. Names of attributes and reasons are shown, values never.

use crate::cohort::flags::{Shape, ToldBy};
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of each of the two tables; beyond it new ones are not opened, and counted.
const ROWS_MAX: usize = 10_000;

/// Pieces of evidence of one service and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShapeDelta {
    /// `service.name`.
    pub(super) service: Arc<str>,
    /// The shape.
    pub(super) shape: Shape,
    /// The attribute that it came under.
    pub(super) attribute: Arc<str>,
    /// How many.
    pub(super) count: u64,
}

/// Evaluations of a flag by a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToldDelta {
    /// `service.name`.
    pub(super) service: Arc<str>,
    /// The flag, its provider and the provider's environment.
    pub(super) told_by: ToldBy,
    /// How many.
    pub(super) count: u64,
}

/// How often, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How often.
    pub count: u64,
    /// First.
    pub first: UnixNanos,
    /// Last.
    pub last: UnixNanos,
}

/// A service, the attribute, and the shape that came under it.
type ShapeKey = (Arc<str>, Arc<str>, Shape);

/// See the module's words.
#[derive(Debug, Default)]
pub struct ShapeBook {
    shapes: Mutex<BTreeMap<ShapeKey, Seen>>,
    told: Mutex<BTreeMap<(Arc<str>, ToldBy), Seen>>,
}

impl ShapeBook {
    pub(super) fn absorb(&self, now: UnixNanos, shapes: &[ShapeDelta], told: &[ToldDelta]) {
        let mut refused = 0;
        if !shapes.is_empty() {
            let mut rows = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
            for delta in shapes {
                let key = (delta.service.clone(), delta.attribute.clone(), delta.shape);
                refused += note(&mut rows, key, delta.count, now);
            }
        }
        if !told.is_empty() {
            let mut rows = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            for delta in told {
                let key = (delta.service.clone(), delta.told_by.clone());
                refused += note(&mut rows, key, delta.count, now);
            }
        }
        if refused > 0 {
            metrics::counter!("burngate_shapes_refused_rows_total").increment(refused);
        }
    }

    /// Every shape of `service` (or of all), by service, attribute and shape.
    pub fn shapes(&self, service: Option<&str>) -> Vec<(Arc<str>, Arc<str>, Shape, Seen)> {
        let rows = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .filter(|((of, ..), _)| service.is_none_or(|service| **of == *service))
            .map(|((of, attribute, shape), seen)| (of.clone(), attribute.clone(), *shape, *seen))
            .collect()
    }

    /// Who told of which flags.
    pub fn told(&self, service: Option<&str>) -> Vec<(Arc<str>, ToldBy, Seen)> {
        let rows = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .filter(|((of, _), _)| service.is_none_or(|service| **of == *service))
            .map(|((of, told), seen)| (of.clone(), told.clone(), *seen))
            .collect()
    }
}

/// Counts in a row; 1 when there is no room for it.
fn note<K: Ord>(rows: &mut BTreeMap<K, Seen>, key: K, count: u64, now: UnixNanos) -> u64 {
    let full = rows.len() >= ROWS_MAX;
    if let Some(seen) = rows.get_mut(&key) {
        seen.count = seen.count.saturating_add(count);
        seen.last = now;
    } else if full {
        return 1;
    } else {
        let seen = Seen {
            count,
            first: now,
            last: now,
        };
        rows.insert(key, seen);
    }
    0
}
