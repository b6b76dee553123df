//! A request taken apart at its items.

use super::Pieces;
use super::index::{Kids, Node, index};
use crate::pipeline::Signal;
use crate::wire::Malformed;
use bytes::Bytes;

/// A request, ready to be taken apart.
#[derive(Debug)]
pub(in crate::forward) struct Split {
    request: Bytes,
    root: Node,
}

/// A stretch of the result.
enum Stretch {
    /// Bytes of the request, from and to.
    Of(usize, usize),
    /// New bytes: a tag and a length.
    New(Vec<u8>),
}

impl Split {
    /// Finds the items of `request`.
    pub(in crate::forward) fn new(request: Bytes, signal: Signal) -> Result<Self, Malformed> {
        let root = index(&request, signal)?;
        Ok(Self { request, root })
    }

    /// Items in it.
    pub(in crate::forward) fn items(&self) -> u64 {
        self.root.count
    }

    /// A request with the items `from..to`, each under its resource and scope.
    pub(in crate::forward) fn slice(&self, from: u64, to: u64) -> Pieces {
        if from == 0 && to >= self.root.count {
            return vec![self.request.clone()];
        }
        let mut out = Vec::new();
        self.body(&self.root, from, to, &mut out);
        let mut pieces = Pieces::with_capacity(out.len());
        for stretch in out {
            pieces.push(match stretch {
                Stretch::Of(start, end) => self.request.slice(start..end),
                Stretch::New(bytes) => bytes.into(),
            });
        }
        pieces
    }

    /// The content of `node` with the items `from..to` only, and its length.
    fn body(&self, node: &Node, from: u64, to: u64, out: &mut Vec<Stretch>) -> usize {
        let mut written = 0;
        let mut own = node.body;
        // What lies between children belongs to the message itself: its resource, its scope, its name.
        let keep = |out: &mut Vec<Stretch>, start: usize, end: usize| {
            push(out, start, end);
            end - start
        };
        match &node.kids {
            Kids::Nodes(kids) => {
                for kid in kids {
                    written += keep(out, own, kid.at.0);
                    own = kid.at.1;
                    written += self.field(kid, from, to, out);
                }
            }
            Kids::Items(items) => {
                let wanted = from.saturating_sub(node.first)..to.saturating_sub(node.first);
                for (item, &(start, end)) in (0..).zip(items) {
                    written += keep(out, own, start);
                    own = end;
                    if wanted.contains(&item) {
                        written += keep(out, start, end);
                    }
                }
            }
            Kids::Whole => {}
        }
        written + keep(out, own, node.at.1)
    }

    /// The field of `kid`, whole, in part, or not at all.
    fn field(&self, kid: &Node, from: u64, to: u64, out: &mut Vec<Stretch>) -> usize {
        let end = kid.first + kid.count;
        // One without items goes with what follows it, or with the last there is.
        let empty_here =
            kid.count == 0 && (from..to).contains(&kid.first.min(self.root.count.saturating_sub(1)));
        if empty_here || (kid.count > 0 && from <= kid.first && end <= to) {
            push(out, kid.at.0, kid.at.1);
            return kid.at.1 - kid.at.0;
        }
        if kid.count == 0 || end <= from || to <= kid.first {
            return 0;
        }
        if matches!(kid.kids, Kids::Whole) {
            // It cannot be divided: it goes where its first item goes.
            if !(from..to).contains(&kid.first) {
                return 0;
            }
            push(out, kid.at.0, kid.at.1);
            return kid.at.1 - kid.at.0;
        }
        let mark = out.len();
        out.push(Stretch::New(Vec::new()));
        let length = self.body(kid, from, to, out);
        let mut head = Vec::with_capacity(12);
        varint(kid.tag, &mut head);
        varint(length as u64, &mut head);
        let written = head.len() + length;
        out[mark] = Stretch::New(head);
        written
    }
}

/// Adds bytes of the request; those that follow what is there lengthen it.
fn push(out: &mut Vec<Stretch>, start: usize, end: usize) {
    if start == end {
        return;
    }
    match out.last_mut() {
        Some(Stretch::Of(_, before)) if *before == start => *before = end,
        _ => out.push(Stretch::Of(start, end)),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
