//! Sequences for means: latencies and business figures, never the trigger.
//!
//! Counts of bad events have exact evidence ([`super::Grid`]). Means have asymptotic sequences only, which
//! need a thousand values an arm, and blocks of time as strata: pooled over a rollout that meets an outage
//! they blame a healthy flag always. Both are those that experiment platforms publish, so that their figures
//! can be compared.

use statrs::distribution::{ContinuousCDF, Normal};

/// Variance of the effects that the mixture expects, for a `variance` of the difference of two means at the
/// planned end: half of z squared times it.
pub fn expected_effect_variance(variance: f64, alpha: f64) -> f64 {
    let z = Normal::standard().inverse_cdf(1.0 - alpha / 2.0);
    variance * z * z / 2.0
}

/// How many standard errors a difference of means must be away from zero, at any look (mSPRT with a normal
/// mixture).
pub fn mixture_z(variance: f64, expected_effect_variance: f64, alpha: f64) -> f64 {
    let sum = variance + expected_effect_variance;
    let surprise = -2.0 * (alpha / 2.0).ln() - (variance / sum).ln();
    (sum / expected_effect_variance * surprise).sqrt()
}

/// The parameter for which [`mean_half_width`] is narrowest after `events`.
pub fn tuning(events: f64, alpha: f64) -> f64 {
    let surprise = -2.0 * alpha.ln();
    ((surprise + surprise.ln_1p()) / events).sqrt()
}

/// Half the width of the asymptotic confidence sequence of a mean after `events` with this `variance`.
pub fn mean_half_width(variance: f64, events: f64, tuning: f64, alpha: f64) -> f64 {
    let known = events * tuning * tuning + 1.0;
    let surprise = (known.sqrt() / alpha).ln();
    (variance * 2.0 * known * surprise).sqrt() / (events * tuning)
}

#[cfg(test)]
mod tests {
    use super::super::testing::near;
    use super::*;

    #[test]
    fn v48_five_thousand_an_arm() {
        let variance = 1.0 / 5000.0 + 1.0 / 5000.0;
        let expected = expected_effect_variance(variance, 0.05);
        near(expected, 7.682_92e-4, 5e-10);
        near(mixture_z(variance, expected, 0.05), 3.584_52, 5e-6);
    }

    #[test]
    fn v49_ten_thousand_tuned_for_five() {
        let tuned = tuning(5000.0, 0.05);
        near(tuned, 0.039_840_1, 5e-8);
        near(mean_half_width(1.0, 10_000.0, tuned, 0.05), 0.030_614_8, 5e-8);
    }
}
