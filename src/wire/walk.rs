//! The walk over an ExportTraceServiceRequest.
//!
//! One pass over the bytes, whatever the order of a span's fields. Resource and scope are needed before the
//! spans, and every sender puts them there, but protobuf lets them stand behind. Hopping over the spans to
//! look for them first cost a cache miss a span, since no processor foresees where the next hop lands. So the
//! walk believes in the usual order, and when it is proved wrong ([`Halt::Late`]) it begins again and hops
//! first: a request of that kind costs twice at most.
//!
//! The scratch lives for one request: its vectors grow with the first spans, and then nothing is allocated
//! any more.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use super::any_value::key_value;
use super::reader::{Reader, fixed32, fixed64, len, varint};
use super::{
    Attributes, Event, KeyTable, Malformed, Scope, Span, SpanSink, WalkError, WalkLimits, WalkSummary,
};

/// Tags by message; `KNOWN` has bit n set for field n.
mod request {
    pub(super) const RESOURCE_SPANS: u64 = super::len(1);
    pub(super) const KNOWN: u32 = 0b10;
}
mod resource_spans {
    use super::len;
    pub(super) const RESOURCE: u64 = len(1);
    pub(super) const SCOPE_SPANS: u64 = len(2);
    pub(super) const SCHEMA_URL: u64 = len(3);
    pub(super) const KNOWN: u32 = 0b1110;
}
mod resource {
    use super::{len, varint};
    pub(super) const ATTRIBUTES: u64 = len(1);
    pub(super) const DROPPED: u64 = varint(2);
    pub(super) const ENTITY_REFS: u64 = len(3);
    pub(super) const KNOWN: u32 = 0b1110;
}
mod scope_spans {
    use super::len;
    pub(super) const SCOPE: u64 = len(1);
    pub(super) const SPANS: u64 = len(2);
    pub(super) const SCHEMA_URL: u64 = len(3);
    pub(super) const KNOWN: u32 = 0b1110;
}
mod scope {
    use super::{len, varint};
    pub(super) const NAME: u64 = len(1);
    pub(super) const VERSION: u64 = len(2);
    pub(super) const ATTRIBUTES: u64 = len(3);
    pub(super) const DROPPED: u64 = varint(4);
    pub(super) const KNOWN: u32 = 0b1_1110;
}
mod span {
    use super::{fixed32, fixed64, len, varint};
    pub(super) const TRACE_ID: u64 = len(1);
    pub(super) const SPAN_ID: u64 = len(2);
    pub(super) const TRACE_STATE: u64 = len(3);
    pub(super) const PARENT_SPAN_ID: u64 = len(4);
    pub(super) const NAME: u64 = len(5);
    pub(super) const KIND: u64 = varint(6);
    pub(super) const START: u64 = fixed64(7);
    pub(super) const END: u64 = fixed64(8);
    pub(super) const ATTRIBUTES: u64 = len(9);
    pub(super) const DROPPED_ATTRIBUTES: u64 = varint(10);
    pub(super) const EVENTS: u64 = len(11);
    pub(super) const DROPPED_EVENTS: u64 = varint(12);
    pub(super) const LINKS: u64 = len(13);
    pub(super) const DROPPED_LINKS: u64 = varint(14);
    pub(super) const STATUS: u64 = len(15);
    pub(super) const FLAGS: u64 = fixed32(16);
    pub(super) const KNOWN: u32 = 0x1_FFFE;
}
mod status {
    use super::{len, varint};
    pub(super) const MESSAGE: u64 = len(2);
    pub(super) const CODE: u64 = varint(3);
    pub(super) const KNOWN: u32 = 0b1100;
}
mod event {
    use super::{fixed64, len, varint};
    pub(super) const TIME: u64 = fixed64(1);
    pub(super) const NAME: u64 = len(2);
    pub(super) const ATTRIBUTES: u64 = len(3);
    pub(super) const DROPPED: u64 = varint(4);
    pub(super) const KNOWN: u32 = 0b1_1110;
}

/// Walks the request and hands every span to `sink`.
pub fn walk_traces<'a>(
    request: &'a [u8],
    keys: &KeyTable,
    limits: &WalkLimits,
    sink: &mut impl SpanSink<'a>,
) -> Result<WalkSummary, WalkError> {
    match Walk::new(keys, limits, sink, Order::Usual).request(request) {
        Ok(summary) => Ok(summary),
        Err(Halt::Refused(error)) => Err(error),
        Err(Halt::Late) => {
            sink.forget();
            match Walk::new(keys, limits, sink, Order::Any).request(request) {
                Ok(summary) => Ok(summary),
                Err(Halt::Refused(error)) => Err(error),
                // Only the usual order can be broken.
                Err(Halt::Late) => Err(Malformed.into()),
            }
        }
    }
}

/// The order of fields that a walk counts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Resource before scopes, scope before spans.
    Usual,
    /// None: ResourceSpans and ScopeSpans are hopped over once before their spans are read.
    Any,
}

