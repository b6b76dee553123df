//! From the configuration's graph to pipelines that run.
//!
//! Sources (receivers, connectors, the budgets) end in switches, and exits are built first, so that the order
//! of the configuration does not matter and a reload can leave both ends in place: it builds new pipelines
//! between them and turns the switches.

use super::GatewayError;
use super::Stage;
use super::core::Core;
use super::exits::{Parts, Site};
use super::prepared::walk_limits;
use super::servers::Start;
use super::switch::{Former, Lanes, Switch};
use crate::config::{Config, Connector, PipelineConfig, PipelineKind};
use crate::forward::ReceivedMetrics;
use crate::pipeline::{Component, Exits, FanOut, Pipeline, Signal, Status};
use crate::process;
use crate::publish::{BudgetSource, DecisionSource};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Time between two batches of budgets.
const BUDGET_INTERVAL: Duration = Duration::from_secs(10);
/// The service that makes them.
const BUDGET_SOURCE: &str = "budgets";
/// The service that tells log pipelines of decisions.
const DECISION_SOURCE: &str = "decision log";

/// The pipelines of a configuration.
#[derive(Debug)]
pub(super) struct Graph {
    /// By receiver.
    switches: BTreeMap<String, Arc<Switch>>,
    budgets: Option<Arc<Switch>>,
    decisions: Option<Arc<Switch>>,
    parts: Parts,
    /// What each switch is to lead to once this graph is in use.
    turns: Vec<(Arc<Switch>, Lanes)>,
    /// The line of each component, for probes and pages; it lives as long as its component is in use.
    lines: Vec<Component>,
}

impl Graph {
    /// Builds what `config` describes, beside what must be started; parts of `former` whose settings did not
    /// change go on.
    pub(super) fn build(
        config: &Config,
        core: &Core,
        data: &Handle,
        former: Option<&Self>,
    ) -> Result<(Self, Vec<Start>), GatewayError> {
        let site = Site {
            config,
            core,
            data,
            limits: walk_limits(config),
        };
        let (parts, mut starts) = Parts::build(&site, former.map(|it| &it.parts))?;
        let pipelines = pipelines(config, core, &parts)?;
        let lanes = |source: &str| lanes(&pipelines, source);
        let mut turns = Vec::new();
        for (id, output) in parts.outputs() {
            turns.push((output.clone(), lanes(id)));
        }
        let mut switches = BTreeMap::new();
        for receiver in &config.receivers {
            let kept = former.and_then(|it| it.switches.get(&receiver.id)).cloned();
            let switch = kept.unwrap_or_default();
            turns.push((switch.clone(), lanes(&receiver.id)));
            switches.insert(receiver.id.clone(), switch);
        }
        let own = |is_fed: fn(&Lanes) -> bool| budget_connector(config).map(lanes).filter(is_fed);
        let mut source = |lanes: Lanes, kept: Option<Arc<Switch>>, start: &mut dyn FnMut(Arc<Switch>)| {
            let switch = kept.unwrap_or_else(|| {
                let switch = Arc::new(Switch::default());
                start(switch.clone());
                switch
            });
            turns.push((switch.clone(), lanes));
            switch
        };
        let budgets = own(|lanes| !lanes.metrics.is_empty()).map(|lanes| {
            source(lanes, former.and_then(|it| it.budgets.clone()), &mut |switch| {
                let source = BudgetSource::new(core.board.clone(), BUDGET_INTERVAL, switch);
                let run = |ending| source.run(ending);
                starts.push(Start::new(BUDGET_SOURCE, data, Stage::Flushing, run));
            })
        });
        let decisions = own(|lanes| !lanes.logs.is_empty()).map(|lanes| {
            source(lanes, former.and_then(|it| it.decisions.clone()), &mut |switch| {
                let source = DecisionSource::new(core.audit.clone(), switch);
                let run = |ending| source.run(ending);
                starts.push(Start::new(DECISION_SOURCE, data, Stage::Flushing, run));
            })
        });
        let graph = Self {
            switches,
            budgets,
            decisions,
            parts,
            turns,
            lines: lines(config, core),
        };
        Ok((graph, starts))
    }

    /// Leads every source through this graph from now on, and says where requests may still be on their way.
    pub(super) fn turn(&mut self) -> Former {
        let mut former = Former::default();
        for (switch, lanes) in self.turns.drain(..) {
            switch.turn(lanes, &mut former);
        }
        for line in &self.lines {
            // Whoever has said something by now knows better.
            if line.get() == Status::Starting {
                line.set(Status::Ok);
            }
        }
        former
    }

