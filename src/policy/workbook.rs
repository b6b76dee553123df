//! The alerts of an SLO that names none of its own: the SRE workbook's four pairs.
//!
//! | name            | spends | within 30 d | windows   | level    | severity |
//! | --------------- | ------ | ----------- | --------- | -------- | -------- |
//! | `critical_burn` |  2 %   | 14.4        | 1h and 5m | critical | page     |
//! | `fast_burn`     |  5 %   | 6           | 6h and 30m| fast     | page     |
//! | `slow_burn_24h` | 10 %   | 3           | 24h and 2h| slow     | ticket   |
//! | `slow_burn_3d`  | 10 %   | 1           | 3d and 6h | slow     | ticket   |
//!
//! For another period the windows stay and the thresholds become `p * W / d`, so that an alert always means
//! the same share of the budget. Below seven days that would ask for windows nearly as long as the period and
//! for thresholds below 1; so there the windows shrink by `W / 30d` and the thresholds stay, which spends the
//! same shares. Windows are whole buckets: they are rounded to 10 s, the long one is at least 60 s and the
//! short one at least 10 s. Where these minima bind (periods below two days) an alert speaks later, at a
//! larger share; the thresholds are kept so that the order of urgency holds.

use super::model::{Alert, AlertWindow, Severity};
use super::status::AlertState;
use crate::budget::{Target, Threshold, exceeds, threshold_for_share};
use crate::ledger::Counts;
use std::sync::Arc;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// The period that the workbook's figures are for.
const WORKBOOK_PERIOD_SECS: u64 = 30 * DAY;
/// Below this period the windows scale instead of the thresholds.
const SCALED_BELOW_SECS: u64 = 7 * DAY;

struct Pair {
    name: &'static str,
    level: AlertState,
    severity: Severity,
    long_secs: u64,
    short_secs: u64,
    /// Share of the budget that the long window may spend, in millionths.
    share: u64,
}

const PAIRS: [Pair; 4] = [
    Pair {
        name: "critical_burn",
        level: AlertState::CriticalBurn,
        severity: Severity::Page,
        long_secs: HOUR,
        short_secs: 300,
        share: 20_000,
    },
    Pair {
        name: "fast_burn",
        level: AlertState::FastBurn,
        severity: Severity::Page,
        long_secs: 6 * HOUR,
        short_secs: 1800,
        share: 50_000,
    },
    Pair {
        name: "slow_burn_24h",
        level: AlertState::SlowBurn,
        severity: Severity::Ticket,
        long_secs: 24 * HOUR,
        short_secs: 2 * HOUR,
        share: 100_000,
    },
    Pair {
        name: "slow_burn_3d",
        level: AlertState::SlowBurn,
        severity: Severity::Ticket,
        long_secs: 72 * HOUR,
        short_secs: 6 * HOUR,
        share: 100_000,
    },
];

/// The default alerts of an SLO with this period. Of one that counts slices every window is a whole number of
/// them, rounded up.
pub(super) fn alerts(period_secs: u64, slice_secs: Option<u64>) -> Vec<Arc<Alert>> {
    let in_slices = |mut alert: Alert| {
        for window in &mut alert.windows {
            let slice = slice_secs.unwrap_or(1);
            window.window_secs = window.window_secs.div_ceil(slice) * slice;
        }
        Arc::new(alert)
    };
    PAIRS
        .iter()
        .map(|pair| in_slices(alert(pair, period_secs)))
        .collect()
}

fn alert(pair: &Pair, period_secs: u64) -> Alert {
    let (long, short, burn_above) = if period_secs < SCALED_BELOW_SECS {
        let burn = threshold_for_share(pair.share, WORKBOOK_PERIOD_SECS, pair.long_secs);
        (
            scaled(pair.long_secs, period_secs, 60),
            scaled(pair.short_secs, period_secs, 10),
            burn,
        )
    } else {
        let burn = threshold_for_share(pair.share, period_secs, pair.long_secs);
        (pair.long_secs, pair.short_secs, burn)
    };
    Alert {
        name: Arc::from(pair.name),
        severity: pair.severity,
        level: pair.level,
        windows: [long, short]
            .map(|window_secs| AlertWindow {
                window_secs,
                burn_above,
            })
            .to_vec(),
        for_secs: 0,
        of_target: None,
    }
}

