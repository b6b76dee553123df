//! Counts as tests write them: bad of all.

use super::Block;
use crate::ledger::Counts;
use proptest::prelude::*;

pub(super) fn of(bad: u64, total: u64) -> Counts {
    Counts {
        good: total - bad,
        bad,
    }
}

pub(super) fn block(treated: (u64, u64), control: (u64, u64)) -> Block {
    Block::new(of(treated.0, treated.1), of(control.0, control.1))
}

#[track_caller]
pub(super) fn near(got: f64, want: f64, within: f64) {
    assert!((got - want).abs() <= within, "{got} is not {want}");
}

prop_compose! {
    pub(super) fn any_counts()(good in 0..1_000_000_u64, bad in 0..1_000_u64) -> Counts {
        Counts { good, bad }
    }
}

prop_compose! {
    pub(super) fn any_block()(treated in any_counts(), control in any_counts()) -> Block {
        Block::new(treated, control)
    }
}
