//! The kill rule: from figures to a verdict.
//!
//! All of: enough evidence, of a class that the policy accepts; harm, which evidence alone is not (a variant
//! that fails twice as often as nearly never harms nobody); still going on; attributed to this flag; no
//! guard; and all that at every evaluation for the policy's `for`. Burn alone is never enough.
//!
//! Harm is looked for in the smallest window, from the policy's own up, that holds [`MIN_TREATED_BAD`] bad
//! events: at little traffic five minutes hold none or one, and say nothing either way.

use super::{Attribution, Dwell, Figures, HarmWindow, Hold};
use crate::budget::{burn_rate, exceeds};
use crate::time::UnixNanos;
use serde::Serialize;

/// Bad events of the treated cohort that a window must hold, unless the policy says more.
pub const MIN_TREATED_BAD: u64 = 5;

/// Without a bad event for so long, or for three mean gaps between them if that is longer, it is over.
const QUIET_SECS: u64 = 300;
const QUIET_GAPS: u64 = 3;

/// What the rule says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Switch it.
    Kill {
        /// Where the harm was found.
        window: HarmWindow,
        /// The burn rate there.
        burn: f64,
        /// For how long everything has held.
        held_secs: u64,
        /// How it is known to be this one.
        attribution: Attribution,
    },
    /// Leave it, for these reasons: at least one.
    Hold {
        /// Why.
        reasons: Vec<Hold>,
    },
}

/// Judges at one evaluation, and notes in `dwell` whether everything holds.
pub fn judge(
    now: UnixNanos,
    figures: &Figures<'_>,
    dwell: &mut Dwell,
    for_secs: u64,
    max_gap_secs: u64,
) -> Verdict {
    let (reasons, window) = weigh(now, figures);
    let held = dwell.note(now, reasons.is_empty(), max_gap_secs);
    match (held, window) {
        (Some(held_secs), Some(window)) if held_secs >= for_secs => Verdict::Kill {
            window,
            burn: burn_rate(window.counts, figures.target).unwrap_or(0.0),
            held_secs,
            attribution: figures.attribution.clone(),
        },
        (Some(held_secs), _) => Verdict::Hold {
            reasons: vec![Hold::Dwell {
                held_secs,
                needed_secs: for_secs,
            }],
        },
        (None, _) => Verdict::Hold { reasons },
    }
}

/// What holds a kill now, apart from time, and the window in which harm was looked for.
pub fn weigh(now: UnixNanos, figures: &Figures<'_>) -> (Vec<Hold>, Option<HarmWindow>) {
    let mut reasons = Vec::new();
    if figures.log_e < figures.kill_bound && figures.log_d < figures.change_bound {
        reasons.push(Hold::Evidence {
            log_e: figures.log_e,
            kill_bound: figures.kill_bound,
            log_d: figures.log_d,
            change_bound: figures.change_bound,
        });
    }
    if figures.class < figures.class_needed {
        reasons.push(Hold::Class {
            class: figures.class,
            needed: figures.class_needed,
        });
    }
    let window = harm(figures, &mut reasons);
    if let Some(window) = window {
        ongoing(now, figures, window, &mut reasons);
    }
    if !figures.attribution.is_resolved() {
        reasons.push(Hold::Attribution {
            attribution: figures.attribution.clone(),
        });
    }
    reasons.extend(figures.guards.iter().map(|&guard| Hold::Guard { guard }));
    (reasons, window)
}

fn harm(figures: &Figures<'_>, reasons: &mut Vec<Hold>) -> Option<HarmWindow> {
    let needed = figures.min_bad.max(MIN_TREATED_BAD);
    let found = figures.windows.iter().find(|window| window.counts.bad >= needed);
    let Some(&window) = found else {
        let bad = figures.windows.last().map_or(0, |window| window.counts.bad);
        reasons.push(Hold::TooFewBad { bad, needed });
        return None;
    };
    if !exceeds(window.counts, figures.target, figures.burn_above) {
        reasons.push(Hold::Harm {
            window_secs: window.secs,
            burn: burn_rate(window.counts, figures.target).unwrap_or(0.0),
            burn_above: figures.burn_above.value(),
        });
    }
    Some(window)
}

