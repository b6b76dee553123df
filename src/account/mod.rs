//! Calendar periods, time slices and exclusions of totals, kept up to date tick by tick.
//!
//! The problem: the ledger's running sums answer "the last so many seconds", exactly and for nothing. A
//! budget that begins on the first of the month, that counts bad minutes instead of bad requests, or that
//! leaves a maintenance window out, is another question; and to walk over a month of minutes at every second
//! is no answer.
//!
//! An [`Account`] knows what the slices amount to that can change no more (later than any late event), of the
//! period and of every window. At a tick it judges the few slices that are still open; when a slice ends it
//! adds one and takes one off at each far edge, read from the store. All of it is integers, so that adding
//! and taking off end where a walk over everything would, which a property test holds. A restart, another
//! policy, a correction: the account is made anew from the store, once.
//!
//! Rejected: keeping every slice in memory (half a megabyte for a year of one objective), and sums of floats
//! (which drift).

mod book;
mod keep;
mod spec;

#[cfg(test)]
mod tests;

pub use book::Accounts;
pub use keep::{Account, Reached};
pub use spec::{Figures, Key, Spec};
