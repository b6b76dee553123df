//! Processors: guards, edits of the raw bytes, samplers.
//!
//! Problem: a gateway is asked to change a few bytes of what it forwards: name an environment, drop a health
//! check, hide a password. Decoding and encoding a request for that costs ten times what forwarding it does.
//! Property wanted: a processor reads the wire's bytes and writes splices of them; what no rule matches goes
//! on as the very bytes that came in. Rejected: prost structs (memory and time), and a mutable tree of our
//! own (the same, later).
//!
//! Where each stands in a pipeline, [`crate::pipeline`] decides; `batch` is no stage but a wish that travels
//! with what leaves.

mod actions;
#[cfg(test)]
mod actions_tests;
mod ask;
mod attributes;
mod build;
mod client;
mod edits;
mod error;
mod filter;
mod matching;
mod memory_limiter;
mod memory_total;
mod meters;
mod ottl;
mod resource;
mod rules;
mod sampler;
#[cfg(test)]
mod testing;
mod text;
mod transform;

pub use ask::{About, Found, Questions};
pub use build::{Built, Context, build, check};
pub use error::ProcessError;
