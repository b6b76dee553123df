//! Pure arithmetic: burn rates, budget left, time to exhaustion.
//!
//! The problem: a comparison such as "burn above 14.4" decides whether somebody is woken or a flag is
//! switched off, and floating point makes it depend on the order of operations. Here the SLO's error budget
//! is an integer number of parts per billion ([`Target`]), a threshold an integer number of millionths
//! ([`Threshold`]), and [`exceeds`] compares two 128-bit integers; `f64` appears only in figures for people
//! and gauges.
//!
//! No function guesses. Without events there is no error ratio, so the answer is `None`, never "0" or "100 %
//! left"; an overspent budget is negative and stays so, because a clamp hides how much was overspent.
//!
//! Rejected: rounding burn rates before comparing them (hides 14.4 against 14.44), dividing burn by the
//! elapsed share of the period (a burn rate is already normalised), and comparing averages of ratios (a quiet
//! minute would weigh as much as a busy one).

mod calendar;
mod contrast;
mod decimal;
mod interval;
mod plan;
mod rates;
mod sample;
mod schedule;
mod share;
mod slices;
mod target;
mod threshold;

pub use calendar::{Calendar, CalendarUnit, Period, zone, zone_name};
pub use contrast::contrasts;
pub use decimal::DecimalError;
pub use interval::{Confidence, burn_interval, jeffreys_lower, wilson};
pub use plan::{consumption, detection_secs, reset_secs, threshold_for_share};
pub use rates::{
    budget_events, budget_minutes, burn_rate, consumed, error_ratio, exceeds, exhausted, remaining,
    time_to_exhaustion,
};
pub use sample::{effective_counts, effective_events, mean_weight, sampled_differently, standard_errors};
pub use schedule::{Days, Schedule, Span, covers, union};
pub use share::{RATIO_ONE, Share, is_budget_event, with_peak};
pub use slices::{EmptySlice, Method, Part, SliceRule, Slices, budget_slices};
pub use target::{Target, TargetError};
pub use threshold::{Threshold, ThresholdError};
