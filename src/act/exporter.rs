//! What can switch a flag off, behind one small seam.
//!
//! A new flag service is one file that implements [`Actuator`] and one line of `exporters!` below (beside its
//! keys, a file and a line in `config`). Dispatch is by enum: the services are known when we compile, and a
//! boxed future per call buys nothing.

use super::ability::{Abilities, Ability};
use super::flagd::Flagd;
use super::http_api::HttpApi;
use super::launchdarkly::LaunchDarkly;
use super::trouble::Trouble;
use super::unleash::Unleash;
use super::webhook::Webhook;
use super::{ActError, RuleTarget};
use crate::config::{DecisionExporter, DecisionExporters};
use crate::decide::{Action, Decision};
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::future::Future;

/// How a flag stands in its environment, as its service says, seen from a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagState {
    /// Not in the state that the decision asks for.
    Exposed,
    /// In that state: the safe one, or the share of a step of a probation.
    Safe,
}

/// What a flag service says of a flag.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// How the flag stands.
    pub state: FlagState,
    /// The service's version of it, where there is one: what a write can be made conditional on.
    pub version: Option<String>,
    /// Who has it, read for a step of a probation.
    pub exposure: Option<Exposure>,
}

/// Who has a flag.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposure {
    /// It is switched on.
    pub is_on: bool,
    /// The share of users, in percent, that has it when it is on; in words why there is no such share.
    pub percent: Result<f64, String>,
}

impl Exposure {
    /// Whether exactly so many have it; 0 for nobody.
    pub fn is_at(&self, percent: u8) -> bool {
        match percent {
            0 => !self.is_on,
            _ => self.is_on && self.percent == Ok(f64::from(percent)),
        }
    }

    /// The same as a reading for a step to `percent`.
    pub fn reading(self, percent: u8, version: Option<String>) -> Reading {
        let state = if self.is_at(percent) {
            FlagState::Safe
        } else {
            FlagState::Exposed
        };
        Reading {
            state,
            version,
            exposure: Some(self),
        }
    }
}

/// The last change of a flag in its environment, from the service's own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: UnixNanos,
    /// Who, in the service's words.
    pub by: String,
    /// Whether the change was made with the credential that we use.
    pub is_ours: bool,
}

impl From<FlagState> for Reading {
    fn from(state: FlagState) -> Self {
        Self {
            state,
            version: None,
            exposure: None,
        }
    }
}

/// What became of a call: done, or the [`Trouble`] in its way.
pub type Outcome = Result<(), Trouble>;

/// What a probe finds out about a flag that could be switched.
pub type Warnings = Result<Vec<FlagWarning>, Trouble>;

/// How a flag stands; `None` where the service cannot say.
pub type ReadBack = Result<Option<Reading>, Trouble>;

/// A flag's last change; `None` where the service keeps no record of it.
pub type LastChange = Result<Option<Change>, Trouble>;

/// Something a human should know about a flag before it is ever switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlagWarning {
    /// Its type says that off may bring the feature back.
    KillSwitchType,
    /// Other flags depend on it and go off with it.
    HasChildren,
    /// Off serves a variant that may be blamed.
    OffServesBlamed,
    /// It could not be given back on probation as it is set up.
    NoProbation,
}

impl FlagWarning {
    /// Every warning.
    pub const ALL: [Self; 4] = [
        Self::KillSwitchType,
        Self::HasChildren,
        Self::OffServesBlamed,
        Self::NoProbation,
    ];

    /// The value of the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KillSwitchType => "kill_switch_type",
            Self::HasChildren => "has_children",
            Self::OffServesBlamed => "off_serves_blamed",
            Self::NoProbation => "no_probation",
        }
    }
}

