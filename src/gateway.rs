//! Wires everything; owns the clock, the tick and the order of shutdown.
//!
//! Two runtimes. Receivers run on one with a worker a core; the tick, the deliveries, `/metrics`, the API and
//! health run on another, so that a flood of telemetry never delays a kill, a scrape or a probe, and an
//! expensive page never delays a span.
//!
//! The order of a start: policies and exporters are checked, every port is bound, the store is read; only
//! then does anything answer. The order of an end: health says so, receivers stop accepting and finish what
//! they have, one last tick makes it durable, calls in flight end, the store closes. All within ten seconds
//! of SIGTERM.

mod banner;
mod clock;
mod graph;
mod ingest;
mod listeners;
mod parts;
mod plain;
mod plans;
mod servers;
mod switch;
mod tick;

pub use clock::SystemClock;

use crate::act::{ActError, Decisions, JournalError};
use crate::api::ApiError;
use crate::config::Config;
use crate::ledger::PlanError;
use crate::policy::{Board, PolicyError};
use crate::publish::OtlpPublishError;
use crate::sli::SliError;
use crate::store::StoreError;
use crate::time::Clock;
use parts::Parts;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Time that everything has between SIGTERM and the end.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(9);

/// Why a gateway does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A policy is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A kill switch or its exporter cannot work.
    #[error(transparent)]
    Act(#[from] ActError),
    /// The windows of a policy cannot be kept.
    #[error("windows of {service}/{slo}: {source}")]
    Plan {
        /// The service.
        service: String,
        /// The SLO.
        slo: String,
        /// What is wrong with them.
        source: PlanError,
    },
    /// Objectives and cohorts cannot be compiled.
    #[error(transparent)]
    Sli(#[from] SliError),
    /// A policy's service is no pattern; the policy room refuses it first, with its line.
    #[error("a policy's service is not a valid pattern: {0}")]
    ServicePattern(globset::Error),
    /// A port cannot be had.
    #[error("{name} cannot listen on {endpoint}: {source}; is another gateway or Collector running there?")]
    Bind {
        /// The listener.
        name: &'static str,
        /// Where it was to listen.
        endpoint: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal of decisions cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The API cannot be built.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A push exporter cannot be built.
    #[error(transparent)]
    Otlp(#[from] OtlpPublishError),
    /// Threads or signal handlers cannot be had.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The evaluation failed; a gateway that does not evaluate must not pretend to.
    #[error("the evaluation stopped: {0}")]
    Tick(String),
}

impl GatewayError {
    /// Whether the configuration (or a policy) is to blame, and not the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Policy(_) | Self::Act(_) | Self::Plan { .. } | Self::Sli(_)
        )
    }
}

/// Runs until SIGTERM or SIGINT.
pub fn run(config: Config) -> Result<(), GatewayError> {
    let gateway = Gateway::start(config, Arc::new(SystemClock))?;
    for line in gateway.banner() {
        crate::telemetry::announce(line);
    }
    gateway.until_signal()
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    data: Runtime,
    control: Runtime,
    addresses: BTreeMap<&'static str, SocketAddr>,
    banner: Vec<String>,
    board: Arc<Board>,
    decisions: Decisions,
    health: Arc<crate::api::Health>,
    stop: watch::Sender<Stage>,
    receivers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    tick: JoinHandle<()>,
}

/// How far the end has come; each part waits for its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everything runs.
    Serving,
    /// Receivers stop accepting and finish what they have; deliveries finish their calls.
    Draining,
    /// Nothing comes in any more: the tick runs once more and ends.
    LastTick,
    /// The rest ends.
    Closing,
}

/// Resolves when the end has come to `stage`.
async fn reached(mut stop: watch::Receiver<Stage>, stage: Stage) {
    // An error means that the gateway is gone: the end as well.
    let _ = stop.wait_for(|now| *now >= stage).await;
}

impl Gateway {
    /// Starts everything; when this returns, every listener answers.
    pub fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, GatewayError> {
        let runtime = |name, workers: Option<usize>| {
            let mut builder = Builder::new_multi_thread();
            if let Some(workers) = workers {
                builder.worker_threads(workers);
            }
            let built = builder.thread_name(name).enable_all().build();
            built.map_err(|source| GatewayError::System {
                what: "threads",
                source,
            })
        };
        let data = runtime("burngate-data", None)?;
        let control = runtime("burngate-ctl", Some(2))?;
        // Before any part asks for a counter: handles made earlier would record nothing.
        crate::telemetry::metrics_handle();
        let (stop, stopping) = watch::channel(Stage::Serving);
        let parts = {
            let _context = control.enter();
            Parts::build(config, clock)?
        };
        let Parts {
            listeners,
            addresses,
            banner,
            board,
            decisions,
            health,
            ..
        } = &parts;
        let (addresses, banner) = (addresses.clone(), banner.clone());
        let (board, decisions, health) = (board.clone(), decisions.clone(), health.clone());
        tracing::debug!(?listeners, "bound");
        let (receivers, others, tick) = servers::spawn(parts, &data, &control, &stopping)?;
        health.serving();
        Ok(Self {
            data,
            control,
            addresses,
            banner,
            board,
            decisions,
            health,
            stop,
            receivers,
            others,
            tick,
        })
    }

    /// The lines to print.
    pub fn banner(&self) -> &[String] {
        &self.banner
    }

    /// Where the listener `name` (`otlp/grpc`, `otlp/http`, `prometheus`, `health`, `api`) ended up.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.addresses.get(name).copied()
    }

    /// The latest status of every series.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Every decision.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Waits for SIGTERM or SIGINT (or for the tick to fail), and ends in order.
    pub fn until_signal(mut self) -> Result<(), GatewayError> {
        let failed = self.control.block_on(async {
            let signals = signals().map_err(|source| GatewayError::System { what: "signal handlers", source })?;
            tokio::select! {
                name = signals => {
                    tracing::info!(signal = name, "shutting down");
                    Ok::<_, GatewayError>(None)
                }
                ended = &mut self.tick => Ok(Some(ended.err().map_or("it ended".to_owned(), |e| e.to_string()))),
            }
        })?;
        match failed {
            None => {
                self.shutdown();
                Ok(())
            }
            Some(reason) => {
                tracing::error!(%reason, "the evaluation stopped; the gateway ends rather than pretend");
                Err(GatewayError::Tick(reason))
            }
        }
    }

    /// Ends in order; see the module.
    pub fn shutdown(self) {
        let Self {
            data,
            control,
            health,
            stop,
            receivers,
            others,
            tick,
            ..
        } = self;
        health.stopping();
        let in_order = async {
            stop.send_replace(Stage::Draining);
            for receiver in receivers {
                let _ = receiver.await;
            }
            stop.send_replace(Stage::LastTick);
            let _ = tick.await;
            stop.send_replace(Stage::Closing);
            for other in others {
                let _ = other.await;
            }
        };
        let in_time =
            control.block_on(async { tokio::time::timeout(SHUTDOWN_WITHIN, in_order).await.is_ok() });
        if !in_time {
            tracing::warn!(
                "not everything ended in time; what was counted is in the store up to the last tick"
            );
        }
        data.shutdown_timeout(Duration::from_millis(100));
        control.shutdown_timeout(Duration::from_millis(500));
    }
}

/// Resolves with the name of the signal that came.
fn signals() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
