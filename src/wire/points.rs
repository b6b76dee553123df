//! One pass over one data point, whatever the order of its fields. Exemplars are hopped over.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use super::metric::{
    ExponentialValue, HistogramValue, MetricKind, NumberValue, Point, PointValue, SummaryValue, quantile,
    sint32,
};
use super::reader::{Reader, fixed64, len, varint};
use super::{Attributes, KeyTable, Malformed, WalkLimits};

/// The same in all five.
const START: u64 = fixed64(2);
const TIME: u64 = fixed64(3);

mod number {
    use super::{fixed64, len, varint};
    pub(super) const DOUBLE: u64 = fixed64(4);
    pub(super) const EXEMPLARS: u64 = len(5);
    pub(super) const INT: u64 = fixed64(6);
    pub(super) const ATTRIBUTES: u64 = len(7);
    pub(super) const FLAGS: u64 = varint(8);
    pub(super) const KNOWN: u32 = 0b1_1111_1100;
}
mod histogram {
    use super::{fixed64, len, varint};
    pub(super) const COUNT: u64 = fixed64(4);
    pub(super) const SUM: u64 = fixed64(5);
    pub(super) const COUNTS: u64 = len(6);
    pub(super) const ONE_COUNT: u64 = fixed64(6);
    pub(super) const BOUNDS: u64 = len(7);
    pub(super) const ONE_BOUND: u64 = fixed64(7);
    pub(super) const EXEMPLARS: u64 = len(8);
    pub(super) const ATTRIBUTES: u64 = len(9);
    pub(super) const FLAGS: u64 = varint(10);
    pub(super) const MIN: u64 = fixed64(11);
    pub(super) const MAX: u64 = fixed64(12);
    pub(super) const KNOWN: u32 = 0b1_1111_1111_1100;
}
mod exponential {
    use super::{fixed64, len, varint};
    pub(super) const ATTRIBUTES: u64 = len(1);
    pub(super) const COUNT: u64 = fixed64(4);
    pub(super) const SUM: u64 = fixed64(5);
    pub(super) const SCALE: u64 = varint(6);
    pub(super) const ZERO_COUNT: u64 = fixed64(7);
    pub(super) const POSITIVE: u64 = len(8);
    pub(super) const NEGATIVE: u64 = len(9);
    pub(super) const FLAGS: u64 = varint(10);
    pub(super) const EXEMPLARS: u64 = len(11);
    pub(super) const MIN: u64 = fixed64(12);
    pub(super) const MAX: u64 = fixed64(13);
    pub(super) const ZERO_THRESHOLD: u64 = fixed64(14);
    pub(super) const KNOWN: u32 = 0b111_1111_1111_1110;
}
mod summary {
    use super::{fixed64, len, varint};
    pub(super) const COUNT: u64 = fixed64(4);
    pub(super) const SUM: u64 = fixed64(5);
    pub(super) const QUANTILES: u64 = len(6);
    pub(super) const ATTRIBUTES: u64 = len(7);
    pub(super) const FLAGS: u64 = varint(8);
    pub(super) const KNOWN: u32 = 0b1_1111_1100;
}

/// Reads protobuf's uint32.
#[allow(clippy::cast_possible_truncation, reason = "protobuf says: truncate")]
fn uint32(fields: &mut Reader<'_>) -> Result<u32, Malformed> {
    Ok(fields.varint()? as u32)
}

fn double(fields: &mut Reader<'_>) -> Result<f64, Malformed> {
    fields.fixed64().map(f64::from_bits)
}

impl<'a> Point<'a> {
    /// Reads the encoded point of a metric of `kind`; wanted attributes go to `attributes`.
    pub(super) fn read(
        message: &'a [u8],
        kind: MetricKind,
        attributes: &mut Attributes<'a>,
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<Self, Malformed> {
        let mut fields = Fields {
            reader: Reader::new(message),
            message,
            start: 0,
            time: 0,
            flags: 0,
            attributes,
            keys,
            limits,
        };
        let (value, tag) = match kind {
            MetricKind::Gauge | MetricKind::Sum => (PointValue::Number(fields.number()?), number::ATTRIBUTES),
            MetricKind::Histogram => (PointValue::Histogram(fields.histogram()?), histogram::ATTRIBUTES),
            MetricKind::ExponentialHistogram => (
                PointValue::Exponential(fields.exponential()?),
                exponential::ATTRIBUTES,
            ),
            MetricKind::Summary => (PointValue::Summary(fields.summary()?), summary::ATTRIBUTES),
        };
        Ok(Self {
            start_time_unix_nano: fields.start,
            time_unix_nano: fields.time,
            flags: fields.flags,
            value,
            message,
            attributes: tag,
        })
    }
}

/// The cursor, and what all five kinds have.
struct Fields<'w, 'a> {
    reader: Reader<'a>,
    message: &'a [u8],
    start: u64,
    time: u64,
    flags: u32,
    attributes: &'w mut Attributes<'a>,
    keys: &'w KeyTable,
    limits: &'w WalkLimits,
}

impl Fields<'_, '_> {
    #[inline(always)]
    fn take_attributes(&mut self, tag: u64) -> Result<(), Malformed> {
        self.attributes
            .take_row(&mut self.reader, tag, self.keys, self.limits)
    }

