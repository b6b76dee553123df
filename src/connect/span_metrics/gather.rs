//! From spans to what each series must add: keys and durations, in scratch that is used again.
//!
//! Nothing is shared while a batch is walked, and nothing counts before the walk is at its end: a batch
//! that is broken half way has counted nothing.

use super::exact::Weight;
use super::key;
use super::plan::{Family, Own, Plan};
use super::resources::Resources;
use super::series::{Exemplar, Seen};
use crate::time::UnixNanos;
use crate::wire::{AnyValue, Attributes, Event, Scope, Span, SpanSink, threshold_weight};
use std::hash::BuildHasher as _;

/// Locks that series are spread over.
pub(super) const SHARDS: usize = 16;
/// Scratch above this is not kept for the next batch.
const SCRATCH_MAX: usize = 4 << 20;

/// What one span adds to one series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) hash: u64,
    key: (u32, u32),
    pub(super) seen: Seen,
}

/// What one batch adds, by lock.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    keys: Vec<u8>,
    pub(super) by_shard: [Vec<Entry>; SHARDS],
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.by_shard.iter_mut().for_each(Vec::clear);
    }

    pub(super) fn key(&self, entry: &Entry) -> &[u8] {
        let (begin, end) = entry.key;
        self.keys.get(begin as usize..end as usize).unwrap_or_default()
    }

    pub(super) fn is_worth_keeping(&self) -> bool {
        let entries: usize = self.by_shard.iter().map(Vec::capacity).sum();
        self.keys.capacity() + entries * size_of::<Entry>() <= SCRATCH_MAX
    }
}

/// The shard of a hash: high bits, as the table takes the low ones.
pub(super) fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 48).unwrap_or(0) % SHARDS
}

/// The walk's sink.
pub(super) struct Gather<'p, 'a> {
    pub(super) plan: &'p Plan,
    pub(super) resources: &'p Resources,
    pub(super) hasher: &'p foldhash::quality::RandomState,
    pub(super) scratch: &'p mut Scratch,
    pub(super) now: UnixNanos,
    resource: Attributes<'a>,
    resource_id: u32,
    /// The service as a part of keys.
    service: Vec<u8>,
    /// Name and version of a listed scope.
    scope: Option<(&'a [u8], &'a [u8])>,
    wild: Vec<(&'a [u8], &'p str, AnyValue<'a>)>,
}

impl<'p> Gather<'p, '_> {
    pub(super) fn new(
        plan: &'p Plan,
        resources: &'p Resources,
        hasher: &'p foldhash::quality::RandomState,
        scratch: &'p mut Scratch,
        now: UnixNanos,
    ) -> Self {
        Self {
            plan,
            resources,
            hasher,
            scratch,
            now,
            resource: Attributes::new(&plan.keys),
            resource_id: 0,
            service: Vec::new(),
            scope: None,
            wild: Vec::new(),
        }
    }
}

fn kind(number: i32) -> &'static [u8] {
    match number {
        1 => b"SPAN_KIND_INTERNAL",
        2 => b"SPAN_KIND_SERVER",
        3 => b"SPAN_KIND_CLIENT",
        4 => b"SPAN_KIND_PRODUCER",
        5 => b"SPAN_KIND_CONSUMER",
        _ => b"SPAN_KIND_UNSPECIFIED",
    }
}

fn status(code: i32) -> &'static [u8] {
    match code {
        1 => b"STATUS_CODE_OK",
        2 => b"STATUS_CODE_ERROR",
        _ => b"STATUS_CODE_UNSET",
    }
}