/// Carries decisions out at one service.
pub trait Actuator: Send + Sync + 'static {
    /// What it can do; a rule that asks for more is refused at start.
    fn abilities(&self) -> Abilities {
        Abilities::of([Ability::Off])
    }

    /// Reads, without writing, whether `target` could be switched now.
    fn preflight(&self, target: &RuleTarget, now: UnixNanos) -> impl Future<Output = Warnings> + Send;

    /// Does what the decision says. Called again only after [`Actuator::read_back`] has said that it is not
    /// done, or `None`. `version`: what was read just before; where the service has versions, the write holds
    /// for that one only, and another one is [`Trouble::Retry`].
    fn carry_out(
        &self,
        decision: &Decision,
        version: Option<&str>,
        now: UnixNanos,
    ) -> impl Future<Output = Outcome> + Send;

    /// How the flag stands; `None` where the service cannot say.
    fn read_back(&self, decision: &Decision, now: UnixNanos) -> impl Future<Output = ReadBack> + Send;

    /// The flag's last change, from the service's own record; `None` where it keeps none, or it holds none.
    fn last_change(&self, _target: &RuleTarget, _now: UnixNanos) -> impl Future<Output = LastChange> + Send {
        async { Ok(None) }
    }
}

/// Makes the enum of all exporters, and hands every call to the one that it is.
macro_rules! exporters {
    ($($(#[$doc:meta])* $kind:ident,)+) => {
        /// Every kind of exporter of decisions.
        #[derive(Debug)]
        #[allow(clippy::large_enum_variant, reason = "there are a handful, made once")]
        pub enum Exporter {
            $($(#[$doc])* $kind($kind),)+
        }

        impl Exporter {
            fn new(config: &DecisionExporter) -> Result<Self, ActError> {
                match config {
                    $(DecisionExporter::$kind(config) => $kind::new(config).map(Self::$kind),)+
                }
            }
        }

        impl Actuator for Exporter {
            fn abilities(&self) -> Abilities {
                match self {
                    $(Self::$kind(e) => e.abilities(),)+
                }
            }

            async fn preflight(&self, target: &RuleTarget, now: UnixNanos) -> Warnings {
                match self {
                    $(Self::$kind(e) => e.preflight(target, now).await,)+
                }
            }

            async fn carry_out(&self, decision: &Decision, version: Option<&str>, now: UnixNanos) -> Outcome {
                self.abilities().require(&decision.action)?;
                match self {
                    $(Self::$kind(e) => e.carry_out(decision, version, now).await,)+
                }
            }

            async fn read_back(&self, decision: &Decision, now: UnixNanos) -> ReadBack {
                match self {
                    $(Self::$kind(e) => e.read_back(decision, now).await,)+
                }
            }

            async fn last_change(&self, target: &RuleTarget, now: UnixNanos) -> LastChange {
                match self {
                    $(Self::$kind(e) => e.last_change(target, now).await,)+
                }
            }
        }
    };
}

exporters! {
    /// An Unleash server.
    Unleash,
    /// A project of LaunchDarkly.
    LaunchDarkly,
    /// Any HTTP API, as it is described.
    HttpApi,
    /// A file of flagd's flag definitions.
    Flagd,
    /// Calls that their receiver understands.
    Webhook,
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
    pub fn build(configs: &DecisionExporters) -> Result<Self, ActError> {
        let mut exporters = Self::default();
        for config in configs {
            exporters.insert(config.id(), Exporter::new(config)?)?;
        }
        Ok(exporters)
    }
}

impl<A: Actuator> Exporters<A> {
    /// Why the exporter of that name cannot do `action`: `cannot do ...; it can do ...`. `None` when it can,
    /// or when nothing has that name.
    pub fn refusal(&self, id: &str, action: &Action) -> Option<String> {
        self.get(id)?.abilities().refusal(action)
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
            return "none that can switch flags is; add one such as `unleash`, `launchdarkly` or `webhook` under \
                    `exporters`".to_owned();
        }
        let names: Vec<String> = self.ids().map(|id| format!("`{id}`")).collect();
        format!("configured are {}", names.join(", "))
    }
}
