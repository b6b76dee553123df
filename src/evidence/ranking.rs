//! Which of many are suspect: for a list that people read.
//!
//! e-BH (Wang and Ramdas): of those that it names, at most a share `alpha` is innocent in expectation, under
//! any dependence. That holds at one look, not at the first of many looks, so it ranks and never triggers.

/// Indexes of those that e-BH names at `alpha`, the strongest first.
pub fn suspects(log_es: &[f64], alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..log_es.len()).collect();
    order.sort_by(|&a, &b| log_es[b].total_cmp(&log_es[a]).then(a.cmp(&b)));
    let bound = (log_es.len() as f64 / alpha).ln();
    let reaches = |&(rank, &at): &(usize, &usize)| (rank as f64).ln() + log_es[at] >= bound;
    let count = (1..).zip(&order).filter(reaches).map(|(rank, _)| rank).max();
    order.truncate(count.unwrap_or(0));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn v47_the_top_three_of_five() {
        let logs = [45.0, 1.0, 600.0, 12.0, 150.0].map(f64::ln);
        assert_eq!(suspects(&logs, 0.05), [2, 4, 0]);
    }

    #[test]
    fn nobody_is_suspect_without_evidence() {
        assert!(suspects(&[], 0.1).is_empty());
        assert!(suspects(&[0.0, -1.0, 1.0], 0.1).is_empty());
    }

    proptest! {
        #[test]
        fn whoever_reaches_the_kill_bound_is_suspect(logs in prop::collection::vec(-10.0..30.0_f64, 1..50)) {
            let named = suspects(&logs, 0.1);
            let bound = (logs.len() as f64 / 0.1).ln();
            for (at, _) in logs.iter().enumerate().filter(|(_, log)| **log >= bound) {
                prop_assert!(named.contains(&at));
            }
        }
    }
}
