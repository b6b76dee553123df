//! What the walk over metrics hands out, and to whom.

use super::identity::{Identity, POINT};
use super::reader::{Reader, fixed64, len, varint};
use super::{Attributes, Malformed, Scope};

/// The five kinds of data, and what belongs to each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Values as they are.
    #[default]
    Gauge,
    /// Sums.
    Sum,
    /// Histograms with explicit bounds.
    Histogram,
    /// Histograms whose bounds are powers.
    ExponentialHistogram,
    /// Quantiles.
    Summary,
}

/// `AGGREGATION_TEMPORALITY_DELTA`.
pub const TEMPORALITY_DELTA: i32 = 1;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
pub const TEMPORALITY_CUMULATIVE: i32 = 2;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
pub const NO_RECORDED_VALUE: u32 = 1;

/// What all points of one metric share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metric<'a> {
    /// `Metric.name`.
    pub name: &'a [u8],
    /// `Metric.unit`.
    pub unit: &'a [u8],
    /// Which data it has.
    pub kind: MetricKind,
    /// Temporality as on the wire; 0 where the kind has none.
    pub temporality: i32,
    /// Whether a sum only grows.
    pub is_monotonic: bool,
    /// How many points follow.
    pub points: u64,
}

/// One point. What is large stays encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of the five data points of OTLP")]
pub struct Point<'a> {
    pub start_time_unix_nano: u64,
    pub time_unix_nano: u64,
    pub flags: u32,
    pub value: PointValue<'a>,
    pub(super) message: &'a [u8],
    pub(super) attributes: u64,
}

impl Point<'_> {
    /// The same point with another time.
    #[must_use]
    pub fn at(mut self, time_unix_nano: u64) -> Self {
        self.time_unix_nano = time_unix_nano;
        self
    }

    /// The identity of its attributes.
    pub fn identity(&self) -> Identity {
        let mut identity = Identity::default();
        // The message has been read once, so its framing holds.
        let _ = identity.add_attributes(POINT, self.message, self.attributes);
        identity
    }

    /// Calls `each` with every attribute: key and encoded KeyValue. For the few who cannot say beforehand
    /// which keys they want.
    pub fn for_each_attribute(&self, mut each: impl FnMut(&[u8], super::AnyValue<'_>)) {
        let mut fields = Reader::new(self.message);
        while let Ok(Some(tag)) = fields.tag() {
            if tag != self.attributes {
                if fields.skip(tag).is_err() {
                    return;
                }
                continue;
            }
            let Ok(pair) = fields.bytes() else { return };
            if let Ok((key, value)) = super::any_value::key_value(pair) {
                each(key, value);
            }
        }
    }

    /// Whether the point says that there is no value.
    pub fn has_no_value(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }
}

/// The value of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointValue<'a> {
    /// Of a gauge or a sum.
    Number(NumberValue),
    /// Of a histogram.
    Histogram(HistogramValue<'a>),
    /// Of an exponential histogram.
    Exponential(ExponentialValue<'a>),
    /// Of a summary.
    Summary(SummaryValue<'a>),
}

/// The value of a NumberDataPoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum NumberValue {
    /// None was set.
    #[default]
    Missing,
    /// `as_int`.
    Int(i64),
    /// `as_double`.
    Double(f64),
}

/// The value of a HistogramDataPoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of HistogramDataPoint")]
pub struct HistogramValue<'a> {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub bucket_counts: Repeated<'a>,
    pub explicit_bounds: Repeated<'a>,
}

/// The value of an ExponentialHistogramDataPoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are those of ExponentialHistogramDataPoint"
)]
pub struct ExponentialValue<'a> {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Buckets<'a>,
    pub negative: Buckets<'a>,
}

/// The value of a SummaryDataPoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of SummaryDataPoint")]
pub struct SummaryValue<'a> {
    pub count: u64,
    pub sum: f64,
    pub(super) message: &'a [u8],
}

/// A repeated field of eight-byte numbers, still encoded: one packed piece, or scattered over its message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Repeated<'a> {
    packed: &'a [u8],
    seen: bool,
    /// The message and the field's number, when there is more than the one piece.
    scattered: Option<(&'a [u8], u32)>,
}

impl<'a> Repeated<'a> {
    /// Takes a packed piece.
    pub(super) fn take(&mut self, piece: &'a [u8], message: &'a [u8], field: u32) -> Result<(), Malformed> {
        if !piece.len().is_multiple_of(8) {
            return Err(Malformed);
        }
        if std::mem::replace(&mut self.seen, true) {
            self.scattered = Some((message, field));
        } else {
            self.packed = piece;
        }
        Ok(())
    }

    /// Takes note of a number on its own.
    pub(super) fn take_one(&mut self, message: &'a [u8], field: u32) {
        self.scattered = Some((message, field));
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.scattered.is_none() && self.packed.is_empty()
    }

