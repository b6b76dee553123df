//! What `filter` and `transform` have in common: signals and contexts by their names in the file.

use super::edits::request_of;
use super::ottl::{Context, OttlError};
use crate::config::Statement;
use crate::pipeline::Signal;

/// The signal that the configuration calls so.
pub(super) fn slot(signal: &str) -> Signal {
    match signal {
        "metrics" => Signal::Metrics,
        "logs" => Signal::Logs,
        _ => Signal::Traces,
    }
}

/// The context that is written, or else the one that the text's paths say.
pub(super) fn context(
    signal: &str,
    written: Option<&Statement>,
    inferred: impl FnOnce() -> Result<Context, OttlError>,
) -> Result<Context, OttlError> {
    let Some(written) = written else {
        return inferred();
    };
    let known = Context::of(request_of(slot(signal)));
    let context = Context::named(&written.text).filter(|context| known.contains(context));
    context.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|context| context.name()).collect();
        let message = format!(
            "not supported: the context `{}` for {signal}; here are {}",
            written.text,
            names.join(", ")
        );
        OttlError::new(1, message)
    })
}
