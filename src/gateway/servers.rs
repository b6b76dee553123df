//! Sets the services of a configuration running, each on its plane's runtime; a reload touches those that
//! changed.

use super::core::{Core, Engines};
use super::extensions;
use super::graph::Graph;
use super::listeners::{Sockets, Wanted};
use super::own;
use super::pages;
use super::plain;
use super::receivers;
use super::services::{Ending, Services};
use super::tick::Tick;
use super::{GatewayError, Stage, reached};
use crate::act::{ChangeWatch, Exporters, Preflight, RuleTarget};
use crate::api::{Events, api_router, health_router};
use crate::config::{Config, Endpoint};
use crate::policy::PolicySet;
use crate::publish::{OtlpPublisher, PageHandle};
use crate::receive::{Authenticators, Bound, Listener};
use crate::time::Clock;
use axum::Router;
use std::pin::Pin;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The two runtimes.
#[derive(Clone, Debug)]
pub(super) struct Planes {
    pub(super) data: Handle,
    pub(super) control: Handle,
}

/// What the evaluation and the deliveries of a gateway run as, from its start to its end.
pub(super) fn engines(
    engines: Engines,
    clock: Arc<dyn Clock>,
    planes: &Planes,
    services: &mut Services,
    stopping: &watch::Receiver<Stage>,
) -> JoinHandle<()> {
    let Engines { tick, delivery } = engines;
    services.put("delivery", &planes.control, Stage::Draining, |ending| {
        delivery.run(ended(ending))
    });
    let own = crate::telemetry::metrics_handle();
    planes
        .control
        .spawn(run_ticks(tick, clock, own, stopping.clone()))
}

/// Where everything of `config` wants to listen, by name.
pub(super) fn wanted(config: &Config) -> Wanted {
    let mut wanted = Wanted::new();
    let mut add = |name: &str, endpoint: Option<Endpoint>| {
        if let Some(endpoint) = endpoint {
            wanted.insert(name.to_owned(), endpoint);
        }
    };
    for receiver in &config.receivers {
        let (grpc, http) = receivers::doors(&receiver.id);
        add(&grpc, receiver.config.grpc.as_ref().map(|c| c.endpoint.clone()));
        add(&http, receiver.config.http.as_ref().map(|c| c.endpoint.clone()));
    }
    for page in pages::pages(config) {
        add(&page.name, Some(page.exporter.endpoint.into()));
    }
    own::wanted(config, &mut wanted);
    extensions::wanted(config, &mut wanted);
    let mut add = |name: &str, endpoint: Option<Endpoint>| {
        if let Some(endpoint) = endpoint {
            wanted.insert(name.to_owned(), endpoint);
        }
    };
    add("health", config.health.as_ref().map(|c| c.endpoint.into()));
    add("api", config.api.as_ref().map(|c| c.endpoint.into()));
    wanted
}

/// A service that is ready to run.
pub(super) struct Start {
    name: String,
    on: Handle,
    until: Stage,
    serve: Box<dyn FnOnce(Ending) -> Served + Send>,
}

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Resolves when a service is to end.
pub(super) type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

fn ended(ending: Ending) -> Ended {
    Box::pin(async {
        ending.await;
    })
}

impl Start {
    /// A service that ends in the same way whatever the reason.
    pub(super) fn new<F>(
        name: impl Into<String>,
        on: &Handle,
        until: Stage,
        serve: impl FnOnce(Ended) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::that_knows(name, on, until, |ending| serve(ended(ending)))
    }

    /// A service that must know whether it is replaced.
    pub(super) fn that_knows<F>(
        name: impl Into<String>,
        on: &Handle,
        until: Stage,
        serve: impl FnOnce(Ending) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            name: name.into(),
            on: on.clone(),
            until,
            serve: Box::new(|ending| Box::pin(serve(ending))),
        }
    }

    /// Runs it, in the place of whatever has its name.
    pub(super) fn run(self, services: &mut Services) {
        services.put(&self.name, &self.on, self.until, self.serve);
    }
}

/// One configuration about to run, beside the one that runs (at a start there is none).
pub(super) struct Change<'a> {
    pub(super) config: &'a Config,
    pub(super) former: Option<&'a Config>,
    pub(super) sockets: &'a Sockets,
    pub(super) former_sockets: &'a Sockets,
    pub(super) policies: &'a Arc<PolicySet>,
    pub(super) exporters: Arc<Exporters>,
    pub(super) core: &'a Core,
    pub(super) planes: &'a Planes,
}

