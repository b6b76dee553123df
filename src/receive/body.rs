//! Reading a request's body at a decent pace.
//!
//! Property wanted: a client that stops, or trickles, loses its place (and its share of the bytes in flight)
//! after seconds, not when the request's whole deadline ends.

use super::failure::Failure;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Whatever goes wrong in a body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest silence between two pieces of a body.
const MAX_SILENCE: Duration = Duration::from_secs(5);
/// Age of a body from which the least rate is asked of it.
const RATE_FROM: Duration = Duration::from_secs(5);
/// Bytes a second that a body older than [`RATE_FROM`] must have brought.
const LEAST_BYTES_PER_SEC: u64 = 1024;

/// A body, and how fast it has come so far.
#[derive(Debug)]
pub(super) struct Paced<B> {
    body: B,
    since: Instant,
    ends: Option<Instant>,
    bytes: u64,
}

/// A body that breaks off is one thing, one whose chunks are nonsense another: it would be nonsense again.
fn broken(error: &BoxError) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(it) = cause {
        let kind = it.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::InvalidInput | ErrorKind::InvalidData)) {
            return Failure::Malformed("the request body is not validly chunked".into());
        }
        cause = it.source();
    }
    Failure::Disconnected
}

impl<B> Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Starts the clock of `body`.
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            since: Instant::now(),
            ends: None,
            bytes: 0,
        }
    }

    /// All of it must have come `within` this time.
    pub(super) fn within(self, within: Duration) -> Self {
        Self {
            ends: Some(self.since + within),
            ..self
        }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next piece, `None` at the end. Trailers are ignored.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let Ok(frame) = timeout(MAX_SILENCE, self.body.frame()).await else {
                return Err(Failure::Deadline("the request body stopped coming".into()));
            };
            let frame = match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error.into())),
                Some(Ok(frame)) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            self.bytes += data.len() as u64;
            self.check_rate()?;
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    fn check_rate(&self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.ends.is_some_and(|ends| now > ends) {
            return Err(Failure::Deadline("the request body took too long".into()));
        }
        let age = now - self.since;
        if age > RATE_FROM && self.bytes < age.as_secs() * LEAST_BYTES_PER_SEC {
            return Err(Failure::Deadline("the request body comes too slowly".into()));
        }
        Ok(())
    }

    /// Reads and forgets what is left, up to `most` bytes and for a short while, so that an HTTP/1.1 client
    /// that is still writing gets to read its refusal instead of a connection reset.
    pub(super) async fn discard(mut self, most: u64, within: Duration) {
        let end = self.bytes.saturating_add(most);
        let drained = async { while self.bytes < end && matches!(self.next().await, Ok(Some(_))) {} };
        let _ = timeout(within, drained).await;
    }
}
