//! What one batch brings to the ring: the spans that it saw, and what was told of flags.

use crate::cohort::flags::{FlagSet, Rank};
use crate::cohort::{CohortId, ObjectiveId, SourceId, StratumId};
use crate::ledger::EventWeight;
use crate::ledger::signatures::Signature;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

/// A span: trace id (two words) and span id.
pub(in crate::ledger) type Key = [u64; 3];

/// No number.
pub(in crate::ledger) const NONE: u32 = u32::MAX;

/// The key of a span; `None` without both ids.
#[inline]
pub(in crate::ledger) fn key_of(trace: &[u8], span: &[u8]) -> Option<Key> {
    let (high, low) = trace.split_first_chunk::<8>()?;
    let low = low.try_into().ok()?;
    Some([
        u64::from_le_bytes(*high),
        u64::from_le_bytes(low),
        u64::from_le_bytes(span.try_into().ok()?),
    ])
}

/// The id of a flag or a service: a hash that nobody outside can foresee. Two of one process' few thousand
/// names sharing one is a chance of one in a million million.
pub(in crate::ledger) fn id_of(name: &str) -> u64 {
    static STATE: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);
    STATE.hash_one(name)
}

/// One span of a service that is watched.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Sighting {
    pub(in crate::ledger) key: Key,
    /// Its parent in the same trace; 0 for none.
    pub(in crate::ledger) parent: u64,
    /// Nothing above it belongs to the same request.
    pub(in crate::ledger) ends: bool,
    pub(in crate::ledger) origin: u32,
    /// The group that it counted in; [`NONE`] when no objective counted it.
    pub(in crate::ledger) group: u32,
    /// The objectives that call it good, and bad.
    pub(in crate::ledger) good: u64,
    pub(in crate::ledger) bad: u64,
    /// What went wrong, of a bad one.
    pub(in crate::ledger) signature: u32,
    /// What it stands for by its own word.
    pub(in crate::ledger) weight: Option<EventWeight>,
}

/// Something was told of flags: by a child span, an evaluation span or a log record.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Telling {
    /// The first span that it may count for.
    pub(in crate::ledger) from: Key,
    pub(in crate::ledger) origin: u32,
    /// Its number in [`Batch::told`].
    pub(in crate::ledger) told: u32,
    /// When.
    pub(in crate::ledger) at: u64,
}

/// What was told of one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Told {
    pub(in crate::ledger) id: u64,
    pub(in crate::ledger) flag: Arc<str>,
    /// `None`: it is there, but its variant cannot be used.
    pub(in crate::ledger) variant: Option<Arc<str>>,
    pub(in crate::ledger) rank: Rank,
    pub(in crate::ledger) named: bool,
}

impl Told {
    /// All that a set tells.
    pub(in crate::ledger) fn of(set: &FlagSet) -> Arc<[Self]> {
        let flags = set.flags.iter().map(|flag| Self {
            id: id_of(&flag.flag),
            flag: Arc::from(&*flag.flag),
            variant: Some(Arc::from(&*flag.variant)),
            rank: flag.rank,
            named: flag.named && flag.basis.is_causal(),
        });
        let mentioned = set.mentioned.iter().map(|flag| Self {
            id: id_of(flag),
            flag: Arc::from(&**flag),
            variant: None,
            rank: Rank::Joined,
            named: false,
        });
        flags.chain(mentioned).collect()
    }
}

/// Where a flag of a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Place {
    pub(in crate::ledger) cohort: CohortId,
    /// Whether it has evidence cells.
    pub(in crate::ledger) cells: bool,
    /// Not an overflow cohort: events may leave it again.
    pub(in crate::ledger) live: bool,
}

/// A flag that a request told of itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Base {
    pub(in crate::ledger) id: u64,
    pub(in crate::ledger) rank: Rank,
    /// `None` when its variant could not be used.
    pub(in crate::ledger) place: Option<Place>,
}

/// What the requests of one group share.
#[derive(Debug)]
pub(in crate::ledger) struct Group {
    pub(in crate::ledger) service: Arc<str>,
    pub(in crate::ledger) environment: Option<Arc<str>>,
    pub(in crate::ledger) sha: Option<Arc<str>>,
    pub(in crate::ledger) objectives: Vec<ObjectiveId>,
    /// What a policy says that good and bad events stand for, by objective; empty when it says nothing.
    pub(in crate::ledger) declared: Vec<Option<[EventWeight; 2]>>,
    pub(in crate::ledger) bucket: u64,
    pub(in crate::ledger) stratum: StratumId,
    pub(in crate::ledger) source: SourceId,
    pub(in crate::ledger) flags: Vec<Base>,
    /// Whether it may be evidence: its sender may speak for the service.
    pub(in crate::ledger) trusted: bool,
    /// Its requests count in an overflow cohort already.
    pub(in crate::ledger) overflown: bool,
}

/// Everything of one batch; numbers are those of the batch.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Batch {
    pub(in crate::ledger) seen: Vec<Sighting>,
    pub(in crate::ledger) tellings: Vec<Telling>,
    /// By origin: the id of its service.
    pub(in crate::ledger) services: Vec<u64>,
    pub(in crate::ledger) groups: Vec<Option<Arc<Group>>>,
    pub(in crate::ledger) told: Vec<Arc<[Told]>>,
    pub(in crate::ledger) signatures: Vec<Arc<Signature>>,
    /// Evidence that names no span.
    pub(in crate::ledger) without_context: u64,
}

impl Batch {
    pub(in crate::ledger) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.tellings.is_empty() && self.without_context == 0
    }

    pub(super) fn service(&self, origin: u32) -> u64 {
        self.services.get(origin as usize).copied().unwrap_or_default()
    }

    /// The services that told something, each once in a row.
    pub(super) fn telling_services(&self) -> impl Iterator<Item = u64> {
        let mut last = None;
        self.tellings
            .iter()
            .filter(move |telling| last.replace(telling.origin) != Some(telling.origin))
            .map(|telling| self.service(telling.origin))
    }
}
