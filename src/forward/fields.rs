//! The fields of a message, one by one, for exporters that read whatever is there.

use crate::wire::{Malformed, Reader};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    /// Its number, and a varint.
    Varint(u32, u64),
    /// Its number, and eight bytes.
    Fixed64(u32, u64),
    /// Its number, and four bytes.
    Fixed32(u32, u32),
    /// Its number, and text, bytes or a message.
    Bytes(u32, &'a [u8]),
}

/// Calls `each` for every field of `message`, groups left out. Stops at the first error.
pub(crate) fn each_field<'a>(
    message: &'a [u8],
    mut each: impl FnMut(Field<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(message);
    while let Some(tag) = reader.tag()? {
        let Ok(number) = u32::try_from(tag >> 3) else {
            return Err(Malformed);
        };
        let field = match tag & 7 {
            0 if number > 0 => Field::Varint(number, reader.varint()?),
            1 if number > 0 => Field::Fixed64(number, reader.fixed64()?),
            2 if number > 0 => Field::Bytes(number, reader.bytes()?),
            5 if number > 0 => Field::Fixed32(number, reader.fixed32()?),
            _ => {
                reader.skip(tag)?;
                continue;
            }
        };
        each(field)?;
    }
    Ok(())
}

/// Calls `each` for every message (or text) in field `number`.
pub(crate) fn each_in<'a>(
    message: &'a [u8],
    number: u32,
    mut each: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    each_field(message, |field| match field {
        Field::Bytes(found, inner) if found == number => each(inner),
        _ => Ok(()),
    })
}

/// The last bytes in field `number`; empty when there are none.
pub(crate) fn last_in(message: &[u8], number: u32) -> Result<&[u8], Malformed> {
    let mut last: &[u8] = &[];
    each_in(message, number, |inner| {
        last = inner;
        Ok(())
    })?;
    Ok(last)
}
