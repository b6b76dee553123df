//! Evidence on its way from the span that it names to the local root.

use super::batch::{Group, Key, NONE, Place, Told};
use super::ring::{Node, Ring, Waiting};
use super::shift::{Request, Shift};
use crate::cohort::flags::Rank;
use crate::config::Join as JoinConfig;
use std::cmp::Reverse;
use std::sync::Arc;

/// Spans that one piece of evidence passes at most: no program nests deeper, and a ring of parents ends.
const STEPS_MAX: u32 = 256;

/// Flags that evidence may tell of one span.
const FLAGS_MAX: usize = 64;

/// What decides between two tellings of one flag: a usable variant, the better rank, the later time; the
/// variant's name only makes equals stand in one order.
type Standing<'v> = (Reverse<bool>, Reverse<Rank>, u64, Option<&'v str>);

/// What is known of a flag of a request.
struct Known {
    node: u32,
    place: Option<Place>,
}

impl Ring {
    /// Counts the evidence for every counted span from `key` up, and lets it wait where that way is not known
    /// yet.
    pub(super) fn climb(
        &mut self,
        mut key: Key,
        mut waiting: Waiting,
        config: &JoinConfig,
        shift: &mut Shift<'_>,
    ) {
        let mut late = false;
        for _ in 0..STEPS_MAX {
            let Some(number) = self.find(&key) else {
                return self.park(key, waiting, config, shift);
            };
            let Some(entry) = self
                .entry(number)
                .filter(|entry| entry.service == waiting.service)
            else {
                break;
            };
            let (ends, parent) = (entry.ends, entry.parent);
            if let Some(group) = entry.group.clone() {
                if group.bucket.saturating_mul(crate::ledger::BUCKET_SECS) + config.keep_secs
                    < shift.now.secs()
                {
                    late = true;
                } else {
                    self.tell(number, &group, &waiting, config, shift);
                    shift.stats.joined += u64::from(!waiting.joined);
                    waiting.joined = true;
                }
            }
            if ends || parent == 0 {
                break;
            }
            key[2] = parent;
        }
        if !waiting.joined {
            let outcome = if late {
                &mut shift.stats.late
            } else {
                &mut shift.stats.no_request
            };
            *outcome += 1;
        }
    }

    /// Counts what was told for one request.
    fn tell(
        &mut self,
        number: u32,
        group: &Arc<Group>,
        waiting: &Waiting,
        config: &JoinConfig,
        shift: &mut Shift<'_>,
    ) {
        for told in &*waiting.told {
            let Some(known) = self.known_if_better(number, group, told, waiting.at) else {
                continue;
            };
            let Some(entry) = self.entry(number) else { return };
            let has_room = self.has_node_room(config) && self.nodes_of(entry.joined) < FLAGS_MAX;
            if known.node == NONE && !has_room {
                shift.stats.refused += 1;
                continue;
            }
            let request = Request {
                group,
                good: entry.good,
                bad: entry.bad,
                weight: entry.weight,
                trace: [entry.key[0], entry.key[1]],
                signature: entry.signature.clone(),
            };
            if let Some(place) = known.place.filter(|place| place.live) {
                shift.leave(&request, place);
            }
            let overflown = group.overflown || self.is_overflown(entry.joined);
            let place = told
                .variant
                .as_deref()
                .map(|variant| shift.enter(&request, told, variant, overflown));
            let node = Node {
                next: NONE,
                flag: told.id,
                rank: told.rank,
                at: waiting.at,
                variant: told.variant.clone(),
                place,
            };
            match self.nodes.get_mut(known.node as usize) {
                Some(former) => {
                    let next = former.next;
                    *former = Node { next, ..node };
                }
                None => self.push_node(number, node),
            }
        }
    }

    /// What is known of the flag, unless that stands above what is told now.
    fn known_if_better(&self, number: u32, group: &Group, told: &Told, at: u64) -> Option<Known> {
        let new = standing(told.variant.as_deref(), told.rank, at);
        let mut node = self.entry(number)?.joined;
        while let Some(joined) = self.nodes.get(node as usize) {
            if joined.flag == told.id {
                let better = new > standing(joined.variant.as_deref(), joined.rank, joined.at);
                return better.then_some(Known {
                    node,
                    place: joined.place,
                });
            }
            node = joined.next;
        }
        let base = group.flags.iter().find(|base| base.id == told.id);
        let place = base.and_then(|base| base.place);
        // What a request says itself has ranks of its own: no ties. A flag that is told of without a variant
        // is at least not absent.
        let better = match base {
            None => true,
            Some(base) if base.place.is_none() || base.rank == Rank::Absent => true,
            Some(base) => told.variant.is_some() && told.rank < base.rank,
        };
        better.then_some(Known { node: NONE, place })
    }

    fn nodes_of(&self, mut node: u32) -> usize {
        let mut count = 0;
        while let Some(joined) = self.nodes.get(node as usize) {
            count += 1;
            node = joined.next;
        }
        count
    }

    fn is_overflown(&self, mut node: u32) -> bool {
        while let Some(joined) = self.nodes.get(node as usize) {
            if joined.place.is_some_and(|place| !place.live) {
                return true;
            }
            node = joined.next;
        }
        false
    }
}

fn standing(variant: Option<&str>, rank: Rank, at: u64) -> Standing<'_> {
    (Reverse(variant.is_none()), Reverse(rank), at, variant)
}