    /// Where the receiver `id` ends.
    pub(super) fn switch(&self, id: &str) -> Arc<Switch> {
        self.switches.get(id).cloned().unwrap_or_default()
    }

    /// What the `prometheus` exporter `id` shows of received metrics.
    pub(super) fn received(&self, id: &str) -> Option<Arc<ReceivedMetrics>> {
        self.parts.received(id)
    }

    /// Whether a service of this name belongs to the graph.
    pub(super) fn has(&self, service: &str) -> bool {
        self.parts.has(service)
            || (service == BUDGET_SOURCE && self.budgets.is_some())
            || (service == DECISION_SOURCE && self.decisions.is_some())
    }
}

/// A line for everything that runs. Exporters of decisions have theirs from the probe of flag services.
fn lines(config: &Config, core: &Core) -> Vec<Component> {
    let receivers = config.receivers.iter().map(|it| ("receiver", &it.id));
    let processors = config.graph.processors.iter().map(|it| ("processor", &it.id));
    let connectors = config.graph.connectors.iter().map(|it| ("connector", &it.id));
    let exporters = config.graph.forwarders.iter().map(|it| ("exporter", &it.id));
    let extensions = config.extensions.iter().map(|it| ("extension", &it.id));
    let all = receivers.chain(processors).chain(connectors).chain(exporters);
    all.chain(extensions)
        .map(|(kind, id)| core.health.component(&format!("{kind} {id}")))
        .collect()
}

/// A built pipeline, and who feeds it.
struct Fed {
    receivers: Vec<String>,
    pipeline: Arc<Pipeline>,
}

fn pipelines(config: &Config, core: &Core, parts: &Parts) -> Result<Vec<Fed>, GatewayError> {
    let receiving = core.admissions.clone();
    let context = process::Context {
        memory: core.memory.clone(),
        receiving: Arc::new(move || receiving.in_flight_bytes()),
        clock: core.clock.clone(),
    };
    let mut processors = BTreeMap::new();
    for named in &config.graph.processors {
        let built = process::build(&named.id, &named.config, &context)?;
        processors.insert(named.id.as_str(), built);
    }
    let budget = budget_connector(config);
    let fed = |described: &PipelineConfig| {
        let mut exits = Exits::default();
        for id in &described.exporters {
            if let Some(sink) = parts.sink(id) {
                exits.add(id.as_str(), sink);
            }
        }
        let signal = signal(described.kind);
        let mut pipeline = Pipeline::new(described.id.as_str(), signal, core.plain.clone(), exits);
        for id in &described.processors {
            match processors.get(id.as_str()) {
                Some(process::Built::Stage(stage)) => pipeline.add(stage.clone()),
                Some(process::Built::Batching(batching)) => pipeline.set_batching(batching.clone()),
                None => {}
            }
        }
        if budget.is_some_and(|budget| described.exporters.iter().any(|id| id == budget)) {
            pipeline.set_tap(core.ingest.clone());
        }
        Fed {
            receivers: described.receivers.clone(),
            pipeline: Arc::new(pipeline),
        }
    };
    Ok(config.graph.pipelines.iter().map(fed).collect())
}

/// The name of the `error_budget` connector.
fn budget_connector(config: &Config) -> Option<&str> {
    let mut connectors = config.graph.connectors.iter();
    connectors
        .find(|named| named.config == Connector::ErrorBudget)
        .map(|named| named.id.as_str())
}

/// The pipelines that `source` feeds, by signal.
fn lanes(all: &[Fed], source: &str) -> Lanes {
    let of = |signal| {
        let fed = all
            .iter()
            .filter(|fed| fed.pipeline.signal() == signal && fed.receivers.iter().any(|id| id == source));
        FanOut::new(fed.map(|fed| fed.pipeline.clone()).collect())
    };
    Lanes {
        traces: of(Signal::Traces),
        metrics: of(Signal::Metrics),
        logs: of(Signal::Logs),
    }
}

const fn signal(kind: PipelineKind) -> Signal {
    match kind {
        PipelineKind::Traces => Signal::Traces,
        PipelineKind::Metrics => Signal::Metrics,
        PipelineKind::Logs => Signal::Logs,
    }
}
