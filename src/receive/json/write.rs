//! Protobuf bytes, written front to back: a nested message's length is patched in when it ends.

/// The bytes so far.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

/// Where an open message's content starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open(usize);

impl Writer {
    /// An empty message, with room for `capacity` bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// A varint, without a tag.
    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(low_bits(value) | 0x80);
            value >>= 7;
        }
        self.0.push(low_bits(value));
    }

    /// Bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A tag of wire type 0, 1 or 5.
    pub(super) fn tag(&mut self, number: u32, wire_type: u32) {
        self.varint(u64::from(number << 3 | wire_type));
    }

    /// A string or bytes field.
    pub(super) fn bytes_field(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Starts a message or packed field, with one byte kept for its length: most are shorter than 128.
    pub(super) fn open(&mut self, number: u32) -> Open {
        self.tag(number, 2);
        self.0.push(0);
        Open(self.0.len())
    }

    /// Ends it: writes the length, and moves the content aside if the length needs more than its byte. Each
    /// level moves a byte at most once, which costs less than a buffer a level.
    pub(super) fn close(&mut self, Open(start): Open) {
        let end = self.0.len();
        let mut len = end - start;
        let more = len.checked_ilog2().unwrap_or(0) as usize / 7;
        if more > 0 {
            self.0.resize(end + more, 0);
            self.0.copy_within(start..end, start + more);
        }
        for at in start - 1..start + more {
            let last = at == start - 1 + more;
            self.0[at] = low_bits(len as u64) | if last { 0 } else { 0x80 };
            len >>= 7;
        }
    }
}

/// The lowest seven bits.
const fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7F
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width_are_minimal() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut writer = Writer::with_capacity(0);
            let open = writer.open(1);
            writer.raw(&vec![9; len]);
            writer.close(open);
            let mut expected = vec![0x0A];
            prost::encoding::encode_varint(len as u64, &mut expected);
            expected.extend(vec![9; len]);
            assert!(writer.finish() == expected, "{len}");
        }
    }
}