/// `window * period / 30d`, rounded to whole buckets, at least `min`.
fn scaled(window_secs: u64, period_secs: u64, min: u64) -> u64 {
    let tens = (window_secs * period_secs + WORKBOOK_PERIOD_SECS * 5) / (WORKBOOK_PERIOD_SECS * 10);
    (tens * 10).max(min)
}

/// The window whose burn the time to exhaustion assumes: the long window of the first pair, one hour for 30
/// days. Five minutes would jump about, a day would answer for yesterday.
pub(super) fn exhaustion_window(period_secs: u64) -> u64 {
    if period_secs < SCALED_BELOW_SECS {
        scaled(HOUR, period_secs, 60)
    } else {
        HOUR
    }
}

/// The first of `thresholds` that no outage exceeds: the burn rate is at most `1 / budget`.
pub(super) fn unreachable(
    mut thresholds: impl Iterator<Item = Threshold>,
    target: Target,
) -> Option<Threshold> {
    let outage = Counts { good: 0, bad: 1 };
    thresholds.find(|&t| !exceeds(outage, target, t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::consumption;

    fn shape(period_secs: u64) -> Vec<(u64, u64, String)> {
        let pair = |a: &Arc<Alert>| {
            (
                a.windows[0].window_secs,
                a.windows[1].window_secs,
                a.windows[0].burn_above.to_string(),
            )
        };
        alerts(period_secs, None).iter().map(pair).collect()
    }

    #[test]
    fn thirty_days_are_the_workbooks_pairs() {
        let want = [
            (3600, 300, "14.4"),
            (21_600, 1800, "6"),
            (86_400, 7200, "3"),
            (259_200, 21_600, "1"),
        ];
        assert_eq!(shape(30 * DAY), want.map(|(l, s, t)| (l, s, t.to_owned())));
    }

    #[test]
    fn v7_28_days_keep_the_windows_and_scale_the_thresholds() {
        let thresholds: Vec<_> = shape(28 * DAY).into_iter().map(|(_, _, t)| t).collect();
        assert_eq!(thresholds, ["13.44", "5.6", "2.8", "0.933333"]);
        assert_eq!(
            shape(28 * DAY).iter().map(|p| p.0).collect::<Vec<_>>(),
            [3600, 21_600, 86_400, 259_200]
        );
    }

    #[test]
    fn v10_seven_days_do_not_keep_the_factors_of_thirty() {
        let thresholds: Vec<_> = shape(7 * DAY).into_iter().map(|(_, _, t)| t).collect();
        assert_eq!(thresholds, ["3.36", "1.4", "0.7", "0.233333"]);
    }

    #[test]
    fn below_seven_days_the_windows_scale_and_spend_the_same_shares() {
        let want = [
            (120, 10, "14.4"),
            (720, 60, "6"),
            (2880, 240, "3"),
            (8640, 720, "1"),
        ];
        assert_eq!(shape(DAY), want.map(|(l, s, t)| (l, s, t.to_owned())));
        for (alert, share) in alerts(3 * DAY, None).iter().zip([0.02, 0.05, 0.1, 0.1]) {
            let w = alert.windows[0];
            assert!(
                (consumption(w.burn_above.value(), w.window_secs, 3 * DAY) - share).abs() < 1e-9,
                "{}",
                alert.name
            );
        }
    }

    #[test]
    fn windows_never_shrink_below_the_buckets() {
        for (long, short, _) in shape(HOUR) {
            assert!(
                long >= 60 && short >= 10 && long % 10 == 0 && short % 10 == 0 && short < long,
                "{long} {short}"
            );
        }
    }

    #[test]
    fn v20_14_4_is_unreachable_at_90_percent() {
        let t = "90%".parse().unwrap();
        let reach: Vec<_> = alerts(30 * DAY, None)
            .iter()
            .map(|a| unreachable(a.windows.iter().map(|w| w.burn_above), t).is_none())
            .collect();
        assert_eq!(reach, [false, true, true, true]);
    }

    #[test]
    fn the_most_urgent_pair_wins() {
        let levels: Vec<_> = alerts(30 * DAY, None)
            .iter()
            .map(|a| (a.level, a.severity))
            .collect();
        assert!(levels.is_sorted_by(|a, b| a >= b));
    }
}
