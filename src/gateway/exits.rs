//! The exporters and connectors of a configuration: built, or taken over from the one before when nothing
//! about them changed.

use super::authorize::credentials;
use super::core::Core;
use super::prepared;
use super::servers::Start;
use super::switch::Switch;
use super::{FLUSH_WITHIN, GatewayError, Stage};
use crate::config::{Config, Connector, Extension, Forwarder, Named};
use crate::connect;
use crate::forward::{self, Authorize, DebugExporter, FileForwarder, ReceivedMetrics, RemoteWrite};
use crate::pipeline::Consume;
use crate::wire::WalkLimits;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;

/// One exporter or connector: its settings, to be compared, and where batches go in.
#[derive(Clone)]
struct Part<C> {
    config: C,
    sink: Arc<dyn Consume>,
    /// Of connectors: the pipelines behind it.
    output: Arc<Switch>,
    /// Of `prometheus`: what it shows.
    received: Option<Arc<ReceivedMetrics>>,
}

/// The ends of all pipelines, by name.
#[derive(Default)]
pub(super) struct Parts {
    forwarders: BTreeMap<String, Part<Forwarder>>,
    connectors: BTreeMap<String, Part<Connector>>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("forwarders", &self.forwarders.keys())
            .field("connectors", &self.connectors.keys())
            .finish()
    }
}

/// What building needs.
pub(super) struct Site<'a> {
    pub(super) config: &'a Config,
    pub(super) core: &'a Core,
    pub(super) data: &'a Handle,
    pub(super) limits: WalkLimits,
}

impl Parts {
    /// Builds what is not in `former` as it is, and lists what must be started.
    pub(super) fn build(site: &Site<'_>, former: Option<&Self>) -> Result<(Self, Vec<Start>), GatewayError> {
        let mut parts = Self::default();
        let mut starts = Vec::new();
        for named in &site.config.graph.forwarders {
            let kept = former.and_then(|it| it.forwarders.get(&named.id));
            let part = match kept.filter(|part| part.config == named.config) {
                Some(part) => part.clone(),
                None => site.forwarder(named, &mut starts)?,
            };
            parts.forwarders.insert(named.id.clone(), part);
        }
        for named in &site.config.graph.connectors {
            if named.config == Connector::ErrorBudget {
                continue;
            }
            let kept = former.and_then(|it| it.connectors.get(&named.id));
            let part = match kept.filter(|part| part.config == named.config) {
                Some(part) => part.clone(),
                None => site.connector(named, &mut starts)?,
            };
            parts.connectors.insert(named.id.clone(), part);
        }
        Ok((parts, starts))
    }

    /// Where a pipeline that names `id` as an exporter ends; `None` for `error_budget`, which is no exit but
    /// the tap.
    pub(super) fn sink(&self, id: &str) -> Option<Arc<dyn Consume>> {
        let forwarder = self.forwarders.get(id).map(|part| part.sink.clone());
        forwarder.or_else(|| self.connectors.get(id).map(|part| part.sink.clone()))
    }

    /// The connectors, and where each leads.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (&str, &Arc<Switch>)> {
        self.connectors
            .iter()
            .map(|(id, part)| (id.as_str(), &part.output))
    }

    /// What the `prometheus` exporter `id` shows of received metrics.
    pub(super) fn received(&self, id: &str) -> Option<Arc<ReceivedMetrics>> {
        self.forwarders.get(id).and_then(|part| part.received.clone())
    }

    /// Whether a service of this name belongs to one of them.
    pub(super) fn has(&self, service: &str) -> bool {
        let exporter = service.strip_prefix("exporter ");
        let connector = service.strip_prefix("connector ");
        exporter.is_some_and(|id| self.forwarders.contains_key(id))
            || connector.is_some_and(|id| self.connectors.contains_key(id))
    }
}

