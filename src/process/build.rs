//! From the configuration of a processor to what a pipeline runs.

use super::ProcessError;
use super::attributes::AttributeEdits;
use super::filter::Filter;
use super::memory_limiter::MemoryGuard;
use super::memory_total;
use super::resource::ResourceEdits;
use super::sampler::Sampler;
use super::transform::Transform;
use crate::config::{BatchProcessor, Processor};
use crate::pipeline::{Batching, Memory, Process};
use crate::time::Clock;
use std::path::Path;
use std::sync::Arc;

/// What processors know of the gateway around them.
#[derive(Clone)]
pub struct Context {
    /// Bytes that queues and batches hold.
    pub memory: Memory,
    /// Bytes of the requests that receivers are working on.
    pub receiving: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Where `now` comes from.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// What a processor became.
#[derive(Clone)]
pub enum Built {
    /// A stage of the pipeline.
    Stage(Arc<dyn Process>),
    /// A wish to the queues of its exporters.
    Batching(Arc<Batching>),
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stage(stage) => f.debug_tuple("Stage").field(&stage.stage()).finish(),
            Self::Batching(batching) => f.debug_tuple("Batching").field(batching).finish(),
        }
    }
}

/// Builds the processor `id` (such as `batch` or `filter/health`). One that several pipelines name is built
/// once and shared.
pub fn build(id: &str, config: &Processor, context: &Context) -> Result<Built, ProcessError> {
    Ok(match config {
        Processor::MemoryLimiter(config) => {
            let total = memory_total::total_bytes(Path::new("/"));
            Built::Stage(Arc::new(MemoryGuard::new(id, config, total, context)?))
        }
        Processor::Batch(config) => Built::Batching(Arc::new(batching(id, config))),
        other => Built::Stage(editor(id, other)?),
    })
}

/// A processor that needs to know nothing of the gateway.
fn editor(id: &str, config: &Processor) -> Result<Arc<dyn Process>, ProcessError> {
    Ok(match config {
        Processor::Resource(config) => Arc::new(ResourceEdits::new(id, config)?),
        Processor::Attributes(config) => Arc::new(AttributeEdits::new(id, config)?),
        Processor::Filter(config) => Arc::new(Filter::new(id, config)?),
        Processor::Transform(config) => Arc::new(Transform::new(id, config)?),
        Processor::ProbabilisticSampler(config) => Arc::new(Sampler::new(id, config)),
        Processor::MemoryLimiter(_) | Processor::Batch(_) => {
            return Err(ProcessError::whole(id, "is no stage that edits"));
        }
    })
}

/// Everything that [`build`] would refuse, without a gateway around it: for `burngate validate`.
pub fn check(id: &str, config: &Processor) -> Result<(), ProcessError> {
    match config {
        Processor::MemoryLimiter(config) => {
            MemoryGuard::check(id, config, memory_total::total_bytes(Path::new("/")))
        }
        Processor::Batch(_) => Ok(()),
        other => editor(id, other).map(drop),
    }
}

fn batching(id: &str, config: &BatchProcessor) -> Batching {
    Batching {
        id: id.into(),
        min_items: config.send_batch_size,
        max_items: config.send_batch_max_size,
        timeout: config.timeout,
        metadata_keys: config
            .metadata_keys
            .iter()
            .map(|key| key.to_ascii_lowercase().into())
            .collect(),
        metadata_cardinality_limit: config.metadata_cardinality_limit,
    }
}