    #[inline(always)]
    fn number(&mut self) -> Result<NumberValue, Malformed> {
        let mut value = NumberValue::Missing;
        while let Some(tag) = self.reader.tag()? {
            match tag {
                number::ATTRIBUTES => self.take_attributes(tag)?,
                START => self.start = self.reader.fixed64()?,
                TIME => self.time = self.reader.fixed64()?,
                number::DOUBLE => value = NumberValue::Double(double(&mut self.reader)?),
                number::INT => value = NumberValue::Int(self.reader.fixed64()?.cast_signed()),
                number::FLAGS => self.flags = uint32(&mut self.reader)?,
                number::EXEMPLARS => self.reader.skip(tag)?,
                _ => self.reader.skip_unless_known(tag, number::KNOWN)?,
            }
        }
        Ok(value)
    }
}

impl<'a> Fields<'_, 'a> {
    #[inline(always)]
    fn histogram(&mut self) -> Result<HistogramValue<'a>, Malformed> {
        let mut value = HistogramValue::default();
        let message = self.message;
        while let Some(tag) = self.reader.tag()? {
            match tag {
                histogram::ATTRIBUTES => self.take_attributes(tag)?,
                START => self.start = self.reader.fixed64()?,
                TIME => self.time = self.reader.fixed64()?,
                histogram::COUNT => value.count = self.reader.fixed64()?,
                histogram::SUM => value.sum = Some(double(&mut self.reader)?),
                histogram::MIN => value.min = Some(double(&mut self.reader)?),
                histogram::MAX => value.max = Some(double(&mut self.reader)?),
                histogram::COUNTS => value.bucket_counts.take(self.reader.bytes()?, message, 6)?,
                histogram::BOUNDS => value.explicit_bounds.take(self.reader.bytes()?, message, 7)?,
                histogram::ONE_COUNT => {
                    self.reader.fixed64()?;
                    value.bucket_counts.take_one(message, 6);
                }
                histogram::ONE_BOUND => {
                    self.reader.fixed64()?;
                    value.explicit_bounds.take_one(message, 7);
                }
                histogram::FLAGS => self.flags = uint32(&mut self.reader)?,
                histogram::EXEMPLARS => self.reader.skip(tag)?,
                _ => self.reader.skip_unless_known(tag, histogram::KNOWN)?,
            }
        }
        Ok(value)
    }

    #[inline(always)]
    fn exponential(&mut self) -> Result<ExponentialValue<'a>, Malformed> {
        let mut value = ExponentialValue::default();
        let message = self.message;
        while let Some(tag) = self.reader.tag()? {
            match tag {
                exponential::ATTRIBUTES => self.take_attributes(tag)?,
                START => self.start = self.reader.fixed64()?,
                TIME => self.time = self.reader.fixed64()?,
                exponential::COUNT => value.count = self.reader.fixed64()?,
                exponential::SUM => value.sum = Some(double(&mut self.reader)?),
                exponential::MIN => value.min = Some(double(&mut self.reader)?),
                exponential::MAX => value.max = Some(double(&mut self.reader)?),
                exponential::SCALE => value.scale = sint32(self.reader.varint()?),
                exponential::ZERO_COUNT => value.zero_count = self.reader.fixed64()?,
                exponential::ZERO_THRESHOLD => value.zero_threshold = double(&mut self.reader)?,
                exponential::POSITIVE => value.positive.take(self.reader.bytes()?, message, 8)?,
                exponential::NEGATIVE => value.negative.take(self.reader.bytes()?, message, 9)?,
                exponential::FLAGS => self.flags = uint32(&mut self.reader)?,
                exponential::EXEMPLARS => self.reader.skip(tag)?,
                _ => self.reader.skip_unless_known(tag, exponential::KNOWN)?,
            }
        }
        Ok(value)
    }

    #[inline(always)]
    fn summary(&mut self) -> Result<SummaryValue<'a>, Malformed> {
        let mut value = SummaryValue {
            message: self.message,
            ..SummaryValue::default()
        };
        while let Some(tag) = self.reader.tag()? {
            match tag {
                summary::ATTRIBUTES => self.take_attributes(tag)?,
                START => self.start = self.reader.fixed64()?,
                TIME => self.time = self.reader.fixed64()?,
                summary::COUNT => value.count = self.reader.fixed64()?,
                summary::SUM => value.sum = double(&mut self.reader)?,
                summary::QUANTILES => drop(quantile(self.reader.bytes()?)?),
                summary::FLAGS => self.flags = uint32(&mut self.reader)?,
                _ => self.reader.skip_unless_known(tag, summary::KNOWN)?,
            }
        }
        Ok(value)
    }
}
