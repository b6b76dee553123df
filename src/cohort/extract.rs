//! Reads what an event says of its deployment and its flags.
//!
//! Problem: flags come in many shapes, their grammar is slow to read, and a request has a thousand spans.
//! Property wanted: no allocation and no parsing for a span that says what another one of the batch said. So
//! reading has two steps. *Collect* gathers the raw pieces of evidence of a span, borrowed and unread; equal
//! pieces mean equal flags, so the caller keeps a memo of them. *Read* parses the pieces, once for each
//! distinct evidence. Of an evaluation only flag, result, reason and failure are collected: times and context
//! ids differ from span to span, and a context id may name a person.

mod read;

use super::deployment::{DeploymentSlots, Inherited};
use super::flags::Name;
use super::named::NamedFlags;
use crate::config::{Absent, Cohorts};
use crate::wire::{AnyValue, Attributes, Event, KeyTableBuilder, PrefixId, Slot, Span, Value};
use std::sync::Arc;

const KEYS: [&str; 2] = ["feature_flag.key", "feature_flag.flag_key"];
const RESULTS: [&str; 5] = [
    "feature_flag.result.variant",
    "feature_flag.variant",
    "feature_flag.evaluated.variant",
    "feature_flag.result.value",
    "feature_flag.evaluated.value",
];
const INDEX: &str = "feature_flag.result.variationIndex";
const PROVIDERS: [&str; 3] = [
    "feature_flag.provider.name",
    "feature_flag.provider_name",
    "feature_flag.system",
];
const SET: &str = "feature_flag.set.id";
const REASONS: [&str; 2] = ["feature_flag.result.reason", "feature_flag.evaluation.reason"];

/// Names below `feature_flag.` that the semantic conventions (old and new) use for evaluations: never flags.
const CONVENTION_NAMES: [&str; 7] = [
    "feature_flag.key",
    "feature_flag.flag_key",
    "feature_flag.variant",
    "feature_flag.version",
    "feature_flag.system",
    "feature_flag.provider_name",
    "feature_flag.evaluation",
];
const CONVENTION_SPACES: [&str; 7] = [
    "feature_flag.result.",
    "feature_flag.evaluated.",
    "feature_flag.evaluation.",
    "feature_flag.provider.",
    "feature_flag.set.",
    "feature_flag.context.",
    "feature_flag.error.",
];

/// One raw piece of flag evidence.
///
/// Pieces of every span are compared with those of earlier ones. So the name of a flag lies inside its role:
/// as a field of every piece it was empty in most, and comparing two empty slices is a call of `memcmp` with
/// two dangling pointers, for which a processor with masked loads (AVX-512) may take 100 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece<'a> {
    role: Role<'a>,
    value: AnyValue<'a>,
}

/// What a piece is. A key begins an evaluation; the pieces that follow it belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role<'a> {
    EventKey,
    OwnKey,
    Result,
    Index,
    Reason,
    Failure,
    Provider,
    Set,
    /// An attribute with a prefix: what stands behind it.
    Flag(u8, &'a [u8]),
    List(u16),
}

/// All evidence of one event, by place.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'e, 'a> {
    /// Of the span and its events.
    pub item: &'e [Piece<'a>],
    /// Of its scope.
    pub scope: &'e [Piece<'a>],
    /// Of its resource.
    pub resource: &'e [Piece<'a>],
}

/// See the module's words. Compiled once, shared by all batches.
#[derive(Clone, Debug)]
pub struct Extractor {
    deployment: DeploymentSlots,
    keys: [Slot; 2],
    results: [Slot; 5],
    index: Slot,
    reasons: [Slot; 2],
    error_type: Slot,
    providers: [Slot; 3],
    set: Slot,
    lists: Vec<Slot>,
    prefixes: Vec<Prefix>,
    /// Names of lists and prefixes, as the configuration has them.
    names: (Vec<Arc<str>>, Vec<Arc<str>>),
    named: NamedFlags,
    absent_is_off: bool,
    negation: bool,
    max_flags: u32,
}

/// A prefix and the names behind it that are not flags.
#[derive(Clone, Debug)]
struct Prefix {
    id: PrefixId,
    names: Vec<Box<[u8]>>,
    spaces: Vec<Box<[u8]>>,
}

