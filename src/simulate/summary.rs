//! The runs of a cell as one row.

use super::cell::Cell;
use super::run::{Kill, RunOutcome};
use serde::Serialize;

/// How long until a kill, over all runs, those without one at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// Half of the runs have killed by then; `None` if fewer ever do.
    pub median_secs: Option<u64>,
    /// 95 % of the runs.
    pub p95_secs: Option<u64>,
}

/// The runs of one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was played.
    #[serde(flatten)]
    pub cell: Cell,
    /// How often.
    pub runs: u64,
    /// Runs in which the guilty flag was switched first.
    pub killed: u64,
    /// Runs in which an innocent one was, or the guilty one before it was guilty.
    pub wrong: u64,
    /// Runs in which the evidence against an innocent flag was ever enough, harm or not.
    pub crossed: u64,
    /// From onset to the right kill.
    pub delay: Delay,
    /// Share of a month's budget spent until then: the median.
    pub spent: f64,
    /// The same of the plain rule.
    pub plain_killed: u64,
    /// The same of the plain rule.
    pub plain_wrong: u64,
    /// The same of the plain rule.
    pub plain_delay: Delay,
    /// Seconds from onset to the right kill of each run that has one, ascending: the power curve.
    #[serde(skip)]
    pub delays_secs: Vec<u64>,
}

impl Row {
    /// Sums up.
    pub(super) fn of(cell: &Cell, onset_secs: u64, outcomes: &[RunOutcome]) -> Self {
        let runs = outcomes.len() as u64;
        let is_right = |kill: &Kill| !cell.is_null() && kill.flag == 0 && !kill.is_early;
        let wrong = |of: fn(&RunOutcome) -> Option<Kill>| {
            outcomes
                .iter()
                .filter_map(of)
                .filter(|kill| !is_right(kill))
                .count() as u64
        };
        let delays = |of: fn(&RunOutcome) -> Option<Kill>| {
            let right = outcomes.iter().filter_map(of).filter(is_right);
            let mut secs: Vec<u64> = right.map(|kill| kill.secs.saturating_sub(onset_secs)).collect();
            secs.sort_unstable();
            secs
        };
        let delay = |secs: &[u64]| Delay {
            median_secs: quantile(secs, runs, 50),
            p95_secs: quantile(secs, runs, 95),
        };
        let (own, plain) = (delays(|o| o.kill), delays(|o| o.plain));
        let mut spent: Vec<f64> = outcomes.iter().map(|outcome| outcome.spent).collect();
        spent.sort_by(f64::total_cmp);
        Self {
            cell: *cell,
            runs,
            killed: own.len() as u64,
            wrong: wrong(|o| o.kill),
            crossed: outcomes.iter().filter(|outcome| outcome.crossed).count() as u64,
            delay: delay(&own),
            spent: spent.get(spent.len() / 2).copied().unwrap_or(0.0),
            plain_killed: plain.len() as u64,
            plain_wrong: wrong(|o| o.plain),
            plain_delay: delay(&plain),
            delays_secs: own,
        }
    }
}

/// The value that `percent` of `runs` do not exceed, when the runs that are missing in `sorted` exceed all.
fn quantile(sorted: &[u64], runs: u64, percent: u64) -> Option<u64> {
    let rank = (runs * percent).div_ceil(100).max(1);
    sorted.get(usize::try_from(rank - 1).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_without_a_kill_are_later_than_all() {
        let secs: Vec<u64> = (1..=96).collect();
        assert_eq!(
            (quantile(&secs, 100, 50), quantile(&secs, 100, 95)),
            (Some(50), Some(95))
        );
        assert_eq!(
            (quantile(&secs, 200, 50), quantile(&secs, 96, 95)),
            (None, Some(92))
        );
        assert_eq!(quantile(&[], 0, 50), None);
    }
}
