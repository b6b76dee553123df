//! Mutations of encoded requests: of the tree of fields (so that the change lands where it hurts), and of the
//! bytes.

#![allow(clippy::cast_possible_truncation, reason = "encoding takes numbers apart")]

use super::generate::Entropy;

/// What a message is, as far as its embedded messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request(Signal),
    ResourceItems(Signal),
    ScopeItems(Signal),
    Resource,
    Scope,
    Span,
    Metric,
    NumberData,
    HistogramData,
    ExponentialData,
    SummaryData,
    NumberPoint,
    HistogramPoint,
    ExponentialPoint,
    SummaryPoint,
    Record,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    Array,
    KvList,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Kind {
    /// The kind of the embedded message in `field`.
    fn child(self, field: u64) -> Option<Kind> {
        match (self, field) {
            (Kind::Request(signal), 1) => Some(Kind::ResourceItems(signal)),
            (Kind::ResourceItems(_), 1) => Some(Kind::Resource),
            (Kind::ResourceItems(signal), 2) => Some(Kind::ScopeItems(signal)),
            (Kind::ScopeItems(_), 1) => Some(Kind::Scope),
            (Kind::ScopeItems(Signal::Traces), 2) => Some(Kind::Span),
            (Kind::ScopeItems(Signal::Metrics), 2) => Some(Kind::Metric),
            (Kind::ScopeItems(Signal::Logs), 2) => Some(Kind::Record),
            (Kind::Metric, 5 | 7) => Some(Kind::NumberData),
            (Kind::Metric, 9) => Some(Kind::HistogramData),
            (Kind::Metric, 10) => Some(Kind::ExponentialData),
            (Kind::Metric, 11) => Some(Kind::SummaryData),
            (Kind::NumberData, 1) => Some(Kind::NumberPoint),
            (Kind::HistogramData, 1) => Some(Kind::HistogramPoint),
            (Kind::ExponentialData, 1) => Some(Kind::ExponentialPoint),
            (Kind::SummaryData, 1) => Some(Kind::SummaryPoint),
            (Kind::NumberPoint | Kind::SummaryPoint, 7)
            | (Kind::HistogramPoint, 9)
            | (Kind::ExponentialPoint, 1) => Some(Kind::KeyValue),
            (Kind::ExponentialPoint, 8 | 9) | (Kind::SummaryPoint, 6) => Some(Kind::Unknown),
            (Kind::Resource, 1) | (Kind::Scope | Kind::Event, 3) | (Kind::Link, 4) => Some(Kind::KeyValue),
            (Kind::Span, 9) | (Kind::Metric, 12) | (Kind::Record, 6) => Some(Kind::KeyValue),
            (Kind::Span, 11) => Some(Kind::Event),
            (Kind::Span, 13) => Some(Kind::Link),
            (Kind::Span, 15) => Some(Kind::Status),
            (Kind::KeyValue, 2) | (Kind::Record, 5) | (Kind::Array, 1) => Some(Kind::AnyValue),
            (Kind::AnyValue, 5) => Some(Kind::Array),
            (Kind::AnyValue, 6) => Some(Kind::KvList),
            (Kind::KvList, 1) => Some(Kind::KeyValue),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Field {
    number: u64,
    payload: Payload,
}

#[derive(Clone, Debug)]
enum Payload {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(Vec<u8>),
    Message(Tree),
    Group(Vec<Field>),
}

#[derive(Clone, Debug)]
pub struct Tree {
    kind: Kind,
    fields: Vec<Field>,
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

impl Tree {
    /// The fields of a message that prost encoded.
    pub fn parse(kind: Kind, mut bytes: &[u8]) -> Tree {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = take_varint(&mut bytes);
            let number = tag >> 3;
            let payload = match tag & 7 {
                0 => Payload::Varint(take_varint(&mut bytes)),
                1 => {
                    let (head, rest) = bytes.split_first_chunk().unwrap();
                    bytes = rest;
                    Payload::Fixed64(*head)
                }
                5 => {
                    let (head, rest) = bytes.split_first_chunk().unwrap();
                    bytes = rest;
                    Payload::Fixed32(*head)
                }
                _ => {
                    let length = take_varint(&mut bytes) as usize;
                    let (head, rest) = bytes.split_at(length);
                    bytes = rest;
                    match kind.child(number) {
                        None | Some(Kind::Unknown) => Payload::Bytes(head.to_vec()),
                        Some(child) => Payload::Message(Tree::parse(child, head)),
                    }
                }
            };
            fields.push(Field { number, payload });
        }
        Tree { kind, fields }
    }

    /// Encodes the tree; some varints longer than they need be, as `padding` says.
    pub fn encode(&self, padding: &mut Entropy<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode_fields(&self.fields, padding, &mut out);
        out
    }

    /// The messages of the tree in preorder, counted.
    fn messages(&self) -> usize {
        let below = |field: &Field| {
            if let Payload::Message(tree) = &field.payload {
                tree.messages()
            } else {
                0
            }
        };
        1 + self.fields.iter().map(below).sum::<usize>()
    }

    fn message(&mut self, mut index: usize) -> &mut Tree {
        if index == 0 {
            return self;
        }
        index -= 1;
        let mut chosen = None;
        for (position, field) in self.fields.iter().enumerate() {
            let Payload::Message(tree) = &field.payload else {
                continue;
            };
            let below = tree.messages();
            if index < below {
                chosen = Some(position);
                break;
            }
            index -= below;
        }
        match &mut self.fields[chosen.unwrap()].payload {
            Payload::Message(tree) => tree.message(index),
            _ => unreachable!("chosen among messages"),
        }
    }
}

fn put_varint(mut value: u64, pad: u8, out: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(10);
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    for _ in 0..pad {
        if bytes.len() < 10 {
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
        }
    }
    out.extend(bytes);
}

fn encode_fields(fields: &[Field], padding: &mut Entropy<'_>, out: &mut Vec<u8>) {
    for field in fields {
        let mut pad = || padding.byte().saturating_sub(250);
        let tag = field.number << 3;
        match &field.payload {
            Payload::Varint(value) => {
                put_varint(tag, pad(), out);
                put_varint(*value, pad(), out);
            }
            Payload::Fixed64(bytes) => {
                put_varint(tag | 1, pad(), out);
                out.extend(bytes);
            }
            Payload::Fixed32(bytes) => {
                put_varint(tag | 5, pad(), out);
                out.extend(bytes);
            }
            Payload::Bytes(bytes) => {
                put_varint(tag | 2, pad(), out);
                put_varint(bytes.len() as u64, pad(), out);
                out.extend(bytes);
            }
            Payload::Message(tree) => {
                put_varint(tag | 2, pad(), out);
                let pad = pad();
                let bytes = tree.encode(padding);
                put_varint(bytes.len() as u64, pad, out);
                out.extend(bytes);
            }
            Payload::Group(fields) => {
                put_varint(tag | 3, pad(), out);
                encode_fields(fields, padding, out);
                put_varint(tag | 4, 0, out);
            }
        }
    }
}

/// A field of any number and payload.
fn any_field(entropy: &mut Entropy<'_>, levels: u8) -> Field {
    let number = match entropy.below(4) {
        0 => u64::from(entropy.below(18)),
        1 => u64::from(entropy.byte()) + 17,
        2 => (1 << 29) - 1,
        _ => 1000 + u64::from(entropy.byte()),
    };
    let payload = match entropy.below(if levels == 0 { 4 } else { 5 }) {
        0 => Payload::Varint(entropy.number()),
        1 => Payload::Fixed64(entropy.number().to_le_bytes()),
        2 => Payload::Fixed32([entropy.byte(); 4]),
        3 => Payload::Bytes((0..entropy.below(5)).map(|_| entropy.byte()).collect()),
        _ => Payload::Group(
            (0..entropy.below(4))
                .map(|_| any_field(entropy, levels - 1))
                .collect(),
        ),
    };
    Field { number, payload }
}

/// One change to one message of the tree.
pub fn change_tree(tree: &mut Tree, entropy: &mut Entropy<'_>) {
    let index = usize::from(u16::from_be_bytes([entropy.byte(), entropy.byte()]));
    let stranger = {
        let messages = tree.messages();
        let donor = tree.message(usize::from(entropy.byte()) % messages);
        donor.fields.first().cloned()
    };
    let messages = tree.messages();
    let kind = tree.message(index % messages).kind;
    let twin = (0..messages)
        .map(|step| (index + 1 + step) % messages)
        .find(|other| {
            let other = tree.message(*other);
            other.kind == kind && !other.fields.is_empty()
        });
    let like = twin
        .map(|twin| tree.message(twin).fields.clone())
        .unwrap_or_default();
    let message = tree.message(index % messages);
    let choice = entropy.below(15);
    let count = message.fields.len();
    let at = if count == 0 {
        0
    } else {
        usize::from(entropy.byte()) % count
    };
    match choice {
        0 => message.fields.reverse(),
        1 => message.fields.insert(at, any_field(entropy, 3)),
        2 => message.fields.extend(stranger),
        12 => message.fields.extend(like),
        13 => drop(message.fields.splice(0..0, like)),
        14 if kind == Kind::KeyValue => spread_value(message, like, entropy),
        _ if count == 0 => message.fields.push(any_field(entropy, 3)),
        3 => drop(message.fields.remove(at)),
        4 => {
            let twin = message.fields[at].clone();
            message.fields.push(twin);
        }
        5 => {
            let other = usize::from(entropy.byte()) % count;
            message.fields.swap(at, other);
        }
        6 => message.fields[at].number = u64::from(entropy.below(18)),
        7 => message.fields[at].payload = any_field(entropy, 2).payload,
        _ => split_or_shake(message, at, entropy),
    }
}

/// Sets the value of a pair, and again, and again: of the same kind and of others.
fn spread_value(pair: &mut Tree, like: Vec<Field>, entropy: &mut Entropy<'_>) {
    let list = |number: u64, kind: Kind, entropy: &mut Entropy<'_>| {
        let item = Field {
            number: 3,
            payload: Payload::Varint(u64::from(entropy.byte())),
        };
        let item = Tree {
            kind: Kind::AnyValue,
            fields: vec![item],
        };
        let items = vec![Field {
            number: 1,
            payload: Payload::Message(item),
        }];
        Field {
            number,
            payload: Payload::Message(Tree { kind, fields: items }),
        }
    };
    pair.fields.extend(like);
    for _ in 0..entropy.below(5) {
        let fields = (0..entropy.below(4)).map(|_| match entropy.below(4) {
            0 => Field {
                number: 1,
                payload: Payload::Bytes(vec![b'x']),
            },
            1 => list(6, Kind::KvList, entropy),
            _ => list(5, Kind::Array, entropy),
        });
        let value = Tree {
            kind: Kind::AnyValue,
            fields: fields.collect(),
        };
        pair.fields.push(Field {
            number: 2,
            payload: Payload::Message(value),
        });
    }
}

/// Splits an embedded message into two fields, which merge; or replaces a scalar.
fn split_or_shake(message: &mut Tree, at: usize, entropy: &mut Entropy<'_>) {
    let field = &mut message.fields[at];
    match &mut field.payload {
        Payload::Message(tree) => {
            let cut = usize::from(entropy.byte()) % (tree.fields.len() + 1);
            let tail = tree.fields.split_off(cut);
            let rest = Field {
                number: field.number,
                payload: Payload::Message(Tree {
                    kind: tree.kind,
                    fields: tail,
                }),
            };
            let behind = at + 1 + usize::from(entropy.byte()) % (message.fields.len() - at);
            message.fields.insert(behind, rest);
        }
        Payload::Varint(value) => *value = entropy.number(),
        Payload::Fixed64(bytes) => *bytes = entropy.number().to_le_bytes(),
        Payload::Fixed32(bytes) => *bytes = [entropy.byte(); 4],
        Payload::Bytes(bytes) => {
            bytes.pop();
            if entropy.below(2) == 0 {
                bytes.extend([entropy.byte(), entropy.byte()]);
            }
        }
        Payload::Group(fields) => fields.push(any_field(entropy, 1)),
    }
}

/// One change to the bytes.
pub fn change_bytes(bytes: &mut Vec<u8>, entropy: &mut Entropy<'_>) {
    let at = usize::from(u16::from_be_bytes([entropy.byte(), entropy.byte()]));
    let at = if bytes.is_empty() { 0 } else { at % bytes.len() };
    match entropy.below(7) {
        _ if bytes.is_empty() => bytes.push(entropy.byte()),
        0 => bytes[at] ^= 1 << entropy.below(8),
        1 => bytes[at] = entropy.byte(),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, entropy.byte()),
        4 => drop(bytes.remove(at)),
        5 => {
            let again = bytes[at..].to_vec();
            bytes.extend(again);
        }
        _ => bytes[at] = bytes[at].wrapping_add(1),
    }
}
