//! Received metrics as Prometheus scrapes them.
//!
//! Property wanted: whatever arrives, the page can be scraped: one type and help a name, one line a set of
//! labels; what would break that is left out and counted by reason. A series that expires is only hidden:
//! if its sender comes back it goes on from where it was, so that a counter never comes back lower.
//! Rejected: the library that writes the budget page, which knows no totals that are set from outside and
//! no series with a time of its own.

mod text;

use super::counted::Counted;
use super::prom::{Left, Store, StoreLimits, walk_points};
use crate::config::ReceivedPage;
use crate::pipeline::{Accepted, Batch, Consume, Consumed, Refusal, Signal};
use crate::time::Clock;
use crate::wire::Malformed;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub(super) use text::number;
pub use text::to_open_metrics;

/// The received metrics of one `prometheus` exporter.
#[derive(Debug)]
pub struct ReceivedMetrics {
    id: Arc<str>,
    config: ReceivedPage,
    clock: Arc<dyn Clock>,
    store: Mutex<Store>,
    counted: Counted,
}

impl ReceivedMetrics {
    /// An empty page of the exporter `id`.
    pub fn build(id: &str, config: &ReceivedPage, clock: Arc<dyn Clock>) -> Arc<Self> {
        let limits = StoreLimits {
            naming: config.naming.clone(),
            max_series: config.max_series,
            expiration: config.metric_expiration,
            with_examples: config.enable_open_metrics,
        };
        Arc::new(Self {
            id: id.into(),
            config: config.clone(),
            clock,
            store: Mutex::new(Store::new(limits)),
            counted: Counted::new(id),
        })
    }

    /// Whether scrapers that ask for OpenMetrics get it.
    pub fn speaks_open_metrics(&self) -> bool {
        self.config.enable_open_metrics
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, batch: &Batch) -> Result<Accepted, Refusal> {
        if batch.signal != Signal::Metrics {
            return Err(Refusal::Malformed("the prometheus exporter takes metrics".into()));
        }
        let now = self.clock.now();
        let mut points = 0u64;
        let mut reasons = [0u64; 4];
        let mut store = self.store();
        let mut last_resource: Option<&[u8]> = None;
        let walked = walk_points(&batch.bytes, |head| {
            points += 1;
            if let Err(reason) = store.apply(now, head)? {
                reasons[reason as usize] += 1;
            }
            if !last_resource.is_some_and(|last| std::ptr::eq(last, head.resource)) {
                last_resource = Some(head.resource);
                store.target(now, head.resource, 0).map(drop)?;
            }
            Ok::<(), Malformed>(())
        });
        metrics::gauge!("burngate_received_series", "exporter" => self.id.to_string())
            .set(store.len() as f64);
        drop(store);
        count_left(&self.id, &reasons);
        let left: u64 = reasons.iter().sum();
        self.counted.sent(Signal::Metrics, points - left);
        self.counted.failed(Signal::Metrics, left);
        match walked {
            Ok(()) => Ok(Accepted::all(points)),
            Err(error) => Err(Refusal::Malformed(error.to_string().into())),
        }
    }

    /// The page, without families whose names are `taken` by somebody else on it.
    pub fn render(&self, open_metrics: bool, taken: &HashSet<String>) -> String {
        let now = self.clock.now();
        // Names first, then family by family: a large page holds up no batch.
        let names: Vec<Arc<str>> = {
            let mut store = self.store();
            store.sweep(now);
            store.families.keys().map(Arc::clone).collect()
        };
        let mut page = text::Page::new(open_metrics, self.config.send_timestamps);
        for name in names {
            if text::names_on_page(&name).any(|name| taken.contains(name)) {
                continue;
            }
            let store = self.store();
            if let Some(family) = store.families.get(&name) {
                let shown = store.series_of(family).filter(|series| store.shows(now, series));
                page.family(&name, family, &shown.collect::<Vec<_>>());
            }
        }
        page.finish()
    }
}

/// Counts points that do not show, by reason.
pub(super) fn count_left(id: &str, reasons: &[u64; 4]) {
    for (reason, count) in Left::ALL
        .into_iter()
        .zip(reasons)
        .filter(|(_, count)| **count > 0)
    {
        metrics::counter!(
            "burngate_received_points_left_out_total",
            "exporter" => id.to_owned(),
            "reason" => reason.as_str()
        )
        .increment(*count);
    }
}

impl Consume for ReceivedMetrics {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let taken = self.take(&batch);
        Box::pin(async move { taken })
    }
}

#[cfg(test)]
mod tests;