impl Extractor {
    /// Compiles the configured names; the attributes that they need go to `keys`.
    pub fn compile(cohorts: &Cohorts, named: NamedFlags, keys: &mut KeyTableBuilder) -> Self {
        let lists = &cohorts.flag_list_attributes;
        Self {
            deployment: DeploymentSlots::compile(&cohorts.deployment_attributes, keys),
            keys: KEYS.map(|name| keys.key(name)),
            results: RESULTS.map(|name| keys.key(name)),
            index: keys.key(INDEX),
            reasons: REASONS.map(|name| keys.key(name)),
            error_type: keys.key("error.type"),
            providers: PROVIDERS.map(|name| keys.key(name)),
            set: keys.key(SET),
            names: (
                lists.iter().map(|name| name.as_str().into()).collect(),
                cohorts
                    .flag_prefixes
                    .iter()
                    .map(|name| name.as_str().into())
                    .collect(),
            ),
            lists: lists.iter().map(|name| keys.key(name)).collect(),
            prefixes: cohorts
                .flag_prefixes
                .iter()
                .map(|prefix| Prefix {
                    id: keys.prefix(prefix),
                    names: behind(prefix, lists.iter().map(String::as_str).chain(CONVENTION_NAMES)),
                    spaces: behind(prefix, CONVENTION_SPACES.into_iter()),
                })
                .collect(),
            named,
            absent_is_off: cohorts.absent == Absent::Off,
            negation: cohorts.flag_list_negation,
            max_flags: cohorts.max_flags,
        }
    }

    /// The attribute that a shape came under, as the configuration writes it.
    pub fn name_of(&self, name: Name) -> Arc<str> {
        let known = match name {
            Name::Key => None,
            Name::List(place) => self.names.0.get(usize::from(place)),
            Name::Prefix(place) => self.names.1.get(usize::from(place)),
        };
        known.map_or_else(|| Arc::from(KEYS[0]), Arc::clone)
    }

    /// The flags that a policy of `service` names, sorted.
    pub fn named_flags(&self, service: &str) -> Vec<Arc<str>> {
        self.named.of(service)
    }

    /// What scope and resource say of the deployment.
    pub fn inherit<'a>(&self, scope: &Attributes<'a>, resource: &Attributes<'a>) -> Inherited<'a> {
        self.deployment.inherit(scope, resource)
    }

