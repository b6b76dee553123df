//! What the command line says about the configuration, and the configuration that this comes to.

use crate::config::{Config, ConfigError, ConfigRequest, ConfigSource, Unsupported};
use crate::process;
use clap::{Args, ValueEnum};

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Configuration: a file, `env:NAME` or `yaml:TEXT`. Several merge, the later one wins; without any the
    /// built-in config/gateway.yaml, with every default
    #[arg(long, short, value_name = "SOURCE", env = "BURNGATE_CONFIG", value_parser = source)]
    config: Vec<ConfigSource>,
    /// One value on top of it, such as processors.batch.timeout=2s (`::` in place of `.` where a name has a
    /// dot)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What to do about components that run in a Collector and not here: refuse, or leave out with a warning
    #[arg(
        long,
        value_name = "WHAT",
        env = "BURNGATE_UNSUPPORTED",
        value_enum,
        default_value_t
    )]
    unsupported: OnUnsupported,
    /// Taken for the Collector's sake and ignored
    #[arg(long, value_name = "GATES", hide_short_help = true)]
    feature_gates: Vec<String>,
}

/// See [`ConfigArgs`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OnUnsupported {
    #[default]
    Error,
    Warn,
}

fn source(written: &str) -> Result<ConfigSource, String> {
    if written.is_empty() {
        return Ok(ConfigSource::Embedded);
    }
    ConfigSource::parse(written)
}

impl ConfigArgs {
    /// What was asked for.
    pub(super) fn request(&self) -> ConfigRequest {
        ConfigRequest {
            sources: self.config.clone(),
            set: self.set.clone(),
            unsupported: match self.unsupported {
                OnUnsupported::Error => Unsupported::Error,
                OnUnsupported::Warn => Unsupported::Warn,
            },
        }
    }

    /// The configuration, with what its processors say of their conditions and statements.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        let request = self.request();
        let mut config = request.load()?;
        if !self.feature_gates.is_empty() {
            let gates = self.feature_gates.join(",");
            config
                .warnings
                .push(format!("--feature-gates {gates}: ignored, there are none here"));
        }
        let mut problems = Vec::new();
        for processor in config.graph.processors.clone() {
            match process::check(&processor.id, &processor.config) {
                Ok(()) => {}
                Err(error) if request.unsupported == Unsupported::Warn => {
                    config.leave_out_processor(&processor.id, &error.problems);
                }
                Err(error) => problems.extend(error.problems),
            }
        }
        if problems.is_empty() {
            return Ok(config);
        }
        Err(request.error(problems))
    }
}
