//! gzip and zstd, with every byte of output charged before it is stored.
//!
//! Problem: ten kilobytes may unfold to ten gigabytes. Property wanted: memory stays within the request's
//! limit and the common budget, and the work within the ratio, for any input; a worker is never held for
//! longer than a step. Rejected: the transport library's own decompression, which caps the output but neither
//! the ratio nor zstd's window, and charges nothing.

use super::admission::Ticket;
use super::failure::Failure;
use super::zstd_frame::{self, Frame};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// Output below which the ratio is not looked at: small bodies of repeated text compress well and do no harm.
const RATIO_FREE_BYTES: usize = 1 << 20;
/// Output of one step; between two steps other tasks run.
const STEP_BYTES: usize = 256 << 10;
/// Largest zstd window, as a power of two: 8 MiB, what RFC 8878 asks decoders to support.
const MAX_WINDOW_LOG: u32 = 23;
const MAX_WINDOW_BYTES: u64 = 1 << MAX_WINDOW_LOG;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// What `grpc-accept-encoding` and `Accept-Encoding` say of us.
    pub(super) const ACCEPTED: &'static str = "identity,gzip,zstd";

    /// Reads a header's value; `None` when it is not spoken here, and for stacked codings.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
            Some(Self::Identity)
        } else if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
            Some(Self::Gzip)
        } else if value.eq_ignore_ascii_case(b"zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }
}

/// What one body may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// Bytes after decompression.
    pub(super) limit: usize,
    /// Bytes out for each byte in.
    pub(super) ratio: usize,
}

impl Caps {
    /// The most that `compressed` bytes may become.
    fn ceiling(self, compressed: usize) -> usize {
        compressed
            .saturating_mul(self.ratio)
            .max(RATIO_FREE_BYTES)
            .min(self.limit)
    }
}

/// Unfolds `body`.
pub(super) async fn decompress(
    coding: Coding,
    body: Bytes,
    caps: Caps,
    ticket: &mut Ticket,
) -> Result<Bytes, Failure> {
    // Some clients send nothing at all for an empty message, whatever coding they announce.
    if coding == Coding::Identity || body.is_empty() {
        return Ok(body);
    }
    let mut out = Output {
        buf: Vec::new(),
        filled: 0,
        ceiling: caps.ceiling(body.len()),
        caps,
    };
    let mut rest: &[u8] = &body;
    match coding {
        Coding::Identity => {}
        Coding::Gzip => {
            let guess = body.len().saturating_mul(4);
            out.drain(MultiGzDecoder::new(rest), guess, STEP_BYTES, "gzip", ticket)
                .await?;
        }
        Coding::Zstd => {
            while !rest.is_empty() {
                rest = zstd_one(rest, &mut out, ticket).await?;
            }
        }
    }
    out.buf.truncate(out.filled);
    Ok(Bytes::from(out.buf))
}

/// One frame; returns what follows it.
async fn zstd_one<'a>(input: &'a [u8], out: &mut Output, ticket: &mut Ticket) -> Result<&'a [u8], Failure> {
    let invalid = || Failure::Malformed("the body is not valid zstd".into());
    let (window, content) = match zstd_frame::peek(input).ok_or_else(invalid)? {
        Frame::Skippable { len } => return input.get(len..).ok_or_else(invalid),
        Frame::Data { window, content } => (window, content),
    };
    let content = content.map(|c| usize::try_from(c).unwrap_or(usize::MAX));
    if content.is_some_and(|c| c > out.ceiling.saturating_sub(out.filled)) {
        return Err(out.too_large());
    }
    // With room for the whole frame zstd writes straight into our buffer and needs no window of its own.
    let whole = content.filter(|c| *c <= RATIO_FREE_BYTES || window > MAX_WINDOW_BYTES);
    let (guess, step) = match (whole, content) {
        (Some(c), _) => (c, c.max(1)),
        (None, Some(c)) => (c, STEP_BYTES),
        (None, None) => (input.len().saturating_mul(4), STEP_BYTES),
    };
    if whole.is_none() {
        if window > MAX_WINDOW_BYTES {
            let message = format!("zstd window of {window} bytes; at most {MAX_WINDOW_BYTES} are supported");
            return Err(Failure::TooLarge(message.into()));
        }
        ticket
            .charge(usize::try_from(window).unwrap_or(usize::MAX))
            .await?;
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input)
        .map_err(|_| invalid())?
        .single_frame();
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(|_| invalid())?;
    out.drain(&mut decoder, guess, step, "zstd", ticket).await?;
    Ok(decoder.finish())
}

/// The growing output.
struct Output {
    buf: Vec<u8>,
    filled: usize,
    ceiling: usize,
    caps: Caps,
}

