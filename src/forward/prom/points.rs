//! The points of a request, one by one, into scratch that is used again.

use crate::forward::fields::{Field, each_field, each_in, last_in};
use crate::wire::{Malformed, Reader};

/// What a metric's points are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

/// What a point belongs to, as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// The message `Resource`.
    pub(crate) resource: &'a [u8],
    /// The message `InstrumentationScope`.
    pub(crate) scope: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) description: &'a [u8],
    pub(crate) unit: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) is_monotonic: bool,
    pub(crate) is_delta: bool,
    /// The whole point.
    pub(crate) point: &'a [u8],
}

impl Head<'_> {
    /// The field of a point that holds its attributes.
    pub(crate) const fn attributes(&self) -> u32 {
        match self.kind {
            Kind::Histogram => 9,
            Kind::Exponential => 1,
            Kind::Gauge | Kind::Sum | Kind::Summary => 7,
        }
    }
}

/// Buckets of an exponential histogram, on one side of zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Side {
    pub(crate) offset: i32,
    pub(crate) counts: Vec<u64>,
}

/// A span beside a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Example {
    pub(crate) trace_id: Vec<u8>,
    pub(crate) span_id: Vec<u8>,
    pub(crate) value: f64,
    pub(crate) time: u64,
}

/// One point, whatever its kind.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) start: u64,
    pub(crate) time: u64,
    pub(crate) is_absent: bool,
    /// Of a gauge or sum.
    pub(crate) value: f64,
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) bounds: Vec<f64>,
    pub(crate) counts: Vec<u64>,
    pub(crate) scale: i32,
    pub(crate) zero: u64,
    pub(crate) zero_threshold: f64,
    pub(crate) positive: Side,
    pub(crate) negative: Side,
    pub(crate) quantiles: Vec<(f64, f64)>,
    pub(crate) examples: Vec<Example>,
}

/// Hands every point to `each`, in the order of the wire.
pub(crate) fn walk_points<'a>(
    request: &'a [u8],
    mut each: impl FnMut(&Head<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    each_in(request, 1, |of_resource| {
        let resource = last_in(of_resource, 1)?;
        each_in(of_resource, 2, |of_scope| {
            let scope = last_in(of_scope, 1)?;
            each_in(of_scope, 2, |metric| {
                walk_metric(resource, scope, metric, &mut each)
            })
        })
    })
}

fn walk_metric<'a>(
    resource: &'a [u8],
    scope: &'a [u8],
    metric: &'a [u8],
    each: &mut impl FnMut(&Head<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let (mut name, mut description, mut unit): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let mut data = None;
    each_field(metric, |field| {
        match field {
            Field::Bytes(1, text) => name = text,
            Field::Bytes(2, text) => description = text,
            Field::Bytes(3, text) => unit = text,
            Field::Bytes(5, inner) => data = Some((Kind::Gauge, inner)),
            Field::Bytes(7, inner) => data = Some((Kind::Sum, inner)),
            Field::Bytes(9, inner) => data = Some((Kind::Histogram, inner)),
            Field::Bytes(10, inner) => data = Some((Kind::Exponential, inner)),
            Field::Bytes(11, inner) => data = Some((Kind::Summary, inner)),
            _ => {}
        }
        Ok(())
    })?;
    let Some((kind, data)) = data else { return Ok(()) };
    let (mut is_delta, mut is_monotonic) = (false, false);
    each_field(data, |field| {
        match field {
            Field::Varint(2, temporality) => is_delta = temporality == 1,
            Field::Varint(3, yes) => is_monotonic = yes != 0,
            _ => {}
        }
        Ok(())
    })?;
    each_in(data, 1, |point| {
        each(&Head {
            resource,
            scope,
            name,
            description,
            unit,
            kind,
            is_monotonic: is_monotonic && kind == Kind::Sum,
            is_delta: is_delta && !matches!(kind, Kind::Gauge | Kind::Summary),
            point,
        })
    })
}

fn zigzag(number: u64) -> Result<i32, Malformed> {
    let number = u32::try_from(number).map_err(|_| Malformed)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

fn read_side(side: &mut Side, message: &[u8]) -> Result<(), Malformed> {
    each_field(message, |field| {
        match field {
            Field::Varint(1, offset) => side.offset = zigzag(offset)?,
            Field::Varint(2, count) => side.counts.push(count),
            Field::Bytes(2, packed) => {
                let mut reader = Reader::new(packed);
                while !reader.is_empty() {
                    side.counts.push(reader.varint()?);
                }
            }
            _ => {}
        }
        Ok(())
    })
}

fn unpack(packed: &[u8], mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    let (chunks, rest) = packed.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Malformed);
    }
    for chunk in chunks {
        each(u64::from_le_bytes(*chunk));
    }
    Ok(())
}

