//! The latest status of every indicator: what policies, the API and metrics read.

use super::state::IndicatorState;
use crate::time::UnixNanos;
use arc_swap::ArcSwap;
use std::fmt;
use std::sync::Arc;

/// Where one indicator of one service stands.
#[derive(Clone, Debug, PartialEq)]
pub struct IndicatorStatus {
    /// The indicator.
    pub name: Arc<str>,
    /// `service.name` of the telemetry.
    pub service: Arc<str>,
    /// Its environment, if the telemetry names one.
    pub environment: Option<Arc<str>>,
    /// The value now; of several groups the worst. None when there is none.
    pub value: Option<f64>,
    /// The unit of the value; may be empty.
    pub unit: Arc<str>,
    /// The state; of several groups the most alarming.
    pub state: IndicatorState,
    /// When the state began.
    pub since: UnixNanos,
    /// Why the state is what it is.
    pub reason: Reason,
    /// When it is active, as declared.
    pub enter: Arc<str>,
    /// When it ceases to be, as declared; empty when `enter` alone decides.
    pub leave: Arc<str>,
    /// What it says, in a sentence; may be empty.
    pub description: Arc<str>,
    /// Whether burngate brought it.
    pub built_in: bool,
    /// When it was worked out.
    pub evaluated_at: UnixNanos,
    /// Its groups, the worst first, at most [`GROUPS_SHOWN_MAX`]; empty for an indicator without `by`.
    pub groups: Vec<GroupStatus>,
}

/// Groups of one indicator that are kept for show.
pub const GROUPS_SHOWN_MAX: usize = 10;

/// Where one group of an indicator stands.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStatus {
    /// The attributes that tell it apart, with their values.
    pub labels: Vec<(Arc<str>, String)>,
    /// The value now.
    pub value: Option<f64>,
    /// Its state.
    pub state: IndicatorState,
    /// When the state began.
    pub since: UnixNanos,
}

/// Why an indicator's state is what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The value is not where it would alarm.
    Within,
    /// The value is beyond the threshold, but not yet for long enough.
    NotYet {
        /// How long it has been, in seconds.
        held_secs: u64,
        /// How long it must be.
        for_secs: u64,
    },
    /// The value is beyond the threshold for long enough.
    Beyond {
        /// The caller, or whatever a top share is about.
        who: Option<String>,
    },
    /// The value has come back, but has not yet passed the bound of `leave` for long enough.
    Lingers,
    /// There is no value now, and the last state is kept for five minutes.
    Waiting(Missing),
    /// There is no value.
    NoValue(Missing),
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing has come of this metric or these spans.
    Unseen(Arc<str>),
    /// What has come of this metric cannot be used there.
    Unusable {
        /// The metric.
        what: Arc<str>,
        /// What it is.
        is: &'static str,
    },
    /// What has come of this is too old.
    Stale(Arc<str>),
    /// Too few events or samples.
    TooFew,
    /// The formula divides by zero.
    DividesByZero,
}

impl Reason {
    /// One word for machines.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::NotYet { .. } => "not_yet",
            Self::Beyond { .. } => "beyond",
            Self::Lingers => "lingers",
            Self::Waiting(_) => "waiting",
            Self::NoValue(missing) => match missing {
                Missing::Unseen(_) => "unseen",
                Missing::Unusable { .. } => "unusable",
                Missing::Stale(_) => "stale",
                Missing::TooFew => "too_few",
                Missing::DividesByZero => "divides_by_zero",
            },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within => f.write_str("the value is not beyond the threshold"),
            Self::NotYet { held_secs, for_secs } => {
                write!(f, "beyond the threshold for {held_secs} s of {for_secs} s")
            }
            Self::Beyond { who: None } => f.write_str("beyond the threshold"),
            Self::Beyond { who: Some(who) } => write!(f, "beyond the threshold, by {who:?}"),
            Self::Lingers => f.write_str("the value has come back, but not yet far or long enough"),
            Self::Waiting(missing) => write!(f, "no value now ({missing}), the state is kept for 5 minutes"),
            Self::NoValue(missing) => write!(f, "no value: {missing}"),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unseen(what) => write!(f, "nothing has come of {what}"),
            Self::Unusable { what, is } => write!(f, "{what} is {is}, which cannot be used so"),
            Self::Stale(what) => write!(f, "nothing new of {what}"),
            Self::TooFew => f.write_str("too few events or samples in the window"),
            Self::DividesByZero => f.write_str("the formula divides by zero"),
        }
    }
}

/// What is asked for; an empty part asks for anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndicatorFilter<'a> {
    /// The service.
    pub service: Option<&'a str>,
    /// The indicator.
    pub name: Option<&'a str>,
    /// Whether it must be active (or not).
    pub active: Option<bool>,
}

/// See the module's words. Every 10 s all of it is replaced at once, so that what one reads belongs together.
#[derive(Debug, Default)]
pub struct IndicatorBoard(ArcSwap<Vec<Arc<IndicatorStatus>>>);

impl IndicatorBoard {
    /// Replaces everything; sorted by service, environment and name.
    pub(super) fn set(&self, mut all: Vec<Arc<IndicatorStatus>>) {
        all.sort_by(|a, b| key(a).cmp(&key(b)));
        self.0.store(Arc::new(all));
    }

    /// Everything, sorted by service, environment and name.
    pub fn snapshot(&self) -> Arc<Vec<Arc<IndicatorStatus>>> {
        self.0.load_full()
    }

    /// What matches, in the same order.
    pub fn list(&self, filter: &IndicatorFilter<'_>) -> Vec<Arc<IndicatorStatus>> {
        let wanted = |it: &&Arc<IndicatorStatus>| {
            filter.service.is_none_or(|service| *it.service == *service)
                && filter.name.is_none_or(|name| *it.name == *name)
                && filter.active.is_none_or(|active| it.state.is_active() == active)
        };
        self.0.load().iter().filter(wanted).cloned().collect()
    }

    /// One indicator: what a condition of a policy looks at.
    pub fn get(&self, name: &str, service: &str, environment: Option<&str>) -> Option<Arc<IndicatorStatus>> {
        let all = self.0.load();
        let wanted = (service, environment, name);
        let found = all.binary_search_by(|it| key(it).cmp(&wanted)).ok()?;
        all.get(found).cloned()
    }
}

fn key(status: &IndicatorStatus) -> (&str, Option<&str>, &str) {
    (&status.service, status.environment.as_deref(), &status.name)
}
