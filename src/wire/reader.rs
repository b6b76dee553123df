//! A cursor over one encoded protobuf message.

/// The bytes are not a protobuf message: an overrun, an overlong varint, an unclosed group, a wire type of 6 or 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid protobuf message")]
pub struct Malformed;

/// A cursor over one encoded protobuf message.
#[derive(Clone, Debug)]
pub struct Reader<'a>(#[allow(dead_code)] std::slice::Iter<'a, u8>);