/// Why a walk ended early.
enum Halt {
    Refused(WalkError),
    /// A resource or a scope stood behind a span that was already handed out without it.
    Late,
}

impl From<Malformed> for Halt {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

/// The state of one walk: what was found so far, and the scratch.
struct Walk<'w, 'a, S> {
    keys: &'w KeyTable,
    limits: &'w WalkLimits,
    sink: &'w mut S,
    order: Order,
    summary: WalkSummary,
    resource: Attributes<'a>,
    scope: Attributes<'a>,
    scope_name: &'a [u8],
    scope_version: &'a [u8],
    attributes: Attributes<'a>,
    events: Events<'a>,
    resource_is_told: bool,
    scope_is_told: bool,
}

impl<'w, 'a, S: SpanSink<'a>> Walk<'w, 'a, S> {
    fn new(keys: &'w KeyTable, limits: &'w WalkLimits, sink: &'w mut S, order: Order) -> Self {
        Self {
            keys,
            limits,
            sink,
            order,
            summary: WalkSummary::default(),
            resource: Attributes::new(keys),
            scope: Attributes::new(keys),
            scope_name: &[],
            scope_version: &[],
            attributes: Attributes::new(keys),
            events: Events::default(),
            resource_is_told: false,
            scope_is_told: false,
        }
    }

    fn request(mut self, request: &'a [u8]) -> Result<WalkSummary, Halt> {
        let mut fields = Reader::new(request);
        while let Some(tag) = fields.tag()? {
            match tag {
                request::RESOURCE_SPANS => self.resource_spans(fields.bytes()?)?,
                _ => fields.skip_unless_known(tag, request::KNOWN)?,
            }
        }
        Ok(self.summary)
    }

    fn resource_spans(&mut self, message: &'a [u8]) -> Result<(), Halt> {
        self.resource.clear();
        self.resource_is_told = false;
        if self.order == Order::Any {
            self.find(message, resource_spans::RESOURCE, Self::resource)?;
        }
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                resource_spans::RESOURCE if self.order == Order::Any => drop(fields.bytes()?),
                resource_spans::RESOURCE if self.resource_is_told => return Err(Halt::Late),
                resource_spans::RESOURCE => self.resource(fields.bytes()?)?,
                resource_spans::SCOPE_SPANS => self.scope_spans(fields.bytes()?)?,
                resource_spans::SCHEMA_URL => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, resource_spans::KNOWN)?,
            }
        }
        self.summary.excess += u64::from(self.resource.excess());
        Ok(())
    }

    /// Hops over `message` and reads the fields that `wanted` begins.
    fn find(
        &mut self,
        message: &'a [u8],
        wanted: u64,
        read: fn(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            if tag == wanted {
                read(self, fields.bytes()?)?;
            } else {
                fields.skip(tag)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                resource::ATTRIBUTES => self.resource.take_row(&mut fields, tag, self.keys, self.limits)?,
                resource::DROPPED | resource::ENTITY_REFS => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, resource::KNOWN)?,
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, message: &'a [u8]) -> Result<(), Halt> {
        self.scope.clear();
        self.scope_name = &[];
        self.scope_version = &[];
        self.scope_is_told = false;
        if self.order == Order::Any {
            self.find(message, scope_spans::SCOPE, Self::scope)?;
        }
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                scope_spans::SPANS => self.span(fields.bytes()?)?,
                scope_spans::SCOPE if self.order == Order::Any => drop(fields.bytes()?),
                scope_spans::SCOPE if self.scope_is_told => return Err(Halt::Late),
                scope_spans::SCOPE => self.scope(fields.bytes()?)?,
                scope_spans::SCHEMA_URL => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, scope_spans::KNOWN)?,
            }
        }
        self.summary.excess += u64::from(self.scope.excess());
        Ok(())
    }

    fn scope(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                scope::NAME => self.scope_name = fields.bytes()?,
                scope::VERSION => self.scope_version = fields.bytes()?,
                scope::ATTRIBUTES => self.scope.take_row(&mut fields, tag, self.keys, self.limits)?,
                scope::DROPPED => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, scope::KNOWN)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn span(&mut self, message: &'a [u8]) -> Result<(), Halt> {
        self.summary.spans += 1;
        if self.summary.spans > u64::from(self.limits.spans_max) {
            let limit = self.limits.spans_max;
            return Err(Halt::Refused(WalkError::TooManyItems { limit }));
        }
        self.attributes.clear();
        self.events.clear();
        let span = self.span_fields(message)?;
        self.summary.excess += u64::from(self.attributes.excess()) + self.events.excess;
        if ids_are_valid(&span) {
            self.tell(&span);
        } else {
            self.summary.rejected += 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn span_fields(&mut self, message: &'a [u8]) -> Result<Span<'a>, Malformed> {
        let mut span = Span::default();
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                span::ATTRIBUTES => self
                    .attributes
                    .take_row(&mut fields, tag, self.keys, self.limits)?,
                span::TRACE_ID => span.trace_id = fields.bytes()?,
                span::SPAN_ID => span.span_id = fields.bytes()?,
                span::TRACE_STATE => span.trace_state = fields.bytes()?,
                span::PARENT_SPAN_ID => span.parent_span_id = fields.bytes()?,
                span::NAME => span.name = fields.bytes()?,
                span::KIND => span.kind = fields.int32()?,
                span::START => span.start_time_unix_nano = fields.fixed64()?,
                span::END => span.end_time_unix_nano = fields.fixed64()?,
                span::STATUS => read_status(&mut span, fields.bytes()?)?,
                span::FLAGS => span.flags = fields.fixed32()?,
                span::EVENTS => self.events.take(fields.bytes()?, self.keys, self.limits)?,
                span::LINKS => drop(fields.bytes()?),
                span::DROPPED_ATTRIBUTES | span::DROPPED_EVENTS | span::DROPPED_LINKS => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, span::KNOWN)?,
            }
        }
        Ok(span)
    }

    #[inline(always)]
    fn tell(&mut self, span: &Span<'a>) {
        if !self.resource_is_told {
            self.resource_is_told = true;
            self.sink.resource(&self.resource);
        }
        if !self.scope_is_told {
            self.scope_is_told = true;
            self.sink.scope(&Scope {
                name: self.scope_name,
                version: self.scope_version,
                attributes: &self.scope,
            });
        }
        self.sink.span(span, &self.attributes, self.events.taken());
    }
}

