//! `processors`: what happens to telemetry on its way.
//!
//! Every processor reads its keys here, and refuses what its room cannot do: types, ranges, regular
//! expressions. Statements and conditions stay text with its place; `process` parses them, because their
//! language stands above this room, and tells what it does not understand by the same kind of problem.
#![allow(
    clippy::unnecessary_wraps,
    reason = "all readers have one signature: `None` stands beside a reported problem"
)]

mod actions;
mod batch;
mod conditions;
mod matching;
mod memory_limiter;
mod sampler;

pub use actions::{
    Action, ActionKind, AttributesProcessor, ConvertTo, Origin, PlainValue, ResourceProcessor,
};
pub use batch::BatchProcessor;
pub use conditions::{
    ErrorMode, FilterGroup, FilterProcessor, Statement, StatementGroup, TransformProcessor,
};
pub use matching::{AttributeMatch, LibraryMatch, Matching, SeverityMatch};
pub use memory_limiter::MemoryLimiter;
pub use sampler::{AttributeSource, ProbabilisticSampler, SamplerMode};

/// One processor.
#[derive(Clone, Debug, PartialEq)]
pub enum Processor {
    /// `memory_limiter`.
    MemoryLimiter(MemoryLimiter),
    /// `batch`.
    Batch(BatchProcessor),
    /// `resource`.
    Resource(ResourceProcessor),
    /// `attributes`.
    Attributes(AttributesProcessor),
    /// `filter`.
    Filter(FilterProcessor),
    /// `probabilistic_sampler`.
    ProbabilisticSampler(ProbabilisticSampler),
    /// `transform`.
    Transform(TransformProcessor),
}
