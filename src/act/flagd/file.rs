//! Reads a file of flag definitions whole, and puts another one in its place.

use super::super::trouble::Trouble;
use super::{changed, clean, rejected};
use crate::decide::FailureReason;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Bytes of a file.
const MAX_BYTES: u64 = 16 << 20;

/// All of it.
pub(super) fn read(path: &Path) -> Result<String, Trouble> {
    let cannot = |e: Error| troubled("read", &e);
    let mut text = String::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(rejected("the file is larger than 16 MiB"));
    }
    Ok(text)
}

/// What a write holds for.
pub(super) fn version(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Whether a file could be put in its place.
pub(super) fn probe(path: &Path) -> Result<(), Trouble> {
    beside(&resolved(path)?).map(drop)
}

/// Puts `new` in the place of the file that holds `old`, with its mode; of a file that holds something else
/// by now, nothing is touched.
pub(super) fn replace(path: &Path, old: &str, new: &str) -> Result<(), Trouble> {
    let cannot = |e: Error| troubled("written", &e);
    let target = resolved(path)?;
    let permissions = target.metadata().map_err(cannot)?.permissions();
    let mut made = beside(&target)?;
    made.write_all(new.as_bytes()).map_err(cannot)?;
    made.as_file().set_permissions(permissions).map_err(cannot)?;
    made.as_file().sync_all().map_err(cannot)?;
    // A link may point elsewhere by now, and the file may have got another content.
    if resolved(path)? != target || read(&target)? != old {
        return Err(changed());
    }
    made.persist(&target).map_err(|e| cannot(e.error))?;
    // The rename itself is on disk once the folder is.
    File::open(folder(&target))
        .and_then(|folder| folder.sync_all())
        .map_err(cannot)
}

/// The file itself, where the path is a link to it: a rename would else put a file in the place of the link.
fn resolved(path: &Path) -> Result<PathBuf, Trouble> {
    path.canonicalize().map_err(|e| troubled("found", &e))
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// A new file in the same folder, so that a rename can put it in the other's place; it goes away when
/// dropped.
fn beside(target: &Path) -> Result<NamedTempFile, Trouble> {
    let made = tempfile::Builder::new()
        .prefix(".burngate-")
        .tempfile_in(folder(target));
    made.map_err(|e| match e.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => forbidden(
            "the folder of the file cannot be written (a mounted ConfigMap never can); mount a volume that \
             can, or use a webhook that changes the ConfigMap",
        ),
        _ => troubled("made beside it", &e),
    })
}

/// A missing file or right needs a human; a full disk, say, may be over in a moment.
fn troubled(what: &str, error: &Error) -> Trouble {
    let words = clean(&format!("the file cannot be {what}: {error}"));
    match error.kind() {
        ErrorKind::NotFound => Trouble::Permanent {
            reason: FailureReason::NotFound,
            detail: words,
        },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => forbidden(&words),
        ErrorKind::InvalidData | ErrorKind::IsADirectory | ErrorKind::NotADirectory => rejected(&words),
        _ => Trouble::down(words),
    }
}

fn forbidden(words: &str) -> Trouble {
    Trouble::Permanent {
        reason: FailureReason::Forbidden,
        detail: words.to_owned(),
    }
}
