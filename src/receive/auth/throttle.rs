//! Guesses at passwords, a few a second and address.
//!
//! A slow hash is a defence against a thief of the file and a weapon against the server: each guess costs
//! tens of milliseconds of CPU. So a wrong guess takes a token from its address's bucket, and an address
//! without tokens is told to come back before anything is hashed. Users whose password has been checked
//! before do not come here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Wrong guesses at once.
const BURST: f64 = 10.0;
/// Wrong guesses a second after that.
const PER_SEC: f64 = 1.0;
/// Addresses remembered; beyond them all strangers share one bucket.
const MAX_ADDRESSES: usize = 4096;

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Option<IpAddr>, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn now(self, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * PER_SEC;
        (self.tokens + gained).min(BURST)
    }
}

impl Throttle {
    /// Whether `peer` may guess.
    pub(super) fn allows(&self, peer: Option<IpAddr>) -> bool {
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(&peer).or_else(|| buckets.get(&None));
        bucket.is_none_or(|bucket| bucket.now(Instant::now()) >= 1.0)
    }

    /// A guess of `peer` was wrong.
    pub(super) fn wrong(&self, peer: Option<IpAddr>) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if buckets.len() >= MAX_ADDRESSES && !buckets.contains_key(&peer) {
            buckets.retain(|_, bucket| bucket.now(now) < BURST);
        }
        let is_room = buckets.len() < MAX_ADDRESSES || buckets.contains_key(&peer);
        let bucket = buckets
            .entry(if is_room { peer } else { None })
            .or_insert(Bucket {
                tokens: BURST,
                at: now,
            });
        *bucket = Bucket {
            tokens: (bucket.now(now) - 1.0).max(0.0),
            at: now,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[allow(clippy::unnecessary_wraps, reason = "as the throttle takes it")]
    fn address(nth: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(std::net::Ipv4Addr::from_bits(nth)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_burst_and_then_one_guess_a_second() {
        let throttle = Throttle::default();
        for _ in 0..10 {
            assert!(throttle.allows(address(1)));
            throttle.wrong(address(1));
        }
        assert!(!throttle.allows(address(1)));
        assert!(throttle.allows(address(2)), "others are not affected");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(throttle.allows(address(1)));
        throttle.wrong(address(1));
        assert!(!throttle.allows(address(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_takes_no_more_memory() {
        let throttle = Throttle::default();
        for nth in 0..20_000 {
            throttle.wrong(address(nth));
        }
        assert!(throttle.0.lock().unwrap().len() <= MAX_ADDRESSES + 1);
        assert!(!throttle.allows(address(30_000)), "strangers share one bucket");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(throttle.allows(address(30_000)));
    }
}
