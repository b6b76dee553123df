//! From the configuration to an exporter that runs.

use crate::config::OtlpExporter;
use crate::pipeline::{Batch, Consume, Consumed, Memory, Refusal};
use crate::time::Clock;
use http::{HeaderName, HeaderValue};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Credentials of an authenticator (`auth`), asked for once a call, because tokens change.
pub trait Authorize: Send + Sync + std::fmt::Debug + 'static {
    /// The header to add; `None` adds none.
    fn header(&self) -> Option<(HeaderName, HeaderValue)>;
}

/// What an exporter is given.
#[derive(Clone, Debug)]
pub struct Context {
    /// Charged for what waits and for what is under way.
    pub memory: Memory,
    /// For a backend's advice that is a date.
    pub clock: Arc<dyn Clock>,
    /// Folder of the `file_storage` that `sending_queue.storage` names.
    pub storage: Option<PathBuf>,
    /// The extension that `auth.authenticator` names.
    pub authorization: Option<Arc<dyn Authorize>>,
}

/// Why an exporter cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("exporter {id}: {message}")]
pub struct ForwardError {
    /// The exporter.
    pub id: String,
    /// What to change.
    pub message: String,
}

/// An exporter, ready to run. Keep it over a reload whose configuration of it is equal; else build the new one,
/// swap the pipelines, then shut this one down.
#[derive(Debug)]
pub struct Built {
    forwarder: Arc<OtlpForwarder>,
}

/// Takes batches over for one backend.
#[derive(Debug)]
pub struct OtlpForwarder {}

/// Builds the exporter `id`. Nothing runs and nothing is sent before [`Built::start`].
pub fn build_otlp(id: &str, config: &OtlpExporter, context: Context) -> Result<Built, ForwardError> {
    let _ = (id, config, context);
    Ok(Built {
        forwarder: Arc::new(OtlpForwarder {}),
    })
}

impl Built {
    /// The exit of pipelines.
    pub fn sink(&self) -> Arc<dyn Consume> {
        self.forwarder.clone()
    }

    /// Starts its tasks on `runtime`. Once.
    pub fn start(&self, runtime: &tokio::runtime::Handle) {
        let _ = runtime;
    }

    /// Takes nothing more, and sends or persists what it has within `deadline`.
    pub async fn shutdown(&self, deadline: Duration) {
        let _ = deadline;
    }
}

impl Consume for OtlpForwarder {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        drop(batch);
        Box::pin(async {
            Err(Refusal::Overloaded {
                message: "not started".into(),
                retry_after_secs: 1,
            })
        })
    }
}
