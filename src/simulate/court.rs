//! All flags of a simulated service, and who of them is blamed.

use super::cell::{Cell, Settings};
use super::run::Kill;
use super::subject::Subject;
use crate::evidence::{
    Attribution, Block, Discount, Grid, JointCounts, OtherSuspect, PairTrial, Recency, attribute, finding,
};
use crate::time::UnixNanos;
use std::sync::Arc;

/// Joint counts of the first flag and another.
struct Pair {
    other: usize,
    trial: PairTrial,
    both_since: Option<UnixNanos>,
}

/// See the module.
pub(super) struct Court {
    grid: Grid,
    pub(super) subjects: Vec<Subject>,
    pairs: Vec<Pair>,
    /// Whether an innocent flag's evidence, or any flag's before the onset, has crossed a bound.
    pub(super) crossed: bool,
    kill: Option<Kill>,
    plain: Option<Kill>,
}

impl Court {
    pub(super) fn new(flags: usize, since: UnixNanos, blocks: usize) -> Self {
        Self {
            grid: Grid::default(),
            subjects: (0..flags).map(|_| Subject::new(since, blocks)).collect(),
            pairs: (1..flags)
                .map(|other| Pair {
                    other,
                    trial: PairTrial::default(),
                    both_since: None,
                })
                .collect(),
            crossed: false,
            kill: None,
            plain: None,
        }
    }

    pub(super) fn absorb(&mut self, flag: usize, now: UnixNanos, strata: &[Block], discount: Discount) {
        self.subjects[flag].absorb(now, strata, &self.grid, discount);
    }

    /// Joint counts of the first flag and `other`.
    pub(super) fn absorb_joint(&mut self, other: usize, strata: &[JointCounts], discount: Discount) {
        self.pairs[other - 1].trial.absorb(strata, &self.grid, discount);
    }

    pub(super) fn restart(&mut self, since: UnixNanos) {
        self.subjects
            .iter_mut()
            .for_each(|subject| subject.restart(since));
        for pair in &mut self.pairs {
            pair.trial = PairTrial::default();
        }
    }

    /// One evaluation; whether both rules have spoken.
    pub(super) fn evaluate(&mut self, now: UnixNanos, secs: u64, cell: &Cell, settings: &Settings) -> bool {
        let bound = settings.suspect_bound();
        for pair in &mut self.pairs {
            let both = self.subjects[0].log_e() >= bound && self.subjects[pair.other].log_e() >= bound;
            pair.both_since = if both { pair.both_since.or(Some(now)) } else { None };
        }
        let is_early = secs < settings.onset_secs;
        for flag in 0..self.subjects.len() {
            if self.plain.is_none() && self.subjects[flag].plain(now, settings) {
                self.plain = Some(Kill { secs, flag, is_early });
            }
            if !self.subjects[flag].has_crossed(settings) {
                self.subjects[flag].holds(now);
                continue;
            }
            self.crossed |= flag > 0 || is_early || cell.is_null();
            if self.kill.is_none() {
                let attribution = self.attribution(flag, now);
                if self.subjects[flag].kills(now, &attribution, cell, settings) {
                    self.kill = Some(Kill { secs, flag, is_early });
                }
            }
        }
        self.kill.is_some() && self.plain.is_some()
    }

    pub(super) fn kill(&self) -> Option<Kill> {
        self.kill
    }

    pub(super) fn plain(&self) -> Option<Kill> {
        self.plain
    }

    /// Who else is suspect, and what the joint counts say. When flags were changed is not told to the court:
    /// it must not win by that.
    fn attribution(&self, flag: usize, now: UnixNanos) -> Attribution {
        let mut others = Vec::new();
        for pair in &self.pairs {
            let (Some(since), true) = (pair.both_since, flag == 0 || flag == pair.other) else {
                continue;
            };
            let found = finding(&pair.trial, now.secs_since(since));
            let other = if flag == 0 { pair.other } else { 0 };
            others.push(OtherSuspect {
                flag: Arc::from(format!("flag-{other}")),
                finding: if flag == 0 {
                    found
                } else {
                    found.seen_from_the_other()
                },
                recency: Recency {
                    own: None,
                    other: None,
                },
            });
        }
        attribute(&others, false)
    }
}
