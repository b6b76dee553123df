//! The latest spans of burngate itself, for `/debug/tracez`: how many run, how long they took, which failed.
//!
//! Kept only where zpages ask for it, a handful for each name and each latency: so that the one slow request
//! of an hour is still there when somebody looks, whatever came after it.

use crate::pipeline::SPAN_TARGET;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Where the latency classes begin, in nanoseconds; the first begins at zero.
pub const LATENCIES_NS: [u64; 9] = [
    0,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
];
/// Names kept; spans of further ones are not.
const NAMES_MAX: usize = 256;
/// Spans kept of one name and class, and of its failures.
const KEPT: usize = 5;
/// Characters kept of an attribute.
const TEXT_MAX: usize = 256;

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct RecentSpan {
    /// When it began.
    pub started: Instant,
    /// How long it took.
    pub took: Duration,
    /// Its attributes.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The spans of one name.
#[derive(Clone, Debug, Default)]
pub struct NamedSpans {
    /// Begun and not ended.
    pub running: u64,
    /// Ended well, by latency class.
    pub ended: [u64; LATENCIES_NS.len()],
    /// Failed.
    pub failed: u64,
    /// The latest of each class.
    pub recent: [VecDeque<RecentSpan>; LATENCIES_NS.len()],
    /// The latest failures.
    pub failures: VecDeque<RecentSpan>,
}

/// The ring.
#[derive(Debug, Default)]
pub struct RecentSpans(Mutex<BTreeMap<String, NamedSpans>>);

impl RecentSpans {
    /// What is there now, by name.
    pub fn snapshot(&self) -> BTreeMap<String, NamedSpans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fills `recent`.
    pub(super) fn layer<S>(recent: &Arc<Self>) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let spans = filter_fn(|metadata| metadata.is_span() && metadata.target() == SPAN_TARGET);
        Recorder(recent.clone()).with_filter(spans)
    }

    fn begin(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains_key(name) || names.len() < NAMES_MAX {
            names.entry(name.to_owned()).or_default().running += 1;
        }
    }

    fn end(&self, name: &str, span: RecentSpan) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(named) = names.get_mut(name) else { return };
        named.running = named.running.saturating_sub(1);
        let kept = if span.error.is_some() {
            named.failed += 1;
            &mut named.failures
        } else {
            let took = u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX);
            let class = LATENCIES_NS
                .partition_point(|from| *from <= took)
                .saturating_sub(1);
            let Some((count, kept)) = named.ended.get_mut(class).zip(named.recent.get_mut(class)) else {
                return;
            };
            *count += 1;
            kept
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(span);
    }
}

struct Recorder(Arc<RecentSpans>);

/// What is known of a span while it runs.
struct Open {
    started: Instant,
    noted: Noted,
}

#[derive(Default)]
struct Noted {
    name: String,
    attributes: Vec<(&'static str, String)>,
    failed: bool,
    error: String,
}

impl Noted {
    fn take(&mut self, field: &Field, mut text: String) {
        if let Some((at, _)) = text.char_indices().nth(TEXT_MAX) {
            text.truncate(at);
        }
        match field.name() {
            "otel.name" => self.name = text,
            "otel.status_code" => self.failed = text == "ERROR",
            "otel.status_description" => self.error = text,
            "otel.kind" => {}
            name => self.attributes.push((name, text)),
        }
    }
}

impl Visit for Noted {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut noted = Noted::default();
        attributes.record(&mut noted);
        self.0.begin(&noted.name);
        span.extensions_mut().insert(Open {
            started: Instant::now(),
            noted,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.noted);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let Some(Open { started, noted }) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let ended = RecentSpan {
            started,
            took: started.elapsed(),
            attributes: noted.attributes,
            error: noted.failed.then_some(noted.error),
        };
        self.0.end(&noted.name, ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Accepted, Refusal, Signal, exporter_span, receiver_span, traced};
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn spans_are_kept_by_name_latency_and_failure() {
        let recent = Arc::new(RecentSpans::default());
        let subscriber = tracing_subscriber::registry().with(RecentSpans::layer(&recent));
        tracing::subscriber::with_default(subscriber, || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                for millis in [0, 5, 50, 50, 50, 50, 50, 50] {
                    let span = receiver_span("otlp", "grpc", Signal::Traces);
                    let work = async {
                        tokio::time::sleep(Duration::from_millis(millis)).await;
                        Ok(Accepted::all(7))
                    };
                    assert!(traced(span, work).await.is_ok());
                }
                let refused = Refusal::Malformed("not a message".into());
                let work = async { Err(refused) };
                assert!(
                    traced(exporter_span("otlp_grpc/apm", Signal::Logs), work)
                        .await
                        .is_err()
                );
                let _running = receiver_span("otlp", "grpc", Signal::Metrics);
                let now = recent.snapshot();
                assert_eq!(now["receiver/otlp/MetricsReceived"].running, 1);
                tracing::info!("an event is no span");
            });
        });
        let kept = recent.snapshot();
        let traces = &kept["receiver/otlp/TraceDataReceived"];
        assert_eq!(
            (traces.running, traces.failed, traces.ended.iter().sum::<u64>()),
            (0, 0, 8)
        );
        assert_eq!(
            (traces.ended[3], traces.ended[4], traces.recent[4].len()),
            (1, 6, KEPT)
        );
        assert!(
            traces.recent[4][0]
                .attributes
                .contains(&("accepted_items", "7".to_owned()))
        );
        let failed = &kept["exporter/otlp_grpc/apm/logs"];
        assert_eq!(
            (failed.failed, failed.failures[0].error.as_deref()),
            (1, Some("not a message"))
        );
        assert_eq!(kept["receiver/otlp/MetricsReceived"].running, 0);
    }

    #[test]
    fn names_and_texts_are_bounded() {
        let recent = RecentSpans::default();
        for name in 0..1000 {
            recent.begin(&name.to_string());
        }
        assert_eq!(recent.snapshot().len(), NAMES_MAX);
    }
}
