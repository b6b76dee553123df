//! A file's format by its name, and its bytes unpacked.

use super::super::error::ReplayError;
use super::super::play::Progress;
use super::frames::{Frames, are_frames};
use crate::pipeline::Signal;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `.pbs`: requests in protobuf, each behind its length; the bytes do not tell of which signal.
    Stream(Signal),
    /// `.jsonl`: OTLP/JSON of any signal, a request a line.
    Lines,
    /// `.csv`: counts by the minute.
    Minutes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A file that can be read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) format: Format,
    /// Its size as it lies there.
    pub(super) bytes: u64,
    packing: Packing,
    path: PathBuf,
    file: File,
}

/// Opens `path`; says what is in it.
pub(super) fn open(path: &Path) -> Result<Opened, ReplayError> {
    let (format, packing) = by_name(path).ok_or_else(|| ReplayError::Format {
        path: path.to_owned(),
    })?;
    let failed = |source| ReplayError::Open {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let known = file.metadata().map_err(failed)?;
    if known.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(Opened {
        format,
        packing,
        bytes: known.len(),
        path: path.to_owned(),
        file,
    })
}

fn by_name(path: &Path) -> Option<(Format, Packing)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let (name, packing) = match name.rsplit_once('.')? {
        (rest, "gz") => (rest, Packing::Gzip),
        (rest, "zst") => (rest, Packing::Zstd),
        _ => (name.as_str(), Packing::Plain),
    };
    let format = match name.rsplit_once('.')?.1 {
        "pbs" => Format::Stream(signal_of(name)),
        "jsonl" | "ndjson" => Format::Lines,
        "csv" => Format::Minutes,
        _ => return None,
    };
    Some((format, packing))
}

/// `shop.metrics.pbs`, `metrics.pbs` and `shop-metrics.pbs` hold metrics; what names no signal holds traces.
fn signal_of(name: &str) -> Signal {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let word = stem.rsplit(|c: char| !c.is_alphanumeric()).next();
    match word {
        Some("metrics") => Signal::Metrics,
        Some("logs") => Signal::Logs,
        _ => Signal::Traces,
    }
}

impl Opened {
    /// Its content; `progress` hears of the bytes as they lie in the file.
    pub(super) fn reader<'p>(self, progress: &'p dyn Progress) -> Box<dyn BufRead + 'p> {
        let mut metered = BufReader::with_capacity(
            BUFFER,
            Metered {
                file: self.file,
                progress,
            },
        );
        // An error comes again at the first read.
        if self.packing != Packing::Gzip && metered.fill_buf().is_ok_and(are_frames) {
            let frames = Frames::new(metered, self.format);
            return Box::new(BufReader::with_capacity(BUFFER, frames));
        }
        match self.packing {
            Packing::Plain => Box::new(metered),
            Packing::Gzip => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(metered))),
            Packing::Zstd => match zstd::Decoder::with_buffer(metered) {
                Ok(decoder) => Box::new(BufReader::with_capacity(BUFFER, decoder)),
                Err(error) => Box::new(BufReader::new(Broken(error, self.path))),
            },
        }
    }
}

struct Metered<'p> {
    file: File,
    progress: &'p dyn Progress,
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(out)?;
        self.progress.has_read(read as u64);
        Ok(read)
    }
}

/// A decoder that could not be made: the first read says why.
struct Broken(std::io::Error, PathBuf);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::new(
            self.0.kind(),
            format!("{}: {}", self.1.display(), self.0),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_is_in_a_file() {
        for (name, want) in [
            ("a.pbs", Some((Format::Stream(Signal::Traces), Packing::Plain))),
            (
                "dir.csv/a.PBS.zst",
                Some((Format::Stream(Signal::Traces), Packing::Zstd)),
            ),
            (
                "a.metrics.pbs.gz",
                Some((Format::Stream(Signal::Metrics), Packing::Gzip)),
            ),
            (
                "metrics.pbs",
                Some((Format::Stream(Signal::Metrics), Packing::Plain)),
            ),
            (
                "shop-logs.pbs",
                Some((Format::Stream(Signal::Logs), Packing::Plain)),
            ),
            (
                "catalogs.pbs",
                Some((Format::Stream(Signal::Traces), Packing::Plain)),
            ),
            (
                "metrics.2.pbs",
                Some((Format::Stream(Signal::Traces), Packing::Plain)),
            ),
            ("a.otlp.jsonl.gz", Some((Format::Lines, Packing::Gzip))),
            ("a.csv", Some((Format::Minutes, Packing::Plain))),
            ("a.csv.gz", Some((Format::Minutes, Packing::Gzip))),
            ("a.gz", None),
            ("a.txt", None),
            ("jsonl", None),
        ] {
            assert_eq!(by_name(Path::new(name)), want, "{name}");
        }
    }
}
