//! What goes wrong: the most frequent signatures of bad events, per objective and cohort.
//!
//! Problem: "variant `on` burns 14 times too fast" is true and helps nobody; "`TimeoutError` on `/pay`, these
//! three traces" does. Property wanted: with every cohort that has bad events, the twenty signatures that
//! most of them share, over the last quarter of an hour or two, with counts and traces to look at; in bounded
//! memory, whatever texts the telemetry invents.
//!
//! A signature is (what went wrong, route, service). What went wrong is the type of the exception, else
//! `error.type`, else the status (`HTTP 503`, `gRPC 14`), else `error`; a request that is bad without an
//! error is `slow` or otherwise outside its objective: `not_good`.
//!
//! Counted by space-saving (Metwally et al. 2005): exact while a cohort shows at most [`COUNTERS`] signatures
//! in a quarter of an hour; beyond that the rarest makes room, and each count states how much of it may
//! belong to others. Rejected: exact counts of everything (exception types come from telemetry, so anybody
//! can invent a million), and a count-min sketch, which needs the names beside it all the same.

mod book;
mod sketch;
mod slots;

pub use book::{ErrorSignature, SignatureBook, TopSignatures};
pub(super) use slots::{RawSignature, SignatureSlots};

use crate::cohort::{CohortId, ObjectiveId};
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

/// Signatures counted apart of one cohort and objective in one quarter of an hour.
pub const COUNTERS: usize = 40;
/// Signatures in an answer.
pub const TOP: usize = 20;
/// Traces of one signature.
pub const TRACES: usize = 3;

/// A trace id as two words; all zero for none.
pub(super) type TraceId = [u64; 2];

/// What bad events have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    /// The service.
    pub service: Arc<str>,
    /// Its route: the endpoint class.
    pub route: Arc<str>,
    /// What went wrong.
    pub what: Arc<str>,
    id: u64,
}

impl Signature {
    pub(super) fn new(service: &str, route: &str, what: &str) -> Self {
        static STATE: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);
        Self {
            service: service.into(),
            route: route.into(),
            what: what.into(),
            id: STATE.hash_one((service, route, what)),
        }
    }
}

/// Bad events of one series and signature, as a batch brings them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureDelta {
    /// The objective.
    pub objective: ObjectiveId,
    /// The cohort.
    pub cohort: CohortId,
    /// What they have in common.
    pub signature: Arc<Signature>,
    /// How many.
    pub count: u64,
    /// They leave the cohort: their variant became known.
    pub leaves: bool,
    /// Some of their traces.
    pub(super) traces: [TraceId; TRACES],
}
