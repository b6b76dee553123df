//! Wires everything; owns the clock, the tick and the order of shutdown.

use crate::config::Config;

/// Why the gateway did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The async runtime could not be built.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

impl GatewayError {
    /// Whether the configuration or a policy is to blame (exit code 64) and not the machine (exit code 1).
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Runtime(_) => false,
        }
    }
}

/// Runs until a signal ends it.
#[allow(clippy::needless_pass_by_value, reason = "the gateway takes the configuration apart")]
pub fn run(config: Config) -> Result<(), GatewayError> {
    let _ = config;
    Ok(())
}
