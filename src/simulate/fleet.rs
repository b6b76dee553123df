//! Many flags in one service, independent of each other: the first may be guilty, the others are not.
//!
//! Events are drawn by the first flag, and then each other flag takes its share of every kind at random.

use super::cell::{Cell, Settings};
use super::court::Court;
use super::run::{Measured, RunOutcome, START, Spending};
use super::traffic::{Clusters, Random, Source};
use crate::evidence::{Block, JointCounts};
use crate::ledger::{BUCKET_SECS, Counts};
use rand_distr::{Binomial, Distribution};

/// Shares of the other flags, in turn.
const SHARES: [f64; 5] = [0.01, 0.05, 0.1, 0.25, 0.5];

fn part(of: u64, share: f64, random: &mut Random) -> u64 {
    Binomial::new(of, share).map_or(0, |law| law.sample(random))
}

fn divided(counts: Counts, share: f64, random: &mut Random) -> [Counts; 2] {
    let with = Counts {
        good: part(counts.good, share, random),
        bad: part(counts.bad, share, random),
    };
    let without = Counts {
        good: counts.good - with.good,
        bad: counts.bad - with.bad,
    };
    [without, with]
}

pub(super) fn play(cell: &Cell, settings: &Settings, random: &mut Random) -> RunOutcome {
    let flags = settings.pairs.max(1);
    let mut court = Court::new(flags, START, settings.blocks());
    let mut measured = Measured::new(cell, random);
    let mut spending = Spending::default();
    let clusters = Clusters::new(cell.cluster);
    let mut sources = [Source::default(); 2];
    for block in 0..settings.blocks() {
        let secs = block as u64 * BUCKET_SECS;
        let now = START.plus_secs(secs + BUCKET_SECS);
        let events = cell.rate * BUCKET_SECS as f64;
        let ratio = if secs >= settings.onset_secs {
            cell.ratio
        } else {
            1.0
        };
        let treated = sources[1].draw(events * cell.share, cell.base_rate * ratio, &clusters, random);
        let control = sources[0].draw(events * (1.0 - cell.share), cell.base_rate, &clusters, random);
        let discount = measured.discount();
        let first = Block::new(treated, control);
        court.absorb(0, now, &[first], discount);
        for flag in 1..flags {
            let share = SHARES[flag % SHARES.len()];
            let joint = JointCounts([divided(control, share, random), divided(treated, share, random)]);
            court.absorb(flag, now, &[joint.margin(1)], discount);
            court.absorb_joint(flag, &[joint], discount);
        }
        measured.observe(block, now, &[first], random);
        spending.add(treated.bad + control.bad, secs, &court, settings);
        if court.evaluate(now, secs + BUCKET_SECS, cell, settings) {
            break;
        }
    }
    RunOutcome::of(&court, &spending, cell, settings)
}
