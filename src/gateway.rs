//! Wires everything; owns the clock, the tick, reload and the order of shutdown.
//!
//! Two runtimes. Receivers and pipelines run on one with a worker a core; the tick, the deliveries,
//! `/metrics`, the API and health run on another, so that a flood of telemetry never delays a kill, a scrape
//! or a probe, and an expensive page never delays a span.
//!
//! The order of a start: policies and exporters are checked, every port is bound, the store is read; only
//! then does anything answer. The order of an end: health says so, receivers stop accepting and finish what
//! they have, queues drain or are on disk, one last tick makes the counts durable, calls in flight end, the
//! store closes. All within ten seconds of SIGTERM.
//!
//! A reload (`reload`) is a start beside what runs: everything is checked and bound first, and only then
//! swapped. What holds counts (`core`) is not touched by it.

mod admissions;
mod authorize;
mod banner;
mod clock;
mod core;
mod exits;
mod extensions;
mod graph;
mod ingest;
mod listeners;
mod own;
mod pages;
mod plain;
mod plans;
mod prepared;
mod receivers;
mod rehearsal;
mod reload;
mod rules;
mod scribe;
mod servers;
mod services;
mod streams;
mod switch;
mod tick;

pub use authorize::AuthorizeError;
pub use clock::SystemClock;
pub use rehearsal::Rehearsal;
pub use reload::Reload;
pub use rules::cautions;