    /// The bytes, if they stand in one piece: a key for whoever remembers what it read of them.
    pub fn packed(&self) -> Option<&'a [u8]> {
        self.scattered.is_none().then_some(self.packed)
    }

    /// Calls `each` with the bits of every number.
    pub fn for_each(&self, mut each: impl FnMut(u64)) {
        let Some((message, field)) = self.scattered else {
            return each_of_eight(self.packed, &mut each);
        };
        let mut fields = Reader::new(message);
        while let Ok(Some(tag)) = fields.tag() {
            let read = if tag == len(field) {
                fields.bytes().map(|piece| each_of_eight(piece, &mut each))
            } else if tag == fixed64(field) {
                fields.fixed64().map(&mut each)
            } else {
                fields.skip(tag)
            };
            if read.is_err() {
                return;
            }
        }
    }
}

fn each_of_eight(packed: &[u8], each: &mut impl FnMut(u64)) {
    for eight in packed.as_chunks::<8>().0 {
        each(u64::from_le_bytes(*eight));
    }
}

/// One side of an exponential histogram, still encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Buckets<'a> {
    /// `Buckets.offset`.
    pub offset: i32,
    message: &'a [u8],
    seen: bool,
    /// The point and the field's number, when the message came in several pieces.
    scattered: Option<(&'a [u8], u32)>,
}

const OFFSET: u64 = varint(1);
const COUNTS_PACKED: u64 = len(2);
const COUNT: u64 = varint(2);

impl<'a> Buckets<'a> {
    /// Takes an encoded Buckets of the field `field` of `point`.
    pub(super) fn take(&mut self, message: &'a [u8], point: &'a [u8], field: u32) -> Result<(), Malformed> {
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                OFFSET => self.offset = sint32(fields.varint()?),
                COUNTS_PACKED => {
                    let mut counts = Reader::new(fields.bytes()?);
                    while !counts.is_empty() {
                        counts.varint()?;
                    }
                }
                COUNT => drop(fields.varint()?),
                _ => fields.skip_unless_known(tag, 0b110)?,
            }
        }
        if std::mem::replace(&mut self.seen, true) {
            self.scattered = Some((point, field));
        } else {
            self.message = message;
        }
        Ok(())
    }

    /// Calls `each` with every bucket's count, from [`Self::offset`] on.
    pub fn for_each(&self, mut each: impl FnMut(u64)) {
        let Some((point, field)) = self.scattered else {
            return each_count(self.message, &mut each);
        };
        let mut fields = Reader::new(point);
        while let Ok(Some(tag)) = fields.tag() {
            let read = if tag == len(field) {
                fields.bytes().map(|message| each_count(message, &mut each))
            } else {
                fields.skip(tag)
            };
            if read.is_err() {
                return;
            }
        }
    }
}

fn each_count(buckets: &[u8], each: &mut impl FnMut(u64)) {
    let mut fields = Reader::new(buckets);
    while let Ok(Some(tag)) = fields.tag() {
        let read = match tag {
            COUNTS_PACKED => fields.bytes().map(|packed| {
                let mut counts = Reader::new(packed);
                while !counts.is_empty() {
                    let Ok(count) = counts.varint() else { return };
                    each(count);
                }
            }),
            COUNT => fields.varint().map(&mut *each),
            _ => fields.skip(tag),
        };
        if read.is_err() {
            return;
        }
    }
}

/// A varint as protobuf's sint32.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "protobuf says: truncate, then zigzag"
)]
pub(super) fn sint32(number: u64) -> i32 {
    let low = number as u32;
    (low >> 1) as i32 ^ -((low & 1) as i32)
}

impl SummaryValue<'_> {
    /// Calls `each` with every quantile and its value.
    pub fn for_each(&self, mut each: impl FnMut(f64, f64)) {
        let mut fields = Reader::new(self.message);
        while let Ok(Some(tag)) = fields.tag() {
            let read = if tag == len(6) {
                fields
                    .bytes()
                    .and_then(quantile)
                    .map(|(quantile, value)| each(quantile, value))
            } else {
                fields.skip(tag)
            };
            if read.is_err() {
                return;
            }
        }
    }
}

/// Quantile and value of an encoded ValueAtQuantile.
pub(super) fn quantile(message: &[u8]) -> Result<(f64, f64), Malformed> {
    const QUANTILE: u64 = fixed64(1);
    const VALUE: u64 = fixed64(2);
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            QUANTILE => quantile = f64::from_bits(fields.fixed64()?),
            VALUE => value = f64::from_bits(fields.fixed64()?),
            _ => fields.skip_unless_known(tag, 0b110)?,
        }
    }
    Ok((quantile, value))
}

/// What the walk hands over, in the order resource, its scopes, their metrics, their points.
///
/// As with spans, resources and scopes are announced when their first metric with points is, and a walk that
/// ends in an error has handed out points that must be forgotten.
pub trait MetricSink<'a> {
    /// All that was handed out so far must be forgotten: the walk begins again.
    fn forget(&mut self);
    /// A new resource begins, and with it a new scope.
    fn resource(&mut self, attributes: &Attributes<'a>, identity: Identity);
    /// A new scope of the current resource begins.
    fn scope(&mut self, scope: &Scope<'a, '_>, identity: Identity);
    /// A metric of the current scope; whether its points are wanted. Those of others are counted and hopped
    /// over.
    fn metric(&mut self, metric: &Metric<'a>) -> bool;
    /// A point of the metric that was wanted last.
    fn point(&mut self, point: &Point<'a>, attributes: &Attributes<'a>);
}
