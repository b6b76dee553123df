//! What a connection is doing: bytes read, requests under way and served, and which HTTP it speaks.
//!
//! Written by the connection and its requests, read by the timer that ends it; a few relaxed atomics that one
//! task at a time writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The state of one connection.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    read: AtomicU64,
    is_http1: AtomicBool,
    active: AtomicU32,
    served: AtomicU64,
    /// Bytes that had been read when the last request ended.
    read_at_end: AtomicU64,
    pings_too_often: AtomicBool,
}

/// What it looks like at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Requests served.
    pub(super) served: u64,
    /// What goes on.
    pub(super) doing: Doing,
}

/// See [`Reading`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// A request is under way.
    Request,
    /// Parts of an HTTP/1 request's headers have come.
    Headers,
    /// Nothing.
    Nothing,
}

impl Pulse {
    /// Bytes have come.
    pub(super) fn has_read(&self, bytes: &[u8]) {
        let before = self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let at = usize::try_from(before).unwrap_or(usize::MAX);
        if let Some(expected) = PREFACE.get(at..).filter(|rest| !rest.is_empty()) {
            let len = expected.len().min(bytes.len());
            if expected[..len] != bytes[..len] {
                self.is_http1.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Bytes that have come.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// A request begins; it ends when the guard is dropped, whatever becomes of it.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.active.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// The client pings too often; the connection ends for it.
    pub(super) fn pings_too_often(&self) {
        self.pings_too_often.store(true, Ordering::Relaxed);
    }

    /// Whether that was said.
    pub(super) fn has_pinged_too_often(&self) -> bool {
        self.pings_too_often.load(Ordering::Relaxed)
    }

    /// How it stands now.
    pub(super) fn reading(&self) -> Reading {
        let doing = if self.active.load(Ordering::Relaxed) > 0 {
            Doing::Request
        } else if self.is_http1.load(Ordering::Relaxed)
            && self.bytes_read() > self.read_at_end.load(Ordering::Relaxed)
        {
            Doing::Headers
        } else {
            Doing::Nothing
        };
        Reading {
            served: self.served.load(Ordering::Relaxed),
            doing,
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Pulse>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let pulse = &self.0;
        pulse.read_at_end.store(pulse.bytes_read(), Ordering::Relaxed);
        pulse.served.fetch_add(1, Ordering::Relaxed);
        pulse.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_2_is_known_by_its_preface_however_it_is_cut() {
        for cut in 1..PREFACE.len() {
            let pulse = Pulse::default();
            pulse.has_read(&PREFACE[..cut]);
            pulse.has_read(&[&PREFACE[cut..], b"frames"].concat());
            assert_eq!(pulse.reading().doing, Doing::Nothing, "{cut}");
        }
        let pulse = Pulse::default();
        pulse.has_read(b"PRI");
        assert_eq!(pulse.reading().doing, Doing::Nothing, "may still become HTTP/2");
        pulse.has_read(b"NT / HTTP/1.1\r\n");
        assert_eq!(pulse.reading().doing, Doing::Headers);
    }

    #[test]
    fn a_request_is_under_way_until_its_guard_is_dropped() {
        let pulse = Arc::new(Pulse::default());
        pulse.has_read(b"POST / HTTP/1.1\r\n\r\n");
        let request = pulse.begin();
        assert_eq!(pulse.reading().doing, Doing::Request);
        drop(request);
        let reading = pulse.reading();
        assert_eq!((reading.doing, reading.served), (Doing::Nothing, 1));
    }
}
