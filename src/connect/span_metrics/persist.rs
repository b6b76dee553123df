//! Counters that outlive a restart: one file, replaced as a whole after every flush.
//!
//! What a crash loses is what was counted since the last flush and never told, so a counter that was told
//! never goes back. A file of another configuration, or a damaged one, is set aside and counting begins
//! anew, with a start time that says so. Rejected: the gateway's store, which is made for small rows by the
//! second.

use super::super::proto;
use super::SpanMetrics;
use super::exact::{Counts, Exact, Nanos};
use super::exponential::Exponential;
use super::resources::Resource;
use super::series::{Durations, Histogram, Series};
use crate::forward::fields::{Field, each_field};
use crate::time::UnixNanos;
use crate::wire::Malformed;
use std::io::{self, Write};
use std::path::Path;

const MAGIC: &[u8] = b"burngate span_metrics 1\n";

/// A file as it is written, series by series.
#[derive(Debug)]
pub(super) struct Image(Vec<u8>);

impl Image {
    pub(super) fn new(engine: &SpanMetrics) -> Self {
        let mut out = MAGIC.to_vec();
        proto::bytes(&mut out, 1, engine.fingerprint.as_bytes());
        proto::bytes(&mut out, 2, engine.instance.as_bytes());
        for (identity, resource) in engine.resources.snapshot() {
            proto::message(&mut out, 3, |out| {
                proto::varint(out, 1, u64::from(resource.id));
                proto::bytes(out, 2, &identity);
                proto::bytes(out, 3, &resource.attributes);
                proto::fixed64(out, 4, resource.last_used.0);
            });
        }
        Self(out)
    }

    pub(super) fn series(&mut self, (resource, family): (u32, u8), parts: Option<&[u8]>, series: &Series) {
        proto::message(&mut self.0, 4, |out| {
            let mut key = vec![family];
            key.extend_from_slice(&resource.to_le_bytes());
            key.extend_from_slice(parts.unwrap_or_default());
            proto::bytes(out, 1, &key);
            proto::fixed64(out, 2, series.start.0);
            proto::fixed64(out, 3, series.last_seen.0);
            proto::varint(out, 4, series.calls.whole);
            proto::varint(out, 5, u64::from(series.calls.part));
            if let Some(durations) = series.durations.as_deref() {
                proto::message(out, 6, |out| write_durations(out, durations));
            }
        });
    }

    /// Replaces the file.
    pub(super) fn write(mut self, path: &Path) -> io::Result<()> {
        self.0.extend_from_slice(&crc32fast::hash(&self.0).to_le_bytes());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = path.with_extension("new");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&self.0)?;
        file.sync_data()?;
        drop(file);
        std::fs::rename(beside, path)
    }
}

fn write_durations(out: &mut Vec<u8>, durations: &Durations) {
    proto::bytes(out, 1, &durations.sum.0.to_le_bytes());
    proto::fixed64(out, 2, durations.min);
    proto::fixed64(out, 3, durations.max);
    let counts = match &durations.histogram {
        Histogram::Explicit(counts) => counts,
        Histogram::Exponential(it) => {
            proto::sint32(out, 6, it.scale);
            proto::sint32(out, 7, it.offset);
            proto::varint(out, 8, it.zero.whole);
            proto::varint(out, 9, u64::from(it.zero.part));
            &it.counts
        }
    };
    proto::packed_fixed64(out, 4, counts.whole.iter().copied());
    proto::packed_fixed64(out, 5, counts.part.iter().map(|part| u64::from(*part)));
}

/// What a file told of itself.
pub(super) struct Found {
    pub(super) fingerprint: String,
    pub(super) instance: String,
    resources: Vec<(Vec<u8>, Resource)>,
    series: Vec<(Vec<u8>, Series)>,
}

/// Reads a file; `None` when there is none, and the reason when it cannot be used.
pub(super) fn read(path: &Path) -> Result<Option<Found>, String> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or("too short")?;
    if crc32fast::hash(content) != u32::from_le_bytes(*crc) {
        return Err("its checksum is wrong".to_owned());
    }
    let content = content.strip_prefix(MAGIC).ok_or("of another kind or version")?;
    parse(content).map(Some).map_err(|error| error.to_string())
}