fn ongoing(now: UnixNanos, figures: &Figures<'_>, window: HarmWindow, reasons: &mut Vec<Hold>) {
    let gap_secs = window.secs / window.counts.bad.max(1);
    let after_secs = QUIET_SECS.max(QUIET_GAPS * gap_secs);
    let quiet_secs = figures.last_bad.map_or(u64::MAX, |last| now.secs_since(last));
    if quiet_secs > after_secs {
        reasons.push(Hold::Over {
            quiet_secs,
            after_secs,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::of;
    use super::super::{EvidenceClass, Guard, kill_bound};
    use super::*;

    const NOW: UnixNanos = UnixNanos::from_secs(10_000);

    /// A case in which everything holds: 20 of 1000 bad in five minutes at 99.95 % is a burn of 40.
    fn guilty() -> Figures<'static> {
        const WINDOWS: &[HarmWindow] = &[
            HarmWindow {
                secs: 300,
                counts: crate::ledger::Counts { good: 980, bad: 20 },
            },
            HarmWindow {
                secs: 1800,
                counts: crate::ledger::Counts { good: 5980, bad: 20 },
            },
        ];
        Figures {
            log_e: 12.0,
            kill_bound: kill_bound(200, 0.01),
            log_d: 12.0,
            change_bound: 20.3,
            class: EvidenceClass::Concurrent,
            class_needed: EvidenceClass::Concurrent,
            target: "99.95%".parse().unwrap(),
            burn_above: "7".parse().unwrap(),
            min_bad: 1,
            windows: WINDOWS,
            last_bad: Some(NOW.minus_secs(5)),
            attribution: &Attribution::Alone,
            guards: &[],
        }
    }

    fn held_by(figures: &Figures<'_>) -> Vec<Hold> {
        weigh(NOW, figures).0
    }

    #[test]
    fn everything_holds_and_that_for_three_minutes() {
        assert_eq!(held_by(&guilty()), []);
        let mut dwell = Dwell::default();
        for tick in 0..18 {
            let now = NOW.plus_secs(tick * 10);
            let mut figures = guilty();
            figures.last_bad = Some(now);
            let verdict = judge(now, &figures, &mut dwell, 180, 30);
            assert!(
                matches!(verdict, Verdict::Hold { reasons } if matches!(reasons[..], [Hold::Dwell { .. }]))
            );
        }
        let verdict = judge(NOW.plus_secs(180), &guilty(), &mut dwell, 180, 30);
        let Verdict::Kill {
            window,
            burn,
            held_secs,
            ..
        } = verdict
        else {
            panic!("{verdict:?}")
        };
        assert_eq!((window.secs, held_secs), (300, 180));
        assert!((burn - 40.0).abs() < 1e-9);
    }

    #[test]
    fn one_evaluation_at_which_something_holds_it_begins_anew() {
        let mut dwell = Dwell::default();
        for tick in 0..40 {
            let now = NOW.plus_secs(tick * 10);
            let mut figures = guilty();
            figures.last_bad = Some(now);
            if tick == 17 {
                figures.guards = &[Guard::Stale];
            }
            let verdict = judge(now, &figures, &mut dwell, 180, 30);
            assert_eq!(matches!(verdict, Verdict::Kill { .. }), tick >= 36, "{tick}");
        }
    }

    #[test]
    fn evidence_of_either_kind_is_enough_and_none_is_not() {
        let mut figures = guilty();
        figures.log_e = 9.9;
        assert!(matches!(held_by(&figures)[..], [Hold::Evidence { .. }]));
        figures.log_d = 20.3;
        assert_eq!(held_by(&figures), []);
        figures.class_needed = EvidenceClass::Randomised;
        assert!(matches!(held_by(&figures)[..], [Hold::Class { .. }]));
    }

    #[test]
    fn harm_is_looked_for_where_there_are_enough_bad_events() {
        let mut figures = guilty();
        let windows =
            [(300, of(4, 100)), (1800, of(5, 2000))].map(|(secs, counts)| HarmWindow { secs, counts });
        figures.windows = &windows;
        // 4 of 100 would be a burn of 80, but four say nothing; 5 of 2000 is one of 5.
        assert!(
            matches!(
                held_by(&figures)[..],
                [Hold::Harm {
                    window_secs: 1800,
                    ..
                }]
            ),
            "{:?}",
            held_by(&figures)
        );
        figures.windows = &windows[..1];
        assert_eq!(held_by(&figures), [Hold::TooFewBad { bad: 4, needed: 5 }]);
        figures.windows = &[];
        assert_eq!(held_by(&figures), [Hold::TooFewBad { bad: 0, needed: 5 }]);
    }

    #[test]
    fn what_is_over_is_left_alone() {
        let mut figures = guilty();
        figures.last_bad = Some(NOW.minus_secs(300));
        assert_eq!(held_by(&figures), []);
        figures.last_bad = Some(NOW.minus_secs(301));
        assert_eq!(
            held_by(&figures),
            [Hold::Over {
                quiet_secs: 301,
                after_secs: 300
            }]
        );
        // After a change of the flag nothing bad has been seen yet; windows still hold what was before.
        figures.last_bad = None;
        assert_eq!(held_by(&figures)[0].to_string(), "no bad event yet");
        // Five bad events a day are five hours apart: a silence of an hour is no end.
        let day = [HarmWindow {
            secs: 86_400,
            counts: of(5, 1000),
        }];
        figures.windows = &day;
        figures.last_bad = Some(NOW.minus_secs(3600));
        assert_eq!(held_by(&figures), []);
    }

    #[test]
    fn every_reason_is_told() {
        let mut figures = guilty();
        let open = Attribution::Open { other: "g".into() };
        figures.log_e = 0.0;
        figures.attribution = &open;
        figures.guards = &[Guard::Stale, Guard::Human];
        figures.last_bad = None;
        let reasons = held_by(&figures);
        assert_eq!(reasons.len(), 5, "{reasons:?}");
        assert!(reasons.iter().all(|reason| !reason.to_string().is_empty()));
    }
}
