//! What a policy says of a sampler in front of us that does not say so itself.
//!
//! ```yaml
//! sampling: 10%                        # one in ten spans comes here, whatever became of it
//! sampling: { good: 1%, bad: 100% }    # a tail sampler that keeps errors
//! sampling: unknown                    # nobody knows: figures are shown, and nothing is decided on them
//! ```

use crate::wire::Weight;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredSampling {
    /// What a good and a bad event stand for, unless the span says otherwise.
    Kept {
        /// Of a good one.
        good: Weight,
        /// Of a bad one.
        bad: Weight,
    },
    /// Events are missing, and nobody knows how many.
    Unknown,
}

/// Parts per billion in one.
const BILLION: u64 = 1_000_000_000;

impl DeclaredSampling {
    /// From the shares that are kept of good and of bad events, in parts per billion.
    pub fn of_shares(good_ppb: u64, bad_ppb: u64) -> Self {
        Self::Kept {
            good: Weight::of_share(good_ppb, BILLION),
            bad: Weight::of_share(bad_ppb, BILLION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_percent_stands_for_a_hundred_and_all_for_themselves() {
        let hundred = Weight { whole: 100, part: 0 };
        assert_eq!(
            DeclaredSampling::of_shares(10_000_000, BILLION),
            DeclaredSampling::Kept {
                good: hundred,
                bad: Weight::ONE
            }
        );
    }
}
