//! Before against after, where there is no control at the same time.
//!
//! A rollout to everybody has no control. What is left is that errors rose when the flag changed; so they did
//! if something else happened in that minute. Two things must therefore hold at once, each an e-process:
//!
//! * **risen**: blocks after the change against blocks before it, each former block used once;
//! * **apart**: after the change, the endpoints that the flag touches against those that it does not (the
//!   negative controls), at the same time, by more than they differed before.
//!
//! The evidence is the smaller of both. "The flag did nothing" means that errors did not rise, or that they
//! rose everywhere; the smaller one is evidence against either. An outage of everything is not `apart`, and
//! endpoints that always failed more have not `risen`.
//!
//! The class of this evidence is [`super::EvidenceClass::Temporal`], whatever its size.

use super::{Block, Discount, EProcess, Grid, GridError, RatioSequence};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a flag that everybody has cannot be tried without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemporalLack {
    /// Nobody saw it change, or that is longer ago than its past is remembered.
    Change,
    /// Nothing was counted before the change where it is now.
    Past,
    /// No endpoint and no other service is without it.
    NegativeControl,
}

impl TemporalLack {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Past => "past",
            Self::NegativeControl => "negative_control",
        }
    }
}

impl fmt::Display for TemporalLack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Change => {
                "everybody has it, and nobody saw it change lately: there is nothing to compare with"
            }
            Self::Past => "everybody has it, and nothing was counted in the same places before it changed",
            Self::NegativeControl => {
                "everybody has it, and no endpoint or service without it says whether all got worse"
            }
        })
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct TemporalTrial {
    risen_above: Grid,
    apart_above: Grid,
    risen: EProcess,
    apart: EProcess,
}

/// How sure the difference before the change must be.
const FORMER_ALPHA: f64 = 0.05;

impl TemporalTrial {
    /// Evidence from a change on. `former` has seen, before it, the touched endpoints as treated and the
    /// negative controls as control; `null` is the greatest ratio that is innocent.
    pub fn new(null: f64, former: &RatioSequence) -> Result<Self, GridError> {
        // Without a bad event before, nothing is known of how they differed, and nothing is assumed.
        let before = former.interval(FORMER_ALPHA).high.unwrap_or(1.0);
        Ok(Self {
            risen_above: Grid::new(null)?,
            apart_above: Grid::new(null.max(before))?,
            risen: EProcess::default(),
            apart: EProcess::default(),
        })
    }

    /// Takes in one block of time: `risen` has the touched endpoints after the change as treated and, as
    /// control, a block before it that was not used yet (or nothing, when there is none); `apart` has the
    /// touched endpoints as treated and the negative controls of the same ten seconds as control.
    pub fn absorb(&mut self, risen: &[Block], apart: &[Block], discount: Discount) {
        if let Some(gains) = self.risen_above.gains(risen, discount) {
            self.risen.absorb(&gains);
        }
        if let Some(gains) = self.apart_above.gains(apart, discount) {
            self.apart.absorb(&gains);
        }
    }

    /// ln E.
    pub fn log_e(&self) -> f64 {
        self.log_risen().min(self.log_apart())
    }

    /// ln E that errors rose.
    pub const fn log_risen(&self) -> f64 {
        self.risen.log_e()
    }

    /// ln E that they did so here and not everywhere.
    pub const fn log_apart(&self) -> f64 {
        self.apart.log_e()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::block;
    use super::*;

    /// Bad of 100 requests in each of: touched after, touched before, negative controls after.
    fn after(blocks: u64, touched: u64, former: u64, negative: u64) -> f64 {
        let mut trial = TemporalTrial::new(1.0, &RatioSequence::default()).unwrap();
        for _ in 0..blocks {
            let risen = block((touched, 100), (former, 100));
            let apart = block((touched, 100), (negative, 100));
            trial.absorb(&[risen], &[apart], Discount::DEFAULT);
        }
        trial.log_e()
    }

    #[test]
    fn errors_that_rose_at_the_touched_endpoints_alone_are_evidence() {
        assert!(after(12, 10, 0, 0) > 9.9);
    }

    #[test]
    fn an_outage_of_everything_is_none() {
        assert!(after(100, 10, 0, 10) < 0.0);
    }

    #[test]
    fn endpoints_that_always_failed_more_are_none() {
        assert!(after(100, 10, 10, 0) < 0.0);
        // Nor if everything doubles: they are as far apart as they were.
        let mut former = RatioSequence::default();
        for _ in 0..100 {
            former.absorb(&[block((10, 100), (1, 100))], Discount::DEFAULT);
        }
        let mut trial = TemporalTrial::new(1.0, &former).unwrap();
        for _ in 0..100 {
            let (risen, apart) = (block((20, 100), (10, 100)), block((20, 100), (2, 100)));
            trial.absorb(&[risen], &[apart], Discount::DEFAULT);
        }
        assert!(trial.log_e() < 0.0, "{}", trial.log_e());
    }

    #[test]
    fn without_blocks_from_before_nothing_is_known() {
        let mut trial = TemporalTrial::new(1.0, &RatioSequence::default()).unwrap();
        for _ in 0..100 {
            let apart = block((10, 100), (0, 100));
            trial.absorb(&[block((10, 100), (0, 0))], &[apart], Discount::DEFAULT);
        }
        assert!(trial.log_e() <= 0.0);
    }
}
