//! A service of a scenario: ten seconds after ten seconds, counts by stratum and flags.

use super::cell::{Cell, Scenario, Settings};
use super::traffic::{Clusters, Random, Source};
use crate::evidence::JointCounts;
use crate::ledger::{BUCKET_SECS, Counts};
use rand::RngExt;
use std::collections::VecDeque;
use std::f64::consts::TAU;

const HOUR_SECS: u64 = 3600;
const INCIDENT_SECS: u64 = 1800;
const INCIDENT_FACTOR: f64 = 50.0;
/// Blocks by which the clocks of the arms differ.
const SKEW_BLOCKS: usize = 3;
/// How long a loss of telemetry lasts, in blocks.
const LOSS_BLOCKS: usize = 60;
/// The new version of a deploy begins here and has replaced the old one an hour later.
const DEPLOY_SECS: u64 = 2 * HOUR_SECS;

/// Requests of one kind: in a stratum, with or without each of two flags.
struct Group {
    stratum: usize,
    on: [bool; 2],
    source: Source,
}

/// How many requests of a group there are in ten seconds on average, and how often they fail.
type Mix = (f64, f64);

/// See the module.
pub(super) struct Scene {
    cell: Cell,
    onset_secs: u64,
    clusters: Clusters,
    groups: Vec<Group>,
    incident_secs: u64,
    /// With a skew: whether the treated arm is late, and what the late arm has still to tell.
    treated_is_late: bool,
    late: VecDeque<[Counts; 2]>,
    /// What of the treated and the control arm arrives.
    arriving: [f64; 2],
}

impl Scene {
    pub(super) fn new(cell: &Cell, settings: &Settings, random: &mut Random) -> Self {
        let kinds: &[(usize, [bool; 2])] = match cell.scenario {
            Scenario::DeployOverlap | Scenario::Targeting => &[
                (0, [true, false]),
                (0, [false, false]),
                (1, [true, false]),
                (1, [false, false]),
            ],
            Scenario::TargetingHidden => &[
                (0, [true, false]),
                (0, [false, false]),
                (0, [true, false]),
                (0, [false, false]),
            ],
            Scenario::Alias => &[(0, [true, true]), (0, [true, false]), (0, [false, false])],
            _ => &[(0, [true, false]), (0, [false, false])],
        };
        let from = if cell.scenario == Scenario::Ramp {
            2 * HOUR_SECS
        } else {
            0
        };
        let last = settings.hours * HOUR_SECS;
        let until = last.saturating_sub(INCIDENT_SECS).max(from + 1);
        Self {
            cell: *cell,
            onset_secs: settings.onset_secs,
            clusters: Clusters::new(cell.cluster),
            groups: kinds
                .iter()
                .map(|&(stratum, on)| Group {
                    stratum,
                    on,
                    source: Source::default(),
                })
                .collect(),
            incident_secs: random.random_range(from..until),
            treated_is_late: random.random_bool(0.5),
            late: VecDeque::new(),
            arriving: [1.0; 2],
        }
    }

    /// When the service is deployed, if it is: evidence begins anew.
    pub(super) fn deploys_at(&self, secs: u64) -> bool {
        self.cell.scenario == Scenario::DeployOverlap && secs == DEPLOY_SECS
    }

    /// Whether there are strata beyond the first.
    pub(super) fn strata(&self) -> usize {
        1 + self.groups.iter().map(|group| group.stratum).max().unwrap_or(0)
    }

