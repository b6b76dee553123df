//! What is in a batch, in numbers.

use crate::forward::fields::each_in;
use crate::pipeline::Signal;
use crate::wire::Malformed;

/// What one line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) resources: u64,
    /// Metrics, where they are not the items.
    pub(super) metrics: u64,
    /// Spans, data points or log records.
    pub(super) items: u64,
}

/// Fields of `Metric` that hold points, which are field 1 in each.
pub(super) const POINT_KINDS: [u32; 5] = [5, 7, 9, 10, 11];

pub(super) fn counts(signal: Signal, bytes: &[u8]) -> Result<Counts, Malformed> {
    let mut counts = Counts::default();
    each_in(bytes, 1, |resource| {
        counts.resources += 1;
        each_in(resource, 2, |scope| {
            each_in(scope, 2, |item| {
                if signal != Signal::Metrics {
                    counts.items += 1;
                    return Ok(());
                }
                counts.metrics += 1;
                for kind in POINT_KINDS {
                    each_in(item, kind, |data| {
                        each_in(data, 1, |_| {
                            counts.items += 1;
                            Ok(())
                        })
                    })?;
                }
                Ok(())
            })
        })
    })?;
    Ok(counts)
}
