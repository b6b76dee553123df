//! `burngate audit verify`.

use super::super::{EXIT_FAILURE, EXIT_USAGE, complain};
use super::source;
use crate::audit::{Begins, Break, Head, Verified, read_book, verify_store};
use clap::Args;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `audit verify`.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    /// A file of `burngate audit export`
    #[arg(value_name = "FILE", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// The file_storage.directory of a stopped gateway; without it and without a file, the default one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A head that was kept elsewhere, as SEQ:HASH: the record must hold this very entry
    #[arg(long, value_name = "HEAD", value_parser = head)]
    head: Option<Head>,
}

fn head(written: &str) -> Result<Head, String> {
    let wrong = || "expected a number and a hash, such as 12:5f3c...".to_owned();
    let (seq, hash) = written.split_once(':').ok_or_else(wrong)?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let seq = seq.parse().ok().filter(|_| is_hash).ok_or_else(wrong)?;
    Ok(Head {
        seq,
        hash: hash.to_ascii_lowercase(),
    })
}

/// Verifies, and says what was found; success only for a record that is whole.
pub(super) fn verify(args: &VerifyArgs) -> ExitCode {
    let found = match &args.file {
        Some(file) => of_file(file, args.head.as_ref()),
        None => of_store(args.data.as_deref(), args.head.clone()),
    };
    match found {
        Ok(Ok(verified)) => {
            crate::telemetry::announce(&words(&verified));
            ExitCode::SUCCESS
        }
        Ok(Err(broken)) => {
            complain(&format!("burngate: the audit record is broken: {broken}"));
            ExitCode::from(EXIT_FAILURE)
        }
        Err(wrong) => {
            complain(&format!("burngate: {wrong}"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn of_file(file: &Path, passing: Option<&Head>) -> Result<Result<Verified, Break>, String> {
    let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", file.display());
    let lines = BufReader::new(File::open(file).map_err(cannot)?);
    read_book(lines, passing).map_err(cannot)
}

fn of_store(folder: Option<&Path>, passing: Option<Head>) -> Result<Result<Verified, Break>, String> {
    let store = source::open(folder)?;
    verify_store(&*store, passing).map_err(|error| error.to_string())
}

fn words(verified: &Verified) -> String {
    let Head { seq, hash } = &verified.head;
    let begins = match verified.begins {
        Begins::AtGenesis => "from the first one on".to_owned(),
        Begins::BehindPruned(seq) => format!("behind entry {seq}, up to which the limits dropped them"),
        Begins::Within(seq) => format!("behind entry {seq}: this is a part of the record"),
    };
    format!(
        "the audit record is whole: {} entries, {begins}\nhead {seq}:{hash}",
        verified.entries
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_number_and_a_hash() {
        let hash = "AB".repeat(32);
        let read = head(&format!("12:{hash}")).unwrap();
        assert_eq!((read.seq, read.hash), (12, hash.to_lowercase()));
        for wrong in ["", "12", "x:00", "12:zz", &format!("-1:{hash}")] {
            assert!(head(wrong).is_err(), "{wrong}");
        }
    }
}
