//! A policy as types that cannot be wrong.

use super::guards::Guards;
use super::place::Place;
use super::plan::{Correction, Planned};
use super::probation::Probation;
use super::safe_state::{DeployAction, SafeState};
use super::status::AlertState;
use crate::budget::{EmptySlice, Method, Part, Period, SliceRule, Target, Threshold};
use crate::evidence::EvidenceClass;
use crate::indicate::IndicatorSpec;
use crate::sli::SliSpec;
use globset::GlobMatcher;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one team promises of one service (or of the services that a glob names).
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whom it is about.
    pub service: ServiceName,
    /// The environment it is about; `None` for any, also for telemetry that names none.
    pub environment: Option<Arc<str>>,
    /// How much the service matters; 0 most.
    pub tier: Option<u8>,
    /// Who to ask: free keys such as `team`, `runbook`, `slack`. Kept and shown.
    pub owner: BTreeMap<String, String>,
    /// The objectives.
    pub slos: Vec<Arc<Slo>>,
    /// The services that it calls, of whose failures its budget is told: one SLO of client spans each, which
    /// is among `slos`.
    pub dependencies: Vec<Dependency>,
    /// The flags that may be switched off.
    pub kill_switches: Vec<Arc<KillSwitch>>,
    /// What is done about deployments that are to blame.
    pub deployments: Vec<Arc<DeploySwitch>>,
    /// Its leading indicators.
    pub indicators: Vec<Arc<IndicatorSpec>>,
    /// Built-in indicators that it turns off.
    pub indicators_off: Vec<Arc<str>>,
    /// Where it was read.
    pub place: Place,
}

/// A service that is called.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Its name, as the caller's client spans call it.
    pub callee: Arc<str>,
    /// The SLO that its calls are counted by.
    pub slo: Arc<str>,
}

/// What is promised of a way through several services.
#[derive(Clone, Debug)]
pub struct Journey {
    /// Its name, which stands where others have a service.
    pub name: Arc<str>,
    /// The environment of its services; `None` for telemetry that names none.
    pub environment: Option<Arc<str>>,
    /// How much it matters; 0 most.
    pub tier: Option<u8>,
    /// Who to ask.
    pub owner: BTreeMap<String, String>,
    /// The composites.
    pub slos: Vec<Composite>,
    /// Where it was read.
    pub place: Place,
}

/// One SLO made of others.
#[derive(Clone, Debug)]
pub struct Composite {
    /// Its name, target, period, method and alerts.
    pub slo: Arc<Slo>,
    /// What it is made of.
    pub members: Vec<Member>,
}

/// A part of a composite.
#[derive(Clone, Debug)]
pub struct Member {
    /// The service, exactly.
    pub service: Arc<str>,
    /// Its SLO.
    pub slo: Arc<str>,
    /// Its environment; the journey's unless it has one of its own.
    pub environment: Option<Arc<str>>,
    /// How much it weighs, and when a slice of it is good.
    pub part: Part,
}

/// An exact service name, or a glob over names.
#[derive(Clone, Debug)]
pub enum ServiceName {
    /// This service.
    Exact(Arc<str>),
    /// Every service that matches.
    Glob(GlobMatcher),
}

impl ServiceName {
    /// Whether `service` is meant.
    pub fn matches(&self, service: &str) -> bool {
        match self {
            Self::Exact(name) => &**name == service,
            Self::Glob(glob) => glob.is_match(service),
        }
    }

    /// As written in the policy.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(name) => name,
            Self::Glob(glob) => glob.glob().glob(),
        }
    }

    /// How closely it names a service: an exact name before any glob, then the glob with more literal
    /// characters.
    pub(super) fn closeness(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Glob(glob) => glob.glob().glob().bytes().filter(|b| !b"*?".contains(b)).count(),
        }
    }
}

/// One objective.
#[derive(Clone, Debug)]
pub struct Slo {
    /// Its name, unique within the policy.
    pub name: Arc<str>,
    /// The share of events that must be good.
    pub target: Target,
    /// The period of its budget.
    pub period: Period,
    /// The length of the period that thresholds are worked out for, in seconds.
    pub period_secs: u64,
    /// How the budget is counted.
    pub budgeting: Budgeting,
    /// Further targets, which share the counts.
    pub targets: Vec<NamedTarget>,
    /// What else an alert needs, besides its burn.
    pub low_traffic: LowTraffic,
    /// When to speak.
    pub alerts: Vec<Arc<Alert>>,
    /// What is counted, and what is good.
    pub sli: SliSpec,
    /// The promise holds for each of so many routes, those with most traffic; the alerts are those of the
    /// worst of them.
    pub top_routes: Option<usize>,
    /// What concerns it of the policy's maintenance windows, peaks and corrections.
    pub plans: Arc<Plans>,
}

/// What is planned for an SLO, or was corrected afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plans {
    /// Left out of the budget.
    pub maintenance: Vec<Arc<Planned>>,
    /// A higher burn is approved.
    pub peaks: Vec<Arc<Planned>>,
    /// Left out after the fact.
    pub corrections: Vec<Arc<Correction>>,
}

/// How a budget is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgeting {
    /// The method, and the slices of the methods that have some.
    pub rule: SliceRule,
    /// When a slice is good.
    pub slice_target: Target,
}

impl Budgeting {
    /// By occurrences; an account of it, where one is needed, counts in five minutes.
    pub fn occurrences(target: Target) -> Self {
        Self {
            rule: SliceRule {
                method: Method::Occurrences,
                slice_secs: 300,
                empty: EmptySlice::Good,
            },
            slice_target: target,
        }
    }

