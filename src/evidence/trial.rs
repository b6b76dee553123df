//! One variant, or deployment, and one SLI: its evidence since its epoch began.

use super::{Block, Cusum, Discount, EProcess, Grid, MantelHaenszel};
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};

/// Why evidence started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochCause {
    /// First seen.
    Seen,
    /// The flag itself was changed.
    Changed,
    /// The service was deployed.
    Deployed,
}

impl EpochCause {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Changed => "changed",
            Self::Deployed => "deployed",
        }
    }
}

/// A stretch of time in which the variant and the service stay what they are. What was seen of the former
/// code, or of the flag's former rules, says nothing of these; the price is that each epoch has its own
/// `alpha`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// When it began; blocks from then on count.
    pub since: UnixNanos,
    /// What began it.
    pub cause: EpochCause,
}

/// See the module. About thirty numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    epoch: Epoch,
    process: EProcess,
    cusum: Cusum,
    ratio: MantelHaenszel,
}

impl Trial {
    /// Evidence that begins now.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            process: EProcess::default(),
            cusum: Cusum::default(),
            ratio: MantelHaenszel::default(),
        }
    }

    /// Forgets everything: at the flag's own change, and at deploys of the service.
    pub fn restart(&mut self, epoch: Epoch) {
        *self = Self::new(epoch);
    }

    /// Takes in the strata of one block of time, in order; see [`Grid::gains`] for `discount`. A block that
    /// began before the epoch is left out.
    pub fn absorb(&mut self, began: UnixNanos, strata: &[Block], grid: &Grid, discount: Discount) {
        if began < self.epoch.since {
            return;
        }
        let Some(gains) = grid.gains(strata, discount) else {
            return;
        };
        self.process.absorb(&gains);
        self.cusum.absorb(&gains);
        self.ratio.absorb(strata);
    }

    /// The epoch.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// ln E.
    pub const fn log_e(&self) -> f64 {
        self.process.log_e()
    }

    /// ln D of the CUSUM.
    pub const fn log_d(&self) -> f64 {
        self.cusum.log_d()
    }

    /// How many times worse than its control; `None` while that has no bad event.
    pub fn ratio(&self) -> Option<f64> {
        self.ratio.ratio()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::block;
    use super::*;

    fn epoch(secs: u64, cause: EpochCause) -> Epoch {
        Epoch {
            since: UnixNanos::from_secs(secs),
            cause,
        }
    }

    #[test]
    fn a_change_and_a_deploy_begin_anew_and_older_blocks_do_not_count() {
        let mut trial = Trial::new(epoch(100, EpochCause::Seen));
        let seen = [block((5, 100), (0, 900))];
        let at = UnixNanos::from_secs;
        trial.absorb(at(90), &seen, &Grid::default(), Discount::NONE);
        assert!(trial.log_e() == 0.0 && trial.log_d() == 0.0);
        trial.absorb(at(100), &seen, &Grid::default(), Discount::NONE);
        assert!(trial.log_e() > 2.0 && trial.log_d() > 2.0);
        for cause in [EpochCause::Changed, EpochCause::Deployed] {
            trial.restart(epoch(110, cause));
            assert_eq!(trial, Trial::new(epoch(110, cause)));
        }
        trial.absorb(at(100), &seen, &Grid::default(), Discount::NONE);
        assert!(trial.log_e() == 0.0);
    }
}
