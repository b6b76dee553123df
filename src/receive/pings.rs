//! Clients that ping too often.
//!
//! The HTTP/2 library answers pings by itself and counts none. A client library with a mistaken keepalive, on
//! ten thousand pods, is a flood; every gRPC implementation knows what GOAWAY with `too_many_pings` means and
//! doubles its interval. So frame headers are read along as bytes pass, nine bytes a frame, and the rules are
//! those of the reference implementation: a ping that comes too soon is a strike, an answer to a request
//! wipes them out, the third strike ends the connection. Rejected: to cut without a word, because the client
//! would come back as it was.

use super::pulse::{Doing, Pulse};
use std::time::Duration;
use tokio::time::Instant;

/// Strikes that are forgiven.
const FORGIVEN: u32 = 2;
/// Least time between pings of a client that may not ping without a request.
const WITHOUT_REQUEST: Duration = Duration::from_hours(2);
/// HTTP/2's preface.
const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;
const PING: u8 = 0x06;
const ACK: u8 = 0x01;

/// GOAWAY, ENHANCE_YOUR_CALM, `too_many_pings`.
pub(super) const GO_AWAY: &[u8] =
    b"\x00\x00\x16\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x0btoo_many_pings";

/// How often a client may ping.
#[derive(Clone, Copy, Debug)]
pub(super) struct PingPolicy {
    /// Least time between two pings.
    pub(super) min_time: Duration,
    /// Whether it may ping without a request under way.
    pub(super) without_stream: bool,
}

/// Where a stream of frames stands.
#[derive(Debug, Default)]
struct Cursor {
    header: [u8; HEADER_BYTES],
    have: usize,
    /// Bytes to hop over: the rest of a payload, or the preface.
    skip: usize,
}

impl Cursor {
    /// Reads along; `on_frame` gets the type and flags of each frame that begins.
    fn pass(&mut self, mut bytes: &[u8], mut on_frame: impl FnMut(u8, u8)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let hop = self.skip.min(bytes.len());
                self.skip -= hop;
                bytes = &bytes[hop..];
                continue;
            }
            let take = (HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                let [high, mid, low, kind, flags, ..] = self.header;
                self.skip = usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low);
                on_frame(kind, flags);
            }
        }
    }

    /// Whether a frame may be put in here.
    const fn is_between_frames(&self) -> bool {
        self.have == 0 && self.skip == 0
    }
}

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct PingWatch {
    policy: PingPolicy,
    inbound: Cursor,
    outbound: Cursor,
    strikes: u32,
    last: Option<Instant>,
    served: u64,
}

impl PingWatch {
    pub(super) fn new(policy: PingPolicy) -> Self {
        let preface = Cursor {
            skip: PREFACE_BYTES,
            ..Cursor::default()
        };
        Self {
            policy,
            inbound: preface,
            outbound: Cursor::default(),
            strikes: 0,
            last: None,
            served: 0,
        }
    }

    /// Bytes of the client passed; true when it has pinged once too often.
    pub(super) fn inbound(&mut self, bytes: &[u8], pulse: &Pulse) -> bool {
        let mut pings = 0;
        self.inbound.pass(bytes, |kind, flags| {
            pings += u32::from(kind == PING && flags & ACK == 0);
        });
        (0..pings).any(|_| self.ping(pulse))
    }

    /// Bytes of ours passed.
    pub(super) fn outbound(&mut self, bytes: &[u8]) {
        self.outbound.pass(bytes, |_, _| {});
    }

    /// Whether [`GO_AWAY`] may be written now.
    pub(super) const fn may_write(&self) -> bool {
        self.outbound.is_between_frames()
    }

    fn ping(&mut self, pulse: &Pulse) -> bool {
        let (now, reading) = (Instant::now(), pulse.reading());
        let last = self.last.replace(now);
        if reading.served != self.served {
            (self.served, self.strikes) = (reading.served, 0);
            return false;
        }
        let is_allowed = self.policy.without_stream || reading.doing == Doing::Request;
        let least = if is_allowed {
            self.policy.min_time
        } else {
            WITHOUT_REQUEST
        };
        if last.is_some_and(|last| now.saturating_duration_since(last) < least) {
            self.strikes += 1;
        }
        self.strikes > FORGIVEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    const POLICY: PingPolicy = PingPolicy {
        min_time: Duration::from_secs(10),
        without_stream: true,
    };

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let len = u32::try_from(payload).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 0], &vec![PING; payload]].concat()
    }

    fn started(policy: PingPolicy) -> PingWatch {
        let mut watch = PingWatch::new(policy);
        assert!(!watch.inbound(&[b'x'; PREFACE_BYTES], &Pulse::default()));
        watch
    }

    #[tokio::test(start_paused = true)]
    async fn the_third_ping_too_soon_is_too_much() {
        let (pulse, mut watch) = (Pulse::default(), started(POLICY));
        let ping = frame(PING, 0, 8);
        assert!((0..3).all(|_| !watch.inbound(&ping, &pulse)));
        assert!(watch.inbound(&ping, &pulse));
    }

    #[tokio::test(start_paused = true)]
    async fn pings_in_time_and_answers_to_ours_are_fine_for_ever() {
        let (pulse, mut watch) = (Pulse::default(), started(POLICY));
        for _ in 0..100 {
            assert!(!watch.inbound(&frame(PING, 0, 8), &pulse));
            assert!(!watch.inbound(&frame(PING, ACK, 8), &pulse));
            tokio::time::advance(POLICY.min_time).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_wipes_out_strikes_and_no_request_may_mean_no_ping() {
        let (pulse, ping) = (Arc::new(Pulse::default()), frame(PING, 0, 8));
        let mut watch = started(POLICY);
        for _ in 0..10 {
            assert!((0..3).all(|_| !watch.inbound(&ping, &pulse)));
            drop(pulse.begin());
        }
        let mut strict = started(PingPolicy {
            without_stream: false,
            ..POLICY
        });
        let mut trips = 0;
        for _ in 0..5 {
            trips += u32::from(strict.inbound(&ping, &Pulse::default()));
            tokio::time::advance(Duration::from_mins(1)).await;
        }
        assert_eq!(trips, 2);
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(
            frames in proptest::collection::vec((0_u8..10, 0_usize..40), 0..20),
            cut in 1_usize..50,
        ) {
            let wire: Vec<u8> = frames.iter().flat_map(|(kind, len)| frame(*kind, 0, *len)).collect();
            let (mut cursor, mut found) = (Cursor::default(), Vec::new());
            for piece in wire.chunks(cut) {
                cursor.pass(piece, |kind, _| found.push(kind));
            }
            prop_assert!(cursor.is_between_frames());
            prop_assert_eq!(found, frames.iter().map(|(kind, _)| *kind).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_farewell_is_one_whole_frame() {
        let mut cursor = Cursor::default();
        cursor.pass(GO_AWAY, |kind, _| assert_eq!(kind, 7));
        assert!(cursor.is_between_frames());
    }
}
