//! Tables whose keys are hashes already.

use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    #[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

/// A table by hashes.
pub(super) type ByHash<K, V> = HashMap<K, V, BuildHasherDefault<AsIs>>;
