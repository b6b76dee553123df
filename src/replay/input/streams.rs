//! `.pbs`: (u32 big-endian length, Export{Trace,Metrics,Logs}ServiceRequest)*, as the Collector's `file`
//! exporter writes them.

use super::super::error::ReplayError;
use super::{Loading, RECORD_MAX};
use crate::pipeline::Signal;
use std::io::{self, BufRead, Read as _};

/// Reads a stream to its end, or to where its framing is lost.
pub(super) fn read(
    signal: Signal,
    reader: &mut dyn BufRead,
    loading: &mut Loading,
) -> Result<(), ReplayError> {
    for number in 1.. {
        match next(reader) {
            Ok(None) => break,
            Ok(Some(request)) => loading.request(number, signal, request)?,
            Err(error) => {
                loading.problem(number, format!("{error}; the rest of the file is not read"));
                break;
            }
        }
    }
    Ok(())
}

fn next(reader: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    let short = |what: &str| {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the file ends within {what}"),
        )
    };
    reader
        .read_exact(&mut length)
        .map_err(|e| ends(e, || short("a length")))?;
    let length = u32::from_be_bytes(length) as usize;
    if length > RECORD_MAX {
        let what =
            format!("a request of {length} bytes, at most {RECORD_MAX} are read: no length stands here");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut request = Vec::new();
    // Grows with what is there: a length that lies costs no memory.
    let read = reader.take(length as u64).read_to_end(&mut request)?;
    if read < length {
        return Err(short("a request"));
    }
    Ok(Some(request))
}

fn ends(error: io::Error, short: impl FnOnce() -> io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        short()
    } else {
        error
    }
}
