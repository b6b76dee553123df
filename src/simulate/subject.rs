//! One flag on trial in a simulated service: its evidence, its windows, and the plain rule beside it.

use super::cell::{Cell, Scenario, Settings};
use super::plain::PlainRule;
use crate::evidence::{
    Attribution, Block, Discount, Dwell, Epoch, EpochCause, EvidenceClass, Figures, Grid, HarmWindow, Trial,
    Verdict, judge,
};
use crate::ledger::{BUCKET_SECS, Counts};
use crate::policy::MAX_GAP_SECS;
use crate::time::UnixNanos;

/// Windows in which harm is looked for, in seconds, from the rule's own up.
const WINDOWS_SECS: [u64; 5] = [300, 1800, 3600, 21_600, 86_400];

/// See the module.
pub(super) struct Subject {
    trial: Trial,
    dwell: Dwell,
    plain: PlainRule,
    last_bad: Option<UnixNanos>,
    /// Running sums of treated and control from the start, one a block.
    sums: Vec<[Counts; 2]>,
}

fn plus(a: Counts, b: Counts) -> Counts {
    Counts {
        good: a.good + b.good,
        bad: a.bad + b.bad,
    }
}

impl Subject {
    pub(super) fn new(since: UnixNanos, blocks: usize) -> Self {
        let mut sums = Vec::with_capacity(blocks + 1);
        sums.push([Counts::default(); 2]);
        Self {
            trial: Trial::new(Epoch {
                since,
                cause: EpochCause::Changed,
            }),
            dwell: Dwell::default(),
            plain: PlainRule::default(),
            last_bad: None,
            sums,
        }
    }

    pub(super) fn log_e(&self) -> f64 {
        self.trial.log_e()
    }

    pub(super) fn restart(&mut self, since: UnixNanos) {
        self.trial.restart(Epoch {
            since,
            cause: EpochCause::Deployed,
        });
    }

    /// Takes in one block that ends at `now`.
    pub(super) fn absorb(&mut self, now: UnixNanos, strata: &[Block], grid: &Grid, discount: Discount) {
        self.trial
            .absorb(now.minus_secs(BUCKET_SECS), strata, grid, discount);
        let mut sums = self.sums.last().copied().unwrap_or_default();
        let mut is_bad = false;
        for block in strata {
            is_bad |= block.treated.bad > 0;
            sums = [plus(sums[0], block.treated), plus(sums[1], block.control)];
        }
        self.sums.push(sums);
        if is_bad {
            self.last_bad = Some(now);
        }
    }

    /// Counts of both arms in the window that ends now.
    fn window(&self, secs: u64) -> [Counts; 2] {
        let blocks = usize::try_from(secs / BUCKET_SECS).unwrap_or(usize::MAX);
        let last = self.sums.len() - 1;
        let (to, from) = (self.sums[last], self.sums[last.saturating_sub(blocks)]);
        [0, 1].map(|arm| Counts {
            good: to[arm].good - from[arm].good,
            bad: to[arm].bad - from[arm].bad,
        })
    }

    /// Whether the plain rule kills now.
    pub(super) fn plain(&mut self, now: UnixNanos, settings: &Settings) -> bool {
        let [treated, control] = self.window(settings.rule.window_secs);
        self.plain.note(now, treated, control, settings)
    }

    /// Whether its evidence has crossed a bound.
    pub(super) fn has_crossed(&self, settings: &Settings) -> bool {
        self.trial.log_e() >= settings.kill_bound() || self.trial.log_d() >= settings.change_bound()
    }

    /// Whether the kill rule kills now.
    pub(super) fn kills(
        &mut self,
        now: UnixNanos,
        attribution: &Attribution,
        cell: &Cell,
        settings: &Settings,
    ) -> bool {
        let rule = &settings.rule;
        let windows = WINDOWS_SECS.map(|secs| HarmWindow {
            secs,
            counts: self.window(secs)[0],
        });
        let own = windows.iter().position(|window| window.secs >= rule.window_secs);
        let is_targeted = cell.scenario == Scenario::TargetingHidden;
        let class_needed = if is_targeted {
            EvidenceClass::Randomised
        } else {
            EvidenceClass::Concurrent
        };
        let figures = Figures {
            log_e: self.trial.log_e(),
            kill_bound: settings.kill_bound(),
            log_d: self.trial.log_d(),
            change_bound: settings.change_bound(),
            class: EvidenceClass::Concurrent,
            class_needed,
            target: settings.target,
            burn_above: rule.burn_above,
            min_bad: rule.min_bad,
            windows: own.map_or(&[], |own| &windows[own..]),
            last_bad: self.last_bad,
            attribution,
            guards: &[],
        };
        let verdict = judge(now, &figures, &mut self.dwell, rule.for_secs, MAX_GAP_SECS);
        matches!(verdict, Verdict::Kill { .. })
    }

    /// Notes an evaluation at which the evidence is below both bounds, which holds a kill whatever the rest
    /// says.
    pub(super) fn holds(&mut self, now: UnixNanos) {
        self.dwell.note(now, false, MAX_GAP_SECS);
    }
}
