//! One run of one cell.

use super::cell::{Cell, DiscountSource, Scenario, Settings};
use super::court::Court;
use super::scene::Scene;
use super::traffic::{Clusters, Random, at_least_one};
use super::{fleet, rollout};
use crate::evidence::{Block, Discount, Dispersion, JointCounts};
use crate::ledger::{BUCKET_SECS, Counts};
use crate::time::UnixNanos;
use rand::{RngExt, SeedableRng};

/// When runs begin: any instant does.
pub(super) const START: UnixNanos = UnixNanos::from_secs(20_000 * 86_400);

/// A flag that was blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Seconds from the beginning of the run.
    pub secs: u64,
    /// Which one; 0 is the one that the cell is about.
    pub flag: usize,
    /// Before it began to fail.
    pub is_early: bool,
}

/// What became of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunOutcome {
    /// What the kill rule did first.
    pub kill: Option<Kill>,
    /// What the plain rule did first.
    pub plain: Option<Kill>,
    /// Whether the evidence against an innocent flag has ever been enough, harm or not.
    pub crossed: bool,
    /// Share of a month's error budget that was spent between onset and kill, or the end.
    pub spent: f64,
}

impl RunOutcome {
    /// What `court` and `spending` say at the end of a run.
    pub(super) fn of(court: &Court, spending: &Spending, cell: &Cell, settings: &Settings) -> Self {
        Self {
            kill: court.kill(),
            plain: court.plain(),
            crossed: court.crossed,
            spent: spending.share(cell, settings),
        }
    }
}

/// Other flags of the service, whose blocks tell how bad events cluster: as many as come in a step of ten
/// minutes.
pub(super) struct Neighbours {
    clusters: Clusters,
    /// Clusters of a block, on average.
    mean: f64,
    events: f64,
    next: usize,
}

const SHARES: [f64; 5] = [0.01, 0.05, 0.1, 0.25, 0.5];
pub(super) const STEP_BLOCKS: usize = 60;
/// Blocks of others with a bad event in a step: 2,016 a day, twice what is needed to be believed.
const PER_STEP: usize = 14;

impl Neighbours {
    pub(super) fn new(cell: &Cell) -> Self {
        let clusters = Clusters::new(cell.cluster);
        let events = cell.rate * BUCKET_SECS as f64;
        Self {
            clusters,
            mean: clusters.per(events * cell.base_rate),
            events,
            next: 0,
        }
    }

    /// What is known when the run begins: a day of them.
    pub(super) fn before(&mut self, random: &mut Random) -> Dispersion {
        let mut dispersion = Dispersion::default();
        let steps = 86_400 / (STEP_BLOCKS as u64 * BUCKET_SECS);
        for step in (1..=steps).rev() {
            let now = START.minus_secs(step * STEP_BLOCKS as u64 * BUCKET_SECS);
            self.step(now, random, &mut dispersion);
        }
        dispersion
    }

    pub(super) fn step(&mut self, now: UnixNanos, random: &mut Random, dispersion: &mut Dispersion) {
        for _ in 0..PER_STEP {
            let share = SHARES[self.next % SHARES.len()];
            self.next += 1;
            let mut bad = [0_u64; 2];
            for _ in 0..at_least_one(self.mean, random) {
                bad[usize::from(!random.random_bool(share))] += self.clusters.size(random);
            }
            let arm = |share: f64, bad| Counts {
                good: rounded(self.events * share).max(1),
                bad,
            };
            dispersion.observe(now, &[Block::new(arm(share, bad[0]), arm(1.0 - share, bad[1]))]);
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, which saturates"
)]
pub(super) fn rounded(number: f64) -> u64 {
    number.round() as u64
}

/// How bad events were found to cluster, or that nobody has looked.
pub(super) struct Measured {
    of: Option<(Neighbours, Dispersion)>,
}

impl Measured {
    pub(super) fn new(cell: &Cell, random: &mut Random) -> Self {
        let of = (cell.discount == DiscountSource::Measured).then(|| {
            let mut neighbours = Neighbours::new(cell);
            let dispersion = neighbours.before(random);
            (neighbours, dispersion)
        });
        Self { of }
    }

    /// From former blocks only.
    pub(super) fn discount(&self) -> Discount {
        self.of
            .as_ref()
            .map_or(Discount::DEFAULT, |(_, dispersion)| dispersion.discount())
    }

    pub(super) fn observe(&mut self, block: usize, now: UnixNanos, strata: &[Block], random: &mut Random) {
        if let Some((neighbours, dispersion)) = &mut self.of {
            dispersion.observe(now, strata);
            if block.is_multiple_of(STEP_BLOCKS) {
                neighbours.step(now, random, dispersion);
            }
        }
    }
}

/// Bad events since the onset, as a share of what a month's budget allows.
#[derive(Default)]
pub(super) struct Spending {
    bad: u64,
    is_over: bool,
}

impl Spending {
    pub(super) fn add(&mut self, bad: u64, secs: u64, court: &Court, settings: &Settings) {
        self.is_over |= court.kill().is_some();
        if !self.is_over && secs >= settings.onset_secs {
            self.count(bad);
        }
    }

    pub(super) fn count(&mut self, bad: u64) {
        self.bad += bad;
    }

    pub(super) fn share(&self, cell: &Cell, settings: &Settings) -> f64 {
        let month = cell.rate * 30.0 * 86_400.0 * settings.target.budget_ratio();
        self.bad as f64 / month
    }
}

/// Plays run number `run` of a cell.
pub(super) fn play(cell: &Cell, settings: &Settings, run: u64) -> RunOutcome {
    let mut random = Random::seed_from_u64(cell.seed(settings.seed, run));
    if cell.scenario == Scenario::Fleet {
        return fleet::play(cell, settings, &mut random);
    }
    if cell.scenario.is_rollout() {
        return rollout::play(cell, settings, &mut random);
    }
    let mut scene = Scene::new(cell, settings, &mut random);
    let flags = if cell.scenario == Scenario::Alias { 2 } else { 1 };
    let mut court = Court::new(flags, START, settings.blocks());
    let mut measured = Measured::new(cell, &mut random);
    let mut spending = Spending::default();
    let mut joint = vec![JointCounts::default(); scene.strata()];
    let mut strata = vec![Block::default(); scene.strata()];
    for block in 0..settings.blocks() {
        let secs = block as u64 * BUCKET_SECS;
        let now = START.plus_secs(secs + BUCKET_SECS);
        if scene.deploys_at(secs) {
            court.restart(START.plus_secs(secs));
        }
        scene.step(block, &mut random, &mut joint);
        let discount = measured.discount();
        for flag in (0..flags).rev() {
            for (block, joint) in strata.iter_mut().zip(&joint) {
                *block = joint.margin(flag);
            }
            court.absorb(flag, now, &strata, discount);
        }
        if flags > 1 {
            court.absorb_joint(1, &joint, discount);
        }
        // Of the first flag, which comes last.
        measured.observe(block, now, &strata, &mut random);
        let bad = strata
            .iter()
            .map(|block| block.treated.bad + block.control.bad)
            .sum();
        spending.add(bad, secs, &court, settings);
        if court.evaluate(now, secs + BUCKET_SECS, cell, settings) {
            break;
        }
    }
    RunOutcome::of(&court, &spending, cell, settings)
}
