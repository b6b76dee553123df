//! Streams in the store: rows of a key and a value, each with its kind and version.
//!
//! A row is written in the same transaction as the counts that its readings led to, so that after a crash
//! both are of one moment: a stream then goes on where its counts end, however long the gateway was away.

use super::lineage::{Lineage, Recent, Stream};
use super::pairs::Pair;
use super::reading::{Held, Reading};
use super::streams::{Family, Row, Streams};
use crate::ledger::varint;

/// A key, and the value that it has from now on; `None` deletes it.
pub type StreamRow = (Vec<u8>, Option<Vec<u8>>);

const STREAM: u8 = 1;
const FAMILY: u8 = 2;
const WATCH: u8 = 3;
const FORGOTTEN: u8 = 4;
const PAIR: u8 = 5;
const SLICES: u8 = 6;
/// Version of the values below.
const VERSION: u8 = 1;

impl Streams {
    /// Every row that changed since the last call.
    pub fn changed_rows(&mut self) -> Vec<StreamRow> {
        let rows = std::mem::take(&mut self.dirty);
        rows.into_iter().map(|row| (key(row), self.value(row))).collect()
    }

    fn value(&mut self, row: Row) -> Option<Vec<u8>> {
        let mut out = vec![VERSION];
        match row {
            Row::Stream(id) => {
                let stream = self.known.get_mut(&id)?;
                stream.dirty = false;
                put_stream(stream, &mut out);
            }
            Row::Family(id) => {
                let family = self.families.get_mut(&id)?;
                family.dirty = false;
                varint::put(&mut out, family.first_time);
                varint::put(&mut out, family.seen_secs.into());
                out.push(u8::from(family.lossy));
            }
            Row::Watch(id) => varint::put(&mut out, *self.watches.get(&id)?),
            Row::Forgotten => varint::put(&mut out, self.forgotten),
            Row::Pair(id) => {
                let pair = self.pairs.get_mut(&id)?;
                pair.dirty = false;
                varint::put(&mut out, pair.part);
                varint::put(&mut out, pair.whole);
                out.push(u8::from(pair.is_ahead));
                varint::put(&mut out, pair.seen_secs.into());
            }
            Row::Slices(id) => {
                let slices = self.slices.get_mut(&id)?;
                slices.dirty = false;
                out.extend(serde_json::to_vec(slices).ok()?);
            }
        }
        Some(out)
    }

    /// Takes back a stored row; whether it could be read. What is idle since then leaves with the next sweep.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.try_restore(key, value).is_some()
    }

    fn try_restore(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (kind, id) = key.split_first()?;
        let (version, mut rest) = value.split_first()?;
        if *version != VERSION {
            return None;
        }
        let id = u128::from_le_bytes(id.try_into().ok()?);
        let short = u64::try_from(id).ok();
        match *kind {
            STREAM => {
                if self.known.len() >= self.limits.max_streams {
                    return None;
                }
                let stream = take_stream(&mut rest)?;
                self.known.insert(id, stream);
            }
            FAMILY => {
                let family = Family {
                    first_time: varint::take(&mut rest)?,
                    seen_secs: varint::take_u32(&mut rest)?,
                    lossy: *rest.first()? != 0,
                    dirty: false,
                };
                self.families.insert(short?, family);
            }
            WATCH => {
                self.watches.insert(short?, varint::take(&mut rest)?);
            }
            FORGOTTEN => self.forgotten = varint::take(&mut rest)?,
            PAIR => {
                let pair = Pair {
                    part: varint::take(&mut rest)?,
                    whole: varint::take(&mut rest)?,
                    is_ahead: take_byte(&mut rest)? != 0,
                    seen_secs: varint::take_u32(&mut rest)?,
                    dirty: false,
                };
                self.pairs.insert(short?, pair);
            }
            SLICES => {
                self.slices.insert(short?, serde_json::from_slice(rest).ok()?);
            }
            _ => return None,
        }
        Some(())
    }
}

fn key(row: Row) -> Vec<u8> {
    let (kind, id) = match row {
        Row::Stream(id) => (STREAM, id),
        Row::Family(id) => (FAMILY, id.into()),
        Row::Watch(id) => (WATCH, id.into()),
        Row::Forgotten => (FORGOTTEN, 0),
        Row::Pair(id) => (PAIR, id.into()),
        Row::Slices(id) => (SLICES, id.into()),
    };
    let mut key = vec![kind];
    key.extend_from_slice(&id.to_le_bytes());
    key
}

fn put_stream(stream: &Stream, out: &mut Vec<u8>) {
    varint::put(out, stream.family);
    varint::put(out, stream.seen_secs.into());
    match stream.recent() {
        None => out.push(0),
        Some(recent) => {
            out.push(1);
            out.push(recent.next);
            recent
                .prints
                .iter()
                .for_each(|print| out.extend_from_slice(&print.to_le_bytes()));
        }
    }
    varint::put(out, stream.all().count() as u64);
    for lineage in stream.all() {
        varint::put(out, lineage.start);
        varint::put(out, lineage.time);
        match lineage.reading.get() {
            Reading::Int(number) => {
                out.push(0);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Reading::Double(number) => {
                out.push(1);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Reading::Buckets(bytes) => {
                out.push(2);
                varint::put(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
    }
}

fn take_stream(rest: &mut &[u8]) -> Option<Stream> {
    let family = varint::take(rest)?;
    let seen_secs = varint::take_u32(rest)?;
    let recent = if take_byte(rest)? == 0 {
        None
    } else {
        let mut recent = Recent {
            next: take_byte(rest)?,
            ..Recent::default()
        };
        for print in &mut recent.prints {
            *print = u64::from_le_bytes(take_eight(rest)?);
        }
        Some(recent)
    };
    let count = varint::take(rest)?;
    let mut stream: Option<Stream> = None;
    for _ in 0..count {
        let lineage = take_lineage(rest)?;
        match &mut stream {
            None => stream = Some(Stream::new(lineage, family)),
            Some(stream) => {
                stream.push(lineage);
            }
        }
    }
    let mut stream = stream?;
    stream.seen_secs = seen_secs;
    if let Some(recent) = recent {
        stream.restore_recent(recent);
    }
    Some(stream)
}

fn take_lineage(rest: &mut &[u8]) -> Option<Lineage> {
    let (start, time) = (varint::take(rest)?, varint::take(rest)?);
    let reading = match take_byte(rest)? {
        0 => Held::Int(i64::from_le_bytes(take_eight(rest)?)),
        1 => Held::Double(f64::from_le_bytes(take_eight(rest)?)),
        2 => {
            let length = usize::try_from(varint::take(rest)?).ok()?;
            let (bytes, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Held::Buckets(bytes.into())
        }
        _ => return None,
    };
    Some(Lineage { start, time, reading })
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, behind) = rest.split_first()?;
    *rest = behind;
    Some(*byte)
}

fn take_eight(rest: &mut &[u8]) -> Option<[u8; 8]> {
    let (eight, behind) = rest.split_first_chunk::<8>()?;
    *rest = behind;
    Some(*eight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_row_is_read_without_panic(kind in 0u8..8, key in any::<[u8; 16]>(), value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut streams = Streams::default();
            let key = [vec![kind], key.to_vec()].concat();
            let value = [vec![VERSION], value].concat();
            let _ = streams.restore(&key, &value);
        }
    }
}
