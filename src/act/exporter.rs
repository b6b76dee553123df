//! What can switch a flag off, behind one small seam.
//!
//! A new flag service is one file that implements [`Actuator`] and one arm of [`Exporter`]. Dispatch is by
//! enum: the services are known when we compile, and a boxed future per call buys nothing.

use super::trouble::Trouble;
use super::unleash::Unleash;
use super::webhook::Webhook;
use super::{ActError, RuleTarget};
use crate::config::{UnleashExporter, WebhookExporter};
use crate::decide::Decision;
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::future::Future;

/// Whether a flag is on in its environment, as its service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagState {
    /// Switched on.
    On,
    /// Switched off.
    Off,
}

/// What became of a call: done, or the [`Trouble`] in its way.
pub type Outcome = Result<(), Trouble>;

/// Something a human should know about a flag before it is ever switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlagWarning {
    /// Its type says that off may bring the feature back.
    KillSwitchType,
    /// Other flags depend on it and go off with it.
    HasChildren,
}

impl FlagWarning {
    /// Every warning.
    pub const ALL: [Self; 2] = [Self::KillSwitchType, Self::HasChildren];

    /// The value of the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KillSwitchType => "kill_switch_type",
            Self::HasChildren => "has_children",
        }
    }
}

/// Carries decisions out at one service.
pub trait Actuator: Send + Sync + 'static {
    /// Reads, without writing, whether `target` could be switched now.
    fn preflight(
        &self,
        target: &RuleTarget,
        now: UnixNanos,
    ) -> impl Future<Output = Result<Vec<FlagWarning>, Trouble>> + Send;

    /// Switches the flag off. Called again only after [`Actuator::read_back`] has said that it is still on,
    /// or `None`.
    fn switch_off(&self, decision: &Decision, now: UnixNanos) -> impl Future<Output = Outcome> + Send;

    /// Whether the flag is on; `None` where the service cannot say.
    fn read_back(
        &self,
        decision: &Decision,
        now: UnixNanos,
    ) -> impl Future<Output = Result<Option<FlagState>, Trouble>> + Send;
}

/// Every kind of exporter of decisions.
#[derive(Debug)]
pub enum Exporter {
    /// An Unleash server.
    Unleash(Unleash),
    /// Any HTTP API.
    Webhook(Webhook),
}

impl Actuator for Exporter {
    async fn preflight(&self, target: &RuleTarget, now: UnixNanos) -> Result<Vec<FlagWarning>, Trouble> {
        match self {
            Self::Unleash(e) => e.preflight(target, now).await,
            Self::Webhook(e) => e.preflight(target, now).await,
        }
    }

    async fn switch_off(&self, decision: &Decision, now: UnixNanos) -> Outcome {
        match self {
            Self::Unleash(e) => e.switch_off(decision, now).await,
            Self::Webhook(e) => e.switch_off(decision, now).await,
        }
    }

    async fn read_back(&self, decision: &Decision, now: UnixNanos) -> Result<Option<FlagState>, Trouble> {
        match self {
            Self::Unleash(e) => e.read_back(decision, now).await,
            Self::Webhook(e) => e.read_back(decision, now).await,
        }
    }
}

/// The configured exporters by name.
#[derive(Debug)]
pub struct Exporters<A = Exporter> {
    by_id: BTreeMap<String, A>,
}

impl<A> Default for Exporters<A> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
        }
    }
}

impl Exporters<Exporter> {
    /// Builds and checks them all; nothing is called.
    pub fn build(unleash: &[UnleashExporter], webhooks: &[WebhookExporter]) -> Result<Self, ActError> {
        let mut exporters = Self::default();
        for config in unleash {
            exporters.insert(&config.id, Exporter::Unleash(Unleash::new(config)?))?;
        }
        for config in webhooks {
            exporters.insert(&config.id, Exporter::Webhook(Webhook::new(config)?))?;
        }
        Ok(exporters)
    }
}

impl<A> Exporters<A> {
    /// Adds one under a name that is not taken.
    pub fn insert(&mut self, id: &str, exporter: A) -> Result<(), ActError> {
        if self.by_id.contains_key(id) {
            return Err(ActError::Duplicate {
                exporter: id.to_owned(),
            });
        }
        self.by_id.insert(id.to_owned(), exporter);
        Ok(())
    }

    /// The exporter of that name.
    pub fn get(&self, id: &str) -> Option<&A> {
        self.by_id.get(id)
    }

    /// Their names, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(String::as_str)
    }

    /// For the message to somebody who named another.
    pub(crate) fn describe_known(&self) -> String {
        if self.by_id.is_empty() {
            return "none that can switch flags is; add `unleash` or `webhook` under `exporters`".to_owned();
        }
        let names: Vec<String> = self.ids().map(|id| format!("`{id}`")).collect();
        format!("configured are {}", names.join(", "))
    }
}
