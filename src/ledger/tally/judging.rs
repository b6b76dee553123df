//! One span, or a log record seen as one: judged, found its group, counted there.

use super::apart::Counted;
use super::{Tally, timed, weigh};
use crate::pipeline::Signal;
use crate::sli::ObjectiveIndex;
use crate::wire::{Attributes, Event, Span};

impl<'a, 'c> Tally<'a, 'c> {
    /// Judges and counts a span, or a log record seen as one.
    #[inline]
    pub(super) fn count(
        &mut self,
        span: &Span<'a>,
        attributes: &Attributes<'a>,
        events: &[Event<'a>],
        candidates: &'c [ObjectiveIndex],
    ) -> Counted {
        let Self {
            compiled,
            signal,
            place,
            groups,
            apart,
            sources,
            weigher,
            stats,
            watched,
            now,
            ..
        } = self;
        let scope = place.scope();
        let context = place.context(span, attributes, &scope);
        if *signal == Signal::Traces && watched.is_watching() {
            watched.span(&context);
        }
        let (good, bad) = stats.judge(&compiled.objectives, &context, candidates);
        if good | bad == 0 {
            return Counted::NOT;
        }
        if apart.is_repeated(span) {
            stats.repeated_spans += 1;
            return Counted::NOT;
        }
        let said = weigher.read(span.trace_state, stats);
        if said == weigh::Said::None {
            return Counted::NOT;
        }
        stats.judged += 1;
        let bucket = stats.bucket(span.end_time_unix_nano, *now);
        let Some(group) = groups.number(compiled, place, &context, events, bucket) else {
            return Counted::NOT;
        };
        groups.count(group, candidates.len(), good, bad);
        if let Some(source) = sources.get_mut(place.origin as usize) {
            if said != weigh::Said::Nothing || !source.declared.is_empty() {
                groups.weigh(group, said, &source.declared, (good, bad));
            } else if *signal == Signal::Traces {
                // Records are not sampled by what became of their trace.
                source.signs.see(span.end_time_unix_nano, *now);
            }
            if source.details.quantiles & (good | bad) != 0 {
                timed::note(&mut groups.timed, group, span, source, said, (good, bad));
            }
        }
        let mut counted = Counted::of(group, good, bad, said.weight());
        if bad != 0 {
            let route = compiled.endpoint.endpoint(&context);
            let raw = compiled.signatures.read(&context, events, route, place.origin);
            counted.signature = apart.bad(raw, group, bad, span.trace_id);
        }
        counted
    }
}
