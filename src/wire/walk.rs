//! The walk over an ExportTraceServiceRequest: one pass over a span, whatever the order of its fields.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use super::any_value::key_value;
use super::envelope::{self, Items};
use super::reader::{Reader, fixed32, fixed64, len, varint};
use super::{
    Attributes, Event, KeyTable, Malformed, Scope, Span, SpanSink, WalkError, WalkLimits, WalkSummary,
};

/// Tags by message; `KNOWN` has bit n set for field n.
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
    let mut spans = Spans {
        sink,
        attributes: Attributes::new(keys),
        events: Events::default(),
        summary: WalkSummary::default(),
    };
    let excess = envelope::walk(request, keys, limits, &mut spans)?;
    spans.summary.excess += excess;
    Ok(spans.summary)
}

/// What was found so far, and the scratch of one span.
struct Spans<'w, 'a, S> {
    sink: &'w mut S,
    attributes: Attributes<'a>,
    events: Events<'a>,
    summary: WalkSummary,
}

impl<'a, S: SpanSink<'a>> Items<'a> for Spans<'_, 'a, S> {
    type Item = Span<'a>;

    fn forget(&mut self) {
        self.summary = WalkSummary::default();
        self.sink.forget();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.sink.resource(attributes);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.sink.scope(scope);
    }

    #[inline(always)]
    fn read(
        &mut self,
        message: &'a [u8],
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<Option<Span<'a>>, WalkError> {
        self.summary.spans += 1;
        if self.summary.spans > u64::from(limits.spans_max) {
            let limit = limits.spans_max;
            return Err(WalkError::TooManyItems { limit });
        }
        self.attributes.clear();
        self.events.clear();
        let span = self.span_fields(message, keys, limits)?;
        self.summary.excess += u64::from(self.attributes.excess()) + self.events.excess;
        let valid = ids_are_valid(&span);
        self.summary.rejected += u64::from(!valid);
        Ok(valid.then_some(span))
    }

    #[inline(always)]
    fn tell(&mut self, span: &Span<'a>, _: &KeyTable, _: &WalkLimits) -> Result<(), WalkError> {
        self.sink.span(span, &self.attributes, self.events.taken());
        Ok(())
    }
}

impl<'a, S> Spans<'_, 'a, S> {
    #[inline(always)]
    fn span_fields(
        &mut self,
        message: &'a [u8],
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<Span<'a>, Malformed> {
        let mut span = Span::default();
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                span::ATTRIBUTES => self.attributes.take_row(&mut fields, tag, keys, limits)?,
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
                span::EVENTS => self.events.take(fields.bytes()?, keys, limits)?,
                span::LINKS => drop(fields.bytes()?),
                span::DROPPED_ATTRIBUTES | span::DROPPED_EVENTS | span::DROPPED_LINKS => fields.skip(tag)?,
                _ => fields.skip_unless_known(tag, span::KNOWN)?,
            }
        }
        Ok(span)
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
        if !keys.all_events && !tells_something(message)? {
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

/// Whether the event tells of a flag, by its name or by its keys, or of an exception.
fn tells_something(message: &[u8]) -> Result<bool, Malformed> {
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
    Ok(by_key || matches!(name, b"feature_flag.evaluation" | b"feature_flag" | b"exception"))
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
