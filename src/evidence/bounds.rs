//! How much evidence is enough.

/// Ten-second blocks of a year: what is active at most.
pub const BLOCKS_A_YEAR: f64 = 3_155_760.0;

/// ln(m / alpha): what ln E must reach before a variant is blamed, when `pairs` variants and SLIs are
/// watched.
///
/// With it an epoch blames wrongly with probability `alpha` at most, over all pairs together, however they
/// depend on each other (Bonferroni for e-values); it costs the logarithm of `pairs` only. Rejected: e-BH,
/// which controls false discoveries of one look and not of the first crossing.
pub fn kill_bound(pairs: usize, alpha: f64) -> f64 {
    (pairs.max(1) as f64 / alpha).ln()
}

/// What makes a suspect, whose joint counts with other suspects are looked at: halfway to [`kill_bound`].
pub fn suspect_bound(pairs: usize, alpha: f64) -> f64 {
    kill_bound(pairs, alpha) / 2.0
}

/// ln(m * blocks / allowed): what the CUSUM must reach, so that `pairs` pairs with so many active blocks a
/// year blame wrongly `allowed_a_year` times a year at most.
pub fn change_bound(pairs: usize, blocks_a_year: f64, allowed_a_year: f64) -> f64 {
    (pairs.max(1) as f64 * blocks_a_year / allowed_a_year).ln()
}

#[cfg(test)]
mod tests {
    use super::super::testing::near;
    use super::*;

    #[test]
    fn v46_two_hundred_pairs_at_one_percent() {
        near(kill_bound(200, 0.01), 9.903_487_6, 5e-8);
        near(suspect_bound(200, 0.01), 4.951_743_8, 5e-8);
        near(kill_bound(0, 0.05), 20.0_f64.ln(), 1e-12);
    }

    #[test]
    fn two_hundred_pairs_all_year_and_one_false_kill_are_about_twenty() {
        near(change_bound(200, BLOCKS_A_YEAR, 1.0), 20.262_9, 5e-4);
    }
}
