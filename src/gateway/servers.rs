//! Sets the parts of a gateway running, each on its plane's runtime.

use super::parts::Parts;
use super::plain;
use super::tick::Tick;
use super::{GatewayError, Stage, reached};
use crate::api::{api_router, health_router};
use crate::pipeline::Signals;
use crate::publish::metrics_router;
use crate::receive::{self, Admission};
use crate::time::Clock;
use axum::Router;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Counts are durable within this time, however long the evaluation interval is.
const PERSIST_EVERY: Duration = Duration::from_secs(1);

type Tasks = (Vec<JoinHandle<()>>, Vec<JoinHandle<()>>, JoinHandle<()>);

/// Receivers, then everything else, then the tick.
pub(super) fn spawn(
    mut parts: Parts,
    data: &Runtime,
    control: &Runtime,
    stopping: &watch::Receiver<Stage>,
) -> Result<Tasks, GatewayError> {
    let receivers = receivers(&mut parts, data, stopping)?;
    let Parts {
        config,
        clock,
        listeners,
        health,
        tick,
        delivery,
        preflight,
        page,
        api,
        publishers,
        ..
    } = parts;
    let own = crate::telemetry::metrics_handle();
    let mut others = Vec::new();
    let mut serve = |listener: Option<TcpListener>, router: Router| -> Result<(), GatewayError> {
        if let Some(listener) = listener {
            let listener = tokio_listener(listener, control)?;
            let closing = reached(stopping.clone(), Stage::Closing);
            others.push(control.spawn(plain::serve(listener, router, closing)));
        }
        Ok(())
    };
    if let Some(page) = page {
        serve(listeners.prometheus, metrics_router(page, own.clone()))?;
    }
    if let Some(check) = &config.health {
        serve(listeners.health, health_router(&check.path, health))?;
    }
    serve(listeners.api, api_router(api)?)?;
    let draining = || reached(stopping.clone(), Stage::Draining);
    others.push(control.spawn(delivery.run(draining())));
    others.push(control.spawn(preflight.run(draining())));
    for publisher in publishers {
        others.push(control.spawn(publisher.run(reached(stopping.clone(), Stage::Closing))));
    }
    let every = config.error_budget.evaluation_interval.min(PERSIST_EVERY);
    let tick = control.spawn(run_ticks(tick, clock, every, own, stopping.clone()));
    Ok((receivers, others, tick))
}

fn receivers(
    parts: &mut Parts,
    data: &Runtime,
    stopping: &watch::Receiver<Stage>,
) -> Result<Vec<JoinHandle<()>>, GatewayError> {
    let admission = Admission::new(&parts.config.limits);
    let configured = parts.config.signals;
    let signals = Signals {
        traces: configured.traces,
        metrics: configured.metrics,
        logs: configured.logs,
    };
    let mut tasks = Vec::new();
    if let (Some(config), Some(listener)) = (&parts.config.grpc, parts.listeners.grpc.take()) {
        let listener = tokio_listener(listener, data)?;
        let (config, admission, sink) = (config.clone(), admission.clone(), parts.switch.clone());
        let draining = reached(stopping.clone(), Stage::Draining);
        tasks.push(data.spawn(async move {
            receive::serve_grpc(listener, &config, admission, sink, signals, draining).await;
        }));
    }
    if let (Some(config), Some(listener)) = (&parts.config.http, parts.listeners.http.take()) {
        let listener = tokio_listener(listener, data)?;
        let (config, admission, sink) = (config.clone(), admission.clone(), parts.switch.clone());
        let draining = reached(stopping.clone(), Stage::Draining);
        tasks.push(data.spawn(async move {
            receive::serve_http(listener, &config, admission, sink, signals, draining).await;
        }));
    }
    Ok(tasks)
}

fn tokio_listener(listener: TcpListener, runtime: &Runtime) -> Result<tokio::net::TcpListener, GatewayError> {
    let _context = runtime.enter();
    tokio::net::TcpListener::from_std(listener).map_err(system)
}

fn system(source: io::Error) -> GatewayError {
    GatewayError::System {
        what: "a listener",
        source,
    }
}

/// Ticks until nothing comes in any more, and once after that.
async fn run_ticks(
    mut tick: Tick,
    clock: Arc<dyn Clock>,
    every: Duration,
    own: metrics_exporter_prometheus::PrometheusHandle,
    stopping: watch::Receiver<Stage>,
) {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
    }
}
