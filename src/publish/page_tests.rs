//! Claims about the budgets' page, over ticks in simulated time.

use super::super::testing::{DAY, T0, World, deployment, flag};
use super::*;
use crate::time::UnixNanos;
use std::time::Duration;

fn page(change: impl FnOnce(&mut PrometheusExporter)) -> BudgetPage {
    let mut config = PrometheusExporter::default();
    change(&mut config);
    BudgetPage::new(&config)
}

/// The value of the one sample whose line holds all of `parts`, the first of them its name.
fn value(page: &BudgetPage, parts: &[&str]) -> Option<f64> {
    let text = page.handle().render();
    let of =
        |line: &&str| line.starts_with(&format!("{}{{", parts[0])) && parts.iter().all(|p| line.contains(p));
    let found: Vec<&str> = text.lines().filter(of).collect();
    assert!(found.len() < 2, "{found:?}");
    found
        .first()
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

fn burn(page: &BudgetPage, window: &str) -> f64 {
    value(
        page,
        &[
            "slo_burn_rate",
            "level=\"total\"",
            &format!("window=\"{window}\""),
        ],
    )
    .unwrap()
}

fn total(page: &BudgetPage, name: &str) -> f64 {
    value(page, &[name, "level=\"total\""]).unwrap()
}

fn state(page: &BudgetPage) -> f64 {
    value(page, &["slo_alert_state", "level=\"total\"", "alert=\"overall\""]).unwrap()
}

/// Ticks every half hour from one instant to the other, as an idle gateway would.
fn idle(world: &mut World, page: &mut BudgetPage, from: UnixNanos, to: UnixNanos) {
    let mut now = from;
    while now < to {
        now = UnixNanos(now.plus_secs(1800).0.min(to.0));
        let changed = world.tick(now);
        page.apply(&changed);
    }
}

#[test]
fn without_events_a_figure_is_nan_and_never_zero() {
    let (mut world, mut page) = (World::new(), page(|_| ()));
    assert_eq!(
        page.handle()
            .render()
            .lines()
            .filter(|l| !l.starts_with('#') && !l.is_empty())
            .count(),
        0
    );
    world.count(T0, Level::Total, 990, 10);
    page.apply(&world.tick(T0.plus_secs(1)));
    assert!((burn(&page, "5m") - 10.0).abs() < 1e-9 && (burn(&page, "3d") - 10.0).abs() < 1e-9);

    let later = T0.plus_secs(660);
    page.apply(&world.tick(later));
    assert!(
        burn(&page, "5m").is_nan(),
        "idle for five minutes: not 0, which would mean healthy"
    );
    assert!((burn(&page, "1h") - 10.0).abs() < 1e-9);

    let days = T0.plus_secs(3 * DAY + 7200);
    idle(&mut world, &mut page, later, days);
    for window in ["5m", "30m", "1h", "2h", "6h", "24h", "3d"] {
        assert!(burn(&page, window).is_nan(), "{window}");
    }
    assert!(
        (total(&page, "slo_error_budget_remaining_ratio") - -9.0).abs() < 1e-9,
        "the period remembers"
    );

    idle(&mut world, &mut page, days, T0.plus_secs(32 * DAY));
    assert!(total(&page, "slo_error_budget_remaining_ratio").is_nan());
    assert!(total(&page, "slo_error_budget_consumed_ratio").is_nan());
    assert!(total(&page, "slo_time_to_exhaustion_seconds").is_nan());
    assert!(
        (state(&page) - -1.0).abs() < f64::EPSILON,
        "no data is its own state"
    );
    let bad = value(&page, &["slo_events_total", "level=\"total\"", "outcome=\"bad\""]);
    assert_eq!(bad, Some(10.0), "a counter never goes back");
}

#[test]
fn the_periods_own_window_is_on_the_page_like_any_other() {
    for (period, window) in [("24h", "24h"), ("3d", "3d"), ("7d", "7d"), ("1h", "1h")] {
        let mut world = World::of(&format!(
            "window: {period}\nslos: [{{ name: availability, target: 99.9% }}]"
        ));
        let mut page = page(|_| ());
        world.count(T0, Level::Total, 990, 10);
        page.apply(&world.tick(T0.plus_secs(1)));
        for window in [window, "5m", "30m", "1h", "2h", "6h", "24h", "3d"] {
            assert!((burn(&page, window) - 10.0).abs() < 1e-9, "{period}: {window}");
        }
        let text = page.handle().render();
        let all: Vec<&str> = text.lines().filter(|l| l.starts_with("slo_burn_rate{")).collect();
        let different: std::collections::HashSet<&&str> = all.iter().collect();
        assert_eq!(all.len(), different.len(), "{period}: a window twice: {all:?}");
    }
}

#[test]
fn a_dashboards_window_may_be_the_period() {
    let mut world = World::of("window: 24h\nslos: [{ name: availability, target: 99.9% }]");
    let mut page = page(|config| config.dashboard_names = true);
    world.count(T0, Level::Total, 990, 10);
    page.apply(&world.tick(T0.plus_secs(1)));
    assert!((total(&page, "burn_rate_critical") - 10.0).abs() < 1e-9);
}

#[test]
fn a_cohort_has_a_budget_when_its_counts_reach_as_far_as_the_period() {
    const FIGURES: [&str; 5] = [
        "slo_objective_ratio",
        "slo_error_budget_minutes",
        "slo_error_budget_remaining_ratio",
        "slo_error_budget_consumed_ratio",
        "slo_time_to_exhaustion_seconds",
    ];
    for (period, want) in [
        ("3d", Some([0.999, 4.32, -9.0, 10.0, 0.0])),
        ("4d", None::<[f64; 5]>),
    ] {
        let mut world = World::of(&format!(
            "window: {period}\nslos: [{{ name: availability, target: 99.9% }}]"
        ));
        let mut page = page(|config| config.dashboard_names = true);
        world.count(T0, deployment("abc"), 990, 10);
        world.count(T0, flag(Some("abc"), "new", "on"), 990, 10);
        page.apply(&world.tick(T0.plus_secs(1)));
        for level in ["level=\"deployment\"", "level=\"flag\""] {
            for (i, name) in FIGURES.into_iter().enumerate() {
                let (got, want) = (value(&page, &[name, level]), want.map(|w| w[i]));
                let near = match (got, want) {
                    (Some(got), Some(want)) => (got - want).abs() < 1e-9,
                    (got, want) => got == want,
                };
                assert!(near, "{period} {level} {name}: {got:?} is not {want:?}");
            }
            assert_eq!(
                value(&page, &["burn_rate_fast", level]),
                None,
                "dashboards know totals only"
            );
        }
    }
}

#[test]
fn a_series_has_the_labels_of_its_parts_and_no_empty_ones() {
    let (mut world, mut page) = (World::new(), page(|_| ()));
    world.count(T0, Level::Total, 9, 1);
    world.count(T0, deployment("abc"), 9, 1);
    world.count(T0, flag(Some("abc"), "new", "on"), 9, 1);
    world.count(T0, flag(None, "old", "off"), 9, 1);
    page.apply(&world.tick(T0.plus_secs(1)));
    let text = page.handle().render();
    let ours = |line: &&str| line.starts_with("slo_events_total") && line.contains("outcome=\"bad\"");
    let mut lines: Vec<&str> = text.lines().filter(ours).collect();
    lines.sort_unstable();
    let of = |rest: &str| {
        let base = "slo_events_total{service=\"svc\",slo=\"availability\",environment=\"production\"";
        format!("{base},{rest},outcome=\"bad\"}} 1")
    };
    assert_eq!(
        lines,
        [
            of("flag=\"old\",variant=\"off\",level=\"flag\""),
            of("level=\"total\""),
            of("sha=\"abc\",flag=\"new\",variant=\"on\",level=\"flag\""),
            of("sha=\"abc\",level=\"deployment\""),
        ]
    );
}

#[test]
fn beyond_the_cap_cohorts_are_left_out_but_totals_and_overflow_stay() {
    let (mut world, mut page) = (World::new(), page(|config| config.max_cohort_series = 2));
    for sha in ["a", "b", "c", "d"] {
        world.count(T0, deployment(sha), 9, 1);
        page.apply(&world.tick(T0.plus_secs(1)));
    }
    world.count(T0, Level::Overflow, 90, 10);
    world.count(T0, Level::Total, 900, 100);
    page.apply(&world.tick(T0.plus_secs(1)));
    let shown = |part: &str| value(&page, &["slo_events_total", part, "outcome=\"bad\""]);
    assert_eq!(
        (shown("sha=\"a\""), shown("sha=\"b\""), shown("sha=\"c\"")),
        (Some(1.0), Some(1.0), None)
    );
    assert_eq!(
        (shown("level=\"overflow\""), shown("level=\"total\"")),
        (Some(10.0), Some(100.0))
    );
    assert_eq!(page.omitted.len(), 2);
    // One that is shown goes on being shown.
    world.count(T0, deployment("a"), 0, 1);
    page.apply(&world.tick(T0.plus_secs(1)));
    assert_eq!(
        value(&page, &["slo_events_total", "sha=\"a\"", "outcome=\"bad\""]),
        Some(2.0)
    );
}

#[test]
fn a_cohort_that_has_left_leaves_the_page_and_its_place() {
    let (mut world, mut page) = (World::new(), page(|config| config.max_cohort_series = 1));
    world.count(T0, Level::Total, 9, 1);
    world.count(T0, deployment("old"), 9, 1);
    let changed = world.tick(T0.plus_secs(1));
    page.apply(&changed);
    // Handed out before: a scrape must see the new page through it.
    let handle = page.handle();
    let old = changed.iter().find(|s| s.cohort.level != Level::Total).unwrap();
    world.evaluator.forget(old.objective_id, old.cohort_id);
    page.rebuild(world.board());
    assert!(!handle.render().contains("sha=\"old\"") && handle.render().contains("level=\"total\""));
    world.count(T0, deployment("new"), 9, 1);
    page.apply(&world.tick(T0.plus_secs(1)));
    assert!(handle.render().contains("sha=\"new\""));
}

#[test]
fn dashboards_get_their_names_and_windows() {
    let (mut world, mut page) = (
        World::new(),
        page(|config| {
            config.dashboard_names = true;
            config.burn_rate_fast = Duration::from_mins(30);
        }),
    );
    world.count(T0, Level::Total, 9_996, 4);
    world.count(T0, deployment("abc"), 9_996, 4);
    page.apply(&world.tick(T0.plus_secs(1)));
    for (name, want) in [
        ("error_budget_remaining_pct", 60.0),
        ("error_budget_consumed_total", 4.0),
        ("error_budget_events", 10.0),
        ("burn_rate_fast", 0.4),
        ("burn_rate_slow", 0.4),
        ("burn_rate_critical", 0.4),
        ("slo_error_budget_minutes", 43.2),
    ] {
        let got = total(&page, name);
        assert!((got - want).abs() < 1e-9, "{name}: {got}");
    }
    assert_eq!(
        value(&page, &["error_budget_remaining_pct", "level=\"deployment\""]),
        None,
        "a cohort has no budget"
    );
    page.apply(&world.tick(T0.plus_secs(700)));
    assert!(
        (total(&page, "burn_rate_fast") - 0.4).abs() < 1e-9,
        "half an hour is not over"
    );
    assert!(burn(&page, "5m").is_nan());
    let text = page.handle().render();
    assert!(
        text.contains("# TYPE error_budget_consumed_total counter"),
        "{text}"
    );
    assert!(text.contains("# TYPE error_budget_events gauge"), "{text}");
}