use self::core::Core;
use crate::act::{ActError, Decisions, JournalError};
use crate::api::ApiError;
use crate::config::Config;
use crate::connect::ConnectError;
use crate::extend::ProfilerError;
use crate::forward::{FileError, ForwardError, RemoteWriteError};
use crate::ledger::PlanError;
use crate::policy::{Board, PolicyError};
use crate::process::ProcessError;
use crate::publish::{BudgetPage, OtlpPublishError};
use crate::receive::{AuthError, GateError};
use crate::sli::SliError;
use crate::store::StoreError;
use crate::telemetry::TelemetryError;
use crate::time::Clock;
use graph::Graph;
use listeners::Sockets;
use prepared::Prepared;
use reload::Watcher;
use servers::{Change, Planes};
use services::Services;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Time that everything has between SIGTERM and the end.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(9);
/// Time of it that queues have to drain; what is left then is on disk, or lost and counted.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

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
    /// Leading indicators cannot be compiled.
    #[error(transparent)]
    Indicators(#[from] crate::indicate::PlanError),
    /// A policy's service is no pattern; the policy room refuses it first, with its line.
    #[error("a policy's service is not a valid pattern: {0}")]
    ServicePattern(globset::Error),
    /// A port cannot be had.
    #[error("{name} cannot listen on {endpoint}: {source}; is another gateway or Collector running there?")]
    Bind {
        /// The listener.
        name: String,
        /// Where it was to listen.
        endpoint: String,
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
    /// A processor cannot be built.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// An exporter of telemetry cannot be built.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// A file exporter cannot write.
    #[error(transparent)]
    File(#[from] FileError),
    /// A remote-write exporter cannot be built.
    #[error(transparent)]
    RemoteWrite(#[from] RemoteWriteError),
    /// A connector cannot be built.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The push of own metrics cannot be built.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A profile cannot be written.
    #[error(transparent)]
    Profiler(#[from] ProfilerError),
    /// An authenticator cannot be used.
    #[error("extension {0}")]
    Authenticator(#[from] AuthError),
    /// The TLS or authenticator of a receiver cannot be used.
    #[error("receiver {door}: {source}")]
    Gate {
        /// Which, such as `otlp/grpc`.
        door: String,
        /// What is wrong.
        source: GateError,
    },
    /// The credentials of an exporter cannot be used.
    #[error("exporter {exporter}: {source}")]
    Credentials {
        /// Which.
        exporter: String,
        /// What is wrong.
        source: AuthorizeError,
    },
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
    fn gate(door: &str, source: GateError) -> Self {
        Self::Gate {
            door: door.to_owned(),
            source,
        }
    }

    /// Whether the configuration (or a policy) is to blame, and not the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Policy(_)
                | Self::Act(_)
                | Self::Plan { .. }
                | Self::Sli(_)
                | Self::Indicators(_)
                | Self::Process(_)
                | Self::Forward(_)
                | Self::RemoteWrite(_)
                | Self::Connect(_)
                | Self::Authenticator(_)
                | Self::Gate { .. }
                | Self::Credentials { .. }
        )
    }
}

/// Runs until SIGTERM or SIGINT; `reload` says where a new configuration comes from.
pub fn run(config: Config, reload: &Reload) -> Result<(), GatewayError> {
    let gateway = Gateway::start(config, Arc::new(SystemClock))?;
    for line in gateway.banner() {
        crate::telemetry::announce(line);
    }
    gateway.until_signal(reload)
}

/// Everything that a start would refuse before it touches a port, for `burngate validate`.
pub fn check(config: Config) -> Result<(), GatewayError> {
    Prepared::check(config).map(drop)
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    data: Runtime,
    control: Runtime,
    config: Config,
    sockets: Sockets,
    banner: Vec<String>,
    core: Core,
    graph: Graph,
    services: Services,
    stop: watch::Sender<Stage>,
    tick: JoinHandle<()>,
}

/// How far the end has come; each part waits for its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Everything runs.
    Serving,
    /// Receivers stop accepting and finish what they have; deliveries finish their calls.
    Draining,
    /// Nothing comes in any more: connectors give what they have.
    Flushing,
    /// Queues drain, or stay on disk.
    Forwarding,
    /// Nothing is counted any more: the tick runs once more and ends.
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
        let data = runtime("burngate-data", None)?;
        let control = runtime("burngate-ctl", Some(2))?;
        // Before any part asks for a counter: handles made earlier would record nothing.
        crate::telemetry::metrics_handle();
        let (stop, stopping) = watch::channel(Stage::Serving);
        let planes = Planes {
            data: data.handle().clone(),
            control: control.handle().clone(),
        };
        let context = control.enter();
        let prepared = Prepared::check(config)?;
        let sockets = Sockets::bind(&servers::wanted(&prepared.config), &Sockets::default(), |name| {
            own::is_optional(&prepared.config, name)
        })?;
        let config = prepared.config.clone();
        let (policies, exporters) = (prepared.policies.clone(), prepared.exporters.clone());
        let authenticators = prepared.authenticators.clone();
        let banner = banner::lines(&config, &sockets.addresses(), &policies);
        let page = config.prometheus.as_ref().map(BudgetPage::new);
        let handle = page.as_ref().map(BudgetPage::handle);
        let (core, engines) = Core::open(&config, prepared, page, clock)?;
        let mut services = Services::new(stopping.clone());
        let tick = servers::engines(engines, core.clock.clone(), &planes, &mut services, &stopping);
        let (mut graph, parts) = Graph::build(&config, &core, &planes.data, None)?;
        let change = Change {
            config: &config,
            former: None,
            sockets: &sockets,
            former_sockets: &Sockets::default(),
            policies: &policies,
            exporters,
            core: &core,
            planes: &planes,
        };
        let starts = change.starts(handle.as_ref(), &graph, &authenticators)?;
        change.show();
        // Nothing was led anywhere before.
        let _ = graph.turn();
        for start in parts.into_iter().chain(starts) {
            start.run(&mut services);
        }
        core.health.serving();
        drop(context);
        Ok(Self {
            data,
            control,
            config,
            sockets,
            banner,
            core,
            graph,
            services,
            stop,
            tick,
        })
    }

    /// The lines to print.
    pub fn banner(&self) -> &[String] {
        &self.banner
    }

    /// Where the listener `name` (`otlp/grpc`, `otlp/http`, `prometheus`, `health`, `api`) ended up.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.sockets.addresses().get(name).copied()
    }

    /// The latest status of every series.
    pub fn board(&self) -> &Arc<Board> {
        &self.core.board
    }

    /// Every decision.
    pub fn decisions(&self) -> &Decisions {
        &self.core.decisions
    }

    /// Waits for SIGTERM or SIGINT (or for the tick to fail), reloads at SIGHUP, and ends in order.
    pub fn until_signal(mut self, reload: &Reload) -> Result<(), GatewayError> {
        let control = self.control.handle().clone();
        let failed = |source| GatewayError::System {
            what: "signal handlers",
            source,
        };
        let mut signals = {
            let _context = control.enter();
            Signals::listen().map_err(failed)?
        };
        let mut watcher = Watcher::of(&self.config);
        loop {
            let event = control.block_on(async {
                tokio::select! {
                    event = signals.next() => event,
                    () = watcher.changed() => Event::Reload("a file changed"),
                    ended = &mut self.tick => {
                        Event::TickEnded(ended.err().map_or("it ended".to_owned(), |e| e.to_string()))
                    }
                }
            });
            match event {
                Event::Stop(signal) => {
                    tracing::info!(signal, "shutting down");
                    self.shutdown();
                    return Ok(());
                }
                Event::Reload(why) => {
                    self.reload_from(reload, why);
                    watcher = Watcher::of(&self.config);
                }
                Event::TickEnded(reason) => {
                    tracing::error!(%reason, "the evaluation stopped; the gateway ends rather than pretend");
                    return Err(GatewayError::Tick(reason));
                }
            }
        }
    }

    /// Ends in order; see the module.
    pub fn shutdown(self) {
        let Self {
            data,
            control,
            core,
            sockets,
            mut services,
            stop,
            tick,
            ..
        } = self;
        core.health.stopping();
        // Clones of the sockets would keep the kernel's queues open.
        drop(sockets);
        let in_order = async {
            stop.send_replace(Stage::Draining);
            services.ended(Stage::Draining).await;
            stop.send_replace(Stage::Flushing);
            services.ended(Stage::Flushing).await;
            stop.send_replace(Stage::Forwarding);
            services.ended(Stage::Forwarding).await;
            stop.send_replace(Stage::LastTick);
            let _ = tick.await;
            stop.send_replace(Stage::Closing);
            services.ended(Stage::Closing).await;
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

fn runtime(name: &str, workers: Option<usize>) -> Result<Runtime, GatewayError> {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    let built = builder.thread_name(name).enable_all().build();
    built.map_err(|source| GatewayError::System {
        what: "threads",
        source,
    })
}

/// What the main thread waits for.
enum Event {
    Stop(&'static str),
    Reload(&'static str),
    TickEnded(String),
}

/// The signals that a gateway heeds.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.terminate.recv() => Event::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Event::Stop("SIGINT"),
            _ = self.hang_up.recv() => Event::Reload("SIGHUP"),
        }
    }
}
