//! Space-saving counters of one quarter of an hour.

use super::{COUNTERS, Signature, TRACES, TraceId};
use std::sync::Arc;

/// One signature and how often it was seen, at most.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    pub(super) signature: Arc<Signature>,
    pub(super) count: u64,
    /// How much of the count may belong to signatures that made room.
    pub(super) error: u64,
    pub(super) traces: [TraceId; TRACES],
}

/// See the module's words.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    pub(super) counters: Vec<Counter>,
    /// The most that a signature without a counter can have been seen.
    pub(super) missing_at_most: u64,
}

impl Sketch {
    /// Counts `count` events.
    pub(super) fn add(&mut self, signature: &Arc<Signature>, count: u64, traces: &[TraceId; TRACES]) {
        if let Some(known) = self.find(signature) {
            known.count = known.count.saturating_add(count);
            known.remember(traces);
            return;
        }
        let mut fresh = Counter {
            signature: Arc::clone(signature),
            count,
            error: 0,
            traces: [[0; 2]; TRACES],
        };
        fresh.remember(traces);
        if self.counters.len() < COUNTERS {
            self.counters.push(fresh);
        } else if let Some(rarest) = self.counters.iter_mut().min_by_key(|counter| counter.count) {
            self.missing_at_most = self.missing_at_most.max(rarest.count);
            fresh.count = rarest.count.saturating_add(count);
            fresh.error = rarest.count;
            *rarest = fresh;
        }
    }

    /// Takes events out again, as far as they have a counter.
    pub(super) fn remove(&mut self, signature: &Arc<Signature>, count: u64, traces: &[TraceId; TRACES]) {
        let Some(known) = self.find(signature) else { return };
        known.count = known.count.saturating_sub(count);
        for trace in &mut known.traces {
            if traces.contains(trace) {
                *trace = [0; 2];
            }
        }
        self.counters.retain(|counter| counter.count > 0);
    }

    fn find(&mut self, signature: &Arc<Signature>) -> Option<&mut Counter> {
        self.counters
            .iter_mut()
            .find(|counter| counter.signature.id == signature.id && counter.signature == *signature)
    }
}

impl Counter {
    /// Keeps the first traces that come.
    fn remember(&mut self, traces: &[TraceId; TRACES]) {
        for trace in traces.iter().filter(|trace| **trace != [0; 2]) {
            if self.traces.contains(trace) {
                continue;
            }
            match self.traces.iter_mut().find(|place| **place == [0; 2]) {
                Some(place) => *place = *trace,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Of any stream: a count is never below the truth and above it by at most its error, and what has
        /// no counter was seen at most so often.
        #[test]
        fn the_truth_lies_within_the_stated_error(stream in proptest::collection::vec((0u32..90, 1u64..5), 0..600)) {
            let mut sketch = Sketch::default();
            let mut truth: HashMap<String, u64> = HashMap::new();
            for (name, count) in stream {
                // A few are frequent.
                let name = format!("e{}", if name < 45 { name % 5 } else { name });
                *truth.entry(name.clone()).or_default() += count;
                sketch.add(&Arc::new(Signature::new("s", "/", &name)), count, &[[0; 2]; TRACES]);
            }
            for (name, seen) in &truth {
                let counter = sketch.counters.iter().find(|c| *c.signature.what == **name);
                match counter {
                    Some(c) => prop_assert!(c.count >= *seen && c.count - c.error <= *seen, "{name}"),
                    None => prop_assert!(*seen <= sketch.missing_at_most, "{name}"),
                }
            }
            if truth.len() <= COUNTERS {
                prop_assert!(sketch.counters.iter().all(|c| c.error == 0));
            }
            prop_assert!(sketch.counters.len() <= COUNTERS);
        }
    }

    #[test]
    fn three_traces_stay_and_leave_with_their_event() {
        let mut sketch = Sketch::default();
        let signature = Arc::new(Signature::new("s", "/", "Boom"));
        let none = [0; 2];
        for trace in 1..6 {
            sketch.add(&signature, 1, &[[trace, trace], none, none]);
        }
        assert_eq!(sketch.counters[0].traces, [[1, 1], [2, 2], [3, 3]]);
        sketch.remove(&signature, 1, &[[2, 2], none, none]);
        assert_eq!(
            (sketch.counters[0].count, sketch.counters[0].traces[1]),
            (4, none)
        );
        sketch.remove(&signature, 9, &[none; 3]);
        assert!(sketch.counters.is_empty());
    }
}
