//! The sketches of every series, shared by the data plane and whoever explains.

use super::sketch::Sketch;
use super::{SignatureDelta, TOP, TraceId};
use crate::cohort::{CohortId, ObjectiveId};
use crate::config::Signatures as Config;
use crate::time::UnixNanos;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// One signature, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorSignature {
    /// What went wrong: a type of exception, a status.
    pub what: String,
    /// The endpoint class.
    pub route: String,
    /// The service.
    pub service: String,
    /// Bad events; of these `error` may belong to other signatures.
    pub count: u64,
    /// See `count`; 0 is exact.
    pub error: u64,
    /// Up to three of their traces, in hex.
    pub traces: Vec<String>,
}

/// The most frequent signatures of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopSignatures {
    /// Since when they are counted.
    pub from: UnixNanos,
    /// Most frequent first.
    pub signatures: Vec<ErrorSignature>,
}

/// This quarter of an hour, and the one before.
#[derive(Debug)]
struct Series {
    began: UnixNanos,
    now: Sketch,
    before: Option<(UnixNanos, Sketch)>,
    last: UnixNanos,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct SignatureBook {
    series: Mutex<HashMap<(ObjectiveId, CohortId), Series, foldhash::fast::RandomState>>,
}

impl SignatureBook {
    /// Counts a batch.
    pub(in crate::ledger) fn absorb(&self, now: UnixNanos, deltas: &[SignatureDelta], config: &Config) {
        if deltas.is_empty() {
            return;
        }
        let mut refused = 0;
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let most = config.max_series as usize;
        for delta in deltas {
            let key = (delta.objective, delta.cohort);
            if !all.contains_key(&key) {
                if delta.leaves {
                    continue;
                }
                if all.len() >= most {
                    let oldest = now.minus_secs(2 * config.window_secs);
                    all.retain(|_, series| series.last >= oldest);
                }
                if all.len() >= most {
                    refused += delta.count;
                    continue;
                }
            }
            let series = all.entry(key).or_insert_with(|| Series {
                began: now,
                now: Sketch::default(),
                before: None,
                last: now,
            });
            series.turn(now, config);
            series.last = now;
            if delta.leaves {
                series.now.remove(&delta.signature, delta.count, &delta.traces);
            } else {
                series.now.add(&delta.signature, delta.count, &delta.traces);
            }
        }
        let live = all.len();
        drop(all);
        metrics::gauge!("burngate_signatures_series").set(live as f64);
        if refused > 0 {
            metrics::counter!("burngate_signatures_refused_total").increment(refused);
        }
    }

    /// The most frequent signatures of one series; empty when it had no bad event lately.
    pub fn top(&self, objective: ObjectiveId, cohort: CohortId) -> TopSignatures {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(objective, cohort))
            .map_or_else(TopSignatures::default, Series::top)
    }

    /// The same of several, by one hold of the lock.
    pub fn tops(&self, keys: &[(ObjectiveId, CohortId)]) -> Vec<TopSignatures> {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter()
            .map(|key| all.get(key).map_or_else(TopSignatures::default, Series::top))
            .collect()
    }
}

impl Series {
    /// Begins a new quarter of an hour when the old one is over.
    fn turn(&mut self, now: UnixNanos, config: &Config) {
        let age = now.secs_since(self.began);
        if age < config.window_secs {
            return;
        }
        let former = std::mem::take(&mut self.now);
        self.before = (age < 2 * config.window_secs).then_some((self.began, former));
        self.began = now;
    }