fn parse(content: &[u8]) -> Result<Found, Malformed> {
    let mut found = Found {
        fingerprint: String::new(),
        instance: String::new(),
        resources: Vec::new(),
        series: Vec::new(),
    };
    each_field(content, |field| {
        match field {
            Field::Bytes(1, text) => found.fingerprint = String::from_utf8_lossy(text).into_owned(),
            Field::Bytes(2, text) => found.instance = String::from_utf8_lossy(text).into_owned(),
            Field::Bytes(3, resource) => found.resources.push(read_resource(resource)?),
            Field::Bytes(4, series) => found.series.push(read_series(series)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

fn small(number: u64) -> Result<u32, Malformed> {
    u32::try_from(number).map_err(|_| Malformed)
}

fn zigzag(number: u64) -> Result<i32, Malformed> {
    let number = small(number)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

fn read_resource(message: &[u8]) -> Result<(Vec<u8>, Resource), Malformed> {
    let mut identity = Vec::new();
    let mut resource = Resource {
        id: 0,
        attributes: Vec::new(),
        last_used: UnixNanos(0),
    };
    each_field(message, |field| {
        match field {
            Field::Varint(1, id) => resource.id = small(id)?,
            Field::Bytes(2, bytes) => identity = bytes.to_vec(),
            Field::Bytes(3, bytes) => resource.attributes = bytes.to_vec(),
            Field::Fixed64(4, at) => resource.last_used = UnixNanos(at),
            _ => {}
        }
        Ok(())
    })?;
    Ok((identity, resource))
}

fn read_series(message: &[u8]) -> Result<(Vec<u8>, Series), Malformed> {
    let mut key = Vec::new();
    let mut series = Series {
        start: UnixNanos(0),
        last_seen: UnixNanos(0),
        changed: false,
        calls: Exact::default(),
        durations: None,
        exemplars: Vec::new(),
    };
    each_field(message, |field| {
        match field {
            Field::Bytes(1, bytes) => key = bytes.to_vec(),
            Field::Fixed64(2, at) => series.start = UnixNanos(at),
            Field::Fixed64(3, at) => series.last_seen = UnixNanos(at),
            Field::Varint(4, whole) => series.calls.whole = whole,
            Field::Varint(5, part) => series.calls.part = small(part)?,
            Field::Bytes(6, durations) => series.durations = Some(Box::new(read_durations(durations)?)),
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, series))
}

fn read_durations(message: &[u8]) -> Result<Durations, Malformed> {
    let mut it = Durations {
        sum: Nanos::default(),
        min: 0,
        max: 0,
        histogram: Histogram::Explicit(Counts::default()),
    };
    let mut counts = Counts::default();
    let mut exponential = None::<Exponential>;
    each_field(message, |field| {
        match field {
            Field::Bytes(1, sum) => {
                it.sum = Nanos(u128::from_le_bytes(sum.try_into().map_err(|_| Malformed)?));
            }
            Field::Fixed64(2, min) => it.min = min,
            Field::Fixed64(3, max) => it.max = max,
            Field::Bytes(4, packed) => counts.whole = unpack(packed)?,
            Field::Bytes(5, packed) => {
                counts.part = unpack(packed)?.into_iter().map(small).collect::<Result<_, _>>()?;
            }
            Field::Varint(6, scale) => exponential.get_or_insert_default().scale = zigzag(scale)?,
            Field::Varint(7, offset) => exponential.get_or_insert_default().offset = zigzag(offset)?,
            Field::Varint(8, whole) => exponential.get_or_insert_default().zero.whole = whole,
            Field::Varint(9, part) => exponential.get_or_insert_default().zero.part = small(part)?,
            _ => {}
        }
        Ok(())
    })?;
    it.histogram = match exponential {
        Some(exponential) => Histogram::Exponential(Exponential {
            counts,
            ..exponential
        }),
        None => Histogram::Explicit(counts),
    };
    Ok(it)
}

fn unpack(packed: &[u8]) -> Result<Vec<u64>, Malformed> {
    let (chunks, rest) = packed.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Malformed);
    }
    Ok(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect())
}

impl Found {
    /// Puts everything back.
    pub(super) fn restore(self, engine: &SpanMetrics) {
        for (identity, resource) in self.resources {
            engine.resources.restore(&identity, resource);
        }
        for (key, series) in self.series {
            engine.restore(&key, series);
        }
    }
}