/// Absent ids are let through, as the Collector does; ids of another length are nobody's.
#[inline(always)]
fn ids_are_valid(span: &Span<'_>) -> bool {
    matches!(span.trace_id.len(), 0 | 16)
        && matches!(span.span_id.len(), 0 | 8)
        && matches!(span.parent_span_id.len(), 0 | 8)
}

fn read_status<'a>(span: &mut Span<'a>, message: &'a [u8]) -> Result<(), Malformed> {
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            status::MESSAGE => span.status_message = fields.bytes()?,
            status::CODE => span.status_code = fields.int32()?,
            _ => fields.skip_unless_known(tag, status::KNOWN)?,
        }
    }
    Ok(())
}

/// The flag events of one span; the vector only grows, so that its events keep their room.
#[derive(Debug, Default)]
struct Events<'a> {
    room: Vec<Event<'a>>,
    taken: usize,
    seen: u32,
    excess: u64,
}

impl<'a> Events<'a> {
    #[inline(always)]
    fn clear(&mut self) {
        self.taken = 0;
        self.seen = 0;
        self.excess = 0;
    }

    #[inline(always)]
    fn taken(&self) -> &[Event<'a>] {
        self.room.get(..self.taken).unwrap_or_default()
    }

    fn take(&mut self, message: &'a [u8], keys: &KeyTable, limits: &WalkLimits) -> Result<(), Malformed> {
        if self.seen >= limits.events_max {
            self.excess += 1;
            return Ok(());
        }
        self.seen += 1;
        if !keys.all_events && !has_flag_evidence(message)? {
            return Ok(());
        }
        if self.taken == self.room.len() {
            self.room.push(Event {
                attributes: Attributes::new(keys),
                ..Event::default()
            });
        }
        let Some(event) = self.room.get_mut(self.taken) else {
            return Ok(());
        };
        read_event(event, message, keys, limits)?;
        self.taken += 1;
        self.excess += u64::from(event.attributes.excess());
        Ok(())
    }
}

/// Whether the event tells of a flag, by its name or by its keys.
fn has_flag_evidence(message: &[u8]) -> Result<bool, Malformed> {
    let mut name: &[u8] = &[];
    let mut by_key = false;
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            event::NAME => name = fields.bytes()?,
            event::ATTRIBUTES => {
                let (key, _) = key_value(fields.bytes()?)?;
                by_key |= key.starts_with(b"feature_flag.key") || key.starts_with(b"feature_flag.flag_key");
            }
            event::TIME | event::DROPPED => fields.skip(tag)?,
            _ => fields.skip_unless_known(tag, event::KNOWN)?,
        }
    }
    Ok(by_key || matches!(name, b"feature_flag.evaluation" | b"feature_flag"))
}

fn read_event<'a>(
    event: &mut Event<'a>,
    message: &'a [u8],
    keys: &KeyTable,
    limits: &WalkLimits,
) -> Result<(), Malformed> {
    event.name = &[];
    event.time_unix_nano = 0;
    event.attributes.clear();
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            event::NAME => event.name = fields.bytes()?,
            event::TIME => event.time_unix_nano = fields.fixed64()?,
            event::ATTRIBUTES => event.attributes.take_row(&mut fields, tag, keys, limits)?,
            _ => fields.skip(tag)?,
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
