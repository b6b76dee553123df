//! Protobuf, written: connectors make metrics once a flush or a batch.

use prost::encoding::encode_varint;

/// The tag of a field.
fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    encode_varint(u64::from(number << 3 | wire_type), out);
}

/// Text, bytes or an encoded message.
pub(super) fn bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    tag(out, number, 2);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A message whose fields `write` writes.
pub(super) fn message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, number, 2);
    // Most are short: a length of one byte, which grows when it must.
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out[at] = short;
    } else {
        let mut long = Vec::with_capacity(10);
        encode_varint(length as u64, &mut long);
        out.splice(at..=at, long);
    }
}

/// int64, uint64, enum, bool.
pub(super) fn varint(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, 0);
    encode_varint(value, out);
}

/// sint32.
pub(super) fn sint32(out: &mut Vec<u8>, number: u32, value: i32) {
    let zigzag = (value << 1) ^ (value >> 31);
    varint(out, number, u64::from(zigzag.cast_unsigned()));
}

/// fixed64, sfixed64.
pub(super) fn fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// double.
pub(super) fn double(out: &mut Vec<u8>, number: u32, value: f64) {
    fixed64(out, number, value.to_bits());
}

/// A packed list of fixed64 or double.
pub(super) fn packed_fixed64(out: &mut Vec<u8>, number: u32, values: impl ExactSizeIterator<Item = u64>) {
    tag(out, number, 2);
    encode_varint(values.len() as u64 * 8, out);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// An attribute whose AnyValue is encoded already.
pub(super) fn attribute(out: &mut Vec<u8>, number: u32, key: &[u8], any: &[u8]) {
    message(out, number, |out| {
        bytes(out, 1, key);
        bytes(out, 2, any);
    });
}

/// An attribute of text.
pub(super) fn text_attribute(out: &mut Vec<u8>, number: u32, key: &[u8], text: &[u8]) {
    message(out, number, |out| {
        bytes(out, 1, key);
        message(out, 2, |out| bytes(out, 1, text));
    });
}
