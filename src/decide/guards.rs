//! What holds a kill that the statistics would allow: too little seen, too few who saw it, or a world in
//! which no flag is to blame.

use super::trials::{Case, SourceFigures};
use super::verdict::WithheldReason;
use crate::evidence::{BLAME_AT_LEAST, Guard, Hold};
use crate::ledger::Counts;
use crate::policy::{Board, Filter, Guards};
use crate::time::UnixNanos;
use globset::GlobSet;
use std::collections::BTreeMap;

/// Services that must burn at least before it may be everybody's trouble.
const BREAKER_SERVICES: usize = 3;
/// The window in which services burn, in seconds, and the burn rate.
const BREAKER_WINDOW_SECS: u64 = 300;
const BREAKER_BURN: f64 = 7.0;
/// The arms' shares may differ from what was configured by this factor.
const SHARE_TOLERANCE: f64 = 1.2;
/// Evidence against the configured share that is believed: 1 in 10,000.
const SHARE_BOUND: f64 = 9.21;

/// Guards that concern all rules.
#[derive(Clone, Debug)]
pub struct CommonGuards {
    /// Flags that are never switched, whatever a policy says.
    pub never_kill: GlobSet,
    /// More percent of the services than this burning at once are not one flag's doing.
    pub max_burning_percent: u8,
    /// No rule acts while less than this share of what was sent of late was taken.
    pub min_coverage: f64,
}

impl Default for CommonGuards {
    fn default() -> Self {
        Self {
            never_kill: GlobSet::empty(),
            max_burning_percent: 30,
            min_coverage: 0.99,
        }
    }
}

impl CommonGuards {
    /// Whether the flag may be switched at all, by rule or by hand.
    pub(super) fn may_switch(&self, flag: &str) -> Result<(), WithheldReason> {
        if self.never_kill.is_match(flag) {
            let guard = Guard::NeverKill;
            let holds = vec![Hold::Guard { guard }];
            return Err(WithheldReason::Rule { holds });
        }
        Ok(())
    }
}

/// The guards of one rule that hold, from what is known of its case.
pub(super) fn of_case(now: UnixNanos, case: &Case, rule: &Guards) -> Vec<Guard> {
    let mut holding = Vec::new();
    let (treated, control) = case.counts;
    let has_control = control.total() > 0;
    if treated.total() < rule.min_events || (has_control && control.total() < rule.min_events) {
        holding.push(Guard::Samples);
    }
    if case
        .last_event
        .is_none_or(|last| now.secs_since(last) > rule.max_data_age_secs)
    {
        holding.push(Guard::Stale);
    }
    if rule
        .expected_share
        .is_some_and(|expected| is_off_share(treated, control, expected))
    {
        holding.push(Guard::SampleRatio);
    }
    if let Some(sources) = &case.sources {
        of_sources(sources, rule, &mut holding);
    }
    holding
}

fn of_sources(sources: &SourceFigures, rule: &Guards, holding: &mut Vec<Guard>) {
    let needed = usize::try_from(rule.min_sources)
        .unwrap_or(usize::MAX)
        .min(sources.active);
    if sources.with_bad < needed {
        holding.push(Guard::Sources);
    }
    if sources.active > 1 {
        let fair = 2.0 / sources.active as f64;
        if sources.top_share > fair.max(f64::from(rule.max_source_percent) / 100.0) {
            holding.push(Guard::SourceShare);
        }
        if sources.log_e_without_top < BLAME_AT_LEAST.ln() {
            holding.push(Guard::LeaveOneOut);
        }
    }
    let roots = usize::try_from(rule.min_roots).unwrap_or(usize::MAX);
    if sources.roots.is_some_and(|found| found < roots) {
        holding.push(Guard::Roots);
    }
}

/// Whether the shares of the arms are evidence that assignment, or telemetry, is broken: an e-value against
/// "within a fifth of what was configured", for either side.
fn is_off_share(treated: Counts, control: Counts, expected_millipercent: u32) -> bool {
    let (n1, n0) = (treated.total() as f64, control.total() as f64);
    let expected = f64::from(expected_millipercent) / 100_000.0;
    let (high, low) = (
        (expected * SHARE_TOLERANCE).min(0.999),
        expected / SHARE_TOLERANCE,
    );
    let against = |null: f64, bet: f64| n1 * (bet / null).ln() + n0 * ((1.0 - bet) / (1.0 - null)).ln();
    against(high, (high * 1.25).min(0.9999)) >= SHARE_BOUND || against(low, low / 1.25) >= SHARE_BOUND
}

/// Whether so many services burn at once that no single flag is to blame.
pub(super) fn is_everybodys(board: &Board, max_percent: u8) -> bool {
    let totals = board.list(&Filter {
        totals: Some(true),
        ..Filter::default()
    });
    let mut services: BTreeMap<&str, bool> = BTreeMap::new();
    for status in totals.iter().filter(|status| !status.counts_calls()) {
        let burns = status
            .burn(BREAKER_WINDOW_SECS)
            .is_some_and(|burn| burn > BREAKER_BURN);
        *services.entry(&status.objective.service).or_default() |= burns;
    }
    let burning = services.values().filter(|burns| **burns).count();
    burning >= BREAKER_SERVICES && burning * 100 > services.len() * usize::from(max_percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(good: u64) -> Counts {
        Counts { good, bad: 0 }
    }

    #[test]
    fn a_share_within_a_fifth_is_fine_and_half_of_it_is_not() {
        assert!(!is_off_share(of(5_000), of(5_000), 50_000));
        assert!(!is_off_share(of(580), of(420), 50_000));
        assert!(is_off_share(of(2_500), of(7_500), 50_000));
        assert!(is_off_share(of(7_500), of(2_500), 50_000));
        assert!(is_off_share(of(100), of(9_900), 10_000), "a tenth of it");
        assert!(!is_off_share(of(1), of(0), 10_000), "one event says nothing");
    }

    #[test]
    fn one_of_many_sources_is_not_enough_and_one_of_one_is() {
        let rule = Guards::default();
        let held = |active, with_bad, top_share, without| {
            let sources = SourceFigures {
                active,
                with_bad,
                top_share,
                log_e_without_top: without,
                roots: Some(9),
            };
            let mut holding = Vec::new();
            of_sources(&sources, &rule, &mut holding);
            holding
        };
        assert_eq!(held(1, 1, 1.0, 0.0), []);
        assert_eq!(held(2, 2, 0.9, 5.0), []);
        assert_eq!(held(2, 2, 0.9, 0.5), [Guard::LeaveOneOut]);
        assert_eq!(
            held(10, 1, 1.0, 0.0),
            [Guard::Sources, Guard::SourceShare, Guard::LeaveOneOut]
        );
        assert_eq!(held(10, 3, 0.25, 9.0), []);
        assert_eq!(held(10, 3, 0.26, 9.0), [Guard::SourceShare]);
    }
}
