//! OTLP to a backend: what a pipeline's batch goes through after it was handed over.

mod build;

pub use build::{Authorize, Built, Context, ForwardError, OtlpForwarder, build_otlp};
