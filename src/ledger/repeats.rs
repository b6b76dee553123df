//! Request bodies that came before: a sender whose answer was lost sends the same bytes again.
//!
//! Problem: OTLP delivers at least once. A request that was counted, and whose answer did not arrive, comes
//! again, byte for byte, and would count twice. Property wanted: it counts once, is answered as any other,
//! and goes on to the backend, which has to deal with repeats anyhow.
//!
//! A body is known by 128 bits of HighwayHash under a random key, with its signal and the address of its
//! peer: nobody who does not know the key can make two bodies that look the same, or have another's body
//! taken for a repeat. A request that is refused is forgotten, so that it can be sent again and count. At
//! most `max_bodies` are remembered, for at most `keep`; the oldest leave first. After a restart nothing is
//! known.

use crate::config::Dedup;
use crate::pipeline::Signal;
use crate::time::UnixNanos;
use hashbrown::HashMap;
use highway::{HighwayHash, HighwayHasher, Key};
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// A body that is being counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(Option<u128>);

/// See the module's words.
#[derive(Debug)]
pub struct Repeats {
    key: [u64; 4],
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    config: Dedup,
    /// When each body came, in seconds.
    seen: HashMap<u128, u64, foldhash::fast::RandomState>,
    order: VecDeque<(u128, u64)>,
}

impl Repeats {
    /// A memory without bodies.
    pub fn new(config: &Dedup) -> Self {
        // The standard library's random keys: from the system, and another one each time.
        let word = || RandomState::new().build_hasher().finish();
        Self {
            key: [word(), word(), word(), word()],
            table: Mutex::new(Table {
                config: config.clone(),
                seen: HashMap::default(),
                order: VecDeque::new(),
            }),
        }
    }

    /// From now on by other settings; what is known stays.
    pub fn set(&self, config: &Dedup) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.config = config.clone();
        if !config.bodies {
            table.seen.clear();
            table.order.clear();
            table.tell();
        }
    }

    /// Remembers a body; `None` when it is a repeat.
    pub fn note(&self, signal: Signal, peer: Option<IpAddr>, body: &[u8], now: UnixNanos) -> Option<Mark> {
        if !self.is_on() {
            return Some(Mark(None));
        }
        let hash = self.hash(signal, peer, body);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = table.insert(hash, now.secs());
        table.tell();
        is_new.then_some(Mark(Some(hash)))
    }

    /// The body was refused: when it comes again, it counts.
    pub fn forget(&self, mark: Mark) {
        if let Some(hash) = mark.0 {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.seen.remove(&hash);
            table.tell();
        }
    }

    fn is_on(&self) -> bool {
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .config
            .bodies
    }

    fn hash(&self, signal: Signal, peer: Option<IpAddr>, body: &[u8]) -> u128 {
        let mut hasher = HighwayHasher::new(Key(self.key));
        let address = match peer.map(|peer| peer.to_canonical()) {
            None => [0; 17],
            Some(IpAddr::V4(v4)) => padded(4, &v4.octets()),
            Some(IpAddr::V6(v6)) => padded(6, &v6.octets()),
        };
        hasher.append(&address);
        hasher.append(&[signal as u8]);
        hasher.append(body);
        let [low, high] = hasher.finalize128();
        u128::from(high) << 64 | u128::from(low)
    }
}

fn padded(kind: u8, octets: &[u8]) -> [u8; 17] {
    let mut address = [kind; 17];
    for (place, octet) in address.iter_mut().skip(1).zip(octets) {
        *place = *octet;
    }
    address
}

impl Table {
    fn tell(&self) {
        metrics::gauge!("burngate_dedup_bodies").set(self.seen.len() as f64);
    }

    fn insert(&mut self, hash: u128, now_secs: u64) -> bool {
        let oldest = now_secs.saturating_sub(self.config.keep_secs);
        while let Some((hash, since)) = self.order.front().copied() {
            let is_full = self.order.len() > self.config.max_bodies as usize;
            if since >= oldest && !is_full {
                break;
            }
            self.order.pop_front();
            // A body that was forgotten and came again has a younger entry of its own.
            if self.seen.get(&hash) == Some(&since) {
                self.seen.remove(&hash);
                if since >= oldest {
                    metrics::counter!("burngate_dedup_bodies_forgotten_early_total").increment(1);
                }
            }
        }
        if self.seen.contains_key(&hash) {
            return false;
        }
        self.seen.insert(hash, now_secs);
        self.order.push_back((hash, now_secs));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn at(secs: u64) -> UnixNanos {
        UnixNanos::from_secs(1_800_000_000 + secs)
    }

    fn repeats(max_bodies: u32) -> Repeats {
        Repeats::new(&Dedup {
            max_bodies,
            ..Dedup::default()
        })
    }

    #[test]
    fn the_same_body_from_the_same_peer_within_the_time_is_a_repeat() {
        let repeats = repeats(100);
        let note = |signal, peer, body: &[u8], secs| repeats.note(signal, peer, body, at(secs)).is_some();
        assert!(note(Signal::Traces, PEER, b"a", 0));
        assert!(!note(Signal::Traces, PEER, b"a", 300));
        assert!(note(Signal::Traces, PEER, b"b", 0), "another body");
        assert!(note(Signal::Logs, PEER, b"a", 0), "another signal");
        assert!(note(Signal::Traces, None, b"a", 0), "another peer");
        let mapped = Some("::ffff:127.0.0.1".parse().unwrap());
        assert!(
            !note(Signal::Traces, mapped, b"a", 0),
            "the same peer on a dual-stack socket"
        );
        assert!(note(Signal::Traces, PEER, b"a", 301), "too long ago");
    }

    #[test]
    fn a_refused_body_counts_when_it_comes_again() {
        let repeats = repeats(100);
        let mark = repeats.note(Signal::Traces, PEER, b"a", at(0)).unwrap();
        repeats.forget(mark);
        assert!(repeats.note(Signal::Traces, PEER, b"a", at(1)).is_some());
        assert!(repeats.note(Signal::Traces, PEER, b"a", at(2)).is_none());
    }

    #[test]
    fn the_memory_is_bounded_and_the_oldest_leave_first() {
        let repeats = repeats(16);
        for n in 0..1000u32 {
            assert!(
                repeats
                    .note(Signal::Traces, PEER, &n.to_le_bytes(), at(0))
                    .is_some()
            );
        }
        let table = repeats.table.lock().unwrap();
        assert!(table.seen.len() <= 17 && table.order.len() <= 17);
        drop(table);
        assert!(
            repeats
                .note(Signal::Traces, PEER, &999u32.to_le_bytes(), at(0))
                .is_none()
        );
        assert!(
            repeats
                .note(Signal::Traces, PEER, &0u32.to_le_bytes(), at(0))
                .is_some()
        );
    }

    #[test]
    fn switched_off_everything_counts() {
        let repeats = Repeats::new(&Dedup {
            bodies: false,
            ..Dedup::default()
        });
        for _ in 0..3 {
            assert!(repeats.note(Signal::Traces, PEER, b"a", at(0)).is_some());
        }
    }
}
