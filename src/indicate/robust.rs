//! A line through points that a few wild ones do not bend.

/// The median over all pairs of the slope between them (Theil and Sen), in units of `y` a unit of `x`. Up to
/// 29 % of the points may be anything. Rejected: least squares, which one outlier turns.
///
/// None with fewer than three points, or when all stand at one `x`.
pub(super) fn theil_sen(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 3 {
        return None;
    }
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for (nth, (x, y)) in points.iter().enumerate() {
        for (later_x, later_y) in points.iter().skip(nth + 1) {
            let run = later_x - x;
            if run != 0.0 {
                slopes.push((later_y - y) / run);
            }
        }
    }
    median(&mut slopes)
}

fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let count = values.len();
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if count % 2 == 1 {
        return Some(*upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(lower + (*upper - lower) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_its_slope_and_outliers_do_not_bend_it() {
        let line = |x: i32| (f64::from(x), 3.0 + 0.25 * f64::from(x));
        let mut points: Vec<_> = (0..30).map(line).collect();
        assert_eq!(theil_sen(&points), Some(0.25));
        for outlier in [3, 11, 12, 19, 25, 28, 29] {
            points[outlier].1 = 1e6;
        }
        let bent = theil_sen(&points).unwrap();
        assert!((bent - 0.25).abs() < 0.2, "{bent}");
    }

    #[test]
    fn too_few_points_have_no_slope() {
        assert_eq!(theil_sen(&[(0.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(theil_sen(&[(1.0, 1.0); 5]), None);
    }

    proptest! {
        #[test]
        fn the_slope_moves_with_scale_and_shift(
            ys in proptest::collection::vec(-1e3_f64..1e3, 3..20),
            scale in -5.0_f64..5.0,
            tilt in -5.0_f64..5.0,
        ) {
            let points: Vec<_> = ys.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
            let base = theil_sen(&points).unwrap();
            let moved: Vec<_> = points.iter().map(|(x, y)| (*x, y * scale + x * tilt)).collect();
            let got = theil_sen(&moved).unwrap();
            prop_assert!((got - (base * scale + tilt)).abs() < 1e-6, "{got} {base}");
        }

        #[test]
        fn the_median_is_that_of_the_sorted_values(mut values in proptest::collection::vec(-1e3_f64..1e3, 1..40)) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let half = sorted.len() / 2;
            let wanted = if sorted.len() % 2 == 1 { sorted[half] } else { sorted[half - 1] + (sorted[half] - sorted[half - 1]) / 2.0 };
            prop_assert_eq!(median(&mut values), Some(wanted));
        }
    }
}