impl Output {
    /// Reads `from` to its end, `step` bytes at a time.
    async fn drain(
        &mut self,
        mut from: impl Read,
        guess: usize,
        step: usize,
        name: &'static str,
        ticket: &mut Ticket,
    ) -> Result<(), Failure> {
        self.grow(self.filled.saturating_add(guess.max(1024)), ticket)
            .await?;
        loop {
            if self.filled == self.buf.len() {
                self.grow(self.buf.len().saturating_mul(2), ticket).await?;
            }
            let end = self.filled.saturating_add(step).min(self.buf.len());
            let read = match from.read(&mut self.buf[self.filled..end]) {
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Failure::Malformed(format!("the body is not valid {name}").into())),
            };
            if read == 0 {
                return Ok(());
            }
            self.filled += read;
            if self.filled > self.ceiling {
                return Err(self.too_large());
            }
            tokio::task::consume_budget().await;
        }
    }

    /// Makes the buffer `to` bytes long, charged first. One byte above the ceiling, so that an excess is
    /// seen.
    async fn grow(&mut self, to: usize, ticket: &mut Ticket) -> Result<(), Failure> {
        let to = to.clamp(self.filled + 1, self.ceiling + 1);
        if to > self.buf.len() {
            ticket.charge(to - self.buf.len()).await?;
            self.buf.reserve_exact(to - self.buf.len());
            self.buf.resize(to, 0);
        }
        Ok(())
    }

    fn too_large(&self) -> Failure {
        let Caps { limit, ratio } = self.caps;
        if self.ceiling < limit {
            let message = format!("the body unfolds to more than {ratio} times its compressed size");
            return Failure::TooLarge(message.into());
        }
        Failure::TooLarge(format!("the body is larger than {limit} bytes after decompression").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ReceiverLimits;
    use crate::receive::Admission;
    use proptest::prelude::*;
    use std::io::Write;

    const CAPS: Caps = Caps {
        limit: 4 << 20,
        ratio: 100,
    };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn run(coding: Coding, body: Vec<u8>, caps: Caps) -> (Result<Bytes, Failure>, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut ticket = Admission::new(&ReceiverLimits::default()).open();
            let result = decompress(coding, body.into(), caps, &mut ticket).await;
            (result, ticket.charged())
        })
    }

    #[test]
    fn every_byte_of_output_is_charged() {
        let body: Vec<u8> = (0..3_000_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 28) as u8)
            .collect();
        for (coding, packed) in [
            (Coding::Gzip, gzip(&body)),
            (Coding::Zstd, zstd::bulk::compress(&body, 1).unwrap()),
            (Coding::Zstd, zstd::encode_all(&body[..], 1).unwrap()),
        ] {
            let (result, charged) = run(coding, packed, CAPS);
            assert!(result.unwrap() == body, "{coding:?}");
            assert!(charged >= body.len() as u64, "{coding:?}: {charged}");
        }
    }

    #[test]
    fn bombs_are_charged_little_more_than_their_ceiling() {
        let zeros = vec![0; 16 << 20];
        for (coding, packed) in [
            (Coding::Gzip, gzip(&zeros)),
            (Coding::Zstd, zstd::bulk::compress(&zeros, 3).unwrap()),
            (Coding::Zstd, zstd::encode_all(&zeros[..], 3).unwrap()),
        ] {
            let ceiling = CAPS.ceiling(packed.len()) as u64;
            let (result, charged) = run(coding, packed, CAPS);
            assert!(matches!(result, Err(Failure::TooLarge(_))), "{coding:?}");
            // zstd's window comes on top.
            assert!(
                charged <= ceiling + (8 << 20) + 1,
                "{coding:?}: {charged} of {ceiling}"
            );
        }
    }

    #[test]
    fn the_limit_is_exact() {
        let caps = Caps {
            limit: 1000,
            ratio: 100,
        };
        for len in [999, 1000, 1001] {
            let body = vec![b'x'; len];
            for (coding, packed) in [
                (Coding::Gzip, gzip(&body)),
                (Coding::Zstd, zstd::bulk::compress(&body, 3).unwrap()),
                (Coding::Zstd, zstd::encode_all(&body[..], 3).unwrap()),
            ] {
                let (result, _) = run(coding, packed, caps);
                assert_eq!(result.is_ok(), len <= 1000, "{coding:?} {len}");
            }
        }
    }

    #[test]
    fn frames_and_members_in_a_row_are_one_body() {
        let skippable = [0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 1, 2];
        let (one, two) = (
            zstd::bulk::compress(b"one", 3).unwrap(),
            zstd::encode_all(&b"two"[..], 3).unwrap(),
        );
        let (result, _) = run(Coding::Zstd, [&one[..], &skippable, &two, &one].concat(), CAPS);
        assert_eq!(result.unwrap(), "onetwoone");
        let (result, _) = run(
            Coding::Gzip,
            [gzip(b"one"), gzip(b""), gzip(b"two")].concat(),
            CAPS,
        );
        assert_eq!(result.unwrap(), "onetwo");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bodies_survive_their_coding(body in proptest::collection::vec(0_u8..4, 0..5000)) {
            for (coding, packed) in [
                (Coding::Gzip, gzip(&body)),
                (Coding::Zstd, zstd::bulk::compress(&body, 3).unwrap()),
                (Coding::Zstd, zstd::encode_all(&body[..], 3).unwrap()),
            ] {
                let (result, _) = run(coding, packed.clone(), CAPS);
                prop_assert_eq!(&result.unwrap()[..], &body[..]);
                // Cut short it is malformed, never a shorter body.
                let (cut, _) = run(coding, packed[..packed.len() - 1].to_vec(), CAPS);
                prop_assert!(matches!(cut, Err(Failure::Malformed(_))), "{:?}", cut);
            }
        }

        #[test]
        fn noise_is_refused_or_unfolded_within_the_limit(
            noise in proptest::collection::vec(any::<u8>(), 1..300),
            at in 0_usize..300,
        ) {
            let mut damaged = zstd::bulk::compress(&[7; 9000], 3).unwrap();
            let len = damaged.len();
            damaged[at % len] ^= noise[0];
            for (coding, body) in [(Coding::Gzip, noise.clone()), (Coding::Zstd, noise), (Coding::Zstd, damaged)] {
                let caps = Caps { limit: 10_000, ratio: 100 };
                if let (Ok(body), _) = run(coding, body, caps) {
                    prop_assert!(body.len() <= 10_000);
                }
            }
        }
    }
}
