//! Log records in a tally.

use super::Tally;
use crate::wire::{Attributes, LogRecord, LogSink, Scope, Slot, Span, Value};

/// A record is judged as a span is that has its event name as name, its severity's text as status message,
/// and begins and ends at its time. Severity and body stand among its attributes, under names of their own.
impl<'a> LogSink<'a> for Tally<'a, '_> {
    fn forget(&mut self) {
        self.abandon();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.enter_resource(attributes);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.enter_scope(scope);
    }

    fn record(&mut self, record: &LogRecord<'a>, attributes: &Attributes<'a>) {
        self.stats.unknown_service += u64::from(self.place.unknown_service);
        if self.hear(record, attributes) {
            self.stats.evaluation_spans += 1;
            return;
        }
        let candidates = self
            .sources
            .get(self.place.origin as usize)
            .map_or(&[][..], |source| source.candidates);
        if candidates.is_empty() {
            return;
        }
        let time = [record.time_unix_nano, record.observed_time_unix_nano]
            .into_iter()
            .find(|time| *time > 0)
            .unwrap_or(self.now.0);
        let span = Span {
            trace_id: record.trace_id,
            span_id: record.span_id,
            name: match record.event_name {
                [] => named_among(attributes, self.compiled.event_name),
                name => name,
            },
            status_message: record.severity_text,
            start_time_unix_nano: time,
            end_time_unix_nano: time,
            ..Span::default()
        };
        // One span may write many records: they are not told apart by its id.
        let span_set = self.apart.span_set.take();
        self.count(&span, attributes, &[], candidates);
        self.apart.span_set = span_set;
    }
}

/// The event name that stands among a record's attributes; empty without one.
fn named_among<'a>(attributes: &Attributes<'a>, slot: Slot) -> &'a [u8] {
    match attributes.get(slot).and_then(|value| value.value().ok()) {
        Some(Value::Str(name)) => name,
        _ => &[],
    }
}
