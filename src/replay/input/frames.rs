//! (u32 big-endian length, zstd frame)\*: what the Collector's `file` exporter writes with `compression:
//! zstd`, one frame a message, whatever the format. The name does not tell it from a file that is one zstd
//! stream, the first eight bytes do: a length, and the magic number of a frame behind it.
//!
//! What comes out is what the exporter would have written without compression, so that the readers of both
//! formats need to know nothing of it.

use super::RECORD_MAX;
use super::files::Format;
use std::io::{self, BufRead, Read};

/// What a zstd frame begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether a file that begins with these bytes is framed so. One that begins with the magic number itself is
/// a plain zstd stream.
pub(super) fn are_frames(head: &[u8]) -> bool {
    match head.split_first_chunk::<4>() {
        Some((length, rest)) => *length != MAGIC && rest.starts_with(&MAGIC),
        None => false,
    }
}

/// The messages of such a file, as they would stand in one of `format`.
pub(super) struct Frames<R> {
    inner: R,
    format: Format,
    message: Vec<u8>,
    read: usize,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(inner: R, format: Format) -> Self {
        Self {
            inner,
            format,
            message: Vec::new(),
            read: 0,
        }
    }

    /// Unpacks the next message; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        if self.inner.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut length = [0; 4];
        self.inner.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length as usize > RECORD_MAX {
            return Err(wrong(&format!(
                "a frame of {length} bytes, at most {RECORD_MAX} are read: no length stands here"
            )));
        }
        let mut frame = Vec::new();
        let read = (&mut self.inner).take(length.into()).read_to_end(&mut frame)?;
        if read < length as usize {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file ends within a frame",
            ));
        }
        self.message.clear();
        self.read = 0;
        if matches!(self.format, Format::Stream(_)) {
            self.message.extend([0; 4]);
        }
        let head = self.message.len();
        let limit = RECORD_MAX as u64 + 1;
        zstd::Decoder::with_buffer(frame.as_slice())?
            .take(limit)
            .read_to_end(&mut self.message)?;
        let unpacked = self.message.len() - head;
        if unpacked > RECORD_MAX {
            return Err(wrong(&format!("a message of more than {RECORD_MAX} bytes")));
        }
        if matches!(self.format, Format::Stream(_)) {
            if let Some(length) = self.message.first_chunk_mut::<4>() {
                *length = u32::try_from(unpacked).unwrap_or(u32::MAX).to_be_bytes();
            }
        } else if !self.message.ends_with(b"\n") {
            self.message.push(b'\n');
        }
        Ok(true)
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.message.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let rest = self.message.get(self.read..).unwrap_or_default();
        let count = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Signal;

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for message in messages {
            let frame = zstd::encode_all(*message, 3).unwrap();
            file.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            file.extend(frame);
        }
        file
    }

    fn unpacked(file: &[u8], format: Format) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Frames::new(file, format).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_comes_out_is_what_the_exporter_writes_without_compression() {
        let file = framed(&[b"one", b"", b"three"]);
        assert!(are_frames(&file));
        assert_eq!(unpacked(&file, Format::Lines).unwrap(), b"one\n\nthree\n");
        assert_eq!(
            unpacked(&file, Format::Stream(Signal::Traces)).unwrap(),
            b"\0\0\0\x03one\0\0\0\0\0\0\0\x05three"
        );
    }

    #[test]
    fn a_file_of_one_stream_is_no_file_of_frames() {
        assert!(!are_frames(&zstd::encode_all(&b"one"[..], 3).unwrap()));
        assert!(!are_frames(b"{\"resourceSpans\""));
        assert!(!are_frames(b""));
    }

    #[test]
    fn a_file_that_ends_too_early_or_lies_is_an_error_and_not_less() {
        let file = framed(&[b"one", b"two"]);
        for end in [file.len() - 1, file.len() / 2 + 2] {
            assert!(unpacked(&file[..end], Format::Lines).is_err(), "{end}");
        }
        let mut liar = framed(&[b"one"]);
        liar[..4].copy_from_slice(&[0x7f, 0, 0, 0]);
        assert!(are_frames(&liar));
        assert!(unpacked(&liar, Format::Lines).is_err());
    }
}
