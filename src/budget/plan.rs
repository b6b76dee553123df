//! What a burn rate costs over time: the arithmetic behind alert thresholds.
//!
//! Burning at rate `BR` for `d` of a period `W` spends the share `BR * d / W` of its budget; so the threshold
//! that spends the share `p` within `d` is `p * W / d` (the SRE workbook's 14.4 is 2 % in one hour of 30
//! days).

use super::{Target, Threshold};

/// Share of a period's budget that burning at `burn` for `secs` spends.
pub fn consumption(burn: f64, secs: u64, period_secs: u64) -> f64 {
    burn * secs as f64 / period_secs as f64
}

/// The burn rate that spends `share_millionths` of a period's budget within `window_secs`, rounded to the
/// nearest millionth (28 days make of 1 the fraction 14/15, which no decimal holds).
pub fn threshold_for_share(share_millionths: u64, period_secs: u64, window_secs: u64) -> Threshold {
    let window = u128::from(window_secs.max(1));
    let scaled = u128::from(share_millionths) * u128::from(period_secs);
    Threshold::from_millionths(u64::try_from((scaled + window / 2) / window).unwrap_or(u64::MAX))
}

/// Seconds until a window of `window_secs` that was clean exceeds `threshold` under a constant error ratio;
/// `None` when it never does.
pub fn detection_secs(
    error_ratio: f64,
    target: Target,
    threshold: Threshold,
    window_secs: u64,
) -> Option<f64> {
    let needed = target.budget_ratio() * threshold.value();
    (error_ratio > needed).then(|| needed / error_ratio * window_secs as f64)
}

/// Seconds that an alert on one window stays after a total outage that stopped the moment it fired; `None`
/// when such an outage never makes it fire.
pub fn reset_secs(target: Target, threshold: Threshold, window_secs: u64) -> Option<f64> {
    detection_secs(1.0, target, threshold, window_secs).map(|t| window_secs as f64 - t)
}

#[cfg(test)]
mod tests {
    use super::super::{budget_events, time_to_exhaustion};
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn factor(text: &str) -> Threshold {
        text.parse().unwrap()
    }

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[track_caller]
    fn near(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-9, "{got} is not {want}");
    }

    #[track_caller]
    fn rounds_to(got: f64, want: f64, places: i32) {
        assert!(
            (got - want).abs() <= 0.5 * 10_f64.powi(-places) + 1e-12,
            "{got} does not round to {want}"
        );
    }

    #[test]
    fn v6_the_workbook_pairs_spend_2_5_10_and_10_percent() {
        for (burn, hours, share) in [(14.4, 1, 0.02), (6.0, 6, 0.05), (3.0, 24, 0.10), (1.0, 72, 0.10)] {
            near(consumption(burn, hours * HOUR, 30 * DAY), share);
        }
    }

    #[test]
    fn v7_thresholds_for_28_days() {
        for (share, hours, want) in [
            (20_000, 1, "13.44"),
            (50_000, 6, "5.6"),
            (100_000, 24, "2.8"),
            (100_000, 72, "0.933333"),
        ] {
            assert_eq!(threshold_for_share(share, 28 * DAY, hours * HOUR), factor(want));
        }
    }

    #[test]
    fn v10_thirty_day_factors_on_seven_days_spend_too_much() {
        for (burn, hours, share) in [
            (14.4, 1, 0.0857),
            (6.0, 6, 0.2143),
            (3.0, 24, 0.4286),
            (1.0, 72, 0.4286),
        ] {
            rounds_to(consumption(burn, hours * HOUR, 7 * DAY), share, 4);
        }
    }

    #[test]
    fn v11_detection_of_an_outage() {
        for (burn, hours, secs) in [
            ("14.4", 1, 51.84),
            ("6", 6, 129.6),
            ("3", 24, 259.2),
            ("1", 72, 259.2),
        ] {
            near(
                detection_secs(1.0, target("99.9%"), factor(burn), hours * HOUR).unwrap(),
                secs,
            );
        }
    }

    #[test]
    fn v13_detection_by_a_single_window_at_burn_one() {
        near(
            detection_secs(1.0, target("99.9%"), Threshold::ONE, 600).unwrap(),
            0.6,
        );
        near(
            detection_secs(1.0, target("99.9%"), Threshold::ONE, 36 * HOUR).unwrap(),
            129.6,
        );
    }

    #[test]
    fn v15_burning_at_35_never_trips_36_and_exhausts_in_under_a_day() {
        assert_eq!(detection_secs(0.035, target("99.9%"), factor("36"), HOUR), None);
        rounds_to(
            time_to_exhaustion(1.0, 35.0, 30 * DAY).unwrap() / HOUR as f64,
            20.571,
            3,
        );
    }

    #[test]
    fn v16_an_hour_of_outage_at_three_nines_overspends() {
        rounds_to(
            consumption(target("99.9%").max_burn(), HOUR, 30 * DAY),
            1.38889,
            5,
        );
    }

    #[test]
    fn v20_at_90_percent_an_hour_of_outage_cannot_reach_14_4() {
        let t = target("90%");
        near(t.max_burn(), 10.0);
        rounds_to(100.0 * consumption(t.max_burn(), HOUR, 30 * DAY), 1.3889, 4);
        assert_eq!(detection_secs(1.0, t, factor("14.4"), HOUR), None);
    }

    #[test]
    fn v22_single_windows_spend_what_they_spend() {
        for (burn, minutes, percent) in [(14.4, 5, 0.16667), (6.0, 60, 0.83333), (3.0, 1440, 10.0)] {
            rounds_to(100.0 * consumption(burn, minutes * 60, 30 * DAY), percent, 5);
        }
    }

    #[test]
    fn v23_the_published_kill_thresholds_spend_little() {
        for (burn, minutes, percent, places) in
            [(7.0, 3, 0.0486, 4), (7.0, 60, 0.972, 3), (14.0, 5, 0.162, 3)]
        {
            rounds_to(100.0 * consumption(burn, minutes * 60, 30 * DAY), percent, places);
        }
    }

    #[test]
    fn v26_factors_of_28_days_spend_and_exhaust() {
        for (burn, hours, share, exhausts) in [
            (14.0, 1, 0.020833, 48),
            (7.0, 6, 0.0625, 96),
            (2.0, 24, 0.071429, 336),
            (1.0, 96, 0.142857, 672),
        ] {
            rounds_to(consumption(burn, hours * HOUR, 28 * DAY), share, 6);
            near(
                time_to_exhaustion(1.0, burn, 28 * DAY).unwrap() / HOUR as f64,
                f64::from(exhausts),
            );
        }
    }

    #[test]
    fn v33_two_percent_of_a_quiet_service_is_less_than_one_event() {
        near(0.02 * budget_events(target("99.9%"), 7200), 0.144);
    }

    #[test]
    fn reset_of_36_over_an_hour_takes_58_minutes() {
        rounds_to(
            reset_secs(target("99.9%"), factor("36"), HOUR).unwrap() / 60.0,
            57.8,
            1,
        );
        assert_eq!(reset_secs(target("90%"), factor("14.4"), HOUR), None);
    }
}