impl<'p, 'a> Gather<'p, 'a> {
    /// Writes the key of `family` for a span (or one of its events) and adds an entry.
    fn add(
        &mut self,
        number: u8,
        family: &'p Family,
        span: &Span<'a>,
        own: &[&Attributes<'a>],
        adjusted: bool,
        seen: Seen,
    ) {
        let begin = self.scratch.keys.len();
        self.scratch.keys.push(number);
        self.scratch
            .keys
            .extend_from_slice(&self.resource_id.to_le_bytes());
        self.own_dimensions(span, adjusted);
        let keys = &mut self.scratch.keys;
        for named in &family.named {
            let found = own.iter().find_map(|attributes| attributes.get(named.slot));
            match (found.or_else(|| self.resource.get(named.slot)), &named.default) {
                (Some(value), _) => key::put_value(keys, value),
                (None, Some(default)) => key::put_text(keys, default.as_bytes()),
                (None, None) => key::put_missing(keys),
            }
        }
        if !family.wild.is_empty() {
            self.wild_dimensions(family, own);
        }
        let keys = &self.scratch.keys;
        let (Ok(begin), Ok(end)) = (u32::try_from(begin), u32::try_from(keys.len())) else {
            return;
        };
        let hash = self.hasher.hash_one(&keys[begin as usize..]);
        if let Some(entries) = self.scratch.by_shard.get_mut(shard_of(hash)) {
            entries.push(Entry {
                hash,
                key: (begin, end),
                seen,
            });
        }
    }

    fn own_dimensions(&mut self, span: &Span<'a>, adjusted: bool) {
        let keys = &mut self.scratch.keys;
        for (own, _) in &self.plan.own {
            match own {
                Own::Service => keys.extend_from_slice(&self.service),
                Own::SpanName => key::put_text(keys, span.name),
                Own::SpanKind => key::put_text(keys, kind(span.kind)),
                Own::Status => key::put_text(keys, status(span.status_code)),
                Own::ScopeName | Own::ScopeVersion => match self.scope {
                    None => key::put_missing(keys),
                    Some((name, _)) if *own == Own::ScopeName => key::put_text(keys, name),
                    Some((_, version)) => key::put_text(keys, version),
                },
                Own::Sampling => key::put_text(keys, if adjusted { b"adjusted" } else { b"counted" }),
            }
        }
    }

    /// Attributes whose keys match, in the order of their keys; what stands first in `own` wins.
    fn wild_dimensions(&mut self, family: &'p Family, own: &[&Attributes<'a>]) {
        self.wild.clear();
        for attributes in own.iter().copied().chain([&self.resource]) {
            // Of a key that occurs twice, the last counts.
            for (prefix, rest, value) in attributes.prefixed().iter().rev() {
                for wild in family.wild.iter().filter(|wild| wild.prefix == *prefix) {
                    let Ok(rest_text) = std::str::from_utf8(rest) else {
                        continue;
                    };
                    let name = [&wild.head, rest_text].concat();
                    let known = |(rest, head, _): &(&[u8], &str, AnyValue<'_>)| {
                        name.as_bytes().strip_prefix(head.as_bytes()) == Some(*rest)
                    };
                    let is_named = family.named.iter().any(|named| *named.name == name)
                        || self.plan.own.iter().any(|(_, own)| *own == name);
                    if wild.matcher.is_match(&name) && !is_named && !self.wild.iter().any(known) {
                        self.wild.push((rest, &wild.head, *value));
                    }
                }
            }
        }
        let name = |(rest, head, _): &(&'a [u8], &'p str, AnyValue<'a>)| [head.as_bytes(), rest].concat();
        self.wild.sort_by_cached_key(name);
        let keys = &mut self.scratch.keys;
        for entry in &self.wild {
            key::put_name(keys, &name(entry));
            key::put_value(keys, entry.2);
        }
    }
}

impl<'a> SpanSink<'a> for Gather<'_, 'a> {
    fn forget(&mut self) {
        self.scratch.clear();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.resource.clone_from(attributes);
        self.resource_id = match self.plan.every {
            None => 0,
            Some(every) => self
                .resources
                .id_of(attributes, every, &self.plan.resource_keys, self.now),
        };
        self.service.clear();
        let name = attributes.get(self.plan.service).and_then(AnyValue::as_str);
        // Spans of nobody count too.
        let name = name.filter(|name| !name.is_empty()).unwrap_or(b"unknown_service");
        key::put_text(&mut self.service, name);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        let listed = self.plan.scopes.iter().any(|name| name.as_bytes() == scope.name);
        self.scope = (listed && !scope.name.is_empty()).then_some((scope.name, scope.version));
    }

    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]) {
        let told = threshold_weight(span.trace_state);
        let (weight, adjusted) = (told.unwrap_or(Weight::ONE), told.is_some());
        let exemplar = || {
            Some(Exemplar {
                trace_id: span.trace_id.try_into().ok()?,
                span_id: span.span_id.try_into().unwrap_or_default(),
                nanos: duration(span),
                at: span.end_time_unix_nano,
            })
        };
        let seen = Seen {
            nanos: duration(span),
            weight,
            exemplar: if self.plan.exemplars > 0 { exemplar() } else { None },
        };
        let plan = self.plan;
        for (number, family) in (0u8..).zip(&plan.families) {
            if family.events {
                for event in events {
                    self.add(
                        number,
                        family,
                        span,
                        &[attributes, &event.attributes],
                        adjusted,
                        seen,
                    );
                }
            } else {
                self.add(number, family, span, &[attributes], adjusted, seen);
            }
        }
    }
}

/// A span that ends before it begins took no time.
fn duration(span: &Span<'_>) -> u64 {
    span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano)
}