impl Scratch {
    fn clear(&mut self) {
        let empty = |mut side: Side| {
            side.offset = 0;
            side.counts.clear();
            side
        };
        self.bounds.clear();
        self.counts.clear();
        self.quantiles.clear();
        self.examples.clear();
        *self = Self {
            bounds: std::mem::take(&mut self.bounds),
            counts: std::mem::take(&mut self.counts),
            quantiles: std::mem::take(&mut self.quantiles),
            examples: std::mem::take(&mut self.examples),
            positive: empty(std::mem::take(&mut self.positive)),
            negative: empty(std::mem::take(&mut self.negative)),
            ..Self::default()
        };
    }

    /// Reads the point; with its examples if they are `wanted`.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
    pub(crate) fn read(&mut self, head: &Head<'_>, wanted: bool) -> Result<(), Malformed> {
        self.clear();
        let flags = if matches!(head.kind, Kind::Histogram | Kind::Exponential) {
            10
        } else {
            8
        };
        each_field(head.point, |field| {
            match (head.kind, field) {
                (_, Field::Fixed64(2, start)) => self.start = start,
                (_, Field::Fixed64(3, time)) => self.time = time,
                (_, Field::Varint(number, bits)) if number == flags => self.is_absent = bits & 1 == 1,
                (Kind::Gauge | Kind::Sum, Field::Fixed64(4, bits)) => self.value = f64::from_bits(bits),
                (Kind::Gauge | Kind::Sum, Field::Fixed64(6, number)) => {
                    self.value = number.cast_signed() as f64;
                }
                (Kind::Gauge | Kind::Sum, Field::Bytes(5, it)) if wanted => self.example(it)?,
                (Kind::Histogram, Field::Bytes(8, it)) if wanted => self.example(it)?,
                (Kind::Exponential, Field::Bytes(11, it)) if wanted => self.example(it)?,
                (_, Field::Fixed64(4, count)) => self.count = count,
                (_, Field::Fixed64(5, bits)) => self.sum = Some(f64::from_bits(bits)),
                (Kind::Histogram, Field::Fixed64(6, count)) => self.counts.push(count),
                (Kind::Histogram, Field::Bytes(6, packed)) => unpack(packed, |it| self.counts.push(it))?,
                (Kind::Histogram, Field::Fixed64(7, bits)) => self.bounds.push(f64::from_bits(bits)),
                (Kind::Histogram, Field::Bytes(7, packed)) => {
                    unpack(packed, |bits| self.bounds.push(f64::from_bits(bits)))?;
                }
                (Kind::Exponential, Field::Varint(6, scale)) => self.scale = zigzag(scale)?,
                (Kind::Exponential, Field::Fixed64(7, zero)) => self.zero = zero,
                (Kind::Exponential, Field::Bytes(8, side)) => read_side(&mut self.positive, side)?,
                (Kind::Exponential, Field::Bytes(9, side)) => read_side(&mut self.negative, side)?,
                (Kind::Exponential, Field::Fixed64(14, bits)) => self.zero_threshold = f64::from_bits(bits),
                (Kind::Summary, Field::Bytes(6, quantile)) => self.quantile(quantile)?,
                _ => {}
            }
            Ok(())
        })
    }

    fn quantile(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut pair = (0.0, 0.0);
        each_field(message, |field| {
            match field {
                Field::Fixed64(1, bits) => pair.0 = f64::from_bits(bits),
                Field::Fixed64(2, bits) => pair.1 = f64::from_bits(bits),
                _ => {}
            }
            Ok(())
        })?;
        self.quantiles.push(pair);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
    fn example(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut it = Example::default();
        each_field(message, |field| {
            match field {
                Field::Fixed64(2, time) => it.time = time,
                Field::Fixed64(3, bits) => it.value = f64::from_bits(bits),
                Field::Fixed64(6, number) => it.value = number.cast_signed() as f64,
                Field::Bytes(4, id) if id.len() == 8 => it.span_id = id.to_vec(),
                Field::Bytes(5, id) if id.len() == 16 => it.trace_id = id.to_vec(),
                _ => {}
            }
            Ok(())
        })?;
        if !it.trace_id.is_empty() {
            self.examples.push(it);
        }
        Ok(())
    }
}