impl Site<'_> {
    fn forwarder(
        &self,
        named: &Named<Forwarder>,
        starts: &mut Vec<Start>,
    ) -> Result<Part<Forwarder>, GatewayError> {
        let (id, clock, memory) = (named.id.as_str(), self.core.clock.clone(), &self.core.memory);
        let name = format!("exporter {id}");
        let mut received = None;
        let sink: Arc<dyn Consume> = match &named.config {
            Forwarder::Otlp(config) => {
                let context = forward::Context {
                    memory: memory.clone(),
                    clock,
                    storage: self.storage(config.queue.as_ref().and_then(|queue| queue.storage.as_deref())),
                    authorization: self.authorization(id, config.authenticator.as_deref())?,
                    component: self.core.health.component(&name),
                };
                let built = Arc::new(forward::build_otlp(id, config, context)?);
                let (sink, on) = (built.sink(), self.data.clone());
                starts.push(Start::new(
                    name,
                    self.data,
                    Stage::Forwarding,
                    move |ending| async move {
                        built.start(&on);
                        ending.await;
                        built.shutdown(FLUSH_WITHIN).await;
                    },
                ));
                sink
            }
            Forwarder::Debug(config) => {
                let built = DebugExporter::build(id, config, clock, memory);
                let sink = built.clone();
                let run = move |ending| async move { built.run(ending).await };
                starts.push(Start::new(name, self.data, Stage::Forwarding, run));
                sink
            }
            Forwarder::File(config) => {
                let built = FileForwarder::build(id, config, clock, memory)?;
                built.says_at(self.core.health.component(&name));
                let sink = built.clone();
                let run = move |ending| async move { built.run(ending).await };
                starts.push(Start::new(name, self.data, Stage::Forwarding, run));
                sink
            }
            Forwarder::RemoteWrite(config) => {
                let built = RemoteWrite::build(id, config, clock, memory)?;
                built.says_at(self.core.health.component(&name));
                let sink = built.clone();
                let run = move |ending| async move { built.run(ending).await };
                starts.push(Start::new(name, self.data, Stage::Forwarding, run));
                sink
            }
            Forwarder::Prometheus(config) => {
                let built = ReceivedMetrics::build(id, &config.received, clock);
                received = Some(built.clone());
                built
            }
        };
        Ok(Part {
            config: named.config.clone(),
            sink,
            output: Arc::default(),
            received,
        })
    }

    fn connector(
        &self,
        named: &Named<Connector>,
        starts: &mut Vec<Start>,
    ) -> Result<Part<Connector>, GatewayError> {
        let output = Arc::new(Switch::default());
        let context = connect::Context {
            clock: self.core.clock.clone(),
            storage: self.storage_of_state(),
            limits: self.limits,
        };
        let built = connect::build(&named.id, &named.config, output.clone(), &context)?;
        let sink = built.input();
        if built.has_task() {
            let name = format!("connector {}", named.id);
            starts.push(Start::new(
                name,
                self.data,
                Stage::Flushing,
                move |ending| async move {
                    built.run(ending).await;
                },
            ));
        }
        Ok(Part {
            config: named.config.clone(),
            sink,
            output,
            received: None,
        })
    }

    /// The folder of the `file_storage` extension `id`.
    fn storage(&self, id: Option<&str>) -> Option<PathBuf> {
        let id = id?;
        self.config
            .extensions
            .iter()
            .find_map(|named| match &named.config {
                Extension::FileStorage(storage) if named.id == id => Some(storage.directory.clone()),
                _ => None,
            })
    }

    fn storage_of_state(&self) -> Option<PathBuf> {
        self.config
            .storage
            .as_ref()
            .map(|storage| storage.directory.clone())
    }

    fn authorization(
        &self,
        exporter: &str,
        id: Option<&str>,
    ) -> Result<Option<Arc<dyn Authorize>>, GatewayError> {
        let Some(id) = id else { return Ok(None) };
        let all = prepared::authenticators(self.config);
        let built = credentials(id, &all, &self.core.clock);
        let built = built.map_err(|source| GatewayError::Credentials {
            exporter: exporter.to_owned(),
            source,
        })?;
        Ok(Some(built))
    }
}
