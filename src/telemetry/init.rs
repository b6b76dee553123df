//! Sets the process up to speak: log, own traces, recent spans, each a layer that hears only what is for it.

use super::logs::{LogFilter, log_layer};
use super::otlp::TelemetryError;
use super::recent::RecentSpans;
use super::traces::OwnTraces;
use super::{OwnResource, logs};
use crate::config::{LogsConfig, TelemetryConfig};
use std::sync::{Arc, OnceLock};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

static FILTER: OnceLock<LogFilter> = OnceLock::new();
static RECENT: OnceLock<Arc<RecentSpans>> = OnceLock::new();

/// Keeps own traces running; dropping it pushes what waits.
#[derive(Debug, Default)]
pub struct TelemetryGuard {
    traces: Option<OwnTraces>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            traces.finish();
        }
    }
}

/// Sets up the log and, where they are configured, own traces; `keep_recent` keeps the latest spans for
/// zpages. Call it once, before anything worth a line happens: a second call changes nothing.
pub fn init(config: &TelemetryConfig, keep_recent: bool) -> Result<TelemetryGuard, TelemetryError> {
    let resource = OwnResource::new(&config.resource);
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    let (log, filter) = log_layer(&config.logs, &resource)?;
    layers.push(log);
    let traces = OwnTraces::start(&config.traces, &resource)?;
    if let Some(traces) = &traces {
        layers.push(traces.layer().boxed());
    }
    let recent = keep_recent.then(|| Arc::new(RecentSpans::default()));
    if let Some(recent) = &recent {
        layers.push(RecentSpans::layer(recent).boxed());
    }
    if tracing_subscriber::registry().with(layers).try_init().is_ok() {
        let _ = FILTER.set(filter);
        if let Some(recent) = recent {
            let _ = RECENT.set(recent);
        }
    }
    Ok(TelemetryGuard { traces })
}

/// The level of a new configuration, taken on at once; `RUST_LOG` still wins. What else a log has (encoding,
/// outputs) holds until the next start.
pub fn reload_log_level(config: &LogsConfig) {
    if let Some(filter) = FILTER.get() {
        let _ = filter.reload(logs::filter(
            config.level,
            std::env::var("RUST_LOG").ok().as_deref(),
        ));
    }
}

/// The latest spans of burngate itself; `None` when they are not kept.
pub fn recent_spans() -> Option<Arc<RecentSpans>> {
    RECENT.get().cloned()
}