    /// Counts of the ten seconds with this number, a stratum each.
    pub(super) fn step(&mut self, block: usize, random: &mut Random, strata: &mut [JointCounts]) {
        strata.fill(JointCounts::default());
        if self.cell.scenario == Scenario::Loss && block.is_multiple_of(LOSS_BLOCKS) {
            self.arriving = match random.random::<f64>() {
                x if x < 0.2 => [0.5, 1.0],
                x if x < 0.4 => [1.0, 0.5],
                x if x < 0.45 => [0.0, 0.0],
                _ => [1.0, 1.0],
            };
        }
        let mixes = self.mixes(block as u64 * BUCKET_SECS);
        for (group, (events, bad_rate)) in self.groups.iter_mut().zip(mixes) {
            let arrives = self.arriving[usize::from(!group.on[0])];
            let counts = group
                .source
                .draw(events * arrives, bad_rate, &self.clusters, random);
            let cell = &mut strata[group.stratum].0[usize::from(group.on[0])][usize::from(group.on[1])];
            cell.good += counts.good;
            cell.bad += counts.bad;
        }
        if self.cell.scenario == Scenario::Skew {
            let arm = usize::from(self.treated_is_late);
            for joint in strata.iter_mut() {
                self.late.push_back(joint.0[arm]);
                joint.0[arm] = if self.late.len() > SKEW_BLOCKS {
                    self.late.pop_front().unwrap_or_default()
                } else {
                    [Counts::default(); 2]
                };
            }
        }
    }

    fn has_incident(&self) -> bool {
        matches!(
            self.cell.scenario,
            Scenario::Incident | Scenario::Ramp | Scenario::Loss | Scenario::Skew
        )
    }

    fn mixes(&self, secs: u64) -> [Mix; 4] {
        let Cell {
            scenario,
            rate,
            share,
            ..
        } = self.cell;
        let events = rate * BUCKET_SECS as f64;
        let base = self.base_rate(secs);
        let treated = base
            * if secs >= self.onset_secs {
                self.cell.ratio
            } else {
                1.0
            };
        let two = |events: f64, share: f64| [(events * share, treated), (events * (1.0 - share), base)];
        let hours = secs as f64 / HOUR_SECS as f64;
        match scenario {
            Scenario::Alias => {
                let [(with, bad), without] = two(events, share);
                [(with * 0.9, bad), (with * 0.1, bad), without, (0.0, 0.0)]
            }
            Scenario::Targeting | Scenario::TargetingHidden => {
                let [a, b] = two(events * 0.7, share * 0.5);
                let [c, d] = two(events * 0.3, (share * (0.65 / 0.3)).min(0.95));
                [a, b, (c.0, c.1 * 5.0), (d.0, d.1 * 5.0)]
            }
            Scenario::DeployOverlap => {
                let new = ((secs as f64 - DEPLOY_SECS as f64) / HOUR_SECS as f64).clamp(0.0, 1.0);
                let [a, b] = two(events * (1.0 - new), share);
                let [c, d] = two(events * new, (share * 3.0).min(0.9));
                [a, b, (c.0, c.1 * 10.0), (d.0, d.1 * 10.0)]
            }
            Scenario::Ramp => {
                let done = ((hours - 2.0) / 2.0).clamp(0.0, 1.0);
                let [a, b] = two(events, share * (0.02 + 0.98 * done));
                [a, b, (0.0, 0.0), (0.0, 0.0)]
            }
            Scenario::Diurnal => {
                let wave = |size: f64, shift: f64| 1.0 + size * (TAU * (hours / 24.0 + shift)).sin();
                let [a, b] = two(events * wave(0.8, 0.0), (share * wave(0.5, 0.25)).min(0.95));
                [a, b, (0.0, 0.0), (0.0, 0.0)]
            }
            _ => {
                let [a, b] = two(events, share);
                [a, b, (0.0, 0.0), (0.0, 0.0)]
            }
        }
    }

    fn base_rate(&self, secs: u64) -> f64 {
        let base = self.cell.base_rate;
        let incident = self.incident_secs..self.incident_secs + INCIDENT_SECS;
        if self.has_incident() && incident.contains(&secs) {
            return base * INCIDENT_FACTOR;
        }
        if self.cell.scenario == Scenario::Diurnal {
            return base * (1.0 + 0.8 * (TAU * (secs as f64 / 86_400.0 + 0.4)).sin());
        }
        base
    }
}