    /// Whether it counts slices rather than events.
    pub fn is_sliced(&self) -> bool {
        self.rule.method != Method::Occurrences
    }
}

/// A further target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedTarget {
    /// Its name, unique within the SLO.
    pub name: Arc<str>,
    /// The share of events that must be good.
    pub target: Target,
}

/// What an alert needs besides its burn, so that a quiet service does not wake anybody for one failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowTraffic {
    /// Bad events that its longest window must hold.
    pub min_bad: u64,
    /// Whether these must also be the part of the period's budget that the threshold stands for, measured by
    /// the traffic of the whole period.
    pub budget_events: bool,
}

impl Default for LowTraffic {
    fn default() -> Self {
        Self {
            min_bad: 1,
            budget_events: false,
        }
    }
}

/// One alert: all windows above their thresholds, for as long as `for_secs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name, unique within the SLO.
    pub name: Arc<str>,
    /// Whom it concerns.
    pub severity: Severity,
    /// What the series is while it fires.
    pub level: AlertState,
    /// The windows, at least one.
    pub windows: Vec<AlertWindow>,
    /// How long all windows must be above at every evaluation, in seconds.
    pub for_secs: u64,
    /// The further target that it watches; `None` for the SLO's own.
    pub of_target: Option<Target>,
}

/// One condition of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertWindow {
    /// The window, in seconds.
    pub window_secs: u64,
    /// The burn rate that it must be above, strictly.
    pub burn_above: Threshold,
}

/// Whom an alert concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Worth a look.
    Warning,
    /// Somebody's work in the next days.
    Ticket,
    /// Somebody's work now.
    Page,
    /// Everybody's work now.
    Critical,
}

impl Severity {
    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Ticket => "ticket",
            Self::Page => "page",
            Self::Critical => "critical",
        }
    }

    /// The state of a series while an alert of this severity fires.
    pub const fn level(self) -> AlertState {
        match self {
            Self::Critical => AlertState::CriticalBurn,
            Self::Page => AlertState::FastBurn,
            Self::Ticket | Self::Warning | Self::Info => AlertState::SlowBurn,
        }
    }
}

/// A flag that may be switched off, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillSwitch {
    /// The flag's key.
    pub flag: Arc<str>,
    /// The exporter that switches it, by its configured name.
    pub exporter: Arc<str>,
    /// The environment: the policy's. Only events of it count, and only there is the flag switched.
    pub environment: Arc<str>,
    /// The SLO that must burn; `None` for any of the policy.
    pub slo: Option<Arc<str>>,
    /// The variants that may be blamed; `None` for any. Never `off`, never a reserved one.
    pub variants: Option<Vec<Arc<str>>>,
    /// What is made of the flag.
    pub action: SafeState,
    /// The rule.
    pub when: KillRule,
    /// What is held against the flag.
    pub blame: Blame,
    /// What must hold besides.
    pub guards: Guards,
    /// How it may be given back after a kill; `None` if it is for somebody to do.
    pub probation: Option<Probation>,
    /// What happens when the rule speaks.
    pub mode: KillMode,
    /// Where it was read.
    pub place: Place,
}

/// What is done about a deployment that is to blame, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploySwitch {
    /// The exporter that is told, by its configured name.
    pub exporter: Arc<str>,
    /// The environment: the policy's.
    pub environment: Arc<str>,
    /// The SLO that must burn; `None` for any of the policy.
    pub slo: Option<Arc<str>>,
    /// What is done.
    pub action: DeployAction,
    /// The rule; its contrast is not asked for.
    pub when: KillRule,
    /// What must hold besides.
    pub guards: Guards,
    /// What happens when the rule speaks.
    pub mode: KillMode,
    /// Where it was read.
    pub place: Place,
}

/// What is held against a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Blame {
    /// Evidence that the variant, and not something else, is the cause.
    Evidence {
        /// From which class on it is enough to act on.
        class: EvidenceClass,
        /// Of two flags that cannot be told apart, the one that was changed last is blamed.
        latest_change: bool,
    },
    /// Burn alone, and how it compares with the other variants at this moment.
    Burn,
}

impl Default for Blame {
    fn default() -> Self {
        Self::Evidence {
            class: EvidenceClass::Concurrent,
            latest_change: false,
        }
    }
}

/// When a flag is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KillRule {
    /// The cohort's burn must be above this, strictly.
    pub burn_above: Threshold,
    /// In this window, in seconds.
    pub window_secs: u64,
    /// At every evaluation for so long, in seconds.
    pub for_secs: u64,
    /// The cohort's bad share must be at least so many times that of the flag's other variants; 1 asks for no
    /// comparison.
    pub contrast: Threshold,
    /// Bad events that the cohort must have in the window.
    pub min_bad: u64,
}

impl Default for KillRule {
    fn default() -> Self {
        Self {
            burn_above: Threshold::from_millionths(7_000_000),
            window_secs: 300,
            for_secs: 180,
            contrast: Threshold::from_millionths(2_000_000),
            min_bad: 1,
        }
    }
}

/// What happens when a kill rule speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillMode {
    /// Nothing; it is not even looked at.
    Off,
    /// A record is made, nothing is sent.
    #[default]
    Observe,
    /// It is proposed, and carried out once somebody approves.
    Propose,
    /// It is carried out.
    Auto,
}

impl KillMode {
    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Propose => "propose",
            Self::Auto => "auto",
        }
    }
}
