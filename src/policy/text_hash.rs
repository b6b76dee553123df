//! Under which text of the policies something was decided.

use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 over the sorted SHA-256 of each file's text: neither names nor order matter. Equal policies print
/// alike whatever their comments say, so it prints as nothing.
#[derive(Clone, Default)]
pub(super) struct TextHash(Vec<[u8; 32]>);

impl fmt::Debug for TextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

impl TextHash {
    pub(super) fn add(&mut self, text: &str) {
        self.0.push(Sha256::digest(text.as_bytes()).into());
    }

    /// In hex.
    pub(super) fn hex(&self) -> String {
        let mut files = self.0.clone();
        files.sort_unstable();
        let mut all = Sha256::new();
        for file in &files {
            all.update(file);
        }
        hex::encode(all.finalize())
    }
}
