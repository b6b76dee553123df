//! Everything that the demo starts, and its end: nothing stays behind.

use super::flags::{self, FlagService};
use super::shop::Shop;
use crate::config::{Config, ConfigError, ConfigSource, Secret};
use crate::gateway::{Gateway, GatewayError, SystemClock};
use crate::time::Clock;
use opentelemetry_otlp::ExporterBuildError;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// The gateway's configuration and the shop's policy; files that may be read, copied and run.
const GATEWAY_YAML: &str = include_str!("../../../config/demo/gateway.yaml");
const POLICY_YAML: &str = include_str!("../../../config/demo/policies/shop.yaml");
/// The gateway's log, in the folder that leaves with the demo.
const LOG: &str = "burngate.log";
/// Lines of it that are shown when something went wrong.
const LOG_TAIL: usize = 20;

/// Why the demo cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    /// The system refuses something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The demo's own configuration does not hold.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The gateway does not start.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The shop's SDK does not start.
    #[error("the shop's OpenTelemetry SDK: {0}")]
    Sdk(#[from] ExporterBuildError),
    /// The HTTP client of the shop's flag client.
    #[error("the shop's HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// A listener that the configuration asks for is not there.
    #[error("the gateway has no listener {0}")]
    Listener(&'static str),
}

/// The stage, set.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) runtime: Runtime,
    pub(super) gateway: Gateway,
    pub(super) otlp: SocketAddr,
    pub(super) api: SocketAddr,
    pub(super) flags: FlagService,
    pub(super) shop: Shop,
    pub(super) clock: Arc<dyn Clock>,
    home: TempDir,
}

impl Stage {
    /// Starts the flag service, the gateway, and the shop, in this order.
    pub(super) fn set() -> Result<Self, StageError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let home = TempDir::with_prefix("burngate-demo-").map_err(system("a temporary folder"))?;
        log_into(&home.path().join(LOG)).map_err(system("a log file"))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("burngate-demo")
            .enable_all()
            .build()
            .map_err(system("threads"))?;
        let token = Secret::new(format!("demo-{:032x}", fastrand::u128(..)));
        let flags = runtime
            .block_on(FlagService::start(clock.clone(), token.clone()))
            .map_err(system("a port for the flag service"))?;
        let config = configure(home.path(), &flags.disable_url(), &token)?;
        let gateway = Gateway::start(config, clock.clone())?;
        let listener = |name| gateway.address(name).ok_or(StageError::Listener(name));
        let (otlp, api) = (listener("otlp/grpc")?, listener("api")?);
        let shop = {
            let _inside = runtime.enter();
            let http = reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(2))
                .build()?;
            let states = flags::client(flags.list_url(), http, flags.states());
            Shop::open(otlp, states, clock.clone())?
        };
        Ok(Self {
            runtime,
            gateway,
            otlp,
            api,
            flags,
            shop,
            clock,
            home,
        })
    }

    /// The end of the gateway's log.
    pub(super) fn log_tail(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.home.path().join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(LOG_TAIL))
            .map(|l| (*l).to_owned())
            .collect()
    }

    /// Ends everything in order; the folder goes last.
    pub(super) fn strike(self) {
        let Self {
            runtime,
            gateway,
            shop,
            home,
            ..
        } = self;
        shop.close();
        gateway.shutdown();
        runtime.shutdown_timeout(Duration::from_secs(1));
        if let Err(error) = home.close() {
            crate::cli::complain(&format!("burngate: the demo's folder stays behind: {error}"));
        }
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StageError {
    move |source| StageError::System { what, source }
}

/// Writes the files of the demo and reads them as any gateway would. A process cannot set its own
/// environment safely, so the three variables that the file names are filled in here.
fn configure(home: &Path, disable_url: &str, token: &Secret) -> Result<Config, StageError> {
    let yaml = GATEWAY_YAML
        .replace("${env:DEMO_FLAG_SERVICE}", disable_url)
        .replace("${env:DEMO_FLAG_TOKEN}", token.expose())
        .replace("${env:DEMO_DATA_DIR}", &home.join("data").to_string_lossy());
    let policies = home.join("policies");
    let file = home.join("gateway.yaml");
    std::fs::create_dir(&policies)
        .and_then(|()| std::fs::write(policies.join("shop.yaml"), POLICY_YAML))
        .and_then(|()| std::fs::write(&file, yaml))
        .map_err(system("the demo's files"))?;
    Ok(Config::load(&ConfigSource::File(file))?)
}

/// The gateway's log goes to a file: the terminal belongs to the view.
fn log_into(path: &Path) -> io::Result<()> {
    let file = Mutex::new(File::create(path)?);
    // A second call in one process (tests) keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn,burngate=info"))
        .with_ansi(false)
        .with_target(false)
        .with_writer(file)
        .try_init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::scene::{
        FLAGS, RULE_BURN_ABOVE, RULE_CONTRAST, RULE_WINDOW_SECS, SERVICES, SHORT_WINDOW_SECS,
    };
    use crate::policy::{self, KillMode};

    fn configured() -> (TempDir, Config) {
        let home = TempDir::new().unwrap();
        let config = configure(
            home.path(),
            "http://127.0.0.1:1/flags/disable",
            &Secret::new("demo-1"),
        );
        (home, config.unwrap())
    }

    #[test]
    fn the_demos_configuration_holds_and_stays_on_loopback() {
        let (home, config) = configured();
        assert_eq!(config.warnings, Vec::<String>::new());
        assert_eq!(
            config.storage.as_ref().unwrap().directory,
            home.path().join("data")
        );
        let grpc = config.receivers[0].config.grpc.as_ref().unwrap();
        assert_eq!(grpc.endpoint.to_string(), "127.0.0.1:0");
        assert!(!GATEWAY_YAML.contains("0.0.0.0"));
    }

    #[test]
    fn every_flag_is_armed_where_it_fails_and_the_windows_are_the_policys() {
        let (_home, config) = configured();
        let policies = policy::load(&config.error_budget.policies, config.policy_base()).unwrap();
        assert_eq!(policies.warnings().len(), 0, "{:?}", policies.warnings());
        let services: Vec<&str> = policies.policies().iter().map(|p| p.service.as_str()).collect();
        assert!(SERVICES.iter().all(|s| services.contains(s)), "{services:?}");
        for flag in FLAGS {
            let armed = policies
                .kill_switches()
                .find(|(p, k)| p.service.as_str() == "checkout" && *k.flag == *flag);
            let (_, switch) = armed.unwrap();
            let when = switch.when;
            assert_eq!(
                (switch.mode, when.window_secs),
                (KillMode::Auto, RULE_WINDOW_SECS)
            );
            let figures = (when.burn_above.to_string(), when.contrast.to_string());
            assert_eq!(figures, (RULE_BURN_ABOVE.to_string(), RULE_CONTRAST.to_string()));
        }
        let alert = &policies.policies()[0].slos[0].alerts[0];
        assert!(alert.windows.iter().any(|w| w.window_secs == SHORT_WINDOW_SECS));
    }
}
