//! What the kill rule must be able to show.
//!
//! Base error rate 0.02 %, SLO 99.95 %, 200 pairs, alpha 1 %, the default kill rule. A burn of 40 is then 2
//! %, a hundred times the base rate, and one of 10 is 0.5 %.

use super::campaign::{Campaign, Progress};
use super::cell::{Cell, DiscountSource, Scenario};
use super::summary::Row;
use serde::Serialize;

const BASE_RATE: f64 = 0.0002;
const BURN_40: f64 = 100.0;
const BURN_10: f64 = 25.0;

/// What a row must show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "claim", rename_all = "snake_case")]
pub enum Claim {
    /// No kill in any run.
    NoKill,
    /// The guilty flag is switched within so many seconds in half and in 95 % of the runs, and no other.
    InTime {
        /// Half.
        median_secs: u64,
        /// 95 %.
        p95_secs: u64,
    },
    /// The guilty flag is switched, and before any other, in at least so many of 1000 runs.
    Right {
        /// Of 1000.
        per_mille: u64,
    },
}

/// A claim and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// What was claimed.
    #[serde(flatten)]
    pub claim: Claim,
    /// What was found.
    #[serde(flatten)]
    pub row: Row,
    /// Whether it holds.
    pub holds: bool,
}

impl Claim {
    /// Whether `row` shows it.
    pub fn holds(self, row: &Row) -> bool {
        match self {
            Self::NoKill => row.wrong == 0,
            Self::InTime {
                median_secs,
                p95_secs,
            } => {
                let within = |found: Option<u64>, most| found.is_some_and(|secs| secs <= most);
                row.wrong == 0
                    && within(row.delay.median_secs, median_secs)
                    && within(row.delay.p95_secs, p95_secs)
            }
            Self::Right { per_mille } => row.killed * 1000 >= per_mille * row.runs,
        }
    }
}

fn cell(scenario: Scenario, (rate, share): (f64, f64), ratio: f64, cluster: f64) -> Cell {
    Cell {
        scenario,
        rate,
        share,
        ratio,
        base_rate: BASE_RATE,
        cluster,
        discount: if cluster > 1.0 {
            DiscountSource::Measured
        } else {
            DiscountSource::Default
        },
    }
}

/// Every claim with its cell.
pub fn acceptance() -> Vec<(Claim, Cell)> {
    let mut claims = Vec::new();
    let alone = Scenario::ALL
        .into_iter()
        .filter(|s| *s != Scenario::Fleet && !s.is_rollout());
    for scenario in alone {
        for cluster in [1.0, 3.0, 10.0] {
            for rate in [1.0, 10.0, 100.0] {
                for share in [0.01, 0.1, 0.5] {
                    claims.push((Claim::NoKill, cell(scenario, (rate, share), 1.0, cluster)));
                }
            }
        }
    }
    claims.extend(of_rollouts());
    for share in [0.1, 0.25, 0.5] {
        for (ratio, median_secs, p95_secs) in [(BURN_40, 240, 300), (BURN_10, 480, 1020)] {
            let in_time = Claim::InTime {
                median_secs,
                p95_secs,
            };
            claims.push((in_time, cell(Scenario::Steady, (100.0, share), ratio, 1.0)));
        }
    }
    for ratio in [BURN_40, BURN_10] {
        let right = Claim::Right { per_mille: 990 };
        claims.push((right, cell(Scenario::Alias, (100.0, 0.1), ratio, 1.0)));
    }
    let right = Claim::Right { per_mille: 1000 };
    claims.push((right, cell(Scenario::Fleet, (100.0, 0.1), BURN_40, 1.0)));
    claims
}

/// Those of flags that everybody has: what is proposed, and nothing else. Nothing is claimed of endpoints
/// that were always worse: they are told from a guilty flag only as far as that was seen before.
fn of_rollouts() -> Vec<(Claim, Cell)> {
    let mut claims = Vec::new();
    let is_claimed = |s: &Scenario| s.is_rollout() && *s != Scenario::RolloutWorse;
    let rollouts = Scenario::ALL.into_iter().filter(is_claimed);
    for scenario in rollouts {
        for rate in [1.0, 10.0, 100.0] {
            for share in [0.1, 0.5, 0.9] {
                claims.push((Claim::NoKill, cell(scenario, (rate, share), 1.0, 1.0)));
            }
        }
    }
    // A change is tried for an hour, so that what is not found by then is not found.
    for share in [0.1, 0.5] {
        let in_time = Claim::InTime {
            median_secs: 480,
            p95_secs: 720,
        };
        claims.push((in_time, cell(Scenario::Rollout, (100.0, share), BURN_40, 1.0)));
        let right = Claim::Right { per_mille: 900 };
        claims.push((right, cell(Scenario::Rollout, (100.0, share), BURN_10, 1.0)));
    }
    claims
}

impl Campaign {
    /// Plays the cell of a claim. A fleet is 200 services' worth of work, a rollout is a whole gateway's, and
    /// both are played a tenth as often.
    pub fn prove(&self, claim: Claim, cell: &Cell, progress: &dyn Progress) -> Proof {
        let row = self.played_as_proof(cell).row(cell, progress);
        Proof {
            claim,
            holds: claim.holds(&row),
            row,
        }
    }

    /// How often the cell of a claim is played.
    pub fn runs_of_proof(&self, cell: &Cell) -> u64 {
        self.played_as_proof(cell).settings.runs
    }

    fn played_as_proof(&self, cell: &Cell) -> Self {
        let mut own = *self;
        if cell.scenario == Scenario::Fleet || cell.scenario.is_rollout() {
            own.settings.runs = self.settings.runs.div_ceil(10);
        }
        own
    }
}
