//! Flag evidence that comes apart from its request: joined through a bounded ring.
//!
//! Problem: a flag is evaluated where the code asks for it, and said where the hook says it: on a child span,
//! on a span of its own, in a log record. All of these come in other requests than the span that is counted,
//! and a child ends, and is sent, before its request does. Waiting for them would hold up every count.
//! Property wanted: a request counts at once, with what it says itself; evidence that comes before or after
//! it adds to the flag's cohort, in the bucket of the request and with its judgement, exactly once, and in
//! whatever order the parts come the counts are the same. Totals and deployments are never touched.
//!
//! The ring remembers the spans of the last five minutes of the services in which this can happen: those that
//! have sent such evidence within the hour, and those of which a policy names a flag, until ten minutes have
//! shown that they send none. A service whose flags stand on its requests costs nothing. Evidence climbs
//! from the span that it names to that span's parent and so on, to the local root (a server or consumer span,
//! or one without a parent), and counts for each span on that way that an objective counted. Where the next
//! span has not come yet the evidence waits for it.
//!
//! A flag that evidence of a better rank tells another variant of leaves the variant that it was counted
//! under: above all an `off` that was only implied, because a list lacked the flag. That is the one case in
//! which counts are taken out again ([`super::Ledger::retract`]), and only while their bucket is open.
//!
//! The ring lives in memory. Evidence that comes after a restart for a request from before it is counted
//! (`before_start`) and lost.
//!
//! Rejected: joining by trace id alone, which gives one request's flags to another of the same trace; and
//! waiting for a trace to be complete, which nobody can know.

mod batch;
mod climb;
mod ring;
mod shift;

pub(super) use batch::{Base, Batch, Group, Key, NONE, Place, Sighting, Telling, Told, id_of, key_of};
pub(super) use ring::Ring;
pub(super) use shift::Shift;
pub use shift::{JoinStats, Joined};

use crate::config::{Join as JoinConfig, JoinMode};
use crate::time::UnixNanos;
use dashmap::DashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a service is watched after it sent evidence apart from its requests, in seconds.
const WATCHED_SECS: u64 = 3_600;
/// How long a service of which a policy names a flag is watched without such evidence, in seconds.
const NAMED_SECS: u64 = 600;
/// Services that are watched for either reason at once.
const WATCHED_MAX: usize = 10_000;

/// See the module's words.
#[derive(Debug)]
pub struct Join {
    ring: Mutex<Ring>,
    /// When each service last sent evidence, in seconds, by the hash of its name.
    watched: DashMap<u64, u64, foldhash::fast::RandomState>,
    /// When each service of which a policy names a flag came first, the same way.
    named: DashMap<u64, u64, foldhash::fast::RandomState>,
}

impl Join {
    /// An empty ring of a process that started at `now`.
    pub fn new(now: UnixNanos) -> Self {
        Self {
            ring: Mutex::new(Ring::new(now)),
            watched: DashMap::default(),
            named: DashMap::default(),
        }
    }

    /// Whether the spans of a service are to be remembered; `named` says that a policy names a flag of it.
    pub(super) fn is_watched(&self, service: u64, named: bool, now: UnixNanos) -> bool {
        let since = |at: u64| now.secs().saturating_sub(at);
        if self
            .watched
            .get(&service)
            .is_some_and(|last| since(*last) < WATCHED_SECS)
        {
            return true;
        }
        if !named {
            return false;
        }
        if let Some(first) = self.named.get(&service) {
            return since(*first) < NAMED_SECS;
        }
        let room = self.named.len() < WATCHED_MAX;
        if room {
            self.named.insert(service, now.secs());
        }
        room
    }

    /// The services sent evidence apart from their requests.
    fn watch(&self, services: impl Iterator<Item = u64>, now: UnixNanos) {
        for service in services {
            if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&service) {
                self.watched
                    .retain(|_, last| now.secs().saturating_sub(*last) < WATCHED_SECS);
                if self.watched.len() >= WATCHED_MAX {
                    continue;
                }
            }
            self.watched.insert(service, now.secs());
        }
    }

    /// The ring, held. What it answers must be in the ledger before it is let go: a later batch may take out
    /// again what this one adds.
    pub(super) fn hold(&self, batch: &Batch, now: UnixNanos) -> MutexGuard<'_, Ring> {
        self.watch(batch.telling_services(), now);
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether evidence is joined at all.
pub(super) fn is_on(config: &JoinConfig) -> bool {
    config.mode == JoinMode::LocalRoot
}
