//! Where the items of a request are, found in one walk.

use crate::pipeline::Signal;
use crate::wire::{Malformed, Reader};

/// Tags of the fields that lead down to items, a level each.
const SPANS_OR_RECORDS: [&[u64]; 3] = [&[0x0a], &[0x12], &[0x12]];
/// The same for data points; the fourth level is the oneof of a metric's data.
const POINTS: [&[u64]; 5] = [
    &[0x0a],
    &[0x12],
    &[0x12],
    &[0x2a, 0x3a, 0x4a, 0x52, 0x5a],
    &[0x0a],
];
/// Level of `POINTS` at which a message has at most one child that counts.
const ONEOF: usize = 3;

/// A message on the way to items.
#[derive(Debug)]
pub(super) struct Node {
    /// The whole field, its tag and length included.
    pub(super) at: (usize, usize),
    /// Tag of the field.
    pub(super) tag: u64,
    /// Where its content begins.
    pub(super) body: usize,
    /// Items of the request before it.
    pub(super) first: u64,
    /// Items in it.
    pub(super) count: u64,
    pub(super) kids: Kids,
}

/// What is inside of a node.
#[derive(Debug)]
pub(super) enum Kids {
    /// Messages on the way.
    Nodes(Vec<Node>),
    /// Items: where each field begins and ends.
    Items(Vec<(usize, usize)>),
    /// Nothing that could be taken apart.
    Whole,
}

/// The request itself, as a node without a field around it.
pub(super) fn index(request: &[u8], signal: Signal) -> Result<Node, Malformed> {
    let levels: &[&[u64]] = match signal {
        Signal::Traces | Signal::Logs => &SPANS_OR_RECORDS,
        Signal::Metrics => &POINTS,
    };
    let mut walk = Walk {
        request,
        levels,
        found: 0,
    };
    walk.node((0, request.len()), 0, 0, 0)
}

struct Walk<'a> {
    request: &'a [u8],
    levels: &'a [&'a [u64]],
    found: u64,
}

impl Walk<'_> {
    fn node(&mut self, at: (usize, usize), tag: u64, body: usize, level: usize) -> Result<Node, Malformed> {
        let (first, end) = (self.found, at.1);
        let last = level + 1 == self.levels.len();
        let (mut nodes, mut items, mut tags) = (Vec::new(), Vec::new(), Vec::new());
        let mut fields = Reader::new(&self.request[body..end]);
        loop {
            let start = end - fields.rest().len();
            let Some(tag) = fields.tag()? else { break };
            if !self.levels[level].contains(&tag) {
                fields.skip(tag)?;
                continue;
            }
            let length = fields.bytes()?.len();
            let stop = end - fields.rest().len();
            if last {
                items.push((start, stop));
                self.found += 1;
            } else {
                nodes.push(self.node((start, stop), tag, stop - length, level + 1)?);
                tags.push(tag);
            }
        }
        let mut kids = if last {
            Kids::Items(items)
        } else {
            Kids::Nodes(nodes)
        };
        if self.levels.len() > ONEOF && level == ONEOF && tags.len() > 1 {
            self.settle_oneof(&mut kids, &tags, first);
        }
        Ok(Node {
            at,
            tag,
            body,
            first,
            count: self.found - first,
            kids,
        })
    }

    /// A metric with several data fields: those of one kind merge, another kind replaces what came before. It
    /// stays in one piece, and counts as the wire walk counts it.
    fn settle_oneof(&mut self, kids: &mut Kids, tags: &[u64], first: u64) {
        let Kids::Nodes(nodes) = &*kids else { return };
        let alike = tags
            .iter()
            .rev()
            .take_while(|tag| Some(*tag) == tags.last())
            .count();
        let counted: u64 = nodes.iter().rev().take(alike).map(|node| node.count).sum();
        self.found = first + counted;
        *kids = Kids::Whole;
    }
}