    /// The raw deployment that a span names itself; without one it has that of [`Inherited::value`].
    /// [`super::Deployment::read`] reads either.
    #[inline]
    pub fn own_deployment<'a>(
        &self,
        item: &Attributes<'a>,
        inherited: &Inherited<'a>,
    ) -> Option<AnyValue<'a>> {
        self.deployment.own(item, inherited)
    }

    /// Whether the span is itself the evaluation of a flag, as some hooks write it, and so never a request.
    #[inline]
    pub fn is_evaluation(&self, span: &Span<'_>, attributes: &Attributes<'_>) -> bool {
        self.keys.iter().any(|slot| attributes.get(*slot).is_some())
            && (span.name == b"feature_flag.evaluation"
                || span.name.starts_with(b"LDClient.variation")
                || span.name.starts_with(b"variation"))
    }

    /// Appends the evidence of a span and its events to `out`.
    #[inline]
    pub fn collect_item<'a>(
        &self,
        attributes: &Attributes<'a>,
        events: &[Event<'a>],
        out: &mut Vec<Piece<'a>>,
    ) {
        for event in events {
            self.collect_evaluation(&event.attributes, Role::EventKey, out);
        }
        self.collect(attributes, out);
    }

    /// Whether an item may tell of flags to the request that it is a part of; cheap, and seldom wrong.
    #[inline]
    pub fn may_tell(&self, attributes: &Attributes<'_>, events: &[Event<'_>]) -> bool {
        !events.is_empty()
            || !attributes.prefixed().is_empty()
            || self.keys.iter().any(|slot| attributes.get(*slot).is_some())
    }

    /// Appends what a span tells the request that it is a part of: evaluations, and attributes of one flag. A
    /// list speaks for its own span alone. Of a span that is itself an evaluation, its attributes are those
    /// of the evaluation.
    pub fn collect_told<'a>(
        &self,
        attributes: &Attributes<'a>,
        events: &[Event<'a>],
        is_evaluation: bool,
        out: &mut Vec<Piece<'a>>,
    ) {
        for event in events {
            self.collect_evaluation(&event.attributes, Role::EventKey, out);
        }
        if is_evaluation {
            return self.collect_evaluation(attributes, Role::EventKey, out);
        }
        self.collect_evaluation(attributes, Role::OwnKey, out);
        self.collect_prefixed(attributes, out);
    }

    /// Appends the evaluation that a log record tells of, if it does. From semantic conventions 1.29 to 1.33
    /// the result stood in the record's body.
    pub fn collect_record<'a>(
        &self,
        attributes: &Attributes<'a>,
        body: Option<AnyValue<'a>>,
        out: &mut Vec<Piece<'a>>,
    ) {
        let begin = out.len();
        self.collect_evaluation(attributes, Role::EventKey, out);
        let lacks_result = |piece: &Piece<'_>| !matches!(piece.role, Role::Result | Role::Index);
        if out.len() > begin
            && out.iter().skip(begin).all(lacks_result)
            && let Some(value) = body.and_then(read::result_in_body)
        {
            out.push(Piece {
                role: Role::Result,
                value,
            });
        }
    }

    /// Appends the evidence of one item's attributes (a span's, a scope's, a resource's) to `out`.
    #[inline]
    pub fn collect<'a>(&self, attributes: &Attributes<'a>, out: &mut Vec<Piece<'a>>) {
        self.collect_evaluation(attributes, Role::OwnKey, out);
        self.collect_prefixed(attributes, out);
        for (place, slot) in (0u16..).zip(&self.lists) {
            if let Some(value) = attributes.get(*slot)
                && !matches!(value.value(), Ok(Value::Empty))
            {
                out.push(Piece {
                    role: Role::List(place),
                    value,
                });
            }
        }
    }

    #[inline]
    fn collect_prefixed<'a>(&self, attributes: &Attributes<'a>, out: &mut Vec<Piece<'a>>) {
        for (prefix, flag, value) in attributes.prefixed() {
            let known = self.prefixes.iter().position(|known| known.id == *prefix);
            if let Some(place) = known
                && self.prefixes.get(place).is_some_and(|known| known.is_flag(flag))
            {
                out.push(Piece {
                    role: Role::Flag(u8::try_from(place).unwrap_or(u8::MAX), flag),
                    value: *value,
                });
            }
        }
    }

    #[inline]
    fn collect_evaluation<'a>(&self, attributes: &Attributes<'a>, role: Role<'a>, out: &mut Vec<Piece<'a>>) {
        let Some(key) = first(attributes, &self.keys) else {
            return;
        };
        let mut push = |role, value| {
            out.push(Piece { role, value });
        };
        push(role, key);
        if let Some(result) = first(attributes, &self.results) {
            push(Role::Result, result);
        } else if let Some(index) = first(attributes, &[self.index]) {
            push(Role::Index, index);
        }
        if let Some(reason) = first(attributes, &self.reasons) {
            push(Role::Reason, reason);
        }
        // On a span `error.type` speaks of the request, not of the evaluation.
        if role == Role::EventKey
            && let Some(error) = first(attributes, &[self.error_type])
        {
            push(Role::Failure, error);
        }
        if let Some(provider) = first(attributes, &self.providers) {
            push(Role::Provider, provider);
        }
        if let Some(set) = first(attributes, &[self.set]) {
            push(Role::Set, set);
        }
    }
}

impl Prefix {
    #[inline]
    fn is_flag(&self, flag: &[u8]) -> bool {
        !self.names.iter().any(|name| **name == *flag)
            && !self.spaces.iter().any(|space| flag.starts_with(space))
    }
}

/// What stands behind `prefix` in those of `names` that begin with it.
fn behind<'n>(prefix: &str, names: impl Iterator<Item = &'n str>) -> Vec<Box<[u8]>> {
    names
        .filter_map(|name| name.strip_prefix(prefix))
        .map(|rest| rest.as_bytes().into())
        .collect()
}

/// The first of `slots` that holds something.
#[inline]
fn first<'a>(attributes: &Attributes<'a>, slots: &[Slot]) -> Option<AnyValue<'a>> {
    slots.iter().find_map(|slot| {
        let value = attributes.get(*slot)?;
        (!matches!(value.value(), Ok(Value::Empty | Value::Str(b"")))).then_some(value)
    })
}
