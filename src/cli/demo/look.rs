//! What the gateway knows, cut down to what fits a terminal.

use super::flags::FlagStates;
use super::scene::{DEPLOYMENTS, FAILING_SERVICE, FLAGS, RULE_WINDOW_SECS, SERVICES, SHORT_WINDOW_SECS};
use crate::budget::{burn_rate, error_ratio};
use crate::cohort::{Level, flags::OFF};
use crate::ledger::Counts;
use crate::policy::{AlertState, Board, BudgetStatus, Filter};
use std::sync::Arc;

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServiceLook {
    pub(super) name: &'static str,
    /// Requests counted since the start.
    pub(super) counts: Counts,
    /// Burn in the short window.
    pub(super) burn: Option<f64>,
    /// Share of the budget that is left.
    pub(super) remaining: Option<f64>,
    pub(super) state: AlertState,
    /// What is promised, as a ratio, over how long.
    pub(super) target: f64,
    pub(super) period_secs: u64,
}

/// One flag, at the service that arms all of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FlagLook {
    pub(super) name: &'static str,
    /// What the flag service says.
    pub(super) enabled: bool,
    /// Requests with it in the rule's window.
    pub(super) on: Counts,
    pub(super) burn_on: Option<f64>,
    pub(super) burn_off: Option<f64>,
    /// Bad share with it over bad share without; `None` when there is nothing to compare.
    pub(super) contrast: Option<f64>,
    /// Burn with it on each deployment, in the order of [`DEPLOYMENTS`].
    pub(super) by_deployment: [Option<f64>; 2],
}

/// The picture of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Look {
    pub(super) services: Vec<ServiceLook>,
    pub(super) flags: Vec<FlagLook>,
}

impl Look {
    /// Looks at the gateway's board and the flag service.
    pub(super) fn take(board: &Board, states: &FlagStates) -> Self {
        Self {
            services: SERVICES
                .into_iter()
                .filter_map(|name| service(board, name))
                .collect(),
            flags: FLAGS.into_iter().map(|name| flag(board, name, states)).collect(),
        }
    }

    /// The gateway has counted requests of every service.
    pub(super) fn every_service_seen(&self) -> bool {
        self.services.len() == SERVICES.len()
    }

    /// Burn in the short window of the service in which the fault sits.
    pub(super) fn short_burn(&self) -> Option<f64> {
        self.services
            .iter()
            .find(|s| s.name == FAILING_SERVICE)
            .and_then(|s| s.burn)
    }
}

fn service(board: &Board, name: &'static str) -> Option<ServiceLook> {
    let wanted = Filter {
        service: Some(name),
        totals: Some(true),
        ..Filter::default()
    };
    let status = board.list(&wanted).into_iter().next()?;
    Some(ServiceLook {
        name,
        counts: status.lifetime,
        burn: status.burn(SHORT_WINDOW_SECS),
        remaining: status.remaining,
        state: status.overall,
        target: status.target.ratio(),
        period_secs: status.period_secs,
    })
}

fn flag(board: &Board, name: &'static str, states: &FlagStates) -> FlagLook {
    let wanted = Filter {
        service: Some(FAILING_SERVICE),
        flag: Some(name),
        ..Filter::default()
    };
    let series = board.list(&wanted);
    let (on, off) = (sum(&series, |v| v != OFF), sum(&series, |v| v == OFF));
    let burn = |counts| {
        series
            .first()
            .and_then(|s: &Arc<BudgetStatus>| burn_rate(counts, s.target))
    };
    FlagLook {
        name,
        enabled: states.get(name).is_some_and(|on| *on),
        on,
        burn_on: burn(on),
        burn_off: burn(off),
        contrast: contrast(on, off),
        by_deployment: DEPLOYMENTS.map(|wanted| {
            let of_it: Vec<_> = series
                .iter()
                .filter(|s| matches!(&s.cohort.level, Level::Flag { sha: Some(sha), .. } if **sha == *wanted))
                .cloned()
                .collect();
            burn(sum(&of_it, |v| v != OFF))
        }),
    }
}

/// Counts in the rule's window of the series whose variant is wanted.
fn sum(series: &[Arc<BudgetStatus>], wanted: impl Fn(&str) -> bool) -> Counts {
    let mut sum = Counts::default();
    for status in series {
        let Level::Flag { variant, .. } = &status.cohort.level else {
            continue;
        };
        if let Some(window) = status.window(RULE_WINDOW_SECS).filter(|_| wanted(variant)) {
            sum.good += window.counts.good;
            sum.bad += window.counts.bad;
        }
    }
    sum
}

fn contrast(on: Counts, off: Counts) -> Option<f64> {
    let (on, off) = (error_ratio(on)?, error_ratio(off)?);
    (on > 0.0 || off > 0.0).then(|| on / off)
}