    fn top(&self) -> TopSignatures {
        let mut merged = self.now.counters.clone();
        let mut from = self.began;
        if let Some((began, before)) = &self.before {
            from = *began;
            for counter in &mut merged {
                let former = before.counters.iter().find(|c| c.signature == counter.signature);
                let (count, error) = former
                    .map_or((before.missing_at_most, before.missing_at_most), |former| {
                        (former.count, former.error)
                    });
                counter.count = counter.count.saturating_add(count);
                counter.error = counter.error.saturating_add(error);
            }
            let known = merged.len();
            for former in &before.counters {
                if merged.iter().take(known).all(|c| c.signature != former.signature) {
                    let mut counter = former.clone();
                    counter.count = counter.count.saturating_add(self.now.missing_at_most);
                    counter.error = counter.error.saturating_add(self.now.missing_at_most);
                    merged.push(counter);
                }
            }
        }
        merged.sort_by(|a, b| {
            let text = |c: &super::sketch::Counter| (c.signature.what.clone(), c.signature.route.clone());
            b.count.cmp(&a.count).then_with(|| text(a).cmp(&text(b)))
        });
        merged.truncate(TOP);
        TopSignatures {
            from,
            signatures: merged
                .iter()
                .map(|counter| ErrorSignature {
                    what: counter.signature.what.to_string(),
                    route: counter.signature.route.to_string(),
                    service: counter.signature.service.to_string(),
                    count: counter.count,
                    error: counter.error,
                    traces: counter
                        .traces
                        .iter()
                        .filter(|t| **t != [0; 2])
                        .map(hex_of)
                        .collect(),
                })
                .collect(),
        }
    }
}

fn hex_of(trace: &TraceId) -> String {
    trace.iter().map(|word| hex::encode(word.to_le_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Signature;
    use super::*;
    use std::sync::Arc;

    const CONFIG: Config = Config {
        window_secs: 900,
        max_series: 2,
    };

    fn delta(cohort: u32, what: &str, count: u64) -> SignatureDelta {
        SignatureDelta {
            objective: ObjectiveId(0),
            cohort: CohortId(cohort),
            signature: Arc::new(Signature::new("checkout", "/pay", what)),
            count,
            leaves: false,
            traces: [[0x0100, 0], [0; 2], [0; 2]],
        }
    }

    fn at(secs: u64) -> UnixNanos {
        UnixNanos::from_secs(1_800_000_000 + secs)
    }

    #[test]
    fn the_last_two_quarters_are_shown_together_and_older_ones_are_forgotten() {
        let book = SignatureBook::default();
        book.absorb(at(0), &[delta(1, "A", 3), delta(1, "B", 1)], &CONFIG);
        book.absorb(at(900), &[delta(1, "B", 4)], &CONFIG);
        let top = book.top(ObjectiveId(0), CohortId(1));
        let counts: Vec<_> = top
            .signatures
            .iter()
            .map(|s| (&*s.what, s.count, s.error))
            .collect();
        assert_eq!(counts, [("B", 5, 0), ("A", 3, 0)]);
        assert_eq!(top.from, at(0));
        assert_eq!(top.signatures[0].traces, ["00010000000000000000000000000000"]);
        book.absorb(at(2_700), &[delta(1, "C", 1)], &CONFIG);
        let top = book.top(ObjectiveId(0), CohortId(1));
        assert_eq!(top.signatures.len(), 1);
    }

    #[test]
    fn a_full_book_takes_no_new_series_until_old_ones_are_silent() {
        let book = SignatureBook::default();
        book.absorb(
            at(0),
            &[delta(1, "A", 1), delta(2, "A", 1), delta(3, "A", 1)],
            &CONFIG,
        );
        assert!(book.top(ObjectiveId(0), CohortId(3)).signatures.is_empty());
        book.absorb(at(1_801), &[delta(3, "A", 1)], &CONFIG);
        assert_eq!(book.top(ObjectiveId(0), CohortId(3)).signatures.len(), 1);
        assert!(book.top(ObjectiveId(0), CohortId(1)).signatures.is_empty());
    }

    #[test]
    fn an_event_that_leaves_is_counted_no_more() {
        let book = SignatureBook::default();
        let leaving = SignatureDelta {
            leaves: true,
            ..delta(1, "A", 2)
        };
        book.absorb(at(0), &[delta(1, "A", 3), leaving.clone()], &CONFIG);
        assert_eq!(book.top(ObjectiveId(0), CohortId(1)).signatures[0].count, 1);
        book.absorb(
            at(1),
            &[SignatureDelta {
                cohort: CohortId(9),
                ..leaving
            }],
            &CONFIG,
        );
        assert!(book.top(ObjectiveId(0), CohortId(9)).signatures.is_empty());
    }
}
