//! WriteRequest, version 1: `repeated TimeSeries { repeated Label { name, value }; repeated Sample { double
//! value; int64 timestamp } }`, labels sorted by name.

use crate::forward::prom::{Sample, Series, each_sample};
use prost::encoding::encode_varint;
use std::hash::{BuildHasher as _, Hasher as _};

/// The samples of one batch, by consumer.
#[derive(Debug)]
pub(super) struct Encoder {
    /// TimeSeries messages, and the points that they were made of.
    pub(super) shares: Vec<(Vec<u8>, u64)>,
    number: String,
    inner: Vec<u8>,
}

fn field(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    encode_varint(u64::from(number << 3 | 2), out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    let length = |text: &str| 1 + prost::length_delimiter_len(text.len()) + text.len();
    out.push(0x0a);
    encode_varint((length(name) + length(value)) as u64, out);
    field(out, 1, name.as_bytes());
    field(out, 2, value.as_bytes());
}

impl Encoder {
    pub(super) fn new(consumers: usize) -> Self {
        Self {
            shares: vec![(Vec::new(), 0); consumers],
            number: String::new(),
            inner: Vec::new(),
        }
    }

    /// Adds the samples of a series, which stand for so many `points`. False when its newest point was handed
    /// over already.
    pub(super) fn add(&mut self, name: &str, series: &Series, points: u64) -> bool {
        let millis = series.time / 1_000_000;
        if millis == 0 || !series.hand_over(millis) {
            return false;
        }
        let mut hasher = foldhash::quality::FixedState::default().build_hasher();
        hasher.write(name.as_bytes());
        for (name, value) in &series.labels.0 {
            hasher.write(name.as_bytes());
            hasher.write_u8(0xff);
            hasher.write(value.as_bytes());
            hasher.write_u8(0xff);
        }
        let consumers = self.shares.len().max(1) as u64;
        let at = usize::try_from(hasher.finish() % consumers).unwrap_or(0);
        let Some((share, count)) = self.shares.get_mut(at) else {
            return false;
        };
        *count += points;
        let (inner, number) = (&mut self.inner, &mut self.number);
        each_sample(series, |sample| {
            inner.clear();
            time_series(inner, number, name, series, &sample, millis);
            field(share, 1, inner);
        });
        true
    }
}

/// Prometheus' mark for a series that is no more.
const STALE: u64 = 0x7ff0_0000_0000_0002;

fn time_series(
    out: &mut Vec<u8>,
    number: &mut String,
    name: &str,
    series: &Series,
    sample: &Sample,
    millis: u64,
) {
    let full = [name, sample.suffix.as_str()].concat();
    let mut own = [Some(("__name__", full.as_str())), None];
    if let Some((extra, bound)) = sample.extra {
        number.clear();
        crate::forward::prometheus::number(number, bound);
        own[1] = Some((extra, number.as_str()));
    }
    // `__name__` sorts before every label that may be there; `le` and `quantile` find their places.
    let mut own = own.into_iter().flatten().peekable();
    for (name, value) in &series.labels.0 {
        while let Some((own_name, own_value)) = own.next_if(|(own, _)| *own <= name.as_str()) {
            label(out, own_name, own_value);
        }
        if sample.extra.is_none_or(|(extra, _)| extra != name) {
            label(out, name, value);
        }
    }
    own.for_each(|(name, value)| label(out, name, value));
    let value = if series.is_absent {
        STALE
    } else {
        sample.value.to_bits()
    };
    let mut inner = vec![0x09];
    inner.extend_from_slice(&value.to_le_bytes());
    inner.push(0x10);
    encode_varint(millis, &mut inner);
    field(out, 2, &inner);
}
