//! Metrics and their points.

use super::super::value::{attributes, inline, number, optional, text, time};
use crate::forward::fields::{Field, each_field, each_in, last_in};
use crate::wire::Malformed;
use std::fmt::Write as _;

/// What a metric is, by the field that holds its points; the last counts.
fn data(metric: &[u8]) -> Result<Option<(u32, &[u8])>, Malformed> {
    let mut found = None;
    each_field(metric, |field| {
        if let Field::Bytes(kind @ (5 | 7 | 9 | 10 | 11), data) = field {
            found = Some((kind, data));
        }
        Ok(())
    })?;
    Ok(found)
}

/// The field of a point that holds its attributes.
const fn attributes_of(kind: u32) -> u32 {
    match kind {
        9 => 9,
        10 => 1,
        _ => 7,
    }
}

/// Numbers of a repeated field, packed or not, as they stand on the wire.
fn numbers(point: &[u8], wanted: u32) -> Result<Vec<u64>, Malformed> {
    let mut all = Vec::new();
    each_field(point, |field| {
        match field {
            Field::Fixed64(found, value) | Field::Varint(found, value) if found == wanted => all.push(value),
            Field::Bytes(found, packed) if found == wanted => {
                let (chunks, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(Malformed);
                }
                all.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(all)
}

/// The value of a number point or an exemplar.
fn value(point: &[u8], double: u32, int: u32) -> Result<String, Malformed> {
    let mut shown = String::new();
    each_field(point, |field| {
        match field {
            Field::Fixed64(found, bits) if found == double => shown = format!("{:.6}", f64::from_bits(bits)),
            Field::Fixed64(found, bits) if found == int => shown = bits.cast_signed().to_string(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(shown)
}

/// Name, attributes and value of each point.
pub(super) fn line(out: &mut String, metric: &[u8]) -> Result<(), Malformed> {
    let name = text(last_in(metric, 1)?);
    let Some((kind, data)) = data(metric)? else {
        let _ = writeln!(out, "{name}");
        return Ok(());
    };
    each_in(data, 1, |point| {
        out.push_str(&name);
        out.push('{');
        let begin = out.len();
        inline(out, point, attributes_of(kind))?;
        if out.len() > begin {
            out.remove(begin);
        }
        out.push('}');
        match kind {
            5 | 7 => {
                let _ = write!(out, " {}", value(point, 4, 6)?);
            }
            _ => {
                let _ = write!(out, " count={}", number(point, 4)?);
                if let Some(sum) = optional(point, 5)? {
                    let _ = write!(out, " sum={}", f64::from_bits(sum));
                }
            }
        }
        if kind == 9 {
            let bounds = numbers(point, 7)?
                .into_iter()
                .map(|bits| f64::from_bits(bits).to_string());
            for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(numbers(point, 6)?) {
                let _ = write!(out, " le{bound}={count}");
            }
        }
        out.push('\n');
        Ok(())
    })
}

fn temporality(number: u64) -> &'static str {
    match number {
        1 => "Delta",
        2 => "Cumulative",
        _ => "Unspecified",
    }
}

pub(super) fn detailed(out: &mut String, metric: &[u8]) -> Result<(), Malformed> {
    let data = data(metric)?;
    out.push_str("Descriptor:\n");
    let _ = writeln!(out, "     -> Name: {}", text(last_in(metric, 1)?));
    let _ = writeln!(out, "     -> Description: {}", text(last_in(metric, 2)?));
    let _ = writeln!(out, "     -> Unit: {}", text(last_in(metric, 3)?));
    let (kind, data) = data.unwrap_or((0, &[]));
    let (type_name, points) = match kind {
        5 => ("Gauge", "NumberDataPoints"),
        7 => ("Sum", "NumberDataPoints"),
        9 => ("Histogram", "HistogramDataPoints"),
        10 => ("ExponentialHistogram", "ExponentialHistogramDataPoints"),
        11 => ("Summary", "SummaryDataPoints"),
        _ => ("Empty", ""),
    };
    let _ = writeln!(out, "     -> DataType: {type_name}");
    if kind == 7 {
        let _ = writeln!(out, "     -> IsMonotonic: {}", number(data, 3)? != 0);
    }
    if matches!(kind, 7 | 9 | 10) {
        let _ = writeln!(
            out,
            "     -> AggregationTemporality: {}",
            temporality(number(data, 2)?)
        );
    }
    let mut at = 0;
    each_in(data, 1, |point| {
        let _ = writeln!(out, "{points} #{at}");
        at += 1;
        attributes(out, point, attributes_of(kind), "Data point attributes", "     ")?;
        let _ = writeln!(out, "StartTimestamp: {}", time(number(point, 2)?));
        let _ = writeln!(out, "Timestamp: {}", time(number(point, 3)?));
        match kind {
            5 | 7 => {
                let _ = writeln!(out, "Value: {}", value(point, 4, 6)?);
                exemplars(out, point, 5)
            }
            9 => histogram(out, point),
            10 => exponential(out, point),
            _ => summary(out, point),
        }
    })
}

fn exemplars(out: &mut String, point: &[u8], field: u32) -> Result<(), Malformed> {
    let mut at = 0;
    each_in(point, field, |exemplar| {
        if at == 0 {
            out.push_str("Exemplars:\n");
        }
        let _ = writeln!(out, "Exemplar #{at}");
        at += 1;
        let _ = writeln!(out, "     -> Trace ID: {}", hex::encode(last_in(exemplar, 5)?));
        let _ = writeln!(out, "     -> Span ID: {}", hex::encode(last_in(exemplar, 4)?));
        let _ = writeln!(out, "     -> Timestamp: {}", time(number(exemplar, 2)?));
        let _ = writeln!(out, "     -> Value: {}", value(exemplar, 3, 6)?);
        attributes(out, exemplar, 7, "     -> FilteredAttributes", "          ")
    })
}

/// `Count`, and `Sum`, `Min` and `Max` where the sender told them.
fn totals(out: &mut String, point: &[u8], min: u32, max: u32) -> Result<(), Malformed> {
    let _ = writeln!(out, "Count: {}", number(point, 4)?);
    for (name, field) in [("Sum", 5), ("Min", min), ("Max", max)] {
        if let Some(bits) = optional(point, field)? {
            let _ = writeln!(out, "{name}: {:.6}", f64::from_bits(bits));
        }
    }
    Ok(())
}

fn histogram(out: &mut String, point: &[u8]) -> Result<(), Malformed> {
    totals(out, point, 11, 12)?;
    for (at, bound) in numbers(point, 7)?.into_iter().enumerate() {
        let _ = writeln!(out, "ExplicitBounds #{at}: {:.6}", f64::from_bits(bound));
    }
    for (at, count) in numbers(point, 6)?.into_iter().enumerate() {
        let _ = writeln!(out, "Buckets #{at}, Count: {count}");
    }
    exemplars(out, point, 8)
}

fn exponential(out: &mut String, point: &[u8]) -> Result<(), Malformed> {
    totals(out, point, 12, 13)?;
    let zigzag = |number: u64| (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
    let _ = writeln!(out, "Scale: {}", zigzag(number(point, 6)?));
    let _ = writeln!(out, "ZeroCount: {}", number(point, 7)?);
    for (name, field) in [("Negative", 9), ("Positive", 8)] {
        let buckets = last_in(point, field)?;
        let mut counts = Vec::new();
        each_field(buckets, |field| {
            match field {
                Field::Varint(2, count) => counts.push(count),
                Field::Bytes(2, packed) => {
                    let mut reader = crate::wire::Reader::new(packed);
                    while !reader.is_empty() {
                        counts.push(reader.varint()?);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        if !counts.is_empty() {
            let _ = writeln!(
                out,
                "{name} buckets: offset {}, counts {counts:?}",
                zigzag(number(buckets, 1)?)
            );
        }
    }
    exemplars(out, point, 11)
}

fn summary(out: &mut String, point: &[u8]) -> Result<(), Malformed> {
    let _ = writeln!(out, "Count: {}", number(point, 4)?);
    let _ = writeln!(out, "Sum: {:.6}", f64::from_bits(number(point, 5)?));
    let mut at = 0;
    each_in(point, 6, |quantile| {
        let (which, is) = (
            f64::from_bits(number(quantile, 1)?),
            f64::from_bits(number(quantile, 2)?),
        );
        let _ = writeln!(out, "QuantileValue #{at}: Quantile {which:.6}, Value {is:.6}");
        at += 1;
        Ok(())
    })
}