impl Change<'_> {
    /// Whether what `of` picks from the configuration stayed as it was, and `name` listens where it did.
    pub(super) fn stays<T: PartialEq>(&self, name: &str, of: impl Fn(&Config) -> T) -> bool {
        self.sockets.agrees(self.former_sockets, name)
            && self.former.is_some_and(|former| of(former) == of(self.config))
    }

    /// Everything that must be started (anew), in order: receivers last, so that what they feed runs by then.
    pub(super) fn starts(
        &self,
        page: Option<&PageHandle>,
        graph: &Graph,
        authenticators: &Authenticators,
    ) -> Result<Vec<Start>, GatewayError> {
        let mut starts = Vec::new();
        self.pages(&mut starts, page, graph)?;
        self.listeners(&mut starts)?;
        self.own_metrics(&mut starts)?;
        self.extensions(&mut starts)?;
        self.publishers(&mut starts)?;
        for receiver in &self.config.receivers {
            self.receiver(&mut starts, receiver, graph, authenticators)?;
        }
        Ok(starts)
    }

    /// The small listeners.
    fn listeners(&self, starts: &mut Vec<Start>) -> Result<(), GatewayError> {
        if let Some(check) = &self.config.health
            && !self.stays("health", |c| c.health.clone())
        {
            self.serve(starts, "health", health_router(check, self.core.health.clone()))?;
        }
        if let Some(api) = &self.config.api
            && !self.stays("api", |c| c.api.clone())
        {
            let events = Events::new(self.core.scribe.clone(), api.token.as_ref());
            let (token, changes) = (api.token.clone(), &api.flag_changes);
            let router = api_router(self.core.api.clone(), events, token, &api.admins, changes)?;
            self.serve(starts, "api", router)?;
        }
        Ok(())
    }

    /// The publishers of budgets and the probes of flag services.
    fn publishers(&self, starts: &mut Vec<Start>) -> Result<(), GatewayError> {
        let control = &self.planes.control;
        let rules = RuleTarget::in_use(self.policies);
        let preflight = Preflight::new(self.exporters.clone(), &rules, self.core.clock.clone())
            .among(self.core.health.components());
        starts.push(Start::new("preflight", control, Stage::Draining, |ending| {
            preflight.run(ending)
        }));
        let changes = self.core.api.changes.clone();
        let watch = ChangeWatch::new(self.exporters.clone(), &rules, self.core.clock.clone(), changes);
        starts.push(Start::new("flag changes", control, Stage::Draining, |ending| {
            watch.run(ending)
        }));
        for exporter in &self.config.otlp_metrics {
            if self
                .former
                .is_some_and(|former| former.otlp_metrics.contains(exporter))
            {
                continue;
            }
            let publisher = OtlpPublisher::new(exporter, self.core.board.clone())?;
            let name = format!("publish {}", exporter.id);
            starts.push(Start::new(name, control, Stage::Closing, |ending| {
                publisher.run(ending)
            }));
        }
        Ok(())
    }

    /// Whether a service of this name is wanted at all.
    pub(super) fn wants(&self, name: &str, graph: &Graph) -> bool {
        match name {
            "delivery" | "preflight" | "flag changes" => true,
            extensions::PROFILER => self.config.pprof.is_some(),
            _ => {
                if let Some(id) = name.strip_prefix("publish ") {
                    self.config.otlp_metrics.iter().any(|it| it.id == id)
                } else {
                    let pushes = 0..self.config.telemetry.metrics.push.len();
                    pushes.into_iter().any(|nth| own::push_name(nth) == name)
                        || graph.has(name)
                        || wanted(self.config).contains_key(name)
                }
            }
        }
    }

    pub(super) fn serve(
        &self,
        starts: &mut Vec<Start>,
        name: &str,
        router: Router,
    ) -> Result<(), GatewayError> {
        if let Some(Listener::Tcp(listener)) = self.lend(name, &self.planes.control)? {
            let serve = move |ending: Ended| plain::serve(listener, router, ending);
            starts.push(Start::new(name, &self.planes.control, Stage::Closing, serve));
        }
        Ok(())
    }

    pub(super) fn lend(&self, name: &str, on: &Handle) -> Result<Option<Listener>, GatewayError> {
        let _context = on.enter();
        let lent = self.sockets.lend(name).map(Bound::listener);
        lent.transpose().map_err(|source| GatewayError::System {
            what: "a listener",
            source,
        })
    }
}

/// Ticks until nothing comes in any more, and once after that.
async fn run_ticks(
    mut tick: Tick,
    clock: Arc<dyn Clock>,
    own: metrics_exporter_prometheus::PrometheusHandle,
    stopping: watch::Receiver<Stage>,
) {
    let mut every = tick.every();
    let mut timer = timer(every);
    let mut last = std::pin::pin!(reached(stopping, Stage::LastTick));
    loop {
        let ending = tokio::select! {
            _ = timer.tick() => false,
            () = &mut last => true,
        };
        let now = clock.now();
        // The tick writes to disk: not on a worker that probes and scrapes wait for.
        let ran = tokio::task::spawn_blocking(move || {
            if ending {
                tick.last(now);
            } else {
                tick.run(now);
            }
            tick
        });
        tick = match ran.await {
            Ok(tick) => tick,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        own.run_upkeep();
        if ending {
            return;
        }
        if tick.every() != every {
            every = tick.every();
            timer = self::timer(every);
        }
    }
}

fn timer(every: std::time::Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer
}
