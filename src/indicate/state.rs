//! From values over time to a state: hysteresis, with time as an argument.
//!
//! ```text
//!             enter holds              for `for`                leave holds             for `for`
//!   calm ------------------> entering -----------> active ------------------> leaving -----------> calm
//!     ^--- enter ceases ---------'                    ^--- leave ceases ----------'
//! ```
//!
//! A missing value neither enters nor leaves. Half a minute without one restarts a `for`, because nobody
//! knows what happened meanwhile; five minutes without one, and nothing is known any more.

use super::rule::Rule;
use crate::time::UnixNanos;

/// A gap between two values that restarts a `for`, in seconds.
const GAP_SECS: u64 = 30;
/// After so long without a value the state is that there is none.
const FORGET_SECS: u64 = 300;

/// Where an indicator stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndicatorState {
    /// No value for five minutes, or never.
    #[default]
    NoData,
    /// Nothing to see.
    Calm,
    /// The threshold is crossed, and `for` runs.
    Entering,
    /// It has let go, and `for` of `leave` runs; still active for whoever asks.
    Leaving,
    /// It warns.
    Active,
}

impl IndicatorState {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Calm => "calm",
            Self::Entering => "entering",
            Self::Leaving => "leaving",
            Self::Active => "active",
        }
    }

    /// The number in metrics: 2 and above is active.
    pub const fn code(self) -> i8 {
        match self {
            Self::NoData => -1,
            Self::Calm => 0,
            Self::Entering => 1,
            Self::Leaving => 2,
            Self::Active => 3,
        }
    }

    /// Whether a condition on the indicator holds.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::Leaving)
    }
}

/// The state of one indicator, and what its timers need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    state: IndicatorState,
    since: UnixNanos,
    /// When it became active; to let go and to hold again is one and the same spell.
    active_since: UnixNanos,
    /// When the last value came.
    valued_at: Option<UnixNanos>,
}

impl Machine {
    pub(super) fn new(now: UnixNanos) -> Self {
        Self {
            state: IndicatorState::NoData,
            since: now,
            active_since: now,
            valued_at: None,
        }
    }

    pub(super) fn state(&self) -> IndicatorState {
        self.state
    }

    /// When the present state began.
    pub(super) fn since(&self) -> UnixNanos {
        self.since
    }

    /// Takes the value of `now`.
    pub(super) fn step(&mut self, now: UnixNanos, value: Option<f64>, rule: &Rule) {
        let gap = self.valued_at.map(|at| now.secs_since(at));
        let Some(value) = value else {
            match gap {
                Some(gap) if gap >= FORGET_SECS => self.become_state(now, IndicatorState::NoData),
                Some(gap) if gap > GAP_SECS => match self.state {
                    IndicatorState::Entering => self.become_state(now, IndicatorState::Calm),
                    IndicatorState::Leaving => self.become_state(now, IndicatorState::Active),
                    _ => {}
                },
                _ => {}
            }
            return;
        };
        self.valued_at = Some(now);
        // A clock that stepped back must not hold a timer up for long.
        self.since = self.since.min(now);
        let next = match self.state {
            IndicatorState::NoData | IndicatorState::Calm | IndicatorState::Entering => {
                if rule.enter.holds(value) {
                    IndicatorState::Entering
                } else {
                    IndicatorState::Calm
                }
            }
            IndicatorState::Active | IndicatorState::Leaving => {
                if rule.lets_go(value) {
                    IndicatorState::Leaving
                } else {
                    IndicatorState::Active
                }
            }
        };
        self.become_state(now, next);
        let held = now.secs_since(self.since);
        match self.state {
            IndicatorState::Entering if held >= rule.enter.for_secs => {
                self.become_state(now, IndicatorState::Active);
            }
            IndicatorState::Leaving if held >= rule.leave_secs() => {
                self.become_state(now, IndicatorState::Calm);
            }
            _ => {}
        }
    }

    fn become_state(&mut self, now: UnixNanos, state: IndicatorState) {
        if self.state == state {
            return;
        }
        if state == IndicatorState::Active && self.state == IndicatorState::Leaving {
            self.since = self.active_since;
        } else {
            self.since = now;
        }
        if state == IndicatorState::Active {
            self.active_since = self.since;
        }
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::IndicatorState::{Active, Calm, Entering, Leaving, NoData};
    use super::*;

    fn rule(enter: &str, leave: Option<&str>) -> Rule {
        Rule::new(enter.parse().unwrap(), leave.map(|it| it.parse().unwrap())).unwrap()
    }

    /// The states after each value, ten seconds apart.
    fn run(rule: &Rule, values: &[Option<f64>]) -> Vec<IndicatorState> {
        let mut machine = Machine::new(UnixNanos::from_secs(1000));
        let mut states = Vec::new();
        for (nth, value) in (1..).zip(values) {
            machine.step(UnixNanos::from_secs(1000 + 10 * nth), *value, rule);
            states.push(machine.state());
        }
        states
    }

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn it_enters_only_when_the_threshold_was_crossed_for_long_enough() {
        let rule = rule("> 1 for 20s", Some("< 0.5 for 10s"));
        let values = some(&[0.0, 2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 0.7, 0.4, 0.6, 0.4, 0.4]);
        let states = [
            Calm, Entering, Entering, Calm, Entering, Entering, Active, Active, Leaving, Active, Leaving,
            Calm,
        ];
        assert_eq!(run(&rule, &values), states);
    }

    #[test]
    fn without_leave_it_ends_with_the_crossing() {
        assert_eq!(
            run(&rule("< 5", None), &some(&[5.0, 4.9, 5.0])),
            [Calm, Active, Calm]
        );
    }

    #[test]
    fn a_gap_restarts_the_timer_and_a_long_one_forgets() {
        let rule = rule("> 1 for 30s", None);
        let mut values = some(&[2.0, 2.0]);
        values.extend([None; 3]);
        values.extend(some(&[2.0]));
        // 30 s without a value are no gap yet, so the timer went on.
        assert_eq!(
            run(&rule, &values),
            [Entering, Entering, Entering, Entering, Entering, Active]
        );
        values.truncate(2);
        values.extend([None; 4]);
        values.extend(some(&[2.0, 2.0, 2.0, 2.0]));
        let states = run(&rule, &values);
        assert_eq!(states[5..], [Calm, Entering, Entering, Entering, Active]);
        values.extend([None; 30]);
        let states = run(&rule, &values);
        assert_eq!((states[38], states[39]), (Active, NoData));
    }

    #[test]
    fn since_is_when_the_state_began() {
        let rule = rule("> 1 for 10s", None);
        let mut machine = Machine::new(UnixNanos::from_secs(0));
        for (secs, value) in [(10, 2.0), (20, 2.0), (30, 2.0)] {
            machine.step(UnixNanos::from_secs(secs), Some(value), &rule);
        }
        assert_eq!(
            (machine.state(), machine.since()),
            (Active, UnixNanos::from_secs(20))
        );
    }
}
