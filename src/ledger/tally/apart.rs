//! What a batch tells beside its counts: spans and evidence for the join, and what its bad events share.
//!
//! Spans are noted only in services that are watched (see [`crate::ledger::join`]), evidence only where there
//! is some, signatures only of bad events: a span that is none of these costs three comparisons here.

use super::memo::{Memo, RunMemo};
use super::{BEYOND, Tally};
use crate::cohort::Piece;
use crate::cohort::flags::Place;
use crate::ledger::EventWeight;
use crate::ledger::join::{self, Join, NONE, Sighting, Telling};
use crate::ledger::signatures::{RawSignature, TRACES, TraceId};
use crate::ledger::spans::SpanSet;
use crate::wire::{AnyValue, Attributes, Event, LogRecord, Span};

/// Signatures of one batch, and combinations of them with groups; more are not told apart from each other,
/// and not counted as signatures.
const SIGNATURES_MAX: usize = 4_096;
/// Distinct tellings of one batch.
const TOLD_MAX: usize = 4_096;

/// Kinds of spans that begin a request in their process.
const SERVER: i32 = 2;
const CONSUMER: i32 = 5;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Apart<'a, 'c> {
    /// Where evidence is joined, if it is.
    pub(super) join: Option<&'c Join>,
    /// Where spans are remembered that must not count twice.
    pub(super) span_set: Option<&'c SpanSet>,
    /// The spans that this batch put there.
    pub(super) fresh: Vec<u64>,
    pub(super) seen: Vec<Sighting>,
    pub(super) tellings: Vec<Telling>,
    pub(super) told: RunMemo<(u32, Place), Piece<'a>>,
    pub(super) without_context: u64,
    pub(super) signatures: Memo<RawSignature<'a>>,
    pub(super) bads: Memo<(u32, u32, u64)>,
    pub(super) bad_rows: Vec<Bad>,
}

/// Bad events of one group, signature and set of objectives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bad {
    pub(super) count: u64,
    pub(super) traces: [TraceId; TRACES],
}

/// What a span or record counted as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) group: u32,
    pub(super) good: u64,
    pub(super) bad: u64,
    pub(super) signature: u32,
    /// What it stands for by its own word.
    pub(super) weight: Option<EventWeight>,
}

impl Counted {
    /// Nothing.
    pub(super) const NOT: Self = Self {
        group: NONE,
        good: 0,
        bad: 0,
        signature: NONE,
        weight: None,
    };

    /// Events of a group.
    pub(super) fn of(group: u32, good: u64, bad: u64, weight: Option<EventWeight>) -> Self {
        Self {
            group,
            good,
            bad,
            weight,
            ..Self::NOT
        }
    }
}

impl<'a> Apart<'a, '_> {
    /// Whether the span was counted already, by an earlier batch or by this one.
    pub(super) fn is_repeated(&mut self, span: &Span<'_>) -> bool {
        let Some(set) = self.span_set else { return false };
        let Some(key) = join::key_of(span.trace_id, span.span_id) else {
            return false;
        };
        match set.insert(&key) {
            None => true,
            Some(hash) => {
                self.fresh.push(hash);
                false
            }
        }
    }

    /// The number of a bad event's signature; it is counted with its trace.
    pub(super) fn bad(&mut self, raw: RawSignature<'a>, group: u32, bad: u64, trace: &[u8]) -> u32 {
        let room = self.signatures.len() < SIGNATURES_MAX && self.bads.len() < SIGNATURES_MAX;
        let Some(signature) = self.signatures.number(raw, room) else {
            return NONE;
        };
        let Some(row) = self.bads.number((group, signature, bad), room) else {
            return signature;
        };
        if row as usize == self.bad_rows.len() {
            self.bad_rows.push(Bad::default());
        }
        if let Some(row) = self.bad_rows.get_mut(row as usize) {
            if let Some(place) = usize::try_from(row.count)
                .ok()
                .and_then(|at| row.traces.get_mut(at))
                && let Some(key) = join::key_of(trace, &[0; 8])
            {
                *place = [key[0], key[1]];
            }
            row.count += 1;
        }
        signature
    }

    fn tell(&mut self, from: join::Key, origin: u32, place: Place, pieces: &[Piece<'a>], at: u64) {
        let room = self.told.len() < TOLD_MAX;
        if let Some(told) = self.told.number((origin, place), pieces, room) {
            self.tellings.push(Telling {
                from,
                origin,
                told,
                at,
            });
        }
    }
}

impl<'a> Tally<'a, '_> {
    /// Notes a span for the join, and what it tells of flags.
    pub(super) fn sight(
        &mut self,
        span: &Span<'a>,
        attributes: &Attributes<'a>,
        events: &[Event<'a>],
        is_evaluation: bool,
        counted: Counted,
    ) {
        let origin = self.place.origin;
        let Some(key) = join::key_of(span.trace_id, span.span_id) else {
            return;
        };
        let parent = span.parent_span_id.try_into().map_or(0, u64::from_le_bytes);
        let ends = parent == 0 || matches!(span.kind, SERVER | CONSUMER);
        if !ends {
            let pieces = &mut self.groups.pieces;
            pieces.clear();
            let extractor = &self.compiled.extractor;
            extractor.collect_told(attributes, events, is_evaluation, pieces);
            if !pieces.is_empty() {
                let place = if is_evaluation {
                    Place::EvaluationSpan
                } else {
                    Place::Child
                };
                let from = [key[0], key[1], parent];
                self.apart
                    .tell(from, origin, place, pieces, span.end_time_unix_nano);
                // Its request comes behind it.
                if let Some(source) = self.sources.get_mut(origin as usize) {
                    source.watched = true;
                }
            }
        }
        if self.is_watched() {
            self.apart.seen.push(Sighting {
                key,
                parent,
                ends,
                origin,
                group: counted.group,
                good: counted.good,
                bad: counted.bad,
                signature: counted.signature,
                weight: counted.weight,
            });
        }
    }

    /// Whether the spans of this service are noted.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        let source = self.sources.get(self.place.origin as usize);
        source.is_some_and(|source| source.watched)
    }

    /// Takes the evaluation that a record tells of, if it does.
    pub(super) fn hear(&mut self, record: &LogRecord<'a>, attributes: &Attributes<'a>) -> bool {
        let pieces = &mut self.groups.pieces;
        pieces.clear();
        let body: Option<AnyValue<'a>> = record.body;
        self.compiled.extractor.collect_record(attributes, body, pieces);
        if pieces.is_empty() {
            return false;
        }
        if self.apart.join.is_some() && self.place.origin != BEYOND {
            match join::key_of(record.trace_id, record.span_id) {
                Some(key) => {
                    let at = match record.time_unix_nano {
                        0 => record.observed_time_unix_nano,
                        time => time,
                    };
                    self.apart.tell(key, self.place.origin, Place::Log, pieces, at);
                }
                None => self.apart.without_context += 1,
            }
        }
        true
    }
}
