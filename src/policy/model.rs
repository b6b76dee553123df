//! A policy as types that cannot be wrong.

use super::place::Place;
use super::status::AlertState;
use crate::budget::{Target, Threshold};
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
    /// The flags that may be switched off.
    pub kill_switches: Vec<Arc<KillSwitch>>,
    /// Its leading indicators.
    pub indicators: Vec<Arc<IndicatorSpec>>,
    /// Built-in indicators that it turns off.
    pub indicators_off: Vec<Arc<str>>,
    /// Where it was read.
    pub place: Place,
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
    /// The rolling period of its budget, in seconds.
    pub period_secs: u64,
    /// When to speak.
    pub alerts: Vec<Arc<Alert>>,
    /// What is counted, and what is good.
    pub sli: SliSpec,
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
    /// The rule.
    pub when: KillRule,
    /// What happens when the rule speaks.
    pub mode: KillMode,
    /// Where it was read.
    pub place: Place,
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
    /// The flag is switched off.
    Auto,
}

impl KillMode {
    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Auto => "auto",
        }
    }
}
