//! The group of a span, and what counts there.

use super::{BEYOND, GROUPS_MAX, GroupCounts, GroupKey, Groups, Place, for_each_bit, weigh};
use crate::ledger::tap::Compiled;
use crate::sli::SpanContext;
use crate::wire::Event;

impl<'a> Groups<'a> {
    /// The number of the span's group.
    #[inline]
    pub(super) fn number(
        &mut self,
        compiled: &Compiled,
        place: &Place<'a>,
        span: &SpanContext<'_, 'a>,
        events: &[Event<'a>],
        bucket: u64,
    ) -> Option<u32> {
        let Place { origin, context, .. } = *place;
        self.pieces.clear();
        compiled
            .extractor
            .collect_item(span.attributes, events, &mut self.pieces);
        let room = self.keys.len() < GROUPS_MAX;
        let deployment = match compiled
            .extractor
            .own_deployment(span.attributes, &place.inherited)
        {
            None => Some(place.deployment),
            own => self.deployments.number(own, room),
        };
        let flags = self.flags.number(context, &self.pieces, room);
        let endpoint = self.endpoints.number(compiled.endpoint.endpoint(span), room);
        let own = match (deployment, flags, endpoint) {
            (Some(deployment), Some(flags), Some(endpoint)) => self.keys.number(
                GroupKey {
                    origin,
                    deployment,
                    flags,
                    bucket,
                    endpoint,
                },
                room,
            ),
            _ => None,
        };
        let beyond = GroupKey {
            origin,
            deployment: BEYOND,
            flags: BEYOND,
            bucket,
            endpoint: BEYOND,
        };
        own.or_else(|| self.keys.number(beyond, true))
    }

    /// Makes room for a group of `objectives` objectives.
    pub(super) fn touch(&mut self, group: u32, objectives: usize) {
        if group as usize == self.spans.len() {
            self.spans.push((self.counts.len(), 0));
            self.counts
                .resize(self.counts.len() + objectives, GroupCounts::default());
        }
    }

    /// Adds events of one objective to a group that has room.
    pub(super) fn add(&mut self, group: u32, lane: u32, good: u64, bad: u64) {
        let Some((begin, items)) = self.spans.get_mut(group as usize) else {
            return;
        };
        if let Some(counts) = self.counts.get_mut(*begin + lane as usize) {
            *items += u32::from(good + bad > 0);
            counts.good = counts.good.saturating_add(good);
            counts.bad = counts.bad.saturating_add(bad);
        }
    }

    /// Adds a span to a group of `objectives` objectives.
    #[inline]
    pub(super) fn count(&mut self, group: u32, objectives: usize, good: u64, bad: u64) {
        let at = group as usize;
        if at == self.spans.len() {
            self.spans.push((self.counts.len(), 0));
            self.counts
                .resize(self.counts.len() + objectives, GroupCounts::default());
        }
        let Some((begin, spans)) = self.spans.get_mut(at) else {
            return;
        };
        *spans += 1;
        let Some(counts) = self.counts.get_mut(*begin..*begin + objectives) else {
            return;
        };
        for_each_bit(good, |bit| {
            if let Some(count) = counts.get_mut(bit) {
                count.good += 1;
            }
        });
        for_each_bit(bad, |bit| {
            if let Some(count) = counts.get_mut(bit) {
                count.bad += 1;
            }
        });
    }
}

impl Groups<'_> {
    /// Adds what a span of a group stands for.
    pub(super) fn weigh(
        &mut self,
        group: u32,
        said: weigh::Said,
        declared: &[Option<weigh::Declared>],
        judged: (u64, u64),
    ) {
        if let Some((begin, _)) = self.spans.get(group as usize) {
            self.weights.add(*begin, said, declared, judged);
        }
    }
}
