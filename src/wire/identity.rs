//! Whether two items are of one stream, told from their attributes as they stand on the wire.
//!
//! A stream of metric points is known by its resource, scope, metric and attributes. Reading all of them into
//! maps for each point would cost more than everything else that is done with it. So each encoded KeyValue is
//! hashed, and the hashes are added up: the sum is the same in whatever order a sender writes them. 128 bits
//! of XXH3 without a secret: the same in every process, since stores keep them. Rejected: hashing the bytes
//! in one piece, since several SDKs write a map in the order of its buckets.

use super::Malformed;
use super::reader::{Reader, len};
use twox_hash::XxHash3_128;

/// A set of attributes and names. Add what belongs to it, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(pub u128);

impl Identity {
    /// Adds bytes that mean something by themselves; `role` keeps equal bytes of different meaning apart.
    pub fn add(&mut self, role: u8, bytes: &[u8]) {
        let hash = XxHash3_128::oneshot_with_seed(u64::from(role), bytes);
        self.0 = self.0.wrapping_add(hash);
    }

    /// Adds the attributes in the fields that `tag` begins.
    pub(super) fn add_attributes(&mut self, role: u8, message: &[u8], tag: u64) -> Result<(), Malformed> {
        let mut fields = Reader::new(message);
        while let Some(found) = fields.tag()? {
            if found == tag {
                self.add(role, fields.bytes()?);
            } else {
                fields.skip(found)?;
            }
        }
        Ok(())
    }

    /// Adds an encoded Resource.
    pub(super) fn add_resource(&mut self, message: &[u8]) -> Result<(), Malformed> {
        self.add_attributes(RESOURCE, message, len(1))
    }

    /// Adds an encoded InstrumentationScope.
    pub(super) fn add_scope(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut fields = Reader::new(message);
        while let Some(tag) = fields.tag()? {
            match tag {
                SCOPE_NAME => self.add(SCOPE, fields.bytes()?),
                SCOPE_VERSION => self.add(SCOPE + 1, fields.bytes()?),
                SCOPE_ATTRIBUTES => self.add(SCOPE + 2, fields.bytes()?),
                _ => fields.skip(tag)?,
            }
        }
        Ok(())
    }

    /// Puts `other` below this one: what belongs to both, in their order.
    #[must_use]
    pub fn then(self, other: Self) -> Self {
        let mut both = [0; 32];
        both[..16].copy_from_slice(&self.0.to_le_bytes());
        both[16..].copy_from_slice(&other.0.to_le_bytes());
        Self(XxHash3_128::oneshot(&both))
    }
}

const RESOURCE: u8 = 1;
const SCOPE: u8 = 2;
/// Of a point.
pub(super) const POINT: u8 = 8;
const SCOPE_NAME: u64 = len(1);
const SCOPE_VERSION: u64 = len(2);
const SCOPE_ATTRIBUTES: u64 = len(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_attributes_means_nothing_and_their_role_does() {
        let (mut a, mut b, mut c) = (Identity::default(), Identity::default(), Identity::default());
        for (identity, first, second) in [(&mut a, b"x", b"y"), (&mut b, b"y", b"x")] {
            identity.add(1, first);
            identity.add(1, second);
        }
        assert_eq!(a, b);
        c.add(1, b"x");
        c.add(2, b"y");
        assert_ne!(a, c);
        assert_ne!(a.then(c), c.then(a));
    }

    #[test]
    fn hashes_are_pinned_since_stores_keep_them() {
        let mut identity = Identity::default();
        identity.add(1, b"service.name");
        assert_eq!(identity.then(Identity::default()).0 >> 64, PINNED);
    }

    const PINNED: u128 = 0xb1d9_b741_a8e2_d17d;
}
